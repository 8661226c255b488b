/* Runs every row of a kernel table on a case and compares bit for bit with the table's reference: for every subset of
 * the CPU's features, for several numbers of threads, tasks in any order, scratch full of rubbish.
 *
 * Inputs end where an unmapped page begins, so that a read past them faults; outputs too, and every byte in front of
 * them is 0xA5 before and must be after. A row that ran no case fails,
 * unless this CPU cannot run it: such rows are counted as skipped. */
#ifndef PITH_TESTS_KERNEL_TESTER_H
#define PITH_TESTS_KERNEL_TESTER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ops/activation_layout.h"
#include "ops/kernel.h"

enum { TESTER_MAX_BUFFERS = 40, TESTER_MAX_ROWS = 16, TESTER_TEXT = 512 };

typedef struct tester_buffer {
  unsigned char *map, *data;
  size_t map_bytes, bytes;
  bool is_output;
  const void *initial; /* what an output holds before each run, or NULL */
  bool is_bytes; /* of 8-bit results: compared byte by byte, for four of them may look like NaN */
  pith_activation_layout layout; /* with places that belong to nothing, where not row-major */
  size_t rows, features;
} tester_buffer;

typedef struct tester {
  const pith_kernel *const *table;
  uint64_t random;
  char text[TESTER_TEXT]; /* the parameters of this case */
  size_t runs[TESTER_MAX_ROWS];
  size_t buffer_count;
  tester_buffer buffers[TESTER_MAX_BUFFERS];
} tester;

/* The seed comes from PITH_TEST_SEED, or is 1; it is printed. */
void tester_init(tester *t, const pith_kernel *const *table);
void tester_deinit(tester *t); /* fails where a row that this CPU can run ran no case */

/* A new case: releases the buffers of the last and keeps the text that failures print. */
__attribute__((format(printf, 2, 3))) void tester_begin(tester *t, const char *format, ...);
__attribute__((format(printf, 2, 3), noreturn)) void tester_fail(const tester *t, const char *format, ...);

uint32_t tester_random(tester *t);
size_t tester_pick(tester *t, size_t bound);                   /* 0 to bound - 1 */
float tester_uniform(tester *t, float low, float high);
void *tester_memory(tester *t, size_t bytes, bool is_output); /* 0 bytes: a pointer that may not be touched */
float *tester_floats(tester *t, size_t count, float low, float high);
float *tester_output(tester *t, size_t count);
void *tester_byte_output(tester *t, size_t count);
/* An output that a kernel works on in place: it holds a copy of `initial`, which must stay, before each run. */
void *tester_in_place(tester *t, size_t bytes, const void *initial);
/* [rows, features] in a layout of activations, elements of 1 or 4 bytes. In tiles, places that belong to nothing may hold anything
 * after a run, but those of tokens past the next multiple of 16 may not be touched. */
void *tester_tiles_output(tester *t, pith_activation_layout layout, size_t rows, size_t features, size_t element_bytes);

/* Runs the reference, task by task; the result stays in the output buffers. */
void tester_reference(tester *t, const void *args);
/* Runs everything else and compares all output buffers with what the reference left there. Two NaNs are equal. Where
 * `initial` is not NULL, output buffer 0 holds that before each run (for kernels that work in place). */
void tester_compare(tester *t, const void *args, const void *initial);
/* The bytes between `columns` and `stride` elements of 4 bytes in each row but the last are still 0xA5. */
void tester_check_gaps(const tester *t, const void *out, size_t rows, size_t columns, size_t stride);

/* |got - want| <= limit, or both NaN; `what` and the indices go to the message. */
void tester_check_near(const tester *t, const char *what, size_t row, size_t column, double got, double want, double limit);
/* The distance in units in the last place of the true value. */
double tester_ulp(double got, double want);

/* Elements that [rows, columns] with `stride` takes, its last row without a gap. */
static inline size_t tester_span(size_t rows, size_t columns, size_t stride) {
  return rows == 0 ? 0 : (rows - 1) * stride + columns;
}

#endif
