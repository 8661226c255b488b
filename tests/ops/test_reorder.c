/* Reorders: each element is compared with where the layouts' definition puts it, and all bytes with the reference's. */
#include <string.h>

#include "ops/copy/reorder.h"
#include "tests/ops/kernel_tester.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static void check_reorder(tester *t, size_t rows, size_t features, size_t bytes, pith_activation_layout from,
                          pith_activation_layout to) {
  tester_begin(t, "reorder: %zu rows, %zu features of %zu bytes, layout %d to %d", rows, features, bytes, (int)from, (int)to);
  unsigned char *y = tester_byte_output(t, pith_activation_count(to, rows, features) * bytes);
  const size_t x_bytes = pith_activation_count(from, rows, features) * bytes;
  unsigned char *x = tester_memory(t, x_bytes, false);
  for (size_t i = 0; i < x_bytes; ++i)
    x[i] = (unsigned char)tester_random(t);
  const pith_reorder_args a = {.x = x, .y = y, .rows = rows, .features = features, .element_bytes = bytes, .from = from, .to = to};
  tester_reference(t, &a);
  for (size_t row = 0; row < rows; ++row)
    for (size_t f = 0; f < features; ++f)
      if (memcmp(y + pith_activation_index(to, features, row, f) * bytes,
                 x + pith_activation_index(from, features, row, f) * bytes, bytes) != 0)
        tester_fail(t, "element [%zu, %zu]", row, f);
  /* Tokens of a tile behind the next multiple of 16 are not touched. */
  const size_t padded = (rows + 15) / 16 * 16;
  for (size_t row = padded; to != PITH_ACTIVATION_LAYOUT_ROW_MAJOR && row % PITH_TILE_TOKENS != 0; ++row)
    for (size_t f = 0; f < features; ++f)
      for (size_t b = 0; b < bytes; ++b)
        if (y[pith_activation_index(to, features, row, f) * bytes + b] != 0xa5)
          tester_fail(t, "wrote token %zu, feature %zu", row, f);
  tester_compare(t, &a, NULL);
}

static void check_directions(tester *t, size_t rows, size_t features) {
  for (int from = 0; from < PITH_ACTIVATION_LAYOUT_COUNT; ++from)
    for (int to = 0; to < PITH_ACTIVATION_LAYOUT_COUNT; ++to)
      for (size_t bytes = 1; bytes <= 4; bytes += 3) {
        const bool by_4 = from == PITH_ACTIVATION_LAYOUT_TILE64X4 || to == PITH_ACTIVATION_LAYOUT_TILE64X4;
        if (from != to && (bytes == 1 || !by_4))
          check_reorder(t, rows, features, bytes, (pith_activation_layout)from, (pith_activation_layout)to);
      }
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_reorder_kernels);
  static const size_t rows[] = {0, 1, 15, 16, 17, 63, 64, 65, 131}, features[] = {0, 1, 3, 4, 15, 16, 17, 63, 64, 65, 150};
  for (size_t r = 0; r < COUNT(rows); ++r)
    for (size_t f = 0; f < COUNT(features); ++f)
      check_directions(&t, rows[r], features[f]);
  tester_deinit(&t);
}

/* Strides of whole pages, and enough for many tasks. */
static void test_large(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_reorder_kernels);
  check_directions(&t, 129, 1024);
  check_directions(&t, 70, 4096);
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sizes), cmocka_unit_test(test_large)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
