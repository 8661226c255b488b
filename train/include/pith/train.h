/* Pith: trains the weights of a model.
 *
 *     pith_model_open ─► pith_trainer_create ─► forward_backward ─► [reduce] ─► apply ─► ... ─► evaluate, save
 *                                                    └── more batches of the same step: gradients add up
 *
 * pith_trainer_fit goes through those steps for a caller who only hands over batches. In libpith-compress, which has all of
 * libpith in it: a program links one of the two. What `pith train` does beside (reading data, checkpoints) is the command's.
 *
 * Weights are held as floats in one buffer, gradients in another. A trainer belongs to one thread at a time. The same options,
 * batches and learning rates give the same bits with any number of threads. Nothing here prints, exits or aborts; structures
 * begin with `struct_size` as in <pith/pith.h>. */
#ifndef PITH_TRAIN_H
#define PITH_TRAIN_H

#include <pith/pith.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the trainer ------------------------------------------------------------------------------------- */

typedef struct pith_trainer pith_trainer;

#define PITH_OPTIMIZER_LIST(X) X(ADAMW, "adamw") X(SGD, "sgd") X(LAMB, "lamb")
typedef enum pith_optimizer_kind {
#define PITH_OPTIMIZER_ENUM(name, text) PITH_OPTIMIZER_##name,
  PITH_OPTIMIZER_LIST(PITH_OPTIMIZER_ENUM)
#undef PITH_OPTIMIZER_ENUM
  PITH_OPTIMIZER_COUNT
} pith_optimizer_kind;

/* How the ranges of an INT8 model's activations go on from those that calibration found. */
#define PITH_RANGE_TRAINING_LIST(X)                                                                        \
  X(FIXED, "fixed")                                                                                        \
  X(EMA, "ema")         /* moving averages of the batches' extremes */                                     \
  X(LEARNED, "learned") /* scales are parameters, with the gradient of LSQ */
typedef enum pith_range_training {
#define PITH_RANGE_TRAINING_ENUM(name, text) PITH_RANGE_TRAINING_##name,
  PITH_RANGE_TRAINING_LIST(PITH_RANGE_TRAINING_ENUM)
#undef PITH_RANGE_TRAINING_ENUM
  PITH_RANGE_TRAINING_COUNT
} pith_range_training;

typedef struct pith_trainer_options {
  size_t struct_size;
  pith_optimizer_kind optimizer;
  double beta1, beta2, epsilon; /* adamw, lamb: 0.9, 0.999, 1e-8 (lamb 1e-6) */
  double momentum;              /* sgd */
  int nesterov;                 /* sgd: not 0: look ahead along the momentum */
  double weight_decay;          /* decoupled; not for biases and LayerNorm */
  double clip;                  /* largest L2 norm of all gradients; 0: none */
  double layer_decay;           /* learning rate of a layer over the one above it; 1: the same for all */
  double ema;                   /* decay of the weights' moving average, which is then what is evaluated and saved; 0: none */
  double dropout, attention_dropout, classifier_dropout; /* 0 to below 1 */
  double label_smoothing;
  const float *class_weights;   /* [labels], or NULL; read while the trainer is created */
  double temperature;           /* contrastive: cosines are divided by it */
  double distill_weight, distill_temperature; /* of a teacher's answers in the loss, 0 to 1 (0: there is no teacher; docs/training.md) */
  const struct pith_comparisons *comparisons; /* NULL: only what `pith train` makes compares layers with a teacher's; borrowed */
  int contrastive;              /* embeddings of pairs: not 0: in-batch negatives; else their cosine against a target */
  const char *const *freeze;    /* [freeze_count] names of parameters with * and ?, which stay as they are; read while it is created */
  uint32_t freeze_count;
  uint32_t dense_rows;          /* embedding tables of more rows are updated by the rows that a batch reads (adamw and sgd, without ema
                                   and reduce): what a row has missed is made up for before it is read again */
  const struct pith_train_prune *prune; /* NULL: only what `pith train` makes prunes, zeros that the model has stay as they are */
  uint64_t seed;                /* of dropout */
  size_t max_tokens, max_sequences, max_rows; /* of one batch */
  uint64_t max_memory;          /* bytes of the trainer; over that activations of layers are computed again; 0: no limit */
  struct pthreadpool *threadpool; /* NULL: the calling thread */
  int profile;                  /* not 0: time each operator (see pith_trainer_get_profile) */
  const pith_allocator *allocator; /* NULL: the C library's; copied */
  /* NULL, or called by apply, before anything reads the gradients, with all of them in one buffer: several machines that
   * begin alike, add up their gradients here and divide by their number stay alike. What it returns other than PITH_OK ends apply,
   * weights as they were. */
  pith_status (*reduce)(void *context, float *gradients, size_t count, pith_error *error);
  void *context;                /* reduce's */
  int dequantize;               /* not 0: an INT8 model becomes a float one; else it is trained as INT8, and attention_dropout has to be 0 */
  pith_range_training ranges;   /* INT8: of its activations; not ema with reduce, which would leave machines with ranges of their own */
  double range_momentum;        /* ema: what stays of the average when a batch joins it; 0 to below 1 */
  uint64_t range_freeze;        /* ema: steps after which ranges stay as they are */
} pith_trainer_options;
/* Fine-tuning: AdamW with weight decay 0.01, gradients clipped at a norm of 1, dropout 0.1, batches of at most 4,096 tokens in 32
 * sequences. Tables of over 1,024 rows are updated by rows: fewer are less work than looking after their rows. */
#define PITH_TRAINER_OPTIONS_INIT                                                                          \
  {sizeof(pith_trainer_options), PITH_OPTIMIZER_ADAMW, 0.9, 0.999, 1e-8, 0.9, 0, 0.01, 1, 1, 0, 0.1, 0.1, 0.1, 0, NULL, 0.05, 0, \
   2, NULL, 0, NULL, 0, 1024, NULL, 0, 4096, 32, 1024, 0, NULL, 0, NULL, NULL, NULL, 0, PITH_RANGE_TRAINING_FIXED, 0.99, UINT64_MAX}

/* Copies the weights as floats, of a statically quantized model what its levels stand for: unless `dequantize` says otherwise such a model
 * stays one, and without dropout a batch's loss is that of the INT8 model that comes out, bit for bit. The task is that of the model's head; exits that the model
 * has (pith_model_info) are trained with it and learn from it. `model` must stay open as long as the trainer.
 * PITH_UNSUPPORTED where an operator has no gradient (named), the model no head, or ranges found in every run, PITH_LIMIT where max_memory cannot be kept, with
 * the bytes that would do, PITH_INVALID_ARGUMENT where an option is out of its range. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_create(const pith_model *model, const pith_trainer_options *options,
                                                          pith_trainer **out_trainer, pith_error *error);
PITH_API void pith_trainer_destroy(pith_trainer *trainer); /* NULL is accepted */

PITH_API uint64_t pith_trainer_get_step(const pith_trainer *trainer); /* steps that were applied */
PITH_API size_t pith_trainer_get_memory(const pith_trainer *trainer); /* bytes that it holds */

/* Time of each operator over all batches, then of what ends a step; borrowed, as of now; empty without options.profile. */
PITH_API const pith_profile_entry *pith_trainer_get_profile(pith_trainer *trainer, size_t *out_count);

/* ---- one step ---------------------------------------------------------------------------------------- */

/* Token ids of sequences without padding, and what the model shall answer. What is not of the task is NULL. */
typedef struct pith_train_batch {
  size_t struct_size;
  size_t sequences;
  const int32_t *offsets;  /* [sequences + 1] */
  const int32_t *ids;      /* [tokens] */
  const int32_t *type_ids; /* [tokens], or NULL: all 0 */
  const int32_t *labels;   /* classification [sequences]; tokens [tokens]; question answering: first and last token [sequences, 2],
                              counted in the sequence; fill-mask [row_count]. -100: does not count */
  const float *targets;    /* regression [sequences]; multi-label [sequences, labels]; embeddings of pairs, sequence 2 i and 2 i + 1:
                              their cosine [sequences / 2] (not contrastive) */
  const int32_t *rows;     /* fill-mask: tokens whose ids are to be found [row_count] */
  size_t row_count;
  const float *teacher;    /* where there is one: its output for the batch, [rows, columns] as the model's own */
  const float *const *teacher_values; /* NULL, or what options.comparisons compares with: [tokens, width] each, a teacher's */
  uint64_t first_sample;   /* number of the first sequence in its epoch: dropout depends on it and the step, not on the batch */
} pith_train_batch;
#define PITH_TRAIN_BATCH_INIT {sizeof(pith_train_batch), 0, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, NULL, 0}

/* Adds the gradients of the batch's mean loss, times `share`, to the gradient buffer (the first batch after apply begins it), and
 * gives the loss. Batches of one step whose shares add up to 1 make one larger batch. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_forward_backward(pith_trainer *trainer, const pith_train_batch *batch,
                                                                    double share, double *out_loss, pith_error *error);

/* The gradients as they stand, float, in one buffer. */
PITH_API float *pith_trainer_get_gradients(pith_trainer *trainer, size_t *out_count);

/* Calls reduce, clips, updates the weights, and ends the step. PITH_FORMAT, naming the first parameter, where a gradient is not
 * finite: the weights are then as before the step. `out_norm`, unless NULL: the gradients' L2 norm before clipping. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_apply(pith_trainer *trainer, double learning_rate, double *out_norm,
                                                         pith_error *error);

/* ---- what comes out ---------------------------------------------------------------------------------- */

typedef struct pith_metric {
  const char *name; /* "accuracy", "f1", "spearman", ...; static */
  double value;
} pith_metric;

/* Runs the model of now over labelled data as `pith eval` does. `task`: one of its tasks ("sst2", "classification", ...); `path`: data
 * in that task's form. `out_metrics`: [capacity], the task's first one first; at most `capacity` are written and `out_count` is how
 * many there are. PITH_UNSUPPORTED where the model carries no tokenizer and the data texts. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_evaluate(pith_trainer *trainer, const char *task, const char *path,
                                                            size_t capacity, pith_metric *out_metrics, size_t *out_count,
                                                            pith_error *error);

/* Writes the model of now, whole or not at all: under a temporary name, synced, renamed. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_save(pith_trainer *trainer, const char *path, pith_error *error);

/* ---- many steps -------------------------------------------------------------------------------------- */

/* How the learning rate goes on after it rose: the values of transformers' get_*_schedule_with_warmup. */
#define PITH_RATE_LIST(X)                                                                                  \
  X(LINEAR, "linear")     /* down to 0 at the end */                                                       \
  X(COSINE, "cosine")     /* down to 0 along half a cosine */                                              \
  X(CONSTANT, "constant")
typedef enum pith_rate_kind {
#define PITH_RATE_ENUM(name, text) PITH_RATE_##name,
  PITH_RATE_LIST(PITH_RATE_ENUM)
#undef PITH_RATE_ENUM
} pith_rate_kind;

typedef struct pith_fit_progress {
  uint64_t step, steps; /* applied so far, of all */
  double loss, norm;    /* of this step, its batches' mean; of its gradients before clipping */
  double learning_rate; /* of this step */
} pith_fit_progress;

/* Callbacks that return a status end the fit with it where it is not PITH_OK; the message is theirs. */
typedef struct pith_fit_options {
  size_t struct_size;
  uint64_t steps;
  uint32_t accumulate;    /* batches of one step, all counting alike; 0: 1 */
  double learning_rate;   /* after the warm-up */
  double warmup;          /* steps in which it rises from 0; below 1: a share of all, rounded up */
  pith_rate_kind schedule;
  void *context;          /* of the callbacks */
  /* The batch numbered `batch` of all (step times accumulate, and on); its arrays stay until the next call. */
  pith_status (*data)(void *context, uint64_t batch, pith_train_batch *out_batch, pith_error *error);
  uint64_t measure_every; /* steps between calls of metric; 0: after the last one */
  pith_status (*metric)(void *context, pith_trainer *trainer, pith_error *error); /* NULL, or evaluates, saves, ... */
  int (*progress)(void *context, const pith_fit_progress *progress); /* NULL, or called after each step: not 0 ends with PITH_CANCELLED */
} pith_fit_options;
#define PITH_FIT_OPTIONS_INIT {sizeof(pith_fit_options), 0, 0, 5e-5, 0.06, PITH_RATE_LINEAR, NULL, NULL, 0, NULL, NULL}

/* Goes on from the trainer's step to options->steps; the rate is a function of the step alone. PITH_FORMAT where a loss or a gradient
 * is not finite, with the step. */
PITH_API PITH_WARN_UNUSED pith_status pith_trainer_fit(pith_trainer *trainer, const pith_fit_options *options,
                                                       pith_error *error);

#ifdef __cplusplus
}
#endif
#endif
