/* pith: the command. Each subcommand has a file of its own; this one lists them. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

extern const pith_command pith_command_new, pith_command_import, pith_command_inspect, pith_command_tokenize,
    pith_command_run, pith_command_eval, pith_command_bench, pith_command_pack, pith_command_prune,
    pith_command_quantize, pith_command_train, pith_command_compress, pith_command_verify;

const pith_command *const pith_commands[] = {
    &pith_command_import, &pith_command_new,      &pith_command_inspect, &pith_command_pack,
    &pith_command_verify, &pith_command_tokenize, &pith_command_run,     &pith_command_eval,
    &pith_command_train,  &pith_command_prune,    &pith_command_quantize, &pith_command_compress, &pith_command_bench, NULL,
};

static const char *next_command(void *context) {
  const pith_command *const **next = context;
  return **next == NULL ? NULL : (*(*next)++)->name;
}

int main(int argc, char **argv) {
  signal(SIGXFSZ, SIG_IGN); /* a write over the file size limit fails with EFBIG and is told, like one to a full disk */
  if (argc < 2) {
    pith_commands_print_help(stderr);
    return PITH_EXIT_USAGE;
  }
  const char *name = argv[1];
  if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
    pith_commands_print_help(stdout);
    return pith_report_finish(PITH_EXIT_OK);
  }
  if (strcmp(name, "--version") == 0) {
    printf("pith %s\n", PITH_VERSION);
    return pith_report_finish(PITH_EXIT_OK);
  }
  if (strcmp(name, "--generate") == 0 && argc == 3)
    return pith_report_finish(pith_generate(argv[2], stdout));
  const pith_command *command = pith_command_find(name);
  if (command == NULL) {
    const pith_command *const *next = pith_commands;
    const char *near = pith_suggest(name, next_command, &next);
    if (near != NULL)
      return pith_usage_error("no subcommand '%s', did you mean '%s'?", name, near);
    return pith_usage_error("no subcommand '%s' (see pith --help)", name);
  }
  return pith_report_finish(pith_command_main(command, argc - 2, argv + 2));
}
