/* Texts to sequences, on several threads. The threads write into buffers that are made before
 * they begin, since an allocator need not be safe for them; what was written is then copied to
 * where it stays. */
#include "engine/base/error.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "models/heads/feed.h"

enum {
  SPECIAL_TOKENS = 16,    /* room for more than any template has */
  ROUND_TOKENS = 1 << 15, /* of buffers, unless a single text wants more */
  ROUND_TEXTS = ROUND_TOKENS / SPECIAL_TOKENS,
};

/* As many texts as fit the buffers, one round after the other. */
typedef struct rounds {
  const pith_model *model;
  struct pthreadpool *pool;
  const char *const *texts, *const *pairs;
  size_t n, next;    /* texts; the first one of the next round */
  size_t max_length; /* 0: nothing is cut */
  bool offsets;      /* and sequence */
  pith_arena *arena;
  pith_encoding *encodings; /* of this round */
  pith_status *statuses;
  pith_encoding room,
      single; /* buffers of a round; of a text that needs more than others of its length */
} rounds;

static pith_status make_room(const rounds *r, size_t capacity, pith_encoding *out_room,
                             pith_error *error) {
  *out_room = (pith_encoding){.struct_size = sizeof *out_room,
                              .capacity = capacity,
                              .ids = PITH_ARENA_NEW(r->arena, int32_t, capacity),
                              .type_ids = PITH_ARENA_NEW(r->arena, int32_t, capacity)};
  if (r->offsets) {
    out_room->offsets = pith_arena_array(r->arena, capacity, sizeof *out_room->offsets);
    out_room->sequence = PITH_ARENA_NEW(r->arena, uint8_t, capacity);
  }
  if (out_room->ids == NULL || out_room->type_ids == NULL ||
      (r->offsets && (out_room->offsets == NULL || out_room->sequence == NULL)))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a text of %zu tokens", capacity);
  return PITH_OK;
}

/* Tokens that text i has room for. One a byte is enough but for characters that a normalizer
 * decomposes: U+FDFA is 3 bytes and 18 characters, of two bytes each, which byte-level tokens may
 * stand for one by one. Those are encoded again. */
static size_t room_of(const rounds *r, size_t i) {
  size_t tokens = strlen(r->texts[i]) + SPECIAL_TOKENS;
  if (r->pairs != NULL && r->pairs[i] != NULL)
    tokens += strlen(r->pairs[i]);
  return r->max_length != 0 && tokens > r->max_length ? r->max_length : tokens;
}

static pith_status rounds_init(rounds *r, pith_error *error) {
  const size_t n = r->n;
  pith_arena *arena = r->arena;
  size_t all = 0, most = 0;
  for (size_t i = 0; i < n && r->texts[i] != NULL; i++) {
    const size_t room = room_of(r, i);
    most = room > most ? room : most;
    all += room;
  }
  const size_t most_texts = n < ROUND_TEXTS ? n : ROUND_TEXTS;
  r->encodings = PITH_ARENA_NEW(arena, pith_encoding, most_texts);
  r->statuses = PITH_ARENA_NEW(arena, pith_status, most_texts);
  if (r->encodings == NULL || r->statuses == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  const size_t round = most > ROUND_TOKENS ? most : ROUND_TOKENS;
  return make_room(r, all < round ? all : round, &r->room, error);
}

/* Copies one encoding out of the buffers. */
static pith_status keep(const rounds *r, const pith_encoding *from, pith_encoded_text *out,
                        pith_error *error) {
  const size_t count = from->count;
  int32_t *ids = PITH_ARENA_NEW(r->arena, int32_t, 2 * count);
  uint32_t(*offsets)[2] = r->offsets ? pith_arena_array(r->arena, count, sizeof *offsets) : NULL;
  uint8_t *sequence = r->offsets ? PITH_ARENA_NEW(r->arena, uint8_t, count) : NULL;
  if (ids == NULL || (r->offsets && (offsets == NULL || sequence == NULL)))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the tokens of %zu texts", r->n);
  memcpy(ids, from->ids, count * sizeof *ids);
  memcpy(ids + count, from->type_ids, count * sizeof *ids);
  if (r->offsets) {
    memcpy(offsets, from->offsets, count * sizeof *offsets);
    memcpy(sequence, from->sequence, count);
  }
  *out = (pith_encoded_text){count, ids, ids + count, (const uint32_t(*)[2])offsets, sequence};
  return PITH_OK;
}

/* Once more, with as much room as it takes; its error is the call's. */
static pith_status encode_again(rounds *r, size_t i, pith_error *error) {
  for (size_t capacity = r->max_length;;) {
    if (r->single.capacity < capacity)
      PITH_TRY(make_room(r, capacity, &r->single, error));
    const pith_status status =
        pith_encode(r->model, r->texts[i], SIZE_MAX, r->pairs == NULL ? NULL : r->pairs[i],
                    SIZE_MAX, r->max_length, &r->single, error);
    if (status != PITH_LIMIT || r->single.count <= r->single.capacity)
      return status;
    capacity = r->single.count;
  }
}

/* Encodes the next round; its texts go to out[r->next before the call ..]. */
static pith_status rounds_run(rounds *r, pith_encoded_text *out, pith_error *error) {
  const size_t begin = r->next;
  size_t count = 0, used = 0;
  for (; begin + count < r->n && count < ROUND_TEXTS && r->texts[begin + count] != NULL; count++) {
    const size_t room = room_of(r, begin + count);
    if (r->room.capacity - used < room)
      break;
    r->encodings[count] = (pith_encoding){.struct_size = sizeof *r->encodings,
                                          .capacity = room,
                                          .ids = r->room.ids + used,
                                          .type_ids = r->room.type_ids + used,
                                          .offsets = r->offsets ? r->room.offsets + used : NULL,
                                          .sequence = r->offsets ? r->room.sequence + used : NULL};
    used += room;
  }
  if (count == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "text %zu is NULL", begin);
  const pith_status status = pith_encode_batch(r->model, r->pool, r->texts + begin,
                                               r->pairs == NULL ? NULL : r->pairs + begin, count,
                                               r->max_length, r->encodings, r->statuses, error);
  if (status == PITH_UNSUPPORTED)
    return status;
  for (size_t k = 0; k < count; k++) {
    const bool again = r->statuses[k] != PITH_OK;
    if (again)
      PITH_TRY(encode_again(r, begin + k, error));
    PITH_TRY(keep(r, again ? &r->single : &r->encodings[k], &out[k], error));
  }
  r->next += count;
  return PITH_OK;
}

pith_status pith_texts_encode(const pith_model *model, struct pthreadpool *pool, const char *const *texts,
                              const char *const *pairs, size_t n, size_t max_length, bool offsets,
                              pith_arena *arena, pith_encoded_text *out_texts, pith_error *error) {
  rounds r = {.model = model,
              .pool = pool,
              .texts = texts,
              .pairs = pairs,
              .n = n,
              .max_length = max_length,
              .offsets = offsets,
              .arena = arena,
              .single = {.struct_size = sizeof r.single}};
  PITH_TRY(rounds_init(&r, error));
  while (r.next < n)
    PITH_TRY(rounds_run(&r, out_texts + r.next, error));
  return PITH_OK;
}

pith_status pith_feed_encode(pith_session *session, const char *const *texts,
                             const char *const *pairs, size_t n, pith_arena *arena,
                             pith_sequence *out_sequences, pith_error *error) {
  const pith_model *model = pith_session_get_model(session);
  pith_encoded_text *encoded = PITH_ARENA_NEW(arena, pith_encoded_text, n);
  if (encoded == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
  PITH_TRY(pith_texts_encode(model, pith_session_get_threadpool(session), texts, pairs, n,
                             model->data.max_length, false, arena, encoded, error));
  for (size_t i = 0; i < n; i++)
    out_sequences[i] =
        (pith_sequence){encoded[i].ids, encoded[i].type_ids, (uint32_t)encoded[i].count};
  return PITH_OK;
}

pith_status pith_feed_encode_whole(pith_session *session, const char *const *texts,
                                   const char *const *pairs, size_t n, pith_arena *arena,
                                   pith_encoded_text *out_texts, pith_error *error) {
  return pith_texts_encode(pith_session_get_model(session), pith_session_get_threadpool(session),
                           texts, pairs, n, 0, true, arena, out_texts, error);
}
