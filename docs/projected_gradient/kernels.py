"""Projected gradient in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Each chunk of rows adds into sums of its own, which are added in order: the result does not depend on the number of
threads. The L1 penalty is taken from cross as it is read.
"""

import numpy as np
from numba import prange

from nmf_numba._jit import parallel, serial


@serial
def _renew(W, gram, cross, l1):
    """(1), with cross - l1 for cross, on a few rows."""
    n_rows, n_components = W.shape
    zero, l1, s = W.dtype.type(0), W.dtype.type(l1), W.dtype.type(0)
    for t in range(n_components):
        s = max(s, gram[t].sum())
    gradient, violation = np.empty(n_components, W.dtype), 0.0
    for i in range(n_rows):
        for t in range(n_components):
            gradient[t] = l1 - cross[i, t]
            for u in range(n_components):
                gradient[t] += W[i, u] * gram[u, t]
        for t in range(n_components):
            violation += abs(min(gradient[t], zero) if W[i, t] == 0 else gradient[t])
            if s != 0:
                W[i, t] = max(W[i, t] - gradient[t] / s, zero)
    return violation


@serial
def _chunk_dense(c, W, X, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H):
    rows, X_rows = W[bounds[c] : bounds[c + 1]], X[bounds[c] : bounds[c + 1]]
    violations[c] = _renew(rows, gram, np.dot(X_rows, Ht), l1)
    if update_H:
        cross_H[c] = np.dot(X_rows.T, rows)
        gram_H[c] = np.dot(rows.T, rows)


@serial
def _chunk_csr(c, W, indptr, indices, data, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H):
    cross = np.zeros((1, W.shape[1]), W.dtype)
    for i in range(bounds[c], bounds[c + 1]):
        w = W[i]
        cross[:] = 0
        for p in range(indptr[i], indptr[i + 1]):
            cross[0] += data[p] * Ht[indices[p]]
        violations[c] += _renew(W[i : i + 1], gram, cross, l1)
        if update_H:
            for p in range(indptr[i], indptr[i + 1]):
                cross_H[c, indices[p]] += data[p] * w
            for t in range(len(w)):
                gram_H[c, t] += w[t] * w


@serial
def _room(n_chunks, Ht):
    """Zeros for each chunk's violation, X'W and W'W."""
    n_features, k = Ht.shape
    return np.zeros(n_chunks), np.zeros((n_chunks, n_features, k), Ht.dtype), np.zeros((n_chunks, k, k), Ht.dtype)


@serial
def _in_order(violations, cross_H, gram_H):
    for c in range(1, len(violations)):
        violations[0] += violations[c]
        cross_H[0] += cross_H[c]
        gram_H[0] += gram_H[c]
    return violations[0], cross_H[0], gram_H[0]


@serial
def gram(Ht, l2):
    """In one go: H is small."""
    result = np.dot(Ht.T, Ht)
    for t in range(len(result)):
        result[t, t] += l2
    return result


@serial
def update(W, gram, cross):
    """In one go: H is small."""
    return _renew(W, gram, cross, 0)


@parallel(chunks=lambda *arguments: len(arguments[-1]) - 1)
def row_pass_dense(W, X, Ht, gram, l1, update_H, bounds):
    """Chunks of rows of X."""
    violations, cross_H, gram_H = _room(len(bounds) - 1, Ht)
    for c in prange(len(violations)):
        _chunk_dense(c, W, X, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H)
    return _in_order(violations, cross_H, gram_H)


@parallel(chunks=lambda *arguments: len(arguments[-1]) - 1)
def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, update_H, bounds):
    """Chunks of rows of X."""
    violations, cross_H, gram_H = _room(len(bounds) - 1, Ht)
    for c in prange(len(violations)):
        _chunk_csr(c, W, indptr, indices, data, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H)
    return _in_order(violations, cross_H, gram_H)
