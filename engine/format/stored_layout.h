/* The layouts in which weights are stored, and the way between them.
 *
 *     row_major  the last dimension is contiguous
 *     n64_f32    f32 [N, K], N outputs and K inputs. Block b holds outputs 64 b to 64 b + 63 as [K][64]; the last block holds
 *                the remaining n outputs as [K][w], w = n rounded up to 16, and its columns past n are 0.
 *                Blocks follow each other, so output o's input k is at
 *                  (o / 64) * 64 * K + k * w + o % 64,  w = 64 but for the last block
 *     n16k4_s8   s8 [N, K], N outputs and K inputs, K at most 65536. Block b holds outputs 16 b to 16 b + 15 as
 *                [ceil(K / 4) + 1][16][4]: group g has inputs 4 g to 4 g + 3 of each output, 0 past N and K; the last group is
 *                the 16 sums of the outputs' weights, s32 in the machine's order (little-endian). Output o's input k is at
 *                  (o / 16) * (ceil(K / 4) + 1) * 64 + (k / 4) * 64 + (o % 16) * 4 + k % 4
 *     b4x1_s8, b4x4_s8 (s8), b4x1_f32 (f32)
 *                [N, K], K at most 65536: groups of 4 outputs; of each group the blocks, 4 outputs x 1 or 4 inputs, that are not
 *                all 0. The order is in ops/sparse_gemm/sparse_weights.h. Bytes depend on the data: N / 4 starts and sums,
 *                then a number of units that the last start gives
 *
 * Every layout has an exact inverse: converting there and back gives the same bytes (in b4x1_f32, -0 in a block that is left
 * out comes back as 0). */
#ifndef PITH_FORMAT_STORED_LAYOUT_H
#define PITH_FORMAT_STORED_LAYOUT_H

#include "engine/ir/graph.h"

/* PITH_FORMAT where data in a layout whose bytes depend on them do not hold a weight of those dimensions: what is there may
 * not be read. Data in other layouts hold one whatever they are. `data_bytes` passed pith_layout_check_bytes. Thread-safe. */
PITH_WARN_UNUSED pith_status pith_layout_check_data(pith_layout layout, const pith_dim *dims, const void *data,
                                                    uint64_t data_bytes, pith_error *error);

/* The bytes that `in`, in layout `from`, takes in layout `to`; otherwise like pith_layout_convert. */
PITH_WARN_UNUSED pith_status pith_layout_measure(pith_dtype dtype, uint32_t rank, const pith_dim *dims,
                                                 pith_layout from, const void *in, pith_layout to, uint64_t *out_bytes,
                                                 const pith_allocator *allocator, pith_error *error);

/* Rewrites `in`, in layout `from`, as `out`, in layout `to`; each has the bytes that pith_layout_get_bytes or
 * pith_layout_measure gives, is aligned to 64 and does not overlap the other. `in` passed pith_layout_check_data.
 * PITH_FORMAT where a layout does not take the dtype or rank, PITH_OUT_OF_MEMORY where neither is row-major and there is no room
 * for the form between them. Thread-safe. */
PITH_WARN_UNUSED pith_status pith_layout_convert(pith_dtype dtype, uint32_t rank, const pith_dim *dims,
                                                 pith_layout from, const void *in, pith_layout to, void *out,
                                                 const pith_allocator *allocator, pith_error *error);

/* The data of a verified tensor that has them as row-major `out`, checked first (pith_layout_check_data). Thread-safe. */
PITH_WARN_UNUSED pith_status pith_tensor_unpack(const pith_tensor *tensor, void *out, const pith_allocator *allocator,
                                                pith_error *error);

#endif
