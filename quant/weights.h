/* Rows of weights to s8, one scale each, symmetric: w is about scale * q, q in -127 .. 127, 0 stays 0. */
#ifndef PITH_QUANT_WEIGHTS_H
#define PITH_QUANT_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "quant/options.h"

/* `w` [rows, columns] finite. MIN_MAX: scale = max |w| / 127; MSE: the one of 60 to 100 % of it, in steps of 1 %, whose
 * squared error over the row is least, the largest of equals. A row of zeros has scale 1. */
void pith_weight_rows_choose_scales(const float *w, size_t rows, size_t columns, pith_weight_clip clip, float *out_scales);
/* To the nearest. */
void pith_weight_rows_round(const float *w, size_t rows, size_t columns, const float *scales, int8_t *out_q);

#endif
