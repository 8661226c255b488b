/* Rewrites that put integers in the place of floats between 8-bit values, and the notes on what
 * they left. */
#include <stdio.h>

#include "engine/lower/integer.h"

pith_status pith_rewrite_INTEGER_GEMM(pith_program *program, pith_error *error) {
  (void)error;
  char reason[PITH_REASON_BYTES];
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *gemm = &program->steps[i];
    if (gemm->row->kind != PITH_STEP_GEMM || !pith_gemm_reads_integers(program, gemm, reason))
      continue;
    pith_value_id *w = &gemm->inputs[pith_segment_input(0, PITH_SEGMENT_W)];
    const pith_step *x =
        pith_program_get_producer(program, gemm->inputs[PITH_GEMM_X], PITH_STEP_DEQUANTIZE);
    const pith_step *weights = pith_program_get_producer(program, *w, PITH_STEP_DEQUANTIZE);
    gemm->row = pith_step_row_get(PITH_STEP_INTEGER_GEMM);
    gemm->inputs[PITH_GEMM_X] = x->inputs[PITH_QUANTIZE_X];
    gemm->inputs[PITH_GEMM_X_SCALE] = x->inputs[PITH_QUANTIZE_SCALE];
    gemm->inputs[PITH_GEMM_X_ZERO] = x->inputs[PITH_QUANTIZE_ZERO];
    gemm->inputs[pith_segment_input(0, PITH_SEGMENT_W_SCALE)] =
        weights->inputs[PITH_QUANTIZE_SCALE];
    *w = weights->inputs[PITH_QUANTIZE_X];
  }
  return PITH_OK;
}

pith_status pith_rewrite_INTEGER_ATTENTION(pith_program *program, pith_error *error) {
  static const uint32_t scales[] = {PITH_ATTENTION_Q_SCALE, PITH_ATTENTION_K_SCALE,
                                    PITH_ATTENTION_V_SCALE};
  (void)error;
  char reason[PITH_REASON_BYTES];
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *attention = &program->steps[i];
    if (attention->row->kind != PITH_STEP_ROUNDED_ATTENTION ||
        !pith_attention_reads_integers(program, attention, reason))
      continue;
    attention->row = pith_step_row_get(PITH_STEP_INTEGER_ATTENTION);
    attention->input_count = PITH_ATTENTION_Y_ZERO + 1;
    attention->output_count = PITH_ROWS_OUTPUTS;
    for (uint32_t j = 0; j < 3; j++) {
      const pith_step *operand =
          pith_program_get_producer(program, attention->inputs[j], PITH_STEP_DEQUANTIZE);
      const pith_step *dynamic =
          operand->params.quantize.scales == PITH_SCALE_TENSOR
              ? NULL
              : pith_program_get_producer(program, operand->inputs[PITH_QUANTIZE_X],
                                          PITH_STEP_DYNAMIC_QUANTIZE);
      if (dynamic != NULL) {
        attention->inputs[j] = dynamic->inputs[PITH_DYNAMIC_QUANTIZE_X];
        continue;
      }
      attention->inputs[j] = operand->inputs[PITH_QUANTIZE_X];
      attention->inputs[scales[j]] = operand->inputs[PITH_QUANTIZE_SCALE];
      if (j == 0)
        attention->inputs[PITH_ATTENTION_Q_ZERO] = operand->inputs[PITH_QUANTIZE_ZERO];
    }
  }
  return PITH_OK;
}

pith_status pith_rewrite_REQUANTIZE(pith_program *program, pith_error *error) {
  (void)error;
  char reason[PITH_REASON_BYTES];
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *quantize = &program->steps[i];
    if ((quantize->row->kind != PITH_STEP_QUANTIZE &&
         quantize->row->kind != PITH_STEP_DYNAMIC_QUANTIZE) ||
        !pith_quantize_can_merge(program, quantize, reason))
      continue;
    pith_value_id x = quantize->inputs[PITH_QUANTIZE_X], factors = PITH_NONE;
    pith_step *mul = pith_quantize_get_factors(program, quantize, &x, &factors);
    const uint32_t producer = program->values[x].producer;
    pith_step *step = &program->steps[producer];
    pith_rows_place place;
    if (!pith_step_find_rows(step, x, &place))
      continue;
    if (step->input_count < place.scale + 2)
      step->input_count = place.scale + 2;
    if (step->output_count < place.outputs + PITH_ROWS_OUTPUTS)
      step->output_count = place.outputs + PITH_ROWS_OUTPUTS;
    if (quantize->row->kind == PITH_STEP_QUANTIZE) {
      step->inputs[place.scale] = quantize->inputs[PITH_QUANTIZE_SCALE];
      step->inputs[place.scale + 1] = quantize->inputs[PITH_QUANTIZE_ZERO];
    }
    if (mul != NULL) {
      if (step->input_count < place.factors + 1)
        step->input_count = place.factors + 1;
      step->inputs[place.factors] = factors;
      mul->row = NULL;
    }
    for (uint32_t j = 0; j < quantize->output_count; j++) {
      step->outputs[place.outputs + PITH_ROWS_Q + j] = quantize->outputs[j];
      program->values[quantize->outputs[j]].producer = producer;
    }
    if (--program->values[x].use_count == 0 && !place.keeps_floats)
      step->outputs[place.outputs + PITH_ROWS_Y] = PITH_NONE;
    quantize->row = NULL;
  }
  return PITH_OK;
}

/* ---- notes
 * ----------------------------------------------------------------------------------------------------
 */

static pith_status add_note(pith_program *program, const pith_step *step, const char *reason,
                            pith_error *error) {
  const char *copy = pith_arena_format(&program->arena, "%s", reason);
  if (copy == NULL)
    return pith_lower_no_memory(error);
  for (uint32_t i = 0; i < program->note_count;
       i++) /* a reader may take two operands from one step */
    if (program->notes[i].step == step->name && strcmp(program->notes[i].reason, copy) == 0)
      return PITH_OK;
  program->notes[program->note_count++] = (pith_note){step->name, copy};
  return PITH_OK;
}

/* Why `reader` takes the floats of a Dequantize. */
static void explain_reader(pith_program *program, const pith_step *reader, uint32_t rewrites,
                           char reason[PITH_REASON_BYTES]) {
  pith_rewrite_id rewrite = PITH_REWRITE_COUNT;
  bool can = false;
  switch (reader->row->kind) {
  case PITH_STEP_GEMM:
    rewrite = PITH_REWRITE_INTEGER_GEMM;
    can = pith_gemm_reads_integers(program, reader, reason);
    break;
  case PITH_STEP_ATTENTION:
  case PITH_STEP_ROUNDED_ATTENTION:
    rewrite = PITH_REWRITE_INTEGER_ATTENTION;
    can = pith_attention_reads_integers(program, reader, reason);
    break;
  case PITH_STEP_GATHER:
    rewrite = PITH_REWRITE_TABLES;
    can = pith_gather_reads_integers(program, reader, reason);
    break;
  default:
    snprintf(reason, PITH_REASON_BYTES, "%s '%s' reads floats", reader->row->name, reader->name);
  }
  if (can)
    snprintf(reason, PITH_REASON_BYTES, "%s '%s': the rewrite %s is %s", reader->row->name,
             reader->name, pith_rewrites[rewrite].name,
             (rewrites >> rewrite & 1) == 0 ? "off" : "not done");
}

static pith_status note_dequantize(pith_program *program, const pith_step *step, uint32_t rewrites,
                                   pith_error *error) {
  char reason[PITH_REASON_BYTES];
  for (uint32_t i = 0; i < program->output_count; i++)
    if (program->outputs[i] == step->outputs[0])
      PITH_TRY(add_note(program, step, "its floats are an output of the model", error));
  for (uint32_t i = 0; i < program->step_count; i++)
    for (uint32_t j = 0; j < program->steps[i].input_count; j++)
      if (program->steps[i].inputs[j] == step->outputs[0]) {
        explain_reader(program, &program->steps[i], rewrites, reason);
        PITH_TRY(add_note(program, step, reason, error));
      }
  return PITH_OK;
}

pith_status pith_pass_notes(pith_program *program, const pith_lower_options *options,
                            pith_error *error) {
  uint32_t capacity = 0; /* a note for each step and reader at most */
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step_kind kind = program->steps[i].row->kind;
    if (kind == PITH_STEP_QUANTIZE || kind == PITH_STEP_DYNAMIC_QUANTIZE)
      capacity++;
    else if (kind == PITH_STEP_DEQUANTIZE)
      capacity += program->values[program->steps[i].outputs[0]].use_count;
  }
  program->notes = PITH_ARENA_NEW(&program->arena, pith_note, capacity);
  if (program->notes == NULL)
    return pith_lower_no_memory(error);
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    char reason[PITH_REASON_BYTES];
    if (step->row->kind == PITH_STEP_DEQUANTIZE) {
      PITH_TRY(note_dequantize(program, step, options->rewrites, error));
    } else if (step->row->kind == PITH_STEP_QUANTIZE ||
               step->row->kind == PITH_STEP_DYNAMIC_QUANTIZE) {
      if (pith_quantize_can_merge(program, step, reason))
        snprintf(reason, sizeof reason, "the rewrite %s is %s",
                 pith_rewrites[PITH_REWRITE_REQUANTIZE].name,
                 (options->rewrites >> PITH_REWRITE_REQUANTIZE & 1) == 0 ? "off" : "not done");
      PITH_TRY(add_note(program, step, reason, error));
    }
  }
  return PITH_OK;
}
