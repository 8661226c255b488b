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
  pith_status status = pith_dataset_read(write_file(name, text, strlen(text)), format, NULL, out, error);
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
      {"a.csv", PITH_DATASET_STSB, "a,b,1\na,b\n", "record 2 has 2 fields"},
      {"a.csv", PITH_DATASET_STSB, "\"a,b,1\n", "record 1"},
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
  assert_int_equal(pith_dataset_read(write_file("z.tsv", zero, sizeof zero - 1), PITH_DATASET_SST2, NULL, &d, &error),
                   PITH_FORMAT);
  unlink(path);
  assert_non_null(strstr(error.message, "zero byte at 16"));
  assert_int_equal(pith_dataset_read(path, PITH_DATASET_SST2, NULL, &d, &error), PITH_IO);
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
      cmocka_unit_test(test_deep),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
