/* Block-sparse INT8 products over bench/shapes/sparse_gemm_u8s8.txt, each beside the dense product of the same instruction set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "bench/sparse_masks.h"
#include "ops/copy/reorder.h"
#include "ops/gemm/gemm_u8s8.h"
#include "ops/sparse_gemm/sparse_gemm_u8s8.h"

typedef struct result_kind {
  const char *name;
  pith_activation activation;
  bool q, residual, reorders, rows;
} result_kind;
static const result_kind kinds[] = {
    {"f32", PITH_ACTIVATION_NONE, false, false, false, false},
    {"residual", PITH_ACTIVATION_NONE, false, true, false, false},
    {"gelu-u8", PITH_ACTIVATION_GELU, true, false, false, false},
    {"reorder", PITH_ACTIVATION_NONE, false, false, true, false},
    {"rows-u8", PITH_ACTIVATION_GELU, true, false, false, true},
};
static const char *const mask_names[] = {
    [BENCH_MASK_RANDOM] = "random", [BENCH_MASK_UNEVEN] = "uneven", [BENCH_MASK_MAGNITUDE] = "magnitude"};
#define COUNT(array) (sizeof(array) / sizeof *(array))

/* A form, as files and people call it. */
static const struct {
  pith_sparse_form form;
  const char *name;
  size_t width;
  pith_activation_layout layout;
} forms[] = {{PITH_SPARSE_B4X1_S8, "4x1", 1, PITH_ACTIVATION_LAYOUT_TILE64},
             {PITH_SPARSE_B4X4_S8, "4x4", 4, PITH_ACTIVATION_LAYOUT_TILE64X4}};

typedef struct work {
  const pith_kernel *kernel;
  const void *args;
  const pith_kernel *reorder; /* first, or NULL */
  pith_reorder_args reorder_args;
  void *scratch;
} work;

static void run_once(void *context, size_t turn) {
  const work *w = context;
  (void)turn;
  if (w->reorder)
    pith_kernel_run_all(w->reorder, &w->reorder_args, NULL);
  pith_kernel_run_all(w->kernel, w->args, w->scratch);
}

static void *make_bytes(size_t count) {
  return bench_make_floats((count + 3) / 4);
}

static void make_scratch(work *w) {
  const size_t bytes = w->kernel->get_scratch_bytes ? w->kernel->get_scratch_bytes(w->args) : 0;
  w->scratch = make_bytes(bytes);
}

/* What both products have. */
typedef struct shape {
  char name[64];
  size_t n, k, tokens;
  const result_kind *kind;
  bench_mask mask;
  unsigned kept; /* percent */
} shape;

typedef struct tensors {
  uint8_t *x, *x_tiles, *x_zero, *q, *row_zero;
  float *x_scale, *w_scale, *bias, *residual, *y, *row_scale;
} tensors;

static tensors make_tensors(const shape *s) {
  const size_t results = pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64X4, s->tokens, s->n);
  tensors t = {
      .x = make_bytes(s->tokens * s->k),
      .x_tiles = make_bytes(pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64X4, s->tokens, s->k)),
      .x_zero = make_bytes(s->tokens),
      .q = make_bytes(results),
      .row_zero = make_bytes(s->tokens),
      .x_scale = bench_make_floats(s->tokens),
      .w_scale = bench_make_floats(s->n),
      .bias = bench_make_floats(s->n),
      .residual = bench_make_floats(results),
      .y = bench_make_floats(results),
      .row_scale = bench_make_floats(s->tokens),
  };
  for (size_t i = 0; i < s->n; ++i)
    t.w_scale[i] *= 1e-4f;
  return t;
}

static void free_tensors(const tensors *t) {
  void *const all[] = {t->x, t->x_tiles, t->x_zero, t->q, t->row_zero, t->x_scale, t->w_scale, t->bias, t->residual, t->y, t->row_scale};
  for (size_t i = 0; i < COUNT(all); ++i)
    free(all[i]);
}

static const float q_scale = 0.02f;
static const uint8_t q_zero = 8;

static pith_gemm_u8s8_args make_dense(const shape *s, const tensors *t, const void *w) {
  const bool q = s->kind->q, rows = s->kind->rows;
  pith_gemm_u8s8_args a = {.x = t->x, .x_stride = s->k, .rows = s->tokens, .k = s->k, .x_scale = t->x_scale, .x_zero = t->x_zero,
                           .x_per_row = rows, .q_per_row = rows, .segment_count = 1, .activation = s->kind->activation,
                           .residual = s->kind->residual ? t->residual : NULL, .residual_stride = s->n};
  a.segments[0] = (pith_gemm_u8s8_segment){.w = w, .w_scale = t->w_scale, .bias = t->bias, .n = s->n, .y = q ? NULL : t->y, .y_stride = s->n};
  if (q)
    a.segments[0].q = (pith_quantized_rows){.q = t->q, .stride = s->n, .type = PITH_NUMBER_U8, .scale = &q_scale, .zero = &q_zero,
                                            .row_scale = rows ? t->row_scale : NULL, .row_zero = rows ? t->row_zero : NULL};
  return a;
}

static pith_sparse_gemm_u8s8_args make_sparse(const shape *s, const tensors *t, pith_sparse_form form,
                                              pith_activation_layout layout, const void *w) {
  const bool q = s->kind->q, rows = s->kind->rows;
  pith_sparse_gemm_u8s8_args a = {.form = form, .x = t->x_tiles, .rows = s->tokens, .k = s->k, .x_scale = t->x_scale,
                                  .x_zero = t->x_zero, .x_per_row = rows, .q_per_row = rows, .segment_count = 1,
                                  .activation = s->kind->activation, .residual = s->kind->residual ? t->residual : NULL};
  a.segments[0] = (pith_sparse_gemm_u8s8_segment){.w = w, .w_scale = t->w_scale, .bias = t->bias, .n = s->n, .y = q ? NULL : t->y};
  if (q)
    a.segments[0].q = (pith_quantized_tiles){.q = t->q, .layout = layout, .type = PITH_NUMBER_U8, .scale = &q_scale, .zero = &q_zero,
                                             .row_scale = rows ? t->row_scale : NULL, .row_zero = rows ? t->row_zero : NULL};
  return a;
}

/* The kernel of the other table for the same instruction set. */
static const pith_kernel *find_dense(pith_cpu_set needs) {
  return pith_kernel_select(pith_gemm_u8s8_kernels, needs);
}

static void bench_form(const bench_options *options, const shape *s, size_t f, const int8_t *w, const tensors *t) {
  const size_t units = pith_sparse_count_units(forms[f].form, s->n, s->k, w);
  void *packed = make_bytes(pith_sparse_packed_bytes(forms[f].form, s->n, units));
  void *stored = make_bytes(pith_gemm_u8s8_packed_bytes(s->n, s->k));
  pith_sparse_pack(forms[f].form, s->n, s->k, w, packed);
  pith_gemm_u8s8_pack(s->n, s->k, w, stored);
  const pith_gemm_u8s8_args dense_args = make_dense(s, t, stored);
  const pith_sparse_gemm_u8s8_args sparse_args = make_sparse(s, t, forms[f].form, forms[f].layout, packed);
  for (const pith_kernel *const *kernel = pith_sparse_gemm_u8s8_kernels; *kernel; ++kernel) {
    const pith_cpu_set needs = (*kernel)->needs;
    if ((needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)) ||
        (needs == 0 && !options->kernel))
      continue;
    work dense = {.kernel = find_dense(needs), .args = &dense_args}, sparse = {.kernel = *kernel, .args = &sparse_args};
    if (s->kind->reorders) {
      sparse.reorder = pith_kernel_select(pith_reorder_kernels, options->cpu);
      sparse.reorder_args = (pith_reorder_args){t->x, t->x_tiles, s->tokens, s->k, 1, PITH_ACTIVATION_LAYOUT_ROW_MAJOR, forms[f].layout};
    }
    make_scratch(&dense);
    make_scratch(&sparse);
    const bench_pair pair = bench_measure_pair(options, run_once, &sparse, &dense);
    const double operations = 2.0 * (double)s->tokens * (double)s->n * (double)s->k;
    printf("%s,%s %zux%zux%zu %s,%s,%s,%u,%.1f,%.3f,%.1f,%.1f,%.3f\n", (*kernel)->name, s->name, s->tokens, s->n, s->k, s->kind->name,
           forms[f].name, mask_names[s->mask], s->kept, pair.median * 1e6, pair.spread, pair.other_median * 1e6,
           operations / pair.median * 1e-9, pair.ratio);
    fflush(stdout);
    free(dense.scratch);
    free(sparse.scratch);
  }
  free(packed);
  free(stored);
}

static void bench_shape(const bench_options *options, const shape *s, const bench_squares *squares) {
  char text[256];
  for (size_t f = 0; f < COUNT(forms); ++f) {
    snprintf(text, sizeof text, "%s %zux%zux%zu %s %s %s %u", s->name, s->tokens, s->n, s->k, s->kind->name, forms[f].name,
             mask_names[s->mask], s->kept);
    if (options->shape && !strstr(text, options->shape))
      continue;
    int8_t *w = bench_make_masked(s->mask, squares, s->n, s->k, forms[f].width, s->kept / 100.0);
    if (!w)
      continue; /* no trained weights */
    const tensors t = make_tensors(s);
    bench_form(options, s, f, w, &t);
    free_tensors(&t);
    free(w);
  }
}

static size_t find_name(const char *name, const char *const *names, size_t count, size_t stride) {
  size_t i = 0;
  while (i < count && strcmp(*(const char *const *)(const void *)((const char *)(const void *)names + i * stride), name) != 0)
    ++i;
  return i;
}

static bool run_line(const bench_options *options, const char *line) {
  static bench_squares squares;
  shape s;
  char kind[32], mask[32];
  int used = 0, more = 0;
  if (sscanf(line, "%63s %zu %zu %31s %31s %zu%n", s.name, &s.n, &s.k, kind, mask, &s.tokens, &used) != 6)
    return false;
  const size_t kind_index = find_name(kind, &kinds[0].name, COUNT(kinds), sizeof *kinds);
  const size_t mask_index = find_name(mask, mask_names, COUNT(mask_names), sizeof *mask_names);
  if (kind_index == COUNT(kinds) || mask_index == COUNT(mask_names))
    return false;
  if (options->weights && !squares.magnitudes && !bench_read_squares(options->weights, &squares)) {
    fprintf(stderr, "pith-bench-kernels: %s holds no FP32 or FP16 matrix with sizes that are multiples of %d\n", options->weights,
            BENCH_SQUARE_SIDE);
    return false;
  }
  s.kind = &kinds[kind_index];
  s.mask = (bench_mask)mask_index;
  for (const char *at = line + used; sscanf(at, "%u%n", &s.kept, &more) == 1; at += more)
    bench_shape(options, &s, squares.magnitudes ? &squares : NULL);
  return true;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_sparse_gemm_u8s8 = {
    "sparse_gemm_u8s8", run,
    "kernel,shape,form,mask,kept_percent,median_us,spread,dense_us,dense_equivalent_gops,times_as_fast_as_dense"};
