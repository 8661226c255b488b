#include "engine/ir/operator.h"
#include "sparse/structured_internal.h"
#include "sparse/targets.h"

typedef struct finder {
  const pith_graph *graph;
  pith_readers readers;
  bool *is_target, *stays; /* [node_count] a product of the body; one that `exclude` names */
} finder;

static pith_status finder_init(finder *f, const pith_graph *graph,
                               const pith_name_patterns *exclude, pith_arena *arena,
                               pith_error *error) {
  *f = (finder){.graph = graph,
                .is_target = PITH_ARENA_NEW(arena, bool, graph->node_count),
                .stays = PITH_ARENA_NEW(arena, bool, graph->node_count)};
  if (f->is_target == NULL || f->stays == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to look over graph '%s'", graph->name);
  pith_prune_targets all, changing;
  PITH_TRY(pith_prune_find_targets(graph, &(pith_name_patterns){0}, arena, &all, error));
  PITH_TRY(pith_prune_find_targets(graph, exclude, arena, &changing, error));
  for (uint32_t i = 0; i < all.count; i++)
    f->is_target[all.list[i].node] = f->stays[all.list[i].node] = true;
  for (uint32_t i = 0; i < changing.count; i++)
    f->stays[changing.list[i].node] = false;
  return pith_readers_find(graph, arena, &f->readers, error);
}

static bool may_change(const finder *f, const pith_node *product) {
  return f->is_target[product - f->graph->nodes] &&
         pith_product_owns_data(f->graph, &f->readers, product);
}

static bool stays(const finder *f, const pith_node *product) {
  return f->stays[product - f->graph->nodes];
}

static size_t count_rows(const finder *f, const pith_node *product, uint32_t dimension) {
  return (size_t)f->graph->tensors[product->inputs[1]].dims[dimension].constant;
}

static bool find_neurons(const finder *f, const pith_node *node, pith_structured_block *block) {
  *block = (pith_structured_block){.last = node, .size = 1};
  if (!pith_feature_chain_find(f->graph, &f->readers, node, &block->chain))
    return false;
  for (uint32_t i = 0; i < block->chain.count; i++)
    if (block->chain.between[i]->op->id == PITH_OP_PACKED_ATTENTION)
      return false;
  block->n = count_rows(f, node, 0);
  block->groups = count_rows(f, node, 1);
  block->stays = stays(f, node) || stays(f, block->chain.first);
  return may_change(f, node) && may_change(f, block->chain.first);
}

static bool find_heads(const finder *f, const pith_node *node, pith_structured_block *block) {
  *block = (pith_structured_block){.last = node};
  pith_attention_block *a = &block->attention;
  if (!pith_feature_chain_find(f->graph, &f->readers, node, &block->chain) ||
      !pith_attention_block_find(f->graph, &f->readers, &block->chain, a))
    return false;
  block->n = count_rows(f, node, 0);
  block->groups = (size_t)pith_node_get_attribute(a->attention, "num_heads")->i;
  block->size = count_rows(f, node, 1) / block->groups;
  block->stays = stays(f, node) || stays(f, a->query) || stays(f, a->key) || stays(f, a->value);
  return may_change(f, node) && may_change(f, a->query) && may_change(f, a->key) &&
         may_change(f, a->value);
}

static pith_status fail_none(const pith_graph *graph, pith_structure structure, pith_error *error) {
  static const char *const what[] = {[PITH_STRUCTURE_HEAD] = "attention with products of its own",
                                     [PITH_STRUCTURE_NEURON] = "FFN (product, activation, product)",
                                     [PITH_STRUCTURE_LAYER] =
                                         "layer (attention and FFN with residual sums)"};
  return pith_fail(error, PITH_INVALID_ARGUMENT,
                   "graph '%s' has no %s from which anything could leave, or exclude names all",
                   graph->name, what[structure]);
}

pith_status pith_structured_find_blocks(const pith_graph *graph, pith_structure structure,
                                        const pith_name_patterns *exclude, pith_arena *arena,
                                        pith_structured_block **out_blocks, uint32_t *out_count,
                                        pith_error *error) {
  finder f;
  PITH_TRY(finder_init(&f, graph, exclude, arena, error));
  pith_structured_block *blocks = PITH_ARENA_NEW(arena, pith_structured_block, graph->node_count);
  if (blocks == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to look over graph '%s'", graph->name);
  uint32_t count = 0, changing = 0;
  for (uint32_t n = 0; n < graph->node_count; n++)
    if ((structure == PITH_STRUCTURE_HEAD ? find_heads : find_neurons)(&f, &graph->nodes[n],
                                                                       &blocks[count]))
      changing += !blocks[count++].stays;
  *out_blocks = blocks;
  *out_count = count;
  return changing == 0 ? fail_none(graph, structure, error) : PITH_OK;
}

/* ---- layers ------------------------------------------------------------------------------------
 */

/* The FFN whose input is `input`, into the layer. */
static bool find_ffn(const finder *f, pith_tensor_id input, pith_structured_layer *layer) {
  for (uint32_t n = 0; n < f->graph->node_count; n++) {
    pith_structured_block ffn;
    pith_residual residual;
    if (find_neurons(f, &f->graph->nodes[n], &ffn) &&
        pith_residual_find(f->graph, &f->readers, ffn.chain.first->inputs[0], ffn.last,
                           &residual) &&
        residual.in == input) {
      layer->residual.out = residual.out;
      layer->products[4] = ffn.chain.first;
      layer->products[5] = ffn.last;
      layer->stays |= ffn.stays;
      return true;
    }
  }
  return false;
}

static bool find_layer(const finder *f, const pith_node *node, pith_structured_layer *layer) {
  pith_structured_block block;
  if (!find_heads(f, node, &block))
    return false;
  const pith_attention_block *a = &block.attention;
  *layer = (pith_structured_layer){.products = {a->query, a->key, a->value, a->output},
                                   .stays = block.stays};
  const pith_tensor_id input = a->query->inputs[0];
  return a->key->inputs[0] == input && a->value->inputs[0] == input &&
         pith_residual_find(f->graph, &f->readers, input, node, &layer->residual) &&
         find_ffn(f, layer->residual.out, layer);
}

pith_status pith_structured_find_layers(const pith_graph *graph, const pith_name_patterns *exclude,
                                        pith_arena *arena, pith_structured_layer **out_layers,
                                        uint32_t *out_count, pith_error *error) {
  finder f;
  PITH_TRY(finder_init(&f, graph, exclude, arena, error));
  pith_structured_layer *layers = PITH_ARENA_NEW(arena, pith_structured_layer, graph->node_count);
  if (layers == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to look over graph '%s'", graph->name);
  uint32_t count = 0, changing = 0;
  for (uint32_t n = 0; n < graph->node_count; n++)
    if (find_layer(&f, &graph->nodes[n], &layers[count]))
      changing += !layers[count++].stays;
  *out_layers = layers;
  *out_count = count;
  return changing == 0 ? fail_none(graph, PITH_STRUCTURE_LAYER, error) : PITH_OK;
}
