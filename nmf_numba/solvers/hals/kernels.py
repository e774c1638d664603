"""HALS in compiled loops. The equations are in reference.py; this file says only how the loops differ.

Blocks of rows outside, then components, then the rows of a block: (1) couples the components of one row, never two
rows. So 80 rows at a time go through X Ht, the sweeps and their share of W'X and W'W while they are in cache, and the
row pass reads X once. Each chunk of rows has sums of its own: the result does not depend on the number of threads.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import bounds_of, empty_sums, fill, gram_matrix, total_of
from nmf_numba.compiled.jit import kernel, parallel
from nmf_numba.compiled.linear_algebra import ROWS, gather, product, scatter
from nmf_numba.losses.kernels import transposed

BLOCK = 80  # rows that go through the row pass, and side by side through the sweep
PANEL = 1000  # columns of X that are multiplied with W' before the next: they stay in cache


@kernel
def sweep_block(Wt, gradient, constant, ordered, counted):
    """(1) on BLOCK rows side by side, so that the inner loop vectorises: row by row it would be a sum.

    The contribution of all other components to a gradient is one matrix product, for ROWS components at a time; within
    such a group, components are updated one by one. constant is the part of the gradient that W has no part in.
    Return the violation of the first `counted` rows.
    """
    n_components, zero, violation = len(Wt), Wt.dtype.type(0), 0.0
    for begin in range(0, n_components, ROWS):
        end = min(begin + ROWS, n_components)
        for p in range(begin, end):
            for r in range(BLOCK):
                gradient[p, r] = constant[p, r]
        product(gradient[begin:end], ordered[begin:end, :begin], Wt[:begin], True)  # updated already; gram is symmetric
        product(gradient[begin:end], ordered[begin:end, end:], Wt[end:], True)  # still to come
        for p in range(begin, end):
            w, g, curvature, share = Wt[p], gradient[p], ordered[p, p], zero  # share: of the violation
            for s in range(begin, end):
                for r in range(BLOCK):
                    g[r] += ordered[p, s] * Wt[s, r]
            for r in range(counted):
                share += abs(min(g[r], zero) if w[r] == 0 else g[r])
            if curvature != 0:
                for r in range(BLOCK):
                    w[r] = max(w[r] - g[r] / curvature, zero)  # (1)
            violation += share
    return violation


@kernel
def extrapolate_block(Wt, before, gradient, constant, ordered, extrapolation):
    """(2) on BLOCK rows side by side. before, the rows before the sweeps, and gradient are overwritten."""
    n_components, zero, half = len(Wt), Wt.dtype.type(0), Wt.dtype.type(0.5)
    further, change = np.empty((n_components, BLOCK), Wt.dtype), np.zeros(BLOCK, Wt.dtype)
    for p in range(n_components):
        for r in range(BLOCK):
            further[p, r] = max(Wt[p, r] + extrapolation * (Wt[p, r] - before[p, r]), zero)  # (2)
            before[p, r] = half * (before[p, r] + further[p, r])  # halfway from here on
            gradient[p, r] = constant[p, r]
    product(gradient, ordered, before, True)
    for p in range(n_components):
        for r in range(BLOCK):
            change[r] += (further[p, r] - before[p, r]) * gradient[p, r]  # half the change of the objective
    for p in range(n_components):
        for r in range(BLOCK):
            Wt[p, r] = further[p, r] if change[r] < 0 else Wt[p, r]


@kernel
def sweep(W, gram, cross, l1, order, sweeps=(1, 0.0)):
    """Sweeps and (2) on some rows, 80 at a time, transposed so that these lie side by side.

    cross may be transposed: slices with a step of 1 have one type for Numba whether they are or not, so this is
    compiled once.
    """
    n_rows, n_components = len(W), len(order)  # other components stay: they are a part of the constant
    n_sweeps, extrapolation = sweeps
    l1, violation, stays = W.dtype.type(l1), 0.0, np.ones(W.shape[1], np.bool_)
    for t in order:
        stays[t] = False
    ordered = np.empty((n_components, n_components), gram.dtype)  # gram in the order of the sweep
    for p in range(n_components):
        for s in range(n_components):
            ordered[p, s] = gram[order[p], order[s]]
    buffers = np.empty((4, n_components, BLOCK), W.dtype)
    if n_rows < BLOCK:  # rows beyond n touch no other row, but numbers in them may be slow
        fill(buffers.reshape(4 * n_components, BLOCK), 0)
    Wt, before, gradient, constant = buffers[0], buffers[1], buffers[2], buffers[3]
    for first in range(0, n_rows, BLOCK):
        n = min(BLOCK, n_rows - first)
        for p in range(n_components):
            for r in range(n):
                constant[p, r] = l1 - cross[first + r, order[p]]
                Wt[p, r] = before[p, r] = W[first + r, order[p]]
            for s in range(W.shape[1]):
                if stays[s]:
                    for r in range(n):
                        constant[p, r] += gram[order[p], s] * W[first + r, s]
        violation += sweep_block(Wt, gradient, constant, ordered, n)
        for _ in range(1, n_sweeps):
            sweep_block(Wt, gradient, constant, ordered, 0)
        if extrapolation > 0:
            extrapolate_block(Wt, before, gradient, constant, ordered, W.dtype.type(extrapolation))
        for r in range(n):
            for p in range(n_components):
                W[first + r, order[p]] = Wt[p, r]
    return violation


@kernel
def pass_block(rows, X_rows, Ht, gram, l1, order, sweeps, WtX, WtW):
    """Sweep a block of rows, and add their share to the sums. Return their violation."""
    cross = np.empty((len(rows), Ht.shape[1]), rows.dtype)
    product(cross, X_rows, Ht, False)
    violation = sweep(rows, gram, cross[::1], l1, order, sweeps)  # a step: see sweep
    for left in range(0, X_rows.shape[1], PANEL):
        right = left + PANEL
        product(WtX[:, left:right], rows.T, X_rows[:, left:right], True)
    product(WtW, rows.T, rows, True)
    return violation


@parallel
def row_pass_dense(W, X, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
    """Chunks of rows in parallel, each a block of rows at a time, with sums of its own."""
    n_chunks, n_components = len(bounds) - 1, W.shape[1]
    violations, WtX = np.zeros(n_chunks), np.empty((n_chunks, n_components, X.shape[1]), W.dtype)
    WtW = np.empty((n_chunks, n_components, n_components), W.dtype)
    for c in prange(n_chunks):
        fill(WtX[c], 0)
        fill(WtW[c], 0)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            rows = slice(start, min(start + BLOCK, bounds[c + 1]))
            violations[c] += pass_block(W[rows], X[rows], Ht, gram, l1, order, sweeps, WtX[c], WtW[c])
    return violations, WtX, WtW


@kernel
def fill_row(filled, x, shares, row):
    """Set filled, a row of WH, to (3), given the row x of X."""
    first = shares[min(row, len(shares) - 1)]
    if len(first) == 1:
        for j in range(len(x)):
            filled[j] += first[0] * (x[j] - filled[j]) if x[j] == x[j] else 0
    else:
        for j in range(len(x)):
            filled[j] += first[j] * (x[j] - filled[j]) if x[j] == x[j] else 0


@parallel
def row_pass_filled(W, X, shares, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
    """The same with (3) in the place of a block of X, which is filled while it is in cache."""
    n_chunks, n_components = len(bounds) - 1, W.shape[1]
    violations, WtX = np.zeros(n_chunks), np.empty((n_chunks, n_components, X.shape[1]), W.dtype)
    WtW, H = np.empty((n_chunks, n_components, n_components), W.dtype), transposed(Ht)
    for c in prange(n_chunks):
        fill(WtX[c], 0)
        fill(WtW[c], 0)
        buffer = np.empty((BLOCK, X.shape[1]), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            filled = buffer[: stop - start]
            product(filled, W[start:stop], H, False)
            for i in range(start, stop):
                fill_row(filled[i - start], X[i], shares, i)
            violations[c] += pass_block(W[start:stop], filled, Ht, gram, l1, order, sweeps, WtX[c], WtW[c])
    return violations, WtX, WtW


@parallel
def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
    """The same with what X stores of each row."""
    n_chunks, n_components = len(bounds) - 1, W.shape[1]
    violations, XtW = np.zeros(n_chunks), empty_sums(n_chunks, len(Ht), n_components, W)
    WtW = np.empty((n_chunks, n_components, n_components), W.dtype)
    for c in prange(n_chunks):
        fill(XtW[c], 0)
        fill(WtW[c], 0)
        buffer = np.empty((BLOCK, n_components), W.dtype)
        for start in range(bounds[c], bounds[c + 1], BLOCK):
            stop = min(start + BLOCK, bounds[c + 1])
            rows, cross = W[start:stop], buffer[: stop - start : 1]  # a step: see sweep
            fill(cross, 0)
            for i in range(start, stop):
                begin, end = indptr[i], indptr[i + 1]
                gather(cross[i - start], indices[begin:end], data[begin:end], Ht)
            violations[c] += sweep(rows, gram, cross, l1, order, sweeps)
            for i in range(start, stop):
                begin, end = indptr[i], indptr[i + 1]
                scatter(XtW[c], indices[begin:end], data[begin:end], W[i])
            product(WtW[c], rows.T, rows, True)
    return violations, XtW, WtW


@parallel
def update(W, gram, cross, l1, order, sweeps=(1, 0.0)):
    """Chunks of rows in parallel, each with a violation of its own."""
    bounds = bounds_of(W)
    violations = np.empty(len(bounds) - 1)
    for c in prange(len(bounds) - 1):
        start, stop = bounds[c], bounds[c + 1]
        violations[c] = sweep(W[start:stop], gram, cross[start:stop:1], l1, order, sweeps)
    return total_of(violations)


def gram(Ht, l2):
    """On one thread: it takes a thousandth to a twentieth of an iteration, most for a CSR with many components."""
    result = gram_matrix(Ht)
    if l2 > 0:
        result.reshape(-1)[:: len(result) + 1] += Ht.dtype.type(l2)
    return result
