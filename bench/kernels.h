/* Timing kernels: each sample is taken beside a sample of the register-only loop, so that both see the same clock. */
#ifndef PITH_BENCH_KERNELS_H
#define PITH_BENCH_KERNELS_H

#include <stdbool.h>

#include "ops/cpu/peak.h"
#include "ops/kernel.h"

typedef struct bench_options {
  const char *shapes;        /* directory of shape files */
  const char *kernel;        /* only kernels whose name contains this, or NULL */
  const char *shape;         /* only shapes whose name contains this, or NULL */
  double seconds;            /* for each kernel and shape */
  double cold_megabytes;     /* weights are copied until they take so much, and used in turn */
  const char *weights;       /* a safetensors file for masks of a trained model, or NULL */
  pith_cpu_set cpu;
} bench_options;

/* Runs the work once; `turn` counts the calls. */
typedef void (*bench_work)(void *context, size_t turn);

/* Values of a trained network's order; the speed of no kernel depends on them. Ends the program where memory is out. */
float *bench_make_floats(size_t count);

/* Prints a row of the CSV. `needs`: the kernel's features; it is compared with the peak of these, an AVX2 kernel with
 * the AVX2 loop. operations: of products, 0 where it has none; elements: of the result; bytes: read and written
 * at least, each once. */
void bench_measure(const bench_options *options, const char *kernel, pith_cpu_set needs, const char *shape,
                   double operations, double elements, double bytes, bench_work work, void *context);

/* The same for a kernel that is compared with another peak than that of FP32. */
void bench_measure_as(const bench_options *options, pith_peak_kind kind, const char *kernel, pith_cpu_set needs,
                      const char *shape, double operations, double elements, double bytes, bench_work work, void *context);

/* Two works measured by turns, sample by sample, so that both see the same clock. */
typedef struct bench_pair {
  double median, spread, other_median; /* seconds; (9th - 1st decile) / median */
  double ratio;                        /* the median of other / work */
} bench_pair;
bench_pair bench_measure_pair(const bench_options *options, bench_work work, void *context, void *other_context);

/* Gives every line of a file of shapes to `line`, but comments (#) and empty ones; false (with a message on standard
 * error) where the file cannot be read or a line is refused. */
bool bench_read_shapes(const bench_options *options, const char *path,
                       bool (*line)(const bench_options *options, const char *line));

/* One operator's kernels over its shapes; false (with a message on standard error) where the shapes cannot be read or
 * bits are wrong. */
typedef struct bench_operator {
  const char *name; /* <name>.txt holds its shapes */
  bool (*run)(const bench_options *options, const char *path);
  const char *columns; /* NULL: those of bench_measure */
} bench_operator;

extern const bench_operator bench_gemm_f32, bench_gemm_f32_training, bench_gemm_u8s8, bench_attention_f32,
    bench_attention_train_f32, bench_attention_u8s8, bench_vector_f32, bench_train_f32, bench_sparse_gemm_f32, bench_sparse_gemm_u8s8;

#endif
