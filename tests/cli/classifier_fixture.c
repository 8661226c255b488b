#include "tests/cli/classifier_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <cjson/cJSON.h>

const char classifier_config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"BertForSequenceClassification\"],\"vocab_size\":300,\"hidden_size\":32,"
    "\"num_hidden_layers\":2,\"num_attention_heads\":2,\"intermediate_size\":64,\"hidden_act\":\"gelu\","
    "\"max_position_embeddings\":32,\"type_vocab_size\":2,\"initializer_range\":0.1,\"layer_norm_eps\":1e-12,"
    "\"pad_token_id\":0,\"id2label\":{\"0\":\"low\",\"1\":\"high\"}}";

char bare[PATH_BYTES], train[PATH_BYTES], dev[PATH_BYTES], out[PATH_BYTES], other[PATH_BYTES], recipe[PATH_BYTES];

void set_path(char path[PATH_BYTES], const char *name) {
  snprintf(path, PATH_BYTES, "%s", in_folder(name));
}

void write_rows(const char *path, uint32_t seed, int count, bool labelled) {
  char *text = malloc((size_t)count * 80);
  assert_non_null(text);
  size_t bytes = 0;
  for (int i = 0; i < count; i++) {
    int ids[4];
    for (int t = 0; t < 4; t++) {
      seed = seed * 1664525u + 1013904223u;
      ids[t] = (int)(10 + (seed >> 8) % 50);
    }
    bytes += (size_t)sprintf(text + bytes, "{\"ids\":[1,%d,%d,%d,%d]%s%s%s}\n", ids[0], ids[1], ids[2], ids[3],
                             labelled ? ",\"label\":\"" : "", !labelled ? "" : ids[0] >= 35 ? "high" : "low", labelled ? "\"" : "");
  }
  write_text(path, text, bytes);
  free(text);
}

void make_classifier(void) {
  const char *from = in_folder("config.json");
  write_text(from, classifier_config, sizeof classifier_config - 1);
  set_path(bare, "bare.pith");
  set_path(train, "train.jsonl");
  set_path(dev, "dev.jsonl");
  set_path(out, "out.pith");
  set_path(other, "other.pith");
  set_path(recipe, "recipe.json");
  const outcome o = run_pith(NULL, "new", from, "--seed", "3", "-o", bare, NULL);
  assert_success(&o);
  write_rows(train, 1, 600, true);
  write_rows(dev, 2, 200, true);
}

int remove_models(void **state) {
  (void)state;
  remove_folder();
  return 0;
}

double measure(const char *model) {
  outcome o = run_pith(NULL, "eval", model, "--task", "classification", "--data", dev, "--json", NULL);
  assert_success(&o);
  cJSON *json = cJSON_Parse(o.out);
  const cJSON *accuracy = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "metrics"), "accuracy");
  assert_true(cJSON_IsNumber(accuracy));
  const double value = accuracy->valuedouble;
  cJSON_Delete(json);
  return value;
}

/* The first byte that differs; -1: there is none. */
static long find_difference(const char *a, const char *b) {
  FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
  assert_true(x != NULL && y != NULL);
  int c;
  long place = 0;
  while ((c = fgetc(x)) == fgetc(y) && c != EOF)
    place++;
  const bool same = c == EOF && feof(y);
  fclose(x);
  fclose(y);
  return same ? -1 : place;
}

bool same_file(const char *a, const char *b) {
  return find_difference(a, b) < 0;
}

void expect_same_file(const char *a, const char *b) {
  const long place = find_difference(a, b);
  if (place >= 0)
    fail_msg("%s and %s differ from byte %ld on", a, b, place);
}
