/* Recipes: the options of a quantization as text, one table for all who read or write them. The command's options have
 * the keys' names, a recipe is a JSON object of them, and the history of a quantized file holds one. */
#ifndef PITH_QUANT_RECIPE_H
#define PITH_QUANT_RECIPE_H

#include <stddef.h>

#include "engine/ir/graph.h"
#include "quant/options.h"

typedef enum pith_quant_value {
  PITH_QUANT_WORD,     /* unsigned, a place in words */
  PITH_QUANT_FLAG,     /* bool */
  PITH_QUANT_COUNT,    /* uint64_t, minimum .. maximum */
  PITH_QUANT_NUMBER,   /* double, minimum .. maximum, or one of words: -1, -2, .. in their order */
  PITH_QUANT_TEXT,     /* const char * */
  PITH_QUANT_FILE,     /* the same; completed as a file name */
  PITH_QUANT_PATTERNS, /* keep_float: a list, between commas in text */
} pith_quant_value;

/* Fields of pith_quant_options that the command has options for: field, name, type, argument as help shows it, minimum,
 * maximum, words, what it does. Numbers are at most 2^53, so that JSON holds them. */
#define PITH_QUANT_KEY_LIST(X)                                                                                         \
  X(mode, "mode", WORD, "MODE", 0, 0, pith_quant_mode_words,                                                           \
    "static: ranges found on data; dynamic: found in every run")                                                       \
  X(data, "data", FILE, "FILE", 0, 0, NULL, "calibration texts: .txt a line each, .jsonl, a task's file; - for lines") \
  X(data_task, "data-task", TEXT, "TASK", 0, 0, NULL, "whose file the data is, where its name does not tell")          \
  X(samples, "samples", COUNT, "N", 0, 1e6, NULL, "calibrate on so many texts (default 300; 0: all)")                  \
  X(seed, "seed", COUNT, "N", 0, 9007199254740992.0, NULL, "draw the texts at random (default 0: the first ones)")     \
  X(observer, "observer", WORD, "NAME", 0, 0, pith_observer_words,                                                     \
    "min_max, moving_average, mean_min_max, percentile, kl or mse")                                                    \
  X(percentile, "percentile", NUMBER, "P", 50, 100, NULL, "of that observer: what it keeps on each side")              \
  X(averaging, "averaging", NUMBER, "W", 0, 1, NULL, "of moving_average: the weight of the newest batch")              \
  X(weight_clip, "weight-clip", WORD, "NAME", 0, 0, pith_weight_clip_words, "scales of weights: min_max or mse")       \
  X(smoothquant, "smoothquant", NUMBER, "ALPHA", 0, 1, pith_smoothquant_words,                                         \
    "move ranges from activations to weights: 0 to 1, auto, free or off")                                                    \
  X(equalize, "equalize", FLAG, NULL, 0, 0, NULL, "even out the ranges of products that follow each other")            \
  X(bias_correction, "bias-correction", FLAG, NULL, 0, 0, NULL, "take the mean error of weights out of the biases")    \
  X(keep_float, "keep-float", PATTERNS, "PATTERN", 0, 0, NULL, "operators that stay in float: names with * and ?, by commas") \
  X(float_embeddings, "float-embeddings", FLAG, NULL, 0, 0, NULL, "embedding tables stay in float")                    \
  X(float_attention, "float-attention", FLAG, NULL, 0, 0, NULL, "attention's own products stay in float")              \
  X(eval, "eval", TEXT, "TASK", 0, 0, NULL, "measure this task before and after")                                      \
  X(eval_data, "eval-data", FILE, "FILE", 0, 0, NULL, "the task's data")                                               \
  X(max_loss, "max-loss", TEXT, "LOSS", 0, 0, NULL, "refuse a larger loss: 1% of the metric, or 0.005 of it absolute")
/* The same, in recipes alone. */
#define PITH_RECIPE_KEY_LIST(X)                                                                                        \
  X(graph, "graph", TEXT, NULL, 0, 0, NULL, "the graph that the recipe is for: another one is an error")

typedef struct pith_quant_key {
  const char *name;
  pith_quant_value type;
  size_t offset; /* in pith_quant_options */
  double minimum, maximum;
  const char *const *words; /* ends with NULL */
  const char *doc;
} pith_quant_key;

extern const pith_quant_key pith_quant_keys[]; /* ends with a NULL name */
const pith_quant_key *pith_quant_key_find(const char *name);

/* Sets a field from text; a flag takes "true" and "false". What is kept of `value` is copied to `arena`.
 * PITH_INVALID_ARGUMENT names the key, the value and what it takes. */
PITH_WARN_UNUSED pith_status pith_quant_set(pith_quant_options *options, const pith_quant_key *key, const char *value,
                                            pith_arena *arena, pith_error *error);

/* Sets the fields that a recipe has keys for and leaves the others. PITH_IO, PITH_FORMAT and PITH_INVALID_ARGUMENT with the path
 * and the reason; an unknown key is an error that tells the nearest one. */
PITH_WARN_UNUSED pith_status pith_recipe_read(const char *path, pith_arena *arena, pith_quant_options *options,
                                              pith_error *error);

struct cJSON;
/* All keys but those whose value is NULL or an empty list; NULL: no memory. The caller deletes it. */
struct cJSON *pith_recipe_write(const pith_quant_options *options);

/* What a recipe's "graph" has: 16 hexadecimal digits of the SHA-256 of a graph's readable form, which the weights' values are no
 * part of. `out_text` has room for 17 bytes. */
void pith_quant_hash_graph(const pith_graph *graph, char *out_text);

#endif
