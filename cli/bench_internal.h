/* What bench's parts share. */
#ifndef PITH_CLI_BENCH_INTERNAL_H
#define PITH_CLI_BENCH_INTERNAL_H

#include "cli/session.h"
#include "engine/base/file_writer.h"
#include "engine/exec/session_access.h"
#include "engine/lower/program.h"
#include "models/heads/feed.h"

/* Arithmetic of the model's products over real tokens: 2 K N for each row of a product with weights, zeros that a sparse product
 * leaves out counted like others (what a dense one would do), and for attention 2 L^2 (key features + value features) for a
 * sequence of L tokens, the causal half counted whole. */
typedef struct pith_operations {
  double all, integer; /* those of INT8 products are in both */
  double done;         /* of all, without what sparse products leave out */
} pith_operations;
typedef struct pith_bench_counter {
  const pith_program *program;
  pith_view *views;  /* [program->value_count] */
  int64_t *symbols;  /* [graph->symbol_count] */
} pith_bench_counter;
PITH_WARN_UNUSED pith_status pith_bench_counter_init(pith_bench_counter *counter, const pith_program *program,
                                                     pith_arena *arena, pith_error *error);
/* Of one batch. */
PITH_WARN_UNUSED pith_status pith_bench_count_operations(pith_bench_counter *counter, const int32_t *offsets,
                                                         size_t sequences, size_t rows, pith_operations *out,
                                                         pith_error *error);
/* Ids that the model takes: 0 to this, less one. */
PITH_WARN_UNUSED pith_status pith_bench_count_ids(const pith_graph *graph, int64_t *out_count, pith_error *error);

/* One core's peaks in operations a second. */
typedef struct pith_peaks {
  double fp32, int8;
} pith_peaks;
/* The profile of a session as a table on `out`, or as JSON objects, or as a Chrome trace of the last run. Each operator is
 * held against the peak of its own arithmetic; `threads` shared it. */
void pith_bench_print_profile(FILE *out, const pith_session *session, pith_peaks peaks, size_t threads, bool json);
/* The same of any entries; `program`: whose steps the first of them are, or NULL: all of them are dense and of floats. */
void pith_bench_print_entries(FILE *out, const pith_program *program, const pith_profile_entry *entries, size_t count,
                              pith_peaks peaks, size_t threads, bool json);
PITH_WARN_UNUSED pith_status pith_bench_write_trace(pith_file_writer *writer, const pith_session *session,
                                                    pith_error *error);

#endif
