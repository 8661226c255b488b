/* What a student is compared with its teacher by: the layers of every architecture, which of them are compared, what does not go together; and
 * trainers that compare, whose projection is in their state and not in their model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthreadpool.h>

#include "tests/engine/ir_fixture.h"
#include "tests/train/trainer_fixture.h"

enum { SEQUENCES = 5, MOST_TOKENS = 60, VOCABULARY = 41, LABELS = 3, WIDTH = 20, HEADS = 4, LAYERS = 3 };

static pith_error error;

/* ---- layers -------------------------------------------------------------------------------------------------------------- */

static void test_layers(void **state) {
  (void)state;
  static const struct {
    const char *folder;
    uint32_t layers;
    int64_t width, heads;
  } cases[] = {{"bert-sequence", 2, 32, 4},       {"roberta-masked", 2, 48, 3},   {"distilbert-question", 2, 40, 5},
               {"electra-sequence", 2, 0, 0},     {"sentence-mean-normalize", 2, 32, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_import import = open_golden(cases[i].folder);
    pith_arena arena;
    pith_layers layers;
    pith_arena_init(&arena, NULL);
    assert_int_equal(pith_layers_find(import.data.graph, &arena, &layers, &error), PITH_OK);
    assert_int_equal(layers.count, cases[i].layers);
    for (uint32_t l = 0; l < layers.count; l++)
      for (int value = 0; value < PITH_LAYER_VALUE_COUNT; value++) {
        const pith_tensor_id id = layers.list[l].tensors[value];
        assert_true(id < import.data.graph->tensor_count);
        assert_int_equal(import.data.graph->tensors[id].dims[1].constant, layers.list[l].widths[value]);
        assert_true(cases[i].width == 0 || layers.list[l].widths[value] == cases[i].width);
        assert_true(cases[i].heads == 0 || layers.list[l].heads == cases[i].heads);
        for (int before = 0; before < value; before++)
          assert_int_not_equal(layers.list[l].tensors[before], id);
        assert_true(l == 0 || layers.list[l - 1].tensors[value] < id);
      }
    pith_arena_deinit(&arena);
    pith_import_deinit(&import);
  }
}

/* ---- comparisons ----------------------------------------------------------------------------------------------------------- */

static pith_layers make_layers(pith_layer *list, uint32_t count, int64_t width, int64_t heads) {
  for (uint32_t i = 0; i < count; i++) {
    list[i] = (pith_layer){.heads = heads, .scale = 0.5};
    for (uint32_t value = 0; value < PITH_LAYER_VALUE_COUNT; value++) {
      list[i].tensors[value] = i * PITH_LAYER_VALUE_COUNT + value;
      list[i].widths[value] = width;
    }
  }
  return (pith_layers){list, count};
}

/* "h2-4 a1-2 q2-1 ..": what, the student's layer, the teacher's. */
static void describe(const pith_comparisons *c, char *text) {
  text[0] = '\0';
  for (uint32_t i = 0; i < c->count; i++) {
    static const char letters[] = "hqkv";
    const pith_comparison *term = &c->list[i];
    const pith_tensor_id x = c->values[term->teacher_x].tensor, z = c->values[term->teacher_z].tensor;
    assert_int_equal(x % PITH_LAYER_VALUE_COUNT, term->x);
    assert_int_equal(z % PITH_LAYER_VALUE_COUNT, term->z);
    assert_int_equal(x / PITH_LAYER_VALUE_COUNT, z / PITH_LAYER_VALUE_COUNT);
    sprintf(text + strlen(text), "%s%c%u-%u", i == 0 ? "" : " ", term->error == PITH_COMPARISON_SCORES ? 'a' : letters[term->x],
            term->layer + 1, x / PITH_LAYER_VALUE_COUNT + 1);
  }
}

static void test_comparisons(void **state) {
  (void)state;
  static const struct {
    uint32_t student, teacher;
    pith_compare_options options;
    const char *terms;
    uint32_t values;
  } cases[] = {
      {6, 12, {.hidden = 0}, "", 0},
      {6, 12, {.hidden = 1}, "h2-4 h4-8 h6-12", 3},
      {4, 5, {.hidden = 1}, "h2-2 h3-4 h4-5", 3},
      {2, 12, {.attention = 1}, "a1-6 a2-12", 4},
      {1, 3, {.hidden = 1, .attention = 1}, "h1-3 a1-3", 3},
      {6, 12, {.relations = 1}, "q6-12 k6-12 v6-12", 3},
      {6, 12, {.relations = 1, .relation_layer = 9}, "q6-9 k6-9 v6-9", 3},
      {3, 3, {.hidden = 1, .attention = 1, .relations = 1}, "h1-1 h2-2 h3-3 a1-1 a2-2 a3-3 q3-3 k3-3 v3-3", 10},
      {3, 4, {.hidden = 1, .attention = 1, .relations = 1, .relation_layer = 1},
       "h1-2 h2-3 h3-4 a1-2 a2-3 a3-4 q3-1 k3-1 v3-1", PITH_TEACHER_VALUES_MOST},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_layer own[12], others[12];
    const pith_layers student = make_layers(own, cases[i].student, 24, 4), teacher = make_layers(others, cases[i].teacher, 48, 4);
    pith_arena arena;
    pith_comparisons made;
    char text[200];
    pith_arena_init(&arena, NULL);
    assert_int_equal(pith_comparisons_make(&cases[i].options, &student, &teacher, "t", &arena, &made, &error), PITH_OK);
    describe(&made, text);
    assert_string_equal(text, cases[i].terms);
    assert_int_equal(made.value_count, cases[i].values);
    assert_int_equal(made.projection[0], cases[i].options.hidden != 0 ? 24 : 0);
    double weight = 0;
    for (uint32_t j = 0; j < made.count; j++) {
      weight += made.list[j].weight;
      assert_true(made.list[j].error == PITH_COMPARISON_HIDDEN || made.list[j].heads == 4);
      assert_true(made.list[j].scale == (made.list[j].error == PITH_COMPARISON_SCORES ? 0.5 : 0));
    }
    assert_true(fabs(weight - cases[i].options.hidden - cases[i].options.attention - 3 * cases[i].options.relations) < 1e-12);
    pith_arena_deinit(&arena);
  }
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    uint32_t student, teacher;
    int64_t width, heads;
    pith_compare_options options;
    pith_status status;
    const char *message;
  } cases[] = {
      {2, 0, 48, 4, {.hidden = 1}, PITH_UNSUPPORTED, "teacher t: distill-hidden: it has no layers"},
      {0, 2, 48, 4, {.relations = 1}, PITH_UNSUPPORTED, "teacher t: distill-relations: the student has no layers"},
      {6, 2, 48, 4, {.attention = 1}, PITH_INVALID_ARGUMENT, "teacher t: it has 2 layers, fewer than the 3 that distill-attention compares"},
      {2, 2, 48, 6, {.attention = 1}, PITH_INVALID_ARGUMENT,
       "teacher t: its attention has 6 heads, the student's 4: distill-attention compares equal ones (distill-relations any)"},
      {2, 2, 48, 16, {.relations = 1}, PITH_INVALID_ARGUMENT,
       "teacher t: 16 relation heads (distill-relation-heads) do not divide the student's width 24"},
      {2, 2, 20, 4, {.relations = 1, .relation_heads = 8}, PITH_INVALID_ARGUMENT,
       "teacher t: 8 relation heads (distill-relation-heads) do not divide the teacher's width 20"},
      {2, 2, 48, 4, {.relations = 1, .relation_layer = 3}, PITH_INVALID_ARGUMENT, "teacher t: it has 2 layers, distill-relation-layer is 3"},
  };
  pith_layer own[6], others[2];
  pith_arena arena;
  pith_comparisons made;
  pith_arena_init(&arena, NULL);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const pith_layers student = make_layers(own, cases[i].student, 24, 4), teacher = make_layers(others, cases[i].teacher, cases[i].width, cases[i].heads);
    assert_int_equal(pith_comparisons_make(&cases[i].options, &student, &teacher, "t", &arena, &made, &error), cases[i].status);
    assert_string_equal(error.message, cases[i].message);
  }
  const pith_compare_options all = {.hidden = 1, .attention = 1};
  const pith_layers student = make_layers(own, 2, 24, 4), teacher = make_layers(others, 2, 48, 4);
  others[1].causal = true;
  assert_int_equal(pith_comparisons_make(&all, &student, &teacher, "t", &arena, &made, &error), PITH_UNSUPPORTED);
  assert_string_equal(error.message, "teacher t: distill-attention does not compare causal attention");
  others[0].widths[PITH_LAYER_STATE] = 32;
  assert_int_equal(pith_comparisons_make(&all, &student, &teacher, "t", &arena, &made, &error), PITH_UNSUPPORTED);
  assert_string_equal(error.message, "teacher t: hidden states of one model have several widths");
  own[1].tensors[PITH_LAYER_STATE] = PITH_NONE;
  assert_int_equal(pith_comparisons_make(&all, &student, &teacher, "t", &arena, &made, &error), PITH_UNSUPPORTED);
  assert_non_null(strstr(error.message, "teacher t: "));
  pith_arena_deinit(&arena);
}

/* ---- trainers --------------------------------------------------------------------------------------------------------------- */

typedef struct fixture {
  pith_import import;
  pith_arena arena;
  pith_comparisons comparisons;
  pith_trainer_options options;
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
  float values[PITH_TEACHER_VALUES_MOST][MOST_TOKENS * WIDTH];
  const float *pointers[PITH_TEACHER_VALUES_MOST];
} fixture;

/* A student of width 32 and 4 heads; a teacher of another width, whose values are random. */
static void open_fixture(fixture *f) {
  pith_layer layers[LAYERS];
  pith_layers student;
  const pith_layers teacher = make_layers(layers, LAYERS, WIDTH, HEADS);
  const pith_compare_options options = {.hidden = 2, .attention = 0.5, .relations = 1, .relation_heads = 2, .seed = 5};
  *f = (fixture){.import = open_golden("bert-sequence"), .options = pith_trainer_defaults};
  pith_arena_init(&f->arena, NULL);
  assert_int_equal(pith_layers_find(f->import.data.graph, &f->arena, &student, &error), PITH_OK);
  assert_int_equal(pith_comparisons_make(&options, &student, &teacher, "t", &f->arena, &f->comparisons, &error), PITH_OK);
  for (uint32_t i = 0; i < PITH_TEACHER_VALUES_MOST; i++)
    f->pointers[i] = f->values[i];
  f->options.max_tokens = MOST_TOKENS;
  f->options.max_sequences = SEQUENCES;
  f->options.seed = 7;
  f->options.comparisons = &f->comparisons;
}

static void close_fixture(fixture *f) {
  pith_arena_deinit(&f->arena);
  pith_import_deinit(&f->import);
}

static uint32_t random_below(uint64_t *state, uint32_t bound) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % bound;
}

static pith_train_batch make_batch(fixture *f, uint64_t number) {
  uint64_t random = 2 * number + 1;
  for (size_t i = 0; i < SEQUENCES; i++) {
    f->offsets[i + 1] = f->offsets[i] + 1 + (int32_t)random_below(&random, 11);
    for (int32_t j = f->offsets[i]; j < f->offsets[i + 1]; j++)
      f->ids[j] = (int32_t)random_below(&random, VOCABULARY);
    f->labels[i] = f->ids[f->offsets[i]] % LABELS;
  }
  for (uint32_t i = 0; i < f->comparisons.value_count; i++)
    for (size_t j = 0; j < (size_t)f->offsets[SEQUENCES] * WIDTH; j++)
      f->values[i][j] = (float)random_below(&random, 2001) / 1000 - 1;
  return (pith_train_batch){.struct_size = sizeof(pith_train_batch), .sequences = SEQUENCES, .offsets = f->offsets, .ids = f->ids,
                            .labels = f->labels, .teacher_values = f->pointers, .first_sample = number * SEQUENCES};
}

static double run_steps(fixture *f, pith_trainer *trainer, uint64_t first, uint64_t count) {
  double loss = 0, sum = 0;
  for (uint64_t i = first; i < first + count; i++) {
    const pith_train_batch batch = make_batch(f, i % 4);
    if (pith_trainer_forward_backward(trainer, &batch, 1, &loss, &error) != PITH_OK ||
        pith_trainer_apply(trainer, 2e-3, NULL, &error) != PITH_OK)
      fail_msg("%s", error.message);
    sum += loss / (double)count;
  }
  return sum;
}

static const pith_training_parameter *find_projection(const pith_trainer *t) {
  const pith_training_parameter *found = NULL;
  for (uint32_t i = 0; i < t->training->parameter_count; i++)
    if (t->training->parameters[i].model_tensor == PITH_NONE)
      found = &t->training->parameters[i];
  assert_non_null(found);
  assert_string_equal(t->training->graph->tensors[found->tensor].name, "distill.projection");
  assert_int_equal(found->count, 32 * WIDTH);
  return found;
}

static bool same_values(const pith_trainer *a, const pith_trainer *b) {
  assert_int_equal(a->training->value_count, b->training->value_count);
  return memcmp(a->values, b->values, a->training->value_count * sizeof *a->values) == 0;
}

/* The options with the least memory that a trainer can do with. */
static pith_trainer_options limit_memory(const fixture *f) {
  pith_trainer_options options = f->options;
  pith_trainer *none = NULL;
  options.max_memory = 1;
  expect_refused(pith_trainer_create(&(struct pith_model){.data = f->import.data}, &options, &none, &error), PITH_LIMIT, &error, "takes ");
  options.max_memory = strtoull(strstr(error.message, "takes ") + 6, NULL, 10);
  return options;
}

/* The loss falls with every optimizer; two threads and layers computed again give the same bits, another seed another projection. */
static void test_bits(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f);
  pthreadpool_t pool = pthreadpool_create(2);
  for (pith_optimizer_kind kind = 0; kind < PITH_OPTIMIZER_COUNT; kind++) {
    f.options.optimizer = kind;
    pith_trainer_options threads = f.options, less = limit_memory(&f);
    threads.threadpool = pool;
    pith_trainer *alone = create_trainer(&f.import.data, &f.options), *two = create_trainer(&f.import.data, &threads);
    pith_trainer *again = create_trainer(&f.import.data, &less);
    assert_true(again->program->memory_bytes < alone->program->memory_bytes);
    assert_true(same_values(alone, two) && same_values(alone, again));
    const double first = run_steps(&f, alone, 0, 4), last = (run_steps(&f, alone, 4, 36), run_steps(&f, alone, 40, 4));
    (void)run_steps(&f, two, 0, 44);
    (void)run_steps(&f, again, 0, 44);
    pith_trainer_catch_up_all(alone);
    pith_trainer_catch_up_all(two);
    pith_trainer_catch_up_all(again);
    assert_true(same_values(alone, two) && same_values(alone, again));
    if (!(last < first))
      fail_msg("optimizer %d: the loss went from %g to %g", (int)kind, first, last);
    f.comparisons.seed++;
    pith_trainer *other = create_trainer(&f.import.data, &f.options);
    assert_memory_not_equal(other->values + find_projection(other)->offset, two->values + find_projection(two)->offset, sizeof(float) * WIDTH);
    f.comparisons.seed--;
    pith_trainer_destroy(other);
    pith_trainer_destroy(again);
    pith_trainer_destroy(two);
    pith_trainer_destroy(alone);
  }
  pthreadpool_destroy(pool);
  close_fixture(&f);
}

/* A trainer that takes over another's state goes on as that one does: the projection, its moments and its average are in it. */
static void test_state(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f);
  f.options.ema = 0.5;
  pith_trainer *whole = create_trainer(&f.import.data, &f.options), *other = create_trainer(&f.import.data, &f.options);
  const pith_training_parameter *projection = find_projection(whole);
  float before[32 * WIDTH];
  memcpy(before, whole->values + projection->offset, sizeof before);
  (void)run_steps(&f, whole, 0, 7);
  assert_memory_not_equal(before, whole->values + projection->offset, sizeof before);
  copy_state(whole, other);
  (void)run_steps(&f, whole, 7, 5);
  (void)run_steps(&f, other, 7, 5);
  assert_true(same_values(whole, other));
  /* What comes out is the model that went in: as many tensors of the same names. */
  pith_model_data model;
  assert_int_equal(pith_trainer_get_model(whole, &model, &error), PITH_OK);
  assert_int_equal(model.graph->tensor_count, f.import.data.graph->tensor_count);
  assert_int_equal(pith_graph_find_tensor(model.graph, "distill.projection"), PITH_NONE);
  pith_trainer_destroy(other);
  pith_trainer_destroy(whole);
  close_fixture(&f);
}

static void test_batches(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f);
  pith_trainer *trainer = create_trainer(&f.import.data, &f.options);
  pith_train_batch batch = make_batch(&f, 0);
  double loss;
  f.pointers[f.comparisons.value_count - 1] = NULL;
  expect_refused(pith_trainer_forward_backward(trainer, &batch, 1, &loss, &error), PITH_INVALID_ARGUMENT, &error,
                 "a batch without what its layers are compared with");
  batch.teacher_values = NULL;
  expect_refused(pith_trainer_forward_backward(trainer, &batch, 1, &loss, &error), PITH_INVALID_ARGUMENT, &error,
                 "a batch without what its layers are compared with");
  pith_trainer_destroy(trainer);
  expect_no_memory(&f.import.data, f.options);
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_layers), cmocka_unit_test(test_comparisons), cmocka_unit_test(test_refused),
                                     cmocka_unit_test(test_bits),   cmocka_unit_test(test_state),       cmocka_unit_test(test_batches)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
