/* A drawing of a graph, as SVG written by hand: whole pixels, so that no locale gets in. */
#include "engine/ir/drawing.h"

enum { LINE_HEIGHT = 13, BOX_PADDING = 6, MAX_LINE_BYTES = 72 };
/* Widest advance of a 10 pixel sans-serif text, in tenths of a pixel a character, on the average
 * line. */
enum { CHARACTER_WIDTH = 58 };

/* Receives the lines of a box one after the other. */
typedef void line_visitor(void *context, const char *class, const char *line);

/* "weight" of "encoder.layer.0.query.weight" in the box of "encoder.layer.0.query". */
static const char *get_short_name(const pith_node *node, const char *name) {
  size_t length = strlen(node->name);
  return strncmp(name, node->name, length) == 0 && name[length] == '.' ? name + length + 1 : name;
}

static void add_tensor(pith_text *text, const pith_graph *graph, const pith_tensor *tensor) {
  pith_text_add(text, "%s", pith_dtype_get_info(tensor->dtype)->name);
  pith_text_add_shape(text, graph, tensor->rank, tensor->dims);
}

static void visit_lines(const pith_drawing *drawing, const pith_item *item, line_visitor *visit,
                        void *context) {
  const pith_graph *graph = drawing->graph;
  char buffer[MAX_LINE_BYTES + 1];
  pith_text text = pith_text_of(buffer, sizeof buffer);
  if (item->kind == PITH_ITEM_INPUT) {
    pith_text_add(&text, "%s", graph->tensors[item->id].name);
    visit(context, "op", buffer);
    text = pith_text_of(buffer, sizeof buffer);
    add_tensor(&text, graph, &graph->tensors[item->id]);
    visit(context, "shape", buffer);
    return;
  }
  const pith_node *node = &graph->nodes[item->id];
  visit(context, "op", node->op->name);
  pith_text_add(&text, "%s", node->name);
  visit(context, "name", buffer);
  text = pith_text_of(buffer, sizeof buffer);
  if (pith_text_add_attributes(&text, node))
    visit(context, "attribute", buffer);
  for (uint32_t i = 0; i < node->input_count; i++) {
    if (node->inputs[i] == PITH_NONE || pith_drawing_has_line(drawing, item->id, i))
      continue;
    const pith_tensor *tensor = &graph->tensors[node->inputs[i]];
    text = pith_text_of(buffer, sizeof buffer);
    pith_text_add(&text, "%s: %s ", node->op->inputs[i].name, get_short_name(node, tensor->name));
    add_tensor(&text, graph, tensor);
    visit(context, "data", buffer);
  }
  for (uint32_t i = 0; i < node->output_count; i++) {
    const pith_tensor *tensor = &graph->tensors[node->outputs[i]];
    text = pith_text_of(buffer, sizeof buffer);
    if (strcmp(tensor->name, node->name) != 0)
      pith_text_add(&text, "%s ", tensor->name);
    add_tensor(&text, graph, tensor);
    visit(context, "shape", buffer);
  }
}

static void measure_line(void *context, const char *class, const char *line) {
  (void)class;
  pith_item *item = context;
  double width = (double)strlen(line) * CHARACTER_WIDTH / 10 + 2 * BOX_PADDING;
  item->width = item->width < width ? width : item->width;
  item->height += LINE_HEIGHT;
}

static void write_escaped(const pith_text_sink *sink, const char *text) {
  for (;;) {
    size_t plain = strcspn(text, "&<>");
    sink->write(sink->context, text, plain);
    text += plain;
    if (*text == '\0')
      return;
    pith_sink_string(sink, *text == '&' ? "&amp;" : *text == '<' ? "&lt;" : "&gt;");
    text++;
  }
}

typedef struct line_writer {
  const pith_text_sink *sink;
  long x, y; /* of the next line's baseline */
} line_writer;

static void write_line(void *context, const char *class, const char *line) {
  line_writer *writer = context;
  pith_sink_format(writer->sink, "<text class=\"%s\" x=\"%ld\" y=\"%ld\">", class, writer->x,
                   writer->y);
  write_escaped(writer->sink, line);
  pith_sink_string(writer->sink, "</text>\n");
  writer->y += LINE_HEIGHT;
}

static void write_item(const pith_drawing *drawing, const pith_item *item, const bool *is_output,
                       const pith_text_sink *sink) {
  long x = (long)item->x, top = (long)drawing->layer_top[item->layer];
  if (item->kind == PITH_ITEM_BEND) {
    pith_sink_format(sink, "<path d=\"M%ld %ldV%ld\"/>\n", x, top,
                     (long)drawing->layer_bottom[item->layer]);
    return;
  }
  const char *class = "input";
  if (item->kind == PITH_ITEM_NODE) {
    const pith_node *node = &drawing->graph->nodes[item->id];
    class = "node";
    for (uint32_t i = 0; i < node->output_count; i++)
      if (is_output[node->outputs[i]])
        class = "output";
  }
  pith_sink_format(
      sink, "<rect class=\"%s\" x=\"%ld\" y=\"%ld\" width=\"%ld\" height=\"%ld\" rx=\"%d\"/>\n",
      class, x - (long)(item->width / 2), top, (long)item->width, (long)item->height,
      item->kind == PITH_ITEM_INPUT ? 12 : 3);
  line_writer writer = {sink, x, top + LINE_HEIGHT};
  visit_lines(drawing, item, write_line, &writer);
}

static void write_link(const pith_drawing *drawing, const pith_link *link,
                       const pith_text_sink *sink) {
  const pith_item *upper = &drawing->items[link->upper], *lower = &drawing->items[link->lower];
  bool bends = upper->kind == PITH_ITEM_BEND;
  double bottom = bends ? drawing->layer_bottom[upper->layer]
                        : drawing->layer_top[upper->layer] + upper->height;
  long x0 = (long)upper->x, x1 = (long)lower->x;
  long y0 = (long)bottom, y1 = (long)drawing->layer_top[lower->layer], middle = (y0 + y1) / 2;
  pith_sink_format(sink, "<path%s d=\"M%ld %ldC%ld %ld %ld %ld %ld %ld\"/>\n",
                   lower->kind == PITH_ITEM_BEND ? "" : " marker-end=\"url(#arrow)\"", x0, y0, x0,
                   middle, x1, middle, x1, y1);
}

static pith_status draw(const pith_graph *graph, pith_arena *arena, const pith_text_sink *sink,
                        pith_error *error) {
  pith_drawing drawing;
  PITH_TRY(pith_drawing_create(&drawing, graph, arena, error));
  for (uint32_t i = 0; i < drawing.item_count; i++) {
    pith_item *item = &drawing.items[i];
    if (item->kind == PITH_ITEM_BEND)
      continue;
    item->height = BOX_PADDING;
    visit_lines(&drawing, item, measure_line, item);
  }
  PITH_TRY(pith_drawing_place(&drawing, error));
  bool *is_output = PITH_ARENA_NEW(arena, bool, graph->tensor_count);
  if (is_output == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to draw graph '%s'", graph->name);
  for (uint32_t i = 0; i < graph->output_count; i++)
    is_output[graph->outputs[i]] = true;
  long width = (long)drawing.width, height = (long)drawing.height;
  pith_sink_format(sink,
                   "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%ld\" height=\"%ld\" "
                   "viewBox=\"0 0 %ld %ld\">\n"
                   "<title>",
                   width, height, width, height);
  write_escaped(sink, graph->name);
  pith_sink_string(
      sink,
      "</title>\n<style>text{font:10px Helvetica,Arial,sans-serif;text-anchor:middle}"
      ".op{font-weight:bold}.name{fill:#666}.attribute{fill:#a33}.data{fill:#246}.shape{fill:#363}"
      "rect{stroke:#555;fill:#f7f7f4}rect.input{fill:#e3efe3}rect.output{fill:#f6ead8;stroke-width:"
      "2}"
      "path{fill:none;stroke:#888}</style>\n"
      "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
      "markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" "
      "style=\"fill:#888;stroke:none\"/></marker></defs>\n"
      "<rect width=\"100%\" height=\"100%\" style=\"fill:#fff;stroke:none\"/>\n");
  for (uint32_t i = 0; i < drawing.link_count; i++)
    write_link(&drawing, &drawing.links[i], sink);
  for (uint32_t i = 0; i < drawing.item_count; i++)
    write_item(&drawing, &drawing.items[i], is_output, sink);
  pith_sink_string(sink, "</svg>\n");
  return PITH_OK;
}

pith_status pith_graph_print_svg(const pith_graph *graph, const pith_text_sink *sink,
                                 pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, graph->arena.allocator);
  pith_status status = draw(graph, &arena, sink, error);
  pith_arena_deinit(&arena);
  return status;
}
