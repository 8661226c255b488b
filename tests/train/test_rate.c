/* Learning rates against transformers' schedules (tests/golden/rate). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "compiler/import/json.h"
#include "train/rate.h"

static pith_rate_kind find_kind(const char *name) {
  static const char *const names[] = {
#define NAME(id, text) [PITH_RATE_##id] = text,
      PITH_RATE_LIST(NAME)
#undef NAME
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i], name) == 0)
      return (pith_rate_kind)i;
  fail_msg("no schedule '%s'", name);
  return PITH_RATE_LINEAR;
}

static double get_number(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  assert_true(cJSON_IsNumber(item));
  return item->valuedouble;
}

static void test_golden(void **state) {
  (void)state;
  cJSON *json;
  assert_int_equal(pith_json_open(PITH_SOURCE_DIR "/tests/golden/rate/golden.json", &json, NULL), PITH_OK);
  size_t compared = 0;
  for (const cJSON *item = json->child->child; item != NULL; item = item->next) {
    const char *kind = cJSON_GetObjectItemCaseSensitive(item, "kind")->valuestring;
    const pith_rate rate = {find_kind(kind), get_number(item, "peak"), (uint64_t)get_number(item, "warmup"),
                            (uint64_t)get_number(item, "steps")};
    uint64_t step = 0;
    const cJSON *wanted;
    cJSON_ArrayForEach(wanted, cJSON_GetObjectItemCaseSensitive(item, "rates")) {
      const double is = pith_rate_at(&rate, step);
      if (!(fabs(is - wanted->valuedouble) <= 1e-15 * rate.peak))
        fail_msg("%s, warm-up %d of %d, step %d: %.17g, not %.17g", kind, (int)rate.warmup, (int)rate.steps, (int)step,
                 is, wanted->valuedouble);
      step++;
      compared++;
    }
    assert_int_equal(step, rate.steps + 1);
  }
  assert_int_equal(compared, 8 + 21 + 21 + 8 + 32 + 6 + 10);
  cJSON_Delete(json);
}

static void test_warmup(void **state) {
  (void)state;
  assert_int_equal(pith_rate_get_warmup(0, 100), 0);
  assert_int_equal(pith_rate_get_warmup(0.06, 5685), 342); /* 341.1, rounded up */
  assert_int_equal(pith_rate_get_warmup(1, 100), 1);
  assert_int_equal(pith_rate_get_warmup(500, 100), 500);
  const pith_rate longer = {PITH_RATE_LINEAR, 1.0, 500, 100}; /* the run ends while it warms up */
  assert_true(pith_rate_at(&longer, 50) == 0.1);
  assert_true(pith_rate_at(&longer, 600) == 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_warmup)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
