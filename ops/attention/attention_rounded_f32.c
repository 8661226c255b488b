/* Attention on floats with the weights of INT8 attention: the reference only, for graphs that run as they stand. */
#include <math.h>

#include "ops/math/v16_plain.h"

#include "ops/math/functions_8bit.h"

#include "ops/attention/attention_f32.h"
#include "ops/split.h"

/* Keys that query i of `queries` sees. */
static size_t count_seen(const pith_attention_f32_args *a, size_t i, size_t queries, size_t keys) {
  const size_t most = i + 1 + keys; /* minus the queries */
  if (!a->causal)
    return keys;
  return most <= queries ? 0 : most - queries < keys ? most - queries : keys;
}

/* Scores, times log2 e, to `scores`; returns the largest. */
static float score_row(const pith_attention_f32_args *a, const float *q, const float *k, size_t seen, float *scores) {
  const float factor = a->scale * 0x1.715476p+0f;
  float max = -INFINITY;
  for (size_t j = 0; j < seen; ++j, k += a->k_stride) {
    float sum = 0.0f;
    for (size_t d = 0; d < a->head_size; ++d)
      sum = fmaf(q[d], k[d], sum);
    scores[j] = sum * factor;
    max = scores[j] > max ? scores[j] : max;
  }
  return max;
}

/* Scores become weights, whole numbers of 0 to 255; returns their sum, exact up to 65793 keys. */
static float weigh_row(float max, size_t seen, float *scores) {
  float sum = 0.0f;
  for (size_t j = 0; j < seen; j += 16) {
    const m16 lanes = m16_first(seen - j < 16 ? seen - j : 16);
    const v16 score = v16_sub(v16_load_masked(lanes, scores + j), v16_set(max));
    v16_store_masked(lanes, scores + j, v16_mul(v16_exp2_8bit(score), v16_set(255.0f)));
  }
  for (size_t j = 0; j < seen; ++j) {
    scores[j] = rintf(scores[j]);
    sum += scores[j];
  }
  return sum;
}

/* A weight of 0 keeps its key out, be that NaN. */
static void write_row(const pith_attention_f32_args *a, const float *weights, float weight_sum, const float *v,
                      size_t seen, float *y) {
  for (size_t d = 0; d < a->value_size; ++d) {
    float sum = 0.0f;
    for (size_t j = 0; j < seen; ++j)
      sum = weights[j] > 0.0f ? fmaf(weights[j], v[j * a->v_stride + d], sum) : sum;
    y[d] = weight_sum > 0.0f ? sum / weight_sum : 0.0f;
  }
}

static size_t count_tasks(const void *args, size_t threads) {
  const pith_attention_f32_args *a = args;
  return a->value_size == 0 ? 0 : pith_split_count(a->sequences * a->heads, PITH_SPLIT_MIN_COST, threads);
}

static size_t get_scratch_bytes(const void *args) {
  return ((const pith_attention_f32_args *)args)->max_keys * sizeof(float);
}

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_f32_args *a = args;
  const size_t units = a->sequences * a->heads, tasks = count_tasks(args, threads);
  for (size_t i = pith_split_begin(units, tasks, task); i < pith_split_begin(units, tasks, task + 1); ++i) {
    const size_t s = i / a->heads, head = i % a->heads;
    const size_t q0 = (size_t)a->q_offsets[s], queries = (size_t)a->q_offsets[s + 1] - q0;
    const size_t k0 = (size_t)a->kv_offsets[s], keys = (size_t)a->kv_offsets[s + 1] - k0;
    const float *k = a->k + k0 * a->k_stride + head * a->head_size;
    const float *v = a->v + k0 * a->v_stride + head * a->value_size;
    for (size_t query = 0; query < queries; ++query) {
      const size_t seen = count_seen(a, query, queries, keys);
      const float max = score_row(a, a->q + (q0 + query) * a->q_stride + head * a->head_size, k, seen, scratch);
      const float sum = weigh_row(max, seen, scratch);
      write_row(a, scratch, sum, v, seen, a->y + (q0 + query) * a->y_stride + head * a->value_size);
    }
  }
}

static const pith_kernel reference = {
    .name = "attention_rounded_f32_plain",
    .needs = 0,
    .count_tasks = count_tasks,
    .get_scratch_bytes = get_scratch_bytes,
    .run = run,
};
const pith_kernel *const pith_attention_rounded_f32_kernels[] = {&reference, NULL};
