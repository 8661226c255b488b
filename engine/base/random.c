#include "engine/base/random.h"

#include <math.h>
#include <string.h>

void pith_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0],
           k1 = key[1];
  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)p1;
    c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

uint64_t pith_random_stream(const char *name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (; *name != '\0'; name++)
    hash = (hash ^ (unsigned char)*name) * 0x100000001b3u;
  return hash;
}

/* The C library's log, sin and cos may differ in their last bit from system to system. These use +,
 * -, *, / only, each correctly rounded everywhere (contraction is off), and err by a few 1e-16: far
 * below the float that is kept. */

/* ln x for x in (0, 1]: x = m 2^e with m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh((m - 1) / (m +
 * 1)). */
static double natural_log(double x) {
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = (int)(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
  double m;
  memcpy(&m, &bits, sizeof m);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  double s = (m - 1.0) / (m + 1.0), z = s * s, sum = 0.0;
  for (int k = 25; k >= 1; k -= 2) /* |s| < 0.172: the next term is below 1e-21 */
    sum = sum * z + 1.0 / k;
  return 2.0 * s * sum + exponent * 0.6931471805599453;
}

/* cos and sin of 2 pi u for u in [0, 1): Taylor series after reduction to an angle of at most pi/4.
 */
static void cos_sin_turns(double u, double *out_cos, double *out_sin) {
  int eighths = (int)(u * 8.0);
  int quarter = ((eighths + 1) >> 1) & 3;
  double angle = (u - ((eighths + 1) >> 1) * 0.25) * 6.283185307179586, z = angle * angle;
  double c = 0.0, s = 0.0;
  for (int k = 18; k >= 2; k -= 2) { /* (pi/4)^20 / 20! is below 1e-20 */
    c = (1.0 + c) * -z / (k * (k - 1));
    s = (1.0 + s) * -z / (k * (k + 1));
  }
  c += 1.0;
  s = (1.0 + s) * angle;
  static const int swap[4] = {0, 1, 0, 1}, cos_sign[4] = {1, -1, -1, 1},
                   sin_sign[4] = {1, 1, -1, -1};
  *out_cos = cos_sign[quarter] * (swap[quarter] ? s : c);
  *out_sin = sin_sign[quarter] * (swap[quarter] ? c : s);
}

double pith_random_cosine(double turns) {
  double cosine, sine;
  cos_sin_turns(turns, &cosine, &sine);
  return cosine;
}

/* Four values from one Philox block: two Box-Muller pairs. */
static void normal_block(uint64_t seed, uint64_t stream, uint64_t block, double out_values[4]) {
  uint32_t counter[4] = {(uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                         (uint32_t)(stream >> 32)};
  uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, bits[4];
  pith_random_philox(counter, key, bits);
  for (int pair = 0; pair < 2; pair++) {
    double u = ((double)bits[2 * pair] + 0.5) * 0x1p-32, v = (double)bits[2 * pair + 1] * 0x1p-32;
    double radius = sqrt(-2.0 * natural_log(u)), cosine,
           sine; /* sqrt is correctly rounded (IEEE 754) */
    cos_sin_turns(v, &cosine, &sine);
    out_values[2 * pair] = radius * cosine;
    out_values[2 * pair + 1] = radius * sine;
  }
}

void pith_random_normal(uint64_t seed, uint64_t stream, double deviation, uint64_t count,
                        float *out_values) {
  double values[4];
  for (uint64_t i = 0; i < count; i++) {
    if (i % 4 == 0)
      normal_block(seed, stream, i / 4, values);
    out_values[i] = (float)(deviation * values[i % 4]);
  }
}
