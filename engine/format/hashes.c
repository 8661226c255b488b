#include "engine/format/format_internal.h"

#include <string.h>

void pith_format_hash_metadata(const uint8_t *bytes, size_t size, size_t hash_offset,
                               uint8_t out_hash[PITH_SHA256_BYTES]) {
  static const uint8_t zeros[PITH_SHA256_BYTES];
  size_t after = hash_offset + PITH_SHA256_BYTES;
  pith_sha256 hash;
  pith_sha256_init(&hash);
  pith_sha256_update(&hash, bytes, hash_offset);
  pith_sha256_update(&hash, zeros, sizeof zeros);
  pith_sha256_update(&hash, bytes + after, size - after);
  pith_sha256_finish(&hash, out_hash);
}

/* What lies between the parts is zero, so that every byte of a file is checked by something. */
static pith_status check_padding(const uint8_t *bytes, size_t begin, size_t end, pith_error *error) {
  for (size_t i = begin; i < end; i++)
    if (bytes[i] != 0)
      return pith_fail(error, PITH_FORMAT, "byte %zu of the file is padding and not 0", i);
  return PITH_OK;
}

pith_status pith_format_check_hashes(const void *bytes, size_t size, const pith_watcher *watcher,
                                     pith_error *error) {
  pith_format_metadata metadata;
  PITH_TRY(pith_format_read_metadata(bytes, size, &metadata, error));
  const uint8_t *file = bytes;
  uint8_t hash[PITH_SHA256_BYTES];
  pith_format_hash_metadata(file, metadata.bytes, metadata.hash_offset, hash);
  if (memcmp(hash, file + metadata.hash_offset, sizeof hash) != 0)
    return pith_fail(error, PITH_FORMAT, "the metadata does not match its hash: the file was changed");
  PITH_TRY(check_padding(file, metadata.bytes, metadata.base, error));
  size_t end = metadata.base;
  for (uint32_t i = 0; i < metadata.segment_count; i++) {
    pith_format_segment segment;
    pith_format_get_segment(&metadata, i, &segment);
    size_t begin = metadata.base + (size_t)segment.offset;
    pith_watcher_tell(watcher, "verify", begin, size);
    PITH_TRY(check_padding(file, end, begin, error));
    pith_sha256_digest(file + begin, (size_t)segment.bytes, hash);
    if (memcmp(hash, segment.hash, sizeof hash) != 0)
      return pith_fail(error, PITH_FORMAT, "segment %u ('%s') does not match its hash: the file was changed", i,
                       pith_format_get_segment_name(&metadata, i));
    end = begin + (size_t)segment.bytes;
  }
  return check_padding(file, end, size, error);
}
