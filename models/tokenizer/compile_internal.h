/* From Hugging Face files to a draft (text and options), from a draft to pith_tokenizer_data. */
#ifndef PITH_MODELS_COMPILE_INTERNAL_H
#define PITH_MODELS_COMPILE_INTERNAL_H

#include <cjson/cJSON.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "models/tokenizer/index.h"

typedef struct pith_draft_text {
  const char *text;
  uint32_t bytes;
} pith_draft_text;

static inline bool pith_draft_same_text(pith_draft_text a, pith_draft_text b) {
  return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.text, b.text, a.bytes) == 0);
}

typedef struct pith_draft_token {
  pith_draft_text text; /* empty: the id has no token */
  uint32_t id;
} pith_draft_token;

typedef struct pith_draft_merge {
  pith_draft_text left, right;
} pith_draft_merge;

typedef struct pith_draft_added {
  pith_draft_text text;
  int64_t id;     /* -1: the vocabulary's */
  uint32_t flags; /* PITH_ADDED_* */
} pith_draft_added;

typedef struct pith_draft_piece {
  pith_draft_text text; /* a special token, where `id` is -1 and `sequence` 0 */
  int64_t id;
  int32_t sequence; /* PITH_TEMPLATE_A, PITH_TEMPLATE_B, or 0 */
  uint32_t type_id;
} pith_draft_piece;

enum { PITH_DRAFT_PIECES = 64, PITH_DRAFT_SPECIALS = 5 };
enum { PITH_SPECIAL_UNK, PITH_SPECIAL_CLS, PITH_SPECIAL_SEP, PITH_SPECIAL_PAD, PITH_SPECIAL_MASK };

typedef struct pith_draft {
  const char *file; /* whose vocabulary it is, for messages */
  pith_tokenizer_kind kind;
  uint32_t flags, normalizer, pre_tokenizer;
  uint64_t max_word_chars;
  const char *continuing_prefix;
  pith_draft_text unknown;                       /* the model's; empty: none */
  pith_draft_text specials[PITH_DRAFT_SPECIALS]; /* by role; empty: none */

  pith_draft_token *tokens;
  size_t token_count;
  bool duplicates; /* a text may occur twice: the last one counts */
  pith_draft_merge *merges;
  size_t merge_count;
  pith_draft_added *added;
  size_t added_count;
  pith_draft_piece single[PITH_DRAFT_PIECES], pair[PITH_DRAFT_PIECES];
  uint32_t single_count, pair_count;
} pith_draft;

/* Appends a normalizer step; PITH_UNSUPPORTED where they do not fit. */
PITH_WARN_UNUSED pith_status pith_draft_add_step(pith_draft *draft, pith_normalize_step step,
                                                 pith_error *error);
/* BertNormalizer's options as steps. */
PITH_WARN_UNUSED pith_status pith_draft_bert_normalizer(pith_draft *draft, bool clean, bool chinese,
                                                        bool strip, bool lowercase,
                                                        pith_error *error);
/* [CLS] A [SEP] (B [SEP]) or <s> A </s> (</s> B </s>): from specials[CLS] and [SEP]. */
void pith_draft_bert_template(pith_draft *draft);
void pith_draft_roberta_template(pith_draft *draft);
/* A (B): no special tokens. */
void pith_draft_plain_template(pith_draft *draft);

/* Everything of the draft is in an arena that outlives the call; `data` lives in `arena`. */
PITH_WARN_UNUSED pith_status pith_draft_build(const pith_draft *draft, pith_arena *arena,
                                              pith_tokenizer_data *out_data, pith_error *error);

/* ---- files
 * -------------------------------------------------------------------------------------------- */

/* A whole file of the directory, zero-terminated, in `arena`. A file that is not there: *out_text
 * NULL and PITH_OK. */
PITH_WARN_UNUSED pith_status pith_draft_read(const char *directory, const char *name,
                                             pith_arena *arena, char **out_text, size_t *out_bytes,
                                             pith_error *error);

/* Parses a file's text, UTF-8 checked; the result is released with cJSON_Delete. */
PITH_WARN_UNUSED pith_status pith_draft_parse(const char *name, const char *text, size_t bytes,
                                              cJSON **out_json, pith_error *error);
/* Members of an object, by exact name; NULL where there is none or it is null. */
const cJSON *pith_json_get(const cJSON *object, const char *name);
/* An optional member that must be true or false. */
PITH_WARN_UNUSED pith_status pith_json_bool(const char *file, const cJSON *object, const char *name,
                                            bool *in_out, pith_error *error);
/* A whole number in [0, limit]. */
PITH_WARN_UNUSED pith_status pith_json_id(const char *file, const char *key, const cJSON *number,
                                          uint64_t limit, uint64_t *out, pith_error *error);

/* A whole vocabulary object, {"text": id, ...}. */
PITH_WARN_UNUSED pith_status pith_draft_vocabulary(pith_draft *draft, const cJSON *object,
                                                   pith_arena *arena, pith_error *error);
/* tokenizer.json, parsed. `cased`: as in pith_tokenizer_source. */
PITH_WARN_UNUSED pith_status pith_draft_from_json(pith_draft *draft, const cJSON *json, int cased,
                                                  pith_arena *arena, pith_error *error);

/* pith_tokenizer_compile for a tokenizer.json of `bytes` at `text`, zero-terminated (text[bytes] is
 * 0). */
PITH_WARN_UNUSED pith_status pith_tokenizer_compile_json(const char *text, size_t bytes,
                                                         pith_arena *arena,
                                                         pith_tokenizer_data *out_data,
                                                         pith_error *error);

#endif
