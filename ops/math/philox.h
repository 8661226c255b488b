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

/* The words of blocks first, first + 2, ... first + 14 (mod 2^32). */
V16_INLINE void philox_8(const philox_source *source, uint32_t first, w8 word[4]) {
  uint32_t key[2] = {source->key[0], source->key[1]};
  word[0] = w8_twos_from(first);
  PITH_UNROLL
  for (int i = 1; i < 4; ++i)
    word[i] = w8_set(source->counter[i - 1]);
  PITH_UNROLL
  for (int round = 0; round < 10; ++round) {
    const w8 a = w8_mul(word[0], w8_set(0xd2511f53)), b = w8_mul(word[2], w8_set(0xcd9e8d57));
    word[0] = w8_xor(w8_xor(w8_high(b), word[1]), w8_set(key[0]));
    word[1] = b;
    word[2] = w8_xor(w8_xor(w8_high(a), word[3]), w8_set(key[1]));
    word[3] = a;
    key[0] += 0x9e3779b9;
    key[1] += 0xbb67ae85;
  }
}

/* word[w], lane i: word w of block first + i, as bits. */
V16_INLINE void philox_16(const philox_source *source, uint32_t first, v16 word[4]) {
  w8 even[4], odd[4];
  philox_8(source, first, even);
  philox_8(source, first + 1, odd);
  PITH_UNROLL
  for (int i = 0; i < 4; ++i)
    word[i] = w8_weave(even[i], odd[i]);
}

#endif
