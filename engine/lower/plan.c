/* Memory: every buffer and every step's scratch gets a place in one block, for as long as it lives.
 *
 * One after the other, each into the smallest gap that holds it among those that live at the same time; in several orders, of which
 * the one with the smallest block is kept. An output takes the place of an input that dies there, where the kernel allows it. Outputs
 * whose memory is given take none. */
#include "engine/lower/lower_internal.h"

typedef struct item {
  size_t bytes, offset;
  uint32_t first, last;
  uint32_t owner; /* value, or value_count + step for scratch */
} item;

static bool is_output(const pith_program *program, pith_value_id id) {
  for (uint32_t i = 0; i < program->output_count; i++)
    if (program->outputs[i] == id)
      return true;
  return false;
}

/* The input whose bytes output 0 takes, or PITH_NONE. */
static pith_value_id find_in_place(const pith_program *program, uint32_t index) {
  const pith_step *step = &program->steps[index];
  pith_value_id y = step->outputs[0];
  if (y == PITH_NONE || program->values[y].given)
    return PITH_NONE;
  for (uint32_t j = 0; j < step->input_count; j++) {
    pith_value_id x = step->inputs[j];
    if ((step->row->in_place >> j & 1) == 0 || x == PITH_NONE)
      continue;
    const pith_value *value = &program->values[x];
    if (value->kind != PITH_VALUE_BUFFER || value->last_user != index || is_output(program, x) ||
        value->dtype != program->values[y].dtype || value->layout != program->values[y].layout ||
        !pith_value_same_shape(program, x, y))
      continue;
    bool safe = true; /* every operand that is x may be overwritten */
    for (uint32_t other = 0; other < step->input_count; other++)
      safe &= step->inputs[other] != x || (step->row->in_place >> other & 1) != 0;
    if (safe)
      return x;
  }
  return PITH_NONE;
}

static void assign_lives(pith_program *program) {
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    pith_value_id x = find_in_place(program, i);
    for (uint32_t j = 0; j < step->output_count; j++) {
      if (step->outputs[j] == PITH_NONE)
        continue;
      pith_value *value = &program->values[step->outputs[j]];
      value->root = j == 0 && x != PITH_NONE ? program->values[x].root : step->outputs[j];
      value->first = i;
      value->last = is_output(program, step->outputs[j]) ? program->step_count
                    : value->last_user == PITH_NONE      ? i
                                                         : value->last_user;
      if (program->values[value->root].last < value->last)
        program->values[value->root].last = value->last;
    }
  }
}

/* Orders of placing. Each is total, so that equal graphs get equal plans. */
typedef enum order { LARGEST_FIRST, LONGEST_FIRST, EARLIEST_FIRST, ORDER_COUNT } order;

static bool before(order by, const item *a, const item *b) {
  if (by == LONGEST_FIRST && a->last - a->first != b->last - b->first)
    return a->last - a->first > b->last - b->first;
  if (by == EARLIEST_FIRST && a->first != b->first)
    return a->first < b->first;
  if (a->bytes != b->bytes)
    return a->bytes > b->bytes;
  return a->first != b->first ? a->first < b->first : a->owner < b->owner;
}

/* Heapsort; the C library's may allocate. */
static void sift(order by, item *items, size_t root, size_t count) {
  for (size_t child; (child = 2 * root + 1) < count; root = child) {
    if (child + 1 < count && before(by, &items[child], &items[child + 1]))
      child++;
    if (!before(by, &items[root], &items[child]))
      return;
    item swapped = items[root];
    items[root] = items[child];
    items[child] = swapped;
  }
}
static void sort(order by, item *items, size_t count) {
  for (size_t i = count / 2; i-- > 0;)
    sift(by, items, i, count);
  for (size_t end = count; end-- > 1;) {
    item swapped = items[0];
    items[0] = items[end];
    items[end] = swapped;
    sift(by, items, 0, end);
  }
}

/* `placed` [count] ascends by offset; the item goes into it. */
static void place(item *placed, size_t count, item fresh) {
  size_t best = 0, best_bytes = SIZE_MAX, end = 0;
  for (size_t i = 0; i < count; i++) {
    if (placed[i].last < fresh.first || fresh.last < placed[i].first)
      continue;
    if (placed[i].offset >= end && placed[i].offset - end >= fresh.bytes && placed[i].offset - end < best_bytes) {
      best = end;
      best_bytes = placed[i].offset - end;
    }
    if (placed[i].offset + placed[i].bytes > end)
      end = placed[i].offset + placed[i].bytes;
  }
  fresh.offset = best_bytes == SIZE_MAX ? end : best;
  size_t at = count;
  for (; at > 0 && placed[at - 1].offset > fresh.offset; at--)
    placed[at] = placed[at - 1];
  placed[at] = fresh;
}

static void keep(pith_program *program, const item *placed, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (placed[i].owner < program->value_count)
      program->values[placed[i].owner].offset = placed[i].offset;
    else
      program->steps[placed[i].owner - program->value_count].scratch_offset = placed[i].offset;
  }
}

/* The views of a run at the limits, without data. */
static pith_status measure(const pith_program *program, pith_view *views, pith_error *error) {
  for (uint32_t v = 0; v < program->value_count; v++)
    PITH_TRY(pith_value_measure(&program->values[v], program->symbol_limits, &views[v], error));
  for (uint32_t i = 0; i < program->check_count; i++) {
    const pith_check *check = &program->checks[i];
    if (check->kind != PITH_CHECK_OFFSETS)
      continue;
    size_t *longest = &views[check->value].longest, rows = views[check->of].rows;
    if (*longest < rows)
      *longest = rows;
    if (program->max_sequence != 0 && *longest > program->max_sequence)
      *longest = program->max_sequence;
  }
  return PITH_OK;
}

static pith_status plan(pith_program *program, const pith_lower_options *options, pith_arena *temporary,
                        pith_error *error) {
  pith_view *views = PITH_ARENA_NEW(temporary, pith_view, program->value_count);
  item *items = PITH_ARENA_NEW(temporary, item, program->value_count + program->step_count);
  item *placed = PITH_ARENA_NEW(temporary, item, program->value_count + program->step_count);
  size_t largest_args = 64, count = 0, total;
  for (uint32_t i = 0; i < program->step_count; i++)
    if (program->steps[i].row->args_bytes > largest_args)
      largest_args = program->steps[i].row->args_bytes;
  void *args = pith_arena_array(temporary, largest_args, 1);
  if (views == NULL || items == NULL || placed == NULL || args == NULL)
    return pith_lower_no_memory(error);
  PITH_TRY(measure(program, views, error));
  for (uint32_t i = 0; options->outputs_given != NULL && i < program->output_count; i++)
    program->values[program->outputs[i]].given |= options->outputs_given[i];
  assign_lives(program);
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    for (uint32_t j = 0; j < step->output_count; j++) {
      pith_value_id id = step->outputs[j];
      if (id == PITH_NONE)
        continue;
      pith_value *value = &program->values[id];
      PITH_TRY(pith_value_get_bytes(value, &views[id], &value->bytes, error));
      if (value->root == id && !value->given)
        items[count++] = (item){pith_align64(value->bytes), 0, value->first, value->last, id};
    }
    step->row->bind(program, step, views, args);
    step->scratch_bytes =
        step->kernel->get_scratch_bytes == NULL ? 0 : pith_align64(step->kernel->get_scratch_bytes(args));
    if (!pith_size_multiply(step->scratch_bytes, program->threads, &total))
      return pith_fail(error, PITH_LIMIT, "step '%s': its scratch overflows", step->name);
    if (total != 0)
      items[count++] = (item){total, 0, i, i, program->value_count + i};
  }
  program->buffer_bytes = SIZE_MAX;
  for (order by = 0; by < ORDER_COUNT; by++) {
    size_t bytes = 0;
    sort(by, items, count);
    for (size_t i = 0; i < count; i++)
      place(placed, i, items[i]);
    for (size_t i = 0; i < count; i++) {
      if (!pith_size_add(placed[i].offset, placed[i].bytes, &total) || total > SIZE_MAX / 2)
        return pith_fail(error, PITH_LIMIT, "the buffers of one run overflow");
      if (bytes < total)
        bytes = total;
    }
    if (bytes < program->buffer_bytes) {
      program->buffer_bytes = bytes;
      keep(program, placed, count);
    }
  }
  for (uint32_t v = 0; v < program->value_count; v++)
    program->values[v].offset = program->values[program->values[v].root].offset;
  program->memory_bytes = program->buffer_bytes;
  for (uint32_t i = 0; i < program->pack_count; i++) {
    program->packs[i].offset = program->memory_bytes;
    program->memory_bytes += pith_align64(program->packs[i].bytes);
  }
  return PITH_OK;
}

pith_status pith_pass_plan(pith_program *program, const pith_lower_options *options, pith_error *error) {
  pith_arena temporary;
  if (options->without_memory)
    return PITH_OK;
  pith_arena_init(&temporary, options->allocator);
  pith_status status = plan(program, options, &temporary, error);
  pith_arena_deinit(&temporary);
  return status;
}
