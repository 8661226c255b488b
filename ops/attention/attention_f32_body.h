/* The body of every attention_f32 kernel; included after a v16 header. */
#include "ops/attention/attention_f32_forward.h"
#include "ops/attention/attention_internal.h"

static size_t attention_count(const void *args, size_t threads) {
  return attention_make_plan(args, threads).tasks;
}

static size_t attention_get_scratch_bytes(const void *args) {
  return attention_get_bytes(args);
}

static void attention_run(const void *args, size_t threads, size_t task, void *scratch) {
  attention_run_task(args, threads, task, scratch, NULL, NULL);
}

const pith_kernel V16_NAME(pith_attention_f32) = {
    .name = "attention_f32_" V16_ISA_TEXT,
    .needs = V16_NEEDS,
    .count_tasks = attention_count,
    .get_scratch_bytes = attention_get_scratch_bytes,
    .run = attention_run,
};
