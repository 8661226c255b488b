#include "engine/ir/graph.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const pith_dtype_info dtypes[] = {
#define PITH_DTYPE_ROW(name, text, bits, is_float, is_signed) {text, bits, is_float, is_signed},
    PITH_DTYPE_LIST(PITH_DTYPE_ROW)
#undef PITH_DTYPE_ROW
};
static const char *const kinds[] = {
#define PITH_TENSOR_KIND_NAME(name, text) text,
    PITH_TENSOR_KIND_LIST(PITH_TENSOR_KIND_NAME)
#undef PITH_TENSOR_KIND_NAME
};

const pith_dtype_info *pith_dtype_get_info(pith_dtype dtype) {
  return (unsigned)dtype < COUNT(dtypes) ? &dtypes[dtype] : NULL;
}

pith_dtype pith_dtype_find(const char *name) {
  unsigned i = 0;
  while (i < COUNT(dtypes) && strcmp(dtypes[i].name, name) != 0)
    i++;
  return (pith_dtype)i;
}

const char *pith_tensor_kind_get_name(pith_tensor_kind kind) {
  return (unsigned)kind < COUNT(kinds) ? kinds[kind] : NULL;
}
