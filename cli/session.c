#include "cli/session.h"

#include <string.h>

#include "engine/exec/usable_cpus.h"

size_t pith_cli_thread_count(const pith_cli_limits *limits) {
  if (limits->threads != 0)
    return limits->threads;
  return pith_usable_cpus("");
}

static pith_session_options make_options(const pith_model_info *info, const pith_cli_limits *limits) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = limits->max_tokens == 0 ? PITH_DEFAULT_MAX_TOKENS : limits->max_tokens;
  if (options.max_tokens < info->max_length)
    options.max_tokens = info->max_length;
  options.max_sequences = limits->max_sequences == 0 ? options.max_tokens : limits->max_sequences;
  options.max_rows = limits->max_rows;
  options.profile = limits->profile;
  options.cpu_features_mask = limits->without;
  options.exit_threshold = limits->exit_threshold;
  return options;
}

pith_status pith_cli_model_open(pith_cli_session *session, const char *path, const pith_cli_limits *limits,
                                pith_error *error) {
  *session = (pith_cli_session){.info = {.struct_size = sizeof session->info}};
  PITH_TRY(pith_model_open(path, NULL, &session->model, error));
  pith_status status = pith_model_get_info(session->model, &session->info, error);
  if (status == PITH_OK)
    session->options = make_options(&session->info, limits);
  size_t threads = pith_cli_thread_count(limits);
  if (status == PITH_OK && threads > 1) {
    session->pool = pthreadpool_create(threads);
    if (session->pool == NULL)
      status = pith_fail(error, PITH_OUT_OF_MEMORY, "no pool of %zu threads", threads);
    session->options.threadpool = session->pool;
  }
  if (status != PITH_OK)
    pith_cli_session_close(session);
  return status;
}

pith_status pith_cli_session_open(pith_cli_session *session, const char *path, const pith_cli_limits *limits,
                                  pith_error *error) {
  PITH_TRY(pith_cli_model_open(session, path, limits, error));
  pith_status status = pith_session_create(session->model, &session->options, &session->session, error);
  if (status != PITH_OK)
    pith_cli_session_close(session);
  return status;
}

void pith_cli_session_close(pith_cli_session *session) {
  pith_session_destroy(session->session);
  if (session->pool != NULL)
    pthreadpool_destroy(session->pool);
  pith_model_close(session->model);
  *session = (pith_cli_session){0};
}
