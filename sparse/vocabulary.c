#include "sparse/vocabulary.h"

#include <stdlib.h>
#include <string.h>

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
  vocabulary->counts =
      PITH_ARENA_NEW(&vocabulary->arena, uint64_t, model->data.tokenizer->token_count);
  if (vocabulary->counts == NULL)
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

static void see_tokens(pith_vocabulary *v, size_t count) {
  for (size_t i = 0; i < count; i++)
    v->counts[v->ids[i]]++;
}

/* The pieces that an unknown word was matched with until no piece went on: without them it might
 * become known. They are what the longest beginning of the word that is known consists of. */
static pith_status see_beginning(pith_vocabulary *v, const char *word, size_t bytes,
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
    see_tokens(v, count);
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
  see_tokens(v, count);
  v->texts++;
  v->tokens += count;
  for (size_t i = 0; i < count; i++) {
    if (v->ids[i] != unknown || v->sequence[i] > 1)
      continue;
    v->unknown++;
    const uint32_t begin = v->offsets[i][0], end = v->offsets[i][1];
    PITH_TRY(see_beginning(v, (v->sequence[i] == 0 ? text : pair) + begin, end - begin, error));
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

typedef struct frequent_token {
  uint64_t count;
  uint32_t id;
} frequent_token;

static int compare_frequency(const void *a, const void *b) {
  const frequent_token *x = a, *y = b;
  if (x->count != y->count)
    return x->count > y->count ? -1 : 1;
  return (x->id > y->id) - (x->id < y->id);
}

/* Keeps the first `count` tokens and what has to stay with them, and says how many that are. */
static pith_status keep_first(const pith_vocabulary *v, const frequent_token *tokens,
                              uint32_t count, bool *kept, uint32_t *out_kept, pith_error *error) {
  const pith_tokenizer_data *tokenizer = v->model->data.tokenizer;
  memset(kept, 0, tokenizer->token_count * sizeof *kept);
  for (uint32_t i = 0; i < count; i++)
    kept[tokens[i].id] = true;
  PITH_TRY(pith_vocabulary_keep_needed(tokenizer, kept, error));
  const int64_t padding = pith_vocabulary_find_padding(v->model->data.graph);
  if (padding >= tokenizer->token_count)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "padding_id %lld is outside the tokenizer's %u tokens", (long long)padding,
                     tokenizer->token_count);
  if (padding >= 0)
    kept[padding] = true;
  *out_kept = 0;
  for (uint32_t id = 0; id < tokenizer->token_count; id++)
    *out_kept += kept[id];
  return PITH_OK;
}

/* Which tokens stay: the most frequent ones, as many as the limit has room for with what they need,
 * which is never less for more of them. */
static pith_status choose(const pith_vocabulary *v, uint32_t limit, pith_arena *arena,
                          bool **out_kept, pith_error *error) {
  const uint32_t count = v->model->data.tokenizer->token_count;
  frequent_token *tokens = PITH_ARENA_NEW(arena, frequent_token, count);
  bool *kept = *out_kept = PITH_ARENA_NEW(arena, bool, count);
  if (tokens == NULL || kept == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to choose among %u tokens", count);
  uint32_t seen = 0, needed;
  for (uint32_t id = 0; id < count; id++)
    if (v->counts[id] != 0)
      tokens[seen++] = (frequent_token){.count = v->counts[id], .id = id};
  qsort(tokens, seen, sizeof *tokens, compare_frequency);
  PITH_TRY(keep_first(v, tokens, seen, kept, &needed, error));
  if (limit == 0 || needed <= limit)
    return PITH_OK;
  uint32_t low = 0, high = seen; /* low goes (if 0 does), high does not */
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    PITH_TRY(keep_first(v, tokens, middle, kept, &needed, error));
    *(needed <= limit ? &low : &high) = middle;
  }
  PITH_TRY(keep_first(v, tokens, low, kept, &needed, error));
  return needed <= limit
             ? PITH_OK
             : pith_fail(error, PITH_INVALID_ARGUMENT,
                         "a vocabulary of at most %u tokens: %u stay in any case, special ones and "
                         "those that words fall back to",
                         limit, needed);
}

static pith_status prune(pith_vocabulary *v, uint32_t limit, pith_vocabulary_pruned *out,
                         pith_error *error) {
  const pith_tokenizer_data *tokenizer = v->model->data.tokenizer;
  const uint32_t count = tokenizer->token_count;
  if (v->texts == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "no text was given whose tokens would stay");
  bool *kept;
  PITH_TRY(choose(v, limit, &out->arena, &kept, error));
  int32_t *new_ids = PITH_ARENA_NEW(&out->arena, int32_t, count);
  if (new_ids == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %u ids", count);
  for (uint32_t id = 0; id < count; id++)
    new_ids[id] = kept[id] ? (int32_t)out->after++ : -1;
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

pith_status pith_vocabulary_prune(pith_vocabulary *vocabulary, uint32_t limit,
                                  pith_vocabulary_pruned *out, pith_error *error) {
  *out = (pith_vocabulary_pruned){.data = vocabulary->model->data};
  pith_arena_init(&out->arena, &vocabulary->model->allocator);
  out->data.report = NULL; /* measured with all words */
  out->data.report_count = 0;
  return prune(vocabulary, limit, out, error);
}

void pith_vocabulary_pruned_deinit(pith_vocabulary_pruned *pruned) {
  pith_graph_destroy(pruned->graph);
  pith_arena_deinit(&pruned->arena);
}
