/* A stand-in for the trainer, so that runs are tested without one: it learns the classifier's bias from the labels alone, with
 * plain momentum, and looks into every part of a batch. */
#include "tests/train/fake_trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/error.h"
#include "engine/exec/model.h"

enum { MOST = 16 };
fake_trainer_knobs fake_trainer;
const pith_trainer_options pith_trainer_defaults = {.optimizer = PITH_OPTIMIZER_ADAMW};

struct pith_trainer {
  const pith_model_data *model;
  pith_tensor_id bias;
  const void *original;
  size_t count;
  _Alignas(64) float values[MOST];
  double gradient[MOST], momentum[MOST];
  uint64_t step, seen; /* a hash of everything that went through */
  uint64_t given_seen; /* the state's copy, made when it is asked for */
  pith_trainer_piece pieces[4];
};

pith_status pith_trainer_create(const pith_model *source, const pith_trainer_options *options, pith_trainer **out_trainer,
                                pith_error *error) {
  const pith_model_data *model = &source->data;
  fake_trainer.options = *options;
  if (fake_trainer.refuses)
    return pith_fail(error, PITH_UNSUPPORTED, "the stand-in refuses");
  pith_trainer *t = aligned_alloc(64, (sizeof *t + 63) / 64 * 64);
  memset(t, 0, sizeof *t);
  t->model = model;
  t->bias = pith_graph_find_tensor(model->graph, "classifier.bias");
  if (t->bias == PITH_NONE) {
    free(t);
    return pith_fail(error, PITH_UNSUPPORTED, "no classifier.bias");
  }
  t->count = (size_t)model->graph->tensors[t->bias].dims[0].constant;
  t->original = model->graph->tensors[t->bias].data;
  memcpy(t->values, t->original, t->count * sizeof *t->values);
  t->pieces[0] = (pith_trainer_piece){t->values, t->count * sizeof *t->values};
  t->pieces[1] = (pith_trainer_piece){t->momentum, t->count * sizeof *t->momentum};
  t->pieces[2] = (pith_trainer_piece){&t->step, sizeof t->step};
  t->pieces[3] = (pith_trainer_piece){&t->given_seen, sizeof t->given_seen};
  *out_trainer = t;
  return PITH_OK;
}

void pith_trainer_destroy(pith_trainer *t) {
  if (t != NULL)
    model_restore(t->model, t->bias, t->original);
  free(t);
}

pith_status pith_trainer_forward_backward(pith_trainer *t, const pith_train_batch *batch, double share, double *out_loss,
                                          pith_error *error) {
  const size_t tokens = (size_t)batch->offsets[batch->sequences];
  if (tokens > fake_trainer.options.max_tokens || batch->sequences > fake_trainer.options.max_sequences)
    return pith_fail(error, PITH_LIMIT, "a batch of %zu tokens in %zu sequences", tokens, batch->sequences);
  for (size_t i = 0; i < tokens; i++)
    t->seen = t->seen * 6364136223846793005u + (uint32_t)batch->ids[i] + 1;
  t->seen = t->seen * 31 + batch->first_sample;
  double sum = 0, loss = 0;
  for (size_t c = 0; c < t->count; c++)
    sum += exp((double)t->values[c]);
  for (size_t s = 0; s < batch->sequences; s++) {
    const int32_t label = batch->labels[s];
    loss -= log(exp((double)t->values[label]) / sum) / (double)batch->sequences;
    for (size_t c = 0; c < t->count; c++)
      t->gradient[c] += share * (exp((double)t->values[c]) / sum - (c == (size_t)label)) / (double)batch->sequences;
  }
  if (fake_trainer.delay_us != 0)
    usleep(fake_trainer.delay_us);
  if (fake_trainer.bad_step == t->step + 1) {
    t->gradient[1] = NAN;
    loss = fake_trainer.bad_loss ? NAN : loss;
  }
  fake_trainer.batches++;
  fake_trainer.share_sum += share;
  *out_loss = loss;
  return PITH_OK;
}

pith_status pith_trainer_apply(pith_trainer *t, double learning_rate, double *out_norm, pith_error *error) {
  double squares = 0;
  for (size_t c = 0; c < t->count; c++)
    squares += t->gradient[c] * t->gradient[c];
  if (!isfinite(squares))
    return pith_fail(error, PITH_FORMAT, "the gradient of 'classifier.bias' is not finite");
  for (size_t c = 0; c < t->count; c++) {
    t->momentum[c] = 0.5 * t->momentum[c] + t->gradient[c];
    t->values[c] -= (float)(learning_rate * t->momentum[c] + 1e-9 * (double)(t->seen >> 40));
    t->gradient[c] = 0;
  }
  t->step++;
  fake_trainer.rate = learning_rate;
  if (out_norm != NULL)
    *out_norm = sqrt(squares);
  return PITH_OK;
}

pith_status pith_trainer_get_model(pith_trainer *t, pith_model_data *out_model, pith_error *error) {
  (void)error;
  *out_model = *t->model;
  model_restore(t->model, t->bias, t->values);
  return PITH_OK;
}

const pith_trainer_piece *pith_trainer_get_state(pith_trainer *t, size_t *out_count) {
  t->given_seen = t->seen;
  *out_count = 4;
  return t->pieces;
}

void pith_trainer_state_changed(pith_trainer *t) {
  t->seen = t->given_seen;
  fake_trainer.resumed_at = t->step;
}

void pith_trainer_rest(pith_trainer *t) {
  (void)t;
}

const pith_profile_entry *pith_trainer_get_profile(pith_trainer *t, size_t *out_count) {
  (void)t;
  *out_count = 0;
  return NULL;
}

/* Lets a parameter read from elsewhere. */
void model_restore(const pith_model_data *model, pith_tensor_id tensor, const void *data) {
  pith_graph_set_data(model->graph, tensor, data, model->graph->tensors[tensor].data_bytes);
}
