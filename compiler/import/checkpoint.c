#include "compiler/import/checkpoint.h"

#include <fnmatch.h>
#include <stdio.h>

enum { MAX_NAME_BYTES = 512 };

pith_status pith_checkpoint_init(pith_checkpoint *checkpoint, const pith_architecture *row,
                                 size_t part_capacity, const pith_allocator *allocator,
                                 pith_error *error) {
  *checkpoint = (pith_checkpoint){.row = row, .part_capacity = part_capacity};
  pith_arena_init(&checkpoint->arena, allocator);
  checkpoint->parts = PITH_ARENA_NEW(&checkpoint->arena, pith_checkpoint_part, part_capacity);
  if (checkpoint->parts == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "checkpoint: no memory for %zu parts",
                     part_capacity);
  return PITH_OK;
}

void pith_checkpoint_deinit(pith_checkpoint *checkpoint) {
  for (size_t i = 0; i < checkpoint->part_count; i++)
    pith_safetensors_close(&checkpoint->parts[i].tensors);
  pith_arena_deinit(&checkpoint->arena);
}

pith_status pith_checkpoint_add(pith_checkpoint *checkpoint, const char *directory,
                                const char *prefix, pith_error *error) {
  if (checkpoint->part_count == checkpoint->part_capacity)
    return pith_fail(error, PITH_LIMIT, "%s: over %zu directories with weights", directory,
                     checkpoint->part_capacity);
  pith_checkpoint_part *part = &checkpoint->parts[checkpoint->part_count];
  PITH_TRY(pith_safetensors_open(directory, checkpoint->arena.allocator, &part->tensors, error));
  checkpoint->part_count++;
  part->prefix = pith_arena_string(&checkpoint->arena, prefix, strlen(prefix));
  part->used = PITH_ARENA_NEW(&checkpoint->arena, bool, part->tensors.count);
  if (part->prefix == NULL || part->used == NULL)
    return pith_fail(error, PITH_OUT_OF_MEMORY, "%s: no memory for %zu tensors", directory,
                     part->tensors.count);
  return PITH_OK;
}

/* The name with a LayerNorm's old ending, or false where it has none. */
static bool make_old_name(const char *name, char out_name[MAX_NAME_BYTES]) {
  static const char *const endings[2][2] = {{"LayerNorm.weight", "LayerNorm.gamma"},
                                            {"LayerNorm.bias", "LayerNorm.beta"}};
  size_t bytes = strlen(name);
  for (int i = 0; i < 2; i++) {
    size_t ending = strlen(endings[i][0]);
    if (bytes >= ending && strcmp(name + bytes - ending, endings[i][0]) == 0) {
      int length =
          snprintf(out_name, MAX_NAME_BYTES, "%.*s%s", (int)(bytes - ending), name, endings[i][1]);
      return length > 0 && length < MAX_NAME_BYTES;
    }
  }
  return false;
}

static const pith_safetensor *find_either(const pith_safetensors *tensors, const char *name) {
  char old_name[MAX_NAME_BYTES];
  const pith_safetensor *tensor = pith_safetensors_find(tensors, name);
  if (tensor == NULL && make_old_name(name, old_name))
    tensor = pith_safetensors_find(tensors, old_name);
  return tensor;
}

/* Under `name`, else without the body's prefix where it has it, else with it. */
static const pith_safetensor *find_tensor(const pith_checkpoint_part *part, const char *name,
                                          const char *body_prefix) {
  const pith_safetensor *tensor = find_either(&part->tensors, name);
  size_t bytes = strlen(body_prefix);
  if (tensor != NULL || part->prefix[0] != '\0')
    return tensor;
  if (strncmp(name, body_prefix, bytes) == 0)
    return find_either(&part->tensors, name + bytes);
  char longer[MAX_NAME_BYTES];
  int length = snprintf(longer, sizeof longer, "%s%s", body_prefix, name);
  return length > 0 && length < MAX_NAME_BYTES ? find_either(&part->tensors, longer) : NULL;
}

/* "[2, 384]" */
typedef struct shape_text {
  char text[PITH_MAX_RANK * 22 + 4];
} shape_text;
static shape_text describe_shape(const pith_safetensor *tensor) {
  shape_text shape;
  size_t at = 0;
  shape.text[at++] = '[';
  for (uint32_t i = 0; i < tensor->rank; i++)
    at += (size_t)snprintf(shape.text + at, sizeof shape.text - at, "%s%lld", i == 0 ? "" : ", ",
                           (long long)tensor->dims[i]);
  snprintf(shape.text + at, sizeof shape.text - at, "]");
  return shape;
}

static pith_status check_shape(const pith_safetensor *tensor, const pith_tensor *wanted,
                               pith_error *error) {
  bool equal = tensor->rank == wanted->rank;
  for (uint32_t i = 0; equal && i < wanted->rank; i++)
    equal = tensor->dims[i] == wanted->dims[i].constant;
  if (equal)
    return PITH_OK;
  pith_safetensor shape = {.rank = wanted->rank};
  for (uint32_t i = 0; i < wanted->rank; i++)
    shape.dims[i] = wanted->dims[i].constant;
  return pith_fail(error, PITH_FORMAT, "%s: tensor '%s' has shape %s, the config asks for %s",
                   tensor->file, tensor->name, describe_shape(tensor).text,
                   describe_shape(&shape).text);
}

static pith_status read_parameter(void *context, const pith_graph *graph, pith_tensor_id id,
                                  uint64_t count, float *out_values, pith_error *error) {
  (void)count;
  pith_checkpoint *checkpoint = context;
  const pith_tensor *wanted = &graph->tensors[id];
  for (size_t i = checkpoint->part_count;
       i-- > 0;) { /* the model's own, whose prefix is "", last */
    pith_checkpoint_part *part = &checkpoint->parts[i];
    size_t bytes = strlen(part->prefix);
    if (strncmp(wanted->name, part->prefix, bytes) != 0)
      continue;
    const pith_safetensor *tensor =
        find_tensor(part, wanted->name + bytes, checkpoint->row->prefix);
    if (tensor == NULL)
      continue;
    PITH_TRY(check_shape(tensor, wanted, error));
    part->used[tensor - part->tensors.tensors] = true;
    return pith_safetensor_read_f32(tensor, out_values, error);
  }
  return pith_fail(error, PITH_FORMAT, "model.safetensors: tensor '%s' is missing", wanted->name);
}

pith_weight_source pith_checkpoint_get_source(pith_checkpoint *checkpoint) {
  return (pith_weight_source){read_parameter, checkpoint, NULL};
}

static bool is_listed(const pith_architecture *row, const char *name) {
  size_t bytes = strlen(row->prefix);
  if (strncmp(name, row->prefix, bytes) == 0)
    name += bytes;
  for (size_t i = 0; row->unused[i] != NULL; i++)
    if (fnmatch(row->unused[i], name, 0) == 0)
      return true;
  return false;
}

pith_status pith_checkpoint_check_leftovers(const pith_checkpoint *checkpoint, pith_error *error) {
  for (size_t i = 0; i < checkpoint->part_count; i++) {
    const pith_checkpoint_part *part = &checkpoint->parts[i];
    for (size_t k = 0; k < part->tensors.count; k++) {
      const pith_safetensor *tensor = &part->tensors.tensors[k];
      if (!part->used[k] && !(part->prefix[0] == '\0' && is_listed(checkpoint->row, tensor->name)))
        return pith_fail(error, PITH_FORMAT,
                         "%s: tensor '%s' has no place in a %s model of this config", tensor->file,
                         tensor->name, checkpoint->row->model_type);
    }
  }
  return PITH_OK;
}
