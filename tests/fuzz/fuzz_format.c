/* Any bytes as a .pith file: opened, or refused with a message. What opens is printed, planned and, where it is small, run. */
#include <stdlib.h>
#include <string.h>

#include "engine/exec/exits.h"
#include "engine/exec/model.h"
#include "engine/format/format.h"

#define CHECK(condition)                                                                                   \
  do {                                                                                                     \
    if (!(condition))                                                                                      \
      abort();                                                                                             \
  } while (0)

enum { MAX_SESSION_BYTES = 8 << 20, MAX_PARAMETERS = 1 << 20, TOKENS = 6 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore_text(void *context, const char *text, size_t bytes) {
  size_t *total = context;
  for (size_t i = 0; i < bytes; i++)
    *total += (unsigned char)text[i];
}

static void describe(const pith_model *model) {
  size_t total = 0;
  const pith_text_sink sink = {ignore_text, &total};
  pith_graph_print(model->data.graph, &sink);
  pith_graph_print_dot(model->data.graph, &sink);
  pith_model_info info = {.struct_size = sizeof info};
  CHECK(pith_model_get_info(model, &info, NULL) == PITH_OK);
  for (size_t i = 0; i < info.label_count; i++)
    total += strlen(info.labels[i]);
  if (info.parameter_count <= MAX_PARAMETERS) /* of which it unpacks each */
    (void)!pith_format_check_weights(model->data.graph, NULL);
  for (int32_t id = -1; id < 100; id++) {
    size_t bytes;
    const char *text = pith_token_text(model, id, &bytes);
    ignore_text(&total, text, bytes);
  }
}

static void encode(const pith_model *model) {
  int32_t ids[64];
  pith_encoding encoding = {.struct_size = sizeof encoding, .capacity = 64, .ids = ids};
  (void)!pith_encode(model, "Hello, w\xC3\xB6rld [MASK]", SIZE_MAX, "\xE4\xBD\xA0 x", SIZE_MAX, 32, &encoding, NULL);
}

static void run(const pith_model *model, uint64_t without, double exit_threshold) {
  pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  options.cpu_features_mask = without;
  options.exit_threshold = exit_threshold;
  options.max_tokens = TOKENS;
  options.max_sequences = 2;
  size_t bytes = 0;
  if (pith_session_plan_memory(model, &options, &bytes, NULL) != PITH_OK || bytes > MAX_SESSION_BYTES)
    return;
  pith_session *session;
  if (pith_session_create(model, &options, &session, NULL) != PITH_OK)
    return;
  static const int32_t offsets[] = {0, 2, TOKENS}, ids[TOKENS] = {0, 1, 2, 3, 4, 5}, rows[] = {1};
  pith_batch batch = PITH_BATCH_INIT;
  batch.sequences = 2;
  batch.offsets = offsets;
  batch.ids = ids;
  batch.rows = model->data.task == PITH_TASK_FILL_MASK ? rows : NULL;
  batch.row_count = batch.rows != NULL;
  pith_result result = {.struct_size = sizeof result};
  (void)!pith_session_run(session, &batch, &result, NULL);
  pith_session_destroy(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  void *bytes = NULL;
  CHECK(posix_memalign(&bytes, 64, size == 0 ? 1 : size) == 0);
  if (size != 0)
    memcpy(bytes, data, size);
  pith_model *model;
  pith_error error = {0};
  pith_status status = pith_model_open_memory(bytes, size, NULL, &model, &error);
  (void)!pith_format_check_hashes(bytes, size, NULL, NULL);
  if (status == PITH_OK) {
    CHECK(pith_graph_verify(model->data.graph, NULL) == PITH_OK);
    describe(model);
    encode(model);
    run(model, 0, 0);
    run(model, UINT64_MAX, 0); /* plain C, which the address sanitizer watches: the vector kernels are built without it */
    if (pith_exits_count(model->data.graph) != 0)
      run(model, UINT64_MAX, 0.6);
    pith_model_close(model);
  } else {
    CHECK(model == NULL && error.status == status && error.message[0] != '\0');
  }
  free(bytes);
  return 0;
}
