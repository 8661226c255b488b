/* Weights of which blocks are left out, for benches of sparse products. */
#ifndef PITH_BENCH_SPARSE_MASKS_H
#define PITH_BENCH_SPARSE_MASKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum bench_mask {
  BENCH_MASK_RANDOM,
  BENCH_MASK_UNEVEN,   /* of every 8 groups of outputs one keeps 3 times as much, two nothing, the others the rest */
  BENCH_MASK_MAGNITUDE /* the blocks of a trained model's weights with the largest sums of magnitudes */
} bench_mask;

/* Weights of a trained model, cut into squares that make up a matrix of any shape. */
typedef struct bench_squares {
  float *magnitudes; /* [count][SIDE][SIDE] */
  size_t count;
} bench_squares;
enum { BENCH_SQUARE_SIDE = 384 };

/* The FP32 and FP16 matrices of a safetensors file both of whose sizes are multiples of 384; false where it holds none. */
bool bench_read_squares(const char *path, bench_squares *out);

/* [n, k] weights, none of a kept block 0; `width` inputs a block, 1 or 4, and 4 outputs. `kept`: the share of blocks. Where
 * `squares` is NULL a magnitude mask cannot be had: NULL. The caller frees. */
int8_t *bench_make_masked(bench_mask mask, const bench_squares *squares, size_t n, size_t k, size_t width, double kept);

#endif
