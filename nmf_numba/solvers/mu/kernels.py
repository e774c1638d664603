"""Multiplicative updates in compiled loops. The equations are in reference.py; this file says only how loops differ.

A block of rows of WH lives in cache and never as a whole. From it come numerator and denominator, then the new rows of
W, then WH again and the block's share of H's sums, while the rows of X are still in cache. For a CSR, WH is computed at
the stored entries only; the denominator needs all of it, unless beta is 1 or 2. Each chunk of rows has sums of its own:
the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import bounds_of, empty_sums, fill, gram_matrix
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import gather, product, products, scatter
from nmf_numba.losses.kernels import denominator_weights, transposed, weights

FLOOR = 2.0**-23  # as in losses/reference.py
BLOCK = 60  # rows in a block: with TILE columns half a MB of WH, a part of a core's second cache
TILE = 1000  # columns in a block


@kernel
def least_entry(beta, like):
    """Return what an entry must reach, or it becomes 0."""
    return 2.0**-52 if beta < 1 else 2.0**-126 if like.itemsize == 4 else 2.0**-1022  # float32, float64


def common(Ht, beta):
    """On several threads for beta = 2."""
    return gram_matrix(Ht) if beta == 2 else Ht.sum(axis=0, keepdims=True)


@kernel
def update_rows(W, numerator, denominator, penalties, beta, least):
    """(1) on some rows. The denominator has a row for each of W's, or one for all, or is H H' for beta = 2."""
    n_rows, n_components = W.shape
    number = W.dtype.type
    l1, l2, floor, least = number(penalties[0]), number(penalties[1]), number(FLOOR), number(least)
    gamma = number(1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0)
    product_with_gram = np.empty((n_rows if beta == 2 else 0, n_components), W.dtype)
    if beta == 2:
        product(product_with_gram, W, denominator, False)
    for i in range(n_rows):
        w, num = W[i], numerator[i]
        den = product_with_gram[i] if beta == 2 else denominator[min(i, len(denominator) - 1)]
        for t in range(n_components):
            d = den[t] + l1 + l2 * w[t]
            ratio = num[t] / (floor if d == 0 else d)
            new = w[t] * (ratio if gamma == 1 else ratio**gamma)
            w[t] = 0 if new < least else new


@kernel
def add_denominator(denominator_H, rows, beta):
    """Add what some rows give to H's denominator, for beta = 2 and 1."""
    if beta == 2:
        product(denominator_H, rows.T, rows, True)
    elif beta == 1:
        for i in range(len(rows)):
            for t in range(rows.shape[1]):
                denominator_H[0, t] += rows[i, t]


@kernel
def empty_denominators(n_chunks, Ht, beta):
    """Return room for each chunk's part of H's denominator."""
    n_features, k = Ht.shape
    return empty_sums(n_chunks, 1 if beta == 1 else k, k if beta == 1 or beta == 2 else n_features, Ht)


@kernel
def weight_tile(P, Q, x, left, beta):
    """Turn a tile Q of WH and the columns of x from `left` on into weights: P of numerators, Q of denominators."""
    n_lines = 1 if Q.shape[1] == x.shape[1] else len(x)  # whole rows are one long line
    p, q, x_lines = P.reshape(n_lines, -1), Q.reshape(n_lines, -1), x.reshape(n_lines, -1)
    for i in range(n_lines):
        weights(p[i], q[i], x_lines[i, left : left + p.shape[1]], beta)


@parallel
def row_pass_dense(W, X, Ht, common, beta, penalties, update_H, bounds):
    """Chunks of rows in parallel, each a block of rows at a time, with sums of its own."""
    n_chunks, k, n_features, general = len(bounds) - 1, W.shape[1], len(Ht), beta != 1 and beta != 2
    numerator_H, denominator_H = empty_sums(n_chunks, k, n_features, W), empty_denominators(n_chunks, Ht, beta)
    H, width, least = transposed(Ht), min(TILE, n_features), least_entry(beta, W)
    for c in prange(n_chunks):
        fill(numerator_H[c], 0)
        fill(denominator_H[c], 0)
        buffers, sums = np.empty((2, BLOCK * width), W.dtype), np.empty((2, BLOCK, k), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, x, n = W[start:stop], X[start:stop], stop - start
            num, den = sums[0, :n], sums[1, :n]
            for is_for_H in range(1 + update_H):  # W, then with its new rows H, while the rows of X are in cache
                for left in range(0, n_features, width):
                    h, right = Ht[left : left + width], min(left + width, n_features)
                    P = buffers[0, : n * len(h)].reshape(n, len(h))
                    Q = buffers[1, : n * len(h)].reshape(n, len(h))
                    if beta != 2:
                        product(Q, rows, H[:, left:right], False)
                        weight_tile(P, Q, x, left, beta)
                    if is_for_H and beta == 2:
                        product(numerator_H[c][:, left:right], rows.T, x[:, left:right], True)
                    elif is_for_H:
                        product(numerator_H[c][:, left:right], rows.T, P, True)
                    elif beta == 2:
                        product(num, x[:, left:right], h, left > 0)
                    else:
                        product(num, P, h, left > 0)
                    if general and is_for_H:
                        product(denominator_H[c][:, left:right], rows.T, Q, True)
                    elif general:
                        product(den, Q, h, left > 0)
                if is_for_H:
                    add_denominator(denominator_H[c], rows, beta)
                else:
                    update_rows(rows, num, den if general else common, penalties, beta, least)
    return numerator_H, denominator_H


@kernel
def denominators_of_WH(rows, Ht, H, beta, is_for_H, den, denominator_H):
    """The denominators of some rows, or what they add to H's, from all entries of WH, a tile at a time."""
    n, width = len(rows), min(TILE, len(Ht))
    P, Q = np.empty(n * width, rows.dtype), np.empty(n * width, rows.dtype)
    for left in range(0, len(Ht), width):
        h, right = Ht[left : left + width], min(left + width, len(Ht))
        p, q = P[: n * len(h)], Q[: n * len(h)]
        product(q.reshape(n, -1), rows, H[:, left:right], False)
        denominator_weights(p, q, beta)
        if is_for_H:
            product(denominator_H[:, left:right], rows.T, p.reshape(n, -1), True)
        else:
            product(den, p.reshape(n, -1), h, left > 0)


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, common, beta, penalties, update_H, bounds):
    """The same, with WH at what X stores of each row, and at all entries only for the denominators of some losses."""
    n_chunks, k, general = len(bounds) - 1, W.shape[1], beta != 1 and beta != 2
    numerator_H, denominator_H = empty_sums(n_chunks, len(Ht), k, W), empty_denominators(n_chunks, Ht, beta)
    H, least = transposed(Ht if general else Ht[:0]), least_entry(beta, W)
    for c in prange(n_chunks):
        fill(numerator_H[c], 0)
        fill(denominator_H[c], 0)
        sums, p, y = np.empty((2, BLOCK, k), W.dtype), np.empty(len(Ht), W.dtype), np.empty(len(Ht), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, num, den = W[start:stop], sums[0, : stop - start], sums[1, : stop - start]
            for is_for_H in range(1 + update_H):  # W, then with its new rows H
                fill(num, 0)
                if general:
                    denominators_of_WH(rows, Ht, H, beta, is_for_H, den, denominator_H[c])
                for i in range(start, stop):
                    columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
                    P = p[: len(x)]
                    if beta != 2:
                        products(W[i], columns, Ht, y)
                        weights(P, y[: len(x)], x, beta)
                    if is_for_H and beta == 2:
                        scatter(numerator_H[c], columns, x, W[i])
                    elif is_for_H:
                        scatter(numerator_H[c], columns, P, W[i])
                    elif beta == 2:
                        gather(num[i - start], columns, x, Ht)
                    else:
                        gather(num[i - start], columns, P, Ht)
                if is_for_H:
                    add_denominator(denominator_H[c], rows, beta)
                else:
                    update_rows(rows, num, den if general else common, penalties, beta, least)
    return numerator_H, denominator_H


@parallel
def update(W, numerator, denominator, penalties, beta, least):
    """Chunks of rows in parallel."""
    bounds = bounds_of(W)
    for c in prange(len(bounds) - 1):
        start, stop = bounds[c], bounds[c + 1]
        den = denominator if beta == 2 or len(denominator) == 1 else denominator[start:stop]
        update_rows(W[start:stop], numerator[start:stop], den, penalties, beta, least)
