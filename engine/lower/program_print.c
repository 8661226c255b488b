#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "engine/lower/program.h"

/* Cut at 1 KiB. */
__attribute__((format(printf, 2, 3))) static void write_format(const pith_text_sink *sink, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  if (length > 0)
    sink->write(sink->context, text, (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}

static void print_value(const pith_program *program, pith_value_id id, const pith_text_sink *sink) {
  const pith_value *value = &program->values[id];
  write_format(sink, "%s", value->name);
  if (value->kind == PITH_VALUE_BUFFER)
    write_format(sink, "@%zu", value->offset);
  else if (value->pack != PITH_NONE)
    write_format(sink, "@packed%u", (unsigned)value->pack);
}

void pith_program_print(const pith_program *program, const pith_text_sink *sink) {
  for (uint32_t i = 0; i < program->step_count; i++) {
    const pith_step *step = &program->steps[i];
    write_format(sink, "%3u %s (%s, %s):", (unsigned)i, step->title, step->name, step->kernel->name);
    for (uint32_t j = 0; j < step->input_count; j++)
      if (step->inputs[j] != PITH_NONE) {
        write_format(sink, " ");
        print_value(program, step->inputs[j], sink);
      }
    write_format(sink, " ->");
    for (uint32_t j = 0; j < step->output_count; j++)
      if (step->outputs[j] != PITH_NONE) {
        write_format(sink, " ");
        print_value(program, step->outputs[j], sink);
      }
    if (step->scratch_bytes != 0)
      write_format(sink, " scratch %zu@%zu", step->scratch_bytes, step->scratch_offset);
    write_format(sink, "\n");
  }
  for (uint32_t i = 0; i < program->note_count; i++)
    write_format(sink, "not merged: %s: %s\n", program->notes[i].step, program->notes[i].reason);
  write_format(sink, "%u steps, %zu bytes of buffers and scratch, %zu of packed weights\n",
               (unsigned)program->step_count, program->buffer_bytes, program->memory_bytes - program->buffer_bytes);
}
