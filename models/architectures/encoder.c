#include "models/architectures/encoder.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/ir/operator.h"

pith_name pith_name_of(const char *format, ...) {
  pith_name name;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(name.text, sizeof name.text, format, arguments);
  va_end(arguments);
  return name;
}

/* A parameter without data yet; the builder computes its size. */
static pith_tensor_id add_parameter(pith_architecture_build *build, const char *name, uint32_t rank,
                                    const int64_t *dims, pith_layout layout) {
  return pith_build_data(&build->builder, PITH_TENSOR_PARAMETER, name, PITH_DTYPE_F32, rank, dims,
                         layout, NULL, 0);
}

static pith_tensor_id add_vector(pith_architecture_build *build, const char *name, int64_t count) {
  return add_parameter(build, name, 1, &count, PITH_LAYOUT_ROW_MAJOR);
}

static pith_tensor_id add_node(pith_architecture_build *build, const char *name,
                               pith_operator_id op, uint32_t input_count,
                               const pith_tensor_id *inputs, uint32_t attribute_count,
                               const pith_attribute_setting *attributes) {
  return pith_build_node(&build->builder, name, (int)op, input_count, inputs, attribute_count,
                         attributes);
}

pith_tensor_id pith_encoder_embedding(pith_architecture_build *build, const char *name,
                                      int64_t rows, int64_t features, pith_tensor_id ids) {
  int64_t dims[2] = {rows, features};
  pith_tensor_id table =
      add_parameter(build, pith_name_of("%s.weight", name).text, 2, dims, PITH_LAYOUT_ROW_MAJOR);
  pith_tensor_id inputs[2] = {table, ids};
  return add_node(build, name, PITH_OP_GATHER, 2, inputs, 0, NULL);
}

static pith_tensor_id add_gemm(pith_architecture_build *build, const char *name, pith_tensor_id x,
                               pith_tensor_id weight, pith_tensor_id bias) {
  pith_tensor_id inputs[3] = {x, weight, bias};
  pith_attribute_setting attributes[1] = {PITH_SET_INT("transB", 1)};
  return add_node(build, name, PITH_OP_GEMM, bias == PITH_NONE ? 2 : 3, inputs, 1, attributes);
}

pith_tensor_id pith_encoder_linear(pith_architecture_build *build, const char *name,
                                   pith_tensor_id x, int64_t out, int64_t in, bool bias) {
  int64_t dims[2] = {out, in};
  pith_tensor_id weight =
      add_parameter(build, pith_name_of("%s.weight", name).text, 2, dims, PITH_LAYOUT_N64_F32);
  pith_tensor_id offset =
      bias ? add_vector(build, pith_name_of("%s.bias", name).text, out) : PITH_NONE;
  return add_gemm(build, name, x, weight, offset);
}

pith_tensor_id pith_encoder_layer_norm(pith_architecture_build *build, const char *name,
                                       pith_tensor_id x, int64_t features, double epsilon) {
  pith_tensor_id scale = add_vector(build, pith_name_of("%s.weight", name).text, features);
  pith_tensor_id bias = add_vector(build, pith_name_of("%s.bias", name).text, features);
  pith_tensor_id inputs[3] = {x, scale, bias};
  pith_attribute_setting attributes[2] = {PITH_SET_INT("axis", -1),
                                          PITH_SET_FLOAT("epsilon", epsilon)};
  return add_node(build, name, PITH_OP_LAYER_NORMALIZATION, 3, inputs, 2, attributes);
}

pith_tensor_id pith_encoder_act(pith_architecture_build *build, const char *name, pith_tensor_id x,
                                pith_hidden_act act) {
  pith_attribute_setting tanh_form[1] = {PITH_SET_ENUM("approximate", PITH_GELU_TANH)};
  switch (act) {
  case PITH_ACT_GELU:
    return add_node(build, name, PITH_OP_GELU, 1, &x, 0, NULL);
  case PITH_ACT_GELU_TANH:
    return add_node(build, name, PITH_OP_GELU, 1, &x, 1, tanh_form);
  case PITH_ACT_RELU:
    return add_node(build, name, PITH_OP_RELU, 1, &x, 0, NULL);
  case PITH_ACT_TANH:
    return add_node(build, name, PITH_OP_TANH, 1, &x, 0, NULL);
  case PITH_ACT_SILU: {
    pith_tensor_id gate =
        add_node(build, pith_name_of("%s.sigmoid", name).text, PITH_OP_SIGMOID, 1, &x, 0, NULL);
    pith_tensor_id inputs[2] = {x, gate};
    return add_node(build, name, PITH_OP_MUL, 2, inputs, 0, NULL);
  }
  case PITH_ACT_IDENTITY:
    return x;
  }
  pith_builder_fail(&build->builder, PITH_INVALID_ARGUMENT,
                    "%s: activation %d is none of the table", name, (int)act);
  return PITH_NONE;
}

pith_tensor_id pith_encoder_add(pith_architecture_build *build, const char *name, pith_tensor_id a,
                                pith_tensor_id b) {
  pith_tensor_id inputs[2] = {a, b};
  return add_node(build, name, PITH_OP_ADD, 2, inputs, 0, NULL);
}

pith_tensor_id pith_encoder_first_token(pith_architecture_build *build, const char *name,
                                        pith_tensor_id x) {
  pith_tensor_id inputs[2] = {x, build->offsets};
  pith_attribute_setting attributes[1] = {PITH_SET_ENUM("mode", PITH_POOL_CLS)};
  return add_node(build, name, PITH_OP_SEQUENCE_POOL, 2, inputs, 1, attributes);
}

pith_tensor_id pith_encoder_bert_embeddings(pith_architecture_build *build, int64_t features,
                                            int64_t start, int64_t padding_id) {
  const pith_architecture_config *config = build->config;
  const char *prefix = build->prefix;
  pith_tensor_id types =
      pith_build_input(&build->builder, "token_type_ids", PITH_DTYPE_S32, 1, &build->tokens);
  pith_tensor_id position_inputs[2] = {build->offsets, build->input_ids};
  pith_attribute_setting position_attributes[2] = {PITH_SET_INT("start", start),
                                                   PITH_SET_INT("padding_id", padding_id)};
  pith_tensor_id positions =
      add_node(build, pith_name_of("%sembeddings.positions", prefix).text, PITH_OP_PACKED_POSITIONS,
               2, position_inputs, 2, position_attributes);

  pith_tensor_id words =
      pith_encoder_embedding(build, pith_name_of("%sembeddings.word_embeddings", prefix).text,
                             config->vocab_size, features, build->input_ids);
  pith_tensor_id type_rows =
      pith_encoder_embedding(build, pith_name_of("%sembeddings.token_type_embeddings", prefix).text,
                             config->type_vocab_size, features, types);
  pith_tensor_id position_rows =
      pith_encoder_embedding(build, pith_name_of("%sembeddings.position_embeddings", prefix).text,
                             config->positions, features, positions);
  /* The order of the Hugging Face classes: it decides the last bits of the sum. */
  pith_tensor_id sum = pith_encoder_add(build, pith_name_of("%sembeddings.add_types", prefix).text,
                                        words, type_rows);
  sum = pith_encoder_add(build, pith_name_of("%sembeddings.add_positions", prefix).text, sum,
                         position_rows);
  return pith_encoder_layer_norm(build, pith_name_of("%sembeddings.LayerNorm", prefix).text, sum,
                                 features, config->layer_norm_eps);
}

const pith_encoder_names pith_encoder_bert_names = {
    .layers = "encoder.layer",
    .query = "attention.self.query",
    .key = "attention.self.key",
    .value = "attention.self.value",
    .attention_output = "attention.output.dense",
    .attention_norm = "attention.output.LayerNorm",
    .intermediate = "intermediate.dense",
    .output = "output.dense",
    .output_norm = "output.LayerNorm",
};

static pith_layer_sizes get_layer_sizes(const pith_architecture_config *config, int64_t layer) {
  return config->layer_sizes != NULL
             ? config->layer_sizes[layer]
             : (pith_layer_sizes){config->heads, config->intermediate_size};
}

pith_tensor_id pith_encoder_layers(pith_architecture_build *build, const pith_encoder_names *names,
                                   double epsilon, pith_tensor_id x) {
  const pith_architecture_config *config = build->config;
  int64_t hidden = config->hidden_size;
  for (int64_t layer = 0; layer < config->layers && build->builder.status == PITH_OK; layer++) {
    const pith_layer_sizes sizes = get_layer_sizes(config, layer);
    const int64_t inner = sizes.intermediate_size;
    const int64_t width = hidden / config->heads * sizes.heads; /* of all the layer's heads */
    pith_name base = pith_name_of("%s%s.%d.", build->prefix, names->layers, (int)layer);
#define NAME(part) pith_name_of("%.100s%s", base.text, part).text
    pith_tensor_id query = pith_encoder_linear(build, NAME(names->query), x, width, hidden, true);
    pith_tensor_id key = pith_encoder_linear(build, NAME(names->key), x, width, hidden, true);
    pith_tensor_id value = pith_encoder_linear(build, NAME(names->value), x, width, hidden, true);
    pith_tensor_id inputs[5] = {query, key, value, build->offsets, build->offsets};
    pith_attribute_setting attributes[1] = {PITH_SET_INT("num_heads", sizes.heads)};
    pith_tensor_id mixed =
        add_node(build, NAME("attention.self"), PITH_OP_PACKED_ATTENTION, 5, inputs, 1, attributes);
    pith_tensor_id y =
        pith_encoder_linear(build, NAME(names->attention_output), mixed, hidden, width, true);
    x = pith_encoder_add(build, NAME("attention.residual"), y, x);
    x = pith_encoder_layer_norm(build, NAME(names->attention_norm), x, hidden, epsilon);

    y = pith_encoder_linear(build, NAME(names->intermediate), x, inner, hidden, true);
    y = pith_encoder_act(build, NAME("intermediate.act"), y, (pith_hidden_act)config->hidden_act);
    y = pith_encoder_linear(build, NAME(names->output), y, hidden, inner, true);
    x = pith_encoder_add(build, NAME("output.residual"), y, x);
    x = pith_encoder_layer_norm(build, NAME(names->output_norm), x, hidden, epsilon);
#undef NAME
  }
  return x;
}

pith_tensor_id pith_encoder_token_head(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_linear(build, "classifier", hidden, build->config->label_count,
                             build->config->hidden_size, true);
}

pith_tensor_id pith_encoder_span_head(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_linear(build, "qa_outputs", hidden, 2, build->config->hidden_size, true);
}

pith_tensor_id pith_encoder_sequence_head(pith_architecture_build *build, pith_tensor_id hidden,
                                          const char *dense, pith_hidden_act act,
                                          const char *labels) {
  int64_t features = build->config->hidden_size;
  pith_tensor_id x = pith_encoder_first_token(build, "first_token", hidden);
  x = pith_encoder_linear(build, dense, x, features, features, true);
  x = pith_encoder_act(build, pith_name_of("%s.act", dense).text, x, act);
  return pith_encoder_linear(build, labels, x, build->config->label_count, features, true);
}

pith_tensor_id pith_encoder_masked_head(pith_architecture_build *build, pith_tensor_id hidden,
                                        const pith_encoder_masked_names *names, int64_t features,
                                        pith_hidden_act act, double epsilon) {
  pith_builder *builder = &build->builder;
  const pith_architecture_config *config = build->config;
  pith_dim row_count = pith_build_dim(builder, "rows", 1, 0);
  pith_tensor_id rows = pith_build_input(builder, "rows", PITH_DTYPE_S32, 1, &row_count);
  pith_tensor_id gather_inputs[2] = {hidden, rows};
  pith_tensor_id x = add_node(build, "wanted_rows", PITH_OP_GATHER, 2, gather_inputs, 0, NULL);
  x = pith_encoder_linear(build, names->dense, x, features, config->hidden_size, true);
  x = pith_encoder_act(build, pith_name_of("%s.act", names->dense).text, x, act);
  x = pith_encoder_layer_norm(build, names->norm, x, features, epsilon);
  if (!config->tie_word_embeddings)
    return pith_encoder_linear(build, names->decoder, x, config->vocab_size, features, true);
  if (builder->status != PITH_OK)
    return PITH_NONE;
  pith_name table_name = pith_name_of("%s%s.weight", build->prefix, names->word_embeddings);
  pith_tensor_id table = pith_graph_find_tensor(builder->graph, table_name.text);
  if (table == PITH_NONE)
    pith_builder_fail(builder, PITH_FORMAT, "%s: the decoder is tied to it and the body has none",
                      table_name.text);
  return add_gemm(build, names->decoder, x, table,
                  add_vector(build, names->bias, config->vocab_size));
}
