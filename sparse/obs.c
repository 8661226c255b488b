#include "sparse/obs.h"

#include <cjson/cJSON.h>

#include "compiler/rewrite/rewriter.h"
#include "compiler/rewrite/structure.h"
#include "engine/exec/model.h"
#include "engine/exec/parallel.h"
#include "quant/blas.h"
#include "sparse/reconstruct.h"
#include "quant/stream.h"

/* What one call works on. */
typedef struct job {
  const pith_prune_request *request;
  const pith_graph *graph;
  pith_prune_weights *weights;
  pith_readers readers;
  pith_rewriter reader; /* of the dense weights */
  const float **pruned, **dense; /* [tensor_count] what streams run with in the place of the graph's data */
  pith_stream streams[2];
  pith_obs_state *state;
  uint32_t step;
  uint64_t done, total;
  pith_arena arena;
} job;
enum { DENSE, PRUNED };

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the second moments of activations");
}

static void advance(job *j) {
  j->done++;
  if (j->request->progress != NULL)
    j->request->progress(j->request->context, j->done, j->total);
}

/* ---- second moments ---------------------------------------------------------------------------------------------------- */

/* Sums over all tokens of a [rows] by b [columns], and of each: covariances once divided. */
typedef struct sums {
  size_t rows, columns;
  double *products;  /* [rows, columns] */
  double *of_rows, *of_columns;
} sums;

static pith_status sums_init(sums *s, size_t rows, size_t columns, pith_arena *arena, pith_error *error) {
  *s = (sums){rows, columns, PITH_ARENA_NEW(arena, double, rows *columns), PITH_ARENA_NEW(arena, double, rows),
              PITH_ARENA_NEW(arena, double, columns)};
  return s->products == NULL || s->of_rows == NULL || s->of_columns == NULL ? no_memory(error) : PITH_OK;
}

typedef struct addition {
  sums *to;
  const float *a, *b;
  size_t tokens;
  float *room; /* [rows, columns] */
} addition;

enum { TASK_FEATURES = 64 };

static void add_products(void *context, size_t task) {
  addition *x = context;
  const size_t begin = task * TASK_FEATURES, rows = x->to->rows, columns = x->to->columns;
  const size_t count = rows - begin < TASK_FEATURES ? rows - begin : TASK_FEATURES;
  float *room = x->room + begin * columns;
  memset(room, 0, count * columns * sizeof *room);
  pith_blas_sgemm(true, false, count, columns, x->tokens, 1, x->a + begin, rows, x->b, columns, room, columns);
  for (size_t i = 0; i < count * columns; i++)
    x->to->products[begin * columns + i] += (double)room[i];
}

static void add_means(double *to, const float *x, size_t tokens, size_t features) {
  for (size_t t = 0; t < tokens; t++)
    for (size_t f = 0; f < features; f++)
      to[f] += (double)x[t * features + f];
}

static void sums_add(const job *j, sums *s, const float *a, const float *b, size_t tokens, float *room) {
  addition x = {s, a, b, tokens, room};
  pith_parallel_for(j->request->session.threadpool, add_products, &x, (s->rows + TASK_FEATURES - 1) / TASK_FEATURES);
  add_means(s->of_rows, a, tokens, s->rows);
  add_means(s->of_columns, b, tokens, s->columns);
}

/* To covariances (`centered`) or means of products, and means. */
static void sums_finish(sums *s, uint64_t tokens, bool centered) {
  const double inverse = 1.0 / (double)tokens;
  for (size_t i = 0; i < s->rows; i++)
    s->of_rows[i] *= inverse;
  for (size_t i = 0; i < s->columns; i++)
    s->of_columns[i] *= inverse;
  for (size_t i = 0; i < s->rows; i++)
    for (size_t c = 0; c < s->columns; c++)
      s->products[i * s->columns + c] =
          s->products[i * s->columns + c] * inverse - (centered ? s->of_rows[i] * s->of_columns[c] : 0);
}

/* ---- one product ------------------------------------------------------------------------------------------------------- */

/* The other summand of the residual that a product's output goes into; PITH_NONE: there is none. */
static pith_tensor_id find_residual(const job *j, const pith_node *product) {
  const pith_tensor_id other = pith_product_find_residual(j->graph, &j->readers, product);
  return other != PITH_NONE && j->streams[DENSE].batches[0][other].data != NULL ? other : PITH_NONE;
}

/* What all products of one input share. */
typedef struct input_moments {
  sums pruned; /* of the pruned model's input by itself */
  sums both;   /* of it by the dense model's */
  double damping;
  bool centered;
} input_moments;

/* What pruning makes of a product's bias. */
static float *get_bias(job *j, const pith_node *product, pith_error *error) {
  const pith_tensor_id id = product->inputs[2];
  if (j->pruned[id] == NULL)
    j->pruned[id] = PITH_ARENA_NEW(&j->weights->arena, float, (size_t)j->graph->tensors[id].dims[0].constant);
  if (j->pruned[id] == NULL)
    (void)no_memory(error);
  return (float *)(uintptr_t)j->pruned[id];
}

/* Targets g = w Cpd^T + Cr^T + damping w [n, k], Cr [k, n] covariances of input and residual's difference. */
static pith_status prune_weight(job *j, uint32_t t, const input_moments *m, pith_error *error) {
  pith_prune_weights *weights = j->weights;
  const pith_prune_target *target = &weights->targets.list[t];
  const pith_node *product = &j->graph->nodes[target->node];
  const size_t n = target->n, k = target->k;
  float *w = weights->values[t];
  const float *dense = pith_rewriter_read(&j->reader, target->weight);
  if (dense == NULL)
    return j->reader.builder.status;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  double *targets = PITH_ARENA_NEW(&arena, double, n *k), *before = PITH_ARENA_NEW(&arena, double, n *k);
  uint8_t *fixed = PITH_ARENA_NEW(&arena, uint8_t, n *k);
  const pith_tensor_id residual = find_residual(j, product);
  sums r = {0};
  pith_status status = targets == NULL || before == NULL || fixed == NULL ? no_memory(error) : PITH_OK;
  if (status == PITH_OK && residual != PITH_NONE)
    status = sums_init(&r, k, n, &arena, error);
  for (uint32_t b = 0; b < j->streams[PRUNED].batch_count && status == PITH_OK && residual != PITH_NONE; b++) {
    const pith_stream_value *x = pith_stream_get(&j->streams[PRUNED], b, target->input);
    const pith_stream_value *was = pith_stream_get(&j->streams[DENSE], b, residual);
    const pith_stream_value *is = pith_stream_get(&j->streams[PRUNED], b, residual);
    const float *old = was->data, *now = is->data;
    pith_arena scratch;
    pith_arena_init(&scratch, NULL);
    float *difference = PITH_ARENA_NEW(&scratch, float, x->rows *n), *room = PITH_ARENA_NEW(&scratch, float, k *n);
    if (difference == NULL || room == NULL)
      status = no_memory(error);
    for (size_t i = 0; i < x->rows * n && status == PITH_OK; i++)
      difference[i] = old[i] - now[i];
    if (status == PITH_OK)
      sums_add(j, &r, x->data, difference, x->rows, room);
    pith_arena_deinit(&scratch);
  }
  if (status == PITH_OK) {
    if (residual != PITH_NONE)
      sums_finish(&r, j->streams[PRUNED].tokens, m->centered);
    for (size_t i = 0; i < n; i++)
      for (size_t c = 0; c < k; c++) {
        const double value = (double)dense[i * k + c];
        before[i * k + c] = value;
        fixed[i * k + c] = w[i * k + c] == 0;
        targets[i * k + c] = m->damping * value + (residual == PITH_NONE ? 0 : r.products[c * n + i]);
      }
    pith_blas_dgemm(false, true, n, k, k, 1, before, k, m->both.products, k, targets, k);
    const pith_reconstruction problem = {.moments = m->pruned.products,
                                         .targets = targets,
                                         .fixed = fixed,
                                         .pattern = &weights->pattern,
                                         .sparsity = (double)weights->parts[t].count / (double)(n * k),
                                         .threadpool = j->request->session.threadpool};
    double left;
    status = pith_reconstruct(&problem, &weights->parts[t], w, &left, error);
  }
  float *bias = status == PITH_OK && m->centered ? get_bias(j, product, error) : NULL;
  const float *old_bias = bias == NULL ? NULL : pith_rewriter_read(&j->reader, product->inputs[2]);
  if (status == PITH_OK && m->centered && old_bias == NULL)
    status = bias == NULL ? PITH_OUT_OF_MEMORY : j->reader.builder.status;
  for (size_t i = 0; i < n && old_bias != NULL; i++) {
    double mean = residual == PITH_NONE ? 0 : r.of_columns[i];
    for (size_t c = 0; c < k; c++)
      mean += before[i * k + c] * m->both.of_columns[c] - (double)w[i * k + c] * m->both.of_rows[c];
    bias[i] = (float)((double)old_bias[i] + mean);
  }
  pith_arena_deinit(&arena);
  return status;
}

/* ---- products of one input ---------------------------------------------------------------------------------------------- */

static bool has_own_bias(const job *j, const pith_node *product) {
  return product->input_count > 2 && product->inputs[2] != PITH_NONE && pith_product_owns_data(j->graph, &j->readers, product);
}

static pith_status measure_input(job *j, pith_tensor_id input, size_t k, input_moments *m, pith_arena *arena, pith_error *error) {
  float *room = PITH_ARENA_NEW(arena, float, k *k);
  if (room == NULL)
    return no_memory(error);
  PITH_TRY(sums_init(&m->pruned, k, k, arena, error));
  PITH_TRY(sums_init(&m->both, k, k, arena, error));
  for (uint32_t b = 0; b < j->streams[PRUNED].batch_count; b++) {
    const pith_stream_value *x = pith_stream_get(&j->streams[PRUNED], b, input), *was = pith_stream_get(&j->streams[DENSE], b, input);
    sums_add(j, &m->pruned, x->data, x->data, x->rows, room);
    sums_add(j, &m->both, x->data, was->data, x->rows, room);
  }
  sums_finish(&m->pruned, j->streams[PRUNED].tokens, m->centered);
  sums_finish(&m->both, j->streams[PRUNED].tokens, m->centered);
  double diagonal = 0;
  for (size_t i = 0; i < k; i++)
    diagonal += m->pruned.products[i * k + i];
  /* The floor keeps the moments positive definite where every input is constant: then any weights are as good. */
  m->damping = j->request->options->damping * diagonal / (double)k + 1e-12;
  for (size_t i = 0; i < k; i++)
    m->pruned.products[i * k + i] += m->damping;
  return PITH_OK;
}

/* Whether all products of this one's input have a bias that can take up means. */
static bool is_centered(const job *j, uint32_t first) {
  const pith_prune_target *list = j->weights->targets.list;
  bool centered = true;
  for (uint32_t t = 0; t < j->weights->targets.count; t++)
    if (list[t].input == list[first].input)
      centered &= has_own_bias(j, &j->graph->nodes[list[t].node]);
  return centered;
}

/* In the order in which weights are pruned: input after input. */
static uint32_t find_next(const job *j, const bool *done) {
  const pith_prune_targets *targets = &j->weights->targets;
  uint32_t first = 0;
  while (first < targets->count && done[first])
    first++;
  /* What was begun with an input is finished with it. */
  for (uint32_t t = 0; t < targets->count; t++)
    for (uint32_t other = 0; other < t && !done[t]; other++)
      if (done[other] && !targets->list[other].shared && targets->list[other].input == targets->list[t].input)
        return t;
  return first == targets->count ? PITH_NONE : first;
}

static pith_status keep_weight(job *j, uint32_t t, bool centered, pith_error *error) {
  const pith_prune_target *target = &j->weights->targets.list[t];
  const float *bias = centered ? j->pruned[j->graph->nodes[target->node].inputs[2]] : NULL;
  j->pruned[target->weight] = j->weights->values[t];
  advance(j);
  return pith_obs_state_write(j->state, j->step, t, j->weights->values[t], target->n * target->k, bias, centered ? target->n : 0,
                              error);
}

/* Those from `first` on that read the same input. */
static pith_status prune_group(job *j, uint32_t first, bool *done, pith_error *error) {
  const pith_prune_target *list = j->weights->targets.list;
  PITH_TRY(pith_stream_run(&j->streams[DENSE], list[first].node, j->dense, error));
  PITH_TRY(pith_stream_run(&j->streams[PRUNED], list[first].node, j->pruned, error));
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  input_moments m = {.centered = is_centered(j, first)};
  pith_status status = measure_input(j, list[first].input, list[first].k, &m, &arena, error);
  for (uint32_t t = first; t < j->weights->targets.count && status == PITH_OK; t++)
    if (list[t].input == list[first].input && !done[t]) {
      status = prune_weight(j, t, &m, error);
      if (status == PITH_OK)
        status = keep_weight(j, t, m.centered, error);
      done[t] = true;
    }
  pith_arena_deinit(&arena);
  return status;
}

/* Takes the weights that an earlier run finished; those come first. */
static pith_status resume(job *j, bool *done, pith_error *error) {
  bool found = true;
  for (uint32_t t; found && (t = find_next(j, done)) != PITH_NONE;) {
    const pith_prune_target *target = &j->weights->targets.list[t];
    const bool centered = is_centered(j, t);
    const size_t count = target->n * target->k, bias_count = centered ? target->n : 0;
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    float *w = PITH_ARENA_NEW(&arena, float, count), *b = PITH_ARENA_NEW(&arena, float, bias_count);
    float *bias = centered ? get_bias(j, &j->graph->nodes[target->node], error) : b;
    pith_status status = w == NULL || b == NULL || bias == NULL ? no_memory(error) : PITH_OK;
    if (status == PITH_OK)
      status = pith_obs_state_read(j->state, j->step, t, w, count, b, bias_count, &found, error);
    if (status == PITH_OK && found) {
      memcpy(j->weights->values[t], w, count * sizeof *w);
      memcpy(bias, b, bias_count * sizeof *b);
      j->pruned[target->weight] = j->weights->values[t];
      done[t] = true;
      advance(j);
    }
    pith_arena_deinit(&arena);
    PITH_TRY(status);
  }
  return PITH_OK;
}

static pith_status prune_all(job *j, pith_error *error) {
  bool *done = PITH_ARENA_NEW(&j->arena, bool, j->weights->targets.count);
  if (done == NULL)
    return no_memory(error);
  for (uint32_t t = 0; t < j->weights->targets.count; t++)
    if (j->weights->targets.list[t].shared) { /* no single input: by magnitude, as they are */
      pith_mask_apply(&j->weights->parts[t].grid, j->weights->parts[t].removed, j->weights->values[t]);
      j->pruned[j->weights->targets.list[t].weight] = j->weights->values[t];
      done[t] = true;
    }
  PITH_TRY(resume(j, done, error));
  for (uint32_t t; (t = find_next(j, done)) != PITH_NONE;)
    PITH_TRY(prune_group(j, t, done, error));
  return PITH_OK;
}

/* What a state of another run differs in. */
static pith_status open_state(job *j, pith_error *error) {
  if (j->state->opened)
    return PITH_OK;
  uint8_t key[PITH_SHA256_BYTES];
  pith_sha256 hash;
  pith_sha256_init(&hash);
  cJSON *json = pith_recipe_write(j->request->options, pith_prune_keys);
  char *text = json == NULL ? NULL : cJSON_PrintUnformatted(json);
  cJSON_Delete(json);
  if (text == NULL)
    return no_memory(error);
  pith_sha256_update(&hash, text, strlen(text));
  cJSON_free(text);
  for (uint32_t t = 0; t < j->weights->targets.count; t++)
    pith_sha256_update(&hash, j->weights->values[t], j->weights->targets.list[t].n * j->weights->targets.list[t].k * sizeof(float));
  for (uint32_t b = 0; b < j->streams[DENSE].batch_count; b++)
    for (uint32_t i = 0; i < j->graph->input_count; i++) {
      const pith_stream_value *value = pith_stream_get(&j->streams[DENSE], b, j->graph->inputs[i]);
      pith_sha256_update(&hash, value->data, value->bytes);
    }
  pith_sha256_finish(&hash, key);
  return pith_obs_state_open(j->state, j->request->state_path, key, error);
}

pith_status pith_prune_obs(const pith_model *model, const pith_prune_request *request, pith_prune_weights *weights,
                           uint64_t step, uint64_t steps, pith_obs_state *state, pith_error *error) {
  const pith_graph *graph = model->data.graph;
  if (request->source == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "method obs needs calibration data, and there is none");
  PITH_TRY(pith_blas_load(error));
  job j = {.request = request, .graph = graph, .weights = weights, .state = state, .step = (uint32_t)step};
  j.done = step * weights->targets.count;
  j.total = steps * weights->targets.count;
  pith_arena_init(&j.arena, NULL);
  j.dense = PITH_ARENA_NEW(&j.arena, const float *, graph->tensor_count);
  j.pruned = weights->data;
  pith_arena_init(&j.streams[DENSE].arena, NULL);
  pith_arena_init(&j.streams[PRUNED].arena, NULL);
  pith_status status = pith_rewriter_init(&j.reader, graph, &model->allocator, error);
  if (status == PITH_OK && j.dense == NULL)
    status = no_memory(error);
  if (status == PITH_OK)
    status = pith_readers_find(graph, &j.arena, &j.readers, error);
  if (status == PITH_OK)
    status = pith_stream_init(&j.streams[DENSE], model, request->source, &request->session, error);
  if (status == PITH_OK)
    status = pith_stream_copy(&j.streams[PRUNED], graph, &j.streams[DENSE], error);
  if (status == PITH_OK)
    status = open_state(&j, error);
  if (status == PITH_OK)
    status = prune_all(&j, error);
  pith_stream_deinit(&j.streams[PRUNED]);
  pith_stream_deinit(&j.streams[DENSE]);
  pith_rewriter_deinit(&j.reader);
  pith_arena_deinit(&j.arena);
  return status;
}
