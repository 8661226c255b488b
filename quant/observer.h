/* From the values of a tensor, batch by batch, to the range that 8 bits shall cover. All ranges include 0.
 *
 *   min_max         all that was seen
 *   moving_average  of the batches' minima and maxima: m += averaging * (batch - m), the first batch as it is
 *   mean_min_max    the mean of the batches' minima and of their maxima
 *   percentile      low and high such that (100 - percentile) % of all elements lie below, and as many above
 *   kl              the thresholds whose clipped and quantized histogram is nearest to the histogram (Kullback-Leibler; the
 *                   method of NVIDIA's TensorRT, S. Migacz, GTC 2017, for both sides)
 *   mse             the range whose quantization has the least expected squared error over the histogram
 *
 * The last three count 2,048 bins between the least and the largest value, so they see the data twice: first all batches by
 * pith_observer_see_range, then all once more by pith_observer_see_values. Not thread-safe. */
#ifndef PITH_QUANT_OBSERVER_H
#define PITH_QUANT_OBSERVER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "quant/options.h"

enum { PITH_OBSERVER_BINS = 2048 };

typedef struct pith_observer {
  const pith_quant_options *options;
  bool is_signed;      /* the range will be used symmetrically: s8 */
  uint64_t count, batches;
  float low, high;     /* of all values */
  double mean_low, mean_high; /* moving averages, or sums over batches */
  uint64_t *bins;      /* [PITH_OBSERVER_BINS], or NULL */
} pith_observer;

bool pith_observer_needs_histogram(pith_observer_kind kind);
void pith_observer_init(pith_observer *observer, const pith_quant_options *options, bool is_signed);
/* False: a value is NaN or infinite, its index in *out_index. */
bool pith_observer_see_range(pith_observer *observer, const float *values, uint64_t count, uint64_t *out_index);
/* `bins` [PITH_OBSERVER_BINS], zeroed, becomes the histogram's; after the last see_range. */
void pith_observer_begin_histogram(pith_observer *observer, uint64_t *bins);
void pith_observer_see_values(pith_observer *observer, const float *values, uint64_t count);
/* The range chosen; low <= 0 <= high. */
void pith_observer_choose(const pith_observer *observer, float *out_low, float *out_high);

#endif
