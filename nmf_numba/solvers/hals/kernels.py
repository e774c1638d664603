"""HALS in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Rows outside, components inside: (1) couples the components of one row, never two rows. So a few rows at a time are
renewed while they are in cache, and the row pass reads X once: X Ht, the renewal, X'W and W'W for a block of rows,
then the next block. Each chunk of rows adds into sums of its own, which are added in order: the result does not
depend on the number of threads.
"""

import numpy as np

from nmf_numba._chunks import for_each_chunk, gram_matrix, n_chunks_of, sum_of_parts
from nmf_numba._elementary import fill
from nmf_numba._jit import inner
from nmf_numba._memory import aligned_empty
from nmf_numba._product import ROWS, gather, product, scatter

LANES = 80  # rows that go through a sweep side by side
BLOCK = 80  # rows whose X Ht, renewal, X'W and W'W are done before the next rows are read
PANEL = 1000  # columns of a block that go into X'W before the next: in cache they are read for each few components


@inner
def _lanes(gram, order):
    """gram with rows and columns in order, and room for a sweep: LANES rows of W, transposed, and their gradients."""
    n_components = len(order)
    ordered = np.empty((n_components, n_components), gram.dtype)
    for p in range(n_components):
        for s in range(n_components):
            ordered[p, s] = gram[order[p], order[s]]
    return ordered, np.zeros((n_components, LANES), gram.dtype), np.zeros((n_components, LANES), gram.dtype)


@inner
def _renew(w, gradient, curvature, n):
    """(1) for one component of n rows. Return their violation."""
    zero = w.dtype.type(0)
    violation = zero
    for r in range(n):
        violation += abs(min(gradient[r], zero) if w[r] == 0 else gradient[r])
    if curvature != 0:
        for r in range(n):
            w[r] = max(w[r] - gradient[r] / curvature, zero)
    return violation


@inner
def _sweep(W, cross, l1, order, lanes):
    """(1), with cross - l1 for cross, on a few rows side by side: the compiler makes vectors of these lanes.

    A sum over components, row by row, would be a chain of additions instead. For a few components at a time, what all
    others add to their gradients is a matrix product; only what they add to each other's waits for the one before.
    Unused lanes hold anything. X'W of a dense X lies like H, all other cross like W: with steps of 1 both have one type
    for Numba, so that this is compiled once.
    """
    ordered, Wt, gradient = lanes  # components in order
    n_rows, n_components = W.shape
    l1, violation = W.dtype.type(l1), 0.0
    for first in range(0, n_rows, LANES):
        n = min(LANES, n_rows - first)
        for p in range(n_components):
            for r in range(n):
                gradient[p, r] = l1 - cross[first + r, order[p]]
                Wt[p, r] = W[first + r, order[p]]
        for begin in range(0, n_components, ROWS):
            stop = min(begin + ROWS, n_components)
            product(gradient[begin:stop], ordered[begin:stop, :begin], Wt[:begin], True)
            product(gradient[begin:stop], ordered[begin:stop, stop:], Wt[stop:], True)
            for p in range(begin, stop):
                g = gradient[p]
                for s in range(begin, stop):
                    c, w = ordered[p, s], Wt[s]
                    for r in range(LANES):
                        g[r] += c * w[r]
                violation += _renew(Wt[p], g, ordered[p, p], n)
        for r in range(n):
            for p in range(n_components):
                W[first + r, order[p]] = Wt[p, r]
    return violation


@inner
def _rows_dense(c, W, X, Ht, gram, l1, order, update_H, bounds, violations, cross_H, gram_H):
    """The row pass over chunk c: violations[c], cross_H[c] and gram_H[c] become its share."""
    W, X = W[bounds[c] : bounds[c + 1]], X[bounds[c] : bounds[c + 1]]
    n_rows, n_components = W.shape
    cross = np.empty((min(BLOCK, n_rows), n_components), W.dtype)
    lanes = _lanes(gram, order)
    violation = 0.0
    if n_rows == 0 or not update_H:
        fill(cross_H[c], 0)
        fill(gram_H[c], 0)
    for start in range(0, n_rows, BLOCK):
        stop = min(start + BLOCK, n_rows)
        rows, X_rows, cross_rows = W[start:stop], X[start:stop], cross[: stop - start : 1]
        product(cross_rows, X_rows, Ht, False)
        violation += _sweep(rows, cross_rows, l1, order, lanes)
        if update_H:
            for left in range(0, X.shape[1], PANEL):
                panel = X_rows[:, left : left + PANEL]
                product(cross_H[c][:, left : left + PANEL], rows.T, panel, start > 0)
            product(gram_H[c], rows.T, rows, start > 0)
    violations[c] = violation


@inner
def _rows_csr(c, W, indptr, indices, data, Ht, gram, l1, order, update_H, bounds, violations, cross_H, gram_H):
    """The row pass over chunk c: violations[c], cross_H[c] and gram_H[c] become its share."""
    W, indptr = W[bounds[c] : bounds[c + 1]], indptr[bounds[c] : bounds[c + 1] + 1]
    n_rows, n_components = W.shape
    cross = np.empty((min(BLOCK, n_rows), n_components), W.dtype)
    sums = cross_H[c]
    lanes = _lanes(gram, order)
    violation = 0.0
    fill(sums, 0)
    if n_rows == 0 or not update_H:
        fill(gram_H[c], 0)
    for start in range(0, n_rows, BLOCK):
        stop = min(start + BLOCK, n_rows)
        rows, cross_rows = W[start:stop], cross[: stop - start : 1]
        fill(cross_rows, 0)
        for i in range(start, stop):
            gather(cross[i - start], indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]], Ht)
        violation += _sweep(rows, cross_rows, l1, order, lanes)
        if update_H:
            for i in range(start, stop):
                scatter(sums, indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]], W[i])
            product(gram_H[c], rows.T, rows, start > 0)
    violations[c] = violation


@inner
def _update_chunk(c, W, gram, cross, order, violations):
    n, n_chunks = len(W), len(violations)
    start, stop = c * n // n_chunks, (c + 1) * n // n_chunks
    lanes = _lanes(gram, order)
    violations[c] = _sweep(W[start:stop], cross[start:stop:1], 0.0, order, lanes)


def gram(Ht, l2):
    """The Gram matrix in chunks of rows of Ht."""
    result = gram_matrix(Ht)
    result.reshape(-1)[:: len(result) + 1] += l2
    return result


def update(W, gram, cross, order):
    """Chunks of rows of W, each with a violation of its own."""
    violations = np.empty(n_chunks_of(W))
    for_each_chunk(_update_chunk, len(violations), W, gram, cross, order, violations)
    return float(violations.sum())


def _row_pass(rows, W, X, Ht, gram, l1, order, update_H, bounds):
    """Chunks of rows of X, each with sums of its own."""
    n_chunks, (n_features, n_components) = len(bounds) - 1, Ht.shape
    shape = (n_features, n_components) if rows is _rows_csr else (n_components, n_features)
    violations, cross_H = np.empty(n_chunks), aligned_empty((n_chunks, *shape), Ht.dtype)
    gram_H = np.empty((n_chunks, n_components, n_components), Ht.dtype)
    for_each_chunk(rows, n_chunks, W, *X, Ht, gram, l1, order, update_H, bounds, violations, cross_H, gram_H)
    cross_H = sum_of_parts(cross_H)
    return float(violations.sum()), cross_H if rows is _rows_csr else cross_H.T, sum_of_parts(gram_H)


def row_pass_dense(W, X, Ht, gram, l1, order, update_H, bounds):
    """Blocks of rows of X."""
    return _row_pass(_rows_dense, W, (X,), Ht, gram, l1, order, update_H, bounds)


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, bounds):
    """The same with what X stores of each row."""
    return _row_pass(_rows_csr, W, (indptr, indices, data), Ht, gram, l1, order, update_H, bounds)
