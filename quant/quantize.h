/* Quantization as a rewrite of graphs: Q/DQ nodes around what shall be 8-bit. Part of libpith-compress.
 *
 *   static    x -> QuantizeLinear(scale, zero) -> DequantizeLinear -> Gemm(., DequantizeLinear(w s8, scale[n]))
 *   dynamic   x -> DynamicQuantize -> DequantizeLinear -> the same
 *
 * The result is a graph in the same IR that runs as it stands; lowering fuses the pairs into integer operators. Which
 * operands of which operator are quantized, and how, is one table (rules.c). A weight keeps its name as a parameter of
 * dtype s8 in the stored layout of the INT8 kernels, its scale is "<name>_scale"; nodes are "<tensor>.quantize",
 * "<tensor>.dequantize". */
#ifndef PITH_QUANT_QUANTIZE_H
#define PITH_QUANT_QUANTIZE_H

#include "engine/ir/graph.h"
#include "quant/options.h"
#include "quant/ranges.h"

/* PITH_INVALID_ARGUMENT, naming a node, where the graph is quantized already. */
PITH_WARN_UNUSED pith_status pith_quant_check_float(const pith_graph *graph, pith_error *error);

/* The activations that a rewrite of `graph` with these options quantizes, as names in `arena`: a static one needs their
 * ranges. */
PITH_WARN_UNUSED pith_status pith_quant_list_activations(const pith_graph *graph, const pith_quant_options *options,
                                                         pith_arena *arena, const char *const **out_names,
                                                         uint32_t *out_count, pith_error *error);

typedef struct pith_quant_summary {
  uint32_t products, products_kept; /* quantized, and kept in float by rule or pattern */
  uint32_t weights, tables;
  uint64_t float_bytes, quantized_bytes; /* of the weights quantized, before and after */
} pith_quant_summary;

/* A new graph; `ranges` may be NULL where the mode is dynamic. `scales` [graph->tensor_count][outputs]: of weights that are
 * rounded already (quant/round.h), NULL: none is, or not this one. PITH_INVALID_ARGUMENT where the graph is quantized already, a
 * range is missing or empty, a pattern matches no node; PITH_FORMAT where a weight is not finite; each names the tensor. New
 * data lies in the new graph's arena, the rest is borrowed from `graph`'s. */
PITH_WARN_UNUSED pith_status pith_quantize_graph(const pith_graph *graph, const pith_ranges *ranges,
                                                 const pith_quant_options *options, const float *const *scales,
                                                 const pith_allocator *allocator, pith_graph **out_graph,
                                                 pith_quant_summary *out_summary, pith_error *error);
/* The same, but that products' weights stay in float: what activations of 8 bits alone do. */
PITH_WARN_UNUSED pith_status pith_quantize_activations(const pith_graph *graph, const pith_ranges *ranges,
                                                       const pith_quant_options *options, const pith_allocator *allocator,
                                                       pith_graph **out_graph, pith_error *error);

/* The way back: Q/DQ pairs are dropped and weights become f32 parameters again, with their dequantized values. */
PITH_WARN_UNUSED pith_status pith_dequantize_graph(const pith_graph *graph, const pith_allocator *allocator,
                                                   pith_graph **out_graph, pith_error *error);

#endif
