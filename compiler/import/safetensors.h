/* Reading safetensors files, which are not trusted. OFFSET / SIZE / DESCRIPTION:
 *
 *     0      8   n: bytes of the header, little-endian, at most 100,000,000 (the bound of the
 * format's reference) 8      n   JSON object: name -> {"dtype": "F32", "shape": [..],
 * "data_offsets": [begin, end]}, and "__metadata__" 8+n        data; offsets count from here.
 * Tensors fill it without gap or overlap.
 */
#ifndef PITH_COMPILER_SAFETENSORS_H
#define PITH_COMPILER_SAFETENSORS_H

#include "engine/base/arena.h"
#include "engine/base/mapped_file.h"
#include "engine/ir/graph.h"

typedef struct pith_safetensor {
  const char *name;
  const char *file; /* for messages */
  pith_dtype dtype;
  uint32_t rank;
  int64_t dims[PITH_MAX_RANK];
  uint64_t count;   /* elements */
  const void *data; /* not aligned */
  uint64_t begin, data_bytes;
} pith_safetensor;

typedef struct pith_safetensors {
  pith_arena arena;
  size_t file_count;
  pith_mapped_file *files;
  size_t count;
  pith_safetensor *tensors; /* ascending by name, names unique */
} pith_safetensors;

/* One file's bytes, which must outlive the result. PITH_FORMAT names the tensor, the value and the
 * bound. */
PITH_WARN_UNUSED pith_status pith_safetensors_parse(const void *bytes, size_t size,
                                                    const char *file,
                                                    const pith_allocator *allocator,
                                                    pith_safetensors *out_tensors,
                                                    pith_error *error);

/* Maps and checks model.safetensors of a directory, or the shards that model.safetensors.index.json
 * lists. */
PITH_WARN_UNUSED pith_status pith_safetensors_open(const char *directory,
                                                   const pith_allocator *allocator,
                                                   pith_safetensors *out_tensors,
                                                   pith_error *error);
void pith_safetensors_close(pith_safetensors *tensors);

/* NULL: there is none. */
const pith_safetensor *pith_safetensors_find(const pith_safetensors *tensors, const char *name);

/* The tensor's elements as f32, exact for F16, BF16 and F32, rounded to nearest for F64. An element
 * that is not finite (also an F64 too large for f32) is PITH_FORMAT, and names the tensor and the
 * element; integers are PITH_UNSUPPORTED. */
PITH_WARN_UNUSED pith_status pith_safetensor_read_f32(const pith_safetensor *tensor,
                                                      float *out_values, pith_error *error);

#endif
