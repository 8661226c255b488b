/* Philox4x32-10: random bits as a function of a key and a counter (Salmon, Moraes, Dror, Shaw: Parallel random numbers: as
 * easy as 1, 2, 3, 2011). Included after a v16 header; the same bits on each. */
#ifndef PITH_OPS_MATH_PHILOX_H
#define PITH_OPS_MATH_PHILOX_H

#ifndef PITH_OPS_V16
#error "include v16_plain.h, v16_avx2.h or v16_avx512.h first"
#endif

typedef struct philox_source {
  uint32_t key[2];
  uint32_t counter[3]; /* the upper words of the counter; its lowest is the number of a block of 4 words */
} philox_source;

/* word[w], lane i: word w of block first + i (mod 2^32), as bits. Even and odd blocks go side by side, for a chain of ten rounds
 * is longer than what a CPU looks ahead. */
V16_INLINE void philox_16(const philox_source *source, uint32_t first, v16 word[4]) {
  uint32_t key[2] = {source->key[0], source->key[1]};
  w8 x[2][4];
  PITH_UNROLL
  for (uint32_t odd = 0; odd < 2; ++odd) {
    x[odd][0] = w8_twos_from(first + odd);
    PITH_UNROLL
    for (int i = 1; i < 4; ++i)
      x[odd][i] = w8_set(source->counter[i - 1]);
  }
  PITH_UNROLL
  for (int round = 0; round < 10; ++round) {
    PITH_UNROLL
    for (int odd = 0; odd < 2; ++odd) {
      const w8 a = w8_mul(x[odd][0], w8_set(0xd2511f53)), b = w8_mul(x[odd][2], w8_set(0xcd9e8d57));
      x[odd][0] = w8_xor(w8_xor(x[odd][1], w8_set(key[0])), w8_high(b));
      x[odd][1] = b;
      x[odd][2] = w8_xor(w8_xor(x[odd][3], w8_set(key[1])), w8_high(a));
      x[odd][3] = a;
    }
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
  PITH_UNROLL
  for (int i = 0; i < 4; ++i)
    word[i] = w8_weave(x[0][i], x[1][i]);
}

#endif
