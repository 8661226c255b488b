/* Graphs that the tests of the IR share. */
#ifndef PITH_TESTS_IR_FIXTURE_H
#define PITH_TESTS_IR_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/ir/operator.h"

/* A small BERT: embeddings, `layers` layers of 8 features and 2 heads, a pooled classifier and a
 * normalized vector. Every operator of the table occurs. Without data. NULL on failure, `*error`
 * filled. */
pith_graph *fixture_build_bert(const pith_allocator *allocator, int layers, pith_error *error);

/* The text that a printing function gives. */
typedef struct fixture_text {
  char *text;
  size_t bytes, capacity;
} fixture_text;
fixture_text fixture_print(const pith_graph *graph,
                           void (*print)(const pith_graph *, const pith_text_sink *));
pith_text_sink fixture_text_sink(fixture_text *text);
void fixture_text_free(fixture_text *text);

/* Succeeds for `budget` allocations, then fails; counts what is held. */
typedef struct fixture_allocator {
  pith_allocator allocator;
  long budget; /* -1: no end */
  long allocations;
  size_t held_bytes;
} fixture_allocator;
void fixture_allocator_init(fixture_allocator *allocator, long budget);

#endif
