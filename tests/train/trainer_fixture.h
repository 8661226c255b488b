/* What tests of trainers share: tiny models and their trainers, states that are copied, memory that is refused. */
#ifndef PITH_TESTS_TRAINER_FIXTURE_H
#define PITH_TESTS_TRAINER_FIXTURE_H

#include "engine/exec/model.h"
#include "tests/compiler/import_fixture.h"
#include "train/trainer_internal.h"

/* A checked-in checkpoint, without its tokenizer. */
pith_import open_golden(const char *folder);
/* Fails the test where there is none. */
pith_trainer *create_trainer(const pith_model_data *model, const pith_trainer_options *options);
void expect_refused(pith_status got, pith_status want, const pith_error *error, const char *text);
/* `to` is where `from` is. */
void copy_state(pith_trainer *from, pith_trainer *to);
/* Every allocation that creating makes, refused in turn. */
void expect_no_memory(const pith_model_data *model, pith_trainer_options options);

#endif
