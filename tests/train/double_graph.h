/* The forward operators of training graphs once more, in double and in plain loops: what gradients are held against. */
#ifndef PITH_TESTS_DOUBLE_GRAPH_H
#define PITH_TESTS_DOUBLE_GRAPH_H

#include "engine/ir/graph.h"

/* A tensor of a run: floats as doubles, integers beside them. */
typedef struct double_tensor {
  size_t count;
  double *values;    /* [count] of floats */
  const void *bytes; /* of integers: the data itself */
  int32_t *integers; /* the same, where a node writes them */
} double_tensor;

typedef struct double_graph {
  const pith_graph *graph;
  uint32_t nodes, count;  /* of the graph as it was: more may have been added to it since */
  const int64_t *symbols; /* [graph->symbol_count] */
  double_tensor *tensors; /* [count] */
} double_graph;

/* `feeds` [graph->input_count]: data of the inputs, f32 or integers. Everything is allocated once, here. */
void double_graph_create(double_graph *run, const pith_graph *graph, const int64_t *symbols, const void *const *feeds);
void double_graph_destroy(double_graph *run);
/* Computes all nodes from the values of inputs as they are now. */
void double_graph_run(double_graph *run);

#endif
