/* A Hugging Face directory's tokenizer: finds out which files say what it is. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models/tokenizer/compile_internal.h"
#include "models/tokenizer/unicode.h"

/* ---- files and JSON
 * ----------------------------------------------------------------------------------- */

enum { FILE_LIMIT = 1 << 28 }; /* bytes; real ones reach 20 MB */

pith_status pith_draft_read(const char *directory, const char *name, pith_arena *arena,
                            char **out_text, size_t *out_bytes, pith_error *error) {
  *out_text = NULL;
  *out_bytes = 0;
  char *path = pith_arena_format(arena, "%s/%s", directory, name);
  if (path == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", name);
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0)
    return errno == ENOENT || errno == ENOTDIR
               ? PITH_OK
               : pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
  struct stat about;
  pith_status status = PITH_OK;
  char *text = NULL;
  size_t bytes = 0;
  if (fstat(file, &about) != 0 || !S_ISREG(about.st_mode))
    status = pith_fail(error, PITH_IO, "%s: not a regular file", path);
  else if (about.st_size > FILE_LIMIT)
    status = pith_fail(error, PITH_LIMIT, "%s: %lld bytes; at most %d", path,
                       (long long)about.st_size, FILE_LIMIT);
  else if ((text = PITH_ARENA_NEW(arena, char, (size_t)about.st_size + 1)) == NULL)
    status = pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", path);
  while (status == PITH_OK && bytes < (size_t)about.st_size) {
    ssize_t got = read(file, text + bytes, (size_t)about.st_size - bytes);
    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0)
      status = pith_fail(error, PITH_IO, "%s: %s", path, strerror(errno));
    if (got <= 0)
      break; /* the file became shorter: what is there is what it is */
    bytes += (size_t)got;
  }
  close(file);
  if (status != PITH_OK)
    return status;
  text[bytes] = '\0';
  *out_text = text;
  *out_bytes = bytes;
  return PITH_OK;
}

/* cJSON ends a string at U+0000; such a file is refused instead of being read wrong. */
static bool holds_escaped_zero(const char *text, size_t bytes) {
  const char *end = text + bytes;
  for (const char *at = text; (at = memchr(at, '\\', (size_t)(end - at))) != NULL && end - at >= 6;
       at += 2)
    if (memcmp(at, "\\u0000", 6) == 0)
      return true;
  return false;
}

pith_status pith_draft_parse(const char *name, const char *text, size_t bytes, cJSON **out_json,
                             pith_error *error) {
  *out_json = NULL;
  if (!pith_utf8_valid((const uint8_t *)text, bytes))
    return pith_fail(error, PITH_FORMAT, "%s: not UTF-8", name);
  if (memchr(text, '\0', bytes) != NULL || holds_escaped_zero(text, bytes))
    return pith_fail(error, PITH_UNSUPPORTED, "%s: holds the character U+0000", name);
  const char *end = NULL;
  cJSON *json = cJSON_ParseWithLengthOpts(text, bytes + 1, &end, true);
  if (json == NULL) {
    size_t at = end != NULL && end >= text && end <= text + bytes ? (size_t)(end - text) : 0;
    return pith_fail(error, PITH_FORMAT,
                     "%s: not JSON, or nested over %d deep, or out of memory, at byte %zu", name,
                     CJSON_NESTING_LIMIT, at);
  }
  if (!cJSON_IsObject(json)) {
    cJSON_Delete(json);
    return pith_fail(error, PITH_FORMAT, "%s: not a JSON object", name);
  }
  *out_json = json;
  return PITH_OK;
}

const cJSON *pith_json_get(const cJSON *object, const char *name) {
  const cJSON *member =
      cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
  return member == NULL || cJSON_IsNull(member) ? NULL : member;
}

pith_status pith_json_bool(const char *file, const cJSON *object, const char *name, bool *in_out,
                           pith_error *error) {
  const cJSON *member = pith_json_get(object, name);
  if (member == NULL)
    return PITH_OK;
  if (!cJSON_IsBool(member))
    return pith_fail(error, PITH_FORMAT, "%s: %s is not true or false", file, name);
  *in_out = cJSON_IsTrue(member);
  return PITH_OK;
}

pith_status pith_json_id(const char *file, const char *key, const cJSON *number, uint64_t limit,
                         uint64_t *out, pith_error *error) {
  int shown = (int)strnlen(key, 100);
  if (!cJSON_IsNumber(number) || !(number->valuedouble >= 0) ||
      number->valuedouble > 9007199254740992.0 ||
      (double)(uint64_t)number->valuedouble != number->valuedouble)
    return pith_fail(error, PITH_FORMAT, "%s: \"%.*s\" is not a whole number", file, shown, key);
  if (number->valuedouble > (double)limit)
    return pith_fail(error, PITH_LIMIT, "%s: \"%.*s\" is %.0f; at most %llu", file, shown, key,
                     number->valuedouble, (unsigned long long)limit);
  *out = (uint64_t)number->valuedouble;
  return PITH_OK;
}

/* ---- tokenizer_config.json
 * ---------------------------------------------------------------------------- */

static const struct role {
  const char *key, *word_piece, *byte_level;
} roles[PITH_DRAFT_SPECIALS] = {
    [PITH_SPECIAL_UNK] = {"unk_token", "[UNK]", "<unk>"},
    [PITH_SPECIAL_CLS] = {"cls_token", "[CLS]", "<s>"},
    [PITH_SPECIAL_SEP] = {"sep_token", "[SEP]", "</s>"},
    [PITH_SPECIAL_PAD] = {"pad_token", "[PAD]", "<pad>"},
    [PITH_SPECIAL_MASK] = {"mask_token", "[MASK]", "<mask>"},
};

static pith_status copy_text(const char *file, const char *text, pith_arena *arena,
                             pith_draft_text *out, pith_error *error) {
  size_t bytes = strlen(text);
  char *copy = pith_arena_string(arena, text, bytes);
  if (copy == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", file);
  *out = (pith_draft_text){copy, (uint32_t)bytes};
  return PITH_OK;
}

/* The texts of the special roles: as the configuration says, else the usual ones. */
static pith_status read_roles(pith_draft *draft, const cJSON *config, pith_arena *arena,
                              pith_error *error) {
  for (unsigned i = 0; i < PITH_DRAFT_SPECIALS; i++) {
    const cJSON *value = pith_json_get(config, roles[i].key);
    if (cJSON_IsObject(value))
      value = pith_json_get(value, "content");
    if (value != NULL && !cJSON_IsString(value))
      return pith_fail(error, PITH_FORMAT, "tokenizer_config.json: %s is not a string",
                       roles[i].key);
    const char *usual =
        draft->kind == PITH_TOKENIZER_WORDPIECE ? roles[i].word_piece : roles[i].byte_level;
    PITH_TRY(copy_text("tokenizer_config.json", value != NULL ? value->valuestring : usual, arena,
                       &draft->specials[i], error));
  }
  return PITH_OK;
}

static bool in_vocabulary(const pith_draft *draft, pith_draft_text text) {
  for (size_t i = 0; i < draft->token_count; i++)
    if (pith_draft_same_text(draft->tokens[i].text, text))
      return true;
  return false;
}

/* Special tokens as added tokens, where the vocabulary has them, and never_split. */
static pith_status add_specials(pith_draft *draft, const cJSON *config, pith_arena *arena,
                                pith_error *error) {
  const cJSON *never = pith_json_get(config, "never_split");
  if (never != NULL && !cJSON_IsArray(never))
    return pith_fail(error, PITH_FORMAT, "tokenizer_config.json: never_split is not an array");
  size_t most = PITH_DRAFT_SPECIALS + (size_t)cJSON_GetArraySize(never);
  draft->added = PITH_ARENA_NEW(arena, pith_draft_added, most);
  if (draft->added == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", draft->file);
  for (unsigned i = 0; i < PITH_DRAFT_SPECIALS; i++) {
    bool known = in_vocabulary(draft, draft->specials[i]);
    for (size_t k = 0; k < draft->added_count; k++)
      known = known && !pith_draft_same_text(draft->added[k].text, draft->specials[i]);
    if (!known)
      continue;
    uint32_t flags = PITH_ADDED_SPECIAL;
    if (i == PITH_SPECIAL_MASK && draft->kind == PITH_TOKENIZER_BYTE_BPE)
      flags |= PITH_ADDED_LSTRIP; /* RoBERTa's mask takes the space before it */
    draft->added[draft->added_count++] = (pith_draft_added){draft->specials[i], -1, flags};
  }
  const cJSON *item;
  cJSON_ArrayForEach(item, never) {
    pith_draft_added added = {.id = -1, .flags = PITH_ADDED_SINGLE_WORD};
    if (!cJSON_IsString(item) || item->valuestring[0] == '\0')
      return pith_fail(error, PITH_FORMAT,
                       "tokenizer_config.json: never_split holds something that is not a text");
    PITH_TRY(copy_text("tokenizer_config.json", item->valuestring, arena, &added.text, error));
    if (!in_vocabulary(draft, added.text))
      return pith_fail(error, PITH_UNSUPPORTED,
                       "tokenizer_config.json: never_split \"%.100s\" is not in the vocabulary",
                       item->valuestring);
    bool known = false;
    for (size_t k = 0; k < draft->added_count; k++)
      known = known || pith_draft_same_text(draft->added[k].text, added.text);
    if (!known)
      draft->added[draft->added_count++] = added;
  }
  return PITH_OK;
}

/* ---- vocab.txt
 * ---------------------------------------------------------------------------------------- */

/* One token a line, white space at its end dropped; the number of the line, from 0, is the id. */
static pith_status read_lines(pith_draft *draft, const char *text, size_t bytes, pith_arena *arena,
                              pith_error *error) {
  if (!pith_utf8_valid((const uint8_t *)text, bytes))
    return pith_fail(error, PITH_FORMAT, "%s: not UTF-8", draft->file);
  size_t lines = 0;
  for (size_t i = 0; i < bytes; i++)
    lines += text[i] == '\n';
  lines += bytes > 0 && text[bytes - 1] != '\n';
  if (lines == 0 || lines >= PITH_KEY_NONE)
    return pith_fail(error, PITH_FORMAT, "%s: %zu tokens; 1 to %d", draft->file, lines,
                     PITH_KEY_NONE - 1);
  draft->tokens = PITH_ARENA_NEW(arena, pith_draft_token, lines);
  if (draft->tokens == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", draft->file);
  const char *at = text, *end = text + bytes;
  for (uint32_t id = 0; id < lines; id++) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    stop = stop == NULL ? end : stop;
    size_t length = (size_t)(stop - at);
    uint32_t character;
    while (length > 0) {
      unsigned last = pith_utf8_decode_before((const uint8_t *)at, length, &character);
      if (!(pith_char_class(character) & PITH_CHAR_SPACE))
        break;
      length -= last;
    }
    draft->tokens[id] = (pith_draft_token){{at, (uint32_t)length}, id};
    at = stop + 1;
  }
  draft->token_count = lines;
  draft->duplicates = true;
  return PITH_OK;
}

static pith_status from_lines(pith_draft *draft, const char *text, size_t bytes,
                              const cJSON *config, int cased, pith_arena *arena,
                              pith_error *error) {
  draft->kind = PITH_TOKENIZER_WORDPIECE;
  draft->pre_tokenizer = PITH_PRE_TOKENIZE_BERT;
  draft->max_word_chars = 100;
  draft->continuing_prefix = "##";
  PITH_TRY(read_lines(draft, text, bytes, arena, error));
  PITH_TRY(read_roles(draft, config, arena, error));
  bool lowercase = true, chinese = true;
  PITH_TRY(pith_json_bool("tokenizer_config.json", config, "do_lower_case", &lowercase, error));
  PITH_TRY(
      pith_json_bool("tokenizer_config.json", config, "tokenize_chinese_chars", &chinese, error));
  if (cased >= 0)
    lowercase = cased == 0;
  bool strip = lowercase;
  PITH_TRY(pith_json_bool("tokenizer_config.json", config, "strip_accents", &strip, error));
  PITH_TRY(pith_draft_bert_normalizer(draft, true, chinese, strip, lowercase, error));
  draft->unknown = draft->specials[PITH_SPECIAL_UNK];
  pith_draft_bert_template(draft);
  return add_specials(draft, config, arena, error);
}

/* ---- vocab.json and merges.txt
 * ------------------------------------------------------------------------ */

pith_status pith_draft_vocabulary(pith_draft *draft, const cJSON *object, pith_arena *arena,
                                  pith_error *error) {
  if (!cJSON_IsObject(object))
    return pith_fail(error, PITH_FORMAT, "%s: the vocabulary is not an object", draft->file);
  size_t count = 0;
  const cJSON *entry;
  cJSON_ArrayForEach(entry, object) count++;
  draft->tokens = PITH_ARENA_NEW(arena, pith_draft_token, count);
  if (draft->tokens == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", draft->file);
  cJSON_ArrayForEach(entry, object) {
    uint64_t id = 0;
    PITH_TRY(pith_json_id(draft->file, entry->string, entry, PITH_KEY_NONE - 2, &id, error));
    pith_draft_token *token = &draft->tokens[draft->token_count++];
    token->id = (uint32_t)id;
    PITH_TRY(copy_text(draft->file, entry->string, arena, &token->text, error));
  }
  return PITH_OK;
}

/* merges.txt: "left right" a line, "#version" lines skipped, the rank is the order. */
static pith_status read_merges(pith_draft *draft, const char *text, size_t bytes, pith_arena *arena,
                               pith_error *error) {
  if (!pith_utf8_valid((const uint8_t *)text, bytes))
    return pith_fail(error, PITH_FORMAT, "merges.txt: not UTF-8");
  while (bytes > 0 && (text[bytes - 1] == '\n' || text[bytes - 1] == '\r'))
    bytes--;
  size_t lines = bytes > 0;
  for (size_t i = 0; i < bytes; i++)
    lines += text[i] == '\n';
  draft->merges = PITH_ARENA_NEW(arena, pith_draft_merge, lines);
  if (draft->merges == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "merges.txt: out of memory");
  const char *at = text, *end = text + bytes;
  for (size_t line = 1; line <= lines; line++) {
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    const char *next = stop == NULL ? end : stop + 1;
    stop = stop == NULL ? end : stop;
    if (stop > at && stop[-1] == '\r')
      stop--;
    if (stop - at < 8 || memcmp(at, "#version", 8) != 0) {
      const char *space = memchr(at, ' ', (size_t)(stop - at));
      if (space == NULL || memchr(space + 1, ' ', (size_t)(stop - space - 1)) != NULL)
        return pith_fail(error, PITH_FORMAT,
                         "merges.txt: line %zu is not two texts and a space between them", line);
      draft->merges[draft->merge_count++] = (pith_draft_merge){
          {at, (uint32_t)(space - at)}, {space + 1, (uint32_t)(stop - space - 1)}};
    }
    at = next;
  }
  return PITH_OK;
}

static pith_status from_vocabulary(pith_draft *draft, const cJSON *vocabulary, const char *merges,
                                   size_t merges_bytes, const cJSON *config, pith_arena *arena,
                                   pith_error *error) {
  draft->kind = PITH_TOKENIZER_BYTE_BPE;
  draft->pre_tokenizer = PITH_PRE_TOKENIZE_BYTE_LEVEL;
  draft->continuing_prefix = "";
  PITH_TRY(pith_draft_vocabulary(draft, vocabulary, arena, error));
  PITH_TRY(read_merges(draft, merges, merges_bytes, arena, error));
  PITH_TRY(read_roles(draft, config, arena, error));
  bool prefix = false;
  PITH_TRY(pith_json_bool("tokenizer_config.json", config, "add_prefix_space", &prefix, error));
  draft->flags = PITH_TOKENIZER_BYTE_LEVEL_REGEX;
  if (prefix)
    draft->flags |= PITH_TOKENIZER_ADD_PREFIX_SPACE | PITH_TOKENIZER_TRIM_KEEPS_PREFIX;
  if (in_vocabulary(draft, draft->specials[PITH_SPECIAL_CLS]) &&
      in_vocabulary(draft, draft->specials[PITH_SPECIAL_SEP])) {
    draft->flags |= PITH_TOKENIZER_TRIM_OFFSETS;
    pith_draft_roberta_template(draft);
  } else {
    pith_draft_plain_template(draft);
  }
  return add_specials(draft, config, arena, error);
}

/* ---- the directory
 * ------------------------------------------------------------------------------------ */

typedef struct source_files {
  cJSON *config, *main; /* released by the caller */
} source_files;

static pith_status read_draft(pith_draft *draft, const pith_tokenizer_source *source,
                              source_files *files, pith_arena *scratch, pith_error *error) {
  char *text, *merges;
  size_t bytes, merges_bytes;
  const char *directory = source->directory;
  PITH_TRY(pith_draft_read(directory, "tokenizer_config.json", scratch, &text, &bytes, error));
  if (text != NULL)
    PITH_TRY(pith_draft_parse("tokenizer_config.json", text, bytes, &files->config, error));

  draft->file = "tokenizer.json";
  PITH_TRY(pith_draft_read(directory, draft->file, scratch, &text, &bytes, error));
  if (text != NULL) {
    PITH_TRY(pith_draft_parse(draft->file, text, bytes, &files->main, error));
    PITH_TRY(pith_draft_from_json(draft, files->main, source->cased, scratch, error));
    return read_roles(draft, files->config, scratch, error);
  }
  draft->file = "vocab.txt";
  PITH_TRY(pith_draft_read(directory, draft->file, scratch, &text, &bytes, error));
  if (text != NULL)
    return from_lines(draft, text, bytes, files->config, source->cased, scratch, error);
  draft->file = "vocab.json";
  PITH_TRY(pith_draft_read(directory, draft->file, scratch, &text, &bytes, error));
  PITH_TRY(pith_draft_read(directory, "merges.txt", scratch, &merges, &merges_bytes, error));
  if (text == NULL || merges == NULL)
    return pith_fail(error, PITH_IO,
                     "%s: no tokenizer.json, no vocab.txt, and no vocab.json with merges.txt",
                     directory);
  PITH_TRY(pith_draft_parse(draft->file, text, bytes, &files->main, error));
  return from_vocabulary(draft, files->main, merges, merges_bytes, files->config, scratch, error);
}

typedef struct source_text {
  const pith_tokenizer_source *source; /* NULL: `text` is a tokenizer.json */
  const char *text;
  size_t bytes;
} source_text;

static pith_status draft_source(pith_draft *draft, const source_text *from, source_files *files,
                                pith_arena *scratch, pith_error *error) {
  if (from->source != NULL)
    return read_draft(draft, from->source, files, scratch, error);
  draft->file = "tokenizer.json";
  PITH_TRY(pith_draft_parse(draft->file, from->text, from->bytes, &files->main, error));
  PITH_TRY(pith_draft_from_json(draft, files->main, -1, scratch, error));
  return read_roles(draft, NULL, scratch, error);
}

static pith_status compile(const source_text *from, pith_arena *arena,
                           pith_tokenizer_data *out_data, pith_error *error) {
  pith_arena scratch;
  pith_arena_init(&scratch, arena->allocator);
  source_files files = {NULL, NULL};
  pith_status status = PITH_OUT_OF_MEMORY;
  pith_draft *draft = PITH_ARENA_NEW(&scratch, pith_draft, 1);
  if (draft == NULL)
    pith_fail(error, status, "tokenizer: out of memory");
  else if ((status = draft_source(draft, from, &files, &scratch, error)) == PITH_OK)
    status = pith_draft_build(draft, arena, out_data, error);
  cJSON_Delete(files.config);
  cJSON_Delete(files.main);
  pith_arena_deinit(&scratch);
  return status;
}

pith_status pith_tokenizer_compile(const pith_tokenizer_source *source, pith_arena *arena,
                                   pith_tokenizer_data *out_data, pith_error *error) {
  return compile(&(source_text){.source = source}, arena, out_data, error);
}

pith_status pith_tokenizer_compile_json(const char *text, size_t bytes, pith_arena *arena,
                                        pith_tokenizer_data *out_data, pith_error *error) {
  return compile(&(source_text){.text = text, .bytes = bytes}, arena, out_data, error);
}
