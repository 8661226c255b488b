/* The heads on token ids: what the text functions of pith.h do after encoding. For callers that have ids already, or
 * several texts' windows in one call. */
#ifndef PITH_MODELS_HEADS_H
#define PITH_MODELS_HEADS_H

#include "models/heads/feed.h"

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

#endif
