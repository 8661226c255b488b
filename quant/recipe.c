#include "quant/recipe.h"

/* Frozen by accuracy on train data; docs/quantization.md has what was compared. */
const pith_quant_options pith_quant_defaults = {
    .mode = PITH_QUANT_STATIC,
    .observer = PITH_OBSERVER_MIN_MAX,
    .percentile = 99.999,
    .averaging = 0.1,
    .weight_clip = PITH_WEIGHT_CLIP_MSE,
    .rounding = PITH_ROUNDING_AUTO,
    .smoothquant = PITH_SMOOTHQUANT_FREE,
    .samples = 300,
};

#define WORD(name, text) text,
static const char *const pith_quant_mode_words[] = {PITH_QUANT_MODE_LIST(WORD) NULL};
static const char *const pith_observer_words[] = {PITH_OBSERVER_LIST(WORD) NULL};
static const char *const pith_weight_clip_words[] = {PITH_WEIGHT_CLIP_LIST(WORD) NULL};
static const char *const pith_rounding_words[] = {PITH_ROUNDING_LIST(WORD) NULL};
#undef WORD
static const char *const pith_smoothquant_words[] = {"auto", "off", "free", NULL}; /* -1, -2, -3 */

const pith_recipe_key pith_quant_keys[] = {
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                              \
  {name, PITH_RECIPE_##type, offsetof(pith_quant_options, field), minimum, maximum, words, doc},
    PITH_QUANT_KEY_LIST(ROW) PITH_RECIPE_KEY_LIST(ROW)
#undef ROW
    {0}};
