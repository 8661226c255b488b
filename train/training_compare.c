/* What a loss has of comparisons of layers with a teacher's (train/compare.h). */
#include <stdio.h>

#include "engine/base/random.h"
#include "engine/ir/operator.h"
#include "ops/loss/relation_f32.h"
#include "train/operators.h"
#include "train/training_graph_internal.h"

static const double DEVIATION = 0.02; /* of the projection's first values: initializer_range of BERT (Devlin et al. 2019) */

typedef struct comparer {
  pith_training_build *build;
  const pith_comparisons *comparisons;
  pith_layers layers; /* of the student */
  pith_tensor_id values[PITH_TEACHER_VALUES_MOST]; /* inputs */
  pith_tensor_id offsets;
} comparer;

static pith_builder *get_builder(const comparer *c) {
  return &c->build->rewriter.builder;
}

static pith_tensor_id get_own(const comparer *c, const pith_comparison *term, pith_layer_value value) {
  return pith_rewriter_get(&c->build->rewriter, c->layers.list[term->layer].tensors[value]);
}

static void add_inputs(comparer *c) {
  pith_builder *builder = get_builder(c);
  const pith_tensor_id ids = pith_graph_find_tensor(builder->graph, "input_ids");
  c->offsets = pith_graph_find_tensor(builder->graph, "offsets");
  if (ids == PITH_NONE || c->offsets == PITH_NONE) {
    pith_builder_fail(builder, PITH_UNSUPPORTED, "the model has no input '%s'", ids == PITH_NONE ? "input_ids" : "offsets");
    return;
  }
  for (uint32_t i = 0; i < c->comparisons->value_count && builder->status == PITH_OK; i++) {
    char name[32];
    snprintf(name, sizeof name, PITH_TEACHER_VALUE_NAME, i + 1);
    const pith_dim dims[2] = {builder->graph->tensors[ids].dims[0], pith_dim_of(c->comparisons->values[i].width)};
    c->values[i] = pith_build_input(builder, name, PITH_DTYPE_F32, 2, dims);
  }
}

/* W, [width of the student's states, width of the teacher's]: a parameter that the model has not. */
static void add_projection(comparer *c) {
  static const char name[] = "distill.projection";
  pith_builder *builder = get_builder(c);
  const int64_t *dims = c->comparisons->projection;
  if (dims[0] == 0 || builder->status != PITH_OK)
    return;
  const size_t count = (size_t)dims[0] * (size_t)dims[1]; /* widths of tensors that there are */
  float *data = pith_rewriter_allocate(&c->build->rewriter, count, sizeof *data);
  if (data == NULL)
    return;
  const pith_tensor_id id = pith_build_data(builder, PITH_TENSOR_PARAMETER, name, PITH_DTYPE_F32, 2, dims, PITH_LAYOUT_ROW_MAJOR, data,
                                            count * sizeof *data);
  pith_random_normal(c->comparisons->seed, pith_random_stream(name), DEVIATION, count, data);
  c->build->projection = id;
}

static pith_tensor_id add_hidden(const comparer *c, const pith_comparison *term, const char *name) {
  pith_builder *builder = get_builder(c);
  char projected[64];
  pith_tensor_id x = get_own(c, term, term->x);
  snprintf(projected, sizeof projected, "%s.projected", name);
  if (c->build->projection != PITH_NONE)
    x = pith_build_node(builder, projected, PITH_OP_MATMUL, 2, (pith_tensor_id[]){x, c->build->projection}, 0, NULL);
  return pith_build_operator(builder, name, &pith_operator_MEAN_SQUARED_ERROR, 2, (pith_tensor_id[]){x, c->values[term->teacher_x]}, 0,
                             NULL);
}

static pith_tensor_id add_relation(const comparer *c, const pith_comparison *term, const char *name) {
  pith_builder *builder = get_builder(c);
  char rows[64];
  snprintf(rows, sizeof rows, "%s.rows", name);
  const pith_attribute_setting attributes[4] = {
      PITH_SET_INT("num_heads", term->heads), PITH_SET_FLOAT("scale", term->scale), PITH_SET_FLOAT("teacher_scale", term->teacher_scale),
      PITH_SET_ENUM("error", term->error == PITH_COMPARISON_SCORES ? PITH_RELATION_SQUARED : PITH_RELATION_KL)};
  const pith_tensor_id inputs[5] = {get_own(c, term, term->x), get_own(c, term, term->z), c->values[term->teacher_x],
                                    c->values[term->teacher_z], c->offsets};
  const pith_tensor_id errors = pith_build_operator(builder, rows, &pith_operator_RELATION_ERRORS, 5, inputs, 4, attributes);
  return pith_build_operator(builder, name, &pith_operator_MEAN, 1, &errors, 0, NULL);
}

pith_tensor_id pith_training_add_comparisons(pith_training_build *build, pith_tensor_id loss) {
  pith_builder *builder = &build->rewriter.builder;
  comparer c = {.build = build, .comparisons = build->options->comparisons};
  if (builder->status == PITH_OK)
    builder->status = pith_layers_find(build->from, &build->rewriter.scratch, &c.layers, builder->error);
  if (builder->status == PITH_OK)
    add_inputs(&c);
  add_projection(&c);
  for (uint32_t i = 0; i < c.comparisons->count && builder->status == PITH_OK; i++) {
    const pith_comparison *term = &c.comparisons->list[i];
    char name[32], factor[64], weighted[64], sum[64];
    snprintf(name, sizeof name, "distill.term_%u", i + 1);
    snprintf(factor, sizeof factor, "%s.weight", name);
    snprintf(weighted, sizeof weighted, "%s.weighted", name);
    snprintf(sum, sizeof sum, "%s.sum", name);
    const pith_tensor_id error = term->error == PITH_COMPARISON_HIDDEN ? add_hidden(&c, term, name) : add_relation(&c, term, name);
    const pith_tensor_id part = pith_training_add_product(build, weighted, error, factor, term->weight);
    loss = pith_build_node(builder, sum, PITH_OP_ADD, 2, (pith_tensor_id[]){loss, part}, 0, NULL);
  }
  return loss;
}
