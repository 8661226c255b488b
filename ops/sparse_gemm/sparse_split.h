/* How the work of a sparse product is cut: a task is a tile of tokens times a range of groups of outputs; ranges cost the same,
 * whatever their groups hold. */
#ifndef PITH_OPS_SPARSE_SPLIT_H
#define PITH_OPS_SPARSE_SPLIT_H

#include "ops/gemm/gemm_f32.h"
#include "ops/sparse_gemm/sparse_weights.h"

typedef struct pith_sparse_split {
  size_t rows;       /* tokens */
  size_t group_cost; /* of finishing a group, in units */
  size_t least_cost; /* of a task, in units: some 5 us */
  bool whole;        /* tiles are not cut */
  size_t segment_count;
  pith_sparse_parts parts[PITH_GEMM_MAX_SEGMENTS]; /* no groups: a segment without outputs */
} pith_sparse_split;

typedef struct pith_sparse_task {
  size_t tile;
  size_t first[PITH_GEMM_MAX_SEGMENTS], last[PITH_GEMM_MAX_SEGMENTS]; /* groups of each segment, the last one excluded */
} pith_sparse_task;

size_t pith_sparse_split_count(const pith_sparse_split *split, size_t threads);
pith_sparse_task pith_sparse_split_get(const pith_sparse_split *split, size_t threads, size_t task);

#endif
