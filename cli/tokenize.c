/* pith tokenize: texts to token ids. */
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/input.h"
#include "cli/session.h"
#include "engine/exec/model.h"
#include "models/tokenizer/index.h"

typedef struct tokenize_settings {
  const char *operand;
  const char *text, *pair, *input;
  bool json, json_lines, cased;
  uint64_t max_length;
  pith_cli_limits limits; /* its threads */
} tokenize_settings;

/* A tokenizer from a model file or compiled from a Hugging Face directory. */
typedef struct source {
  pith_model *model;
  pith_arena arena;
  pith_tokenizer_data compiled;
  const pith_tokenizer_data *data;
} source;

static pith_status open_source(const tokenize_settings *settings, source *out, pith_error *error) {
  *out = (source){0};
  pith_arena_init(&out->arena, NULL);
  struct stat info;
  if (stat(settings->operand, &info) != 0 || !S_ISDIR(info.st_mode)) {
    PITH_TRY(pith_model_open(settings->operand, NULL, &out->model, error));
    out->data = out->model->data.tokenizer;
    return out->data != NULL ? PITH_OK
                             : pith_fail(error, PITH_UNSUPPORTED, "%s carries no tokenizer", settings->operand);
  }
  pith_tokenizer_source from = {.directory = settings->operand, .cased = settings->cased ? 1 : -1};
  PITH_TRY(pith_tokenizer_compile(&from, &out->arena, &out->compiled, error));
  out->data = &out->compiled;
  return PITH_OK;
}

static void close_source(source *from) {
  pith_model_close(from->model);
  pith_arena_deinit(&from->arena);
}

/* Decimal digits without printf's cost: a line may hold thousands. */
static void put_number(int64_t number, char before) {
  char digits[24], *c = digits + sizeof digits;
  uint64_t rest = number < 0 ? (uint64_t)-number : (uint64_t)number;
  do
    *--c = (char)('0' + rest % 10);
  while ((rest /= 10) != 0);
  if (number < 0)
    *--c = '-';
  if (before != '\0')
    putchar_unlocked(before);
  fwrite_unlocked(c, 1, (size_t)(digits + sizeof digits - c), stdout);
}

static void print_json(const pith_encoding *encoding) {
  fputs("{\"ids\":[", stdout);
  for (size_t i = 0; i < encoding->count; i++)
    put_number(encoding->ids[i], i == 0 ? '\0' : ',');
  fputs("],\"type_ids\":[", stdout);
  for (size_t i = 0; i < encoding->count; i++)
    put_number(encoding->type_ids[i], i == 0 ? '\0' : ',');
  fputs("],\"offsets\":[", stdout);
  for (size_t i = 0; i < encoding->count; i++) {
    fputs(i == 0 ? "[" : ",[", stdout);
    put_number(encoding->offsets[i][0], '\0');
    put_number(encoding->offsets[i][1], ',');
    putchar_unlocked(']');
  }
  fputs("]}\n", stdout);
}

static void print_plain(const pith_tokenizer_data *data, const pith_encoding *encoding) {
  for (size_t i = 0; i < encoding->count; i++) {
    uint32_t id = (uint32_t)encoding->ids[i];
    if (i != 0)
      putchar_unlocked(' ');
    if (id >= data->token_count)
      continue;
    uint32_t bytes;
    const char *text = pith_tokenizer_text(data, id, &bytes);
    fwrite_unlocked(text, 1, bytes, stdout);
  }
  putchar_unlocked('\n');
}

static void print_encoding(const tokenize_settings *settings, const pith_tokenizer_data *data,
                           const pith_encoding *encoding) {
  if (settings->json)
    print_json(encoding);
  else
    print_plain(data, encoding);
}

/* Room for `capacity` tokens; plain output needs their ids alone. */
static pith_status make_room(const tokenize_settings *settings, size_t capacity, pith_arena *arena,
                             pith_encoding *out_room, pith_error *error) {
  *out_room = (pith_encoding){
      .struct_size = sizeof *out_room, .capacity = capacity, .ids = PITH_ARENA_NEW(arena, int32_t, capacity)};
  if (settings->json) {
    out_room->type_ids = PITH_ARENA_NEW(arena, int32_t, capacity);
    out_room->offsets = pith_arena_array(arena, capacity, sizeof *out_room->offsets);
  }
  if (out_room->ids == NULL || (settings->json && (out_room->type_ids == NULL || out_room->offsets == NULL)))
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a text of %zu tokens", capacity);
  return PITH_OK;
}

enum { SPECIAL_TOKENS = 16 };

/* A token a byte, special ones beside: what all but a few texts stay within (models/heads/feed_encode.c). */
static size_t room_of(const pith_dataset_row *row) {
  return strlen(row->text) + (row->pair == NULL ? 0 : strlen(row->pair)) + SPECIAL_TOKENS;
}

/* Encodes one row, its buffers grown until they hold it, and prints it. */
static pith_status tokenize_row(const tokenize_settings *settings, const pith_tokenizer_data *data,
                                const pith_dataset_row *row, pith_arena *arena, pith_error *error) {
  for (size_t capacity = room_of(row);;) {
    pith_encoding encoding;
    PITH_TRY(make_room(settings, capacity, arena, &encoding, error));
    const pith_status status = pith_tokenizer_encode(data, row->text, SIZE_MAX, row->pair, SIZE_MAX,
                                                     settings->max_length, &encoding, error);
    if (status == PITH_LIMIT && encoding.count > capacity) {
      capacity = encoding.count;
      continue;
    }
    if (status == PITH_OK)
      print_encoding(settings, data, &encoding);
    return status;
  }
}

/* ---- many rows -------------------------------------------------------------------------------------------- */

/* Rows that are encoded together, on all threads, and printed in order. An answer waits for at most these. */
enum { WINDOW_ROWS = 4096, WINDOW_TOKENS = 1 << 18 };

typedef struct window {
  const tokenize_settings *settings;
  const pith_tokenizer_data *data;
  pthreadpool_t pool;
  pith_arena room_arena; /* of what every window uses again */
  pith_encoding room;
  pith_encoding *encodings;     /* [WINDOW_ROWS], and all below */
  pith_status *statuses;
  const char **texts, **pairs;
  pith_dataset_row *rows;
} window;

static pith_status window_init(window *w, const tokenize_settings *settings, const pith_tokenizer_data *data,
                               pith_error *error) {
  *w = (window){.settings = settings, .data = data};
  pith_arena_init(&w->room_arena, NULL);
  w->encodings = PITH_ARENA_NEW(&w->room_arena, pith_encoding, WINDOW_ROWS);
  w->statuses = PITH_ARENA_NEW(&w->room_arena, pith_status, WINDOW_ROWS);
  w->texts = PITH_ARENA_NEW(&w->room_arena, const char *, WINDOW_ROWS);
  w->pairs = PITH_ARENA_NEW(&w->room_arena, const char *, WINDOW_ROWS);
  w->rows = PITH_ARENA_NEW(&w->room_arena, pith_dataset_row, WINDOW_ROWS);
  if (w->encodings == NULL || w->statuses == NULL || w->texts == NULL || w->pairs == NULL || w->rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for %d texts", WINDOW_ROWS);
  PITH_TRY(make_room(settings, WINDOW_TOKENS, &w->room_arena, &w->room, error));
  const size_t threads = pith_cli_thread_count(&settings->limits);
  if (threads > 1 && (w->pool = pthreadpool_create(threads)) == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no pool of %zu threads", threads);
  return PITH_OK;
}

static void window_deinit(window *w) {
  if (w->pool != NULL)
    pthreadpool_destroy(w->pool);
  pith_arena_deinit(&w->room_arena);
}

/* Reads rows until the window is full or the next would have to be waited for. What comes before a line that cannot be read
 * is in the window all the same. */
static pith_status window_read(window *w, pith_input *input, pith_arena *arena, size_t *out_n, bool *out_end,
                               pith_error *error) {
  size_t tokens = 0;
  for (*out_n = 0; *out_n < WINDOW_ROWS && tokens < WINDOW_TOKENS; ++*out_n) {
    if (*out_n != 0 && !pith_input_is_ready(input))
      break;
    pith_dataset_row *row = &w->rows[*out_n];
    PITH_TRY(pith_input_next(input, arena, row, out_end, error));
    if (*out_end)
      break;
    if (row->text == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: line %llu: no \"text\" to tokenize", input->path,
                       (unsigned long long)row->line);
    tokens += room_of(row);
  }
  return PITH_OK;
}

/* The last row may find too little room left: like a row of more tokens than bytes, it is encoded again alone. */
static pith_status window_print(window *w, size_t n, pith_arena *arena, pith_error *error) {
  size_t used = 0;
  for (size_t i = 0; i < n; i++) {
    const size_t room = room_of(&w->rows[i]), left = WINDOW_TOKENS - used;
    w->encodings[i] = w->room;
    w->encodings[i].capacity = room < left ? room : left;
    w->encodings[i].ids = w->room.ids + used;
    if (w->settings->json) {
      w->encodings[i].type_ids = w->room.type_ids + used;
      w->encodings[i].offsets = w->room.offsets + used;
    }
    used += w->encodings[i].capacity;
    w->texts[i] = w->rows[i].text;
    w->pairs[i] = w->rows[i].pair;
  }
  const pith_status ignored =
      pith_tokenizer_encode_batch(w->data, w->pool, w->texts, w->pairs, n, w->settings->max_length, w->encodings,
                                  w->statuses, NULL);
  (void)ignored; /* each row's own status says more */
  for (size_t i = 0; i < n && !ferror(stdout); i++) {
    if (w->statuses[i] == PITH_OK)
      print_encoding(w->settings, w->data, &w->encodings[i]);
    else
      PITH_TRY(tokenize_row(w->settings, w->data, &w->rows[i], arena, error));
  }
  return PITH_OK;
}

static pith_status tokenize_input(const tokenize_settings *settings, const pith_tokenizer_data *data,
                                  pith_error *error) {
  pith_input input;
  PITH_TRY(pith_input_open(&input, settings->input, settings->json_lines, error));
  window w;
  pith_status status = window_init(&w, settings, data, error);
  pith_progress progress;
  pith_progress_begin(&progress, "tokenize", input.total_bytes);
  for (bool end = false; status == PITH_OK && !end && !ferror(stdout);) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    if (!pith_input_is_ready(&input))
      fflush(stdout); /* answers go out before a wait */
    size_t n;
    pith_error row_error = {0};
    status = window_read(&w, &input, &arena, &n, &end, error);
    const pith_status row_status = window_print(&w, n, &arena, &row_error);
    if (row_status != PITH_OK)
      status = pith_fail(error, row_status, "%s", row_error.message);
    pith_arena_deinit(&arena);
    pith_progress_update(&progress, input.total_bytes == 0 ? input.line : input.bytes);
  }
  pith_progress_end(&progress);
  window_deinit(&w);
  pith_input_close(&input);
  return status;
}

static int run(const void *given) {
  const tokenize_settings *settings = given;
  if ((settings->text != NULL) + (settings->input != NULL) != 1)
    return pith_usage_error("one of --text and --input is needed");
  if (settings->pair != NULL && settings->text == NULL)
    return pith_usage_error("--pair goes with --text");
  if (settings->json_lines && settings->input == NULL)
    return pith_usage_error("--jsonl goes with --input");
  if (settings->limits.threads != 0 && settings->input == NULL)
    return pith_usage_error("--threads goes with --input");
  struct stat info;
  if (settings->cased && (stat(settings->operand, &info) != 0 || !S_ISDIR(info.st_mode)))
    return pith_usage_error("--cased goes with a directory: a model file says itself whether case is kept");
  pith_error error = {0};
  source from;
  pith_status status = open_source(settings, &from, &error);
  if (status == PITH_OK && settings->input != NULL) {
    status = tokenize_input(settings, from.data, &error);
  } else if (status == PITH_OK) {
    pith_dataset_row row = {.text = settings->text, .pair = settings->pair};
    status = tokenize_row(settings, from.data, &row, &from.arena, &error);
  }
  close_source(&from);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(tokenize_settings, name)
static const pith_option options[] = {
    {"text", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(text), 0, 0, "one text"},
    {"pair", 0, false, PITH_OPTION_TEXT, "TEXT", FIELD(pair), 0, 0, "its second text"},
    {"input", 0, false, PITH_OPTION_FILE, "FILE", FIELD(input), 0, 0,
     ".txt: a text a line; .jsonl: {\"text\":..,\"pair\":..} a line; - is standard input"},
    {"jsonl", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json_lines), 0, 0, "the input is JSON lines whatever its name"},
    {"max-length", 0, false, PITH_OPTION_COUNT, "N", FIELD(max_length), 1, UINT32_MAX,
     "truncate to N tokens, special ones included (default: not truncated)"},
    PITH_OPTION_THREADS(tokenize_settings),
    {"cased", 0, false, PITH_OPTION_FLAG, NULL, FIELD(cased), 0, 0,
     "a directory with a bare vocab.txt keeps case"},
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0,
     "{\"ids\":[..],\"type_ids\":[..],\"offsets\":[[0,5],..]} a line"},
    {0},
};

const pith_command pith_command_tokenize = {
    .name = "tokenize",
    .operand = "M.pith",
    .summary = "text to token ids",
    .details = "M is a model file or a Hugging Face directory. Offsets are bytes of the text. Without --json: the "
               "tokens themselves, a line for each text.",
    .options = options,
    .defaults = &(const tokenize_settings){0},
    .settings_bytes = sizeof(tokenize_settings),
    .run = run,
};
