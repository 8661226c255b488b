/* The man page and bash completion, from the tables. Used by the build (pith --generate man|bash). */
#include <string.h>

#include "cli/command.h"
#include "cli/stages.h"

/* roff takes a leading dot or quote and every backslash and hyphen as its own. */
static void print_roff(FILE *out, const char *text) {
  if (*text == '.' || *text == '\'')
    fputs("\\&", out);
  for (; *text != '\0'; text++) {
    if (*text == '\\' || *text == '-')
      putc('\\', out);
    if (*text == '\\')
      fputs("e", out);
    else
      putc(*text, out);
  }
}

static void print_man(FILE *out) {
  fprintf(out,
          ".TH PITH 1 \"\" \"pith %s\" \"User Commands\"\n.SH NAME\npith \\- runs BERT\\-class language "
          "models from one file\n.SH SYNOPSIS\n",
          PITH_VERSION);
  for (const pith_command *const *next = pith_commands; *next != NULL; next++)
    fprintf(out, ".B pith %s\n.I %s\n[options]\n.br\n", (*next)->name, (*next)->operand);
  fputs(".SH SUBCOMMANDS\n", out);
  for (const pith_command *const *next = pith_commands; *next != NULL; next++) {
    const pith_command *command = *next;
    fprintf(out, ".SS pith %s %s\n", command->name, command->operand);
    print_roff(out, command->summary);
    fputs(".\n.PP\n", out);
    print_roff(out, command->details);
    fputs("\n", out);
    for (const pith_option *option = command->options; option->name != NULL; option++) {
      fputs(".TP\n.B ", out);
      if (option->letter != '\0')
        fprintf(out, "\\-%c, ", option->letter);
      fputs("\\-\\-", out);
      print_roff(out, option->name);
      if (option->argument != NULL)
        fprintf(out, " \\fI%s\\fR", option->argument);
      putc('\n', out);
      print_roff(out, option->help);
      putc('\n', out);
    }
  }
  fputs(".SH EXIT STATUS\n0 on success, 1 on failure with one line on standard error that says what and "
        "why, 2 on wrong usage.\n",
        out);
}

static void print_bash(FILE *out) {
  fputs("# bash completion for pith\n_pith() {\n  local word=${COMP_WORDS[COMP_CWORD]} options=\n  if [ \"$COMP_CWORD\" -eq 1 ]; then\n    "
        "COMPREPLY=($(compgen -W '",
        out);
  for (const pith_command *const *next = pith_commands; *next != NULL; next++)
    fprintf(out, "%s ", (*next)->name);
  fputs("--help --version' -- \"$word\"))\n    return\n  fi\n  case ${COMP_WORDS[1]} in\n", out);
  for (const pith_command *const *next = pith_commands; *next != NULL; next++) {
    fprintf(out, "  %s) options='--help", (*next)->name);
    for (const pith_option *option = (*next)->options; option->name != NULL; option++)
      fprintf(out, " --%s", option->name);
    fputs("' ;;\n", out);
  }
  fputs("  esac\n  if [[ $word == -* ]]; then\n    COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
        "  else\n    COMPREPLY=($(compgen -f -- \"$word\"))\n  fi\n}\n"
        "complete -o filenames -F _pith pith\n",
        out);
}

int pith_generate(const char *what, FILE *out) {
  static const struct {
    const char *name;
    void (*print)(FILE *out);
  } pages[] = {{"man", print_man}, {"bash", print_bash}, {"schema", pith_cli_print_schema}};
  for (size_t i = 0; i < sizeof pages / sizeof *pages; i++)
    if (strcmp(what, pages[i].name) == 0) {
      pages[i].print(out);
      return PITH_EXIT_OK;
    }
  return pith_usage_error("--generate makes man, bash or schema, not '%s'", what);
}
