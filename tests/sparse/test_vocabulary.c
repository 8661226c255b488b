/* Vocabularies with the tokens of given texts: same tokens for these, characters for others,
 * smaller tables. The tests on real vocabularies and texts are skipped, and counted, where
 * PITH_DATA (../shared/data by default) has none. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "models/tokenizer/compile_internal.h"
#include "sparse/vocabulary_internal.h"
#include "tests/engine/exec_fixture.h"

static exec_fixture_model fixture;
static pith_tokenizer_data tokenizer;
static pith_arena arena;
static pith_error error;

#define MUST(expression)                                                                           \
  do {                                                                                             \
    if ((expression) != PITH_OK)                                                                   \
      fail_msg("%s: %s", #expression, error.message);                                              \
  } while (0)

/* ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, single characters 5 .. 12, words from 13 on;
 * "abc" before "ab" so that closing up changes the places of all after it. */
static const char word_piece[] =
    "{\"version\":\"1.0\",\"added_tokens\":["
    "{\"id\":0,\"content\":\"[PAD]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":4,\"content\":\"[MASK]\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true}],"
    "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,\"handle_chinese_chars\":true,"
    "\"strip_accents\":null,\"lowercase\":true},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
    "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",3],\"cls\":[\"[CLS]\",2]},"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##"
    "\","
    "\"max_input_chars_per_word\":100,\"vocab\":{\"[PAD]\":0,\"[UNK]\":1,\"[CLS]\":2,\"[SEP]\":3,"
    "\"[MASK]\":4,"
    "\"a\":5,\"b\":6,\"c\":7,\"d\":8,\"##a\":9,\"##b\":10,\"##c\":11,\"##d\":12,"
    "\"abc\":13,\"ab\":14,\"##cd\":15,\"dad\":16,\"cab\":17,\"##bx\":18}}}";

static int open_model(void **state) {
  (void)state;
  pith_arena_init(&arena, NULL);
  exec_fixture_open(&fixture, EXEC_FILL_MASK);
  MUST(pith_tokenizer_compile_json(word_piece, sizeof word_piece - 1, &arena, &tokenizer, &error));
  fixture.model.data.tokenizer = &tokenizer;
  fixture.model.data.task = PITH_TASK_FILL_MASK;
  fixture.model.data.config_json = "{\"vocab_size\":211,\"pad_token_id\":0,\"mask_token_id\":4}";
  return 0;
}

static int close_model(void **state) {
  (void)state;
  fixture.model.data.config_json = "";
  exec_fixture_close(&fixture);
  pith_arena_deinit(&arena);
  return 0;
}

enum { CAPACITY = 4096 };
typedef struct encoded {
  int32_t ids[CAPACITY], type_ids[CAPACITY];
  uint32_t offsets[CAPACITY][2];
  uint8_t sequence[CAPACITY];
  size_t count;
} encoded;

static void encode(const pith_tokenizer_data *data, const char *text, encoded *out) {
  pith_encoding encoding = {.struct_size = sizeof encoding,
                            .capacity = CAPACITY,
                            .ids = out->ids,
                            .type_ids = out->type_ids,
                            .offsets = out->offsets,
                            .sequence = out->sequence};
  MUST(pith_tokenizer_encode(data, text, strlen(text), NULL, 0, 0, &encoding, &error));
  out->count = encoding.count;
}

static void assert_ids(const pith_tokenizer_data *data, const char *text, size_t count,
                       const char *const *tokens) {
  static encoded got;
  encode(data, text, &got);
  assert_int_equal(got.count, count);
  for (size_t i = 0; i < count; i++) {
    const uint32_t id = (uint32_t)got.ids[i];
    uint32_t bytes;
    const char *token = pith_tokenizer_text(data, id, &bytes);
    if (bytes != strlen(tokens[i]) || memcmp(token, tokens[i], bytes) != 0)
      fail_msg("\"%s\": token %zu is \"%.*s\", not \"%s\"", text, i, (int)bytes, token,
               tokens[i]);
  }
}

/* All logits of a text whose ids are given, the second token wanted. */
static void run(const pith_model_data *data, const int32_t *ids, size_t count, float *logits,
                size_t words) {
  pith_model model = fixture.model;
  model.data = *data;
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = 64;
  options.max_sequences = 4;
  options.max_rows = 4;
  pith_session *session;
  MUST(pith_session_create(&model, &options, &session, &error));
  pith_batch batch = PITH_BATCH_INIT;
  const int32_t offsets[2] = {0, (int32_t)count}, row = 1;
  batch.sequences = 1;
  batch.offsets = offsets;
  batch.ids = ids;
  batch.rows = &row;
  batch.row_count = 1;
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &batch, &result, &error));
  memcpy(logits, result.outputs[0].data, words * sizeof *logits);
  pith_session_destroy(session);
}

static void test_words_leave(void **state) {
  (void)state;
  pith_vocabulary v;
  MUST(pith_vocabulary_init(&v, &fixture.model, &error));
  MUST(pith_vocabulary_see(&v, "ABcd dad", "c", &error)); /* abc ##d dad, c */
  pith_vocabulary_pruned out;
  MUST(pith_vocabulary_prune(&v, 0, &out, &error));
  pith_vocabulary_deinit(&v);
  assert_int_equal(out.before, EXEC_VOCABULARY);
  assert_int_equal(out.after, 15); /* specials, characters, abc and dad */
  assert_int_equal(out.tokenizer.token_count, 15);
  static const int32_t new_ids[] = {0,  1,  2,  3,  4,  5,  6,  7,  8, 9,
                                    10, 11, 12, 13, -1, -1, 14, -1, -1};
  assert_memory_equal(out.new_ids, new_ids, sizeof new_ids);
  assert_ids(&out.tokenizer, "abcd dad", 5,
             (const char *const[]){"[CLS]", "abc", "##d", "dad", "[SEP]"});
  assert_ids(&out.tokenizer, "ab [MASK]", 5,
             (const char *const[]){"[CLS]", "a", "##b", "[MASK]", "[SEP]"});
  assert_ids(&out.tokenizer, "cab x", 6,
             (const char *const[]){"[CLS]", "c", "##a", "##b", "[UNK]", "[SEP]"});
  assert_int_equal(out.tokenizer.mask_id, 4);
  assert_non_null(strstr(out.data.config_json, "\"vocab_size\":\t15"));
  assert_string_equal(out.data.history[out.data.history_count - 1].step, "prune");

  /* The tied table, the decoder's bias and the logits shrink, and the logits of what stays are the
   * same. */
  const pith_graph *graph = out.data.graph;
  assert_int_equal(graph->tensors[graph->outputs[0]].dims[1].constant, 15);
  static encoded was, is;
  encode(&tokenizer, "abcd dad", &was);
  encode(&out.tokenizer, "abcd dad", &is);
  assert_int_equal(was.ids[3], 16);
  assert_int_equal(is.ids[3], 14);
  float before[EXEC_VOCABULARY], after[15];
  run(&fixture.model.data, was.ids, was.count, before, EXEC_VOCABULARY);
  run(&out.data, is.ids, is.count, after, 15);
  for (int32_t id = 0; id < 19; id++)
    if (new_ids[id] >= 0 && !(fabsf(before[id] - after[new_ids[id]]) < 1e-5f))
      fail_msg("logit of %d was %g and is %g", id, (double)before[id], (double)after[new_ids[id]]);
  pith_vocabulary_pruned_deinit(&out);
}

/* "abx" is unknown because nothing goes on after "ab": without "ab" it would become a ##bx. */
static void test_unknown_stays_unknown(void **state) {
  (void)state;
  pith_vocabulary v;
  MUST(pith_vocabulary_init(&v, &fixture.model, &error));
  assert_ids(&tokenizer, "abx", 3, (const char *const[]){"[CLS]", "[UNK]", "[SEP]"});
  MUST(pith_vocabulary_see(&v, "abx", NULL, &error));
  assert_int_equal(v.unknown, 1);
  v.counts[18]++; /* ##bx, by another text */
  pith_vocabulary_pruned out;
  MUST(pith_vocabulary_prune(&v, 0, &out, &error));
  assert_ids(&out.tokenizer, "abx", 3, (const char *const[]){"[CLS]", "[UNK]", "[SEP]"});
  pith_vocabulary_pruned_deinit(&out);
  pith_vocabulary_deinit(&v);
}

/* Of two words one has room: the more frequent one, not the one with the lower id. */
static void test_limit(void **state) {
  (void)state;
  pith_vocabulary v;
  MUST(pith_vocabulary_init(&v, &fixture.model, &error));
  MUST(pith_vocabulary_see(&v, "abc dad", "dad", &error));
  for (uint32_t limit = 13; limit <= 16; limit++) {
    pith_vocabulary_pruned out;
    MUST(pith_vocabulary_prune(&v, limit, &out, &error));
    assert_int_equal(out.after, limit > 15 ? 15 : limit);
    assert_int_equal(out.new_ids[16] >= 0, limit >= 14); /* dad */
    assert_int_equal(out.new_ids[13] >= 0, limit >= 15); /* abc */
    if (limit == 14)
      assert_ids(&out.tokenizer, "abc dad", 6,
                 (const char *const[]){"[CLS]", "a", "##b", "##c", "dad", "[SEP]"});
    pith_vocabulary_pruned_deinit(&out);
  }
  pith_vocabulary_deinit(&v);
}

static void refuse(pith_vocabulary *v, uint32_t limit, const char *words) {
  pith_vocabulary_pruned out;
  const pith_status status = pith_vocabulary_prune(v, limit, &out, &error);
  if (status != PITH_INVALID_ARGUMENT || strstr(error.message, words) == NULL)
    fail_msg("status %d, \"%s\" without \"%s\"", status, error.message, words);
  pith_vocabulary_pruned_deinit(&out);
}

static void test_refused(void **state) {
  (void)state;
  pith_vocabulary v;
  MUST(pith_vocabulary_init(&v, &fixture.model, &error));
  refuse(&v, 0, "no text");
  MUST(pith_vocabulary_see(&v, "abc dad", NULL, &error));
  refuse(&v, 12, "at most 12 tokens: 13 stay");
  pith_vocabulary_deinit(&v);
  fixture.model.data.tokenizer = NULL;
  assert_int_equal(pith_vocabulary_init(&v, &fixture.model, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "tokenizer"));
  pith_vocabulary_deinit(&v);
  exec_fixture_close(&fixture);
  exec_fixture_open(&fixture, EXEC_DYNAMIC);
  fixture.model.data.tokenizer = &tokenizer;
  assert_int_equal(pith_vocabulary_init(&v, &fixture.model, &error), PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "quantized"));
  pith_vocabulary_deinit(&v);
}

/* ---- real vocabularies and texts ---------------------------------------------------------------
 */

static FILE *open_data(const char *name, char path[512]) {
  const char *folder = getenv("PITH_DATA");
  snprintf(path, 512, "%s/%s", folder != NULL ? folder : PITH_SOURCE_DIR "/../shared/data", name);
  return fopen(path, "rb");
}

static size_t count_unknown(const pith_tokenizer_data *data, const encoded *text) {
  size_t count = 0;
  for (size_t i = 0; i < text->count; i++)
    count += text->ids[i] == data->unk_id;
  return count;
}

/* Every second line is given, all of them are encoded: the given ones as before, and no word of any
 * becomes unknown. */
static void check_real(const char *probe, double most) {
  char path[512], texts_path[512], line[CAPACITY - 8];
  FILE *file = open_data(probe, path), *texts = open_data("wikitext2/wiki.test.raw", texts_path);
  if (file != NULL)
    fclose(file);
  if (file == NULL || texts == NULL) {
    if (texts != NULL)
      fclose(texts);
    skip();
  }
  *strrchr(path, '/') = '\0';
  pith_tokenizer_data real, made;
  MUST(pith_tokenizer_compile(&(pith_tokenizer_source){path, -1}, &arena, &real, &error));
  fixture.model.data.tokenizer = &real;
  pith_vocabulary v;
  MUST(pith_vocabulary_init(&v, &fixture.model, &error));
  for (size_t i = 0; fgets(line, sizeof line, texts) != NULL; i++)
    if (i % 2 == 0)
      MUST(pith_vocabulary_see(&v, line, NULL, &error));
  assert_true(v.tokens > 100000);
  bool *kept = calloc(real.token_count, sizeof *kept);
  for (uint32_t id = 0; id < real.token_count; id++)
    kept[id] = v.counts[id] != 0;
  MUST(pith_vocabulary_keep_needed(&real, kept, &error));
  int32_t *new_ids = calloc(real.token_count, sizeof *new_ids), count = 0;
  for (uint32_t id = 0; id < real.token_count; id++)
    new_ids[id] = kept[id] ? count++ : -1;
  if (!(count > 1000 && count < most * real.token_count))
    fail_msg("%d of %u tokens stay", count, real.token_count);
  MUST(pith_vocabulary_make_tokenizer(&real, new_ids, &arena, &made, &error));
  assert_int_equal(made.token_count, count);
  rewind(texts);
  static encoded was, is;
  size_t before = 0, after = 0;
  for (size_t i = 0; fgets(line, sizeof line, texts) != NULL; i++) {
    encode(&real, line, &was);
    encode(&made, line, &is);
    if (i % 2 != 0) {
      before += was.count;
      after += is.count;
      assert_true(count_unknown(&made, &is) <= count_unknown(&real, &was));
      continue;
    }
    assert_int_equal(is.count, was.count);
    for (size_t t = 0; t < is.count; t++)
      if (is.ids[t] != new_ids[was.ids[t]] || memcmp(is.offsets[t], was.offsets[t], 8) != 0)
        fail_msg("line %zu, token %zu: %d, not %d", i, t, is.ids[t], new_ids[was.ids[t]]);
  }
  assert_true(after > before); /* words fell back to shorter pieces */
  fclose(texts);
  free(new_ids);
  free(kept);
  pith_vocabulary_deinit(&v);
}

static void test_real_word_piece(void **state) {
  (void)state;
  check_real("vocab/bert_base_uncased/vocab.txt", 0.7);
}

static void test_real_byte_level(void **state) {
  (void)state;
  check_real("vocab/roberta/vocab.json", 0.6);
}

int main(void) {
#define TEST(function) cmocka_unit_test_setup_teardown(function, open_model, close_model)
  const struct CMUnitTest tests[] = {
      TEST(test_words_leave),     TEST(test_unknown_stays_unknown), TEST(test_limit), TEST(test_refused),
      TEST(test_real_word_piece), TEST(test_real_byte_level),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
