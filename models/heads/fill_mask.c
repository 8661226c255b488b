/* Fill-mask: the likeliest tokens at each mask token. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "models/heads/probability.h"

/* The k largest logits of one row, best first, of equals the lower id; k <= vocabulary. */
static void fill_one(const float *logits, size_t vocabulary, size_t mask, size_t k, size_t room,
                     pith_fill *out_fills, pith_arena *arena, bool *have_memory) {
  pith_fill *best = PITH_ARENA_NEW(arena, pith_fill, k);
  *have_memory = best != NULL;
  if (best == NULL)
    return;
  size_t count = 0;
  for (size_t id = 0; id < vocabulary; id++) {
    if (count == k && !(logits[id] > best[k - 1].score))
      continue;
    size_t at = count < k ? count++ : k - 1;
    for (; at > 0 && logits[id] > best[at - 1].score; at--)
      best[at] = best[at - 1];
    best[at] = (pith_fill){.mask = mask, .id = (int32_t)id, .score = logits[id]};
  }
  float max;
  double sum = pith_softmax_sum(logits, vocabulary, &max);
  for (size_t i = 0; i < k && i < room; i++) {
    out_fills[i] = best[i];
    out_fills[i].score = (float)(pith_exponential((double)best[i].score - (double)max) / sum);
  }
}

static pith_status fill(pith_session *session, const char *text, size_t k, size_t capacity, pith_arena *arena,
                        pith_fill *out_fills, size_t *out_count, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_FILL_MASK), "fill masks", error));
  if (model->data.tokenizer == NULL || model->data.tokenizer->mask_id < 0)
    return pith_fail(error, PITH_UNSUPPORTED, "the model's tokenizer has no mask token");
  int32_t mask_id = model->data.tokenizer->mask_id;
  pith_sequence sequence;
  PITH_TRY(pith_feed_encode(session, &text, NULL, 1, arena, &sequence, error));
  int32_t *rows = PITH_ARENA_NEW(arena, int32_t, sequence.length);
  if (rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u tokens", sequence.length);
  size_t masks = 0;
  for (uint32_t t = 0; t < sequence.length; t++)
    if (sequence.ids[t] == mask_id)
      rows[masks++] = (int32_t)t;
  if (masks == 0) {
    size_t bytes;
    const char *name = pith_token_text(model, mask_id, &bytes);
    return pith_fail(error, PITH_INVALID_ARGUMENT, "the text has no mask token (%.*s) among its first %u tokens",
                     name == NULL ? 0 : (int)bytes, name == NULL ? "" : name, sequence.length);
  }

  const int32_t offsets[2] = {0, (int32_t)sequence.length};
  size_t max_rows = pith_session_get_max_rows(session);
  for (size_t first = 0; first < masks; first += max_rows) {
    size_t count = masks - first < max_rows ? masks - first : max_rows;
    pith_batch batch = PITH_BATCH_INIT;
    batch.sequences = 1;
    batch.offsets = offsets;
    batch.ids = sequence.ids;
    batch.type_ids = sequence.type_ids;
    batch.rows = rows + first;
    batch.row_count = count;
    pith_result result = {.struct_size = sizeof result};
    PITH_TRY(pith_session_run(session, &batch, &result, error));
    size_t vocabulary = result.count == 0 ? 0 : result.outputs[0].columns;
    const float *logits;
    PITH_TRY(pith_heads_find_output(&result, "logits", count, vocabulary, &logits, error));
    if (k == 0 || k > vocabulary)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "k is %zu, outside 1 to the vocabulary's %zu", k,
                       vocabulary);
    for (size_t i = 0; i < count; i++) {
      size_t at = (first + i) * k;
      bool have_memory;
      fill_one(logits + i * vocabulary, vocabulary, first + i, k, at < capacity ? capacity - at : 0,
               at < capacity ? out_fills + at : NULL, arena, &have_memory);
      if (!have_memory)
        return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu tokens of a mask", k);
    }
  }
  *out_count = masks * k;
  return PITH_OK;
}

pith_status pith_fill_mask(pith_session *session, const char *text, size_t k, size_t capacity,
                           pith_fill *out_fills, size_t *out_count, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_status status = fill(session, text, k, capacity, &arena, out_fills, out_count, error);
  pith_arena_deinit(&arena);
  return status;
}
