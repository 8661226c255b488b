/* What subcommands that compress a model share: options that are a recipe's keys, calibration data, and a task that is
 * measured before and after. */
#ifndef PITH_CLI_TECHNIQUE_H
#define PITH_CLI_TECHNIQUE_H

#include "cli/session.h"
#include "cli/stages.h"
#include "cli/texts.h"
#include "compiler/recipe.h"
#include "models/tasks/evaluate.h"
#include "quant/quantize_model.h"

/* ---- options ------------------------------------------------------------------------------------------ */

/* A recipe's key as the command line gave it: text, or whether a flag was. The recipe's table has its type and checks it. */
typedef union pith_cli_given {
  const char *text;
  bool flag;
} pith_cli_given;

#define PITH_GIVEN_WORD PITH_OPTION_TEXT
#define PITH_GIVEN_FLAG PITH_OPTION_FLAG
#define PITH_GIVEN_COUNT PITH_OPTION_TEXT
#define PITH_GIVEN_NUMBER PITH_OPTION_TEXT
#define PITH_GIVEN_TEXT PITH_OPTION_TEXT
#define PITH_GIVEN_FILE PITH_OPTION_FILE
#define PITH_GIVEN_PATTERNS PITH_OPTION_TEXT

/* What `recipe` (NULL: none) says of the sections, or what `stage` (NULL: none) says of the first one; an exit status. */
int pith_cli_read_recipe(const char *recipe, const pith_cli_stage *stage, pith_recipe_section *sections, size_t count,
                         pith_arena *arena);
/* Sets in `options` what `settings` has of each option that is a key; an exit status. */
int pith_cli_apply_given(const pith_option *command_options, const pith_recipe_key *keys, const void *settings,
                         void *options, pith_arena *arena);

/* ---- before and after --------------------------------------------------------------------------------- */

typedef struct pith_cli_gate {
  const pith_eval_task *task; /* NULL: nothing is measured */
  const char *data_path, *max_loss_text;
  double max_loss; /* below 0: any */
  bool relative;
  pith_dataset data;
  pith_evaluation before, after;
} pith_cli_gate;

/* Each text may be NULL; an exit status. pith_cli_gate_deinit follows, whether this fails or not. */
int pith_cli_gate_init(pith_cli_gate *gate, const char *task, const char *data, const char *max_loss);
PITH_WARN_UNUSED pith_status pith_cli_gate_measure_before(pith_cli_gate *gate, const pith_cli_session *open,
                                                          pith_error *error);
/* `data`: the model as it is now, with the open one's tokenizer. PITH_LIMIT where a metric lost more than the budget. */
PITH_WARN_UNUSED pith_status pith_cli_gate_measure_after(pith_cli_gate *gate, const pith_cli_session *open,
                                                         const pith_model_data *data, pith_error *error);
/* "accuracy_float" and "accuracy", as entries of the file's report in `arena`; nothing where nothing is measured. */
PITH_WARN_UNUSED pith_status pith_cli_gate_add_report(const pith_cli_gate *gate, pith_model_data *data,
                                                      pith_arena *arena, pith_error *error);
void pith_cli_gate_print(const pith_cli_gate *gate);
/* A member of an object that has others before it: ,"eval":{...} */
void pith_cli_gate_print_json(const pith_cli_gate *gate);
void pith_cli_gate_deinit(pith_cli_gate *gate);

/* ---- calibration data --------------------------------------------------------------------------------- */

typedef struct pith_cli_calibration {
  pith_texts texts;
  pith_random_source random; /* count 0: there are texts */
  pith_calibration_source source;
  uint64_t count; /* sequences; 0: a stream of unknown length */
} pith_cli_calibration;

/* `data` NULL: ids at random, which standard error is told, where the model has no tokenizer; else PITH_INVALID_ARGUMENT that
 * ends in `reason`. pith_cli_calibration_close follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_cli_calibration_open(pith_cli_calibration *calibration, const pith_cli_session *open,
                                                       const char *data, const char *data_task, uint64_t samples,
                                                       uint64_t seed, const char *reason, pith_error *error);
void pith_cli_calibration_close(pith_cli_calibration *calibration);
/* The session's options with as many tokens a run as calibration wants: every watched activation keeps a buffer of its own. */
pith_session_options pith_cli_calibration_session(const pith_cli_session *open, const pith_cli_limits *limits);
/* pith_quantize_model on them, with a progress bar. `calibration` is open where pith_quant_needs_data. */
PITH_WARN_UNUSED pith_status pith_cli_quantize(const pith_model *model, const pith_quant_options *options,
                                               const pith_cli_calibration *calibration, const pith_session_options *session,
                                               pith_quantized *out, pith_error *error);

#endif
