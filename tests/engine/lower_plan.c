/* The memory plan: what lives at the same time lies apart, sizes are those of a run at the limits, and little is wasted. */
#include <string.h>

#include "tests/engine/sparse_fixture.h"

typedef struct piece {
  size_t begin, end;
  uint32_t first, last;
  uint32_t root; /* PITH_NONE: scratch */
} piece;

static pith_program *lower(const pith_graph *graph, int64_t tokens, int64_t sequences, size_t threads,
                           uint32_t rewrites) {
  int64_t symbol_limits[8];
  assert_true(graph->symbol_count <= 8);
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    symbol_limits[s] = strcmp(graph->symbols[s], "tokens") == 0      ? tokens
                       : strcmp(graph->symbols[s], "sequences") == 0 ? sequences
                                                                     : 16;
  pith_lower_options options = {
      .cpu = pith_cpu_detect(), .threads = threads, .symbol_limits = symbol_limits, .rewrites = rewrites};
  pith_program *program;
  pith_error error = {PITH_OK, ""};
  if (pith_program_create(graph, &options, &program, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return program;
}

/* Lives from the operands of the steps themselves, not from the planner's own record. */
static size_t collect(const pith_program *program, piece *pieces) {
  size_t count = 0;
  for (uint32_t v = 0; v < program->value_count; v++) {
    const pith_value *value = &program->values[v];
    piece p = {.first = PITH_NONE, .last = 0, .root = value->root};
    for (uint32_t i = 0; i < program->step_count; i++) {
      const pith_step *step = &program->steps[i];
      for (uint32_t j = 0; j < step->output_count; j++)
        if (step->outputs[j] == v)
          p.first = p.last = i;
      for (uint32_t j = 0; j < step->input_count; j++)
        if (step->inputs[j] == v)
          p.last = i;
    }
    for (uint32_t i = 0; i < program->output_count; i++)
      if (program->outputs[i] == v)
        p.last = program->step_count;
    if (value->kind != PITH_VALUE_BUFFER || p.first == PITH_NONE)
      continue;
    pith_view view;
    size_t bytes;
    assert_int_equal(pith_value_measure(value, program->symbol_limits, &view, NULL), PITH_OK);
    assert_int_equal(pith_value_get_bytes(value, &view, &bytes, NULL), PITH_OK);
    assert_int_equal(value->offset % 64, 0);
    p.begin = value->offset;
    p.end = value->offset + bytes;
    pieces[count++] = p;
  }
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    assert_int_equal(step->scratch_offset % 64, 0);
    assert_int_equal(step->scratch_bytes % 64, 0);
    if (step->scratch_bytes != 0)
      pieces[count++] = (piece){step->scratch_offset, step->scratch_offset + step->scratch_bytes * program->threads, i,
                                i, PITH_NONE};
  }
  return count;
}

static void check(const pith_program *program) {
  static piece pieces[512];
  size_t count = collect(program, pieces), alive = 0, at_once = 0;
  for (size_t a = 0; a < count; a++) {
    assert_true(pieces[a].end <= program->buffer_bytes);
    for (size_t b = 0; b < a; b++) {
      bool together = pieces[a].first <= pieces[b].last && pieces[b].first <= pieces[a].last;
      bool overlap = pieces[a].begin < pieces[b].end && pieces[b].begin < pieces[a].end;
      if (!together || !overlap)
        continue;
      /* In place: one begins where the other ends, in the same bytes. */
      bool in_place = pieces[a].root == pieces[b].root && pieces[a].root != PITH_NONE &&
                      pieces[a].begin == pieces[b].begin && pieces[a].end == pieces[b].end &&
                      (pieces[a].first == pieces[b].last || pieces[b].first == pieces[a].last);
      if (!in_place)
        fail_msg("pieces %zu and %zu live together at %zu and %zu", a, b, pieces[a].begin, pieces[b].begin);
    }
  }
  /* The bytes alive at the busiest step bound the block from below; best fit stays near it. */
  for (uint32_t i = 0; i <= program->step_count; i++) {
    size_t bytes = 0;
    for (size_t a = 0; a < count; a++) {
      bool counted = false; /* values that share bytes count once */
      for (size_t b = 0; b < a && pieces[a].root != PITH_NONE; b++)
        counted |= pieces[b].root == pieces[a].root && pieces[b].first <= i && i <= pieces[b].last;
      if (!counted && pieces[a].first <= i && i <= pieces[a].last)
        bytes += (pieces[a].end - pieces[a].begin + 63) / 64 * 64;
    }
    at_once = bytes;
    alive = at_once > alive ? at_once : alive;
  }
  assert_true(program->buffer_bytes >= alive);
  if ((double)program->buffer_bytes > 1.1 * (double)alive)
    fail_msg("%zu bytes planned where %zu are alive at once", program->buffer_bytes, alive);
}

static void test_nothing_overlaps(void **state) {
  (void)state;
  for (int head = 0; head < SPARSE_FIXTURE_HEAD_COUNT; head++) {
    exec_fixture_model fixture;
    sparse_fixture_open(&fixture, head);
    const int64_t tokens[] = {1, 7, 70, 1024};
    for (size_t i = 0; i < 4; i++)
      for (size_t threads = 1; threads <= 3; threads++)
        for (int fused = 0; fused < 2; fused++) {
          pith_program *program = lower(fixture.model.data.graph, tokens[i], tokens[i] < 8 ? 1 : 8, threads,
                                        fused ? PITH_REWRITES_DEFAULT : 0);
          check(program);
          pith_program_destroy(program);
        }
    exec_fixture_close(&fixture);
  }
}

static void test_in_place_is_used(void **state) {
  (void)state;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_VECTORS);
  pith_program *program = lower(fixture.model.data.graph, 64, 4, 1, PITH_REWRITES_DEFAULT);
  uint32_t in_place = 0;
  for (uint32_t v = 0; v < program->value_count; v++)
    in_place += program->values[v].kind == PITH_VALUE_BUFFER && program->values[v].producer != PITH_NONE &&
                program->values[v].root != v;
  assert_true(in_place >= 4); /* the LayerNorms of two layers */
  for (uint32_t i = 0; i < program->output_count; i++) {
    const pith_value *output = &program->values[program->outputs[i]];
    for (uint32_t v = 0; v < program->value_count; v++)
      if (&program->values[v] != output && program->values[v].root == output->root &&
          program->values[v].producer != PITH_NONE)
        assert_true(program->values[v].producer < output->producer); /* nothing takes an output's bytes after it */
  }
  pith_program_destroy(program);
  exec_fixture_close(&fixture);
}

static void test_limits_that_overflow(void **state) {
  (void)state;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  const pith_graph *graph = fixture.model.data.graph;
  int64_t huge[8];
  for (int i = 0; i < 8; i++)
    huge[i] = INT64_MAX / 2;
  pith_lower_options options = {.cpu = 0, .threads = 1, .symbol_limits = huge, .rewrites = PITH_REWRITES_DEFAULT};
  pith_program *program = NULL;
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_program_create(graph, &options, &program, &error), PITH_LIMIT);
  assert_null(program);
  exec_fixture_close(&fixture);
}

static void test_passes_and_printing(void **state) {
  (void)state;
  size_t count = 0;
  for (const pith_pass *pass = pith_passes; pass->name != NULL; pass++, count++)
    assert_true(strlen(pass->doc) > 10);
  assert_true(count >= 8);
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_CLASSIFY);
  pith_program *program = lower(fixture.model.data.graph, 64, 4, 1, PITH_REWRITES_DEFAULT);
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  pith_program_print(program, &sink);
  assert_non_null(strstr(text.text, "Embedding+LayerNorm (embeddings.norm, embedding_f32"));
  assert_non_null(strstr(text.text, "-> layer.1.query@"));
  assert_non_null(strstr(text.text, "bytes of buffers and scratch"));
  fixture_text_free(&text);
  pith_program_destroy(program);
  exec_fixture_close(&fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_nothing_overlaps),
      cmocka_unit_test(test_in_place_is_used),
      cmocka_unit_test(test_limits_that_overflow),
      cmocka_unit_test(test_passes_and_printing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
