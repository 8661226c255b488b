/* Weights that go back, under the masks of now, to what they were early in training. */
#include <string.h>

#include "train/trainer_prune_internal.h"

uint64_t pith_trainer_count_step(const pith_trainer *t) {
  return t->step + 1 - (t->pruning == NULL ? 0 : pith_train_prune_get_restart(&t->pruning->options, t->step));
}

void pith_trainer_rewind_keep(pith_trainer *t) {
  const pith_trainer_pruning *p = t->pruning;
  if (p->kept == NULL || t->step != p->options.rewind)
    return;
  pith_trainer_catch_up_all(t); /* rows that are put off are of this step too */
  memcpy(p->kept, t->values, t->training->trained_values * sizeof *p->kept);
}

void pith_trainer_rewind(pith_trainer *t) {
  const pith_trainer_pruning *p = t->pruning;
  const size_t bytes = t->training->trained_values * sizeof(float);
  if (p->kept == NULL || !pith_train_prune_is_due(&p->options, t->step))
    return;
  pith_trainer_catch_up_all(t); /* nothing is put off any more */
  memcpy(t->values, p->kept, bytes);
  if (t->m != NULL)
    memset(t->m, 0, bytes);
  if (t->v != NULL)
    memset(t->v, 0, bytes);
  if (t->average != NULL)
    memcpy(t->average, p->kept, bytes);
  pith_trainer_prune_weights(t);
}
