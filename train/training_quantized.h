/* Training an INT8 model as what it is (quantization-aware training; Jacob et al. 2018).
 *
 * The model that is trained is the one in floats (pith_dequantize_graph), so that its parameters are floats. Where the INT8 model
 * quantizes, the training graph does too, and computes forward with the integer kernels:
 *
 *     x ──► FakeQuantize ──┬─► floats ──► Gemm ────► (not computed; its gradient is)
 *     W ──► FakeQuantizeWeights ─┴─► levels ──► IntegerProduct ──► what the INT8 model gives, bit for bit
 *
 * and the way back goes through the floats, straight through rounding where a value lies in its range. Weights have a scale for each
 * output and tables one for each row, that of the largest magnitude. */
#ifndef PITH_TRAIN_TRAINING_QUANTIZED_H
#define PITH_TRAIN_TRAINING_QUANTIZED_H

#include <pith/train.h>

#include "engine/ir/graph.h"

/* The range of one quantized activation, or of several that share a scale. */
typedef struct pith_training_range {
  pith_tensor_id scale, zero; /* of the INT8 model's graph; no zero: PITH_NONE */
  pith_dtype dtype;           /* of the levels: u8, or s8 with zero 0 */
  pith_tensor_id parameter;   /* learned: its scale in the training model; else PITH_NONE */
  float *value;               /* learned: where the parameter lies, once weights are loaded; else a place of its own */
  uint8_t *zero_value;
  pith_tensor_id in_graph[2]; /* scale and zero in the training graph; PITH_NONE before they are there */
} pith_training_range;

/* What a moving average looks at: the rows' extremes of one activation. */
typedef struct pith_training_observer {
  uint32_t range;        /* index */
  pith_tensor_id tensor; /* of the training graph, [rows, 2] */
  uint32_t output;       /* the same among its outputs */
} pith_training_observer;

typedef struct pith_training_quantized {
  const pith_graph *source;   /* the INT8 model's */
  const pith_node_id *nodes;  /* [nodes of the training model] the source's node */
  const uint32_t *ranges_of;  /* [source->node_count] of QuantizeLinear: its range */
  pith_training_range *ranges;
  uint32_t range_count;
  pith_training_observer *observers; /* ema: [observer_count] */
  uint32_t observer_count;
  pith_range_training how;
} pith_training_quantized;

/* Whether a graph has anything that is quantized. */
bool pith_training_is_quantized(const pith_graph *graph);
/* In `arena`. `floats` is what pith_dequantize_graph made of `source`, and gets a parameter for each learned scale. PITH_UNSUPPORTED,
 * naming the node, for what training does not follow: ranges found in every run, zero points of weights, scales that are no data. */
PITH_WARN_UNUSED pith_status pith_training_quantized_create(const pith_graph *source, pith_graph *floats, pith_range_training how,
                                                            pith_arena *arena, pith_training_quantized **out_quantized,
                                                            pith_error *error);
/* The one whose learned scale that parameter of the training model is; NULL: none. `quantized` may be NULL. */
pith_training_range *pith_training_find_range(const pith_training_quantized *quantized, pith_tensor_id parameter);

#endif
