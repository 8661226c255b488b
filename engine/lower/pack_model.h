/* Packing a model's weights into its file (`pith pack`). Part of libpith-compress. */
#ifndef PITH_LOWER_PACK_MODEL_H
#define PITH_LOWER_PACK_MODEL_H

#include "engine/format/model_data.h"

/* What packing did: so many weights got copies, of so many bytes, for these targets ("avx512,
 * avx2"). */
typedef struct pith_packing {
  uint32_t weights;
  uint64_t bytes;
  char targets[160]; /* only those that some copy is for; "" where there is none */
} pith_packing;

/* Gives every weight that a kernel of a target would otherwise repack a copy as that kernel reads
 * it. `targets` is a list of CPU features or "any", separated by commas; NULL is the CPU this runs
 * on, by the features that its kernels need. Copies that `data` has are left behind. Where
 * something was packed, the history of *out_data says so; where nothing was, it is `data` without
 * copies. Everything new lives in `arena`, but for out_data->graph, which the caller destroys; the
 * rest is borrowed from `data`. PITH_INVALID_ARGUMENT for a target that has no such name. */
PITH_WARN_UNUSED pith_status pith_pack_model(const pith_model_data *data, const char *targets,
                                             pith_arena *arena, pith_model_data *out_data,
                                             pith_packing *out_packing, pith_error *error);

#endif
