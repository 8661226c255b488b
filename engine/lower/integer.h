/* Where integers can take the place of floats: each question has one answer, which rewrites act on
 * and notes quote. */
#ifndef PITH_LOWER_INTEGER_H
#define PITH_LOWER_INTEGER_H

#include "engine/lower/lower_internal.h"

enum { PITH_REASON_BYTES = 256 };

/* Each is for a step of the kind that its rewrite starts from. False: `reason` says why, in one
 * sentence about the step. */

/* Gather: its table is dequantized data that Embedding can look up. */
bool pith_gather_reads_integers(pith_program *program, const pith_step *gather,
                                char reason[PITH_REASON_BYTES]);
/* Gemm: input and weights are dequantized from what IntegerGemm multiplies. */
bool pith_gemm_reads_integers(pith_program *program, const pith_step *gemm,
                              char reason[PITH_REASON_BYTES]);
/* RoundedAttention: q, k and v are dequantized from what IntegerAttention multiplies. */
bool pith_attention_reads_integers(pith_program *program, const pith_step *attention,
                                   char reason[PITH_REASON_BYTES]);
/* Quantize, DynamicQuantize: the step that makes its input can write 8 bits at once. */
bool pith_quantize_can_merge(pith_program *program, const pith_step *quantize,
                             char reason[PITH_REASON_BYTES]);

/* Where a step's rows are multiplied by a vector of data, each feature by its own number, and then read by this Quantize
 * only, as SmoothQuant leaves them: that Mul, the rows and the vector. NULL: it reads something else. */
pith_step *pith_quantize_get_factors(pith_program *program, const pith_step *quantize,
                                     pith_value_id *out_rows, pith_value_id *out_factors);

/* Where a step that finishes rows writes `y`, and where it would write the same in 8 bits. */
typedef struct pith_rows_place {
  uint32_t outputs;  /* PITH_ROWS_* begin there */
  uint32_t scale;    /* input of a static scale; its zero point is the next */
  uint32_t factors;  /* input of factors of each feature before the scale; 0: it takes none */
  bool keeps_floats; /* its kernels write the floats in any case */
} pith_rows_place;
/* False where the step's kernels write floats only. */
bool pith_step_find_rows(const pith_step *step, pith_value_id y, pith_rows_place *out_place);

/* Whether each row of `features` is normalized by itself: a LayerNorm may take several dimensions. True for other steps. */
bool pith_norm_takes_rows(const pith_program *program, const pith_step *norm, size_t features);

#endif
