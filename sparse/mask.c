#include "sparse/mask.h"

#include <math.h>
#include <string.h>

pith_mask_grid pith_mask_grid_make(const pith_pattern *pattern, size_t n, size_t k) {
  pith_mask_grid grid = {.n = n, .k = k, .outputs = 1, .inputs = 1};
  if (pattern->kind == PITH_PATTERN_BLOCK) {
    grid.outputs = pattern->outputs;
    grid.inputs = pattern->inputs;
  } else if (pattern->kind == PITH_PATTERN_ROW) {
    grid.inputs = k;
  } else if (pattern->kind == PITH_PATTERN_COLUMN) {
    grid.outputs = n;
  }
  grid.rows = (n + grid.outputs - 1) / grid.outputs;
  grid.columns = (k + grid.inputs - 1) / grid.inputs;
  return grid;
}

static size_t at_most(size_t a, size_t b) {
  return a < b ? a : b;
}

void pith_mask_score_magnitude(const pith_mask_grid *grid, const float *w, float *out_scores) {
  for (size_t r = 0; r < grid->rows; r++)
    for (size_t c = 0; c < grid->columns; c++) {
      const size_t row_end = at_most(grid->n, (r + 1) * grid->outputs);
      const size_t column_end = at_most(grid->k, (c + 1) * grid->inputs);
      double sum = 0;
      for (size_t i = r * grid->outputs; i < row_end; i++)
        for (size_t j = c * grid->inputs; j < column_end; j++)
          sum += fabs((double)w[i * grid->k + j]);
      out_scores[r * grid->columns + c] = (float)(sum / (double)pith_mask_block_elements(grid, r, c));
    }
}

void pith_mask_apply(const pith_mask_grid *grid, const uint8_t *removed, float *w) {
  for (size_t i = 0; i < grid->n; i++) {
    const uint8_t *gone = removed + i / grid->outputs * grid->columns;
    float *row = w + i * grid->k;
    for (size_t c = 0; c < grid->columns && grid->inputs == 1; c++) /* without branches: every step of training comes here */
      row[c] = gone[c] ? 0.0f : row[c];
    for (size_t c = 0; c < grid->columns && grid->inputs != 1; c++)
      if (gone[c])
        for (size_t j = c * grid->inputs; j < at_most(grid->k, (c + 1) * grid->inputs); j++)
          row[j] = 0.0f;
  }
}

/* ---- one threshold --------------------------------------------------------------------------------------------------- */

enum { BINS = 1 << 16 };

/* In the order of the scores: floats from 0 on are in the order of their bits, those below in that of the bits' complements. */
static uint32_t get_key(const pith_mask_part *part, size_t block) {
  const float score = part->scores[block] + 0.0f; /* -0 */
  uint32_t key;
  memcpy(&key, &score, sizeof key);
  return key >> 31 != 0 ? ~key : key | UINT32_C(1) << 31;
}

/* Elements of the parts' blocks by 16 bits of their keys; with `high` of those whose upper 16 bits these are. */
static void count_bins(pith_mask_part *const *parts, size_t part_count, bool of_low, uint32_t high, uint64_t *bins) {
  memset(bins, 0, BINS * sizeof *bins);
  for (size_t p = 0; p < part_count; p++) {
    const pith_mask_grid *grid = &parts[p]->grid;
    for (size_t r = 0; r < grid->rows; r++)
      for (size_t c = 0; c < grid->columns; c++) {
        const uint32_t key = get_key(parts[p], r * grid->columns + c);
        if (!of_low)
          bins[key >> 16] += pith_mask_block_elements(grid, r, c);
        else if (key >> 16 == high)
          bins[key & 0xffff] += pith_mask_block_elements(grid, r, c);
      }
  }
}

/* The first bin that does not fit whole into what is `left`, which loses those before it; BINS: all fit. */
static uint32_t find_bin(const uint64_t *bins, uint64_t *left) {
  uint32_t bin = 0;
  while (bin < BINS && bins[bin] <= *left)
    *left -= bins[bin++];
  return bin;
}

/* Removes `target` elements of these parts, or fewer by less than a block. */
static void threshold(pith_mask_part *const *parts, size_t part_count, uint64_t target, uint64_t *bins) {
  uint64_t left = target;
  count_bins(parts, part_count, false, 0, bins);
  const uint32_t high = find_bin(bins, &left);
  uint64_t bound = UINT64_MAX; /* keys below it go */
  if (high < BINS) {
    count_bins(parts, part_count, true, high, bins);
    bound = ((uint64_t)high << 16) + find_bin(bins, &left);
  }
  for (size_t p = 0; p < part_count; p++) {
    pith_mask_part *part = parts[p];
    part->count = 0;
    for (size_t r = 0; r < part->grid.rows; r++)
      for (size_t c = 0; c < part->grid.columns; c++) {
        const size_t block = r * part->grid.columns + c;
        const uint64_t elements = pith_mask_block_elements(&part->grid, r, c), key = get_key(part, block);
        const bool tie = key == bound && elements <= left;
        left -= tie ? elements : 0;
        part->removed[block] = key < bound || tie;
        part->count += part->removed[block] ? elements : 0;
      }
  }
}

/* ---- all parts ------------------------------------------------------------------------------------------------------- */

static uint64_t count_elements(const pith_mask_part *part) {
  return (uint64_t)part->grid.n * part->grid.k;
}

/* Fixes the active parts that are over (under) their bound; whether there was one. */
static bool fix_parts(pith_mask_part **active, size_t *active_count, bool over, double share, uint64_t *left, uint64_t *bins) {
  size_t kept = 0;
  const size_t before = *active_count;
  for (size_t i = 0; i < before; i++) {
    pith_mask_part *part = active[i];
    const double bound = share * (double)count_elements(part);
    const uint64_t limit = (uint64_t)(over ? floor(bound + 1e-6) : ceil(bound - 1e-6));
    if (over ? part->count <= limit : part->count >= limit) {
      active[kept++] = part;
      continue;
    }
    threshold(&part, 1, limit, bins);
    *left -= at_most(*left, part->count);
  }
  *active_count = kept;
  return kept != before;
}

static pith_status select_parts(pith_mask_part *parts, size_t part_count, double sparsity, double minimum, double maximum,
                                pith_mask_part **active, uint64_t *bins, pith_error *error) {
  uint64_t total = 0, removed = 0, block = 0;
  size_t active_count = part_count;
  for (size_t p = 0; p < part_count; p++) {
    active[p] = &parts[p];
    total += count_elements(&parts[p]);
    const uint64_t elements = pith_mask_block_elements(&parts[p].grid, 0, 0);
    block = elements > block ? elements : block;
  }
  const uint64_t target = (uint64_t)llround(sparsity * (double)total);
  uint64_t left = target;
  do
    threshold(active, active_count, left, bins);
  while (active_count > 0 && (fix_parts(active, &active_count, true, maximum, &left, bins) ||
                              fix_parts(active, &active_count, false, minimum, &left, bins)));
  for (size_t p = 0; p < part_count; p++)
    removed += parts[p].count;
  /* Each part that was fixed may have kept a block more than the bound says. */
  const uint64_t slack = block * (part_count + 1);
  if (removed + slack < target || removed > target + slack)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "a sparsity of %g cannot be reached with %g to %g in each weight: it would be %.4f", sparsity, minimum,
                     maximum, (double)removed / (double)total);
  return PITH_OK;
}

pith_status pith_mask_select(pith_mask_part *parts, size_t part_count, double sparsity, double minimum, double maximum,
                             pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_mask_part **active = PITH_ARENA_NEW(&arena, pith_mask_part *, part_count);
  uint64_t *bins = PITH_ARENA_NEW(&arena, uint64_t, BINS);
  const pith_status status = active == NULL || bins == NULL
                                 ? pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to compare %zu weights", part_count)
                                 : select_parts(parts, part_count, sparsity, minimum, maximum, active, bins, error);
  pith_arena_deinit(&arena);
  return status;
}

/* ---- N:M ------------------------------------------------------------------------------------------------------------- */

/* Whether `i` of `count` scores is among the `keep` greatest. */
static bool is_kept(const float *scores, size_t count, size_t keep, size_t i) {
  size_t greater = 0;
  for (size_t j = 0; j < count; j++)
    greater += scores[j] > scores[i] || (scores[j] == scores[i] && j > i);
  return greater < keep;
}

void pith_mask_select_n_of_m(pith_mask_part *part, const pith_pattern *pattern) {
  const size_t m = pattern->inputs;
  part->count = 0;
  for (size_t r = 0; r < part->grid.n; r++)
    for (size_t begin = 0; begin < part->grid.k; begin += m) {
      const size_t count = at_most(m, part->grid.k - begin), first = r * part->grid.k + begin;
      for (size_t i = 0; i < count; i++) {
        part->removed[first + i] = !is_kept(part->scores + first, count, pattern->outputs, i);
        part->count += part->removed[first + i];
      }
    }
}
