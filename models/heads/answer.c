/* Question answering: the best span of a context, as transformers' question-answering pipeline finds it with its
 * defaults: windows of at most 384 tokens that share 128 of the context, answers of at most 15 tokens, no empty answer, spans
 * widened to whole words. */
#include <utf8proc.h>

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "models/heads/probability.h"

enum { WINDOW_TOKENS = 384, SHARED_TOKENS = 128, ANSWER_TOKENS = 15 };

/* One window of one question. */
typedef struct answer_window {
  size_t question;
  size_t head;       /* tokens of the window before its slice of the context */
  size_t begin, end; /* the slice, as tokens of the encoded text */
} answer_window;

typedef struct best_span {
  double score; /* below 0: none yet */
  size_t first, last; /* tokens of the encoded text */
} best_span;

typedef struct answer_context {
  const pith_sequence *sequences; /* [windows] */
  const answer_window *windows;
  best_span *best; /* [n] */
  int32_t cls_id;
  double *start, *end; /* [WINDOW_TOKENS] probabilities of a window's slice */
} answer_context;

/* Softmax of one column of `logits` [length, 2] over the slice and over the classifier token, which may win ("no answer")
 * but is no answer itself. */
static void slice_softmax(const float *logits, size_t column, const pith_sequence *sequence,
                          const answer_window *window, int32_t cls_id, double *out) {
  size_t tail = window->head + (window->end - window->begin);
  double max = -1e300, sum = 0;
  for (size_t t = 0; t < sequence->length; t++) {
    double x = (double)logits[2 * t + column];
    if (((t >= window->head && t < tail) || sequence->ids[t] == cls_id) && x > max)
      max = x;
  }
  for (size_t t = 0; t < sequence->length; t++) {
    bool inside = t >= window->head && t < tail;
    if (!inside && sequence->ids[t] != cls_id)
      continue;
    double e = pith_exponential((double)logits[2 * t + column] - max);
    sum += e;
    if (inside)
      out[t - window->head] = e;
  }
  for (size_t i = 0; i < window->end - window->begin; i++)
    out[i] /= sum;
}

static pith_status consume_spans(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                 const pith_result *result, pith_error *error) {
  const answer_context *c = context;
  const float *logits;
  PITH_TRY(pith_heads_find_output(result, "logits", (size_t)offsets[count], 2, &logits, error));
  for (size_t i = 0; i < count; i++) {
    const answer_window *window = &c->windows[order[i]];
    const pith_sequence *sequence = &c->sequences[order[i]];
    const float *rows = logits + 2 * (size_t)offsets[i];
    slice_softmax(rows, 0, sequence, window, c->cls_id, c->start);
    slice_softmax(rows, 1, sequence, window, c->cls_id, c->end);
    best_span *best = &c->best[window->question];
    size_t slice = window->end - window->begin;
    for (size_t first = 0; first < slice; first++)
      for (size_t last = first; last < slice && last < first + ANSWER_TOKENS; last++) {
        double score = c->start[first] * c->end[last];
        size_t at = window->begin + first;
        /* Windows come in any order: of equal scores the earlier span wins. */
        if (score > best->score || (score == best->score && at < best->first))
          *best = (best_span){score, at, window->begin + last};
      }
  }
  return PITH_OK;
}

/* ---- whole words -------------------------------------------------------------------------------------- */

enum { CHAR_SPACE, CHAR_LETTER, CHAR_DIGIT, CHAR_OTHER };

/* The class by which GPT-2's pattern splits words; a broken byte is OTHER. */
static int char_class(const char *text, size_t bytes) {
  utf8proc_int32_t c;
  if (bytes == 0 || utf8proc_iterate((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)bytes, &c) <= 0)
    return CHAR_OTHER;
  utf8proc_category_t category = utf8proc_category(c);
  if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
    return CHAR_LETTER;
  if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO)
    return CHAR_DIGIT;
  bool space = (category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP) || (c >= 9 && c <= 13);
  return space ? CHAR_SPACE : CHAR_OTHER;
}

/* Token t goes on with the word of token t - 1, both of the same context. */
static bool continues_word(const pith_model *model, const pith_encoded_text *text, const char *context,
                           size_t t) {
  const pith_tokenizer_data *tokenizer = model->data.tokenizer;
  if (tokenizer->kind == PITH_TOKENIZER_WORDPIECE) {
    size_t bytes, prefix_bytes = strlen(tokenizer->continuing_prefix);
    const char *token = pith_token_text(model, text->ids[t], &bytes);
    return token != NULL && prefix_bytes != 0 && bytes > prefix_bytes &&
           memcmp(token, tokenizer->continuing_prefix, prefix_bytes) == 0;
  }
  uint32_t begin = text->offsets[t][0], end = text->offsets[t][1], before = text->offsets[t - 1][1];
  if (begin < before)
    return true; /* both are parts of one character */
  if (begin > before || before == text->offsets[t - 1][0])
    return false;
  uint32_t last = before - 1; /* the character that ends the token before */
  while (last > text->offsets[t - 1][0] && ((unsigned char)context[last] & 0xc0) == 0x80)
    last--;
  return char_class(context + last, before - last) == char_class(context + begin, end - begin);
}

static void widen_to_words(const pith_model *model, const pith_encoded_text *text, const char *context,
                           best_span *span) {
  while (span->first > 0 && text->sequence[span->first - 1] == 1 &&
         continues_word(model, text, context, span->first))
    span->first--;
  while (span->last + 1 < text->count && text->sequence[span->last + 1] == 1 &&
         continues_word(model, text, context, span->last + 1))
    span->last++;
}

/* ---- the call ----------------------------------------------------------------------------------------- */

static pith_status answer(pith_session *session, const char *const *questions, const char *const *contexts,
                          size_t n, pith_arena *arena, pith_answer *out_answers, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_QUESTION_ANSWERING), "answer questions", error));
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  size_t limit = pith_session_get_max_tokens(session);
  limit = limit < model->data.max_length ? limit : model->data.max_length;
  limit = limit < WINDOW_TOKENS ? limit : WINDOW_TOKENS;
  size_t shared = limit / 2 < SHARED_TOKENS ? limit / 2 : SHARED_TOKENS;

  pith_encoded_text *texts = PITH_ARENA_NEW(arena, pith_encoded_text, n);
  pith_windows *plans = PITH_ARENA_NEW(arena, pith_windows, n);
  best_span *best = PITH_ARENA_NEW(arena, best_span, n);
  double *probabilities = PITH_ARENA_NEW(arena, double, 2 * limit);
  if (texts == NULL || plans == NULL || best == NULL || probabilities == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu questions", n);
  size_t window_count = 0;
  for (size_t i = 0; i < n; i++) {
    if (contexts[i] == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "context %zu is NULL", i);
    PITH_TRY(pith_feed_encode_whole(model, questions[i], contexts[i], arena, &texts[i], error));
    PITH_TRY(pith_windows_plan(&texts[i], 1, limit, shared, &plans[i], error));
    window_count += plans[i].count;
    best[i].score = -1;
  }
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, window_count);
  answer_window *windows = PITH_ARENA_NEW(arena, answer_window, window_count);
  if (sequences == NULL || windows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu windows", window_count);
  size_t at = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t w = 0; w < plans[i].count; w++, at++) {
      windows[at] = (answer_window){.question = i, .head = plans[i].content_begin};
      pith_windows_get(&plans[i], w, &windows[at].begin, &windows[at].end);
      PITH_TRY(pith_windows_build(&texts[i], &plans[i], w, arena, &sequences[at], error));
    }

  answer_context context = {.sequences = sequences,
                            .windows = windows,
                            .best = best,
                            .cls_id = model->data.tokenizer->cls_id,
                            .start = probabilities,
                            .end = probabilities + limit};
  PITH_TRY(pith_feed_run(session, sequences, window_count, arena, consume_spans, &context, error));
  for (size_t i = 0; i < n; i++) {
    out_answers[i] = (pith_answer){0}; /* a context without tokens has no span */
    if (best[i].score < 0)
      continue;
    widen_to_words(model, &texts[i], contexts[i], &best[i]);
    out_answers[i] = (pith_answer){.begin = texts[i].offsets[best[i].first][0],
                                   .end = texts[i].offsets[best[i].last][1],
                                   .score = (float)best[i].score};
  }
  return PITH_OK;
}

pith_status pith_answer_questions(pith_session *session, const char *const *questions,
                                  const char *const *contexts, size_t n, pith_answer *out_answers,
                                  pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_status status = answer(session, questions, contexts, n, &arena, out_answers, error);
  pith_arena_deinit(&arena);
  return status;
}
