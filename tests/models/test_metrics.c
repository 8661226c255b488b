/* Metrics against scikit-learn 1.9.1 and SciPy 1.17.1: accuracy_score, f1_score, matthews_corrcoef, pearsonr, spearmanr on the
 * arrays below, printed with repr. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "models/heads/metrics.h"
#include "models/heads/probability.h"

static const int32_t predicted[] = {0, 1, 1, 0, 1, 2, 2, 0, 1, 1, 0, 2, 1, 0, 0};
static const int32_t labels[] = {0, 1, 0, 0, 1, 2, 1, 0, 1, 2, 0, 2, 0, 0, 1};
enum { CLASSES = sizeof labels / sizeof *labels };

#define assert_near(value, reference, bound)                                                               \
  do {                                                                                                     \
    double value_ = (value), reference_ = (reference);                                                     \
    if (!(fabs(value_ - reference_) <= (bound)))                                                           \
      fail_msg("%s is %.17g, not %.17g", #value, value_, reference_);                                      \
  } while (0)

static void test_classes(void **state) {
  (void)state;
  assert_near(pith_metric_accuracy(predicted, labels, CLASSES), 0.6666666666666666, 1e-15);
  assert_near(pith_metric_f1(predicted, labels, CLASSES, 1), 0.5454545454545454, 1e-15);
  assert_near(pith_metric_mcc(predicted, labels, CLASSES, 1), 0.28867513459481287, 1e-15);
}

/* f1_score(average="macro") and matthews_corrcoef. In the second arrays class 3 does not occur, 4 is only predicted. */
static void test_more_classes(void **state) {
  (void)state;
  static const int32_t some_predicted[] = {4, 1, 1, 0, 1, 2, 2, 0}, some_labels[] = {0, 1, 0, 0, 1, 2, 1, 0};
  double value;
  assert_int_equal(pith_metric_macro_f1(predicted, labels, CLASSES, 3, NULL, &value, NULL), PITH_OK);
  assert_near(value, 0.6604506604506604, 1e-15);
  assert_int_equal(pith_metric_multiclass_mcc(predicted, labels, CLASSES, 3, NULL, &value, NULL), PITH_OK);
  assert_near(value, 0.4825292810205962, 1e-15);
  assert_int_equal(pith_metric_macro_f1(some_predicted, some_labels, 8, 6, NULL, &value, NULL), PITH_OK);
  assert_near(value, 0.5, 1e-15);
  assert_int_equal(pith_metric_multiclass_mcc(some_predicted, some_labels, 8, 6, NULL, &value, NULL), PITH_OK);
  assert_near(value, 0.5022831168966868, 1e-15);
  assert_int_equal(pith_metric_multiclass_mcc(predicted, predicted, 1, 3, NULL, &value, NULL), PITH_OK);
  assert_true(value == 0);
  assert_int_equal(pith_metric_macro_f1(predicted, labels, 0, 3, NULL, &value, NULL), PITH_OK);
  assert_true(value == 0);
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
  const double x[] = {0.1, 0.4, 0.4, 0.9, -1.5, 2.25, 0.4, 3.0, -0.7, 1.1};
  const double y[] = {1.0, 2.0, 2.0, 3.5, 0.0, 4.0, 5.0, 4.0, 1.0, 2.0};
  assert_near(pith_metric_pearson(x, y, 10), 0.7321497213180139, 1e-14);
  double spearman;
  assert_int_equal(pith_metric_spearman(x, y, 10, NULL, &spearman, NULL), PITH_OK);
  assert_near(spearman, 0.7687650150883342, 1e-14);
}

static void test_cosine(void **state) {
  (void)state;
  const float x[] = {0.25f, -1.5f, 3.0f, 0.125f}, y[] = {1.0f, 0.5f, -0.75f, 2.0f};
  assert_near(pith_metric_cosine(x, y, 4), -0.3080913530019734, 1e-15);
}

/* References: SQuAD's evaluate-v1.1.py, worked by hand: after normalizing, exact match is equality and F1 that of the bags of
 * words. */
static void test_squad(void **state) {
  (void)state;
  static const struct {
    const char *answer, *references[3];
    size_t reference_count;
    double exact, f1;
  } cases[] = {
      {"The Eiffel Tower!", {"eiffel tower"}, 1, 1, 1},
      {"in  1989", {"1989"}, 1, 0, 2.0 / 3},
      {"Denver Broncos", {"Carolina Panthers", "the Denver Broncos team"}, 2, 0, 0.8},
      {"a the an", {"the"}, 1, 1, 0}, /* nothing is left of either: equal, and no word shared */
      {"gold gold", {"gold"}, 1, 0, 2.0 / 3},
      {"", {"x"}, 1, 0, 0},
      {"caf\xc3\xa9s", {"caf\xc3\xa9s."}, 1, 1, 1},
      {"U.S.", {"US"}, 1, 1, 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_squad_score score;
    assert_int_equal(pith_metric_squad(cases[i].answer, strlen(cases[i].answer), cases[i].references,
                                       cases[i].reference_count, NULL, &score, NULL),
                     PITH_OK);
    assert_near(score.exact, cases[i].exact, 0);
    assert_near(score.f1, cases[i].f1, 1e-12);
  }
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
      cmocka_unit_test(test_classes),     cmocka_unit_test(test_more_classes),
      cmocka_unit_test(test_undefined_is_zero),
      cmocka_unit_test(test_correlation), cmocka_unit_test(test_cosine),
      cmocka_unit_test(test_squad),       cmocka_unit_test(test_exponential),
      cmocka_unit_test(test_probabilities),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
