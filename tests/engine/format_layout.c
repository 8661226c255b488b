/* Stored layouts: the documented order, and an exact inverse. */
#include "tests/engine/ir_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "engine/format/stored_layout.h"
#include "ops/gemm/gemm_u8s8.h"

static void *new_floats(size_t count, uint8_t fill) {
  void *memory = NULL;
  assert_int_equal(posix_memalign(&memory, 64, count * sizeof(float) + 64), 0);
  return memset(memory, fill, count * sizeof(float) + 64);
}

static const int64_t sizes[] = {0, 1, 3, 15, 16, 17, 48, 63, 64, 65, 96, 127, 128, 131, 312, 1000};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void check(int64_t n, int64_t k) {
  const pith_dim dims[] = {pith_dim_of(n), pith_dim_of(k)};
  uint64_t bytes = 0, packed_bytes = 0;
  pith_error error = {0};
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_F32, 2, dims, &bytes, &error), PITH_OK);
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_N64_F32, PITH_DTYPE_F32, 2, dims, &packed_bytes, &error), PITH_OK);
  size_t count = (size_t)bytes / 4, packed_count = (size_t)packed_bytes / 4;
  float *rows = new_floats(count, 0), *packed = new_floats(packed_count, 0xA5), *back = new_floats(count, 0xA5);
  for (size_t i = 0; i < count; i++)
    memcpy(&rows[i], &(uint32_t){(uint32_t)(i * 2654435761u)}, 4); /* any bits, NaNs too */
#define CONVERT(from, in, to, out)                                                                         \
  pith_layout_convert(PITH_DTYPE_F32, 2, dims, PITH_LAYOUT_##from, in, PITH_LAYOUT_##to, out, NULL, &error)
  assert_int_equal(CONVERT(ROW_MAJOR, rows, N64_F32, packed), PITH_OK);
  for (int64_t o = 0; o < (n + 15) / 16 * 16; o++) {
    int64_t width = o / 64 < n / 64 ? 64 : (n % 64 + 15) / 16 * 16;
    for (int64_t i = 0; i < k; i++) {
      size_t at = (size_t)(o / 64 * 64 * k + i * width + o % 64);
      static const float zero = 0;
      assert_memory_equal(&packed[at], o < n ? &rows[o * k + i] : &zero, 4);
    }
  }
  assert_int_equal(CONVERT(N64_F32, packed, ROW_MAJOR, back), PITH_OK);
  assert_memory_equal(rows, back, (size_t)bytes);
  float *same = new_floats(packed_count, 0xA5);
  assert_int_equal(CONVERT(N64_F32, packed, N64_F32, same), PITH_OK);
  assert_memory_equal(packed, same, (size_t)packed_bytes);
  for (size_t i = 0; i < 64; i++) { /* no byte past the end */
    assert_int_equal(((uint8_t *)packed)[packed_bytes + i], 0xA5);
    assert_int_equal(((uint8_t *)back)[bytes + i], 0xA5);
  }
#undef CONVERT
  free(rows), free(packed), free(back), free(same);
}

/* s8 [n, k] in blocks of 16 outputs; the sums behind them. */
static void check_s8(int64_t n, int64_t k) {
  const pith_dim dims[] = {pith_dim_of(n), pith_dim_of(k)};
  uint64_t bytes = 0, packed_bytes = 0;
  pith_error error = {0};
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, PITH_DTYPE_S8, 2, dims, &bytes, &error), PITH_OK);
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, dims, &packed_bytes, &error), PITH_OK);
  assert_int_equal(packed_bytes, (uint64_t)((n + 15) / 16 * ((k + 3) / 4 + 1) * 64));
  assert_int_equal(packed_bytes, pith_gemm_u8s8_packed_bytes((size_t)n, (size_t)k));
  int8_t *rows = new_floats((size_t)bytes / 4 + 1, 0), *packed = new_floats((size_t)packed_bytes / 4, 0xA5);
  int8_t *back = new_floats((size_t)bytes / 4 + 1, 0xA5);
  for (size_t i = 0; i < bytes; i++)
    rows[i] = (int8_t)(i * 2654435761u >> 13);
#define CONVERT(from, in, to, out)                                                                         \
  pith_layout_convert(PITH_DTYPE_S8, 2, dims, PITH_LAYOUT_##from, in, PITH_LAYOUT_##to, out, NULL, &error)
  assert_int_equal(CONVERT(ROW_MAJOR, rows, N16K4_S8, packed), PITH_OK);
  const int64_t groups = (k + 3) / 4, block = (groups + 1) * 64;
  for (int64_t o = 0; o < (n + 15) / 16 * 16; o++) {
    int32_t sum = 0, stored;
    for (int64_t i = 0; i < groups * 4; i++) {
      const int8_t value = o < n && i < k ? rows[o * k + i] : 0;
      assert_int_equal(packed[o / 16 * block + i / 4 * 64 + o % 16 * 4 + i % 4], value);
      sum += value;
    }
    memcpy(&stored, packed + o / 16 * block + groups * 64 + o % 16 * 4, sizeof stored);
    assert_int_equal(stored, sum);
  }
  assert_int_equal(CONVERT(N16K4_S8, packed, ROW_MAJOR, back), PITH_OK);
  if (bytes != 0)
    assert_memory_equal(rows, back, (size_t)bytes);
  assert_int_equal((uint8_t)packed[packed_bytes], 0xA5); /* no byte past the end */
  assert_int_equal((uint8_t)back[bytes], 0xA5);
#undef CONVERT
  free(rows), free(packed), free(back);
}

/* [n, k] of a sparse layout's dtype in which one block of 4 x `inputs` in `of` is not 0; any bits where it is not. */
static void fill_blocks(uint8_t *w, size_t n, size_t k, size_t bytes, size_t inputs, uint32_t of) {
  for (size_t o = 0; o < n; o++)
    for (size_t i = 0; i < k; i++) {
      const uint32_t block = (uint32_t)(o / 4 * 7919 + i / inputs) * 2654435761u >> 8;
      const uint32_t value = block % of == 0 ? (uint32_t)(o * k + i) * 2654435761u | 1 << 8 : 0;
      memcpy(w + (o * k + i) * bytes, &value, bytes);
    }
}

/* Through a sparse layout and back, from row-major and from the dense layout; the bytes are measured, checked and complete. */
static void check_sparse(pith_layout layout, int64_t n, int64_t k, uint32_t of) {
  const pith_dim dims[] = {pith_dim_of(n), pith_dim_of(k)};
  const pith_dtype dtype = layout == PITH_LAYOUT_B4X1_F32 ? PITH_DTYPE_F32 : PITH_DTYPE_S8;
  const pith_layout dense = dtype == PITH_DTYPE_F32 ? PITH_LAYOUT_N64_F32 : PITH_LAYOUT_N16K4_S8;
  const size_t count = (size_t)(n * k), element = dtype == PITH_DTYPE_F32 ? 4 : 1;
  uint64_t dense_bytes = 0, bytes = 0, again = 0;
  pith_error error = {0};
  assert_int_equal(pith_layout_get_bytes(dense, dtype, 2, dims, &dense_bytes, &error), PITH_OK);
  assert_int_equal(pith_layout_get_bytes(layout, dtype, 2, dims, &bytes, &error), PITH_INVALID_ARGUMENT);
  uint8_t *rows = new_floats(count, 0), *back = new_floats(count, 0xA5), *other = new_floats((size_t)dense_bytes / 4 + 1, 0xA5);
  fill_blocks(rows, (size_t)n, (size_t)k, element, layout == PITH_LAYOUT_B4X4_S8 ? 4 : 1, of);
#define MEASURE(from, in, to, out) pith_layout_measure(dtype, 2, dims, from, in, to, out, NULL, &error)
#define CONVERT(from, in, to, out) pith_layout_convert(dtype, 2, dims, from, in, to, out, NULL, &error)
  assert_int_equal(MEASURE(PITH_LAYOUT_ROW_MAJOR, rows, layout, &bytes), PITH_OK);
  assert_int_equal(pith_layout_check_bytes(layout, dtype, 2, dims, bytes, &error), PITH_OK);
  assert_int_equal(pith_layout_check_bytes(layout, dtype, 2, dims, bytes + 1, &error), PITH_FORMAT);
  assert_int_equal(pith_layout_check_bytes(layout, dtype, 2, dims, UINT64_MAX, &error), PITH_FORMAT);
  uint8_t *packed = new_floats((size_t)bytes / 4 + 1, 0xA5), *same = new_floats((size_t)bytes / 4 + 1, 0xA5);
  assert_int_equal(CONVERT(PITH_LAYOUT_ROW_MAJOR, rows, layout, packed), PITH_OK);
  assert_int_equal(packed[bytes], 0xA5);
  assert_int_equal(pith_layout_check_data(layout, dims, packed, bytes, &error), PITH_OK);
  assert_int_equal(pith_layout_check_data(layout, dims, packed, bytes - 1, &error), PITH_FORMAT);
  assert_int_equal(CONVERT(layout, packed, PITH_LAYOUT_ROW_MAJOR, back), PITH_OK);
  assert_memory_equal(back, rows, count * element);
  assert_int_equal(MEASURE(layout, packed, layout, &again), PITH_OK);
  assert_int_equal(again, bytes);
  assert_int_equal(CONVERT(layout, packed, layout, same), PITH_OK);
  assert_memory_equal(same, packed, (size_t)bytes + 1);
  assert_int_equal(CONVERT(layout, packed, dense, other), PITH_OK);
  assert_int_equal(other[dense_bytes], 0xA5);
  assert_int_equal(MEASURE(dense, other, layout, &again), PITH_OK);
  assert_int_equal(again, bytes);
  memset(same, 0xA5, (size_t)bytes);
  assert_int_equal(CONVERT(dense, other, layout, same), PITH_OK);
  assert_memory_equal(same, packed, (size_t)bytes + 1);
  const pith_tensor tensor = {.name = "w", .kind = PITH_TENSOR_CONSTANT, .dtype = dtype, .layout = layout, .rank = 2,
                              .dims = {dims[0], dims[1]}, .data = packed, .data_bytes = bytes};
  assert_int_equal(pith_tensor_unpack(&tensor, back, NULL, &error), PITH_OK);
  packed[0] = 1; /* the first start is always 0 */
  assert_int_equal(pith_tensor_unpack(&tensor, back, NULL, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "tensor 'w': its"));
#undef MEASURE
#undef CONVERT
  free(rows), free(back), free(other), free(packed), free(same);
}

/* Few bytes may not stand for a weight of any size. */
static void test_proportion(void **state) {
  (void)state;
  static const struct {
    pith_layout layout;
    pith_dtype dtype;
    int64_t n, k; /* over 256 MiB by a row of 4 */
  } rows[] = {{PITH_LAYOUT_B4X1_F32, PITH_DTYPE_F32, 1028, 65536},
              {PITH_LAYOUT_B4X1_S8, PITH_DTYPE_S8, 4100, 65536},
              {PITH_LAYOUT_B4X4_S8, PITH_DTYPE_S8, 4100, 65536}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    pith_dim dims[] = {pith_dim_of(rows[i].n), pith_dim_of(rows[i].k)};
    const pith_sparse_form form = pith_layout_get_sparse_form(rows[i].layout);
    const size_t n = (size_t)rows[i].n, least = pith_sparse_packed_bytes(form, n, 0);
    const size_t wanted = n * (size_t)rows[i].k * (rows[i].dtype == PITH_DTYPE_F32 ? 4 : 1) / 256;
    const size_t unit = pith_sparse_packed_bytes(form, n, 1) - least, units = (wanted - least + unit - 1) / unit;
    pith_error error = {0};
#define CHECK(bytes) pith_layout_check_bytes(rows[i].layout, rows[i].dtype, 2, dims, bytes, &error)
    assert_int_equal(CHECK(least), PITH_FORMAT);
    assert_non_null(strstr(error.message, "at most 256 for a byte"));
    assert_int_equal(CHECK(least + (units - 1) * unit), PITH_FORMAT);
    assert_int_equal(CHECK(least + units * unit), PITH_OK);
    dims[0] = pith_dim_of(rows[i].n - 4); /* 256 MiB exactly: all of it may be 0 */
    assert_int_equal(CHECK(pith_sparse_packed_bytes(form, n - 4, 0)), PITH_OK);
#undef CHECK
  }
}

static void test_sparse(void **state) {
  (void)state;
  static const int64_t widths[] = {0, 1, 3, 4, 5, 17, 64, 131};
  static const uint32_t shares[] = {1, 3, 1000000}; /* all blocks, a third, almost none */
  for (pith_layout layout = PITH_LAYOUT_B4X1_S8; layout <= PITH_LAYOUT_B4X1_F32; layout++)
    for (size_t n = 0; n < sizeof widths / sizeof *widths; n++)
      for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
        for (size_t s = 0; s < 3; s++)
          check_sparse(layout, widths[n], widths[k], shares[s]);
}

static void test_inverse_s8(void **state) {
  (void)state;
  static const int64_t widths[] = {0, 1, 2, 3, 4, 5, 15, 16, 17, 33, 384, 1001};
  for (size_t n = 0; n < sizeof widths / sizeof *widths; n++)
    for (size_t k = 0; k < sizeof widths / sizeof *widths; k++)
      check_s8(widths[n], widths[k]);
  check_s8(3, 65536);
}

static void test_inverse(void **state) {
  (void)state;
  for (int n = 0; n < SIZES; n++)
    for (int k = 0; k < SIZES; k++)
      check(sizes[n], sizes[k]);
}

static void test_refused(void **state) {
  (void)state;
  const pith_dim dims[] = {pith_dim_of(2), pith_dim_of(3), pith_dim_of(4)};
  _Alignas(64) uint8_t in[256] = {0}, out[256];
  pith_error error = {0};
  assert_int_equal(pith_layout_convert(PITH_DTYPE_F32, 3, dims, PITH_LAYOUT_ROW_MAJOR, in, PITH_LAYOUT_N64_F32, out, NULL,
                                       &error), PITH_FORMAT);
  assert_true(error.message[0] != '\0');
  assert_int_equal(pith_layout_convert(PITH_DTYPE_S8, 2, dims, PITH_LAYOUT_N64_F32, in, PITH_LAYOUT_ROW_MAJOR, out, NULL,
                                       &error), PITH_FORMAT);
  assert_int_equal(pith_layout_convert(PITH_DTYPE_F32, 2, dims, PITH_LAYOUT_ROW_MAJOR, in, PITH_LAYOUT_N16K4_S8, out, NULL,
                                       &error), PITH_FORMAT);
  assert_int_equal(pith_layout_convert(PITH_DTYPE_S8, 3, dims, PITH_LAYOUT_N16K4_S8, in, PITH_LAYOUT_ROW_MAJOR, out, NULL,
                                       &error), PITH_FORMAT);
  const pith_dim wide[] = {pith_dim_of(1), pith_dim_of(65537)};
  uint64_t bytes;
  assert_int_equal(pith_layout_get_bytes(PITH_LAYOUT_N16K4_S8, PITH_DTYPE_S8, 2, wide, &bytes, &error), PITH_FORMAT);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_inverse), cmocka_unit_test(test_inverse_s8),
                                     cmocka_unit_test(test_sparse), cmocka_unit_test(test_proportion),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
