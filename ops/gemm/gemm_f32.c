#include "ops/gemm/gemm_f32.h"

#include "ops/gemm/gemm_f32_blocked.h"
#include "ops/gemm/gemm_f32_internal.h"

const pith_kernel *const pith_gemm_f32_kernels[] = {
    &pith_gemm_f32_reference,
#if defined(__x86_64__)
    &pith_gemm_f32_6x16_avx2,
    &pith_gemm_f32_6x64_avx512,
#endif
    NULL,
};

size_t pith_gemm_f32_packed_count(size_t n, size_t k) {
  return (n + PITH_GEMM_NARROW - 1) / PITH_GEMM_NARROW * PITH_GEMM_NARROW * k;
}

void pith_gemm_f32_pack(size_t n, size_t k, const float *w, float *out_packed) {
  for (size_t n0 = 0; n0 < n; n0 += PITH_GEMM_BLOCK) {
    const size_t width = pith_gemm_f32_block_width(n, n0);
    float *block = out_packed + n0 * k;
    for (size_t i = 0; i < k; ++i)
      for (size_t j = 0; j < width; ++j)
        block[i * width + j] = n0 + j < n ? w[(n0 + j) * k + i] : 0.0f;
  }
}

void pith_gemm_f32_unpack(size_t n, size_t k, const float *packed, float *out_w) {
  for (size_t n0 = 0; n0 < n; n0 += PITH_GEMM_BLOCK) {
    const size_t width = pith_gemm_f32_block_width(n, n0);
    const float *block = packed + n0 * k;
    for (size_t j = 0; j < width && n0 + j < n; ++j)
      for (size_t i = 0; i < k; ++i)
        out_w[(n0 + j) * k + i] = block[i * width + j];
  }
}
