#include "models/tokenizer/key_table.h"

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* ---- sorting
 * ------------------------------------------------------------------------------------------ */

static int compare(const pith_key *a, const pith_key *b) {
  uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
  int order = common == 0 ? 0 : memcmp(a->text, b->text, common);
  return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

bool pith_keys_sort(pith_key *keys, size_t count) { /* bottom-up merge sort: stable */
  size_t bytes;
  if (count < 2)
    return true;
  pith_key *other =
      pith_size_multiply(count, sizeof *keys, &bytes) ? pith_allocate(NULL, bytes) : NULL;
  if (other == NULL)
    return false;
  pith_key *from = keys, *to = other;
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t begin = 0; begin < count; begin += 2 * width) {
      size_t middle = begin + width < count ? begin + width : count;
      size_t end = middle + width < count ? middle + width : count;
      size_t a = begin, b = middle;
      for (size_t at = begin; at < end; at++)
        to[at] =
            b >= end || (a < middle && compare(&from[a], &from[b]) <= 0) ? from[a++] : from[b++];
    }
    pith_key *swap = from;
    from = to;
    to = swap;
  }
  if (from != keys)
    memcpy(keys, from, bytes);
  pith_release(NULL, other, bytes);
  return true;
}

/* ---- building
 * ----------------------------------------------------------------------------------------- */

enum {
  KEYS_PER_SHIFT = 5,
  SPARE_SLOTS = 64, /* one more slot for so many keys: the last keys find theirs in some 64 tries */
  SHIFTS = 1 << 16,
  KEYS_PER_BEGINNING_WORD = 16, /* at most: two to four bits for each key, a fourth of them set */
  SEEDS = 16,                   /* the first one does, but where two keys have the same hash */
};

typedef struct table_builder {
  pith_key_table table;
  uint16_t *shifts;
  uint32_t *slots, *beginnings;
  const pith_key *keys;
  uint64_t *hashes;
  uint32_t count;
  uint32_t *first;   /* [shift_count + 1] into `members` */
  uint32_t *members; /* [count] keys, those of one shift together */
  uint32_t *order;   /* [shift_count] shifts, those of most keys first */
} table_builder;

/* Counting sort, twice: keys by shift, then shifts by how many keys they have. `sizes`: [count +
 * 2], zeros; zeros again afterwards. */
static void sort_members(table_builder *b, uint32_t *sizes) {
  uint32_t shifts = b->table.shift_count;
  memset(b->first, 0, ((size_t)shifts + 1) * sizeof *b->first);
  for (uint32_t i = 0; i < b->count; i++)
    b->first[pith_key_shift(b->hashes[i], shifts)]++;
  for (uint32_t s = 0, sum = 0; s <= shifts; s++) /* ends, which filling from behind makes begins */
    b->first[s] = sum += s < shifts ? b->first[s] : 0;
  for (uint32_t i = b->count; i-- > 0;)
    b->members[--b->first[pith_key_shift(b->hashes[i], shifts)]] = i;
  uint32_t most = 0;
  for (uint32_t s = 0; s < shifts; s++) {
    uint32_t size = b->first[s + 1] - b->first[s];
    sizes[size]++;
    most = size > most ? size : most;
  }
  for (uint32_t size = most + 1, sum = 0; size-- > 0;) {
    uint32_t here = sizes[size];
    sizes[size] = sum;
    sum += here;
  }
  for (uint32_t s = 0; s < shifts; s++)
    b->order[sizes[b->first[s + 1] - b->first[s]]++] = s;
  memset(sizes, 0, ((size_t)most + 1) * sizeof *sizes);
}

/* Puts the keys of shift `s` into free slots, if `shift` leads each to another one. */
static bool place(table_builder *b, uint32_t s, uint16_t shift) {
  for (uint32_t k = b->first[s]; k < b->first[s + 1]; k++) {
    uint32_t key = b->members[k];
    uint64_t hash = b->hashes[key];
    uint32_t *slot = &b->slots[pith_key_slot(hash, shift, b->table.slot_count)];
    if (*slot != PITH_KEY_NONE) {
      while (k-- > b->first[s])
        b->slots[pith_key_slot(b->hashes[b->members[k]], shift, b->table.slot_count)] =
            PITH_KEY_NONE;
      return false;
    }
    *slot = (uint32_t)(uint8_t)(hash >> 24) << 24 | b->keys[key].value;
  }
  b->shifts[s] = shift;
  return true;
}

static bool place_all(table_builder *b, uint32_t *sizes) {
  for (uint32_t i = 0; i < b->count; i++)
    b->hashes[i] = pith_key_hash(pith_key_begin(&b->table), b->keys[i].text, b->keys[i].bytes);
  sort_members(b, sizes);
  memset(b->shifts, 0, b->table.shift_count * sizeof *b->shifts);
  for (uint32_t i = 0; i < b->table.slot_count; i++)
    b->slots[i] = PITH_KEY_NONE;
  for (uint32_t i = 0; i < b->table.shift_count; i++) {
    uint32_t shift = 0;
    while (!place(b, b->order[i], (uint16_t)shift))
      if (++shift == SHIFTS)
        return false;
  }
  return true;
}

static void mark_beginnings(table_builder *b) {
  for (uint32_t i = 0; i < b->count; i++) {
    uint64_t hash = pith_key_begin(&b->table);
    for (uint32_t n = 1; n <= b->keys[i].bytes; n++) {
      hash = pith_key_step(hash, (uint8_t)b->keys[i].text[n - 1]);
      uint32_t bit = pith_key_beginning(hash, b->table.beginning_words);
      if (pith_key_is_beginning(n))
        b->beginnings[bit / 32] |= 1u << bit % 32;
    }
  }
}

static pith_status build(const pith_key *keys, uint32_t count, pith_arena *scratch,
                         pith_arena *arena, pith_key_table *out, pith_error *error) {
  uint32_t shifts = count / KEYS_PER_SHIFT + 1, slots = count + count / SPARE_SLOTS + 1;
  uint32_t words = 1;
  while (words < count / KEYS_PER_BEGINNING_WORD)
    words *= 2;
  table_builder b = {
      .table = {.shift_count = shifts, .slot_count = slots, .beginning_words = words},
      .shifts = PITH_ARENA_NEW(arena, uint16_t, (size_t)shifts + shifts % 2),
      .slots = PITH_ARENA_NEW(arena, uint32_t, slots),
      .beginnings = PITH_ARENA_NEW(arena, uint32_t, words),
      .keys = keys,
      .hashes = PITH_ARENA_NEW(scratch, uint64_t, count),
      .count = count,
      .first = PITH_ARENA_NEW(scratch, uint32_t, (size_t)shifts + 1),
      .members = PITH_ARENA_NEW(scratch, uint32_t, count),
      .order = PITH_ARENA_NEW(scratch, uint32_t, shifts),
  };
  uint32_t *sizes = PITH_ARENA_NEW(scratch, uint32_t, (size_t)count + 2);
  if (b.shifts == NULL || b.slots == NULL || b.beginnings == NULL || b.hashes == NULL ||
      b.first == NULL || b.members == NULL || b.order == NULL || sizes == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "out of memory while building a table of %u keys",
                     count);
  for (uint32_t i = 0; i < count; i++)
    if (keys[i].bytes > b.table.longest)
      b.table.longest = keys[i].bytes;
  while (!place_all(&b, sizes))
    if (++b.table.seed == SEEDS)
      return pith_fail(error, PITH_UNSUPPORTED, "no table holds these %u keys", count);
  mark_beginnings(&b);
  b.table.shifts = b.shifts;
  b.table.slots = b.slots;
  b.table.beginnings = b.beginnings;
  *out = b.table;
  return PITH_OK;
}

pith_status pith_key_table_build(const pith_key *keys, size_t count, pith_arena *arena,
                                 pith_key_table *out_table, pith_error *error) {
  if (count >= PITH_KEY_NONE)
    return pith_fail(error, PITH_LIMIT, "a table of %zu keys; at most %d", count,
                     PITH_KEY_NONE - 1);
  pith_arena scratch;
  pith_arena_init(&scratch, arena->allocator);
  pith_status status = build(keys, (uint32_t)count, &scratch, arena, out_table, error);
  pith_arena_deinit(&scratch);
  return status;
}
