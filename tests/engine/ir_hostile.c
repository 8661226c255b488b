/* Memory that runs out at every allocation, and graphs changed at random, as a corrupted file would
 * give them. */
#include "tests/engine/ir_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- allocations that fail
 * ---------------------------------------------------------------------------- */

/* Build (which verifies), clone, verify, draw: the status of the first that fails. */
static pith_status use_everything(const pith_allocator *allocator, pith_error *error) {
  pith_graph *graph = fixture_build_bert(allocator, 3, error), *clone = NULL;
  if (graph == NULL)
    return error->status;
  pith_status status = pith_graph_clone(graph, allocator, &clone, error);
  if (status == PITH_OK)
    status = pith_graph_verify(clone, error);
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  if (status == PITH_OK)
    status = pith_graph_print_svg(clone, &sink, error);
  fixture_text_free(&text);
  pith_graph_destroy(clone);
  pith_graph_destroy(graph);
  return status;
}

static void test_every_allocation_fails_once(void **state) {
  (void)state;
  fixture_allocator allocator;
  pith_error error = {0};
  fixture_allocator_init(&allocator, -1);
  assert_int_equal(use_everything(&allocator.allocator, &error), PITH_OK);
  assert_int_equal(allocator.held_bytes, 0);
  long allocations = allocator.allocations;
  assert_true(allocations >= 10);
  for (long budget = 0; budget < allocations; budget++) {
    fixture_allocator_init(&allocator, budget);
    error = (pith_error){0};
    assert_int_equal(use_everything(&allocator.allocator, &error), PITH_OUT_OF_MEMORY);
    assert_int_equal(error.status, PITH_OUT_OF_MEMORY);
    assert_true(strstr(error.message, "memory") != NULL);
    assert_int_equal(allocator.held_bytes, 0);
  }
}

/* The arena takes few, large blocks, so the test above meets few places. Here the first block has
 * ever less room and there is no second one: each piece of each part is the one that does not fit.
 */
static pith_status append_parts(const pith_graph *from, pith_graph *to, pith_error *error) {
  for (uint32_t i = 0; i < from->symbol_count; i++)
    PITH_TRY(pith_graph_add_symbol(to, from->symbols[i], NULL, error));
  for (uint32_t i = 0; i < 4; i++) {
    PITH_TRY(pith_graph_add_tensor(to, &from->tensors[i], NULL, error));
    (void)pith_arena_array(&to->arena, 1, 1); /* lest all pieces end at multiples of 64 */
  }
  for (uint32_t i = 0; i < 2; i++)
    PITH_TRY(pith_graph_add_node(to, &from->nodes[i], NULL, error));
  PITH_TRY(pith_graph_add_input(to, 0, error));
  return pith_graph_add_output(to, 0, error);
}

static void test_every_piece_fails_once(void **state) {
  (void)state;
  static const char *const parts[] = {"symbols", "a symbol", "tensors", "a tensor", "a dimension",
                                      "nodes",   "a node",   "inputs",  "outputs"};
  bool met[sizeof parts / sizeof *parts] = {false};
  pith_error error = {0};
  pith_graph *from = fixture_build_bert(NULL, 1, &error), *to;
  assert_non_null(from);
  bool fitted = false;
  for (size_t taken = 16 << 10; !fitted; taken -= 16) {
    fixture_allocator allocator;
    fixture_allocator_init(&allocator, -1);
    assert_int_equal(pith_graph_create(&allocator.allocator, "copy", &to, &error), PITH_OK);
    for (size_t i = 0; i < taken && allocator.allocations == 2; i += 16) {
      allocator.budget = 2; /* the graph and its first block */
      (void)pith_arena_array(&to->arena, 16, 1);
    }
    error = (pith_error){0};
    pith_status status = append_parts(from, to, &error);
    pith_graph_destroy(to);
    assert_int_equal(allocator.held_bytes, 0);
    fitted = status == PITH_OK;
    if (!fitted) {
      assert_int_equal(status, PITH_OUT_OF_MEMORY);
      for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char text[40];
        snprintf(text, sizeof text, "no memory for %s of graph 'copy'", parts[i]);
        met[i] |= strstr(error.message, text) != NULL;
      }
    }
    assert_true(fitted || taken != 0);
  }
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (!met[i])
      fail_msg("%s never ran out of memory", parts[i]);
  pith_graph_destroy(from);
}

/* The same for the builder's own pieces, and for verifying a graph whose lists take blocks of their
 * own. */
static pith_status build_little(pith_graph *graph, pith_error *error) {
  pith_builder builder;
  pith_builder_init(&builder, graph, error);
  pith_dim dim = pith_dim_of(1);
  for (int i = 0; i < 4;
       i++) /* more than 64 bytes, since the list of symbols ends at a multiple of that */
    dim = pith_build_dim(&builder, "tokens", 1, 0);
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 1, &dim);
  (void)pith_arena_array(&graph->arena, 1, 1);
  x = pith_build_node(&builder, "y", PITH_OP_TANH, 1, &x, 0, NULL);
  pith_build_output(&builder, x, "renamed");
  return builder.status;
}

static void test_every_piece_of_a_builder_fails_once(void **state) {
  (void)state;
  static const char *const parts[] = {"symbols", "dimension tokens", "tensors",
                                      "a node",  "output 'renamed'", "outputs"};
  bool met[sizeof parts / sizeof *parts] = {false}, fitted = false;
  for (size_t taken = 16 << 10; !fitted; taken -= 16) {
    fixture_allocator allocator;
    pith_error error = {0};
    pith_graph *graph;
    fixture_allocator_init(&allocator, -1);
    assert_int_equal(pith_graph_create(&allocator.allocator, "little", &graph, &error), PITH_OK);
    allocator.budget = 2;
    for (size_t i = 0; i < taken; i += 16)
      (void)pith_arena_array(&graph->arena, 16, 1);
    pith_status status = build_little(graph, &error);
    pith_graph_destroy(graph);
    assert_int_equal(allocator.held_bytes, 0);
    fitted = status == PITH_OK;
    assert_true(fitted || (status == PITH_OUT_OF_MEMORY && taken != 0));
    for (size_t i = 0; !fitted && i < sizeof parts / sizeof *parts; i++) {
      char text[40];
      snprintf(text, sizeof text, "no memory for %s", parts[i]);
      met[i] |= strstr(error.message, text) != NULL;
    }
  }
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
    if (!met[i])
      fail_msg("%s never ran out of memory", parts[i]);
}

static void test_verifying_a_long_graph_fails_once(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph;
  pith_builder builder;
  fixture_allocator allocator;
  fixture_allocator_init(&allocator, -1);
  assert_int_equal(pith_graph_create(&allocator.allocator, "long", &graph, &error), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  const pith_dim dim = pith_build_dim(&builder, "tokens", 1, 0);
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 1, &dim);
  for (int i = 0; i < 3000; i++)
    x = pith_build_node(&builder, NULL, PITH_OP_TANH, 1, &x, 0, NULL);
  pith_build_output(&builder, x, "y");
  assert_int_equal(pith_builder_finish(&builder), PITH_OK);
  size_t held = allocator.held_bytes;
  bool met_names = false;
  pith_status status = PITH_OUT_OF_MEMORY;
  for (long more = 0; status != PITH_OK; more++) {
    allocator.budget = allocator.allocations + more;
    status = pith_graph_verify(graph, &error);
    assert_true(status == PITH_OK || status == PITH_OUT_OF_MEMORY);
    met_names |= status != PITH_OK && strstr(error.message, "to compare 3001 names") != NULL;
    assert_int_equal(allocator.held_bytes, held);
  }
  assert_true(met_names);
  pith_graph_destroy(graph);
}

/* ---- random changes
 * ----------------------------------------------------------------------------------- */

static uint64_t next(uint64_t *seed) { /* xorshift64* */
  *seed ^= *seed >> 12;
  *seed ^= *seed << 25;
  *seed ^= *seed >> 27;
  return *seed * UINT64_C(2685821657736338717);
}

/* A number that hurts: small, off by one, at a limit, or anything. */
static uint64_t pick(uint64_t *seed, uint64_t now) {
  static const uint64_t limits[] = {0,
                                    1,
                                    2,
                                    8,
                                    9,
                                    UINT32_MAX,
                                    INT32_MAX,
                                    (uint64_t)INT64_MIN,
                                    INT64_MAX,
                                    UINT64_MAX,
                                    UINT64_C(1) << 32,
                                    PITH_MAX_TENSOR_BYTES};
  switch (next(seed) % 5) {
  case 0:
    return now + 1;
  case 1:
    return now - 1;
  case 2:
    return next(seed) % 64;
  case 3:
    return limits[next(seed) % (sizeof limits / sizeof *limits)];
  default:
    return next(seed);
  }
}

/* Changes what a file decides: numbers, kinds, names (any text) and whether an array is there.
 * Lengths of arrays only get smaller or too large for any array, since a reader allocates what it
 * counts. */
static void change_tensor(pith_tensor *tensor, uint64_t *seed) {
  static const char *const names[] = {NULL,          "",     "ids",   " ", "\x01",
                                      "pooler.bias", "\xff", "weight"};
  static pith_dim_term terms[3];
  pith_dim *dim = &tensor->dims[next(seed) % PITH_MAX_RANK];
  switch (next(seed) % 10) {
  case 0:
    tensor->name = names[next(seed) % (sizeof names / sizeof *names)];
    break;
  case 1:
    tensor->kind = (pith_tensor_kind)pick(seed, tensor->kind);
    break;
  case 2:
    tensor->dtype = (pith_dtype)pick(seed, tensor->dtype);
    break;
  case 3:
    tensor->layout = (pith_layout)pick(seed, tensor->layout);
    break;
  case 4:
    tensor->rank = (uint32_t)pick(seed, tensor->rank);
    break;
  case 5:
    dim->constant = (int64_t)pick(seed, (uint64_t)dim->constant);
    break;
  case 6:
    for (int i = 0; i < 3; i++)
      terms[i] = (pith_dim_term){(uint32_t)pick(seed, (uint64_t)i), (int64_t)pick(seed, 0)};
    *dim = (pith_dim){
        .constant = dim->constant, .term_count = (uint32_t)(next(seed) % 4), .terms = terms};
    if (next(seed) % 8 == 0)
      dim->term_count = PITH_MAX_DIM_TERMS + 1;
    if (next(seed) % 8 == 0)
      dim->terms = NULL;
    break;
  case 7:
    tensor->data = (const void *)(uintptr_t)pick(seed, 0);
    break;
  case 8:
    tensor->data_bytes = pick(seed, tensor->data_bytes);
    break;
  default:
    tensor->producer = (pith_node_id)pick(seed, tensor->producer);
  }
}

static void change_node(pith_node *node, uint64_t *seed) {
  uint32_t attributes = 0;
  while (node->op != NULL && node->op->attributes[attributes].name != NULL)
    attributes++;
  switch (next(seed) % 8) {
  case 0: /* another operator has other attributes, which a reader allocates */
    if (attributes == 0)
      node->op = next(seed) % 4 == 0
                     ? NULL
                     : pith_operator_get(next(seed) % 2 == 0 ? PITH_OP_TANH : PITH_OP_ADD);
    break;
  case 1:
    if (node->input_count != 0 && node->input_count <= PITH_MAX_PORTS && node->inputs != NULL) {
      pith_tensor_id *id = &node->inputs[next(seed) % node->input_count];
      *id = (pith_tensor_id)pick(seed, *id);
    }
    break;
  case 2:
    if (node->output_count != 0 && node->outputs != NULL)
      node->outputs[0] = (pith_tensor_id)pick(seed, node->outputs[0]);
    break;
  case 3:
    node->input_count =
        next(seed) % 4 == 0 ? UINT32_MAX : node->input_count - (node->input_count != 0);
    break;
  case 4:
    node->output_count = next(seed) % 4 == 0 ? UINT32_MAX : 0;
    break;
  case 5:
    if (attributes != 0 && node->attributes != NULL) {
      pith_attribute *attribute = &node->attributes[next(seed) % attributes];
      attribute->i = (int64_t)pick(seed, (uint64_t)attribute->i);
    }
    break;
  case 6:
    if (attributes != 0 && node->attributes != NULL) {
      pith_attribute *attribute = &node->attributes[next(seed) % attributes];
      attribute->type = (pith_attribute_type)pick(seed, attribute->type);
    }
    break;
  default:
    switch (next(seed) % 4) {
    case 0:
      node->name = NULL;
      break;
    case 1:
      node->inputs = NULL;
      break;
    case 2:
      node->outputs = NULL;
      break;
    default:
      node->attributes = NULL;
    }
  }
}

static void change_graph(pith_graph *graph, uint64_t *seed) {
  uint64_t what = next(seed) % 16;
  if (what < 8 && graph->tensors != NULL && graph->tensor_count != 0)
    change_tensor(&graph->tensors[next(seed) % graph->tensor_count], seed);
  else if (what < 14 && graph->nodes != NULL && graph->node_count != 0)
    change_node(&graph->nodes[next(seed) % graph->node_count], seed);
  else if (what == 14 && graph->input_count != 0 && graph->output_count != 0) {
    graph->inputs[next(seed) % graph->input_count] = (pith_tensor_id)pick(seed, 0);
    graph->outputs[next(seed) % graph->output_count] =
        (pith_tensor_id)pick(seed, graph->outputs[0]);
  } else
    switch (next(seed) % 4) {
    case 0:
      graph->tensor_count -= graph->tensor_count != 0;
      break;
    case 1:
      graph->node_count -= graph->node_count != 0;
      break;
    case 2:
      graph->input_count -= graph->input_count != 0;
      break;
    default:
      graph->symbol_count -= graph->symbol_count != 0;
    }
}

static void discard(void *context, const char *text, size_t bytes) {
  *(size_t *)context += bytes;
  (void)text;
}

static void test_random_changes(void **state) {
  (void)state;
  const char *rounds_text = getenv("PITH_HOSTILE_ROUNDS");
  long rounds = rounds_text == NULL ? 20000 : strtol(rounds_text, NULL, 10);
  uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
  pith_error error;
  pith_graph *valid = fixture_build_bert(NULL, 1, &error);
  assert_non_null(valid);
  long accepted = 0;
  for (long round = 0; round < rounds; round++) {
    pith_graph *graph;
    assert_int_equal(pith_graph_clone(valid, NULL, &graph, &error), PITH_OK);
    for (uint64_t changes = 1 + next(&seed) % 3; changes > 0; changes--)
      change_graph(graph, &seed);
    error = (pith_error){0};
    pith_status status = pith_graph_verify(graph, &error);
    /* What it accepts can be printed, cloned and verified again. */
    if (status == PITH_OK) {
      size_t bytes = 0;
      const pith_text_sink sink = {discard, &bytes};
      pith_graph *again;
      pith_graph_print(graph, &sink);
      pith_graph_print_dot(graph, &sink);
      assert_int_equal(pith_graph_print_svg(graph, &sink, &error), PITH_OK);
      assert_true(bytes > 1000);
      assert_int_equal(pith_graph_clone(graph, NULL, &again, &error), PITH_OK);
      assert_int_equal(pith_graph_verify(again, &error), PITH_OK);
      pith_graph_destroy(again);
      accepted++;
    } else {
      assert_int_equal(status, PITH_FORMAT);
      assert_int_equal(error.status, status);
      assert_true(error.message[0] != '\0');
    }
    pith_graph_destroy(graph);
  }
  print_message("seed 0x9e3779b97f4a7c15: %ld of %ld changed graphs are still valid\n", accepted,
                rounds);
  assert_true(accepted > rounds / 100 && accepted < rounds / 2);
  pith_graph_destroy(valid);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_allocation_fails_once),
      cmocka_unit_test(test_every_piece_fails_once),
      cmocka_unit_test(test_every_piece_of_a_builder_fails_once),
      cmocka_unit_test(test_verifying_a_long_graph_fails_once),
      cmocka_unit_test(test_random_changes),
  };
  return cmocka_run_group_tests_name("ir_hostile", tests, NULL, NULL);
}
