"""Accelerated projected gradient: gradient steps from a point ahead.

With H fixed, gram = H H' + l2 I and cross = X H'. The objective of one row w has the gradient w gram - cross + l1, and
no direction has more curvature than L, the largest eigenvalue of gram. Each step starts at a point y ahead of w:

    w_new = max(0, y - (y gram - cross + l1) / L)                                                   (1)
    y = w_new + (a - 1) / a_new (w_new - w),   a_new = (1 + sqrt(1 + 4 a^2)) / 2,   a = 1 at first  (2)

Where (1) would raise the objective of its row, the row starts anew: y = w, a = 1. W and Ht are updated by the same
function. Source: Guan, Tao, Luo and Yuan (2012), algorithm 1. Derivation: notes.md beside this file, where (1) is (2)
and (2) is (3).
"""

import numpy as np

N_POWERS, FLOOR = 20, 1e-30  # of the bound


def bound(gram):
    """Return an upper bound of gram's largest eigenvalue: max (gram v) / v for any v > 0, here powers of gram."""
    gram, v, least = gram.astype(np.float64), np.ones(len(gram)), np.inf
    for _ in range(N_POWERS):
        ahead = gram @ v
        least = min(least, (ahead / v).max())
        if least == 0:
            return 0.0
        v = np.maximum(ahead / ahead.max(), FLOOR)
    return least


def cut(W):
    """Return max(0, W), with zero also for what decays into numbers that processors handle slowly, in W's dtype."""
    least = np.finfo(W.dtype).tiny / np.finfo(W.dtype).eps
    return np.where(least < W, W, 0).astype(W.dtype)


def update(W, gram, cross, l1, n_steps):
    """Update W in place by n_steps steps and return the violation of the optimality conditions before them.

    W : (n_rows, n_components), changed in place, non-negative
    gram : (n_components, n_components), no entry negative
    cross : (n_rows, n_components)
    n_steps : at least 1
    """
    largest = bound(gram)
    slope = W @ gram - cross + l1  # the gradient at W
    violation = np.abs(np.where(W == 0, np.minimum(slope, 0), slope)).sum(dtype=np.float64)
    if largest == 0:
        return violation
    step = W.dtype.type(1 / largest)
    y, slope_y, a = W.copy(), slope, np.ones((len(W), 1))
    for _ in range(n_steps):
        new = cut(y - step * slope_y)  # (1)
        slope_new = new @ gram - cross + l1
        rises = ((new - W) * (slope_new + slope)).sum(axis=1) > 0  # twice the change of the objective
        new[rises] = cut(W - step * slope)[rises]
        slope_new[rises] = (new @ gram - cross + l1)[rises]
        a[rises] = 1
        a_new = (1 + np.sqrt(1 + 4 * a**2)) / 2
        ahead = ((a - 1) / a_new).astype(W.dtype)
        y, slope_y = new + ahead * (new - W), slope_new + ahead * (slope_new - slope)  # (2): slopes are linear
        W[:], slope, a = new, slope_new, a_new
    return violation
