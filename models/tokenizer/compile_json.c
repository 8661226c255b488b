/* tokenizer.json: what of it can be expressed, and the name and value of what cannot. */
#include "models/tokenizer/compile_internal.h"

typedef struct json_reader {
  pith_draft *draft;
  pith_arena *arena;
  int cased;
  pith_error *error;
} json_reader;

static pith_status text_of(const json_reader *reader, const cJSON *string, const char *key,
                           pith_draft_text *out) {
  if (!cJSON_IsString(string))
    return pith_fail(reader->error, PITH_FORMAT, "%s: %s is not a string", reader->draft->file,
                     key);
  size_t bytes = strlen(string->valuestring);
  char *copy = pith_arena_string(reader->arena, string->valuestring, bytes);
  if (copy == NULL)
    return pith_fail(reader->error, PITH_OUT_OF_MEMORY, "%s: out of memory", reader->draft->file);
  *out = (pith_draft_text){copy, (uint32_t)bytes};
  return PITH_OK;
}

static pith_status type_of(const json_reader *reader, const cJSON *object, const char *key,
                           const char **out_type) {
  const cJSON *type = pith_json_get(object, "type");
  if (!cJSON_IsString(type))
    return pith_fail(reader->error, PITH_FORMAT, "%s: %s has no type", reader->draft->file, key);
  *out_type = type->valuestring;
  return PITH_OK;
}

static pith_status unsupported(const json_reader *reader, const char *key, const char *value) {
  return pith_fail(reader->error, PITH_UNSUPPORTED, "%s: %s \"%.100s\" is not supported",
                   reader->draft->file, key, value);
}

/* ---- normalizer
 * --------------------------------------------------------------------------------------- */

static pith_status bert_normalizer(json_reader *reader, const cJSON *object) {
  bool clean = true, chinese = true, lowercase = true;
  const char *file = reader->draft->file;
  PITH_TRY(pith_json_bool(file, object, "clean_text", &clean, reader->error));
  PITH_TRY(pith_json_bool(file, object, "handle_chinese_chars", &chinese, reader->error));
  PITH_TRY(pith_json_bool(file, object, "lowercase", &lowercase, reader->error));
  if (reader->cased >= 0)
    lowercase = reader->cased == 0;
  bool strip = lowercase;
  PITH_TRY(pith_json_bool(file, object, "strip_accents", &strip, reader->error));
  return pith_draft_bert_normalizer(reader->draft, clean, chinese, strip, lowercase, reader->error);
}

/* Those that are one step; BertNormalizer and Sequence are made of them. */
static const struct {
  const char *type;
  pith_normalize_step step;
} step_types[] = {
    {"NFC", PITH_NORMALIZE_NFC},
    {"NFD", PITH_NORMALIZE_NFD},
    {"NFKC", PITH_NORMALIZE_NFKC},
    {"NFKD", PITH_NORMALIZE_NFKD},
    {"StripAccents", PITH_NORMALIZE_STRIP_MARKS},
    {"Lowercase", PITH_NORMALIZE_LOWERCASE},
};

static pith_status read_normalizer(json_reader *reader, const cJSON *object, unsigned depth) {
  if (object == NULL)
    return PITH_OK;
  const char *type = "";
  PITH_TRY(type_of(reader, object, "normalizer", &type));
  if (strcmp(type, "BertNormalizer") == 0)
    return bert_normalizer(reader, object);
  if (strcmp(type, "Sequence") == 0 && depth == 0) {
    const cJSON *list = pith_json_get(object, "normalizers"), *item;
    if (!cJSON_IsArray(list))
      return pith_fail(reader->error, PITH_FORMAT, "%s: normalizer.normalizers is not an array",
                       reader->draft->file);
    cJSON_ArrayForEach(item, list) PITH_TRY(read_normalizer(reader, item, depth + 1));
    return PITH_OK;
  }
  for (size_t i = 0; i < sizeof step_types / sizeof *step_types; i++)
    if (strcmp(type, step_types[i].type) == 0)
      return pith_draft_add_step(reader->draft, step_types[i].step, reader->error);
  return unsupported(reader, "normalizer type", type);
}

static pith_status check_forms(const json_reader *reader) {
  unsigned forms = 0;
  for (uint32_t packed = reader->draft->normalizer; packed != 0; packed >>= 4) {
    uint32_t step = packed & 15;
    forms += step == PITH_NORMALIZE_NFC || step == PITH_NORMALIZE_NFD ||
             step == PITH_NORMALIZE_NFKC || step == PITH_NORMALIZE_NFKD;
  }
  if (forms > 1)
    return pith_fail(reader->error, PITH_UNSUPPORTED,
                     "%s: normalizer with %u Unicode forms is not supported; at most one",
                     reader->draft->file, forms);
  return PITH_OK;
}

/* ---- pre-tokenizer
 * ------------------------------------------------------------------------------------ */

static pith_status read_pre_tokenizer(json_reader *reader, const cJSON *object, unsigned depth) {
  pith_draft *draft = reader->draft;
  if (object == NULL) {
    draft->pre_tokenizer = PITH_PRE_TOKENIZE_NONE;
    return PITH_OK;
  }
  const char *type = "";
  PITH_TRY(type_of(reader, object, "pre_tokenizer", &type));
  if (strcmp(type, "Sequence") == 0 && depth == 0) {
    const cJSON *list = pith_json_get(object, "pretokenizers");
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != 1)
      return unsupported(reader, "pre_tokenizer type", "Sequence of other than one");
    return read_pre_tokenizer(reader, cJSON_GetArrayItem(list, 0), depth + 1);
  }
  static const struct {
    const char *type;
    pith_pre_tokenize value;
  } types[] = {
      {"BertPreTokenizer", PITH_PRE_TOKENIZE_BERT},
      {"Whitespace", PITH_PRE_TOKENIZE_WHITESPACE},
      {"WhitespaceSplit", PITH_PRE_TOKENIZE_WHITESPACE_SPLIT},
      {"ByteLevel", PITH_PRE_TOKENIZE_BYTE_LEVEL},
  };
  size_t i = 0, count = sizeof types / sizeof *types;
  while (i < count && strcmp(type, types[i].type) != 0)
    i++;
  if (i == count)
    return unsupported(reader, "pre_tokenizer type", type);
  draft->pre_tokenizer = types[i].value;
  if (types[i].value == PITH_PRE_TOKENIZE_BYTE_LEVEL) {
    bool prefix = true, regex = true;
    PITH_TRY(pith_json_bool(draft->file, object, "add_prefix_space", &prefix, reader->error));
    PITH_TRY(pith_json_bool(draft->file, object, "use_regex", &regex, reader->error));
    draft->flags |= (prefix ? PITH_TOKENIZER_ADD_PREFIX_SPACE : 0u) |
                    (regex ? PITH_TOKENIZER_BYTE_LEVEL_REGEX : 0u);
  }
  return PITH_OK;
}

/* ---- model
 * -------------------------------------------------------------------------------------------- */

static pith_status read_word_piece(json_reader *reader, const cJSON *model) {
  pith_draft *draft = reader->draft;
  draft->kind = PITH_TOKENIZER_WORDPIECE;
  draft->max_word_chars = 100;
  pith_draft_text prefix = {"##", 2};
  const cJSON *value;
  PITH_TRY(text_of(reader, pith_json_get(model, "unk_token"), "model.unk_token", &draft->unknown));
  if ((value = pith_json_get(model, "continuing_subword_prefix")) != NULL)
    PITH_TRY(text_of(reader, value, "model.continuing_subword_prefix", &prefix));
  draft->continuing_prefix = prefix.text;
  if ((value = pith_json_get(model, "max_input_chars_per_word")) != NULL)
    PITH_TRY(pith_json_id(draft->file, "max_input_chars_per_word", value, UINT32_MAX,
                          &draft->max_word_chars, reader->error));
  return PITH_OK;
}

/* A merge is "left right" or ["left", "right"]. */
static pith_status read_merge(const json_reader *reader, const cJSON *item, size_t rank,
                              pith_draft_merge *out) {
  if (cJSON_IsArray(item) && cJSON_GetArraySize(item) == 2) {
    PITH_TRY(text_of(reader, cJSON_GetArrayItem(item, 0), "a part of model.merges", &out->left));
    return text_of(reader, cJSON_GetArrayItem(item, 1), "a part of model.merges", &out->right);
  }
  pith_draft_text text = {NULL, 0};
  PITH_TRY(text_of(reader, item, "an entry of model.merges", &text));
  const char *space = strchr(text.text, ' ');
  if (space == NULL || strchr(space + 1, ' ') != NULL)
    return pith_fail(reader->error, PITH_FORMAT,
                     "%s: model.merges[%zu] is not two texts and a space between them",
                     reader->draft->file, rank);
  uint32_t left = (uint32_t)(space - text.text);
  *out = (pith_draft_merge){{text.text, left}, {space + 1, text.bytes - left - 1}};
  return PITH_OK;
}

static pith_status read_bpe(json_reader *reader, const cJSON *model) {
  pith_draft *draft = reader->draft;
  draft->kind = PITH_TOKENIZER_BYTE_BPE;
  draft->continuing_prefix = "";
  const cJSON *value;
  static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
  for (unsigned i = 0; i < 2; i++)
    if ((value = pith_json_get(model, affixes[i])) != NULL &&
        !(cJSON_IsString(value) && value->valuestring[0] == '\0'))
      return pith_fail(reader->error, PITH_UNSUPPORTED, "%s: model.%s \"%.100s\" is not supported",
                       draft->file, affixes[i], cJSON_IsString(value) ? value->valuestring : "?");
  if ((value = pith_json_get(model, "dropout")) != NULL &&
      !(cJSON_IsNumber(value) && value->valuedouble == 0))
    return unsupported(reader, "model.dropout", "other than 0");
  bool fallback = false, fuse = false, ignore = false;
  PITH_TRY(pith_json_bool(draft->file, model, "byte_fallback", &fallback, reader->error));
  PITH_TRY(pith_json_bool(draft->file, model, "fuse_unk", &fuse, reader->error));
  PITH_TRY(pith_json_bool(draft->file, model, "ignore_merges", &ignore, reader->error));
  if (fallback)
    return unsupported(reader, "model.byte_fallback", "true");
  draft->flags |=
      (fuse ? PITH_TOKENIZER_FUSE_UNKNOWN : 0u) | (ignore ? PITH_TOKENIZER_IGNORE_MERGES : 0u);
  if ((value = pith_json_get(model, "unk_token")) != NULL)
    PITH_TRY(text_of(reader, value, "model.unk_token", &draft->unknown));
  const cJSON *merges = pith_json_get(model, "merges"), *item;
  if (!cJSON_IsArray(merges))
    return pith_fail(reader->error, PITH_FORMAT, "%s: model.merges is not an array", draft->file);
  size_t count = 0;
  cJSON_ArrayForEach(item, merges) count++;
  draft->merges = PITH_ARENA_NEW(reader->arena, pith_draft_merge, count);
  if (draft->merges == NULL)
    return pith_fail(reader->error, PITH_OUT_OF_MEMORY, "%s: out of memory", draft->file);
  cJSON_ArrayForEach(item, merges) {
    if (cJSON_IsString(item) && strncmp(item->valuestring, "#version", 8) == 0)
      continue;
    PITH_TRY(read_merge(reader, item, draft->merge_count, &draft->merges[draft->merge_count]));
    draft->merge_count++;
  }
  return PITH_OK;
}

static pith_status read_model(json_reader *reader, const cJSON *model) {
  pith_draft *draft = reader->draft;
  if (!cJSON_IsObject(model))
    return pith_fail(reader->error, PITH_FORMAT, "%s: model is missing", draft->file);
  const cJSON *named = pith_json_get(model, "type");
  const char *type = cJSON_IsString(named)                    ? named->valuestring
                     : pith_json_get(model, "merges") != NULL ? "BPE" /* old files do not say */
                                                              : "WordPiece";
  if (strcmp(type, "WordPiece") == 0)
    PITH_TRY(read_word_piece(reader, model));
  else if (strcmp(type, "BPE") == 0)
    PITH_TRY(read_bpe(reader, model));
  else
    return unsupported(reader, "model type", type);
  return pith_draft_vocabulary(draft, pith_json_get(model, "vocab"), reader->arena, reader->error);
}

/* ---- added tokens
 * ------------------------------------------------------------------------------------- */

static pith_status read_added(json_reader *reader, const cJSON *list) {
  pith_draft *draft = reader->draft;
  if (list == NULL)
    return PITH_OK;
  if (!cJSON_IsArray(list))
    return pith_fail(reader->error, PITH_FORMAT, "%s: added_tokens is not an array", draft->file);
  draft->added = PITH_ARENA_NEW(reader->arena, pith_draft_added, (size_t)cJSON_GetArraySize(list));
  if (draft->added == NULL)
    return pith_fail(reader->error, PITH_OUT_OF_MEMORY, "%s: out of memory", draft->file);
  const cJSON *item;
  cJSON_ArrayForEach(item, list) {
    pith_draft_added token = {.id = -1};
    PITH_TRY(text_of(reader, pith_json_get(item, "content"), "added_tokens content", &token.text));
    if (token.text.bytes == 0)
      continue; /* as the reference does */
    uint64_t id = 0;
    PITH_TRY(pith_json_id(draft->file, "added_tokens id", pith_json_get(item, "id"),
                          PITH_KEY_NONE - 2, &id, reader->error));
    token.id = (int64_t)id;
    static const struct {
      const char *key;
      uint32_t flag;
      bool usual;
    } flags[] = {
        {"special", PITH_ADDED_SPECIAL, false},      {"single_word", PITH_ADDED_SINGLE_WORD, false},
        {"lstrip", PITH_ADDED_LSTRIP, false},        {"rstrip", PITH_ADDED_RSTRIP, false},
        {"normalized", PITH_ADDED_NORMALIZED, true},
    };
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
      bool on = flags[i].usual;
      PITH_TRY(pith_json_bool(draft->file, item, flags[i].key, &on, reader->error));
      token.flags |= on ? flags[i].flag : 0u;
    }
    draft->added[draft->added_count++] = token;
  }
  return PITH_OK;
}

/* ---- post-processor
 * ----------------------------------------------------------------------------------- */

/* ["[SEP]", 102] */
static pith_status read_special(json_reader *reader, const cJSON *object, const char *key,
                                pith_draft_piece *out) {
  const cJSON *pair = pith_json_get(object, key);
  if (!cJSON_IsArray(pair) || cJSON_GetArraySize(pair) != 2)
    return pith_fail(reader->error, PITH_FORMAT, "%s: post_processor.%s is not [text, id]",
                     reader->draft->file, key);
  uint64_t id = 0;
  PITH_TRY(text_of(reader, cJSON_GetArrayItem(pair, 0), key, &out->text));
  PITH_TRY(pith_json_id(reader->draft->file, key, cJSON_GetArrayItem(pair, 1), PITH_KEY_NONE - 2,
                        &id, reader->error));
  out->id = (int64_t)id;
  return PITH_OK;
}

/* BertProcessing and RobertaProcessing name their tokens with ids. */
static pith_status read_cls_sep(json_reader *reader, const cJSON *object, bool roberta) {
  pith_draft *draft = reader->draft;
  pith_draft_piece cls = {0}, sep = {0};
  PITH_TRY(read_special(reader, object, "cls", &cls));
  PITH_TRY(read_special(reader, object, "sep", &sep));
  if (roberta)
    pith_draft_roberta_template(draft);
  else
    pith_draft_bert_template(draft);
  for (unsigned pair = 0; pair < 2; pair++) {
    pith_draft_piece *pieces = pair ? draft->pair : draft->single;
    for (uint32_t i = 0; i < (pair ? draft->pair_count : draft->single_count); i++)
      if (pieces[i].sequence == 0) {
        pieces[i].id = i == 0 ? cls.id : sep.id;
        pieces[i].text = i == 0 ? cls.text : sep.text;
      }
  }
  return PITH_OK;
}

static pith_status read_trimming(json_reader *reader, const cJSON *object) {
  bool trim = true, prefix = true;
  PITH_TRY(pith_json_bool(reader->draft->file, object, "trim_offsets", &trim, reader->error));
  PITH_TRY(pith_json_bool(reader->draft->file, object, "add_prefix_space", &prefix, reader->error));
  if (trim && (reader->draft->flags & PITH_TOKENIZER_TRIM_OFFSETS))
    return unsupported(reader, "post_processor trim_offsets", "true, twice");
  if (trim)
    reader->draft->flags |=
        PITH_TOKENIZER_TRIM_OFFSETS | (prefix ? PITH_TOKENIZER_TRIM_KEEPS_PREFIX : 0u);
  return PITH_OK;
}

static pith_status read_piece(json_reader *reader, const cJSON *item, const cJSON *specials,
                              bool pair) {
  pith_draft *draft = reader->draft;
  pith_draft_piece *pieces = pair ? draft->pair : draft->single;
  uint32_t *count = pair ? &draft->pair_count : &draft->single_count;
  const char *key = pair ? "post_processor.pair" : "post_processor.single";
  const cJSON *sequence = pith_json_get(item, "Sequence"),
              *special = pith_json_get(item, "SpecialToken");
  const cJSON *inner = sequence != NULL ? sequence : special;
  pith_draft_text name = {NULL, 0};
  uint64_t type_id = 0;
  PITH_TRY(text_of(reader, pith_json_get(inner, "id"), key, &name));
  PITH_TRY(pith_json_id(draft->file, key, pith_json_get(inner, "type_id"), INT32_MAX, &type_id,
                        reader->error));
  const cJSON *ids =
      special == NULL ? NULL : pith_json_get(pith_json_get(specials, name.text), "ids");
  if (special != NULL && !cJSON_IsArray(ids))
    return pith_fail(reader->error, PITH_FORMAT,
                     "%s: post_processor.special_tokens lacks \"%.100s\"", draft->file, name.text);
  size_t more = sequence != NULL ? 1 : (size_t)cJSON_GetArraySize(ids);
  if (more > PITH_DRAFT_PIECES - *count)
    return pith_fail(reader->error, PITH_LIMIT, "%s: %s has more than %d pieces", draft->file, key,
                     PITH_DRAFT_PIECES);
  if (sequence != NULL) {
    bool b = strcmp(name.text, "B") == 0;
    if ((!b && strcmp(name.text, "A") != 0) || (b && !pair))
      return pith_fail(reader->error, PITH_FORMAT, "%s: %s has the sequence \"%.100s\"",
                       draft->file, key, name.text);
    pieces[(*count)++] = (pith_draft_piece){
        .id = -1, .sequence = b ? PITH_TEMPLATE_B : PITH_TEMPLATE_A, .type_id = (uint32_t)type_id};
    return PITH_OK;
  }
  const cJSON *number;
  cJSON_ArrayForEach(number, ids) {
    uint64_t id = 0;
    PITH_TRY(pith_json_id(draft->file, name.text, number, PITH_KEY_NONE - 2, &id, reader->error));
    pieces[(*count)++] =
        (pith_draft_piece){.text = name, .id = (int64_t)id, .type_id = (uint32_t)type_id};
  }
  return PITH_OK;
}

static pith_status read_template(json_reader *reader, const cJSON *object) {
  pith_draft *draft = reader->draft;
  draft->single_count = draft->pair_count = 0;
  const cJSON *specials = pith_json_get(object, "special_tokens");
  for (unsigned pair = 0; pair < 2; pair++) {
    const cJSON *list = pith_json_get(object, pair ? "pair" : "single"), *item;
    if (!cJSON_IsArray(list))
      return pith_fail(reader->error, PITH_FORMAT, "%s: post_processor.%s is not an array",
                       draft->file, pair ? "pair" : "single");
    cJSON_ArrayForEach(item, list) PITH_TRY(read_piece(reader, item, specials, pair));
  }
  return PITH_OK;
}

static pith_status read_post_processor(json_reader *reader, const cJSON *object, unsigned depth,
                                       unsigned *templates) {
  if (object == NULL)
    return PITH_OK;
  const char *type = "";
  PITH_TRY(type_of(reader, object, "post_processor", &type));
  if (strcmp(type, "Sequence") == 0 && depth == 0) {
    const cJSON *list = pith_json_get(object, "processors"), *item;
    if (!cJSON_IsArray(list))
      return pith_fail(reader->error, PITH_FORMAT, "%s: post_processor.processors is not an array",
                       reader->draft->file);
    cJSON_ArrayForEach(item, list)
        PITH_TRY(read_post_processor(reader, item, depth + 1, templates));
    return PITH_OK;
  }
  if (strcmp(type, "ByteLevel") == 0 && *templates == 0)
    return read_trimming(reader, object);
  bool bert = strcmp(type, "BertProcessing") == 0, roberta = strcmp(type, "RobertaProcessing") == 0;
  if ((!bert && !roberta && strcmp(type, "TemplateProcessing") != 0) || *templates > 0)
    return unsupported(
        reader, *templates > 0 ? "post_processor after a template, type" : "post_processor type",
        type);
  (*templates)++;
  if (roberta)
    PITH_TRY(read_trimming(reader, object));
  return bert || roberta ? read_cls_sep(reader, object, roberta) : read_template(reader, object);
}

/* ---- the whole
 * ---------------------------------------------------------------------------------------- */

pith_status pith_draft_from_json(pith_draft *draft, const cJSON *json, int cased, pith_arena *arena,
                                 pith_error *error) {
  json_reader reader = {draft, arena, cased, error};
  PITH_TRY(read_model(&reader, pith_json_get(json, "model")));
  PITH_TRY(read_normalizer(&reader, pith_json_get(json, "normalizer"), 0));
  PITH_TRY(check_forms(&reader));
  PITH_TRY(read_pre_tokenizer(&reader, pith_json_get(json, "pre_tokenizer"), 0));
  if ((draft->kind == PITH_TOKENIZER_BYTE_BPE) !=
      (draft->pre_tokenizer == PITH_PRE_TOKENIZE_BYTE_LEVEL))
    return pith_fail(error, PITH_UNSUPPORTED,
                     "%s: a %s model %s the pre_tokenizer ByteLevel is not supported", draft->file,
                     draft->kind == PITH_TOKENIZER_BYTE_BPE ? "BPE" : "WordPiece",
                     draft->kind == PITH_TOKENIZER_BYTE_BPE ? "without" : "with");
  PITH_TRY(read_added(&reader, pith_json_get(json, "added_tokens")));
  pith_draft_plain_template(draft);
  unsigned templates = 0;
  return read_post_processor(&reader, pith_json_get(json, "post_processor"), 0, &templates);
}
