#include "engine/base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

pith_status pith_fail(pith_error *error, pith_status status, const char *format, ...) {
  if (error == NULL)
    return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  for (char *c = error->message; *c != '\0'; c++)
    if ((unsigned char)*c < ' ')
      *c = ' ';
  return status;
}

const char *pith_status_string(pith_status status) {
  static const char *const texts[] = {
#define PITH_STATUS_TEXT(name, text) [PITH_##name] = text,
      PITH_STATUS_LIST(PITH_STATUS_TEXT)
#undef PITH_STATUS_TEXT
  };
  return (unsigned)status < sizeof texts / sizeof *texts ? texts[status] : "unknown status";
}

const char *pith_task_name(pith_task task) {
  static const char *const names[] = {
#define PITH_TASK_NAME(name, text) [PITH_TASK_##name] = text,
      PITH_TASK_LIST(PITH_TASK_NAME)
#undef PITH_TASK_NAME
  };
  return (unsigned)task < sizeof names / sizeof *names ? names[task] : "unknown";
}

pith_status pith_read_struct(const void *from, void *to, size_t bytes, const char *what, pith_error *error) {
  size_t given;
  memcpy(&given, from, sizeof given);
  if (given < sizeof given)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s.struct_size is %zu: set it to the size of the structure", what, given);
  memset(to, 0, bytes);
  memcpy(to, from, given < bytes ? given : bytes);
  memcpy(to, &bytes, sizeof bytes);
  return PITH_OK;
}
