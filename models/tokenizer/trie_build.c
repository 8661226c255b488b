#include "models/tokenizer/trie_build.h"

#include "engine/base/arena.h"
#include "engine/base/error.h"

/* ---- sorting
 * ------------------------------------------------------------------------------------------ */

static int compare(const pith_trie_key *a, const pith_trie_key *b) {
  uint32_t common = a->bytes < b->bytes ? a->bytes : b->bytes;
  int order = common == 0 ? 0 : memcmp(a->text, b->text, common);
  return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

bool pith_trie_sort(pith_trie_key *keys, size_t count) { /* bottom-up merge sort: stable */
  size_t bytes;
  if (count < 2)
    return true;
  pith_trie_key *other =
      pith_size_multiply(count, sizeof *keys, &bytes) ? pith_allocate(NULL, bytes) : NULL;
  if (other == NULL)
    return false;
  pith_trie_key *from = keys, *to = other;
  for (size_t width = 1; width < count; width *= 2) {
    for (size_t begin = 0; begin < count; begin += 2 * width) {
      size_t middle = begin + width < count ? begin + width : count;
      size_t end = middle + width < count ? middle + width : count;
      size_t a = begin, b = middle;
      for (size_t at = begin; at < end; at++)
        to[at] =
            b >= end || (a < middle && compare(&from[a], &from[b]) <= 0) ? from[a++] : from[b++];
    }
    pith_trie_key *swap = from;
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
  BLOCK = 256, /* cells that one base can reach */
  TRIES = 256, /* free cells looked at before a node with several children gets a new block */
  BLOCK_BASES = BLOCK - 1, /* so that a free cell has a label that leads to it from no base */
};

/* A node whose children are not placed yet: the keys [low, high) share its first `depth` bytes. */
typedef struct pending_node {
  uint32_t cell, low, high, depth;
} pending_node;

typedef struct cell_state {
  uint32_t next, previous; /* free list; cell 0 is its head and never free */
  bool used, is_base;
} cell_state;

typedef struct trie_builder {
  pith_arena *arena;
  uint32_t *cells;
  cell_state *state;
  uint16_t *block_bases;
  uint32_t count, capacity; /* cells */
} trie_builder;

static bool add_block(trie_builder *builder) {
  if (builder->count == builder->capacity) {
    if (builder->capacity > UINT32_MAX / 8)
      return false;
    uint32_t capacity = builder->capacity == 0 ? 16 * BLOCK : 2 * builder->capacity;
    uint32_t *cells =
        PITH_ARENA_NEW(builder->arena, uint32_t, (size_t)capacity * PITH_TRIE_CELL_WORDS);
    cell_state *state = PITH_ARENA_NEW(builder->arena, cell_state, capacity);
    uint16_t *bases = PITH_ARENA_NEW(builder->arena, uint16_t, capacity / BLOCK);
    if (cells == NULL || state == NULL || bases == NULL)
      return false;
    if (builder->count > 0) {
      memcpy(cells, builder->cells, (size_t)builder->count * PITH_TRIE_CELL_WORDS * sizeof *cells);
      memcpy(state, builder->state, builder->count * sizeof *state);
      memcpy(bases, builder->block_bases, builder->count / BLOCK * sizeof *bases);
    }
    builder->cells = cells;
    builder->state = state;
    builder->block_bases = bases;
    builder->capacity = capacity;
  }
  cell_state *state = builder->state;
  for (uint32_t cell = builder->count; cell < builder->count + BLOCK; cell++) {
    uint32_t last = state[0].previous;
    state[cell] = (cell_state){.next = 0, .previous = last};
    if (cell == 0)
      continue; /* the head */
    state[last].next = cell;
    state[0].previous = cell;
  }
  builder->count += BLOCK;
  return true;
}

static void take_cell(trie_builder *builder, uint32_t cell) {
  cell_state *state = builder->state;
  state[state[cell].previous].next = state[cell].next;
  state[state[cell].next].previous = state[cell].previous;
  state[cell].used = true;
}

static bool base_fits(const trie_builder *builder, uint32_t base, const uint8_t *labels,
                      unsigned count) {
  if (base < PITH_TRIE_FIRST_BASE || builder->state[base].is_base ||
      builder->block_bases[base / BLOCK] >= BLOCK_BASES)
    return false;
  for (unsigned i = 0; i < count; i++)
    if (builder->state[base ^ labels[i]].used)
      return false;
  return true;
}

/* A base under which every label's cell is free; 0: out of memory. */
static uint32_t find_base(trie_builder *builder, const uint8_t *labels, unsigned count) {
  unsigned tries = 0;
  for (uint32_t cell = builder->state[0].next; cell != 0; cell = builder->state[cell].next) {
    if (base_fits(builder, cell ^ labels[0], labels, count))
      return cell ^ labels[0];
    if (++tries == TRIES)
      break;
  }
  uint32_t base = builder->count;
  return add_block(builder) ? base : 0;
}

pith_status pith_trie_build(const pith_trie_key *keys, size_t count, pith_arena *arena,
                            uint32_t **out_cells, uint32_t *out_count, pith_error *error) {
  *out_cells = NULL;
  *out_count = 0;
  if (count == 0)
    return PITH_OK;
  size_t nodes = 1;
  for (size_t i = 0; i < count; i++)
    nodes += keys[i].bytes;
  pith_arena scratch;
  pith_arena_init(&scratch, arena->allocator);
  trie_builder builder = {.arena = &scratch};
  pith_status status = PITH_OUT_OF_MEMORY;
  pending_node *queue = PITH_ARENA_NEW(&scratch, pending_node, nodes);
  /* Two blocks: bases of block 0 do not exist, so that base 0 can mean that there are no children.
   */
  if (queue == NULL || nodes >= UINT32_MAX || !add_block(&builder) || !add_block(&builder))
    goto done;
  while (builder.state[0].next != 0 && builder.state[0].next < PITH_TRIE_FIRST_BASE)
    take_cell(&builder, builder.state[0].next); /* block 0 is for the root alone */
  for (uint32_t cell = 0; cell < BLOCK; cell++)
    builder.cells[cell * PITH_TRIE_CELL_WORDS + 1] = (uint32_t)PITH_TRIE_NONE << 8 | (uint8_t)~cell;

  size_t first = 0, last = 0;
  queue[last++] = (pending_node){0, 0, (uint32_t)count, 0};
  while (first < last) { /* breadth first: the cells near the root lie together */
    pending_node node = queue[first++];
    if (node.low < node.high && keys[node.low].bytes == node.depth) {
      uint32_t *word = &builder.cells[node.cell * PITH_TRIE_CELL_WORDS + 1];
      *word = keys[node.low].value << 8 | (*word & 0xFF);
      node.low++;
    }
    uint8_t labels[256];
    unsigned children = 0;
    for (uint32_t i = node.low; i < node.high; i++)
      if (children == 0 || labels[children - 1] != keys[i].text[node.depth])
        labels[children++] = keys[i].text[node.depth];
    if (children == 0)
      continue;
    uint32_t base = find_base(&builder, labels, children);
    if (base == 0)
      goto done;
    builder.cells[node.cell * PITH_TRIE_CELL_WORDS] = base;
    builder.state[base].is_base = true;
    builder.block_bases[base / BLOCK]++;
    uint32_t low = node.low;
    for (unsigned i = 0; i < children; i++) {
      uint32_t high = low, cell = base ^ labels[i];
      while (high < node.high && keys[high].text[node.depth] == labels[i])
        high++;
      take_cell(&builder, cell);
      builder.cells[cell * PITH_TRIE_CELL_WORDS + 1] = (uint32_t)PITH_TRIE_NONE << 8 | labels[i];
      queue[last++] = (pending_node){cell, low, high, node.depth + 1};
      low = high;
    }
  }
  for (uint32_t cell = builder.state[0].next; cell != 0; cell = builder.state[cell].next) {
    uint32_t label = 0;
    while (builder.state[cell ^ label].is_base)
      label++;
    builder.cells[cell * PITH_TRIE_CELL_WORDS + 1] = (uint32_t)PITH_TRIE_NONE << 8 | label;
  }
  size_t words = (size_t)builder.count * PITH_TRIE_CELL_WORDS;
  uint32_t *cells = PITH_ARENA_NEW(arena, uint32_t, words);
  if (cells != NULL) {
    memcpy(cells, builder.cells, words * sizeof *cells);
    *out_cells = cells;
    *out_count = builder.count;
    status = PITH_OK;
  }
done:
  pith_arena_deinit(&scratch);
  return status == PITH_OK
             ? status
             : pith_fail(error, status, "out of memory while building a trie of %zu keys", count);
}
