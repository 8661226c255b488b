#include "engine/base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *default_allocate(void *context, size_t bytes, size_t alignment) {
  (void)context;
  void *memory = NULL;
  return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}

static void default_release(void *context, void *memory, size_t bytes) {
  (void)context;
  (void)bytes;
  free(memory);
}

const pith_allocator pith_default_allocator = {default_allocate, default_release, NULL};

enum { LARGE_PAGE_BYTES = 2 << 20 };

static void *large_allocate(void *context, size_t bytes, size_t alignment) {
  if (bytes < LARGE_PAGE_BYTES)
    return default_allocate(context, bytes, alignment);
  void *memory = default_allocate(context, bytes, LARGE_PAGE_BYTES);
#ifdef MADV_HUGEPAGE
  if (memory != NULL) /* a wish: without it pages are small */
    (void)madvise(memory, bytes / LARGE_PAGE_BYTES * LARGE_PAGE_BYTES, MADV_HUGEPAGE);
#endif
  return memory;
}

const pith_allocator pith_large_allocator = {large_allocate, default_release, NULL};

void *pith_allocate(const pith_allocator *allocator, size_t bytes) {
  if (bytes == 0)
    return NULL;
  if (allocator == NULL)
    allocator = &pith_default_allocator;
  return allocator->allocate(allocator->context, bytes, 64);
}

/* The pages that lie in `memory` whole; false: there are none, or they are not the C library's. */
static bool find_pages(const pith_allocator *allocator, char *memory, size_t bytes, char **out_begin, char **out_end) {
  if (allocator != NULL && allocator->allocate != default_allocate && allocator->allocate != large_allocate)
    return false;
  const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)memory, end = begin + bytes;
  *out_begin = memory + ((begin + page - 1) / page * page - begin);
  *out_end = memory + (end / page * page - begin);
  return *out_begin < *out_end;
}

/* Private pages without a file are zeros once they are given back. */
static bool give_back(char *begin, char *end) {
  return madvise(begin, (size_t)(end - begin), MADV_DONTNEED) == 0;
}

void *pith_allocate_zeros(const pith_allocator *allocator, size_t bytes) {
  char *memory = pith_allocate(allocator, bytes), *begin, *end;
  if (memory == NULL)
    return NULL;
  if (!find_pages(allocator, memory, bytes, &begin, &end) || !give_back(begin, end))
    return memset(memory, 0, bytes);
  memset(memory, 0, (size_t)(begin - memory));
  memset(end, 0, (size_t)(memory + bytes - end));
  return memory;
}

void pith_vacate(const pith_allocator *allocator, void *memory, size_t bytes) {
  char *begin, *end;
  if (memory != NULL && find_pages(allocator, memory, bytes, &begin, &end))
    (void)give_back(begin, end);
}

void pith_expect_sparse(const pith_allocator *allocator, void *memory, size_t bytes) {
#ifdef MADV_NOHUGEPAGE
  char *begin, *end;
  if (memory != NULL && find_pages(allocator, memory, bytes, &begin, &end))
    (void)madvise(begin, (size_t)(end - begin), MADV_NOHUGEPAGE);
#else
  (void)allocator;
  (void)memory;
  (void)bytes;
#endif
}

void pith_release(const pith_allocator *allocator, void *memory, size_t bytes) {
  if (memory == NULL)
    return;
  if (allocator == NULL)
    allocator = &pith_default_allocator;
  allocator->release(allocator->context, memory, bytes);
}

struct pith_arena_block {
  pith_arena_block *next;
  size_t bytes, used; /* this header included */
};

enum { BLOCK_HEADER_BYTES = 64, SMALL_BLOCK_BYTES = 16 << 10, LARGE_BLOCK_BYTES = 256 << 10 };
_Static_assert(sizeof(pith_arena_block) <= BLOCK_HEADER_BYTES, "pieces stay aligned");

void pith_arena_init(pith_arena *arena, const pith_allocator *allocator) {
  *arena = (pith_arena){.allocator = allocator};
}

void pith_arena_deinit(pith_arena *arena) {
  while (arena->blocks != NULL) {
    pith_arena_block *block = arena->blocks;
    arena->blocks = block->next;
    pith_release(arena->allocator, block, block->bytes);
  }
  arena->reserved_bytes = 0;
}

void *pith_arena_array(pith_arena *arena, size_t count, size_t element_bytes) {
  size_t bytes;
  if (!pith_size_multiply(count, element_bytes, &bytes) || bytes > SIZE_MAX / 2)
    return NULL;
  if (bytes == 0)
    bytes = 1;
  size_t alignment = bytes >= 64 ? 64 : 16;
  pith_arena_block *block = arena->blocks;
  size_t begin = block == NULL ? 0 : (block->used + alignment - 1) & ~(alignment - 1);
  if (block == NULL || begin > block->bytes || block->bytes - begin < bytes) {
    size_t block_bytes = arena->reserved_bytes < LARGE_BLOCK_BYTES ? SMALL_BLOCK_BYTES : LARGE_BLOCK_BYTES;
    if (block_bytes < bytes + BLOCK_HEADER_BYTES)
      block_bytes = bytes + BLOCK_HEADER_BYTES;
    pith_arena_block *fresh = pith_allocate(arena->allocator, block_bytes);
    if (fresh == NULL)
      return NULL;
    *fresh = (pith_arena_block){.next = block, .bytes = block_bytes};
    arena->blocks = block = fresh;
    arena->reserved_bytes += block_bytes;
    begin = BLOCK_HEADER_BYTES;
  }
  block->used = begin + bytes;
  return memset((char *)block + begin, 0, bytes);
}

char *pith_arena_string(pith_arena *arena, const char *text, size_t bytes) {
  if (bytes == SIZE_MAX)
    return NULL;
  char *copy = pith_arena_array(arena, bytes + 1, 1);
  if (copy != NULL && bytes != 0)
    memcpy(copy, text, bytes);
  return copy;
}

char *pith_arena_format(pith_arena *arena, const char *format, ...) {
  va_list arguments, again;
  va_start(arguments, format);
  va_copy(again, arguments);
  int length = vsnprintf(NULL, 0, format, arguments);
  va_end(arguments);
  char *text = length < 0 ? NULL : pith_arena_array(arena, (size_t)length + 1, 1);
  if (text != NULL)
    vsnprintf(text, (size_t)length + 1, format, again);
  va_end(again);
  return text;
}
