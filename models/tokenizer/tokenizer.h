/* Text to token ids, exactly as Hugging Face `tokenizers` gives them. */
#ifndef PITH_MODELS_TOKENIZER_H
#define PITH_MODELS_TOKENIZER_H

#include "engine/format/model_data.h"

/* Checks a tokenizer that came from a file: every offset, id and index word in bounds. After it accepts, encoding needs
 * no further check. Reads the whole tokenizer (not the weights). */
PITH_WARN_UNUSED pith_status pith_tokenizer_data_verify(const pith_tokenizer_data *data, pith_error *error);

/* pith_encode, on a verified tokenizer. Thread-safe. */
PITH_WARN_UNUSED pith_status pith_tokenizer_encode(const pith_tokenizer_data *data, const char *text,
                                                   size_t text_bytes, const char *pair, size_t pair_bytes,
                                                   size_t max_length, pith_encoding *encoding,
                                                   pith_error *error);

/* pith_encode_batch, on a verified tokenizer. */
PITH_WARN_UNUSED pith_status pith_tokenizer_encode_batch(const pith_tokenizer_data *data, struct pthreadpool *pool,
                                                         const char *const *texts, const char *const *pairs,
                                                         size_t n, size_t max_length, pith_encoding *encodings,
                                                         pith_status *out_statuses, pith_error *error);

/* The id of a vocabulary entry, or -1. */
int32_t pith_tokenizer_find(const pith_tokenizer_data *data, const char *text, size_t bytes);

/* What a token's `text` stands for: byte-level stand-ins become their bytes; added tokens and those of WordPiece are as they
 * are. Writes at most `capacity` bytes; returns how many there are. */
size_t pith_tokenizer_decode(const pith_tokenizer_data *data, int32_t id, const char *text, size_t bytes,
                             size_t capacity, char *out_text);

/* Compiles the tokenizer of a Hugging Face directory: tokenizer.json, else vocab.txt, else vocab.json + merges.txt;
 * options from tokenizer_config.json. `cased`: -1 as the files say (a bare vocab.txt lower-cases), 0, 1. Everything
 * lives in `arena`. Part of libpith-compress (compiler/import calls it). */
typedef struct pith_tokenizer_source {
  const char *directory;
  int cased;
} pith_tokenizer_source;
PITH_WARN_UNUSED pith_status pith_tokenizer_compile(const pith_tokenizer_source *source, pith_arena *arena,
                                                    pith_tokenizer_data *out_data, pith_error *error);

#endif
