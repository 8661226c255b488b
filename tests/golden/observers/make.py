#!/usr/bin/env python3
"""Ranges of the calibration observers by NumPy: what quant/observer.c has to find.

    python3 make.py      (NumPy and SciPy, see requirements.txt)

values.f32: for each data set BATCHES batches of SIZE values. golden.txt: a line for each data set, observer and signedness:

    set observer signed low high tolerance

percentile comes from the sorted values, mse from the error of quantizing every value, for each pair of ends on a grid, kl
from scipy.stats.entropy for each pair of ends on that grid; none of them shares a line with the C code. The tolerance is
what a histogram of 2,048 bins and a search that does not try every pair may be off: the extent of the grid points whose cost
is within 1 % (mse) and 6 % (kl) of the least.
"""
import os

import numpy as np
from scipy.stats import entropy

HERE = os.path.dirname(os.path.abspath(__file__))
BATCHES, SIZE, BINS, LEVELS, GRID = 6, 1500, 2048, 256, 128
MSE_TIE, KL_TIE = 1.01, 1.06
PERCENTILE, AVERAGING = 99.5, 0.25


def data_sets(random):
    normal = random.standard_normal((3, BATCHES, SIZE))
    gelu = normal[0] * 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (normal[0] + 0.044715 * normal[0] ** 3)))
    return {
        "tails": normal[1] ** 3 * (1 + 0.2 * np.arange(BATCHES)[:, None]),  # batches of growing range
        "gelu": gelu * 3,
        "shifted": normal[2] * 0.3 + 0.8,
    }


def quantization_error(x, low, high, signed):
    if signed:
        high = max(-low, high)
        step = high / 127
        q = np.clip(np.round(x / step), -127, 127)
        return np.mean((x - q * step) ** 2)
    step = (high - low) / 255
    zero = np.round(-low / step)
    q = np.clip(np.round(x / step) + zero, 0, 255)
    return np.mean((x - (q - zero) * step) ** 2)


def divergence(counts, first, last):
    """Of the clipped histogram from its form in LEVELS groups, each the mean over its bins in use."""
    p = counts[first:last].astype(float)
    groups = np.searchsorted(np.arange(1, LEVELS + 1) * (last - first) // LEVELS, np.arange(last - first), side="right")
    used = (p > 0).astype(float)
    mass = np.bincount(groups, p, LEVELS)
    share = np.divide(mass, np.bincount(groups, used, LEVELS), out=np.zeros(LEVELS), where=mass > 0)
    q = share[groups] * used
    p[0] += counts[:first].sum()
    p[-1] += counts[last:].sum()
    if q.sum() == 0:
        return np.inf
    q = np.maximum(q / q.sum(), np.where(p > 0, 1e-9, 0))  # where all that was clipped fell on an empty bin
    return entropy(p, q) if p.sum() > 0 else np.inf


def best(cost, lows, highs, tie):
    """The pair of least cost, and how far the ends of pairs of nearly that cost lie."""
    costs = np.array([[cost(low, high) for high in highs] for low in lows])
    i, j = np.unravel_index(np.argmin(costs), costs.shape)
    near = np.argwhere(costs <= costs[i, j] * tie)
    spread = max(np.max(np.abs(lows[near[:, 0]] - lows[i])), np.max(np.abs(highs[near[:, 1]] - highs[j])))
    return lows[i], highs[j], spread


def main():
    random = np.random.Generator(np.random.PCG64(2024))
    rows, values = [], []
    for name, batches in data_sets(random).items():
        batches = batches.astype(np.float32)
        values.append(batches)
        x = batches.astype(np.float64).ravel()
        low, high = x.min(), x.max()
        width = (high - low) / BINS
        mins, maxs = batches.min(axis=1).astype(np.float64), batches.max(axis=1).astype(np.float64)
        mean_low, mean_high = mins[0], maxs[0]
        for lower, upper in zip(mins[1:], maxs[1:]):
            mean_low, mean_high = (1 - AVERAGING) * mean_low + AVERAGING * lower, (1 - AVERAGING) * mean_high + AVERAGING * upper
        ends = np.percentile(x, [100 - PERCENTILE, PERCENTILE])
        tiny = 1e-6 * max(-low, high)
        found = [("min_max", 0, low, high, 0), ("moving_average", 0, mean_low, mean_high, tiny),
                 ("mean_min_max", 0, mins.mean(), maxs.mean(), tiny), ("percentile", 0, *ends, 2 * width)]
        share = np.arange(GRID) / GRID
        lows, highs = min(low, 0) * (1 - share), max(high, 0) * (1 - share)
        if low >= 0:
            lows = np.array([0.0])
        for signed in (0, 1):
            if signed:  # the larger side decides: one search
                ends = np.array([quantization_error(x, -end, end, True) for end in max(-low, high) * (1 - share)])
                end = max(-low, high) * (1 - share[np.argmin(ends)])
                spread = np.max(np.abs(share[ends <= ends.min() * MSE_TIE] - share[np.argmin(ends)])) * max(-low, high)
                found.append(("mse", 1, -end, end, spread + 2 * width))
            else:
                a, b, spread = best(lambda a, b: quantization_error(x, a, b, False), lows, highs, MSE_TIE)
                found.append(("mse", 0, a, b, spread + 2 * width))
        counts, edges = np.histogram(x, BINS, (low, high))
        firsts = np.unique(np.clip(((lows - low) / width).astype(int), 0, BINS))
        lasts = np.unique(np.clip(np.ceil((highs - low) / width).astype(int), 0, BINS))[::-1]
        a, b, spread = best(lambda a, b: divergence(counts, a, b) if b - a >= 8 else np.inf, firsts, lasts, KL_TIE)
        found.append(("kl", 0, low + a * width, low + b * width, (spread + 2) * width))
        rows += [(name, observer, signed, min(a, 0), max(b, 0), t) for observer, signed, a, b, t in found]
    np.concatenate(values).tofile(os.path.join(HERE, "values.f32"))
    with open(os.path.join(HERE, "golden.txt"), "w", encoding="utf-8") as file:
        for name, observer, signed, low, high, tolerance in rows:
            print(name, observer, signed, f"{low:.9g} {high:.9g} {tolerance:.3g}", file=file)


if __name__ == "__main__":
    main()
