#include "ops/cpu/peak.h"

#include <time.h>

#if defined(__x86_64__)
extern const pith_peak_loop pith_peak_f32_avx2, pith_peak_f32_avx512;
extern const pith_peak_loop pith_peak_u8s8_avx2, pith_peak_u8s8_avx512, pith_peak_u8s8_avxvnni, pith_peak_u8s8_avx512vnni;
#endif

const pith_peak_loop *const pith_peak_loops[] = {
#if defined(__x86_64__)
    &pith_peak_f32_avx2,    &pith_peak_f32_avx512,   &pith_peak_u8s8_avx2,
    &pith_peak_u8s8_avx512, &pith_peak_u8s8_avxvnni, &pith_peak_u8s8_avx512vnni,
#endif
    NULL,
};

const pith_peak_loop *pith_peak_select(pith_peak_kind kind, pith_cpu_set cpu) {
  const pith_peak_loop *best = NULL;
  for (const pith_peak_loop *const *loop = pith_peak_loops; *loop; ++loop)
    if ((*loop)->kind == kind && ((*loop)->needs & ~cpu) == 0)
      best = *loop;
  return best;
}

static double seconds_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now); /* what other processes take does not count */
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double time_run(const pith_peak_loop *loop, size_t iterations) {
  const double begin = seconds_now();
  loop->run(iterations);
  return seconds_now() - begin;
}

double pith_peak_measure(pith_peak_kind kind, pith_cpu_set cpu, size_t repeats) {
  const pith_peak_loop *loop = pith_peak_select(kind, cpu);
  if (!loop)
    return 0.0;
  size_t iterations = 1000;
  while (time_run(loop, iterations) < 1e-3)
    iterations *= 2;
  double best = 0.0;
  for (size_t i = 0; i < repeats || i == 0; ++i) {
    const double rate = (double)iterations * (double)loop->operations / time_run(loop, iterations);
    best = rate > best ? rate : best;
  }
  return best;
}
