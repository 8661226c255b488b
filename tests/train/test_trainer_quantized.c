/* An INT8 model trained as such: what training computes forward is what the INT8 model that it gives computes, bit for bit, at the
 * beginning and after steps; threads, layers computed again and a restored state change no bit; ranges move as they are told to; what
 * training does not follow is refused. On a tiny classifier, and on minilm-sst2 (PITH_MODELS) with SST-2 (PITH_DATA). */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthreadpool.h>

#include "engine/ir/operator.h"
#include "models/tasks/evaluate.h"
#include "quant/quantize_model.h"
#include "quant/source.h"
#include "tests/compiler/minilm_fixture.h"
#include "tests/engine/ir_fixture.h"
#include "tests/slow_build.h"
#include "tests/train/trainer_fixture.h"
#include "train/prune.h"

enum { SEQUENCES = 8, MOST_TOKENS = 512, VOCABULARY = 41, MOST_LABELS = 3 };

#define MUST(expression)                         \
  do {                                           \
    pith_error must_error = {PITH_OK, ""};       \
    pith_error *error = &must_error;             \
    if ((expression) != PITH_OK)                 \
      fail_msg("%s: %s", #expression, error->message); \
  } while (0)

/* ---- models ------------------------------------------------------------------------------------------------------------------ */

/* A model, and in INT8. */
typedef struct quantized_model {
  pith_import import; /* the tiny one; else `ready` */
  ready_model ready;
  struct pith_model floats;
  pith_quantized quantized;
  int32_t vocabulary;
} quantized_model;

static void quantize(quantized_model *m, const pith_quant_options *options, const pith_calibration_source *source) {
  pith_session_options session = PITH_SESSION_OPTIONS_INIT;
  session.max_tokens = 2048;
  session.max_sequences = 64;
  const pith_quantize_request request = {.options = options, .source = source, .random_ids = true, .session = session};
  MUST(pith_quantize_model(&m->floats, &request, &m->quantized, error));
}

static void open_tiny(quantized_model *m, const char *folder_name, const pith_quant_options *options) {
  *m = (quantized_model){.vocabulary = VOCABULARY, .import = open_golden(folder_name)};
  m->floats = (struct pith_model){.allocator = pith_default_allocator, .data = m->import.data};
  pith_random_source random;
  MUST(pith_random_source_init(&random, &m->floats.data, 60, 5, error));
  const pith_calibration_source source = pith_random_source_get(&random);
  quantize(m, options, &source);
}

static void close_model(quantized_model *m) {
  pith_quantized_deinit(&m->quantized);
  if (m->ready.model != NULL)
    ready_model_close(&m->ready);
  else
    pith_import_deinit(&m->import);
}

/* ---- batches ------------------------------------------------------------------------------------------------------------------- */

typedef struct batch {
  int32_t offsets[SEQUENCES + 1], ids[MOST_TOKENS], labels[SEQUENCES];
  pith_train_batch batch;
} batch;

static uint32_t random_below(uint64_t *state, uint32_t bound) {
  *state = *state * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(*state >> 33) % bound;
}

/* Sequences whose label is their first id modulo 2. */
static void make_batch(batch *b, uint64_t number, int32_t vocabulary) {
  uint64_t state = number * 2 + 1;
  b->offsets[0] = 0;
  for (size_t i = 0; i < SEQUENCES; i++) {
    b->offsets[i + 1] = b->offsets[i] + 1 + (int32_t)random_below(&state, 12);
    for (int32_t j = b->offsets[i]; j < b->offsets[i + 1]; j++)
      b->ids[j] = (int32_t)random_below(&state, (uint32_t)vocabulary);
    b->labels[i] = b->ids[b->offsets[i]] % 2;
  }
  b->batch = (pith_train_batch){
      .struct_size = sizeof(pith_train_batch), .sequences = SEQUENCES, .offsets = b->offsets, .ids = b->ids, .labels = b->labels, .first_sample = number * SEQUENCES};
}

static pith_trainer_options make_options(void) {
  pith_trainer_options options = pith_trainer_defaults;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  options.attention_dropout = 0;
  options.seed = 7;
  return options;
}

static pith_trainer *create(const quantized_model *m, const pith_trainer_options *options) {
  return create_trainer(&m->quantized.data, options);
}

static double run_step(pith_trainer *trainer, const quantized_model *m, uint64_t number) {
  batch b;
  double loss;
  make_batch(&b, number, m->vocabulary);
  MUST(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, error));
  MUST(pith_trainer_apply(trainer, trainer->options.optimizer == PITH_OPTIMIZER_SGD ? 2e-2 : 1e-3, NULL, error));
  return loss;
}

/* ---- logits -------------------------------------------------------------------------------------------------------------------- */

/* What the INT8 model of now gives. Returns its columns. */
static size_t run_integers(pith_trainer *trainer, const pith_train_batch *b, float *logits) {
  struct pith_model model = {.allocator = pith_default_allocator};
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = MOST_TOKENS;
  options.max_sequences = SEQUENCES;
  pith_session *session;
  MUST(pith_trainer_get_model(trainer, &model.data, error));
  MUST(pith_session_create(&model, &options, &session, error));
  const pith_batch in = {.struct_size = sizeof in, .sequences = b->sequences, .offsets = b->offsets, .ids = b->ids};
  pith_result result = {.struct_size = sizeof result};
  MUST(pith_session_run(session, &in, &result, error));
  assert_string_equal(result.outputs[0].name, "logits");
  const size_t columns = result.outputs[0].columns;
  memcpy(logits, result.outputs[0].data, b->sequences * columns * sizeof *logits);
  pith_session_destroy(session);
  return columns;
}

static pith_feed make_feed(const pith_trainer *t, const pith_train_batch *b, pith_training_input input) {
  const size_t tokens = (size_t)b->offsets[b->sequences];
  switch (input) {
  case PITH_TRAINING_INPUT_IDS:
    return (pith_feed){b->ids, {tokens}};
  case PITH_TRAINING_INPUT_TYPE_IDS:
    return (pith_feed){t->zeros, {tokens}};
  case PITH_TRAINING_INPUT_OFFSETS:
    return (pith_feed){b->offsets, {b->sequences + 1}};
  default:
    return (pith_feed){b->labels, {b->sequences}};
  }
}

/* What the training graph of a trainer without dropout gives before its loss. */
static void run_training(pith_trainer *t, const pith_train_batch *b, float *logits) {
  pith_graph *graph = t->training->graph;
  const pith_tensor_id tensor = pith_graph_find_tensor(graph, "logits");
  assert_int_not_equal(tensor, PITH_NONE);
  if (graph->outputs[graph->output_count - 1] != tensor)
    MUST(pith_graph_add_output(graph, tensor, error));
  pith_trainer_catch_up_all(t);
  int64_t limits[16];
  for (uint32_t i = 0; i < graph->symbol_count; i++)
    limits[i] = strcmp(graph->symbols[i], "sequences") == 0 ? SEQUENCES : MOST_TOKENS;
  pith_lower_options options = {.cpu = pith_cpu_detect(), .threads = 1, .symbol_limits = limits, .max_sequence = t->model.max_length};
  pith_training_graph_set_lowering(t->training, &options);
  options.outputs_given = NULL; /* all in the executor's memory */
  pith_program *program;
  pith_executor *executor;
  MUST(pith_program_create(graph, &options, &program, error));
  const pith_executor_options running = {0};
  MUST(pith_executor_create(program, &running, &executor, error));
  pith_feed feeds[PITH_TRAINING_INPUT_COUNT];
  for (pith_training_input i = 0; i < PITH_TRAINING_INPUT_COUNT; i++)
    if (t->training->inputs[i] != PITH_NONE)
      feeds[t->training->inputs[i]] = make_feed(t, b, i);
  MUST(pith_executor_run(executor, feeds, NULL, 0, error));
  const pith_view *view = pith_executor_get_output(executor, graph->output_count - 1);
  memcpy(logits, view->data, pith_view_count(view) * sizeof *logits);
  pith_executor_destroy(executor);
  pith_program_destroy(program);
}

/* The bar is 1e-3 in the mean and 2e-2 at most, and the same class where the margin is over 2e-2: it is nothing. */
static void expect_same_logits(pith_trainer *trainer, const pith_train_batch *b, const char *what) {
  float integers[SEQUENCES * MOST_LABELS], training[SEQUENCES * MOST_LABELS];
  const size_t count = run_integers(trainer, b, integers) * b->sequences;
  assert_true(count <= SEQUENCES * MOST_LABELS);
  run_training(trainer, b, training);
  for (size_t i = 0; i < count; i++)
    if (memcmp(&integers[i], &training[i], sizeof *integers) != 0)
      fail_msg("%s: logit %zu is %.9g in INT8 and %.9g in training", what, i, (double)integers[i], (double)training[i]);
}

static pith_trainer_options without_dropout(void) {
  pith_trainer_options options = make_options();
  options.dropout = options.classifier_dropout = 0;
  return options;
}

static void check_logits(const quantized_model *m, const char *name) {
  for (pith_range_training ranges = 0; ranges < PITH_RANGE_TRAINING_COUNT; ranges++) {
    pith_trainer_options options = without_dropout();
    char what[80];
    options.ranges = ranges;
    options.dense_rows = ranges == 0 ? 4 : 1024;
    options.range_momentum = 0.9;
    pith_trainer *trainer = create(m, &options);
    batch b;
    for (uint64_t step = 0; step < 12; step++) {
      snprintf(what, sizeof what, "%s, ranges %d, step %d", name, (int)ranges, (int)step);
      make_batch(&b, 100 + step, m->vocabulary);
      if (step % 4 == 0)
        expect_same_logits(trainer, &b.batch, what);
      (void)run_step(trainer, m, step);
    }
    expect_same_logits(trainer, &b.batch, what);
    pith_trainer_destroy(trainer);
  }
}

static void test_tiny_logits(void **state) {
  (void)state;
  static const char *const folders[] = {"bert-sequence", "roberta-sequence", "distilbert-sequence"};
  quantized_model m;
  for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
    open_tiny(&m, folders[i], &pith_quant_defaults);
    check_logits(&m, folders[i]);
    close_model(&m);
  }
  pith_quant_options options = pith_quant_defaults;
  options.smoothquant = PITH_SMOOTHQUANT_AUTO; /* factors after a GELU, which then is a whole one */
  open_tiny(&m, "bert-sequence", &options);
  check_logits(&m, "smoothed");
  close_model(&m);
  options = pith_quant_defaults;
  options.float_attention = options.float_embeddings = true;
  open_tiny(&m, "bert-sequence", &options);
  check_logits(&m, "float attention");
  close_model(&m);
}

/* ---- what comes out -------------------------------------------------------------------------------------------------------------- */

/* Levels are those of the float weights, whose largest in each row is at 127; what is not quantized is the float itself. */
static void test_model(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  const pith_trainer_options options = make_options();
  pith_trainer *trainer = create(&m, &options);
  for (uint64_t i = 0; i < 20; i++)
    (void)run_step(trainer, &m, i);
  pith_model_data data;
  MUST(pith_trainer_get_model(trainer, &data, error));
  assert_int_equal(data.graph->node_count, m.quantized.data.graph->node_count);
  size_t integers = 0, floats = 0, moved = 0;
  for (uint32_t i = 0; i < trainer->training->parameter_count; i++) {
    const pith_training_parameter *p = &trainer->training->parameters[i];
    const char *name = trainer->training->model->tensors[p->model_tensor].name;
    const pith_tensor_id id = pith_graph_find_tensor(data.graph, name);
    assert_int_not_equal(id, PITH_NONE);
    const pith_tensor *tensor = &data.graph->tensors[id];
    const float *w = trainer->values + p->offset;
    if (tensor->dtype == PITH_DTYPE_F32) {
      assert_memory_equal(tensor->data, w, p->count * sizeof *w);
      floats++;
      continue;
    }
    char scale_name[300];
    snprintf(scale_name, sizeof scale_name, "%s_scale", name);
    const float *scales = data.graph->tensors[pith_graph_find_tensor(data.graph, scale_name)].data;
    const size_t rows = (size_t)tensor->dims[0].constant, columns = p->count / rows;
    for (size_t r = 0; r < rows; r++) {
      float largest = 0;
      for (size_t c = 0; c < columns; c++)
        largest = fmaxf(largest, fabsf(w[r * columns + c]));
      const float scale = largest / 127 >= FLT_MIN ? largest / 127 : 1.0f;
      assert_true(scales[r] == scale);
      for (size_t c = 0; c < columns; c++) {
        const int level = ((const int8_t *)tensor->data)[r * columns + c];
        if (fabs((double)level - (double)w[r * columns + c] / (double)scale) > 0.5001)
          fail_msg("%s [%zu, %zu] is %d for %g", name, r, c, level, (double)(w[r * columns + c] / scale));
        moved += level != 0 && fabs((double)level - (double)w[r * columns + c] / (double)scale) > 1e-3;
      }
    }
    integers++;
  }
  assert_true(integers > 8 && floats > 8 && moved > 100);
  pith_trainer_destroy(trainer);
  close_model(&m);
}

/* Weights pruned while they are trained are 0 in the INT8 model, which says so. */
static void test_pruning(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  pith_trainer_options options = without_dropout();
  pith_train_prune prune = {.what = pith_prune_defaults, .score = PITH_PRUNE_SCORE_MAGNITUDE, .begin = 1, .end = 4, .every = 1};
  prune.what.pattern = "4x1";
  prune.what.sparsity = 0.5;
  options.prune = &prune;
  pith_trainer *trainer = create(&m, &options);
  for (uint64_t i = 0; i < 6; i++)
    (void)run_step(trainer, &m, i);
  batch b;
  make_batch(&b, 100, m.vocabulary);
  expect_same_logits(trainer, &b.batch, "pruned");
  pith_model_data data;
  MUST(pith_trainer_get_model(trainer, &data, error));
  size_t pruned = 0, zeros = 0, kept = 0, count = 0;
  for (pith_tensor_id id = 0; id < data.graph->tensor_count; id++) {
    const pith_tensor *tensor = &data.graph->tensors[id];
    if (tensor->dtype != PITH_DTYPE_S8 || tensor->pattern.kind == PITH_PATTERN_DENSE)
      continue;
    pruned++;
    for (uint64_t i = 0; i < tensor->data_bytes; i++)
      zeros += ((const int8_t *)tensor->data)[i] == 0;
    count += tensor->data_bytes;
    assert_true(tensor->kept > 0 && tensor->kept < tensor->data_bytes);
    kept += tensor->kept;
  }
  assert_true(pruned >= 8);
  assert_true(2 * zeros >= count && 2 * kept <= count);
  pith_trainer_destroy(trainer);
  close_model(&m);
}

static void test_losses_fall(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  for (pith_range_training ranges = 0; ranges < PITH_RANGE_TRAINING_COUNT; ranges++) {
    pith_trainer_options options = without_dropout();
    options.ranges = ranges;
    pith_trainer *trainer = create(&m, &options);
    double first = 0, last = 0;
    for (uint64_t i = 0; i < 150; i++) {
      const double loss = run_step(trainer, &m, i % 10);
      first += i < 10 ? loss : 0;
      last += i >= 140 ? loss : 0;
    }
    if (!(last < 0.75 * first))
      fail_msg("ranges %d: the loss went from %g to %g", (int)ranges, first / 10, last / 10);
    pith_trainer_destroy(trainer);
  }
  close_model(&m);
}

/* ---- the same bits ---------------------------------------------------------------------------------------------------------------- */

static void expect_same(pith_trainer *a, pith_trainer *b, const char *what) {
  size_t count, same;
  const pith_trainer_piece *x = pith_trainer_get_state(a, &count), *y = pith_trainer_get_state(b, &same);
  assert_int_equal(count, same);
  for (size_t i = 0; i < count; i++)
    if (x[i].bytes != y[i].bytes || memcmp(x[i].data, y[i].data, x[i].bytes) != 0)
      fail_msg("%s: piece %zu of the state differs", what, i);
}

static void test_same_bits(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  pthreadpool_t pool = pthreadpool_create(2);
  for (pith_range_training ranges = 0; ranges < PITH_RANGE_TRAINING_COUNT; ranges++) {
    pith_trainer_options options = make_options();
    options.ranges = ranges;
    options.dense_rows = 4;
    options.range_momentum = 0.5;
    options.range_freeze = 20;
    pith_trainer *alone = create(&m, &options), *resumed = create(&m, &options);
    options.threadpool = pool;
    pith_trainer *two = create(&m, &options);
    options.threadpool = NULL;
    options.max_memory = 1;
    pith_trainer *again = NULL;
    pith_error refusal = {PITH_OK, ""};
    assert_int_equal(pith_trainer_create(&(struct pith_model){.data = m.quantized.data}, &options, &again, &refusal), PITH_LIMIT);
    options.max_memory = strtoull(strstr(refusal.message, "takes ") + 6, NULL, 10);
    again = create(&m, &options);
    assert_true(again->program->memory_bytes < alone->program->memory_bytes);
    for (uint64_t i = 0; i < 25; i++) {
      (void)run_step(alone, &m, i);
      (void)run_step(two, &m, i);
      (void)run_step(again, &m, i);
      (void)run_step(resumed, &m, i < 7 ? 50 + i : i);
      if (i != 6)
        continue;
      copy_state(alone, resumed); /* all that the fourth has done is replaced */
    }
    expect_same(alone, two, "two threads");
    expect_same(alone, again, "layers computed again");
    expect_same(alone, resumed, "restored");
    pith_trainer_destroy(again);
    pith_trainer_destroy(two);
    pith_trainer_destroy(resumed);
    pith_trainer_destroy(alone);
  }
  pthreadpool_destroy(pool);
  close_model(&m);
}

/* ---- ranges -------------------------------------------------------------------------------------------------------------------------- */

static void copy_scales(const pith_trainer *t, float *scales) {
  for (uint32_t i = 0; i < t->training->quantized->range_count; i++)
    scales[i] = *t->training->quantized->ranges[i].value;
}

/* How many of them differ. */
static uint32_t count_moved(const pith_trainer *t, const float *scales) {
  uint32_t moved = 0;
  for (uint32_t i = 0; i < t->training->quantized->range_count; i++)
    moved += *t->training->quantized->ranges[i].value != scales[i];
  return moved;
}

static void test_ranges(void **state) {
  (void)state;
  quantized_model m;
  float scales[64];
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  for (pith_range_training ranges = 0; ranges < PITH_RANGE_TRAINING_COUNT; ranges++) {
    pith_trainer_options options = make_options();
    options.ranges = ranges;
    options.range_momentum = 0;
    options.range_freeze = 3;
    pith_trainer *trainer = create(&m, &options);
    const uint32_t count = trainer->training->quantized->range_count;
    assert_true(count > 8 && count <= 64);
    copy_scales(trainer, scales);
    for (uint64_t i = 0; i < 3; i++)
      (void)run_step(trainer, &m, i);
    assert_int_equal(count_moved(trainer, scales), ranges == PITH_RANGE_TRAINING_FIXED ? 0 : count);
    copy_scales(trainer, scales);
    (void)run_step(trainer, &m, 3);
    assert_int_equal(count_moved(trainer, scales), ranges == PITH_RANGE_TRAINING_LEARNED ? count : 0);
    pith_trainer_destroy(trainer);
  }
  /* With no momentum the ends are those of the batch: the input of the first product is what its LayerNorm gave. */
  pith_trainer_options options = without_dropout();
  options.ranges = PITH_RANGE_TRAINING_EMA;
  options.range_momentum = 0;
  pith_trainer *trainer = create(&m, &options);
  (void)run_step(trainer, &m, 1);
  const pith_training_quantized *q = trainer->training->quantized;
  for (uint32_t i = 0; i < q->observer_count; i++) {
    const pith_view *rows = pith_executor_get_output(trainer->executor, q->observers[i].output);
    const pith_training_range *range = &q->ranges[q->observers[i].range];
    float low = 0, high = 0;
    for (size_t r = 0; r < rows->rows; r++) {
      low = fminf(low, ((const float *)rows->data)[2 * r]);
      high = fmaxf(high, ((const float *)rows->data)[2 * r + 1]);
    }
    assert_true(high > low);
    const float scale = range->dtype == PITH_DTYPE_S8 ? fmaxf(-low, high) / 127 : (high - low) / 255;
    assert_true(*range->value == scale);
    assert_int_equal(*range->zero_value, range->dtype == PITH_DTYPE_S8 ? 0 : (int)lrintf(-low / scale));
  }
  pith_trainer_destroy(trainer);
  close_model(&m);
}

/* ---- floats, refusals --------------------------------------------------------------------------------------------------------------- */

static void test_dequantize(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  pith_trainer_options options = make_options();
  options.dequantize = true;
  options.attention_dropout = 0.1; /* floats drop */
  pith_trainer *trainer = create(&m, &options);
  pith_model_data data;
  (void)run_step(trainer, &m, 1);
  MUST(pith_trainer_get_model(trainer, &data, error));
  assert_null(trainer->quantized);
  assert_false(pith_training_is_quantized(data.graph));
  pith_trainer_destroy(trainer);
  close_model(&m);
}

static void expect_refused_model(const quantized_model *m, const pith_trainer_options *options, pith_status want, const char *text) {
  pith_trainer *trainer = NULL;
  pith_error error = {PITH_OK, ""};
  expect_refused(pith_trainer_create(&(struct pith_model){.data = m->quantized.data}, options, &trainer, &error), want, &error, text);
}

static pith_status reduce(void *context, float *gradients, size_t count, pith_error *error) {
  (void)context, (void)gradients, (void)count, (void)error;
  return PITH_OK;
}

static void test_refusals(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  pith_trainer_options options = make_options();
  options.attention_dropout = 0.1;
  expect_refused_model(&m, &options, PITH_INVALID_ARGUMENT, "attention dropout has to be 0");
  options = make_options();
  options.range_momentum = 1;
  expect_refused_model(&m, &options, PITH_INVALID_ARGUMENT, "range_momentum 1");
  options = make_options();
  options.reduce = reduce;
  pith_trainer_destroy(create(&m, &options));
  options.ranges = PITH_RANGE_TRAINING_EMA;
  expect_refused_model(&m, &options, PITH_INVALID_ARGUMENT, "ranges ema are those of one machine's batches");
  /* A zero point of weights, and one of s8 activations. */
  pith_graph *graph = m.quantized.data.graph;
  for (pith_node_id n = 0; n < graph->node_count; n++)
    if (graph->nodes[n].op->id == PITH_OP_QUANTIZE_LINEAR && graph->tensors[graph->nodes[n].outputs[0]].dtype == PITH_DTYPE_S8) {
      *(int8_t *)(uintptr_t)graph->tensors[graph->nodes[n].inputs[2]].data = 3;
      options = make_options();
      expect_refused_model(&m, &options, PITH_UNSUPPORTED, "becomes s8 with a zero point; training it as floats (dequantize) is possible");
      *(int8_t *)(uintptr_t)graph->tensors[graph->nodes[n].inputs[2]].data = 0;
      break;
    }
  close_model(&m);
  pith_quant_options dynamic = pith_quant_defaults;
  dynamic.mode = PITH_QUANT_DYNAMIC;
  open_tiny(&m, "bert-sequence", &dynamic);
  options = make_options();
  expect_refused_model(&m, &options, PITH_UNSUPPORTED, "finds a range in every run");
  options.dequantize = true;
  pith_trainer_destroy(create(&m, &options));
  close_model(&m);
}

static void test_no_memory(void **state) {
  (void)state;
  quantized_model m;
  open_tiny(&m, "bert-sequence", &pith_quant_defaults);
  pith_trainer_options options = make_options();
  options.ranges = PITH_RANGE_TRAINING_EMA;
  expect_no_memory(&m.quantized.data, options);
  close_model(&m);
}

/* ---- minilm-sst2 --------------------------------------------------------------------------------------------------------------------- */

static char minilm_directory[1024], sst2_path[1024];

static void encode(const pith_model *model, const pith_dataset *data, size_t first, batch *b) {
  b->offsets[0] = 0;
  for (size_t i = 0; i < SEQUENCES; i++) {
    pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = (size_t)(MOST_TOKENS - b->offsets[i]), .ids = b->ids + b->offsets[i]};
    MUST(pith_encode(model, data->rows[first + i].text, SIZE_MAX, NULL, 0, MOST_TOKENS / SEQUENCES, &encoding, error));
    b->offsets[i + 1] = b->offsets[i] + (int32_t)encoding.count;
    b->labels[i] = (int32_t)(i % 2);
  }
  b->batch = (pith_train_batch){.struct_size = sizeof(pith_train_batch), .sequences = SEQUENCES, .offsets = b->offsets, .ids = b->ids,
                                .labels = b->labels, .first_sample = first};
}

static void test_minilm(void **state) {
  (void)state;
  quantized_model m = {.ready = ready_model_open(minilm_directory)};
  pith_dataset data = {0};
  const pith_dataset_columns columns = {0};
  MUST(pith_dataset_read(sst2_path, pith_eval_task_find("sst2")->format, &columns, NULL, &data, error));
  m.floats = *m.ready.model;
  pith_row_source rows = {.rows = data.rows, .count = SLOW_BUILD ? 20 : 100};
  const pith_calibration_source source = pith_row_source_get(&rows);
  quantize(&m, &pith_quant_defaults, &source);
  pith_trainer_options options = without_dropout();
  options.ranges = PITH_RANGE_TRAINING_EMA;
  pith_trainer *trainer = create(&m, &options);
  batch b;
  double loss;
  for (size_t step = 0; step < (SLOW_BUILD ? 2 : 4); step++) {
    encode(m.ready.model, &data, 200 + step * SEQUENCES, &b);
    expect_same_logits(trainer, &b.batch, "minilm-sst2");
    MUST(pith_trainer_forward_backward(trainer, &b.batch, 1, &loss, error));
    MUST(pith_trainer_apply(trainer, 5e-5, NULL, error));
  }
  pith_trainer_destroy(trainer);
  pith_dataset_deinit(&data);
  close_model(&m);
}

int main(void) {
  snprintf(minilm_directory, sizeof minilm_directory, "%s", data_path("PITH_MODELS", "../shared/models", "minilm-sst2"));
  snprintf(sst2_path, sizeof sst2_path, "%s", data_path("PITH_DATA", "../shared/data", "sst2/dev.tsv"));
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tiny_logits), cmocka_unit_test(test_model),    cmocka_unit_test(test_losses_fall), cmocka_unit_test(test_pruning),
      cmocka_unit_test(test_same_bits),   cmocka_unit_test(test_ranges),   cmocka_unit_test(test_dequantize),
      cmocka_unit_test(test_refusals),    cmocka_unit_test(test_no_memory), cmocka_unit_test(test_minilm),
  };
  char config[1100];
  snprintf(config, sizeof config, "%s/config.json", minilm_directory);
  const bool absent = is_absent(config) || is_absent(sst2_path);
  const int failed = _cmocka_run_group_tests("trainer of INT8 models", tests, sizeof tests / sizeof *tests - absent, NULL, NULL);
  return failed == 0 && absent ? SKIPPED : failed;
}
