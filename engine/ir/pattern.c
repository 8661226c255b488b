#include "engine/ir/pattern.h"

#include <stdio.h>
#include <string.h>

static const char *const names[PITH_PATTERN_COUNT] = {
#define PITH_PATTERN_NAME(name, text) text,
    PITH_PATTERN_LIST(PITH_PATTERN_NAME)
#undef PITH_PATTERN_NAME
};

/* ---- text ------------------------------------------------------------------------------------------------------ */

/* A number of 1 to 999,999 without leading zeros, or `*`, which gives 0; false: neither. */
static bool read_side(const char **text, bool star, uint32_t *out_value) {
  *out_value = 0;
  if (star && **text == '*') {
    ++*text;
    return true;
  }
  const char *first = *text;
  while (**text >= '0' && **text <= '9' && *text - first < 6)
    *out_value = *out_value * 10 + (uint32_t)(*(*text)++ - '0');
  return *text > first && *first != '0';
}

/* "4x1", "2:4", and with `star` "64x*": false where it is not all of the text. */
static bool read_sides(const char *text, char between, bool star, pith_pattern *pattern) {
  if (!read_side(&text, star, &pattern->outputs) || *text++ != between)
    return false;
  return read_side(&text, star, &pattern->inputs) && *text == '\0';
}

static bool is_sized(pith_pattern_kind kind) {
  return kind == PITH_PATTERN_HEAD || kind == PITH_PATTERN_NEURON;
}

/* "element", "head", "head:64x*". */
static bool read_name(const char *text, pith_pattern *pattern) {
  for (int kind = 0; kind < PITH_PATTERN_COUNT; kind++) {
    const size_t length = strlen(names[kind]);
    if (kind == PITH_PATTERN_BLOCK || kind == PITH_PATTERN_N_OF_M || strncmp(text, names[kind], length) != 0)
      continue;
    pattern->kind = (pith_pattern_kind)kind;
    if (text[length] == '\0')
      return true;
    return is_sized(pattern->kind) && text[length] == ':' && read_sides(text + length + 1, 'x', true, pattern) &&
           pattern->outputs != pattern->inputs; /* not both `*` */
  }
  return false;
}

pith_status pith_pattern_parse(const char *text, pith_pattern *out_pattern, pith_error *error) {
  pith_pattern pattern = {PITH_PATTERN_DENSE, 0, 0};
  *out_pattern = pattern;
  if (!read_name(text, &pattern)) {
    pattern = (pith_pattern){PITH_PATTERN_BLOCK, 0, 0};
    if (!read_sides(text, 'x', false, &pattern)) {
      pattern.kind = PITH_PATTERN_N_OF_M;
      if (!read_sides(text, ':', false, &pattern))
        return pith_fail(error, PITH_INVALID_ARGUMENT,
                         "'%.40s' is no pattern: element, row, column, head, neuron, dense, outputs x inputs such as 4x1, or "
                         "N of M inputs such as 2:4",
                         text);
    }
  }
  if (!(is_sized(pattern.kind) && pattern.outputs == 0 && pattern.inputs == 0))
    PITH_TRY(pith_pattern_check(&pattern, error));
  *out_pattern = pattern;
  return PITH_OK;
}

void pith_pattern_format(const pith_pattern *pattern, char out_text[PITH_PATTERN_TEXT_BYTES]) {
  const unsigned outputs = pattern->outputs, inputs = pattern->inputs;
  if (pattern->kind == PITH_PATTERN_BLOCK || pattern->kind == PITH_PATTERN_N_OF_M)
    snprintf(out_text, PITH_PATTERN_TEXT_BYTES, "%u%c%u", outputs, pattern->kind == PITH_PATTERN_BLOCK ? 'x' : ':', inputs);
  else if (outputs != 0)
    snprintf(out_text, PITH_PATTERN_TEXT_BYTES, "%s:%ux*", names[pattern->kind], outputs);
  else if (inputs != 0)
    snprintf(out_text, PITH_PATTERN_TEXT_BYTES, "%s:*x%u", names[pattern->kind], inputs);
  else
    snprintf(out_text, PITH_PATTERN_TEXT_BYTES, "%s", names[pattern->kind]);
}

pith_status pith_pattern_check(const pith_pattern *pattern, pith_error *error) {
  if ((unsigned)pattern->kind >= PITH_PATTERN_COUNT)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "pattern %d is not in the table of %d", (int)pattern->kind,
                     PITH_PATTERN_COUNT);
  const char *name = names[pattern->kind];
  const uint32_t outputs = pattern->outputs, inputs = pattern->inputs;
  switch (pattern->kind) {
  case PITH_PATTERN_BLOCK:
    if (outputs == 0 || inputs == 0 || outputs > PITH_PATTERN_MAX_SIDE || inputs > PITH_PATTERN_MAX_SIDE)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "a block has sides of 1 to %d, not %u x %u", PITH_PATTERN_MAX_SIDE,
                       outputs, inputs);
    return PITH_OK;
  case PITH_PATTERN_N_OF_M:
    if (outputs == 0 || outputs >= inputs || inputs > PITH_PATTERN_MAX_SIDE)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "N:M keeps 1 to M - 1 of M inputs, M at most %d, not %u:%u",
                       PITH_PATTERN_MAX_SIDE, outputs, inputs);
    return PITH_OK;
  case PITH_PATTERN_HEAD:
  case PITH_PATTERN_NEURON:
    if ((outputs == 0) == (inputs == 0))
      return pith_fail(error, PITH_INVALID_ARGUMENT, "pattern %s takes a number of outputs or of inputs, not %u and %u", name,
                       outputs, inputs);
    return PITH_OK;
  default:
    if (outputs != 0 || inputs != 0)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "pattern %s has no sides, not %u and %u", name, outputs, inputs);
    return PITH_OK;
  }
}

/* ---- which masks there are -------------------------------------------------------------------------------------- */

bool pith_pattern_equal(const pith_pattern *a, const pith_pattern *b) {
  return a->kind == b->kind && a->outputs == b->outputs && a->inputs == b->inputs;
}

/* What goes together, in outputs x inputs; 0: all there are. N:M decides on elements. */
typedef struct block {
  uint64_t outputs, inputs;
} block;

static block get_block(const pith_pattern *pattern) {
  switch (pattern->kind) {
  case PITH_PATTERN_DENSE:
    return (block){0, 0};
  case PITH_PATTERN_ROW:
    return (block){1, 0};
  case PITH_PATTERN_COLUMN:
    return (block){0, 1};
  case PITH_PATTERN_ELEMENT:
  case PITH_PATTERN_N_OF_M:
    return (block){1, 1};
  default:
    return (block){pattern->outputs, pattern->inputs};
  }
}

/* Whether aligned pieces of `a` are made of whole aligned pieces of `b`, the last one excepted. */
static bool is_multiple(uint64_t a, uint64_t b) {
  return b == 0 ? a == 0 : a % b == 0;
}

static uint32_t min_u32(uint32_t a, uint32_t b) {
  return a < b ? a : b;
}

/* Whether `n` of every `m` leaves at most `other_n` of every `other_m`: in each window of other_m, as many as the groups that
 * it overlaps can give. Windows repeat after lcm(m, other_m), which m windows reach. */
static bool is_within(uint32_t n, uint32_t m, uint32_t other_n, uint32_t other_m) {
  for (uint32_t window = 0; window < m; window++) {
    const uint32_t end = (window + 1) * other_m;
    uint32_t kept = 0;
    for (uint32_t at = window * other_m, next; at < end; at = next) {
      next = min_u32((at / m + 1) * m, end);
      kept += min_u32(n, next - at);
    }
    if (kept > other_n)
      return false;
  }
  return true;
}

bool pith_pattern_implies(const pith_pattern *pattern, const pith_pattern *other) {
  if (other->kind == PITH_PATTERN_N_OF_M)
    return pattern->kind == PITH_PATTERN_N_OF_M &&
           is_within(pattern->outputs, pattern->inputs, other->outputs, other->inputs);
  const block a = get_block(pattern), b = get_block(other);
  return is_multiple(a.outputs, b.outputs) && is_multiple(a.inputs, b.inputs);
}

/* ---- counting --------------------------------------------------------------------------------------------------- */

typedef struct matrix {
  uint64_t n, k;
  const void *w;
  bool is_f32;
} matrix;

static uint64_t min_u64(uint64_t a, uint64_t b) {
  return a < b ? a : b;
}

/* Elements from `input` to before `end` of one output that are not 0. */
static uint64_t count_nonzero(const matrix *m, uint64_t output, uint64_t input, uint64_t end) {
  uint64_t count = 0;
  for (uint64_t at = output * m->k + input; at < output * m->k + end; at++)
    count += m->is_f32 ? ((const float *)m->w)[at] != 0.0f : ((const int8_t *)m->w)[at] != 0;
  return count;
}

static bool is_block_kept(const matrix *m, uint64_t output, uint64_t output_end, uint64_t input, uint64_t input_end) {
  for (; output < output_end; output++)
    if (count_nonzero(m, output, input, input_end) != 0)
      return true;
  return false;
}

static uint64_t count_blocks(const matrix *m, block size) {
  uint64_t kept = 0;
  for (uint64_t o = 0, o_end; o < m->n; o = o_end) {
    o_end = min_u64(o + size.outputs, m->n);
    for (uint64_t i = 0, i_end; i < m->k; i = i_end) {
      i_end = min_u64(i + size.inputs, m->k);
      if (is_block_kept(m, o, o_end, i, i_end))
        kept += (o_end - o) * (i_end - i);
    }
  }
  return kept;
}

static pith_status count_n_of_m(const matrix *m, const pith_pattern *pattern, uint64_t *out_kept, pith_error *error) {
  uint64_t kept = 0;
  for (uint64_t o = 0; o < m->n; o++)
    for (uint64_t i = 0, end; i < m->k; i = end) {
      end = min_u64(i + pattern->inputs, m->k);
      const uint64_t count = count_nonzero(m, o, i, end);
      if (count > pattern->outputs)
        return pith_fail(error, PITH_FORMAT, "output %llu has %llu weights that are not 0 among the %u inputs from %llu on: "
                                             "%u:%u keeps %u",
                         (unsigned long long)o, (unsigned long long)count, pattern->inputs, (unsigned long long)i,
                         pattern->outputs, pattern->inputs, pattern->outputs);
      kept += count;
    }
  *out_kept = kept;
  return PITH_OK;
}

pith_status pith_pattern_count_kept(const pith_pattern *pattern, uint64_t n, uint64_t k, const void *w, bool is_f32,
                                    uint64_t *out_kept, pith_error *error) {
  PITH_TRY(pith_pattern_check(pattern, error));
  const matrix m = {n, k, w, is_f32};
  block size = get_block(pattern);
  *out_kept = n * k;
  if (n == 0 || k == 0 || pattern->kind == PITH_PATTERN_DENSE)
    return PITH_OK;
  if (pattern->kind == PITH_PATTERN_N_OF_M)
    return count_n_of_m(&m, pattern, out_kept, error);
  size.outputs = size.outputs == 0 ? n : size.outputs;
  size.inputs = size.inputs == 0 ? k : size.inputs;
  *out_kept = count_blocks(&m, size);
  return PITH_OK;
}
