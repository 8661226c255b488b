/* Losses and gradients of tiny random models of every architecture and task, and of MiniLM (PITH_MODELS), against PyTorch's autograd
 * (tests/golden/train), with a teacher's answers too: 1e-4 relative. 1 and 2 threads and every instruction set give the same bits; so do layers that are computed
 * again and tables by rows. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/compiler/import_fixture.h"
#include "tests/train/training_fixture.h"
#include "train/exits.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/train"
enum { SAMPLES = 64, NUMBERS = 2 + SAMPLES };

typedef struct golden_case {
  const cJSON *json;
  const char *name;
  training_batch batch;
  pith_training_graph_options options;
  int32_t *integers; /* all that the batch points to */
  float *floats, *next_float;
  const int32_t *ids;
  pith_arena arena;
  pith_comparisons comparisons;
  uint32_t exits[4], exit_count;
} golden_case;

static size_t count_numbers(const cJSON *json) {
  if (cJSON_IsNumber(json))
    return 1;
  size_t count = 0;
  for (const cJSON *item = json == NULL ? NULL : json->child; item != NULL; item = item->next)
    count += count_numbers(item);
  return count;
}

/* Lists of lists, one after the other. */
static void read_integers(const cJSON *json, int32_t **to) {
  if (cJSON_IsNumber(json))
    *(*to)++ = (int32_t)json->valuedouble;
  else
    for (const cJSON *item = json == NULL ? NULL : json->child; item != NULL; item = item->next)
      read_integers(item, to);
}
static void read_floats(const cJSON *json, float **to) {
  if (cJSON_IsNumber(json))
    *(*to)++ = (float)json->valuedouble;
  else
    for (const cJSON *item = json == NULL ? NULL : json->child; item != NULL; item = item->next)
      read_floats(item, to);
}

static golden_case read_case(const cJSON *json) {
  golden_case c = {.json = json, .name = cJSON_GetObjectItem(json, "name")->valuestring, .options = training_options};
  const cJSON *ids = cJSON_GetObjectItem(json, "ids"), *options = cJSON_GetObjectItem(json, "options");
  const cJSON *smoothing = cJSON_GetObjectItem(options, "label_smoothing"), *temperature = cJSON_GetObjectItem(options, "temperature");
  const cJSON *weights = cJSON_GetObjectItem(options, "class_weights"), *targets = cJSON_GetObjectItem(json, "targets");
  const cJSON *lists[] = {ids, cJSON_GetObjectItem(json, "type_ids"), cJSON_GetObjectItem(json, "rows"), cJSON_GetObjectItem(json, "labels")};
  static const pith_training_input inputs[] = {PITH_TRAINING_INPUT_IDS, PITH_TRAINING_INPUT_TYPE_IDS, PITH_TRAINING_INPUT_ROWS,
                                               PITH_TRAINING_INPUT_LABELS};
  c.batch.tokens = count_numbers(ids);
  c.batch.sequences = (size_t)cJSON_GetArraySize(ids);
  c.batch.rows = count_numbers(lists[2]);
  c.batch.pairs = c.batch.sequences / 2;
  int32_t *at = c.integers = calloc(4 * c.batch.tokens + 9 * c.batch.sequences + 65, sizeof *at);
  for (int i = 0; i < 4; i++) {
    c.batch.data[inputs[i]] = at;
    read_integers(lists[i], &at);
  }
  c.ids = c.batch.data[PITH_TRAINING_INPUT_IDS];
  c.batch.data[PITH_TRAINING_INPUT_OFFSETS] = at;
  for (const cJSON *sequence = ids->child; sequence != NULL; sequence = sequence->next, at++)
    at[1] = at[0] + cJSON_GetArraySize(sequence);
  at++;
  int32_t *firsts = at, *seconds = at + c.batch.pairs;
  for (size_t i = 0; i < c.batch.pairs; i++) {
    firsts[i] = (int32_t)(2 * i);
    seconds[i] = (int32_t)(2 * i + 1);
  }
  c.batch.data[PITH_TRAINING_INPUT_FIRSTS] = firsts;
  c.batch.data[PITH_TRAINING_INPUT_SECONDS] = seconds;
  int32_t *singles = c.integers + 4 * c.batch.tokens + 8 * c.batch.sequences + 64;
  for (size_t i = 0; i <= c.batch.sequences; i++)
    singles[i] = (int32_t)i;
  c.batch.data[PITH_TRAINING_INPUT_SINGLES] = singles;
  const cJSON *teacher = cJSON_GetObjectItem(json, "teacher"), *share = cJSON_GetObjectItem(options, "distill_weight");
  float *number = c.floats =
      calloc(count_numbers(targets) + count_numbers(weights) + count_numbers(teacher) + count_numbers(cJSON_GetObjectItem(json, "values")) + 1,
             sizeof *number);
  if (teacher != NULL) {
    c.options.distill_weight = share->valuedouble;
    c.options.distill_temperature = cJSON_GetObjectItem(options, "distill_temperature")->valuedouble;
    const cJSON *exit, *exits = cJSON_GetObjectItem(options, "exits");
    cJSON_ArrayForEach(exit, exits)
      c.exits[c.exit_count++] = (uint32_t)exit->valueint;
    c.batch.data[PITH_TRAINING_INPUT_TEACHER] = number;
    read_floats(teacher, &number);
  }
  c.batch.data[PITH_TRAINING_INPUT_TARGETS] = number;
  read_floats(targets, &number);
  if (weights != NULL)
    c.options.class_weights = number;
  read_floats(weights, &number);
  c.next_float = number;
  c.options.label_smoothing = smoothing == NULL ? 0 : smoothing->valuedouble;
  if (strcmp(cJSON_GetObjectItem(json, "kind")->valuestring, "pairs") == 0) {
    c.options.contrastive = true;
    c.options.temperature = temperature->valuedouble;
    int32_t *labels = seconds + c.batch.pairs; /* the second of the own pair */
    for (size_t i = 0; i < c.batch.pairs; i++)
      labels[i] = (int32_t)i;
    c.batch.data[PITH_TRAINING_INPUT_LABELS] = labels;
  }
  return c;
}

static double get_option(const golden_case *c, const char *name) {
  const cJSON *item = cJSON_GetObjectItem(cJSON_GetObjectItem(c->json, "options"), name);
  return item == NULL ? 0 : item->valuedouble;
}

/* A teacher of which only the values are there: as many layers, as wide, as the case says, or like the student. */
static pith_layers make_teacher(golden_case *c, const pith_layers *student) {
  const cJSON *shape = cJSON_GetObjectItem(cJSON_GetObjectItem(c->json, "options"), "teacher");
  const uint32_t count = shape == NULL ? student->count : (uint32_t)cJSON_GetArrayItem(shape, 0)->valueint;
  pith_layer *layers = PITH_ARENA_NEW(&c->arena, pith_layer, count);
  for (uint32_t i = 0; i < count; i++) {
    layers[i].heads = shape == NULL ? student->list[0].heads : cJSON_GetArrayItem(shape, 2)->valueint;
    for (uint32_t what = 0; what < PITH_LAYER_VALUE_COUNT; what++) {
      layers[i].tensors[what] = i * PITH_LAYER_VALUE_COUNT + what;
      layers[i].widths[what] = shape == NULL ? student->list[0].widths[0] : cJSON_GetArrayItem(shape, 1)->valueint;
    }
  }
  return (pith_layers){layers, count};
}

static void compare_layers(golden_case *c, const pith_graph *model) {
  const cJSON *values = cJSON_GetObjectItem(c->json, "values");
  const pith_compare_options options = {.hidden = get_option(c, "distill_hidden"),
                                        .attention = get_option(c, "distill_attention"),
                                        .relations = get_option(c, "distill_relations"),
                                        .relation_heads = (uint64_t)get_option(c, "relation_heads"),
                                        .relation_layer = (uint64_t)get_option(c, "relation_layer")};
  pith_error error = {PITH_OK, ""};
  pith_layers student;
  pith_arena_init(&c->arena, NULL);
  if (values == NULL)
    return;
  assert_int_equal(pith_layers_find(model, &c->arena, &student, &error), PITH_OK);
  const pith_layers teacher = make_teacher(c, &student);
  if (pith_comparisons_make(&options, &student, &teacher, "t", &c->arena, &c->comparisons, &error) != PITH_OK)
    fail_msg("%s: %s", c->name, error.message);
  assert_int_equal(c->comparisons.value_count, cJSON_GetArraySize(values));
  for (uint32_t i = 0; i < c->comparisons.value_count; i++) {
    char key[32];
    const pith_tensor_id id = c->comparisons.values[i].tensor;
    snprintf(key, sizeof key, "%u.%u", id / PITH_LAYER_VALUE_COUNT, id % PITH_LAYER_VALUE_COUNT);
    c->batch.teacher_values[i] = c->next_float;
    assert_non_null(cJSON_GetObjectItem(values, key));
    read_floats(cJSON_GetObjectItem(values, key), &c->next_float);
  }
  c->options.comparisons = &c->comparisons;
}

/* The case's own projection in the place of a random one. */
static void open_case(const golden_case *c, training_fixture *f, const pith_model_data *model, const pith_training_graph_options *options,
                      pith_cpu_set cpu, size_t threads) {
  const cJSON *projection = cJSON_GetObjectItem(c->json, "projection");
  training_open(f, model, options, &c->batch, cpu, threads);
  if (projection == NULL)
    return;
  const pith_training_parameter *parameter = training_find(f, "distill.projection");
  float *at = f->values + parameter->offset;
  double squares = 0;
  assert_int_equal(parameter->count, cJSON_GetArraySize(projection));
  for (size_t i = 0; i < parameter->count; i++)
    squares += (double)at[i] * (double)at[i];
  assert_true(fabs(sqrt(squares / (double)parameter->count) - 0.02) < 2e-3); /* as it is drawn */
  read_floats(projection, &at);
}

/* Where element k of those that are kept stands (get_places of make.py). */
static size_t get_place(const golden_case *c, const pith_training_graph *training, const pith_training_parameter *parameter, size_t k) {
  const pith_tensor *tensor = parameter->model_tensor == PITH_NONE ? &training->graph->tensors[parameter->tensor]
                                                                   : &training->model->tensors[parameter->model_tensor];
  const char *table = strstr(tensor->name, "word_embeddings.weight");
  const size_t features = (size_t)tensor->dims[tensor->rank - 1].constant;
  if (table != NULL)
    return (size_t)c->ids[k % c->batch.tokens] * features + k * 37 % features;
  return k * 2654435761u % parameter->count;
}

/* Relative to the largest element of the parameter's gradient; but where that is next to nothing beside the others (a bias of keys
 * changes no softmax), to 1e-2 of the largest of all. */
static double compare(const golden_case *c, const training_fixture *f, const float *golden) {
  const cJSON *parameters = cJSON_GetObjectItem(c->json, "parameters");
  const size_t count = (size_t)cJSON_GetArraySize(parameters);
  double largest = 0, worst = 0;
  for (size_t p = 0; p < count; p++)
    largest = fmax(largest, (double)golden[p * NUMBERS + 1]);
  const cJSON *item = parameters->child;
  for (size_t p = 0; p < count; p++, item = item->next, golden += NUMBERS) {
    const char *name = cJSON_GetArrayItem(item, 0)->valuestring;
    const pith_training_parameter *parameter = training_find(f, name);
    assert_int_equal(parameter->count, cJSON_GetArrayItem(item, 1)->valuedouble);
    float *gradient = training_gradient(f, parameter);
    if (gradient == NULL)
      fail_msg("%s: %s has no gradient", c->name, name);
    const double unit = fmax((double)golden[1], 1e-2 * largest);
    double norm = 0;
    for (size_t i = 0; i < parameter->count; i++)
      norm += (double)gradient[i] * (double)gradient[i];
    norm = sqrt(norm);
    if (!(fabs(norm - (double)golden[0]) <= 1e-4 * fmax((double)golden[0], unit * sqrt((double)parameter->count))))
      fail_msg("%s: the gradient of %s has norm %.9g, not %.9g", c->name, name, norm, (double)golden[0]);
    for (size_t k = 0; k < SAMPLES; k++) {
      const size_t at = get_place(c, f->training, parameter, k);
      const double off = fabs((double)gradient[at] - (double)golden[2 + k]);
      if (!(off <= 1e-4 * unit))
        fail_msg("%s: the gradient of %s at %zu is %.9g, not %.9g (largest %.9g)", c->name, name, at, (double)gradient[at],
                 (double)golden[2 + k], (double)golden[1]);
      worst = fmax(worst, off / unit);
    }
    free(gradient);
  }
  /* No parameter has a gradient that PyTorch does not know. */
  assert_int_equal(f->training->trained_count, count);
  return worst;
}

/* Of all parameters, and the loss: to the bit. */
static void assert_same(const golden_case *c, const training_fixture *a, float a_loss, const training_fixture *b, float b_loss, const char *what) {
  if (memcmp(&a_loss, &b_loss, sizeof a_loss) != 0)
    fail_msg("%s, %s: the loss is %.9g and %.9g", c->name, what, (double)a_loss, (double)b_loss);
  for (uint32_t i = 0; i < a->training->parameter_count; i++) {
    const char *name = training_name(a, &a->training->parameters[i]);
    float *x = training_gradient(a, &a->training->parameters[i]), *y = training_gradient(b, training_find(b, name));
    assert_true((x == NULL) == (y == NULL));
    if (x != NULL && memcmp(x, y, a->training->parameters[i].count * sizeof *x) != 0)
      fail_msg("%s, %s: the gradients of %s differ", c->name, what, name);
    free(x);
    free(y);
  }
}

static void run_case(const cJSON *json, const float *golden, const char *directory) {
  golden_case c = read_case(json);
  pith_import import;
  pith_error error = {PITH_OK, ""};
  pith_import_options import_options = PITH_IMPORT_OPTIONS_INIT;
  import_options.without_tokenizer = true;
  if (pith_import_huggingface(directory, &import_options, &import, &error) != PITH_OK)
    fail_msg("%s: %s", directory, error.message);
  pith_model_data model = import.data;
  pith_graph *with_exits = NULL;
  if (c.exit_count != 0) {
    if (pith_model_add_exits(&import.data, c.exits, c.exit_count, NULL, &with_exits, &error) != PITH_OK)
      fail_msg("%s: %s", c.name, error.message);
    model.graph = with_exits;
  }
  const pith_cpu_set here = pith_cpu_detect();
  training_fixture base, other;
  compare_layers(&c, model.graph);
  open_case(&c, &base, &model, &c.options, here, 1);
  const float loss = training_run(&base, &c.batch);
  const double want = cJSON_GetObjectItem(json, "loss")->valuedouble;
  const double worst = compare(&c, &base, golden);
  print_message("%-32s loss %.7f, off by %.1e; gradients by at most %.1e of the largest\n", c.name, (double)loss,
                fabs((double)loss / want - 1), worst);
  if (!(fabs((double)loss - want) <= 1e-5 * want))
    fail_msg("%s: the loss is %.9g, not %.9g", c.name, (double)loss, want);
  const bool small = base.training->value_count < 1 << 20;
  for (int variant = 0; variant < 4; variant++) {
    static const char *const names[] = {"two threads", "the references", "layers computed again", "tables by rows"};
    pith_training_graph_options options = c.options;
    if (variant == 1 && !small) /* minutes */
      continue;
    if (variant == 2)
      options.recompute_layers = 99;
    if (variant == 3)
      options.dense_rows = 8;
    open_case(&c, &other, &model, &options, variant == 1 ? 0 : here, variant == 0 ? 2 : 1);
    const float other_loss = training_run(&other, &c.batch);
    /* By rows the test adds up, in the same ascending order. */
    assert_same(&c, &base, loss, &other, other_loss, names[variant]);
    if (variant == 2)
      assert_true(other.program->buffer_bytes < base.program->buffer_bytes);
    training_close(&other);
  }
  training_close(&base);
  pith_graph_destroy(with_exits);
  pith_import_deinit(&import);
  pith_arena_deinit(&c.arena);
  free(c.integers);
  free(c.floats);
}

static char minilm_directory[1024];

static void run_cases(const char *file, const char *numbers_file, bool minilm) {
  size_t bytes, ran = 0, at = 0, others = 0;
  char *text = file_read(file, &bytes);
  cJSON *all = cJSON_ParseWithLength(text, bytes);
  free(text);
  float *golden = (float *)(void *)file_read(numbers_file, &bytes);
  assert_non_null(all);
  for (const cJSON *json = all->child; json != NULL; json = json->next) {
    const cJSON *folder = cJSON_GetObjectItem(json, "folder");
    const size_t numbers = (size_t)cJSON_GetArraySize(cJSON_GetObjectItem(json, "parameters")) * NUMBERS;
    char path[1024];
    assert_true((at + numbers) * sizeof *golden <= bytes);
    if (cJSON_IsString(folder))
      snprintf(path, sizeof path, "%s/%s", GOLDEN_FOLDER, folder->valuestring);
    others += minilm != !cJSON_IsString(folder);
    if (minilm == !cJSON_IsString(folder)) {
      run_case(json, golden + at, minilm ? minilm_directory : path);
      ran++;
    }
    at += numbers;
  }
  assert_int_equal(at * sizeof *golden, bytes);
  assert_true(ran > 0 && ran + others == (size_t)cJSON_GetArraySize(all) && (!minilm || ran == 1));
  cJSON_Delete(all);
  free(golden);
}

static void test_cases(void **state) {
  run_cases(GOLDEN "/golden.json", GOLDEN "/golden.f32", *(const bool *)*state);
}

static void test_teacher(void **state) {
  (void)state;
  run_cases(GOLDEN "/distill.json", GOLDEN "/distill.f32", false);
}

int main(void) {
  static bool with[2] = {false, true};
  const char *models = getenv("PITH_MODELS");
  snprintf(minilm_directory, sizeof minilm_directory, "%s/minilm-sst2", models == NULL ? PITH_SOURCE_DIR "/../shared/models" : models);
  char config[1100];
  snprintf(config, sizeof config, "%s/config.json", minilm_directory);
  FILE *file = fopen(config, "r");
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_teacher), cmocka_unit_test_prestate(test_cases, &with[0]),
                                     cmocka_unit_test_prestate(test_cases, &with[1])};
  if (file != NULL)
    fclose(file);
  const size_t count = file == NULL ? 2 : 3;
  const int failed = _cmocka_run_group_tests("golden gradients", tests, count, NULL, NULL);
  if (failed == 0 && file == NULL) {
    printf("skipped: no %s\n", config);
    return 77;
  }
  return failed;
}
