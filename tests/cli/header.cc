// The public header from C++: every call links with C names.
#include <pith/pith.h>

#include <cstdio>
#include <vector>

// Each function of the header, in its order; test_install counts them against it.
#define PITH_ADDRESS(name) reinterpret_cast<void (*)()>(&name)
static void (*const functions[])() = {
    PITH_ADDRESS(pith_status_string), PITH_ADDRESS(pith_model_open),
    PITH_ADDRESS(pith_model_open_memory), PITH_ADDRESS(pith_model_close),
    PITH_ADDRESS(pith_task_name), PITH_ADDRESS(pith_model_get_info), PITH_ADDRESS(pith_encode),
    PITH_ADDRESS(pith_encode_batch), PITH_ADDRESS(pith_token_text),
    PITH_ADDRESS(pith_token_decode), PITH_ADDRESS(pith_session_create),
    PITH_ADDRESS(pith_session_destroy), PITH_ADDRESS(pith_session_plan_memory),
    PITH_ADDRESS(pith_session_run), PITH_ADDRESS(pith_session_get_exits), PITH_ADDRESS(pith_classify),
    PITH_ADDRESS(pith_embed),
    PITH_ADDRESS(pith_answer_questions), PITH_ADDRESS(pith_tag), PITH_ADDRESS(pith_fill_mask),
    PITH_ADDRESS(pith_session_profile), PITH_ADDRESS(pith_cpu_features),
    PITH_ADDRESS(pith_cpu_feature_name),
};

int main(int argc, char **argv) {
  for (void (*function)() : functions)
    if (function == nullptr)
      return 1;
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
