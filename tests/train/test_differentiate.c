/* Reverse mode over whole graphs: sums over several readers, what is left out, gradients by rows, and what has none. */
#include <string.h>

#include "tests/train/gradient_fixture.h"
#include "train/gradients.h"

#define IDS(...) ((pith_tensor_id[]){__VA_ARGS__})

static pith_tensor_id add(gradient_fixture *f, int op, const pith_tensor_id *inputs, uint32_t count) {
  return pith_build_operator(&f->builder, NULL, pith_training_operator_get(op), count, inputs, 0, NULL);
}
static pith_tensor_id mean_square(gradient_fixture *f, pith_tensor_id y) {
  const pith_tensor tensor = f->graph->tensors[y];
  const pith_tensor_id zeros = pith_build_input(&f->builder, "zeros", PITH_DTYPE_F32, tensor.rank, tensor.dims);
  return add(f, PITH_OP_MEAN_SQUARED_ERROR, IDS(y, zeros), 2);
}
static uint32_t count_ops(const pith_graph *graph, pith_node_id begin, int op) {
  uint32_t count = 0;
  for (pith_node_id n = begin; n < graph->node_count; n++)
    count += (int)graph->nodes[n].op->id == op;
  return count;
}
static void must(gradient_fixture *f) {
  if (f->builder.status != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
}

/* A network whose values have several readers each, one that reads a value twice, and a branch that leads nowhere. */
static void test_several_readers(void **state) {
  (void)state;
  gradient_fixture f;
  gradient_begin(&f, "several readers");
  const pith_tensor_id x = gradient_floats(&f, "tokens,6"), w = gradient_floats(&f, "6,6"), b = gradient_floats(&f, "6");
  pith_tensor_id h = add(&f, PITH_OP_MATMUL, IDS(x, w), 2);
  h = add(&f, PITH_OP_ADD, IDS(h, b), 2);
  const pith_tensor_id residual = add(&f, PITH_OP_ADD, IDS(h, x), 2);
  const pith_tensor_id square = add(&f, PITH_OP_MUL, IDS(residual, residual), 2);
  pith_tensor_id y = add(&f, PITH_OP_MATMUL, IDS(add(&f, PITH_OP_TANH, IDS(residual), 1), w), 2);
  add(&f, PITH_OP_MATMUL, IDS(square, w), 2); /* nowhere */
  y = add(&f, PITH_OP_ADD, IDS(y, residual), 2);
  y = add(&f, PITH_OP_SUB, IDS(y, add(&f, PITH_OP_MUL, IDS(square, b), 2)), 2);
  must(&f);
  gradient_check(&f, y);
  gradient_end(&f);
}

/* Only what the wanted tensors need is built: nothing below the lowest of them. */
static void test_only_what_is_wanted(void **state) {
  (void)state;
  for (int wanted = 0; wanted < 3; wanted++) {
    gradient_fixture f;
    gradient_begin(&f, "three layers");
    pith_tensor_id y = gradient_fixed(&f, "tokens,6", -1, 1), w[3];
    for (int i = 0; i < 3; i++) {
      w[i] = gradient_fixed(&f, "6,6", -1, 1);
      y = add(&f, PITH_OP_TANH, IDS(add(&f, PITH_OP_MATMUL, IDS(y, w[i]), 2)), 1);
    }
    const pith_tensor_id loss = mean_square(&f, y);
    must(&f);
    const pith_node_id nodes = f.graph->node_count;
    pith_gradient gradient = {.of = w[wanted]};
    assert_int_equal(pith_differentiate(f.graph, loss, &gradient, 1, NULL, &f.error), PITH_OK);
    assert_int_equal(count_ops(f.graph, nodes, PITH_OP_UNARY_GRAD), 3 - wanted);
    assert_int_equal(count_ops(f.graph, nodes, PITH_OP_GEMM), 3 - wanted);
    assert_int_equal(f.graph->node_count - nodes, 1 + 2 * (3 - wanted));
    assert_true(f.graph->tensors[gradient.gradient].rank == 2);
    gradient_end(&f);
  }
}

static pith_tensor_id add_table(gradient_fixture *f, pith_tensor_id table, pith_tensor_id ids, int64_t axis) {
  const pith_attribute_setting attribute = PITH_SET_INT("axis", axis);
  return pith_build_operator(&f->builder, NULL, pith_operator_get(PITH_OP_GATHER), 2, IDS(table, ids), 1, &attribute);
}

enum { ONE_GATHER, TWO_GATHERS, GATHER_AND_GEMM, COLUMNS, TABLE_OF_IDS, WAYS };

/* Rows where one Gather of rows alone reads the table; the whole table otherwise. */
static void test_by_rows(void **state) {
  (void)state;
  static const int32_t data[GRADIENT_TOKENS] = {1, 3, 1, 0, 5, 5, 1, 2, 0, 3, 1};
  for (int way = 0; way < WAYS; way++) {
    gradient_fixture f;
    gradient_begin(&f, "by rows");
    const pith_tensor_id table = gradient_fixed(&f, "6,6", -1, 1);
    const pith_tensor_id ids = gradient_integers(&f, way == TABLE_OF_IDS ? "tokens,1" : "tokens", data);
    pith_tensor_id y = add_table(&f, table, ids, way == COLUMNS);
    if (way == TWO_GATHERS)
      y = add(&f, PITH_OP_ADD, IDS(y, add_table(&f, table, ids, 0)), 2);
    if (way == GATHER_AND_GEMM)
      y = add(&f, PITH_OP_GEMM, IDS(y, table), 2);
    const pith_tensor_id loss = mean_square(&f, y);
    must(&f);
    pith_gradient gradient = {.of = table, .by_rows = true};
    assert_int_equal(pith_differentiate(f.graph, loss, &gradient, 1, NULL, &f.error), PITH_OK);
    const pith_tensor *got = &f.graph->tensors[gradient.gradient];
    if (way == ONE_GATHER) {
      assert_true(gradient.ids != PITH_NONE && f.graph->tensors[gradient.ids].dtype == PITH_DTYPE_S32);
      assert_int_equal(f.graph->tensors[gradient.ids].kind, PITH_TENSOR_VALUE); /* an output of its own */
      assert_true(got->rank == 2 && !pith_dim_is_constant(&got->dims[0]));
      assert_int_equal(count_ops(f.graph, 0, PITH_OP_GATHER_GRAD), 0);
    } else {
      assert_int_equal(gradient.ids, PITH_NONE);
      assert_int_equal(got->dims[0].constant, 6);
    }
    gradient_end(&f);
  }
}

/* What flows through sums unchanged is one value for several tensors, which outputs cannot share; what reaches no loss has none. */
static void test_own_values(void **state) {
  (void)state;
  gradient_fixture f;
  gradient_begin(&f, "own values");
  const pith_tensor_id a = gradient_fixed(&f, "tokens,6", -1, 1), b = gradient_fixed(&f, "tokens,6", -1, 1);
  const pith_tensor_id c = gradient_fixed(&f, "", -1, 1), unused = gradient_fixed(&f, "3", -1, 1);
  const pith_tensor_id loss = add(&f, PITH_OP_ADD, IDS(mean_square(&f, add(&f, PITH_OP_ADD, IDS(a, b), 2)), c), 2);
  add(&f, PITH_OP_TANH, IDS(unused), 1);
  must(&f);
  pith_gradient gradients[5] = {{.of = a}, {.of = b}, {.of = c}, {.of = unused}, {.of = a}};
  assert_int_equal(pith_differentiate(f.graph, loss, gradients, 5, NULL, &f.error), PITH_OK);
  assert_int_equal(gradients[3].gradient, PITH_NONE);
  pith_build_output(&f.builder, loss, NULL);
  for (int i = 0; i < 5; i++)
    if (i != 3)
      pith_build_output(&f.builder, gradients[i].gradient, NULL);
  if (pith_builder_finish(&f.builder) != PITH_OK)
    fail_msg("%s", f.error.message);
  gradient_end(&f);
}

/* ---- what cannot be differentiated ------------------------------------------------------------------------------------------- */

static pith_tensor_id build_attention(gradient_fixture *f, pith_tensor_id x) {
  const pith_attribute_setting heads = PITH_SET_INT("num_heads", 2);
  const pith_tensor_id offsets = gradient_offsets(f);
  return pith_build_operator(&f->builder, "bad", pith_operator_get(PITH_OP_PACKED_ATTENTION), 5, IDS(x, x, x, offsets, offsets), 1, &heads);
}
static pith_tensor_id build_quantize(gradient_fixture *f, pith_tensor_id x) {
  const pith_tensor_id scale = gradient_fixed(f, "", 0.1f, 0.2f);
  const pith_tensor_id q = pith_build_node(&f->builder, "bad", PITH_OP_QUANTIZE_LINEAR, 2, IDS(x, scale), 0, NULL);
  return pith_build_node(&f->builder, "worse", PITH_OP_DEQUANTIZE_LINEAR, 2, IDS(q, scale), 0, NULL);
}
static void test_unsupported(void **state) {
  (void)state;
  static const struct {
    pith_tensor_id (*build)(gradient_fixture *f, pith_tensor_id x);
    const char *message;
  } rows[] = {
      {build_attention, "node 'bad' (PackedAttention) has no gradient by its input query: it keeps nothing for the way back"},
      {build_quantize, "node 'bad' (QuantizeLinear) has no gradient by its input x: it rounds"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (int wanted = 0; wanted < 2; wanted++) {
      gradient_fixture f;
      gradient_begin(&f, "unsupported");
      const pith_tensor_id x = gradient_fixed(&f, "tokens,6", -1, 1), w = gradient_fixed(&f, "tokens,6", -1, 1);
      pith_tensor_id y = rows[i].build(&f, x);
      if (f.graph->tensors[y].rank != 0)
        y = mean_square(&f, add(&f, PITH_OP_MUL, IDS(y, w), 2));
      must(&f);
      /* Beside the way it does not matter. */
      pith_gradient gradient = {.of = wanted ? x : w};
      const pith_status status = pith_differentiate(f.graph, y, &gradient, 1, NULL, &f.error);
      assert_int_equal(status, wanted ? PITH_UNSUPPORTED : PITH_OK);
      if (wanted && strstr(f.error.message, rows[i].message) == NULL)
        fail_msg("'%s' lacks '%s'", f.error.message, rows[i].message);
      gradient_end(&f);
    }
}

static void test_arguments(void **state) {
  (void)state;
  gradient_fixture f;
  gradient_begin(&f, "arguments");
  static const int32_t data[GRADIENT_TOKENS] = {0};
  const pith_tensor_id x = gradient_fixed(&f, "tokens,6", -1, 1), ids = gradient_integers(&f, "tokens", data);
  const pith_tensor_id loss = mean_square(&f, x);
  must(&f);
  pith_gradient gradient = {.of = x};
  assert_int_equal(pith_differentiate(f.graph, x, &gradient, 1, NULL, &f.error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_differentiate(f.graph, f.graph->tensor_count, &gradient, 1, NULL, &f.error), PITH_INVALID_ARGUMENT);
  gradient.of = ids;
  assert_int_equal(pith_differentiate(f.graph, loss, &gradient, 1, NULL, &f.error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(f.error.message, "no float of the graph"));
  gradient.of = f.graph->tensor_count;
  assert_int_equal(pith_differentiate(f.graph, loss, &gradient, 1, NULL, &f.error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_differentiate(f.graph, loss, NULL, 0, NULL, &f.error), PITH_OK);
  gradient_end(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_several_readers), cmocka_unit_test(test_only_what_is_wanted), cmocka_unit_test(test_by_rows),
      cmocka_unit_test(test_own_values),      cmocka_unit_test(test_unsupported),         cmocka_unit_test(test_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
