#include "train/prune.h"

bool pith_train_prune_is_due(const pith_train_prune *prune, uint64_t step) {
  if (pith_score_rule_get(prune->score)->learned)
    return step == prune->end;
  return step >= prune->begin && step <= prune->end && ((step - prune->begin) % prune->every == 0 || step == prune->end);
}

static double get_way(const pith_train_prune *prune, uint64_t step) {
  return step >= prune->end ? 1 : (double)(step - prune->begin) / (double)(prune->end - prune->begin);
}

double pith_train_prune_get_sparsity(const pith_train_prune *prune, double before, double target, uint64_t step) {
  return before >= target ? before : pith_schedule_get(prune->what.schedule, before, target, get_way(prune, step));
}

double pith_train_prune_get_penalty(const pith_train_prune *prune, uint64_t step) {
  return prune->penalty * pith_schedule_get(prune->what.schedule, 0, 1, get_way(prune, step));
}

uint64_t pith_train_prune_get_restart(const pith_train_prune *prune, uint64_t step) {
  if (!prune->rewinds || step <= prune->begin)
    return 0;
  return step > prune->end ? prune->end + 1 : prune->begin + (step - 1 - prune->begin) / prune->every * prune->every + 1;
}

bool pith_train_prune_is_done(const pith_train_prune *prune, uint64_t steps) {
  return steps > prune->end;
}

pith_status pith_train_prune_check(const pith_train_prune *prune, pith_pattern *out_pattern, double *out_sparsity,
                                   pith_error *error) {
  pith_error reason = {0};
  if (pith_pattern_parse(prune->what.pattern, out_pattern, &reason) != PITH_OK)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-pattern: %s", reason.message);
  if (pith_prune_check_options(&prune->what, out_pattern, out_sparsity, &reason) != PITH_OK) /* begins with the option's name */
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-%s", reason.message);
  if ((unsigned)prune->score >= PITH_PRUNE_SCORE_COUNT || prune->every == 0)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-score %d every %llu steps", (int)prune->score,
                     (unsigned long long)prune->every);
  if (prune->begin > prune->end)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-begin is step %llu, behind prune-end, step %llu",
                     (unsigned long long)prune->begin, (unsigned long long)prune->end);
  const pith_score_rule *rule = pith_score_rule_get(prune->score);
  if (rule->whole && out_pattern->kind != PITH_PATTERN_ROW && out_pattern->kind != PITH_PATTERN_COLUMN)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-score geometric_median compares whole outputs or inputs: "
                     "prune-pattern is row or column, not %s", prune->what.pattern);
  if (rule->whole && prune->what.scope != PITH_PRUNE_LAYER)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-score geometric_median compares parts of one weight: prune-scope is layer");
  if (prune->rewinds && (rule->regrows || rule->fisher))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-rewind does not go with prune-score %s, whose weights or gradients go on",
                     pith_prune_score_words[prune->score]);
  if (prune->rewinds && prune->rewind > prune->begin)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-rewind is step %llu, behind prune-begin, step %llu",
                     (unsigned long long)prune->rewind, (unsigned long long)prune->begin);
  if (rule->learned && out_pattern->kind == PITH_PATTERN_N_OF_M)
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-score %s learns which of all weights stay, and prune-pattern %s says how many of "
                     "each few: it goes with other patterns", pith_prune_score_words[prune->score], prune->what.pattern);
  if (rule->learned && !(prune->score_rate > 0))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-score-rate is %g: scores would never change", prune->score_rate);
  if (rule->fisher && (prune->fisher_block == 0 || prune->fisher_block > PITH_FISHER_MOST || prune->fisher_gradients == 0 ||
                       !(prune->fisher_damp > 0)))
    return pith_fail(error, PITH_INVALID_ARGUMENT, "prune-fisher-block %llu, prune-fisher-gradients %llu, prune-fisher-damp %g: from 1 to %d, "
                     "from 1, above 0", (unsigned long long)prune->fisher_block, (unsigned long long)prune->fisher_gradients,
                     prune->fisher_damp, PITH_FISHER_MOST);
  return PITH_OK;
}
