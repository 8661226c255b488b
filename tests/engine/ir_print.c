/* What is printed: the readable form against a golden text, Graphviz and SVG by their structure. */
#include "tests/engine/ir_fixture.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A graph with everything that the readable form has: absent operands, attributes of each type, a
 * renamed output. */
static pith_graph *build_small(void) {
  _Alignas(64) static const float weight[4 * 16];
  pith_error error;
  pith_graph *graph;
  pith_builder builder;
  if (pith_graph_create(NULL, "a \"small\" <graph> & more", &graph, &error) != PITH_OK)
    return NULL;
  pith_builder_init(&builder, graph, &error);
  const pith_dim dims[2] = {pith_build_dim(&builder, "tokens", 2, -3), pith_dim_of(4)};
  pith_tensor_id x = pith_build_input(&builder, "x\"<&>\\", PITH_DTYPE_F32, 2, dims);
  pith_tensor_id w =
      pith_build_data(&builder, PITH_TENSOR_PARAMETER, "w", PITH_DTYPE_F32, 2,
                      (const int64_t[]){3, 4}, PITH_LAYOUT_N64_F32, weight, 16 * 4 * 4);
  pith_tensor_id c = pith_build_data(&builder, PITH_TENSOR_CONSTANT, NULL, PITH_DTYPE_F32, 0, NULL,
                                     PITH_LAYOUT_ROW_MAJOR, NULL, 0);
  pith_tensor_id scale = pith_build_data(&builder, PITH_TENSOR_PARAMETER, "scale", PITH_DTYPE_F32,
                                         1, (const int64_t[]){4}, PITH_LAYOUT_ROW_MAJOR, NULL, 0);
  pith_tensor_id y = pith_build_node(&builder, "norm", PITH_OP_LAYER_NORMALIZATION, 3,
                                     (const pith_tensor_id[]){x, scale, PITH_NONE}, 0, NULL);
  y = pith_build_node(&builder, "product", PITH_OP_GEMM, 3, (const pith_tensor_id[]){y, w, c}, 3,
                      (const pith_attribute_setting[]){PITH_SET_INT("transB", 1),
                                                       PITH_SET_FLOAT("alpha", 0.1),
                                                       PITH_SET_FLOAT("beta", -1.0 / 3.0)});
  y = pith_build_node(
      &builder, NULL, PITH_OP_GELU, 1, &y, 1,
      (const pith_attribute_setting[]){PITH_SET_ENUM("approximate", PITH_GELU_TANH)});
  y = pith_build_node(&builder, "cast", PITH_OP_CAST, 1, &y, 1,
                      (const pith_attribute_setting[]){PITH_SET_DTYPE("to", PITH_DTYPE_F32)});
  pith_build_output(&builder, y, "logits");
  if (pith_builder_finish(&builder) == PITH_OK)
    return graph;
  print_message("%s\n", error.message);
  pith_graph_destroy(graph);
  return NULL;
}

static const char golden[] =
    "graph a \"small\" <graph> & more\n"
    "input %x\"<&>\\ f32[2*tokens - 3, 4]\n"
    "parameter %w f32[3, 4] n64_f32 256 bytes\n"
    "constant %constant_2 f32[] row_major 4 bytes, absent\n"
    "parameter %scale f32[4] row_major 16 bytes, absent\n"
    "%norm f32[2*tokens - 3, 4] = LayerNormalization(%x\"<&>\\, %scale, _)\n"
    "%product f32[2*tokens - 3, 3] = Gemm(%norm, %w, %constant_2) {alpha=0.1, "
    "beta=-0.3333333333333333, transB=1}\n"
    "%Gelu_2 f32[2*tokens - 3, 3] = Gelu(%product) {approximate=tanh}\n"
    "%logits f32[2*tokens - 3, 3] = Cast(%Gelu_2) {to=f32} @cast\n"
    "output %logits\n";

static void test_readable_form(void **state) {
  (void)state;
  pith_graph *graph = build_small();
  assert_non_null(graph);
  fixture_text text = fixture_print(graph, pith_graph_print);
  assert_string_equal(text.text, golden);
  fixture_text_free(&text);
  pith_graph_destroy(graph);
}

/* Numbers have a '.', whatever the locale's is. */
static void test_no_locale_gets_in(void **state) {
  (void)state;
  static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "nb_NO.UTF-8"};
  bool found = false;
  for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++)
    found =
        setlocale(LC_NUMERIC, names[i]) != NULL && strcmp(localeconv()->decimal_point, ",") == 0;
  if (!found)
    skip(); /* no locale with a comma here */
  test_readable_form(state);
  setlocale(LC_NUMERIC, "C");
}

static size_t count(const char *text, const char *part) {
  size_t found = 0;
  for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
    found++;
  return found;
}

static void test_dot(void **state) {
  (void)state;
  pith_graph *graph = build_small();
  assert_non_null(graph);
  fixture_text text = fixture_print(graph, pith_graph_print_dot);
  assert_non_null(strstr(text.text, "digraph \"a \\\"small\\\" <graph> & more\" {\n"));
  assert_non_null(strstr(text.text, "label=\"x\\\"<&>\\\\ f32[2*tokens - 3, 4]\""));
  assert_int_equal(count(text.text, "shape=ellipse"), 2); /* the input and the output */
  assert_int_equal(count(text.text, " -> "), 5);
  assert_non_null(strstr(text.text, "t0 -> n0"));
  assert_non_null(strstr(text.text, "n3 -> o0"));
  assert_non_null(strstr(text.text, "n1 [label=\"Gemm\\nproduct\\nalpha=0.1, "));
  assert_string_equal(text.text + text.bytes - 2, "}\n");
  fixture_text_free(&text);
  pith_graph_destroy(graph);
}

typedef struct box {
  long x, y, width, height;
} box;

/* At most `capacity` - 1 bytes: sscanf measures its whole text each time. */
static const char *cut(const char *text, char *buffer, size_t capacity) {
  snprintf(buffer, capacity, "%.*s", (int)capacity - 1, text);
  return buffer;
}

/* Every node has a box and no two boxes meet; links go down. */
static void check_drawing(const pith_graph *graph) {
  pith_error error;
  char line[100];
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  assert_int_equal(pith_graph_print_svg(graph, &sink, &error), PITH_OK);
  long width = 0, height = 0;
  const char *at = strstr(text.text, "<svg ");
  assert_non_null(at);
  assert_int_equal(sscanf(cut(strstr(at, "width="), line, sizeof line),
                          "width=\"%ld\" height=\"%ld\"", &width, &height),
                   2);
  size_t boxes = 0, expected = (size_t)graph->node_count + graph->input_count;
  box *all = calloc(expected, sizeof *all);
  assert_non_null(all);
  for (at = text.text; (at = strstr(at, "<rect class=")) != NULL; at++) {
    assert_true(boxes < expected);
    box *one = &all[boxes++];
    assert_int_equal(sscanf(cut(strstr(at, " x="), line, sizeof line),
                            " x=\"%ld\" y=\"%ld\" width=\"%ld\" height=\"%ld\"", &one->x, &one->y,
                            &one->width, &one->height),
                     4);
    assert_true(one->x >= 0 && one->y >= 0 && one->x + one->width <= width &&
                one->y + one->height <= height);
    for (size_t i = 0; i + 1 < boxes; i++)
      assert_true(all[i].x + all[i].width < one->x || one->x + one->width < all[i].x ||
                  all[i].y + all[i].height < one->y || one->y + one->height < all[i].y);
  }
  assert_int_equal(boxes, expected);
  size_t links = 0;
  for (at = text.text; (at = strstr(at, "d=\"M")) != NULL; at++) {
    long x0, y0, x1, y1, x2, y2, x3, y3;
    if (sscanf(cut(at, line, sizeof line), "d=\"M%ld %ldC%ld %ld %ld %ld %ld %ld\"", &x0, &y0, &x1,
               &y1, &x2, &y2, &x3, &y3) != 8)
      continue;
    assert_true(y0 < y3);
    links++;
  }
  assert_true(links >= graph->node_count);
  assert_int_equal(count(text.text, "<text"), count(text.text, "</text>"));
  assert_int_equal(count(text.text, "</svg>"), 1);
  free(all);
  fixture_text_free(&text);
}

static void test_svg(void **state) {
  (void)state;
  pith_graph *graph = build_small();
  assert_non_null(graph);
  pith_error error;
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  assert_int_equal(pith_graph_print_svg(graph, &sink, &error), PITH_OK);
  assert_non_null(strstr(text.text, "<title>a \"small\" &lt;graph&gt; &amp; more</title>"));
  assert_non_null(strstr(text.text, ">x\"&lt;&amp;&gt;\\</text>"));
  assert_non_null(strstr(text.text, ">B: w f32[3, 4]</text>"));
  assert_non_null(strstr(text.text, ">logits f32[2*tokens - 3, 3]</text>"));
  assert_int_equal(count(text.text, "class=\"output\""), 1);
  fixture_text_free(&text);
  pith_graph_destroy(graph);
}

static void test_boxes_do_not_meet(void **state) {
  (void)state;
  for (int layers = 0; layers <= 12; layers += 6) {
    pith_error error;
    pith_graph *graph = fixture_build_bert(NULL, layers, &error);
    assert_non_null(graph);
    check_drawing(graph);
    pith_graph_destroy(graph);
  }
}

/* A chain whose ends are joined: the long edge is a name in the box, so that a drawing never takes
 * more than a bounded number of bends a node. */
static void test_long_edges_are_names(void **state) {
  (void)state;
  pith_error error;
  pith_graph *graph;
  pith_builder builder;
  assert_int_equal(pith_graph_create(NULL, "chain", &graph, &error), PITH_OK);
  pith_builder_init(&builder, graph, &error);
  const pith_dim dim = pith_build_dim(&builder, "tokens", 1, 0);
  pith_tensor_id x = pith_build_input(&builder, "x", PITH_DTYPE_F32, 1, &dim);
  pith_tensor_id first = pith_build_node(&builder, "first", PITH_OP_TANH, 1, &x, 0, NULL),
                 y = first;
  for (int i = 0; i < 40; i++)
    y = pith_build_node(&builder, NULL, PITH_OP_ERF, 1, &y, 0, NULL);
  y = pith_build_node(&builder, "last", PITH_OP_ADD, 2, (const pith_tensor_id[]){y, first}, 0,
                      NULL);
  pith_build_output(&builder, y, "y");
  assert_int_equal(pith_builder_finish(&builder), PITH_OK);
  fixture_text text;
  pith_text_sink sink = fixture_text_sink(&text);
  assert_int_equal(pith_graph_print_svg(graph, &sink, &error), PITH_OK);
  assert_int_equal(count(text.text, ">B: first f32[tokens]</text>"), 1);
  fixture_text_free(&text);
  check_drawing(graph);
  pith_graph_destroy(graph);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_readable_form),
      cmocka_unit_test(test_no_locale_gets_in),
      cmocka_unit_test(test_dot),
      cmocka_unit_test(test_svg),
      cmocka_unit_test(test_boxes_do_not_meet),
      cmocka_unit_test(test_long_edges_are_names),
  };
  return cmocka_run_group_tests_name("ir_print", tests, NULL, NULL);
}
