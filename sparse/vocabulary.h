/* A model with only the tokens that given texts use: what `pith prune --vocabulary` does. Part of
 * libpith-compress.
 *
 * Kept are the tokens of the texts, special and added ones, what begins or goes on a word with a
 * single character (WordPiece), and all bytes and the merges that lead to a kept token (byte-level
 * BPE). Ids close up in their old order. The given texts become the same tokens as before; other
 * words fall back to shorter pieces, down to characters. With a limit the tokens that the texts have
 * most often are kept, and rare words of theirs fall back likewise. */
#ifndef PITH_SPARSE_VOCABULARY_H
#define PITH_SPARSE_VOCABULARY_H

#include "engine/format/model_data.h"

typedef struct pith_vocabulary {
  const pith_model *model;
  uint64_t *counts;                /* [token_count] by id: how often it was seen */
  uint64_t texts, tokens, unknown; /* seen; unknown ones among them */
  size_t capacity;                 /* of the encoding */
  int32_t *ids, *type_ids;
  uint32_t (*offsets)[2];
  uint8_t *sequence;
  pith_arena arena;
} pith_vocabulary;

/* The model stays open for as long as this is used. PITH_INVALID_ARGUMENT where it has no tokenizer
 * or is quantized. pith_vocabulary_deinit follows, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_vocabulary_init(pith_vocabulary *vocabulary,
                                                  const pith_model *model, pith_error *error);
/* Keeps the tokens of a zero-terminated text, whole, and of its pair; `pair` may be NULL. */
PITH_WARN_UNUSED pith_status pith_vocabulary_see(pith_vocabulary *vocabulary, const char *text,
                                                 const char *pair, pith_error *error);
void pith_vocabulary_deinit(pith_vocabulary *vocabulary);

typedef struct pith_vocabulary_pruned {
  pith_model_data data; /* embeddings, tied or own decoder, tokenizer and config_json are smaller */
  uint32_t before, after; /* rows of the embedding table */
  const int32_t *new_ids; /* [token_count of the model] -1: the token left */
  pith_tokenizer_data tokenizer;
  pith_graph *graph; /* borrows data of the model's */
  pith_arena arena;
} pith_vocabulary_pruned;

/* Keeps at most `limit` tokens (0: all that were seen). PITH_INVALID_ARGUMENT where no text was seen,
 * nothing would leave, what stays in any case is over the limit, or the graph reads the table in a
 * way that is none of looking up and decoding. pith_vocabulary_pruned_deinit follows, whether this
 * fails or not. */
PITH_WARN_UNUSED pith_status pith_vocabulary_prune(pith_vocabulary *vocabulary, uint32_t limit,
                                                   pith_vocabulary_pruned *out, pith_error *error);
void pith_vocabulary_pruned_deinit(pith_vocabulary_pruned *pruned);

#endif
