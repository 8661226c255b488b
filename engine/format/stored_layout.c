#include "engine/format/stored_layout.h"

#include "ops/gemm/gemm_f32.h"
#include "ops/gemm/gemm_u8s8.h"

/* The way of a layout from and to row-major; NULL: it is row-major. */
typedef struct layout_row {
  void (*pack)(const pith_dim *dims, const void *in, void *out);
  void (*unpack)(const pith_dim *dims, const void *in, void *out);
} layout_row;

static void pack_n64_f32(const pith_dim *dims, const void *in, void *out) {
  pith_gemm_f32_pack((size_t)dims[0].constant, (size_t)dims[1].constant, in, out);
}

static void unpack_n64_f32(const pith_dim *dims, const void *in, void *out) {
  pith_gemm_f32_unpack((size_t)dims[0].constant, (size_t)dims[1].constant, in, out);
}

static void pack_n16k4_s8(const pith_dim *dims, const void *in, void *out) {
  pith_gemm_u8s8_pack((size_t)dims[0].constant, (size_t)dims[1].constant, in, out);
}

static void unpack_n16k4_s8(const pith_dim *dims, const void *in, void *out) {
  pith_gemm_u8s8_unpack((size_t)dims[0].constant, (size_t)dims[1].constant, in, out);
}

static const layout_row rows[PITH_LAYOUT_COUNT] = {
    [PITH_LAYOUT_ROW_MAJOR] = {NULL, NULL},
    [PITH_LAYOUT_N64_F32] = {pack_n64_f32, unpack_n64_f32},
    [PITH_LAYOUT_N16K4_S8] = {pack_n16k4_s8, unpack_n16k4_s8},
};

static pith_status convert_both(const layout_row *from, const layout_row *to, uint64_t row_major_bytes,
                                const pith_dim *dims, const void *in, void *out, const pith_allocator *allocator,
                                pith_error *error) {
  void *between = pith_allocate(allocator, (size_t)row_major_bytes);
  if (between == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory for %llu bytes between two layouts",
                     (unsigned long long)row_major_bytes);
  from->unpack(dims, in, between);
  to->pack(dims, between, out);
  pith_release(allocator, between, (size_t)row_major_bytes);
  return PITH_OK;
}

pith_status pith_layout_convert(pith_dtype dtype, uint32_t rank, const pith_dim *dims, pith_layout from,
                                const void *in, pith_layout to, void *out, const pith_allocator *allocator,
                                pith_error *error) {
  uint64_t from_bytes, to_bytes, row_major_bytes;
  PITH_TRY(pith_layout_get_bytes(from, dtype, rank, dims, &from_bytes, error));
  PITH_TRY(pith_layout_get_bytes(to, dtype, rank, dims, &to_bytes, error));
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, dtype, rank, dims, &row_major_bytes, error));
  if (from_bytes == 0) { /* no element: what a layout has beside them is 0 */
    if (to_bytes != 0)
      memset(out, 0, (size_t)to_bytes);
    return PITH_OK;
  }
  if (from == to)
    memcpy(out, in, (size_t)from_bytes);
  else if (rows[from].unpack == NULL)
    rows[to].pack(dims, in, out);
  else if (rows[to].pack == NULL)
    rows[from].unpack(dims, in, out);
  else
    return convert_both(&rows[from], &rows[to], row_major_bytes, dims, in, out, allocator, error);
  return PITH_OK;
}
