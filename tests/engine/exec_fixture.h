/* Graphs with weights, and models in memory, that the tests of lowering, executor and sessions share. */
#ifndef PITH_TESTS_EXEC_FIXTURE_H
#define PITH_TESTS_EXEC_FIXTURE_H

#include "engine/exec/model.h"
#include "engine/exec/run_graph.h"
#include "engine/ir/operator.h"
#include "tests/engine/ir_fixture.h"

/* Numbers that are the same on every machine; `state` starts as a seed. */
uint32_t exec_fixture_random(uint64_t *state);
float exec_fixture_uniform(uint64_t *state, float low, float high);

/* Random weights for everything in a graph that has no data: normal-looking values around 0, LayerNorm scales around 1, the
 * padding of stored blocks 0. Freed by exec_fixture_free_weights. */
typedef struct exec_fixture_weights {
  void *pieces[512];
  size_t count;
} exec_fixture_weights;
void exec_fixture_fill(pith_graph *graph, uint64_t seed, exec_fixture_weights *weights);
void exec_fixture_free_weights(exec_fixture_weights *weights);

enum {
  EXEC_HIDDEN = 96,
  EXEC_HEADS = 3,
  EXEC_INNER = 200,
  EXEC_VOCABULARY = 211,
  EXEC_MAX_LENGTH = 70,
  EXEC_LABELS = 3,
};
typedef enum exec_fixture_head {
  EXEC_CLASSIFY,  /* one output, logits [sequences, 3] */
  EXEC_FILL_MASK, /* takes rows; decoder weights are the word embeddings; outputs logits [rows, vocabulary]; a weight
                     [K, N] has to be packed, and a factor of data only folds */
  EXEC_VECTORS,   /* last_hidden_state [tokens, 96] and embedding [sequences, 96] */
  EXEC_STATIC,    /* quantized, as integer_fixture.h has it: last_hidden_state, logits [sequences, 3] and scores
                     [sequences, vocabulary] */
  EXEC_DYNAMIC,
  EXEC_HEAD_COUNT
} exec_fixture_head;

/* A BERT of two layers, open as a model without a file. */
typedef struct exec_fixture_model {
  struct pith_model model;
  exec_fixture_weights weights;
} exec_fixture_model;
void exec_fixture_open(exec_fixture_model *fixture, exec_fixture_head head);
void exec_fixture_close(exec_fixture_model *fixture);

/* A batch of sequences with these lengths, random ids; sequence i gets the same ids wherever it stands, by `keys[i]`. */
typedef struct exec_fixture_batch {
  pith_batch batch;
  int32_t offsets[65], ids[65 * EXEC_MAX_LENGTH], type_ids[65 * EXEC_MAX_LENGTH];
} exec_fixture_batch;
void exec_fixture_make_batch(exec_fixture_batch *batch, size_t sequences, const size_t *keys, const size_t *lengths);

/* The same graph and inputs give the same bytes of all outputs. */
void exec_fixture_assert_same(const pith_graph_run *a, const pith_graph_run *b, const char *what);

#endif
