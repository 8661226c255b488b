/* The operator table: one row per operator gives its name, version, inputs, outputs, attributes, meaning and
 * shape inference. The verifier, the builder, the readable form, the reference page and the executor all read it. */
#ifndef PITH_IR_OPERATOR_H
#define PITH_IR_OPERATOR_H

#include "engine/ir/graph.h"

/* Identifier, ONNX name. The order is not stored anywhere: files name operators by their names. */
#define PITH_OPERATOR_LIST(X)                                                                              \
  X(ADD, "Add")                                                                                            \
  X(SUB, "Sub")                                                                                            \
  X(MUL, "Mul")                                                                                            \
  X(DIV, "Div")                                                                                            \
  X(ERF, "Erf")                                                                                            \
  X(TANH, "Tanh")                                                                                          \
  X(SIGMOID, "Sigmoid")                                                                                    \
  X(RELU, "Relu")                                                                                          \
  X(GELU, "Gelu")                                                                                          \
  X(CAST, "Cast")                                                                                          \
  X(IDENTITY, "Identity")                                                                                  \
  X(GATHER, "Gather")                                                                                      \
  X(GEMM, "Gemm")                                                                                          \
  X(MATMUL, "MatMul")                                                                                      \
  X(SOFTMAX, "Softmax")                                                                                    \
  X(LAYER_NORMALIZATION, "LayerNormalization")                                                             \
  X(LP_NORMALIZATION, "LpNormalization")                                                                   \
  X(PACKED_ATTENTION, "PackedAttention")                                                                   \
  X(PACKED_POSITIONS, "PackedPositions")                                                                   \
  X(SEQUENCE_POOL, "SequencePool")                                                                         \
  X(QUANTIZE_LINEAR, "QuantizeLinear")                                                                     \
  X(DEQUANTIZE_LINEAR, "DequantizeLinear")                                                                 \
  X(DYNAMIC_QUANTIZE, "DynamicQuantize")
typedef enum pith_operator_id {
#define PITH_OPERATOR_ENUM(id, name) PITH_OP_##id,
  PITH_OPERATOR_LIST(PITH_OPERATOR_ENUM)
#undef PITH_OPERATOR_ENUM
      PITH_OP_COUNT
} pith_operator_id;

/* Meaning of the four that are ours (domain "pith"); the rest have ONNX's meaning at the row's version.
 *
 * PackedAttention(query f32 [tokens_q, heads * head_size], key f32 [tokens_kv, heads * head_size],
 *                 value f32 [tokens_kv, heads * value_size], q_offsets s32 [sequences + 1],
 *                 kv_offsets s32 [sequences + 1]) -> f32 [tokens_q, heads * value_size]
 *   attributes: num_heads INT (required), scale FLOAT (0: 1/sqrt(head_size)), causal INT (0),
 *               softmax_dtype DTYPE (f32; u8: each weight is rounded to 1/255 of the row's largest one)
 *   For each sequence and head softmax(scale * Q K^T) V over the sequence's own tokens.
 *
 * PackedPositions(offsets s32 [sequences + 1], ids s32 [tokens]) -> s32 [tokens]
 *   attributes: start INT (0), padding_id INT (-1)
 *   Position of a token in its sequence, plus start. With padding_id >= 0, as RoBERTa counts: tokens with that id are
 *   not counted and get start - 1.
 *
 * SequencePool(x f32 [tokens, features], offsets s32 [sequences + 1]) -> f32 [sequences, features]
 *   attributes: mode ENUM {mean, cls, max, last} (mean)
 *
 * DynamicQuantize(x f32 [tokens, features], offsets s32 [sequences + 1] optional) -> y u8|s8 [tokens, features],
 *                 scale f32 [tokens, features / block_size], zero_point [tokens, features / block_size]
 *   attributes: dtype DTYPE (u8; or s8), block_size INT (0: all features)
 *   QuantizeLinear by the range of each block of a row or, with offsets, of a sequence (ops/quantize/quantize.h).
 */
enum { PITH_POOL_MEAN, PITH_POOL_CLS, PITH_POOL_MAX, PITH_POOL_LAST };
enum { PITH_GELU_NONE, PITH_GELU_TANH }; /* Gelu's `approximate` */

typedef struct pith_port {
  const char *name;
  uint32_t dtypes; /* bit (1 << pith_dtype) for each dtype accepted */
  bool optional;
  const char *doc; /* "[tokens, features]" */
  uint32_t layouts; /* bit (1 << pith_layout) for each layout of data accepted besides row_major */
  uint32_t packs;   /* sequence offsets: 1 + the input whose rows they divide; 0: not offsets. Offsets are a graph
                       input, and all rows that one of them divides are one symbol, so that a run can check that the
                       last offset is the number of rows. */
} pith_port;

typedef struct pith_attribute_row {
  const char *name;
  pith_attribute_type type;
  bool required;
  int64_t default_int;     /* INT, ENUM, DTYPE */
  double default_float;    /* FLOAT */
  int64_t min_int, max_int; /* INT: the range accepted, where min_int < max_int */
  const char *const *names; /* ENUM: NULL-terminated */
  const char *doc;
} pith_attribute_row;

enum { PITH_MAX_PORTS = 10, PITH_MAX_ATTRIBUTES = 8 };

/* What inference sees of one node, and fills in: the outputs' dtypes and shapes. */
typedef struct pith_inference {
  pith_graph *graph; /* for new dimension terms */
  const pith_node *node;
  const pith_tensor *inputs[PITH_MAX_PORTS]; /* NULL where absent */
  struct {
    pith_dtype dtype;
    uint32_t rank;
    pith_dim dims[PITH_MAX_RANK];
  } outputs[PITH_MAX_PORTS];
} pith_inference;

/* Rows that are not of the table (training's: train/operators.h) have ids from PITH_OP_COUNT on: builder and verifier take
 * them like any other, lowering asks pith_lower_options.extension, and no file holds them. */
typedef struct pith_operator {
  pith_operator_id id;
  const char *name;
  const char *domain; /* "" is ONNX's own; "pith" */
  int version;        /* ONNX opset version whose meaning it has */
  const char *doc;    /* one paragraph, for the reference page */
  pith_port inputs[PITH_MAX_PORTS + 1]; /* ends with a NULL name */
  pith_port outputs[PITH_MAX_PORTS + 1];
  pith_attribute_row attributes[PITH_MAX_ATTRIBUTES + 1];
  /* Dtype membership, port counts and attribute ranges were checked before; this checks what relates them. */
  pith_status (*infer)(pith_inference *inference, pith_error *error);
} pith_operator;

const pith_operator *pith_operator_get(pith_operator_id id);
const pith_operator *pith_operator_find(const char *domain, const char *name); /* NULL: none */

/* The reference page, docs/operators.md, from the table. */
void pith_operators_print_markdown(const pith_text_sink *sink);
/* These rows' part of such a page: a list, then each. */
void pith_operators_print_rows(const pith_operator *const *rows, size_t count, const pith_text_sink *sink);

#endif
