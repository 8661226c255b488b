#include "train/event_file.h"

#include <errno.h>
#include <string.h>

enum { EVENT_BYTES = 256 };

/* A protocol buffer being encoded. */
typedef struct message {
  uint8_t bytes[EVENT_BYTES];
  size_t size;
} message;

enum { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

static void put(message *m, const void *bytes, size_t size) {
  memcpy(m->bytes + m->size, bytes, size);
  m->size += size;
}

static void put_little(message *m, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; i++)
    m->bytes[m->size++] = (uint8_t)(value >> (8 * i));
}

static void put_varint(message *m, uint64_t value) {
  for (; value >= 0x80; value >>= 7)
    m->bytes[m->size++] = (uint8_t)(value | 0x80);
  m->bytes[m->size++] = (uint8_t)value;
}

static void put_key(message *m, unsigned field, unsigned wire) {
  put_varint(m, field << 3 | wire);
}

static void put_bytes(message *m, unsigned field, const void *bytes, size_t size) {
  put_key(m, field, WIRE_BYTES);
  put_varint(m, size);
  put(m, bytes, size);
}

static void put_float(message *m, unsigned field, float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  put_key(m, field, WIRE_32);
  put_little(m, bits, 4);
}

/* What every event begins with: wall_time = 1, step = 2. */
static message begin_event(double wall_time, int64_t step) {
  message m = {.size = 0};
  uint64_t bits;
  memcpy(&bits, &wall_time, sizeof bits);
  put_key(&m, 1, WIRE_64);
  put_little(&m, bits, 8);
  if (step != 0) {
    put_key(&m, 2, WIRE_VARINT);
    put_varint(&m, (uint64_t)step);
  }
  return m;
}

/* CRC-32C (Castagnoli), bit by bit: records are short. TensorFlow masks it so that a CRC of data that hold CRCs stays a good
 * one (tensorflow/core/lib/hash/crc32c.h). */
static uint32_t masked_crc(const uint8_t *bytes, size_t size) {
  uint32_t crc = 0xffffffffu;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++)
      crc = crc >> 1 ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  crc = ~crc;
  return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static pith_status write_record(pith_event_file *events, const message *event, pith_error *error) {
  message record = {.size = 0};
  put_little(&record, event->size, 8);
  put_little(&record, masked_crc(record.bytes, 8), 4);
  if (fwrite(record.bytes, 1, record.size, events->file) == record.size &&
      fwrite(event->bytes, 1, event->size, events->file) == event->size) {
    record.size = 0;
    put_little(&record, masked_crc(event->bytes, event->size), 4);
    if (fwrite(record.bytes, 1, record.size, events->file) == record.size && fflush(events->file) == 0)
      return PITH_OK;
  }
  return pith_fail(error, PITH_IO, "%s: cannot write: %s", events->path, strerror(errno));
}

pith_status pith_event_file_open(pith_event_file *events, const char *path, double wall_time, pith_error *error) {
  *events = (pith_event_file){.file = fopen(path, "wbe"), .path = path};
  if (events->file == NULL)
    return pith_fail(error, PITH_IO, "%s: cannot create: %s", path, strerror(errno));
  static const char version[] = "brain.Event:2";
  message event = begin_event(wall_time, 0);
  put_bytes(&event, 3, version, strlen(version)); /* file_version */
  const pith_status status = write_record(events, &event, error);
  if (status != PITH_OK)
    pith_event_file_close(events);
  return status;
}

pith_status pith_event_file_restart(pith_event_file *events, double wall_time, int64_t step, pith_error *error) {
  static const uint8_t start[] = {1 << 3 | WIRE_VARINT, 1}; /* SessionLog: status START */
  message event = begin_event(wall_time, step);
  put_bytes(&event, 7, start, sizeof start); /* session_log */
  return write_record(events, &event, error);
}

pith_status pith_event_file_add(pith_event_file *events, double wall_time, int64_t step, const char *tag, float value,
                                pith_error *error) {
  const size_t tag_bytes = strlen(tag);
  if (tag_bytes > PITH_EVENT_MAX_TAG_BYTES)
    return pith_fail(error, PITH_LIMIT, "%s: the curve '%.40s' has a name of %zu bytes, over %d", events->path, tag,
                     tag_bytes, PITH_EVENT_MAX_TAG_BYTES);
  message scalar = {.size = 0}, summary = {.size = 0}, event = begin_event(wall_time, step);
  put_bytes(&scalar, 1, tag, tag_bytes);
  put_float(&scalar, 2, value); /* simple_value */
  put_bytes(&summary, 1, scalar.bytes, scalar.size);
  put_bytes(&event, 5, summary.bytes, summary.size);
  return write_record(events, &event, error);
}

void pith_event_file_close(pith_event_file *events) {
  if (events->file != NULL)
    fclose(events->file);
  *events = (pith_event_file){0};
}
