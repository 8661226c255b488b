/* Readers of task files: good rows of every form, and one line per thing that can be wrong. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "models/tasks/dataset.h"

static char path[300];

static const char *write_file(const char *name, const char *bytes, size_t count) {
  const char *folder = getenv("TMPDIR");
  snprintf(path, sizeof path, "%s/pith-%d-%s", folder == NULL ? "/tmp" : folder, (int)getpid(), name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  assert_int_equal(fwrite(bytes, 1, count, file), count);
  assert_int_equal(fclose(file), 0);
  return path;
}

static pith_status read_text(const char *name, pith_dataset_format format, const char *text, pith_dataset *out,
                             pith_error *error) {
  pith_status status = pith_dataset_read(write_file(name, text, strlen(text)), format, NULL, NULL, out, error);
  unlink(path);
  return status;
}

static void test_sst2(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("a.tsv", PITH_DATASET_SST2,
                             "label\tsentence\n1\tit 's \"fine\" \n0\ta , b\n\n0\tlast", &d, &error),
                   PITH_OK);
  assert_int_equal(d.count, 3);
  assert_string_equal(d.rows[0].text, "it 's \"fine\" ");
  assert_true(d.rows[0].label == 1 && d.rows[1].label == 0);
  assert_null(d.rows[0].pair);
  assert_string_equal(d.rows[2].text, "last");
  pith_dataset_deinit(&d);
}

static void test_stsb(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("a.csv", PITH_DATASET_STSB,
                             "\"a, \"\"b\"\"\",c,5.0\r\nx y,\"two\nlines\",2.4\n", &d, &error),
                   PITH_OK);
  assert_int_equal(d.count, 2);
  assert_string_equal(d.rows[0].text, "a, \"b\"");
  assert_string_equal(d.rows[0].pair, "c");
  assert_true(d.rows[0].label == 5.0 && d.rows[1].label == 2.4);
  assert_string_equal(d.rows[1].pair, "two\nlines");
  pith_dataset_deinit(&d);
}

static void test_mrpc(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("a.txt", PITH_DATASET_MRPC,
                             "\xef\xbb\xbf"
                             "1\t10\t11\tHe said \"no.\tShe\r\n0\t1\t2\tb\tc\r\n",
                             &d, &error),
                   PITH_OK);
  assert_int_equal(d.count, 2);
  assert_string_equal(d.rows[0].text, "He said \"no.");
  assert_string_equal(d.rows[0].pair, "She");
  assert_true(d.rows[0].label == 1 && d.rows[1].label == 0);
  pith_dataset_deinit(&d);
}

static void test_jsonl(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("a.jsonl", PITH_DATASET_SST2,
                             "{\"text\":\"\\u00e9 \\\"x\\\"\",\"pair\":\"p\",\"label\":2}\n\n"
                             "{\"ids\":[101,7,102],\"type_ids\":[0,1,1],\"label\":\"good\",\"more\":{\"a\":[]}}\r\n"
                             "{\"question\":\"q\",\"context\":\"c\",\"label\":true}\n",
                             &d, &error),
                   PITH_OK);
  assert_int_equal(d.count, 3);
  assert_string_equal(d.rows[0].text, "\xc3\xa9 \"x\"");
  assert_string_equal(d.rows[0].pair, "p");
  assert_true(d.rows[0].label == 2);
  assert_null(d.rows[1].text);
  assert_int_equal(d.rows[1].id_count, 3);
  assert_int_equal(d.rows[1].ids[1], 7);
  assert_non_null(d.rows[1].type_ids);
  assert_true(d.rows[1].type_ids[0] == 0 && d.rows[1].type_ids[1] == 1 && d.rows[1].type_ids[2] == 1);
  assert_string_equal(d.rows[1].label_name, "good");
  assert_true(isnan(d.rows[1].label));
  assert_string_equal(d.rows[2].text, "q");
  assert_string_equal(d.rows[2].pair, "c");
  assert_true(d.rows[2].label == 1);
  pith_dataset_deinit(&d);
}

static void test_squad(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("a.json", PITH_DATASET_SQUAD,
                             "{\"data\":[{\"paragraphs\":[{\"context\":\"C\",\"qas\":["
                             "{\"question\":\"Q1\",\"answers\":[{\"text\":\"A\"},{\"text\":\"B\"}]},"
                             "{\"question\":\"Q2\",\"answers\":[{\"text\":\"D\"}]}]}]}]}",
                             &d, &error),
                   PITH_OK);
  assert_int_equal(d.count, 2);
  assert_string_equal(d.rows[1].text, "Q2");
  assert_string_equal(d.rows[1].pair, "C");
  assert_int_equal(d.rows[0].reference_count, 2);
  assert_string_equal(d.rows[0].references[1], "B");
  pith_dataset_deinit(&d);
}

static pith_status read_columns(const char *name, pith_dataset_columns columns, const char *text, pith_dataset *out,
                                pith_error *error) {
  pith_status status = pith_dataset_read(write_file(name, text, strlen(text)), PITH_DATASET_ROWS, &columns, NULL, out, error);
  unlink(path);
  return status;
}

#define MUST(expression)                                                                                   \
  do {                                                                                                     \
    if ((expression) != PITH_OK)                                                                           \
      fail_msg("%s: %s", #expression, error.message);                                                      \
  } while (0)

static void test_columns(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  /* By names, in a CSV with quotes, line breaks and fields that nothing wants. */
  MUST(read_columns("a.csv", (pith_dataset_columns){.text = "review", .label = "stars"},
                    "id,stars,\"review\"\n7,5,\"so\n\"\"good\"\"\"\r\n\n8,bad,\n", &d, &error));
  assert_int_equal(d.count, 2);
  assert_string_equal(d.rows[0].text, "so\n\"good\"");
  assert_null(d.rows[0].pair);
  assert_true(d.rows[0].label == 5);
  assert_string_equal(d.rows[0].label_name, "5");
  assert_int_equal(d.rows[0].line, 2);
  assert_string_equal(d.rows[1].text, "");
  assert_string_equal(d.rows[1].label_name, "bad");
  assert_true(isnan(d.rows[1].label));
  assert_int_equal(d.rows[1].line, 5);
  pith_dataset_deinit(&d);
  /* By positions: no header, or one that is passed over. More columns than any fixed number. */
  char wide[2000] = "", line[600] = "";
  for (int i = 1; i <= 100; i++)
    snprintf(line + strlen(line), sizeof line - strlen(line), "%sc%d", i == 1 ? "" : "\t", i);
  snprintf(wide, sizeof wide, "%s\n%s\n", line, line);
  for (int header = 0; header < 2; header++) {
    MUST(read_columns("a.tsv", (pith_dataset_columns){.text = "100", .pair = "2", .label = "1", .header = header == 1}, wide,
                      &d, &error));
    assert_int_equal(d.count, 2 - header);
    assert_string_equal(d.rows[0].text, "c100");
    assert_string_equal(d.rows[0].pair, "c2");
    assert_string_equal(d.rows[0].label_name, "c1");
    assert_int_equal(d.rows[0].line, 1 + header);
    pith_dataset_deinit(&d);
  }
  /* A file's ending says how it is read; the default names; pair and label may be absent. */
  MUST(read_columns("a.tsv", (pith_dataset_columns){0}, "label\tpair\ttext\n1\t\"p\ta\"b\n", &d, &error));
  assert_string_equal(d.rows[0].text, "a\"b");
  assert_string_equal(d.rows[0].pair, "\"p");
  assert_true(d.rows[0].label == 1);
  pith_dataset_deinit(&d);
  MUST(read_columns("a.csv", (pith_dataset_columns){0}, "text\nx\n", &d, &error));
  assert_null(d.rows[0].label_name);
  assert_true(isnan(d.rows[0].label));
  pith_dataset_deinit(&d);
  MUST(read_columns("a.jsonl", (pith_dataset_columns){.text = "a", .pair = "b", .label = "c"},
                    "{\"a\":\"x\",\"b\":\"y\",\"c\":3,\"text\":\"no\",\"label\":7}\n", &d, &error));
  assert_string_equal(d.rows[0].text, "x");
  assert_string_equal(d.rows[0].pair, "y");
  assert_true(d.rows[0].label == 3);
  pith_dataset_deinit(&d);
}

static void test_bad_columns(void **state) {
  (void)state;
  static const struct {
    const char *name;
    pith_dataset_columns columns;
    const char *text, *says;
  } cases[] = {
      {"a.csv", {.text = "review"}, "id,text\n1,x\n", "line 1 has no column 'review'"},
      {"a.csv", {.text = "text", .label = "stars"}, "id,text\n1,x\n", "line 1 has no column 'stars'"},
      {"a.csv", {.label = "id"}, "id,body\n1,x\n", "line 1 has no column 'text'"},
      {"a.csv", {.text = "text"}, "id,text\n1,x\n2\n", "line 3 has 1 fields, not at least 2"},
      {"a.tsv", {.text = "3"}, "a\tb\n", "line 1 has 2 fields, not at least 3"},
      {"a.csv", {.text = "text"}, "id,text\n1,\"x\n\n", "no rows"},
      {"a.csv", {.text = "text"}, "id,text\n\"1,x\n\n", "line 2 has 1 fields"},
      {"a.jsonl", {.text = "a"}, "{\"text\":\"x\"}\n", "neither \"a\""},
      {"a.csv", {.text = "text"}, "", "no rows"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_dataset d;
    pith_error error = {0};
    pith_status status = read_columns(cases[i].name, cases[i].columns, cases[i].text, &d, &error);
    if (i == 5) { /* a quote that is never closed takes the rest of the file */
      assert_int_equal(status, PITH_OK);
      assert_string_equal(d.rows[0].text, "x\n\n");
      pith_dataset_deinit(&d);
      continue;
    }
    if (status != PITH_FORMAT || strstr(error.message, cases[i].says) == NULL)
      fail_msg("case %zu: status %d, message '%s'", i, (int)status, error.message);
  }
}

static void expect_words(const pith_dataset_row *row, const char *text, size_t count, const char *const *words,
                         const char *const *labels) {
  assert_string_equal(row->text, text);
  assert_int_equal(row->label_count, count);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(row->words[i][1] - row->words[i][0], strlen(words[i]));
    assert_memory_equal(text + row->words[i][0], words[i], strlen(words[i]));
    assert_string_equal(row->labels[i], labels[i]);
  }
}

static void test_words(void **state) {
  (void)state;
  pith_dataset d;
  pith_error error = {0};
  MUST(read_text("a.txt", PITH_DATASET_CONLL,
                 "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\r\nrejects\tVBZ\tO  \n\n\nJos\xc3\xa9 B-PER", &d, &error));
  assert_int_equal(d.count, 2);
  expect_words(&d.rows[0], "EU rejects", 2, (const char *[]){"EU", "rejects"}, (const char *[]){"B-ORG", "O"});
  assert_int_equal(d.rows[0].line, 3);
  expect_words(&d.rows[1], "Jos\xc3\xa9", 1, (const char *[]){"Jos\xc3\xa9"}, (const char *[]){"B-PER"});
  assert_int_equal(d.rows[1].line, 7);
  pith_dataset_deinit(&d);
  MUST(read_text("a.jsonl", PITH_DATASET_CONLL,
                 "{\"tokens\":[\"EU\",\"a b\"],\"tags\":[\"B-ORG\",0]}\n{\"text\":\"x\",\"labels\":[\"a\",\"b\"]}\n"
                 "{\"text\":\"y\",\"labels\":[]}\n",
                 &d, &error));
  expect_words(&d.rows[0], "EU a b", 2, (const char *[]){"EU", "a b"}, (const char *[]){"B-ORG", "0"});
  assert_null(d.rows[1].words);
  assert_int_equal(d.rows[1].label_count, 2);
  assert_string_equal(d.rows[1].labels[1], "b");
  assert_non_null(d.rows[2].labels);
  assert_int_equal(d.rows[2].label_count, 0);
  pith_dataset_deinit(&d);
  MUST(read_text("a.txt", PITH_DATASET_TEXT, " \none\r\n\n two ", &d, &error));
  assert_int_equal(d.count, 2);
  assert_string_equal(d.rows[0].text, "one");
  assert_string_equal(d.rows[1].text, " two ");
  assert_int_equal(d.rows[1].line, 4);
  pith_dataset_deinit(&d);
}

/* Answers begin at code points; what does not stand there has no place. */
static void test_answers(void **state) {
  (void)state;
  static const char squad[] =
      "{\"data\":[{\"paragraphs\":[]},{\"paragraphs\":[{\"context\":\"\xc3\xa9\xe2\x82\xac ab\",\"qas\":[{\"question\":\"Q\","
      "\"answers\":[{\"text\":\"ab\",\"answer_start\":3},{\"text\":\"ab\",\"answer_start\":2},{\"text\":\"\xc3\xa9\",\"answer_start\":0},"
      "{\"text\":\"b\"}]}]}]}]}";
  static const char lines[] = "{\"question\":\"Q\",\"context\":\"\xc3\xa9\xe2\x82\xac ab\",\"answers\":{\"text\":[\"ab\",\"ab\",\"\xc3\xa9\","
                              "\"b\"],\"answer_start\":[3,2,0]}}\n";
  for (int form = 0; form < 2; form++) {
    pith_dataset d;
    pith_error error = {0};
    MUST(read_text(form == 0 ? "a.json" : "a.jsonl", PITH_DATASET_SQUAD, form == 0 ? squad : lines, &d, &error));
    assert_int_equal(d.count, 1);
    assert_int_equal(d.rows[0].reference_count, 4);
    assert_int_equal(d.rows[0].reference_begins[0], 6);
    assert_int_equal(d.rows[0].reference_begins[1], UINT32_MAX);
    assert_int_equal(d.rows[0].reference_begins[2], 0);
    assert_int_equal(d.rows[0].reference_begins[3], UINT32_MAX);
    char where[PITH_DATASET_WHERE_BYTES];
    assert_non_null(strstr(pith_dataset_describe_row("f", &d.rows[0], where), form == 0 ? "f: question 0" : "f: line 1"));
    pith_dataset_deinit(&d);
  }
}

/* Row by row: each in memory of its own, so that no more than one need be kept. */
static void test_stream(void **state) {
  (void)state;
  enum { ROWS = 5000 };
  char *text = malloc(ROWS * 40);
  assert_non_null(text);
  size_t bytes = 0;
  for (int i = 0; i < ROWS; i++)
    bytes += (size_t)sprintf(text + bytes, "%d\t%d\ttext %d\n", i, i % 7, i);
  pith_dataset_stream stream;
  pith_error error = {0};
  const pith_dataset_columns columns = {.text = "3", .label = "2"};
  MUST(pith_dataset_stream_open(&stream, write_file("s.tsv", text, bytes), PITH_DATASET_ROWS, &columns, &error));
  bool end = false;
  for (int i = 0; !end; i++) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_dataset_row row;
    MUST(pith_dataset_stream_next(&stream, &arena, &row, &end, &error));
    char wanted[40];
    snprintf(wanted, sizeof wanted, "text %d", i);
    assert_true(end == (i == ROWS));
    if (!end) {
      assert_string_equal(row.text, wanted);
      assert_true(row.label == i % 7);
      assert_int_equal(row.line, i + 1);
    }
    assert_true(arena.reserved_bytes < 100000);
    pith_arena_deinit(&arena);
  }
  pith_dataset_stream_close(&stream);
  unlink(path);
  free(text);
}

static void test_bad(void **state) {
  (void)state;
  static const struct {
    const char *name;
    pith_dataset_format format;
    const char *text, *says;
  } cases[] = {
      {"a.tsv", PITH_DATASET_SST2, "", "no rows"},
      {"a.tsv", PITH_DATASET_SST2, "sentence\tlabel\n", "no rows"},
      {"a.tsv", PITH_DATASET_SST2, "sentence\tclass\nx\t1\n", "line 1"},
      {"a.tsv", PITH_DATASET_SST2, "sentence\tlabel\nx\n", "line 2"},
      {"a.tsv", PITH_DATASET_SST2, "sentence\tlabel\nx\tone\n", "'one'"},
      {"a.tsv", PITH_DATASET_SST2, "sentence\tlabel\nx\tnan\n", "'nan'"},
      {"a.csv", PITH_DATASET_STSB, "a,b,1\na,b\n", "line 2 has 2 fields, not 3"},
      {"a.csv", PITH_DATASET_STSB, "\"a,b,1\n", "line 1 has 1 fields"},
      {"a.txt", PITH_DATASET_MRPC, "1\t2\t3\tx\n", "4 fields"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"text\":\"x\"}\n{\"text\":3}\n", "line 2: \"text\" is not a string"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"text\":\"x\"\n", "line 1: not JSON"},
      {"a.jsonl", PITH_DATASET_JSONL, "[1]\n", "not a JSON object"},
      {"a.jsonl", PITH_DATASET_JSONL, "{}\n", "neither"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"ids\":[]}\n", "empty"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"ids\":[1,-2]}\n", "ids[1]"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"ids\":[1.5]}\n", "ids[0]"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"ids\":7}\n", "not an array"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"ids\":[1,2],\"type_ids\":[0]}\n", "1 \"type_ids\" for 2 \"ids\""},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"text\":\"x\",\"type_ids\":[0]}\n", "1 \"type_ids\" for 0"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"text\":\"x\"} y\n", "after the JSON object"},
      {"a.jsonl", PITH_DATASET_JSONL, "{\"text\":\"a\\u0000b\"}\n", "zero character"},
      {"a.jsonl", PITH_DATASET_CONLL, "{\"tokens\":[\"a\"],\"tags\":[]}\n", "0 labels for 1 words"},
      {"a.jsonl", PITH_DATASET_CONLL, "{\"tokens\":[\"a\"]}\n", "0 labels for 1 words"},
      {"a.jsonl", PITH_DATASET_CONLL, "{\"tokens\":[\"\"],\"tags\":[1]}\n", "word 0"},
      {"a.jsonl", PITH_DATASET_CONLL, "{\"text\":\"a\",\"labels\":[1,null]}\n", "label 1"},
      {"a.txt", PITH_DATASET_CONLL, "EU B-ORG\nrejects\n", "line 2: no word and label: 'rejects'"},
      {"a.txt", PITH_DATASET_TEXT, "\n", "no rows"},
      {"a.json", PITH_DATASET_SQUAD, "{\"data\":3}", "no \"data\""},
      {"a.json", PITH_DATASET_SQUAD, "{\"data\":[{\"paragraphs\":[{}]}]}", "no \"context\""},
      {"a.json", PITH_DATASET_SQUAD,
       "{\"data\":[{\"paragraphs\":[{\"context\":\"c\",\"qas\":[{\"question\":\"q\"}]}]}]}", "question 0"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    pith_dataset d;
    pith_error error = {0};
    pith_status status = read_text(cases[i].name, cases[i].format, cases[i].text, &d, &error);
    if (status != PITH_FORMAT || strstr(error.message, cases[i].says) == NULL)
      fail_msg("case %zu: status %d, message '%s'", i, (int)status, error.message);
  }
  pith_dataset d;
  pith_error error = {0};
  const char zero[] = "sentence\tlabel\nx\0y\t1\n";
  assert_int_equal(pith_dataset_read(write_file("z.tsv", zero, sizeof zero - 1), PITH_DATASET_SST2, NULL, NULL, &d, &error),
                   PITH_FORMAT);
  unlink(path);
  assert_non_null(strstr(error.message, "line 2: a zero byte"));
  assert_int_equal(pith_dataset_read(path, PITH_DATASET_SST2, NULL, NULL, &d, &error), PITH_IO);
}

/* Nested as deep as a line can be: cJSON's limit answers, not the stack. */
static void test_deep(void **state) {
  (void)state;
  enum { DEPTH = 1000000 };
  char *text = malloc(DEPTH + 10);
  assert_non_null(text);
  memcpy(text, "{\"a\":", 5);
  memset(text + 5, '[', DEPTH);
  text[DEPTH + 5] = '\0';
  pith_dataset d;
  pith_error error = {0};
  assert_int_equal(read_text("d.jsonl", PITH_DATASET_JSONL, text, &d, &error), PITH_FORMAT);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sst2),  cmocka_unit_test(test_stsb), cmocka_unit_test(test_mrpc),
      cmocka_unit_test(test_jsonl), cmocka_unit_test(test_squad), cmocka_unit_test(test_bad),
      cmocka_unit_test(test_deep), cmocka_unit_test(test_columns), cmocka_unit_test(test_bad_columns),
      cmocka_unit_test(test_words), cmocka_unit_test(test_answers), cmocka_unit_test(test_stream),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
