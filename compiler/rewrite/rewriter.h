/* Making a changed copy of a graph, node by node: what every technique that rewrites graphs is written with.
 *
 *   for each node of the old graph: get its inputs in the new one, add what goes before, add the node
 *
 * Failures are kept by the builder, as in building. Data stays borrowed from where the old graph has it; new data goes
 * into the new graph's arena. */
#ifndef PITH_COMPILER_REWRITER_H
#define PITH_COMPILER_REWRITER_H

#include "engine/ir/graph.h"

typedef struct pith_rewriter {
  const pith_graph *from;
  pith_builder builder; /* of the new graph */
  pith_tensor_id *map;  /* [from->tensor_count] its tensor in the new graph, PITH_NONE before it is there */
  pith_arena scratch;   /* until deinit */
  pith_arena values;    /* of the last read */
} pith_rewriter;

/* The new graph has the old one's name, symbols and inputs. pith_rewriter_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_rewriter_init(pith_rewriter *rewriter, const pith_graph *from,
                                                const pith_allocator *allocator, pith_error *error);
/* The new tensor of an old one; constants and parameters are added at their first use. */
pith_tensor_id pith_rewriter_get(pith_rewriter *rewriter, pith_tensor_id old);
/* `node` once more, on `inputs` ([node->input_count], of the new graph): its name, attributes, and its outputs under their
 * old names, whose new tensors are from now on what pith_rewriter_get gives. */
void pith_rewriter_add_node(pith_rewriter *rewriter, const pith_node *node, const pith_tensor_id *inputs);
/* Puts `tensor` of the new graph in the place of an old one. */
void pith_rewriter_set(pith_rewriter *rewriter, pith_tensor_id old, pith_tensor_id tensor);
/* Room for new data in the new graph's arena, aligned to 64; NULL after a failure, which is recorded. */
void *pith_rewriter_allocate(pith_rewriter *rewriter, size_t count, size_t element_bytes);
/* A parameter's or constant's values as row-major f32, until the next call; NULL after a failure, which is recorded: also
 * where it is not f32 data of the old graph or an element is not finite. */
const float *pith_rewriter_read(pith_rewriter *rewriter, pith_tensor_id old);
/* Data like `like` (name, kind, dimensions, pattern) with new values, row-major f32; stored row-major where `like` is, else as dense products read
 * it: what is stored sparse is chosen last. PITH_NONE after a failure, which is recorded. */
pith_tensor_id pith_rewriter_add_values(pith_rewriter *rewriter, const pith_tensor *like, const float *values);
/* Adds the outputs, verifies, and hands the new graph over. */
PITH_WARN_UNUSED pith_status pith_rewriter_finish(pith_rewriter *rewriter, pith_graph **out_graph);
void pith_rewriter_deinit(pith_rewriter *rewriter); /* destroys a graph that was not handed over */

/* The nodes that read each tensor, and by which input: lists over one array. */
typedef struct pith_reader {
  pith_node_id node;
  uint32_t input;
} pith_reader;
typedef struct pith_readers {
  const uint32_t *first; /* [tensor_count + 1] into all */
  const pith_reader *all;
} pith_readers;
/* In `arena`; PITH_OUT_OF_MEMORY. */
PITH_WARN_UNUSED pith_status pith_readers_find(const pith_graph *graph, pith_arena *arena, pith_readers *out_readers,
                                               pith_error *error);
/* The node that writes a tensor; NULL: none does, or `tensor` is PITH_NONE. */
const pith_node *pith_graph_get_producer(const pith_graph *graph, pith_tensor_id tensor);
bool pith_graph_is_output(const pith_graph *graph, pith_tensor_id tensor);

#endif
