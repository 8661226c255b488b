/* Which elements dropout keeps (dropout.h), in groups of 8 x 16; included after a v16 header. Group g is made of blocks
 * 16 g to 16 g + 15 of the sample's Philox source: row 2 w + 1 of the group, lane i, is the upper half of word w of block
 * 16 g + i, row 2 w its lower half. 16 bits each: half the time of 32, and a ratio is met within 2^-17. */
#ifndef PITH_OPS_DROPOUT_MASK_H
#define PITH_OPS_DROPOUT_MASK_H

#include "ops/dropout/dropout.h"
#include "ops/math/philox.h"

enum { DROPOUT_ROWS = 8, DROPOUT_GROUP = 16 * DROPOUT_ROWS };

typedef struct dropout_mask {
  philox_source source;
  uint32_t least; /* what an element's 16 bits must be to stay: the ratio in units of 2^-16 */
  float factor;   /* of what stays */
} dropout_mask;

/* ratio > 0; sample: in the batch. */
V16_INLINE dropout_mask dropout_get_mask(const pith_dropout *d, size_t sample) {
  const uint32_t least = (uint32_t)(d->ratio * 65536.0f + 0.5f);
  return (dropout_mask){.source = {.key = {(uint32_t)d->key[0], (uint32_t)d->key[1]},
                                   .counter = {(uint32_t)d->key[3] + (uint32_t)sample, (uint32_t)d->key[2],
                                               d->operator_index}},
                        .least = least,
                        .factor = least < 65536 ? 65536.0f / (float)(65536 - least) : 0.0f};
}

V16_INLINE void dropout_get_group(const dropout_mask *mask, uint32_t group, m16 kept[DROPOUT_ROWS]) {
  v16 word[4];
  philox_16(&mask->source, group * 16, word);
  PITH_UNROLL
  for (int i = 0; i < 4; ++i) {
    kept[2 * i] = m16_lower_from(word[i], mask->least);
    kept[2 * i + 1] = m16_upper_from(word[i], mask->least);
  }
}

#endif
