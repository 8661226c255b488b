/* pith tokenize: texts to token ids. */
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/input.h"
#include "engine/exec/model.h"
#include "models/tokenizer/tokenizer.h"

typedef struct tokenize_settings {
  const char *operand;
  const char *text, *pair, *input;
  bool json, json_lines, cased;
  uint64_t max_length;
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
    putchar(before);
  fwrite(c, 1, (size_t)(digits + sizeof digits - c), stdout);
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
    putchar(']');
  }
  fputs("]}\n", stdout);
}

static void print_plain(const pith_tokenizer_data *data, const pith_encoding *encoding) {
  for (size_t i = 0; i < encoding->count; i++) {
    uint32_t id = (uint32_t)encoding->ids[i];
    if (i != 0)
      putchar(' ');
    if (id < data->token_count)
      fwrite(data->token_text + data->token_offsets[id], 1, data->token_offsets[id + 1] - data->token_offsets[id],
             stdout);
  }
  putchar('\n');
}

/* Encodes one row, its buffers grown until they hold it, and prints it. */
static pith_status tokenize_row(const tokenize_settings *settings, const pith_tokenizer_data *data,
                                const pith_dataset_row *row, pith_arena *arena, pith_error *error) {
  if (row->text == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "%s: line %llu: no \"text\" to tokenize", settings->input,
                     (unsigned long long)row->line);
  size_t text_bytes = strlen(row->text), pair_bytes = row->pair == NULL ? 0 : strlen(row->pair);
  for (size_t capacity = text_bytes + pair_bytes + 16;; capacity *= 4) {
    pith_encoding encoding = {.struct_size = sizeof encoding,
                              .capacity = capacity,
                              .ids = PITH_ARENA_NEW(arena, int32_t, capacity),
                              .type_ids = PITH_ARENA_NEW(arena, int32_t, capacity),
                              .offsets = pith_arena_array(arena, capacity, sizeof(uint32_t[2]))};
    if (encoding.ids == NULL || encoding.type_ids == NULL || encoding.offsets == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a text of %zu bytes", text_bytes);
    pith_status status = pith_tokenizer_encode(data, row->text, text_bytes, row->pair, pair_bytes,
                                               settings->max_length, &encoding, error);
    if (status == PITH_LIMIT && capacity / 64 <= text_bytes + pair_bytes)
      continue;
    if (status == PITH_OK) {
      if (settings->json)
        print_json(&encoding);
      else
        print_plain(data, &encoding);
    }
    return status;
  }
}

static pith_status tokenize_input(const tokenize_settings *settings, const pith_tokenizer_data *data,
                                  pith_error *error) {
  pith_input input;
  PITH_TRY(pith_input_open(&input, settings->input, settings->json_lines, error));
  pith_progress progress;
  pith_progress_begin(&progress, "tokenize", input.total_bytes);
  pith_status status = PITH_OK;
  while (status == PITH_OK && !ferror(stdout)) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    bool end = false;
    pith_dataset_row row;
    if (!pith_input_is_ready(&input))
      fflush(stdout); /* answers go out before a wait */
    status = pith_input_next(&input, &arena, &row, &end, error);
    if (status == PITH_OK && !end)
      status = tokenize_row(settings, data, &row, &arena, error);
    pith_arena_deinit(&arena);
    if (end)
      break;
    pith_progress_update(&progress, input.total_bytes == 0 ? input.line : input.bytes);
  }
  pith_progress_end(&progress);
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
