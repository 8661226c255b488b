/* One model, sessions on several threads at once: made, run and destroyed; some share a pool. */
#include <pthread.h>
#include <pthreadpool.h>
#include <string.h>

#include "tests/engine/exec_fixture.h"

enum { THREADS = 4, ROUNDS = 5, SEQUENCES = 4 };

typedef struct worker {
  const pith_model *model;
  pthreadpool_t pool;
  const float *want; /* [SEQUENCES, EXEC_LABELS] */
  exec_fixture_batch batch;
  int failures;
} worker;

static const size_t keys[SEQUENCES] = {1, 2, 3, 4}, lengths[SEQUENCES] = {9, 33, 1, 20};

static int run_once(const pith_model *model, pthreadpool_t pool, const pith_batch *batch, float *out_logits) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 100;
  options.max_sequences = SEQUENCES;
  options.threadpool = pool;
  pith_session *session;
  if (pith_session_create(model, &options, &session, NULL) != PITH_OK)
    return 1;
  pith_result result = {.struct_size = sizeof result};
  pith_status status = PITH_OK;
  for (int i = 0; i < 3 && status == PITH_OK; i++)
    status = pith_session_run(session, batch, &result, NULL);
  if (status == PITH_OK)
    memcpy(out_logits, result.outputs[0].data, SEQUENCES * EXEC_LABELS * sizeof *out_logits);
  pith_session_destroy(session);
  return status != PITH_OK;
}

static void *work(void *context) {
  worker *w = context;
  float logits[SEQUENCES * EXEC_LABELS];
  for (int i = 0; i < ROUNDS; i++)
    if (run_once(w->model, w->pool, &w->batch.batch, logits) != 0 || memcmp(logits, w->want, sizeof logits) != 0)
      w->failures++;
  return NULL;
}

static void check(pthreadpool_t pool) {
  static worker workers[THREADS];
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  float want[SEQUENCES * EXEC_LABELS];
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++) {
    workers[i] = (worker){.model = &fixture.model, .pool = pool, .want = want};
    exec_fixture_make_batch(&workers[i].batch, SEQUENCES, keys, lengths);
  }
  assert_int_equal(run_once(&fixture.model, NULL, &workers[0].batch.batch, want), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
  for (int i = 0; i < THREADS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(workers[i].failures, 0);
  }
  exec_fixture_close(&fixture);
}

static void test_sessions_of_their_own_threads(void **state) {
  (void)state;
  check(NULL);
}

static void test_sessions_that_share_a_pool(void **state) {
  (void)state;
  pthreadpool_t pool = pthreadpool_create(2);
  check(pool);
  pthreadpool_destroy(pool);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sessions_of_their_own_threads),
      cmocka_unit_test(test_sessions_that_share_a_pool),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
