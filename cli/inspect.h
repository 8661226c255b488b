/* Views of pith inspect that have a file of their own. */
#ifndef PITH_CLI_INSPECT_H
#define PITH_CLI_INSPECT_H

#include "cli/session.h"

/* Sparsity of the model's products, weight by weight, for a session with these limits: which kernel runs, and why. Reads all
 * weights. */
PITH_WARN_UNUSED pith_status pith_inspect_sparsity(const char *path, const pith_cli_limits *limits, bool json,
                                                   pith_error *error);

#endif
