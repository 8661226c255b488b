/* BERT (and MiniLM, which differs by its sizes only): Devlin et al. 2018, arXiv:1810.04805; names
 * and formulas of the Hugging Face classes Bert*. */
#include "models/architectures/encoder.h"

static int64_t get_max_length(const pith_architecture_config *config) {
  return config->positions;
}

static pith_tensor_id build_body(pith_architecture_build *build) {
  pith_tensor_id x = pith_encoder_bert_embeddings(build, build->config->hidden_size, 0, -1);
  return pith_encoder_layers(build, &pith_encoder_bert_names, build->config->layer_norm_eps, x);
}

static pith_tensor_id build_sequence(pith_architecture_build *build, pith_tensor_id hidden) {
  return pith_encoder_sequence_head(build, hidden, "bert.pooler.dense", PITH_ACT_TANH,
                                    "classifier");
}

static pith_tensor_id build_masked(pith_architecture_build *build, pith_tensor_id hidden) {
  static const pith_encoder_masked_names names = {
      .dense = "cls.predictions.transform.dense",
      .norm = "cls.predictions.transform.LayerNorm",
      .decoder = "cls.predictions.decoder",
      .bias = "cls.predictions.bias",
      .word_embeddings = "embeddings.word_embeddings",
  };
  return pith_encoder_masked_head(build, hidden, &names, build->config->hidden_size,
                                  (pith_hidden_act)build->config->hidden_act,
                                  build->config->layer_norm_eps);
}

static const pith_config_key keys[] = {PITH_CONFIG_BERT_KEYS(768, 12, 12, 3072, 0), {.name = NULL}};

static const pith_architecture_head heads[] = {
    {"Model", PITH_HEAD_BODY, NULL},
    {"ForSequenceClassification", PITH_HEAD_SEQUENCE, build_sequence},
    {"ForTokenClassification", PITH_HEAD_TOKEN, pith_encoder_token_head},
    {"ForQuestionAnswering", PITH_HEAD_SPAN, pith_encoder_span_head},
    {"ForMaskedLM", PITH_HEAD_MASKED, build_masked},
    {"ForPreTraining", PITH_HEAD_MASKED, build_masked}, /* its next-sentence head is left out */
    {NULL, PITH_HEAD_BODY, NULL},
};

static const char *const unused[] = {
    "embeddings.position_ids", "pooler.dense.*", "cls.*", "classifier.*", "qa_outputs.*", NULL};

const pith_architecture pith_architecture_bert = {
    .model_type = "bert",
    .class_prefix = "Bert",
    .prefix = "bert.",
    .keys = keys,
    .heads = heads,
    .unused = unused,
    .get_max_length = get_max_length,
    .build_body = build_body,
};
