/* Texts from the command line, from a file or from standard input, one at a time: a file of any size streams. */
#ifndef PITH_CLI_INPUT_H
#define PITH_CLI_INPUT_H

#include "cli/command.h"
#include "models/tasks/dataset.h"

typedef struct pith_input {
  const char *path; /* "-": standard input */
  int fd;           /* -1: closed */
  bool json_lines, ended;
  uint64_t line, total_bytes; /* lines read; size of a regular file, else 0 */
  uint64_t bytes;             /* of the lines read so far */
  char *buffer;               /* read and not yet taken: [begin, end); no line end in [begin, scanned) */
  size_t begin, scanned, end, capacity;
} pith_input;

/* `json_lines` forces JSON lines; otherwise the path's .jsonl says so. */
PITH_WARN_UNUSED pith_status pith_input_open(pith_input *input, const char *path, bool json_lines,
                                             pith_error *error);
/* The next row, its texts in `arena`; *out_end instead where there is no more. A line of a text file is a text, an empty
 * one too. A byte order mark at the beginning is left out. */
PITH_WARN_UNUSED pith_status pith_input_next(pith_input *input, pith_arena *arena, pith_dataset_row *out_row,
                                             bool *out_end, pith_error *error);
/* The next line, or the end, is there without waiting for who writes it. Answers that are due go out before a wait. */
bool pith_input_is_ready(pith_input *input);
void pith_input_close(pith_input *input);

#endif
