/* What a long job tells of itself while it works, for a progress bar. */
#ifndef PITH_BASE_WATCHER_H
#define PITH_BASE_WATCHER_H

#include <stddef.h>
#include <stdint.h>

/* `see` is called on the thread that works: `done` of `total` units of the step called `what`. */
typedef struct pith_watcher {
  void (*see)(void *context, const char *what, uint64_t done, uint64_t total);
  void *context;
} pith_watcher;

/* `watcher` may be NULL: nobody looks. */
static inline void pith_watcher_tell(const pith_watcher *watcher, const char *what, uint64_t done,
                                     uint64_t total) {
  if (watcher != NULL)
    watcher->see(watcher->context, what, done, total);
}

#endif
