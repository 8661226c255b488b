/* Recipes: options of compression as text. A technique has a structure of options and one table of keys for it; from that
 * table come what a recipe (a JSON object) may say, the command's options, and the history entry of the file that is made.
 *
 *     {"mode": "static", "samples": 300}                    one technique's keys
 *     {"prune": {"sparsity": 0.8}, "quantize": {...}}       sections of several */
#ifndef PITH_COMPILER_RECIPE_H
#define PITH_COMPILER_RECIPE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/ir/graph.h"

typedef enum pith_recipe_type {
  PITH_RECIPE_WORD,     /* unsigned, a place in words */
  PITH_RECIPE_FLAG,     /* bool */
  PITH_RECIPE_COUNT,    /* uint64_t, minimum .. maximum */
  PITH_RECIPE_NUMBER,   /* double, minimum .. maximum, or one of words: -1, -2, .. in their order */
  PITH_RECIPE_TEXT,     /* const char * */
  PITH_RECIPE_FILE,     /* the same; completed as a file name */
  PITH_RECIPE_PATTERNS, /* pith_name_patterns: a list, between commas in text */
} pith_recipe_type;

enum { PITH_MAX_NAME_PATTERNS = 32 };
typedef struct pith_name_patterns {
  uint32_t count;
  const char *list[PITH_MAX_NAME_PATTERNS]; /* names of nodes, * and ? as in a shell */
} pith_name_patterns;
bool pith_name_patterns_match(const pith_name_patterns *patterns, const char *name);

/* For lists of words that a key takes, X(NAME, "word"): what it does can say them, " word another". */
#define PITH_RECIPE_SAY(name, text) " " text

/* Numbers are at most 2^53, so that JSON holds them. */
typedef struct pith_recipe_key {
  const char *name;
  pith_recipe_type type;
  size_t offset; /* in the structure of options */
  double minimum, maximum;
  const char *const *words; /* ends with NULL */
  const char *doc;
} pith_recipe_key;

/* NULL: none. */
const pith_recipe_key *pith_recipe_key_find(const pith_recipe_key *keys, const char *name);

/* Sets a field of `options` from text; a flag takes "true" and "false". What is kept of `value` is copied to `arena`.
 * PITH_INVALID_ARGUMENT names the key, the value and what it takes. */
PITH_WARN_UNUSED pith_status pith_recipe_set(void *options, const pith_recipe_key *key, const char *value,
                                             pith_arena *arena, pith_error *error);

typedef struct pith_recipe_section {
  const char *name;            /* "prune" */
  const pith_recipe_key *keys; /* ends with a NULL name */
  void *options;
  bool given; /* set: the recipe says something of it */
} pith_recipe_section;

/* Sets the fields that a recipe has keys for and leaves the others. A recipe without sections is one of the first section.
 * PITH_IO, PITH_FORMAT and PITH_INVALID_ARGUMENT with the path and the reason; an unknown key is an error that tells the
 * nearest one. */
PITH_WARN_UNUSED pith_status pith_recipe_read(const char *path, pith_recipe_section *sections, size_t section_count,
                                              pith_arena *arena, pith_error *error);

struct cJSON;
/* The same from an object that was read already; `where` begins messages. */
PITH_WARN_UNUSED pith_status pith_recipe_read_object(const char *where, const struct cJSON *object, pith_recipe_section *section,
                                                     pith_arena *arena, pith_error *error);

/* All keys but those whose value is NULL or an empty list; NULL: no memory. The caller deletes it. */
struct cJSON *pith_recipe_write(const void *options, const pith_recipe_key *keys);

/* {"recipe": {..}} of the keys with "graph" set to this graph's hash, whatever the options say: how a step's history begins. NULL: no
 * memory. The caller deletes it. */
struct cJSON *pith_recipe_describe(const void *options, const pith_recipe_key *keys, const pith_graph *graph);

/* What a recipe's "graph" has: 16 hexadecimal digits of the SHA-256 of a graph's readable form, which the weights' values are no
 * part of. `out_text` has room for 17 bytes. */
void pith_recipe_hash_graph(const pith_graph *graph, char *out_text);
/* `wanted` NULL, or the graph's hash; else PITH_INVALID_ARGUMENT. */
PITH_WARN_UNUSED pith_status pith_recipe_check_graph(const char *wanted, const pith_graph *graph, pith_error *error);

#endif
