/* Stored layouts: what the cost model and the measurement choose, that answers stay as they are, and what the file tells. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "engine/format/format.h"
#include "engine/format/stored_layout.h"
#include "compiler/rewrite/choose.h"
#include "sparse/tune.h"
#include "tests/engine/sparse_fixture.h"

enum { SEQUENCES = 3 };
static const size_t keys[SEQUENCES] = {1, 2, 3}, lengths[SEQUENCES] = {7, 70, 20};

static void run_model(const pith_model_data *data, float *out, size_t count) {
  static exec_fixture_batch batch;
  struct pith_model model = {.allocator = pith_default_allocator, .data = *data};
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 100;
  options.max_sequences = SEQUENCES;
  pith_session *session;
  pith_error error = {PITH_OK, ""};
  if (pith_session_create(&model, &options, &session, &error) != PITH_OK)
    fail_msg("%s", error.message);
  exec_fixture_make_batch(&batch, SEQUENCES, keys, lengths);
  pith_result result = {.struct_size = sizeof result};
  assert_int_equal(pith_session_run(session, &batch.batch, &result, &error), PITH_OK);
  assert_int_equal(result.outputs[0].rows * result.outputs[0].columns, count);
  memcpy(out, result.outputs[0].data, count * sizeof *out);
  pith_session_destroy(session);
}

static uint32_t count_sparse(const pith_graph *graph) {
  uint32_t count = 0;
  for (uint32_t t = 0; t < graph->tensor_count; t++)
    count += pith_layout_get_sparse_form(graph->tensors[t].layout) != PITH_SPARSE_FORM_COUNT;
  return count;
}

/* All layers' weights with so many of every 100 blocks, dense in *out_dense. */
static void open_pruned(exec_fixture_model *fixture, exec_fixture_head head, const sparse_fixture_mask *mask,
                        pith_graph **out_dense) {
  exec_fixture_open(fixture, head);
  sparse_fixture_prune(fixture->model.data.graph, sparse_fixture_4x1, mask, &fixture->weights, out_dense);
}

/* ---- the cost model ---------------------------------------------------------------------------------------------- */

static void test_products_weights_are_found(void **state) {
  (void)state;
  static const exec_fixture_head heads[] = {EXEC_STATIC, EXEC_FILL_MASK};
  for (size_t h = 0; h < 2; h++) {
    exec_fixture_model fixture;
    exec_fixture_open(&fixture, heads[h]);
    const pith_graph *graph = fixture.model.data.graph;
    static const char *const products[] = {"layer.0.query.weight", "layer.1.outer.weight"};
    static const char *const others[] = {"embeddings.words", "layer.0.query.bias", "embeddings.norm.weight", "input_ids"};
    for (size_t i = 0; i < 2; i++)
      assert_true(pith_sparse_get_product_input(graph, pith_graph_find_tensor(graph, products[i])) != PITH_NONE);
    for (size_t i = 0; i < 4; i++) { /* the words are the decoder's weights too */
      const pith_tensor_id id = pith_graph_find_tensor(graph, others[i]);
      assert_true(id != PITH_NONE);
      assert_true(pith_sparse_get_product_input(graph, id) == PITH_NONE);
    }
    assert_int_equal(pith_sparse_get_product_input(graph, pith_graph_find_tensor(graph, "layer.0.query.weight")),
                     pith_sparse_get_product_input(graph, pith_graph_find_tensor(graph, "layer.0.value.weight")));
    exec_fixture_close(&fixture);
  }
}

static void test_few_blocks_are_stored_sparse_and_many_dense(void **state) {
  (void)state;
  static const exec_fixture_head heads[] = {EXEC_STATIC, EXEC_DYNAMIC, EXEC_CLASSIFY};
  static const struct {
    sparse_fixture_mask mask;
    pith_layout s8, f32;
  } cases[] = {{{4, 1, 10}, PITH_LAYOUT_B4X1_S8, PITH_LAYOUT_B4X1_F32},
               {{4, 4, 10}, PITH_LAYOUT_B4X4_S8, PITH_LAYOUT_B4X1_F32},
               {{4, 1, 0}, PITH_LAYOUT_ROW_MAJOR, PITH_LAYOUT_B4X1_F32}, /* either form */
               {{1, 1, 80}, PITH_LAYOUT_N16K4_S8, PITH_LAYOUT_N64_F32},
               {{4, 1, 100}, PITH_LAYOUT_N16K4_S8, PITH_LAYOUT_N64_F32}};
  for (size_t h = 0; h < 3; h++)
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
      exec_fixture_model fixture;
      pith_graph *dense;
      open_pruned(&fixture, heads[h], &cases[c].mask, &dense);
      pith_arena arena;
      pith_arena_init(&arena, NULL);
      pith_error error = {PITH_OK, ""};
      pith_sparse_choices choices;
      /* From dense and from sparse to the same bytes. */
      assert_int_equal(pith_sparse_choose_layouts(dense, &arena, NULL, &error), PITH_OK);
      assert_int_equal(pith_sparse_choose_layouts(fixture.model.data.graph, &arena, &choices, &error), PITH_OK);
      uint64_t bytes = 0;
      for (uint32_t t = 0; t < dense->tensor_count; t++) {
        const pith_tensor *a = &dense->tensors[t], *b = &fixture.model.data.graph->tensors[t];
        assert_int_equal(a->layout, b->layout);
        assert_int_equal(a->data_bytes, b->data_bytes);
        if (a->data_bytes != 0)
          assert_memory_equal(a->data, b->data, a->data_bytes);
        if (pith_sparse_get_product_input(dense, t) != PITH_NONE)
          bytes += a->data_bytes;
        if (strncmp(a->name, "layer.", 6) != 0 || a->rank != 2 || a->data == NULL)
          continue;
        const pith_layout want = a->dtype == PITH_DTYPE_S8 ? cases[c].s8 : cases[c].f32;
        if (want == PITH_LAYOUT_ROW_MAJOR)
          assert_true(pith_layout_get_sparse_form(a->layout) != PITH_SPARSE_FORM_COUNT);
        else if (a->layout != want)
          fail_msg("case %zu: %s is %s, not %s", c, a->name, pith_layout_get_name(a->layout), pith_layout_get_name(want));
      }
      assert_int_equal(choices.sparse, c < 3 ? 12 : 0);
      assert_true(choices.weights >= 12);
      assert_int_equal(choices.bytes, bytes);
      assert_true(c < 3 ? choices.bytes < choices.dense_bytes / 2 : choices.bytes == choices.dense_bytes);
      pith_arena_deinit(&arena);
      pith_graph_destroy(dense);
      exec_fixture_close(&fixture);
    }
}

static void test_prediction_falls_with_blocks(void **state) {
  (void)state;
  static float w[256 * 256];
  double last = 0;
  for (size_t kept = 0; kept <= 256; kept += 64) { /* inputs of every output */
    for (size_t i = 0; i < 256 * 256; i++)
      w[i] = i % 256 < kept ? 1 : 0;
    const double ratio = pith_sparse_predict(PITH_LAYOUT_B4X1_F32, 256, 256, w);
    assert_true(ratio > last);
    last = ratio;
    assert_true(pith_sparse_predict(PITH_LAYOUT_N64_F32, 256, 256, w) == 1);
  }
  assert_true(last > 1); /* with all of them, blocks only cost */
}

/* ---- measuring --------------------------------------------------------------------------------------------------------- */

typedef struct seen_runs {
  size_t calls, done, total;
} seen_runs;
static void see_run(void *context, size_t done, size_t total) {
  seen_runs *seen = context;
  assert_true(done == seen->done + 1 && done <= total);
  *seen = (seen_runs){seen->calls + 1, done, total};
}

static void check_history(const pith_model_data *data, const pith_tuning *tuning) {
  assert_int_equal(data->history_count, 1);
  assert_string_equal(data->history[0].step, "tune");
  cJSON *json = cJSON_Parse(data->history[0].json);
  assert_non_null(json);
  assert_int_equal(cJSON_GetObjectItem(json, "batch")->valueint, 2);
  assert_int_equal(cJSON_GetObjectItem(json, "seq")->valueint, 33);
  assert_string_equal(cJSON_GetObjectItem(json, "chosen")->valuestring, pith_tune_way_get_name(tuning->way));
  assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "layers")), 8);
  const cJSON *layer = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "layers"), 0);
  assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(layer, "ms"), "dense")->valuedouble > 0);
  assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(layer, "ms"), "4x1")->valuedouble > 0);
  assert_true(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "model_ms"), "dense")->valuedouble > 0);
  cJSON_Delete(json);
}

static void test_tuning_keeps_answers_and_says_what_it_did(void **state) {
  (void)state;
  static const exec_fixture_head heads[] = {EXEC_STATIC, EXEC_DYNAMIC, EXEC_VECTORS};
  const sparse_fixture_mask mask = {4, 4, 10};
  for (size_t h = 0; h < 3; h++)
    for (int from_sparse = 0; from_sparse < 2; from_sparse++) {
      exec_fixture_model fixture;
      pith_graph *dense;
      open_pruned(&fixture, heads[h], &mask, &dense);
      pith_model_data data = fixture.model.data, tuned;
      data.graph = from_sparse ? fixture.model.data.graph : dense;
      seen_runs seen = {0};
      const pith_tune_options options = {.batch = 2, .sequence = 33, .rounds = 3, .id_count = EXEC_VOCABULARY,
                                         .report = see_run, .context = &seen};
      pith_tuning tuning;
      pith_arena arena;
      pith_arena_init(&arena, NULL);
      pith_error error = {PITH_OK, ""};
      assert_int_equal(pith_sparse_tune(&data, &options, &arena, &tuned, &tuning, &error), PITH_OK);
      assert_true(seen.calls > 0);
      assert_int_equal(tuning.layer_count, 8); /* query, key and value are one */
      assert_int_equal(tuning.layers[0].weights, 3);
      for (uint32_t i = 0; i < tuning.layer_count; i++) {
        const pith_tune_layer *layer = &tuning.layers[i];
        assert_true(layer->occupancy[PITH_TUNE_4X1] < 0.2 && layer->occupancy[PITH_TUNE_4X4] < 0.2);
        for (int way = 0; way < PITH_TUNE_MIXED; way++) /* f32 has no 4x4 of its own */
          assert_true(layer->seconds[way] > 0 || (h == 2 && way == PITH_TUNE_4X4));
        for (int way = 0; way < PITH_TUNE_MIXED; way++) /* none is left that would clearly gain */
          assert_true(layer->seconds[way] == 0 || 0.95 * layer->seconds[layer->way] <= layer->seconds[way]);
      }
      for (int way = 0; way < PITH_TUNE_WAY_COUNT; way++)
        assert_true(tuning.seconds[way] == 0 || tuning.seconds[tuning.way] <= tuning.seconds[way]);
      assert_true(tuning.way == PITH_TUNE_MIXED || count_sparse(tuned.graph) == (tuning.way == PITH_TUNE_DENSE ? 0 : 12));
      check_history(&tuned, &tuning);
      assert_int_equal(pith_graph_verify(tuned.graph, &error), PITH_OK);
      static float before[97 * EXEC_HIDDEN], after[97 * EXEC_HIDDEN];
      const size_t count = 97 * EXEC_HIDDEN; /* last_hidden_state */
      run_model(&data, before, count);
      run_model(&tuned, after, count);
      assert_memory_equal(before, after, count * sizeof *before);
      pith_graph_destroy(tuned.graph);
      pith_arena_deinit(&arena);
      pith_graph_destroy(dense);
      exec_fixture_close(&fixture);
    }
}

static void test_what_cannot_be_tuned(void **state) {
  (void)state;
  exec_fixture_model fixture;
  exec_fixture_open(&fixture, EXEC_STATIC); /* no zeros that leave out blocks */
  const pith_model_data *data = &fixture.model.data;
  pith_model_data tuned;
  pith_tuning tuning;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_error error = {PITH_OK, ""};
  pith_tune_options options = {.batch = 2, .sequence = 33, .id_count = EXEC_VOCABULARY};
  assert_int_equal(pith_sparse_tune(data, &options, &arena, &tuned, &tuning, &error), PITH_OK);
  assert_int_equal(tuning.layer_count, 0);
  assert_int_equal(tuned.history_count, 0);
  for (uint32_t t = 0; t < tuned.graph->tensor_count; t++)
    assert_ptr_equal(tuned.graph->tensors[t].data, data->graph->tensors[t].data);
  pith_graph_destroy(tuned.graph);
  static const struct {
    size_t batch, sequence;
    int64_t id_count;
    const char *part;
  } wrong[] = {{0, 8, 9, "0 sequences of 8 tokens"},
               {1, 0, 9, "1 sequences of 0 tokens"},
               {1 << 20, 1 << 20, 9, "cannot be run"},
               {1, EXEC_MAX_LENGTH + 1, 9, "longer than the model's 70"},
               {1, 8, 0, "no token ids"}};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    options = (pith_tune_options){.batch = wrong[i].batch, .sequence = wrong[i].sequence, .id_count = wrong[i].id_count};
    assert_int_equal(pith_sparse_tune(data, &options, &arena, &tuned, &tuning, &error), PITH_INVALID_ARGUMENT);
    if (strstr(error.message, wrong[i].part) == NULL)
      fail_msg("'%s' without '%s'", error.message, wrong[i].part);
  }
  pith_arena_deinit(&arena);
  exec_fixture_close(&fixture);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_products_weights_are_found),
      cmocka_unit_test(test_few_blocks_are_stored_sparse_and_many_dense),
      cmocka_unit_test(test_prediction_falls_with_blocks),
      cmocka_unit_test(test_tuning_keeps_answers_and_says_what_it_did),
      cmocka_unit_test(test_what_cannot_be_tuned),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
