#include "bench/xsmm_avx512.h" /* generated */

#include "bench/xsmm_body.h"

static void run(const void *args, size_t threads, size_t task, void *scratch) {
  static const xsmm_code code = {xsmm_whole_avx512, xsmm_fetch_avx512, xsmm_rest_avx512};
  (void)threads, (void)task;
  xsmm_run_all(&code, args, scratch);
}

const pith_kernel bench_gemm_f32_xsmm_avx512 = {
    .name = "libxsmm_6x64_avx512",
    .needs = PITH_CPU_AVX512,
    .count_tasks = xsmm_count_tasks,
    .get_scratch_bytes = xsmm_get_scratch_bytes,
    .run = run,
};
