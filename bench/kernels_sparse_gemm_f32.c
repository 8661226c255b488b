/* Block-sparse FP32 products over bench/shapes/sparse_gemm_f32.txt, and beside each the dense product of the same shape: rows of
 * both count the operations on weights that are not 0, and so does the fraction of peak; the times are what to compare. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/sparse_gemm/sparse_gemm_f32.h"

typedef struct sparse_work {
  const pith_kernel *kernel;
  const void *args;
  void *scratch;
} sparse_work;

static void run_once(void *context, size_t turn) {
  const sparse_work *work = context;
  (void)turn;
  pith_kernel_run_all(work->kernel, work->args, work->scratch);
}

static void bench_table(const bench_options *options, const char *shape, const pith_kernel *const *table, const void *args,
                        double operations, double elements, double bytes) {
  for (const pith_kernel *const *kernel = table; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    sparse_work work = {.kernel = *kernel, .args = args};
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes ? (*kernel)->get_scratch_bytes(args) / sizeof(float) + 1 : 0);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape, operations, elements, bytes, run_once, &work);
    free(work.scratch);
  }
}

/* Keeps blocks of 4 outputs x `width` inputs by chance. */
static void prune(float *w, size_t n, size_t k, size_t width, double sparsity) {
  uint32_t state = 7;
  for (size_t n0 = 0; n0 < n; n0 += PITH_SPARSE_GROUP)
    for (size_t k0 = 0; k0 < k; k0 += width) {
      state = state * 1664525u + 1013904223u;
      if ((double)(state >> 8) * 0x1p-24 >= sparsity)
        continue;
      for (size_t j = n0; j < n0 + PITH_SPARSE_GROUP && j < n; ++j)
        for (size_t i = k0; i < k0 + width && i < k; ++i)
          w[j * k + i] = 0.0f;
    }
}

static void bench_shape(const bench_options *options, const char *name, size_t n, size_t k, size_t width, double sparsity,
                        size_t tokens) {
  char shape[128];
  snprintf(shape, sizeof shape, "%s %zux%zux%zu 4x%zu %.2f", name, tokens, n, k, width, sparsity);
  if (options->shape && !strstr(shape, options->shape))
    return;
  const pith_activation_layout tile64 = PITH_ACTIVATION_LAYOUT_TILE64;
  float *w = bench_make_floats(n * k), *bias = bench_make_floats(n), *x = bench_make_floats(pith_activation_count(tile64, tokens, k));
  float *y = bench_make_floats(pith_activation_count(tile64, tokens, n)), *dense = bench_make_floats(pith_gemm_f32_packed_count(n, k));
  prune(w, n, k, width, sparsity);
  const size_t units = pith_sparse_count_units(PITH_SPARSE_B4X1_F32, n, k, w);
  const size_t bytes = pith_sparse_packed_bytes(PITH_SPARSE_B4X1_F32, n, units);
  float *packed = bench_make_floats(bytes / sizeof(float));
  pith_sparse_pack(PITH_SPARSE_B4X1_F32, n, k, w, packed);
  pith_gemm_f32_pack(n, k, w, dense);
  const pith_sparse_gemm_f32_args sparse_args = {
      .x = x, .rows = tokens, .k = k, .segment_count = 1, .segments = {{.w = packed, .bias = bias, .y = y, .n = n}}};
  const pith_gemm_f32_args dense_args = {.x = x, .x_stride = k, .rows = tokens, .k = k, .segment_count = 1,
                                         .segments = {{.w = dense, .bias = bias, .y = y, .y_stride = n, .n = n}}};
  const double operations = 2.0 * PITH_SPARSE_GROUP * (double)units * (double)tokens, elements = (double)tokens * (double)n;
  const double activations = 4.0 * (double)tokens * (double)(n + k);
  bench_table(options, shape, pith_sparse_gemm_f32_kernels, &sparse_args, operations, elements, activations + (double)bytes);
  bench_table(options, shape, pith_gemm_f32_kernels, &dense_args, operations, elements, activations + 4.0 * (double)n * (double)k);
  free(w);
  free(bias);
  free(x);
  free(y);
  free(dense);
  free(packed);
}

static bool run_line(const bench_options *options, const char *line) {
  char name[64];
  size_t n, k, width, tokens;
  double sparsity;
  int used = 0, more = 0;
  if (sscanf(line, "%63s %zu %zu 4x%zu %lf%n", name, &n, &k, &width, &sparsity, &used) != 5 || width == 0)
    return false;
  for (const char *at = line + used; sscanf(at, "%zu%n", &tokens, &more) == 1; at += more)
    bench_shape(options, name, n, k, width, sparsity, tokens);
  return true;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_sparse_gemm_f32 = {.name = "sparse_gemm_f32", .run = run};
