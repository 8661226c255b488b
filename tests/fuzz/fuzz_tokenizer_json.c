/* Any bytes as tokenizer.json: refused with a message, or a tokenizer that passes its own check and
 * encodes. */
#include <stdlib.h>

#include "models/tokenizer/compile_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool holds) {
  if (!holds)
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  char *text = malloc(size + 1);
  if (text == NULL)
    return 0;
  if (size > 0)
    memcpy(text, bytes, size);
  text[size] = '\0';
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_tokenizer_data data;
  pith_error error = {PITH_OK, ""};
  pith_status status = pith_tokenizer_compile_json(text, size, &arena, &data, &error);
  if (status != PITH_OK) {
    require(error.status == status && error.message[0] != '\0');
  } else {
    require(pith_tokenizer_data_verify(&data, &error) == PITH_OK);
    static const char sample[] =
        "Hello, [MASK] <mask> w\xC3\xB6rld's  \xE4\xB8\xAD\xE6\x96\x87 e\xCC\x81\xFF 123";
    int32_t ids[512];
    uint32_t offsets[512][2];
    pith_encoding encoding = {
        .struct_size = sizeof encoding, .capacity = 512, .ids = ids, .offsets = offsets};
    status = pith_tokenizer_encode(&data, sample, SIZE_MAX, text, size < 64 ? size : 64, 0,
                                   &encoding, &error);
    require(status == PITH_OK || status == PITH_LIMIT); /* a template of many pieces */
    for (size_t i = 0; status == PITH_OK && i < encoding.count; i++)
      require(ids[i] >= 0 && (uint32_t)ids[i] < data.token_count && offsets[i][0] <= offsets[i][1]);
    for (uint32_t id = 0; id < data.token_count && id < 64; id++) {
      uint32_t bytes_of;
      const char *token = pith_tokenizer_text(&data, id, &bytes_of);
      require(bytes_of == 0 || pith_tokenizer_find(&data, token, bytes_of) >= 0);
    }
  }
  pith_arena_deinit(&arena);
  free(text);
  return 0;
}
