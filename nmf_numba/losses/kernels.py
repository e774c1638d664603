"""The beta-divergence in compiled loops. The equations are in reference.py; this file says only how the loops differ.

A block of rows of WH lives in cache and never as a whole. Each chunk of rows has a sum of its own; they are added in
order. For a CSR and beta = 2 or 1, the zeros' share has a closed form, so only stored entries are visited: D is what
WH differs from a matrix of zeros, and a correction at each stored entry. Where that difference of sums has lost its
digits, in a close fit, all entries are visited. With missing entries or weights, only what counts is visited.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import gram_matrix, total_of
from nmf_numba.compiled.elementary import expm1, log, power, powers, split
from nmf_numba.compiled.jit import inlined, kernel, parallel
from nmf_numba.compiled.linear_algebra import product, products

FLOOR = 2.0**-23  # as in reference.py
ENTRIES = 1 << 15  # entries of WH in a block: 256 KB
ROWS = 10  # rows in a block, at least: the product takes so many at once
TINY = 1e-300  # keeps 1/s finite at s = 0, where it is multiplied by s
CANCELLED = 1e-5  # a difference that is smaller than this share of its terms has too few digits left


@inlined
def _ratio(x, y, floor):
    """y clipped from below at the floor where x > 0, the larger of x and y, and their ratio s."""
    y = max(y, floor) if x > 0 else y
    m = max(x, y)
    return y, m, min(x, y) / m if m > 0 else 1.0


@inlined
def _share(x, y, s, q, q_less):
    """(2) without the power of m, from q_beta and q_(beta-1)."""
    return max(q - q_less if x >= y else s * q_less - q, 0.0)


@kernel
def line_divergence(x, y, m, loss):
    """Return the sum of m d(x | y) over lines of entries, in float64. m is of float64, and may be longer."""
    total, n, (beta, floor) = 0.0, len(y), loss
    if beta == 2:
        for j in range(n):
            residual = np.float64(x[j]) - np.float64(y[j])
            total += m[j] * (0.5 * residual * residual)
    elif beta == 1:
        for j in range(n):
            x_j = np.float64(x[j])
            y_j, most, s = _ratio(x_j, np.float64(y[j]), floor)
            total += m[j] * (most * _share(x_j, y_j, s, s - 1.0, log(s)))
    elif beta == 0:
        for j in range(n):
            x_j = np.float64(x[j])
            y_j, _, s = _ratio(x_j, np.float64(y[j]), floor)
            total += m[j] * _share(x_j, y_j, s, log(s), (s - 1.0) / max(s, TINY))
    else:
        least, a, (high, low) = floor if beta <= 1 else 0.0, beta - 1.0, split(beta)
        for j in range(n):
            x_j = np.float64(x[j])
            y_j, most, s = _ratio(x_j, np.float64(y[j]), least)
            log_s = log(s)
            q, q_less = (expm1(beta * log_s), expm1(a * log_s)) if s > 0 else (-1.0, -1.0)
            share = _share(x_j, y_j, s, q / beta, q_less / a)
            total += m[j] * (power(most, high, low) * share) if share > 0 else 0.0  # also where the power is infinite
    return total


@kernel
def denominator_weights(p, y, loss):
    """Set p <- y^(beta-1), for lines of entries; y is clipped at the floor if beta < 1."""
    beta, floor = loss[0], y.dtype.type(loss[1])
    if beta < 1:
        for j in range(len(y)):
            y[j] = max(y[j], floor)
    if beta == 1:  # powers takes 0^0 for 0
        for j in range(len(p)):
            p[j] = 1
    else:
        powers(p, y, beta - 1)


@kernel
def weights(p, y, x, loss):
    """Set p <- x y^(beta-2) and y <- y^(beta-1), for lines of entries: what `weights` of reference.py returns.

    For beta = 1, where y^0 is 1 and nobody needs it, y stays as it is.
    """
    n, beta, floor, one = len(y), loss[0], y.dtype.type(loss[1]), y.dtype.type(1)
    if beta == 1:  # y is not needed any more
        for j in range(n):
            p[j] = x[j] / max(y[j], floor)
    elif beta == 0 or beta == 0.5:  # no power
        for j in range(n):
            inverse = one / max(y[j], floor)
            y[j] = np.sqrt(inverse) if beta == 0.5 else inverse
            p[j] = x[j] * (inverse * y[j])
    elif beta <= 2:  # one power serves both: y^(beta-2) is y^(beta-1) / y
        denominator_weights(p, y, loss)
        least = floor ** (y.dtype.type(beta) - 2)  # y^(beta-2) at the floor
        for j in range(n):
            ratio = p[j] / y[j] if y[j] >= floor else least
            y[j] = p[j]
            p[j] = x[j] * ratio
    else:
        powers(p, y, beta - 2)
        for j in range(n):
            y[j] = y[j] * p[j]
            p[j] = x[j] * p[j]


@kernel
def transposed(Ht):
    """Return H, with eight numbers between its rows: rows 1024 doubles apart would map to the same cache set."""
    n_features, n_components = Ht.shape
    H = np.empty((n_components, n_features + 8), Ht.dtype)[:, :n_features]
    for j in range(n_features):
        for t in range(n_components):
            H[t, j] = Ht[j, t]
    return H


@parallel
def all_dense(X, W, Ht, loss, bounds):
    """Return D of each chunk of rows."""
    totals, H = np.zeros(len(bounds) - 1), transposed(Ht)
    block = max(ROWS, ENTRIES // len(Ht))
    for c in prange(len(bounds) - 1):
        buffer, ones = np.empty((block, H.shape[1]), W.dtype), np.ones(block * H.shape[1])
        for start in range(bounds[c], bounds[c + 1], block):
            stop = min(start + block, bounds[c + 1])
            WH = buffer[: stop - start]
            product(WH, W[start:stop], H, False)
            totals[c] += line_divergence(X[start:stop].reshape(-1), WH.reshape(-1), ones, loss)
    return totals


@parallel
def all_csr(indptr, indices, data, W, Ht, loss, bounds):
    """Return D of each chunk of rows, stored entries or not: each row of X is written out."""
    totals, H = np.zeros(len(bounds) - 1), transposed(Ht)
    block = max(ROWS, ENTRIES // len(Ht))
    for c in prange(len(bounds) - 1):
        buffer, x = np.empty((block, H.shape[1]), W.dtype), np.zeros(H.shape[1], data.dtype)
        ones = np.ones(len(x))
        for start in range(bounds[c], bounds[c + 1], block):
            stop = min(start + block, bounds[c + 1])
            product(buffer[: stop - start], W[start:stop], H, False)
            for i in range(start, stop):
                for p in range(indptr[i], indptr[i + 1]):
                    x[indices[p]] = data[p]
                totals[c] += line_divergence(x, buffer[i - start], ones, loss)
                for p in range(indptr[i], indptr[i + 1]):
                    x[indices[p]] = 0
    return totals


@parallel
def only_stored_csr(indptr, indices, data, W, Ht, loss, bounds):
    """Return for each chunk the sum over stored entries of d(x | y) - d(0 | y), and how large the terms of it are."""
    totals, sizes = np.zeros(len(bounds) - 1), np.zeros(len(bounds) - 1)
    for c in prange(len(bounds) - 1):
        y, ones = np.empty(len(Ht), W.dtype), np.ones(len(Ht))
        for i in range(bounds[c], bounds[c + 1]):
            x, wh = data[indptr[i] : indptr[i + 1]], y[: indptr[i + 1] - indptr[i]]
            products(W[i], indices[indptr[i] : indptr[i + 1]], Ht, wh)
            of_zeros, beta = 0.0, loss[0]
            for q in range(len(wh)):
                y_q = np.float64(wh[q])
                of_zeros += y_q if beta == 1 else 0.5 * y_q * y_q
            share = line_divergence(x, wh, ones, loss)
            totals[c] += share - of_zeros
            sizes[c] += share + of_zeros
    return totals, sizes


@kernel
def observed_in(X, entry_weights, i, columns, x, m):
    """Write the entries of row i that count: their columns, x and weights m. Return how many; NaN is missing."""
    n, row = 0, min(i, len(entry_weights) - 1)
    for j in range(X.shape[1]):
        weight = entry_weights[row, min(j, entry_weights.shape[1] - 1)]
        columns[n], x[n], m[n] = j, X[i, j], weight
        n += 1 if weight > 0 and X[i, j] == X[i, j] else 0  # else the next entry is written over it
    return n


@parallel
def divergence_observed_dense(X, entry_weights, W, Ht, loss, bounds):
    """Chunks of rows in parallel, with WH at the entries that count."""
    totals, n_features = np.zeros(len(bounds) - 1), X.shape[1]
    for c in prange(len(bounds) - 1):
        columns, lines, m = np.empty(n_features, np.int64), np.empty((2, n_features), W.dtype), np.empty(n_features)
        for i in range(bounds[c], bounds[c + 1]):
            n = observed_in(X, entry_weights, i, columns, lines[0], m)
            products(W[i], columns[:n], Ht, lines[1])
            totals[c] += line_divergence(lines[0, :n], lines[1, :n], m, loss)
    return total_of(totals)


@parallel
def divergence_observed_csr(indptr, indices, data, entry_weights, W, Ht, loss, bounds):
    """Chunks of rows in parallel, with WH at what X stores."""
    totals = np.zeros(len(bounds) - 1)
    for c in prange(len(bounds) - 1):
        y, m = np.empty(len(Ht), W.dtype), np.ones(len(Ht))
        for i in range(bounds[c], bounds[c + 1]):
            begin, n = indptr[i], indptr[i + 1] - indptr[i]
            if len(entry_weights) > 0:
                for q in range(n):
                    m[q] = entry_weights[begin + q]
            products(W[i], indices[begin : begin + n], Ht, y)
            totals[c] += line_divergence(data[begin : begin + n], y[:n], m, loss)
    return total_of(totals)


def divergence_dense(X, W, Ht, loss, bounds):
    """The sum over chunks of rows, in order."""
    return sum(all_dense(X, W, Ht, loss, bounds).tolist())


def divergence_csr(indptr, indices, data, W, Ht, loss, bounds):
    """Stored entries for beta = 2 and 1, unless cancellation forbids it, else all entries."""
    if loss[0] in (1, 2):
        totals, sizes = only_stored_csr(indptr, indices, data, W, Ht, loss, bounds)
        zeros = (
            0.5 * float(np.vdot(gram_matrix(W), gram_matrix(Ht)))
            if loss[0] == 2
            else float(W.sum(0, np.float64) @ Ht.sum(0, np.float64))
        )
        total, size = zeros + sum(totals.tolist()), zeros + sum(sizes.tolist())
        if np.isfinite(size) and total > CANCELLED * size:
            return total
    return sum(all_csr(indptr, indices, data, W, Ht, loss, bounds).tolist())
