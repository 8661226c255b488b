#include "models/tasks/hiding.h"

#include "engine/base/random.h"

#define CHOSEN (0.15 * 0x1p32)
#define MASKED (0.80 * 0x1p32)
#define ANY (0.90 * 0x1p32)

typedef struct draws {
  uint32_t choice, way, token;
} draws;

static draws draw(const pith_hiding *hiding, size_t place) {
  const uint64_t seed = hiding->seed ^ pith_random_stream("mask");
  const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  const uint32_t words[4] = {(uint32_t)place, (uint32_t)hiding->round, (uint32_t)hiding->sample, (uint32_t)(hiding->sample >> 32)};
  uint32_t out[4];
  pith_random_philox(words, key, out);
  return (draws){out[0], out[1], out[2]};
}

static bool is_special(const pith_tokenizer_data *t, int32_t id) {
  return id == t->cls_id || id == t->sep_id || id == t->pad_id || id == t->mask_id;
}

static int32_t replace(const pith_hiding *hiding, int32_t id, draws d) {
  if ((double)d.way < MASKED)
    return hiding->tokenizer->mask_id;
  return (double)d.way < ANY ? (int32_t)((uint64_t)d.token * hiding->tokenizer->token_count >> 32) : id;
}

size_t pith_hiding_apply(const pith_hiding *hiding, size_t count, int32_t *ids, int32_t *out_rows, int32_t *out_labels) {
  const size_t most = pith_hiding_most(count);
  size_t chosen = 0, least = count;
  uint32_t lowest = UINT32_MAX;
  for (size_t i = 0; i < count && chosen < most; i++) {
    const draws d = draw(hiding, i);
    if (is_special(hiding->tokenizer, ids[i]))
      continue;
    if (d.choice <= lowest) {
      lowest = d.choice;
      least = i;
    }
    if ((double)d.choice < CHOSEN) {
      out_rows[chosen] = (int32_t)i;
      out_labels[chosen++] = ids[i];
      ids[i] = replace(hiding, ids[i], d);
    }
  }
  if (chosen == 0 && least < count) {
    out_rows[0] = (int32_t)least;
    out_labels[0] = ids[least];
    ids[least] = replace(hiding, ids[least], draw(hiding, least));
    chosen = 1;
  }
  return chosen;
}
