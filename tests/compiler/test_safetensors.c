/* safetensors: what is read, and every way in which a file can lie. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/import/safetensors.h"
#include "tests/compiler/import_fixture.h"

/* A file with this header and `data_bytes` bytes of data (0, 1, 2, ...); `header_bytes` SIZE_MAX:
 * the true length. */
static unsigned char *make_file(const char *header, uint64_t header_bytes, size_t data_bytes,
                                size_t *out_size) {
  size_t length = strlen(header);
  if (header_bytes == UINT64_MAX)
    header_bytes = length;
  *out_size = 8 + length + data_bytes;
  unsigned char *bytes = malloc(*out_size);
  assert_non_null(bytes);
  for (int i = 0; i < 8; i++)
    bytes[i] = (unsigned char)(header_bytes >> 8 * i);
  memcpy(bytes + 8, header, length);
  for (size_t i = 0; i < data_bytes; i++)
    bytes[8 + length + i] = (unsigned char)i;
  return bytes;
}

#define T(name, dtype, shape, begin, end)                                                          \
  "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end   \
  "]}"

static const struct {
  const char *what, *header;
  uint64_t header_bytes;
  size_t data_bytes;
  pith_status status;
  const char *message; /* a part of it */
} bad_files[] = {
    {"header length 2^60", "{}", UINT64_C(1) << 60, 0, PITH_FORMAT, "1152921504606846976"},
    {"header length 2^64 - 1", "{}", UINT64_MAX - 1, 0, PITH_FORMAT, "header"},
    {"header longer than the file", "{}", 3, 0, PITH_FORMAT, "a header of 3 bytes"},
    {"header of no bytes", "{}", 0, 0, PITH_FORMAT, "empty"},
    {"no JSON", "{\"a\":", UINT64_MAX, 0, PITH_FORMAT, "not JSON"},
    {"two values", "{}{}", UINT64_MAX, 0, PITH_FORMAT, "follows the end"},
    {"a list", "[]", UINT64_MAX, 0, PITH_FORMAT, "not an object"},
    {"metadata that is a number", "{\"__metadata__\":1}", UINT64_MAX, 0, PITH_FORMAT,
     "__metadata__"},
    {"tensor that is a number", "{\"a\":1}", UINT64_MAX, 0, PITH_FORMAT, "'a'"},
    {"no dtype", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", UINT64_MAX, 4, PITH_FORMAT,
     "'a': no dtype"},
    {"no shape", "{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", UINT64_MAX, 4, PITH_FORMAT,
     "'a': no shape"},
    {"no offsets", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", UINT64_MAX, 4, PITH_FORMAT,
     "'a': data_offsets"},
    {"foreign key", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}",
     UINT64_MAX, 4, PITH_FORMAT, "key 'x'"},
    {"key twice",
     "{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}",
     UINT64_MAX, 4, PITH_FORMAT, "key 'dtype'"},
    {"unknown dtype", "{" T("a", "F8_E4M3", "[4]", 0, 4) "}", UINT64_MAX, 4, PITH_UNSUPPORTED,
     "F8_E4M3"},
    {"negative dimension", "{" T("a", "F32", "[-1]", 0, 4) "}", UINT64_MAX, 4, PITH_FORMAT,
     "dimension 0"},
    {"dimension 1.5", "{" T("a", "F32", "[1.5]", 0, 4) "}", UINT64_MAX, 4, PITH_FORMAT,
     "dimension 0"},
    {"dimension 1e300", "{" T("a", "F32", "[1e300]", 0, 4) "}", UINT64_MAX, 4, PITH_FORMAT,
     "dimension 0"},
    {"dimension that is a text", "{" T("a", "F32", "[\"1\"]", 0, 4) "}", UINT64_MAX, 4, PITH_FORMAT,
     "dimension 0"},
    {"shape that overflows", "{" T("a", "F32", "[4294967296,4294967296]", 0, 4) "}", UINT64_MAX, 4,
     PITH_FORMAT, "dimension 1"},
    {"bytes that overflow", "{" T("a", "F32", "[2147483648,4294967296]", 0, 4) "}", UINT64_MAX, 4,
     PITH_FORMAT, "4 bytes of data for"},
    {"rank 9", "{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", UINT64_MAX, 4, PITH_LIMIT,
     "rank over 8"},
    {"shape that disagrees with the bytes", "{" T("a", "F32", "[2]", 0, 4) "}", UINT64_MAX, 4,
     PITH_FORMAT, "4 bytes of data for 2 elements"},
    {"one offset", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", UINT64_MAX, 4,
     PITH_FORMAT, "data_offsets"},
    {"offsets that descend", "{" T("a", "F32", "[1]", 4, 0) "}", UINT64_MAX, 4, PITH_FORMAT,
     "[4, 0]"},
    {"negative offset", "{" T("a", "F32", "[1]", -4, 0) "}", UINT64_MAX, 4, PITH_FORMAT,
     "data_offsets"},
    {"offset past the end", "{" T("a", "F32", "[2]", 0, 8) "}", UINT64_MAX, 4, PITH_FORMAT,
     "[0, 8]"},
    {"overlap", "{" T("a", "F32", "[2]", 0, 8) "," T("b", "F32", "[1]", 4, 8) "}", UINT64_MAX, 8,
     PITH_FORMAT, "'b' begins at byte 4 of the data, overlapping"},
    {"two tensors of the same bytes",
     "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 0, 4) "}", UINT64_MAX, 4, PITH_FORMAT,
     "overlapping"},
    {"gap", "{" T("a", "F32", "[1]", 0, 4) "," T("b", "F32", "[1]", 8, 12) "}", UINT64_MAX, 12,
     PITH_FORMAT, "leaving a gap"},
    {"gap at the beginning", "{" T("a", "F32", "[1]", 4, 8) "}", UINT64_MAX, 8, PITH_FORMAT,
     "leaving a gap"},
    {"bytes after the last tensor", "{" T("a", "F32", "[1]", 0, 4) "}", UINT64_MAX, 5, PITH_FORMAT,
     "end at byte 4 of 5"},
    {"name twice", "{" T("a", "F32", "[1]", 0, 4) "," T("a", "F32", "[1]", 4, 8) "}", UINT64_MAX, 8,
     PITH_FORMAT, "'a' stands twice"},
};

static void expect_failure(const char *what, const void *bytes, size_t size, pith_status status,
                           const char *message) {
  pith_safetensors tensors;
  pith_error error = {PITH_OK, ""};
  pith_status got = pith_safetensors_parse(bytes, size, "bad.safetensors", NULL, &tensors, &error);
  if (got == PITH_OK)
    pith_safetensors_close(&tensors);
  if (got != status || strstr(error.message, message) == NULL)
    fail_msg("%s: %s, '%s'; expected %s, '%s'", what, pith_status_string(got), error.message,
             pith_status_string(status), message);
  assert_non_null(strstr(error.message, "bad.safetensors"));
}

static void test_bad_files(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof bad_files / sizeof *bad_files; i++) {
    size_t size;
    unsigned char *bytes =
        make_file(bad_files[i].header, bad_files[i].header_bytes, bad_files[i].data_bytes, &size);
    expect_failure(bad_files[i].what, bytes, size, bad_files[i].status, bad_files[i].message);
    free(bytes);
  }
}

static void test_short_files(void **state) {
  (void)state;
  for (size_t size = 0; size < 8; size++)
    expect_failure("short file", "\0\0\0\0\0\0\0", size, PITH_FORMAT, "at least 8");
  /* A true file cut anywhere. */
  size_t size;
  unsigned char *bytes = make_file("{" T("a", "F32", "[3]", 0, 12) "}", UINT64_MAX, 12, &size);
  for (size_t cut = 8; cut < size; cut++)
    expect_failure("cut file", bytes, cut, PITH_FORMAT, "");
  free(bytes);
}

static void test_deep_nesting(void **state) {
  (void)state;
  static const char *const openings[] = {"[", "{\"a\":"};
  for (size_t k = 0; k < 2; k++) {
    size_t unit = strlen(openings[k]), count = 1000000, size;
    char *header = malloc(unit * count + 1);
    assert_non_null(header);
    for (size_t i = 0; i < count; i++)
      memcpy(header + i * unit, openings[k], unit);
    header[unit * count] = '\0';
    unsigned char *bytes = make_file(header, UINT64_MAX, 0, &size);
    expect_failure("nesting", bytes, size, PITH_FORMAT, "nested");
    free(bytes);
    free(header);
  }
}

static void test_good_file(void **state) {
  (void)state;
  size_t size;
  unsigned char *bytes =
      make_file("{\"__metadata__\":{\"format\":\"pt\"}," T("z", "F32", "[]", 0, 4) "," T(
                    "empty", "F32", "[0,7]", 4,
                    4) "," T("a", "I64", "[1]", 4, 12) "," T("b.c", "U8", "[2,3]", 12, 18) "}   ",
                UINT64_MAX, 18, &size);
  pith_safetensors tensors;
  pith_error error;
  assert_int_equal(pith_safetensors_parse(bytes, size, "x", NULL, &tensors, &error), PITH_OK);
  assert_int_equal(tensors.count, 4);
  const pith_safetensor *z = pith_safetensors_find(&tensors, "z"),
                        *c = pith_safetensors_find(&tensors, "b.c");
  assert_non_null(z);
  assert_int_equal(z->rank, 0);
  assert_int_equal(z->count, 1);
  assert_non_null(c);
  assert_int_equal(c->dims[1], 3);
  assert_int_equal(((const unsigned char *)c->data)[0], 12);
  assert_int_equal(pith_safetensors_find(&tensors, "empty")->count, 0);
  assert_null(pith_safetensors_find(&tensors, "y"));
  float value;
  assert_int_equal(pith_safetensor_read_f32(pith_safetensors_find(&tensors, "a"), &value, &error),
                   PITH_UNSUPPORTED);
  assert_non_null(strstr(error.message, "'a'"));
  pith_safetensors_close(&tensors);
  free(bytes);
}

/* f16 by its definition, without bit tricks. */
static double half_value(uint16_t half) {
  int exponent = half >> 10 & 31, mantissa = half & 1023;
  double magnitude = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

static void test_every_f16_and_bf16(void **state) {
  (void)state;
  for (uint32_t bits = 0; bits < 65536; bits++) {
    uint16_t half = (uint16_t)bits;
    pith_safetensor tensor = {
        .name = "t", .file = "f", .dtype = PITH_DTYPE_F16, .count = 1, .data = &half};
    pith_error error;
    float value;
    pith_status status = pith_safetensor_read_f32(&tensor, &value, &error);
    if ((half >> 10 & 31) == 31) {
      assert_int_equal(status, PITH_FORMAT);
    } else {
      assert_int_equal(status, PITH_OK);
      assert_true((double)value == half_value(half));
      assert_int_equal(signbit(value) != 0, half >> 15);
    }
    tensor.dtype = PITH_DTYPE_BF16;
    status = pith_safetensor_read_f32(&tensor, &value, &error);
    uint32_t wide = bits << 16, got;
    memcpy(&got, &value, sizeof got);
    assert_int_equal(got, wide);
    assert_int_equal(status, (half >> 7 & 255) == 255 ? PITH_FORMAT : PITH_OK);
  }
}

static void test_values_that_are_not_finite(void **state) {
  (void)state;
  float values[3] = {1.0f, NAN, 2.0f}, out[3];
  double wide[2] = {0.5, 1e300}, exact[2] = {0.1, -3.0};
  pith_safetensor tensor = {.name = "layer.weight",
                            .file = "f",
                            .dtype = PITH_DTYPE_F32,
                            .count = 3,
                            .data = values,
                            .data_bytes = 12};
  pith_error error;
  assert_int_equal(pith_safetensor_read_f32(&tensor, out, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "'layer.weight': element 1 of 3 is NaN"));
  values[1] = -INFINITY;
  assert_int_equal(pith_safetensor_read_f32(&tensor, out, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "infinite"));
  tensor = (pith_safetensor){.name = "w",
                             .file = "f",
                             .dtype = PITH_DTYPE_F64,
                             .count = 2,
                             .data = wide,
                             .data_bytes = 16};
  assert_int_equal(pith_safetensor_read_f32(&tensor, out, &error), PITH_FORMAT);
  tensor.data = exact;
  assert_int_equal(pith_safetensor_read_f32(&tensor, out, &error), PITH_OK);
  assert_true(out[0] == 0.1f && out[1] == -3.0f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bad_files),          cmocka_unit_test(test_short_files),
      cmocka_unit_test(test_deep_nesting),       cmocka_unit_test(test_good_file),
      cmocka_unit_test(test_every_f16_and_bf16), cmocka_unit_test(test_values_that_are_not_finite),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
