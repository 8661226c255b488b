/* Many sequences through one session: encoded, ordered by length, packed into batches that fit the session's
 * limits. Nothing is padded, so the order only keeps batches full and attention tasks even; an answer has the same bits in
 * any batch. */
#ifndef PITH_MODELS_FEED_H
#define PITH_MODELS_FEED_H

#include "engine/base/arena.h"

/* One sequence of token ids. */
typedef struct pith_sequence {
  const int32_t *ids;
  const int32_t *type_ids; /* NULL: all 0 */
  uint32_t length;
} pith_sequence;

/* Batches of sequence indices: batch b is order[begins[b]] .. order[begins[b + 1]]. */
typedef struct pith_feed_plan {
  size_t batch_count;
  const uint32_t *order;  /* [n], longest first, equal lengths in the given order */
  const uint32_t *begins; /* [batch_count + 1] */
} pith_feed_plan;

/* Orders and packs n sequences of the given lengths. PITH_LIMIT where one is longer than max_tokens. */
PITH_WARN_UNUSED pith_status pith_feed_plan_create(const uint32_t *lengths, size_t n, size_t max_tokens,
                                                   size_t max_sequences, pith_arena *arena,
                                                   pith_feed_plan *out_plan, pith_error *error);

/* Takes the answers of one batch: `order` are the `count` indices of its sequences, `offsets` where the tokens of each
 * begin in the batch. */
typedef pith_status (*pith_feed_consume)(void *context, const uint32_t *order, const int32_t *offsets,
                                         size_t count, const pith_result *result, pith_error *error);

/* Runs all sequences; `consume` is called once a batch, on the calling thread. Scratch comes from `arena`. Errors:
 * pith_session_run's and those of `consume`. */
PITH_WARN_UNUSED pith_status pith_feed_run(pith_session *session, const pith_sequence *sequences, size_t n,
                                           pith_arena *arena, pith_feed_consume consume, void *context,
                                           pith_error *error);

/* The same with token-level logits of chosen tokens only (fill-mask): rows[i] are those of sequence i. A batch has at most
 * the session's max_rows of them, in the order of its sequences. */
typedef struct pith_sequence_rows {
  const int32_t *positions; /* [count] tokens of the sequence */
  uint32_t count;
} pith_sequence_rows;
PITH_WARN_UNUSED pith_status pith_feed_run_rows(pith_session *session, const pith_sequence *sequences,
                                                const pith_sequence_rows *rows, size_t n, pith_arena *arena,
                                                pith_feed_consume consume, void *context, pith_error *error);

/* Encodes texts (and pairs) to sequences in `arena`, truncated to the model's max_length, on the session's threads. The
 * error is that of the first text that cannot be encoded. */
PITH_WARN_UNUSED pith_status pith_feed_encode(pith_session *session, const char *const *texts,
                                              const char *const *pairs, size_t n, pith_arena *arena,
                                              pith_sequence *out_sequences, pith_error *error);

/* One text with everything that is known of its tokens, not truncated. */
typedef struct pith_encoded_text {
  size_t count;
  const int32_t *ids, *type_ids;
  const uint32_t (*offsets)[2];
  const uint8_t *sequence;
} pith_encoded_text;
/* The same, whole. */
PITH_WARN_UNUSED pith_status pith_feed_encode_whole(pith_session *session, const char *const *texts,
                                                    const char *const *pairs, size_t n, pith_arena *arena,
                                                    pith_encoded_text *out_texts, pith_error *error);
/* Without a session: on the threads of `pool` (NULL: on the calling one), truncated to `max_length` (0: whole), with offsets and
 * sequences where wanted. */
PITH_WARN_UNUSED pith_status pith_texts_encode(const pith_model *model, struct pthreadpool *pool,
                                               const char *const *texts, const char *const *pairs, size_t n,
                                               size_t max_length, bool offsets, pith_arena *arena,
                                               pith_encoded_text *out_texts, pith_error *error);

/* A long text as overlapping windows: what stands before and after its `sequence` (0 text, 1 pair) is repeated around each
 * slice of it. Window w holds tokens content_begin + w * step .. at most window_tokens of them. */
typedef struct pith_windows {
  size_t count;
  size_t content_begin, content_end; /* tokens of the encoded text that are windowed */
  size_t slice, step;                /* content tokens in a window, and from one window to the next */
} pith_windows;

/* `max_tokens` a window, its fixed part included, `overlap` content tokens shared by neighbours. PITH_LIMIT where the fixed
 * part leaves no room. */
PITH_WARN_UNUSED pith_status pith_windows_plan(const pith_encoded_text *text, uint8_t sequence,
                                               size_t max_tokens, size_t overlap, pith_windows *out_windows,
                                               pith_error *error);
/* Content tokens of window w: [*begin, *end) of the encoded text. */
void pith_windows_get(const pith_windows *windows, size_t w, size_t *out_begin, size_t *out_end);
/* Of those, the ones that stand further from an edge than in any other window. */
void pith_windows_get_own(const pith_windows *windows, size_t w, size_t *out_begin, size_t *out_end);
/* The sequence of window w, in `arena`. */
PITH_WARN_UNUSED pith_status pith_windows_build(const pith_encoded_text *text, const pith_windows *windows,
                                                size_t w, pith_arena *arena, pith_sequence *out_sequence,
                                                pith_error *error);

#endif
