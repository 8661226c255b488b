/* The walk that block-sparse FP32 products share; an instruction set supplies the code of a range of groups.
 *
 * A task is a tile of 64 tokens times a range of groups (of 4 outputs, of all segments), ranges being equal in units and a
 * constant for each group's finish. Inputs come in chunks whose part of the tile of x stays in the second cache; between
 * chunks the sums wait in y, so that each output stays one chain. */
#ifndef PITH_OPS_SPARSE_GEMM_F32_INTERNAL_H
#define PITH_OPS_SPARSE_GEMM_F32_INTERNAL_H

#include "ops/sparse_gemm/sparse_gemm_f32.h"

/* Groups of a segment, for a tile and a chunk of inputs. */
typedef struct pith_sparse_gemm_f32_range {
  pith_sparse_parts w;
  size_t first, last; /* groups */
  size_t n;
  const float *x; /* the tile */
  size_t tokens;  /* 1 to 64 */
  size_t end;     /* of the chunk: the first input behind it */
  bool is_first, is_last; /* chunk */
  const uint8_t **next; /* [last - first] each group's first unit behind the chunks before, where there are several; or NULL */
  const float *bias; /* [n], or NULL */
  pith_activation activation;
  const float *residual; /* the tile, or NULL */
  float *y;              /* the tile */
} pith_sparse_gemm_f32_range;

typedef void pith_sparse_gemm_f32_code(const pith_sparse_gemm_f32_range *range);

/* The members of a pith_kernel, over that code. */
size_t pith_sparse_gemm_f32_count_tasks(const void *args, size_t threads);
size_t pith_sparse_gemm_f32_get_scratch_bytes(const void *args);
void pith_sparse_gemm_f32_run(pith_sparse_gemm_f32_code *code, const void *args, size_t threads, size_t task, void *scratch);

extern const pith_kernel pith_sparse_gemm_f32_avx2, pith_sparse_gemm_f32_avx512;

#endif
