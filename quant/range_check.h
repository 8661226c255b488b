/* What a statically quantized model meets at run time, against what it was calibrated for. */
#ifndef PITH_QUANT_RANGE_CHECK_H
#define PITH_QUANT_RANGE_CHECK_H

#include "engine/format/model_data.h"
#include "quant/calibrate.h"

/* How far beyond a range counts: on the calibration texts themselves a quantized model's activations go up to a tenth beyond,
 * being rounded on their way. */
#define PITH_RANGE_TOLERANCE 1.25

typedef struct pith_range_use {
  const char *name;         /* of the activation */
  float low, high;          /* beyond these a value saturates */
  float seen_low, seen_high; /* in calibration, as the file's history has it; else low, high */
  float run_low, run_high;
  uint64_t count, outside;  /* values; those that saturate */
  double factor;            /* of the widest run value beyond what calibration saw or 8 bits hold: 1: none */
} pith_range_use;

typedef struct pith_range_check {
  uint32_t count;
  pith_range_use *uses; /* in the graph's order */
  uint32_t exceeded;    /* with a factor above PITH_RANGE_TOLERANCE */
  uint64_t texts;
  pith_arena arena;
} pith_range_check;

/* Runs the source's sequences. PITH_INVALID_ARGUMENT where the model has no calibrated range. pith_range_check_deinit
 * follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_range_check_run(const pith_model *model, const pith_calibration_source *source,
                                                  const pith_session_options *session,
                                                  void (*progress)(void *context, uint64_t sequences), void *context,
                                                  pith_range_check *out_check, pith_error *error);
void pith_range_check_deinit(pith_range_check *check);

#endif
