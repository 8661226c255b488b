/* Trains a classifier by the C interface: texts in memory, in-place labels, a loss that falls, a file that pith runs.
 * cc train.c $(pkg-config --cflags --libs pith-compress) -o train; ./train MODEL.pith OUT.pith 5e-5 */
#include <stdio.h>
#include <stdlib.h>

#include <pith/train.h>

enum { TEXTS = 4, MOST = 64 };
static const char *const texts[TEXTS] = {"a good film", "a bad film", "good", "bad"};
static const int32_t labels[TEXTS] = {1, 0, 1, 0};
static int32_t offsets[TEXTS + 1], ids[TEXTS * MOST];

static pith_status give_batch(void *context, uint64_t number, pith_train_batch *batch, pith_error *error) {
  (void)context, (void)error;
  batch->sequences = TEXTS;
  batch->offsets = offsets;
  batch->ids = ids;
  batch->labels = labels;
  batch->first_sample = number * TEXTS;
  return PITH_OK;
}

static int show(void *context, const pith_fit_progress *progress) {
  (void)context;
  printf("%llu %.4f\n", (unsigned long long)progress->step, progress->loss);
  return 0;
}

int main(int argc, char **argv) {
  pith_model *model = NULL;
  pith_trainer *trainer = NULL;
  pith_error error = {PITH_OK, ""};
  pith_status status = argc == 4 ? pith_model_open(argv[1], NULL, &model, &error) : PITH_INVALID_ARGUMENT;
  for (int i = 0; status == PITH_OK && i < TEXTS; i++) {
    pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = MOST, .ids = ids + offsets[i]};
    status = pith_encode(model, texts[i], SIZE_MAX, NULL, 0, MOST, &encoding, &error);
    offsets[i + 1] = offsets[i] + (int32_t)encoding.count;
  }
  if (status == PITH_OK)
    status = pith_trainer_create(model, NULL, &trainer, &error);
  pith_fit_options fit = PITH_FIT_OPTIONS_INIT;
  fit.steps = 100;
  fit.learning_rate = argc == 4 ? strtod(argv[3], NULL) : 0;
  fit.data = give_batch;
  fit.progress = show;
  if (status == PITH_OK)
    status = pith_trainer_fit(trainer, &fit, &error);
  if (status == PITH_OK)
    status = pith_trainer_save(trainer, argv[2], &error);
  if (status != PITH_OK)
    fprintf(stderr, "train: %s\n", argc == 4 ? error.message : "a model, a file to write and a learning rate");
  pith_trainer_destroy(trainer);
  pith_model_close(model);
  return status != PITH_OK;
}
