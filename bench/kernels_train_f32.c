/* The kernels that only training runs, beside products and attention, over bench/shapes/train_f32.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/elementwise/unary_grad_f32.h"
#include "ops/embedding/gather_grad_f32.h"
#include "ops/loss/loss_f32.h"
#include "ops/normalize/layer_norm_grad_f32.h"
#include "ops/normalize/softmax_grad_f32.h"
#include "ops/optimizer/optimizer_f32.h"
#include "ops/reduce/reduce_sum_f32.h"

enum { TRAIN_TABLE_ROWS = 30522 };

typedef struct train_data {
  size_t rows, features, count;
  float *array[4]; /* [rows, features] each; the fourth is nowhere negative */
  float *row;      /* [2 rows + 2 features] */
  double *sums;    /* [count / PITH_SUM_SQUARES_BLOCK + 1] */
  int32_t *labels; /* [rows] */
  float *table;    /* [TRAIN_TABLE_ROWS, features], for what reads it */
  double streams;  /* of fill: how often rows x features floats are read or written; usually 3 */
} train_data;

typedef union train_args {
  pith_unary_grad_f32_args unary;
  pith_layer_norm_grad_f32_args layer_norm;
  pith_layer_norm_grad_columns_f32_args columns;
  pith_softmax_grad_f32_args softmax;
  pith_reduce_sum_f32_args sum;
  pith_gather_grad_f32_args gather;
  pith_softmax_cross_entropy_f32_args cross_entropy;
  pith_adamw_f32_args adamw;
  pith_sgd_f32_args sgd;
  pith_sum_squares_f32_args squares;
  pith_axpy_f32_args axpy;
} train_args;

static void fill_gelu(train_data *d, train_args *out) {
  out->unary = (pith_unary_grad_f32_args){d->array[0], d->array[1], d->array[2], d->count, PITH_UNARY_GELU};
}
static void fill_layer_norm(train_data *d, train_args *out) {
  out->layer_norm = (pith_layer_norm_grad_f32_args){
      .x = d->array[0], .gamma = d->row, .dy = d->array[1], .dx = d->array[2], .mean = d->row + 2 * d->features,
      .inverse = d->row + 2 * d->features + d->rows, .rows = d->rows, .features = d->features, .x_stride = d->features,
      .dy_stride = d->features, .dx_stride = d->features, .epsilon = 1e-12f};
}
static void fill_columns(train_data *d, train_args *out) {
  d->streams = 2;
  out->columns = (pith_layer_norm_grad_columns_f32_args){
      .x = d->array[0], .dy = d->array[1], .mean = d->row + 2 * d->features, .inverse = d->row + 2 * d->features + d->rows,
      .dgamma = d->row, .dbeta = d->row + d->features, .rows = d->rows, .features = d->features, .x_stride = d->features,
      .dy_stride = d->features};
}
static void fill_softmax(train_data *d, train_args *out) {
  out->softmax = (pith_softmax_grad_f32_args){d->array[0], d->array[1], d->array[2], d->rows,
                                              d->features, d->features, d->features, d->features};
}
static void fill_sum(train_data *d, train_args *out) {
  d->streams = 1;
  out->sum = (pith_reduce_sum_f32_args){d->array[0], d->row, 1, d->rows, d->features};
}
static void fill_gather(train_data *d, train_args *out) { /* adding to the rows of a table, as the trainer does */
  d->table = bench_make_floats(TRAIN_TABLE_ROWS * d->features);
  out->gather = (pith_gather_grad_f32_args){d->array[0], d->labels, d->table, 1, TRAIN_TABLE_ROWS, d->features,
                                            d->rows, 4, true};
}
static void fill_cross_entropy(train_data *d, train_args *out) {
  d->streams = 2;
  for (size_t i = 0; i < d->rows; ++i)
    d->labels[i] = (int32_t)(i % d->features);
  out->cross_entropy = (pith_softmax_cross_entropy_f32_args){
      .x = d->array[0], .labels = d->labels, .rows = d->rows, .classes = d->features, .loss = d->row,
      .dloss = d->array[3], .dx = d->array[1]};
}
static const pith_adamw_options adamw = {0.9, 0.999, 1e-8, 0.01};
static void fill_adamw(train_data *d, train_args *out) {
  d->streams = 7;
  out->adamw = (pith_adamw_f32_args){d->array[0], d->array[1], d->array[3], d->array[2], d->count,
                                     pith_adamw_step_make(&adamw, 1e-5, 10), adamw, 1};
}
static void fill_sgd(train_data *d, train_args *out) {
  d->streams = 5;
  out->sgd = (pith_sgd_f32_args){d->array[0], d->array[1], d->array[2], d->count, pith_sgd_step_make(1e-5, 0.01), 0.9f, 0, 1};
}
static void fill_squares(train_data *d, train_args *out) {
  d->streams = 1;
  out->squares = (pith_sum_squares_f32_args){.x = d->array[0], .sums = d->sums, .count = d->count,
                                             .block = PITH_SUM_SQUARES_BLOCK};
}
static void fill_axpy(train_data *d, train_args *out) { /* what memory gives */
  out->axpy = (pith_axpy_f32_args){d->array[0], d->array[1], d->count, 1e-3f};
}

/* One row per table. */
static const struct {
  const char *name;
  const pith_kernel *const *table;
  void (*fill)(train_data *data, train_args *out);
} train_tables[] = {
    {"gelu_grad", pith_unary_grad_f32_kernels, fill_gelu},
    {"layer_norm_grad", pith_layer_norm_grad_f32_kernels, fill_layer_norm},
    {"layer_norm_grad_columns", pith_layer_norm_grad_columns_f32_kernels, fill_columns},
    {"softmax_grad", pith_softmax_grad_f32_kernels, fill_softmax},
    {"reduce_sum", pith_reduce_sum_f32_kernels, fill_sum},
    {"gather_grad", pith_gather_grad_f32_kernels, fill_gather},
    {"cross_entropy", pith_softmax_cross_entropy_f32_kernels, fill_cross_entropy},
    {"cross_entropy_grad", pith_softmax_cross_entropy_grad_f32_kernels, fill_cross_entropy},
    {"adamw", pith_adamw_f32_kernels, fill_adamw},
    {"sgd", pith_sgd_f32_kernels, fill_sgd},
    {"sum_squares", pith_sum_squares_f32_kernels, fill_squares},
    {"axpy", pith_axpy_f32_kernels, fill_axpy},
};
enum { TRAIN_TABLES = sizeof train_tables / sizeof *train_tables };

typedef struct train_work {
  const pith_kernel *kernel;
  train_args args;
  void *scratch;
} train_work;

static void run_once(void *context, size_t turn) {
  (void)turn;
  const train_work *work = context;
  pith_kernel_run_all(work->kernel, &work->args, work->scratch);
}

static void bench_shape(const bench_options *options, size_t table, train_data *d) {
  char shape[128];
  snprintf(shape, sizeof shape, "%s %zux%zu", train_tables[table].name, d->rows, d->features);
  if (options->shape && !strstr(shape, options->shape))
    return;
  d->count = d->rows * d->features;
  for (size_t i = 0; i < 4; ++i)
    d->array[i] = bench_make_floats(d->count);
  for (size_t i = 0; i < d->count; ++i)
    d->array[3][i] *= d->array[3][i];
  d->row = bench_make_floats(2 * d->rows + 2 * d->features);
  d->sums = (double *)bench_make_floats(2 * pith_sum_squares_count(d->count, PITH_SUM_SQUARES_BLOCK));
  d->labels = (int32_t *)bench_make_floats(d->rows);
  for (size_t i = 0; i < d->rows; ++i)
    d->labels[i] = (int32_t)(i * 7919 % TRAIN_TABLE_ROWS);
  train_work work = {0};
  d->streams = 3;
  train_tables[table].fill(d, &work.args);
  for (const pith_kernel *const *kernel = train_tables[table].table; *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)) ||
        ((*kernel)->needs == 0 && !options->kernel)) /* the reference is measured only when asked for */
      continue;
    work.kernel = *kernel;
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes ? (*kernel)->get_scratch_bytes(&work.args) / sizeof(float) + 1 : 0);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape, 0, (double)d->count,
                  d->streams * (double)d->count * sizeof(float), run_once, &work);
    free(work.scratch);
  }
  for (size_t i = 0; i < 4; ++i)
    free(d->array[i]);
  free(d->row);
  free(d->sums);
  free(d->labels);
  free(d->table);
}

static bool run_line(const bench_options *options, const char *line) {
  char name[64];
  train_data data = {0};
  if (sscanf(line, "%63s %zu %zu", name, &data.rows, &data.features) != 3)
    return false;
  size_t table = 0;
  while (table < TRAIN_TABLES && strcmp(train_tables[table].name, name) != 0)
    ++table;
  if (table == TRAIN_TABLES)
    return false;
  bench_shape(options, table, &data);
  return true;
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_train_f32 = {.name = "train_f32", .run = run};
