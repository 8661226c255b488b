/* The bytes of data in each stored layout. */
#include "engine/ir/graph.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const layouts[] = {
#define PITH_LAYOUT_NAME(name, text) text,
    PITH_LAYOUT_LIST(PITH_LAYOUT_NAME)
#undef PITH_LAYOUT_NAME
};

const char *pith_layout_get_name(pith_layout layout) {
  return (unsigned)layout < COUNT(layouts) ? layouts[layout] : NULL;
}

pith_layout pith_layout_find(const char *name) {
  unsigned i = 0;
  while (i < COUNT(layouts) && strcmp(layouts[i], name) != 0)
    i++;
  return (pith_layout)i;
}

pith_sparse_form pith_layout_get_sparse_form(pith_layout layout) {
  switch (layout) {
  case PITH_LAYOUT_B4X1_S8:
    return PITH_SPARSE_B4X1_S8;
  case PITH_LAYOUT_B4X4_S8:
    return PITH_SPARSE_B4X4_S8;
  case PITH_LAYOUT_B4X1_F32:
    return PITH_SPARSE_B4X1_F32;
  default:
    return PITH_SPARSE_FORM_COUNT;
  }
}

pith_status pith_layout_check_shape(pith_layout layout, pith_dtype dtype, uint32_t rank, const pith_dim *dims,
                                    pith_error *error) {
  const pith_dtype_info *info = pith_dtype_get_info(dtype);
  if (info == NULL)
    return pith_fail(error, PITH_FORMAT, "dtype %d is not in the table of %d", (int)dtype,
                     PITH_DTYPE_COUNT);
  if (pith_layout_get_name(layout) == NULL)
    return pith_fail(error, PITH_FORMAT, "layout %d is not in the table of %d", (int)layout,
                     PITH_LAYOUT_COUNT);
  if (rank > PITH_MAX_RANK)
    return pith_fail(error, PITH_FORMAT, "rank %u is over %d", rank, PITH_MAX_RANK);
  for (uint32_t i = 0; i < rank; i++)
    if (!pith_dim_is_constant(&dims[i]) || dims[i].constant < 0)
      return pith_fail(error, PITH_FORMAT, "dimension %u of data is not a number of 0 or more", i);
  if (layout == PITH_LAYOUT_ROW_MAJOR)
    return PITH_OK;
  const pith_dtype wanted = layout == PITH_LAYOUT_N64_F32 || layout == PITH_LAYOUT_B4X1_F32 ? PITH_DTYPE_F32 : PITH_DTYPE_S8;
  if (rank != 2 || dtype != wanted)
    return pith_fail(error, PITH_FORMAT, "layout %s takes %s of rank 2, not %s of rank %u",
                     pith_layout_get_name(layout), pith_dtype_get_info(wanted)->name, info->name, rank);
  /* s8: the sum of so many weights fits in s32, and so does that of their products with 8-bit inputs; b4x1_s8 numbers
   * inputs in 16 bits. */
  if (layout != PITH_LAYOUT_N64_F32 && dims[1].constant > PITH_SPARSE_MAX_K)
    return pith_fail(error, PITH_FORMAT, "layout %s takes %d inputs at most, not %lld",
                     pith_layout_get_name(layout), PITH_SPARSE_MAX_K, (long long)dims[1].constant);
  return PITH_OK;
}

/* What few bytes in a sparse layout may stand for: a file that claims more would have its readers allocate that much, and
 * go through it. Real weights are far below: where 98 % are zeros, a byte stands for 50 or fewer. */
enum { MOST_UNPACKED_FOR_BYTE = 256, UNPACKED_ALWAYS = 1 << 28 };

/* count * the constant dimensions, and nothing over PITH_MAX_TENSOR_BYTES bits / 8. */
static pith_status multiply(uint64_t *product, uint64_t factor, pith_error *error) {
  uint64_t next;
  if (__builtin_mul_overflow(*product, factor, &next) || next > PITH_MAX_TENSOR_BYTES * 8)
    return pith_fail(error, PITH_FORMAT, "a tensor takes more than %llu bytes",
                     (unsigned long long)PITH_MAX_TENSOR_BYTES);
  *product = next;
  return PITH_OK;
}

pith_status pith_layout_get_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank,
                                  const pith_dim *dims, uint64_t *out_bytes, pith_error *error) {
  PITH_TRY(pith_layout_check_shape(layout, dtype, rank, dims, error));
  uint64_t bits = pith_dtype_get_info(dtype)->bits;
  switch (layout) {
  case PITH_LAYOUT_ROW_MAJOR:
    for (uint32_t i = 0; i < rank; i++)
      PITH_TRY(multiply(&bits, (uint64_t)dims[i].constant, error));
    break;
  case PITH_LAYOUT_N64_F32:
    PITH_TRY(multiply(&bits, ((uint64_t)dims[0].constant + 15) & ~UINT64_C(15), error));
    PITH_TRY(multiply(&bits, (uint64_t)dims[1].constant, error));
    break;
  case PITH_LAYOUT_N16K4_S8:
    PITH_TRY(multiply(&bits, ((uint64_t)dims[0].constant + 15) & ~UINT64_C(15), error));
    PITH_TRY(multiply(&bits, (((uint64_t)dims[1].constant + 3) & ~UINT64_C(3)) + 4, error));
    break;
  default:
    return pith_fail(error, PITH_INVALID_ARGUMENT, "bytes in layout %s depend on the data, not on the shape alone",
                     pith_layout_get_name(layout));
  }
  *out_bytes = bits / 8 + (bits % 8 != 0);
  return PITH_OK;
}

pith_status pith_layout_check_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank, const pith_dim *dims,
                                    uint64_t data_bytes, pith_error *error) {
  const pith_sparse_form form = pith_layout_get_sparse_form(layout);
  if (form == PITH_SPARSE_FORM_COUNT) {
    uint64_t bytes;
    PITH_TRY(pith_layout_get_bytes(layout, dtype, rank, dims, &bytes, error));
    if (data_bytes != bytes)
      return pith_fail(error, PITH_FORMAT, "it has %llu bytes of data, its shape in layout %s takes %llu",
                       (unsigned long long)data_bytes, pith_layout_get_name(layout), (unsigned long long)bytes);
    return PITH_OK;
  }
  PITH_TRY(pith_layout_check_shape(layout, dtype, rank, dims, error));
  /* N is at most 2^31 and K 2^16: neither sum nor product can overflow. */
  const size_t n = (size_t)dims[0].constant, k = (size_t)dims[1].constant;
  const size_t units = pith_sparse_max_units(form, n, k);
  const uint64_t least = pith_sparse_packed_bytes(form, n, 0), unit = pith_sparse_packed_bytes(form, n, 1) - least;
  if (data_bytes < least || (data_bytes - least) % unit != 0 || (data_bytes - least) / unit > units ||
      data_bytes > PITH_MAX_TENSOR_BYTES)
    return pith_fail(error, PITH_FORMAT,
                     "it has %llu bytes of data, its shape in layout %s takes %llu and 0 to %zu times %llu",
                     (unsigned long long)data_bytes, pith_layout_get_name(layout), (unsigned long long)least, units,
                     (unsigned long long)unit);
  uint64_t unpacked;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, dtype, rank, dims, &unpacked, error));
  if (unpacked > UNPACKED_ALWAYS && unpacked / MOST_UNPACKED_FOR_BYTE > data_bytes)
    return pith_fail(error, PITH_FORMAT, "its %llu bytes of data in layout %s stand for %llu: over %d, at most %d for a byte",
                     (unsigned long long)data_bytes, pith_layout_get_name(layout), (unsigned long long)unpacked,
                     UNPACKED_ALWAYS, MOST_UNPACKED_FOR_BYTE);
  return PITH_OK;
}
