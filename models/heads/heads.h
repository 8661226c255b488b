/* The heads on token ids: what the text functions of pith.h do after encoding. For callers that have ids already, or
 * several texts' windows in one call. */
#ifndef PITH_MODELS_HEADS_H
#define PITH_MODELS_HEADS_H

#include "models/heads/feed.h"

/* A pointer that a text function was given. */
typedef struct pith_head_argument {
  const char *name;
  const void *value;
  bool unused; /* it may be NULL: nothing is read or written there */
} pith_head_argument;
/* PITH_INVALID_ARGUMENT, naming it, where the session or one of the arguments is NULL. */
PITH_WARN_UNUSED pith_status pith_heads_check_arguments(const char *function, const pith_session *session,
                                                        const pith_head_argument *arguments, size_t count,
                                                        pith_error *error);
/* PITH_INVALID_ARGUMENT, naming the model's task, unless `tasks` has the bit of that task. */
#define PITH_TASK_BIT(task) (1u << (task))
PITH_WARN_UNUSED pith_status pith_heads_check_task(const pith_model *model, uint32_t tasks, const char *what,
                                                   pith_error *error);
/* The session's output called `name`, of the given shape; PITH_FORMAT otherwise. */
PITH_WARN_UNUSED pith_status pith_heads_find_output(const pith_result *result, const char *name, size_t rows,
                                                    size_t columns, const float **out_data, pith_error *error);

/* pith_classify on sequences: out_labels [n]; out_logits [n, label_count], or NULL. */
PITH_WARN_UNUSED pith_status pith_heads_classify(pith_session *session, const pith_sequence *sequences,
                                                 size_t n, pith_arena *arena, pith_label *out_labels,
                                                 float *out_logits, pith_error *error);
/* pith_embed on sequences: out_vectors [n, embedding_size]. */
PITH_WARN_UNUSED pith_status pith_heads_embed(pith_session *session, const pith_sequence *sequences, size_t n,
                                              pith_arena *arena, float *out_vectors, pith_error *error);

/* How the heads read texts of more tokens than `max_tokens` (pith_windows_plan): of words to be labelled, which share a quarter;
 * of questions with their contexts, which are at most 384 long and share 128 tokens of the context. */
PITH_WARN_UNUSED pith_status pith_heads_plan_tags(const pith_encoded_text *text, size_t max_tokens, pith_windows *out_windows,
                                                  pith_error *error);
PITH_WARN_UNUSED pith_status pith_heads_plan_answers(const pith_encoded_text *text, size_t max_tokens,
                                                     pith_windows *out_windows, pith_error *error);

/* One text with a label for each of its tokens. */
typedef struct pith_token_label {
  int32_t index; /* among the model's labels */
  float score;
} pith_token_label;
typedef struct pith_labelled_text {
  pith_encoded_text encoded;
  size_t begin, end;        /* its own tokens, without the special ones around them */
  pith_token_label *labels; /* [encoded.count], of begin .. end - 1 */
} pith_labelled_text;
/* Texts of any length, their windows in common batches; all in `arena`. */
PITH_WARN_UNUSED pith_status pith_heads_label_tokens(pith_session *session, const char *const *texts, size_t n,
                                                     pith_arena *arena, pith_labelled_text *out_texts, pith_error *error);

/* The entities of one text, as pith_tag gives them. */
typedef struct pith_tagged {
  size_t count;
  const pith_entity *entities; /* [count] */
} pith_tagged;
/* pith_tag on many texts, their windows in common batches: out_tagged [n], its entities in `arena`. */
PITH_WARN_UNUSED pith_status pith_heads_tag(pith_session *session, const char *const *texts, size_t n,
                                            pith_arena *arena, pith_tagged *out_tagged, pith_error *error);

/* What an entity is called: its label without B- or I-; whether it was B-. */
const char *pith_heads_entity_name(const char *label, bool *out_begins);

/* The fills of one text, as pith_fill_mask gives them. */
typedef struct pith_filled {
  size_t mask_count;
  const pith_fill *fills; /* [mask_count, k] */
} pith_filled;
/* pith_fill_mask on many texts in common batches: out_filled [n], its fills in `arena`. */
PITH_WARN_UNUSED pith_status pith_heads_fill_mask(pith_session *session, const char *const *texts, size_t n,
                                                  size_t k, pith_arena *arena, pith_filled *out_filled,
                                                  pith_error *error);

#endif
