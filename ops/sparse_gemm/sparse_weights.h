/* Weights of which whole blocks are zero, as sparse products read them and as files store them.
 *
 *     u32 starts[G + 1]     G = ceil(N / 4) groups of 4 outputs; group g has units starts[g] to starts[g + 1] - 1; starts[0] = 0
 *     (zeros up to the next multiple of 16 bytes)
 *     s32 sums[G][4]        s8 only: the sums of the outputs' weights, as in the dense layout
 *     units, one after the other, inputs ascending within a group:
 *       b4x1_s8    u16 input[4]; s8 w[4 outputs][4]    24 bytes: 4 inputs; a group's last unit is filled up with weights 0 at
 *                                                      its last input (the group's inputs are those with any weight not 0)
 *       b4x4_s8    u32 input / 4; s8 w[4 outputs][4]   20 bytes: inputs 4 i to 4 i + 3 (0 past K)
 *       b4x1_f32   u32 input; f32 w[4 outputs]         20 bytes; also for 4x4, whose inputs follow each other
 *
 * Numbers are little-endian. The form is a function of the weights: packing what unpacking gave gives the same bytes. Outputs past N
 * and inputs past K have weight 0. A file's bytes must pass pith_sparse_check before a kernel may read them: kernels trust
 * starts and inputs. */
#ifndef PITH_OPS_SPARSE_WEIGHTS_H
#define PITH_OPS_SPARSE_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PITH_SPARSE_FORM_LIST(X)                                                                           \
  X(B4X1_S8, "b4x1_s8")                                                                                    \
  X(B4X4_S8, "b4x4_s8")                                                                                    \
  X(B4X1_F32, "b4x1_f32")
typedef enum pith_sparse_form {
#define PITH_SPARSE_FORM_ENUM(name, text) PITH_SPARSE_##name,
  PITH_SPARSE_FORM_LIST(PITH_SPARSE_FORM_ENUM)
#undef PITH_SPARSE_FORM_ENUM
      PITH_SPARSE_FORM_COUNT
} pith_sparse_form;

enum { PITH_SPARSE_GROUP = 4 /* outputs */, PITH_SPARSE_MAX_K = 65536 };

/* Where the parts of a packed weight lie. */
typedef struct pith_sparse_parts {
  const uint32_t *starts; /* [groups + 1] */
  const int32_t *sums;    /* [groups][4]; NULL: f32 */
  const uint8_t *units;
  size_t groups, unit_bytes;
} pith_sparse_parts;
pith_sparse_parts pith_sparse_get_parts(pith_sparse_form form, size_t n, const void *packed);

/* Units that [n, k] takes; `w` is row-major of the form's type. */
size_t pith_sparse_count_units(pith_sparse_form form, size_t n, size_t k, const void *w);
/* Bytes of a weight of n outputs with that many units; the most that [n, k] can take: units of pith_sparse_max_units. */
size_t pith_sparse_packed_bytes(pith_sparse_form form, size_t n, size_t units);
size_t pith_sparse_max_units(pith_sparse_form form, size_t n, size_t k);
/* Exact inverses; -0 becomes 0 where its block is left out. */
void pith_sparse_pack(pith_sparse_form form, size_t n, size_t k, const void *w, void *out_packed);
void pith_sparse_unpack(pith_sparse_form form, size_t n, size_t k, const void *packed, void *out_w);
/* Whether `bytes` at `packed` hold a weight [n, k]: ascending starts that end at the last byte, every input below k (4x4: below
 * ceil(k / 4)) and ascending within its group. Reads starts and inputs only. */
bool pith_sparse_check(pith_sparse_form form, size_t n, size_t k, const void *packed, size_t bytes);

#endif
