/* minilm-sst2 (PITH_MODELS) on real sentences of SST-2 (PITH_DATA): the same bits alone, in batches, in any order, on one thread
 * and two, and without AVX-512; a few also without AVX2, whose plain C is slow. */
#include <pthreadpool.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/compiler/minilm_fixture.h"
#include "tests/slow_build.h"

enum { SENTENCES = SLOW_BUILD ? 8 : 60, SHORT = SLOW_BUILD ? 3 : 5, SHORT_BYTES = 40, LABELS = 2 };

static char model_directory[2048], data_file[2048];

static pith_session *make_session(const pith_model *model, pthreadpool_t pool, uint64_t without) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 1024; /* several batches */
  options.max_sequences = SENTENCES;
  options.threadpool = pool;
  options.cpu_features_mask = without;
  pith_session *session;
  pith_error error;
  if (pith_session_create(model, &options, &session, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return session;
}

static void classify(pith_session *session, const char *const *texts, size_t n, float (*out)[LABELS]) {
  pith_label labels[SENTENCES];
  pith_error error;
  if (pith_classify(session, texts, NULL, n, labels, &out[0][0], &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void check(pith_session *session, const char *const *texts, size_t n, float (*want)[LABELS], const char *what) {
  float got[SENTENCES][LABELS];
  const char *shuffled[SENTENCES];
  for (size_t i = 0; i < n; i++)
    classify(session, &texts[i], 1, &got[i]);
  if (memcmp(got, want, n * sizeof *got) != 0)
    fail_msg("%s: alone differs", what);
  classify(session, texts, n, got);
  if (memcmp(got, want, n * sizeof *got) != 0)
    fail_msg("%s: batched differs", what);
  const size_t step = 7; /* shares no factor with 60 or 5 */
  for (size_t i = 0; i < n; i++)
    shuffled[i] = texts[i * step % n];
  classify(session, shuffled, n, got);
  for (size_t i = 0; i < n; i++)
    if (memcmp(got[i], want[i * step % n], sizeof *got) != 0)
      fail_msg("%s: shuffled differs at %zu", what, i);
}

static uint64_t features_named(const char *part) {
  uint64_t set = 0;
  const char *name;
  for (unsigned bit = 0; (name = pith_cpu_feature_name(bit)) != NULL; bit++)
    if (strncmp(name, part, strlen(part)) == 0)
      set |= UINT64_C(1) << bit;
  assert_true(set != 0);
  return set & pith_cpu_features();
}

static void test_bits(void **state) {
  (void)state;
  lines data = lines_read(data_file);
  assert_true(data.count > SENTENCES);
  const char *texts[SENTENCES], *few[SHORT];
  size_t few_at[SHORT], short_count = 0;
  for (size_t i = 0; i < SENTENCES; i++) {
    char *tab = strrchr(data.lines[i + 1], '\t');
    assert_non_null(tab);
    *tab = '\0';
    texts[i] = data.lines[i + 1];
    if (short_count < SHORT && strlen(texts[i]) <= SHORT_BYTES) {
      few_at[short_count] = i;
      few[short_count++] = texts[i];
    }
  }
  assert_int_equal(short_count, SHORT);
  ready_model ready = ready_model_open(model_directory);
  pthreadpool_t pool = pthreadpool_create(2);
  assert_non_null(pool);
  float want[SENTENCES][LABELS], want_few[SHORT][LABELS];
  pith_session *session = make_session(ready.model, NULL, 0);
  for (size_t i = 0; i < SENTENCES; i++)
    classify(session, &texts[i], 1, &want[i]);
  pith_session_destroy(session);
  for (size_t i = 0; i < SHORT; i++)
    memcpy(want_few[i], want[few_at[i]], sizeof *want_few);
  assert_memory_not_equal(want[0], want[1], sizeof *want);
  const uint64_t avx512 = features_named("avx512"), avx = features_named("avx");
  for (int threads = 1; threads <= 2; threads++)
    for (int level = 0; level < 3; level++) {
      char what[60];
      snprintf(what, sizeof what, "%d threads, level %d", threads, level);
      session = make_session(ready.model, threads == 1 ? NULL : pool, level == 0 ? 0 : level == 1 ? avx512 : avx);
      if (level < 2)
        check(session, texts, SENTENCES, want, what);
      else
        check(session, few, SHORT, want_few, what);
      pith_session_destroy(session);
    }
  pthreadpool_destroy(pool);
  ready_model_close(&ready);
  lines_free(&data);
}

int main(void) {
  snprintf(model_directory, sizeof model_directory, "%s", data_path("PITH_MODELS", "../shared/models", "minilm-sst2"));
  snprintf(data_file, sizeof data_file, "%s", data_path("PITH_DATA", "../shared/data", "sst2/test.tsv"));
  if (is_absent(folder_path(model_directory, "config.json")) || is_absent(data_file))
    return SKIPPED;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
