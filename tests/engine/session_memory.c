/* What a session takes: planned before, never more, nearly all of it used, nothing while running, and an error where there is not
 * enough. The C library's allocator is interposed at link time (--wrap). */
#include <pthreadpool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/engine/sparse_fixture.h"
#include "engine/exec/session_access.h"

/* ---- the C library's allocator --------------------------------------------------------------------------------- */

static bool counting;
static size_t library_calls;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);

void *__wrap_malloc(size_t bytes) {
  library_calls += counting;
  return __real_malloc(bytes);
}
void *__wrap_calloc(size_t count, size_t bytes) {
  library_calls += counting;
  return __real_calloc(count, bytes);
}
void *__wrap_realloc(void *memory, size_t bytes) {
  library_calls += counting;
  return __real_realloc(memory, bytes);
}
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  library_calls += counting;
  return __real_posix_memalign(memory, alignment, bytes);
}

/* ---- a counting allocator ---------------------------------------------------------------------------------------- */

typedef struct counter {
  size_t now, peak, largest;
  long calls, budget; /* -1: no end */
} counter;

static void *counter_allocate(void *context, size_t bytes, size_t alignment) {
  counter *c = context;
  if (c->budget >= 0 && c->calls >= c->budget)
    return NULL;
  void *memory = pith_default_allocator.allocate(NULL, bytes, alignment);
  assert_non_null(memory);
  c->calls++;
  c->now += bytes;
  c->peak = c->now > c->peak ? c->now : c->peak;
  c->largest = bytes > c->largest ? bytes : c->largest;
  return memory;
}
static void counter_release(void *context, void *memory, size_t bytes) {
  ((counter *)context)->now -= bytes;
  pith_default_allocator.release(NULL, memory, bytes);
}

enum { SEQUENCES = 8 };
static const size_t keys[SEQUENCES] = {1, 2, 3, 4, 5, 6, 7, 8};

static pith_session_options limits(size_t tokens, size_t sequences, const pith_allocator *allocator) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = tokens;
  options.max_sequences = sequences;
  options.max_rows = 16;
  options.allocator = allocator;
  return options;
}

static void run_at_the_limits(pith_session *session, size_t sequences, int head) {
  static exec_fixture_batch batch;
  static const int32_t rows[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  size_t lengths[SEQUENCES];
  for (size_t i = 0; i < SEQUENCES; i++)
    lengths[i] = EXEC_MAX_LENGTH;
  exec_fixture_make_batch(&batch, sequences, keys, lengths);
  if (head == EXEC_FILL_MASK) {
    batch.batch.rows = rows;
    batch.batch.row_count = 16;
  }
  pith_result result = {.struct_size = sizeof result};
  pith_error error = {PITH_OK, ""};
  if (pith_session_run(session, &batch.batch, &result, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

/* Bytes of the block that a run changes from either of two patterns. */
static size_t count_touched(pith_session *session, size_t sequences, int head) {
  const pith_program *program = pith_session_get_program(session);
  size_t bytes = program->buffer_bytes, touched = 0;
  unsigned char *memory = pith_executor_get_memory(pith_session_get_executor(session));
  unsigned char *first = malloc(bytes);
  assert_non_null(first);
  memset(memory, 0xA5, bytes);
  run_at_the_limits(session, sequences, head);
  memcpy(first, memory, bytes);
  memset(memory, 0x5A, bytes);
  run_at_the_limits(session, sequences, head);
  for (size_t i = 0; i < bytes; i++)
    touched += first[i] != 0xA5 || memory[i] != 0x5A;
  free(first);
  return touched;
}

static void test_plan_is_kept_and_used(void **state) {
  (void)state;
  for (int head = 0; head < SPARSE_FIXTURE_HEAD_COUNT; head++)
    for (size_t sequences = 1; sequences <= SEQUENCES; sequences += 7)
      for (int threads = 1; threads <= 2; threads++) {
        exec_fixture_model fixture;
        sparse_fixture_open(&fixture, head);
        counter c = {.budget = -1};
        const pith_allocator allocator = {counter_allocate, counter_release, &c};
        pith_session_options options = limits(sequences * EXEC_MAX_LENGTH, sequences, &allocator);
        options.threadpool = threads == 1 ? NULL : pthreadpool_create((size_t)threads);
        size_t planned, again;
        pith_error error = {PITH_OK, ""};
        assert_int_equal(pith_session_plan_memory(&fixture.model, &options, &planned, &error), PITH_OK);
        assert_int_equal(c.now, 0);
        c = (counter){.budget = -1};
        pith_session *session;
        assert_int_equal(pith_session_create(&fixture.model, &options, &session, &error), PITH_OK);
        assert_int_equal(c.peak, planned);
        const pith_program *program = pith_session_get_program(session);
        assert_int_equal(c.largest, program->memory_bytes);
        size_t others = c.now - program->buffer_bytes;
        size_t touched = count_touched(session, sequences, head);
        assert_int_equal(c.peak, planned);
        /* Threads may leave one of them idle, and with it its scratch. Tiles are whole, and 70 tokens fill 80 of 128 places. */
        const double most = head == SPARSE_FIXTURE_STATIC ? 1.6 : 1.15;
        if (threads == 1 && (double)planned > most * (double)(touched + others))
          fail_msg("head %d, %zu sequences: planned %zu, used %zu of %zu bytes of buffers beside %zu", head, sequences,
                   planned, touched, program->buffer_bytes, others);
        assert_int_equal(pith_session_plan_memory(&fixture.model, &options, &again, NULL), PITH_OK);
        assert_int_equal(again, planned);
        pith_session_destroy(session);
        assert_int_equal(c.now, 0);
        if (options.threadpool != NULL)
          pthreadpool_destroy(options.threadpool);
        exec_fixture_close(&fixture);
      }
}

static void test_running_allocates_nothing(void **state) {
  (void)state;
  pthreadpool_t pool = pthreadpool_create(2);
  for (int run = 0; run < 8; run++) {
    static const int heads[] = {EXEC_VECTORS, EXEC_STATIC, EXEC_DYNAMIC, SPARSE_FIXTURE_STATIC};
    const int threads = run / 4 + 1;
    exec_fixture_model fixture;
    sparse_fixture_open(&fixture, heads[run % 4]);
    counter c = {.budget = -1};
    const pith_allocator allocator = {counter_allocate, counter_release, &c};
    pith_session_options options = limits(SEQUENCES * EXEC_MAX_LENGTH, SEQUENCES, &allocator);
    options.threadpool = threads == 1 ? NULL : pool;
    options.profile = 1;
    pith_session *session;
    library_calls = 0;
    counting = true;
    assert_int_equal(pith_session_create(&fixture.model, &options, &session, NULL), PITH_OK);
    assert_int_equal(library_calls, c.calls); /* creating does, and only through the caller's allocator */
    assert_true(c.calls > 0);
    library_calls = 0;
    long calls = c.calls;
    for (size_t sequences = 1; sequences <= SEQUENCES; sequences++)
      run_at_the_limits(session, sequences, heads[run % 4]);
    counting = false;
    assert_int_equal(library_calls, 0);
    assert_int_equal(c.calls, calls);
    pith_session_destroy(session);
    exec_fixture_close(&fixture);
  }
  pthreadpool_destroy(pool);
}

static void check_every_allocation(int head) {
  exec_fixture_model fixture;
  sparse_fixture_open(&fixture, head);
  /* Weights that need packing and constants that need folding are allocations too. */
  bool created = false, met_block = false;
  long budget = 0;
  for (; !created; budget++) {
    assert_true(budget < 1000);
    counter c = {.budget = budget};
    const pith_allocator allocator = {counter_allocate, counter_release, &c};
    pith_session_options options = limits(100, 2, &allocator);
    options.profile = 1;
    pith_session *session;
    pith_error error = {PITH_OK, ""};
    pith_status status = pith_session_create(&fixture.model, &options, &session, &error);
    created = status == PITH_OK;
    if (created) {
      const pith_program *program = pith_session_get_program(session);
      size_t folded = 0;
      for (uint32_t v = 0; v < program->value_count; v++)
        folded += program->values[v].use_count != 0 && strcmp(program->values[v].name, "factor.tanh") == 0 &&
                  program->values[v].kind == PITH_VALUE_DATA;
      assert_int_equal(folded, head == EXEC_FILL_MASK);
      /* Row-major weights: the words, the classifier's and the second layer's six, of which sparse ones are but one. */
      assert_int_equal(program->pack_count, head == EXEC_FILL_MASK ? 1 : head == EXEC_DYNAMIC ? 8 : 3);
      assert_int_equal(program->note_count, head == EXEC_FILL_MASK ? 0 : head == EXEC_DYNAMIC ? 3 : 1);
      pith_session_destroy(session);
    } else {
      assert_int_equal(status, PITH_OUT_OF_MEMORY);
      assert_int_equal(error.status, PITH_OUT_OF_MEMORY);
      assert_null(session);
      met_block |= strstr(error.message, "a session's block of ") != NULL;
    }
    assert_int_equal(c.now, 0);
    c = (counter){.budget = budget};
    size_t bytes;
    status = pith_session_plan_memory(&fixture.model, &options, &bytes, NULL);
    assert_true(status == PITH_OUT_OF_MEMORY || status == PITH_OK);
    assert_int_equal(c.now, 0);
  }
  assert_true(budget > 5 && met_block);
  exec_fixture_close(&fixture);
}

static void test_every_allocation_may_fail(void **state) {
  (void)state;
  check_every_allocation(EXEC_FILL_MASK);
  check_every_allocation(EXEC_DYNAMIC);
  check_every_allocation(SPARSE_FIXTURE_STATIC);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plan_is_kept_and_used),
      cmocka_unit_test(test_running_allocates_nothing),
      cmocka_unit_test(test_every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
