#include <stdlib.h>
#include <string.h>

#include "cli/bench_internal.h"

/* Rates count what dense products would do; the column `work` says how much of it sparse ones do. */

/* Steps of one operator and kernel, summed. */
typedef struct profile_row {
  const char *operator_name, *kernel;
  uint64_t calls, nanoseconds;
  double flops, done, bytes; /* done: of flops, without what sparse products leave out */
  bool is_integer;
} profile_row;

enum { ROWS_MAX = 128 };

static int compare_rows(const void *a, const void *b) {
  uint64_t x = ((const profile_row *)a)->nanoseconds, y = ((const profile_row *)b)->nanoseconds;
  return (x < y) - (x > y);
}

/* An entry for each step of the program, where there is one. */
static size_t sum_rows(const pith_program *program, const pith_profile_entry *entries, size_t count,
                       profile_row *rows) {
  size_t row_count = 0;
  for (size_t i = 0; i < count; i++) {
    size_t r = 0;
    while (r < row_count && (strcmp(rows[r].operator_name, entries[i].operator_name) != 0 ||
                             strcmp(rows[r].kernel, entries[i].kernel) != 0))
      r++;
    if (r == ROWS_MAX)
      r = ROWS_MAX - 1; /* what is left shares the last row */
    else if (r == row_count)
      rows[row_count++] = (profile_row){.operator_name = entries[i].operator_name,
                                        .kernel = entries[i].kernel,
                                        .is_integer = program != NULL && program->steps[i].row->is_integer};
    rows[r].calls += entries[i].calls;
    rows[r].nanoseconds += entries[i].nanoseconds;
    rows[r].flops += entries[i].flops;
    rows[r].done += entries[i].flops * (program == NULL ? 1 : pith_step_get_work(program, &program->steps[i]));
    rows[r].bytes += entries[i].bytes;
  }
  qsort(rows, row_count, sizeof *rows, compare_rows);
  return row_count;
}

void pith_bench_print_profile(FILE *out, const pith_session *session, pith_peaks peaks, size_t threads, bool json) {
  const pith_profile_entry *entries;
  size_t count;
  pith_session_profile(session, &entries, &count);
  pith_bench_print_entries(out, pith_session_get_program(session), entries, count, peaks, threads, json);
}

void pith_bench_print_entries(FILE *out, const pith_program *program, const pith_profile_entry *entries, size_t count,
                              pith_peaks peaks, size_t threads, bool json) {
  profile_row rows[ROWS_MAX];
  size_t row_count = sum_rows(program, entries, count, rows);
  double total = 0;
  for (size_t r = 0; r < row_count; r++)
    total += (double)rows[r].nanoseconds;
  total = total > 0 ? total : 1;

  if (!json)
    fprintf(out, "%-36s %-28s %8s %10s %7s %10s %6s %8s %6s\n", "operator", "kernel", "calls", "ms", "time",
            "GOP/s", "work", "GB/s", "peak");
  for (size_t r = 0; r < row_count; r++) {
    double ns = rows[r].nanoseconds == 0 ? 1 : (double)rows[r].nanoseconds;
    double gflops = rows[r].flops / ns, gbytes = rows[r].bytes / ns;
    double peak = rows[r].is_integer ? peaks.int8 : peaks.fp32;
    double work = rows[r].flops > 0 ? rows[r].done / rows[r].flops : 1;
    double share = peak > 0 ? gflops * 1e9 / (peak * (double)threads) : 0;
    if (!json) {
      fprintf(out, "%-36s %-28s %8llu %10.3f %6.1f%% %10.1f %5.1f%% %8.1f %5.1f%%\n", rows[r].operator_name, rows[r].kernel,
              (unsigned long long)rows[r].calls, ns * 1e-6, 100 * ns / total, gflops, 100 * work, gbytes, 100 * share);
      continue;
    }
    fprintf(out, "%s{\"operator\":\"%s\",\"kernel\":\"%s\",\"calls\":%llu,\"ms\":%.6f,\"share_of_time\":%.6f,"
                 "\"gflops\":%.3f,\"work\":%.6f,\"gbytes_per_s\":%.3f,\"fraction_of_peak\":%.4f,\"peak\":\"%s\"}",
            r == 0 ? "" : ",", rows[r].operator_name, rows[r].kernel, (unsigned long long)rows[r].calls, ns * 1e-6,
            ns / total, gflops, work, gbytes, share, rows[r].is_integer ? "int8" : "fp32");
  }
}

pith_status pith_bench_write_trace(pith_file_writer *writer, const pith_session *session, pith_error *error) {
  const pith_profile_entry *entries;
  size_t count;
  pith_session_profile(session, &entries, &count);
  const char head[] = "{\"traceEvents\":[\n";
  pith_status status = pith_file_writer_write(writer, head, sizeof head - 1, error);
  for (size_t i = 0; i < count && status == PITH_OK; i++) {
    char line[512];
    double begin = (double)(entries[i].last_begin_ns - entries[0].last_begin_ns) * 1e-3;
    double duration = (double)(entries[i].last_end_ns - entries[i].last_begin_ns) * 1e-3;
    int bytes = snprintf(line, sizeof line,
                         "%s{\"name\":\"%.100s\",\"cat\":\"%.60s\",\"ph\":\"X\",\"ts\":%.3f,\"dur\":%.3f,\"pid\":1,"
                         "\"tid\":1,\"args\":{\"kernel\":\"%.100s\"}}",
                         i == 0 ? "" : ",\n", entries[i].name, entries[i].operator_name, begin, duration,
                         entries[i].kernel);
    status = pith_file_writer_write(writer, line, (size_t)bytes, error);
  }
  const char tail[] = "\n]}\n";
  if (status == PITH_OK)
    status = pith_file_writer_write(writer, tail, sizeof tail - 1, error);
  return status == PITH_OK ? pith_file_writer_commit(writer, error) : status;
}
