/* Models whose layers have sizes of their own: heads and neurons that left a checkpoint. The same
 * checkpoint whole, with zeros where a head's or a neuron's part enters the next product, must give
 * the same. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compiler/import/safetensors.h"
#include "engine/format/format.h"
#include "engine/ir/operator.h"
#include "models/architectures/architecture.h"
#include "tests/compiler/import_fixture.h"

static pith_error error;
#define MUST(call)                                                                                 \
  do {                                                                                             \
    if ((call) != PITH_OK)                                                                         \
      fail_msg("%s: %s", #call, error.message);                                                    \
  } while (0)

/* The checked-in models have two layers. */
enum { LAYERS = 2, MAX_SIZE = 64 };

/* What leaves. Of heads, by layer; of neurons every third from `first_neuron` on. */
static const struct {
  const char *json;
  bool gone[LAYERS][3]; /* heads from the third on stay */
} heads = {"{\"0\":[0,2],\"1\":[1]}", {{true, false, true}, {false, true, false}}};
static const unsigned first_neuron[LAYERS] = {0, 7};

static const struct {
  const char *name, *layer; /* the directory; a layer's parameters begin so */
  int heads, hidden, intermediate;
  const char *query, *key, *value, *output, *inner, *outer;
} models[] = {
#define BERT_PARTS                                                                                 \
  "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",  \
      "intermediate.dense", "output.dense"
    {"bert-sequence", "bert.encoder.layer.", 4, 32, 48, BERT_PARTS},
    {"bert-masked", "bert.encoder.layer.", 4, 32, 48, BERT_PARTS},
    {"roberta-sequence", "roberta.encoder.layer.", 3, 48, 40, BERT_PARTS},
    {"xlm-roberta-sequence", "roberta.encoder.layer.", 3, 48, 40, BERT_PARTS},
    {"camembert-token", "roberta.encoder.layer.", 3, 48, 40, BERT_PARTS},
    {"electra-sequence", "electra.encoder.layer.", 4, 32, 48, BERT_PARTS},
    {"distilbert-sequence", "distilbert.transformer.layer.", 5, 40, 56, "attention.q_lin",
     "attention.k_lin", "attention.v_lin", "attention.out_lin", "ffn.lin1", "ffn.lin2"},
};
enum { MODELS = sizeof models / sizeof *models };

/* ---- checkpoints --------------------------------------------------------------------------------
 */

static bool head_leaves(int layer, size_t head) {
  return head < 3 && heads.gone[layer][head];
}
static bool neuron_leaves(int layer, size_t neuron) {
  return neuron >= first_neuron[layer] && (neuron - first_neuron[layer]) % 3 == 0;
}
static int count_neurons(int model, int layer) {
  int left = 0;
  for (int i = 0; i < models[model].intermediate; i++)
    left += !neuron_leaves(layer, (size_t)i);
  return left;
}

/* Which places of a tensor's rows or columns leave. */
typedef struct change {
  bool rows, columns;
  bool gone[MAX_SIZE];
} change;

static change find_change(int model, const char *name) {
  change change = {.rows = false};
  const size_t begin = strlen(models[model].layer);
  if (strncmp(name, models[model].layer, begin) != 0)
    return change;
  const int layer = name[begin] - '0';
  assert_true(layer >= 0 && layer < LAYERS);
  const char *part = name + begin + 2, *dot = strrchr(part, '.');
  const size_t bytes = (size_t)(dot - part);
#define IS(field)                                                                                  \
  (strlen(models[model].field) == bytes && strncmp(part, models[model].field, bytes) == 0)
  const bool into_heads = IS(query) || IS(key) || IS(value), into_neurons = IS(inner);
  const bool is_weight = strcmp(dot, ".weight") == 0;
  const bool from_heads = IS(output) && is_weight, from_neurons = IS(outer) && is_weight;
#undef IS
  change.rows = into_heads || into_neurons;
  change.columns = from_heads || from_neurons;
  const size_t head_size = (size_t)(models[model].hidden / models[model].heads);
  for (size_t i = 0; i < MAX_SIZE; i++)
    change.gone[i] =
        into_heads || from_heads ? head_leaves(layer, i / head_size) : neuron_leaves(layer, i);
  return change;
}

/* The header and the data of the file that is written. */
typedef struct writer {
  cJSON *header;
  float *data;
  size_t count;
} writer;

static void write_tensor(writer *writer, int model, const pith_safetensor *tensor, bool cut) {
  const change change = find_change(model, tensor->name);
  const size_t rows = (size_t)tensor->dims[0], columns = tensor->count / rows;
  const size_t begin = writer->count;
  size_t rows_left = rows, columns_left = columns;
  float *values = malloc(tensor->count * sizeof *values);
  assert_non_null(values);
  MUST(pith_safetensor_read_f32(tensor, values, &error));
  if (change.rows || change.columns)
    assert_true((change.rows ? rows : columns) <= MAX_SIZE);
  if (cut && change.rows)
    for (size_t r = 0; r < rows; r++)
      rows_left -= change.gone[r];
  if (cut && change.columns)
    for (size_t c = 0; c < columns; c++)
      columns_left -= change.gone[c];
  for (size_t r = 0; r < rows; r++)
    for (size_t c = 0; c < columns; c++) {
      const bool gone = (change.rows && change.gone[r]) || (change.columns && change.gone[c]);
      if (!(cut && gone)) /* rows stay as they are in the whole model: what reads them is 0 */
        writer->data[writer->count++] = gone && change.columns ? 0 : values[r * columns + c];
    }
  free(values);
  cJSON *entry = cJSON_AddObjectToObject(writer->header, tensor->name);
  cJSON_AddStringToObject(entry, "dtype", "F32");
  cJSON *shape = cJSON_AddArrayToObject(entry, "shape");
  cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)rows_left));
  if (tensor->rank == 2)
    cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)columns_left));
  cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
  cJSON_AddItemToArray(offsets, cJSON_CreateNumber(4.0 * (double)begin));
  cJSON_AddItemToArray(offsets, cJSON_CreateNumber(4.0 * (double)writer->count));
}

/* A copy of a checked-in directory: with `cut` the parts are gone, else they are 0. */
static void make_checkpoint(int model, bool cut, const char *directory) {
  const char *from = folder_path(GOLDEN_FOLDER, models[model].name);
  folder_copy(from, directory);
  pith_safetensors tensors;
  MUST(pith_safetensors_open(folder_path(GOLDEN_FOLDER, models[model].name), NULL, &tensors,
                             &error));
  uint64_t total = 0;
  for (size_t i = 0; i < tensors.count; i++) {
    assert_true(tensors.tensors[i].rank >= 1 && tensors.tensors[i].rank <= 2);
    total += tensors.tensors[i].count;
  }
  writer writer = {cJSON_CreateObject(), malloc(total * sizeof(float)), 0};
  assert_non_null(writer.data);
  for (size_t i = 0; i < tensors.count; i++)
    write_tensor(&writer, model, &tensors.tensors[i], cut);
  pith_safetensors_close(&tensors);
  assert_int_equal(cut ? writer.count < total : writer.count == total, true);
  char *text = cJSON_PrintUnformatted(writer.header);
  const uint64_t header_bytes = strlen(text);
  const size_t bytes = sizeof header_bytes + header_bytes + writer.count * sizeof(float);
  char *file = malloc(bytes);
  assert_non_null(file);
  memcpy(file, &header_bytes, sizeof header_bytes);
  memcpy(file + sizeof header_bytes, text, header_bytes);
  memcpy(file + sizeof header_bytes + header_bytes, writer.data, writer.count * sizeof(float));
  file_write(folder_path(directory, "model.safetensors"), file, bytes);
  free(file);
  cJSON_free(text);
  cJSON_Delete(writer.header);
  free(writer.data);
}

static void set_sizes(int model, const char *directory) {
  char text[64];
  snprintf(text, sizeof text, "[%d,%d]", count_neurons(model, 0), count_neurons(model, 1));
  json_set_key(directory, "config.json", "pruned_heads", heads.json);
  json_set_key(directory, "config.json", "intermediate_sizes", text);
}

/* ---- the same results ---------------------------------------------------------------------------
 */

static void check_sizes(int model, const pith_graph *graph) {
  const int head_size = models[model].hidden / models[model].heads;
  const int heads_left[LAYERS] = {models[model].heads - 2, models[model].heads - 1};
  int layer = 0;
  for (uint32_t i = 0; i < graph->node_count; i++) {
    const pith_node *node = &graph->nodes[i];
    if (node->op->id != PITH_OP_PACKED_ATTENTION)
      continue;
    assert_true(layer < LAYERS);
    assert_int_equal(pith_node_get_attribute(node, "num_heads")->i, heads_left[layer]);
    char name[128];
    snprintf(name, sizeof name, "%s%d.%s.weight", models[model].layer, layer, models[model].query);
    const pith_tensor_id query = pith_graph_find_tensor(graph, name);
    assert_int_not_equal(query, PITH_NONE);
    assert_int_equal(graph->tensors[query].dims[0].constant, heads_left[layer] * head_size);
    snprintf(name, sizeof name, "%s%d.%s.weight", models[model].layer, layer, models[model].outer);
    const pith_tensor_id outer = pith_graph_find_tensor(graph, name);
    assert_int_not_equal(outer, PITH_NONE);
    assert_int_equal(graph->tensors[outer].dims[1].constant, count_neurons(model, layer));
    layer++;
  }
  assert_int_equal(layer, LAYERS);
}

typedef struct output {
  size_t count;
  float *values;
} output;

static output run(const char *directory, const golden *golden) {
  pith_import import;
  MUST(pith_import_huggingface(directory, NULL, &import, &error));
  const char *path = folder_path(directory, "model.pith");
  MUST(pith_format_write(path, &import.data, &error));
  pith_import_deinit(&import);
  pith_model *model;
  MUST(pith_model_open(path, NULL, &model, &error));
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = golden->tokens;
  options.max_sequences = golden->sequences;
  pith_session *session;
  MUST(pith_session_create(model, &options, &session, &error));
  pith_batch batch = PITH_BATCH_INIT;
  batch.sequences = golden->sequences;
  batch.offsets = golden->offsets;
  batch.ids = golden->ids;
  batch.rows = golden->wanted;
  batch.row_count = golden->row_count;
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &batch, &result, &error));
  output output = {result.outputs[0].rows * result.outputs[0].columns, NULL};
  output.values = malloc(output.count * sizeof *output.values);
  assert_non_null(output.values);
  memcpy(output.values, result.outputs[0].data, output.count * sizeof *output.values);
  pith_session_destroy(session);
  pith_model_close(model);
  return output;
}

static void test_results(void **state) {
  (void)state;
  for (int m = 0; m < MODELS; m++) {
    folder whole = folder_make(), cut = folder_make(), original = folder_make();
    folder_copy(folder_path(GOLDEN_FOLDER, models[m].name), original.path);
    make_checkpoint(m, false, whole.path);
    make_checkpoint(m, true, cut.path);
    set_sizes(m, cut.path);
    pith_import import;
    MUST(pith_import_huggingface(cut.path, NULL, &import, &error));
    check_sizes(m, import.data.graph);
    pith_import_deinit(&import);

    golden golden = golden_open(folder_path(GOLDEN_FOLDER, models[m].name));
    output expected = run(whole.path, &golden), got = run(cut.path, &golden);
    output unpruned = run(original.path, &golden);
    assert_int_equal(got.count, expected.count);
    double worst = 0, effect = 0, largest = 0;
    for (size_t i = 0; i < got.count; i++) {
      worst = fmax(worst, fabs((double)got.values[i] - (double)expected.values[i]));
      effect = fmax(effect, fabs((double)unpruned.values[i] - (double)expected.values[i]));
      largest = fmax(largest, fabs((double)expected.values[i]));
      assert_true(isfinite(got.values[i]));
    }
    if (!(worst <= 1e-5 * largest) || !(effect >= 1e-2 * largest))
      fail_msg("%s: differs by %g; what left made %g of %g", models[m].name, worst, effect,
               largest);
    free(expected.values);
    free(got.values);
    free(unpruned.values);
    golden_close(&golden);
    folder_remove(&whole);
    folder_remove(&cut);
    folder_remove(&original);
  }
}

/* ---- either key alone, and new models -----------------------------------------------------------
 */

static const pith_tensor *find_tensor(const pith_graph *graph, const char *name) {
  const pith_tensor_id id = pith_graph_find_tensor(graph, name);
  if (id == PITH_NONE)
    fail_msg("no tensor '%s'", name);
  return &graph->tensors[id];
}

static const struct {
  const char *keys;
  int64_t heads[LAYERS], intermediate[LAYERS];
} configs[] = {
    {"", {4, 4}, {48, 48}},
    {",\"pruned_heads\":null,\"intermediate_sizes\":null", {4, 4}, {48, 48}},
    {",\"pruned_heads\":{}", {4, 4}, {48, 48}},
    {",\"pruned_heads\":{\"0\":[]}", {4, 4}, {48, 48}},
    {",\"pruned_heads\":{\"1\":[3,0,1]}", {4, 1}, {48, 48}},
    {",\"intermediate_sizes\":[1,200]", {4, 4}, {1, 200}},
    {",\"intermediate_sizes\":[48,17],\"pruned_heads\":{\"0\":[2],\"1\":[1,2]}", {3, 2}, {48, 17}},
};

static void test_new_models(void **state) {
  (void)state;
  folder folder = folder_make();
  char text[1024];
  for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
    snprintf(
        text, sizeof text,
        "{\"model_type\":\"bert\",\"vocab_size\":50,\"hidden_size\":32,\"num_hidden_layers\":2,"
        "\"num_attention_heads\":4,\"intermediate_size\":48,\"max_position_embeddings\":20%s}",
        configs[i].keys);
    char path[600];
    snprintf(path, sizeof path, "%s/config.json", folder.path);
    file_write(path, text, strlen(text));
    pith_import import;
    MUST(pith_new_model(path, NULL, &import, &error));
    for (int layer = 0; layer < LAYERS; layer++) {
      char name[128];
#define DIM(part, dim)                                                                             \
  (snprintf(name, sizeof name, "encoder.layer.%d." part, layer),                                   \
   find_tensor(import.data.graph, name)->dims[dim].constant)
      const int64_t width = 8 * configs[i].heads[layer], inner = configs[i].intermediate[layer];
      assert_int_equal(DIM("attention.self.query.weight", 0), width);
      assert_int_equal(DIM("attention.self.query.weight", 1), 32);
      assert_int_equal(DIM("attention.self.key.bias", 0), width);
      assert_int_equal(DIM("attention.self.value.weight", 0), width);
      assert_int_equal(DIM("attention.output.dense.weight", 0), 32);
      assert_int_equal(DIM("attention.output.dense.weight", 1), width);
      assert_int_equal(DIM("intermediate.dense.weight", 0), inner);
      assert_int_equal(DIM("intermediate.dense.bias", 0), inner);
      assert_int_equal(DIM("output.dense.weight", 1), inner);
#undef DIM
    }
    pith_import_deinit(&import);
  }
  folder_remove(&folder);
}

/* ---- refused ------------------------------------------------------------------------------------
 */

static const struct {
  const char *key, *value;
  pith_status status;
  const char *message;
} refused[] = {
    {"pruned_heads", "[[0]]", PITH_FORMAT, "pruned_heads is not an object"},
    {"pruned_heads", "7", PITH_FORMAT, "pruned_heads is not an object"},
    {"pruned_heads", "{\"2\":[0]}", PITH_FORMAT, "pruned_heads[\"2\"]: layers must be 0 to 1"},
    {"pruned_heads", "{\"-1\":[0]}", PITH_FORMAT, "pruned_heads[\"-1\"]: layers"},
    {"pruned_heads", "{\"\":[0]}", PITH_FORMAT, "pruned_heads[\"\"]: layers"},
    {"pruned_heads", "{\"0x\":[0]}", PITH_FORMAT, "pruned_heads[\"0x\"]: layers"},
    {"pruned_heads", "{\"99999999999999999999999\":[0]}", PITH_FORMAT, "layers must be 0 to 1"},
    {"pruned_heads", "{\"1\":[0],\"01\":[1]}", PITH_FORMAT, "pruned_heads[\"01\"]: layers"},
    {"pruned_heads", "{\"0\":2}", PITH_FORMAT, "pruned_heads[\"0\"] is not a list"},
    {"pruned_heads", "{\"0\":[4]}", PITH_FORMAT, "pruned_heads[\"0\"]: heads must be 0 to 3"},
    {"pruned_heads", "{\"0\":[-1]}", PITH_FORMAT, "pruned_heads[\"0\"]: heads must be 0 to 3"},
    {"pruned_heads", "{\"0\":[0.5]}", PITH_FORMAT, "pruned_heads[\"0\"]: heads must be 0 to 3"},
    {"pruned_heads", "{\"0\":[\"1\"]}", PITH_FORMAT, "pruned_heads[\"0\"]: heads must be 0 to 3"},
    {"pruned_heads", "{\"0\":[1,1]}", PITH_FORMAT, "heads must be 0 to 3, each once"},
    {"pruned_heads", "{\"0\":[0,1,2,3]}", PITH_UNSUPPORTED, "leaves none of 4 heads"},
    {"pruned_heads", "{\"0\":[0]}", PITH_FORMAT,
     "'bert.encoder.layer.0.attention.self.query.weight' has shape [16, 32], the config asks for "
     "[24, 32]"},
    {"pruned_heads", NULL, PITH_FORMAT, "has shape [16, 32], the config asks for [32, 32]"},
    {"intermediate_sizes", "32", PITH_FORMAT, "intermediate_sizes is not a list"},
    {"intermediate_sizes", "[32]", PITH_FORMAT, "intermediate_sizes has 1 sizes for 2 layers"},
    {"intermediate_sizes", "[32,34,34]", PITH_FORMAT, "intermediate_sizes has 3 sizes"},
    {"intermediate_sizes", "[32,0]", PITH_FORMAT, "intermediate_sizes[1] must be an integer"},
    {"intermediate_sizes", "[32.5,34]", PITH_FORMAT, "intermediate_sizes[0] must be an integer"},
    {"intermediate_sizes", "[32,1e9]", PITH_FORMAT, "from 1 to 262144"},
    {"intermediate_sizes", "[32,null]", PITH_FORMAT, "intermediate_sizes[1] must be an integer"},
    {"intermediate_sizes", "[32,33]", PITH_FORMAT,
     "'bert.encoder.layer.1.intermediate.dense.weight' has shape [34, 32], the config asks for "
     "[33, "
     "32]"},
    {"intermediate_sizes", NULL, PITH_FORMAT, "has shape [32, 32], the config asks for [48, 32]"},
};

static void test_refused(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
    folder folder = folder_make();
    char what[256];
    make_checkpoint(0, true, folder.path);
    set_sizes(0, folder.path);
    expect_import_success("sizes that fit", folder.path);
    json_set_key(folder.path, "config.json", refused[i].key, refused[i].value);
    snprintf(what, sizeof what, "%s = %s", refused[i].key,
             refused[i].value == NULL ? "(none)" : refused[i].value);
    expect_import_failure(what, folder.path, NULL, refused[i].status, refused[i].message);
    folder_remove(&folder);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_results),
      cmocka_unit_test(test_new_models),
      cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
