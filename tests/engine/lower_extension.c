/* What programs beyond a model need: operators that are not of the engine's table, parameters that change between runs, and
 * outputs in the caller's memory. */
#include <string.h>

#include "engine/ir/inference.h"
#include "engine/lower/translate.h"
#include "tests/engine/exec_fixture.h"

/* ---- an operator of our own: y = factor * x, z = x's first element ---------------------------------------------- */

typedef struct scale_args {
  const float *x;
  float *y, *z;
  size_t count;
  float factor;
} scale_args;

static size_t count_tasks(const void *args, size_t threads) {
  (void)args;
  (void)threads;
  return 1;
}
static void run_scale(const void *args, size_t threads, size_t task, void *scratch) {
  const scale_args *a = args;
  (void)threads;
  (void)task;
  (void)scratch;
  a->z[0] = a->x[0];
  for (size_t i = 0; i < a->count; i++)
    a->y[i] = a->factor * a->x[i];
}
static const pith_kernel scale_kernel = {.name = "scale", .count_tasks = count_tasks, .run = run_scale};
static const pith_kernel *const scale_kernels[] = {&scale_kernel, NULL};

static void bind_scale(const pith_program *program, const pith_step *step, const pith_view *views, void *args) {
  (void)program;
  *(scale_args *)args = (scale_args){
      .x = pith_step_input_data(step, views, 0),
      .y = views[step->outputs[0]].data,
      .z = views[step->outputs[1]].data,
      .count = pith_view_count(&views[step->inputs[0]]),
      .factor = step->params.extension.floats[0],
  };
}
static const pith_step_row scale_row = {.kind = PITH_STEP_EXTENSION,
                                        .name = "Scale",
                                        .kernels = scale_kernels,
                                        .args_bytes = sizeof(scale_args),
                                        .dtypes = "f>ff",
                                        .in_place = 1,
                                        .bind = bind_scale};

static pith_status infer_scale(pith_inference *inference, pith_error *error) {
  PITH_TRY(pith_infer_same(inference, error));
  inference->outputs[1].dtype = PITH_DTYPE_F32;
  inference->outputs[1].rank = 0;
  return PITH_OK;
}
static const pith_operator scale_operator = {
    .id = PITH_OP_COUNT,
    .name = "Scale",
    .domain = "pith",
    .version = 1,
    .doc = "y = factor * x; z = x[0]",
    .inputs = {{"x", F32, false, .doc = "any shape"}},
    .outputs = {{"y", F32, false, .doc = "the shape of x"}, {"z", F32, false, .doc = "[]"}},
    .attributes = {{.name = "factor", .type = PITH_ATTRIBUTE_FLOAT, .required = true, .doc = "of x"}},
    .infer = infer_scale,
};

/* x must not begin with a negative number. */
static pith_status check_first(const pith_program *program, const pith_check *check, const pith_view *views,
                               pith_error *error) {
  const float first = ((const float *)views[check->value].data)[0];
  return first >= 0 ? PITH_OK
                    : pith_fail(error, PITH_INVALID_ARGUMENT, "%s begins with %g", program->values[check->value].name,
                                (double)first);
}

static pith_status translate(const pith_translation *t) {
  assert_ptr_equal(t->node->op, &scale_operator);
  const pith_check check = {.kind = PITH_CHECK_EXTENSION, .value = t->node->inputs[0], .of = t->node->inputs[0], .run = check_first};
  PITH_TRY(pith_program_add_check(t->program, &check, t->error));
  pith_step *step = pith_translate_add_row(t, &scale_row);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.extension.floats[0] = pith_translate_get_float(t, "factor");
  return PITH_OK;
}

/* ---- helpers ------------------------------------------------------------------------------------------------------- */

enum { ROWS = 5, IN = 70, OUT = 37 };

typedef struct fixture {
  pith_graph *graph;
  pith_program *program;
  pith_executor *executor;
  int64_t limits[1];
} fixture;

static pith_tensor_id add_scale(pith_builder *builder, const char *name, pith_tensor_id x, double factor) {
  pith_attribute_setting attributes[1] = {PITH_SET_FLOAT("factor", factor)};
  return pith_build_operator(builder, name, &scale_operator, 1, &x, 1, attributes);
}

static void create(fixture *f, const pith_lower_options *changes) {
  pith_lower_options options = *changes;
  pith_error error = {PITH_OK, ""};
  f->limits[0] = ROWS;
  options.cpu = pith_cpu_detect();
  options.threads = 1;
  options.symbol_limits = f->limits;
  options.rewrites = PITH_REWRITES_ALL;
  if (pith_program_create(f->graph, &options, &f->program, &error) != PITH_OK ||
      pith_executor_create(f->program, &(pith_executor_options){.allocator = NULL}, &f->executor, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void run(fixture *f, const float *x) {
  pith_error error = {PITH_OK, ""};
  const pith_feed feed = {x, {ROWS, IN}};
  if (pith_executor_run(f->executor, &feed, NULL, 0, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void destroy(fixture *f) {
  pith_executor_destroy(f->executor);
  pith_program_destroy(f->program);
  pith_graph_destroy(f->graph);
}

static pith_tensor_id begin(fixture *f, pith_builder *builder, pith_error *error) {
  *f = (fixture){.graph = NULL};
  assert_int_equal(pith_graph_create(NULL, "extension", &f->graph, error), PITH_OK);
  pith_builder_init(builder, f->graph, error);
  const pith_dim dims[2] = {pith_build_dim(builder, "rows", 1, 0), pith_dim_of(IN)};
  return pith_build_input(builder, "x", PITH_DTYPE_F32, 2, dims);
}

static void finish(pith_builder *builder, pith_error *error) {
  if (pith_builder_finish(builder) != PITH_OK)
    fail_msg("%s", error->message);
}

static pith_tensor_id add_parameter(pith_builder *builder, const char *name, uint32_t rank, const int64_t *dims, const void *data,
                                    size_t bytes) {
  return pith_build_data(builder, PITH_TENSOR_PARAMETER, name, PITH_DTYPE_F32, rank, dims, PITH_LAYOUT_ROW_MAJOR, data, bytes);
}

static void fill(float *x, size_t count, uint64_t seed) {
  for (size_t i = 0; i < count; i++)
    x[i] = exec_fixture_uniform(&seed, i == 0 ? 0 : -1, 1);
}

/* ---- tests ------------------------------------------------------------------------------------------------------------ */

static void test_operator(void **state) {
  (void)state;
  fixture f;
  pith_builder builder;
  pith_error error = {PITH_OK, ""};
  pith_tensor_id x = begin(&f, &builder, &error);
  pith_tensor_id y = add_scale(&builder, "three", x, 3), z = y + 1;
  pith_tensor_id inputs[2] = {y, z};
  pith_build_output(&builder, pith_build_node(&builder, "sum", PITH_OP_ADD, 2, inputs, 0, NULL), "sum");
  finish(&builder, &error);
  float data[ROWS * IN];
  fill(data, ROWS * IN, 1);
  create(&f, &(pith_lower_options){.translate = translate});
  run(&f, data);
  const float *sum = pith_executor_get_output(f.executor, 0)->data;
  for (size_t i = 0; i < ROWS * IN; i++)
    assert_true(sum[i] == 3 * data[i] + data[0]);
  data[0] = -1; /* its check */
  const pith_feed feed = {data, {ROWS, IN}};
  assert_int_equal(pith_executor_run(f.executor, &feed, NULL, 0, &error), PITH_INVALID_ARGUMENT);
  assert_string_equal(error.message, "x begins with -1");
  pith_lower_options none = {.cpu = 0, .threads = 1, .symbol_limits = f.limits};
  pith_program *program;
  assert_int_equal(pith_program_create(f.graph, &none, &program, &error), PITH_UNSUPPORTED);
  assert_non_null(strstr(error.message, "node 'three': Scale is no operator of the engine's"));
  destroy(&f);
}

/* A graph whose parameters are read in every way that a session would prepare: products of both orders, a scalar factor, a sum of
 * data only. What a program gives after its data changed are the bits of a program made then. */
static void test_parameters_change(void **state) {
  (void)state;
  fixture f;
  pith_builder builder;
  pith_error error = {PITH_OK, ""};
  static _Alignas(64) float nk[OUT * IN], kn[IN * OUT], bias[OUT], more[OUT], factor[16];
  const int64_t nk_dims[2] = {OUT, IN}, kn_dims[2] = {IN, OUT}, row[1] = {OUT};
  pith_tensor_id x = begin(&f, &builder, &error);
  fill(nk, OUT * IN, 2), fill(kn, IN * OUT, 3), fill(bias, OUT, 4), fill(more, OUT, 5), fill(factor, 1, 6);
  pith_tensor_id bias_id = add_parameter(&builder, "bias", 1, row, bias, sizeof bias);
  pith_tensor_id more_id = add_parameter(&builder, "more", 1, row, more, sizeof more);
  pith_tensor_id nk_id = add_parameter(&builder, "nk", 2, nk_dims, nk, sizeof nk);
  pith_tensor_id kn_id = add_parameter(&builder, "kn", 2, kn_dims, kn, sizeof kn);
  pith_tensor_id factor_id = add_parameter(&builder, "factor", 0, NULL, factor, sizeof *factor);
  pith_attribute_setting turned[1] = {PITH_SET_INT("transB", 1)};
  pith_tensor_id c = pith_build_node(&builder, "c", PITH_OP_ADD, 2, (pith_tensor_id[]){bias_id, more_id}, 0, NULL);
  pith_tensor_id a = pith_build_node(&builder, "a", PITH_OP_GEMM, 3, (pith_tensor_id[]){x, nk_id, c}, 1, turned);
  pith_tensor_id b = pith_build_node(&builder, "b", PITH_OP_GEMM, 3, (pith_tensor_id[]){x, kn_id, bias_id}, 0, NULL);
  pith_tensor_id y = pith_build_node(&builder, "y", PITH_OP_ADD, 2, (pith_tensor_id[]){a, b}, 0, NULL);
  y = pith_build_node(&builder, "scaled", PITH_OP_MUL, 2, (pith_tensor_id[]){y, factor_id}, 0, NULL);
  pith_build_output(&builder, y, "result");
  finish(&builder, &error);
  float data[ROWS * IN], first[ROWS * OUT];
  fill(data, ROWS * IN, 7);
  create(&f, &(pith_lower_options){.parameters_change = true});
  run(&f, data);
  memcpy(first, pith_executor_get_output(f.executor, 0)->data, sizeof first);
  fill(nk, OUT * IN, 8), fill(kn, IN * OUT, 9), fill(bias, OUT, 10), fill(more, OUT, 11), fill(factor, 1, 12);
  run(&f, data);
  fixture fresh = {.graph = f.graph};
  create(&fresh, &(pith_lower_options){.parameters_change = false});
  run(&fresh, data);
  const void *changed = pith_executor_get_output(f.executor, 0)->data;
  assert_memory_equal(changed, pith_executor_get_output(fresh.executor, 0)->data, sizeof first);
  assert_memory_not_equal(changed, first, sizeof first);
  pith_executor_destroy(fresh.executor);
  pith_program_destroy(fresh.program);
  destroy(&f);
}

/* Outputs of a step, of an in-place step, of data, of an input, and one value twice; each into memory of the caller's, none into the
 * block. */
static void test_outputs_given(void **state) {
  (void)state;
  enum { OUTPUTS = 5, BYTES = ROWS * IN * sizeof(float) };
  fixture f;
  pith_builder builder;
  pith_error error = {PITH_OK, ""};
  static _Alignas(64) float table[ROWS * IN];
  const int64_t dims[2] = {ROWS, IN};
  fill(table, ROWS * IN, 2);
  pith_tensor_id x = begin(&f, &builder, &error);
  pith_tensor_id data_id = add_parameter(&builder, "table", 2, dims, table, sizeof table);
  pith_tensor_id y = add_scale(&builder, "two", x, 2);
  pith_tensor_id same = pith_build_node(&builder, "same", PITH_OP_IDENTITY, 1, &y, 0, NULL);
  pith_tensor_id four = add_scale(&builder, "four", y, 2);
  pith_build_output(&builder, four, "four");
  pith_build_output(&builder, y, "two");
  pith_build_output(&builder, same, "same");
  pith_build_output(&builder, pith_build_node(&builder, "data", PITH_OP_IDENTITY, 1, &data_id, 0, NULL), NULL);
  pith_build_output(&builder, pith_build_node(&builder, "input", PITH_OP_IDENTITY, 1, &x, 0, NULL), NULL);
  finish(&builder, &error);
  float data[ROWS * IN];
  fill(data, ROWS * IN, 1);
  static const bool given[OUTPUTS] = {true, true, true, true, true};
  create(&f, &(pith_lower_options){.translate = translate, .outputs_given = given});
  assert_true(f.program->buffer_bytes < BYTES);
  static _Alignas(64) char memory[OUTPUTS + 2][BYTES + 64];
  const pith_feed feed = {data, {ROWS, IN}};
  for (uint32_t i = 0; i < OUTPUTS; i++) {
    assert_int_equal(pith_executor_run(f.executor, &feed, NULL, 0, &error), PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "was given no memory"));
    assert_int_equal(pith_executor_bind_output(f.executor, i, memory[i + 1], &error), PITH_OK);
  }
  assert_int_equal(pith_executor_bind_output(f.executor, OUTPUTS, memory[0], &error), PITH_INVALID_ARGUMENT);
  memset(memory, 0xA5, sizeof memory);
  run(&f, data);
  for (size_t i = 0; i < ROWS * IN; i++) {
    const float want[OUTPUTS] = {4 * data[i], 2 * data[i], 2 * data[i], table[i], data[i]};
    for (uint32_t j = 0; j < OUTPUTS; j++)
      assert_true(((const float *)memory[j + 1])[i] == want[j]);
  }
  for (uint32_t j = 0; j < OUTPUTS + 2; j++) /* nothing past them */
    for (size_t i = BYTES; i < BYTES + 64; i++)
      assert_int_equal((unsigned char)memory[j][i], 0xA5);
  /* Elsewhere from the next run on. */
  assert_int_equal(pith_executor_bind_output(f.executor, 0, memory[6], &error), PITH_OK);
  memset(memory[1], 0, BYTES);
  run(&f, data);
  assert_true(((const float *)memory[6])[1] == 4 * data[1] && ((const float *)memory[1])[1] == 0);
  assert_ptr_equal(pith_executor_get_output(f.executor, 0)->data, memory[6]);
  destroy(&f);
}

/* An output of the session's own cannot be moved. */
static void test_outputs_of_the_session(void **state) {
  (void)state;
  fixture f;
  pith_builder builder;
  pith_error error = {PITH_OK, ""};
  pith_tensor_id x = begin(&f, &builder, &error);
  pith_tensor_id y = add_scale(&builder, "two", x, 2);
  pith_build_output(&builder, y, "two");
  pith_build_output(&builder, y + 1, "first");
  finish(&builder, &error);
  static const bool given[2] = {false, true};
  create(&f, &(pith_lower_options){.translate = translate, .outputs_given = given});
  float data[ROWS * IN], first[16];
  fill(data, ROWS * IN, 1);
  assert_int_equal(pith_executor_bind_output(f.executor, 0, first, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "output 0 of 2"));
  assert_int_equal(pith_executor_bind_output(f.executor, 1, first, &error), PITH_OK);
  run(&f, data);
  assert_true(first[0] == data[0] && ((const float *)pith_executor_get_output(f.executor, 0)->data)[3] == 2 * data[3]);
  destroy(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_operator),
      cmocka_unit_test(test_parameters_change),
      cmocka_unit_test(test_outputs_given),
      cmocka_unit_test(test_outputs_of_the_session),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
