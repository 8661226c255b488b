/* Packing: copies where kernels would repack, used where the CPU is the target, the same bits with
 * and without. */
#include <stdlib.h>
#include <string.h>

#include "engine/exec/session_access.h"
#include "engine/lower/pack_model.h"
#include "ops/gemm/gemm_u8s8.h"
#include "tests/engine/exec_fixture.h"
#include "tests/engine/format_fixture.h"

enum { ROWS = 5 };
static const size_t keys[3] = {1, 2, 3}, lengths[3] = {20, 1, 33};
static const int32_t rows[ROWS] = {3, 20, 53, 0, 3};

/* A fill-mask model: tied decoder weights, and a matrix [k, n] that only a product reads. */
typedef struct packed_model {
  exec_fixture_model plain;
  pith_arena arena;
  struct pith_model packed;
  pith_packing packing;
} packed_model;

static void pack(packed_model *m, exec_fixture_head head, const char *targets) {
  pith_error error = {0};
  exec_fixture_open(&m->plain, head);
  m->plain.model.data.architecture = m->plain.model.data.config_json = "";
  pith_arena_init(&m->arena, NULL);
  m->packed = m->plain.model;
  if (pith_pack_model(&m->plain.model.data, targets, &m->arena, &m->packed.data, &m->packing,
                      &error) != PITH_OK)
    fail_msg("%s", error.message);
  if (pith_graph_verify(m->packed.data.graph, &error) != PITH_OK)
    fail_msg("%s", error.message);
}

static void unpack(packed_model *m) {
  pith_graph_destroy(m->packed.data.graph);
  pith_arena_deinit(&m->arena);
  exec_fixture_close(&m->plain);
}

static const pith_tensor *tensor_of(const pith_model *model, const char *name) {
  pith_tensor_id id = pith_graph_find_tensor(model->data.graph, name);
  assert_int_not_equal(id, PITH_NONE);
  return &model->data.graph->tensors[id];
}

static pith_session *open_session(const pith_model *model, uint64_t cpu_features_mask) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  pith_error error = {0};
  pith_session *session;
  options.max_tokens = 100;
  options.max_sequences = 3;
  options.max_rows = ROWS;
  options.cpu_features_mask = cpu_features_mask;
  if (pith_session_create(model, &options, &session, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return session;
}

static void run(pith_session *session, float *out_logits) {
  static exec_fixture_batch batch;
  pith_result result = {.struct_size = sizeof result};
  pith_error error = {0};
  exec_fixture_make_batch(&batch, 3, keys, lengths);
  batch.batch.rows = rows;
  batch.batch.row_count = ROWS;
  if (pith_session_run(session, &batch.batch, &result, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(result.outputs[0].rows, ROWS);
  assert_int_equal(result.outputs[0].columns, EXEC_VOCABULARY);
  memcpy(out_logits, result.outputs[0].data, sizeof(float[ROWS][EXEC_VOCABULARY]));
}

/* How many products read a copy of some tensor in place. */
static uint32_t count_used(pith_session *session) {
  const pith_program *program = pith_session_get_program(session);
  uint32_t used = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    for (uint32_t j = 0; j < program->steps[i].input_count; j++)
      for (uint32_t t = 0; t < program->graph->tensor_count; t++)
        for (uint32_t c = 0; c < program->graph->tensors[t].copy_count; c++)
          used += program->steps[i].inputs[j] != PITH_NONE &&
                  program->values[program->steps[i].inputs[j]].data ==
                      program->graph->tensors[t].copies[c].data;
  return used;
}

static void test_what_is_packed(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "avx2,any,avx2");
  assert_int_equal(m.packing.weights, 2);
  assert_string_equal(m.packing.targets, "avx2, any");
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < m.packed.data.graph->tensor_count; i++)
    for (uint32_t c = 0; c < m.packed.data.graph->tensors[i].copy_count; c++)
      bytes += m.packed.data.graph->tensors[i].copies[c].data_bytes;
  assert_int_equal(bytes, m.packing.bytes);

  const pith_tensor *words = tensor_of(&m.packed, "embeddings.words"),
                    *mix = tensor_of(&m.packed, "mix.weight");
  assert_int_equal(words->copy_count, 1);
  assert_int_equal(words->layout, PITH_LAYOUT_ROW_MAJOR);
  assert_ptr_equal(words->data, tensor_of(&m.plain.model, "embeddings.words")->data);
  assert_false(words->copies[0].transposed);
  assert_int_equal(words->copies[0].layout, PITH_LAYOUT_N64_F32);
  assert_int_equal(words->copies[0].target_count, 2);
  assert_string_equal(words->copies[0].targets[0], "avx2");
  assert_string_equal(words->copies[0].targets[1], "any");
  static float back[EXEC_VOCABULARY * EXEC_HIDDEN];
  pith_gemm_f32_unpack(EXEC_VOCABULARY, EXEC_HIDDEN, words->copies[0].data, back);
  assert_memory_equal(back, words->data, sizeof back);

  assert_int_equal(mix->copy_count, 1);
  assert_true(mix->copies[0].transposed);
  pith_gemm_f32_unpack(EXEC_HIDDEN, EXEC_HIDDEN, mix->copies[0].data, back);
  for (size_t n = 0; n < EXEC_HIDDEN; n++)
    for (size_t k = 0; k < EXEC_HIDDEN; k++)
      assert_true(back[n * EXEC_HIDDEN + k] == ((const float *)mix->data)[k * EXEC_HIDDEN + n]);

  assert_int_equal(m.packed.data.history_count, 1);
  assert_string_equal(m.packed.data.history[0].step, "pack");
  assert_string_equal(m.packed.data.history[0].json, "{\"targets\":[\"avx2\",\"any\"]}");
  unpack(&m);
}

static void test_same_bits(void **state) {
  (void)state;
  static const char *const targets[] = {"any", "avx2", NULL};
  static float want[ROWS][EXEC_VOCABULARY], got[ROWS][EXEC_VOCABULARY];
  for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
    packed_model m;
    pack(&m, EXEC_FILL_MASK, targets[i]);
    for (int masked = 0; masked < 2; masked++) {
      const uint64_t mask = masked ? UINT64_MAX : 0, cpu = pith_cpu_detect() & ~mask;
      pith_session *plain = open_session(&m.plain.model, mask),
                   *packed = open_session(&m.packed, mask);
      run(plain, &want[0][0]);
      run(packed, &got[0][0]);
      assert_memory_equal(want, got, sizeof want);
      assert_int_equal(count_used(plain), 0);
      assert_int_equal(pith_session_get_program(plain)->pack_count, 1);
      bool serves = i == 0 || (i == 1 ? (cpu & PITH_CPU_AVX2) != 0 : cpu == pith_cpu_detect());
      assert_int_equal(count_used(packed), serves ? 2 : 0);
      assert_int_equal(pith_session_get_program(packed)->pack_count, serves ? 0 : 1);
      pith_session_destroy(plain);
      pith_session_destroy(packed);
    }
    unpack(&m);
  }
}

/* Of a square matrix both have the same bytes: only the one that lies as the product reads it
 * serves. */
static void test_other_way_round(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "any");
  pith_tensor_copy copy = tensor_of(&m.packed, "mix.weight")->copies[0];
  copy.transposed = false;
  m.packed.data.graph->tensors[pith_graph_find_tensor(m.packed.data.graph, "mix.weight")].copies =
      &copy;
  pith_session *session = open_session(&m.packed, 0);
  assert_int_equal(count_used(session), 1);
  pith_session_destroy(session);
  unpack(&m);
}

/* Copies of a CPU that this is not, or of one without a name here, are passed over. */
static void test_other_targets(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "any");
  static const char *const later[] = {"avx10.9"};
  for (uint32_t i = 0; i < m.packed.data.graph->tensor_count; i++)
    if (m.packed.data.graph->tensors[i].copy_count != 0)
      ((pith_tensor_copy *)(uintptr_t)m.packed.data.graph->tensors[i].copies)->targets = later;
  pith_session *session = open_session(&m.packed, 0);
  assert_int_equal(count_used(session), 0);
  pith_session_destroy(session);
  unpack(&m);
}

static void test_from_the_file(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "any");
  format_folder folder;
  format_folder_create(&folder);
  pith_error error = {0};
  if (pith_format_write(folder.file, &m.packed.data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  format_bytes file = format_read_file(folder.file);
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_OK);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  struct pith_model read = m.plain.model;
  if (pith_format_read(file.bytes, file.size, NULL, &arena, &read.data, &error) != PITH_OK)
    fail_msg("%s", error.message);
  static float want[ROWS][EXEC_VOCABULARY], got[ROWS][EXEC_VOCABULARY];
  pith_session *plain = open_session(&m.plain.model, 0), *packed = open_session(&read, 0);
  assert_int_equal(count_used(packed), 2);
  run(plain, &want[0][0]);
  run(packed, &got[0][0]);
  assert_memory_equal(want, got, sizeof want);
  pith_session_destroy(plain);
  pith_session_destroy(packed);

  /* Packing what is packed replaces the copies. */
  pith_model_data again;
  pith_packing packing;
  assert_int_equal(pith_pack_model(&read.data, "avx512", &arena, &again, &packing, &error),
                   PITH_OK);
  assert_int_equal(packing.weights, 2);
  pith_tensor_id words = pith_graph_find_tensor(again.graph, "embeddings.words");
  assert_int_equal(again.graph->tensors[words].copy_count, 1);
  assert_string_equal(again.graph->tensors[words].copies[0].targets[0], "avx512");
  pith_graph_destroy(again.graph);
  pith_graph_destroy(read.data.graph);
  pith_arena_deinit(&arena);
  free(file.bytes);
  format_folder_remove(&folder);
  unpack(&m);
}

/* s8 weights in rows, one of them a table too: with their copies a session packs nothing and gives the same bits. */
static void test_integer_weights(void **state) {
  (void)state;
  for (int head = EXEC_STATIC; head <= EXEC_DYNAMIC; head++) {
    packed_model m;
    pack(&m, (exec_fixture_head)head, "any");
    assert_int_equal(m.packing.weights, 8); /* a layer's six, the words, and the classifier, in floats */
    const pith_tensor *words = tensor_of(&m.packed, "embeddings.words");
    assert_int_equal(words->copy_count, 1);
    assert_int_equal(words->layout, PITH_LAYOUT_ROW_MAJOR);
    assert_int_equal(words->copies[0].layout, PITH_LAYOUT_N16K4_S8);
    static int8_t back[EXEC_VOCABULARY * EXEC_HIDDEN];
    pith_gemm_u8s8_unpack(EXEC_VOCABULARY, EXEC_HIDDEN, words->copies[0].data, back);
    assert_memory_equal(back, words->data, sizeof back);
    static exec_fixture_batch batch;
    static float want[3 * EXEC_VOCABULARY];
    exec_fixture_make_batch(&batch, 3, keys, lengths);
    for (int packed = 0; packed < 2; packed++) {
      pith_session *session = open_session(packed ? &m.packed : &m.plain.model, 0);
      const pith_program *program = pith_session_get_program(session);
      assert_int_equal(program->pack_count, packed ? 0 : 8);
      assert_int_equal(count_used(session), packed ? 8 : 0);
      pith_result result = {.struct_size = sizeof result};
      pith_error error = {0};
      if (pith_session_run(session, &batch.batch, &result, &error) != PITH_OK)
        fail_msg("%s", error.message);
      assert_int_equal(result.outputs[2].rows * result.outputs[2].columns, 3 * EXEC_VOCABULARY);
      if (packed)
        assert_memory_equal(result.outputs[2].data, want, sizeof want);
      else
        memcpy(want, result.outputs[2].data, sizeof want);
      pith_session_destroy(session);
    }
    unpack(&m);
  }
}

static void test_nothing_to_pack(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_CLASSIFY, NULL);
  assert_int_equal(m.packing.weights, 0);
  assert_string_equal(m.packing.targets, "");
  assert_int_equal(m.packed.data.history_count, 0);
  format_model plain = {.data = m.plain.model.data}, packed = {.data = m.packed.data};
  format_bytes a = format_write_bytes(&plain), b = format_write_bytes(&packed);
  assert_int_equal(a.size, b.size);
  assert_memory_equal(a.bytes, b.bytes, a.size);
  free(a.bytes);
  free(b.bytes);
  unpack(&m);
}

static void test_unknown_target(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_CLASSIFY, "any");
  static const char *const lists[] = {"avx9", "", "avx2,", ",avx2", "avx2 ", "AVX2", "avx"};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    pith_model_data data;
    pith_packing packing;
    pith_error error = {0};
    assert_int_equal(
        pith_pack_model(&m.plain.model.data, lists[i], &m.arena, &data, &packing, &error),
        PITH_INVALID_ARGUMENT);
    assert_non_null(strstr(error.message, "the known ones are avx2, avx512, avx512vnni, avxvnni"));
    assert_non_null(strstr(error.message, ", any"));
  }
  unpack(&m);
}

/* Whoever takes a graph apart, or gives a tensor other data, has no stale copies. */
static void test_changes_drop_copies(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "any");
  pith_graph *graph = m.packed.data.graph, *clone;
  pith_error error = {0};
  assert_int_equal(pith_graph_clone(graph, NULL, &clone, &error), PITH_OK);
  for (uint32_t i = 0; i < clone->tensor_count; i++)
    assert_int_equal(clone->tensors[i].copy_count, 0);
  pith_graph_destroy(clone);
  pith_tensor_id words = pith_graph_find_tensor(graph, "embeddings.words");
  assert_int_equal(graph->tensors[words].copy_count, 1);
  pith_graph_set_data(graph, words, graph->tensors[words].data, graph->tensors[words].data_bytes);
  assert_int_equal(graph->tensors[words].copy_count, 0);
  unpack(&m);
}

static void test_verified(void **state) {
  (void)state;
  packed_model m;
  pack(&m, EXEC_FILL_MASK, "any");
  pith_graph *graph = m.packed.data.graph;
  pith_tensor *words = &graph->tensors[pith_graph_find_tensor(graph, "embeddings.words")];
  const pith_tensor_copy good = words->copies[0];
  pith_tensor_copy many[PITH_MAX_COPIES + 1], bad[6] = {good, good, good, good, good, good};
  static const char *const says[] = {"0 targets", "layout 77", "has 64 bytes",
                                     "no data",   "no data",   "takes"};
  bad[0].target_count = 0;
  bad[1].layout = (pith_layout)77;
  bad[2].data_bytes = 64;
  bad[3].data = NULL;
  bad[4].data = (const char *)good.data + 16;
  bad[5].transposed = true; /* 211 outputs have padding, 96 have none */
  pith_error error = {0};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    words->copies = &bad[i];
    assert_int_equal(pith_graph_verify(graph, &error), PITH_FORMAT);
    if (strstr(error.message, says[i]) == NULL ||
        strstr(error.message, "a copy of 'embeddings.words'") == NULL)
      fail_msg("\"%s\" lacks \"%s\"", error.message, says[i]);
  }
  for (size_t i = 0; i < PITH_MAX_COPIES + 1; i++)
    many[i] = good;
  words->copies = many;
  words->copy_count = PITH_MAX_COPIES + 1;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_LIMIT);
  words->copy_count = 1;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_OK);
  pith_tensor *bias = &graph->tensors[pith_graph_find_tensor(graph, "decoder.bias")];
  pith_tensor *ids = &graph->tensors[pith_graph_find_tensor(graph, "input_ids")];
  bad[5] = good;
  bad[5].layout = PITH_LAYOUT_ROW_MAJOR;
  bad[5].transposed = true;
  bias->copies = ids->copies = &bad[5];
  bias->copy_count = 1;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "is transposed, its rank is 1"));
  bias->copy_count = 0;
  ids->copy_count = 1;
  assert_int_equal(pith_graph_verify(graph, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "input"));
  ids->copy_count = 0;
  unpack(&m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_what_is_packed), cmocka_unit_test(test_same_bits),
      cmocka_unit_test(test_other_targets),  cmocka_unit_test(test_other_way_round),
      cmocka_unit_test(test_from_the_file),  cmocka_unit_test(test_nothing_to_pack),
      cmocka_unit_test(test_integer_weights),
      cmocka_unit_test(test_unknown_target), cmocka_unit_test(test_changes_drop_copies),
      cmocka_unit_test(test_verified),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
