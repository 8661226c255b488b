/* The trainer: a model's float weights, their gradients, and the optimizer. Part of libpith-compress.
 *
 *     create ─► forward_backward ─► [reduce] ─► apply ─► ... ─► get_model ─► evaluate, write
 *                    └── more batches of the same step: gradients add up
 *
 * Weights lie in one 64-byte aligned buffer, float, row-major, in the order of the training graph's parameters; gradients in
 * one of the same shape. Embedding tables that nothing but Gathers read are updated row by row: a row that no batch of a step
 * reads is left as it is, and what it missed is made up for before it is read again, so that the result is the dense update's.
 * Weights that have a pattern keep their zeros; more are pruned where options say so (train/prune.h).
 * A trainer belongs to one thread at a time. The same options, batches and learning rates give the same bits with any number
 * of threads. */
#ifndef PITH_TRAIN_TRAINER_H
#define PITH_TRAIN_TRAINER_H

#include <pith/pith.h>

#include "engine/format/model_data.h"
#include "train/hidden.h"

typedef struct pith_trainer pith_trainer;

#define PITH_OPTIMIZER_LIST(X) X(ADAMW, "adamw") X(SGD, "sgd") X(LAMB, "lamb")
typedef enum pith_optimizer_kind {
#define PITH_OPTIMIZER_ENUM(name, text) PITH_OPTIMIZER_##name,
  PITH_OPTIMIZER_LIST(PITH_OPTIMIZER_ENUM)
#undef PITH_OPTIMIZER_ENUM
  PITH_OPTIMIZER_COUNT
} pith_optimizer_kind;

typedef struct pith_trainer_options {
  pith_optimizer_kind optimizer;
  double beta1, beta2, epsilon; /* adamw, lamb: 0.9, 0.999, 1e-8 (lamb 1e-6) */
  double momentum;              /* sgd */
  bool nesterov;
  double weight_decay;          /* decoupled; not for biases and LayerNorm */
  double clip;                  /* largest L2 norm of all gradients; 0: none */
  double layer_decay;           /* learning rate of a layer over the one above it; 1: the same for all */
  double ema;                   /* decay of the weights' moving average, which get_model then gives; 0: none */
  double dropout, attention_dropout, classifier_dropout; /* 0 to below 1 */
  double label_smoothing;
  const float *class_weights;   /* [labels], or NULL */
  double temperature;           /* contrastive: cosines are divided by it */
  double distill_weight, distill_temperature; /* of a teacher's answers, as in pith_training_graph_options; 0: there is no teacher */
  double distill_hidden;        /* of its hidden states, likewise */
  uint32_t hidden_count;
  bool contrastive;             /* embeddings of pairs: in-batch negatives; else their cosine against a target */
  const char *const *freeze;    /* [freeze_count] names of parameters with * and ?, which stay as they are */
  uint32_t freeze_count;
  uint32_t dense_rows;          /* embedding tables of more rows are updated by the rows that a batch reads (adamw and sgd without ema) */
  const struct pith_train_prune *prune; /* NULL: nothing is pruned; train/prune.h; borrowed until create returns */
  uint64_t seed;                /* of dropout */
  size_t max_tokens, max_sequences, max_rows; /* of one batch */
  uint64_t max_memory;          /* bytes of the trainer; over that activations of layers are computed again; 0: no limit */
  struct pthreadpool *threadpool; /* NULL: the calling thread */
  bool profile;                 /* time each operator */
  const pith_allocator *allocator; /* NULL: the C library's */
} pith_trainer_options;
extern const pith_trainer_options pith_trainer_defaults;

/* Token ids of sequences without padding, and what the model shall answer. What is not of the task is NULL. */
typedef struct pith_train_batch {
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
  const float *teacher;    /* distillation: [rows of the output, columns] of a teacher's */
  const float *hidden[PITH_HIDDEN_MOST]; /* of the first hidden_count of them [tokens, features] of a teacher's */
  uint64_t first_sample;   /* number of the first sequence in its epoch: dropout depends on it and the step, not on the batch */
} pith_train_batch;

/* Copies the model's weights as floats (a quantized model's as they are dequantized). The task is that of the model's head.
 * `model` must outlive the trainer. PITH_UNSUPPORTED where an operator has no gradient (named), PITH_LIMIT where max_memory cannot
 * be kept, with the bytes that would do. */
PITH_WARN_UNUSED pith_status pith_trainer_create(const pith_model_data *model, const pith_trainer_options *options,
                                                 pith_trainer **out_trainer, pith_error *error);
void pith_trainer_destroy(pith_trainer *trainer); /* NULL is accepted */

/* Adds the gradients of the batch's mean loss, times `share`, to the gradient buffer (the first batch after apply begins it), and
 * gives the loss. Batches of one step whose shares add up to 1 make one larger batch. */
PITH_WARN_UNUSED pith_status pith_trainer_forward_backward(pith_trainer *trainer, const pith_train_batch *batch,
                                                           double share, double *out_loss, pith_error *error);

/* The gradients as they stand, in one buffer: for adding those of other machines before apply. */
float *pith_trainer_get_gradients(pith_trainer *trainer, size_t *out_count);

/* Clips, updates the weights, and ends the step. PITH_FORMAT, naming the first parameter, where a gradient is not finite: the weights
 * are then as before the step. `out_norm`, unless NULL: the gradients' L2 norm before clipping. */
PITH_WARN_UNUSED pith_status pith_trainer_apply(pith_trainer *trainer, double learning_rate, double *out_norm,
                                                pith_error *error);

/* Gives back, until the next batch, the memory that only steps need: of activations and, where no gradients wait to be applied, of
 * gradients. It comes again by itself. A caller's allocator keeps what it gave. */
void pith_trainer_rest(pith_trainer *trainer);

uint64_t pith_trainer_get_step(const pith_trainer *trainer); /* steps that were applied */
/* Time of each operator over all batches, then of what ends a step; borrowed, as of now; empty without `profile`. */
const pith_profile_entry *pith_trainer_get_profile(pith_trainer *trainer, size_t *out_count);
size_t pith_trainer_get_memory(const pith_trainer *trainer); /* bytes that it holds */

/* The model with the weights of now, which it borrows until the next forward_backward or apply: to be written, or run by a session
 * of its own (a pith_model made of it). The graph belongs to the trainer. */
PITH_WARN_UNUSED pith_status pith_trainer_get_model(pith_trainer *trainer, pith_model_data *out_model, pith_error *error);

/* Everything that a trainer of the same model and options needs to go on with the same bits: weights, moments, counts. Between
 * steps only (after apply or create). `count` is the same for the whole of its life. */
typedef struct pith_trainer_piece {
  void *data;
  size_t bytes;
} pith_trainer_piece;
/* Pieces to be written as they are, or read into, in order; borrowed. After reading, pith_trainer_state_changed. */
const pith_trainer_piece *pith_trainer_get_state(pith_trainer *trainer, size_t *out_count);
void pith_trainer_state_changed(pith_trainer *trainer);

#endif
