/* Every operator of the graph's table, run by itself, against its formula in double; and what only some forms of it do:
 * broadcasting, axes, transposes, scales, indices that are computed. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/engine/exec_fixture.h"

static bool tested[PITH_OP_COUNT];

/* ---- a graph of one node -------------------------------------------------------------------------------------------- */

enum { MAX_INPUTS = 6, MAX_ELEMENTS = 4096 };

typedef struct operand {
  pith_dtype dtype;
  uint32_t rank;
  int64_t dims[4];
  bool constant; /* data of the graph rather than an input of the run */
  const void *data;
  unsigned symbols; /* bit d: dimension d of an input is a symbol, the same one for the same size */
} operand;

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

static void run_node(one_node *out, int op, uint32_t count, const operand *operands, uint32_t attribute_count,
                     const pith_attribute_setting *attributes, pith_cpu_set cpu, uint32_t rewrites) {
  *out = (one_node){.graph = NULL};
  pith_builder builder;
  pith_feed feeds[MAX_INPUTS];
  pith_tensor_id ids[MAX_INPUTS];
  uint32_t feed_count = 0;
  tested[op] = true;
  assert_int_equal(pith_graph_create(NULL, "one", &out->graph, &out->error), PITH_OK);
  pith_builder_init(&builder, out->graph, &out->error);
  for (uint32_t i = 0; i < count; i++) {
    const operand *o = &operands[i];
    char name[16];
    snprintf(name, sizeof name, "in%u", (unsigned)i);
    if (o->data == NULL) {
      ids[i] = PITH_NONE;
      continue;
    }
    size_t bytes = count_elements(o) * pith_dtype_get_info(o->dtype)->bits / 8;
    out->copies[i] = pith_allocate(NULL, bytes);
    assert_non_null(out->copies[i]);
    memcpy(out->copies[i], o->data, bytes);
    if (o->constant) {
      ids[i] = pith_build_data(&builder, PITH_TENSOR_CONSTANT, name, o->dtype, o->rank, o->dims,
                               PITH_LAYOUT_ROW_MAJOR, out->copies[i], bytes);
      continue;
    }
    pith_dim dims[4];
    feeds[feed_count] = (pith_feed){.data = out->copies[i]};
    for (uint32_t d = 0; d < o->rank; d++) {
      char symbol[24];
      snprintf(symbol, sizeof symbol, "n%lld", (long long)o->dims[d]);
      dims[d] = (o->symbols >> d & 1) != 0 && o->dims[d] != 1 ? pith_build_dim(&builder, symbol, 1, 0) : pith_dim_of(o->dims[d]);
      feeds[feed_count].dims[d] = (size_t)o->dims[d];
    }
    feed_count++;
    ids[i] = pith_build_input(&builder, name, o->dtype, o->rank, dims);
  }
  pith_build_output(&builder, pith_build_node(&builder, "node", op, count, ids, attribute_count, attributes), "y");
  if (pith_builder_finish(&builder) != PITH_OK)
    fail_msg("%s", out->error.message);
  pith_run_options options = {.cpu = cpu, .rewrites = rewrites};
  out->status = pith_graph_run_init(&out->run, out->graph, &options, feeds, &out->error);
}

static void free_node(one_node *node) {
  pith_graph_run_deinit(&node->run);
  pith_graph_destroy(node->graph);
  for (int i = 0; i < MAX_INPUTS; i++)
    pith_release(NULL, node->copies[i], 1);
}

/* The output is `want`, to `tolerance` of its magnitude; on references and on the best kernels, fused and not. */
static void check_node(int op, uint32_t count, const operand *operands, uint32_t attribute_count,
                       const pith_attribute_setting *attributes, const double *want, size_t want_count,
                       double tolerance) {
  for (int best = 0; best < 2; best++) {
    one_node node;
    run_node(&node, op, count, operands, attribute_count, attributes, best ? pith_cpu_detect() : 0,
             best ? PITH_REWRITES_ALL : 0);
    if (node.status != PITH_OK)
      fail_msg("%s", node.error.message);
    const pith_view *y = pith_executor_get_output(node.run.executor, 0);
    assert_int_equal(pith_view_count(y), want_count);
    const float *got = y->data;
    for (size_t i = 0; i < want_count; i++)
      if (!(fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs(want[i]))))
        fail_msg("%s: element %zu is %.9g, not %.9g", pith_operator_get((pith_operator_id)op)->name, i,
                 (double)got[i], want[i]);
    free_node(&node);
  }
}

static float random_floats[3][MAX_ELEMENTS];
static double want[MAX_ELEMENTS];

static int fill(void **state) {
  (void)state;
  uint64_t random = 17;
  for (int j = 0; j < 3; j++)
    for (size_t i = 0; i < MAX_ELEMENTS; i++)
      random_floats[j][i] = exec_fixture_uniform(&random, -2, 2);
  return 0;
}

static operand floats(int which, uint32_t rank, int64_t d0, int64_t d1, int64_t d2) {
  return (operand){PITH_DTYPE_F32, rank, {d0, d1, d2}, false, random_floats[which], 0};
}
static operand fixed(operand o) {
  o.constant = true;
  return o;
}
static operand symbolic(operand o, unsigned symbols) {
  o.symbols = symbols;
  return o;
}
static const operand absent = {.data = NULL};

/* ---- element by element --------------------------------------------------------------------------------------------- */

static double apply(int op, double a, double b) {
  return op == PITH_OP_ADD ? a + b : op == PITH_OP_SUB ? a - b : op == PITH_OP_MUL ? a * b : a / b;
}

static void test_binary(void **state) {
  (void)state;
  static const struct {
    uint32_t rank[2];
    int64_t dims[2][3];
  } shapes[] = {
      {{2, 2}, {{5, 19}, {5, 19}}}, {{2, 1}, {{5, 19}, {19}}},       {{1, 2}, {{19}, {5, 19}}},
      {{2, 2}, {{5, 19}, {5, 1}}},  {{2, 2}, {{5, 1}, {1, 19}}},     {{2, 0}, {{5, 19}, {0}}},
      {{0, 2}, {{0}, {5, 19}}},     {{0, 0}, {{0}, {0}}},            {{3, 2}, {{4, 5, 6}, {5, 6}}},
      {{3, 3}, {{4, 5, 6}, {4, 1, 1}}}, {{3, 1}, {{4, 5, 6}, {6}}}, {{2, 2}, {{1, 19}, {5, 19}}},
  };
  const int ops[] = {PITH_OP_ADD, PITH_OP_SUB, PITH_OP_MUL, PITH_OP_DIV};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (size_t o = 0; o < 4; o++)
      for (int constants = 0; constants < 4; constants++) {
        operand operands[2];
        int64_t full[3] = {1, 1, 1};
        for (int j = 0; j < 2; j++) {
          const int64_t *dims = shapes[s].dims[j];
          operands[j] = floats(j, shapes[s].rank[j], dims[0], dims[1], dims[2]);
          operands[j].constant = constants >> j & 1;
          operands[j].symbols = constants == 0 ? 7 : 0;
          for (uint32_t d = 0; d < shapes[s].rank[j]; d++) {
            int64_t *size = &full[3 - shapes[s].rank[j] + d];
            *size = dims[d] > *size ? dims[d] : *size;
          }
        }
        size_t count = 0;
        for (int64_t i = 0; i < full[0]; i++)
          for (int64_t j = 0; j < full[1]; j++)
            for (int64_t k = 0; k < full[2]; k++) {
              double values[2];
              const int64_t at[3] = {i, j, k};
              for (int side = 0; side < 2; side++) {
                int64_t index = 0;
                for (uint32_t d = 0; d < shapes[s].rank[side]; d++) {
                  int64_t size = shapes[s].dims[side][d];
                  index = index * size + (size == 1 ? 0 : at[3 - shapes[s].rank[side] + d]);
                }
                values[side] = (double)random_floats[side][index];
              }
              want[count++] = apply(ops[o], values[0], values[1]);
            }
        check_node(ops[o], 2, operands, 0, NULL, want, count, 1e-6);
      }
}

static double unary(int op, int tanh_gelu, double x) {
  switch (op) {
  case PITH_OP_ERF:
    return erf(x);
  case PITH_OP_TANH:
    return tanh(x);
  case PITH_OP_SIGMOID:
    return 1 / (1 + exp(-x));
  case PITH_OP_RELU:
    return x > 0 ? x : 0;
  default:
    return tanh_gelu ? x / 2 * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)))
                     : x / 2 * (1 + erf(x / sqrt(2)));
  }
}

static void test_unary(void **state) {
  (void)state;
  const int ops[] = {PITH_OP_ERF, PITH_OP_TANH, PITH_OP_SIGMOID, PITH_OP_RELU, PITH_OP_GELU, PITH_OP_GELU};
  for (size_t o = 0; o < 6; o++) {
    const pith_attribute_setting form[] = {PITH_SET_ENUM("approximate", o == 5 ? PITH_GELU_TANH : PITH_GELU_NONE)};
    for (int constant = 0; constant < 2; constant++) {
      operand x = symbolic(floats(0, 2, 7, 23, 0), 3);
      x.constant = constant;
      for (size_t i = 0; i < 7 * 23; i++)
        want[i] = unary(ops[o], o == 5, (double)random_floats[0][i]);
      check_node(ops[o], 1, &x, o >= 4, form, want, 7 * 23, 2e-6);
    }
  }
}

static void test_casts(void **state) {
  (void)state;
  static const double values[] = {0, 1, -1, 1.5, -2.75, 100, 127, -128, 255, 65504, 3e-5, 0.1};
  enum { COUNT = sizeof values / sizeof *values };
  float as_float[COUNT];
  for (size_t i = 0; i < COUNT; i++)
    as_float[i] = (float)values[i];
  const operand x = {PITH_DTYPE_F32, 1, {COUNT}, false, as_float, 1};
  const pith_dtype to[] = {PITH_DTYPE_F64, PITH_DTYPE_S64, PITH_DTYPE_S32, PITH_DTYPE_S8, PITH_DTYPE_U8,
                           PITH_DTYPE_BOOL, PITH_DTYPE_F16, PITH_DTYPE_BF16, PITH_DTYPE_F32};
  for (size_t t = 0; t < sizeof to / sizeof *to; t++) {
    const pith_attribute_setting attribute[] = {PITH_SET_DTYPE("to", to[t])};
    one_node node;
    run_node(&node, PITH_OP_CAST, 1, &x, 1, attribute, 0, 0);
    if (node.status != PITH_OK)
      fail_msg("%s", node.error.message);
    const void *y = pith_executor_get_output(node.run.executor, 0)->data;
    for (size_t i = 0; i < COUNT; i++) {
      double whole = trunc((double)as_float[i]);
      switch (to[t]) {
      case PITH_DTYPE_F64:
        assert_true(((const double *)y)[i] == (double)as_float[i]);
        break;
      case PITH_DTYPE_F32:
        assert_true(((const float *)y)[i] == as_float[i]);
        break;
      case PITH_DTYPE_S64:
        assert_int_equal(((const int64_t *)y)[i], whole);
        break;
      case PITH_DTYPE_S32:
        assert_int_equal(((const int32_t *)y)[i], whole);
        break;
      case PITH_DTYPE_S8:
        assert_int_equal(((const int8_t *)y)[i], fmax(-128, fmin(127, whole)));
        break;
      case PITH_DTYPE_U8:
        assert_int_equal(((const uint8_t *)y)[i], fmax(0, fmin(255, whole)));
        break;
      case PITH_DTYPE_BOOL:
        assert_int_equal(((const uint8_t *)y)[i], as_float[i] != 0);
        break;
      default:
        break; /* narrow floats below, there and back */
      }
    }
    free_node(&node);
  }
  /* Bits of IEEE half and bfloat16: exact values, ties to even, subnormals, the edge of infinity. */
  static const struct {
    float value;
    uint16_t half, brain;
  } narrow[] = {
      {0.0f, 0x0000, 0x0000},        {-0.0f, 0x8000, 0x8000},        {1.0f, 0x3c00, 0x3f80},
      {-2.0f, 0xc000, 0xc000},       {65504.0f, 0x7bff, 0x4780},     {65519.0f, 0x7bff, 0x4780},
      {65520.0f, 0x7c00, 0x4780},    {1e30f, 0x7c00, 0x714a},        {0x1p-24f, 0x0001, 0x3380},
      {0x1p-25f, 0x0000, 0x3300},    {0x1.8p-24f, 0x0002, 0x33c0},   {1.0f + 0x1p-11f, 0x3c00, 0x3f80},
      {1.0f + 0x3p-11f, 0x3c02, 0x3f80}, {INFINITY, 0x7c00, 0x7f80}, {-INFINITY, 0xfc00, 0xff80},
      {1.0f + 0x1p-8f, 0x3c04, 0x3f80},  {1.0f + 0x3p-8f, 0x3c0c, 0x3f82}, {FLT_MAX, 0x7c00, 0x7f80},
      {0x1p-14f, 0x0400, 0x3880},    {0x1.ff8p-15f, 0x03ff, 0x3880},
  };
  enum { NARROW = sizeof narrow / sizeof *narrow };
  float sources[NARROW];
  uint16_t halves[NARROW], brains[NARROW];
  for (size_t i = 0; i < NARROW; i++) {
    sources[i] = narrow[i].value;
    halves[i] = narrow[i].half;
    brains[i] = narrow[i].brain;
  }
  for (int form = 0; form < 2; form++) {
    const pith_attribute_setting down[] = {PITH_SET_DTYPE("to", form ? PITH_DTYPE_BF16 : PITH_DTYPE_F16)};
    const pith_attribute_setting up[] = {PITH_SET_DTYPE("to", PITH_DTYPE_F32)};
    const operand wide = {PITH_DTYPE_F32, 1, {NARROW}, false, sources, 1};
    const operand thin = {form ? PITH_DTYPE_BF16 : PITH_DTYPE_F16, 1, {NARROW}, false, form ? brains : halves, 0};
    one_node node;
    run_node(&node, PITH_OP_CAST, 1, &wide, 1, down, 0, 0);
    const uint16_t *bits = pith_executor_get_output(node.run.executor, 0)->data;
    for (size_t i = 0; i < NARROW; i++)
      if (bits[i] != (form ? brains : halves)[i])
        fail_msg("%a as %s is %#x, not %#x", (double)sources[i], form ? "bf16" : "f16", bits[i],
                 (form ? brains : halves)[i]);
    free_node(&node);
    run_node(&node, PITH_OP_CAST, 1, &thin, 1, up, 0, 0);
    const float *back = pith_executor_get_output(node.run.executor, 0)->data;
    for (size_t i = 0; i < NARROW; i++) {
      uint16_t b = (form ? brains : halves)[i];
      int bias = form ? 127 : 15, shift = form ? 7 : 10, e = (b & 0x7fff) >> shift, m = b & ((1 << shift) - 1);
      double value = e == 2 * bias + 1 ? (double)INFINITY
                     : e == 0          ? ldexp(m, 1 - bias - shift)
                                       : ldexp(m + (1 << shift), e - bias - shift);
      assert_true((double)back[i] == (b & 0x8000 ? -value : value));
    }
    free_node(&node);
  }
}

static void test_identity(void **state) {
  (void)state;
  operand x = symbolic(floats(0, 3, 3, 4, 5), 5);
  for (size_t i = 0; i < 60; i++)
    want[i] = (double)random_floats[0][i];
  check_node(PITH_OP_IDENTITY, 1, &x, 0, NULL, want, 60, 0);
}

/* ---- look-ups ---------------------------------------------------------------------------------------------------------- */

static void test_gather(void **state) {
  (void)state;
  static const int32_t narrow[] = {4, 0, 3, 3, 1, 2};
  static const int64_t wide[] = {4, 0, 3, 3, 1, 2};
  static const struct {
    uint32_t rank, index_rank;
    int64_t dims[3], index_dims[2], axis;
  } cases[] = {
      {2, 1, {5, 7}, {6}, 0}, {1, 1, {5}, {6}, 0}, {2, 2, {5, 7}, {2, 3}, 0}, {3, 1, {5, 2, 3}, {6}, 0},
      {2, 1, {4, 5}, {6}, 1}, {3, 1, {2, 5, 3}, {6}, -2}, {2, 0, {5, 7}, {0}, 0},
  };
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
    for (int constant = 0; constant < 4; constant++)
      for (int is_wide = 0; is_wide < 2; is_wide++) {
        const pith_attribute_setting axis_setting[] = {PITH_SET_INT("axis", cases[c].axis)};
        operand operands[2] = {
            floats(0, cases[c].rank, cases[c].dims[0], cases[c].dims[1], cases[c].dims[2]),
            {is_wide ? PITH_DTYPE_S64 : PITH_DTYPE_S32,
             cases[c].index_rank,
             {cases[c].index_dims[0], cases[c].index_dims[1]},
             constant >> 1,
             is_wide ? (const void *)wide : narrow, 0},
        };
        operands[0].constant = constant & 1;
        operands[1].symbols = 1;
        operands[0].symbols = cases[c].axis == 0;
        int64_t axis = cases[c].axis < 0 ? cases[c].axis + cases[c].rank : cases[c].axis;
        size_t outer = 1, inner = 1, size = (size_t)cases[c].dims[axis], indices = count_elements(&operands[1]);
        for (int64_t d = 0; d < cases[c].rank; d++)
          *(d < axis ? &outer : &inner) *= d == axis ? 1 : (size_t)cases[c].dims[d];
        size_t count = 0;
        for (size_t o = 0; o < outer; o++)
          for (size_t i = 0; i < indices; i++)
            for (size_t j = 0; j < inner; j++)
              want[count++] = (double)random_floats[0][(o * size + (size_t)narrow[i]) * inner + j];
        check_node(PITH_OP_GATHER, 2, operands, 1, axis_setting, want, count, 0);
      }
  /* Outside the table, wherever the indices come from. */
  static const int32_t over[] = {0, 5}, under[] = {0, -1};
  for (int constant = 0; constant < 4; constant++) {
    const operand operands[2] = {constant & 1 ? fixed(floats(0, 2, 5, 7, 0)) : floats(0, 2, 5, 7, 0),
                                 {PITH_DTYPE_S32, 1, {2}, constant >> 1, constant & 1 ? over : under, 0}};
    one_node node;
    run_node(&node, PITH_OP_GATHER, 2, operands, 0, NULL, 0, 0);
    assert_int_equal(node.status, PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(node.error.message, constant & 1 ? "in1[1] is 5, outside 0..4" : "in1[1] is -1"));
    free_node(&node);
  }
}

/* ---- products ----------------------------------------------------------------------------------------------------------- */

static void test_gemm(void **state) {
  (void)state;
  enum { M = 5, K = 37, N = 70 };
  static const struct {
    uint32_t rank;
    int64_t dims[2];
  } rests[] = {{0, {0}}, {1, {N}}, {2, {1, N}}, {2, {M, N}}, {2, {M, 1}}, {1, {1}}};
  for (int form = 0; form < 2 * 2 * 2 * 2 * 3; form++)
    for (size_t r = 0; r <= sizeof rests / sizeof *rests; r++) {
      bool trans_a = form & 1, trans_b = form >> 1 & 1, fixed_b = form >> 2 & 1, fixed_c = form >> 3 & 1;
      int scaled = form >> 4;
      float alpha = scaled == 1 ? 0.5f : 1, beta = scaled == 2 ? -2 : 1;
      bool has_rest = r < sizeof rests / sizeof *rests;
      operand operands[3] = {trans_a ? floats(0, 2, K, M, 0) : floats(0, 2, M, K, 0),
                             trans_b ? floats(1, 2, N, K, 0) : floats(1, 2, K, N, 0), absent};
      operands[1].constant = fixed_b;
      operands[0].symbols = operands[1].symbols = fixed_b ? 0 : 3;
      if (has_rest) {
        operands[2] = floats(2, rests[r].rank, rests[r].dims[0], rests[r].dims[1], 0);
        operands[2].constant = fixed_c;
        if (!fixed_b && fixed_c)
          operands[0].symbols = operands[1].symbols = 0;
        operands[2].symbols = operands[0].symbols;
      }
      for (size_t m = 0; m < M; m++)
        for (size_t n = 0; n < N; n++) {
          double sum = 0, rest = 0;
          for (size_t k = 0; k < K; k++)
            sum += (double)random_floats[0][trans_a ? k * M + m : m * K + k] *
                   (double)random_floats[1][trans_b ? n * K + k : k * N + n];
          if (has_rest) {
            size_t rows = rests[r].rank == 2 ? (size_t)rests[r].dims[0] : 1;
            size_t columns = rests[r].rank == 0 ? 1 : (size_t)rests[r].dims[rests[r].rank - 1];
            rest = (double)random_floats[2][(rows == 1 ? 0 : m) * columns + (columns == 1 ? 0 : n)];
          }
          want[m * N + n] = (double)alpha * sum + (double)beta * rest;
        }
      const pith_attribute_setting attributes[] = {PITH_SET_FLOAT("alpha", (double)alpha),
                                                   PITH_SET_FLOAT("beta", (double)beta),
                                                   PITH_SET_INT("transA", trans_a), PITH_SET_INT("transB", trans_b)};
      check_node(PITH_OP_GEMM, 3, operands, 4, attributes, want, M * N, 2e-5);
    }
}

static void test_matmul(void **state) {
  (void)state;
  enum { M = 6, K = 19, N = 33 };
  for (size_t m = 0; m < M; m++)
    for (size_t n = 0; n < N; n++) {
      want[m * N + n] = 0;
      for (size_t k = 0; k < K; k++)
        want[m * N + n] += (double)random_floats[0][m * K + k] * (double)random_floats[1][k * N + n];
    }
  for (int constants = 0; constants < 4; constants++) {
    operand operands[2] = {floats(0, 2, M, K, 0), floats(1, 2, K, N, 0)};
    operands[0].constant = constants & 1;
    operands[1].constant = constants >> 1;
    operands[0].symbols = operands[1].symbols = constants == 0 ? 3 : 0;
    check_node(PITH_OP_MATMUL, 2, operands, 0, NULL, want, M * N, 1e-5);
  }
}

/* ---- rows ---------------------------------------------------------------------------------------------------------------- */

/* Along axis 0 or 1 of [R, C]: element i of line l. */
static size_t at(bool columns, size_t width, size_t line, size_t i) {
  return columns ? i * width + line : line * width + i;
}

static void test_softmax_and_lp_norm(void **state) {
  (void)state;
  enum { R = 9, C = 21 };
  for (int columns = 0; columns < 2; columns++)
    for (int form = 0; form < 3; form++) { /* softmax, 1-norm, 2-norm */
      size_t lines = columns ? C : R, length = columns ? R : C;
      for (size_t l = 0; l < lines; l++) {
        double sum = 0;
        for (size_t i = 0; i < length; i++) {
          double x = (double)random_floats[0][at(columns, C, l, i)];
          sum += form == 0 ? exp(x) : form == 1 ? fabs(x) : x * x;
        }
        for (size_t i = 0; i < length; i++) {
          double x = (double)random_floats[0][at(columns, C, l, i)];
          want[at(columns, C, l, i)] = form == 0 ? exp(x) / sum : x / (form == 1 ? sum : sqrt(sum));
        }
      }
      const operand x = symbolic(floats(0, 2, R, C, 0), 3);
      const pith_attribute_setting attributes[] = {PITH_SET_INT("axis", columns ? 0 : -1), PITH_SET_INT("p", form)};
      check_node(form == 0 ? PITH_OP_SOFTMAX : PITH_OP_LP_NORMALIZATION, 1, &x, form == 0 ? 1 : 2, attributes, want,
                 R * C, 2e-6);
    }
  const float zeros[4] = {0};
  const operand x = {PITH_DTYPE_F32, 2, {1, 4}, false, zeros, 0};
  memset(want, 0, 4 * sizeof *want);
  check_node(PITH_OP_LP_NORMALIZATION, 1, &x, 0, NULL, want, 4, 0);
}

static void test_layer_norm(void **state) {
  (void)state;
  enum { A = 4, B = 3, C = 10 };
  for (int axis = 1; axis < 3; axis++)
    for (int beta = 0; beta < 2; beta++) {
      size_t features = axis == 1 ? B * C : C, rows = A * B * C / features;
      for (size_t r = 0; r < rows; r++) {
        const float *x = random_floats[0] + r * features;
        double mean = 0, variance = 0;
        for (size_t i = 0; i < features; i++)
          mean += (double)x[i] / (double)features;
        for (size_t i = 0; i < features; i++)
          variance += ((double)x[i] - mean) * ((double)x[i] - mean) / (double)features;
        for (size_t i = 0; i < features; i++)
          want[r * features + i] = ((double)x[i] - mean) / sqrt(variance + 0.25) * (double)random_floats[1][i] +
                                   (beta ? (double)random_floats[2][i] : 0);
      }
      const operand scale = axis == 1 ? floats(1, 2, B, C, 0) : floats(1, 1, C, 0, 0);
      const operand shift = axis == 1 ? floats(2, 2, B, C, 0) : floats(2, 1, C, 0, 0);
      const operand operands[3] = {fixed(floats(0, 3, A, B, C)), fixed(scale), beta ? fixed(shift) : absent};
      operand inputs[3];
      memcpy(inputs, operands, sizeof inputs);
      inputs[0] = symbolic(floats(0, 3, A, B, C), 1);
      const pith_attribute_setting attributes[] = {PITH_SET_INT("axis", axis - 3), PITH_SET_FLOAT("epsilon", 0.25)};
      check_node(PITH_OP_LAYER_NORMALIZATION, 3, inputs, 2, attributes, want, A * B * C, 2e-6);
      check_node(PITH_OP_LAYER_NORMALIZATION, 3, operands, 2, attributes, want, A * B * C, 2e-6);
    }
}

/* ---- sequences ------------------------------------------------------------------------------------------------------------- */

static const int32_t offsets[] = {0, 1, 6, 13}, kv_offsets[] = {0, 4, 9, 10};
static const operand offsets_operand = {PITH_DTYPE_S32, 1, {4}, false, offsets, 1};

static void test_attention(void **state) {
  (void)state;
  enum { HEADS = 2, SIZE = 5, VALUE = 3, QUERIES = 13, KEYS = 10 };
  for (int form = 0; form < 8; form++) {
    bool own = form & 1, causal = form >> 1 & 1; /* keys of the same tokens, or of others */
    double scale = form >> 2 ? 0.7 : 1 / sqrt(SIZE);
    const int32_t *kv = own ? offsets : kv_offsets;
    for (size_t s = 0; s < 3; s++)
      for (size_t h = 0; h < HEADS; h++)
        for (int32_t q = offsets[s]; q < offsets[s + 1]; q++) {
          double scores[16], sum = 0;
          int32_t keys = kv[s + 1] - kv[s], queries = offsets[s + 1] - offsets[s];
          for (int32_t k = 0; k < keys; k++) {
            double score = 0;
            for (size_t i = 0; i < SIZE; i++)
              score += (double)random_floats[0][((size_t)q * HEADS + h) * SIZE + i] *
                       (double)random_floats[1][((size_t)(kv[s] + k) * HEADS + h) * SIZE + i];
            bool seen = !causal || k <= q - offsets[s] + keys - queries;
            sum += scores[k] = seen ? exp(score * scale) : 0;
          }
          for (size_t i = 0; i < VALUE; i++) {
            double y = 0;
            for (int32_t k = 0; k < keys; k++)
              y += scores[k] / sum * (double)random_floats[2][((size_t)(kv[s] + k) * HEADS + h) * VALUE + i];
            want[((size_t)q * HEADS + h) * VALUE + i] = sum == 0 ? 0 : y;
          }
        }
    if (causal && !own)
      continue; /* queries that see no key have no answer to compare with */
    int64_t keys = own ? QUERIES : KEYS;
    const operand operands[5] = {symbolic(floats(0, 2, QUERIES, HEADS * SIZE, 0), 1),
                                 symbolic(floats(1, 2, keys, HEADS * SIZE, 0), 1),
                                 symbolic(floats(2, 2, keys, HEADS * VALUE, 0), 1), offsets_operand,
                                 {PITH_DTYPE_S32, 1, {4}, false, kv, 1}};
    const pith_attribute_setting attributes[] = {PITH_SET_INT("num_heads", HEADS),
                                                 PITH_SET_FLOAT("scale", form >> 2 ? 0.7 : 0.0),
                                                 PITH_SET_INT("causal", causal)};
    check_node(PITH_OP_PACKED_ATTENTION, 5, operands, 3, attributes, want, QUERIES * HEADS * VALUE, 5e-6);
  }
  static const int32_t bad[] = {0, 1, 6, 12};
  const operand operands[5] = {symbolic(floats(0, 2, 13, 4, 0), 1), symbolic(floats(1, 2, 13, 4, 0), 1),
                               symbolic(floats(2, 2, 13, 4, 0), 1), offsets_operand, {PITH_DTYPE_S32, 1, {4}, false, bad, 1}};
  const pith_attribute_setting heads[] = {PITH_SET_INT("num_heads", 1)};
  one_node node;
  run_node(&node, PITH_OP_PACKED_ATTENTION, 5, operands, 1, heads, 0, 0);
  assert_int_equal(node.status, PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(node.error.message, "in4 ends at 12, not at the 13 rows of in1"));
  free_node(&node);
}

static void test_positions(void **state) {
  (void)state;
  static const int32_t ids[13] = {7, 1, 5, 5, 1, 5, 9, 9, 9, 9, 1, 1, 9};
  static const int32_t plain[13] = {0, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6};
  static const int32_t counted[13] = {2, 1, 2, 3, 1, 4, 2, 3, 4, 5, 1, 1, 6}; /* start 2, padding_id 1 */
  for (int form = 0; form < 2; form++) {
    const operand operands[2] = {offsets_operand, {PITH_DTYPE_S32, 1, {13}, false, ids, 1}};
    const pith_attribute_setting attributes[] = {PITH_SET_INT("start", 2), PITH_SET_INT("padding_id", 1)};
    one_node node;
    run_node(&node, PITH_OP_PACKED_POSITIONS, 2, operands, form ? 2 : 0, attributes, pith_cpu_detect(), 0);
    if (node.status != PITH_OK)
      fail_msg("%s", node.error.message);
    assert_memory_equal(pith_executor_get_output(node.run.executor, 0)->data, form ? counted : plain, sizeof plain);
    free_node(&node);
  }
}

static void test_pool(void **state) {
  (void)state;
  enum { F = 21 };
  for (int mode = PITH_POOL_MEAN; mode <= PITH_POOL_LAST; mode++) {
    for (size_t s = 0; s < 3; s++)
      for (size_t f = 0; f < F; f++) {
        double sum = 0, largest = -INFINITY;
        for (int32_t t = offsets[s]; t < offsets[s + 1]; t++) {
          double x = (double)random_floats[0][(size_t)t * F + f];
          sum += x;
          largest = fmax(largest, x);
        }
        want[s * F + f] = mode == PITH_POOL_MEAN  ? sum / (offsets[s + 1] - offsets[s])
                          : mode == PITH_POOL_MAX ? largest
                          : mode == PITH_POOL_CLS ? (double)random_floats[0][(size_t)offsets[s] * F + f]
                                                  : (double)random_floats[0][(size_t)(offsets[s + 1] - 1) * F + f];
      }
    const operand operands[2] = {symbolic(floats(0, 2, 13, F, 0), 1), offsets_operand};
    const pith_attribute_setting attributes[] = {PITH_SET_ENUM("mode", mode)};
    check_node(PITH_OP_SEQUENCE_POOL, 2, operands, 1, attributes, want, 3 * F, 1e-6);
  }
}

/* Indices that a step computes are checked when they have been computed: a sequence longer than the position table. */
static void test_computed_indices(void **state) {
  (void)state;
  pith_error error = {PITH_OK, ""};
  pith_graph *graph = fixture_build_bert(NULL, 1, &error); /* 20 positions */
  assert_non_null(graph);
  exec_fixture_weights weights;
  exec_fixture_fill(graph, 1, &weights);
  static const int32_t ids[21] = {1}, one[2] = {0, 21};
  static int64_t types[21];
  for (uint32_t rewrites = 0; rewrites < 2; rewrites++) {
    pith_run_options options = {.rewrites = rewrites ? PITH_REWRITES_ALL : 0};
    pith_feed feeds[3] = {{ids, {21}}, {types, {21}}, {one, {2}}};
    pith_graph_run run;
    assert_int_equal(pith_graph_run_init(&run, graph, &options, feeds, &error), PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "positions[20] is 20, outside 0..19, the rows of embeddings.positions"));
    types[3] = 2;
    static const int32_t two[3] = {0, 10, 20};
    feeds[0].dims[0] = feeds[1].dims[0] = 20;
    feeds[2] = (pith_feed){two, {3}};
    assert_int_equal(pith_graph_run_init(&run, graph, &options, feeds, &error), PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "[3] is 2, outside 0..1"));
    types[3] = 0;
    assert_int_equal(pith_graph_run_init(&run, graph, &options, feeds, &error), PITH_OK);
    pith_graph_run_deinit(&run);
    feeds[1].dims[0] = 19;
    assert_int_equal(pith_graph_run_init(&run, graph, &options, feeds, &error), PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "dimension 0 is"));
  }
  pith_graph_destroy(graph);
  exec_fixture_free_weights(&weights);
}

static void test_all_operators_ran(void **state) {
  (void)state;
  for (int op = 0; op < PITH_OP_COUNT; op++)
    if (!tested[op] && strstr(pith_operator_get((pith_operator_id)op)->name, "Quantize") == NULL &&
        op != PITH_OP_DEQUANTIZE_LINEAR) /* those: exec_quantize.c */
      fail_msg("%s ran in no test", pith_operator_get((pith_operator_id)op)->name);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_binary),     cmocka_unit_test(test_unary),
      cmocka_unit_test(test_casts),      cmocka_unit_test(test_identity),
      cmocka_unit_test(test_gather),     cmocka_unit_test(test_gemm),
      cmocka_unit_test(test_matmul),     cmocka_unit_test(test_softmax_and_lp_norm),
      cmocka_unit_test(test_layer_norm), cmocka_unit_test(test_attention),
      cmocka_unit_test(test_positions),  cmocka_unit_test(test_pool),
      cmocka_unit_test(test_computed_indices), cmocka_unit_test(test_all_operators_ran),
  };
  return cmocka_run_group_tests(tests, fill, NULL);
}
