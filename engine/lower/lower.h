/* Lowering: a graph to a program, by a table of passes. */
#ifndef PITH_LOWER_LOWER_H
#define PITH_LOWER_LOWER_H

#include "engine/lower/program.h"

/* Rewrites of steps, in the order in which they run. Those of NORMALIZE bring different spellings to one form; those of FUSE
 * merge steps and give the same bits as the steps they replace. Those of INTEGER turn floats between 8-bit values into
 * integers, which come closer to what the graph says than the steps they replace: sums are exact where those round, and
 * 8 bits are made by a product with 1 / scale where QuantizeLinear divides, so that an element near a tie may end one
 * level apart. Identifier, name, stage, what it does. */
#define PITH_REWRITE_LIST(X)                                                                                \
  X(IDENTITY, "identity", NORMALIZE, "drop Identity and Cast to the same dtype")                            \
  X(BIAS, "bias", NORMALIZE, "MatMul with data + Add of a row -> Gemm with bias")                           \
  X(GELU, "gelu", NORMALIZE, "x/2 (1 + erf(x / sqrt 2)) in single operators -> Gelu")                       \
  X(TABLES, "tables", FUSE, "Gather from a dequantized table -> Embedding that dequantizes the rows it looks up") \
  X(EMBEDDING, "embedding", FUSE, "sum of Gathers (+ LayerNorm) -> Embedding")                              \
  X(INTEGER_GEMM, "integer_gemm", INTEGER, "Gemm of dequantized input and weights -> IntegerGemm")          \
  X(SEGMENTS, "segments", FUSE, "products of one x -> one product of several segments")                     \
  X(ACTIVATION, "activation", FUSE, "Gemm, then an activation -> Gemm+activation")                          \
  X(RESIDUAL_GEMM, "residual_gemm", FUSE, "Gemm + residual -> Gemm+Residual")                               \
  X(RESIDUAL_INTEGER, "residual_integer", FUSE, "IntegerGemm + residual -> IntegerGemm+Residual")           \
  X(RESIDUAL_NORM, "residual_norm", FUSE, "Add, then LayerNorm -> LayerNorm+Residual")                      \
  X(INTEGER_ATTENTION, "integer_attention", INTEGER, "RoundedAttention of dequantized q, k, v -> IntegerAttention") \
  X(REQUANTIZE, "requantize", INTEGER, "what makes rows, then Quantize or DynamicQuantize -> 8-bit rows as it makes them")
typedef enum pith_rewrite_id {
#define PITH_REWRITE_ENUM(name, text, stage, doc) PITH_REWRITE_##name,
  PITH_REWRITE_LIST(PITH_REWRITE_ENUM)
#undef PITH_REWRITE_ENUM
      PITH_REWRITE_COUNT
} pith_rewrite_id;
typedef enum pith_rewrite_stage { PITH_STAGE_NORMALIZE, PITH_STAGE_FUSE, PITH_STAGE_INTEGER } pith_rewrite_stage;

enum {
  PITH_REWRITES_ALL = (1 << PITH_REWRITE_COUNT) - 1,
  /* What sessions use. */
  PITH_REWRITES_DEFAULT = PITH_REWRITES_ALL & ~(1 << PITH_REWRITE_RESIDUAL_GEMM),
};

struct pith_translation;

typedef struct pith_lower_options {
  const pith_allocator *allocator;
  pith_cpu_set cpu;             /* features that kernels may use */
  size_t threads;               /* that will share the work; at least 1 */
  const int64_t *symbol_limits; /* [graph->symbol_count] the largest value of each symbol; copied */
  size_t max_sequence;          /* tokens of the longest sequence; 0: no limit but the offsets' own tokens */
  uint32_t rewrites;            /* bits of pith_rewrite_id */
  bool without_memory; /* no plan, so that it cannot run: for features that this CPU lacks, none of whose kernels' code is called then */

  /* For programs that are more than a model's (training). */
  pith_status (*translate)(const struct pith_translation *translation); /* steps of a node whose operator is not of the engine's
                                   table (translate.h); NULL: there are no such nodes */
  bool parameters_change;       /* the data of parameters, row-major, may change between runs: it is read in place by each run */
  const bool *outputs_given;    /* [graph->output_count] outputs written into the caller's memory (pith_executor_bind_output), for
                                   which none is planned; NULL: none */
} pith_lower_options;

typedef struct pith_pass {
  const char *name;
  const char *doc;
  pith_status (*run)(pith_program *program, const pith_lower_options *options, pith_error *error);
} pith_pass;
/* All passes in order; ends with a NULL name. */
extern const pith_pass pith_passes[];

/* `graph` must be verified and must outlive the program. Thread-safe on the graph. */
PITH_WARN_UNUSED pith_status pith_program_create(const pith_graph *graph, const pith_lower_options *options,
                                                 pith_program **out_program, pith_error *error);
void pith_program_destroy(pith_program *program); /* NULL is accepted */

/* PITH_FORMAT where a weight that a step reads, or that is unpacked for one, is stored in blocks of zeros that are not what the
 * layout says: kernels trust them. Reads those weights' indices. */
PITH_WARN_UNUSED pith_status pith_program_check_weights(const pith_program *program, pith_error *error);
/* Writes one packed weight, `pack->bytes` at `out`, which is aligned to 64. */
void pith_pack_run(const pith_pack *pack, void *out);
/* Writes the packed weights into the session's memory. */
void pith_program_pack(const pith_program *program, void *memory);

#endif
