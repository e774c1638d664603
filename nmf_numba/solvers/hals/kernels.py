"""HALS in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Rows outside, components inside: (1) couples the components of one row, never two rows. So a few rows at a time are
renewed while they are in cache, and the row pass reads X once: X Ht, the renewal, X'W and W'W for a block of rows,
then the next block. Each chunk of rows adds into sums of its own, which are added in order: the result does not
depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba._jit import parallel, serial

LANES_BYTES = 32 << 10  # rows that go through a sweep side by side: as many as a core's first cache holds
BLOCK = 64  # rows whose X Ht, renewal, X'W and W'W are done before the next rows are read
CHUNK = 1024  # rows per chunk where only W is seen, not X
STRIP = 256  # rows of H's sums that are added up together


@serial
def _lanes(W):
    """Room for a sweep: the rows that go side by side, transposed, and a gradient of each."""
    n_components = W.shape[1]
    n_lanes = BLOCK if BLOCK * n_components * W.itemsize <= LANES_BYTES else BLOCK // 2
    return np.zeros((n_components, n_lanes), W.dtype), np.zeros(n_lanes, W.dtype)


@serial
def _add_products(gradient, Wt, gram, t):
    """Add (W gram)[:, t] to the gradient. Four components at a time: a lane is then loaded and stored once for four."""
    n_components, n_lanes = Wt.shape
    for s in range(0, n_components - 3, 4):
        c0, c1, c2, c3 = gram[s, t], gram[s + 1, t], gram[s + 2, t], gram[s + 3, t]
        w0, w1, w2, w3 = Wt[s], Wt[s + 1], Wt[s + 2], Wt[s + 3]
        for r in range(n_lanes):
            gradient[r] += c0 * w0[r] + c1 * w1[r] + c2 * w2[r] + c3 * w3[r]
    for s in range(n_components // 4 * 4, n_components):
        c, w = gram[s, t], Wt[s]
        for r in range(n_lanes):
            gradient[r] += c * w[r]


@serial
def _sweep(W, gram, cross, order, Wt, gradient):
    """(1) on a few rows side by side, one lane each, so that the compiler makes vectors of the lanes.

    A sum over components, row by row, would be a chain of additions instead. Unused lanes hold what was there before.
    """
    n_rows, n_components = W.shape
    n_lanes = len(gradient)
    zero = gradient[0] * 0
    violation = 0.0
    for first in range(0, n_rows, n_lanes):
        n = min(n_lanes, n_rows - first)
        for r in range(n):
            for t in range(n_components):
                Wt[t, r] = W[first + r, t]
        for t in order:
            for r in range(n):
                gradient[r] = -cross[first + r, t]
            _add_products(gradient, Wt, gram, t)
            w, column_violation = Wt[t], zero
            for r in range(n):
                column_violation += abs(min(gradient[r], zero) if w[r] == 0 else gradient[r])
            violation += column_violation
            if gram[t, t] != 0:
                for r in range(n):
                    w[r] = max(w[r] - gradient[r] / gram[t, t], zero)
        for r in range(n):
            for t in range(n_components):
                W[first + r, t] = Wt[t, r]
    return violation


@serial
def _rows_dense(W, X, Ht, gram, l1, order, update_H, cross_H, gram_H):
    """The row pass over one chunk; cross_H and gram_H become its share of H's sums."""
    n_rows, n_components = W.shape
    cross = np.empty((min(BLOCK, n_rows), n_components), W.dtype)
    share = np.empty_like(Ht)
    Wt, gradient = _lanes(W)
    violation = 0.0
    cross_H[:], gram_H[:] = 0, 0
    for start in range(0, n_rows, BLOCK):
        stop = min(start + BLOCK, n_rows)
        rows, X_rows, cross_rows = W[start:stop], X[start:stop], cross[: stop - start]
        np.dot(X_rows, Ht, cross_rows)
        cross_rows -= l1
        violation += _sweep(rows, gram, cross_rows, order, Wt, gradient)
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
    Wt, gradient = _lanes(W)
    violation = 0.0
    cross_H[:], gram_H[:] = 0, 0
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
        violation += _sweep(rows, gram, cross_rows, order, Wt, gradient)
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
def _add_in_order(parts, strip):
    """The first part <- the sum of all parts, the first chunk first, in a strip of rows; in all rows for strip = -1."""
    start, stop = (0, parts.shape[1]) if strip < 0 else (strip * STRIP, (strip + 1) * STRIP)
    for c in range(1, len(parts)):
        parts[0, start:stop] += parts[c, start:stop]


@serial
def _total(parts):
    """The sum of the chunks' parts, in order. As parts.sum() in a parallel function it would be launched itself."""
    total = 0.0
    for part in parts:
        total += part
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
        _add_in_order(parts, -1)
    for t in range(n_components):
        parts[0, t, t] += l2
    return parts[0]


@serial
def _update_chunk(W, gram, cross, order):
    Wt, gradient = _lanes(W)
    return _sweep(W, gram, cross, order, Wt, gradient)


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
    return _total(violations)


@parallel
def row_pass_dense(W, X, Ht, gram, l1, order, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks = len(bounds) - 1
    violations = np.empty(n_chunks)
    n_features, n_components = Ht.shape
    cross_H = np.empty((n_chunks, n_features, n_components), W.dtype)
    gram_H = np.empty((n_chunks, n_components, n_components), W.dtype)
    if n_chunks == 1:
        violations[0] = _rows_dense(W, X, Ht, gram, l1, order, update_H, cross_H[0], gram_H[0])
    else:
        for c in prange(n_chunks):
            start, stop = bounds[c], bounds[c + 1]
            violations[c] = _rows_dense(
                W[start:stop], X[start:stop], Ht, gram, l1, order, update_H, cross_H[c], gram_H[c]
            )
        if n_features <= STRIP:
            _add_in_order(cross_H, -1)
        else:
            for strip in prange(n_features // STRIP + 1):
                _add_in_order(cross_H, strip)
        _add_in_order(gram_H, -1)
    return _total(violations), cross_H[0], gram_H[0]


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, bounds):
    """One chunk after another, or side by side; the chunks begin and end at `bounds`."""
    n_chunks = len(bounds) - 1
    violations = np.empty(n_chunks)
    n_features, n_components = Ht.shape
    cross_H = np.empty((n_chunks, n_features, n_components), W.dtype)
    gram_H = np.empty((n_chunks, n_components, n_components), W.dtype)
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
        if n_features <= STRIP:
            _add_in_order(cross_H, -1)
        else:
            for strip in prange(n_features // STRIP + 1):
                _add_in_order(cross_H, strip)
        _add_in_order(gram_H, -1)
    return _total(violations), cross_H[0], gram_H[0]
