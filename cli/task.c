#include "cli/task.h"

#include <string.h>

static const char *next_task(void *context) {
  const pith_eval_task **next = context;
  return (*next)->name == NULL ? NULL : (*next)++->name;
}

const pith_eval_task *pith_cli_task_find(const char *name) {
  const pith_eval_task *task = pith_eval_task_find(name), *next = pith_eval_tasks;
  if (task != NULL)
    return task;
  const char *near = pith_suggest(name, next_task, &next);
  char known[200] = "";
  for (const pith_eval_task *t = pith_eval_tasks; t->name != NULL; t++)
    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", t == pith_eval_tasks ? "" : ", ", t->name);
  pith_usage_error("no task '%s', %s%s", name, near == NULL ? "tasks are " : "did you mean ", near == NULL ? known : near);
  return NULL;
}

int pith_cli_columns_check(const pith_dataset_columns *columns) {
  if (columns->header && columns->text == NULL && columns->pair == NULL && columns->label == NULL)
    return pith_usage_error("--header goes with --text-column, --pair-column or --label-column");
  return PITH_EXIT_OK;
}
