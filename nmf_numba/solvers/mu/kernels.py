"""Multiplicative updates in compiled loops. The equations are in reference.py; this file says only how loops differ.

A block of rows of WH lives in cache and never as a whole. From it come numerator and denominator, then the new rows of
W, then WH again and the block's share of H's sums, while the rows of X are still in cache. For a CSR the row pass
computes WH at the stored entries only; the denominators, which need all of WH and not X, are a loop of their own. Each
chunk of rows has sums of its own: the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import empty_sums, fill
from nmf_numba.compiled.elementary import power, split
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import product
from nmf_numba.gradient.kernels import BLOCK, TILE, add_stored, kept_transposed, tile_of
from nmf_numba.losses.kernels import FLOOR, weights


@kernel
def least_entry(loss, like):
    """`smallest` of reference.py."""
    if loss[0] < 1:
        return 2.0**-52 * np.sqrt(2.0**23 * loss[1])
    return 2.0**-126 if like.itemsize == 4 else 2.0**-1022  # float32, float64


@kernel
def _root(numerator, denominator, l1, l2_w, beta):
    """The root of (4) for one entry, in float64."""
    a, b = (2 - beta, 2 - beta) if beta < 1 else (1.0, 2 - beta) if beta <= 2 else (beta - 1, 0.0)
    if b == 0:
        numerator, l1 = numerator - l1, 0.0
    if numerator <= 0:
        return 0.0
    u, goal = 0.0, np.log(numerator)
    for _ in range(100):
        of_r, shared = denominator * np.exp(a * u), np.exp(b * u)
        with_l1, with_l2 = l1 * shared, l2_w * shared * np.exp(u)
        total = of_r + with_l1 + with_l2
        change = (np.log(total) - goal) * total / (a * of_r + b * with_l1 + (b + 1) * with_l2)
        u -= change
        if abs(change) < 1e-9:
            break
    return np.exp(u)


@kernel
def update(W, numerator, denominator, penalties, beta, least, observed=False):
    """(1), row by row. For beta = 2, denominator is H H', and W's product with it comes first, unless observed."""
    n_rows, k = W.shape
    number = W.dtype.type
    l1, l2, floor, least = number(penalties[0]), number(penalties[1]), number(FLOOR), number(least)
    gamma = penalties[2]
    high, low = split(gamma)
    by_gram = beta == 2 and not observed
    with_gram = np.empty((n_rows if by_gram else 0, k), W.dtype)
    if by_gram:
        product(with_gram, W, denominator, False)
    for i in range(n_rows):
        w, num, den = W[i], numerator[i], with_gram[i] if by_gram else denominator[min(i, len(denominator) - 1)]
        for t in range(k):
            if gamma == 0:
                d = np.float64(floor if den[t] == 0 else den[t])
                ratio = number(_root(np.float64(num[t]), d, penalties[0], penalties[1] * w[t], beta))
            else:
                d = den[t] + l1 + l2 * w[t]
                ratio = num[t] / (floor if d == 0 else d)
                ratio = ratio if gamma == 1 else number(power(np.float64(ratio), high, low))
            new = w[t] * ratio
            w[t] = 0 if new < least else new


@kernel
def weight_tile(P, Q, x, left, loss):
    """Turn a tile Q of WH and the columns of x from `left` on into weights: P of numerators, Q of denominators."""
    n_lines = 1 if P.shape[1] == x.shape[1] else len(x)  # whole rows are one long line
    p, q, x_lines = P.reshape(n_lines, -1), Q.reshape(n_lines, -1), x.reshape(n_lines, -1)
    for i in range(n_lines):
        weights(p[i], q[i], x_lines[i, left : left + p.shape[1]], loss)


@kernel
def add_tile(sums, rows, tile, h, left, is_for_H):
    """Add tile Ht to the sums of rows of W, which begin at the first tile, or W' tile to those of H."""
    if is_for_H:
        product(sums[:, left : left + len(h)], rows.T, tile, True)
    else:
        product(sums, tile, h, left > 0)


@kernel
def add_parts(num, den, rows, x, Ht, H, buffers, loss, is_for_H):
    """Set num and den to (2) of a block of rows, or with is_for_H add its share to H's; den only if it needs WH."""
    n, beta = len(rows), loss[0]
    for left in range(0, len(Ht), TILE):
        h = Ht[left : left + TILE]
        if beta == 2:  # the weights are X and WH, and WH is not needed: H H' serves instead
            add_tile(num, rows, x[:, left : left + TILE], h, left, is_for_H)
            continue
        P, Q = buffers[0, : n * len(h)].reshape(n, -1), buffers[1, : n * len(h)].reshape(n, -1)
        product(Q, rows, tile_of(H, Ht, left), False)
        weight_tile(P, Q, x, left, loss)
        add_tile(num, rows, P, h, left, is_for_H)
        if beta != 1:
            add_tile(den, rows, Q, h, left, is_for_H)


@parallel
def row_pass_dense(W, X, Ht, denominator, loss, penalties, update_H, bounds):
    """Chunks of rows in parallel, each a block of rows at a time, with sums of its own."""
    n_chunks, k, n_features, beta = len(bounds) - 1, W.shape[1], len(Ht), loss[0]
    general = beta != 1 and beta != 2
    numerator_H = np.empty((n_chunks, k, n_features), W.dtype)
    denominator_H = np.empty((n_chunks, k, n_features if general else k if beta == 2 else 0), W.dtype)
    H, least = kept_transposed(Ht if beta != 2 else Ht[:0]), least_entry(loss, W)
    for c in prange(n_chunks):
        fill(numerator_H[c], 0)
        fill(denominator_H[c], 0)
        buffers, sums = np.empty((2, BLOCK * min(TILE, n_features)), W.dtype), np.empty((2, BLOCK, k), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, x = W[start:stop], X[start:stop]
            num, den = sums[0, : len(rows)], sums[1, : len(rows)]
            # 0: W; then 1: with its new rows H, while X's are in cache. Calls with False and True would compile twice.
            for is_for_H in range(1 + update_H):
                parts = (numerator_H[c], denominator_H[c]) if is_for_H else (num, den)
                add_parts(*parts, rows, x, Ht, H, buffers, loss, is_for_H)
                if not is_for_H:
                    update(rows, num, den if general else denominator, penalties, beta, least)  # (1)
                elif beta == 2:
                    product(denominator_H[c], rows.T, rows, True)
    return numerator_H, denominator_H


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, denominator, loss, penalties, update_H, bounds):
    """The same, with WH at what X stores of each row, and the denominators given: they do not depend on X."""
    n_chunks, beta = len(bounds) - 1, loss[0]
    least, given = least_entry(loss, W), beta != 1 and beta != 2
    numerator_H, k = empty_sums(n_chunks, len(Ht), W.shape[1], W), W.shape[1]
    denominator_H = empty_sums(n_chunks, k, k if beta == 2 else 0, W)
    for c in prange(n_chunks):
        fill(numerator_H[c], 0)
        fill(denominator_H[c], 0)
        num = np.empty((BLOCK, W.shape[1]), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, ends = W[start:stop], indptr[start : stop + 1]
            fill(num, 0)
            for is_for_H in range(1 + update_H):  # 0: W; then 1: with its new rows H
                add_stored(numerator_H[c] if is_for_H else num, rows, ends, indices, data, Ht, loss, is_for_H)
                if not is_for_H:
                    update(rows, num, denominator[start:stop] if given else denominator, penalties, beta, least)  # (1)
                elif beta == 2:
                    product(denominator_H[c], rows.T, rows, True)
    return numerator_H, denominator_H
