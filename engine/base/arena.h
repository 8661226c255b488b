/* Memory: one allocator call site, and a bump arena on top of it.
 *
 * An arena hands out pieces that live until pith_arena_deinit; it is how graphs, programs and anything parsed
 * keep their parts, so that nothing is freed one by one and a failure half-way leaks nothing. */
#ifndef PITH_BASE_ARENA_H
#define PITH_BASE_ARENA_H

#include <stdbool.h>
#include <string.h>

#include <pith/pith.h>

/* The C library's aligned allocation. */
extern const pith_allocator pith_default_allocator;
/* The same, for what is large and read all the time: from 2 MiB on in pages of 2 MiB, where the system has them. */
extern const pith_allocator pith_large_allocator;

/* Aligned to 64 bytes; NULL on failure or for 0 bytes. `allocator` NULL: the default. Not cleared. */
void *pith_allocate(const pith_allocator *allocator, size_t bytes);
/* The same, zeroed. Of the C library's memory whole pages are the system's zeros, which take no room until something is written. */
void *pith_allocate_zeros(const pith_allocator *allocator, size_t bytes);
/* What stands in `memory` is not needed any more, and 0 would do as well: of the C library's memory whole pages go back to the system
 * until something is written there; other allocators' memory stays as it is. NULL memory is accepted. */
void pith_vacate(const pith_allocator *allocator, void *memory, size_t bytes);
/* Little of `memory` will be written, here and there: pages of pith_large_allocator are small there. Before the first write. */
void pith_expect_sparse(const pith_allocator *allocator, void *memory, size_t bytes);
/* `bytes` as given to pith_allocate; NULL memory is accepted. */
void pith_release(const pith_allocator *allocator, void *memory, size_t bytes);

typedef struct pith_arena_block pith_arena_block;
typedef struct pith_arena {
  const pith_allocator *allocator; /* borrowed */
  pith_arena_block *blocks;
  size_t reserved_bytes; /* all blocks */
} pith_arena;

void pith_arena_init(pith_arena *arena, const pith_allocator *allocator);
void pith_arena_deinit(pith_arena *arena); /* releases everything; the arena is empty again */

/* `count` elements of `element_bytes`, zeroed, aligned to 64 bytes where it is at least 64 long, else 16; NULL when
 * memory is out or the product overflows. A count of 0 gives a valid pointer. */
void *pith_arena_array(pith_arena *arena, size_t count, size_t element_bytes);
#define PITH_ARENA_NEW(arena, type, count) ((type *)pith_arena_array((arena), (count), sizeof(type)))
/* A zero-terminated copy; NULL when memory is out. */
char *pith_arena_string(pith_arena *arena, const char *text, size_t bytes);
__attribute__((format(printf, 2, 3))) char *pith_arena_format(pith_arena *arena, const char *format, ...);

/* Checked size arithmetic: false on overflow, *out untouched. */
static inline bool pith_size_multiply(size_t a, size_t b, size_t *out) {
  size_t product;
  if (__builtin_mul_overflow(a, b, &product))
    return false;
  *out = product;
  return true;
}
static inline bool pith_size_add(size_t a, size_t b, size_t *out) {
  size_t sum;
  if (__builtin_add_overflow(a, b, &sum))
    return false;
  *out = sum;
  return true;
}

#endif
