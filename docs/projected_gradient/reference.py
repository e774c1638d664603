"""Projected gradient: one step for all entries at once, short enough that the objective never rises.

With H fixed, gram = H H' + l2 I and cross = X H' - l1. The gradient of the objective in W is W gram - cross, and no
direction has more curvature than s, the largest row sum of gram. So one step of length 1/s, cut at zero:

    W <- max(0, W - (W gram - cross) / s)                                                           (1)

The row pass renews W by (1) and, at once, adds up what H needs: X'W and W'W. With them `update` renews H too.
Here Ht is H transposed, (n_features, n_components). Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np


def gram(Ht, l2):
    """Return Ht'Ht + l2 I, (n_components, n_components)."""
    return Ht.T @ Ht + l2 * np.eye(Ht.shape[1], dtype=Ht.dtype)


def update(W, gram, cross):
    """Renew W in place by (1) and return the violation of the optimality conditions before.

    W : (n_rows, n_components), changed in place, non-negative
    gram : (n_components, n_components)
    cross : (n_rows, n_components)
    """
    gradient = W @ gram - cross
    at_bound = W == 0  # there only a negative gradient can help
    violation = np.abs(np.where(at_bound, np.minimum(gradient, 0), gradient)).sum(dtype=np.float64)
    s = gram.sum(axis=1).max()
    if s != 0:
        np.maximum(W - gradient / s, 0, out=W)  # (1)
    return violation


def row_pass_dense(W, X, Ht, gram, l1, update_H, bounds):
    """Renew W in place, block of rows by block of rows. Return the violation, X'W and W'W, with the new W."""
    violation, cross_H, gram_H = 0.0, np.zeros_like(Ht), np.zeros_like(gram)
    for start, stop in pairwise(bounds):
        rows, X_rows = W[start:stop], X[start:stop]
        violation += update(rows, gram, X_rows @ Ht - l1)
        if update_H:
            cross_H += X_rows.T @ rows
            gram_H += rows.T @ rows
    return violation, cross_H, gram_H


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, update_H, bounds):
    """The same for an X in compressed sparse row format, where blocks are single rows."""
    violation, cross_H, gram_H = 0.0, np.zeros_like(Ht), np.zeros_like(gram)
    for i in range(bounds[0], bounds[-1]):
        stored, row = slice(indptr[i], indptr[i + 1]), W[i : i + 1]
        columns, x = indices[stored], data[stored]
        violation += update(row, gram, x[np.newaxis] @ Ht[columns] - l1)
        if update_H:
            cross_H[columns] += x[:, np.newaxis] * row
            gram_H += row.T @ row
    return violation, cross_H, gram_H
