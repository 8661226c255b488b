/* What recipes of stages may say, as a JSON Schema: from the tables that read them. */
#include <string.h>

#include "cli/stages.h"

static void print_text(FILE *out, const char *text) {
  pith_json_string(out, text, strlen(text));
}

static void print_words(FILE *out, const pith_recipe_key *key) {
  fputs("{\"enum\": [", out);
  for (size_t i = 0; key->words != NULL && key->words[i] != NULL; i++) {
    fputs(i == 0 ? "" : ", ", out);
    print_text(out, key->words[i]);
  }
  fputs("]}", out);
}

static void print_number(FILE *out, const pith_recipe_key *key, const char *type) {
  fprintf(out, "{\"type\": \"%s\", \"minimum\": ", type);
  pith_json_double(out, key->minimum);
  fputs(", \"maximum\": ", out);
  pith_json_double(out, key->maximum);
  fputs("}", out);
}

static void print_value(FILE *out, const pith_recipe_key *key) {
  switch (key->type) {
  case PITH_RECIPE_WORD:
    print_words(out, key);
    break;
  case PITH_RECIPE_FLAG:
    fputs("{\"type\": \"boolean\"}", out);
    break;
  case PITH_RECIPE_COUNT:
    print_number(out, key, "integer");
    break;
  case PITH_RECIPE_NUMBER:
    print_number(out, key, "number");
    if (key->words != NULL) {
      fputs(", ", out);
      print_words(out, key);
    }
    break;
  case PITH_RECIPE_TEXT:
  case PITH_RECIPE_FILE:
    fputs("{\"type\": \"string\", \"minLength\": 1}", out);
    break;
  case PITH_RECIPE_PATTERNS:
    fprintf(out, "{\"type\": \"string\", \"minLength\": 1}, {\"type\": \"array\", \"minItems\": 1, \"maxItems\": %d, "
                 "\"items\": {\"type\": \"string\", \"minLength\": 1}}", PITH_MAX_NAME_PATTERNS);
    break;
  }
}

static void print_kind(FILE *out, const pith_cli_stage_kind *kind) {
  fprintf(out, "        {\"type\": \"object\", \"required\": [\"%s\"], \"additionalProperties\": false, \"properties\": {\"%s\": {\n"
               "          \"type\": \"object\", \"additionalProperties\": false, \"properties\": {\n", kind->name, kind->name);
  for (const pith_recipe_key *key = kind->keys; key->name != NULL; key++) {
    fputs("            ", out);
    print_text(out, key->name);
    fputs(": {\"description\": ", out);
    print_text(out, key->doc);
    fputs(", \"anyOf\": [", out);
    print_value(out, key);
    fprintf(out, "]}%s\n", key[1].name == NULL ? "" : ",");
  }
  fputs("          }}}}", out);
}

void pith_cli_print_schema(FILE *out) {
  fprintf(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
               "  \"title\": \"Recipe of pith compress\",\n"
               "  \"description\": \"Stages, each on what the one before it made. $model, $teacher, $task, $data and $eval-data stand for what "
               "the command line says, $stage.2 for what the second stage made.\",\n"
               "  \"type\": \"object\",\n  \"required\": [\"stages\"],\n  \"additionalProperties\": false,\n  \"properties\": {\n"
               "    \"stages\": {\"type\": \"array\", \"minItems\": 1, \"maxItems\": %d, \"items\": {\n      \"oneOf\": [\n", PITH_MAX_STAGES);
  for (const pith_cli_stage_kind *kind = pith_cli_stage_kinds; kind->name != NULL; kind++) {
    print_kind(out, kind);
    fputs(kind[1].name == NULL ? "\n" : ",\n", out);
  }
  fputs("      ]\n    }}\n  }\n}\n", out);
}
