#include "train/order.h"

#include <stdlib.h>

#include "engine/base/random.h"

/* ---- shuffling ---------------------------------------------------------------------------------------------- */

enum { ROUNDS = 6, PLAIN_WINDOW = 64 /* batches, where nothing is sorted */ };

/* A Feistel network over 2 x `half` bits. */
static uint64_t permute_bits(uint64_t seed, uint64_t epoch, uint64_t stream, unsigned half, uint64_t x) {
  const uint64_t mask = (UINT64_C(1) << half) - 1;
  const uint32_t key[2] = {(uint32_t)seed ^ (uint32_t)stream, (uint32_t)(seed >> 32) ^ (uint32_t)(stream >> 32)};
  uint64_t left = x >> half, right = x & mask;
  for (uint32_t round = 0; round < ROUNDS; round++) {
    const uint32_t counter[4] = {(uint32_t)right, round, (uint32_t)epoch, (uint32_t)(epoch >> 32)};
    uint32_t out[4];
    pith_random_philox(counter, key, out);
    const uint64_t next = left ^ (out[0] & mask);
    left = right;
    right = next;
  }
  return left << half | right;
}

/* The network permutes a power of 4 that is at most 4 times `count`: values outside are sent on until they fall inside. */
static uint64_t permute(uint64_t seed, uint64_t epoch, uint64_t stream, uint64_t count, uint64_t place) {
  unsigned half = 1;
  while (half < 31 && UINT64_C(1) << 2 * half < count)
    half++;
  do
    place = permute_bits(seed, epoch, stream, half, place);
  while (place >= count);
  return place;
}

uint64_t pith_order_shuffle(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t place) {
  return permute(seed, epoch, pith_random_stream("order"), count, place);
}

/* ---- windows ------------------------------------------------------------------------------------------------- */

static const pith_sample *get_sample(const pith_order *order, size_t i) {
  return &order->options.samples[order->window[i]];
}

/* One sample of a window while it is sorted: equal lengths stay as they were shuffled. */
typedef struct sort_key {
  uint64_t sample;
  uint32_t tokens, place;
} sort_key;

static int compare_keys(const void *a, const void *b) {
  const sort_key *x = a, *y = b;
  if (x->tokens != y->tokens)
    return x->tokens < y->tokens ? -1 : 1;
  return x->place < y->place ? -1 : 1;
}

static void sort_window(pith_order *order, size_t count) {
  sort_key *keys = order->keys;
  for (size_t i = 0; i < count; i++)
    keys[i] = (sort_key){order->window[i], get_sample(order, i)->tokens, (uint32_t)i};
  qsort(keys, count, sizeof *keys, compare_keys);
  for (size_t i = 0; i < count; i++)
    order->window[i] = keys[i].sample;
}

static void cut_window(pith_order *order, size_t count) {
  const pith_order_options *o = &order->options;
  uint64_t tokens = 0;
  order->batch_count = 0;
  for (size_t i = 0; i < count; i++) {
    const size_t in_batch = order->batch_count == 0 ? 0 : i - order->begins[order->batch_count - 1];
    tokens += get_sample(order, i)->tokens;
    if (order->batch_count == 0 || (o->batch != 0 ? in_batch == o->batch : tokens > o->tokens)) {
      order->begins[order->batch_count++] = (uint32_t)i;
      tokens = get_sample(order, i)->tokens;
    }
  }
  order->begins[order->batch_count] = (uint32_t)count;
}

static void load_window(pith_order *order) {
  const pith_order_options *o = &order->options;
  const uint64_t left = o->count - order->place;
  size_t count = left < order->room ? (size_t)left : order->room;
  for (size_t i = 0; i < count; i++)
    order->window[i] = pith_order_shuffle(o->seed, order->epoch, o->count, order->place + i);
  if (o->group != 0)
    sort_window(order, count);
  cut_window(order, count);
  if (o->batch == 0 && o->group == 0 && count < left && order->batch_count > 1)
    count = order->begins[--order->batch_count]; /* what would be a batch of leftovers begins the next window */
  for (size_t b = 0; b < order->batch_count; b++)
    order->turns[b] = o->group == 0 ? (uint32_t)b
                                    : (uint32_t)permute(o->seed, order->epoch, pith_random_stream("batches") + order->place,
                                                        order->batch_count, b);
  order->place += count;
  order->batch_next = 0;
}

static void begin_epoch(pith_order *order, uint64_t epoch) {
  order->epoch = epoch;
  order->batch = order->place = 0;
  order->batch_count = order->batch_next = 0;
}

/* ---- the order ------------------------------------------------------------------------------------------------ */

/* Samples of a window: so many batches of them, by their mean length where they are cut by tokens. */
static size_t choose_room(const pith_order_options *o) {
  const uint64_t batches = o->group != 0 ? o->group : PLAIN_WINDOW;
  uint64_t in_batch = o->batch;
  if (in_batch == 0) {
    uint64_t tokens = 0;
    for (uint64_t i = 0; i < o->count; i++)
      tokens += o->samples[i].tokens;
    const uint64_t mean = tokens / o->count == 0 ? 1 : tokens / o->count;
    in_batch = o->tokens / mean == 0 ? 1 : o->tokens / mean;
  }
  return (size_t)(in_batch >= o->count || batches >= o->count / in_batch + 1 ? o->count : batches * in_batch);
}

pith_status pith_order_init(pith_order *order, const pith_order_options *options, pith_error *error) {
  *order = (pith_order){.options = *options};
  pith_arena_init(&order->arena, NULL);
  if (options->count == 0 || (options->batch == 0 && options->tokens == 0))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no samples to order, or no size of batches");
  order->room = choose_room(options);
  if (order->room >= UINT32_MAX)
    return pith_fail(error, PITH_LIMIT, "a window of %zu samples is over the limit of %u", order->room, UINT32_MAX - 1);
  order->window = PITH_ARENA_NEW(&order->arena, uint64_t, order->room);
  order->begins = PITH_ARENA_NEW(&order->arena, uint32_t, order->room + 1);
  order->turns = PITH_ARENA_NEW(&order->arena, uint32_t, order->room);
  order->keys = pith_arena_array(&order->arena, options->group != 0 ? order->room : 0, sizeof(sort_key));
  if (order->window == NULL || order->begins == NULL || order->turns == NULL || order->keys == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to order %zu samples", order->room);
  begin_epoch(order, 0);
  return PITH_OK;
}

void pith_order_deinit(pith_order *order) {
  pith_arena_deinit(&order->arena);
  *order = (pith_order){.batch_count = 0};
}

pith_order_batch pith_order_next(pith_order *order) {
  if (order->batch_next == order->batch_count)
    load_window(order);
  const uint32_t b = order->turns[order->batch_next++], begin = order->begins[b];
  pith_order_batch batch = {.samples = order->window + begin, .count = order->begins[b + 1] - begin};
  for (size_t i = 0; i < batch.count; i++)
    batch.tokens += get_sample(order, begin + i)->tokens;
  order->batch++;
  batch.ends_epoch = order->batch_next == order->batch_count && order->place == order->options.count;
  if (batch.ends_epoch)
    begin_epoch(order, order->epoch + 1);
  return batch;
}

void pith_order_seek(pith_order *order, uint64_t epoch, uint64_t batch) {
  begin_epoch(order, epoch);
  const uint64_t in_window = order->options.batch == 0 ? 0 : order->room / order->options.batch;
  if (in_window != 0 && order->room < order->options.count) {
    order->place = batch / in_window * order->room;
    order->batch = batch / in_window * in_window;
  }
  while (order->batch < batch)
    pith_order_next(order);
}

pith_order_survey pith_order_look_ahead(pith_order *order, const pith_order_length *length) {
  pith_order_survey survey = {0};
  uint64_t in_step = 0;
  begin_epoch(order, 0);
  while (length->steps != 0 ? survey.steps < length->steps : order->epoch < length->epochs) {
    const pith_order_batch batch = pith_order_next(order);
    survey.batches++;
    survey.most_tokens = batch.tokens > survey.most_tokens ? batch.tokens : survey.most_tokens;
    survey.most_samples = batch.count > survey.most_samples ? batch.count : survey.most_samples;
    in_step = in_step + 1 == length->accumulate || batch.ends_epoch ? 0 : in_step + 1;
    survey.steps += in_step == 0;
  }
  begin_epoch(order, 0);
  return survey;
}
