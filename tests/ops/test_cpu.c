/* CPU features, the control word of floating point, and selection from a table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cpu/cpu.h"
#include "ops/kernel.h"

static void test_texts(void **state) {
  (void)state;
  for (unsigned bit = 0; bit < PITH_CPU_FEATURE_COUNT; ++bit) {
    assert_non_null(pith_cpu_feature_text(bit));
    for (unsigned other = 0; other < bit; ++other)
      assert_string_not_equal(pith_cpu_feature_text(bit), pith_cpu_feature_text(other));
  }
  assert_null(pith_cpu_feature_text(PITH_CPU_FEATURE_COUNT));
}

#if defined(__x86_64__)
#include <immintrin.h>

/* The flags that the kernel shows; a feature that it does not save registers for is absent there too. */
static void read_flags(char *out, size_t capacity) {
  FILE *file = fopen("/proc/cpuinfo", "r");
  assert_non_null(file);
  out[0] = 0;
  while (fgets(out, (int)capacity, file) && strncmp(out, "flags", 5) != 0)
    out[0] = 0;
  fclose(file);
}

static int has_flag(const char *flags, const char *name) {
  const size_t length = strlen(name);
  for (const char *at = flags; (at = strstr(at, name)) != NULL; at += length)
    if (at[-1] == ' ' && (at[length] == ' ' || at[length] == '\n'))
      return 1;
  return 0;
}

static void test_detect_agrees_with_the_system(void **state) {
  (void)state;
  static char flags[1 << 14];
  read_flags(flags, sizeof flags);
  if (!flags[0])
    skip();
  static const struct {
    pith_cpu_set feature;
    const char *flags[6];
  } rows[] = {
      {PITH_CPU_AVX2, {"avx2", "fma", "f16c", "bmi2"}},
      {PITH_CPU_AVX512, {"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512cd"}},
      {PITH_CPU_AVX512VNNI, {"avx512_vnni"}},
      {PITH_CPU_AVXVNNI, {"avx_vnni"}},
      {PITH_CPU_AVX512VBMI, {"avx512vbmi"}},
      {PITH_CPU_AVX512FP16, {"avx512_fp16"}},
      {PITH_CPU_AVX512BF16, {"avx512_bf16"}},
  };
  assert_int_equal(sizeof rows / sizeof *rows, PITH_CPU_FEATURE_COUNT);
  const pith_cpu_set cpu = pith_cpu_detect();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
    int all = 1;
    for (size_t f = 0; f < 6 && rows[i].flags[f]; ++f)
      all &= has_flag(flags, rows[i].flags[f]);
    print_message("%s: %s\n", pith_cpu_feature_text((unsigned)i), all ? "yes" : "no");
    assert_int_equal((cpu & rows[i].feature) != 0, all);
  }
}

static void test_float_word(void **state) {
  (void)state;
  const unsigned before = _mm_getcsr();
  const unsigned odd = (before | 0x8040u /* FTZ, DAZ */ | 0x6000u /* towards zero */) & ~0x3fu;
  _mm_setcsr(odd);
  const uint32_t saved = pith_cpu_enter_float();
  const unsigned inside = _mm_getcsr();
  pith_cpu_leave_float(saved);
  const unsigned after = _mm_getcsr();
  _mm_setcsr(before);
  assert_int_equal(inside, 0x1f80);
  assert_int_equal(after, odd);
}
#else
static void test_detect_agrees_with_the_system(void **state) {
  (void)state;
  assert_int_equal(pith_cpu_detect(), 0);
}

static void test_float_word(void **state) {
  (void)state;
  assert_int_equal(pith_cpu_enter_float(), 0);
  pith_cpu_leave_float(0);
}
#endif

static size_t count_three(const void *args, size_t threads) {
  (void)args, (void)threads;
  return 3;
}

static void mark(const void *args, size_t threads, size_t task, void *scratch) {
  (void)args, (void)threads;
  ((int *)scratch)[task] += 1;
}

static void test_select(void **state) {
  (void)state;
  const pith_kernel plain = {.name = "plain", .count_tasks = count_three, .run = mark};
  const pith_kernel avx2 = {.name = "avx2", .needs = PITH_CPU_AVX2, .count_tasks = count_three, .run = mark};
  const pith_kernel both = {
      .name = "both", .needs = PITH_CPU_AVX2 | PITH_CPU_AVX512, .count_tasks = count_three, .run = mark};
  const pith_kernel *const table[] = {&plain, &avx2, &both, NULL};
  assert_ptr_equal(pith_kernel_select(table, 0), &plain);
  assert_ptr_equal(pith_kernel_select(table, PITH_CPU_AVX512), &plain);
  assert_ptr_equal(pith_kernel_select(table, PITH_CPU_AVX2), &avx2);
  assert_ptr_equal(pith_kernel_select(table, PITH_CPU_AVX2 | PITH_CPU_AVX512 | PITH_CPU_AVXVNNI), &both);
  int runs[4] = {0};
  pith_kernel_run_all(&plain, NULL, runs);
  const int expected[4] = {1, 1, 1, 0};
  assert_memory_equal(runs, expected, sizeof runs);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_texts),
      cmocka_unit_test(test_detect_agrees_with_the_system),
      cmocka_unit_test(test_float_word),
      cmocka_unit_test(test_select),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
