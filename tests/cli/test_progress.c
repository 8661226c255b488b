/* Progress bars: on a terminal, once a command has taken two seconds, and gone when it is done. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { MOST_BYTES = 1 << 16 };

/* Runs `pith` with its standard error on a terminal; what it wrote there goes to `out`. */
static void run_on_terminal(char *const *arguments, char out[MOST_BYTES]) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  assert_true(terminal >= 0);
  assert_int_equal(grantpt(terminal), 0);
  assert_int_equal(unlockpt(terminal), 0);
  const int other = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  assert_true(other >= 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);
    if (nowhere < 0 || dup2(nowhere, STDOUT_FILENO) < 0 || dup2(other, STDERR_FILENO) < 0)
      _exit(126);
    execv(PITH_COMMAND, arguments);
    _exit(127);
  }
  close(other);
  size_t bytes = 0;
  ssize_t got;
  /* Linux ends a terminal whose other side is closed with an error. */
  while (bytes < MOST_BYTES - 1 && (got = read(terminal, out + bytes, MOST_BYTES - 1 - bytes)) > 0)
    bytes += (size_t)got;
  out[bytes] = '\0';
  close(terminal);
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_int_equal(status, 0);
}

static void test_bench(void **state) {
  (void)state;
  const char *folder = getenv("TMPDIR");
  char model[600], out[MOST_BYTES];
  snprintf(model, sizeof model, "%s/pith-progress-%d.pith", folder == NULL ? "/tmp" : folder,
           (int)getpid());
  run_on_terminal((char *[]){"pith", "new", PITH_CONFIG, "--seed", "1", "-o", model, NULL}, out);
  assert_string_equal(out, ""); /* well under two seconds */
  run_on_terminal((char *[]){"pith", "bench", model, "--batch", "64", "--threads", "1", "--seq",
                             "24", "--seconds", "2.6", NULL},
                  out);
  unlink(model);
  static const char cleared[] = "\r\033[K";
  const char *first = strstr(out, "\rbench [===");
  if (first == NULL || strstr(out, " %") == NULL)
    fail_msg("no bar in '%s'", out);
  assert_true(strlen(out) > sizeof cleared);
  assert_string_equal(out + strlen(out) - strlen(cleared), cleared);
}

static double now_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Rate, time left and loss, in as many steps as take about four seconds by the time of a few. */
static void test_train(void **state) {
  (void)state;
  const char *folder = getenv("TMPDIR");
  char model[600], data[600], result[600], out[MOST_BYTES];
  folder = folder == NULL ? "/tmp" : folder;
  snprintf(model, sizeof model, "%s/pith-progress-%d.pith", folder, (int)getpid());
  snprintf(data, sizeof data, "%s/pith-progress-%d.jsonl", folder, (int)getpid());
  snprintf(result, sizeof result, "%s/pith-progress-%d-out.pith", folder, (int)getpid());
  run_on_terminal((char *[]){"pith", "new", PITH_CONFIG, "--seed", "1", "-o", model, NULL}, out);
  FILE *file = fopen(data, "w");
  assert_non_null(file);
  for (int i = 0; i < 400; i++)
    fprintf(file, "{\"ids\":[1,%d,%d,%d,%d,%d,%d,%d,%d,2],\"label\":%d}\n", i % 9, i % 11, i % 7, i % 40, i % 5, i % 31, i % 13, i % 20,
            i % 3);
  fclose(file);
  char steps[24] = "4";
  char *const train[] = {"pith", "train", model, "--task", "classification", "--data", data, "--threads", "1",
                         "--batch", "400", "--max-steps", steps, "-o", result, NULL};
  const double begin = now_seconds();
  run_on_terminal(train, out);
  unlink(result);
  snprintf(steps, sizeof steps, "%.0f", 8 + 4 * 4 / (now_seconds() - begin));
  run_on_terminal(train, out);
  unlink(model);
  unlink(data);
  unlink(result);
  const char *bar = strstr(out, "\rtrain [");
  if (bar == NULL || strstr(bar, "/s  0:0") == NULL || strstr(bar, " left  loss ") == NULL)
    fail_msg("no bar in '%.300s'", out);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_bench), cmocka_unit_test(test_train)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
