/* An open model with a session on it, as subcommands need them. */
#ifndef PITH_CLI_SESSION_H
#define PITH_CLI_SESSION_H

#include <pthreadpool.h>

#include "cli/command.h"

typedef struct pith_cli_limits {
  uint64_t threads;       /* 0: the CPUs that this process may use (engine/exec/usable_cpus.h) */
  uint64_t max_tokens;    /* in one run; raised to the model's max_length, so that no text is cut */
  uint64_t max_sequences; /* in one run; 0: as many as max_tokens */
  uint64_t max_rows;      /* see pith_session_options */
  uint64_t without;       /* CPU features not to use */
  bool profile;
  double exit_threshold;  /* see pith_session_options; 0: none */
} pith_cli_limits;

typedef struct pith_cli_session {
  pith_model *model;
  pith_model_info info;
  pthreadpool_t pool;
  pith_session *session;
  pith_session_options options; /* what the session was created with */
} pith_cli_session;

/* Rows of option tables that several subcommands have; `settings` has a pith_cli_limits called `limits`. */
#define PITH_OPTION_THREADS(settings)                                                                      \
  {"threads", 0, false, PITH_OPTION_COUNT, "N", offsetof(settings, limits.threads), 1, 1024,               \
   "threads to compute with (default: the CPUs this process may use)"}
#define PITH_OPTION_MAX_TOKENS(settings)                                                                   \
  {"max-tokens", 0, false, PITH_OPTION_COUNT, "N", offsetof(settings, limits.max_tokens), 1, 1 << 24,      \
   "most tokens in one run, over all its texts (default: 2048)"}
#define PITH_OPTION_BATCH(settings)                                                                        \
  {"batch", 0, false, PITH_OPTION_COUNT, "N", offsetof(settings, limits.max_sequences), 1, 1 << 20,        \
   "most texts in one run (default: what max-tokens holds)"}
#define PITH_OPTION_WITHOUT(settings)                                                                      \
  {"without", 0, false, PITH_OPTION_FEATURES, "FEATURES", offsetof(settings, limits.without), 0, 0,        \
   "CPU features not to use, such as avx512,avx2"}

#define PITH_OPTION_EXIT_THRESHOLD(settings)                                                               \
  {"exit-threshold", 0, false, PITH_OPTION_NUMBER, "P", offsetof(settings, limits.exit_threshold), 0, 0,   \
   "a text is done at the first exit whose likeliest label has at least this probability, to 1 (models that pith train --exits made)"}

enum { PITH_DEFAULT_MAX_TOKENS = 2048 };

/* Opens the model and the pool and fills the options; on failure nothing is left open. */
PITH_WARN_UNUSED pith_status pith_cli_model_open(pith_cli_session *session, const char *path,
                                                 const pith_cli_limits *limits, pith_error *error);
/* The session too. */
PITH_WARN_UNUSED pith_status pith_cli_session_open(pith_cli_session *session, const char *path,
                                                   const pith_cli_limits *limits, pith_error *error);
void pith_cli_session_close(pith_cli_session *session);

size_t pith_cli_thread_count(const pith_cli_limits *limits);

#endif
