/* The body of every attention_train_f32 kernel; included after a v16 header. */
#include "ops/attention/attention_f32_forward.h"
#include "ops/attention/attention_internal.h"
#include "ops/attention/attention_mask.h"
#include "ops/attention/attention_train_f32.h"

_Static_assert(ATTENTION_VISIT_ROWS == (int)DROPOUT_ROWS, "a block begins where a group of the mask does");

/* Writes a block's statistics and drops weights. */
static void attention_train_visit(const void *context, const attention_weights *w) {
  const pith_attention_train_f32_args *t = context;
  const size_t heads = t->attention.heads, first = (size_t)t->attention.q_offsets[w->unit->sequence] + w->begin;
  float *statistics = t->statistics + (first * heads + w->unit->head) * 2;
  for (size_t r = 0; r < w->rows; ++r, statistics += heads * 2) {
    const float inverse = w->inverse[r];
    statistics[0] = inverse == inverse ? w->largest[r] : inverse; /* what a maximum makes of NaN is not the same everywhere */
    statistics[1] = inverse;
  }
  if (t->dropout.ratio == 0.0f)
    return;
  const attention_mask mask = attention_get_mask(&t->dropout, w->unit->sequence, w->unit->head, w->unit->queries, w->unit->keys);
  for (size_t row = 0; row < w->rows; row += DROPOUT_ROWS) {
    const size_t rows = w->rows - row < DROPOUT_ROWS ? w->rows - row : DROPOUT_ROWS;
    for (size_t key = 0; key < w->visible[row + rows - 1]; key += 16) {
      m16 kept[DROPOUT_ROWS];
      attention_get_kept(&mask, w->begin + row, key, kept);
      float *at = w->weights + row * w->stride + key;
      for (size_t r = 0; r < rows; ++r, at += w->stride)
        v16_store(at, v16_select(kept[r], v16_load(at), v16_set(0.0f)));
    }
  }
  for (size_t r = 0; r < w->rows; ++r)
    w->inverse[r] *= mask.dropout.factor;
}

static size_t attention_train_count(const void *args, size_t threads) {
  return attention_make_plan(&((const pith_attention_train_f32_args *)args)->attention, threads).tasks;
}

static size_t attention_train_get_bytes(const void *args) {
  return attention_get_bytes(&((const pith_attention_train_f32_args *)args)->attention);
}

static void attention_train_run(const void *args, size_t threads, size_t task, void *scratch) {
  const pith_attention_train_f32_args *t = args;
  attention_run_task(&t->attention, threads, task, scratch, attention_train_visit, t);
}

const pith_kernel V16_NAME(pith_attention_train_f32) = {
    .name = "attention_train_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = attention_train_count,
    .get_scratch_bytes = attention_train_get_bytes,
    .run = attention_train_run,
};
