#include "models/heads/metrics.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/error.h"
#include "engine/base/probability.h"

/* ---- classes ------------------------------------------------------------------------------------------ */

double pith_metric_accuracy(const int32_t *predicted, const int32_t *labels, size_t n) {
  size_t right = 0;
  for (size_t i = 0; i < n; i++)
    right += predicted[i] == labels[i];
  return n == 0 ? 0 : (double)right / (double)n;
}

typedef struct confusion {
  double true_positive, false_positive, false_negative, true_negative;
} confusion;

static confusion count_confusion(const int32_t *predicted, const int32_t *labels, size_t n, int32_t positive) {
  confusion c = {0};
  for (size_t i = 0; i < n; i++) {
    bool says = predicted[i] == positive, is = labels[i] == positive;
    c.true_positive += says && is;
    c.false_positive += says && !is;
    c.false_negative += !says && is;
    c.true_negative += !says && !is;
  }
  return c;
}

double pith_metric_f1(const int32_t *predicted, const int32_t *labels, size_t n, int32_t positive) {
  confusion c = count_confusion(predicted, labels, n, positive);
  double denominator = 2 * c.true_positive + c.false_positive + c.false_negative;
  return denominator == 0 ? 0 : 2 * c.true_positive / denominator;
}

double pith_metric_mcc(const int32_t *predicted, const int32_t *labels, size_t n, int32_t positive) {
  confusion c = count_confusion(predicted, labels, n, positive);
  double product = (c.true_positive + c.false_positive) * (c.true_positive + c.false_negative) *
                   (c.true_negative + c.false_positive) * (c.true_negative + c.false_negative);
  return product == 0 ? 0
                      : (c.true_positive * c.true_negative - c.false_positive * c.false_negative) /
                            sqrt(product);
}

/* What the metrics of several classes count for each of them. */
typedef struct class_counts {
  double predicted, labelled, both;
} class_counts;

static pith_status count_classes(const int32_t *predicted, const int32_t *labels, size_t n, size_t class_count,
                                 pith_arena *arena, class_counts **out_counts, pith_error *error) {
  *out_counts = PITH_ARENA_NEW(arena, class_counts, class_count);
  if (*out_counts == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to count %zu classes", class_count);
  for (size_t i = 0; i < n; i++) {
    (*out_counts)[predicted[i]].predicted++;
    (*out_counts)[labels[i]].labelled++;
    (*out_counts)[labels[i]].both += predicted[i] == labels[i];
  }
  return PITH_OK;
}

pith_status pith_metric_macro_f1(const int32_t *predicted, const int32_t *labels, size_t n, size_t class_count,
                                 const pith_allocator *allocator, double *out_value, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  class_counts *counts;
  pith_status status = count_classes(predicted, labels, n, class_count, &arena, &counts, error);
  double sum = 0, occurring = 0;
  for (size_t c = 0; c < class_count && status == PITH_OK; c++) {
    double either = counts[c].predicted + counts[c].labelled;
    sum += either == 0 ? 0 : 2 * counts[c].both / either;
    occurring += either != 0;
  }
  *out_value = occurring == 0 ? 0 : sum / occurring;
  pith_arena_deinit(&arena);
  return status;
}

/* Gorodkin 2004: (c s - sum p_k t_k) / sqrt((s^2 - sum p_k^2) (s^2 - sum t_k^2)). */
pith_status pith_metric_multiclass_mcc(const int32_t *predicted, const int32_t *labels, size_t n,
                                       size_t class_count, const pith_allocator *allocator, double *out_value,
                                       pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  class_counts *counts;
  pith_status status = count_classes(predicted, labels, n, class_count, &arena, &counts, error);
  double all = (double)n, right = 0, products = 0, predicted_squares = 0, labelled_squares = 0;
  for (size_t c = 0; c < class_count && status == PITH_OK; c++) {
    right += counts[c].both;
    products += counts[c].predicted * counts[c].labelled;
    predicted_squares += counts[c].predicted * counts[c].predicted;
    labelled_squares += counts[c].labelled * counts[c].labelled;
  }
  double below = (all * all - predicted_squares) * (all * all - labelled_squares);
  *out_value = below == 0 ? 0 : (right * all - products) / sqrt(below);
  pith_arena_deinit(&arena);
  return status;
}

double pith_metric_set_accuracy(const int32_t *predicted, const int32_t *labels, size_t n, size_t label_count) {
  size_t right = 0;
  for (size_t i = 0; i < n; i++)
    right += memcmp(predicted + i * label_count, labels + i * label_count, label_count * sizeof *labels) == 0;
  return n == 0 ? 0 : (double)right / (double)n;
}

double pith_metric_log_loss(const float *logits, size_t class_count, size_t label) {
  float max;
  const double sum = pith_softmax_sum(logits, class_count, &max);
  return log(sum) + ((double)max - (double)logits[label]);
}

/* ---- correlation -------------------------------------------------------------------------------------- */

double pith_metric_pearson(const double *x, const double *y, size_t n) {
  double mean_x = 0, mean_y = 0;
  for (size_t i = 0; i < n; i++) {
    mean_x += x[i];
    mean_y += y[i];
  }
  mean_x /= (double)(n == 0 ? 1 : n);
  mean_y /= (double)(n == 0 ? 1 : n);
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < n; i++) {
    double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx == 0 || yy == 0 ? 0 : xy / (sqrt(xx) * sqrt(yy));
}

typedef struct ranked {
  double value;
  size_t index;
} ranked;

static int compare_ranked(const void *a, const void *b) {
  double x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
  return (x > y) - (x < y);
}

/* Ranks from 0; equal values get the mean of theirs. */
static void set_ranks(const double *values, size_t n, ranked *sorted, double *out_ranks) {
  for (size_t i = 0; i < n; i++)
    sorted[i] = (ranked){values[i], i};
  qsort(sorted, n, sizeof *sorted, compare_ranked);
  for (size_t begin = 0, end; begin < n; begin = end) {
    for (end = begin + 1; end < n && sorted[end].value == sorted[begin].value; end++)
      continue;
    for (size_t i = begin; i < end; i++)
      out_ranks[sorted[i].index] = (double)(begin + end - 1) / 2;
  }
}

pith_status pith_metric_spearman(const double *x, const double *y, size_t n, const pith_allocator *allocator,
                                 double *out_value, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  ranked *sorted = PITH_ARENA_NEW(&arena, ranked, n);
  double *x_ranks = PITH_ARENA_NEW(&arena, double, n), *y_ranks = PITH_ARENA_NEW(&arena, double, n);
  pith_status status = PITH_OK;
  if (sorted == NULL || x_ranks == NULL || y_ranks == NULL) {
    status = pith_fail(error, PITH_OUT_OF_MEMORY, "spearman: no memory to rank %zu pairs", n);
  } else {
    set_ranks(x, n, sorted, x_ranks);
    set_ranks(y, n, sorted, y_ranks);
    *out_value = pith_metric_pearson(x_ranks, y_ranks, n);
  }
  pith_arena_deinit(&arena);
  return status;
}

double pith_metric_cosine(const float *x, const float *y, size_t n) {
  double xy = 0, xx = 0, yy = 0;
  for (size_t i = 0; i < n; i++) {
    xy += (double)x[i] * (double)y[i];
    xx += (double)x[i] * (double)x[i];
    yy += (double)y[i] * (double)y[i];
  }
  return xx == 0 || yy == 0 ? 0 : xy / (sqrt(xx) * sqrt(yy));
}

/* ---- SQuAD -------------------------------------------------------------------------------------------- */

typedef struct word_list {
  char *text; /* words, each zero-terminated */
  size_t count;
} word_list;

static bool is_article(const char *word, size_t bytes) {
  return (bytes == 1 && word[0] == 'a') || (bytes == 2 && memcmp(word, "an", 2) == 0) ||
         (bytes == 3 && memcmp(word, "the", 3) == 0);
}

/* Lower-casing beyond ASCII is left out: both sides come from the same text, and the case of such a letter rarely differs. */
static bool normalize_answer(pith_arena *arena, const char *text, size_t bytes, word_list *out_words) {
  char *out = PITH_ARENA_NEW(arena, char, bytes + 2), *end = out;
  *out_words = (word_list){.text = out};
  if (out == NULL)
    return false;
  char *word = end;
  for (size_t i = 0; i <= bytes; i++) {
    unsigned char c = i < bytes ? (unsigned char)text[i] : ' ';
    if (c < 0x80 && isspace(c)) {
      size_t word_bytes = (size_t)(end - word);
      if (word_bytes == 0 || is_article(word, word_bytes)) {
        end = word;
        continue;
      }
      *end++ = '\0';
      word = end;
      out_words->count++;
    } else if (c >= 0x80 || !ispunct(c)) {
      *end++ = c < 0x80 ? (char)tolower(c) : (char)c;
    }
  }
  return true;
}

static size_t count_shared(const word_list *a, const word_list *b, bool *b_used) {
  memset(b_used, 0, b->count * sizeof *b_used);
  size_t shared = 0;
  const char *x = a->text;
  for (size_t i = 0; i < a->count; i++, x += strlen(x) + 1) {
    const char *y = b->text;
    for (size_t j = 0; j < b->count; j++, y += strlen(y) + 1)
      if (!b_used[j] && strcmp(x, y) == 0) {
        b_used[j] = true;
        shared++;
        break;
      }
  }
  return shared;
}

static bool words_equal(const word_list *a, const word_list *b) {
  if (a->count != b->count)
    return false;
  const char *x = a->text, *y = b->text;
  for (size_t i = 0; i < a->count; i++, x += strlen(x) + 1, y += strlen(y) + 1)
    if (strcmp(x, y) != 0)
      return false;
  return true;
}

pith_status pith_metric_squad(const char *answer, size_t answer_bytes, const char *const *references,
                              size_t reference_count, const pith_allocator *allocator,
                              pith_squad_score *out_score, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  *out_score = (pith_squad_score){0};
  word_list given;
  bool have_memory = normalize_answer(&arena, answer, answer_bytes, &given);
  for (size_t i = 0; i < reference_count && have_memory; i++) {
    word_list wanted;
    have_memory = normalize_answer(&arena, references[i], strlen(references[i]), &wanted);
    bool *used = have_memory ? PITH_ARENA_NEW(&arena, bool, wanted.count) : NULL;
    have_memory = used != NULL;
    if (!have_memory)
      break;
    double shared = (double)count_shared(&given, &wanted, used);
    double f1 = shared == 0 ? 0 : 2 * shared / (double)(given.count + wanted.count);
    if (words_equal(&given, &wanted))
      out_score->exact = 1;
    if (f1 > out_score->f1)
      out_score->f1 = f1;
  }
  pith_arena_deinit(&arena);
  return have_memory ? PITH_OK
                     : pith_fail(error, PITH_OUT_OF_MEMORY, "squad: no memory for an answer of %zu bytes",
                                 answer_bytes);
}
