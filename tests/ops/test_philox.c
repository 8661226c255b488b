/* Philox4x32-10 against the vectors that its authors publish (Random123, tests/kat_vectors), and on vectors against the same
 * a block at a time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/ops/dropout_reference.h"
#include "tests/ops/math_probe.h"

static const math_probe *const probes[] = {
    &math_probe_plain,
#if defined(__x86_64__)
    &math_probe_avx2,
    &math_probe_avx512,
#endif
};
enum { PROBES = sizeof probes / sizeof *probes };

typedef struct known_row {
  uint32_t counter[4], key[2], want[4];
} known_row;
static const known_row known[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void check(const uint32_t *got, const uint32_t *want, const char *name, size_t block) {
  for (size_t w = 0; w < 4; ++w)
    if (got[w] != want[w])
      fail_msg("%s: word %zu of block %zu is 0x%08x, not 0x%08x", name, w, block, got[w], want[w]);
}

static void test_known_answers(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
    uint32_t got[4];
    reference_philox(known[i].key, known[i].counter, got);
    check(got, known[i].want, "one block", i);
    for (size_t p = 0; p < PROBES; ++p) {
      uint32_t blocks[16][4];
      if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
        continue;
      probes[p]->philox(known[i].key, known[i].counter, blocks);
      check(blocks[0], known[i].want, probes[p]->name, i);
    }
  }
}

/* Every lane, with counters that wrap and that do not. */
static void test_lanes(void **state) {
  (void)state;
  size_t runs = 0;
  uint64_t random = 1;
  for (size_t i = 0; i < 200; ++i) {
    uint32_t key[2], counter[4], want[4], got[16][4];
    for (size_t j = 0; j < 6; ++j) {
      random = random * 6364136223846793005u + 1442695040888963407u;
      *(j < 4 ? counter + j : key + j - 4) = (uint32_t)(random >> 32);
    }
    if (i < 32)
      counter[0] = (uint32_t)0 - (uint32_t)i;
    for (size_t p = 0; p < PROBES; ++p) {
      if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
        continue;
      probes[p]->philox(key, counter, got);
      for (uint32_t lane = 0; lane < 16; ++lane, ++runs) {
        const uint32_t one[4] = {counter[0] + lane, counter[1], counter[2], counter[3]};
        reference_philox(key, one, want);
        check(got[lane], want, probes[p]->name, lane);
      }
    }
  }
  assert_true(runs >= 200 * 16);
}

int main(void) {
  for (size_t p = 0; p < PROBES; ++p)
    if ((probes[p]->needs & ~pith_cpu_detect()) != 0)
      printf("skipped row: %s\n", probes[p]->name);
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_known_answers), cmocka_unit_test(test_lanes)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
