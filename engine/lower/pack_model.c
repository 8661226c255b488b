#include "engine/lower/pack_model.h"

#include <stdio.h>
#include <string.h>

#include "engine/lower/lower.h"

/* A set of targets: CPU features, and one bit more for any CPU. */
typedef uint64_t target_set;
enum { ANY_BIT = PITH_CPU_FEATURE_COUNT, TARGET_COUNT };
_Static_assert((int)TARGET_COUNT <= (int)PITH_MAX_COPIES, "a copy may be for every target");

/* Packing does not depend on the sizes of a run, and each symbol has some: large enough for
 * dimensions such as tokens - 1. */
enum { RUN_SIZE = 512 };

static const char *target_name(unsigned bit) {
  return bit == ANY_BIT ? PITH_TARGET_ANY : pith_cpu_feature_text(bit);
}

/* What a CPU with this feature surely has: everything is compiled with AVX2, what begins with
 * avx512 with AVX-512. */
static pith_cpu_set features_of(unsigned bit) {
  if (bit == ANY_BIT)
    return 0;
  pith_cpu_set set = (pith_cpu_set)1 << bit | PITH_CPU_AVX2;
  return strncmp(pith_cpu_feature_text(bit), "avx512", 6) == 0 ? set | PITH_CPU_AVX512 : set;
}

/* The names that stand for all of `needs`: those that no other of them implies. */
static target_set targets_for(pith_cpu_set needs) {
  target_set targets = needs;
  for (unsigned bit = 0; bit < PITH_CPU_FEATURE_COUNT; bit++)
    if ((needs >> bit & 1) != 0)
      targets &= ~(features_of(bit) & ~((target_set)1 << bit));
  return needs == 0 ? (target_set)1 << ANY_BIT : targets;
}

static void write_names(target_set set, const char *separator, const char *quote, char *out,
                        size_t out_bytes) {
  size_t at = 0;
  out[0] = '\0';
  for (unsigned bit = 0; bit < TARGET_COUNT; bit++)
    if ((set >> bit & 1) != 0 && at < out_bytes)
      at += (size_t)snprintf(out + at, out_bytes - at, "%s%s%s%s", at == 0 ? "" : separator, quote,
                             target_name(bit), quote);
}

static pith_status parse_targets(const char *list, target_set *out_set, pith_error *error) {
  *out_set = 0;
  for (const char *at = list;; at++) {
    const size_t bytes = strcspn(at, ",");
    unsigned bit = 0;
    while (bit < TARGET_COUNT &&
           (strlen(target_name(bit)) != bytes || memcmp(target_name(bit), at, bytes) != 0))
      bit++;
    if (bit == TARGET_COUNT) {
      char known[160];
      write_names(((target_set)1 << TARGET_COUNT) - 1, ", ", "", known, sizeof known);
      return pith_fail(error, PITH_INVALID_ARGUMENT, "no target '%.*s': the known ones are %s",
                       bytes > 40 ? 40 : (int)bytes, at, known);
    }
    *out_set |= (target_set)1 << bit;
    at += bytes;
    if (*at == '\0')
      return PITH_OK;
  }
}

/* ---- which weights
 * ------------------------------------------------------------------------------------------- */

/* A weight that a kernel does not find as it reads it. */
typedef struct need {
  pith_tensor_id tensor;
  pith_layout layout; /* that the kernel reads */
  bool transposed;
  target_set targets;
} need;

typedef struct packer {
  pith_graph *graph;
  pith_arena *arena; /* of what is kept */
  pith_arena scratch;
  uint32_t need_count;
  need *needs; /* [2 * tensor_count] */
  pith_error *error;
} packer;

static pith_status no_memory(const packer *p) {
  return pith_fail(p->error, PITH_OUT_OF_MEMORY, "no memory to pack the model");
}

static void add_need(packer *p, pith_tensor_id tensor, pith_layout layout, bool transposed,
                     target_set targets) {
  uint32_t i = 0;
  while (i < p->need_count && (p->needs[i].tensor != tensor || p->needs[i].layout != layout ||
                               p->needs[i].transposed != transposed))
    i++;
  if (i == p->need_count)
    p->needs[p->need_count++] = (need){tensor, layout, transposed, 0};
  p->needs[i].targets |= targets;
}

/* `target` TARGET_COUNT: this CPU, each copy for what its kernel needs. */
static pith_status find_needs(packer *p, unsigned target) {
  int64_t *limits = PITH_ARENA_NEW(&p->scratch, int64_t, p->graph->symbol_count);
  if (limits == NULL)
    return no_memory(p);
  for (uint32_t i = 0; i < p->graph->symbol_count; i++)
    limits[i] = RUN_SIZE;
  const pith_lower_options options = {
      .cpu = target == TARGET_COUNT ? pith_cpu_detect() : features_of(target),
      .threads = 1,
      .symbol_limits = limits,
      .rewrites = PITH_REWRITES_DEFAULT,
      .without_memory = true,
  };
  pith_program *program;
  PITH_TRY(pith_program_create(p->graph, &options, &program, p->error));
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->input_count; j++) {
      if (!pith_step_is_weight(step, j))
        continue;
      const pith_value *value = &program->values[step->inputs[j]];
      bool packed = value->pack != PITH_NONE;
      if (value->kind != PITH_VALUE_DATA || value->tensor == NULL ||
          !pith_tensor_is_data(value->tensor) ||
          (!packed && value->data_layout != PITH_LAYOUT_ROW_MAJOR))
        continue;
      add_need(p, (pith_tensor_id)(value->tensor - p->graph->tensors), pith_step_get_weight_layout(step),
               packed && program->packs[value->pack].transposed,
               target == TARGET_COUNT ? targets_for(step->kernel->needs) : (target_set)1 << target);
    }
  }
  pith_program_destroy(program);
  return PITH_OK;
}

/* ---- copies
 * ----------------------------------------------------------------------------------------------------
 */

static pith_status make_copy(packer *p, const need *need, pith_tensor_copy *out_copy) {
  const pith_tensor *tensor = &p->graph->tensors[need->tensor];
  if (tensor->data == NULL)
    return pith_fail(p->error, PITH_INVALID_ARGUMENT, "tensor '%s' has no data to pack",
                     tensor->name);
  const pith_dim dims[2] = {tensor->dims[need->transposed], tensor->dims[!need->transposed]};
  uint64_t bytes;
  PITH_TRY(pith_layout_get_bytes(need->layout, tensor->dtype, 2, dims, &bytes, p->error));
  const char **names = PITH_ARENA_NEW(p->arena, const char *, TARGET_COUNT);
  void *data = pith_arena_array(p->arena, bytes < 64 ? 64 : (size_t)bytes, 1);
  if (names == NULL || data == NULL)
    return no_memory(p);
  uint32_t count = 0;
  for (unsigned bit = 0; bit < TARGET_COUNT; bit++)
    if ((need->targets >> bit & 1) != 0)
      names[count++] = target_name(bit);
  const pith_pack pack = {
      .data = tensor->data,
      .from = PITH_LAYOUT_ROW_MAJOR,
      .to = need->layout,
      .transposed = need->transposed,
      .n = (size_t)dims[0].constant,
      .k = (size_t)dims[1].constant,
      .bytes = (size_t)bytes,
  };
  pith_pack_run(&pack, data);
  *out_copy = (pith_tensor_copy){
      .layout = need->layout,
      .transposed = need->transposed,
      .target_count = count,
      .targets = names,
      .data = data,
      .data_bytes = bytes,
  };
  return PITH_OK;
}

static pith_status make_copies(packer *p, pith_packing *packing, target_set *out_targets) {
  *out_targets = 0;
  for (uint32_t i = 0; i < p->need_count; i++) {
    pith_tensor *tensor = &p->graph->tensors[p->needs[i].tensor];
    pith_tensor_copy *copies = PITH_ARENA_NEW(p->arena, pith_tensor_copy, tensor->copy_count + 1);
    if (copies == NULL)
      return no_memory(p);
    if (tensor->copy_count != 0)
      memcpy(copies, tensor->copies, tensor->copy_count * sizeof *copies);
    PITH_TRY(make_copy(p, &p->needs[i], &copies[tensor->copy_count]));
    packing->weights += tensor->copy_count == 0;
    packing->bytes += copies[tensor->copy_count].data_bytes;
    tensor->copies = copies;
    tensor->copy_count++;
    *out_targets |= p->needs[i].targets;
  }
  return PITH_OK;
}

static pith_status add_history(const packer *p, target_set targets, pith_model_data *data) {
  pith_history_entry *history =
      PITH_ARENA_NEW(p->arena, pith_history_entry, (size_t)data->history_count + 1);
  char names[160];
  write_names(targets, ",", "\"", names, sizeof names);
  const char *json = pith_arena_format(p->arena, "{\"targets\":[%s]}", names);
  if (history == NULL || json == NULL)
    return no_memory(p);
  if (data->history_count != 0)
    memcpy(history, data->history, data->history_count * sizeof *history);
  history[data->history_count++] = (pith_history_entry){"pack", PITH_VERSION, json};
  data->history = history;
  return PITH_OK;
}

static pith_status pack(packer *p, target_set targets, pith_model_data *data,
                        pith_packing *packing) {
  p->needs = PITH_ARENA_NEW(&p->scratch, need, 2 * (size_t)p->graph->tensor_count);
  if (p->needs == NULL)
    return no_memory(p);
  if (targets == 0)
    PITH_TRY(find_needs(p, TARGET_COUNT));
  for (unsigned bit = 0; bit < TARGET_COUNT; bit++)
    if ((targets >> bit & 1) != 0)
      PITH_TRY(find_needs(p, bit));
  target_set used;
  PITH_TRY(make_copies(p, packing, &used));
  write_names(used, ", ", "", packing->targets, sizeof packing->targets);
  return p->need_count == 0 ? PITH_OK : add_history(p, used, data);
}

pith_status pith_pack_model(const pith_model_data *data, const char *targets, pith_arena *arena,
                            pith_model_data *out_data, pith_packing *out_packing,
                            pith_error *error) {
  target_set set = 0;
  if (targets != NULL)
    PITH_TRY(parse_targets(targets, &set, error));
  packer p = {.arena = arena, .error = error};
  pith_model_data packed = *data;
  pith_packing packing = {0};
  PITH_TRY(pith_graph_clone(data->graph, NULL, &p.graph, error));
  packed.graph = p.graph;
  pith_arena_init(&p.scratch, NULL);
  pith_status status = pack(&p, set, &packed, &packing);
  pith_arena_deinit(&p.scratch);
  if (status != PITH_OK) {
    pith_graph_destroy(p.graph);
    return status;
  }
  *out_data = packed;
  *out_packing = packing;
  return PITH_OK;
}
