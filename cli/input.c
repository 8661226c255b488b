#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 1 << 16 };

pith_status pith_input_open(pith_input *input, const char *path, bool json_lines, pith_error *error) {
  size_t path_bytes = strlen(path);
  *input = (pith_input){.path = path, .json_lines = json_lines};
  if (path_bytes >= 6 && strcmp(path + path_bytes - 6, ".jsonl") == 0)
    input->json_lines = true;
  input->fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
  struct stat info;
  if (input->fd < 0 || fstat(input->fd, &info) != 0)
    return pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
  if (S_ISDIR(info.st_mode)) {
    pith_input_close(input);
    return pith_fail(error, PITH_IO, "%s: is a folder", path);
  }
  input->total_bytes = S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
  return PITH_OK;
}

/* ---- bytes -------------------------------------------------------------------------------------------- */

/* The end of the first whole line in the buffer, or NULL. */
static const char *find_line_end(pith_input *input) {
  if (input->scanned == input->end)
    return NULL;
  const char *found = memchr(input->buffer + input->scanned, '\n', input->end - input->scanned);
  input->scanned = found != NULL ? (size_t)(found - input->buffer) : input->end;
  return found;
}

/* One read, which waits where nothing has arrived; 0, or an errno. */
static int read_more(pith_input *input) {
  if (input->begin != 0) {
    if (input->end != input->begin)
      memmove(input->buffer, input->buffer + input->begin, input->end - input->begin);
    input->scanned -= input->begin;
    input->end -= input->begin;
    input->begin = 0;
  }
  if (input->capacity - input->end < READ_BYTES) {
    size_t capacity;
    if (!pith_size_multiply(input->capacity + READ_BYTES, 2, &capacity))
      return ENOMEM;
    char *buffer = realloc(input->buffer, capacity);
    if (buffer == NULL)
      return ENOMEM;
    input->buffer = buffer;
    input->capacity = capacity;
  }
  ssize_t bytes;
  do
    bytes = read(input->fd, input->buffer + input->end, input->capacity - input->end);
  while (bytes < 0 && errno == EINTR);
  if (bytes < 0)
    return errno;
  input->ended = bytes == 0;
  input->end += (size_t)bytes;
  return 0;
}

bool pith_input_is_ready(pith_input *input) {
  while (!input->ended && find_line_end(input) == NULL) {
    struct pollfd ready = {.fd = input->fd, .events = POLLIN};
    if (poll(&ready, 1, 0) <= 0)
      return false;
    if (read_more(input) != 0)
      return true; /* pith_input_next meets it again and says so */
  }
  return true;
}

/* ---- rows --------------------------------------------------------------------------------------------- */

/* The next line, its line end left out, good until the next call. False at the end. */
static pith_status next_line(pith_input *input, const char **out_line, size_t *out_bytes, bool *out_end,
                             pith_error *error) {
  const char *newline;
  while ((newline = find_line_end(input)) == NULL && !input->ended) {
    int reason = read_more(input);
    if (reason != 0)
      return pith_fail(error, PITH_IO, "%s: line %llu: %s", input->path, (unsigned long long)input->line + 1,
                       strerror(reason));
  }
  *out_end = newline == NULL && input->begin == input->end;
  if (*out_end)
    return PITH_OK;
  const char *line = input->buffer + input->begin;
  size_t bytes = newline != NULL ? (size_t)(newline - line) : input->end - input->begin;
  size_t taken = bytes + (newline != NULL);
  input->begin += taken;
  input->scanned = input->begin;
  input->bytes += taken;
  input->line++;
  bytes -= bytes > 0 && line[bytes - 1] == '\r';
  if (input->line == 1 && bytes >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
    line += 3;
    bytes -= 3;
  }
  *out_line = line;
  *out_bytes = bytes;
  return PITH_OK;
}

pith_status pith_input_next(pith_input *input, pith_arena *arena, pith_dataset_row *out_row, bool *out_end,
                            pith_error *error) {
  const char *line = NULL;
  size_t bytes = 0;
  do {
    PITH_TRY(next_line(input, &line, &bytes, out_end, error));
    if (*out_end)
      return PITH_OK;
  } while (input->json_lines && bytes == 0);
  char where[300];
  snprintf(where, sizeof where, "%.250s: line %llu", input->path, (unsigned long long)input->line);
  const char *zero = bytes == 0 ? NULL : memchr(line, '\0', bytes);
  if (zero != NULL)
    return pith_fail(error, PITH_FORMAT, "%s: a zero byte at %zu: not text", where, (size_t)(zero - line));
  if (input->json_lines) {
    PITH_TRY(pith_dataset_parse_line(line, bytes, where, NULL, arena, out_row, error));
  } else {
    *out_row = (pith_dataset_row){.text = pith_arena_string(arena, line, bytes), .label = NAN};
    if (out_row->text == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu bytes", where, bytes);
  }
  out_row->line = input->line;
  return PITH_OK;
}

void pith_input_close(pith_input *input) {
  if (input->fd > STDIN_FILENO)
    close(input->fd);
  free(input->buffer);
  *input = (pith_input){.fd = -1};
}
