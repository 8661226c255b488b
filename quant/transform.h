/* Rewrites of float graphs before they are quantized. Each gives a new graph that computes the same but for rounding
 * (bias correction: the same but for the mean error that quantized weights would make). Part of libpith-compress.
 *
 * Data that changes is written to the new graph's arena under its old name; all else is borrowed. */
#ifndef PITH_QUANT_TRANSFORM_H
#define PITH_QUANT_TRANSFORM_H

#include "engine/ir/graph.h"
#include "quant/options.h"
#include "quant/ranges.h"

/* SmoothQuant (Xiao et al., 2022, eq. 3 and 4): the features of an activation x that quantized products read are divided by
 *   s_j = max |x_j|^alpha / max |w_j|^(1 - alpha)
 * and the columns of the weights multiplied by it. 1 / s goes into what makes x where nothing else reads x: the scale and
 * bias of a LayerNormalization, the rows of the product behind attention's values; else a Mul goes before the products. With
 * alpha below 0 the one of 0, 0.05 .. 1, or none at all, is taken whose estimated error is least, for each x by itself: steps
 * of x (uniform over its largest feature) times the weights, steps of each output's weights times the mean squares of x.
 * Needs ranges with channels. `out_count`: activations that were smoothed. */
PITH_WARN_UNUSED pith_status pith_smooth_graph(const pith_graph *graph, const pith_ranges *ranges,
                                               const pith_quant_options *options, const pith_allocator *allocator,
                                               pith_graph **out_graph, uint32_t *out_count, pith_error *error);

/* Cross-layer equalisation (Nagel et al., 2019, eq. 11): where output d of one product reaches input d of another through
 * Relu or attention's values, row d of the first is divided and column d of the second multiplied by
 *   s_d = sqrt(max |row d| / max |column d|). */
PITH_WARN_UNUSED pith_status pith_equalize_graph(const pith_graph *graph, const pith_quant_options *options,
                                                 const pith_allocator *allocator, pith_graph **out_graph,
                                                 uint32_t *out_count, pith_error *error);

/* Bias correction (Nagel et al., 2019, eq. 17): b_n += sum over j of (w_nj - quantized w_nj) * mean x_j. A correction of more than
 * one step of w_n in every term is left out: rounding cannot make that. Needs ranges with channels. `out_count`: biases. */
PITH_WARN_UNUSED pith_status pith_correct_biases(const pith_graph *graph, const pith_ranges *ranges,
                                                 const pith_quant_options *options, const pith_allocator *allocator,
                                                 pith_graph **out_graph, uint32_t *out_count, pith_error *error);

#endif
