/* The part of train/options.h that is about training INT8 models. */
#ifndef PITH_TRAIN_OPTIONS_QUANTIZE_H
#define PITH_TRAIN_OPTIONS_QUANTIZE_H

#define PITH_TRAIN_QUANTIZE_KEY_LIST(X)                                                                    \
  X(dequantize, "dequantize", FLAG, NULL, 0, 0, NULL, "train an INT8 model as floats, which it then is")   \
  X(ranges, "qat-ranges", WORD, "HOW", 0, 0, pith_train_ranges_words,                                      \
    "of an INT8 model's activations: fixed as calibrated, ema of the batches' extremes, or learned")       \
  X(range_momentum, "qat-momentum", NUMBER, "M", 0, 0.999999, NULL,                                        \
    "ema: what stays of the average when a batch joins it (default 0.99)")                                 \
  X(range_freeze, "qat-freeze", NUMBER, "SHARE", 0, 1, NULL, "ema: share of the steps after which ranges stay (default 0.5)")

#endif
