/* Builds the tables of index.h. Part of libpith-compress. */
#ifndef PITH_MODELS_KEY_TABLE_H
#define PITH_MODELS_KEY_TABLE_H

#include "models/tokenizer/index.h"

typedef struct pith_key {
  const char *text;
  uint32_t bytes; /* at least 1 */
  uint32_t value; /* below PITH_KEY_NONE */
} pith_key;

/* Orders keys by their bytes, a prefix before what it begins; equal keys stay in their order.
 * False: out of memory. */
bool pith_keys_sort(pith_key *keys, size_t count);

/* A table of distinct keys, which may be none, in `arena`. */
PITH_WARN_UNUSED pith_status pith_key_table_build(const pith_key *keys, size_t count,
                                                  pith_arena *arena, pith_key_table *out_table,
                                                  pith_error *error);

#endif
