/* The specification of graphs. Each rule is one check with one message; a graph from a file is safe
 * to use once all of them hold. Time is n log n in names and nodes, whatever the file says. */
#include "engine/ir/ir_internal.h"

typedef struct verifier {
  const pith_graph *graph;
  pith_graph terms;       /* the same graph with an arena of its own, for inference and scratch */
  bool *is_input;         /* [tensor_count] listed in graph->inputs */
  bool *is_written;       /* [tensor_count] by a node visited so far */
  pith_symbol_id *packed; /* [tensor_count] offsets: the symbol of the rows that they divide */
  bool *is_bound;         /* [symbol_count] an input dimension gives its value */
  pith_error *error;
} verifier;

/* ---- names
 * -------------------------------------------------------------------------------------------- */

/* Zero-terminated within PITH_MAX_NAME_BYTES, all bytes graphic ASCII (`spaces`: or spaces). */
static bool is_name(const char *name, bool spaces) {
  if (name == NULL || name[0] == '\0')
    return false;
  size_t bytes = 0;
  for (; name[bytes] != '\0'; bytes++)
    if (bytes == PITH_MAX_NAME_BYTES || name[bytes] < (spaces ? ' ' : '!') || name[bytes] > '~')
      return false;
  return true;
}

/* A letter or '_', then also digits: symbols stand in expressions. */
static bool is_symbol(const char *name) {
  if (!is_name(name, false) || (name[0] >= '0' && name[0] <= '9'))
    return false;
  for (const char *c = name; *c != '\0'; c++)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
          *c == '_'))
      return false;
  return true;
}

static pith_status fail_name(const char *what, uint32_t index, const char *rule,
                             pith_error *error) {
  return pith_fail(error, PITH_FORMAT, "%s %u has a name that is not 1 to %d bytes of %s", what,
                   index, PITH_MAX_NAME_BYTES, rule);
}

/* Heap sort: n log n for every order of names, and no memory. */
static void sift_down(const char **names, size_t root, size_t count) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && strcmp(names[child], names[child + 1]) < 0)
      child++;
    if (strcmp(names[root], names[child]) >= 0)
      return;
    const char *swap = names[root];
    names[root] = names[child];
    names[child] = swap;
  }
}

/* Sorts `names`, so that equal ones become neighbours. */
static pith_status check_unique(const char **names, size_t count, const char *what,
                                pith_error *error) {
  for (size_t i = count / 2; i-- > 0;)
    sift_down(names, i, count);
  for (size_t left = count; left-- > 1;) {
    const char *largest = names[0];
    names[0] = names[left];
    names[left] = largest;
    sift_down(names, 0, left);
  }
  for (size_t i = 1; i < count; i++)
    if (strcmp(names[i - 1], names[i]) == 0)
      return pith_fail(error, PITH_FORMAT, "two %s are named '%s'", what, names[i]);
  return PITH_OK;
}

static pith_status check_names(verifier *v) {
  const pith_graph *graph = v->graph;
  size_t most = graph->tensor_count > graph->node_count ? graph->tensor_count : graph->node_count;
  if (most < graph->symbol_count)
    most = graph->symbol_count;
  const char **names = PITH_ARENA_NEW(&v->terms.arena, const char *, most);
  if (names == NULL)
    return pith_fail(v->error, PITH_OUT_OF_MEMORY, "no memory to compare %zu names", most);
  if (!is_name(graph->name, true))
    return pith_fail(v->error, PITH_FORMAT,
                     "the graph has a name that is not 1 to %d bytes of printable ASCII",
                     PITH_MAX_NAME_BYTES);
  for (uint32_t i = 0; i < graph->symbol_count; i++) {
    names[i] = graph->symbols[i];
    if (!is_symbol(names[i]))
      return fail_name("symbol", i, "letters, digits and '_', no digit first", v->error);
  }
  PITH_TRY(check_unique(names, graph->symbol_count, "symbols", v->error));
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    names[i] = graph->tensors[i].name;
    if (!is_name(names[i], false))
      return fail_name("tensor", i, "printable ASCII without spaces", v->error);
  }
  PITH_TRY(check_unique(names, graph->tensor_count, "tensors", v->error));
  for (uint32_t i = 0; i < graph->node_count; i++) {
    names[i] = graph->nodes[i].name;
    if (!is_name(names[i], false))
      return fail_name("node", i, "printable ASCII without spaces", v->error);
  }
  return check_unique(names, graph->node_count, "nodes", v->error);
}

/* ---- tensors
 * ------------------------------------------------------------------------------------------ */

static pith_status check_array(const void *array, uint32_t count, uint32_t limit, const char *what,
                               pith_error *error) {
  if (count > limit)
    return pith_fail(error, PITH_FORMAT, "the graph has %u %s, over %u", count, what, limit);
  if (count != 0 && array == NULL)
    return pith_fail(error, PITH_FORMAT, "the graph lacks its %u %s", count, what);
  return PITH_OK;
}

static pith_status check_arrays(const pith_graph *graph, pith_error *error) {
  PITH_TRY(check_array(graph->symbols, graph->symbol_count, PITH_MAX_SYMBOLS, "symbols", error));
  PITH_TRY(check_array(graph->tensors, graph->tensor_count, PITH_MAX_TENSORS, "tensors", error));
  PITH_TRY(check_array(graph->nodes, graph->node_count, PITH_MAX_NODES, "nodes", error));
  PITH_TRY(check_array(graph->inputs, graph->input_count, graph->tensor_count, "inputs", error));
  PITH_TRY(check_array(graph->outputs, graph->output_count, graph->tensor_count, "outputs", error));
  if (graph->output_count == 0)
    return pith_fail(error, PITH_FORMAT, "the graph has no output");
  return PITH_OK;
}

/* The constant dimensions alone must fit; what the symbols multiply them by is checked when they
 * have values. */
static pith_status check_size(const pith_tensor *tensor, pith_error *error) {
  pith_dim constants[PITH_MAX_RANK];
  uint32_t count = 0;
  uint64_t bytes;
  for (uint32_t i = 0; i < tensor->rank; i++)
    if (pith_dim_is_constant(&tensor->dims[i]))
      constants[count++] = tensor->dims[i];
  if (pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, count, constants, &bytes, NULL) !=
      PITH_OK)
    return pith_fail(error, PITH_FORMAT, "tensor '%s' takes more than %llu bytes", tensor->name,
                     (unsigned long long)PITH_MAX_TENSOR_BYTES);
  return PITH_OK;
}

static pith_status check_copy(const pith_tensor *tensor, const pith_tensor_copy *copy,
                              pith_error *error) {
  if (copy->target_count == 0 || copy->target_count > PITH_MAX_COPIES)
    return pith_fail(error, PITH_FORMAT, "a copy of '%s' has %u targets, not 1 to %d", tensor->name,
                     copy->target_count, PITH_MAX_COPIES);
  if (copy->transposed && tensor->rank != 2)
    return pith_fail(error, PITH_FORMAT, "a copy of '%s' is transposed, its rank is %u",
                     tensor->name, tensor->rank);
  const pith_dim swapped[2] = {tensor->dims[1], tensor->dims[0]};
  /* A product trusts the bytes of such a layout: those of a tensor itself are checked where weights become a session's. */
  if (pith_layout_get_sparse_form(copy->layout) != PITH_SPARSE_FORM_COUNT)
    return pith_fail(error, PITH_FORMAT, "a copy of '%s' cannot be in layout %s", tensor->name,
                     pith_layout_get_name(copy->layout));
  pith_error detail;
  pith_status status =
      pith_layout_check_bytes(copy->layout, tensor->dtype, tensor->rank,
                              copy->transposed ? swapped : tensor->dims, copy->data_bytes, &detail);
  if (status != PITH_OK)
    return pith_fail(error, status, "a copy of '%s': %s", tensor->name, detail.message);
  if ((copy->data == NULL && copy->data_bytes != 0) || (uintptr_t)copy->data % 64 != 0)
    return pith_fail(error, PITH_FORMAT, "a copy of '%s' has no data at a multiple of 64",
                     tensor->name);
  return PITH_OK;
}

/* The mask itself is in the data, which are not read. */
static pith_status check_pattern(const pith_tensor *tensor, pith_error *error) {
  const bool has_pattern = tensor->pattern.kind != PITH_PATTERN_DENSE;
  pith_error detail;
  if (pith_pattern_check(&tensor->pattern, &detail) != PITH_OK)
    return pith_fail(error, PITH_FORMAT, "tensor '%s': %s", tensor->name, detail.message);
  if (!has_pattern && tensor->kept != 0)
    return pith_fail(error, PITH_FORMAT, "tensor '%s' keeps %llu elements of no pattern", tensor->name,
                     (unsigned long long)tensor->kept);
  if (!has_pattern)
    return PITH_OK;
  if (!pith_tensor_is_data(tensor) || tensor->rank != 2 ||
      (tensor->dtype != PITH_DTYPE_F32 && tensor->dtype != PITH_DTYPE_S8))
    return pith_fail(error, PITH_FORMAT,
                     "%s '%s', %s of rank %u, has a pattern, only f32 and s8 constants and parameters of rank 2 do",
                     pith_tensor_kind_get_name(tensor->kind), tensor->name, pith_dtype_get_info(tensor->dtype)->name,
                     tensor->rank);
  const uint64_t count = (uint64_t)tensor->dims[0].constant * (uint64_t)tensor->dims[1].constant; /* of at most 31 bits */
  if (tensor->kept > count)
    return pith_fail(error, PITH_FORMAT, "tensor '%s' keeps %llu elements of %llu", tensor->name,
                     (unsigned long long)tensor->kept, (unsigned long long)count);
  return PITH_OK;
}

static pith_status check_copies(const pith_tensor *tensor, pith_error *error) {
  if (tensor->copy_count > PITH_MAX_COPIES)
    return pith_fail(error, PITH_LIMIT, "'%s' has %u copies, over %d", tensor->name,
                     tensor->copy_count, PITH_MAX_COPIES);
  for (uint32_t i = 0; i < tensor->copy_count; i++)
    PITH_TRY(check_copy(tensor, &tensor->copies[i], error));
  return PITH_OK;
}

static pith_status check_data(const pith_graph *graph, const pith_tensor *tensor,
                              pith_error *error) {
  const char *kind = pith_tensor_kind_get_name(tensor->kind);
  if (tensor->producer != PITH_NONE)
    return pith_fail(error, PITH_FORMAT, "%s '%s' names node %u as its producer, it has none", kind,
                     tensor->name, tensor->producer);
  for (uint32_t i = 0; i < tensor->rank; i++)
    if (!pith_dim_is_constant(&tensor->dims[i])) {
      char shape[PITH_SHAPE_TEXT_BYTES];
      pith_text text = pith_text_of(shape, sizeof shape);
      pith_text_add_shape(&text, graph, tensor->rank, tensor->dims);
      return pith_fail(error, PITH_FORMAT, "%s '%s' is %s, its dimension %u must be a number", kind,
                       tensor->name, shape, i);
    }
  pith_error detail;
  pith_status status = pith_layout_check_bytes(tensor->layout, tensor->dtype, tensor->rank,
                                               tensor->dims, tensor->data_bytes, &detail);
  if (status != PITH_OK)
    return pith_fail(error, status, "%s '%s': %s", kind, tensor->name, detail.message);
  if ((uintptr_t)tensor->data % 64 != 0)
    return pith_fail(error, PITH_FORMAT, "%s '%s': its data lies %u bytes past a multiple of 64",
                     kind, tensor->name, (unsigned)((uintptr_t)tensor->data % 64));
  PITH_TRY(check_pattern(tensor, error));
  return check_copies(tensor, error);
}

static pith_status check_no_data(const pith_tensor *tensor, pith_error *error) {
  if (tensor->data != NULL || tensor->data_bytes != 0 || tensor->layout != PITH_LAYOUT_ROW_MAJOR ||
      tensor->copy_count != 0)
    return pith_fail(error, PITH_FORMAT,
                     "%s '%s' has data or a layout, only constants and parameters do",
                     pith_tensor_kind_get_name(tensor->kind), tensor->name);
  return check_pattern(tensor, error);
}

static pith_status check_tensor(verifier *v, pith_tensor_id id) {
  const pith_graph *graph = v->graph;
  const pith_tensor *tensor = &graph->tensors[id];
  if (pith_dtype_get_info(tensor->dtype) == NULL)
    return pith_fail(v->error, PITH_FORMAT, "tensor '%s': dtype %d is not in the table of %d",
                     tensor->name, (int)tensor->dtype, PITH_DTYPE_COUNT);
  PITH_TRY(pith_shape_check(graph, "tensor", tensor->name, tensor->rank, tensor->dims, v->error));
  PITH_TRY(check_size(tensor, v->error));
  switch (tensor->kind) {
  case PITH_TENSOR_VALUE: /* that its producer produces it, visit_node and check_written find */
    return check_no_data(tensor, v->error);
  case PITH_TENSOR_INPUT:
    if (tensor->producer != PITH_NONE)
      return pith_fail(v->error, PITH_FORMAT,
                       "input '%s' names node %u as its producer, it has none", tensor->name,
                       tensor->producer);
    if (!v->is_input[id])
      return pith_fail(v->error, PITH_FORMAT, "input '%s' is not in the graph's list of inputs",
                       tensor->name);
    return check_no_data(tensor, v->error);
  case PITH_TENSOR_CONSTANT:
  case PITH_TENSOR_PARAMETER:
    return check_data(graph, tensor, v->error);
  }
  return pith_fail(v->error, PITH_FORMAT, "tensor '%s': kind %d is not in the table", tensor->name,
                   (int)tensor->kind);
}

/* The list of inputs, and that each symbol's value follows from an input's dimension. */
static pith_status check_inputs(verifier *v) {
  const pith_graph *graph = v->graph;
  for (uint32_t i = 0; i < graph->input_count; i++) {
    pith_tensor_id id = graph->inputs[i];
    if (id >= graph->tensor_count)
      return pith_fail(v->error, PITH_FORMAT, "input %u is tensor %u of %u", i, id,
                       graph->tensor_count);
    const pith_tensor *tensor = &graph->tensors[id];
    if (tensor->kind != PITH_TENSOR_INPUT)
      return pith_fail(v->error, PITH_FORMAT, "input %u '%s' is not of kind input", i,
                       tensor->name);
    if (v->is_input[id])
      return pith_fail(v->error, PITH_FORMAT, "'%s' is an input twice", tensor->name);
    v->is_input[id] = true;
  }
  return PITH_OK;
}

static pith_status check_symbols(verifier *v) {
  const pith_graph *graph = v->graph;
  for (uint32_t i = 0; i < graph->input_count; i++) {
    const pith_tensor *tensor = &graph->tensors[graph->inputs[i]];
    for (uint32_t d = 0; d < tensor->rank; d++)
      if (tensor->dims[d].term_count == 1)
        v->is_bound[tensor->dims[d].terms[0].symbol] = true;
  }
  for (uint32_t i = 0; i < graph->symbol_count; i++)
    if (!v->is_bound[i])
      return pith_fail(v->error, PITH_FORMAT,
                       "symbol '%s' gets no value: no dimension of an input has it alone",
                       graph->symbols[i]);
  return PITH_OK;
}

/* ---- nodes
 * -------------------------------------------------------------------------------------------- */

/* Offsets divide rows that are one symbol, everywhere the same one. */
static pith_status check_offsets(verifier *v, const pith_inference *inference) {
  const pith_node *node = inference->node;
  for (uint32_t i = 0; i < node->input_count; i++) {
    uint32_t packs = node->op->inputs[i].packs;
    if (packs == 0 || inference->inputs[i] == NULL)
      continue;
    const pith_tensor *offsets = inference->inputs[i], *rows = inference->inputs[packs - 1];
    const pith_dim *dim = &rows->dims[0];
    if (dim->term_count != 1 || dim->terms[0].coefficient != 1 || dim->constant != 0)
      return pith_fail(v->error, PITH_FORMAT,
                       "node '%s' (%s): %s '%s' is %s, rows that offsets divide must be one symbol",
                       node->name, node->op->name, node->op->inputs[packs - 1].name, rows->name,
                       pith_inference_shape(inference, packs - 1).text);
    pith_symbol_id *packed = &v->packed[node->inputs[i]];
    if (*packed != PITH_NONE && *packed != dim->terms[0].symbol)
      return pith_fail(v->error, PITH_FORMAT,
                       "node '%s' (%s): offsets '%s' divide %s here and %s before", node->name,
                       node->op->name, offsets->name, v->graph->symbols[dim->terms[0].symbol],
                       v->graph->symbols[*packed]);
    *packed = dim->terms[0].symbol;
  }
  return PITH_OK;
}

static pith_status check_output(verifier *v, pith_node_id id, uint32_t index,
                                const pith_inference *inference) {
  const pith_graph *graph = v->graph;
  const pith_node *node = &graph->nodes[id];
  pith_tensor_id tensor_id = node->outputs[index];
  if (tensor_id >= graph->tensor_count)
    return pith_fail(v->error, PITH_FORMAT, "node '%s' (%s): output %s is tensor %u of %u",
                     node->name, node->op->name, node->op->outputs[index].name, tensor_id,
                     graph->tensor_count);
  const pith_tensor *tensor = &graph->tensors[tensor_id];
  if (tensor->kind != PITH_TENSOR_VALUE)
    return pith_fail(v->error, PITH_FORMAT, "node '%s' (%s) writes '%s', which is of kind %s",
                     node->name, node->op->name, tensor->name,
                     pith_tensor_kind_get_name(tensor->kind));
  if (v->is_written[tensor_id])
    return pith_fail(v->error, PITH_FORMAT, "node '%s' (%s) writes '%s', which is written before",
                     node->name, node->op->name, tensor->name);
  if (tensor->producer != id)
    return pith_fail(v->error, PITH_FORMAT,
                     "node '%s' (%s) writes '%s', which names node %u, not %u", node->name,
                     node->op->name, tensor->name, tensor->producer, id);
  v->is_written[tensor_id] = true;
  if (tensor->dtype != inference->outputs[index].dtype)
    return pith_fail(v->error, PITH_FORMAT,
                     "node '%s' (%s): '%s' is stored as %s, inference gives %s", node->name,
                     node->op->name, tensor->name, pith_dtype_get_info(tensor->dtype)->name,
                     pith_dtype_get_info(inference->outputs[index].dtype)->name);
  bool equal = tensor->rank == inference->outputs[index].rank;
  for (uint32_t i = 0; equal && i < tensor->rank; i++)
    equal = pith_dim_equal(&tensor->dims[i], &inference->outputs[index].dims[i]);
  if (!equal) {
    char stored[PITH_SHAPE_TEXT_BYTES], inferred[PITH_SHAPE_TEXT_BYTES];
    pith_text stored_text = pith_text_of(stored, sizeof stored);
    pith_text inferred_text = pith_text_of(inferred, sizeof inferred);
    pith_text_add_shape(&stored_text, graph, tensor->rank, tensor->dims);
    pith_text_add_shape(&inferred_text, graph, inference->outputs[index].rank,
                        inference->outputs[index].dims);
    return pith_fail(v->error, PITH_FORMAT,
                     "node '%s' (%s): '%s' is stored as %s, inference gives %s", node->name,
                     node->op->name, tensor->name, stored, inferred);
  }
  return PITH_OK;
}

static pith_status check_node(verifier *v, pith_node_id id) {
  const pith_graph *graph = v->graph;
  const pith_node *node = &graph->nodes[id];
  pith_inference inference;
  PITH_TRY(pith_node_infer(&v->terms, node, &inference, v->error));
  for (uint32_t i = 0; i < node->input_count; i++) {
    const pith_tensor *tensor = inference.inputs[i];
    if (tensor != NULL && tensor->kind == PITH_TENSOR_VALUE && !v->is_written[node->inputs[i]])
      return pith_fail(
          v->error, PITH_FORMAT,
          "node '%s' (%s) reads '%s', which no node before it writes: nodes must be in order",
          node->name, node->op->name, tensor->name);
  }
  PITH_TRY(check_offsets(v, &inference));
  for (uint32_t i = 0; i < node->output_count; i++)
    PITH_TRY(check_output(v, id, i, &inference));
  return PITH_OK;
}

static pith_status check_outputs(verifier *v) {
  const pith_graph *graph = v->graph;
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    if (graph->tensors[i].kind == PITH_TENSOR_VALUE && !v->is_written[i])
      return pith_fail(v->error, PITH_FORMAT, "value '%s' is written by no node",
                       graph->tensors[i].name);
  /* is_written serves again: cleared, it marks outputs seen. */
  memset(v->is_written, 0, graph->tensor_count * sizeof *v->is_written);
  for (uint32_t i = 0; i < graph->output_count; i++) {
    pith_tensor_id id = graph->outputs[i];
    if (id >= graph->tensor_count)
      return pith_fail(v->error, PITH_FORMAT, "output %u is tensor %u of %u", i, id,
                       graph->tensor_count);
    if (graph->tensors[id].kind != PITH_TENSOR_VALUE)
      return pith_fail(v->error, PITH_FORMAT,
                       "output %u '%s' is of kind %s, it must be written by a node", i,
                       graph->tensors[id].name, pith_tensor_kind_get_name(graph->tensors[id].kind));
    if (v->is_written[id])
      return pith_fail(v->error, PITH_FORMAT, "'%s' is an output twice", graph->tensors[id].name);
    v->is_written[id] = true;
  }
  return PITH_OK;
}

static pith_status verify(verifier *v) {
  const pith_graph *graph = v->graph;
  pith_arena *arena = &v->terms.arena;
  PITH_TRY(check_arrays(graph, v->error));
  v->is_input = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  v->is_written = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  v->packed = PITH_ARENA_NEW(arena, pith_symbol_id, graph->tensor_count);
  v->is_bound = PITH_ARENA_NEW(arena, bool, graph->symbol_count);
  if (v->is_input == NULL || v->is_written == NULL || v->packed == NULL || v->is_bound == NULL)
    return pith_fail(v->error, PITH_OUT_OF_MEMORY, "no memory to verify a graph of %u tensors",
                     graph->tensor_count);
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    v->packed[i] = PITH_NONE;
  PITH_TRY(check_names(v));
  PITH_TRY(check_inputs(v));
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    PITH_TRY(check_tensor(v, i));
  PITH_TRY(check_symbols(v));
  for (uint32_t i = 0; i < graph->node_count; i++)
    PITH_TRY(check_node(v, i));
  return check_outputs(v);
}

pith_status pith_graph_verify(const pith_graph *graph, pith_error *error) {
  verifier v = {.graph = graph, .terms = *graph, .error = error};
  pith_arena_init(&v.terms.arena, graph->arena.allocator);
  pith_status status = verify(&v);
  pith_arena_deinit(&v.terms.arena);
  return status;
}
