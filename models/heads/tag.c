/* Token classification: entities by their B- and I- tags, as transformers' token-classification pipeline merges them
 * with the "simple" strategy. A text longer than the model takes is read in windows that share a quarter; each token is
 * judged in the window where it stands further from an edge. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "models/heads/probability.h"

typedef struct token_tag {
  int32_t label;
  float score;
} token_tag;

typedef struct tag_context {
  const pith_windows *windows;
  size_t label_count;
  token_tag *tags; /* [tokens of the text] */
} tag_context;

/* Tokens that window w decides begin here: half-way through what it shares with the one before. */
static size_t owned_begin(const pith_windows *windows, size_t w) {
  if (w == 0)
    return windows->content_begin;
  size_t begin = windows->content_begin + w * windows->step;
  return begin + (windows->slice - windows->step) / 2;
}

static pith_status consume_tags(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                const pith_result *result, pith_error *error) {
  const tag_context *c = context;
  const float *logits;
  PITH_TRY(pith_heads_find_output(result, "logits", (size_t)offsets[count], c->label_count, &logits, error));
  for (size_t i = 0; i < count; i++) {
    size_t w = order[i], begin, end;
    pith_windows_get(c->windows, w, &begin, &end);
    size_t first = owned_begin(c->windows, w);
    size_t last = w + 1 < c->windows->count ? owned_begin(c->windows, w + 1) : end;
    for (size_t t = first; t < last; t++) {
      size_t row = (size_t)offsets[i] + c->windows->content_begin + (t - begin);
      const float *scores = logits + row * c->label_count;
      float max;
      double sum = pith_softmax_sum(scores, c->label_count, &max);
      c->tags[t] = (token_tag){(int32_t)pith_argmax(scores, c->label_count), (float)(1 / sum)};
    }
  }
  return PITH_OK;
}

/* A label without its B- or I-. */
static const char *tag_name(const char *label, bool *out_begins) {
  *out_begins = strncmp(label, "B-", 2) == 0;
  return *out_begins || strncmp(label, "I-", 2) == 0 ? label + 2 : label;
}

static size_t merge_tags(const pith_encoded_text *text, const pith_windows *windows, const token_tag *tags,
                         const char *const *labels, size_t capacity, pith_entity *out_entities) {
  size_t count = 0;
  for (size_t t = windows->content_begin, next; t < windows->content_end; t = next) {
    bool begins;
    const char *name = tag_name(labels[tags[t].label], &begins);
    double score = 0;
    for (next = t; next < windows->content_end; next++) {
      const char *next_name = tag_name(labels[tags[next].label], &begins);
      if (next > t && (begins || strcmp(next_name, name) != 0))
        break;
      score += (double)tags[next].score;
    }
    if (strcmp(name, "O") == 0)
      continue;
    if (count < capacity)
      out_entities[count] = (pith_entity){.begin = text->offsets[t][0],
                                          .end = text->offsets[next - 1][1],
                                          .label = tags[t].label,
                                          .score = (float)(score / (double)(next - t))};
    count++;
  }
  return count;
}

static pith_status tag(pith_session *session, const char *text, size_t capacity, pith_arena *arena,
                       pith_entity *out_entities, size_t *out_count, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_TOKEN_CLASSIFICATION), "tag tokens", error));
  if (model->data.label_count == 0)
    return pith_fail(error, PITH_FORMAT, "the model has no labels");
  size_t limit = pith_session_get_max_tokens(session);
  limit = limit < model->data.max_length ? limit : model->data.max_length;
  pith_encoded_text encoded;
  pith_windows windows;
  PITH_TRY(pith_feed_encode_whole(model, text, NULL, arena, &encoded, error));
  PITH_TRY(pith_windows_plan(&encoded, 0, limit, limit / 4, &windows, error));
  token_tag *tags = PITH_ARENA_NEW(arena, token_tag, encoded.count);
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, windows.count);
  if (tags == NULL || sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu tokens", encoded.count);
  for (size_t w = 0; w < windows.count; w++)
    PITH_TRY(pith_windows_build(&encoded, &windows, w, arena, &sequences[w], error));
  tag_context context = {&windows, model->data.label_count, tags};
  PITH_TRY(pith_feed_run(session, sequences, windows.count, arena, consume_tags, &context, error));
  *out_count = merge_tags(&encoded, &windows, tags, model->data.labels, capacity, out_entities);
  return PITH_OK;
}

pith_status pith_tag(pith_session *session, const char *text, size_t capacity, pith_entity *out_entities,
                     size_t *out_count, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_status status = tag(session, text, capacity, &arena, out_entities, out_count, error);
  pith_arena_deinit(&arena);
  return status;
}
