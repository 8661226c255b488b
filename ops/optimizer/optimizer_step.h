/* What optimizers do to 16 elements, and how arrays are cut. Included after a v16 header. */
#ifndef PITH_OPS_OPTIMIZER_STEP_H
#define PITH_OPS_OPTIMIZER_STEP_H

#include <stdbool.h>

#include "ops/optimizer/optimizer_f32.h"
#include "ops/split.h"

enum { OPTIMIZER_GRAIN = PITH_SUM_SQUARES_BLOCK }; /* elements that tasks are made of */

static inline size_t optimizer_units(size_t count) {
  return (count + OPTIMIZER_GRAIN - 1) / OPTIMIZER_GRAIN;
}
/* Elements begin to end - 1 of task `task`. */
static inline void optimizer_part(size_t count, size_t tasks, size_t task, size_t *begin, size_t *end) {
  *begin = pith_split_begin(optimizer_units(count), tasks, task) * OPTIMIZER_GRAIN;
  *end = pith_split_begin(optimizer_units(count), tasks, task + 1) * OPTIMIZER_GRAIN;
  *end = *end < count ? *end : count;
}

V16_INLINE v16 optimizer_load(const float *p, bool whole, m16 tail) {
  return whole ? v16_load(p) : v16_load_masked(tail, p);
}
V16_INLINE void optimizer_store(float *p, v16 x, bool whole, m16 tail) {
  if (whole)
    v16_store(p, x);
  else
    v16_store_masked(tail, p, x);
}

/* Under 2^-100 a decaying momentum becomes 0: it would stay a denormal for ever, and those are slow. */
V16_INLINE v16 momentum_flush(v16 m) {
  return v16_select(v16_less(v16_abs(m), v16_set(0x1p-100f)), v16_set(0.0f), m);
}

typedef struct adam_constants {
  v16 keep1, beta2, keep2, epsilon, scale; /* keep: 1 - beta */
} adam_constants;

V16_INLINE adam_constants adam_constants_make(const pith_adamw_options *o, float gradient_scale) {
  return (adam_constants){v16_set((float)(1 - o->beta1)), v16_set((float)o->beta2), v16_set((float)(1 - o->beta2)),
                          v16_set((float)o->epsilon), v16_set(gradient_scale)};
}

V16_INLINE void adam_moments(const adam_constants *c, v16 *m, v16 *v, v16 g) {
  *m = momentum_flush(v16_fma(c->keep1, v16_sub(g, *m), *m));
  *v = v16_fma(v16_mul(c->keep2, g), g, v16_mul(c->beta2, *v));
}

/* m / (sqrt(v) root_inverse + epsilon): the direction but for the bias of m. */
V16_INLINE v16 adam_direction(const adam_constants *c, v16 m, v16 v, v16 root_inverse) {
  return v16_div(m, v16_fma(v16_sqrt(v), root_inverse, c->epsilon));
}

/* w - shrink w. */
V16_INLINE v16 optimizer_shrink(v16 w, float shrink) {
  return v16_fma(v16_set(-shrink), w, w);
}

#endif
