/* The table, the reference, and the walk of the others. */
#include <math.h>
#include <string.h>

#include "ops/gemm/gemm_f32_internal.h"
#include "ops/sparse_gemm/sparse_gemm_f32_internal.h"
#include "ops/sparse_gemm/sparse_split.h"

enum {
  GROUP = PITH_SPARSE_GROUP,
  MAX_CHUNK = 4096, /* inputs: 1 MiB of x. Less is slower: weights then come in short runs */
};

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

/* ---- reference: a task is a token; each sum over the units of its group, 16 outputs finished at once ------------- */

static size_t count_tokens(const void *args, size_t threads) {
  const pith_sparse_gemm_f32_args *a = args;
  (void)threads;
  return a->segment_count == 0 ? 0 : a->rows;
}

static void sum_group(const pith_sparse_gemm_f32_args *a, const pith_sparse_parts *w, size_t group, size_t token,
                      float out_sums[GROUP]) {
  for (size_t j = 0; j < GROUP; ++j)
    out_sums[j] = 0.0f;
  for (size_t u = w->starts[group]; u < w->starts[group + 1]; ++u) {
    uint32_t input;
    float weights[GROUP];
    memcpy(&input, w->units + u * w->unit_bytes, sizeof input);
    memcpy(weights, w->units + u * w->unit_bytes + sizeof input, sizeof weights);
    const float x = a->x[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, a->k, token, input)];
    for (size_t j = 0; j < GROUP; ++j)
      out_sums[j] = fmaf(x, weights[j], out_sums[j]);
  }
}

static void run_token(const void *args, size_t threads, size_t token, void *scratch) {
  enum { OUTPUTS = 16 }; /* whole groups, within a block of the finish */
  const pith_sparse_gemm_f32_args *a = args;
  (void)threads;
  (void)scratch;
  for (const pith_sparse_gemm_f32_segment *s = a->segments; s < a->segments + a->segment_count; ++s)
    for (size_t n0 = 0; n0 < s->n; n0 += OUTPUTS) {
      const pith_sparse_parts w = pith_sparse_get_parts(PITH_SPARSE_B4X1_F32, s->n, s->w);
      const size_t columns = min_size(s->n - n0, OUTPUTS);
      float sums[OUTPUTS], residual[OUTPUTS], y[OUTPUTS];
      size_t at[OUTPUTS];
      for (size_t j = 0; j < columns; j += GROUP)
        sum_group(a, &w, (n0 + j) / GROUP, token, sums + j);
      for (size_t j = 0; j < columns; ++j) {
        at[j] = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, s->n, token, n0 + j);
        residual[j] = a->residual ? a->residual[at[j]] : 0.0f;
      }
      pith_gemm_f32_finish_plain(1, &(pith_gemm_f32_finish){.c = sums,
                                                            .columns = columns,
                                                            .bias = s->bias ? s->bias + n0 : NULL,
                                                            .activation = a->activation,
                                                            .residual = a->residual ? residual : NULL,
                                                            .y = y});
      for (size_t j = 0; j < columns; ++j)
        s->y[at[j]] = y[j];
    }
}

static const pith_kernel reference = {
    .name = "sparse_gemm_f32_reference",
    .count_tasks = count_tokens,
    .run = run_token,
};

/* ---- the walk ----------------------------------------------------------------------------------------------------- */

static pith_sparse_split make_split(const pith_sparse_gemm_f32_args *a) {
  pith_sparse_split split = {
      .rows = a->rows, .group_cost = 8, .least_cost = 2048, .segment_count = a->segment_count};
  for (size_t s = 0; s < a->segment_count; ++s)
    if (a->segments[s].n > 0)
      split.parts[s] = pith_sparse_get_parts(PITH_SPARSE_B4X1_F32, a->segments[s].n, a->segments[s].w);
  return split;
}

size_t pith_sparse_gemm_f32_count_tasks(const void *args, size_t threads) {
  const pith_sparse_split split = make_split(args);
  return pith_sparse_split_count(&split, threads);
}

size_t pith_sparse_gemm_f32_get_scratch_bytes(const void *args) {
  const pith_sparse_gemm_f32_args *a = args;
  size_t groups = 0;
  for (size_t s = 0; s < a->segment_count; ++s)
    groups = groups > a->segments[s].n / GROUP ? groups : a->segments[s].n / GROUP + 1;
  return a->k > MAX_CHUNK ? groups * sizeof(const uint8_t *) : 0;
}

void pith_sparse_gemm_f32_run(pith_sparse_gemm_f32_code *code, const void *args, size_t threads, size_t task, void *scratch) {
  const pith_sparse_gemm_f32_args *a = args;
  const pith_sparse_split split = make_split(a);
  const pith_sparse_task part = pith_sparse_split_get(&split, threads, task);
  const size_t token = part.tile * PITH_TILE_TOKENS;
  const size_t chunks = a->k > MAX_CHUNK ? (a->k + MAX_CHUNK - 1) / MAX_CHUNK : 1;
  for (size_t s = 0; s < a->segment_count; ++s) {
    const pith_sparse_gemm_f32_segment *g = &a->segments[s];
    if (part.first[s] >= part.last[s])
      continue;
    const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, g->n, token, 0);
    pith_sparse_gemm_f32_range r = {
        .w = split.parts[s],
        .n = g->n,
        .first = part.first[s],
        .last = part.last[s],
        .x = a->x + pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, a->k, token, 0),
        .tokens = min_size(a->rows - token, PITH_TILE_TOKENS),
        .next = chunks > 1 ? scratch : NULL,
        .bias = g->bias,
        .activation = a->activation,
        .residual = a->residual ? a->residual + at : NULL,
        .y = g->y + at,
    };
    for (size_t chunk = 0; chunk < chunks; ++chunk) {
      r.is_first = chunk == 0;
      r.is_last = chunk + 1 == chunks;
      r.end = r.is_last ? a->k : a->k / chunks * (chunk + 1);
      code(&r);
    }
  }
}

const pith_kernel *const pith_sparse_gemm_f32_kernels[] = {
    &reference,
#if defined(__x86_64__)
    &pith_sparse_gemm_f32_avx2,
    &pith_sparse_gemm_f32_avx512,
#endif
    NULL,
};
