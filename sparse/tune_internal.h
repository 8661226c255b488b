#ifndef PITH_SPARSE_TUNE_INTERNAL_H
#define PITH_SPARSE_TUNE_INTERNAL_H

#include "sparse/tune.h"

/* An entry "tune" with the decision and the figures. */
pith_status pith_tune_add_history(const pith_tuning *tuning, pith_model_data *data, pith_arena *arena, pith_error *error);

#endif
