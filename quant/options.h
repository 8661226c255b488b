/* Everything that a quantization can be told, as one structure: a recipe's keys, the command's options and the history
 * entry of the file are all made from the table that recipe.c has of it. */
#ifndef PITH_QUANT_OPTIONS_H
#define PITH_QUANT_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "compiler/recipe.h"

#define PITH_QUANT_MODE_LIST(X) X(STATIC, "static") X(DYNAMIC, "dynamic")
typedef enum pith_quant_mode {
#define PITH_QUANT_MODE_ENUM(name, text) PITH_QUANT_##name,
  PITH_QUANT_MODE_LIST(PITH_QUANT_MODE_ENUM)
#undef PITH_QUANT_MODE_ENUM
  PITH_QUANT_MODE_COUNT
} pith_quant_mode;

/* How a range is chosen from what was seen; quant/observer.h has each one's definition. */
#define PITH_OBSERVER_LIST(X)                                                                              \
  X(MIN_MAX, "min_max") X(MOVING_AVERAGE, "moving_average") X(MEAN_MIN_MAX, "mean_min_max")                \
  X(PERCENTILE, "percentile") X(KL, "kl") X(MSE, "mse")
typedef enum pith_observer_kind {
#define PITH_OBSERVER_ENUM(name, text) PITH_OBSERVER_##name,
  PITH_OBSERVER_LIST(PITH_OBSERVER_ENUM)
#undef PITH_OBSERVER_ENUM
  PITH_OBSERVER_COUNT
} pith_observer_kind;

#define PITH_WEIGHT_CLIP_LIST(X) X(MIN_MAX, "min_max") X(MSE, "mse")
typedef enum pith_weight_clip {
#define PITH_WEIGHT_CLIP_ENUM(name, text) PITH_WEIGHT_CLIP_##name,
  PITH_WEIGHT_CLIP_LIST(PITH_WEIGHT_CLIP_ENUM)
#undef PITH_WEIGHT_CLIP_ENUM
  PITH_WEIGHT_CLIP_COUNT
} pith_weight_clip;

/* Weights to the nearest integer, or one after another on data: quant/round.h. AUTO is the nearest, but where `pith prune` has pruned
 * by obs and so has data. */
#define PITH_ROUNDING_LIST(X) X(AUTO, "auto") X(NEAREST, "nearest") X(GPTQ, "gptq")
typedef enum pith_rounding {
#define PITH_ROUNDING_ENUM(name, text) PITH_ROUNDING_##name,
  PITH_ROUNDING_LIST(PITH_ROUNDING_ENUM)
#undef PITH_ROUNDING_ENUM
  PITH_ROUNDING_COUNT
} pith_rounding;

/* Of `smoothquant`, besides an alpha. */
#define PITH_SMOOTHQUANT_AUTO (-1.0) /* searched for each activation */
#define PITH_SMOOTHQUANT_OFF (-2.0)
/* Searched, static only, and only where what makes the activation takes the factors, before or after lowering. */
#define PITH_SMOOTHQUANT_FREE (-3.0)

typedef struct pith_quant_options {
  pith_quant_mode mode;
  pith_observer_kind observer;
  double percentile;            /* of PERCENTILE: 99.99 keeps all but 1 of 10,000 elements at each end */
  double averaging;             /* of MOVING_AVERAGE: weight of the newest batch, 0 .. 1 */
  pith_weight_clip weight_clip;
  pith_rounding rounding;
  bool float_embeddings;        /* tables stay as they are; else s8 per row */
  bool float_attention;         /* both products of attention stay in float */
  bool bias_correction;
  bool equalize;                /* cross-layer equalisation of the two FFN products (relu) or V and output products */
  double smoothquant;           /* alpha, 0 .. 1, or one of the above */
  uint64_t samples;             /* texts of the calibration data that are used; 0: all */
  uint64_t seed;                /* 0: the first ones; else drawn at random */
  pith_name_patterns keep_float;
  const char *graph;            /* what pith_recipe_hash_graph gives for the model that this is meant for; NULL: any */
  /* What the command reads; the library opens no files. NULL where there is none. */
  const char *data, *data_task, *eval, *eval_data, *max_loss;
} pith_quant_options;

/* The defaults: one recipe for every model, chosen on train data. */
extern const pith_quant_options pith_quant_defaults;

static inline bool pith_quant_uses_smoothquant(const pith_quant_options *options) {
  return options->smoothquant != PITH_SMOOTHQUANT_OFF &&
         (options->smoothquant != PITH_SMOOTHQUANT_FREE || options->mode == PITH_QUANT_STATIC);
}
/* Statistics of every feature, not only of whole tensors. */
static inline bool pith_quant_needs_channels(const pith_quant_options *options) {
  return pith_quant_uses_smoothquant(options) || options->bias_correction;
}
static inline bool pith_quant_needs_data(const pith_quant_options *options) {
  return options->mode == PITH_QUANT_STATIC || pith_quant_needs_channels(options) || options->rounding == PITH_ROUNDING_GPTQ;
}

#endif
