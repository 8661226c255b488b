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

void pith_quantize_weight_rows(const float *w, size_t rows, size_t columns, pith_weight_clip clip, int8_t *out_q,
                               float *out_scales) {
  for (size_t r = 0; r < rows; r++) {
    const float *row = w + r * columns;
    const float scale = choose_scale(row, columns, clip), inverse = 1.0f / scale;
    out_scales[r] = scale;
    for (size_t i = 0; i < columns; i++)
      out_q[r * columns + i] = (int8_t)quantize(row[i], inverse);
  }
}
