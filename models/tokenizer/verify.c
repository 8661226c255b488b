#include "engine/base/error.h"
#include "models/tokenizer/index.h"

/* Template pieces of one file at most: far beyond any real one. */
enum { TEMPLATE_MAX = 1024 };

static pith_status verify_template(const pith_tokenizer_data *data,
                                   const pith_template_piece *pieces, uint32_t count, bool pair,
                                   pith_error *error) {
  const char *name = pair ? "pair" : "single";
  if (count > TEMPLATE_MAX || (count > 0 && pieces == NULL))
    return pith_fail(error, PITH_FORMAT, "tokenizer: %s template of %u pieces; at most %d", name,
                     count, TEMPLATE_MAX);
  for (uint32_t i = 0; i < count; i++) {
    int32_t id = pieces[i].id_or_sequence;
    if (id >= 0 ? (uint32_t)id >= data->token_count
                : id != PITH_TEMPLATE_A && (id != PITH_TEMPLATE_B || !pair))
      return pith_fail(error, PITH_FORMAT,
                       "tokenizer: %s template piece %u is %d; the vocabulary has %u tokens", name,
                       i, id, data->token_count);
    if (pieces[i].type_id > INT32_MAX)
      return pith_fail(error, PITH_FORMAT, "tokenizer: %s template piece %u has type id %u", name,
                       i, pieces[i].type_id);
  }
  return PITH_OK;
}

static pith_status verify_normalizer(const pith_tokenizer_data *data, pith_error *error) {
  unsigned forms = 0;
  for (uint32_t packed = data->normalizer; packed != 0; packed >>= 4) {
    uint32_t step = packed & 15;
    if (step == PITH_NORMALIZE_NONE || step >= PITH_NORMALIZE_COUNT)
      return pith_fail(error, PITH_FORMAT, "tokenizer: normalizer 0x%X has the unknown step %u",
                       data->normalizer, step);
    forms += step == PITH_NORMALIZE_NFD || step == PITH_NORMALIZE_NFC ||
             step == PITH_NORMALIZE_NFKD || step == PITH_NORMALIZE_NFKC;
  }
  if (forms > 1)
    return pith_fail(error, PITH_FORMAT,
                     "tokenizer: normalizer 0x%X has %u Unicode forms; at most one",
                     data->normalizer, forms);
  return PITH_OK;
}

static pith_status verify_index(const pith_tokenizer_data *data, pith_error *error) {
  if (data->index == NULL || data->index_count < PITH_INDEX_HEADER_WORDS ||
      data->index[0] != PITH_INDEX_VERSION)
    return pith_fail(error, PITH_FORMAT, "tokenizer: index of %u words is not of version %d",
                     data->index_count, PITH_INDEX_VERSION);
  for (unsigned i = 0; i < PITH_KEYS_COUNT; i++) {
    const uint32_t *table = data->index + PITH_INDEX_TABLES + PITH_INDEX_TABLE_WORDS * i;
    uint64_t end = (uint64_t)table[0] + ((uint64_t)table[1] + 1) / 2 + table[2] + table[3];
    if (end > data->index_count || table[1] == 0 || table[2] == 0 || table[3] == 0 ||
        (table[3] & (table[3] - 1)) != 0)
      return pith_fail(error, PITH_FORMAT,
                       "tokenizer: table %u at word %u, %u shifts, %u slots and %u words of "
                       "beginnings; the index has %u words",
                       i, table[0], table[1], table[2], table[3], data->index_count);
  }
  return PITH_OK;
}

/* The tokens' texts follow each other, from the first byte to the last. */
static pith_status verify_texts(const pith_tokenizer_data *data, pith_error *error) {
  uint32_t blocks = (data->token_count + PITH_TOKEN_BLOCK - 1) / PITH_TOKEN_BLOCK;
  uint64_t at = 0;
  bool holds = blocks <= data->token_start_count;
  for (uint32_t block = 0; holds && block < blocks; block++) {
    uint32_t start = data->token_starts[block], bytes;
    if (start & PITH_TOKEN_BLOCK_LONG) {
      uint64_t first = start & ~PITH_TOKEN_BLOCK_LONG;
      holds = first + PITH_TOKEN_BLOCK < data->token_start_count;
      for (uint32_t i = 0; holds && i < PITH_TOKEN_BLOCK; i++)
        holds = data->token_starts[first + i] <= data->token_starts[first + i + 1];
      if (!holds)
        break;
      start = data->token_starts[first];
      bytes = data->token_starts[first + PITH_TOKEN_BLOCK] - start;
    } else {
      const uint8_t *lengths = data->token_lengths + block * PITH_TOKEN_BLOCK;
      bytes = 0;
      for (uint32_t i = 0; i < PITH_TOKEN_BLOCK; i++)
        bytes += lengths[i];
    }
    holds = start == at;
    at += bytes;
  }
  if (!holds || at != data->token_text_bytes)
    return pith_fail(error, PITH_FORMAT,
                     "tokenizer: the places of %u tokens are not those of %llu bytes of text",
                     data->token_count, (unsigned long long)data->token_text_bytes);
  return PITH_OK;
}

static pith_status verify_merges(const pith_tokenizer_data *data, pith_error *error) {
  uint32_t need = PITH_MERGES_HEADER_WORDS + pith_merges_direct_words(data);
  if (data->merges == NULL || data->merge_word_count < need ||
      data->merges[0] != PITH_MERGES_VERSION)
    return pith_fail(error, PITH_FORMAT, "tokenizer: %u words of merges are not of version %d",
                     data->merge_word_count, PITH_MERGES_VERSION);
  uint32_t slots = data->merges[1];
  if (slots == 0 || (slots & (slots - 1)) != 0 ||
      slots > (data->merge_word_count - need) / PITH_MERGE_SLOT_WORDS || data->merges[2] > slots)
    return pith_fail(error, PITH_FORMAT, "tokenizer: %u slots for merges in %u words", slots,
                     data->merge_word_count);
  return PITH_OK;
}

pith_status pith_tokenizer_data_verify(const pith_tokenizer_data *data, pith_error *error) {
  if ((unsigned)data->kind >= PITH_TOKENIZER_KIND_COUNT)
    return pith_fail(error, PITH_FORMAT, "tokenizer: unknown kind %u", (unsigned)data->kind);
  if (data->token_count >= PITH_KEY_NONE || data->token_starts == NULL ||
      data->token_lengths == NULL || (data->token_text == NULL && data->token_text_bytes > 0))
    return pith_fail(error, PITH_FORMAT, "tokenizer: %u tokens; at most %d", data->token_count,
                     PITH_KEY_NONE - 1);
  if (data->continuing_prefix == NULL)
    return pith_fail(error, PITH_FORMAT, "tokenizer: no continuing prefix");
  bool byte_level = data->kind == PITH_TOKENIZER_BYTE_BPE;
  if (data->pre_tokenizer >= PITH_PRE_TOKENIZE_COUNT ||
      (data->pre_tokenizer == PITH_PRE_TOKENIZE_BYTE_LEVEL) != byte_level)
    return pith_fail(error, PITH_FORMAT, "tokenizer: pre-tokenizer %u with model %u",
                     data->pre_tokenizer, (unsigned)data->kind);
  const int32_t ids[] = {data->unk_id, data->cls_id, data->sep_id, data->pad_id, data->mask_id};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
    if (ids[i] < -1 || (ids[i] >= 0 && (uint32_t)ids[i] >= data->token_count))
      return pith_fail(error, PITH_FORMAT,
                       "tokenizer: special token id %d; the vocabulary has %u tokens", ids[i],
                       data->token_count);
  if (!byte_level && data->unk_id < 0)
    return pith_fail(error, PITH_FORMAT, "tokenizer: WordPiece without an unknown token");
  PITH_TRY(verify_texts(data, error));
  if (data->added_count >= PITH_KEY_NONE ||
      (data->added_count > 0 && (data->added == NULL || data->added_text == NULL)))
    return pith_fail(error, PITH_FORMAT, "tokenizer: %u added tokens", data->added_count);
  for (uint32_t i = 0; i < data->added_count; i++)
    if (data->added[i].id >= data->token_count || data->added[i].text > data->added_text_bytes ||
        data->added[i].text_bytes > data->added_text_bytes - data->added[i].text)
      return pith_fail(error, PITH_FORMAT,
                       "tokenizer: added token %u (id %u, text %u + %u) is out of bounds", i,
                       data->added[i].id, data->added[i].text, data->added[i].text_bytes);
  PITH_TRY(verify_normalizer(data, error));
  PITH_TRY(verify_index(data, error));
  if (byte_level)
    PITH_TRY(verify_merges(data, error));
  PITH_TRY(verify_template(data, data->single_template, data->single_count, false, error));
  return verify_template(data, data->pair_template, data->pair_count, true, error);
}
