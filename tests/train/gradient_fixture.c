#include "tests/train/gradient_fixture.h"

#include <math.h>
#include <pthreadpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/train/double_graph.h"

static const int32_t offsets[GRADIENT_SEQUENCES + 1] = {0, 4, 5, GRADIENT_TOKENS};
static const int32_t key[4] = {12345, 678, 9, 10};

static int64_t get_symbol(const char *name) {
  return strcmp(name, "tokens") == 0 ? GRADIENT_TOKENS : strcmp(name, "sequences") == 0 ? GRADIENT_SEQUENCES : GRADIENT_ROWS;
}

static float draw(gradient_fixture *f, float low, float high) {
  f->seed = f->seed * 6364136223846793005u + 1442695040888963407u;
  return low + (high - low) * (float)(f->seed >> 40) / (float)(1 << 24);
}

void gradient_begin(gradient_fixture *f, const char *name) {
  *f = (gradient_fixture){.name = name, .seed = 1};
  for (const char *c = name; *c != '\0'; c++)
    f->seed = f->seed * 31 + (unsigned char)*c;
  assert_int_equal(pith_graph_create(NULL, name, &f->graph, &f->error), PITH_OK);
  pith_builder_init(&f->builder, f->graph, &f->error);
}

static uint32_t read_shape(gradient_fixture *f, const char *shape, pith_dim *dims) {
  char text[64], *rest = text;
  uint32_t rank = 0;
  snprintf(text, sizeof text, "%s", shape);
  for (char *part; (part = strsep(&rest, ",")) != NULL && *part != '\0';)
    dims[rank++] = part[0] >= '0' && part[0] <= '9' ? pith_dim_of(atoi(part))
                   : strcmp(part, "offsets") == 0   ? pith_build_dim(&f->builder, "sequences", 1, 1)
                                                    : pith_build_dim(&f->builder, part, 1, 0);
  return rank;
}

/* Adds the input and its feed; returns its elements. */
static size_t add_input(gradient_fixture *f, const char *shape, pith_dtype dtype, pith_tensor_id *out_id) {
  pith_dim dims[PITH_MAX_RANK];
  const uint32_t rank = read_shape(f, shape, dims);
  char name[16];
  snprintf(name, sizeof name, "in%u", f->feed_count);
  assert_true(f->feed_count < GRADIENT_MAX_INPUTS);
  *out_id = pith_build_input(&f->builder, name, dtype, rank, dims);
  pith_feed *feed = &f->feeds[f->feed_count++];
  size_t count = 1;
  for (uint32_t d = 0; d < rank; d++) {
    feed->dims[d] = (size_t)dims[d].constant;
    if (dims[d].term_count != 0)
      feed->dims[d] += (size_t)get_symbol(f->graph->symbols[dims[d].terms[0].symbol]);
    count *= feed->dims[d];
  }
  return count;
}

pith_tensor_id gradient_fixed(gradient_fixture *f, const char *shape, float low, float high) {
  pith_tensor_id id;
  const size_t count = add_input(f, shape, PITH_DTYPE_F32, &id);
  float *data = aligned_alloc(64, (count * sizeof *data + 64) / 64 * 64);
  for (size_t i = 0; i < count; i++)
    data[i] = draw(f, low, high);
  f->feeds[f->feed_count - 1].data = data;
  return id;
}

pith_tensor_id gradient_floats(gradient_fixture *f, const char *shape) {
  return f->wanted[f->wanted_count++] = gradient_fixed(f, shape, -1.5f, 1.5f);
}

pith_tensor_id gradient_integers(gradient_fixture *f, const char *shape, const int32_t *data) {
  pith_tensor_id id;
  add_input(f, shape, PITH_DTYPE_S32, &id);
  f->feeds[f->feed_count - 1].data = data;
  return id;
}

pith_tensor_id gradient_input(gradient_fixture *f, const char *shape) {
  pith_tensor_id id;
  const pith_dtype dtype = strncmp(shape, "i:", 2) == 0   ? PITH_DTYPE_S32
                           : strncmp(shape, "l:", 2) == 0 ? PITH_DTYPE_S64
                           : strncmp(shape, "u:", 2) == 0 ? PITH_DTYPE_U8
                           : strncmp(shape, "b:", 2) == 0 ? PITH_DTYPE_S8
                                                          : PITH_DTYPE_F32;
  add_input(f, dtype == PITH_DTYPE_F32 ? shape : shape + 2, dtype, &id);
  f->feeds[f->feed_count - 1].data = NULL;
  return id;
}

pith_tensor_id gradient_levels(gradient_fixture *f, const char *shape, pith_dtype dtype) {
  pith_tensor_id id;
  const size_t count = add_input(f, shape, dtype, &id);
  uint8_t *data = aligned_alloc(64, (count + 64) / 64 * 64);
  for (size_t i = 0; i < count; i++)
    data[i] = (uint8_t)draw(f, 0, 256);
  f->feeds[f->feed_count - 1].data = data;
  return id;
}

pith_tensor_id gradient_offsets(gradient_fixture *f) {
  return gradient_integers(f, "offsets", offsets);
}

pith_tensor_id gradient_key(gradient_fixture *f) {
  return gradient_integers(f, "4", key);
}

pith_tensor_id gradient_node(gradient_fixture *f, int op_id, uint32_t input_count, const pith_tensor_id *inputs, uint32_t attribute_count,
                             const pith_attribute_setting *attributes) {
  f->node = f->graph->node_count;
  const pith_tensor_id y = pith_build_operator(&f->builder, "tested", pith_training_operator_get(op_id), input_count, inputs,
                                               attribute_count, attributes);
  if (y == PITH_NONE)
    fail_msg("%s: %s", f->name, f->error.message);
  return y;
}

pith_status gradient_lower(const pith_graph *graph, pith_cpu_set cpu, size_t threads, uint32_t rewrites, pith_program **out_program,
                           pith_error *error) {
  int64_t limits[8];
  for (uint32_t s = 0; s < graph->symbol_count; s++)
    limits[s] = get_symbol(graph->symbols[s]);
  const pith_lower_options options = {
      .cpu = cpu, .threads = threads, .symbol_limits = limits, .rewrites = rewrites, .translate = pith_training_translate};
  return pith_program_create(graph, &options, out_program, error);
}

/* The outputs of a run, one after the other. */
static float *run(const gradient_fixture *f, pith_cpu_set cpu, pthreadpool_t pool, uint32_t rewrites, size_t *out_count) {
  pith_program *program;
  pith_executor *executor;
  pith_error error = {PITH_OK, ""};
  const pith_executor_options options = {.threadpool = pool};
  if (gradient_lower(f->graph, cpu, pool == NULL ? 1 : 2, rewrites, &program, &error) != PITH_OK ||
      pith_executor_create(program, &options, &executor, &error) != PITH_OK ||
      pith_executor_run(executor, f->feeds, NULL, 0, &error) != PITH_OK)
    fail_msg("%s: %s", f->name, error.message);
  float *all = NULL;
  *out_count = 0;
  for (uint32_t i = 0; i < f->graph->output_count; i++) {
    const pith_view *view = pith_executor_get_output(executor, i);
    all = realloc(all, (*out_count + pith_view_count(view) + 1) * sizeof *all);
    memcpy(all + *out_count, view->data, pith_view_count(view) * sizeof *all);
    *out_count += pith_view_count(view);
  }
  pith_executor_destroy(executor);
  pith_program_destroy(program);
  return all;
}

/* Against central differences; the graph's forward pass is in `reference`. */
static void compare(const gradient_fixture *f, double_graph *reference, pith_tensor_id loss, const float *got) {
  double_graph_run(reference);
  const double value = reference->tensors[loss].values[0];
  if (!(fabs((double)got[0] - value) <= 1e-5 * fmax(fabs(value), 1e-3)))
    fail_msg("%s: the loss is %.9g, not %.9g", f->name, (double)got[0], value);
  got++;
  for (uint32_t w = 0; w < f->wanted_count; w++) {
    double_tensor *x = &reference->tensors[f->wanted[w]];
    double *wanted = calloc(x->count, sizeof *wanted), largest = 0;
    for (size_t i = 0; i < x->count; i++) {
      const double middle = x->values[i], h = 1e-5;
      x->values[i] = middle + h;
      double_graph_run(reference);
      wanted[i] = reference->tensors[loss].values[0];
      x->values[i] = middle - h;
      double_graph_run(reference);
      wanted[i] = (wanted[i] - reference->tensors[loss].values[0]) / (2 * h);
      x->values[i] = middle;
      largest = fmax(largest, fabs(wanted[i]));
    }
    if (largest == 0)
      fail_msg("%s: input %u has no gradient at all", f->name, w);
    for (size_t i = 0; i < x->count; i++)
      if (!(fabs((double)got[i] - wanted[i]) <= 1e-4 * fabs(wanted[i]) + 2e-6 * largest))
        fail_msg("%s: the gradient by input %u at %zu of %zu is %.9g, not %.9g (largest %.3g)", f->name, w, i, x->count,
                 (double)got[i], wanted[i], largest);
    got += x->count;
    free(wanted);
  }
}

void gradient_check(gradient_fixture *f, pith_tensor_id y) {
  const pith_tensor tensor = f->graph->tensors[y];
  pith_gradient gradients[GRADIENT_MAX_INPUTS] = {{0}};
  double_graph reference;
  int64_t symbols[8];
  const void *feeds[GRADIENT_MAX_INPUTS];
  pith_tensor_id loss = y;
  if (tensor.rank != 0) {
    pith_tensor_id targets;
    pith_feed *feed = &f->feeds[f->feed_count++];
    size_t count = 1;
    targets = pith_build_input(&f->builder, "targets", PITH_DTYPE_F32, tensor.rank, tensor.dims);
    for (uint32_t s = 0; s < f->graph->symbol_count; s++)
      symbols[s] = get_symbol(f->graph->symbols[s]);
    for (uint32_t d = 0; d < tensor.rank; d++) {
      int64_t size;
      assert_int_equal(pith_dim_evaluate(&tensor.dims[d], symbols, &size, NULL), PITH_OK);
      feed->dims[d] = (size_t)size;
      count *= (size_t)size;
    }
    float *data = aligned_alloc(64, (count * sizeof *data + 64) / 64 * 64);
    for (size_t i = 0; i < count; i++)
      data[i] = draw(f, -1, 1);
    feed->data = data;
    loss = pith_build_operator(&f->builder, "loss", &pith_operator_MEAN_SQUARED_ERROR, 2, (pith_tensor_id[]){y, targets}, 0, NULL);
  }
  if (f->builder.status != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
  for (uint32_t s = 0; s < f->graph->symbol_count; s++)
    symbols[s] = get_symbol(f->graph->symbols[s]);
  for (uint32_t i = 0; i < f->feed_count; i++)
    feeds[i] = f->feeds[i].data;
  double_graph_create(&reference, f->graph, symbols, feeds);
  for (uint32_t w = 0; w < f->wanted_count; w++)
    gradients[w].of = f->wanted[w];
  if (pith_differentiate(f->graph, loss, gradients, f->wanted_count, NULL, &f->error) != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
  pith_build_output(&f->builder, loss, NULL);
  for (uint32_t w = 0; w < f->wanted_count; w++) {
    if (gradients[w].gradient == PITH_NONE)
      fail_msg("%s: input %u has no gradient", f->name, w);
    pith_build_output(&f->builder, gradients[w].gradient, NULL);
  }
  if (pith_builder_finish(&f->builder) != PITH_OK)
    fail_msg("%s: %s", f->name, f->error.message);
  size_t count, other_count;
  float *got = run(f, 0, NULL, 0, &count);
  compare(f, &reference, loss, got);
  pthreadpool_t pool = pthreadpool_create(2);
  const pith_cpu_set here = pith_cpu_detect();
  for (int i = 0; i < 6; i++) {
    float *other = run(f, i % 3 == 0 ? 0 : here, i % 3 == 2 ? pool : NULL, i < 3 ? PITH_REWRITES_ALL : 0, &other_count);
    assert_int_equal(count, other_count);
    for (size_t j = 0; j < count; j++)
      if (memcmp(&got[j], &other[j], sizeof *got) != 0)
        fail_msg("%s: number %zu is %.9g on one and %.9g on another (run %d)", f->name, j, (double)got[j], (double)other[j], i);
    free(other);
  }
  pthreadpool_destroy(pool);
  double_graph_destroy(&reference);
  free(got);
}

void gradient_end(gradient_fixture *f) {
  for (uint32_t i = 0; i < f->feed_count; i++)
    if (f->graph->tensors[f->graph->inputs[i]].dtype != PITH_DTYPE_S32)
      free((void *)(uintptr_t)f->feeds[i].data);
  pith_graph_destroy(f->graph);
}
