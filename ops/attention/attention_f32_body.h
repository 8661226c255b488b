/* The body of every attention_f32 kernel; included after a v16 header.
 *
 * One unit of work is the queries of one sequence and head, or a part of them. Its keys and values are packed once:
 *
 *   keys    [keys / W][head_size][W]     transposed, times scale * log2 e; W = 16 * V16_TILE_VECTORS, the last
 *                                        blocks narrower, padding 0
 *   values  [value_size / W][keys][W]    the same blocks along the values
 *
 * so that both products are one register tile of rows x vectors over blocks [k][W]. A block of query rows then has its
 * scores in scratch, [rows][keys rounded up to 16], its softmax, and its second product. */
#include <stdbool.h>

#include "ops/attention/attention_f32.h"
#include "ops/attention/attention_internal.h"
#include "ops/attention/attention_tile.h"
#include "ops/normalize/softmax_rows.h"
#include "ops/split.h"

enum { ATTENTION_WIDTH = 16 * V16_TILE_VECTORS, ATTENTION_ROWS = 16 };

V16_INLINE size_t attention_round(size_t n) {
  return (n + 15) / 16 * 16;
}

/* The width of the block that begins where `left` columns are left: W, or what is left; 5 vectors are 3 and 2, for the
 * tile of one has the most loads. */
V16_INLINE size_t attention_width(size_t left) {
  const size_t width = attention_round(left);
  return width <= ATTENTION_WIDTH ? width : ATTENTION_WIDTH == 64 && width == 80 ? 48 : ATTENTION_WIDTH;
}

/* 16 keys' features, transposed, to out[feature * width]; `keys` of them exist, the others are 0. */
V16_INLINE void attention_pack_keys16(const float *k, size_t stride, size_t keys, size_t head_size, size_t width,
                                      float scale, float *out) {
  for (size_t f = 0; f < head_size; f += 16) {
    const size_t features = head_size - f < 16 ? head_size - f : 16;
    const m16 mask = m16_first(features);
    v16 rows[16];
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      rows[j] = j < keys ? v16_load_masked(mask, k + j * stride + f) : v16_set(0.0f);
    v16_transpose(rows);
    PITH_UNROLL
    for (size_t j = 0; j < 16; ++j)
      if (j < features)
        v16_store(out + (f + j) * width, v16_mul(rows[j], v16_set(scale)));
  }
}

static void attention_pack_keys(const float *k, size_t stride, size_t keys, size_t head_size, float scale, float *out) {
  for (size_t key = 0, width; key < keys; key += width) {
    width = attention_width(keys - key);
    for (size_t j = 0; j < width; j += 16)
      attention_pack_keys16(k + (key + j) * stride, stride, keys - key - j, head_size, width, scale,
                            out + key * head_size + j);
  }
}

static void attention_pack_values(const float *v, size_t stride, size_t keys, size_t value_size, float *out) {
  for (size_t f = 0, width; f < value_size; f += width) {
    width = attention_width(value_size - f);
    float *block = out + f * keys;
    for (size_t key = 0; key < keys; ++key)
      for (size_t j = 0; j < width; j += 16) {
        const size_t lanes = value_size - f - j;
        const float *from = v + key * stride + f + j;
        v16_store(block + key * width + j, lanes >= 16 ? v16_load(from) : v16_load_masked(m16_first(lanes), from));
      }
  }
}

/* 2^x: scores are logarithms of base 2, for log2 e is in the packed keys. Step by step for all vectors, since a chain is
 * longer than what a CPU looks ahead. The polynomial is minimax on [0, 1), exact at 0, made as those of functions.h; its
 * relative error, under 8.3e-8, is less than what a score's rounding makes of it. */
V16_INLINE void attention_power(v16 *x, size_t count) {
  static const float coefficients[] = {0x1.277c1cp-7f, 0x1.c91c10p-5f, 0x1.ebdb6ap-3f, 0x1.62e4bap-1f, 1.0f};
  v16 n[SOFTMAX_VECTORS], r[SOFTMAX_VECTORS];
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_max(v16_set(-160.0f), x[i]); /* 2^-160 rounds to 0 */
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    n[i] = v16_floor(x[i]);
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i) {
    r[i] = v16_sub(x[i], n[i]);
    x[i] = v16_set(0x1.e96912p-10f);
  }
  PITH_UNROLL
  for (size_t c = 0; c < sizeof coefficients / sizeof *coefficients; ++c)
    PITH_UNROLL
    for (size_t i = 0; i < count; ++i)
      x[i] = v16_fma(x[i], r[i], v16_set(coefficients[c]));
  PITH_UNROLL
  for (size_t i = 0; i < count; ++i)
    x[i] = v16_scale(x[i], n[i]);
}

typedef struct attention_scratch {
  float *keys, *values, *scores;
  float *maxima;  /* [ATTENTION_ROWS][16]: the largest score of each row, of 16 parts of it; not where causal */
  float *inverse; /* [ATTENTION_ROWS]: 1 / sum of each row */
  size_t bytes;
} attention_scratch;

static attention_scratch attention_lay_out(const pith_attention_f32_args *a, void *memory) {
  const size_t keys = attention_round(a->max_keys);
  const size_t sizes[5] = {keys * attention_round(a->head_size), keys * attention_round(a->value_size),
                           ATTENTION_ROWS * keys, ATTENTION_ROWS * 16, attention_round(ATTENTION_ROWS)};
  float *p = memory;
  attention_scratch out = {.bytes = (sizes[0] + sizes[1] + sizes[2] + sizes[3] + sizes[4]) * sizeof(float)};
  if (p) {
    out.keys = p;
    out.values = out.keys + sizes[0];
    out.scores = out.values + sizes[1];
    out.maxima = out.scores + sizes[2];
    out.inverse = out.maxima + sizes[3];
  }
  return out;
}

/* Keys that query i of a sequence sees. */
static size_t attention_visible(bool causal, size_t queries, size_t keys, size_t i) {
  if (!causal)
    return keys;
  const size_t seen = i + 1 + keys; /* + queries */
  return seen <= queries ? 0 : seen - queries < keys ? seen - queries : keys;
}

/* ---- the next unit's rows are fetched during this one: they lie a row stride apart, where no CPU foresees them --------- */

typedef struct attention_ahead {
  struct {
    const float *from;
    size_t stride, rows, features;
  } part[3]; /* query, key, value */
  size_t done, rows, each; /* rows fetched, all of them, rows of one call */
} attention_ahead;

static void attention_fetch(attention_ahead *ahead) {
  const size_t end = ahead->rows - ahead->done < ahead->each ? ahead->rows : ahead->done + ahead->each;
  for (; ahead->done < end; ++ahead->done)
    for (size_t i = 0; i < 3; ++i)
      if (ahead->done < ahead->part[i].rows)
        for (size_t f = 0; f < ahead->part[i].features; f += 16)
          __builtin_prefetch(ahead->part[i].from + ahead->done * ahead->part[i].stride + f);
}

enum { ATTENTION_FETCHES = 3 }; /* of a block of query rows */

/* Query rows [begin, end) of one sequence, at most ATTENTION_ROWS; q, y: of row begin and this head. */
static void attention_block(const pith_attention_f32_args *a, const attention_scratch *s, const float *q, float *y,
                            size_t queries, size_t keys, size_t begin, size_t end, attention_ahead *ahead) {
  const size_t rows = end - begin, score_stride = attention_round(keys);
  const size_t seen = attention_visible(a->causal, queries, keys, end - 1); /* of the last row: the most */
  attention_fetch(ahead);
  for (size_t r = 0; r < rows; ++r)
    for (size_t f = 0; f < a->value_size; f += 16)
      __builtin_prefetch(y + r * a->y_stride + f, 1);
  for (size_t r = 0; r < rows; ++r)
    v16_store(s->maxima + 16 * r, v16_set(-FLT_MAX));
  for (size_t key = 0, width; key < seen; key += width) {
    width = attention_width(keys - key);
    const size_t lanes = keys - key < width ? keys - key : width;
    attention_scores((attention_tile_args){.a = q,
                                           .a_stride = a->q_stride,
                                           .b = s->keys + key * a->head_size,
                                           .k = a->head_size,
                                           .y = s->scores + key,
                                           .y_stride = score_stride,
                                           .maxima = s->maxima,
                                           .last_lanes = lanes - (width - 16)},
                     rows, width / 16);
  }
  attention_fetch(ahead);
  size_t visible[ATTENTION_ROWS];
  for (size_t r = 0; r < rows; ++r)
    visible[r] = attention_visible(a->causal, queries, keys, begin + r);
  for (size_t r = 0; r < rows; r += SOFTMAX_ROWS) {
    const size_t count = rows - r < SOFTMAX_ROWS ? rows - r : SOFTMAX_ROWS;
    float *row = s->scores + r * score_stride;
    softmax_rows(row, score_stride, row, score_stride, count, visible + r,
                 a->causal ? NULL : s->maxima + 16 * r, attention_power, s->inverse + r);
  }
  attention_fetch(ahead);
  for (size_t f = 0, width; f < a->value_size; f += width) {
    width = attention_width(a->value_size - f);
    const size_t lanes = a->value_size - f < width ? a->value_size - f : width;
    attention_values((attention_tile_args){.a = s->scores,
                                           .a_stride = score_stride,
                                           .b = s->values + f * keys,
                                           .y = y + f,
                                           .y_stride = a->y_stride,
                                           .row_scale = s->inverse,
                                           .ends = visible,
                                           .last_lanes = lanes - (width - 16)},
                     rows, width / 16);
  }
}

/* ---- tasks: every (sequence, head) is cut into `parts` of its queries; a task is a run of parts ---------------- */

typedef struct attention_plan {
  size_t parts, units, tasks;
} attention_plan;

static attention_plan attention_make_plan(const pith_attention_f32_args *a, size_t threads) {
  attention_plan plan = {.parts = 1, .units = a->sequences * a->heads};
  if (plan.units == 0 || a->value_size == 0)
    return (attention_plan){.parts = 1};
  const size_t queries = (size_t)(a->q_offsets[a->sequences] - a->q_offsets[0]);
  const size_t keys = (size_t)(a->kv_offsets[a->sequences] - a->kv_offsets[0]);
  /* Both products, 32 multiply-adds weighing as one float passed through. */
  const size_t cost = queries / a->sequences * (keys / a->sequences) * (a->head_size + a->value_size) / 32;
  const size_t wanted = threads * PITH_SPLIT_TASKS_PER_THREAD;
  if (threads > 1 && plan.units < wanted) {
    const size_t blocks = queries / a->sequences / (2 * ATTENTION_ROWS); /* packing is repeated: keep parts long */
    plan.parts = (wanted + plan.units - 1) / plan.units;
    plan.parts = plan.parts < blocks ? plan.parts : blocks > 0 ? blocks : 1;
  }
  plan.units *= plan.parts;
  plan.tasks = pith_split_count(plan.units, cost / plan.parts, threads);
  return plan;
}

static size_t attention_count(const void *args, size_t threads) {
  return attention_make_plan(args, threads).tasks;
}

static size_t attention_get_scratch_bytes(const void *args) {
  return attention_lay_out(args, NULL).bytes;
}

/* The queries [begin, end) of one sequence and head, and all its keys. */
typedef struct attention_unit {
  const float *q, *k, *v; /* of the sequence's first token and this head */
  float *y;
  size_t queries, keys, begin, end;
} attention_unit;

static attention_unit attention_get_unit(const pith_attention_f32_args *a, size_t index, size_t parts) {
  const size_t part = index % parts, head = index / parts % a->heads, sequence = index / parts / a->heads;
  const size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  const size_t k0 = (size_t)a->kv_offsets[sequence], keys = (size_t)a->kv_offsets[sequence + 1] - k0;
  return (attention_unit){.q = a->q + q0 * a->q_stride + head * a->head_size,
                          .k = a->k + k0 * a->k_stride + head * a->head_size,
                          .v = a->v + k0 * a->v_stride + head * a->value_size,
                          .y = a->y + q0 * a->y_stride + head * a->value_size,
                          .queries = queries,
                          .keys = keys,
                          .begin = pith_split_begin(queries, parts, part),
                          .end = pith_split_begin(queries, parts, part + 1)};
}

static void attention_run_unit(const pith_attention_f32_args *a, const attention_scratch *s, const attention_unit *u,
                               attention_ahead *ahead) {
  const size_t rows = u->end - u->begin, blocks = (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS; /* of equal heights */
  if (rows == 0)
    return;
  ahead->each = ahead->rows / (blocks * ATTENTION_FETCHES) + 1;
  attention_pack_keys(u->k, a->k_stride, u->keys, a->head_size, a->scale * 0x1.715476p+0f, s->keys);
  attention_pack_values(u->v, a->v_stride, u->keys, a->value_size, s->values);
  for (size_t block = 0; block < blocks; ++block) {
    const size_t begin = u->begin + pith_split_begin(rows, blocks, block);
    const size_t end = u->begin + pith_split_begin(rows, blocks, block + 1);
    attention_block(a, s, u->q + begin * a->q_stride, u->y + begin * a->y_stride, u->queries, u->keys, begin, end, ahead);
  }
}

static void attention_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_f32_args *a = args;
  const attention_plan plan = attention_make_plan(a, threads);
  const attention_scratch s = attention_lay_out(a, scratch);
  const size_t end = pith_split_begin(plan.units, plan.tasks, task + 1);
  for (size_t index = pith_split_begin(plan.units, plan.tasks, task); index < end; ++index) {
    const attention_unit unit = attention_get_unit(a, index, plan.parts);
    attention_ahead ahead = {.rows = 0};
    if (index + 1 < end) {
      const attention_unit next = attention_get_unit(a, index + 1, plan.parts);
      ahead = (attention_ahead){
          .part = {{next.q + next.begin * a->q_stride, a->q_stride, next.end - next.begin, a->head_size},
                   {next.k, a->k_stride, next.keys, a->head_size},
                   {next.v, a->v_stride, next.keys, a->value_size}},
          .rows = next.end - next.begin > next.keys ? next.end - next.begin : next.keys};
    }
    attention_run_unit(a, &s, &unit, &ahead);
  }
}

const pith_kernel V16_NAME(pith_attention_f32) = {
    .name = "attention_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = attention_count,
    .get_scratch_bytes = attention_get_scratch_bytes,
    .run = attention_run,
};
