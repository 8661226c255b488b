#include "command_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[400];

const char *in_folder(const char *name) {
  static char paths[64][600];
  static size_t next;
  if (folder[0] == '\0') {
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/pith-command-XXXXXX", base == NULL ? "/tmp" : base);
    assert_non_null(mkdtemp(folder));
  }
  char *path = paths[next++ % 64];
  snprintf(path, sizeof paths[0], "%s/%s", folder, name);
  return path;
}

void remove_folder(void) {
  DIR *entries = folder[0] == '\0' ? NULL : opendir(folder);
  for (struct dirent *entry; entries != NULL && (entry = readdir(entries)) != NULL;)
    if (entry->d_name[0] != '.' || strlen(entry->d_name) > 2)
      unlink(in_folder(entry->d_name));
  if (entries != NULL)
    closedir(entries);
  rmdir(folder);
}

void write_text(const char *path, const char *text, size_t bytes) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
}

static char *read_all(const char *path, size_t *out_bytes) {
  static char *kept[128];
  static size_t next;
  FILE *file = fopen(path, "r");
  assert_non_null(file);
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long size = ftell(file);
  rewind(file);
  char **place = &kept[next++ % 128];
  free(*place);
  *place = malloc((size_t)size + 1);
  assert_non_null(*place);
  *out_bytes = fread(*place, 1, (size_t)size, file);
  (*place)[*out_bytes] = '\0';
  fclose(file);
  return *place;
}

enum { ARGUMENTS_MAX = 32 };

static outcome run(const char *out_path, const char *input, va_list list) {
  char *arguments[ARGUMENTS_MAX] = {(char *)PITH_COMMAND};
  size_t count = 1;
  while ((arguments[count] = va_arg(list, char *)) != NULL)
    assert_true(++count < ARGUMENTS_MAX);
  char in[600], out[600], err[600];
  snprintf(in, sizeof in, "%s", in_folder("stdin"));
  snprintf(out, sizeof out, "%s", out_path != NULL ? out_path : in_folder("stdout"));
  snprintf(err, sizeof err, "%s", in_folder("stderr"));
  write_text(in, input == NULL ? "" : input, input == NULL ? 0 : strlen(input));
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    int fds[3] = {open(in, O_RDONLY), open(out, O_WRONLY | O_CREAT | O_TRUNC, 0666),
                  open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666)};
    for (int i = 0; i < 3; i++)
      if (fds[i] < 0 || dup2(fds[i], i) < 0)
        _exit(126);
    execv(PITH_COMMAND, arguments);
    _exit(127);
  }
  int status;
  assert_int_equal(waitpid(child, &status, 0), child);
  outcome o = {.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status)};
  o.out = out_path != NULL ? NULL : read_all(out, &o.out_bytes);
  o.err = read_all(err, &o.err_bytes);
  return o;
}

outcome run_pith(const char *input, ...) {
  va_list list;
  va_start(list, input);
  outcome o = run(NULL, input, list);
  va_end(list);
  return o;
}

outcome run_pith_to(const char *path, const char *input, ...) {
  va_list list;
  va_start(list, input);
  outcome o = run(path, input, list);
  va_end(list);
  return o;
}

void assert_failure(const outcome *o, int status, const char *says) {
  const char *newline = strchr(o->err, '\n');
  if (o->status != status || strncmp(o->err, "pith", 4) != 0 || newline == NULL || newline[1] != '\0' ||
      strstr(o->err, says) == NULL)
    fail_msg("exit %d (not %d), standard error '%s', wanted one line with '%s'", o->status, status, o->err, says);
  if (o->out != NULL && o->out_bytes != 0)
    fail_msg("a failure wrote to standard output: '%.200s'", o->out);
}

void assert_success(const outcome *o) {
  if (o->status != 0 || o->err_bytes != 0)
    fail_msg("exit %d, standard error '%s'", o->status, o->err);
}
