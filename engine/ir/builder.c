#include <stdarg.h>
#include <stdio.h>

#include "engine/ir/ir_internal.h"

void pith_builder_init(pith_builder *builder, pith_graph *graph, pith_error *error) {
  *builder = (pith_builder){.graph = graph, .status = PITH_OK, .error = error};
}

pith_status pith_builder_finish(pith_builder *builder) {
  if (builder->status == PITH_OK)
    builder->status = pith_graph_verify(builder->graph, builder->error);
  return builder->status;
}

void pith_builder_fail(pith_builder *builder, pith_status status, const char *format, ...) {
  if (builder->status != PITH_OK)
    return;
  char message[sizeof((pith_error *)NULL)->message];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  builder->status = pith_fail(builder->error, status, "%s", message);
}

pith_dim pith_build_dim(pith_builder *builder, const char *symbol, int64_t coefficient,
                        int64_t constant) {
  pith_dim dim = pith_dim_of(constant);
  if (builder->status != PITH_OK || coefficient == 0)
    return dim;
  pith_graph *graph = builder->graph;
  pith_symbol_id id = pith_graph_find_symbol(graph, symbol);
  if (id == PITH_NONE)
    builder->status = pith_graph_add_symbol(graph, symbol, &id, builder->error);
  if (builder->status != PITH_OK)
    return dim;
  pith_dim_term *term = PITH_ARENA_NEW(&graph->arena, pith_dim_term, 1);
  if (term == NULL) {
    pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory for dimension %s", symbol);
    return dim;
  }
  *term = (pith_dim_term){id, coefficient};
  return (pith_dim){.constant = constant, .term_count = 1, .terms = term};
}

/* Adds `tensor`; one without a name is called after its kind and id. Its dtype and shape are
 * checked at once, because inference reads them. */
static pith_tensor_id add_tensor(pith_builder *builder, pith_tensor tensor) {
  pith_tensor_id id = PITH_NONE;
  char name[64];
  if (tensor.name == NULL) {
    snprintf(name, sizeof name, "%s_%u", pith_tensor_kind_get_name(tensor.kind),
             builder->graph->tensor_count);
    tensor.name = name;
  }
  const char *kind = pith_tensor_kind_get_name(tensor.kind);
  if (pith_dtype_get_info(tensor.dtype) == NULL)
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "%s '%s': dtype %d is not in the table of %d",
                      kind, tensor.name, (int)tensor.dtype, PITH_DTYPE_COUNT);
  else
    builder->status = pith_shape_check(builder->graph, kind, tensor.name, tensor.rank, tensor.dims,
                                       builder->error);
  if (builder->status == PITH_OK)
    builder->status = pith_graph_add_tensor(builder->graph, &tensor, &id, builder->error);
  return builder->status == PITH_OK ? id : PITH_NONE;
}

pith_tensor_id pith_build_input(pith_builder *builder, const char *name, pith_dtype dtype,
                                uint32_t rank, const pith_dim *dims) {
  if (builder->status != PITH_OK)
    return PITH_NONE;
  pith_tensor tensor = {
      .name = name, .kind = PITH_TENSOR_INPUT, .dtype = dtype, .rank = rank, .producer = PITH_NONE};
  if (rank > PITH_MAX_RANK) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "input '%s': rank %u is over %d",
                      name == NULL ? "" : name, rank, PITH_MAX_RANK);
    return PITH_NONE;
  }
  for (uint32_t i = 0; i < rank; i++)
    tensor.dims[i] = dims[i];
  pith_tensor_id id = add_tensor(builder, tensor);
  if (builder->status == PITH_OK)
    builder->status = pith_graph_add_input(builder->graph, id, builder->error);
  return builder->status == PITH_OK ? id : PITH_NONE;
}

pith_tensor_id pith_build_data(pith_builder *builder, pith_tensor_kind kind, const char *name,
                               pith_dtype dtype, uint32_t rank, const int64_t *dims,
                               pith_layout layout, const void *data, uint64_t data_bytes) {
  if (builder->status != PITH_OK)
    return PITH_NONE;
  if (rank > PITH_MAX_RANK || (kind != PITH_TENSOR_CONSTANT && kind != PITH_TENSOR_PARAMETER)) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT,
                      "data '%s': kind %d must be constant or parameter, rank %u at most %d",
                      name == NULL ? "" : name, (int)kind, rank, PITH_MAX_RANK);
    return PITH_NONE;
  }
  pith_tensor tensor = {.name = name,
                        .kind = kind,
                        .dtype = dtype,
                        .layout = layout,
                        .rank = rank,
                        .data = data,
                        .data_bytes = data_bytes,
                        .producer = PITH_NONE};
  for (uint32_t i = 0; i < rank; i++)
    tensor.dims[i] = pith_dim_of(dims[i]);
  if (data == NULL && data_bytes == 0)
    builder->status =
        pith_layout_get_bytes(layout, dtype, rank, tensor.dims, &tensor.data_bytes, builder->error);
  return builder->status == PITH_OK ? add_tensor(builder, tensor) : PITH_NONE;
}

/* Defaults, then the settings over them. */
static void set_attributes(pith_builder *builder, const pith_operator *op, const char *name,
                           uint32_t count, const pith_attribute_setting *settings,
                           pith_attribute *out_attributes) {
  bool given[PITH_MAX_ATTRIBUTES] = {false};
  uint32_t row_count = pith_operator_count_attributes(op);
  for (uint32_t i = 0; i < row_count; i++)
    out_attributes[i] = pith_attribute_default(&op->attributes[i]);
  for (uint32_t i = 0; i < count; i++) {
    uint32_t row = 0;
    while (row < row_count && strcmp(op->attributes[row].name, settings[i].name) != 0)
      row++;
    if (row == row_count) {
      pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "node '%s' (%s) has no attribute '%s'",
                        name, op->name, settings[i].name);
      return;
    }
    if (given[row]) {
      pith_builder_fail(builder, PITH_INVALID_ARGUMENT,
                        "node '%s' (%s): attribute '%s' is given twice", name, op->name,
                        settings[i].name);
      return;
    }
    given[row] = true;
    out_attributes[row] = settings[i].value;
  }
  for (uint32_t i = 0; i < row_count; i++)
    if (op->attributes[i].required && !given[i]) {
      pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "node '%s' (%s) needs attribute '%s'", name,
                        op->name, op->attributes[i].name);
      return;
    }
}

pith_tensor_id pith_build_node(pith_builder *builder, const char *name, int op_id,
                               uint32_t input_count, const pith_tensor_id *inputs,
                               uint32_t attribute_count, const pith_attribute_setting *attributes) {
  const pith_operator *op = pith_operator_get((pith_operator_id)op_id);
  if (op == NULL) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT,
                      "node '%s': operator %d is not in the table of %d", name == NULL ? "" : name,
                      op_id, PITH_OP_COUNT);
    return PITH_NONE;
  }
  return pith_build_operator(builder, name, op, input_count, inputs, attribute_count, attributes);
}

pith_tensor_id pith_build_operator(pith_builder *builder, const char *name, const pith_operator *op,
                                   uint32_t input_count, const pith_tensor_id *inputs,
                                   uint32_t attribute_count,
                                   const pith_attribute_setting *attributes) {
  if (builder->status != PITH_OK)
    return PITH_NONE;
  pith_graph *graph = builder->graph;
  char made_name[64];
  if (name == NULL) {
    snprintf(made_name, sizeof made_name, "%s_%u", op->name, graph->node_count);
    name = made_name;
  }
  if (input_count > pith_port_count(op->inputs)) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "node '%s' (%s) has %u inputs, at most %u",
                      name, op->name, input_count, pith_port_count(op->inputs));
    return PITH_NONE;
  }
  pith_tensor_id input_ids[PITH_MAX_PORTS], output_ids[PITH_MAX_PORTS];
  pith_attribute values[PITH_MAX_ATTRIBUTES];
  uint32_t output_count = pith_port_count(op->outputs);
  for (uint32_t i = 0; i < input_count; i++)
    input_ids[i] = inputs[i];
  for (uint32_t i = 0; i < output_count; i++)
    output_ids[i] = graph->tensor_count + i;
  set_attributes(builder, op, name, attribute_count, attributes, values);
  if (builder->status != PITH_OK)
    return PITH_NONE;
  const pith_node node = {.name = name,
                          .op = op,
                          .input_count = input_count,
                          .output_count = output_count,
                          .inputs = input_ids,
                          .outputs = output_ids,
                          .attributes = values};
  pith_inference inference;
  builder->status = pith_node_infer(graph, &node, &inference, builder->error);
  for (uint32_t i = 0; builder->status == PITH_OK && i < output_count; i++) {
    pith_tensor tensor = {.name = name,
                          .kind = PITH_TENSOR_VALUE,
                          .dtype = inference.outputs[i].dtype,
                          .rank = inference.outputs[i].rank,
                          .producer = graph->node_count};
    memcpy(tensor.dims, inference.outputs[i].dims, sizeof tensor.dims);
    if (output_count > 1) {
      tensor.name = pith_arena_format(&graph->arena, "%s.%u", name, i);
      if (tensor.name == NULL) {
        pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory for an output of node '%s'",
                          name);
        break;
      }
    }
    add_tensor(builder, tensor);
  }
  if (builder->status == PITH_OK)
    builder->status = pith_graph_add_node(graph, &node, NULL, builder->error);
  return builder->status == PITH_OK ? output_ids[0] : PITH_NONE;
}

void pith_build_output(pith_builder *builder, pith_tensor_id tensor, const char *name) {
  if (builder->status != PITH_OK)
    return;
  pith_graph *graph = builder->graph;
  if (tensor >= graph->tensor_count) {
    pith_builder_fail(builder, PITH_INVALID_ARGUMENT, "output '%s' is tensor %u of %u",
                      name == NULL ? "" : name, tensor, graph->tensor_count);
    return;
  }
  if (name != NULL) {
    const char *copy = pith_arena_string(&graph->arena, name, strlen(name));
    if (copy == NULL) {
      pith_builder_fail(builder, PITH_OUT_OF_MEMORY, "no memory for output '%s'", name);
      return;
    }
    graph->tensors[tensor].name = copy;
  }
  builder->status = pith_graph_add_output(graph, tensor, builder->error);
}
