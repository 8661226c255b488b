/* Tokenizers against golden encodings (tests/golden/tokenizer/make_golden.py), bad files, limits,
 * allocation failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "engine/base/arena.h"
#include "models/tokenizer/compile_internal.h"

#define GOLDEN PITH_SOURCE_DIR "/tests/golden/tokenizer/"

/* ---- allocation
 * --------------------------------------------------------------------------------------- */

static long allocations, failing = -1; /* the number of the allocation that fails; -1: none */

static bool fails(void) {
  return allocations++ == failing;
}

void *__real_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_malloc(size_t bytes) {
  return fails() ? NULL : __real_malloc(bytes);
}

int __real_posix_memalign(void **out, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes);
int __wrap_posix_memalign(void **out, size_t alignment, size_t bytes) {
  return fails() ? 12 : __real_posix_memalign(out, alignment, bytes);
}

/* ---- helpers
 * ------------------------------------------------------------------------------------------ */

enum { CAPACITY = 20000 };
static int32_t ids[CAPACITY], type_ids[CAPACITY];
static uint32_t offsets[CAPACITY][2];
static uint8_t sequence[CAPACITY];

static pith_encoding new_encoding(void) {
  return (pith_encoding){.struct_size = sizeof(pith_encoding),
                         .capacity = CAPACITY,
                         .ids = ids,
                         .type_ids = type_ids,
                         .offsets = offsets,
                         .sequence = sequence};
}

static uint64_t hash_on(uint64_t hash, size_t count) {
  for (size_t i = 0; i < count; i++) {
    const uint32_t words[3] = {(uint32_t)ids[i], offsets[i][0], offsets[i][1]};
    for (unsigned k = 0; k < 12; k++)
      hash = (hash ^ (words[k / 4] >> (8 * (k % 4)) & 0xFF)) * 0x100000001B3u;
  }
  return hash;
}
static const uint64_t hash_start = 0xCBF29CE484222325u;

typedef struct lines {
  char *text;
  char **line;
  size_t *bytes;
  size_t count;
} lines;

static char *read_file(const char *path, size_t *out_bytes) {
  FILE *file = fopen(path, "rb");
  if (file == NULL)
    return NULL;
  assert_int_equal(fseek(file, 0, SEEK_END), 0);
  long size = ftell(file);
  assert_true(size >= 0);
  rewind(file);
  char *text = malloc((size_t)size + 1);
  assert_non_null(text);
  assert_int_equal(fread(text, 1, (size_t)size, file), size);
  text[size] = '\0';
  fclose(file);
  *out_bytes = (size_t)size;
  return text;
}

static lines read_lines(const char *path) {
  size_t bytes = 0;
  lines all = {.text = read_file(path, &bytes)};
  assert_non_null(all.text);
  all.line = malloc((bytes + 1) * sizeof *all.line);
  all.bytes = malloc((bytes + 1) * sizeof *all.bytes);
  assert_true(all.line != NULL && all.bytes != NULL);
  char *at = all.text, *end = all.text + bytes;
  while (at < end) {
    char *stop = memchr(at, '\n', (size_t)(end - at));
    stop = stop == NULL ? end : stop;
    all.line[all.count] = at;
    all.bytes[all.count++] = (size_t)(stop - at);
    *stop = '\0';
    at = stop + 1;
  }
  return all;
}

static void free_lines(lines *all) {
  free(all->text);
  free(all->line);
  free(all->bytes);
}

static unsigned hex(char c) {
  return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'A' + 10);
}

/* torture.txt: \xHH and \\ (texts.py). */
static lines read_torture(void) {
  lines all = read_lines(GOLDEN "torture.txt");
  for (size_t i = 0; i < all.count; i++) {
    char *in = all.line[i], *out = in, *end = in + all.bytes[i];
    while (in < end) {
      if (*in != '\\') {
        *out++ = *in++;
      } else if (in[1] == '\\') {
        *out++ = '\\';
        in += 2;
      } else {
        *out++ = (char)(hex(in[2]) << 4 | hex(in[3]));
        in += 4;
      }
    }
    all.bytes[i] = (size_t)(out - all.line[i]);
  }
  assert_true(all.count > 500);
  return all;
}

static void compile(const char *directory, int cased, pith_arena *arena,
                    pith_tokenizer_data *data) {
  pith_error error = {PITH_OK, ""};
  pith_arena_init(arena, NULL);
  if (pith_tokenizer_compile(&(pith_tokenizer_source){directory, cased}, arena, data, &error) !=
      PITH_OK)
    fail_msg("%s: %s", directory, error.message);
}

/* ---- golden encodings
 * --------------------------------------------------------------------------------- */

static void check_line(const char *name, const char *golden, size_t line, size_t count) {
  const char *hash = strchr(golden, '=');
  assert_non_null(hash);
  const char *at = golden;
  for (size_t i = 0; at < hash; i++) {
    char *next;
    long want[3] = {strtol(at, &next, 10), strtol(next + 1, &next, 10),
                    strtol(next + 1, &next, 10)};
    if (i >= count || ids[i] != want[0] || offsets[i][0] != want[1] || offsets[i][1] != want[2])
      fail_msg("%s, line %zu of torture.txt, token %zu of %zu: %d [%u, %u), not %ld [%ld, %ld)",
               name, line, i, count, i < count ? ids[i] : -1, i < count ? offsets[i][0] : 0,
               i < count ? offsets[i][1] : 0, want[0], want[1], want[2]);
    at = next + 1;
  }
  if (hash_on(hash_start, count) != strtoull(hash + 1, NULL, 16))
    fail_msg("%s, line %zu of torture.txt: %zu tokens whose hash differs", name, line, count);
}

static void test_golden(void **state) {
  (void)state;
  static const char *const names[] = {
      "bpe_lower",
      "bpe_nfc",
      "bpe_prefix",
      "bpe_roberta",
      "bpe_unknown",
      "bpe_untrimmed",
      "bpe_vocab_json",
      "bpe_whole",
      "word_piece_added",
      "word_piece_cased",
      "word_piece_nfd",
      "word_piece_nfkc",
      "word_piece_nfkd",
      "word_piece_lower_only",
      "word_piece_raw",
      "word_piece_uncased",
      "word_piece_vocab_txt",
  };
  lines torture = read_torture();
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "golden/%s.txt", names[n]);
    lines golden = read_lines(path);
    snprintf(path, sizeof path, GOLDEN "vocabularies/%s", names[n]);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, -1, &arena, &data);
    size_t at = 0;
    pith_error error = {PITH_OK, ""};
    for (size_t i = 0; i < torture.count; i++) {
      pith_encoding encoding = new_encoding();
      assert_int_equal(pith_tokenizer_encode(&data, torture.line[i], torture.bytes[i], NULL, 0, 0,
                                             &encoding, &error),
                       PITH_OK);
      check_line(names[n], golden.line[at++], i + 1, encoding.count);
    }
    while (at < golden.count) {
      size_t length;
      assert_int_equal(sscanf(golden.line[at++], "pair %zu", &length), 1);
      for (size_t i = 0; i + 1 < torture.count; i += 2) {
        if (golden.bytes[at] == 0) { /* too long for the reference */
          at++;
          continue;
        }
        pith_encoding encoding = new_encoding();
        assert_int_equal(pith_tokenizer_encode(&data, torture.line[i], torture.bytes[i],
                                               torture.line[i + 1], torture.bytes[i + 1], length,
                                               &encoding, &error),
                         PITH_OK);
        assert_true(encoding.count <= length);
        check_line(names[n], golden.line[at++], i + 1, encoding.count);
      }
    }
    pith_arena_deinit(&arena);
    free_lines(&golden);
  }
  free_lines(&torture);
}

/* WikiText-2 with the published vocabularies, where they are: one hash each, from make_golden.py.
 */
static void test_shared(void **state) {
  (void)state;
  const char *data_folder = getenv("PITH_DATA");
  char path[1024];
  if (data_folder == NULL)
    data_folder = PITH_SOURCE_DIR "/../shared/data";
  snprintf(path, sizeof path, "%s/wikitext2/wiki.test.raw", data_folder);
  if (access(path, R_OK) != 0) {
    print_message("%s: not there\n", path);
    skip();
  }
  lines text = read_lines(path), golden = read_lines(GOLDEN "golden_shared.txt");
  assert_true(golden.count == 5);
  for (size_t g = 0; g < golden.count; g++) {
    char name[64];
    int cased;
    unsigned long long want;
    assert_int_equal(sscanf(golden.line[g], "%63s %d %llx", name, &cased, &want), 3);
    snprintf(path, sizeof path, "%s/vocab/%s", data_folder, name);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, cased ? 1 : -1, &arena, &data);
    uint64_t hash = hash_start;
    pith_error error = {PITH_OK, ""};
    for (size_t i = 0; i < text.count; i++) {
      pith_encoding encoding = new_encoding();
      assert_int_equal(
          pith_tokenizer_encode(&data, text.line[i], text.bytes[i], NULL, 0, 0, &encoding, &error),
          PITH_OK);
      hash = hash_on(hash, encoding.count);
    }
    if (hash != want)
      fail_msg("%s: WikiText-2 hashes to %016llx, not %016llx: compare.py says where", name,
               (unsigned long long)hash, want);
    pith_arena_deinit(&arena);
  }
  free_lines(&text);
  free_lines(&golden);
}

/* ---- limits and arguments
 * ----------------------------------------------------------------------------- */

static void test_limits(void **state) {
  (void)state;
  pith_arena arena;
  pith_tokenizer_data data;
  compile(GOLDEN "vocabularies/word_piece_uncased", -1, &arena, &data);
  pith_error error = {PITH_OK, ""};
  pith_encoding encoding = new_encoding();
  assert_int_equal(pith_tokenizer_encode(&data, "", 0, NULL, 0, 0, &encoding, &error), PITH_OK);
  assert_int_equal(encoding.count, 2);
  assert_int_equal(sequence[0], 255);
  assert_int_equal(pith_tokenizer_encode(&data, "a", SIZE_MAX, "a", SIZE_MAX, 3, &encoding, &error),
                   PITH_OK);
  assert_int_equal(encoding.count, 3);
  assert_int_equal(pith_tokenizer_encode(&data, "a b", 3, "a", 1, 2, &encoding, &error),
                   PITH_INVALID_ARGUMENT);
  assert_non_null(strstr(error.message, "no room for the 3 special tokens"));
  encoding.capacity = 3;
  assert_int_equal(pith_tokenizer_encode(&data, "a b c", 5, NULL, 0, 0, &encoding, &error),
                   PITH_LIMIT);
  assert_non_null(strstr(error.message, "5 tokens; the encoding's capacity is 3"));
  assert_int_equal(encoding.count, 5);
  assert_int_equal(pith_tokenizer_encode(&data, "a b c", 5, NULL, 0, 3, &encoding, &error),
                   PITH_OK);
  assert_int_equal(encoding.count, 3);
  pith_encoding nothing = {.struct_size = sizeof nothing, .capacity = 10};
  assert_int_equal(pith_tokenizer_encode(&data, "a b c", 5, NULL, 0, 0, &nothing, &error), PITH_OK);
  assert_int_equal(nothing.count, 5);
  nothing.struct_size = 0;
  assert_int_equal(pith_tokenizer_encode(&data, "a", 1, NULL, 0, 0, &nothing, &error),
                   PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_tokenizer_encode(&data, NULL, 1, NULL, 0, 0, &encoding, &error),
                   PITH_INVALID_ARGUMENT);
  assert_int_equal(pith_tokenizer_find(&data, "[SEP]", 5), data.sep_id);
  assert_int_equal(data.sep_id, 3);
  assert_int_equal(pith_tokenizer_find(&data, "no such token", 13), -1);
  assert_int_equal(pith_tokenizer_find(&data, "", 0), -1);
  for (uint32_t id = 0; id < data.token_count; id++) {
    uint32_t bytes;
    const char *token = pith_tokenizer_text(&data, id, &bytes);
    assert_int_equal(pith_tokenizer_find(&data, token, bytes), id);
  }
  pith_arena_deinit(&arena);
}

/* Ten million bytes of each kind: one word, no words, characters of three bytes, marks, what is no
 * UTF-8. One million where the whole text is normalized or merged as one word: the same code, and
 * seconds less. */
static void test_huge(void **state) {
  (void)state;
  enum { BYTES = 10 << 20, MERGED_BYTES = 1 << 20 };
  static const char *const units[] = {"a", " ", "\xE4\xB8\xAD", "\xCC\x81", "\xFF", "ab "};
  static const char *const names[] = {"word_piece_uncased", "bpe_nfc", "bpe_roberta"};
  char *text = malloc(BYTES);
  assert_non_null(text);
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "vocabularies/%s", names[n]);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, -1, &arena, &data);
    size_t size = n == 0 ? BYTES : MERGED_BYTES;
    for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
      size_t unit = strlen(units[u]);
      for (size_t i = 0; i + unit <= size; i += unit)
        memcpy(text + i, units[u], unit);
      pith_error error = {PITH_OK, ""};
      pith_encoding encoding = new_encoding();
      assert_int_equal(
          pith_tokenizer_encode(&data, text, size / unit * unit, NULL, 0, 128, &encoding, &error),
          PITH_OK);
      assert_true(encoding.count >= 2 && encoding.count <= 128);
      for (size_t i = 0; i < encoding.count; i++)
        assert_true(offsets[i][0] <= offsets[i][1] && offsets[i][1] <= size);
    }
    pith_arena_deinit(&arena);
  }
  free(text);
}

/* ---- long tokens
 * -------------------------------------------------------------------------------------- */

/* Tokens around every length that the index treats differently: words of the letter a, so that
 * every beginning of one is in question, against the greedy rule itself. */
static void test_long_tokens(void **state) {
  (void)state;
  static const uint32_t first[] = {1, 2, 3, 5, 63, 64, 65, 130, 300},
                        inside[] = {1, 4, 62, 66, 127, 200, 254};
  enum {
    FIRST = sizeof first / sizeof *first,
    INSIDE = sizeof inside / sizeof *inside,
    MOST = 700
  };
  pith_draft_token tokens[1 + FIRST + INSIDE] = {{{"[UNK]", 5}, 0}};
  char *as = malloc(MOST), *inside_as = malloc(MOST);
  assert_true(as != NULL && inside_as != NULL);
  memset(as, 'a', MOST);
  memset(inside_as, 'a', MOST);
  memcpy(inside_as, "##", 2);
  for (uint32_t i = 0; i < FIRST; i++)
    tokens[1 + i] = (pith_draft_token){{as, first[i]}, 1 + i};
  for (uint32_t i = 0; i < INSIDE; i++)
    tokens[1 + FIRST + i] = (pith_draft_token){{inside_as, 2 + inside[i]}, 1 + FIRST + i};
  pith_draft draft = {.file = "long",
                      .kind = PITH_TOKENIZER_WORDPIECE,
                      .max_word_chars = MOST - 1,
                      .continuing_prefix = "##",
                      .unknown = tokens[0].text,
                      .tokens = tokens,
                      .token_count = sizeof tokens / sizeof *tokens};
  pith_draft_plain_template(&draft);
  static const uint32_t pre_tokenizers[] = {PITH_PRE_TOKENIZE_BERT, PITH_PRE_TOKENIZE_NONE};
  for (unsigned p = 0; p < 2; p++) {
    draft.pre_tokenizer = pre_tokenizers[p];
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_tokenizer_data data;
    pith_error error = {PITH_OK, ""};
    assert_int_equal(pith_draft_build(&draft, &arena, &data, &error), PITH_OK);
    for (uint32_t id = 0; id < data.token_count; id++) {
      uint32_t bytes;
      const char *text = pith_tokenizer_text(&data, id, &bytes);
      assert_int_equal(bytes, tokens[id].text.bytes);
      assert_memory_equal(text, tokens[id].text.text, bytes);
    }
    for (uint32_t n = 1; n <= MOST; n++) {
      pith_encoding encoding = new_encoding();
      assert_int_equal(pith_tokenizer_encode(&data, as, n, NULL, 0, 0, &encoding, &error), PITH_OK);
      size_t count = 0;
      for (uint32_t at = 0; at < n && n < MOST; count++) {
        const uint32_t *lengths = at == 0 ? first : inside;
        uint32_t best = at == 0 ? FIRST - 1 : INSIDE - 1;
        while (lengths[best] > n - at)
          best--;
        assert_int_equal(ids[count], 1 + (at == 0 ? best : FIRST + best));
        assert_int_equal(offsets[count][0], at);
        at += lengths[best];
        assert_int_equal(offsets[count][1], at);
      }
      if (n == MOST) { /* over max_word_chars */
        assert_int_equal(ids[0], 0);
        count = 1;
      }
      assert_int_equal(encoding.count, count);
    }
    pith_arena_deinit(&arena);
  }
  /* A prefix longer than the encoder's own room. */
  char prefix[600];
  memset(prefix, '#', sizeof prefix - 1);
  prefix[sizeof prefix - 1] = '\0';
  char long_text[sizeof prefix];
  memcpy(long_text, prefix, sizeof prefix - 1);
  long_text[sizeof prefix - 1] = 'a';
  tokens[2] = (pith_draft_token){{long_text, sizeof long_text}, 2};
  draft.token_count = 3;
  draft.continuing_prefix = prefix;
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_tokenizer_data data;
  pith_error error = {PITH_OK, ""};
  assert_int_equal(pith_draft_build(&draft, &arena, &data, &error), PITH_OK);
  pith_encoding encoding = new_encoding();
  assert_int_equal(pith_tokenizer_encode(&data, "aaa", 3, NULL, 0, 0, &encoding, &error), PITH_OK);
  assert_int_equal(encoding.count, 3);
  assert_true(ids[0] == 1 && ids[1] == 2 && ids[2] == 2);
  pith_arena_deinit(&arena);
  free(as);
  free(inside_as);
}

/* ---- bad files
 * ---------------------------------------------------------------------------------------- */

static char folder[256];

static int make_folder(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/pith-tokenizer-XXXXXX", base == NULL ? P_tmpdir : base);
  return mkdtemp(folder) == NULL;
}

static void write_file(const char *name, const char *text, size_t bytes) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (text == NULL) {
    unlink(path);
    return;
  }
  FILE *file = fopen(path, "wb");
  assert_non_null(file);
  assert_int_equal(fwrite(text, 1, bytes, file), bytes);
  assert_int_equal(fclose(file), 0);
}

static const char *const file_names[] = {"tokenizer.json", "tokenizer_config.json", "vocab.txt",
                                         "vocab.json", "merges.txt"};
enum { FILE_NAMES = sizeof file_names / sizeof *file_names };

static int remove_folder(void **state) {
  (void)state;
  for (unsigned i = 0; i < FILE_NAMES; i++)
    write_file(file_names[i], NULL, 0);
  return rmdir(folder);
}

#define MODEL(vocab)                                                                               \
  "{\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"vocab\":{" vocab "}}"
static const struct bad {
  const char *files[FILE_NAMES];
  pith_status status;
  const char *message;
} bads[] = {
    {{NULL}, PITH_IO, "no tokenizer.json, no vocab.txt"},
    {{"{"}, PITH_FORMAT, "tokenizer.json: not JSON"},
    {{"[]"}, PITH_FORMAT, "tokenizer.json: not a JSON object"},
    {{"{} x"}, PITH_FORMAT, "tokenizer.json: not JSON"},
    {{"{\"a\":\"\xFF\"}"}, PITH_FORMAT, "tokenizer.json: not UTF-8"},
    {{"{\"a\":\"\\u0000\"}"}, PITH_UNSUPPORTED, "U+0000"},
    {{"{}"}, PITH_FORMAT, "tokenizer.json: model is missing"},
    {{"{\"model\":{\"type\":\"Unigram\"}}"},
     PITH_UNSUPPORTED,
     "model type \"Unigram\" is not supported"},
    {{MODEL("\"a\":0") "}"}, PITH_FORMAT, "the unknown token \"[UNK]\" is not in the vocabulary"},
    {{MODEL("\"[UNK]\":0,\"a\":1,\"b\":1") "}"},
     PITH_FORMAT,
     "id 1 is given to two tokens (\"a\" and \"b\")"},
    {{MODEL("\"[UNK]\":0,\"a\":1,\"a\":2") "}"},
     PITH_FORMAT,
     "token \"a\" occurs twice (ids 1 and 2)"},
    {{MODEL("\"[UNK]\":0,\"a\":2147483648") "}"}, PITH_LIMIT, "\"a\" is 2147483648; at most"},
    {{MODEL("\"[UNK]\":0,\"a\":-1") "}"}, PITH_FORMAT, "\"a\" is not a whole number"},
    {{MODEL("\"[UNK]\":0,\"a\":1.5") "}"}, PITH_FORMAT, "\"a\" is not a whole number"},
    {{MODEL("\"[UNK]\":0,\"a\":\"1\"") "}"}, PITH_FORMAT, "\"a\" is not a whole number"},
    {{MODEL("\"[UNK]\":0") ",\"normalizer\":{\"type\":\"Replace\"}}"},
     PITH_UNSUPPORTED,
     "normalizer type \"Replace\""},
    {{MODEL("\"[UNK]\":0") ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":"
                           "\"NFC\"},{\"type\":\"NFD\"}]}}"},
     PITH_UNSUPPORTED,
     "2 Unicode forms"},
    {{MODEL("\"[UNK]\":0") ",\"pre_tokenizer\":{\"type\":\"Metaspace\"}}"},
     PITH_UNSUPPORTED,
     "pre_tokenizer type \"Metaspace\""},
    {{MODEL("\"[UNK]\":0") ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}"},
     PITH_UNSUPPORTED,
     "with the pre_tokenizer ByteLevel"},
    {{MODEL("\"[UNK]\":0") ",\"added_tokens\":[{\"id\":3,\"content\":\"[UNK]\"}]}"},
     PITH_FORMAT,
     "\"[UNK]\" has id 3; the vocabulary gives it 0"},
    {{MODEL("\"[UNK]\":0") ",\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]}"},
     PITH_FORMAT,
     "which is \"[UNK]\""},
    {{MODEL("\"[UNK]\":0") ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",7],"
                           "\"sep\":[\"b\",8]}}"},
     PITH_FORMAT,
     "template piece 0 is 7; the vocabulary has 1 tokens"},
    {{MODEL("\"[UNK]\":0") ",\"post_processor\":{\"type\":\"Other\"}}"},
     PITH_UNSUPPORTED,
     "post_processor type \"Other\""},
    {{"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,"
      "\"b\":1},\"merges\":[\"a b\"]}}"},
     PITH_FORMAT,
     "merge 0 (\"a b\"): their union is not in the vocabulary"},
    {{"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
      "\"merges\":[\"ab\"]}}"},
     PITH_FORMAT,
     "model.merges[0] is not two texts"},
    {{"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":"
      "true,\"vocab\":{},\"merges\":[]}}"},
     PITH_UNSUPPORTED,
     "model.byte_fallback"},
    {{NULL, NULL, ""}, PITH_FORMAT, "vocab.txt: 0 tokens"},
    {{NULL, NULL, "\xFF\n"}, PITH_FORMAT, "vocab.txt: not UTF-8"},
    {{NULL, NULL, "a\nb\n[CLS]\n[SEP]\n"},
     PITH_FORMAT,
     "vocab.txt: the unknown token \"[UNK]\" is not in the vocabulary"},
    {{NULL, NULL, "[UNK]\n[SEP]\n"},
     PITH_FORMAT,
     "vocab.txt: special token \"[CLS]\" is not in the vocabulary"},
    {{NULL, "{\"do_lower_case\":3}", "[UNK]\n[CLS]\n[SEP]\n"},
     PITH_FORMAT,
     "do_lower_case is not true or false"},
    {{NULL, "{\"never_split\":[\"x\"]}", "[UNK]\n[CLS]\n[SEP]\n"},
     PITH_UNSUPPORTED,
     "never_split \"x\" is not in"},
    {{NULL, NULL, NULL, "{\"a\":0}", NULL}, PITH_IO, "no tokenizer.json"},
    {{NULL, NULL, NULL, "{\"a\":0}", "a\n"}, PITH_FORMAT, "merges.txt: line 1 is not two texts"},
    {{NULL, NULL, NULL, "{\"a\":0}", "#version: 0.2\na b\n"},
     PITH_FORMAT,
     "the right part is not in the vocabulary"},
};

static void write_files(const char *const files[FILE_NAMES]) {
  for (unsigned i = 0; i < FILE_NAMES; i++)
    write_file(file_names[i], files[i], files[i] == NULL ? 0 : strlen(files[i]));
}

static void test_bad_files(void **state) {
  (void)state;
  for (size_t i = 0; i < sizeof bads / sizeof *bads; i++) {
    write_files(bads[i].files);
    pith_arena arena;
    pith_arena_init(&arena, NULL);
    pith_tokenizer_data data;
    pith_error error = {PITH_OK, ""};
    pith_status status =
        pith_tokenizer_compile(&(pith_tokenizer_source){folder, -1}, &arena, &data, &error);
    if (status != bads[i].status || error.status != status ||
        strstr(error.message, bads[i].message) == NULL)
      fail_msg("case %zu: status %d, \"%s\"; wanted %d, \"%s\"", i, (int)status, error.message,
               (int)bads[i].status, bads[i].message);
    pith_arena_deinit(&arena);
  }
  size_t deep = 1000000;
  char *nested = malloc(deep + 16);
  assert_non_null(nested);
  memcpy(nested, "{\"model\":", 9);
  memset(nested + 9, '[', deep);
  write_file(file_names[0], nested, deep + 9);
  free(nested);
  pith_arena arena;
  pith_arena_init(&arena, NULL);
  pith_tokenizer_data data;
  pith_error error;
  assert_int_equal(
      pith_tokenizer_compile(&(pith_tokenizer_source){folder, -1}, &arena, &data, &error),
      PITH_FORMAT);
  pith_arena_deinit(&arena);
}

static void test_never_split_and_case(void **state) {
  (void)state;
  static const char *const files[FILE_NAMES] = {NULL, "{\"never_split\":[\"Keep\"]}",
                                                "[UNK]\n[CLS]\n[SEP]\nkeep\nKeep\na\n##b\n"};
  write_files(files);
  pith_error error;
  pith_arena arena;
  pith_tokenizer_data data;
  for (int cased = -1; cased <= 1; cased++) {
    compile(folder, cased, &arena, &data);
    pith_encoding encoding = new_encoding();
    assert_int_equal(
        pith_tokenizer_encode(&data, "Keep keep AB Keepx", 18, NULL, 0, 0, &encoding, &error),
        PITH_OK);
    const int32_t lower[] = {1, 4, 3, 5, 6, 0, 2}, upper[] = {1, 4, 3, 0, 0, 2};
    assert_int_equal(encoding.count, cased == 1 ? 6 : 7);
    assert_memory_equal(ids, cased == 1 ? upper : lower, encoding.count * sizeof *ids);
    pith_arena_deinit(&arena);
  }
}

/* ---- files that were tampered with
 * -------------------------------------------------------------------- */

static void *copy_of(const void *from, size_t bytes) {
  void *copy = malloc(bytes);
  assert_non_null(copy);
  memcpy(copy, from, bytes);
  return copy;
}

static void test_verify(void **state) {
  (void)state;
  pith_arena arena;
  pith_tokenizer_data good;
  compile(GOLDEN "vocabularies/bpe_roberta", -1, &arena, &good);
  pith_error error;
  assert_int_equal(pith_tokenizer_data_verify(&good, &error), PITH_OK);
#define REFUSED(change)                                                                            \
  do {                                                                                             \
    pith_tokenizer_data bad = good;                                                                \
    change;                                                                                        \
    assert_int_equal(pith_tokenizer_data_verify(&bad, &error), PITH_FORMAT);                       \
  } while (0)
  REFUSED(bad.kind = (pith_tokenizer_kind)9);
  REFUSED(bad.token_count = UINT32_MAX);
  REFUSED(bad.token_text_bytes--);
  REFUSED(bad.token_text_bytes++);
  REFUSED(bad.pre_tokenizer = PITH_PRE_TOKENIZE_BERT);
  REFUSED(bad.normalizer = 0xF);
  REFUSED(bad.normalizer = PITH_NORMALIZE_NFC | PITH_NORMALIZE_NFD << 4);
  REFUSED(bad.index_count = 3);
  REFUSED(bad.index_count--);
  REFUSED(bad.merge_word_count--);
  REFUSED(bad.mask_id = (int32_t)bad.token_count);
  REFUSED(bad.sep_id = -2);
  REFUSED(bad.added_text_bytes--);
  REFUSED(bad.single_template = bad.pair_template; bad.single_count = bad.pair_count);
  REFUSED(bad.pair_count = 1 << 20);
  uint32_t words[PITH_MERGES_HEADER_WORDS];
  memcpy(words, good.merges, sizeof words);
  words[1] = 3; /* slots: no power of two */
  REFUSED(bad.merges = words);
  pith_template_piece piece = {(int32_t)good.token_count, 0};
  REFUSED(bad.single_template = &piece; bad.single_count = 1);
  assert_true(good.token_count > 2 * PITH_TOKEN_BLOCK);
  const uint32_t count = good.token_start_count;
  uint32_t *starts = malloc((count + PITH_TOKEN_BLOCK + 1) * sizeof *starts);
  assert_non_null(starts);
  memcpy(starts, good.token_starts, count * sizeof *starts);
  /* The second block's places one by one: sound, but for what lies past the end. */
  for (uint32_t i = 0; i <= PITH_TOKEN_BLOCK; i++) {
    uint32_t bytes;
    starts[count + i] =
        (uint32_t)(pith_tokenizer_text(&good, PITH_TOKEN_BLOCK + i, &bytes) - good.token_text);
  }
  starts[1] = PITH_TOKEN_BLOCK_LONG | count;
  pith_tokenizer_data same = good;
  same.token_starts = starts;
  same.token_start_count = count + PITH_TOKEN_BLOCK + 1;
  assert_int_equal(pith_tokenizer_data_verify(&same, &error), PITH_OK);
  REFUSED(bad.token_starts = starts; bad.token_start_count = count + PITH_TOKEN_BLOCK);
  starts[count + 3]--;
  starts[count + 2] = starts[count + 3] + 1; /* two that descend */
  REFUSED(bad.token_starts = starts; bad.token_start_count = count + PITH_TOKEN_BLOCK + 1);
  starts[1] = good.token_starts[1] + 1;
  REFUSED(bad.token_starts = starts);
  starts[1] = PITH_TOKEN_BLOCK_LONG | 0; /* ... are not those of the block */
  REFUSED(bad.token_starts = starts);
  free(starts);
  REFUSED(bad.token_start_count = 1);
  uint8_t *lengths = copy_of(good.token_lengths, pith_token_blocks_round(good.token_count));
  lengths[9]++;
  REFUSED(bad.token_lengths = lengths);
  lengths[9]--;
  lengths[good.token_count - 1]++;
  REFUSED(bad.token_lengths = lengths);
  free(lengths);
  /* Each word of each table's description: places past the end, and numbers that are none. */
  uint32_t *index = copy_of(good.index, good.index_count * sizeof *index);
  for (unsigned i = 0; i < PITH_KEYS_COUNT; i++)
    for (unsigned word = 0; word < 4; word++) {
      uint32_t *changed = &index[PITH_INDEX_TABLES + PITH_INDEX_TABLE_WORDS * i + word];
      const uint32_t was = *changed;
      static const uint32_t values[] = {0xFFFFFFFF, 0x80000000, 0, 3};
      for (unsigned v = 0; v < 4; v++) {
        if (values[v] == 0 && word == 0)
          continue; /* a table may lie anywhere */
        if (values[v] == 3 && word != 3)
          continue; /* only beginnings must be a power of two */
        *changed = values[v];
        REFUSED(bad.index = index);
      }
      *changed = was;
    }
  index[0]--;
  REFUSED(bad.index = index);
  free(index);
  pith_arena_deinit(&arena);
}

/* A table that gives ids past the last one, or those of other tokens: nothing is found. */
static void test_wrong_guesses(void **state) {
  (void)state;
  static const char *const names[] = {"word_piece_added", "bpe_roberta"};
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "vocabularies/%s", names[n]);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, -1, &arena, &data);
    const uint32_t values[] = {data.token_count, PITH_KEY_NONE - 1, PITH_KEY_NONE, 0};
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
      uint32_t *index = copy_of(data.index, data.index_count * sizeof *index);
      pith_tokenizer_data wrong = data;
      wrong.index = index;
      for (unsigned i = 0; i < PITH_KEYS_COUNT; i++) {
        const pith_key_table table = pith_index_table(&wrong, i);
        uint32_t *slots = index + (table.slots - index);
        for (uint32_t s = 0; s < table.slot_count; s++)
          slots[s] = (slots[s] & 0xFF000000) | values[v];
      }
      pith_error error;
      assert_int_equal(pith_tokenizer_data_verify(&wrong, &error), PITH_OK);
      for (uint32_t id = 0; id < data.token_count; id++) {
        uint32_t bytes;
        const char *token = pith_tokenizer_text(&data, id, &bytes);
        assert_int_equal(pith_index_find(&wrong, token, bytes),
                         id == values[v] ? id : PITH_KEY_NONE);
      }
      pith_encoding encoding = new_encoding();
      static const char text[] = "The low newest <mask> [MASK] newtoken e\xCC\x81!";
      assert_int_equal(
          pith_tokenizer_encode(&wrong, text, SIZE_MAX, text, SIZE_MAX, 0, &encoding, &error),
          PITH_OK);
      for (size_t i = 0; i < encoding.count; i++)
        assert_true((uint32_t)ids[i] < data.token_count);
      free(index);
    }
    pith_arena_deinit(&arena);
  }
}

/* ---- allocation
 * --------------------------------------------------------------------------------------- */

static void test_no_allocation(void **state) {
  (void)state;
  static const char *const names[] = {"word_piece_uncased", "word_piece_added", "bpe_roberta",
                                      "bpe_nfc"};
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "vocabularies/%s", names[n]);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, -1, &arena, &data);
    static const char text[] = "The caf\xC3\xA9, na\xC3\xAFve and \xE4\xB8\xAD\xE6\x96\x87 <mask> "
                               "[MASK] newtoken e\xCC\x81 \xF0\x9F\x98\x80!";
    pith_encoding encoding = new_encoding();
    pith_error error;
    long before = allocations;
    assert_int_equal(
        pith_tokenizer_encode(&data, text, SIZE_MAX, text, SIZE_MAX, 16, &encoding, &error),
        PITH_OK);
    assert_int_equal(allocations, before);
    assert_int_equal(encoding.count, 16);
    pith_arena_deinit(&arena);
  }
}

static void test_encode_without_memory(void **state) {
  (void)state;
  static const char *const names[] = {"bpe_roberta", "bpe_nfc", "word_piece_added"};
  char text[6000];
  for (size_t i = 0; i + 2 < sizeof text; i += 2)
    memcpy(text + i,
           i < 3000 ? "ab"
           : i % 4  ? "\xCC\x81"
                    : "\xCC\xA3",
           2); /* a long word with many marks */
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    char path[512];
    snprintf(path, sizeof path, GOLDEN "vocabularies/%s", names[n]);
    pith_arena arena;
    pith_tokenizer_data data;
    compile(path, -1, &arena, &data);
    pith_status status = PITH_OUT_OF_MEMORY;
    long k = 0;
    for (; status != PITH_OK; k++) {
      pith_encoding encoding = new_encoding();
      pith_error error = {PITH_OK, ""};
      allocations = 0;
      failing = k;
      status = pith_tokenizer_encode(&data, text, sizeof text - 2, NULL, 0, 0, &encoding, &error);
      failing = -1;
      assert_true(status == PITH_OK || (status == PITH_OUT_OF_MEMORY && error.status == status));
    }
    assert_true(k > 2); /* some allocations there were */
    pith_arena_deinit(&arena);
  }
}

static void test_compile_without_memory(void **state) {
  (void)state;
  static const char *const words[FILE_NAMES] = {NULL, "{\"never_split\":[\"a\"]}",
                                                "[UNK]\n[CLS]\n[SEP]\na\n##b\n"};
  static const char *const merges[FILE_NAMES] = {NULL, NULL, NULL, "{\"a\":0,\"b\":1,\"ab\":2}",
                                                 "a b\n"};
  static const char *const json[FILE_NAMES] = {
      MODEL("\"[UNK]\":0,\"a\":1") ",\"normalizer\":{\"type\":\"BertNormalizer\"},\"added_tokens\":"
                                   "[{\"id\":2,\"content\":\"X\"}]}"};
  static const char *const *const all[] = {words, merges, json};
  cJSON_Hooks hooks = {__wrap_malloc, free};
  cJSON_InitHooks(&hooks);
  for (size_t n = 0; n < 3; n++) {
    write_files(all[n]);
    pith_status status = PITH_OUT_OF_MEMORY;
    long k = 0;
    for (; status != PITH_OK; k++) {
      pith_arena arena;
      pith_arena_init(&arena, NULL);
      pith_tokenizer_data data;
      pith_error error = {PITH_OK, ""};
      allocations = 0;
      failing = k;
      status = pith_tokenizer_compile(&(pith_tokenizer_source){folder, -1}, &arena, &data, &error);
      failing = -1;
      assert_true(status == PITH_OK || error.message[0] != '\0');
      assert_true(k < 1000);
      pith_arena_deinit(&arena);
    }
    assert_true(k > 5);
  }
  cJSON_InitHooks(NULL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden),
      cmocka_unit_test(test_shared),
      cmocka_unit_test(test_limits),
      cmocka_unit_test(test_huge),
      cmocka_unit_test(test_long_tokens),
      cmocka_unit_test(test_bad_files),
      cmocka_unit_test(test_never_split_and_case),
      cmocka_unit_test(test_verify),
      cmocka_unit_test(test_wrong_guesses),
      cmocka_unit_test(test_no_allocation),
      cmocka_unit_test(test_encode_without_memory),
      cmocka_unit_test(test_compile_without_memory),
  };
  return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
