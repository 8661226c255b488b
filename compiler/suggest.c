#include "compiler/suggest.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

enum { SUGGEST_MAX_BYTES = 32 };

/* Levenshtein, one row kept. Names longer than the row are not near anything. */
static size_t edit_distance(const char *a, const char *b) {
  size_t a_bytes = strlen(a), b_bytes = strlen(b);
  if (a_bytes > SUGGEST_MAX_BYTES || b_bytes > SUGGEST_MAX_BYTES)
    return SUGGEST_MAX_BYTES;
  size_t row[SUGGEST_MAX_BYTES + 1];
  for (size_t j = 0; j <= b_bytes; j++)
    row[j] = j;
  for (size_t i = 1; i <= a_bytes; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b_bytes; j++) {
      size_t change = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      size_t insert = row[j - 1] + 1, erase = row[j] + 1;
      row[j] = insert < erase ? insert : erase;
      if (change < row[j])
        row[j] = change;
    }
  }
  return row[b_bytes];
}

const char *pith_suggest(const char *name, const char *(*next)(void *context), void *context) {
  const char *best = NULL;
  size_t best_distance = 3; /* two typing mistakes are near */
  for (const char *candidate = next(context); candidate != NULL; candidate = next(context)) {
    size_t distance = edit_distance(name, candidate);
    if (distance < best_distance && distance < strlen(candidate)) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

const char *pith_suggest_to(const char *name, const char *(*next)(void *context), void *context, char text[PITH_SUGGESTION_BYTES]) {
  const char *near = pith_suggest(name, next, context);
  if (near == NULL)
    return "";
  snprintf(text, PITH_SUGGESTION_BYTES, ", did you mean '%s'?", near);
  return text;
}
