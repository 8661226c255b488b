/* pith train on an INT8 model as a process: it learns, stays INT8, and ends with the same bits, whatever the threads and however often
 * it was killed. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "tests/cli/classifier_fixture.h"

static char integers[PATH_BYTES];

static int make_models(void **state) {
  (void)state;
  make_classifier();
  set_path(integers, "int8.pith");
  outcome o = run_pith(NULL, "quantize", bare, "--mode", "static", "--data", train, "-o", integers, NULL);
  if (o.status != 0)
    fail_msg("%s", o.err);
  return 0;
}

#define FAST "--lr", "3e-3", "--batch", "20", "--epochs", "4"

/* Learned from nothing, so that all ranges change: they have to go along. */
static void test_learns(void **state) {
  (void)state;
  static const char *const ranges[] = {"ema", "learned"};
  assert_true(measure(integers) < 0.8);
  for (size_t i = 0; i < 2; i++) {
    outcome o = run_pith(NULL, "train", integers, TASK, FAST, "--threads", "1", "--qat-ranges", ranges[i], "-o", out, NULL);
    assert_success(&o);
    const double accuracy = measure(out);
    if (accuracy < 0.9)
      fail_msg("ranges %s: accuracy %g", ranges[i], accuracy);
    o = run_pith(NULL, "verify", out, NULL);
    assert_success(&o);
    o = run_pith(NULL, "inspect", out, NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, "s8 n16k4_s8: "));
    o = run_pith(NULL, "inspect", out, "--program", NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, "IntegerAttention"));
  }
}

static pid_t start(const char *output, const char *more) {
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0)
      _exit(126);
    execl(PITH_COMMAND, "pith", "train", integers, TASK, FAST, "--threads", "2", "--qat-ranges", "ema", "--save-every", "5", "-o", output,
          more, NULL);
    _exit(127);
  }
  return child;
}

static void test_same_bits(void **state) {
  (void)state;
  int status;
  outcome o = run_pith(NULL, "train", integers, TASK, FAST, "--threads", "1", "--qat-ranges", "ema", "--save-every", "5", "-o", out, NULL);
  assert_success(&o);
  char state_file[700];
  snprintf(state_file, sizeof state_file, "%s.state.1", other);
  pid_t child = start(other, NULL);
  for (int i = 0; i < 3000 && access(state_file, F_OK) != 0 && access(other, F_OK) != 0; i++)
    usleep(10000);
  kill(child, SIGKILL);
  assert_int_equal(waitpid(child, &status, 0), child);
  child = start(other, "--resume");
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  expect_same_file(out, other);
}

static void test_dequantize(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", integers, TASK, "--dequantize", "--max-steps", "5", "--threads", "1", "-o", out, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", out, "--program", NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "Integer"));
}

static void test_refused(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "train", bare, TASK, "--dequantize", "-o", out, NULL);
  assert_failure(&o, 1, "dequantize goes with an INT8 model");
  o = run_pith(NULL, "train", bare, TASK, "--qat-ranges", "ema", "-o", out, NULL);
  assert_failure(&o, 1, "qat-ranges goes with an INT8 model");
  o = run_pith(NULL, "train", integers, TASK, "--qat-freeze", "0.7", "-o", out, NULL);
  assert_failure(&o, 2, "qat-freeze goes with qat-ranges ema");
  o = run_pith(NULL, "train", integers, TASK, "--attention-dropout", "0.1", "-o", out, NULL);
  assert_failure(&o, 1, "attention dropout has to be 0");
  o = run_pith(NULL, "quantize", bare, "--mode", "dynamic", "-o", other, NULL);
  assert_success(&o);
  o = run_pith(NULL, "train", other, TASK, "-o", out, NULL);
  assert_failure(&o, 1, "training it as floats (dequantize) is possible");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_learns), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_dequantize),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
