"""Multiplicative updates in compiled loops. The equations are in reference.py; this file says only how loops differ.

A block of rows of WH lives in cache and never as a whole. From it come numerator and denominator, then the new rows of
W, then WH again and the block's share of H's sums, while the rows of X are still in cache. What the mathematics saves
is saved: beta = 2 needs no WH (its denominator is W (H H')), beta = 1 no power (its denominator is the row sums of H),
and one power serves both sums, since WH^(beta-1) = WH^(beta-2) WH. Each chunk of rows adds into sums of its own, which
are added in order: the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba._jit import parallel, serial

FLOOR = 2.0**-23  # as in reference.py

BLOCK_ENTRIES = 1 << 15  # entries of WH in a block: 256 KB
MOST_ROWS = 64  # rows in a block, where X has few columns
CHUNK = 1024  # rows per chunk where only W is seen, not X


@serial
def _ratios(X, WH, P, beta):
    """P <- X * WH^(beta-2), and WH <- WH^(beta-1) unless beta = 1; floored where the power is negative."""
    floor, exponent = WH.dtype.type(FLOOR), WH.dtype.type(beta - 2)
    n_rows, n_columns = WH.shape
    for i in range(n_rows):
        x, wh, p = X[i], WH[i], P[i]
        if beta == 1:
            for j in range(n_columns):
                p[j] = x[j] / max(wh[j], floor)
        elif beta == 0:
            for j in range(n_columns):
                wh[j] = 1 / max(wh[j], floor)
                p[j] = x[j] * wh[j] * wh[j]
        elif beta == 0.5:
            for j in range(n_columns):
                inverse = 1 / max(wh[j], floor)
                wh[j] = np.sqrt(inverse)
                p[j] = x[j] * wh[j] * inverse
        elif beta == 1.5:
            for j in range(n_columns):
                p[j] = x[j] / np.sqrt(max(wh[j], floor))
                wh[j] = np.sqrt(wh[j])
        elif beta < 1:
            for j in range(n_columns):
                wh[j] = max(wh[j], floor)
                power = wh[j] ** exponent
                p[j] = x[j] * power
                wh[j] *= power
        elif beta < 2:
            for j in range(n_columns):
                power = max(wh[j], floor) ** exponent
                p[j] = x[j] * power
                wh[j] = wh[j] * power if wh[j] >= floor else wh[j] ** (exponent + 1)
        else:
            for j in range(n_columns):
                power = wh[j] ** exponent
                p[j] = x[j] * power
                wh[j] *= power


@serial
def _power(wh, exponent):
    """wh^exponent, wh raised to FLOOR where that is a negative power."""
    return max(wh, wh * 0 + FLOOR) ** exponent if exponent < 0 else wh**exponent


@serial
def _renew(W, numerator, denominator, l1, l2, beta, flush):
    """(1) on a few rows. The denominator has as many rows as W, or one for all of them."""
    gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0
    exponent, l1, l2 = W.dtype.type(gamma), W.dtype.type(l1), W.dtype.type(l2)
    floor, flush = W.dtype.type(FLOOR), W.dtype.type(flush)
    n_rows, n_components = W.shape
    for i in range(n_rows):
        w, num, den = W[i], numerator[i], denominator[min(i, len(denominator) - 1)]
        for t in range(n_components):
            d = den[t] + l1 + l2 * w[t]
            ratio = num[t] / (floor if d == 0 else d)
            new = w[t] * (ratio if gamma == 1 else ratio**exponent)
            w[t] = 0 if new < flush else new


@serial
def _column_sums(A):
    """(1, n_columns)"""
    total = np.zeros((1, A.shape[1]), A.dtype)
    for i in range(len(A)):
        total[0] += A[i]
    return total


@serial
def _rows_dense(W, X, Ht, fixed, beta, l1, l2, flush, update_H, numerator_H, denominator_H):
    """The row pass over one chunk; its share is added to numerator_H and denominator_H.

    fixed : H's part of W's denominator where it is the same for all rows: H H' for beta = 2, row sums of H for beta = 1
    """
    n_rows, n_components = W.shape
    n_features = len(Ht)
    most = max(1, min(n_rows, MOST_ROWS, BLOCK_ENTRIES // n_features))
    WH, P = np.empty((most, n_features), W.dtype), np.empty((most, n_features), W.dtype)
    numerator, denominator = np.empty((most, n_components), W.dtype), np.empty((most, n_components), W.dtype)
    share = np.empty_like(Ht)
    for start in range(0, n_rows, most):
        n = min(most, n_rows - start)
        rows, x, wh, p = W[start : start + n], X[start : start + n], WH[:n], P[:n]
        num, den = numerator[:n], denominator[:n]
        if beta == 2:
            np.dot(x, Ht, num)
            np.dot(rows, fixed, den)
        else:
            np.dot(rows, Ht.T, wh)
            _ratios(x, wh, p, beta)
            np.dot(p, Ht, num)
            if beta == 1:
                den[:] = fixed
            else:
                np.dot(wh, Ht, den)
        _renew(rows, num, den, l1, l2, beta, flush)
        if not update_H:
            continue
        if beta == 2:
            np.dot(x.T, rows, share)
            denominator_H += np.dot(rows.T, rows)
        else:
            np.dot(rows, Ht.T, wh)
            _ratios(x, wh, p, beta)
            if beta == 1:
                denominator_H += _column_sums(rows)
            else:
                np.dot(wh.T, rows, share)
                denominator_H += share
            np.dot(p.T, rows, share)
        numerator_H += share


@serial
def _stored(x, w, columns, Ht, beta, wh, p):
    """p <- x * (w H)^(beta-2) at the stored entries of one row; wh is w H if it is there anyway (beta not 1 or 2)."""
    for q in range(len(columns)):
        if beta == 2:
            p[q] = x[q]
        elif beta == 1:
            h, product = Ht[columns[q]], w[0] * 0
            for t in range(len(w)):
                product += w[t] * h[t]
            p[q] = x[q] / max(product, w.dtype.type(FLOOR))
        else:
            p[q] = x[q] * _power(wh[columns[q]], w.dtype.type(beta - 2))


@serial
def _rows_csr(W, indptr, indices, data, Ht, fixed, beta, l1, l2, flush, update_H, numerator_H, denominator_H):
    """The row pass over one chunk. indptr begins at the chunk's first row; indices and data are X's own."""
    n_rows, n_components = W.shape
    n_features = len(Ht)
    dense = beta != 1 and beta != 2  # only then does the denominator need all of WH
    most = max(1, min(n_rows, MOST_ROWS, BLOCK_ENTRIES // n_features))
    longest = 0
    for i in range(n_rows):
        longest = max(longest, indptr[i + 1] - indptr[i])
    WH, p = np.empty((most, n_features if dense else 0), W.dtype), np.empty(longest, W.dtype)
    numerator, denominator = np.empty((most, n_components), W.dtype), np.empty((most, n_components), W.dtype)
    share = np.empty((n_features if dense else 0, n_components), W.dtype)
    for start in range(0, n_rows, most):
        n = min(most, n_rows - start)
        rows, wh, num, den = W[start : start + n], WH[:n], numerator[:n], denominator[:n]
        if dense:
            np.dot(rows, Ht.T, wh)
        for i in range(n):
            first, last = indptr[start + i], indptr[start + i + 1]
            columns, row = indices[first:last], num[i]
            _stored(data[first:last], rows[i], columns, Ht, beta, wh[i], p)
            row[:] = 0
            for q in range(last - first):
                h = Ht[columns[q]]
                for t in range(n_components):
                    row[t] += p[q] * h[t]
        if dense:
            _to_power(wh, beta - 1)
            np.dot(wh, Ht, den)
        elif beta == 2:
            np.dot(rows, fixed, den)
        else:
            den[:] = fixed
        _renew(rows, num, den, l1, l2, beta, flush)
        if not update_H:
            continue
        if dense:
            np.dot(rows, Ht.T, wh)
        for i in range(n):
            first, last = indptr[start + i], indptr[start + i + 1]
            columns, w = indices[first:last], rows[i]
            _stored(data[first:last], w, columns, Ht, beta, wh[i], p)
            for q in range(last - first):
                column = numerator_H[columns[q]]
                for t in range(n_components):
                    column[t] += p[q] * w[t]
        if dense:
            _to_power(wh, beta - 1)
            np.dot(wh.T, rows, share)
            denominator_H += share
        elif beta == 2:
            denominator_H += np.dot(rows.T, rows)
        else:
            denominator_H += _column_sums(rows)


@serial
def _to_power(WH, exponent):
    power = WH.dtype.type(exponent)
    for i in range(len(WH)):
        for j in range(WH.shape[1]):
            WH[i, j] = _power(WH[i, j], power)


@serial
def _fixed(Ht, beta):
    """What all rows' denominators share: H H' for beta = 2, the row sums of H for beta = 1, else nothing."""
    if beta == 2:
        return np.dot(Ht.T, Ht)
    if beta == 1:
        return _column_sums(Ht)
    return np.empty((len(Ht), Ht.shape[1]), Ht.dtype)


@serial
def _in_order(parts):
    """The sum of the chunks' parts, the first chunk first."""
    total = parts[0]
    for c in range(1, len(parts)):
        total += parts[c]
    return total


@serial
def _whole(denominator_H, Ht, beta):
    """H's denominator from its sum over rows of X: W'W for beta = 2, column sums of W for beta = 1."""
    if beta == 2:
        return np.dot(Ht, denominator_H)
    if beta == 1:
        whole = np.empty_like(Ht)
        whole[:] = denominator_H
        return whole
    return denominator_H


@parallel
def update(W, numerator, denominator, l1, l2, beta, flush):
    """Chunks of rows of W."""
    n_rows = len(W)
    n_chunks = max(1, n_rows // CHUNK)
    if n_chunks == 1:
        _renew(W, numerator, denominator, l1, l2, beta, flush)
    else:
        for c in prange(n_chunks):
            start, stop = c * n_rows // n_chunks, (c + 1) * n_rows // n_chunks
            _renew(W[start:stop], numerator[start:stop], denominator[start:stop], l1, l2, beta, flush)


@parallel
def row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks, n_features, n_components = len(bounds) - 1, Ht.shape[0], Ht.shape[1]
    fixed = _fixed(Ht, beta)
    numerator_H = np.zeros((n_chunks, n_features, n_components), W.dtype)
    denominator_H = np.zeros((n_chunks, len(fixed), n_components), W.dtype)
    if n_chunks == 1:
        _rows_dense(W, X, Ht, fixed, beta, l1, l2, flush, update_H, numerator_H[0], denominator_H[0])
    else:
        for c in prange(n_chunks):
            start, stop = bounds[c], bounds[c + 1]
            _rows_dense(
                W[start:stop], X[start:stop], Ht, fixed, beta, l1, l2, flush, update_H, numerator_H[c], denominator_H[c]
            )
    return _in_order(numerator_H), _whole(_in_order(denominator_H), Ht, beta)


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks, n_features, n_components = len(bounds) - 1, Ht.shape[0], Ht.shape[1]
    fixed = _fixed(Ht, beta)
    numerator_H = np.zeros((n_chunks, n_features, n_components), W.dtype)
    denominator_H = np.zeros((n_chunks, len(fixed), n_components), W.dtype)
    if n_chunks == 1:
        _rows_csr(W, indptr, indices, data, Ht, fixed, beta, l1, l2, flush, update_H, numerator_H[0], denominator_H[0])
    else:
        for c in prange(n_chunks):
            start, stop = bounds[c], bounds[c + 1]
            _rows_csr(
                W[start:stop],
                indptr[start : stop + 1],
                indices,
                data,
                Ht,
                fixed,
                beta,
                l1,
                l2,
                flush,
                update_H,
                numerator_H[c],
                denominator_H[c],
            )
    return _in_order(numerator_H), _whole(_in_order(denominator_H), Ht, beta)
