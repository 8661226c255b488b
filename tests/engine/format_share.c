/* Loading maps and does not read; processes that use one file share one copy of it. By /proc/PID/smaps. */
#include "tests/engine/format_fixture.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/mapped_file.h"

typedef struct usage {
  size_t size, rss, pss, anonymous; /* bytes, over all mappings of the file */
} usage;

static usage measure(pid_t pid, const char *path) {
  char name[40], line[512];
  snprintf(name, sizeof name, "/proc/%d/smaps", (int)pid);
  FILE *smaps = fopen(name, "r");
  assert_non_null(smaps);
  usage total = {0};
  bool ours = false;
  while (fgets(line, sizeof line, smaps) != NULL) {
    size_t kib;
    if (strchr(line, '-') != NULL && strstr(line, " kB") == NULL)
      ours = strstr(line, path) != NULL;
    else if (!ours)
      continue;
    else if (sscanf(line, "Size: %zu kB", &kib) == 1)
      total.size += kib << 10;
    else if (sscanf(line, "Rss: %zu kB", &kib) == 1)
      total.rss += kib << 10;
    else if (sscanf(line, "Pss: %zu kB", &kib) == 1)
      total.pss += kib << 10;
    else if (sscanf(line, "Anonymous: %zu kB", &kib) == 1)
      total.anonymous += kib << 10;
  }
  fclose(smaps);
  return total;
}

enum { ROWS = 8192, FILE_BYTES = ROWS * 1024 };

static void write_large(format_folder *folder) {
  format_model model;
  pith_error error = {0};
  format_folder_create(folder);
  format_model_init_large(&model, ROWS);
  if (pith_format_write(folder->file, &model.data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  format_model_deinit(&model);
}

typedef struct opened {
  pith_mapped_file file;
  pith_arena arena;
  pith_model_data data;
} opened;

static void open_file(const char *path, opened *o) {
  pith_error error = {0};
  pith_arena_init(&o->arena, NULL);
  if (pith_mapped_file_open(path, &o->file, &error) != PITH_OK ||
      pith_format_read(o->file.bytes, o->file.size, NULL, &o->arena, &o->data, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void close_file(opened *o) {
  pith_graph_destroy(o->data.graph);
  pith_arena_deinit(&o->arena);
  pith_mapped_file_close(&o->file);
}

static uint64_t read_weights(const opened *o) {
  const pith_tensor *table = &o->data.graph->tensors[pith_graph_find_tensor(o->data.graph, "table")];
  const uint8_t *bytes = table->data;
  uint64_t sum = 0;
  for (uint64_t i = 0; i < table->data_bytes; i++)
    sum += bytes[i];
  return sum;
}

static void test_loading_leaves_weights_alone(void **state) {
  (void)state;
  format_folder folder;
  opened o;
  write_large(&folder);
  open_file(folder.file, &o);
  usage after = measure(getpid(), folder.file);
  assert_true(after.size >= FILE_BYTES);
  /* A fault on the metadata's pages also maps neighbours that the page cache holds: at most 64 KiB each (fault_around_bytes). */
  print_message("loaded: %zu KiB mapped, %zu KiB resident\n", after.size >> 10, after.rss >> 10);
  assert_true(after.rss <= 128 << 10);
  assert_true(read_weights(&o) > 0);
  after = measure(getpid(), folder.file);
  assert_true(after.rss >= FILE_BYTES); /* so the figure above could have been larger */
  assert_int_equal(after.anonymous, 0); /* and nothing was copied */
  close_file(&o);
  format_folder_remove(&folder);
}

/* Opens the file, reads every weight, says so and waits to be told to go. */
static pid_t start_reader(const char *path, int *out_ready, int *out_go) {
  int ready[2], go[2];
  assert_int_equal(pipe(ready) | pipe(go), 0);
  pid_t pid = fork();
  assert_true(pid >= 0);
  if (pid == 0) {
    close(ready[0]), close(go[1]);
    opened o;
    open_file(path, &o);
    char byte = read_weights(&o) > 0 ? 'y' : 'n';
    if (write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) >= 0)
      close_file(&o);
    _exit(0);
  }
  close(ready[1]), close(go[0]);
  *out_ready = ready[0];
  *out_go = go[1];
  return pid;
}

static void test_two_processes_share_one_copy(void **state) {
  (void)state;
  format_folder folder;
  write_large(&folder);
  enum { READERS = 2 };
  pid_t pids[READERS];
  int ready[READERS], go[READERS];
  for (int i = 0; i < READERS; i++) {
    pids[i] = start_reader(folder.file, &ready[i], &go[i]);
    char byte = 0;
    assert_int_equal(read(ready[i], &byte, 1), 1);
    assert_int_equal(byte, 'y');
  }
  for (int i = 0; i < READERS; i++) {
    usage u = measure(pids[i], folder.file);
    print_message("process %d: RSS %zu KiB, PSS %zu KiB of the file\n", i, u.rss >> 10, u.pss >> 10);
    assert_true(u.rss >= FILE_BYTES);
    assert_true(u.pss >= u.rss * 45 / 100 && u.pss <= u.rss * 55 / 100);
  }
  for (int i = 0; i < READERS; i++) {
    /* A byte, and not only the end of the pipe: later readers hold copies of its other end. */
    assert_int_equal(write(go[i], "g", 1), 1);
    close(go[i]);
    close(ready[i]);
    int status;
    assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  format_folder_remove(&folder);
}

int main(void) {
  if (access("/proc/self/smaps", R_OK) != 0) {
    print_message("skipped: no /proc/self/smaps\n");
    return 77;
  }
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_loading_leaves_weights_alone),
      cmocka_unit_test(test_two_processes_share_one_copy),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
