/* The layouts in which weights are stored, and the way between them.
 *
 *     row_major  the last dimension is contiguous
 *     n64_f32    f32 [N, K], N outputs and K inputs. Block b holds outputs 64 b to 64 b + 63 as [K][64]; the last block holds
 *                the remaining n outputs as [K][w], w = n rounded up to 16, and its columns past n are 0.
 *                Blocks follow each other, so output o's input k is at
 *                  (o / 64) * 64 * K + k * w + o % 64,  w = 64 but for the last block
 *
 * Every layout has an exact inverse: converting there and back gives the same bytes. */
#ifndef PITH_FORMAT_STORED_LAYOUT_H
#define PITH_FORMAT_STORED_LAYOUT_H

#include "engine/ir/graph.h"

/* Rewrites `in`, in layout `from`, as `out`, in layout `to`; each has the bytes that pith_layout_get_bytes gives, is
 * aligned to 64 and does not overlap the other. PITH_FORMAT where a layout does not take the dtype or rank, PITH_OUT_OF_MEMORY
 * where neither is row-major and there is no room for the form between them. Thread-safe. */
PITH_WARN_UNUSED pith_status pith_layout_convert(pith_dtype dtype, uint32_t rank, const pith_dim *dims,
                                                 pith_layout from, const void *in, pith_layout to, void *out,
                                                 const pith_allocator *allocator, pith_error *error);

#endif
