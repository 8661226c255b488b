/* Patterns: their text, which masks are also masks of another, and what a mask keeps, against a plain count. */
#include "tests/engine/ir_fixture.h"

#include <stdlib.h>
#include <string.h>

static pith_pattern parse(const char *text) {
  pith_pattern pattern;
  pith_error error = {0};
  if (pith_pattern_parse(text, &pattern, &error) != PITH_OK)
    fail_msg("%s: %s", text, error.message);
  return pattern;
}

static void test_text(void **state) {
  (void)state;
  static const struct {
    const char *text;
    pith_pattern pattern;
  } rows[] = {
      {"dense", {PITH_PATTERN_DENSE, 0, 0}},        {"element", {PITH_PATTERN_ELEMENT, 0, 0}},
      {"4x1", {PITH_PATTERN_BLOCK, 4, 1}},          {"256x256", {PITH_PATTERN_BLOCK, 256, 256}},
      {"2:4", {PITH_PATTERN_N_OF_M, 2, 4}},         {"255:256", {PITH_PATTERN_N_OF_M, 255, 256}},
      {"row", {PITH_PATTERN_ROW, 0, 0}},            {"column", {PITH_PATTERN_COLUMN, 0, 0}},
      {"head", {PITH_PATTERN_HEAD, 0, 0}},          {"head:64x*", {PITH_PATTERN_HEAD, 64, 0}},
      {"head:*x999999", {PITH_PATTERN_HEAD, 0, 999999}}, {"neuron", {PITH_PATTERN_NEURON, 0, 0}},
      {"neuron:*x1", {PITH_PATTERN_NEURON, 0, 1}},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[PITH_PATTERN_TEXT_BYTES];
    const pith_pattern pattern = parse(rows[i].text);
    assert_true(pith_pattern_equal(&pattern, &rows[i].pattern));
    pith_pattern_format(&pattern, text);
    assert_string_equal(text, rows[i].text);
  }
  static const char *const wrong[] = {"",     "4",    "4x",   "x1",     "4x1 ",   " 4x1",     "04x1",      "4x0",      "0x1",
                                      "257x1", "1x257", "4:4", "5:4",    "0:4",    "2:257",    "-4x1",      "+4x1",     "4X1",
                                      "4x1x1", "block", "n_of_m", "rows", "head:", "head:4x4", "head:*x*",  "head:0x*", "row:1x*",
                                      "1000000x1", "4294967300x1", "elements", "2:4:8", "*x1"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    pith_pattern pattern = {PITH_PATTERN_ROW, 7, 7};
    pith_error error = {0};
    if (pith_pattern_parse(wrong[i], &pattern, &error) != PITH_INVALID_ARGUMENT || error.message[0] == '\0')
      fail_msg("'%s' was taken", wrong[i]);
    assert_int_equal(pattern.kind, PITH_PATTERN_DENSE); /* never half a pattern */
  }
}

/* Whether (o, i) and (r, c) go together, said plainly. */
static bool go_together(const pith_pattern *p, size_t o, size_t i, size_t r, size_t c) {
  const bool element = p->kind == PITH_PATTERN_ELEMENT || p->kind == PITH_PATTERN_N_OF_M;
  const bool all = p->kind == PITH_PATTERN_DENSE;
  const size_t outputs = element || p->kind == PITH_PATTERN_ROW ? 1 : p->outputs;
  const size_t inputs = element || p->kind == PITH_PATTERN_COLUMN ? 1 : p->inputs;
  return all || ((outputs == 0 || o / outputs == r / outputs) && (inputs == 0 || i / inputs == c / inputs));
}

/* Whether the mask of `w` at `pattern` keeps (o, i). */
static bool keeps(const pith_pattern *p, const int8_t *w, size_t n, size_t k, size_t o, size_t i) {
  for (size_t at = 0; at < n * k; at++)
    if (w[at] != 0 && go_together(p, o, i, at / k, at % k))
      return true;
  return p->kind == PITH_PATTERN_DENSE;
}

static const char *const texts[] = {"dense", "element", "1x1",     "4x1",       "4x4",        "8x1",     "16x4",       "3x2", "1x4",
                                    "row",   "column",  "head:4x*", "head:*x4", "neuron:1x*", "neuron:*x1", "1:2", "2:4", "1:4", "2:8", "3:5"};
enum { TEXTS = sizeof texts / sizeof *texts, MAX_SIDE = 24 };

static uint32_t next(uint32_t *seed) {
  *seed = *seed * 1664525 + 1013904223;
  return *seed >> 8;
}

/* A mask of `pattern`: what goes together is kept or left out at random. */
static void fill(const pith_pattern *p, int8_t *w, size_t n, size_t k, uint32_t *seed) {
  memset(w, 0, n * k);
  if (p->kind == PITH_PATTERN_N_OF_M) {
    for (size_t o = 0; o < n; o++)
      for (size_t i = 0; i < k; i += p->inputs)
        for (uint32_t c = 0; c < p->outputs; c++) /* the same place twice keeps fewer */
          if (i + c < k)
            w[o * k + i + (next(seed) % 2 == 0 && i + p->inputs - 1 - c < k ? p->inputs - 1 - c : c)] = 1;
    return;
  }
  for (size_t turn = 0; turn < 1 + next(seed) % 6 && n * k != 0; turn++) {
    const size_t place = next(seed) % (n * k);
    for (size_t at = 0; at < n * k; at++)
      if (go_together(p, place / k, place % k, at / k, at % k))
        w[at] = -1;
  }
}

static void test_count(void **state) {
  (void)state;
  static const size_t sides[] = {0, 1, 3, 4, 5, 8, 13, MAX_SIDE};
  uint32_t seed = 1;
  uint64_t kept;
  for (size_t t = 0; t < TEXTS; t++)
    for (size_t a = 0; a < sizeof sides / sizeof *sides; a++)
      for (size_t b = 0; b < sizeof sides / sizeof *sides; b++) {
        const pith_pattern p = parse(texts[t]);
        const size_t n = sides[a], k = sides[b];
        int8_t *w = calloc(n * k + 1, 1);
        float *f = calloc(n * k + 1, sizeof *f);
        if (p.kind == PITH_PATTERN_N_OF_M)
          fill(&p, w, n, k, &seed);
        else
          for (size_t i = 0; i < n * k / 7; i++)
            w[next(&seed) % (n * k)] = (int8_t)(next(&seed) % 3);
        uint64_t expected = 0;
        for (size_t i = 0; i < n * k; i++) {
          expected += keeps(&p, w, n, k, i / k, i % k);
          f[i] = w[i] == 0 ? -0.0f : (float)w[i] * 1e-45f; /* -0 is 0, the smallest float is not */
        }
        assert_int_equal(pith_pattern_count_kept(&p, n, k, w, false, &kept, NULL), PITH_OK);
        assert_int_equal(kept, expected);
        assert_int_equal(pith_pattern_count_kept(&p, n, k, f, true, &kept, NULL), PITH_OK);
        assert_int_equal(kept, expected);
        free(w), free(f);
      }
  static const int8_t three[8] = {0, 0, 0, 0, 1, 0, 2, 3};
  const pith_pattern two_of_four = parse("2:4"), head = parse("head");
  pith_error error = {0};
  assert_int_equal(pith_pattern_count_kept(&two_of_four, 1, 8, three, false, &kept, &error), PITH_FORMAT);
  assert_string_equal(error.message, "output 0 has 3 weights that are not 0 among the 4 inputs from 4 on: 2:4 keeps 2");
  assert_int_equal(pith_pattern_count_kept(&head, 1, 8, three, false, &kept, &error), PITH_INVALID_ARGUMENT);
}

/* A pattern implies another where the other's rounding up adds nothing to any of its masks, tried on many. */
static void test_implies(void **state) {
  (void)state;
  uint32_t seed = 7;
  for (size_t a = 0; a < TEXTS; a++)
    for (size_t b = 0; b < TEXTS; b++) {
      const pith_pattern p = parse(texts[a]), other = parse(texts[b]);
      bool all = true;
      for (int turn = 0; turn < 20 && all; turn++) {
        enum { N = 48, K = 40 };
        static int8_t w[N * K];
        uint64_t own, others = 0;
        if (p.kind == PITH_PATTERN_DENSE || (turn == 0 && p.kind != PITH_PATTERN_N_OF_M))
          memset(w, 1, sizeof w); /* nothing left out is a mask of all but N:M */
        else
          fill(&p, w, N, K, &seed);
        assert_int_equal(pith_pattern_count_kept(&p, N, K, w, false, &own, NULL), PITH_OK);
        all = pith_pattern_count_kept(&other, N, K, w, false, &others, NULL) == PITH_OK && others == own;
      }
      if (pith_pattern_implies(&p, &other) != all)
        fail_msg("%s %s %s", texts[a], all ? "implies" : "does not imply", texts[b]);
    }
}

/* Who changes the data says what their pattern is. */
static void test_tensor(void **state) {
  (void)state;
  pith_error error = {0};
  pith_graph *graph = fixture_build_bert(NULL, 1, &error), *copy;
  assert_non_null(graph);
  const pith_tensor_id id = pith_graph_find_tensor(graph, "pooler.weight");
  graph->tensors[id].pattern = parse("4x1");
  graph->tensors[id].kept = 12;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_OK);
  assert_int_equal(pith_graph_clone(graph, NULL, &copy, &error), PITH_OK);
  assert_true(pith_pattern_equal(&copy->tensors[id].pattern, &graph->tensors[id].pattern));
  assert_int_equal(copy->tensors[id].kept, 12);
  pith_graph_set_data(copy, id, graph->tensors[id].data, graph->tensors[id].data_bytes);
  assert_int_equal(copy->tensors[id].pattern.kind, PITH_PATTERN_DENSE);
  assert_int_equal(copy->tensors[id].kept, 0);
  assert_int_equal(pith_graph_verify(copy, &error), PITH_OK);
  pith_graph_destroy(copy);
  pith_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_text), cmocka_unit_test(test_count),
                                     cmocka_unit_test(test_implies), cmocka_unit_test(test_tensor)};
  return cmocka_run_group_tests_name("ir_pattern", tests, NULL, NULL);
}
