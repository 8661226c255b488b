/* Fill-mask: the likeliest tokens at each mask token. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "engine/base/probability.h"

/* The k largest logits of one row as probabilities, best first, of equals the lower id; k <= vocabulary. */
static void fill_one(const float *logits, size_t vocabulary, size_t mask, size_t k, pith_fill *out_fills) {
  size_t count = 0;
  for (size_t id = 0; id < vocabulary; id++) {
    if (count == k && !(logits[id] > out_fills[k - 1].score))
      continue;
    size_t at = count < k ? count++ : k - 1;
    for (; at > 0 && logits[id] > out_fills[at - 1].score; at--)
      out_fills[at] = out_fills[at - 1];
    out_fills[at] = (pith_fill){.mask = mask, .id = (int32_t)id, .score = logits[id]};
  }
  float max;
  double sum = pith_softmax_sum(logits, vocabulary, &max);
  for (size_t i = 0; i < k; i++)
    out_fills[i].score = (float)(pith_exponential((double)out_fills[i].score - (double)max) / sum);
}

/* Part of one text's masks: as many as one run gives logits for. */
typedef struct fill_part {
  size_t first_of_all; /* of its masks, among those of all texts */
  size_t first;        /* among those of its text */
} fill_part;

typedef struct fill_context {
  const fill_part *parts;         /* [parts] */
  const pith_sequence_rows *rows; /* [parts] */
  size_t mask_count, k;
  pith_arena *arena;
  pith_fill *fills; /* [mask_count, k]; allocated once the vocabulary that bounds k is known */
} fill_context;

static pith_status consume_fills(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                 const pith_result *result, pith_error *error) {
  (void)offsets;
  fill_context *c = context;
  size_t row_count = 0;
  for (size_t i = 0; i < count; i++)
    row_count += c->rows[order[i]].count;
  size_t vocabulary = result->count == 0 ? 0 : result->outputs[0].columns;
  const float *logits;
  PITH_TRY(pith_heads_find_output(result, "logits", row_count, vocabulary, &logits, error));
  if (c->k > vocabulary)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "k is %zu, outside 1 to the vocabulary's %zu", c->k, vocabulary);
  if (c->fills == NULL)
    c->fills = pith_arena_array(c->arena, c->mask_count, c->k * sizeof *c->fills);
  if (c->fills == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu tokens of %zu masks", c->k, c->mask_count);
  for (size_t i = 0; i < count; i++) {
    const fill_part *part = &c->parts[order[i]];
    for (size_t r = 0; r < c->rows[order[i]].count; r++, logits += vocabulary)
      fill_one(logits, vocabulary, part->first + r, c->k, c->fills + (part->first_of_all + r) * c->k);
  }
  return PITH_OK;
}

pith_status pith_heads_fill_mask(pith_session *session, const char *const *texts, size_t n, size_t k,
                                 pith_arena *arena, pith_filled *out_filled, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_FILL_MASK), "fill masks", error));
  if (model->data.tokenizer == NULL || model->data.tokenizer->mask_id < 0)
    return pith_fail(error, PITH_UNSUPPORTED, "the model's tokenizer has no mask token");
  if (k == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "k is 0: at least one token of a mask is needed");
  int32_t mask_id = model->data.tokenizer->mask_id;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  if (sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  PITH_TRY(pith_feed_encode(session, texts, NULL, n, arena, sequences, error));
  size_t max_rows = pith_session_get_max_rows(session), mask_count = 0, part_count = 0;
  for (size_t i = 0; i < n; i++) {
    size_t masks = 0;
    for (uint32_t t = 0; t < sequences[i].length; t++)
      masks += sequences[i].ids[t] == mask_id;
    if (masks == 0) {
      size_t bytes;
      const char *name = pith_token_text(model, mask_id, &bytes);
      return pith_fail(error, PITH_INVALID_ARGUMENT, "text %zu has no mask token (%.*s) among its first %u tokens", i,
                       name == NULL ? 0 : (int)bytes, name == NULL ? "" : name, sequences[i].length);
    }
    out_filled[i].mask_count = masks;
    mask_count += masks;
    part_count += (masks + max_rows - 1) / max_rows;
  }

  int32_t *positions = PITH_ARENA_NEW(arena, int32_t, mask_count);
  fill_part *parts = PITH_ARENA_NEW(arena, fill_part, part_count);
  pith_sequence *part_sequences = PITH_ARENA_NEW(arena, pith_sequence, part_count);
  pith_sequence_rows *rows = PITH_ARENA_NEW(arena, pith_sequence_rows, part_count);
  if (positions == NULL || parts == NULL || part_sequences == NULL || rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu masks", mask_count);
  size_t at = 0, part = 0;
  for (size_t i = 0; i < n; i++) {
    size_t begin = at;
    for (uint32_t t = 0; t < sequences[i].length; t++)
      if (sequences[i].ids[t] == mask_id)
        positions[at++] = (int32_t)t;
    for (size_t first = begin; first < at; first += max_rows, part++) {
      size_t count = at - first < max_rows ? at - first : max_rows;
      parts[part] = (fill_part){.first_of_all = first, .first = first - begin};
      part_sequences[part] = sequences[i];
      rows[part] = (pith_sequence_rows){.positions = positions + first, .count = (uint32_t)count};
    }
  }

  fill_context context = {.parts = parts, .rows = rows, .mask_count = mask_count, .k = k, .arena = arena};
  PITH_TRY(pith_feed_run_rows(session, part_sequences, rows, part_count, arena, consume_fills, &context, error));
  const pith_fill *fills = context.fills;
  for (size_t i = 0; i < n; i++) {
    out_filled[i].fills = fills;
    fills += out_filled[i].mask_count * k;
  }
  return PITH_OK;
}

pith_status pith_fill_mask(pith_session *session, const char *text, size_t k, size_t capacity,
                           pith_fill *out_fills, size_t *out_count, pith_error *error) {
  const pith_head_argument arguments[] = {
      {"text", text, false}, {"out_fills", out_fills, capacity == 0}, {"out_count", out_count, false}};
  PITH_TRY(pith_heads_check_arguments("pith_fill_mask", session, arguments, 3, error));
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_filled filled;
  pith_status status = pith_heads_fill_mask(session, &text, 1, k, &arena, &filled, error);
  if (status == PITH_OK) {
    *out_count = filled.mask_count * k;
    size_t written = *out_count < capacity ? *out_count : capacity;
    if (written != 0)
      memcpy(out_fills, filled.fills, written * sizeof *out_fills);
  }
  pith_arena_deinit(&arena);
  return status;
}
