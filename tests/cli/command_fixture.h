/* Runs the command as a user does: a process, its streams, its exit status. */
#ifndef PITH_TESTS_COMMAND_FIXTURE_H
#define PITH_TESTS_COMMAND_FIXTURE_H

#include <stddef.h>

typedef struct outcome {
  int status;      /* exit status; 128 + signal where one ended it */
  char *out, *err; /* zero-terminated; good until the 64th call after this */
  size_t out_bytes, err_bytes;
} outcome;

/* Runs `pith` with these arguments (a NULL at the end); `input`, or NULL, is its standard input. */
outcome run_pith(const char *input, ...) __attribute__((sentinel));
/* The same with standard output going to `path`. */
outcome run_pith_to(const char *path, const char *input, ...) __attribute__((sentinel));

/* A folder of this process, made at first use and removed by remove_folder; "FOLDER/name", good for the next 15 runs. */
const char *in_folder(const char *name);
void remove_folder(void);
void write_text(const char *path, const char *text, size_t bytes);

/* One line on standard error that begins with "pith", nothing on standard output. */
void assert_failure(const outcome *o, int status, const char *says);
void assert_success(const outcome *o);

#endif
