/* The body of every attention_u8s8 kernel but the reference; included after a dot header, the products of one instruction set
 * beside its n16:
 *
 *   DOT_BYTES                bytes of an element where products are taken, 1 or 2; dot_element its unsigned type
 *   dot_add(sum, a, b)       adds to each lane of s32 the products of a's unsigned and b's signed elements in it
 *   dot_ones()               elements of 1, for either side
 *   dot_split(a, out)        lanes of 4 s8 as DOT_BYTES vectors of elements
 *   dot_pack(weights, out)   4 vectors of at most 255 as DOT_BYTES vectors of elements, in order, negative ones as 0
 *
 * so that 4 elements are DOT_BYTES steps of a product. One unit of work is the queries of one sequence and head, or a part of
 * them. Its keys and values are packed once:
 *
 *   keys    [keys / 16][head_size / 4][DOT_BYTES][16 keys][4 / DOT_BYTES]        padding 0
 *   values  [value_size / 16][keys / 4][DOT_BYTES][16 values][4 / DOT_BYTES]
 *
 * A block of query rows then has its scores in scratch, as floats, its weights, as elements, and its outputs. */
#include <string.h>

#include "ops/attention/attention_u8s8_internal.h"
#include "ops/attention/attention_u8s8_rows.h"
#include "ops/attention/attention_u8s8_shared.h"
#include "ops/attention/attention_u8s8_tile.h"

typedef struct attention_scratch {
  uint8_t *keys, *values;
  int32_t *zeros;    /* [keys]: minus the zero point times the sum of the key's features; dynamic: minus that sum */
  float *key_scales; /* [keys], dynamic */
  uint8_t *query;    /* [ATTENTION_ROWS][head_size], elements */
  float *scores;     /* [ATTENTION_ROWS][keys, to 16] */
  uint8_t *weights;  /* [ATTENTION_ROWS][keys, to 64], elements */
  uint8_t *stage;    /* [16][head_size or value_size, to 64]: rows quantized, before they are packed */
  size_t bytes;
} attention_scratch;

static attention_scratch attention_lay_out(const pith_attention_u8s8_args *a, void *memory) {
  const size_t keys = attention_round(a->max_keys, 64), key_blocks = attention_round(a->max_keys, 16) / 16;
  const size_t largest = a->head_size > a->value_size ? a->head_size : a->value_size;
  const size_t sizes[8] = {key_blocks * attention_steps(a->head_size) * 64,
                           attention_round(a->value_size, 16) / 16 * attention_steps(a->max_keys) * 64,
                           key_blocks * 16 * sizeof(int32_t),
                           key_blocks * 16 * sizeof(float),
                           ATTENTION_ROWS * attention_steps(a->head_size) * 4,
                           ATTENTION_ROWS * key_blocks * 16 * sizeof(float),
                           ATTENTION_ROWS * keys * DOT_BYTES,
                           a->is_dynamic ? 16 * attention_round(largest, 64) : 0};
  attention_scratch out = {.bytes = 0};
  uint8_t *at[8];
  for (size_t i = 0; i < 8; ++i) {
    at[i] = memory ? (uint8_t *)memory + out.bytes : NULL;
    out.bytes += attention_round(sizes[i], 64);
  }
  out.keys = at[0];
  out.values = at[1];
  out.zeros = (void *)at[2];
  out.key_scales = (void *)at[3];
  out.query = at[4];
  out.scores = (void *)at[5];
  out.weights = at[6];
  out.stage = at[7];
  return out;
}

/* The queries [begin, end) of one sequence and head, and all its keys. */
typedef struct attention_unit {
  size_t q, k, v;    /* first elements of the sequence's first token and this head */
  size_t row, column; /* of the output */
  size_t queries, keys, begin, end;
} attention_unit;

/* ---- packing ------------------------------------------------------------------------------------------------------ */

/* 16 keys, `keys` of them there; returns the sum of each. */
V16_INLINE n16 attention_pack_keys16(const uint8_t *k, size_t stride, size_t keys, size_t head_size, uint8_t *out) {
  n16 sums = n16_set(0);
  for (size_t f = 0; f < head_size; f += 64) {
    const size_t bytes = head_size - f < 64 ? head_size - f : 64;
    v16 rows[16];
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      rows[j] = n16_as_v16(j < keys ? n16_load_first(bytes, k + j * stride + f) : n16_set(0));
    v16_transpose(rows);
    PITH_UNROLL
    for (size_t group = 0; group < 16; ++group)
      if (4 * group < bytes) {
        n16 parts[DOT_BYTES];
        dot_split(n16_of_v16(rows[group]), parts);
        for (size_t i = 0; i < DOT_BYTES; ++i, out += 64) {
          sums = dot_add(sums, dot_ones(), parts[i]);
          n16_store(out, parts[i]);
        }
      }
  }
  return sums;
}

static void attention_pack_keys(const pith_attention_u8s8_args *a, const attention_unit *u, const attention_scratch *s) {
  const size_t stage_stride = attention_round(a->head_size, 64), bytes = attention_steps(a->head_size) * 64;
  const n16 minus_zero = n16_set(a->is_dynamic ? -1 : -(int32_t)*a->q_zero);
  for (size_t key = 0; key < u->keys; key += 16) {
    const size_t keys = u->keys - key < 16 ? u->keys - key : 16, from = u->k + key * a->k_stride;
    uint8_t *out = s->keys + key / 16 * bytes;
    n16 sums;
    if (a->is_dynamic) {
      attention_ranges ranges;
      attention_quantize_rows((const float *)a->k + from, a->k_stride, keys, a->head_size, true, s->stage, stage_stride,
                              &ranges);
      memcpy(s->key_scales + key, ranges.scales, sizeof ranges.scales);
      sums = attention_pack_keys16(s->stage, stage_stride, keys, a->head_size, out);
    } else
      sums = attention_pack_keys16((const uint8_t *)a->k + from, a->k_stride, keys, a->head_size, out);
    n16_store(s->zeros + key, n16_mul(sums, minus_zero));
  }
}

V16_INLINE __m128i attention_load_bytes(size_t n, const uint8_t *p) {
  uint8_t copy[16] = {0};
  if (n >= 16)
    return _mm_loadu_si128((const __m128i *)p);
  memcpy(copy, p, n);
  return _mm_loadu_si128((const __m128i *)copy);
}

/* 4 keys' values, `keys` of them there, to a vector for every 16 of them, block_bytes apart. */
V16_INLINE void attention_pack_values4(const uint8_t *v, size_t stride, size_t keys, size_t value_size, uint8_t *out,
                                       size_t block_bytes) {
  for (size_t f = 0; f < value_size; f += 16, out += block_bytes) {
    const size_t lanes = value_size - f;
    __m128i row[4];
    PITH_UNROLL
    for (size_t j = 0; j < 4; ++j)
      row[j] = j < keys ? attention_load_bytes(lanes, v + j * stride + f) : _mm_setzero_si128();
    const __m128i a = _mm_unpacklo_epi8(row[0], row[1]), b = _mm_unpackhi_epi8(row[0], row[1]);
    const __m128i c = _mm_unpacklo_epi8(row[2], row[3]), d = _mm_unpackhi_epi8(row[2], row[3]);
    __m128i *to = (__m128i *)out;
    _mm_storeu_si128(to, _mm_unpacklo_epi16(a, c));
    _mm_storeu_si128(to + 1, _mm_unpackhi_epi16(a, c));
    _mm_storeu_si128(to + 2, _mm_unpacklo_epi16(b, d));
    _mm_storeu_si128(to + 3, _mm_unpackhi_epi16(b, d));
    if (DOT_BYTES > 1) {
      n16 parts[DOT_BYTES];
      dot_split(n16_load(out), parts);
      for (size_t i = 0; i < DOT_BYTES; ++i)
        n16_store(out + 64 * i, parts[i]);
    }
  }
}

/* Returns the values' scale. */
static float attention_pack_values(const pith_attention_u8s8_args *a, const attention_unit *u, const attention_scratch *s) {
  const size_t stage_stride = attention_round(a->value_size, 64), block_bytes = attention_steps(u->keys) * 64;
  if (u->keys == 0)
    return 0.0f;
  if (!a->is_dynamic) {
    for (size_t key = 0; key < u->keys; key += 4)
      attention_pack_values4((const uint8_t *)a->v + u->v + key * a->v_stride, a->v_stride, u->keys - key, a->value_size,
                             s->values + attention_steps(key) * 64, block_bytes);
    return *a->v_scale;
  }
  const float *v = (const float *)a->v + u->v;
  quantize_range range = quantize_range_start();
  for (size_t key = 0; key < u->keys; ++key)
    quantize_range_add_row(&range, v + key * a->v_stride, a->value_size);
  int zero;
  const float scale = quantize_range_end(&range, PITH_NUMBER_S8, &zero);
  const quantizer z = quantizer_make(PITH_NUMBER_S8, scale, zero);
  for (size_t key = 0; key < u->keys; key += 4) {
    for (size_t j = 0; j < 4 && key + j < u->keys; ++j)
      quantizer_store_row(&z, v + (key + j) * a->v_stride, a->value_size, s->stage + j * stage_stride);
    attention_pack_values4(s->stage, stage_stride, u->keys - key, a->value_size, s->values + attention_steps(key) * 64,
                           block_bytes);
  }
  return scale;
}

/* ---- a block of query rows ---------------------------------------------------------------------------------------- */

/* The rows of q as the products take them; their zero points and the factors of their scores. Static rows of bytes that fill
 * whole lanes stay where they are. out_zeros, out_factors: [ATTENTION_ROWS]. */
static const uint8_t *attention_get_queries(const pith_attention_u8s8_args *a, const attention_unit *u,
                                            const attention_scratch *s, size_t begin, size_t rows, size_t *out_stride,
                                            int32_t *out_zeros, float *out_factors) {
  const size_t from = u->q + begin * a->q_stride, stride = attention_steps(a->head_size) * 4;
  const uint8_t *bytes = (const uint8_t *)a->q + (a->is_dynamic ? 0 : from);
  size_t bytes_stride = a->q_stride;
  if (a->is_dynamic) {
    attention_ranges ranges;
    uint8_t *to = DOT_BYTES == 1 ? s->query : s->stage;
    bytes_stride = DOT_BYTES == 1 ? stride : attention_round(a->head_size, 64);
    attention_quantize_rows((const float *)a->q + from, a->q_stride, rows, a->head_size, false, to, bytes_stride, &ranges);
    memcpy(out_zeros, ranges.zeros, sizeof ranges.zeros);
    for (size_t r = 0; r < rows; ++r)
      out_factors[r] = a->scale * ranges.scales[r] * PITH_ATTENTION_U8S8_LOG2_E;
    bytes = to;
  } else
    for (size_t r = 0; r < rows; ++r)
      out_factors[r] = a->scale * *a->q_scale * *a->k_scale * PITH_ATTENTION_U8S8_LOG2_E;
  if (DOT_BYTES == 1 && a->head_size % 4 == 0) {
    *out_stride = bytes_stride;
    return bytes;
  }
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t *row = bytes + r * bytes_stride;
    dot_element *to = (dot_element *)(void *)(s->query + r * stride);
    for (size_t d = 0; d < a->head_size && (const void *)row != (const void *)to; ++d)
      to[d] = row[d];
    for (size_t d = a->head_size; d % 4 != 0; ++d)
      to[d] = 0;
  }
  *out_stride = stride;
  return s->query;
}

/* Largest of each lane, NaN aside. */
static v16 attention_row_max(const float *x, size_t n) {
  const v16 lowest = v16_set(-FLT_MAX);
  const size_t whole = n / 16 * 16;
  v16 max[2] = {lowest, lowest};
  size_t i = 0;
  for (; i + 32 <= whole; i += 32) {
    max[0] = v16_max(v16_load(x + i), max[0]);
    max[1] = v16_max(v16_load(x + i + 16), max[1]);
  }
  if (i < whole)
    max[0] = v16_max(v16_load(x + i), max[0]);
  if (whole < n)
    max[1] = v16_max(v16_select(m16_first(n - whole), v16_load(x + whole), lowest), max[1]);
  return v16_max(max[0], max[1]);
}

/* 64 weights, of `vectors` vectors of scores, a constant, the last of them of lanes `last`; the others are 0. Adds them to
 * *sum. */
V16_INLINE void attention_weigh_group(const float *x, size_t vectors, m16 last, v16 max, uint8_t *out, n16 *sum) {
  n16 weights[4], parts[DOT_BYTES];
  v16 e[4];
  PITH_UNROLL
  for (size_t i = 0; i < vectors; ++i)
    e[i] = v16_sub(v16_load(x + 16 * i), max);
  if (vectors > 0)
    e[vectors - 1] = v16_select(last, e[vectors - 1], v16_set(-FLT_MAX));
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i)
    weights[i] = i < vectors ? attention_weigh(e[i]) : n16_set(0);
  dot_pack(weights, parts);
  for (size_t i = 0; i < DOT_BYTES; ++i) {
    n16_store(out + 64 * i, parts[i]);
    *sum = dot_add(*sum, parts[i], dot_ones());
  }
}

/* A row's weights, and 0 up to the last group of `seen` keys; returns their 16 partial sums, which floats hold exactly. */
static v16 attention_weigh_row(const float *x, size_t visible, size_t seen, float highest, uint8_t *out) {
  const v16 max = v16_set(highest);
  n16 sum = n16_set(0);
  size_t i = 0;
  for (; i + 64 <= visible; i += 64)
    attention_weigh_group(x + i, 4, m16_first(16), max, out + i * DOT_BYTES, &sum);
  const size_t vectors = (visible - i + 15) / 16;
  const m16 last = m16_first(visible - i - (vectors - (vectors > 0)) * 16);
  switch (vectors) {
  case 4: attention_weigh_group(x + i, 4, last, max, out + i * DOT_BYTES, &sum); break;
  case 3: attention_weigh_group(x + i, 3, last, max, out + i * DOT_BYTES, &sum); break;
  case 2: attention_weigh_group(x + i, 2, last, max, out + i * DOT_BYTES, &sum); break;
  case 1: attention_weigh_group(x + i, 1, last, max, out + i * DOT_BYTES, &sum); break;
  default: break;
  }
  for (i = attention_round(visible, 64); i < seen; i += 64)
    memset(out + i * DOT_BYTES, 0, 64 * DOT_BYTES);
  return n16_to_float(sum);
}

/* Scores become weights; out_factors: value_scale over each row's sum. The last row sees most. */
static void attention_weigh_rows(const attention_scratch *s, size_t rows, const size_t *visible, size_t score_stride,
                                 size_t weight_stride, float value_scale, float *out_factors) {
  v16 partial[ATTENTION_ROWS];
  float max[ATTENTION_ROWS];
  const v16 zero = v16_set(0.0f);
  for (size_t r = 0; r < ATTENTION_ROWS; ++r)
    partial[r] = r < rows ? attention_row_max(s->scores + r * score_stride, visible[r]) : zero;
  v16_store(max, n16_fold(partial, v16_max));
  for (size_t r = 0; r < ATTENTION_ROWS; ++r)
    partial[r] = r < rows ? attention_weigh_row(s->scores + r * score_stride, visible[r], visible[rows - 1], max[r],
                                                s->weights + r * weight_stride)
                          : zero;
  const v16 sum = n16_fold(partial, v16_add);
  v16_store(out_factors, v16_select(v16_less(zero, sum), v16_div(v16_set(value_scale), sum), zero));
}

/* Query rows [begin, begin + rows), rows <= ATTENTION_ROWS. */
static void attention_block(const pith_attention_u8s8_args *a, const attention_unit *u, const attention_scratch *s,
                            size_t begin, size_t rows, float value_scale) {
  const size_t score_stride = attention_round(u->keys, 16), weight_stride = attention_round(u->keys, 64) * DOT_BYTES;
  const size_t head_steps = attention_steps(a->head_size);
  const size_t seen = attention_visible(a->causal, u->queries, u->keys, begin + rows - 1);
  size_t visible[ATTENTION_ROWS], query_stride;
  int32_t zeros[ATTENTION_ROWS];
  float factors[ATTENTION_ROWS];
  for (size_t r = 0; r < rows; ++r)
    visible[r] = attention_visible(a->causal, u->queries, u->keys, begin + r);
  const uint8_t *q = attention_get_queries(a, u, s, begin, rows, &query_stride, zeros, factors);
  for (size_t key = 0; key < seen; key += 16 * N16_TILE_VECTORS)
    attention_scores(&(attention_score_tile){.q = q,
                                             .q_stride = query_stride,
                                             .k = s->keys + key / 16 * head_steps * 64,
                                             .steps = head_steps,
                                             .zeros = s->zeros + key,
                                             .row_zeros = zeros,
                                             .key_scales = s->key_scales + key,
                                             .factors = factors,
                                             .y = s->scores + key,
                                             .y_stride = score_stride},
                     rows, seen - key, a->is_dynamic);
  attention_weigh_rows(s, rows, visible, score_stride, weight_stride, value_scale, factors);
  attention_value_tile tile = {.weights = s->weights,
                               .weight_stride = weight_stride,
                               .v_stride = attention_steps(u->keys) * 64,
                               .steps = attention_steps(seen),
                               .factors = factors,
                               .y_stride = a->y_stride,
                               .bytes_stride = a->y_q.stride};
  if (a->y_q.q)
    tile.to_bytes = quantizer_of_rows(&a->y_q);
  for (size_t f = 0; f < a->value_size; f += 16 * N16_TILE_VECTORS) {
    tile.v = s->values + f / 16 * tile.v_stride;
    tile.y = a->y ? a->y + (u->row + begin) * a->y_stride + u->column + f : NULL;
    tile.bytes = a->y_q.q ? (uint8_t *)a->y_q.q + (u->row + begin) * a->y_q.stride + u->column + f : NULL;
    attention_values(&tile, rows, a->value_size - f);
  }
}

/* ---- tasks --------------------------------------------------------------------------------------------------------- */

static size_t attention_count(const void *args, size_t threads) {
  return attention_make_plan(args, threads).tasks;
}

static size_t attention_get_scratch_bytes(const void *args) {
  return attention_lay_out(args, NULL).bytes;
}

static attention_unit attention_get_unit(const pith_attention_u8s8_args *a, size_t index, size_t parts) {
  const size_t part = index % parts, head = index / parts % a->heads, sequence = index / parts / a->heads;
  const size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  const size_t k0 = (size_t)a->kv_offsets[sequence], keys = (size_t)a->kv_offsets[sequence + 1] - k0;
  return (attention_unit){.q = q0 * a->q_stride + head * a->head_size,
                          .k = k0 * a->k_stride + head * a->head_size,
                          .v = k0 * a->v_stride + head * a->value_size,
                          .row = q0,
                          .column = head * a->value_size,
                          .queries = queries,
                          .keys = keys,
                          .begin = pith_split_begin(queries, parts, part),
                          .end = pith_split_begin(queries, parts, part + 1)};
}

static void attention_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_u8s8_args *a = args;
  const attention_plan plan = attention_make_plan(a, threads);
  const attention_scratch s = attention_lay_out(a, scratch);
  const size_t end = pith_split_begin(plan.units, plan.tasks, task + 1);
  for (size_t index = pith_split_begin(plan.units, plan.tasks, task); index < end; ++index) {
    const attention_unit u = attention_get_unit(a, index, plan.parts);
    const size_t rows = u.end - u.begin, blocks = (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS; /* of equal heights */
    if (rows == 0)
      continue;
    attention_pack_keys(a, &u, &s);
    const float value_scale = attention_pack_values(a, &u, &s);
    for (size_t block = 0; block < blocks; ++block) {
      const size_t begin = u.begin + pith_split_begin(rows, blocks, block);
      attention_block(a, &u, &s, begin, u.begin + pith_split_begin(rows, blocks, block + 1) - begin, value_scale);
    }
  }
}

const pith_kernel DOT_NAME(pith_attention_u8s8) = {
    .name = "attention_u8s8_" DOT_ISA_TEXT,
    .needs = DOT_NEEDS,
    .count_tasks = attention_count,
    .get_scratch_bytes = attention_get_scratch_bytes,
    .run = attention_run,
};
