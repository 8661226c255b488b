/* What the files of engine/ir share with each other only. */
#ifndef PITH_IR_IR_INTERNAL_H
#define PITH_IR_IR_INTERNAL_H

#include "engine/ir/inference.h"

/* ---- text
 * --------------------------------------------------------------------------------------------- */

/* Text that is cut where its buffer ends, always zero-terminated. */
typedef struct pith_text {
  char *buffer;
  size_t capacity, used;
} pith_text;
static inline pith_text pith_text_of(char *buffer, size_t capacity) {
  buffer[0] = '\0';
  return (pith_text){buffer, capacity, 0};
}
__attribute__((format(printf, 2, 3))) void pith_text_add(pith_text *text, const char *format, ...);
/* "2*tokens + 1"; the dimension is well-formed. */
void pith_text_add_dim(pith_text *text, const pith_graph *graph, const pith_dim *dim);
/* "[tokens, 384]" */
void pith_text_add_shape(pith_text *text, const pith_graph *graph, uint32_t rank,
                         const pith_dim *dims);
/* Shortest digits that read back as the same double, '.' in every locale. */
void pith_text_add_double(pith_text *text, double value);
/* The value of one attribute: "1", "tanh", "f32". */
void pith_text_add_attribute(pith_text *text, const pith_attribute_row *row,
                             const pith_attribute *value);
/* "transB=1, alpha=0.5": those that have not their default value; false where there are none. */
bool pith_text_add_attributes(pith_text *text, const pith_node *node);
/* "f32, s32" */
void pith_text_add_dtypes(pith_text *text, uint32_t dtypes);

void pith_sink_string(const pith_text_sink *sink, const char *text);
/* One piece of at most 1 KiB; longer names go through pith_sink_string. */
__attribute__((format(printf, 2, 3))) void pith_sink_format(const pith_text_sink *sink,
                                                            const char *format, ...);

/* ---- operators
 * ---------------------------------------------------------------------------------------- */

#define PITH_OPERATOR_DECLARE(id, name) extern const pith_operator pith_operator_##id;
PITH_OPERATOR_LIST(PITH_OPERATOR_DECLARE)
#undef PITH_OPERATOR_DECLARE

/* Of the table, or with an id behind it. */
bool pith_operator_is_row(const pith_operator *op);
uint32_t pith_operator_count_attributes(const pith_operator *op);
uint32_t pith_port_count(const pith_port *ports);
/* The value a node has where nothing sets the attribute. */
pith_attribute pith_attribute_default(const pith_attribute_row *row);

/* Checks one node by itself against its operator's row (operator, port counts, ids, dtypes,
 * layouts, attributes), then infers its outputs into *out_inference. Input tensors must have been
 * checked. New terms go to graph->arena. */
PITH_WARN_UNUSED pith_status pith_node_infer(pith_graph *graph, const pith_node *node,
                                             pith_inference *out_inference, pith_error *error);

/* Dimensions of an input or output: counts, terms, ranges; `what` and `name` go into the message.
 */
PITH_WARN_UNUSED pith_status pith_shape_check(const pith_graph *graph, const char *what,
                                              const char *name, uint32_t rank, const pith_dim *dims,
                                              pith_error *error);

#endif
