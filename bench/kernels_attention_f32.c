/* FP32 attention over bench/shapes/attention_f32.txt. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bench/attention_shapes.h"
#include "ops/attention/attention_f32.h"

typedef struct attention_work {
  const pith_kernel *kernel;
  pith_attention_f32_args args;
  void *scratch;
} attention_work;

static void run_once(void *context, size_t turn) {
  (void)turn;
  const attention_work *work = context;
  pith_kernel_run_all(work->kernel, &work->args, work->scratch);
}

static void bench_shape(const bench_options *options, const bench_attention_shape *shape) {
  if (options->shape && !strstr(shape->text, options->shape))
    return;
  const size_t tokens = shape->tokens, features = shape->heads * shape->size;
  float *qkv = bench_make_floats(3 * tokens * features), *y = bench_make_floats(tokens * features);
  attention_work work = {.args = {.q = qkv, .k = qkv + tokens * features, .v = qkv + 2 * tokens * features, .y = y,
                                  .q_stride = features, .k_stride = features, .v_stride = features, .y_stride = features,
                                  .q_offsets = shape->offsets, .kv_offsets = shape->offsets,
                                  .sequences = shape->sequences, .heads = shape->heads, .head_size = shape->size,
                                  .value_size = shape->size, .scale = 1.0f / sqrtf((float)shape->size),
                                  .max_keys = shape->longest}};
  for (const pith_kernel *const *kernel = pith_attention_f32_kernels; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    work.kernel = *kernel;
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes(&work.args) / sizeof(float) + 1);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape->text, 4.0 * shape->scores * (double)shape->size,
                  (double)tokens * (double)features, 16.0 * (double)tokens * (double)features, run_once, &work);
    free(work.scratch);
  }
  free(qkv);
  free(y);
}

static bool run_line(const bench_options *options, const char *line) {
  return bench_read_attention_line(options, line, bench_shape);
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_attention_f32 = {.name = "attention_f32", .run = run};
