/* INT8 attention over bench/shapes/attention_u8s8.txt: bytes to bytes ("static"), over rows and over tiles; floats to floats
 * ("dynamic"). Elements are scores, of which there are far more than outputs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/attention_shapes.h"
#include "ops/attention/attention_tile_u8s8.h"

typedef struct attention_work {
  const pith_kernel *kernel;
  const void *args;
  void *scratch;
} attention_work;

static void run_once(void *context, size_t turn) {
  (void)turn;
  const attention_work *work = context;
  pith_kernel_run_all(work->kernel, work->args, work->scratch);
}

/* Every kernel of a table. Operations: 4 for each score and feature of a head; bytes: of a feature of a token. */
static void bench_table(const bench_options *options, const pith_kernel *const *table, const bench_attention_shape *shape,
                        const char *text, double bytes, const void *args) {
  for (const pith_kernel *const *kernel = table; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    attention_work work = {*kernel, args, bench_make_floats((*kernel)->get_scratch_bytes(args) / sizeof(float) + 1)};
    bench_measure_as(options, PITH_PEAK_INT8, (*kernel)->name, (*kernel)->needs, text,
                     4.0 * shape->scores * (double)shape->size, shape->scores,
                     bytes * (double)(shape->tokens * shape->heads * shape->size), run_once, &work);
    free(work.scratch);
  }
}

static void bench_form(const bench_options *options, const bench_attention_shape *shape, bool is_dynamic) {
  static const float scales[] = {1.0f / 32, 1.0f / 32, 1.0f / 64, 1.0f / 128};
  static const uint8_t zero = 128;
  char text[300];
  snprintf(text, sizeof text, "%s %s", shape->text, is_dynamic ? "dynamic" : "static");
  if (options->shape && !strstr(text, options->shape))
    return;
  const size_t features = shape->heads * shape->size;
  const size_t count = pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64X4, shape->tokens, features); /* or of rows, fewer */
  float *floats = bench_make_floats(3 * count), *y = bench_make_floats(count);
  uint8_t *bytes = malloc(3 * count + 1);
  if (!bytes)
    abort();
  for (size_t i = 0; i < 3 * count; ++i)
    bytes[i] = (uint8_t)(int)(floats[i] * 255.0f);
  pith_attention_u8s8_args args = {.is_dynamic = is_dynamic, .q = bytes, .k = bytes + count, .v = bytes + 2 * count,
                                   .q_stride = features, .k_stride = features, .v_stride = features, .y_stride = features,
                                   .q_scale = scales, .k_scale = scales + 1, .v_scale = scales + 2, .q_zero = &zero,
                                   .q_offsets = shape->offsets, .kv_offsets = shape->offsets,
                                   .sequences = shape->sequences, .heads = shape->heads, .head_size = shape->size,
                                   .value_size = shape->size, .scale = 1.0f / sqrtf((float)shape->size),
                                   .max_keys = shape->longest};
  if (is_dynamic) {
    args.q = floats;
    args.k = floats + count;
    args.v = floats + 2 * count;
    args.y = y;
  } else
    args.y_q = (pith_quantized_rows){.q = y, .stride = features, .type = PITH_NUMBER_U8, .scale = scales + 3, .zero = &zero};
  bench_table(options, pith_attention_u8s8_kernels, shape, text, is_dynamic ? 16.0 : 4.0, &args);
  const pith_attention_tile_u8s8_args tiles = {
      .q = args.q, .k = args.k, .v = args.v, .q_scale = args.q_scale, .k_scale = args.k_scale, .v_scale = args.v_scale,
      .q_zero = args.q_zero,
      .y_q = {.q = y, .layout = PITH_ACTIVATION_LAYOUT_TILE64, .type = PITH_NUMBER_U8, .scale = scales + 3, .zero = &zero},
      .q_offsets = args.q_offsets, .kv_offsets = args.kv_offsets, .sequences = args.sequences, .heads = args.heads,
      .head_size = args.head_size, .value_size = args.value_size, .scale = args.scale, .max_keys = args.max_keys};
  if (!is_dynamic)
    bench_table(options, pith_attention_tile_u8s8_kernels, shape, text, 4.0, &tiles);
  free(bytes);
  free(floats);
  free(y);
}

static void bench_shape(const bench_options *options, const bench_attention_shape *shape) {
  bench_form(options, shape, false);
  bench_form(options, shape, true);
}

static bool run_line(const bench_options *options, const char *line) {
  return bench_read_attention_line(options, line, bench_shape);
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_attention_u8s8 = {.name = "attention_u8s8", .run = run};
