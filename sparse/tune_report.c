#include <cjson/cJSON.h>
#include <stdio.h>

#include "compiler/history.h"
#include "engine/lower/lower.h"
#include "sparse/tune_internal.h"

/* {"dense":1.25,"4x1":0.7,...} of those that are above 0. */
static bool add_numbers(cJSON *object, const char *name, const double *numbers, int count, double factor) {
  cJSON *figures = cJSON_AddObjectToObject(object, name);
  bool ok = figures != NULL;
  for (int way = 0; way < count && ok; way++)
    if (numbers[way] > 0) {
      char text[32];
      snprintf(text, sizeof text, "%.4g", numbers[way] * factor);
      ok = cJSON_AddRawToObject(figures, pith_tune_way_get_name((pith_tune_way)way), text) != NULL;
    }
  return ok;
}

static bool add_layer(cJSON *layers, const pith_tune_layer *layer) {
  cJSON *object = cJSON_CreateObject();
  if (object == NULL || !cJSON_AddItemToArray(layers, object)) {
    cJSON_Delete(object);
    return false;
  }
  return cJSON_AddStringToObject(object, "name", layer->name) != NULL &&
         cJSON_AddNumberToObject(object, "weights", layer->weights) != NULL &&
         cJSON_AddStringToObject(object, "mixed", pith_tune_way_get_name(layer->way)) != NULL &&
         add_numbers(object, "occupancy", layer->occupancy, PITH_TUNE_MIXED, 1) &&
         add_numbers(object, "ms", layer->seconds, PITH_TUNE_MIXED, 1e3);
}

struct cJSON *pith_tuning_to_json(const pith_tuning *tuning) {
  cJSON *json = cJSON_CreateObject();
  char cpu[160];
  size_t at = 0;
  cpu[0] = '\0';
  for (unsigned bit = 0; bit < PITH_CPU_FEATURE_COUNT; bit++)
    if ((pith_cpu_detect() >> bit & 1) != 0 && at < sizeof cpu)
      at += (size_t)snprintf(cpu + at, sizeof cpu - at, "%s%s", at == 0 ? "" : ",", pith_cpu_feature_text(bit));
  bool ok = json != NULL && cJSON_AddNumberToObject(json, "batch", (double)tuning->batch) != NULL &&
            cJSON_AddNumberToObject(json, "seq", (double)tuning->sequence) != NULL &&
            cJSON_AddNumberToObject(json, "threads", (double)tuning->threads) != NULL &&
            cJSON_AddNumberToObject(json, "rounds", (double)tuning->rounds) != NULL &&
            cJSON_AddStringToObject(json, "cpu", cpu) != NULL &&
            cJSON_AddStringToObject(json, "chosen", pith_tune_way_get_name(tuning->way)) != NULL &&
            add_numbers(json, "model_ms", tuning->seconds, PITH_TUNE_WAY_COUNT, 1e3);
  cJSON *layers = ok ? cJSON_AddArrayToObject(json, "layers") : NULL;
  ok = layers != NULL;
  for (uint32_t i = 0; i < tuning->layer_count && ok; i++)
    ok = add_layer(layers, &tuning->layers[i]);
  if (ok)
    return json;
  cJSON_Delete(json);
  return NULL;
}

pith_status pith_tune_add_history(const pith_tuning *tuning, pith_model_data *data, pith_arena *arena,
                                  pith_error *error) {
  return pith_history_add(data, "tune", pith_tuning_to_json(tuning), arena, error);
}
