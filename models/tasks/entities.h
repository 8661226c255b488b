/* Entity scores over tag sequences, as seqeval has them. Part of libpith-compress.
 *
 * Tags are B-, I-, E- and S- with a type, or O. DEFAULT is seqeval's and conlleval's way: an entity begins at B- or S-, or at
 * a tag of another type than the one before it or after O, whatever its prefix is, and ends before B-, S- and O, after E- and
 * S-, or where the type changes. STRICT is seqeval's mode="strict" with scheme=IOB2: an entity is a B- and the I- of its type
 * right after it; I- anywhere else is none. Either way a predicted entity is right where an entity of the same type begins
 * and ends in the same places. */
#ifndef PITH_MODELS_ENTITIES_H
#define PITH_MODELS_ENTITIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum pith_entity_mode { PITH_ENTITY_DEFAULT, PITH_ENTITY_STRICT } pith_entity_mode;

typedef struct pith_entity_counts {
  uint64_t right, predicted, wanted;
} pith_entity_counts;

/* Adds one sequence of `n` tags, indices into `labels`; entities end with it. */
void pith_entity_counts_add(pith_entity_counts *counts, pith_entity_mode mode, const char *const *labels,
                            const int32_t *predicted, const int32_t *wanted, size_t n);

/* Over all types alike (micro average); 0 where nothing is predicted or wanted. */
double pith_entity_precision(const pith_entity_counts *counts);
double pith_entity_recall(const pith_entity_counts *counts);
double pith_entity_f1(const pith_entity_counts *counts);

#endif
