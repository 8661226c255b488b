// The public header from C++: every call links with C names.
#include <pith/pith.h>

#include <cstdio>
#include <vector>

int main(int argc, char **argv) {
  pith_error error = {};
  pith_model *model = nullptr;
  pith_session *session = nullptr;
  pith_model_info info = {};
  info.struct_size = sizeof info;
  const pith_session_options options = PITH_SESSION_OPTIONS_INIT;
  if (argc != 2 || pith_model_open(argv[1], nullptr, &model, &error) != PITH_OK ||
      pith_model_get_info(model, &info, &error) != PITH_OK ||
      pith_session_create(model, &options, &session, &error) != PITH_OK) {
    std::fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  std::vector<float> vector(info.embedding_size);
  const char *text = "a good film";
  const pith_status status = pith_embed(session, &text, 1, vector.data(), &error);
  double norm = 0;
  for (float value : vector)
    norm += static_cast<double>(value) * value;
  pith_session_destroy(session);
  pith_model_close(model);
  return status == PITH_OK && norm > 0.999 && norm < 1.001 ? 0 : 1;
}
