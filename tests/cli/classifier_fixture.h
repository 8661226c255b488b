/* A tiny classifier without knowledge and rows to teach it: the label says whether the second id is high. */
#ifndef PITH_TESTS_CLASSIFIER_FIXTURE_H
#define PITH_TESTS_CLASSIFIER_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/cli/command_fixture.h"

enum { PATH_BYTES = 600 };
/* Paths in the folder of the process, from make_classifier on; it makes the first three. */
extern char bare[PATH_BYTES], train[PATH_BYTES], dev[PATH_BYTES], out[PATH_BYTES], other[PATH_BYTES], recipe[PATH_BYTES];
#define TASK "--task", "classification", "--data", train, "--eval-data", dev

extern const char classifier_config[]; /* of Hugging Face */
void make_classifier(void);
int remove_models(void **state); /* a group's end: the folder goes */
/* One more path that lives as long as the test. */
void set_path(char path[PATH_BYTES], const char *name);
void write_rows(const char *path, uint32_t seed, int count, bool labelled);

double measure(const char *model); /* accuracy on dev */
bool same_file(const char *a, const char *b);
void expect_same_file(const char *a, const char *b);

#endif
