/* Graphs whose products' weights have blocks of zeros, stored so or dense, for tests of lowering and sessions. */
#ifndef PITH_TESTS_SPARSE_FIXTURE_H
#define PITH_TESTS_SPARSE_FIXTURE_H

#include "tests/engine/exec_fixture.h"

/* Of every 100 blocks, outputs x inputs, so many keep their weights. */
typedef struct sparse_fixture_mask {
  size_t outputs, inputs;
  uint32_t percent;
} sparse_fixture_mask;

/* The layout in which a weight of a product is to be stored; ROW_MAJOR: it stays as it is, with all its weights. */
typedef pith_layout (*sparse_fixture_choice)(const char *name, pith_dtype dtype);
/* In 4x1, 4x4 (s8) and by turns, the second layer first, all weights of the layers. */
pith_layout sparse_fixture_4x1(const char *name, pith_dtype dtype);
pith_layout sparse_fixture_4x4(const char *name, pith_dtype dtype);
pith_layout sparse_fixture_mixed(const char *name, pith_dtype dtype);

/* Sets blocks of the chosen weights to 0 and stores them in their layouts. `dense`, where it is not NULL: a clone with the same
 * weights, stored as the dense kernels read them. New bytes are freed with `weights`. */
void sparse_fixture_prune(pith_graph *graph, sparse_fixture_choice choice, const sparse_fixture_mask *mask,
                          exec_fixture_weights *weights, pith_graph **out_dense);

/* One head more than exec_fixture_head has, for tests that go through them all: EXEC_STATIC with weights in all layouts. */
enum { SPARSE_FIXTURE_STATIC = EXEC_HEAD_COUNT, SPARSE_FIXTURE_HEAD_COUNT };
void sparse_fixture_open(exec_fixture_model *fixture, int head);

#endif
