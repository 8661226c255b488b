/* Draft to pith_tokenizer_data: resolves names, builds the tables of keys and the merge table. */
#include "models/tokenizer/compile_internal.h"
#include "models/tokenizer/encode_internal.h"
#include "models/tokenizer/key_table.h"

/* ---- normalizer and templates
 * ------------------------------------------------------------------------- */

pith_status pith_draft_add_step(pith_draft *draft, pith_normalize_step step, pith_error *error) {
  unsigned at = 0;
  while (at < PITH_NORMALIZER_STEPS && draft->normalizer >> (4 * at) != 0)
    at++;
  if (at == PITH_NORMALIZER_STEPS)
    return pith_fail(error, PITH_UNSUPPORTED, "%s: normalizer has more than %d steps", draft->file,
                     PITH_NORMALIZER_STEPS);
  draft->normalizer |= (uint32_t)step << (4 * at);
  return PITH_OK;
}

pith_status pith_draft_bert_normalizer(pith_draft *draft, bool clean, bool chinese, bool strip,
                                       bool lowercase, pith_error *error) {
  if (clean)
    PITH_TRY(pith_draft_add_step(draft, PITH_NORMALIZE_CLEAN, error));
  if (chinese)
    PITH_TRY(pith_draft_add_step(draft, PITH_NORMALIZE_CHINESE, error));
  if (strip) {
    PITH_TRY(pith_draft_add_step(draft, PITH_NORMALIZE_NFD, error));
    PITH_TRY(pith_draft_add_step(draft, PITH_NORMALIZE_STRIP_NONSPACING, error));
  }
  return lowercase ? pith_draft_add_step(draft, PITH_NORMALIZE_LOWERCASE, error) : PITH_OK;
}

void pith_draft_bert_template(pith_draft *draft) {
  pith_draft_piece cls = {.text = draft->specials[PITH_SPECIAL_CLS], .id = -1};
  pith_draft_piece sep = {.text = draft->specials[PITH_SPECIAL_SEP], .id = -1};
  pith_draft_piece a = {.sequence = PITH_TEMPLATE_A},
                   b = {.sequence = PITH_TEMPLATE_B, .type_id = 1}, end = sep;
  end.type_id = 1;
  const pith_draft_piece pieces[] = {cls, a, sep, b, end};
  memcpy(draft->single, pieces, 3 * sizeof *pieces);
  memcpy(draft->pair, pieces, sizeof pieces);
  draft->single_count = 3;
  draft->pair_count = 5;
}

void pith_draft_roberta_template(pith_draft *draft) {
  pith_draft_piece cls = {.text = draft->specials[PITH_SPECIAL_CLS], .id = -1};
  pith_draft_piece sep = {.text = draft->specials[PITH_SPECIAL_SEP], .id = -1};
  pith_draft_piece a = {.sequence = PITH_TEMPLATE_A}, b = {.sequence = PITH_TEMPLATE_B};
  const pith_draft_piece pieces[] = {cls, a, sep, sep, b, sep};
  memcpy(draft->single, pieces, 3 * sizeof *pieces);
  memcpy(draft->pair, pieces, sizeof pieces);
  draft->single_count = 3;
  draft->pair_count = 6;
}

void pith_draft_plain_template(pith_draft *draft) {
  draft->single[0] = draft->pair[0] = (pith_draft_piece){.sequence = PITH_TEMPLATE_A};
  draft->pair[1] = (pith_draft_piece){.sequence = PITH_TEMPLATE_B, .type_id = 1};
  draft->single_count = 1;
  draft->pair_count = 2;
}

/* ---- vocabulary
 * --------------------------------------------------------------------------------------- */

#define OUT_OF_MEMORY(draft)                                                                       \
  pith_fail(error, PITH_OUT_OF_MEMORY, "%s: out of memory", (draft)->file)

enum { SHORT_BYTES = 255 }; /* what a length of one byte says */

static bool is_long_block(const pith_draft_text *texts, uint32_t first, uint32_t token_count) {
  for (uint32_t id = first; id < first + PITH_TOKEN_BLOCK && id < token_count; id++)
    if (texts[id].bytes > SHORT_BYTES)
      return true;
  return false;
}

/* The text table: every id's text in the order of ids. */
static pith_status build_texts(const pith_draft *draft, uint32_t token_count,
                               const pith_draft_text *texts, pith_arena *arena,
                               pith_tokenizer_data *data, pith_error *error) {
  size_t bytes = 0;
  uint32_t blocks = (token_count + PITH_TOKEN_BLOCK - 1) / PITH_TOKEN_BLOCK, starts = blocks;
  for (uint32_t id = 0; id < token_count; id++) {
    bytes += texts[id].bytes;
    if (id % PITH_TOKEN_BLOCK == 0 && is_long_block(texts, id, token_count))
      starts += PITH_TOKEN_BLOCK + 1;
  }
  if (bytes > INT32_MAX)
    return pith_fail(error, PITH_LIMIT, "%s: %zu bytes of tokens; at most %d", draft->file, bytes,
                     INT32_MAX);
  uint32_t *start = PITH_ARENA_NEW(arena, uint32_t, starts);
  uint8_t *lengths = PITH_ARENA_NEW(arena, uint8_t, (size_t)blocks * PITH_TOKEN_BLOCK);
  char *all = PITH_ARENA_NEW(arena, char, bytes);
  if (start == NULL || lengths == NULL || all == NULL)
    return OUT_OF_MEMORY(draft);
  uint32_t at = 0, next_long = blocks;
  for (uint32_t block = 0; block < blocks; block++) {
    uint32_t first = block * PITH_TOKEN_BLOCK;
    bool is_long = is_long_block(texts, first, token_count);
    start[block] = is_long ? PITH_TOKEN_BLOCK_LONG | next_long : at;
    for (uint32_t id = first; id < first + PITH_TOKEN_BLOCK; id++) {
      if (is_long)
        start[next_long++] = at;
      if (id >= token_count || texts[id].bytes == 0)
        continue;
      if (!is_long)
        lengths[id] = (uint8_t)texts[id].bytes;
      memcpy(all + at, texts[id].text, texts[id].bytes);
      at += texts[id].bytes;
    }
    if (is_long)
      start[next_long++] = at;
  }
  data->token_count = token_count;
  data->token_start_count = starts;
  data->token_starts = start;
  data->token_lengths = lengths;
  data->token_text = all;
  data->token_text_bytes = bytes;
  return PITH_OK;
}

/* A token's bytes from its stand-ins; NULL text: it is not written in them. Memory is out:
 * *out_failed. */
static pith_draft_text stand_ins_to_bytes(pith_draft_text text, pith_arena *arena,
                                          bool *out_failed) {
  uint8_t *bytes = PITH_ARENA_NEW(arena, uint8_t, text.bytes);
  if (bytes == NULL) {
    *out_failed = true;
    return (pith_draft_text){NULL, 0};
  }
  uint32_t count = 0;
  for (uint32_t at = 0; at < text.bytes;) {
    uint32_t character;
    at += pith_utf8_decode((const uint8_t *)text.text + at, text.bytes - at, &character);
    int byte = pith_stand_in_byte(character);
    if (byte < 0)
      return (pith_draft_text){NULL, 0};
    bytes[count++] = (uint8_t)byte;
  }
  return (pith_draft_text){(const char *)bytes, count};
}

/* The three tables while they are built. */
typedef struct draft_index {
  pith_key_table tables[PITH_KEYS_COUNT];
  uint32_t first_bytes[2][8];
  const pith_draft_text *texts; /* by id */
} draft_index;

/* The id of a vocabulary entry, or PITH_KEY_NONE. */
static uint32_t find_text(const draft_index *index, pith_draft_text text) {
  const pith_key_table *table = &index->tables[PITH_KEYS_TOKENS];
  uint32_t id = pith_key_guess(table, pith_key_hash(pith_key_begin(table), text.text, text.bytes));
  return id != PITH_KEY_NONE && pith_draft_same_text(index->texts[id], text) ? id : PITH_KEY_NONE;
}

static pith_status build_token_table(const pith_draft *draft, pith_arena *scratch,
                                     draft_index *index, pith_error *error) {
  pith_key *keys = PITH_ARENA_NEW(scratch, pith_key, draft->token_count);
  if (keys == NULL)
    return OUT_OF_MEMORY(draft);
  size_t count = 0;
  for (size_t i = 0; i < draft->token_count; i++) {
    pith_draft_text text = draft->tokens[i].text;
    if (text.bytes > 0)
      keys[count++] = (pith_key){text.text, text.bytes, draft->tokens[i].id};
  }
  if (!pith_keys_sort(keys, count))
    return OUT_OF_MEMORY(draft);
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    if (i + 1 < count && keys[i].bytes == keys[i + 1].bytes &&
        memcmp(keys[i].text, keys[i + 1].text, keys[i].bytes) == 0) {
      if (!draft->duplicates)
        return pith_fail(error, PITH_FORMAT, "%s: token \"%.*s\" occurs twice (ids %u and %u)",
                         draft->file, (int)(keys[i].bytes < 100 ? keys[i].bytes : 100),
                         keys[i].text, keys[i].value, keys[i + 1].value);
      continue;
    }
    keys[kept++] = keys[i];
  }
  return pith_key_table_build(keys, kept, scratch, &index->tables[PITH_KEYS_TOKENS], error);
}

static int64_t find_id(const draft_index *index, pith_draft_text text) {
  uint32_t id = find_text(index, text);
  return id == PITH_KEY_NONE ? -1 : (int64_t)id;
}

/* ---- added tokens
 * ------------------------------------------------------------------------------------- */

/* A token's text after the normalizer. */
typedef struct text_builder {
  pith_arena *arena;
  uint8_t *bytes;
  size_t count, capacity;
  bool failed;
} text_builder;

static void text_push(void *context, uint32_t character, pith_span span) {
  (void)span;
  text_builder *builder = context;
  if (builder->count + 4 > builder->capacity) {
    size_t capacity = 2 * builder->capacity + 64;
    uint8_t *bytes = PITH_ARENA_NEW(builder->arena, uint8_t, capacity);
    if (bytes == NULL) {
      builder->failed = true;
      return;
    }
    if (builder->count > 0)
      memcpy(bytes, builder->bytes, builder->count);
    builder->bytes = bytes;
    builder->capacity = capacity;
  }
  builder->count += pith_utf8_encode(character, builder->bytes + builder->count);
}

static pith_status normalize_text(const pith_draft *draft, pith_draft_text *in_out,
                                  pith_arena *arena, pith_error *error) {
  text_builder builder = {.arena = arena};
  pith_normalizer normalizer;
  pith_normalizer_init(&normalizer, draft->normalizer, text_push, &builder);
  for (uint32_t at = 0; at < in_out->bytes;) {
    uint32_t character;
    at += pith_utf8_decode((const uint8_t *)in_out->text + at, in_out->bytes - at, &character);
    pith_normalizer_push(&normalizer, character, (pith_span){0, 0});
  }
  pith_normalizer_finish(&normalizer);
  bool failed = builder.failed || normalizer.out_of_memory;
  pith_normalizer_deinit(&normalizer);
  if (failed)
    return OUT_OF_MEMORY(draft);
  *in_out = (pith_draft_text){(const char *)builder.bytes, (uint32_t)builder.count};
  return PITH_OK;
}

/* The added tokens and their two tables; `texts` (by id, `limit` of them) gains those that the
 * vocabulary lacks. */
static pith_status build_added(const pith_draft *draft, pith_draft_text *texts, uint32_t limit,
                               pith_arena *scratch, pith_arena *arena, draft_index *index,
                               pith_tokenizer_data *data, pith_error *error) {
  size_t count = draft->added_count, bytes = 0;
  pith_added_token *added = PITH_ARENA_NEW(arena, pith_added_token, count);
  pith_draft_text *patterns = PITH_ARENA_NEW(scratch, pith_draft_text, count);
  pith_key *keys = PITH_ARENA_NEW(scratch, pith_key, count);
  if (added == NULL || patterns == NULL || keys == NULL)
    return OUT_OF_MEMORY(draft);
  for (size_t i = 0; i < count; i++) {
    const pith_draft_added *token = &draft->added[i];
    int shown = (int)(token->text.bytes < 100 ? token->text.bytes : 100);
    int64_t id = find_id(index, token->text);
    if (id >= 0 && token->id >= 0 && token->id != id)
      return pith_fail(error, PITH_FORMAT,
                       "%s: added_tokens: \"%.*s\" has id %lld; the vocabulary gives it %lld",
                       draft->file, shown, token->text.text, (long long)token->id, (long long)id);
    if (id < 0)
      id = token->id;
    if (id < 0 || id >= (int64_t)limit)
      return pith_fail(error, PITH_FORMAT, "%s: special token \"%.*s\" is not in the vocabulary",
                       draft->file, shown, token->text.text);
    if (texts[id].bytes == 0)
      texts[id] = token->text;
    else if (!pith_draft_same_text(texts[id], token->text))
      return pith_fail(error, PITH_FORMAT,
                       "%s: added_tokens: \"%.*s\" has id %lld, which is \"%.*s\"", draft->file,
                       shown, token->text.text, (long long)id,
                       (int)(texts[id].bytes < 100 ? texts[id].bytes : 100), texts[id].text);
    patterns[i] = token->text;
    if (token->flags & PITH_ADDED_NORMALIZED)
      PITH_TRY(normalize_text(draft, &patterns[i], scratch, error));
    if (patterns[i].bytes == 0)
      return pith_fail(error, PITH_UNSUPPORTED,
                       "%s: added_tokens: nothing is left of \"%.*s\" after the normalizer",
                       draft->file, shown, token->text.text);
    added[i] = (pith_added_token){(uint32_t)id, 0, patterns[i].bytes, token->flags};
    bytes += patterns[i].bytes;
  }
  if (bytes > INT32_MAX)
    return pith_fail(error, PITH_LIMIT, "%s: %zu bytes of added tokens; at most %d", draft->file,
                     bytes, INT32_MAX);
  char *text = PITH_ARENA_NEW(arena, char, bytes);
  if (text == NULL)
    return OUT_OF_MEMORY(draft);
  for (size_t i = 0, at = 0; i < count; at += patterns[i++].bytes) {
    memcpy(text + at, patterns[i].text, patterns[i].bytes);
    added[i].text = (uint32_t)at;
  }
  for (unsigned normalized = 0; normalized < 2; normalized++) {
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
      if (((added[i].flags & PITH_ADDED_NORMALIZED) != 0) == (normalized != 0)) {
        keys[kept++] = (pith_key){text + added[i].text, added[i].text_bytes, (uint32_t)i};
        uint8_t first = (uint8_t)text[added[i].text];
        index->first_bytes[normalized][first >> 5] |= 1u << (first & 31);
      }
    if (!pith_keys_sort(keys, kept))
      return OUT_OF_MEMORY(draft);
    for (size_t i = 1; i < kept; i++)
      if (keys[i - 1].bytes == keys[i].bytes &&
          memcmp(keys[i - 1].text, keys[i].text, keys[i].bytes) == 0)
        return pith_fail(error, PITH_FORMAT, "%s: added_tokens: \"%.*s\" occurs twice", draft->file,
                         (int)(keys[i].bytes < 100 ? keys[i].bytes : 100), keys[i].text);
    unsigned which = normalized ? PITH_KEYS_ADDED_NORMALIZED : PITH_KEYS_ADDED_RAW;
    PITH_TRY(pith_key_table_build(keys, kept, scratch, &index->tables[which], error));
  }
  data->added_count = (uint32_t)count;
  data->added = added;
  data->added_text = text;
  data->added_text_bytes = bytes;
  return PITH_OK;
}

static pith_status build_index(const pith_draft *draft, const draft_index *index, pith_arena *arena,
                               pith_tokenizer_data *data, pith_error *error) {
  size_t words = PITH_INDEX_HEADER_WORDS;
  for (unsigned i = 0; i < PITH_KEYS_COUNT; i++)
    words += (index->tables[i].shift_count + 1) / 2 + (size_t)index->tables[i].slot_count +
             index->tables[i].beginning_words;
  uint32_t *out = words <= UINT32_MAX ? PITH_ARENA_NEW(arena, uint32_t, words) : NULL;
  if (out == NULL)
    return OUT_OF_MEMORY(draft);
  out[0] = PITH_INDEX_VERSION;
  uint32_t at = PITH_INDEX_HEADER_WORDS;
  for (unsigned i = 0; i < PITH_KEYS_COUNT; i++) {
    const pith_key_table *table = &index->tables[i];
    const uint32_t head[PITH_INDEX_TABLE_WORDS] = {
        at,          table->shift_count, table->slot_count, table->beginning_words,
        table->seed, table->longest};
    memcpy(out + PITH_INDEX_TABLES + PITH_INDEX_TABLE_WORDS * i, head, sizeof head);
    memcpy(out + at, table->shifts, table->shift_count * sizeof *table->shifts);
    at += (table->shift_count + 1) / 2;
    memcpy(out + at, table->slots, table->slot_count * sizeof *table->slots);
    at += table->slot_count;
    memcpy(out + at, table->beginnings, table->beginning_words * sizeof *table->beginnings);
    at += table->beginning_words;
  }
  memcpy(out + PITH_INDEX_FIRST_BYTES, index->first_bytes, sizeof index->first_bytes);
  data->index = out;
  data->index_count = (uint32_t)words;
  return PITH_OK;
}

/* ---- merges
 * ------------------------------------------------------------------------------------------- */

static pith_status build_merge_table(const pith_draft *draft, const draft_index *index,
                                     uint32_t *table, uint32_t slots, pith_arena *scratch,
                                     uint32_t *out_longest, pith_error *error) {
  for (size_t i = 0; i < (size_t)slots * PITH_MERGE_SLOT_WORDS; i++)
    table[i] = UINT32_MAX;
  *out_longest = 1;
  for (size_t rank = 0; rank < draft->merge_count; rank++) {
    const pith_draft_merge *merge = &draft->merges[rank];
    pith_draft_text left = merge->left, right = merge->right;
    char *joined = pith_arena_format(scratch, "%.*s%.*s", (int)left.bytes, left.text,
                                     (int)right.bytes, right.text);
    if (joined == NULL)
      return OUT_OF_MEMORY(draft);
    uint32_t ids[3] = {find_text(index, left), find_text(index, right),
                       find_text(index, (pith_draft_text){joined, left.bytes + right.bytes})};
    for (unsigned i = 0; i < 3; i++)
      if (ids[i] == PITH_KEY_NONE)
        return pith_fail(
            error, PITH_FORMAT, "%s: merge %zu (\"%.*s %.*s\"): %s is not in the vocabulary",
            draft->file, rank, (int)(merge->left.bytes < 100 ? merge->left.bytes : 100),
            merge->left.text, (int)(merge->right.bytes < 100 ? merge->right.bytes : 100),
            merge->right.text,
            i == 0   ? "the left part"
            : i == 1 ? "the right part"
                     : "their union");
    uint32_t slot = pith_merge_hash(ids[0], ids[1]) & (slots - 1), length = 1;
    uint32_t *entry = table + (size_t)slot * PITH_MERGE_SLOT_WORDS;
    for (; entry[0] != UINT32_MAX && (entry[0] != ids[0] || entry[1] != ids[1]); length++) {
      slot = (slot + 1) & (slots - 1);
      entry = table + (size_t)slot * PITH_MERGE_SLOT_WORDS;
    }
    entry[0] = ids[0];
    entry[1] = ids[1];
    entry[2] = (uint32_t)rank; /* a pair that occurs twice has its last rank */
    entry[3] = ids[2];
    if (length > *out_longest)
      *out_longest = length;
  }
  return PITH_OK;
}

static pith_status build_merges(const pith_draft *draft, const draft_index *index,
                                pith_arena *scratch, pith_arena *arena, pith_tokenizer_data *data,
                                pith_error *error) {
  if (draft->merge_count > PITH_KEY_NONE)
    return pith_fail(error, PITH_LIMIT, "%s: %zu merges; at most %d", draft->file,
                     draft->merge_count, PITH_KEY_NONE);
  uint32_t slots = 16;
  while (slots < draft->merge_count + draft->merge_count / 4)
    slots *= 2;
  size_t table_at = PITH_MERGES_HEADER_WORDS + pith_merges_direct_words(data);
  size_t words = table_at + (size_t)slots * PITH_MERGE_SLOT_WORDS;
  uint32_t *out = PITH_ARENA_NEW(arena, uint32_t, words);
  if (out == NULL)
    return OUT_OF_MEMORY(draft);
  out[0] = PITH_MERGES_VERSION;
  out[1] = slots;
  for (unsigned byte = 0; byte < 256; byte++) {
    uint8_t text[4];
    uint32_t bytes = pith_utf8_encode(pith_byte_stand_in((uint8_t)byte), text);
    out[PITH_MERGES_BYTES + byte] = find_text(index, (pith_draft_text){(char *)text, bytes});
  }
  PITH_TRY(build_merge_table(draft, index, out + table_at, slots, scratch, &out[2], error));
  data->merges = out;
  data->merge_word_count = (uint32_t)words;

  /* Which tokens are what their own bytes merge to. */
  pith_scratch symbols = {0}, queue = {0};
  pith_status status = PITH_OK;
  for (size_t i = 0; i < draft->token_count && status == PITH_OK; i++) {
    bool failed = false;
    pith_draft_text text = stand_ins_to_bytes(draft->tokens[i].text, scratch, &failed);
    if (failed || !pith_scratch_reserve(&symbols, 0, text.bytes, sizeof(pith_bpe_symbol)) ||
        !pith_scratch_reserve(&queue, 0, pith_bpe_queue_bytes(text.bytes), 1)) {
      status = OUT_OF_MEMORY(draft);
      break;
    }
    pith_bpe_symbol *word = symbols.items;
    bool whole = text.bytes > 0;
    for (uint32_t k = 0; k < text.bytes && whole; k++) {
      word[k] = (pith_bpe_symbol){.id = out[PITH_MERGES_BYTES + (uint8_t)text.text[k]], .bytes = 1};
      whole = word[k].id != PITH_KEY_NONE;
    }
    uint32_t id = draft->tokens[i].id;
    if (whole && pith_bpe_merge(data, word, text.bytes, queue.items) == 1 && word[0].id == id)
      out[PITH_MERGES_HEADER_WORDS + id / 32] |= 1u << (id & 31);
  }
  pith_scratch_release(&symbols);
  pith_scratch_release(&queue);
  return status;
}

/* ---- the whole
 * ---------------------------------------------------------------------------------------- */

/* The id of a special token: of the vocabulary, else of `added`; -1: neither has it. */
static int32_t resolve(const draft_index *index, const pith_draft_added *added, size_t count,
                       pith_draft_text text) {
  int64_t id = find_id(index, text);
  for (size_t i = 0; i < count && id < 0; i++)
    if (text.bytes > 0 && pith_draft_same_text(added[i].text, text))
      id = added[i].id;
  return (int32_t)id;
}

static pith_status build_template(const pith_draft *draft, const draft_index *index,
                                  const pith_draft_piece *pieces, uint32_t count, pith_arena *arena,
                                  const pith_template_piece **out, pith_error *error) {
  pith_template_piece *made = PITH_ARENA_NEW(arena, pith_template_piece, count);
  if (made == NULL)
    return OUT_OF_MEMORY(draft);
  for (uint32_t i = 0; i < count; i++) {
    int32_t id = pieces[i].sequence;
    if (id == 0 && pieces[i].id >= 0)
      id = (int32_t)pieces[i].id;
    else if (id == 0)
      id = resolve(index, draft->added, draft->added_count, pieces[i].text);
    if (pieces[i].sequence == 0 && id < 0)
      return pith_fail(error, PITH_FORMAT, "%s: special token \"%.*s\" is not in the vocabulary",
                       draft->file, (int)(pieces[i].text.bytes < 100 ? pieces[i].text.bytes : 100),
                       pieces[i].text.bytes > 0 ? pieces[i].text.text : "");
    made[i] = (pith_template_piece){id, pieces[i].type_id};
  }
  *out = made;
  return PITH_OK;
}

static pith_status build(const pith_draft *draft, pith_arena *scratch, pith_arena *arena,
                         pith_tokenizer_data *data, pith_error *error) {
  *data = (pith_tokenizer_data){
      .kind = draft->kind,
      .flags = draft->flags,
      .normalizer = draft->normalizer,
      .pre_tokenizer = draft->pre_tokenizer,
      .max_word_chars =
          draft->max_word_chars > UINT32_MAX ? UINT32_MAX : (uint32_t)draft->max_word_chars,
      .continuing_prefix =
          pith_arena_string(arena, draft->continuing_prefix, strlen(draft->continuing_prefix)),
  };
  uint64_t limit = 0; /* ids */
  for (size_t i = 0; i < draft->token_count; i++)
    if (draft->tokens[i].id >= limit)
      limit = (uint64_t)draft->tokens[i].id + 1;
  for (size_t i = 0; i < draft->added_count; i++)
    if (draft->added[i].id >= (int64_t)limit)
      limit = (uint64_t)draft->added[i].id + 1;
  if (limit == 0 || limit >= PITH_KEY_NONE)
    return pith_fail(error, limit == 0 ? PITH_FORMAT : PITH_LIMIT,
                     "%s: the vocabulary has ids up to %lld; at most %d", draft->file,
                     (long long)limit - 1, PITH_KEY_NONE - 2);
  pith_draft_text *texts = PITH_ARENA_NEW(scratch, pith_draft_text, limit);
  if (texts == NULL || data->continuing_prefix == NULL)
    return OUT_OF_MEMORY(draft);
  for (size_t i = 0; i < draft->token_count; i++) {
    const pith_draft_token *token = &draft->tokens[i];
    if (texts[token->id].text != NULL)
      return pith_fail(
          error, PITH_FORMAT, "%s: id %u is given to two tokens (\"%.*s\" and \"%.*s\")",
          draft->file, token->id,
          (int)(texts[token->id].bytes < 100 ? texts[token->id].bytes : 100), texts[token->id].text,
          (int)(token->text.bytes < 100 ? token->text.bytes : 100), token->text.text);
    texts[token->id] = token->text;
  }
  draft_index index = {.texts = texts};
  PITH_TRY(build_token_table(draft, scratch, &index, error));
  PITH_TRY(build_added(draft, texts, (uint32_t)limit, scratch, arena, &index, data, error));
  PITH_TRY(build_texts(draft, (uint32_t)limit, texts, arena, data, error));
  PITH_TRY(build_index(draft, &index, arena, data, error));
  if (draft->kind == PITH_TOKENIZER_BYTE_BPE)
    PITH_TRY(build_merges(draft, &index, scratch, arena, data, error));

  int32_t *roles[] = {&data->unk_id, &data->cls_id, &data->sep_id, &data->pad_id, &data->mask_id};
  for (unsigned i = 0; i < PITH_DRAFT_SPECIALS; i++)
    *roles[i] = resolve(&index, draft->added, draft->added_count, draft->specials[i]);
  data->unk_id = resolve(&index, NULL, 0, draft->unknown);
  if (data->unk_id < 0 && (draft->kind == PITH_TOKENIZER_WORDPIECE || draft->unknown.bytes > 0))
    return pith_fail(error, PITH_FORMAT, "%s: the unknown token \"%.*s\" is not in the vocabulary",
                     draft->file, (int)(draft->unknown.bytes < 100 ? draft->unknown.bytes : 100),
                     draft->unknown.bytes > 0 ? draft->unknown.text : "");
  PITH_TRY(build_template(draft, &index, draft->single, draft->single_count, arena,
                          &data->single_template, error));
  PITH_TRY(build_template(draft, &index, draft->pair, draft->pair_count, arena,
                          &data->pair_template, error));
  data->single_count = draft->single_count;
  data->pair_count = draft->pair_count;
  return pith_tokenizer_data_verify(data, error);
}

pith_status pith_draft_build(const pith_draft *draft, pith_arena *arena,
                             pith_tokenizer_data *out_data, pith_error *error) {
  pith_arena scratch;
  pith_arena_init(&scratch, arena->allocator);
  pith_status status = build(draft, &scratch, arena, out_data, error);
  pith_arena_deinit(&scratch);
  return status;
}
