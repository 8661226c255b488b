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
#include "ops/activation_layout.h"
#include "ops/kernel.h"

typedef uint32_t pith_value_id;

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
  pith_activation_layout layout; /* of its rows and columns; tiles are whole in memory */

  /* DATA */
  const void *data;          /* NULL where it is packed (pack) or where the model has no weights yet */
  uint64_t data_bytes;       /* of the graph's tensors */
  pith_layout data_layout;
  bool data_transposed;      /* `data` holds the row-major transpose of this rank 2 value */
  bool changes;              /* from run to run (pith_lower_options.parameters_change): nothing may be made of it before */
  const pith_tensor *tensor; /* of the graph, whose packed copies may serve; NULL: none */
  uint32_t pack;             /* index into packs, or PITH_NONE */

  /* BUFFER, set by the plan */
  bool given;         /* its memory comes from the caller (pith_executor_bind_output) */
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
  X(GEMM, "Gemm")           /* operands: PITH_GEMM_* below */                                              \
  X(INTEGER_GEMM, "IntegerGemm") /* the same; x u8, w s8 */                                                 \
  X(ATTENTION, "Attention") /* q, k, v, q_offsets, kv_offsets */                                            \
  X(ROUNDED_ATTENTION, "RoundedAttention") /* the same, f32; its weights are those of IntegerAttention */   \
  X(INTEGER_ATTENTION, "IntegerAttention") /* the same, 8-bit with their scales or all f32, then scales */  \
  X(EMBEDDING, "Embedding") /* gamma, beta, q_scale, q_zero, then table, ids and row scales of each table */ \
  X(LAYER_NORM, "LayerNorm") /* x, residual, gamma, beta, q_scale, q_zero, q_factors */                         \
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
  X(TRANSPOSE, "Transpose") /* x, rank 2 */                                                                 \
  X(SPARSE_GEMM, "SparseGemm") /* as Gemm; weights in blocks of zeros, activations in tiles */              \
  X(SPARSE_INTEGER_GEMM, "SparseIntegerGemm")       /* as IntegerGemm */                                    \
  X(TILE_LAYER_NORM, "TileLayerNorm")               /* as LayerNorm, on tiles */                            \
  X(TILE_INTEGER_ATTENTION, "TileIntegerAttention") /* as IntegerAttention with scales, on tiles */         \
  X(REORDER, "Reorder")     /* x, to the layout of the output */                                            \
  X(EXTENSION, "Extension") /* of pith_lower_options.translate: whatever its row says, on row-major values */
typedef enum pith_step_kind {
#define PITH_STEP_ENUM(name, text) PITH_STEP_##name,
  PITH_STEP_LIST(PITH_STEP_ENUM)
#undef PITH_STEP_ENUM
      PITH_STEP_COUNT
} pith_step_kind;

/* Where operands stand in a step's inputs. Of scales of 8-bit outputs only static ones are operands. */
enum { /* of products; then PITH_SEGMENT_INPUTS of each segment */
  PITH_GEMM_X,
  PITH_GEMM_X_SCALE, /* integer: data of one element, or a scale for each row, as x_zero */
  PITH_GEMM_X_ZERO,  /* integer; absent: 0 */
  PITH_GEMM_RESIDUAL,
  PITH_GEMM_SEGMENTS,
};
enum {
  PITH_SEGMENT_W,       /* [n, k], or [k, n] (params.gemm.columns) */
  PITH_SEGMENT_BIAS,
  PITH_SEGMENT_W_SCALE, /* integer: [n] */
  PITH_SEGMENT_Q_SCALE,
  PITH_SEGMENT_Q_ZERO,
  PITH_SEGMENT_INPUTS,
};
enum {
  PITH_EMBEDDING_GAMMA,
  PITH_EMBEDDING_BETA,
  PITH_EMBEDDING_Q_SCALE,
  PITH_EMBEDDING_Q_ZERO,
  PITH_EMBEDDING_Q_FACTORS,
  PITH_EMBEDDING_TABLES, /* then PITH_TABLE_INPUTS of each table */
};
enum { PITH_TABLE_DATA, PITH_TABLE_IDS, PITH_TABLE_SCALES, PITH_TABLE_INPUTS };
enum {
  PITH_NORM_X,
  PITH_NORM_RESIDUAL,
  PITH_NORM_GAMMA,
  PITH_NORM_BETA,
  PITH_NORM_Q_SCALE,
  PITH_NORM_Q_ZERO,
  PITH_NORM_Q_FACTORS,
};
enum {
  PITH_ATTENTION_Q,
  PITH_ATTENTION_K,
  PITH_ATTENTION_V,
  PITH_ATTENTION_Q_OFFSETS,
  PITH_ATTENTION_KV_OFFSETS,
  PITH_ATTENTION_Q_SCALE, /* static: one element each */
  PITH_ATTENTION_Q_ZERO,
  PITH_ATTENTION_K_SCALE,
  PITH_ATTENTION_V_SCALE,
  PITH_ATTENTION_Y_SCALE,
  PITH_ATTENTION_Y_ZERO,
};
enum { PITH_QUANTIZE_X, PITH_QUANTIZE_SCALE, PITH_QUANTIZE_ZERO }; /* also Dequantize */
enum { PITH_DYNAMIC_QUANTIZE_X, PITH_DYNAMIC_QUANTIZE_OFFSETS };
/* What has a scale of its own. */
typedef enum pith_scale_kind {
  PITH_SCALE_TENSOR,
  PITH_SCALE_ROW,    /* each index of the first dimension that is not 1 */
  PITH_SCALE_COLUMN, /* each index of the last dimension */
  PITH_SCALE_BLOCK,  /* `block` consecutive elements of each row */
} pith_scale_kind;
/* What steps that finish rows of floats write (products: each segment): the floats, the same in 8 bits, and where each row
 * has its own scale, scales and zeros. Any may be absent, but not all. */
enum { PITH_ROWS_Y, PITH_ROWS_Q, PITH_ROWS_SCALE, PITH_ROWS_ZERO, PITH_ROWS_OUTPUTS };
enum { PITH_MAX_SEGMENTS = 4, PITH_MAX_TABLES = 4 };
enum {
  PITH_STEP_MAX_INPUTS = PITH_GEMM_SEGMENTS + PITH_MAX_SEGMENTS * PITH_SEGMENT_INPUTS,
  PITH_STEP_MAX_OUTPUTS = PITH_MAX_SEGMENTS * PITH_ROWS_OUTPUTS,
};

typedef union pith_step_params {
  struct {
    int activation; /* pith_activation of ops/gemm */
    bool columns;   /* all weights are [k, n], read in place; else data in blocks or [n, k] */
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
  struct {
    int64_t integers[4];
    float floats[2];
  } extension;
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
  pith_value_id outputs[PITH_STEP_MAX_OUTPUTS]; /* PITH_NONE: absent */
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
                         u u8, b s8, t f32 or s8, . any; the last one of each side holds for all that
                         follow, or what stands in parentheses there, again and again */
  const char *layouts; /* of the same operands, written likewise: '.' row_major, t tile64, x tile64x4, w the one that its
                          weights' form takes, * of the tiles the one that the readers want, ? any; NULL: all row_major */
  uint32_t in_place; /* bit i: output 0 may take input i's bytes, where it is not needed afterwards */
  /* Fills the kernel's arguments from this run's views (by value id). Views without data give sizes only. */
  void (*bind)(const struct pith_program *program, const pith_step *step, const pith_view *views, void *args);
  bool is_integer; /* its arithmetic is INT8 */
  bool is_sparse;  /* a product that leaves out its weights' blocks of zeros */
  /* Arithmetic of products, with what a sparse one leaves out; NULL: none. */
  double (*count_flops)(const pith_step *step, const pith_view *views);
  /* "Gemm+Gelu+Residual"; NULL when memory is out. Absent: the row's name. */
  const char *(*make_title)(pith_arena *arena, const pith_step *step);
} pith_step_row;

const pith_step_row *pith_step_row_get(pith_step_kind kind);

static inline const pith_view *pith_step_input(const pith_step *step, const pith_view *views, unsigned i) {
  return i < step->input_count && step->inputs[i] != PITH_NONE ? &views[step->inputs[i]] : NULL;
}
static inline const pith_view *pith_step_output(const pith_step *step, const pith_view *views, unsigned i) {
  return i < step->output_count && step->outputs[i] != PITH_NONE ? &views[step->outputs[i]] : NULL;
}
static inline void *pith_step_input_data(const pith_step *step, const pith_view *views, unsigned i) {
  const pith_view *view = pith_step_input(step, views, i);
  return view == NULL ? NULL : view->data;
}
/* Of an offsets operand. */
static inline size_t pith_view_sequences(const pith_view *offsets) {
  return pith_view_count(offsets) == 0 ? 0 : pith_view_count(offsets) - 1;
}

/* Its bytes leave out blocks of zeros, and must be checked before a kernel may trust them. */
static inline bool pith_layout_is_sparse(pith_layout layout) {
  return pith_layout_get_sparse_form(layout) != PITH_SPARSE_FORM_COUNT;
}

/* Moves on to the code of the next operand in a row's dtypes or layouts. */
const char *pith_step_code_next(const char *code);

/* Products, of floats and of integers, dense and sparse alike. */
static inline bool pith_step_is_gemm(const pith_step *step) {
  return step->row->kind == PITH_STEP_GEMM || step->row->kind == PITH_STEP_INTEGER_GEMM || step->row->is_sparse;
}
static inline uint32_t pith_gemm_count_segments(const pith_step *step) {
  return (step->input_count - PITH_GEMM_SEGMENTS) / PITH_SEGMENT_INPUTS;
}
/* Places among inputs (`what` PITH_SEGMENT_*) and outputs (PITH_ROWS_*). */
static inline uint32_t pith_segment_input(uint32_t segment, uint32_t what) {
  return PITH_GEMM_SEGMENTS + segment * PITH_SEGMENT_INPUTS + what;
}
static inline uint32_t pith_segment_output(uint32_t segment, uint32_t what) {
  return segment * PITH_ROWS_OUTPUTS + what;
}
/* Input `j` is weights that a product reads in blocks. */
static inline bool pith_step_is_weight(const pith_step *step, uint32_t j) {
  return pith_step_is_gemm(step) && j >= PITH_GEMM_SEGMENTS &&
         (j - PITH_GEMM_SEGMENTS) % PITH_SEGMENT_INPUTS == PITH_SEGMENT_W;
}
/* In which a product that is not sparse reads its weights. */
static inline pith_layout pith_step_get_weight_layout(const pith_step *gemm) {
  return gemm->row->is_integer ? PITH_LAYOUT_N16K4_S8 : PITH_LAYOUT_N64_F32;
}
static inline uint32_t pith_embedding_count_tables(const pith_step *step) {
  return (step->input_count - PITH_EMBEDDING_TABLES) / PITH_TABLE_INPUTS;
}
static inline uint32_t pith_table_input(uint32_t table, uint32_t what) {
  return PITH_EMBEDDING_TABLES + table * PITH_TABLE_INPUTS + what;
}

/* ---- checks on indices and offsets ---------------------------------------------------------------------------------- */

/* Kernels trust indices and offsets, so both are checked: those of inputs and data at the start of a run, computed
 * ones when they have been computed. */
typedef enum pith_check_kind {
  PITH_CHECK_INDICES, /* every element in 0 .. bound - 1, bound the dimension `axis` of value `of` */
  PITH_CHECK_OFFSETS, /* ascending from 0 to the dimension 0 of value `of`; sets the view's longest sequence */
  PITH_CHECK_EXTENSION, /* what `run` says, of operators that are not the engine's */
} pith_check_kind;
typedef struct pith_check {
  pith_check_kind kind;
  pith_value_id value, of;
  uint32_t axis;
  pith_status (*run)(const struct pith_program *program, const struct pith_check *check, const pith_view *views,
                     pith_error *error); /* EXTENSION */
} pith_check;

/* ---- packed weights ------------------------------------------------------------------------------------- */

/* Weights in the layout that their reader reads: blocks for products, rows for a Dequantize step of its own. */
typedef struct pith_pack {
  const char *name;
  const void *data;
  uint64_t data_bytes;
  pith_layout from, to;
  bool transposed; /* data is row-major [k, n] instead of [n, k] */
  size_t n, k, offset, bytes;
} pith_pack;

/* ---- what stayed ---------------------------------------------------------------------------------------- */

/* A quantizing or dequantizing step that no rewrite could merge, and why. */
typedef struct pith_note {
  const char *step, *reason;
} pith_note;

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
  uint32_t pack_count;
  pith_pack *packs;
  uint32_t note_count;
  pith_note *notes;
  uint32_t input_count, output_count;
  pith_value_id *inputs;  /* in the graph's order */
  pith_value_id *outputs;

  size_t args_bytes;     /* all steps' kernel arguments */
  size_t buffer_bytes;   /* buffers and scratch */
  size_t memory_bytes;   /* the whole block: buffers, scratch, packed weights */
} pith_program;

pith_value *pith_program_add_value(pith_program *program, pith_value_id *out_id);
/* Appends a step of `kind`, or of a row, with one output, its operands absent; NULL when memory is out. */
pith_step *pith_program_add_step(pith_program *program, pith_step_kind kind, const char *name);
pith_step *pith_program_add_row(pith_program *program, const pith_step_row *row, const char *name);
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

/* The share of its arithmetic that a product does: 1, but for what a sparse one leaves out. Reads no weight. */
double pith_step_get_work(const pith_program *program, const pith_step *step);

/* A line per step: operands, kernel, place; then the notes. */
void pith_program_print(const pith_program *program, const pith_text_sink *sink);

static inline size_t pith_align64(size_t bytes) {
  return (bytes + 63) & ~(size_t)63;
}

#endif
