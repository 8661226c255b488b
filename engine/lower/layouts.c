/* Sparse products, and the layouts of activations.
 *
 * A product whose weights are stored in blocks of zeros reads and writes tiles; most other steps read and write rows; LayerNorm
 * and static attention do either. Where a value is written in one layout and read in another, a Reorder step makes the other
 * from it, once for all its readers. What is chosen is the way of the steps that have two, and which of the tiles 8-bit outputs
 * of steps on tiles take, so that Reorders move few bytes:
 *
 *     cost of a value = its bytes * the layouts that readers want beyond the one it is written in
 *
 * A step is turned to its other way as long as that lowers the sum of all values' costs, step after step, forth and back (local
 * search). That is done twice, once from all rows and once from all tiles, and the cheaper result is taken: a run of steps
 * that only pays where it is turned as a whole is found from one of the two. */
#include "engine/lower/integer.h"
#include "ops/attention/attention_tile_u8s8.h"

enum { SWEEPS = 8 }; /* each over all steps; seen: 2 */

typedef uint32_t layout_set; /* bits of pith_activation_layout */
#define ONLY(name) ((layout_set)1 << PITH_ACTIVATION_LAYOUT_##name)

/* ---- sparse products -------------------------------------------------------------------------------------------- */

static bool is_stored_sparse(const pith_program *program, const pith_step *gemm) {
  const bool integer = gemm->row->kind == PITH_STEP_INTEGER_GEMM;
  for (uint32_t i = 0; i < pith_gemm_count_segments(gemm); i++) {
    const pith_value *w = &program->values[gemm->inputs[pith_segment_input(i, PITH_SEGMENT_W)]];
    const pith_layout first = program->values[gemm->inputs[pith_segment_input(0, PITH_SEGMENT_W)]].data_layout;
    if (w->kind != PITH_VALUE_DATA || !pith_layout_is_sparse(w->data_layout) || w->data_layout != first ||
        integer != (w->dtype == PITH_DTYPE_S8))
      return false;
  }
  return true;
}

pith_status pith_pass_sparse(pith_program *program, const pith_lower_options *options, pith_error *error) {
  (void)options;
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    if (step->row->kind != PITH_STEP_GEMM && step->row->kind != PITH_STEP_INTEGER_GEMM)
      continue;
    if (is_stored_sparse(program, step))
      step->row = pith_step_row_get(step->row->kind == PITH_STEP_GEMM ? PITH_STEP_SPARSE_GEMM
                                                                     : PITH_STEP_SPARSE_INTEGER_GEMM);
  }
  return PITH_OK;
}

/* ---- what steps read and write ---------------------------------------------------------------------------------- */

/* Of inputs (side 0) or outputs, were the step's row `row`; `out_sets` [count]. */
static void get_layouts(const pith_program *program, const pith_step *step, const pith_step_row *row, uint32_t side,
                        layout_set *out_sets) {
  const uint32_t count = side == 0 ? step->input_count : step->output_count;
  const char *code = row->layouts;
  if (code != NULL && side == 1)
    code = strchr(code, '>') + 1;
  if (code != NULL)
    code += *code == '(';
  for (uint32_t j = 0; j < count; j++) {
    switch (code == NULL ? '.' : *code) {
    case 't':
      out_sets[j] = ONLY(TILE64);
      break;
    case 'x':
      out_sets[j] = ONLY(TILE64X4);
      break;
    case 'w':
      out_sets[j] =
          program->values[step->inputs[pith_segment_input(0, PITH_SEGMENT_W)]].data_layout == PITH_LAYOUT_B4X4_S8
              ? ONLY(TILE64X4)
              : ONLY(TILE64);
      break;
    case '*':
      out_sets[j] = ONLY(TILE64) | ONLY(TILE64X4);
      break;
    default:
      out_sets[j] = ONLY(ROW_MAJOR);
    }
    if (code != NULL)
      code = pith_step_code_next(code);
  }
}

/* The row that does the same on tiles; NULL: none does. */
static const pith_step_row *get_tiled_row(const pith_program *program, const pith_step *step) {
  const pith_value *x;
  switch (step->row->kind) {
  case PITH_STEP_LAYER_NORM:
    x = &program->values[step->inputs[PITH_NORM_X]];
    if (x->rank < 2 || !pith_dim_is_constant(&x->dims[x->rank - 1]) ||
        !pith_norm_takes_rows(program, step, (size_t)x->dims[x->rank - 1].constant))
      return NULL;
    return pith_step_row_get(PITH_STEP_TILE_LAYER_NORM);
  case PITH_STEP_INTEGER_ATTENTION:
    return step->inputs[PITH_ATTENTION_Q_SCALE] == PITH_NONE ? NULL
                                                            : pith_step_row_get(PITH_STEP_TILE_INTEGER_ATTENTION);
  default:
    return NULL;
  }
}

/* ---- choosing ----------------------------------------------------------------------------------------------------- */

typedef struct value_state {
  double bytes;
  layout_set written;
  uint32_t readers[PITH_ACTIVATION_LAYOUT_COUNT];
} value_state;

typedef struct layouter {
  pith_program *program;
  pith_arena scratch;
  value_state *values;         /* [value_count] */
  const pith_step_row **tiled; /* [step_count] NULL: there is one way */
  bool *on_tiles;              /* [step_count] of those that have two */
} layouter;

static const pith_step_row *get_row(const layouter *l, uint32_t step) {
  return l->on_tiles[step] ? l->tiled[step] : l->program->steps[step].row;
}

/* Adds (or takes back) what a step reads and writes. */
static void count_step(layouter *l, uint32_t index, uint32_t by) {
  const pith_step *step = &l->program->steps[index];
  layout_set sets[PITH_STEP_MAX_INPUTS];
  _Static_assert((int)PITH_STEP_MAX_INPUTS >= (int)PITH_STEP_MAX_OUTPUTS, "sets hold either side");
  get_layouts(l->program, step, get_row(l, index), 0, sets);
  for (uint32_t j = 0; j < step->input_count; j++)
    for (uint32_t layout = 0; step->inputs[j] != PITH_NONE && layout < PITH_ACTIVATION_LAYOUT_COUNT; layout++)
      if ((sets[j] >> layout & 1) != 0)
        l->values[step->inputs[j]].readers[layout] += by;
  get_layouts(l->program, step, get_row(l, index), 1, sets);
  for (uint32_t j = 0; j < step->output_count; j++)
    if (step->outputs[j] != PITH_NONE)
      l->values[step->outputs[j]].written = sets[j];
}

static layout_set get_wanted(const value_state *value) {
  layout_set wanted = 0;
  for (uint32_t layout = 0; layout < PITH_ACTIVATION_LAYOUT_COUNT; layout++)
    wanted |= (layout_set)(value->readers[layout] != 0) << layout;
  return wanted;
}

/* Where there is a choice, one that some reader wants: one Reorder less than with any other. */
static pith_activation_layout choose_written(const value_state *value) {
  const layout_set wanted = get_wanted(value) & value->written;
  const layout_set from = wanted != 0 ? wanted : value->written;
  return (pith_activation_layout)__builtin_ctz(from);
}

static double get_cost(const value_state *value) {
  const layout_set others = get_wanted(value) & ~((layout_set)1 << choose_written(value));
  return value->bytes * __builtin_popcount(others);
}

/* Of the values that a step reads and writes. */
static double get_cost_around(const layouter *l, uint32_t index) {
  const pith_step *step = &l->program->steps[index];
  double cost = 0;
  for (uint32_t j = 0; j < step->input_count; j++) {
    uint32_t earlier = 0; /* an operand may stand there twice */
    while (earlier < j && step->inputs[earlier] != step->inputs[j])
      earlier++;
    if (step->inputs[j] != PITH_NONE && earlier == j)
      cost += get_cost(&l->values[step->inputs[j]]);
  }
  for (uint32_t j = 0; j < step->output_count; j++)
    if (step->outputs[j] != PITH_NONE)
      cost += get_cost(&l->values[step->outputs[j]]);
  return cost;
}

static void turn(layouter *l, uint32_t index) {
  count_step(l, index, UINT32_MAX); /* less one, modulo 2^32 */
  l->on_tiles[index] = !l->on_tiles[index];
  count_step(l, index, 1);
}

static bool try_turn(layouter *l, uint32_t index) {
  if (l->tiled[index] == NULL)
    return false;
  const double before = get_cost_around(l, index);
  turn(l, index);
  if (get_cost_around(l, index) < before)
    return true;
  turn(l, index);
  return false;
}

/* The sum of all costs after descending from all rows or all tiles. */
static double descend(layouter *l, bool on_tiles) {
  const uint32_t count = l->program->step_count;
  for (uint32_t i = 0; i < count; i++)
    if (l->tiled[i] != NULL && l->on_tiles[i] != on_tiles)
      turn(l, i);
  bool changed = true;
  for (uint32_t sweep = 0; sweep < SWEEPS && changed; sweep++) {
    changed = false;
    for (uint32_t i = 0; i < count; i++)
      changed |= try_turn(l, sweep % 2 == 0 ? i : count - 1 - i);
  }
  double sum = 0;
  for (uint32_t v = 0; v < l->program->value_count; v++)
    sum += get_cost(&l->values[v]);
  return sum;
}

static pith_status choose(layouter *l, pith_error *error) {
  pith_program *program = l->program;
  bool *from_rows = PITH_ARENA_NEW(&l->scratch, bool, program->step_count);
  l->values = PITH_ARENA_NEW(&l->scratch, value_state, program->value_count);
  l->tiled = PITH_ARENA_NEW(&l->scratch, const pith_step_row *, program->step_count);
  l->on_tiles = PITH_ARENA_NEW(&l->scratch, bool, program->step_count);
  if (from_rows == NULL || l->values == NULL || l->tiled == NULL || l->on_tiles == NULL)
    return pith_lower_no_memory(error);
  for (uint32_t v = 0; v < program->value_count; v++) {
    const pith_value *value = &program->values[v];
    pith_view view;
    PITH_TRY(pith_value_measure(value, program->symbol_limits, &view, error));
    l->values[v].bytes = (double)pith_view_count(&view) * pith_dtype_get_info(value->dtype)->bits / 8;
    l->values[v].written = ONLY(ROW_MAJOR); /* inputs and data */
  }
  for (uint32_t i = 0; i < program->output_count; i++)
    l->values[program->outputs[i]].readers[PITH_ACTIVATION_LAYOUT_ROW_MAJOR]++;
  for (uint32_t i = 0; i < program->step_count; i++) {
    l->tiled[i] = get_tiled_row(program, &program->steps[i]);
    count_step(l, i, 1);
  }
  const double rows = descend(l, false);
  memcpy(from_rows, l->on_tiles, program->step_count * sizeof *from_rows);
  if (!(descend(l, true) < rows))
    for (uint32_t i = 0; i < program->step_count; i++)
      if (l->on_tiles[i] != from_rows[i])
        turn(l, i);
  for (uint32_t i = 0; i < program->step_count; i++)
    program->steps[i].row = get_row(l, i);
  for (uint32_t v = 0; v < program->value_count; v++)
    program->values[v].layout = choose_written(&l->values[v]);
  return PITH_OK;
}

/* ---- Reorder steps ------------------------------------------------------------------------------------------------ */

typedef struct reorders {
  pith_program *program;
  pith_value_id *made; /* by value and layout: value id + 1, 0: not yet */
  pith_error *error;
} reorders;

/* `value` in `layout`, by a Reorder step behind all there are so far where there is none yet. */
static pith_status get_reordered(reorders *r, pith_value_id value, pith_activation_layout layout,
                                 pith_value_id *out_value) {
  pith_program *program = r->program;
  const pith_value source = program->values[value];
  *out_value = value;
  if (source.layout == layout)
    return PITH_OK;
  pith_value_id *made = &r->made[(size_t)value * PITH_ACTIVATION_LAYOUT_COUNT + layout];
  if (*made == 0) {
    pith_value_id id;
    pith_value *fresh = pith_program_add_value(program, &id);
    pith_step *step = fresh == NULL ? NULL : pith_program_add_step(program, PITH_STEP_REORDER, source.name);
    if (step == NULL)
      return pith_lower_no_memory(r->error);
    fresh->name = source.name;
    fresh->kind = PITH_VALUE_BUFFER;
    fresh->dtype = source.dtype;
    fresh->rank = source.rank;
    fresh->dims = source.dims;
    fresh->layout = layout;
    step->input_count = 1;
    step->inputs[0] = value;
    step->outputs[0] = id;
    *made = id + 1;
  }
  *out_value = *made - 1;
  return PITH_OK;
}

/* Right before the first step that reads the other layout; those of outputs at the end. */
static pith_status insert_reorders(pith_program *program, pith_arena *scratch, pith_error *error) {
  const uint32_t count = program->step_count;
  const pith_step *steps = program->steps;
  reorders r = {program, PITH_ARENA_NEW(scratch, pith_value_id, (size_t)program->value_count * PITH_ACTIVATION_LAYOUT_COUNT),
                error};
  if (r.made == NULL)
    return pith_lower_no_memory(error);
  program->steps = NULL; /* the old ones stay behind in the arena */
  program->step_count = program->step_capacity = 0;
  for (uint32_t i = 0; i < count; i++) {
    pith_step step = steps[i];
    layout_set sets[PITH_STEP_MAX_INPUTS];
    get_layouts(program, &step, step.row, 0, sets);
    for (uint32_t j = 0; j < step.input_count; j++)
      if (step.inputs[j] != PITH_NONE)
        PITH_TRY(get_reordered(&r, step.inputs[j], (pith_activation_layout)__builtin_ctz(sets[j]), &step.inputs[j]));
    pith_step *copy = pith_program_add_step(program, step.row->kind, step.name);
    if (copy == NULL)
      return pith_lower_no_memory(error);
    *copy = step;
  }
  for (uint32_t i = 0; i < program->output_count; i++)
    PITH_TRY(get_reordered(&r, program->outputs[i], PITH_ACTIVATION_LAYOUT_ROW_MAJOR, &program->outputs[i]));
  return PITH_OK;
}

pith_status pith_pass_layouts(pith_program *program, const pith_lower_options *options, pith_error *error) {
  bool sparse = false;
  for (uint32_t i = 0; i < program->step_count; i++)
    sparse |= program->steps[i].row->is_sparse;
  if (!sparse) /* nothing wants tiles */
    return PITH_OK;
  layouter l = {.program = program};
  pith_arena_init(&l.scratch, options->allocator);
  pith_status status = choose(&l, error);
  if (status == PITH_OK)
    status = insert_reorders(program, &l.scratch, error);
  pith_arena_deinit(&l.scratch);
  if (status == PITH_OK)
    pith_program_index(program);
  return status;
}
