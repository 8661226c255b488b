/* "did you mean": for names that people write, in options, recipes and wherever else a table has the right ones. */
#ifndef PITH_COMPILER_SUGGEST_H
#define PITH_COMPILER_SUGGEST_H

/* The candidate nearest to `name` by edit distance, or NULL where none is near. `next` gives candidates until NULL. */
const char *pith_suggest(const char *name, const char *(*next)(void *context), void *context);

/* ", did you mean 'nearest'?", as a message goes on; "" where none is near. */
enum { PITH_SUGGESTION_BYTES = 64 };
const char *pith_suggest_to(const char *name, const char *(*next)(void *context), void *context, char text[PITH_SUGGESTION_BYTES]);

#endif
