/* The body of every attention_grad_f32 kernel; included after a v16 header.
 *
 * One unit of work is one sequence and head. With e = 2^(score - largest), w and d of each query row
 *
 *   w = factor of dropout / sum of e,   d = (sum of dy y) / sum of e
 *   ds = e (w dropped(dy v^T) - d),   dq = scale * ds k,   dk = scale * ds^T q,   dv = dropped(e)^T (w dy)
 *
 * A block of query rows has two matrices in scratch, scores and dy v^T, which become dropped(e) and ds. Blocks go in ascending
 * order, and the sums of dk and dv go on from block to block in the outputs. Where a query does not see a key, both matrices hold
 * 0 (what is infinite or NaN in a sequence may thus reach all its gradients). */
#include "ops/attention/attention_grad_tile.h"
#include "ops/attention/attention_internal.h"
#include "ops/attention/attention_mask.h"
#include "ops/attention/attention_pack.h"
#include "ops/attention/attention_train_f32.h"
#include "ops/split.h"

/* A block's elements, more or less, and its most rows. */
enum { GRAD_ELEMENTS = 16384, GRAD_ROWS = 128 };

typedef struct grad_scratch {
  float *keys_t, *values_t; /* transposed, keys times scale * log2 e */
  float *keys;
  float *queries, *dy; /* of the block's rows, dy times w */
  float *weights, *ds; /* [rows, keys]: scores, then dropped(e); dy v^T, then ds */
  float *largest, *w, *minus; /* [GRAD_ROWS]; minus: -d */
} grad_scratch;

/* Rows of a block: a multiple of 8. */
static size_t grad_rows(size_t keys) {
  const size_t rows = keys > 0 ? GRAD_ELEMENTS / keys / 8 * 8 : GRAD_ROWS;
  return rows < 8 ? 8 : rows < GRAD_ROWS ? rows : GRAD_ROWS;
}

/* Rows of the matrices lie an odd number of lines apart: their columns, which are read too, are then in different sets of the
 * first cache. */
static size_t grad_stride(size_t keys) {
  return (attention_round(keys) / 16 | 1) * 16;
}

enum { GRAD_PARTS = 10 };
/* Elements of each part, in the structure's order. */
static void grad_size_scratch(const pith_attention_f32_args *a, size_t sizes[GRAD_PARTS]) {
  const size_t keys = attention_round(a->max_keys), features = attention_round(a->head_size);
  const size_t values = attention_round(a->value_size);
  /* rows * stride of shorter sequences: GRAD_ELEMENTS and what stride adds to keys, 31 at most. */
  const size_t shorter = GRAD_ELEMENTS + GRAD_ROWS * 31, longest = 8 * grad_stride(keys);
  const size_t matrix = shorter > longest ? shorter : longest;
  const size_t all[GRAD_PARTS] = {keys * features,      keys * values, keys * features, GRAD_ROWS * features,
                                  GRAD_ROWS * values,   matrix,        matrix,          GRAD_ROWS,
                                  GRAD_ROWS,            GRAD_ROWS};
  for (size_t i = 0; i < GRAD_PARTS; ++i)
    sizes[i] = all[i];
}

static size_t grad_get_bytes(const void *args) {
  size_t sizes[GRAD_PARTS], sum = 0;
  grad_size_scratch(&((const pith_attention_grad_f32_args *)args)->forward.attention, sizes);
  for (size_t i = 0; i < GRAD_PARTS; ++i)
    sum += sizes[i];
  return sum * sizeof(float);
}

static grad_scratch grad_lay_out(const pith_attention_f32_args *a, float *memory) {
  size_t sizes[GRAD_PARTS];
  float *part[GRAD_PARTS];
  grad_size_scratch(a, sizes);
  for (size_t i = 0; i < GRAD_PARTS; memory += sizes[i++])
    part[i] = memory;
  return (grad_scratch){part[0], part[1], part[2], part[3], part[4], part[5], part[6], part[7], part[8], part[9]};
}

/* One sequence and head; pointers are to its first token and this head. */
typedef struct grad_unit {
  const pith_attention_grad_f32_args *args;
  const float *q, *k, *v, *y, *dy, *statistics;
  float *dq, *dk, *dv;
  size_t queries, keys;
  bool drops;
  attention_mask mask;
} grad_unit;

static grad_unit grad_get_unit(const pith_attention_grad_f32_args *g, size_t index) {
  const pith_attention_train_f32_args *t = &g->forward;
  const pith_attention_f32_args *a = &t->attention;
  const size_t head = index % a->heads, sequence = index / a->heads;
  const size_t q0 = (size_t)a->q_offsets[sequence], k0 = (size_t)a->kv_offsets[sequence];
  grad_unit u = {.args = g,
                 .q = a->q + q0 * a->q_stride + head * a->head_size,
                 .k = a->k + k0 * a->k_stride + head * a->head_size,
                 .v = a->v + k0 * a->v_stride + head * a->value_size,
                 .y = a->y + q0 * a->y_stride + head * a->value_size,
                 .dy = g->dy + q0 * g->dy_stride + head * a->value_size,
                 .statistics = t->statistics + (q0 * a->heads + head) * 2,
                 .dq = g->dq + q0 * g->dq_stride + head * a->head_size,
                 .dk = g->dk + k0 * g->dk_stride + head * a->head_size,
                 .dv = g->dv + k0 * g->dv_stride + head * a->value_size,
                 .queries = (size_t)a->q_offsets[sequence + 1] - q0,
                 .keys = (size_t)a->kv_offsets[sequence + 1] - k0,
                 .drops = t->dropout.ratio != 0.0f};
  if (u.drops)
    u.mask = attention_get_mask(&t->dropout, sequence, head, u.queries, u.keys);
  return u;
}

static float grad_dot(const float *a, const float *b, size_t n) {
  v16 sum = v16_set(0.0f);
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    sum = v16_fma(v16_load(a + i), v16_load(b + i), sum);
  if (i < n) {
    const m16 tail = m16_first(n - i);
    sum = v16_fma(v16_load_masked(tail, a + i), v16_load_masked(tail, b + i), sum);
  }
  return v16_sum(sum);
}

static void grad_zero(float *y, size_t stride, size_t rows, size_t features) {
  for (size_t r = 0; r < rows; ++r, y += stride)
    for (size_t f = 0; f < features; f += 16)
      v16_store_masked(m16_first(features - f < 16 ? features - f : 16), y + f, v16_set(0.0f));
}

/* The product of all columns of b, packed [columns / W][b_rows][W]. */
static void grad_product(attention_grad_tile_args *t, size_t rows, size_t columns, size_t b_rows, attention_ahead *ahead) {
  const float *a = t->a, *b = t->b;
  float *y = t->y;
  for (size_t c = 0, width; c < columns; c += width) {
    width = attention_width(columns - c);
    t->a = a;
    t->b = b + c * b_rows;
    t->y = y + c;
    t->last_lanes = (columns - c < width ? columns - c : width) - (width - 16);
    attention_grad_tiles(t, rows, width / 16, ahead);
  }
}

/* Eight rows of the two matrices, 16 keys from `key` on. */
V16_INLINE void grad_weigh_group(const grad_unit *u, const grad_scratch *s, size_t begin, size_t row, size_t rows, size_t key,
                                 size_t stride) {
  const pith_attention_f32_args *a = &u->args->forward.attention;
  const v16 zero = v16_set(0.0f);
  m16 kept[DROPOUT_ROWS];
  if (u->drops)
    attention_get_kept(&u->mask, begin + row, key, kept);
  for (size_t i = 0; i < rows; ++i) {
    float *weights = s->weights + (row + i) * stride + key, *ds = s->ds + (row + i) * stride + key;
    v16 dp = v16_load(ds), e = v16_sub(v16_load(weights), v16_set(s->largest[row + i]));
    e = v16_min(v16_set(0.0f), e); /* what is no key or not seen may be over it */
    attention_power(&e, 1);
    if (a->causal) {
      const size_t visible = attention_visible(true, u->queries, u->keys, begin + row + i);
      const m16 seen = m16_first(visible <= key ? 0 : visible - key < 16 ? visible - key : 16);
      e = v16_select(seen, e, zero);
      dp = v16_select(seen, dp, zero);
    }
    v16 dropped = e;
    if (u->drops) {
      dropped = v16_select(kept[i], e, zero);
      dp = v16_select(kept[i], dp, zero);
    }
    v16_store(weights, dropped);
    v16_store(ds, v16_mul(e, v16_fma(dp, v16_set(s->w[row + i]), v16_set(s->minus[row + i]))));
  }
}

/* Query rows [begin, end), of which the last sees `seen` keys; `begun` keys have sums in dk and dv. */
static void grad_block(const grad_unit *u, const grad_scratch *s, size_t begin, size_t end, size_t begun, size_t seen,
                       attention_ahead *ahead) {
  const pith_attention_grad_f32_args *g = u->args;
  const pith_attention_f32_args *a = &g->forward.attention;
  const size_t rows = end - begin, stride = grad_stride(u->keys), heads = a->heads;
  const bool last = end == u->queries;
  const float *q = u->q + begin * a->q_stride, *dy = u->dy + begin * g->dy_stride;
  for (size_t r = 0; r < rows; ++r) {
    const float *statistics = u->statistics + (begin + r) * heads * 2;
    s->largest[r] = statistics[0];
    s->w[r] = u->drops ? statistics[1] * u->mask.dropout.factor : statistics[1];
    s->minus[r] = -statistics[1] * grad_dot(dy + r * g->dy_stride, u->y + (begin + r) * a->y_stride, a->value_size);
  }
  attention_pack_values(q, a->q_stride, rows, a->head_size, NULL, s->queries);
  attention_pack_values(dy, g->dy_stride, rows, a->value_size, s->w, s->dy);
  attention_grad_tile_args t = {.a_step = 1, .y_stride = stride, .last_lanes = 16, .scale = 1.0f};
  for (size_t key = 0, width; key < seen; key += width) {
    width = attention_width(u->keys - key);
    t.a = q;
    t.a_stride = a->q_stride;
    t.b = s->keys_t + key * a->head_size;
    t.k = a->head_size;
    t.y = s->weights + key;
    attention_grad_tiles(&t, rows, width / 16, ahead);
    t.a = dy;
    t.a_stride = g->dy_stride;
    t.b = s->values_t + key * a->value_size;
    t.k = a->value_size;
    t.y = s->ds + key;
    attention_grad_tiles(&t, rows, width / 16, ahead);
  }
  for (size_t row = 0; row < rows; row += DROPOUT_ROWS)
    for (size_t key = 0; key < seen; key += 16)
      grad_weigh_group(u, s, begin, row, rows - row < DROPOUT_ROWS ? rows - row : DROPOUT_ROWS, key, stride);
  t.a_stride = 1;
  t.a_step = stride;
  t.k = rows;
  for (size_t key = 0, keys; key < seen; key += keys) {
    t.add = key < begun;
    keys = t.add ? begun : seen - key;
    t.a = s->weights + key;
    t.b = s->dy;
    t.y = u->dv + key * g->dv_stride;
    t.y_stride = g->dv_stride;
    t.scale = 1.0f;
    grad_product(&t, keys, a->value_size, rows, ahead);
    t.a = s->ds + key;
    t.b = s->queries;
    t.y = u->dk + key * g->dk_stride;
    t.y_stride = g->dk_stride;
    t.scale = last ? a->scale : 1.0f;
    grad_product(&t, keys, a->head_size, rows, ahead);
  }
  t = (attention_grad_tile_args){.a = s->ds, .a_stride = stride, .a_step = 1, .b = s->keys, .k = seen,
                                 .y = u->dq + begin * g->dq_stride, .y_stride = g->dq_stride, .scale = a->scale};
  grad_product(&t, rows, a->head_size, u->keys, ahead);
}

/* Tiles of one block of all queries, about. */
static size_t grad_count_tiles(const pith_attention_f32_args *a, size_t queries, size_t keys) {
  const size_t most = attention_tile_most[V16_TILE_VECTORS - 1];
  const size_t columns = attention_count_blocks(a->head_size), value_columns = attention_count_blocks(a->value_size);
  return (queries + most - 1) / most * (2 * attention_count_blocks(keys) + columns) +
         (keys + most - 1) / most * (columns + value_columns);
}

static void grad_run_unit(const grad_unit *u, const grad_scratch *s, attention_ahead *ahead) {
  const pith_attention_grad_f32_args *g = u->args;
  const pith_attention_f32_args *a = &g->forward.attention;
  if (u->queries == 0 || u->keys == 0) {
    grad_zero(u->dq, g->dq_stride, u->queries, a->head_size);
    grad_zero(u->dk, g->dk_stride, u->keys, a->head_size);
    grad_zero(u->dv, g->dv_stride, u->keys, a->value_size);
    return;
  }
  attention_pack_keys(u->k, a->k_stride, u->keys, a->head_size, a->scale * 0x1.715476p+0f, s->keys_t);
  attention_pack_keys(u->v, a->v_stride, u->keys, a->value_size, 1.0f, s->values_t);
  attention_pack_values(u->k, a->k_stride, u->keys, a->head_size, NULL, s->keys);
  const size_t most = grad_rows(u->keys), blocks = (u->queries + most - 1) / most; /* of equal heights, more or less */
  const size_t height = ((u->queries + blocks - 1) / blocks + 7) / 8 * 8;
  attention_ahead_begin(ahead, grad_count_tiles(a, u->queries, u->keys));
  for (size_t begin = 0, begun = 0, end, seen; begin < u->queries; begin = end, begun = seen) {
    end = u->queries - begin < height ? u->queries : begin + height;
    seen = attention_visible(a->causal, u->queries, u->keys, end - 1);
    grad_block(u, s, begin, end, begun, seen, ahead);
  }
}

static size_t grad_count(const void *args, size_t threads) {
  const pith_attention_f32_args *a = &((const pith_attention_grad_f32_args *)args)->forward.attention;
  if (a->sequences == 0 || a->heads == 0)
    return 0;
  const size_t queries = (size_t)(a->q_offsets[a->sequences] - a->q_offsets[0]);
  const size_t keys = (size_t)(a->kv_offsets[a->sequences] - a->kv_offsets[0]);
  /* Five products, 32 multiply-adds weighing as one float passed through. */
  const size_t cost = queries / a->sequences * (keys / a->sequences) * (3 * a->head_size + 2 * a->value_size) / 32;
  return pith_split_count(a->sequences * a->heads, cost, threads);
}

static void grad_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_grad_f32_args *g = args;
  const pith_attention_f32_args *a = &g->forward.attention;
  const size_t units = a->sequences * a->heads, tasks = grad_count(args, threads);
  const grad_scratch s = grad_lay_out(a, scratch);
  const size_t begin = pith_split_begin(units, tasks, task), end = pith_split_begin(units, tasks, task + 1);
  grad_unit next = grad_get_unit(g, begin);
  for (size_t index = begin; index < end; ++index) {
    const grad_unit unit = next;
    attention_rows part[8];
    attention_ahead ahead = {.part = part};
    if (index + 1 < end) {
      next = grad_get_unit(g, index + 1);
      part[ahead.count++] = (attention_rows){next.k, a->k_stride, next.keys, a->head_size};
      part[ahead.count++] = (attention_rows){next.v, a->v_stride, next.keys, a->value_size};
      part[ahead.count++] = (attention_rows){next.y, a->y_stride, next.queries, a->value_size};
      part[ahead.count++] = (attention_rows){next.dy, g->dy_stride, next.queries, a->value_size};
      part[ahead.count++] = (attention_rows){next.q, a->q_stride, next.queries, a->head_size};
      part[ahead.count++] = (attention_rows){next.dv, g->dv_stride, next.keys, a->value_size};
      part[ahead.count++] = (attention_rows){next.dk, g->dk_stride, next.keys, a->head_size};
      part[ahead.count++] = (attention_rows){next.dq, g->dq_stride, next.queries, a->head_size};
    }
    grad_run_unit(&unit, &s, &ahead);
  }
}

const pith_kernel V16_NAME(pith_attention_grad_f32) = {
    .name = "attention_grad_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = grad_count,
    .get_scratch_bytes = grad_get_bytes,
    .run = grad_run,
};
