#include "ops/gemm/gemm_u8s8.h"

#include <string.h>

#include "ops/gemm/gemm_u8s8_internal.h"

const pith_kernel *const pith_gemm_u8s8_kernels[] = {
    &pith_gemm_u8s8_reference,
#if defined(__x86_64__)
    &pith_gemm_u8s8_6x16_avx2,
    &pith_gemm_u8s8_6x64_avx512,
    &pith_gemm_u8s8_6x16_avxvnni,
    &pith_gemm_u8s8_6x64_avx512vnni,
#endif
    NULL,
};

size_t pith_gemm_u8s8_packed_bytes(size_t n, size_t k) {
  return (n + PITH_GEMM_U8S8_BLOCK - 1) / PITH_GEMM_U8S8_BLOCK * pith_gemm_u8s8_block_bytes(k);
}

/* Input k of output j of a block. */
static size_t place(size_t j, size_t k) {
  return k / PITH_GEMM_U8S8_GROUP * PITH_GEMM_U8S8_GROUP_BYTES + j * PITH_GEMM_U8S8_GROUP + k % PITH_GEMM_U8S8_GROUP;
}

void pith_gemm_u8s8_pack(size_t n, size_t k, const int8_t *w, void *out_packed) {
  const size_t groups = pith_gemm_u8s8_groups(k);
  int8_t *block = out_packed;
  for (size_t n0 = 0; n0 < n; n0 += PITH_GEMM_U8S8_BLOCK, block += pith_gemm_u8s8_block_bytes(k)) {
    int32_t sums[PITH_GEMM_U8S8_BLOCK] = {0};
    for (size_t j = 0; j < PITH_GEMM_U8S8_BLOCK; ++j)
      for (size_t i = 0; i < groups * PITH_GEMM_U8S8_GROUP; ++i) {
        const int8_t value = n0 + j < n && i < k ? w[(n0 + j) * k + i] : 0;
        block[place(j, i)] = value;
        sums[j] += value;
      }
    memcpy(block + groups * PITH_GEMM_U8S8_GROUP_BYTES, sums, sizeof sums);
  }
}

void pith_gemm_u8s8_unpack(size_t n, size_t k, const void *packed, int8_t *out_w) {
  const int8_t *block = packed;
  for (size_t n0 = 0; n0 < n; n0 += PITH_GEMM_U8S8_BLOCK, block += pith_gemm_u8s8_block_bytes(k))
    for (size_t j = 0; j < PITH_GEMM_U8S8_BLOCK && n0 + j < n; ++j)
      for (size_t i = 0; i < k; ++i)
        out_w[(n0 + j) * k + i] = block[place(j, i)];
}
