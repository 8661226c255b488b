// <pith/train.h> from C++: every call links with C names, and the initializers compile.
#include <pith/train.h>

// Each function of the header, in its order; test_install counts them against it.
#define PITH_ADDRESS(name) reinterpret_cast<void (*)()>(&name)
static void (*const functions[])() = {
    PITH_ADDRESS(pith_trainer_create),        PITH_ADDRESS(pith_trainer_destroy),       PITH_ADDRESS(pith_trainer_get_step),
    PITH_ADDRESS(pith_trainer_get_memory),    PITH_ADDRESS(pith_trainer_get_profile), PITH_ADDRESS(pith_trainer_forward_backward), PITH_ADDRESS(pith_trainer_get_gradients),
    PITH_ADDRESS(pith_trainer_apply),         PITH_ADDRESS(pith_trainer_evaluate),      PITH_ADDRESS(pith_trainer_save),
    PITH_ADDRESS(pith_trainer_fit),
};

int main() {
  for (void (*function)() : functions)
    if (function == nullptr)
      return 1;
  const pith_trainer_options options = PITH_TRAINER_OPTIONS_INIT;
  const pith_train_batch batch = PITH_TRAIN_BATCH_INIT;
  const pith_fit_options fit = PITH_FIT_OPTIONS_INIT;
  pith_trainer *trainer = nullptr;
  pith_error error = {};
  const bool refused = pith_trainer_create(nullptr, &options, &trainer, &error) == PITH_INVALID_ARGUMENT;
  return refused && options.max_sequences == 32 && batch.struct_size == sizeof batch && fit.warmup == 0.06 ? 0 : 1;
}
