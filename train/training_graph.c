#include "train/training_graph.h"

#include <stdio.h>
#include <string.h>

#include "engine/format/stored_layout.h"
#include "engine/ir/operator.h"
#include "quant/quantize.h"
#include "train/differentiate.h"
#include "train/groups.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

enum { ALIGN = 16 }; /* elements: where a parameter begins is aligned to 64 bytes */

/* What is public, and what only this file reads. */
typedef struct training {
  pith_training_graph public;
  pith_arena arena;
  const pith_graph *source; /* with the model's weights as they are stored, until load; tensors as in public.model */
  pith_graph *dequantized;  /* the source, where it is ours */
  bool *outputs_given;      /* [graph->output_count] */
} training;

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the training graph");
}

static bool is_trainable(const pith_tensor *tensor) {
  return tensor->kind == PITH_TENSOR_PARAMETER && tensor->dtype == PITH_DTYPE_F32;
}

/* ---- the model in floats -------------------------------------------------------------------------------------------------- */

/* Parameters row-major and without data. */
static pith_status clone_model(training *t, const pith_model_data *model, const pith_training_graph_options *options,
                               const pith_allocator *allocator, pith_error *error) {
  t->source = model->graph;
  if (pith_training_is_quantized(model->graph)) {
    PITH_TRY(pith_dequantize_graph(model->graph, allocator, &t->dequantized, error));
    t->source = t->dequantized;
    if (!options->dequantize)
      PITH_TRY(pith_training_quantized_create(model->graph, t->dequantized, options->ranges, &t->arena, &t->public.quantized, error));
  }
  PITH_TRY(pith_graph_clone(t->source, allocator, &t->public.model, error));
  for (pith_tensor_id i = 0; i < t->public.model->tensor_count; i++) {
    pith_tensor *tensor = &t->public.model->tensors[i];
    uint64_t bytes;
    if (!is_trainable(tensor))
      continue;
    PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, tensor->dtype, tensor->rank, tensor->dims, &bytes, error));
    tensor->layout = PITH_LAYOUT_ROW_MAJOR;
    pith_graph_set_data(t->public.model, i, NULL, bytes);
  }
  return PITH_OK;
}

/* ---- gradients ------------------------------------------------------------------------------------------------------------ */

/* Where layers 1 to `layers` and what follows them begin, in nodes of the training graph. */
static pith_status find_segments(const pith_training_build *build, const pith_parameter_groups *groups, uint32_t layers,
                                 pith_arena *arena, pith_differentiate_options *out_options, pith_error *error) {
  const pith_graph *graph = build->rewriter.builder.graph;
  if (layers > groups->layers)
    layers = groups->layers;
  *out_options = (pith_differentiate_options){0};
  if (layers == 0)
    return PITH_OK;
  uint32_t *depths = PITH_ARENA_NEW(arena, uint32_t, graph->tensor_count);
  pith_node_id *begins = PITH_ARENA_NEW(arena, pith_node_id, layers + 1);
  if (depths == NULL || begins == NULL)
    return no_memory(error);
  for (pith_tensor_id t = 0; t < build->from->tensor_count; t++)
    if (build->from->tensors[t].kind == PITH_TENSOR_PARAMETER && build->rewriter.map[t] != PITH_NONE &&
        pith_training_find_range(build->quantized, t) == NULL) /* those have no place among the model's nodes */
      depths[build->rewriter.map[t]] = groups->list[t].depth;
  uint32_t found = 0;
  for (pith_node_id n = 0; n < graph->node_count && found <= layers; n++)
    for (uint32_t i = 0; i < graph->nodes[n].input_count; i++) {
      const pith_tensor_id input = graph->nodes[n].inputs[i];
      /* Layers follow each other; one whose products read nothing of its own depth would begin where the next one does. */
      while (input != PITH_NONE && found <= layers && depths[input] > found)
        begins[found++] = n;
    }
  while (found <= layers) /* nothing behind the last layer has parameters: it ends with the nodes */
    begins[found++] = graph->node_count;
  *out_options = (pith_differentiate_options){layers, begins};
  return PITH_OK;
}

static pith_status add_gradients(training *t, pith_training_build *build, pith_tensor_id loss, const pith_parameter_groups *groups,
                                 pith_gradient **out_gradients, size_t *out_count, pith_error *error) {
  const pith_graph *from = build->from;
  pith_graph *graph = build->rewriter.builder.graph;
  pith_gradient *gradients = PITH_ARENA_NEW(&t->arena, pith_gradient, from->tensor_count + 1);
  pith_differentiate_options options;
  size_t count = 0;
  if (gradients == NULL)
    return no_memory(error);
  for (pith_tensor_id i = 0; i < from->tensor_count; i++) {
    const pith_tensor *tensor = &from->tensors[i];
    if (!is_trainable(tensor) || groups->list[i].frozen || build->rewriter.map[i] == PITH_NONE)
      continue;
    gradients[count++] = (pith_gradient){
        .of = build->rewriter.map[i],
        .by_rows = tensor->rank == 2 && tensor->dims[0].constant > (int64_t)build->options->dense_rows,
    };
  }
  if (build->projection != PITH_NONE)
    gradients[count++] = (pith_gradient){.of = build->projection};
  PITH_TRY(find_segments(build, groups, build->options->recompute_layers, &t->arena, &options, error));
  PITH_TRY(pith_differentiate(graph, loss, gradients, count, &options, error));
  *out_gradients = gradients;
  *out_count = count;
  return PITH_OK;
}

/* ---- parameters ------------------------------------------------------------------------------------------------------------- */

/* Dense, by rows, not trained. */
static int get_class(const pith_training_parameter *parameter) {
  return parameter->gradient == PITH_NONE ? 2 : parameter->ids != PITH_NONE;
}

static pith_status place_parameters(training *t, const pith_training_parameter *found, uint32_t count, pith_error *error) {
  pith_training_graph *public = &t->public;
  pith_training_parameter *parameters = PITH_ARENA_NEW(&t->arena, pith_training_parameter, count);
  uint32_t placed = 0;
  size_t end = 0;
  if (parameters == NULL)
    return no_memory(error);
  for (int class = 0; class < 3; class++) {
    for (uint32_t i = 0; i < count; i++) {
      if (get_class(&found[i]) != class)
        continue;
      parameters[placed] = found[i];
      parameters[placed++].offset = end;
      if (!pith_size_add(end, found[i].count, &end) || end > SIZE_MAX / 8)
        return pith_fail(error, PITH_LIMIT, "the parameters' size overflows");
      end = (end + ALIGN - 1) / ALIGN * ALIGN;
    }
    if (class == 0) {
      public->dense_count = placed;
      public->dense_values = end;
    }
    if (class <= 1) {
      public->trained_count = placed;
      public->trained_values = end;
    }
  }
  public->parameter_count = count;
  public->parameters = parameters;
  public->value_count = end;
  return PITH_OK;
}

/* The parameter's outputs, where it has gradients. */
static void add_parameter(training *t, pith_builder *builder, pith_training_parameter *parameter, const pith_gradient *gradients,
                          size_t gradient_count) {
  const pith_gradient *gradient = NULL;
  parameter->gradient = parameter->ids = PITH_NONE;
  for (size_t g = 0; g < gradient_count && parameter->tensor != PITH_NONE; g++)
    if (gradients[g].of == parameter->tensor)
      gradient = &gradients[g];
  if (gradient == NULL || gradient->gradient == PITH_NONE || builder->status != PITH_OK)
    return;
  parameter->gradient = builder->graph->output_count;
  t->outputs_given[parameter->gradient] = gradient->ids == PITH_NONE;
  pith_build_output(builder, gradient->gradient, NULL);
  if (gradient->ids == PITH_NONE || builder->status != PITH_OK)
    return;
  parameter->ids = builder->graph->output_count;
  pith_build_output(builder, gradient->ids, NULL);
}

/* Outputs: the loss, then what there is of each parameter in the model's order. */
static pith_status add_outputs(training *t, pith_training_build *build, pith_tensor_id loss, const pith_gradient *gradients,
                               size_t gradient_count, pith_error *error) {
  pith_builder *builder = &build->rewriter.builder;
  const pith_graph *from = build->from;
  pith_training_parameter *found = PITH_ARENA_NEW(&t->arena, pith_training_parameter, from->tensor_count + 1);
  const uint32_t observers = t->public.quantized == NULL ? 0 : t->public.quantized->observer_count;
  t->outputs_given = PITH_ARENA_NEW(&t->arena, bool, 2 * gradient_count + 1 + observers);
  uint32_t count = 0;
  if (found == NULL || t->outputs_given == NULL)
    return no_memory(error);
  pith_build_output(builder, loss, NULL);
  for (pith_tensor_id i = 0; i < from->tensor_count; i++) {
    if (!is_trainable(&from->tensors[i]))
      continue;
    pith_training_parameter *parameter = &found[count++];
    *parameter = (pith_training_parameter){.tensor = build->rewriter.map[i],
                                           .model_tensor = i,
                                           .count = (size_t)(from->tensors[i].data_bytes / sizeof(float)),
                                           .pattern = t->source->tensors[i].pattern};
    add_parameter(t, builder, parameter, gradients, gradient_count);
  }
  if (build->projection != PITH_NONE && builder->status == PITH_OK) {
    pith_training_parameter *parameter = &found[count++];
    *parameter = (pith_training_parameter){.tensor = build->projection,
                                           .model_tensor = PITH_NONE,
                                           .count = (size_t)(builder->graph->tensors[build->projection].data_bytes / sizeof(float))};
    add_parameter(t, builder, parameter, gradients, gradient_count);
  }
  pith_training_add_observers(build);
  PITH_TRY(builder->status);
  return place_parameters(t, found, count, error);
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------- */

static pith_status find_inputs(pith_training_graph *public, pith_error *error) {
  static const char *const names[PITH_TRAINING_INPUT_COUNT] = {
#define NAME(id, name, doc) [PITH_TRAINING_INPUT_##id] = name,
      PITH_TRAINING_INPUT_LIST(NAME)
#undef NAME
  };
  for (int id = 0; id < PITH_TRAINING_INPUT_COUNT; id++)
    public->inputs[id] = PITH_NONE;
  for (int i = 0; i < PITH_TEACHER_VALUES_MOST; i++)
    public->teacher_values[i] = PITH_NONE;
  for (uint32_t i = 0; i < public->graph->input_count; i++) {
    const char *name = public->graph->tensors[public->graph->inputs[i]].name;
    unsigned value;
    int id = 0;
    if (sscanf(name, PITH_TEACHER_VALUE_NAME, &value) == 1 && value >= 1 && value <= PITH_TEACHER_VALUES_MOST) {
      public->teacher_values[value - 1] = i;
      continue;
    }
    while (id < PITH_TRAINING_INPUT_COUNT && strcmp(names[id], name) != 0)
      id++;
    if (id == PITH_TRAINING_INPUT_COUNT)
      return pith_fail(error, PITH_UNSUPPORTED, "the model's input '%s' is none that training gives", name);
    public->inputs[id] = i;
  }
  return PITH_OK;
}

static pith_status build_graph(training *t, pith_training_build *build, pith_tensor_id output, const pith_parameter_groups *groups,
                               pith_error *error) {
  pith_builder *builder = &build->rewriter.builder;
  pith_gradient *gradients = NULL;
  size_t count = 0;
  pith_training_add_model(build, output);
  const pith_tensor_id loss =
      pith_training_add_loss(build, builder->status == PITH_OK ? pith_rewriter_get(&build->rewriter, output) : PITH_NONE);
  PITH_TRY(builder->status);
  PITH_TRY(add_gradients(t, build, loss, groups, &gradients, &count, error));
  PITH_TRY(add_outputs(t, build, loss, gradients, count, error));
  PITH_TRY(pith_builder_finish(builder));
  t->public.graph = builder->graph;
  builder->graph = NULL;
  t->public.layer_count = groups->layers;
  return find_inputs(&t->public, error);
}

static pith_status create(training *t, const pith_model_data *model, const pith_training_graph_options *options,
                          const pith_allocator *allocator, pith_error *error) {
  pith_tensor_id output;
  pith_parameter_groups groups;
  PITH_TRY(pith_training_find_output(model, model->graph, &output, error));
  PITH_TRY(clone_model(t, model, options, allocator, error));
  PITH_TRY(pith_training_find_output(model, t->public.model, &output, error));
  PITH_TRY(pith_parameter_groups_find(t->public.model, 1, options->freeze, options->freeze_count, &t->arena, &groups, error));
  pith_training_build build = {.model = model, .options = options, .from = t->public.model, .error = error, .projection = PITH_NONE,
                               .quantized = t->public.quantized};
  pith_status status = pith_rewriter_init(&build.rewriter, build.from, allocator, error);
  if (status == PITH_OK)
    status = pith_training_quantized_begin(&build);
  if (status == PITH_OK)
    status = build_graph(t, &build, output, &groups, error);
  pith_rewriter_deinit(&build.rewriter);
  return status;
}

pith_status pith_training_graph_create(const pith_model_data *model, const pith_training_graph_options *options,
                                       const pith_allocator *allocator, pith_training_graph **out_training, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, allocator);
  training *t = PITH_ARENA_NEW(&arena, training, 1);
  if (t == NULL)
    return no_memory(error);
  t->arena = arena;
  pith_status status = create(t, model, options, allocator, error);
  if (status != PITH_OK) {
    pith_training_graph_destroy(&t->public);
    return status;
  }
  *out_training = &t->public;
  return PITH_OK;
}

void pith_training_graph_destroy(pith_training_graph *public) {
  if (public == NULL)
    return;
  training *t = (training *)public; /* its first member */
  pith_graph_destroy(public->graph);
  pith_graph_destroy(public->model);
  pith_graph_destroy(t->dequantized);
  pith_arena arena = t->arena; /* it lies in it */
  pith_arena_deinit(&arena);
}

pith_status pith_training_graph_load(pith_training_graph *public, float *values, pith_error *error) {
  training *t = (training *)public;
  memset(values, 0, public->value_count * sizeof *values); /* what lies between two parameters */
  for (uint32_t i = 0; i < public->parameter_count; i++) {
    const pith_training_parameter *parameter = &public->parameters[i];
    float *at = values + parameter->offset;
    const uint64_t bytes = (uint64_t)parameter->count * sizeof *at;
    if (parameter->model_tensor == PITH_NONE) {
      memcpy(at, public->graph->tensors[parameter->tensor].data, bytes);
      pith_graph_set_data(public->graph, parameter->tensor, at, bytes);
      continue;
    }
    const pith_tensor *stored = &t->source->tensors[parameter->model_tensor];
    if (stored->data == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "tensor '%s' has no data", stored->name);
    PITH_TRY(pith_tensor_unpack(stored, at, t->arena.allocator, error));
    pith_graph_set_data(public->model, parameter->model_tensor, at, bytes);
    if (parameter->tensor != PITH_NONE)
      pith_graph_set_data(public->graph, parameter->tensor, at, bytes);
    pith_training_range *range = pith_training_find_range(public->quantized, parameter->model_tensor);
    if (range != NULL)
      range->value = at;
  }
  return PITH_OK;
}

const pith_training_parameter *pith_training_graph_find(const pith_training_graph *training, pith_tensor_id model_tensor) {
  for (uint32_t i = 0; i < training->parameter_count; i++)
    if (model_tensor != PITH_NONE && training->parameters[i].model_tensor == model_tensor)
      return &training->parameters[i];
  return NULL;
}

void pith_training_graph_set_lowering(const pith_training_graph *public, pith_lower_options *options) {
  options->translate = pith_training_translate;
  options->parameters_change = true;
  options->outputs_given = ((const training *)public)->outputs_given;
  options->rewrites = PITH_REWRITES_ALL; /* a product takes the sum with what came before it: gradients of several readers */
}
