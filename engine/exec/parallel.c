#include "engine/exec/parallel.h"

#include <stdbool.h>

#if PITH_THREADS
#include <pthreadpool.h>
#include <sched.h>

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

/* Waiting costs nothing while it is short (calls take microseconds); then the processor goes to whoever wants it. */
enum { SPINS_BEFORE_YIELD = 2000 };
static void pause_once(unsigned *spins) {
  if (++*spins % SPINS_BEFORE_YIELD == 0) {
    sched_yield();
    return;
  }
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#endif
}

#define FINISHED UINT32_MAX
static uint32_t number_of(uint64_t ticket) {
  return (uint32_t)(ticket >> 32);
}
static bool has_task(const pith_team *team, uint64_t ticket) {
  uint32_t number = number_of(ticket);
  return number != 0 && number != FINISHED && (uint32_t)ticket < team->calls[number - 1].tasks;
}

/* Takes one task of the current call, if it has one left. The number in the ticket that was drawn says which call that
 * is: the leader may have moved on since the caller looked. */
static bool take_task(pith_team *team, size_t slot) {
  if (!has_task(team, __atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE)))
    return false;
  uint64_t ticket = __atomic_fetch_add(&team->ticket, 1, __ATOMIC_ACQ_REL);
  if (!has_task(team, ticket))
    return false;
  const pith_team_call *call = &team->calls[number_of(ticket) - 1];
  call->kernel->run(call->args, team->threads, (uint32_t)ticket, call->scratch + slot * call->scratch_bytes);
  __atomic_fetch_add(&team->done, 1, __ATOMIC_RELEASE);
  return true;
}

static void serve(pith_team *team, size_t slot) {
  unsigned spins = 0;
  while (number_of(__atomic_load_n(&team->ticket, __ATOMIC_ACQUIRE)) != FINISHED)
    if (take_task(team, slot))
      spins = 0;
    else
      pause_once(&spins);
}

typedef struct entry {
  pith_team *team;
  void (*lead)(void *context);
  void *context;
} entry;

/* Slot 0 leads. The pool gives it to the calling thread unless another is quicker. */
static void enter(void *context, size_t slot) {
  entry *e = context;
  ORDER_AFTER(e);
  uint32_t saved = pith_cpu_enter_float();
  if (slot != 0) {
    serve(e->team, slot);
  } else {
    e->lead(e->context);
    __atomic_store_n(&e->team->ticket, (uint64_t)FINISHED << 32, __ATOMIC_RELEASE);
  }
  pith_cpu_leave_float(saved);
  ORDER_BEFORE(e->team);
}

size_t pith_parallel_count_threads(struct pthreadpool *pool) {
  return pool == NULL ? 1 : pthreadpool_get_threads_count(pool);
}

static void run_shared(pith_team *team, uint32_t index) {
  const pith_team_call *call = &team->calls[index];
  __atomic_store_n(&team->done, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&team->ticket, ((uint64_t)index + 1) << 32, __ATOMIC_RELEASE);
  while (take_task(team, 0))
    continue;
  for (unsigned spins = 0; __atomic_load_n(&team->done, __ATOMIC_ACQUIRE) != call->tasks;)
    pause_once(&spins);
}
#else
size_t pith_parallel_count_threads(struct pthreadpool *pool) {
  (void)pool;
  return 1;
}
#endif

void pith_team_run(pith_team *team, struct pthreadpool *pool, void (*lead)(void *context), void *context) {
#if PITH_THREADS
  if (team->threads > 1) {
    entry e = {team, lead, context};
    __atomic_store_n(&team->ticket, 0, __ATOMIC_RELAXED);
    ORDER_BEFORE(&e);
    pthreadpool_parallelize_1d(pool, enter, &e, team->threads, 0);
    ORDER_AFTER(team);
    return;
  }
#endif
  (void)team;
  (void)pool;
  uint32_t saved = pith_cpu_enter_float();
  lead(context);
  pith_cpu_leave_float(saved);
}

void pith_team_run_call(pith_team *team, uint32_t index) {
  pith_team_call *call = &team->calls[index];
  call->tasks = call->kernel->count_tasks(call->args, team->threads);
#if PITH_THREADS
  if (team->threads > 1 && call->tasks > 1 && call->tasks < UINT32_MAX / 2) {
    run_shared(team, index);
    return;
  }
#endif
  for (size_t task = 0; task < call->tasks; task++)
    call->kernel->run(call->args, team->threads, task, call->scratch);
}

#if PITH_THREADS
typedef struct loop {
  void (*function)(void *context, size_t i);
  void *context;
} loop;

static void run_loop(void *context, size_t i) {
  loop *l = context;
  ORDER_AFTER(l);
  l->function(l->context, i);
  ORDER_BEFORE(l->context);
}
#endif

void pith_parallel_for(struct pthreadpool *pool, void (*function)(void *context, size_t i), void *context,
                       size_t count) {
#if PITH_THREADS
  if (pool != NULL) {
    loop l = {function, context};
    ORDER_BEFORE(&l);
    pthreadpool_parallelize_1d(pool, run_loop, &l, count, 0);
    ORDER_AFTER(context);
    return;
  }
#endif
  (void)pool;
  for (size_t i = 0; i < count; i++)
    function(context, i);
}
