#include "train/run_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

static pith_status fail(const char *path, const char *what, pith_error *error) {
  return pith_fail(error, PITH_IO, "%s: cannot %s: %s", path, what, strerror(errno));
}

static pith_status open_lines(pith_run_log *log, const char *path, uint64_t keep_bytes, pith_error *error) {
  log->path = path;
  const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_APPEND, 0666);
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0 ||
      (S_ISREG(info.st_mode) && (uint64_t)info.st_size > keep_bytes && ftruncate(fd, (off_t)keep_bytes) != 0) ||
      (log->file = fdopen(fd, "ab")) == NULL) {
    const pith_status status = fail(path, "write", error);
    if (fd >= 0)
      close(fd);
    return status;
  }
  return PITH_OK;
}

/* A new file in the folder, whose name comes after those that are there. */
static pith_status open_events(pith_run_log *log, const char *folder, bool goes_on, uint64_t step, pith_error *error) {
  if (mkdir(folder, 0777) != 0 && errno != EEXIST)
    return fail(folder, "make the folder", error);
  char host[65] = "";
  (void)gethostname(host, sizeof host - 1);
  const double time = now();
  const char *path = pith_arena_format(&log->arena, "%s/events.out.tfevents.%.0f.%s.%ld", folder, floor(time), host, (long)getpid());
  if (path == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for a file's name", folder);
  PITH_TRY(pith_event_file_open(&log->events, path, time, error));
  return goes_on ? pith_event_file_restart(&log->events, time, (int64_t)step + 1, error) : PITH_OK;
}

pith_status pith_run_log_open(pith_run_log *log, const char *path, const char *folder, uint64_t keep_bytes, uint64_t step,
                              pith_error *error) {
  *log = (pith_run_log){.path = path};
  pith_arena_init(&log->arena, NULL);
  if (path != NULL)
    PITH_TRY(open_lines(log, path, keep_bytes, error));
  return folder == NULL ? PITH_OK : open_events(log, folder, step != 0, step, error);
}

/* ,"key":number */
static void print_number(FILE *out, const char *key, double value) {
  if (isfinite(value))
    fprintf(out, ",\"%s\":%.9g", key, value);
  else
    fprintf(out, ",\"%s\":null", key);
}

static pith_status end_line(pith_run_log *log, const char *end, pith_error *error) {
  fputs(end, log->file);
  return fflush(log->file) == 0 && !ferror(log->file) ? PITH_OK : fail(log->path, "write", error);
}

static pith_status add_curve(pith_run_log *log, uint64_t step, const char *tag, double value, pith_error *error) {
  return log->events.file == NULL ? PITH_OK
                                  : pith_event_file_add(&log->events, now(), (int64_t)step, tag, (float)value, error);
}

pith_status pith_run_log_add_point(pith_run_log *log, const pith_run_point *point, pith_error *error) {
  const struct {
    const char *key, *tag;
    double value;
  } parts[] = {{"epoch", NULL, point->epoch},
               {"loss", "train/loss", point->loss},
               {"lr", "train/lr", point->rate},
               {"norm", "train/norm", point->norm},
               {"steps_per_s", "train/steps_per_s", point->steps_per_s},
               {"tokens_per_s", "train/tokens_per_s", point->tokens_per_s}};
  if (log->file != NULL)
    fprintf(log->file, "{\"step\":%llu", (unsigned long long)point->step);
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    if (log->file != NULL)
      print_number(log->file, parts[i].key, parts[i].value);
    if (parts[i].tag != NULL)
      PITH_TRY(add_curve(log, point->step, parts[i].tag, parts[i].value, error));
  }
  return log->file == NULL ? PITH_OK : end_line(log, "}\n", error);
}

pith_status pith_run_log_add_evaluation(pith_run_log *log, uint64_t step, double epoch, const pith_evaluation *evaluation,
                                        pith_error *error) {
  if (log->file != NULL) {
    fprintf(log->file, "{\"step\":%llu", (unsigned long long)step);
    print_number(log->file, "epoch", epoch);
    fprintf(log->file, ",\"eval\":{\"n\":%zu", evaluation->n);
  }
  for (size_t i = 0; i < evaluation->metric_count; i++) {
    char tag[PITH_EVENT_MAX_TAG_BYTES];
    snprintf(tag, sizeof tag, "eval/%s", evaluation->metrics[i].name);
    if (log->file != NULL)
      print_number(log->file, evaluation->metrics[i].name, evaluation->metrics[i].value);
    PITH_TRY(add_curve(log, step, tag, evaluation->metrics[i].value, error));
  }
  return log->file == NULL ? PITH_OK : end_line(log, "}}\n", error);
}

uint64_t pith_run_log_count_bytes(const pith_run_log *log) {
  struct stat info; /* every line was flushed */
  return log->file != NULL && fstat(fileno(log->file), &info) == 0 && S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
}

void pith_run_log_close(pith_run_log *log) {
  if (log->file != NULL)
    fclose(log->file);
  pith_event_file_close(&log->events);
  pith_arena_deinit(&log->arena);
  *log = (pith_run_log){.file = NULL};
}
