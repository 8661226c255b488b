#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/ir/ir_internal.h"

void pith_text_add(pith_text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text->buffer + text->used, text->capacity - text->used, format, arguments);
  va_end(arguments);
  if (length > 0) {
    size_t room = text->capacity - text->used - 1;
    text->used += (size_t)length < room ? (size_t)length : room;
  }
}

void pith_text_add_dim(pith_text *text, const pith_graph *graph, const pith_dim *dim) {
  for (uint32_t i = 0; i < dim->term_count; i++) {
    long long coefficient = dim->terms[i].coefficient;
    if (i != 0 || coefficient < 0)
      pith_text_add(text, i == 0 ? "-" : coefficient < 0 ? " - " : " + ");
    if (coefficient != 1 && coefficient != -1)
      pith_text_add(text, "%lld*", coefficient < 0 ? -coefficient : coefficient);
    pith_text_add(text, "%s", graph->symbols[dim->terms[i].symbol]);
  }
  if (dim->term_count == 0)
    pith_text_add(text, "%lld", (long long)dim->constant);
  else if (dim->constant != 0)
    pith_text_add(text, " %c %lld", dim->constant < 0 ? '-' : '+',
                  dim->constant < 0 ? -(long long)dim->constant : (long long)dim->constant);
}

void pith_text_add_shape(pith_text *text, const pith_graph *graph, uint32_t rank,
                         const pith_dim *dims) {
  pith_text_add(text, "[");
  for (uint32_t i = 0; i < rank; i++) {
    if (i != 0)
      pith_text_add(text, ", ");
    pith_text_add_dim(text, graph, &dims[i]);
  }
  pith_text_add(text, "]");
}

void pith_text_add_double(pith_text *text, double value) {
  char digits[40];
  for (int precision = 1; precision <= 17; precision++) {
    snprintf(digits, sizeof digits, "%.*g", precision, value);
    if (strtod(digits, NULL) == value || !isfinite(value))
      break;
  }
  for (char *c = digits; *c != '\0'; c++)
    if (strchr("+-0123456789einfa", *c) == NULL)
      *c = '.';
  pith_text_add(text, "%s", digits);
}

void pith_text_add_attribute(pith_text *text, const pith_attribute_row *row,
                             const pith_attribute *value) {
  switch (value->type) {
  case PITH_ATTRIBUTE_INT:
    pith_text_add(text, "%lld", (long long)value->i);
    break;
  case PITH_ATTRIBUTE_FLOAT:
    pith_text_add_double(text, value->f);
    break;
  case PITH_ATTRIBUTE_INTS:
    pith_text_add(text, "[");
    for (uint32_t i = 0; i < value->ints.count; i++)
      pith_text_add(text, i == 0 ? "%lld" : ", %lld", (long long)value->ints.values[i]);
    pith_text_add(text, "]");
    break;
  case PITH_ATTRIBUTE_ENUM:
    pith_text_add(text, "%s", row->names[value->i]);
    break;
  case PITH_ATTRIBUTE_DTYPE:
    pith_text_add(text, "%s", pith_dtype_get_info((pith_dtype)value->i)->name);
    break;
  }
}

void pith_text_add_dtypes(pith_text *text, uint32_t dtypes) {
  bool first = true;
  for (int i = 0; i < PITH_DTYPE_COUNT; i++)
    if ((dtypes >> i & 1) != 0) {
      pith_text_add(text, first ? "%s" : ", %s", pith_dtype_get_info((pith_dtype)i)->name);
      first = false;
    }
}

void pith_sink_string(const pith_text_sink *sink, const char *text) {
  sink->write(sink->context, text, strlen(text));
}

void pith_sink_format(const pith_text_sink *sink, const char *format, ...) {
  char buffer[1024];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  if (length > 0)
    sink->write(sink->context, buffer,
                (size_t)length < sizeof buffer ? (size_t)length : sizeof buffer - 1);
}
