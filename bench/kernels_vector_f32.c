/* The kernels beside products with weights and attention, over bench/shapes/vector_f32.txt: what counts is ns per element
 * and bytes per second. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/kernels.h"
#include "ops/copy/copy.h"
#include "ops/copy/reorder.h"
#include "ops/dropout/dropout.h"
#include "ops/elementwise/elementwise_f32.h"
#include "ops/embedding/embedding_f32.h"
#include "ops/normalize/layer_norm_f32.h"
#include "ops/normalize/layer_norm_tile_f32.h"
#include "ops/pool/pool_f32.h"
#include "ops/quantize/quantize.h"

enum { EMBEDDING_ROWS = 1024 };

/* What any of the argument structures points to. */
typedef struct vector_data {
  size_t rows, features;
  const char *variant;
  float *a, *b, *y, *row; /* [rows, features], the same, the same, [features] */
  float *scales;          /* [2 rows + EMBEDDING_ROWS]: of 8-bit rows, their zero points, scales of the table */
  void *q;                /* [rows, features] of bytes */
  float *table;           /* [EMBEDDING_ROWS, features] */
  int32_t *ids;           /* [rows] */
  int32_t offsets[2];
  double streams; /* of fill: how often rows x features floats are read or written */
} vector_data;

typedef union vector_args {
  pith_unary_f32_args unary;
  pith_binary_f32_args binary;
  pith_softmax_f32_args softmax;
  pith_layer_norm_f32_args layer_norm;
  pith_layer_norm_tile_f32_args layer_norm_tile;
  pith_lp_norm_f32_args lp_norm;
  pith_embedding_f32_args embedding;
  pith_pool_f32_args pool;
  pith_dropout_f32_args dropout;
  pith_positions_args positions;
  pith_gather_args gather;
  pith_cast_args cast;
  pith_quantize_args quantize;
  pith_dynamic_quantize_args dynamic_quantize;
  pith_dequantize_args dequantize;
  pith_transpose_args transpose;
  pith_reorder_args reorder;
} vector_args;

typedef struct vector_work {
  const pith_kernel *kernel;
  vector_args args;
  void *scratch;
} vector_work;

#define LIST_TEXT(name, text) text,

/* The index of `text` in `names`; `count` where it is none of them. */
static size_t find_name(const char *const *names, size_t count, const char *text) {
  size_t i = 0;
  while (i < count && strcmp(names[i], text) != 0)
    ++i;
  return i;
}

static bool fill_unary(vector_data *d, vector_args *out) {
  static const char *const names[PITH_UNARY_COUNT] = {PITH_UNARY_LIST(LIST_TEXT)};
  const size_t function = find_name(names, PITH_UNARY_COUNT, d->variant);
  out->unary =
      (pith_unary_f32_args){.x = d->a, .y = d->y, .count = d->rows * d->features, .function = (pith_unary)function};
  return function < PITH_UNARY_COUNT;
}
static bool fill_binary(vector_data *d, vector_args *out) {
  static const char *const names[PITH_BINARY_COUNT] = {PITH_BINARY_LIST(LIST_TEXT)};
  d->streams = 3;
  const size_t function = find_name(names, PITH_BINARY_COUNT, d->variant);
  out->binary = (pith_binary_f32_args){.a = d->a, .b = d->b, .y = d->y, .rows = d->rows, .columns = d->features,
                                       .a_row_stride = d->features, .a_column_stride = 1, .b_row_stride = d->features,
                                       .b_column_stride = 1, .function = (pith_binary)function};
  return function < PITH_BINARY_COUNT;
}
static bool fill_softmax(vector_data *d, vector_args *out) {
  out->softmax = (pith_softmax_f32_args){.x = d->a, .y = d->y, .rows = d->rows, .features = d->features,
                                         .x_stride = d->features, .y_stride = d->features};
  return true;
}
/* The variant's rows in 8 bits: "u8" in it for one scale, "dynamic" for one of each row. */
static pith_quantized_rows make_rows(vector_data *d) {
  const bool dynamic = strstr(d->variant, "dynamic") != NULL;
  if (!dynamic && !strstr(d->variant, "u8"))
    return (pith_quantized_rows){0};
  d->streams += 0.25;
  return (pith_quantized_rows){.q = d->q, .stride = d->features, .type = PITH_NUMBER_U8, .scale = d->scales,
                               .row_scale = dynamic ? d->scales : NULL,
                               .row_zero = dynamic ? (uint8_t *)(d->scales + d->rows) : NULL};
}
static bool fill_layer_norm(vector_data *d, vector_args *out) {
  const bool residual = strncmp(d->variant, "residual", 8) == 0;
  d->streams = residual ? 3 : 2;
  out->layer_norm = (pith_layer_norm_f32_args){.x = d->a, .residual = residual ? d->b : NULL,
                                               .gamma = d->row, .beta = d->row, .y = d->y, .rows = d->rows,
                                               .features = d->features, .x_stride = d->features,
                                               .residual_stride = d->features, .y_stride = d->features, .epsilon = 1e-12f,
                                               .q = make_rows(d)};
  return true;
}
/* 8 bits as tile64x4, but "tile64" in the variant. */
static bool fill_layer_norm_tile(vector_data *d, vector_args *out) {
  const bool residual = strncmp(d->variant, "residual", 8) == 0;
  d->streams = residual ? 3 : 2;
  const pith_quantized_rows q = make_rows(d);
  out->layer_norm_tile = (pith_layer_norm_tile_f32_args){
      .x = d->a, .residual = residual ? d->b : NULL, .gamma = d->row, .beta = d->row, .y = d->y, .rows = d->rows,
      .features = d->features, .epsilon = 1e-12f,
      .q = {.q = q.q, .type = q.type, .scale = q.scale, .row_scale = q.row_scale, .row_zero = q.row_zero,
            .layout = strstr(d->variant, "tile64") ? PITH_ACTIVATION_LAYOUT_TILE64 : PITH_ACTIVATION_LAYOUT_TILE64X4}};
  return d->rows % PITH_TILE_TOKENS == 0;
}
static bool fill_lp_norm(vector_data *d, vector_args *out) {
  out->lp_norm = (pith_lp_norm_f32_args){.x = d->a, .y = d->y, .rows = d->rows, .features = d->features,
                                         .x_stride = d->features, .y_stride = d->features, .p = 2, .epsilon = 1e-12f};
  return true;
}
static bool fill_embedding(vector_data *d, vector_args *out) {
  const bool bytes = strncmp(d->variant, "s8", 2) == 0; /* the tables */
  const float *scales = bytes ? d->scales + 2 * d->rows : NULL;
  d->streams = bytes ? 1.75 : 4;
  out->embedding = (pith_embedding_f32_args){.table_count = 3, .tables = {d->table, d->table, d->table},
                                             .row_scales = {scales, scales, scales}, .ids = {d->ids, d->ids, NULL},
                                             .gamma = d->row, .beta = d->row, .epsilon = 1e-12f, .y = d->y,
                                             .rows = d->rows, .features = d->features, .y_stride = d->features,
                                             .q = make_rows(d)};
  return true;
}
static bool fill_dropout(vector_data *d, vector_args *out) {
  static const int32_t key[4] = {1, 2, 3, 4};
  const bool residual = strcmp(d->variant, "residual") == 0;
  d->streams = residual ? 3 : 2;
  out->dropout = (pith_dropout_f32_args){.x = d->a, .residual = residual ? d->b : NULL, .y = d->y, .rows = d->rows,
                                         .features = d->features, .offsets = d->offsets, .sequences = 1,
                                         .dropout = {.ratio = 0.1f, .key = key}};
  return true;
}
static bool fill_pool(vector_data *d, vector_args *out) {
  static const char *const names[] = {PITH_POOL_F32_LIST(LIST_TEXT)};
  const size_t count = sizeof names / sizeof *names, mode = find_name(names, count, d->variant);
  d->streams = strcmp(d->variant, "cls") == 0 || strcmp(d->variant, "last") == 0 ? 2.0 / (double)d->rows : 1;
  out->pool = (pith_pool_f32_args){.x = d->a, .x_stride = d->features, .offsets = d->offsets, .sequences = 1,
                                   .features = d->features, .y = d->y, .y_stride = d->features, .mode = (pith_pool_mode)mode};
  return mode < count;
}

static bool fill_positions(vector_data *d, vector_args *out) {
  out->positions = (pith_positions_args){.ids = d->ids, .positions = (int32_t *)(void *)d->y, .offsets = d->offsets,
                                         .sequences = 1, .start = 2, .padding_id = 1};
  return d->features == 1;
}
static bool fill_gather(vector_data *d, vector_args *out) {
  out->gather = (pith_gather_args){.x = d->table, .indices = d->ids, .y = d->y, .outer = 1, .axis = EMBEDDING_ROWS,
                                   .inner_bytes = d->features * sizeof(float), .count = d->rows, .index_bytes = 4};
  return true;
}
static bool fill_cast(vector_data *d, vector_args *out) {
  out->cast = (pith_cast_args){.x = d->a, .y = d->y, .count = d->rows * d->features, .from = PITH_NUMBER_F32,
                               .to = PITH_NUMBER_F16};
  d->streams = 1.5;
  return true;
}
static bool fill_quantize(vector_data *d, vector_args *out) {
  d->streams = 1.25;
  const bool columns = strcmp(d->variant, "columns") == 0; /* a scale for each feature */
  out->quantize = (pith_quantize_args){.x = d->a, .x_stride = d->features, .rows = d->rows, .features = d->features,
                                       .scale = columns ? d->row : d->scales, .scale_step = columns,
                                       .block = columns ? 1 : d->features, .type = PITH_NUMBER_U8, .q = d->q,
                                       .q_stride = d->features};
  return columns || strcmp(d->variant, "tensor") == 0;
}
static bool fill_dynamic_quantize(vector_data *d, vector_args *out) {
  d->streams = 1.25;
  const bool whole = strcmp(d->variant, "rows") == 0, sequence = strcmp(d->variant, "sequence") == 0;
  const size_t block = whole ? d->features : 32; /* features of a head */
  out->dynamic_quantize = (pith_dynamic_quantize_args){.x = d->a, .x_stride = d->features, .rows = d->rows,
                                                       .features = d->features, .block = block,
                                                       .offsets = sequence ? d->offsets : NULL, .sequences = sequence,
                                                       .type = sequence ? PITH_NUMBER_S8 : PITH_NUMBER_U8, .q = d->q,
                                                       .q_stride = d->features, .scale = d->b, .zero = d->y};
  return (whole || sequence || strcmp(d->variant, "heads") == 0) && d->features % block == 0;
}
static bool fill_dequantize(vector_data *d, vector_args *out) {
  d->streams = 1.25;
  out->dequantize = (pith_dequantize_args){.q = d->q, .q_stride = d->features, .rows = d->rows, .features = d->features,
                                           .scale = d->scales, .scale_row_step = 1, .block = d->features,
                                           .type = PITH_NUMBER_S8, .y = d->y, .y_stride = d->features};
  return strcmp(d->variant, "rows") == 0;
}
static bool fill_transpose(vector_data *d, vector_args *out) {
  out->transpose = (pith_transpose_args){.x = d->a, .y = d->y, .rows = d->rows, .columns = d->features,
                                         .element_bytes = sizeof(float)};
  return true;
}

/* Type, from, to. */
static bool fill_reorder(vector_data *d, vector_args *out) {
  static const char *const names[PITH_ACTIVATION_LAYOUT_COUNT] = {PITH_ACTIVATION_LAYOUT_LIST(LIST_TEXT)};
  char type[4], from[16], to[16];
  if (sscanf(d->variant, "%3[^:]:%15[^:]:%15s", type, from, to) != 3)
    return false;
  const bool bytes = strcmp(type, "u8") == 0;
  const size_t x = find_name(names, PITH_ACTIVATION_LAYOUT_COUNT, from), y = find_name(names, PITH_ACTIVATION_LAYOUT_COUNT, to);
  d->streams = bytes ? 0.5 : 2;
  out->reorder = (pith_reorder_args){.x = d->a, .y = d->y, .rows = d->rows, .features = d->features,
                                     .element_bytes = bytes ? 1 : 4, .from = (pith_activation_layout)x,
                                     .to = (pith_activation_layout)y};
  return x < PITH_ACTIVATION_LAYOUT_COUNT && y < PITH_ACTIVATION_LAYOUT_COUNT && d->rows % PITH_TILE_TOKENS == 0;
}

/* One row per table. */
static const struct {
  const char *name;
  const pith_kernel *const *table;
  bool (*fill)(vector_data *data, vector_args *out); /* false: no such variant */
} vector_tables[] = {
    {"unary_f32", pith_unary_f32_kernels, fill_unary},
    {"binary_f32", pith_binary_f32_kernels, fill_binary},
    {"softmax_f32", pith_softmax_f32_kernels, fill_softmax},
    {"layer_norm_f32", pith_layer_norm_f32_kernels, fill_layer_norm},
    {"layer_norm_tile_f32", pith_layer_norm_tile_f32_kernels, fill_layer_norm_tile},
    {"lp_norm_f32", pith_lp_norm_f32_kernels, fill_lp_norm},
    {"embedding_f32", pith_embedding_f32_kernels, fill_embedding},
    {"pool_f32", pith_pool_f32_kernels, fill_pool},
    {"dropout_f32", pith_dropout_f32_kernels, fill_dropout},
    {"positions", pith_positions_kernels, fill_positions},
    {"gather", pith_gather_kernels, fill_gather},
    {"cast", pith_cast_kernels, fill_cast},
    {"transpose", pith_transpose_kernels, fill_transpose},
    {"reorder", pith_reorder_kernels, fill_reorder},
    {"quantize_f32", pith_quantize_kernels, fill_quantize},
    {"dynamic_quantize_f32", pith_dynamic_quantize_kernels, fill_dynamic_quantize},
    {"dequantize_f32", pith_dequantize_kernels, fill_dequantize},
};
enum { VECTOR_TABLES = sizeof vector_tables / sizeof *vector_tables };

static void run_once(void *context, size_t turn) {
  (void)turn;
  const vector_work *work = context;
  pith_kernel_run_all(work->kernel, &work->args, work->scratch);
}

static bool bench_shape(const bench_options *options, size_t table, vector_data *d) {
  char shape[128];
  snprintf(shape, sizeof shape, "%s %zux%zu", d->variant, d->rows, d->features);
  if (options->shape && !strstr(shape, options->shape))
    return true;
  const size_t count = d->rows * d->features;
  d->a = bench_make_floats(count);
  d->b = bench_make_floats(count);
  d->y = bench_make_floats(count);
  d->row = bench_make_floats(d->features);
  d->table = bench_make_floats(EMBEDDING_ROWS * d->features);
  d->scales = bench_make_floats(2 * d->rows + EMBEDDING_ROWS);
  d->scales[0] = 0.03f;
  d->q = bench_make_floats((count + 3) / 4);
  d->ids = (int32_t *)bench_make_floats(d->rows);
  for (size_t i = 0; i < d->rows; ++i)
    d->ids[i] = (int32_t)(i * 37 % EMBEDDING_ROWS);
  d->offsets[1] = (int32_t)d->rows;
  vector_work work = {0};
  d->streams = 2;
  const bool good = vector_tables[table].fill(d, &work.args);
  for (const pith_kernel *const *kernel = vector_tables[table].table; good && *kernel; ++kernel) {
    if (((*kernel)->needs & ~options->cpu) != 0 || (options->kernel && !strstr((*kernel)->name, options->kernel)))
      continue;
    if ((*kernel)->needs == 0 && vector_tables[table].table[1] && !options->kernel)
      continue; /* a reference beside others is measured only when asked for */
    work.kernel = *kernel;
    work.scratch = bench_make_floats((*kernel)->get_scratch_bytes ? (*kernel)->get_scratch_bytes(&work.args) / sizeof(float) + 1 : 0);
    bench_measure(options, (*kernel)->name, (*kernel)->needs, shape, 0, (double)count,
                  d->streams * (double)count * sizeof(float), run_once, &work);
    free(work.scratch);
  }
  free(d->a);
  free(d->b);
  free(d->y);
  free(d->row);
  free(d->table);
  free(d->scales);
  free(d->q);
  free(d->ids);
  return good;
}

static bool run_line(const bench_options *options, const char *line) {
  char name[64], variant[64];
  vector_data data = {.variant = variant};
  if (sscanf(line, "%63s %63s %zu %zu", name, variant, &data.rows, &data.features) != 4)
    return false;
  size_t table = 0;
  while (table < VECTOR_TABLES && strcmp(vector_tables[table].name, name) != 0)
    ++table;
  return table < VECTOR_TABLES && bench_shape(options, table, &data);
}

static bool run(const bench_options *options, const char *path) {
  return bench_read_shapes(options, path, run_line);
}

const bench_operator bench_vector_f32 = {.name = "vector_f32", .run = run};
