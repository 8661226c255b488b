/* From models to training graphs: where dropout stands, what the parameters are, what is frozen, what is refused. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/format/stored_layout.h"
#include "quant/quantize.h"
#include "tests/train/double_graph.h"
#include "tests/train/trainer_fixture.h"
#include "tests/train/training_fixture.h"
#include "train/operators.h"

static const pith_node *get_node(const pith_graph *graph, const char *name) {
  for (pith_node_id n = 0; n < graph->node_count; n++)
    if (strcmp(graph->nodes[n].name, name) == 0)
      return &graph->nodes[n];
  fail_msg("no node is called %s", name);
  return NULL;
}

/* ---- a batch that fits them all ------------------------------------------------------------------------------------------------ */

enum { SEQUENCES = 4, TOKENS = 20, ROWS = 3 };
static const int32_t offsets[SEQUENCES + 1] = {0, 6, 7, 14, TOKENS};
static const int32_t ids[TOKENS] = {5, 9, 30, 7, 8, 12, 37, 3, 22, 33, 7, 7, 19, 28, 6, 5, 4, 30, 31, 2};
static const int32_t type_ids[TOKENS] = {0};
static const int32_t wanted_rows[ROWS] = {1, 8, 19};
static const int32_t labels[TOKENS] = {1, 0, 1, 0, 1, 1, -100};
static const int32_t firsts[] = {0, 2}, seconds[] = {1, 3}, singles[SEQUENCES + 1] = {0, 1, 2, 3, 4};
static const float targets[] = {0.5f, -0.25f, 1, 0, 0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 1, 0, 1, 0};
static int32_t key[4] = {1, 2, 3, 100};

static const training_batch batch = {
    .data = {[PITH_TRAINING_INPUT_IDS] = ids, [PITH_TRAINING_INPUT_TYPE_IDS] = type_ids, [PITH_TRAINING_INPUT_OFFSETS] = offsets,
             [PITH_TRAINING_INPUT_ROWS] = wanted_rows, [PITH_TRAINING_INPUT_LABELS] = labels, [PITH_TRAINING_INPUT_TARGETS] = targets,
             [PITH_TRAINING_INPUT_FIRSTS] = firsts, [PITH_TRAINING_INPUT_SECONDS] = seconds, [PITH_TRAINING_INPUT_RANDOM_KEY] = key,
             [PITH_TRAINING_INPUT_SINGLES] = singles},
    .tokens = TOKENS, .sequences = SEQUENCES, .rows = ROWS, .pairs = 2};

/* ---- dropout --------------------------------------------------------------------------------------------------------------------- */

static const pith_training_graph_options dropping = {
    .dropout = 0.1, .attention_dropout = 0.2, .classifier_dropout = 0.3, .temperature = 1, .dense_rows = 1u << 30};

typedef struct dropout_row {
  const char *folder;
  uint32_t after_embeddings, residuals, attentions, classifiers;
  bool of_tokens; /* the classifier reads tokens */
  uint32_t layers;
} dropout_row;
static const dropout_row dropout_rows[] = {
    {"bert-sequence", 1, 4, 2, 1, false, 2},      {"bert-token", 1, 4, 2, 1, true, 2},   {"bert-question", 1, 4, 2, 0, false, 2},
    {"bert-masked", 1, 4, 2, 0, false, 2},        {"bert-regression", 1, 4, 2, 1, false, 2}, {"bert-multi-label", 1, 4, 2, 1, false, 2},
    {"roberta-sequence", 1, 4, 2, 1, false, 2},   {"camembert-token", 1, 4, 2, 1, true, 2},  {"distilbert-sequence", 1, 4, 2, 1, false, 2},
    {"electra-sequence", 1, 4, 2, 1, false, 2},   {"electra-masked", 1, 4, 2, 0, false, 2},  {"sentence-mean-normalize", 1, 4, 2, 0, false, 2},
    {"cross-encoder", 1, 4, 2, 1, false, 2},
};

/* Of the forward pass: Dropout nodes of the way back have no residual and dropped gradients as input, and come behind the loss. */
static void count_dropout(const pith_training_graph *training, dropout_row *out, bool *places) {
  const pith_graph *graph = training->graph;
  const pith_tensor_id tokens = pith_graph_find_tensor(graph, "input_ids");
  *out = (dropout_row){.folder = NULL};
  for (pith_node_id n = 0; n < graph->node_count && strcmp(graph->nodes[n].name, "loss") != 0; n++) {
    const pith_node *node = &graph->nodes[n];
    if (node->op != &pith_operator_DROPOUT && node->op != &pith_operator_TRAINING_ATTENTION)
      continue;
    const double ratio = pith_node_get_attribute(node, "ratio")->f;
    const int64_t place = pith_node_get_attribute(node, "operator")->i;
    assert_true(place < 64 && !places[place]);
    places[place] = true;
    if (node->op == &pith_operator_TRAINING_ATTENTION) {
      assert_true(ratio == 0.2);
      out->attentions++;
      continue;
    }
    const pith_tensor *x = &graph->tensors[node->inputs[0]];
    const bool of_tokens = pith_dim_equal(&x->dims[0], &graph->tensors[tokens].dims[0]);
    assert_true((node->inputs[2] != PITH_NONE) == of_tokens); /* offsets */
    const bool classifies = ratio == 0.3;
    out->classifiers += classifies;
    out->of_tokens |= classifies && of_tokens;
    out->residuals += node->inputs[1] != PITH_NONE;
    const bool after_norm = graph->nodes[x->producer].op->id == PITH_OP_LAYER_NORMALIZATION;
    out->after_embeddings += !classifies && node->inputs[1] == PITH_NONE && after_norm;
    if (node->inputs[1] != PITH_NONE) { /* what is dropped is the product, what LayerNorm reads the sum */
      assert_int_equal(graph->nodes[x->producer].op->id, PITH_OP_GEMM);
      assert_true(ratio == 0.1);
    }
  }
}

static void test_dropout_places(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof dropout_rows / sizeof *dropout_rows; i++) {
    const dropout_row *row = &dropout_rows[i];
    pith_import import = open_golden(row->folder);
    pith_training_graph *training;
    pith_error error = {PITH_OK, ""};
    if (pith_training_graph_create(&import.data, &dropping, NULL, &training, &error) != PITH_OK)
      fail_msg("%s: %s", row->folder, error.message);
    bool places[64] = {false};
    dropout_row got;
    count_dropout(training, &got, places);
    if (got.after_embeddings != row->after_embeddings || got.residuals != row->residuals || got.attentions != row->attentions ||
        got.classifiers != row->classifiers || got.of_tokens != row->of_tokens || training->layer_count != row->layers)
      fail_msg("%s: %u embeddings, %u residuals, %u attentions, %u classifiers", row->folder, got.after_embeddings, got.residuals,
               got.attentions, got.classifiers);
    assert_true(training->inputs[PITH_TRAINING_INPUT_RANDOM_KEY] != PITH_NONE);
    pith_training_graph_destroy(training);
    pith_import_deinit(&import);
  }
}

/* Without dropout there is no node for it and no key; a place keeps its number where another's ratio is 0. */
static void test_dropout_ratios(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_training_graph *all, *some, *none;
  pith_training_graph_options options = dropping;
  options.dropout = 0;
  assert_int_equal(pith_training_graph_create(&import.data, &dropping, NULL, &all, NULL), PITH_OK);
  assert_int_equal(pith_training_graph_create(&import.data, &options, NULL, &some, NULL), PITH_OK);
  assert_int_equal(pith_training_graph_create(&import.data, &training_options, NULL, &none, NULL), PITH_OK);
  for (pith_node_id n = 0; n < none->graph->node_count; n++)
    assert_ptr_not_equal(none->graph->nodes[n].op, &pith_operator_DROPOUT);
  assert_int_equal(none->inputs[PITH_TRAINING_INPUT_RANDOM_KEY], PITH_NONE);
  assert_int_equal(pith_graph_find_tensor(none->graph, "random_key"), PITH_NONE);
  assert_ptr_equal(get_node(none->graph, "bert.encoder.layer.0.attention.residual")->op, pith_operator_get(PITH_OP_ADD));
  assert_ptr_equal(get_node(all->graph, "bert.encoder.layer.0.attention.residual")->op, &pith_operator_DROPOUT);
  static const char *const places[] = {"classifier_dropout", "bert.encoder.layer.1.attention.self"};
  for (size_t i = 0; i < 2; i++)
    assert_int_equal(pith_node_get_attribute(get_node(all->graph, places[i]), "operator")->i,
                     pith_node_get_attribute(get_node(some->graph, places[i]), "operator")->i);
  pith_training_graph_destroy(all);
  pith_training_graph_destroy(some);
  pith_training_graph_destroy(none);
  pith_import_deinit(&import);
}

/* What a sample loses depends on its number, not on its batch; step and seed change it; threads do not. */
static void test_dropout_runs(void **state) {
  (void)state;
  pith_import import = open_golden("bert-regression");
  training_fixture f, two;
  training_open(&f, &import.data, &dropping, &batch, pith_cpu_detect(), 1);
  training_open(&two, &import.data, &dropping, &batch, pith_cpu_detect(), 2);
  const float loss = training_run(&f, &batch);
  assert_true(training_run(&two, &batch) == loss);
  for (uint32_t i = 0; i < f.training->parameter_count; i++) {
    const pith_training_parameter *parameter = &f.training->parameters[i];
    assert_memory_equal(f.gradients + parameter->offset, two.gradients + parameter->offset, parameter->count * sizeof(float));
  }
  double mean = 0;
  for (size_t s = 0; s < SEQUENCES; s++) { /* each by itself */
    const int32_t alone[2] = {0, offsets[s + 1] - offsets[s]};
    training_batch one = batch;
    one.data[PITH_TRAINING_INPUT_IDS] = ids + offsets[s];
    one.data[PITH_TRAINING_INPUT_OFFSETS] = alone;
    one.data[PITH_TRAINING_INPUT_TARGETS] = targets + s;
    one.tokens = (size_t)alone[1];
    one.sequences = 1;
    key[3] = 100 + (int32_t)s;
    mean += (double)training_run(&f, &one) / SEQUENCES;
  }
  if (!(fabs(mean - (double)loss) <= 1e-6 * fabs(mean)))
    fail_msg("%.9g alone, %.9g together", mean, (double)loss);
  for (int i = 0; i < 4; i++) {
    key[3] = 100;
    const int32_t kept = key[i];
    key[i]++;
    assert_true(training_run(&f, &batch) != loss);
    key[i] = kept;
  }
  assert_true(training_run(&f, &batch) == loss);
  training_close(&f);
  training_close(&two);
  pith_import_deinit(&import);
}

/* Along a random direction in all parameters at once, the whole graph with dropout against differences in double. */
static void test_dropout_gradient(void **state) {
  (void)state;
  static const char *const folders[] = {"bert-regression", "roberta-sequence", "electra-sequence", "sentence-mean-normalize"};
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    pith_import import = open_golden(folders[i]);
    training_fixture f;
    training_open(&f, &import.data, &dropping, &batch, pith_cpu_detect(), 1);
    const float loss = training_run(&f, &batch);
    const pith_graph *graph = f.training->graph;
    const void *feeds[PITH_TRAINING_INPUT_COUNT];
    int64_t symbols[8];
    for (int id = 0; id < PITH_TRAINING_INPUT_COUNT; id++)
      if (f.training->inputs[id] != PITH_NONE)
        feeds[f.training->inputs[id]] = batch.data[id];
    for (uint32_t s = 0; s < graph->symbol_count; s++)
      symbols[s] = strcmp(graph->symbols[s], "tokens") == 0 ? TOKENS : strcmp(graph->symbols[s], "sequences") == 0 ? SEQUENCES : 2;
    double_graph reference;
    double_graph_create(&reference, graph, symbols, feeds);
    while (strcmp(graph->nodes[reference.nodes - 1].name, "loss") != 0)
      reference.nodes--;
    const pith_tensor_id loss_id = graph->outputs[0];
    double values[3], slope = 0, size = 0;
    const double h = 1e-6;
    for (int side = 0; side < 3; side++) {
      uint64_t random = 99;
      for (uint32_t p = 0; p < f.training->parameter_count; p++) {
        const pith_training_parameter *parameter = &f.training->parameters[p];
        float *gradient = side == 0 ? training_gradient(&f, parameter) : NULL;
        for (size_t k = 0; k < parameter->count; k++) {
          random = random * 6364136223846793005u + 1442695040888963407u;
          const double direction = (double)(random >> 40) / (1 << 23) - 1;
          if (gradient != NULL) {
            slope += direction * (double)gradient[k];
            size += fabs(direction * (double)gradient[k]);
          }
          reference.tensors[parameter->tensor].values[k] = (double)f.values[parameter->offset + k] + (side - 1) * h * direction;
        }
        free(gradient);
      }
      double_graph_run(&reference);
      values[side] = reference.tensors[loss_id].values[0];
    }
    const double want = (values[2] - values[0]) / (2 * h);
    if (!(fabs(values[1] - (double)loss) <= 1e-5 * fabs(values[1])) || !(fabs(want - slope) <= 1e-4 * fabs(want) + 1e-6 * size))
      fail_msg("%s: the loss is %.9g, not %.9g, its slope %.9g, not %.9g", folders[i], (double)loss, values[1], slope, want);
    double_graph_destroy(&reference);
    training_close(&f);
    pith_import_deinit(&import);
  }
}

/* ---- first tokens ---------------------------------------------------------------------------------------------------------------- */

typedef struct first_row {
  const char *folder;
  uint32_t products; /* of a row a sequence, on the way forward: query, attention's output, two of the FFN, and the head's */
  bool singles;
} first_row;
static const first_row first_rows[] = {
    {"bert-sequence", 6, true}, {"distilbert-sequence", 6, true}, {"roberta-sequence", 6, true},
    {"bert-token", 0, false},   {"bert-question", 0, false},      {"sentence-mean-normalize", 0, false},
};

/* Behind the last attention there is a row for each sequence where first tokens alone are read, and no model's values change by that:
 * golden gradients hold those. */
static void test_first_tokens(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof first_rows / sizeof *first_rows; i++) {
    pith_import import = open_golden(first_rows[i].folder);
    pith_training_graph *training;
    assert_int_equal(pith_training_graph_create(&import.data, &training_options, NULL, &training, NULL), PITH_OK);
    const pith_graph *graph = training->graph;
    const pith_tensor *tokens = &graph->tensors[pith_graph_find_tensor(graph, "input_ids")];
    uint32_t products = 0, attentions = 0;
    for (pith_node_id n = 0; n < graph->node_count && strcmp(graph->nodes[n].name, "loss") != 0; n++) {
      const pith_node *node = &graph->nodes[n];
      const bool few = !pith_dim_equal(&graph->tensors[node->outputs[0]].dims[0], &tokens->dims[0]);
      products += few && node->op->id == PITH_OP_GEMM;
      attentions += few && node->op == &pith_operator_TRAINING_ATTENTION;
    }
    if (products != first_rows[i].products || attentions != first_rows[i].singles ||
        (training->inputs[PITH_TRAINING_INPUT_SINGLES] != PITH_NONE) != first_rows[i].singles)
      fail_msg("%s: %u products and %u attentions have a row for each sequence", first_rows[i].folder, products, attentions);
    pith_training_graph_destroy(training);
    pith_import_deinit(&import);
  }
}

/* ---- parameters ------------------------------------------------------------------------------------------------------------------ */

/* Each has its place, a multiple of 64 bytes, and its values; dense ones come first, then those by rows, then frozen ones. */
static void check_parameters(const training_fixture *f, const pith_graph *stored) {
  const pith_training_graph *t = f->training;
  size_t end = 0;
  for (uint32_t i = 0; i < t->parameter_count; i++) {
    const pith_training_parameter *p = &t->parameters[i];
    const pith_tensor *model = &t->model->tensors[p->model_tensor], *graph = &t->graph->tensors[p->tensor];
    const int class = p->gradient == PITH_NONE ? 2 : p->ids != PITH_NONE;
    assert_int_equal(class, i < t->dense_count ? 0 : i < t->trained_count ? 1 : 2);
    assert_true(p->offset % 16 == 0 && p->offset >= end && p->offset < end + 16);
    end = p->offset + p->count;
    assert_true(end <= (class == 0 ? t->dense_values : class == 1 ? t->trained_values : t->value_count));
    assert_ptr_equal(model->data, f->values + p->offset);
    assert_ptr_equal(graph->data, f->values + p->offset);
    assert_int_equal(model->layout, PITH_LAYOUT_ROW_MAJOR);
    assert_int_equal(model->data_bytes, p->count * sizeof(float));
    assert_string_equal(model->name, graph->name);
    const pith_tensor_id old = pith_graph_find_tensor(stored, model->name);
    float *plain = aligned_alloc(64, (p->count * sizeof *plain + 64) / 64 * 64);
    assert_int_equal(pith_tensor_unpack(&stored->tensors[old], plain, NULL, NULL), PITH_OK);
    assert_memory_equal(plain, f->values + p->offset, p->count * sizeof *plain);
    free(plain);
  }
}

static void test_parameters(void **state) {
  (void)state;
  static const char *const freeze[] = {"*embeddings*", "bert.encoder.layer.0.*"};
  pith_import import = open_golden("bert-sequence");
  training_fixture all, rows, frozen;
  pith_training_graph_options options = training_options;
  training_open(&all, &import.data, &options, &batch, 0, 1);
  options.dense_rows = 30; /* words 41, positions 24, types 2 */
  training_open(&rows, &import.data, &options, &batch, 0, 1);
  options.freeze = freeze;
  options.freeze_count = 2;
  training_open(&frozen, &import.data, &options, &batch, 0, 1);
  check_parameters(&all, import.data.graph);
  check_parameters(&rows, import.data.graph);
  check_parameters(&frozen, import.data.graph);
  assert_int_equal(all.training->dense_count, all.training->parameter_count);
  assert_int_equal(rows.training->dense_count, rows.training->parameter_count - 1);
  assert_int_equal(rows.training->trained_count, rows.training->parameter_count);
  assert_true(training_find(&rows, "bert.embeddings.word_embeddings.weight")->ids != PITH_NONE);
  /* 5 of the embeddings, 16 of a layer; nothing of the way back is theirs. */
  assert_int_equal(frozen.training->trained_count, all.training->parameter_count - 21);
  assert_int_equal(training_find(&frozen, "bert.encoder.layer.0.output.dense.weight")->gradient, PITH_NONE);
  assert_true(frozen.training->graph->node_count < all.training->graph->node_count - 20);
  const float loss = training_run(&all, &batch);
  assert_true(training_run(&frozen, &batch) == loss);
  float *a = training_gradient(&all, training_find(&all, "classifier.weight"));
  float *b = training_gradient(&frozen, training_find(&frozen, "classifier.weight"));
  assert_memory_equal(a, b, training_find(&all, "classifier.weight")->count * sizeof *a);
  free(a);
  free(b);
  /* Steps down the gradient, in place. */
  float last = loss;
  for (int step = 0; step < 5; step++) {
    for (size_t i = 0; i < all.training->dense_values; i++)
      all.values[i] -= isfinite(all.gradients[i]) ? 0.003f * all.gradients[i] : 0; /* gaps between parameters hold nothing */
    const float now = training_run(&all, &batch);
    assert_true(now < last);
    last = now;
  }
  training_close(&all);
  training_close(&rows);
  training_close(&frozen);
  pith_import_deinit(&import);
}

static uint32_t count_steps(const pith_program *program, const char *name) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < program->step_count; i++)
    count += strcmp(program->steps[i].row->name, name) == 0;
  return count;
}

/* What a layer leaves to the next one is kept: of its two LayerNorms only the first is computed again. */
static void test_recompute(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  for (uint32_t layers = 0; layers < 4; layers++) {
    const uint32_t again = layers < 2 ? layers : 2; /* there are no more */
    pith_training_graph_options options = training_options;
    training_fixture f;
    options.recompute_layers = layers;
    training_open(&f, &import.data, &options, &batch, 0, 1);
    assert_int_equal(count_steps(f.program, "TrainingAttention"), 2 + again);
    assert_int_equal(count_steps(f.program, "LayerNorm"), 5 + again);
    training_close(&f);
  }
  pith_import_deinit(&import);
}

/* A quantized model trains as floats from its dequantized values, with attention in floats. */
static void test_quantized(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_quant_options options = pith_quant_defaults;
  options.mode = PITH_QUANT_DYNAMIC;
  pith_quant_summary summary;
  pith_graph *quantized, *floats;
  pith_error error = {PITH_OK, ""};
  if (pith_quantize_graph(import.data.graph, NULL, &options, NULL, NULL, &quantized, &summary, &error) != PITH_OK)
    fail_msg("%s", error.message);
  assert_int_equal(pith_dequantize_graph(quantized, NULL, &floats, &error), PITH_OK);
  pith_model_data data = import.data;
  data.graph = quantized;
  training_fixture f, plain;
  pith_training_graph_options as_floats = training_options;
  as_floats.dequantize = true;
  training_open(&f, &data, &as_floats, &batch, pith_cpu_detect(), 1);
  training_open(&plain, &import.data, &training_options, &batch, pith_cpu_detect(), 1);
  check_parameters(&f, floats);
  const double a = (double)training_run(&f, &batch), b = (double)training_run(&plain, &batch);
  assert_true(fabs(a - b) <= 0.1 * fabs(b) && a != b);
  assert_int_equal(f.training->trained_count, plain.training->trained_count);
  training_close(&f);
  training_close(&plain);
  pith_graph_destroy(quantized);
  pith_graph_destroy(floats);
  pith_import_deinit(&import);
}

/* ---- what is refused --------------------------------------------------------------------------------------------------------------- */

static void test_refusals(void **state) {
  (void)state;
  static const float weights[3] = {1, 1, 1};
  static const char *const pattern[] = {"*no_such*"};
  enum { NOTHING, CONTRASTIVE, SMOOTHING, WEIGHTS, NO_TEMPERATURE, RATIO, PATTERN };
  static const struct {
    const char *folder;
    int change;
    pith_status status;
    const char *message;
  } rows[] = {
      {"bert-model", NOTHING, PITH_UNSUPPORTED, "no head that could be trained"},
      {"bert-sequence", CONTRASTIVE, PITH_INVALID_ARGUMENT, "contrastive loss is for embeddings, not for text-classification"},
      {"bert-regression", SMOOTHING, PITH_INVALID_ARGUMENT, "are for classes, not for regression"},
      {"bert-masked", WEIGHTS, PITH_INVALID_ARGUMENT, "are for classes, not for fill-mask"},
      {"sentence-mean-normalize", NO_TEMPERATURE, PITH_INVALID_ARGUMENT, "temperature is 0, not above 0"},
      {"bert-sequence", RATIO, PITH_FORMAT, "ratio is 1, not from 0 to below 1"},
      {"bert-sequence", PATTERN, PITH_INVALID_ARGUMENT, "*no_such*"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    pith_import import = open_golden(rows[i].folder);
    pith_training_graph *training;
    pith_error error = {PITH_OK, ""};
    pith_training_graph_options options = training_options;
    options.contrastive = rows[i].change == CONTRASTIVE || rows[i].change == NO_TEMPERATURE;
    options.temperature = rows[i].change == NO_TEMPERATURE ? 0 : 1;
    options.label_smoothing = rows[i].change == SMOOTHING ? 0.1 : 0;
    options.class_weights = rows[i].change == WEIGHTS ? weights : NULL;
    options.dropout = rows[i].change == RATIO;
    options.freeze = pattern;
    options.freeze_count = rows[i].change == PATTERN;
    const pith_status status = pith_training_graph_create(&import.data, &options, NULL, &training, &error);
    if (status != rows[i].status || strstr(error.message, rows[i].message) == NULL)
      fail_msg("%s: %d, '%s' lacks '%s'", rows[i].folder, (int)status, error.message, rows[i].message);
    pith_import_deinit(&import);
  }
}

/* Inputs and outputs are known by their names. */
static void test_names(void **state) {
  (void)state;
  static const char *const names[][2] = {
      {"token_type_ids", "the model's input 'other' is none that training gives"},
      {"logits", "a model for text-classification has an output 'logits', this one has none"},
  };
  for (size_t i = 0; i < 2; i++) {
    pith_import import = open_golden("bert-sequence");
    pith_graph *graph = import.data.graph;
    graph->tensors[pith_graph_find_tensor(graph, names[i][0])].name = "other";
    pith_training_graph *training;
    pith_error error = {PITH_OK, ""};
    assert_int_equal(pith_training_graph_create(&import.data, &training_options, NULL, &training, &error), PITH_UNSUPPORTED);
    assert_string_equal(error.message, names[i][1]);
    pith_import_deinit(&import);
  }
}

/* Labels are checked in every run: kernels trust them. */
static void test_labels(void **state) {
  (void)state;
  static const struct {
    const char *folder;
    int32_t label;
    const char *message; /* NULL: it runs */
  } rows[] = {
      {"bert-sequence", 2, NULL},
      {"bert-sequence", -100, NULL},
      {"bert-sequence", 3, "labels[1] is 3, neither -100 (does not count) nor one of 3 classes"},
      {"bert-sequence", -1, "labels[1] is -1, neither"},
      {"bert-masked", 40, NULL},
      {"bert-masked", 41, "labels[1] is 41, neither -100 (does not count) nor one of 41 classes"},
      {"bert-question", 5, NULL},
      {"bert-question", 6, "labels[0, 1] is 6, neither -100 (does not count) nor one of its sequence's 6 tokens"},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    int32_t changed[TOKENS] = {0};
    pith_import import = open_golden(rows[i].folder);
    training_fixture f;
    training_batch wrong = batch;
    wrong.data[PITH_TRAINING_INPUT_LABELS] = changed;
    changed[1] = rows[i].label;
    training_open(&f, &import.data, &training_options, &batch, 0, 1);
    pith_error error = {PITH_OK, ""};
    const pith_status status = training_try(&f, &wrong, &error);
    if (status != (rows[i].message == NULL ? PITH_OK : PITH_INVALID_ARGUMENT) ||
        (rows[i].message != NULL && strstr(error.message, rows[i].message) == NULL))
      fail_msg("%s: '%s' lacks '%s'", rows[i].folder, error.message, rows[i].message);
    training_close(&f);
    pith_import_deinit(&import);
  }
}

/* Every allocation fails once; what was begun is released. */
static void test_out_of_memory(void **state) {
  (void)state;
  pith_import import = open_golden("bert-sequence");
  pith_training_graph_options options = dropping;
  options.recompute_layers = 1;
  long budget = 0;
  for (;; budget++) {
    fixture_allocator allocator;
    fixture_allocator_init(&allocator, budget);
    pith_training_graph *training;
    pith_error error = {PITH_OK, ""};
    const pith_status status = pith_training_graph_create(&import.data, &options, &allocator.allocator, &training, &error);
    if (status == PITH_OK)
      pith_training_graph_destroy(training);
    assert_int_equal(allocator.held_bytes, 0);
    if (status == PITH_OK)
      break;
    assert_int_equal(status, PITH_OUT_OF_MEMORY);
  }
  assert_true(budget > 4);
  pith_import_deinit(&import);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dropout_places), cmocka_unit_test(test_dropout_ratios), cmocka_unit_test(test_dropout_runs),
      cmocka_unit_test(test_dropout_gradient), cmocka_unit_test(test_first_tokens), cmocka_unit_test(test_parameters), cmocka_unit_test(test_recompute), cmocka_unit_test(test_quantized),
      cmocka_unit_test(test_refusals), cmocka_unit_test(test_names), cmocka_unit_test(test_labels), cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
