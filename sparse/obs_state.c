#include "sparse/obs_state.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct head {
  uint32_t step, target, bias_count, zero;
} head;

static pith_status fail(const pith_obs_state *state, const char *what, pith_error *error) {
  return pith_fail(error, PITH_IO, "%s: cannot %s what is done so far: %s", state->path, what, strerror(errno));
}

pith_status pith_obs_state_open(pith_obs_state *state, const char *path, const uint8_t key[PITH_SHA256_BYTES],
                                pith_error *error) {
  *state = (pith_obs_state){.path = path, .opened = true, .end = PITH_SHA256_BYTES};
  if (path == NULL)
    return PITH_OK;
  uint8_t found[PITH_SHA256_BYTES];
  state->file = fopen(path, "r+b");
  if (state->file != NULL && fread(found, 1, sizeof found, state->file) == sizeof found && memcmp(found, key, sizeof found) == 0)
    return PITH_OK;
  if (state->file != NULL)
    fclose(state->file);
  state->file = fopen(path, "w+b");
  if (state->file == NULL || fwrite(key, 1, PITH_SHA256_BYTES, state->file) != PITH_SHA256_BYTES || fflush(state->file) != 0)
    return fail(state, "keep", error);
  return PITH_OK;
}

void pith_obs_state_close(pith_obs_state *state) {
  if (state->file != NULL)
    fclose(state->file);
  state->file = NULL;
}

static void make_digest(const head *h, const float *weights, size_t weight_count, const float *biases, uint8_t *out) {
  pith_sha256 hash;
  pith_sha256_init(&hash);
  pith_sha256_update(&hash, h, sizeof *h);
  pith_sha256_update(&hash, weights, weight_count * sizeof *weights);
  pith_sha256_update(&hash, biases, h->bias_count * sizeof *biases);
  pith_sha256_finish(&hash, out);
}

pith_status pith_obs_state_read(pith_obs_state *state, uint32_t step, uint32_t target, float *weights, size_t weight_count,
                                float *biases, size_t bias_count, bool *out_found, pith_error *error) {
  *out_found = false;
  if (state->file == NULL)
    return PITH_OK;
  head h;
  uint8_t wanted[PITH_SHA256_BYTES], found[PITH_SHA256_BYTES];
  if (fseek(state->file, state->end, SEEK_SET) != 0)
    return fail(state, "read", error);
  if (fread(&h, sizeof h, 1, state->file) != 1 || h.step != step || h.target != target || h.bias_count != bias_count ||
      fread(weights, sizeof *weights, weight_count, state->file) != weight_count ||
      fread(biases, sizeof *biases, bias_count, state->file) != bias_count ||
      fread(found, 1, sizeof found, state->file) != sizeof found)
    return PITH_OK;
  make_digest(&h, weights, weight_count, biases, wanted);
  *out_found = memcmp(wanted, found, sizeof found) == 0;
  if (*out_found)
    state->end = ftell(state->file);
  return PITH_OK;
}

pith_status pith_obs_state_write(pith_obs_state *state, uint32_t step, uint32_t target, const float *weights,
                                 size_t weight_count, const float *biases, size_t bias_count, pith_error *error) {
  if (state->file == NULL)
    return PITH_OK;
  const head h = {step, target, (uint32_t)bias_count, 0};
  uint8_t digest[PITH_SHA256_BYTES];
  make_digest(&h, weights, weight_count, biases, digest);
  if (fseek(state->file, state->end, SEEK_SET) != 0 || fwrite(&h, sizeof h, 1, state->file) != 1 ||
      fwrite(weights, sizeof *weights, weight_count, state->file) != weight_count ||
      fwrite(biases, sizeof *biases, bias_count, state->file) != bias_count ||
      fwrite(digest, 1, sizeof digest, state->file) != sizeof digest || fflush(state->file) != 0 ||
      fdatasync(fileno(state->file)) != 0)
    return fail(state, "keep", error);
  state->end = ftell(state->file);
  return PITH_OK;
}
