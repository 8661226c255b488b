#include "tests/train/trainer_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

pith_import open_golden(const char *folder) {
  char path[1024];
  pith_import import;
  pith_error error = {PITH_OK, ""};
  pith_import_options options = PITH_IMPORT_OPTIONS_INIT;
  options.without_tokenizer = true;
  snprintf(path, sizeof path, "%s/%s", GOLDEN_FOLDER, folder);
  if (pith_import_huggingface(path, &options, &import, &error) != PITH_OK)
    fail_msg("%s: %s", path, error.message);
  return import;
}

static pith_status create(const pith_model_data *model, const pith_trainer_options *options, pith_trainer **out_trainer,
                          pith_error *error) {
  const struct pith_model open = {.allocator = pith_default_allocator, .data = *model};
  return pith_trainer_create(&open, options, out_trainer, error);
}

pith_trainer *create_trainer(const pith_model_data *model, const pith_trainer_options *options) {
  pith_trainer *trainer = NULL;
  pith_error error = {PITH_OK, ""};
  if (create(model, options, &trainer, &error) != PITH_OK)
    fail_msg("%s", error.message);
  return trainer;
}

void expect_refused(pith_status got, pith_status want, const pith_error *error, const char *text) {
  assert_int_equal(got, want);
  if (strstr(error->message, text) == NULL)
    fail_msg("'%s' does not say '%s'", error->message, text);
}

void copy_state(pith_trainer *from, pith_trainer *to) {
  size_t count, same;
  const pith_trainer_piece *source = pith_trainer_get_state(from, &count), *place = pith_trainer_get_state(to, &same);
  assert_int_equal(count, same);
  for (size_t i = 0; i < count; i++) {
    assert_int_equal(source[i].bytes, place[i].bytes);
    memcpy(place[i].data, source[i].data, source[i].bytes);
  }
  pith_trainer_state_changed(to);
}

/* ---- no memory ----------------------------------------------------------------------------------------------------- */

static void *allocate(void *context, size_t bytes, size_t alignment) {
  size_t *left = context;
  if (*left == 0)
    return NULL;
  --*left;
  return pith_default_allocator.allocate(NULL, bytes, alignment);
}

static void release(void *context, void *memory, size_t bytes) {
  (void)context;
  pith_default_allocator.release(NULL, memory, bytes);
}

void expect_no_memory(const pith_model_data *model, pith_trainer_options options) {
  size_t left;
  const pith_allocator allocator = {allocate, release, &left};
  options.allocator = &allocator;
  for (size_t count = 0;; count++) {
    pith_trainer *trainer = NULL;
    pith_error error = {PITH_OK, ""};
    left = count;
    const pith_status status = create(model, &options, &trainer, &error);
    if (status == PITH_OK) {
      assert_true(count > 20);
      pith_trainer_destroy(trainer);
      return;
    }
    assert_int_equal(status, PITH_OUT_OF_MEMORY);
  }
}
