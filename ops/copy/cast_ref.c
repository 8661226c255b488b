#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "ops/copy/copy.h"

static const size_t number_bytes[PITH_NUMBER_COUNT] = {
    [PITH_NUMBER_F64] = 8, [PITH_NUMBER_F32] = 4, [PITH_NUMBER_F16] = 2, [PITH_NUMBER_BF16] = 2,
    [PITH_NUMBER_S64] = 8, [PITH_NUMBER_S32] = 4, [PITH_NUMBER_S8] = 1,  [PITH_NUMBER_U8] = 1,
    [PITH_NUMBER_BOOL] = 1,
};

enum { ELEMENTS_PER_TASK = 16 << 10 };

/* A value between load and store: integers keep all 64 bits. */
typedef struct number {
  bool is_float;
  double f;
  int64_t i;
} number;

static double from_f16(uint16_t bits) {
  int exponent = (bits >> 10) & 31;
  double mantissa = bits & 1023, value;
  if (exponent == 31)
    value = mantissa == 0 ? (double)INFINITY : (double)NAN;
  else if (exponent == 0)
    value = ldexp(mantissa, -24);
  else
    value = ldexp(mantissa + 1024, exponent - 25);
  return bits >> 15 ? -value : value;
}

/* Nearest even, straight from double: rounding twice would be wrong. `mantissa` bits, largest exponent `bias`. */
static uint16_t to_narrow(double value, int mantissa, int bias) {
  uint16_t sign = signbit(value) ? 0x8000 : 0;
  uint16_t infinity = (uint16_t)((2 * bias + 1) << mantissa);
  if (isnan(value))
    return (uint16_t)(sign | infinity | (1 << (mantissa - 1)));
  double magnitude = fabs(value);
  if (magnitude == 0)
    return sign;
  int exponent = isinf(magnitude) ? bias + 1 : ilogb(magnitude);
  if (exponent > bias)
    return (uint16_t)(sign | infinity);
  if (exponent < 1 - bias)
    exponent = 1 - bias;
  /* Units in the last place; the rounding mode is nearest even wherever kernels run. A carry moves on into the
   * exponent, and from the largest one to infinity, as it should. */
  double units = nearbyint(ldexp(magnitude, mantissa - exponent));
  unsigned bits = (unsigned)units + ((unsigned)(exponent + bias - 1) << mantissa);
  return (uint16_t)(sign | bits);
}

static number load(const char *x, pith_number type) {
  union {
    double f64;
    float f32;
    uint16_t u16;
    int64_t s64;
    int32_t s32;
    int8_t s8;
    uint8_t u8;
    uint32_t u32;
  } raw = {.s64 = 0};
  memcpy(&raw, x, number_bytes[type]);
  switch (type) {
  case PITH_NUMBER_F64:
    return (number){true, raw.f64, 0};
  case PITH_NUMBER_F32:
    return (number){true, (double)raw.f32, 0};
  case PITH_NUMBER_F16:
    return (number){true, from_f16(raw.u16), 0};
  case PITH_NUMBER_BF16:
    raw.u32 = (uint32_t)raw.u16 << 16;
    return (number){true, (double)raw.f32, 0};
  case PITH_NUMBER_S64:
    return (number){false, 0, raw.s64};
  case PITH_NUMBER_S32:
    return (number){false, 0, raw.s32};
  case PITH_NUMBER_S8:
    return (number){false, 0, raw.s8};
  case PITH_NUMBER_BOOL:
    return (number){false, 0, raw.u8 != 0};
  default:
    return (number){false, 0, raw.u8};
  }
}

static int64_t to_integer(const number *value, int64_t low, int64_t high) {
  if (!value->is_float)
    return value->i;
  if (isnan(value->f))
    return 0;
  if (value->f <= (double)low)
    return low;
  if (value->f >= (double)high)
    return high;
  return (int64_t)value->f;
}

static void store(char *y, pith_number type, const number *value) {
  union {
    double f64;
    float f32;
    uint16_t u16;
    int64_t s64;
    int32_t s32;
    int8_t s8;
    uint8_t u8;
  } raw = {.s64 = 0};
  double f = value->is_float ? value->f : (double)value->i;
  switch (type) {
  case PITH_NUMBER_F64:
    raw.f64 = f;
    break;
  case PITH_NUMBER_F32: /* an integer is rounded once, not through double */
    raw.f32 = value->is_float ? (float)value->f : (float)value->i;
    break;
  case PITH_NUMBER_F16:
    raw.u16 = to_narrow(f, 10, 15);
    break;
  case PITH_NUMBER_BF16:
    raw.u16 = to_narrow(f, 7, 127);
    break;
  case PITH_NUMBER_S64:
    raw.s64 = to_integer(value, INT64_MIN, INT64_MAX);
    break;
  case PITH_NUMBER_S32:
    raw.s32 = (int32_t)to_integer(value, INT32_MIN, INT32_MAX);
    break;
  case PITH_NUMBER_S8:
    raw.s8 = (int8_t)to_integer(value, INT8_MIN, INT8_MAX);
    break;
  case PITH_NUMBER_BOOL:
    raw.u8 = value->is_float ? value->f != 0 : value->i != 0;
    break;
  default:
    raw.u8 = (uint8_t)to_integer(value, 0, UINT8_MAX);
    break;
  }
  memcpy(y, &raw, number_bytes[type]);
}

static size_t count_tasks(const void *args, size_t threads) {
  (void)threads;
  return (((const pith_cast_args *)args)->count + ELEMENTS_PER_TASK - 1) / ELEMENTS_PER_TASK;
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  (void)threads;
  (void)scratch;
  const pith_cast_args *a = args;
  size_t begin = task * ELEMENTS_PER_TASK;
  size_t end = a->count - begin > ELEMENTS_PER_TASK ? begin + ELEMENTS_PER_TASK : a->count;
  size_t from = number_bytes[a->from], to = number_bytes[a->to];
  if (a->from == a->to) {
    memcpy((char *)a->y + begin * to, (const char *)a->x + begin * from, (end - begin) * from);
    return;
  }
  for (size_t i = begin; i < end; i++) {
    number value = load((const char *)a->x + i * from, a->from);
    store((char *)a->y + i * to, a->to, &value);
  }
}

static const pith_kernel cast_ref = {"cast_ref", 0, count_tasks, NULL, run};
const pith_kernel *const pith_cast_kernels[] = {&cast_ref, NULL};
