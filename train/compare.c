#include "train/compare.h"

#include <string.h>

typedef struct maker {
  const pith_compare_options *options;
  const pith_layers *student, *teacher;
  const char *name;
  pith_comparison *list;
  pith_teacher_value *values;
  pith_comparisons *out;
  int64_t widths[2]; /* of the hidden states compared so far, the student's and the teacher's; 0: none */
  pith_error *error;
} maker;

/* ---- whether two layers go together --------------------------------------------------------------------------------------- */

typedef struct row row;
struct row {
  const char *option;
  pith_comparison_error error;
  bool one_layer;        /* the last ones, or the teacher's that the options say; else evenly spread ones */
  pith_layer_value x, z; /* of a layer */
  /* Sets heads and scales of a term, and what it needs beside; `s` and `t` have the values. */
  pith_status (*check)(maker *m, const row *r, const pith_layer *s, const pith_layer *t, pith_comparison *term);
};

static pith_status check_hidden(maker *m, const row *r, const pith_layer *s, const pith_layer *t, pith_comparison *term) {
  (void)r, (void)term;
  const int64_t widths[2] = {s->widths[PITH_LAYER_STATE], t->widths[PITH_LAYER_STATE]};
  int64_t *projection = m->out->projection;
  const bool first = m->widths[0] == 0;
  if (!first && (m->widths[0] != widths[0] || m->widths[1] != widths[1]))
    return pith_fail(m->error, PITH_UNSUPPORTED, "teacher %s: hidden states of one model have several widths", m->name);
  memcpy(m->widths, widths, sizeof widths);
  if (widths[0] != widths[1]) {
    projection[0] = widths[0];
    projection[1] = widths[1];
  }
  return PITH_OK;
}

static pith_status check_attention(maker *m, const row *r, const pith_layer *s, const pith_layer *t, pith_comparison *term) {
  if (s->causal || t->causal)
    return pith_fail(m->error, PITH_UNSUPPORTED, "teacher %s: %s does not compare causal attention", m->name, r->option);
  if (s->heads != t->heads)
    return pith_fail(m->error, PITH_INVALID_ARGUMENT, "teacher %s: its attention has %lld heads, the student's %lld: %s compares equal ones "
                     "(distill-relations any)", m->name, (long long)t->heads, (long long)s->heads, r->option);
  term->heads = s->heads;
  term->scale = s->scale;
  term->teacher_scale = t->scale;
  return PITH_OK;
}

static pith_status check_relations(maker *m, const row *r, const pith_layer *s, const pith_layer *t, pith_comparison *term) {
  const int64_t heads = m->options->relation_heads != 0 ? (int64_t)m->options->relation_heads : t->heads;
  const int64_t own = s->widths[r->x], other = t->widths[r->x];
  if (own % heads != 0 || other % heads != 0)
    return pith_fail(m->error, PITH_INVALID_ARGUMENT, "teacher %s: %lld relation heads (distill-relation-heads) do not divide %s's width %lld",
                     m->name, (long long)heads, own % heads != 0 ? "the student" : "the teacher",
                     (long long)(own % heads != 0 ? own : other));
  term->heads = heads;
  return PITH_OK;
}

static const row rows[] = {
    {"distill-hidden", PITH_COMPARISON_HIDDEN, false, PITH_LAYER_STATE, PITH_LAYER_STATE, check_hidden},
    {"distill-attention", PITH_COMPARISON_SCORES, false, PITH_LAYER_QUERY, PITH_LAYER_KEY, check_attention},
    {"distill-relations", PITH_COMPARISON_RELATIONS, true, PITH_LAYER_QUERY, PITH_LAYER_QUERY, check_relations},
    {"distill-relations", PITH_COMPARISON_RELATIONS, true, PITH_LAYER_KEY, PITH_LAYER_KEY, check_relations},
    {"distill-relations", PITH_COMPARISON_RELATIONS, true, PITH_LAYER_VALUE, PITH_LAYER_VALUE, check_relations},
};
enum { ROWS = sizeof rows / sizeof *rows };

static double get_weight(const pith_compare_options *o, pith_comparison_error error) {
  return error == PITH_COMPARISON_HIDDEN ? o->hidden : error == PITH_COMPARISON_SCORES ? o->attention : o->relations;
}

/* ---- terms ---------------------------------------------------------------------------------------------------------------- */

static uint32_t add_value(maker *m, const pith_layer *layer, pith_layer_value value) {
  uint32_t i = 0;
  while (i < m->out->value_count && m->values[i].tensor != layer->tensors[value])
    i++;
  if (i == m->out->value_count)
    m->values[m->out->value_count++] = (pith_teacher_value){layer->tensors[value], layer->widths[value]};
  return i;
}

static pith_status check_values(const maker *m, const row *r, const pith_layer *layer, uint32_t index, const char *whose) {
  return layer->tensors[r->x] != PITH_NONE && layer->tensors[r->z] != PITH_NONE
             ? PITH_OK
             : pith_fail(m->error, PITH_UNSUPPORTED, "teacher %s: layer %u of %s has nothing that %s could compare", m->name, index + 1, whose,
                         r->option);
}

static pith_status add_term(maker *m, const row *r, uint32_t own, uint32_t other, double weight) {
  const pith_layer *s = &m->student->list[own], *t = &m->teacher->list[other];
  pith_comparison term = {.error = r->error, .layer = own, .x = r->x, .z = r->z, .weight = weight};
  PITH_TRY(check_values(m, r, s, own, "the student"));
  PITH_TRY(check_values(m, r, t, other, "the teacher"));
  PITH_TRY(r->check(m, r, s, t, &term));
  term.teacher_x = add_value(m, t, r->x);
  term.teacher_z = add_value(m, t, r->z);
  m->list[m->out->count++] = term;
  return PITH_OK;
}

static pith_status add_one(maker *m, const row *r, double weight) {
  const uint64_t layer = m->options->relation_layer;
  if (layer > m->teacher->count)
    return pith_fail(m->error, PITH_INVALID_ARGUMENT, "teacher %s: it has %u layers, distill-relation-layer is %llu", m->name,
                     m->teacher->count, (unsigned long long)layer);
  return add_term(m, r, m->student->count - 1, layer == 0 ? m->teacher->count - 1 : (uint32_t)layer - 1, weight);
}

/* Layer i * layers / count, rounded up, for i of 1 .. count: the last one is among them. */
static pith_status add_spread(maker *m, const row *r, double weight) {
  const uint32_t layers = m->student->count, others = m->teacher->count;
  const uint32_t count = layers < PITH_COMPARED_LAYERS ? layers : PITH_COMPARED_LAYERS;
  if (others < count)
    return pith_fail(m->error, PITH_INVALID_ARGUMENT, "teacher %s: it has %u layers, fewer than the %u that %s compares", m->name, others,
                     count, r->option);
  for (uint32_t i = 1; i <= count; i++)
    PITH_TRY(add_term(m, r, (i * layers + count - 1) / count - 1, (i * others + count - 1) / count - 1, weight / count));
  return PITH_OK;
}

pith_status pith_comparisons_make(const pith_compare_options *options, const pith_layers *student, const pith_layers *teacher,
                                  const char *name, pith_arena *arena, pith_comparisons *out, pith_error *error) {
  maker m = {.options = options,
             .student = student,
             .teacher = teacher,
             .name = name,
             .list = PITH_ARENA_NEW(arena, pith_comparison, ROWS * PITH_COMPARED_LAYERS),
             .values = PITH_ARENA_NEW(arena, pith_teacher_value, PITH_TEACHER_VALUES_MOST),
             .out = out,
             .error = error};
  *out = (pith_comparisons){.list = m.list, .values = m.values, .seed = options->seed};
  if (m.list == NULL || m.values == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for what is compared with a teacher");
  for (size_t i = 0; i < ROWS; i++) {
    const double weight = get_weight(options, rows[i].error);
    if (weight == 0)
      continue;
    if (student->count == 0 || teacher->count == 0)
      return pith_fail(error, PITH_UNSUPPORTED, "teacher %s: %s: %s has no layers", name, rows[i].option,
                       student->count == 0 ? "the student" : "it");
    PITH_TRY(rows[i].one_layer ? add_one(&m, &rows[i], weight) : add_spread(&m, &rows[i], weight));
  }
  return PITH_OK;
}
