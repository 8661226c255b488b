/* docs/operators.md is what the tables print, the engine's and training's. PITH_REWRITE_DOCS=1 writes it instead of comparing.
 */
#include "tests/engine/ir_fixture.h"
#include "train/operators.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char path[] = PITH_SOURCE_DIR "/docs/operators.md";

static void test_page_is_current(void **state) {
  (void)state;
  fixture_text page;
  pith_text_sink sink = fixture_text_sink(&page);
  pith_operators_print_markdown(&sink);
  pith_training_operators_print_markdown(&sink);
  const char *rewrite = getenv("PITH_REWRITE_DOCS");
  if (rewrite != NULL && strcmp(rewrite, "1") == 0) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(page.text, 1, page.bytes, file), page.bytes);
    assert_int_equal(fclose(file), 0);
  }
  FILE *file = fopen(path, "r");
  if (file == NULL)
    fail_msg("%s cannot be read", path);
  size_t line = 1;
  for (size_t i = 0; i < page.bytes; i++) {
    int c = fgetc(file);
    if (c != (unsigned char)page.text[i])
      fail_msg("%s:%zu is not what the table prints; PITH_REWRITE_DOCS=1 rewrites it", path, line);
    line += c == '\n';
  }
  assert_int_equal(fgetc(file), EOF);
  fclose(file);
  fixture_text_free(&page);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_page_is_current)};
  return cmocka_run_group_tests_name("ir_docs", tests, NULL, NULL);
}
