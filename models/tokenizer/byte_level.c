/* Byte-level BPE: words by GPT-2's expression, then merges by rank over the bytes of each word.
 *
 *   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 */
#include "engine/base/arena.h"
#include "models/tokenizer/encode_internal.h"

/* Printable bytes are themselves; the others, in order, from U+0100 on: 0..32, 127..160, 173. */
#define ONE(byte)                                                                                  \
  (((byte) >= '!' && (byte) <= '~') || ((byte) >= 0xA1 && (byte) != 0xAD) ? (byte)                 \
   : (byte) <= 32                                                         ? 0x100 + (byte)         \
   : (byte) == 0xAD                                                       ? 0x100 + 67             \
                                                                          : 0x100 + 33 + (byte)-127)
#define FOUR(byte) ONE(byte), ONE((byte) + 1), ONE((byte) + 2), ONE((byte) + 3)
#define SIXTEEN(byte) FOUR(byte), FOUR((byte) + 4), FOUR((byte) + 8), FOUR((byte) + 12)
static const uint16_t stand_ins[256] = {SIXTEEN(0),   SIXTEEN(16),  SIXTEEN(32),  SIXTEEN(48),
                                        SIXTEEN(64),  SIXTEEN(80),  SIXTEEN(96),  SIXTEEN(112),
                                        SIXTEEN(128), SIXTEEN(144), SIXTEEN(160), SIXTEEN(176),
                                        SIXTEEN(192), SIXTEEN(208), SIXTEEN(224), SIXTEEN(240)};
#undef ONE
#undef FOUR
#undef SIXTEEN

uint32_t pith_byte_stand_in(uint8_t byte) {
  return stand_ins[byte];
}

/* Bytes of a byte's stand-in in UTF-8: the reference counts token lengths in these. */
static inline uint32_t stand_in_bytes(uint8_t byte) {
  return stand_ins[byte] < 128 ? 1 : 2;
}

/* A stand-in in UTF-8; how many bytes. */
static inline unsigned stand_in_text(uint8_t byte, uint8_t out_text[2]) {
  uint16_t character = stand_ins[byte];
  out_text[0] = (uint8_t)(character < 128 ? character : 0xC0 | character >> 6);
  out_text[1] = (uint8_t)(0x80 | (character & 0x3F));
  return character < 128 ? 1 : 2;
}

int pith_stand_in_byte(uint32_t character) {
  if (character >= 0x100)
    return character <= 0x120   ? (int)(character - 0x100)
           : character <= 0x142 ? (int)(character - 0x100 - 33 + 127)
           : character == 0x143 ? 0xAD
                                : -1;
  return pith_byte_stand_in((uint8_t)character) == character ? (int)character : -1;
}

/* ---- words
 * -------------------------------------------------------------------------------------------- */

enum { RUN_LETTER, RUN_NUMBER, RUN_SPACE, RUN_OTHER };

static const uint8_t ascii_runs[128] = {
    [0 ... 8] = RUN_OTHER,      ['\t' ... '\r'] = RUN_SPACE, [14 ... 31] = RUN_OTHER,
    [' '] = RUN_SPACE,          ['!' ... '/'] = RUN_OTHER,   ['0' ... '9'] = RUN_NUMBER,
    [':' ... '@'] = RUN_OTHER,  ['A' ... 'Z'] = RUN_LETTER,  ['[' ... '`'] = RUN_OTHER,
    ['a' ... 'z'] = RUN_LETTER, ['{' ... 127] = RUN_OTHER,
};

/* What the character at `at` is; its length in *out_bytes. */
static inline unsigned run_at(const uint8_t *text, size_t at, size_t end, unsigned *out_bytes) {
  if (text[at] < 128) {
    *out_bytes = 1;
    return ascii_runs[text[at]];
  }
  uint32_t character;
  *out_bytes = pith_utf8_decode(text + at, end - at, &character);
  unsigned class = pith_char_class_beyond_ascii(character);
  return class & PITH_CHAR_LETTER   ? RUN_LETTER
         : class & PITH_CHAR_NUMBER ? RUN_NUMBER
         : class & PITH_CHAR_SPACE  ? RUN_SPACE
                                    : RUN_OTHER;
}

static size_t contraction(const uint8_t *text, size_t at, size_t end) {
  if (end - at >= 2 &&
      (text[at + 1] == 's' || text[at + 1] == 't' || text[at + 1] == 'm' || text[at + 1] == 'd'))
    return 2;
  if (end - at >= 3 && ((text[at + 1] == 'r' && text[at + 2] == 'e') ||
                        (text[at + 1] == 'v' && text[at + 2] == 'e') ||
                        (text[at + 1] == 'l' && text[at + 2] == 'l')))
    return 3;
  return 0;
}

/* The end of the word that begins at `at` < end. `prefixed`: as if a space stood before it. */
static size_t word_end(const uint8_t *text, size_t at, size_t end, bool prefixed) {
  size_t begin = at;
  unsigned bytes;
  if (!prefixed && text[at] == '\'') {
    size_t length = contraction(text, at, end);
    if (length > 0)
      return at + length;
  }
  if (!prefixed && text[at] == ' ' && at + 1 < end)
    at++;
  unsigned run = run_at(text, at, end, &bytes);
  if (run != RUN_SPACE) {
    do
      at += bytes;
    while (at < end && run_at(text, at, end, &bytes) == run);
    return at;
  }
  /* White space: all of it at the text's end, else all but its last character, which goes with what
   * follows. */
  size_t last = at = begin;
  unsigned count = prefixed ? 1 : 0;
  while (at < end && run_at(text, at, end, &bytes) == RUN_SPACE) {
    last = at;
    at += bytes;
    count++;
  }
  return at == end || count == 1 ? at : last;
}

/* ---- merging
 * ------------------------------------------------------------------------------------------ */

enum { NO_RANK = UINT32_MAX, NOTHING = UINT32_MAX };

static inline void rank_pair(const pith_tokenizer_data *data, pith_bpe_symbol *left,
                             const pith_bpe_symbol *right) {
  if (!pith_merges_find(data, left->id, right->id, &left->rank, &left->joined))
    left->rank = NO_RANK;
}

/* Best pair, merged, until none is left: quadratic, and the fastest for words. */
static size_t merge_short(const pith_tokenizer_data *data, pith_bpe_symbol *symbols, size_t count) {
  for (;;) {
    size_t best = 0;
    uint32_t rank = NO_RANK;
    for (size_t i = 0; i + 1 < count; i++)
      if (symbols[i].rank < rank) {
        rank = symbols[i].rank;
        best = i;
      }
    if (rank == NO_RANK)
      return count;
    symbols[best].id = symbols[best].joined;
    symbols[best].bytes += symbols[best + 1].bytes;
    memmove(symbols + best + 1, symbols + best + 2, (count - best - 2) * sizeof *symbols);
    count--;
    if (best + 1 < count)
      rank_pair(data, &symbols[best], &symbols[best + 1]);
    else
      symbols[best].rank = NO_RANK;
    if (best > 0)
      rank_pair(data, &symbols[best - 1], &symbols[best]);
  }
}

/* A binary heap of pairs, the least rank first, then the leftmost. */
typedef struct queued_pair {
  uint32_t rank, at, joined;
} queued_pair;

static inline bool before(queued_pair a, queued_pair b) {
  return a.rank != b.rank ? a.rank < b.rank : a.at < b.at;
}

static void queue_push(queued_pair *queue, size_t *count, queued_pair pair) {
  size_t i = (*count)++;
  for (; i > 0 && before(pair, queue[(i - 1) / 2]); i = (i - 1) / 2)
    queue[i] = queue[(i - 1) / 2];
  queue[i] = pair;
}

static queued_pair queue_pop(queued_pair *queue, size_t *count) {
  queued_pair top = queue[0], last = queue[--*count];
  size_t i = 0;
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= *count)
      break;
    if (child + 1 < *count && before(queue[child + 1], queue[child]))
      child++;
    if (!before(queue[child], last))
      break;
    queue[i] = queue[child];
    i = child;
  }
  queue[i] = last;
  return top;
}

/* The same for words of any length, in n log n. Every merge queues at most two pairs, so 3n entries
 * are enough. */
static size_t merge_long(const pith_tokenizer_data *data, pith_bpe_symbol *symbols, size_t count,
                         queued_pair *queue) {
  size_t queued = 0;
  for (uint32_t i = 0; i < count; i++) {
    symbols[i].previous = i - 1; /* NOTHING for the first */
    symbols[i].next = i + 1 < count ? i + 1 : NOTHING;
    if (symbols[i].rank != NO_RANK)
      queue_push(queue, &queued, (queued_pair){symbols[i].rank, i, symbols[i].joined});
  }
  while (queued > 0) {
    queued_pair pair = queue_pop(queue, &queued);
    pith_bpe_symbol *left = &symbols[pair.at];
    if (left->bytes == 0 || left->next == NOTHING || left->rank != pair.rank ||
        left->joined != pair.joined)
      continue; /* out of date */
    pith_bpe_symbol *right = &symbols[left->next];
    left->id = left->joined;
    left->bytes += right->bytes;
    left->next = right->next;
    left->rank = NO_RANK;
    right->bytes = 0;
    if (left->next != NOTHING) {
      symbols[left->next].previous = pair.at;
      rank_pair(data, left, &symbols[left->next]);
      if (left->rank != NO_RANK)
        queue_push(queue, &queued, (queued_pair){left->rank, pair.at, left->joined});
    }
    if (left->previous != NOTHING) {
      pith_bpe_symbol *previous = &symbols[left->previous];
      rank_pair(data, previous, left);
      if (previous->rank != NO_RANK)
        queue_push(queue, &queued, (queued_pair){previous->rank, left->previous, previous->joined});
    }
  }
  size_t kept = 0;
  for (size_t i = 0; i < count; i++)
    if (symbols[i].bytes != 0)
      symbols[kept++] = symbols[i];
  return kept;
}

size_t pith_bpe_queue_bytes(size_t count) {
  size_t bytes;
  return count < UINT32_MAX / 4 && pith_size_multiply(count, 3 * sizeof(queued_pair), &bytes)
             ? bytes
             : 0;
}

size_t pith_bpe_merge(const pith_tokenizer_data *data, pith_bpe_symbol *symbols, size_t count,
                      void *queue) {
  for (size_t i = 0; i < count; i++) {
    symbols[i].rank = NO_RANK;
    if (i + 1 < count)
      rank_pair(data, &symbols[i], &symbols[i + 1]);
  }
  return count <= PITH_BPE_SHORT ? merge_short(data, symbols, count)
                                 : merge_long(data, symbols, count, queue);
}

/* ---- one word
 * ----------------------------------------------------------------------------------------- */

/* A word of the view: `prefixed` puts a space before view bytes [begin, end). */
typedef struct word_view {
  const pith_text_view *view;
  size_t begin, end;
  bool prefixed;
} word_view;

static inline size_t word_bytes(const word_view *word) {
  return word->end - word->begin + word->prefixed;
}
static inline uint8_t word_byte(const word_view *word, size_t i) {
  return word->prefixed ? i == 0 ? ' ' : word->view->bytes[word->begin + i - 1]
                        : word->view->bytes[word->begin + i];
}

/* Emits the token of word bytes [from, to). */
static inline void emit(pith_encoder *encoder, const word_view *word, uint32_t id, size_t from,
                        size_t to, bool known) {
  /* The prefix lies on the first character. */
  size_t view_from = word->begin + from - (word->prefixed && from > 0 ? 1 : 0);
  size_t view_to = word->begin + to - (word->prefixed ? 1 : 0);
  if (view_to <= view_from)
    view_to = view_from + 1;
  pith_span span = pith_view_span(word->view, view_from, view_to);
  if ((encoder->data->flags & PITH_TOKENIZER_TRIM_OFFSETS) && known) {
    size_t leading = 0, trailing = 0;
    while (from + leading < to && word_byte(word, from + leading) == ' ')
      leading++;
    while (trailing < to - from && word_byte(word, to - 1 - trailing) == ' ')
      trailing++;
    if (leading + trailing > 0)
      span = pith_encoder_trim(encoder, span, leading, trailing, encoder->sink.count == 0);
  }
  pith_token_emit(&encoder->sink, id, span.begin, span.end);
}

/* The single bytes as symbols; returns how many. A byte that the vocabulary lacks is the unknown
 * token's (several in a row fused where the model says so), or is dropped where there is none.
 * *out_whole: no byte was missing. */
static size_t first_symbols(const pith_encoder *encoder, const word_view *word,
                            pith_bpe_symbol *symbols, bool *out_whole) {
  const pith_tokenizer_data *data = encoder->data;
  const uint32_t *byte_ids = data->merges + PITH_MERGES_BYTES;
  size_t bytes = word_bytes(word), count = 0;
  bool fuse = false;
  *out_whole = true;
  for (size_t i = 0; i < bytes; i++) {
    uint8_t byte = word_byte(word, i);
    uint32_t id = byte_ids[byte];
    if (id == PITH_KEY_NONE) {
      *out_whole = false;
      if (data->unk_id < 0)
        continue;
      if (fuse && (data->flags & PITH_TOKENIZER_FUSE_UNKNOWN)) {
        symbols[count - 1].bytes += stand_in_bytes(byte);
        continue;
      }
      fuse = true;
      id = (uint32_t)data->unk_id;
    } else {
      fuse = false;
    }
    symbols[count++] = (pith_bpe_symbol){.id = id, .bytes = stand_in_bytes(byte)};
  }
  return count;
}

/* The word byte that holds byte `at` of the word written in stand-ins. */
static size_t byte_of_stand_in(const word_view *word, size_t at) {
  size_t i = 0, bytes = word_bytes(word);
  for (size_t passed = 0; i < bytes; i++) {
    passed += stand_in_bytes(word_byte(word, i));
    if (passed > at)
      break;
  }
  return i < bytes ? i : bytes - 1;
}

/* The token that the whole word is, or PITH_KEY_NONE. */
static uint32_t find_word(const pith_tokenizer_data *data, const word_view *word) {
  pith_key_table table = pith_index_table(data, PITH_KEYS_TOKENS);
  size_t bytes = word_bytes(word);
  if (bytes > table.longest)
    return PITH_KEY_NONE;
  uint64_t hash = pith_key_begin(&table);
  for (size_t i = 0; i < bytes; i++) {
    uint8_t text[2];
    unsigned count = stand_in_text(word_byte(word, i), text);
    hash = pith_key_step(hash, text[0]);
    if (count == 2)
      hash = pith_key_step(hash, text[1]);
  }
  uint32_t id = pith_key_guess(&table, hash), token_bytes;
  if (id >= data->token_count)
    return PITH_KEY_NONE;
  const uint8_t *token = (const uint8_t *)pith_tokenizer_text(data, id, &token_bytes);
  const uint8_t *end = token + token_bytes;
  for (size_t i = 0; i < bytes; i++) {
    uint8_t text[2];
    unsigned count = stand_in_text(word_byte(word, i), text);
    if ((size_t)(end - token) < count || token[0] != text[0] || (count == 2 && token[1] != text[1]))
      return PITH_KEY_NONE;
    token += count;
  }
  return token == end ? id : PITH_KEY_NONE;
}

static void encode_word(pith_encoder *encoder, const word_view *word) {
  const pith_tokenizer_data *data = encoder->data;
  size_t bytes = word_bytes(word);
  uint32_t whole_id = find_word(data, word);
  if (whole_id != PITH_KEY_NONE &&
      ((data->flags & PITH_TOKENIZER_IGNORE_MERGES) || pith_merges_direct(data, whole_id))) {
    emit(encoder, word, whole_id, 0, bytes, true);
    return;
  }

  pith_bpe_symbol few[PITH_BPE_SHORT], *symbols = few;
  size_t memory_bytes = 0, queue_bytes = 0;
  void *queue = NULL;
  if (bytes > PITH_BPE_SHORT) {
    queue_bytes = pith_bpe_queue_bytes(bytes);
    symbols = queue_bytes != 0 && pith_size_multiply(bytes, sizeof *symbols, &memory_bytes)
                  ? pith_allocate(NULL, memory_bytes)
                  : NULL;
    queue = symbols != NULL ? pith_allocate(NULL, queue_bytes) : NULL;
    if (queue == NULL) {
      pith_release(NULL, symbols, memory_bytes);
      encoder->out_of_memory = true;
      return;
    }
  }
  bool whole;
  size_t count = first_symbols(encoder, word, symbols, &whole);
  count = pith_bpe_merge(data, symbols, count, queue);
  if (whole) {
    for (size_t k = 0, at = 0; k < count; k++) {
      size_t to = at;
      for (uint32_t left = symbols[k].bytes; left > 0 && to < bytes; to++) {
        uint32_t width = stand_in_bytes(word_byte(word, to));
        left -= left < width ? left : width;
      }
      emit(encoder, word, symbols[k].id, at, to, true);
      at = to;
    }
  } else { /* bytes are missing: the reference counts on as if they had not been there */
    for (size_t k = 0, at = 0; k < count; at += symbols[k].bytes, k++) {
      size_t from = byte_of_stand_in(word, at),
             to = byte_of_stand_in(word, at + symbols[k].bytes - 1) + 1;
      emit(encoder, word, symbols[k].id, from, to, symbols[k].id != (uint32_t)data->unk_id);
    }
  }
  if (symbols != few) {
    pith_release(NULL, symbols, memory_bytes);
    pith_release(NULL, queue, queue_bytes);
  }
}

void pith_byte_level_encode_view(pith_encoder *encoder, const pith_text_view *view, size_t begin,
                                 size_t end) {
  uint32_t flags = encoder->data->flags;
  bool prefixed =
      (flags & PITH_TOKENIZER_ADD_PREFIX_SPACE) && begin < end && view->bytes[begin] != ' ';
  while (begin < end && !encoder->stopped) {
    size_t to =
        flags & PITH_TOKENIZER_BYTE_LEVEL_REGEX ? word_end(view->bytes, begin, end, prefixed) : end;
    encode_word(encoder, &(word_view){view, begin, to, prefixed});
    encoder->stopped = encoder->sink.count >= encoder->sink.stop;
    begin = to;
    prefixed = false;
  }
}

/* ---- back to text
 * ------------------------------------------------------------------------------------- */

size_t pith_tokenizer_decode(const pith_tokenizer_data *data, int32_t id, const char *text,
                             size_t bytes, size_t capacity, char *out_text) {
  bool stands_in = data->kind == PITH_TOKENIZER_BYTE_BPE;
  for (uint32_t i = 0; i < data->added_count && stands_in; i++)
    stands_in = (int32_t)data->added[i].id != id;
  size_t count = 0, at = 0;
  while (at < bytes) {
    uint32_t character;
    unsigned length = pith_utf8_decode((const uint8_t *)text + at, bytes - at, &character);
    int byte = stands_in ? pith_stand_in_byte(character) : -1;
    if (byte >= 0) {
      if (count < capacity)
        out_text[count] = (char)(uint8_t)byte;
      count++;
    } else { /* not a stand-in: as it is */
      for (unsigned i = 0; i < length; i++, count++)
        if (count < capacity)
          out_text[count] = text[at + i];
    }
    at += length;
  }
  return count;
}
