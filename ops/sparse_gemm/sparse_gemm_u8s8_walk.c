#include "ops/sparse_gemm/sparse_gemm_u8s8_walk.h"

#include "ops/sparse_gemm/sparse_split.h"

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

static pith_sparse_split make_split(const pith_sparse_gemm_u8s8_args *a) {
  pith_sparse_split split = {.rows = a->rows,
                             .group_cost = 4,
                             .least_cost = 1024,
                             .whole = a->q_per_row,
                             .segment_count = a->segment_count};
  for (size_t s = 0; s < a->segment_count; ++s)
    if (a->segments[s].n > 0)
      split.parts[s] = pith_sparse_get_parts(a->form, a->segments[s].n, a->segments[s].w);
  return split;
}

size_t pith_sparse_gemm_u8s8_count_tasks(const void *args, size_t threads) {
  const pith_sparse_split split = make_split(args);
  return pith_sparse_split_count(&split, threads);
}

size_t pith_sparse_gemm_u8s8_get_scratch_bytes(const void *args) {
  const pith_sparse_gemm_u8s8_args *a = args;
  return a->q_per_row ? a->segments[0].n * PITH_TILE_TOKENS * sizeof(float) : 0;
}

static const pith_activation_layout x_layouts[PITH_SPARSE_FORM_COUNT] = {
    [PITH_SPARSE_B4X1_S8] = PITH_ACTIVATION_LAYOUT_TILE64,
    [PITH_SPARSE_B4X4_S8] = PITH_ACTIVATION_LAYOUT_TILE64X4,
};

/* Everything of a range but its weights and groups. */
static pith_sparse_gemm_u8s8_range make_range(const pith_sparse_gemm_u8s8_args *a, size_t s, size_t tile, float *waiting) {
  const pith_sparse_gemm_u8s8_segment *g = &a->segments[s];
  const size_t token = tile * PITH_TILE_TOKENS, of_x = a->x_per_row ? token : 0;
  const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, g->n, token, 0);
  pith_sparse_gemm_u8s8_range r = {
      .form = a->form,
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
  const pith_sparse_split split = make_split(a);
  const pith_sparse_task part = pith_sparse_split_get(&split, threads, task);
  for (size_t s = 0; s < a->segment_count; ++s) {
    if (part.first[s] >= part.last[s])
      continue;
    pith_sparse_gemm_u8s8_range r = make_range(a, s, part.tile, a->q_per_row ? scratch : NULL);
    r.w = split.parts[s];
    r.first = part.first[s];
    r.last = part.last[s];
    code->run_range(&r);
    if (a->q_per_row)
      quantize_tile(code, a, &r, part.tile);
  }
}
