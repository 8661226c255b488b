/* What every other kernel's bits are compared with: each sum over the units of its group, each result finished by itself. */
#include <math.h>
#include <string.h>

#include "ops/math/v16_plain.h"

#include "ops/math/functions.h"

#include "ops/gemm/gemm_u8s8_activate.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8_internal.h"

enum { GROUP = PITH_SPARSE_GROUP, BLOCK = 16 /* outputs finished at once */ };

/* A task is a token, in all segments. */
static size_t count_tasks(const void *args, size_t threads) {
  const pith_sparse_gemm_u8s8_args *a = args;
  (void)threads;
  return a->segment_count == 0 ? 0 : a->rows;
}

/* A row of floats and one of levels, where they wait for each other. */
static size_t get_scratch_bytes(const void *args) {
  const pith_sparse_gemm_u8s8_args *a = args;
  return a->q_per_row ? a->segments[0].n * (sizeof(float) + 1) : 0;
}

static pith_activation_layout x_layout(pith_sparse_form form) {
  return form == PITH_SPARSE_B4X4_S8 ? PITH_ACTIVATION_LAYOUT_TILE64X4 : PITH_ACTIVATION_LAYOUT_TILE64;
}

/* Sums of a group's outputs for token t: modulo 2^32 throughout, as all kernels, so that even stored sums which are not those
 * of the weights give everywhere the same. */
static void multiply(const pith_sparse_gemm_u8s8_args *a, const pith_sparse_parts *w, size_t group, size_t t,
                     int32_t out_sums[GROUP]) {
  uint32_t sums[GROUP];
  const uint8_t zero = a->x_zero[a->x_per_row ? t : 0];
  for (size_t j = 0; j < GROUP; ++j)
    sums[j] = -(uint32_t)zero * (uint32_t)w->sums[group * GROUP + j];
  for (size_t u = w->starts[group]; u < w->starts[group + 1]; ++u) {
    const uint8_t *unit = w->units + u * w->unit_bytes, *weights = unit + w->unit_bytes - GROUP * 4;
    for (size_t i = 0; i < 4; ++i) {
      uint16_t input;
      uint32_t block;
      memcpy(&input, unit + (a->form == PITH_SPARSE_B4X1_S8 ? 2 * i : 0), sizeof input);
      memcpy(&block, unit, sizeof block);
      const size_t k = a->form == PITH_SPARSE_B4X1_S8 ? input : block * (size_t)4 + i;
      if (k >= a->k)
        break; /* the weight is 0 */
      const int32_t x = a->x[pith_activation_index(x_layout(a->form), a->k, t, k)];
      for (size_t j = 0; j < GROUP; ++j)
        sums[j] += (uint32_t)(x * (int8_t)weights[j * 4 + i]);
    }
  }
  memcpy(out_sums, sums, sizeof sums);
}

/* A row's levels to where they belong. */
static void scatter(const pith_quantized_tiles *q, size_t n, size_t t, size_t n0, size_t columns, const uint8_t *levels) {
  for (size_t j = 0; j < columns; ++j)
    ((uint8_t *)q->q)[pith_activation_index(q->layout, n, t, n0 + j)] = levels[j];
}

static void run_block(const pith_sparse_gemm_u8s8_args *a, const pith_sparse_gemm_u8s8_segment *s, size_t t, size_t n0,
                      float *row) {
  const pith_sparse_parts parts = pith_sparse_get_parts(a->form, s->n, s->w);
  const size_t columns = s->n - n0 < BLOCK ? s->n - n0 : BLOCK;
  const float x_scale = a->x_scale[a->x_per_row ? t : 0];
  float z[BLOCK] = {0};
  int32_t sums[BLOCK];
  for (size_t j = 0; j < columns; j += GROUP)
    multiply(a, &parts, (n0 + j) / GROUP, t, sums + j);
  for (size_t j = 0; j < columns; ++j)
    z[j] = fmaf((float)sums[j], x_scale * s->w_scale[n0 + j], s->bias ? s->bias[n0 + j] : 0.0f);
  v16_store(z, s->y ? gemm_activate(a->activation, v16_load(z)) : gemm_activate_8bit(a->activation, v16_load(z)));
  for (size_t j = 0; j < columns; ++j) {
    const size_t at = pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, s->n, t, n0 + j);
    z[j] = a->residual ? z[j] + a->residual[at] : z[j];
    if (s->y)
      s->y[at] = z[j];
  }
  if (a->q_per_row) {
    memcpy(row + n0, z, columns * sizeof *z);
  } else if (s->q.q) {
    const quantizer to_8bit = quantizer_make(s->q.type, *s->q.scale, s->q.zero ? *s->q.zero : 0);
    uint8_t levels[BLOCK];
    quantizer_store_first(&to_8bit, columns, v16_load(z), levels);
    scatter(&s->q, s->n, t, n0, columns, levels);
  }
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_sparse_gemm_u8s8_args *a = args;
  (void)threads;
  for (const pith_sparse_gemm_u8s8_segment *s = a->segments; s < a->segments + a->segment_count; ++s)
    for (size_t n0 = 0; n0 < s->n; n0 += BLOCK)
      run_block(a, s, task, n0, scratch);
  const pith_sparse_gemm_u8s8_segment *s = a->segments;
  if (!a->q_per_row || s->n == 0)
    return;
  uint8_t *levels = (uint8_t *)scratch + s->n * sizeof(float);
  const pith_quantized_rows row = {.q = levels,
                                   .stride = s->n,
                                   .type = s->q.type,
                                   .row_scale = s->q.row_scale + task,
                                   .row_zero = s->q.row_zero ? s->q.row_zero + task : NULL};
  quantize_row(&row, 0, scratch, s->n);
  scatter(&s->q, s->n, task, 0, s->n, levels);
}

const pith_kernel pith_sparse_gemm_u8s8_reference = {
    .name = "sparse_gemm_u8s8_reference",
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
