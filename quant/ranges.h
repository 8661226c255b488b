/* Ranges of activations: what calibration finds and the rewrite needs. A range belongs to a tensor of the float graph, by
 * its name, which every rewrite keeps. */
#ifndef PITH_QUANT_RANGES_H
#define PITH_QUANT_RANGES_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"

typedef struct pith_range {
  const char *name;  /* of the tensor */
  float low, high;   /* chosen by the observer, low <= 0 <= high, both finite */
  float seen_low, seen_high; /* all that came by */
  uint64_t count;    /* elements seen */
  uint32_t channel_count;    /* features of the tensor where its channels were wanted, else 0 */
  const float *channel_max;  /* [channel_count] max |x| of each feature: SmoothQuant */
  const double *channel_sum; /* [channel_count] sum of each feature over rows: bias correction */
  const double *channel_squares; /* [channel_count] sum of squares: SmoothQuant's search */
  uint64_t rows;
} pith_range;

typedef struct pith_ranges {
  pith_arena arena;
  uint32_t count;
  pith_range *ranges; /* sorted by name */
  uint64_t texts, tokens; /* that were run */
} pith_ranges;

const pith_range *pith_ranges_find(const pith_ranges *ranges, const char *name); /* NULL: none */
void pith_ranges_deinit(pith_ranges *ranges);

/* The scale by which levels reach from low <= 0 to high >= 0: s8, whose zero point is 0, or u8. */
float pith_range_get_scale(float low, float high, bool is_signed);
uint8_t pith_range_get_zero(float low, float scale); /* the level of u8 that stands for 0 */

#endif
