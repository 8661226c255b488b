/* The body of every attention_tile_u8s8 kernel but the reference; included after a dot header (attention_u8s8_body.h says what
 * is in one) and an n16 header of tiles. Queries are lanes: a score is a lane of a sum of keys' features, repeated, with
 * queries' features, and softmax and the product with the values go from vector to vector. What the products read is copied,
 * in runs, from wherever the sequence lies in its tiles to where it begins at a vector:
 *
 *   keys     [keys / 16][head_size / 4][DOT_BYTES][16 keys][4 / DOT_BYTES]            padding 0
 *   values   [keys / 64][value_size][64 keys]                                          padding 0 up to a multiple of 4 keys
 *   query    [head_size / 4][DOT_BYTES][vectors][16 queries][4 / DOT_BYTES]            padding 0
 *   scores   [keys][vectors][16 queries]
 *   weights  [keys / 4][DOT_BYTES][vectors][16 queries][4 / DOT_BYTES]
 *
 * Scores of keys that do not exist or are not seen are NaN, which no maximum takes and whose weight is 0. */
#include <string.h>

#include "ops/attention/attention_tile_u8s8_internal.h"
#include "ops/attention/attention_u8s8_shared.h"
#include "ops/quantize/quantize_rows.h"

enum { TILE = PITH_TILE_TOKENS };

typedef struct tile_scratch {
  uint8_t *keys, *values, *query, *weights;
  int32_t *zeros; /* [keys]: minus the zero point times the sum of the key's features */
  float *scores;
  size_t bytes;
} tile_scratch;

static tile_scratch tile_lay_out(const pith_attention_tile_u8s8_args *a, void *memory) {
  const size_t keys = attention_round(a->max_keys, TILE), lanes = TILE_VECTORS * 16;
  const size_t sizes[6] = {keys * attention_steps(a->head_size) * 4,
                           keys * attention_round(a->value_size, TILE_ROWS) * DOT_BYTES + TILE * DOT_BYTES,
                           attention_steps(a->head_size) * lanes * 4,
                           keys * lanes * DOT_BYTES,
                           keys * sizeof(int32_t),
                           keys * lanes * sizeof(float)};
  tile_scratch out = {.bytes = 0};
  uint8_t *at[6];
  for (size_t i = 0; i < 6; ++i) {
    at[i] = memory ? (uint8_t *)memory + out.bytes : NULL;
    out.bytes += attention_round(sizes[i], 64);
  }
  out.keys = at[0];
  out.values = at[1];
  out.query = at[2];
  out.weights = at[3];
  out.zeros = (void *)at[4];
  out.scores = (void *)at[5];
  return out;
}

/* The queries [begin, end) of one sequence and head, and all its keys. */
typedef struct tile_unit {
  size_t first_query, first_key; /* tokens */
  size_t head, queries, keys, begin, end;
} tile_unit;

/* Up to 16 tokens that follow each other, `first` of them in one tile and the others in the next. */
typedef struct tile_place {
  size_t token, lanes, first;
} tile_place;

V16_INLINE tile_place tile_place_of(size_t token, size_t left) {
  const size_t lanes = left < 16 ? left : 16, room = TILE - token % TILE;
  return (tile_place){token, lanes, lanes < room ? lanes : room};
}

/* Elements of 4 bytes, of which a tile has `rows` rows. p: where the first token's is. */
V16_INLINE n16 tile_load(const tile_place *at, const uint8_t *p, size_t rows) {
  const n16 x = n16_load_lanes(0, at->first, p);
  return at->first < at->lanes ? n16_or(x, n16_load_lanes(at->first, at->lanes, p + (rows - 1) * TILE * 4)) : x;
}
V16_INLINE void tile_store(const tile_place *at, void *p, size_t rows, n16 x) {
  n16_store_lanes(0, at->first, p, x);
  if (at->first < at->lanes)
    n16_store_lanes(at->first, at->lanes, (uint8_t *)p + (rows - 1) * TILE * 4, x);
}

/* ---- packing ------------------------------------------------------------------------------------------------------ */

/* Features [4 * f, 4 * f + 4) of a head, whose first is `column`, where heads do not begin or end at multiples of 4. */
static n16 tile_gather(const uint8_t *x, size_t features, size_t column, size_t count, const tile_place *at) {
  uint8_t bytes[64] = {0};
  for (size_t i = 0; i < at->lanes; ++i)
    for (size_t f = 0; f < count; ++f)
      bytes[4 * i + f] = x[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64X4, features, at->token + i, column + f)];
  return n16_load(bytes);
}

/* A head of 16 tokens of q or k, to vectors `stride` bytes apart; returns k's sums. */
static n16 tile_pack16(const uint8_t *x, const pith_attention_tile_u8s8_args *a, size_t head, const tile_place *at,
                       bool is_signed, uint8_t *out, size_t stride) {
  const size_t features = a->heads * a->head_size, column = head * a->head_size, groups = (features + 3) / 4;
  const uint8_t *from = x + ((at->token / TILE * groups + column / 4) * TILE + at->token % TILE) * 4;
  n16 sums = n16_set(0);
  for (size_t f = 0; f < a->head_size; f += 4) {
    const size_t left = a->head_size - f;
    n16 parts[DOT_BYTES];
    dot_split(a->head_size % 4 == 0 ? tile_load(at, from + f * TILE, groups)
                                    : tile_gather(x, features, column + f, left < 4 ? left : 4, at),
              parts);
    for (size_t i = 0; i < DOT_BYTES; ++i, out += stride) {
      if (is_signed)
        sums = dot_add(sums, dot_ones(), parts[i]);
      else if (DOT_BYTES > 1)
        parts[i] = n16_and(parts[i], n16_set(0x00ff00ff));
      n16_store(out, parts[i]);
    }
  }
  return sums;
}

static void tile_pack_keys(const pith_attention_tile_u8s8_args *a, const tile_unit *u, const tile_scratch *s) {
  const n16 minus_zero = n16_set(-(int32_t)*a->q_zero);
  const size_t bytes = attention_steps(a->head_size) * 64;
  for (size_t key = 0; key < u->keys; key += 16) {
    const tile_place at = tile_place_of(u->first_key + key, u->keys - key);
    const n16 sums = tile_pack16((const uint8_t *)a->k, a, u->head, &at, true, s->keys + key / 16 * bytes, 64);
    n16_store(s->zeros + key, n16_mul(sums, minus_zero));
  }
}

/* Whole vectors are stored: what is behind a run is written again by the next. */
V16_INLINE void tile_copy_values(const uint8_t *from, size_t keys, uint8_t *to) {
  const n16 x = n16_load_first(keys, from);
  if (DOT_BYTES == 1) {
    n16_store(to, x);
  } else {
    n16 parts[2];
    n16_widen(x, parts);
    n16_store(to, parts[0]);
    n16_store(to + 64, parts[1]);
  }
}

static void tile_pack_values(const pith_attention_tile_u8s8_args *a, const tile_unit *u, const tile_scratch *s) {
  const size_t features = a->heads * a->value_size, shift = u->first_key % TILE, column = u->head * a->value_size;
  const uint8_t *from = (const uint8_t *)a->v + (u->first_key / TILE * features + column) * TILE;
  for (size_t key = 0; key < u->keys; key += TILE, from += features * TILE) {
    const size_t left = u->keys - key, room = TILE - shift, first = left < room ? left : room;
    const size_t others = left - first < shift ? left - first : shift;
    uint8_t *to = s->values + key * attention_round(a->value_size, TILE_ROWS) * DOT_BYTES;
    for (size_t f = 0; f < a->value_size; ++f, to += TILE * DOT_BYTES) {
      tile_copy_values(from + f * TILE + shift, first, to);
      if (others > 0)
        tile_copy_values(from + (features + f) * TILE, others, to + first * DOT_BYTES);
    }
  }
}

/* ---- a block: up to TILE_VECTORS vectors of queries ---------------------------------------------------------------- */

typedef struct tile_block {
  const pith_attention_tile_u8s8_args *args;
  const tile_unit *unit;
  const tile_scratch *scratch;
  tile_place at[TILE_VECTORS];
  size_t seen, seen_by_all; /* keys, by the last and by the first query */
  v16 visible[TILE_VECTORS]; /* keys that each query sees */
  v16 max[TILE_VECTORS], factor[TILE_VECTORS]; /* of scores; of outputs */
  quantizer to_bytes;
} tile_block;

/* sum[r][v] += a[step][v] * b[step][r], 4 bytes of b; `vectors` is a constant. */
V16_INLINE void tile_dots(const uint8_t *a, const uint8_t *b, size_t row_bytes, size_t step_bytes, size_t steps, size_t vectors,
                          n16 *sum) {
  for (; steps > 0; --steps, a += vectors * 64, b += step_bytes) {
    n16 x[TILE_VECTORS];
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v)
      x[v] = n16_load(a + v * 64);
    PITH_UNROLL
    for (size_t r = 0; r < TILE_ROWS; ++r) {
      const n16 y = n16_repeat(b + r * row_bytes);
      PITH_UNROLL
      for (size_t v = 0; v < vectors; ++v)
        sum[r * vectors + v] = dot_add(sum[r * vectors + v], x[v], y);
    }
  }
}

/* Scores with TILE_ROWS keys; is_masked: not every query sees all of them. */
V16_INLINE void tile_score(tile_block *b, size_t key, size_t steps, float scale, size_t vectors, bool is_masked) {
  const tile_scratch *s = b->scratch;
  const v16 factor = v16_set(scale), nothing = v16_set(NAN);
  float *y = s->scores + key * vectors * 16;
  n16 sum[TILE_ROWS * TILE_VECTORS];
  v16 max[TILE_VECTORS], visible[TILE_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
    sum[i] = n16_set(s->zeros[key + i / vectors]);
  tile_dots(s->query, s->keys + key / 16 * steps * 64 + key % 16 * 4, 4, 64, steps, vectors, sum);
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v) {
    max[v] = b->max[v];
    visible[v] = b->visible[v];
  }
  PITH_UNROLL
  for (size_t i = 0; i < TILE_ROWS * vectors; ++i) {
    v16 t = v16_mul(n16_to_float(sum[i]), factor);
    if (is_masked)
      t = v16_select(v16_less(v16_set((float)(key + i / vectors)), visible[i % vectors]), t, nothing);
    v16_store(y + i * 16, t);
    max[i % vectors] = v16_max(t, max[i % vectors]);
  }
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v)
    b->max[v] = max[v];
}

V16_INLINE void tile_score_all(tile_block *b, size_t vectors) {
  const pith_attention_tile_u8s8_args *a = b->args;
  const size_t steps = attention_steps(a->head_size);
  const float scale = a->scale * *a->q_scale * *a->k_scale * PITH_ATTENTION_U8S8_LOG2_E;
  size_t key = 0;
  for (; key + TILE_ROWS <= b->seen_by_all; key += TILE_ROWS)
    tile_score(b, key, steps, scale, vectors, false);
  for (; key < b->seen; key += TILE_ROWS)
    tile_score(b, key, steps, scale, vectors, true);
}

/* Scores become weights, and these the outputs' factors. */
V16_INLINE void tile_weigh(tile_block *b, size_t vectors) {
  const v16 zero = v16_set(0.0f);
  PITH_UNROLL
  for (size_t v = 0; v < vectors; ++v) {
    const v16 max = b->max[v];
    const float *x = b->scratch->scores + 16 * v;
    uint8_t *out = b->scratch->weights + 64 * v;
    n16 sum = n16_set(0);
    for (size_t key = 0; key < b->seen; key += 4, x += 4 * 16 * vectors) {
      n16 weights[4], parts[DOT_BYTES];
      PITH_UNROLL
      for (size_t i = 0; i < 4; ++i)
        weights[i] = attention_weigh(v16_sub(v16_load(x + i * 16 * vectors), max));
      dot_split(n16_weave(n16_pack(weights, 0, false)), parts);
      for (size_t i = 0; i < DOT_BYTES; ++i, out += 64 * vectors) {
        if (DOT_BYTES > 1)
          parts[i] = n16_and(parts[i], n16_set(0x00ff00ff));
        n16_store(out, parts[i]);
        sum = dot_add(sum, parts[i], dot_ones());
      }
    }
    const v16 total = n16_to_float(sum);
    b->factor[v] = v16_select(v16_less(zero, total), v16_div(v16_set(*b->args->v_scale), total), zero);
  }
}

/* Up to 4 outputs of a vector's queries, whose sums are `stride` vectors apart. */
static void tile_output(const tile_block *b, size_t vector, size_t column, size_t count, const n16 *sum, size_t stride) {
  const pith_attention_tile_u8s8_args *a = b->args;
  const tile_place *at = &b->at[vector];
  const size_t features = a->heads * a->value_size, tile = at->token / TILE, t = at->token % TILE;
  v16 z[4];
  n16 levels[4];
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i) {
    z[i] = v16_mul(n16_to_float(sum[i * stride]), b->factor[vector]);
    levels[i] = n16_round(v16_min(v16_mul(z[i], b->to_bytes.inverse), b->to_bytes.top));
  }
  for (size_t i = 0; i < count && a->y; ++i)
    tile_store(at, a->y + (tile * features + column + i) * TILE + t, features, n16_of_v16(z[i]));
  if (!a->y_q.q)
    return;
  const n16 packed = n16_pack(levels, b->to_bytes.zero, b->to_bytes.is_signed);
  uint8_t *q = a->y_q.q, rows[64];
  if (a->y_q.layout == PITH_ACTIVATION_LAYOUT_TILE64X4 && count == 4 && column % 4 == 0) {
    const size_t groups = (features + 3) / 4;
    tile_store(at, q + ((tile * groups + column / 4) * TILE + t) * 4, groups, n16_weave(packed));
    return;
  }
  n16_store(rows, n16_rows(packed));
  for (size_t i = 0; i < count; ++i)
    if (a->y_q.layout == PITH_ACTIVATION_LAYOUT_TILE64) {
      uint8_t *to = q + (tile * features + column + i) * TILE + t;
      n16_copy_bytes(0, at->first, to, rows + 16 * i);
      if (at->first < at->lanes)
        n16_copy_bytes(at->first, at->lanes, to + (features - 1) * TILE, rows + 16 * i);
    } else
      for (size_t lane = 0; lane < at->lanes; ++lane)
        q[pith_activation_index(a->y_q.layout, features, at->token + lane, column + i)] = rows[16 * i + lane];
}

/* All outputs, TILE_ROWS at a time. */
V16_INLINE void tile_values(const tile_block *b, size_t vectors) {
  const size_t value_size = b->args->value_size, chunk = attention_round(value_size, TILE_ROWS) * TILE * DOT_BYTES;
  for (size_t f = 0; f < value_size; f += TILE_ROWS) {
    const uint8_t *weights = b->scratch->weights, *values = b->scratch->values + f * TILE * DOT_BYTES;
    n16 sum[TILE_ROWS * TILE_VECTORS], out[TILE_ROWS * TILE_VECTORS]; /* registers; memory */
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      sum[i] = n16_set(0);
    for (size_t key = 0; key < b->seen; key += TILE, values += chunk) {
      const size_t keys = b->seen - key < TILE ? b->seen - key : TILE, steps = attention_steps(keys);
      tile_dots(weights, values, TILE * DOT_BYTES, 4, steps, vectors, sum);
      weights += steps * vectors * 64;
    }
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      out[i] = sum[i];
    for (size_t i = 0; i < TILE_ROWS && f + i < value_size; i += 4)
      for (size_t v = 0; v < vectors; ++v)
        tile_output(b, v, b->unit->head * value_size + f + i, value_size - f - i < 4 ? value_size - f - i : 4,
                    out + i * vectors + v, vectors);
  }
}

/* Queries [begin, begin + count) of the sequence, 16 to a vector. */
V16_INLINE void tile_attend(tile_block *b, size_t begin, size_t count, size_t vectors) {
  const pith_attention_tile_u8s8_args *a = b->args;
  const tile_unit *u = b->unit;
  b->seen = attention_visible(a->causal, u->queries, u->keys, begin + count - 1);
  b->seen_by_all = attention_visible(a->causal, u->queries, u->keys, begin);
  for (size_t v = 0; v < vectors; ++v) {
    float visible[16];
    for (size_t i = 0; i < 16; ++i)
      visible[i] = (float)attention_visible(a->causal, u->queries, u->keys, begin + 16 * v + i);
    b->visible[v] = v16_load(visible);
    b->max[v] = v16_set(-FLT_MAX);
    b->at[v] = tile_place_of(u->first_query + begin + 16 * v, count - 16 * v);
    tile_pack16(a->q, a, u->head, &b->at[v], false, b->scratch->query + 64 * v, 64 * vectors);
  }
  tile_score_all(b, vectors);
  tile_weigh(b, vectors);
  tile_values(b, vectors);
}

static void tile_attend_one(tile_block *b, size_t begin, size_t count) {
  tile_attend(b, begin, count, 1);
}
static void tile_attend_all(tile_block *b, size_t begin, size_t count) {
  tile_attend(b, begin, count, TILE_VECTORS);
}

/* ---- tasks --------------------------------------------------------------------------------------------------------- */

static attention_plan tile_make_plan(const pith_attention_tile_u8s8_args *a, size_t threads) {
  return attention_make_plan(&(pith_attention_u8s8_args){.sequences = a->sequences,
                                                         .heads = a->heads,
                                                         .head_size = a->head_size,
                                                         .value_size = a->value_size,
                                                         .q_offsets = a->q_offsets,
                                                         .kv_offsets = a->kv_offsets},
                             threads);
}

static size_t tile_count(const void *args, size_t threads) {
  return tile_make_plan(args, threads).tasks;
}

static size_t tile_get_scratch_bytes(const void *args) {
  return tile_lay_out(args, NULL).bytes;
}

static tile_unit tile_get_unit(const pith_attention_tile_u8s8_args *a, size_t index, size_t parts) {
  const size_t part = index % parts, sequence = index / parts / a->heads;
  const size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  const size_t k0 = (size_t)a->kv_offsets[sequence], keys = (size_t)a->kv_offsets[sequence + 1] - k0;
  return (tile_unit){.first_query = q0,
                     .first_key = k0,
                     .head = index / parts % a->heads,
                     .queries = queries,
                     .keys = keys,
                     .begin = pith_split_begin(queries, parts, part),
                     .end = pith_split_begin(queries, parts, part + 1)};
}

static void tile_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_tile_u8s8_args *a = args;
  const attention_plan plan = tile_make_plan(a, threads);
  const tile_scratch s = tile_lay_out(a, scratch);
  const size_t end = pith_split_begin(plan.units, plan.tasks, task + 1);
  for (size_t index = pith_split_begin(plan.units, plan.tasks, task); index < end; ++index) {
    const tile_unit u = tile_get_unit(a, index, plan.parts);
    if (u.begin == u.end)
      continue;
    tile_block block = {.args = a, .unit = &u, .scratch = &s, .to_bytes = quantizer_make(a->y_q.type, 1.0f, 0)};
    if (a->y_q.q)
      block.to_bytes = quantizer_make(a->y_q.type, *a->y_q.scale, a->y_q.zero ? *a->y_q.zero : 0);
    tile_pack_keys(a, &u, &s);
    tile_pack_values(a, &u, &s);
    for (size_t begin = u.begin, count; begin < u.end; begin += count) {
      count = u.end - begin < TILE_VECTORS * 16 ? u.end - begin : TILE_VECTORS * 16;
      if (TILE_VECTORS > 1 && count > 16)
        tile_attend_all(&block, begin, count);
      else
        tile_attend_one(&block, begin, count);
    }
  }
}

const pith_kernel DOT_NAME(pith_attention_tile_u8s8) = {
    .name = "attention_tile_u8s8_" DOT_ISA_TEXT,
    .needs = DOT_NEEDS,
    .count_tasks = tile_count,
    .get_scratch_bytes = tile_get_scratch_bytes,
    .run = tile_run,
};
