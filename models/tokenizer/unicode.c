#include "models/tokenizer/unicode.h"

#include <utf8proc.h>

#include "models/tokenizer/unicode_exceptions.h"

unsigned pith_utf8_decode(const uint8_t *text, size_t bytes, uint32_t *out_char) {
  uint8_t lead = text[0];
  if (lead < 0x80) {
    *out_char = lead;
    return 1;
  }
  *out_char = PITH_REPLACEMENT;
  if (lead < 0xC2 || lead > 0xF4)
    return 1;
  unsigned length = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  /* The second byte's range keeps out overlong forms, surrogates and what lies past U+10FFFF. */
  uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  uint32_t character = lead & (0xFFu >> (length + 1));
  for (unsigned i = 1; i < length; i++) {
    if (i >= bytes || text[i] < low || text[i] > high)
      return i;
    character = character << 6 | (text[i] & 0x3Fu);
    low = 0x80;
    high = 0xBF;
  }
  *out_char = character;
  return length;
}

unsigned pith_utf8_encode(uint32_t character, uint8_t *out) {
  if (character < 0x80) {
    out[0] = (uint8_t)character;
    return 1;
  }
  unsigned length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
  for (unsigned i = length - 1; i > 0; i--) {
    out[i] = (uint8_t)(0x80 | (character & 0x3F));
    character >>= 6;
  }
  out[0] = (uint8_t)((0xF00u >> length & 0xF0u) | character);
  return length;
}

unsigned pith_utf8_decode_before(const uint8_t *text, size_t end, uint32_t *out_char) {
  for (unsigned length = end < 4 ? (unsigned)end : 4; length > 1; length--)
    if (pith_utf8_decode(text + end - length, length, out_char) == length &&
        *out_char != PITH_REPLACEMENT)
      return length;
  if (end >= 3 && pith_utf8_decode(text + end - 3, 3, out_char) == 3)
    return 3; /* U+FFFD itself, or three bytes of a broken sequence */
  pith_utf8_decode(text + end - 1, 1, out_char);
  return 1;
}

bool pith_utf8_valid(const uint8_t *text, size_t bytes) {
  for (size_t i = 0; i < bytes;) {
    uint64_t eight;
    if (bytes - i >= sizeof eight) {
      __builtin_memcpy(&eight, text + i, sizeof eight);
      if ((eight & 0x8080808080808080u) == 0) {
        i += sizeof eight;
        continue;
      }
    }
    uint32_t character;
    unsigned length = pith_utf8_decode(text + i, bytes - i, &character);
    if (character == PITH_REPLACEMENT && (length != 3 || text[i] != 0xEF))
      return false;
    i += length;
  }
  return true;
}

#define REMOVED PITH_CHAR_REMOVED
#define SPACE PITH_CHAR_SPACE
#define PUNCT PITH_CHAR_PUNCTUATION
#define LETTER (PITH_CHAR_LETTER | PITH_CHAR_WORD)
#define NUMBER (PITH_CHAR_NUMBER | PITH_CHAR_WORD)
const uint8_t pith_char_ascii_classes[128] = {
    [0 ... 8] = REMOVED,
    ['\t' ... '\n'] = SPACE,
    ['\v' ... '\f'] =
        REMOVED |
        SPACE, /* white space for a split, but a control to clean_text, which comes first */
    ['\r'] = SPACE,
    [14 ... 31] = REMOVED,
    [' '] = SPACE,
    ['!' ... '/'] = PUNCT,
    ['0' ... '9'] = NUMBER,
    [':' ... '@'] = PUNCT,
    ['A' ... 'Z'] = LETTER,
    ['[' ... '^'] = PUNCT,
    ['_'] = PUNCT | PITH_CHAR_WORD,
    ['`'] = PUNCT,
    ['a' ... 'z'] = LETTER,
    ['{' ... '~'] = PUNCT,
    [127] = REMOVED,
};

static const uint8_t category_classes[] = {
    [UTF8PROC_CATEGORY_CN] = 0,
    [UTF8PROC_CATEGORY_LU] = LETTER,
    [UTF8PROC_CATEGORY_LL] = LETTER,
    [UTF8PROC_CATEGORY_LT] = LETTER,
    [UTF8PROC_CATEGORY_LM] = LETTER,
    [UTF8PROC_CATEGORY_LO] = LETTER,
    [UTF8PROC_CATEGORY_MN] = PITH_CHAR_NONSPACING | PITH_CHAR_MARK | PITH_CHAR_WORD,
    [UTF8PROC_CATEGORY_MC] = PITH_CHAR_MARK | PITH_CHAR_WORD,
    [UTF8PROC_CATEGORY_ME] = PITH_CHAR_MARK | PITH_CHAR_WORD,
    [UTF8PROC_CATEGORY_ND] = NUMBER,
    [UTF8PROC_CATEGORY_NL] = NUMBER,
    [UTF8PROC_CATEGORY_NO] = PITH_CHAR_NUMBER,
    [UTF8PROC_CATEGORY_PC] = PUNCT | PITH_CHAR_WORD,
    [UTF8PROC_CATEGORY_PD] = PUNCT,
    [UTF8PROC_CATEGORY_PS] = PUNCT,
    [UTF8PROC_CATEGORY_PE] = PUNCT,
    [UTF8PROC_CATEGORY_PI] = PUNCT,
    [UTF8PROC_CATEGORY_PF] = PUNCT,
    [UTF8PROC_CATEGORY_PO] = PUNCT,
    [UTF8PROC_CATEGORY_SM] = 0,
    [UTF8PROC_CATEGORY_SC] = 0,
    [UTF8PROC_CATEGORY_SK] = 0,
    [UTF8PROC_CATEGORY_SO] = 0,
    [UTF8PROC_CATEGORY_ZS] = SPACE,
    [UTF8PROC_CATEGORY_ZL] = SPACE,
    [UTF8PROC_CATEGORY_ZP] = SPACE,
    [UTF8PROC_CATEGORY_CC] = REMOVED,
    [UTF8PROC_CATEGORY_CF] = REMOVED,
    [UTF8PROC_CATEGORY_CS] = 0,
    [UTF8PROC_CATEGORY_CO] = REMOVED,
};
enum { CATEGORIES = sizeof category_classes };
_Static_assert(CATEGORIES == 30, "one row for each of Unicode's general categories");

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

unsigned pith_char_class_beyond_ascii(uint32_t character) {
  uint32_t block = character >> 8;
  if (block >= 0x1100)
    return 0;
  if (class_exception_blocks[block >> 6] >> (block & 63) & 1) {
    size_t low = 0, high = COUNT(class_exceptions);
    while (low < high) {
      size_t middle = (low + high) / 2;
      if (class_exceptions[middle][1] < character)
        low = middle + 1;
      else
        high = middle;
    }
    if (low < COUNT(class_exceptions) && class_exceptions[low][0] <= character)
      return class_exceptions[low][2];
  }
  unsigned category = (unsigned)utf8proc_get_property((utf8proc_int32_t)character)->category;
  return category < CATEGORIES ? category_classes[category] : 0;
}

bool pith_char_is_chinese(uint32_t c) {
  if (c < 0x3400)
    return false;
  return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) ||
         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B73F) ||
         (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
         (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t character) {
  for (size_t i = 0; i < count && ranges[i][0] <= character; i++)
    if (character <= ranges[i][1])
      return true;
  return false;
}

uint8_t pith_char_combining_class(uint32_t character) {
  if (character < 0x300)
    return 0;
  unsigned class = (unsigned)utf8proc_get_property((utf8proc_int32_t)character)->combining_class;
  if (class != 0 && in_ranges(unordered_exceptions, COUNT(unordered_exceptions), character))
    return 0;
  return (uint8_t) class;
}

unsigned pith_char_decompose(uint32_t character, bool compatible,
                             uint32_t out[PITH_DECOMPOSITION_MAX]) {
  out[0] = character;
  if (character < 0xA0)
    return 1;
  bool hangul = character >= 0xAC00 && character < 0xD7A4;
  if (!hangul && utf8proc_get_property((utf8proc_int32_t)character)->decomp_seqindex == UINT16_MAX)
    return 1;
  if (in_ranges(whole_exceptions, COUNT(whole_exceptions), character))
    return 1;
  utf8proc_int32_t parts[PITH_DECOMPOSITION_MAX];
  int boundary = 0;
  utf8proc_option_t options =
      compatible ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE;
  utf8proc_ssize_t count = utf8proc_decompose_char((utf8proc_int32_t)character, parts,
                                                   PITH_DECOMPOSITION_MAX, options, &boundary);
  if (count < 1 || count > PITH_DECOMPOSITION_MAX)
    return 1;
  for (utf8proc_ssize_t i = 0; i < count; i++)
    out[i] = (uint32_t)parts[i];
  return (unsigned)count;
}

uint32_t pith_char_compose(uint32_t first, uint32_t second) {
  utf8proc_int32_t pair[3] = {(utf8proc_int32_t)first, (utf8proc_int32_t)second, 0};
  if (utf8proc_normalize_utf32(pair, 2, UTF8PROC_COMPOSE | UTF8PROC_STABLE) != 1)
    return 0;
  uint32_t composite = (uint32_t)pair[0];
  return in_ranges(whole_exceptions, COUNT(whole_exceptions), composite) ? 0 : composite;
}

unsigned pith_char_lower(uint32_t character, uint32_t out[PITH_LOWER_MAX]) {
  if (character < 128) {
    out[0] = character >= 'A' && character <= 'Z' ? character + 32 : character;
    return 1;
  }
  if (character == 0x130) { /* the only one of more than one character: i and a dot above */
    out[0] = 'i';
    out[1] = 0x307;
    return 2;
  }
  out[0] = (uint32_t)utf8proc_tolower((utf8proc_int32_t)character);
  if (character >= (uint32_t)lower_exceptions[0][0])
    for (size_t i = 0; i < COUNT(lower_exceptions) && (uint32_t)lower_exceptions[i][0] <= character;
         i++)
      if (character <= (uint32_t)lower_exceptions[i][1])
        out[0] = character + (uint32_t)lower_exceptions[i][2];
  return 1;
}
