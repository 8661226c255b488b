/* What `pith verify` asks of weights, beyond what opening a file asks of its metadata. */
#include "engine/format/format.h"
#include "engine/format/stored_layout.h"

/* Packing what unpacking gave gives the same bytes: sums and padding, which products trust, are those of the weights. */
static pith_status check_form(const pith_tensor *tensor, const void *plain, pith_error *error) {
  uint64_t bytes;
  PITH_TRY(pith_layout_measure(tensor->dtype, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, plain, tensor->layout, &bytes, NULL,
                               error));
  bool is_same = bytes == tensor->data_bytes;
  if (is_same) {
    void *packed = pith_allocate(NULL, (size_t)bytes);
    if (packed == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %llu bytes", (unsigned long long)bytes);
    pith_status status = pith_layout_convert(tensor->dtype, 2, tensor->dims, PITH_LAYOUT_ROW_MAJOR, plain, tensor->layout,
                                             packed, NULL, error);
    is_same = status == PITH_OK && memcmp(packed, tensor->data, (size_t)bytes) == 0;
    pith_release(NULL, packed, (size_t)bytes);
    PITH_TRY(status);
  }
  if (!is_same)
    return pith_fail(error, PITH_FORMAT,
                     "tensor '%s' in layout %s is not as its weights are packed: sums, padding or blocks that are all 0",
                     tensor->name, pith_layout_get_name(tensor->layout));
  return PITH_OK;
}

static pith_status check_kept(const pith_tensor *tensor, const void *plain, pith_error *error) {
  char text[PITH_PATTERN_TEXT_BYTES];
  pith_error detail;
  uint64_t kept;
  pith_pattern_format(&tensor->pattern, text);
  if (pith_pattern_count_kept(&tensor->pattern, (uint64_t)tensor->dims[0].constant, (uint64_t)tensor->dims[1].constant, plain,
                              tensor->dtype == PITH_DTYPE_F32, &kept, &detail) != PITH_OK)
    return pith_fail(error, PITH_FORMAT, "tensor '%s' of pattern %s: %s", tensor->name, text, detail.message);
  if (kept != tensor->kept)
    return pith_fail(error, PITH_FORMAT, "tensor '%s' of pattern %s keeps %llu elements where its weights keep %llu",
                     tensor->name, text, (unsigned long long)tensor->kept, (unsigned long long)kept);
  return PITH_OK;
}

static pith_status check_plain(const pith_tensor *tensor, const void *plain, pith_error *error) {
  if (tensor->layout != PITH_LAYOUT_ROW_MAJOR)
    PITH_TRY(check_form(tensor, plain, error));
  return tensor->pattern.kind == PITH_PATTERN_DENSE ? PITH_OK : check_kept(tensor, plain, error);
}

static pith_status check_tensor(const pith_tensor *tensor, pith_error *error) {
  uint64_t bytes;
  if (tensor->data == NULL ||
      (tensor->layout == PITH_LAYOUT_ROW_MAJOR && tensor->pattern.kind == PITH_PATTERN_DENSE))
    return PITH_OK;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &bytes, error));
  void *plain = pith_allocate(NULL, bytes == 0 ? 1 : (size_t)bytes);
  if (plain == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory for %llu bytes", tensor->name,
                     (unsigned long long)bytes);
  pith_status status = pith_tensor_unpack(tensor, plain, NULL, error);
  if (status == PITH_OK)
    status = check_plain(tensor, plain, error);
  pith_release(NULL, plain, bytes == 0 ? 1 : (size_t)bytes);
  return status;
}

pith_status pith_format_check_weights(const pith_graph *graph, pith_error *error) {
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    PITH_TRY(check_tensor(&graph->tensors[i], error));
  return PITH_OK;
}
