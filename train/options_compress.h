/* Keys of what compresses a model while it is trained: rows of PITH_TRAIN_KEY_LIST (train/options.h). */
#ifndef PITH_TRAIN_OPTIONS_COMPRESS_H
#define PITH_TRAIN_OPTIONS_COMPRESS_H

#define PITH_TRAIN_DISTILL_KEY_LIST(X)                                                                     \
  X(teacher, "teacher", FILE, "T.pith", 0, 0, NULL,                                                        \
    "learn from the answers of this model, float or INT8, with the same tokenizer and labels")             \
  X(distill_weight, "distill-weight", NUMBER, "W", 0, 1, NULL,                                             \
    "share of the loss that the teacher's answers have, labels the rest (default 0.9); 1: labels are not needed") \
  X(distill_temperature, "distill-temperature", NUMBER, "T", 1e-3, 1e3, NULL,                              \
    "logits of teacher and student are divided by it (default 2)")                                         \
  X(distill_hidden, "distill-hidden", NUMBER, "H", 0, 1e6, NULL,                                           \
    "add H times the mean squared error of hidden states, of up to 3 layers (0: not)")                     \
  X(distill_attention, "distill-attention", NUMBER, "A", 0, 1e6, NULL,                                     \
    "add A times the mean squared error of attention's scores, of up to 3 layers with as many heads (0: not)") \
  X(distill_relations, "distill-relations", NUMBER, "R", 0, 1e6, NULL,                                     \
    "add R times the divergence of relations among queries, keys and values of the last layers (0: not)")  \
  X(relation_heads, "distill-relation-heads", COUNT, "N", 0, 65536, NULL,                                  \
    "heads that relations divide widths into (0: as many as the teacher's layer has)")                     \
  X(relation_layer, "distill-relation-layer", COUNT, "N", 0, 65536, NULL, "the teacher's layer, from 1, whose relations are learned (0: its last)")
#define PITH_TRAIN_PRUNE_KEY_LIST(X)                                                                       \
  X(prune_pattern, "prune-pattern", TEXT, "PATTERN", 0, 0, NULL,                                           \
    "set weights to 0 while training: element, blocks of outputs x inputs such as 4x1, N:M, row or column") \
  X(prune_sparsity, "prune-sparsity", NUMBER, "S", 0, 1, pith_prune_sparsity_words, "share of zeros, 0 to 1; N:M says it itself") \
  X(prune_score, "prune-score", WORD, "NAME", 0, 0, pith_prune_score_words,                                \
    "what a block is worth, those of least worth going first:" PITH_PRUNE_SCORE_LIST(PITH_RECIPE_SAY) " (default snip_momentum)") \
  X(prune_scope, "prune-scope", WORD, "SCOPE", 0, 0, pith_prune_scope_words,                               \
    "global: one threshold for all weights (default); layer: the same sparsity in each")                   \
  X(prune_schedule, "prune-schedule", WORD, "NAME", 0, 0, pith_schedule_words,                 \
    "how sparsity grows:" PITH_SCHEDULE_LIST(PITH_RECIPE_SAY) " (default cubic)")                           \
  X(prune_begin, "prune-begin", NUMBER, "N", 0, 1e12, NULL, "the first step that prunes; below 1 a share of all (default 0.05)") \
  X(prune_end, "prune-end", NUMBER, "N", 0, 1e12, NULL,                                                    \
    "the step that reaches the sparsity; below 1 a share of all (default 0.6)")                            \
  X(prune_every, "prune-every", COUNT, "N", 1, 1e9, NULL, "steps from one choice of zeros to the next (default 10)") \
  X(prune_exclude, "prune-exclude", PATTERNS, "PATTERN", 0, 0, NULL,                                       \
    "operators that stay dense and do not count: names with * and ?, by commas")                           \
  X(prune_minimum, "prune-minimum", NUMBER, "S", 0, 1, NULL, "global scope: no weight has a sparsity below") \
  X(prune_maximum, "prune-maximum", NUMBER, "S", 0, 1, NULL, "global scope: no weight has a sparsity above (default 0.98)") \
  X(prune_lasso, "prune-lasso", NUMBER, "A", 0, 1e3, NULL,                                                 \
    "group_lasso: the penalty's factor, whose gradient is A w over the norm of w, block by block (default 1e-4)") \
  X(prune_fisher_gradients, "prune-fisher-gradients", COUNT, "N", 1, 1e9, NULL,                            \
    "obert: steps whose gradients its Fisher matrix is the mean of; before, it fades (default 1024)")      \
  X(prune_fisher_block, "prune-fisher-block", COUNT, "N", 1, 64, NULL,                                     \
    "obert: inputs of a block of it: 2 (N + 1) bytes a weight (default 50)")                               \
  X(prune_fisher_damp, "prune-fisher-damp", NUMBER, "D", 1e-30, 1e3, NULL, "obert: added to its diagonal (default 1e-7)") \
  X(prune_no_update, "prune-no-update", FLAG, NULL, 0, 0, NULL,                                            \
    "obert: the weights that stay do not make good for those that go")                                     \
  X(prune_score_rate, "prune-score-rate", NUMBER, "F", 0, 1e9, NULL,                                       \
    "rb, soft_movement: the learning rate of scores is F times that of weights (default 1000)")            \
  X(prune_penalty, "prune-penalty", NUMBER, "P", 0, 1e9, NULL,                                             \
    "soft_movement: the loss has P times the mean of sigmoid(score), P growing along the schedule (default 100)") \
  X(prune_rewind, "prune-rewind", NUMBER, "N", 0, 1e12, pith_train_never_words,                            \
    "after each choice of zeros weights go back to what they were at step N, below 1 a share of all (default: never)")

#endif
