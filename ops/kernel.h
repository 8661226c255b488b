/* Kernels and their tables.
 *
 * A kernel is one static function and one const descriptor that begins with pith_kernel. A kind of kernel has one
 * NULL-terminated table of pointers to descriptors, plain C reference first, best last; the last row whose needs are
 * met wins. Kernels allocate nothing, hold no state, never read past their inputs nor write past their outputs,
 * and give the same bits as the reference:
 *
 *   - a sum over n elements is 16 partial sums (element i into i mod 16, ascending), then the tree 8-4-2-1;
 *     (sums down columns are one ascending chain each: mean pooling, gradients of biases, gamma and beta, embeddings);
 *   - an output of a product is one chain of fused multiply-adds in ascending k, from 0;
 *   - exp, erf and tanh are ours (ops/math), the same operations in the same order on every instruction set;
 *   - division and square root are IEEE; no reciprocal estimates; compiled with -ffp-contract=off.
 */
#ifndef PITH_OPS_KERNEL_H
#define PITH_OPS_KERNEL_H

#include <stddef.h>

#include "ops/cpu/cpu.h"

/* How the executor sees any kernel. `args` is the argument structure of the operator's header. A call is split into
 * tasks that may run in any order on any number of threads, each thread with a scratch buffer of its own; the split
 * never changes a bit of the result. */
typedef struct pith_kernel {
  const char *name; /* <op>_<inputs><output>[_<epilogue>]_<mr>x<nr>_<isa> */
  pith_cpu_set needs;
  /* Tasks that `threads` threads should share, 0 where there is nothing to do. */
  size_t (*count_tasks)(const void *args, size_t threads);
  /* Scratch bytes of one thread, 64-byte aligned by the caller, enough for these sizes and all smaller ones; pointers in
   * `args` are not read. NULL: none. */
  size_t (*get_scratch_bytes)(const void *args);
  void (*run)(const void *args, size_t threads, size_t task, void *scratch);
} pith_kernel;

/* The last row of a NULL-terminated table whose needs `cpu` has; a table begins with its reference, which needs
 * nothing, so this is never NULL. */
const pith_kernel *pith_kernel_select(const pith_kernel *const *table, pith_cpu_set cpu);

/* Runs every task on the calling thread: for tests, benches and constant folding. */
void pith_kernel_run_all(const pith_kernel *kernel, const void *args, void *scratch);

#endif
