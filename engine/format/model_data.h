/* What a .pith file holds, as plain structures: the writer takes one, the reader gives one whose pointers lie in
 * the mapped file. */
#ifndef PITH_FORMAT_MODEL_DATA_H
#define PITH_FORMAT_MODEL_DATA_H

#include "engine/ir/graph.h"

/* ---- tokenizer ---------------------------------------------------------------------------------------- */
/* The compiled tokenizer: arrays only, its lookup index included, so that a mapped file needs no building.
 * models/tokenizer compiles one from Hugging Face files and encodes with one. Everything below is data from a
 * file until pith_tokenizer_data_verify (models/tokenizer) has accepted it. */

#define PITH_TOKENIZER_KIND_LIST(X)                                                                        \
  X(WORDPIECE, "WordPiece")                                                                                \
  X(BYTE_BPE, "BPE") /* byte-level, GPT-2 / RoBERTa */
typedef enum pith_tokenizer_kind {
#define PITH_TOKENIZER_KIND_ENUM(name, text) PITH_TOKENIZER_##name,
  PITH_TOKENIZER_KIND_LIST(PITH_TOKENIZER_KIND_ENUM)
#undef PITH_TOKENIZER_KIND_ENUM
      PITH_TOKENIZER_KIND_COUNT
} pith_tokenizer_kind;

/* Bits of pith_tokenizer_data.flags. */
enum {
  PITH_TOKENIZER_ADD_PREFIX_SPACE = 1 << 0,    /* byte-level: a text that does not begin with a space gets one */
  PITH_TOKENIZER_TRIM_OFFSETS = 1 << 1,        /* the post-processor takes spaces out of the offsets ... */
  PITH_TOKENIZER_TRIM_KEEPS_PREFIX = 1 << 2,   /* ... but for one leading space at the text's beginning */
  PITH_TOKENIZER_IGNORE_MERGES = 1 << 3,       /* byte-level BPE: a word of the vocabulary is not merged */
  PITH_TOKENIZER_BYTE_LEVEL_REGEX = 1 << 4,    /* byte-level: texts are split into words first (GPT-2's way) */
  PITH_TOKENIZER_FUSE_UNKNOWN = 1 << 5,        /* byte-level BPE: unknown bytes in a row are one token */
};

/* The normalizer: up to 8 steps in pith_tokenizer_data.normalizer, 4 bits each, the first in the lowest bits; 0 ends.
 * Hugging Face's BertNormalizer is CLEAN, CHINESE, NFD + STRIP_NONSPACING, LOWERCASE, each where its option is on. */
#define PITH_NORMALIZE_LIST(X)                                                                             \
  X(NONE, "none")                                                                                          \
  X(CLEAN, "clean_text")                  /* controls dropped, white space to ' ' */                         \
  X(CHINESE, "handle_chinese_chars")      /* spaces around CJK ideographs */                                \
  X(NFD, "NFD")                                                                                            \
  X(NFC, "NFC")                                                                                            \
  X(NFKD, "NFKD")                                                                                          \
  X(NFKC, "NFKC")                                                                                          \
  X(STRIP_NONSPACING, "strip_accents")    /* general category Mn */                                         \
  X(STRIP_MARKS, "StripAccents")          /* general categories Mn, Mc, Me */                               \
  X(LOWERCASE, "Lowercase")
typedef enum pith_normalize_step {
#define PITH_NORMALIZE_ENUM(name, text) PITH_NORMALIZE_##name,
  PITH_NORMALIZE_LIST(PITH_NORMALIZE_ENUM)
#undef PITH_NORMALIZE_ENUM
      PITH_NORMALIZE_COUNT
} pith_normalize_step;

/* How a normalized text is cut into words; values of pith_tokenizer_data.pre_tokenizer. */
#define PITH_PRE_TOKENIZE_LIST(X)                                                                          \
  X(NONE, "none")                         /* the whole text is one word */                                  \
  X(BERT, "BertPreTokenizer")             /* at white space; every punctuation character alone */           \
  X(WHITESPACE, "Whitespace")             /* \w+|[^\w\s]+ */                                             \
  X(WHITESPACE_SPLIT, "WhitespaceSplit")                                                                   \
  X(BYTE_LEVEL, "ByteLevel")
typedef enum pith_pre_tokenize {
#define PITH_PRE_TOKENIZE_ENUM(name, text) PITH_PRE_TOKENIZE_##name,
  PITH_PRE_TOKENIZE_LIST(PITH_PRE_TOKENIZE_ENUM)
#undef PITH_PRE_TOKENIZE_ENUM
      PITH_PRE_TOKENIZE_COUNT
} pith_pre_tokenize;

/* An added token is matched in the raw (or normalized) text before anything else. */
typedef struct pith_added_token {
  uint32_t id;
  uint32_t text; /* place in `added_text` */
  uint32_t text_bytes;
  uint32_t flags; /* PITH_ADDED_* */
} pith_added_token;
enum {
  PITH_ADDED_SPECIAL = 1 << 0,
  PITH_ADDED_SINGLE_WORD = 1 << 1,
  PITH_ADDED_LSTRIP = 1 << 2,
  PITH_ADDED_RSTRIP = 1 << 3,
  PITH_ADDED_NORMALIZED = 1 << 4,
};

/* One piece of the post-processor's template: a special token, or sequence A (-1) or B (-2). */
typedef struct pith_template_piece {
  int32_t id_or_sequence;
  uint32_t type_id;
} pith_template_piece;
enum { PITH_TEMPLATE_A = -1, PITH_TEMPLATE_B = -2 };

#define PITH_TOKEN_BLOCK 8u
#define PITH_TOKEN_BLOCK_LONG 0x80000000u
/* `count` tokens up to a whole block. */
static inline uint64_t pith_token_blocks_round(uint32_t count) {
  return ((uint64_t)count + PITH_TOKEN_BLOCK - 1) / PITH_TOKEN_BLOCK * PITH_TOKEN_BLOCK;
}

typedef struct pith_tokenizer_data {
  pith_tokenizer_kind kind;
  uint32_t flags;
  uint32_t normalizer;    /* packed pith_normalize_step values */
  uint32_t pre_tokenizer; /* pith_pre_tokenize */
  int32_t unk_id, cls_id, sep_id, pad_id, mask_id; /* -1: none */
  uint32_t max_word_chars;                         /* WordPiece: longer words are unknown (100) */
  const char *continuing_prefix;                   /* "##"; zero-terminated, "" for BPE */

  uint32_t token_count; /* ids are 0 .. token_count - 1; an id without a token has length 0 */
  /* Where each token's text is: for every block of PITH_TOKEN_BLOCK tokens the place of its first one, and the length of
   * each. A block with a token of more than 255 bytes has PITH_TOKEN_BLOCK_LONG | i instead, lengths 0, and the places of its
   * tokens and of what follows them at token_starts[i]. */
  uint32_t token_start_count;
  const uint32_t *token_starts;  /* [token_start_count]: blocks, then PITH_TOKEN_BLOCK + 1 for each long one */
  const uint8_t *token_lengths;  /* [token_count], then zeros up to a whole block */
  const char *token_text;        /* [token_text_bytes], tokens' bytes as in the vocabulary, not terminated */
  uint64_t token_text_bytes;

  /* The lookup index: words whose meaning belongs to models/tokenizer. */
  uint32_t index_count;
  const uint32_t *index; /* [index_count] */
  /* Byte-level BPE: merges, ranked; meaning belongs to models/tokenizer. */
  uint32_t merge_word_count;
  const uint32_t *merges; /* [merge_word_count] */

  uint32_t added_count;
  const pith_added_token *added;
  const char *added_text;
  uint64_t added_text_bytes;

  uint32_t single_count, pair_count; /* the template for one text, and for a pair */
  const pith_template_piece *single_template;
  const pith_template_piece *pair_template;
} pith_tokenizer_data;

/* ---- model -------------------------------------------------------------------------------------------- */

/* One step of the model's making: "import", "quantize", ... with its options as JSON. */
typedef struct pith_history_entry {
  const char *step;
  const char *version; /* of Pith */
  const char *json;    /* an object: source, options, recipe */
} pith_history_entry;

/* One measured metric, as `pith eval` reports it. */
typedef struct pith_report_entry {
  const char *task, *metric;
  double value;
  uint64_t samples;
} pith_report_entry;

typedef struct pith_model_data {
  pith_graph *graph; /* owned by whoever made this structure */
  const char *architecture; /* "bert", ... */
  pith_task task;
  uint32_t label_count;
  const char *const *labels;
  uint32_t max_length;  /* tokens, special ones included */
  uint32_t hidden_size;
  const pith_tokenizer_data *tokenizer; /* NULL: none */
  const char *config_json; /* the source's config.json, for export; "" where there is none */
  uint32_t history_count, report_count;
  const pith_history_entry *history;
  const pith_report_entry *report;
} pith_model_data;

#endif
