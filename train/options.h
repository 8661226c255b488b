/* Everything that training can be told, as one structure, and its keys in recipes (compiler/recipe.h). */
#ifndef PITH_TRAIN_OPTIONS_H
#define PITH_TRAIN_OPTIONS_H

#include "compiler/recipe.h"
#include "models/tasks/evaluate.h"
#include "train/compare.h"
#include "train/options_compress.h"
#include "train/prune.h"
#include "train/options_quantize.h"
#include "train/rate.h"
#include "train/trainer.h"

#define PITH_TRAIN_ALIKE (-1.0) /* what `dropout` says */
#define PITH_TRAIN_AUTO (-1.0)  /* what the optimizer says */
#define PITH_TRAIN_NEVER (-1.0)

typedef struct pith_train_options {
  const char *task;                     /* NULL: missing, which is an error */
  const char *data, *eval_data;         /* files; no eval_data: nothing is measured, unless rows are held out */
  const char *eval_task;                /* NULL: the task itself */
  const char *text_column, *pair_column, *label_column; /* as in pith_dataset_columns, of both files */
  bool header;
  double held_out;                      /* share of the data's rows that is measured on instead of eval_data */
  uint64_t max_length;                  /* tokens of a text; 0: the model's */
  const char *head, *labels, *layers;   /* NULL: the model's own */
  const char *exits;                    /* layers with a head of their own, between commas; NULL: those that the model has */
  uint64_t epochs, max_steps;           /* max_steps 0: by epochs, else by steps */
  uint64_t batch, tokens_per_step;      /* samples of a batch; or, where it is not 0, at most so many tokens */
  uint64_t accumulate;                  /* batches of a step */
  uint64_t group;                       /* as in pith_order_options */
  double rate, warmup;                  /* the peak; as in pith_rate_get_warmup */
  pith_rate_kind schedule;
  pith_optimizer_kind optimizer;
  double beta1, beta2, momentum;
  double epsilon;                       /* or PITH_TRAIN_AUTO: 1e-8, of lamb 1e-6 */
  bool nesterov;
  double weight_decay, clip, layer_decay, ema;
  double dropout, attention_dropout, classifier_dropout; /* the last two may be PITH_TRAIN_ALIKE */
  double label_smoothing, temperature;
  const char *class_weights;            /* NULL: all 1; numbers between commas */
  pith_name_patterns freeze;
  bool dequantize;                      /* an INT8 model is trained as floats */
  pith_range_training ranges;           /* else: of its activations */
  double range_momentum, range_freeze;  /* ema; the latter a share of the steps */
  uint64_t seed;
  uint64_t max_memory;                  /* bytes of the trainer; 0: no limit */
  uint64_t eval_every, save_every;      /* steps; 0: after each epoch; whenever there was a measurement */
  uint64_t patience;                    /* measurements without a better one that end the run; 0: any number */
  const char *metric;                   /* that the best model is found by; NULL: the eval task's first */
  const char *log, *tensorboard;        /* NULL: none */
  uint64_t log_every;                   /* steps */
  const char *teacher;                  /* file; NULL: none */
  double distill_weight, distill_temperature;
  double distill_hidden, distill_attention, distill_relations; /* what comparisons of layers add (train/compare.h) */
  uint64_t relation_heads, relation_layer;
  const char *prune_pattern;            /* NULL: nothing is pruned */
  double prune_sparsity;                /* or PITH_PRUNE_SPARSITY_OF_PATTERN */
  pith_prune_score prune_score;
  pith_prune_scope prune_scope;
  pith_schedule prune_schedule;
  double prune_begin, prune_end;        /* as `warmup` */
  uint64_t prune_every;                 /* steps */
  pith_name_patterns prune_exclude;
  double prune_minimum, prune_maximum, prune_lasso, prune_penalty, prune_score_rate;
  uint64_t prune_fisher_gradients, prune_fisher_block;
  double prune_fisher_damp;
  bool prune_no_update;
  double prune_rewind;                  /* as `warmup`, or PITH_TRAIN_NEVER */
  const char *graph;                    /* what pith_recipe_hash_graph gives for the model that this is meant for; NULL: any */
} pith_train_options;

extern const pith_train_options pith_train_defaults;

/* Fields that the command has options for: field, name, type, argument as help shows it, minimum, maximum, words, what it does. */
#define PITH_TRAIN_KEY_LIST(X)                                                                             \
  X(task, "task", TEXT, "TASK", 0, 0, NULL,                                                                \
    "sst2, mrpc, stsb, squad; for data of your own classification, multi-label, regression, entities, fill-mask or pairs") \
  X(data, "data", FILE, "FILE", 0, 0, NULL,                                                                \
    "what to train on: the task's file as published, .tsv, .csv or .jsonl (see pith eval --help)")         \
  X(eval_data, "eval-data", FILE, "FILE", 0, 0, NULL, "what to measure on")                                \
  X(eval_task, "eval-task", TEXT, "TASK", 0, 0, NULL, "what to measure, where it is another task (pairs have no metric)") \
  X(text_column, "text-column", TEXT, "COLUMN", 0, 0, NULL,                                               \
    "where the text stands in both files: a name of the header (.jsonl: a key), or a position from 1")     \
  X(pair_column, "pair-column", TEXT, "COLUMN", 0, 0, NULL, "the second text")                            \
  X(label_column, "label-column", TEXT, "COLUMN", 0, 0, NULL, "the label")                                \
  X(header, "header", FLAG, NULL, 0, 0, NULL, "the first line is a header, though all columns are positions") \
  X(held_out, "held-out", NUMBER, "SHARE", 0, 0.9, NULL, "measure on this share of the data's rows, which are not trained on") \
  X(max_length, "max-length", COUNT, "N", 0, 1 << 20, NULL, "most tokens of a text (0: the model's limit)") \
  X(head, "head", TEXT, "NAME", 0, 0, NULL,                                                                \
    "put a new head on the model's body: classification, multi-label, regression, ranking, entities, "     \
    "question-answering, fill-mask or embedding")                                                          \
  X(labels, "labels", TEXT, "A,B", 0, 0, NULL, "labels of the new head")                                   \
  X(layers, "layers", TEXT, "0,2,4", 0, 0, NULL, "keep only these layers of the model: a smaller student") \
  X(exits, "exits", TEXT, "0,2", 0, 0, NULL, "add a head behind these layers, where a text may be done (see pith run --exit-threshold)") \
  X(epochs, "epochs", COUNT, "N", 1, 1e6, NULL, "times over the data (default 3)")                                     \
  X(max_steps, "max-steps", COUNT, "N", 0, 1e12, NULL, "so many steps, however many epochs that is (0: by epochs)") \
  X(batch, "batch", COUNT, "N", 1, 1e6, NULL, "texts (or pairs to embed) in a batch (default 32)")                      \
  X(tokens_per_step, "tokens-per-step", COUNT, "N", 0, 1e8, NULL, "batches of at most so many tokens instead (0: by --batch)") \
  X(accumulate, "accumulate", COUNT, "N", 1, 1e6, NULL, "batches whose gradients are one step")            \
  X(group, "group", COUNT, "N", 0, 1e6, NULL, "put texts of like length together, among so many batches (0: not)") \
  X(rate, "lr", NUMBER, "RATE", 0, 1e3, NULL, "learning rate, at its peak (default 5e-5)")                                \
  X(warmup, "warmup", NUMBER, "N", 0, 1e12, NULL, "steps in which the rate rises from 0; below 1 a share of all (default 0.06)") \
  X(schedule, "schedule", WORD, "NAME", 0, 0, pith_rate_words, "then the rate is linear or cosine (both to 0), or constant") \
  X(optimizer, "optimizer", WORD, "NAME", 0, 0, pith_optimizer_words, "adamw, sgd or lamb")                \
  X(beta1, "beta1", NUMBER, "B", 0, 0.999999, NULL, "adamw, lamb: decay of the gradients' mean")           \
  X(beta2, "beta2", NUMBER, "B", 0, 0.999999999, NULL, "adamw, lamb: decay of their squares' mean")        \
  X(epsilon, "epsilon", NUMBER, "E", 0, 1, pith_train_auto_words,                                          \
    "adamw, lamb: added to the root of the squares (auto: 1e-8, lamb 1e-6)")                               \
  X(momentum, "momentum", NUMBER, "M", 0, 0.999999, NULL, "sgd (default 0.9)")                                           \
  X(nesterov, "nesterov", FLAG, NULL, 0, 0, NULL, "sgd: look ahead along the momentum")                    \
  X(weight_decay, "weight-decay", NUMBER, "D", 0, 1e3, NULL, "decoupled; not for biases and LayerNorm (default 0.01)")    \
  X(clip, "clip", NUMBER, "NORM", 0, 1e9, NULL, "largest norm of all gradients together (default 1; 0: any)")         \
  X(layer_decay, "layer-decay", NUMBER, "F", 1e-6, 1, NULL, "rate of each layer over that of the one above (default 1)") \
  X(ema, "ema", NUMBER, "D", 0, 0.9999999, NULL, "measure and keep a moving average of the weights with this decay (0: not)") \
  X(dropout, "dropout", NUMBER, "P", 0, 0.99, NULL, "share of activations that is dropped (default 0.1)")                \
  X(attention_dropout, "attention-dropout", NUMBER, "P", 0, 0.99, pith_train_alike_words, "of attention's weights (default: as dropout; of INT8 models 0)") \
  X(classifier_dropout, "classifier-dropout", NUMBER, "P", 0, 0.99, pith_train_alike_words, "before the head (default: as dropout)") \
  X(label_smoothing, "label-smoothing", NUMBER, "E", 0, 0.99, NULL, "share of the loss that goes to all classes alike") \
  X(class_weights, "class-weights", TEXT, "A,B", 0, 0, NULL, "what each class counts, in the order of the labels") \
  X(temperature, "temperature", NUMBER, "T", 1e-4, 1e3, NULL, "pairs: cosines are divided by it (default 0.05)")          \
  X(freeze, "freeze", PATTERNS, "PATTERN", 0, 0, NULL, "parameters that stay as they are: names with * and ?, by commas") \
  PITH_TRAIN_QUANTIZE_KEY_LIST(X)                                                                          \
  X(seed, "seed", COUNT, "N", 0, 9007199254740992.0, NULL, "of order, dropout, new heads and rows held out") \
  X(max_memory, "max-memory", COUNT, "BYTES", 0, 9007199254740992.0, NULL,                                 \
    "compute activations twice rather than hold more (0: no limit); the weights are the same either way")  \
  X(eval_every, "eval-every", COUNT, "N", 0, 1e12, NULL, "measure every N steps (0: after each epoch)")    \
  X(save_every, "save-every", COUNT, "N", 0, 1e12, NULL, "save what --resume needs every N steps (0: after each epoch or measurement)") \
  X(patience, "patience", COUNT, "N", 0, 1e6, NULL, "end after N measurements without a better one (0: never)") \
  X(metric, "metric", TEXT, "NAME", 0, 0, NULL, "that says which is better (default: the task's first)")   \
  X(log, "log", FILE, "FILE", 0, 0, NULL, "write loss, rate and metrics as JSON lines")                    \
  X(tensorboard, "tensorboard", FILE, "DIR", 0, 0, NULL, "write them for TensorBoard")                     \
  X(log_every, "log-every", COUNT, "N", 1, 1e9, NULL, "steps between the lines of both (default 50)")      \
  PITH_TRAIN_DISTILL_KEY_LIST(X) PITH_TRAIN_PRUNE_KEY_LIST(X)
/* The same, in recipes alone. */
#define PITH_TRAIN_RECIPE_KEY_LIST(X)                                                                      \
  X(graph, "graph", TEXT, NULL, 0, 0, NULL, "the graph that the recipe is for: another one is an error")

extern const pith_recipe_key pith_train_keys[]; /* ends with a NULL name */

/* What the options' own values allow; PITH_INVALID_ARGUMENT says what does not go. */
PITH_WARN_UNUSED pith_status pith_train_check_options(const pith_train_options *options, pith_error *error);

/* Of layers with a teacher's. */
pith_compare_options pith_train_get_comparisons(const pith_train_options *options);

pith_dataset_columns pith_train_get_columns(const pith_train_options *options);
/* What is pruned in a run of `steps` steps; *out_prunes false: nothing is. PITH_INVALID_ARGUMENT as pith_train_prune_check. */
PITH_WARN_UNUSED pith_status pith_train_get_prune(const pith_train_options *options, uint64_t steps, pith_train_prune *out_prune,
                                                  bool *out_prunes, pith_error *error);
/* Whether anything is measured. */
bool pith_train_measures(const pith_train_options *options);

/* Parts of a text between commas, in `arena`; *out_count 0 where the text is NULL. */
PITH_WARN_UNUSED pith_status pith_train_split(const char *text, pith_arena *arena, const char *const **out_parts,
                                              uint32_t *out_count, pith_error *error);

/* The options that a run's weights depend on, as text in `arena`: of two runs with the same, on the same model and data, one may go
 * on where the other was stopped. */
PITH_WARN_UNUSED pith_status pith_train_describe_options(const pith_train_options *options, pith_arena *arena,
                                                         const char **out_text, pith_error *error);

#endif
