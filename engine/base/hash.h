/* SHA-256 (FIPS 180-4). */
#ifndef PITH_BASE_HASH_H
#define PITH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

enum { PITH_SHA256_BYTES = 32 };

typedef struct pith_sha256 {
  uint32_t state[8];
  uint64_t bytes;    /* so far */
  uint8_t block[64]; /* its first bytes % 64 */
} pith_sha256;

void pith_sha256_init(pith_sha256 *hash);
void pith_sha256_update(pith_sha256 *hash, const void *data, size_t bytes);
/* The hash must be initialized again before more data. */
void pith_sha256_finish(pith_sha256 *hash, uint8_t out_digest[PITH_SHA256_BYTES]);

/* The first `count` bytes of a digest as 2 * count hexadecimal digits and a zero. */
void pith_sha256_format(const uint8_t *digest, size_t count, char *out_text);
void pith_sha256_digest(const void *data, size_t bytes, uint8_t out_digest[PITH_SHA256_BYTES]);

#endif
