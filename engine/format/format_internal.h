/* What the FlatBuffer reader and writer, the only C++ files, share with the C around them. */
#ifndef PITH_FORMAT_FORMAT_INTERNAL_H
#define PITH_FORMAT_FORMAT_INTERNAL_H

#include "engine/base/hash.h"
#include "engine/format/format.h"

#ifdef __cplusplus
extern "C" {
#endif

enum {
  PITH_NORMALIZE_BITS = 4, /* of one step in pith_tokenizer_data.normalizer */
  PITH_NORMALIZE_MAX_STEPS = 32 / PITH_NORMALIZE_BITS,
};

enum {
  PITH_FORMAT_MAJOR = 2, /* the one that is written and read */
  PITH_FORMAT_MINOR = 0,
  PITH_FORMAT_ALIGNMENT = 64,        /* of segments, and of tensors in them */
  PITH_FORMAT_BASE_ALIGNMENT = 4096, /* of the first segment */
};

/* Bytes [offset, offset + bytes) counted from the file's first segment byte. */
typedef struct pith_format_segment {
  uint64_t offset, bytes;
  uint8_t hash[PITH_SHA256_BYTES];
} pith_format_segment;

/* ---- reader.cc ------------------------------------------------------------------------------------------ */

/* Metadata whose FlatBuffer was checked, and whose segments lie in the file. */
typedef struct pith_format_metadata {
  const void *root;    /* pith::file::Model */
  const uint8_t *file; /* its first byte */
  size_t bytes;        /* of metadata, from the file's first byte */
  size_t base;         /* where segments are counted from */
  size_t hash_offset;  /* of the metadata's own hash, from the file's first byte */
  uint32_t segment_count;
} pith_format_metadata;

PITH_WARN_UNUSED pith_status pith_format_read_metadata(const void *bytes, size_t size,
                                                       pith_format_metadata *out_metadata,
                                                       pith_error *error);
/* `index` below segment_count. */
void pith_format_get_segment(const pith_format_metadata *metadata, uint32_t index,
                             pith_format_segment *out_segment);
/* Names a tensor of a segment, for messages; "" where there is none. */
const char *pith_format_get_segment_name(const pith_format_metadata *metadata, uint32_t index);

/* SHA-256 of the metadata at `bytes` with the 32 bytes at `hash_offset` taken as zero. */
void pith_format_hash_metadata(const uint8_t *bytes, size_t size, size_t hash_offset,
                               uint8_t out_hash[PITH_SHA256_BYTES]);

/* ---- writer.cc ------------------------------------------------------------------------------------------ */

/* The finished FlatBuffer, size prefix included, its hash still zero. */
typedef struct pith_format_buffer {
  void *memory; /* released with pith_release(NULL, memory, memory_bytes) */
  size_t memory_bytes;
  uint8_t *bytes; /* in `memory` */
  size_t size;
  size_t hash_offset;
} pith_format_buffer;

/* tensor_segments: [tensor_count], the segment that holds all of a tensor's data, PITH_NONE for none. Copies that have bytes
 * have the segments from first_copy_segment on, in the order of their tensors. */
PITH_WARN_UNUSED pith_status pith_format_build_metadata(const pith_model_data *data, uint32_t segment_count,
                                                        const pith_format_segment *segments,
                                                        const uint32_t *tensor_segments,
                                                        uint32_t first_copy_segment, pith_arena *arena,
                                                        pith_format_buffer *out_buffer, pith_error *error);

#ifdef __cplusplus
}
#endif
#endif
