/* Which weights of attention dropout keeps; included after a v16 header. A sample's weights, [heads, queries, keys], are cut into
 * groups of 8 queries x 16 keys, numbered in that order, each row of groups of its own (heads, queries / 8, keys / 16, rounded
 * up). */
#ifndef PITH_OPS_ATTENTION_MASK_H
#define PITH_OPS_ATTENTION_MASK_H

#include "ops/dropout/dropout_mask.h"

typedef struct attention_mask {
  dropout_mask dropout;
  size_t first, groups; /* the head's first group, groups of 16 keys in a row */
} attention_mask;

V16_INLINE attention_mask attention_get_mask(const pith_dropout *d, size_t sample, size_t head, size_t queries, size_t keys) {
  const size_t groups = (keys + 15) / 16;
  return (attention_mask){.dropout = dropout_get_mask(d, sample),
                          .first = head * ((queries + DROPOUT_ROWS - 1) / DROPOUT_ROWS) * groups,
                          .groups = groups};
}

/* kept[r], lane i: whether query + r keeps key + i; query a multiple of 8, key of 16. */
V16_INLINE void attention_get_kept(const attention_mask *mask, size_t query, size_t key, m16 kept[DROPOUT_ROWS]) {
  dropout_get_group(&mask->dropout, (uint32_t)(mask->first + query / DROPOUT_ROWS * mask->groups + key / 16), kept);
}

#endif
