#include "sparse/tune.h"

#include <stdlib.h>
#include <string.h>

#include "engine/exec/executor.h"
#include "engine/exec/model.h"
#include "engine/exec/parallel.h"
#include "engine/exec/session_access.h"
#include "engine/format/stored_layout.h"
#include "compiler/rewrite/choose.h"
#include "sparse/tune_internal.h"

static const char *const way_names[PITH_TUNE_WAY_COUNT] = {
#define PITH_TUNE_NAME(name, text) [PITH_TUNE_##name] = text,
    PITH_TUNE_WAY_LIST(PITH_TUNE_NAME)
#undef PITH_TUNE_NAME
};

const char *pith_tune_way_get_name(pith_tune_way way) {
  return way_names[way];
}

/* Medians of one layer move by this much from noise, and a layer that reads other tiles costs a Reorder. */
#define LEAST_GAIN 0.05

/* A model stored in one way, with a session on it. */
typedef struct variant {
  struct pith_model model; /* its graph is ours */
  pith_session *session;
  double *seconds; /* [rounds] of whole runs */
  double *layers;  /* [layer_count][rounds] */
  bool runs;       /* false: stored like an earlier way */
} variant;

typedef struct tuner {
  const pith_model_data *data;
  const pith_tune_options *options;
  size_t rounds;
  pith_arena *arena, scratch;
  pith_tuning *tuning;
  double *occupancies; /* [tensor_count][PITH_TUNE_MIXED]; 0: no weight of a layer */
  variant variants[PITH_TUNE_WAY_COUNT];
  pith_batch batch;
  size_t done, total; /* runs */
  pith_error *error;
} tuner;

static pith_status no_memory(const tuner *t) {
  return pith_fail(t->error, PITH_OUT_OF_MEMORY, "no memory to tune the model");
}

/* ---- layers ---------------------------------------------------------------------------------------------------- */

static pith_layout get_layout(pith_dtype dtype, pith_tune_way way) {
  static const pith_layout layouts[2][PITH_TUNE_MIXED] = {
      {PITH_LAYOUT_N16K4_S8, PITH_LAYOUT_B4X1_S8, PITH_LAYOUT_B4X4_S8},
      {PITH_LAYOUT_N64_F32, PITH_LAYOUT_B4X1_F32, PITH_LAYOUT_B4X1_F32}};
  return layouts[dtype == PITH_DTYPE_F32][way];
}

/* The share of blocks that each way keeps. */
static pith_status measure_occupancy(tuner *t, const pith_tensor *tensor, double out[PITH_TUNE_MIXED]) {
  const size_t n = (size_t)tensor->dims[0].constant, k = (size_t)tensor->dims[1].constant;
  uint64_t bytes;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, 2, tensor->dims, &bytes, t->error));
  void *rows = pith_allocate(NULL, (size_t)bytes);
  if (rows == NULL)
    return no_memory(t);
  pith_status status = pith_tensor_unpack(tensor, rows, NULL, t->error);
  out[PITH_TUNE_DENSE] = 1;
  for (int way = PITH_TUNE_4X1; way < PITH_TUNE_MIXED && status == PITH_OK; way++) {
    const pith_sparse_form form = pith_layout_get_sparse_form(get_layout(tensor->dtype, (pith_tune_way)way));
    out[way] = (double)pith_sparse_count_units(form, n, k, rows) / (double)pith_sparse_max_units(form, n, k);
  }
  pith_release(NULL, rows, (size_t)bytes);
  return status;
}

/* The weights that have the input of this one, the first; takes them from `inputs`. */
static pith_status add_layer(tuner *t, pith_tensor_id *inputs, pith_tensor_id first) {
  const pith_graph *graph = t->data->graph;
  const pith_tensor_id x = inputs[first];
  uint32_t weights = 0;
  double elements = 0;
  for (pith_tensor_id i = first; i < graph->tensor_count; i++)
    weights += inputs[i] == x;
  pith_tune_layer layer = {.name = graph->tensors[first].name, .tensors = PITH_ARENA_NEW(t->arena, pith_tensor_id, weights)};
  if (layer.tensors == NULL)
    return no_memory(t);
  for (pith_tensor_id i = first; i < graph->tensor_count; i++) {
    if (inputs[i] != x)
      continue;
    const double count = (double)graph->tensors[i].dims[0].constant * (double)graph->tensors[i].dims[1].constant;
    elements += count;
    for (int way = 0; way < PITH_TUNE_MIXED; way++)
      layer.occupancy[way] += count * t->occupancies[(size_t)i * PITH_TUNE_MIXED + (size_t)way];
    layer.tensors[layer.weights++] = i;
    inputs[i] = PITH_NONE;
  }
  for (int way = 0; way < PITH_TUNE_MIXED; way++)
    layer.occupancy[way] /= elements;
  if (layer.occupancy[PITH_TUNE_4X1] < 1)
    t->tuning->layers[t->tuning->layer_count++] = layer;
  return PITH_OK;
}

/* Weights of products of one x, where one of them at least has zeros that leave out blocks. */
static pith_status find_layers(tuner *t) {
  const pith_graph *graph = t->data->graph;
  pith_tuning *tuning = t->tuning;
  pith_tensor_id *inputs = PITH_ARENA_NEW(&t->scratch, pith_tensor_id, graph->tensor_count);
  t->occupancies = PITH_ARENA_NEW(&t->scratch, double, (size_t)graph->tensor_count * PITH_TUNE_MIXED);
  tuning->layers = PITH_ARENA_NEW(t->arena, pith_tune_layer, graph->tensor_count);
  if (inputs == NULL || t->occupancies == NULL || tuning->layers == NULL)
    return no_memory(t);
  for (pith_tensor_id i = 0; i < graph->tensor_count; i++) {
    inputs[i] = graph->tensors[i].data == NULL ? PITH_NONE : pith_sparse_get_product_input(graph, i);
    if (inputs[i] != PITH_NONE)
      PITH_TRY(measure_occupancy(t, &graph->tensors[i], &t->occupancies[(size_t)i * PITH_TUNE_MIXED]));
  }
  for (pith_tensor_id i = 0; i < graph->tensor_count; i++)
    if (inputs[i] != PITH_NONE)
      PITH_TRY(add_layer(t, inputs, i));
  return PITH_OK;
}

/* ---- variants ---------------------------------------------------------------------------------------------------- */

static pith_layout get_tensor_layout(const tuner *t, const pith_tune_layer *layer, pith_tensor_id tensor,
                                     pith_tune_way way) {
  const pith_tune_way own = way == PITH_TUNE_MIXED ? layer->way : way;
  const double occupancy = t->occupancies[(size_t)tensor * PITH_TUNE_MIXED + own];
  return get_layout(t->data->graph->tensors[tensor].dtype, occupancy < 1 ? own : PITH_TUNE_DENSE);
}

static bool are_alike(const tuner *t, pith_tune_way a, pith_tune_way b) {
  for (uint32_t i = 0; i < t->tuning->layer_count; i++) {
    const pith_tune_layer *layer = &t->tuning->layers[i];
    for (uint32_t j = 0; j < layer->weights; j++)
      if (get_tensor_layout(t, layer, layer->tensors[j], a) != get_tensor_layout(t, layer, layer->tensors[j], b))
        return false;
  }
  return true;
}

/* `graph` with the weights as they are stored in this way; new bytes in `arena`. */
static pith_status store(const tuner *t, pith_graph *graph, pith_tune_way way, pith_arena *arena) {
  for (uint32_t i = 0; i < t->tuning->layer_count; i++) {
    const pith_tune_layer *layer = &t->tuning->layers[i];
    for (uint32_t j = 0; j < layer->weights; j++)
      PITH_TRY(pith_sparse_set_layout(graph, layer->tensors[j], get_tensor_layout(t, layer, layer->tensors[j], way),
                                      arena, t->error));
  }
  return PITH_OK;
}

static pith_status open_variant(tuner *t, pith_tune_way way) {
  variant *v = &t->variants[way];
  for (int earlier = 0; earlier < (int)way; earlier++)
    if (are_alike(t, (pith_tune_way)earlier, way))
      return PITH_OK;
  v->runs = true;
  v->model = (struct pith_model){.allocator = pith_default_allocator, .data = *t->data};
  v->seconds = PITH_ARENA_NEW(&t->scratch, double, t->rounds);
  v->layers = PITH_ARENA_NEW(&t->scratch, double, t->rounds * t->tuning->layer_count);
  if (v->seconds == NULL || v->layers == NULL)
    return no_memory(t);
  v->model.data.graph = NULL;
  PITH_TRY(pith_graph_clone(t->data->graph, NULL, &v->model.data.graph, t->error));
  PITH_TRY(store(t, v->model.data.graph, way, &t->scratch));
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = t->options->batch * t->options->sequence;
  options.max_sequences = t->options->batch;
  options.max_rows = t->options->batch;
  options.threadpool = t->options->threadpool;
  options.profile = 1;
  return pith_session_create(&v->model, &options, &v->session, t->error);
}

static void close_variants(tuner *t) {
  for (int way = 0; way < PITH_TUNE_WAY_COUNT; way++) {
    pith_session_destroy(t->variants[way].session);
    pith_graph_destroy(t->variants[way].model.data.graph);
  }
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

static pith_status make_batch(tuner *t) {
  const size_t sequences = t->options->batch, tokens = sequences * t->options->sequence;
  int32_t *offsets = PITH_ARENA_NEW(&t->scratch, int32_t, sequences + 1);
  int32_t *ids = PITH_ARENA_NEW(&t->scratch, int32_t, tokens);
  if (offsets == NULL || ids == NULL)
    return no_memory(t);
  uint64_t state = 1;
  for (size_t i = 0; i < tokens; i++) {
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407); /* Knuth's linear congruence */
    ids[i] = (int32_t)((state >> 33) % (uint64_t)t->options->id_count);
  }
  for (size_t i = 0; i <= sequences; i++)
    offsets[i] = (int32_t)(i * t->options->sequence);
  t->batch = (pith_batch)PITH_BATCH_INIT;
  t->batch.sequences = sequences;
  t->batch.offsets = offsets;
  t->batch.ids = ids;
  if (pith_graph_find_symbol(t->data->graph, "rows") != PITH_NONE) {
    t->batch.rows = offsets; /* the first token of each sequence */
    t->batch.row_count = sequences;
  }
  return PITH_OK;
}

/* The time of the products that read any of the layer's weights, in the last run. */
static double get_layer_seconds(const variant *v, const pith_tune_layer *layer) {
  const pith_program *program = pith_session_get_program(v->session);
  const pith_profile_entry *entries;
  size_t count;
  pith_session_profile(v->session, &entries, &count);
  uint64_t sum = 0;
  for (uint32_t i = 0; i < program->step_count; i++) {
    bool reads = false;
    for (uint32_t j = 0; j < program->steps[i].input_count; j++) {
      const pith_value_id id = program->steps[i].inputs[j];
      for (uint32_t k = 0; k < layer->weights && pith_step_is_weight(&program->steps[i], j); k++)
        reads |= program->values[id].tensor == &v->model.data.graph->tensors[layer->tensors[k]];
    }
    if (reads)
      sum += entries[i].last_end_ns - entries[i].last_begin_ns;
  }
  return (double)sum * 1e-9;
}

static pith_status run_variant(tuner *t, variant *v, size_t round) {
  pith_result result = {.struct_size = sizeof result};
  const uint64_t begin = pith_clock_now_ns();
  PITH_TRY(pith_session_run(v->session, &t->batch, &result, t->error));
  v->seconds[round] = (double)(pith_clock_now_ns() - begin) * 1e-9;
  for (uint32_t i = 0; i < t->tuning->layer_count; i++)
    v->layers[i * t->rounds + round] = get_layer_seconds(v, &t->tuning->layers[i]);
  t->done++;
  if (t->options->report != NULL)
    t->options->report(t->options->context, t->done, t->total);
  return PITH_OK;
}

/* Every way by turns, so that what slows the machine down slows all of them; the first round is run again. */
static pith_status run_rounds(tuner *t) {
  for (size_t round = 0; round <= t->rounds; round++)
    for (int way = 0; way < PITH_TUNE_WAY_COUNT; way++)
      if (t->variants[way].session != NULL)
        PITH_TRY(run_variant(t, &t->variants[way], round == 0 ? 0 : round - 1));
  return PITH_OK;
}

static int compare(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Sorts them. */
static double get_median(double *seconds, size_t count) {
  qsort(seconds, count, sizeof *seconds, compare);
  return count % 2 != 0 ? seconds[count / 2] : (seconds[count / 2 - 1] + seconds[count / 2]) / 2;
}

/* ---- deciding -------------------------------------------------------------------------------------------------------- */

/* The fastest of all but the mixed way, by whole runs. */
static pith_tune_way choose_uniform(tuner *t) {
  pith_tune_way best = PITH_TUNE_DENSE;
  double seconds[PITH_TUNE_MIXED];
  for (int way = 0; way < PITH_TUNE_MIXED; way++) {
    variant *v = &t->variants[way];
    seconds[way] = v->runs ? get_median(v->seconds, t->rounds) : 0;
    if (v->runs && seconds[way] < seconds[best])
      best = (pith_tune_way)way;
  }
  return best;
}

/* A layer leaves the way that is best for the whole model where it clearly gains. */
static void choose_layers(tuner *t) {
  const pith_tune_way uniform = choose_uniform(t);
  for (uint32_t i = 0; i < t->tuning->layer_count; i++) {
    pith_tune_layer *layer = &t->tuning->layers[i];
    for (int way = 0; way < PITH_TUNE_MIXED; way++)
      if (t->variants[way].runs)
        layer->seconds[way] = get_median(t->variants[way].layers + i * t->rounds, t->rounds);
    layer->way = uniform;
    for (int way = 0; way < PITH_TUNE_MIXED; way++)
      if (t->variants[way].runs && layer->seconds[way] < layer->seconds[uniform] * (1 - LEAST_GAIN) &&
          layer->seconds[way] < layer->seconds[layer->way])
        layer->way = (pith_tune_way)way;
  }
}

static void choose_model(tuner *t) {
  for (int way = 0; way < PITH_TUNE_WAY_COUNT; way++) {
    variant *v = &t->variants[way];
    t->tuning->seconds[way] = v->runs ? get_median(v->seconds, t->rounds) : 0;
    if (v->runs && t->tuning->seconds[way] < t->tuning->seconds[t->tuning->way])
      t->tuning->way = (pith_tune_way)way;
  }
}

/* Layer by layer first, then whole models, since layers that change layouts cost Reorders between them. */
static pith_status tune(tuner *t, pith_model_data *out_data) {
  PITH_TRY(find_layers(t));
  if (t->tuning->layer_count == 0)
    return PITH_OK;
  PITH_TRY(make_batch(t));
  size_t ways = 0;
  for (int way = 0; way < PITH_TUNE_MIXED; way++) {
    PITH_TRY(open_variant(t, (pith_tune_way)way));
    ways += t->variants[way].runs;
  }
  t->total = (2 * ways + 1) * (t->rounds + 1); /* mixed is likely to be one more */
  PITH_TRY(run_rounds(t));
  choose_layers(t);
  PITH_TRY(open_variant(t, PITH_TUNE_MIXED));
  PITH_TRY(run_rounds(t));
  choose_model(t);
  PITH_TRY(store(t, out_data->graph, t->tuning->way, t->arena));
  return pith_tune_add_history(t->tuning, out_data, t->arena, t->error);
}

static pith_status check_options(const pith_model_data *data, const pith_tune_options *options, pith_error *error) {
  if (options->batch == 0 || options->sequence == 0 || options->sequence > INT32_MAX / options->batch)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "a batch of %zu sequences of %zu tokens cannot be run", options->batch,
                     options->sequence);
  if (data->max_length != 0 && options->sequence > data->max_length)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "sequences of %zu tokens are longer than the model's %u",
                     options->sequence, data->max_length);
  if (options->id_count < 1)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "there are no token ids to run the model with");
  return PITH_OK;
}

pith_status pith_sparse_tune(const pith_model_data *data, const pith_tune_options *options, pith_arena *arena,
                             pith_model_data *out_data, pith_tuning *out_tuning, pith_error *error) {
  PITH_TRY(check_options(data, options, error));
  *out_tuning = (pith_tuning){.batch = options->batch,
                              .sequence = options->sequence,
                              .rounds = options->rounds == 0 ? PITH_TUNE_ROUNDS : options->rounds,
                              .threads = pith_parallel_count_threads(options->threadpool)};
  pith_model_data tuned = *data;
  PITH_TRY(pith_graph_clone(data->graph, NULL, &tuned.graph, error));
  tuner t = {.data = data, .options = options, .rounds = out_tuning->rounds, .arena = arena, .tuning = out_tuning,
             .error = error};
  pith_arena_init(&t.scratch, NULL);
  pith_status status = tune(&t, &tuned);
  close_variants(&t);
  pith_arena_deinit(&t.scratch);
  if (status != PITH_OK) {
    pith_graph_destroy(tuned.graph);
    return status;
  }
  *out_data = tuned;
  return PITH_OK;
}
