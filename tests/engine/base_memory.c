/* Memory of the C library that is zeros, or given back: what it holds, and what it takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/base/arena.h"

enum { LARGE = 32 << 20 };

/* Pages of it that are in memory. */
static size_t count_resident(char *memory, size_t bytes) {
  static unsigned char pages[LARGE / 4096 + 1];
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), lead = (page - (uintptr_t)memory % page) % page, whole = (bytes - lead) / page;
  size_t count = 0;
  assert_int_equal(mincore(memory + lead, whole * page, pages), 0);
  for (size_t i = 0; i < whole; i++)
    count += pages[i] & 1;
  return count;
}

static void test_large(void **state) {
  (void)state;
  static const pith_allocator *const allocators[] = {NULL, &pith_default_allocator, &pith_large_allocator};
  for (size_t i = 0; i < sizeof allocators / sizeof *allocators; i++) {
    const size_t bytes = LARGE - 100; /* no whole number of pages */
    char *memory = pith_allocate_zeros(allocators[i], bytes);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 64, 0);
    pith_expect_sparse(allocators[i], memory, bytes);
    assert_true(count_resident(memory, bytes) <= 2);
    memory[bytes / 2] = 1;
    assert_true(count_resident(memory, bytes) <= 4); /* small pages */
    memset(memory, 0xA5, bytes);
    pith_vacate(allocators[i], memory, bytes);
    assert_true(count_resident(memory, bytes) <= 2);
    for (size_t j = 4096; j < bytes - 4096; j++)
      if (memory[j] != 0)
        fail_msg("byte %zu is %d", j, memory[j]);
    memset(memory, 0x5A, bytes); /* it is there again */
    pith_release(allocators[i], memory, bytes);
  }
}

/* Zeros also where the memory was used before, and nothing is written around it. */
static void test_small(void **state) {
  (void)state;
  static const size_t sizes[] = {1, 63, 64, 4095, 4096, 4097, 8191, 12288, 100000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char *used = pith_allocate(NULL, sizes[i]);
    assert_non_null(used);
    memset(used, 0xA5, sizes[i]);
    pith_release(NULL, used, sizes[i]);
    char *memory = pith_allocate_zeros(NULL, sizes[i]);
    assert_non_null(memory);
    for (size_t j = 0; j < sizes[i]; j++)
      assert_int_equal(memory[j], 0);
    pith_release(NULL, memory, sizes[i]);
  }
  char *guarded = pith_allocate(NULL, 64 << 10);
  assert_non_null(guarded);
  memset(guarded, 0xA5, 64 << 10);
  pith_vacate(NULL, guarded + 5000, 40000);
  for (size_t j = 0; j < 64 << 10; j++)
    if (j < 5000 || j >= 45000)
      assert_int_equal((unsigned char)guarded[j], 0xA5);
  pith_release(NULL, guarded, 64 << 10);
  pith_vacate(NULL, NULL, 0);
  assert_null(pith_allocate_zeros(NULL, 0));
}

static void *own_allocate(void *context, size_t bytes, size_t alignment) {
  char *memory = pith_default_allocator.allocate(NULL, bytes, alignment);
  ++*(int *)context;
  return memory == NULL ? NULL : memset(memory, 0xA5, bytes);
}
static void own_release(void *context, void *memory, size_t bytes) {
  --*(int *)context;
  pith_default_allocator.release(NULL, memory, bytes);
}

/* Of a caller's memory nothing is known: it is written, and never given back. */
static void test_callers(void **state) {
  (void)state;
  int count = 0;
  const pith_allocator own = {own_allocate, own_release, &count};
  char *memory = pith_allocate_zeros(&own, 1 << 20);
  assert_non_null(memory);
  for (size_t j = 0; j < 1 << 20; j++)
    assert_int_equal(memory[j], 0);
  memset(memory, 0x5A, 1 << 20);
  pith_vacate(&own, memory, 1 << 20);
  for (size_t j = 0; j < 1 << 20; j++)
    assert_int_equal(memory[j], 0x5A);
  pith_release(&own, memory, 1 << 20);
  assert_int_equal(count, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_large), cmocka_unit_test(test_small), cmocka_unit_test(test_callers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
