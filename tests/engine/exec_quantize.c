/* Quantizing operators run as they stand: ONNX's definitions, with values worked out by hand and a formula of the test's own; a
 * graph whose values are all on the grid keeps every bit; weights in stored blocks. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/format/stored_layout.h"
#include "tests/engine/exec_fixture.h"

enum { MAX_INPUTS = 4, MAX_DIMS = 4 };

typedef struct operand {
  pith_dtype dtype;
  uint32_t rank;
  int64_t dims[MAX_DIMS];
  const void *data; /* NULL: absent */
  bool is_data;     /* of the graph; otherwise an input of the run */
} operand;

typedef struct setting {
  const char *name;
  int64_t value;
} setting;

typedef struct one_node {
  pith_graph *graph;
  pith_graph_run run;
  void *copies[MAX_INPUTS];
  pith_status status;
  pith_error error;
} one_node;

static size_t count_elements(const operand *o) {
  size_t count = 1;
  for (uint32_t i = 0; i < o->rank; i++)
    count *= (size_t)o->dims[i];
  return count;
}

/* `packed`: the first dimension of a matrix is a symbol, and operand 1 has offsets. */
static pith_tensor_id add_operand(pith_builder *builder, const operand *o, int index, bool packed, void **out_copy,
                                  pith_feed *feeds, uint32_t *feed_count) {
  char name[16];
  snprintf(name, sizeof name, "in%d", index);
  const size_t bytes = count_elements(o) * pith_dtype_get_info(o->dtype)->bits / 8;
  *out_copy = pith_allocate(NULL, bytes);
  assert_non_null(*out_copy);
  memcpy(*out_copy, o->data, bytes);
  if (o->is_data)
    return pith_build_data(builder, PITH_TENSOR_CONSTANT, name, o->dtype, o->rank, o->dims, PITH_LAYOUT_ROW_MAJOR,
                           *out_copy, bytes);
  pith_dim dims[MAX_DIMS];
  pith_feed *feed = &feeds[(*feed_count)++];
  feed->data = *out_copy;
  for (uint32_t d = 0; d < o->rank; d++) {
    feed->dims[d] = (size_t)o->dims[d];
    dims[d] = packed && d == 0 && o->rank > 1 ? pith_build_dim(builder, "rows", 1, 0) : pith_dim_of(o->dims[d]);
  }
  if (packed && index == 1)
    dims[0] = pith_build_dim(builder, "sequences", 1, 1);
  return pith_build_input(builder, name, o->dtype, o->rank, dims);
}

static void run_node(one_node *out, int op, uint32_t count, const operand *operands, uint32_t setting_count,
                     const setting *settings, bool best) {
  *out = (one_node){.graph = NULL};
  pith_builder builder;
  pith_feed feeds[MAX_INPUTS];
  pith_tensor_id ids[MAX_INPUTS];
  uint32_t feed_count = 0;
  pith_attribute_setting attributes[3];
  assert_int_equal(pith_graph_create(NULL, "one", &out->graph, &out->error), PITH_OK);
  pith_builder_init(&builder, out->graph, &out->error);
  for (uint32_t i = 0; i < count; i++)
    ids[i] = operands[i].data == NULL
                 ? PITH_NONE
                 : add_operand(&builder, &operands[i], (int)i, op == PITH_OP_DYNAMIC_QUANTIZE, &out->copies[i], feeds, &feed_count);
  for (uint32_t i = 0; i < setting_count; i++)
    attributes[i] = strstr(settings[i].name, "dtype") != NULL ? PITH_SET_DTYPE(settings[i].name, settings[i].value)
                                                               : PITH_SET_INT(settings[i].name, settings[i].value);
  const pith_tensor_id y = pith_build_node(&builder, "node", op, count, ids, setting_count, attributes);
  if (builder.status != PITH_OK)
    fail_msg("%s", out->error.message);
  const pith_node *node = &out->graph->nodes[out->graph->node_count - 1];
  const pith_tensor_id all[3] = {y, node->output_count > 1 ? node->outputs[1] : PITH_NONE,
                                 node->output_count > 1 ? node->outputs[2] : PITH_NONE};
  static const char *const names[3] = {"y", "y_scale", "y_zero"};
  for (uint32_t i = 0; i < 3 && all[i] != PITH_NONE; i++)
    pith_build_output(&builder, all[i], names[i]);
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", out->error.message);
  const pith_run_options options = {.cpu = best ? pith_cpu_detect() : 0, .rewrites = best ? PITH_REWRITES_ALL : 0};
  out->status = pith_graph_run_init(&out->run, out->graph, &options, feeds, &out->error);
}

static void free_node(one_node *node) {
  if (node->status == PITH_OK)
    pith_graph_run_deinit(&node->run);
  pith_graph_destroy(node->graph);
  for (int i = 0; i < MAX_INPUTS; i++)
    pith_release(NULL, node->copies[i], 1);
}

/* Output `index` is `want`, byte by byte; on references and best kernels. */
static void check_node(int line, int op, uint32_t count, const operand *operands, uint32_t setting_count,
                       const setting *settings, uint32_t index, const void *want, size_t bytes) {
  for (int best = 0; best < 2; best++) {
    one_node node;
    run_node(&node, op, count, operands, setting_count, settings, best);
    if (node.status != PITH_OK)
      fail_msg("line %d: %s", line, node.error.message);
    const uint8_t *got = pith_executor_get_output(node.run.executor, index)->data;
    for (size_t i = 0; i < bytes; i++)
      if (got[i] != ((const uint8_t *)want)[i])
        fail_msg("line %d: byte %zu is %u, not %u", line, i, got[i], ((const uint8_t *)want)[i]);
    free_node(&node);
  }
}
#define COUNT(array) ((uint32_t)(sizeof(array) / sizeof *(array)))
#define CHECK(op, operands, settings, want)                                                                \
  check_node(__LINE__, op, COUNT(operands), operands, COUNT(settings), settings, 0, want, sizeof(want))

/* ---- QuantizeLinear and DequantizeLinear: values by hand ---------------------------------------------------------------- */

static void test_examples_of_onnx(void **state) {
  (void)state;
  /* The values of ONNX's tests test_quantizelinear, test_quantizelinear_axis, test_quantizelinear_blocked_asymmetric. */
  static const float x[6] = {0, 2, 3, 1000, -254, -1000}, scale = 2;
  static const uint8_t zero = 128, want[6] = {128, 129, 130, 255, 1, 0};
  const operand plain[3] = {{PITH_DTYPE_F32, 1, {6}, x, false}, {PITH_DTYPE_F32, 0, {0}, &scale, true},
                            {PITH_DTYPE_U8, 0, {0}, &zero, true}};
  const setting none[1] = {{"axis", 1}}; /* the default */
  CHECK(PITH_OP_QUANTIZE_LINEAR, plain, none, want);
  static const float values[18] = {-162, 10, -100, 232, -20, -50, -76, 0, 0, 252, 32, -44, 245, -485, -960, -270, -375, -470};
  static const float scales[3] = {2, 4, 5};
  static const uint8_t zeros[3] = {84, 24, 196};
  static const uint8_t want_rows[18] = {3, 89, 34, 200, 74, 59, 5, 24, 24, 87, 32, 13, 245, 99, 4, 142, 121, 102};
  const operand images[3] = {{PITH_DTYPE_F32, 4, {1, 3, 3, 2}, values, false}, {PITH_DTYPE_F32, 1, {3}, scales, true},
                             {PITH_DTYPE_U8, 1, {3}, zeros, true}};
  const operand rows[3] = {{PITH_DTYPE_F32, 3, {3, 2, 3}, values, false}, images[1], images[2]};
  const setting axis_0[1] = {{"axis", 0}};
  CHECK(PITH_OP_QUANTIZE_LINEAR, images, none, want_rows);
  CHECK(PITH_OP_QUANTIZE_LINEAR, rows, axis_0, want_rows);
  static const float blocked[12] = {6, 12, 50, 5, 1, 8, 4, 5, 0, 20, 10, 4}, blocked_scales[6] = {1.5f, 2.5f, 3, 4.9f, 5.1f, 6.9f};
  static const uint8_t blocked_zeros[6] = {0, 1, 1, 0, 2, 3}, want_blocked[12] = {4, 8, 21, 3, 1, 4, 1, 1, 2, 6, 4, 4};
  const operand blocks[3] = {{PITH_DTYPE_F32, 2, {3, 4}, blocked, false}, {PITH_DTYPE_F32, 2, {3, 2}, blocked_scales, false},
                             {PITH_DTYPE_U8, 2, {3, 2}, blocked_zeros, true}};
  const setting of_2[2] = {{"axis", 1}, {"block_size", 2}};
  CHECK(PITH_OP_QUANTIZE_LINEAR, blocks, of_2, want_blocked);
}

static void test_ties_and_saturation(void **state) {
  (void)state;
  static const float x[17] = {0.25f, 0.75f, 1.25f, -0.25f, -0.75f, -1.25f, 1e30f, -1e30f, INFINITY, -INFINITY, NAN,
                              63.25f, 63.5f, -64.0f, -64.25f, -64.5f, -0.0f};
  static const float scale = 0.5f;
  static const int8_t zero_s = 0, want_s[17] = {0, 2, 2, 0, -2, -2, 127, -128, 127, -128, 127, 126, 127, -128, -128, -128, 0};
  static const uint8_t zero_u = 3, want_u[17] = {3, 5, 5, 3, 1, 1, 255, 0, 255, 0, 255, 129, 130, 0, 0, 0, 3};
  const operand s[3] = {{PITH_DTYPE_F32, 1, {17}, x, false}, {PITH_DTYPE_F32, 0, {0}, &scale, true},
                        {PITH_DTYPE_S8, 0, {0}, &zero_s, true}};
  const operand u[3] = {s[0], s[1], {PITH_DTYPE_U8, 0, {0}, &zero_u, true}}, no_zero[2] = {s[0], s[1]};
  const setting to_s[1] = {{"output_dtype", PITH_DTYPE_S8}}, to_u[1] = {{"output_dtype", PITH_DTYPE_U8}};
  CHECK(PITH_OP_QUANTIZE_LINEAR, s, to_s, want_s);
  CHECK(PITH_OP_QUANTIZE_LINEAR, no_zero, to_s, want_s);
  CHECK(PITH_OP_QUANTIZE_LINEAR, u, to_u, want_u);
  /* s8 may have a zero point. */
  static const int8_t zero_off = -100, want_off[17] = {-100, -98, -98, -100, -102, -102, 127, -128, 127, -128, 127,
                                                       26,   27,  -128, -128, -128, -100};
  const operand off[3] = {s[0], s[1], {PITH_DTYPE_S8, 0, {0}, &zero_off, false}};
  CHECK(PITH_OP_QUANTIZE_LINEAR, off, to_s, want_off);
}

static void test_dequantize_by_hand(void **state) {
  (void)state;
  /* ONNX's dequantizelinear and dequantizelinear_axis; s32 as biases have it. */
  static const uint8_t q[4] = {0, 3, 128, 255}, zero = 128;
  static const float scale = 2, want[4] = {-256, -250, 0, 254};
  const operand plain[3] = {{PITH_DTYPE_U8, 1, {4}, q, false}, {PITH_DTYPE_F32, 0, {0}, &scale, true},
                            {PITH_DTYPE_U8, 0, {0}, &zero, true}};
  const setting axis_0[1] = {{"axis", 0}}, axis_1[1] = {{"axis", -1}};
  CHECK(PITH_OP_DEQUANTIZE_LINEAR, plain, axis_0, want);
  static const int8_t s[6] = {-128, 127, 1, -1, 5, 100}, zeros[2] = {0, -3};
  static const float scales[3] = {0.5f, 0.25f, 3}, want_rows[6] = {-64, 63.5f, 0.5f, 0.5f, 2, 25.75f};
  static const float want_columns[6] = {-64, 31.75f, 3, -0.5f, 1.25f, 300};
  const operand rows[3] = {{PITH_DTYPE_S8, 2, {2, 3}, s, true}, {PITH_DTYPE_F32, 1, {2}, scales, true},
                           {PITH_DTYPE_S8, 1, {2}, zeros, true}};
  const operand columns[2] = {{PITH_DTYPE_S8, 2, {2, 3}, s, false}, {PITH_DTYPE_F32, 1, {3}, scales, false}};
  CHECK(PITH_OP_DEQUANTIZE_LINEAR, rows, axis_0, want_rows);
  CHECK(PITH_OP_DEQUANTIZE_LINEAR, columns, axis_1, want_columns);
  static const int32_t bias[3] = {INT32_MIN, 16777217, -7};
  static const float want_bias[3] = {-0x1p30f, 4194304, -21}; /* to f32 first: half to even */
  const operand biases[2] = {{PITH_DTYPE_S32, 1, {3}, bias, true}, {PITH_DTYPE_F32, 1, {3}, scales, true}};
  CHECK(PITH_OP_DEQUANTIZE_LINEAR, biases, axis_0, want_bias);
}

/* ---- the same by ONNX's formula in double, every form and ragged sizes ---------------------------------------------------- */

/* The scale of element (row, column): form 0 tensor, 1 row, 2 column, 3 blocks. */
static size_t place(int form, size_t row, size_t column, size_t block, size_t blocks) {
  return form == 0 ? 0 : form == 1 ? row : form == 2 ? column : row * blocks + column / block;
}

static void test_every_form(void **state) {
  (void)state;
  enum { ROWS = 5, MAX_COLUMNS = 70 };
  static float x[ROWS * MAX_COLUMNS], scales[ROWS * MAX_COLUMNS], floats[ROWS * MAX_COLUMNS];
  static uint8_t zeros[ROWS * MAX_COLUMNS], q[ROWS * MAX_COLUMNS];
  static const size_t widths[] = {1, 7, 16, 33, 70};
  uint64_t random = 3;
  for (int is_signed = 0; is_signed < 2; is_signed++)
    for (int form = 0; form < 4; form++)
      for (size_t w = 0; w < COUNT(widths); w++)
        for (size_t block = 1; block <= (form == 3 ? 20 : 1); block += 6) {
          const size_t columns = widths[w], blocks = (columns + block - 1) / block;
          const size_t scale_count = form == 0 ? 1 : form == 1 ? ROWS : form == 2 ? columns : ROWS * blocks;
          for (size_t i = 0; i < scale_count; i++) {
            scales[i] = ldexpf(1, (int)(exec_fixture_random(&random) % 5) - 3); /* powers of two: no tie is lost */
            zeros[i] = (uint8_t)exec_fixture_random(&random);
          }
          for (size_t i = 0; i < ROWS * columns; i++)
            x[i] = rintf(exec_fixture_uniform(&random, -300, 300) * 16) / 16; /* on ties, often */
          const int low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
          for (size_t r = 0; r < ROWS; r++)
            for (size_t c = 0; c < columns; c++) {
              const size_t at = place(form, r, c, block, blocks), i = r * columns + c;
              const int zero = is_signed ? (int8_t)zeros[at] : zeros[at];
              const double level = nearbyint((double)x[i] / (double)scales[at]) + zero;
              const int saturated = (int)fmin(fmax(level, low), high);
              q[i] = (uint8_t)saturated;
              floats[i] = (float)((saturated - zero) * (double)scales[at]);
            }
          const pith_dtype dtype = is_signed ? PITH_DTYPE_S8 : PITH_DTYPE_U8;
          const uint32_t rank = form == 0 ? 0 : form == 3 ? 2 : 1;
          const int64_t d0 = form == 2 ? (int64_t)columns : ROWS;
          const operand scale = {PITH_DTYPE_F32, rank, {d0, (int64_t)blocks}, scales, true};
          const operand zero = {dtype, rank, {d0, (int64_t)blocks}, zeros, true};
          const setting settings[3] = {{"axis", form == 1 ? 0 : 1}, {"block_size", form == 3 ? (int64_t)block : 0},
                                       {"output_dtype", dtype}};
          const operand in[3] = {{PITH_DTYPE_F32, 2, {ROWS, (int64_t)columns}, x, false}, scale, zero};
          const operand back[3] = {{dtype, 2, {ROWS, (int64_t)columns}, q, false}, scale, zero};
          check_node(__LINE__, PITH_OP_QUANTIZE_LINEAR, 3, in, 3, settings, 0, q, ROWS * columns);
          check_node(__LINE__, PITH_OP_DEQUANTIZE_LINEAR, 3, back, 2, settings, 0, floats, ROWS * columns * sizeof(float));
        }
}

/* ---- DynamicQuantize ------------------------------------------------------------------------------------------------------- */

static void test_dynamic(void **state) {
  (void)state;
  static const float x[12] = {-1, 0, 1.5f, 254, 0, 0, -127, 1, 0, 0, 1, 51};
  static const float scale_u[6] = {1 / 255.0f, 254 / 255.0f, 1, 128 / 255.0f, 1, 51 / 255.0f};
  static const uint8_t zero_u[6] = {255, 0, 0, 253, 0, 0};
  const operand in[2] = {{PITH_DTYPE_F32, 2, {3, 4}, x, false}};
  const setting u[2] = {{"dtype", PITH_DTYPE_U8}, {"block_size", 2}};
  /* x / scale: 1.5 / (254 / 255) is 1.5059, 254 is 255; -127 / (128 / 255) is -253.008, 1 is 1.992, zero 253. */
  static const uint8_t want_u[12] = {0, 255, 2, 255, 0, 0, 0, 255, 0, 0, 5, 255};
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 1, in, 2, u, 0, want_u, sizeof want_u);
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 1, in, 2, u, 1, scale_u, sizeof scale_u);
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 1, in, 2, u, 2, zero_u, sizeof zero_u);
  /* s8 over whole rows of a sequence: tokens 0 and 1 are one. */
  static const int32_t offsets[3] = {0, 2, 3};
  const operand packed[2] = {in[0], {PITH_DTYPE_S32, 1, {3}, offsets, false}};
  const setting s[2] = {{"dtype", PITH_DTYPE_S8}, {"block_size", 0}};
  static const float scale_s[3] = {2, 2, 51 / 127.0f};
  static const int8_t zero_s[3] = {0, 0, 0}, want_s[12] = {0, 0, 1, 127, 0, 0, -64, 0, 0, 0, 2, 127};
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 2, packed, 2, s, 0, want_s, sizeof want_s);
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 2, packed, 2, s, 1, scale_s, sizeof scale_s);
  check_node(__LINE__, PITH_OP_DYNAMIC_QUANTIZE, 2, packed, 2, s, 2, zero_s, sizeof zero_s);
}

/* ---- scales that are no scales ------------------------------------------------------------------------------------------------ */

static void test_bad_scales(void **state) {
  (void)state;
  static const float bad[] = {0.0f, -0.0f, -1.0f, 1e-40f, INFINITY, NAN};
  static const float x[4] = {0, 1, -1, NAN};
  static const uint8_t q[4] = {0, 1, 128, 255};
  for (size_t i = 0; i < COUNT(bad); i++)
    for (int op = 0; op < 2; op++)
      for (int is_data = 0; is_data < 2; is_data++) {
        const float scales[4] = {1, 1, bad[i], 1};
        const operand operands[2] = {op == 0 ? (operand){PITH_DTYPE_F32, 1, {4}, x, false} : (operand){PITH_DTYPE_U8, 1, {4}, q, false},
                                     {PITH_DTYPE_F32, 1, {4}, scales, is_data}};
        const setting axis_0[1] = {{"axis", 0}};
        one_node node;
        run_node(&node, op == 0 ? PITH_OP_QUANTIZE_LINEAR : PITH_OP_DEQUANTIZE_LINEAR, 2, operands, 1, axis_0, op);
        /* Data is refused; what an input brings has some result, and no undefined one. */
        assert_int_equal(node.status, is_data ? PITH_FORMAT : PITH_OK);
        if (is_data)
          assert_non_null(strstr(node.error.message, "scale in1[2] is "));
        else if (op == 0)
          assert_int_equal(((const uint8_t *)pith_executor_get_output(node.run.executor, 0)->data)[1], 1);
        free_node(&node);
      }
}

/* ---- graphs ------------------------------------------------------------------------------------------------------------------- */

typedef struct graph {
  pith_builder builder;
  pith_graph *graph;
  pith_error error;
  void *pieces[16];
  size_t count;
} graph;

static void graph_init(graph *g) {
  *g = (graph){.graph = NULL};
  assert_int_equal(pith_graph_create(NULL, "g", &g->graph, &g->error), PITH_OK);
  pith_builder_init(&g->builder, g->graph, &g->error);
}
static void graph_deinit(graph *g) {
  pith_graph_destroy(g->graph);
  for (size_t i = 0; i < g->count; i++)
    pith_release(NULL, g->pieces[i], 1);
}
static pith_tensor_id add_data(graph *g, const char *name, pith_dtype dtype, uint32_t rank, const int64_t *dims,
                               pith_layout layout, const void *row_major) {
  pith_dim sizes[2] = {{0}, {0}};
  uint64_t bytes;
  for (uint32_t d = 0; d < rank; d++)
    sizes[d] = pith_dim_of(dims[d]);
  assert_int_equal(pith_layout_get_bytes(layout, dtype, rank, sizes, &bytes, NULL), PITH_OK);
  void *copy = g->pieces[g->count++] = pith_allocate(NULL, bytes);
  assert_non_null(copy);
  assert_int_equal(pith_layout_convert(dtype, rank, sizes, PITH_LAYOUT_ROW_MAJOR, row_major, layout, copy, NULL, NULL), PITH_OK);
  return pith_build_data(&g->builder, PITH_TENSOR_PARAMETER, name, dtype, rank, dims, layout, copy, bytes);
}
static pith_tensor_id add_scalar(graph *g, const char *name, pith_dtype dtype, const void *value) {
  return add_data(g, name, dtype, 0, NULL, PITH_LAYOUT_ROW_MAJOR, value);
}
static pith_tensor_id add_pair(graph *g, const char *name, pith_tensor_id x, pith_dtype dtype, float scale, uint8_t zero) {
  char full[64];
#define NAMED(text) (snprintf(full, sizeof full, "%s." text, name), full)
  pith_tensor_id in[3] = {x, add_scalar(g, NAMED("scale"), PITH_DTYPE_F32, &scale),
                          add_scalar(g, NAMED("zero"), dtype, &zero)};
  in[0] = pith_build_node(&g->builder, NAMED("quantize"), PITH_OP_QUANTIZE_LINEAR, 3, in, 1,
                          (const pith_attribute_setting[]){PITH_SET_DTYPE("output_dtype", dtype)});
  return pith_build_node(&g->builder, NAMED("dequantize"), PITH_OP_DEQUANTIZE_LINEAR, 3, in, 0, NULL);
#undef NAMED
}

enum { TOKENS = 9, HEADS = 3, HIDDEN = 24 };

/* The product of x with weights, and x once more; with Q/DQ pairs or without. Where x lies on the grids of the pairs, sums of
 * the product are multiples of 1/64 below 2^17: exact in f32, in any order. */
static void build_product(graph *g, bool quantized, const int8_t *weight, const float *scales) {
  static float floats[HIDDEN * HIDDEN];
  const int64_t square[2] = {HIDDEN, HIDDEN};
  graph_init(g);
  const pith_dim dims[2] = {pith_build_dim(&g->builder, "tokens", 1, 0), pith_dim_of(HIDDEN)};
  pith_tensor_id x = pith_build_input(&g->builder, "x", PITH_DTYPE_F32, 2, dims), in[2] = {x, PITH_NONE};
  if (quantized) {
    in[0] = add_pair(g, "x", x, PITH_DTYPE_U8, 0.25f, 100);
    const pith_tensor_id w[2] = {add_data(g, "w", PITH_DTYPE_S8, 2, square, PITH_LAYOUT_N16K4_S8, weight),
                                 add_data(g, "w_scale", PITH_DTYPE_F32, 1, square, PITH_LAYOUT_ROW_MAJOR, scales)};
    in[1] = pith_build_node(&g->builder, "w.dequantize", PITH_OP_DEQUANTIZE_LINEAR, 2, w, 1,
                            (const pith_attribute_setting[]){PITH_SET_INT("axis", 0)});
  } else {
    for (size_t i = 0; i < HIDDEN * HIDDEN; i++)
      floats[i] = (float)weight[i] * scales[i / HIDDEN];
    in[1] = add_data(g, "w", PITH_DTYPE_F32, 2, square, PITH_LAYOUT_N64_F32, floats);
  }
  pith_tensor_id y = pith_build_node(&g->builder, "product", PITH_OP_GEMM, 2, in, 1,
                                     (const pith_attribute_setting[]){PITH_SET_INT("transB", 1)});
  pith_build_output(&g->builder, y, "y");
  pith_build_output(&g->builder,
                    quantized ? add_pair(g, "copy", in[0], PITH_DTYPE_S8, 0.25f, 0)
                              : pith_build_node(&g->builder, "copy", PITH_OP_IDENTITY, 1, &x, 0, NULL),
                    "z");
  if (pith_builder_finish(&g->builder) != PITH_OK)
    fail_msg("%s", g->error.message);
}

/* Scales that are powers of two, values on the grid: quantizing changes no bit. */
static void test_identity_on_the_grid(void **state) {
  (void)state;
  static int8_t weight[HIDDEN * HIDDEN];
  static float scales[HIDDEN], x[TOKENS * HIDDEN];
  uint64_t random = 8;
  for (size_t i = 0; i < HIDDEN * HIDDEN; i++)
    weight[i] = (int8_t)(exec_fixture_random(&random) % 255 - 127);
  for (size_t i = 0; i < HIDDEN; i++)
    scales[i] = ldexpf(1, -(int)(i % 5));
  for (size_t i = 0; i < TOKENS * HIDDEN; i++)
    x[i] = 0.25f * (float)((int)(exec_fixture_random(&random) % 200) - 100); /* -25 to 24.75 */
  graph quantized, plain;
  build_product(&quantized, true, weight, scales);
  build_product(&plain, false, weight, scales);
  const pith_feed feed = {x, {TOKENS, HIDDEN}};
  const uint32_t rewrites[3] = {0, PITH_REWRITES_DEFAULT, PITH_REWRITES_ALL};
  for (int r = 0; r < 3; r++)
    for (int best = 0; best < 2; best++) {
      const pith_run_options options = {.cpu = best ? pith_cpu_detect() : 0, .rewrites = rewrites[r]};
      pith_graph_run a, b;
      if (pith_graph_run_init(&a, quantized.graph, &options, &feed, &quantized.error) != PITH_OK)
        fail_msg("%s", quantized.error.message);
      assert_int_equal(pith_graph_run_init(&b, plain.graph, &options, &feed, &plain.error), PITH_OK);
      for (uint32_t i = 0; i < 2; i++)
        assert_memory_equal(pith_executor_get_output(a.executor, i)->data, pith_executor_get_output(b.executor, i)->data,
                            sizeof x);
      pith_graph_run_deinit(&a);
      pith_graph_run_deinit(&b);
    }
  graph_deinit(&quantized);
  graph_deinit(&plain);
}

/* No Dequantize is folded; weights in stored blocks take their own bytes and the row-major copy's, not four times that. */
static void test_weights_stay_quantized(void **state) {
  (void)state;
  static int8_t weight[HIDDEN * HIDDEN];
  static float scales[HIDDEN];
  for (size_t i = 0; i < HIDDEN; i++)
    scales[i] = 1;
  graph g;
  build_product(&g, true, weight, scales);
  const int64_t limits[1] = {TOKENS};
  const pith_lower_options options = {.symbol_limits = limits, .threads = 1};
  pith_program *program;
  assert_int_equal(pith_program_create(g.graph, &options, &program, &g.error), PITH_OK);
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += program->steps[i].row->kind == PITH_STEP_DEQUANTIZE;
  assert_int_equal(count, 3);
  assert_int_equal(program->pack_count, 1);
  assert_int_equal(program->packs[0].bytes, HIDDEN * HIDDEN);
  pith_program_destroy(program);
  graph_deinit(&g);
}

/* ---- attention whose weights are u8 ------------------------------------------------------------------------------------------ */

static void attend(const float *q, const float *k, const float *v, const int32_t *offsets, bool causal, double *y) {
  const size_t size = HIDDEN / HEADS;
  const double scale = 1 / sqrt((double)size);
  for (size_t s = 0; s < 2; s++)
    for (size_t h = 0; h < HEADS; h++)
      for (size_t i = (size_t)offsets[s]; i < (size_t)offsets[s + 1]; i++) {
        const size_t begin = (size_t)offsets[s], end = causal ? i + 1 : (size_t)offsets[s + 1];
        double score[TOKENS], max = -1e300, sum = 0;
        for (size_t j = begin; j < end; j++) {
          score[j] = 0;
          for (size_t d = h * size; d < (h + 1) * size; d++)
            score[j] += (double)q[i * HIDDEN + d] * (double)k[j * HIDDEN + d] * scale;
          max = score[j] > max ? score[j] : max;
        }
        for (size_t j = begin; j < end; j++)
          sum += score[j] = nearbyint(255 * exp(score[j] - max));
        for (size_t d = h * size; d < (h + 1) * size; d++) {
          y[i * HIDDEN + d] = 0;
          for (size_t j = begin; j < end; j++)
            y[i * HIDDEN + d] += score[j] * (double)v[j * HIDDEN + d] / sum;
        }
      }
}

static void test_rounded_attention(void **state) {
  (void)state;
  static const int32_t offsets[3] = {0, 4, TOKENS};
  static float qkv[3][TOKENS * HIDDEN];
  static double want[TOKENS * HIDDEN];
  uint64_t random = 21;
  for (int i = 0; i < 3; i++)
    for (size_t j = 0; j < TOKENS * HIDDEN; j++)
      qkv[i][j] = exec_fixture_uniform(&random, -1.5f, 1.5f);
  for (int causal = 0; causal < 2; causal++) {
    graph g;
    graph_init(&g);
    const pith_dim dims[2] = {pith_build_dim(&g.builder, "tokens", 1, 0), pith_dim_of(HIDDEN)};
    const pith_dim ends = pith_build_dim(&g.builder, "sequences", 1, 1);
    pith_tensor_id in[5];
    for (int i = 0; i < 3; i++)
      in[i] = pith_build_input(&g.builder, NULL, PITH_DTYPE_F32, 2, dims);
    in[3] = in[4] = pith_build_input(&g.builder, "offsets", PITH_DTYPE_S32, 1, &ends);
    const pith_attribute_setting attributes[] = {PITH_SET_INT("num_heads", HEADS), PITH_SET_INT("causal", causal),
                                                 PITH_SET_DTYPE("softmax_dtype", PITH_DTYPE_U8)};
    pith_build_output(&g.builder, pith_build_node(&g.builder, "attention", PITH_OP_PACKED_ATTENTION, 5, in, 3, attributes), "y");
    if (pith_builder_finish(&g.builder) != PITH_OK)
      fail_msg("%s", g.error.message);
    attend(qkv[0], qkv[1], qkv[2], offsets, causal, want);
    const pith_feed feeds[4] = {{qkv[0], {TOKENS, HIDDEN}}, {qkv[1], {TOKENS, HIDDEN}}, {qkv[2], {TOKENS, HIDDEN}}, {offsets, {3}}};
    for (int best = 0; best < 2; best++) {
      const pith_run_options options = {.cpu = best ? pith_cpu_detect() : 0, .rewrites = best ? PITH_REWRITES_ALL : 0};
      pith_graph_run run;
      if (pith_graph_run_init(&run, g.graph, &options, feeds, &g.error) != PITH_OK)
        fail_msg("%s", g.error.message);
      const float *y = pith_executor_get_output(run.executor, 0)->data;
      /* A weight near a tie may end one step of 1/255 away: its share of a value under 1.5. The plain softmax is further. */
      size_t exact = 0;
      for (size_t i = 0; i < TOKENS * HIDDEN; i++) {
        if (!(fabs((double)y[i] - want[i]) < 2 * 1.5 / 255))
          fail_msg("element %zu is %.9g, not %.9g", i, (double)y[i], want[i]);
        exact += fabs((double)y[i] - want[i]) < 2e-6;
      }
      assert_true(exact > TOKENS * HIDDEN * 9 / 10);
      pith_graph_run_deinit(&run);
    }
    graph_deinit(&g);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_examples_of_onnx),      cmocka_unit_test(test_ties_and_saturation),
      cmocka_unit_test(test_dequantize_by_hand),    cmocka_unit_test(test_every_form),
      cmocka_unit_test(test_dynamic),               cmocka_unit_test(test_bad_scales),
      cmocka_unit_test(test_identity_on_the_grid),  cmocka_unit_test(test_weights_stay_quantized),
      cmocka_unit_test(test_rounded_attention),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
