/* pith inspect: what a model file holds, and what this machine makes of it. */
#include <stddef.h>
#include <string.h>

#include "cli/inspect.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "engine/format/names.h"
#include "engine/format/stored_layout.h"
#include "engine/lower/program.h"
#include "engine/ir/operator.h"

typedef struct inspect_settings {
  const char *operand;
  bool json, graph, dot, svg, memory, program, sparsity;
  pith_cli_limits limits;
} inspect_settings;

static void write_stdout(void *context, const char *text, size_t bytes) {
  fwrite(text, 1, bytes, context);
}

/* ---- tensors ------------------------------------------------------------------------------------------ */

static uint64_t count_elements(const pith_tensor *tensor) {
  uint64_t count = 1;
  for (uint32_t d = 0; d < tensor->rank; d++)
    count *= (uint64_t)tensor->dims[d].constant;
  return count;
}

/* Elements that are 0, counted in the data as row-major; -0 is 0. */
static pith_status count_zeros(const pith_tensor *tensor, uint64_t *out_zeros, pith_error *error) {
  static const unsigned char zero[8];
  const size_t bytes = pith_dtype_get_info(tensor->dtype)->bits / 8, count = (size_t)count_elements(tensor);
  *out_zeros = 0;
  if (tensor->data == NULL || count == 0)
    return PITH_OK;
  unsigned char *plain = pith_allocate(NULL, count * bytes);
  if (plain == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory for %zu elements", tensor->name, count);
  pith_status status = pith_tensor_unpack(tensor, plain, NULL, error);
  for (size_t i = 0; i < count && status == PITH_OK; i++)
    *out_zeros += tensor->dtype == PITH_DTYPE_F32 ? ((const float *)(const void *)plain)[i] == 0
                                                  : memcmp(plain + i * bytes, zero, bytes) == 0;
  pith_release(NULL, plain, count * bytes);
  return status;
}

/* The dtypes that parameters have, and how many elements of each. */
static void count_dtypes(const pith_graph *graph, uint64_t counts[PITH_DTYPE_COUNT]) {
  memset(counts, 0, PITH_DTYPE_COUNT * sizeof *counts);
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    if (pith_tensor_is_data(&graph->tensors[i]))
      counts[graph->tensors[i].dtype] += count_elements(&graph->tensors[i]);
}

static void count_operators(const pith_graph *graph, uint32_t counts[PITH_OP_COUNT]) {
  memset(counts, 0, PITH_OP_COUNT * sizeof *counts);
  for (uint32_t n = 0; n < graph->node_count; n++)
    counts[graph->nodes[n].op->id]++;
}

/* ---- summary ------------------------------------------------------------------------------------------ */

/* What is stored, by dtype and layout. */
static void print_stored(const pith_graph *graph) {
  const char *title = "stored";
  for (int dtype = 0; dtype < PITH_DTYPE_COUNT; dtype++)
    for (int layout = 0; layout < PITH_LAYOUT_COUNT; layout++) {
      uint64_t elements = 0, bytes = 0;
      uint32_t tensors = 0;
      for (uint32_t i = 0; i < graph->tensor_count; i++) {
        const pith_tensor *tensor = &graph->tensors[i];
        if (!pith_tensor_is_data(tensor) || (int)tensor->dtype != dtype || (int)tensor->layout != layout)
          continue;
        tensors++;
        elements += count_elements(tensor);
        bytes += tensor->data_bytes;
      }
      if (tensors == 0)
        continue;
      printf("%-13s %s %s: %llu elements in %llu bytes, %u tensor%s\n", title, pith_dtype_get_info((pith_dtype)dtype)->name,
             pith_format_layout_name((size_t)layout), (unsigned long long)elements, (unsigned long long)bytes, tensors,
             tensors == 1 ? "" : "s");
      title = "";
    }
}

/* Weights that are stored more than once, and what that takes. */
static void print_copies(const pith_graph *graph) {
  uint64_t bytes = 0;
  uint32_t weights = 0;
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    weights += graph->tensors[i].copy_count != 0;
    for (uint32_t c = 0; c < graph->tensors[i].copy_count; c++)
      bytes += graph->tensors[i].copies[c].data_bytes;
  }
  if (weights != 0)
    printf("copies        of %u weight%s in %llu bytes, packed\n", weights, weights == 1 ? "" : "s",
           (unsigned long long)bytes);
  for (uint32_t i = 0; i < graph->tensor_count; i++)
    for (uint32_t c = 0; c < graph->tensors[i].copy_count; c++) {
      const pith_tensor_copy *copy = &graph->tensors[i].copies[c];
      printf("  %s: %s%s, %llu bytes, for", graph->tensors[i].name, pith_format_layout_name(copy->layout),
             copy->transposed ? " transposed" : "", (unsigned long long)copy->data_bytes);
      for (uint32_t t = 0; t < copy->target_count; t++)
        printf("%s%s", t == 0 ? " " : ", ", copy->targets[t]);
      putchar('\n');
    }
}

static void print_summary(const pith_model *model, const pith_model_info *info) {
  const pith_graph *graph = model->data.graph;
  printf("architecture  %s, hidden size %zu\ntask          %s", info->architecture, info->hidden_size,
         pith_task_name(info->task));
  if (info->embedding_size != 0)
    printf(", %zu features", info->embedding_size);
  for (size_t i = 0; i < info->label_count; i++)
    printf("%s%s", i == 0 ? ": " : ", ", info->labels[i]);
  printf("\nparameters    %llu in %.1f MB\nmax length    %zu tokens\ntokenizer     %s",
         (unsigned long long)info->parameter_count, (double)info->file_bytes * 1e-6, info->max_length,
         model->data.tokenizer == NULL ? "none" : pith_format_tokenizer_name(model->data.tokenizer->kind));
  if (model->data.tokenizer != NULL)
    printf(", %u tokens", model->data.tokenizer->token_count);
  if (info->exit_count != 0)
    printf("\nexits         %zu, where a text may be done before the end (--exit-threshold)", info->exit_count);
  printf("\ngraph         %u nodes:", graph->node_count);
  uint32_t operators[PITH_OP_COUNT];
  count_operators(graph, operators);
  const char *before = " ";
  for (int op = 0; op < PITH_OP_COUNT; op++)
    if (operators[op] != 0) {
      printf("%s%u %s", before, operators[op], pith_operator_get((pith_operator_id)op)->name);
      before = ", ";
    }
  putchar('\n');
  print_stored(graph);
  print_copies(graph);
  for (uint32_t i = 0; i < model->data.history_count; i++)
    printf("history       %s (pith %s) %s\n", model->data.history[i].step, model->data.history[i].version,
           model->data.history[i].json);
  for (uint32_t i = 0; i < model->data.report_count; i++)
    printf("report        %s %s %.4f (%llu samples)\n", model->data.report[i].task, model->data.report[i].metric,
           model->data.report[i].value, (unsigned long long)model->data.report[i].samples);
}

static void print_json_text(const char *key, const char *text) {
  printf("\"%s\":", key);
  pith_json_string(stdout, text, strlen(text));
}

static void print_json_copies(const pith_tensor *tensor) {
  fputs(",\"copies\":[", stdout);
  for (uint32_t c = 0; c < tensor->copy_count; c++) {
    const pith_tensor_copy *copy = &tensor->copies[c];
    printf("%s{\"layout\":\"%s\",\"transposed\":%s,\"targets\":[", c == 0 ? "" : ",",
           pith_format_layout_name(copy->layout), copy->transposed ? "true" : "false");
    for (uint32_t t = 0; t < copy->target_count; t++) {
      fputs(t == 0 ? "" : ",", stdout);
      pith_json_string(stdout, copy->targets[t], strlen(copy->targets[t]));
    }
    printf("],\"bytes\":%llu}", (unsigned long long)copy->data_bytes);
  }
  putchar(']');
}

static pith_status print_json_tensors(const pith_graph *graph, pith_error *error) {
  const char *before = "";
  for (uint32_t i = 0; i < graph->tensor_count; i++) {
    const pith_tensor *tensor = &graph->tensors[i];
    if (!pith_tensor_is_data(tensor))
      continue;
    printf("%s{", before);
    before = ",";
    print_json_text("name", tensor->name);
    printf(",\"dtype\":\"%s\",\"layout\":\"%s\",\"shape\":[", pith_dtype_get_info(tensor->dtype)->name,
           pith_format_layout_name(tensor->layout));
    for (uint32_t d = 0; d < tensor->rank; d++)
      printf("%s%lld", d == 0 ? "" : ",", (long long)tensor->dims[d].constant);
    uint64_t elements = count_elements(tensor), zeros;
    char pattern[PITH_PATTERN_TEXT_BYTES];
    pith_pattern_format(&tensor->pattern, pattern);
    PITH_TRY(count_zeros(tensor, &zeros, error));
    printf("],\"bytes\":%llu,\"sparsity\":%.6f,\"pattern\":\"%s\",\"kept\":%llu", (unsigned long long)tensor->data_bytes,
           elements == 0 ? 0 : (double)zeros / (double)elements, pattern,
           (unsigned long long)(tensor->pattern.kind == PITH_PATTERN_DENSE ? elements : tensor->kept));
    print_json_copies(tensor);
    putchar('}');
  }
  return PITH_OK;
}

static pith_status print_json(const pith_model *model, const pith_model_info *info, pith_error *error) {
  const pith_graph *graph = model->data.graph;
  putchar('{');
  print_json_text("architecture", info->architecture);
  putchar(',');
  print_json_text("task", pith_task_name(info->task));
  printf(",\"parameters\":%llu,\"bytes\":%llu,\"max_length\":%zu,\"hidden_size\":%zu,\"embedding_size\":%zu,\"exits\":%zu,",
         (unsigned long long)info->parameter_count, (unsigned long long)info->file_bytes, info->max_length,
         info->hidden_size, info->embedding_size, info->exit_count);
  fputs("\"labels\":[", stdout);
  for (size_t i = 0; i < info->label_count; i++) {
    fputs(i == 0 ? "" : ",", stdout);
    pith_json_string(stdout, info->labels[i], strlen(info->labels[i]));
  }
  fputs("],\"dtypes\":{", stdout);
  uint64_t dtypes[PITH_DTYPE_COUNT];
  count_dtypes(graph, dtypes);
  const char *before = "";
  for (int dtype = 0; dtype < PITH_DTYPE_COUNT; dtype++)
    if (dtypes[dtype] != 0) {
      printf("%s\"%s\":%llu", before, pith_dtype_get_info((pith_dtype)dtype)->name, (unsigned long long)dtypes[dtype]);
      before = ",";
    }
  fputs("},\"operators\":{", stdout);
  uint32_t operators[PITH_OP_COUNT];
  count_operators(graph, operators);
  before = "";
  for (int op = 0; op < PITH_OP_COUNT; op++)
    if (operators[op] != 0) {
      printf("%s\"%s\":%u", before, pith_operator_get((pith_operator_id)op)->name, operators[op]);
      before = ",";
    }
  fputs("},\"tensors\":[", stdout);
  PITH_TRY(print_json_tensors(graph, error));
  fputs("],\"history\":[", stdout);
  for (uint32_t i = 0; i < model->data.history_count; i++) {
    printf("%s{", i == 0 ? "" : ",");
    print_json_text("step", model->data.history[i].step);
    putchar(',');
    print_json_text("version", model->data.history[i].version);
    putchar(',');
    print_json_text("options", model->data.history[i].json);
    putchar('}');
  }
  fputs("],\"report\":[", stdout);
  for (uint32_t i = 0; i < model->data.report_count; i++) {
    printf("%s{", i == 0 ? "" : ",");
    print_json_text("task", model->data.report[i].task);
    putchar(',');
    print_json_text("metric", model->data.report[i].metric);
    printf(",\"value\":%.17g,\"samples\":%llu}", model->data.report[i].value,
           (unsigned long long)model->data.report[i].samples);
  }
  puts("]}");
  return PITH_OK;
}

/* ---- what this machine makes of it -------------------------------------------------------------------- */

static pith_status print_memory(const inspect_settings *settings, pith_error *error) {
  pith_cli_session open;
  PITH_TRY(pith_cli_model_open(&open, settings->operand, &settings->limits, error));
  size_t bytes;
  pith_status status = pith_session_plan_memory(open.model, &open.options, &bytes, error);
  if (status == PITH_OK && settings->json)
    printf("{\"max_tokens\":%zu,\"max_sequences\":%zu,\"threads\":%zu,\"peak_bytes\":%zu}\n", open.options.max_tokens,
           open.options.max_sequences, pith_cli_thread_count(&settings->limits), bytes);
  else if (status == PITH_OK)
    printf("a session of %zu tokens, %zu sequences and %zu threads takes at most %zu bytes (%.1f MB) beside the mapped "
           "file\n",
           open.options.max_tokens, open.options.max_sequences, pith_cli_thread_count(&settings->limits), bytes,
           (double)bytes * 1e-6);
  pith_cli_session_close(&open);
  return status;
}

static void print_json_program(const pith_program *program) {
  fputs("{\"steps\":[", stdout);
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    printf("%s{", i == 0 ? "" : ",");
    print_json_text("name", step->name);
    putchar(',');
    print_json_text("operator", step->title);
    putchar(',');
    print_json_text("kernel", step->kernel->name);
    printf(",\"integer\":%s,\"scratch_bytes\":%zu}", step->row->is_integer ? "true" : "false", step->scratch_bytes);
  }
  fputs("],\"notes\":[", stdout);
  for (uint32_t i = 0; i < program->note_count; i++) {
    printf("%s{", i == 0 ? "" : ",");
    print_json_text("name", program->notes[i].step);
    putchar(',');
    print_json_text("reason", program->notes[i].reason);
    putchar('}');
  }
  printf("],\"buffer_bytes\":%zu,\"packed_bytes\":%zu}\n", program->buffer_bytes,
         program->memory_bytes - program->buffer_bytes);
}

static pith_status print_program(const inspect_settings *settings, const pith_text_sink *sink, pith_error *error) {
  pith_cli_session open;
  PITH_TRY(pith_cli_session_open(&open, settings->operand, &settings->limits, error));
  if (settings->json)
    print_json_program(pith_session_get_program(open.session));
  else
    pith_program_print(pith_session_get_program(open.session), sink);
  pith_cli_session_close(&open);
  return PITH_OK;
}

static int run(const void *given) {
  const inspect_settings *settings = given;
  int views = settings->graph + settings->dot + settings->svg + settings->memory + settings->program + settings->sparsity;
  if (views > 1)
    return pith_usage_error("--graph, --dot, --svg, --memory, --program and --sparsity exclude each other");
  const pith_cli_limits *limits = &settings->limits;
  bool limited = limits->threads != 0 || limits->max_tokens != 0 || limits->max_sequences != 0 || limits->without != 0;
  const bool lowers = settings->memory || settings->program || settings->sparsity;
  if (limited && !lowers)
    return pith_usage_error("--max-tokens, --batch, --threads and --without go with --memory, --program and --sparsity");
  if (settings->json && views == 1 && !lowers)
    return pith_usage_error("--json goes with the summary, --memory, --program and --sparsity");
  pith_error error = {0};
  const pith_text_sink sink = {write_stdout, stdout};
  pith_status status;
  if (lowers) {
    status = settings->memory    ? print_memory(settings, &error)
             : settings->program ? print_program(settings, &sink, &error)
                                 : pith_inspect_sparsity(settings->operand, limits, settings->json, &error);
    return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
  }
  pith_model *model;
  pith_model_info info = {.struct_size = sizeof info};
  if (pith_model_open(settings->operand, NULL, &model, &error) != PITH_OK)
    return pith_report_error(&error);
  status = pith_model_get_info(model, &info, &error);
  if (status == PITH_OK) {
    if (settings->graph)
      pith_graph_print(model->data.graph, &sink);
    else if (settings->dot)
      pith_graph_print_dot(model->data.graph, &sink);
    else if (settings->svg)
      status = pith_graph_print_svg(model->data.graph, &sink, &error);
    else if (settings->json)
      status = print_json(model, &info, &error);
    else
      print_summary(model, &info);
  }
  pith_model_close(model);
  return status == PITH_OK ? PITH_EXIT_OK : pith_report_error(&error);
}

#define FIELD(name) offsetof(inspect_settings, name)
static const pith_option options[] = {
    {"json", 0, false, PITH_OPTION_FLAG, NULL, FIELD(json), 0, 0,
     "parameters, bytes, dtypes, operators, and sparsity of each tensor (reads all weights)"},
    {"graph", 0, false, PITH_OPTION_FLAG, NULL, FIELD(graph), 0, 0, "the graph as text, a line a node"},
    {"dot", 0, false, PITH_OPTION_FLAG, NULL, FIELD(dot), 0, 0, "the graph for Graphviz"},
    {"svg", 0, false, PITH_OPTION_FLAG, NULL, FIELD(svg), 0, 0, "the graph as a picture"},
    {"program", 0, false, PITH_OPTION_FLAG, NULL, FIELD(program), 0, 0,
     "the graph lowered for this CPU: steps, kernels, places in memory; what stays quantized by itself, and why"},
    {"sparsity", 0, false, PITH_OPTION_FLAG, NULL, FIELD(sparsity), 0, 0,
     "zeros of each product's weights and of all that count; which kernel each runs on this CPU, and why"},
    {"memory", 0, false, PITH_OPTION_FLAG, NULL, FIELD(memory), 0, 0,
     "the most bytes that a session with these limits takes"},
    PITH_OPTION_MAX_TOKENS(inspect_settings),
    PITH_OPTION_BATCH(inspect_settings),
    PITH_OPTION_THREADS(inspect_settings),
    PITH_OPTION_WITHOUT(inspect_settings),
    {0},
};

const pith_command pith_command_inspect = {
    .name = "inspect",
    .operand = "M.pith",
    .summary = "what a model file holds",
    .details = "A summary, unless an option asks for another view.",
    .options = options,
    .defaults = &(const inspect_settings){0},
    .settings_bytes = sizeof(inspect_settings),
    .run = run,
};
