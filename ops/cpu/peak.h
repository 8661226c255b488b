/* The peak of one core: loops that touch registers only, to be measured in the same run as what is compared with them.
 * In a library of its own (pith_peak); libpith does not contain it. */
#ifndef PITH_OPS_CPU_PEAK_H
#define PITH_OPS_CPU_PEAK_H

#include <stddef.h>

#include "ops/cpu/cpu.h"

typedef enum pith_peak_kind {
  PITH_PEAK_FP32, /* fused multiply-adds of float */
  PITH_PEAK_INT8, /* u8 x s8 products summed to s32 */
  PITH_PEAK_KIND_COUNT
} pith_peak_kind;

typedef struct pith_peak_loop {
  const char *name;
  pith_peak_kind kind;
  pith_cpu_set needs;
  size_t operations; /* multiplications and additions of one iteration */
  void (*run)(size_t iterations);
} pith_peak_loop;

/* NULL-terminated; of a kind, the last row whose needs are met is the fastest. Empty of kinds only where the
 * architecture has no loop. */
extern const pith_peak_loop *const pith_peak_loops[];

/* NULL: none for this CPU. */
const pith_peak_loop *pith_peak_select(pith_peak_kind kind, pith_cpu_set cpu);

/* Operations per second of the calling thread: the best of `repeats` runs of about a millisecond each (an interrupt or
 * another process can only make a run slower); 0 where there is no loop. */
double pith_peak_measure(pith_peak_kind kind, pith_cpu_set cpu, size_t repeats);

#endif
