/* Files that are cut, changed, lengthened or made to do harm: an error with a message, or a model that is as good as any. */
#include "tests/engine/format_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/format/format_internal.h"

static void ignore_text(void *context, const char *text, size_t bytes) {
  size_t *total = context;
  for (size_t i = 0; i < bytes; i++)
    *total += (unsigned char)text[i];
}

/* Reads everything that a loaded model points to, for the sanitizers to see. */
static size_t walk(const pith_model_data *data, const format_bytes *file) {
  size_t total = 0;
  const pith_text_sink sink = {ignore_text, &total};
  pith_graph_print(data->graph, &sink);
  pith_graph_print_dot(data->graph, &sink);
  for (uint32_t i = 0; i < data->graph->tensor_count; i++) {
    const pith_tensor *tensor = &data->graph->tensors[i];
    const uint8_t *bytes = tensor->data;
    if (tensor->data_bytes != 0 &&
        (bytes < file->bytes || bytes > file->bytes + file->size ||
         tensor->data_bytes > (size_t)(file->bytes + file->size - bytes)))
      fail_msg("tensor '%s' is outside the file", tensor->name);
    for (uint32_t c = 0; c < tensor->copy_count; c++) {
      const pith_tensor_copy *copy = &tensor->copies[c];
      bytes = copy->data;
      if (copy->data_bytes != 0 && (bytes < file->bytes || bytes > file->bytes + file->size ||
                                    copy->data_bytes > (size_t)(file->bytes + file->size - bytes)))
        fail_msg("a copy of '%s' is outside the file", tensor->name);
      for (uint32_t t = 0; t < copy->target_count; t++)
        total += strlen(copy->targets[t]);
    }
  }
  for (uint32_t i = 0; i < data->label_count; i++)
    total += strlen(data->labels[i]);
  for (uint32_t i = 0; i < data->history_count; i++)
    total += strlen(data->history[i].step) + strlen(data->history[i].version) + strlen(data->history[i].json);
  for (uint32_t i = 0; i < data->report_count; i++)
    total += strlen(data->report[i].task) + strlen(data->report[i].metric);
  total += strlen(data->config_json) + strlen(data->architecture) + strlen(pith_task_name(data->task));
  const pith_tokenizer_data *t = data->tokenizer;
  if (t == NULL)
    return total;
  ignore_text(&total, t->continuing_prefix, strlen(t->continuing_prefix));
  ignore_text(&total, t->token_text, (size_t)t->token_text_bytes);
  ignore_text(&total, t->added_text, (size_t)t->added_text_bytes);
  ignore_text(&total, (const char *)t->token_starts, t->token_start_count * sizeof *t->token_starts);
  ignore_text(&total, (const char *)t->token_lengths, pith_token_blocks_round(t->token_count));
  ignore_text(&total, (const char *)t->index, t->index_count * sizeof *t->index);
  ignore_text(&total, (const char *)t->merges, t->merge_word_count * sizeof *t->merges);
  ignore_text(&total, (const char *)t->added, t->added_count * sizeof *t->added);
  ignore_text(&total, (const char *)t->single_template, t->single_count * sizeof *t->single_template);
  ignore_text(&total, (const char *)t->pair_template, t->pair_count * sizeof *t->pair_template);
  return total;
}

/* The status of reading; what it loads is walked, what it refuses has a message of one line. */
static pith_status try_read(const format_bytes *file, pith_error *error) {
  pith_arena arena;
  pith_model_data data;
  pith_arena_init(&arena, NULL);
  *error = (pith_error){0};
  pith_status status = pith_format_read(file->bytes, file->size, NULL, &arena, &data, error);
  if (status == PITH_OK) {
    walk(&data, file);
    assert_int_equal(pith_graph_verify(data.graph, error), PITH_OK);
    pith_graph_destroy(data.graph);
  } else {
    assert_int_equal(error->status, status);
    assert_true(error->message[0] != '\0');
    assert_null(strchr(error->message, '\n'));
  }
  pith_arena_deinit(&arena);
  return status;
}

static format_bytes small_file(void) {
  format_model model;
  format_model_init(&model, 0, 1);
  format_bytes file = format_write_bytes(&model);
  format_model_deinit(&model);
  return file;
}

static size_t metadata_bytes(const format_bytes *file) {
  pith_format_metadata metadata;
  assert_int_equal(pith_format_read_metadata(file->bytes, file->size, &metadata, NULL), PITH_OK);
  return metadata.bytes;
}

/* ---- cut, lengthened, changed --------------------------------------------------------------------------- */

static void test_every_truncation(void **state) {
  (void)state;
  format_bytes file = small_file();
  pith_error error;
  for (size_t size = 0; size < file.size; size++) {
    format_bytes cut = format_copy(file.bytes, size); /* of exactly that size, for the address sanitizer */
    if (try_read(&cut, &error) == PITH_OK)
      fail_msg("the first %zu of %zu bytes load", size, file.size);
    assert_int_equal(error.status, PITH_FORMAT);
    free(cut.bytes);
  }
  free(file.bytes);
}

static void test_trailing_bytes(void **state) {
  (void)state;
  format_bytes file = small_file();
  pith_error error;
  for (size_t more = 1; more < 70; more++) {
    format_bytes longer = format_copy(NULL, file.size + more);
    memcpy(longer.bytes, file.bytes, file.size);
    memset(longer.bytes + file.size, 0, more);
    assert_int_equal(try_read(&longer, &error), PITH_FORMAT);
    assert_non_null(strstr(error.message, "something follows its end"));
    free(longer.bytes);
  }
  free(file.bytes);
}

static void test_every_changed_metadata_byte(void **state) {
  (void)state;
  format_bytes file = small_file();
  size_t size = metadata_bytes(&file), loaded = 0, refused = 0;
  pith_error error;
  for (size_t i = 0; i < size; i++) {
    uint8_t was = file.bytes[i];
    const uint8_t values[] = {(uint8_t)(was ^ 1 << i % 8), (uint8_t)(was ^ 0x80), (uint8_t)~was, 0, 0x7F};
    for (size_t v = 0; v < sizeof values; v++) {
      file.bytes[i] = values[v];
      if (try_read(&file, &error) == PITH_OK)
        loaded++;
      else
        refused++;
    }
    file.bytes[i] = was;
  }
  assert_true(refused > size); /* most of it matters */
  assert_true(loaded > 100);   /* and some of it is labels and hashes */
  assert_int_equal(try_read(&file, &error), PITH_OK);
  free(file.bytes);
}

/* Several bytes at once, and words that are extreme as counts and offsets. */
static void test_random_damage(void **state) {
  (void)state;
  static const uint32_t words[] = {0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFF0, 1000000};
  format_bytes file = small_file();
  size_t size = metadata_bytes(&file);
  uint32_t random = 20251;
  pith_error error;
  for (int round = 0; round < 20000; round++) {
    format_bytes copy = format_copy(file.bytes, file.size);
    for (int change = 0; change <= round % 4; change++) {
      random = random * 1664525 + 1013904223;
      size_t at = (random >> 8) % (size / 4) * 4;
      random = random * 1664525 + 1013904223;
      memcpy(copy.bytes + at, &words[(random >> 8) % 8], 4);
    }
    (void)!try_read(&copy, &error);
    free(copy.bytes);
  }
  free(file.bytes);
}

/* ---- what a message says -------------------------------------------------------------------------------- */

static uint32_t get32(const uint8_t *bytes) {
  uint32_t value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

/* Where a field's entry in the vtable of a table lies. */
static uint8_t *field_entry(uint8_t *table, unsigned slot) {
  return table - (int32_t)get32(table) + 4 + 2 * slot;
}

static uint8_t *field(uint8_t *table, unsigned slot) {
  uint16_t offset;
  memcpy(&offset, field_entry(table, slot), sizeof offset);
  assert_int_not_equal(offset, 0);
  return table + offset;
}

static uint8_t *follow(uint8_t *reference) {
  return reference + get32(reference);
}

static uint8_t *root_of(const format_bytes *file) {
  return follow(file->bytes + 4);
}

/* Slots of Model in pith.fbs. */
enum { SLOT_MAJOR = 0, SLOT_FEATURES = 2, SLOT_SEGMENTS = 5, SLOT_LABELS = 9 };

static void expect(const format_bytes *file, pith_status status, const char *part) {
  pith_error error;
  assert_int_equal(try_read(file, &error), status);
  if (strstr(error.message, part) == NULL)
    fail_msg("\"%s\" is not in \"%s\"", part, error.message);
}

static void test_other_versions(void **state) {
  (void)state;
  format_bytes file = small_file();
  uint16_t major = 3;
  memcpy(field(root_of(&file), SLOT_MAJOR), &major, sizeof major);
  expect(&file, PITH_UNSUPPORTED, "3.0 is newer than this Pith, which reads version 2");
  major = 1;
  memcpy(field(root_of(&file), SLOT_MAJOR), &major, sizeof major);
  expect(&file, PITH_UNSUPPORTED, "1.0 is older than this Pith, which reads version 2");
  free(file.bytes);
}

static void test_required_features_are_named(void **state) {
  (void)state;
  format_bytes file = small_file();
  uint8_t *root = root_of(&file); /* the labels serve as features */
  memcpy(field_entry(root, SLOT_FEATURES), field_entry(root, SLOT_LABELS), 2);
  expect(&file, PITH_UNSUPPORTED, "needs what this Pith lacks: feature NEGATIVE, feature neutral");
  free(file.bytes);
}

static uint8_t *find(const format_bytes *file, const char *text) {
  const uint32_t length = (uint32_t)strlen(text);
  uint8_t *end = file->bytes + metadata_bytes(file), *found = file->bytes;
  do {
    found = memmem(found + 1, (size_t)(end - found - 1), text, length + 1);
    assert_non_null(found);
  } while (get32(found - 4) != length); /* the end of another string */
  return found;
}

/* Each is a name that the file refers to; its last letter changes. */
static void test_unknown_names_are_named(void **state) {
  (void)state;
  static const struct {
    const char *name, *message;
  } cases[] = {
      {"LayerNormalization", "operator LayerNormalizatio# (domain \"\", version 17)"},
      {"PackedAttention", "operator PackedAttentio# (domain \"pith\", version 1)"},
      {"f32", "dtype f3#"},
      {"parameter", "tensor kind paramete#"},
      {"n64_f32", "layout n64_f3#"},
      {"text-classification", "task text-classificatio#"},
      {"WordPiece", "tokenizer WordPiec#"},
      {"BertPreTokenizer", "pre-tokenizer BertPreTokenize#"},
      {"NFD", "normalizer NF#"},
      {"mode", "SequencePool mod#"},
      {"cls", "mode cl#"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    format_model model;
    format_model_init(&model, 1, 1);
    format_bytes file = format_write_bytes(&model);
    find(&file, cases[i].name)[strlen(cases[i].name) - 1] = '#';
    expect(&file, PITH_UNSUPPORTED, cases[i].message);
    free(file.bytes);
    format_model_deinit(&model);
  }
}

/* The meaning of another version of an operator is not known either. */
static void test_other_operator_version(void **state) {
  (void)state;
  enum { SLOT_GRAPH = 6, SLOT_OPERATORS = 5, SLOT_VERSION = 2 };
  format_bytes file = small_file();
  uint8_t *operators = follow(field(follow(field(root_of(&file), SLOT_GRAPH)), SLOT_OPERATORS));
  uint8_t *version = field(follow(operators + 4), SLOT_VERSION);
  const uint32_t other = get32(version) + 100;
  memcpy(version, &other, sizeof other);
  char message[40];
  snprintf(message, sizeof message, "version %u)", other);
  expect(&file, PITH_UNSUPPORTED, message);
  free(file.bytes);
}

static void test_segments(void **state) {
  (void)state;
  static const struct {
    unsigned slot; /* of the second segment: offset, bytes */
    uint64_t value;
    const char *message;
  } cases[] = {
      {0, 0, "segment 1 begins at 0"},
      {0, 8, "segment 1 begins at 8"},
      {0, UINT64_MAX - 63, "segment 1 of"},
      {1, UINT64_MAX, "segment 1 of"},
      {1, 0, "segment 1 has no bytes"},
      {1, 1, "is outside its segment of 1"},
      {1, 1 << 20, "begins at"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    format_bytes file = small_file();
    uint8_t *segments = follow(field(root_of(&file), SLOT_SEGMENTS));
    assert_true(get32(segments) > 2);
    memcpy(field(follow(segments + 8), cases[i].slot), &cases[i].value, 8);
    expect(&file, PITH_FORMAT, cases[i].message);
    free(file.bytes);
  }
}

/* The first tensor that has copies. */
static uint8_t *packed_tensor(const format_bytes *file) {
  enum { SLOT_GRAPH = 6, SLOT_TENSORS = 6, SLOT_COPIES = 9 };
  uint8_t *tensors = follow(field(follow(field(root_of(file), SLOT_GRAPH)), SLOT_TENSORS));
  for (uint32_t i = 0; i < get32(tensors); i++) {
    uint8_t *tensor = follow(tensors + 4 + 4 * i);
    uint16_t vtable_bytes, offset = 0;
    memcpy(&vtable_bytes, tensor - (int32_t)get32(tensor), 2);
    if (vtable_bytes > 4 + 2 * SLOT_COPIES)
      memcpy(&offset, field_entry(tensor, SLOT_COPIES), 2);
    if (offset != 0)
      return tensor;
  }
  fail_msg("no tensor has copies");
  return NULL;
}

static void test_copies(void **state) {
  (void)state;
  enum { OF_TENSOR_SEGMENT = 6, OF_TENSOR_KIND = 1, OF_TENSOR_COPIES = 9 };
  enum { LAYOUT, TRANSPOSED, TARGETS, SEGMENT, OFFSET, BYTES };
  static const struct {
    unsigned slot; /* of the first copy */
    size_t bytes;
    uint64_t value;
    const char *message;
  } cases[] = {
      {LAYOUT, 2, 99, "has layout 99 of"},
      {SEGMENT, 4, 9999, "lies in segment 9999 of"},
      {BYTES, 8, UINT64_MAX - 63, "is outside its segment"},
      {BYTES, 8, 64, "has 64 bytes of data, its shape in layout n64_f32 takes"},
      {BYTES, 8, 0, "has 0 bytes of data, its shape in layout n64_f32 takes"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    format_bytes file = small_file();
    uint8_t *copies = follow(field(packed_tensor(&file), OF_TENSOR_COPIES));
    assert_int_equal(get32(copies), 2);
    memcpy(field(follow(copies + 4), cases[i].slot), &cases[i].value, cases[i].bytes);
    expect(&file, PITH_FORMAT, cases[i].message);
    free(file.bytes);
  }
  format_bytes file = small_file();
  uint8_t *copies = follow(field(packed_tensor(&file), OF_TENSOR_COPIES));
  uint8_t *first = follow(copies + 4), *second = follow(copies + 8);
  memcpy(field(second, SEGMENT), field(first, SEGMENT), 4);
  memcpy(field(second, BYTES), field(first, BYTES), 8);
  expect(&file, PITH_FORMAT, "lies over what it is a copy of");
  free(file.bytes);

  file = small_file();
  uint8_t *tensor = packed_tensor(&file);
  first = follow(follow(field(tensor, OF_TENSOR_COPIES)) + 4);
  memcpy(field(first, SEGMENT), field(tensor, OF_TENSOR_SEGMENT), 4);
  const uint64_t few = 64;
  memcpy(field(first, BYTES), &few, 8);
  expect(&file, PITH_FORMAT, "lies over what it is a copy of");
  free(file.bytes);

  file = small_file(); /* as many as there is metadata for, by a count that is a lie */
  const uint32_t many = 17;
  copies = follow(field(packed_tensor(&file), OF_TENSOR_COPIES));
  memcpy(copies, &many, 4);
  pith_error error;
  assert_int_not_equal(try_read(&file, &error), PITH_OK);
  free(file.bytes);

  file = small_file();
  copies = follow(field(packed_tensor(&file), OF_TENSOR_COPIES));
  const uint32_t none = 0;
  memcpy(follow(field(follow(copies + 4), TARGETS)), &none, 4);
  expect(&file, PITH_FORMAT, "has 0 targets");
  free(file.bytes);
}

/* A changed byte of a copy is found and named. */
static void test_copies_are_hashed(void **state) {
  (void)state;
  format_bytes file = small_file();
  pith_error error = {0};
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_OK);
  uint8_t *last = file.bytes + file.size - 64; /* in the last segment, the second copy */
  last[0] ^= 1;
  assert_int_equal(pith_format_check_hashes(file.bytes, file.size, NULL, &error), PITH_FORMAT);
  assert_non_null(strstr(error.message, "does not match its hash"));
  assert_null(strstr(error.message, "('')"));
  free(file.bytes);
}

static void test_not_a_pith_file(void **state) {
  (void)state;
  format_bytes file = small_file();
  format_bytes shifted = format_copy(NULL, file.size + 8);
  memcpy(shifted.bytes + 8, file.bytes, file.size);
  format_bytes misaligned = {shifted.bytes + 8, file.size};
  expect(&misaligned, PITH_INVALID_ARGUMENT, "not aligned to 64");
  file.bytes[8] = 'p';
  expect(&file, PITH_FORMAT, "not a .pith file");
  file.size = 11;
  expect(&file, PITH_FORMAT, "not a .pith file: 11 bytes");
  free(file.bytes);
  free(shifted.bytes);
}

/* ---- small files that describe huge things ---------------------------------------------------------------- */

/* A FlatBuffer laid out by hand: a graph without nodes, and a history whose `entries` are all the same one, with a
 * text of `text_bytes`. */
static format_bytes make_bomb(uint32_t entries, uint32_t text_bytes) {
  enum { ROOT_VTABLE = 16, ROOT = 64, HASH = ROOT + 8, GRAPH_VTABLE = 120, GRAPH = 128, NAME = 140, VECTOR = 148 };
  const uint32_t entry_vtable = VECTOR + 4 + 4 * entries, entry = entry_vtable + 12, text = entry + 8;
  const uint32_t metadata = (text + 4 + text_bytes + 1 + 7) & ~7u;
  format_bytes file = format_copy(NULL, (metadata + 4095u) & ~4095u);
  memset(file.bytes, 0, file.size);
#define PUT16(at, value) memcpy(file.bytes + (at), &(uint16_t){(uint16_t)(value)}, 2)
#define PUT32(at, value) memcpy(file.bytes + (at), &(uint32_t){(uint32_t)(value)}, 4)
  PUT32(0, metadata - 4);
  PUT32(4, ROOT - 4);
  memcpy(file.bytes + 8, "PITH", 4);
  /* Model: 16 fields; version_major, hash, graph and history are there. */
  PUT16(ROOT_VTABLE, 4 + 2 * 16), PUT16(ROOT_VTABLE + 2, 52);
  PUT32(ROOT, ROOT - ROOT_VTABLE);
  PUT16(ROOT_VTABLE + 4 + 2 * 0, 4), PUT16(ROOT + 4, PITH_FORMAT_MAJOR);
  PUT16(ROOT_VTABLE + 4 + 2 * 4, HASH - ROOT);
  PUT16(ROOT_VTABLE + 4 + 2 * 6, 40), PUT32(ROOT + 40, GRAPH - (ROOT + 40));
  PUT16(ROOT_VTABLE + 4 + 2 * 14, 44), PUT32(ROOT + 44, VECTOR - (ROOT + 44));
  PUT16(GRAPH_VTABLE, 6), PUT16(GRAPH_VTABLE + 2, 8), PUT16(GRAPH_VTABLE + 4, 4);
  PUT32(GRAPH, GRAPH - GRAPH_VTABLE), PUT32(GRAPH + 4, NAME - (GRAPH + 4));
  PUT32(NAME, 1), memcpy(file.bytes + NAME + 4, "g", 2);
  PUT16(entry_vtable, 10), PUT16(entry_vtable + 2, 8), PUT16(entry_vtable + 8, 4);
  PUT32(entry, entry - entry_vtable), PUT32(entry + 4, text - (entry + 4));
  PUT32(VECTOR, entries);
  for (uint32_t i = 0; i < entries; i++)
    PUT32(VECTOR + 4 + 4 * i, entry - (VECTOR + 4 + 4 * i));
  PUT32(text, text_bytes), memset(file.bytes + text + 4, 'x', text_bytes);
#undef PUT16
#undef PUT32
  return file;
}

static void test_shared_parts(void **state) {
  (void)state;
  clock_t begin = clock();
  format_bytes file = make_bomb(1, 10); /* no bomb: sound but for a graph without outputs, which is not verified first */
  expect(&file, PITH_FORMAT, "graph");
  free(file.bytes);
  file = make_bomb(2, 1000); /* 2,000 bytes read out of 1,000 */
  expect(&file, PITH_FORMAT, "shares parts");
  free(file.bytes);
  file = make_bomb(400000, 8 << 20); /* 3 TB */
  expect(&file, PITH_FORMAT, "shares parts");
  free(file.bytes);
  file = make_bomb(1000000, 1); /* more tables than bytes for them */
  expect(&file, PITH_FORMAT, "malformed");
  free(file.bytes);
  assert_true(clock() - begin < 5 * CLOCKS_PER_SEC);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_truncation),
      cmocka_unit_test(test_trailing_bytes),
      cmocka_unit_test(test_every_changed_metadata_byte),
      cmocka_unit_test(test_random_damage),
      cmocka_unit_test(test_other_versions),
      cmocka_unit_test(test_required_features_are_named),
      cmocka_unit_test(test_unknown_names_are_named),
      cmocka_unit_test(test_other_operator_version),
      cmocka_unit_test(test_segments),
      cmocka_unit_test(test_copies),
      cmocka_unit_test(test_copies_are_hashed),
      cmocka_unit_test(test_not_a_pith_file),
      cmocka_unit_test(test_shared_parts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
