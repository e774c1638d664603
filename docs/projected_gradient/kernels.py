"""Projected gradient in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Each chunk of rows adds into sums of its own, which are added in order: the result does not depend on the number of
threads. The L1 penalty is taken from cross as it is read.
"""

import numpy as np

from nmf_numba._chunks import for_each_chunk, gram_matrix, sum_of_parts
from nmf_numba._jit import inner


@inner
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


@inner
def _chunk_dense(c, W, X, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H):
    rows, X_rows = W[bounds[c] : bounds[c + 1]], X[bounds[c] : bounds[c + 1]]
    violations[c] = _renew(rows, gram, np.dot(X_rows, Ht), l1)
    if update_H:
        cross_H[c] = np.dot(X_rows.T, rows)
        gram_H[c] = np.dot(rows.T, rows)


@inner
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


@inner
def _update(c, W, gram, cross, violations):
    violations[c] = _renew(W, gram, cross, 0)


def gram(Ht, l2):
    """The Gram matrix, with l2 on its diagonal."""
    return gram_matrix(Ht) + np.diag(np.full(Ht.shape[1], l2, Ht.dtype))


def update(W, gram, cross):
    """In one chunk: H is small."""
    violations = np.zeros(1)
    for_each_chunk(_update, 1, W, gram, cross, violations)
    return float(violations[0])


def _row_pass(chunk, W, X, Ht, gram, l1, update_H, bounds):
    """Chunks of rows of X, each with its own violation, X'W and W'W."""
    n_chunks, (n_features, k) = len(bounds) - 1, Ht.shape
    violations, cross_H = np.zeros(n_chunks), np.zeros((n_chunks, n_features, k), Ht.dtype)
    gram_H = np.zeros((n_chunks, k, k), Ht.dtype)
    for_each_chunk(chunk, n_chunks, W, *X, Ht, gram, l1, update_H, bounds, violations, cross_H, gram_H)
    return float(violations.sum()), sum_of_parts(cross_H), sum_of_parts(gram_H)


def row_pass_dense(W, X, Ht, gram, l1, update_H, bounds):
    """X is one array."""
    return _row_pass(_chunk_dense, W, (X,), Ht, gram, l1, update_H, bounds)


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, update_H, bounds):
    """X is three."""
    return _row_pass(_chunk_csr, W, (indptr, indices, data), Ht, gram, l1, update_H, bounds)
