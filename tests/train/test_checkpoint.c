/* Checkpoints: what is written comes back, of the newest generation that is whole; whatever is cut off, damaged or another
 * run's is told; a write that fails or is killed takes nothing away. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/checkpoint.h"

enum { BIG = 300000, PIECES = 3 };
static char base[400], path[420];
static pith_error error;
static uint8_t big[BIG];
static uint64_t small[2];
static const pith_checkpoint_piece pieces[PIECES] = {{small, sizeof small}, {NULL, 0}, {big, BIG}};
static const pith_checkpoint_key key = {.model = {1}, .data = {2}, .options = {3}};

static const char *file_of(int which) {
  snprintf(path, sizeof path, "%s.%d", base, which);
  return path;
}

static int make_base(void **state) {
  (void)state;
  const char *folder = getenv("TMPDIR");
  snprintf(base, sizeof base, "%s/pith-%d-checkpoint", folder == NULL ? "/tmp" : folder, (int)getpid());
  signal(SIGXFSZ, SIG_IGN);
  return 0;
}

static int clean(void **state) {
  (void)state;
  pith_checkpoint_remove(base);
  assert_int_equal(access(file_of(0), F_OK), -1);
  assert_int_equal(access(file_of(1), F_OK), -1);
  return 0;
}

static void fill(uint64_t generation) {
  small[0] = generation;
  small[1] = ~generation;
  for (size_t i = 0; i < BIG; i++)
    big[i] = (uint8_t)(i * 7 + generation);
}

static void write_generation(uint64_t generation) {
  fill(generation);
  if (pith_checkpoint_write(base, generation, &key, pieces, PIECES, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void expect_generation(uint64_t wanted) {
  uint64_t found = 99;
  fill(77);
  if (pith_checkpoint_read(base, &key, pieces, PIECES, &found, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(found, wanted);
  if (wanted == 0)
    wanted = 77;
  assert_true(small[0] == wanted && small[1] == ~wanted);
  for (size_t i = 0; i < BIG; i++)
    assert_int_equal(big[i], (uint8_t)(i * 7 + wanted));
}

static void expect_failure(const pith_checkpoint_key *with, size_t count, pith_status status, const char *says) {
  uint64_t found;
  const pith_status is = pith_checkpoint_read(base, with, pieces, count, &found, &error);
  if (is != status || strstr(error.message, says) == NULL)
    fail_msg("status %d, '%s', not '%s'", (int)is, error.message, says);
}

static void test_generations(void **state) {
  (void)state;
  expect_generation(0);
  for (uint64_t generation = 1; generation <= 4; generation++) {
    write_generation(generation);
    expect_generation(generation);
  }
  assert_int_equal(truncate(file_of(0), 100), 0);
  expect_generation(3);
}

/* Every way in which the newest can be short or wrong: the one before is taken; with that gone too, it is an error. */
static void test_damage(void **state) {
  (void)state;
  enum { WHOLE = 120 + PIECES * 8 + 16 + BIG + 32 };
  static const struct {
    long size, at; /* cut to this size; else the byte that is changed */
    const char *says;
  } cases[] = {
      {1, 0, "cut off: it has 1 bytes"},    {119, 0, "cut off"},        {130, 0, "cut off"},
      {200, 0, "cut off"},                  {WHOLE - 1, 0, "cut off"},  {WHOLE, 0, "is no checkpoint"},
      {WHOLE, 9, "damaged"},                {WHOLE, 20, "damaged"},     {WHOLE, 112, "damaged"},
      {WHOLE, 119, "damaged"},              {WHOLE, 121, "cut off"},    {WHOLE, 143, "cut off"},
      {WHOLE, 150, "damaged"},              {WHOLE, WHOLE - 1, "damaged"}, {WHOLE + 1, -1, "damaged"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_generation(1);
    write_generation(2);
    FILE *file = fopen(file_of(0), "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    assert_int_equal(ftell(file), WHOLE);
    if (cases[i].size == WHOLE) {
      assert_int_equal(fseek(file, cases[i].at, SEEK_SET), 0);
      const int was = fgetc(file);
      assert_int_equal(fseek(file, cases[i].at, SEEK_SET), 0);
      fputc(was ^ (cases[i].at == 119 ? 0x40 : 1), file);
    }
    fclose(file);
    assert_int_equal(truncate(file_of(0), cases[i].size), 0);
    expect_generation(1);
    assert_int_equal(unlink(file_of(1)), 0);
    expect_failure(&key, PIECES, PITH_FORMAT, cases[i].says);
  }
}

static void test_foreign(void **state) {
  (void)state;
  write_generation(1);
  write_generation(2);
  static const struct {
    pith_checkpoint_key key;
    size_t count;
    const char *says;
  } cases[] = {
      {{.model = {9}, .data = {2}, .options = {3}}, PIECES, "its model differs"},
      {{.model = {1}, .data = {9}, .options = {3}}, PIECES, "its data differ"},
      {{.model = {1}, .data = {2}, .options = {9}}, PIECES, "its options differ"},
      {{.model = {1}, .data = {2}, .options = {3}}, PIECES - 1, "other sizes"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    expect_failure(&cases[i].key, cases[i].count, PITH_INVALID_ARGUMENT, cases[i].says);
}

static void test_full_disk(void **state) {
  (void)state;
  write_generation(1);
  write_generation(2);
  struct rlimit was, less;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
  for (rlim_t limit = 0; limit < BIG; limit += 70000) {
    less = was;
    less.rlim_cur = limit;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
    fill(3);
    const pith_status status = pith_checkpoint_write(base, 3, &key, pieces, PIECES, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(status, PITH_IO);
    assert_non_null(strstr(error.message, "File too large"));
    expect_generation(2);
    assert_int_equal(truncate(file_of(0), 50), 0); /* and the one before it is still there */
    expect_generation(1);
    write_generation(2);
  }
  assert_int_equal(pith_checkpoint_write("/nowhere/c", 1, &key, pieces, PIECES, &error), PITH_IO);
}

/* A process that does nothing but write generations is killed at twenty moments. */
static void test_kill(void **state) {
  (void)state;
  uint64_t newest = 0;
  for (int round = 0; round < 20; round++) {
    int report[2];
    assert_int_equal(pipe(report), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      for (uint64_t generation = newest + 1;; generation++) {
        fill(generation);
        if (pith_checkpoint_write(base, generation, &key, pieces, PIECES, NULL) != PITH_OK ||
            write(report[1], &generation, sizeof generation) != sizeof generation)
          _exit(1);
      }
    }
    close(report[1]);
    uint64_t done = 0, last = newest;
    assert_int_equal(read(report[0], &done, sizeof done), sizeof done);
    last = done;
    usleep((useconds_t)(round * 523));
    kill(child, SIGKILL);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    while (read(report[0], &done, sizeof done) == sizeof done)
      last = done;
    close(report[0]);
    uint64_t found;
    assert_int_equal(pith_checkpoint_read(base, &key, pieces, PIECES, &found, &error), PITH_OK);
    assert_true(found == last || found == last + 1);
    expect_generation(found);
    newest = found;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_teardown(test_generations, clean), cmocka_unit_test_teardown(test_damage, clean),
      cmocka_unit_test_teardown(test_foreign, clean), cmocka_unit_test_teardown(test_full_disk, clean),
      cmocka_unit_test_teardown(test_kill, clean)};
  return cmocka_run_group_tests(tests, make_base, NULL);
}
