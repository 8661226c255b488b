/* Shape inference of every operator, on shapes written as text. */
#include "tests/engine/ir_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An operand: "f32[t, 4]" is an input, "w:" before it a parameter, "n:" a parameter in layout
 * n64_f32, "k:" one in n16k4_s8, "@3" the same tensor as operand 3, "" absent. A dimension: a number, "t", "t+1",
 * "2*t-3". */
typedef struct inference_case {
  int op;
  const char *operands[5];
  pith_attribute_setting attributes[3]; /* up to one without a name */
  const char *expected;                 /* "f32[t, 4]", or a part of the message after '!' */
} inference_case;

static pith_dim parse_dim(pith_builder *builder, const char **text) {
  char symbol[8] = "";
  char *end;
  int64_t coefficient = 1, constant = 0;
  while (**text == ' ' || **text == ',')
    (*text)++;
  if (**text >= '0' && **text <= '9') {
    coefficient = strtoll(*text, &end, 10);
    *text = end;
    if (**text != '*')
      return pith_dim_of(coefficient);
    (*text)++;
  }
  for (size_t i = 0; **text >= 'a' && **text <= 'z' && i + 1 < sizeof symbol; i++)
    symbol[i] = *(*text)++;
  if (**text == '+' || **text == '-') {
    constant = strtoll(*text, &end, 10);
    *text = end;
  }
  return pith_build_dim(builder, symbol, coefficient, constant);
}

static pith_tensor_id parse_operand(pith_builder *builder, const char *text,
                                    const pith_tensor_id *before) {
  if (*text == '\0')
    return PITH_NONE;
  if (*text == '@')
    return before[text[1] - '0'];
  bool is_data = text[1] == ':';
  pith_layout layout = PITH_LAYOUT_ROW_MAJOR;
  if (is_data && text[0] != 'w')
    layout = text[0] == 'n' ? PITH_LAYOUT_N64_F32 : PITH_LAYOUT_N16K4_S8;
  if (is_data)
    text += 2;
  char dtype[8] = "";
  for (size_t i = 0; *text != '[' && i + 1 < sizeof dtype; i++)
    dtype[i] = *text++;
  assert_int_equal(*text++, '[');
  pith_dim dims[PITH_MAX_RANK];
  int64_t sizes[PITH_MAX_RANK];
  uint32_t rank = 0;
  while (*text != ']') {
    assert_true(rank < PITH_MAX_RANK);
    dims[rank] = parse_dim(builder, &text);
    sizes[rank] = dims[rank].constant;
    rank++;
  }
  if (is_data)
    return pith_build_data(builder, PITH_TENSOR_PARAMETER, NULL, pith_dtype_find(dtype), rank,
                           sizes, layout, NULL, 0);
  return pith_build_input(builder, NULL, pith_dtype_find(dtype), rank, dims);
}

/* The type of the output as the readable form has it: what stands between "%y " and " = ". */
static void check_type(const pith_graph *graph, size_t index, const char *expected) {
  fixture_text text = fixture_print(graph, pith_graph_print);
  /* With several outputs: that of "%y.0", then the others by name. */
  const char *type = strstr(text.text, "\n%y ");
  type = type == NULL ? strstr(text.text, "%y.0 ") : type + 1;
  assert_non_null(type);
  type = strchr(type, ' ') + 1;
  size_t bytes = (size_t)(strstr(type, " = ") - type);
  if (bytes != strlen(expected) || memcmp(type, expected, bytes) != 0)
    fail_msg("case %zu: %.*s, expected %s", index, (int)bytes, type, expected);
  fixture_text_free(&text);
}

static void run_case(const inference_case *one, size_t index) {
  pith_error error = {0};
  pith_graph *graph;
  pith_builder builder;
  pith_tensor_id operands[5];
  uint32_t count = 0, attribute_count = 0;
  assert_int_equal(pith_graph_create(NULL, "g", &graph, &error), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  for (; count < 5 && one->operands[count] != NULL; count++)
    operands[count] = parse_operand(&builder, one->operands[count], operands);
  if (builder.status != PITH_OK)
    fail_msg("case %zu: operands: %s", index, error.message);
  while (attribute_count < 3 && one->attributes[attribute_count].name != NULL)
    attribute_count++;
  pith_tensor_id y =
      pith_build_node(&builder, "y", one->op, count, operands, attribute_count, one->attributes);
  pith_build_output(&builder, y, NULL);
  pith_status status = pith_builder_finish(&builder);
  if (one->expected[0] == '!') {
    if (status != PITH_FORMAT || strstr(error.message, "'y' (") == NULL ||
        strstr(error.message, one->expected + 1) == NULL)
      fail_msg("case %zu: status %d, \"%s\", expected \"%s\"", index, status, error.message,
               one->expected);
  } else {
    if (status != PITH_OK)
      fail_msg("case %zu: %s", index, error.message);
    check_type(graph, index, one->expected);
  }
  pith_graph_destroy(graph);
}

static void run_cases(const inference_case *cases, size_t count) {
  for (size_t i = 0; i < count; i++)
    run_case(&cases[i], i);
}
#define RUN(cases) run_cases(cases, sizeof(cases) / sizeof *(cases))
#define INT(name, value)                                                                           \
  {                                                                                                \
    (name), {                                                                                      \
      .type = PITH_ATTRIBUTE_INT, .i = (value)                                                     \
    }                                                                                              \
  }
#define FLOAT(name, value)                                                                         \
  {                                                                                                \
    (name), {                                                                                      \
      .type = PITH_ATTRIBUTE_FLOAT, .f = (value)                                                   \
    }                                                                                              \
  }
#define ENUM(name, value)                                                                          \
  {                                                                                                \
    (name), {                                                                                      \
      .type = PITH_ATTRIBUTE_ENUM, .i = (value)                                                    \
    }                                                                                              \
  }
#define DTYPE(name, value)                                                                         \
  {                                                                                                \
    (name), {                                                                                      \
      .type = PITH_ATTRIBUTE_DTYPE, .i = (value)                                                   \
    }                                                                                              \
  }

static void test_broadcasting(void **state) {
  (void)state;
  static const inference_case cases[] = {
      {PITH_OP_ADD, {"f32[t,4]", "f32[t,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_ADD, {"f32[t,4]", "w:f32[4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_SUB, {"w:f32[4]", "f32[t,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_MUL, {"f32[t,4]", "w:f32[]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_DIV, {"f32[t,4]", "w:f32[1,1]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_MUL, {"f32[t,4]", "f32[t,1]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_MUL, {"f32[t,1]", "f32[4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_MUL, {"f32[]", "f32[]"}, {{0}}, "f32[]"},
      {PITH_OP_ADD, {"f32[2,3,4]", "w:f32[3,4]"}, {{0}}, "f32[2, 3, 4]"},
      {PITH_OP_ADD, {"f32[1,3,4]", "w:f32[5,1,1]"}, {{0}}, "f32[5, 3, 4]"},
      {PITH_OP_ADD, {"f32[s]", "f32[s]"}, {{0}}, "f32[s]"},
      {PITH_OP_ADD, {"f32[s+1]", "f32[s+1]"}, {{0}}, "f32[s + 1]"},
      {PITH_OP_ADD, {"f32[2*s-3,1]", "f32[5]"}, {{0}}, "f32[2*s - 3, 5]"},
      {PITH_OP_ADD,
       {"f32[t,4]", "w:f32[3]"},
       {{0}},
       "!A [t, 4] and B [3] do not broadcast at dimension -1"},
      {PITH_OP_ADD, {"f32[t,4]", "f32[s,4]"}, {{0}}, "!do not broadcast at dimension -2"},
      {PITH_OP_ADD, {"f32[t]", "f32[t+1]"}, {{0}}, "!A [t] and B [t + 1] do not broadcast"},
      {PITH_OP_ADD, {"f32[t]", "f32[2*t]"}, {{0}}, "!do not broadcast"},
      {PITH_OP_ADD, {"f32[t]", "w:f32[7]"}, {{0}}, "!do not broadcast"},
      {PITH_OP_ADD, {"f32[2,3,4]", "w:f32[2,1,4]"}, {{0}}, "!repeat over 3 groups of dimensions"},
      {PITH_OP_ADD, {"f32[t,4]", "s32[4]"}, {{0}}, "!input B 'input_1' is s32, accepted: f32"},
      {PITH_OP_ADD, {"f32[t,4]", ""}, {{0}}, "!input B is missing"},
      {PITH_OP_ADD, {"f32[t,4]", "n:f32[4,4]"}, {{0}}, "!cannot be in layout n64_f32"},
  };
  RUN(cases);
}

static void test_elementwise(void **state) {
  (void)state;
  static const inference_case cases[] = {
      {PITH_OP_ERF, {"f32[t,2,3]"}, {{0}}, "f32[t, 2, 3]"},
      {PITH_OP_TANH, {"f32[]"}, {{0}}, "f32[]"},
      {PITH_OP_SIGMOID, {"f32[t]"}, {{0}}, "f32[t]"},
      {PITH_OP_RELU, {"f32[t,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_RELU, {"s8[t,4]"}, {{0}}, "!is s8, accepted: f32"},
      {PITH_OP_GELU, {"f32[t,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_GELU, {"f32[t,4]"}, {ENUM("approximate", PITH_GELU_TANH)}, "f32[t, 4]"},
      {PITH_OP_GELU,
       {"f32[t,4]"},
       {ENUM("approximate", 2)},
       "!attribute 'approximate' is 2 of 2 choices"},
      {PITH_OP_GELU, {"f32[t,4]"}, {ENUM("approximate", -1)}, "!attribute 'approximate' is -1"},
      {PITH_OP_CAST, {"s64[t]"}, {DTYPE("to", PITH_DTYPE_S32)}, "s32[t]"},
      {PITH_OP_CAST, {"bool[t,2]"}, {DTYPE("to", PITH_DTYPE_F16)}, "f16[t, 2]"},
      {PITH_OP_CAST,
       {"s64[t]"},
       {DTYPE("to", PITH_DTYPE_COUNT)},
       "!attribute 'to' is dtype 9 of 9"},
      {PITH_OP_IDENTITY, {"bf16[2*t+5]"}, {{0}}, "bf16[2*t + 5]"},
  };
  RUN(cases);
}

static void test_products(void **state) {
  (void)state;
  static const inference_case cases[] = {
      {PITH_OP_GEMM, {"f32[t,4]", "w:f32[4,7]"}, {{0}}, "f32[t, 7]"},
      {PITH_OP_GEMM, {"f32[t,4]", "n:f32[7,4]", "w:f32[7]"}, {INT("transB", 1)}, "f32[t, 7]"},
      {PITH_OP_GEMM,
       {"f32[4,t]", "w:f32[7,4]", "w:f32[1]"},
       {INT("transB", 1), INT("transA", 1)},
       "f32[t, 7]"},
      {PITH_OP_GEMM, {"f32[t,4]", "w:f32[4,7]", ""}, {FLOAT("alpha", 0.5)}, "f32[t, 7]"},
      {PITH_OP_GEMM, {"f32[t,4]", "w:f32[4,7]", "f32[t,1]"}, {{0}}, "f32[t, 7]"},
      {PITH_OP_GEMM, {"f32[t,4]", "w:f32[4,7]", "f32[]"}, {{0}}, "f32[t, 7]"},
      {PITH_OP_GEMM, {"f32[t,s]", "f32[s,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_GEMM, {"f32[t,4]", "n:f32[4,7]"}, {{0}}, "!in layout n64_f32 needs transB = 1"},
      {PITH_OP_GEMM,
       {"f32[t,4]", "w:f32[4,7]"},
       {INT("transB", 1)},
       "!differ in the dimension summed over"},
      {PITH_OP_GEMM,
       {"f32[t,s]", "w:f32[4,7]"},
       {{0}},
       "!A [t, s] (transA 0) and B [4, 7] (transB 0) differ"},
      {PITH_OP_GEMM,
       {"f32[t,4]", "w:f32[4,7]", "w:f32[4]"},
       {{0}},
       "!C [4] does not broadcast to [t, 7]"},
      {PITH_OP_GEMM,
       {"f32[t,4]", "w:f32[4,7]", "w:f32[2,7]"},
       {{0}},
       "!C [2, 7] does not broadcast to [t, 7]"},
      {PITH_OP_GEMM, {"f32[t,4]", "w:f32[4,7]", "w:f32[1,1,7]"}, {{0}}, "!does not broadcast"},
      {PITH_OP_GEMM, {"f32[4]", "w:f32[4,7]"}, {{0}}, "!A [4] and B [4, 7] must have rank 2"},
      {PITH_OP_GEMM,
       {"f32[t,4]", "w:f32[4,7]"},
       {INT("transB", 2)},
       "!attribute 'transB' is 2, not in 0 .. 1"},
      {PITH_OP_MATMUL, {"f32[t,4]", "f32[4,s]"}, {{0}}, "f32[t, s]"},
      {PITH_OP_MATMUL, {"f32[t,4]", "f32[5,s]"}, {{0}}, "!A [t, 4] and B [5, s] differ"},
      {PITH_OP_MATMUL, {"f32[2,t,4]", "f32[2,4,s]"}, {{0}}, "!must have rank 2"},
      {PITH_OP_MATMUL, {"f32[t,4]", "n:f32[4,4]"}, {{0}}, "!cannot be in layout n64_f32"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s32[t]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s64[t,2]"}, {{0}}, "f32[t, 2, 4]"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s32[]"}, {{0}}, "f32[4]"},
      {PITH_OP_GATHER, {"f32[t,4]", "s32[s]"}, {{0}}, "f32[s, 4]"},
      {PITH_OP_GATHER, {"f32[t,4]", "s32[s]"}, {INT("axis", -1)}, "f32[t, s]"},
      {PITH_OP_GATHER, {"s8[t,4,5]", "s32[2,3]"}, {INT("axis", 1)}, "s8[t, 2, 3, 5]"},
      {PITH_OP_GATHER, {"f32[4,t]", "s32[s]"}, {{0}}, "!dimension 1 must be a number, with axis 0"},
      {PITH_OP_GATHER,
       {"f32[4,t]", "s32[s]"},
       {INT("axis", 1)},
       "!dimension 1 must be a number, with axis 1"},
      {PITH_OP_GATHER,
       {"w:f32[9,4]", "f32[t]"},
       {{0}},
       "!indices 'input_1' is f32, accepted: s64, s32"},
      {PITH_OP_GATHER, {"w:f32[]", "s32[t]"}, {{0}}, "!is a scalar"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s32[t]"}, {INT("axis", 2)}, "!axis 2 is not in -2 .. 1"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s32[t]"}, {INT("axis", -3)}, "!axis -3 is not in -2 .. 1"},
      {PITH_OP_GATHER, {"w:f32[9,4]", "s32[t]"}, {INT("axis", 8)}, "!'axis' is 8, not in -8 .. 7"},
      {PITH_OP_GATHER, {"w:f32[1,1,1,1,1]", "s32[1,1,1,1,1]"}, {{0}}, "!give rank 9, over 8"},
  };
  RUN(cases);
}

static void test_quantization(void **state) {
  (void)state;
#define OUTPUT(dtype) DTYPE("output_dtype", PITH_DTYPE_##dtype)
  static const inference_case cases[] = {
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "w:f32[]"}, {{0}}, "u8[t, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "w:f32[]", "w:s8[]"}, {OUTPUT(S8)}, "s8[t, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[]", "w:f32[]", "w:u8[]"}, {{0}}, "u8[]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "w:f32[4]", ""}, {{0}}, "u8[t, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "f32[t]", "u8[t]"}, {INT("axis", 0)}, "u8[t, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,2,4]", "f32[t]"}, {INT("axis", -3)}, "u8[t, 2, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[1,t,4,2]", "f32[t]"}, {{0}}, "u8[1, t, 4, 2]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[7]", "w:f32[7]"}, {INT("axis", 0)}, "u8[7]"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,8]", "f32[t,2]", "u8[t,2]"},
       {INT("block_size", 4)},
       "u8[t, 8]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,8]", "f32[t,3]"}, {INT("block_size", 3)}, "u8[t, 8]"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,2,8]", "f32[t,2,1]"},
       {INT("block_size", INT32_MAX), INT("axis", -1)},
       "u8[t, 2, 8]"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[]"},
       {OUTPUT(F32)},
       "!output y 'y' is f32, accepted: s8, u8"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "w:f32[]"}, {OUTPUT(S32)}, "!output y 'y' is s32"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[]", "w:s8[]"},
       {{0}},
       "!y_zero_point 'parameter_2' is s8, not u8"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[]", "w:u8[1]"},
       {{0}},
       "!y_scale [] and y_zero_point [1] differ in shape"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[4]", "w:u8[5]"},
       {{0}},
       "!y_scale [4] and y_zero_point [5] differ in shape"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[5]"},
       {{0}},
       "!y_scale [5] differs from axis 1 of x [t, 4]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,4]", "f32[s]"}, {INT("axis", 0)}, "!differs from axis 0"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[4]", "w:f32[4]"}, {{0}}, "!axis 1 is not in -1 .. 0"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[]", "w:f32[1]"}, {INT("axis", 0)}, "!axis 0 is not in"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4,5]", "w:f32[4]"},
       {{0}},
       "!axis 1 of [t, 4, 5] is neither the first nor the last one"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,4]", "w:f32[1,4]"},
       {{0}},
       "!y_scale [1, 4] must have rank 0, rank 1, or block_size and the rank of x"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,8]", "f32[t,3]"},
       {INT("block_size", 4)},
       "!y_scale [t, 3] is not x [t, 8] in blocks of 4 along axis 1"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,8]", "f32[s,2]"}, {INT("block_size", 4)}, "!is not x [t, 8]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,8]", "f32[2]"}, {INT("block_size", 4)}, "!is not x [t, 8]"},
      {PITH_OP_QUANTIZE_LINEAR, {"f32[t,8]", "w:f32[]"}, {INT("block_size", 4)}, "!is not x [t, 8]"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[8,4]", "f32[2,4]"},
       {INT("block_size", 4), INT("axis", 0)},
       "!blocks lie along axis 0 of [8, 4], not the last one"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[4,t]", "f32[4,1]"},
       {INT("block_size", 4)},
       "!x [4, t]: the axis of blocks must be a number"},
      {PITH_OP_QUANTIZE_LINEAR,
       {"f32[t,8]", "f32[t,2]"},
       {INT("block_size", -4)},
       "!'block_size' is -4, not in 0 .. 2147483647"},
      {PITH_OP_QUANTIZE_LINEAR, {"s32[t,4]", "w:f32[]"}, {{0}}, "!is s32, accepted: f32"},
      {PITH_OP_DEQUANTIZE_LINEAR, {"u8[t,4]", "w:f32[]", "w:u8[]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_DEQUANTIZE_LINEAR, {"w:s32[4]", "w:f32[4]"}, {INT("axis", 0)}, "f32[4]"},
      {PITH_OP_DEQUANTIZE_LINEAR, {"k:s8[7,5]", "w:f32[7]"}, {INT("axis", 0)}, "f32[7, 5]"},
      {PITH_OP_DEQUANTIZE_LINEAR, {"k:s8[7,5]", "w:f32[]"}, {{0}}, "f32[7, 5]"},
      {PITH_OP_DEQUANTIZE_LINEAR,
       {"w:s32[4]", "w:f32[]", "w:s8[]"},
       {{0}},
       "!x 'parameter_0' is s32, which has no zero point"},
      {PITH_OP_DEQUANTIZE_LINEAR,
       {"s8[t,4]", "w:f32[]", "w:u8[]"},
       {{0}},
       "!x_zero_point 'parameter_2' is u8, not s8"},
      {PITH_OP_DEQUANTIZE_LINEAR,
       {"k:s8[7,5]", "w:f32[5]"},
       {{0}},
       "!x 'parameter_0' in layout n16k4_s8 has one scale, or one for each index of axis 0"},
      {PITH_OP_DEQUANTIZE_LINEAR,
       {"k:s8[7,4]", "w:f32[7,2]"},
       {INT("block_size", 2)},
       "!in layout n16k4_s8 has one scale"},
      {PITH_OP_DEQUANTIZE_LINEAR, {"f32[t,4]", "w:f32[]"}, {{0}}, "!is f32, accepted: s32, s8, u8"},
      {PITH_OP_GATHER, {"k:s8[7,5]", "s32[t]"}, {{0}}, "!cannot be in layout n16k4_s8"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]"},
       {{0}},
       "u8[t, 8], %y.1 f32[t, 1], %y.2 u8[t, 1]"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]", "s32[s+1]"},
       {DTYPE("dtype", PITH_DTYPE_S8), INT("block_size", 4)},
       "s8[t, 8], %y.1 f32[t, 2], %y.2 s8[t, 2]"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]", ""},
       {INT("block_size", 8)},
       "u8[t, 8], %y.1 f32[t, 1], %y.2 u8[t, 1]"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]"},
       {INT("block_size", 3)},
       "!block_size 3 does not divide the features of x [t, 8]"},
      {PITH_OP_DYNAMIC_QUANTIZE, {"f32[t,8]"}, {INT("block_size", 16)}, "!does not divide"},
      {PITH_OP_DYNAMIC_QUANTIZE, {"f32[t,s]"}, {{0}}, "!x 'input_0' is [t, s], rank 2 and a number"},
      {PITH_OP_DYNAMIC_QUANTIZE, {"f32[t]"}, {{0}}, "!rank 2 and a number"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]"},
       {DTYPE("dtype", PITH_DTYPE_S32)},
       "!is s32, accepted: s8, u8"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]", "s32[s+1,1]"},
       {{0}},
       "!offsets 'input_1' is [s + 1, 1], rank 1 is needed"},
      {PITH_OP_DYNAMIC_QUANTIZE,
       {"f32[t,8]", "w:s32[3]"},
       {{0}},
       "!offsets must be a graph input"},
      {PITH_OP_DYNAMIC_QUANTIZE, {"f32[5,8]", "s32[s+1]"}, {{0}}, "!must be one symbol"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[t,8]", "@0", "@0", "s32[s+1]", "@3"},
       {INT("num_heads", 2), DTYPE("softmax_dtype", PITH_DTYPE_U8)},
       "f32[t, 8]"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[t,8]", "@0", "@0", "s32[s+1]", "@3"},
       {INT("num_heads", 2), DTYPE("softmax_dtype", PITH_DTYPE_S8)},
       "!softmax_dtype is s8, not f32 or u8"},
  };
  RUN(cases);
}

static void test_normalizations(void **state) {
  (void)state;
  static const inference_case cases[] = {
      {PITH_OP_SOFTMAX, {"f32[t,4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_SOFTMAX, {"f32[t,4]"}, {INT("axis", 0)}, "f32[t, 4]"},
      {PITH_OP_SOFTMAX, {"f32[2,t,4]"}, {INT("axis", 2)}, "f32[2, t, 4]"},
      {PITH_OP_SOFTMAX,
       {"f32[2,t,4]"},
       {INT("axis", 1)},
       "!axis 1 of input [2, t, 4] must be the last one"},
      {PITH_OP_SOFTMAX, {"f32[]"}, {{0}}, "!axis -1 is not in"},
      {PITH_OP_SOFTMAX, {"s32[t]"}, {{0}}, "!is s32, accepted: f32"},
      {PITH_OP_LP_NORMALIZATION, {"f32[t,4]"}, {INT("p", 1)}, "f32[t, 4]"},
      {PITH_OP_LP_NORMALIZATION, {"f32[t,4]"}, {INT("p", 3)}, "!attribute 'p' is 3, not in 1 .. 2"},
      {PITH_OP_LAYER_NORMALIZATION, {"f32[t,4]", "w:f32[4]"}, {{0}}, "f32[t, 4]"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,4]", "w:f32[4]", "w:f32[4]"},
       {INT("axis", 1)},
       "f32[t, 4]"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,3,4]", "w:f32[3,4]", ""},
       {INT("axis", -2)},
       "f32[t, 3, 4]"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,3,4]", "w:f32[4]"},
       {INT("axis", -2)},
       "!Scale 'parameter_1' is [4]"},
      {PITH_OP_LAYER_NORMALIZATION, {"f32[t,4]", "w:f32[5]"}, {{0}}, "!Scale 'parameter_1' is [5]"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,4]", "w:f32[4]", "w:f32[1]"},
       {{0}},
       "!B 'parameter_2' is [1]"},
      {PITH_OP_LAYER_NORMALIZATION, {"f32[t,4]", ""}, {{0}}, "!input Scale is missing"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,4]", "w:f32[4]"},
       {FLOAT("epsilon", -1e-9)},
       "!epsilon is below 0"},
      {PITH_OP_LAYER_NORMALIZATION,
       {"f32[t,4]", "w:f32[4]"},
       {DTYPE("stash_type", PITH_DTYPE_BF16)},
       "!stash_type is not f32"},
  };
  RUN(cases);
}

static void test_sequences(void **state) {
  (void)state;
#define QKV "f32[t,8]", "f32[t,8]"
  static const inference_case cases[] = {
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,6]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "f32[t, 6]"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[u,8]", "f32[t,8]", "f32[t,8]", "s32[s+1]", "s32[s+1]"},
       {INT("num_heads", 8), INT("causal", 1)},
       "f32[u, 8]"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 3)},
       "!query 'input_0' is [t, 8], its features must be a multiple of num_heads 3"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,7]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!value 'input_2' is [t, 7]"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[t,8]", "f32[t,4]", "f32[t,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!query [t, 8] and key [t, 4] differ in features"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[u,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!key [t, 8] and value [u, 8] differ in tokens"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s32[s+1]", "s32[s]"},
       {INT("num_heads", 2)},
       "!differ in sequences"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[t,s]", "f32[t,s]", "f32[t,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!features must be a multiple"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t]", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!rank 2 is needed"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s32[s+1,1]", "@3"},
       {INT("num_heads", 2)},
       "!rank 1 is needed"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s64[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!is s64, accepted: s32"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "w:s32[3]", "@3"},
       {INT("num_heads", 2)},
       "!is a parameter, offsets must be a graph input"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 0)},
       "!'num_heads' is 0, not in 1"},
      {PITH_OP_PACKED_ATTENTION,
       {QKV, "f32[t,8]", "s32[s+1]", "@3"},
       {INT("num_heads", 2), FLOAT("scale", -1)},
       "!scale is below 0"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[5,8]", "@0", "@0", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!rows that offsets divide must be one symbol"},
      {PITH_OP_PACKED_ATTENTION,
       {"f32[u,8]", "f32[t,8]", "@1", "s32[s+1]", "@3"},
       {INT("num_heads", 2)},
       "!offsets 'input_2' divide t here and u before"},
      {PITH_OP_PACKED_POSITIONS, {"s32[s+1]", "s32[t]"}, {{0}}, "s32[t]"},
      {PITH_OP_PACKED_POSITIONS,
       {"s32[s+1]", "s32[t]"},
       {INT("start", 2), INT("padding_id", 1)},
       "s32[t]"},
      {PITH_OP_PACKED_POSITIONS,
       {"s32[s+1]", "s32[t]"},
       {INT("padding_id", 1)},
       "!start must be 1 or more"},
      {PITH_OP_PACKED_POSITIONS,
       {"s32[s+1]", "s32[t,1]"},
       {{0}},
       "!ids 'input_1' is [t, 1], rank 1 is needed"},
      {PITH_OP_PACKED_POSITIONS, {"s32[s+1]", "s32[2*t]"}, {{0}}, "!must be one symbol"},
      {PITH_OP_PACKED_POSITIONS, {"s32[s+1]", "s32[t-1]"}, {{0}}, "!must be one symbol"},
      {PITH_OP_SEQUENCE_POOL,
       {"f32[t,8]", "s32[s+1]"},
       {ENUM("mode", PITH_POOL_LAST)},
       "f32[s, 8]"},
      {PITH_OP_SEQUENCE_POOL, {"f32[t,8]", "s32[2*s+3]"}, {{0}}, "f32[2*s + 2, 8]"},
      {PITH_OP_SEQUENCE_POOL, {"f32[t,8]", "s32[4]"}, {{0}}, "f32[3, 8]"},
      {PITH_OP_SEQUENCE_POOL,
       {"f32[t,8]", "s32[s+1]"},
       {ENUM("mode", 4)},
       "!attribute 'mode' is 4 of 4 choices"},
      {PITH_OP_SEQUENCE_POOL,
       {"f32[t]", "s32[s+1]"},
       {{0}},
       "!x 'input_0' is [t], rank 2 is needed"},
  };
  RUN(cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_broadcasting), cmocka_unit_test(test_elementwise),
      cmocka_unit_test(test_products),     cmocka_unit_test(test_normalizations),
      cmocka_unit_test(test_sequences),    cmocka_unit_test(test_quantization),
  };
  return cmocka_run_group_tests_name("ir_infer", tests, NULL, NULL);
}
