/* The formulas that the BERT family shares, as calls on a graph being built. Names are parameters'
 * full names without
 * ".weight" and ".bias"; the node takes the same name. T tokens, H hidden size. */
#ifndef PITH_MODELS_ENCODER_H
#define PITH_MODELS_ENCODER_H

#include "models/architectures/architecture.h"

/* A name made as printf does, truncated to what a name may hold (a truncated one is reported as a
 * duplicate or missing tensor, never overruns). */
typedef struct pith_name {
  char text[192];
} pith_name;
__attribute__((format(printf, 1, 2))) pith_name pith_name_of(const char *format, ...);

/* table[ids]: a table [rows, features] stored row-major. */
pith_tensor_id pith_encoder_embedding(pith_architecture_build *build, const char *name,
                                      int64_t rows, int64_t features, pith_tensor_id ids);
/* x W^T + b: W [out, in] in stored blocks. */
pith_tensor_id pith_encoder_linear(pith_architecture_build *build, const char *name,
                                   pith_tensor_id x, int64_t out, int64_t in, bool bias);
pith_tensor_id pith_encoder_layer_norm(pith_architecture_build *build, const char *name,
                                       pith_tensor_id x, int64_t features, double epsilon);
pith_tensor_id pith_encoder_act(pith_architecture_build *build, const char *name, pith_tensor_id x,
                                pith_hidden_act act);
pith_tensor_id pith_encoder_add(pith_architecture_build *build, const char *name, pith_tensor_id a,
                                pith_tensor_id b);
/* The first token of each sequence: [sequences, features]. */
pith_tensor_id pith_encoder_first_token(pith_architecture_build *build, const char *name,
                                        pith_tensor_id x);

/* Word + token type + position embeddings and LayerNorm, as in BERT, named "embeddings.*";
 * `features` is the hidden size, or less where a projection follows. Positions count from `start`;
 * with padding_id >= 0 as RoBERTa does. */
pith_tensor_id pith_encoder_bert_embeddings(pith_architecture_build *build, int64_t features,
                                            int64_t start, int64_t padding_id);

/* The parts of one layer, below "PREFIXlayers.N.". */
typedef struct pith_encoder_names {
  const char *layers; /* "encoder.layer" */
  const char *query, *key, *value, *attention_output, *attention_norm;
  const char *intermediate, *output, *output_norm;
} pith_encoder_names;
extern const pith_encoder_names pith_encoder_bert_names;

/* All layers, LayerNorm after each residual sum: x = LN(x + attention(x)); x = LN(x + W2 act(W1
 * x)). */
pith_tensor_id pith_encoder_layers(pith_architecture_build *build, const pith_encoder_names *names,
                                   double epsilon, pith_tensor_id x);

/* Heads that are one product over each token, named "classifier" or "qa_outputs". */
pith_tensor_id pith_encoder_token_head(pith_architecture_build *build, pith_tensor_id hidden);
pith_tensor_id pith_encoder_span_head(pith_architecture_build *build, pith_tensor_id hidden);
/* act(dense(first token)), then the labels. */
pith_tensor_id pith_encoder_sequence_head(pith_architecture_build *build, pith_tensor_id hidden,
                                          const char *dense, pith_hidden_act act,
                                          const char *labels);

/* LN(act(dense(hidden[rows]))) times the word embeddings (or an own matrix where the config does
 * not tie them). */
typedef struct pith_encoder_masked_names {
  const char *dense, *norm, *decoder;
  const char *bias;            /* of the decoder while it is tied: the parameter's whole name */
  const char *word_embeddings; /* below the body's prefix: the tied table */
} pith_encoder_masked_names;
pith_tensor_id pith_encoder_masked_head(pith_architecture_build *build, pith_tensor_id hidden,
                                        const pith_encoder_masked_names *names, int64_t features,
                                        pith_hidden_act act, double epsilon);

/* The keys of config.json that BERT and its near relatives read; each ends its list itself. */
#define PITH_CONFIG_OFFSET(field) offsetof(pith_architecture_config, field)
#define PITH_CONFIG_KEY_INT(key, alias, field, default, min, max)                                  \
  { key, alias, PITH_CONFIG_INT, PITH_CONFIG_OFFSET(field), default, min, max, NULL }
#define PITH_CONFIG_KEY_FLOAT(key, field, default, min, max)                                       \
  { key, NULL, PITH_CONFIG_FLOAT, PITH_CONFIG_OFFSET(field), default, min, max, NULL }
#define PITH_CONFIG_KEY_BOOL(key, field, default)                                                  \
  { key, NULL, PITH_CONFIG_BOOL, PITH_CONFIG_OFFSET(field), default, 0, 1, NULL }
#define PITH_CONFIG_KEY_ACT(key, default)                                                          \
  { key, NULL, PITH_CONFIG_ACT, PITH_CONFIG_OFFSET(hidden_act), default, 0, 0, NULL }
#define PITH_CONFIG_KEY_FALSE(key)                                                                 \
  { key, NULL, PITH_CONFIG_FALSE, 0, 0, 0, 0, NULL }
#define PITH_CONFIG_KEY_TEXT(key, text)                                                            \
  { key, NULL, PITH_CONFIG_TEXT, 0, 0, 0, 0, text }

/* Bounds: far above any published model, far below where sizes would overflow. */
enum {
  PITH_MAX_VOCABULARY = 1 << 24,
  PITH_MAX_FEATURES = 1 << 16,
  PITH_MAX_INTERMEDIATE = PITH_MAX_FEATURES * 4,
  PITH_MAX_LAYERS = 512,
  PITH_MAX_POSITIONS = 1 << 20
};

#define PITH_CONFIG_BERT_KEYS(hidden, layer_count, head_count, intermediate, pad)                  \
  PITH_CONFIG_KEY_INT("vocab_size", NULL, vocab_size, 30522, 1, PITH_MAX_VOCABULARY),              \
      PITH_CONFIG_KEY_INT("hidden_size", NULL, hidden_size, hidden, 1, PITH_MAX_FEATURES),         \
      PITH_CONFIG_KEY_INT("num_hidden_layers", NULL, layers, layer_count, 1, PITH_MAX_LAYERS),     \
      PITH_CONFIG_KEY_INT("num_attention_heads", NULL, heads, head_count, 1, PITH_MAX_FEATURES),   \
      PITH_CONFIG_KEY_INT("intermediate_size", NULL, intermediate_size, intermediate, 1,           \
                          PITH_MAX_INTERMEDIATE),                                                  \
      PITH_CONFIG_KEY_INT("max_position_embeddings", NULL, positions, 512, 1, PITH_MAX_POSITIONS), \
      PITH_CONFIG_KEY_INT("type_vocab_size", NULL, type_vocab_size, 2, 1, PITH_MAX_FEATURES),      \
      PITH_CONFIG_KEY_INT("pad_token_id", NULL, pad_token_id, pad, -1, PITH_MAX_VOCABULARY),       \
      PITH_CONFIG_KEY_ACT("hidden_act", PITH_ACT_GELU),                                            \
      PITH_CONFIG_KEY_FLOAT("layer_norm_eps", layer_norm_eps, 1e-12, 1e-30, 1),                    \
      PITH_CONFIG_KEY_FLOAT("initializer_range", initializer_range, 0.02, 0, 1e6),                 \
      PITH_CONFIG_KEY_BOOL("tie_word_embeddings", tie_word_embeddings, 1),                         \
      PITH_CONFIG_KEY_TEXT("position_embedding_type", "absolute"),                                 \
      PITH_CONFIG_KEY_FALSE("is_decoder"), PITH_CONFIG_KEY_FALSE("add_cross_attention")

#endif
