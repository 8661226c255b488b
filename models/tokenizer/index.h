/* The compiled lookup structures inside pith_tokenizer_data.index and .merges, and how they are
 * read.
 *
 * `index` (32-bit words): a header, then three tries. Reading never trusts a cell: whatever the
 * words hold, a walk stays inside its trie and takes one byte of text per step, so that the tries
 * of a file need no check before use.
 *
 *   word 0                  layout version
 *   word 1                  where WordPiece goes on inside a word: the base of the node of the
 * continuing prefix, or 0 words 2..7              {first word, cells} of the tries: tokens, added
 * tokens in raw text, in normalized text words 8..15, 16..23     for the two tries of added tokens:
 * a bit for each byte that begins one
 *
 * A trie is a double array with XOR addressing: the child of a node over byte b is cell (base ^ b),
 * and it is one exactly where that cell's label is b. No two nodes share a base, so the label is
 * check enough.
 *
 *   cell: word 0            base of its children; 0: none (block 0 holds no child)
 *         word 1            value << 8 | label; value PITH_TRIE_NONE: no key ends here
 *
 * The values of the token trie are ids; those of the other two index pith_tokenizer_data.added.
 * Byte-level BPE's tokens are stored by their bytes, not by GPT-2's printable stand-ins.
 *
 * `merges` (byte-level BPE; 32-bit words):
 *
 *   word 0                  layout version
 *   word 1                  slots of the merge table, a power of two
 *   word 2                  most slots to look at for one pair
 *   words 3..258            id of each single byte, or PITH_TRIE_NONE
 *   then token_count bits   1: merging this token's own bytes gives this token, so a word equal to
 * it needs no merging then slots x 4 words    left id, right id, rank, id of the two joined; an
 * empty slot's left is UINT32_MAX */
#ifndef PITH_MODELS_INDEX_H
#define PITH_MODELS_INDEX_H

#include <stdbool.h>

#include "models/tokenizer/tokenizer.h"

enum {
  PITH_INDEX_VERSION = 1,
  PITH_INDEX_CONTINUING = 1,
  PITH_INDEX_TRIES = 2,
  PITH_INDEX_FIRST_BYTES = 8,
  PITH_INDEX_HEADER_WORDS = 24,
  PITH_TRIE_CELL_WORDS = 2,
  PITH_TRIE_NONE = 0xFFFFFF,
  PITH_TRIE_FIRST_BASE = 256,
};
enum { PITH_TRIE_TOKENS, PITH_TRIE_ADDED_RAW, PITH_TRIE_ADDED_NORMALIZED, PITH_TRIE_COUNT };

enum {
  PITH_MERGES_VERSION = 1,
  PITH_MERGES_BYTES = 3,
  PITH_MERGES_HEADER_WORDS = PITH_MERGES_BYTES + 256,
  PITH_MERGE_SLOT_WORDS = 4,
};

typedef struct pith_trie {
  const uint32_t *cells;
  uint32_t count; /* cells */
} pith_trie;

static inline pith_trie pith_index_trie(const pith_tokenizer_data *data, unsigned which) {
  const uint32_t *section = data->index + PITH_INDEX_TRIES + 2 * which;
  return (pith_trie){data->index + section[0], section[1]};
}

static inline uint32_t pith_trie_root(const pith_trie *trie) {
  return trie->count == 0 ? 0 : trie->cells[0];
}

/* One step down; false where there is no such child. */
static inline bool pith_trie_step(const pith_trie *trie, uint32_t *base, uint8_t byte,
                                  uint32_t *out_value) {
  uint32_t cell = *base ^ byte;
  if (cell >= trie->count)
    return false;
  uint32_t word = trie->cells[cell * PITH_TRIE_CELL_WORDS + 1];
  if ((uint8_t)word != byte)
    return false;
  *base = trie->cells[cell * PITH_TRIE_CELL_WORDS];
  *out_value = word >> 8;
  return true;
}

/* The value of the longest key that `text` begins with, its length in *out_bytes; PITH_TRIE_NONE
 * and 0: there is none. */
static inline uint32_t pith_trie_longest(const pith_trie *trie, const uint8_t *text, size_t bytes,
                                         size_t *out_bytes) {
  uint32_t base = pith_trie_root(trie), value, best = PITH_TRIE_NONE;
  *out_bytes = 0;
  for (size_t i = 0; i < bytes && pith_trie_step(trie, &base, text[i], &value); i++)
    if (value != PITH_TRIE_NONE) {
      best = value;
      *out_bytes = i + 1;
    }
  return best;
}

static inline bool pith_index_first_byte(const pith_tokenizer_data *data, unsigned trie,
                                         uint8_t byte) {
  const uint32_t *bits = data->index + PITH_INDEX_FIRST_BYTES + 8 * (trie - PITH_TRIE_ADDED_RAW);
  return bits[byte >> 5] >> (byte & 31) & 1;
}

static inline uint32_t pith_merges_direct_words(const pith_tokenizer_data *data) {
  return (data->token_count + 31) / 32;
}
static inline bool pith_merges_direct(const pith_tokenizer_data *data, uint32_t id) {
  return id < data->token_count &&
         (data->merges[PITH_MERGES_HEADER_WORDS + id / 32] >> (id & 31) & 1);
}

static inline uint32_t pith_merge_hash(uint32_t left, uint32_t right) {
  uint64_t key = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15u;
  return (uint32_t)(key >> 32);
}

/* The merge of two ids: its rank and the joined id; false where they do not merge. */
static inline bool pith_merges_find(const pith_tokenizer_data *data, uint32_t left, uint32_t right,
                                    uint32_t *out_rank, uint32_t *out_id) {
  const uint32_t *table = data->merges + PITH_MERGES_HEADER_WORDS + pith_merges_direct_words(data);
  uint32_t mask = data->merges[1] - 1;
  uint32_t slot = pith_merge_hash(left, right);
  for (uint32_t probe = 0; probe < data->merges[2]; probe++, slot++) {
    const uint32_t *entry = table + (size_t)(slot & mask) * PITH_MERGE_SLOT_WORDS;
    if (entry[0] == left && entry[1] == right) {
      *out_rank = entry[2];
      *out_id = entry[3];
      return true;
    }
    if (entry[0] == UINT32_MAX)
      return false;
  }
  return false;
}

/* GPT-2's stand-in character of each byte (below 0x800), and back: -1 for a character that stands
 * for no byte. */
uint32_t pith_byte_stand_in(uint8_t byte);
int pith_stand_in_byte(uint32_t character);

#endif
