/* The readable form and Graphviz. Pieces are written as they come, so that nothing has to be
 * allocated. */
#include <inttypes.h>

#include "engine/ir/ir_internal.h"

enum { LINE_PIECE_BYTES = 512 };

static void write_shape(const pith_graph *graph, const pith_tensor *tensor,
                        const pith_text_sink *sink) {
  char buffer[LINE_PIECE_BYTES];
  pith_text text = pith_text_of(buffer, sizeof buffer);
  pith_text_add(&text, " %s", pith_dtype_get_info(tensor->dtype)->name);
  pith_text_add_shape(&text, graph, tensor->rank, tensor->dims);
  pith_sink_string(sink, buffer);
}

static void write_name(const pith_graph *graph, pith_tensor_id id, const pith_text_sink *sink) {
  if (id == PITH_NONE) {
    pith_sink_string(sink, "_");
    return;
  }
  pith_sink_string(sink, "%");
  pith_sink_string(sink, graph->tensors[id].name);
}

static bool is_default(const pith_attribute_row *row, const pith_attribute *value) {
  if (row->required)
    return false;
  if (row->type == PITH_ATTRIBUTE_FLOAT)
    return value->f == row->default_float;
  if (row->type == PITH_ATTRIBUTE_INTS)
    return value->ints.count == 0;
  return value->i == row->default_int;
}

bool pith_text_add_attributes(pith_text *text, const pith_node *node) {
  bool any = false;
  for (uint32_t i = 0; node->op->attributes[i].name != NULL; i++) {
    const pith_attribute_row *row = &node->op->attributes[i];
    if (is_default(row, &node->attributes[i]))
      continue;
    pith_text_add(text, "%s%s=", any ? ", " : "", row->name);
    pith_text_add_attribute(text, row, &node->attributes[i]);
    any = true;
  }
  return any;
}

static void print_node(const pith_graph *graph, const pith_node *node, const pith_text_sink *sink) {
  for (uint32_t i = 0; i < node->output_count; i++) {
    if (i != 0)
      pith_sink_string(sink, ", ");
    write_name(graph, node->outputs[i], sink);
    write_shape(graph, &graph->tensors[node->outputs[i]], sink);
  }
  pith_sink_format(sink, " = %s(", node->op->name);
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (i != 0)
      pith_sink_string(sink, ", ");
    write_name(graph, node->inputs[i], sink);
  }
  pith_sink_string(sink, ")");
  char buffer[LINE_PIECE_BYTES];
  pith_text text = pith_text_of(buffer, sizeof buffer);
  if (pith_text_add_attributes(&text, node))
    pith_sink_format(sink, " {%s}", buffer);
  /* A node is called like its first output, unless that was renamed. */
  if (strcmp(node->name, graph->tensors[node->outputs[0]].name) != 0) {
    pith_sink_string(sink, " @");
    pith_sink_string(sink, node->name);
  }
  pith_sink_string(sink, "\n");
}

/* " 4x1 0.80": the pattern, and the share of elements that its mask leaves out, rounded down. */
static void write_pattern(const pith_tensor *tensor, const pith_text_sink *sink) {
  char pattern[PITH_PATTERN_TEXT_BYTES];
  if (tensor->pattern.kind == PITH_PATTERN_DENSE)
    return;
  const uint64_t count = (uint64_t)tensor->dims[0].constant * (uint64_t)tensor->dims[1].constant;
  const uint64_t left_out = count - tensor->kept;
  const unsigned percent = count == 0 ? 0 : (unsigned)((double)left_out * 100 / (double)count);
  pith_pattern_format(&tensor->pattern, pattern);
  pith_sink_format(sink, " %s %u.%02u", pattern, percent / 100, percent % 100);
}

void pith_graph_print(const pith_graph *graph, const pith_text_sink *sink) {
  pith_sink_string(sink, "graph ");
  pith_sink_string(sink, graph->name);
  pith_sink_string(sink, "\n");
  for (uint32_t i = 0; i < graph->input_count; i++) {
    pith_sink_string(sink, "input ");
    write_name(graph, graph->inputs[i], sink);
    write_shape(graph, &graph->tensors[graph->inputs[i]], sink);
    pith_sink_string(sink, "\n");
  }
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    if (!pith_tensor_is_data(tensor))
      continue;
    pith_sink_format(sink, "%s ", pith_tensor_kind_get_name(tensor->kind));
    write_name(graph, i, sink);
    write_shape(graph, tensor, sink);
    pith_sink_format(sink, " %s %" PRIu64 " bytes%s", pith_layout_get_name(tensor->layout),
                     tensor->data_bytes, tensor->data == NULL ? ", absent" : "");
    write_pattern(tensor, sink);
    pith_sink_string(sink, "\n");
  }
  for (uint32_t i = 0; i < graph->node_count; i++)
    print_node(graph, &graph->nodes[i], sink);
  for (uint32_t i = 0; i < graph->output_count; i++) {
    pith_sink_string(sink, "output ");
    write_name(graph, graph->outputs[i], sink);
    pith_sink_string(sink, "\n");
  }
}

/* ---- Graphviz
 * ----------------------------------------------------------------------------------------- */

/* Inside double quotes. */
static void write_quoted(const pith_text_sink *sink, const char *text) {
  for (;;) {
    size_t plain = strcspn(text, "\"\\");
    sink->write(sink->context, text, plain);
    text += plain;
    if (*text == '\0')
      return;
    pith_sink_string(sink, *text == '"' ? "\\\"" : "\\\\");
    text++;
  }
}

static void print_dot_node(const pith_graph *graph, pith_node_id id, const pith_text_sink *sink) {
  const pith_node *node = &graph->nodes[id];
  char buffer[LINE_PIECE_BYTES];
  pith_text text = pith_text_of(buffer, sizeof buffer);
  pith_sink_format(sink, "  n%" PRIu32 " [label=\"%s\\n", id, node->op->name);
  write_quoted(sink, node->name);
  if (pith_text_add_attributes(&text, node)) {
    pith_sink_string(sink, "\\n");
    write_quoted(sink, buffer);
  }
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == PITH_NONE)
      continue;
    const pith_tensor *tensor = &graph->tensors[node->inputs[i]];
    if (!pith_tensor_is_data(tensor))
      continue;
    pith_sink_string(sink, "\\n");
    write_quoted(sink, tensor->name);
    write_shape(graph, tensor, sink);
  }
  pith_sink_string(sink, "\"];\n");
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == PITH_NONE)
      continue;
    const pith_tensor *tensor = &graph->tensors[node->inputs[i]];
    if (tensor->kind == PITH_TENSOR_VALUE)
      pith_sink_format(sink, "  n%" PRIu32 " -> n%" PRIu32 " [label=\"", tensor->producer, id);
    else if (tensor->kind == PITH_TENSOR_INPUT)
      pith_sink_format(sink, "  t%" PRIu32 " -> n%" PRIu32 " [label=\"", node->inputs[i], id);
    else
      continue;
    write_shape(graph, tensor, sink);
    pith_sink_string(sink, "\"];\n");
  }
}

void pith_graph_print_dot(const pith_graph *graph, const pith_text_sink *sink) {
  pith_sink_string(sink, "digraph \"");
  write_quoted(sink, graph->name);
  pith_sink_string(sink, "\" {\n  node [shape=box, fontname=\"Helvetica\", fontsize=10];\n"
                         "  edge [fontname=\"Helvetica\", fontsize=8];\n");
  for (uint32_t i = 0; i < graph->input_count; i++) {
    pith_sink_format(sink, "  t%" PRIu32 " [shape=ellipse, label=\"", graph->inputs[i]);
    write_quoted(sink, graph->tensors[graph->inputs[i]].name);
    write_shape(graph, &graph->tensors[graph->inputs[i]], sink);
    pith_sink_string(sink, "\"];\n");
  }
  for (uint32_t i = 0; i < graph->node_count; i++)
    print_dot_node(graph, i, sink);
  for (uint32_t i = 0; i < graph->output_count; i++) {
    const pith_tensor *tensor = &graph->tensors[graph->outputs[i]];
    pith_sink_format(sink, "  o%" PRIu32 " [shape=ellipse, label=\"", i);
    write_quoted(sink, tensor->name);
    pith_sink_format(sink, "\"];\n  n%" PRIu32 " -> o%" PRIu32 " [label=\"", tensor->producer, i);
    write_shape(graph, tensor, sink);
    pith_sink_string(sink, "\"];\n");
  }
  pith_sink_string(sink, "}\n");
}
