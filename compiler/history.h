/* What was done to a model, step by step, as its file tells. */
#ifndef PITH_COMPILER_HISTORY_H
#define PITH_COMPILER_HISTORY_H

#include "engine/format/model_data.h"

struct cJSON;
/* `data` gets one more entry, in `arena`; deletes `json`, NULL: there was no memory to make it. */
PITH_WARN_UNUSED pith_status pith_history_add(pith_model_data *data, const char *step,
                                              struct cJSON *json, pith_arena *arena,
                                              pith_error *error);

#endif
