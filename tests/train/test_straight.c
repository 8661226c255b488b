/* Gradients that are no derivatives: straight through rounding and through integers that stand in the place of floats. With a squared
 * error behind it, each is what the definition makes of the operator's own result. */
#include <math.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <string.h>

#include "engine/ir/operator.h"
#include "tests/train/gradient_fixture.h"

enum { FEATURES = 20, ROWS = GRADIENT_TOKENS, MOST = 64 * FEATURES };

/* A run of a graph whose outputs are the operator's result, then gradients. */
typedef struct outcome {
  size_t count;
  float y[MOST], targets[MOST], gradients[2][MOST]; /* of up to two inputs */
} outcome;

static void run(gradient_fixture *f, pthreadpool_t pool, pith_cpu_set cpu, outcome *out) {
  pith_program *program;
  pith_executor *executor;
  pith_error error = {PITH_OK, ""};
  const pith_executor_options options = {.threadpool = pool};
  if (gradient_lower(f->graph, cpu, pool == NULL ? 1 : 2, PITH_REWRITES_ALL, &program, &error) != PITH_OK ||
      pith_executor_create(program, &options, &executor, &error) != PITH_OK ||
      pith_executor_run(executor, f->feeds, NULL, 0, &error) != PITH_OK)
    fail_msg("%s: %s", f->name, error.message);
  const pith_view *y = pith_executor_get_output(executor, 0);
  out->count = pith_view_count(y);
  assert_true(out->count <= MOST);
  memcpy(out->y, y->data, out->count * sizeof(float));
  for (uint32_t i = 1; i < f->graph->output_count; i++) {
    const pith_view *gradient = pith_executor_get_output(executor, i);
    memcpy(out->gradients[i - 1], gradient->data, pith_view_count(gradient) * sizeof(float));
  }
  pith_executor_destroy(executor);
  pith_program_destroy(program);
}

/* Ends the graph with the squared error of `y`, and runs it: the same bits on every way here. */
static void finish(gradient_fixture *f, pith_tensor_id y, outcome *out) {
  char shape[64];
  const pith_dim *dims = f->graph->tensors[y].dims;
  if (pith_dim_is_constant(&dims[0]))
    snprintf(shape, sizeof shape, "%d,%d", (int)dims[0].constant, (int)dims[1].constant);
  else
    snprintf(shape, sizeof shape, "tokens,%d", (int)dims[1].constant);
  const pith_tensor_id targets = gradient_fixed(f, shape, -1, 1);
  const float *numbers = f->feeds[f->feed_count - 1].data;
  const pith_tensor_id loss =
      pith_build_operator(&f->builder, "loss", &pith_operator_MEAN_SQUARED_ERROR, 2, (pith_tensor_id[]){y, targets}, 0, NULL);
  pith_gradient gradients[2] = {{.of = f->wanted[0]}, {.of = f->wanted[1]}};
  assert_true(f->wanted_count >= 1 && f->wanted_count <= 2);
  if (f->builder.status != PITH_OK || pith_differentiate(f->graph, loss, gradients, f->wanted_count, NULL, &f->error) != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
  pith_build_output(&f->builder, y, NULL);
  for (uint32_t w = 0; w < f->wanted_count; w++)
    pith_build_output(&f->builder, gradients[w].gradient, NULL);
  if (pith_builder_finish(&f->builder) != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
  static outcome other;
  pthreadpool_t pool = pthreadpool_create(2);
  memset(out, 0, sizeof *out);
  run(f, NULL, 0, out);
  for (int i = 0; i < 2; i++) {
    memset(&other, 0, sizeof other);
    run(f, i == 0 ? NULL : pool, pith_cpu_detect(), &other);
    assert_memory_equal(out, &other, sizeof other);
  }
  memcpy(out->targets, numbers, out->count * sizeof *numbers);
  pthreadpool_destroy(pool);
}

/* The gradient by the result: of the mean of (y - target)^2. */
static double get_dy(const outcome *o, size_t i) {
  return 2 * ((double)o->y[i] - (double)o->targets[i]) / (double)o->count;
}

static void expect_straight(const char *name, const outcome *o) {
  for (size_t i = 0; i < o->count; i++)
    if (fabs((double)o->gradients[0][i] - get_dy(o, i)) > 1e-6 * (1e-3 + fabs(get_dy(o, i))))
      fail_msg("%s: the gradient at %zu is %.9g, not %.9g", name, i, (double)o->gradients[0][i], get_dy(o, i));
}

/* ---- FakeQuantize ------------------------------------------------------------------------------------------------------------ */

static void test_fake_quantize(void **state) {
  (void)state;
  static outcome o;
  for (int is_signed = 0; is_signed < 2; is_signed++) {
    const pith_dtype dtype = is_signed ? PITH_DTYPE_S8 : PITH_DTYPE_U8;
    const pith_attribute_setting attribute = PITH_SET_DTYPE("dtype", dtype);
    gradient_fixture f;
    gradient_begin(&f, is_signed ? "s8" : "u8");
    const pith_tensor_id x = f.wanted[f.wanted_count++] = gradient_fixed(&f, "tokens,20", -1.5f, 1.5f);
    const float *values = f.feeds[f.feed_count - 1].data;
    const pith_tensor_id scale = f.wanted[f.wanted_count++] = gradient_fixed(&f, "", 0.006f, 0.007f); /* both ends are passed */
    const double s = (double)*(const float *)f.feeds[f.feed_count - 1].data;
    const pith_tensor_id zero = is_signed ? PITH_NONE : gradient_levels(&f, "", PITH_DTYPE_U8);
    const int level = is_signed ? 0 : *(const uint8_t *)f.feeds[f.feed_count - 1].data;
    finish(&f, gradient_node(&f, PITH_OP_FAKE_QUANTIZE, 3, (pith_tensor_id[]){x, scale, zero}, 1, &attribute), &o);
    assert_int_equal(o.count, ROWS * FEATURES);
    const double low = (is_signed ? -128 : 0) - level, high = low + 255;
    double sum = 0, size = 0;
    size_t below = 0, above = 0;
    for (size_t i = 0; i < o.count; i++) {
      const double n = nearbyint((double)values[i] / s), clipped = fmin(fmax(n, low), high), dy = get_dy(&o, i);
      if (fabs((double)o.y[i] - clipped * s) > 1e-6)
        fail_msg("%s: %g becomes %g, not %g", f.name, (double)values[i], (double)o.y[i], clipped * s);
      const double want = n == clipped ? dy : 0;
      if (fabs((double)o.gradients[0][i] - want) > 1e-6 * (1e-3 + fabs(want)))
        fail_msg("%s: the gradient at %zu is %.9g, not %.9g", f.name, i, (double)o.gradients[0][i], want);
      below += n < low;
      above += n > high;
      sum += dy * (n == clipped ? n - (double)values[i] / s : clipped);
      size += fabs(dy) * 255;
    }
    assert_true(below + above > 3 && below + above < o.count - 20);
    const double factor = 1 / sqrt(FEATURES * (is_signed ? 127.0 : 255.0));
    if (fabs((double)o.gradients[1][0] - factor * sum) > 1e-6 * factor * size)
      fail_msg("%s: the scale's gradient is %.9g, not %.9g", f.name, (double)o.gradients[1][0], factor * sum);
    gradient_end(&f);
  }
}

/* ---- weights and tables -------------------------------------------------------------------------------------------------------- */

static void test_rows(void **state) {
  (void)state;
  static const struct {
    int op;
    const char *shape;
  } cases[] = {{PITH_OP_FAKE_QUANTIZE_ROWS, "tokens,20"}, {PITH_OP_FAKE_QUANTIZE_WEIGHTS, "37,20"}};
  static outcome o;
  for (size_t k = 0; k < 2; k++) {
    gradient_fixture f;
    gradient_begin(&f, cases[k].shape);
    const pith_tensor_id x = gradient_floats(&f, cases[k].shape);
    const float *values = f.feeds[0].data;
    finish(&f, gradient_node(&f, cases[k].op, 1, &x, 0, NULL), &o);
    expect_straight(f.name, &o);
    for (size_t r = 0; r < o.count / FEATURES; r++) {
      double largest = 0;
      for (size_t i = r * FEATURES; i < (r + 1) * FEATURES; i++)
        largest = fmax(largest, fabs((double)values[i]));
      for (size_t i = r * FEATURES; i < (r + 1) * FEATURES; i++)
        assert_true(fabs((double)o.y[i] - (double)values[i]) <= 0.5001 * largest / 127);
    }
    gradient_end(&f);
  }
}

/* ---- integers in the place of floats --------------------------------------------------------------------------------------------- */

static void test_product(void **state) {
  (void)state;
  enum { OUTPUTS = 18 };
  static outcome o;
  gradient_fixture f;
  gradient_begin(&f, "product");
  const pith_tensor_id y = gradient_floats(&f, "tokens,18"), w = gradient_fixed(&f, "18,20", -1, 1);
  const float *weights = f.feeds[1].data;
  const pith_tensor_id x = gradient_levels(&f, "tokens,20", PITH_DTYPE_U8), zero = gradient_levels(&f, "", PITH_DTYPE_U8);
  const uint8_t *levels = f.feeds[2].data, *level = f.feeds[3].data;
  const pith_tensor_id scale = gradient_fixed(&f, "", 0.01f, 0.02f), bias = gradient_fixed(&f, "18", -1, 1);
  const float *step = f.feeds[4].data, *biases = f.feeds[5].data;
  const pith_tensor_id packed = pith_build_operator(&f.builder, "w", &pith_operator_FAKE_QUANTIZE_WEIGHTS, 1, &w, 0, NULL) + 1;
  const pith_tensor_id inputs[7] = {y, x, scale, zero, packed, packed + 1, bias};
  finish(&f, gradient_node(&f, PITH_OP_INTEGER_PRODUCT, 7, inputs, 0, NULL), &o);
  expect_straight(f.name, &o);
  for (size_t r = 0; r < ROWS; r++)
    for (size_t n = 0; n < OUTPUTS; n++) {
      double largest = 0, sum = 0;
      for (size_t k = 0; k < FEATURES; k++)
        largest = fmax(largest, fabs((double)weights[n * FEATURES + k]));
      for (size_t k = 0; k < FEATURES; k++)
        sum += (levels[r * FEATURES + k] - *level) * nearbyint((double)weights[n * FEATURES + k] * 127 / largest);
      const double want = sum * (double)*step * largest / 127 + (double)biases[n];
      if (fabs((double)o.y[r * OUTPUTS + n] - want) > 1e-4 * (1 + fabs(want)))
        fail_msg("output [%zu, %zu] is %g, not %g", r, n, (double)o.y[r * OUTPUTS + n], want);
    }
  gradient_end(&f);
}

static void test_attention(void **state) {
  (void)state;
  static const int32_t offsets[] = {0, 4, 5, GRADIENT_TOKENS};
  enum { HEADS = 2, SIZE = 4, WIDTH = HEADS * SIZE };
  static outcome o;
  gradient_fixture f;
  gradient_begin(&f, "attention");
  const pith_attribute_setting heads = PITH_SET_INT("num_heads", HEADS);
  const pith_tensor_id y = gradient_floats(&f, "tokens,8"), q = gradient_levels(&f, "tokens,8", PITH_DTYPE_U8);
  const pith_tensor_id k = gradient_levels(&f, "tokens,8", PITH_DTYPE_S8), v = gradient_levels(&f, "tokens,8", PITH_DTYPE_S8);
  const pith_tensor_id at = gradient_offsets(&f), zero = gradient_levels(&f, "", PITH_DTYPE_U8);
  const pith_tensor_id q_scale = gradient_fixed(&f, "", 0.01f, 0.011f), k_scale = gradient_fixed(&f, "", 0.02f, 0.022f);
  const pith_tensor_id v_scale = gradient_fixed(&f, "", 0.03f, 0.033f);
  const uint8_t *queries = f.feeds[1].data, *level = f.feeds[5].data;
  const int8_t *keys = f.feeds[2].data, *values = f.feeds[3].data;
  const double score = (double)*(const float *)f.feeds[6].data * (double)*(const float *)f.feeds[7].data / sqrt(SIZE);
  const double step = (double)*(const float *)f.feeds[8].data;
  const pith_tensor_id inputs[10] = {y, q, k, v, at, at, q_scale, zero, k_scale, v_scale};
  finish(&f, gradient_node(&f, PITH_OP_INTEGER_ATTENTION, 10, inputs, 1, &heads), &o);
  expect_straight(f.name, &o);
  for (size_t s = 0; s < GRADIENT_SEQUENCES; s++)
    for (int32_t i = offsets[s]; i < offsets[s + 1]; i++)
      for (int h = 0; h < HEADS; h++) {
        double scores[GRADIENT_TOKENS], largest = -INFINITY, total = 0;
        for (int32_t j = offsets[s]; j < offsets[s + 1]; j++) {
          scores[j] = 0;
          for (int d = h * SIZE; d < (h + 1) * SIZE; d++)
            scores[j] += (queries[i * WIDTH + d] - *level) * keys[j * WIDTH + d];
          largest = fmax(largest, scores[j] *= score);
        }
        for (int32_t j = offsets[s]; j < offsets[s + 1]; j++)
          total += scores[j] = 255 * exp(scores[j] - largest); /* rounded by the operator: half a step each, at most */
        for (int d = h * SIZE; d < (h + 1) * SIZE; d++) {
          double want = 0;
          for (int32_t j = offsets[s]; j < offsets[s + 1]; j++)
            want += scores[j] * values[j * WIDTH + d] / total * step;
          if (fabs((double)o.y[i * WIDTH + d] - want) > 0.55 * 7 / 255 * 128 * step)
            fail_msg("token %d, feature %d: %g, not %g", (int)i, d, (double)o.y[i * WIDTH + d], want);
        }
      }
  gradient_end(&f);
}

static void test_gelu(void **state) {
  (void)state;
  static outcome o;
  for (int form = 0; form < 2; form++) {
    const pith_attribute_setting attribute = PITH_SET_ENUM("approximate", form);
    gradient_fixture f;
    gradient_begin(&f, "gelu");
    const pith_tensor_id y = gradient_floats(&f, "tokens,20"), x = gradient_fixed(&f, "tokens,20", -4, 4);
    const float *values = f.feeds[1].data;
    finish(&f, gradient_node(&f, PITH_OP_GELU_8BIT, 2, (pith_tensor_id[]){y, x}, 1, &attribute), &o);
    expect_straight(f.name, &o);
    for (size_t i = 0; i < o.count; i++)
      assert_true(fabs((double)o.y[i] - 0.5 * (double)values[i] * erfc(-(double)values[i] * sqrt(0.5))) < (form == 0 ? 2e-4 : 8e-4));
    gradient_end(&f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_fake_quantize), cmocka_unit_test(test_rows), cmocka_unit_test(test_product),
                                     cmocka_unit_test(test_attention), cmocka_unit_test(test_gelu)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
