#include "quant/source.h"

#include "compiler/rewrite/structure.h"
#include "engine/base/random.h"
#include "models/tasks/evaluate.h"

/* ---- rows ------------------------------------------------------------------------------------------------------------- */

static pith_status next_rows(void *context, pith_session *session, pith_arena *arena,
                             const pith_sequence **out_sequences, size_t *out_count, pith_error *error) {
  pith_row_source *source = context;
  const size_t left = source->count - source->done, n = left < PITH_SOURCE_CHUNK ? left : PITH_SOURCE_CHUNK;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  if (sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  if (n != 0)
    PITH_TRY(pith_rows_encode(session, source->rows + source->done, n, arena, sequences, error));
  source->done += n;
  *out_sequences = sequences;
  *out_count = n;
  return PITH_OK;
}

static pith_status rewind_rows(void *context, pith_error *error) {
  (void)error;
  ((pith_row_source *)context)->done = 0;
  return PITH_OK;
}

pith_calibration_source pith_row_source_get(pith_row_source *source) {
  return (pith_calibration_source){source, next_rows, rewind_rows};
}

/* ---- at random ---------------------------------------------------------------------------------------------------------- */

enum { MIN_LENGTH = 8, MAX_LENGTH = 128 };

/* 32 bits of place `index` of a stream. */
static uint32_t draw(uint64_t seed, uint64_t stream, uint64_t index) {
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
  uint32_t numbers[4];
  pith_random_philox(counter, key, numbers);
  return numbers[0];
}

static uint32_t draw_below(uint64_t seed, uint64_t stream, uint64_t index, uint32_t bound) {
  return (uint32_t)((uint64_t)draw(seed, stream, index) * bound >> 32);
}

static pith_status next_random(void *context, pith_session *session, pith_arena *arena,
                               const pith_sequence **out_sequences, size_t *out_count, pith_error *error) {
  (void)session;
  pith_random_source *source = context;
  const uint64_t stream = pith_random_stream("calibration");
  const uint64_t left = source->count - source->done;
  const size_t n = left < PITH_SOURCE_CHUNK ? (size_t)left : PITH_SOURCE_CHUNK;
  pith_sequence *sequences = PITH_ARENA_NEW(arena, pith_sequence, n);
  if (sequences == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu sequences", n);
  const uint32_t longest = source->max_length < MAX_LENGTH ? source->max_length : MAX_LENGTH;
  const uint32_t shortest = longest < MIN_LENGTH ? longest : MIN_LENGTH;
  for (size_t i = 0; i < n; i++) {
    const uint64_t begin = (source->done + i) * (MAX_LENGTH + 1); /* numbers of its own */
    const uint32_t length = shortest + draw_below(source->seed, stream, begin, longest - shortest + 1);
    int32_t *ids = PITH_ARENA_NEW(arena, int32_t, length);
    if (ids == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u ids", length);
    for (uint32_t t = 0; t < length; t++)
      ids[t] = (int32_t)draw_below(source->seed, stream, begin + 1 + t, source->vocabulary);
    sequences[i] = (pith_sequence){ids, NULL, length};
  }
  source->done += n;
  *out_sequences = sequences;
  *out_count = n;
  return PITH_OK;
}

static pith_status rewind_random(void *context, pith_error *error) {
  (void)error;
  ((pith_random_source *)context)->done = 0;
  return PITH_OK;
}

pith_status pith_random_source_init(pith_random_source *source, const pith_model_data *data, uint64_t count,
                                    uint64_t seed, pith_error *error) {
  *source = (pith_random_source){.count = count, .seed = seed, .max_length = data->max_length};
  const pith_graph *graph = data->graph;
  source->vocabulary = (uint32_t)pith_lookup_find_rows(graph, "input_ids");
  if (source->vocabulary == 0 || source->max_length == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "graph '%s' looks up no input_ids: random ones cannot be made",
                     graph->name);
  return PITH_OK;
}

pith_calibration_source pith_random_source_get(pith_random_source *source) {
  return (pith_calibration_source){source, next_random, rewind_random};
}

uint64_t pith_sample_place(uint64_t index, uint64_t count, uint64_t seed) {
  if (index < count)
    return index;
  if (seed == 0)
    return count;
  const uint64_t stream = pith_random_stream("samples");
  const uint64_t wide = (uint64_t)draw(seed, stream, 2 * index) << 32 | draw(seed, stream, 2 * index + 1);
  const uint64_t place = wide % (index + 1); /* index + 1 is far below 2^64: no value is likelier by more than 1e-9 */
  return place < count ? place : count;
}
