/* Recipes of several stages: one subcommand after the other, each on what the one before made. */
#ifndef PITH_CLI_STAGES_H
#define PITH_CLI_STAGES_H

#include "cli/session.h"
#include "compiler/recipe.h"
#include "engine/base/arena.h"

struct cJSON;

/* One stage: a subcommand with its options as JSON. */
typedef struct pith_cli_stage {
  const char *where;           /* "recipe.json: stage 2 (train)", how messages begin */
  const struct cJSON *options; /* an object with the keys of the subcommand's recipes */
  const char *model, *output;
  uint64_t threads;            /* 0: the CPUs that this process may use */
  bool check_only;             /* the options alone: nothing is read or written */
  bool resume;                 /* go on where the stage was stopped or killed */
  bool json;
} pith_cli_stage;

/* Whether the options are all that is wanted; a subcommand that is no stage (NULL) does its work. */
static inline bool pith_cli_checks_only(const pith_cli_stage *stage) {
  return stage != NULL && stage->check_only;
}

/* What can be a stage: an exit status. */
int pith_cli_stage_prune(const pith_cli_stage *stage);
int pith_cli_stage_quantize(const pith_cli_stage *stage);
int pith_cli_stage_train(const pith_cli_stage *stage);

typedef struct pith_cli_stage_kind {
  const char *name;
  const pith_recipe_key *keys;
  int (*run)(const pith_cli_stage *stage);
} pith_cli_stage_kind;
extern const pith_cli_stage_kind pith_cli_stage_kinds[]; /* ends with a NULL name */

enum { PITH_MAX_STAGES = 16 };
typedef struct pith_cli_stages {
  struct cJSON *json; /* as it was read, places filled in but for those of other stages: what a history keeps */
  struct cJSON *run;  /* all of them filled in: where `options` point to */
  uint32_t count;
  struct {
    const pith_cli_stage_kind *kind;
    const char *where;
    const struct cJSON *options;
  } stages[PITH_MAX_STAGES];
} pith_cli_stages;

/* What stands for `value` in a recipe: "$data". NULL value: not given, an error where the recipe has it. */
typedef struct pith_cli_place {
  const char *name, *value;
} pith_cli_place;

/* The file of stage i (from 1) of the run with this output. NULL: no memory. */
const char *pith_cli_stage_path(pith_arena *arena, const char *output, uint32_t i);

/* {"stages": [{"prune": {...}}, {"train": {...}}, ..]}. `text` is what is read, `name` what messages call it; `places` ends with a NULL name.
 * "$stage.2" is what the second stage of the run with this `output` makes, in those behind it.
 * pith_cli_stages_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_cli_stages_read(pith_cli_stages *stages, const char *text, size_t bytes, const char *name,
                                                  const pith_cli_place *places, const char *output, pith_arena *arena,
                                                  pith_error *error);
void pith_cli_stages_deinit(pith_cli_stages *stages);

/* Recipes that come with the command (models/recipes). */
typedef struct pith_cli_ready_recipe {
  const char *name;
  const unsigned char *text;
  size_t bytes;
} pith_cli_ready_recipe;
extern const pith_cli_ready_recipe pith_cli_ready_recipes[]; /* ends with a NULL name */

/* What such recipes may say, as a JSON Schema. */
void pith_cli_print_schema(FILE *out);

#endif
