/* Many texts on the threads of a pool: the same as one by one, whatever fails. The wrapped function
 * makes allocations of the tokenizer itself fail. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <pthreadpool.h>

#include "compiler/import/import.h"
#include "engine/format/format.h"
#include "models/heads/feed.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/heads/"
enum { TEXTS = 101, CAPACITY = 1024, GUARD = 0x5A };

static size_t posix_calls, posix_failing = SIZE_MAX; /* the call that fails; atomic */
int __real_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t bytes) {
  if (__atomic_fetch_add(&posix_calls, 1, __ATOMIC_RELAXED) == posix_failing)
    return ENOMEM;
  return __real_posix_memalign(memory, alignment, bytes);
}

static void must(pith_status status, const pith_error *error) {
  if (status != PITH_OK)
    fail_msg("%s: %s", pith_status_string(status), error->message);
}

static pith_model *open_golden(const char *name) {
  pith_error error = {0};
  pith_import import;
  pith_model *model;
  char path[600];
  snprintf(path, sizeof path, GOLDEN "%s", name);
  must(pith_import_huggingface(path, NULL, &import, &error), &error);
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/pith-batch-%d.pith", folder == NULL ? "/tmp" : folder,
           (int)getpid());
  must(pith_format_write(path, &import.data, &error), &error);
  pith_import_deinit(&import);
  must(pith_model_open(path, NULL, &model, &error), &error);
  unlink(path);
  return model;
}

/* Texts of 0 to some hundred words, pairs for every third, some of which are long or not UTF-8. */
typedef struct corpus {
  char *texts[TEXTS], *pairs[TEXTS];
} corpus;

static char *make_text(uint32_t *random, size_t words) {
  static const char *const parts[] = {
      "the", "movie", "was", "Ärger", "unbelievably", "!", "\xF0\x9F\x98\x80", "42", "a\xFF"};
  char *text = malloc(words * 16 + 1), *at = text;
  assert_non_null(text);
  *at = '\0';
  for (size_t w = 0; w < words; w++) {
    *random = *random * 1664525u + 1013904223u;
    at += sprintf(at, "%s ", parts[(*random >> 16) % (sizeof parts / sizeof *parts)]);
  }
  return text;
}

static void corpus_init(corpus *c) {
  uint32_t random = 1;
  for (size_t i = 0; i < TEXTS; i++) {
    c->texts[i] = make_text(&random, i % 50 == 7 ? 120 : i % 23);
    c->pairs[i] = i % 3 == 0 ? make_text(&random, i % 11) : NULL;
  }
}

static void corpus_deinit(corpus *c) {
  for (size_t i = 0; i < TEXTS; i++) {
    free(c->texts[i]);
    free(c->pairs[i]);
  }
}

/* Encodings with arrays of their own in one block of guards. */
typedef struct slots {
  size_t capacity;
  pith_encoding encodings[TEXTS];
  int32_t *ids, *type_ids;
  uint32_t (*offsets)[2];
  uint8_t *sequence;
} slots;

static void slots_init(slots *s, size_t capacity) {
  s->capacity = capacity;
  s->ids = malloc(TEXTS * capacity * sizeof *s->ids);
  s->type_ids = malloc(TEXTS * capacity * sizeof *s->type_ids);
  s->offsets = malloc(TEXTS * capacity * sizeof *s->offsets);
  s->sequence = malloc(TEXTS * capacity);
  assert_true(s->ids != NULL && s->type_ids != NULL && s->offsets != NULL && s->sequence != NULL);
  memset(s->ids, GUARD, TEXTS * capacity * sizeof *s->ids);
  memset(s->type_ids, GUARD, TEXTS * capacity * sizeof *s->type_ids);
  memset(s->offsets, GUARD, TEXTS * capacity * sizeof *s->offsets);
  memset(s->sequence, GUARD, TEXTS * capacity);
  for (size_t i = 0; i < TEXTS; i++)
    s->encodings[i] = (pith_encoding){.struct_size = sizeof(pith_encoding),
                                      .capacity = capacity,
                                      .ids = s->ids + i * capacity,
                                      .type_ids = s->type_ids + i * capacity,
                                      .offsets = s->offsets + i * capacity,
                                      .sequence = s->sequence + i * capacity};
}

static void slots_deinit(slots *s) {
  free(s->ids);
  free(s->type_ids);
  free(s->offsets);
  free(s->sequence);
}

/* Everything, guards too. */
static void assert_same(const slots *a, const slots *b) {
  for (size_t i = 0; i < TEXTS; i++)
    assert_int_equal(a->encodings[i].count, b->encodings[i].count);
  assert_memory_equal(a->ids, b->ids, TEXTS * a->capacity * sizeof *a->ids);
  assert_memory_equal(a->type_ids, b->type_ids, TEXTS * a->capacity * sizeof *a->type_ids);
  assert_memory_equal(a->offsets, b->offsets, TEXTS * a->capacity * sizeof *a->offsets);
  assert_memory_equal(a->sequence, b->sequence, TEXTS * a->capacity);
}

static void check_same(const char *name, size_t max_length) {
  pith_model *model = open_golden(name);
  corpus c;
  corpus_init(&c);
  pith_error error = {0};
  static const size_t counts[] = {0, 1, 8, 9, TEXTS};
  for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
    for (size_t with_pairs = 0; with_pairs < 2; with_pairs++) {
      const char *const *pairs = with_pairs ? (const char *const *)c.pairs : NULL;
      slots wanted;
      slots_init(&wanted, CAPACITY);
      for (size_t i = 0; i < counts[n]; i++)
        must(pith_encode(model, c.texts[i], SIZE_MAX, pairs == NULL ? NULL : pairs[i], SIZE_MAX,
                         max_length, &wanted.encodings[i], &error),
             &error);
      for (size_t threads = 0; threads <= 4; threads += 1 + threads / 2) {
        pthreadpool_t pool = threads == 0 ? NULL : pthreadpool_create(threads);
        assert_true(threads == 0 || pool != NULL);
        slots found;
        slots_init(&found, CAPACITY);
        pith_status statuses[TEXTS];
        memset(statuses, GUARD, sizeof statuses);
        must(pith_encode_batch(model, pool, (const char *const *)c.texts, pairs, counts[n],
                               max_length, found.encodings, threads % 2 == 0 ? statuses : NULL,
                               &error),
             &error);
        for (size_t i = 0; i < counts[n] && threads % 2 == 0; i++)
          assert_int_equal(statuses[i], PITH_OK);
        assert_same(&wanted, &found);
        slots_deinit(&found);
        pthreadpool_destroy(pool);
      }
      slots_deinit(&wanted);
    }
  corpus_deinit(&c);
  pith_model_close(model);
}

static void test_same_as_alone(void **state) {
  (void)state;
  check_same("bert-token", 0);
  check_same("bert-token", 24);
  check_same("roberta-question", 24);
}

/* Some texts fail: all others are encoded, and the error is that of the first, whoever was quicker.
 */
static void test_failures(void **state) {
  (void)state;
  enum { ROUNDS = 30, FIRST = 13, NULL_TEXT = 60, LAST = TEXTS - 1 };
  pith_model *model = open_golden("bert-token");
  corpus c;
  corpus_init(&c);
  pthreadpool_t pool = pthreadpool_create(4);
  const char *texts[TEXTS];
  memcpy(texts, c.texts, sizeof texts);
  texts[NULL_TEXT] = NULL;
  for (size_t round = 0; round < ROUNDS; round++) {
    slots found;
    slots_init(&found, CAPACITY);
    found.encodings[FIRST].capacity = found.encodings[LAST].capacity = 1;
    pith_status statuses[TEXTS];
    pith_error error = {0};
    assert_int_equal(
        pith_encode_batch(model, pool, texts, NULL, TEXTS, 0, found.encodings, statuses, &error),
        PITH_LIMIT);
    assert_int_equal(error.status, PITH_LIMIT);
    assert_int_equal(strncmp(error.message, "text 13: ", 9), 0);
    assert_non_null(strstr(error.message, "capacity is 1"));
    for (size_t i = 0; i < TEXTS; i++) {
      assert_int_equal(statuses[i], i == NULL_TEXT            ? PITH_INVALID_ARGUMENT
                                    : i == FIRST || i == LAST ? PITH_LIMIT
                                                              : PITH_OK);
      pith_encoding alone = {.struct_size = sizeof alone};
      if (i == NULL_TEXT)
        assert_int_equal(found.encodings[i].count, 0);
      else
        assert_int_equal(pith_encode(model, c.texts[i], SIZE_MAX, NULL, 0, 0, &alone, NULL),
                         PITH_LIMIT);
      assert_int_equal(found.encodings[i].count,
                       alone.count); /* what there would be where it failed */
    }
    slots_deinit(&found);
  }
  pthreadpool_destroy(pool);
  corpus_deinit(&c);
  pith_model_close(model);
}

static void test_arguments(void **state) {
  (void)state;
  pith_model *model = open_golden("bert-token");
  const char *text = "a";
  pith_encoding encoding = {.struct_size = sizeof encoding};
  pith_error error = {0};
  assert_int_equal(pith_encode_batch(NULL, NULL, &text, NULL, 1, 0, &encoding, NULL, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "model is NULL"));
  assert_int_equal(pith_encode_batch(model, NULL, NULL, NULL, 1, 0, &encoding, NULL, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "texts is NULL"));
  assert_int_equal(pith_encode_batch(model, NULL, &text, NULL, 1, 0, NULL, NULL, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "encodings is NULL"));
  encoding.struct_size = 8;
  assert_int_equal(pith_encode_batch(model, NULL, &text, NULL, 1, 0, &encoding, NULL, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "struct_size is 8"));
  must(pith_encode_batch(model, NULL, NULL, NULL, 0, 0, NULL, NULL, &error), &error);
  pith_model_close(model);
}

/* A newer caller's structure is longer: its size is the distance from one to the next. */
static void test_longer_structure(void **state) {
  (void)state;
  typedef struct longer {
    pith_encoding encoding;
    size_t unknown;
  } longer;
  pith_model *model = open_golden("bert-token");
  int32_t ids[3][16] = {{0}};
  longer encodings[3];
  for (size_t i = 0; i < 3; i++)
    encodings[i] = (longer){{.struct_size = sizeof(longer), .capacity = 16, .ids = ids[i]}, 77};
  const char *texts[] = {"a", "b c", ""};
  pith_error error = {0};
  must(pith_encode_batch(model, NULL, texts, NULL, 3, 0, &encodings[0].encoding, NULL, &error),
       &error);
  for (size_t i = 0; i < 3; i++) {
    int32_t wanted[16] = {0};
    pith_encoding alone = {.struct_size = sizeof alone, .capacity = 16, .ids = wanted};
    must(pith_encode(model, texts[i], SIZE_MAX, NULL, 0, 0, &alone, &error), &error);
    assert_int_equal(encodings[i].encoding.count, alone.count);
    assert_memory_equal(ids[i], wanted, sizeof wanted);
    assert_int_equal(encodings[i].unknown, 77);
  }
  pith_model_close(model);
}

/* ---- through a session
 * --------------------------------------------------------------------------------- */

/* More texts than one round of buffers holds, one text longer than a round. */
static void test_many_rounds(void **state) {
  (void)state;
  enum { MANY = 40 * TEXTS, LONG_WORDS = 10000 };
  pith_model *model = open_golden("bert-token");
  corpus c;
  corpus_init(&c);
  uint32_t random = 2;
  char *long_text = make_text(&random, LONG_WORDS);
  const char **texts = malloc(MANY * sizeof *texts), **pairs = malloc(MANY * sizeof *pairs);
  assert_true(texts != NULL && pairs != NULL);
  for (size_t i = 0; i < MANY; i++) {
    texts[i] = i == MANY / 2 ? long_text : c.texts[i % TEXTS];
    pairs[i] = c.pairs[i % TEXTS];
  }
  pith_error error = {0};
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.threadpool = pthreadpool_create(3);
  pith_session *session;
  must(pith_session_create(model, &options, &session, &error), &error);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_sequence *sequences = PITH_ARENA_NEW(&arena, pith_sequence, MANY);
  pith_encoded_text *whole = PITH_ARENA_NEW(&arena, pith_encoded_text, MANY);
  must(pith_feed_encode(session, texts, pairs, MANY, &arena, sequences, &error), &error);
  must(pith_feed_encode_whole(session, texts, NULL, MANY, &arena, whole, &error), &error);
  pith_model_info info = {.struct_size = sizeof info};
  must(pith_model_get_info(model, &info, &error), &error);
  enum { MOST = 16 * LONG_WORDS };
  pith_encoding alone = {.struct_size = sizeof alone,
                         .capacity = MOST,
                         .ids = PITH_ARENA_NEW(&arena, int32_t, MOST),
                         .type_ids = PITH_ARENA_NEW(&arena, int32_t, MOST),
                         .offsets = pith_arena_array(&arena, MOST, sizeof *alone.offsets),
                         .sequence = PITH_ARENA_NEW(&arena, uint8_t, MOST)};
  for (size_t i = 0; i < MANY; i++) {
    must(
        pith_encode(model, texts[i], SIZE_MAX, pairs[i], SIZE_MAX, info.max_length, &alone, &error),
        &error);
    assert_int_equal(sequences[i].length, alone.count);
    assert_memory_equal(sequences[i].ids, alone.ids, alone.count * sizeof *alone.ids);
    assert_memory_equal(sequences[i].type_ids, alone.type_ids, alone.count * sizeof *alone.ids);
    must(pith_encode(model, texts[i], SIZE_MAX, NULL, 0, 0, &alone, &error), &error);
    assert_int_equal(whole[i].count, alone.count);
    assert_memory_equal(whole[i].ids, alone.ids, alone.count * sizeof *alone.ids);
    assert_memory_equal(whole[i].type_ids, alone.type_ids, alone.count * sizeof *alone.ids);
    assert_memory_equal(whole[i].offsets, alone.offsets, alone.count * sizeof *alone.offsets);
    assert_memory_equal(whole[i].sequence, alone.sequence, alone.count);
  }
  texts[MANY - 5] = NULL;
  assert_int_equal(pith_feed_encode(session, texts, pairs, MANY, &arena, sequences, &error),
                   PITH_INVALID_ARGUMENT);
  char wanted[40];
  snprintf(wanted, sizeof wanted, "text %d is NULL", MANY - 5);
  assert_string_equal(error.message, wanted);
  pith_arena_deinit(&arena);
  pith_session_destroy(session);
  pthreadpool_destroy(options.threadpool);
  free(texts);
  free(pairs);
  free(long_text);
  corpus_deinit(&c);
  pith_model_close(model);
}

typedef struct short_memory {
  size_t calls, failing, bytes;
} short_memory;

/* Not safe for several threads, as the caller's allocator need not be: the threads must not call
 * it. */
static void *short_allocate(void *context, size_t bytes, size_t alignment) {
  short_memory *m = context;
  if (m->calls++ == m->failing)
    return NULL;
  void *memory;
  if (__real_posix_memalign(&memory, alignment, bytes) != 0)
    return NULL;
  m->bytes += bytes;
  return memory;
}

static void short_release(void *context, void *memory, size_t bytes) {
  ((short_memory *)context)->bytes -= bytes;
  free(memory);
}

/* Every allocation fails once, first those of the session's allocator, then those that the
 * tokenizer makes on any thread for texts that are not UTF-8 and over its fixed buffers. */
static void test_without_memory(void **state) {
  (void)state;
  enum { MOST_CALLS = 3000, SOME = 30 };
  pith_model *model = open_golden("roberta-question");
  corpus c;
  corpus_init(&c);
  uint32_t random = 3;
  for (size_t i = 8; i < SOME; i += 16) {
    free(c.texts[i]);
    c.texts[i] = make_text(&random, 400);
  }
  short_memory memory = {.failing = SIZE_MAX};
  const pith_allocator allocator = {short_allocate, short_release, &memory};
  pith_error error = {0};
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.threadpool = pthreadpool_create(3);
  options.allocator = &allocator;
  pith_session *session;
  must(pith_session_create(model, &options, &session, &error), &error);
  const size_t held = memory.bytes;
  pith_encoded_text texts[TEXTS];
  for (unsigned which = 0; which < 2; which++) {
    size_t k = 0, failures = 0;
    bool failed = true; /* the k-th call was made */
    for (; failed; k++) {
      assert_true(k < MOST_CALLS);
      memory.calls = posix_calls = 0;
      memory.failing = which == 0 ? k : SIZE_MAX;
      posix_failing = which == 1 ? k : SIZE_MAX;
      pith_arena arena;
      pith_arena_init(&arena, &allocator);
      const pith_status status = pith_feed_encode_whole(session, (const char *const *)c.texts, NULL,
                                                        SOME, &arena, texts, &error);
      failed = which == 0 ? memory.calls > k : posix_calls > k;
      posix_failing = memory.failing = SIZE_MAX;
      if (which == 0) /* a text that lacked memory on a thread is encoded again, so that the call
                         may succeed */
        assert_int_equal(status, failed ? PITH_OUT_OF_MEMORY : PITH_OK);
      else
        assert_true(status == PITH_OK ||
                    (status == PITH_OUT_OF_MEMORY && error.message[0] != '\0'));
      failures += failed;
      for (size_t i = 0; i < SOME && status == PITH_OK; i++) {
        pith_encoding alone = {.struct_size = sizeof alone};
        assert_int_equal(pith_encode(model, c.texts[i], SIZE_MAX, NULL, 0, 0, &alone, NULL),
                         PITH_LIMIT);
        assert_int_equal(texts[i].count, alone.count);
      }
      pith_arena_deinit(&arena);
      assert_int_equal(memory.bytes, held);
    }
    assert_true(failures > 3);
  }
  pith_session_destroy(session);
  assert_int_equal(memory.bytes, 0);
  pthreadpool_destroy(options.threadpool);
  corpus_deinit(&c);
  pith_model_close(model);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_same_as_alone), cmocka_unit_test(test_failures),
      cmocka_unit_test(test_arguments),     cmocka_unit_test(test_longer_structure),
      cmocka_unit_test(test_many_rounds),   cmocka_unit_test(test_without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
