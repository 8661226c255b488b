/* Shared by the parts of the encoder. */
#ifndef PITH_MODELS_ENCODE_INTERNAL_H
#define PITH_MODELS_ENCODE_INTERNAL_H

#include "models/tokenizer/index.h"
#include "models/tokenizer/normalize.h"
#include "models/tokenizer/unicode.h"

/* Where the tokens of one sequence go. Tokens past `room` are counted and not stored; encoding
 * stops at the end of the word with which `count` reaches `stop`. */
typedef struct pith_token_sink {
  int32_t *ids; /* NULL: not wanted */
  uint32_t (*offsets)[2];
  size_t room, stop, count;
} pith_token_sink;

static inline void pith_token_emit(pith_token_sink *sink, uint32_t id, uint32_t begin,
                                   uint32_t end) {
  size_t at = sink->count++;
  if (at >= sink->room)
    return;
  if (sink->ids != NULL)
    sink->ids[at] = (int32_t)id;
  if (sink->offsets != NULL) {
    sink->offsets[at][0] = begin;
    sink->offsets[at][1] = end;
  }
}

/* A text as the model reads it: normalized bytes, well-formed UTF-8, and for each the span of the
 * original text. NULL spans: `bytes` are the original text's own from `shift` on. */
typedef struct pith_text_view {
  const uint8_t *bytes;
  size_t count;
  const pith_span *spans;
  uint32_t shift;
} pith_text_view;

/* The original text's range for view bytes [begin, end), begin < end: whole characters. */
static inline pith_span pith_view_span(const pith_text_view *view, size_t begin, size_t end) {
  if (view->spans != NULL)
    return (pith_span){view->spans[begin].begin, view->spans[end - 1].end};
  while (begin > 0 && (view->bytes[begin] & 0xC0) == 0x80)
    begin--;
  while (end < view->count && (view->bytes[end] & 0xC0) == 0x80)
    end++;
  return (pith_span){view->shift + (uint32_t)begin, view->shift + (uint32_t)end};
}

/* One sequence being encoded. */
typedef struct pith_encoder {
  const pith_tokenizer_data *data;
  const uint8_t *text; /* the original */
  size_t text_bytes;
  pith_token_sink sink;
  bool stopped;
  bool out_of_memory;
} pith_encoder;

/* WordPiece over text[begin, end), not yet normalized. */
void pith_wordpiece_encode_raw(pith_encoder *encoder, size_t begin, size_t end);
/* WordPiece over part of a normalized view. */
void pith_wordpiece_encode_view(pith_encoder *encoder, const pith_text_view *view, size_t begin,
                                size_t end);
/* Byte-level pre-tokenizer and BPE over part of a normalized view. */
void pith_byte_level_encode_view(pith_encoder *encoder, const pith_text_view *view, size_t begin,
                                 size_t end);

/* The post-processor's trimming: takes `leading` and `trailing` characters off a token's range, as
 * the reference does for a token whose text begins or ends with that much white space. `first`: the
 * sequence's first token. */
pith_span pith_encoder_trim(const pith_encoder *encoder, pith_span span, size_t leading,
                            size_t trailing, bool first);

/* Byte-level BPE of one word of `count` bytes: ids and lengths (in bytes of the word) of its
 * tokens, `out` with room for `count`; returns how many. For at most PITH_BPE_SHORT bytes; longer
 * ones need `queue`, see pith_bpe_queue_bytes. */
typedef struct pith_bpe_symbol {
  uint32_t id, bytes;
  uint32_t rank, joined; /* of this symbol with the next one; rank UINT32_MAX: they do not merge */
  uint32_t previous, next;
} pith_bpe_symbol;
enum { PITH_BPE_SHORT = 96 };
size_t pith_bpe_merge(const pith_tokenizer_data *data, pith_bpe_symbol *symbols, size_t count,
                      void *queue);
size_t pith_bpe_queue_bytes(size_t count); /* 0: too many */

#endif
