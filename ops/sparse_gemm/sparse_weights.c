#include "ops/sparse_gemm/sparse_weights.h"

#include <string.h>

enum { GROUP = PITH_SPARSE_GROUP, UNIT_INPUTS = 4 };

/* What the forms differ in. */
typedef struct form_row {
  size_t unit_bytes, weights_at; /* where a unit's weights begin */
  size_t weight_bytes;
  size_t block_inputs; /* neighbours that are kept or left out together */
  bool has_sums;
} form_row;
static const form_row forms[PITH_SPARSE_FORM_COUNT] = {
    [PITH_SPARSE_B4X1_S8] = {24, 8, 1, 1, true},
    [PITH_SPARSE_B4X4_S8] = {20, 4, 1, 4, true},
    [PITH_SPARSE_B4X1_F32] = {20, 4, 4, 1, false},
};

static size_t divide_up(size_t a, size_t b) {
  return a / b + (a % b != 0);
}

static size_t min_size(size_t a, size_t b) {
  return a < b ? a : b;
}

static size_t starts_bytes(size_t groups) {
  return divide_up((groups + 1) * sizeof(uint32_t), 16) * 16;
}

static size_t sums_bytes(pith_sparse_form form, size_t groups) {
  return forms[form].has_sums ? groups * GROUP * sizeof(int32_t) : 0;
}

size_t pith_sparse_packed_bytes(pith_sparse_form form, size_t n, size_t units) {
  const size_t groups = divide_up(n, GROUP);
  return starts_bytes(groups) + sums_bytes(form, groups) + units * forms[form].unit_bytes;
}

size_t pith_sparse_max_units(pith_sparse_form form, size_t n, size_t k) {
  return divide_up(n, GROUP) * (form == PITH_SPARSE_B4X1_F32 ? k : divide_up(k, UNIT_INPUTS));
}

pith_sparse_parts pith_sparse_get_parts(pith_sparse_form form, size_t n, const void *packed) {
  const uint8_t *bytes = packed;
  const size_t groups = divide_up(n, GROUP);
  const uint8_t *sums = bytes + starts_bytes(groups);
  return (pith_sparse_parts){
      .starts = packed,
      .sums = forms[form].has_sums ? (const int32_t *)(const void *)sums : NULL,
      .units = sums + sums_bytes(form, groups),
      .groups = groups,
      .unit_bytes = forms[form].unit_bytes,
  };
}

/* ---- packing --------------------------------------------------------------------------------------------------- */

/* The group of outputs that begins at n0. */
typedef struct group {
  const form_row *form;
  size_t n0, rows, k;
  const void *w; /* [n, k] */
} group;

static group make_group(pith_sparse_form form, size_t n, size_t k, const void *w, size_t index) {
  const size_t n0 = index * GROUP;
  return (group){&forms[form], n0, min_size(n - n0, GROUP), k, w};
}

/* The first block at or behind `input` that is not 0: its first input, or k. -0 is 0. */
static size_t find_block(const group *g, size_t input) {
  for (; input < g->k; input += g->form->block_inputs) {
    const size_t count = min_size(g->k - input, g->form->block_inputs);
    for (size_t row = 0; row < g->rows; ++row)
      for (size_t i = 0; i < count; ++i) {
        const size_t at = (g->n0 + row) * g->k + input + i;
        if (g->form->weight_bytes == 1 ? ((const int8_t *)g->w)[at] != 0 : ((const float *)g->w)[at] != 0.0f)
          return input;
      }
  }
  return g->k;
}

static size_t count_group_units(pith_sparse_form form, const group *g) {
  size_t blocks = 0;
  for (size_t input = find_block(g, 0); input < g->k; input = find_block(g, input + g->form->block_inputs))
    ++blocks;
  return form == PITH_SPARSE_B4X1_S8 ? divide_up(blocks, UNIT_INPUTS) : blocks;
}

size_t pith_sparse_count_units(pith_sparse_form form, size_t n, size_t k, const void *w) {
  size_t units = 0;
  for (size_t index = 0; index < divide_up(n, GROUP); ++index) {
    const group g = make_group(form, n, k, w, index);
    units += count_group_units(form, &g);
  }
  return units;
}

/* A unit of b4x1_s8 from `input` on; returns the first block behind it. */
static size_t pack_b4x1(const group *g, size_t input, uint8_t *unit) {
  const int8_t *w = (const int8_t *)g->w + g->n0 * g->k;
  uint16_t inputs[UNIT_INPUTS];
  size_t last = input;
  memset(unit, 0, g->form->unit_bytes);
  for (size_t i = 0; i < UNIT_INPUTS; ++i) {
    const bool is_there = input < g->k;
    last = is_there ? input : last;
    inputs[i] = (uint16_t)last;
    for (size_t row = 0; is_there && row < g->rows; ++row)
      unit[g->form->weights_at + row * UNIT_INPUTS + i] = (uint8_t)w[row * g->k + input];
    input = is_there ? find_block(g, input + 1) : input;
  }
  memcpy(unit, inputs, sizeof inputs);
  return input;
}

static void pack_b4x4(const group *g, size_t input, uint8_t *unit) {
  const int8_t *w = (const int8_t *)g->w + g->n0 * g->k;
  const uint32_t index = (uint32_t)(input / UNIT_INPUTS);
  memset(unit, 0, g->form->unit_bytes);
  memcpy(unit, &index, sizeof index);
  for (size_t row = 0; row < g->rows; ++row)
    for (size_t i = 0; i < UNIT_INPUTS && input + i < g->k; ++i)
      unit[g->form->weights_at + row * UNIT_INPUTS + i] = (uint8_t)w[row * g->k + input + i];
}

static void pack_f32(const group *g, size_t input, uint8_t *unit) {
  const float *w = (const float *)g->w + g->n0 * g->k;
  const uint32_t index = (uint32_t)input;
  float values[GROUP] = {0};
  for (size_t row = 0; row < g->rows; ++row)
    values[row] = w[row * g->k + input];
  memcpy(unit, &index, sizeof index);
  memcpy(unit + g->form->weights_at, values, sizeof values);
}

static void sum_group(const group *g, uint8_t *out) {
  int32_t sums[GROUP] = {0};
  for (size_t row = 0; row < g->rows; ++row)
    for (size_t i = 0; i < g->k; ++i)
      sums[row] += ((const int8_t *)g->w)[(g->n0 + row) * g->k + i];
  memcpy(out, sums, sizeof sums);
}

void pith_sparse_pack(pith_sparse_form form, size_t n, size_t k, const void *w, void *out_packed) {
  uint8_t *out = out_packed;
  const size_t groups = divide_up(n, GROUP);
  uint8_t *sums = out + starts_bytes(groups), *unit = sums + sums_bytes(form, groups);
  memset(out, 0, starts_bytes(groups));
  uint32_t units = 0;
  for (size_t index = 0; index < groups; ++index) {
    const group g = make_group(form, n, k, w, index);
    if (forms[form].has_sums)
      sum_group(&g, sums + index * GROUP * sizeof(int32_t));
    for (size_t input = find_block(&g, 0); input < k; ++units, unit += g.form->unit_bytes) {
      if (form == PITH_SPARSE_B4X1_S8) {
        input = pack_b4x1(&g, input, unit);
        continue;
      }
      if (form == PITH_SPARSE_B4X4_S8)
        pack_b4x4(&g, input, unit);
      else
        pack_f32(&g, input, unit);
      input = find_block(&g, input + g.form->block_inputs);
    }
    memcpy(out + (index + 1) * sizeof units, &units, sizeof units);
  }
}

/* ---- unpacking ------------------------------------------------------------------------------------------------- */

static uint32_t read_u32(const void *p) {
  uint32_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static size_t read_u16(const uint8_t *p) {
  uint16_t value;
  memcpy(&value, p, sizeof value);
  return value;
}

static void unpack_unit(pith_sparse_form form, const group *g, const uint8_t *unit, uint8_t *out_w) {
  const uint8_t *weights = unit + g->form->weights_at;
  const size_t columns = form == PITH_SPARSE_B4X1_F32 ? 1 : UNIT_INPUTS, bytes = g->form->weight_bytes;
  for (size_t i = 0; i < columns; ++i) {
    size_t input = read_u32(unit) * g->form->block_inputs + i;
    if (form == PITH_SPARSE_B4X1_S8) {
      input = read_u16(unit + 2 * i);
      if (i > 0 && input == read_u16(unit + 2 * (i - 1)))
        return; /* the filling of a last unit */
    }
    for (size_t row = 0; input < g->k && row < g->rows; ++row)
      memcpy(out_w + ((g->n0 + row) * g->k + input) * bytes, weights + (row * columns + i) * bytes, bytes);
  }
}

void pith_sparse_unpack(pith_sparse_form form, size_t n, size_t k, const void *packed, void *out_w) {
  const pith_sparse_parts parts = pith_sparse_get_parts(form, n, packed);
  if (n > 0 && k > 0)
    memset(out_w, 0, n * k * forms[form].weight_bytes);
  for (size_t index = 0; index < parts.groups; ++index) {
    const group g = make_group(form, n, k, NULL, index);
    for (size_t u = read_u32(parts.starts + index); u < read_u32(parts.starts + index + 1); ++u)
      unpack_unit(form, &g, parts.units + u * parts.unit_bytes, out_w);
  }
}

/* ---- checking -------------------------------------------------------------------------------------------------- */

/* Whether a b4x1_s8 unit's inputs ascend from *next on; those of a last one may end in the same one again and again. */
static bool check_b4x1(const uint8_t *unit, size_t k, bool is_last, size_t *next) {
  for (size_t i = 0; i < UNIT_INPUTS; ++i) {
    const size_t input = read_u16(unit + 2 * i);
    if (is_last && i > 0 && input + 1 == *next) {
      for (size_t rest = i + 1; rest < UNIT_INPUTS; ++rest)
        if (read_u16(unit + 2 * rest) != input)
          return false;
      return true;
    }
    if (input < *next || input >= k)
      return false;
    *next = input + 1;
  }
  return true;
}

bool pith_sparse_check(pith_sparse_form form, size_t n, size_t k, const void *packed, size_t bytes) {
  if (n / GROUP > bytes / sizeof(uint32_t) || k > PITH_SPARSE_MAX_K) /* before sizes that could overflow */
    return false;
  const size_t groups = divide_up(n, GROUP), header = starts_bytes(groups) + sums_bytes(form, groups);
  const size_t inputs = form == PITH_SPARSE_B4X4_S8 ? divide_up(k, UNIT_INPUTS) : k;
  if (bytes < header)
    return false;
  const pith_sparse_parts parts = pith_sparse_get_parts(form, n, packed);
  const size_t units = (bytes - header) / parts.unit_bytes;
  if (read_u32(parts.starts) != 0 || read_u32(parts.starts + groups) != units ||
      bytes != header + units * parts.unit_bytes)
    return false;
  size_t u = 0;
  for (size_t index = 0; index < groups; ++index) {
    const size_t end = read_u32(parts.starts + index + 1);
    if (end < u || end > units)
      return false;
    for (size_t next = 0; u < end; ++u) {
      const uint8_t *unit = parts.units + u * parts.unit_bytes;
      if (form == PITH_SPARSE_B4X1_S8) {
        if (!check_b4x1(unit, inputs, u + 1 == end, &next))
          return false;
        continue;
      }
      const size_t input = read_u32(unit);
      if (input < next || input >= inputs)
        return false;
      next = input + 1;
    }
  }
  return true;
}
