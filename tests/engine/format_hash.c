/* SHA-256 against the published examples (FIPS 180-4 and NIST's example values), and in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect(const char *text, size_t repeats, const char *hex) {
  pith_sha256 hash;
  uint8_t digest[PITH_SHA256_BYTES];
  char found[2 * PITH_SHA256_BYTES + 1];
  pith_sha256_init(&hash);
  for (size_t i = 0; i < repeats; i++)
    pith_sha256_update(&hash, text, strlen(text));
  pith_sha256_finish(&hash, digest);
  pith_sha256_format(digest, sizeof digest, found);
  assert_string_equal(found, hex);
}

static void test_published_values(void **state) {
  (void)state;
  expect("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  expect("abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
         1, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  expect("a", 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void test_pieces_of_any_size(void **state) {
  (void)state;
  uint8_t data[300], whole[PITH_SHA256_BYTES], pieces[PITH_SHA256_BYTES];
  for (size_t i = 0; i < sizeof data; i++)
    data[i] = (uint8_t)(i * 7);
  for (size_t size = 0; size <= sizeof data; size++) {
    pith_sha256_digest(data, size, whole);
    for (size_t piece = 1; piece <= 130; piece += 3) {
      pith_sha256 hash;
      pith_sha256_init(&hash);
      for (size_t at = 0; at < size; at += piece)
        pith_sha256_update(&hash, data + at, size - at < piece ? size - at : piece);
      pith_sha256_finish(&hash, pieces);
      assert_memory_equal(whole, pieces, sizeof whole);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_published_values),
                                     cmocka_unit_test(test_pieces_of_any_size)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
