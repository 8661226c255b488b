/* Where the boxes of a drawn graph go. Private to engine/ir: print_svg.c draws what this places.
 *
 * The layers run from top to bottom: a node lies one layer below the lowest of its producers, an
 * input one layer above its first reader. An edge over several layers bends once in each layer
 * between (a bend is an item as wide as a line), so that it never crosses a box. Within a layer
 * items are ordered and placed by the mean of their neighbours (Sugiyama, Tagawa and Toda 1981).
 * Parameters, constants, inputs read again further down and edges over more than
 * PITH_DRAWING_MAX_SPAN layers have no line: their names stand in the reader's box. */
#ifndef PITH_IR_DRAWING_H
#define PITH_IR_DRAWING_H

#include "engine/ir/ir_internal.h"

enum { PITH_DRAWING_MAX_SPAN = 24 };

typedef enum pith_item_kind { PITH_ITEM_NODE, PITH_ITEM_INPUT, PITH_ITEM_BEND } pith_item_kind;

/* Lengths are in pixels. */
typedef struct pith_item {
  pith_item_kind kind;
  uint32_t id; /* node, or tensor of an input */
  uint32_t layer;
  double width, height; /* set by the caller before placing; bends: 0 high */
  double x;             /* of its middle */
  double key;           /* what its layer is sorted by */
} pith_item;

/* From an item to one in the next layer. */
typedef struct pith_link {
  uint32_t upper, lower;
} pith_link;

typedef struct pith_drawing {
  const pith_graph *graph;
  pith_arena *arena;
  uint32_t *node_layers;   /* [node_count] */
  uint32_t *tensor_layers; /* [tensor_count] of an input's box; UINT32_MAX where nothing reads the
                              tensor */
  uint32_t item_count, link_count, layer_count;
  pith_item *items; /* nodes by their ids, then inputs, then bends */
  pith_link *links;
  uint32_t *layer_begin; /* [layer_count + 1] into layer_items */
  uint32_t *layer_items; /* item ids, from left to right */
  double *layer_top, *layer_bottom;
  double width, height;
} pith_drawing;

/* Layers, items and links; memory comes from `arena`. */
PITH_WARN_UNUSED pith_status pith_drawing_create(pith_drawing *drawing, const pith_graph *graph,
                                                 pith_arena *arena, pith_error *error);
/* The rest, once the items have their sizes. */
PITH_WARN_UNUSED pith_status pith_drawing_place(pith_drawing *drawing, pith_error *error);
/* Whether input `index` of a node is a line; otherwise its name stands in the box. */
bool pith_drawing_has_line(const pith_drawing *drawing, pith_node_id node, uint32_t index);

#endif
