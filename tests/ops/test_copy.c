/* gather, cast and transpose; their bytes are compared with loops over the definition in copy.h. */
#include <math.h>
#include <string.h>

#include "ops/copy/copy.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static unsigned char *make_bytes(tester *t, size_t count) {
  unsigned char *out = tester_memory(t, count, false);
  for (size_t i = 0; i < count; ++i)
    out[i] = (unsigned char)tester_random(t);
  return out;
}

static void check_gather(tester *t, size_t outer, size_t axis, size_t inner, size_t count, int index_bytes) {
  tester_begin(t, "gather: outer %zu, axis %zu, inner %zu, count %zu, indices of %d", outer, axis, inner, count, index_bytes);
  unsigned char *y = tester_memory(t, outer * count * inner, true);
  const unsigned char *x = make_bytes(t, outer * axis * inner);
  void *indices = tester_memory(t, count * (size_t)index_bytes, false);
  for (size_t i = 0; i < count; ++i) {
    const int64_t index = (int64_t)tester_pick(t, axis);
    const int32_t narrow = (int32_t)index;
    memcpy((char *)indices + i * (size_t)index_bytes, index_bytes == 8 ? (const void *)&index : &narrow, (size_t)index_bytes);
  }
  const pith_gather_args a = {.x = x, .indices = indices, .y = y, .outer = outer, .axis = axis, .inner_bytes = inner,
                              .count = count, .index_bytes = index_bytes};
  tester_reference(t, &a);
  for (size_t o = 0; o < outer; ++o)
    for (size_t i = 0; i < count; ++i) {
      const size_t index = index_bytes == 8 ? (size_t)((const int64_t *)indices)[i] : (size_t)((const int32_t *)indices)[i];
      for (size_t b = 0; b < inner; ++b)
        if (y[(o * count + i) * inner + b] != x[(o * axis + index) * inner + b])
          tester_fail(t, "y[%zu, %zu] byte %zu", o, i, b);
    }
  tester_compare(t, &a, NULL);
}

static void test_gather(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_gather_kernels);
  static const size_t inners[] = {0, 1, 4, 12, 1536, 70000}; /* the last is over a task's bytes */
  for (size_t i = 0; i < COUNT(inners); ++i)
    for (int index_bytes = 4; index_bytes <= 8; index_bytes += 4) {
      check_gather(&t, 1, 7, inners[i], 101, index_bytes);
      check_gather(&t, 3, 1, inners[i], 5, index_bytes);
      check_gather(&t, 2, 5, inners[i], 0, index_bytes);
    }
  tester_deinit(&t);
}

static void test_transpose(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_transpose_kernels);
  static const size_t sizes[] = {0, 1, 15, 16, 17, 31, 32, 33, 63, 65, 127, 129, 263};
  for (size_t r = 0; r < COUNT(sizes); ++r)
    for (size_t c = 0; c < COUNT(sizes); ++c)
      for (size_t bytes = 1; bytes <= 8; bytes *= 2) {
        const size_t rows = sizes[r], columns = sizes[c];
        tester_begin(&t, "transpose: %zu x %zu of %zu bytes", rows, columns, bytes);
        unsigned char *y = tester_memory(&t, rows * columns * bytes, true);
        const unsigned char *x = make_bytes(&t, rows * columns * bytes);
        const pith_transpose_args a = {.x = x, .y = y, .rows = rows, .columns = columns, .element_bytes = bytes};
        tester_reference(&t, &a);
        for (size_t i = 0; i < rows * columns; ++i)
          if (memcmp(y + (i % columns * rows + i / columns) * bytes, x + i * bytes, bytes) != 0)
            tester_fail(&t, "element %zu", i);
        tester_compare(&t, &a, NULL);
      }
  tester_deinit(&t);
}

/* One value of each pair of types, in bytes (little-endian) as both. */
typedef struct cast_row {
  pith_number from, to;
  uint64_t x, y;
} cast_row;
static const cast_row casts[] = {
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x3f800000, 0x3c00},
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x3f801000, 0x3c00}, /* halfway: to even, down */
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x3f803000, 0x3c02}, /* halfway: to even, up */
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x477fefff, 0x7bff}, /* just under 65520 */
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x477ff000, 0x7c00}, /* 65520: infinity */
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0x33000000, 0x0000}, /* 2^-25: half of the least, to even */
    {PITH_NUMBER_F32, PITH_NUMBER_F16, 0xb3000001, 0x8001},
    {PITH_NUMBER_F64, PITH_NUMBER_F16, 0x3ff0020000000001, 0x3c01}, /* rounded twice it would be 0x3c00 */
    {PITH_NUMBER_F16, PITH_NUMBER_F32, 0x0001, 0x33800000},
    {PITH_NUMBER_F16, PITH_NUMBER_F32, 0xfc00, 0xff800000},
    {PITH_NUMBER_F32, PITH_NUMBER_BF16, 0x3f808000, 0x3f80},
    {PITH_NUMBER_F32, PITH_NUMBER_BF16, 0x3f818000, 0x3f82},
    {PITH_NUMBER_F32, PITH_NUMBER_BF16, 0x7f7fffff, 0x7f80},
    {PITH_NUMBER_BF16, PITH_NUMBER_F32, 0xc049, 0xc0490000},
    {PITH_NUMBER_F32, PITH_NUMBER_S32, 0xc02ccccd, 0xfffffffe}, /* -2.7: towards zero */
    {PITH_NUMBER_F32, PITH_NUMBER_S32, 0x4f000000, 0x7fffffff}, /* 2^31 */
    {PITH_NUMBER_F32, PITH_NUMBER_S32, 0xff800000, 0x80000000},
    {PITH_NUMBER_F32, PITH_NUMBER_S32, 0x7fc00000, 0},
    {PITH_NUMBER_F32, PITH_NUMBER_S64, 0x5f000000, 0x7fffffffffffffff},
    {PITH_NUMBER_F32, PITH_NUMBER_U8, 0xbf800000, 0},
    {PITH_NUMBER_F32, PITH_NUMBER_U8, 0x43800000, 255},
    {PITH_NUMBER_F32, PITH_NUMBER_S8, 0x43000000, 127},
    {PITH_NUMBER_S64, PITH_NUMBER_S32, 0x1234567880000001, 0x80000001}, /* the low bits */
    {PITH_NUMBER_S64, PITH_NUMBER_F32, 0x0020000020000001, 0x5a000001}, /* once, not through double */
    {PITH_NUMBER_S32, PITH_NUMBER_U8, 0x1ff, 0xff},
    {PITH_NUMBER_U8, PITH_NUMBER_S64, 0xff, 0xff},
    {PITH_NUMBER_S8, PITH_NUMBER_S64, 0xff, 0xffffffffffffffff},
    {PITH_NUMBER_F32, PITH_NUMBER_BOOL, 0x80000000, 0},
    {PITH_NUMBER_F32, PITH_NUMBER_BOOL, 0x00000001, 1},
    {PITH_NUMBER_BOOL, PITH_NUMBER_F32, 7, 0x3f800000},
    {PITH_NUMBER_F64, PITH_NUMBER_F64, 0x7ff0000000000001, 0x7ff0000000000001}, /* a copy */
};
static const size_t bytes_of[PITH_NUMBER_COUNT] = {8, 4, 2, 2, 8, 4, 1, 1, 1};

static void test_cast(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_cast_kernels);
  static const size_t counts[] = {0, 1, 53, (16 << 10) + 1};
  for (size_t row = 0; row < COUNT(casts); ++row)
    for (size_t c = 0; c < COUNT(counts); ++c) {
      const cast_row *r = &casts[row];
      const size_t count = counts[c], from = bytes_of[r->from], to = bytes_of[r->to];
      tester_begin(&t, "cast row %zu: %d to %d, %zu of them", row, (int)r->from, (int)r->to, count);
      unsigned char *y = tester_memory(&t, count * to, true), *x = tester_memory(&t, count * from, false);
      for (size_t i = 0; i < count; ++i)
        memcpy(x + i * from, &r->x, from);
      const pith_cast_args a = {.x = x, .y = y, .count = count, .from = r->from, .to = r->to};
      tester_reference(&t, &a);
      for (size_t i = 0; i < count; ++i) {
        uint64_t got = 0, want = 0;
        memcpy(&got, y + i * to, to);
        memcpy(&want, &r->y, to);
        if (got != want)
          tester_fail(&t, "element %zu of 0x%llx is 0x%llx, not 0x%llx", i, (unsigned long long)r->x,
                      (unsigned long long)got, (unsigned long long)want);
      }
      tester_compare(&t, &a, NULL);
    }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_gather), cmocka_unit_test(test_transpose),
                                     cmocka_unit_test(test_cast)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
