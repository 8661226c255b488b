/* Layer by layer: how far a quantized model's tensors are from the float model's, over the same data. */
#ifndef PITH_QUANT_REPORT_H
#define PITH_QUANT_REPORT_H

#include "quant/calibrate.h"

#define PITH_QUANT_ERROR_LIST(X)                                                                            \
  X(WEIGHT, "weight")         /* data, against itself in float */                                           \
  X(ACTIVATION, "activation") /* as the integer operators read it, against the float model's */             \
  X(OUTPUT, "output")         /* what an integer operator gives, against the float model's; model outputs */
typedef enum pith_quant_error_kind {
#define PITH_QUANT_ERROR_ENUM(name, text) PITH_QUANT_ERROR_##name,
  PITH_QUANT_ERROR_LIST(PITH_QUANT_ERROR_ENUM)
#undef PITH_QUANT_ERROR_ENUM
} pith_quant_error_kind;

typedef struct pith_quant_error {
  const char *name; /* of the tensor in the float graph */
  pith_quant_error_kind kind;
  uint64_t count;   /* elements compared */
  double signal, noise; /* sums of squares: of the float values, of the differences */
  double largest;   /* difference */
} pith_quant_error;

const char *pith_quant_error_kind_name(pith_quant_error_kind kind);
/* Signal to quantization noise in dB: 10 log10(signal / noise); infinite where there is no noise. */
double pith_quant_error_sqnr(const pith_quant_error *error);

typedef struct pith_quant_report {
  uint32_t count;
  pith_quant_error *errors; /* in the order of the quantized graph */
  pith_arena arena;
} pith_quant_report;

/* Both graphs have the same names (pith_quantized.float_graph and .data.graph). `progress`: NULL, or told the sequences
 * done. pith_quant_report_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_quant_report_make(const pith_model *model, const pith_graph *float_graph,
                                                    const pith_graph *quantized,
                                                    const pith_calibration_source *source,
                                                    const pith_session_options *session,
                                                    void (*progress)(void *context, uint64_t sequences), void *context,
                                                    pith_quant_report *out_report, pith_error *error);
void pith_quant_report_deinit(pith_quant_report *report);

#endif
