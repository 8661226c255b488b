#include "models/tokenizer/normalize.h"

#include "engine/base/arena.h"
#include "models/tokenizer/unicode.h"

bool pith_scratch_reserve(pith_scratch *scratch, size_t used, size_t count, size_t item_bytes) {
  if (count <= scratch->capacity)
    return true;
  size_t capacity = count + count / 2, bytes;
  if (capacity < count || !pith_size_multiply(capacity, item_bytes, &bytes))
    return false;
  void *items = pith_allocate(NULL, bytes);
  if (items == NULL)
    return false;
  if (used > 0)
    memcpy(items, scratch->items, used * item_bytes);
  pith_scratch_release(scratch);
  *scratch = (pith_scratch){items, capacity, bytes};
  return true;
}

void pith_scratch_release(pith_scratch *scratch) {
  if (scratch->own_bytes != 0)
    pith_release(NULL, scratch->items, scratch->own_bytes);
  *scratch = (pith_scratch){0};
}

void pith_normalizer_init(pith_normalizer *normalizer, uint32_t packed, pith_normalize_sink sink,
                          void *context) {
  normalizer->step_count = 0;
  normalizer->form_step = PITH_NORMALIZER_STEPS;
  normalizer->compatible = normalizer->compose = false;
  for (; packed != 0 && normalizer->step_count < PITH_NORMALIZER_STEPS; packed >>= 4) {
    uint32_t step = packed & 15;
    if (step == PITH_NORMALIZE_NFD || step == PITH_NORMALIZE_NFC || step == PITH_NORMALIZE_NFKD ||
        step == PITH_NORMALIZE_NFKC) {
      normalizer->form_step = normalizer->step_count;
      normalizer->compatible = step == PITH_NORMALIZE_NFKD || step == PITH_NORMALIZE_NFKC;
      normalizer->compose = step == PITH_NORMALIZE_NFC || step == PITH_NORMALIZE_NFKC;
    }
    normalizer->steps[normalizer->step_count++] = step;
  }
  normalizer->sink = sink;
  normalizer->context = context;
  normalizer->out_of_memory = false;
  normalizer->mark_count = normalizer->follower_count = normalizer->source_first =
      normalizer->source_count = 0;
  normalizer->last_source = (pith_span){0, 0};
  normalizer->has_composee = false;
  normalizer->last_class = -1;
  normalizer->marks = (pith_scratch){normalizer->mark_storage, PITH_NORMALIZER_MARKS, 0};
  normalizer->followers = (pith_scratch){normalizer->follower_storage, PITH_NORMALIZER_MARKS, 0};
  normalizer->sources = (pith_scratch){normalizer->source_storage, PITH_NORMALIZER_MARKS, 0};
}

void pith_normalizer_deinit(pith_normalizer *normalizer) {
  pith_scratch_release(&normalizer->marks);
  pith_scratch_release(&normalizer->followers);
  pith_scratch_release(&normalizer->sources);
}

static void run_step(pith_normalizer *normalizer, uint32_t step, uint32_t character,
                     pith_span span);

/* ---- Unicode forms
 * ------------------------------------------------------------------------------------ */

/* Leaves the form: finds the span as the reference does. It walks along the characters read; one
 * that replaces takes the next, one that is added takes the span of the last one taken. After
 * reordering that is not always its own. */
static void form_emit(pith_normalizer *normalizer, pith_mark mark) {
  pith_span span = normalizer->last_source;
  if (mark.change <= 0) {
    const pith_span *sources = normalizer->sources.items;
    size_t first = normalizer->source_first;
    size_t taken = 1 + (size_t)-mark.change;
    if (taken > normalizer->source_count - first)
      taken = normalizer->source_count - first;
    if (taken > 0) {
      span = sources[first];
      normalizer->last_source = sources[first + taken - 1];
      normalizer->source_first += taken;
      if (normalizer->source_first == normalizer->source_count)
        normalizer->source_first = normalizer->source_count = 0;
    }
  }
  run_step(normalizer, normalizer->form_step + 1, mark.character, span);
}

static void flush_followers(pith_normalizer *normalizer) {
  for (size_t i = 0; i < normalizer->follower_count; i++)
    form_emit(normalizer, ((const pith_mark *)normalizer->followers.items)[i]);
  normalizer->follower_count = 0;
}

static void append(pith_normalizer *normalizer, pith_scratch *scratch, size_t *count,
                   pith_mark mark) {
  if (!pith_scratch_reserve(scratch, *count, *count + 1, sizeof mark)) {
    normalizer->out_of_memory = true;
    return;
  }
  ((pith_mark *)scratch->items)[(*count)++] = mark;
}

/* A character in canonical order, to be composed with the starter before it where the form asks for
 * that. */
static void form_ordered(pith_normalizer *normalizer, pith_mark mark) {
  if (!normalizer->compose) {
    form_emit(normalizer, mark);
    return;
  }
  if (!normalizer->has_composee) {
    if (mark.combining_class != 0) {
      form_emit(normalizer, mark);
    } else {
      normalizer->composee = mark;
      normalizer->has_composee = true;
    }
    return;
  }
  if (normalizer->last_class < (int)mark.combining_class) {
    uint32_t composite = pith_char_compose(normalizer->composee.character, mark.character);
    if (composite != 0) {
      normalizer->composee.character = composite;
      normalizer->composee.change += mark.change - 1;
      return;
    }
  }
  if (mark.combining_class == 0) {
    form_emit(normalizer, normalizer->composee);
    flush_followers(normalizer);
    normalizer->composee = mark;
    normalizer->last_class = -1;
    return;
  }
  append(normalizer, &normalizer->followers, &normalizer->follower_count, mark);
  normalizer->last_class = mark.combining_class;
}

/* Canonical order: a stable sort by combining class. Merge-free: an insertion sort, but for long
 * runs, which only hostile text has, one pass for each class. */
static void flush_marks(pith_normalizer *normalizer) {
  pith_mark *marks = normalizer->marks.items;
  size_t count = normalizer->mark_count;
  if (count > PITH_NORMALIZER_MARKS) {
    bool present[256] = {false};
    for (size_t i = 0; i < count; i++)
      present[marks[i].combining_class] = true;
    for (unsigned class = 1; class < 256; class ++)
      for (size_t i = 0; present[class] && i < count; i++)
        if (marks[i].combining_class == class)
          form_ordered(normalizer, marks[i]);
  } else {
    for (size_t i = 1; i < count; i++) {
      pith_mark mark = marks[i];
      size_t j = i;
      for (; j > 0 && marks[j - 1].combining_class > mark.combining_class; j--)
        marks[j] = marks[j - 1];
      marks[j] = mark;
    }
    for (size_t i = 0; i < count; i++)
      form_ordered(normalizer, marks[i]);
  }
  normalizer->mark_count = 0;
}

static void form_push(pith_normalizer *normalizer, uint32_t character, pith_span span) {
  uint32_t parts[PITH_DECOMPOSITION_MAX];
  unsigned count = pith_char_decompose(character, normalizer->compatible, parts);
  if (normalizer->source_count == normalizer->sources.capacity && normalizer->source_first > 0) {
    pith_span *sources = normalizer->sources.items;
    normalizer->source_count -= normalizer->source_first;
    memmove(sources, sources + normalizer->source_first,
            normalizer->source_count * sizeof *sources);
    normalizer->source_first = 0;
  }
  if (!pith_scratch_reserve(&normalizer->sources, normalizer->source_count,
                            normalizer->source_count + 1, sizeof span)) {
    normalizer->out_of_memory = true;
    return;
  }
  ((pith_span *)normalizer->sources.items)[normalizer->source_count++] = span;
  for (unsigned i = 0; i < count; i++) {
    pith_mark mark = {parts[i], i > 0, pith_char_combining_class(parts[i])};
    if (mark.combining_class != 0) {
      append(normalizer, &normalizer->marks, &normalizer->mark_count, mark);
      continue;
    }
    if (normalizer->mark_count > 0)
      flush_marks(normalizer);
    form_ordered(normalizer, mark);
  }
}

/* ---- steps
 * -------------------------------------------------------------------------------------------- */

static void run_step(pith_normalizer *normalizer, uint32_t step, uint32_t character,
                     pith_span span) {
  for (; step < normalizer->step_count; step++) {
    switch ((pith_normalize_step)normalizer->steps[step]) {
    case PITH_NORMALIZE_CLEAN: {
      unsigned class = pith_char_class(character);
      if (class & PITH_CHAR_REMOVED)
        return;
      if (class & PITH_CHAR_SPACE)
        character = ' ';
      break;
    }
    case PITH_NORMALIZE_CHINESE:
      if (pith_char_is_chinese(character)) {
        run_step(normalizer, step + 1, ' ', span);
        run_step(normalizer, step + 1, character, span);
        character = ' ';
      }
      break;
    case PITH_NORMALIZE_NFD:
    case PITH_NORMALIZE_NFC:
    case PITH_NORMALIZE_NFKD:
    case PITH_NORMALIZE_NFKC:
      form_push(normalizer, character, span);
      return;
    case PITH_NORMALIZE_STRIP_NONSPACING:
      if (pith_char_class(character) & PITH_CHAR_NONSPACING)
        return;
      break;
    case PITH_NORMALIZE_STRIP_MARKS:
      if (pith_char_class(character) & PITH_CHAR_MARK)
        return;
      break;
    case PITH_NORMALIZE_LOWERCASE: {
      uint32_t lower[PITH_LOWER_MAX];
      if (pith_char_lower(character, lower) > 1) {
        run_step(normalizer, step + 1, lower[0], span);
        lower[0] = lower[1];
      }
      character = lower[0];
      break;
    }
    case PITH_NORMALIZE_NONE:
    case PITH_NORMALIZE_COUNT:
      break;
    }
  }
  normalizer->sink(normalizer->context, character, span);
}

void pith_normalizer_push(pith_normalizer *normalizer, uint32_t character, pith_span span) {
  run_step(normalizer, 0, character, span);
}

void pith_normalizer_finish(pith_normalizer *normalizer) {
  if (normalizer->mark_count > 0)
    flush_marks(normalizer);
  if (normalizer->has_composee) {
    normalizer->has_composee = false;
    form_emit(normalizer, normalizer->composee);
    flush_followers(normalizer);
  }
  normalizer->last_class = -1;
  normalizer->source_first = normalizer->source_count = 0;
  normalizer->last_source = (pith_span){0, 0};
}

bool pith_normalizer_is_local(uint32_t packed) {
  for (; packed != 0; packed >>= 4)
    if ((packed & 15) == PITH_NORMALIZE_NFC || (packed & 15) == PITH_NORMALIZE_NFKC)
      return false;
  return true;
}
