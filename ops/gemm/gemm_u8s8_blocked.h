/* The walk that every blocked INT8 product shares; an instruction set supplies only the code of its tiles.
 *
 *            panel                      A task is a range of row tiles times a range of panels (4 stored blocks, 64 outputs;
 *          +-------+  stored blocks     a segment's last one has fewer). For each panel all row tiles are computed over the
 *   tile   |       |  [k/4 + 1][16][4]  whole of k: the task's rows of x stay in the second-level cache for all panels, a
 *   rows   +-------+                    panel's weights for all row tiles; meanwhile the next panel is prefetched, a share
 *                                       by each tile.
 *
 * A tile leaves its sums in scratch, from where they are finished while the next tile is multiplied, a row now and then
 * among the groups of k: so the units that multiply never wait for the others. */
#ifndef PITH_OPS_GEMM_U8S8_BLOCKED_H
#define PITH_OPS_GEMM_U8S8_BLOCKED_H

#include "ops/gemm/gemm_u8s8_internal.h"

enum {
  PITH_GEMM_U8S8_PANEL = 64,   /* outputs */
  PITH_GEMM_U8S8_MAX_ROWS = 6, /* of a tile */
};

/* sums[i, j] = minus_zero[i] * (the stored sum of j's weights) + sum over k of x[i, k] w[k, j], for `rows` x `vectors` x 16 outputs, stride PITH_GEMM_U8S8_PANEL. */
typedef struct pith_gemm_u8s8_tile {
  const uint8_t *x; /* [rows, k], or what a pith_gemm_u8s8_code's widen made of it */
  size_t x_stride;  /* bytes */
  const int8_t *w;  /* stored blocks */
  size_t block_bytes;
  size_t groups, rest; /* whole groups of a row, and the inputs behind them */
  int32_t minus_zero[PITH_GEMM_U8S8_MAX_ROWS];
  bool zero_per_row; /* else all are the first */
  /* At each of the first `fetch_groups` groups one of each block is prefetched, from here on. */
  const char *next;
  size_t fetch_groups;
  /* What finishing this tile will write and read (the same where there is no residual): fetched meanwhile. Strides in bytes. */
  const char *out, *residual;
  size_t out_stride, residual_stride;
  int32_t *sums;
} pith_gemm_u8s8_tile;

/* What is done to whole rows of a panel's sums in the usual cases, each with code of its own. */
typedef enum pith_gemm_u8s8_kind {
  PITH_GEMM_U8S8_F32,      /* no activation, y */
  PITH_GEMM_U8S8_RESIDUAL, /* no activation, residual, y */
  PITH_GEMM_U8S8_Q,        /* no activation, q */
  PITH_GEMM_U8S8_GELU_Q,   /* GELU, q */
  PITH_GEMM_U8S8_GELU_Y,   /* GELU for 8 bits, y: scratch, where q waits for its row's scale */
  PITH_GEMM_U8S8_OTHER,
} pith_gemm_u8s8_kind;

/* What is done to `columns` (1 to 64) sums of each of `rows`. */
typedef struct pith_gemm_u8s8_finish {
  pith_gemm_u8s8_kind kind;
  const int32_t *sums; /* stride PITH_GEMM_U8S8_PANEL */
  size_t rows, columns;
  const float *x_scale;
  size_t x_scale_step; /* 0: the same for all rows */
  const float *w_scale;
  const float *bias;
  pith_activation activation;
  bool for_8bit; /* the activation's result becomes 8 bits and nothing else */
  const float *residual; /* or NULL */
  size_t residual_stride;
  float *y; /* or NULL */
  size_t y_stride;
  uint8_t *q; /* or NULL: of q_type, z * q_inverse + q_zero */
  size_t q_stride;
  pith_number q_type;
  float q_inverse;
  int32_t q_zero;
} pith_gemm_u8s8_finish;

typedef struct pith_gemm_u8s8_code {
  size_t tile_rows; /* at most PITH_GEMM_U8S8_MAX_ROWS */
  size_t vectors;   /* of a tile, of 16 outputs: divides 4 */
  /* Where the set has no product of bytes that is exact: a row of inputs as s16, in groups of 4 as they lie in w, of each
   * first the even two, then the odd two; padding 0. Tiles read that. Or NULL. */
  void (*widen)(size_t k, const uint8_t *x, void *out);
  void (*multiply)(size_t rows, size_t vectors, const pith_gemm_u8s8_tile *tile);
  void (*finish)(const pith_gemm_u8s8_finish *finish);
  /* multiply for a tile of a whole panel, while `before`, of a whole panel too, is finished; its sums lie where the tile's
   * will. NULL, or for what can_finish tells. */
  void (*multiply_and_finish)(size_t rows, const pith_gemm_u8s8_tile *tile, const pith_gemm_u8s8_finish *before);
  bool (*can_finish)(size_t rows, const pith_gemm_u8s8_finish *before);
  /* A whole row, with a scale of its own. */
  void (*quantize_row)(const pith_quantized_rows *q, size_t row, const float *z, size_t n);
} pith_gemm_u8s8_code;

/* The members of a pith_kernel, over that code. */
size_t pith_gemm_u8s8_blocked_count_tasks(const pith_gemm_u8s8_code *code, const void *args, size_t threads);
size_t pith_gemm_u8s8_blocked_get_scratch_bytes(const pith_gemm_u8s8_code *code, const void *args);
void pith_gemm_u8s8_blocked_run(const pith_gemm_u8s8_code *code, const void *args, size_t threads, size_t task,
                                void *scratch);

#endif
