#include "sparse/vocabulary.h"

#include <cjson/cJSON.h>

#include "compiler/history.h"
#include "engine/exec/model.h"
#include "quant/quantize.h"
#include "sparse/vocabulary_internal.h"

pith_status pith_vocabulary_init(pith_vocabulary *vocabulary, const pith_model *model,
                                 pith_error *error) {
  *vocabulary = (pith_vocabulary){.model = model};
  pith_arena_init(&vocabulary->arena, &model->allocator);
  if (model->data.tokenizer == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "the model has no tokenizer whose vocabulary could be pruned");
  PITH_TRY(pith_quant_check_float(model->data.graph, error));
  vocabulary->kept = PITH_ARENA_NEW(&vocabulary->arena, bool, model->data.tokenizer->token_count);
  if (vocabulary->kept == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a vocabulary of %u tokens",
                     model->data.tokenizer->token_count);
  return PITH_OK;
}

void pith_vocabulary_deinit(pith_vocabulary *vocabulary) {
  pith_arena_deinit(&vocabulary->arena);
}

/* ---- seeing texts ------------------------------------------------------------------------------
 */

static pith_status reserve(pith_vocabulary *v, size_t count, pith_error *error) {
  if (count <= v->capacity)
    return PITH_OK;
  const size_t capacity = 2 * count;
  v->ids = PITH_ARENA_NEW(&v->arena, int32_t, capacity);
  v->type_ids = PITH_ARENA_NEW(&v->arena, int32_t, capacity);
  v->offsets = pith_arena_array(&v->arena, capacity, sizeof *v->offsets);
  v->sequence = PITH_ARENA_NEW(&v->arena, uint8_t, capacity);
  v->capacity = v->ids == NULL || v->type_ids == NULL || v->offsets == NULL || v->sequence == NULL
                    ? 0
                    : capacity;
  return v->capacity != 0
             ? PITH_OK
             : pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a text of %zu tokens", count);
}

static pith_status encode(pith_vocabulary *v, const char *text, size_t text_bytes, const char *pair,
                          size_t pair_bytes, size_t *out_count, pith_error *error) {
  enum { USUAL = 512 };
  PITH_TRY(reserve(v, USUAL, error));
  for (;;) {
    pith_encoding encoding = {.struct_size = sizeof encoding,
                              .capacity = v->capacity,
                              .ids = v->ids,
                              .type_ids = v->type_ids,
                              .offsets = v->offsets,
                              .sequence = v->sequence};
    const pith_status status =
        pith_encode(v->model, text, text_bytes, pair, pair_bytes, 0, &encoding, error);
    *out_count = encoding.count;
    if (status != PITH_LIMIT || encoding.count <= v->capacity)
      return status;
    PITH_TRY(reserve(v, encoding.count, error));
  }
}

static void keep(pith_vocabulary *v, size_t count) {
  for (size_t i = 0; i < count; i++)
    v->kept[v->ids[i]] = true;
}

/* The pieces that an unknown word was matched with until no piece went on: without them it might
 * become known. They are what the longest beginning of the word that is known consists of. */
static pith_status keep_beginning(pith_vocabulary *v, const char *word, size_t bytes,
                                  pith_error *error) {
  while (bytes > 1) {
    do
      bytes--;
    while (bytes > 1 && ((uint8_t)word[bytes] & 0xC0) == 0x80);
    size_t count;
    PITH_TRY(encode(v, word, bytes, NULL, 0, &count, error));
    bool known = true;
    for (size_t i = 0; i < count; i++)
      known &= v->ids[i] != v->model->data.tokenizer->unk_id;
    keep(v, count);
    if (known)
      return PITH_OK;
  }
  return PITH_OK;
}

pith_status pith_vocabulary_see(pith_vocabulary *v, const char *text, const char *pair,
                                pith_error *error) {
  const int32_t unknown = v->model->data.tokenizer->unk_id;
  size_t count;
  PITH_TRY(encode(v, text, SIZE_MAX, pair, pair == NULL ? 0 : SIZE_MAX, &count, error));
  keep(v, count);
  v->texts++;
  v->tokens += count;
  for (size_t i = 0; i < count; i++) {
    if (v->ids[i] != unknown || v->sequence[i] > 1)
      continue;
    v->unknown++;
    const uint32_t begin = v->offsets[i][0], end = v->offsets[i][1];
    PITH_TRY(keep_beginning(v, (v->sequence[i] == 0 ? text : pair) + begin, end - begin, error));
    PITH_TRY(encode(v, text, SIZE_MAX, pair, pair == NULL ? 0 : SIZE_MAX, &count, error));
  }
  return PITH_OK;
}

/* ---- pruning -----------------------------------------------------------------------------------
 */

/* Ids in the configuration, and how many there are. */
static pith_status write_config(const pith_vocabulary *v, pith_vocabulary_pruned *out,
                                pith_error *error) {
  static const char *const keys[] = {"pad_token_id", "bos_token_id", "eos_token_id",
                                     "cls_token_id", "sep_token_id", "mask_token_id",
                                     "unk_token_id"};
  const char *old = v->model->data.config_json;
  cJSON *config = old == NULL || old[0] == '\0' ? NULL : cJSON_Parse(old);
  if (config == NULL)
    return PITH_OK; /* there is none, or it is not ours to judge */
  bool whole =
      cJSON_GetObjectItemCaseSensitive(config, "vocab_size") == NULL ||
      cJSON_ReplaceItemInObjectCaseSensitive(config, "vocab_size", cJSON_CreateNumber(out->after));
  for (size_t i = 0; i < sizeof keys / sizeof *keys && whole; i++) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(config, keys[i]);
    if (!cJSON_IsNumber(item) || item->valuedouble < 0 ||
        item->valuedouble >= v->model->data.tokenizer->token_count)
      continue;
    const int32_t id = out->new_ids[(uint32_t)item->valuedouble];
    if (id >= 0)
      whole = cJSON_ReplaceItemInObjectCaseSensitive(config, keys[i], cJSON_CreateNumber(id));
    else
      cJSON_DeleteItemFromObjectCaseSensitive(config, keys[i]);
  }
  char *text = whole ? cJSON_Print(config) : NULL;
  const char *copy = text == NULL ? NULL : pith_arena_string(&out->arena, text, strlen(text));
  cJSON_free(text);
  cJSON_Delete(config);
  if (copy == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the model's configuration");
  out->data.config_json = copy;
  return PITH_OK;
}

static pith_status add_history(const pith_vocabulary *v, pith_vocabulary_pruned *out,
                               pith_error *error) {
  cJSON *json = cJSON_CreateObject();
  if (json != NULL && (cJSON_AddNumberToObject(json, "vocabulary", out->after) == NULL ||
                       cJSON_AddNumberToObject(json, "before", out->before) == NULL ||
                       cJSON_AddNumberToObject(json, "texts", (double)v->texts) == NULL ||
                       cJSON_AddNumberToObject(json, "tokens", (double)v->tokens) == NULL)) {
    cJSON_Delete(json);
    json = NULL;
  }
  return pith_history_add(&out->data, "prune", json, &out->arena, error);
}

static pith_status prune(pith_vocabulary *v, pith_vocabulary_pruned *out, pith_error *error) {
  const pith_tokenizer_data *tokenizer = v->model->data.tokenizer;
  const uint32_t count = tokenizer->token_count;
  if (v->texts == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no text was given whose tokens would stay");
  PITH_TRY(pith_vocabulary_keep_needed(tokenizer, v->kept, error));
  const int64_t padding = pith_vocabulary_find_padding(v->model->data.graph);
  if (padding >= count)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "padding_id %lld is outside the tokenizer's %u tokens", (long long)padding,
                     count);
  if (padding >= 0)
    v->kept[padding] = true;
  int32_t *new_ids = PITH_ARENA_NEW(&out->arena, int32_t, count);
  if (new_ids == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u ids", count);
  for (uint32_t id = 0; id < count; id++)
    new_ids[id] = v->kept[id] ? (int32_t)out->after++ : -1;
  out->new_ids = new_ids;
  PITH_TRY(pith_vocabulary_shrink_graph(&v->model->data, new_ids, out->after, &v->model->allocator,
                                        &out->before, &out->graph, error));
  if (out->after == out->before)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "the texts use all %u tokens: nothing would leave", out->before);
  PITH_TRY(pith_vocabulary_make_tokenizer(tokenizer, new_ids, &out->arena, &out->tokenizer, error));
  out->data.graph = out->graph;
  out->data.tokenizer = &out->tokenizer;
  PITH_TRY(write_config(v, out, error));
  return add_history(v, out, error);
}

pith_status pith_vocabulary_prune(pith_vocabulary *vocabulary, pith_vocabulary_pruned *out,
                                  pith_error *error) {
  *out = (pith_vocabulary_pruned){.data = vocabulary->model->data};
  pith_arena_init(&out->arena, &vocabulary->model->allocator);
  out->data.report = NULL; /* measured with all words */
  out->data.report_count = 0;
  return prune(vocabulary, out, error);
}

void pith_vocabulary_pruned_deinit(pith_vocabulary_pruned *pruned) {
  pith_graph_destroy(pruned->graph);
  pith_arena_deinit(&pruned->arena);
}
