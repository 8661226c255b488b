/* Pruning product after product by optimal brain surgeon, on calibration data.
 *
 * Two streams of the same data run side by side: through the model as it was, and through the model as pruned so far. Each product is
 * given what it receives in the pruned model and asked for what it gave in the other one, and where its output is added to a
 * residual, for what makes the sum right: later products make good what earlier ones lost. Biases take up means. */
#ifndef PITH_SPARSE_OBS_H
#define PITH_SPARSE_OBS_H

#include "sparse/obs_state.h"
#include "sparse/prune_model.h"
#include "sparse/weights.h"

/* Every weight of `weights` to the sparsity that its mask has (chosen by magnitude in the options' scope), or with layer scope and
 * N:M the same in each. The masks, values and biases become new ones. `state` is
 * opened by the first step, and says which weights an earlier run finished. */
PITH_WARN_UNUSED pith_status pith_prune_obs(const pith_model *model, const pith_prune_request *request,
                                            pith_prune_weights *weights, uint64_t step, uint64_t steps, pith_obs_state *state,
                                           pith_error *error);

#endif
