/* Pith: runs BERT-class language models from one file.
 *
 * A pith_model is immutable and may be shared by any number of threads. A pith_session holds every buffer
 * that running needs and belongs to one thread at a time. Nothing here prints, exits or aborts: a function
 * that can fail returns a status and, where the caller passes a pith_error, a message that names the thing,
 * the value and the bound.
 *
 * Structures that may grow begin with `struct_size`: set it to sizeof the structure (or use the initializer
 * macro); fields past the caller's size read as zero.
 */
#ifndef PITH_PITH_H
#define PITH_PITH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PITH_VERSION "0.1.0"

#if defined(__GNUC__)
#define PITH_WARN_UNUSED __attribute__((warn_unused_result))
#define PITH_API __attribute__((visibility("default")))
#else
#define PITH_WARN_UNUSED
#define PITH_API
#endif

/* ---- statuses and errors ---------------------------------------------------------------------------- */

/* name, meaning. The one list of statuses: the enumeration and pith_status_string come from it. */
#define PITH_STATUS_LIST(X)                                                                                \
  X(OK, "success")                                                                                         \
  X(INVALID_ARGUMENT, "invalid argument")                                                                  \
  X(OUT_OF_MEMORY, "out of memory")                                                                        \
  X(IO, "input/output error")                                                                              \
  X(FORMAT, "malformed data")                                                                              \
  X(UNSUPPORTED, "not supported")                                                                          \
  X(LIMIT, "over a limit")                                                                                 \
  X(CANCELLED, "cancelled")                                                                                \
  X(DEADLINE, "deadline exceeded")

typedef enum pith_status {
#define PITH_STATUS_ENUM(name, text) PITH_##name,
  PITH_STATUS_LIST(PITH_STATUS_ENUM)
#undef PITH_STATUS_ENUM
} pith_status;

/* A short English text for a status ("malformed data"); never NULL. Thread-safe. */
PITH_API const char *pith_status_string(pith_status status);

/* Filled on failure by every function that takes one; NULL is accepted everywhere. */
typedef struct pith_error {
  pith_status status;
  char message[500]; /* one line, no newline at its end */
} pith_error;

/* ---- memory ------------------------------------------------------------------------------------------ */

/* A caller's allocator. `allocate` returns memory aligned to `alignment` (a power of two, at most 4096) or NULL;
 * `release` accepts what `allocate` returned, with the same size. Both must be thread-safe where models or
 * sessions are created from several threads. */
typedef struct pith_allocator {
  void *(*allocate)(void *context, size_t bytes, size_t alignment);
  void (*release)(void *context, void *memory, size_t bytes);
  void *context;
} pith_allocator;

/* ---- model ------------------------------------------------------------------------------------------- */

typedef struct pith_model pith_model;

typedef struct pith_model_options {
  size_t struct_size;
  const pith_allocator *allocator; /* NULL: the C library's; copied */
} pith_model_options;
#define PITH_MODEL_OPTIONS_INIT {sizeof(pith_model_options), NULL}

/* Opens a .pith file: maps it and checks its structure; reads no weight byte. `options` may be NULL.
 * The file must not be changed while the model is open (replace files by rename). Thread-safe. */
PITH_API PITH_WARN_UNUSED pith_status pith_model_open(const char *path, const pith_model_options *options,
                                                      pith_model **out_model, pith_error *error);

/* The same from memory that the caller keeps unchanged, aligned to 64 bytes, until pith_model_close. */
PITH_API PITH_WARN_UNUSED pith_status pith_model_open_memory(const void *bytes, size_t size,
                                                             const pith_model_options *options,
                                                             pith_model **out_model, pith_error *error);

/* Closes a model; every session on it must have been destroyed. NULL is accepted. */
PITH_API void pith_model_close(pith_model *model);

/* The task that a model's head answers. The text names are the field's own (Hugging Face pipelines). */
#define PITH_TASK_LIST(X)                                                                                  \
  X(NONE, "none")                                                                                          \
  X(CLASSIFICATION, "text-classification")                                                                 \
  X(MULTI_LABEL, "multi-label-classification")                                                             \
  X(REGRESSION, "regression")                                                                              \
  X(TOKEN_CLASSIFICATION, "token-classification")                                                          \
  X(QUESTION_ANSWERING, "question-answering")                                                              \
  X(FILL_MASK, "fill-mask")                                                                                \
  X(EMBEDDING, "feature-extraction")                                                                       \
  X(RERANK, "text-ranking")
typedef enum pith_task {
#define PITH_TASK_ENUM(name, text) PITH_TASK_##name,
  PITH_TASK_LIST(PITH_TASK_ENUM)
#undef PITH_TASK_ENUM
} pith_task;

/* The task's name ("text-classification"); never NULL. Thread-safe. */
PITH_API const char *pith_task_name(pith_task task);

/* What a caller may want to know of a model. Pointers live as long as the model. */
typedef struct pith_model_info {
  size_t struct_size;
  const char *architecture; /* "bert", "roberta", ... */
  pith_task task;
  size_t label_count;
  const char *const *labels; /* [label_count] */
  size_t embedding_size;     /* features of one embedding; 0 where the task is another */
  size_t max_length;         /* most tokens in one sequence, special tokens included */
  size_t hidden_size;
  uint64_t parameter_count;
  uint64_t file_bytes;
  int has_tokenizer;
  size_t exit_count;         /* heads behind earlier layers, at which a session may be done (exit_threshold) */
} pith_model_info;

PITH_API PITH_WARN_UNUSED pith_status pith_model_get_info(const pith_model *model, pith_model_info *out_info,
                                                          pith_error *error);

/* ---- text to token ids ------------------------------------------------------------------------------- */

struct pthreadpool; /* from <pthreadpool.h>; a pthreadpool_t is a pointer to it */

/* One encoded text or pair. Arrays are the caller's, each with room for `capacity` entries; a NULL array is not
 * written. `offsets` are byte ranges [begin, end) in the original text (0, 0 for special tokens);
 * `sequence` is 0 for the text, 1 for the pair, 255 for special tokens. */
typedef struct pith_encoding {
  size_t struct_size;
  size_t capacity;
  int32_t *ids;
  int32_t *type_ids;
  uint32_t (*offsets)[2];
  uint8_t *sequence;
  size_t count; /* out: tokens written; with PITH_LIMIT: how many there are, of which the first `capacity` are written */
} pith_encoding;

/* Encodes `text` (and `pair`, unless NULL), special tokens added, truncated longest-first to `max_length` tokens
 * (0: not truncated). Lengths are in bytes; SIZE_MAX: zero-terminated. PITH_LIMIT where `capacity` is too small;
 * PITH_UNSUPPORTED where the model carries no tokenizer. Thread-safe; allocates only for texts whose words need
 * more than a fixed scratch buffer. */
PITH_API PITH_WARN_UNUSED pith_status pith_encode(const pith_model *model, const char *text, size_t text_bytes,
                                                  const char *pair, size_t pair_bytes, size_t max_length,
                                                  pith_encoding *encoding, pith_error *error);

/* Encodes n texts on the threads of `threadpool` (NULL: on the calling thread), each to encodings[i] as pith_encode does
 * alone; texts are zero-terminated. `pairs`: NULL, or [n], of which each may be NULL. `encodings`: [n], all of one
 * struct_size, with arrays of their own. `out_statuses`, unless NULL: [n], how each text fared. Every text is
 * encoded, whatever becomes of the others; the status and message returned are of the first, in the order of the input, that
 * failed. `n` may be 0. Thread-safe; calls that share a pool take turns, and none may be made from inside a task of it. */
PITH_API PITH_WARN_UNUSED pith_status pith_encode_batch(const pith_model *model, struct pthreadpool *threadpool,
                                                        const char *const *texts, const char *const *pairs,
                                                        size_t n, size_t max_length, pith_encoding *encodings,
                                                        pith_status *out_statuses, pith_error *error);

/* The text of a token ("##ing"), or NULL where there is none with that id. Lives as long as the model; not
 * zero-terminated: its length goes to `out_bytes`. Thread-safe. */
PITH_API const char *pith_token_text(const pith_model *model, int32_t id, size_t *out_bytes);

/* The text that a token stands for: byte-level stand-ins become their bytes, which may be part of a character (RoBERTa's
 * "Ġhello" is " hello"); other tokens are as pith_token_text has them. At most `capacity` bytes are written to `out_text`
 * (NULL where that is 0), no zero after them. Returns how many there are; 0 where no token has that id. Thread-safe. */
PITH_API size_t pith_token_decode(const pith_model *model, int32_t id, size_t capacity, char *out_text);

/* ---- session ----------------------------------------------------------------------------------------- */

typedef struct pith_session pith_session;

typedef struct pith_session_options {
  size_t struct_size;
  size_t max_tokens;    /* most tokens in one run, over all its sequences; 0: the model's max_length */
  size_t max_sequences; /* most sequences in one run; 0: 1 */
  size_t max_rows;      /* most rows of token-level logits asked for in one run (fill-mask); 0: 16 */
  /* NULL: everything runs on the calling thread. Sessions may share a pool: their runs take turns, each with all of
   * the pool's threads, and wait for each other without looking at cancel or deadline, which are looked at once the run
   * has its turn. A run must not be started from inside a task of the same pool: it would wait for itself. */
  struct pthreadpool *threadpool;
  const pith_allocator *allocator; /* NULL: the model's; copied */
  uint64_t cpu_features_mask;      /* features not to be used (bits of pith_cpu_features); 0: use all */
  int profile;                     /* not 0: time every operator (see pith_session_profile); not with exit_threshold */
  /* 0: every sequence goes through the whole model. Else, to 1, and of a model with exits (pith_model_info): a sequence is done at the first
   * exit whose largest softmax probability is at least this, and "logits", then the only output, are those of that exit. The answer for
   * a sequence still has the same bits in any batch; buffers are held for each stage between two exits. */
  double exit_threshold;
} pith_session_options;
#define PITH_SESSION_OPTIONS_INIT {sizeof(pith_session_options), 0, 0, 0, NULL, NULL, 0, 0, 0}

/* Lowers the model for this CPU and these limits and allocates everything that running needs. `options` may be
 * NULL. Thread-safe on the model. */
PITH_API PITH_WARN_UNUSED pith_status pith_session_create(const pith_model *model,
                                                          const pith_session_options *options,
                                                          pith_session **out_session, pith_error *error);
PITH_API void pith_session_destroy(pith_session *session); /* NULL is accepted */

/* The bytes that a session with these options would hold at its peak. Makes all of the session, through its allocator, but
 * the block of buffers and packed weights, whose size it then knows, and destroys it again: it takes the time and the
 * memory of lowering. Never exceeded by the session's own allocations. */
PITH_API PITH_WARN_UNUSED pith_status pith_session_plan_memory(const pith_model *model,
                                                               const pith_session_options *options,
                                                               size_t *out_bytes, pith_error *error);

/* Token ids of `sequences` sequences, one after the other without padding. */
typedef struct pith_batch {
  size_t struct_size;
  size_t sequences;
  const int32_t *offsets;  /* [sequences + 1], ascending, offsets[0] = 0; sequence i is tokens offsets[i]..offsets[i+1] */
  const int32_t *ids;      /* [offsets[sequences]] */
  const int32_t *type_ids; /* the same shape, or NULL: all 0 */
  const int32_t *rows;     /* [row_count] token positions whose logits are wanted (fill-mask), else NULL */
  size_t row_count;
  const int *cancel;       /* NULL, or read between operators: not 0 ends the run with PITH_CANCELLED */
  uint64_t deadline_ns;    /* CLOCK_MONOTONIC; 0: none. Past it the run ends with PITH_DEADLINE */
} pith_batch;
#define PITH_BATCH_INIT {sizeof(pith_batch), 0, NULL, NULL, NULL, NULL, 0, NULL, 0}

/* A float output, row-major [rows, columns]; lives in the session until its next run. */
typedef struct pith_output {
  const char *name; /* "logits", "embedding", "last_hidden_state", ... */
  const float *data;
  size_t rows, columns;
} pith_output;

#define PITH_MAX_OUTPUTS 4
/* The first PITH_MAX_OUTPUTS outputs of the model. */
typedef struct pith_result {
  size_t struct_size;
  size_t count;
  pith_output outputs[PITH_MAX_OUTPUTS];
} pith_result;

/* Runs the model over token ids. Never allocates. An id outside the vocabulary, a sequence of no tokens or longer
 * than the model's max_length, or a batch over the session's limits is an error that names the value and the
 * bound. The answer for a sequence has the same bits in any batch, order and thread count, on any CPU. */
PITH_API PITH_WARN_UNUSED pith_status pith_session_run(pith_session *session, const pith_batch *batch,
                                                       pith_result *out_result, pith_error *error);

/* Of a session with an exit_threshold: sequences that each exit has answered, the model's end last, over all runs so far;
 * [*out_count], lives in the session. NULL and 0 of any other. */
PITH_API const uint64_t *pith_session_get_exits(const pith_session *session, size_t *out_count);

/* ---- text to answers --------------------------------------------------------------------------------- */
/* These encode, order by length, run in batches that fit the session, and answer in the order of the input. Texts
 * are zero-terminated UTF-8; lengths are in tokens, special tokens included.
 *
 * Truncation: pith_classify, pith_embed and pith_fill_mask cut a text at the model's max_length (of a pair, the
 * longer text first). They never cut at a session's: a text that is then longer than its max_tokens is PITH_LIMIT,
 * with both numbers. pith_tag and pith_answer_questions read all of a text, in overlapping windows of at most the
 * model's max_length or the session's max_tokens, whichever is less (and 384 for questions); their answers
 * for texts longer than that depend on it.
 *
 * Errors of all of them: PITH_INVALID_ARGUMENT where a pointer is NULL that may not be or the model's task is another;
 * PITH_UNSUPPORTED where the model carries no tokenizer; PITH_LIMIT, which names the number and the limit;
 * PITH_OUT_OF_MEMORY; and pith_session_run's. On an error outputs hold no answer (some may be written).
 *
 * Threads: a call uses its session alone, so one call at a time on a session; different sessions may be used at
 * once. Scratch comes from the session's allocator and is released before the call returns. `n` may be 0;
 * its arrays may then be NULL. */

typedef struct pith_label {
  int32_t index;       /* into pith_model_info.labels: the best label; regression and reranking: 0 */
  float score;         /* probability (softmax, or sigmoid where labels are independent or the task reranks);
                        * regression: the value itself (one label without problem_type "regression" reranks) */
} pith_label;

/* The label of each text, or of each text and its pair. `pairs`: NULL, or [n], of which each may be NULL. `out_labels`: [n].
 * `out_logits`, unless NULL: [n, label_count], as the model gives them. Tasks: classification, multi-label
 * classification, regression and reranking. */
PITH_API PITH_WARN_UNUSED pith_status pith_classify(pith_session *session, const char *const *texts,
                                                    const char *const *pairs, size_t n, pith_label *out_labels,
                                                    float *out_logits, pith_error *error);

/* One vector for each text. `out_vectors`: [n, embedding_size] (pith_model_info). Task: embedding. */
PITH_API PITH_WARN_UNUSED pith_status pith_embed(pith_session *session, const char *const *texts, size_t n,
                                                 float *out_vectors, pith_error *error);

typedef struct pith_answer {
  uint32_t begin, end; /* bytes of the context */
  float score;         /* softmax(start) x softmax(end), summed over the spans that read the same */
} pith_answer;

/* The best span of contexts[i] for questions[i], of at most 15 tokens widened to whole words; 0, 0 with score 0 where a
 * context has no token. `out_answers`: [n]. A question is never cut: PITH_LIMIT where it leaves a window no room for the
 * context. Task: question answering. */
PITH_API PITH_WARN_UNUSED pith_status pith_answer_questions(pith_session *session,
                                                            const char *const *questions,
                                                            const char *const *contexts, size_t n,
                                                            pith_answer *out_answers, pith_error *error);

typedef struct pith_entity {
  uint32_t begin, end; /* bytes of the text */
  int32_t label;       /* into labels */
  float score;         /* mean probability of its tokens */
} pith_entity;

/* Entities of one text in its order, tokens merged by their B-/I- tags ("simple" aggregation). `out_entities`: [capacity],
 * NULL where that is 0; at most `capacity` are written and `out_count` is how many there are, which may be more. Neighbouring windows
 * share a quarter of their tokens; each token is judged where it stands further from an edge. Task: token
 * classification. */
PITH_API PITH_WARN_UNUSED pith_status pith_tag(pith_session *session, const char *text, size_t capacity,
                                               pith_entity *out_entities, size_t *out_count, pith_error *error);

typedef struct pith_fill {
  size_t mask; /* which mask token of the text, from 0 */
  int32_t id;
  float score; /* probability */
} pith_fill;

/* The `k` likeliest tokens of every mask token in `text`, best first: [masks, k]. `out_fills`: [capacity], NULL where that
 * is 0; at most `capacity` entries are written and `out_count` is how many there are, which may be more. PITH_INVALID_ARGUMENT
 * where k is 0 or over the vocabulary, or no mask token is left once the text is cut. Task: fill-mask. */
PITH_API PITH_WARN_UNUSED pith_status pith_fill_mask(pith_session *session, const char *text, size_t k,
                                                     size_t capacity, pith_fill *out_fills, size_t *out_count,
                                                     pith_error *error);

/* ---- profile ----------------------------------------------------------------------------------------- */

typedef struct pith_profile_entry {
  const char *name;     /* the step: "encoder.layer.0.ffn.in" */
  const char *operator_name; /* "Gemm+Gelu" */
  const char *kernel;   /* "gemm_f32_64x48_avx512" */
  uint64_t calls;
  uint64_t nanoseconds; /* over all calls */
  double flops, bytes;  /* over all calls: arithmetic of products, bytes read and written */
  uint64_t last_begin_ns; /* CLOCK_MONOTONIC of the last call */
  uint64_t last_end_ns;
} pith_profile_entry;

/* Borrowed until the session is destroyed; empty unless the session was created with `profile`, and
 * for NULL. */
PITH_API void pith_session_profile(const pith_session *session, const pith_profile_entry **out_entries,
                                   size_t *out_count);

/* The features of this CPU that Pith can use, as the bits of cpu_features_mask; names in order of bits. */
PITH_API uint64_t pith_cpu_features(void);
PITH_API const char *pith_cpu_feature_name(unsigned bit); /* NULL past the last */

#ifdef __cplusplus
}
#endif
#endif
