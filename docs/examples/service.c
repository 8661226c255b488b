/* A service in 40 lines: opens a model once, answers a line of text with a line of labels or numbers.
 *
 *   cc service.c $(pkg-config --cflags --libs pith) -o service && ./service model.pith < texts.txt */
#include <pith/pith.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(pith_status status, const pith_error *error) {
  if (status == PITH_OK)
    return;
  fprintf(stderr, "service: %s: %s\n", pith_status_string(status), error->message);
  exit(1);
}

int main(int argc, char **argv) {
  pith_error error = {PITH_OK, ""};
  pith_model *model = NULL;
  pith_session *session = NULL;
  pith_model_info info = {.struct_size = sizeof info};
  check(pith_model_open(argc > 1 ? argv[1] : "model.pith", NULL, &model, &error), &error);
  check(pith_model_get_info(model, &info, &error), &error);
  check(pith_session_create(model, NULL, &session, &error), &error);
  float *vector = malloc((info.embedding_size + 1) * sizeof *vector);
  char line[65536];
  while (vector != NULL && fgets(line, sizeof line, stdin) != NULL) {
    const char *text = line;
    line[strcspn(line, "\n")] = '\0';
    if (info.task == PITH_TASK_EMBEDDING) {
      check(pith_embed(session, &text, 1, vector, &error), &error);
      for (size_t i = 0; i < info.embedding_size; i++)
        printf("%s%.6f", i == 0 ? "" : " ", (double)vector[i]);
      printf("\n");
    } else {
      pith_label label;
      check(pith_classify(session, &text, NULL, 1, &label, NULL, &error), &error);
      printf("%s %.4f\n", info.labels[label.index], (double)label.score);
    }
    fflush(stdout);
  }
  free(vector);
  pith_session_destroy(session);
  pith_model_close(model);
  return 0;
}
