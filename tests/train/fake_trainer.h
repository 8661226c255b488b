/* What a test can tell the stand-in of the trainer, and what it saw. */
#ifndef PITH_TESTS_FAKE_TRAINER_H
#define PITH_TESTS_FAKE_TRAINER_H

#include "train/trainer.h"

typedef struct fake_trainer_knobs {
  bool refuses;
  uint64_t bad_step; /* whose gradient is not finite, and with bad_loss its loss; 0: none */
  bool bad_loss;
  unsigned delay_us; /* of every batch */
  pith_trainer_options options;
  uint64_t batches, resumed_at;
  double share_sum, rate;
} fake_trainer_knobs;
extern fake_trainer_knobs fake_trainer;

void model_restore(const pith_model_data *model, pith_tensor_id tensor, const void *data);

#endif
