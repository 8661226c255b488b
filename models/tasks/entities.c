#include "models/tasks/entities.h"

#include <string.h>

typedef struct tag {
  char prefix;      /* the label's first character */
  const char *type; /* "" for O */
} tag;

/* Entities of a sequence, one after the other. */
typedef struct walk {
  pith_entity_mode mode;
  const char *const *labels;
  const int32_t *tags;
  size_t n, at; /* the next entity begins here or later */
} walk;

typedef struct entity {
  size_t begin, end;
  const char *type; /* NULL: there is no more */
} entity;

static tag get_tag(const walk *w, size_t i) {
  if (i >= w->n)
    return (tag){'O', ""};
  const char *label = w->labels[w->tags[i]];
  const char *dash = strchr(label, '-');
  return (tag){label[0], dash != NULL ? dash + 1 : label[0] == '\0' ? label : label + 1};
}

static bool starts(tag before, tag now) {
  if (now.prefix == 'B' || now.prefix == 'S')
    return true;
  if (now.prefix == 'O' || now.prefix == '.')
    return false;
  const bool over = before.prefix == 'O' || before.prefix == 'E' || before.prefix == 'S';
  return (over && (now.prefix == 'I' || now.prefix == 'E')) || strcmp(before.type, now.type) != 0;
}

static bool ends(tag before, tag now) {
  if (before.prefix == 'O' || before.prefix == '.')
    return false;
  if (before.prefix == 'E' || before.prefix == 'S')
    return true;
  const bool breaks = now.prefix == 'B' || now.prefix == 'S' || now.prefix == 'O';
  return ((before.prefix == 'B' || before.prefix == 'I') && breaks) || strcmp(before.type, now.type) != 0;
}

static bool goes_on_strictly(tag before, tag now) {
  return now.prefix == 'I' && strcmp(before.type, now.type) == 0;
}

static entity next_entity(walk *w) {
  for (; w->at < w->n; w->at++) {
    const tag first = get_tag(w, w->at);
    const bool begins = w->mode == PITH_ENTITY_STRICT
                            ? first.prefix == 'B'
                            : starts(w->at == 0 ? (tag){'O', ""} : get_tag(w, w->at - 1), first);
    if (!begins)
      continue;
    size_t end = w->at + 1;
    while (w->mode == PITH_ENTITY_STRICT ? goes_on_strictly(first, get_tag(w, end))
                                         : !ends(get_tag(w, end - 1), get_tag(w, end)))
      end++;
    const entity found = {w->at, end, first.type};
    w->at = end;
    return found;
  }
  return (entity){w->n, w->n, NULL};
}

void pith_entity_counts_add(pith_entity_counts *counts, pith_entity_mode mode, const char *const *labels,
                            const int32_t *predicted, const int32_t *wanted, size_t n) {
  walk a = {mode, labels, predicted, n, 0}, b = {mode, labels, wanted, n, 0};
  entity x = next_entity(&a), y = next_entity(&b);
  while (x.type != NULL || y.type != NULL) {
    counts->right += x.type != NULL && y.type != NULL && x.begin == y.begin && x.end == y.end && strcmp(x.type, y.type) == 0;
    const bool take_x = x.begin <= y.begin && x.type != NULL, take_y = y.begin <= x.begin && y.type != NULL;
    if (take_x) {
      counts->predicted++;
      x = next_entity(&a);
    }
    if (take_y) {
      counts->wanted++;
      y = next_entity(&b);
    }
  }
}

static double divide(uint64_t a, uint64_t b) {
  return b == 0 ? 0 : (double)a / (double)b;
}

double pith_entity_precision(const pith_entity_counts *counts) {
  return divide(counts->right, counts->predicted);
}

double pith_entity_recall(const pith_entity_counts *counts) {
  return divide(counts->right, counts->wanted);
}

double pith_entity_f1(const pith_entity_counts *counts) {
  return divide(2 * counts->right, counts->predicted + counts->wanted);
}
