/* What the files of exits share: the stages that a graph falls into. */
#ifndef PITH_EXEC_EXITS_INTERNAL_H
#define PITH_EXEC_EXITS_INTERNAL_H

#include "engine/exec/exits.h"

/* What an input of a stage is. */
typedef enum pith_stage_source {
  PITH_STAGE_IDS,
  PITH_STAGE_TYPE_IDS,
  PITH_STAGE_OFFSETS,
  PITH_STAGE_CARRIED, /* and those behind it: carried value 0, 1, .. */
} pith_stage_source;

/* A value that later stages read: rows of the sequences that are left. */
typedef struct pith_carried {
  pith_tensor_id tensor; /* of the whole graph */
  uint32_t made, last;   /* the stage that makes it, the last one that reads it */
  uint32_t output;       /* of the stage that makes it */
  size_t row_bytes;      /* of a token */
  char *rows;            /* [max_tokens] */
} pith_carried;

typedef struct pith_stage {
  pith_graph *graph;       /* output 0 are logits */
  const uint32_t *sources; /* [graph->input_count] pith_stage_source */
  pith_program *program;
  pith_executor *executor;
} pith_stage;

typedef struct pith_stages {
  pith_stage *list; /* [count], the last one ends with "logits" */
  uint32_t count;
  pith_carried *carried; /* [carried_count] */
  uint32_t carried_count;
  size_t labels;
} pith_stages;

/* The stages' graphs, in `arena` but for the graphs themselves, which the caller destroys, whether this fails or not. */
PITH_WARN_UNUSED pith_status pith_stages_make(const pith_graph *graph, const pith_allocator *allocator, pith_arena *arena,
                                              pith_stages *out_stages, pith_error *error);

#endif
