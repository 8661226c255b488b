/* What the passes share with each other only. */
#ifndef PITH_LOWER_LOWER_INTERNAL_H
#define PITH_LOWER_LOWER_INTERNAL_H

#include "engine/lower/lower.h"

#define PITH_DECLARE_PASS(name)                                                                             \
  pith_status pith_pass_##name(pith_program *program, const pith_lower_options *options, pith_error *error)
PITH_DECLARE_PASS(translate);
PITH_DECLARE_PASS(normalize);
PITH_DECLARE_PASS(fold);
PITH_DECLARE_PASS(fuse);
PITH_DECLARE_PASS(dead);
PITH_DECLARE_PASS(notes);
PITH_DECLARE_PASS(outputs);
PITH_DECLARE_PASS(sparse);
PITH_DECLARE_PASS(layouts);
PITH_DECLARE_PASS(kernels);
PITH_DECLARE_PASS(copies);
PITH_DECLARE_PASS(pack);
PITH_DECLARE_PASS(plan);

/* A rewrite sweeps once over the steps of an indexed program. Where it merges a step into the only reader of its output,
 * use counts stay right by themselves; it keeps the producers right. */
typedef struct pith_rewrite {
  const char *name, *doc;
  pith_rewrite_stage stage;
  pith_status (*run)(pith_program *program, pith_error *error);
} pith_rewrite;
extern const pith_rewrite pith_rewrites[PITH_REWRITE_COUNT];
#define PITH_DECLARE_REWRITE(id, name, stage, doc)                                                          \
  pith_status pith_rewrite_##id(pith_program *program, pith_error *error);
PITH_REWRITE_LIST(PITH_DECLARE_REWRITE)
#undef PITH_DECLARE_REWRITE

static inline pith_status pith_lower_no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to lower the graph");
}
static inline bool pith_value_is_data(const pith_program *program, pith_value_id id) {
  return id != PITH_NONE && program->values[id].kind == PITH_VALUE_DATA;
}
/* The step that writes `value`, where that is of `kind`, whoever else reads it; else NULL. */
static inline pith_step *pith_program_get_producer(pith_program *program, pith_value_id value, pith_step_kind kind) {
  if (value == PITH_NONE || program->values[value].producer == PITH_NONE)
    return NULL;
  pith_step *step = &program->steps[program->values[value].producer];
  return step->row != NULL && step->row->kind == kind ? step : NULL;
}
/* The one element of an f32 value of data, where it is that. */
bool pith_value_get_scalar(const pith_program *program, pith_value_id id, float *out_scalar);
/* Equal rank and dimensions. */
bool pith_value_same_shape(const pith_program *program, pith_value_id a, pith_value_id b);

#endif
