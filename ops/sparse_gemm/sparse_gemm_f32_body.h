/* The code of a range of groups; included after a v16 header. A register tile is 4 outputs x V16_TILE_VECTORS x 16 tokens at most:
 * for each unit the tokens of one input are loaded, the group's 4 weights broadcast. */
#include "ops/math/functions.h"

#include "ops/gemm/gemm_f32_finish.h"
#include "ops/sparse_gemm/sparse_gemm_f32_internal.h"

enum {
  GROUP = PITH_SPARSE_GROUP,
  TILE = PITH_TILE_TOKENS,
  UNIT_BYTES = sizeof(uint32_t) + GROUP * sizeof(float),
  AHEAD_BYTES = 3072 /* Weights are prefetched so far ahead: among loads of x they are no stream to the CPU. Saves a third. */
};

/* Bias, activation, residual for a group's first `outputs`: y in place. Once in the code, for any number of tokens. */
static __attribute__((noinline)) void sparse_finish(const pith_sparse_gemm_f32_range *r, size_t group, size_t outputs) {
  const size_t vectors = (r->tokens + 15) / 16;
  for (size_t j = 0; j < outputs; ++j) {
    const size_t output = group * GROUP + j;
    const v16 bias = v16_set(r->bias ? r->bias[output] : 0.0f);
    for (size_t v = 0; v < vectors; ++v) {
      const size_t at = output * TILE + v * 16;
      v16 z = v16_load(r->y + at);
      if (r->bias)
        z = v16_add(z, bias);
      z = gemm_activate(r->activation, z);
      if (r->residual)
        z = v16_add(z, v16_load(r->residual + at));
      v16_store(r->y + at, z);
    }
  }
}

/* Sums from `unit` on, up to the chunk's end; returns the first unit behind it. */
V16_INLINE const uint8_t *sparse_sum(const size_t vectors, const uint8_t *unit, const uint8_t *last, const float *x,
                                     size_t end, v16 sums[GROUP][V16_TILE_VECTORS]) {
  for (; unit != last; unit += UNIT_BYTES) {
    const uint32_t input = *(const uint32_t *)(const void *)unit; /* aligned, as units are */
    const float *w = (const float *)(const void *)(unit + sizeof input); /* no copy: broadcast from memory */
    if (input >= end)
      break;
    const float *at = x + (size_t)input * TILE;
    __builtin_prefetch(unit + AHEAD_BYTES);
    v16 a[V16_TILE_VECTORS];
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      a[v] = v16_load(at + 16 * v);
    PITH_UNROLL
    for (size_t j = 0; j < GROUP; ++j) {
      const v16 b = v16_set(w[j]);
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v)
        sums[j][v] = v16_fma(a[v], b, sums[j][v]);
    }
  }
  return unit;
}

/* The tokens from t on. */
V16_INLINE const uint8_t *sparse_group(const size_t vectors, const pith_sparse_gemm_f32_range *r, size_t outputs,
                                       const uint8_t *unit, const uint8_t *last, size_t t, float *y) {
  v16 sums[GROUP][V16_TILE_VECTORS];
  for (size_t j = 0; j < outputs; ++j)
    for (size_t v = 0; v < vectors; ++v)
      __builtin_prefetch(y + j * TILE + t + 16 * v, 1);
  PITH_UNROLL
  for (size_t j = 0; j < GROUP; ++j)
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      sums[j][v] = r->is_first || j >= outputs ? v16_set(0.0f) : v16_load(y + j * TILE + t + 16 * v);
  unit = sparse_sum(vectors, unit, last, r->x + t, r->end, sums);
  PITH_UNROLL
  for (size_t j = 0; j < GROUP; ++j)
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      if (j < outputs)
        v16_store(y + j * TILE + t + 16 * v, sums[j][v]);
  return unit;
}

V16_INLINE void sparse_groups(const size_t vectors, const pith_sparse_gemm_f32_range *r) {
  const size_t all = (r->tokens + 15) / 16;
  const bool finish = r->is_last && (r->bias || r->residual || r->activation != PITH_ACTIVATION_NONE);
  for (size_t group = r->first; group < r->last; ++group) {
    const size_t outputs = r->n - group * GROUP < GROUP ? r->n - group * GROUP : GROUP;
    const uint8_t *unit = r->is_first ? r->w.units + (size_t)r->w.starts[group] * UNIT_BYTES : r->next[group - r->first];
    const uint8_t *last = r->w.units + (size_t)r->w.starts[group + 1] * UNIT_BYTES, *next = unit;
    for (size_t v = 0; v < all; v += vectors)
      next = sparse_group(vectors, r, outputs, unit, last, v * 16, r->y + group * GROUP * TILE);
    if (r->next)
      r->next[group - r->first] = next;
    if (finish)
      sparse_finish(r, group, outputs);
  }
}

static void run_range(const pith_sparse_gemm_f32_range *r) {
#if V16_TILE_VECTORS == 4
  switch ((r->tokens + 15) / 16) {
  case 4:
    sparse_groups(4, r);
    return;
  case 3:
    sparse_groups(3, r);
    return;
  case 2:
    sparse_groups(2, r);
    return;
  default:
    break;
  }
#endif
  sparse_groups(1, r);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  pith_sparse_gemm_f32_run(run_range, args, threads, task, scratch);
}

const pith_kernel V16_NAME(pith_sparse_gemm_f32) = {
    .name = "sparse_gemm_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = pith_sparse_gemm_f32_count_tasks,
    .get_scratch_bytes = pith_sparse_gemm_f32_get_scratch_bytes,
    .run = run,
};
