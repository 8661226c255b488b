#include "quant/observer.h"

#include <float.h>
#include <math.h>

enum { LEVELS = 256, CANDIDATES = 128, COARSE = 16 };

bool pith_observer_needs_histogram(pith_observer_kind kind) {
  return kind == PITH_OBSERVER_PERCENTILE || kind == PITH_OBSERVER_KL || kind == PITH_OBSERVER_MSE;
}

void pith_observer_init(pith_observer *observer, const pith_quant_options *options, bool is_signed) {
  *observer = (pith_observer){.options = options, .is_signed = is_signed, .low = FLT_MAX, .high = -FLT_MAX};
}

bool pith_observer_see_range(pith_observer *observer, const float *values, uint64_t count, uint64_t *out_index) {
  if (count == 0)
    return true;
  float low = values[0], high = values[0];
  for (uint64_t i = 0; i < count; i++) {
    if (!isfinite(values[i])) {
      *out_index = i;
      return false;
    }
    low = values[i] < low ? values[i] : low;
    high = values[i] > high ? values[i] : high;
  }
  observer->low = fminf(observer->low, low);
  observer->high = fmaxf(observer->high, high);
  if (observer->options->observer == PITH_OBSERVER_MOVING_AVERAGE) {
    const double weight = observer->batches == 0 ? 1.0 : observer->options->averaging;
    observer->mean_low += weight * ((double)low - observer->mean_low);
    observer->mean_high += weight * ((double)high - observer->mean_high);
  } else {
    observer->mean_low += (double)low;
    observer->mean_high += (double)high;
  }
  observer->count += count;
  observer->batches++;
  return true;
}

/* ---- histogram ------------------------------------------------------------------------------------------------- */

static double bin_width(const pith_observer *observer) {
  return ((double)observer->high - (double)observer->low) / PITH_OBSERVER_BINS;
}

void pith_observer_begin_histogram(pith_observer *observer, uint64_t *bins) {
  observer->bins = bins;
}

void pith_observer_see_values(pith_observer *observer, const float *values, uint64_t count) {
  const double low = (double)observer->low, width = bin_width(observer);
  if (!(width > 0)) /* constant: no histogram is needed */
    return;
  const double inverse = 1.0 / width;
  for (uint64_t i = 0; i < count; i++) {
    const double place = ((double)values[i] - low) * inverse;
    const uint32_t bin = place <= 0 ? 0 : place >= PITH_OBSERVER_BINS - 1 ? PITH_OBSERVER_BINS - 1 : (uint32_t)place;
    observer->bins[bin]++;
  }
}

/* ---- percentile ------------------------------------------------------------------------------------------------- */

static void choose_percentile(const pith_observer *observer, double *low, double *high) {
  const double outside = (double)observer->count * (100.0 - observer->options->percentile) / 100.0;
  const double width = bin_width(observer);
  double sum = 0;
  uint32_t first = 0, last = PITH_OBSERVER_BINS;
  while (first < PITH_OBSERVER_BINS && sum + (double)observer->bins[first] <= outside)
    sum += (double)observer->bins[first++];
  sum = 0;
  while (last > first && sum + (double)observer->bins[last - 1] <= outside)
    sum += (double)observer->bins[--last];
  *low = (double)observer->low + width * (double)first;
  *high = (double)observer->low + width * (double)last;
}

/* ---- Kullback-Leibler ---------------------------------------------------------------------------------------------- */

/* Divergence of the bins first .. last - 1, with all that lies outside added to the outermost of them, from their
 * quantized form: each of 256 groups of bins replaced by the mean over those of its bins that are not empty. */
static double measure_divergence(const uint64_t *bins, uint32_t first, uint32_t last) {
  const uint32_t count = last - first;
  double inside = 0, below = 0, above = 0;
  for (uint32_t i = 0; i < PITH_OBSERVER_BINS; i++)
    *(i < first ? &below : i < last ? &inside : &above) += (double)bins[i];
  const double total = inside + below + above;
  if (inside == 0)
    return INFINITY;
  double divergence = 0;
  for (uint32_t level = 0; level < LEVELS; level++) {
    const uint32_t begin = first + (uint32_t)((uint64_t)count * level / LEVELS);
    const uint32_t end = first + (uint32_t)((uint64_t)count * (level + 1) / LEVELS);
    double mass = 0;
    uint32_t used = 0;
    for (uint32_t i = begin; i < end; i++) {
      mass += (double)bins[i];
      used += bins[i] != 0;
    }
    for (uint32_t i = begin; i < end; i++) {
      const double p = ((double)bins[i] + (i == first ? below : 0) + (i == last - 1 ? above : 0)) / total;
      const double q = bins[i] == 0 ? 0 : mass / (double)used / inside;
      if (p > 0)
        divergence += p * log(p / (q > 0 ? q : 1e-9));
    }
  }
  return divergence;
}

typedef double (*measure)(const pith_observer *observer, uint32_t first, uint32_t last);

static double measure_kl(const pith_observer *observer, uint32_t first, uint32_t last) {
  return measure_divergence(observer->bins, first, last);
}

/* ---- squared error ------------------------------------------------------------------------------------------------- */

static double measure_mse(const pith_observer *observer, uint32_t first, uint32_t last) {
  const double width = bin_width(observer), origin = (double)observer->low;
  double low = fmin(origin + width * first, 0), high = fmax(origin + width * last, 0);
  if (observer->is_signed) {
    high = fmax(-low, high);
    low = -high;
  }
  const double step = observer->is_signed ? high / 127.0 : (high - low) / 255.0;
  if (!(step > 0))
    return INFINITY;
  /* The levels of 8 bits, whose zero is one of them: the ends move by up to half a step, which counts where many values lie
   * at an end, as GELU's do. */
  const double bottom = observer->is_signed ? -127 : -rint(-low / step);
  const double top = observer->is_signed ? 127 : 255 + bottom;
  double error = 0;
  for (uint32_t i = 0; i < PITH_OBSERVER_BINS; i++) {
    if (observer->bins[i] == 0)
      continue;
    const double x = origin + width * ((double)i + 0.5);
    /* A bin wider than a step spreads over whole steps, whose mean squared error is step^2 / 12. */
    const double level = rint(x / step), nearest = fmin(fmax(level, bottom), top);
    const double inside = width >= step ? step * step / 12.0 : pow(x - step * level, 2.0) + width * width / 12.0;
    error += (double)observer->bins[i] * (nearest == level ? inside : pow(x - step * nearest, 2.0));
  }
  return error;
}

/* The best of COARSE places on each side, both at once; from there one side after the other until neither moves, each tried
 * at CANDIDATES places between 0 and its extreme. */
static void search(const pith_observer *observer, measure cost, double *low, double *high) {
  const double width = bin_width(observer), origin = (double)observer->low;
  const double zero = fmin(fmax(-origin / width, 0), PITH_OBSERVER_BINS);
  uint32_t first = 0, last = PITH_OBSERVER_BINS;
  double least = cost(observer, first, last);
  for (uint32_t i = 0; i < COARSE; i++)
    for (uint32_t j = 0; j < COARSE; j++) {
      const uint32_t f = (uint32_t)(zero * i / COARSE);
      const uint32_t l = PITH_OBSERVER_BINS - (uint32_t)((PITH_OBSERVER_BINS - zero) * j / COARSE);
      const double e = l > f && l - f >= 8 ? cost(observer, f, l) : INFINITY;
      if (e < least) {
        least = e;
        first = f;
        last = l;
      }
    }
  for (int round = 0; round < 3; round++) {
    const uint32_t was_first = first, was_last = last;
    for (uint32_t c = 1; c < CANDIDATES; c++) {
      const uint32_t f = (uint32_t)(zero * c / CANDIDATES);
      const uint32_t l = PITH_OBSERVER_BINS - (uint32_t)((PITH_OBSERVER_BINS - zero) * c / CANDIDATES);
      double e;
      if (f < last && last - f >= 8 && (e = cost(observer, f, last)) < least) {
        least = e;
        first = f;
      }
      if (l > first && l - first >= 8 && (e = cost(observer, first, l)) < least) {
        least = e;
        last = l;
      }
    }
    if (first == was_first && last == was_last)
      break;
  }
  *low = origin + width * first;
  *high = origin + width * last;
}

void pith_observer_choose(const pith_observer *observer, float *out_low, float *out_high) {
  double low = 0, high = 0;
  if (observer->count != 0) {
    low = (double)observer->low;
    high = (double)observer->high;
    const bool spread = bin_width(observer) > 0;
    switch (observer->options->observer) {
    case PITH_OBSERVER_MOVING_AVERAGE:
      low = observer->mean_low;
      high = observer->mean_high;
      break;
    case PITH_OBSERVER_MEAN_MIN_MAX:
      low = observer->mean_low / (double)observer->batches;
      high = observer->mean_high / (double)observer->batches;
      break;
    case PITH_OBSERVER_PERCENTILE:
      if (spread)
        choose_percentile(observer, &low, &high);
      break;
    case PITH_OBSERVER_KL:
      if (spread)
        search(observer, measure_kl, &low, &high);
      break;
    case PITH_OBSERVER_MSE:
      if (spread)
        search(observer, measure_mse, &low, &high);
      break;
    case PITH_OBSERVER_MIN_MAX:
    case PITH_OBSERVER_COUNT:
      break;
    }
  }
  *out_low = (float)fmin(low, 0);
  *out_high = (float)fmax(high, 0);
}
