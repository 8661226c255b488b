#include "engine/ir/drawing.h"

#include <stdlib.h>

enum { ITEM_GAP = 18, LAYER_GAP = 30, MARGIN = 20, SWEEPS = 12 };

static pith_status fail_memory(const pith_drawing *drawing, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to draw graph '%s' of %u nodes",
                   drawing->graph->name, drawing->graph->node_count);
}

/* ---- layers and links
 * --------------------------------------------------------------------------------- */

/* Node layers count from 1: inputs may lie above them. */
static void assign_layers(pith_drawing *drawing) {
  const pith_graph *graph = drawing->graph;
  drawing->layer_count = 1;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    const pith_node *node = &graph->nodes[i];
    uint32_t layer = 1;
    for (uint32_t j = 0; j < node->input_count; j++) {
      if (node->inputs[j] == PITH_NONE || graph->tensors[node->inputs[j]].kind != PITH_TENSOR_VALUE)
        continue;
      uint32_t above = drawing->node_layers[graph->tensors[node->inputs[j]].producer];
      if (layer <= above)
        layer = above + 1;
    }
    drawing->node_layers[i] = layer;
    if (drawing->layer_count <= layer)
      drawing->layer_count = layer + 1;
  }
}

static void assign_input_layers(pith_drawing *drawing) {
  const pith_graph *graph = drawing->graph;
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    drawing->tensor_layers[i] = UINT32_MAX;
  for (uint32_t i = 0; i < graph->node_count; i++)
    for (uint32_t j = 0; j < graph->nodes[i].input_count; j++) {
      pith_tensor_id id = graph->nodes[i].inputs[j];
      if (id != PITH_NONE && drawing->tensor_layers[id] > drawing->node_layers[i] - 1)
        drawing->tensor_layers[id] = drawing->node_layers[i] - 1;
    }
}

/* Layers that a line spans; 0 where there is no line. An operand read twice by a node has one line.
 */
static uint32_t get_span(const pith_drawing *drawing, pith_node_id node_id, uint32_t index) {
  const pith_graph *graph = drawing->graph;
  const pith_node *node = &graph->nodes[node_id];
  pith_tensor_id id = node->inputs[index];
  if (id == PITH_NONE)
    return 0;
  for (uint32_t i = 0; i < index; i++)
    if (node->inputs[i] == id)
      return 0;
  const pith_tensor *tensor = &graph->tensors[id];
  uint32_t span = 0;
  if (tensor->kind == PITH_TENSOR_VALUE)
    span = drawing->node_layers[node_id] - drawing->node_layers[tensor->producer];
  else if (tensor->kind == PITH_TENSOR_INPUT &&
           drawing->tensor_layers[id] + 1 == drawing->node_layers[node_id])
    span = 1;
  return span <= PITH_DRAWING_MAX_SPAN ? span : 0;
}

pith_status pith_drawing_create(pith_drawing *drawing, const pith_graph *graph, pith_arena *arena,
                                pith_error *error) {
  *drawing = (pith_drawing){.graph = graph, .arena = arena};
  uint32_t *tensor_items = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count);
  drawing->tensor_layers = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count);
  drawing->node_layers = PITH_ARENA_NEW(arena, uint32_t, graph->node_count);
  if (drawing->tensor_layers == NULL || tensor_items == NULL || drawing->node_layers == NULL)
    return fail_memory(drawing, error);
  assign_layers(drawing);
  assign_input_layers(drawing);

  size_t items = (size_t)graph->node_count + graph->input_count, links = 0;
  for (uint32_t i = 0; i < graph->node_count; i++)
    for (uint32_t j = 0; j < graph->nodes[i].input_count; j++) {
      uint32_t span = get_span(drawing, i, j);
      links += span;
      items += span > 1 ? span - 1 : 0;
    }
  if (items >= UINT32_MAX || links >= UINT32_MAX)
    return fail_memory(drawing, error);
  drawing->items = PITH_ARENA_NEW(arena, pith_item, items);
  drawing->links = PITH_ARENA_NEW(arena, pith_link, links);
  if (drawing->items == NULL || drawing->links == NULL)
    return fail_memory(drawing, error);
  for (uint32_t i = 0; i < graph->node_count; i++)
    drawing->items[drawing->item_count++] =
        (pith_item){.kind = PITH_ITEM_NODE, .id = i, .layer = drawing->node_layers[i]};
  for (uint32_t i = 0; i < graph->input_count; i++) {
    pith_tensor_id id = graph->inputs[i];
    uint32_t layer = drawing->tensor_layers[id] == UINT32_MAX ? 0 : drawing->tensor_layers[id];
    tensor_items[id] = drawing->item_count;
    drawing->items[drawing->item_count++] =
        (pith_item){.kind = PITH_ITEM_INPUT, .id = id, .layer = layer};
  }
  for (uint32_t i = 0; i < graph->node_count; i++)
    for (uint32_t j = 0; j < graph->nodes[i].input_count; j++) {
      pith_tensor_id id = graph->nodes[i].inputs[j];
      uint32_t span = get_span(drawing, i, j);
      if (span == 0)
        continue;
      uint32_t upper = graph->tensors[id].kind == PITH_TENSOR_VALUE ? graph->tensors[id].producer
                                                                    : tensor_items[id];
      for (uint32_t step = 1; step < span; step++) {
        uint32_t bend = drawing->item_count++;
        drawing->items[bend] = (pith_item){
            .kind = PITH_ITEM_BEND, .layer = drawing->items[upper].layer + 1, .width = 4};
        drawing->links[drawing->link_count++] = (pith_link){upper, bend};
        upper = bend;
      }
      drawing->links[drawing->link_count++] = (pith_link){upper, i};
    }
  return PITH_OK;
}

bool pith_drawing_has_line(const pith_drawing *drawing, pith_node_id node, uint32_t index) {
  return get_span(drawing, node, index) != 0;
}

/* ---- order and place
 * ---------------------------------------------------------------------------------- */

/* Neighbours of each item on one side: neighbours[begin[i]] .. neighbours[begin[i + 1]]. */
typedef struct side {
  uint32_t *begin, *neighbours;
} side;

static bool index_side(const pith_drawing *drawing, bool above, side *out_side) {
  uint32_t *begin = PITH_ARENA_NEW(drawing->arena, uint32_t, (size_t)drawing->item_count + 2);
  uint32_t *neighbours = PITH_ARENA_NEW(drawing->arena, uint32_t, drawing->link_count);
  if (begin == NULL || neighbours == NULL)
    return false;
  /* Counted two places further, so that filling moves each begin to where it belongs. */
  for (uint32_t i = 0; i < drawing->link_count; i++)
    begin[(above ? drawing->links[i].lower : drawing->links[i].upper) + 2]++;
  for (uint32_t i = 2; i < drawing->item_count + 2; i++)
    begin[i] += begin[i - 1];
  for (uint32_t i = 0; i < drawing->link_count; i++) {
    const pith_link *link = &drawing->links[i];
    neighbours[begin[(above ? link->lower : link->upper) + 1]++] =
        above ? link->upper : link->lower;
  }
  *out_side = (side){begin, neighbours};
  return true;
}

static bool index_layers(pith_drawing *drawing) {
  drawing->layer_begin = PITH_ARENA_NEW(drawing->arena, uint32_t, (size_t)drawing->layer_count + 2);
  drawing->layer_items = PITH_ARENA_NEW(drawing->arena, uint32_t, drawing->item_count);
  drawing->layer_top = PITH_ARENA_NEW(drawing->arena, double, drawing->layer_count);
  drawing->layer_bottom = PITH_ARENA_NEW(drawing->arena, double, drawing->layer_count);
  if (drawing->layer_begin == NULL || drawing->layer_items == NULL || drawing->layer_top == NULL ||
      drawing->layer_bottom == NULL)
    return false;
  for (uint32_t i = 0; i < drawing->item_count; i++)
    drawing->layer_begin[drawing->items[i].layer + 2]++;
  for (uint32_t i = 2; i < drawing->layer_count + 2; i++)
    drawing->layer_begin[i] += drawing->layer_begin[i - 1];
  for (uint32_t i = 0; i < drawing->item_count; i++)
    drawing->layer_items[drawing->layer_begin[drawing->items[i].layer + 1]++] = i;
  return true;
}

/* The mean place of the neighbours, or the item's own where it has none. */
static double get_mean(const pith_drawing *drawing, const side *from, uint32_t item) {
  uint32_t begin = from->begin[item], end = from->begin[item + 1];
  double sum = 0;
  for (uint32_t i = begin; i < end; i++)
    sum += drawing->items[from->neighbours[i]].x;
  return begin == end ? drawing->items[item].x : sum / (end - begin);
}

static double get_distance(const pith_drawing *drawing, uint32_t left, uint32_t right) {
  return (drawing->items[left].width + drawing->items[right].width) / 2 + ITEM_GAP;
}

static int compare_items(const void *a, const void *b, void *context) {
  const pith_item *items = context;
  uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
  if (items[left].key != items[right].key)
    return items[left].key < items[right].key ? -1 : 1;
  return left < right ? -1 : left > right;
}

/* Sorts a layer by where its items want to be (`sort`), then places each as near as the distances
 * allow: half-way between pushing to the right from the left end and pushing to the left from the
 * right end. */
static void place_layer(pith_drawing *drawing, const side *from, uint32_t layer, bool sort) {
  uint32_t *items = drawing->layer_items + drawing->layer_begin[layer];
  uint32_t count = drawing->layer_begin[layer + 1] - drawing->layer_begin[layer];
  if (count == 0)
    return;
  for (uint32_t i = 0; i < count; i++)
    drawing->items[items[i]].key = get_mean(drawing, from, items[i]);
  if (sort)
    qsort_r(items, count, sizeof *items, compare_items, drawing->items);
  for (uint32_t i = 0; i < count; i++) {
    pith_item *item = &drawing->items[items[i]];
    item->x = item->key;
    if (i != 0) {
      double least = drawing->items[items[i - 1]].x + get_distance(drawing, items[i - 1], items[i]);
      item->x = item->x < least ? least : item->x;
    }
  }
  double limit = 0;
  for (uint32_t i = count; i-- > 0;) {
    pith_item *item = &drawing->items[items[i]];
    double pushed = i + 1 < count && limit < item->key ? limit : item->key;
    if (i != 0)
      limit = pushed - get_distance(drawing, items[i - 1], items[i]);
    item->x = (item->x + pushed) / 2;
  }
}

static void stack_layers(pith_drawing *drawing) {
  double left = 0, right = 0, y = MARGIN;
  for (uint32_t i = 0; i < drawing->item_count; i++) {
    const pith_item *item = &drawing->items[i];
    if (i == 0 || item->x - item->width / 2 < left)
      left = item->x - item->width / 2;
    if (i == 0 || item->x + item->width / 2 > right)
      right = item->x + item->width / 2;
  }
  for (uint32_t i = 0; i < drawing->item_count; i++)
    drawing->items[i].x += MARGIN - left;
  for (uint32_t layer = 0; layer < drawing->layer_count; layer++) {
    double height = 0;
    for (uint32_t i = drawing->layer_begin[layer]; i < drawing->layer_begin[layer + 1]; i++)
      if (height < drawing->items[drawing->layer_items[i]].height)
        height = drawing->items[drawing->layer_items[i]].height;
    drawing->layer_top[layer] = y;
    drawing->layer_bottom[layer] = y + height;
    y += height + (height > 0 ? LAYER_GAP : 0);
  }
  drawing->width = right - left + 2 * MARGIN;
  drawing->height = y - LAYER_GAP + MARGIN;
}

pith_status pith_drawing_place(pith_drawing *drawing, pith_error *error) {
  side above, below;
  if (!index_side(drawing, true, &above) || !index_side(drawing, false, &below) ||
      !index_layers(drawing))
    return fail_memory(drawing, error);
  for (int sweep = 0; sweep < SWEEPS; sweep++) {
    bool sort = sweep < SWEEPS / 2; /* afterwards the order is kept and the places settle */
    if (sweep % 2 == 0)
      for (uint32_t layer = 0; layer < drawing->layer_count; layer++)
        place_layer(drawing, &above, layer, sort);
    else
      for (uint32_t layer = drawing->layer_count; layer-- > 0;)
        place_layer(drawing, &below, layer, sort);
  }
  stack_layers(drawing);
  return PITH_OK;
}
