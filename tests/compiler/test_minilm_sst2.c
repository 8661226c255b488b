/* The classifier minilm-sst2 (PITH_MODELS) on the SST-2 test split (PITH_DATA): its recorded
 * logits, and 777 of 872 right. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/compiler/minilm_fixture.h"
#include "tests/slow_build.h"

/* A slow build looks at the first ones. */
enum { SENTENCES = 872, RIGHT = 777, COMPARED = SLOW_BUILD ? 60 : SENTENCES };

static char model_directory[1024], logits_path[1024], data_file[1024];

static void test_sst2(void **state) {
  (void)state;
  lines data = lines_read(data_file), logits = lines_read(logits_path);
  assert_int_equal(data.count, SENTENCES + 1);
  assert_int_equal(logits.count, SENTENCES + 1);
  const char *texts[COMPARED];
  int truth[COMPARED];
  for (size_t i = 0; i < COMPARED; i++) {
    char *tab = strrchr(data.lines[i + 1], '\t');
    assert_non_null(tab);
    truth[i] = atoi(tab + 1);
    *tab = '\0';
    texts[i] = data.lines[i + 1];
  }
  ready_model ready = ready_model_open(model_directory);
  static pith_label labels[COMPARED];
  static float got[COMPARED][2];
  pith_error error;
  if (pith_classify(ready.session, texts, NULL, COMPARED, labels, &got[0][0], &error) != PITH_OK)
    fail_msg("%s", error.message);
  double worst = 0, largest = 0;
  int right = 0;
  for (size_t i = 0; i < COMPARED; i++) {
    double expected[2];
    assert_int_equal(sscanf(logits.lines[i + 1], "%lf\t%lf", &expected[0], &expected[1]), 2);
    for (int k = 0; k < 2; k++) {
      worst = fmax(worst, fabs((double)got[i][k] - expected[k]));
      largest = fmax(largest, fabs(expected[k]));
      assert_true(isfinite(got[i][k]));
    }
    assert_int_equal(labels[i].index, got[i][1] > got[i][0]);
    right += labels[i].index == truth[i];
  }
  print_message("%d of %d right, logits off by %.2e of the largest (%.3f)\n", right, COMPARED,
                worst / largest, largest);
  if (COMPARED == SENTENCES)
    assert_int_equal(right, RIGHT);
  assert_true(worst <= 1e-5 * largest);
  ready_model_close(&ready);
  lines_free(&data);
  lines_free(&logits);
}

int main(void) {
  snprintf(model_directory, sizeof model_directory, "%s",
           data_path("PITH_MODELS", "../shared/models", "minilm-sst2"));
  snprintf(logits_path, sizeof logits_path, "%s",
           folder_path(model_directory, "sst2-test-logits.tsv"));
  snprintf(data_file, sizeof data_file, "%s",
           data_path("PITH_DATA", "../shared/data", "sst2/test.tsv"));
  if (is_absent(logits_path) || is_absent(data_file))
    return SKIPPED;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sst2)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
