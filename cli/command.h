/* The command's frame: a table of subcommands, a table of options for each. Parsing, --help, the man page and shell
 * completion are all made from these two tables. */
#ifndef PITH_CLI_COMMAND_H
#define PITH_CLI_COMMAND_H

#include <stdbool.h>
#include <stdio.h>

#include "compiler/suggest.h"
#include "engine/base/error.h"
#include "engine/base/watcher.h"

enum { PITH_EXIT_OK = 0, PITH_EXIT_FAILURE = 1, PITH_EXIT_USAGE = 2 };

typedef enum pith_option_type {
  PITH_OPTION_FLAG,   /* bool, no argument */
  PITH_OPTION_TEXT,   /* const char * */
  PITH_OPTION_FILE,   /* const char *; completed as a file name */
  PITH_OPTION_COUNT,  /* uint64_t, minimum..maximum */
  PITH_OPTION_NUMBER, /* double, above 0 */
  PITH_OPTION_FEATURES, /* uint64_t, bits of pith_cpu_features from names between commas */
} pith_option_type;

typedef struct pith_option {
  const char *name; /* without dashes; NULL ends a table */
  char letter;      /* the short form, or 0 */
  bool required;
  pith_option_type type;
  const char *argument; /* as help shows it: "FILE"; NULL for a flag */
  size_t offset;        /* of the field in the subcommand's settings */
  uint64_t minimum, maximum;
  const char *help;
} pith_option;

typedef struct pith_command {
  const char *name;
  const char *operand; /* "M.pith" */
  const char *summary; /* one line, no full stop */
  const char *details; /* a paragraph for help and the man page */
  const pith_option *options;
  const void *defaults; /* the settings before parsing; they begin with `const char *operand` */
  size_t settings_bytes;
  int (*run)(const void *settings); /* an exit status */
} pith_command;

enum { PITH_SETTINGS_MAX_BYTES = 1024 };

extern const pith_command *const pith_commands[]; /* NULL-terminated */

/* ---- parsing (options.c) ------------------------------------------------------------------------------ */

/* Parses what follows the subcommand's name and runs it. */
int pith_command_main(const pith_command *command, int argument_count, char *const *arguments);
const pith_command *pith_command_find(const char *name); /* NULL: none */
void pith_command_print_help(const pith_command *command, FILE *out);
void pith_commands_print_help(FILE *out);

/* Wrong usage: one line on standard error, and PITH_EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int pith_usage_error(const char *format, ...);

/* ---- generated pages (generate.c) --------------------------------------------------------------------- */
/* `what` is "man", "bash" or "schema". */
int pith_generate(const char *what, FILE *out);

/* ---- failing and reporting (report.c) ----------------------------------------------------------------- */

/* One line on standard error that says what and why, and PITH_EXIT_FAILURE. */
int pith_report_error(const pith_error *error);
__attribute__((format(printf, 1, 2))) int pith_report_failure(const char *format, ...);
/* The subcommand's name before such a line; set once by pith_command_main. */
void pith_report_set_command(const char *name);

/* Everything written to standard output has arrived, or PITH_EXIT_FAILURE with its line. */
int pith_report_finish(int exit_status);

/* JSON pieces on a stream. Text that is not UTF-8 is written with U+FFFD for each bad byte; numbers with the digits that
 * give the same float or double back; not finite: null. */
void pith_json_string(FILE *out, const char *text, size_t bytes);
void pith_json_float(FILE *out, float value);
enum { PITH_JSON_FLOAT_BYTES = 24 }; /* sign, 9 digits, point, exponent, zero */
void pith_json_format_float(char text[PITH_JSON_FLOAT_BYTES], float value);
void pith_json_double(FILE *out, double value);

/* A progress bar on standard error, where that is a terminal and the work has taken two seconds. */
typedef struct pith_progress {
  const char *what;
  uint64_t total; /* 0: unknown */
  uint64_t step_done; /* of it, when this step began */
  uint64_t begin_ns, step_ns, shown_ns;
  bool terminal, shown;
  bool is_time; /* what is counted: it has no rate */
  bool has_end; /* when it will be done is shown too */
  char note[48]; /* shown last; the caller's */
} pith_progress;
void pith_progress_begin(pith_progress *progress, const char *what, uint64_t total);
void pith_progress_update(pith_progress *progress, uint64_t done);
void pith_progress_end(pith_progress *progress);
/* A bar for a job of several steps, all of whose time counts. `progress` was begun with the first one's name. */
pith_watcher pith_progress_get_watcher(pith_progress *progress);

uint64_t pith_now_ns(void); /* CLOCK_MONOTONIC */

#endif
