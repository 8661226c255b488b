/* Every operator of the engine's table and of training's: its gradient against differences in double, or the reason why it has none. */
#include <stdio.h>
#include <string.h>

#include "ops/elementwise/elementwise_f32.h"
#include "ops/loss/relation_f32.h"
#include "tests/train/gradient_fixture.h"
#include "train/gradients.h"

#define IDS(...) ((pith_tensor_id[]){__VA_ARGS__})
#define COUNT(array) (uint32_t)(sizeof(array) / sizeof *(array))

typedef struct gradient_case {
  const char *name;
  int op;
  uint32_t inputs; /* bits of the node's inputs whose gradients it checks */
  void (*build)(gradient_fixture *f, const struct gradient_case *row);
  const char *shapes[3]; /* of the inputs, where `build` reads them */
  double options[4];     /* whatever `build` makes of them */
} gradient_case;

/* ---- element by element -------------------------------------------------------------------------------------------------- */

static void build_binary(gradient_fixture *f, const gradient_case *row) {
  const pith_tensor_id a = gradient_floats(f, row->shapes[0]);
  /* Away from 0: it may divide. */
  const pith_tensor_id b = f->wanted[f->wanted_count++] = gradient_fixed(f, row->shapes[1], 0.5f, 1.5f);
  gradient_check(f, gradient_node(f, row->op, 2, IDS(a, b), 0, NULL));
}

static void build_square(gradient_fixture *f, const gradient_case *row) {
  const pith_tensor_id a = gradient_floats(f, row->shapes[0]);
  gradient_check(f, gradient_node(f, row->op, 2, IDS(a, a), 0, NULL));
}

static void build_unary(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting approximate = PITH_SET_ENUM("approximate", (int64_t)row->options[0]);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]);
  gradient_check(f, gradient_node(f, row->op, 1, IDS(x), row->op == PITH_OP_GELU, &approximate));
}

static void build_cast(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting to = PITH_SET_DTYPE("to", PITH_DTYPE_F32);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]);
  gradient_check(f, gradient_node(f, row->op, 1, IDS(x), 1, &to));
}

/* ---- products -------------------------------------------------------------------------------------------------------------- */

static void build_gemm(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[4] = {PITH_SET_INT("transA", (int64_t)row->options[0]), PITH_SET_INT("transB", (int64_t)row->options[1]),
                                                PITH_SET_FLOAT("alpha", row->options[2]), PITH_SET_FLOAT("beta", row->options[3])};
  const pith_tensor_id a = gradient_floats(f, row->shapes[0]), b = gradient_floats(f, row->shapes[1]);
  const pith_tensor_id c = row->shapes[2] == NULL ? PITH_NONE : gradient_floats(f, row->shapes[2]);
  gradient_check(f, gradient_node(f, row->op, c == PITH_NONE ? 2 : 3, IDS(a, b, c), 4, attributes));
}

static void build_matmul(gradient_fixture *f, const gradient_case *row) {
  const pith_tensor_id a = gradient_floats(f, row->shapes[0]), b = gradient_floats(f, row->shapes[1]);
  gradient_check(f, gradient_node(f, row->op, 2, IDS(a, b), 0, NULL));
}

/* ---- rows ------------------------------------------------------------------------------------------------------------------ */

static void build_gather(gradient_fixture *f, const gradient_case *row) {
  static const int32_t indices[] = {3, 0, 3, 1, 5, 3, 2, 2}; /* 4 is never looked up */
  const pith_attribute_setting axis = PITH_SET_INT("axis", (int64_t)row->options[0]);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), ids = gradient_integers(f, row->shapes[1], indices);
  gradient_check(f, gradient_node(f, row->op, 2, IDS(x, ids), 1, &axis));
}

static void build_along_axis(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[2] = {PITH_SET_INT("axis", (int64_t)row->options[0]), PITH_SET_INT("p", (int64_t)row->options[1])};
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]);
  gradient_check(f, gradient_node(f, row->op, 1, IDS(x), row->op == PITH_OP_SOFTMAX ? 1 : 2, attributes));
}

static void build_layer_norm(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[2] = {PITH_SET_INT("axis", (int64_t)row->options[0]), PITH_SET_FLOAT("epsilon", row->options[1])};
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), scale = gradient_floats(f, row->shapes[1]);
  const pith_tensor_id b = row->shapes[2] == NULL ? PITH_NONE : gradient_floats(f, row->shapes[2]);
  gradient_check(f, gradient_node(f, row->op, b == PITH_NONE ? 2 : 3, IDS(x, scale, b), 2, attributes));
}

/* ---- sequences ------------------------------------------------------------------------------------------------------------- */

static void build_pool(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting mode = PITH_SET_ENUM("mode", (int64_t)row->options[0]);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), offsets = gradient_offsets(f);
  gradient_check(f, gradient_node(f, row->op, 2, IDS(x, offsets), 1, &mode));
}

/* options: ratio, with residual, with offsets */
static void build_dropout(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[2] = {PITH_SET_FLOAT("ratio", row->options[0]), PITH_SET_INT("operator", 7)};
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]);
  const pith_tensor_id residual = row->options[1] != 0 ? gradient_floats(f, row->shapes[0]) : PITH_NONE;
  const pith_tensor_id offsets = row->options[2] != 0 ? gradient_offsets(f) : PITH_NONE;
  gradient_check(f, gradient_node(f, row->op, 4, IDS(x, residual, offsets, gradient_key(f)), 2, attributes));
}

/* options: heads, causal, ratio, scale */
static void build_attention(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[5] = {PITH_SET_INT("num_heads", (int64_t)row->options[0]),
                                                PITH_SET_INT("causal", (int64_t)row->options[1]), PITH_SET_FLOAT("ratio", row->options[2]),
                                                PITH_SET_FLOAT("scale", row->options[3]), PITH_SET_INT("operator", 3)};
  const pith_tensor_id q = gradient_floats(f, row->shapes[0]), k = gradient_floats(f, row->shapes[1]), v = gradient_floats(f, row->shapes[2]);
  const pith_tensor_id offsets = gradient_offsets(f), key = row->options[2] == 0 ? PITH_NONE : gradient_key(f);
  gradient_check(f, gradient_node(f, row->op, 6, IDS(q, k, v, offsets, offsets, key), 5, attributes));
}

/* ---- losses ---------------------------------------------------------------------------------------------------------------- */

/* options: smoothing, with class weights */
static void build_cross_entropy(gradient_fixture *f, const gradient_case *row) {
  static const int32_t labels[] = {3, 0, -100, 2, 3, -100, 1, 1, 0, 2, 3};
  const pith_attribute_setting smoothing = PITH_SET_FLOAT("smoothing", row->options[0]);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), ids = gradient_integers(f, row->shapes[1], labels);
  const pith_tensor_id weights = row->options[1] != 0 ? gradient_fixed(f, row->shapes[2], 0.2f, 2) : PITH_NONE;
  gradient_check(f, gradient_node(f, row->op, 3, IDS(x, ids, weights), 1, &smoothing));
}

static void build_span(gradient_fixture *f, const gradient_case *row) {
  static const int32_t labels[2 * GRADIENT_SEQUENCES] = {1, 3, 0, -100, 0, 5};
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), ids = gradient_integers(f, row->shapes[1], labels);
  gradient_check(f, gradient_node(f, row->op, 3, IDS(x, ids, gradient_offsets(f)), 0, NULL));
}

static void build_targets(gradient_fixture *f, const gradient_case *row) {
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]);
  const pith_tensor_id targets = gradient_fixed(f, row->shapes[0], 0, 1);
  if ((row->inputs & 2) != 0)
    f->wanted[f->wanted_count++] = targets;
  gradient_check(f, gradient_node(f, row->op, 2, IDS(x, targets), 0, NULL));
}

static void build_cosine(gradient_fixture *f, const gradient_case *row) {
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), z = gradient_floats(f, row->shapes[0]);
  const pith_tensor_id targets = row->shapes[1] == NULL ? PITH_NONE : gradient_fixed(f, row->shapes[1], -1, 1);
  gradient_check(f, gradient_node(f, row->op, 3, IDS(x, z, targets), 0, NULL));
}

static void build_kl(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting temperature = PITH_SET_FLOAT("temperature", row->options[0]);
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), teacher = gradient_fixed(f, row->shapes[0], -2, 2);
  const pith_tensor_id offsets = row->options[1] != 0 ? gradient_offsets(f) : PITH_NONE;
  gradient_check(f, gradient_node(f, row->op, 3, IDS(x, teacher, offsets), 1, &temperature));
}

static void build_mean(gradient_fixture *f, const gradient_case *row) {
  gradient_check(f, gradient_node(f, row->op, 1, IDS(gradient_floats(f, row->shapes[0])), 0, NULL));
}

/* options: heads, error, scale, 1: of one tensor with itself */
static void build_relations(gradient_fixture *f, const gradient_case *row) {
  const pith_attribute_setting attributes[4] = {PITH_SET_INT("num_heads", (int64_t)row->options[0]),
                                                PITH_SET_ENUM("error", (int64_t)row->options[1]), PITH_SET_FLOAT("scale", row->options[2]),
                                                PITH_SET_FLOAT("teacher_scale", 2 * row->options[2])};
  const pith_tensor_id x = gradient_floats(f, row->shapes[0]), z = row->options[3] != 0 ? x : gradient_floats(f, row->shapes[0]);
  const pith_tensor_id teacher_x = gradient_fixed(f, row->shapes[1], -1, 1);
  const pith_tensor_id teacher_z = row->options[3] != 0 ? teacher_x : gradient_fixed(f, row->shapes[1], -1, 1);
  gradient_check(f, gradient_node(f, row->op, 5, IDS(x, z, teacher_x, teacher_z, gradient_offsets(f)), 4, attributes));
}

/* ---- the table --------------------------------------------------------------------------------------------------------------- */

static const gradient_case cases[] = {
    {"add", PITH_OP_ADD, 3, build_binary, {"tokens,6", "tokens,6"}, {0}},
    {"add row", PITH_OP_ADD, 3, build_binary, {"tokens,6", "6"}, {0}},
    {"add column", PITH_OP_ADD, 3, build_binary, {"tokens,6", "tokens,1"}, {0}},
    {"add row to column", PITH_OP_ADD, 3, build_binary, {"tokens,1", "6"}, {0}},
    {"add number", PITH_OP_ADD, 3, build_binary, {"tokens,6", ""}, {0}},
    {"add to number", PITH_OP_ADD, 3, build_binary, {"", "2,3,4"}, {0}},
    {"add kept ones", PITH_OP_ADD, 3, build_binary, {"2,3,4", "1,4"}, {0}},
    {"add all ones", PITH_OP_ADD, 3, build_binary, {"2,3,4", "1,1,1"}, {0}},
    {"add suffix", PITH_OP_ADD, 3, build_binary, {"2,3,4", "2,1,1"}, {0}},
    {"sub", PITH_OP_SUB, 3, build_binary, {"tokens,6", "6"}, {0}},
    {"sub from row", PITH_OP_SUB, 3, build_binary, {"6", "tokens,6"}, {0}},
    {"mul", PITH_OP_MUL, 3, build_binary, {"tokens,6", "tokens,6"}, {0}},
    {"mul column", PITH_OP_MUL, 3, build_binary, {"tokens,6", "tokens,1"}, {0}},
    {"mul number", PITH_OP_MUL, 3, build_binary, {"3,5", "1"}, {0}},
    {"square", PITH_OP_MUL, 3, build_square, {"5,7"}, {0}},
    {"div", PITH_OP_DIV, 3, build_binary, {"tokens,6", "6"}, {0}},
    {"div column by row", PITH_OP_DIV, 3, build_binary, {"tokens,1", "6"}, {0}},
    {"erf", PITH_OP_ERF, 1, build_unary, {"tokens,7"}, {0}},
    {"tanh", PITH_OP_TANH, 1, build_unary, {"tokens,7"}, {0}},
    {"sigmoid", PITH_OP_SIGMOID, 1, build_unary, {"37"}, {0}},
    {"relu", PITH_OP_RELU, 1, build_unary, {"2,3,5"}, {0}},
    {"gelu", PITH_OP_GELU, 1, build_unary, {"tokens,7"}, {PITH_GELU_NONE}},
    {"gelu tanh", PITH_OP_GELU, 1, build_unary, {"tokens,7"}, {PITH_GELU_TANH}},
    {"identity", PITH_OP_IDENTITY, 1, build_unary, {"tokens,7"}, {0}},
    {"cast", PITH_OP_CAST, 1, build_cast, {"tokens,7"}, {0}},
    {"matmul", PITH_OP_MATMUL, 3, build_matmul, {"tokens,5", "5,7"}, {0}},
    {"gemm", PITH_OP_GEMM, 7, build_gemm, {"tokens,5", "7,5", "7"}, {0, 1, 1, 1}},
    {"gemm kn", PITH_OP_GEMM, 7, build_gemm, {"tokens,5", "5,7", "7"}, {0, 0, 1, 1}},
    {"gemm turned", PITH_OP_GEMM, 7, build_gemm, {"5,tokens", "7,5", "tokens,7"}, {1, 1, 0.5, -2}},
    {"gemm turned kn", PITH_OP_GEMM, 7, build_gemm, {"5,tokens", "5,7", "tokens,1"}, {1, 0, -1.5, 0.25}},
    {"gemm factors", PITH_OP_GEMM, 3, build_gemm, {"tokens,5", "7,5", NULL}, {0, 1, 0.3, 1}},
    {"gemm number", PITH_OP_GEMM, 7, build_gemm, {"tokens,5", "5,7", ""}, {0, 0, 2, 3}},
    {"gemm wide", PITH_OP_GEMM, 7, build_gemm, {"tokens,70", "67,70", "67"}, {0, 1, 1, 1}},
    {"gemm of values", PITH_OP_GEMM, 3, build_gemm, {"tokens,5", "rows,5", NULL}, {0, 1, 20, 1}},
    {"gather", PITH_OP_GATHER, 1, build_gather, {"6,5", "8"}, {0}},
    {"gather numbers", PITH_OP_GATHER, 1, build_gather, {"6", "8"}, {0}},
    {"gather squares", PITH_OP_GATHER, 1, build_gather, {"6,3", "2,4"}, {0}},
    {"gather tokens", PITH_OP_GATHER, 1, build_gather, {"tokens,3", "rows"}, {0}},
    {"gather columns", PITH_OP_GATHER, 1, build_gather, {"tokens,6", "8"}, {1}},
    {"gather middle", PITH_OP_GATHER, 1, build_gather, {"2,6,3", "8"}, {-2}},
    {"softmax", PITH_OP_SOFTMAX, 1, build_along_axis, {"tokens,7"}, {-1}},
    {"softmax columns", PITH_OP_SOFTMAX, 1, build_along_axis, {"tokens,7"}, {0}},
    {"lp norm", PITH_OP_LP_NORMALIZATION, 1, build_along_axis, {"tokens,7"}, {-1, 2}},
    {"lp norm 1", PITH_OP_LP_NORMALIZATION, 1, build_along_axis, {"2,3,5"}, {2, 1}},
    {"lp norm columns", PITH_OP_LP_NORMALIZATION, 1, build_along_axis, {"4,7"}, {0, 2}},
    {"layer norm", PITH_OP_LAYER_NORMALIZATION, 7, build_layer_norm, {"tokens,37", "37", "37"}, {-1, 1e-12}},
    {"layer norm scale", PITH_OP_LAYER_NORMALIZATION, 3, build_layer_norm, {"tokens,9", "9", NULL}, {-1, 0.3}},
    {"layer norm blocks", PITH_OP_LAYER_NORMALIZATION, 7, build_layer_norm, {"5,2,3", "2,3", "2,3"}, {1, 1e-5}},
    {"pool mean", PITH_OP_SEQUENCE_POOL, 1, build_pool, {"tokens,7"}, {PITH_POOL_MEAN}},
    {"pool cls", PITH_OP_SEQUENCE_POOL, 1, build_pool, {"tokens,7"}, {PITH_POOL_CLS}},
    {"pool max", PITH_OP_SEQUENCE_POOL, 1, build_pool, {"tokens,7"}, {PITH_POOL_MAX}},
    {"pool last", PITH_OP_SEQUENCE_POOL, 1, build_pool, {"tokens,7"}, {PITH_POOL_LAST}},
    {"dropout", PITH_OP_DROPOUT, 1, build_dropout, {"tokens,37"}, {0.3, 0, 1}},
    {"dropout residual", PITH_OP_DROPOUT, 3, build_dropout, {"tokens,37"}, {0.5, 1, 1}},
    {"dropout rows", PITH_OP_DROPOUT, 3, build_dropout, {"tokens,37"}, {0.1, 1, 0}},
    {"dropout none", PITH_OP_DROPOUT, 1, build_dropout, {"tokens,5"}, {0, 0, 1}},
    {"attention", PITH_OP_TRAINING_ATTENTION, 7, build_attention, {"tokens,8", "tokens,8", "tokens,6"}, {2, 0, 0, 0}},
    {"attention causal", PITH_OP_TRAINING_ATTENTION, 7, build_attention, {"tokens,32", "tokens,32", "tokens,32"}, {1, 1, 0, 0.4}},
    {"attention dropout", PITH_OP_TRAINING_ATTENTION, 7, build_attention, {"tokens,16", "tokens,16", "tokens,12"}, {2, 0, 0.3, 0}},
    {"attention wide", PITH_OP_TRAINING_ATTENTION, 7, build_attention, {"tokens,32", "tokens,32", "tokens,32"}, {1, 1, 0.2, 0}},
    {"softmax cross entropy", PITH_OP_SOFTMAX_CROSS_ENTROPY, 1, build_cross_entropy, {"tokens,4", "tokens", "4"}, {0, 0}},
    {"softmax cross entropy weighted", PITH_OP_SOFTMAX_CROSS_ENTROPY, 1, build_cross_entropy, {"tokens,4", "tokens", "4"}, {0, 1}},
    {"softmax cross entropy smoothed", PITH_OP_SOFTMAX_CROSS_ENTROPY, 1, build_cross_entropy, {"tokens,4", "tokens", "4"}, {0.2, 1}},
    {"span cross entropy", PITH_OP_SPAN_CROSS_ENTROPY, 1, build_span, {"tokens,2", "sequences,2"}, {0}},
    {"sigmoid cross entropy", PITH_OP_SIGMOID_CROSS_ENTROPY, 1, build_targets, {"sequences,5"}, {0}},
    {"mean squared error", PITH_OP_MEAN_SQUARED_ERROR, 3, build_targets, {"sequences,5"}, {0}},
    {"cosine", PITH_OP_COSINE_LOSS, 3, build_cosine, {"rows,9", NULL}, {0}},
    {"cosine targets", PITH_OP_COSINE_LOSS, 3, build_cosine, {"rows,9", "rows"}, {0}},
    {"kl", PITH_OP_KL_DIVERGENCE, 1, build_kl, {"rows,6"}, {1}},
    {"kl warm", PITH_OP_KL_DIVERGENCE, 1, build_kl, {"rows,6"}, {3}},
    {"kl spans", PITH_OP_KL_DIVERGENCE, 1, build_kl, {"tokens,2"}, {2, 1}},
    {"mean", PITH_OP_MEAN, 1, build_mean, {"tokens,3"}, {0}},
    {"relations", PITH_OP_RELATION_ERRORS, 3, build_relations, {"tokens,8", "tokens,12"}, {2, PITH_RELATION_KL, 0, 0}},
    {"relations of one", PITH_OP_RELATION_ERRORS, 3, build_relations, {"tokens,9", "tokens,6"}, {3, PITH_RELATION_KL, 0.7, 1}},
    {"relations wide", PITH_OP_RELATION_ERRORS, 3, build_relations, {"tokens,37", "tokens,20"}, {1, PITH_RELATION_KL, 0, 1}},
    {"scores", PITH_OP_RELATION_ERRORS, 3, build_relations, {"tokens,8", "tokens,12"}, {4, PITH_RELATION_SQUARED, 0, 0}},
    {"scores scaled", PITH_OP_RELATION_ERRORS, 3, build_relations, {"tokens,34", "tokens,4"}, {2, PITH_RELATION_SQUARED, 0.3, 0}},
};

/* Runs the cases of each operator; one without gradient gives its reason, and no float input is left out without one. */
static void test_every_operator(void **state) {
  (void)state;
  size_t ran = 0;
  assert_null(pith_gradient_row_get(PITH_TRAINING_OP_END));
  for (int id = 0; id < PITH_TRAINING_OP_END; id++) {
    const pith_operator *op = pith_training_operator_get(id);
    const pith_gradient_row *row = pith_gradient_row_get(id);
    uint32_t checked = 0, floats = 0;
    assert_int_equal((int)op->id, id);
    for (size_t i = 0; i < COUNT(cases); i++) {
      if (cases[i].op != id)
        continue;
      gradient_fixture f;
      gradient_begin(&f, cases[i].name);
      cases[i].build(&f, &cases[i]);
      gradient_end(&f);
      checked |= cases[i].inputs;
      ran++;
    }
    /* Straight through what rounds is no derivative: test_straight.c. */
    const bool straight = id >= PITH_OP_FAKE_QUANTIZE && id < PITH_OP_SOFTMAX_CROSS_ENTROPY;
    if (checked != row->inputs && !straight)
      fail_msg("%s: gradients by inputs 0x%x were checked, the table has 0x%x", op->name, checked, row->inputs);
    for (uint32_t i = 0; op->inputs[i].name != NULL; i++)
      floats |= (uint32_t)((op->inputs[i].dtypes >> PITH_DTYPE_F32 & 1) != 0) << i;
    assert_true((row->build == NULL) == (row->inputs == 0));
    if ((floats & ~row->inputs) != 0 && (row->reason == NULL || row->reason[0] == '\0'))
      fail_msg("%s: no reason is given why some inputs have no gradient", op->name);
    if (row->build == NULL)
      printf("no gradient of %s: %s\n", op->name, row->reason);
  }
  assert_int_equal(ran, COUNT(cases));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_operator)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
