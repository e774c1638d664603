"""Projected gradient in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Rows outside, components inside: (2) couples the components of one row, never two rows. So a block of rows of X is read
once, for cross, the steps and the sums. Each chunk of rows has sums of its own: the result does not depend on the
number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import bounds_of, empty_sums, fill, gram_matrix
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import gather, product, scatter

BLOCK = 80  # rows that go through the row pass together, so that X's rows are still in cache for the sums


@kernel
def take_steps(W, gram, cross, l1, n_steps):
    """(2) on some rows, one after the other. Return the violation before the first step."""
    n_rows, n_components = W.shape
    zero, l1, s, violation = W.dtype.type(0), W.dtype.type(l1), W.dtype.type(0), 0.0
    for t in range(n_components):
        row_sum = zero
        for u in range(n_components):
            row_sum += gram[t, u]
        s = max(s, row_sum)
    gradient = np.empty(n_components, W.dtype)
    for i in range(n_rows):
        for step in range(n_steps):
            for t in range(n_components):
                gradient[t] = l1 - cross[i, t]
            for u in range(n_components):
                for t in range(n_components):
                    gradient[t] += W[i, u] * gram[u, t]
            if step == 0:
                for t in range(n_components):
                    violation += abs(min(gradient[t], zero) if W[i, t] == 0 else gradient[t])
            if s > 0:
                for t in range(n_components):
                    W[i, t] = max(W[i, t] - gradient[t] / s, zero)  # (2)
    return violation


@parallel
def row_pass_dense(W, X, Ht, gram, l1, n_steps, bounds):
    """Chunks of rows in parallel, each a block of rows at a time, with sums of its own."""
    n_chunks, n_components = len(bounds) - 1, W.shape[1]
    violations, WtX = np.zeros(n_chunks), empty_sums(n_chunks, n_components, X.shape[1], W)
    WtW = empty_sums(n_chunks, n_components, n_components, W)
    for c in prange(n_chunks):
        fill(WtX[c], 0)
        fill(WtW[c], 0)
        buffer = np.empty((BLOCK, n_components), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, X_rows, cross = W[start:stop], X[start:stop], buffer[: stop - start]
            product(cross, X_rows, Ht, False)
            violations[c] += take_steps(rows, gram, cross, l1, n_steps)
            product(WtX[c], rows.T, X_rows, True)
            product(WtW[c], rows.T, rows, True)
    return violations, WtX, WtW


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, n_steps, bounds):
    """The same with what X stores of each row."""
    n_chunks, n_components = len(bounds) - 1, W.shape[1]
    violations, XtW = np.zeros(n_chunks), empty_sums(n_chunks, len(Ht), n_components, W)
    WtW = empty_sums(n_chunks, n_components, n_components, W)
    for c in prange(n_chunks):
        fill(XtW[c], 0)
        fill(WtW[c], 0)
        buffer = np.empty((BLOCK, n_components), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, cross = W[start:stop], buffer[: stop - start]
            fill(cross, 0)
            for i in range(start, stop):
                begin, end = indptr[i], indptr[i + 1]
                gather(cross[i - start], indices[begin:end], data[begin:end], Ht)
            violations[c] += take_steps(rows, gram, cross, l1, n_steps)
            for i in range(start, stop):
                begin, end = indptr[i], indptr[i + 1]
                scatter(XtW[c], indices[begin:end], data[begin:end], W[i])
            product(WtW[c], rows.T, rows, True)
    return violations, XtW, WtW


@parallel
def update(W, gram, cross, l1, n_steps):
    """Chunks of rows in parallel, each with a violation of its own."""
    bounds = bounds_of(W)
    violations, total = np.empty(len(bounds) - 1), 0.0
    for c in prange(len(bounds) - 1):
        start, stop = bounds[c], bounds[c + 1]
        violations[c] = take_steps(W[start:stop], gram, cross[start:stop], l1, n_steps)
    for c in range(len(violations)):
        total += violations[c]
    return total


def gram(Ht, l2):
    """The Gram matrix in chunks of rows of Ht."""
    result = gram_matrix(Ht)
    result.reshape(-1)[:: len(result) + 1] += Ht.dtype.type(l2)
    return result
