"""Accelerated projected gradient in compiled loops. The equations are in reference.py.

Blocks of rows outside, steps inside: (1) couples the components of one row, never two rows. The gradients of a block
are one matrix product; only rows that start anew need one of their own. Chunks of rows run in parallel.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import bounds_of, total_of
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import product

BLOCK = 80  # rows whose gradients are one matrix product
N_POWERS, FLOOR = 20, 1e-30  # of the bound


@kernel
def bound(gram):
    """Each power in turn, in float64."""
    k, least = len(gram), np.inf
    v, ahead = np.ones(k), np.empty(k)
    for _ in range(N_POWERS):
        largest, ratio = 0.0, 0.0
        for t in range(k):
            total = 0.0
            for u in range(k):
                total += gram[t, u] * v[u]
            ahead[t] = total
            largest, ratio = max(largest, total), max(ratio, total / v[t])
        least = min(least, ratio)
        if least == 0:
            return 0.0
        for t in range(k):
            v[t] = max(ahead[t] / largest, FLOOR)
    return least


@kernel
def set_slope(slope, w, gram, cross, l1):
    """Slope <- w gram - cross + l1."""
    for t in range(len(w)):
        slope[t] = l1 - cross[t]
    for u in range(len(w)):
        for t in range(len(w)):
            slope[t] += w[u] * gram[u, t]


@kernel
def first_slopes(slopes, W, gram, cross, l1):
    """Set the slopes of some rows and return their violation."""
    violation, zero = 0.0, W.dtype.type(0)
    product(slopes, W, gram, False)
    for i in range(len(W)):
        for t in range(W.shape[1]):
            slopes[i, t] += l1 - cross[i, t]
            violation += abs(min(slopes[i, t], zero) if W[i, t] == 0 else slopes[i, t])
    return violation


@kernel
def set_cut(new, old, slope, step):
    """`cut` of reference.py for some rows: new <- old - step slope, or 0."""
    least = new.dtype.type(
        2.0**-970 if new.itemsize == 8 else 2.0**-103
    )  # of normal numbers, divided by their rounding
    for i in range(len(new)):
        for t in range(new.shape[1]):
            value = old[i, t] - step * slope[i, t]
            new[i, t] = value if value > least else 0


@kernel
def take_steps(W, gram, cross, l1, n_steps, step):
    """`update` of reference.py on some rows, a block at a time. Return the violation before the first step."""
    k, zero, violation = W.shape[1], W.dtype.type(0), 0.0
    buffers, a = np.empty((5, BLOCK, k), W.dtype), np.empty(BLOCK)
    slopes, news, slopes_new, ys, slopes_y = buffers[0], buffers[1], buffers[2], buffers[3], buffers[4]
    for first in range(0, len(W), BLOCK):
        n = min(BLOCK, len(W) - first)
        rows, x = W[first : first + n], cross[first : first + n]
        violation += first_slopes(slopes[:n], rows, gram, x, l1)
        for i in range(n):
            a[i] = 1
            for t in range(k):
                ys[i, t], slopes_y[i, t] = rows[i, t], slopes[i, t]
        for _ in range(n_steps):
            set_cut(news[:n], ys[:n], slopes_y[:n], step)  # (1)
            product(slopes_new[:n], news[:n], gram, False)
            for i in range(n):
                w, new, y, slope, slope_new = rows[i], news[i], ys[i], slopes[i], slopes_new[i]
                change = zero
                for t in range(k):
                    slope_new[t] += l1 - x[i, t]
                    change += (new[t] - w[t]) * (slope_new[t] + slope[t])
                if change > 0:  # it would rise: start anew
                    a[i] = 1
                    set_cut(news[i : i + 1], rows[i : i + 1], slopes[i : i + 1], step)
                    set_slope(slope_new, new, gram, x[i], l1)
                a_new = (1 + np.sqrt(1 + 4 * a[i] * a[i])) / 2
                ahead, a[i] = W.dtype.type((a[i] - 1) / a_new), a_new
                for t in range(k):  # (2): slopes are linear
                    y[t] = new[t] + ahead * (new[t] - w[t])
                    slopes_y[i, t] = slope_new[t] + ahead * (slope_new[t] - slope[t])
                    w[t], slope[t] = new[t], slope_new[t]
    return violation


@parallel
def update(W, gram, cross, l1, n_steps):
    """Chunks of rows in parallel, each with a violation of its own."""
    bounds, largest = bounds_of(W), bound(gram)
    step, violations = W.dtype.type(1 / largest if largest > 0 else 0), np.empty(len(bounds) - 1)
    n_steps = n_steps if largest > 0 else 0
    for c in prange(len(bounds) - 1):
        start, stop = bounds[c], bounds[c + 1]
        violations[c] = take_steps(W[start:stop], gram, cross[start:stop], W.dtype.type(l1), n_steps, step)
    return total_of(violations)
