#include "engine/lower/integer.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "ops/attention/attention_u8s8.h"
#include "ops/elementwise/elementwise_f32.h"
#include "ops/gemm/gemm_u8s8.h"

/* Always false, so that a refusal is one statement. */
__attribute__((format(printf, 2, 3))) static bool refuse(char reason[PITH_REASON_BYTES],
                                                         const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(reason, PITH_REASON_BYTES, format, arguments);
  va_end(arguments);
  return false;
}

static bool has_kernels(pith_step_kind kind, char reason[PITH_REASON_BYTES]) {
  const pith_step_row *row = pith_step_row_get(kind);
  return row->kernels != NULL ? true : refuse(reason, "there is no kernel of %s", row->name);
}

/* Data of `count` f32, row-major. */
static bool is_scales(const pith_program *program, pith_value_id id, size_t count) {
  size_t have;
  return pith_value_is_data(program, id) && program->values[id].dtype == PITH_DTYPE_F32 &&
         program->values[id].data_layout == PITH_LAYOUT_ROW_MAJOR &&
         pith_value_get_constant_count(&program->values[id], &have) && have == count;
}

/* Scales of the graph's own were checked as it was translated, those that steps over data gave were
 * not. They pass where they are not known yet. */
static bool are_normal(const pith_program *program, pith_value_id id, const char *name,
                       char reason[PITH_REASON_BYTES]) {
  const pith_value *value = &program->values[id];
  const float *scales = value->data;
  size_t count;
  if (scales == NULL || !pith_value_get_constant_count(value, &count))
    return true;
  for (size_t i = 0; i < count; i++)
    if (!isnormal(scales[i]) || scales[i] < 0)
      return refuse(reason, "%s: scale %s[%zu] is %g, not a normal number above 0", name,
                    value->name, i, (double)scales[i]);
  return true;
}

/* A zero point that is absent, or data of zeros only; a model without weights yet is planned as
 * though it were. */
static bool is_zero(const pith_program *program, pith_value_id id) {
  if (id == PITH_NONE)
    return true;
  const pith_value *value = &program->values[id];
  size_t count;
  if (value->kind != PITH_VALUE_DATA || !pith_value_get_constant_count(value, &count))
    return false;
  for (size_t i = 0; i < count && value->data != NULL; i++)
    if (((const uint8_t *)value->data)[i] != 0)
      return false;
  return true;
}

/* A zero point of one element that is known when the program is made; absent: 0. */
static bool is_known_zero(const pith_program *program, pith_value_id id) {
  size_t count;
  return id == PITH_NONE ||
         (pith_value_is_data(program, id) &&
          pith_value_get_constant_count(&program->values[id], &count) && count == 1);
}

static bool is_constant(const pith_dim *dim, int64_t size) {
  return pith_dim_is_constant(dim) && dim->constant == size;
}

/* ---- weights and tables
 * -------------------------------------------------------------------------------------- */

/* s8 data [n, k] with a scale for each of the n and zero point 0; `name` as "product 'x'". */
static bool is_integer_data(const pith_program *program, const pith_step *dequantize,
                            const char *name, const char *each, char reason[PITH_REASON_BYTES]) {
  pith_value_id id = dequantize->inputs[PITH_QUANTIZE_X];
  const pith_value *w = &program->values[id];
  size_t count;
  if (w->kind != PITH_VALUE_DATA)
    return refuse(reason, "%s: '%s' is computed, not data", name, w->name);
  if (w->dtype != PITH_DTYPE_S8 || w->rank != 2 || !pith_value_get_constant_count(w, &count))
    return refuse(reason, "%s: '%s' is not an s8 matrix", name, w->name);
  if (dequantize->params.quantize.scales != PITH_SCALE_ROW ||
      !is_scales(program, dequantize->inputs[PITH_QUANTIZE_SCALE], (size_t)w->dims[0].constant))
    return refuse(reason, "%s: '%s' has not one scale for each %s", name, w->name, each);
  if (!are_normal(program, dequantize->inputs[PITH_QUANTIZE_SCALE], name, reason))
    return false;
  if (!is_zero(program, dequantize->inputs[PITH_QUANTIZE_ZERO]))
    return refuse(reason, "%s: '%s' has zero points that are not 0", name, w->name);
  return true;
}

bool pith_gather_reads_integers(pith_program *program, const pith_step *gather,
                                char reason[PITH_REASON_BYTES]) {
  char name[PITH_REASON_BYTES / 2];
  snprintf(name, sizeof name, "Gather '%s'", gather->name);
  const pith_step *table =
      pith_program_get_producer(program, gather->inputs[0], PITH_STEP_DEQUANTIZE);
  if (table == NULL)
    return refuse(reason, "%s: its table is not quantized", name);
  if (gather->params.gather.axis != 0)
    return refuse(reason, "%s: it does not look up whole rows", name);
  if (program->values[gather->inputs[1]].dtype != PITH_DTYPE_S32)
    return refuse(reason, "%s: its indices are s64", name);
  if (!is_integer_data(program, table, name, "row", reason))
    return false;
  const pith_value *data = &program->values[table->inputs[PITH_QUANTIZE_X]];
  if (data->data_layout != PITH_LAYOUT_ROW_MAJOR)
    return refuse(reason, "%s: '%s' lies in blocks for products (%s)", name, data->name,
                  pith_layout_get_name(data->data_layout));
  return true;
}

/* ---- products
 * -------------------------------------------------------------------------------------------------
 */

/* u8 with one scale, or with one for each row. */
static bool is_integer_input(const pith_program *program, const pith_step *dequantize,
                             const char *name, char reason[PITH_REASON_BYTES]) {
  pith_value_id scale = dequantize->inputs[PITH_QUANTIZE_SCALE],
                zero = dequantize->inputs[PITH_QUANTIZE_ZERO];
  const pith_value *x = &program->values[dequantize->inputs[PITH_QUANTIZE_X]],
                   *scales = &program->values[scale];
  if (x->dtype != PITH_DTYPE_U8)
    return refuse(reason, "%s: its input '%s' is %s, not u8", name, x->name,
                  pith_dtype_get_info(x->dtype)->name);
  switch (dequantize->params.quantize.scales) {
  case PITH_SCALE_TENSOR:
    return is_scales(program, scale, 1) && is_known_zero(program, zero)
               ? are_normal(program, scale, name, reason)
               : refuse(reason, "%s: the scale of its input '%s' is computed", name, x->name);
  case PITH_SCALE_BLOCK:
    if (is_constant(&x->dims[x->rank - 1], (int64_t)dequantize->params.quantize.block) &&
        x->rank == 2 && scales->kind == PITH_VALUE_BUFFER && zero != PITH_NONE &&
        program->values[zero].kind == PITH_VALUE_BUFFER)
      return true;
    return refuse(reason,
                  "%s: its input '%s' has scales for blocks of %zu features, not for whole rows",
                  name, x->name, dequantize->params.quantize.block);
  default:
    return refuse(reason, "%s: its input '%s' has a scale for each %s", name, x->name,
                  dequantize->params.quantize.scales == PITH_SCALE_ROW ? "row, which is data"
                                                                       : "feature");
  }
}

bool pith_gemm_reads_integers(pith_program *program, const pith_step *gemm,
                              char reason[PITH_REASON_BYTES]) {
  char name[PITH_REASON_BYTES / 2];
  snprintf(name, sizeof name, "product '%s'", gemm->name);
  const pith_step *x =
      pith_program_get_producer(program, gemm->inputs[PITH_GEMM_X], PITH_STEP_DEQUANTIZE);
  const pith_step *w =
      pith_gemm_count_segments(gemm) != 1
          ? NULL
          : pith_program_get_producer(program, gemm->inputs[pith_segment_input(0, PITH_SEGMENT_W)],
                                      PITH_STEP_DEQUANTIZE);
  if (x == NULL)
    return refuse(reason, "%s: its input is not quantized", name);
  if (w == NULL)
    return refuse(reason, "%s: its weights are not quantized", name);
  if (gemm->params.gemm.columns)
    return refuse(reason, "%s: its weights are [inputs, outputs], not [outputs, inputs]", name);
  if (!is_integer_input(program, x, name, reason) ||
      !is_integer_data(program, w, name, "output", reason))
    return false;
  const pith_value *weights = &program->values[w->inputs[PITH_QUANTIZE_X]];
  if (weights->data_layout != PITH_LAYOUT_ROW_MAJOR && weights->data_layout != PITH_LAYOUT_N16K4_S8 &&
      !pith_layout_is_sparse(weights->data_layout))
    return refuse(reason, "%s: its weights '%s' are in layout %s", name, weights->name,
                  pith_layout_get_name(weights->data_layout));
  if (weights->dims[1].constant > PITH_GEMM_U8S8_MAX_K)
    return refuse(
        reason,
        "%s: it sums over %lld inputs, more than the %d whose sum is sure to fit in 32 bits", name,
        (long long)weights->dims[1].constant, PITH_GEMM_U8S8_MAX_K);
  return has_kernels(PITH_STEP_INTEGER_GEMM, reason);
}

/* ---- attention
 * ------------------------------------------------------------------------------------------------
 */

static bool is_static_operand(const pith_program *program, const pith_step *dequantize,
                              pith_dtype dtype) {
  return program->values[dequantize->inputs[PITH_QUANTIZE_X]].dtype == dtype &&
         dequantize->params.quantize.scales == PITH_SCALE_TENSOR &&
         is_scales(program, dequantize->inputs[PITH_QUANTIZE_SCALE], 1) &&
         (dtype == PITH_DTYPE_U8 ? is_known_zero(program, dequantize->inputs[PITH_QUANTIZE_ZERO])
                                 : is_zero(program, dequantize->inputs[PITH_QUANTIZE_ZERO]));
}

/* Quantized head by head by the rules that the kernel follows itself. */
static bool is_dynamic_operand(pith_program *program, const pith_step *dequantize, pith_dtype dtype,
                               int64_t heads, pith_value_id offsets) {
  pith_value_id q = dequantize->inputs[PITH_QUANTIZE_X];
  const pith_value *value = &program->values[q];
  const pith_step *dynamic = pith_program_get_producer(program, q, PITH_STEP_DYNAMIC_QUANTIZE);
  return dynamic != NULL && value->dtype == dtype && value->rank == 2 &&
         dequantize->params.quantize.scales == PITH_SCALE_BLOCK &&
         dequantize->params.quantize.block == dynamic->params.quantize.block &&
         is_constant(&value->dims[1], (int64_t)dynamic->params.quantize.block * heads) &&
         dequantize->inputs[PITH_QUANTIZE_SCALE] == dynamic->outputs[1] &&
         (dequantize->inputs[PITH_QUANTIZE_ZERO] == dynamic->outputs[2] ||
          (dtype == PITH_DTYPE_S8 && dequantize->inputs[PITH_QUANTIZE_ZERO] == PITH_NONE)) &&
         (dynamic->input_count > PITH_DYNAMIC_QUANTIZE_OFFSETS
              ? dynamic->inputs[PITH_DYNAMIC_QUANTIZE_OFFSETS]
              : PITH_NONE) == offsets;
}

static bool keys_fit(const pith_program *program, const pith_step *attention) {
  const pith_value *keys = &program->values[attention->inputs[PITH_ATTENTION_K]];
  int64_t tokens;
  if (program->max_sequence != 0 && program->max_sequence <= PITH_ATTENTION_U8S8_MAX_KEYS)
    return true;
  return pith_dim_evaluate(&keys->dims[0], program->symbol_limits, &tokens, NULL) == PITH_OK &&
         tokens <= PITH_ATTENTION_U8S8_MAX_KEYS;
}

/* A query and a key, u8 and s8, are multiplied and added up like a row of a product. */
static bool heads_fit(const pith_program *program, const pith_step *attention,
                      char reason[PITH_REASON_BYTES]) {
  const pith_value *queries = &program->values[attention->inputs[PITH_ATTENTION_Q]];
  int64_t features = queries->dims[1].constant / attention->params.attention.heads;
  return features <= PITH_ATTENTION_U8S8_MAX_KEYS
             ? true
             : refuse(reason,
                      "attention '%s': its heads have %lld features, more than the %d whose sum is "
                      "sure to fit in 32 bits",
                      attention->name, (long long)features, PITH_ATTENTION_U8S8_MAX_KEYS);
}

bool pith_attention_reads_integers(pith_program *program, const pith_step *attention,
                                   char reason[PITH_REASON_BYTES]) {
  static const pith_dtype dtypes[] = {PITH_DTYPE_U8, PITH_DTYPE_S8, PITH_DTYPE_S8};
  static const char *const names[] = {"query", "key", "value"};
  char name[PITH_REASON_BYTES / 2];
  snprintf(name, sizeof name, "attention '%s'", attention->name);
  uint32_t dynamic_count = 0;
  for (uint32_t i = 0; i < 3; i++) {
    const pith_step *operand =
        pith_program_get_producer(program, attention->inputs[i], PITH_STEP_DEQUANTIZE);
    if (operand == NULL)
      return refuse(reason, "attention '%s': its %s is not quantized", attention->name, names[i]);
    pith_value_id offsets = i == 2 ? attention->inputs[PITH_ATTENTION_KV_OFFSETS] : PITH_NONE;
    bool dynamic =
        is_dynamic_operand(program, operand, dtypes[i], attention->params.attention.heads, offsets);
    if (!dynamic && !is_static_operand(program, operand, dtypes[i]))
      return refuse(reason,
                    "attention '%s': its %s is neither %s with one scale known beforehand nor "
                    "quantized head by "
                    "head from floats",
                    attention->name, names[i], pith_dtype_get_info(dtypes[i])->name);
    if (!dynamic && !are_normal(program, operand->inputs[PITH_QUANTIZE_SCALE], name, reason))
      return false;
    dynamic_count += dynamic;
  }
  if (dynamic_count != 0 && dynamic_count != 3)
    return refuse(reason, "attention '%s': its query, key and value are not quantized alike",
                  attention->name);
  if (attention->row->kind != PITH_STEP_ROUNDED_ATTENTION)
    return refuse(reason, "attention '%s': its softmax is in floats (softmax_dtype)",
                  attention->name);
  if (!heads_fit(program, attention, reason))
    return false;
  if (!keys_fit(program, attention))
    return refuse(reason, "attention '%s': sequences may have more than %d tokens", attention->name,
                  PITH_ATTENTION_U8S8_MAX_KEYS);
  return has_kernels(PITH_STEP_INTEGER_ATTENTION, reason);
}

/* ---- 8-bit outputs
 * -------------------------------------------------------------------------------------------- */

bool pith_step_find_rows(const pith_step *step, pith_value_id y, pith_rows_place *out_place) {
  uint32_t groups = 1;
  pith_rows_place place = {0};
  switch (step->row->kind) {
  case PITH_STEP_INTEGER_GEMM:
    groups = pith_gemm_count_segments(step);
    break;
  case PITH_STEP_INTEGER_ATTENTION:
    place.scale = PITH_ATTENTION_Y_SCALE;
    break;
  case PITH_STEP_EMBEDDING:
    place.scale = PITH_EMBEDDING_Q_SCALE;
    place.factors = step->inputs[PITH_EMBEDDING_GAMMA] == PITH_NONE ? 0 : PITH_EMBEDDING_Q_FACTORS;
    place.keeps_floats = true;
    break;
  case PITH_STEP_LAYER_NORM:
    place.scale = PITH_NORM_Q_SCALE;
    place.factors = PITH_NORM_Q_FACTORS;
    place.keeps_floats = true;
    break;
  default:
    return false;
  }
  for (uint32_t i = 0; i < groups; i++) {
    place.outputs = pith_segment_output(i, 0);
    if (step->row->kind == PITH_STEP_INTEGER_GEMM)
      place.scale = pith_segment_input(i, PITH_SEGMENT_Q_SCALE);
    if (step->outputs[place.outputs + PITH_ROWS_Y] != y)
      continue;
    *out_place = place;
    return true;
  }
  return false;
}

static bool is_static_quantize(const pith_program *program, const pith_step *quantize,
                               const char *name, char reason[PITH_REASON_BYTES]) {
  pith_value_id scale = quantize->inputs[PITH_QUANTIZE_SCALE],
                zero = quantize->inputs[PITH_QUANTIZE_ZERO];
  if (quantize->params.quantize.scales != PITH_SCALE_TENSOR)
    return refuse(reason, "%s: it has more than one scale", name);
  if (!is_scales(program, scale, 1) || !is_known_zero(program, zero))
    return refuse(reason, "%s: its scale or zero point is computed", name);
  if (program->values[quantize->outputs[0]].dtype == PITH_DTYPE_S8 && !is_zero(program, zero))
    return refuse(reason, "%s: its s8 has a zero point that is not 0", name);
  return are_normal(program, scale, name, reason);
}

bool pith_norm_takes_rows(const pith_program *program, const pith_step *norm, size_t features) {
  size_t normalized;
  return norm->row->kind != PITH_STEP_LAYER_NORM ||
         (pith_value_get_constant_count(&program->values[norm->inputs[PITH_NORM_GAMMA]],
                                        &normalized) &&
          normalized == features);
}

static bool is_dynamic_rows(const pith_program *program, const pith_step *quantize,
                            const pith_step *producer, const char *name,
                            char reason[PITH_REASON_BYTES]) {
  const pith_value *x = &program->values[quantize->inputs[PITH_DYNAMIC_QUANTIZE_X]];
  if (quantize->input_count > PITH_DYNAMIC_QUANTIZE_OFFSETS &&
      quantize->inputs[PITH_DYNAMIC_QUANTIZE_OFFSETS] != PITH_NONE)
    return refuse(reason, "%s: its ranges are those of whole sequences", name);
  if (x->rank != 2 || !is_constant(&x->dims[1], (int64_t)quantize->params.quantize.block))
    return refuse(reason, "%s: its ranges are those of %zu features, not of whole rows", name,
                  quantize->params.quantize.block);
  if (program->values[quantize->outputs[0]].dtype != PITH_DTYPE_U8)
    return refuse(reason, "%s: it makes s8 with a scale for each row, only u8 can be merged", name);
  if (!pith_norm_takes_rows(program, producer, quantize->params.quantize.block))
    return refuse(reason, "%s: '%s' normalizes several rows as one, each has a range of its own",
                  name, producer->name);
  if (producer->row->kind == PITH_STEP_INTEGER_ATTENTION)
    return refuse(reason, "%s: a row's range spans all heads, and '%s' goes head by head", name,
                  producer->name);
  if (producer->row->kind == PITH_STEP_INTEGER_GEMM && pith_gemm_count_segments(producer) != 1)
    return refuse(reason, "%s: '%s' makes several products at once", name, producer->name);
  return true;
}

/* `rows` [tokens, features] come from a step that can multiply them by `factors` [features] as it writes 8 bits. */
static bool takes_factors(const pith_program *program, pith_value_id rows, pith_value_id factors) {
  const pith_value *x = &program->values[rows];
  if (x->producer == PITH_NONE || x->rank != 2 || !pith_dim_is_constant(&x->dims[1]))
    return false;
  const pith_step *producer = &program->steps[x->producer];
  const size_t features = (size_t)x->dims[1].constant;
  pith_rows_place place;
  return producer->row != NULL && pith_step_find_rows(producer, rows, &place) && place.factors != 0 &&
         pith_norm_takes_rows(program, producer, features) && program->values[factors].rank == 1 &&
         is_scales(program, factors, features);
}

pith_step *pith_quantize_get_factors(pith_program *program, const pith_step *quantize,
                                     pith_value_id *out_rows, pith_value_id *out_factors) {
  if (quantize->row->kind != PITH_STEP_QUANTIZE)
    return NULL;
  pith_step *mul =
      pith_program_sole_producer(program, quantize->inputs[PITH_QUANTIZE_X], PITH_STEP_BINARY);
  if (mul == NULL || mul->params.elementwise.function != PITH_BINARY_MUL)
    return NULL;
  for (uint32_t side = 0; side < 2; side++)
    if (takes_factors(program, mul->inputs[side], mul->inputs[1 - side])) {
      *out_rows = mul->inputs[side];
      *out_factors = mul->inputs[1 - side];
      return mul;
    }
  return NULL;
}

bool pith_quantize_can_merge(pith_program *program, const pith_step *quantize,
                             char reason[PITH_REASON_BYTES]) {
  char name[PITH_REASON_BYTES / 2];
  snprintf(name, sizeof name, "%s '%s'", quantize->row->name, quantize->name);
  pith_value_id rows = quantize->inputs[PITH_QUANTIZE_X], factors;
  (void)pith_quantize_get_factors(program, quantize, &rows, &factors);
  const pith_value *x = &program->values[rows];
  pith_rows_place place;
  if (x->producer == PITH_NONE)
    return refuse(reason, "%s: its input '%s' is %s", name, x->name,
                  x->kind == PITH_VALUE_INPUT ? "an input of the run" : "data");
  const pith_step *producer = &program->steps[x->producer];
  if (producer->row == NULL ||
      !pith_step_find_rows(producer, rows, &place))
    return refuse(reason, "%s: its input comes from '%s' (%s), which writes floats only", name,
                  producer->row == NULL ? x->name : producer->name,
                  producer->row == NULL ? "removed" : producer->row->name);
  if (place.outputs + PITH_ROWS_Q < producer->output_count &&
      producer->outputs[place.outputs + PITH_ROWS_Q] != PITH_NONE)
    return refuse(reason, "%s: '%s' writes 8 bits of other scales already", name, producer->name);
  return quantize->row->kind == PITH_STEP_QUANTIZE
             ? is_static_quantize(program, quantize, name, reason)
             : is_dynamic_rows(program, quantize, producer, name, reason);
}
