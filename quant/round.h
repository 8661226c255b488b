/* Rounding weights so that products change least on data (GPTQ). Part of libpith-compress.
 *
 * Product after product: weights are rounded one input at a time, each one's error moved onto the inputs still to come (quant/fit.h),
 * by the second moments of the input that the quantized model has there: its activations are of 8 bits, and the products before are
 * rounded. Zeros stay zeros. Biases take up the mean error of all that, so that each output, or the residual that it is added to,
 * has the mean that it has in the float model. The activations of all data are held at once, of both models. */
#ifndef PITH_QUANT_ROUND_H
#define PITH_QUANT_ROUND_H

#include "quant/calibrate.h"

typedef struct pith_round_request {
  const pith_model *model;   /* reads the source */
  const pith_graph *graph;   /* float, as it shall be quantized */
  const pith_ranges *ranges; /* of the graph's activations, as pith_quantize_graph takes them */
  const pith_quant_options *options;
  const pith_calibration_source *source;
  pith_session_options session;
  void (*progress)(void *context, uint64_t sequences); /* NULL, or told the share of products done, in sequences */
  void *context;
} pith_round_request;

/* `graph` once more with weights that are scale * integer, and biases to them; `out_scales` [tensor_count of the new graph][outputs]:
 * of weights that were rounded, else NULL; in the new graph's arena. Weights that several products read stay as they are.
 * The errors of pith_quantize_graph, pith_stream_init and pith_fit_weights. */
PITH_WARN_UNUSED pith_status pith_round_graph(const pith_round_request *request, pith_graph **out_graph,
                                              const float *const **out_scales, pith_error *error);

#endif
