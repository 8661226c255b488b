/* Which tokens a smaller vocabulary needs, and the tokenizer made again with them. */
#include <stdlib.h>

#include "models/tokenizer/compile_internal.h"
#include "models/tokenizer/unicode.h"
#include "sparse/vocabulary_internal.h"

static pith_draft_text get_text(const pith_tokenizer_data *t, uint32_t id) {
  pith_draft_text text;
  text.text = pith_tokenizer_text(t, id, &text.bytes);
  return text;
}

/* ---- what stays --------------------------------------------------------------------------------
 */

static bool is_one_character(const char *text, size_t bytes) {
  uint32_t character;
  return bytes > 0 && pith_utf8_decode((const uint8_t *)text, bytes, &character) == bytes;
}

static void keep_characters(const pith_tokenizer_data *t, bool *kept) {
  const size_t prefix = strlen(t->continuing_prefix);
  for (uint32_t id = 0; id < t->token_count; id++) {
    const pith_draft_text text = get_text(t, id);
    const bool goes_on =
        text.bytes > prefix && memcmp(text.text, t->continuing_prefix, prefix) == 0;
    kept[id] |= is_one_character(text.text, text.bytes) ||
                (goes_on && is_one_character(text.text + prefix, text.bytes - prefix));
  }
}

/* All tokens on the way from a token's bytes to it. `symbols`: room for its bytes. Within a word
 * its parts merge as they do by themselves, because no merge crosses its border. */
static void keep_parts(const pith_tokenizer_data *t, uint32_t id, uint32_t *symbols, bool *kept) {
  const pith_draft_text text = get_text(t, id);
  size_t count = 0;
  for (uint32_t at = 0; at < text.bytes;) {
    uint32_t character;
    at += pith_utf8_decode((const uint8_t *)text.text + at, text.bytes - at, &character);
    const int byte = pith_stand_in_byte(character);
    if (byte < 0 || t->merges[PITH_MERGES_BYTES + byte] == PITH_KEY_NONE)
      return; /* an added token: nothing merges to it */
    symbols[count++] = t->merges[PITH_MERGES_BYTES + byte];
  }
  for (;;) {
    uint32_t best = UINT32_MAX, joined = 0, rank, result;
    size_t place = 0;
    for (size_t i = 0; i + 1 < count; i++)
      if (pith_merges_find(t, symbols[i], symbols[i + 1], &rank, &result) && rank < best) {
        best = rank;
        joined = result;
        place = i;
      }
    if (best == UINT32_MAX)
      return;
    symbols[place] = joined;
    memmove(symbols + place + 1, symbols + place + 2, (count - place - 2) * sizeof *symbols);
    count--;
    kept[joined] = true;
  }
}

static pith_status keep_merges(const pith_tokenizer_data *t, bool *kept, pith_error *error) {
  uint32_t longest = 0;
  for (uint32_t id = 0; id < t->token_count; id++)
    if (get_text(t, id).bytes > longest)
      longest = get_text(t, id).bytes;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  uint32_t *symbols = PITH_ARENA_NEW(&arena, uint32_t, longest);
  if (symbols == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to follow the merges of %u tokens",
                     t->token_count);
  for (uint32_t byte = 0; byte < 256; byte++)
    if (t->merges[PITH_MERGES_BYTES + byte] != PITH_KEY_NONE)
      kept[t->merges[PITH_MERGES_BYTES + byte]] = true;
  for (uint32_t id = 0; id < t->token_count; id++)
    if (kept[id])
      keep_parts(t, id, symbols, kept);
  pith_arena_deinit(&arena);
  return PITH_OK;
}

pith_status pith_vocabulary_keep_needed(const pith_tokenizer_data *t, bool *kept,
                                        pith_error *error) {
  const int32_t roles[] = {t->unk_id, t->cls_id, t->sep_id, t->pad_id, t->mask_id};
  for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
    if (roles[i] >= 0)
      kept[roles[i]] = true;
  for (uint32_t i = 0; i < t->added_count; i++)
    kept[t->added[i].id] = true;
  for (uint32_t i = 0; i < t->single_count; i++)
    if (t->single_template[i].id_or_sequence >= 0)
      kept[t->single_template[i].id_or_sequence] = true;
  for (uint32_t i = 0; i < t->pair_count; i++)
    if (t->pair_template[i].id_or_sequence >= 0)
      kept[t->pair_template[i].id_or_sequence] = true;
  if (t->kind == PITH_TOKENIZER_BYTE_BPE)
    return keep_merges(t, kept, error);
  keep_characters(t, kept);
  return PITH_OK;
}

/* ---- the tokenizer -----------------------------------------------------------------------------
 */

/* Whether the vocabulary finds this id by its text: added tokens may stand beside it, and of two
 * ids with one text one is found. */
static bool is_found(const pith_tokenizer_data *t, uint32_t id) {
  const pith_draft_text text = get_text(t, id);
  return pith_index_find(t, text.text, text.bytes) == id;
}

typedef struct ranked_merge {
  uint32_t rank, left, right;
} ranked_merge;

static int compare_ranks(const void *a, const void *b) {
  const uint32_t x = ((const ranked_merge *)a)->rank, y = ((const ranked_merge *)b)->rank;
  return (x > y) - (x < y);
}

static bool draft_merges(const pith_tokenizer_data *old, const int32_t *new_ids,
                         pith_arena *scratch, pith_draft *draft) {
  const uint32_t slots = old->merges[1];
  const uint32_t *table = old->merges + PITH_MERGES_HEADER_WORDS + pith_merges_direct_words(old);
  ranked_merge *merges = PITH_ARENA_NEW(scratch, ranked_merge, slots);
  draft->merges = PITH_ARENA_NEW(scratch, pith_draft_merge, slots);
  if (merges == NULL || draft->merges == NULL)
    return false;
  for (uint32_t s = 0; s < slots; s++) {
    const uint32_t *entry = table + (size_t)s * PITH_MERGE_SLOT_WORDS;
    if (entry[0] != UINT32_MAX && new_ids[entry[0]] >= 0 && new_ids[entry[1]] >= 0 &&
        new_ids[entry[3]] >= 0)
      merges[draft->merge_count++] = (ranked_merge){entry[2], entry[0], entry[1]};
  }
  qsort(merges, draft->merge_count, sizeof *merges, compare_ranks);
  for (size_t i = 0; i < draft->merge_count; i++)
    draft->merges[i] =
        (pith_draft_merge){get_text(old, merges[i].left), get_text(old, merges[i].right)};
  return true;
}

static uint32_t draft_template(const pith_template_piece *pieces, uint32_t count,
                               const int32_t *new_ids, pith_draft_piece *out) {
  for (uint32_t i = 0; i < count; i++) {
    const int32_t id = pieces[i].id_or_sequence;
    out[i] = (pith_draft_piece){.id = id >= 0 ? new_ids[id] : -1,
                                .sequence = id >= 0 ? 0 : id,
                                .type_id = pieces[i].type_id};
  }
  return count;
}

static bool draft_tokens(const pith_tokenizer_data *old, const int32_t *new_ids,
                         pith_arena *scratch, pith_draft *draft) {
  draft->tokens = PITH_ARENA_NEW(scratch, pith_draft_token, old->token_count);
  draft->added = PITH_ARENA_NEW(scratch, pith_draft_added, old->added_count);
  if (draft->tokens == NULL || draft->added == NULL)
    return false;
  for (uint32_t id = 0; id < old->token_count; id++)
    if (new_ids[id] >= 0 && is_found(old, id))
      draft->tokens[draft->token_count++] =
          (pith_draft_token){get_text(old, id), (uint32_t)new_ids[id]};
  for (uint32_t i = 0; i < old->added_count; i++)
    draft->added[draft->added_count++] = (pith_draft_added){
        get_text(old, old->added[i].id), new_ids[old->added[i].id], old->added[i].flags};
  return true;
}

static pith_status make_tokenizer(const pith_tokenizer_data *old, const int32_t *new_ids,
                                  pith_arena *scratch, pith_arena *arena,
                                  pith_tokenizer_data *out_tokenizer, pith_error *error) {
  if (old->single_count > PITH_DRAFT_PIECES || old->pair_count > PITH_DRAFT_PIECES)
    return pith_fail(error, PITH_LIMIT, "the tokenizer's template has more than %d pieces",
                     PITH_DRAFT_PIECES);
  pith_draft draft = {.file = "the smaller vocabulary",
                      .kind = old->kind,
                      .flags = old->flags,
                      .normalizer = old->normalizer,
                      .pre_tokenizer = old->pre_tokenizer,
                      .max_word_chars = old->max_word_chars,
                      .continuing_prefix = old->continuing_prefix};
  const int32_t roles[PITH_DRAFT_SPECIALS] = {[PITH_SPECIAL_UNK] = old->unk_id,
                                              [PITH_SPECIAL_CLS] = old->cls_id,
                                              [PITH_SPECIAL_SEP] = old->sep_id,
                                              [PITH_SPECIAL_PAD] = old->pad_id,
                                              [PITH_SPECIAL_MASK] = old->mask_id};
  for (unsigned i = 0; i < PITH_DRAFT_SPECIALS; i++)
    if (roles[i] >= 0)
      draft.specials[i] = get_text(old, (uint32_t)roles[i]);
  draft.unknown = draft.specials[PITH_SPECIAL_UNK];
  draft.single_count =
      draft_template(old->single_template, old->single_count, new_ids, draft.single);
  draft.pair_count = draft_template(old->pair_template, old->pair_count, new_ids, draft.pair);
  if (!draft_tokens(old, new_ids, scratch, &draft) ||
      (old->kind == PITH_TOKENIZER_BYTE_BPE && !draft_merges(old, new_ids, scratch, &draft)))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a vocabulary of %u tokens",
                     old->token_count);
  return pith_draft_build(&draft, arena, out_tokenizer, error);
}

pith_status pith_vocabulary_make_tokenizer(const pith_tokenizer_data *old, const int32_t *new_ids,
                                           pith_arena *arena, pith_tokenizer_data *out_tokenizer,
                                           pith_error *error) {
  pith_arena scratch;
  pith_arena_init(&scratch, arena->allocator);
  const pith_status status = make_tokenizer(old, new_ids, &scratch, arena, out_tokenizer, error);
  pith_arena_deinit(&scratch);
  return status;
}
