/* Tasks by name, as subcommands take them. */
#ifndef PITH_CLI_TASK_H
#define PITH_CLI_TASK_H

#include "cli/command.h"
#include "models/tasks/evaluate.h"

/* The task, or NULL after a usage error that tells the nearest name or all of them. */
const pith_eval_task *pith_cli_task_find(const char *name);

#endif
