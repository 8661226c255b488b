/* What attention over rows and over tiles have in common; included after a dot header. */
#ifndef PITH_OPS_ATTENTION_U8S8_SHARED_H
#define PITH_OPS_ATTENTION_U8S8_SHARED_H

#include "ops/attention/attention_u8s8_internal.h"
#include "ops/math/once.h"
#include "ops/split.h"

enum { ATTENTION_ROWS = 16 }; /* a row to a lane of n16_fold */

V16_INLINE size_t attention_round(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/* Steps of a product over n elements. */
V16_INLINE size_t attention_steps(size_t n) {
  return (n + 3) / 4 * DOT_BYTES;
}

/* W of attention_u8s8_internal.h, rounded; where that is 0 it may be negative. */
V16_INLINE n16 attention_weigh(v16 x) {
  x = n16_bound(x);
  const n16_exponent n = n16_get_exponent(x);
  const v16 r = v16_sub(x, n.whole);
  v16 w = v16_set(PITH_ATTENTION_U8S8_W3);
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W2));
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W1));
  w = v16_fma(w, r, v16_set(PITH_ATTENTION_U8S8_W0));
  return n16_round(n16_raise(w, n));
}

/* Keys that query i of a sequence sees. */
static inline size_t attention_visible(bool causal, size_t queries, size_t keys, size_t i) {
  const size_t most = i + 1 + keys; /* minus the queries */
  if (!causal)
    return keys;
  return most <= queries ? 0 : most - queries < keys ? most - queries : keys;
}

/* Every (sequence, head) is cut into `parts` of its queries; a task is a run of parts. */
typedef struct attention_plan {
  size_t parts, units, tasks;
} attention_plan;

static inline attention_plan attention_make_plan(const pith_attention_u8s8_args *a, size_t threads) {
  attention_plan plan = {.parts = 1, .units = a->sequences * a->heads};
  if (plan.units == 0 || a->value_size == 0)
    return (attention_plan){.parts = 1};
  const size_t queries = (size_t)(a->q_offsets[a->sequences] - a->q_offsets[0]) / a->sequences;
  const size_t keys = (size_t)(a->kv_offsets[a->sequences] - a->kv_offsets[0]) / a->sequences;
  /* Both products, 64 multiply-adds weighing as one float passed through, and the weights. */
  const size_t cost = queries * keys * (32 + a->head_size + a->value_size) / 64;
  const size_t wanted = threads * PITH_SPLIT_TASKS_PER_THREAD;
  if (threads > 1 && plan.units < wanted) {
    const size_t blocks = queries / (2 * ATTENTION_ROWS); /* packing is repeated: keep parts long */
    plan.parts = (wanted + plan.units - 1) / plan.units;
    plan.parts = plan.parts < blocks ? plan.parts : blocks > 0 ? blocks : 1;
  }
  plan.units *= plan.parts;
  plan.tasks = pith_split_count(plan.units, cost / plan.parts, threads);
  return plan;
}

#endif
