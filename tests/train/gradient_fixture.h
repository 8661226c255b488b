/* Graphs whose gradients are held against differences in double. */
#ifndef PITH_TESTS_GRADIENT_FIXTURE_H
#define PITH_TESTS_GRADIENT_FIXTURE_H

#include "engine/exec/executor.h"
#include "tests/engine/ir_fixture.h"
#include "train/differentiate.h"
#include "train/operators.h"

enum { GRADIENT_TOKENS = 11, GRADIENT_SEQUENCES = 3, GRADIENT_ROWS = 5 }; /* sizes of the symbols tokens, sequences and rows */
enum { GRADIENT_MAX_INPUTS = 16 };

typedef struct gradient_fixture {
  const char *name;
  pith_graph *graph;
  pith_builder builder;
  pith_error error;
  uint64_t seed;
  pith_feed feeds[GRADIENT_MAX_INPUTS];
  uint32_t feed_count;
  pith_tensor_id wanted[GRADIENT_MAX_INPUTS]; /* float inputs that gradients are checked of */
  uint32_t wanted_count;
  pith_node_id node; /* that is tested */
} gradient_fixture;

void gradient_begin(gradient_fixture *f, const char *name);
/* Sizes by name: "tokens" ... are symbols, anything else numbers: "tokens,6", "", "2,1,4". */
/* An input of random floats whose gradient is wanted, or that only takes part; from `low` to `high`. */
pith_tensor_id gradient_floats(gradient_fixture *f, const char *shape);
pith_tensor_id gradient_fixed(gradient_fixture *f, const char *shape, float low, float high);
/* Borrowed data. */
pith_tensor_id gradient_integers(gradient_fixture *f, const char *shape, const int32_t *data);
/* Random ones of u8 or s8. */
pith_tensor_id gradient_levels(gradient_fixture *f, const char *shape, pith_dtype dtype);
/* Without data, for graphs that do not run: "i:" s32, "l:" s64, "u:" u8, "b:" s8 before the shape, else f32. */
pith_tensor_id gradient_input(gradient_fixture *f, const char *shape);
pith_tensor_id gradient_offsets(gradient_fixture *f);
pith_tensor_id gradient_key(gradient_fixture *f);
/* The node that is tested. */
pith_tensor_id gradient_node(gradient_fixture *f, int op_id, uint32_t input_count, const pith_tensor_id *inputs, uint32_t attribute_count,
                             const pith_attribute_setting *attributes);
/* Ends the graph: `y` itself where it is a loss, else its mean squared error against random numbers. Holds the gradients by all wanted
 * inputs to 1e-4 of what differences in double give, with kernels of every instruction set here, with 1 and 2 threads, fused and not,
 * whose bits are all the same. */
void gradient_check(gradient_fixture *f, pith_tensor_id y);
void gradient_end(gradient_fixture *f);

/* A program of a graph at the fixture's sizes. */
pith_status gradient_lower(const pith_graph *graph, pith_cpu_set cpu, size_t threads, uint32_t rewrites, pith_program **out_program,
                           pith_error *error);

#endif
