/* Weights that lie otherwise than their reader reads them are converted once, when a session is
 * made. */
#include "engine/lower/lower_internal.h"
#include "ops/gemm/gemm_u8s8.h"

/* Marks the values that something other than a product reads. */
static void mark_read_by_others(const pith_program *program, bool *marks) {
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++)
      if (step->inputs[j] != PITH_NONE && !pith_step_is_weight(step, j))
        marks[step->inputs[j]] = true;
  }
  for (uint32_t i = 0; i < program->output_count; i++)
    marks[program->outputs[i]] = true;
}

static pith_status pack_weight(pith_program *program, pith_value_id id, pith_layout layout,
                               pith_error *error) {
  pith_value *value = &program->values[id];
  size_t n = (size_t)value->dims[0].constant, k = (size_t)value->dims[1].constant;
  uint32_t i = 0;
  for (; i < program->pack_count; i++) {
    const pith_pack *have = &program->packs[i];
    if (have->data != NULL && have->data == value->data &&
        have->transposed == value->data_transposed && have->from == value->data_layout &&
        have->to == layout && have->n == n && have->k == k)
      break;
  }
  if (i == program->pack_count) {
    const pith_dim dims[2] = {pith_dim_of((int64_t)n), pith_dim_of((int64_t)k)};
    uint64_t bytes;
    PITH_TRY(pith_layout_get_bytes(layout, value->dtype, 2, dims, &bytes, error));
    program->packs[program->pack_count++] = (pith_pack){
        .name = value->name,
        .data = value->data,
        .data_bytes = value->data_bytes,
        .from = value->data_layout,
        .to = layout,
        .transposed = value->data_transposed,
        .n = n,
        .k = k,
        .bytes = (size_t)bytes,
    };
  }
  value->pack = i;
  value->data = NULL;
  value->data_layout = layout;
  value->data_transposed = false;
  return PITH_OK;
}

/* As a value of its own: other readers go on reading it as it is. */
static pith_status pack_apart(pith_program *program, pith_value_id *operand, pith_layout layout,
                              pith_error *error) {
  const pith_value source = program->values[*operand];
  pith_value_id id;
  pith_value *value = pith_program_add_value(program, &id);
  if (value == NULL)
    return pith_lower_no_memory(error);
  *value = source;
  value->root = *operand = id;
  return pack_weight(program, id, layout, error);
}

/* Row-major weights of products are packed unless something else reads them too (tied embeddings):
 * the float kernel then reads them as they are, which is slower but does not keep them twice; the
 * integer kernel reads nothing but blocks. A Dequantize of its own reads rows only. */
static pith_status pack_step(pith_program *program, pith_step *step, const bool *read_by_others, pith_error *error) {
  if (step->row->kind == PITH_STEP_DEQUANTIZE &&
      program->values[step->inputs[PITH_QUANTIZE_X]].data_layout != PITH_LAYOUT_ROW_MAJOR &&
      pith_value_is_data(program, step->inputs[PITH_QUANTIZE_X]))
    return pack_apart(program, &step->inputs[PITH_QUANTIZE_X], PITH_LAYOUT_ROW_MAJOR, error);
  for (uint32_t j = 0; j < step->input_count; j++) {
    if (!pith_step_is_weight(step, j))
      continue;
    const pith_value *value = &program->values[step->inputs[j]];
    if (value->kind != PITH_VALUE_DATA || value->data_layout != PITH_LAYOUT_ROW_MAJOR || value->changes)
      continue;
    pith_layout layout = pith_step_get_weight_layout(step);
    if (value->data_transposed || !read_by_others[step->inputs[j]])
      PITH_TRY(pack_weight(program, step->inputs[j], layout, error));
    else if (step->row->is_integer)
      PITH_TRY(pack_apart(program, &step->inputs[j], layout, error));
  }
  return PITH_OK;
}

static pith_status pack(pith_program *program, pith_arena *temporary, pith_error *error) {
  size_t capacity = 0;
  for (uint32_t i = 0; i < program->step_count; i++) {
    capacity += program->steps[i].row->kind == PITH_STEP_DEQUANTIZE;
    for (uint32_t j = 0; j < program->steps[i].input_count; j++)
      capacity += pith_step_is_weight(&program->steps[i], j);
  }
  program->packs = PITH_ARENA_NEW(&program->arena, pith_pack, capacity);
  /* Values made here, apart from their source, have one reader, which needs no mark. */
  bool *read_by_others = PITH_ARENA_NEW(temporary, bool, program->value_count);
  if (program->packs == NULL || read_by_others == NULL)
    return pith_lower_no_memory(error);
  mark_read_by_others(program, read_by_others);
  for (uint32_t i = 0; i < program->step_count; i++)
    PITH_TRY(pack_step(program, &program->steps[i], read_by_others, error));
  pith_program_index(program);
  return PITH_OK;
}

pith_status pith_pass_pack(pith_program *program, const pith_lower_options *options, pith_error *error) {
  pith_arena temporary;
  pith_arena_init(&temporary, options->allocator);
  const pith_status status = pack(program, &temporary, error);
  pith_arena_deinit(&temporary);
  return status;
}

void pith_pack_run(const pith_pack *pack, void *out) {
  if (pack->to == PITH_LAYOUT_N16K4_S8) {
    pith_gemm_u8s8_pack(pack->n, pack->k, pack->data, out);
    return;
  }
  if (pack->from == PITH_LAYOUT_N16K4_S8) {
    pith_gemm_u8s8_unpack(pack->n, pack->k, pack->data, out);
    return;
  }
  if (pith_layout_is_sparse(pack->from)) {
    pith_sparse_unpack(pith_layout_get_sparse_form(pack->from), pack->n, pack->k, pack->data, out);
    return;
  }
  if (!pack->transposed) {
    pith_gemm_f32_pack(pack->n, pack->k, pack->data, out);
    return;
  }
  /* Blocks of 64 outputs, each [k][width]: a row of the transpose is contiguous in both. */
  const float *from = pack->data;
  for (size_t n = 0; n < pack->n; n += 64) {
    size_t count = pack->n - n < 64 ? pack->n - n : 64, width = (count + 15) & ~(size_t)15;
    float *block = (float *)out + n * pack->k;
    for (size_t k = 0; k < pack->k; k++) {
      memcpy(block + k * width, from + k * pack->n + n, count * sizeof(float));
      memset(block + k * width + count, 0, (width - count) * sizeof(float));
    }
  }
}

/* ---- weights in blocks of zeros -------------------------------------------------------------------------------- */

static pith_status check_weight(const char *name, pith_layout layout, size_t n, size_t k, const void *data,
                                uint64_t bytes, pith_error *error) {
  if (!pith_layout_is_sparse(layout) || data == NULL ||
      pith_sparse_check(pith_layout_get_sparse_form(layout), n, k, data, (size_t)bytes))
    return PITH_OK;
  return pith_fail(error, PITH_FORMAT, "%s: its %llu bytes are no %s weight of %zu x %zu", name,
                   (unsigned long long)bytes, pith_layout_get_name(layout), n, k);
}

pith_status pith_program_check_weights(const pith_program *program, pith_error *error) {
  for (uint32_t v = 0; v < program->value_count; v++) {
    const pith_value *value = &program->values[v];
    if (value->kind == PITH_VALUE_DATA && value->use_count != 0 && value->rank == 2)
      PITH_TRY(check_weight(value->name, value->data_layout, (size_t)value->dims[0].constant,
                            (size_t)value->dims[1].constant, value->data, value->data_bytes, error));
  }
  for (uint32_t i = 0; i < program->pack_count; i++) {
    const pith_pack *pack = &program->packs[i];
    PITH_TRY(check_weight(pack->name, pack->from, pack->n, pack->k, pack->data, pack->data_bytes, error));
  }
  return PITH_OK;
}

void pith_program_pack(const pith_program *program, void *memory) {
  for (uint32_t i = 0; i < program->pack_count; i++)
    pith_pack_run(&program->packs[i], (char *)memory + program->packs[i].offset);
}
