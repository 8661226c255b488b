/* Random numbers by counter: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1,
 * 2, 3", SC 2011). A number is a function of (seed, stream, place), so it may be made in any order
 * and by any thread, and uses no function of the C library whose last bits differ between systems.
 */
#ifndef PITH_BASE_RANDOM_H
#define PITH_BASE_RANDOM_H

#include <stdint.h>

/* Ten rounds on a 128-bit counter with a 64-bit key. */
void pith_random_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* A stream's number from a name: FNV-1a, 64 bits. */
uint64_t pith_random_stream(const char *name);

/* cos(2 pi turns) for 0 <= turns < 1. */
double pith_random_cosine(double turns);

/* values[i] of a stream: normal with mean 0 and `deviation` (Box-Muller in double). */
void pith_random_normal(uint64_t seed, uint64_t stream, double deviation, uint64_t count,
                        float *out_values);

#endif
