/* The table of rewrites and the passes that run them. */
#include "engine/lower/lower_internal.h"

const pith_rewrite pith_rewrites[PITH_REWRITE_COUNT] = {
#define PITH_REWRITE_ROW(id, name, stage, doc)                                                              \
  [PITH_REWRITE_##id] = {name, doc, PITH_STAGE_##stage, pith_rewrite_##id},
    PITH_REWRITE_LIST(PITH_REWRITE_ROW)
#undef PITH_REWRITE_ROW
};

pith_status pith_pass_normalize(pith_program *program, const pith_lower_options *options, pith_error *error) {
  for (int i = 0; i < PITH_REWRITE_COUNT; i++) {
    if (pith_rewrites[i].stage != PITH_STAGE_NORMALIZE || (options->rewrites >> i & 1) == 0)
      continue;
    PITH_TRY(pith_rewrites[i].run(program, error));
    pith_program_index(program);
  }
  return PITH_OK;
}

/* Steps that a rewrite left without readers go at once: they would count as readers of what they read. */
pith_status pith_pass_fuse(pith_program *program, const pith_lower_options *options, pith_error *error) {
  for (int i = 0; i < PITH_REWRITE_COUNT; i++) {
    if (pith_rewrites[i].stage == PITH_STAGE_NORMALIZE || (options->rewrites >> i & 1) == 0)
      continue;
    PITH_TRY(pith_rewrites[i].run(program, error));
    PITH_TRY(pith_pass_dead(program, options, error));
  }
  return PITH_OK;
}

bool pith_value_get_scalar(const pith_program *program, pith_value_id id, float *out_scalar) {
  size_t count;
  if (!pith_value_is_data(program, id))
    return false;
  const pith_value *value = &program->values[id];
  if (value->dtype != PITH_DTYPE_F32 || value->data == NULL || value->changes || !pith_value_get_constant_count(value, &count) ||
      count != 1)
    return false;
  memcpy(out_scalar, value->data, sizeof *out_scalar);
  return true;
}

bool pith_value_same_shape(const pith_program *program, pith_value_id a, pith_value_id b) {
  const pith_value *va = &program->values[a], *vb = &program->values[b];
  if (va->rank != vb->rank)
    return false;
  for (uint32_t i = 0; i < va->rank; i++)
    if (!pith_dim_equal(&va->dims[i], &vb->dims[i]))
      return false;
  return true;
}
