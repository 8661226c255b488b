/* Every subcommand's good path on a small model, and what it says of bad usage and bad input. */
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

#include "command_fixture.h"

#define HEADS PITH_SOURCE_DIR "/tests/golden/heads/"
#define MODELS PITH_SOURCE_DIR "/tests/golden/models/"

/* Models that the tests share, imported once. */
static char classifier[600], embedder[600], answerer[600], tagger[600], filler[600];

static void import(const char *source, const char *name, char path[600]) {
  snprintf(path, 600, "%s", in_folder(name));
  outcome o = run_pith(NULL, "import", source, "-o", path, NULL);
  assert_success(&o);
}

/* A classifier of three labels: the weights of one checkpoint, the tokenizer of another with the same vocabulary. */
static char source[600];
static const char *const source_files[] = {"bert-sequence/config.json", "bert-sequence/model.safetensors",
                                           "cross-encoder-4/tokenizer.json", "cross-encoder-4/tokenizer_config.json"};

static void make_source(void) {
  snprintf(source, sizeof source, "%s", in_folder("source"));
  assert_int_equal(mkdir(source, 0777), 0);
  for (size_t i = 0; i < sizeof source_files / sizeof *source_files; i++) {
    char from[600], to[700];
    snprintf(from, sizeof from, MODELS "%s", source_files[i]);
    snprintf(to, sizeof to, "%s%s", source, strchr(source_files[i], '/'));
    assert_int_equal(symlink(from, to), 0);
  }
}

static int make_models(void **state) {
  (void)state;
  make_source();
  import(source, "classifier.pith", classifier);
  import(MODELS "sentence-mean-normalize", "embedder.pith", embedder);
  import(HEADS "bert-question", "answerer.pith", answerer);
  import(HEADS "bert-token", "tagger.pith", tagger);
  import(HEADS "bert-masked", "filler.pith", filler);
  return 0;
}

static int remove_models(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof source_files / sizeof *source_files; i++) {
    char path[700];
    snprintf(path, sizeof path, "%s%s", source, strchr(source_files[i], '/'));
    unlink(path);
  }
  rmdir(source);
  remove_folder();
  return 0;
}

static cJSON *parse_line(const char **text) {
  const char *end;
  cJSON *json = cJSON_ParseWithOpts(*text, &end, 0);
  if (json == NULL || *end != '\n')
    fail_msg("not a line of JSON: '%.200s'", *text);
  *text = end + 1;
  return json;
}

static cJSON *parse_only_line(const outcome *o) {
  assert_success(o);
  const char *text = o->out;
  cJSON *json = parse_line(&text);
  assert_int_equal(*text, '\0');
  return json;
}

static double number(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  if (!cJSON_IsNumber(item))
    fail_msg("no number '%s'", key);
  return item->valuedouble;
}

static size_t array_size(const cJSON *object, const char *key) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
  if (!cJSON_IsArray(item))
    fail_msg("no array '%s'", key);
  return (size_t)cJSON_GetArraySize(item);
}

static size_t count_lines(const char *text) {
  size_t lines = 0;
  for (; (text = strchr(text, '\n')) != NULL; text++)
    lines++;
  return lines;
}

/* ---- usage -------------------------------------------------------------------------------------------- */

static void test_usage(void **state) {
  (void)state;
  static const char *const names[] = {"import", "new",  "inspect", "verify", "tokenize",
                                      "run",    "eval", "bench",   "pack",   "quantize"};
  outcome o = run_pith(NULL, "--help", NULL);
  assert_success(&o);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    assert_non_null(strstr(o.out, names[i]));
    outcome help = run_pith(NULL, names[i], "--help", NULL);
    assert_success(&help);
    assert_non_null(strstr(help.out, "--help"));
    outcome nothing = run_pith(NULL, names[i], NULL);
    assert_failure(&nothing, 2, "is missing");
    outcome unknown = run_pith(NULL, names[i], "--no-such-option", NULL);
    assert_failure(&unknown, 2, "no option '--no-such-option'");
  }
  o = run_pith(NULL, "--version", NULL);
  assert_success(&o);
  assert_int_equal(strncmp(o.out, "pith 0.", 7), 0);
  o = run_pith(NULL, "rum", classifier, NULL);
  assert_failure(&o, 2, "did you mean 'run'?");
  o = run_pith(NULL, "serve-all-of-it", NULL);
  assert_failure(&o, 2, "no subcommand 'serve-all-of-it'");
  o = run_pith(NULL, "run", classifier, "--txet", "x", NULL);
  assert_failure(&o, 2, "did you mean '--text'?");
  o = run_pith(NULL, "run", classifier, NULL);
  assert_failure(&o, 2, "--input");
  o = run_pith(NULL, "run", classifier, "--text", NULL);
  assert_failure(&o, 2, "--text needs an argument");
  o = run_pith(NULL, "run", classifier, "more", "--text", "x", NULL);
  assert_failure(&o, 2, "'more'");
  o = run_pith(NULL, "run", classifier, "--text", "x", "--threads", "two", NULL);
  assert_failure(&o, 2, "whole number");
  o = run_pith(NULL, "run", classifier, "--text", "x", "--threads=0", NULL);
  assert_failure(&o, 2, "outside 1 to 1024");
  o = run_pith(NULL, "run", classifier, "--json=yes", "--text", "x", NULL);
  assert_failure(&o, 2, "takes no argument");
  o = run_pith(NULL, "bench", classifier, "--seconds", "-1", NULL);
  assert_failure(&o, 2, "above 0");
  o = run_pith(NULL, "eval", classifier, "--task", "sst", "--data", "x", NULL);
  assert_failure(&o, 2, "did you mean sst2");
  o = run_pith(NULL, "run", classifier, "--text", "x", "--without", "avx9000", NULL);
  assert_failure(&o, 2, "no CPU feature 'avx9000'; there are ");
  assert_non_null(strstr(o.err, "avx512"));
  /* What would do nothing is refused. */
  static const struct {
    const char *arguments[6], *says;
  } idle[] = {
      {{"bench", "m", "--batch", "2", "--max-tokens", "64"}, "--max-tokens goes with"},
      {{"bench", "m", "--jsonl"}, "--jsonl goes with --input"},
      {{"bench", "m", "--input", "x", "--seed", "3"}, "--seed"},
      {{"inspect", "m", "--threads", "2"}, "--memory, --program and --sparsity"},
      {{"inspect", "m", "--dot", "--max-tokens", "64"}, "--memory, --program and --sparsity"},
      {{"inspect", "m", "--without", "avx2"}, "--memory, --program and --sparsity"},
      {{"new", "c", "-o", "m", "--seed=1", "--cased"}, "--cased goes with --tokenizer"},
      {{"import", "s", "-o", "m", "--cased", "--without-tokenizer"}, "exclude each other"},
      {{"tokenize", "m", "--text", "x", "--jsonl"}, "--jsonl goes with --input"},
      {{"tokenize", "m", "--text", "x", "--cased"}, "--cased"},
      {{"tokenize", "m", "--text", "x", "--threads", "2"}, "--threads goes with --input"},
  };
  for (size_t i = 0; i < sizeof idle / sizeof *idle; i++) {
    const char *const *a = idle[i].arguments;
    o = run_pith(NULL, a[0], a[1], a[2], a[3], a[4], a[5], NULL);
    assert_failure(&o, 2, idle[i].says);
  }
}

static void test_pages(void **state) {
  (void)state;
  outcome man = run_pith(NULL, "--generate", "man", NULL), bash = run_pith(NULL, "--generate", "bash", NULL);
  assert_success(&man);
  assert_success(&bash);
  assert_int_equal(strncmp(man.out, ".TH PITH 1", 10), 0);
  assert_non_null(strstr(man.out, "\\-\\-max\\-tokens"));
  assert_non_null(strstr(bash.out, "complete "));
  assert_non_null(strstr(bash.out, "--max-tokens"));
  outcome o = run_pith(NULL, "--generate", "html", NULL);
  assert_failure(&o, 2, "html");
}

/* ---- good paths --------------------------------------------------------------------------------------- */

static void test_run_forms(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "run", classifier, "--text", "a good film", "--pair", "the dog", "--json", NULL);
  cJSON *json = parse_only_line(&o);
  assert_true(cJSON_IsString(cJSON_GetObjectItem(json, "label")));
  assert_true(number(json, "score") > 0 && number(json, "score") <= 1);
  assert_true(array_size(json, "logits") > 1);
  cJSON_Delete(json);
  o = run_pith(NULL, "run", classifier, "--text", "a good film", NULL);
  assert_success(&o);
  assert_non_null(strchr(o.out, '\t'));

  o = run_pith(NULL, "run", embedder, "--text", "a good film", "--json", NULL);
  json = parse_only_line(&o);
  assert_true(array_size(json, "embedding") > 8);
  double norm = 0;
  const cJSON *value;
  cJSON_ArrayForEach(value, cJSON_GetObjectItem(json, "embedding")) norm += value->valuedouble * value->valuedouble;
  assert_true(fabs(norm - 1) < 1e-5);
  cJSON_Delete(json);

  const char *context = "Anna Keller moved from Basel to Odense.";
  o = run_pith(NULL, "run", answerer, "--question", "Where?", "--context", context, "--json", NULL);
  json = parse_only_line(&o);
  const char *answer = cJSON_GetObjectItem(json, "answer")->valuestring;
  size_t start = (size_t)number(json, "start"), end = (size_t)number(json, "end");
  assert_true(end > start && strlen(answer) == end - start);
  assert_int_equal(strncmp(context + start, answer, end - start), 0);
  cJSON_Delete(json);

  o = run_pith(NULL, "run", tagger, "--text", "Anna Keller moved", "--json", NULL);
  json = parse_only_line(&o);
  assert_true(array_size(json, "entities") > 0);
  cJSON_Delete(json);

  o = run_pith(NULL, "run", filler, "--text", "Anna [MASK] moved", "--top-k", "3", "--json", NULL);
  json = parse_only_line(&o);
  assert_int_equal(array_size(json, "fill"), 3);
  cJSON_Delete(json);
  o = run_pith(NULL, "run", filler, "--text", "Anna moved", NULL);
  assert_failure(&o, 1, "mask token");
}

/* Lines of a text file, of JSON lines and of standard input answer alike, in order, whatever the batches, threads and kernels. */
static void test_run_inputs(void **state) {
  (void)state;
  enum { LINES = 4500 }; /* more than a window */
  static const char *const texts[] = {"a good film", "the cat sat on the mat .", "", "bad", "a dog was in the film ! it was bad"};
  char *plain = calloc(LINES, 64), *json = calloc(LINES, 96);
  assert_true(plain != NULL && json != NULL);
  for (size_t i = 0, p = 0, j = 0; i < LINES; i++) {
    const char *text = texts[i * i % 5];
    p += (size_t)sprintf(plain + p, "%s\n", text);
    j += (size_t)sprintf(json + j, "{\"text\":\"%s\"}\n", text);
  }
  const char *file = in_folder("lines.txt"), *lines = in_folder("lines.jsonl");
  write_text(file, plain, strlen(plain));
  write_text(lines, json, strlen(json));
  outcome a = run_pith(NULL, "run", classifier, "--input", file, "--json", "--threads", "1", NULL);
  assert_success(&a);
  assert_int_equal(count_lines(a.out), LINES);
  outcome same[] = {
      run_pith(NULL, "run", classifier, "--input", lines, "--json", "--threads", "2", NULL),
      run_pith(plain, "run", classifier, "--input", "-", "--json", "--batch", "1", NULL),
      run_pith(json, "run", classifier, "--input", "-", "--jsonl", "--json", "--max-tokens", "24", NULL),
      run_pith(NULL, "run", classifier, "--input", file, "--json", "--without", "avx512", NULL),
      run_pith(NULL, "run", classifier, "--input", file, "--json", "--without", "avx512,avx2", NULL),
  };
  for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
    assert_success(&same[i]);
    if (same[i].out_bytes != a.out_bytes || memcmp(same[i].out, a.out, a.out_bytes) != 0)
      fail_msg("way %zu of reading the same texts gives other answers", i);
  }
  /* Each text alone says the same as its line. */
  const char *line = a.out;
  for (size_t i = 0; i < 5; i++) {
    outcome alone = run_pith(NULL, "run", classifier, "--text", texts[i * i % 5], "--json", NULL);
    assert_success(&alone);
    assert_int_equal(strncmp(line, alone.out, alone.out_bytes), 0);
    line = strchr(line, '\n') + 1;
  }
  /* Token ids in place of text: those of the text give its answer. */
  outcome ids = run_pith(NULL, "tokenize", classifier, "--text", "a good film", "--json", NULL);
  outcome from_ids = run_pith(ids.out, "run", classifier, "--input", "-", "--jsonl", "--json", NULL);
  assert_success(&from_ids);
  assert_int_equal(strncmp(a.out, from_ids.out, from_ids.out_bytes), 0);
  /* Those of a pair too: their type ids count. */
  ids = run_pith(NULL, "tokenize", classifier, "--text", "a good film", "--pair", "the dog", "--json", NULL);
  from_ids = run_pith(ids.out, "run", classifier, "--input", "-", "--jsonl", "--json", NULL);
  outcome pair = run_pith(NULL, "run", classifier, "--text", "a good film", "--pair", "the dog", "--json", NULL);
  assert_success(&from_ids);
  assert_success(&pair);
  assert_string_equal(from_ids.out, pair.out);
  outcome empty = run_pith("", "run", classifier, "--input", "-", NULL);
  assert_success(&empty);
  assert_int_equal(empty.out_bytes, 0);
  free(plain);
  free(json);
}

static void test_tokenize(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "tokenize", classifier, "--text", "a good film", "--pair", "the dog", "--json", NULL);
  cJSON *json = parse_only_line(&o);
  size_t n = array_size(json, "ids");
  assert_true(n >= 8);
  assert_int_equal(array_size(json, "type_ids"), n);
  assert_int_equal(array_size(json, "offsets"), n);
  const cJSON *second = cJSON_GetArrayItem(cJSON_GetObjectItem(json, "offsets"), 1);
  assert_int_equal(cJSON_GetArrayItem(second, 0)->valueint, 0);
  assert_int_equal(cJSON_GetArrayItem(second, 1)->valueint, 1);
  assert_int_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "type_ids"), (int)n - 1)->valueint, 1);
  cJSON_Delete(json);
  outcome directory = run_pith(NULL, "tokenize", source, "--text", "a good film", "--pair", "the dog",
                               "--json", NULL);
  assert_success(&directory);
  assert_string_equal(directory.out, o.out);
  o = run_pith(NULL, "tokenize", classifier, "--text", "a good film the dog", "--max-length", "4", "--json", NULL);
  json = parse_only_line(&o);
  assert_int_equal(array_size(json, "ids"), 4);
  cJSON_Delete(json);
  o = run_pith("a\nb c\n\n", "tokenize", classifier, "--input", "-", NULL);
  assert_success(&o);
  assert_string_equal(o.out, "[CLS] a [SEP]\n[CLS] b c [SEP]\n[CLS] [SEP]\n");

  /* Any number of threads gives the same lines; those before a line at fault are there. */
  char lines[2000] = "", *at = lines;
  for (int i = 0; i < 60; i++)
    at += sprintf(at, "{\"text\":\"%.*s\"}\n", i % 12, "a good film.");
  outcome one = run_pith(lines, "tokenize", classifier, "--input", "-", "--jsonl", "--threads", "1", "--json", NULL);
  assert_success(&one);
  o = run_pith(lines, "tokenize", classifier, "--input", "-", "--jsonl", "--threads", "3", "--json", NULL);
  assert_success(&o);
  assert_string_equal(o.out, one.out);
  at += sprintf(at, "{\"ids\":[1]}\n{\"text\":\"a\"}\n");
  o = run_pith(lines, "tokenize", classifier, "--input", "-", "--jsonl", "--threads", "2", "--json", NULL);
  assert_int_equal(o.status, 1);
  assert_non_null(strstr(o.err, "-: line 61: no \"text\" to tokenize\n"));
  assert_string_equal(o.out, one.out);
}

static void test_new(void **state) {
  (void)state;
  const char *config = MODELS "bert-sequence/config.json";
  const char *a = in_folder("a.pith"), *b = in_folder("b.pith"), *c = in_folder("c.pith");
  outcome o = run_pith(NULL, "new", config, "--seed", "7", "-o", a, NULL);
  assert_success(&o);
  o = run_pith(NULL, "new", config, "--seed", "7", "-o", b, NULL);
  assert_success(&o);
  o = run_pith(NULL, "new", config, "--seed", "8", "--output", c, NULL);
  assert_success(&o);
  outcome lines[] = {
      run_pith("{\"ids\":[1,2,3]}\n", "run", a, "--input", "-", "--jsonl", "--json", NULL),
      run_pith("{\"ids\":[1,2,3]}\n", "run", b, "--input", "-", "--jsonl", "--json", NULL),
      run_pith("{\"ids\":[1,2,3]}\n", "run", c, "--input", "-", "--jsonl", "--json", NULL),
  };
  assert_success(&lines[0]);
  assert_success(&lines[2]);
  assert_string_equal(lines[0].out, lines[1].out);
  assert_string_not_equal(lines[0].out, lines[2].out);
  o = run_pith(NULL, "run", a, "--text", "no tokenizer", NULL);
  assert_failure(&o, 1, "tokenizer");
  o = run_pith(NULL, "new", config, "-o", a, NULL);
  assert_failure(&o, 2, "--seed");
}

static void test_inspect(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "inspect", classifier, "--json", NULL);
  cJSON *json = parse_only_line(&o);
  assert_true(number(json, "parameters") > 1000);
  struct stat info;
  assert_int_equal(stat(classifier, &info), 0);
  assert_int_equal((off_t)number(json, "bytes"), info.st_size);
  assert_true(cJSON_GetArraySize(cJSON_GetObjectItem(json, "operators")) > 4);
  double elements = 0;
  const cJSON *tensor, *dim;
  cJSON_ArrayForEach(tensor, cJSON_GetObjectItem(json, "tensors")) {
    double count = 1;
    cJSON_ArrayForEach(dim, cJSON_GetObjectItem(tensor, "shape")) count *= dim->valuedouble;
    elements += count;
    assert_true(number(tensor, "sparsity") < 0.1);
  }
  assert_true(elements >= number(json, "parameters"));
  cJSON_Delete(json);
  static const struct {
    const char *option, *says;
  } views[] = {{"--graph", "PackedAttention"}, {"--dot", "digraph"}, {"--svg", "</svg>"},
               {"--program", "Gemm"},          {"--memory", "bytes"},
               {"--sparsity", "stored dense: no block is all 0"}};
  for (size_t i = 0; i < sizeof views / sizeof *views; i++) {
    o = run_pith(NULL, "inspect", classifier, views[i].option, NULL);
    assert_success(&o);
    assert_non_null(strstr(o.out, views[i].says));
  }
  o = run_pith(NULL, "inspect", classifier, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "bert"));
  o = run_pith(NULL, "inspect", classifier, "--memory", "--json", "--max-tokens", "100", NULL);
  json = parse_only_line(&o);
  double small = number(json, "peak_bytes");
  cJSON_Delete(json);
  o = run_pith(NULL, "inspect", classifier, "--memory", "--json", "--max-tokens", "1000", NULL);
  json = parse_only_line(&o);
  assert_true(number(json, "peak_bytes") > small);
  cJSON_Delete(json);
  o = run_pith(NULL, "inspect", classifier, "--dot", "--svg", NULL);
  assert_failure(&o, 2, "exclude");
}

static void test_eval(void **state) {
  (void)state;
  const char *data = in_folder("data.jsonl");
  outcome labels = run_pith("a good film\nbad\nthe dog sat\n", "run", classifier, "--input", "-", NULL);
  assert_success(&labels);
  char name[3][64], text[600];
  assert_int_equal(sscanf(labels.out, "%63s %*s %63s %*s %63s", name[0], name[1], name[2]), 3);
  /* Two of three labels are the model's own. */
  int bytes = snprintf(text, sizeof text,
                       "{\"text\":\"a good film\",\"label\":\"%s\"}\n{\"text\":\"bad\",\"label\":\"%s\"}\n"
                       "{\"text\":\"the dog sat\",\"label\":\"%s\"}\n",
                       name[0], name[1], strcmp(name[2], "LABEL_0") == 0 ? "LABEL_1" : "LABEL_0");
  write_text(data, text, (size_t)bytes);
  outcome o = run_pith(NULL, "eval", classifier, "--task", "classification", "--data", data, "--json", NULL);
  cJSON *json = parse_only_line(&o);
  assert_string_equal(cJSON_GetObjectItem(json, "task")->valuestring, "classification");
  assert_int_equal((int)number(json, "n"), 3);
  assert_true(fabs(number(cJSON_GetObjectItem(json, "metrics"), "accuracy") - 2.0 / 3) < 1e-12);
  assert_true(number(cJSON_GetObjectItem(json, "metrics"), "f1") < 1);
  cJSON_Delete(json);

  const char *pairs = in_folder("pairs.csv");
  const char rows[] = "a dog,a dog,5\na cat sat,a cat,3\nthe film was bad,dog,0\n";
  write_text(pairs, rows, sizeof rows - 1);
  o = run_pith(NULL, "eval", embedder, "--task", "stsb", "--data", pairs, "--json", NULL);
  json = parse_only_line(&o);
  assert_true(fabs(number(cJSON_GetObjectItem(json, "metrics"), "spearman")) <= 1);
  cJSON_Delete(json);
  o = run_pith(NULL, "eval", embedder, "--task", "mrpc", "--data", pairs, NULL);
  assert_failure(&o, 1, "fields, not 5");
  o = run_pith(NULL, "eval", embedder, "--task", "classification", "--data", data, NULL);
  assert_failure(&o, 1, "none of the model's");
  write_text(data, "{\"text\":\"x\",\"label\":99}\n", 24);
  o = run_pith(NULL, "eval", classifier, "--task", "classification", "--data", data, NULL);
  assert_failure(&o, 1, "data.jsonl: line 1: label '99'");

  /* The same rows in columns. */
  const char *columns = in_folder("columns.csv");
  bytes = snprintf(text, sizeof text, "stars,review\n%s,a good film\n%s,\"bad\"\n%s,the dog sat\n", name[0], name[1],
                   strcmp(name[2], "LABEL_0") == 0 ? "LABEL_1" : "LABEL_0");
  write_text(columns, text, (size_t)bytes);
  for (int by_position = 0; by_position < 2; by_position++) {
    o = run_pith(NULL, "eval", classifier, "--task", "classification", "--data", columns, "--json", "--text-column",
                 by_position ? "2" : "review", "--label-column", by_position ? "1" : "stars", by_position ? "--header" : NULL,
                 NULL);
    json = parse_only_line(&o);
    assert_true(fabs(number(cJSON_GetObjectItem(json, "metrics"), "accuracy") - 2.0 / 3) < 1e-12);
    cJSON_Delete(json);
  }
  o = run_pith(NULL, "eval", classifier, "--task", "classification", "--data", columns, "--text-column", "body", NULL);
  assert_failure(&o, 1, "columns.csv: line 1 has no column 'body'");
  o = run_pith(NULL, "eval", classifier, "--task", "classification", "--data", columns, "--header", NULL);
  assert_failure(&o, 2, "--header goes with");
  o = run_pith(NULL, "eval", classifier, "--task", "pairs", "--data", columns, "--text-column", "review", NULL);
  assert_failure(&o, 1, "has no metric");

  const char *squad = in_folder("squad.json");
  const char question[] = "{\"data\":[{\"paragraphs\":[{\"context\":\"Anna Keller moved.\",\"qas\":[{\"question\":\"Who?\","
                          "\"answers\":[{\"text\":\"Anna Keller moved.\"}]}]}]}]}";
  write_text(squad, question, sizeof question - 1);
  o = run_pith(NULL, "eval", answerer, "--task", "squad", "--data", squad, "--json", NULL);
  json = parse_only_line(&o);
  assert_true(number(cJSON_GetObjectItem(json, "metrics"), "f1") > 0);
  cJSON_Delete(json);
}

static void test_bench(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "bench", classifier, "--batch", "3", "--seq", "20", "--threads", "2", "--instances", "2",
                       "--seconds", "0.1", "--json", "--profile", NULL);
  cJSON *json = parse_only_line(&o);
  double samples = number(json, "samples_per_s");
  assert_true(samples > 0);
  assert_true(fabs(number(json, "tokens_per_s") - 20 * samples) <= 1e-4 * 20 * samples);
  const cJSON *latency = cJSON_GetObjectItem(json, "latency_ms");
  assert_true(number(latency, "p50") > 0 && number(latency, "p50") <= number(latency, "p90") &&
              number(latency, "p90") <= number(latency, "p99"));
  assert_true(number(json, "gflops") > 0 && number(json, "fraction_of_peak") < 1);
  assert_true(number(cJSON_GetObjectItem(json, "peak"), "fp32_gflops") > 0);
  assert_true(cJSON_IsNumber(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "peak"), "int8_gops")));
  assert_true(number(json, "rss_bytes") > 1e6);
  double time = 0;
  const cJSON *row;
  cJSON_ArrayForEach(row, cJSON_GetObjectItem(json, "profile")) time += number(row, "share_of_time");
  assert_true(fabs(time - 1) < 1e-3);
  cJSON_Delete(json);

  const char *lengths = in_folder("lengths.txt"), *trace = in_folder("trace.json");
  write_text(lengths, "3\n20\n7\n", 7);
  o = run_pith(NULL, "bench", classifier, "--lengths", lengths, "--seconds", "0.05", "--json", "--trace", trace, NULL);
  json = parse_only_line(&o);
  assert_true(fabs(number(json, "tokens_per_s") * 3 - number(json, "samples_per_s") * 30) <
              1e-3 * number(json, "samples_per_s"));
  cJSON_Delete(json);
  o = run_pith(NULL, "bench", classifier, "--batch", "2", "--seq", "25", NULL);
  assert_failure(&o, 1, "25 tokens, over the model's maximum of 24");
  write_text(lengths, "3\nx\n", 4);
  o = run_pith(NULL, "bench", classifier, "--lengths", lengths, NULL);
  assert_failure(&o, 1, "line 2");
}

/* bench runs what run runs: the outputs of the same texts are the same digits. */
static void test_bench_equals_run(void **state) {
  (void)state;
  const char *texts = in_folder("texts.txt"), *outputs = in_folder("outputs.jsonl");
  const char lines[] = "a good film\nthe dog sat on the mat .\nbad\nwas it good ? the cat was\n";
  write_text(texts, lines, sizeof lines - 1);
  outcome bench = run_pith(NULL, "bench", classifier, "--input", texts, "--seconds", "0.05", "--outputs", outputs, NULL);
  assert_success(&bench);
  outcome run = run_pith(NULL, "run", classifier, "--input", texts, "--json", NULL);
  assert_success(&run);
  FILE *file = fopen(outputs, "r");
  assert_non_null(file);
  char wanted[4096];
  size_t count = 0;
  const char *line = run.out;
  while (fgets(wanted, sizeof wanted, file) != NULL) {
    wanted[strcspn(wanted, "\n")] = '\0';
    const char *logits = strstr(line, "\"logits\":");
    assert_non_null(logits);
    assert_int_equal(strncmp(logits + 9, wanted, strlen(wanted)), 0);
    line = strchr(line, '\n') + 1;
    count++;
  }
  fclose(file);
  assert_int_equal(count, 4);
}

/* ---- bad input ---------------------------------------------------------------------------------------- */

/* No text is an error: each gets what the reference gives. */
static void test_texts(void **state) {
  (void)state;
  enum { LARGE = 10 << 20 };
  char *large = malloc(LARGE + 2);
  assert_non_null(large);
  for (size_t i = 0; i < LARGE; i++)
    large[i] = "a dog "[i % 6];
  large[LARGE] = '\n';
  large[LARGE + 1] = '\0';
  outcome o = run_pith(large, "run", classifier, "--input", "-", "--json", NULL);
  assert_success(&o);
  assert_int_equal(count_lines(o.out), 1);
  memset(large, 'x', LARGE); /* one word */
  o = run_pith(large, "run", classifier, "--input", "-", NULL);
  assert_success(&o);
  memcpy(large + (100 << 10), "\n", 2); /* the tagger reads all of it: 100 KB will do */
  o = run_pith(large, "run", tagger, "--input", "-", NULL);
  assert_success(&o);
  free(large);
  static const char *const texts[] = {"", "   \t ", "\xff\xfe broken \xc3", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                                      "\x01\x02\x7f", "\xf0\x9f\x98\x80\xe2\x80\x8d"};
  const char *const models[] = {classifier, embedder, tagger};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
    for (size_t m = 0; m < 3; m++) {
      o = run_pith(NULL, "run", models[m], "--text", texts[i], "--json", NULL);
      cJSON_Delete(parse_only_line(&o));
    }
  o = run_pith(NULL, "run", answerer, "--question", "", "--context", "", "--json", NULL);
  cJSON_Delete(parse_only_line(&o));
}

static void test_bad_input(void **state) {
  (void)state;
  const char *missing = in_folder("no-such.pith"), *lines = in_folder("bad.jsonl");
  outcome o;
  o = run_pith(NULL, "run", missing, "--text", "x", NULL);
  assert_failure(&o, 1, "no-such.pith");
  o = run_pith(NULL, "inspect", "/", NULL);
  assert_failure(&o, 1, "/");
  o = run_pith(NULL, "run", classifier, "--input", in_folder("no-such.txt"), NULL);
  assert_failure(&o, 1, "no-such.txt");
  o = run_pith(NULL, "run", classifier, "--input", "/", NULL);
  assert_failure(&o, 1, "folder");
  write_text(lines, "{\"ids\":[1,2]}\n", 14);
  o = run_pith(NULL, "run", answerer, "--input", lines, NULL);
  assert_failure(&o, 1, "a question and a context");
  write_text(lines, "{\"text\":\n", 9);
  o = run_pith(NULL, "run", classifier, "--input", lines, NULL);
  assert_failure(&o, 1, "line 1: not JSON");
  write_text(lines, "{\"ids\":[99999]}\n", 16);
  o = run_pith(NULL, "run", classifier, "--input", lines, NULL);
  assert_failure(&o, 1, "99999");
  write_text(lines, "a\0b\n", 4);
  o = run_pith(NULL, "run", classifier, "--input", lines, NULL);
  assert_failure(&o, 1, "zero byte");
  o = run_pith_to("/dev/full", NULL, "run", classifier, "--text", "x", NULL);
  assert_failure(&o, 1, "cannot write to standard output");
}

/* Rows before a bad one are answered; the error names the file and the line. */
static void test_bad_rows(void **state) {
  (void)state;
  const char *lines = in_folder("rows.jsonl");
  static const struct {
    const char *model, *text, *says;
    size_t answered;
  } cases[] = {
      {classifier, "{\"text\":\"bad\"}\n\n{\"ids\":[2,5,3]}\n{\"ids\":[99999]}\n{\"text\":\"x\"}\n", "rows.jsonl: line 4: ", 2},
      {classifier, "{\"text\":\"bad\"}\n{\"ids\":[2,5],\"type_ids\":[0,9]}\n", "rows.jsonl: line 2: ", 1},
      {classifier, "{\"ids\":[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]}\n", "rows.jsonl: line 1: ", 0},
      {classifier, "{\"text\":\"bad\"}\n{\"text\":\n", "rows.jsonl: line 2: not JSON", 1},
      {tagger, "{\"text\":\"Anna\"}\n{\"ids\":[2,5,3]}\n", "line 2: the model's task is token-classification: it takes a text without a pair, not token ids alone", 1},
      {filler, "{\"text\":\"a [MASK]\"}\n{\"ids\":[2,5,3]}\n", "line 2: the model's task is fill-mask: it takes a text without a pair, not token ids alone", 1},
      {filler, "{\"text\":\"a [MASK]\"}\n{\"text\":\"a\"}\n", "rows.jsonl: line 2: ", 1},
      {embedder, "{\"text\":\"a\"}\n{\"text\":\"a\"}\n{\"text\":\"a\",\"pair\":\"b\"}\n", "line 3: the model's task is feature-extraction: it takes a text without a pair, not a pair", 2},
      {answerer, "{\"question\":\"a\",\"context\":\"b\"}\n{\"question\":\"a\"}\n", "line 2: the model's task is question-answering: it takes a question and a context, not one text alone", 1},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    write_text(lines, cases[i].text, strlen(cases[i].text));
    outcome o = run_pith(NULL, "run", cases[i].model, "--input", lines, NULL);
    if (o.status != 1 || strstr(o.err, cases[i].says) == NULL || count_lines(o.err) != 1 ||
        count_lines(o.out) != cases[i].answered)
      fail_msg("case %zu: exit %d, '%s' after %zu answers", i, o.status, o.err, count_lines(o.out));
  }
  outcome o = run_pith(NULL, "run", embedder, "--text", "a", "--pair", "b", NULL);
  assert_failure(&o, 1, "not a pair");
  o = run_pith(NULL, "run", classifier, "--question", "a", "--context", "b", NULL);
  assert_failure(&o, 2, "--question goes with question-answering models");
  o = run_pith(NULL, "run", classifier, "--text", "a", "--top-k", "3", NULL);
  assert_failure(&o, 2, "--top-k goes with fill-mask models");
  o = run_pith(NULL, "run", classifier, "--text", "a", "--jsonl", NULL);
  assert_failure(&o, 2, "--jsonl goes with --input");
}

/* A process that writes a line and waits for its answer before it writes the next. */
static void test_live_pipe(void **state) {
  (void)state;
  static const char *const commands[] = {"run", "tokenize"};
  for (size_t c = 0; c < 2; c++) {
    int in[2], out[2];
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      if (dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0 || close(in[1]) != 0 || close(out[0]) != 0)
        _exit(126);
      execl(PITH_COMMAND, PITH_COMMAND, commands[c], classifier, "--input", "-", (char *)NULL);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    for (size_t i = 0; i < 3; i++) {
      /* A whole line and half of the next: the first is due. */
      const char *text = i == 0 ? "a good film\nthe" : i == 1 ? " dog\nbad" : "\n";
      assert_int_equal(write(in[1], text, strlen(text)), (ssize_t)strlen(text));
      struct pollfd ready = {.fd = out[0], .events = POLLIN};
      if (poll(&ready, 1, 20000) != 1)
        fail_msg("%s: no answer to line %zu while the pipe stays open", commands[c], i + 1);
      char answer[400];
      ssize_t bytes = read(out[0], answer, sizeof answer - 1);
      assert_true(bytes > 0);
      assert_int_equal(answer[bytes - 1], '\n');
    }
    close(in[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(out[0]);
  }
}

/* A byte order mark is no part of the first text; a line end inside a text stays inside its answer. */
static void test_marks_and_escapes(void **state) {
  (void)state;
  outcome plain = run_pith("a good film\nbad\n", "run", classifier, "--input", "-", "--json", NULL);
  outcome marked = run_pith("\xef\xbb\xbf" "a good film\nbad\n", "run", classifier, "--input", "-", "--json", NULL);
  assert_success(&plain);
  assert_success(&marked);
  assert_string_equal(plain.out, marked.out);
  outcome tokens = run_pith("\xef\xbb\xbf" "a b", "tokenize", classifier, "--input", "-", NULL);
  assert_success(&tokens);
  assert_string_equal(tokens.out, "[CLS] a b [SEP]\n");

  /* The whole context, its ends included, is what the untrained answerer may give: any span is on one line. */
  outcome o = run_pith(NULL, "run", answerer, "--question", "Where?", "--context", "Anna\nKeller\tmoved\\Basel\nOdense", "--json", NULL);
  cJSON *json = parse_only_line(&o);
  const char *answer = cJSON_GetObjectItem(json, "answer")->valuestring;
  char wanted[200];
  size_t bytes = 0;
  for (const char *a = answer; *a != '\0'; a++) {
    const char *at = strchr("\nn\tt\\\\", *a);
    if (at != NULL && (*a == '\n' || *a == '\t' || *a == '\\')) {
      wanted[bytes++] = '\\';
      wanted[bytes++] = at[1];
    } else {
      wanted[bytes++] = *a;
    }
  }
  wanted[bytes++] = '\t';
  assert_true(strpbrk(answer, "\n\t\\") != NULL);
  o = run_pith(NULL, "run", answerer, "--question", "Where?", "--context", "Anna\nKeller\tmoved\\Basel\nOdense", NULL);
  assert_success(&o);
  assert_int_equal(strncmp(o.out, wanted, bytes), 0);
  assert_int_equal(count_lines(o.out), 1);
  cJSON_Delete(json);
}

/* Cut at any length, or with a bit changed: refused with one line, by verify always. */
static void test_damaged_files(void **state) {
  (void)state;
  FILE *file = fopen(classifier, "r");
  assert_non_null(file);
  static char bytes[4 << 20];
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  assert_true(size > 4096 && size < sizeof bytes);
  const char *damaged = in_folder("damaged.pith");
  const size_t cuts[] = {0, 1, 7, 64, 500, size / 2, size - 64};
  for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
    write_text(damaged, bytes, cuts[i]);
    outcome o = run_pith(NULL, "run", damaged, "--text", "x", NULL);
    assert_failure(&o, 1, "damaged.pith");
    o = run_pith(NULL, "verify", damaged, NULL);
    assert_failure(&o, 1, "damaged.pith");
  }
  bytes[size - 200] ^= 4; /* in a weight: only the hashes see it */
  write_text(damaged, bytes, size);
  outcome o = run_pith(NULL, "verify", damaged, NULL);
  assert_failure(&o, 1, "");
  o = run_pith(NULL, "verify", classifier, NULL);
  assert_success(&o);
}

static void test_output_places(void **state) {
  (void)state;
  outcome o = run_pith(NULL, "import", source, "-o", "/no-such-folder/m.pith", NULL);
  assert_failure(&o, 1, "/no-such-folder/m.pith");
  o = run_pith(NULL, "import", source, "-o", "/dev/full", NULL);
  assert_failure(&o, 1, "/dev/full");
  o = run_pith(NULL, "import", "/no-such-folder", "-o", in_folder("never.pith"), NULL);
  assert_failure(&o, 1, "/no-such-folder: No such file or directory");
  assert_int_not_equal(access(in_folder("never.pith"), F_OK), 0);
  o = run_pith(NULL, "import", source, "-o", "/proc/m.pith", NULL);
  assert_failure(&o, 1, "/proc/m.pith");
}

static size_t count_entries(const char *path) {
  DIR *entries = opendir(path);
  assert_non_null(entries);
  size_t count = 0;
  while (readdir(entries) != NULL)
    count++;
  closedir(entries);
  return count;
}

/* A file size limit is told as a full disk is, and leaves nothing; bench finds it out before it measures. */
static void test_file_size_limit(void **state) {
  (void)state;
  const char *out = in_folder("out"), *file = in_folder("out/m.pith");
  assert_int_equal(mkdir(out, 0777), 0);
  struct rlimit before, limit;
  assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
  limit = before;
  limit.rlim_cur = 4096;
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
  outcome o = run_pith(NULL, "import", source, "-o", file, NULL);
  assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
  assert_failure(&o, 1, "File too large");
  assert_int_equal(count_entries(out), 2);
  assert_int_equal(rmdir(out), 0);
  static const char *const options[] = {"--outputs", "--trace"};
  for (size_t i = 0; i < 2; i++) {
    time_t begin = time(NULL);
    o = run_pith(NULL, "bench", classifier, "--seconds", "60", options[i], "/no-such-folder/x", NULL);
    assert_failure(&o, 1, "/no-such-folder/x: cannot create a file here: No such file or directory");
    assert_true(time(NULL) - begin < 30);
    o = run_pith(NULL, "bench", classifier, "--seq", "8", "--seconds", "0.01", options[i], "/dev/full", NULL);
    assert_int_equal(o.status, 1);
    assert_non_null(strstr(o.err, "No space left on device"));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_usage),      cmocka_unit_test(test_pages),
      cmocka_unit_test(test_run_forms),  cmocka_unit_test(test_run_inputs),
      cmocka_unit_test(test_tokenize),   cmocka_unit_test(test_new),
      cmocka_unit_test(test_inspect),    cmocka_unit_test(test_eval),
      cmocka_unit_test(test_bench),      cmocka_unit_test(test_bench_equals_run),
      cmocka_unit_test(test_texts),      cmocka_unit_test(test_bad_input),
      cmocka_unit_test(test_bad_rows),   cmocka_unit_test(test_live_pipe),
      cmocka_unit_test(test_marks_and_escapes), cmocka_unit_test(test_file_size_limit),
      cmocka_unit_test(test_damaged_files), cmocka_unit_test(test_output_places),
  };
  return cmocka_run_group_tests(tests, make_models, remove_models);
}
