/* Scalars over steps for TensorBoard: a file of TFRecords, each an Event of tensorflow/core/util/event.proto.
 *
 *     8 bytes  length of the event, little-endian     4 bytes  masked CRC-32C of these 8
 *     n bytes  the event                              4 bytes  masked CRC-32C of it
 *
 * TensorBoard reads every file of a directory whose name has "tfevents" in it, in the order of the names. */
#ifndef PITH_TRAIN_EVENT_FILE_H
#define PITH_TRAIN_EVENT_FILE_H

#include <stdio.h>

#include "engine/base/error.h"

enum { PITH_EVENT_MAX_TAG_BYTES = 100 };

typedef struct pith_event_file {
  FILE *file; /* NULL: closed */
  const char *path;
} pith_event_file;

/* Begins a file at `path`, which the caller keeps; `wall_time` are seconds since 1970. PITH_IO. */
PITH_WARN_UNUSED pith_status pith_event_file_open(pith_event_file *events, const char *path, double wall_time,
                                                  pith_error *error);
/* A run goes on from `step`: what earlier files have from there on no longer counts. */
PITH_WARN_UNUSED pith_status pith_event_file_restart(pith_event_file *events, double wall_time, int64_t step,
                                                     pith_error *error);
/* One point of the curve `tag`, at most PITH_EVENT_MAX_TAG_BYTES long. It is in the file when this returns. */
PITH_WARN_UNUSED pith_status pith_event_file_add(pith_event_file *events, double wall_time, int64_t step, const char *tag,
                                                 float value, pith_error *error);
void pith_event_file_close(pith_event_file *events); /* one that was never opened (all zero) is accepted */

#endif
