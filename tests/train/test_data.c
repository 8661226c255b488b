/* What is trained on: the ids and labels of every kind of row, long texts in windows, rows held out, rows that cannot be used,
 * files larger than the memory there is. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthreadpool.h>

#include "compiler/import/import.h"
#include "engine/exec/model.h"
#include "models/heads/heads.h"
#include "train/data.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/"

static pith_error error;
#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

/* ---- models and files ------------------------------------------------------------------------------------ */

typedef struct fixture {
  pith_import import;
  struct pith_model model;
} fixture;

static void open_fixture(fixture *f) {
  f->model = (struct pith_model){.data = f->import.data};
  f->model.allocator = pith_default_allocator;
}

static void open_new(fixture *f, const char *config) {
  pith_new_options options = PITH_NEW_OPTIONS_INIT;
  options.tokenizer_directory = GOLDEN "models/cross-encoder";
  char path[500];
  snprintf(path, sizeof path, GOLDEN "models/%s/config.json", config);
  MUST(pith_new_model(path, &options, &f->import, &error));
  open_fixture(f);
}

static void open_golden(fixture *f, const char *name) {
  char path[500];
  snprintf(path, sizeof path, GOLDEN "%s", name);
  MUST(pith_import_huggingface(path, NULL, &f->import, &error));
  open_fixture(f);
}

static void close_fixture(fixture *f) {
  pith_import_deinit(&f->import);
}

static const char *get_folder(void) {
  const char *folder = getenv("TMPDIR");
  return folder == NULL ? "/tmp" : folder;
}

static const char *write_file(const char *name, const char *text) {
  static char path[300];
  snprintf(path, sizeof path, "%s/pith-%d-%s", get_folder(), (int)getpid(), name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
  return path;
}

static pith_status read_data(pith_train_data *data, const fixture *f, const char *task, const char *path,
                             const pith_train_data_options *more) {
  pith_train_data_options options = more == NULL ? (pith_train_data_options){0} : *more;
  options.task = pith_eval_task_find(task);
  options.path = path;
  options.model = &f->model;
  options.folder = get_folder();
  const pith_status status = pith_train_data_read(data, &options, &error);
  unlink(path);
  return status;
}

/* All samples, in order, as one batch. */
typedef struct everything {
  pith_arena arena;
  pith_train_batch batch;
  pith_batch_room room;
} everything;

static void gather_all(const pith_train_data *data, uint64_t epoch, everything *all) {
  pith_arena_init(&all->arena, NULL);
  uint64_t *samples = PITH_ARENA_NEW(&all->arena, uint64_t, data->count);
  for (uint64_t i = 0; i < data->count; i++)
    samples[i] = i;
  const pith_order_batch order = {samples, data->count, data->tokens, true};
  MUST(pith_batch_room_init(&all->room, data, data->tokens, data->count, &all->arena, &error));
  pith_train_data_gather(data, &order, 5, epoch, &all->room, &all->batch);
  assert_int_equal(all->batch.sequences, pith_train_data_count_sequences(data, data->count));
  assert_int_equal(all->batch.offsets[all->batch.sequences], data->tokens);
}

static void expect_encoded(const fixture *f, const everything *all, size_t s, const char *text, const char *pair, size_t max_length) {
  int32_t ids[600], type_ids[600];
  pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = 600, .ids = ids, .type_ids = type_ids};
  MUST(pith_encode(&f->model, text, SIZE_MAX, pair, SIZE_MAX, max_length, &encoding, &error));
  const int32_t begin = all->batch.offsets[s];
  assert_int_equal(all->batch.offsets[s + 1] - begin, encoding.count);
  assert_memory_equal(all->batch.ids + begin, ids, encoding.count * sizeof *ids);
  assert_memory_equal(all->batch.type_ids + begin, type_ids, encoding.count * sizeof *ids);
}

/* ---- kinds ------------------------------------------------------------------------------------------------ */

static void test_classes(void **state) {
  (void)state;
  fixture f;
  open_new(&f, "bert-sequence");
  static const char rows[] = "{\"text\":\"a dog sat\",\"label\":\"LABEL_2\"}\n"
                             "{\"text\":\"the film was bad\",\"pair\":\"a cat\",\"label\":1}\n"
                             "{\"ids\":[1,2,3],\"type_ids\":[0,1,1],\"label\":0}\n"
                             "{\"text\":\"a dog sat a dog sat a dog sat a dog sat\",\"label\":1}\n";
  pith_train_data data;
  MUST(read_data(&data, &f, "classification", write_file("c.jsonl", rows), &(pith_train_data_options){.max_length = 10}));
  assert_true(data.count == 4 && data.rows == 4 && data.full == 1 && data.sequences == 1);
  everything all;
  gather_all(&data, 0, &all);
  expect_encoded(&f, &all, 0, "a dog sat", NULL, 10);
  expect_encoded(&f, &all, 1, "the film was bad", "a cat", 10);
  expect_encoded(&f, &all, 3, "a dog sat a dog sat a dog sat a dog sat", NULL, 10);
  assert_int_equal(data.samples[3].tokens, 10);
  const int32_t at = all.batch.offsets[2];
  assert_memory_equal(all.batch.ids + at, ((int32_t[]){1, 2, 3}), 12);
  assert_memory_equal(all.batch.type_ids + at, ((int32_t[]){0, 1, 1}), 12);
  assert_memory_equal(all.batch.labels, ((int32_t[]){2, 1, 0, 1}), 16);
  assert_true(all.batch.targets == NULL && all.batch.rows == NULL && all.batch.row_count == 0);
  assert_int_equal(data.samples[3].row, 4);
  pith_arena_deinit(&all.arena);
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

static void test_values(void **state) {
  (void)state;
  static const char rows[] = "a dog sat,a dog,5\nthe cat,bad,1.5\n";
  static const struct {
    const char *config;
    uint32_t sequences;
    float targets[2];
  } cases[] = {{"bert-regression", 1, {5, 1.5f}}, {"bert-one-label", 1, {1, 0.3f}}};
  for (size_t c = 0; c < 2; c++) {
    fixture f;
    open_new(&f, cases[c].config);
    pith_train_data data;
    MUST(read_data(&data, &f, "stsb", write_file("v.csv", rows), NULL));
    everything all;
    gather_all(&data, 0, &all);
    assert_int_equal(data.sequences, cases[c].sequences);
    expect_encoded(&f, &all, 1, "the cat", "bad", 0);
    assert_memory_equal(all.batch.targets, cases[c].targets, sizeof cases[c].targets);
    assert_null(all.batch.labels);
    pith_arena_deinit(&all.arena);
    pith_train_data_deinit(&data);
    close_fixture(&f);
  }
}

static void test_embeddings(void **state) {
  (void)state;
  fixture f;
  open_golden(&f, "models/sentence-mean-normalize");
  for (int contrastive = 0; contrastive < 2; contrastive++) {
    pith_train_data data;
    MUST(read_data(&data, &f, contrastive ? "pairs" : "stsb",
                   write_file(contrastive ? "e.tsv" : "e.csv",
                              contrastive ? "text\tpair\na dog sat\ta dog\nthe cat\tbad\n" : "a dog sat,a dog,5\nthe cat,bad,1.5\n"),
                   NULL));
    assert_true(data.count == 2 && data.sequences == 2);
    everything all;
    gather_all(&data, 0, &all);
    assert_int_equal(all.batch.sequences, 4);
    expect_encoded(&f, &all, 0, "a dog sat", NULL, 0);
    expect_encoded(&f, &all, 1, "a dog", NULL, 0);
    expect_encoded(&f, &all, 3, "bad", NULL, 0);
    assert_null(all.batch.labels);
    if (contrastive)
      assert_null(all.batch.targets);
    else
      assert_memory_equal(all.batch.targets, ((float[]){1, 0.3f}), 8);
    pith_arena_deinit(&all.arena);
    pith_train_data_deinit(&data);
  }
  close_fixture(&f);
}

static void test_sets(void **state) {
  (void)state;
  fixture f;
  open_new(&f, "bert-multi-label");
  const char *const *names = f.import.data.labels;
  char rows[400];
  snprintf(rows, sizeof rows, "label\ttext\n%s,%s\ta dog\n\tbad\n", names[0], names[2]);
  pith_train_data data;
  MUST(read_data(&data, &f, "multi-label", write_file("s.tsv", rows), NULL));
  everything all;
  gather_all(&data, 0, &all);
  const uint32_t labels = f.import.data.label_count;
  for (uint32_t i = 0; i < 2 * labels; i++)
    assert_true(all.batch.targets[i] == (i == 0 || i == 2 ? 1.0f : 0.0f));
  expect_encoded(&f, &all, 1, "bad", NULL, 0);
  pith_arena_deinit(&all.arena);
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

/* Each word has one label in all windows together, at its first token. */
static void test_tags(void **state) {
  (void)state;
  fixture f;
  open_golden(&f, "heads/bert-token");
  enum { WORDS = 40 };
  static const char *const words[] = {"harbour", "Keller", "moved", "old", "1987,", "unhappiest"};
  char rows[2000] = "", text[1000] = "";
  for (int i = 0; i < WORDS; i++) {
    snprintf(rows + strlen(rows), sizeof rows - strlen(rows), "%s X %s\n", words[i % 6], i % 6 == 1 ? "B-PER" : i % 6 == 2 ? "I-PER" : "O");
    snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", i == 0 ? "" : " ", words[i % 6]);
  }
  strcat(rows, "\nOdense B-LOC\n");
  int32_t ids[1000];
  uint32_t offsets[1000][2];
  pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = 1000, .ids = ids, .offsets = offsets};
  MUST(pith_encode(&f.model, text, SIZE_MAX, NULL, 0, 0, &encoding, &error));
  for (size_t max_length = 24; max_length <= 512; max_length += 488) {
    pith_train_data data;
    MUST(read_data(&data, &f, "entities", write_file("t.txt", rows), &(pith_train_data_options){.max_length = max_length}));
    assert_true(max_length == 512 ? data.count == 2 : data.count > 4);
    everything all;
    gather_all(&data, 0, &all);
    int counts[3] = {0};
    for (size_t s = 0; s + 1 < data.count; s++) {
      const int32_t begin = all.batch.offsets[s], end = all.batch.offsets[s + 1];
      assert_true((size_t)(end - begin) <= max_length);
      for (int32_t t = begin; t < end; t++) {
        const int32_t label = all.batch.labels[t];
        if (label == -100)
          continue;
        assert_true(label >= 0 && label <= 2);
        counts[label]++;
        /* The window's token stands somewhere in the text with that label. */
        if (label != 0 && max_length == 512) {
          const uint32_t at = offsets[t - begin][0];
          assert_true(strncmp(text + at, label == 1 ? "Keller" : "moved", 5) == 0);
        }
      }
      assert_int_equal(all.batch.labels[begin], -100);
      assert_int_equal(all.batch.labels[end - 1], -100);
    }
    assert_true(counts[0] == 26 && counts[1] == 7 && counts[2] == 7); /* of 40 */
    const int32_t last = all.batch.offsets[data.count - 1];
    assert_int_equal(all.batch.labels[last + 1], 3);
    pith_arena_deinit(&all.arena);
    pith_train_data_deinit(&data);
  }
  close_fixture(&f);
}

/* The tokens of the answer, in each window that has it whole; else the classifier's token. */
static void test_spans(void **state) {
  (void)state;
  fixture f;
  open_golden(&f, "heads/bert-question");
  static const char context[] = "Anna Keller moved from Basel to the old harbour of Odense in 1987, where she built boats.";
  char rows[1000];
  const char *answer = "the old harbour";
  snprintf(rows, sizeof rows,
           "{\"data\":[{\"paragraphs\":[{\"context\":\"%s\",\"qas\":[{\"question\":\"where?\",\"answers\":[{\"text\":\"%s\","
           "\"answer_start\":%d}]},{\"question\":\"who?\",\"answers\":[{\"text\":\"Anna Keller\",\"answer_start\":0}]}]}]}]}",
           context, answer, (int)(strstr(context, answer) - context));
  for (size_t max_length = 24; max_length <= 384; max_length += 360) {
    pith_train_data data;
    MUST(read_data(&data, &f, "squad", write_file("q.json", rows), &(pith_train_data_options){.max_length = max_length}));
    assert_true(max_length == 384 ? data.count == 2 : data.count > 4);
    everything all;
    gather_all(&data, 0, &all);
    size_t with = 0, without = 0;
    for (size_t s = 0; s < data.count; s++) {
      const int32_t begin = all.batch.offsets[s], *span = all.batch.labels + 2 * s;
      if (span[0] == 0) {
        assert_int_equal(span[1], 0);
        assert_int_equal(all.batch.ids[begin], f.import.data.tokenizer->cls_id);
        without++;
        continue;
      }
      with++;
      char read[200] = "";
      for (int32_t t = span[0]; t <= span[1]; t++) {
        size_t bytes;
        const char *token = pith_token_text(&f.model, all.batch.ids[begin + t], &bytes);
        const bool goes_on = bytes > 2 && memcmp(token, "##", 2) == 0;
        snprintf(read + strlen(read), sizeof read - strlen(read), "%s%.*s", goes_on || t == span[0] ? "" : " ",
                 (int)(bytes - (goes_on ? 2 : 0)), token + (goes_on ? 2 : 0));
      }
      const char *wanted = data.samples[s].row == 0 ? "the old harbour" : "anna keller";
      if (strcasecmp(read, wanted) != 0)
        fail_msg("sample %zu: '%s', not '%s'", s, read, wanted);
    }
    assert_true(with >= 2 && (without > 0) == (max_length == 24));
    pith_arena_deinit(&all.arena);
    pith_train_data_deinit(&data);
  }
  close_fixture(&f);
}

static void test_fill_mask(void **state) {
  (void)state;
  fixture f;
  open_golden(&f, "heads/bert-masked");
  static const char rows[] = "the old harbour of Odense in 1987, where she built boats\n\nAnna Keller moved\n";
  pith_train_data data;
  MUST(read_data(&data, &f, "fill-mask", write_file("m.txt", rows), &(pith_train_data_options){.max_length = 12}));
  assert_true(data.count >= 3);
  everything all, again, other;
  gather_all(&data, 0, &all);
  gather_all(&data, 0, &again);
  gather_all(&data, 1, &other);
  assert_true(all.batch.row_count >= data.count);
  assert_true(all.batch.row_count <= pith_train_data_count_rows(&data, data.tokens, data.count));
  assert_int_equal(all.batch.row_count, again.batch.row_count);
  assert_memory_equal(all.batch.ids, again.batch.ids, data.tokens * sizeof(int32_t));
  assert_memory_equal(all.batch.rows, again.batch.rows, all.batch.row_count * sizeof(int32_t));
  assert_true(other.batch.row_count != all.batch.row_count ||
              memcmp(other.batch.rows, all.batch.rows, all.batch.row_count * sizeof(int32_t)) != 0);
  /* What was hidden, put back, is what stands in the file. */
  for (size_t r = 0; r < all.batch.row_count; r++) {
    assert_true(r == 0 || all.batch.rows[r] > all.batch.rows[r - 1]);
    all.room.ids[all.batch.rows[r]] = all.batch.labels[r];
  }
  for (uint64_t s = 0, token = 0; s < data.count; s++)
    for (uint32_t t = 0; t < data.samples[s].tokens; t++, token++)
      assert_int_equal(all.batch.ids[token], data.words[data.samples[s].offset + 1 + t] & 0xffffff);
  pith_arena_deinit(&all.arena);
  pith_arena_deinit(&again.arena);
  pith_arena_deinit(&other.arena);
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

/* ---- the whole file ---------------------------------------------------------------------------------------- */

static char *make_rows(size_t count) {
  char *rows = malloc(count * 60 + 20), *at = rows;
  assert_non_null(rows);
  at += sprintf(at, "sentence\tlabel\n");
  for (size_t i = 0; i < count; i++)
    at += sprintf(at, "a dog%s %zu the film %zu\t%zu\n", i % 3 == 0 ? " sat" : "", i, i * 7, i % 2);
  return rows;
}

/* The same samples whatever the threads. */
static void test_threads(void **state) {
  (void)state;
  fixture f;
  open_new(&f, "bert-sequence");
  char *rows = make_rows(5000);
  pith_train_data one, two;
  MUST(read_data(&one, &f, "sst2", write_file("one.tsv", rows), NULL));
  pthreadpool_t pool = pthreadpool_create(2);
  MUST(read_data(&two, &f, "sst2", write_file("two.tsv", rows), &(pith_train_data_options){.pool = pool}));
  assert_int_equal(one.count, 5000);
  assert_memory_equal(one.digest, two.digest, sizeof one.digest);
  assert_memory_equal(one.words, two.words, one.word_spool.size);
  assert_memory_equal(one.samples, two.samples, one.count * sizeof *one.samples);
  assert_int_equal(one.samples[4999].row, 5001);
  pith_train_data_deinit(&two);
  rows[strlen(rows) - 2] ^= 1; /* another label */
  MUST(read_data(&two, &f, "sst2", write_file("two.tsv", rows), NULL));
  assert_memory_not_equal(one.digest, two.digest, sizeof one.digest);
  pith_train_data_deinit(&one);
  pith_train_data_deinit(&two);
  pthreadpool_destroy(pool);
  free(rows);
  close_fixture(&f);
}

static void test_held_out(void **state) {
  (void)state;
  fixture f;
  open_new(&f, "bert-sequence");
  enum { ROWS = 3000 };
  char *rows = make_rows(ROWS);
  static uint8_t where[2][ROWS + 2];
  for (uint64_t seed = 0; seed < 2; seed++) {
    pith_train_data data;
    MUST(read_data(&data, &f, "sst2", write_file("h.tsv", rows), &(pith_train_data_options){.held_out = 0.2, .seed = seed}));
    assert_true(data.count + data.held_out.count == ROWS && data.rows == data.count);
    assert_true(fabs((double)data.held_out.count / ROWS - 0.2) < 0.03);
    for (uint64_t i = 0; i < data.count; i++)
      where[seed][data.samples[i].row] += 1;
    for (size_t i = 0; i < data.held_out.count; i++)
      where[seed][data.held_out.rows[i].line] += 2;
    for (size_t line = 2; line < ROWS + 2; line++)
      assert_true(where[seed][line] == 1 || where[seed][line] == 2);
    assert_non_null(strstr(data.held_out.rows[0].text, "a dog"));
    pith_train_data_deinit(&data);
  }
  assert_memory_not_equal(where[0], where[1], sizeof where[0]);
  pith_train_data data;
  assert_int_equal(read_data(&data, &f, "sst2", write_file("h.tsv", "sentence\tlabel\na\t1\n"),
                             &(pith_train_data_options){.held_out = 1e-9}),
                   PITH_INVALID_ARGUMENT);
  pith_train_data_deinit(&data);
  free(rows);
  close_fixture(&f);
}

/* Questions that are held out keep their texts, which lie in the file's document. */
static void test_held_out_questions(void **state) {
  (void)state;
  fixture f;
  open_golden(&f, "heads/bert-question");
  char rows[6000] = "{\"data\":[{\"paragraphs\":[{\"context\":\"the old harbour\",\"qas\":[";
  for (int i = 0; i < 40; i++)
    snprintf(rows + strlen(rows), sizeof rows - strlen(rows),
             "%s{\"question\":\"where %d?\",\"answers\":[{\"text\":\"harbour\",\"answer_start\":8}]}", i == 0 ? "" : ",", i);
  strcat(rows, "]}]}]}");
  pith_train_data data;
  MUST(read_data(&data, &f, "squad", write_file("q.json", rows), &(pith_train_data_options){.held_out = 0.5}));
  assert_true(data.held_out.count > 5 && data.count + data.held_out.count == 40);
  for (size_t i = 0; i < data.held_out.count; i++) {
    assert_string_equal(data.held_out.rows[i].pair, "the old harbour");
    assert_string_equal(data.held_out.rows[i].references[0], "harbour");
  }
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

static void test_refused(void **state) {
  (void)state;
  static const struct {
    const char *model, *task, *name, *rows, *says;
  } cases[] = {
      {"models/bert-sequence", "squad", "a.json", "{}", "text-classification: it cannot learn task squad"},
      {"models/bert-sequence", "stsb", "a.csv", "a,b,1\n", "cannot learn task stsb"},
      {"models/bert-sequence", "classification", "a.jsonl", "{\"text\":\"a\",\"label\":0}\n{\"text\":\"a\",\"label\":\"x\"}\n",
       "a.jsonl: line 2: label 'x' is none of the model's 3"},
      {"models/bert-sequence", "classification", "a.jsonl", "{\"text\":\"a\"}\n", "line 1: no label"},
      {"models/bert-sequence", "classification", "a.jsonl", "{\"text\":\"a\",\"label\":0}\n{\"text\":7}\n", "line 2: \"text\""},
      {"models/bert-sequence", "classification", "a.jsonl", "{\"ids\":[1,41],\"label\":0}\n",
       "line 1: id 41 is outside the model's vocabulary of 41"},
      {"models/bert-sequence", "classification", "a.jsonl", "{\"ids\":[1],\"type_ids\":[2],\"label\":0}\n",
       "line 1: type id 2 is outside the model's 2"},
      {"models/bert-sequence", "classification", "a.jsonl",
       "{\"ids\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1],\"label\":0}\n", "line 1: 25 ids are over the limit of 24"},
      {"models/bert-sequence", "sst2", "a.tsv", "sentence\tlabel\n", "no rows"},
      {"models/bert-regression", "regression", "a.csv", "text,label\na,1\nb,high\n", "line 3: no number as its label"},
      {"models/bert-one-label", "regression", "a.csv", "text,label\na,1\nb,2\n", "line 3: label 2 is outside 0 to 1"},
      {"models/sentence-mean-normalize", "stsb", "a.csv", "a,b,6\n", "line 1: label 6 is outside -5 to 5"},
      {"models/sentence-mean-normalize", "pairs", "a.tsv", "text\tpair\na\tb\n\nc\n", "line 4 has 1 fields"},
      {"models/sentence-mean-normalize", "pairs", "a.jsonl", "{\"text\":\"a\"}\n", "line 1: not two texts"},
      {"heads/bert-token", "entities", "a.txt", "Odense B-LOC\nis B-VERB\n", "line 1: label 'B-VERB'"},
      {"heads/bert-token", "entities", "a.jsonl", "{\"text\":\"a\",\"label\":0}\n", "line 1: no words with labels"},
      {"heads/bert-question", "squad", "a.jsonl", "{\"question\":\"q\",\"context\":\"a b\",\"answers\":[]}\n", "line 1: no answer"},
      {"heads/bert-question", "squad", "a.jsonl",
       "{\"question\":\"q\",\"context\":\"a b\",\"answers\":[{\"text\":\"b\",\"answer_start\":1}]}\n", "line 1: answer 'b' does not stand"},
      {"heads/bert-question", "squad", "a.jsonl", "{\"question\":\"q\"}\n", "line 1: no question and context"},
      {"heads/bert-masked", "fill-mask", "a.jsonl", "{\"ids\":[1]}\n", "line 1: no text"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    fixture f;
    if (strncmp(cases[i].model, "models/bert", 11) == 0)
      open_new(&f, cases[i].model + 7);
    else
      open_golden(&f, cases[i].model);
    pith_train_data data;
    const pith_status status = read_data(&data, &f, cases[i].task, write_file(cases[i].name, cases[i].rows), NULL);
    if (status == PITH_OK || strstr(error.message, cases[i].says) == NULL)
      fail_msg("case %zu: status %d, '%s'", i, (int)status, error.message);
    pith_train_data_deinit(&data);
    close_fixture(&f);
  }
}

static void test_full_disk(void **state) {
  (void)state;
  fixture f;
  open_new(&f, "bert-sequence");
  char *rows = make_rows(20000);
  const char *path = write_file("d.tsv", rows);
  free(rows);
  signal(SIGXFSZ, SIG_IGN);
  struct rlimit was, less;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
  less = was;
  less.rlim_cur = 100000;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
  pith_train_data data;
  const pith_status status = read_data(&data, &f, "sst2", path, NULL);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
  assert_int_equal(status, PITH_IO);
  assert_non_null(strstr(error.message, "File too large"));
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

/* 15 MB of text and 14 MB of samples with 4 MB of memory to spare. What is mapped from files does not count as memory. */
static void test_larger_than_memory(void **state) {
  (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  skip(); /* they take memory of their own */
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer) || __has_feature(address_sanitizer)
  skip();
#endif
#endif
  fixture f;
  open_new(&f, "bert-sequence");
  enum { ROWS = 400000 };
  char *rows = make_rows(ROWS);
  const size_t bytes = strlen(rows);
  const char *path = write_file("large.tsv", rows);
  free(rows);
  FILE *status_file = fopen("/proc/self/status", "r");
  assert_non_null(status_file);
  char line[200];
  unsigned long data_kb = 0;
  while (fgets(line, sizeof line, status_file) != NULL)
    sscanf(line, "VmData: %lu", &data_kb);
  fclose(status_file);
  assert_true(data_kb > 0);
  struct rlimit was, less;
  assert_int_equal(getrlimit(RLIMIT_DATA, &was), 0);
  less = was;
  less.rlim_cur = (data_kb + 4096) * 1024;
  assert_int_equal(setrlimit(RLIMIT_DATA, &less), 0);
  pith_train_data data;
  const pith_status status = read_data(&data, &f, "sst2", path, NULL);
  assert_int_equal(setrlimit(RLIMIT_DATA, &was), 0);
  if (status != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(data.count, ROWS);
  assert_true(bytes > 3 * 4096 * 1024 && data.word_spool.size + data.sample_spool.size > 3 * 4096 * 1024);
  pith_train_data_deinit(&data);
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_classes),   cmocka_unit_test(test_values),   cmocka_unit_test(test_embeddings),
      cmocka_unit_test(test_sets),      cmocka_unit_test(test_tags),     cmocka_unit_test(test_spans),
      cmocka_unit_test(test_fill_mask), cmocka_unit_test(test_threads),  cmocka_unit_test(test_held_out),
      cmocka_unit_test(test_held_out_questions), cmocka_unit_test(test_refused), cmocka_unit_test(test_full_disk),
      cmocka_unit_test(test_larger_than_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
