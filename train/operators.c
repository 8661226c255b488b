#include "train/operators.h"

static const pith_operator *const rows[PITH_TRAINING_OP_COUNT] = {
#define ROW(id, name) [PITH_OP_##id - PITH_OP_COUNT] = &pith_operator_##id,
    PITH_TRAINING_OPERATOR_LIST(ROW)
#undef ROW
};

const pith_operator *pith_training_operator_get(int id) {
  if (id < PITH_OP_COUNT)
    return pith_operator_get((pith_operator_id)id);
  return id < PITH_TRAINING_OP_END ? rows[id - PITH_OP_COUNT] : NULL;
}

void pith_training_operators_print_markdown(const pith_text_sink *sink) {
  static const char text[] =
      "\n# Operators of training\n\n"
      "What `pith train` adds to a model's graph: no file holds them. Those whose names end in Grad give the gradient of a loss by an\n"
      "operator's inputs from dY, its gradient by the operator's output; they have no gradient themselves.\n\n";
  sink->write(sink->context, text, sizeof text - 1);
  pith_operators_print_rows(rows, PITH_TRAINING_OP_COUNT, sink);
}
