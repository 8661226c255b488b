/* The table, the reference, and the walk of the others. */
#include <math.h>
#include <string.h>

#include "ops/gemm/gemm_f32_internal.h"
#include "ops/sparse_gemm/sparse_gemm_f32_internal.h"

enum {
  GROUP = PITH_SPARSE_GROUP,
  MAX_CHUNK = 4096,     /* inputs: 1 MiB of x. Less is slower: weights then come in short runs */
  GROUP_COST = 8,       /* of finishing a group, in units */
  TASKS_PER_THREAD = 4, /* at least, where there is that much to share out: threads may differ in speed */
  MIN_TASK_COST = 2048, /* units: some 5 us */
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

static pith_sparse_parts get_parts(const pith_sparse_gemm_f32_args *a, size_t s) {
  return pith_sparse_get_parts(PITH_SPARSE_B4X1_F32, a->segments[s].n, a->segments[s].w);
}

/* Of the groups before `group`. */
static size_t cost_before(const pith_sparse_parts *w, size_t group) {
  return w->starts[group] + group * GROUP_COST;
}

/* The first group before which no less than `cost` lies. */
static size_t find_group(const pith_sparse_parts *w, size_t cost) {
  size_t low = 0, high = w->groups;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (cost_before(w, middle) < cost)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static size_t all_cost(const pith_sparse_gemm_f32_args *a) {
  size_t cost = 0;
  for (size_t s = 0; s < a->segment_count; ++s)
    if (a->segments[s].n > 0) {
      const pith_sparse_parts w = get_parts(a, s);
      cost += cost_before(&w, w.groups);
    }
  return cost;
}

static size_t count_tiles(const pith_sparse_gemm_f32_args *a) {
  return (a->rows + PITH_TILE_TOKENS - 1) / PITH_TILE_TOKENS;
}

/* Ranges of groups that a tile is cut into. */
static size_t count_ranges(const pith_sparse_gemm_f32_args *a, size_t cost, size_t threads) {
  const size_t tiles = count_tiles(a), wanted = TASKS_PER_THREAD * threads;
  if (threads <= 1 || tiles >= 2 * wanted)
    return 1;
  const size_t worth = cost / MIN_TASK_COST;
  return min_size((wanted + tiles - 1) / tiles, worth > 0 ? worth : 1);
}

size_t pith_sparse_gemm_f32_count_tasks(const void *args, size_t threads) {
  const pith_sparse_gemm_f32_args *a = args;
  const size_t cost = all_cost(a);
  return a->rows == 0 || cost == 0 ? 0 : count_tiles(a) * count_ranges(a, cost, threads);
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
  const size_t cost = all_cost(a), ranges = count_ranges(a, cost, threads);
  const size_t token = task / ranges * PITH_TILE_TOKENS, part = task % ranges;
  const size_t begin = cost / ranges * part + cost % ranges * part / ranges;
  const size_t end = part + 1 == ranges ? cost : cost / ranges * (part + 1) + cost % ranges * (part + 1) / ranges;
  const size_t chunks = a->k > MAX_CHUNK ? (a->k + MAX_CHUNK - 1) / MAX_CHUNK : 1;
  size_t before = 0; /* the cost of the segments before */
  for (size_t s = 0; s < a->segment_count && before < end; ++s) {
    const pith_sparse_gemm_f32_segment *g = &a->segments[s];
    if (g->n == 0)
      continue;
    const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, g->n, token, 0);
    pith_sparse_gemm_f32_range r = {
        .w = get_parts(a, s),
        .n = g->n,
        .x = a->x + pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, a->k, token, 0),
        .tokens = min_size(a->rows - token, PITH_TILE_TOKENS),
        .next = chunks > 1 ? scratch : NULL,
        .bias = g->bias,
        .activation = a->activation,
        .residual = a->residual ? a->residual + at : NULL,
        .y = g->y + at,
    };
    r.first = begin > before ? find_group(&r.w, begin - before) : 0;
    r.last = find_group(&r.w, end - before);
    before += cost_before(&r.w, r.w.groups);
    for (size_t chunk = 0; chunk < chunks && r.first < r.last; ++chunk) {
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
