/* Reading and writing .pith files. The file's layout is described in docs/file-format.md and pith.fbs. */
#ifndef PITH_FORMAT_FORMAT_H
#define PITH_FORMAT_FORMAT_H

#include "engine/base/watcher.h"
#include "engine/format/model_data.h"

/* Reads a model whose file lies at `bytes` (64-byte aligned, `size` bytes long): checks the FlatBuffer, builds the graph in its
 * own arena (allocator), verifies it, and checks every segment's bounds; reads no weight byte. Everything else lives in
 * `arena` or in `bytes`. The tokenizer's arrays are in bounds, its meaning is not checked (pith_tokenizer_data_verify).
 * On failure nothing is left. `out_data->graph` is destroyed by the caller. */
PITH_WARN_UNUSED pith_status pith_format_read(const void *bytes, size_t size, const pith_allocator *allocator,
                                              pith_arena *arena, pith_model_data *out_data, pith_error *error);

/* Also the hashes of all segments: every byte is read. `watcher`: NULL, or told the bytes. */
PITH_WARN_UNUSED pith_status pith_format_check_hashes(const void *bytes, size_t size, const pith_watcher *watcher,
                                                      pith_error *error);

/* What neither opening nor a hash can tell: weights in a stored layout are what packing them gives, and every pattern's mask
 * keeps as many elements as its tensor says. Reads all such weights, one at a time as row-major. The message names the tensor. */
PITH_WARN_UNUSED pith_status pith_format_check_weights(const pith_graph *graph, pith_error *error);

/* Writes a model: to a temporary name in the same folder, synced, renamed. On failure nothing is left behind and an
 * earlier file at `path` is untouched. Part of libpith-compress. */
PITH_WARN_UNUSED pith_status pith_format_write(const char *path, const pith_model_data *data, pith_error *error);
/* The same; `watcher` is told the bytes that are hashed, then those that are written. */
PITH_WARN_UNUSED pith_status pith_format_write_watched(const char *path, const pith_model_data *data,
                                                       const pith_watcher *watcher, pith_error *error);

#endif
