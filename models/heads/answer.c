/* Question answering: the best span of a context, as transformers' question-answering pipeline finds it with its
 * defaults: windows of at most 384 tokens that share 128 of the context, answers of at most 15 tokens, no empty answer. The
 * twelve likeliest spans of each window are widened to whole words; those that then read the same are one answer, whose score
 * is their sum. */
#include <strings.h>
#include <utf8proc.h>

#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/heads.h"
#include "engine/base/probability.h"

enum { WINDOW_TOKENS = 384, SHARED_TOKENS = 128, ANSWER_TOKENS = 15, WINDOW_SPANS = 12 };

/* One window of one question. */
typedef struct answer_window {
  size_t question;
  size_t head;       /* tokens of the window before its slice of the context */
  size_t begin, end; /* the slice, as tokens of the encoded text */
} answer_window;

typedef struct span {
  double score;
  size_t first, last; /* tokens of the encoded text, then bytes of the context */
} span;

/* The likeliest spans of one window, best first, of equals the earlier. */
typedef struct window_spans {
  size_t count;
  span spans[WINDOW_SPANS];
} window_spans;

typedef struct answer_context {
  const pith_sequence *sequences; /* [windows] */
  const answer_window *windows;
  window_spans *found; /* [windows] */
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

static void keep_span(window_spans *found, span candidate) {
  if (found->count == WINDOW_SPANS && !(candidate.score > found->spans[WINDOW_SPANS - 1].score))
    return;
  size_t at = found->count < WINDOW_SPANS ? found->count++ : WINDOW_SPANS - 1;
  for (; at > 0 && candidate.score > found->spans[at - 1].score; at--)
    found->spans[at] = found->spans[at - 1];
  found->spans[at] = candidate;
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
    window_spans *found = &c->found[order[i]];
    size_t slice = window->end - window->begin;
    for (size_t first = 0; first < slice; first++)
      for (size_t last = first; last < slice && last < first + ANSWER_TOKENS; last++)
        keep_span(found, (span){c->start[first] * c->end[last], window->begin + first, window->begin + last});
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

/* Bytes of the English contraction ('s, 'll, ...) at `text`, which GPT-2's pattern takes as a word; 0 where there is none. */
static size_t contraction_bytes(const char *text) {
  static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
  if (*text != '\'')
    return 0;
  for (size_t i = 0; i < sizeof endings / sizeof *endings; i++)
    if (strncmp(text + 1, endings[i], strlen(endings[i])) == 0)
      return 1 + strlen(endings[i]);
  return 0;
}

/* Whether `at` lies inside a contraction (1), where one ends (-1), or neither (0). One begins after a letter or digit. */
static int place_in_contraction(const char *context, uint32_t at) {
  for (uint32_t back = 1; back <= 3 && back < at; back++) {
    size_t bytes = contraction_bytes(context + at - back);
    if (bytes < back)
      continue;
    uint32_t last = at - back - 1;
    while (last > 0 && ((unsigned char)context[last] & 0xc0) == 0x80)
      last--;
    int before = char_class(context + last, at - back - last);
    if (before == CHAR_LETTER || before == CHAR_DIGIT)
      return bytes > back ? 1 : -1;
  }
  return 0;
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
  int contraction = place_in_contraction(context, begin);
  if (contraction != 0)
    return contraction > 0;
  uint32_t last = before - 1; /* the character that ends the token before */
  while (last > text->offsets[t - 1][0] && ((unsigned char)context[last] & 0xc0) == 0x80)
    last--;
  return char_class(context + last, before - last) == char_class(context + begin, end - begin);
}

/* The bytes of the context that a span of tokens covers, widened to whole words. */
static span widen_to_words(const pith_model *model, const pith_encoded_text *text, const char *context, span tokens) {
  while (tokens.first > 0 && text->sequence[tokens.first - 1] == 1 &&
         continues_word(model, text, context, tokens.first))
    tokens.first--;
  while (tokens.last + 1 < text->count && text->sequence[tokens.last + 1] == 1 &&
         continues_word(model, text, context, tokens.last + 1))
    tokens.last++;
  return (span){tokens.score, text->offsets[tokens.first][0], text->offsets[tokens.last][1]};
}

/* The best answer among the spans of one question's windows; `scratch` has room for all of them. */
static pith_answer choose_answer(const pith_model *model, const pith_encoded_text *text, const char *context,
                                 const window_spans *found, size_t windows, span *scratch) {
  size_t count = 0, best = 0;
  for (size_t w = 0; w < windows; w++)
    for (size_t i = 0; i < found[w].count; i++) {
      span wide = widen_to_words(model, text, context, found[w].spans[i]);
      size_t bytes = wide.last - wide.first, same = 0;
      while (same < count && (scratch[same].last - scratch[same].first != bytes ||
                              strncasecmp(context + scratch[same].first, context + wide.first, bytes) != 0))
        same++;
      if (same == count)
        scratch[count++] = wide;
      else
        scratch[same].score += wide.score;
    }
  for (size_t i = 1; i < count; i++)
    if (scratch[i].score > scratch[best].score)
      best = i;
  if (count == 0)
    return (pith_answer){0}; /* a context without tokens has no span */
  return (pith_answer){(uint32_t)scratch[best].first, (uint32_t)scratch[best].last, (float)scratch[best].score};
}

/* ---- the call ----------------------------------------------------------------------------------------- */

pith_status pith_heads_plan_answers(const pith_encoded_text *text, size_t max_tokens, pith_windows *out_windows,
                                    pith_error *error) {
  const size_t limit = max_tokens < WINDOW_TOKENS ? max_tokens : WINDOW_TOKENS;
  const size_t shared = limit / 2 < SHARED_TOKENS ? limit / 2 : SHARED_TOKENS;
  return pith_windows_plan(text, 1, limit, shared, out_windows, error);
}

static pith_status answer(pith_session *session, const char *const *questions, const char *const *contexts,
                          size_t n, pith_arena *arena, pith_answer *out_answers, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  PITH_TRY(pith_heads_check_task(model, PITH_TASK_BIT(PITH_TASK_QUESTION_ANSWERING), "answer questions", error));
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "the model carries no tokenizer");
  size_t limit = pith_session_get_max_tokens(session);
  limit = limit < model->data.max_length ? limit : model->data.max_length;

  pith_encoded_text *texts = PITH_ARENA_NEW(arena, pith_encoded_text, n);
  pith_windows *plans = PITH_ARENA_NEW(arena, pith_windows, n);
  double *probabilities = PITH_ARENA_NEW(arena, double, 2 * WINDOW_TOKENS);
  if (texts == NULL || plans == NULL || probabilities == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu questions", n);
  for (size_t i = 0; i < n; i++)
    if (questions[i] == NULL || contexts[i] == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s %zu is NULL", questions[i] == NULL ? "question" : "context",
                       i);
  PITH_TRY(pith_feed_encode_whole(session, questions, contexts, n, arena, texts, error));
  size_t window_count = 0, most_windows = 0;
  for (size_t i = 0; i < n; i++) {
    PITH_TRY(pith_heads_plan_answers(&texts[i], limit, &plans[i], error));
    window_count += plans[i].count;
    most_windows = plans[i].count > most_windows ? plans[i].count : most_windows;
  }
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, window_count);
  answer_window *windows = PITH_ARENA_NEW(arena, answer_window, window_count);
  window_spans *found = PITH_ARENA_NEW(arena, window_spans, window_count);
  span *scratch = pith_arena_array(arena, most_windows, WINDOW_SPANS * sizeof *scratch);
  if (sequences == NULL || windows == NULL || found == NULL || scratch == NULL)
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
                            .found = found,
                            .cls_id = model->data.tokenizer->cls_id,
                            .start = probabilities,
                            .end = probabilities + WINDOW_TOKENS};
  PITH_TRY(pith_feed_run(session, sequences, window_count, arena, consume_spans, &context, error));
  for (size_t i = 0; i < n; i++) {
    out_answers[i] = choose_answer(model, &texts[i], contexts[i], found, plans[i].count, scratch);
    found += plans[i].count;
  }
  return PITH_OK;
}

pith_status pith_answer_questions(pith_session *session, const char *const *questions,
                                  const char *const *contexts, size_t n, pith_answer *out_answers,
                                  pith_error *error) {
  const pith_head_argument arguments[] = {
      {"questions", questions, n == 0}, {"contexts", contexts, n == 0}, {"out_answers", out_answers, n == 0}};
  PITH_TRY(pith_heads_check_arguments("pith_answer_questions", session, arguments, 3, error));
  pith_arena arena;
  pith_arena_init(&arena, pith_session_get_allocator(session));
  pith_status status = answer(session, questions, contexts, n, &arena, out_answers, error);
  pith_arena_deinit(&arena);
  return status;
}
