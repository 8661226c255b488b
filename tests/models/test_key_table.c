/* Tables of keys: every key is found, nothing else is, and words of any value do no harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/arena.h"
#include "models/tokenizer/key_table.h"

enum { KEYS = 40000, KEY_BYTES = 12 };

static uint32_t next_random(uint32_t *seed) {
  return (*seed = *seed * 1664525 + 1013904223) >> 8;
}

/* Distinct keys of 1 to 10 letters of eight and their number, in `texts`; many begin alike. */
static void make_keys(char (*texts)[KEY_BYTES], pith_key *keys, uint32_t count, uint32_t seed) {
  for (uint32_t i = 0; i < count; i++) {
    uint32_t bytes = 0;
    for (uint32_t letters = next_random(&seed) % 7; bytes < letters; bytes++)
      texts[i][bytes] = (char)('a' + next_random(&seed) % 8);
    for (uint32_t rest = i + 1; rest != 0; rest /= 64) /* apart, whatever the letters are */
      texts[i][bytes++] = (char)(' ' + rest % 64);
    keys[i] = (pith_key){texts[i], bytes, i};
  }
}

static uint32_t guess(const pith_key_table *table, const char *text, size_t bytes) {
  return pith_key_guess(table, pith_key_hash(pith_key_begin(table), text, bytes));
}

static void test_every_key(void **state) {
  (void)state;
  static const uint32_t counts[] = {0, 1, 2, 3, 63, 64, 65, 1000, KEYS};
  char(*texts)[KEY_BYTES] = malloc(KEYS * sizeof *texts);
  pith_key *keys = malloc(KEYS * sizeof *keys);
  assert_true(texts != NULL && keys != NULL);
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
    const uint32_t count = counts[c];
    make_keys(texts, keys, count, 7 + count);
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_key_table table;
    pith_error error = {PITH_OK, ""};
    assert_int_equal(pith_key_table_build(keys, count, &arena, &table, &error), PITH_OK);
    assert_true(table.slot_count >= count && table.slot_count <= count + count / 32 + 1);
    uint32_t longest = 0;
    for (uint32_t i = 0; i < count; i++) {
      longest = keys[i].bytes > longest ? keys[i].bytes : longest;
      assert_int_equal(guess(&table, keys[i].text, keys[i].bytes), i);
      uint64_t hash = pith_key_begin(&table);
      for (uint32_t n = 1; n <= keys[i].bytes; n++) {
        hash = pith_key_step(hash, (uint8_t)keys[i].text[n - 1]);
        assert_true(pith_key_goes_on(&table, hash, n));
      }
    }
    assert_int_equal(table.longest, longest);
    /* Guesses at what is no key are rare, beginnings that are none mostly known: 1/256 and less
     * than a half, twice of which are allowed. */
    uint32_t guesses = 0, beginnings = 0, seed = 3;
    enum { TRIES = 20000 };
    for (uint32_t i = 0; i < TRIES; i++) {
      char text[9];
      for (size_t k = 0; k < sizeof text; k++)
        text[k] = (char)(0x80 + next_random(&seed) % 100);
      guesses += guess(&table, text, sizeof text) != PITH_KEY_NONE;
      beginnings += pith_key_goes_on(&table, pith_key_hash(pith_key_begin(&table), text, 3), 3);
    }
    assert_true(guesses < TRIES / 128 && beginnings < TRIES / 2);
    pith_arena_deinit(&arena);
  }
  free(texts);
  free(keys);
}

/* Keys that differ in one byte, wherever it is, and every text of two bytes. */
static void test_near_keys(void **state) {
  (void)state;
  enum { LONG = 100, COUNT = LONG + 65536 };
  uint8_t(*near)[LONG] = malloc(LONG * sizeof *near), (*pairs)[2] = malloc(65536 * sizeof *pairs);
  pith_key *keys = malloc(COUNT * sizeof *keys);
  assert_true(near != NULL && pairs != NULL && keys != NULL);
  for (uint32_t i = 0; i < LONG; i++) {
    memset(near[i], 0, LONG);
    near[i][i] = 1;
    keys[i] = (pith_key){(const char *)near[i], LONG, i};
  }
  for (uint32_t i = 0; i < 65536; i++) {
    pairs[i][0] = (uint8_t)i;
    pairs[i][1] = (uint8_t)(i >> 8);
    keys[LONG + i] = (pith_key){(const char *)pairs[i], 2, LONG + i};
  }
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_key_table table;
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_key_table_build(keys, COUNT, &arena, &table, &error), PITH_OK);
  for (uint32_t i = 0; i < COUNT; i++)
    assert_int_equal(guess(&table, keys[i].text, keys[i].bytes), i);
  pith_arena_deinit(&arena);
  free(near);
  free(pairs);
  free(keys);
}

/* What cannot be held is said: two keys that are one. */
static void test_equal_keys(void **state) {
  (void)state;
  const pith_key keys[] = {{"one", 3, 0}, {"two", 3, 1}, {"one", 3, 2}};
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_key_table table;
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_key_table_build(keys, 3, &arena, &table, &error), PITH_UNSUPPORTED);
  assert_non_null(strstr(error.message, "no table holds these 3 keys"));
  pith_arena_deinit(&arena);
}

static void test_sort(void **state) {
  (void)state;
  pith_key keys[] = {{"b", 1, 0},    {"ab", 2, 1}, {"a", 1, 2},
                     {"\xFF", 1, 3}, {"a", 1, 4},  {"aa", 2, 5}};
  static const uint32_t order[] = {2, 4, 5, 1, 0, 3};
  assert_true(pith_keys_sort(keys, 6));
  for (unsigned i = 0; i < 6; i++)
    assert_int_equal(keys[i].value, order[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_key),
      cmocka_unit_test(test_near_keys),
      cmocka_unit_test(test_equal_keys),
      cmocka_unit_test(test_sort),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
