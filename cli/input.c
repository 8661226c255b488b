#include "cli/input.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

pith_status pith_input_open(pith_input *input, const char *path, bool json_lines, pith_error *error) {
  size_t path_bytes = strlen(path);
  *input = (pith_input){.path = path, .json_lines = json_lines};
  if (path_bytes >= 6 && strcmp(path + path_bytes - 6, ".jsonl") == 0)
    input->json_lines = true;
  input->file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
  struct stat info;
  if (input->file == NULL || fstat(fileno(input->file), &info) != 0)
    return pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
  if (S_ISDIR(info.st_mode)) {
    pith_input_close(input);
    return pith_fail(error, PITH_IO, "%s: is a folder", path);
  }
  input->total_bytes = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
  input->interactive = isatty(fileno(input->file)) != 0;
  return PITH_OK;
}

pith_status pith_input_next(pith_input *input, pith_arena *arena, pith_dataset_row *out_row, bool *out_end,
                            pith_error *error) {
  for (;;) {
    errno = 0;
    ssize_t length = getline(&input->buffer, &input->capacity, input->file);
    *out_end = length < 0;
    if (length < 0) {
      if (ferror(input->file) || errno == ENOMEM)
        return pith_fail(error, PITH_IO, "%s: line %llu: %s", input->path, (unsigned long long)input->line + 1,
                         strerror(errno));
      return PITH_OK;
    }
    input->line++;
    input->bytes += (uint64_t)length;
    size_t bytes = (size_t)length;
    bytes -= bytes > 0 && input->buffer[bytes - 1] == '\n';
    bytes -= bytes > 0 && input->buffer[bytes - 1] == '\r';
    if (input->json_lines && bytes == 0)
      continue;
    char where[300];
    snprintf(where, sizeof where, "%.250s: line %llu", input->path, (unsigned long long)input->line);
    const char *zero = memchr(input->buffer, '\0', bytes);
    if (zero != NULL)
      return pith_fail(error, PITH_FORMAT, "%s: a zero byte at %zu: not text", where,
                       (size_t)(zero - input->buffer));
    if (input->json_lines)
      return pith_dataset_parse_line(input->buffer, bytes, where, arena, out_row, error);
    *out_row = (pith_dataset_row){.text = pith_arena_string(arena, input->buffer, bytes), .label = NAN};
    return out_row->text != NULL ? PITH_OK
                                 : pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu bytes", where, bytes);
  }
}

void pith_input_close(pith_input *input) {
  if (input->file != NULL && input->file != stdin)
    fclose(input->file);
  free(input->buffer);
  *input = (pith_input){0};
}
