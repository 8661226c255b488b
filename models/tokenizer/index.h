/* The compiled lookup structures inside pith_tokenizer_data.index and .merges, and how they are
 * read.
 *
 * `index` (32-bit words): a header, then three tables that find a key by its text. A table holds no
 * text: what it gives is a guess, and whoever asks compares the key's own text. So whatever the
 * words of a file hold, a key is found rightly or not at all, and they need no check before use.
 *
 *   word 0          layout version
 *   words 1..18     the tables, 6 words each: tokens, added tokens in raw text, in normalized text
 *     0, 1          first word of its shifts, how many shifts
 *     2             how many slots; they follow the shifts
 *     3             how many words of beginnings, a power of two; they follow the slots
 *     4             what hashing begins with
 *     5             bytes of the longest key
 *   words 19..26, 27..34   for the two tables of added tokens: a bit for each byte that begins one
 *
 *   shifts          16 bits each, two in a word, the first in its low half
 *   slot            a byte of the key's hash << 24 | value; value PITH_KEY_NONE: empty
 *   beginnings      bits, chosen by the hash of a text of 3 or of 5 bytes; 0: no key begins with it
 *
 * Hash and displace: a key's hash chooses a shift, both together choose its slot, and the shifts
 * are such that no two keys meet (key_table.c finds them). A look-up reads one shift and one slot,
 * found or not. The beginnings spare most look-ups of who wants the longest key that a text begins
 * with. 30,522 tokens take 144 KB.
 *
 * The values of the token table are ids, its keys the tokens as pith_tokenizer_text has them;
 * those of the other two index pith_tokenizer_data.added.
 *
 * `merges` (byte-level BPE; 32-bit words):
 *
 *   word 0                  layout version
 *   word 1                  slots of the merge table, a power of two
 *   word 2                  most slots to look at for one pair
 *   words 3..258            id of each single byte, or PITH_KEY_NONE
 *   then token_count bits   1: merging this token's own bytes gives this token, so a word equal to
 *                           it needs no merging
 *   then slots x 4 words    left id, right id, rank, id of the two joined; an empty slot's left is
 *                           UINT32_MAX */
#ifndef PITH_MODELS_INDEX_H
#define PITH_MODELS_INDEX_H

#include <stdbool.h>
#include <string.h>

#include "models/tokenizer/tokenizer.h"

enum {
  PITH_INDEX_VERSION = 2,
  PITH_INDEX_TABLES = 1,
  PITH_INDEX_TABLE_WORDS = 6,
  PITH_INDEX_FIRST_BYTES = 19,
  PITH_INDEX_HEADER_WORDS = 35,
  PITH_KEY_NONE = 0xFFFFFF,
};
enum { PITH_KEYS_TOKENS, PITH_KEYS_ADDED_RAW, PITH_KEYS_ADDED_NORMALIZED, PITH_KEYS_COUNT };

enum {
  PITH_MERGES_VERSION = 1,
  PITH_MERGES_BYTES = 3,
  PITH_MERGES_HEADER_WORDS = PITH_MERGES_BYTES + 256,
  PITH_MERGE_SLOT_WORDS = 4,
};

/* A token's text; its bytes in *out_bytes. `id` is below token_count. */
static inline const char *pith_tokenizer_text(const pith_tokenizer_data *data, uint32_t id,
                                              uint32_t *out_bytes) {
  uint32_t start = data->token_starts[id / PITH_TOKEN_BLOCK], at = id % PITH_TOKEN_BLOCK;
  if (start & PITH_TOKEN_BLOCK_LONG) {
    const uint32_t *starts = data->token_starts + (start & ~PITH_TOKEN_BLOCK_LONG) + at;
    *out_bytes = starts[1] - starts[0];
    return data->token_text + starts[0];
  }
  uint64_t lengths;
  memcpy(&lengths, data->token_lengths + (id - at), sizeof lengths);
  *out_bytes = (uint32_t)(lengths >> 8 * at & 0xFF);
  /* The lengths before: bytes in pairs, then four sums of 16 bits, the uppermost of all. */
  lengths &= ((uint64_t)1 << 8 * at) - 1;
  lengths = (lengths & 0x00FF00FF00FF00FFu) + (lengths >> 8 & 0x00FF00FF00FF00FFu);
  return data->token_text + start + (lengths * 0x0001000100010001u >> 48);
}

/* ---- tables of keys
 * --------------------------------------------------------------------------------------- */

typedef struct pith_key_table {
  const uint16_t *shifts;
  const uint32_t *slots, *beginnings;
  uint32_t shift_count, slot_count, beginning_words; /* at least 1 each */
  uint32_t seed, longest;                            /* longest 0: no keys */
} pith_key_table;

static inline pith_key_table pith_index_table(const pith_tokenizer_data *data, unsigned which) {
  const uint32_t *of = data->index + PITH_INDEX_TABLES + PITH_INDEX_TABLE_WORDS * which;
  const uint32_t *shifts = data->index + of[0], *slots = shifts + (of[1] + 1) / 2;
  return (pith_key_table){
      (const uint16_t *)shifts, slots, slots + of[2], of[1], of[2], of[3], of[4], of[5]};
}

/* The hash of a key, a byte at a time, so that the hashes of all beginnings of a text cost one pass
 * over it. */
static inline uint64_t pith_key_begin(const pith_key_table *table) {
  return (table->seed + 1) * 0x9E3779B97F4A7C15u;
}
static inline uint64_t pith_key_step(uint64_t hash, uint8_t byte) {
  return (hash ^ byte) * 0x9FB21C651E98DF25u;
}
static inline uint64_t pith_key_hash(uint64_t hash, const char *text, size_t bytes) {
  for (size_t i = 0; i < bytes; i++)
    hash = pith_key_step(hash, (uint8_t)text[i]);
  return hash;
}

/* Beginnings: the lengths that have bits, and the bit of a hash. */
static inline bool pith_key_is_beginning(size_t bytes) {
  return bytes == 3 || bytes == 5;
}
static inline uint32_t pith_key_beginning(uint64_t hash, uint32_t words) {
  return (uint32_t)(hash >> 32) & (32 * words - 1);
}

/* Which shift a key has, of `count`; its slot, of `count`, under a shift. */
static inline uint32_t pith_key_shift(uint64_t hash, uint32_t count) {
  return (uint32_t)((hash >> 32) * count >> 32);
}
static inline uint32_t pith_key_slot(uint64_t hash, uint16_t shift, uint32_t count) {
  uint32_t mixed = ((uint32_t)(hash ^ hash >> 32) ^ shift * 0x9E3779B1u) * 0x85EBCA6Bu;
  return (uint32_t)((uint64_t)mixed * count >> 32);
}

/* The value of the one key that may have this hash, or PITH_KEY_NONE. */
static inline uint32_t pith_key_guess(const pith_key_table *table, uint64_t hash) {
  uint16_t shift = table->shifts[pith_key_shift(hash, table->shift_count)];
  uint32_t slot = table->slots[pith_key_slot(hash, shift, table->slot_count)];
  return slot >> 24 == (uint8_t)(hash >> 24) ? slot & 0xFFFFFF : PITH_KEY_NONE;
}

/* Whether a key may begin with the `bytes` of this hash. */
static inline bool pith_key_goes_on(const pith_key_table *table, uint64_t hash, size_t bytes) {
  uint32_t bit = pith_key_beginning(hash, table->beginning_words);
  return !pith_key_is_beginning(bytes) || (table->beginnings[bit / 32] >> bit % 32 & 1);
}

/* memcmp(a, b, bytes) == 0 without a call: keys are short. */
static inline bool pith_key_same(const void *a, const void *b, size_t bytes) {
  const uint8_t *x = a, *y = b;
  uint64_t p, q;
  for (; bytes >= sizeof p; bytes -= sizeof p, x += sizeof p, y += sizeof p) {
    memcpy(&p, x, sizeof p);
    memcpy(&q, y, sizeof q);
    if (p != q)
      return false;
  }
  for (; bytes > 0; bytes--)
    if (*x++ != *y++)
      return false;
  return true;
}

/* Whether a guess is right: this is the text of token `id`. */
static inline bool pith_index_is_token(const pith_tokenizer_data *data, uint32_t id,
                                       const void *text, size_t bytes) {
  if (id >= data->token_count)
    return false;
  uint32_t token_bytes;
  const char *token = pith_tokenizer_text(data, id, &token_bytes);
  return token_bytes == bytes && pith_key_same(token, text, bytes);
}

/* The token of the vocabulary whose text this is; PITH_KEY_NONE: there is none. */
static inline uint32_t pith_index_find(const pith_tokenizer_data *data, const char *text,
                                       size_t bytes) {
  pith_key_table table = pith_index_table(data, PITH_KEYS_TOKENS);
  uint32_t id = pith_key_guess(&table, pith_key_hash(pith_key_begin(&table), text, bytes));
  return pith_index_is_token(data, id, text, bytes) ? id : PITH_KEY_NONE;
}

/* Where in text[at, end) an added token may begin; `end`: nowhere. */
static inline size_t pith_index_next_added(const pith_tokenizer_data *data, unsigned which,
                                           const uint8_t *text, size_t at, size_t end) {
  const uint32_t *bits = data->index + PITH_INDEX_FIRST_BYTES + 8 * (which - PITH_KEYS_ADDED_RAW);
  while (at < end && !(bits[text[at] / 32] >> text[at] % 32 & 1))
    at++;
  return at;
}

/* ---- merges
 * -----------------------------------------------------------------------------------------------
 */

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
