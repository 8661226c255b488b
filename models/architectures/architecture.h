/* Architectures: how a model of one family is built in the graph IR. One file and one row each.
 *
 * A row says which keys of config.json it reads, which heads it has, and how they are built.
 * Building needs no weights: parameters carry the names of the Hugging Face class and are filled
 * afterwards, from a checkpoint or with random numbers. See docs/adding-an-architecture.md. */
#ifndef PITH_MODELS_ARCHITECTURE_H
#define PITH_MODELS_ARCHITECTURE_H

#include "engine/ir/graph.h"

/* ---- configuration
 * ------------------------------------------------------------------------------------ */

/* identifier, name in config.json; several names may mean one function. */
#define PITH_HIDDEN_ACT_LIST(X)                                                                    \
  X(GELU, "gelu")                                                                                  \
  X(GELU_TANH, "gelu_new")                                                                         \
  X(RELU, "relu")                                                                                  \
  X(SILU, "silu")                                                                                  \
  X(TANH, "tanh")                                                                                  \
  X(IDENTITY, "linear")
typedef enum pith_hidden_act {
#define PITH_HIDDEN_ACT_ENUM(id, name) PITH_ACT_##id,
  PITH_HIDDEN_ACT_LIST(PITH_HIDDEN_ACT_ENUM)
#undef PITH_HIDDEN_ACT_ENUM
} pith_hidden_act;

/* False where `name` (as in config.json's hidden_act) is not supported. */
bool pith_hidden_act_find(const char *name, pith_hidden_act *out_act);

/* What a layer has that lost heads or neurons; a head keeps its features, hidden_size over the
 * config's heads. */
typedef struct pith_layer_sizes {
  int64_t heads, intermediate_size;
} pith_layer_sizes;

typedef struct pith_architecture_config {
  int64_t vocab_size, hidden_size, layers, heads, intermediate_size, positions, type_vocab_size;
  int64_t embedding_size; /* ELECTRA; elsewhere 0 */
  int64_t pad_token_id;   /* -1: none */
  int64_t label_count;
  int64_t hidden_act;          /* pith_hidden_act */
  int64_t tie_word_embeddings; /* 0 or 1 */
  double layer_norm_eps, initializer_range;
  const pith_layer_sizes *layer_sizes; /* [layers]; NULL: all have `heads`, `intermediate_size` */
} pith_architecture_config;

typedef enum pith_config_type {
  PITH_CONFIG_INT,   /* to an int64_t field */
  PITH_CONFIG_FLOAT, /* to a double field */
  PITH_CONFIG_BOOL,  /* to an int64_t field */
  PITH_CONFIG_ACT,   /* a text, to an int64_t field */
  PITH_CONFIG_FALSE, /* no field: anything but false is not supported */
  PITH_CONFIG_TEXT,  /* no field: anything but `text` is not supported */
} pith_config_type;

/* One key of config.json. A key that is absent or null takes its default, as in the Hugging Face
 * class. */
typedef struct pith_config_key {
  const char *name;
  const char *alias; /* a second name that the class accepts, or NULL */
  pith_config_type type;
  size_t offset; /* into pith_architecture_config */
  double default_value, min, max;
  const char *text;
} pith_config_key;

/* ---- building
 * ----------------------------------------------------------------------------------------- */

struct pith_architecture;

/* A graph while it is being built. */
typedef struct pith_architecture_build {
  pith_builder builder;
  const struct pith_architecture *row;
  const pith_architecture_config *config;
  const char *prefix; /* of the body's parameters: "bert." below a head, "" for the body alone */
  pith_dim tokens, sequences;
  pith_tensor_id input_ids, offsets;
} pith_architecture_build;

typedef enum pith_head {
  PITH_HEAD_BODY,     /* no head: last_hidden_state [tokens, hidden] */
  PITH_HEAD_SEQUENCE, /* logits [sequences, labels] */
  PITH_HEAD_TOKEN,    /* logits [tokens, labels] */
  PITH_HEAD_SPAN,     /* logits [tokens, 2]: start and end */
  PITH_HEAD_MASKED,   /* logits [rows, vocabulary], of the tokens that the input `rows` names */
} pith_head;

typedef struct pith_architecture_head {
  const char *class_suffix; /* "ForSequenceClassification"; NULL ends the list */
  pith_head head;
  /* hidden [tokens, hidden] to logits; NULL for the body alone */
  pith_tensor_id (*build)(pith_architecture_build *build, pith_tensor_id hidden);
} pith_architecture_head;

typedef struct pith_architecture {
  const char *model_type;              /* config.json's, and the file's architecture: "bert" */
  const char *class_prefix;            /* "Bert": a class is this and a head's suffix */
  const char *prefix;                  /* of the body's parameters below a head: "bert." */
  const pith_config_key *keys;         /* ends with a NULL name */
  const pith_architecture_head *heads; /* ends with a NULL suffix */
  const char *const
      *unused; /* patterns (fnmatch) of tensors, prefix removed, that checkpoints carry for other
                  heads; any other tensor that the graph does not use is an error; ends with NULL */
  int64_t (*get_max_length)(
      const pith_architecture_config *config); /* tokens that the positions allow */
  pith_tensor_id (*build_body)(
      pith_architecture_build *build); /* last hidden state [tokens, hidden] */
} pith_architecture;

extern const pith_architecture *const pith_architectures[]; /* NULL-terminated */

/* NULL: not supported. */
const pith_architecture *pith_architecture_find(const char *model_type);
/* The head of a class such as "BertForMaskedLM"; NULL: none. */
const pith_architecture_head *pith_architecture_find_head(const pith_architecture *row,
                                                          const char *class_name);

/* What sentence-transformers puts after the body. */
typedef enum pith_embedding_module_kind {
  PITH_EMBEDDING_POOL,
  PITH_EMBEDDING_DENSE,
  PITH_EMBEDDING_NORMALIZE,
} pith_embedding_module_kind;
typedef struct pith_embedding_module {
  pith_embedding_module_kind kind;
  int pool_mode;       /* PITH_POOL_* of operator.h */
  const char *name;    /* Dense: its parameters are NAME.linear.weight and NAME.linear.bias */
  int64_t in, out;     /* Dense: features */
  bool bias;           /* Dense */
  pith_hidden_act act; /* Dense */
} pith_embedding_module;

typedef struct pith_architecture_request {
  const pith_architecture *row;
  const pith_architecture_head *head;
  const pith_architecture_config *config;
  size_t module_count; /* sentence embedding, on the body alone; else 0 */
  const pith_embedding_module *modules;
} pith_architecture_request;

/* Checks the configuration's numbers against each other and builds a verified graph without
 * weights. The caller destroys it. */
PITH_WARN_UNUSED pith_status pith_architecture_build_graph(const pith_architecture_request *request,
                                                           const pith_allocator *allocator,
                                                           pith_graph **out_graph,
                                                           pith_error *error);

#endif
