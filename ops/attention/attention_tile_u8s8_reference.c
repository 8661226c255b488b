/* Plain C: a sequence and head at a time is copied out of its tiles, each of its queries attended by attention_u8s8's
 * reference, and the results are copied into theirs. */
#include "ops/attention/attention_tile_u8s8_internal.h"
#include "ops/attention/attention_u8s8_internal.h"
#include "ops/split.h"

typedef struct scratch {
  float *y;            /* [value_size] */
  void *attention;     /* of attention_u8s8's reference, which has none but floats */
  uint8_t *query, *bytes; /* [head_size], [value_size] */
  int8_t *keys, *values;  /* [max_keys, head_size], [max_keys, value_size] */
  size_t size;
} scratch;

/* One query of one head over all keys: what attention_u8s8's reference is called with. */
static pith_attention_u8s8_args make_row(const pith_attention_tile_u8s8_args *a, const scratch *s) {
  return (pith_attention_u8s8_args){
      .q = s->query,
      .k = s->keys,
      .v = s->values,
      .q_stride = a->head_size,
      .k_stride = a->head_size,
      .v_stride = a->value_size,
      .q_scale = a->q_scale,
      .k_scale = a->k_scale,
      .v_scale = a->v_scale,
      .q_zero = a->q_zero,
      .y = a->y ? s->y : NULL,
      .y_stride = a->value_size,
      .y_q = {.q = a->y_q.q ? s->bytes : NULL,
              .stride = a->value_size,
              .type = a->y_q.type,
              .scale = a->y_q.scale,
              .zero = a->y_q.zero},
      .sequences = 1,
      .heads = 1,
      .head_size = a->head_size,
      .value_size = a->value_size,
      .scale = a->scale,
      .max_keys = a->max_keys,
  };
}

static scratch lay_out(const pith_attention_tile_u8s8_args *a, void *memory) {
  const pith_attention_u8s8_args row = make_row(a, &(scratch){0});
  const size_t floats = a->value_size * sizeof(float), attention = pith_attention_u8s8_reference.get_scratch_bytes(&row);
  uint8_t *at = memory;
  scratch out = {.size = floats + attention + (a->max_keys + 1) * (a->head_size + a->value_size)};
  if (at) {
    out.y = memory;
    out.attention = at + floats;
    out.query = at + floats + attention;
    out.bytes = out.query + a->head_size;
    out.keys = (int8_t *)(out.bytes + a->value_size);
    out.values = out.keys + a->max_keys * a->head_size;
  }
  return out;
}

/* `rows` tokens' features [column, column + features) of a tensor of `heads` times as many. */
static void read_rows(const void *x, pith_activation_layout layout, size_t heads, size_t token, size_t rows, size_t column,
                      size_t features, void *out) {
  for (size_t row = 0; row < rows; ++row)
    for (size_t f = 0; f < features; ++f)
      ((uint8_t *)out)[row * features + f] =
          ((const uint8_t *)x)[pith_activation_index(layout, heads * features, token + row, column + f)];
}

static void write_row(const pith_attention_tile_u8s8_args *a, const scratch *s, size_t token, size_t column) {
  const size_t features = a->heads * a->value_size;
  for (size_t f = 0; f < a->value_size; ++f) {
    if (a->y)
      a->y[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64, features, token, column + f)] = s->y[f];
    if (a->y_q.q)
      ((uint8_t *)a->y_q.q)[pith_activation_index(a->y_q.layout, features, token, column + f)] = s->bytes[f];
  }
}

static size_t count_tasks(const void *args, size_t threads) {
  const pith_attention_tile_u8s8_args *a = args;
  return a->value_size == 0 ? 0 : pith_split_count(a->sequences * a->heads, PITH_SPLIT_MIN_COST, threads);
}

static size_t get_scratch_bytes(const void *args) {
  return lay_out(args, NULL).size;
}

static void run_unit(const pith_attention_tile_u8s8_args *a, const scratch *s, size_t sequence, size_t head) {
  const size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  const size_t k0 = (size_t)a->kv_offsets[sequence], keys = (size_t)a->kv_offsets[sequence + 1] - k0;
  const int32_t one[2] = {0, 1};
  int32_t seen[2] = {0, (int32_t)keys};
  pith_attention_u8s8_args row = make_row(a, s);
  row.q_offsets = one;
  row.kv_offsets = seen;
  read_rows(a->k, PITH_ACTIVATION_LAYOUT_TILE64X4, a->heads, k0, keys, head * a->head_size, a->head_size, s->keys);
  read_rows(a->v, PITH_ACTIVATION_LAYOUT_TILE64, a->heads, k0, keys, head * a->value_size, a->value_size, s->values);
  for (size_t i = 0; i < queries; ++i) {
    const size_t most = i + 1 + keys; /* minus the queries: what a causal query sees */
    if (a->causal)
      seen[1] = most <= queries ? 0 : most - queries < keys ? (int32_t)(most - queries) : (int32_t)keys;
    read_rows(a->q, PITH_ACTIVATION_LAYOUT_TILE64X4, a->heads, q0 + i, 1, head * a->head_size, a->head_size, s->query);
    pith_kernel_run_all(&pith_attention_u8s8_reference, &row, s->attention);
    write_row(a, s, q0 + i, head * a->value_size);
  }
}

static void run(const void *args, size_t threads, size_t task, void *memory) {
  const pith_attention_tile_u8s8_args *a = args;
  const size_t units = a->sequences * a->heads, tasks = count_tasks(args, threads);
  const scratch s = lay_out(a, memory);
  for (size_t i = pith_split_begin(units, tasks, task); i < pith_split_begin(units, tasks, task + 1); ++i)
    run_unit(a, &s, i / a->heads, i % a->heads);
}

const pith_kernel pith_attention_tile_u8s8_reference = {
    .name = "attention_tile_u8s8_reference",
    .needs = 0,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
