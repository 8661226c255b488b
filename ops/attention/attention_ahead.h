/* The next unit's rows are fetched during this one: they lie a row stride apart, where no CPU foresees them. */
#ifndef PITH_OPS_ATTENTION_AHEAD_H
#define PITH_OPS_ATTENTION_AHEAD_H

#include <stddef.h>

typedef struct attention_rows {
  const float *from;
  size_t stride, rows, features;
} attention_rows;

typedef struct attention_ahead {
  const attention_rows *part; /* [count]: of query, key, value ... */
  size_t count;
  size_t row, each; /* the next row of part[0], rows of one call */
} attention_ahead;

/* `calls` of attention_fetch will follow. */
static inline void attention_ahead_begin(attention_ahead *ahead, size_t calls) {
  size_t rows = 0;
  for (size_t i = 0; i < ahead->count; ++i)
    rows += ahead->part[i].rows;
  ahead->each = rows / calls + 1;
}

static inline void attention_fetch(attention_ahead *ahead) {
  for (size_t left = ahead->each; left > 0 && ahead->count > 0;) {
    const attention_rows part = *ahead->part;
    const size_t rows = part.rows - ahead->row < left ? part.rows - ahead->row : left;
    const float *from = part.from + ahead->row * part.stride;
    for (size_t r = 0; r < rows; ++r, from += part.stride)
      for (size_t f = 0; f < part.features; f += 16)
        __builtin_prefetch(from + f);
    left -= rows;
    ahead->row += rows;
    if (ahead->row == part.rows) {
      ++ahead->part;
      --ahead->count;
      ahead->row = 0;
    }
  }
}

#endif
