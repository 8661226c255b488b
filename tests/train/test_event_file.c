/* Event files: the bytes of tests/golden/tensorboard, which TensorBoard's own reader has accepted (read.py there). */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/event_file.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/tensorboard/golden.tfevents"

static char path[400];
static pith_error error;

static const char *make_path(void) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/pith-%d.tfevents", folder == NULL ? "/tmp" : folder, (int)getpid());
  return path;
}

static size_t read_file(const char *from, uint8_t *out, size_t most) {
  FILE *file = fopen(from, "rb");
  assert_non_null(file);
  const size_t size = fread(out, 1, most, file);
  assert_true(size < most);
  fclose(file);
  return size;
}

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

/* What read.py expects: PITH_WRITE_GOLDEN names where to write it anew. */
static void test_golden(void **state) {
  (void)state;
  const char *rewrite = getenv("PITH_WRITE_GOLDEN");
  pith_event_file events;
  MUST(pith_event_file_open(&events, rewrite != NULL ? rewrite : make_path(), 1.75e9, &error));
  for (int step = 0; step <= 400; step += 100) {
    MUST(pith_event_file_add(&events, 1.75e9 + step, step, "loss", 1.0f / (float)(step + 1), &error));
    MUST(pith_event_file_add(&events, 1.75e9 + step, step, "eval/accuracy", (float)step / 512, &error));
  }
  MUST(pith_event_file_restart(&events, 1.75e9 + 500, 300, &error)); /* 300 and 400 come again */
  MUST(pith_event_file_add(&events, 1.75e9 + 501, 300, "loss", 0.125f, &error));
  MUST(pith_event_file_add(&events, 1.75e9 + 502, INT64_C(5000000000), "loss", -INFINITY, &error));
  pith_event_file_close(&events);
  static uint8_t is[4096], wanted[4096];
  const size_t size = read_file(rewrite != NULL ? rewrite : path, is, sizeof is);
  assert_int_equal(size, read_file(GOLDEN, wanted, sizeof wanted));
  assert_memory_equal(is, wanted, size);
  unlink(path);
}

static void test_failures(void **state) {
  (void)state;
  pith_event_file events;
  assert_int_equal(pith_event_file_open(&events, "/nowhere/x.tfevents", 0, &error), PITH_IO);
  assert_non_null(strstr(error.message, "/nowhere/x.tfevents"));
  pith_event_file_close(&events);
  MUST(pith_event_file_open(&events, make_path(), 0, &error));
  char tag[PITH_EVENT_MAX_TAG_BYTES + 2];
  memset(tag, 'x', sizeof tag - 1);
  tag[sizeof tag - 1] = '\0';
  assert_int_equal(pith_event_file_add(&events, 0, 1, tag, 0, &error), PITH_LIMIT);
  MUST(pith_event_file_add(&events, 0, INT64_MAX, tag + 1, 0, &error));
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit was, small;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
  small = was;
  small.rlim_cur = 300;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
  pith_status status = PITH_OK;
  for (int i = 0; i < 10 && status == PITH_OK; i++)
    status = pith_event_file_add(&events, 0, i, "loss", 0, &error);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
  assert_int_equal(status, PITH_IO);
  assert_non_null(strstr(error.message, "File too large"));
  pith_event_file_close(&events);
  unlink(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_failures)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
