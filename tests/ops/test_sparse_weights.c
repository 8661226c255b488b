#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "ops/sparse_gemm/sparse_weights.h"

static const size_t n_sizes[] = {0, 1, 3, 4, 5, 8, 17, 64, 66};
static const size_t k_sizes[] = {0, 1, 3, 4, 5, 7, 16, 31, 64, 129};
static const char *const form_names[] = {
#define NAME(name, text) text,
    PITH_SPARSE_FORM_LIST(NAME)
#undef NAME
};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static uint64_t state = 1;
static uint32_t next_random(void) { /* splitmix64 */
  uint64_t z = state += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (uint32_t)(z >> 32);
}

/* malloc, so that the address sanitizer sees a byte too far. */
static void *take(size_t bytes) {
  void *out = malloc(bytes + (bytes == 0));
  assert_non_null(out);
  return out;
}

static size_t weight_bytes(pith_sparse_form form) {
  return form == PITH_SPARSE_B4X1_F32 ? 4 : 1;
}

static void *make_weights(pith_sparse_form form, size_t n, size_t k, double density) {
  void *w = take(n * k * weight_bytes(form));
  for (size_t i = 0; i < n * k; ++i) {
    const int value = next_random() < density * 4294967295.0 ? (int)(next_random() % 256) - 128 : 0;
    if (form == PITH_SPARSE_B4X1_F32)
      ((float *)w)[i] = (float)value;
    else
      ((int8_t *)w)[i] = (int8_t)value;
  }
  return w;
}

/* As the header says, one number after the other: units that are wanted, from their definition. */
static size_t want_units(pith_sparse_form form, size_t n, size_t k, const void *w) {
  size_t units = 0;
  const size_t width = form == PITH_SPARSE_B4X4_S8 ? 4 : 1;
  for (size_t n0 = 0; n0 < n; n0 += 4) {
    size_t blocks = 0;
    for (size_t k0 = 0; k0 < k; k0 += width) {
      bool any = false;
      for (size_t j = n0; j < n0 + 4 && j < n; ++j)
        for (size_t i = k0; i < k0 + width && i < k; ++i)
          any |= form == PITH_SPARSE_B4X1_F32 ? ((const float *)w)[j * k + i] != 0 : ((const int8_t *)w)[j * k + i] != 0;
      blocks += any;
    }
    units += form == PITH_SPARSE_B4X1_S8 ? (blocks + 3) / 4 : blocks;
  }
  return units;
}

static void check_sums(pith_sparse_form form, size_t n, size_t k, const void *w, const void *packed) {
  const pith_sparse_parts parts = pith_sparse_get_parts(form, n, packed);
  assert_int_equal(parts.groups, (n + 3) / 4);
  if (form == PITH_SPARSE_B4X1_F32) {
    assert_null(parts.sums);
    return;
  }
  for (size_t j = 0; j < parts.groups * 4; ++j) {
    int32_t sum = 0;
    for (size_t i = 0; j < n && i < k; ++i)
      sum += ((const int8_t *)w)[j * k + i];
    assert_int_equal(parts.sums[j], sum);
  }
}

static void check_round_trip(pith_sparse_form form, size_t n, size_t k, double density) {
  const size_t bytes = n * k * weight_bytes(form);
  void *w = make_weights(form, n, k, density), *back = take(bytes);
  const size_t units = pith_sparse_count_units(form, n, k, w), packed_bytes = pith_sparse_packed_bytes(form, n, units);
  assert_int_equal(units, want_units(form, n, k, w));
  assert_true(units <= pith_sparse_max_units(form, n, k));
  void *packed = take(packed_bytes), *again = take(packed_bytes);
  memset(packed, 0xa5, packed_bytes);
  memset(back, 0xa5, bytes);
  pith_sparse_pack(form, n, k, w, packed);
  assert_true(pith_sparse_check(form, n, k, packed, packed_bytes));
  check_sums(form, n, k, w, packed);
  pith_sparse_unpack(form, n, k, packed, back);
  if (bytes > 0)
    assert_memory_equal(back, w, bytes);
  memset(again, 0x5a, packed_bytes);
  pith_sparse_pack(form, n, k, back, again);
  assert_memory_equal(again, packed, packed_bytes);
  for (size_t cut = 0; cut < packed_bytes; ++cut) /* every shorter size; the copy ends where it may not be read on */
    if (packed_bytes < 600 || cut % 61 == 0 || cut + 50 > packed_bytes) {
      void *shorter = take(cut);
      memcpy(shorter, packed, cut);
      assert_false(pith_sparse_check(form, n, k, shorter, cut));
      free(shorter);
    }
  void *longer = take(packed_bytes + 24);
  memcpy(longer, packed, packed_bytes);
  memset((uint8_t *)longer + packed_bytes, 0, 24);
  for (size_t more = 1; more <= 24; ++more)
    assert_false(pith_sparse_check(form, n, k, longer, packed_bytes + more));
  void *const all[] = {w, back, packed, again, longer};
  for (size_t i = 0; i < COUNT(all); ++i)
    free(all[i]);
}

static void test_round_trips(void **unused) {
  (void)unused;
  static const double densities[] = {0, 0.05, 0.5, 1};
  for (int form = 0; form < PITH_SPARSE_FORM_COUNT; ++form)
    for (size_t i = 0; i < COUNT(n_sizes); ++i)
      for (size_t j = 0; j < COUNT(k_sizes); ++j)
        for (size_t d = 0; d < COUNT(densities); ++d)
          check_round_trip((pith_sparse_form)form, n_sizes[i], k_sizes[j], densities[d]);
}

/* Bytes by hand: a form is what files hold. */
static void test_stored_bytes(void **unused) {
  (void)unused;
  static const int8_t w[5 * 6] = {
      0, 1, 0, 0, 0, -1, /* group 0 has inputs 1, 5 */
      0, 0, 0, 0, 0, 2,  /**/
      0, 0, 0, 0, 0, 0,  /**/
      0, 3, 0, 0, 0, 0,  /**/
      0, 0, 0, 7, 0, 0,  /* group 1: input 3 */
  };
  static const uint8_t b4x1[] = {
      0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,                         /* starts */
      0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,                         /* sums */
      7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,                         /**/
      1, 0, 5, 0, 5, 0, 5, 0, 1, 255, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, /**/
      3, 0, 3, 0, 3, 0, 3, 0, 7, 0,   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  };
  static const uint8_t b4x4[] = {
      0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0,             /* starts */
      0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0,             /* sums */
      7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,             /**/
      0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, /**/
      1, 0, 0, 0, 0, 255, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
      0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  };
  uint8_t packed[256];
  assert_int_equal(pith_sparse_packed_bytes(PITH_SPARSE_B4X1_S8, 5, 2), sizeof b4x1);
  pith_sparse_pack(PITH_SPARSE_B4X1_S8, 5, 6, w, packed);
  assert_memory_equal(packed, b4x1, sizeof b4x1);
  assert_int_equal(pith_sparse_packed_bytes(PITH_SPARSE_B4X4_S8, 5, 3), sizeof b4x4);
  pith_sparse_pack(PITH_SPARSE_B4X4_S8, 5, 6, w, packed);
  assert_memory_equal(packed, b4x4, sizeof b4x4);

  static const float f[2 * 3] = {0, -0.0f, 1, 0, -0.0f, -2};
  static const uint8_t b4x1_f32[] = {
      0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /**/
      2, 0, 0, 0, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0,
  };
  static const float want[2 * 3] = {0, 0, 1, 0, 0, -2}; /* -0 is left out with its block */
  float back[2 * 3];
  assert_int_equal(pith_sparse_packed_bytes(PITH_SPARSE_B4X1_F32, 2, 1), sizeof b4x1_f32);
  pith_sparse_pack(PITH_SPARSE_B4X1_F32, 2, 3, f, packed);
  assert_memory_equal(packed, b4x1_f32, sizeof b4x1_f32);
  pith_sparse_unpack(PITH_SPARSE_B4X1_F32, 2, 3, packed, back);
  assert_memory_equal(back, want, sizeof want);
}

typedef struct sample {
  uint8_t *packed;
  size_t bytes, units_at, unit_bytes;
} sample;

enum { SAMPLE_N = 12, SAMPLE_K = 30, SAMPLE_GROUPS = 3 };

static sample make_sample(pith_sparse_form form) {
  void *w = make_weights(form, SAMPLE_N, SAMPLE_K, 0.3);
  sample s = {.bytes = pith_sparse_packed_bytes(form, SAMPLE_N, pith_sparse_count_units(form, SAMPLE_N, SAMPLE_K, w))};
  s.packed = take(s.bytes);
  pith_sparse_pack(form, SAMPLE_N, SAMPLE_K, w, s.packed);
  const pith_sparse_parts parts = pith_sparse_get_parts(form, SAMPLE_N, s.packed);
  s.units_at = (size_t)(parts.units - s.packed);
  s.unit_bytes = parts.unit_bytes;
  assert_true(parts.starts[1] >= 2 && parts.starts[2] >= parts.starts[1] + 2);
  free(w);
  return s;
}

static void put_u32(uint8_t *at, uint32_t value) {
  memcpy(at, &value, sizeof value);
}
static uint32_t get_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, sizeof value);
  return value;
}
static void put_u16(uint8_t *at, size_t value) {
  const uint16_t narrow = (uint16_t)value;
  memcpy(at, &narrow, sizeof narrow);
}
static size_t get_u16(const uint8_t *at) {
  uint16_t value;
  memcpy(&value, at, sizeof value);
  return value;
}

#define CHECK(form, s) pith_sparse_check((form), SAMPLE_N, SAMPLE_K, (s).packed, (s).bytes)

static void test_starts(void **unused) {
  (void)unused;
  for (int i = 0; i < PITH_SPARSE_FORM_COUNT; ++i) {
    const pith_sparse_form form = (pith_sparse_form)i;
    print_message("%s\n", form_names[form]);
    static const uint32_t wrong[] = {0x7fffffff, 0x80000000, 0xffffffff};
    const sample s = make_sample(form);
    assert_true(CHECK(form, s));
    for (size_t at = 0; at <= SAMPLE_GROUPS; ++at) {
      const uint32_t right = get_u32(s.packed + 4 * at);
      for (size_t j = 0; j < COUNT(wrong); ++j) {
        put_u32(s.packed + 4 * at, wrong[j]);
        assert_false(CHECK(form, s));
      }
      put_u32(s.packed + 4 * at, right + (at == 0 || at == SAMPLE_GROUPS));
      assert_int_equal(CHECK(form, s), at != 0 && at != SAMPLE_GROUPS);
      put_u32(s.packed + 4 * at, right);
    }
    const uint32_t first = get_u32(s.packed + 4), second = get_u32(s.packed + 8);
    put_u32(s.packed + 4, second); /* descending, all within the file */
    put_u32(s.packed + 8, first);
    assert_false(CHECK(form, s));
    put_u32(s.packed + 4, second);
    put_u32(s.packed + 8, second - 1);
    assert_false(CHECK(form, s));
    free(s.packed);
  }
}

/* Every input of every unit in turn: one too large, the largest number, the one before (not ascending). */
static void test_inputs(void **unused) {
  (void)unused;
  for (int i = 0; i < PITH_SPARSE_FORM_COUNT; ++i) {
    const pith_sparse_form form = (pith_sparse_form)i;
    const bool narrow = form == PITH_SPARSE_B4X1_S8;
    const size_t bound = form == PITH_SPARSE_B4X4_S8 ? (SAMPLE_K + 3) / 4 : SAMPLE_K, each = narrow ? 4 : 1;
    const sample s = make_sample(form);
    const uint32_t units = get_u32(s.packed + 4 * SAMPLE_GROUPS);
    for (size_t u = 0; u < units; ++u)
      for (size_t j = 0; j < each; ++j) {
        uint8_t *at = s.packed + s.units_at + u * s.unit_bytes + 2 * j;
        const size_t right = narrow ? get_u16(at) : get_u32(at);
        const size_t wrong[] = {bound, narrow ? 65535 : 0xffffffff, narrow ? 32768 : 0x80000000};
        for (size_t l = 0; l < COUNT(wrong); ++l) {
          if (narrow)
            put_u16(at, wrong[l]);
          else
            put_u32(at, (uint32_t)wrong[l]);
          assert_false(CHECK(form, s));
        }
        bool is_first = false, is_last_unit = false;
        for (size_t g = 0; g < SAMPLE_GROUPS; ++g) {
          is_first |= u == get_u32(s.packed + 4 * g) && j == 0;
          is_last_unit |= u + 1 == get_u32(s.packed + 4 * (g + 1));
        }
        if (!is_first && !(narrow && is_last_unit && j > 0)) { /* the same as before it */
          const uint8_t *before = j > 0 ? at - 2 : at - s.unit_bytes + 2 * (each - 1);
          if (narrow)
            put_u16(at, get_u16(before));
          else
            put_u32(at, get_u32(before));
          assert_false(CHECK(form, s));
        }
        if (narrow)
          put_u16(at, right);
        else
          put_u32(at, (uint32_t)right);
        assert_true(CHECK(form, s));
      }
    free(s.packed);
  }
}

/* A last unit is filled up with its last input, and with nothing else. */
static void test_filling(void **unused) {
  (void)unused;
  static const struct {
    uint16_t inputs[4];
    bool right;
  } cases[] = {
      {{1, 1, 1, 1}, true},  {{1, 5, 5, 5}, true},  {{1, 2, 3, 3}, true},  {{1, 2, 3, 9}, true},  {{0, 0, 0, 0}, true},
      {{1, 1, 1, 2}, false}, {{1, 1, 2, 2}, false}, {{1, 5, 5, 1}, false}, {{2, 1, 1, 1}, false}, {{1, 2, 2, 3}, false},
      {{9, 9, 9, 10}, false}, {{10, 10, 10, 10}, false},
  };
  int8_t w[10] = {0, 1};
  uint8_t packed[16 + 16 + 24];
  pith_sparse_pack(PITH_SPARSE_B4X1_S8, 1, 10, w, packed);
  for (size_t i = 0; i < COUNT(cases); ++i) {
    memcpy(packed + 32, cases[i].inputs, 8);
    assert_int_equal(pith_sparse_check(PITH_SPARSE_B4X1_S8, 1, 10, packed, sizeof packed), cases[i].right);
  }
}

/* Sizes whose products overflow; random bytes: the check must only ever read what there is. */
static void test_hostile(void **unused) {
  (void)unused;
  static const size_t large[] = {SIZE_MAX, SIZE_MAX - 3, SIZE_MAX / 2, SIZE_MAX / 4, SIZE_MAX / 4 + 2, SIZE_MAX / 16, (size_t)1 << 32};
  for (int form = 0; form < PITH_SPARSE_FORM_COUNT; ++form) {
    uint8_t *bytes = take(64);
    memset(bytes, 0, 64);
    for (size_t i = 0; i < COUNT(large); ++i) {
      assert_false(pith_sparse_check((pith_sparse_form)form, large[i], 8, bytes, 64));
      assert_false(pith_sparse_check((pith_sparse_form)form, 4, large[i], bytes, 64));
    }
    assert_false(pith_sparse_check((pith_sparse_form)form, 4, PITH_SPARSE_MAX_K + 1, bytes, 32));
    for (size_t run = 0; run < 20000; ++run) {
      for (size_t i = 0; i < 64; ++i)
        bytes[i] = run % 2 ? (uint8_t)next_random() : (uint8_t)(next_random() % 3 == 0);
      (void)pith_sparse_check((pith_sparse_form)form, next_random() % 12, next_random() % 9, bytes, 64);
    }
    free(bytes);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_round_trips), cmocka_unit_test(test_stored_bytes), cmocka_unit_test(test_starts),
      cmocka_unit_test(test_inputs),      cmocka_unit_test(test_filling),      cmocka_unit_test(test_hostile),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
