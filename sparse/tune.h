/* Stored layouts of products' weights by measurement: the model itself is run with each layout by turns, on this CPU, at one
 * shape of batch. Part of libpith-compress. */
#ifndef PITH_SPARSE_TUNE_H
#define PITH_SPARSE_TUNE_H

#include "engine/format/model_data.h"

struct pthreadpool;

/* What a run's weights are stored as: all dense, all in one form of blocks of zeros where their zeros leave out any, or each
 * product as it was fastest. f32 weights have one form, so that 4x4 is 4x1 for them. */
#define PITH_TUNE_WAY_LIST(X) X(DENSE, "dense") X(4X1, "4x1") X(4X4, "4x4") X(MIXED, "mixed")
typedef enum pith_tune_way {
#define PITH_TUNE_ENUM(name, text) PITH_TUNE_##name,
  PITH_TUNE_WAY_LIST(PITH_TUNE_ENUM)
#undef PITH_TUNE_ENUM
      PITH_TUNE_WAY_COUNT
} pith_tune_way;
const char *pith_tune_way_get_name(pith_tune_way way);

typedef struct pith_tune_options {
  size_t batch, sequence; /* sequences in a run, tokens of each */
  size_t rounds;          /* each way is run once in a round; 0: PITH_TUNE_ROUNDS */
  int64_t id_count;       /* token ids are below this */
  struct pthreadpool *threadpool; /* NULL: the calling thread */
  void (*report)(void *context, size_t done, size_t total); /* of all runs; NULL: none */
  void *context;
} pith_tune_options;
enum { PITH_TUNE_ROUNDS = 15 };

/* A product (several that run as one: query, key, value) whose weights' zeros leave out blocks. */
typedef struct pith_tune_layer {
  const char *name;  /* of its first weight */
  uint32_t weights;
  pith_tensor_id *tensors; /* [weights] */
  double occupancy[PITH_TUNE_MIXED]; /* of its blocks, those that are kept; DENSE: 1 */
  double seconds[PITH_TUNE_MIXED];   /* median of a run */
  pith_tune_way way;                 /* in MIXED: that of the fastest model of one way, or one clearly faster here */
} pith_tune_layer;

typedef struct pith_tuning {
  uint32_t layer_count;
  pith_tune_layer *layers;
  double seconds[PITH_TUNE_WAY_COUNT]; /* median of a run of the model; 0: was not run, being like another way */
  pith_tune_way way;                   /* what the model got: the fastest; of equals the first */
  size_t batch, sequence, rounds, threads;
} pith_tuning;

/* Gives the weights of `data` the layouts that ran fastest, all dense where nothing was faster, and adds the decision and
 * the figures to the history. out_data->graph is a clone, which the caller destroys; everything else new lives in `arena`, what is
 * not new is borrowed. A model without zeros that leave out blocks comes back as it was, with no layer. */
PITH_WARN_UNUSED pith_status pith_sparse_tune(const pith_model_data *data, const pith_tune_options *options,
                                              pith_arena *arena, pith_model_data *out_data, pith_tuning *out_tuning,
                                              pith_error *error);

struct cJSON;
/* The decision and the figures, as the history has them; NULL: no memory. */
struct cJSON *pith_tuning_to_json(const pith_tuning *tuning);

#endif
