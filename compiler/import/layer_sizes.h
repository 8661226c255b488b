/* Keys of config.json that give layers sizes of their own, whatever the architecture. */
#ifndef PITH_COMPILER_LAYER_SIZES_H
#define PITH_COMPILER_LAYER_SIZES_H

#include <cjson/cJSON.h>

#include "models/architectures/architecture.h"

/* Reads `pruned_heads`, {"layer": [heads that are gone]} as Hugging Face writes it, and
 * `intermediate_sizes`, one for each layer, as `pith prune` writes it. `values` has all other keys
 * and gets layer_sizes in `arena`; NULL where neither key says anything. PITH_FORMAT names the key
 * and what is wrong. */
PITH_WARN_UNUSED pith_status pith_layer_sizes_read(const cJSON *json, pith_arena *arena,
                                                   pith_architecture_config *values,
                                                   pith_error *error);

/* The same keys for some of the layers: layers[i] of `config` becomes layer i. Keys that are absent stay so. False: no memory. */
bool pith_layer_sizes_select(cJSON *config, const uint32_t *layers, uint32_t count);

#endif
