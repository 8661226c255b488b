/* ELECTRA: Clark et al. 2020, arXiv:2003.10555. BERT's encoder; embeddings may be narrower than the
 * hidden size and are then projected; heads of its own. */
#include "models/architectures/encoder.h"

static int64_t get_max_length(const pith_architecture_config *config) {
  return config->positions;
}

static pith_tensor_id build_body(pith_architecture_build *build) {
  const pith_architecture_config *config = build->config;
  pith_tensor_id x = pith_encoder_bert_embeddings(build, config->embedding_size, 0, -1);
  if (config->embedding_size != config->hidden_size)
    x = pith_encoder_linear(build, pith_name_of("%sembeddings_project", build->prefix).text, x,
                            config->hidden_size, config->embedding_size, true);
  return pith_encoder_layers(build, &pith_encoder_bert_names, config->layer_norm_eps, x);
}

static pith_tensor_id build_sequence(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_sequence_head(build, hidden, "classifier.dense", PITH_ACT_GELU,
                                    "classifier.out_proj");
}

static pith_tensor_id build_masked(pith_architecture_build *build, pith_tensor_id hidden) {
  static const pith_encoder_masked_names names = {
      .dense = "generator_predictions.dense",
      .norm = "generator_predictions.LayerNorm",
      .decoder = "generator_lm_head",
      .bias = "generator_lm_head.bias",
      .word_embeddings = "embeddings.word_embeddings",
  };
  /* GELU whatever hidden_act says, as ElectraGeneratorPredictions. */
  return pith_encoder_masked_head(build, hidden, &names, build->config->embedding_size,
                                  PITH_ACT_GELU, build->config->layer_norm_eps);
}

static const pith_config_key keys[] = {
    PITH_CONFIG_BERT_KEYS(256, 12, 4, 1024, 0),
    PITH_CONFIG_KEY_INT("embedding_size", NULL, embedding_size, 128, 1, PITH_MAX_FEATURES),
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

static const char *const unused[] = {"embeddings.position_ids",
                                     "generator_*",
                                     "discriminator_predictions.*",
                                     "classifier.*",
                                     "qa_outputs.*",
                                     NULL};

const pith_architecture pith_architecture_electra = {
    .model_type = "electra",
    .class_prefix = "Electra",
    .prefix = "electra.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};
