/* Files that cannot be opened or written: one message, nothing left behind, what was there untouched. */
#include "tests/engine/format_fixture.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/file_writer.h"
#include "engine/base/mapped_file.h"

/* ---- mapped files --------------------------------------------------------------------------------------- */

static void expect_unopened(const char *path, const char *reason) {
  pith_mapped_file file;
  pith_error error = {0};
  assert_int_equal(pith_mapped_file_open(path, &file, &error), PITH_IO);
  assert_null(file.bytes);
  if (strstr(error.message, reason) == NULL || strstr(error.message, path) == NULL)
    fail_msg("'%s' or the path is not in \"%s\"", reason, error.message);
  pith_mapped_file_close(&file);
}

static void test_open(void **state) {
  (void)state;
  format_folder folder;
  pith_mapped_file file;
  pith_error error = {0};
  format_folder_create(&folder);
  expect_unopened(folder.file, "No such file");
  expect_unopened(folder.path, "Is a directory");
  expect_unopened("/dev/zero", "not a regular file");
  assert_int_equal(mkfifo(folder.file, 0666), 0);
  expect_unopened(folder.file, "not a regular file"); /* and does not wait for a writer */
  assert_int_equal(unlink(folder.file), 0);
  format_write_raw(folder.file, "", 0);
  assert_int_equal(pith_mapped_file_open(folder.file, &file, &error), PITH_OK);
  assert_int_equal(file.size, 0);
  assert_null(file.bytes);
  pith_mapped_file_close(&file);
  format_write_raw(folder.file, "hello", 5);
  assert_int_equal(pith_mapped_file_open(folder.file, &file, &error), PITH_OK);
  assert_int_equal(file.size, 5);
  assert_memory_equal(file.bytes, "hello", 5);
  pith_mapped_file_close(&file);
  pith_mapped_file_close(&file);
  assert_int_equal(chmod(folder.file, 0), 0);
  const bool root = geteuid() == 0;
  if (root)
    assert_int_equal(chmod(folder.path, 0755) | seteuid(65534), 0); /* permissions do not bind root */
  expect_unopened(folder.file, "Permission denied");
  if (root)
    assert_int_equal(seteuid(0), 0);
  format_folder_remove(&folder);
}

/* ---- written files -------------------------------------------------------------------------------------- */

/* Writes `size` bytes in pieces; the first failure, or the commit's. */
static pith_status write_file(const char *path, size_t size, size_t piece, pith_error *error) {
  pith_file_writer writer;
  uint8_t *bytes = malloc(piece);
  assert_non_null(bytes);
  memset(bytes, 'w', piece);
  *error = (pith_error){0};
  pith_status status = pith_file_writer_open(&writer, path, error);
  for (size_t done = 0; status == PITH_OK && done < size; done += piece)
    status = pith_file_writer_write(&writer, bytes, size - done < piece ? size - done : piece, error);
  if (status == PITH_OK)
    status = pith_file_writer_commit(&writer, error);
  pith_file_writer_discard(&writer);
  free(bytes);
  if (status != PITH_OK)
    assert_true(error->message[0] != '\0');
  return status;
}

static void test_write(void **state) {
  (void)state;
  format_folder folder;
  pith_error error;
  format_folder_create(&folder);
  mode_t mask = umask(027);
  static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 300000}, pieces[] = {1, 1000, 65536, 100000};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
      assert_int_equal(write_file(folder.file, sizes[i], pieces[p], &error), PITH_OK);
      format_bytes file = format_read_file(folder.file);
      assert_int_equal(file.size, sizes[i]);
      for (size_t b = 0; b < file.size; b++)
        assert_int_equal(file.bytes[b], 'w');
      free(file.bytes);
      assert_int_equal(format_folder_count(&folder), 1);
    }
  struct stat status;
  assert_int_equal(stat(folder.file, &status), 0);
  assert_int_equal(status.st_mode & 0777, 0640);
  umask(mask);
  format_folder_remove(&folder);
}

static void test_align(void **state) {
  (void)state;
  format_folder folder;
  pith_file_writer writer;
  format_folder_create(&folder);
  assert_int_equal(pith_file_writer_open(&writer, folder.file, NULL), PITH_OK);
  assert_int_equal(pith_file_writer_align(&writer, 4096, NULL), PITH_OK);
  assert_int_equal(writer.position, 0);
  assert_int_equal(pith_file_writer_write(&writer, "x", 1, NULL), PITH_OK);
  assert_int_equal(pith_file_writer_align(&writer, 64, NULL), PITH_OK);
  assert_int_equal(writer.position, 64);
  assert_int_equal(pith_file_writer_align(&writer, 4096, NULL), PITH_OK);
  assert_int_equal(pith_file_writer_commit(&writer, NULL), PITH_OK);
  pith_file_writer_discard(&writer);
  format_bytes file = format_read_file(folder.file);
  assert_int_equal(file.size, 4096);
  assert_int_equal(file.bytes[0], 'x');
  for (size_t i = 1; i < file.size; i++)
    assert_int_equal(file.bytes[i], 0);
  free(file.bytes);
  format_folder_remove(&folder);
}

/* Until it is committed, a new file does not exist and an old one is whole. */
static void test_discard(void **state) {
  (void)state;
  format_folder folder;
  pith_file_writer writer;
  format_folder_create(&folder);
  format_write_raw(folder.file, "before", 6);
  assert_int_equal(pith_file_writer_open(&writer, folder.file, NULL), PITH_OK);
  assert_int_equal(pith_file_writer_write(&writer, "after", 5, NULL), PITH_OK);
  pith_file_writer_discard(&writer);
  assert_int_equal(format_folder_count(&folder), 1);
  format_bytes file = format_read_file(folder.file);
  assert_int_equal(file.size, 6);
  free(file.bytes);
  pith_file_writer_discard(&writer);
  format_folder_remove(&folder);
}

static void test_links_and_devices(void **state) {
  (void)state;
  format_folder folder;
  pith_error error;
  char target[100];
  struct stat status;
  format_folder_create(&folder);
  snprintf(target, sizeof target, "%s/target", folder.path);
  format_write_raw(target, "before", 6);
  assert_int_equal(symlink("target", folder.file), 0);
  assert_int_equal(write_file(folder.file, 9, 9, &error), PITH_OK);
  assert_int_equal(lstat(folder.file, &status), 0);
  assert_true(S_ISLNK(status.st_mode));
  format_bytes file = format_read_file(target);
  assert_int_equal(file.size, 9);
  free(file.bytes);
  assert_int_equal(format_folder_count(&folder), 2);
  format_folder_remove(&folder);
  assert_int_equal(write_file("/dev/null", 100000, 1000, &error), PITH_OK);
  assert_int_equal(stat("/dev/null", &status), 0);
  assert_true(S_ISCHR(status.st_mode)); /* not replaced */
  assert_int_equal(write_file("/dev/full", 10, 10, &error), PITH_IO);
  assert_non_null(strstr(error.message, "/dev/full: writing: No space left on device"));
}

static void test_targets_that_refuse(void **state) {
  (void)state;
  format_folder folder;
  pith_error error;
  format_folder_create(&folder);
  assert_int_equal(write_file(folder.path, 1, 1, &error), PITH_IO);
  assert_non_null(strstr(error.message, "Is a directory"));
  char path[120];
  snprintf(path, sizeof path, "%s/none/model.pith", folder.path);
  assert_int_equal(write_file(path, 1, 1, &error), PITH_IO);
  assert_non_null(strstr(error.message, "No such file or directory"));
  format_write_raw(folder.file, "before", 6);
  assert_int_equal(chmod(folder.file, 0444), 0);
  const bool root = geteuid() == 0;
  if (root) {
    assert_int_equal(chown(folder.path, 65534, 65534) | chown(folder.file, 65534, 65534), 0);
    assert_int_equal(seteuid(65534), 0);
  }
  assert_int_equal(write_file(folder.file, 1, 1, &error), PITH_IO); /* a read-only file in a folder of ours */
  assert_non_null(strstr(error.message, "cannot replace: Permission denied"));
  assert_int_equal(chmod(folder.file, 0644) | chmod(folder.path, 0555), 0);
  assert_int_equal(write_file(folder.file, 1, 1, &error), PITH_IO);
  assert_non_null(strstr(error.message, "cannot create a file here: Permission denied"));
  assert_int_equal(chmod(folder.path, 0755), 0);
  assert_int_equal(format_folder_count(&folder), 1);
  if (root)
    assert_int_equal(seteuid(0), 0);
  format_folder_remove(&folder);
}

/* A model over a limit on the size of files: at every point where it can end. */
static void test_no_room_for_a_model(void **state) {
  (void)state;
  format_folder folder;
  format_model model;
  pith_error error;
  format_model_init(&model, 1, 1);
  format_bytes whole = format_write_bytes(&model);
  format_folder_create(&folder);
  format_write_raw(folder.file, "before", 6);
  struct rlimit limit, old;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  for (size_t room = 0; room < whole.size; room += 509) {
    limit = (struct rlimit){room, old.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    pith_status status = pith_format_write(folder.file, &model.data, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, PITH_IO);
    assert_non_null(strstr(error.message, "File too large"));
    assert_int_equal(format_folder_count(&folder), 1);
    format_bytes file = format_read_file(folder.file);
    assert_int_equal(file.size, 6);
    free(file.bytes);
  }
  free(whole.bytes);
  format_model_deinit(&model);
  format_folder_remove(&folder);
}

/* A file system of 64 KiB, where one can be mounted. */
static void test_full_disk(void **state) {
  (void)state;
  format_folder folder;
  format_model model;
  pith_error error;
  format_folder_create(&folder);
  if (mount("none", folder.path, "tmpfs", 0, "size=64k") != 0) {
    assert_int_equal(rmdir(folder.path), 0);
    skip(); /* needs CAP_SYS_ADMIN */
  }
  format_model_init_large(&model, 1000);
  assert_int_equal(pith_format_write(folder.file, &model.data, &error), PITH_IO);
  assert_non_null(strstr(error.message, "No space left on device"));
  assert_int_equal(format_folder_count(&folder), 0);
  format_model_deinit(&model);
  assert_int_equal(umount(folder.path), 0);
  format_folder_remove(&folder);
}

/* Ended by a signal between a write and the commit: the folder is as it was. */
static void test_killed(void **state) {
  (void)state;
  format_folder folder;
  format_folder_create(&folder);
  static const int signals[] = {SIGINT, SIGTERM, SIGKILL};
  for (size_t i = 0; i < 3; i++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      static const uint8_t bytes[1 << 20];
      pith_file_writer writer;
      if (pith_file_writer_open(&writer, folder.file, NULL) == PITH_OK &&
          pith_file_writer_write(&writer, bytes, sizeof bytes, NULL) == PITH_OK)
        raise(signals[i]);
      _exit(1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
  }
  assert_int_equal(rmdir(folder.path), 0); /* it is empty */
  assert_int_equal(mkdir(folder.path, 0777), 0);
  format_folder_remove(&folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_killed), cmocka_unit_test(test_open),
      cmocka_unit_test(test_write),
      cmocka_unit_test(test_align),
      cmocka_unit_test(test_discard),
      cmocka_unit_test(test_links_and_devices),
      cmocka_unit_test(test_targets_that_refuse),
      cmocka_unit_test(test_no_room_for_a_model),
      cmocka_unit_test(test_full_disk),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
