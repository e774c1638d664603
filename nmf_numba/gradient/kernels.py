"""The gradient's two parts in compiled loops. The equations are in reference.py; this file says only how loops differ.

A block of rows of WH lives in cache and never as a whole. For a CSR, WH is computed at the stored entries only; the
denominators, which need all of WH and not X, are a loop of their own. Each chunk of rows has sums of its own for H: the
result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import empty_sums, fill, gram_matrix
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import gather, product, products, scatter
from nmf_numba.losses.kernels import denominator_weights, observed_in, transposed, weights

BLOCK = 60  # rows in a block: with TILE columns half a MB of WH, a part of a core's second cache
TILE = 1000  # columns in a block
KEPT = 1 << 19  # entries of H, at most, that are transposed once in a row pass: 4 MB; else tile by tile for each block
CHUNKS = 64  # of rows, for denominators: enough for as many cores


def common(Ht, beta):
    """On one thread: it takes a thousandth to a twentieth of an iteration, most for a CSR with many components."""
    return gram_matrix(Ht) if beta == 2 else Ht.sum(axis=0, keepdims=True)


@kernel
def kept_transposed(Ht):
    """Return H, C-contiguous, or without rows and columns if it is large: `tile_of` then transposes its tiles."""
    return transposed(Ht if Ht.size < KEPT else Ht[:0])


@kernel
def tile_of(H, Ht, left):
    """Return TILE columns of H from `left` on, given H as `kept_transposed` returns it."""
    return H[:, left : left + TILE] if H.size > 0 else transposed(Ht[left : left + TILE])


@parallel
def denominators(W, Ht, loss):
    """Chunks of rows in parallel, a block at a time, and of its WH a tile of columns at a time."""
    (n_rows, k), n_features = W.shape, len(Ht)
    result, H, n_chunks = np.empty((n_rows, k), W.dtype), kept_transposed(Ht), CHUNKS
    for c in prange(n_chunks):
        buffers = np.empty((2, BLOCK * min(TILE, n_features)), W.dtype)
        for start in range(c * n_rows // n_chunks, (c + 1) * n_rows // n_chunks, BLOCK):
            stop = min(start + BLOCK, (c + 1) * n_rows // n_chunks)
            for left in range(0, n_features, TILE):
                h = Ht[left : left + TILE]
                p, q = buffers[0, : (stop - start) * len(h)], buffers[1, : (stop - start) * len(h)]
                product(q.reshape(stop - start, -1), W[start:stop], tile_of(H, Ht, left), False)
                denominator_weights(p, q, loss)
                product(result[start:stop], p.reshape(stop - start, -1), h, left > 0)
    return result


@parallel
def products_dense(X, W, Ht, bounds):
    """Chunks of rows in parallel, a block at a time, whose rows of X serve both products while they are in cache."""
    n_chunks, k = len(bounds) - 1, W.shape[1]
    XHt, WtX = np.empty((len(W), k), W.dtype), np.empty((n_chunks, k, len(Ht)), W.dtype)
    for c in prange(n_chunks):
        fill(WtX[c], 0)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            rows = slice(start, min(start + BLOCK, bounds[c + 1]))
            product(XHt[rows], X[rows], Ht, False)
            product(WtX[c], W[rows].T, X[rows], True)
    return XHt, WtX


@parallel
def products_csr(indptr, indices, data, W, Ht, bounds):
    """Chunks of rows in parallel."""
    n_chunks, k = len(bounds) - 1, W.shape[1]
    XHt, XtW = np.empty((len(W), k), W.dtype), empty_sums(n_chunks, len(Ht), k, W)
    for c in prange(n_chunks):
        fill(XHt[bounds[c] : bounds[c + 1]], 0)
        fill(XtW[c], 0)
        for i in range(bounds[c], bounds[c + 1]):
            begin, end = indptr[i], indptr[i + 1]
            gather(XHt[i], indices[begin:end], data[begin:end], Ht)
            scatter(XtW[c], indices[begin:end], data[begin:end], W[i])
    return XHt, XtW


@parallel
def numerators_dense(X, W, Ht, loss, bounds):
    """Chunks of rows in parallel, a block at a time, and of its WH a tile of columns at a time."""
    n_chunks, k, n_features = len(bounds) - 1, W.shape[1], len(Ht)
    numerator_W, numerator_H = np.empty((len(W), k), W.dtype), np.empty((n_chunks, k, n_features), W.dtype)
    H = kept_transposed(Ht)
    for c in prange(n_chunks):
        fill(numerator_H[c], 0)
        buffers = np.empty((2, BLOCK * min(TILE, n_features)), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            for left in range(0, n_features, TILE):
                h, x = Ht[left : left + TILE], X[start:stop, left : left + TILE]
                n = (stop - start) * len(h)
                P, Q = buffers[0, :n].reshape(-1, len(h)), buffers[1, :n].reshape(-1, len(h))
                product(Q, W[start:stop], tile_of(H, Ht, left), False)
                for i in range(stop - start):
                    weights(P[i], Q[i], x[i], loss)
                product(numerator_W[start:stop], P, h, left > 0)
                product(numerator_H[c, :, left : left + len(h)], W[start:stop].T, P, True)
    return numerator_W, numerator_H


@kernel
def add_stored(sums, W, indptr, indices, data, Ht, loss, is_for_H):
    """Add the numerators of some rows of a CSR to sums: those of W, a row for each, or with is_for_H those of H."""
    p, q = np.empty(len(Ht), W.dtype), np.empty(len(Ht), W.dtype)
    for i in range(len(W)):
        columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
        if loss[0] == 2:  # the weights are those of X
            for j in range(len(x)):
                p[j] = x[j]
        else:
            products(W[i], columns, Ht, q)
            weights(p[: len(x)], q[: len(x)], x, loss)
        if is_for_H:
            scatter(sums, columns, p, W[i])
        else:
            gather(sums[i], columns, p, Ht)


@parallel
def numerators_csr(indptr, indices, data, W, Ht, loss, bounds):
    """Chunks of rows in parallel, with WH at what X stores of each row."""
    n_chunks, numerator_W = len(bounds) - 1, np.empty(W.shape, W.dtype)
    numerator_H = empty_sums(n_chunks, len(Ht), W.shape[1], W)
    for c in prange(n_chunks):
        rows = slice(bounds[c], bounds[c + 1])
        fill(numerator_W[rows], 0)
        fill(numerator_H[c], 0)
        ends = indptr[bounds[c] : bounds[c + 1] + 1]
        add_stored(numerator_W[rows], W[rows], ends, indices, data, Ht, loss, False)
        add_stored(numerator_H[c], W[rows], ends, indices, data, Ht, loss, True)
    return numerator_W, numerator_H


@kernel
def add_observed(sums, w, columns, x, m, Ht, loss, of_H):
    """Add the two parts of (2) at some entries of one row, with weights m: to sums[:, 0] those of W, or those of H.

    sums: numerators and denominators, (2, 1, n_components) or with of_H (2, n_features, n_components)
    """
    n, beta = len(x), loss[0]
    p, q = np.empty(n, w.dtype), np.empty(n, w.dtype)
    products(w, columns, Ht, q)
    if beta == 2:
        for j in range(n):
            p[j] = x[j]
    else:
        weights(p, q, x, loss)
    for j in range(n):
        p[j] *= m[j]
        q[j] = m[j] if beta == 1 else q[j] * m[j]
    if of_H:
        scatter(sums[0], columns, p, w)
        scatter(sums[1], columns, q, w)
    else:
        gather(sums[0, 0], columns, p, Ht)
        gather(sums[1, 0], columns, q, Ht)


@parallel
def parts_observed_dense(X, entry_weights, W, Ht, loss, of_H, bounds):
    """Chunks of rows in parallel, row by row; H's sums are a chunk's own."""
    n_chunks, (n_rows, n_features), k = len(bounds) - 1, X.shape, W.shape[1]
    parts_W = np.zeros((2, 0 if of_H else n_rows, k), W.dtype)
    parts_H = np.zeros((n_chunks, 2, n_features if of_H else 0, k), W.dtype)
    for c in prange(n_chunks):
        columns, lines = np.empty(n_features, np.int64), np.empty((2, n_features), W.dtype)
        for i in range(bounds[c], bounds[c + 1]):
            n = observed_in(X, entry_weights, i, columns, lines[0], lines[1])
            sums = parts_H[c] if of_H else parts_W[:, i : i + 1]
            add_observed(sums, W[i], columns[:n], lines[0, :n], lines[1, :n], Ht, loss, of_H)
    return parts_W, parts_H


@parallel
def parts_observed_csr(indptr, indices, data, entry_weights, W, Ht, loss, of_H, bounds):
    """The same at what X stores."""
    n_chunks, k = len(bounds) - 1, W.shape[1]
    parts_W = np.zeros((2, 0 if of_H else len(W), k), W.dtype)
    parts_H = np.zeros((n_chunks, 2, len(Ht) if of_H else 0, k), W.dtype)
    for c in prange(n_chunks):
        ones = np.ones(0 if len(entry_weights) > 0 else len(Ht), W.dtype)
        for i in range(bounds[c], bounds[c + 1]):
            begin, end = indptr[i], indptr[i + 1]
            m = entry_weights[begin:end] if len(entry_weights) > 0 else ones[: end - begin]
            sums = parts_H[c] if of_H else parts_W[:, i : i + 1]
            add_observed(sums, W[i], indices[begin:end], data[begin:end], m, Ht, loss, of_H)
    return parts_W, parts_H
