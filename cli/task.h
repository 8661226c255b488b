/* Tasks by name, as subcommands take them. */
#ifndef PITH_CLI_TASK_H
#define PITH_CLI_TASK_H

#include "cli/command.h"
#include "models/tasks/evaluate.h"

/* Rows of an option table for data whose columns the user names; `settings` has a pith_dataset_columns called `columns`. */
#define PITH_OPTION_COLUMNS(settings)                                                                      \
  {"text-column", 0, false, PITH_OPTION_TEXT, "COLUMN", offsetof(settings, columns.text), 0, 0,            \
   "where the text stands in the data: a name of the header (.jsonl: a key), or a position from 1"},       \
      {"pair-column", 0, false, PITH_OPTION_TEXT, "COLUMN", offsetof(settings, columns.pair), 0, 0,        \
       "the second text"},                                                                                 \
      {"label-column", 0, false, PITH_OPTION_TEXT, "COLUMN", offsetof(settings, columns.label), 0, 0,      \
       "the label"},                                                                                       \
      {"header", 0, false, PITH_OPTION_FLAG, NULL, offsetof(settings, columns.header), 0, 0,               \
       "the first line is a header, though all columns are positions"}
/* --header without positions: a usage error; else PITH_EXIT_OK. */
int pith_cli_columns_check(const pith_dataset_columns *columns);

/* The task, or NULL after a usage error that tells the nearest name or all of them. */
const pith_eval_task *pith_cli_task_find(const char *name);

#endif
