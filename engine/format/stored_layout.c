#include "engine/format/stored_layout.h"

#include "ops/gemm/gemm_f32.h"
#include "ops/gemm/gemm_u8s8.h"

static size_t get_n(const pith_dim *dims) {
  return (size_t)dims[0].constant;
}

static size_t get_k(const pith_dim *dims) {
  return (size_t)dims[1].constant;
}

/* From row-major to any other layout. */
static void pack(pith_layout to, const pith_dim *dims, const void *in, void *out) {
  switch (to) {
  case PITH_LAYOUT_N64_F32:
    pith_gemm_f32_pack(get_n(dims), get_k(dims), in, out);
    return;
  case PITH_LAYOUT_N16K4_S8:
    pith_gemm_u8s8_pack(get_n(dims), get_k(dims), in, out);
    return;
  default:
    pith_sparse_pack(pith_layout_get_sparse_form(to), get_n(dims), get_k(dims), in, out);
  }
}

/* The inverse. */
static void unpack(pith_layout from, const pith_dim *dims, const void *in, void *out) {
  switch (from) {
  case PITH_LAYOUT_N64_F32:
    pith_gemm_f32_unpack(get_n(dims), get_k(dims), in, out);
    return;
  case PITH_LAYOUT_N16K4_S8:
    pith_gemm_u8s8_unpack(get_n(dims), get_k(dims), in, out);
    return;
  default:
    pith_sparse_unpack(pith_layout_get_sparse_form(from), get_n(dims), get_k(dims), in, out);
  }
}

pith_status pith_layout_check_data(pith_layout layout, const pith_dim *dims, const void *data, uint64_t data_bytes,
                                   pith_error *error) {
  const pith_sparse_form form = pith_layout_get_sparse_form(layout);
  if (form != PITH_SPARSE_FORM_COUNT && !pith_sparse_check(form, get_n(dims), get_k(dims), data, (size_t)data_bytes))
    return pith_fail(error, PITH_FORMAT, "its %llu bytes are no weight [%zu, %zu] in layout %s: starts or inputs are wrong",
                     (unsigned long long)data_bytes, get_n(dims), get_k(dims), pith_layout_get_name(layout));
  return PITH_OK;
}

/* One conversion. */
typedef struct conversion {
  pith_dtype dtype;
  uint32_t rank;
  const pith_dim *dims;
  pith_layout from, to;
  const void *in;
  uint64_t row_major_bytes; /* 0: no element */
  const pith_allocator *allocator;
  pith_error *error;
} conversion;

/* Shape and dtype are as both layouts take them. */
static pith_status conversion_init(conversion *c) {
  PITH_TRY(pith_layout_check_shape(c->from, c->dtype, c->rank, c->dims, c->error));
  PITH_TRY(pith_layout_check_shape(c->to, c->dtype, c->rank, c->dims, c->error));
  return pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, c->dtype, c->rank, c->dims, &c->row_major_bytes, c->error);
}

/* `in` as row-major: itself or, in *out_temporary, what conversion_release gives back. */
static pith_status conversion_unpack(const conversion *c, const void **out_rows, void **out_temporary) {
  *out_temporary = NULL;
  *out_rows = c->in;
  if (c->from == PITH_LAYOUT_ROW_MAJOR)
    return PITH_OK;
  *out_temporary = pith_allocate(c->allocator, (size_t)c->row_major_bytes);
  if (*out_temporary == NULL)
    return pith_fail(c->error, PITH_OUT_OF_MEMORY, "out of memory for %llu bytes between two layouts",
                     (unsigned long long)c->row_major_bytes);
  unpack(c->from, c->dims, c->in, *out_temporary);
  *out_rows = *out_temporary;
  return PITH_OK;
}

static void conversion_release(const conversion *c, void *temporary) {
  pith_release(c->allocator, temporary, (size_t)c->row_major_bytes);
}

/* The bytes of data in a sparse form, whose starts tell. */
static uint64_t get_packed_bytes(pith_sparse_form form, const pith_dim *dims, const void *data) {
  const pith_sparse_parts parts = pith_sparse_get_parts(form, get_n(dims), data);
  return pith_sparse_packed_bytes(form, get_n(dims), parts.starts[parts.groups]);
}

static pith_status conversion_measure(const conversion *c, uint64_t *out_bytes) {
  const pith_sparse_form form = pith_layout_get_sparse_form(c->to);
  if (form == PITH_SPARSE_FORM_COUNT)
    return pith_layout_get_bytes(c->to, c->dtype, c->rank, c->dims, out_bytes, c->error);
  if (c->row_major_bytes == 0) {
    *out_bytes = pith_sparse_packed_bytes(form, get_n(c->dims), 0);
    return PITH_OK;
  }
  if (c->from == c->to) {
    *out_bytes = get_packed_bytes(form, c->dims, c->in);
    return PITH_OK;
  }
  const void *plain;
  void *temporary;
  PITH_TRY(conversion_unpack(c, &plain, &temporary));
  const size_t units = pith_sparse_count_units(form, get_n(c->dims), get_k(c->dims), plain);
  *out_bytes = pith_sparse_packed_bytes(form, get_n(c->dims), units);
  conversion_release(c, temporary);
  return PITH_OK;
}

static pith_status conversion_run(const conversion *c, void *out) {
  const void *plain;
  void *temporary;
  uint64_t bytes;
  if (c->row_major_bytes == 0 || c->from == c->to) {
    PITH_TRY(conversion_measure(c, &bytes));
    if (bytes != 0 && c->row_major_bytes == 0) /* no element: what a layout has beside them is 0 */
      memset(out, 0, (size_t)bytes);
    else if (bytes != 0)
      memcpy(out, c->in, (size_t)bytes);
    return PITH_OK;
  }
  if (c->to == PITH_LAYOUT_ROW_MAJOR) {
    unpack(c->from, c->dims, c->in, out);
    return PITH_OK;
  }
  PITH_TRY(conversion_unpack(c, &plain, &temporary));
  pack(c->to, c->dims, plain, out);
  conversion_release(c, temporary);
  return PITH_OK;
}

pith_status pith_layout_measure(pith_dtype dtype, uint32_t rank, const pith_dim *dims, pith_layout from,
                                const void *in, pith_layout to, uint64_t *out_bytes, const pith_allocator *allocator,
                                pith_error *error) {
  conversion c = {dtype, rank, dims, from, to, in, 0, allocator, error};
  PITH_TRY(conversion_init(&c));
  return conversion_measure(&c, out_bytes);
}

pith_status pith_layout_convert(pith_dtype dtype, uint32_t rank, const pith_dim *dims, pith_layout from,
                                const void *in, pith_layout to, void *out, const pith_allocator *allocator,
                                pith_error *error) {
  conversion c = {dtype, rank, dims, from, to, in, 0, allocator, error};
  PITH_TRY(conversion_init(&c));
  return conversion_run(&c, out);
}

pith_status pith_tensor_unpack(const pith_tensor *tensor, void *out, const pith_allocator *allocator,
                               pith_error *error) {
  pith_error detail;
  pith_status status = pith_layout_check_data(tensor->layout, tensor->dims, tensor->data, tensor->data_bytes, &detail);
  if (status == PITH_OK)
    status = pith_layout_convert(tensor->dtype, tensor->rank, tensor->dims, tensor->layout, tensor->data,
                                 PITH_LAYOUT_ROW_MAJOR, out, allocator, &detail);
  return status == PITH_OK ? PITH_OK : pith_fail(error, status, "tensor '%s': %s", tensor->name, detail.message);
}
