/* FP32 products over bench/shapes/gemm_f32.txt and gemm_f32_training.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/gemm/gemm_f32.h"

static const char *const activation_names[PITH_ACTIVATION_COUNT] = {
#define ACTIVATION_TEXT(name, text) text,
    PITH_ACTIVATION_LIST(ACTIVATION_TEXT)
#undef ACTIVATION_TEXT
};

static const char *const form_names[] = {
    [PITH_GEMM_BLOCKS] = "blocks", [PITH_GEMM_ROWS] = "rows", [PITH_GEMM_COLUMNS] = "columns"};
enum { FORMS = sizeof form_names / sizeof *form_names };

typedef struct gemm_work {
  const pith_kernel *kernel;
  pith_gemm_f32_args args;
  float *weights;
  size_t copies, count; /* of floats of one */
  void *scratch;
} gemm_work;

static void run_once(void *context, size_t turn) {
  gemm_work *work = context;
  work->args.segments[0].w = work->weights + turn % work->copies * work->count;
  pith_kernel_run_all(work->kernel, &work->args, work->scratch);
}

#ifdef PITH_BENCH_XSMM
extern const pith_kernel bench_gemm_f32_xsmm_avx2, bench_gemm_f32_xsmm_avx512;
static const pith_kernel *const peers[] = {&bench_gemm_f32_xsmm_avx2, &bench_gemm_f32_xsmm_avx512, NULL};

/* The shapes that the generated code is for (xsmm_body.h). */
static bool fits_peers(const pith_gemm_f32_args *a) {
  return a->k == 768 && a->rows >= 6 && a->segments[0].n % 64 == 0 && a->segments[0].form == PITH_GEMM_BLOCKS &&
         a->activation == PITH_ACTIVATION_NONE;
}
#else
static const pith_kernel *const peers[] = {NULL};

static bool fits_peers(const pith_gemm_f32_args *a) {
  (void)a;
  return false;
}
#endif

/* A peer whose sums are not the same bits would be no comparison. */
static bool check_peers(const bench_options *options, gemm_work *work) {
  bool good = true;
  const pith_gemm_f32_args *a = &work->args;
  const size_t count = a->rows * a->segments[0].n;
  for (const pith_kernel *const *peer = peers; *peer; ++peer) {
    if (((*peer)->needs & ~options->cpu) != 0)
      continue;
    float *scratch = bench_make_floats((*peer)->get_scratch_bytes(a) / sizeof(float)), *expected = bench_make_floats(count);
    work->kernel = pith_gemm_f32_kernels[1]; /* AVX2: needs no more than a peer */
    work->scratch = bench_make_floats(work->kernel->get_scratch_bytes(a) / sizeof(float));
    run_once(work, 0);
    memcpy(expected, a->segments[0].y, count * sizeof *expected);
    free(work->scratch);
    work->kernel = *peer;
    work->scratch = scratch;
    run_once(work, 0);
    if (memcmp(expected, a->segments[0].y, count * sizeof *expected) != 0) {
      good = false;
      fprintf(stderr, "pith-bench-kernels: %s gives other bits\n", (*peer)->name);
    }
    free(expected);
    free(scratch);
  }
  return good;
}

static void bench_kernels(const bench_options *options, const char *shape, const pith_kernel *const *table,
                          gemm_work *work) {
  const pith_gemm_f32_args *a = &work->args;
  for (const pith_kernel *const *kernel = table; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    work->kernel = *kernel;
    const size_t bytes = (*kernel)->get_scratch_bytes ? (*kernel)->get_scratch_bytes(a) : 0;
    work->scratch = bench_make_floats(bytes / sizeof(float) + 1);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape,
                  2.0 * (double)a->rows * (double)a->segments[0].n * (double)a->k,
                  (double)a->rows * (double)a->segments[0].n,
                  4.0 * ((double)a->rows * (double)(a->segments[0].n + a->k) + (double)a->segments[0].n * (double)a->k),
                  run_once, work);
    free(work->scratch);
  }
}

static bool bench_shape(const bench_options *options, const char *name, size_t n, size_t k, pith_activation activation,
                        pith_gemm_form form, size_t tokens) {
  char shape[128];
  snprintf(shape, sizeof shape, "%s %zux%zux%zu %s", name, tokens, n, k,
           form == PITH_GEMM_BLOCKS ? activation_names[activation] : form_names[form]);
  if (options->shape && !strstr(shape, options->shape))
    return true;
  gemm_work work = {.count = (pith_gemm_f32_packed_count(n, k) + 15) / 16 * 16};
  work.copies = 1 + (size_t)(options->cold_megabytes * 1e6 / ((double)work.count * sizeof(float)));
  work.weights = bench_make_floats(work.copies * work.count);
  float *x = bench_make_floats(tokens * k), *bias = bench_make_floats(n), *y = bench_make_floats(tokens * n);
  work.args = (pith_gemm_f32_args){
      .x = x,
      .x_stride = k,
      .rows = tokens,
      .k = k,
      .segment_count = 1,
      .segments = {{.bias = bias, .y = y, .y_stride = n, .n = n, .form = form, .w_stride = form == PITH_GEMM_ROWS ? k : n}},
      .activation = activation,
  };
  bench_kernels(options, shape, pith_gemm_f32_kernels, &work);
  const bool fits = fits_peers(&work.args), good = !fits || check_peers(options, &work);
  if (fits && good)
    bench_kernels(options, shape, peers, &work);
  free(work.weights);
  free(x);
  free(bias);
  free(y);
  return good;
}

/* Its place in `names`, or `count`. */
static unsigned find_name(const char *const *names, unsigned count, const char *name) {
  unsigned i = 0;
  while (i < count && strcmp(names[i], name) != 0)
    ++i;
  return i;
}

/* Name, n, k, the activation (with stored blocks) or the form of the weights, tokens. */
static bool run_line(const bench_options *options, const char *line) {
  char name[64], what[32];
  size_t n, k, tokens;
  int used = 0, more = 0;
  if (sscanf(line, "%63s %zu %zu %31s%n", name, &n, &k, what, &used) != 4)
    return false;
  const unsigned activation = find_name(activation_names, PITH_ACTIVATION_COUNT, what);
  const unsigned form = activation < PITH_ACTIVATION_COUNT ? PITH_GEMM_BLOCKS : find_name(form_names, FORMS, what);
  bool good = form < FORMS;
  for (const char *at = line + used; good && sscanf(at, "%zu%n", &tokens, &more) == 1; at += more)
    good = bench_shape(options, name, n, k,
                       activation < PITH_ACTIVATION_COUNT ? (pith_activation)activation : PITH_ACTIVATION_NONE,
                       (pith_gemm_form)form, tokens);
  return good;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_gemm_f32 = {.name = "gemm_f32", .run = run};
const bench_operator bench_gemm_f32_training = {.name = "gemm_f32_training", .run = run};
