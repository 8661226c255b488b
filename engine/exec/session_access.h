/* What task heads and the command read of a session: its model and the limits it was made for. */
#ifndef PITH_EXEC_SESSION_ACCESS_H
#define PITH_EXEC_SESSION_ACCESS_H

#include <pith/pith.h>

struct pith_program;
struct pith_executor;

const pith_model *pith_session_get_model(const pith_session *session);
const pith_allocator *pith_session_get_allocator(const pith_session *session);
struct pthreadpool *pith_session_get_threadpool(const pith_session *session); /* NULL: the calling thread alone */
size_t pith_session_get_max_tokens(const pith_session *session);
size_t pith_session_get_max_sequences(const pith_session *session);
size_t pith_session_get_max_rows(const pith_session *session);

/* For inspection and tests; NULL where the session runs in stages (exit_threshold). */
const struct pith_program *pith_session_get_program(const pith_session *session);
const struct pith_executor *pith_session_get_executor(const pith_session *session);

#endif
