/* Philox4x32-10 and dropout's masks once more, a number at a time, as the paper and ops/dropout/dropout_mask.h say. */
#ifndef PITH_TESTS_DROPOUT_REFERENCE_H
#define PITH_TESTS_DROPOUT_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ops/dropout/dropout.h"

static inline void reference_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]) {
  uint32_t c[4] = {counter[0], counter[1], counter[2], counter[3]}, k[2] = {key[0], key[1]};
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = (uint64_t)0xd2511f53 * c[0], b = (uint64_t)0xcd9e8d57 * c[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k[0], (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k[1], (uint32_t)a};
    for (int i = 0; i < 4; ++i)
      c[i] = next[i];
    k[0] += 0x9e3779b9;
    k[1] += 0xbb67ae85;
  }
  for (int i = 0; i < 4; ++i)
    out[i] = c[i];
}

/* Whether lane `lane` of row `row` of group `group` of a sample of the batch stays. */
static inline bool reference_keeps(const pith_dropout *d, size_t sample, size_t group, size_t row, size_t lane) {
  const uint32_t key[2] = {(uint32_t)d->key[0], (uint32_t)d->key[1]};
  const uint32_t counter[4] = {(uint32_t)(group * 16 + lane), (uint32_t)d->key[3] + (uint32_t)sample, (uint32_t)d->key[2],
                               d->operator_index};
  uint32_t word[4];
  reference_philox(key, counter, word);
  const uint32_t half = row % 2 ? word[row / 2] >> 16 : word[row / 2] & 0xffff;
  return (double)half >= (double)(uint32_t)((double)d->ratio * 65536 + 0.5);
}

static inline float reference_factor(const pith_dropout *d) {
  const uint32_t least = (uint32_t)((double)d->ratio * 65536 + 0.5);
  return least == 65536 ? 0.0f : 65536.0f / (float)(65536 - least);
}

#endif
