/* Failing with a message. */
#ifndef PITH_BASE_ERROR_H
#define PITH_BASE_ERROR_H

#include <pith/pith.h>

/* Writes the message (truncated to fit, newlines replaced by spaces) where `error` is not NULL; returns `status`,
 * so that `return pith_fail(...)` reads as it is meant. */
__attribute__((format(printf, 3, 4))) pith_status pith_fail(pith_error *error, pith_status status,
                                                            const char *format, ...);

/* The caller's structure, whose first field is its struct_size, into `to`, with zeros past its end. `what` names it. */
PITH_WARN_UNUSED pith_status pith_read_struct(const void *from, void *to, size_t bytes, const char *what, pith_error *error);

/* Returns the status of a failed expression from the calling function. */
#define PITH_TRY(expression)                                                                               \
  do {                                                                                                     \
    pith_status pith_try_status_ = (expression);                                                           \
    if (pith_try_status_ != PITH_OK)                                                                       \
      return pith_try_status_;                                                                             \
  } while (0)

#endif
