/* One node against its operator's row. */
#include <math.h>

#include "engine/ir/ir_internal.h"

static pith_status check_attribute(const pith_node *node, const pith_attribute_row *row,
                                   const pith_attribute *value, pith_error *error) {
  const char *op = node->op->name;
  if (value->type != row->type)
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s): attribute '%s' has type %d, not %d",
                     node->name, op, row->name, (int)value->type, (int)row->type);
  switch (row->type) {
  case PITH_ATTRIBUTE_INT:
    if (row->min_int < row->max_int && (value->i < row->min_int || value->i > row->max_int))
      return pith_fail(error, PITH_FORMAT,
                       "node '%s' (%s): attribute '%s' is %lld, not in %lld .. %lld", node->name,
                       op, row->name, (long long)value->i, (long long)row->min_int,
                       (long long)row->max_int);
    break;
  case PITH_ATTRIBUTE_FLOAT:
    if (!isfinite(value->f))
      return pith_fail(error, PITH_FORMAT, "node '%s' (%s): attribute '%s' is not finite",
                       node->name, op, row->name);
    break;
  case PITH_ATTRIBUTE_INTS:
    if (value->ints.count > PITH_MAX_RANK || (value->ints.count != 0 && value->ints.values == NULL))
      return pith_fail(error, PITH_FORMAT,
                       "node '%s' (%s): attribute '%s' has %u values, over %d or absent",
                       node->name, op, row->name, value->ints.count, PITH_MAX_RANK);
    break;
  case PITH_ATTRIBUTE_ENUM: {
    int64_t count = 0;
    while (row->names[count] != NULL)
      count++;
    if (value->i < 0 || value->i >= count)
      return pith_fail(error, PITH_FORMAT, "node '%s' (%s): attribute '%s' is %lld of %lld choices",
                       node->name, op, row->name, (long long)value->i, (long long)count);
    break;
  }
  case PITH_ATTRIBUTE_DTYPE:
    if (value->i < 0 || value->i >= PITH_DTYPE_COUNT)
      return pith_fail(error, PITH_FORMAT, "node '%s' (%s): attribute '%s' is dtype %lld of %d",
                       node->name, op, row->name, (long long)value->i, PITH_DTYPE_COUNT);
    break;
  }
  return PITH_OK;
}

static pith_status fail_dtype(const pith_node *node, const char *direction, const pith_port *port,
                              const char *tensor, pith_dtype dtype, pith_error *error) {
  char accepted[120];
  pith_text text = pith_text_of(accepted, sizeof accepted);
  pith_text_add_dtypes(&text, port->dtypes);
  return pith_fail(error, PITH_FORMAT, "node '%s' (%s): %s %s '%s' is %s, accepted: %s", node->name,
                   node->op->name, direction, port->name, tensor, pith_dtype_get_info(dtype)->name,
                   accepted);
}

static pith_status check_input(const pith_graph *graph, const pith_node *node, uint32_t index,
                               const pith_tensor **out_tensor, pith_error *error) {
  const pith_port *port = &node->op->inputs[index];
  pith_tensor_id id = index < node->input_count ? node->inputs[index] : PITH_NONE;
  *out_tensor = NULL;
  if (id == PITH_NONE) {
    if (!port->optional)
      return pith_fail(error, PITH_FORMAT, "node '%s' (%s): input %s is missing", node->name,
                       node->op->name, port->name);
    return PITH_OK;
  }
  if (id >= graph->tensor_count)
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s): input %s is tensor %u of %u", node->name,
                     node->op->name, port->name, id, graph->tensor_count);
  const pith_tensor *tensor = &graph->tensors[id];
  if ((port->dtypes >> tensor->dtype & 1) == 0)
    return fail_dtype(node, "input", port, tensor->name, tensor->dtype, error);
  if (tensor->layout != PITH_LAYOUT_ROW_MAJOR && (port->layouts >> tensor->layout & 1) == 0)
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s): input %s '%s' cannot be in layout %s",
                     node->name, node->op->name, port->name, tensor->name,
                     pith_layout_get_name(tensor->layout));
  if (port->packs != 0 && tensor->kind != PITH_TENSOR_INPUT)
    return pith_fail(error, PITH_FORMAT,
                     "node '%s' (%s): %s '%s' is a %s, offsets must be a graph input", node->name,
                     node->op->name, port->name, tensor->name,
                     pith_tensor_kind_get_name(tensor->kind));
  *out_tensor = tensor;
  return PITH_OK;
}

pith_status pith_node_infer(pith_graph *graph, const pith_node *node, pith_inference *out_inference,
                            pith_error *error) {
  const pith_operator *op = node->op;
  if (!pith_operator_is_row(op))
    return pith_fail(error, PITH_FORMAT, "node '%s' has no operator of the table", node->name);
  uint32_t input_ports = pith_port_count(op->inputs), output_ports = pith_port_count(op->outputs);
  if (node->input_count > input_ports)
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s) has %u inputs, at most %u", node->name,
                     op->name, node->input_count, input_ports);
  if (node->output_count != output_ports)
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s) has %u outputs, not %u", node->name,
                     op->name, node->output_count, output_ports);
  uint32_t attribute_count = pith_operator_count_attributes(op);
  if ((node->input_count != 0 && node->inputs == NULL) || node->outputs == NULL ||
      (attribute_count != 0 && node->attributes == NULL))
    return pith_fail(error, PITH_FORMAT, "node '%s' (%s) lacks its inputs, outputs or attributes",
                     node->name, op->name);
  *out_inference = (pith_inference){.graph = graph, .node = node};
  for (uint32_t i = 0; i < input_ports; i++)
    PITH_TRY(check_input(graph, node, i, &out_inference->inputs[i], error));
  for (uint32_t i = 0; i < attribute_count; i++)
    PITH_TRY(check_attribute(node, &op->attributes[i], &node->attributes[i], error));
  PITH_TRY(op->infer(out_inference, error));
  for (uint32_t i = 0; i < output_ports; i++) {
    if ((op->outputs[i].dtypes >> out_inference->outputs[i].dtype & 1) == 0)
      return fail_dtype(node, "output", &op->outputs[i], node->name,
                        out_inference->outputs[i].dtype, error);
    PITH_TRY(pith_shape_check(graph, "output of node", node->name, out_inference->outputs[i].rank,
                              out_inference->outputs[i].dims, error));
  }
  return PITH_OK;
}
