/* Masks of the trainer: every score against PyTorch (tests/golden/train/prune.py), with any number of threads and after a restored
 * state; patterns that a model comes with are kept; what does not go together is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthreadpool.h>

#include "engine/format/stored_layout.h"
#include "sparse/prune_model.h"
#include "tests/engine/ir_fixture.h"
#include "tests/train/trainer_fixture.h"
#include "train/trainer_prune.h"

enum { SEQUENCES = 8, MOST_TOKENS = 200, SAMPLES = 128, LABELS = 3 };

static pith_trainer_options make_options(void) {
  pith_trainer_options options = pith_trainer_defaults;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  options.weight_decay = 0.1;
  options.clip = options.dropout = options.attention_dropout = options.classifier_dropout = 0;
  return options;
}

static pith_train_prune make_prune(pith_prune_score score, const char *pattern) {
  pith_train_prune prune = {.what = pith_prune_defaults, .score = score, .penalty = 1e-3, .begin = 1, .end = 9, .every = 2,
                            .score_rate = 500, .fisher_gradients = 5, .fisher_block = 20, .fisher_damp = 1e-6, .compensates = true};
  prune.what.pattern = pattern;
  prune.what.sparsity = 0.75;
  prune.what.schedule = PITH_SCHEDULE_CUBIC;
  if (pith_score_rule_get(score)->whole) {
    prune.what.pattern = "row";
    prune.what.scope = PITH_PRUNE_LAYER;
  }
  return prune;
}

/* ---- batches --------------------------------------------------------------------------------------------------- */

typedef struct batch {
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
  float teacher[SEQUENCES * LABELS];
  pith_train_batch batch;
} batch;

static void finish_batch(batch *b) {
  b->batch = (pith_train_batch){
      .struct_size = sizeof(pith_train_batch), .sequences = SEQUENCES, .offsets = b->offsets, .ids = b->ids, .labels = b->labels, .teacher = b->teacher};
}

static void read_batch(const cJSON *json, batch *b) {
  const cJSON *teacher = cJSON_GetObjectItem(json, "teacher"), *sequence, *id;
  size_t i = 0, tokens = 0;
  cJSON_ArrayForEach(sequence, cJSON_GetObjectItem(json, "ids")) {
    b->offsets[i] = (int32_t)tokens;
    b->labels[i] = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "labels"), (int)i)->valueint;
    for (int c = 0; c < LABELS; c++)
      b->teacher[i * LABELS + (size_t)c] = (float)cJSON_GetArrayItem(cJSON_GetArrayItem(teacher, (int)i), c)->valuedouble;
    cJSON_ArrayForEach(id, sequence) {
      assert_true(tokens < MOST_TOKENS);
      b->ids[tokens++] = id->valueint;
    }
    i++;
  }
  assert_int_equal(i, SEQUENCES);
  b->offsets[SEQUENCES] = (int32_t)tokens;
  finish_batch(b);
}

static void make_batch(batch *b, uint64_t number) {
  uint64_t state = number * 2 + 1;
  b->offsets[0] = 0;
  for (size_t i = 0; i < SEQUENCES; i++) {
    b->offsets[i + 1] = b->offsets[i] + 1 + (int32_t)(number + i) % 9;
    for (int32_t j = b->offsets[i]; j < b->offsets[i + 1]; j++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      b->ids[j] = (int32_t)((state >> 33) % 41);
    }
    b->labels[i] = b->ids[b->offsets[i]] % LABELS;
  }
  finish_batch(b);
}

static double apply(pith_trainer *trainer, const batch *b) {
  double loss;
  pith_error error = {PITH_OK, ""};
  if (pith_trainer_forward_backward(trainer, &b->batch, 1, &loss, &error) != PITH_OK ||
      pith_trainer_apply(trainer, 1e-3, NULL, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return loss;
}

static void run_steps(pith_trainer *trainer, uint64_t first, uint64_t count) {
  for (uint64_t i = first; i < first + count; i++) {
    batch b;
    make_batch(&b, i);
    (void)apply(trainer, &b);
  }
}

/* The trained model's weight by its name. */
static const pith_tensor *get_weight(pith_trainer *trainer, const char *name) {
  pith_model_data model;
  pith_error error = {PITH_OK, ""};
  if (pith_trainer_get_model(trainer, &model, &error) != PITH_OK)
    fail_msg("%s", error.message);
  const pith_tensor_id id = pith_graph_find_tensor(model.graph, name);
  assert_true(id != PITH_NONE);
  return &model.graph->tensors[id];
}

/* ---- against PyTorch ------------------------------------------------------------------------------------------- */

static int find_word(const char *const *words, const cJSON *json, const char *key) {
  const char *word = cJSON_GetObjectItem(json, key)->valuestring;
  for (int i = 0; words[i] != NULL; i++)
    if (strcmp(words[i], word) == 0)
      return i;
  fail_msg("%s is '%s'", key, word);
  return -1;
}

static double number(const cJSON *json, const char *key) {
  return cJSON_GetObjectItem(json, key)->valuedouble;
}

#define WORD(name, text) text,
static const char *const scores[] = {PITH_PRUNE_SCORE_LIST(WORD) NULL}, *const scopes[] = {PITH_PRUNE_SCOPE_LIST(WORD) NULL},
                         *const schedules[] = {PITH_SCHEDULE_LIST(WORD) NULL};

static pith_train_prune read_prune(const cJSON *json) {
  pith_train_prune prune = {.what = pith_prune_defaults,
                            .score = (pith_prune_score)find_word(scores, json, "score"),
                            .penalty = number(json, "lasso") + number(json, "penalty"), /* of different scores */
                            .score_rate = number(json, "score_rate"),
                            .fisher_gradients = (uint64_t)number(json, "gradients"),
                            .fisher_block = (uint64_t)number(json, "block"),
                            .fisher_damp = number(json, "damp"),
                            .compensates = cJSON_IsTrue(cJSON_GetObjectItem(json, "update")),
                            .rewinds = number(json, "rewind") >= 0,
                            .rewind = (uint64_t)fmax(0, number(json, "rewind")),
                            .begin = (uint64_t)number(json, "begin"),
                            .end = (uint64_t)number(json, "end"),
                            .every = (uint64_t)number(json, "every")};
  prune.what.pattern = cJSON_GetObjectItem(json, "pattern")->valuestring;
  prune.what.sparsity = number(json, "sparsity");
  prune.what.scope = (pith_prune_scope)find_word(scopes, json, "scope");
  prune.what.schedule = (pith_schedule)find_word(schedules, json, "schedule");
  prune.what.maximum = 1; /* nothing is bounded there */
  return prune;
}

static bool is_removed(const char *bits, size_t block) {
  const char digit[2] = {bits[block / 4], '\0'};
  return (strtoul(digit, NULL, 16) >> (3 - block % 4) & 1) != 0;
}

/* Which blocks are gone is the same to the last one; what stays is within 1 % of the weight's largest change in 99.9 %. */
static void compare_weights(pith_trainer *trainer, const cJSON *json, const pith_train_prune *prune, const float **golden) {
  const cJSON *item;
  size_t compared = 0, off = 0, weights = 0;
  pith_pattern pattern;
  assert_int_equal(pith_pattern_parse(prune->what.pattern, &pattern, NULL), PITH_OK);
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "weights")) {
    const char *name = cJSON_GetObjectItem(item, "name")->valuestring, *bits = cJSON_GetObjectItem(item, "removed")->valuestring;
    const pith_tensor *t = get_weight(trainer, name);
    const pith_mask_grid grid = pith_mask_grid_make(&pattern, (size_t)t->dims[0].constant, (size_t)t->dims[1].constant);
    const float *w = t->data;
    uint64_t kept = 0;
    assert_int_equal(strlen(bits), (pith_mask_grid_count(&grid) + 7) / 8 * 2);
    for (size_t i = 0; i < grid.n; i++)
      for (size_t j = 0; j < grid.k; j++) {
        const bool removed = is_removed(bits, i / grid.outputs * grid.columns + j / grid.inputs);
        kept += !removed;
        if ((w[i * grid.k + j] == 0.0f) != removed)
          fail_msg("%s[%zu, %zu] is %g, %s by PyTorch", name, i, j, (double)w[i * grid.k + j], removed ? "removed" : "kept");
      }
    assert_true(pith_pattern_equal(&t->pattern, &pattern) && t->kept == kept);
    for (size_t i = 0; i < SAMPLES; i++, compared++)
      off += !(fabs((double)w[i * grid.n * grid.k / SAMPLES] - (double)*(*golden)++) <= 0.01 * number(item, "change"));
    weights++;
  }
  assert_int_equal(weights, 12);
  printf("%zu of %zu weights are off by more than 1 %% of the largest change\n", off, compared);
  assert_true(off * 1000 <= compared);
}

static void run_case(const cJSON *json, const cJSON *batches, const float **golden) {
  pith_import import = open_golden("bert-sequence");
  const pith_train_prune prune = read_prune(json);
  pith_trainer_options options = make_options();
  options.prune = &prune;
  options.clip = number(json, "clip");
  options.distill_weight = number(json, "distill_weight");
  options.distill_temperature = number(json, "distill_temperature");
  pith_trainer *trainer = create_trainer(&import.data, &options);
  const cJSON *item;
  double worst = 0;
  int step = 0;
  cJSON_ArrayForEach(item, batches) {
    batch b;
    read_batch(item, &b);
    const double loss = apply(trainer, &b), want = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "losses"), step++)->valuedouble;
    worst = fmax(worst, fabs(loss - want) / fabs(want));
  }
  printf("%s: losses within %.2g; ", cJSON_GetObjectItem(json, "name")->valuestring, worst);
  compare_weights(trainer, json, &prune, golden);
  assert_true(worst <= 1e-5);
  pith_trainer_destroy(trainer);
  pith_import_deinit(&import);
}

static void test_golden(void **state) {
  (void)state;
  size_t bytes;
  char *text = file_read(PITH_SOURCE_DIR "/tests/golden/train/prune.json", &bytes);
  cJSON *json = cJSON_ParseWithLength(text, bytes);
  float *values = (float *)(void *)file_read(PITH_SOURCE_DIR "/tests/golden/train/prune.f32", &bytes);
  const float *golden = values;
  const cJSON *item;
  uint32_t seen = 0;
  assert_non_null(json);
  cJSON_ArrayForEach(item, cJSON_GetObjectItem(json, "cases")) {
    run_case(item, cJSON_GetObjectItem(json, "batches"), &golden);
    seen |= 1u << find_word(scores, item, "score");
  }
  assert_int_equal(seen, (1u << PITH_PRUNE_SCORE_COUNT) - 1);
  assert_ptr_equal(golden, values + bytes / sizeof(float));
  cJSON_Delete(json);
  free(values);
  free(text);
}

/* ---- the same bits --------------------------------------------------------------------------------------------- */

static void expect_same_state(pith_trainer *a, pith_trainer *b) {
  size_t count, same;
  const pith_trainer_piece *x = pith_trainer_get_state(a, &count), *y = pith_trainer_get_state(b, &same);
  assert_int_equal(count, same);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(x[i].bytes, y[i].bytes);
    assert_memory_equal(x[i].data, y[i].data, x[i].bytes);
  }
}

static void test_threads(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pthreadpool_t pool = pthreadpool_create(2);
  for (pith_prune_score score = 0; score < PITH_PRUNE_SCORE_COUNT; score++) {
    const pith_train_prune prune = make_prune(score, "4x1");
    pith_trainer_options options = make_options();
    options.dropout = 0.1;
    options.prune = &prune;
    pith_trainer *alone = create_trainer(&import.data, &options);
    options.threadpool = pool;
    pith_trainer *two = create_trainer(&import.data, &options);
    run_steps(alone, 0, 12);
    run_steps(two, 0, 12);
    expect_same_state(alone, two);
    pith_trainer_destroy(two);
    pith_trainer_destroy(alone);
  }
  pthreadpool_destroy(pool);
  pith_import_deinit(&import);
}

/* Halted between two choices of masks, the other one having gone elsewhere in the meantime. */
static void test_state(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (pith_prune_score score = 0; score < PITH_PRUNE_SCORE_COUNT; score++)
    for (int average = 0; average < 2; average++) {
      const pith_train_prune prune = make_prune(score, "4x1");
      pith_trainer_options options = make_options();
      options.ema = average ? 0.9 : 0;
      options.prune = &prune;
      pith_trainer *first = create_trainer(&import.data, &options), *second = create_trainer(&import.data, &options);
      run_steps(first, 0, 6);
      run_steps(second, 100, 12);
      copy_state(first, second);
      run_steps(first, 6, 6);
      run_steps(second, 6, 6);
      expect_same_state(first, second);
      pith_trainer_destroy(second);
      pith_trainer_destroy(first);
    }
  pith_import_deinit(&import);
}

static const char *const weights[] = {"bert.encoder.layer.0.attention.self.query.weight", "bert.encoder.layer.1.intermediate.dense.weight",
                                      "bert.encoder.layer.1.output.dense.weight",         "bert.encoder.layer.0.attention.self.key.weight",
                                      "bert.encoder.layer.0.attention.self.value.weight", "bert.encoder.layer.1.attention.self.query.weight",
                                      "bert.encoder.layer.1.attention.self.key.weight"};

static pith_trainer_options make_rewinding(pith_train_prune *prune, uint32_t dense_rows) {
  *prune = make_prune(PITH_PRUNE_SCORE_SNIP_MOMENTUM, "4x1");
  prune->rewinds = true;
  prune->rewind = 1;
  pith_trainer_options options = make_options();
  options.dropout = 0.1;
  options.dense_rows = dense_rows;
  options.prune = prune;
  return options;
}

/* Weights that go back: halted before that step and between choices, two threads, and rows of tables that are put off. */
static void test_rewind(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pthreadpool_t pool = pthreadpool_create(2);
  pith_train_prune prune;
  pith_trainer_options options = make_rewinding(&prune, 4);
  pith_trainer *whole = create_trainer(&import.data, &options), *halted = create_trainer(&import.data, &options);
  options.threadpool = pool;
  pith_trainer *other = create_trainer(&import.data, &options);
  run_steps(whole, 0, 12);
  for (uint64_t step = 0; step < 12; step += 4) {
    run_steps(halted, step, 4);
    run_steps(other, 100, 3);
    copy_state(halted, other);
    pith_trainer *between = halted;
    halted = other;
    other = between;
  }
  expect_same_state(whole, halted);
  options = make_rewinding(&prune, 1024);
  pith_trainer *dense = create_trainer(&import.data, &options);
  run_steps(dense, 0, 12);
  static const char *const tables[] = {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight"};
  for (size_t i = 0; i < 2; i++) {
    const pith_tensor *a = get_weight(whole, tables[i]), *b = get_weight(dense, tables[i]);
    assert_memory_equal(a->data, b->data, a->data_bytes);
  }
  pith_trainer_destroy(dense);
  pith_trainer_destroy(other);
  pith_trainer_destroy(halted);
  pith_trainer_destroy(whole);
  pthreadpool_destroy(pool);
  pith_import_deinit(&import);
}

/* Weights that stay are, right after a choice, what they were before step `rewind`, averages too. */
static void test_rewound(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_train_prune prune;
  pith_trainer_options options = make_rewinding(&prune, 1024);
  options.ema = 0.5;
  pith_trainer *early = create_trainer(&import.data, &options), *late = create_trainer(&import.data, &options);
  run_steps(early, 0, 1);
  run_steps(late, 0, 8); /* choices after 1, 3, 5 and 7 */
  uint64_t zeros = 0;
  for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
    const pith_training_parameter *p =
        pith_training_graph_find(early->training, pith_graph_find_tensor(early->training->model, weights[w]));
    for (size_t i = p->offset; i < p->offset + p->count; i++) {
      zeros += late->values[i] == 0.0f;
      assert_true(late->values[i] == 0.0f || late->values[i] == early->values[i]);
      assert_true(late->average[i] == late->values[i]);
    }
  }
  assert_true(zeros > 1000);
  pith_trainer_destroy(late);
  pith_trainer_destroy(early);
  pith_import_deinit(&import);
}

/* A weight's zeros and its average's are the same blocks. */
static void test_average(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (pith_prune_score score = PITH_PRUNE_SCORE_SNIP_MOMENTUM; score < PITH_PRUNE_SCORE_COUNT; score++) {
    if (pith_score_rule_get(score)->whole)
      continue;
    const pith_train_prune prune = make_prune(score, "4x1");
    pith_trainer_options options = make_options();
    options.ema = 0.9;
    options.prune = &prune;
    pith_trainer *trainer = create_trainer(&import.data, &options);
    run_steps(trainer, 0, 12);
    const pith_tensor *t = get_weight(trainer, "bert.encoder.layer.1.attention.output.dense.weight");
    uint64_t zeros = 0;
    for (size_t i = 0; i < 32 * 32; i++)
      zeros += ((const float *)t->data)[i] == 0.0f;
    assert_true(zeros > 300 && zeros == 32 * 32 - t->kept);
    pith_trainer_destroy(trainer);
  }
  pith_import_deinit(&import);
}

/* ---- patterns that a model comes with -------------------------------------------------------------------------- */

static pith_pruned prune_model(const pith_model_data *data, const char *pattern, double sparsity) {
  pith_prune_options options = pith_prune_defaults;
  static struct pith_model model; /* whose allocator the result keeps */
  model = (struct pith_model){.allocator = pith_default_allocator, .data = *data};
  const pith_prune_request request = {.options = &options};
  pith_error error = {PITH_OK, ""};
  pith_pruned pruned;
  options.pattern = pattern;
  options.sparsity = sparsity;
  if (pith_prune_model(&model, &request, &pruned, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return pruned;
}

static void test_lock(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  static const struct {
    const char *pattern;
    double sparsity;
  } cases[] = {{"4x1", 0.5}, {"2:4", 0.5}, {"element", 0.7}, {"row", 0.25}};
  for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
    pith_pruned pruned = prune_model(&import.data, cases[c].pattern, cases[c].sparsity);
    for (int optimizer = 0; optimizer < PITH_OPTIMIZER_COUNT; optimizer++) {
      pith_trainer_options options = make_options();
      options.optimizer = (pith_optimizer_kind)optimizer;
      options.ema = optimizer == 0 ? 0.5 : 0;
      pith_trainer *trainer = create_trainer(&pruned.data, &options), *before = create_trainer(&pruned.data, &options);
      run_steps(trainer, 0, 5);
      for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
        const pith_tensor *now = get_weight(trainer, weights[w]), *then = get_weight(before, weights[w]);
        const float *x = now->data, *y = then->data;
        uint64_t zeros = 0, changed = 0;
        for (size_t i = 0; i < now->data_bytes / sizeof *x; i++) {
          if ((x[i] == 0.0f) != (y[i] == 0.0f))
            fail_msg("%s, %s at %zu: %g was %g", cases[c].pattern, weights[w], i, (double)x[i], (double)y[i]);
          zeros += x[i] == 0.0f;
          changed += x[i] != y[i];
        }
        const uint64_t kept = now->data_bytes / sizeof *x - zeros; /* a few may have been too large to move */
        if (zeros == 0 || changed > kept || changed * 20 < kept * 19 || now->kept != kept)
          fail_msg("%s, %s, optimizer %d: %d zeros, %d of %d have changed, %d are kept", cases[c].pattern, weights[w], optimizer,
                   (int)zeros, (int)changed, (int)(now->data_bytes / sizeof *x), (int)now->kept);
        const pith_tensor *source = &pruned.data.graph->tensors[pith_graph_find_tensor(pruned.data.graph, weights[w])];
        assert_true(pith_pattern_equal(&now->pattern, &source->pattern) && now->kept == source->kept);
      }
      pith_trainer_destroy(before);
      pith_trainer_destroy(trainer);
    }
    pith_pruned_deinit(&pruned);
  }
  pith_import_deinit(&import);
}

/* A zero inside a block that is kept is a weight like any other, and frozen weights keep their pattern too. */
static void test_lock_of_blocks(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_pruned pruned = prune_model(&import.data, "4x1", 0.5);
  static const char *const freeze[] = {"bert.encoder.layer.0.*"};
  pith_trainer_options options = make_options();
  options.freeze = freeze;
  options.freeze_count = 1;
  const pith_tensor_id id = pith_graph_find_tensor(pruned.data.graph, weights[1]);
  const pith_tensor *stored = &pruned.data.graph->tensors[id];
  static _Alignas(64) float w[48 * 32];
  assert_int_equal(pith_tensor_unpack(stored, w, NULL, NULL), PITH_OK);
  size_t at = 0;
  while (w[at] == 0.0f)
    at++;
  w[at] = 0.0f;
  pith_tensor changed = *stored;
  changed.layout = PITH_LAYOUT_ROW_MAJOR;
  changed.data = w;
  changed.data_bytes = sizeof w;
  pruned.graph->tensors[id] = changed;
  pith_trainer *trainer = create_trainer(&pruned.data, &options);
  run_steps(trainer, 0, 2);
  const pith_tensor *now = get_weight(trainer, weights[1]);
  assert_true(((const float *)now->data)[at] != 0.0f && now->kept == changed.kept);
  const pith_tensor *frozen = get_weight(trainer, weights[0]);
  assert_true(frozen->pattern.kind == PITH_PATTERN_BLOCK && frozen->kept > 0 && frozen->kept < 32 * 32);
  pith_trainer_destroy(trainer);
  pith_pruned_deinit(&pruned);
  pith_import_deinit(&import);
}

/* From 40 % on to 75 %: what was 0 stays 0, also where blocks may come back, and where a weight that has more zeros than others is asked
 * for fewer; an element pattern that 4x1 does not keep is kept beside it. */
static void test_lock_and_prune(void **state) {
  (void)state;
  static const char *const patterns[] = {"4x1", "4x4", "element", "4x1"};
  static const pith_prune_score locked[] = {PITH_PRUNE_SCORE_MAGNITUDE, PITH_PRUNE_SCORE_MOVEMENT, PITH_PRUNE_SCORE_OBERT,
                                            PITH_PRUNE_SCORE_RB, PITH_PRUNE_SCORE_SOFT_MOVEMENT};
  pith_import import = open_golden("bert-sequence");
  for (size_t p = 0; p < 4; p++)
    for (size_t s = 0; s < sizeof locked / sizeof *locked; s++) {
      const bool fewer = p == 3;
      pith_pruned pruned = prune_model(&import.data, patterns[p], 0.4);
      pith_train_prune prune = make_prune(locked[s], "4x1");
      if (fewer) {
        prune.what.scope = PITH_PRUNE_LAYER;
        prune.what.sparsity = 0.4;
      }
      pith_trainer_options options = make_options();
      options.prune = &prune;
      pith_trainer *trainer = create_trainer(&pruned.data, &options), *before = create_trainer(&pruned.data, &options);
      run_steps(trainer, 0, 12);
      uint64_t zeros = 0, was = 0;
      for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
        const pith_tensor *now = get_weight(trainer, weights[w]), *then = get_weight(before, weights[w]);
        const float *x = now->data, *y = then->data;
        for (size_t i = 0; i < now->data_bytes / sizeof *x; i++) {
          if (y[i] == 0.0f && x[i] != 0.0f)
            fail_msg("%s: %s at %zu came back as %g", patterns[p], weights[w], i, (double)x[i]);
          zeros += x[i] == 0.0f;
          was += y[i] == 0.0f;
        }
        assert_true(now->pattern.kind == PITH_PATTERN_BLOCK && now->pattern.outputs == 4 && now->pattern.inputs == 1);
      }
      assert_true(fewer ? zeros >= was : zeros > was + 500);
      pith_trainer_destroy(before);
      pith_trainer_destroy(trainer);
      pith_pruned_deinit(&pruned);
    }
  pith_import_deinit(&import);
}

/* ---- steps and options ----------------------------------------------------------------------------------------- */

static void test_steps(void **state) {
  (void)state;
  pith_train_prune prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  prune.begin = 3;
  prune.end = 10;
  prune.every = 3;
  static const bool due[13] = {[3] = true, [6] = true, [9] = true, [10] = true};
  for (uint64_t step = 0; step < 13; step++)
    assert_int_equal(pith_train_prune_is_due(&prune, step), due[step]);
  prune.rewinds = true;
  static const uint64_t restarts[13] = {0, 0, 0, 0, 4, 4, 4, 7, 7, 7, 10, 11, 11};
  for (uint64_t step = 0; step < 13; step++)
    assert_int_equal(pith_train_prune_get_restart(&prune, step), restarts[step]);
  assert_false(pith_train_prune_is_done(&prune, 10));
  assert_true(pith_train_prune_is_done(&prune, 11));
  /* 1 - (1 - 3/7)^3 and (1 - 0.1) of the way from 0.2 to 0.8 by hand. */
  assert_true(fabs(pith_train_prune_get_sparsity(&prune, 0.2, 0.8, 6) - (0.8 - 0.6 * 64.0 / 343)) < 1e-12);
  assert_true(fabs(pith_train_prune_get_sparsity(&prune, 0.2, 0.8, 3) - 0.2) < 1e-12);
  assert_true(pith_train_prune_get_sparsity(&prune, 0.2, 0.8, 10) == 0.8);
  assert_true(pith_train_prune_get_sparsity(&prune, 0.9, 0.8, 6) == 0.9); /* what is 0 stays */
  prune.begin = 10;
  assert_true(pith_train_prune_get_sparsity(&prune, 0, 0.8, 10) == 0.8); /* at once */
}

static void expect_refused_pruning(const pith_train_prune *prune, const char *text) {
  pith_import import = open_golden("bert-sequence");
  pith_trainer_options options = make_options();
  pith_trainer *none = NULL;
  pith_error error = {PITH_OK, ""};
  options.prune = prune;
  if (pith_trainer_create(&(struct pith_model){.data = import.data}, &options, &none, &error) == PITH_OK || strstr(error.message, text) == NULL)
    fail_msg("'%s' does not say '%s'", error.message, text);
  pith_import_deinit(&import);
}

static void test_refusals(void **state) {
  (void)state;
  pith_train_prune prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "5z");
  expect_refused_pruning(&prune, "prune-pattern: '5z'");
  prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  prune.what.sparsity = PITH_PRUNE_SPARSITY_OF_PATTERN;
  expect_refused_pruning(&prune, "prune-sparsity is missing");
  prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  prune.begin = 10;
  expect_refused_pruning(&prune, "prune-begin is step 10, behind prune-end, step 9");
  prune = make_prune(PITH_PRUNE_SCORE_GEOMETRIC_MEDIAN, "row");
  prune.what.pattern = "4x1";
  expect_refused_pruning(&prune, "prune-pattern is row or column");
  prune.what.pattern = "column";
  prune.what.scope = PITH_PRUNE_GLOBAL;
  expect_refused_pruning(&prune, "prune-scope is layer");
  prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  prune.rewinds = true;
  prune.rewind = 2;
  expect_refused_pruning(&prune, "prune-rewind is step 2, behind prune-begin, step 1");
  prune.rewind = 0;
  prune.score = PITH_PRUNE_SCORE_MOVEMENT;
  expect_refused_pruning(&prune, "prune-rewind does not go with prune-score movement");
  prune = make_prune(PITH_PRUNE_SCORE_RB, "2:4");
  prune.what.sparsity = PITH_PRUNE_SPARSITY_OF_PATTERN;
  expect_refused_pruning(&prune, "prune-pattern 2:4 says how many of each few");
  prune = make_prune(PITH_PRUNE_SCORE_OBERT, "4x1");
  prune.fisher_block = PITH_FISHER_MOST + 1;
  expect_refused_pruning(&prune, "prune-fisher-block 65");
  prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  prune.what.exclude = (pith_name_patterns){1, {"nothing*"}};
  expect_refused_pruning(&prune, "'nothing*' matches no product");
}

/* What a step sees is drawn anew each time; between steps masks are those of the scores alone, and the end is exact. */
static void test_draws(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_train_prune prune = make_prune(PITH_PRUNE_SCORE_RB, "4x1");
  pith_trainer_options options = make_options();
  prune.score_rate = 1e-3; /* scores stay where they begin */
  options.prune = &prune;
  pith_trainer *trainer = create_trainer(&import.data, &options);
  const pith_training_parameter *parameter =
      pith_training_graph_find(trainer->training, pith_graph_find_tensor(trainer->training->model, weights[1]));
  const float *w = trainer->values + parameter->offset;
  enum { COUNT = 48 * 32 };
  static float drawn[12][COUNT];
  pith_error error = {PITH_OK, ""};
  for (uint64_t step = 0; step < 12; step++) {
    batch b;
    double loss;
    size_t zeros = 0, between = 0;
    make_batch(&b, step);
    assert_int_equal(pith_trainer_forward_backward(trainer, &b.batch, 0.5, &loss, &error), PITH_OK);
    memcpy(drawn[step], w, sizeof drawn[step]);
    assert_int_equal(pith_trainer_forward_backward(trainer, &b.batch, 0.5, &loss, &error), PITH_OK);
    assert_memory_equal(w, drawn[step], sizeof drawn[step]); /* one mask for a step */
    assert_int_equal(pith_trainer_apply(trainer, 1e-3, NULL, &error), PITH_OK);
    for (size_t i = 0; i < COUNT; i++) {
      zeros += drawn[step][i] == 0.0f;
      between += w[i] == 0.0f;
    }
    /* A hundredth of 384 blocks, then three quarters of all weights. */
    assert_true(step == 0 ? zeros == 0 : step < 10 ? zeros > 0 && zeros < 60 && zeros % 4 == 0 : zeros == between);
    assert_true(step < 9 ? between == 0 : between > 60);
  }
  bool same = true;
  for (size_t i = 0; i < COUNT; i++)
    same &= (drawn[1][i] == 0.0f) == (drawn[2][i] == 0.0f);
  assert_false(same);
  pith_trainer_destroy(trainer);
  pith_import_deinit(&import);
}

/* A sparsity below the bound of the end is reached on the way. */
static void test_minimum(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_train_prune prune = make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "4x1");
  pith_trainer_options options = make_options();
  prune.what.minimum = 0.7;
  options.prune = &prune;
  pith_trainer *trainer = create_trainer(&import.data, &options);
  run_steps(trainer, 0, 12);
  for (size_t w = 0; w < sizeof weights / sizeof *weights; w++) {
    const pith_tensor *t = get_weight(trainer, weights[w]);
    assert_true((double)t->kept <= 0.3 * (double)(t->data_bytes / sizeof(float)));
  }
  pith_trainer_destroy(trainer);
  pith_import_deinit(&import);
}

static uint64_t get_least_bytes(const pith_model_data *model, const pith_train_prune *prune) {
  pith_trainer_options options = make_options();
  pith_trainer *none = NULL;
  pith_error error = {PITH_OK, ""};
  options.prune = prune;
  options.max_memory = 1;
  assert_int_equal(pith_trainer_create(&(struct pith_model){.data = *model}, &options, &none, &error), PITH_LIMIT);
  const char *digits = strstr(error.message, "takes ");
  assert_non_null(digits);
  return strtoull(digits + 6, NULL, 10);
}

/* The limit of memory knows of masks: 12 weights, of 14,336 elements, as single elements and with what lives under them. */
static void test_memory(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  const pith_train_prune prune = make_prune(PITH_PRUNE_SCORE_MOVEMENT, "element"), blocks = make_prune(PITH_PRUNE_SCORE_SNIP, "4x1");
  const uint64_t without = get_least_bytes(&import.data, NULL), elements = 2 * (4 * 32 * 32 + 2 * 32 * 48);
  assert_int_equal(get_least_bytes(&import.data, &prune), without + elements * (1 + 1 + 4 + 4));
  assert_int_equal(get_least_bytes(&import.data, &blocks), without + elements / 4 * (1 + 1 + 4));
  const pith_train_prune learned = make_prune(PITH_PRUNE_SCORE_RB, "4x1"), obert = make_prune(PITH_PRUNE_SCORE_OBERT, "4x1");
  assert_int_equal(get_least_bytes(&import.data, &learned), without + elements / 4 * (1 + 1 + 4 * 4) + elements * 4);
  /* Blocks of 20 inputs, two for 32 and three for 48, of 210 numbers. */
  const uint64_t places = 2 * (4 * 32 * 2 + 48 * 2 + 32 * 3);
  assert_int_equal(get_least_bytes(&import.data, &obert), without + elements / 4 * (1 + 1 + 4) + places * 210 * 4);
  pith_pruned pruned = prune_model(&import.data, "4x1", 0.5);
  assert_int_equal(get_least_bytes(&pruned.data, NULL), without + elements / 4);
  pith_trainer_options options = make_options();
  options.prune = &prune;
  options.max_memory = without + elements * 10;
  pith_trainer *trainer = create_trainer(&import.data, &options);
  run_steps(trainer, 0, 12);
  pith_trainer_destroy(trainer);
  pith_pruned_deinit(&pruned);
  pith_import_deinit(&import);
}

static void test_no_memory(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_train_prune prunes[] = {make_prune(PITH_PRUNE_SCORE_OBERT, "4x4"), make_prune(PITH_PRUNE_SCORE_RB, "4x1"),
                               make_prune(PITH_PRUNE_SCORE_MAGNITUDE, "element")};
  prunes[2].rewinds = true;
  for (size_t i = 0; i < sizeof prunes / sizeof *prunes; i++) {
    pith_trainer_options options = make_options();
    options.prune = &prunes[i];
    expect_no_memory(&import.data, options);
  }
  pith_import_deinit(&import);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),         cmocka_unit_test(test_threads),        cmocka_unit_test(test_state),
      cmocka_unit_test(test_average),        cmocka_unit_test(test_lock),           cmocka_unit_test(test_lock_of_blocks),
      cmocka_unit_test(test_lock_and_prune), cmocka_unit_test(test_steps),          cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_minimum),        cmocka_unit_test(test_memory),
      cmocka_unit_test(test_rewind),          cmocka_unit_test(test_rewound),
      cmocka_unit_test(test_no_memory),
      cmocka_unit_test(test_draws),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
