/* pith bench: throughput and latency of the session's run, against the peak of the same machine in the same run. */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench_internal.h"
#include "cli/input.h"
#include "engine/exec/model.h"
#include "models/tasks/evaluate.h"
#include "ops/cpu/peak.h"

typedef struct bench_settings {
  const char *operand;
  const char *lengths, *input, *trace, *outputs;
  uint64_t batch, sequence, instances, seed;
  double seconds;
  bool json, json_lines, profile;
  pith_cli_limits limits;
} bench_settings;

/* Everything that is run again and again: one pass over all batches. */
typedef struct workload {
  size_t sequence_count, batch_count;
  uint64_t tokens;
  pith_operations operations;
  pith_batch *batches;
  const uint32_t *order; /* [sequence_count] the place of each sequence in its file */
} workload;

/* ---- workload ----------------------------------------------------------------------------------------- */

/* splitmix64: seeds of ids need no more. */
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static pith_status no_memory(pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for the workload");
}

/* Lengths, one a line. */
static pith_status read_lengths(const char *path, pith_arena *arena, uint32_t **out_lengths, size_t *out_count,
                                pith_error *error) {
  pith_input input;
  PITH_TRY(pith_input_open(&input, path, false, error));
  size_t capacity = 1024, count = 0;
  uint32_t *lengths = PITH_ARENA_NEW(arena, uint32_t, capacity);
  pith_status status = lengths == NULL ? no_memory(error) : PITH_OK;
  while (status == PITH_OK) {
    pith_dataset_row row;
    bool end;
    status = pith_input_next(&input, arena, &row, &end, error);
    if (status != PITH_OK || end)
      break;
    char *stop;
    unsigned long length = strtoul(row.text, &stop, 10);
    if (row.text[0] < '0' || row.text[0] > '9' || *stop != '\0' || length == 0 || length > INT32_MAX) {
      status = pith_fail(error, PITH_FORMAT, "%s: line %llu: '%.40s' is no length", path,
                         (unsigned long long)input.line, row.text);
      break;
    }
    if (count == capacity) {
      uint32_t *more = PITH_ARENA_NEW(arena, uint32_t, capacity * 2);
      if (more == NULL) {
        status = no_memory(error);
        break;
      }
      memcpy(more, lengths, count * sizeof *more);
      lengths = more;
      capacity *= 2;
    }
    lengths[count++] = (uint32_t)length;
  }
  pith_input_close(&input);
  if (status == PITH_OK && count == 0)
    status = pith_fail(error, PITH_FORMAT, "%s: no lengths", path);
  *out_lengths = lengths;
  *out_count = count;
  return status;
}

/* Sequences of seeded random ids. */
static pith_status make_sequences(const bench_settings *settings, const pith_model *model, const uint32_t *lengths,
                                  size_t count, pith_arena *arena, pith_sequence *out, pith_error *error) {
  int64_t id_count;
  PITH_TRY(pith_bench_count_ids(model->data.graph, &id_count, error));
  uint64_t random = settings->seed;
  for (size_t i = 0; i < count; i++) {
    if (lengths[i] > model->data.max_length)
      return pith_fail(error, PITH_LIMIT, "a sequence of %u tokens, over the model's maximum of %u", lengths[i],
                       model->data.max_length);
    int32_t *ids = PITH_ARENA_NEW(arena, int32_t, lengths[i]);
    if (ids == NULL)
      return no_memory(error);
    for (uint32_t t = 0; t < lengths[i]; t++)
      ids[t] = (int32_t)(next_random(&random) % (uint64_t)id_count);
    out[i] = (pith_sequence){ids, NULL, lengths[i]};
  }
  return PITH_OK;
}

/* All texts of a file, encoded as `pith run` encodes them. */
static pith_status read_texts(const bench_settings *settings, pith_session *session, pith_arena *arena,
                              pith_sequence **out, size_t *out_count, pith_error *error) {
  pith_input input;
  PITH_TRY(pith_input_open(&input, settings->input, settings->json_lines, error));
  size_t capacity = 0, count = 0;
  pith_dataset_row *rows = NULL;
  pith_status status = PITH_OK;
  for (;;) {
    if (count == capacity) {
      size_t more = capacity == 0 ? 1024 : capacity * 2;
      pith_dataset_row *grown = PITH_ARENA_NEW(arena, pith_dataset_row, more);
      if (grown == NULL) {
        status = no_memory(error);
        break;
      }
      if (count != 0)
        memcpy(grown, rows, count * sizeof *rows);
      rows = grown;
      capacity = more;
    }
    bool end;
    status = pith_input_next(&input, arena, &rows[count], &end, error);
    if (status != PITH_OK || end)
      break;
    count++;
  }
  pith_input_close(&input);
  if (status == PITH_OK && count == 0)
    status = pith_fail(error, PITH_FORMAT, "%s: no texts", settings->input);
  PITH_TRY(status);
  *out = PITH_ARENA_NEW(arena, pith_sequence, count);
  if (*out == NULL)
    return no_memory(error);
  *out_count = count;
  return pith_rows_encode(session, rows, count, arena, *out, error);
}

/* Packs sequences as pith run does. */
static pith_status pack_workload(const pith_sequence *sequences, size_t count, const pith_session_options *options,
                                 const pith_program *program, pith_arena *arena, workload *out, pith_error *error) {
  uint32_t *lengths = PITH_ARENA_NEW(arena, uint32_t, count);
  if (lengths == NULL)
    return no_memory(error);
  for (size_t i = 0; i < count; i++)
    lengths[i] = sequences[i].length;
  pith_feed_plan plan;
  PITH_TRY(pith_feed_plan_create(lengths, count, options->max_tokens, options->max_sequences, arena, &plan, error));
  *out = (workload){.sequence_count = count, .batch_count = plan.batch_count, .order = plan.order};
  out->batches = PITH_ARENA_NEW(arena, pith_batch, plan.batch_count);
  if (out->batches == NULL)
    return no_memory(error);
  pith_bench_counter counter;
  PITH_TRY(pith_bench_counter_init(&counter, program, arena, error));
  for (size_t b = 0; b < plan.batch_count; b++) {
    const uint32_t *order = plan.order + plan.begins[b];
    size_t n = plan.begins[b + 1] - plan.begins[b], tokens = 0;
    for (size_t i = 0; i < n; i++)
      tokens += lengths[order[i]];
    int32_t *offsets = PITH_ARENA_NEW(arena, int32_t, n + 1), *ids = PITH_ARENA_NEW(arena, int32_t, tokens);
    int32_t *type_ids = PITH_ARENA_NEW(arena, int32_t, tokens);
    if (offsets == NULL || ids == NULL || type_ids == NULL)
      return no_memory(error);
    for (size_t i = 0; i < n; i++) {
      const pith_sequence *sequence = &sequences[order[i]];
      size_t at = (size_t)offsets[i];
      memcpy(ids + at, sequence->ids, sequence->length * sizeof *ids);
      if (sequence->type_ids != NULL)
        memcpy(type_ids + at, sequence->type_ids, sequence->length * sizeof *ids);
      offsets[i + 1] = offsets[i] + (int32_t)sequence->length;
    }
    pith_batch batch = PITH_BATCH_INIT;
    batch.sequences = n;
    batch.offsets = offsets;
    batch.ids = ids;
    batch.type_ids = type_ids;
    out->batches[b] = batch;
    pith_operations operations;
    PITH_TRY(pith_bench_count_operations(&counter, offsets, n, 0, &operations, error));
    out->operations.all += operations.all;
    out->operations.integer += operations.integer;
    out->operations.done += operations.done;
    out->tokens += tokens;
  }
  return PITH_OK;
}

/* ---- measuring ---------------------------------------------------------------------------------------- */

/* At most this many runs and passes are remembered: 256 KB an instance. */
enum { SAMPLES_MAX = 1 << 14 };

/* One instance: a thread with a session of its own. */
typedef struct instance {
  const workload *work;
  pith_session *session;
  pthread_barrier_t *barrier;
  double seconds;
  pith_progress *progress; /* of the first instance, else NULL: thousandths of the time, or of the first pass */
  double *latencies; /* [SAMPLES_MAX] seconds of single runs */
  double *passes;    /* [SAMPLES_MAX] seconds of whole passes */
  size_t latency_count, pass_count;
  pith_status status;
  pith_error error;
} instance;

static double seconds_since(uint64_t begin_ns) {
  return (double)(pith_now_ns() - begin_ns) * 1e-9;
}

static pith_status run_batch(instance *in, size_t batch) {
  pith_result result = {.struct_size = sizeof result};
  uint64_t begin = pith_now_ns();
  PITH_TRY(pith_session_run(in->session, &in->work->batches[batch], &result, &in->error));
  if (in->latency_count < SAMPLES_MAX)
    in->latencies[in->latency_count++] = seconds_since(begin);
  return PITH_OK;
}

enum { PROGRESS_PARTS = 1000 };

/* Caches and clock settle in the first tenth of the time. */
static double settle_seconds(const instance *in) {
  return in->seconds / 10;
}

/* The time is up, but one pass over the workload is whole in any case. */
static bool is_over(const instance *in, double seconds) {
  return in->pass_count != 0 && seconds >= in->seconds;
}

static void show(const instance *in, size_t batches_done, double seconds) {
  if (in->progress == NULL)
    return;
  double share = (settle_seconds(in) + seconds) / (settle_seconds(in) + in->seconds);
  const double pass_share = (double)batches_done / (double)in->work->batch_count;
  if (in->pass_count == 0 && pass_share < share)
    share = pass_share;
  pith_progress_update(in->progress, (uint64_t)(share * PROGRESS_PARTS));
}

static void *run_instance(void *argument) {
  instance *in = argument;
  uint64_t begin = pith_now_ns();
  size_t batch = 0;
  do {
    show(in, 0, 0);
    in->status = run_batch(in, batch++ % in->work->batch_count);
  } while (in->status == PITH_OK && seconds_since(begin) < settle_seconds(in));
  in->latency_count = 0;
  pthread_barrier_wait(in->barrier);
  begin = pith_now_ns();
  do {
    uint64_t pass_begin = pith_now_ns();
    for (batch = 0; batch < in->work->batch_count && in->status == PITH_OK; batch++) {
      const double seconds = seconds_since(begin);
      if (batch != 0 && is_over(in, seconds))
        break;
      show(in, batch, seconds);
      in->status = run_batch(in, batch);
    }
    if (batch == in->work->batch_count) /* a pass that the time cut short says nothing */
      in->passes[in->pass_count++] = seconds_since(pass_begin);
  } while (in->status == PITH_OK && in->pass_count < SAMPLES_MAX && !is_over(in, seconds_since(begin)));
  return NULL;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Nearest rank of sorted samples. */
static double percentile(const double *sorted, size_t count, double share) {
  size_t at = (size_t)(share * (double)count);
  return sorted[at < count ? at : count - 1];
}

typedef struct measurement {
  double passes_per_s; /* of all instances together: the sum of 1 / median */
  double p50, p90, p99; /* seconds of one run */
  pith_peaks peaks;
  uint64_t rss_bytes;
} measurement;

static uint64_t read_resident_bytes(void) {
  FILE *file = fopen("/proc/self/status", "r");
  char line[256];
  unsigned long long kilobytes = 0;
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
      break;
  if (file != NULL)
    fclose(file);
  return kilobytes * 1024;
}

/* Of the features that the session may use. The larger of what is measured before and after: a neighbour can only make a core
 * look slower. */
static void measure_peak(const bench_settings *settings, measurement *out, bool again) {
  const pith_cpu_set cpu = pith_cpu_detect() & ~settings->limits.without;
  double fp32 = pith_peak_measure(PITH_PEAK_FP32, cpu, 30), int8 = pith_peak_measure(PITH_PEAK_INT8, cpu, 30);
  out->peaks.fp32 = again && out->peaks.fp32 > fp32 ? out->peaks.fp32 : fp32;
  out->peaks.int8 = again && out->peaks.int8 > int8 ? out->peaks.int8 : int8;
}

static pith_status measure_instances(const workload *work, pith_session *const *sessions, size_t count,
                                     double seconds, pith_arena *arena, measurement *out, pith_error *error) {
  instance *instances = PITH_ARENA_NEW(arena, instance, count);
  pthread_t *threads = PITH_ARENA_NEW(arena, pthread_t, count);
  /* Passes hold many runs: samples are few unless a run is very short. */
  double *all = pith_arena_array(arena, count, SAMPLES_MAX * sizeof *all);
  if (instances == NULL || threads == NULL || all == NULL)
    return no_memory(error);
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, NULL, (unsigned)count);
  for (size_t i = 0; i < count; i++) {
    instances[i] = (instance){.work = work, .session = sessions[i], .barrier = &barrier, .seconds = seconds};
    instances[i].latencies = all + i * SAMPLES_MAX;
    instances[i].passes = PITH_ARENA_NEW(arena, double, SAMPLES_MAX);
    if (instances[i].passes == NULL)
      return no_memory(error);
  }
  size_t started = 1;
  for (; started < count; started++)
    if (pthread_create(&threads[started], NULL, run_instance, &instances[started]) != 0)
      break;
  if (started < count) {
    /* Those that run wait at the barrier for all: nothing can be measured, nor undone. */
    pith_fail(error, PITH_OUT_OF_MEMORY, "no thread for instance %zu of %zu", started, count);
    exit(pith_report_error(error));
  }
  pith_progress progress;
  pith_progress_begin(&progress, "bench", PROGRESS_PARTS);
  progress.is_time = true;
  instances[0].progress = &progress;
  run_instance(&instances[0]);
  for (size_t i = 1; i < count; i++)
    pthread_join(threads[i], NULL);
  pith_progress_end(&progress);
  pthread_barrier_destroy(&barrier);

  size_t latency_count = 0;
  *out = (measurement){.peaks = out->peaks};
  for (size_t i = 0; i < count; i++) {
    if (instances[i].status != PITH_OK) {
      *error = instances[i].error;
      return instances[i].status;
    }
    qsort(instances[i].passes, instances[i].pass_count, sizeof(double), compare_doubles);
    out->passes_per_s += 1 / percentile(instances[i].passes, instances[i].pass_count, 0.5);
    memmove(all + latency_count, instances[i].latencies, instances[i].latency_count * sizeof *all);
    latency_count += instances[i].latency_count;
  }
  qsort(all, latency_count, sizeof *all, compare_doubles);
  out->p50 = percentile(all, latency_count, 0.50);
  out->p90 = percentile(all, latency_count, 0.90);
  out->p99 = percentile(all, latency_count, 0.99);
  return PITH_OK;
}

/* ---- reporting ---------------------------------------------------------------------------------------- */

static void report(const bench_settings *settings, const workload *work, const measurement *m,
                   const pith_session *session, size_t threads) {
  double gflops = work->operations.all * m->passes_per_s * 1e-9;
  double cores = (double)(threads * settings->instances);
  double integer = work->operations.all > 0 ? work->operations.integer / work->operations.all : 0;
  double done = work->operations.all > 0 ? work->operations.done / work->operations.all : 1;
  bool is_integer = integer >= 0.5;
  double peak = is_integer ? m->peaks.int8 : m->peaks.fp32;
  double fraction = peak > 0 ? gflops * 1e9 / (peak * cores) : 0;
  double samples = (double)work->sequence_count * m->passes_per_s, tokens = (double)work->tokens * m->passes_per_s;
  if (!settings->json) {
    printf("%.1f samples/s  %.0f tokens/s  %.1f %s/s, %.3f of %s peak (%zu x %.1f)\n", samples, tokens, gflops,
           is_integer ? "GOP" : "GFLOP", fraction, is_integer ? "INT8" : "FP32", (size_t)cores, peak * 1e-9);
    if (integer > 0)
      printf("%.2f %% of the operations of products are INT8\n", 100 * integer);
    if (done < 1)
      printf("%.2f %% of the operations are done, the others are with zeros that sparse products leave out: rates count them\n",
             100 * done);
    printf("latency of a run: p50 %.3f ms  p90 %.3f ms  p99 %.3f ms;  resident %.1f MB\n", m->p50 * 1e3, m->p90 * 1e3,
           m->p99 * 1e3, (double)m->rss_bytes * 1e-6);
    if (settings->profile)
      pith_bench_print_profile(stdout, session, m->peaks, threads, false);
    return;
  }
  printf("{\"samples_per_s\":%.6g,\"tokens_per_s\":%.6g,\"latency_ms\":{\"p50\":%.6g,\"p90\":%.6g,\"p99\":%.6g},"
         "\"gflops\":%.6g,\"fraction_of_peak\":%.4f,\"fraction_of\":\"%s\",\"integer_fraction\":%.6f,"
         "\"work\":%.6f,\"peak\":{\"fp32_gflops\":%.6g,\"int8_gops\":%.6g},\"rss_bytes\":%llu",
         samples, tokens, m->p50 * 1e3, m->p90 * 1e3, m->p99 * 1e3, gflops, fraction,
         is_integer ? "int8" : "fp32", integer, done, m->peaks.fp32 * 1e-9, m->peaks.int8 * 1e-9,
         (unsigned long long)m->rss_bytes);
  if (settings->profile) {
    fputs(",\"profile\":[", stdout);
    pith_bench_print_profile(stdout, session, m->peaks, threads, true);
    putchar(']');
  }
  puts("}");
}

/* The first output of every sequence in the order of the input, a JSON array a line: what `run` must agree with. */
static pith_status write_outputs(pith_file_writer *writer, pith_session *session, const workload *work, pith_arena *arena,
                                 pith_error *error) {
  size_t columns = 0;
  float *rows = NULL;
  size_t at = 0;
  for (size_t b = 0; b < work->batch_count; b++) {
    pith_result result = {.struct_size = sizeof result};
    PITH_TRY(pith_session_run(session, &work->batches[b], &result, error));
    if (result.count == 0 || result.outputs[0].rows != work->batches[b].sequences)
      return pith_fail(error, PITH_UNSUPPORTED, "--outputs needs a model with one row for each text");
    if (rows == NULL) {
      columns = result.outputs[0].columns;
      rows = pith_arena_array(arena, work->sequence_count, columns * sizeof *rows);
      if (rows == NULL)
        return no_memory(error);
    }
    for (size_t i = 0; i < work->batches[b].sequences; i++, at++)
      memcpy(rows + work->order[at] * columns, result.outputs[0].data + i * columns, columns * sizeof *rows);
  }
  for (size_t i = 0; i < work->sequence_count; i++)
    for (size_t j = 0; j < columns; j++) {
      char number[PITH_JSON_FLOAT_BYTES];
      pith_json_format_float(number, rows[i * columns + j]);
      PITH_TRY(pith_file_writer_write(writer, j == 0 ? "[" : ",", 1, error));
      PITH_TRY(pith_file_writer_write(writer, number, strlen(number), error));
      if (j + 1 == columns)
        PITH_TRY(pith_file_writer_write(writer, "]\n", 2, error));
    }
  return pith_file_writer_commit(writer, error);
}

/* ---- the subcommand ----------------------------------------------------------------------------------- */

/* The sequences that the settings ask for: a file of texts, a file of lengths, or batch x sequence. */
static pith_status make_workload(const bench_settings *settings, pith_cli_session *open, pith_arena *arena,
                                 workload *out, pith_error *error) {
  pith_sequence *sequences = NULL;
  size_t count = 0;
  if (settings->input != NULL) {
    PITH_TRY(read_texts(settings, open->session, arena, &sequences, &count, error));
  } else {
    uint32_t *lengths;
    if (settings->lengths != NULL) {
      PITH_TRY(read_lengths(settings->lengths, arena, &lengths, &count, error));
    } else {
      count = settings->batch;
      lengths = PITH_ARENA_NEW(arena, uint32_t, count);
      if (lengths == NULL)
        return no_memory(error);
      for (size_t i = 0; i < count; i++)
        lengths[i] = (uint32_t)settings->sequence;
    }
    sequences = PITH_ARENA_NEW(arena, pith_sequence, count);
    if (sequences == NULL)
      return no_memory(error);
    PITH_TRY(make_sequences(settings, open->model, lengths, count, arena, sequences, error));
  }
  return pack_workload(sequences, count, &open->options, pith_session_get_program(open->session), arena, out, error);
}

/* Sessions of all instances beside the first, each with a pool of its own. */
static pith_status open_instances(const bench_settings *settings, pith_cli_session *open, pith_session **sessions,
                                  pthreadpool_t *pools, pith_error *error) {
  sessions[0] = open->session;
  for (size_t i = 1; i < settings->instances; i++) {
    pith_session_options options = open->options;
    size_t threads = pith_cli_thread_count(&settings->limits);
    if (threads > 1) {
      pools[i] = pthreadpool_create(threads);
      if (pools[i] == NULL)
        return pith_fail(error, PITH_OUT_OF_MEMORY, "no pool of %zu threads", threads);
      options.threadpool = pools[i];
    }
    PITH_TRY(pith_session_create(open->model, &options, &sessions[i], error));
  }
  return PITH_OK;
}

/* Files to write, open before anything is measured: a place that cannot be written is told at once. */
typedef struct bench_files {
  pith_file_writer trace, outputs;
} bench_files;

static pith_status open_files(const bench_settings *settings, bench_files *out, pith_error *error) {
  if (settings->trace != NULL)
    PITH_TRY(pith_file_writer_open(&out->trace, settings->trace, error));
  if (settings->outputs != NULL)
    PITH_TRY(pith_file_writer_open(&out->outputs, settings->outputs, error));
  return PITH_OK;
}

static pith_status bench(const bench_settings *settings, pith_cli_session *open, bench_files *files,
                         pith_arena *arena, pith_error *error) {
  pith_session **sessions = PITH_ARENA_NEW(arena, pith_session *, settings->instances);
  pthreadpool_t *pools = PITH_ARENA_NEW(arena, pthreadpool_t, settings->instances);
  if (sessions == NULL || pools == NULL)
    return no_memory(error);
  workload work;
  PITH_TRY(make_workload(settings, open, arena, &work, error));
  pith_status status = open_instances(settings, open, sessions, pools, error);
  measurement m = {0};
  if (status == PITH_OK) {
    measure_peak(settings, &m, false);
    status = measure_instances(&work, sessions, settings->instances, settings->seconds, arena, &m, error);
    m.rss_bytes = read_resident_bytes();
  }
  if (status == PITH_OK) {
    measure_peak(settings, &m, true);
    report(settings, &work, &m, open->session, pith_cli_thread_count(&settings->limits));
    if (settings->trace != NULL)
      status = pith_bench_write_trace(&files->trace, open->session, error);
  }
  if (status == PITH_OK && settings->outputs != NULL)
    status = write_outputs(&files->outputs, open->session, &work, arena, error);
  for (size_t i = 1; i < settings->instances; i++) {
    pith_session_destroy(sessions[i]);
    if (pools[i] != NULL)
      pthreadpool_destroy(pools[i]);
  }
  return status;
}

static int run(const void *given) {
  bench_settings settings = *(const bench_settings *)given;
  if (settings.lengths != NULL && settings.input != NULL)
    return pith_usage_error("--lengths and --input exclude each other");
  bool shaped = settings.lengths == NULL && settings.input == NULL;
  if (!shaped && settings.sequence != 0)
    return pith_usage_error("--seq goes with --batch alone");
  if (shaped && settings.limits.max_tokens != 0)
    return pith_usage_error("--max-tokens goes with --lengths and --input: --batch and --seq say it all");
  if (settings.json_lines && settings.input == NULL)
    return pith_usage_error("--jsonl goes with --input");
  if (settings.seed != 0 && settings.input != NULL)
    return pith_usage_error("--seed is of random ids: it does nothing with --input");
  settings.limits.profile = settings.profile || settings.trace != NULL;
  if (shaped) {
    settings.batch = settings.batch == 0 ? 1 : settings.batch;
    settings.sequence = settings.sequence == 0 ? 128 : settings.sequence;
    settings.limits.max_tokens = settings.batch * settings.sequence;
  }
  settings.limits.max_sequences = settings.batch;

  pith_error error = {0};
  pith_cli_session open;
  if (pith_cli_session_open(&open, settings.operand, &settings.limits, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  bench_files files = {.trace = {.fd = -1}, .outputs = {.fd = -1}};
  pith_status status = open_files(&settings, &files, &error);
  if (status == PITH_OK)
    status = bench(&settings, &open, &files, &arena, &error);
  if (settings.trace != NULL)
    pith_file_writer_discard(&files.trace);
  if (settings.outputs != NULL)
    pith_file_writer_discard(&files.outputs);
  pith_arena_deinit(&arena);
  pith_cli_session_close(&open);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(bench_settings, name)
static const pith_option options[] = {
    {"batch", 0, false, PITH_OPTION_COUNT, "B", FIELD(batch), 1, 1 << 20,
     "sequences in one run (default: 1; of a file: what max-tokens holds)"},
    {"seq", 0, false, PITH_OPTION_COUNT, "S", FIELD(sequence), 1, 1 << 20, "tokens of each sequence (default: 128)"},
    {"lengths", 0, false, PITH_OPTION_FILE, "FILE", FIELD(lengths), 0, 0,
     "sequences of these lengths, one a line, packed as pith run packs them"},
    {"input", 0, false, PITH_OPTION_FILE, "FILE", FIELD(input), 0, 0,
     "these texts, encoded before measuring; forms as in pith run"},
    {"jsonl", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json_lines), 0, 0, "the input is JSON lines whatever its name"},
    {"instances", 0, false, PITH_OPTION_COUNT, "N", FIELD(instances), 1, 256,
     "sessions side by side on one model, each with its threads (default: 1)"},
    {"seconds", 0, false, PITH_OPTION_NUMBER, "D", FIELD(seconds), 0, 0, "time to measure (default: 3)"},
    {"seed", 0, false, PITH_OPTION_COUNT, "N", FIELD(seed), 0, UINT64_MAX, "of the random token ids (default: 0)"},
    {"profile", 0, false, PITH_OPTION_FLAG, NULL, FIELD(profile), 0, 0, "time each operator"},
    {"trace", 0, false, PITH_OPTION_FILE, "FILE", FIELD(trace), 0, 0, "write the last run as Chrome-trace JSON"},
    {"outputs", 0, false, PITH_OPTION_FILE, "FILE", FIELD(outputs), 0, 0,
     "write the first output, a JSON array for each sequence"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "one JSON object"},
    PITH_OPTION_THREADS(bench_settings),
    PITH_OPTION_MAX_TOKENS(bench_settings),
    PITH_OPTION_WITHOUT(bench_settings),
    {0},
};

const pith_command pith_command_bench = {
    .name = "bench",
    .operand = "M.pith",
    .summary = "throughput, latency and share of this machine's peak",
    .details = "Token ids are random and seeded unless --input gives texts. Rates come from the median pass over the "
               "workload; the fraction of peak counts the model's own products over real tokens against a "
               "register-only loop of the CPU features in use, measured before and after, of INT8 where at least half of them are INT8. Zeros that sparse products leave out count "
               "like other weights, in gflops and in the fraction, which may pass 1: they are dense-equivalent; `work` is the share "
               "of the operations that is done.",
    .options = options,
    .defaults = &(const bench_settings){.instances = 1, .seconds = 3},
    .settings_bytes = sizeof(bench_settings),
    .run = run,
};
