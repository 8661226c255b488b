/* Token classification: entities by their B- and I- tags, as transformers' token-classification pipeline merges them
 * with the "simple" strategy. A text longer than the model takes is read in windows that share a quarter; each token is
 * judged in the window where it stands further from an edge. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "engine/base/probability.h"

/* One text being labelled. */
typedef struct tag_text {
  pith_labelled_text *text;
  pith_windows windows;
} tag_text;

/* Window `index` of one text. */
typedef struct tag_window {
  const tag_text *text;
  size_t index;
} tag_window;

typedef struct tag_context {
  const tag_window *windows; /* [windows of all texts] */
  size_t label_count;
} tag_context;

static pith_status consume_tags(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                const pith_result *result, pith_error *error) {
  const tag_context *c = context;
  const float *logits;
  PITH_TRY(pith_heads_find_output(result, "logits", (size_t)offsets[count], c->label_count, &logits, error));
  for (size_t i = 0; i < count; i++) {
    const tag_text *text = c->windows[order[i]].text;
    size_t w = c->windows[order[i]].index, begin, end, first, last;
    pith_windows_get(&text->windows, w, &begin, &end);
    pith_windows_get_own(&text->windows, w, &first, &last);
    for (size_t t = first; t < last; t++) {
      size_t row = (size_t)offsets[i] + text->windows.content_begin + (t - begin);
      const float *scores = logits + row * c->label_count;
      float max;
      double sum = pith_softmax_sum(scores, c->label_count, &max);
      text->text->labels[t] = (pith_token_label){(int32_t)pith_argmax(scores, c->label_count), (float)(1 / sum)};
    }
  }
  return PITH_OK;
}

const char *pith_heads_entity_name(const char *label, bool *out_begins) {
  *out_begins = strncmp(label, "B-", 2) == 0;
  return *out_begins || strncmp(label, "I-", 2) == 0 ? label + 2 : label;
}

/* Returns how many entities there are; at most `capacity` are written. */
static size_t merge_labels(const pith_labelled_text *text, const char *const *labels, size_t capacity,
                           pith_entity *out_entities) {
  size_t count = 0;
  for (size_t t = text->begin, next; t < text->end; t = next) {
    bool begins;
    const char *name = pith_heads_entity_name(labels[text->labels[t].index], &begins);
    double score = 0;
    for (next = t; next < text->end; next++) {
      const char *next_name = pith_heads_entity_name(labels[text->labels[next].index], &begins);
      if (next > t && (begins || strcmp(next_name, name) != 0))
        break;
      score += (double)text->labels[next].score;
    }
    if (strcmp(name, "O") == 0)
      continue;
    if (count < capacity)
      out_entities[count] = (pith_entity){.begin = text->encoded.offsets[t][0],
                                          .end = text->encoded.offsets[next - 1][1],
                                          .label = text->labels[t].index,
                                          .score = (float)(score / (double)(next - t))};
    count++;
  }
  return count;
}

pith_status pith_heads_plan_tags(const pith_encoded_text *text, size_t max_tokens, pith_windows *out_windows,
                                 pith_error *error) {
  return pith_windows_plan(text, 0, max_tokens, max_tokens / 4, out_windows, error);
}

pith_status pith_heads_label_tokens(pith_session *session, const char *const *texts, size_t n, pith_arena *arena,
                                    pith_labelled_text *out_texts, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_TOKEN_CLASSIFICATION), "tag tokens", error));
  if (model->data.label_count == 0)
    return pith_fail(error, PITH_FORMAT, "the model has no labels");
  size_t limit = pith_session_get_max_tokens(session);
  limit = limit < model->data.max_length ? limit : model->data.max_length;
  tag_text *tagged = PITH_ARENA_NEW(arena, tag_text, n);
  pith_encoded_text *encoded = PITH_ARENA_NEW(arena, pith_encoded_text, n);
  if (tagged == NULL || encoded == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  PITH_TRY(pith_feed_encode_whole(session, texts, NULL, n, arena, encoded, error));
  size_t window_count = 0;
  for (size_t i = 0; i < n; i++) {
    tagged[i].text = &out_texts[i];
    PITH_TRY(pith_heads_plan_tags(&encoded[i], limit, &tagged[i].windows, error));
    out_texts[i] = (pith_labelled_text){.encoded = encoded[i],
                                        .begin = tagged[i].windows.content_begin,
                                        .end = tagged[i].windows.content_end,
                                        .labels = PITH_ARENA_NEW(arena, pith_token_label, encoded[i].count)};
    if (out_texts[i].labels == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu tokens", encoded[i].count);
    window_count += tagged[i].windows.count;
  }
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, window_count);
  tag_window *windows = PITH_ARENA_NEW(arena, tag_window, window_count);
  if (sequences == NULL || windows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu windows", window_count);
  size_t at = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t w = 0; w < tagged[i].windows.count; w++, at++) {
      windows[at] = (tag_window){&tagged[i], w};
      PITH_TRY(pith_windows_build(&encoded[i], &tagged[i].windows, w, arena, &sequences[at], error));
    }
  tag_context context = {windows, model->data.label_count};
  return pith_feed_run(session, sequences, window_count, arena, consume_tags, &context, error);
}

pith_status pith_heads_tag(pith_session *session, const char *const *texts, size_t n, pith_arena *arena,
                           pith_tagged *out_tagged, pith_error *error) {
  pith_labelled_text *labelled = PITH_ARENA_NEW(arena, pith_labelled_text, n);
  if (labelled == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  PITH_TRY(pith_heads_label_tokens(session, texts, n, arena, labelled, error));
  const char *const *labels = pith_session_get_model(session)->data.labels;
  for (size_t i = 0; i < n; i++) {
    size_t count = merge_labels(&labelled[i], labels, 0, NULL);
    pith_entity *entities = PITH_ARENA_NEW(arena, pith_entity, count);
    if (entities == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu entities", count);
    merge_labels(&labelled[i], labels, count, entities);
    out_tagged[i] = (pith_tagged){count, entities};
  }
  return PITH_OK;
}

pith_status pith_tag(pith_session *session, const char *text, size_t capacity, pith_entity *out_entities,
                     size_t *out_count, pith_error *error) {
  const pith_head_argument arguments[] = {
      {"text", text, false}, {"out_entities", out_entities, capacity == 0}, {"out_count", out_count, false}};
  PITH_TRY(pith_heads_check_arguments("pith_tag", session, arguments, 3, error));
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_tagged tagged = {0};
  pith_status status = pith_heads_tag(session, &text, 1, &arena, &tagged, error);
  if (status == PITH_OK) {
    *out_count = tagged.count;
    size_t written = tagged.count < capacity ? tagged.count : capacity;
    if (written != 0)
      memcpy(out_entities, tagged.entities, written * sizeof *out_entities);
  }
  pith_arena_deinit(&arena);
  return status;
}
