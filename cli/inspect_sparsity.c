/* pith inspect --sparsity: zeros of the weights that count, and which kernel each product runs here, and why. */
#include <string.h>

#include "cli/inspect.h"
#include "engine/exec/model.h"
#include "engine/exec/session_access.h"
#include "engine/format/names.h"
#include "engine/format/stored_layout.h"
#include "engine/lower/program.h"
#include "quant/quantize.h"
#include "compiler/rewrite/choose.h"
#include "sparse/targets.h"

/* A weight of products, its elements row-major. */
typedef struct weight {
  const pith_tensor *tensor;
  size_t n, k;
  bool counts;
  uint64_t zeros;
  uint64_t kept[2];      /* elements in 4x1 and in 4x4 blocks that are not all 0 */
  double predicted[2];   /* time in 4x1 and in 4x4 blocks by the cost model, as a share of the dense one */
  const pith_step *step; /* that multiplies with it; NULL: none does */
} weight;

static const pith_pattern blocks[2] = {{PITH_PATTERN_BLOCK, 4, 1}, {PITH_PATTERN_BLOCK, 4, 4}};
/* The layouts that stand for those blocks. */
static const pith_layout block_layouts[2][2] = {{PITH_LAYOUT_B4X1_F32, PITH_LAYOUT_B4X1_F32},
                                                {PITH_LAYOUT_B4X1_S8, PITH_LAYOUT_B4X4_S8}};

typedef struct survey {
  const pith_graph *graph;
  const pith_program *program;
  pith_arena arena;
  uint32_t count;
  weight *weights; /* in the order of the program's steps; those that no step reads last */
} survey;

/* ---- which weights count ---------------------------------------------------------------------------------------- */

/* Those that `pith prune` would take: of the float model that a quantized one was. */
static pith_status mark_counted(survey *s, pith_error *error) {
  pith_graph *floats = NULL;
  const pith_graph *graph = s->graph;
  pith_error reason;
  pith_prune_targets targets = {0};
  const pith_name_patterns none = {0};
  if (pith_quant_check_float(graph, &reason) != PITH_OK) {
    PITH_TRY(pith_dequantize_graph(graph, NULL, &floats, error));
    graph = floats;
  }
  const pith_status status = pith_prune_find_targets(graph, &none, &s->arena, &targets, &reason);
  for (uint32_t i = 0; status == PITH_OK && i < targets.count; i++)
    for (uint32_t w = 0; w < s->count; w++)
      s->weights[w].counts |= strcmp(s->weights[w].tensor->name, targets.list[i].name) == 0;
  pith_graph_destroy(floats);
  /* A model in which nothing could be pruned has weights all the same. */
  return status == PITH_OK || status == PITH_INVALID_ARGUMENT ? PITH_OK : pith_fail(error, status, "%s", reason.message);
}

/* ---- what they hold --------------------------------------------------------------------------------------------- */

static pith_status measure(weight *w, const void *rows, pith_error *error) {
  static const pith_pattern element = {PITH_PATTERN_ELEMENT, 0, 0};
  const bool is_f32 = w->tensor->dtype == PITH_DTYPE_F32;
  uint64_t kept;
  PITH_TRY(pith_pattern_count_kept(&element, w->n, w->k, rows, is_f32, &kept, error));
  w->zeros = (uint64_t)w->n * w->k - kept;
  for (int b = 0; b < 2; b++) {
    w->predicted[b] = pith_sparse_predict(block_layouts[!is_f32][b], w->n, w->k, rows);
    PITH_TRY(pith_pattern_count_kept(&blocks[b], w->n, w->k, rows, is_f32, &w->kept[b], error));
  }
  return PITH_OK;
}

static pith_status read_weight(weight *w, pith_error *error) {
  uint64_t bytes;
  PITH_TRY(pith_layout_get_bytes(PITH_LAYOUT_ROW_MAJOR, w->tensor->dtype, 2, w->tensor->dims, &bytes, error));
  void *rows = pith_allocate(NULL, (size_t)bytes);
  if (rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "tensor '%s': no memory for %llu bytes", w->tensor->name,
                     (unsigned long long)bytes);
  pith_status status = pith_tensor_unpack(w->tensor, rows, NULL, error);
  if (status == PITH_OK)
    status = measure(w, rows, error);
  pith_release(NULL, rows, (size_t)bytes);
  return status;
}

/* ---- what multiplies with them ---------------------------------------------------------------------------------- */

/* The product that reads it as weights; else, as what it is dequantized to. */
static const pith_step *find_step(const pith_program *program, const pith_tensor *tensor) {
  const pith_step *other = NULL;
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++) {
      if (step->inputs[j] == PITH_NONE || program->values[step->inputs[j]].tensor != tensor)
        continue;
      if (pith_step_is_weight(step, j))
        return step;
      other = step;
    }
  }
  return other;
}

static pith_status find_weights(survey *s, pith_error *error) {
  const pith_graph *graph = s->graph;
  s->weights = PITH_ARENA_NEW(&s->arena, weight, graph->tensor_count);
  if (s->weights == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to list %u tensors", graph->tensor_count);
  for (pith_tensor_id t = 0; t < graph->tensor_count; t++) {
    const pith_tensor *tensor = &graph->tensors[t];
    if (tensor->data == NULL || pith_sparse_get_product_input(graph, t) == PITH_NONE)
      continue;
    weight *w = &s->weights[s->count++];
    *w = (weight){.tensor = tensor,
                  .n = (size_t)tensor->dims[0].constant,
                  .k = (size_t)tensor->dims[1].constant,
                  .step = find_step(s->program, tensor)};
    PITH_TRY(read_weight(w, error));
  }
  return mark_counted(s, error);
}

/* ---- why -------------------------------------------------------------------------------------------------------- */

enum { REASON_BYTES = 200 };

static double get_share(uint64_t part, const weight *w) {
  return (double)part / ((double)w->n * (double)w->k);
}

static bool is_stored_sparse(const weight *w) {
  return pith_layout_get_sparse_form(w->tensor->layout) != PITH_SPARSE_FORM_COUNT;
}

/* What is stored decides; the rest says what the other way would be. */
static void explain(const weight *w, char out[REASON_BYTES]) {
  const int best = w->predicted[1] < w->predicted[0];
  if (w->step == NULL)
    snprintf(out, REASON_BYTES, "no step of the program reads it");
  else if (!pith_step_is_gemm(w->step))
    snprintf(out, REASON_BYTES, "%s reads it before its product, which is none of 8-bit integers: see --program",
             w->step->row->name);
  else if (is_stored_sparse(w) && !w->step->row->is_sparse)
    snprintf(out, REASON_BYTES, "stored sparse, but its product runs with others that are not");
  else if (is_stored_sparse(w))
    snprintf(out, REASON_BYTES, "stored sparse: expected to take %.2f of the dense one's time",
             w->predicted[w->tensor->layout == PITH_LAYOUT_B4X4_S8]);
  else if (w->kept[0] == (uint64_t)w->n * w->k)
    snprintf(out, REASON_BYTES, "stored dense: no block is all 0");
  else
    snprintf(out, REASON_BYTES, "stored dense: %s blocks are expected to take %.2f of its time%s", best ? "4x4" : "4x1",
             w->predicted[best], w->predicted[best] < 0.9 ? "; try pith pack --tune" : "");
}

/* ---- views ------------------------------------------------------------------------------------------------------ */

typedef struct total {
  uint32_t weights;
  uint64_t elements, zeros, bytes;
} total;

static total add_up(const survey *s) {
  total sum = {0};
  for (uint32_t i = 0; i < s->count; i++) {
    const weight *w = &s->weights[i];
    if (!w->counts)
      continue;
    sum.weights++;
    sum.elements += (uint64_t)w->n * w->k;
    sum.zeros += w->zeros;
    sum.bytes += w->tensor->data_bytes;
  }
  return sum;
}

static double get_sparsity(const total *sum) {
  return sum->elements == 0 ? 0 : (double)sum->zeros / (double)sum->elements;
}

static void print_table(const survey *s) {
  int width = 6;
  for (uint32_t i = 0; i < s->count; i++)
    width = (int)strlen(s->weights[i].tensor->name) > width ? (int)strlen(s->weights[i].tensor->name) : width;
  printf("  %-*s  %-11s  %-8s  %6s  %-9s  %6s  %6s  kernel, and why\n", width, "weight", "shape", "stored", "zeros", "pattern",
         "in 4x1", "in 4x4");
  for (uint32_t i = 0; i < s->count; i++) {
    const weight *w = &s->weights[i];
    char shape[44], pattern[PITH_PATTERN_TEXT_BYTES], reason[REASON_BYTES];
    snprintf(shape, sizeof shape, "%zu x %zu", w->n, w->k);
    pith_pattern_format(&w->tensor->pattern, pattern);
    explain(w, reason);
    printf("%c %-*s  %-11s  %-8s  %5.1f%%  %-9s  %5.1f%%  %5.1f%%  %s%s%s\n", w->counts ? '*' : ' ', width, w->tensor->name, shape,
           pith_layout_get_name(w->tensor->layout), 100 * get_share(w->zeros, w), pattern, 100 * get_share(w->kept[0], w),
           100 * get_share(w->kept[1], w), w->step == NULL ? "" : w->step->kernel->name, w->step == NULL ? "" : ": ", reason);
  }
  const total sum = add_up(s);
  printf("\nsparsity %.2f%%: %llu of %llu elements are 0 in the %u weights that count (*), stored in %llu bytes.\n"
         "What counts are the weights of the encoder's products, those that pith prune takes; embeddings, pooler and heads do\n"
         "not. In 4x1, in 4x4: the share of elements in blocks of outputs x inputs that are not all 0, which sparse kernels\n"
         "multiply. What is stored decides which kernel runs.\n",
         100 * get_sparsity(&sum), (unsigned long long)sum.zeros, (unsigned long long)sum.elements, sum.weights,
         (unsigned long long)sum.bytes);
}

static void print_text(const char *key, const char *text) {
  printf("\"%s\":", key);
  pith_json_string(stdout, text, strlen(text));
}

static void print_json(const survey *s) {
  const total sum = add_up(s);
  printf("{\"counted\":{\"what\":\"weights of the encoder's products\",\"weights\":%u,\"elements\":%llu,\"zeros\":%llu,"
         "\"sparsity\":%.6f,\"bytes\":%llu},\"weights\":[",
         sum.weights, (unsigned long long)sum.elements, (unsigned long long)sum.zeros, get_sparsity(&sum),
         (unsigned long long)sum.bytes);
  for (uint32_t i = 0; i < s->count; i++) {
    const weight *w = &s->weights[i];
    char pattern[PITH_PATTERN_TEXT_BYTES], reason[REASON_BYTES];
    pith_pattern_format(&w->tensor->pattern, pattern);
    explain(w, reason);
    fputs(i == 0 ? "{" : ",{", stdout);
    print_text("name", w->tensor->name);
    printf(",\"shape\":[%zu,%zu],\"counts\":%s,\"zeros\":%llu,\"sparsity\":%.6f,\"pattern\":\"%s\",\"layout\":\"%s\",\"bytes\":%llu,"
           "\"stored_sparse\":%s,\"occupancy\":{\"4x1\":%.6f,\"4x4\":%.6f},\"predicted\":{\"4x1\":%.4f,\"4x4\":%.4f},",
           w->n, w->k, w->counts ? "true" : "false", (unsigned long long)w->zeros, get_share(w->zeros, w), pattern,
           pith_layout_get_name(w->tensor->layout), (unsigned long long)w->tensor->data_bytes,
           is_stored_sparse(w) ? "true" : "false", get_share(w->kept[0], w), get_share(w->kept[1], w), w->predicted[0],
           w->predicted[1]);
    if (w->step != NULL) {
      print_text("step", w->step->name);
      putchar(',');
      print_text("operator", w->step->title);
      putchar(',');
      print_text("kernel", w->step->kernel->name);
      printf(",\"runs_sparse\":%s,", w->step->row->is_sparse ? "true" : "false");
    }
    print_text("reason", reason);
    putchar('}');
  }
  puts("]}");
}

pith_status pith_inspect_sparsity(const char *path, const pith_cli_limits *limits, bool json, pith_error *error) {
  pith_cli_session open;
  PITH_TRY(pith_cli_session_open(&open, path, limits, error));
  survey s = {.graph = open.model->data.graph, .program = pith_session_get_program(open.session)};
  pith_arena_init(&s.arena, NULL);
  const pith_status status = find_weights(&s, error);
  if (status == PITH_OK)
    (json ? print_json : print_table)(&s);
  pith_arena_deinit(&s.arena);
  pith_cli_session_close(&open);
  return status;
}
