/* Text-to-answer functions against Hugging Face's pipelines (tests/golden/heads), and their limits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <pthreadpool.h>

#include "compiler/import/import.h"
#include "engine/base/mapped_file.h"
#include "engine/format/format.h"
#include "models/heads/heads.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/heads/"

typedef struct fixture {
  pith_model *model;
  pith_session *session;
  pthreadpool_t pool;
  cJSON *golden;
} fixture;

static void must(pith_status status, const pith_error *error) {
  if (status != PITH_OK)
    fail_msg("%s: %s", pith_status_string(status), error->message);
}

static fixture open_import(pith_import *import, const pith_session_options *options, size_t threads) {
  fixture f = {0};
  pith_error error = {0};
  const char *folder = getenv("TMPDIR");
  char path[600];
  snprintf(path, sizeof path, "%s/pith-heads-%d.pith", folder == NULL ? "/tmp" : folder, (int)getpid());
  must(pith_format_write(path, &import->data, &error), &error);
  pith_import_deinit(import);
  must(pith_model_open(path, NULL, &f.model, &error), &error);
  unlink(path);
  pith_session_options own = *options;
  if (threads > 1)
    f.pool = pthreadpool_create(threads);
  own.threadpool = f.pool;
  must(pith_session_create(f.model, &own, &f.session, &error), &error);
  return f;
}

static fixture open_fixture(const char *directory, size_t max_tokens, size_t max_sequences, size_t threads) {
  pith_error error = {0};
  pith_import import;
  must(pith_import_huggingface(directory, NULL, &import, &error), &error);
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = max_tokens;
  options.max_sequences = max_sequences;
  return open_import(&import, &options, threads);
}

static fixture open_golden(const char *name, size_t max_tokens, size_t threads) {
  char path[600];
  snprintf(path, sizeof path, GOLDEN "%s", name);
  fixture f = open_fixture(path, max_tokens, 8, threads);
  snprintf(path, sizeof path, GOLDEN "%s/golden.json", name);
  pith_mapped_file file;
  pith_error error = {0};
  must(pith_mapped_file_open(path, &file, &error), &error);
  f.golden = cJSON_ParseWithLength(file.bytes, file.size);
  pith_mapped_file_close(&file);
  assert_true(cJSON_IsArray(f.golden) && cJSON_GetArraySize(f.golden) > 5);
  return f;
}

static void close_fixture(fixture *f) {
  cJSON_Delete(f->golden);
  pith_session_destroy(f->session);
  if (f->pool != NULL)
    pthreadpool_destroy(f->pool);
  pith_model_close(f->model);
}

static const char *text_at(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  assert_true(cJSON_IsString(item));
  return item->valuestring;
}

static double number_at(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  assert_true(cJSON_IsNumber(item));
  return item->valuedouble;
}

/* Logits agree to 1e-5 of the largest, about 10: probabilities to 2e-4 of themselves. */
static void assert_score(double score, double wanted) {
  if (!(fabs(score - wanted) <= 2e-4 * wanted))
    fail_msg("score %.9g, not %.9g", score, wanted);
}

static void check_answers(const char *name, size_t max_tokens, size_t threads) {
  fixture f = open_golden(name, max_tokens, threads);
  enum { MOST = 64 };
  const char *questions[MOST], *contexts[MOST];
  pith_answer answers[MOST];
  size_t n = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, f.golden) {
    assert_true(n < MOST);
    questions[n] = text_at(row, "question");
    contexts[n++] = text_at(row, "context");
  }
  pith_error error = {0};
  must(pith_answer_questions(f.session, questions, contexts, n, answers, &error), &error);
  size_t i = 0;
  cJSON_ArrayForEach(row, f.golden) {
    if (answers[i].begin != (uint32_t)number_at(row, "start") || answers[i].end != (uint32_t)number_at(row, "end"))
      fail_msg("%s: row %zu: bytes %u to %u (score %g), not %g to %g (%g)", name, i, answers[i].begin, answers[i].end,
               (double)answers[i].score, number_at(row, "start"), number_at(row, "end"), number_at(row, "score"));
    assert_score((double)answers[i].score, number_at(row, "score"));
    i++;
  }
  close_fixture(&f);
}

static void test_answers(void **state) {
  (void)state;
  check_answers("bert-question", 512, 1);
  check_answers("bert-question", 2000, 2);
  check_answers("roberta-question", 512, 1);
}

static void check_entities(fixture *f, const char *text, const cJSON *entities) {
  enum { MOST = 512 };
  pith_entity found[MOST];
  pith_model_info info = {.struct_size = sizeof info};
  pith_error error = {0};
  size_t count;
  must(pith_model_get_info(f->model, &info, &error), &error);
  must(pith_tag(f->session, text, MOST, found, &count, &error), &error);
  assert_int_equal(count, cJSON_GetArraySize(entities));
  size_t i = 0;
  const cJSON *entity;
  cJSON_ArrayForEach(entity, entities) {
    const char *label = info.labels[found[i].label];
    label += strncmp(label, "B-", 2) == 0 || strncmp(label, "I-", 2) == 0 ? 2 : 0;
    assert_string_equal(label, text_at(entity, "label"));
    assert_int_equal(found[i].begin, number_at(entity, "start"));
    assert_int_equal(found[i].end, number_at(entity, "end"));
    assert_score((double)found[i].score, number_at(entity, "score"));
    i++;
  }
}

static void test_entities(void **state) {
  (void)state;
  fixture f = open_golden("bert-token", 512, 1);
  const cJSON *row;
  cJSON_ArrayForEach(row, f.golden)
      check_entities(&f, text_at(row, "text"), cJSON_GetObjectItemCaseSensitive(row, "entities"));
  /* Room for fewer than there are: the rest is counted, not written. */
  pith_entity two[3] = {{0}, {0}, {.begin = 77}};
  size_t count;
  pith_error error = {0};
  must(pith_tag(f.session, text_at(f.golden->child, "text"), 2, two, &count, &error), &error);
  assert_int_equal(count, cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(f.golden->child, "entities")));
  assert_true(count > 2);
  assert_int_equal(two[2].begin, 77);
  must(pith_tag(f.session, "", 2, two, &count, &error), &error);
  assert_int_equal(count, 0);
  close_fixture(&f);
}

/* A text of many windows: entities lie in order inside it and cover its end. */
static void test_entities_of_long_text(void **state) {
  (void)state;
  fixture f = open_golden("bert-token", 64, 1);
  enum { COPIES = 40, MOST = 4096 };
  const char *sentence = text_at(f.golden->child, "text");
  size_t bytes = strlen(sentence);
  char *text = malloc(COPIES * (bytes + 1) + 1);
  pith_entity *found = malloc(MOST * sizeof *found);
  assert_true(text != NULL && found != NULL);
  for (size_t i = 0; i < COPIES; i++) {
    memcpy(text + i * (bytes + 1), sentence, bytes);
    text[i * (bytes + 1) + bytes] = ' ';
  }
  text[COPIES * (bytes + 1)] = '\0';
  size_t count;
  pith_error error = {0};
  must(pith_tag(f.session, text, MOST, found, &count, &error), &error);
  assert_true(count > COPIES && count < MOST);
  for (size_t i = 0; i < count; i++) {
    assert_true(found[i].begin < found[i].end && found[i].end <= COPIES * (bytes + 1));
    assert_true(i == 0 || found[i].begin >= found[i - 1].end);
  }
  assert_true(found[count - 1].end > (COPIES - 1) * (bytes + 1));
  free(found);
  free(text);
  close_fixture(&f);
}

static void check_fills(const char *name) {
  fixture f = open_golden(name, 512, 1);
  enum { MOST = 64, K = 4 };
  pith_fill fills[MOST];
  const cJSON *row, *mask, *wanted;
  cJSON_ArrayForEach(row, f.golden) {
    size_t count, i = 0;
    pith_error error = {0};
    must(pith_fill_mask(f.session, text_at(row, "text"), K, MOST, fills, &count, &error), &error);
    const cJSON *masks = cJSON_GetObjectItemCaseSensitive(row, "masks");
    assert_int_equal(count, K * cJSON_GetArraySize(masks));
    cJSON_ArrayForEach(mask, masks) {
      cJSON_ArrayForEach(wanted, mask) {
        assert_int_equal(fills[i].id, number_at(wanted, "id"));
        assert_int_equal(fills[i].mask, i / K);
        assert_score((double)fills[i++].score, number_at(wanted, "score"));
      }
    }
  }
  /* More masks than the session takes rows (16): runs in parts, the same answers. */
  const char *token = strncmp(name, "bert", 4) == 0 ? " [MASK]" : "<mask>";
  char text[600] = "a";
  for (int i = 0; i < 20; i++)
    strcat(text, token);
  size_t count;
  pith_error error = {0};
  must(pith_fill_mask(f.session, text, 1, MOST, fills, &count, &error), &error);
  assert_int_equal(count, 20);
  assert_int_equal(fills[19].mask, 19);
  assert_true(fills[19].score > 0 && fills[19].score <= 1);
  assert_int_equal(pith_fill_mask(f.session, "no mask", 1, MOST, fills, &count, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "mask token"));
  assert_int_equal(pith_fill_mask(f.session, text, 1000000, MOST, fills, &count, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_fill_mask(f.session, text, 0, MOST, fills, &count, &error), PITH_INVALID_ARGUMENT);
  close_fixture(&f);
}

static void test_fills(void **state) {
  (void)state;
  check_fills("bert-masked");
  check_fills("roberta-masked");
}

/* ---- texts that decompose ----------------------------------------------------------------------------- */

static char *read_file(const char *path) {
  pith_mapped_file file;
  pith_error error = {0};
  must(pith_mapped_file_open(path, &file, &error), &error);
  char *text = malloc(file.size + 1);
  assert_non_null(text);
  memcpy(text, file.bytes, file.size);
  text[file.size] = '\0';
  pith_mapped_file_close(&file);
  return text;
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  assert_int_equal(fclose(file), 0);
}

/* A RoBERTa of random weights whose tokenizer decomposes characters before it cuts their bytes. */
static fixture open_decomposing(const char *class_name, const pith_session_options *options) {
  const char *parent = getenv("TMPDIR");
  char folder[600], path[700];
  snprintf(folder, sizeof folder, "%s/pith-heads-XXXXXX", parent == NULL ? "/tmp" : parent);
  assert_non_null(mkdtemp(folder));
  char *tokenizer = read_file(GOLDEN "roberta-masked/tokenizer.json");
  static const char before[] = "\"normalizer\": null", after[] = "\"normalizer\": {\"type\":\"NFKD\"}";
  char *at = strstr(tokenizer, before), *changed = malloc(strlen(tokenizer) + sizeof after);
  assert_true(at != NULL && changed != NULL);
  sprintf(changed, "%.*s%s%s", (int)(at - tokenizer), tokenizer, after, at + sizeof before - 1);
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  write_file(path, changed);
  free(changed);
  free(tokenizer);
  char *settings = read_file(GOLDEN "roberta-masked/tokenizer_config.json");
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  write_file(path, settings);
  free(settings);
  snprintf(path, sizeof path, "%s/config.json", folder);
  write_file(path, "{\"model_type\":\"roberta\",\"vocab_size\":330,\"hidden_size\":32,\"num_hidden_layers\":2,"
                   "\"num_attention_heads\":4,\"intermediate_size\":48,\"max_position_embeddings\":514}");
  pith_new_options new_options = PITH_NEW_OPTIONS_INIT;
  new_options.class_name = class_name;
  new_options.tokenizer_directory = folder;
  pith_import import;
  pith_error error = {0};
  must(pith_new_model(path, &new_options, &import, &error), &error);
  unlink(path);
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  unlink(path);
  snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
  unlink(path);
  rmdir(folder);
  return open_import(&import, options, 1);
}

/* U+FDFA is 3 bytes and decomposes to 18 characters of 33 bytes: 11 tokens a byte. */
#define LONG_LIGATURE "\xEF\xB7\xBA"

static void test_decomposing_text(void **state) {
  (void)state;
  enum { COPIES = 100, MOST = 8 };
  char text[3 * COPIES + 16] = "<mask>", *at = text + strlen(text);
  for (size_t i = 0; i < COPIES; i++, at += 3)
    memcpy(at, LONG_LIGATURE, 4);
  const char *texts[] = {text}, *questions[] = {"who"};
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  pith_error error = {0};
  size_t count;

  fixture f = open_decomposing("RobertaForTokenClassification", &options);
  pith_encoding encoding = {.struct_size = sizeof encoding};
  assert_int_equal(pith_encode(f.model, text, SIZE_MAX, NULL, 0, 0, &encoding, &error), PITH_LIMIT);
  assert_true(encoding.count > 6 * 3 * COPIES); /* else the text shows nothing */
  pith_entity entities[MOST];
  must(pith_tag(f.session, text, MOST, entities, &count, &error), &error);
  assert_true(count >= 1 && entities[0].begin < entities[0].end && entities[0].end <= strlen(text));
  close_fixture(&f);

  f = open_decomposing("RobertaForQuestionAnswering", &options);
  pith_answer answer;
  must(pith_answer_questions(f.session, questions, texts, 1, &answer, &error), &error);
  assert_true(answer.begin < answer.end && answer.end <= strlen(text) && answer.score > 0);
  close_fixture(&f);

  f = open_decomposing("RobertaForSequenceClassification", &options);
  pith_label label;
  must(pith_classify(f.session, texts, texts, 1, &label, NULL, &error), &error);
  assert_true(label.score > 0 && label.score <= 1);
  close_fixture(&f);

  f = open_decomposing("RobertaForMaskedLM", &options);
  pith_fill fill;
  must(pith_fill_mask(f.session, text, 1, 1, &fill, &count, &error), &error);
  assert_int_equal(count, 1);
  assert_true(fill.score > 0 && fill.score <= 1);
  close_fixture(&f);
}

/* Answers come in the order of the texts, with the same bits alone and in any batch. */
static void test_order(void **state) {
  (void)state;
  static const char *const texts[] = {"a good film", "", "the cat sat on the mat . the dog sat on the cat", "bad",
                                      "it was bad", "was it a good dog ?", "the mat", "h g f e d c b"};
  enum { N = sizeof texts / sizeof *texts };
  const char *directory = PITH_SOURCE_DIR "/tests/golden/models/cross-encoder-4";
  fixture f = open_fixture(directory, 24, 3, 1), wide = open_fixture(directory, 400, 64, 2);
  pith_model_info info = {.struct_size = sizeof info};
  pith_error error = {0};
  must(pith_model_get_info(f.model, &info, &error), &error);
  assert_true(info.label_count > 0 && info.label_count < 8);
  pith_label together[N], alone;
  float logits[N * 8], one[8];
  const char *pairs[N] = {NULL, "dog", NULL, NULL, "", "x", NULL, NULL};
  must(pith_classify(f.session, texts, pairs, N, together, logits, &error), &error);
  for (size_t i = 0; i < N; i++) {
    must(pith_classify(wide.session, &texts[i], &pairs[i], 1, &alone, one, &error), &error);
    assert_int_equal(alone.index, together[i].index);
    assert_memory_equal(&alone.score, &together[i].score, sizeof alone.score);
    assert_memory_equal(one, logits + i * info.label_count, info.label_count * sizeof *one);
  }
  /* Different texts differ, so the comparison above can fail. */
  assert_memory_not_equal(logits, logits + info.label_count, info.label_count * sizeof *logits);
  must(pith_classify(f.session, texts, NULL, 0, NULL, NULL, &error), &error);
  const char *none = NULL;
  assert_int_equal(pith_classify(f.session, &none, NULL, 1, &alone, NULL, &error), PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_embed(f.session, texts, 1, one, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "cannot embed"));
  close_fixture(&f);
  close_fixture(&wide);
}

/* A lone logit: a sigmoid, unless the checkpoint asks for the value. */
static void test_one_label(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool raw;
  } cases[] = {{"cross-encoder", false}, {"cross-encoder-2", true}, {"cross-encoder-4", false}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char path[600];
    snprintf(path, sizeof path, PITH_SOURCE_DIR "/tests/golden/models/%s", cases[i].name);
    fixture f = open_fixture(path, 24, 1, 1);
    const char *text = "a good film", *pair = "was it a good dog ?";
    pith_label label;
    float logit;
    pith_error error = {0};
    must(pith_classify(f.session, &text, &pair, 1, &label, &logit, &error), &error);
    assert_int_equal(label.index, 0);
    double wanted = cases[i].raw ? (double)logit : 1 / (1 + exp(-(double)logit));
    assert_true(fabs((double)label.score - wanted) <= 1e-7 * fabs(wanted));
    close_fixture(&f);
  }
}

/* ---- many texts at once ------------------------------------------------------------------------------- */

enum { MANY = 13 };

/* Texts of different lengths, some with more masks than a run gives rows for. */
static const char *const many_texts[MANY] = {
    "Anna <mask> moved", "<mask>", "a <mask> b <mask> c <mask> d <mask> e <mask>", "The bridge over the river <mask>",
    "<mask> <mask> Tay", "Mr. <mask>", "the clock on the library tower <mask> stopped", "x<mask>", "<mask>y", "z <mask>",
    "Nobody knows why the clock on the library tower stopped; it's been <mask> past four ever since.", "<mask>.", "1 <mask>"};

static void test_many_fills(void **state) {
  (void)state;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_rows = 3;
  options.max_sequences = 5;
  fixture f = open_decomposing("RobertaForMaskedLM", &options);
  enum { K = 3, MOST = 8 };
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_filled filled[MANY];
  pith_error error = {0};
  must(pith_heads_fill_mask(f.session, many_texts, MANY, K, &arena, filled, &error), &error);
  for (size_t i = 0; i < MANY; i++) {
    pith_fill fills[K * MOST];
    size_t count;
    must(pith_fill_mask(f.session, many_texts[i], K, K * MOST, fills, &count, &error), &error);
    assert_true(count >= K && count <= K * MOST);
    assert_int_equal(count, filled[i].mask_count * K);
    for (size_t j = 0; j < count; j++) {
      assert_int_equal(fills[j].mask, j / K);
      assert_int_equal(fills[j].mask, filled[i].fills[j].mask);
      assert_int_equal(fills[j].id, filled[i].fills[j].id);
      assert_memory_equal(&fills[j].score, &filled[i].fills[j].score, sizeof fills[j].score);
    }
  }
  assert_int_equal(filled[2].mask_count, 5);
  assert_memory_not_equal(&filled[0].fills[0].score, &filled[3].fills[0].score, sizeof(float));
  /* Room for fewer than there are: the rest is counted, not written. */
  pith_fill two[3] = {{0}, {0}, {.id = 77}};
  size_t count;
  must(pith_fill_mask(f.session, many_texts[2], K, 2, two, &count, &error), &error);
  assert_int_equal(count, 5 * K);
  assert_int_equal(two[1].id, filled[2].fills[1].id);
  assert_int_equal(two[2].id, 77);
  const char *without[] = {"<mask>", "none"};
  assert_int_equal(pith_heads_fill_mask(f.session, without, 2, K, &arena, filled, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "text 1 has no mask token"));
  pith_arena_deinit(&arena);
  close_fixture(&f);
}

static void test_many_tags(void **state) {
  (void)state;
  fixture f = open_golden("bert-token", 40, 1);
  enum { MOST = 512 };
  const char *texts[MANY];
  size_t n = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, f.golden) {
    texts[n++] = text_at(row, "text");
    texts[n] = n % 4 == 1 ? "" : "Odense";
    n++;
    if (n + 2 > MANY)
      break;
  }
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_tagged tagged[MANY];
  pith_error error = {0};
  must(pith_heads_tag(f.session, texts, n, &arena, tagged, &error), &error);
  size_t total = 0;
  for (size_t i = 0; i < n; i++) {
    pith_entity alone[MOST];
    size_t count;
    must(pith_tag(f.session, texts[i], MOST, alone, &count, &error), &error);
    assert_int_equal(count, tagged[i].count);
    assert_memory_equal(alone, tagged[i].entities, count * sizeof *alone);
    total += count;
  }
  assert_true(n > 8 && total > n);
  pith_arena_deinit(&arena);
  close_fixture(&f);
}

/* Byte-level tokens as text. */
static void test_token_text(void **state) {
  (void)state;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  fixture f = open_decomposing("RobertaForMaskedLM", &options);
  static const struct {
    const char *token, *text;
  } cases[] = {
      {"\xC4\xA0of", " of"}, {"Keller", "Keller"}, {"<mask>", "<mask>"}, {"\xC4\x8A", "\n"}, {"\xC3\xBF", "\xFF"}};
  size_t found = 0;
  for (int32_t id = 0; id < 330; id++)
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
      size_t bytes;
      const char *token = pith_token_text(f.model, id, &bytes);
      if (token == NULL || bytes != strlen(cases[i].token) || memcmp(token, cases[i].token, bytes) != 0)
        continue;
      char text[16] = "";
      size_t wanted = strlen(cases[i].text);
      assert_int_equal(pith_token_decode(f.model, id, sizeof text, text), wanted);
      assert_string_equal(text, cases[i].text);
      memset(text, '#', sizeof text);
      assert_int_equal(pith_token_decode(f.model, id, 1, text), wanted);
      assert_int_equal(text[1], '#');
      assert_int_equal(pith_token_decode(f.model, id, 0, NULL), wanted);
      found++;
    }
  assert_int_equal(found, sizeof cases / sizeof *cases);
  assert_int_equal(pith_token_decode(f.model, -1, 0, NULL), 0);
  assert_int_equal(pith_token_decode(f.model, 330, 0, NULL), 0);
  assert_int_equal(pith_token_decode(NULL, 0, 0, NULL), 0);
  close_fixture(&f);
  f = open_golden("bert-masked", 512, 1);
  size_t continuing = 0;
  for (int32_t id = 0; id < 220; id++) {
    size_t bytes;
    const char *token = pith_token_text(f.model, id, &bytes);
    char text[64];
    assert_int_equal(pith_token_decode(f.model, id, sizeof text, text), bytes);
    assert_memory_equal(text, token == NULL ? "" : token, bytes);
    continuing += bytes > 2 && memcmp(token, "##", 2) == 0;
  }
  assert_true(continuing > 10);
  close_fixture(&f);
}

/* ---- what is refused ---------------------------------------------------------------------------------- */

static void expect_null(pith_status status, const pith_error *error, const char *name) {
  assert_int_equal(status, PITH_INVALID_ARGUMENT);
  if (strstr(error->message, name) == NULL || strstr(error->message, "NULL") == NULL)
    fail_msg("\"%s\" does not name %s", error->message, name);
}

static void test_null_arguments(void **state) {
  (void)state;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  const char *texts[] = {"<mask>"}, *none[] = {NULL};
  pith_label label;
  pith_answer answer;
  pith_entity entity;
  pith_fill fill;
  float vector[64];
  size_t count;
  pith_error e = {0};

  expect_null(pith_classify(NULL, texts, NULL, 1, &label, NULL, &e), &e, "session");
  expect_null(pith_embed(NULL, texts, 1, vector, &e), &e, "session");
  expect_null(pith_answer_questions(NULL, texts, texts, 1, &answer, &e), &e, "session");
  expect_null(pith_tag(NULL, "a", 1, &entity, &count, &e), &e, "session");
  expect_null(pith_fill_mask(NULL, "<mask>", 1, 1, &fill, &count, &e), &e, "session");

  fixture f = open_decomposing("RobertaForSequenceClassification", &options);
  expect_null(pith_classify(f.session, NULL, NULL, 1, &label, NULL, &e), &e, "texts");
  expect_null(pith_classify(f.session, texts, NULL, 1, NULL, NULL, &e), &e, "out_labels");
  expect_null(pith_classify(f.session, none, NULL, 1, &label, NULL, &e), &e, "text 0");
  expect_null(pith_embed(f.session, NULL, 1, vector, &e), &e, "texts");
  expect_null(pith_embed(f.session, texts, 1, NULL, &e), &e, "out_vectors");
  must(pith_classify(f.session, NULL, NULL, 0, NULL, NULL, &e), &e);
  close_fixture(&f);

  f = open_decomposing("RobertaForQuestionAnswering", &options);
  expect_null(pith_answer_questions(f.session, NULL, texts, 1, &answer, &e), &e, "questions");
  expect_null(pith_answer_questions(f.session, texts, NULL, 1, &answer, &e), &e, "contexts");
  expect_null(pith_answer_questions(f.session, texts, texts, 1, NULL, &e), &e, "out_answers");
  expect_null(pith_answer_questions(f.session, none, texts, 1, &answer, &e), &e, "question 0");
  expect_null(pith_answer_questions(f.session, texts, none, 1, &answer, &e), &e, "context 0");
  must(pith_answer_questions(f.session, NULL, NULL, 0, NULL, &e), &e);
  close_fixture(&f);

  f = open_decomposing("RobertaForTokenClassification", &options);
  expect_null(pith_tag(f.session, NULL, 1, &entity, &count, &e), &e, "text");
  expect_null(pith_tag(f.session, "a", 1, NULL, &count, &e), &e, "out_entities");
  expect_null(pith_tag(f.session, "a", 1, &entity, NULL, &e), &e, "out_count");
  must(pith_tag(f.session, "a", 0, NULL, &count, &e), &e);
  close_fixture(&f);

  f = open_decomposing("RobertaForMaskedLM", &options);
  expect_null(pith_fill_mask(f.session, NULL, 1, 1, &fill, &count, &e), &e, "text");
  expect_null(pith_fill_mask(f.session, "<mask>", 1, 1, NULL, &count, &e), &e, "out_fills");
  expect_null(pith_fill_mask(f.session, "<mask>", 1, 1, &fill, NULL, &e), &e, "out_count");
  must(pith_fill_mask(f.session, "<mask>", 1, 0, NULL, &count, &e), &e);
  assert_int_equal(count, 1);
  close_fixture(&f);
}

/* A text is cut at the model's length and never at the session's: that is an error with both numbers. */
static void test_session_limit(void **state) {
  (void)state;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 20;
  fixture f = open_decomposing("RobertaForSequenceClassification", &options);
  char text[4000];
  for (size_t i = 0; i + 2 < sizeof text; i += 2)
    memcpy(text + i, "a ", 3);
  const char *texts[] = {text, "a b c d e f g h i j k l m n o p q r s t"};
  pith_label labels[2];
  pith_error error = {0};
  assert_int_equal(pith_classify(f.session, &texts[0], NULL, 1, labels, NULL, &error), PITH_LIMIT);
  assert_non_null(strstr(error.message, "512 tokens, over the session's max_tokens of 20"));
  assert_int_equal(pith_classify(f.session, &texts[1], NULL, 1, labels, NULL, &error), PITH_LIMIT);
  close_fixture(&f);
  options.max_tokens = 512;
  f = open_decomposing("RobertaForSequenceClassification", &options);
  must(pith_classify(f.session, texts, NULL, 2, labels, NULL, &error), &error);
  close_fixture(&f);
}

/* ---- no memory ---------------------------------------------------------------------------------------- */

typedef struct short_memory {
  size_t calls, failing; /* the call that fails */
  size_t bytes;          /* held */
} short_memory;

static void *short_allocate(void *context, size_t bytes, size_t alignment) {
  short_memory *m = context;
  if (m->calls++ == m->failing)
    return NULL;
  void *memory;
  if (posix_memalign(&memory, alignment < sizeof(void *) ? sizeof(void *) : alignment, bytes) != 0)
    return NULL;
  m->bytes += bytes;
  return memory;
}

static void short_release(void *context, void *memory, size_t bytes) {
  short_memory *m = context;
  if (memory != NULL)
    m->bytes -= bytes;
  free(memory);
}

/* One text function on a text long enough for every kind of scratch. */
static pith_status call_head(pith_session *session, pith_task task, const char *text, pith_error *error) {
  pith_label label;
  pith_answer answer;
  pith_entity entity;
  pith_fill fill;
  float vector[64];
  size_t count;
  const char *question = "who";
  switch (task) {
  case PITH_TASK_TOKEN_CLASSIFICATION:
    return pith_tag(session, text, 1, &entity, &count, error);
  case PITH_TASK_QUESTION_ANSWERING:
    return pith_answer_questions(session, &question, &text, 1, &answer, error);
  case PITH_TASK_FILL_MASK:
    return pith_fill_mask(session, text, 2, 1, &fill, &count, error);
  case PITH_TASK_EMBEDDING:
    return pith_embed(session, &text, 1, vector, error);
  default:
    return pith_classify(session, &text, NULL, 1, &label, NULL, error);
  }
}

static void test_without_memory(void **state) {
  (void)state;
  static const char *const classes[] = {"RobertaForSequenceClassification", "RobertaForTokenClassification",
                                        "RobertaForQuestionAnswering", "RobertaForMaskedLM", NULL /* embedding */};
  char text[4000] = "<mask>";
  for (size_t i = strlen(text); i + 4 < sizeof text; i += 3)
    memcpy(text + i, LONG_LIGATURE, 4);
  for (size_t c = 0; c < sizeof classes / sizeof *classes; c++) {
    short_memory memory = {.failing = SIZE_MAX};
    const pith_allocator allocator = {short_allocate, short_release, &memory};
    pith_session_options options = PITH_SESSION_OPTIONS_INIT;
    options.allocator = &allocator;
    fixture f;
    if (classes[c] != NULL) {
      f = open_decomposing(classes[c], &options);
    } else {
      pith_import import;
      pith_error error = {0};
      const char *directory = PITH_SOURCE_DIR "/tests/golden/models/sentence-mean-normalize";
      must(pith_import_huggingface(directory, NULL, &import, &error), &error);
      f = open_import(&import, &options, 1);
    }
    pith_model_info info = {.struct_size = sizeof info};
    pith_error error = {0};
    must(pith_model_get_info(f.model, &info, &error), &error);
    size_t held = memory.bytes, k = 0;
    pith_status status = PITH_OUT_OF_MEMORY;
    for (; status != PITH_OK; k++) {
      assert_true(k < 1000);
      memory.calls = 0;
      memory.failing = k;
      error = (pith_error){0};
      status = call_head(f.session, info.task, text, &error);
      assert_true(status == PITH_OK || (status == PITH_OUT_OF_MEMORY && error.message[0] != '\0'));
      assert_int_equal(memory.bytes, held);
    }
    assert_true(k > 1); /* some allocations there were */
    memory.failing = SIZE_MAX;
    close_fixture(&f);
    assert_int_equal(memory.bytes, 0);
  }
}

static void test_plan(void **state) {
  (void)state;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  const uint32_t lengths[] = {3, 9, 1, 9, 4, 2};
  pith_feed_plan plan;
  pith_error error = {0};
  must(pith_feed_plan_create(lengths, 6, 10, 2, &arena, &plan, &error), &error);
  const uint32_t order[] = {1, 3, 4, 0, 5, 2}, begins[] = {0, 1, 2, 4, 6};
  assert_int_equal(plan.batch_count, 4);
  assert_memory_equal(plan.order, order, sizeof order);
  assert_memory_equal(plan.begins, begins, sizeof begins);
  must(pith_feed_plan_create(lengths, 0, 10, 2, &arena, &plan, &error), &error);
  assert_int_equal(plan.batch_count, 0);
  assert_int_equal(pith_feed_plan_create(lengths, 6, 8, 2, &arena, &plan, &error), PITH_LIMIT);
  assert_non_null(strstr(error.message, "9 tokens"));
  pith_arena_deinit(&arena);
}

static void test_windows(void **state) {
  (void)state;
  uint8_t sequence[20];
  memset(sequence, 255, sizeof sequence);
  memset(sequence + 1, 0, 3);
  memset(sequence + 5, 1, 12);
  const pith_encoded_text text = {.count = 18, .sequence = sequence};
  pith_windows windows;
  pith_error error = {0};
  must(pith_windows_plan(&text, 1, 11, 2, &windows, &error), &error);
  const pith_windows wanted = {4, 5, 17, 5, 3};
  assert_memory_equal(&windows, &wanted, sizeof wanted);
  size_t begin, end, covered = 5;
  for (size_t w = 0; w < windows.count; w++) {
    pith_windows_get(&windows, w, &begin, &end);
    assert_true(begin <= covered && end > covered && end - begin <= 5);
    covered = end;
  }
  assert_int_equal(covered, 17);
  must(pith_windows_plan(&text, 1, 18, 2, &windows, &error), &error);
  assert_int_equal(windows.count, 1);
  assert_int_equal(pith_windows_plan(&text, 1, 6, 2, &windows, &error), PITH_LIMIT);
  must(pith_windows_plan(&text, 7, 19, 2, &windows, &error), &error); /* no such sequence: one window without it */
  assert_int_equal(windows.count, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_answers), cmocka_unit_test(test_entities), cmocka_unit_test(test_entities_of_long_text),
      cmocka_unit_test(test_fills),   cmocka_unit_test(test_order),    cmocka_unit_test(test_plan),
      cmocka_unit_test(test_windows), cmocka_unit_test(test_decomposing_text),
      cmocka_unit_test(test_one_label), cmocka_unit_test(test_many_fills), cmocka_unit_test(test_many_tags),
      cmocka_unit_test(test_null_arguments), cmocka_unit_test(test_session_limit),
      cmocka_unit_test(test_without_memory), cmocka_unit_test(test_token_text),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
