/* What the tokenizers need of Unicode, as Hugging Face `tokenizers` sees it: utf8proc's data, and
 * the few places where the reference knows an older or a newer Unicode (unicode_exceptions.h).
 * Nothing here allocates. */
#ifndef PITH_MODELS_UNICODE_H
#define PITH_MODELS_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PITH_REPLACEMENT = 0xFFFD };

/* The length in bytes (1 to 4) of the character at `text`, `bytes` > 0 long, and the character.
 * Where the bytes are not UTF-8: U+FFFD for the longest part of them that begins a well-formed
 * sequence, at least one byte (as Python and the WHATWG decode). */
unsigned pith_utf8_decode(const uint8_t *text, size_t bytes, uint32_t *out_char);
/* Writes 1 to 4 bytes and returns how many. */
unsigned pith_utf8_encode(uint32_t character, uint8_t *out);
/* The same for the character that ends at `text + end`, end > 0. */
unsigned pith_utf8_decode_before(const uint8_t *text, size_t end, uint32_t *out_char);
bool pith_utf8_valid(const uint8_t *text, size_t bytes);

/* A character's classes. */
enum {
  PITH_CHAR_REMOVED =
      1 << 0,               /* what BertNormalizer's clean_text drops: Cc, Cf, Co, U+0000, U+FFFD */
  PITH_CHAR_SPACE = 1 << 1, /* White_Space */
  PITH_CHAR_PUNCTUATION = 1 << 2, /* P*, and ASCII's symbols */
  PITH_CHAR_NONSPACING = 1 << 3,  /* Mn */
  PITH_CHAR_MARK = 1 << 4,        /* M* */
  PITH_CHAR_LETTER = 1 << 5,      /* L* */
  PITH_CHAR_NUMBER = 1 << 6,      /* N* */
  PITH_CHAR_WORD = 1 << 7,        /* \w of a regular expression */
};
extern const uint8_t pith_char_ascii_classes[128];
unsigned pith_char_class_beyond_ascii(uint32_t character);
static inline unsigned pith_char_class(uint32_t character) {
  return character < 128 ? pith_char_ascii_classes[character]
                         : pith_char_class_beyond_ascii(character);
}

bool pith_char_is_chinese(
    uint32_t character); /* CJK ideographs, as BertNormalizer's handle_chinese_chars has them */
uint8_t pith_char_combining_class(uint32_t character);

enum { PITH_DECOMPOSITION_MAX = 18, PITH_LOWER_MAX = 2 };
/* Full decomposition, not reordered; returns the number of characters, at least 1. */
unsigned pith_char_decompose(uint32_t character, bool compatible,
                             uint32_t out[PITH_DECOMPOSITION_MAX]);
/* The primary composite of two characters, or 0. */
uint32_t pith_char_compose(uint32_t first, uint32_t second);
unsigned pith_char_lower(uint32_t character, uint32_t out[PITH_LOWER_MAX]);

#endif
