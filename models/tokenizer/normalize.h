/* The normalizer: characters in, characters out, each with the range of the original text that it
 * stands for.
 *
 * It works as a stream, so that a text of any length needs no buffer: only combining marks that
 * wait to be reordered or composed are held, in the structure itself up to PITH_NORMALIZER_MARKS of
 * them, then in memory of its own. */
#ifndef PITH_MODELS_NORMALIZE_H
#define PITH_MODELS_NORMALIZE_H

#include <stdbool.h>

#include "models/tokenizer/tokenizer.h"

typedef struct pith_span {
  uint32_t begin, end;
} pith_span;

/* Takes one normalized character. */
typedef void (*pith_normalize_sink)(void *context, uint32_t character, pith_span span);

/* A growing array that starts in storage of the one who embeds it. */
typedef struct pith_scratch {
  void *items;
  size_t capacity;  /* items */
  size_t own_bytes; /* 0: the embedded storage */
} pith_scratch;
/* Room for `count` items, the first `used` kept; false when memory is out. */
bool pith_scratch_reserve(pith_scratch *scratch, size_t used, size_t count, size_t item_bytes);
void pith_scratch_release(pith_scratch *scratch);

/* A character between decomposition and output: `change` is how it relates to the characters before
 * the step, as in the reference: 0 replaces one, 1 is added after one, -n replaces one and n more.
 */
typedef struct pith_mark {
  uint32_t character;
  int32_t change;
  uint8_t combining_class;
} pith_mark;

enum { PITH_NORMALIZER_MARKS = 64, PITH_NORMALIZER_STEPS = 8 };

typedef struct pith_normalizer {
  uint32_t steps[PITH_NORMALIZER_STEPS];
  uint32_t step_count;
  pith_normalize_sink sink;
  void *context;
  bool out_of_memory; /* what was out of room is lost; the caller fails */

  /* The one Unicode form among the steps (NFD, NFC, ...): */
  uint32_t form_step;
  bool compatible, compose;
  size_t mark_count;     /* marks waiting for the next starter, to be sorted */
  size_t follower_count; /* composing: what follows `composee` and does not combine with it */
  size_t source_first, source_count; /* spans of the characters read, first in first out */
  pith_span last_source;
  bool has_composee;
  int last_class; /* -1: nothing lies between the composee and what comes */
  pith_mark composee;
  pith_scratch marks, followers, sources;
  pith_mark mark_storage[PITH_NORMALIZER_MARKS], follower_storage[PITH_NORMALIZER_MARKS];
  pith_span source_storage[PITH_NORMALIZER_MARKS];
} pith_normalizer;

/* `packed`: pith_tokenizer_data.normalizer, verified. */
void pith_normalizer_init(pith_normalizer *normalizer, uint32_t packed, pith_normalize_sink sink,
                          void *context);
void pith_normalizer_push(pith_normalizer *normalizer, uint32_t character, pith_span span);
/* The end of the text: what waits comes out. The normalizer is as new. */
void pith_normalizer_finish(pith_normalizer *normalizer);
void pith_normalizer_deinit(pith_normalizer *normalizer);

/* Whether an ASCII character stands for itself whatever follows it, but for lower case and
 * clean_text. */
bool pith_normalizer_is_local(uint32_t packed);

#endif
