/* Any text, through several tokenizers, whole and with words of their index, merges and token
 * places overwritten.
 *
 * byte 0: the tokenizer; byte 1: max_length (0: none), byte 2: how many words are overwritten; then
 * 6 bytes for each of those (place, value), then the text; what follows its first 0xFE is the pair.
 */
#include <stdlib.h>

#include "models/tokenizer/compile_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define ADDED                                                                                      \
  "\"added_tokens\":[{\"id\":0,\"content\":\"[UNK]\",\"normalized\":false,\"special\":true},"      \
  "{\"id\":1,\"content\":\"[M]\",\"normalized\":false,\"lstrip\":true,\"rstrip\":true},"           \
  "{\"id\":2,\"content\":\"one\",\"normalized\":false,\"single_word\":true},"                      \
  "{\"id\":3,\"content\":\"\\u00c9t\\u00e9\",\"normalized\":true,\"rstrip\":true}],"
#define TEMPLATE                                                                                   \
  "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"["  \
  "M]\",\"type_id\":0}},"                                                                          \
  "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[{\"Sequence\":{\"id\":\"B\",\"type_"     \
  "id\":1}},"                                                                                      \
  "{\"SpecialToken\":{\"id\":\"[M]\",\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}]" \
  ","                                                                                              \
  "\"special_tokens\":{\"[M]\":{\"id\":\"[M]\",\"ids\":[1],\"tokens\":[\"[M]\"]}}},"
#define WORD_PIECE                                                                                 \
  "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##"   \
  "\","                                                                                            \
  "\"max_input_chars_per_word\":40,\"vocab\":{\"[UNK]\":0,\"[M]\":1,\"one\":2,"                    \
  "\"\\u00c9t\\u00e9\":3,\"a\":4,"                                                                 \
  "\"##a\":5,\"ab\":6,\"##b\":7,\"\\u4e2d\":8,\"e\":9,\"##\\u0301\":10,\"!\":11,\"##\\u00e9\":12," \
  "\"i\":13}}}"
#define BPE                                                                                        \
  "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"use_regex\":true},"       \
  "\"model\":{\"type\":\"BPE\",\"unk_token\":\"[UNK]\",\"fuse_unk\":true,\"vocab\":{\"[UNK]\":0,"  \
  "\"[M]\":1,\"one\":2,"                                                                           \
  "\"\\u00c9t\\u00e9\":3,\"a\":4,\"b\":5,\"\\u0120\":6,\"ab\":7,\"\\u0120a\":8,\"\\u00c3\":9,"     \
  "\"\\u00a9\":10,"                                                                                \
  "\"\\u00c3\\u00a9\":11,\"aa\":12,\"aaaa\":13,\"'\":14,\"s\":15},\"merges\":[\"a b\",\"\\u0120 "  \
  "a\",\"\\u00c3 \\u00a9\","                                                                       \
  "\"a a\",[\"aa\",\"aa\"]]}}"

static const char *const sources[] = {
    "{" ADDED TEMPLATE "\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"}," WORD_PIECE,
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":false},\"pre_tokenizer\":{\"type\":"
    "\"BertPreTokenizer\"}," WORD_PIECE,
    "{" TEMPLATE "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{"
    "\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Whitespace\"}," WORD_PIECE,
    "{" ADDED "\"post_processor\":{\"type\":\"ByteLevel\",\"trim_offsets\":true,\"add_prefix_"
    "space\":true}," BPE,
    "{" ADDED TEMPLATE "\"normalizer\":{\"type\":\"NFC\"}," BPE,
};
enum { SOURCES = sizeof sources / sizeof *sources, CHANGES = 16, CHANGE_BYTES = 6 };

static void require(bool holds) {
  if (!holds)
    abort();
}

static const pith_tokenizer_data *tokenizer(unsigned which) {
  static pith_tokenizer_data all[SOURCES];
  static pith_arena arena;
  static bool made;
  for (unsigned i = 0; i < SOURCES && !made; i++) {
    pith_error error = {PITH_OK, ""};
    require(pith_tokenizer_compile_json(sources[i], strlen(sources[i]), &arena, &all[i], &error) ==
            PITH_OK);
  }
  made = true;
  return &all[which % SOURCES];
}

static uint32_t *copy_words(const uint32_t *words, uint32_t count) {
  uint32_t *copy = malloc(count * sizeof *copy + 1);
  require(copy != NULL);
  if (count > 0)
    memcpy(copy, words, count * sizeof *copy);
  return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  if (size < 3)
    return 0;
  pith_tokenizer_data data = *tokenizer(bytes[0]);
  size_t max_length = bytes[1];
  unsigned changes = bytes[2] % CHANGES;
  bytes += 3;
  size -= 3;
  uint32_t *index = copy_words(data.index, data.index_count),
           *merges = copy_words(data.merges, data.merge_word_count);
  uint32_t *starts = copy_words(data.token_starts, data.token_start_count);
  const uint32_t length_words = (uint32_t)pith_token_blocks_round(data.token_count) / 4;
  uint32_t *lengths = copy_words((const uint32_t *)(const void *)data.token_lengths, length_words);
  data.index = index;
  data.merges = merges;
  data.token_starts = starts;
  data.token_lengths = (const uint8_t *)lengths;
  for (unsigned i = 0; i < changes && size >= CHANGE_BYTES;
       i++, bytes += CHANGE_BYTES, size -= CHANGE_BYTES) {
    uint32_t at = bytes[0] | (uint32_t)bytes[1] << 8, value;
    memcpy(&value, bytes + 2, sizeof value);
    const struct {
      uint32_t *words, count;
    } parts[] = {{index, data.index_count},
                 {merges, data.merge_word_count},
                 {starts, data.token_start_count},
                 {lengths, length_words}};
    for (unsigned p = 0; p < sizeof parts / sizeof *parts; at -= parts[p++].count)
      if (at < parts[p].count) {
        parts[p].words[at] = value;
        break;
      }
  }
  pith_error error = {PITH_OK, ""};
  if (pith_tokenizer_data_verify(&data, &error) == PITH_OK) {
    size_t text_sum = 0;
    for (uint32_t id = 0; id < data.token_count; id++) {
      uint32_t count;
      const char *token = pith_tokenizer_text(&data, id, &count);
      for (uint32_t i = 0; i < count; i++)
        text_sum += (uint8_t)token[i];
    }
    require(text_sum > 0 || changes > 0);
    /* Exact copies, so that a byte read past the end is seen. */
    const uint8_t *cut = size == 0 ? NULL : memchr(bytes, 0xFE, size);
    size_t text_bytes = cut == NULL ? size : (size_t)(cut - bytes),
           pair_bytes = cut == NULL ? 0 : size - text_bytes - 1;
    char *text = malloc(text_bytes + (text_bytes == 0)),
         *pair = malloc(pair_bytes + (pair_bytes == 0));
    size_t capacity = 16 + 8 * size;
    int32_t *ids = malloc(capacity * sizeof *ids);
    uint32_t(*offsets)[2] = malloc(capacity * sizeof *offsets);
    uint8_t *sequence = malloc(capacity);
    require(text != NULL && pair != NULL && ids != NULL && offsets != NULL && sequence != NULL);
    if (text_bytes > 0)
      memcpy(text, bytes, text_bytes);
    if (pair_bytes > 0)
      memcpy(pair, cut + 1, pair_bytes);
    pith_encoding encoding = {.struct_size = sizeof encoding,
                              .capacity = capacity,
                              .ids = ids,
                              .offsets = offsets,
                              .sequence = sequence};
    pith_status status = pith_tokenizer_encode(&data, text, text_bytes, cut == NULL ? NULL : pair,
                                               pair_bytes, max_length, &encoding, &error);
    require(status == PITH_OK || status == PITH_INVALID_ARGUMENT ||
            (status == PITH_LIMIT && changes > 0));
    require(status != PITH_OK || max_length == 0 || encoding.count <= max_length);
    for (size_t i = 0; status == PITH_OK && i < encoding.count; i++) {
      size_t limit = sequence[i] == 0 ? text_bytes : sequence[i] == 1 ? pair_bytes : 0;
      require(offsets[i][0] <= limit && offsets[i][1] <= limit);
      require(changes > 0 || (ids[i] >= 0 && (uint32_t)ids[i] < data.token_count));
    }
    free(text);
    free(pair);
    free(ids);
    free(offsets);
    free(sequence);
  }
  free(index);
  free(merges);
  free(starts);
  free(lengths);
  return 0;
}
