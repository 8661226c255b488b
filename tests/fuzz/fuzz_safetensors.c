/* Any bytes as a safetensors file: accepted or refused with a message, and what is accepted can be
 * read to the last element. */
#include <math.h>
#include <stdlib.h>

#include "compiler/import/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds) {
  if (!holds)
    abort();
}

static void check_tensor(const pith_safetensors *tensors, const pith_safetensor *tensor,
                         const uint8_t *bytes, size_t size) {
  require(pith_safetensors_find(tensors, tensor->name) == tensor);
  const uint8_t *data = tensor->data;
  require(data >= bytes && tensor->data_bytes <= (size_t)(bytes + size - data));
  require(tensor->data_bytes == tensor->count * (pith_dtype_get_info(tensor->dtype)->bits / 8));
  uint64_t count = 1;
  for (uint32_t i = 0; i < tensor->rank; i++)
    count *= (uint64_t)tensor->dims[i];
  require(count == tensor->count);
  float *values = pith_allocate(NULL, (size_t)count * sizeof *values + 1);
  require(values != NULL);
  pith_error error = {PITH_OK, ""};
  if (pith_safetensor_read_f32(tensor, values, &error) == PITH_OK)
    for (uint64_t i = 0; i < count; i++)
      require(isfinite(values[i]));
  else
    require(error.message[0] != '\0');
  pith_release(NULL, values, (size_t)count * sizeof *values + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  pith_safetensors tensors;
  pith_error error = {PITH_OK, ""};
  pith_status status = pith_safetensors_parse(bytes, size, "fuzz", NULL, &tensors, &error);
  if (status != PITH_OK) {
    require(error.status == status && error.message[0] != '\0');
    return 0;
  }
  for (size_t i = 0; i < tensors.count; i++)
    check_tensor(&tensors, &tensors.tensors[i], bytes, size);
  pith_safetensors_close(&tensors);
  return 0;
}
