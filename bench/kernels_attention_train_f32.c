/* Attention of training, forward and backward, without and with dropout, over bench/shapes/attention_train_f32.txt. The stride of
 * q, k, v and their gradients is that of one [tokens, 3 * features]. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/attention_shapes.h"
#include "ops/attention/attention_train_f32.h"

typedef struct train_work {
  const pith_kernel *kernel;
  const void *args;
  void *scratch;
} train_work;

static void run_once(void *context, size_t turn) {
  (void)turn;
  const train_work *work = context;
  pith_kernel_run_all(work->kernel, work->args, work->scratch);
}

static void bench_table(const bench_options *options, const pith_kernel *const *kernel, const void *args,
                        const bench_attention_shape *shape, float ratio, double products, double streams) {
  const double elements = (double)shape->tokens * (double)(shape->heads * shape->size);
  char text[300];
  snprintf(text, sizeof text, "%s dropout %g", shape->text, (double)ratio);
  for (; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    train_work work = {.kernel = *kernel, .args = args};
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes(args) / sizeof(float) + 1);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, text, 2.0 * products * shape->scores * (double)shape->size,
                  elements, 4.0 * streams * elements, run_once, &work);
    free(work.scratch);
  }
}

static void bench_shape(const bench_options *options, const bench_attention_shape *shape) {
  if (options->shape && !strstr(shape->text, options->shape))
    return;
  static const int32_t key[4] = {1, 2, 3, 4};
  const size_t tokens = shape->tokens, features = shape->heads * shape->size, count = tokens * features;
  float *qkv = bench_make_floats(3 * count), *y = bench_make_floats(2 * count), *gradients = bench_make_floats(3 * count);
  float *statistics = bench_make_floats(tokens * shape->heads * 2);
  for (int drops = 0; drops < 2; ++drops) {
    const pith_attention_grad_f32_args args = {
        .forward = {.attention = {.q = qkv, .k = qkv + features, .v = qkv + 2 * features, .y = y, .q_stride = 3 * features,
                                  .k_stride = 3 * features, .v_stride = 3 * features, .y_stride = features,
                                  .q_offsets = shape->offsets, .kv_offsets = shape->offsets, .sequences = shape->sequences,
                                  .heads = shape->heads, .head_size = shape->size, .value_size = shape->size,
                                  .scale = 1.0f / sqrtf((float)shape->size), .max_keys = shape->longest},
                    .statistics = statistics,
                    .dropout = {.ratio = drops ? 0.1f : 0.0f, .key = key}},
        .dy = y + count, .dq = gradients, .dk = gradients + features, .dv = gradients + 2 * features, .dy_stride = features,
        .dq_stride = 3 * features, .dk_stride = 3 * features, .dv_stride = 3 * features};
    bench_table(options, pith_attention_train_f32_kernels, &args.forward, shape, args.forward.dropout.ratio, 2, 4);
    bench_table(options, pith_attention_grad_f32_kernels, &args, shape, args.forward.dropout.ratio, 5, 8);
  }
  free(qkv);
  free(y);
  free(gradients);
  free(statistics);
}

static bool run_line(const bench_options *options, const char *line) {
  return bench_read_attention_line(options, line, bench_shape);
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_attention_train_f32 = {.name = "attention_train_f32", .run = run};
