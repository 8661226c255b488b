#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/command.h"

int pith_usage_error(const char *format, ...) {
  char message[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  pith_report_failure("%s", message);
  return PITH_EXIT_USAGE;
}

const pith_command *pith_command_find(const char *name) {
  for (const pith_command *const *command = pith_commands; *command != NULL; command++)
    if (strcmp((*command)->name, name) == 0)
      return *command;
  return NULL;
}

static const char *next_option(void *context) {
  const pith_option **next = context;
  return (*next)->name == NULL ? NULL : (*next)++->name;
}

/* ---- parsing ------------------------------------------------------------------------------------------ */

static const pith_option *find_long(const pith_command *command, const char *name, size_t bytes) {
  for (const pith_option *option = command->options; option->name != NULL; option++)
    if (strlen(option->name) == bytes && memcmp(option->name, name, bytes) == 0)
      return option;
  return NULL;
}

static const pith_option *find_letter(const pith_command *command, char letter) {
  for (const pith_option *option = command->options; option->name != NULL; option++)
    if (option->letter == letter)
      return option;
  return NULL;
}

static int set_features(const pith_option *option, const char *list, uint64_t *out_mask) {
  for (*out_mask = 0; *list != '\0';) {
    size_t bytes = strcspn(list, ",");
    unsigned bit = 0;
    const char *name;
    while ((name = pith_cpu_feature_name(bit)) != NULL && (strlen(name) != bytes || memcmp(name, list, bytes) != 0))
      bit++;
    if (name == NULL) {
      char known[300] = "";
      for (unsigned b = 0; (name = pith_cpu_feature_name(b)) != NULL; b++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", b == 0 ? "" : ", ", name);
      return pith_usage_error("--%s: no CPU feature '%.*s'; there are %s", option->name, (int)bytes, list, known);
    }
    *out_mask |= UINT64_C(1) << bit;
    list += bytes + (list[bytes] == ',');
  }
  return PITH_EXIT_OK;
}

static int set_value(const pith_option *option, const char *value, char *settings) {
  void *field = settings + option->offset;
  char *end = NULL;
  errno = 0;
  switch (option->type) {
  case PITH_OPTION_FLAG:
    *(bool *)field = true;
    return PITH_EXIT_OK;
  case PITH_OPTION_TEXT:
  case PITH_OPTION_FILE:
    *(const char **)field = value;
    return PITH_EXIT_OK;
  case PITH_OPTION_COUNT: {
    unsigned long long number = strtoull(value, &end, 10);
    if (*value < '0' || *value > '9' || *end != '\0' || errno != 0)
      return pith_usage_error("--%s takes a whole number, not '%s'", option->name, value);
    if (number < option->minimum || number > option->maximum)
      return pith_usage_error("--%s is %s, outside %llu to %llu", option->name, value,
                              (unsigned long long)option->minimum,
                              (unsigned long long)option->maximum);
    *(uint64_t *)field = number;
    return PITH_EXIT_OK;
  }
  case PITH_OPTION_NUMBER: {
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 || !(number > 0 && number < 1e9))
      return pith_usage_error("--%s takes a number above 0, not '%s'", option->name, value);
    *(double *)field = number;
    return PITH_EXIT_OK;
  }
  case PITH_OPTION_FEATURES:
    return set_features(option, value, field);
  }
  return PITH_EXIT_USAGE;
}

enum { MAX_OPTIONS = 256 }; /* of one subcommand; pith train has the most, under 80 */

int pith_command_main(const pith_command *command, int argument_count, char *const *arguments) {
  pith_report_set_command(command->name);
  _Alignas(16) char settings[PITH_SETTINGS_MAX_BYTES] = {0};
  memcpy(settings, command->defaults, command->settings_bytes);
  const char *operand = NULL;
  bool options_ended = false;
  bool given[MAX_OPTIONS] = {false}; /* i: options[i] */

  for (int i = 0; i < argument_count; i++) {
    const char *argument = arguments[i];
    if (options_ended || argument[0] != '-' || argument[1] == '\0') {
      if (operand != NULL)
        return pith_usage_error("'%s' after '%s': one %s is enough", argument, operand, command->operand);
      operand = argument;
      continue;
    }
    if (strcmp(argument, "--") == 0) {
      options_ended = true;
      continue;
    }
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
      pith_command_print_help(command, stdout);
      return PITH_EXIT_OK;
    }
    const pith_option *option = NULL;
    const char *value = NULL;
    if (argument[1] == '-') {
      const char *equals = strchr(argument, '=');
      size_t name_bytes = equals == NULL ? strlen(argument) - 2 : (size_t)(equals - argument) - 2;
      option = find_long(command, argument + 2, name_bytes);
      value = equals == NULL ? NULL : equals + 1;
    } else if (argument[2] == '\0') {
      option = find_letter(command, argument[1]);
    }
    if (option == NULL) {
      const pith_option *next = command->options;
      const char *near = argument[1] == '-' ? pith_suggest(argument + 2, next_option, &next) : NULL;
      if (near != NULL)
        return pith_usage_error("no option '%s', did you mean '--%s'?", argument, near);
      return pith_usage_error("no option '%s' (see pith %s --help)", argument, command->name);
    }
    if (option->type == PITH_OPTION_FLAG) {
      if (value != NULL)
        return pith_usage_error("--%s takes no argument", option->name);
    } else if (value == NULL) {
      if (i + 1 == argument_count)
        return pith_usage_error("--%s needs an argument (%s)", option->name, option->argument);
      value = arguments[++i];
    }
    int status = set_value(option, value, settings);
    if (status != PITH_EXIT_OK)
      return status;
    given[option - command->options] = true;
  }

  if (operand == NULL)
    return pith_usage_error("%s is missing (see pith %s --help)", command->operand, command->name);
  for (const pith_option *option = command->options; option->name != NULL; option++)
    if (option->required && !given[option - command->options])
      return pith_usage_error("--%s %s is missing (see pith %s --help)", option->name, option->argument,
                              command->name);
  memcpy(settings, &operand, sizeof operand);
  return command->run(settings);
}

/* ---- help --------------------------------------------------------------------------------------------- */

/* "  -o, --output FILE" */
static void print_form(FILE *out, const pith_option *option) {
  char form[64];
  int bytes = option->letter != '\0'
                  ? snprintf(form, sizeof form, "-%c, --%s", option->letter, option->name)
                  : snprintf(form, sizeof form, "--%s", option->name);
  if (option->argument != NULL && bytes > 0 && (size_t)bytes < sizeof form)
    snprintf(form + bytes, sizeof form - (size_t)bytes, " %s", option->argument);
  fprintf(out, "  %-24s %s%s\n", form, option->help, option->required ? " (required)" : "");
}

void pith_command_print_help(const pith_command *command, FILE *out) {
  fprintf(out, "pith %s %s [options]: %s\n\n%s\n\n", command->name, command->operand, command->summary,
          command->details);
  for (const pith_option *option = command->options; option->name != NULL; option++)
    print_form(out, option);
  fprintf(out, "  %-24s %s\n", "-h, --help", "print this");
}

void pith_commands_print_help(FILE *out) {
  fprintf(out, "pith: runs BERT-class language models from one file\n\n");
  for (const pith_command *const *command = pith_commands; *command != NULL; command++)
    fprintf(out, "  pith %-8s %-10s %s\n", (*command)->name, (*command)->operand, (*command)->summary);
  fprintf(out, "\npith SUBCOMMAND --help says more; pith --version prints the version.\n");
}
