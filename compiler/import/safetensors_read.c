/* The elements of a safetensor as f32. */
#include "compiler/import/safetensors.h"

#include <math.h>

static float float_of_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* IEEE 754 binary16 to binary32, exact. Subnormals: the mantissa m stands for m * 2^-24, which a
 * float holds. */
static float float_of_f16(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu,
           mantissa = half & 0x3ffu;
  if (exponent == 0) {
    float magnitude = (float)mantissa * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  if (exponent == 0x1f)
    return float_of_bits(sign | 0x7f800000u | mantissa << 13);
  return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static void read_f16(const unsigned char *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, data + 2 * i, sizeof half);
    out_values[i] = float_of_f16(half);
  }
}

static void read_bf16(const unsigned char *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) {
    uint16_t half;
    memcpy(&half, data + 2 * i, sizeof half);
    out_values[i] = float_of_bits((uint32_t)half << 16);
  }
}

static void read_f64(const unsigned char *data, uint64_t count, float *out_values) {
  for (uint64_t i = 0; i < count; i++) {
    double value;
    memcpy(&value, data + 8 * i, sizeof value);
    out_values[i] = (float)value;
  }
}

pith_status pith_safetensor_read_f32(const pith_safetensor *tensor, float *out_values,
                                     pith_error *error) {
  switch (tensor->dtype) {
  case PITH_DTYPE_F64:
    read_f64(tensor->data, tensor->count, out_values);
    break;
  case PITH_DTYPE_F32:
    if (tensor->data_bytes != 0)
      memcpy(out_values, tensor->data, tensor->data_bytes);
    break;
  case PITH_DTYPE_F16:
    read_f16(tensor->data, tensor->count, out_values);
    break;
  case PITH_DTYPE_BF16:
    read_bf16(tensor->data, tensor->count, out_values);
    break;
  default:
    return pith_fail(error, PITH_UNSUPPORTED,
                     "%s: tensor '%s' has dtype %s, a weight must be a float", tensor->file,
                     tensor->name, pith_dtype_get_info(tensor->dtype)->name);
  }
  for (uint64_t i = 0; i < tensor->count; i++)
    if (!isfinite(out_values[i]))
      return pith_fail(error, PITH_FORMAT, "%s: tensor '%s': element %llu of %llu is %s",
                       tensor->file, tensor->name, (unsigned long long)i,
                       (unsigned long long)tensor->count,
                       isnan(out_values[i]) ? "NaN" : "infinite in f32");
  return PITH_OK;
}
