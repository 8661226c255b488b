#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/command.h"

static const char *command_name; /* of this process, for its error line */

void pith_report_set_command(const char *name) {
  command_name = name;
}

int pith_report_failure(const char *format, ...) {
  char message[1200];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  for (char *c = message; *c != '\0'; c++) /* a file name may hold anything; the line stays one */
    if ((unsigned char)*c < ' ')
      *c = ' ';
  fflush(stdout);
  fprintf(stderr, "pith%s%s: %s\n", command_name == NULL ? "" : " ",
          command_name == NULL ? "" : command_name, message);
  return PITH_EXIT_FAILURE;
}

int pith_report_error(const pith_error *error) {
  return pith_report_failure("%s", error->message[0] != '\0' ? error->message
                                                             : pith_status_string(error->status));
}

int pith_report_finish(int exit_status) {
  errno = 0;
  bool failed = ferror(stdout) != 0;
  failed |= fflush(stdout) != 0;
  if (!failed || exit_status != PITH_EXIT_OK)
    return exit_status;
  return pith_report_failure("cannot write to standard output: %s",
                             errno != 0 ? strerror(errno) : "earlier write failed");
}

/* ---- JSON --------------------------------------------------------------------------------------------- */

/* Bytes of the well-formed UTF-8 character at `text` (Unicode, table 3-7), or 0. */
static size_t utf8_length(const unsigned char *text, size_t bytes) {
  unsigned char first = text[0];
  if (first < 0x80)
    return 1;
  size_t length = first >= 0xc2 && first <= 0xdf   ? 2
                  : (first & 0xf0) == 0xe0         ? 3
                  : first >= 0xf0 && first <= 0xf4 ? 4
                                                   : 0;
  if (length == 0 || length > bytes)
    return 0;
  unsigned char low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  unsigned char high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (text[1] < low || text[1] > high)
    return 0;
  for (size_t i = 2; i < length; i++)
    if ((text[i] & 0xc0) != 0x80)
      return 0;
  return length;
}

void pith_json_string(FILE *out, const char *text, size_t bytes) {
  putc('"', out);
  for (size_t i = 0; i < bytes;) {
    unsigned char c = (unsigned char)text[i];
    size_t length = utf8_length((const unsigned char *)text + i, bytes - i);
    if (length == 0)
      fputs("\xef\xbf\xbd", out);
    else if (c == '"' || c == '\\')
      fprintf(out, "\\%c", c);
    else if (c < ' ' || c == 0x7f)
      fprintf(out, "\\u%04x", c);
    else
      fwrite(text + i, 1, length, out);
    i += length == 0 ? 1 : length;
  }
  putc('"', out);
}

void pith_json_format_float(char text[PITH_JSON_FLOAT_BYTES], float value) {
  if (isfinite(value))
    snprintf(text, PITH_JSON_FLOAT_BYTES, "%.9g", (double)value);
  else
    memcpy(text, "null", 5);
}

void pith_json_float(FILE *out, float value) {
  char text[PITH_JSON_FLOAT_BYTES];
  pith_json_format_float(text, value);
  fputs(text, out);
}

void pith_json_double(FILE *out, double value) {
  if (isfinite(value))
    fprintf(out, "%.17g", value);
  else
    fputs("null", out);
}

/* ---- progress ----------------------------------------------------------------------------------------- */

uint64_t pith_now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

enum { SHOW_AFTER_NS = 2000000000, SHOW_EVERY_NS = 200000000, BAR_COLUMNS = 30 };

void pith_progress_begin(pith_progress *progress, const char *what, uint64_t total) {
  *progress = (pith_progress){
      .what = what, .total = total, .begin_ns = pith_now_ns(), .terminal = isatty(STDERR_FILENO) != 0};
  progress->step_ns = progress->begin_ns;
}

/* "  1:02:03 left" */
static void add_time(char *text, size_t bytes, double seconds) {
  const unsigned long long s = seconds < 1e9 ? (unsigned long long)seconds : 0;
  const size_t at = strlen(text);
  if (s >= 3600)
    snprintf(text + at, bytes - at, "  %llu:%02llu:%02llu left", s / 3600, s / 60 % 60, s % 60);
  else
    snprintf(text + at, bytes - at, "  %llu:%02llu left", s / 60, s % 60);
}

void pith_progress_update(pith_progress *progress, uint64_t done) {
  if (!progress->terminal)
    return;
  uint64_t now = pith_now_ns();
  if (now - progress->begin_ns < SHOW_AFTER_NS || now - progress->shown_ns < SHOW_EVERY_NS)
    return;
  progress->shown_ns = now;
  progress->shown = true;
  const double per_s = (double)(done - progress->step_done) / ((double)(now - progress->step_ns + 1) * 1e-9);
  char rate[80] = "";
  if (!progress->is_time)
    snprintf(rate, sizeof rate, per_s < 10 ? "  %.1f/s" : per_s < 1e7 ? "  %.0f/s" : "  %.1e/s", per_s);
  if (progress->has_end && per_s > 0 && done <= progress->total)
    add_time(rate, sizeof rate, (double)(progress->total - done) / per_s);
  if (progress->note[0] != '\0')
    snprintf(rate + strlen(rate), sizeof rate - strlen(rate), "  %s", progress->note);
  if (progress->total == 0) {
    fprintf(stderr, "\r%s %llu%s\033[K", progress->what, (unsigned long long)done, rate);
    return;
  }
  double share = done >= progress->total ? 1 : (double)done / (double)progress->total;
  char bar[BAR_COLUMNS + 1];
  memset(bar, ' ', BAR_COLUMNS);
  memset(bar, '=', (size_t)(share * BAR_COLUMNS));
  bar[BAR_COLUMNS] = '\0';
  fprintf(stderr, "\r%s [%s] %3.0f %%%s\033[K", progress->what, bar, share * 100, rate);
}

static void see(void *context, const char *what, uint64_t done, uint64_t total) {
  pith_progress *progress = context;
  if (strcmp(progress->what, what) != 0) {
    progress->what = what;
    progress->step_ns = pith_now_ns();
    progress->step_done = 0;
  }
  progress->total = total;
  pith_progress_update(progress, done);
}

pith_watcher pith_progress_get_watcher(pith_progress *progress) {
  return (pith_watcher){see, progress};
}

void pith_progress_end(pith_progress *progress) {
  if (progress->shown)
    fputs("\r\033[K", stderr);
  progress->shown = false;
}
