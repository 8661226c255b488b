#include "engine/base/file_writer.h"
#include "engine/format/format_internal.h"

/* One segment for each tensor that has bytes, in the graph's order, then one for each packed copy. */
typedef struct plan {
  const pith_watcher *watcher;
  uint64_t total; /* bytes of all segments */
  uint32_t segment_count, first_copy;
  uint64_t end; /* where the next segment begins */
  pith_format_segment *segments;
  const void **data;         /* [segment_count] */
  uint32_t *tensor_segments; /* [graph->tensor_count] */
} plan;

static void add_segment(plan *p, const void *data, uint64_t bytes) {
  pith_format_segment *segment = &p->segments[p->segment_count];
  segment->offset = p->end;
  segment->bytes = bytes;
  pith_watcher_tell(p->watcher, "hash", p->end, p->total);
  pith_sha256_digest(data, bytes, segment->hash);
  p->data[p->segment_count++] = data;
  p->end += (bytes + PITH_FORMAT_ALIGNMENT - 1) & ~(uint64_t)(PITH_FORMAT_ALIGNMENT - 1);
}

static pith_status plan_segments(const pith_graph *graph, const pith_watcher *watcher, pith_arena *arena,
                                 plan *out_plan, pith_error *error) {
  size_t count = graph->tensor_count;
  uint64_t total = 0; /* what is stored lies in memory: no overflow */
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    count += tensor->copy_count;
    total += tensor->data_bytes;
    for (uint32_t c = 0; c < tensor->copy_count; c++)
      total += tensor->copies[c].data_bytes;
  }
  plan p = {.watcher = watcher,
            .total = total,
            .segments = PITH_ARENA_NEW(arena, pith_format_segment, count),
            .data = PITH_ARENA_NEW(arena, const void *, count),
            .tensor_segments = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count)};
  if (p.segments == NULL || p.data == NULL || p.tensor_segments == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory while writing the model");
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    p.tensor_segments[i] = PITH_NONE;
    if (tensor->data_bytes == 0) /* verified: it has none to store */
      continue;
    if (tensor->data == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "tensor '%s' has no data to write", tensor->name);
    p.tensor_segments[i] = p.segment_count;
    add_segment(&p, tensor->data, tensor->data_bytes);
  }
  p.first_copy = p.segment_count;
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    for (uint32_t c = 0; c < graph->tensors[i].copy_count; c++)
      if (graph->tensors[i].copies[c].data_bytes != 0)
        add_segment(&p, graph->tensors[i].copies[c].data, graph->tensors[i].copies[c].data_bytes);
  *out_plan = p;
  return PITH_OK;
}

static pith_status write_parts(pith_file_writer *writer, const pith_format_buffer *metadata, const plan *p,
                               pith_error *error) {
  PITH_TRY(pith_file_writer_write(writer, metadata->bytes, metadata->size, error));
  PITH_TRY(pith_file_writer_align(writer, PITH_FORMAT_BASE_ALIGNMENT, error));
  for (uint32_t i = 0; i < p->segment_count; i++) {
    pith_watcher_tell(p->watcher, "write", p->segments[i].offset, p->end);
    PITH_TRY(pith_file_writer_write(writer, p->data[i], p->segments[i].bytes, error));
    PITH_TRY(pith_file_writer_align(writer, PITH_FORMAT_ALIGNMENT, error));
  }
  return PITH_OK;
}

static pith_status write_model(pith_file_writer *writer, const pith_model_data *data, const pith_watcher *watcher,
                               pith_arena *arena, pith_error *error) {
  plan p = {0};
  PITH_TRY(plan_segments(data->graph, watcher, arena, &p, error));
  pith_format_buffer metadata;
  PITH_TRY(pith_format_build_metadata(data, p.segment_count, p.segments, p.tensor_segments, p.first_copy, arena,
                                      &metadata, error));
  uint8_t hash[PITH_SHA256_BYTES];
  pith_format_hash_metadata(metadata.bytes, metadata.size, metadata.hash_offset, hash);
  memcpy(metadata.bytes + metadata.hash_offset, hash, sizeof hash);
  pith_status status = write_parts(writer, &metadata, &p, error);
  pith_release(NULL, metadata.memory, metadata.memory_bytes);
  return status == PITH_OK ? pith_file_writer_commit(writer, error) : status;
}

pith_status pith_format_write(const char *path, const pith_model_data *data, pith_error *error) {
  return pith_format_write_watched(path, data, NULL, error);
}

pith_status pith_format_write_watched(const char *path, const pith_model_data *data, const pith_watcher *watcher,
                                      pith_error *error) {
  PITH_TRY(pith_graph_verify(data->graph, error));
  pith_file_writer writer;
  PITH_TRY(pith_file_writer_open(&writer, path, error));
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_status status = write_model(&writer, data, watcher, &arena, error);
  pith_arena_deinit(&arena);
  pith_file_writer_discard(&writer);
  return status;
}
