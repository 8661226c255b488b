/* A teacher's answers: those of its session, to the bit, in whatever batches they are asked for; computed once; kept apart where samples
 * have several rows. Teachers that do not fit are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "compiler/import/import.h"
#include "compiler/import/new_head.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"
#include "engine/format/stored_layout.h"
#include "tests/compiler/import_fixture.h"
#include "train/teacher.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/"
enum { ROWS = 23, BATCH = 5, MOST = 512 };

static pith_error error;
static folder place;

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

static int open_all(void **state) {
  (void)state;
  place = folder_make();
  return 0;
}

static int close_all(void **state) {
  (void)state;
  folder_remove(&place);
  return 0;
}

static const char *in_place(const char *name) {
  static char paths[4][600];
  static size_t next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof paths[0], "%s/%s", place.path, name);
  return path;
}

static pith_import make_model(const char *config, const char *tokenizer, uint64_t seed) {
  pith_import import;
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.tokenizer_directory = tokenizer;
  options.seed = seed;
  MUST(pith_new_model(config, &options, &import, &error));
  return import;
}

static void write_file(const char *name, const char *text) {
  FILE *file = fopen(in_place(name), "w");
  assert_non_null(file);
  fputs(text, file);
  fclose(file);
}

/* Batches of BATCH samples from sample `first` on, `step` apart. */
static void ask(pith_teacher *teacher, const pith_train_data *data, pith_batch_room *room, const uint64_t *samples, size_t count,
                const float **out_answers, pith_train_batch *out_batch) {
  const pith_order_batch order = {.samples = samples, .count = count};
  pith_train_data_gather(data, &order, 1, 0, room, out_batch);
  MUST(pith_teacher_answer(teacher, &order, out_batch, &error));
  *out_answers = out_batch->teacher;
}

/* What a session of its own says of each sample alone. */
static void expect_answers(const pith_train_data *data, const pith_model *model, pith_batch_room *room, const uint64_t *samples,
                           size_t count, const float *answers, size_t columns) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  pith_session *session;
  options.max_tokens = MOST;
  options.max_sequences = 4;
  MUST(pith_session_create(model, &options, &session, &error));
  for (size_t i = 0; i < count; i++) {
    pith_train_batch batch;
    pith_train_data_gather(data, &(pith_order_batch){.samples = samples + i, .count = 1}, 1, 0, room, &batch);
    pith_batch in = PITH_BATCH_INIT;
    in.sequences = batch.sequences;
    in.offsets = batch.offsets;
    in.ids = batch.ids;
    in.type_ids = batch.type_ids;
    pith_result result = {.struct_size = sizeof result};
    MUST(pith_session_run(session, &in, &result, &error));
    assert_int_equal(result.outputs[0].columns, columns);
    const size_t numbers = result.outputs[0].rows * columns;
    assert_memory_equal(answers, result.outputs[0].data, numbers * sizeof *answers);
    answers += numbers;
  }
  pith_session_destroy(session);
}

static void check(const char *config, const char *task, const char *file, size_t columns) {
  pith_import own = make_model(config, GOLDEN "models/cross-encoder", 3), other = make_model(config, GOLDEN "models/cross-encoder", 4);
  struct pith_model student = {.allocator = pith_default_allocator, .data = own.data};
  char path[600];
  snprintf(path, sizeof path, "%s", in_place("teacher.pith"));
  MUST(pith_format_write(path, &other.data, &error));
  pith_train_data data;
  const pith_train_data_options reading = {.task = pith_eval_task_find(task), .path = in_place(file), .model = &student, .folder = place.path};
  MUST(pith_train_data_read(&data, &reading, &error));
  assert_int_equal(data.count, ROWS);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_batch_room room;
  MUST(pith_batch_room_init(&room, &data, MOST, BATCH, &arena, &error));
  pith_teacher teacher;
  const pith_teacher_options options = {.path = path, .student = &student, .data = &data, .most_tokens = MOST,
                                        .most_sequences = 2 * BATCH, .folder = place.path};
  MUST(pith_teacher_open(&teacher, &options, &error));
  const float *answers;
  pith_train_batch batch;
  for (int epoch = 0; epoch < 2; epoch++)
    for (uint64_t first = 0; first + BATCH <= ROWS; first += BATCH) {
      uint64_t samples[BATCH];
      for (size_t i = 0; i < BATCH; i++) /* another order and other batches in each epoch */
        samples[i] = epoch == 0 ? first + BATCH - 1 - i : (first + i) * 7 % 20;
      ask(&teacher, &data, &room, samples, BATCH, &answers, &batch);
      expect_answers(&data, teacher.model, &room, samples, BATCH, answers, columns);
      assert_int_equal(teacher.runs, epoch == 0 ? first / BATCH + 1 : ROWS / BATCH);
    }
  const uint64_t mixed[3] = {2, 22, 19}; /* one that is new among others */
  ask(&teacher, &data, &room, mixed, 3, &answers, &batch);
  assert_int_equal(teacher.runs, ROWS / BATCH + 1);
  expect_answers(&data, teacher.model, &room, mixed, 3, answers, columns);
  ask(&teacher, &data, &room, mixed + 1, 1, &answers, &batch);
  assert_int_equal(teacher.runs, ROWS / BATCH + 1);
  expect_answers(&data, teacher.model, &room, mixed + 1, 1, answers, columns);
  pith_teacher_close(&teacher);
  pith_train_data_deinit(&data);
  pith_arena_deinit(&arena);
  pith_import_deinit(&own);
  pith_import_deinit(&other);
}

/* What the classifier makes of the last hidden state is the answer. */
static void test_hidden(void **state) {
  (void)state;
  pith_import own = make_model(GOLDEN "models/bert-token/config.json", GOLDEN "models/cross-encoder", 3);
  struct pith_model student = {.allocator = pith_default_allocator, .data = own.data};
  char path[600];
  snprintf(path, sizeof path, "%s", in_place("teacher.pith"));
  MUST(pith_format_write(path, &own.data, &error));
  pith_train_data data;
  const pith_train_data_options reading = {.task = pith_eval_task_find("entities"), .path = in_place("words.txt"), .model = &student,
                                           .folder = place.path};
  MUST(pith_train_data_read(&data, &reading, &error));
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_batch_room room;
  MUST(pith_batch_room_init(&room, &data, MOST, BATCH, &arena, &error));
  pith_teacher teacher;
  const pith_teacher_options options = {.path = path, .student = &student, .data = &data, .most_tokens = MOST, .most_sequences = BATCH,
                                        .compare = {.hidden = 1, .attention = 1, .relations = 1}, .folder = place.path};
  MUST(pith_teacher_open(&teacher, &options, &error));
  const pith_tensor *weight = &own.data.graph->tensors[pith_graph_find_tensor(own.data.graph, "classifier.weight")];
  const pith_tensor *bias = &own.data.graph->tensors[pith_graph_find_tensor(own.data.graph, "classifier.bias")];
  const size_t labels = (size_t)weight->dims[0].constant, features = (size_t)weight->dims[1].constant;
  float *w = malloc(labels * features * sizeof *w);
  assert_non_null(w);
  MUST(pith_tensor_unpack(weight, w, NULL, &error));
  const uint64_t samples[3] = {4, 9, 1};
  const float *answers;
  pith_train_batch batch;
  for (int again = 0; again < 2; again++) { /* nothing is kept */
    ask(&teacher, &data, &room, samples, 3, &answers, &batch);
    assert_int_equal(teacher.runs, again + 1);
  }
  assert_int_equal(teacher.comparisons.value_count, 2 + 2 * 2 + 1); /* states, queries and keys of both layers, values of the last */
  const size_t tokens = (size_t)batch.offsets[batch.sequences];
  for (uint32_t i = 0; i < teacher.comparisons.value_count; i++)
    for (uint32_t j = 0; j < i; j++)
      assert_memory_not_equal(batch.teacher_values[i], batch.teacher_values[j], tokens * features * sizeof(float));
  for (size_t t = 0; t < tokens; t++)
    for (size_t l = 0; l < labels; l++) {
      double sum = (double)((const float *)bias->data)[l];
      for (size_t f = 0; f < features; f++)
        sum += (double)w[l * features + f] * (double)batch.teacher_values[1][t * features + f];
      if (!(fabs(sum - (double)answers[t * labels + l]) < 1e-5))
        fail_msg("token %zu, label %zu: %g from the hidden state, %g", t, l, sum, (double)answers[t * labels + l]);
    }
  free(w);
  pith_teacher_close(&teacher);
  pith_train_data_deinit(&data);
  pith_arena_deinit(&arena);
  pith_import_deinit(&own);
}

static void test_answers(void **state) {
  (void)state;
  char text[4000];
  size_t bytes = (size_t)snprintf(text, sizeof text, "text\tlabel\n");
  for (int i = 0; i < ROWS; i++)
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "a dog%s %d\t%d\n", i % 3 == 0 ? " sat the" : "", i, i % 3);
  write_file("rows.tsv", text);
  check(GOLDEN "models/bert-sequence/config.json", "classification", "rows.tsv", 3);
  check(GOLDEN "models/bert-regression/config.json", "regression", "rows.tsv", 1);
  bytes = 0;
  for (int i = 0; i < ROWS; i++)
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "a O\n%sdog B\n\n", i % 2 == 0 ? "sat O\nthe I\n" : "");
  write_file("words.txt", text);
  pith_import words = make_model(GOLDEN "models/bert-token/config.json", GOLDEN "models/cross-encoder", 1);
  const uint32_t labels = words.data.label_count;
  bytes = 0; /* with labels that the model has */
  for (int i = 0; i < ROWS; i++)
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes, "a %s\n%sdog %s\n\n", words.data.labels[0],
                              i % 2 == 0 ? "sat 1\nthe 0\n" : "", words.data.labels[1]);
  write_file("words.txt", text);
  pith_import_deinit(&words);
  check(GOLDEN "models/bert-token/config.json", "entities", "words.txt", labels);
  bytes = (size_t)snprintf(text, sizeof text, "{\"data\":[{\"paragraphs\":[{\"context\":\"the dog sat\",\"qas\":[");
  for (int i = 0; i < ROWS; i++)
    bytes += (size_t)snprintf(text + bytes, sizeof text - bytes,
                              "%s{\"question\":\"%s %d\",\"answers\":[{\"text\":\"dog\",\"answer_start\":4}]}", i == 0 ? "" : ",",
                              i % 2 == 0 ? "a dog" : "the", i);
  snprintf(text + bytes, sizeof text - bytes, "]}]}]}");
  write_file("squad.json", text);
  check(GOLDEN "models/bert-question/config.json", "squad", "squad.json", 2);
}

static void expect_refused(pith_import *teacher, const char *text) {
  pith_import own = make_model(GOLDEN "models/bert-sequence/config.json", GOLDEN "models/cross-encoder", 3);
  struct pith_model student = {.allocator = pith_default_allocator, .data = own.data};
  char path[600];
  snprintf(path, sizeof path, "%s", in_place("other.pith"));
  MUST(pith_format_write(path, &teacher->data, &error));
  pith_train_data data;
  const pith_train_data_options reading = {.task = pith_eval_task_find("classification"), .path = in_place("rows.tsv"),
                                           .model = &student, .folder = place.path};
  MUST(pith_train_data_read(&data, &reading, &error));
  pith_teacher opened;
  const pith_teacher_options options = {.path = path, .student = &student, .data = &data, .most_tokens = MOST, .most_sequences = BATCH,
                                        .folder = place.path};
  if (pith_teacher_open(&opened, &options, &error) == PITH_OK || strstr(error.message, text) == NULL)
    fail_msg("'%s' does not say '%s'", error.message, text);
  pith_teacher_close(&opened);
  pith_train_data_deinit(&data);
  pith_import_deinit(&own);
  pith_import_deinit(teacher);
}

static void test_refusals(void **state) {
  (void)state;
  const char *config = GOLDEN "models/bert-sequence/config.json";
  pith_import teacher = make_model(GOLDEN "models/bert-regression/config.json", GOLDEN "models/cross-encoder", 1);
  expect_refused(&teacher, "its head is for regression, the student's for text-classification");
  teacher = make_model(config, NULL, 1);
  expect_refused(&teacher, "it carries no tokenizer");
  teacher = make_model(config, GOLDEN "models/cross-encoder", 1);
  pith_tokenizer_data words = *teacher.data.tokenizer;
  char *text = malloc(words.token_text_bytes);
  assert_non_null(text);
  memcpy(text, words.token_text, words.token_text_bytes);
  text[words.token_text_bytes - 1] ^= 1; /* one letter of the last token */
  words.token_text = text;
  teacher.data.tokenizer = &words;
  expect_refused(&teacher, "is not the student's");
  free(text);
  teacher = make_model(config, GOLDEN "models/cross-encoder", 1);
  static const char *const two[] = {"a", "b"}, *const three[] = {"LABEL_0", "LABEL_2", "LABEL_1"};
  pith_import with;
  pith_new_head head = {.name = "classification", .labels = two, .label_count = 2};
  MUST(pith_model_set_head(&teacher.data, &head, NULL, &with, &error));
  expect_refused(&with, "its answers have 2 numbers, the student's 3");
  pith_import_deinit(&teacher);
  teacher = make_model(config, GOLDEN "models/cross-encoder", 1);
  head = (pith_new_head){.name = "classification", .labels = three, .label_count = 3};
  MUST(pith_model_set_head(&teacher.data, &head, NULL, &with, &error));
  expect_refused(&with, "its label 1 is 'LABEL_2', the student's 'LABEL_1'");
  pith_import_deinit(&teacher);
  teacher = make_model(config, GOLDEN "models/cross-encoder", 1);
  teacher.data.max_length = 6;
  expect_refused(&teacher, "it reads 6 tokens, but line 2 has");
}

/* A file that says classification and holds a graph with a row for each token: none of it is taken for answers. */
static void test_other_rows(void **state) {
  (void)state;
  pith_import body = make_model(GOLDEN "models/bert-sequence/config.json", GOLDEN "models/cross-encoder", 3), own, words;
  static const char *const labels[] = {"a", "b", "c"};
  pith_new_head head = {.name = "classification", .labels = labels, .label_count = 3};
  MUST(pith_model_set_head(&body.data, &head, NULL, &own, &error));
  head.name = "entities";
  MUST(pith_model_set_head(&body.data, &head, NULL, &words, &error));
  struct pith_model student = {.allocator = pith_default_allocator, .data = own.data};
  words.data.task = PITH_TASK_CLASSIFICATION;
  char path[600];
  snprintf(path, sizeof path, "%s", in_place("other.pith"));
  MUST(pith_format_write(path, &words.data, &error));
  pith_train_data data;
  const pith_train_data_options reading = {.task = pith_eval_task_find("classification"), .path = in_place("rows.tsv"),
                                           .model = &student, .folder = place.path};
  MUST(pith_train_data_read(&data, &reading, &error));
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_batch_room room;
  MUST(pith_batch_room_init(&room, &data, MOST, BATCH, &arena, &error));
  pith_teacher teacher;
  const pith_teacher_options options = {.path = path, .student = &student, .data = &data, .most_tokens = MOST, .most_sequences = BATCH,
                                        .folder = place.path};
  MUST(pith_teacher_open(&teacher, &options, &error));
  const uint64_t samples[2] = {0, 1};
  const pith_order_batch order = {.samples = samples, .count = 2};
  pith_train_batch batch;
  pith_train_data_gather(&data, &order, 1, 0, &room, &batch);
  assert_int_equal(pith_teacher_answer(&teacher, &order, &batch, &error), PITH_UNSUPPORTED);
  assert_non_null(strstr(error.message, "for a batch that takes 2 rows"));
  pith_teacher_close(&teacher);
  pith_train_data_deinit(&data);
  pith_arena_deinit(&arena);
  pith_import_deinit(&own);
  pith_import_deinit(&words);
  pith_import_deinit(&body);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_hidden), cmocka_unit_test(test_refusals),
                                     cmocka_unit_test(test_other_rows)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
