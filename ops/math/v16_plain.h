/* v16 in plain C: the meaning of each operation.
 *
 * v16 is 16 lanes of float, m16 a choice of lanes. The same names exist in v16_avx2.h and v16_avx512.h and give the same
 * bits, so that one kernel body, included after one of the three, gives the same bits on every instruction set.
 * (The payload and sign of a NaN are the exception: NaN stays NaN, which one is not promised.)
 *
 * Fusing is written out (v16_fma); these files are compiled with -ffp-contract=off. fmaf is the C library's, which rounds
 * once on every CPU. */
#ifndef PITH_OPS_V16
#define PITH_OPS_V16

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* For descriptors and functions of a body: x_plain, and what that instruction set needs. */
#define V16_NAME(base) base##_plain
#define V16_ISA_TEXT "plain"
#define V16_NEEDS 0
/* How a register tile is cut: rows x vectors of accumulators that fit the registers. */
#define V16_TILE_VECTORS 1
#define V16_TILE_ACCUMULATORS 2

/* Each operation is 16 calls of fmaf or 16 loops' turns: inlining and unrolling would only swell the code, most of all with
 * sanitizers. */
#define V16_INLINE static __attribute__((noinline, unused))
#define PITH_UNROLL

typedef struct v16 {
  float lane[16];
} v16;
typedef struct m16 {
  uint32_t lane[16]; /* 1: chosen */
} m16;

#define V16_EACH(expression)                                                                               \
  v16 out;                                                                                                 \
  for (int i = 0; i < 16; ++i)                                                                             \
    out.lane[i] = (expression);                                                                            \
  return out

V16_INLINE v16 v16_set(float x) {
  V16_EACH(x);
}
V16_INLINE v16 v16_load(const float *p) {
  v16 out;
  memcpy(out.lane, p, sizeof out.lane);
  return out;
}
V16_INLINE void v16_store(float *p, v16 a) {
  memcpy(p, a.lane, sizeof a.lane);
}

/* The first n lanes, n 0 to 16. */
V16_INLINE m16 m16_first(size_t n) {
  m16 out;
  for (size_t i = 0; i < 16; ++i)
    out.lane[i] = i < n;
  return out;
}
/* Lanes that are not chosen are 0 and their memory is not touched. */
V16_INLINE v16 v16_load_masked(m16 m, const float *p) {
  V16_EACH(m.lane[i] ? p[i] : 0.0f);
}
V16_INLINE void v16_store_masked(m16 m, float *p, v16 a) {
  for (int i = 0; i < 16; ++i)
    if (m.lane[i])
      p[i] = a.lane[i];
}

V16_INLINE v16 v16_add(v16 a, v16 b) {
  V16_EACH(a.lane[i] + b.lane[i]);
}
V16_INLINE v16 v16_sub(v16 a, v16 b) {
  V16_EACH(a.lane[i] - b.lane[i]);
}
V16_INLINE v16 v16_mul(v16 a, v16 b) {
  V16_EACH(a.lane[i] * b.lane[i]);
}
V16_INLINE v16 v16_div(v16 a, v16 b) {
  V16_EACH(a.lane[i] / b.lane[i]);
}
V16_INLINE v16 v16_sqrt(v16 a) {
  V16_EACH(sqrtf(a.lane[i]));
}
/* a * b + c, rounded once. */
V16_INLINE v16 v16_fma(v16 a, v16 b, v16 c) {
  V16_EACH(fmaf(a.lane[i], b.lane[i], c.lane[i]));
}
/* The second operand where either is NaN or both are 0, as the instructions do. */
V16_INLINE v16 v16_max(v16 a, v16 b) {
  V16_EACH(a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]);
}
V16_INLINE v16 v16_min(v16 a, v16 b) {
  V16_EACH(a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]);
}
V16_INLINE v16 v16_abs(v16 a) {
  V16_EACH(fabsf(a.lane[i]));
}
/* |a| with the sign of s. */
V16_INLINE v16 v16_copysign(v16 a, v16 s) {
  V16_EACH(copysignf(a.lane[i], s.lane[i]));
}
V16_INLINE m16 v16_less(v16 a, v16 b) {
  m16 out;
  for (int i = 0; i < 16; ++i)
    out.lane[i] = a.lane[i] < b.lane[i];
  return out;
}
V16_INLINE m16 v16_is_nan(v16 a) {
  m16 out;
  for (int i = 0; i < 16; ++i)
    out.lane[i] = a.lane[i] != a.lane[i];
  return out;
}
/* Lanes of a where chosen, else of b. */
V16_INLINE v16 v16_select(m16 m, v16 a, v16 b) {
  V16_EACH(m.lane[i] ? a.lane[i] : b.lane[i]);
}
/* Lane i: the entry of table that the lowest 4 bits of index[i] name. */
V16_INLINE v16 v16_look_up(const float table[16], v16 index) {
  uint32_t bits[16];
  memcpy(bits, index.lane, sizeof bits);
  V16_EACH(table[bits[i] & 15]);
}
V16_INLINE v16 v16_floor(v16 a) {
  V16_EACH(floorf(a.lane[i]));
}
/* p * 2^n rounded once; n integral, -250 to 250, |p| 1/2 to 2 or 0. */
V16_INLINE v16 v16_scale(v16 p, v16 n) {
  v16 out;
  for (int i = 0; i < 16; ++i) {
    const float x = n.lane[i];
    const int k = x == x ? (int)x : 0; /* NaN: p is NaN too */
    const int half = (k - (k & 1)) / 2;
    const uint32_t bits[2] = {(uint32_t)(half + 127) << 23, (uint32_t)(k - half + 127) << 23};
    float power[2];
    memcpy(power, bits, sizeof power);
    out.lane[i] = p.lane[i] * power[0] * power[1]; /* the first product is exact */
  }
  return out;
}

/* The tree 8-4-2-1 over the lanes. */
V16_INLINE float v16_sum(v16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      a.lane[i] = a.lane[i] + a.lane[i + half];
  return a.lane[0];
}
/* rows[i] lane j <-> rows[j] lane i. */
V16_INLINE void v16_transpose(v16 rows[16]) {
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < i; ++j) {
      const float x = rows[i].lane[j];
      rows[i].lane[j] = rows[j].lane[i];
      rows[j].lane[i] = x;
    }
}

/* ---- 8 bits ---------------------------------------------------------------------------------------------------- */

/* p * 2^n by adding to the exponent; n_rounded = n + 1.5 * 2^23; any normal p whose result is neither denormal nor infinite. */
V16_INLINE v16 v16_raise(v16 p, v16 n_rounded) {
  uint32_t bits[16], n[16];
  memcpy(bits, p.lane, sizeof bits);
  memcpy(n, n_rounded.lane, sizeof n);
  for (int i = 0; i < 16; ++i)
    bits[i] += n[i] << 23;
  memcpy(p.lane, bits, sizeof bits);
  return p;
}
/* 16 bytes as floats; _first: n of them, n 0 to 16, the other lanes 0 and their memory not touched. */
V16_INLINE v16 v16_load_u8_first(size_t n, const uint8_t *p) {
  V16_EACH((size_t)i < n ? (float)p[i] : 0.0f);
}
V16_INLINE v16 v16_load_s8_first(size_t n, const int8_t *p) {
  V16_EACH((size_t)i < n ? (float)p[i] : 0.0f);
}
V16_INLINE v16 v16_load_u8(const uint8_t *p) {
  return v16_load_u8_first(16, p);
}
V16_INLINE v16 v16_load_s8(const int8_t *p) {
  return v16_load_s8_first(16, p);
}
/* rint(a) + zero, saturated at its lower end. Callers see to the upper one: a + zero is at most 255 or 127, and not NaN. */
V16_INLINE void v16_store_u8_first(size_t n, uint8_t *p, v16 a, int zero) {
  for (size_t i = 0; i < n; ++i) {
    const int q = (int)rintf(a.lane[i] > -512.0f ? a.lane[i] : -512.0f) + zero;
    p[i] = (uint8_t)(q > 0 ? q : 0);
  }
}
V16_INLINE void v16_store_s8_first(size_t n, int8_t *p, v16 a, int zero) {
  for (size_t i = 0; i < n; ++i) {
    const int q = (int)rintf(a.lane[i] > -512.0f ? a.lane[i] : -512.0f) + zero;
    p[i] = (int8_t)(q > -128 ? q : -128);
  }
}
V16_INLINE void v16_store_u8(uint8_t *p, v16 a, int zero) {
  v16_store_u8_first(16, p, a, zero);
}
V16_INLINE void v16_store_s8(int8_t *p, v16 a, int zero) {
  v16_store_s8_first(16, p, a, zero);
}
/* The largest lane; no lane is NaN. */
V16_INLINE float v16_largest(v16 a) {
  float largest = a.lane[0];
  for (int i = 1; i < 16; ++i)
    largest = a.lane[i] > largest ? a.lane[i] : largest;
  return largest;
}

/* ---- 16 sums in double ------------------------------------------------------------------------------------------------- */

typedef struct d16 {
  double lane[16];
} d16;

V16_INLINE d16 d16_zero(void) {
  return (d16){{0}};
}
/* sum + a^2; the square of a float is exact, so fused or not is the same. */
V16_INLINE d16 d16_add_square(d16 sum, v16 a) {
  for (int i = 0; i < 16; ++i)
    sum.lane[i] += (double)a.lane[i] * (double)a.lane[i];
  return sum;
}
/* The tree 8-4-2-1 over the lanes. */
V16_INLINE double d16_sum(d16 a) {
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i)
      a.lane[i] = a.lane[i] + a.lane[i + half];
  return a.lane[0];
}
#undef V16_EACH

/* ---- whole numbers, for random bits (philox.h): 8 lanes of 64 bits ---------------------------------------------- */

typedef struct w8 {
  uint64_t lane[8];
} w8;
/* Only the lower 32 bits of a lane count, but for w8_high. */
V16_INLINE w8 w8_set(uint32_t x) {
  w8 out;
  for (int i = 0; i < 8; ++i)
    out.lane[i] = x;
  return out;
}
/* Lane i: first + 2 i. */
V16_INLINE w8 w8_twos_from(uint32_t first) {
  w8 out;
  for (uint32_t i = 0; i < 8; ++i)
    out.lane[i] = first + 2 * i;
  return out;
}
/* The whole product, of 64 bits. */
V16_INLINE w8 w8_mul(w8 a, w8 b) {
  for (int i = 0; i < 8; ++i)
    a.lane[i] = (a.lane[i] & UINT32_MAX) * (b.lane[i] & UINT32_MAX);
  return a;
}
/* The upper 32 bits as the lower ones. */
V16_INLINE w8 w8_high(w8 a) {
  for (int i = 0; i < 8; ++i)
    a.lane[i] >>= 32;
  return a;
}
V16_INLINE w8 w8_xor(w8 a, w8 b) {
  for (int i = 0; i < 8; ++i)
    a.lane[i] ^= b.lane[i];
  return a;
}
/* Bits, not numbers: lane 2 i is lane i of even, lane 2 i + 1 that of odd. */
V16_INLINE v16 w8_weave(w8 even, w8 odd) {
  uint32_t bits[16];
  v16 out;
  for (int i = 0; i < 8; ++i) {
    bits[2 * i] = (uint32_t)even.lane[i];
    bits[2 * i + 1] = (uint32_t)odd.lane[i];
  }
  memcpy(out.lane, bits, sizeof bits);
  return out;
}
/* Lanes whose lower or upper 16 bits, a whole number, are at least `least`, 0 to 65536. */
V16_INLINE m16 m16_lower_from(v16 bits, uint32_t least) {
  m16 out;
  memcpy(out.lane, bits.lane, sizeof out.lane);
  for (int i = 0; i < 16; ++i)
    out.lane[i] = (out.lane[i] & 0xffff) >= least;
  return out;
}
V16_INLINE m16 m16_upper_from(v16 bits, uint32_t least) {
  m16 out;
  memcpy(out.lane, bits.lane, sizeof out.lane);
  for (int i = 0; i < 16; ++i)
    out.lane[i] = out.lane[i] >> 16 >= least;
  return out;
}

#endif
