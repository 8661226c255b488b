/* The rows of training operators: what their inference refuses, each message once, and what they give. */
#include <stdio.h>
#include <string.h>

#include "ops/elementwise/elementwise_f32.h"
#include "ops/loss/relation_f32.h"
#include "tests/train/gradient_fixture.h"

/* Inputs: '.' absent, "i:" s32, "l:" s64 before a shape, else f32. */
typedef struct refusal {
  int op;
  const char *inputs[PITH_MAX_PORTS];
  pith_attribute_setting attributes[3];
  uint32_t attribute_count;
  const char *message; /* NULL: it is accepted */
  const char *shape;   /* of the first output then */
} refusal;

static const int64_t middle[] = {1}, both[] = {0, 2}, wrong[] = {3}, first[] = {0}, last[] = {-1}, two[] = {1, 2};
#define AXES(list) {"axes", {.type = PITH_ATTRIBUTE_INTS, .ints = {sizeof list / sizeof *list, list}}}
#define HEADS PITH_SET_INT("num_heads", 2)
#define SQUARED PITH_SET_ENUM("error", PITH_RELATION_SQUARED)
#define RATIO(value) PITH_SET_FLOAT("ratio", value)
#define T6 "tokens,6"
#define Q "tokens,8"
#define OFFSETS "i:offsets"
#define KEY "i:4"

static const refusal refusals[] = {
    {PITH_OP_DROPOUT, {T6, T6, OFFSETS, KEY}, {RATIO(0.1)}, 1, NULL, "[tokens, 6]"},
    {PITH_OP_DROPOUT, {"6", ".", ".", KEY}, {{0}}, 0, "x is [6], rank 2 is needed", NULL},
    {PITH_OP_DROPOUT, {T6, "tokens,5", ".", KEY}, {{0}}, 0, "x [tokens, 6] and residual [tokens, 5] differ", NULL},
    {PITH_OP_DROPOUT, {T6, ".", "i:3,3", KEY}, {{0}}, 0, "offsets is [3, 3], rank 1 is needed", NULL},
    {PITH_OP_DROPOUT, {T6, ".", ".", KEY}, {RATIO(1)}, 1, "ratio is 1, not from 0 to below 1", NULL},
    {PITH_OP_DROPOUT, {T6, ".", ".", "i:5"}, {{0}}, 0, "random_key is [5], not [4]", NULL},
    {PITH_OP_TRAINING_ATTENTION, {Q, Q, T6, OFFSETS, OFFSETS, "."}, {HEADS}, 1, NULL, "[tokens, 6]"},
    {PITH_OP_TRAINING_ATTENTION, {Q, Q, T6, OFFSETS, OFFSETS, "."}, {HEADS, RATIO(0.1)}, 2, "random_key is missing", NULL},
    {PITH_OP_TRAINING_ATTENTION, {"8", Q, Q, OFFSETS, OFFSETS, "."}, {HEADS}, 1, "query is [8], rank 2 is needed", NULL},
    {PITH_OP_TRAINING_ATTENTION, {Q, Q, "tokens,7", OFFSETS, OFFSETS, "."}, {HEADS}, 1,
     "value is [tokens, 7], its features must be a multiple of num_heads 2", NULL},
    {PITH_OP_TRAINING_ATTENTION, {Q, T6, T6, OFFSETS, OFFSETS, "."}, {HEADS}, 1,
     "query [tokens, 8], key [tokens, 6] and value [tokens, 6] do not go together", NULL},
    {PITH_OP_TRAINING_ATTENTION, {Q, Q, Q, OFFSETS, "i:7", "."}, {HEADS}, 1, "q_offsets [sequences + 1] and kv_offsets [7] differ", NULL},
    {PITH_OP_TRAINING_ATTENTION, {Q, Q, Q, OFFSETS, OFFSETS, "."}, {HEADS, PITH_SET_FLOAT("scale", -1)}, 2, "scale is below 0", NULL},
    {PITH_OP_TRAINING_ATTENTION_GRAD, {Q, Q, T6, T6, "tokens,4", T6, OFFSETS, OFFSETS, "."}, {HEADS}, 1, NULL, "[tokens, 8]"},
    {PITH_OP_TRAINING_ATTENTION_GRAD, {Q, Q, T6, T6, "tokens,4", Q, OFFSETS, OFFSETS, "."}, {HEADS}, 1, "y [tokens, 6] and dY [tokens, 8] differ", NULL},
    {PITH_OP_TRAINING_ATTENTION_GRAD, {Q, Q, T6, T6, "tokens,2", T6, OFFSETS, OFFSETS, "."}, {HEADS}, 1,
     "y [tokens, 6] and statistics [tokens, 2] are not those of query [tokens, 8] and value [tokens, 6]", NULL},
    {PITH_OP_UNARY_GRAD, {"2,3", "2,4"}, {PITH_SET_ENUM("function", PITH_UNARY_ERF)}, 1, "X [2, 3] and dY [2, 4] differ", NULL},
    {PITH_OP_UNARY_GRAD, {"2,3", "2,3"}, {{0}}, 0, "needs attribute 'function'", NULL},
    {PITH_OP_REDUCE_SUM, {"2,3,4"}, {AXES(middle)}, 1, "the axes are neither the first nor the last of data [2, 3, 4]", NULL},
    {PITH_OP_REDUCE_SUM, {"2,3,4"}, {AXES(both)}, 1, "the axes are neither the first nor the last of data [2, 3, 4]", NULL},
    {PITH_OP_REDUCE_SUM, {"2,3,4"}, {AXES(wrong)}, 1, "axis 3 is not of data [2, 3, 4]", NULL},
    {PITH_OP_REDUCE_SUM, {"2,3,4"}, {AXES(first)}, 1, NULL, "[1, 3, 4]"},
    {PITH_OP_REDUCE_SUM, {"2,3,4"}, {AXES(two), PITH_SET_INT("keepdims", 0)}, 2, NULL, "[2]"},
    {PITH_OP_REDUCE_SUM, {"1,3,4"}, {AXES(both), PITH_SET_INT("keepdims", 0)}, 2, NULL, "[3]"},
    {PITH_OP_REDUCE_SUM, {T6}, {AXES(last)}, 1, NULL, "[tokens, 1]"},
    {PITH_OP_REDUCE_SUM, {T6}, {PITH_SET_INT("keepdims", 0)}, 1, NULL, "[]"},
    {PITH_OP_GATHER_GRAD, {"9,6", "l:tokens", T6}, {{0}}, 0, NULL, "[9, 6]"},
    {PITH_OP_GATHER_GRAD, {"9,6", "i:tokens", "tokens,7"}, {{0}}, 0, "dY [tokens, 7] is not data [9, 6] at indices [tokens]", NULL},
    {PITH_OP_GATHER_GRAD, {"9,tokens", "i:5", "5,tokens"}, {{0}}, 0, "dimension 1 of data [9, tokens] must be a number", NULL},
    {PITH_OP_GATHER_GRAD, {"9,6", "i:5", "5,6"}, {PITH_SET_INT("axis", 2)}, 1, "axis 2 is not in", NULL},
    {PITH_OP_SOFTMAX_GRAD, {"2,3,4", "2,3,4"}, {PITH_SET_INT("axis", 1)}, 1, "axis 1 of [2, 3, 4] must be the last one, or the rank 2", NULL},
    {PITH_OP_SOFTMAX_GRAD, {"2,3", "3,2"}, {{0}}, 0, "Y [2, 3] and dY [3, 2] differ", NULL},
    {PITH_OP_LP_NORMALIZATION_GRAD, {"2,3,4", "2,3,4"}, {PITH_SET_INT("axis", 0)}, 1, "axis 0 of [2, 3, 4] must be the last one", NULL},
    {PITH_OP_LAYER_NORMALIZATION_GRAD, {T6, "6", T6}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_LAYER_NORMALIZATION_GRAD, {T6, "5", T6}, {{0}}, 0, "Scale [5] is not the dimensions of X [tokens, 6] from axis 1 on", NULL},
    {PITH_OP_LAYER_NORMALIZATION_GRAD, {T6, "6", "tokens,5"}, {{0}}, 0, "X [tokens, 6] and dY [tokens, 5] differ", NULL},
    {PITH_OP_LAYER_NORMALIZATION_GRAD, {T6, "6", T6}, {PITH_SET_FLOAT("epsilon", -1)}, 1, "epsilon is below 0", NULL},
    {PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD, {T6, T6, "tokens", "tokens"}, {{0}}, 0, NULL, "[6]"},
    {PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD, {T6, T6, "tokens", "6"}, {{0}}, 0, "mean [tokens] and inverse [6] differ", NULL},
    {PITH_OP_LAYER_NORMALIZATION_SCALE_GRAD, {T6, T6, "6", "6"}, {{0}}, 0, "mean [6] is not the dimensions of X [tokens, 6] before axis 1", NULL},
    {PITH_OP_SEQUENCE_POOL_GRAD, {T6, OFFSETS, "sequences,6"}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_SEQUENCE_POOL_GRAD, {T6, OFFSETS, "sequences,5"}, {{0}}, 0, "dY [sequences, 5] is not one row for each sequence of x [tokens, 6]", NULL},
    {PITH_OP_SEQUENCE_POOL_GRAD, {T6, OFFSETS, T6}, {{0}}, 0, "dY [tokens, 6] is not one row for each sequence", NULL},
    {PITH_OP_FAKE_QUANTIZE, {T6, "", "u:"}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_FAKE_QUANTIZE, {T6, "6", "."}, {{0}}, 0, "scale is [6], rank 0 is needed", NULL},
    {PITH_OP_FAKE_QUANTIZE, {T6, "", "b:"}, {{0}}, 0, "zero_point is s8, not u8", NULL},
    {PITH_OP_FAKE_QUANTIZE, {"6,tokens", "", "."}, {{0}}, 0, "X is [6, tokens], its features must be a number", NULL},
    {PITH_OP_FAKE_QUANTIZE_GRAD, {T6, T6, "", "u:"}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_FAKE_QUANTIZE_GRAD, {T6, "tokens,5", "", "."}, {{0}}, 0, "X [tokens, 6] and dY [tokens, 5] differ", NULL},
    {PITH_OP_FAKE_QUANTIZE_ROWS, {T6}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_FAKE_QUANTIZE_ROWS, {"6"}, {{0}}, 0, "X is [6], rank 2 is needed", NULL},
    {PITH_OP_FAKE_QUANTIZE_WEIGHTS, {"5,6"}, {{0}}, 0, NULL, "[5, 6]"},
    {PITH_OP_FAKE_QUANTIZE_WEIGHTS, {"65536,65536"}, {{0}}, 0, "W is [65536, 65536], its stored blocks must be at most", NULL},
    {PITH_OP_ROW_RANGES, {T6}, {{0}}, 0, NULL, "[tokens, 2]"},
    {PITH_OP_INTEGER_PRODUCT, {"tokens,5", "u:tokens,6", "", "u:", "b:192", "5", "5"}, {{0}}, 0, NULL, "[tokens, 5]"},
    {PITH_OP_INTEGER_PRODUCT, {"tokens,5", "u:tokens,6", "", ".", "b:192", "5", "6"}, {{0}}, 0,
     "Y [tokens, 5] is not X [tokens, 6] times W [192] with its scales [5] and a bias of as many", NULL},
    {PITH_OP_INTEGER_PRODUCT, {"tokens,5", "u:tokens,6", "", ".", "b:128", "5", "."}, {{0}}, 0,
     "Y [tokens, 5] is not X [tokens, 6] times W [128] with its scales [5]", NULL},
    {PITH_OP_INTEGER_ATTENTION, {T6, "u:tokens,8", "b:tokens,8", "b:tokens,6", OFFSETS, OFFSETS, "", ".", "", ""}, {HEADS}, 1, NULL,
     "[tokens, 6]"},
    {PITH_OP_INTEGER_ATTENTION, {T6, "u:tokens,8", "b:tokens,8", "b:tokens,8", OFFSETS, OFFSETS, "", ".", "", ""}, {HEADS}, 1,
     "Y [tokens, 6], query [tokens, 8], key [tokens, 8] and value [tokens, 8] do not go together", NULL},
    {PITH_OP_INTEGER_ATTENTION, {T6, "u:tokens,7", "b:tokens,8", "b:tokens,6", OFFSETS, OFFSETS, "", ".", "", ""}, {HEADS}, 1,
     "query is [tokens, 7], its features must be a multiple of num_heads 2", NULL},
    {PITH_OP_GELU_8BIT, {T6, T6}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_GELU_8BIT, {T6, "6"}, {{0}}, 0, "Y [tokens, 6] and X [6] differ", NULL},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY, {T6, "i:tokens", "6"}, {{0}}, 0, NULL, "[]"},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY_GRAD, {T6, "i:tokens", ".", ""}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY_GRAD, {T6, "i:tokens", ".", "1"}, {{0}}, 0, "dLoss is [1], rank 0 is needed", NULL},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY, {T6, "i:sequences", "."}, {{0}}, 0, "x [tokens, 6] and labels [sequences] do not go together", NULL},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY, {T6, "i:tokens", "5"}, {{0}}, 0, "x [tokens, 6] and class_weights [5] do not go together", NULL},
    {PITH_OP_SOFTMAX_CROSS_ENTROPY, {T6, "i:tokens", "."}, {PITH_SET_FLOAT("smoothing", 2)}, 1, "smoothing is 2, not from 0 to 1", NULL},
    {PITH_OP_SPAN_CROSS_ENTROPY, {"tokens,2", "i:sequences,2", OFFSETS}, {{0}}, 0, NULL, "[]"},
    {PITH_OP_SPAN_CROSS_ENTROPY, {"tokens,2", "i:sequences,3", OFFSETS}, {{0}}, 0, "x [tokens, 2] and labels [sequences, 3] do not go together", NULL},
    {PITH_OP_SPAN_CROSS_ENTROPY, {"tokens,2", "i:tokens,2", OFFSETS}, {{0}}, 0,
     "labels [tokens, 2] is not one row for each sequence of offsets [sequences + 1]", NULL},
    {PITH_OP_SIGMOID_CROSS_ENTROPY, {T6, "6"}, {{0}}, 0, "x [tokens, 6] and targets [6] differ", NULL},
    {PITH_OP_MEAN_SQUARED_ERROR, {T6, T6}, {{0}}, 0, NULL, "[]"},
    {PITH_OP_COSINE_LOSS, {T6, T6, "6"}, {{0}}, 0, "x [tokens, 6] and targets [6] do not go together", NULL},
    {PITH_OP_COSINE_LOSS_GRAD, {T6, T6, "tokens", ""}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_KL_DIVERGENCE, {T6, T6}, {PITH_SET_FLOAT("temperature", 0)}, 1, "temperature is 0, not above 0", NULL},
    {PITH_OP_KL_DIVERGENCE, {T6, "tokens,5"}, {{0}}, 0, "x [tokens, 6] and teacher [tokens, 5] differ", NULL},
    {PITH_OP_KL_DIVERGENCE, {T6, T6, OFFSETS}, {{0}}, 0, NULL, "[]"},
    {PITH_OP_KL_DIVERGENCE_GRAD, {T6, T6, OFFSETS, ""}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_MEAN, {T6}, {{0}}, 0, NULL, "[]"},
    {PITH_OP_MEAN_GRAD, {T6, ""}, {{0}}, 0, NULL, "[tokens, 6]"},
    {PITH_OP_MEAN_GRAD, {T6, "1"}, {{0}}, 0, "dLoss is [1], rank 0 is needed", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, Q, OFFSETS}, {HEADS, SQUARED}, 2, NULL, "[tokens, 2]"},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, Q, OFFSETS}, {HEADS}, 1, "needs attribute 'error'", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, "tokens,7", OFFSETS}, {HEADS, SQUARED}, 2,
     "teacher_z is [tokens, 7], its features must be a multiple of num_heads 2", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, Q, Q, Q, OFFSETS}, {HEADS, SQUARED}, 2, "x [tokens, 6] and z [tokens, 8] differ", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, T6, OFFSETS}, {HEADS, SQUARED}, 2, "teacher_x [tokens, 8] and teacher_z [tokens, 6] differ", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, "rows,8", "rows,8", OFFSETS}, {HEADS, SQUARED}, 2,
     "x [tokens, 6] and teacher_x [rows, 8] do not go together", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, Q, OFFSETS}, {HEADS, SQUARED, PITH_SET_FLOAT("teacher_scale", -1)}, 3,
     "scale or teacher_scale is below 0", NULL},
    {PITH_OP_RELATION_ERRORS, {T6, T6, Q, Q, "i:3,3"}, {HEADS, SQUARED}, 2, "offsets is [3, 3], rank 1 is needed", NULL},
    {PITH_OP_RELATION_ERRORS_GRAD, {T6, T6, Q, Q, OFFSETS, "tokens,2"}, {HEADS, SQUARED}, 2, NULL, "[tokens, 6]"},
    {PITH_OP_RELATION_ERRORS_GRAD, {T6, T6, Q, Q, OFFSETS, "rows,2"}, {HEADS, SQUARED}, 2,
     "x [tokens, 6] and dErrors [rows, 2] do not go together", NULL},
    {PITH_OP_RELATION_ERRORS_GRAD, {T6, T6, Q, Q, OFFSETS, T6}, {HEADS, SQUARED}, 2, "dErrors is [tokens, 6], not one number a head", NULL},
};

static void write_text(void *context, const char *text, size_t bytes) {
  char *to = context;
  memcpy(to + strlen(to), text, bytes);
}

static void test_inference(void **state) {
  (void)state;
  bool seen[PITH_TRAINING_OP_END] = {false};
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    const refusal *row = &refusals[i];
    gradient_fixture f;
    pith_tensor_id inputs[PITH_MAX_PORTS];
    uint32_t count = 0;
    gradient_begin(&f, "refusal");
    seen[row->op] = true;
    for (; count < PITH_MAX_PORTS && row->inputs[count] != NULL; count++)
      inputs[count] = strcmp(row->inputs[count], ".") == 0 ? PITH_NONE : gradient_input(&f, row->inputs[count]);
    const pith_tensor_id y = pith_build_operator(&f.builder, "n", pith_training_operator_get(row->op), count, inputs, row->attribute_count,
                                                 row->attributes);
    if (row->message != NULL) {
      if (f.builder.status == PITH_OK || strstr(f.error.message, row->message) == NULL)
        fail_msg("row %zu: '%s' lacks '%s'", i, f.error.message, row->message);
    } else {
      static char text[1 << 16];
      if (f.builder.status != PITH_OK)
        fail_msg("row %zu: %s", i, f.error.message);
      char wanted[64];
      snprintf(wanted, sizeof wanted, "%%result f32%s", row->shape);
      pith_build_output(&f.builder, y, "result");
      assert_int_equal(pith_builder_finish(&f.builder), PITH_OK);
      text[0] = '\0';
      pith_graph_print(f.graph, &(pith_text_sink){write_text, text});
      if (strstr(text, wanted) == NULL)
        fail_msg("row %zu: no %s in %s", i, wanted, text);
    }
    gradient_end(&f);
  }
  for (int id = PITH_OP_COUNT; id < PITH_TRAINING_OP_END; id++)
    if (!seen[id] && strstr(pith_training_operator_get(id)->name, "CrossEntropyGrad") == NULL &&
        strstr(pith_training_operator_get(id)->name, "ErrorGrad") == NULL && strstr(pith_training_operator_get(id)->name, "KlDivergenceGrad") == NULL)
      fail_msg("%s is in no row", pith_training_operator_get(id)->name);
}

/* Names and ids are those of the list, and no name is the engine's. */
static void test_table(void **state) {
  (void)state;
  static const char *const names[] = {
#define NAME(id, name) name,
      PITH_TRAINING_OPERATOR_LIST(NAME)
#undef NAME
  };
  for (int id = PITH_OP_COUNT; id < PITH_TRAINING_OP_END; id++) {
    const pith_operator *op = pith_training_operator_get(id);
    assert_int_equal((int)op->id, id);
    assert_string_equal(op->name, names[id - PITH_OP_COUNT]);
    assert_null(pith_operator_find(op->domain, op->name));
    assert_true(op->doc != NULL && op->infer != NULL);
  }
  assert_null(pith_training_operator_get(PITH_TRAINING_OP_END));
  assert_ptr_equal(pith_training_operator_get(PITH_OP_GEMM), pith_operator_get(PITH_OP_GEMM));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_table), cmocka_unit_test(test_inference)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
