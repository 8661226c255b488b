/* The graph: the one intermediate representation that everything in Pith builds, rewrites, runs and stores.
 *
 * A graph is a flat list of nodes in topological order over typed tensors. Nodes apply operators of one table
 * (operator.h) with ONNX names and meanings; a dimension is an integer or an affine expression of named symbols
 * ("tokens", "sequences + 1"). Activations are [tokens, features]: sequences lie one after the other, never
 * padded, and only the operators that take `offsets` know where one ends.
 *
 *     graph ── tensors[]   name, dtype, dims, kind; data where it is a constant or a parameter
 *           ── nodes[]     operator, inputs[], outputs[] (tensor ids), attributes[] in the operator's order
 *           ── inputs[], outputs[]   (tensor ids)
 *
 * Everything lives in the graph's arena. Data of constants and parameters is borrowed (a mapped file, an
 * importer's buffer) and must outlive the graph. Not thread-safe while it is being changed; a finished graph may be
 * read by any number of threads.
 */
#ifndef PITH_IR_GRAPH_H
#define PITH_IR_GRAPH_H

#include <stdint.h>

#include "engine/base/arena.h"
#include "engine/base/error.h"
#include "engine/ir/pattern.h"
#include "ops/sparse_gemm/sparse_weights.h"

/* ---- dtypes: one row each ---------------------------------------------------------------------------- */

/* name, bits, is a float, is signed */
#define PITH_DTYPE_LIST(X)                                                                                 \
  X(F64, "f64", 64, 1, 1)                                                                                  \
  X(F32, "f32", 32, 1, 1)                                                                                  \
  X(F16, "f16", 16, 1, 1)                                                                                  \
  X(BF16, "bf16", 16, 1, 1)                                                                                \
  X(S64, "s64", 64, 0, 1)                                                                                  \
  X(S32, "s32", 32, 0, 1)                                                                                  \
  X(S8, "s8", 8, 0, 1)                                                                                     \
  X(U8, "u8", 8, 0, 0)                                                                                     \
  X(BOOL, "bool", 8, 0, 0)
typedef enum pith_dtype {
#define PITH_DTYPE_ENUM(name, text, bits, is_float, is_signed) PITH_DTYPE_##name,
  PITH_DTYPE_LIST(PITH_DTYPE_ENUM)
#undef PITH_DTYPE_ENUM
      PITH_DTYPE_COUNT
} pith_dtype;

typedef struct pith_dtype_info {
  const char *name;
  unsigned bits;
  bool is_float, is_signed;
} pith_dtype_info;
/* NULL for a value outside the table. */
const pith_dtype_info *pith_dtype_get_info(pith_dtype dtype);
/* PITH_DTYPE_COUNT where no dtype has that name. */
pith_dtype pith_dtype_find(const char *name);

/* ---- dimensions --------------------------------------------------------------------------------------- */

typedef uint32_t pith_symbol_id; /* index into graph->symbols */
typedef struct pith_dim_term {
  pith_symbol_id symbol;
  int64_t coefficient; /* at least 1, so that a size never shrinks where its symbols grow */
} pith_dim_term;
/* constant + sum of coefficient * symbol; terms ascend by symbol. */
typedef struct pith_dim {
  int64_t constant;
  uint32_t term_count;
  const pith_dim_term *terms; /* [term_count], in the graph's arena */
} pith_dim;

/* Bounds that the verifier sets on every graph, so that a file cannot make sizes overflow or work explode. */
enum {
  PITH_MAX_RANK = 8,
  PITH_MAX_DIM = INT32_MAX, /* one constant dimension; also coefficients and constants of symbolic ones */
  PITH_MAX_DIM_TERMS = 16,
  PITH_MAX_NAME_BYTES = 255,
  PITH_MAX_SYMBOLS = 1024,
  PITH_MAX_TENSORS = 1 << 20,
  PITH_MAX_NODES = 1 << 13, /* passes compare pairs of them in the worst case */
  PITH_MAX_COPIES = 16, /* of one tensor, and targets of one copy */
};
#define PITH_MAX_TENSOR_BYTES (UINT64_C(1) << 44) /* one tensor, over its constant dimensions */

static inline pith_dim pith_dim_of(int64_t value) {
  pith_dim dim = {value, 0, NULL}; /* also C++: reader.cc includes this */
  return dim;
}
static inline bool pith_dim_is_constant(const pith_dim *dim) {
  return dim->term_count == 0;
}
bool pith_dim_equal(const pith_dim *a, const pith_dim *b);
/* `a_factor * a + b_factor * b`, its terms in `arena`. PITH_LIMIT on overflow or over PITH_MAX_DIM_TERMS. */
PITH_WARN_UNUSED pith_status pith_dim_combine(pith_arena *arena, int64_t a_factor, const pith_dim *a,
                                              int64_t b_factor, const pith_dim *b, pith_dim *out_dim,
                                              pith_error *error);

/* ---- tensors, nodes, graph ---------------------------------------------------------------------------- */

typedef uint32_t pith_tensor_id;
typedef uint32_t pith_node_id;
#define PITH_NONE UINT32_MAX /* no tensor (an optional input that is absent), no node */

#define PITH_TENSOR_KIND_LIST(X)                                                                           \
  X(VALUE, "value")         /* written by a node */                                                        \
  X(INPUT, "input")         /* given at each run */                                                        \
  X(CONSTANT, "constant")   /* data that nothing trains */                                                 \
  X(PARAMETER, "parameter") /* named data that training may change */
typedef enum pith_tensor_kind {
#define PITH_TENSOR_KIND_ENUM(name, text) PITH_TENSOR_##name,
  PITH_TENSOR_KIND_LIST(PITH_TENSOR_KIND_ENUM)
#undef PITH_TENSOR_KIND_ENUM
} pith_tensor_kind;

/* How a constant's or parameter's bytes lie. The logical tensor is the same in each; see
 * engine/format/stored_layout.h for the exact order and its inverse. */
#define PITH_LAYOUT_LIST(X)                                                                                \
  X(ROW_MAJOR, "row_major") /* the last dimension is contiguous */                                         \
  X(N64_F32, "n64_f32")     /* f32 [N, K] as blocks of 64 outputs, [N/64][K][64]; the last block is        \
                               narrower, its width rounded up to 16, its padding 0 */                      \
  X(N16K4_S8, "n16k4_s8")   /* s8 [N, K], K at most 65536, as blocks of 16 outputs, [N/16][K/4 + 1][16][4], \
                               padding 0; a block's last 64 bytes are the 16 sums of its weights, s32 */  \
  X(B4X1_S8, "b4x1_s8")     /* s8 and f32 [N, K], K at most 65536, without the blocks, outputs x inputs,   \
                               that are all 0: ops/sparse_gemm/sparse_weights.h. Bytes depend on the data */ \
  X(B4X4_S8, "b4x4_s8")                                                                                    \
  X(B4X1_F32, "b4x1_f32")
typedef enum pith_layout {
#define PITH_LAYOUT_ENUM(name, text) PITH_LAYOUT_##name,
  PITH_LAYOUT_LIST(PITH_LAYOUT_ENUM)
#undef PITH_LAYOUT_ENUM
      PITH_LAYOUT_COUNT
} pith_layout;

const char *pith_tensor_kind_get_name(pith_tensor_kind kind); /* NULL outside the list */
const char *pith_layout_get_name(pith_layout layout);         /* NULL outside the list */
pith_layout pith_layout_find(const char *name);               /* PITH_LAYOUT_COUNT: none */
/* The form of a layout whose bytes depend on the data; PITH_SPARSE_FORM_COUNT: they depend on the shape alone. */
pith_sparse_form pith_layout_get_sparse_form(pith_layout layout);

/* The same data once more, in the layout that the kernels of some CPUs read (`pith pack`): opt-in, and never needed. */
typedef struct pith_tensor_copy {
  pith_layout layout;
  bool transposed;       /* it holds the transpose of the tensor, which has rank 2 */
  uint32_t target_count; /* at least 1 */
  const char *const *targets; /* for CPUs that have one of these features (ops/cpu), or PITH_TARGET_ANY; a name that is
                                 unknown here is no CPU's */
  const void *data;      /* borrowed, 64-byte aligned */
  uint64_t data_bytes;   /* in `layout`, padding included */
} pith_tensor_copy;
#define PITH_TARGET_ANY "any"

typedef struct pith_tensor {
  const char *name; /* unique in the graph, not empty */
  pith_tensor_kind kind;
  pith_dtype dtype;
  pith_layout layout; /* of data; ROW_MAJOR for values and inputs */
  uint32_t rank;
  pith_dim dims[PITH_MAX_RANK];
  const void *data;    /* constants and parameters: borrowed, 64-byte aligned; may be NULL while a model without
                          weights is being built or planned */
  uint64_t data_bytes; /* in `layout`, padding included */
  pith_node_id producer; /* PITH_NONE unless a value */
  uint32_t copy_count;   /* of data; 0 in every graph that was not packed after its last change */
  const pith_tensor_copy *copies; /* [copy_count], borrowed */
  pith_pattern pattern;  /* of a constant or parameter of rank 2; DENSE: none */
  uint64_t kept;         /* elements that the pattern's mask keeps; 0 for DENSE */
} pith_tensor;

/* A constant or parameter: the graph holds its data, or may. */
static inline bool pith_tensor_is_data(const pith_tensor *tensor) {
  return tensor->kind == PITH_TENSOR_CONSTANT || tensor->kind == PITH_TENSOR_PARAMETER;
}

/* Attribute values are typed; an ONNX string attribute with a fixed set of values is an ENUM, an index into the
 * row's names. */
typedef enum pith_attribute_type {
  PITH_ATTRIBUTE_INT,
  PITH_ATTRIBUTE_FLOAT,
  PITH_ATTRIBUTE_INTS,
  PITH_ATTRIBUTE_ENUM,
  PITH_ATTRIBUTE_DTYPE,
} pith_attribute_type;

typedef struct pith_attribute {
  pith_attribute_type type;
  union {
    int64_t i; /* INT, and the index of an ENUM, and a pith_dtype */
    double f;
    struct {
      uint32_t count;
      const int64_t *values;
    } ints;
  };
} pith_attribute;

struct pith_operator; /* operator.h */

typedef struct pith_node {
  const char *name; /* unique in the graph, not empty */
  const struct pith_operator *op;
  uint32_t input_count, output_count;
  pith_tensor_id *inputs; /* PITH_NONE for an absent optional input */
  pith_tensor_id *outputs;
  pith_attribute *attributes; /* one for each of op->attributes, defaults filled in */
} pith_node;

typedef struct pith_graph {
  pith_arena arena;
  const char *name;
  uint32_t symbol_count, tensor_count, node_count, input_count, output_count;
  const char **symbols;
  pith_tensor *tensors;
  pith_node *nodes; /* topological order */
  pith_tensor_id *inputs;
  pith_tensor_id *outputs;
  uint32_t symbol_capacity, tensor_capacity, node_capacity, input_capacity, output_capacity;
} pith_graph;

/* An empty graph; `name` is copied. */
PITH_WARN_UNUSED pith_status pith_graph_create(const pith_allocator *allocator, const char *name,
                                               pith_graph **out_graph, pith_error *error);
void pith_graph_destroy(pith_graph *graph); /* NULL is accepted */

/* ---- appending ----------------------------------------------------------------------------------------- */
/* For readers and rewriters. Names, dimensions, ids and attributes are copied, data stays borrowed, a tensor's packed
 * copies are left behind (what is appended is about to change), and nothing is checked: pith_graph_verify does that. `node->op` must be a row (operator.h); it has as many attributes as its row.
 * These fail only for want of memory or over PITH_MAX_*. `out_id` may be NULL. */

PITH_WARN_UNUSED pith_status pith_graph_add_symbol(pith_graph *graph, const char *name,
                                                   pith_symbol_id *out_id, pith_error *error);
PITH_WARN_UNUSED pith_status pith_graph_add_tensor(pith_graph *graph, const pith_tensor *tensor,
                                                   pith_tensor_id *out_id, pith_error *error);
PITH_WARN_UNUSED pith_status pith_graph_add_node(pith_graph *graph, const pith_node *node,
                                                 pith_node_id *out_id, pith_error *error);
PITH_WARN_UNUSED pith_status pith_graph_add_input(pith_graph *graph, pith_tensor_id tensor,
                                                  pith_error *error);
PITH_WARN_UNUSED pith_status pith_graph_add_output(pith_graph *graph, pith_tensor_id tensor,
                                                   pith_error *error);
/* Sets a constant's or parameter's bytes in its layout; borrowed, 64-byte aligned. Packed copies, pattern and
 * `kept` of others are dropped. */
void pith_graph_set_data(pith_graph *graph, pith_tensor_id tensor, const void *data, uint64_t data_bytes);

/* ---- building ----------------------------------------------------------------------------------------- */
/* A builder keeps the first failure and ignores every call after it, so that an architecture reads as the
 * formula it is: check once, in pith_builder_finish. Names are copied; NULL makes one. */

typedef struct pith_builder {
  pith_graph *graph;
  pith_status status;
  pith_error *error;
} pith_builder;

void pith_builder_init(pith_builder *builder, pith_graph *graph, pith_error *error);
/* Verifies the graph (pith_graph_verify) and returns the first failure. */
PITH_WARN_UNUSED pith_status pith_builder_finish(pith_builder *builder);
/* Records a failure found by the caller. */
__attribute__((format(printf, 3, 4))) void pith_builder_fail(pith_builder *builder, pith_status status,
                                                            const char *format, ...);

/* The dimension `coefficient * symbol + constant`; the symbol is added to the graph at its first use. */
pith_dim pith_build_dim(pith_builder *builder, const char *symbol, int64_t coefficient, int64_t constant);

pith_tensor_id pith_build_input(pith_builder *builder, const char *name, pith_dtype dtype, uint32_t rank,
                                const pith_dim *dims);
/* A parameter or constant in `layout`; `data` may be NULL and set later with pith_graph_set_data. `data_bytes` 0 with
 * NULL data: computed. */
pith_tensor_id pith_build_data(pith_builder *builder, pith_tensor_kind kind, const char *name, pith_dtype dtype,
                               uint32_t rank, const int64_t *dims, pith_layout layout, const void *data,
                               uint64_t data_bytes);

/* An attribute by name, as it is written in a builder call. The name must be one of the operator's row. */
typedef struct pith_attribute_setting {
  const char *name;
  pith_attribute value;
} pith_attribute_setting;
#define PITH_SET_INT(attribute_name, value)                                                                \
  ((pith_attribute_setting){(attribute_name), {.type = PITH_ATTRIBUTE_INT, .i = (value)}})
#define PITH_SET_FLOAT(attribute_name, value)                                                              \
  ((pith_attribute_setting){(attribute_name), {.type = PITH_ATTRIBUTE_FLOAT, .f = (value)}})
#define PITH_SET_ENUM(attribute_name, index)                                                               \
  ((pith_attribute_setting){(attribute_name), {.type = PITH_ATTRIBUTE_ENUM, .i = (index)}})
#define PITH_SET_DTYPE(attribute_name, dtype)                                                              \
  ((pith_attribute_setting){(attribute_name), {.type = PITH_ATTRIBUTE_DTYPE, .i = (dtype)}})

/* Appends a node; its outputs' shapes and dtypes come from the operator's inference. Returns the first output (others:
 * graph->nodes[...].outputs), PITH_NONE after a failure. `name` names the node and, with ".0" ... appended where the
 * operator has several outputs, its outputs: tensor and node names are separate name spaces. */
pith_tensor_id pith_build_node(pith_builder *builder, const char *name, int op_id, uint32_t input_count,
                               const pith_tensor_id *inputs, uint32_t attribute_count,
                               const pith_attribute_setting *attributes);
/* The same for any row (operator.h). */
pith_tensor_id pith_build_operator(pith_builder *builder, const char *name, const struct pith_operator *op, uint32_t input_count,
                                   const pith_tensor_id *inputs, uint32_t attribute_count,
                                   const pith_attribute_setting *attributes);
void pith_build_output(pith_builder *builder, pith_tensor_id tensor, const char *name); /* renames the tensor */

/* ---- reading and checking ----------------------------------------------------------------------------- */

/* PITH_NONE where there is none. */
pith_tensor_id pith_graph_find_tensor(const pith_graph *graph, const char *name);
pith_symbol_id pith_graph_find_symbol(const pith_graph *graph, const char *name);

/* The one specification: every rule on graphs is checked here, from the operators' rows: names present and unique, ids
 * in range, topological order, single producers, dtypes, shapes, attributes, data sizes (overflow included), layouts. What it
 * accepts, lowering can lower and the executor can run. Trusts nothing: made for graphs from files. */
PITH_WARN_UNUSED pith_status pith_graph_verify(const pith_graph *graph, pith_error *error);

/* PITH_FORMAT unless data of that dtype and those constant dimensions can lie in `layout`. Sizes are not checked. */
PITH_WARN_UNUSED pith_status pith_layout_check_shape(pith_layout layout, pith_dtype dtype, uint32_t rank,
                                                     const pith_dim *dims, pith_error *error);
/* The bytes that `rank` constant dimensions take in `layout`; PITH_FORMAT on overflow or where the layout does not
 * take that rank or dtype, PITH_INVALID_ARGUMENT where the bytes depend on the data (pith_layout_measure). */
PITH_WARN_UNUSED pith_status pith_layout_get_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank,
                                                   const pith_dim *dims, uint64_t *out_bytes,
                                                   pith_error *error);
/* PITH_FORMAT unless data of that shape can have `data_bytes` bytes in `layout`. Reads no data: where bytes depend on them,
 * pith_layout_check_data tells whether they do have so many. */
PITH_WARN_UNUSED pith_status pith_layout_check_bytes(pith_layout layout, pith_dtype dtype, uint32_t rank,
                                                     const pith_dim *dims, uint64_t data_bytes, pith_error *error);

/* The value of a dimension; symbol_values: [graph->symbol_count], each 0 or more. PITH_LIMIT on overflow or a negative value. */
PITH_WARN_UNUSED pith_status pith_dim_evaluate(const pith_dim *dim, const int64_t *symbol_values,
                                               int64_t *out_value, pith_error *error);

/* The value of an attribute of a verified node, by the name in its operator's row. */
const pith_attribute *pith_node_get_attribute(const pith_node *node, const char *name);

/* A deep copy into a new graph (data stays borrowed). */
PITH_WARN_UNUSED pith_status pith_graph_clone(const pith_graph *graph, const pith_allocator *allocator,
                                              pith_graph **out_graph, pith_error *error);

/* ---- printing ------------------------------------------------------------------------------------------ */

/* Receives text piece by piece; `bytes` is its length. */
typedef struct pith_text_sink {
  void (*write)(void *context, const char *text, size_t bytes);
  void *context;
} pith_text_sink;

/* All take a verified graph. */

/* The readable form: a line per input, parameter and node, in order. */
void pith_graph_print(const pith_graph *graph, const pith_text_sink *sink);
/* Graphviz. */
void pith_graph_print_dot(const pith_graph *graph, const pith_text_sink *sink);
/* A drawing: nodes in layers from top to bottom, parameters named inside the boxes. Fails only for want of memory. */
PITH_WARN_UNUSED pith_status pith_graph_print_svg(const pith_graph *graph, const pith_text_sink *sink,
                                                  pith_error *error);

#endif
