#include "ops/sparse_gemm/sparse_gemm_u8s8_walk.h"

enum {
  GROUP_COST = 4, /* of finishing a group, in units */
  TASKS_PER_THREAD = 4, /* at least, where there is that much to share out: threads may differ in speed */
  MIN_TASK_COST = 1024, /* units: some 5 us */
};

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

static size_t count_tiles(const pith_sparse_gemm_u8s8_args *a) {
  return (a->rows + PITH_TILE_TOKENS - 1) / PITH_TILE_TOKENS;
}

static pith_sparse_parts get_parts(const pith_sparse_gemm_u8s8_args *a, size_t s) {
  return pith_sparse_get_parts(a->form, a->segments[s].n, a->segments[s].w);
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

static size_t all_cost(const pith_sparse_gemm_u8s8_args *a) {
  size_t cost = 0;
  for (size_t s = 0; s < a->segment_count; ++s)
    if (a->segments[s].n > 0) {
      const pith_sparse_parts w = get_parts(a, s);
      cost += cost_before(&w, w.groups);
    }
  return cost;
}

/* Ranges of groups that a tile is cut into. */
static size_t count_ranges(const pith_sparse_gemm_u8s8_args *a, size_t cost, size_t threads) {
  const size_t tiles = count_tiles(a), wanted = TASKS_PER_THREAD * threads;
  if (threads <= 1 || a->q_per_row || tiles >= 2 * wanted)
    return 1;
  const size_t ranges = (wanted + tiles - 1) / tiles, worth = cost / MIN_TASK_COST;
  return min_size(ranges, worth > 0 ? worth : 1);
}

size_t pith_sparse_gemm_u8s8_count_tasks(const void *args, size_t threads) {
  const pith_sparse_gemm_u8s8_args *a = args;
  const size_t cost = all_cost(a);
  return a->rows == 0 || cost == 0 ? 0 : count_tiles(a) * count_ranges(a, cost, threads);
}

size_t pith_sparse_gemm_u8s8_get_scratch_bytes(const void *args) {
  const pith_sparse_gemm_u8s8_args *a = args;
  return a->q_per_row ? a->segments[0].n * PITH_TILE_TOKENS * sizeof(float) : 0;
}

static const pith_activation_layout x_layouts[PITH_SPARSE_FORM_COUNT] = {
    [PITH_SPARSE_B4X1_S8] = PITH_ACTIVATION_LAYOUT_TILE64,
    [PITH_SPARSE_B4X4_S8] = PITH_ACTIVATION_LAYOUT_TILE64X4,
};

/* Everything of a range but its groups. */
static pith_sparse_gemm_u8s8_range make_range(const pith_sparse_gemm_u8s8_args *a, size_t s, size_t tile, float *waiting) {
  const pith_sparse_gemm_u8s8_segment *g = &a->segments[s];
  const size_t token = tile * PITH_TILE_TOKENS, of_x = a->x_per_row ? token : 0;
  const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, g->n, token, 0);
  pith_sparse_gemm_u8s8_range r = {
      .form = a->form,
      .w = get_parts(a, s),
      .n = g->n,
      .x = a->x + pith_activation_index(x_layouts[a->form], a->k, token, 0),
      .tokens = min_size(a->rows - token, PITH_TILE_TOKENS),
      .x_scale = a->x_scale + of_x,
      .x_zero = a->x_zero + of_x,
      .x_per_row = a->x_per_row,
      .w_scale = g->w_scale,
      .bias = g->bias,
      .activation = a->activation,
      .for_8bit = !g->y, /* or waits for its token's scale */
      .residual = a->residual ? a->residual + at : NULL,
      .y = g->y ? g->y + at : waiting,
  };
  if (g->q.q && !waiting) {
    r.q = (uint8_t *)g->q.q + pith_activation_index(g->q.layout, g->n, token, 0);
    r.q_layout = g->q.layout;
    r.q_type = g->q.type;
    r.q_scale = *g->q.scale;
    r.q_zero = g->q.zero ? *g->q.zero : 0;
  }
  return r;
}

static void quantize_tile(const pith_sparse_gemm_u8s8_code *code, const pith_sparse_gemm_u8s8_args *a,
                          const pith_sparse_gemm_u8s8_range *done, size_t tile) {
  const size_t token = tile * PITH_TILE_TOKENS;
  pith_sparse_gemm_u8s8_tile_rows rows = {.z = done->y, .n = done->n, .tokens = done->tokens, .q = a->segments[0].q};
  rows.q.q = (uint8_t *)rows.q.q + pith_activation_index(rows.q.layout, done->n, token, 0);
  rows.q.row_scale += token;
  if (rows.q.row_zero)
    rows.q.row_zero += token;
  code->quantize_tile(&rows);
}

void pith_sparse_gemm_u8s8_run(const pith_sparse_gemm_u8s8_code *code, const void *args, size_t threads, size_t task,
                               void *scratch) {
  const pith_sparse_gemm_u8s8_args *a = args;
  const size_t cost = all_cost(a), ranges = count_ranges(a, cost, threads);
  const size_t tile = task / ranges, part = task % ranges;
  const size_t begin = cost / ranges * part + cost % ranges * part / ranges;
  const size_t end = part + 1 == ranges ? cost : cost / ranges * (part + 1) + cost % ranges * (part + 1) / ranges;
  size_t before = 0; /* the cost of the segments before */
  for (size_t s = 0; s < a->segment_count && before < end; ++s) {
    if (a->segments[s].n == 0)
      continue;
    pith_sparse_gemm_u8s8_range r = make_range(a, s, tile, a->q_per_row ? scratch : NULL);
    r.first = begin > before ? find_group(&r.w, begin - before) : 0;
    r.last = find_group(&r.w, end - before);
    before += cost_before(&r.w, r.w.groups);
    if (r.first < r.last)
      code->run_range(&r);
    if (a->q_per_row)
      quantize_tile(code, a, &r, tile);
  }
}
