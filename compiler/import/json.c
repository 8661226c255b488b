#include "compiler/import/json.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/mapped_file.h"

static bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0';
}

pith_status pith_json_parse(const void *text, size_t bytes, const char *name, cJSON **out_json,
                            pith_error *error) {
  const char *begin = text, *end = begin;
  if (bytes == 0)
    return pith_fail(error, PITH_FORMAT, "%s: empty, a JSON value is needed", name);
  cJSON *json = cJSON_ParseWithLengthOpts(begin, bytes, &end, false);
  if (json == NULL)
    return pith_fail(error, PITH_FORMAT,
                     "%s: not JSON (or nested over %d deep) near byte %td of %zu", name,
                     CJSON_NESTING_LIMIT, end - begin, bytes);
  for (const char *c = end; c < begin + bytes; c++)
    if (!is_blank(*c)) {
      cJSON_Delete(json);
      return pith_fail(error, PITH_FORMAT, "%s: byte %td follows the end of the JSON value", name,
                       c - begin);
    }
  *out_json = json;
  return PITH_OK;
}

static pith_status open_any(const char *path, cJSON **out_json, pith_error *error) {
  pith_mapped_file file;
  PITH_TRY(pith_mapped_file_open(path, &file, error));
  pith_status status;
  if (file.size > PITH_JSON_MAX_BYTES)
    status = pith_fail(error, PITH_LIMIT, "%s: %zu bytes, over %d", path, file.size,
                       PITH_JSON_MAX_BYTES);
  else
    status = pith_json_parse(file.bytes, file.size, path, out_json, error);
  pith_mapped_file_close(&file);
  return status;
}

pith_status pith_json_open(const char *path, cJSON **out_json, pith_error *error) {
  cJSON *json;
  PITH_TRY(open_any(path, &json, error));
  if (cJSON_IsObject(json)) {
    *out_json = json;
    return PITH_OK;
  }
  cJSON_Delete(json);
  return pith_fail(error, PITH_FORMAT, "%s: the JSON value is not an object", path);
}

pith_status pith_json_open_list(const char *path, cJSON **out_json, pith_error *error) {
  cJSON *json;
  PITH_TRY(open_any(path, &json, error));
  if (cJSON_IsArray(json)) {
    *out_json = json;
    return PITH_OK;
  }
  cJSON_Delete(json);
  return pith_fail(error, PITH_FORMAT, "%s: the JSON value is not a list", path);
}

bool pith_json_get_int(const cJSON *item, int64_t min, int64_t max, int64_t *out_value) {
  if (!cJSON_IsNumber(item))
    return false;
  double value = item->valuedouble;
  /* Beyond 2^53 a double no longer holds every integer. */
  if (!(value >= -9007199254740992.0 && value <= 9007199254740992.0) || value != floor(value))
    return false;
  int64_t integer = (int64_t)value;
  if (integer < min || integer > max)
    return false;
  *out_value = integer;
  return true;
}

bool pith_path_join(const char *directory, const char *name, size_t path_bytes, char *out_path) {
  int length = snprintf(out_path, path_bytes, "%s/%s", directory, name);
  return length > 0 && (size_t)length < path_bytes && access(out_path, F_OK) == 0;
}
