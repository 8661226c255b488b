/* Text to tokens: added tokens are cut out of the raw text, the rest is normalized, cut once more,
 * and goes to the model; then truncation and the post-processor's template. */
#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "models/tokenizer/encode_internal.h"

/* ---- offsets
 * ------------------------------------------------------------------------------------------ */

pith_span pith_encoder_trim(const pith_encoder *encoder, pith_span span, size_t leading,
                            size_t trailing, bool first) {
  uint32_t character;
  if (leading == 1 && (first || span.begin == 0) &&
      (encoder->data->flags & PITH_TOKENIZER_TRIM_KEEPS_PREFIX))
    leading = 0; /* the space that was added, or could have been */
  for (; leading > 0 && span.begin < span.end; leading--)
    span.begin += pith_utf8_decode(encoder->text + span.begin, span.end - span.begin, &character);
  /* Nothing comes off where fewer characters than `trailing` lie before the end. */
  uint32_t end = span.end;
  for (; trailing > 0 && end > 0; trailing--)
    end -= pith_utf8_decode_before(encoder->text, end, &character);
  if (trailing == 0)
    span.end = end > span.begin ? end : span.begin;
  return span;
}

/* ---- added tokens
 * ------------------------------------------------------------------------------------- */

static bool is_class_before(const uint8_t *text, size_t begin, size_t at, unsigned class,
                            unsigned *out_bytes) {
  if (at <= begin)
    return false;
  uint32_t character;
  *out_bytes = pith_utf8_decode_before(text + begin, at - begin, &character);
  return (pith_char_class(character) & class) != 0;
}

static bool is_class_at(const uint8_t *text, size_t at, size_t end, unsigned class,
                        unsigned *out_bytes) {
  if (at >= end)
    return false;
  uint32_t character;
  *out_bytes = pith_utf8_decode(text + at, end - at, &character);
  return (pith_char_class(character) & class) != 0;
}

/* The search for added tokens in text[begin, end): leftmost, then longest. */
typedef struct added_search {
  const pith_tokenizer_data *data;
  unsigned which; /* table */
  pith_key_table table;
  const uint8_t *text;
  size_t begin, end;
  size_t at;   /* where matching goes on */
  size_t done; /* the end of the last token found, white space that it takes included */
} added_search;

static added_search begin_added(const pith_tokenizer_data *data, unsigned which,
                                const uint8_t *text, size_t bytes) {
  return (added_search){data, which, pith_index_table(data, which), text, 0, bytes, 0, 0};
}

/* The longest added token that `text` begins with, or NULL. */
static const pith_added_token *longest_added(const added_search *search, const uint8_t *text,
                                             size_t bytes) {
  const pith_tokenizer_data *data = search->data;
  const pith_added_token *longest = NULL;
  uint64_t hash = pith_key_begin(&search->table);
  for (size_t i = 0; i < bytes && i < search->table.longest; i++) {
    hash = pith_key_step(hash, text[i]);
    if (!pith_key_goes_on(&search->table, hash, i + 1))
      break;
    uint32_t guess = pith_key_guess(&search->table, hash);
    if (guess < data->added_count && data->added[guess].text_bytes == i + 1 &&
        pith_key_same(data->added_text + data->added[guess].text, text, i + 1))
      longest = &data->added[guess];
  }
  return longest;
}

/* The next added token, with the white space it takes; NULL: none is left. */
static const pith_added_token *added_next(added_search *search, size_t *out_begin,
                                          size_t *out_end) {
  const pith_tokenizer_data *data = search->data;
  if (search->table.longest == 0)
    return NULL;
  const uint8_t *text = search->text;
  while ((search->at = pith_index_next_added(data, search->which, text, search->at, search->end)) <
         search->end) {
    size_t start = search->at;
    const pith_added_token *token = longest_added(search, text + start, search->end - start);
    if (token == NULL) {
      search->at++;
      continue;
    }
    size_t stop = start + token->text_bytes;
    search->at = stop;
    unsigned length;
    if ((token->flags & PITH_ADDED_SINGLE_WORD) &&
        (is_class_before(text, search->begin, start, PITH_CHAR_WORD, &length) ||
         is_class_at(text, stop, search->end, PITH_CHAR_WORD, &length)))
      continue;
    if (token->flags & PITH_ADDED_LSTRIP)
      while (start > search->done &&
             is_class_before(text, search->begin, start, PITH_CHAR_SPACE, &length))
        start -= length;
    if (start < search->done)
      start =
          search->done < stop ? search->done : stop; /* an earlier token took this white space */
    if (token->flags & PITH_ADDED_RSTRIP)
      while (is_class_at(text, stop, search->end, PITH_CHAR_SPACE, &length))
        stop += length;
    search->done = stop;
    *out_begin = start;
    *out_end = stop;
    return token;
  }
  return NULL;
}

/* Emits an added token whose text (white space included) is text[begin, end) and whose span in the
 * original is `span`. */
static void emit_added(pith_encoder *encoder, const pith_added_token *token, const uint8_t *text,
                       size_t begin, size_t end, pith_span span) {
  if (encoder->data->flags & PITH_TOKENIZER_TRIM_OFFSETS) {
    size_t leading = 0, trailing = 0;
    unsigned length;
    for (size_t at = begin; is_class_at(text, at, end, PITH_CHAR_SPACE, &length); at += length)
      leading++;
    for (size_t at = end; is_class_before(text, begin, at, PITH_CHAR_SPACE, &length); at -= length)
      trailing++;
    if (leading + trailing > 0)
      span = pith_encoder_trim(encoder, span, leading, trailing, encoder->sink.count == 0);
  }
  pith_token_emit(&encoder->sink, token->id, span.begin, span.end);
}

/* ---- one sequence
 * ------------------------------------------------------------------------------------- */

static void encode_segment(pith_encoder *encoder, const pith_text_view *view, size_t begin,
                           size_t end) {
  if (begin >= end || encoder->stopped)
    return;
  if (encoder->data->kind == PITH_TOKENIZER_BYTE_BPE)
    pith_byte_level_encode_view(encoder, view, begin, end);
  else
    pith_wordpiece_encode_view(encoder, view, begin, end);
}

static void encode_view(pith_encoder *encoder, const pith_text_view *view) {
  added_search search =
      begin_added(encoder->data, PITH_KEYS_ADDED_NORMALIZED, view->bytes, view->count);
  size_t begin, end, from = 0;
  const pith_added_token *token;
  while (!encoder->stopped && (token = added_next(&search, &begin, &end)) != NULL) {
    encode_segment(encoder, view, from, begin);
    if (begin < end && !encoder->stopped)
      emit_added(encoder, token, view->bytes, begin, end, pith_view_span(view, begin, end));
    from = end;
  }
  encode_segment(encoder, view, from, view->count);
}

/* A normalized text being built. */
enum { VIEW_BYTES = 1024 };
typedef struct view_builder {
  pith_encoder *encoder;
  size_t count;
  pith_scratch bytes, spans;
  uint8_t byte_storage[VIEW_BYTES];
  pith_span span_storage[VIEW_BYTES];
} view_builder;

static void view_push(void *context, uint32_t character, pith_span span) {
  view_builder *builder = context;
  if (!pith_scratch_reserve(&builder->bytes, builder->count, builder->count + 4, 1) ||
      !pith_scratch_reserve(&builder->spans, builder->count, builder->count + 4, sizeof span)) {
    builder->encoder->out_of_memory = true;
    return;
  }
  unsigned bytes = pith_utf8_encode(character, (uint8_t *)builder->bytes.items + builder->count);
  for (unsigned i = 0; i < bytes; i++)
    ((pith_span *)builder->spans.items)[builder->count + i] = span;
  builder->count += bytes;
}

static __attribute__((noinline)) void encode_normalized(pith_encoder *encoder, size_t begin,
                                                        size_t end) {
  view_builder builder;
  builder.encoder = encoder;
  builder.count = 0;
  builder.bytes = (pith_scratch){builder.byte_storage, VIEW_BYTES, 0};
  builder.spans = (pith_scratch){builder.span_storage, VIEW_BYTES, 0};
  pith_normalizer normalizer;
  pith_normalizer_init(&normalizer, encoder->data->normalizer, view_push, &builder);
  while (begin < end && !encoder->out_of_memory) {
    uint32_t character;
    unsigned bytes = pith_utf8_decode(encoder->text + begin, end - begin, &character);
    pith_normalizer_push(&normalizer, character,
                         (pith_span){(uint32_t)begin, (uint32_t)(begin + bytes)});
    begin += bytes;
  }
  pith_normalizer_finish(&normalizer);
  if (normalizer.out_of_memory)
    encoder->out_of_memory = true;
  pith_normalizer_deinit(&normalizer);
  if (!encoder->out_of_memory)
    encode_view(encoder,
                &(pith_text_view){builder.bytes.items, builder.count, builder.spans.items, 0});
  pith_scratch_release(&builder.bytes);
  pith_scratch_release(&builder.spans);
}

/* text[begin, end), which holds no added token of the raw kind. */
static void encode_piece(pith_encoder *encoder, size_t begin, size_t end) {
  const pith_tokenizer_data *data = encoder->data;
  if (begin >= end || encoder->stopped)
    return;
  bool added = pith_index_table(data, PITH_KEYS_ADDED_NORMALIZED).longest > 0;
  if (data->kind == PITH_TOKENIZER_WORDPIECE && !added)
    pith_wordpiece_encode_raw(encoder, begin, end);
  else if (data->normalizer == 0 && pith_utf8_valid(encoder->text + begin, end - begin))
    encode_view(encoder,
                &(pith_text_view){encoder->text + begin, end - begin, NULL, (uint32_t)begin});
  else
    encode_normalized(encoder, begin, end);
}

static pith_status encode_sequence(pith_encoder *encoder, pith_error *error) {
  added_search search =
      begin_added(encoder->data, PITH_KEYS_ADDED_RAW, encoder->text, encoder->text_bytes);
  size_t begin, end, from = 0;
  const pith_added_token *token;
  while (!encoder->stopped && (token = added_next(&search, &begin, &end)) != NULL) {
    encode_piece(encoder, from, begin);
    if (begin < end && !encoder->stopped)
      emit_added(encoder, token, encoder->text, begin, end,
                 (pith_span){(uint32_t)begin, (uint32_t)end});
    from = end;
  }
  encode_piece(encoder, from, encoder->text_bytes);
  if (encoder->out_of_memory)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory while encoding a text of %zu bytes",
                     encoder->text_bytes);
  return PITH_OK;
}

/* ---- template and truncation
 * -------------------------------------------------------------------------- */

typedef struct sequence_text {
  const char *text;
  size_t bytes;
  size_t stop; /* no more words once there are so many tokens */
  size_t keep; /* most tokens */
} sequence_text;

/* Writes everything as the template says; *out_counts: tokens of each sequence. encoding->count is
 * what was written or, past the capacity, what would have been. */
static pith_status write_template(const pith_tokenizer_data *data,
                                  const pith_template_piece *pieces, uint32_t piece_count,
                                  const sequence_text sequences[2], pith_encoding *encoding,
                                  size_t out_counts[2], pith_error *error) {
  size_t count = 0;
  for (uint32_t i = 0; i < piece_count; i++) {
    size_t first = count, room = count < encoding->capacity ? encoding->capacity - count : 0;
    uint8_t sequence = 255;
    if (pieces[i].id_or_sequence >= 0) {
      if (room > 0) {
        if (encoding->ids != NULL)
          encoding->ids[count] = pieces[i].id_or_sequence;
        if (encoding->offsets != NULL)
          encoding->offsets[count][0] = encoding->offsets[count][1] = 0;
      }
      count++;
    } else {
      sequence = pieces[i].id_or_sequence == PITH_TEMPLATE_B;
      const sequence_text *from = &sequences[sequence];
      pith_encoder encoder = {
          data,
          (const uint8_t *)from->text,
          from->bytes,
          {encoding->ids == NULL || room == 0 ? NULL : encoding->ids + first,
           encoding->offsets == NULL || room == 0 ? NULL : encoding->offsets + first,
           room < from->keep ? room : from->keep, from->stop, 0},
          from->stop == 0,
          false};
      PITH_TRY(encode_sequence(&encoder, error));
      out_counts[sequence] = encoder.sink.count;
      count += encoder.sink.count < from->keep ? encoder.sink.count : from->keep;
    }
    size_t written = count < encoding->capacity ? count : encoding->capacity;
    for (size_t k = first; k < written; k++) {
      if (encoding->type_ids != NULL)
        encoding->type_ids[k] = (int32_t)pieces[i].type_id;
      if (encoding->sequence != NULL)
        encoding->sequence[k] = sequence;
    }
  }
  encoding->count = count;
  return PITH_OK;
}

/* Longest first, as the reference cuts: the shorter one stays whole where it can. */
static void truncate_pair(size_t counts[2], size_t room) {
  unsigned shorter = counts[0] > counts[1];
  size_t low = counts[shorter], high;
  if (low > room)
    high = low;
  else
    high = room - low > low ? room - low : low;
  if (low + high > room) {
    low = room / 2;
    high = low + room % 2;
  }
  if (low < counts[shorter])
    counts[shorter] = low;
  if (high < counts[!shorter])
    counts[!shorter] = high;
}

pith_status pith_tokenizer_encode(const pith_tokenizer_data *data, const char *text,
                                  size_t text_bytes, const char *pair, size_t pair_bytes,
                                  size_t max_length, pith_encoding *encoding, pith_error *error) {
  if (text == NULL || encoding == NULL || encoding->struct_size < sizeof *encoding)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "encode: %s",
                     text == NULL       ? "text is NULL"
                     : encoding == NULL ? "encoding is NULL"
                                        : "encoding.struct_size is not set");
  sequence_text sequences[2] = {{text, text_bytes, SIZE_MAX, SIZE_MAX},
                                {pair, pair_bytes, SIZE_MAX, SIZE_MAX}};
  for (unsigned i = 0; i < 2 && sequences[i].text != NULL; i++) {
    if (sequences[i].bytes == SIZE_MAX)
      sequences[i].bytes = strlen(sequences[i].text);
    if (sequences[i].bytes > INT32_MAX)
      return pith_fail(error, PITH_LIMIT, "encode: a text of %zu bytes; at most %d",
                       sequences[i].bytes, INT32_MAX);
  }
  const pith_template_piece *pieces = pair == NULL ? data->single_template : data->pair_template;
  uint32_t piece_count = pair == NULL ? data->single_count : data->pair_count;
  size_t special = 0;
  for (uint32_t i = 0; i < piece_count; i++)
    special += pieces[i].id_or_sequence >= 0;
  encoding->count = 0;
  if (max_length != 0 && max_length < special)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "encode: max_length %zu has no room for the %zu special tokens around %s",
                     max_length, special, pair == NULL ? "a text" : "a pair");
  size_t room = max_length == 0 ? SIZE_MAX : max_length - special;
  if (pair == NULL)
    sequences[0].stop = sequences[0].keep = room;

  size_t counts[2] = {
      0, 0}; /* of a pair, all tokens: which is longer decides who gives up the odd one */
  PITH_TRY(write_template(data, pieces, piece_count, sequences, encoding, counts, error));
  if (pair != NULL && counts[0] + counts[1] > room) {
    truncate_pair(counts, room);
    for (unsigned i = 0; i < 2; i++)
      sequences[i].stop = sequences[i].keep = counts[i];
    PITH_TRY(write_template(data, pieces, piece_count, sequences, encoding, counts, error));
  }
  if (encoding->count > encoding->capacity) {
    /* count stays: how many there would be */
    return pith_fail(error, PITH_LIMIT, "encode: %zu tokens; the encoding's capacity is %zu",
                     encoding->count, encoding->capacity);
  }
  return PITH_OK;
}

/* ---- lookup
 * ------------------------------------------------------------------------------------------- */

int32_t pith_tokenizer_find(const pith_tokenizer_data *data, const char *text, size_t bytes) {
  if (text == NULL || bytes == 0)
    return -1;
  for (uint32_t i = 0; i < data->added_count; i++) {
    const pith_added_token *token = &data->added[i];
    if (!(token->flags & PITH_ADDED_NORMALIZED) && token->text_bytes == bytes &&
        memcmp(data->added_text + token->text, text, bytes) == 0)
      return (int32_t)token->id;
  }
  uint32_t found = pith_index_find(data, text, bytes);
  if (found != PITH_KEY_NONE)
    return (int32_t)found;
  /* Added tokens past the vocabulary are not in its table: rare enough to look for them one by one.
   */
  for (uint32_t id = 0; id < data->token_count; id++)
    if (pith_index_is_token(data, id, text, bytes))
      return (int32_t)id;
  return -1;
}
