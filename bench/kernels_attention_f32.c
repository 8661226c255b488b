/* FP32 attention over bench/shapes/attention_f32.txt. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/attention/attention_f32.h"

enum { MAX_SEQUENCES = 256 };

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

static void bench_shape(const bench_options *options, const char *name, size_t heads, size_t size, const char *lengths,
                        const int32_t *offsets, size_t sequences) {
  char shape[256];
  snprintf(shape, sizeof shape, "%s %zux%zu %s", name, heads, size, lengths);
  if (options->shape && !strstr(shape, options->shape))
    return;
  const size_t tokens = (size_t)offsets[sequences], features = heads * size;
  float *qkv = bench_make_floats(3 * tokens * features), *y = bench_make_floats(tokens * features);
  attention_work work = {.args = {.q = qkv, .k = qkv + tokens * features, .v = qkv + 2 * tokens * features, .y = y,
                                  .q_stride = features, .k_stride = features, .v_stride = features, .y_stride = features,
                                  .q_offsets = offsets, .kv_offsets = offsets, .sequences = sequences, .heads = heads,
                                  .head_size = size, .value_size = size, .scale = 1.0f / sqrtf((float)size)}};
  double scores = 0;
  for (size_t s = 0; s < sequences; ++s) {
    const size_t length = (size_t)(offsets[s + 1] - offsets[s]);
    work.args.max_keys = length > work.args.max_keys ? length : work.args.max_keys;
    scores += (double)heads * (double)length * (double)length;
  }
  for (const pith_kernel *const *kernel = pith_attention_f32_kernels; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && !options->kernel)
      continue; /* the reference is measured only when asked for */
    work.kernel = *kernel;
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes(&work.args) / sizeof(float) + 1);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape, 4.0 * scores * (double)size,
                  (double)tokens * (double)features, 16.0 * (double)tokens * (double)features, run_once, &work);
    free(work.scratch);
  }
  free(qkv);
  free(y);
}

/* "8x128", or several joined by +. */
static bool read_lengths(const char *text, int32_t *out_offsets, size_t *out_sequences) {
  size_t count = 0, sequences, length;
  out_offsets[0] = 0;
  for (int used; sscanf(text, "%zux%zu%n", &sequences, &length, &used) == 2; text += used + 1) {
    if (sequences > MAX_SEQUENCES - count || length > 1 << 20)
      return false;
    for (size_t i = 0; i < sequences; ++i, ++count)
      out_offsets[count + 1] = out_offsets[count] + (int32_t)length;
    if (text[used] != '+') {
      *out_sequences = count;
      return count > 0 && text[used] == 0;
    }
  }
  return false;
}

static bool run_line(const bench_options *options, const char *line) {
  static int32_t offsets[MAX_SEQUENCES + 1];
  char name[64], lengths[160];
  size_t heads, size, sequences = 0;
  int used = 0, more = 0;
  if (sscanf(line, "%63s %zu %zu%n", name, &heads, &size, &used) != 3)
    return false;
  for (const char *at = line + used; sscanf(at, "%159s%n", lengths, &more) == 1; at += more) {
    if (!read_lengths(lengths, offsets, &sequences))
      return false;
    bench_shape(options, name, heads, size, lengths, offsets, sequences);
  }
  return true;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_attention_f32 = {"attention_f32", run};
