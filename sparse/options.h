/* Everything that pruning can be told, as one structure, and its keys in recipes (compiler/recipe.h). */
#ifndef PITH_SPARSE_OPTIONS_H
#define PITH_SPARSE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/recipe.h"
#include "engine/ir/pattern.h"
#include "sparse/schedule.h"

#define PITH_PRUNE_METHOD_LIST(X) X(MAGNITUDE, "magnitude") X(OBS, "obs") X(SENSITIVITY, "sensitivity")
typedef enum pith_prune_method {
#define PITH_PRUNE_METHOD_ENUM(name, text) PITH_PRUNE_##name,
  PITH_PRUNE_METHOD_LIST(PITH_PRUNE_METHOD_ENUM)
#undef PITH_PRUNE_METHOD_ENUM
      PITH_PRUNE_METHOD_COUNT
} pith_prune_method;

#define PITH_PRUNE_SCOPE_LIST(X) X(GLOBAL, "global") X(LAYER, "layer")
typedef enum pith_prune_scope {
#define PITH_PRUNE_SCOPE_ENUM(name, text) PITH_PRUNE_##name,
  PITH_PRUNE_SCOPE_LIST(PITH_PRUNE_SCOPE_ENUM)
#undef PITH_PRUNE_SCOPE_ENUM
      PITH_PRUNE_SCOPE_COUNT
} pith_prune_scope;

#define PITH_PRUNE_SPARSITY_OF_PATTERN (-1.0) /* what N:M says */

typedef struct pith_prune_options {
  const char *pattern; /* NULL: missing, which is an error */
  double sparsity;     /* share of zeros among the weights that are pruned, or ..._OF_PATTERN */
  pith_prune_method method;
  pith_prune_scope scope;
  pith_schedule schedule;
  uint64_t steps;           /* of the schedule; ONE_SHOT has one */
  pith_name_patterns exclude; /* operators whose weights stay as they are */
  double minimum, maximum;  /* sparsity of one weight, in GLOBAL scope */
  double damping;           /* of OBS: share of the mean diagonal of the second moments added to it */
  uint64_t samples, seed;   /* of data, as in pith_quant_options */
  uint64_t batch;           /* of SENSITIVITY: samples whose mean loss has one gradient */
  uint64_t vocabulary_size; /* most tokens that stay of `vocabulary`; 0: all that its texts have */
  const char *graph;        /* what pith_recipe_hash_graph gives for the model that this is meant for; NULL: any */
  /* What the command reads; the library opens no files. NULL where there is none. */
  const char *data, *data_task, *vocabulary, *eval, *eval_data, *max_loss;
} pith_prune_options;

extern const pith_prune_options pith_prune_defaults;

/* Fields that the command has options for: field, name, type, argument as help shows it, minimum, maximum, words, what it does. */
#define PITH_PRUNE_KEY_LIST(X)                                                                             \
  X(pattern, "pattern", TEXT, "PATTERN", 0, 0, NULL,                                                       \
    "element, blocks of outputs x inputs such as 4x1 and 4x4, N:M such as 2:4, row or column; head, neuron "\
    "and layer make the model smaller")                                                                    \
  X(sparsity, "sparsity", NUMBER, "S", 0, 1, pith_prune_sparsity_words,                                    \
    "share of zeros, 0 to 1; N:M says it itself")                                                          \
  X(method, "method", WORD, "NAME", 0, 0, pith_prune_method_words,                                         \
    "magnitude: least weights; obs: least error on data, the other weights making it good; sensitivity: heads and "\
    "neurons of least gradient")                                                                           \
  X(scope, "scope", WORD, "SCOPE", 0, 0, pith_prune_scope_words,                                           \
    "global: one threshold for all weights; layer: the same sparsity in each")                             \
  X(schedule, "schedule", WORD, "NAME", 0, 0, pith_schedule_words,                                         \
    "how sparsity grows over the steps:" PITH_SCHEDULE_LIST(PITH_RECIPE_SAY))                                \
  X(steps, "steps", COUNT, "N", 1, 1000, NULL, "steps of the schedule")                                    \
  X(exclude, "exclude", PATTERNS, "PATTERN", 0, 0, NULL,                                                   \
    "operators that stay dense and do not count: names with * and ?, by commas")                           \
  X(minimum, "minimum", NUMBER, "S", 0, 1, NULL, "global scope: no weight has a sparsity below")           \
  X(maximum, "maximum", NUMBER, "S", 0, 1, NULL, "no weight has a sparsity above")                         \
  X(damping, "damping", NUMBER, "D", 0, 1, NULL,                                                           \
    "obs: share of the second moments' mean diagonal that is added to it")                                 \
  X(data, "data", FILE, "FILE", 0, 0, NULL,                                                                \
    "obs: calibration texts: .txt a line each, .jsonl, a task's file; - for lines; sensitivity: labelled ones, a task's file") \
  X(data_task, "data-task", TEXT, "TASK", 0, 0, NULL, "whose file the data is, where its name does not tell") \
  X(samples, "samples", COUNT, "N", 0, 1e6, NULL, "calibrate on so many texts, or score by so many (0: all)")                   \
  X(batch, "batch", COUNT, "N", 1, 4096, NULL, "sensitivity: texts (or pairs to embed) of one gradient (default 8)") \
  X(seed, "seed", COUNT, "N", 0, 9007199254740992.0, NULL, "draw the texts at random (default 0: the first ones)") \
  X(vocabulary, "vocabulary", FILE, "FILE", 0, 0, NULL,                                                    \
    "keep the tokens of these texts (as --data) and single characters or bytes, and leave out the rest")   \
  X(vocabulary_size, "vocabulary-size", COUNT, "N", 0, 1e7, NULL,                                           \
    "with --vocabulary: keep at most N tokens, the texts' most frequent ones (0: all)")                     \
  X(eval, "eval", TEXT, "TASK", 0, 0, NULL, "measure this task before and after")                          \
  X(eval_data, "eval-data", FILE, "FILE", 0, 0, NULL, "the task's data")                                   \
  X(max_loss, "max-loss", TEXT, "LOSS", 0, 0, NULL, "refuse a larger loss: 1% of the metric, or 0.005 of it absolute")
/* The same, in recipes alone. */
#define PITH_PRUNE_RECIPE_KEY_LIST(X)                                                                      \
  X(graph, "graph", TEXT, NULL, 0, 0, NULL, "the graph that the recipe is for: another one is an error")

extern const pith_recipe_key pith_prune_keys[]; /* ends with a NULL name */
/* What keys of scope, schedule and sparsity take, here and where a model is pruned while it is trained. */
extern const char *const pith_prune_scope_words[], *const pith_schedule_words[], *const pith_prune_sparsity_words[];

/* What the options' own values allow; the pattern and the sparsity they stand for. PITH_INVALID_ARGUMENT says what does not go. */
PITH_WARN_UNUSED pith_status pith_prune_check_options(const pith_prune_options *options, pith_pattern *out_pattern,
                                                      double *out_sparsity, pith_error *error);

#endif
