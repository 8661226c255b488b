/* Many texts on the threads of a pool. Texts are independent, so only the first failure is shared.
 */
#include "engine/base/error.h"
#include "engine/exec/parallel.h"
#include "models/tokenizer/tokenizer.h"

/* Texts in one task: enough (some 10 us) that taking a task costs little beside it. */
enum { TASK_TEXTS = 8 };

typedef struct encode_job {
  const pith_tokenizer_data *data;
  const char *const *texts, *const *pairs;
  size_t n, max_length;
  char *encodings; /* n of stride_bytes: a caller's pith_encoding may be longer than ours */
  size_t stride_bytes;
  pith_status *statuses;
  bool locked;         /* guards what follows; atomic */
  size_t failed;       /* the first text that failed, or n */
  pith_status failure; /* its status */
  pith_error *error;
} encode_job;

static void note_failure(encode_job *job, size_t i, const pith_error *error) {
  while (__atomic_test_and_set(&job->locked,
                               __ATOMIC_ACQUIRE)) /* for as long as a copy of one message takes */
    continue;
  if (i < job->failed) {
    job->failed = i;
    job->failure = pith_fail(job->error, error->status, "text %zu: %s", i, error->message);
  }
  __atomic_clear(&job->locked, __ATOMIC_RELEASE);
}

static void encode_task(void *context, size_t task) {
  encode_job *job = context;
  const size_t begin = task * TASK_TEXTS,
               end = begin + TASK_TEXTS < job->n ? begin + TASK_TEXTS : job->n;
  for (size_t i = begin; i < end; i++) {
    pith_encoding *encoding = (pith_encoding *)(void *)(job->encodings + i * job->stride_bytes);
    pith_error error = {0};
    encoding->count = 0;
    const pith_status status = pith_tokenizer_encode(job->data, job->texts[i], SIZE_MAX,
                                                     job->pairs == NULL ? NULL : job->pairs[i],
                                                     SIZE_MAX, job->max_length, encoding, &error);
    if (job->statuses != NULL)
      job->statuses[i] = status;
    if (status != PITH_OK)
      note_failure(job, i, &error);
  }
}

pith_status pith_tokenizer_encode_batch(const pith_tokenizer_data *data, struct pthreadpool *pool,
                                        const char *const *texts, const char *const *pairs,
                                        size_t n, size_t max_length, pith_encoding *encodings,
                                        pith_status *out_statuses, pith_error *error) {
  encode_job job = {.data = data,
                    .texts = texts,
                    .pairs = pairs,
                    .n = n,
                    .max_length = max_length,
                    .encodings = (char *)encodings,
                    .stride_bytes = n == 0 ? 0 : encodings->struct_size,
                    .statuses = out_statuses,
                    .failed = n,
                    .failure = PITH_OK,
                    .error = error};
  const size_t tasks = n / TASK_TEXTS + (n % TASK_TEXTS != 0);
  pith_parallel_for(tasks > 1 ? pool : NULL, encode_task, &job, tasks);
  return job.failure;
}
