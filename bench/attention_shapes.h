/* Lines of the attention's shape files: name, heads, head size, sequences x tokens ... */
#ifndef PITH_BENCH_ATTENTION_SHAPES_H
#define PITH_BENCH_ATTENTION_SHAPES_H

#include <stddef.h>
#include <stdint.h>

#include "bench/kernels.h"

typedef struct bench_attention_shape {
  const char *text; /* the shape's name in the CSV */
  size_t heads, size, sequences, tokens, longest;
  const int32_t *offsets; /* [sequences + 1] */
  double scores;          /* of all heads */
} bench_attention_shape;

/* Gives every shape of the line to `measure`; false where the line cannot be read. */
bool bench_read_attention_line(const bench_options *options, const char *line,
                               void (*measure)(const bench_options *options, const bench_attention_shape *shape));

#endif
