#include "engine/format/names.h"

#include <string.h>

#define NAME_ROW(id, text) text,

static const char *get(const char *const *names, size_t count, size_t index) {
  return index < count ? names[index] : NULL;
}

const char *pith_format_dtype_name(size_t dtype) {
  return dtype < PITH_DTYPE_COUNT ? pith_dtype_get_info((pith_dtype)dtype)->name : NULL;
}

const char *pith_format_kind_name(size_t kind) {
  static const char *const names[] = {PITH_TENSOR_KIND_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, kind);
}

const char *pith_format_layout_name(size_t layout) {
  static const char *const names[] = {PITH_LAYOUT_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, layout);
}

const char *pith_format_task_name(size_t task) {
  static const char *const names[] = {PITH_TASK_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, task);
}

const char *pith_format_tokenizer_name(size_t kind) {
  static const char *const names[] = {PITH_TOKENIZER_KIND_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, kind);
}

const char *pith_format_normalize_name(size_t step) {
  static const char *const names[] = {PITH_NORMALIZE_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, step);
}

const char *pith_format_pre_tokenize_name(size_t kind) {
  static const char *const names[] = {PITH_PRE_TOKENIZE_LIST(NAME_ROW)};
  return get(names, sizeof names / sizeof *names, kind);
}

int pith_format_find_name(pith_format_names names, const char *name) {
  for (size_t i = 0; names(i) != NULL; i++)
    if (strcmp(names(i), name) == 0)
      return (int)i;
  return -1;
}
