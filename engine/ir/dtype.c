#include "engine/ir/graph.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const pith_dtype_info dtypes[] = {
#define PITH_DTYPE_ROW(name, text, bits, is_float, is_signed) {text, bits, is_float, is_signed},
    PITH_DTYPE_LIST(PITH_DTYPE_ROW)
#undef PITH_DTYPE_ROW
};
static const char *const kinds[] = {
#define PITH_TENSOR_KIND_NAME(name, text) text,
    PITH_TENSOR_KIND_LIST(PITH_TENSOR_KIND_NAME)
#undef PITH_TENSOR_KIND_NAME
};
static const char *const layouts[] = {
#define PITH_LAYOUT_NAME(name, text) text,
    PITH_LAYOUT_LIST(PITH_LAYOUT_NAME)
#undef PITH_LAYOUT_NAME
};

const pith_dtype_info *pith_dtype_get_info(pith_dtype dtype) {
  return (unsigned)dtype < COUNT(dtypes) ? &dtypes[dtype] : NULL;
}

pith_dtype pith_dtype_find(const char *name) {
  unsigned i = 0;
  while (i < COUNT(dtypes) && strcmp(dtypes[i].name, name) != 0)
    i++;
  return (pith_dtype)i;
}

const char *pith_tensor_kind_get_name(pith_tensor_kind kind) {
  return (unsigned)kind < COUNT(kinds) ? kinds[kind] : NULL;
}

const char *pith_layout_get_name(pith_layout layout) {
  return (unsigned)layout < COUNT(layouts) ? layouts[layout] : NULL;
}

pith_layout pith_layout_find(const char *name) {
  unsigned i = 0;
  while (i < COUNT(layouts) && strcmp(layouts[i], name) != 0)
    i++;
  return (pith_layout)i;
}

/* count * the constant dimensions, and nothing over PITH_MAX_TENSOR_BYTES bits / 8. */
static pith_status multiply(uint64_t *product, uint64_t factor, pith_error *error) {
  uint64_t next;
  if (__builtin_mul_overflow(*product, factor, &next) || next > PITH_MAX_TENSOR_BYTES * 8)
    return pith_fail(error, PITH_FORMAT, "a tensor takes more than %llu bytes",
                     (unsigned long long)PITH_MAX_TENSOR_BYTES);
  *product = next;
  return PITH_OK;
}

/* A sum of 65536 weights fits in s32, and so does that of their products with 8-bit inputs. */
enum { N16K4_MAX_K = 65536 };

pith_status pith_layout_get_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank,
                                  const pith_dim *dims, uint64_t *out_bytes, pith_error *error) {
  const pith_dtype_info *info = pith_dtype_get_info(dtype);
  if (info == NULL)
    return pith_fail(error, PITH_FORMAT, "dtype %d is not in the table of %d", (int)dtype,
                     PITH_DTYPE_COUNT);
  if (rank > PITH_MAX_RANK)
    return pith_fail(error, PITH_FORMAT, "rank %u is over %d", rank, PITH_MAX_RANK);
  for (uint32_t i = 0; i < rank; i++)
    if (!pith_dim_is_constant(&dims[i]) || dims[i].constant < 0)
      return pith_fail(error, PITH_FORMAT, "dimension %u of data is not a number of 0 or more", i);
  uint64_t bits = info->bits;
  switch (layout) {
  case PITH_LAYOUT_ROW_MAJOR:
    for (uint32_t i = 0; i < rank; i++)
      PITH_TRY(multiply(&bits, (uint64_t)dims[i].constant, error));
    break;
  case PITH_LAYOUT_N64_F32:
    if (rank != 2 || dtype != PITH_DTYPE_F32)
      return pith_fail(error, PITH_FORMAT, "layout n64_f32 takes f32 of rank 2, not %s of rank %u",
                       info->name, rank);
    PITH_TRY(multiply(&bits, ((uint64_t)dims[0].constant + 15) & ~UINT64_C(15), error));
    PITH_TRY(multiply(&bits, (uint64_t)dims[1].constant, error));
    break;
  case PITH_LAYOUT_N16K4_S8:
    if (rank != 2 || dtype != PITH_DTYPE_S8)
      return pith_fail(error, PITH_FORMAT, "layout n16k4_s8 takes s8 of rank 2, not %s of rank %u",
                       info->name, rank);
    if (dims[1].constant > N16K4_MAX_K)
      return pith_fail(error, PITH_FORMAT, "layout n16k4_s8 takes %d inputs at most, not %lld",
                       N16K4_MAX_K, (long long)dims[1].constant);
    PITH_TRY(multiply(&bits, ((uint64_t)dims[0].constant + 15) & ~UINT64_C(15), error));
    PITH_TRY(multiply(&bits, (((uint64_t)dims[1].constant + 3) & ~UINT64_C(3)) + 4, error));
    break;
  default:
    return pith_fail(error, PITH_FORMAT, "layout %d is not in the table of %d", (int)layout,
                     PITH_LAYOUT_COUNT);
  }
  *out_bytes = bits / 8 + (bits % 8 != 0);
  return PITH_OK;
}
