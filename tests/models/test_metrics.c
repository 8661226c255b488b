/* Metrics against scikit-learn, SciPy, seqeval and torchmetrics (tests/golden/metrics). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "compiler/import/json.h"
#include "models/heads/metrics.h"
#include "engine/base/probability.h"
#include "models/tasks/entities.h"

#define assert_near(value, reference, bound)                                                               \
  do {                                                                                                     \
    double value_ = (value), reference_ = (reference);                                                     \
    if (!(fabs(value_ - reference_) <= (bound)))                                                           \
      fail_msg("%s is %.17g, not %.17g", #value, value_, reference_);                                      \
  } while (0)

static cJSON *golden;

static int open_golden(void **state) {
  (void)state;
  return pith_json_open(PITH_SOURCE_DIR "/tests/golden/metrics/golden.json", &golden, NULL) == PITH_OK ? 0 : -1;
}

static int close_golden(void **state) {
  (void)state;
  cJSON_Delete(golden);
  return 0;
}

static const cJSON *get(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  if (item == NULL)
    fail_msg("golden.json: no %s", key);
  return item;
}

/* The first case of a kind; ->next is the one after it. At least `count` of them. */
static const cJSON *first_case(const char *kind, int count) {
  assert_true(cJSON_GetArraySize(get(golden, kind)) >= count);
  return get(golden, kind)->child;
}

enum { MOST = 2000 };
static size_t get_integers(const cJSON *list, int32_t *out) {
  size_t n = 0;
  for (const cJSON *item = list->child; item != NULL; item = item->next) {
    assert_true(n < MOST);
    out[n++] = (int32_t)item->valuedouble;
  }
  return n;
}

static size_t get_numbers(const cJSON *list, double *out) {
  size_t n = 0;
  for (const cJSON *item = list->child; item != NULL; item = item->next) {
    assert_true(n < MOST);
    out[n++] = item->valuedouble;
  }
  return n;
}

static void test_classes(void **state) {
  (void)state;
  static int32_t predicted[MOST], labels[MOST];
  for (const cJSON *c = first_case("classes", 7); c != NULL; c = c->next) {
    const size_t n = get_integers(get(c, "predicted"), predicted), classes = (size_t)get(c, "classes")->valuedouble;
    assert_int_equal(get_integers(get(c, "labels"), labels), n);
    assert_near(pith_metric_accuracy(predicted, labels, n), get(c, "accuracy")->valuedouble, 1e-15);
    assert_near(pith_metric_f1(predicted, labels, n, 1), get(c, "f1")->valuedouble, 1e-15);
    assert_near(pith_metric_mcc(predicted, labels, n, 1), get(c, "mcc")->valuedouble, 1e-15);
    double value;
    assert_int_equal(pith_metric_macro_f1(predicted, labels, n, classes, NULL, &value, NULL), PITH_OK);
    assert_near(value, get(c, "macro_f1")->valuedouble, 1e-15);
    assert_int_equal(pith_metric_multiclass_mcc(predicted, labels, n, classes, NULL, &value, NULL), PITH_OK);
    assert_near(value, get(c, "multiclass_mcc")->valuedouble, 1e-15);
  }
}

static void test_label_sets(void **state) {
  (void)state;
  static int32_t predicted[MOST], wanted[MOST];
  for (const cJSON *c = first_case("label_sets", 2); c != NULL; c = c->next) {
    const size_t n = get_integers(get(c, "predicted"), predicted), labels = (size_t)get(c, "labels")->valuedouble;
    assert_int_equal(get_integers(get(c, "wanted"), wanted), n);
    assert_near(pith_metric_set_accuracy(predicted, wanted, n / labels, labels), get(c, "accuracy")->valuedouble, 1e-15);
    assert_near(pith_metric_f1(predicted, wanted, n, 1), get(c, "micro_f1")->valuedouble, 1e-15);
  }
}

static void test_perplexity(void **state) {
  (void)state;
  static int32_t labels[MOST];
  static double numbers[MOST];
  static float logits[MOST];
  for (const cJSON *c = first_case("perplexities", 3); c != NULL; c = c->next) {
    const size_t n = get_integers(get(c, "labels"), labels), classes = (size_t)get(c, "classes")->valuedouble;
    assert_int_equal(get_numbers(get(c, "logits"), numbers), n * classes);
    for (size_t i = 0; i < n * classes; i++)
      logits[i] = (float)numbers[i];
    double sum = 0;
    for (size_t i = 0; i < n; i++)
      sum += pith_metric_log_loss(logits + i * classes, classes, (size_t)labels[i]);
    const double wanted = get(c, "perplexity")->valuedouble;
    assert_near(pith_exponential(sum / (double)n), wanted, 1e-13 * wanted);
  }
}

static void compare_entities(const cJSON *c, const char *key, pith_entity_mode mode) {
  const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(c, key);
  if (wanted == NULL)
    return;
  static int32_t predicted[MOST], tags[MOST];
  const char *labels[16];
  size_t label_count = 0;
  for (const cJSON *label = get(c, "labels")->child; label != NULL; label = label->next)
    labels[label_count++] = label->valuestring;
  pith_entity_counts counts = {0};
  const cJSON *other = get(c, "wanted")->child;
  for (const cJSON *list = get(c, "predicted")->child; list != NULL; list = list->next, other = other->next) {
    const size_t n = get_integers(list, predicted);
    assert_int_equal(get_integers(other, tags), n);
    pith_entity_counts_add(&counts, mode, labels, predicted, tags, n);
  }
  double scores[3];
  assert_int_equal(get_numbers(wanted, scores), 3);
  assert_near(pith_entity_precision(&counts), scores[0], 1e-15);
  assert_near(pith_entity_recall(&counts), scores[1], 1e-15);
  assert_near(pith_entity_f1(&counts), scores[2], 1e-15);
}

static void test_entities(void **state) {
  (void)state;
  for (const cJSON *c = first_case("entities", 7); c != NULL; c = c->next) {
    compare_entities(c, "default", PITH_ENTITY_DEFAULT);
    compare_entities(c, "strict", PITH_ENTITY_STRICT);
  }
}

static void test_undefined_is_zero(void **state) {
  (void)state;
  const int32_t zeros[4] = {0};
  const double same[4] = {2, 2, 2, 2}, other[4] = {1, 2, 3, 4};
  assert_true(pith_metric_accuracy(zeros, zeros, 0) == 0);
  assert_true(pith_metric_f1(zeros, zeros, 4, 1) == 0);
  assert_true(pith_metric_mcc(zeros, zeros, 4, 1) == 0);
  assert_true(pith_metric_pearson(same, other, 4) == 0);
  assert_true(pith_metric_pearson(same, other, 0) == 0);
}

static void test_correlation(void **state) {
  (void)state;
  static double x[MOST], y[MOST];
  for (const cJSON *c = first_case("numbers", 2); c != NULL; c = c->next) {
    const size_t n = get_numbers(get(c, "x"), x);
    assert_int_equal(get_numbers(get(c, "y"), y), n);
    double spearman;
    assert_int_equal(pith_metric_spearman(x, y, n, NULL, &spearman, NULL), PITH_OK);
    assert_near(spearman, get(c, "spearman")->valuedouble, 1e-14);
    assert_near(pith_metric_pearson(x, y, n), get(c, "pearson")->valuedouble, 1e-14);
  }
}

static void test_cosine(void **state) {
  (void)state;
  const float x[] = {0.25f, -1.5f, 3.0f, 0.125f}, y[] = {1.0f, 0.5f, -0.75f, 2.0f};
  assert_near(pith_metric_cosine(x, y, 4), -0.3080913530019734, 1e-15);
}

static void test_squad(void **state) {
  (void)state;
  for (const cJSON *c = first_case("answers", 10); c != NULL; c = c->next) {
    const char *references[8], *answer = get(c, "answer")->valuestring;
    size_t count = 0;
    for (const cJSON *item = get(c, "references")->child; item != NULL; item = item->next)
      references[count++] = item->valuestring;
    pith_squad_score score;
    assert_int_equal(pith_metric_squad(answer, strlen(answer), references, count, NULL, &score, NULL), PITH_OK);
    assert_near(score.exact, get(c, "exact")->valuedouble, 0);
    assert_near(score.f1, get(c, "f1")->valuedouble, 1e-7); /* torchmetrics computes in float */
  }
  /* SQuAD's evaluate-v1.1.py where nothing is left of either: they are equal, and share no word. torchmetrics gives 1 and 1. */
  pith_squad_score score;
  const char *the = "the";
  assert_int_equal(pith_metric_squad("a the an", 8, &the, 1, NULL, &score, NULL), PITH_OK);
  assert_true(score.exact == 1 && score.f1 == 0);
}

static void test_exponential(void **state) {
  (void)state;
  size_t run = 0;
  for (double x = -708; x <= 709; x += 0.037, run++) {
    double wanted = exp(x);
    assert_near(pith_exponential(x), wanted, 4.5e-16 * wanted);
  }
  assert_true(run > 38000);
  assert_true(pith_exponential(0) == 1);
  assert_true(pith_exponential(-1e9) == 0);
  assert_true(isfinite(pith_exponential(1e9)));
  assert_true(isnan(pith_exponential(NAN)));
}

static void test_probabilities(void **state) {
  (void)state;
  const float logits[] = {1.5f, -0.25f, 1.5f, 80.0f, -90.0f};
  float max;
  assert_int_equal(pith_argmax(logits, 3), 0);
  assert_int_equal(pith_argmax(logits, 5), 3);
  assert_near(pith_softmax_sum(logits, 3, &max), 2 + exp(-1.75), 1e-15);
  assert_true(max == 1.5f);
  assert_near(pith_sigmoid(0), 0.5, 0);
  assert_near(pith_sigmoid(-40), exp(-40) / (1 + exp(-40)), 1e-31);
  assert_near(pith_sigmoid(40), 1, 1e-15);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_classes),     cmocka_unit_test(test_label_sets), cmocka_unit_test(test_undefined_is_zero),
      cmocka_unit_test(test_correlation), cmocka_unit_test(test_perplexity), cmocka_unit_test(test_entities),
      cmocka_unit_test(test_cosine),      cmocka_unit_test(test_squad),      cmocka_unit_test(test_exponential),
      cmocka_unit_test(test_probabilities),
  };
  return cmocka_run_group_tests(tests, open_golden, close_golden);
}
