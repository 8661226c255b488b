/* pith-bench-kernels: times every kernel of the tables over the shapes in bench/shapes, as CSV. */
#include "bench/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_SAMPLES = 400, MIN_SAMPLES = 5 };

static const bench_operator *const operators[] = {&bench_gemm_f32,      &bench_gemm_f32_training, &bench_gemm_u8s8,
                                                &bench_attention_f32, &bench_attention_train_f32, &bench_attention_u8s8, &bench_vector_f32,
                                                &bench_train_f32,     &bench_sparse_gemm_f32,   &bench_sparse_gemm_u8s8,
                                                NULL};

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* what other processes take does not count */
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int compare_doubles(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double run_for(bench_work work, void *context, size_t *turn, size_t times) {
  const double begin = seconds_now();
  for (size_t i = 0; i < times; ++i)
    work(context, (*turn)++);
  return (seconds_now() - begin) / (double)times;
}

float *bench_make_floats(size_t count) {
  float *out = aligned_alloc(64, (count * sizeof(float) + 63) / 64 * 64 + 64);
  if (!out) {
    fputs("pith-bench-kernels: out of memory\n", stderr);
    exit(1);
  }
  uint32_t state = 1;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    out[i] = ldexpf((float)(state >> 8), -24) - 0.5f;
  }
  return out;
}

void bench_measure(const bench_options *options, const char *kernel, pith_cpu_set needs, const char *shape,
                   double operations, double elements, double bytes, bench_work work, void *context) {
  bench_measure_as(options, PITH_PEAK_FP32, kernel, needs, shape, operations, elements, bytes, work, context);
}

void bench_measure_as(const bench_options *options, pith_peak_kind kind, const char *kernel, pith_cpu_set needs,
                      const char *shape, double operations, double elements, double bytes, bench_work work, void *context) {
  static double times[MAX_SAMPLES], peaks[MAX_SAMPLES];
  size_t turn = 0, each = 1;
  /* A sample is about a millisecond, a turn at least. */
  for (double t = run_for(work, context, &turn, 1); t * (double)each < 1e-3; each *= 2)
    t = run_for(work, context, &turn, each);
  size_t samples = 0;
  const double begin = seconds_now();
  while (samples < MAX_SAMPLES && (samples < MIN_SAMPLES || seconds_now() - begin < options->seconds)) {
    peaks[samples] = pith_peak_measure(kind, needs, 1);
    times[samples++] = run_for(work, context, &turn, each);
  }
  qsort(times, samples, sizeof *times, compare_doubles);
  qsort(peaks, samples, sizeof *peaks, compare_doubles);
  const double median = times[samples / 2], peak = peaks[samples / 2];
  const double spread = (times[samples * 9 / 10] - times[samples / 10]) / median;
  printf("%s,%s,%.1f,%.3f,%.1f,%.3f,%.3f,%.3f,%.2f\n", kernel, shape, median * 1e6, spread, operations / median * 1e-9,
         peak > 0.0 ? operations / median / peak : 0.0,
         peak > 0.0 ? operations / times[0] / peaks[samples - 1] : 0.0, median * 1e9 / elements,
         bytes / median * 1e-9);
  fflush(stdout);
}

bench_pair bench_measure_pair(const bench_options *options, bench_work work, void *context, void *other_context) {
  static double times[2][MAX_SAMPLES], ratios[MAX_SAMPLES];
  void *const contexts[2] = {context, other_context};
  size_t turns[2] = {0, 0}, each[2] = {1, 1}, samples = 0;
  for (size_t i = 0; i < 2; ++i)
    for (double t = run_for(work, contexts[i], &turns[i], 1); t * (double)each[i] < 1e-3; each[i] *= 2)
      t = run_for(work, contexts[i], &turns[i], each[i]);
  const double begin = seconds_now();
  while (samples < MAX_SAMPLES && (samples < MIN_SAMPLES || seconds_now() - begin < options->seconds)) {
    for (size_t i = 0; i < 2; ++i)
      times[i][samples] = run_for(work, contexts[i], &turns[i], each[i]);
    ratios[samples] = times[1][samples] / times[0][samples];
    ++samples;
  }
  for (size_t i = 0; i < 2; ++i)
    qsort(times[i], samples, sizeof *times[i], compare_doubles);
  qsort(ratios, samples, sizeof *ratios, compare_doubles);
  const double median = times[0][samples / 2];
  return (bench_pair){median, (times[0][samples * 9 / 10] - times[0][samples / 10]) / median, times[1][samples / 2],
                      ratios[samples / 2]};
}

bool bench_read_shapes(const bench_options *options, const char *path,
                       bool (*line)(const bench_options *options, const char *line)) {
  FILE *file = fopen(path, "r");
  if (!file) {
    fprintf(stderr, "pith-bench-kernels: cannot read %s\n", path);
    return false;
  }
  char text[512];
  bool good = true;
  while (good && fgets(text, sizeof text, file))
    good = text[0] == '#' || text[strspn(text, " \n")] == 0 || line(options, text);
  if (!good)
    fprintf(stderr, "pith-bench-kernels: %s: no shape, or it failed: %s", path, text);
  fclose(file);
  return good;
}

static int fail_usage(const char *what) {
  fprintf(stderr,
          "pith-bench-kernels: %s\n"
          "usage: pith-bench-kernels [--shapes DIRECTORY] [--operator NAME] [--kernel TEXT] [--shape TEXT]\n"
          "                          [--seconds S] [--cold MEGABYTES] [--weights SAFETENSORS] [--without FEATURE]...\n",
          what);
  return 2;
}

int main(int argc, char **argv) {
  bench_options options = {.shapes = PITH_BENCH_SHAPES, .seconds = 0.2, .cpu = pith_cpu_detect()};
  const char *only = NULL;
  for (int i = 1; i < argc; i += 2) {
    const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (!value)
      return fail_usage("an option without a value");
    if (strcmp(name, "--shapes") == 0)
      options.shapes = value;
    else if (strcmp(name, "--operator") == 0)
      only = value;
    else if (strcmp(name, "--kernel") == 0)
      options.kernel = value;
    else if (strcmp(name, "--shape") == 0)
      options.shape = value;
    else if (strcmp(name, "--seconds") == 0)
      options.seconds = strtod(value, NULL);
    else if (strcmp(name, "--cold") == 0)
      options.cold_megabytes = strtod(value, NULL);
    else if (strcmp(name, "--weights") == 0)
      options.weights = value;
    else if (strcmp(name, "--without") == 0) {
      unsigned bit = 0;
      while (pith_cpu_feature_text(bit) && strcmp(pith_cpu_feature_text(bit), value) != 0)
        ++bit;
      if (!pith_cpu_feature_text(bit))
        return fail_usage("an unknown CPU feature");
      options.cpu &= ~((pith_cpu_set)1 << bit);
    } else
      return fail_usage("an unknown option");
  }
  static const char usual_columns[] = "kernel,shape,median_us,spread,gflops,fraction_of_peak,best_fraction,ns_per_element,gbytes_per_s";
  const char *columns = NULL;
  int status = 0;
  for (const bench_operator *const *op = operators; *op; ++op) {
    char path[4096];
    if (only && strcmp((*op)->name, only) != 0)
      continue;
    snprintf(path, sizeof path, "%s/%s.txt", options.shapes, (*op)->name);
    const char *wanted = (*op)->columns ? (*op)->columns : usual_columns;
    if (wanted != columns)
      puts(columns = wanted);
    if (!(*op)->run(&options, path))
      status = 1;
  }
  return status;
}
