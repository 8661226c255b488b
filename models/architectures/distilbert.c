/* DistilBERT: Sanh et al. 2019, arXiv:1910.01108. BERT without token types, with names and config
 * keys of its own. */
#include "models/architectures/encoder.h"

#include "engine/ir/operator.h"

/* Fixed in the Hugging Face class; no key of the config. */
static const double layer_norm_eps = 1e-12;

static int64_t get_max_length(const pith_architecture_config *config) {
  return config->positions;
}

static pith_tensor_id build_body(pith_architecture_build *build) {
  static const pith_encoder_names names = {
      .layers = "transformer.layer",
      .query = "attention.q_lin",
      .key = "attention.k_lin",
      .value = "attention.v_lin",
      .attention_output = "attention.out_lin",
      .attention_norm = "sa_layer_norm",
      .intermediate = "ffn.lin1",
      .output = "ffn.lin2",
      .output_norm = "output_layer_norm",
  };
  const pith_architecture_config *config = build->config;
  const char *prefix = build->prefix;
  pith_tensor_id position_inputs[2] = {build->offsets, build->input_ids};
  pith_tensor_id positions =
      pith_build_node(&build->builder, pith_name_of("%sembeddings.positions", prefix).text,
                      PITH_OP_PACKED_POSITIONS, 2, position_inputs, 0, NULL);
  pith_tensor_id words =
      pith_encoder_embedding(build, pith_name_of("%sembeddings.word_embeddings", prefix).text,
                             config->vocab_size, config->hidden_size, build->input_ids);
  pith_tensor_id position_rows =
      pith_encoder_embedding(build, pith_name_of("%sembeddings.position_embeddings", prefix).text,
                             config->positions, config->hidden_size, positions);
  pith_tensor_id x = pith_encoder_add(
      build, pith_name_of("%sembeddings.add_positions", prefix).text, words, position_rows);
  x = pith_encoder_layer_norm(build, pith_name_of("%sembeddings.LayerNorm", prefix).text, x,
                              config->hidden_size, layer_norm_eps);
  return pith_encoder_layers(build, &names, layer_norm_eps, x);
}

static pith_tensor_id build_sequence(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_sequence_head(build, hidden, "pre_classifier", PITH_ACT_RELU, "classifier");
}

static pith_tensor_id build_masked(pith_architecture_build *build, pith_tensor_id hidden) {
  static const pith_encoder_masked_names names = {
      .dense = "vocab_transform",
      .norm = "vocab_layer_norm",
      .decoder = "vocab_projector",
      .bias = "vocab_projector.bias",
      .word_embeddings = "embeddings.word_embeddings",
  };
  return pith_encoder_masked_head(build, hidden, &names, build->config->hidden_size,
                                  (pith_hidden_act)build->config->hidden_act, layer_norm_eps);
}

static const pith_config_key keys[] = {
    PITH_CONFIG_KEY_INT("vocab_size", NULL, vocab_size, 30522, 1, PITH_MAX_VOCABULARY),
    PITH_CONFIG_KEY_INT("dim", "hidden_size", hidden_size, 768, 1, PITH_MAX_FEATURES),
    PITH_CONFIG_KEY_INT("n_layers", "num_hidden_layers", layers, 6, 1, PITH_MAX_LAYERS),
    PITH_CONFIG_KEY_INT("n_heads", "num_attention_heads", heads, 12, 1, PITH_MAX_FEATURES),
    PITH_CONFIG_KEY_INT("hidden_dim", NULL, intermediate_size, 3072, 1, PITH_MAX_INTERMEDIATE),
    PITH_CONFIG_KEY_INT("max_position_embeddings", NULL, positions, 512, 1, PITH_MAX_POSITIONS),
    PITH_CONFIG_KEY_INT("pad_token_id", NULL, pad_token_id, 0, -1, PITH_MAX_VOCABULARY),
    PITH_CONFIG_KEY_ACT("activation", PITH_ACT_GELU),
    PITH_CONFIG_KEY_FLOAT("initializer_range", initializer_range, 0.02, 0, 1e6),
    PITH_CONFIG_KEY_BOOL("tie_word_embeddings", tie_word_embeddings, 1),
    {.name = NULL},
};

static const pith_architecture_head heads[] = {
    {"Model", PITH_HEAD_BODY, NULL},
    {"ForSequenceClassification", PITH_HEAD_SEQUENCE, build_sequence},
    {"ForTokenClassification", PITH_HEAD_TOKEN, pith_encoder_token_head},
    {"ForQuestionAnswering", PITH_HEAD_SPAN, pith_encoder_span_head},
    {"ForMaskedLM", PITH_HEAD_MASKED, build_masked},
    {NULL, PITH_HEAD_BODY, NULL},
};

static const char *const unused[] = {
    "embeddings.position_ids", "vocab_*", "pre_classifier.*", "classifier.*", "qa_outputs.*", NULL};

const pith_architecture pith_architecture_distilbert = {
    .model_type = "distilbert",
    .class_prefix = "DistilBert",
    .prefix = "distilbert.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};
