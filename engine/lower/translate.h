/* One node and its steps: what translates the engine's operators, and those of others (pith_lower_options.translate). */
#ifndef PITH_LOWER_TRANSLATE_H
#define PITH_LOWER_TRANSLATE_H

#include "engine/ir/operator.h"
#include "engine/lower/lower_internal.h"

typedef struct pith_translation {
  pith_program *program;
  const pith_node *node;
  pith_error *error;
} pith_translation;

static inline int64_t pith_translate_get_int(const pith_translation *t, const char *name) {
  return pith_node_get_attribute(t->node, name)->i;
}
static inline float pith_translate_get_float(const pith_translation *t, const char *name) {
  return (float)pith_node_get_attribute(t->node, name)->f;
}
/* An attention's factor of its scores: what it says, else 1 over the root of a head's features. */
float pith_translate_get_scale(const pith_translation *t, int64_t head_size);
static inline pith_tensor_id pith_translate_get_input(const pith_translation *t, uint32_t i) {
  return i < t->node->input_count ? t->node->inputs[i] : PITH_NONE;
}
static inline uint32_t pith_translate_get_axis(const pith_translation *t, uint32_t rank) {
  int64_t axis = pith_translate_get_int(t, "axis");
  return (uint32_t)(axis < 0 ? axis + rank : axis);
}

/* A step whose first inputs are the node's, in order; it writes the node's output. */
static inline pith_step *pith_translate_add_step(const pith_translation *t, pith_step_kind kind, uint32_t inputs) {
  pith_step *step = pith_program_add_step(t->program, kind, t->node->name);
  if (step == NULL)
    return NULL;
  step->input_count = inputs;
  for (uint32_t i = 0; i < inputs; i++)
    step->inputs[i] = pith_translate_get_input(t, i);
  step->outputs[0] = t->node->outputs[0];
  return step;
}

/* A step of a row of one's own: its inputs and outputs are the node's, in order. */
static inline pith_step *pith_translate_add_row(const pith_translation *t, const pith_step_row *row) {
  pith_step *step = pith_program_add_row(t->program, row, t->node->name);
  if (step == NULL)
    return NULL;
  step->input_count = t->node->input_count;
  step->output_count = t->node->output_count;
  for (uint32_t i = 0; i < step->input_count; i++)
    step->inputs[i] = t->node->inputs[i];
  for (uint32_t i = 0; i < step->output_count; i++)
    step->outputs[i] = t->node->outputs[i];
  return step;
}

/* An f32 buffer beside the node's tensors; `dims` are copied. NULL when memory is out. */
pith_value *pith_translate_add_value(const pith_translation *t, const char *suffix, uint32_t rank, const pith_dim *dims,
                                     pith_value_id *out_id);

static inline pith_status pith_translate_no_memory(const pith_translation *t) {
  return pith_lower_no_memory(t->error);
}

/* translate_quantize.c */
pith_status pith_translate_quantize(const pith_translation *t);
pith_status pith_translate_dequantize(const pith_translation *t);
pith_status pith_translate_dynamic_quantize(const pith_translation *t);

#endif
