/* docs/operators.md */
#include "engine/ir/ir_internal.h"

static void print_ports(const pith_port *ports, const char *title, const pith_text_sink *sink) {
  pith_sink_format(sink, "\n| %s | dtypes | shape |\n| --- | --- | --- |\n", title);
  for (; ports->name != NULL; ports++) {
    char dtypes[120];
    pith_text text = pith_text_of(dtypes, sizeof dtypes);
    if (ports->dtypes == ANY_DTYPE)
      pith_text_add(&text, "any");
    else
      pith_text_add_dtypes(&text, ports->dtypes);
    pith_sink_format(sink, "| `%s`%s | %s | %s", ports->name, ports->optional ? " (optional)" : "",
                     dtypes, ports->doc);
    for (unsigned layout = 0; layout < PITH_LAYOUT_COUNT; layout++)
      if ((ports->layouts >> layout & 1) != 0)
        pith_sink_format(sink, "; data may lie in layout `%s`",
                         pith_layout_get_name((pith_layout)layout));
    pith_sink_string(sink, ports->packs != 0 ? "; a graph input |\n" : " |\n");
  }
}

static void print_range(const pith_attribute_row *row, const pith_text_sink *sink) {
  static const char *const types[] = {
      [PITH_ATTRIBUTE_INT] = "integer",   [PITH_ATTRIBUTE_FLOAT] = "float",
      [PITH_ATTRIBUTE_INTS] = "integers", [PITH_ATTRIBUTE_ENUM] = "one of",
      [PITH_ATTRIBUTE_DTYPE] = "dtype",
  };
  pith_sink_string(sink, types[row->type]);
  if (row->type == PITH_ATTRIBUTE_INT && row->min_int < row->max_int)
    pith_sink_format(sink, ", %lld to %lld", (long long)row->min_int, (long long)row->max_int);
  if (row->type == PITH_ATTRIBUTE_ENUM)
    for (uint32_t i = 0; row->names[i] != NULL; i++)
      pith_sink_format(sink, "%s`%s`", i == 0 ? " " : ", ", row->names[i]);
}

static void print_attributes(const pith_attribute_row *rows, const pith_text_sink *sink) {
  if (rows->name == NULL)
    return;
  pith_sink_string(sink,
                   "\n| attribute | value | default | meaning |\n| --- | --- | --- | --- |\n");
  for (; rows->name != NULL; rows++) {
    char value[64];
    pith_text text = pith_text_of(value, sizeof value);
    const pith_attribute attribute = pith_attribute_default(rows);
    pith_text_add_attribute(&text, rows, &attribute);
    pith_sink_format(sink, "| `%s` | ", rows->name);
    print_range(rows, sink);
    pith_sink_format(sink, " | %s | %s |\n", rows->required ? "required" : value, rows->doc);
  }
}

void pith_operators_print_markdown(const pith_text_sink *sink) {
  pith_sink_string(sink, "# Operators\n\n"
                         "<!-- Written by pith_operators_print_markdown from the table in "
                         "engine/ir. Do not edit: run the test\n"
                         "`ir_docs` with the environment variable PITH_REWRITE_DOCS=1. -->\n\n"
                         "Every operator that a graph may use. An operator of domain `ai.onnx` has "
                         "the meaning that ONNX gives it at\n"
                         "the version named, within the dtypes and shapes below; one of domain "
                         "`pith` is ours. Shapes are checked and\n"
                         "inferred by `pith_graph_verify`; two dimensions agree where they are the "
                         "same number or the same expression\n"
                         "of symbols. Fused operators exist only in programs.\n\n");
  const pith_operator *rows[PITH_OP_COUNT];
  for (int id = 0; id < PITH_OP_COUNT; id++)
    rows[id] = pith_operator_get((pith_operator_id)id);
  pith_operators_print_rows(rows, PITH_OP_COUNT, sink);
}

void pith_operators_print_rows(const pith_operator *const *rows, size_t count, const pith_text_sink *sink) {
  pith_sink_string(sink, "| operator | domain | version |\n| --- | --- | --- |\n");
  for (size_t i = 0; i < count; i++) {
    const pith_operator *op = rows[i];
    const char *domain = op->domain[0] == '\0' ? "ai.onnx" : op->domain;
    pith_sink_format(sink, "| [%s](#", op->name);
    for (const char *c = op->name; *c != '\0'; c++)
      pith_sink_format(sink, "%c", *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    pith_sink_format(sink, ") | `%s` | %d |\n", domain, op->version);
  }
  for (size_t i = 0; i < count; i++) {
    const pith_operator *op = rows[i];
    pith_sink_format(sink, "\n## %s\n\n", op->name);
    pith_sink_string(sink, op->doc);
    pith_sink_string(sink, "\n");
    print_ports(op->inputs, "input", sink);
    print_ports(op->outputs, "output", sink);
    print_attributes(op->attributes, sink);
  }
}
