/* The open model: a mapped file and what was read from it. Immutable once open. */
#ifndef PITH_EXEC_MODEL_H
#define PITH_EXEC_MODEL_H

#include "engine/format/model_data.h"

struct pith_model {
  pith_allocator allocator;
  pith_arena arena;
  const void *bytes; /* the whole file */
  size_t size;
  bool mapped; /* ours to unmap */
  pith_model_data data;
};

#endif
