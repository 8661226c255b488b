/* pith pack as a process: what it says, what it writes, and answers that stay as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "tests/cli/command_fixture.h"

static const char config[] =
    "{\"model_type\":\"bert\",\"architectures\":[\"%s\"],\"vocab_size\":300,\"hidden_size\":32,"
    "\"num_hidden_layers\":1,"
    "\"num_attention_heads\":2,\"intermediate_size\":64,\"hidden_act\":\"gelu\",\"max_position_"
    "embeddings\":32,"
    "\"type_vocab_size\":2,\"initializer_range\":0.3,\"layer_norm_eps\":1e-12,\"pad_token_id\":0}";

static const char *make_model(const char *name, const char *architecture) {
  char text[600], file[40];
  int bytes = snprintf(text, sizeof text, config, architecture);
  snprintf(file, sizeof file, "%s.json", name);
  const char *from = in_folder(file), *model = in_folder(name);
  write_text(from, text, (size_t)bytes);
  outcome o = run_pith(NULL, "new", from, "--seed", "3", "-o", model, NULL);
  assert_success(&o);
  return model;
}

static void test_tied(void **state) {
  (void)state;
  const char *model = make_model("tied.pith", "BertForMaskedLM"),
             *packed = in_folder("packed.pith");
  outcome o = run_pith(NULL, "pack", model, "--target", "avx2,any", "-o", packed, NULL);
  assert_success(&o);
  assert_string_equal(o.out, "packed 1 weight in 0.0 MB for avx2, any\n");
  o = run_pith(NULL, "verify", packed, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", packed, NULL);
  assert_success(&o);
  /* 300 outputs rounded up to 304, of 32 inputs */
  assert_non_null(strstr(o.out, "word_embeddings.weight: n64_f32, 38912 bytes, for avx2, any"));
  assert_non_null(strstr(o.out, "{\"targets\":[\"avx2\",\"any\"]}"));
  o = run_pith(NULL, "inspect", packed, "--json", NULL);
  assert_success(&o);
  assert_non_null(strstr(
      o.out, "\"copies\":[{\"layout\":\"n64_f32\",\"transposed\":false,\"targets\":[\"avx2\","
             "\"any\"],\"bytes\":38912}]"));
  o = run_pith(NULL, "inspect", model, "--json", NULL);
  assert_success(&o);
  assert_null(strstr(o.out, "\"targets\""));
}

static void test_nothing(void **state) {
  (void)state;
  const char *model = make_model("vectors.pith", "BertModel"), *packed = in_folder("same.pith");
  outcome o = run_pith(NULL, "pack", model, "-o", packed, NULL);
  assert_success(&o);
  assert_string_equal(o.out, "nothing to pack: every weight already lies as the kernels read it\n");
  FILE *a = fopen(model, "rb"), *b = fopen(packed, "rb");
  assert_non_null(a);
  assert_non_null(b);
  int x, y;
  size_t bytes = 0;
  do {
    x = getc(a);
    y = getc(b);
    assert_int_equal(x, y);
    bytes++;
  } while (x != EOF);
  assert_true(bytes > 10000);
  fclose(a);
  fclose(b);
}

static void test_wrong_use(void **state) {
  (void)state;
  const char *model = make_model("wrong.pith", "BertForMaskedLM"), *packed = in_folder("none.pith");
  outcome o = run_pith(NULL, "pack", model, "--target", "avx9", "-o", packed, NULL);
  assert_failure(&o, 1, "no target 'avx9': the known ones are avx2, avx512, avx512vnni,");
  struct stat info;
  assert_int_not_equal(stat(packed, &info), 0);
  o = run_pith(NULL, "pack", model, NULL);
  assert_failure(&o, 2, "--output");
  o = run_pith(NULL, "pack", in_folder("absent.pith"), "-o", packed, NULL);
  assert_failure(&o, 1, "absent.pith");
}

/* Where blocks are zero, runs decide; the answers stay, and the file says what was found. */
static void test_tune(void **state) {
  (void)state;
  const char *model = make_model("dense.pith", "BertForSequenceClassification"), *pruned = in_folder("pruned.pith"),
             *tuned = in_folder("tuned.pith");
  outcome o = run_pith(NULL, "pack", model, "--tune", "-o", tuned, "--seq", "16", NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "nothing to tune: no product's weights have zeros that leave out blocks\n"));
  o = run_pith(NULL, "prune", model, "--pattern", "4x4", "--sparsity", "0.9", "-o", pruned, NULL);
  assert_success(&o);
  o = run_pith(NULL, "pack", pruned, "--tune", "--batch", "2", "--seq", "16", "--threads", "1", "-o", tuned, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "the model, 2 x 16, 1 thread: dense "));
  assert_non_null(strstr(o.out, "; stored "));
  o = run_pith(NULL, "verify", tuned, NULL);
  assert_success(&o);
  o = run_pith(NULL, "inspect", tuned, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "tune"));
  char before[4096];
  o = run_pith(NULL, "bench", pruned, "--batch", "2", "--seq", "16", "--seconds", "0.05", "--outputs",
               in_folder("before.jsonl"), NULL);
  assert_success(&o);
  o = run_pith(NULL, "bench", tuned, "--batch", "2", "--seq", "16", "--seconds", "0.05", "--outputs",
               in_folder("after.jsonl"), NULL);
  assert_success(&o);
  FILE *a = fopen(in_folder("before.jsonl"), "rb"), *b = fopen(in_folder("after.jsonl"), "rb");
  assert_non_null(a);
  assert_non_null(b);
  char after[sizeof before];
  const size_t bytes = fread(before, 1, sizeof before, a);
  assert_true(bytes > 20); /* two labels of two texts */
  assert_int_equal(fread(after, 1, sizeof after, b), bytes);
  assert_memory_equal(before, after, bytes);
  fclose(a);
  fclose(b);
  o = run_pith(NULL, "pack", pruned, "--tune", "--seq", "16", "--json", "-o", tuned, NULL);
  assert_success(&o);
  assert_non_null(strstr(o.out, "\"tune\":{\"batch\":1,\"seq\":16,"));
  assert_non_null(strstr(o.out, "\"layers\":[{"));
  /* A run may be no longer than what the model takes, and a shape is of --tune. */
  o = run_pith(NULL, "pack", pruned, "--tune", "--seq", "33", "-o", in_folder("no.pith"), NULL);
  assert_failure(&o, 1, "longer than the model's 32");
  o = run_pith(NULL, "pack", pruned, "--seq", "16", "-o", in_folder("no.pith"), NULL);
  assert_failure(&o, 2, "--batch, --seq and --threads go with --tune");
}

static int teardown(void **state) {
  (void)state;
  remove_folder();
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tied),
      cmocka_unit_test(test_nothing),
      cmocka_unit_test(test_wrong_use),
      cmocka_unit_test(test_tune),
  };
  return cmocka_run_group_tests(tests, NULL, teardown);
}
