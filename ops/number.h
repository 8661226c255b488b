/* The types of elements that kernels read and write. */
#ifndef PITH_OPS_NUMBER_H
#define PITH_OPS_NUMBER_H

typedef enum pith_number {
  PITH_NUMBER_F64,
  PITH_NUMBER_F32,
  PITH_NUMBER_F16,
  PITH_NUMBER_BF16,
  PITH_NUMBER_S64,
  PITH_NUMBER_S32,
  PITH_NUMBER_S8,
  PITH_NUMBER_U8,
  PITH_NUMBER_BOOL,
  PITH_NUMBER_COUNT
} pith_number;

#endif
