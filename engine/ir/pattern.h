/* Sparsity of a weight [N, K], N outputs and K inputs: which of its elements may differ from 0.
 *
 * A pattern says which elements go together; the mask is where the weight is not zero, rounded up to what goes together. So
 * zeros are the mask: nothing beside the weight can contradict it, and what keeps zeros (symmetric quantization, clipping,
 * factors, packing) keeps the mask. A tensor also carries `kept`, the elements that its mask keeps: verifying a file
 * counts them again.
 *
 *     dense      no pattern
 *     element    each by itself
 *     4x1, 4x4   blocks, outputs x inputs, aligned; the last ones may be smaller
 *     2:4, 1:4   N of every M consecutive inputs of an output, aligned
 *     row        whole outputs
 *     column     whole inputs
 *     head       `size` consecutive outputs (query, key, value) or inputs (attention's output product)
 *     neuron     an output of the first FFN product and the same input of the second
 *
 * The text of head and neuron gives what of this tensor goes together once that is known: head:64x* (64 outputs), neuron:*x1. */
#ifndef PITH_IR_PATTERN_H
#define PITH_IR_PATTERN_H

#include "engine/base/error.h"

#include <stdbool.h>
#include <stdint.h>

#define PITH_PATTERN_LIST(X)                                                                               \
  X(DENSE, "dense") X(ELEMENT, "element") X(BLOCK, "block") X(N_OF_M, "n_of_m") X(ROW, "row")              \
  X(COLUMN, "column") X(HEAD, "head") X(NEURON, "neuron")
typedef enum pith_pattern_kind {
#define PITH_PATTERN_ENUM(name, text) PITH_PATTERN_##name,
  PITH_PATTERN_LIST(PITH_PATTERN_ENUM)
#undef PITH_PATTERN_ENUM
      PITH_PATTERN_COUNT
} pith_pattern_kind;

enum { PITH_PATTERN_MAX_SIDE = 256, PITH_PATTERN_TEXT_BYTES = 24 };

typedef struct pith_pattern {
  pith_pattern_kind kind;
  uint32_t outputs, inputs; /* BLOCK: of a block; N_OF_M: N and M; HEAD, NEURON: of a head or neuron, the other one 0; else 0 */
} pith_pattern;

/* "4x1", "2:4", "element" ... and back. PITH_INVALID_ARGUMENT says what is wrong with the text. "head" and
 * "neuron" have their size filled in by who knows the model. */
PITH_WARN_UNUSED pith_status pith_pattern_parse(const char *text, pith_pattern *out_pattern, pith_error *error);
void pith_pattern_format(const pith_pattern *pattern, char out_text[PITH_PATTERN_TEXT_BYTES]);
/* PITH_INVALID_ARGUMENT unless it is a row of the table with sides in its bounds, those of head and neuron filled in. */
PITH_WARN_UNUSED pith_status pith_pattern_check(const pith_pattern *pattern, pith_error *error);
bool pith_pattern_equal(const pith_pattern *a, const pith_pattern *b);

/* Whether every mask of `pattern` is also one of `other` (4x4 of 4x1, anything of element): then kernels for `other` serve. */
/* Both pass pith_pattern_check. */
bool pith_pattern_implies(const pith_pattern *pattern, const pith_pattern *other);

/* Elements that the mask of `w` ([n, k] row-major, s8 or f32 by `is_f32`) keeps. N_OF_M: PITH_FORMAT where more than N of M are
 * not zero, naming output and input; DENSE: all. */
PITH_WARN_UNUSED pith_status pith_pattern_count_kept(const pith_pattern *pattern, uint64_t n, uint64_t k, const void *w,
                                                     bool is_f32, uint64_t *out_kept, pith_error *error);

#endif
