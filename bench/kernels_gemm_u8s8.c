/* INT8 products over bench/shapes/gemm_u8s8.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/gemm/gemm_u8s8.h"

/* What becomes of the sums. */
typedef struct result_kind {
  const char *name;
  pith_activation activation;
  bool y, q, residual, rows;
} result_kind;
static const result_kind kinds[] = {
    {"f32", PITH_ACTIVATION_NONE, true, false, false, false},
    {"residual", PITH_ACTIVATION_NONE, true, false, true, false},
    {"u8", PITH_ACTIVATION_NONE, false, true, false, false},
    {"gelu-u8", PITH_ACTIVATION_GELU, false, true, false, false},
    {"rows-u8", PITH_ACTIVATION_GELU, false, true, false, true},
};

typedef struct gemm_work {
  const pith_kernel *kernel;
  pith_gemm_u8s8_args args;
  int8_t *weights;
  size_t copies, packed[PITH_GEMM_MAX_SEGMENTS], all_packed;
  void *scratch;
} gemm_work;

static void run_once(void *context, size_t turn) {
  gemm_work *work = context;
  const int8_t *w = work->weights + turn % work->copies * work->all_packed;
  for (size_t s = 0; s < work->args.segment_count; w += work->packed[s++])
    work->args.segments[s].w = w;
  pith_kernel_run_all(work->kernel, &work->args, work->scratch);
}

static void bench_kernels(const bench_options *options, const char *shape, size_t all_n, gemm_work *work) {
  const pith_gemm_u8s8_args *a = &work->args;
  const double results = (double)a->rows * (double)all_n, k = (double)a->k;
  const double result_bytes = (a->segments[0].y ? 4 : 1) + (a->residual ? 4 : 0);
  for (const pith_kernel *const *kernel = pith_gemm_u8s8_kernels; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    work->kernel = *kernel;
    const size_t bytes = (*kernel)->get_scratch_bytes ? (*kernel)->get_scratch_bytes(a) : 0;
    work->scratch = bench_make_floats(bytes / sizeof(float) + 1);
    bench_measure_as(options, PITH_PEAK_INT8, (*kernel)->name, (*kernel)->needs, shape, 2.0 * results * k, results,
                     results * result_bytes + ((double)a->rows + (double)all_n) * k, run_once, work);
    free(work->scratch);
  }
}

static void *make_bytes(size_t count) {
  return bench_make_floats((count + 3) / 4);
}

/* Weights as they are stored, any bytes: one copy of all segments behind the other. */
static void make_weights(const bench_options *options, gemm_work *work) {
  for (size_t s = 0; s < work->args.segment_count; ++s) {
    work->packed[s] = pith_gemm_u8s8_packed_bytes(work->args.segments[s].n, work->args.k);
    work->all_packed += work->packed[s];
  }
  work->copies = 1 + (size_t)(options->cold_megabytes * 1e6 / (double)work->all_packed);
  work->weights = make_bytes(work->copies * work->all_packed);
}

static void bench_shape(const bench_options *options, const char *name, const char *sizes, const size_t *n, size_t segments,
                        size_t k, const result_kind *kind, size_t tokens) {
  char shape[256];
  snprintf(shape, sizeof shape, "%s %zux%sx%zu %s", name, tokens, sizes, k, kind->name);
  if (options->shape && !strstr(shape, options->shape))
    return;
  size_t all_n = 0;
  for (size_t s = 0; s < segments; ++s)
    all_n += n[s];
  float *bias = bench_make_floats(all_n), *y = bench_make_floats(tokens * all_n), *row_scale = bench_make_floats(tokens);
  float *residual = bench_make_floats(tokens * all_n), *scale = bench_make_floats(all_n);
  uint8_t *x = make_bytes(tokens * k), *q = make_bytes(tokens * all_n), *zeros = make_bytes(tokens), *row_zero = make_bytes(tokens);
  float *x_scale = bench_make_floats(tokens);
  const float q_scale = 0.02f;
  const uint8_t q_zero = 8;
  gemm_work work = {.args = {.x = x, .x_stride = k, .rows = tokens, .k = k, .x_scale = x_scale, .x_zero = zeros,
                             .x_per_row = kind->rows, .q_per_row = kind->rows, .segment_count = segments,
                             .activation = kind->activation, .residual = kind->residual ? residual : NULL,
                             .residual_stride = all_n}};
  for (size_t i = 0; i < all_n; ++i)
    scale[i] *= 1e-4f;
  for (size_t s = 0, n0 = 0; s < segments; n0 += n[s++]) {
    pith_gemm_u8s8_segment *g = &work.args.segments[s];
    *g = (pith_gemm_u8s8_segment){.n = n[s], .bias = bias + n0, .w_scale = scale + n0, .y_stride = all_n};
    g->y = kind->y ? y + n0 : NULL;
    if (kind->q)
      g->q = (pith_quantized_rows){.q = q + n0, .stride = all_n, .type = PITH_NUMBER_U8, .scale = &q_scale, .zero = &q_zero};
    if (kind->rows) {
      g->q.row_scale = row_scale;
      g->q.row_zero = row_zero;
    }
  }
  make_weights(options, &work);
  bench_kernels(options, shape, all_n, &work);
  void *const all[] = {bias, y, row_scale, residual, scale, x, q, zeros, row_zero, x_scale, work.weights};
  for (size_t i = 0; i < sizeof all / sizeof *all; ++i)
    free(all[i]);
}

/* "768", or several joined by +. */
static bool read_sizes(const char *text, size_t out_n[PITH_GEMM_MAX_SEGMENTS], size_t *out_count) {
  *out_count = 0;
  for (int used = 0; *out_count < PITH_GEMM_MAX_SEGMENTS && sscanf(text, "%zu%n", &out_n[*out_count], &used) == 1;) {
    ++*out_count;
    text += used;
    if (*text == '\0')
      return true;
    text += *text == '+';
  }
  return false;
}

static bool run_line(const bench_options *options, const char *line) {
  char name[64], sizes[64], kind_name[32];
  size_t n[PITH_GEMM_MAX_SEGMENTS], segments, k, tokens, kind = 0;
  int used = 0, more = 0;
  if (sscanf(line, "%63s %63s %zu %31s%n", name, sizes, &k, kind_name, &used) != 4 || !read_sizes(sizes, n, &segments))
    return false;
  const size_t kind_count = sizeof kinds / sizeof *kinds;
  while (kind < kind_count && strcmp(kinds[kind].name, kind_name) != 0)
    ++kind;
  if (kind == kind_count)
    return false;
  for (const char *at = line + used; sscanf(at, "%zu%n", &tokens, &more) == 1; at += more)
    bench_shape(options, name, sizes, n, segments, k, &kinds[kind], tokens);
  return true;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_gemm_u8s8 = {.name = "gemm_u8s8", .run = run};
