/* The body of every attention_tile_u8s8 kernel but the reference; included after a dot header (attention_u8s8_body.h says what
 * is in one) and an n16 header of tiles. Queries are lanes: a score is a lane of a sum of keys' features, repeated, with
 * queries' features, and softmax and the product with the values go from vector to vector. What the products read is copied,
 * in runs, from wherever the sequence lies in its tiles to where it begins at a vector:
 *
 *   keys     [keys / 16][head_size / 4][DOT_BYTES][16 keys][4 / DOT_BYTES]            padding 0
 *   values   [keys / 64][value_size][64 keys]                                          padding 0 up to a multiple of 4 keys
 *   query    [head_size / 4][DOT_BYTES][vectors][16 queries][4 / DOT_BYTES]            padding 0
 *   sums     [keys][vectors][16 queries], s32
 *   weights  [keys / 4][DOT_BYTES][vectors][16 queries][4 / DOT_BYTES]
 *
 * Weights of keys that do not exist or are not seen are those of NaN: 0. */
#include <string.h>

#include "ops/attention/attention_tile_u8s8_internal.h"
#include "ops/attention/attention_u8s8_shared.h"
#include "ops/quantize/quantize_rows.h"

enum {
  TILE = PITH_TILE_TOKENS,
  TILE_PITCH = TILE * DOT_BYTES + 4, /* bytes of a row of values; 64 would put what a step reads into one bank of the cache */
};

/* For what is seldom called: small. */
#define ATTENTION_SELDOM __attribute__((cold)) PITH_ONCE

typedef struct tile_scratch {
  uint8_t *keys, *values, *query, *weights, *sums;
  int32_t *zeros; /* [keys]: minus the zero point times the sum of the key's features */
  size_t bytes;
} tile_scratch;

static tile_scratch tile_lay_out(const pith_attention_tile_u8s8_args *a, void *memory) {
  const size_t keys = attention_round(a->max_keys, TILE), lanes = TILE_VECTORS * 16;
  const size_t sizes[6] = {keys * attention_steps(a->head_size) * 4,
                           keys / TILE * attention_round(a->value_size, TILE_ROWS) * TILE_PITCH + TILE * DOT_BYTES,
                           attention_steps(a->head_size) * lanes * 4,
                           keys * lanes * DOT_BYTES,
                           keys * sizeof(int32_t),
                           keys * lanes * sizeof(int32_t)};
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
  out.sums = at[5];
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
ATTENTION_SELDOM n16 tile_gather(const uint8_t *x, size_t features, size_t column, size_t count, const tile_place *at) {
  uint8_t bytes[64] = {0};
  for (size_t i = 0; i < at->lanes; ++i)
    for (size_t f = 0; f < count; ++f)
      bytes[4 * i + f] = x[pith_activation_index(PITH_ACTIVATION_LAYOUT_TILE64X4, features, at->token + i, column + f)];
  return n16_load(bytes);
}

/* A head of 16 tokens of q or k, to vectors `stride` bytes apart; returns k's sums. */
PITH_ONCE n16 tile_pack16(const uint8_t *x, const pith_attention_tile_u8s8_args *a, size_t head, const tile_place *at,
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

PITH_ONCE void tile_pack_keys(const pith_attention_tile_u8s8_args *a, const tile_unit *u, const tile_scratch *s) {
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

PITH_ONCE void tile_pack_values(const pith_attention_tile_u8s8_args *a, const tile_unit *u, const tile_scratch *s) {
  const size_t features = a->heads * a->value_size, shift = u->first_key % TILE, column = u->head * a->value_size;
  const uint8_t *from = (const uint8_t *)a->v + (u->first_key / TILE * features + column) * TILE;
  for (size_t key = 0; key < u->keys; key += TILE, from += features * TILE) {
    const size_t left = u->keys - key, room = TILE - shift, first = left < room ? left : room;
    const size_t others = left - first < shift ? left - first : shift;
    uint8_t *to = s->values + key / TILE * attention_round(a->value_size, TILE_ROWS) * TILE_PITCH;
    for (size_t f = 0; f < a->value_size; ++f, to += TILE_PITCH) {
      tile_copy_values(from + f * TILE + shift, first, to);
      if (others > 0)
        tile_copy_values(from + (features + f) * TILE, others, to + first * DOT_BYTES);
    }
  }
}

/* ---- the next unit's inputs, fetched while products run --------------------------------------------------------------- */

typedef struct tile_prefetch {
  const uint8_t *x[3];   /* where the head's features begin in the first tile of q, k, v */
  size_t stride[3], size[3]; /* bytes of a tile, of the head's part of it */
  size_t tiles[3];
  size_t at, tile, offset; /* of the tensor, in it */
  size_t lines;            /* of 64 bytes, at a time */
} tile_prefetch;

V16_INLINE void tile_prefetch_some(tile_prefetch *p) {
  for (size_t i = 0; i < p->lines && p->at < 3; ++i) {
    if (p->tile < p->tiles[p->at])
      _mm_prefetch((const char *)p->x[p->at] + p->tile * p->stride[p->at] + p->offset, _MM_HINT_T1);
    p->offset += 64;
    if (p->offset >= p->size[p->at]) {
      p->offset = 0;
      if (++p->tile >= p->tiles[p->at]) {
        p->tile = 0;
        ++p->at;
      }
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
  n16 best[TILE_VECTORS];    /* sums, so far */
  v16 factor[TILE_VECTORS];  /* of outputs */
  v16 scale;                 /* of scores */
  bool is_negative;          /* that is */
  tile_prefetch next;
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

/* The best of TILE_ROWS keys' sums where a query does not see all of them, or the smallest is best. */
ATTENTION_SELDOM void tile_take_best(tile_block *b, size_t key, size_t vectors) {
  const uint8_t *sum = b->scratch->sums + key * vectors * 64;
  for (size_t i = 0; i < TILE_ROWS * vectors; ++i, sum += 64) {
    const n16 best = b->best[i % vectors], x = n16_load(sum), better = b->is_negative ? n16_min(x, best) : n16_max(x, best);
    const m16 seen = v16_less(v16_set((float)(key + i / vectors)), b->visible[i % vectors]);
    b->best[i % vectors] = n16_of_v16(v16_select(seen, n16_as_v16(better), n16_as_v16(best)));
  }
}

/* Sums of queries and keys, and the best of them. */
V16_INLINE void tile_sum_keys(tile_block *b, size_t vectors) {
  const tile_scratch *s = b->scratch;
  const size_t steps = attention_steps(b->args->head_size);
  uint8_t *out = s->sums;
  tile_prefetch next = b->next;
  for (size_t key = 0; key < b->seen; key += TILE_ROWS, out += TILE_ROWS * vectors * 64) {
    n16 sum[TILE_ROWS * TILE_VECTORS];
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      sum[i] = n16_set(s->zeros[key + i / vectors]);
    tile_dots(s->query, s->keys + key / 16 * steps * 64 + key % 16 * 4, 4, 64, steps, vectors, sum);
    tile_prefetch_some(&next);
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      n16_store(out + i * 64, sum[i]);
    if (b->seen_by_all < key + TILE_ROWS || b->is_negative) {
      tile_take_best(b, key, vectors);
      continue;
    }
    PITH_UNROLL
    for (size_t v = 0; v < vectors; ++v) {
      n16 best = b->best[v];
      PITH_UNROLL
      for (size_t r = 0; r < TILE_ROWS; ++r)
        best = n16_max(best, sum[r * vectors + v]);
      b->best[v] = best;
    }
  }
  b->next = next;
}

/* A vector's sums become weights, and these its outputs' factors. Rounding never changes which of two sums is the larger, so
 * the best sum is that of the largest score; where no score is finite, no weight is over 0, whatever is subtracted. */
PITH_ONCE void tile_weigh(tile_block *b, size_t vector, size_t vectors) {
  const v16 zero = v16_set(0.0f), scale = b->scale, max = v16_mul(n16_to_float(b->best[vector]), scale);
  const uint8_t *x = b->scratch->sums + 64 * vector;
  uint8_t *out = b->scratch->weights + 64 * vector;
  n16 sum = n16_set(0);
  for (size_t key = 0; key < b->seen; key += 4) {
    n16 weights[4], parts[DOT_BYTES];
    v16 t[4];
    PITH_UNROLL
    for (size_t i = 0; i < 4; ++i, x += 64 * vectors)
      t[i] = v16_sub(v16_mul(n16_to_float(n16_load(x)), scale), max);
    if (b->seen_by_all < key + 4) {
      PITH_UNROLL
      for (size_t i = 0; i < 4; ++i)
        t[i] = v16_select(v16_less(v16_set((float)(key + i)), b->visible[vector]), t[i], v16_set(NAN));
    }
    PITH_UNROLL
    for (size_t i = 0; i < 4; ++i)
      weights[i] = attention_weigh(t[i]);
    dot_split(n16_weave(n16_pack(weights, 0, false)), parts);
    for (size_t i = 0; i < DOT_BYTES; ++i, out += 64 * vectors) {
      if (DOT_BYTES > 1)
        parts[i] = n16_and(parts[i], n16_set(0x00ff00ff));
      n16_store(out, parts[i]);
      sum = dot_add(sum, parts[i], dot_ones());
    }
  }
  const v16 total = n16_to_float(sum);
  b->factor[vector] = v16_select(v16_less(zero, total), v16_div(v16_set(*b->args->v_scale), total), zero);
}

/* Bytes of tile64x4 where a head's outputs do not begin or end at multiples of 4. */
ATTENTION_SELDOM void tile_scatter(const pith_attention_tile_u8s8_args *a, const tile_place *at, size_t column, size_t count,
                              const uint8_t rows[64]) {
  for (size_t i = 0; i < count; ++i)
    for (size_t lane = 0; lane < at->lanes; ++lane)
      ((uint8_t *)a->y_q.q)[pith_activation_index(a->y_q.layout, a->heads * a->value_size, at->token + lane, column + i)] =
          rows[16 * i + lane];
}

/* Up to 4 outputs of a vector's queries, from `column` on. */
V16_INLINE void tile_output(const tile_block *b, const tile_place *at, size_t column, size_t count, const v16 z[4]) {
  const pith_attention_tile_u8s8_args *a = b->args;
  const size_t features = a->heads * a->value_size, tile = at->token / TILE, t = at->token % TILE;
  for (size_t i = 0; i < count && a->y; ++i)
    tile_store(at, a->y + (tile * features + column + i) * TILE + t, features, n16_of_v16(z[i]));
  if (!a->y_q.q)
    return;
  n16 levels[4];
  PITH_UNROLL
  for (size_t i = 0; i < 4; ++i)
    levels[i] = n16_round(v16_min(v16_mul(z[i], b->to_bytes.inverse), b->to_bytes.top));
  const n16 packed = n16_pack(levels, b->to_bytes.zero, b->to_bytes.is_signed);
  uint8_t *q = a->y_q.q, rows[64];
  if (a->y_q.layout == PITH_ACTIVATION_LAYOUT_TILE64X4 && count == 4 && column % 4 == 0) {
    const size_t groups = (features + 3) / 4;
    tile_store(at, q + ((tile * groups + column / 4) * TILE + t) * 4, groups, n16_weave(packed));
    return;
  }
  n16_store(rows, n16_rows(packed));
  if (a->y_q.layout == PITH_ACTIVATION_LAYOUT_TILE64X4) {
    tile_scatter(a, at, column, count, rows);
    return;
  }
  q += (tile * features + column) * TILE + t;
  for (size_t i = 0; i < count; ++i, q += TILE) {
    n16_copy_bytes(0, at->first, q, rows + 16 * i);
    if (at->first < at->lanes)
      n16_copy_bytes(at->first, at->lanes, q + (features - 1) * TILE, rows + 16 * i);
  }
}

/* TILE_ROWS outputs, or those that are left, of all vectors. */
PITH_ONCE void tile_output_all(const tile_block *b, size_t first, const n16 *sum, size_t vectors) {
  const size_t value_size = b->args->value_size, left = value_size - first;
  for (size_t v = 0; v < vectors; ++v) {
    const tile_place at = b->at[v];
    const v16 factor = b->factor[v];
    for (size_t f = 0; f < TILE_ROWS && f < left; f += 4) {
      v16 z[4];
      PITH_UNROLL
      for (size_t i = 0; i < 4; ++i)
        z[i] = v16_mul(n16_to_float(sum[(f + i) * vectors + v]), factor);
      tile_output(b, &at, b->unit->head * value_size + first + f, left - f < 4 ? left - f : 4, z);
    }
  }
}

/* All outputs, TILE_ROWS at a time. */
V16_INLINE void tile_values(const tile_block *b, size_t vectors) {
  const size_t value_size = b->args->value_size, chunk = attention_round(value_size, TILE_ROWS) * TILE_PITCH;
  for (size_t f = 0; f < value_size; f += TILE_ROWS) {
    const uint8_t *weights = b->scratch->weights, *values = b->scratch->values + f * TILE_PITCH;
    n16 sum[TILE_ROWS * TILE_VECTORS], out[TILE_ROWS * TILE_VECTORS]; /* registers; memory */
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      sum[i] = n16_set(0);
    for (size_t key = 0; key < b->seen; key += TILE, values += chunk) {
      const size_t keys = b->seen - key < TILE ? b->seen - key : TILE, steps = attention_steps(keys);
      tile_dots(weights, values, TILE_PITCH, 4, steps, vectors, sum);
      weights += steps * vectors * 64;
    }
    PITH_UNROLL
    for (size_t i = 0; i < TILE_ROWS * vectors; ++i)
      out[i] = sum[i];
    tile_output_all(b, f, out, vectors);
  }
}

/* How many keys 16 queries see, where that is not the same. */
ATTENTION_SELDOM v16 tile_get_visible(const tile_unit *u, size_t query) {
  float visible[16];
  for (size_t i = 0; i < 16; ++i)
    visible[i] = (float)attention_visible(true, u->queries, u->keys, query + i);
  return v16_load(visible);
}

/* Queries [begin, begin + count) of the sequence, 16 to a vector. */
V16_INLINE void tile_attend(tile_block *b, size_t begin, size_t count, size_t vectors) {
  const pith_attention_tile_u8s8_args *a = b->args;
  const tile_unit *u = b->unit;
  b->seen = attention_visible(a->causal, u->queries, u->keys, begin + count - 1);
  b->seen_by_all = attention_visible(a->causal, u->queries, u->keys, begin);
  for (size_t v = 0; v < vectors; ++v) {
    b->best[v] = n16_set(b->is_negative ? INT32_MAX : INT32_MIN);
    b->visible[v] = a->causal ? tile_get_visible(u, begin + 16 * v) : v16_set((float)u->keys);
    b->at[v] = tile_place_of(u->first_query + begin + 16 * v, count - 16 * v);
    tile_pack16(a->q, a, u->head, &b->at[v], false, b->scratch->query + 64 * v, 64 * vectors);
  }
  tile_sum_keys(b, vectors);
  for (size_t v = 0; v < vectors; ++v)
    tile_weigh(b, v, vectors);
  tile_values(b, vectors);
}

PITH_ONCE void tile_attend_one(tile_block *b, size_t begin, size_t count) {
  tile_attend(b, begin, count, 1);
}
PITH_ONCE void tile_attend_all(tile_block *b, size_t begin, size_t count) {
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

/* The inputs of unit `index`, over the blocks and keys of the one before it. Short sequences are not worth it. */
PITH_ONCE tile_prefetch tile_prefetch_of(const pith_attention_tile_u8s8_args *a, const tile_unit *before, size_t index,
                                         size_t parts) {
  const tile_unit u = tile_get_unit(a, index, parts);
  const size_t lanes = TILE_VECTORS * 16, blocks = (before->end - before->begin + lanes - 1) / lanes;
  const size_t steps = blocks * (before->keys / TILE_ROWS);
  if (u.keys < TILE || steps == 0)
    return (tile_prefetch){.at = 3};
  const size_t groups = (a->heads * a->head_size + 3) / 4 * 4, features = a->heads * a->value_size;
  const size_t q = u.first_query / TILE, k = u.first_key / TILE, head = u.head * a->head_size * TILE;
  tile_prefetch out = {.x = {a->q + q * groups * TILE + head, (const uint8_t *)a->k + k * groups * TILE + head,
                             (const uint8_t *)a->v + k * features * TILE + u.head * a->value_size * TILE},
                       .stride = {groups * TILE, groups * TILE, features * TILE},
                       .size = {a->head_size * TILE, a->head_size * TILE, a->value_size * TILE},
                       .tiles = {u.queries / TILE, u.keys / TILE, u.keys / TILE}};
  const size_t lines = out.tiles[0] * a->head_size + out.tiles[1] * (a->head_size + a->value_size);
  out.lines = (lines + steps - 1) / steps;
  return out;
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
    tile_block block = {.args = a, .unit = &u, .scratch = &s, .next = {.at = 3}, .to_bytes = quantizer_make(a->y_q.type, 1.0f, 0)};
    const float scale = a->scale * *a->q_scale * *a->k_scale * PITH_ATTENTION_U8S8_LOG2_E;
    block.scale = v16_set(scale);
    block.is_negative = scale < 0.0f;
    if (a->y_q.q)
      block.to_bytes = quantizer_make(a->y_q.type, *a->y_q.scale, a->y_q.zero ? *a->y_q.zero : 0);
    if (index + 1 < end)
      block.next = tile_prefetch_of(a, &u, index + 1, plan.parts);
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
