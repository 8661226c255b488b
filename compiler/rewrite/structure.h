/* Which operators of a network belong together, found by what they do and never by their names. */
#ifndef PITH_COMPILER_STRUCTURE_H
#define PITH_COMPILER_STRUCTURE_H

#include "compiler/rewrite/rewriter.h"

/* Two products of which output d of the first is, alone, input d of the second: through
 * element-wise operators, or through attention, whose values the first one makes. */
enum { PITH_CHAIN_NODES = 16 };
typedef struct pith_feature_chain {
  const pith_node *first, *second; /* Gemm */
  uint32_t count;
  const pith_node
      *between[PITH_CHAIN_NODES]; /* the last first; nothing else reads what they give */
} pith_feature_chain;
/* False: there is no such product before `second`. */
bool pith_feature_chain_find(const pith_graph *graph, const pith_readers *readers,
                             const pith_node *second, pith_feature_chain *out_chain);
/* Whether all that lies between is this one operator. */
bool pith_feature_chain_is(const pith_feature_chain *chain, int op);

/* Nothing else reads a product's weights and bias, and a bias is a vector. */
bool pith_product_owns_data(const pith_graph *graph, const pith_readers *readers,
                            const pith_node *gemm);

/* What a product's output is added to, where nothing else reads it: the other summand, of the same shape; PITH_NONE: no such Add. */
pith_tensor_id pith_product_find_residual(const pith_graph *graph, const pith_readers *readers, const pith_node *gemm);

/* Readers of a tensor; the graph itself is one where the tensor is an output. */
uint32_t pith_readers_count(const pith_graph *graph, const pith_readers *readers,
                            pith_tensor_id tensor);

/* Rows of the table that a graph looks an input's ids up in; 0: it looks up none. */
int64_t pith_lookup_find_rows(const pith_graph *graph, const char *input);

/* Attention's four products. */
typedef struct pith_attention_block {
  const pith_node *query, *key, *value, *attention, *output;
} pith_attention_block;
/* Of a chain through attention; false: what makes its queries or keys is no product of its own. */
bool pith_attention_block_find(const pith_graph *graph, const pith_readers *readers,
                               const pith_feature_chain *chain, pith_attention_block *out_block);

/* A part of the network around which its input is added: where it is left out, `in` takes the place
 * of `out`. With the normalization after the sum (BERT) it ends behind that one; with the
 * normalization first it begins before it. */
typedef struct pith_residual {
  pith_tensor_id in, out;
} pith_residual;
/* `input` is what the part's first products read, `last` the product it ends with. */
bool pith_residual_find(const pith_graph *graph, const pith_readers *readers, pith_tensor_id input,
                        const pith_node *last, pith_residual *out_residual);

#endif
