/* Selection of blocks by score: exact shares, ties, bounds of single weights, N:M; and schedules. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sparse/mask.h"
#include "sparse/schedule.h"

enum { MAX_BLOCKS = 64 * 64 };

typedef struct part_room {
  float scores[MAX_BLOCKS];
  uint8_t removed[MAX_BLOCKS];
} part_room;
static part_room rooms[3];

static uint64_t state = 1;
static float uniform(void) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return (float)(state >> 40) * 0x1p-24f;
}

static pith_mask_part make_part(size_t place, pith_pattern pattern, size_t n, size_t k, float scale) {
  pith_mask_part part = {.name = "w", .grid = pith_mask_grid_make(&pattern, n, k), .removed = rooms[place].removed};
  assert_true(pith_mask_grid_count(&part.grid) <= MAX_BLOCKS);
  for (size_t i = 0; i < pith_mask_grid_count(&part.grid); i++)
    rooms[place].scores[i] = uniform() * scale;
  part.scores = rooms[place].scores;
  return part;
}

static const pith_pattern element = {PITH_PATTERN_ELEMENT, 0, 0}, block41 = {PITH_PATTERN_BLOCK, 4, 1},
                          block44 = {PITH_PATTERN_BLOCK, 4, 4}, row = {PITH_PATTERN_ROW, 0, 0},
                          column = {PITH_PATTERN_COLUMN, 0, 0}, two_of_four = {PITH_PATTERN_N_OF_M, 2, 4};

static void test_grid(void **unused) {
  (void)unused;
  const pith_mask_grid grid = pith_mask_grid_make(&block44, 10, 7);
  assert_int_equal(grid.rows, 3);
  assert_int_equal(grid.columns, 2);
  assert_int_equal(pith_mask_block_elements(&grid, 0, 0), 16);
  assert_int_equal(pith_mask_block_elements(&grid, 2, 1), 2 * 3);
  assert_int_equal(pith_mask_grid_make(&row, 10, 7).columns, 1);
  assert_int_equal(pith_mask_grid_make(&column, 10, 7).rows, 1);
  /* Means: a smaller last block has the score of its elements. */
  float w[70], scores[6];
  for (int i = 0; i < 70; i++)
    w[i] = i % 2 == 0 ? -3.0f : 3.0f;
  pith_mask_score_magnitude(&grid, w, scores);
  for (int i = 0; i < 6; i++)
    assert_true(scores[i] == 3.0f);
  const uint8_t removed[6] = {0, 1, 0, 0, 0, 1};
  pith_mask_apply(&grid, removed, w);
  for (size_t i = 0; i < 10; i++)
    for (size_t j = 0; j < 7; j++)
      assert_true((w[i * 7 + j] == 0) == (j >= 4 && (i < 4 || i >= 8)));
}

/* Scores below 0 go before those above, the lowest first. */
static void test_signs(void **unused) {
  (void)unused;
  pith_mask_part part = make_part(0, element, 1, 8, 1);
  const float scores[8] = {0.5f, -2, -0.0f, -3.40282347e38f, 1e-30f, -1e-30f, 3, -1.5f};
  static const uint8_t order[8] = {6, 1, 4, 0, 5, 3, 7, 2}; /* the place of each */
  memcpy(rooms[0].scores, scores, sizeof scores);
  for (int removed = 0; removed <= 8; removed++) {
    assert_int_equal(pith_mask_select(&part, 1, removed / 8.0, 0, 1, NULL), PITH_OK);
    for (size_t i = 0; i < 8; i++)
      assert_int_equal(part.removed[i], order[i] < removed);
  }
}

/* What is removed is the least, and as much as was asked for but for less than a block. */
static void check_threshold(const pith_mask_part *parts, size_t count, double sparsity, size_t block) {
  float removed_most = -1, kept_least = INFINITY;
  uint64_t total = 0, removed = 0;
  for (size_t p = 0; p < count; p++) {
    uint64_t own = 0;
    for (size_t r = 0; r < parts[p].grid.rows; r++)
      for (size_t c = 0; c < parts[p].grid.columns; c++) {
        const size_t i = r * parts[p].grid.columns + c;
        total += pith_mask_block_elements(&parts[p].grid, r, c);
        if (parts[p].removed[i]) {
          own += pith_mask_block_elements(&parts[p].grid, r, c);
          removed_most = fmaxf(removed_most, parts[p].scores[i]);
        } else {
          kept_least = fminf(kept_least, parts[p].scores[i]);
        }
      }
    assert_int_equal(own, parts[p].count);
    removed += own;
  }
  const uint64_t target = (uint64_t)llround(sparsity * (double)total);
  if (removed > target || removed + block <= target || removed_most > kept_least)
    fail_msg("sparsity %g: %llu of %llu gone, %llu wanted; %g gone, %g kept", sparsity, (unsigned long long)removed,
             (unsigned long long)total, (unsigned long long)target, (double)removed_most, (double)kept_least);
}

static void test_exact(void **unused) {
  (void)unused;
  pith_error error = {0};
  static const double sparsities[] = {0, 0.001, 0.3, 0.5, 0.75, 0.999, 1};
  for (size_t s = 0; s < sizeof sparsities / sizeof *sparsities; s++) {
    pith_mask_part parts[3] = {make_part(0, element, 33, 17, 1), make_part(1, element, 64, 64, 2), make_part(2, element, 1, 1, 1)};
    assert_int_equal(pith_mask_select(parts, 3, sparsities[s], 0, 1, &error), PITH_OK);
    check_threshold(parts, 3, sparsities[s], 1);
    pith_mask_part blocks[2] = {make_part(0, block41, 61, 37, 1), make_part(1, block41, 64, 64, 2)};
    assert_int_equal(pith_mask_select(blocks, 2, sparsities[s], 0, 1, &error), PITH_OK);
    check_threshold(blocks, 2, sparsities[s], 4);
    pith_mask_part rows[1] = {make_part(0, row, 31, 64, 1)};
    assert_int_equal(pith_mask_select(rows, 1, sparsities[s], 0, 1, &error), PITH_OK);
    check_threshold(rows, 1, sparsities[s], 64);
  }
}

/* Equal scores: the first ones go, and no more than wanted. */
static void test_ties(void **unused) {
  (void)unused;
  pith_error error = {0};
  pith_mask_part parts[2] = {make_part(0, element, 10, 10, 1), make_part(1, element, 10, 10, 1)};
  for (size_t p = 0; p < 2; p++)
    for (size_t i = 0; i < 100; i++)
      rooms[p].scores[i] = i % 2 == 0 ? 0.5f : -0.0f;
  assert_int_equal(pith_mask_select(parts, 2, 0.6, 0, 1, &error), PITH_OK);
  assert_int_equal(parts[0].count, 70); /* all 100 zeros, then 20 of the others */
  assert_int_equal(parts[1].count, 50);
  for (size_t i = 0; i < 100; i++)
    assert_int_equal(parts[0].removed[i], i % 2 == 1 || i < 40);
}

static void test_bounds(void **unused) {
  (void)unused;
  pith_error error = {0};
  /* The first part's scores are far below the second's: it would go whole. */
  pith_mask_part parts[3] = {make_part(0, element, 40, 40, 0.001f), make_part(1, element, 40, 40, 1), make_part(2, element, 40, 40, 100)};
  assert_int_equal(pith_mask_select(parts, 3, 0.5, 0, 1, &error), PITH_OK);
  assert_int_equal(parts[0].count, 1600);
  assert_int_equal(parts[2].count + parts[1].count, 800);
  assert_int_equal(pith_mask_select(parts, 3, 0.5, 0, 0.9, &error), PITH_OK);
  assert_int_equal(parts[0].count, 1440);
  assert_int_equal(parts[0].count + parts[1].count + parts[2].count, 2400);
  assert_int_equal(pith_mask_select(parts, 3, 0.5, 0.25, 0.8, &error), PITH_OK);
  assert_int_equal(parts[0].count, 1280);
  assert_int_equal(parts[1].count, 720);
  assert_int_equal(parts[2].count, 400);
  assert_int_equal(pith_mask_select(parts, 3, 0.95, 0, 0.9, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "a sparsity of 0.95 cannot be reached with 0 to 0.9"));
  assert_int_equal(pith_mask_select(parts, 3, 0.1, 0.2, 1, &error), PITH_INVALID_ARGUMENT);
}

static void test_n_of_m(void **unused) {
  (void)unused;
  pith_mask_part part = make_part(0, two_of_four, 9, 14, 1);
  rooms[0].scores[0] = rooms[0].scores[1] = rooms[0].scores[2] = rooms[0].scores[3] = 0.5f;
  pith_mask_select_n_of_m(&part, &two_of_four);
  uint64_t removed = 0;
  for (size_t r = 0; r < 9; r++)
    for (size_t begin = 0; begin < 14; begin += 4) {
      const size_t count = begin + 4 <= 14 ? 4 : 14 - begin;
      float gone = -1, kept = 2;
      size_t left = 0;
      for (size_t i = r * 14 + begin; i < r * 14 + begin + count; i++) {
        left += !part.removed[i];
        removed += part.removed[i];
        if (part.removed[i])
          gone = fmaxf(gone, part.scores[i]);
        else
          kept = fminf(kept, part.scores[i]);
      }
      assert_int_equal(left, 2);
      assert_true(gone <= kept);
    }
  assert_int_equal(removed, part.count);
  assert_true(part.removed[0] && part.removed[1] && !part.removed[2] && !part.removed[3]);
}

static void test_schedules(void **unused) {
  (void)unused;
  for (int kind = 0; kind < PITH_SCHEDULE_COUNT; kind++) {
    double before = 0.1;
    for (int i = 1; i <= 10; i++) {
      const double now = pith_schedule_get((pith_schedule)kind, 0.1, 0.9, i / 10.0);
      assert_true(now >= before);
      before = now;
    }
    assert_true(before == 0.9);
  }
  assert_true(fabs(pith_schedule_get(PITH_SCHEDULE_LINEAR, 0.1, 0.9, 0.5) - 0.5) < 1e-12);
  assert_true(fabs(pith_schedule_get(PITH_SCHEDULE_CUBIC, 0, 0.8, 0.5) - 0.7) < 1e-12);
  assert_true(fabs(pith_schedule_get(PITH_SCHEDULE_EXPONENTIAL, 0, 0.75, 0.5) - 0.5) < 1e-12);
  assert_true(pith_schedule_get(PITH_SCHEDULE_ONE_SHOT, 0, 0.75, 0.5) == 0.75);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_grid), cmocka_unit_test(test_signs),   cmocka_unit_test(test_exact),  cmocka_unit_test(test_ties),
      cmocka_unit_test(test_bounds), cmocka_unit_test(test_n_of_m), cmocka_unit_test(test_schedules),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
