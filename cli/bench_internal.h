/* What bench's parts share. */
#ifndef PITH_CLI_BENCH_INTERNAL_H
#define PITH_CLI_BENCH_INTERNAL_H

#include "cli/session.h"
#include "engine/base/file_writer.h"
#include "engine/ir/graph.h"
#include "models/heads/feed.h"

/* Arithmetic of the model's products over real tokens: 2 K N for each row of a product with weights, and for attention
 * 2 L^2 (key features + value features) for a sequence of L tokens, the causal half counted whole. */
PITH_WARN_UNUSED pith_status pith_bench_count_flops(const pith_graph *graph, const int32_t *offsets,
                                                    size_t sequences, size_t rows, double *out_flops,
                                                    pith_error *error);
/* Ids that the model takes: 0 to this, less one. */
PITH_WARN_UNUSED pith_status pith_bench_count_ids(const pith_graph *graph, int64_t *out_count, pith_error *error);

/* The profile of a session as a table on `out`, or as JSON objects, or as a Chrome trace of the last run. `peak` is one
 * core's FP32 peak in operations a second, `threads` how many shared each operator. */
void pith_bench_print_profile(FILE *out, const pith_session *session, double peak, size_t threads, bool json);
PITH_WARN_UNUSED pith_status pith_bench_write_trace(pith_file_writer *writer, const pith_session *session,
                                                    pith_error *error);

#endif
