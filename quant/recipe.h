/* The options of a quantization as keys of recipes (compiler/recipe.h). */
#ifndef PITH_QUANT_RECIPE_H
#define PITH_QUANT_RECIPE_H

#include "quant/options.h"

/* Fields of pith_quant_options that the command has options for: field, name, type, argument as help shows it, minimum,
 * maximum, words, what it does. */
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
  X(rounding, "rounding", WORD, "HOW", 0, 0, pith_rounding_words,                                                      \
    "of weights: nearest; gptq: each one's error made good by others, on data; auto: nearest, after obs gptq")           \
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

extern const pith_recipe_key pith_quant_keys[]; /* ends with a NULL name */

#endif
