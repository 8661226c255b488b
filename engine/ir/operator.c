#include <stdarg.h>
#include <stdio.h>

#include "engine/ir/ir_internal.h"

static const pith_operator *const operators[] = {
#define PITH_OPERATOR_ENTRY(id, name) [PITH_OP_##id] = &pith_operator_##id,
    PITH_OPERATOR_LIST(PITH_OPERATOR_ENTRY)
#undef PITH_OPERATOR_ENTRY
};

const pith_operator *pith_operator_get(pith_operator_id id) {
  return (unsigned)id < PITH_OP_COUNT ? operators[id] : NULL;
}

const pith_operator *pith_operator_find(const char *domain, const char *name) {
  for (int i = 0; i < PITH_OP_COUNT; i++)
    if (strcmp(operators[i]->name, name) == 0 && strcmp(operators[i]->domain, domain) == 0)
      return operators[i];
  return NULL;
}

bool pith_operator_is_row(const pith_operator *op) {
  return op != NULL && ((unsigned)op->id >= PITH_OP_COUNT || operators[op->id] == op);
}

uint32_t pith_operator_count_attributes(const pith_operator *op) {
  uint32_t count = 0;
  while (op->attributes[count].name != NULL)
    count++;
  return count;
}

uint32_t pith_port_count(const pith_port *ports) {
  uint32_t count = 0;
  while (ports[count].name != NULL)
    count++;
  return count;
}

pith_attribute pith_attribute_default(const pith_attribute_row *row) {
  pith_attribute value = {.type = row->type};
  if (row->type == PITH_ATTRIBUTE_FLOAT)
    value.f = row->default_float;
  else if (row->type == PITH_ATTRIBUTE_INTS)
    value.ints.count = 0;
  else
    value.i = row->default_int;
  return value;
}

pith_status pith_inference_fail(const pith_inference *inference, pith_error *error,
                                const char *format, ...) {
  char message[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  return pith_fail(error, PITH_FORMAT, "node '%s' (%s): %s", inference->node->name,
                   inference->node->op->name, message);
}

pith_shape_text pith_inference_shape(const pith_inference *inference, uint32_t input) {
  pith_shape_text shape;
  pith_text text = pith_text_of(shape.text, sizeof shape.text);
  const pith_tensor *tensor = inference->inputs[input];
  pith_text_add_shape(&text, inference->graph, tensor->rank, tensor->dims);
  return shape;
}

int64_t pith_inference_get_int(const pith_inference *inference, const char *attribute) {
  return pith_node_get_attribute(inference->node, attribute)->i;
}

double pith_inference_get_float(const pith_inference *inference, const char *attribute) {
  return pith_node_get_attribute(inference->node, attribute)->f;
}

pith_status pith_inference_get_axis(const pith_inference *inference, uint32_t *out_axis,
                                    pith_error *error) {
  int64_t axis = pith_inference_get_int(inference, "axis");
  int64_t rank = inference->inputs[0]->rank;
  if (axis < -rank || axis >= rank)
    return pith_inference_fail(inference, error, "axis %lld is not in -%lld .. %lld of input %s %s",
                               (long long)axis, (long long)rank, (long long)rank - 1,
                               inference->node->op->inputs[0].name,
                               pith_inference_shape(inference, 0).text);
  *out_axis = (uint32_t)(axis < 0 ? axis + rank : axis);
  return PITH_OK;
}

pith_status pith_infer_same(pith_inference *inference, pith_error *error) {
  (void)error;
  inference->outputs[0].dtype = inference->inputs[0]->dtype;
  inference->outputs[0].rank = inference->inputs[0]->rank;
  memcpy(inference->outputs[0].dims, inference->inputs[0]->dims, sizeof inference->outputs[0].dims);
  return PITH_OK;
}
