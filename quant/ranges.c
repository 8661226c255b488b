#include "quant/ranges.h"

#include <math.h>

const pith_range *pith_ranges_find(const pith_ranges *ranges, const char *name) {
  uint32_t low = 0, high = ranges->count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    const int order = strcmp(name, ranges->ranges[middle].name);
    if (order == 0)
      return &ranges->ranges[middle];
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return NULL;
}

void pith_ranges_deinit(pith_ranges *ranges) {
  pith_arena_deinit(&ranges->arena);
  ranges->count = 0;
}

float pith_range_get_scale(float low, float high, bool is_signed) {
  return is_signed ? fmaxf(-low, high) / 127.0f : (high - low) / 255.0f;
}

uint8_t pith_range_get_zero(float low, float scale) {
  return (uint8_t)rintf(-low / scale);
}
