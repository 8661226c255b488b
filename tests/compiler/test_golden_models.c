/* Every architecture and head against the outputs of Hugging Face's classes (tests/golden/models),
 * and mistakes planted one by one in the graph, each of which the same comparison must refuse. */
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/ir/operator.h"
#include "models/architectures/architecture.h"
#include "tests/compiler/import_fixture.h"

/* Of the largest value. */
static const double tolerance = 1e-5;

static void import_case(const char *directory, pith_import *out_import) {
  pith_error error;
  pith_status status = pith_import_huggingface(directory, NULL, out_import, &error);
  if (status != PITH_OK)
    fail_msg("%s: %s", directory, error.message);
}

static void check_facts(const golden *golden, const pith_import *import) {
  const pith_model_data *data = &import->data;
  assert_string_equal(pith_task_name(data->task),
                      cJSON_GetObjectItem(golden->json, "task")->valuestring);
  assert_int_equal(data->max_length, cJSON_GetObjectItem(golden->json, "max_length")->valueint);
  const cJSON *labels = cJSON_GetObjectItem(golden->json, "labels"), *label;
  assert_int_equal(data->label_count, cJSON_GetArraySize(labels));
  uint32_t i = 0;
  cJSON_ArrayForEach(label, labels) assert_string_equal(data->labels[i++], label->valuestring);
  assert_non_null(strstr(data->config_json, data->architecture));
}

static void compare_case(const char *name) {
  const char *directory = folder_path(GOLDEN_FOLDER, name);
  char path[1024];
  snprintf(path, sizeof path, "%s", directory);
  golden golden = golden_open(path);
  folder folder = folder_make();
  pith_import import;
  import_case(path, &import);
  check_facts(&golden, &import);
  double worst = golden_compare(&golden, &import, &folder, true, true);
  print_message("%-32s %.2e\n", name, worst);
  if (!(worst <= tolerance))
    fail_msg("%s: off by %g of the largest value, at most %g", name, worst, tolerance);
  pith_import_deinit(&import);
  folder_remove(&folder);
  golden_close(&golden);
}

static int is_case(const struct dirent *entry) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s/golden.json", GOLDEN_FOLDER, entry->d_name);
  return access(path, R_OK) == 0;
}

/* The rows and heads that the cases cover, by the class names in their config.json. */
static void mark_covered(const char *name, bool covered[16][16]) {
  char directory[1024];
  size_t bytes;
  snprintf(directory, sizeof directory, "%s/%s", GOLDEN_FOLDER, name);
  char *text = file_read(folder_path(directory, "config.json"), &bytes);
  cJSON *json = cJSON_Parse(text);
  free(text);
  const char *class_name = cJSON_GetObjectItem(json, "architectures")->child->valuestring;
  for (size_t row = 0; pith_architectures[row] != NULL; row++) {
    const pith_architecture_head *head =
        pith_architecture_find_head(pith_architectures[row], class_name);
    if (head != NULL)
      covered[row][head - pith_architectures[row]->heads] = true;
  }
  cJSON_Delete(json);
}

/* Rows that share a list of heads share their cases; each row needs one of its own. */
static void check_coverage(bool covered[16][16]) {
  for (size_t row = 0; pith_architectures[row] != NULL; row++) {
    bool any = false;
    for (size_t head = 0; pith_architectures[row]->heads[head].class_suffix != NULL; head++) {
      any = any || covered[row][head];
      bool found = false;
      for (size_t other = 0; pith_architectures[other] != NULL; other++)
        found = found || (pith_architectures[other]->heads == pith_architectures[row]->heads &&
                          covered[other][head]);
      if (!found)
        fail_msg("%s%s has no golden case", pith_architectures[row]->class_prefix,
                 pith_architectures[row]->heads[head].class_suffix);
    }
    if (!any)
      fail_msg("%s has no golden case", pith_architectures[row]->model_type);
  }
}

static void test_every_case(void **state) {
  (void)state;
  struct dirent **entries;
  int count = scandir(GOLDEN_FOLDER, &entries, is_case, alphasort);
  assert_true(count > 0);
  bool covered[16][16] = {{false}};
  for (int i = 0; i < count; i++) {
    compare_case(entries[i]->d_name);
    mark_covered(entries[i]->d_name, covered);
    free(entries[i]);
  }
  free(entries);
  check_coverage(covered);
}

/* ---- planted mistakes
 * ----------------------------------------------------------------------------------- */

/* Sets one attribute on every node of an operator; at least one must be there. */
static void set_attribute(pith_graph *graph, pith_operator_id op, const char *name,
                          void (*change)(pith_attribute *attribute)) {
  size_t changed = 0;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    pith_node *node = &graph->nodes[i];
    for (size_t k = 0; node->op->id == op && node->op->attributes[k].name != NULL; k++)
      if (strcmp(node->op->attributes[k].name, name) == 0) {
        change(&node->attributes[k]);
        changed++;
      }
  }
  assert_true(changed > 0);
}

static void set_scale_one(pith_attribute *attribute) {
  attribute->f = 1.0;
}
static void set_other_gelu(pith_attribute *attribute) {
  attribute->i = attribute->i == PITH_GELU_NONE ? PITH_GELU_TANH : PITH_GELU_NONE;
}
static void set_other_epsilon(pith_attribute *attribute) {
  attribute->f = attribute->f == 1e-5 ? 1e-12 : 1e-5;
}
static void add_one(pith_attribute *attribute) {
  attribute->i++;
}
static void set_no_padding(pith_attribute *attribute) {
  attribute->i = -1;
}
static void plant_scale(pith_graph *graph) {
  set_attribute(graph, PITH_OP_PACKED_ATTENTION, "scale", set_scale_one);
}
static void plant_gelu(pith_graph *graph) {
  set_attribute(graph, PITH_OP_GELU, "approximate", set_other_gelu);
}
static void plant_epsilon(pith_graph *graph) {
  set_attribute(graph, PITH_OP_LAYER_NORMALIZATION, "epsilon", set_other_epsilon);
}
static void plant_position(pith_graph *graph) {
  set_attribute(graph, PITH_OP_PACKED_POSITIONS, "start", add_one);
}
static void plant_padding(pith_graph *graph) {
  set_attribute(graph, PITH_OP_PACKED_POSITIONS, "padding_id", set_no_padding);
}

static const struct {
  const char *mistake, *name;
  void (*plant)(pith_graph *graph); /* NULL: type ids are left out */
} mistakes[] = {
    {"attention scale", "bert-sequence", plant_scale},
    {"attention scale", "roberta-token", plant_scale},
    {"attention scale", "distilbert-masked", plant_scale},
    {"attention scale", "electra-question", plant_scale},
    {"GELU form", "bert-sequence", plant_gelu},
    {"GELU form", "bert-gelu-new", plant_gelu},
    {"GELU form", "bert-gelu-tanh-masked", plant_gelu},
    {"GELU form", "roberta-sequence", plant_gelu},
    {"GELU form of the masked head", "roberta-masked", plant_gelu},
    {"GELU form", "distilbert-sequence", plant_gelu},
    {"GELU form", "electra-sequence", plant_gelu},
    {"epsilon", "bert-relu-epsilon", plant_epsilon},
    {"epsilon", "roberta-model", plant_epsilon},
    {"epsilon", "distilbert-relu-epsilon", plant_epsilon},
    {"epsilon", "electra-model", plant_epsilon},
    {"position offset", "bert-sequence", plant_position},
    {"position offset", "roberta-sequence", plant_position},
    {"position offset", "distilbert-sequence", plant_position},
    {"position offset", "electra-sequence", plant_position},
    {"positions that count padding", "roberta-token", plant_padding},
    {"type id", "bert-sequence", NULL},
    {"type id", "xlm-roberta-sequence", NULL},
    {"type id", "electra-masked", NULL},
};

static void test_planted_mistakes(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
    char directory[1024];
    snprintf(directory, sizeof directory, "%s/%s", GOLDEN_FOLDER, mistakes[i].name);
    golden golden = golden_open(directory);
    folder folder = folder_make();
    pith_import import;
    import_case(directory, &import);
    if (mistakes[i].plant != NULL)
      mistakes[i].plant(import.data.graph);
    double worst = golden_compare(&golden, &import, &folder, false, mistakes[i].plant != NULL);
    print_message("%-30s %-24s %.2e\n", mistakes[i].mistake, mistakes[i].name, worst);
    if (!(worst > 10 * tolerance))
      fail_msg("%s: a wrong %s stays within %g", mistakes[i].name, mistakes[i].mistake, worst);
    pith_import_deinit(&import);
    folder_remove(&folder);
    golden_close(&golden);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_case),
      cmocka_unit_test(test_planted_mistakes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
