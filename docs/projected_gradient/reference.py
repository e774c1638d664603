"""Projected gradient: one step for all entries at once, short enough that the objective never rises.

With H fixed, gram = H H' + l2 I and cross = X H'. The gradient of the objective in W is W gram - cross + l1, and no
direction has more curvature than s, the largest row sum of gram. So a step of length 1/s, cut at zero:

    W <- max(0, W - (W gram - cross + l1) / s)                                                      (2)

`n_steps` such steps are taken for the same H. The row pass updates W by them and, at once, adds up what H needs: X'W
and W'W. These are H's own cross and gram (before the penalties), so `update` with them updates H too. Here Ht is H
transposed, (n_features, n_components). Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np


def gram(Ht, l2):
    """Return Ht'Ht + l2 I, (n_components, n_components): the curvature of every row of W."""
    return Ht.T @ Ht + l2 * np.eye(Ht.shape[1], dtype=Ht.dtype)


def update(W, gram, cross, l1, n_steps):
    """Update W in place by n_steps of (2) and return the violation of the optimality conditions before them.

    W : (n_rows, n_components), changed in place, non-negative
    gram : (n_components, n_components)
    cross : (n_rows, n_components)
    n_steps : at least 1
    """
    s = gram.sum(axis=1).max()
    gradient = W @ gram - cross + l1
    at_bound = W == 0  # there only a negative gradient can help
    violation = np.abs(np.where(at_bound, np.minimum(gradient, 0), gradient)).sum(dtype=np.float64)
    for _ in range(n_steps):
        if s > 0:
            W[:] = np.maximum(W - (W @ gram - cross + l1) / s, 0)  # (2)
    return violation


def row_pass_dense(W, X, Ht, gram, l1, n_steps, bounds):
    """Update W in place, chunk of rows by chunk of rows. Return of each chunk the violation, W'X and W'W.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    bounds : where the chunks of rows begin, and where the last one ends. Rows do not depend on each other: any split
        will do, and what H needs is the sum over all chunks.
    """
    violations, WtX, WtW = [], [], []
    for start, stop in pairwise(bounds):
        rows, X_rows = W[start:stop], X[start:stop]
        violations.append(update(rows, gram, X_rows @ Ht, l1, n_steps))
        WtX.append(rows.T @ X_rows)  # with the new rows
        WtW.append(rows.T @ rows)
    return np.array(violations), np.array(WtX), np.array(WtW)


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, n_steps, bounds):
    """The same row pass for an X in compressed sparse row format. Return violation, X'W and W'W of each chunk.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]; its other entries are zero
    and add nothing to X Ht or to X'W.
    """
    violations, XtW, WtW = [], [], []
    for start, stop in pairwise(bounds):
        rows, cross, sums = W[start:stop], np.zeros_like(W[start:stop]), np.zeros_like(Ht)
        for i in range(start, stop):
            stored = slice(indptr[i], indptr[i + 1])
            cross[i - start] = data[stored] @ Ht[indices[stored]]
        violations.append(update(rows, gram, cross, l1, n_steps))
        for i in range(start, stop):
            stored = slice(indptr[i], indptr[i + 1])
            sums[indices[stored]] += np.outer(data[stored], W[i])
        XtW.append(sums)
        WtW.append(rows.T @ rows)
    return np.array(violations), np.array(XtW), np.array(WtW)
