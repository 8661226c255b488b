#include "quant/report.h"

#include <math.h>

#include "compiler/rewrite/rewriter.h"
#include "engine/ir/operator.h"
#include "quant/quantize.h"
#include "quant/tap.h"

const char *pith_quant_error_kind_name(pith_quant_error_kind kind) {
  static const char *const names[] = {
#define NAME(name, text) [PITH_QUANT_ERROR_##name] = text,
      PITH_QUANT_ERROR_LIST(NAME)
#undef NAME
  };
  return names[kind];
}

double pith_quant_error_sqnr(const pith_quant_error *error) {
  return error->noise > 0 ? 10 * log10(error->signal / error->noise) : INFINITY;
}

typedef struct report {
  pith_quant_report *out;
  const pith_graph *float_graph, *quantized;
  /* Of the rows that are watched in runs: their tensors in both graphs, and which row each is. */
  const char **float_names, **names;
  uint32_t *rows;
  uint32_t watched;
  pith_tap float_tap, tap;
  const pith_sequence *sequences; /* of the chunk that runs */
  int32_t *ids, *type_ids;        /* [max_tokens] */
} report;

static void add_difference(pith_quant_error *row, const float *wanted, const float *got, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    const double difference = (double)wanted[i] - (double)got[i];
    row->signal += (double)wanted[i] * (double)wanted[i];
    row->noise += difference * difference;
    row->largest = fmax(row->largest, fabs(difference));
  }
  row->count += count;
}

/* ---- what is compared --------------------------------------------------------------------------------------------------- */

static pith_quant_error *add_row(report *r, pith_quant_error_kind kind, const char *name) {
  pith_quant_error *row = &r->out->errors[r->out->count++];
  *row = (pith_quant_error){.kind = kind, .name = name};
  return row;
}

static void watch(report *r, pith_quant_error_kind kind, const char *float_name, const char *name) {
  r->rows[r->watched] = r->out->count;
  r->float_names[r->watched] = float_name;
  r->names[r->watched++] = name;
  add_row(r, kind, float_name);
}

static bool is_dequantized(const pith_graph *graph, pith_tensor_id id) {
  const pith_node *node = pith_graph_get_producer(graph, id);
  return node != NULL && node->op->id == PITH_OP_DEQUANTIZE_LINEAR;
}

static void collect_node(report *r, const pith_node *node) {
  const pith_graph *graph = r->quantized;
  if (node->op->id == PITH_OP_DEQUANTIZE_LINEAR) {
    const pith_node *quantizer = pith_graph_get_producer(graph, node->inputs[0]);
    if (quantizer == NULL)
      add_row(r, PITH_QUANT_ERROR_WEIGHT, graph->tensors[node->inputs[0]].name);
    else
      watch(r, PITH_QUANT_ERROR_ACTIVATION, graph->tensors[quantizer->inputs[0]].name,
            graph->tensors[node->outputs[0]].name);
    return;
  }
  bool reads = pith_graph_is_output(graph, node->outputs[0]);
  for (uint32_t i = 0; i < node->input_count; i++)
    reads |= is_dequantized(graph, node->inputs[i]);
  const char *name = graph->tensors[node->outputs[0]].name;
  if (reads && graph->tensors[node->outputs[0]].dtype == PITH_DTYPE_F32 &&
      pith_graph_find_tensor(r->float_graph, name) != PITH_NONE)
    watch(r, PITH_QUANT_ERROR_OUTPUT, name, name);
}

static pith_status collect(report *r, pith_error *error) {
  pith_arena *arena = &r->out->arena;
  const uint32_t room = r->quantized->node_count;
  r->out->errors = PITH_ARENA_NEW(arena, pith_quant_error, room);
  r->float_names = PITH_ARENA_NEW(arena, const char *, room);
  r->names = PITH_ARENA_NEW(arena, const char *, room);
  r->rows = PITH_ARENA_NEW(arena, uint32_t, room);
  if (r->out->errors == NULL || r->float_names == NULL || r->names == NULL || r->rows == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to compare %u nodes", room);
  for (uint32_t n = 0; n < room; n++)
    collect_node(r, &r->quantized->nodes[n]);
  for (uint32_t i = 0; i < r->out->count; i++) { /* the report outlives the graphs */
    pith_quant_error *row = &r->out->errors[i];
    row->name = pith_arena_string(arena, row->name, strlen(row->name));
    if (row->name == NULL)
      return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory to compare %u nodes", room);
  }
  return PITH_OK;
}

/* ---- weights -------------------------------------------------------------------------------------------------------------- */

static const float *read_data(pith_rewriter *rewriter, const char *name, uint64_t *out_count) {
  const pith_tensor_id id = pith_graph_find_tensor(rewriter->from, name);
  if (id == PITH_NONE) {
    pith_builder_fail(&rewriter->builder, PITH_INVALID_ARGUMENT, "the graph has no tensor '%s'", name);
    return NULL;
  }
  const pith_tensor *tensor = &rewriter->from->tensors[id];
  *out_count = 1;
  for (uint32_t d = 0; d < tensor->rank; d++)
    *out_count *= (uint64_t)tensor->dims[d].constant;
  return pith_rewriter_read(rewriter, id);
}

static pith_status compare_data(report *r, const pith_graph *dequantized, pith_error *error) {
  pith_rewriter wanted, got = {0};
  pith_status status = pith_rewriter_init(&wanted, r->float_graph, NULL, error);
  if (status == PITH_OK)
    status = pith_rewriter_init(&got, dequantized, NULL, error);
  for (uint32_t i = 0; i < r->out->count && status == PITH_OK; i++) {
    pith_quant_error *row = &r->out->errors[i];
    if (row->kind != PITH_QUANT_ERROR_WEIGHT)
      continue;
    uint64_t count = 0;
    const float *a = read_data(&wanted, row->name, &count), *b = read_data(&got, row->name, &count);
    status = a == NULL ? wanted.builder.status : got.builder.status;
    if (status == PITH_OK)
      add_difference(row, a, b, count);
  }
  pith_rewriter_deinit(&got);
  pith_rewriter_deinit(&wanted);
  return status;
}

static pith_status compare_weights(report *r, pith_error *error) {
  pith_graph *dequantized;
  PITH_TRY(pith_dequantize_graph(r->quantized, NULL, &dequantized, error));
  const pith_status status = compare_data(r, dequantized, error);
  pith_graph_destroy(dequantized);
  return status;
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------ */

/* The batch that the float graph has just run, through the quantized one. */
static pith_status compare_batch(void *context, const uint32_t *order, const int32_t *offsets, size_t count,
                                 const pith_result *result, pith_error *error) {
  (void)result;
  report *r = context;
  pith_batch batch = PITH_BATCH_INIT;
  for (size_t i = 0; i < count; i++) {
    const pith_sequence *sequence = &r->sequences[order[i]];
    const size_t bytes = sequence->length * sizeof *r->ids;
    memcpy(r->ids + offsets[i], sequence->ids, bytes);
    if (sequence->type_ids != NULL)
      memcpy(r->type_ids + offsets[i], sequence->type_ids, bytes);
    else
      memset(r->type_ids + offsets[i], 0, bytes);
  }
  batch.sequences = count;
  batch.offsets = offsets;
  batch.ids = r->ids;
  batch.type_ids = r->type_ids;
  pith_result quantized = {.struct_size = sizeof quantized};
  PITH_TRY(pith_session_run(r->tap.session, &batch, &quantized, error));
  for (uint32_t i = 0; i < r->watched; i++) {
    const pith_view *wanted = pith_tap_get(&r->float_tap, i), *got = pith_tap_get(&r->tap, i);
    add_difference(&r->out->errors[r->rows[i]], wanted->data, got->data, pith_view_count(wanted));
  }
  return PITH_OK;
}

static pith_status compare_runs(report *r, const pith_calibration_source *source,
                                void (*progress)(void *context, uint64_t sequences), void *context, pith_error *error) {
  uint64_t done = 0;
  PITH_TRY(source->rewind(source->context, error));
  for (size_t count = 1; count != 0;) {
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_status status = source->next(source->context, r->float_tap.session, &arena, &r->sequences, &count, error);
    if (status == PITH_OK && count != 0)
      status = pith_feed_run(r->float_tap.session, r->sequences, count, &arena, compare_batch, r, error);
    pith_arena_deinit(&arena);
    PITH_TRY(status);
    done += count;
    if (progress != NULL)
      progress(context, done);
  }
  return PITH_OK;
}

static pith_status make(report *r, const pith_model *model, const pith_session_options *session, pith_error *error) {
  PITH_TRY(collect(r, error));
  PITH_TRY(compare_weights(r, error));
  PITH_TRY(pith_tap_init(&r->float_tap, model, r->float_graph, r->float_names, r->watched, session, error));
  PITH_TRY(pith_tap_init(&r->tap, model, r->quantized, r->names, r->watched, session, error));
  r->ids = PITH_ARENA_NEW(&r->out->arena, int32_t, session->max_tokens);
  r->type_ids = PITH_ARENA_NEW(&r->out->arena, int32_t, session->max_tokens);
  if (r->ids == NULL || r->type_ids == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "no memory for a batch of %zu tokens", session->max_tokens);
  return PITH_OK;
}

pith_status pith_quant_report_make(const pith_model *model, const pith_graph *float_graph, const pith_graph *quantized,
                                   const pith_calibration_source *source, const pith_session_options *session,
                                   void (*progress)(void *context, uint64_t sequences), void *context,
                                   pith_quant_report *out_report, pith_error *error) {
  *out_report = (pith_quant_report){.count = 0};
  pith_arena_init(&out_report->arena, NULL);
  report r = {.out = out_report, .float_graph = float_graph, .quantized = quantized};
  pith_status status = make(&r, model, session, error);
  if (status == PITH_OK)
    status = compare_runs(&r, source, progress, context, error);
  pith_tap_deinit(&r.tap);
  pith_tap_deinit(&r.float_tap);
  return status;
}

void pith_quant_report_deinit(pith_quant_report *report) {
  pith_arena_deinit(&report->arena);
  report->count = 0;
}
