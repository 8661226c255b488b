#include "engine/exec/exits.h"

#include <string.h>

#include "engine/base/probability.h"
#include "engine/exec/exits_internal.h"

struct pith_exits {
  pith_arena arena;
  pith_stages stages;
  double threshold;
  /* Of a run: the sequences that are left. */
  uint32_t *origins; /* [max_sequences] which of the batch's each is */
  uint32_t *left;    /* [max_sequences] which of these a stage leaves */
  int32_t *offsets;  /* [max_sequences + 1] */
  pith_feed *feeds;  /* of a stage */
  float *logits;     /* [max_sequences, labels] of the batch */
  uint32_t *done;    /* [stages.count] sequences that each answered */
  uint64_t *counts;  /* [stages.count] of all runs that came to their end */
};

/* ---- creating ---------------------------------------------------------------------------------------------------------- */

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a session with exits");
}

/* All programs, then all executors: what lowering takes for a while it takes before there is a block of memory. */
static pith_status make_programs(pith_exits *exits, const pith_exits_options *options, pith_error *error) {
  for (uint32_t i = 0; i < exits->stages.count; i++)
    PITH_TRY(pith_program_create(exits->stages.list[i].graph, &options->lowering, &exits->stages.list[i].program, error));
  for (uint32_t i = 0; i < exits->stages.count; i++)
    PITH_TRY(pith_executor_create(exits->stages.list[i].program, &options->execution, &exits->stages.list[i].executor, error));
  return PITH_OK;
}

static pith_status make_room(pith_exits *exits, const pith_exits_options *options, pith_error *error) {
  pith_arena *arena = &exits->arena;
  uint32_t most = 0;
  size_t logits;
  for (uint32_t i = 0; i < exits->stages.count; i++)
    most = exits->stages.list[i].graph->input_count > most ? exits->stages.list[i].graph->input_count : most;
  exits->origins = PITH_ARENA_NEW(arena, uint32_t, options->max_sequences);
  exits->left = PITH_ARENA_NEW(arena, uint32_t, options->max_sequences);
  exits->offsets = PITH_ARENA_NEW(arena, int32_t, options->max_sequences + 1);
  exits->feeds = PITH_ARENA_NEW(arena, pith_feed, most);
  exits->done = PITH_ARENA_NEW(arena, uint32_t, exits->stages.count);
  exits->counts = PITH_ARENA_NEW(arena, uint64_t, exits->stages.count);
  exits->logits = pith_size_multiply(options->max_sequences, exits->stages.labels, &logits) ? PITH_ARENA_NEW(arena, float, logits) : NULL;
  bool whole = exits->origins != NULL && exits->left != NULL && exits->offsets != NULL && exits->feeds != NULL && exits->done != NULL && exits->counts != NULL && exits->logits != NULL;
  for (uint32_t i = 0; i < exits->stages.carried_count && whole; i++) {
    pith_carried *carried = &exits->stages.carried[i];
    size_t bytes;
    carried->rows = pith_size_multiply(options->max_tokens, carried->row_bytes, &bytes) ? pith_arena_array(arena, bytes + 64, 1) : NULL;
    whole = carried->rows != NULL;
  }
  return whole ? PITH_OK : no_memory(error);
}

pith_status pith_exits_create(const pith_graph *graph, const pith_exits_options *options, pith_exits **out_exits, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, options->lowering.allocator);
  pith_exits *exits = PITH_ARENA_NEW(&arena, pith_exits, 1);
  if (exits == NULL)
    return no_memory(error);
  exits->arena = arena;
  exits->threshold = options->threshold;
  pith_status status = pith_stages_make(graph, options->lowering.allocator, &exits->arena, &exits->stages, error);
  if (status == PITH_OK)
    status = make_programs(exits, options, error);
  if (status == PITH_OK)
    status = make_room(exits, options, error);
  if (status != PITH_OK) {
    pith_exits_destroy(exits);
    return status;
  }
  *out_exits = exits;
  return PITH_OK;
}

void pith_exits_destroy(pith_exits *exits) {
  if (exits == NULL)
    return;
  for (uint32_t i = 0; i < exits->stages.count; i++) {
    pith_executor_destroy(exits->stages.list[i].executor);
    pith_program_destroy(exits->stages.list[i].program);
    pith_graph_destroy(exits->stages.list[i].graph);
  }
  pith_arena arena = exits->arena; /* it lies in it */
  pith_arena_deinit(&arena);
}

size_t pith_exits_count_bytes(const pith_exits *exits) {
  size_t bytes = 0;
  for (uint32_t i = 0; i < exits->stages.count; i++)
    bytes += exits->stages.list[i].program->memory_bytes;
  return bytes;
}

const uint64_t *pith_exits_get_counts(const pith_exits *exits, size_t *out_count) {
  *out_count = exits->stages.count;
  return exits->counts;
}

/* ---- running ------------------------------------------------------------------------------------------------------------ */

static void fill_feeds(pith_exits *exits, const pith_stage *stage, const pith_batch *batch, size_t sequences) {
  const size_t tokens = (size_t)exits->offsets[sequences];
  for (uint32_t i = 0; i < stage->graph->input_count; i++) {
    const uint32_t source = stage->sources[i];
    const pith_tensor *input = &stage->graph->tensors[stage->graph->inputs[i]];
    if (source >= PITH_STAGE_CARRIED)
      exits->feeds[i] = (pith_feed){exits->stages.carried[source - PITH_STAGE_CARRIED].rows, {tokens, (size_t)input->dims[1].constant}};
    else if (source == PITH_STAGE_OFFSETS)
      exits->feeds[i] = (pith_feed){exits->offsets, {sequences + 1}};
    else
      exits->feeds[i] = (pith_feed){source == PITH_STAGE_IDS ? batch->ids : batch->type_ids, {tokens}};
  }
}

/* Rows of the sequences that are left, one after the other. */
static void carry_rows(pith_exits *exits, uint32_t stage, size_t count) {
  const uint32_t *left = exits->left;
  for (uint32_t i = 0; i < exits->stages.carried_count; i++) {
    const pith_carried *carried = &exits->stages.carried[i];
    if (carried->made > stage || carried->last <= stage)
      continue;
    const char *from = carried->made == stage
                           ? (const char *)pith_executor_get_output(exits->stages.list[stage].executor, carried->output)->data
                           : carried->rows;
    char *to = carried->rows;
    for (size_t s = 0; s < count; s++) {
      const size_t begin = (size_t)exits->offsets[left[s]], tokens = (size_t)exits->offsets[left[s] + 1] - begin;
      memmove(to, from + begin * carried->row_bytes, tokens * carried->row_bytes);
      to += tokens * carried->row_bytes;
    }
  }
}

/* Takes the logits of those that are done; how many are left. */
static size_t take_logits(pith_exits *exits, uint32_t stage, size_t sequences) {
  const size_t labels = exits->stages.labels;
  const float *logits = pith_executor_get_output(exits->stages.list[stage].executor, 0)->data;
  const bool last = stage + 1 == exits->stages.count;
  size_t count = 0;
  for (size_t s = 0; s < sequences; s++) {
    float max;
    const float *row = logits + s * labels;
    if (!last && !(1 / pith_softmax_sum(row, labels, &max) >= exits->threshold)) {
      exits->left[count++] = (uint32_t)s;
      continue;
    }
    memcpy(exits->logits + exits->origins[s] * labels, row, labels * sizeof *row);
  }
  exits->done[stage] = (uint32_t)(sequences - count);
  return count;
}

/* The sequences' own numbers and offsets, once their rows were carried. */
static void keep(pith_exits *exits, size_t count) {
  int32_t end = 0;
  for (size_t s = 0; s < count; s++) {
    const uint32_t from = exits->left[s]; /* s or behind it */
    const int32_t tokens = exits->offsets[from + 1] - exits->offsets[from];
    exits->origins[s] = exits->origins[from];
    exits->offsets[s] = end;
    end += tokens;
  }
  exits->offsets[count] = end;
}

pith_status pith_exits_run(pith_exits *exits, const pith_batch *batch, pith_output *out_logits, pith_error *error) {
  size_t sequences = batch->sequences;
  memcpy(exits->offsets, batch->offsets, (sequences + 1) * sizeof *exits->offsets);
  for (size_t s = 0; s < sequences; s++)
    exits->origins[s] = (uint32_t)s;
  memset(exits->done, 0, exits->stages.count * sizeof *exits->done);
  for (uint32_t i = 0; i < exits->stages.count && sequences != 0; i++) {
    const pith_stage *stage = &exits->stages.list[i];
    fill_feeds(exits, stage, batch, sequences);
    PITH_TRY(pith_executor_run(stage->executor, exits->feeds, batch->cancel, batch->deadline_ns, error));
    const size_t left = take_logits(exits, i, sequences);
    carry_rows(exits, i, left);
    keep(exits, left);
    sequences = left;
  }
  for (uint32_t i = 0; i < exits->stages.count; i++)
    exits->counts[i] += exits->done[i];
  *out_logits = (pith_output){.name = "logits", .data = exits->logits, .rows = batch->sequences, .columns = exits->stages.labels};
  return PITH_OK;
}
