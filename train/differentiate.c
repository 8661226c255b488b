#include "train/differentiate.h"

#include <stdio.h>
#include <string.h>

#include "engine/ir/operator.h"
#include "train/gradients.h"
#include "train/operators.h"

struct pith_backward {
  pith_builder builder;
  pith_graph *graph;
  pith_arena scratch;
  uint32_t tensors, nodes; /* of the forward pass */
  bool *wanted;            /* [tensors] it is wanted itself, or something wanted leads to it */
  bool *leads;             /* [tensors] to the loss */
  pith_tensor_id *gradients; /* [tensors] as far as they were added up */
  pith_tensor_id *values;    /* [tensors] where they are read: pith_backward_value */
  pith_gradient **by_rows;   /* [tensors] tables of which only rows are wanted */
  uint32_t named;            /* nodes that got a name */
  float number_values[2];
  pith_tensor_id numbers[2];
  uint32_t number_count;
};

/* ---- what the functions of rows are written with ------------------------------------------------------------------------- */

bool pith_backward_wants(const pith_backward *b, pith_tensor_id tensor) {
  return tensor != PITH_NONE && b->wanted[tensor];
}

pith_tensor_id pith_backward_value(const pith_backward *b, pith_tensor_id tensor) {
  return tensor == PITH_NONE || tensor >= b->tensors ? tensor : b->values[tensor];
}

const pith_tensor *pith_backward_tensor(const pith_backward *b, pith_tensor_id tensor) {
  return &b->graph->tensors[tensor];
}

pith_tensor_id pith_backward_build(pith_backward *b, const pith_node *for_node, int op_id, uint32_t input_count,
                                   const pith_tensor_id *inputs, uint32_t attribute_count, const pith_attribute_setting *attributes) {
  char name[PITH_MAX_NAME_BYTES + 1];
  snprintf(name, sizeof name, "%.220s.grad%u", for_node->name, b->named++);
  return pith_build_operator(&b->builder, name, pith_training_operator_get(op_id), input_count, inputs, attribute_count, attributes);
}

pith_tensor_id pith_backward_number(pith_backward *b, float number) {
  uint32_t i = 0;
  while (i < b->number_count && b->number_values[i] != number)
    i++;
  if (i < b->number_count)
    return b->numbers[i];
  float *data = pith_arena_array(&b->graph->arena, 16, sizeof *data); /* the arena aligns pieces of 64 bytes as data has to be */
  if (data == NULL)
    pith_builder_fail(&b->builder, PITH_OUT_OF_MEMORY, "no memory for a number");
  else
    data[0] = number;
  char name[32];
  snprintf(name, sizeof name, "number.grad%u", b->named++);
  const pith_tensor_id id =
      pith_build_data(&b->builder, PITH_TENSOR_CONSTANT, name, PITH_DTYPE_F32, 0, NULL, PITH_LAYOUT_ROW_MAJOR, data, sizeof *data);
  if (b->number_count < sizeof b->numbers / sizeof *b->numbers) {
    b->number_values[b->number_count] = number;
    b->numbers[b->number_count++] = id;
  }
  return id;
}

void pith_backward_add(pith_backward *b, pith_tensor_id tensor, pith_tensor_id gradient) {
  if (!pith_backward_wants(b, tensor) || gradient == PITH_NONE)
    return;
  pith_tensor_id *sum = &b->gradients[tensor];
  if (*sum == PITH_NONE) {
    *sum = gradient;
    return;
  }
  const pith_node named = {.name = b->graph->tensors[tensor].name};
  *sum = pith_backward_build(b, &named, PITH_OP_ADD, 2, (pith_tensor_id[]){*sum, gradient}, 0, NULL);
}

static pith_tensor_id reduce(pith_backward *b, const char *name, pith_tensor_id x, uint32_t count, const int64_t *axes, bool keep) {
  const pith_node named = {.name = name};
  const pith_attribute_setting attributes[2] = {{"axes", {.type = PITH_ATTRIBUTE_INTS, .ints = {count, axes}}},
                                                PITH_SET_INT("keepdims", keep)};
  return pith_backward_build(b, &named, PITH_OP_REDUCE_SUM, 1, &x, 2, attributes);
}

/* Dimensions that the tensor has not, which are in front, then those that it has as 1. */
void pith_backward_add_reduced(pith_backward *b, pith_tensor_id tensor, pith_tensor_id gradient) {
  if (!pith_backward_wants(b, tensor) || gradient == PITH_NONE)
    return;
  const pith_tensor *like = &b->graph->tensors[tensor];
  const char *name = like->name;
  const uint32_t rank = like->rank, extra = b->graph->tensors[gradient].rank - rank;
  const pith_dim one = pith_dim_of(1);
  int64_t axes[PITH_MAX_RANK];
  uint32_t count = 0;
  for (; count < extra; count++)
    axes[count] = count;
  if (count != 0)
    gradient = reduce(b, name, gradient, count, axes, false);
  if (gradient == PITH_NONE)
    return;
  count = 0;
  for (uint32_t d = 0; d < rank; d++)
    if (pith_dim_equal(&b->graph->tensors[tensor].dims[d], &one) && !pith_dim_equal(&b->graph->tensors[gradient].dims[d], &one))
      axes[count++] = d;
  if (count != 0)
    gradient = reduce(b, name, gradient, count, axes, true);
  pith_backward_add(b, tensor, gradient);
}

bool pith_backward_add_rows(pith_backward *b, pith_tensor_id table, pith_tensor_id gradient, pith_tensor_id ids) {
  pith_gradient *by_rows = b->by_rows[table];
  if (by_rows == NULL)
    return false;
  by_rows->ids = pith_backward_value(b, ids);
  b->gradients[table] = gradient;
  return true;
}

/* ---- values that are computed again ---------------------------------------------------------------------------------------- */

/* The same nodes once more, reading what the first ones read. What nothing reads goes when the graph is lowered. */
static void compute_again(pith_backward *b, pith_node_id begin, pith_node_id end) {
  for (pith_node_id n = begin; n < end && b->builder.status == PITH_OK; n++) {
    const pith_node node = b->graph->nodes[n]; /* the array moves as nodes are added */
    pith_tensor_id inputs[PITH_MAX_PORTS];
    pith_attribute_setting attributes[PITH_MAX_ATTRIBUTES];
    uint32_t count = 0;
    for (uint32_t i = 0; i < node.input_count; i++)
      inputs[i] = pith_backward_value(b, node.inputs[i]);
    for (; node.op->attributes[count].name != NULL; count++)
      attributes[count] = (pith_attribute_setting){node.op->attributes[count].name, node.attributes[count]};
    const pith_tensor_id first = pith_backward_build(b, &node, (int)node.op->id, node.input_count, inputs, count, attributes);
    for (uint32_t i = 0; i < node.output_count && first != PITH_NONE; i++)
      b->values[node.outputs[i]] = first + i;
  }
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

static bool is_float(const pith_backward *b, pith_tensor_id tensor) {
  return pith_dtype_get_info(b->graph->tensors[tensor].dtype)->is_float;
}

/* What wanted tensors lead to, through whatever operator, and what leads to the loss. */
static void mark(pith_backward *b, pith_tensor_id loss) {
  const pith_graph *graph = b->graph;
  for (pith_node_id n = 0; n < b->nodes; n++) {
    bool any = false;
    const uint32_t stops = pith_gradient_get_stops((int)graph->nodes[n].op->id);
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      any |= (stops >> i & 1) == 0 && pith_backward_wants(b, graph->nodes[n].inputs[i]);
    for (uint32_t i = 0; i < graph->nodes[n].output_count; i++)
      b->wanted[graph->nodes[n].outputs[i]] |= any;
  }
  b->leads[loss] = true;
  for (pith_node_id n = b->nodes; n-- > 0;) {
    bool any = false;
    for (uint32_t i = 0; i < graph->nodes[n].output_count; i++)
      any |= b->leads[graph->nodes[n].outputs[i]];
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++)
      if (graph->nodes[n].inputs[i] != PITH_NONE)
        b->leads[graph->nodes[n].inputs[i]] |= any;
  }
}

/* Whether the node lies on the way; a failure where it has no gradient by an input that does. */
static bool lies_on_the_way(pith_backward *b, const pith_node *node) {
  const pith_gradient_row *row = pith_gradient_row_get((int)node->op->id);
  bool leads = false, wanted = false;
  for (uint32_t i = 0; i < node->output_count; i++)
    leads |= b->leads[node->outputs[i]];
  for (uint32_t i = 0; i < node->input_count && leads; i++) {
    if ((pith_gradient_get_stops((int)node->op->id) >> i & 1) != 0 || !pith_backward_wants(b, node->inputs[i]) || !is_float(b, node->inputs[i]))
      continue;
    wanted = true;
    if ((row->inputs >> i & 1) == 0)
      pith_builder_fail(&b->builder, PITH_UNSUPPORTED, "node '%s' (%s) has no gradient by its input %s: %s", node->name,
                        node->op->name, node->op->inputs[i].name, row->reason);
  }
  return wanted;
}

static void go_back(pith_backward *b, const pith_differentiate_options *options) {
  uint32_t segment = options == NULL ? 0 : options->segment_count;
  for (pith_node_id n = b->nodes; n-- > 0 && b->builder.status == PITH_OK;) {
    const pith_node node = b->graph->nodes[n];
    if (segment > 0 && n < options->segment_begins[segment]) {
      compute_again(b, options->segment_begins[segment - 1], options->segment_begins[segment]);
      segment--;
    }
    if (!lies_on_the_way(b, &node))
      continue;
    pith_tensor_id dy[PITH_MAX_PORTS];
    bool any = false;
    for (uint32_t i = 0; i < node.output_count; i++) {
      dy[i] = b->gradients[node.outputs[i]];
      any |= dy[i] != PITH_NONE;
    }
    if (any && b->builder.status == PITH_OK)
      pith_gradient_row_get((int)node.op->id)->build(b, &node, dy);
  }
}

/* A value that a node writes and that is none of the others, so that it may become an output of its own. */
static pith_tensor_id make_own(pith_backward *b, const char *name, pith_tensor_id tensor, const pith_gradient *others, size_t count) {
  if (tensor == PITH_NONE || b->builder.status != PITH_OK)
    return PITH_NONE;
  bool own = b->graph->tensors[tensor].kind == PITH_TENSOR_VALUE;
  for (size_t i = 0; i < count; i++)
    own &= others[i].gradient != tensor && others[i].ids != tensor;
  const pith_node named = {.name = name};
  return own ? tensor : pith_backward_build(b, &named, PITH_OP_IDENTITY, 1, &tensor, 0, NULL);
}

static void finish(pith_backward *b, pith_gradient *gradients, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const char *name = b->graph->tensors[gradients[i].of].name;
    gradients[i].gradient = make_own(b, name, b->gradients[gradients[i].of], gradients, i);
    gradients[i].ids = make_own(b, name, gradients[i].ids, gradients, i);
  }
}

/* One Gather of rows alone reads the table. */
static bool is_read_by_rows(const pith_graph *graph, pith_tensor_id table) {
  bool found = false;
  for (pith_node_id n = 0; n < graph->node_count; n++)
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
      const pith_node *node = &graph->nodes[n];
      if (node->inputs[i] != table)
        continue;
      if (found || i != 0 || node->op->id != PITH_OP_GATHER || graph->tensors[table].rank != 2)
        return false;
      const int64_t axis = pith_node_get_attribute(node, "axis")->i;
      const pith_tensor *ids = &graph->tensors[node->inputs[1]];
      if ((axis != 0 && axis != -2) || ids->rank != 1 || ids->dtype != PITH_DTYPE_S32)
        return false;
      found = true;
    }
  return found;
}

static pith_status differentiate(pith_backward *b, pith_tensor_id loss, pith_gradient *gradients, size_t count,
                                 const pith_differentiate_options *options, pith_error *error) {
  b->wanted = PITH_ARENA_NEW(&b->scratch, bool, b->tensors);
  b->leads = PITH_ARENA_NEW(&b->scratch, bool, b->tensors);
  b->gradients = PITH_ARENA_NEW(&b->scratch, pith_tensor_id, b->tensors);
  b->values = PITH_ARENA_NEW(&b->scratch, pith_tensor_id, b->tensors);
  b->by_rows = PITH_ARENA_NEW(&b->scratch, pith_gradient *, b->tensors);
  if (b->wanted == NULL || b->leads == NULL || b->gradients == NULL || b->values == NULL || b->by_rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to differentiate a graph of %u tensors", b->tensors);
  for (pith_tensor_id t = 0; t < b->tensors; t++) {
    b->gradients[t] = PITH_NONE;
    b->values[t] = t;
  }
  for (size_t i = 0; i < count; i++) {
    if (gradients[i].of >= b->tensors || !is_float(b, gradients[i].of))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "gradient %zu is of tensor %u, which is no float of the graph", i,
                       gradients[i].of);
    gradients[i].gradient = gradients[i].ids = PITH_NONE;
    b->wanted[gradients[i].of] = true;
    if (gradients[i].by_rows && is_read_by_rows(b->graph, gradients[i].of))
      b->by_rows[gradients[i].of] = &gradients[i];
  }
  mark(b, loss);
  if (b->wanted[loss])
    b->gradients[loss] = pith_backward_number(b, 1);
  go_back(b, options);
  finish(b, gradients, count);
  return b->builder.status;
}

pith_status pith_differentiate(pith_graph *graph, pith_tensor_id loss, pith_gradient *gradients, size_t count,
                               const pith_differentiate_options *options, pith_error *error) {
  if (loss >= graph->tensor_count || graph->tensors[loss].rank != 0 || graph->tensors[loss].dtype != PITH_DTYPE_F32)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the loss is tensor %u, which is no f32 number of the graph", loss);
  pith_backward b = {.graph = graph, .tensors = graph->tensor_count, .nodes = graph->node_count};
  pith_builder_init(&b.builder, graph, error);
  pith_arena_init(&b.scratch, graph->arena.allocator);
  pith_status status = differentiate(&b, loss, gradients, count, options, error);
  pith_arena_deinit(&b.scratch);
  return status;
}
