/* Where a step's time goes: the executor's entries under names that tell forward from backward, then what ends a step. */
#include "train/trainer_internal.h"

#include <string.h>

/* Nodes of the way back are named ".grad" and a number by pith_backward_build. */
static bool is_backward(const pith_step *step) {
  return strstr(step->name, ".grad") != NULL;
}

static const char *find_direction(const pith_program *program, const pith_step *step) {
  if (!is_backward(step))
    return "";
  if (step->row->kind != PITH_STEP_GEMM)
    return " backward";
  const pith_value_id w = step->inputs[pith_segment_input(0, PITH_SEGMENT_W)];
  return program->values[w].kind == PITH_VALUE_DATA ? " dx" : " dw";
}

pith_status pith_trainer_make_profile(pith_trainer *t, pith_error *error) {
  static const char *const ends[PITH_TRAINER_ENDS] = {"rows brought up to date", "rows of tables", "norm of gradients", "update"};
  const pith_program *program = t->program;
  size_t steps;
  const pith_profile_entry *entries = pith_executor_get_profile(t->executor, &steps);
  t->profile = PITH_ARENA_NEW(&t->arena, pith_profile_entry, steps + PITH_TRAINER_ENDS);
  if (t->profile == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the profile of %zu steps", steps);
  for (size_t i = 0; i < steps; i++) {
    const pith_step *step = &program->steps[i];
    t->profile[i] = entries[i];
    t->profile[i].operator_name = pith_arena_format(&t->arena, "%s%s", step->title, find_direction(program, step));
    if (t->profile[i].operator_name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the profile of %zu steps", steps);
  }
  for (size_t i = 0; i < PITH_TRAINER_ENDS; i++)
    t->profile[steps + i] = (pith_profile_entry){.name = ends[i], .operator_name = ends[i], .kernel = ""};
  return PITH_OK;
}

uint64_t pith_trainer_begin(const pith_trainer *t) {
  return t->profile == NULL ? 0 : pith_clock_now_ns();
}

void pith_trainer_end(pith_trainer *t, pith_trainer_ends what, uint64_t begin) {
  if (t->profile == NULL)
    return;
  pith_profile_entry *entry = &t->profile[t->program->step_count + (size_t)what];
  entry->calls++;
  entry->last_begin_ns = begin;
  entry->last_end_ns = pith_clock_now_ns();
  entry->nanoseconds += entry->last_end_ns - begin;
}

const pith_profile_entry *pith_trainer_get_profile(pith_trainer *t, size_t *out_count) {
  size_t steps;
  const pith_profile_entry *entries = pith_executor_get_profile(t->executor, &steps);
  *out_count = t->profile == NULL ? 0 : steps + PITH_TRAINER_ENDS;
  for (size_t i = 0; i < steps && t->profile != NULL; i++) {
    const char *name = t->profile[i].operator_name;
    t->profile[i] = entries[i];
    t->profile[i].operator_name = name;
  }
  return t->profile;
}
