/* Weights stored in blocks of zeros: which products run sparse, how activations get their layouts and where Reorders stand, that
 * the bits are those of the same weights stored dense, and that bytes nobody can trust are refused. */
#include <pthreadpool.h>
#include <stdio.h>
#include <string.h>

#include "engine/lower/lower_internal.h"
#include "tests/engine/integer_fixture.h"
#include "tests/engine/sparse_fixture.h"

enum { MAX_TOKENS = 200 };
static int32_t ids[MAX_TOKENS], type_ids[MAX_TOKENS], rows[3];

/* A model of exec_fixture.h and the same one with dense weights. */
typedef struct pair {
  exec_fixture_model model;
  pith_graph *sparse, *dense;
} pair;

static void open_pair(pair *p, exec_fixture_head head, sparse_fixture_choice choice, const sparse_fixture_mask *mask) {
  exec_fixture_open(&p->model, head);
  p->sparse = p->model.model.data.graph;
  sparse_fixture_prune(p->sparse, choice, mask, &p->model.weights, &p->dense);
}

static void close_pair(pair *p) {
  pith_graph_destroy(p->dense);
  exec_fixture_close(&p->model);
}

typedef struct inputs {
  int32_t offsets[8];
  pith_feed feeds[4];
} inputs;

/* Sequences of up to 70 tokens; offsets are no multiple of anything. */
static void make_inputs(inputs *in, const pith_graph *graph, size_t tokens) {
  size_t sequences = 0;
  in->offsets[0] = 0;
  for (size_t at = 0; at < tokens; sequences++) {
    const size_t length = tokens - at < 70 ? tokens - at : sequences == 0 ? 61 : 70;
    at += length;
    in->offsets[sequences + 1] = (int32_t)at;
  }
  for (uint32_t i = 0; i < graph->input_count; i++) {
    const char *name = graph->tensors[graph->inputs[i]].name;
    in->feeds[i] = strcmp(name, "offsets") == 0     ? (pith_feed){in->offsets, {sequences + 1}}
                   : strcmp(name, "input_ids") == 0 ? (pith_feed){ids, {tokens}}
                   : strcmp(name, "rows") == 0      ? (pith_feed){rows, {3}}
                                                    : (pith_feed){type_ids, {tokens}};
  }
}

static pith_status try_run(pith_graph_run *out, const pith_graph *graph, const inputs *in, uint32_t rewrites,
                           pith_cpu_set cpu, struct pthreadpool *pool, pith_error *error) {
  const pith_run_options options = {.cpu = cpu, .rewrites = rewrites, .threadpool = pool};
  return pith_graph_run_init(out, graph, &options, in->feeds, error);
}

static void run(pith_graph_run *out, const pith_graph *graph, const inputs *in, uint32_t rewrites, pith_cpu_set cpu,
                struct pthreadpool *pool) {
  pith_error error = {PITH_OK, ""};
  if (try_run(out, graph, in, rewrites, cpu, pool, &error) != PITH_OK)
    fail_msg("rewrites %#x: %s", rewrites, error.message);
}

static uint32_t count_kind(const pith_program *program, pith_step_kind kind) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += program->steps[i].row->kind == kind;
  return count;
}

static void print_steps(const pith_program *program) {
  for (uint32_t i = 0; i < program->step_count; i++)
    print_message("%s (%s)\n", program->steps[i].title, program->steps[i].name);
}

static void assert_kind(const pith_program *program, pith_step_kind kind, uint32_t wanted) {
  if (count_kind(program, kind) == wanted)
    return;
  print_steps(program);
  fail_msg("%u steps are %s, not %u", count_kind(program, kind), pith_step_row_get(kind)->name, wanted);
}

static int make_ids(void **state) {
  (void)state;
  uint64_t random = 3;
  for (size_t i = 0; i < MAX_TOKENS; i++) {
    ids[i] = (int32_t)(exec_fixture_random(&random) % EXEC_VOCABULARY);
    type_ids[i] = (int32_t)(exec_fixture_random(&random) % 2);
  }
  return 0;
}

/* ---- bits ------------------------------------------------------------------------------------------------------- */

static const exec_fixture_head heads[] = {EXEC_STATIC, EXEC_DYNAMIC, EXEC_CLASSIFY, EXEC_VECTORS, EXEC_FILL_MASK};
enum { HEADS = sizeof heads / sizeof *heads };
static const sparse_fixture_choice choices[] = {sparse_fixture_4x1, sparse_fixture_4x4, sparse_fixture_mixed};
enum { CHOICES = sizeof choices / sizeof *choices };

static void assert_same_bits(const pair *p, size_t tokens, uint32_t rewrites, pith_cpu_set cpu,
                             struct pthreadpool *pool, const char *what) {
  inputs in;
  pith_graph_run dense, sparse;
  make_inputs(&in, p->dense, tokens);
  for (int i = 0; i < 3; i++)
    rows[i] = (int32_t)(tokens - 1) * i / 2;
  run(&dense, p->dense, &in, rewrites, pith_cpu_detect(), NULL);
  assert_int_equal(count_kind(dense.program, PITH_STEP_REORDER), 0);
  run(&sparse, p->sparse, &in, rewrites, cpu, pool);
  exec_fixture_assert_same(&dense, &sparse, what);
  pith_graph_run_deinit(&dense);
  pith_graph_run_deinit(&sparse);
}

static void test_bits_are_those_of_dense_weights(void **state) {
  (void)state;
  static const size_t tokens[] = {1, 16, 41, 64, 65, 190};
  static const sparse_fixture_mask masks[] = {{4, 1, 20}, {4, 4, 30}, {4, 4, 0}, {1, 1, 100}};
  pthreadpool_t pool = pthreadpool_create(2);
  for (size_t h = 0; h < HEADS; h++)
    for (size_t c = 0; c < CHOICES; c++)
      for (size_t m = 0; m < sizeof masks / sizeof *masks; m++) {
        pair p;
        open_pair(&p, heads[h], choices[c], &masks[m]);
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
          char what[80];
          snprintf(what, sizeof what, "model %zu, choice %zu, mask %zu, %zu tokens", h, c, m, tokens[t]);
          assert_same_bits(&p, tokens[t], PITH_REWRITES_DEFAULT, pith_cpu_detect(), t % 2 == 0 ? pool : NULL, what);
        }
        close_pair(&p);
      }
  pthreadpool_destroy(pool);
}

static void test_every_subset_of_features_gives_the_same_bits(void **state) {
  (void)state;
  const sparse_fixture_mask mask = {4, 1, 30};
  const pith_cpu_set detected = pith_cpu_detect();
  pthreadpool_t pool = pthreadpool_create(2);
  for (size_t h = 0; h < HEADS; h++) {
    pair p;
    open_pair(&p, heads[h], sparse_fixture_mixed, &mask);
    pith_cpu_set last = ~(pith_cpu_set)0;
    for (unsigned bit = 0; bit < 2 * PITH_CPU_FEATURE_COUNT; bit++) {
      const unsigned feature = bit % PITH_CPU_FEATURE_COUNT; /* each alone taken away, and each prefix */
      const pith_cpu_set cpu = bit < PITH_CPU_FEATURE_COUNT ? detected & ~((pith_cpu_set)1 << feature)
                                                            : detected & (((pith_cpu_set)2 << feature) - 1);
      if (cpu == last)
        continue;
      last = cpu;
      char what[80];
      snprintf(what, sizeof what, "model %zu, features %#llx", h, (unsigned long long)cpu);
      assert_same_bits(&p, 77, PITH_REWRITES_DEFAULT, cpu, bit % 2 == 0 ? NULL : pool, what);
    }
    assert_same_bits(&p, 77, PITH_REWRITES_DEFAULT, 0, NULL, "plain C");
    close_pair(&p);
  }
  pthreadpool_destroy(pool);
}

/* Also where quantized weights are read as floats, because a rewrite is off: they are unpacked then. */
static void test_every_rewrite_keeps_the_bits(void **state) {
  (void)state;
  const sparse_fixture_mask mask = {4, 4, 40};
  for (size_t h = 0; h < HEADS; h++) {
    pair p;
    open_pair(&p, heads[h], sparse_fixture_mixed, &mask);
    for (int i = -2; i < PITH_REWRITE_COUNT; i++) {
      const uint32_t rewrites = i == -2   ? 0
                                : i == -1 ? PITH_REWRITES_ALL
                                          : PITH_REWRITES_DEFAULT & ~((uint32_t)1 << i);
      char what[60];
      snprintf(what, sizeof what, "model %zu, rewrites %#x", h, rewrites);
      assert_same_bits(&p, 41, rewrites, pith_cpu_detect(), NULL, what);
    }
    close_pair(&p);
  }
}

/* ---- layouts -------------------------------------------------------------------------------------------------------- */

static pith_graph_run open_run(pair *p, exec_fixture_head head, sparse_fixture_choice choice) {
  const sparse_fixture_mask mask = {4, 4, 30};
  inputs in;
  pith_graph_run run_of;
  open_pair(p, head, choice, &mask);
  make_inputs(&in, p->sparse, 41);
  run(&run_of, p->sparse, &in, PITH_REWRITES_DEFAULT, pith_cpu_detect(), NULL);
  return run_of;
}

/* The step that writes what a Reorder reads. */
static const pith_step *get_source(const pith_program *program, const pith_step *reorder) {
  return &program->steps[program->values[reorder->inputs[0]].producer];
}

static void test_a_pruned_encoder_keeps_its_tiles(void **state) {
  (void)state;
  for (size_t c = 0; c < 2; c++) {
    pair p;
    pith_graph_run r = open_run(&p, EXEC_STATIC, choices[c]);
    assert_kind(r.program, PITH_STEP_SPARSE_INTEGER_GEMM, 8); /* query, key and value are one */
    assert_kind(r.program, PITH_STEP_INTEGER_GEMM, 1);        /* scores */
    assert_kind(r.program, PITH_STEP_TILE_LAYER_NORM, 3);
    assert_kind(r.program, PITH_STEP_LAYER_NORM, 1); /* the last: it reads or writes rows, at the same cost */
    assert_kind(r.program, PITH_STEP_TILE_INTEGER_ATTENTION, 2);
    assert_kind(r.program, PITH_STEP_INTEGER_ATTENTION, 0);
    /* What the embeddings write, floats and 8 bits; what becomes the last hidden state. */
    assert_kind(r.program, PITH_STEP_REORDER, 3);
    uint32_t after_embeddings = 0, to_rows = 0;
    for (uint32_t i = 0; i < r.program->step_count; i++) {
      const pith_step *step = &r.program->steps[i];
      if (step->row->kind != PITH_STEP_REORDER)
        continue;
      after_embeddings += get_source(r.program, step)->row->kind == PITH_STEP_EMBEDDING;
      to_rows += r.program->values[step->outputs[0]].layout == PITH_ACTIVATION_LAYOUT_ROW_MAJOR &&
                 get_source(r.program, step)->row->kind == PITH_STEP_SPARSE_INTEGER_GEMM;
    }
    assert_int_equal(after_embeddings, 2);
    assert_int_equal(to_rows, 1);
    pith_graph_run_deinit(&r);
    close_pair(&p);
  }
}

static pith_layout all_but_inner(const char *name, pith_dtype dtype) {
  return strstr(name, "layer.0.inner") != NULL ? PITH_LAYOUT_ROW_MAJOR : sparse_fixture_4x1(name, dtype);
}
static pith_layout inner_only(const char *name, pith_dtype dtype) {
  return strstr(name, "layer.0.inner") == NULL ? PITH_LAYOUT_ROW_MAJOR : sparse_fixture_4x1(name, dtype);
}
static pith_layout key_in_4x4(const char *name, pith_dtype dtype) {
  return strstr(name, "layer.1.key") != NULL ? sparse_fixture_4x4(name, dtype) : sparse_fixture_4x1(name, dtype);
}

static void test_one_other_layer_costs_its_reorders(void **state) {
  (void)state;
  pair p;
  /* Beside the three: into the dense product and out of it, both in 8 bits; everything else stays. */
  pith_graph_run r = open_run(&p, EXEC_STATIC, all_but_inner);
  assert_kind(r.program, PITH_STEP_REORDER, 5);
  assert_kind(r.program, PITH_STEP_TILE_LAYER_NORM, 3);
  assert_kind(r.program, PITH_STEP_TILE_INTEGER_ATTENTION, 2);
  assert_kind(r.program, PITH_STEP_INTEGER_GEMM, 2);
  pith_graph_run_deinit(&r);
  close_pair(&p);

  /* One sparse product among dense ones: nothing else goes to tiles. */
  r = open_run(&p, EXEC_STATIC, inner_only);
  assert_kind(r.program, PITH_STEP_SPARSE_INTEGER_GEMM, 1);
  assert_kind(r.program, PITH_STEP_REORDER, 2);
  assert_kind(r.program, PITH_STEP_LAYER_NORM, 4);
  assert_kind(r.program, PITH_STEP_INTEGER_ATTENTION, 2);
  pith_graph_run_deinit(&r);
  close_pair(&p);

  /* Products of one x with weights of two forms stand apart, and one of them reads the other kind of tile. */
  r = open_run(&p, EXEC_STATIC, key_in_4x4);
  assert_kind(r.program, PITH_STEP_REORDER, 4);
  const pith_step *other = NULL;
  for (uint32_t i = 0; i < r.program->step_count; i++)
    if (r.program->steps[i].row->kind == PITH_STEP_REORDER &&
        get_source(r.program, &r.program->steps[i])->row->kind == PITH_STEP_TILE_LAYER_NORM &&
        r.program->values[r.program->steps[i].outputs[0]].layout != PITH_ACTIVATION_LAYOUT_ROW_MAJOR)
      other = &r.program->steps[i];
  assert_non_null(other);
  assert_int_equal(r.program->values[other->inputs[0]].layout + r.program->values[other->outputs[0]].layout,
                   PITH_ACTIVATION_LAYOUT_TILE64 + PITH_ACTIVATION_LAYOUT_TILE64X4);
  pith_graph_run_deinit(&r);
  close_pair(&p);
}

/* Attention of floats reads rows: query, key and value go there and the context, in 8 bits, comes back. */
static void test_dynamic_models_reorder_around_attention(void **state) {
  (void)state;
  pair p;
  pith_graph_run r = open_run(&p, EXEC_DYNAMIC, sparse_fixture_4x1);
  assert_kind(r.program, PITH_STEP_SPARSE_INTEGER_GEMM, 8);
  assert_kind(r.program, PITH_STEP_TILE_LAYER_NORM, 3);
  assert_kind(r.program, PITH_STEP_REORDER, 3 + 2 * 4);
  pith_graph_run_deinit(&r);
  close_pair(&p);
  r = open_run(&p, EXEC_CLASSIFY, sparse_fixture_4x1);
  assert_kind(r.program, PITH_STEP_SPARSE_GEMM, 8);
  assert_kind(r.program, PITH_STEP_GEMM, 2); /* pooler and classifier */
  assert_kind(r.program, PITH_STEP_TILE_LAYER_NORM, 4); /* also the last: on rows it would read two reordered values */
  assert_kind(r.program, PITH_STEP_REORDER, 1 + 2 * 4 + 1);
  pith_graph_run_deinit(&r);
  close_pair(&p);
}

/* A plan for more tokens serves fewer, whatever the last tile holds; none at all too. */
static void test_tiles_are_planned_whole(void **state) {
  (void)state;
  pair p;
  pith_graph_run r = open_run(&p, EXEC_STATIC, sparse_fixture_4x4);
  for (uint32_t v = 0; v < r.program->value_count; v++) {
    const pith_value *value = &r.program->values[v];
    if (value->layout == PITH_ACTIVATION_LAYOUT_ROW_MAJOR || value->producer == PITH_NONE)
      continue;
    const size_t features = (size_t)value->dims[1].constant, bytes = pith_dtype_get_info(value->dtype)->bits / 8;
    assert_int_equal(value->bytes, pith_activation_count(value->layout, 41, features) * bytes);
    assert_true(value->bytes >= 64 * features * bytes);
  }
  for (size_t tokens = 0; tokens <= 41; tokens += 41) {
    inputs in;
    pith_graph_run dense;
    pith_error error = {PITH_OK, ""};
    make_inputs(&in, p.sparse, tokens);
    run(&dense, p.dense, &in, PITH_REWRITES_DEFAULT, pith_cpu_detect(), NULL);
    assert_int_equal(pith_executor_run(r.executor, in.feeds, NULL, 0, &error), PITH_OK);
    exec_fixture_assert_same(&dense, &r, "fewer tokens than planned");
    pith_graph_run_deinit(&dense);
  }
  pith_graph_run_deinit(&r);
  close_pair(&p);
}

/* ---- bytes ------------------------------------------------------------------------------------------------------------ */

static void test_bytes_that_kernels_cannot_trust(void **state) {
  (void)state;
  const sparse_fixture_mask mask = {4, 4, 30};
  for (size_t h = 0; h < 3; h++)
    for (size_t c = 0; c < 2; c++) {
      pair p;
      open_pair(&p, heads[h], choices[c], &mask);
      inputs in;
      make_inputs(&in, p.sparse, 41);
      pith_tensor_id id = pith_graph_find_tensor(p.sparse, "layer.1.outer.weight");
      assert_true(id != PITH_NONE);
      uint32_t *starts = (uint32_t *)(uintptr_t)p.sparse->tensors[id].data;
      const uint32_t start = starts[1];
      starts[1] = UINT32_MAX;
      /* As a sparse product reads it, and as it is unpacked for a Dequantize of its own. */
      for (int fused = 0; fused < 2; fused++) {
        pith_graph_run r;
        pith_error error = {PITH_OK, ""};
        assert_int_equal(try_run(&r, p.sparse, &in, fused ? PITH_REWRITES_DEFAULT : 0, pith_cpu_detect(), NULL, &error),
                         PITH_FORMAT);
        assert_non_null(strstr(error.message, "layer.1.outer.weight"));
      }
      starts[1] = start;
      pith_graph_run r;
      run(&r, p.sparse, &in, PITH_REWRITES_DEFAULT, pith_cpu_detect(), NULL);
      pith_graph_run_deinit(&r);
      close_pair(&p);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bits_are_those_of_dense_weights),
      cmocka_unit_test(test_every_subset_of_features_gives_the_same_bits),
      cmocka_unit_test(test_every_rewrite_keeps_the_bits),
      cmocka_unit_test(test_a_pruned_encoder_keeps_its_tiles),
      cmocka_unit_test(test_one_other_layer_costs_its_reorders),
      cmocka_unit_test(test_dynamic_models_reorder_around_attention),
      cmocka_unit_test(test_tiles_are_planned_whole),
      cmocka_unit_test(test_bytes_that_kernels_cannot_trust),
  };
  return cmocka_run_group_tests(tests, make_ids, NULL);
}
