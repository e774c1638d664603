"""HALS in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Rows outside, components inside: (1) couples the components of one row, never two rows. So a few rows at a time are
renewed while they are in cache, and the row pass reads X once: X Ht, the renewal, X'W and W'W for a block of rows,
then the next block. Each chunk of rows adds into sums of its own, which are added in order: the result does not
depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba._jit import parallel, serial

LANES = 8  # rows that go through a sweep side by side, one scalar each: the compiler makes vectors of them
BLOCK = 64  # rows whose X Ht, renewal, X'W and W'W are done before the next rows are read
CHUNK = 1024  # rows per chunk where only W is seen, not X


@serial
def _sweep(W, gram, cross, order, Wt):
    """Renew the rows of W, LANES at a time. Wt is room for LANES rows, (n_components, LANES)."""
    n_rows, n_components = W.shape
    violation = 0.0
    for first in range(0, n_rows, LANES):
        n = min(LANES, n_rows - first)
        for t in range(n_components):
            for r in range(n):
                Wt[t, r] = W[first + r, t]
            for r in range(n, LANES):
                Wt[t, r] = 0
        for t in order:
            g0 = g1 = g2 = g3 = g4 = g5 = g6 = g7 = gram[t, 0] * 0
            for s in range(n_components):
                c = gram[s, t]
                g0 += c * Wt[s, 0]
                g1 += c * Wt[s, 1]
                g2 += c * Wt[s, 2]
                g3 += c * Wt[s, 3]
                g4 += c * Wt[s, 4]
                g5 += c * Wt[s, 5]
                g6 += c * Wt[s, 6]
                g7 += c * Wt[s, 7]
            curvature = gram[t, t]
            gradients = (g0, g1, g2, g3, g4, g5, g6, g7)
            for r in range(n):
                g = gradients[r] - cross[first + r, t]
                w = Wt[t, r]
                violation += abs(min(g, 0)) if w == 0 else abs(g)
                if curvature != 0:
                    Wt[t, r] = max(w - g / curvature, 0)
        for t in range(n_components):
            for r in range(n):
                W[first + r, t] = Wt[t, r]
    return violation


@serial
def _rows_dense(W, X, Ht, gram, l1, order, update_H, cross_H, gram_H):
    """The row pass over one chunk; its share is added to cross_H and gram_H."""
    n_rows, n_components = W.shape
    cross = np.empty((min(BLOCK, n_rows), n_components), W.dtype)
    share = np.empty_like(Ht)
    Wt = np.empty((n_components, LANES), W.dtype)
    violation = 0.0
    for start in range(0, n_rows, BLOCK):
        stop = min(start + BLOCK, n_rows)
        rows, X_rows, cross_rows = W[start:stop], X[start:stop], cross[: stop - start]
        np.dot(X_rows, Ht, cross_rows)
        cross_rows -= l1
        violation += _sweep(rows, gram, cross_rows, order, Wt)
        if update_H:
            np.dot(X_rows.T, rows, share)
            cross_H += share
            gram_H += np.dot(rows.T, rows)
    return violation


@serial
def _rows_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, cross_H, gram_H):
    """The row pass over one chunk. indptr begins at the chunk's first row; indices and data are X's own."""
    n_rows, n_components = W.shape
    cross = np.empty((min(BLOCK, n_rows), n_components), W.dtype)
    Wt = np.empty((n_components, LANES), W.dtype)
    violation = 0.0
    for start in range(0, n_rows, BLOCK):
        stop = min(start + BLOCK, n_rows)
        rows, cross_rows = W[start:stop], cross[: stop - start]
        for i in range(start, stop):
            row = cross[i - start]
            row[:] = -l1
            for p in range(indptr[i], indptr[i + 1]):
                x, h = data[p], Ht[indices[p]]
                for t in range(n_components):
                    row[t] += x * h[t]
        violation += _sweep(rows, gram, cross_rows, order, Wt)
        if update_H:
            for i in range(start, stop):
                w = W[i]
                for p in range(indptr[i], indptr[i + 1]):
                    x, column = data[p], cross_H[indices[p]]
                    for t in range(n_components):
                        column[t] += x * w[t]
            gram_H += np.dot(rows.T, rows)
    return violation


@serial
def _in_order(parts):
    """The sum of the chunks' parts, the first chunk first."""
    total = parts[0]
    for c in range(1, len(parts)):
        total += parts[c]
    return total


@parallel
def gram(Ht, l2):
    """Chunks of rows of Ht, each with a sum of its own."""
    n_rows, n_components = Ht.shape
    n_chunks = max(1, n_rows // CHUNK)
    parts = np.empty((n_chunks, n_components, n_components), Ht.dtype)
    if n_chunks == 1:
        np.dot(Ht.T, Ht, parts[0])
    else:
        for c in prange(n_chunks):
            rows = Ht[c * n_rows // n_chunks : (c + 1) * n_rows // n_chunks]
            np.dot(rows.T, rows, parts[c])
    total = _in_order(parts)
    for t in range(n_components):
        total[t, t] += l2
    return total


@serial
def _update_chunk(W, gram, cross, order):
    return _sweep(W, gram, cross, order, np.empty((W.shape[1], LANES), W.dtype))


@parallel
def update(W, gram, cross, order):
    """Chunks of rows of W, each with a violation of its own."""
    n_rows = len(W)
    n_chunks = max(1, n_rows // CHUNK)
    violations = np.empty(n_chunks)
    if n_chunks == 1:
        violations[0] = _update_chunk(W, gram, cross, order)
    else:
        for c in prange(n_chunks):
            start, stop = c * n_rows // n_chunks, (c + 1) * n_rows // n_chunks
            violations[c] = _update_chunk(W[start:stop], gram, cross[start:stop], order)
    return violations.sum()


@parallel
def row_pass_dense(W, X, Ht, gram, l1, order, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks = len(bounds) - 1
    violations = np.empty(n_chunks)
    n_features, n_components = Ht.shape
    cross_H = np.zeros((n_chunks, n_features, n_components), W.dtype)
    gram_H = np.zeros((n_chunks, n_components, n_components), W.dtype)
    if n_chunks == 1:
        violations[0] = _rows_dense(W, X, Ht, gram, l1, order, update_H, cross_H[0], gram_H[0])
    else:
        for c in prange(n_chunks):
            start, stop = bounds[c], bounds[c + 1]
            violations[c] = _rows_dense(
                W[start:stop], X[start:stop], Ht, gram, l1, order, update_H, cross_H[c], gram_H[c]
            )
    return violations.sum(), _in_order(cross_H), _in_order(gram_H)


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks = len(bounds) - 1
    violations = np.empty(n_chunks)
    n_features, n_components = Ht.shape
    cross_H = np.zeros((n_chunks, n_features, n_components), W.dtype)
    gram_H = np.zeros((n_chunks, n_components, n_components), W.dtype)
    if n_chunks == 1:
        violations[0] = _rows_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, cross_H[0], gram_H[0])
    else:
        for c in prange(n_chunks):
            start, stop = bounds[c], bounds[c + 1]
            violations[c] = _rows_csr(
                W[start:stop],
                indptr[start : stop + 1],
                indices,
                data,
                Ht,
                gram,
                l1,
                order,
                update_H,
                cross_H[c],
                gram_H[c],
            )
    return violations.sum(), _in_order(cross_H), _in_order(gram_H)
