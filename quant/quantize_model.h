/* From a float model and data to a quantized model, ready to be written: what `pith quantize` does. Part of
 * libpith-compress.
 *
 *   [equalize] -> [calibrate] -> [SmoothQuant -> calibrate] -> [bias correction or GPTQ] -> quantize */
#ifndef PITH_QUANT_QUANTIZE_MODEL_H
#define PITH_QUANT_QUANTIZE_MODEL_H

#include "engine/format/model_data.h"
#include "quant/calibrate.h"
#include "quant/quantize.h"

typedef struct pith_quantize_request {
  const pith_quant_options *options;
  const pith_calibration_source *source; /* NULL: none, which is an error where pith_quant_needs_data */
  bool random_ids;                       /* the source's are no texts: the history says so */
  pith_session_options session;          /* of the runs */
  /* NULL, or told of each pass over the data, counted from 0, and of the sequences done in it. */
  void (*progress)(void *context, uint32_t pass, uint64_t sequences);
  void *context;
} pith_quantize_request;

typedef struct pith_quantized {
  pith_model_data data;            /* the quantized model; its tokenizer, labels and config stay the float model's */
  const pith_graph *float_graph;   /* the same tensors in float, without bias correction: what errors are measured against */
  pith_ranges ranges;              /* empty where nothing was calibrated */
  pith_quant_summary summary;
  uint32_t equalized, smoothed, corrected; /* pairs of products, activations, biases */
  pith_graph *graphs[4];           /* all that were made; each may borrow data of those before it */
  uint32_t graph_count;
  pith_arena arena;
} pith_quantized;

/* PITH_INVALID_ARGUMENT where one of the options has no effect beside the others, unless it is the default. */
PITH_WARN_UNUSED pith_status pith_quantize_check_options(const pith_quant_options *options, pith_error *error);

/* Passes over the data that these options take. */
uint32_t pith_quantize_count_passes(const pith_quant_options *options);

/* `model` stays open for as long as the result lives. Errors: those of the steps; also PITH_INVALID_ARGUMENT where the recipe
 * is for another graph, and pith_quantize_check_options'. pith_quantized_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_quantize_model(const pith_model *model, const pith_quantize_request *request,
                                                 pith_quantized *out, pith_error *error);
void pith_quantized_deinit(pith_quantized *quantized);

#endif
