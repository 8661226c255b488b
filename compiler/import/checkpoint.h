/* The weights of a Hugging Face checkpoint as the source of a graph's parameters. */
#ifndef PITH_COMPILER_CHECKPOINT_H
#define PITH_COMPILER_CHECKPOINT_H

#include "compiler/import/safetensors.h"
#include "compiler/import/weights.h"
#include "models/architectures/architecture.h"

/* One directory with weights: the model's own, or a Dense module's of sentence-transformers. */
typedef struct pith_checkpoint_part {
  const char *prefix; /* of the parameters that it gives: "", or "2_Dense." */
  pith_safetensors tensors;
  bool *used; /* [tensors.count] */
} pith_checkpoint_part;

typedef struct pith_checkpoint {
  pith_arena arena;
  const pith_architecture *row;
  size_t part_count, part_capacity;
  pith_checkpoint_part *parts; /* the model's own comes first */
} pith_checkpoint;

/* No parts yet, room for `part_capacity`. pith_checkpoint_deinit follows, whether this fails or
 * not. */
PITH_WARN_UNUSED pith_status pith_checkpoint_init(pith_checkpoint *checkpoint,
                                                  const pith_architecture *row,
                                                  size_t part_capacity,
                                                  const pith_allocator *allocator,
                                                  pith_error *error);
void pith_checkpoint_deinit(pith_checkpoint *checkpoint);
/* Opens the weights in `directory`; `prefix` is copied. */
PITH_WARN_UNUSED pith_status pith_checkpoint_add(pith_checkpoint *checkpoint, const char *directory,
                                                 const char *prefix, pith_error *error);

/* Finds a parameter under its name, with or without the row's prefix, and with a LayerNorm's old
 * names (gamma, beta). PITH_FORMAT names a tensor that is missing or has another shape. */
pith_weight_source pith_checkpoint_get_source(pith_checkpoint *checkpoint);

/* PITH_FORMAT names a tensor that no parameter was filled from and that the row does not list as
 * unused. */
PITH_WARN_UNUSED pith_status pith_checkpoint_check_leftovers(const pith_checkpoint *checkpoint,
                                                             pith_error *error);

#endif
