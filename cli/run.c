/* pith run: texts in, answers out, in order. */
#include <stddef.h>
#include <string.h>

#include "cli/input.h"
#include "cli/session.h"
#include "engine/exec/model.h"
#include "models/heads/heads.h"
#include "models/tasks/evaluate.h"

typedef struct run_settings {
  const char *operand;
  const char *text, *pair, *question, *context, *input;
  bool json, json_lines;
  uint64_t top_k;
  pith_cli_limits limits;
} run_settings;

/* Texts that are ordered by length together. Enough to fill many batches; an answer waits for at most these. */
enum { WINDOW_ROWS = 4096, WINDOW_BYTES = 4 << 20, DEFAULT_TOP_K = 5 };

typedef struct run_state {
  const run_settings *settings;
  pith_cli_session *open;
  pith_arena *arena;            /* of this window */
  const pith_dataset_row *rows; /* [n] */
  size_t n;
} run_state;

static pith_status out_of_memory(size_t n, pith_error *error) {
  return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %zu texts", n);
}

/* A text of an input in plain output: line ends, tabs and backslashes escaped, so that an answer stays in its field. */
static void print_escaped(const char *text, size_t bytes) {
  static const char escaped[] = "\n\t\r\\", letters[] = "ntr\\";
  for (size_t i = 0; i < bytes; i++) {
    const char *at = memchr(escaped, text[i], sizeof escaped - 1);
    if (at != NULL)
      putchar('\\');
    putchar(at != NULL ? letters[at - escaped] : text[i]);
  }
}

/* ---- heads: each answers one window and prints it ------------------------------------------------------ */

static void print_floats(const char *name, const float *values, size_t count) {
  printf("\"%s\":[", name);
  for (size_t i = 0; i < count; i++) {
    if (i != 0)
      putchar(',');
    pith_json_float(stdout, values[i]);
  }
  putchar(']');
}

static pith_status run_labels(const run_state *s, pith_error *error) {
  size_t classes = s->open->info.label_count;
  pith_sequence *sequences = PITH_ARENA_NEW(s->arena, pith_sequence, s->n);
  pith_label *labels = PITH_ARENA_NEW(s->arena, pith_label, s->n);
  float *logits = s->settings->json ? pith_arena_array(s->arena, s->n, classes * sizeof *logits) : NULL;
  if (sequences == NULL || labels == NULL || (s->settings->json && logits == NULL))
    return out_of_memory(s->n, error);
  PITH_TRY(pith_rows_encode(s->open->session, s->rows, s->n, s->arena, sequences, error));
  PITH_TRY(pith_heads_classify(s->open->session, sequences, s->n, s->arena, labels, logits, error));
  for (size_t i = 0; i < s->n; i++) {
    const char *name = s->open->info.labels[labels[i].index];
    if (!s->settings->json) {
      printf("%s\t%.6g\n", name, (double)labels[i].score);
      continue;
    }
    fputs("{\"label\":", stdout);
    pith_json_string(stdout, name, strlen(name));
    fputs(",\"score\":", stdout);
    pith_json_float(stdout, labels[i].score);
    putchar(',');
    print_floats("logits", logits + i * classes, classes);
    fputs("}\n", stdout);
  }
  return PITH_OK;
}

static pith_status run_vectors(const run_state *s, pith_error *error) {
  size_t size = s->open->info.embedding_size;
  pith_sequence *sequences = PITH_ARENA_NEW(s->arena, pith_sequence, s->n);
  float *vectors = pith_arena_array(s->arena, s->n, size * sizeof *vectors);
  if (sequences == NULL || vectors == NULL)
    return out_of_memory(s->n, error);
  PITH_TRY(pith_rows_encode(s->open->session, s->rows, s->n, s->arena, sequences, error));
  PITH_TRY(pith_heads_embed(s->open->session, sequences, s->n, s->arena, vectors, error));
  for (size_t i = 0; i < s->n; i++) {
    const float *vector = vectors + i * size;
    if (s->settings->json) {
      putchar('{');
      print_floats("embedding", vector, size);
      fputs("}\n", stdout);
      continue;
    }
    for (size_t j = 0; j < size; j++)
      printf("%s%.6g", j == 0 ? "" : " ", (double)vector[j]);
    putchar('\n');
  }
  return PITH_OK;
}

static pith_status run_answers(const run_state *s, pith_error *error) {
  const char **questions = PITH_ARENA_NEW(s->arena, const char *, s->n);
  const char **contexts = PITH_ARENA_NEW(s->arena, const char *, s->n);
  pith_answer *answers = PITH_ARENA_NEW(s->arena, pith_answer, s->n);
  if (questions == NULL || contexts == NULL || answers == NULL)
    return out_of_memory(s->n, error);
  for (size_t i = 0; i < s->n; i++) {
    questions[i] = s->rows[i].text;
    contexts[i] = s->rows[i].pair;
  }
  PITH_TRY(pith_answer_questions(s->open->session, questions, contexts, s->n, answers, error));
  for (size_t i = 0; i < s->n; i++) {
    const char *answer = contexts[i] + answers[i].begin;
    size_t bytes = answers[i].end - answers[i].begin;
    if (!s->settings->json) {
      print_escaped(answer, bytes);
      printf("\t%.6g\n", (double)answers[i].score);
      continue;
    }
    fputs("{\"answer\":", stdout);
    pith_json_string(stdout, answer, bytes);
    printf(",\"start\":%u,\"end\":%u,\"score\":", answers[i].begin, answers[i].end);
    pith_json_float(stdout, answers[i].score);
    fputs("}\n", stdout);
  }
  return PITH_OK;
}

static pith_status run_entities(const run_state *s, pith_error *error) {
  const char **texts = PITH_ARENA_NEW(s->arena, const char *, s->n);
  pith_tagged *tagged = PITH_ARENA_NEW(s->arena, pith_tagged, s->n);
  if (texts == NULL || tagged == NULL)
    return out_of_memory(s->n, error);
  for (size_t i = 0; i < s->n; i++)
    texts[i] = s->rows[i].text;
  PITH_TRY(pith_heads_tag(s->open->session, texts, s->n, s->arena, tagged, error));
  for (size_t i = 0; i < s->n; i++) {
    const char *text = texts[i];
    const pith_entity *entities = tagged[i].entities;
    if (s->settings->json)
      fputs("{\"entities\":[", stdout);
    for (size_t e = 0; e < tagged[i].count; e++) {
      bool begins;
      const char *name = pith_heads_entity_name(s->open->info.labels[entities[e].label], &begins);
      size_t bytes = entities[e].end - entities[e].begin;
      if (!s->settings->json) {
        printf("%s%s:", e == 0 ? "" : "\t", name);
        print_escaped(text + entities[e].begin, bytes);
        continue;
      }
      printf("%s{\"entity\":", e == 0 ? "" : ",");
      pith_json_string(stdout, name, strlen(name));
      printf(",\"start\":%u,\"end\":%u,\"text\":", entities[e].begin, entities[e].end);
      pith_json_string(stdout, text + entities[e].begin, bytes);
      fputs(",\"score\":", stdout);
      pith_json_float(stdout, entities[e].score);
      putchar('}');
    }
    fputs(s->settings->json ? "]}\n" : "\n", stdout);
  }
  return PITH_OK;
}

static pith_status run_fills(const run_state *s, pith_error *error) {
  size_t k = s->settings->top_k;
  const char **texts = PITH_ARENA_NEW(s->arena, const char *, s->n);
  pith_filled *filled = PITH_ARENA_NEW(s->arena, pith_filled, s->n);
  if (texts == NULL || filled == NULL)
    return out_of_memory(s->n, error);
  for (size_t i = 0; i < s->n; i++)
    texts[i] = s->rows[i].text;
  PITH_TRY(pith_heads_fill_mask(s->open->session, texts, s->n, k, s->arena, filled, error));
  size_t most_bytes = 0;
  for (size_t i = 0; i < s->n; i++)
    for (size_t f = 0; f < filled[i].mask_count * k; f++) {
      size_t bytes = pith_token_decode(s->open->model, filled[i].fills[f].id, 0, NULL);
      most_bytes = bytes > most_bytes ? bytes : most_bytes;
    }
  char *token = PITH_ARENA_NEW(s->arena, char, most_bytes);
  if (token == NULL)
    return out_of_memory(s->n, error);
  for (size_t i = 0; i < s->n; i++) {
    const pith_fill *fills = filled[i].fills;
    if (s->settings->json)
      fputs("{\"fill\":[", stdout);
    for (size_t f = 0; f < filled[i].mask_count * k; f++) {
      size_t bytes = pith_token_decode(s->open->model, fills[f].id, most_bytes, token);
      if (!s->settings->json) {
        fputs(f == 0 ? "" : "\t", stdout);
        print_escaped(token, bytes);
        printf(" %.6g", (double)fills[f].score);
        continue;
      }
      printf("%s{\"mask\":%zu,\"id\":%d,\"token\":", f == 0 ? "" : ",", fills[f].mask, fills[f].id);
      pith_json_string(stdout, token, bytes);
      fputs(",\"score\":", stdout);
      pith_json_float(stdout, fills[f].score);
      putchar('}');
    }
    fputs(s->settings->json ? "]}\n" : "\n", stdout);
  }
  return PITH_OK;
}

enum needs {
  NEEDS_TEXT = 1, /* token ids will not do: answers are places in the text */
  NEEDS_PAIR = 2,
  TAKES_NO_PAIR = 4,
};

/* What each task runs, and what a row has to bring. */
static const struct {
  pith_status (*run)(const run_state *s, pith_error *error);
  int needs;
  const char *takes;
} heads[] = {
    [PITH_TASK_NONE] = {NULL, 0, ""},
    [PITH_TASK_CLASSIFICATION] = {run_labels, 0, ""},
    [PITH_TASK_MULTI_LABEL] = {run_labels, 0, ""},
    [PITH_TASK_REGRESSION] = {run_labels, 0, ""},
    [PITH_TASK_TOKEN_CLASSIFICATION] = {run_entities, NEEDS_TEXT | TAKES_NO_PAIR, "a text without a pair"},
    [PITH_TASK_QUESTION_ANSWERING] = {run_answers, NEEDS_TEXT | NEEDS_PAIR, "a question and a context"},
    [PITH_TASK_FILL_MASK] = {run_fills, NEEDS_TEXT | TAKES_NO_PAIR, "a text without a pair"},
    [PITH_TASK_EMBEDDING] = {run_vectors, TAKES_NO_PAIR, "a text without a pair"},
    [PITH_TASK_RERANK] = {run_labels, 0, ""},
};

/* ---- rows --------------------------------------------------------------------------------------------- */

static pith_status check_row(pith_task task, const pith_dataset_row *row, pith_error *error) {
  int needs = heads[task].needs;
  const char *lacks = (needs & NEEDS_TEXT) && row->text == NULL          ? "token ids alone"
                      : (needs & NEEDS_PAIR) && row->pair == NULL        ? "one text alone"
                      : (needs & TAKES_NO_PAIR) && row->pair != NULL     ? "a pair"
                                                                         : NULL;
  if (lacks == NULL)
    return PITH_OK;
  return pith_fail(error, PITH_INVALID_ARGUMENT, "the model's task is %s: it takes %s, not %s", pith_task_name(task),
                   heads[task].takes, lacks);
}

/* Rows that fail together are run one by one: answers up to the row at fault are printed, and its line is told.
 * *out_bad is that row's index, or n. */
static pith_status run_rows(const run_settings *settings, pith_cli_session *open, pith_arena *arena,
                            const pith_dataset_row *rows, size_t n, size_t *out_bad, pith_error *error) {
  pith_task task = open->info.task;
  *out_bad = n;
  if (heads[task].run == NULL)
    return pith_fail(error, PITH_UNSUPPORTED, "%s has no head: there is nothing to answer", settings->operand);
  size_t good = 0;
  pith_status status = PITH_OK;
  while (good < n && (status = check_row(task, &rows[good], error)) == PITH_OK)
    good++;
  bool together = good > 1;
  pith_error ignored = {0};
  run_state state = {settings, open, arena, rows, good};
  if (together && heads[task].run(&state, &ignored) == PITH_OK) {
    *out_bad = good;
    return status;
  }
  for (size_t i = 0; i < good; i++) {
    state.rows = &rows[i];
    state.n = 1;
    pith_error row_error = {0};
    pith_status row_status = heads[task].run(&state, &row_error);
    if (row_status != PITH_OK) {
      *out_bad = i;
      *error = row_error;
      return row_status;
    }
  }
  *out_bad = good;
  return status;
}

/* Reads rows until the window is full or the next would have to be waited for. *out_end: there are no more. */
static pith_status read_window(pith_input *input, pith_arena *arena, pith_dataset_row *rows, size_t *out_n,
                               bool *out_end, pith_error *error) {
  uint64_t begin = input->bytes;
  *out_end = false;
  for (*out_n = 0; *out_n < WINDOW_ROWS && input->bytes - begin < WINDOW_BYTES; ++*out_n) {
    if (*out_n != 0 && !pith_input_is_ready(input))
      break;
    PITH_TRY(pith_input_next(input, arena, &rows[*out_n], out_end, error));
    if (*out_end)
      break;
  }
  return PITH_OK;
}

static pith_status run_input(const run_settings *settings, pith_cli_session *open, pith_error *error) {
  pith_input input;
  PITH_TRY(pith_input_open(&input, settings->input, settings->json_lines, error));
  pith_progress progress;
  pith_progress_begin(&progress, "run", input.total_bytes);
  pith_status status = PITH_OK;
  for (bool end = false; !end && status == PITH_OK;) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_dataset_row *rows = PITH_ARENA_NEW(&arena, pith_dataset_row, WINDOW_ROWS);
    size_t n = 0, bad;
    if (rows == NULL)
      status = out_of_memory(WINDOW_ROWS, error);
    else
      status = read_window(&input, &arena, rows, &n, &end, error);
    /* What was read before a bad line is answered before it is reported. */
    pith_error row_error = {0};
    pith_status row_status = n == 0 ? PITH_OK : run_rows(settings, open, &arena, rows, n, &bad, &row_error);
    if (row_status != PITH_OK) {
      status = bad == n ? pith_fail(error, row_status, "%s", row_error.message)
                        : pith_fail(error, row_status, "%s: line %llu: %s", settings->input,
                                    (unsigned long long)rows[bad].line, row_error.message);
    }
    fflush(stdout);
    if (ferror(stdout))
      end = true; /* pith_report_finish says why */
    pith_arena_deinit(&arena);
    pith_progress_update(&progress, input.total_bytes == 0 ? input.line : input.bytes);
  }
  pith_progress_end(&progress);
  pith_input_close(&input);
  return status;
}

static int run(const void *given) {
  run_settings settings = *(const run_settings *)given;
  const char *text = settings.question != NULL ? settings.question : settings.text;
  const char *pair = settings.question != NULL ? settings.context : settings.pair;
  if ((settings.text != NULL) + (settings.question != NULL) + (settings.input != NULL) != 1)
    return pith_usage_error("one of --text, --question and --input is needed");
  if ((settings.question == NULL) != (settings.context == NULL))
    return pith_usage_error("--question and --context go together");
  if (settings.pair != NULL && settings.text == NULL)
    return pith_usage_error("--pair goes with --text");
  if (settings.json_lines && settings.input == NULL)
    return pith_usage_error("--jsonl goes with --input");
  bool given_k = settings.top_k != 0;
  if (!given_k)
    settings.top_k = DEFAULT_TOP_K;
  if (settings.input == NULL) { /* one text: making threads would cost more than they save */
    settings.limits.threads = settings.limits.threads == 0 ? 1 : settings.limits.threads;
    settings.limits.max_tokens = settings.limits.max_tokens == 0 ? 1 : settings.limits.max_tokens; /* raised to max_length */
  }

  pith_error error = {0};
  pith_cli_session open;
  if (pith_cli_session_open(&open, settings.operand, &settings.limits, &error) != PITH_OK)
    return pith_report_error(&error);
  pith_status status;
  pith_task open_task = open.info.task;
  if (given_k && open_task != PITH_TASK_FILL_MASK) {
    pith_cli_session_close(&open);
    return pith_usage_error("--top-k goes with fill-mask models, not with %s", pith_task_name(open_task));
  }
  if (settings.question != NULL && open_task != PITH_TASK_QUESTION_ANSWERING) {
    pith_cli_session_close(&open);
    return pith_usage_error("--question goes with question-answering models, not with %s", pith_task_name(open_task));
  }
  if (settings.input != NULL) {
    status = run_input(&settings, &open, &error);
  } else {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_dataset_row row = {.text = text, .pair = pair};
    size_t bad;
    status = run_rows(&settings, &open, &arena, &row, 1, &bad, &error);
    pith_arena_deinit(&arena);
  }
  pith_cli_session_close(&open);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(run_settings, name)
static const pith_option options[] = {
    {"text", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(text), 0, 0, "one text"},
    {"pair", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(pair), 0, 0, "its second text, for models of pairs"},
    {"question", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(question), 0, 0, "a question, for question answering"},
    {"context", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(context), 0, 0, "the text that holds its answer"},
    {"input", 0, false, PITH_OPTION_FILE, "FILE", FIELD(input), 0, 0,
     ".txt: a text a line; .jsonl: {\"text\":..,\"pair\":..} or {\"ids\":[..],\"type_ids\":[..]} a line; - is standard input"},
    {"jsonl", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json_lines), 0, 0, "the input is JSON lines whatever its name"},
    {"top-k", 0, false, PITH_OPTION_COUNT, "K", FIELD(top_k), 1, 100000, "tokens for each mask (default: 5)"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0, "a JSON object a line"},
    PITH_OPTION_THREADS(run_settings),
    PITH_OPTION_MAX_TOKENS(run_settings),
    PITH_OPTION_BATCH(run_settings),
    PITH_OPTION_WITHOUT(run_settings),
    PITH_OPTION_EXIT_THRESHOLD(run_settings),
    {0},
};

const pith_command pith_command_run = {
    .name = "run",
    .operand = "M.pith",
    .summary = "text in; labels, vectors, answers or entities out",
    .details = "Answers each text on a line of its own, in the order of the input. Input is read in windows of "
               "at most 4096 texts that are ordered by length inside, fewer where more would have to be waited for; "
               "it may be of any size. Places in a text are bytes from its beginning; without --json, line ends, tabs "
               "and backslashes of a text are printed as \\n, \\r, \\t and \\\\. A single text runs on one thread unless --threads says otherwise.",
    .options = options,
    .defaults = &(const run_settings){0},
    .settings_bytes = sizeof(run_settings),
    .run = run,
};
