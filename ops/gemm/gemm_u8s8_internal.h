/* The rows of the table in gemm_u8s8.c, and where weights lie. */
#ifndef PITH_OPS_GEMM_U8S8_INTERNAL_H
#define PITH_OPS_GEMM_U8S8_INTERNAL_H

#include "ops/gemm/gemm_u8s8.h"

extern const pith_kernel pith_gemm_u8s8_reference;
extern const pith_kernel pith_gemm_u8s8_6x16_avx2, pith_gemm_u8s8_6x16_avxvnni;
extern const pith_kernel pith_gemm_u8s8_6x64_avx512, pith_gemm_u8s8_6x64_avx512vnni;

enum {
  PITH_GEMM_U8S8_GROUP = 4,                                                     /* inputs of a group */
  PITH_GEMM_U8S8_GROUP_BYTES = PITH_GEMM_U8S8_BLOCK * PITH_GEMM_U8S8_GROUP, /* of a block: a line of a cache */
};

static inline size_t pith_gemm_u8s8_groups(size_t k) {
  return (k + PITH_GEMM_U8S8_GROUP - 1) / PITH_GEMM_U8S8_GROUP;
}

/* The groups and the sums behind them. */
static inline size_t pith_gemm_u8s8_block_bytes(size_t k) {
  return (pith_gemm_u8s8_groups(k) + 1) * PITH_GEMM_U8S8_GROUP_BYTES;
}

#endif
