#include "models/architectures/architecture.h"

#include <string.h>

#include "engine/ir/operator.h"
#include "models/architectures/encoder.h"

extern const pith_architecture pith_architecture_bert, pith_architecture_camembert,
    pith_architecture_distilbert, pith_architecture_electra, pith_architecture_roberta,
    pith_architecture_xlm_roberta;

const pith_architecture *const pith_architectures[] = {
    &pith_architecture_bert,
    &pith_architecture_roberta,
    &pith_architecture_xlm_roberta,
    &pith_architecture_camembert,
    &pith_architecture_distilbert,
    &pith_architecture_electra,
    NULL,
};

const pith_architecture *pith_architecture_find(const char *model_type) {
  for (size_t i = 0; pith_architectures[i] != NULL; i++)
    if (strcmp(pith_architectures[i]->model_type, model_type) == 0)
      return pith_architectures[i];
  return NULL;
}

const pith_architecture_head *pith_architecture_find_head(const pith_architecture *row,
                                                          const char *class_name) {
  size_t prefix_bytes = strlen(row->class_prefix);
  if (strncmp(class_name, row->class_prefix, prefix_bytes) != 0)
    return NULL;
  for (const pith_architecture_head *head = row->heads; head->class_suffix != NULL; head++)
    if (strcmp(head->class_suffix, class_name + prefix_bytes) == 0)
      return head;
  return NULL;
}

bool pith_hidden_act_find(const char *name, pith_hidden_act *out_act) {
  static const struct {
    const char *name;
    pith_hidden_act act;
  } names[] = {
#define PITH_HIDDEN_ACT_NAME(id, name) {name, PITH_ACT_##id},
      PITH_HIDDEN_ACT_LIST(PITH_HIDDEN_ACT_NAME)
#undef PITH_HIDDEN_ACT_NAME
      /* Other names for the same formulas. */
      {"gelu_python", PITH_ACT_GELU},
      {"gelu_pytorch_tanh", PITH_ACT_GELU_TANH},
      {"gelu_python_tanh", PITH_ACT_GELU_TANH},
      {"gelu_fast", PITH_ACT_GELU_TANH},
      {"gelu_accurate", PITH_ACT_GELU_TANH},
      {"swish", PITH_ACT_SILU},
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(names[i].name, name) == 0) {
      *out_act = names[i].act;
      return true;
    }
  return false;
}

/* What no single key's range says. */
static pith_status check_config(const pith_architecture_request *request, pith_error *error) {
  const pith_architecture_config *config = request->config;
  if (config->hidden_size % config->heads != 0)
    return pith_fail(error, PITH_FORMAT,
                     "config: hidden size %lld is no multiple of %lld attention heads",
                     (long long)config->hidden_size, (long long)config->heads);
  if (config->pad_token_id >= config->vocab_size)
    return pith_fail(error, PITH_FORMAT,
                     "config: pad_token_id %lld is outside the vocabulary of %lld",
                     (long long)config->pad_token_id, (long long)config->vocab_size);
  if (request->row->get_max_length(config) < 1)
    return pith_fail(error, PITH_FORMAT,
                     "config: max_position_embeddings %lld leaves no position for a token",
                     (long long)config->positions);
  if (request->head->head == PITH_HEAD_SPAN && config->label_count != 2)
    return pith_fail(error, PITH_UNSUPPORTED,
                     "config: question answering with %lld labels; 2 are supported",
                     (long long)config->label_count);
  return PITH_OK;
}

/* The modules of a sentence embedding after the body; `features` flow between them. */
static pith_tensor_id build_modules(pith_architecture_build *build,
                                    const pith_architecture_request *request, pith_tensor_id x) {
  int64_t features = request->config->hidden_size;
  bool pooled = false;
  for (size_t i = 0; i < request->module_count && build->builder.status == PITH_OK; i++) {
    const pith_embedding_module *module = &request->modules[i];
    if (module->kind == PITH_EMBEDDING_POOL) {
      if (pooled)
        pith_builder_fail(&build->builder, PITH_UNSUPPORTED, "modules.json: a second Pooling");
      pooled = true;
      pith_tensor_id inputs[2] = {x, build->offsets};
      pith_attribute_setting attributes[1] = {PITH_SET_ENUM("mode", module->pool_mode)};
      x = pith_build_node(&build->builder, "pooling", PITH_OP_SEQUENCE_POOL, 2, inputs, 1,
                          attributes);
    } else if (!pooled) {
      pith_builder_fail(&build->builder, PITH_UNSUPPORTED,
                        "modules.json: a module stands before Pooling");
    } else if (module->kind == PITH_EMBEDDING_DENSE) {
      if (module->in != features)
        pith_builder_fail(&build->builder, PITH_FORMAT,
                          "%s: in_features %lld, where %lld features come in", module->name,
                          (long long)module->in, (long long)features);
      x = pith_encoder_linear(build, pith_name_of("%s.linear", module->name).text, x, module->out,
                              module->in, module->bias);
      x = pith_encoder_act(build, pith_name_of("%s.act", module->name).text, x, module->act);
      features = module->out;
    } else {
      pith_attribute_setting attributes[2] = {PITH_SET_INT("axis", -1), PITH_SET_INT("p", 2)};
      x = pith_build_node(&build->builder, pith_name_of("normalize.%zu", i).text,
                          PITH_OP_LP_NORMALIZATION, 1, &x, 2, attributes);
    }
  }
  if (!pooled)
    pith_builder_fail(&build->builder, PITH_UNSUPPORTED, "modules.json: no Pooling");
  return x;
}

static pith_status build_graph(pith_graph *graph, const pith_architecture_request *request,
                               pith_error *error) {
  pith_architecture_build build = {.row = request->row, .config = request->config};
  pith_builder_init(&build.builder, graph, error);
  build.prefix = request->head->head == PITH_HEAD_BODY ? "" : request->row->prefix;
  build.tokens = pith_build_dim(&build.builder, "tokens", 1, 0);
  build.sequences = pith_build_dim(&build.builder, "sequences", 1, 0);
  pith_dim offset_count = pith_build_dim(&build.builder, "sequences", 1, 1);
  build.input_ids = pith_build_input(&build.builder, "input_ids", PITH_DTYPE_S32, 1, &build.tokens);
  build.offsets = pith_build_input(&build.builder, "offsets", PITH_DTYPE_S32, 1, &offset_count);

  pith_tensor_id x = request->row->build_body(&build);
  const char *output = "last_hidden_state";
  if (request->module_count != 0) {
    x = build_modules(&build, request, x);
    output = "embedding";
  } else if (request->head->build != NULL) {
    x = request->head->build(&build, x);
    output = "logits";
  }
  pith_build_output(&build.builder, x, output);
  return pith_builder_finish(&build.builder);
}

pith_status pith_architecture_build_graph(const pith_architecture_request *request,
                                          const pith_allocator *allocator, pith_graph **out_graph,
                                          pith_error *error) {
  PITH_TRY(check_config(request, error));
  if (request->module_count != 0 && request->head->head != PITH_HEAD_BODY)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "embedding modules need the body alone, not %s%s", request->row->class_prefix,
                     request->head->class_suffix);
  pith_graph *graph;
  PITH_TRY(pith_graph_create(allocator, request->row->model_type, &graph, error));
  pith_status status = build_graph(graph, request, error);
  if (status != PITH_OK) {
    pith_graph_destroy(graph);
    return status;
  }
  *out_graph = graph;
  return PITH_OK;
}
