/* The order in which a run sees its samples: shuffled anew in each epoch, cut into batches.
 *
 *     place in the epoch ──► sample      a permutation by Feistel rounds of Philox: a function of seed, epoch and place, which
 *                                        needs no memory however many samples there are
 *     windows of places  ──► batches     grouped: a window's samples are sorted by length before they are cut, and its
 *                                        batches shuffled, so that those of like length stand together
 *
 * The order is the same on every machine, and where a run stands in it is two numbers: epoch and batch. */
#ifndef PITH_TRAIN_ORDER_H
#define PITH_TRAIN_ORDER_H

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* What is known of a sample; `offset` and `row` are whose it is (train/data.h). */
typedef struct pith_sample {
  uint64_t offset;
  uint32_t tokens, row;
} pith_sample;

typedef struct pith_order_options {
  const pith_sample *samples; /* [count] borrowed */
  uint64_t count;
  uint64_t seed;
  uint64_t batch;  /* samples of a batch; 0: by tokens */
  uint64_t tokens; /* most in a batch, but for a sample longer than that, which is one of its own */
  uint64_t group;  /* batches of a window that are grouped by length; 0: not grouped */
} pith_order_options;

typedef struct pith_order {
  pith_order_options options;
  uint64_t epoch, batch; /* the one that is next */
  uint64_t place;        /* of the epoch, where the next window begins */
  size_t room;           /* places of a window */
  uint64_t *window;      /* [room] samples */
  uint32_t *begins;      /* [batch_count + 1] into the window */
  uint32_t *turns;       /* [batch_count] the order of its batches */
  void *keys;            /* to sort with */
  size_t batch_count, batch_next;
  pith_arena arena;
} pith_order;

/* The sample at a place of an epoch: for each epoch a permutation of 0 .. count - 1. */
uint64_t pith_order_shuffle(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t place);

/* Begins at epoch 0. PITH_INVALID_ARGUMENT: no samples. pith_order_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_order_init(pith_order *order, const pith_order_options *options, pith_error *error);
void pith_order_deinit(pith_order *order);

/* The next batch, good until the next call; after an epoch's last one the next epoch's first. */
typedef struct pith_order_batch {
  const uint64_t *samples; /* [count] */
  size_t count;
  uint64_t tokens;
  bool ends_epoch; /* it is an epoch's last */
} pith_order_batch;
pith_order_batch pith_order_next(pith_order *order);
/* So that pith_order_next gives batch `batch` of `epoch`. Takes time in the number of batches before it where they are cut by
 * tokens, else none. */
void pith_order_seek(pith_order *order, uint64_t epoch, uint64_t batch);

/* How long a run is: so many epochs, or where it is not 0 so many steps, each of `accumulate` batches of one epoch or what is left
 * of it. */
typedef struct pith_order_length {
  uint64_t epochs, steps, accumulate;
} pith_order_length;
/* What it will be, from the lengths of the samples alone. */
typedef struct pith_order_survey {
  uint64_t batches, steps;
  uint64_t most_tokens, most_samples; /* in one batch */
} pith_order_survey;
/* `order` is at epoch 0 afterwards. */
pith_order_survey pith_order_look_ahead(pith_order *order, const pith_order_length *length);

#endif
