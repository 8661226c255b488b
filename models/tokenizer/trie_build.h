/* Builds the tries of index.h. Part of libpith-compress. */
#ifndef PITH_MODELS_TRIE_BUILD_H
#define PITH_MODELS_TRIE_BUILD_H

#include "models/tokenizer/index.h"

typedef struct pith_trie_key {
  const uint8_t *text;
  uint32_t bytes; /* at least 1 */
  uint32_t value; /* below PITH_TRIE_NONE */
} pith_trie_key;

/* Orders keys by their bytes, a prefix before what it begins; equal keys stay in their order.
 * False: out of memory. */
bool pith_trie_sort(pith_trie_key *keys, size_t count);

/* The cells of a trie of sorted, distinct keys, in `arena`; none for no keys. */
PITH_WARN_UNUSED pith_status pith_trie_build(const pith_trie_key *keys, size_t count,
                                             pith_arena *arena, uint32_t **out_cells,
                                             uint32_t *out_count, pith_error *error);

#endif
