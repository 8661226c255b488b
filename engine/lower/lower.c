#include "engine/lower/lower_internal.h"

const pith_pass pith_passes[] = {
    {"translate", "each node of the graph becomes steps", pith_pass_translate},
    {"normalize", "different spellings become one form", pith_pass_normalize},
    {"fold", "steps over data only run now", pith_pass_fold},
    {"dead", "steps that nothing reads go", pith_pass_dead},
    {"fuse", "steps merge where a kernel does both", pith_pass_fuse},
    {"notes", "what quantizes or dequantizes by itself is named, with the reason", pith_pass_notes},
    {"outputs", "an output that is an input, or whose memory is given, is a copy where it has to be", pith_pass_outputs},
    {"sparse", "products whose weights are stored in blocks of zeros become sparse ones", pith_pass_sparse},
    {"layouts", "every activation gets a layout at least cost, and Reorder steps where two have to meet", pith_pass_layouts},
    {"kernels", "each step gets the best kernel that this CPU runs", pith_pass_kernels},
    {"copies", "weights are read from packed copies that the file has for this CPU", pith_pass_copies},
    {"pack", "weights that the kernel cannot read in place are to be packed", pith_pass_pack},
    {"plan", "buffers, scratch and packed weights get their places in one block", pith_pass_plan},
    {NULL, NULL, NULL},
};

pith_status pith_program_create(const pith_graph *graph, const pith_lower_options *options,
                                pith_program **out_program, pith_error *error) {
  pith_arena arena;
  pith_arena_init(&arena, options->allocator);
  pith_program *program = PITH_ARENA_NEW(&arena, pith_program, 1);
  if (program == NULL)
    return pith_lower_no_memory(error);
  program->arena = arena;
  program->graph = graph;
  program->cpu = options->cpu;
  program->threads = options->threads == 0 ? 1 : options->threads;
  program->max_sequence = options->max_sequence;
  program->input_count = graph->input_count;
  program->output_count = graph->output_count;
  program->value_capacity = graph->tensor_count;
  program->step_capacity = graph->node_count;
  program->values = PITH_ARENA_NEW(&program->arena, pith_value, program->value_capacity);
  program->steps = PITH_ARENA_NEW(&program->arena, pith_step, program->step_capacity);
  program->inputs = PITH_ARENA_NEW(&program->arena, pith_value_id, program->input_count);
  program->outputs = PITH_ARENA_NEW(&program->arena, pith_value_id, program->output_count);
  int64_t *limits = PITH_ARENA_NEW(&program->arena, int64_t, graph->symbol_count);
  pith_status status = PITH_OK;
  if (program->values == NULL || program->steps == NULL || program->inputs == NULL || program->outputs == NULL ||
      limits == NULL)
    status = pith_lower_no_memory(error);
  if (status == PITH_OK && graph->symbol_count != 0)
    memcpy(limits, options->symbol_limits, graph->symbol_count * sizeof *limits);
  program->symbol_limits = limits;
  /* Passes round numbers too: attributes to f32, the scale of attention. */
  uint32_t saved = pith_cpu_enter_float();
  for (const pith_pass *pass = pith_passes; status == PITH_OK && pass->name != NULL; pass++)
    status = pass->run(program, options, error);
  pith_cpu_leave_float(saved);
  if (status != PITH_OK) {
    pith_program_destroy(program);
    return status;
  }
  *out_program = program;
  return PITH_OK;
}

void pith_program_destroy(pith_program *program) {
  if (program == NULL)
    return;
  pith_arena arena = program->arena; /* the program lies in it */
  pith_arena_deinit(&arena);
}

/* ---- small passes ------------------------------------------------------------------------------------------ */

pith_status pith_pass_dead(pith_program *program, const pith_lower_options *options, pith_error *error) {
  (void)options;
  (void)error;
  pith_program_index(program);
  for (uint32_t i = program->step_count; i-- > 0;) {
    pith_step *step = &program->steps[i];
    bool used = false;
    for (uint32_t j = 0; j < step->output_count; j++)
      used |= step->outputs[j] != PITH_NONE && program->values[step->outputs[j]].use_count != 0;
    if (used)
      continue;
    for (uint32_t j = 0; j < step->input_count; j++)
      if (step->inputs[j] != PITH_NONE)
        program->values[step->inputs[j]].use_count--;
    step->row = NULL;
  }
  pith_program_index(program);
  return PITH_OK;
}

static bool is_earlier_output(const pith_program *program, uint32_t index) {
  for (uint32_t i = 0; i < index; i++)
    if (program->outputs[i] == program->outputs[index])
      return true;
  return false;
}

/* Outputs live in the session until its next run, inputs only during one; and what is written into the caller's memory has to
 * be written by a step, there only. */
pith_status pith_pass_outputs(pith_program *program, const pith_lower_options *options, pith_error *error) {
  for (uint32_t i = 0; i < program->output_count; i++) {
    bool given = options->outputs_given != NULL && options->outputs_given[i];
    pith_value_id id = program->outputs[i], copy_id;
    const pith_value source = program->values[id];
    if (source.kind == PITH_VALUE_DATA && source.data_layout != PITH_LAYOUT_ROW_MAJOR)
      return pith_fail(error, PITH_UNSUPPORTED, "output '%s' is a weight in layout %s", source.name,
                       pith_layout_get_name(source.data_layout));
    if (source.kind != PITH_VALUE_INPUT && !(given && (source.kind == PITH_VALUE_DATA || is_earlier_output(program, i))))
      continue;
    pith_value *copy = pith_program_add_value(program, &copy_id);
    pith_step *step = copy == NULL ? NULL : pith_program_add_step(program, PITH_STEP_CAST, source.name);
    if (step == NULL)
      return pith_lower_no_memory(error);
    copy->name = source.name;
    copy->kind = PITH_VALUE_BUFFER;
    copy->dtype = source.dtype;
    copy->rank = source.rank;
    copy->dims = source.dims;
    step->input_count = 1;
    step->inputs[0] = id;
    step->outputs[0] = copy_id;
    program->outputs[i] = copy_id;
  }
  pith_program_index(program);
  return PITH_OK;
}

static bool accepts(char code, pith_dtype dtype) {
  switch (code) {
  case 'f':
    return dtype == PITH_DTYPE_F32;
  case 'i':
    return dtype == PITH_DTYPE_S32;
  case 'n':
    return dtype == PITH_DTYPE_S32 || dtype == PITH_DTYPE_S64;
  case 'q':
    return dtype == PITH_DTYPE_U8 || dtype == PITH_DTYPE_S8;
  case 'u':
    return dtype == PITH_DTYPE_U8;
  case 'b':
    return dtype == PITH_DTYPE_S8;
  case 't':
    return dtype == PITH_DTYPE_F32 || dtype == PITH_DTYPE_S8;
  default:
    return true;
  }
}

const char *pith_step_code_next(const char *code) {
  if (code[1] == ')') {
    while (*code != '(')
      code--;
  } else if (code[1] == '>' || code[1] == '\0') {
    return code;
  }
  code++;
  return *code == '(' ? code + 1 : code;
}

static pith_status check_dtypes(const pith_program *program, const pith_step *step, pith_error *error) {
  const char *code = step->row->dtypes;
  for (uint32_t side = 0; side < 2; side++) {
    uint32_t count = side == 0 ? step->input_count : step->output_count;
    const pith_value_id *ids = side == 0 ? step->inputs : step->outputs;
    code += *code == '(';
    for (uint32_t j = 0; j < count; j++, code = pith_step_code_next(code)) {
      if (ids[j] != PITH_NONE && !accepts(*code, program->values[ids[j]].dtype))
        return pith_fail(error, PITH_UNSUPPORTED, "step '%s': no kernel of %s for %s, which is %s", step->name,
                         step->row->name, program->values[ids[j]].name,
                         pith_dtype_get_info(program->values[ids[j]].dtype)->name);
    }
    code = strchr(step->row->dtypes, '>') + 1;
  }
  return PITH_OK;
}

pith_status pith_pass_kernels(pith_program *program, const pith_lower_options *options, pith_error *error) {
  (void)options;
  program->args_bytes = 0;
  for (uint32_t i = 0; i < program->step_count; i++) {
    pith_step *step = &program->steps[i];
    PITH_TRY(check_dtypes(program, step, error));
    if (step->row->kernels == NULL)
      return pith_fail(error, PITH_UNSUPPORTED, "step '%s': there is no kernel of %s", step->name, step->row->name);
    step->kernel = pith_kernel_select(step->row->kernels, program->cpu);
    step->title = step->row->make_title == NULL ? step->row->name : step->row->make_title(&program->arena, step);
    if (step->title == NULL)
      return pith_lower_no_memory(error);
    step->args_offset = program->args_bytes;
    program->args_bytes += pith_align64(step->row->args_bytes);
  }
  return PITH_OK;
}
