#include "ops/sparse_gemm/sparse_split.h"

#include "ops/activation_layout.h"

enum { TASKS_PER_THREAD = 4 /* at least, where there is that much to share out: threads may differ in speed */ };

/* Of the groups before `group`. */
static size_t cost_before(const pith_sparse_split *split, size_t s, size_t group) {
  const pith_sparse_parts *w = &split->parts[s];
  return w->groups == 0 ? 0 : w->starts[group] + group * split->group_cost;
}

static size_t all_cost(const pith_sparse_split *split) {
  size_t cost = 0;
  for (size_t s = 0; s < split->segment_count; ++s)
    cost += cost_before(split, s, split->parts[s].groups);
  return cost;
}

/* The first group before which no less than `cost` lies. */
static size_t find_group(const pith_sparse_split *split, size_t s, size_t cost) {
  size_t low = 0, high = split->parts[s].groups;
  while (low < high) {
    const size_t middle = low + (high - low) / 2;
    if (cost_before(split, s, middle) < cost)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

static size_t count_tiles(const pith_sparse_split *split) {
  return (split->rows + PITH_TILE_TOKENS - 1) / PITH_TILE_TOKENS;
}

/* Ranges that a tile is cut into. */
static size_t count_ranges(const pith_sparse_split *split, size_t cost, size_t threads) {
  const size_t tiles = count_tiles(split), wanted = TASKS_PER_THREAD * threads;
  if (threads <= 1 || split->whole || tiles >= 2 * wanted)
    return 1;
  const size_t ranges = (wanted + tiles - 1) / tiles, worth = cost / split->least_cost;
  return ranges < worth ? ranges : worth > 0 ? worth : 1;
}

size_t pith_sparse_split_count(const pith_sparse_split *split, size_t threads) {
  const size_t cost = all_cost(split);
  return split->rows == 0 || cost == 0 ? 0 : count_tiles(split) * count_ranges(split, cost, threads);
}

pith_sparse_task pith_sparse_split_get(const pith_sparse_split *split, size_t threads, size_t task) {
  const size_t cost = all_cost(split), ranges = count_ranges(split, cost, threads), part = task % ranges;
  const size_t begin = cost / ranges * part + cost % ranges * part / ranges;
  const size_t end = cost / ranges * (part + 1) + cost % ranges * (part + 1) / ranges;
  pith_sparse_task out = {.tile = task / ranges};
  size_t before = 0; /* the cost of the segments before */
  for (size_t s = 0; s < split->segment_count && before < end; ++s) {
    out.first[s] = begin > before ? find_group(split, s, begin - before) : 0;
    out.last[s] = find_group(split, s, end - before);
    before += cost_before(split, s, split->parts[s].groups);
  }
  return out;
}
