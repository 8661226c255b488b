#include "models/tasks/hiding.h"
#include "train/data_internal.h"

size_t pith_train_data_count_sequences(const pith_train_data *data, size_t samples) {
  return samples * data->sequences;
}

size_t pith_train_data_count_rows(const pith_train_data *data, size_t tokens, size_t samples) {
  return data->kind != PITH_EVAL_MASKED ? 0 : pith_hiding_most(tokens) + samples;
}

static bool has_targets(const pith_train_data *data) {
  return data->kind == PITH_EVAL_VALUES || data->kind == PITH_EVAL_SETS;
}

/* Of a whole batch. */
static size_t count_labels(const pith_train_data *data, size_t tokens, size_t samples) {
  switch (data->kind) {
  case PITH_EVAL_TAGS:
    return tokens;
  case PITH_EVAL_MASKED:
    return pith_train_data_count_rows(data, tokens, samples);
  default:
    return samples * pith_sample_count_labels(data, 0);
  }
}

pith_status pith_batch_room_init(pith_batch_room *room, const pith_train_data *data, size_t tokens, size_t samples,
                                 pith_arena *arena, pith_error *error) {
  const size_t labels = count_labels(data, tokens, samples);
  *room = (pith_batch_room){
      .offsets = PITH_ARENA_NEW(arena, int32_t, pith_train_data_count_sequences(data, samples) + 1),
      .ids = PITH_ARENA_NEW(arena, int32_t, tokens),
      .type_ids = PITH_ARENA_NEW(arena, int32_t, tokens),
      .labels = PITH_ARENA_NEW(arena, int32_t, has_targets(data) ? 0 : labels),
      .rows = PITH_ARENA_NEW(arena, int32_t, pith_train_data_count_rows(data, tokens, samples)),
      .targets = PITH_ARENA_NEW(arena, float, has_targets(data) ? labels : 0),
  };
  if (room->offsets == NULL || room->ids == NULL || room->type_ids == NULL || room->labels == NULL || room->rows == NULL ||
      room->targets == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a batch of %zu tokens", tokens);
  return PITH_OK;
}

/* Where the next parts of a batch go. */
typedef struct place {
  size_t sequence, token, label, row;
} place;

static void gather_sample(const pith_train_data *data, uint64_t s, pith_batch_room *room, place *at) {
  const uint32_t *word = data->words + data->samples[s].offset, *lengths = word;
  word += data->sequences;
  const size_t labels = pith_sample_count_labels(data, lengths[0]);
  void *to = has_targets(data) ? (void *)(room->targets + at->label) : (void *)(room->labels + at->label);
  if (labels != 0)
    memcpy(to, word, labels * sizeof *word);
  at->label += labels;
  word += labels;
  for (uint32_t i = 0; i < data->sequences; i++) {
    room->offsets[at->sequence++] = (int32_t)at->token;
    for (uint32_t t = 0; t < lengths[i]; t++, word++, at->token++) {
      room->ids[at->token] = (int32_t)(*word & ((1u << PITH_TYPE_SHIFT) - 1));
      room->type_ids[at->token] = (int32_t)(*word >> PITH_TYPE_SHIFT);
    }
  }
}

void pith_train_data_gather(const pith_train_data *data, const pith_order_batch *samples, uint64_t seed, uint64_t epoch,
                            pith_batch_room *room, pith_train_batch *out_batch) {
  place at = {0};
  for (size_t i = 0; i < samples->count; i++) {
    const size_t begin = at.token;
    gather_sample(data, samples->samples[i], room, &at);
    if (data->kind != PITH_EVAL_MASKED)
      continue;
    const pith_hiding hiding = {data->tokenizer, seed, samples->samples[i], epoch};
    const size_t hidden =
        pith_hiding_apply(&hiding, at.token - begin, room->ids + begin, room->rows + at.row, room->labels + at.row);
    for (size_t r = 0; r < hidden; r++)
      room->rows[at.row++] += (int32_t)begin;
  }
  room->offsets[at.sequence] = (int32_t)at.token;
  const bool targets = has_targets(data), masked = data->kind == PITH_EVAL_MASKED;
  *out_batch = (pith_train_batch){.struct_size = sizeof *out_batch,
                                  .sequences = at.sequence,
                                  .offsets = room->offsets,
                                  .ids = room->ids,
                                  .type_ids = room->type_ids,
                                  .labels = targets || data->kind == PITH_EVAL_PAIRS ? NULL : room->labels,
                                  .targets = targets ? room->targets : NULL,
                                  .rows = masked ? room->rows : NULL,
                                  .row_count = at.row};
}
