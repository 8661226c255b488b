#include "sparse/options.h"

#include <math.h>

const pith_prune_options pith_prune_defaults = {
    .sparsity = PITH_PRUNE_SPARSITY_OF_PATTERN,
    .method = PITH_PRUNE_MAGNITUDE,
    .scope = PITH_PRUNE_GLOBAL,
    .schedule = PITH_SCHEDULE_ONE_SHOT,
    .steps = 10,
    .maximum = 0.98,
    .damping = 0.01,
    .samples = 300,
    .batch = 8,
};

#define WORD(name, text) text,
static const char *const pith_prune_method_words[] = {PITH_PRUNE_METHOD_LIST(WORD) NULL};
const char *const pith_prune_scope_words[] = {PITH_PRUNE_SCOPE_LIST(WORD) NULL};
const char *const pith_schedule_words[] = {PITH_SCHEDULE_LIST(WORD) NULL};
#undef WORD
const char *const pith_prune_sparsity_words[] = {"pattern", NULL}; /* -1 */

const pith_recipe_key pith_prune_keys[] = {
#define ROW(field, name, type, argument, minimum, maximum, words, doc)                                     \
  {name, PITH_RECIPE_##type, offsetof(pith_prune_options, field), minimum, maximum, words, doc},
    PITH_PRUNE_KEY_LIST(ROW) PITH_PRUNE_RECIPE_KEY_LIST(ROW)
#undef ROW
    {0}};

static pith_status check_n_of_m(const pith_prune_options *options, const pith_pattern *pattern, double *out_sparsity,
                                pith_error *error) {
  const double own = 1.0 - (double)pattern->outputs / (double)pattern->inputs;
  if (options->sparsity != PITH_PRUNE_SPARSITY_OF_PATTERN && fabs(options->sparsity - own) > 1e-9)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sparsity is %g, but pattern %s leaves a sparsity of %g",
                     options->sparsity, options->pattern, own);
  *out_sparsity = own;
  return PITH_OK;
}

pith_status pith_prune_check_options(const pith_prune_options *options, pith_pattern *out_pattern, double *out_sparsity,
                                     pith_error *error) {
  if (options->pattern == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pattern is missing: element, 4x1, 4x4, 2:4, row, column ...");
  PITH_TRY(pith_pattern_parse(options->pattern, out_pattern, error));
  if (options->method == PITH_PRUNE_SENSITIVITY)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "method sensitivity goes with pattern head or neuron, not %s", options->pattern);
  if (out_pattern->kind == PITH_PATTERN_N_OF_M)
    return check_n_of_m(options, out_pattern, out_sparsity, error);
  if (out_pattern->kind != PITH_PATTERN_ELEMENT && out_pattern->kind != PITH_PATTERN_BLOCK &&
      out_pattern->kind != PITH_PATTERN_ROW && out_pattern->kind != PITH_PATTERN_COLUMN)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "pattern is '%s'; weights are set to 0 by element, RxC, N:M, row or column", options->pattern);
  if (options->sparsity == PITH_PRUNE_SPARSITY_OF_PATTERN)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sparsity is missing: pattern %s does not say it", options->pattern);
  if (!(options->sparsity >= 0 && options->sparsity <= 1))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sparsity is %g, outside 0 to 1", options->sparsity);
  if (options->minimum > options->maximum)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "minimum is %g, over the maximum of %g", options->minimum,
                     options->maximum);
  if (options->sparsity > options->maximum || options->sparsity < options->minimum)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sparsity is %g, outside the minimum and maximum of each weight, %g to %g",
                     options->sparsity, options->minimum, options->maximum);
  *out_sparsity = options->sparsity;
  return PITH_OK;
}
