#include "compiler/history.h"

#include <cjson/cJSON.h>

pith_status pith_history_add(pith_model_data *data, const char *step, cJSON *json,
                             pith_arena *arena, pith_error *error) {
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  const char *copy = text == NULL ? NULL : pith_arena_string(arena, text, strlen(text));
  cJSON_free(text);
  pith_history_entry *history =
      PITH_ARENA_NEW(arena, pith_history_entry, (size_t)data->history_count + 1);
  if (copy == NULL || history == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the model's history");
  if (data->history_count != 0)
    memcpy(history, data->history, data->history_count * sizeof *history);
  history[data->history_count++] = (pith_history_entry){step, PITH_VERSION, copy};
  data->history = history;
  return PITH_OK;
}
