#include "cli/session.h"

#include <sched.h>
#include <string.h>

static pith_status parse_features(const char *list, uint64_t *out_mask, pith_error *error) {
  *out_mask = 0;
  while (list != NULL && *list != '\0') {
    size_t bytes = strcspn(list, ",");
    unsigned bit = 0;
    const char *name;
    while ((name = pith_cpu_feature_name(bit)) != NULL &&
           (strlen(name) != bytes || memcmp(name, list, bytes) != 0))
      bit++;
    if (name == NULL)
      return pith_fail(error, PITH_INVALID_ARGUMENT, "--without: no CPU feature '%.*s'", (int)bytes, list);
    *out_mask |= UINT64_C(1) << bit;
    list += bytes + (list[bytes] == ',');
  }
  return PITH_OK;
}

size_t pith_cli_thread_count(const pith_cli_limits *limits) {
  if (limits->threads != 0)
    return limits->threads;
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
}

static pith_status make_options(const pith_model_info *info, const pith_cli_limits *limits,
                                pith_session_options *out_options, pith_error *error) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.max_tokens = limits->max_tokens == 0 ? PITH_DEFAULT_MAX_TOKENS : limits->max_tokens;
  if (options.max_tokens < info->max_length)
    options.max_tokens = info->max_length;
  options.max_sequences = limits->max_sequences == 0 ? options.max_tokens : limits->max_sequences;
  options.max_rows = limits->max_rows;
  options.profile = limits->profile;
  PITH_TRY(parse_features(limits->without, &options.cpu_features_mask, error));
  *out_options = options;
  return PITH_OK;
}

pith_status pith_cli_model_open(pith_cli_session *session, const char *path, const pith_cli_limits *limits,
                                pith_error *error) {
  *session = (pith_cli_session){.info = {.struct_size = sizeof session->info}};
  PITH_TRY(pith_model_open(path, NULL, &session->model, error));
  pith_status status = pith_model_get_info(session->model, &session->info, error);
  if (status == PITH_OK)
    status = make_options(&session->info, limits, &session->options, error);
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
