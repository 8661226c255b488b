/* Orders of samples: every epoch has each sample once; batches are cut as asked; a run goes on from any place; the same order
 * on every machine. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/base/random.h"
#include "train/order.h"

enum { MOST = 5000 };
static pith_sample samples[MOST];
static bool seen[MOST];
#define FIXED UINT64_C(0xbfcae9026042030b)

static int make_samples(void **state) {
  (void)state;
  for (uint32_t i = 0; i < MOST; i++) {
    const uint32_t key[2] = {1, 2}, counter[4] = {i, 0, 0, 0};
    uint32_t out[4];
    pith_random_philox(counter, key, out);
    samples[i] = (pith_sample){.tokens = 3 + out[0] % 60};
  }
  return 0;
}

static pith_order open_order(const pith_order_options *options) {
  pith_order order;
  pith_error error = {0};
  pith_order_options own = *options;
  own.samples = samples;
  if (pith_order_init(&order, &own, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return order;
}

static void test_permutation(void **state) {
  (void)state;
  static const uint64_t counts[] = {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, MOST};
  for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
    for (uint64_t epoch = 0; epoch < 3; epoch++) {
      memset(seen, 0, sizeof seen);
      for (uint64_t i = 0; i < counts[c]; i++) {
        const uint64_t sample = pith_order_shuffle(9, epoch, counts[c], i);
        assert_true(sample < counts[c] && !seen[sample]);
        seen[sample] = true;
      }
    }
  /* Places far up in a set that no memory holds. */
  const uint64_t many = UINT64_C(50000000000);
  assert_true(pith_order_shuffle(1, 0, many, many - 1) < many);
  assert_true(pith_order_shuffle(1, 0, many, 5) != pith_order_shuffle(1, 0, many, 6));
}

/* Where a place's sample comes from is uniform, and says nothing of where the next one's does: chi-square over tenths and over
 * pairs of them, and other seeds and epochs give other orders. */
static void test_randomness(void **state) {
  (void)state;
  double first[10] = {0}, pairs[10][10] = {{0}};
  enum { TRIALS = 20000 };
  int same = 0;
  for (int trial = 0; trial < TRIALS; trial++) {
    const uint64_t seed = (uint64_t)trial / 4, epoch = (uint64_t)trial % 4;
    const uint64_t a = pith_order_shuffle(seed, epoch, 1000, 17), b = pith_order_shuffle(seed, epoch, 1000, 18);
    first[a / 100]++;
    pairs[a / 100][b / 100]++;
    same += a == pith_order_shuffle(seed, epoch + 1, 1000, 17);
  }
  double chi = 0, chi_pairs = 0;
  for (int i = 0; i < 10; i++) {
    chi += pow(first[i] - TRIALS / 10.0, 2) / (TRIALS / 10.0);
    for (int j = 0; j < 10; j++)
      chi_pairs += pow(pairs[i][j] - TRIALS / 100.0, 2) / (TRIALS / 100.0);
  }
  assert_true(chi < 28);       /* 9 degrees of freedom: 0.1 % */
  assert_true(chi_pairs < 149); /* 99: 0.1 % */
  assert_true(same < 60);      /* 20 are expected */
}

static uint64_t count_batches(uint64_t count, uint64_t batch) {
  return (count + batch - 1) / batch;
}

static const pith_order_options forms[] = {
    {.count = 1000, .seed = 1, .batch = 32},
    {.count = 1000, .seed = 1, .batch = 32, .group = 5},
    {.count = 999, .seed = 2, .batch = 1, .group = 7},
    {.count = 10, .seed = 2, .batch = 32, .group = 50},
    {.count = MOST, .seed = 3, .batch = 64},
    {.count = 1000, .seed = 4, .tokens = 512},
    {.count = MOST, .seed = 4, .tokens = 512, .group = 10},
    {.count = MOST, .seed = 4, .tokens = 100, .group = 3},
    {.count = 300, .seed = 5, .tokens = 20},
};
enum { FORMS = sizeof forms / sizeof *forms, EPOCHS = 3 };

static void check_size(const pith_order_options *o, const pith_order_batch *batch) {
  uint64_t tokens = 0;
  for (size_t i = 0; i < batch->count; i++)
    tokens += samples[batch->samples[i]].tokens;
  assert_int_equal(tokens, batch->tokens);
  assert_true(batch->count >= 1);
  if (o->batch != 0)
    assert_true(batch->count == o->batch || (batch->count < o->batch && (o->group != 0 || batch->ends_epoch)));
  else
    assert_true(tokens <= o->tokens || batch->count == 1);
}

static void test_epochs(void **state) {
  (void)state;
  for (size_t f = 0; f < FORMS; f++) {
    pith_order order = open_order(&forms[f]);
    const pith_order_survey survey = pith_order_look_ahead(&order, &(pith_order_length){.epochs = EPOCHS, .accumulate = 1});
    uint64_t batches = 0, most_tokens = 0, most_samples = 0, tokens = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
      memset(seen, 0, sizeof seen);
      uint64_t samples_seen = 0, in_epoch = 0;
      for (bool end = false; !end;) {
        assert_true(order.epoch == epoch && order.batch == in_epoch);
        const pith_order_batch batch = pith_order_next(&order);
        check_size(&forms[f], &batch);
        for (size_t i = 0; i < batch.count; i++) {
          assert_true(!seen[batch.samples[i]]);
          seen[batch.samples[i]] = true;
        }
        samples_seen += batch.count;
        in_epoch++;
        tokens += batch.tokens;
        most_tokens = batch.tokens > most_tokens ? batch.tokens : most_tokens;
        most_samples = batch.count > most_samples ? batch.count : most_samples;
        end = batch.ends_epoch;
      }
      assert_int_equal(samples_seen, forms[f].count);
      if (forms[f].batch != 0)
        assert_int_equal(in_epoch, count_batches(forms[f].count, forms[f].batch));
      batches += in_epoch;
    }
    assert_int_equal(survey.batches, batches);
    assert_int_equal(survey.steps, batches);
    assert_int_equal(survey.most_tokens, most_tokens);
    assert_int_equal(survey.most_samples, most_samples);
    if (forms[f].tokens == 512) /* little is lost at the ends of batches and windows */
      assert_true((double)tokens / (double)batches > 0.9 * 512);
    pith_order_deinit(&order);
  }
}

static void test_seek(void **state) {
  (void)state;
  for (size_t f = 0; f < FORMS; f++) {
    pith_order order = open_order(&forms[f]), other = open_order(&forms[f]);
    for (int i = 0; i < 700 && order.epoch < EPOCHS; i++) {
      if (i % 13 == 0) {
        pith_order_seek(&other, order.epoch, order.batch);
        assert_true(other.epoch == order.epoch && other.batch == order.batch);
      }
      const pith_order_batch a = pith_order_next(&order), b = pith_order_next(&other);
      assert_int_equal(a.count, b.count);
      assert_memory_equal(a.samples, b.samples, a.count * sizeof *a.samples);
      assert_true(a.ends_epoch == b.ends_epoch);
    }
    pith_order_deinit(&order);
    pith_order_deinit(&other);
  }
}

/* Batches of like lengths, in no order of lengths among themselves. */
static void test_groups(void **state) {
  (void)state;
  double spread[2] = {0}, rising = 0, turns = 0;
  for (int grouped = 0; grouped < 2; grouped++) {
    const pith_order_options o = {.count = 3200, .seed = 6, .batch = 32, .group = grouped ? 50 : 0};
    pith_order order = open_order(&o);
    uint64_t before = 0;
    for (int b = 0; b < 100; b++) {
      const pith_order_batch batch = pith_order_next(&order);
      uint32_t low = UINT32_MAX, high = 0;
      for (size_t i = 0; i < batch.count; i++) {
        const uint32_t tokens = samples[batch.samples[i]].tokens;
        low = tokens < low ? tokens : low;
        high = tokens > high ? tokens : high;
      }
      spread[grouped] += (double)(high - low) / 100;
      rising += grouped && batch.tokens > before;
      turns += grouped;
      before = batch.tokens;
    }
    pith_order_deinit(&order);
  }
  assert_true(spread[1] < 3 && spread[0] > 50);
  assert_true(rising > 0.3 * turns && rising < 0.7 * turns);
}

/* Numbers that this order has on every machine. */
static void test_fixed(void **state) {
  (void)state;
  uint64_t hash = 0;
  for (size_t f = 0; f < FORMS; f++) {
    pith_order order = open_order(&forms[f]);
    for (int b = 0; b < 40; b++) {
      const pith_order_batch batch = pith_order_next(&order);
      for (size_t i = 0; i < batch.count; i++)
        hash = hash * 6364136223846793005u + batch.samples[i];
    }
    pith_order_deinit(&order);
  }
  assert_int_equal(hash, FIXED);
}

/* 32 batches an epoch. */
static void test_length(void **state) {
  (void)state;
  static const struct {
    pith_order_length length;
    uint64_t steps, batches;
  } cases[] = {{{2, 0, 1}, 64, 64}, {{2, 0, 5}, 14, 64}, {{1, 0, 100}, 1, 32}, {{1, 9, 5}, 9, 32 + 10}, {{5, 3, 1}, 3, 3}};
  pith_order order = open_order(&forms[0]);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const pith_order_survey survey = pith_order_look_ahead(&order, &cases[i].length);
    assert_int_equal(survey.steps, cases[i].steps);
    assert_int_equal(survey.batches, cases[i].batches);
  }
  pith_order_deinit(&order);
}

static void test_refused(void **state) {
  (void)state;
  pith_order order;
  pith_error error = {0};
  assert_int_equal(pith_order_init(&order, &(pith_order_options){.samples = samples, .batch = 1}, &error), PITH_INVALID_ARGUMENT);
  pith_order_deinit(&order);
  assert_int_equal(pith_order_init(&order, &(pith_order_options){.samples = samples, .count = 1}, &error), PITH_INVALID_ARGUMENT);
  pith_order_deinit(&order);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_permutation), cmocka_unit_test(test_randomness), cmocka_unit_test(test_epochs),
      cmocka_unit_test(test_seek),        cmocka_unit_test(test_groups),     cmocka_unit_test(test_fixed),
      cmocka_unit_test(test_length),      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, make_samples, NULL);
}
