/* Reading JSON files that are not trusted. Nesting is bounded by cJSON (CJSON_NESTING_LIMIT, 1000
 * levels), size by the caller. */
#ifndef PITH_COMPILER_JSON_H
#define PITH_COMPILER_JSON_H

#include <stdbool.h>

#include <cjson/cJSON.h>

#include "engine/base/error.h"

enum { PITH_JSON_MAX_BYTES = 16 << 20 };

/* Parses `bytes` bytes that hold one JSON value and nothing else but blanks; `name` stands in
 * messages. The caller deletes the value with cJSON_Delete. */
PITH_WARN_UNUSED pith_status pith_json_parse(const void *text, size_t bytes, const char *name,
                                             cJSON **out_json, pith_error *error);
/* The same for a file of at most PITH_JSON_MAX_BYTES whose value is an object. */
PITH_WARN_UNUSED pith_status pith_json_open(const char *path, cJSON **out_json, pith_error *error);

/* The same for a list. */
PITH_WARN_UNUSED pith_status pith_json_open_list(const char *path, cJSON **out_json,
                                                 pith_error *error);

/* An integer in [min, max]; false where the item is NULL, no number, no integer or outside. */
bool pith_json_get_int(const cJSON *item, int64_t min, int64_t max, int64_t *out_value);

/* The path of a file below a directory; false where it does not exist. */
bool pith_path_join(const char *directory, const char *name, size_t path_bytes, char *out_path);

#endif
