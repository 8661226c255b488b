#include "bench/attention_shapes.h"

#include <stdio.h>
#include <string.h>

enum { MAX_SEQUENCES = 256 };

/* "8x128", or several joined by +. */
static bool read_lengths(const char *text, int32_t *out_offsets, size_t *out_sequences) {
  size_t count = 0, sequences, length;
  out_offsets[0] = 0;
  for (int used; sscanf(text, "%zux%zu%n", &sequences, &length, &used) == 2; text += used + 1) {
    if (sequences > MAX_SEQUENCES - count || length > 1 << 20)
      return false;
    for (size_t i = 0; i < sequences; ++i, ++count)
      out_offsets[count + 1] = out_offsets[count] + (int32_t)length;
    if (text[used] != '+') {
      *out_sequences = count;
      return count > 0 && text[used] == 0;
    }
  }
  return false;
}

bool bench_read_attention_line(const bench_options *options, const char *line,
                               void (*measure)(const bench_options *options, const bench_attention_shape *shape)) {
  int32_t offsets[MAX_SEQUENCES + 1];
  char name[64], lengths[160], text[256];
  size_t heads, size;
  int used = 0, more = 0;
  if (sscanf(line, "%63s %zu %zu%n", name, &heads, &size, &used) != 3)
    return false;
  for (const char *at = line + used; sscanf(at, "%159s%n", lengths, &more) == 1; at += more) {
    bench_attention_shape shape = {.text = text, .heads = heads, .size = size, .offsets = offsets};
    if (!read_lengths(lengths, offsets, &shape.sequences))
      return false;
    snprintf(text, sizeof text, "%s %zux%zu %s", name, heads, size, lengths);
    shape.tokens = (size_t)offsets[shape.sequences];
    for (size_t s = 0; s < shape.sequences; ++s) {
      const size_t length = (size_t)(offsets[s + 1] - offsets[s]);
      shape.longest = length > shape.longest ? length : shape.longest;
      shape.scores += (double)heads * (double)length * (double)length;
    }
    measure(options, &shape);
  }
  return true;
}
