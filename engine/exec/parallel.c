#include "engine/exec/parallel.h"

#if PITH_THREADS
#include <pthreadpool.h>
#include <stdatomic.h>

/* The pool orders memory between caller and workers, but it is not compiled with us: a race detector has to be told. */
#if defined(__SANITIZE_THREAD__)
#define RACE_DETECTOR 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACE_DETECTOR 1
#endif
#endif
#ifdef RACE_DETECTOR
#include <sanitizer/tsan_interface.h>
#define ORDER_BEFORE(address) __tsan_release(address)
#define ORDER_AFTER(address) __tsan_acquire(address)
#else
#define ORDER_BEFORE(address) (void)(address)
#define ORDER_AFTER(address) (void)(address)
#endif

/* A pool calls work() once for each slot; each call takes task after task until none is left, so a thread that
 * starts late just takes fewer. */
typedef struct call {
  const pith_kernel *kernel;
  const void *args;
  size_t threads, tasks;
  char *scratch;
  size_t scratch_bytes;
  _Alignas(64) atomic_size_t next;
} call;

static void work(void *context, size_t slot) {
  call *c = context;
  ORDER_AFTER(context);
  uint32_t saved = pith_cpu_enter_float();
  for (size_t task; (task = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed)) < c->tasks;)
    c->kernel->run(c->args, c->threads, task, c->scratch + slot * c->scratch_bytes);
  pith_cpu_leave_float(saved);
  ORDER_BEFORE(&c->next);
}

size_t pith_parallel_count_threads(struct pthreadpool *pool) {
  return pool == NULL ? 1 : pthreadpool_get_threads_count(pool);
}

static void run_pool(struct pthreadpool *pool, size_t threads, const pith_kernel *kernel, const void *args,
                     size_t tasks, char *scratch, size_t scratch_bytes) {
  call c = {kernel, args, threads, tasks, scratch, scratch_bytes, 0};
  ORDER_BEFORE(&c);
  pthreadpool_parallelize_1d(pool, work, &c, tasks < threads ? tasks : threads, 0);
  ORDER_AFTER(&c.next);
}
#else
size_t pith_parallel_count_threads(struct pthreadpool *pool) {
  (void)pool;
  return 1;
}
#endif

void pith_parallel_run(struct pthreadpool *pool, size_t threads, const pith_kernel *kernel, const void *args,
                       char *scratch, size_t scratch_bytes) {
  size_t tasks = kernel->count_tasks(args, threads);
#if PITH_THREADS
  if (threads > 1 && tasks > 1) {
    run_pool(pool, threads, kernel, args, tasks, scratch, scratch_bytes);
    return;
  }
#endif
  (void)pool;
  (void)scratch_bytes;
  for (size_t task = 0; task < tasks; task++)
    kernel->run(args, threads, task, scratch);
}

void pith_parallel_for(struct pthreadpool *pool, void (*function)(void *context, size_t i), void *context,
                       size_t count) {
#if PITH_THREADS
  if (pool != NULL) {
    pthreadpool_parallelize_1d(pool, function, context, count, 0);
    return;
  }
#endif
  (void)pool;
  for (size_t i = 0; i < count; i++)
    function(context, i);
}
