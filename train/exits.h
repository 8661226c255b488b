/* Heads behind earlier layers of a model: what it may be done at (engine/exec/exits.h). */
#ifndef PITH_TRAIN_EXITS_H
#define PITH_TRAIN_EXITS_H

#include "engine/format/model_data.h"

/* The model's graph with an exit behind each of `layers` [count], from 0, ascending, the last layer not among them. An exit is the model's head once
 * more, from what that layer gives to "exit_1.logits" and so on, its parameters those of the head, called "exit_1." and their name. Data
 * stay borrowed. PITH_UNSUPPORTED for a model that is quantized, has exits, or whose head is not one for classification behind the
 * last layer; PITH_INVALID_ARGUMENT for layers that are none. */
PITH_WARN_UNUSED pith_status pith_model_add_exits(const pith_model_data *model, const uint32_t *layers, uint32_t count,
                                                  const pith_allocator *allocator, pith_graph **out_graph, pith_error *error);

#endif
