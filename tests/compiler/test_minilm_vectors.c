/* all-MiniLM-L6-v2 (the directory PITH_MINILM) on 200 sentences: the vectors of
 * sentence-transformers (tests/golden/minilm). */
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
enum { SENTENCES = 200, COMPARED = SLOW_BUILD ? 30 : SENTENCES, FEATURES = 384 };

static char directory[1024];

static void test_vectors(void **state) {
  (void)state;
  lines sentences = lines_read(PITH_SOURCE_DIR "/tests/golden/minilm/sentences.txt");
  assert_int_equal(sentences.count, SENTENCES);
  size_t bytes;
  char *golden = file_read(PITH_SOURCE_DIR "/tests/golden/minilm/vectors.f32", &bytes);
  assert_int_equal(bytes, SENTENCES * FEATURES * sizeof(float));
  ready_model ready = ready_model_open(directory);
  pith_model_info info = {.struct_size = sizeof info};
  pith_error error;
  assert_int_equal(pith_model_get_info(ready.model, &info, &error), PITH_OK);
  assert_int_equal(info.task, PITH_TASK_EMBEDDING);
  assert_int_equal(info.embedding_size, FEATURES);
  assert_int_equal(info.max_length, 256);
  float *got = malloc(bytes);
  assert_non_null(got);
  if (pith_embed(ready.session, (const char *const *)sentences.lines, COMPARED, got, &error) !=
      PITH_OK)
    fail_msg("%s", error.message);
  double worst = 0;
  for (size_t i = 0; i < COMPARED; i++) {
    double norm = 0;
    for (size_t k = 0; k < FEATURES; k++) {
      float expected;
      memcpy(&expected, golden + (i * FEATURES + k) * sizeof expected, sizeof expected);
      double value = (double)got[i * FEATURES + k], difference = fabs(value - (double)expected);
      if (!(difference <= 1e-5))
        fail_msg("sentence %zu, feature %zu: %g, not %g", i + 1, k, value, (double)expected);
      worst = fmax(worst, difference);
      norm += value * value;
    }
    assert_true(fabs(sqrt(norm) - 1) < 1e-6);
  }
  print_message("largest difference of a feature: %.2e\n", worst);
  free(got);
  free(golden);
  ready_model_close(&ready);
  lines_free(&sentences);
}

int main(void) {
  snprintf(directory, sizeof directory, "%s", data_path("PITH_MINILM", "build/models/all-MiniLM-L6-v2", "."));
  if (is_absent(folder_path(directory, "modules.json")))
    return SKIPPED;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
