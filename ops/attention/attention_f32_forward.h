/* Attention on floats, forward; included after a v16 header.
 *
 * One unit of work is the queries of one sequence and head, or a part of them. Its keys and values are packed once
 * (attention_pack.h). A block of query rows then has its scores in scratch, [rows][keys rounded up to 16], its softmax, and its
 * second product. */
#ifndef PITH_OPS_ATTENTION_F32_FORWARD_H
#define PITH_OPS_ATTENTION_F32_FORWARD_H

#include "ops/attention/attention_ahead.h"
#include "ops/attention/attention_f32.h"
#include "ops/attention/attention_pack.h"
#include "ops/attention/attention_tile.h"
#include "ops/split.h"

enum { ATTENTION_ROWS = SOFTMAX_ROWS };

typedef struct attention_scratch {
  float *keys, *values, *scores;
  float *maxima;  /* [ATTENTION_ROWS][16]: the largest score of each row, of 16 parts of it; not where causal */
  float *inverse; /* [ATTENTION_ROWS]: 1 / sum of each row */
} attention_scratch;

enum { ATTENTION_SCRATCH = 5 };
/* Elements of each part. */
static void attention_size_scratch(const pith_attention_f32_args *a, size_t sizes[ATTENTION_SCRATCH]) {
  const size_t keys = attention_round(a->max_keys);
  sizes[0] = keys * attention_round(a->head_size);
  sizes[1] = keys * attention_round(a->value_size);
  sizes[2] = ATTENTION_ROWS * keys;
  sizes[3] = ATTENTION_ROWS * 16;
  sizes[4] = attention_round(ATTENTION_ROWS);
}

static size_t attention_get_bytes(const pith_attention_f32_args *a) {
  size_t sizes[ATTENTION_SCRATCH], sum = 0;
  attention_size_scratch(a, sizes);
  for (size_t i = 0; i < ATTENTION_SCRATCH; ++i)
    sum += sizes[i];
  return sum * sizeof(float);
}

static attention_scratch attention_lay_out(const pith_attention_f32_args *a, float *memory) {
  size_t sizes[ATTENTION_SCRATCH];
  attention_size_scratch(a, sizes);
  attention_scratch out = {.keys = memory};
  out.values = out.keys + sizes[0];
  out.scores = out.values + sizes[1];
  out.maxima = out.scores + sizes[2];
  out.inverse = out.maxima + sizes[3];
  return out;
}

/* The queries [begin, end) of one sequence and head, and all its keys. */
typedef struct attention_unit {
  size_t sequence, head;
  const float *q, *k, *v; /* of the sequence's first token and this head */
  float *y;
  size_t queries, keys, begin, end;
} attention_unit;

/* A block of query rows after its softmax, up to the last multiplication. */
typedef struct attention_weights {
  const attention_unit *unit;
  size_t begin, rows;    /* queries begin to begin + rows of the sequence */
  float *weights;        /* [rows, keys], up to visible[r] */
  size_t stride;
  const size_t *visible; /* [rows]: keys that each query sees */
  const float *largest;  /* [rows]: the largest score */
  float *inverse;        /* [rows]: 1 / sum: what y's rows are multiplied by */
} attention_weights;
/* What training does with them: it may change weights and inverse. Blocks then begin at multiples of ATTENTION_VISIT_ROWS. */
enum { ATTENTION_VISIT_ROWS = 8 };
typedef void attention_visit(const void *context, const attention_weights *weights);

/* Query rows [begin, end) of a unit, at most ATTENTION_ROWS; visit: NULL or a constant. */
static void attention_block(const pith_attention_f32_args *a, const attention_scratch *s, const attention_unit *u, size_t begin,
                            size_t end, attention_ahead *ahead, attention_visit *visit, const void *context) {
  const float *q = u->q + begin * a->q_stride;
  float *y = u->y + begin * a->y_stride;
  const size_t queries = u->queries, keys = u->keys;
  const size_t rows = end - begin, score_stride = attention_round(keys);
  const size_t seen = attention_visible(a->causal, queries, keys, end - 1); /* of the last row: the most */
  for (size_t r = 0; r < rows; ++r)
    for (size_t f = 0; f < a->value_size; f += 16)
      __builtin_prefetch(y + r * a->y_stride + f, 1);
  for (size_t r = 0; r < rows; ++r)
    v16_store(s->maxima + 16 * r, v16_set(-FLT_MAX));
  for (size_t key = 0, width; key < seen; key += width) {
    width = attention_width(keys - key);
    const size_t lanes = keys - key < width ? keys - key : width;
    attention_fetch(ahead);
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
  size_t visible[ATTENTION_ROWS];
  for (size_t r = 0; r < rows; ++r)
    visible[r] = attention_visible(a->causal, queries, keys, begin + r);
  float largest[ATTENTION_ROWS];
  v16_store(largest, softmax_rows(s->scores, score_stride, s->scores, score_stride, rows, visible, true,
                                  a->causal ? NULL : s->maxima, attention_power, s->inverse));
  if (visit)
    visit(context, &(attention_weights){.unit = u, .begin = begin, .rows = rows, .weights = s->scores,
                                        .stride = score_stride, .visible = visible, .largest = largest,
                                        .inverse = s->inverse});
  for (size_t f = 0, width; f < a->value_size; f += width) {
    width = attention_width(a->value_size - f);
    const size_t lanes = a->value_size - f < width ? a->value_size - f : width;
    attention_fetch(ahead);
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

/* Where part `part` of `parts` of the queries [begin, end) begins; begin is a multiple of the grain. */
static size_t attention_cut(size_t begin, size_t end, size_t parts, size_t part, attention_visit *visit) {
  const size_t grain = visit ? ATTENTION_VISIT_ROWS : 1;
  const size_t at = begin + (pith_split_begin(end - begin, parts, part) + grain - 1) / grain * grain;
  return at < end ? at : end;
}

static attention_unit attention_get_unit(const pith_attention_f32_args *a, size_t index, size_t parts,
                                         attention_visit *visit) {
  const size_t part = index % parts, head = index / parts % a->heads, sequence = index / parts / a->heads;
  const size_t q0 = (size_t)a->q_offsets[sequence], queries = (size_t)a->q_offsets[sequence + 1] - q0;
  const size_t k0 = (size_t)a->kv_offsets[sequence], keys = (size_t)a->kv_offsets[sequence + 1] - k0;
  return (attention_unit){.sequence = sequence,
                          .head = head,
                          .q = a->q + q0 * a->q_stride + head * a->head_size,
                          .k = a->k + k0 * a->k_stride + head * a->head_size,
                          .v = a->v + k0 * a->v_stride + head * a->value_size,
                          .y = a->y + q0 * a->y_stride + head * a->value_size,
                          .queries = queries,
                          .keys = keys,
                          .begin = attention_cut(0, queries, parts, part, visit),
                          .end = attention_cut(0, queries, parts, part + 1, visit)};
}

static void attention_run_unit(const pith_attention_f32_args *a, const attention_scratch *s, const attention_unit *u,
                               attention_ahead *ahead, attention_visit *visit, const void *context) {
  const size_t rows = u->end - u->begin, blocks = (rows + ATTENTION_ROWS - 1) / ATTENTION_ROWS; /* of equal heights */
  if (rows == 0)
    return;
  attention_ahead_begin(ahead, blocks * (attention_count_blocks(u->keys) + attention_count_blocks(a->value_size)));
  attention_pack_keys(u->k, a->k_stride, u->keys, a->head_size, a->scale * 0x1.715476p+0f, s->keys);
  attention_pack_values(u->v, a->v_stride, u->keys, a->value_size, NULL, s->values);
  for (size_t block = 0; block < blocks; ++block) {
    const size_t begin = attention_cut(u->begin, u->end, blocks, block, visit);
    const size_t end = attention_cut(u->begin, u->end, blocks, block + 1, visit);
    attention_block(a, s, u, begin, end, ahead, visit, context);
  }
}

V16_INLINE void attention_run_task(const pith_attention_f32_args *a, size_t threads, size_t task, void *scratch,
                                   attention_visit *visit, const void *context) {
  const attention_plan plan = attention_make_plan(a, threads);
  const attention_scratch s = attention_lay_out(a, scratch);
  const size_t end = pith_split_begin(plan.units, plan.tasks, task + 1);
  for (size_t index = pith_split_begin(plan.units, plan.tasks, task); index < end; ++index) {
    const attention_unit unit = attention_get_unit(a, index, plan.parts, visit);
    attention_rows part[3];
    attention_ahead ahead = {.part = part};
    if (index + 1 < end) {
      const attention_unit next = attention_get_unit(a, index + 1, plan.parts, visit);
      part[ahead.count++] = (attention_rows){next.k, a->k_stride, next.keys, a->head_size};
      part[ahead.count++] = (attention_rows){next.v, a->v_stride, next.keys, a->value_size};
      part[ahead.count++] =
          (attention_rows){next.q + next.begin * a->q_stride, a->q_stride, next.end - next.begin, a->head_size};
    }
    attention_run_unit(a, &s, &unit, &ahead, visit, context);
  }
}

#endif
