/* Plain C, a sequence and head at a time; the formulas stand in attention_u8s8_internal.h. */
#include <float.h>
#include <math.h>

#include "ops/math/v16_plain.h"

#include "ops/attention/attention_u8s8_internal.h"
#include "ops/quantize/quantize_rows.h"
#include "ops/split.h"

static float quantize_group(const float *x, size_t stride, size_t rows, size_t features, pith_number type, uint8_t *out,
                            int *out_zero) {
  quantize_range range = quantize_range_start();
  for (size_t row = 0; row < rows; ++row)
    quantize_range_add_row(&range, x + row * stride, features);
  const float scale = quantize_range_end(&range, type, out_zero);
  const quantizer to = quantizer_make(type, scale, *out_zero);
  for (size_t row = 0; row < rows; ++row)
    quantizer_store_row(&to, x + row * stride, features, out + row * features);
  return scale;
}

/* One sequence and head. */
typedef struct unit {
  size_t sequence, head, queries, keys, first_query, first_key;
} unit;

typedef struct scratch {
  float *scores, *key_scales;   /* [max_keys] each */
  int8_t *keys, *values;        /* dynamic: [max_keys, head_size], [max_keys, value_size] */
  uint8_t *query;               /* dynamic: [head_size] */
  float value_scale;
} scratch;

/* Keys, values and their scales, as they are or quantized. */
static void read_sequence(const pith_attention_u8s8_args *a, const unit *u, scratch *s) {
  const size_t k0 = u->first_key * a->k_stride + u->head * a->head_size;
  const size_t v0 = u->first_key * a->v_stride + u->head * a->value_size;
  if (!a->is_dynamic)
    return;
  int zero;
  for (size_t j = 0; j < u->keys; ++j)
    s->key_scales[j] = quantize_group((const float *)a->k + k0 + j * a->k_stride, 0, 1, a->head_size, PITH_NUMBER_S8,
                                      (uint8_t *)s->keys + j * a->head_size, &zero);
  s->value_scale = quantize_group((const float *)a->v + v0, a->v_stride, u->keys, a->value_size, PITH_NUMBER_S8,
                                  (uint8_t *)s->values, &zero);
}

/* Scores of query i with the first `seen` keys, times log2 e, to s->scores. */
static void score_row(const pith_attention_u8s8_args *a, const unit *u, const scratch *s, size_t i, size_t seen) {
  const size_t q0 = (u->first_query + i) * a->q_stride + u->head * a->head_size;
  const uint8_t *query = (const uint8_t *)a->q + q0;
  const int8_t *keys = (const int8_t *)a->k + u->first_key * a->k_stride + u->head * a->head_size;
  size_t stride = a->k_stride;
  int zero;
  float factor;
  if (a->is_dynamic) {
    const float scale = quantize_group((const float *)a->q + q0, 0, 1, a->head_size, PITH_NUMBER_U8, s->query, &zero);
    query = s->query;
    keys = s->keys;
    stride = a->head_size;
    factor = a->scale * scale * PITH_ATTENTION_U8S8_LOG2_E;
  } else {
    zero = *a->q_zero;
    factor = a->scale * *a->q_scale * *a->k_scale * PITH_ATTENTION_U8S8_LOG2_E;
  }
  for (size_t j = 0; j < seen; ++j) {
    int32_t sum = 0;
    for (size_t d = 0; d < a->head_size; ++d)
      sum += (query[d] - zero) * keys[j * stride + d];
    const float c = (float)sum;
    s->scores[j] = a->is_dynamic ? c * s->key_scales[j] * factor : c * factor;
  }
}

/* Below -125, and for NaN: that of -125, which rounds to 0. */
static v16 get_weights(v16 x) {
  const v16 rounder = v16_set(PITH_ATTENTION_U8S8_ROUNDER);
  x = v16_max(x, v16_set(-125.0f));
  const v16 n_rounded = v16_add(x, rounder), r = v16_sub(x, v16_sub(n_rounded, rounder));
  v16 w = v16_set(PITH_ATTENTION_U8S8_W3);
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W2));
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W1));
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W0));
  return v16_raise(w, n_rounded);
}

/* Scores become weights; returns their sum. */
static int32_t weigh_row(const scratch *s, size_t seen) {
  float max = -FLT_MAX;
  int32_t sum = 0;
  for (size_t j = 0; j < seen; ++j)
    max = s->scores[j] > max ? s->scores[j] : max;
  for (size_t j = 0; j < seen; j += 16) {
    const m16 lanes = m16_first(seen - j < 16 ? seen - j : 16);
    v16_store_masked(lanes, s->scores + j, get_weights(v16_sub(v16_load_masked(lanes, s->scores + j), v16_set(max))));
  }
  for (size_t j = 0; j < seen; ++j) {
    s->scores[j] = rintf(s->scores[j]);
    sum += (int32_t)s->scores[j];
  }
  return sum;
}

static void write_row(const pith_attention_u8s8_args *a, const unit *u, const scratch *s, size_t i, size_t seen,
                      int32_t weights) {
  const int8_t *values = (const int8_t *)a->v + u->first_key * a->v_stride + u->head * a->value_size;
  size_t stride = a->v_stride;
  float value_scale = 0.0f;
  if (a->is_dynamic) {
    values = s->values;
    stride = a->value_size;
    value_scale = s->value_scale;
  } else if (weights > 0)
    value_scale = *a->v_scale;
  const float factor = weights > 0 ? value_scale / (float)weights : 0.0f;
  const size_t row = u->first_query + i, column = u->head * a->value_size;
  for (size_t d = 0; d < a->value_size; ++d) {
    int32_t sum = 0;
    for (size_t j = 0; j < seen; ++j)
      sum += (int32_t)s->scores[j] * values[j * stride + d];
    const float z = (float)sum * factor;
    if (a->y)
      a->y[row * a->y_stride + column + d] = z;
    if (a->y_q.q) {
      const quantizer to = quantizer_of_rows(&a->y_q);
      quantizer_store_first(&to, 1, v16_set(z), (uint8_t *)a->y_q.q + row * a->y_q.stride + column + d);
    }
  }
}

static size_t count_tasks(const void *args, size_t threads) {
  const pith_attention_u8s8_args *a = args;
  return a->value_size == 0 ? 0 : pith_split_count(a->sequences * a->heads, PITH_SPLIT_MIN_COST, threads);
}

static size_t get_scratch_bytes(const void *args) {
  const pith_attention_u8s8_args *a = args;
  const size_t row = 2 * sizeof(float);
  return a->is_dynamic ? a->max_keys * (row + a->head_size + a->value_size) + a->head_size : a->max_keys * row;
}

static void run(const void *args, size_t threads, size_t task, void *memory) {
  const pith_attention_u8s8_args *a = args;
  const size_t units = a->sequences * a->heads, tasks = count_tasks(args, threads);
  scratch s = {.scores = memory};
  s.key_scales = s.scores + a->max_keys;
  s.keys = (int8_t *)(s.key_scales + a->max_keys);
  s.values = s.keys + a->max_keys * a->head_size;
  s.query = (uint8_t *)(s.values + a->max_keys * a->value_size);
  for (size_t i = pith_split_begin(units, tasks, task); i < pith_split_begin(units, tasks, task + 1); ++i) {
    unit u = {.sequence = i / a->heads, .head = i % a->heads};
    u.first_query = (size_t)a->q_offsets[u.sequence];
    u.first_key = (size_t)a->kv_offsets[u.sequence];
    u.queries = (size_t)a->q_offsets[u.sequence + 1] - u.first_query;
    u.keys = (size_t)a->kv_offsets[u.sequence + 1] - u.first_key;
    read_sequence(a, &u, &s);
    for (size_t query = 0; query < u.queries; ++query) {
      const size_t most = query + 1 + u.keys; /* minus the queries: what a causal query sees */
      size_t seen = u.keys;
      if (a->causal)
        seen = most <= u.queries ? 0 : most - u.queries < u.keys ? most - u.queries : u.keys;
      score_row(a, &u, &s, query, seen);
      write_row(a, &u, &s, query, seen, weigh_row(&s, seen));
    }
  }
}

const pith_kernel pith_attention_u8s8_reference = {
    .name = "attention_u8s8_reference",
    .needs = 0,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
