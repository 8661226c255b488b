/* The program: a graph lowered for one CPU and for given limits.
 *
 * A graph is portable and says what to compute; a program says how: which kernel, in which order, into which bytes.
 *
 *     program ── values[]   what flows: an input of the run, data of the model, or a buffer of the session's memory
 *             ── steps[]    one kernel call each: operator row, kernel, operands (value ids), parameters
 *             ── checks[]   what indices and offsets must satisfy before a kernel may trust them
 *             ── packs[]    weights whose stored layout the chosen kernel cannot read, converted once at creation
 *             ── memory     one block: buffers and scratch by liveness, then packed weights
 *
 * Fused operators exist only here. Everything lives in the program's arena or in the graph, which must outlive it.
 * A program is immutable once lowered and may be shared by threads; what a run changes lives in an executor.
 */
#ifndef PITH_LOWER_PROGRAM_H
#define PITH_LOWER_PROGRAM_H

#include "engine/ir/graph.h"
#include "ops/kernel.h"

typedef uint32_t pith_value_id;

/* ---- layouts of activations: one row each -------------------------------------------------------------- */

#define PITH_ACTIVATION_LAYOUT_LIST(X)                                                                      \
  X(ROW_MAJOR, "row_major") /* the last dimension is contiguous */
typedef enum pith_activation_layout {
#define PITH_ACTIVATION_LAYOUT_ENUM(name, text) PITH_ACTIVATION_LAYOUT_##name,
  PITH_ACTIVATION_LAYOUT_LIST(PITH_ACTIVATION_LAYOUT_ENUM)
#undef PITH_ACTIVATION_LAYOUT_ENUM
      PITH_ACTIVATION_LAYOUT_COUNT
} pith_activation_layout;

/* ---- values -------------------------------------------------------------------------------------------- */

typedef enum pith_value_kind {
  PITH_VALUE_INPUT,  /* given at each run */
  PITH_VALUE_DATA,   /* a constant or parameter: in the mapped file, the arena (folded), or packed */
  PITH_VALUE_BUFFER, /* written by a step */
} pith_value_kind;

typedef struct pith_value {
  const char *name;
  pith_value_kind kind;
  pith_dtype dtype;
  uint32_t rank;
  const pith_dim *dims; /* [rank], borrowed */
  pith_activation_layout layout;

  /* DATA */
  const void *data;          /* NULL where it is packed (pack) or where the model has no weights yet */
  pith_layout data_layout;
  bool data_transposed;      /* `data` holds the row-major transpose of this rank 2 value */
  const pith_tensor *tensor; /* of the graph, whose packed copies may serve; NULL: none */
  uint32_t pack;             /* index into packs, or PITH_NONE */

  /* BUFFER, set by the plan */
  uint32_t root;      /* the value whose bytes it shares (itself, unless computed in place) */
  uint32_t first, last; /* steps between which it lives */
  size_t offset;      /* in the session's memory */
  size_t bytes;       /* planned: at the symbols' limits */

  /* Kept current by pith_program_index. */
  uint32_t producer;  /* step, or PITH_NONE */
  uint32_t use_count; /* operands that read it, plus one where it is an output of the program */
  uint32_t last_user; /* the last step that reads it, or PITH_NONE */
  bool checked;       /* some check reads it */
} pith_value;

/* A value in one run: what kernels' arguments are made of. Rank 2 and more: columns is the last dimension, rows all
 * others; rank 1: one row; rank 0: one element. */
typedef struct pith_view {
  void *data;
  size_t rows, columns;
  size_t longest; /* offsets: the longest sequence; otherwise 0 */
} pith_view;

static inline size_t pith_view_count(const pith_view *view) {
  return view->rows * view->columns;
}

/* ---- operators of programs ----------------------------------------------------------------------------- */

/* Identifier, name. Rows: step_rows.c. */
#define PITH_STEP_LIST(X)                                                                                   \
  X(GEMM, "Gemm")           /* x, residual, then w and bias of each segment */                              \
  X(MATMUL, "MatMul")       /* a, b */                                                                      \
  X(ATTENTION, "Attention") /* q, k, v, q_offsets, kv_offsets */                                            \
  X(ROUNDED_ATTENTION, "RoundedAttention") /* the same, f32; its weights are those of IntegerAttention */   \
  X(EMBEDDING, "Embedding") /* gamma, beta, then table and ids of each table */                             \
  X(LAYER_NORM, "LayerNorm") /* x, residual, gamma, beta */                                                 \
  X(LP_NORM, "LpNorm")      /* x */                                                                         \
  X(SOFTMAX, "Softmax")     /* x */                                                                         \
  X(POOL, "Pool")           /* x, offsets */                                                                \
  X(POSITIONS, "Positions") /* offsets, ids */                                                              \
  X(UNARY, "Unary")         /* x */                                                                         \
  X(BINARY, "Binary")       /* a, b */                                                                      \
  X(GATHER, "Gather")       /* data, indices */                                                             \
  X(CAST, "Cast")           /* x */                                                                         \
  X(QUANTIZE, "Quantize")   /* x, scale, zero */                                                            \
  X(DYNAMIC_QUANTIZE, "DynamicQuantize") /* x, offsets; writes q, scale, zero */                            \
  X(DEQUANTIZE, "Dequantize") /* q, scale, zero */                                                          \
  X(TRANSPOSE, "Transpose") /* x, rank 2 */
typedef enum pith_step_kind {
#define PITH_STEP_ENUM(name, text) PITH_STEP_##name,
  PITH_STEP_LIST(PITH_STEP_ENUM)
#undef PITH_STEP_ENUM
      PITH_STEP_COUNT
} pith_step_kind;

/* Where operands stand in a step's inputs. */
enum { PITH_GEMM_X, PITH_GEMM_RESIDUAL, PITH_GEMM_SEGMENTS };             /* w, bias of segment i at SEGMENTS + 2i */
enum { PITH_EMBEDDING_GAMMA, PITH_EMBEDDING_BETA, PITH_EMBEDDING_TABLES }; /* table, ids of i at TABLES + 2i */
enum { PITH_NORM_X, PITH_NORM_RESIDUAL, PITH_NORM_GAMMA, PITH_NORM_BETA };
enum { PITH_ATTENTION_Q, PITH_ATTENTION_K, PITH_ATTENTION_V, PITH_ATTENTION_Q_OFFSETS, PITH_ATTENTION_KV_OFFSETS };
enum { PITH_QUANTIZE_X, PITH_QUANTIZE_SCALE, PITH_QUANTIZE_ZERO }; /* also Dequantize */
enum { PITH_DYNAMIC_QUANTIZE_X, PITH_DYNAMIC_QUANTIZE_OFFSETS };
/* What has a scale of its own. */
typedef enum pith_scale_kind {
  PITH_SCALE_TENSOR,
  PITH_SCALE_ROW,    /* each index of the first dimension */
  PITH_SCALE_COLUMN, /* each index of the last dimension */
  PITH_SCALE_BLOCK,  /* `block` consecutive elements of each row */
} pith_scale_kind;
enum { PITH_STEP_MAX_INPUTS = 10, PITH_STEP_MAX_OUTPUTS = 4 };

typedef union pith_step_params {
  struct {
    int activation; /* pith_activation of ops/gemm */
  } gemm;
  struct {
    int64_t heads;
    float scale; /* never 0 */
    bool causal;
  } attention;
  struct {
    float epsilon;
    int p; /* LpNorm */
  } norm; /* also Embedding */
  struct {
    int mode;
  } pool;
  struct {
    int32_t start, padding_id;
  } positions;
  struct {
    int function; /* pith_unary or pith_binary */
    /* Binary: the output's dimensions fall into rows and columns; whether each operand repeats over them. */
    bool repeat_rows[2], repeat_columns[2];
  } elementwise;
  struct {
    size_t axis;  /* size of the axis, 0: whatever is left, nothing lies before it */
    size_t inner; /* elements behind it */
  } gather;
  struct {
    pith_scale_kind scales;
    size_t block; /* of BLOCK; DynamicQuantize: features that share a range, never 0 */
  } quantize; /* also Dequantize and DynamicQuantize */
} pith_step_params;

struct pith_program;
struct pith_step_row;

typedef struct pith_step {
  const char *name;                /* of the graph's node; fused: of the node that names the product best */
  const struct pith_step_row *row; /* NULL: removed by a pass */
  const char *title;               /* "Gemm+Gelu": the row's name with what is fused; set by the kernels pass */
  const pith_kernel *kernel;
  uint32_t input_count, output_count;
  pith_value_id inputs[PITH_STEP_MAX_INPUTS]; /* PITH_NONE: absent */
  pith_value_id outputs[PITH_STEP_MAX_OUTPUTS];
  pith_step_params params;
  size_t args_offset;                    /* of its kernel's arguments, in an executor's block of them */
  size_t scratch_bytes, scratch_offset;  /* of one thread, 64-byte multiple; thread i's begins i times further */
} pith_step;

typedef struct pith_step_row {
  pith_step_kind kind;
  const char *name;
  const pith_kernel *const *kernels;
  size_t args_bytes;
  const char *dtypes; /* of the inputs, then '>', then of the outputs: f f32, i s32, n s32 or s64, q u8 or s8,
                         . any;
                         the last one of each side holds for all that follow */
  uint32_t in_place; /* bit i: output 0 may take input i's bytes, where it is not needed afterwards */
  pith_activation_layout reads, writes;
  /* Fills the kernel's arguments from this run's views (by value id). Views without data give sizes only. */
  void (*bind)(const struct pith_program *program, const pith_step *step, const pith_view *views, void *args);
  /* Arithmetic of products; NULL: none. */
  double (*count_flops)(const pith_step *step, const pith_view *views);
  /* "Gemm+Gelu+Residual"; NULL when memory is out. Absent: the row's name. */
  const char *(*make_title)(pith_arena *arena, const pith_step *step);
} pith_step_row;

const pith_step_row *pith_step_row_get(pith_step_kind kind);

/* ---- checks on indices and offsets ---------------------------------------------------------------------------------- */

/* Kernels trust indices and offsets, so both are checked: those of inputs and data at the start of a run, computed
 * ones when they have been computed. */
typedef enum pith_check_kind {
  PITH_CHECK_INDICES, /* every element in 0 .. bound - 1, bound the dimension `axis` of value `of` */
  PITH_CHECK_OFFSETS, /* ascending from 0 to the dimension 0 of value `of`; sets the view's longest sequence */
} pith_check_kind;
typedef struct pith_check {
  pith_check_kind kind;
  pith_value_id value, of;
  uint32_t axis;
} pith_check;

/* ---- packed weights ------------------------------------------------------------------------------------- */

/* Row-major f32 weights become the stored blocks that product kernels read; s8 weights in stored blocks become row-major,
 * which is what a Dequantize step of its own reads. */
typedef struct pith_pack {
  const void *data;
  bool transposed; /* data is row-major [k, n] instead of [n, k] */
  bool unpack;     /* data is n16k4_s8 */
  size_t n, k, offset, bytes;
} pith_pack;

/* ---- the program ----------------------------------------------------------------------------------------- */

typedef struct pith_program {
  pith_arena arena;
  const pith_graph *graph;
  pith_cpu_set cpu;
  size_t threads;
  const int64_t *symbol_limits; /* [graph->symbol_count] */
  size_t max_sequence;          /* tokens of the longest sequence */

  uint32_t value_count, value_capacity;
  pith_value *values;
  uint32_t step_count, step_capacity;
  pith_step *steps;
  uint32_t check_count, check_capacity;
  pith_check *checks;
  uint32_t pack_count, pack_capacity;
  pith_pack *packs;
  uint32_t input_count, output_count;
  pith_value_id *inputs;  /* in the graph's order */
  pith_value_id *outputs;

  size_t args_bytes;     /* all steps' kernel arguments */
  size_t buffer_bytes;   /* buffers and scratch */
  size_t memory_bytes;   /* the whole block: buffers, scratch, packed weights */
} pith_program;

pith_value *pith_program_add_value(pith_program *program, pith_value_id *out_id);
/* Appends a step of `kind` with one output, its operands absent; NULL when memory is out. */
pith_step *pith_program_add_step(pith_program *program, pith_step_kind kind, const char *name);
PITH_WARN_UNUSED pith_status pith_program_add_check(pith_program *program, const pith_check *check, pith_error *error);
/* Drops removed steps and checks of values that nothing reads; recomputes producers, use counts and last users. */
void pith_program_index(pith_program *program);
/* The step that produces `value` where that is of `kind` and nothing else reads the value; else NULL. */
pith_step *pith_program_sole_producer(pith_program *program, pith_value_id value, pith_step_kind kind);

/* The extent of a value for these values of the graph's symbols; PITH_LIMIT on overflow. */
PITH_WARN_UNUSED pith_status pith_value_measure(const pith_value *value, const int64_t *symbols,
                                                pith_view *out_view, pith_error *error);
/* Runs one check; `views` by value id, with data; `symbols` this run's. The message names value, element and bound. */
PITH_WARN_UNUSED pith_status pith_check_run(const pith_program *program, const pith_check *check,
                                            const int64_t *symbols, pith_view *views, pith_error *error);
/* All dimensions are constants (whose product fits in *out_count). */
bool pith_value_get_constant_count(const pith_value *value, size_t *out_count);
/* The bytes of `count` elements. */
PITH_WARN_UNUSED pith_status pith_value_get_bytes(const pith_value *value, const pith_view *view, size_t *out_bytes,
                                                  pith_error *error);

/* A line per step: operands, kernel, place. */
void pith_program_print(const pith_program *program, const pith_text_sink *sink);

static inline size_t pith_align64(size_t bytes) {
  return (bytes + 63) & ~(size_t)63;
}

#endif
