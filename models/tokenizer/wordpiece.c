/* WordPiece: words by white space and punctuation, then the longest pieces from the left.
 *
 * ASCII goes through a table and straight to the look-up. Where a word holds anything else it is
 * normalized as a stream, character by character, up to the next ASCII space or punctuation: BERT's
 * steps never look across those. */
#include "models/tokenizer/encode_internal.h"

/* What an ASCII byte is to the fast path. */
enum { FAST_WORD, FAST_SPACE, FAST_PUNCTUATION, SLOW };

static const uint8_t fast_kinds[256] = {
    [0 ... 8] = SLOW,
    ['\t' ... '\n'] = FAST_SPACE,
    ['\v' ... '\f'] = SLOW,
    ['\r'] = FAST_SPACE,
    [14 ... 31] = SLOW,
    [' '] = FAST_SPACE,
    ['!' ... '/'] = FAST_PUNCTUATION,
    ['0' ... '9'] = FAST_WORD,
    [':' ... '@'] = FAST_PUNCTUATION,
    ['A' ... 'Z'] = FAST_WORD,
    ['[' ... '`'] = FAST_PUNCTUATION,
    ['a' ... 'z'] = FAST_WORD,
    ['{' ... '~'] = FAST_PUNCTUATION,
    [127 ... 255] = SLOW,
};

#define SAME(c) (c), (c) + 1, (c) + 2, (c) + 3, (c) + 4, (c) + 5, (c) + 6, (c) + 7
static const uint8_t fold_none[128] = {SAME(0),  SAME(8),   SAME(16),  SAME(24), SAME(32), SAME(40),
                                       SAME(48), SAME(56),  SAME(64),  SAME(72), SAME(80), SAME(88),
                                       SAME(96), SAME(104), SAME(112), SAME(120)};
static const uint8_t fold_lower[128] = {
    SAME(0), SAME(8), SAME(16), SAME(24), SAME(32), SAME(40),  SAME(48),  SAME(56), '@', 'a', 'b',
    'c',     'd',     'e',      'f',      'g',      SAME(104), SAME(112), 'x',      'y', 'z', '[',
    '\\',    ']',     '^',      '_',      SAME(96), SAME(104), SAME(112), SAME(120)};

/* Pieces are looked up in the bytes of a word, which lies behind room for the prefix: those inside
 * the word are found as if the prefix stood before them, and it is written there. */
typedef struct piece_search {
  const pith_tokenizer_data *data;
  pith_key_table table;
  size_t prefix_bytes;
} piece_search;

static inline piece_search begin_search(const pith_tokenizer_data *data) {
  return (piece_search){data, pith_index_table(data, PITH_KEYS_TOKENS),
                        strlen(data->continuing_prefix)};
}

enum { HASHES = 64 };

/* The longest piece from word[at] on, at < bytes, and its length; PITH_KEY_NONE: there is none. */
static __attribute__((noinline)) uint32_t longest_piece(const piece_search *search, uint8_t *word,
                                                        size_t at, size_t bytes,
                                                        size_t *out_bytes) {
  const pith_key_table *table = &search->table;
  const size_t prefix_bytes = at == 0 ? 0 : search->prefix_bytes;
  uint8_t *key = word + at - prefix_bytes;
  memcpy(key, search->data->continuing_prefix, prefix_bytes);
  size_t longest = bytes - at + prefix_bytes;
  if (longest > table->longest)
    longest = table->longest;
  /* The hashes of the longest keys; those of shorter ones are made again where no longer one fits,
   * which few vocabularies have the lengths for. */
  uint64_t hashes[HASHES], hash = pith_key_begin(table);
  for (size_t n = 1; n <= longest; n++) {
    hash = pith_key_step(hash, key[n - 1]);
    if (!pith_key_goes_on(table, hash, n)) {
      longest = n - 1;
      break;
    }
    hashes[n % HASHES] = hash;
  }
  for (size_t n = longest, kept = HASHES; n > prefix_bytes; n--) {
    if (kept-- == 0) {
      hash = pith_key_begin(table);
      for (size_t i = 1; i <= n; i++)
        hashes[i % HASHES] = hash = pith_key_step(hash, key[i - 1]);
      kept = HASHES - 1;
    }
    uint32_t id = pith_key_guess(table, hashes[n % HASHES]);
    if (pith_index_is_token(search->data, id, key, n)) {
      *out_bytes = n - prefix_bytes;
      return id;
    }
  }
  return PITH_KEY_NONE;
}

/* The word being gathered from normalized characters. */
enum { WORD_BYTES = 512 };
typedef struct word_state {
  pith_encoder *encoder;
  piece_search search;
  size_t bytes, characters;
  pith_span whole;          /* first begin, last end */
  unsigned run_class;       /* Whitespace: what the characters of this word are */
  pith_scratch text, spans; /* of bytes; the text lies behind room for the prefix */
  uint8_t text_storage[WORD_BYTES];
  pith_span span_storage[WORD_BYTES];
} word_state;

static void word_init(word_state *word, pith_encoder *encoder) {
  word->encoder = encoder;
  word->search = begin_search(encoder->data);
  word->bytes = word->characters = 0;
  word->run_class = 0;
  word->text = (pith_scratch){word->text_storage, WORD_BYTES, 0};
  word->spans = (pith_scratch){word->span_storage, WORD_BYTES, 0};
}

static void word_deinit(word_state *word) {
  pith_scratch_release(&word->text);
  pith_scratch_release(&word->spans);
}

static void emit_unknown(pith_encoder *encoder, uint32_t begin, uint32_t end) {
  pith_token_emit(&encoder->sink, (uint32_t)encoder->data->unk_id, begin, end);
}

static void word_flush(word_state *word) {
  pith_encoder *encoder = word->encoder;
  if (word->characters == 0 || encoder->stopped)
    return;
  if (word->characters > encoder->data->max_word_chars) {
    emit_unknown(encoder, word->whole.begin, word->whole.end);
  } else {
    uint8_t *text = (uint8_t *)word->text.items + word->search.prefix_bytes;
    const pith_span *spans = word->spans.items;
    size_t first = encoder->sink.count;
    for (size_t at = 0, bytes; at < word->bytes; at += bytes) {
      uint32_t id = longest_piece(&word->search, text, at, word->bytes, &bytes);
      if (id == PITH_KEY_NONE) {
        encoder->sink.count = first;
        emit_unknown(encoder, word->whole.begin, word->whole.end);
        break;
      }
      pith_token_emit(&encoder->sink, id, spans[at].begin, spans[at + bytes - 1].end);
    }
  }
  encoder->stopped = encoder->sink.count >= encoder->sink.stop;
  word->bytes = word->characters = 0;
}

static void word_append(word_state *word, uint32_t character, pith_span span) {
  if (word->characters++ == 0)
    word->whole = span;
  word->whole.end = span.end;
  if (word->characters > word->encoder->data->max_word_chars)
    return; /* unknown already: only its extent matters */
  const size_t end = word->search.prefix_bytes + word->bytes;
  if (!pith_scratch_reserve(&word->text, word->bytes == 0 ? 0 : end, end + 4, 1) ||
      !pith_scratch_reserve(&word->spans, word->bytes, word->bytes + 4, sizeof span)) {
    word->encoder->out_of_memory = true;
    return;
  }
  uint8_t *text = word->text.items;
  pith_span *spans = word->spans.items;
  unsigned count = pith_utf8_encode(character, text + end);
  for (unsigned i = 0; i < count; i++)
    spans[word->bytes + i] = span;
  word->bytes += count;
}

/* The pre-tokenizers, as streams. */
static void word_push(void *context, uint32_t character, pith_span span) {
  word_state *word = context;
  unsigned class = pith_char_class(character);
  switch ((pith_pre_tokenize)word->encoder->data->pre_tokenizer) {
  case PITH_PRE_TOKENIZE_BERT:
    if (class & PITH_CHAR_SPACE) {
      word_flush(word);
    } else if (class & PITH_CHAR_PUNCTUATION) {
      word_flush(word);
      word_append(word, character, span);
      word_flush(word);
    } else {
      word_append(word, character, span);
    }
    break;
  case PITH_PRE_TOKENIZE_WHITESPACE: {
    unsigned run = class & (PITH_CHAR_SPACE | PITH_CHAR_WORD);
    if (run != word->run_class)
      word_flush(word);
    word->run_class = run;
    if (!(run & PITH_CHAR_SPACE))
      word_append(word, character, span);
    break;
  }
  case PITH_PRE_TOKENIZE_WHITESPACE_SPLIT:
    if (class & PITH_CHAR_SPACE)
      word_flush(word);
    else
      word_append(word, character, span);
    break;
  case PITH_PRE_TOKENIZE_NONE:
  case PITH_PRE_TOKENIZE_BYTE_LEVEL:
  case PITH_PRE_TOKENIZE_COUNT:
    word_append(word, character, span);
    break;
  }
}

/* Normalizes from text[at] on. Where `local`, up to the next ASCII space or punctuation (at < end);
 * else to the end. Returns where it stopped. */
static __attribute__((noinline)) size_t encode_slow(pith_encoder *encoder, size_t at, size_t end,
                                                    bool local) {
  word_state word;
  word_init(&word, encoder);
  pith_normalizer normalizer;
  pith_normalizer_init(&normalizer, encoder->data->normalizer, word_push, &word);
  const uint8_t *text = encoder->text;
  while (at < end && !encoder->stopped) {
    if (local && (fast_kinds[text[at]] == FAST_SPACE || fast_kinds[text[at]] == FAST_PUNCTUATION))
      break;
    uint32_t character;
    unsigned bytes = pith_utf8_decode(text + at, end - at, &character);
    pith_normalizer_push(&normalizer, character, (pith_span){(uint32_t)at, (uint32_t)(at + bytes)});
    at += bytes;
  }
  pith_normalizer_finish(&normalizer);
  word_flush(&word);
  if (normalizer.out_of_memory)
    encoder->out_of_memory = true;
  pith_normalizer_deinit(&normalizer);
  word_deinit(&word);
  return at;
}

static bool has_step(uint32_t packed, pith_normalize_step step) {
  for (; packed != 0; packed >>= 4)
    if ((packed & 15) == (uint32_t)step)
      return true;
  return false;
}

enum { FAST_BYTES = 128, FAST_PREFIX = 16 }; /* longer ones go the slow way */

void pith_wordpiece_encode_raw(pith_encoder *encoder, size_t begin, size_t end) {
  const pith_tokenizer_data *data = encoder->data;
  const piece_search search = begin_search(data);
  if (data->pre_tokenizer != PITH_PRE_TOKENIZE_BERT ||
      !pith_normalizer_is_local(data->normalizer) || search.prefix_bytes > FAST_PREFIX) {
    encode_slow(encoder, begin, end, false);
    return;
  }
  const uint8_t *text = encoder->text;
  const uint8_t *fold =
      has_step(data->normalizer, PITH_NORMALIZE_LOWERCASE) ? fold_lower : fold_none;
  uint8_t storage[FAST_PREFIX + FAST_BYTES], *const word = storage + FAST_PREFIX;
  pith_token_sink sink = encoder->sink; /* in registers */
  bool stopped = false;
  for (size_t at = begin; at < end && !stopped;) {
    const size_t from = at;
    uint64_t hash = pith_key_begin(&search.table);
    unsigned kind = fast_kinds[text[at]];
    if (kind == FAST_SPACE) {
      at++;
      continue;
    }
    if (kind == FAST_PUNCTUATION) {
      word[0] = text[at++];
      hash = pith_key_step(hash, word[0]);
    }
    while (kind == FAST_WORD) {
      if (at - from < FAST_BYTES)
        hash = pith_key_step(hash, word[at - from] = fold[text[at]]);
      at++;
      kind = at < end ? fast_kinds[text[at]] : FAST_SPACE;
    }
    const size_t bytes = at - from;
    const bool too_long = bytes > data->max_word_chars;
    if (kind == SLOW || (bytes > FAST_BYTES && !too_long)) {
      encoder->sink = sink;
      at = encode_slow(encoder, from, end, true);
      sink = encoder->sink;
      stopped = encoder->stopped;
      continue;
    }
    uint32_t id = pith_key_guess(&search.table, hash);
    if (too_long) {
      pith_token_emit(&sink, (uint32_t)data->unk_id, (uint32_t)from, (uint32_t)at);
    } else if (pith_index_is_token(data, id, word, bytes)) { /* most words are one token */
      pith_token_emit(&sink, id, (uint32_t)from, (uint32_t)at);
    } else {
      const size_t first = sink.count;
      for (size_t done = 0, piece; done < bytes; done += piece) {
        id = longest_piece(&search, word, done, bytes, &piece);
        if (id == PITH_KEY_NONE) {
          sink.count = first;
          pith_token_emit(&sink, (uint32_t)data->unk_id, (uint32_t)from, (uint32_t)at);
          break;
        }
        pith_token_emit(&sink, id, (uint32_t)(from + done), (uint32_t)(from + done + piece));
      }
    }
    stopped = sink.count >= sink.stop;
  }
  encoder->sink = sink;
  encoder->stopped = stopped;
}

void pith_wordpiece_encode_view(pith_encoder *encoder, const pith_text_view *view, size_t begin,
                                size_t end) {
  word_state word;
  word_init(&word, encoder);
  while (begin < end && !encoder->stopped) {
    uint32_t character;
    unsigned bytes = pith_utf8_decode(view->bytes + begin, end - begin, &character);
    word_push(&word, character, pith_view_span(view, begin, begin + bytes));
    begin += bytes;
  }
  word_flush(&word);
  word_deinit(&word);
}
