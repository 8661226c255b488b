/* attention_u8s8, which has tests of its own, on the same values in rows says what every result must be, bit for bit. Places
 * of tiles that no token has hold rubbish, and must hold it afterwards. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/attention/attention_tile_u8s8.h"
#include "tests/ops/kernel_tester.h"

enum { MAX_SEQUENCES = 8, UNTOUCHED = 0xa5 };

typedef enum fill {
  FILL_RANDOM,
  FILL_HIGHEST, /* q 255, k and v 127 */
  FILL_LOWEST,  /* q 255, k and v -128 */
  FILL_CROSSED, /* from element to element between the ends */
} fill;

/* What is wanted: floats, or bytes in a layout, or both. */
typedef enum output {
  OUTPUT_FLOAT = 1,
  OUTPUT_BYTES = 2,
  OUTPUT_BOTH = 3,
} output;

typedef struct attention_case {
  const char *name;
  size_t queries[MAX_SEQUENCES], keys[MAX_SEQUENCES], sequences;
  size_t heads, head_size, value_size;
  bool causal;
  fill fill;
  output output;
  pith_activation_layout layout; /* of the bytes; ROW_MAJOR: TILE64 */
  pith_number type;
  uint8_t q_zero;
  float q_scale; /* with k_scale 1/64: about 1/200, which 0 stands for, spreads the weights */
} attention_case;

/* Both forms of a call, over the same values. */
typedef struct attention_calls {
  pith_attention_u8s8_args rows;
  pith_attention_tile_u8s8_args tiles;
  size_t queries, keys; /* of all sequences */
} attention_calls;

static int32_t *make_offsets(tester *t, const size_t *lengths, size_t count, size_t *out_longest) {
  int32_t *out = tester_memory(t, (count + 1) * sizeof *out, false);
  out[0] = 0;
  *out_longest = 0;
  for (size_t i = 0; i < count; ++i) {
    out[i + 1] = out[i] + (int32_t)lengths[i];
    *out_longest = lengths[i] > *out_longest ? lengths[i] : *out_longest;
  }
  return out;
}

static float *make_scalar(tester *t, float x) {
  float *out = tester_memory(t, sizeof *out, false);
  *out = x;
  return out;
}

static uint8_t *make_byte(tester *t, uint8_t x) {
  uint8_t *out = tester_memory(t, 1, false);
  *out = x;
  return out;
}

static uint8_t pick_value(tester *t, fill fill, bool is_signed, size_t index) {
  const int low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
  switch (fill) {
  case FILL_HIGHEST: return (uint8_t)high;
  case FILL_LOWEST: return (uint8_t)(is_signed ? low : high);
  case FILL_CROSSED: return (uint8_t)(index * (is_signed ? 5 : 3) / 4 % 2 ? high : low);
  default: return (uint8_t)tester_random(t);
  }
}

/* The values in rows, and in tiles among rubbish. */
static void make_input(tester *t, const attention_case *c, size_t tokens, size_t features, bool is_signed,
                       pith_activation_layout layout, const void **out_rows, const void **out_tiles) {
  const size_t count = pith_activation_count(layout, tokens, features);
  uint8_t *rows = tester_memory(t, tokens * features, false), *tiles = tester_memory(t, count, false);
  for (size_t i = 0; i < tokens * features; ++i)
    rows[i] = pick_value(t, c->fill, is_signed, i);
  for (size_t i = 0; i < count; ++i)
    tiles[i] = (uint8_t)tester_random(t);
  for (size_t i = 0; i < tokens * features; ++i)
    tiles[pith_activation_index(layout, features, i / features, i % features)] = rows[i];
  *out_rows = rows;
  *out_tiles = tiles;
}

static attention_calls make_calls(tester *t, const attention_case *c) {
  char lengths[8 * MAX_SEQUENCES + 1] = "";
  for (size_t s = 0, used = 0; s < c->sequences && used < sizeof lengths; ++s)
    used += (size_t)snprintf(lengths + used, sizeof lengths - used, " %zu:%zu", c->queries[s], c->keys[s]);
  tester_begin(t, "%s, queries:keys%s, %zu heads of %zu and %zu, causal %d, fill %d, output %d %d %d, zero %d, scale %g",
               c->name, lengths, c->heads, c->head_size, c->value_size, c->causal, c->fill, c->output, c->layout, c->type,
               c->q_zero, (double)c->q_scale);
  const size_t f = c->heads * c->head_size, g = c->heads * c->value_size;
  attention_calls out;
  size_t longest_query, max_keys;
  const int32_t *q_offsets = make_offsets(t, c->queries, c->sequences, &longest_query);
  const int32_t *kv_offsets = make_offsets(t, c->keys, c->sequences, &max_keys);
  out.queries = (size_t)q_offsets[c->sequences];
  out.keys = (size_t)kv_offsets[c->sequences];
  const void *q, *k, *v, *q_tiles, *k_tiles, *v_tiles;
  make_input(t, c, out.queries, f, false, PITH_ACTIVATION_LAYOUT_TILE64X4, &q, &q_tiles);
  make_input(t, c, out.keys, f, true, PITH_ACTIVATION_LAYOUT_TILE64X4, &k, &k_tiles);
  make_input(t, c, out.keys, g, true, PITH_ACTIVATION_LAYOUT_TILE64, &v, &v_tiles);
  const float *q_scale = make_scalar(t, c->q_scale != 0.0f ? c->q_scale : 1.0f / 200), *k_scale = make_scalar(t, 1.0f / 64);
  const float *v_scale = make_scalar(t, 1.0f / 128), *y_scale = make_scalar(t, 1.0f / 150);
  const uint8_t *q_zero = make_byte(t, c->q_zero), *y_zero = c->type == PITH_NUMBER_U8 ? make_byte(t, 117) : NULL;
  const float scale = 1.0f / sqrtf((float)(c->head_size > 0 ? c->head_size : 1));
  const pith_activation_layout layout =
      c->layout == PITH_ACTIVATION_LAYOUT_ROW_MAJOR ? PITH_ACTIVATION_LAYOUT_TILE64 : c->layout;
  out.rows = (pith_attention_u8s8_args){.q = q, .k = k, .v = v, .q_stride = f, .k_stride = f, .v_stride = g, .y_stride = g,
                                        .q_scale = q_scale, .k_scale = k_scale, .v_scale = v_scale, .q_zero = q_zero,
                                        .y_q = {.stride = g, .type = c->type, .scale = y_scale, .zero = y_zero},
                                        .q_offsets = q_offsets, .kv_offsets = kv_offsets, .sequences = c->sequences,
                                        .heads = c->heads, .head_size = c->head_size, .value_size = c->value_size,
                                        .scale = scale, .causal = c->causal, .max_keys = max_keys};
  out.tiles = (pith_attention_tile_u8s8_args){.q = q_tiles, .k = k_tiles, .v = v_tiles,
                                              .q_scale = q_scale, .k_scale = k_scale, .v_scale = v_scale, .q_zero = q_zero,
                                              .y_q = {.layout = layout, .type = c->type, .scale = y_scale, .zero = y_zero},
                                              .q_offsets = q_offsets, .kv_offsets = kv_offsets, .sequences = c->sequences,
                                              .heads = c->heads, .head_size = c->head_size, .value_size = c->value_size,
                                              .scale = scale, .causal = c->causal, .max_keys = max_keys};
  if (c->output & OUTPUT_FLOAT) {
    out.rows.y = tester_memory(t, out.queries * g * sizeof(float), false);
    out.tiles.y = tester_output(t, pith_activation_count(PITH_ACTIVATION_LAYOUT_TILE64, out.queries, g));
  }
  if (c->output & OUTPUT_BYTES) {
    out.rows.y_q.q = tester_memory(t, out.queries * g, false);
    out.tiles.y_q.q = tester_byte_output(t, pith_activation_count(layout, out.queries, g));
  }
  return out;
}

/* What lies in tiles is what lies in rows, and nothing elsewhere. */
static void check_tiles(const tester *t, const char *what, const void *rows, const void *tiles, size_t element_bytes,
                        pith_activation_layout layout, size_t tokens, size_t features) {
  const size_t bytes = pith_activation_count(layout, tokens, features) * element_bytes;
  unsigned char *want = malloc(bytes + 1);
  assert_non_null(want);
  memset(want, UNTOUCHED, bytes);
  for (size_t i = 0; i < tokens * features; ++i)
    memcpy(want + pith_activation_index(layout, features, i / features, i % features) * element_bytes,
           (const unsigned char *)rows + i * element_bytes, element_bytes);
  for (size_t i = 0; i < bytes; ++i)
    if (want[i] != ((const unsigned char *)tiles)[i])
      tester_fail(t, "%s: byte %zu in tiles is %d, not %d", what, i, ((const unsigned char *)tiles)[i], want[i]);
  free(want);
}

static void run_calls(tester *t, const attention_calls *calls) {
  const size_t features = calls->tiles.heads * calls->tiles.value_size;
  const pith_kernel *rows = pith_attention_u8s8_kernels[0];
  void *scratch = malloc(rows->get_scratch_bytes(&calls->rows) + 1);
  assert_non_null(scratch);
  pith_kernel_run_all(rows, &calls->rows, scratch);
  free(scratch);
  tester_reference(t, &calls->tiles);
  if (calls->tiles.y)
    check_tiles(t, "y", calls->rows.y, calls->tiles.y, sizeof(float), PITH_ACTIVATION_LAYOUT_TILE64, calls->queries, features);
  if (calls->tiles.y_q.q)
    check_tiles(t, "y_q", calls->rows.y_q.q, calls->tiles.y_q.q, 1, calls->tiles.y_q.layout, calls->queries, features);
  tester_compare(t, &calls->tiles, NULL);
}

static void run_case(tester *t, const attention_case *c) {
  const attention_calls calls = make_calls(t, c);
  run_calls(t, &calls);
}

/* Outputs, layouts and types in turn. */
static void run_turn(tester *t, attention_case c, size_t turn) {
  c.output = OUTPUT_FLOAT + (turn + 1) % 3;
  c.layout = turn % 2 ? PITH_ACTIVATION_LAYOUT_TILE64 : PITH_ACTIVATION_LAYOUT_TILE64X4;
  c.type = turn / 2 % 2 ? PITH_NUMBER_S8 : PITH_NUMBER_U8;
  c.q_zero = (uint8_t)(turn % 5 ? 90 + turn * 7 % 80 : turn % 2 * 255);
  run_case(t, &c);
}

static void test_sizes(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_tile_u8s8_kernels);
  static const size_t lengths[] = {1,  2,  3,  4,  5,  7,  8,  9,  11, 12, 13, 15, 16, 17, 20,
                                   24, 31, 32, 33, 47, 48, 49, 53, 63, 64, 65, 81, 97, 129, 191};
  static const size_t sizes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 16, 20, 28, 31, 36, 48, 63, 65, 96, 130};
  size_t turn = 0;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; ++i) /* every length, in front of every place of a tile */
    for (size_t size = 32; size <= 64; size *= 2, ++turn)
      run_turn(&t, (attention_case){.name = "length", .queries = {lengths[i], turn % 67, 19},
                                    .keys = {lengths[i], turn * 3 % 71, 19}, .sequences = 3, .heads = 1, .head_size = size,
                                    .value_size = size, .causal = i % 2}, turn);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) /* every size, as features and as values, of one head or more */
    for (size_t heads = 1; heads < 4; ++heads, ++turn) {
      run_turn(&t, (attention_case){.name = "head", .queries = {19, 50}, .keys = {21, 50}, .sequences = 2, .heads = heads,
                                    .head_size = sizes[i], .value_size = 8}, turn);
      run_turn(&t, (attention_case){.name = "value", .queries = {58, 26}, .keys = {58, 18}, .sequences = 2, .heads = heads,
                                    .head_size = 4, .value_size = sizes[i]}, turn);
    }
  for (size_t i = 0; i < 60; ++i) { /* anything */
    attention_case c = {.name = "random", .sequences = 1 + tester_pick(&t, MAX_SEQUENCES), .heads = 1 + tester_pick(&t, 3),
                        .head_size = 1 + tester_pick(&t, 40), .value_size = 1 + tester_pick(&t, 40),
                        .causal = tester_pick(&t, 2)};
    for (size_t s = 0; s < c.sequences; ++s) {
      c.queries[s] = tester_pick(&t, 40);
      c.keys[s] = tester_pick(&t, 2) ? c.queries[s] : tester_pick(&t, 40);
    }
    run_turn(&t, c, i);
  }
  tester_deinit(&t);
}

static void test_long(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_tile_u8s8_kernels);
  for (size_t turn = 0; turn < 4; ++turn) {
    run_turn(&t, (attention_case){.name = "many parts", .queries = {211}, .keys = {211}, .sequences = 1, .heads = 1,
                                  .head_size = 32, .value_size = 32}, turn);
    run_turn(&t, (attention_case){.name = "many parts", .queries = {223}, .keys = {211}, .sequences = 1, .heads = 1,
                                  .head_size = 32, .value_size = 32, .causal = true}, turn);
    run_turn(&t, (attention_case){.name = "uneven", .queries = {3, 150, 1, 40}, .keys = {3, 150, 1, 40}, .sequences = 4,
                                  .heads = 2, .head_size = 32, .value_size = 32}, turn);
  }
  tester_deinit(&t);
}

static void test_empty(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_tile_u8s8_kernels);
  const attention_case cases[] = {
      {.name = "no sequence", .sequences = 0, .heads = 2, .head_size = 32, .value_size = 32},
      {.name = "no query", .queries = {0, 3}, .keys = {5, 3}, .sequences = 2, .heads = 2, .head_size = 8, .value_size = 8},
      {.name = "no key: zeros", .queries = {4, 3}, .keys = {0, 3}, .sequences = 2, .heads = 2, .head_size = 8,
       .value_size = 8},
      {.name = "no token", .queries = {0}, .keys = {0}, .sequences = 1, .heads = 2, .head_size = 8, .value_size = 8},
      {.name = "no head", .queries = {4}, .keys = {4}, .sequences = 1, .heads = 0, .head_size = 8, .value_size = 8},
      {.name = "no feature: the mean", .queries = {4}, .keys = {5}, .sequences = 1, .heads = 2, .head_size = 0,
       .value_size = 8},
      {.name = "no value", .queries = {4}, .keys = {5}, .sequences = 1, .heads = 2, .head_size = 8, .value_size = 0},
      {.name = "causal, early queries see nothing", .queries = {70}, .keys = {7}, .sequences = 1, .heads = 2,
       .head_size = 8, .value_size = 8, .causal = true},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
    for (size_t turn = 0; turn < 4; ++turn)
      run_turn(&t, cases[i], turn);
  tester_deinit(&t);
}

/* All products at the ends of their types, and as many of them as s32 sums allow. */
static void test_saturating(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_tile_u8s8_kernels);
  static const uint8_t zeros[] = {0, 1, 128, 255};
  for (int fill = FILL_HIGHEST; fill <= FILL_CROSSED; ++fill)
    for (size_t zero = 0; zero < sizeof zeros; ++zero)
      run_case(&t, &(attention_case){.name = "saturating", .queries = {19, 67}, .keys = {19, 67}, .sequences = 2, .heads = 2,
                                     .head_size = 64, .value_size = 36, .fill = (enum fill)fill, .output = OUTPUT_BOTH,
                                     .layout = zero % 2 ? PITH_ACTIVATION_LAYOUT_TILE64 : PITH_ACTIVATION_LAYOUT_TILE64X4,
                                     .type = zero / 2 % 2 ? PITH_NUMBER_U8 : PITH_NUMBER_S8, .q_zero = zeros[zero]});
  for (int fill = FILL_HIGHEST; fill <= FILL_LOWEST; ++fill) {
    run_case(&t, &(attention_case){.name = "longest", .queries = {2}, .keys = {PITH_ATTENTION_U8S8_MAX_KEYS},
                                   .sequences = 1, .heads = 1, .head_size = 2, .value_size = 3, .fill = (enum fill)fill,
                                   .output = OUTPUT_FLOAT});
    run_case(&t, &(attention_case){.name = "largest head", .queries = {2}, .keys = {3}, .sequences = 1, .heads = 1,
                                   .head_size = 65536, .value_size = 3, .fill = (enum fill)fill, .output = OUTPUT_FLOAT,
                                   .q_scale = 1e-6f});
  }
  tester_deinit(&t);
}

/* Sharp and flat rows; scales of which no finite score or result comes. */
static void test_scales(void **state) {
  (void)state;
  tester t;
  tester_init(&t, pith_attention_tile_u8s8_kernels);
  static const float scales[] = {1e-45f, 1e-30f, 1e-7f, 1e-4f, 0.02f,     1.0f,      -1.0f / 300,
                                 1e30f,  3e38f,  -3e38f, INFINITY, -INFINITY, NAN};
  for (size_t i = 0; i < sizeof scales / sizeof *scales; ++i)
    for (size_t which = 0; which < 3; ++which) { /* q's, v's, the output's */
      const attention_case c = {.name = "scales", .queries = {29, 38}, .keys = {29, 38}, .sequences = 2, .heads = 2,
                                .head_size = 32, .value_size = 32, .output = OUTPUT_BOTH, .q_zero = 131, .causal = i % 2,
                                .layout = which % 2 ? PITH_ACTIVATION_LAYOUT_TILE64 : PITH_ACTIVATION_LAYOUT_TILE64X4,
                                .type = i / 2 % 2 ? PITH_NUMBER_U8 : PITH_NUMBER_S8,
                                .q_scale = which == 0 ? scales[i] : 0.0f};
      const attention_calls calls = make_calls(&t, &c);
      if (which > 0)
        *(float *)(uintptr_t)(which == 2 ? calls.tiles.y_q.scale : calls.tiles.v_scale) = scales[i];
      run_calls(&t, &calls);
    }
  tester_deinit(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sizes),      cmocka_unit_test(test_long),   cmocka_unit_test(test_empty),
      cmocka_unit_test(test_saturating), cmocka_unit_test(test_scales),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
