#include "bench/sparse_masks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = BENCH_SQUARE_SIDE, GROUP = 4, MAX_HEADER = 1 << 24 };

static void *take(size_t bytes) {
  void *out = malloc(bytes > 0 ? bytes : 1);
  if (!out) {
    fputs("pith-bench-kernels: out of memory\n", stderr);
    exit(1);
  }
  return out;
}

static uint32_t next_random(uint32_t *state) {
  return (*state = *state * 1664525u + 1013904223u) >> 8; /* 24 bits */
}

/* The magnitude of an FP16 number. */
static float magnitude_of_half(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  return exponent == 0 ? ldexpf((float)fraction, -24) : ldexpf((float)(1024 + fraction), exponent - 25);
}

/* Magnitudes of a row of FP32 or FP16 numbers. */
static bool read_row(FILE *file, size_t number_bytes, size_t count, float *out) {
  uint8_t *bytes = (uint8_t *)out + count * (sizeof *out - number_bytes); /* at its end: widened from the front on */
  if (fread(bytes, number_bytes, count, file) != count)
    return false;
  for (size_t i = 0; i < count; ++i) {
    uint16_t half;
    memcpy(&half, bytes + i * number_bytes, sizeof half);
    out[i] = number_bytes == 2 ? magnitude_of_half(half) : fabsf(out[i]);
  }
  return true;
}

/* Appends the squares of a matrix [rows, columns] at `offset`. */
static bool read_matrix(FILE *file, long offset, size_t number_bytes, size_t rows, size_t columns, bench_squares *out) {
  const size_t across = columns / SIDE, count = rows / SIDE * across;
  float *w = realloc(out->magnitudes, (out->count + count) * SIDE * SIDE * sizeof *w), *row = take(columns * sizeof *row);
  if (!w || fseek(file, offset, SEEK_SET) != 0) {
    free(row);
    return false;
  }
  out->magnitudes = w;
  bool good = true;
  for (size_t i = 0; good && i < rows; ++i) {
    good = read_row(file, number_bytes, columns, row);
    for (size_t j = 0; good && j < across; ++j)
      memcpy(w + ((out->count + i / SIDE * across + j) * SIDE + i % SIDE) * SIDE, row + j * SIDE, SIDE * sizeof *row);
  }
  free(row);
  out->count += good ? count : 0;
  return good;
}

bool bench_read_squares(const char *path, bench_squares *out) {
  *out = (bench_squares){0};
  FILE *file = fopen(path, "rb");
  uint64_t header_bytes = 0;
  if (!file || fread(&header_bytes, sizeof header_bytes, 1, file) != 1 || header_bytes > MAX_HEADER) {
    if (file)
      fclose(file);
    return false;
  }
  char *header = take((size_t)header_bytes + 1);
  bool good = fread(header, 1, (size_t)header_bytes, file) == header_bytes;
  header[header_bytes] = '\0';
  static const char dtype[] = "\"dtype\":\"F";
  for (const char *at = header; good && (at = strstr(at, dtype)); at += sizeof dtype - 1) {
    size_t bits, rows, columns;
    unsigned long begin;
    if (sscanf(at + sizeof dtype - 1, "%zu\",\"shape\":[%zu,%zu],\"data_offsets\":[%lu", &bits, &rows, &columns, &begin) == 4 &&
        (bits == 16 || bits == 32) && rows > 0 && columns > 0 && rows % SIDE == 0 && columns % SIDE == 0)
      good = read_matrix(file, (long)(sizeof header_bytes + header_bytes + begin), bits / 8, rows, columns, out);
  }
  free(header);
  fclose(file);
  return good && out->count > 0;
}

/* How much a group keeps. */
static double share_of_group(bench_mask mask, size_t group, double kept) {
  if (mask != BENCH_MASK_UNEVEN)
    return kept;
  const double most = fmin(1.0, 3 * kept);
  return group % 8 == 0 ? most : group % 8 < 3 ? fmax(0.0, (8 * kept - 6) / 2) : fmin(1.0, (8 * kept - most) / 5);
}

static float magnitude_at(const bench_squares *s, size_t k, size_t row, size_t column) {
  const size_t square = row / SIDE * ((k + SIDE - 1) / SIDE) + column / SIDE;
  return s->magnitudes[(square % s->count * SIDE + row % SIDE) * SIDE + column % SIDE];
}

static int compare_floats(const void *a, const void *b) {
  const float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

/* Blocks that are kept: [ceil(n / 4)][ceil(k / width)]. */
static void choose_largest(const bench_squares *squares, size_t n, size_t k, size_t width, double kept, bool *out_kept) {
  const size_t across = (k + width - 1) / width, blocks = (n + GROUP - 1) / GROUP * across;
  float *score = take(blocks * sizeof *score), *sorted = take(blocks * sizeof *sorted);
  for (size_t b = 0; b < blocks; ++b) {
    score[b] = 0;
    for (size_t row = b / across * GROUP; row < b / across * GROUP + GROUP && row < n; ++row)
      for (size_t column = b % across * width; column < (b % across + 1) * width && column < k; ++column)
        score[b] += magnitude_at(squares, k, row, column);
  }
  memcpy(sorted, score, blocks * sizeof *sorted);
  qsort(sorted, blocks, sizeof *sorted, compare_floats);
  const size_t left_out = (size_t)((double)blocks * (1 - kept) + 0.5);
  for (size_t b = 0; b < blocks; ++b)
    out_kept[b] = left_out < blocks && score[b] >= sorted[left_out];
  free(score);
  free(sorted);
}

int8_t *bench_make_masked(bench_mask mask, const bench_squares *squares, size_t n, size_t k, size_t width, double kept) {
  if (mask == BENCH_MASK_MAGNITUDE && !squares)
    return NULL;
  const size_t across = (k + width - 1) / width, blocks = (n + GROUP - 1) / GROUP * across;
  bool *is_kept = take(blocks);
  uint32_t state = 1;
  if (mask == BENCH_MASK_MAGNITUDE)
    choose_largest(squares, n, k, width, kept, is_kept);
  else
    for (size_t b = 0; b < blocks; ++b)
      is_kept[b] = next_random(&state) < share_of_group(mask, b / across, kept) * 0x1p24;
  int8_t *w = take(n * k);
  for (size_t row = 0; row < n; ++row)
    for (size_t column = 0; column < k; ++column)
      w[row * k + column] = is_kept[row / GROUP * across + column / width] ? (int8_t)(1 + next_random(&state) % 100) : 0;
  free(is_kept);
  return w;
}
