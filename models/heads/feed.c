#include "models/heads/feed.h"

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"

/* ---- packing ------------------------------------------------------------------------------------------ */

/* `rows`: NULL, or of which a batch has at most max_rows. */
static pith_status create_plan(const uint32_t *lengths, const pith_sequence_rows *rows, size_t n,
                               size_t max_tokens, size_t max_sequences, size_t max_rows, pith_arena *arena,
                               pith_feed_plan *out_plan, pith_error *error) {
  if (n >= UINT32_MAX)
    return pith_fail(error, PITH_LIMIT, "%zu sequences in one call, over the limit %u", n, UINT32_MAX - 1);
  uint32_t longest = 0;
  for (size_t i = 0; i < n; i++)
    longest = lengths[i] > longest ? lengths[i] : longest;
  if (longest > max_tokens)
    return pith_fail(error, PITH_LIMIT, "a sequence has %u tokens, over the session's max_tokens of %zu", longest,
                     max_tokens);
  for (size_t i = 0; i < n && rows != NULL; i++)
    if (rows[i].count > max_rows)
      return pith_fail(error, PITH_LIMIT, "a sequence has %u rows, over the session's max_rows of %zu", rows[i].count,
                       max_rows);

  /* Counting sort by length, longest first, stable. */
  uint32_t *order = PITH_ARENA_NEW(arena, uint32_t, n);
  uint32_t *begins = PITH_ARENA_NEW(arena, uint32_t, n + 1);
  uint32_t *places = PITH_ARENA_NEW(arena, uint32_t, (size_t)longest + 2);
  if (order == NULL || begins == NULL || places == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to order %zu sequences", n);
  for (size_t i = 0; i < n; i++)
    places[longest - lengths[i] + 1]++;
  for (uint32_t i = 0; i < longest; i++)
    places[i + 1] += places[i];
  for (size_t i = 0; i < n; i++)
    order[places[longest - lengths[i]]++] = (uint32_t)i;

  size_t batch_count = 0, tokens = 0, sequences = 0, row_count = 0;
  for (size_t i = 0; i < n; i++) {
    size_t own_rows = rows == NULL ? 0 : rows[order[i]].count;
    if (i == 0 || sequences == max_sequences || tokens + lengths[order[i]] > max_tokens ||
        row_count + own_rows > max_rows) {
      begins[batch_count++] = (uint32_t)i;
      tokens = sequences = row_count = 0;
    }
    tokens += lengths[order[i]];
    row_count += own_rows;
    sequences++;
  }
  begins[batch_count] = (uint32_t)n;
  *out_plan = (pith_feed_plan){.batch_count = batch_count, .order = order, .begins = begins};
  return PITH_OK;
}

pith_status pith_feed_plan_create(const uint32_t *lengths, size_t n, size_t max_tokens, size_t max_sequences,
                                  pith_arena *arena, pith_feed_plan *out_plan, pith_error *error) {
  return create_plan(lengths, NULL, n, max_tokens, max_sequences, 0, arena, out_plan, error);
}

/* ---- running ------------------------------------------------------------------------------------------ */

pith_status pith_feed_run(pith_session *session, const pith_sequence *sequences, size_t n, pith_arena *arena,
                          pith_feed_consume consume, void *context, pith_error *error) {
  return pith_feed_run_rows(session, sequences, NULL, n, arena, consume, context, error);
}

pith_status pith_feed_run_rows(pith_session *session, const pith_sequence *sequences,
                               const pith_sequence_rows *rows, size_t n, pith_arena *arena,
                               pith_feed_consume consume, void *context, pith_error *error) {
  size_t max_tokens = pith_session_get_max_tokens(session);
  size_t max_sequences = pith_session_get_max_sequences(session);
  size_t max_rows = rows == NULL ? 0 : pith_session_get_max_rows(session);
  uint32_t *lengths = PITH_ARENA_NEW(arena, uint32_t, n);
  if (lengths == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu sequences", n);
  size_t total = 0;
  for (size_t i = 0; i < n; i++) {
    lengths[i] = sequences[i].length;
    total += lengths[i];
  }
  pith_feed_plan plan;
  PITH_TRY(create_plan(lengths, rows, n, max_tokens, max_sequences, max_rows, arena, &plan, error));

  size_t room = total < max_tokens ? total : max_tokens;
  int32_t *ids = PITH_ARENA_NEW(arena, int32_t, room), *type_ids = PITH_ARENA_NEW(arena, int32_t, room);
  int32_t *offsets = PITH_ARENA_NEW(arena, int32_t, (n < max_sequences ? n : max_sequences) + 1);
  int32_t *positions = PITH_ARENA_NEW(arena, int32_t, max_rows);
  if (ids == NULL || type_ids == NULL || offsets == NULL || positions == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a batch of %zu tokens", room);
  for (size_t b = 0; b < plan.batch_count; b++) {
    const uint32_t *order = plan.order + plan.begins[b];
    size_t count = plan.begins[b + 1] - plan.begins[b], tokens = 0, row_count = 0;
    for (size_t i = 0; i < count; i++) {
      const pith_sequence *sequence = &sequences[order[i]];
      offsets[i] = (int32_t)tokens;
      memcpy(ids + tokens, sequence->ids, sequence->length * sizeof *ids);
      if (sequence->type_ids != NULL)
        memcpy(type_ids + tokens, sequence->type_ids, sequence->length * sizeof *type_ids);
      else
        memset(type_ids + tokens, 0, sequence->length * sizeof *type_ids);
      for (uint32_t r = 0; rows != NULL && r < rows[order[i]].count; r++)
        positions[row_count++] = (int32_t)tokens + rows[order[i]].positions[r];
      tokens += sequence->length;
    }
    offsets[count] = (int32_t)tokens;
    pith_batch batch = PITH_BATCH_INIT;
    batch.sequences = count;
    batch.offsets = offsets;
    batch.ids = ids;
    batch.type_ids = type_ids;
    batch.rows = rows == NULL ? NULL : positions;
    batch.row_count = row_count;
    pith_result result = {.struct_size = sizeof result};
    PITH_TRY(pith_session_run(session, &batch, &result, error));
    PITH_TRY(consume(context, order, offsets, count, &result, error));
  }
  return PITH_OK;
}

/* ---- windows ------------------------------------------------------------------------------------------ */

pith_status pith_windows_plan(const pith_encoded_text *text, uint8_t sequence, size_t max_tokens,
                              size_t overlap, pith_windows *out_windows, pith_error *error) {
  size_t begin = 0;
  while (begin < text->count && text->sequence[begin] != sequence)
    begin++;
  size_t end = begin;
  while (end < text->count && text->sequence[end] == sequence)
    end++;
  size_t content = end - begin, fixed = text->count - content;
  if (content == 0) { /* nothing to window: the fixed tokens alone */
    begin = end = text->count;
  }
  if (fixed >= max_tokens)
    return pith_fail(error, PITH_LIMIT, "%zu tokens beside the context leave no room in windows of %zu", fixed,
                     max_tokens);
  size_t slice = max_tokens - fixed;
  size_t step = slice > overlap ? slice - overlap : 1;
  size_t count = content <= slice ? 1 : 1 + (content - slice + step - 1) / step;
  *out_windows = (pith_windows){count, begin, end, slice, step};
  return PITH_OK;
}

void pith_windows_get(const pith_windows *windows, size_t w, size_t *out_begin, size_t *out_end) {
  size_t begin = windows->content_begin + w * windows->step;
  size_t left = windows->content_end - begin;
  *out_begin = begin;
  *out_end = begin + (left < windows->slice ? left : windows->slice);
}

/* Tokens that window w decides begin half-way through what it shares with the one before. */
static size_t own_begin(const pith_windows *windows, size_t w) {
  if (w == 0)
    return windows->content_begin;
  return windows->content_begin + w * windows->step + (windows->slice - windows->step) / 2;
}

void pith_windows_get_own(const pith_windows *windows, size_t w, size_t *out_begin, size_t *out_end) {
  *out_begin = own_begin(windows, w);
  *out_end = w + 1 < windows->count ? own_begin(windows, w + 1) : windows->content_end;
}

pith_status pith_windows_build(const pith_encoded_text *text, const pith_windows *windows, size_t w,
                               pith_arena *arena, pith_sequence *out_sequence, pith_error *error) {
  size_t begin, end;
  pith_windows_get(windows, w, &begin, &end);
  size_t head = windows->content_begin, middle = end - begin, tail = text->count - windows->content_end;
  size_t length = head + middle + tail;
  int32_t *ids = PITH_ARENA_NEW(arena, int32_t, length), *type_ids = PITH_ARENA_NEW(arena, int32_t, length);
  if (ids == NULL || type_ids == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a window of %zu tokens", length);
  const struct {
    size_t from, count;
  } parts[] = {{0, head}, {begin, middle}, {windows->content_end, tail}};
  size_t at = 0;
  for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
    memcpy(ids + at, text->ids + parts[p].from, parts[p].count * sizeof *ids);
    memcpy(type_ids + at, text->type_ids + parts[p].from, parts[p].count * sizeof *type_ids);
    at += parts[p].count;
  }
  *out_sequence = (pith_sequence){ids, type_ids, (uint32_t)length};
  return PITH_OK;
}
