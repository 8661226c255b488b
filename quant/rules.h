/* Which operands of which operators are quantized, and how: the one table. */
#ifndef PITH_QUANT_RULES_H
#define PITH_QUANT_RULES_H

#include "compiler/rewrite/rewriter.h"
#include "quant/options.h"

typedef enum pith_operand_form {
  PITH_OPERAND_FLOAT,  /* stays as it is */
  PITH_OPERAND_ROWS,   /* activation, u8 with a zero point: per tensor (static), per token (dynamic) */
  PITH_OPERAND_QUERY,  /* the same; dynamic: per token and head */
  PITH_OPERAND_KEY,    /* activation, s8: per tensor, or per token and head */
  PITH_OPERAND_VALUES, /* activation, s8: per tensor, or per sequence and head */
  PITH_OPERAND_WEIGHT, /* data [outputs, inputs], s8 per output, in the stored blocks of the INT8 products */
  PITH_OPERAND_TABLE,  /* data [rows, features], s8 per row, row-major */
} pith_operand_form;

/* What rules look at, made once for a graph. */
typedef struct pith_quant_view {
  const pith_graph *graph;
  const pith_quant_options *options;
  pith_readers readers;
  const bool *reaches_norm; /* [tensor_count] a LayerNormalization or PackedAttention comes after */
  const pith_dim *tokens;   /* rows of a packed activation; NULL: no operator knows sequences */
} pith_quant_view;

typedef struct pith_quant_rule {
  int op; /* pith_operator_id */
  pith_operand_form operands[3];
  /* Whether this node is quantized at all. */
  bool (*applies)(const pith_quant_view *view, const pith_node *node);
  const char *doc;
} pith_quant_rule;

extern const pith_quant_rule pith_quant_rules[]; /* ends with a NULL doc */

PITH_WARN_UNUSED pith_status pith_quant_view_init(pith_quant_view *view, const pith_graph *graph,
                                                  const pith_quant_options *options, pith_arena *arena,
                                                  pith_error *error);
/* The rule that quantizes a node; NULL: it stays in float. */
const pith_quant_rule *pith_quant_rule_find(const pith_quant_view *view, const pith_node *node);
/* Every pattern of keep_float matches some node that a rule would quantize; else PITH_INVALID_ARGUMENT names it. */
PITH_WARN_UNUSED pith_status pith_quant_check_patterns(const pith_quant_view *view, pith_error *error);
/* Static: needs a range. */
static inline bool pith_operand_is_activation(pith_operand_form form) {
  return form >= PITH_OPERAND_ROWS && form <= PITH_OPERAND_VALUES;
}

#endif
