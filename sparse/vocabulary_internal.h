/* What the files of vocabulary pruning share with each other only. */
#ifndef PITH_SPARSE_VOCABULARY_INTERNAL_H
#define PITH_SPARSE_VOCABULARY_INTERNAL_H

#include "sparse/vocabulary.h"

/* Marks what stays whatever the texts are. */
PITH_WARN_UNUSED pith_status pith_vocabulary_keep_needed(const pith_tokenizer_data *tokenizer,
                                                         bool *kept, pith_error *error);
/* The tokenizer with the tokens that have a new id, in `arena`. */
PITH_WARN_UNUSED pith_status pith_vocabulary_make_tokenizer(const pith_tokenizer_data *old,
                                                            const int32_t *new_ids,
                                                            pith_arena *arena,
                                                            pith_tokenizer_data *out_tokenizer,
                                                            pith_error *error);
/* The graph with the rows [count] of its table of words that stay. */
PITH_WARN_UNUSED pith_status pith_vocabulary_shrink_graph(const pith_model_data *data,
                                                          const int32_t *new_ids, uint32_t count,
                                                          const pith_allocator *allocator,
                                                          uint32_t *out_before,
                                                          pith_graph **out_graph,
                                                          pith_error *error);
/* An id that counts positions (RoBERTa's padding): it has to stay. -1: there is none. */
int64_t pith_vocabulary_find_padding(const pith_graph *graph);

#endif
