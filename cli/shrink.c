#include "cli/shrink.h"

#include <string.h>

#include "cli/command.h"
#include "cli/texts.h"

/* ---- words -------------------------------------------------------------------------------------
 */

typedef struct reading {
  pith_vocabulary vocabulary;
  pith_progress progress;
} reading;

static pith_status see_row(void *context, const pith_dataset_row *row, pith_error *error) {
  reading *r = context;
  pith_vocabulary *v = &r->vocabulary;
  if (row->text == NULL)
    return pith_fail(error, PITH_INVALID_ARGUMENT,
                     "line %llu has ids and no text: a vocabulary is that of texts",
                     (unsigned long long)row->line);
  PITH_TRY(pith_vocabulary_see(v, row->text, row->pair, error));
  pith_progress_update(&r->progress, v->texts);
  return PITH_OK;
}

pith_status pith_cli_shrink_words(pith_cli_shrink *shrink, pith_model *model, const char *path,
                                  const char *task, uint32_t limit, pith_error *error) {
  reading r = {0};
  pith_status status = pith_vocabulary_init(&r.vocabulary, model, error);
  pith_progress_begin(&r.progress, "vocabulary", 0);
  if (status == PITH_OK)
    status = pith_texts_visit(path, task, see_row, &r, error);
  pith_progress_end(&r.progress);
  if (status == PITH_OK)
    status = pith_vocabulary_prune(&r.vocabulary, limit, &shrink->words, error);
  shrink->texts = r.vocabulary.texts;
  shrink->tokens = r.vocabulary.tokens;
  shrink->unknown = r.vocabulary.unknown;
  pith_vocabulary_deinit(&r.vocabulary);
  if (status == PITH_OK)
    model->data = shrink->words.data;
  return status;
}

/* ---- heads, neurons, layers --------------------------------------------------------------------
 */

pith_status pith_cli_shrink_parts(pith_cli_shrink *shrink, pith_model *model,
                                  const pith_prune_request *request, pith_error *error) {
  PITH_TRY(pith_prune_structured(model, request, &shrink->parts, error));
  model->data = shrink->parts.data;
  return PITH_OK;
}

/* ---- what was done -----------------------------------------------------------------------------
 */

void pith_cli_shrink_print(const pith_cli_shrink *shrink, const char *pattern) {
  if (shrink->words.after != 0)
    printf("%u of %u tokens stay, those of %llu texts; %llu of %llu tokens there are unknown\n",
           shrink->words.after, shrink->words.before, (unsigned long long)shrink->texts,
           (unsigned long long)shrink->unknown, (unsigned long long)shrink->tokens);
  if (shrink->parts.row_count == 0)
    return;
  printf("%s\twere\tare\terror\twithout fit\n", pattern);
  for (uint32_t i = 0; i < shrink->parts.row_count; i++) {
    const pith_structured_row *row = &shrink->parts.rows[i];
    printf("%s\t%u\t%u", row->name, row->before, row->after);
    if (shrink->parts.texts != 0)
      printf("\t%.5f\t%.5f", row->error, row->plain_error);
    puts("");
  }
}

void pith_cli_shrink_print_json(const pith_cli_shrink *shrink) {
  if (shrink->words.after != 0)
    printf("\"vocabulary\":{\"before\":%u,\"after\":%u,\"texts\":%llu,\"tokens\":%llu,\"unknown\":%"
           "llu},",
           shrink->words.before, shrink->words.after, (unsigned long long)shrink->texts,
           (unsigned long long)shrink->tokens, (unsigned long long)shrink->unknown);
  for (uint32_t i = 0; i < shrink->parts.row_count; i++) {
    const pith_structured_row *row = &shrink->parts.rows[i];
    printf("%s{\"product\":", i == 0 ? "\"removed\":[" : ",");
    pith_json_string(stdout, row->name, strlen(row->name));
    printf(",\"before\":%u,\"after\":%u", row->before, row->after);
    if (shrink->parts.texts != 0) {
      printf(",\"error\":");
      pith_json_double(stdout, row->error);
      printf(",\"error_without_fit\":");
      pith_json_double(stdout, row->plain_error);
    }
    printf("}%s", i + 1 == shrink->parts.row_count ? "]," : "");
  }
}

void pith_cli_shrink_deinit(pith_cli_shrink *shrink) {
  pith_structured_deinit(&shrink->parts);
  pith_vocabulary_pruned_deinit(&shrink->words);
}
