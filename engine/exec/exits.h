/* Models that may answer early: a graph with exits, run in stages.
 *
 *     ids ──► stage 1 ──► exit_1.logits: sure enough, and the sequence is done
 *                └──► rows of the other sequences ──► stage 2 ──► exit_2.logits ──► .. ──► logits
 *
 * An exit is an output of the graph called "exit_1.logits", "exit_2.logits" .. with the shape of "logits": the answer of a head behind an earlier
 * layer. A stage is what leads to its exit and to no earlier one; what it reads of the stages before are inputs of it. Sequences lie one after
 * the other without padding, so those that are done are cut out. Whether a sequence is done depends on its own logits alone: it has the
 * same answer in any batch. */
#ifndef PITH_EXEC_EXITS_H
#define PITH_EXEC_EXITS_H

#include "engine/exec/executor.h"

enum { PITH_EXITS_MOST = 63 }; /* beside the end */
#define PITH_EXIT_NAME "exit_%u.logits" /* from 1 */

/* Exits of a graph, numbered without a gap; 0: it has none. */
uint32_t pith_exits_count(const pith_graph *graph);
/* Output of the graph that is exit `index`, from 0, or with `index` the number of exits "logits"; PITH_NONE: there is no such output. */
pith_tensor_id pith_exits_get_output(const pith_graph *graph, uint32_t index);

typedef struct pith_exits pith_exits;

typedef struct pith_exits_options {
  pith_lower_options lowering;     /* symbol limits are the graph's */
  pith_executor_options execution; /* without profile */
  size_t max_tokens, max_sequences;
  double threshold;                /* a sequence is done where its largest softmax probability is at least this */
} pith_exits_options;

/* All stages. PITH_UNSUPPORTED where the graph has no exits, an exit is no row of floats for each sequence, or a stage reads something of
 * an earlier one, or of the inputs, that has no row for each token. `graph` must outlive it. */
PITH_WARN_UNUSED pith_status pith_exits_create(const pith_graph *graph, const pith_exits_options *options, pith_exits **out_exits,
                                               pith_error *error);
void pith_exits_destroy(pith_exits *exits); /* NULL is accepted */
/* Of the blocks of memory of all stages. */
size_t pith_exits_count_bytes(const pith_exits *exits);

/* Sequences, checked by the caller to be within the limits; type_ids are given. Logits [sequences, labels] of the exits where each was done
 * live until the next run. Never allocates. */
PITH_WARN_UNUSED pith_status pith_exits_run(pith_exits *exits, const pith_batch *batch, pith_output *out_logits, pith_error *error);

/* Sequences that were done at each exit, the end last, over all runs. */
const uint64_t *pith_exits_get_counts(const pith_exits *exits, size_t *out_count);

#endif
