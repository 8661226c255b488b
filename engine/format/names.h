/* The names by which a file refers to rows of Pith's tables. */
#ifndef PITH_FORMAT_NAMES_H
#define PITH_FORMAT_NAMES_H

#include "engine/format/model_data.h"

/* NULL past the last of each. */
const char *pith_format_dtype_name(size_t dtype);
const char *pith_format_kind_name(size_t kind); /* of tensors */
const char *pith_format_layout_name(size_t layout);
const char *pith_format_task_name(size_t task);
const char *pith_format_tokenizer_name(size_t kind);
const char *pith_format_normalize_name(size_t step);
const char *pith_format_pre_tokenize_name(size_t kind);

typedef const char *(*pith_format_names)(size_t index);

/* The index of a name, or -1. */
int pith_format_find_name(pith_format_names names, const char *name);

#endif
