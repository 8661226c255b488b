/* Tokens to be guessed, for training and measuring fill-mask models: 15 % of a sequence's, as BERT has it (Devlin et al. 2018,
 * section 3.1): of them 80 % become the mask token, 10 % any token, 10 % stay. Part of libpith-compress. */
#ifndef PITH_MODELS_HIDING_H
#define PITH_MODELS_HIDING_H

#include "engine/format/model_data.h"

typedef struct pith_hiding {
  const pith_tokenizer_data *tokenizer; /* its cls, sep, pad and mask tokens are never chosen */
  uint64_t seed, sample, round;         /* the choice is a function of these three: seed, number of the sequence, epoch */
} pith_hiding;

/* The most that are chosen of `count` tokens. */
static inline size_t pith_hiding_most(size_t count) {
  return count / 4 + 1;
}
/* Changes some of `ids` [count]; what was there goes to out_labels, where it is to out_rows, ascending, each with room for
 * pith_hiding_most. Returns how many: at least one where any may be chosen. */
size_t pith_hiding_apply(const pith_hiding *hiding, size_t count, int32_t *ids, int32_t *out_rows, int32_t *out_labels);

#endif
