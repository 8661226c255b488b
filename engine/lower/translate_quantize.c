/* Quantizing and dequantizing. */
#include <math.h>

#include "engine/lower/translate.h"

/* A scale that is data. */
static pith_status check_scales(const pith_translation *t, pith_value_id id) {
  const pith_value *value = &t->program->values[id];
  size_t count;
  if (value->kind != PITH_VALUE_DATA || value->data == NULL || !pith_value_get_constant_count(value, &count))
    return PITH_OK;
  const float *scales = value->data;
  for (size_t i = 0; i < count; i++)
    if (!isnormal(scales[i]) || scales[i] < 0)
      return pith_fail(t->error, PITH_FORMAT, "node '%s': scale %s[%zu] is %g, not a normal number above 0",
                       t->node->name, value->name, i, (double)scales[i]);
  return PITH_OK;
}

static pith_status translate(const pith_translation *t, pith_step_kind kind) {
  const pith_value *x = &t->program->values[t->node->inputs[0]], *scale = &t->program->values[t->node->inputs[1]];
  PITH_TRY(check_scales(t, t->node->inputs[1]));
  pith_step_params params = {.quantize = {.scales = PITH_SCALE_TENSOR}};
  params.quantize.block = (size_t)pith_translate_get_int(t, "block_size");
  if (params.quantize.block != 0)
    params.quantize.scales = PITH_SCALE_BLOCK;
  else if (scale->rank != 0)
    params.quantize.scales =
        pith_translate_get_axis(t, x->rank) + 1 == x->rank ? PITH_SCALE_COLUMN : PITH_SCALE_ROW;
  pith_step *step = pith_translate_add_step(t, kind, 3);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params = params;
  return PITH_OK;
}

pith_status pith_translate_quantize(const pith_translation *t) {
  return translate(t, PITH_STEP_QUANTIZE);
}
pith_status pith_translate_dequantize(const pith_translation *t) {
  return translate(t, PITH_STEP_DEQUANTIZE);
}

pith_status pith_translate_dynamic_quantize(const pith_translation *t) {
  const pith_value *x = &t->program->values[t->node->inputs[0]];
  size_t block = (size_t)pith_translate_get_int(t, "block_size");
  pith_step *step = pith_translate_add_step(t, PITH_STEP_DYNAMIC_QUANTIZE, 2);
  if (step == NULL)
    return pith_translate_no_memory(t);
  step->params.quantize.block = block == 0 ? (size_t)x->dims[1].constant : block;
  step->output_count = 3;
  for (uint32_t i = 0; i < 3; i++)
    step->outputs[i] = t->node->outputs[i];
  return PITH_OK;
}
