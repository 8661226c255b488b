/* Rewrites that merge steps. Each gives the same bits as the steps it replaces. */
#include "engine/lower/integer.h"
#include "ops/elementwise/elementwise_f32.h"
#include "ops/gemm/gemm_f32.h"

/* An Add of two operands of the output's own shape. */
static bool is_plain_add(const pith_program *program, const pith_step *step) {
  return step != NULL && step->row != NULL && step->row->kind == PITH_STEP_BINARY &&
         step->params.elementwise.function == PITH_BINARY_ADD &&
         pith_value_same_shape(program, step->inputs[0], step->outputs[0]) &&
         pith_value_same_shape(program, step->inputs[1], step->outputs[0]);
}

/* `step` moves into the place of `reader`, the only reader of its output, and writes what that wrote. */
static void take_place(pith_step *step, pith_step *reader) {
  pith_value_id y = reader->outputs[0];
  *reader = *step;
  reader->outputs[0] = y;
  step->row = NULL;
}

/* ---- embeddings ----------------------------------------------------------------------------------------------- */

/* `step` becomes the sum of no tables yet. */
static void clear_embedding(pith_step *step) {
  step->row = pith_step_row_get(PITH_STEP_EMBEDDING);
  step->input_count = PITH_EMBEDDING_TABLES;
  for (uint32_t j = 0; j < PITH_STEP_MAX_INPUTS; j++)
    step->inputs[j] = PITH_NONE;
  step->params.norm.epsilon = 0;
}

static void add_table(pith_step *embedding, pith_value_id table, pith_value_id ids, pith_value_id scales) {
  uint32_t i = pith_embedding_count_tables(embedding);
  embedding->input_count += PITH_TABLE_INPUTS;
  embedding->inputs[pith_table_input(i, PITH_TABLE_DATA)] = table;
  embedding->inputs[pith_table_input(i, PITH_TABLE_IDS)] = ids;
  embedding->inputs[pith_table_input(i, PITH_TABLE_SCALES)] = scales;
}

pith_status pith_rewrite_TABLES(pith_program *program, pith_error *error) {
  (void)error;
  char reason[PITH_REASON_BYTES];
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *gather = &program->steps[i];
    if (gather->row == NULL || gather->row->kind != PITH_STEP_GATHER ||
        !pith_gather_reads_integers(program, gather, reason))
      continue;
    const pith_step *table = pith_program_get_producer(program, gather->inputs[0], PITH_STEP_DEQUANTIZE);
    pith_value_id ids = gather->inputs[1];
    clear_embedding(gather);
    add_table(gather, table->inputs[PITH_QUANTIZE_X], ids, table->inputs[PITH_QUANTIZE_SCALE]);
  }
  return PITH_OK;
}

/* What looks up rows of one table: a Gather, or an Embedding as TABLES makes it. */
static pith_step *get_lookup(pith_program *program, pith_value_id value) {
  pith_step *gather = pith_program_sole_producer(program, value, PITH_STEP_GATHER);
  if (gather == NULL) {
    pith_step *embedding = pith_program_sole_producer(program, value, PITH_STEP_EMBEDDING);
    return embedding != NULL && pith_embedding_count_tables(embedding) == 1 &&
                   embedding->inputs[PITH_EMBEDDING_GAMMA] == PITH_NONE
               ? embedding
               : NULL;
  }
  if (gather->params.gather.axis != 0 || !pith_value_is_data(program, gather->inputs[0]))
    return NULL;
  const pith_value *table = &program->values[gather->inputs[0]], *ids = &program->values[gather->inputs[1]];
  return table->rank == 2 && table->dtype == PITH_DTYPE_F32 && table->data_layout == PITH_LAYOUT_ROW_MAJOR &&
                 ids->dtype == PITH_DTYPE_S32
             ? gather
             : NULL;
}

typedef struct sum {
  pith_step *lookups[PITH_MAX_TABLES];
  pith_step *adds[PITH_MAX_TABLES];
  uint32_t lookup_count, add_count;
} sum;

/* The lookups that add up to `value` in the order of a left-deep sum, whichever side its operands are written on. */
static bool collect(pith_program *program, pith_value_id value, sum *out) {
  pith_step *last[PITH_MAX_TABLES];
  uint32_t count = 0;
  pith_step *lookup;
  for (;;) {
    if (count == PITH_MAX_TABLES)
      return false;
    if ((lookup = get_lookup(program, value)) != NULL) {
      last[count++] = lookup;
      break;
    }
    pith_step *add = pith_program_sole_producer(program, value, PITH_STEP_BINARY);
    if (!is_plain_add(program, add))
      return false;
    int side = 1;
    if ((lookup = get_lookup(program, add->inputs[1])) == NULL) {
      lookup = get_lookup(program, add->inputs[0]);
      side = 0;
    }
    if (lookup == NULL)
      return false;
    last[count++] = lookup;
    out->adds[out->add_count++] = add;
    value = add->inputs[1 - side];
  }
  for (uint32_t i = 0; i < count; i++)
    out->lookups[i] = last[count - 1 - i];
  out->lookup_count = count;
  return true;
}

/* `target` becomes the embedding. */
static void make_embedding(pith_step *target, const sum *tables, pith_value_id gamma, pith_value_id beta,
                           float epsilon) {
  clear_embedding(target);
  target->inputs[PITH_EMBEDDING_GAMMA] = gamma;
  target->inputs[PITH_EMBEDDING_BETA] = beta;
  target->params.norm.epsilon = epsilon;
  for (uint32_t i = 0; i < tables->lookup_count; i++) {
    pith_step *lookup = tables->lookups[i];
    if (lookup->row->kind == PITH_STEP_GATHER)
      add_table(target, lookup->inputs[0], lookup->inputs[1], PITH_NONE);
    else
      add_table(target, lookup->inputs[pith_table_input(0, PITH_TABLE_DATA)],
                lookup->inputs[pith_table_input(0, PITH_TABLE_IDS)],
                lookup->inputs[pith_table_input(0, PITH_TABLE_SCALES)]);
    lookup->row = NULL;
  }
  for (uint32_t i = 0; i < tables->add_count; i++)
    if (tables->adds[i] != target)
      tables->adds[i]->row = NULL;
}

pith_status pith_rewrite_EMBEDDING(pith_program *program, pith_error *error) {
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *norm = &program->steps[i];
    sum tables = {.lookup_count = 0};
    if (norm->row == NULL || norm->row->kind != PITH_STEP_LAYER_NORM ||
        norm->inputs[PITH_NORM_RESIDUAL] != PITH_NONE || !collect(program, norm->inputs[PITH_NORM_X], &tables))
      continue;
    size_t features;
    const pith_value *y = &program->values[norm->outputs[0]];
    if (!pith_value_get_constant_count(&program->values[norm->inputs[PITH_NORM_GAMMA]], &features) ||
        features != (size_t)y->dims[y->rank - 1].constant)
      continue;
    make_embedding(norm, &tables, norm->inputs[PITH_NORM_GAMMA], norm->inputs[PITH_NORM_BETA],
                   norm->params.norm.epsilon);
  }
  /* Without a LayerNorm; from the end, so that a sum is taken whole. */
  for (uint32_t i = program->step_count; i-- > 0;) {
    pith_step *add = &program->steps[i];
    sum tables = {.lookup_count = 0};
    if (!is_plain_add(program, add))
      continue;
    pith_value *y = &program->values[add->outputs[0]];
    uint32_t use_count = y->use_count;
    y->use_count = 1; /* the root of the sum may have any number of readers */
    bool matches = collect(program, add->outputs[0], &tables);
    y->use_count = use_count;
    if (matches)
      make_embedding(add, &tables, PITH_NONE, PITH_NONE, 0);
  }
  return PITH_OK;
}

/* ---- products -------------------------------------------------------------------------------------------------- */

static bool is_joinable(const pith_program *program, const pith_step *step) {
  if (step->row == NULL || !pith_step_is_gemm(step) || step->inputs[PITH_GEMM_RESIDUAL] != PITH_NONE ||
      step->params.gemm.activation != PITH_ACTIVATION_NONE)
    return false;
  for (uint32_t j = PITH_GEMM_SEGMENTS; j < step->input_count; j++)
    if (step->inputs[j] != PITH_NONE && !pith_value_is_data(program, step->inputs[j]))
      return false;
  return true;
}

/* Weights stored dense, whichever way, or in one form of blocks of zeros: a product reads one of these. */
static bool has_same_form(const pith_program *program, const pith_step *a, const pith_step *b) {
  const pith_layout of_a = program->values[a->inputs[pith_segment_input(0, PITH_SEGMENT_W)]].data_layout;
  const pith_layout of_b = program->values[b->inputs[pith_segment_input(0, PITH_SEGMENT_W)]].data_layout;
  return of_a == of_b || (!pith_layout_is_sparse(of_a) && !pith_layout_is_sparse(of_b));
}

/* Of one kind, reading the same numbers. */
static bool reads_same(const pith_program *program, const pith_step *a, const pith_step *b) {
  return a->row == b->row && has_same_form(program, a, b) && a->params.gemm.columns == b->params.gemm.columns &&
         a->inputs[PITH_GEMM_X] == b->inputs[PITH_GEMM_X] &&
         a->inputs[PITH_GEMM_X_SCALE] == b->inputs[PITH_GEMM_X_SCALE] &&
         a->inputs[PITH_GEMM_X_ZERO] == b->inputs[PITH_GEMM_X_ZERO];
}

/* Later products of the same x join the first one: x is read once, and threads share one larger piece of work. */
pith_status pith_rewrite_SEGMENTS(pith_program *program, pith_error *error) {
  uint32_t *first = PITH_ARENA_NEW(&program->arena, uint32_t, program->value_count); /* by x: step + 1 */
  if (first == NULL)
    return pith_lower_no_memory(error);
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    if (!is_joinable(program, step))
      continue;
    pith_value_id x = step->inputs[PITH_GEMM_X];
    pith_step *target = first[x] == 0 ? NULL : &program->steps[first[x] - 1];
    if (target == NULL || !reads_same(program, target, step) ||
        pith_gemm_count_segments(target) + pith_gemm_count_segments(step) > PITH_MAX_SEGMENTS) {
      first[x] = i + 1;
      continue;
    }
    for (uint32_t j = PITH_GEMM_SEGMENTS; j < step->input_count; j++)
      target->inputs[target->input_count++] = step->inputs[j];
    for (uint32_t j = 0; j < step->output_count; j++)
      target->outputs[target->output_count++] = step->outputs[j];
    step->row = NULL;
  }
  return PITH_OK;
}

static pith_step *get_sole_gemm(pith_program *program, pith_value_id value, pith_step_kind kind) {
  pith_step *gemm = pith_program_sole_producer(program, value, kind);
  return gemm != NULL && pith_gemm_count_segments(gemm) == 1 && gemm->inputs[PITH_GEMM_RESIDUAL] == PITH_NONE ? gemm
                                                                                                             : NULL;
}

pith_status pith_rewrite_ACTIVATION(pith_program *program, pith_error *error) {
  static const int activations[PITH_UNARY_COUNT] = {
      [PITH_UNARY_RELU] = PITH_ACTIVATION_RELU,
      [PITH_UNARY_GELU] = PITH_ACTIVATION_GELU,
      [PITH_UNARY_GELU_TANH] = PITH_ACTIVATION_GELU_TANH,
      [PITH_UNARY_TANH] = PITH_ACTIVATION_TANH,
      [PITH_UNARY_SIGMOID] = PITH_ACTIVATION_NONE,
      [PITH_UNARY_ERF] = PITH_ACTIVATION_NONE,
  };
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *unary = &program->steps[i];
    if (unary->row == NULL || unary->row->kind != PITH_STEP_UNARY)
      continue;
    int activation = activations[unary->params.elementwise.function];
    pith_step *gemm = get_sole_gemm(program, unary->inputs[0], PITH_STEP_GEMM);
    if (gemm == NULL)
      gemm = get_sole_gemm(program, unary->inputs[0], PITH_STEP_INTEGER_GEMM);
    if (activation == PITH_ACTIVATION_NONE || gemm == NULL ||
        gemm->params.gemm.activation != PITH_ACTIVATION_NONE)
      continue;
    gemm->params.gemm.activation = activation;
    take_place(gemm, unary);
  }
  return PITH_OK;
}

static void merge_residuals(pith_program *program, pith_step_kind kind) {
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *add = &program->steps[i];
    if (!is_plain_add(program, add))
      continue;
    /* The later product takes the other operand along: that one is there when it runs. */
    pith_step *a = get_sole_gemm(program, add->inputs[0], kind), *b = get_sole_gemm(program, add->inputs[1], kind);
    pith_step *gemm = a == NULL || (b != NULL && b > a) ? b : a;
    if (gemm == NULL)
      continue;
    gemm->inputs[PITH_GEMM_RESIDUAL] = add->inputs[gemm == a ? 1 : 0];
    take_place(gemm, add);
  }
}

pith_status pith_rewrite_RESIDUAL_GEMM(pith_program *program, pith_error *error) {
  (void)error;
  merge_residuals(program, PITH_STEP_GEMM);
  return PITH_OK;
}

pith_status pith_rewrite_RESIDUAL_INTEGER(pith_program *program, pith_error *error) {
  (void)error;
  merge_residuals(program, PITH_STEP_INTEGER_GEMM);
  return PITH_OK;
}

/* ---- normalization ----------------------------------------------------------------------------------------------- */

pith_status pith_rewrite_RESIDUAL_NORM(pith_program *program, pith_error *error) {
  (void)error;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *norm = &program->steps[i];
    if (norm->row == NULL || norm->row->kind != PITH_STEP_LAYER_NORM ||
        norm->inputs[PITH_NORM_RESIDUAL] != PITH_NONE)
      continue;
    pith_step *add = pith_program_sole_producer(program, norm->inputs[PITH_NORM_X], PITH_STEP_BINARY);
    if (!is_plain_add(program, add))
      continue;
    norm->inputs[PITH_NORM_X] = add->inputs[0];
    norm->inputs[PITH_NORM_RESIDUAL] = add->inputs[1];
    add->row = NULL;
  }
  return PITH_OK;
}
