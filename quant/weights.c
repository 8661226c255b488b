#include "quant/weights.h"

#include <float.h>
#include <math.h>

enum { STEPS = 40 };

static float quantize(float w, float inverse) {
  const float q = rintf(w * inverse);
  return q > 127.0f ? 127.0f : q < -127.0f ? -127.0f : q;
}

static double measure_error(const float *w, size_t count, float scale) {
  const float inverse = 1.0f / scale;
  double error = 0;
  for (size_t i = 0; i < count; i++) {
    const float d = w[i] - scale * quantize(w[i], inverse);
    error += (double)d * (double)d;
  }
  return error;
}

static float choose_scale(const float *w, size_t count, pith_weight_clip clip) {
  float largest = 0.0f;
  for (size_t i = 0; i < count; i++)
    largest = fmaxf(largest, fabsf(w[i]));
  const float whole = largest / 127.0f;
  if (!(whole >= FLT_MIN)) /* too small to divide by: everything is 0 */
    return 1.0f;
  float best = whole;
  if (clip == PITH_WEIGHT_CLIP_MSE) {
    double least = measure_error(w, count, whole);
    for (int i = 1; i <= STEPS; i++) {
      const float scale = whole * (float)(100 - i) / 100.0f;
      const double error = scale >= FLT_MIN ? measure_error(w, count, scale) : INFINITY;
      if (error < least) {
        least = error;
        best = scale;
      }
    }
  }
  return best;
}

void pith_weight_rows_choose_scales(const float *w, size_t rows, size_t columns, pith_weight_clip clip, float *out_scales) {
  for (size_t r = 0; r < rows; r++)
    out_scales[r] = choose_scale(w + r * columns, columns, clip);
}

void pith_weight_rows_round(const float *w, size_t rows, size_t columns, const float *scales, int8_t *out_q) {
  for (size_t r = 0; r < rows; r++) {
    const float inverse = 1.0f / scales[r];
    for (size_t i = 0; i < columns; i++)
      out_q[r * columns + i] = (int8_t)quantize(w[r * columns + i], inverse);
  }
}
