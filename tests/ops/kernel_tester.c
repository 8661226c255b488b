#include "tests/ops/kernel_tester.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { GUARD = 0xa5 };

void tester_init(tester *t, const pith_kernel *const *table) {
  const char *seed = getenv("PITH_TEST_SEED");
  *t = (tester){.table = table, .random = seed ? strtoull(seed, NULL, 10) : 1};
  printf("%s: PITH_TEST_SEED=%llu\n", table[0]->name, (unsigned long long)t->random);
}

static void release_buffers(tester *t) {
  for (size_t i = 0; i < t->buffer_count; ++i)
    munmap(t->buffers[i].map, t->buffers[i].map_bytes);
  t->buffer_count = 0;
}

void tester_deinit(tester *t) {
  release_buffers(t);
  for (size_t row = 0; t->table[row]; ++row) {
    const pith_cpu_set lacking = t->table[row]->needs & ~pith_cpu_detect();
    if (lacking != 0) { /* .ci/run counts these lines */
      printf("skipped row: %s needs %s\n", t->table[row]->name, pith_cpu_feature_text((unsigned)__builtin_ctzll(lacking)));
      continue;
    }
    printf("%s: %zu runs\n", t->table[row]->name, t->runs[row]);
    if (t->runs[row] == 0)
      fail_msg("%s ran no case", t->table[row]->name);
  }
}

void tester_begin(tester *t, const char *format, ...) {
  release_buffers(t);
  va_list list;
  va_start(list, format);
  vsnprintf(t->text, sizeof t->text, format, list);
  va_end(list);
}

void tester_fail(const tester *t, const char *format, ...) {
  char message[TESTER_TEXT];
  va_list list;
  va_start(list, format);
  vsnprintf(message, sizeof message, format, list);
  va_end(list);
  fail_msg("%s; case: %s", message, t->text);
  abort(); /* fail_msg does not return */
}

uint32_t tester_random(tester *t) { /* splitmix64 */
  uint64_t z = t->random += 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (uint32_t)(z >> 32);
}

size_t tester_pick(tester *t, size_t bound) {
  return tester_random(t) % bound;
}

float tester_uniform(tester *t, float low, float high) {
  return low + (high - low) * ldexpf((float)(tester_random(t) >> 8), -24);
}

void *tester_memory(tester *t, size_t bytes, bool is_output) {
  if (t->buffer_count == TESTER_MAX_BUFFERS)
    tester_fail(t, "too many buffers");
  const size_t page = (size_t)sysconf(_SC_PAGESIZE);
  tester_buffer *b = &t->buffers[t->buffer_count++];
  const size_t used = (bytes + 2 * page - 1) / page * page; /* 1 to page bytes in front, or more */
  *b = (tester_buffer){.map_bytes = used + page, .bytes = bytes, .is_output = is_output};
  void *map = mmap(NULL, b->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED)
    tester_fail(t, "no memory for %zu bytes", b->map_bytes);
  b->map = map;
  b->data = b->map + used - bytes;
  memset(b->map, GUARD, used);
  if (mprotect(b->map + used, page, PROT_NONE) != 0)
    tester_fail(t, "mprotect failed");
  return b->data;
}

float *tester_floats(tester *t, size_t count, float low, float high) {
  float *out = tester_memory(t, count * sizeof(float), false);
  for (size_t i = 0; i < count; ++i)
    out[i] = tester_uniform(t, low, high);
  return out;
}

float *tester_output(tester *t, size_t count) {
  return tester_memory(t, count * sizeof(float), true);
}

void *tester_byte_output(tester *t, size_t count) {
  void *out = tester_memory(t, count, true);
  t->buffers[t->buffer_count - 1].is_bytes = true;
  return out;
}

void *tester_in_place(tester *t, size_t bytes, const void *initial) {
  void *out = tester_memory(t, bytes, true);
  t->buffers[t->buffer_count - 1].initial = initial;
  if (bytes > 0)
    memcpy(out, initial, bytes);
  return out;
}

void *tester_tiles_output(tester *t, pith_activation_layout layout, size_t rows, size_t features, size_t element_bytes) {
  void *out = tester_memory(t, pith_activation_count(layout, rows, features) * element_bytes, true);
  tester_buffer *b = &t->buffers[t->buffer_count - 1];
  b->is_bytes = element_bytes == 1;
  b->layout = layout;
  b->rows = rows;
  b->features = features;
  return out;
}

/* Makes the places of tiles that belong to nothing, and may be touched, what they were; fails where others are not. */
static void check_places(const tester *t, const char *kernel, const tester_buffer *b) {
  const size_t bytes = b->is_bytes ? 1 : 4, width = b->layout == PITH_ACTIVATION_LAYOUT_TILE64X4 ? 4 : 1;
  const size_t features = (b->features + width - 1) / width * width, touched = (b->rows + 15) / 16 * 16;
  const size_t rows = (b->rows + PITH_TILE_TOKENS - 1) / PITH_TILE_TOKENS * PITH_TILE_TOKENS;
  for (size_t row = 0; row < rows; ++row)
    for (size_t i = row < b->rows ? b->features : 0; i < features; ++i) {
      unsigned char *at = b->data + pith_activation_index(b->layout, b->features, row, i) * bytes;
      for (size_t j = 0; row >= touched && j < bytes; ++j)
        if (at[j] != GUARD)
          tester_fail(t, "%s wrote feature %zu of token %zu, which has no place", kernel, i, row);
      memset(at, GUARD, bytes);
    }
}

static void check_front(const tester *t, const char *kernel) {
  for (size_t i = 0; i < t->buffer_count; ++i) {
    const tester_buffer *b = &t->buffers[i];
    for (const unsigned char *p = b->map; b->is_output && p < b->data; ++p)
      if (*p != GUARD)
        tester_fail(t, "%s wrote %td bytes in front of output buffer %zu", kernel, b->data - p, i);
    if (b->layout != PITH_ACTIVATION_LAYOUT_ROW_MAJOR)
      check_places(t, kernel, b);
  }
}

static size_t output_bytes(const tester *t) {
  size_t bytes = 0;
  for (size_t i = 0; i < t->buffer_count; ++i)
    bytes += t->buffers[i].is_output ? t->buffers[i].bytes : 0;
  return bytes;
}

static void reset_outputs(const tester *t, const void *initial) {
  bool first = true;
  for (size_t i = 0; i < t->buffer_count; ++i) {
    const tester_buffer *b = &t->buffers[i];
    if (!b->is_output || b->bytes == 0)
      continue;
    if (b->initial)
      memcpy(b->data, b->initial, b->bytes);
    else if (first && initial)
      memcpy(b->data, initial, b->bytes);
    else
      memset(b->data, GUARD, b->bytes);
    first = false;
  }
}

static void copy_outputs(const tester *t, unsigned char *out) {
  for (size_t i = 0; i < t->buffer_count; ++i)
    if (t->buffers[i].is_output && t->buffers[i].bytes > 0) {
      memcpy(out, t->buffers[i].data, t->buffers[i].bytes);
      out += t->buffers[i].bytes;
    }
}

static bool is_nan(uint32_t bits) {
  return (bits & 0x7fffffffu) > 0x7f800000u;
}

static void compare_outputs(const tester *t, const char *kernel, size_t threads, const unsigned char *expected) {
  for (size_t i = 0; i < t->buffer_count; ++i) {
    const tester_buffer *b = &t->buffers[i];
    if (!b->is_output || b->bytes == 0)
      continue;
    const size_t words = b->is_bytes ? 0 : b->bytes / 4 * 4; /* the bytes behind are no float's */
    for (size_t j = words; j < b->bytes; ++j)
      if (b->data[j] != expected[j])
        tester_fail(t, "%s, %zu threads: byte %zu of output buffer %zu is %d, the reference's is %d", kernel, threads, j, i,
                    b->data[j], expected[j]);
    if (memcmp(b->data, expected, b->bytes) != 0)
      for (size_t j = 0; j < words / 4; ++j) {
        uint32_t got, want;
        memcpy(&got, b->data + 4 * j, 4);
        memcpy(&want, expected + 4 * j, 4);
        if (got != want && !(is_nan(got) && is_nan(want)))
          tester_fail(t, "%s, %zu threads: element %zu of output buffer %zu is 0x%08x, the reference's is 0x%08x", kernel,
                      threads, j, i, got, want);
      }
    expected += b->bytes;
  }
}

/* Tasks in an order of chance; each thread's scratch is rubbish before its first task. */
static void run_shuffled(tester *t, const pith_kernel *kernel, const void *args, size_t threads) {
  const size_t bytes = kernel->get_scratch_bytes ? kernel->get_scratch_bytes(args) : 0;
  const size_t page = (size_t)sysconf(_SC_PAGESIZE), padded = (bytes + 63) / 64 * 64;
  const size_t used = (padded + page - 1) / page * page;
  unsigned char *map = mmap(NULL, used + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED || mprotect(map + used, page, PROT_NONE) != 0)
    tester_fail(t, "no memory for scratch");
  void *scratch = map + used - padded;
  memset(scratch, 0xff, padded); /* NaN */
  const size_t tasks = kernel->count_tasks(args, threads);
  size_t *order = malloc((tasks + 1) * sizeof *order);
  if (!order)
    tester_fail(t, "no memory");
  for (size_t i = 0; i < tasks; ++i)
    order[i] = i;
  for (size_t i = tasks; i > 1; --i) {
    const size_t j = threads == 1 ? i - 1 : tester_pick(t, i), swap = order[j];
    order[j] = order[i - 1];
    order[i - 1] = swap;
  }
  for (size_t i = 0; i < tasks; ++i)
    kernel->run(args, threads, order[i], scratch);
  free(order);
  munmap(map, used + page);
}

void tester_reference(tester *t, const void *args) {
  run_shuffled(t, t->table[0], args, 1);
  check_front(t, t->table[0]->name);
  t->runs[0]++;
}

void tester_compare(tester *t, const void *args, const void *initial) {
  static const size_t thread_counts[] = {1, 2, 7};
  unsigned char *expected = malloc(output_bytes(t) + 1);
  if (!expected)
    tester_fail(t, "no memory");
  copy_outputs(t, expected);
  pith_cpu_set used = 0;
  for (size_t row = 0; t->table[row]; ++row)
    used |= t->table[row]->needs;
  used &= pith_cpu_detect();
  pith_cpu_set subset = used;
  do { /* every subset of the features that the table asks for and this CPU has */
    const pith_kernel *kernel = pith_kernel_select(t->table, subset);
    for (size_t i = 0; i < sizeof thread_counts / sizeof *thread_counts; ++i) {
      reset_outputs(t, initial);
      run_shuffled(t, kernel, args, thread_counts[i]);
      check_front(t, kernel->name);
      compare_outputs(t, kernel->name, thread_counts[i], expected);
    }
    for (size_t row = 0; t->table[row]; ++row)
      t->runs[row] += t->table[row] == kernel;
    subset = (subset - 1) & used;
  } while (subset != used);
  free(expected);
}

void tester_check_gaps(const tester *t, const void *out, size_t rows, size_t columns, size_t stride) {
  const unsigned char *p = out;
  for (size_t row = 0; row + 1 < rows; ++row)
    for (size_t i = (row * stride + columns) * 4; i < (row + 1) * stride * 4; ++i)
      if (p[i] != GUARD)
        tester_fail(t, "wrote between rows, byte %zu of row %zu", i - row * stride * 4, row);
}

void tester_check_near(const tester *t, const char *what, size_t row, size_t column, double got, double want,
                       double limit) {
  if (isnan(got) && isnan(want))
    return;
  if (!(fabs(got - want) <= limit))
    tester_fail(t, "%s [%zu, %zu]: got %.9g, want %.9g, error %.3g over %.3g", what, row, column, got, want,
                fabs(got - want), limit);
}

double tester_ulp(double got, double want) {
  int exponent;
  frexp(fabs(want), &exponent);
  exponent = exponent - 24 < -149 || want == 0 ? -149 : exponent - 24;
  return ldexp(fabs(got - want), -exponent);
}
