/* CPU features, from CPUID and XGETBV, as a bitset that is passed to whoever chooses a kernel: never a global. */
#ifndef PITH_OPS_CPU_H
#define PITH_OPS_CPU_H

#include <stdint.h>

typedef uint64_t pith_cpu_set; /* bits of pith_cpu_feature */

/* Bit name, text name. A feature means that the CPU has it and the system saves its registers. */
#define PITH_CPU_FEATURE_LIST(X)                                                                           \
  X(AVX2, "avx2") /* AVX2, FMA, F16C, BMI2 */                                                              \
  X(AVX512, "avx512") /* F, BW, DQ, VL, CD */                                                              \
  X(AVX512VNNI, "avx512vnni")                                                                              \
  X(AVXVNNI, "avxvnni")                                                                                    \
  X(AVX512VBMI, "avx512vbmi")                                                                              \
  X(AVX512FP16, "avx512fp16")                                                                              \
  X(AVX512BF16, "avx512bf16")
typedef enum pith_cpu_feature_bit {
#define PITH_CPU_FEATURE_ENUM(name, text) PITH_CPU_BIT_##name,
  PITH_CPU_FEATURE_LIST(PITH_CPU_FEATURE_ENUM)
#undef PITH_CPU_FEATURE_ENUM
      PITH_CPU_FEATURE_COUNT
} pith_cpu_feature_bit;
enum {
#define PITH_CPU_FEATURE_MASK(name, text) PITH_CPU_##name = 1 << PITH_CPU_BIT_##name,
  PITH_CPU_FEATURE_LIST(PITH_CPU_FEATURE_MASK)
#undef PITH_CPU_FEATURE_MASK
};

/* What this CPU has; 0 on other architectures. */
pith_cpu_set pith_cpu_detect(void);
const char *pith_cpu_feature_text(unsigned bit); /* NULL past the last */

/* The control word that every thread computes under: round to nearest, no flush to zero, exceptions masked.
 * enter returns the caller's word, leave restores it. */
uint32_t pith_cpu_enter_float(void);
void pith_cpu_leave_float(uint32_t saved);

#endif
