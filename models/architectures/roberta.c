/* RoBERTa: Liu et al. 2019, arXiv:1907.11692. BERT's encoder; positions count tokens that are not
 * padding and start after the padding's own row. XLM-RoBERTa and CamemBERT are the same graph under
 * other class names. */
#include "models/architectures/encoder.h"

static int64_t get_max_length(const pith_architecture_config *config) {
  return config->positions - config->pad_token_id - 1;
}

static pith_tensor_id build_body(pith_architecture_build *build) {
  const pith_architecture_config *config = build->config;
  if (config->pad_token_id < 0) {
    pith_builder_fail(&build->builder, PITH_UNSUPPORTED,
                      "config: pad_token_id is null; %s counts positions from it",
                      build->row->model_type);
    return PITH_NONE;
  }
  pith_tensor_id x = pith_encoder_bert_embeddings(build, config->hidden_size,
                                                  config->pad_token_id + 1, config->pad_token_id);
  return pith_encoder_layers(build, &pith_encoder_bert_names, config->layer_norm_eps, x);
}

static pith_tensor_id build_sequence(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_sequence_head(build, hidden, "classifier.dense", PITH_ACT_TANH,
                                    "classifier.out_proj");
}

static pith_tensor_id build_masked(pith_architecture_build *build, pith_tensor_id hidden) {
  static const pith_encoder_masked_names names = {
      .dense = "lm_head.dense",
      .norm = "lm_head.layer_norm",
      .decoder = "lm_head.decoder",
      .bias = "lm_head.bias",
      .word_embeddings = "embeddings.word_embeddings",
  };
  /* GELU whatever hidden_act says, as RobertaLMHead. */
  return pith_encoder_masked_head(build, hidden, &names, build->config->hidden_size, PITH_ACT_GELU,
                                  build->config->layer_norm_eps);
}

static const pith_config_key keys[] = {PITH_CONFIG_BERT_KEYS(768, 12, 12, 3072, 1), {.name = NULL}};

static const pith_architecture_head heads[] = {
    {"Model", PITH_HEAD_BODY, NULL},
    {"ForSequenceClassification", PITH_HEAD_SEQUENCE, build_sequence},
    {"ForTokenClassification", PITH_HEAD_TOKEN, pith_encoder_token_head},
    {"ForQuestionAnswering", PITH_HEAD_SPAN, pith_encoder_span_head},
    {"ForMaskedLM", PITH_HEAD_MASKED, build_masked},
    {NULL, PITH_HEAD_BODY, NULL},
};

static const char *const unused[] = {
    "embeddings.position_ids", "pooler.dense.*", "lm_head.*", "classifier.*", "qa_outputs.*", NULL};

const pith_architecture pith_architecture_roberta = {
    .model_type = "roberta",
    .class_prefix = "Roberta",
    .prefix = "roberta.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};

const pith_architecture pith_architecture_xlm_roberta = {
    .model_type = "xlm-roberta",
    .class_prefix = "XLMRoberta",
    .prefix = "roberta.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};

const pith_architecture pith_architecture_camembert = {
    .model_type = "camembert",
    .class_prefix = "Camembert",
    .prefix = "roberta.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};
