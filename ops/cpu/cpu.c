#include "ops/cpu/cpu.h"

#include <stddef.h>

const char *pith_cpu_feature_text(unsigned bit) {
  static const char *const texts[] = {
#define PITH_CPU_FEATURE_TEXT(name, text) text,
      PITH_CPU_FEATURE_LIST(PITH_CPU_FEATURE_TEXT)
#undef PITH_CPU_FEATURE_TEXT
  };
  return bit < PITH_CPU_FEATURE_COUNT ? texts[bit] : NULL;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

/* Bits of the Intel 64 manual, volume 2, CPUID, and of XCR0, volume 1, section 13.3. */
enum {
  XCR0_AVX = 0x06,    /* xmm, ymm */
  XCR0_AVX512 = 0xe6, /* and opmasks, upper halves of zmm0-15, zmm16-31 */
  MXCSR_DEFAULT = 0x1f80, /* every exception masked, round to nearest, neither FTZ nor DAZ */
};

static uint32_t read_xcr0(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

static unsigned has(uint32_t word, unsigned bit) {
  return word >> bit & 1u;
}

pith_cpu_set pith_cpu_detect(void) {
  uint32_t a, b, c, d, leaf1_c, leaf7_b, leaf7_c, leaf7_d, leaf71_a = 0;
  if (!__get_cpuid(1, &a, &b, &leaf1_c, &d) || !has(leaf1_c, 27) /* OSXSAVE */)
    return 0;
  if (!__get_cpuid_count(7, 0, &a, &leaf7_b, &leaf7_c, &leaf7_d))
    return 0;
  if (a >= 1)
    __get_cpuid_count(7, 1, &leaf71_a, &b, &c, &d);
  const uint32_t xcr0 = read_xcr0();

  pith_cpu_set set = 0;
  const unsigned avx_fma_f16c = has(leaf1_c, 28) & has(leaf1_c, 12) & has(leaf1_c, 29);
  if ((xcr0 & XCR0_AVX) == XCR0_AVX && avx_fma_f16c && has(leaf7_b, 5) /* AVX2 */ && has(leaf7_b, 8) /* BMI2 */)
    set |= PITH_CPU_AVX2;
  if (!set)
    return 0; /* everything below is compiled with AVX2 too */
  if (has(leaf71_a, 4))
    set |= PITH_CPU_AVXVNNI;
  const unsigned f_dq_cd_bw_vl =
      has(leaf7_b, 16) & has(leaf7_b, 17) & has(leaf7_b, 28) & has(leaf7_b, 30) & has(leaf7_b, 31);
  if ((xcr0 & XCR0_AVX512) != XCR0_AVX512 || !f_dq_cd_bw_vl)
    return set;
  set |= PITH_CPU_AVX512;
  if (has(leaf7_c, 11))
    set |= PITH_CPU_AVX512VNNI;
  if (has(leaf7_c, 1))
    set |= PITH_CPU_AVX512VBMI;
  if (has(leaf7_d, 23))
    set |= PITH_CPU_AVX512FP16;
  if (has(leaf71_a, 5))
    set |= PITH_CPU_AVX512BF16;
  return set;
}

uint32_t pith_cpu_enter_float(void) {
  const uint32_t saved = _mm_getcsr();
  if (saved != MXCSR_DEFAULT)
    _mm_setcsr(MXCSR_DEFAULT);
  return saved;
}

void pith_cpu_leave_float(uint32_t saved) {
  _mm_setcsr(saved);
}

#else

pith_cpu_set pith_cpu_detect(void) {
  return 0;
}

uint32_t pith_cpu_enter_float(void) {
  return 0;
}

void pith_cpu_leave_float(uint32_t saved) {
  (void)saved;
}

#endif
