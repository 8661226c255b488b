/* Tasks of words, of label sets and of hidden tokens; labels among a model's; which tokens are hidden. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/import/import.h"
#include "engine/exec/model.h"
#include "models/heads/heads.h"
#include "models/heads/metrics.h"
#include "models/tasks/evaluate.h"
#include "models/tasks/hiding.h"
#include "models/tasks/labels.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/"

static pith_error error;
#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)
#define assert_near(value, reference, bound)                                                               \
  do {                                                                                                     \
    double value_ = (value), reference_ = (reference);                                                     \
    if (!(fabs(value_ - reference_) <= (bound)))                                                           \
      fail_msg("%s is %.17g, not %.17g", #value, value_, reference_);                                      \
  } while (0)

/* A model in memory with a session on it. */
typedef struct fixture {
  pith_import import;
  struct pith_model model;
  pith_session *session;
} fixture;

static void open_session(fixture *f) {
  f->model = (struct pith_model){.data = f->import.data};
  f->model.allocator = pith_default_allocator;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 512;
  options.max_sequences = 8;
  options.max_rows = 200;
  MUST(pith_session_create(&f->model, &options, &f->session, &error));
}

static void close_session(fixture *f) {
  pith_session_destroy(f->session);
  pith_import_deinit(&f->import);
}

static double get_metric(const pith_evaluation *evaluation, const char *name) {
  for (size_t i = 0; i < evaluation->metric_count; i++)
    if (strcmp(evaluation->metrics[i].name, name) == 0)
      return evaluation->metrics[i].value;
  fail_msg("no metric %s", name);
  return 0;
}

/* ---- labels --------------------------------------------------------------------------------------------- */

static void test_labels(void **state) {
  (void)state;
  static const char *const names[] = {"bad", "good", "1"};
  const pith_model_data data = {.label_count = 3, .labels = names};
  static const struct {
    pith_dataset_row row;
    int32_t label;    /* -1: none, and the message says */
    const char *says; /* of it */
  } cases[] = {
      {{.label = NAN, .label_name = "good"}, 1, NULL},
      {{.label = 1, .label_name = "1"}, 2, NULL}, /* a name comes before a number */
      {{.label = 0, .label_name = "0"}, 0, NULL},
      {{.label = 2}, 2, NULL},
      {{.label = 3, .line = 7}, -1, "f.tsv: line 7: label '3' is none of the model's 3"},
      {{.label = 1.5}, -1, "'1.5'"},
      {{.label = -1}, -1, "'-1'"},
      {{.label = NAN, .label_name = "goo"}, -1, "'goo'"},
      {{.label = NAN, .label_name = "0x"}, -1, "'0x'"},
      {{.label = NAN, .label_name = ""}, -1, "''"},
      {{.label = NAN, .line = 2}, -1, "f.tsv: line 2: no label"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    int32_t label = -1;
    const pith_status status = pith_label_find(&data, "f.tsv", &cases[i].row, &label, &error);
    assert_int_equal(status, cases[i].label < 0 ? PITH_INVALID_ARGUMENT : PITH_OK);
    assert_int_equal(label, cases[i].label);
    if (status != PITH_OK && strstr(error.message, cases[i].says) == NULL)
      fail_msg("case %zu: %s", i, error.message);
  }

  int32_t holds[3], tags[2];
  static const char *const listed[] = {"good", "0"};
  pith_dataset_row row = {.label = NAN, .labels = listed, .label_count = 2};
  MUST(pith_label_set_find(&data, "f", &row, holds, &error));
  assert_true(holds[0] == 1 && holds[1] == 1 && holds[2] == 0);
  assert_int_equal(pith_labels_find(&data, "f", &row, tags, &error), PITH_INVALID_ARGUMENT); /* no words */
  static const uint32_t words[2][2] = {{0, 1}, {2, 3}};
  row.words = words;
  MUST(pith_labels_find(&data, "f", &row, tags, &error));
  assert_true(tags[0] == 1 && tags[1] == 0);
  assert_int_equal(pith_label_set_find(&data, "f", &row, holds, &error), PITH_INVALID_ARGUMENT); /* labels of words */
  row = (pith_dataset_row){.label = NAN, .label_name = "1,good"};
  MUST(pith_label_set_find(&data, "f", &row, holds, &error));
  assert_true(holds[0] == 0 && holds[1] == 1 && holds[2] == 1);
  row.label_name = "";
  MUST(pith_label_set_find(&data, "f", &row, holds, &error));
  assert_true(holds[0] + holds[1] + holds[2] == 0);
  row.label_name = "good,,bad";
  assert_int_equal(pith_label_set_find(&data, "f", &row, holds, &error), PITH_INVALID_ARGUMENT);
  row = (pith_dataset_row){.label = 0};
  MUST(pith_label_set_find(&data, "f", &row, holds, &error));
  assert_true(holds[0] == 1 && holds[1] == 0);
  double number;
  assert_int_equal(pith_label_get_number("f", &(pith_dataset_row){.label = NAN}, &number, &error), PITH_INVALID_ARGUMENT);
  MUST(pith_label_get_number("f", &(pith_dataset_row){.label = 2.5}, &number, &error));
  assert_true(number == 2.5);
}

/* ---- hidden tokens -------------------------------------------------------------------------------------- */

enum { CLS = 1, SEP = 2, PAD = 3, MASK = 4, VOCABULARY = 5000 };
static const pith_tokenizer_data tokenizer = {
    .cls_id = CLS, .sep_id = SEP, .pad_id = PAD, .mask_id = MASK, .unk_id = -1, .token_count = VOCABULARY};

static void test_hiding(void **state) {
  (void)state;
  enum { TOKENS = 100, SAMPLES = 2000 };
  size_t chosen = 0, masked = 0, kept = 0;
  int32_t first[TOKENS] = {0}, again[TOKENS], other[TOKENS];
  for (uint64_t sample = 0; sample < SAMPLES; sample++) {
    int32_t ids[TOKENS], rows[TOKENS], labels[TOKENS];
    for (int i = 0; i < TOKENS; i++)
      ids[i] = i == 0 ? CLS : i == 50 ? PAD : i == TOKENS - 1 ? SEP : 100 + i;
    const pith_hiding hiding = {&tokenizer, 7, sample, 3};
    const size_t n = pith_hiding_apply(&hiding, TOKENS, ids, rows, labels);
    assert_true(n >= 1);
    size_t r = 0;
    for (int i = 0; i < TOKENS; i++) {
      const int32_t was = i == 0 ? CLS : i == 50 ? PAD : i == TOKENS - 1 ? SEP : 100 + i;
      if (r < n && rows[r] == i) {
        assert_true(i != 0 && i != 50 && i != TOKENS - 1);
        assert_int_equal(labels[r++], was);
        assert_true(ids[i] >= 0 && ids[i] < VOCABULARY);
        masked += ids[i] == MASK;
        kept += ids[i] == was;
      } else {
        assert_int_equal(ids[i], was);
      }
    }
    assert_int_equal(r, n);
    chosen += n;
    if (sample == 0)
      memcpy(first, ids, sizeof first);
  }
  assert_near((double)chosen / (SAMPLES * 97.0), 0.15, 0.005);
  assert_near((double)masked / (double)chosen, 0.8, 0.01);
  assert_near((double)kept / (double)chosen, 0.1, 0.01);
  int32_t rows[TOKENS], labels[TOKENS];
  for (int i = 0; i < TOKENS; i++)
    again[i] = other[i] = i == 0 ? CLS : i == 50 ? PAD : i == TOKENS - 1 ? SEP : 100 + i;
  pith_hiding_apply(&(pith_hiding){&tokenizer, 7, 0, 3}, TOKENS, again, rows, labels);
  assert_memory_equal(again, first, sizeof first);
  pith_hiding_apply(&(pith_hiding){&tokenizer, 7, 0, 4}, TOKENS, other, rows, labels);
  assert_memory_not_equal(other, first, sizeof first);
}

static void test_hiding_few(void **state) {
  (void)state;
  int32_t rows[3], labels[3];
  for (uint64_t sample = 0; sample < 200; sample++) {
    int32_t ids[3] = {CLS, 77, SEP}; /* the only one that may be */
    assert_int_equal(pith_hiding_apply(&(pith_hiding){&tokenizer, 1, sample, 0}, 3, ids, rows, labels), 1);
    assert_true(rows[0] == 1 && labels[0] == 77);
    int32_t none[2] = {CLS, SEP};
    assert_int_equal(pith_hiding_apply(&(pith_hiding){&tokenizer, 1, sample, 0}, 2, none, rows, labels), 0);
    int32_t many[8] = {100, 100, 100, 100, 100, 100, 100, 100};
    assert_true(pith_hiding_apply(&(pith_hiding){&tokenizer, 1, sample, 0}, 8, many, rows, labels) <= 3);
  }
}

static void test_fill_mask(void **state) {
  (void)state;
  fixture f;
  MUST(pith_import_huggingface(GOLDEN "heads/bert-masked", NULL, &f.import, &error));
  open_session(&f);
  pith_dataset data;
  pith_dataset_init(&data, "memory", NULL);
  static const char *const texts[] = {"the harbour was quiet at dawn and the boats lay still .",
                                      "where she built boats in the old harbour", "a"};
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  double loss = 0, right = 0, hidden = 0;
  for (size_t i = 0; i < 3; i++) {
    *pith_dataset_add_row(&data) = (pith_dataset_row){.text = texts[i], .label = NAN, .line = i + 1};
    pith_sequence sequence;
    MUST(pith_feed_encode(f.session, &texts[i], NULL, 1, &arena, &sequence, &error));
    int32_t ids[100], rows[26], labels[26];
    memcpy(ids, sequence.ids, sequence.length * sizeof *ids);
    const size_t n = pith_hiding_apply(&(pith_hiding){f.import.data.tokenizer, 0, i, 0}, sequence.length, ids, rows, labels);
    pith_batch batch = PITH_BATCH_INIT;
    batch.sequences = 1;
    batch.offsets = (const int32_t[]){0, (int32_t)sequence.length};
    batch.ids = ids;
    batch.type_ids = sequence.type_ids;
    batch.rows = rows;
    batch.row_count = n;
    pith_result result = {.struct_size = sizeof result};
    MUST(pith_session_run(f.session, &batch, &result, &error));
    const size_t classes = result.outputs[0].columns;
    for (size_t r = 0; r < n; r++) {
      const float *logits = (const float *)result.outputs[0].data + r * classes;
      double sum = 0;
      bool best = true;
      for (size_t c = 0; c < classes; c++) {
        sum += exp((double)logits[c]);
        best &= logits[c] <= logits[labels[r]];
      }
      loss -= log(exp((double)logits[labels[r]]) / sum);
      right += best;
      hidden++;
    }
  }
  pith_evaluation evaluation;
  MUST(pith_evaluate(f.session, pith_eval_task_find("fill-mask"), &data, NULL, NULL, &evaluation, &error));
  assert_int_equal(evaluation.n, 3);
  assert_near(get_metric(&evaluation, "perplexity"), exp(loss / hidden), 1e-9 * exp(loss / hidden));
  assert_near(get_metric(&evaluation, "accuracy"), right / hidden, 1e-12);
  assert_true(hidden >= 4);
  pith_arena_deinit(&arena);
  pith_dataset_deinit(&data);
  close_session(&f);
}

/* ---- words ---------------------------------------------------------------------------------------------- */

/* Words of a text with the labels that the model itself gives their first tokens. */
static void label_words(const fixture *f, const char *text, pith_arena *arena, pith_dataset_row *row) {
  pith_labelled_text labelled;
  MUST(pith_heads_label_tokens(f->session, &text, 1, arena, &labelled, &error));
  uint32_t(*words)[2] = pith_arena_array(arena, 100, sizeof *words);
  const char **labels = PITH_ARENA_NEW(arena, const char *, 100);
  *row = (pith_dataset_row){.text = text, .label = NAN, .words = (const uint32_t(*)[2])words, .labels = labels};
  for (uint32_t at = 0; text[at] != '\0';) {
    const uint32_t end = at + (uint32_t)strcspn(text + at, " ");
    words[row->label_count][0] = at;
    words[row->label_count][1] = end;
    labels[row->label_count] = "O"; /* where no token begins in the word */
    for (size_t t = labelled.end; t-- > labelled.begin;)
      if (labelled.encoded.offsets[t][0] >= at && labelled.encoded.offsets[t][0] < end)
        labels[row->label_count] = f->import.data.labels[labelled.labels[t].index];
    row->label_count++;
    at = end + (text[end] == ' ');
  }
}

static void test_entities(void **state) {
  (void)state;
  fixture f;
  MUST(pith_import_huggingface(GOLDEN "heads/bert-token", NULL, &f.import, &error));
  open_session(&f);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_dataset data;
  pith_dataset_init(&data, "memory", NULL);
  char longer[600] = ""; /* more tokens than the model takes at once */
  while (strlen(longer) < 550)
    strcat(longer, "Basel harbour ");
  longer[strlen(longer) - 1] = '\0';
  const char *texts[] = {"Anna Keller moved from Basel to the old harbour of Odense", "boats \xe2\x80\x8b in 1987", longer};
  double words = 0;
  for (size_t i = 0; i < 3; i++) {
    label_words(&f, texts[i], &arena, pith_dataset_add_row(&data));
    words += data.rows[i].label_count - (i == 1); /* U+200B becomes no token: it counts on neither side */
  }
  const pith_eval_task *task = pith_eval_task_find("entities");
  pith_evaluation evaluation;
  MUST(pith_evaluate(f.session, task, &data, NULL, NULL, &evaluation, &error));
  assert_true(get_metric(&evaluation, "f1") == 1 && get_metric(&evaluation, "precision") == 1);
  assert_true(get_metric(&evaluation, "accuracy") == 1 && get_metric(&evaluation, "f1_strict") > 0);
  /* One word with another label. */
  const char **labels = (const char **)(uintptr_t)data.rows[0].labels;
  labels[3] = strcmp(labels[3], "B-LOC") == 0 ? "B-PER" : "B-LOC";
  MUST(pith_evaluate(f.session, task, &data, NULL, NULL, &evaluation, &error));
  assert_near(get_metric(&evaluation, "accuracy"), (words - 1) / words, 1e-12);
  assert_true(get_metric(&evaluation, "f1") < 1);
  labels[3] = "B-NOWHERE";
  data.rows[0].line = 12;
  assert_int_equal(pith_evaluate(f.session, task, &data, NULL, NULL, &evaluation, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "memory: line 12: label 'B-NOWHERE'"));
  pith_arena_deinit(&arena);
  pith_dataset_deinit(&data);
  close_session(&f);
}

/* ---- sets ----------------------------------------------------------------------------------------------- */

static void test_sets(void **state) {
  (void)state;
  fixture f;
  MUST(pith_import_huggingface(GOLDEN "models/bert-multi-label", NULL, &f.import, &error));
  open_session(&f);
  enum { ROWS = 9 };
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_dataset data;
  pith_dataset_init(&data, "memory", NULL);
  const size_t label_count = f.import.data.label_count;
  assert_true(label_count >= 2);
  size_t positive = 0;
  for (int i = 0; i < ROWS; i++) {
    int32_t *ids = PITH_ARENA_NEW(&arena, int32_t, 5);
    for (int t = 0; t < 5; t++)
      ids[t] = (i * 7 + t * 3) % 40;
    const pith_sequence sequence = {ids, NULL, 5};
    pith_label best;
    float logits[16];
    MUST(pith_heads_classify(f.session, &sequence, 1, &arena, &best, logits, &error));
    const char **labels = PITH_ARENA_NEW(&arena, const char *, label_count);
    pith_dataset_row row = {.ids = ids, .id_count = 5, .label = NAN, .labels = labels};
    for (size_t l = 0; l < label_count; l++)
      if (logits[l] > 0)
        labels[row.label_count++] = f.import.data.labels[l];
    positive += row.label_count;
    *pith_dataset_add_row(&data) = row;
  }
  assert_true(positive > 1 && positive < ROWS * label_count);
  const pith_eval_task *task = pith_eval_task_find("multi-label");
  pith_evaluation evaluation;
  MUST(pith_evaluate(f.session, task, &data, NULL, NULL, &evaluation, &error));
  assert_true(get_metric(&evaluation, "f1") == 1 && get_metric(&evaluation, "accuracy") == 1);
  int changed = 0;
  while (data.rows[changed].label_count == 0)
    changed++;
  data.rows[changed].label_count--; /* one that the model says and that is not wanted */
  MUST(pith_evaluate(f.session, task, &data, NULL, NULL, &evaluation, &error));
  assert_near(get_metric(&evaluation, "accuracy"), (ROWS - 1.0) / ROWS, 1e-12);
  assert_near(get_metric(&evaluation, "f1"), 2.0 * (double)(positive - 1) / (double)(2 * positive - 1), 1e-12);
  assert_int_equal(pith_evaluate(f.session, pith_eval_task_find("pairs"), &data, NULL, NULL, &evaluation, &error),
                   PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_evaluate(f.session, pith_eval_task_find("entities"), &data, NULL, NULL, &evaluation, &error),
                   PITH_INVALID_ARGUMENT);
  pith_arena_deinit(&arena);
  pith_dataset_deinit(&data);
  close_session(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_labels),    cmocka_unit_test(test_hiding),   cmocka_unit_test(test_hiding_few),
      cmocka_unit_test(test_fill_mask), cmocka_unit_test(test_entities), cmocka_unit_test(test_sets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
