"""HALS: renew one component at a time, exactly.

With H fixed, gram = H H' + l2 I and cross = X H' - l1, column t of W has a closed-form minimiser:

    W[:, t] <- max(0, W[:, t] - g / gram[t, t]),     g = W gram[:, t] - cross[:, t]                 (1)

Columns go one after the other: column t sees the columns already renewed.

The row pass renews W by (1) and, at once, adds up what H needs: X'W and W'W. These are H's own cross and gram
(before the penalties), so `update` with them renews H too. Here Ht is H transposed, (n_features, n_components).

Source: Cichocki and Phan (2009), the Fast HALS algorithm. Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np


def gram(Ht, l2):
    """Return Ht'Ht + l2 I, (n_components, n_components): the curvature of every row of W."""
    return Ht.T @ Ht + l2 * np.eye(Ht.shape[1], dtype=Ht.dtype)


def update(W, gram, cross, order):
    """Renew W in place by one sweep of (1) and return the violation of the optimality conditions.

    W : (n_rows, n_components), changed in place, non-negative
    gram : (n_components, n_components)
    cross : (n_rows, n_components)
    order : (n_components,), the order in which the components are renewed
    """
    violation = 0.0
    for t in order:
        gradient = W @ gram[:, t] - cross[:, t]  # (n_rows,)
        at_bound = W[:, t] == 0  # there only a negative gradient can help
        violation += np.abs(np.where(at_bound, np.minimum(gradient, 0), gradient)).sum(dtype=np.float64)
        if gram[t, t] != 0:
            W[:, t] = np.maximum(W[:, t] - gradient / gram[t, t], 0)  # (1)
    return violation


def row_pass_dense(W, X, Ht, gram, l1, order, update_H, bounds):
    """Renew W in place, block of rows by block of rows, and add up what H needs.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    update_H : False: H stays, so nothing is added up and the sums are zero
    bounds : where the blocks of rows begin, and the last one ends. Rows do not depend on each other: any split will do.

    Returns the violation, X'W (n_features, n_components) and W'W (n_components, n_components), with the new W.
    """
    violation, cross_H, gram_H = 0.0, np.zeros_like(Ht), np.zeros_like(gram)
    for start, stop in pairwise(bounds):
        rows, X_rows = W[start:stop], X[start:stop]
        violation += update(rows, gram, X_rows @ Ht - l1, order)
        if update_H:
            cross_H += X_rows.T @ rows
            gram_H += rows.T @ rows
    return violation, cross_H, gram_H


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, update_H, bounds):
    """The same row pass for an X in compressed sparse row format.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]; its other entries are zero
    and add nothing to X Ht or to X'W.
    """
    violation, cross_H, gram_H = 0.0, np.zeros_like(Ht), np.zeros_like(gram)
    for start, stop in pairwise(bounds):
        rows, cross = W[start:stop], np.zeros_like(W[start:stop])
        for i in range(start, stop):
            for p in range(indptr[i], indptr[i + 1]):
                cross[i - start] += data[p] * Ht[indices[p]]
        violation += update(rows, gram, cross - l1, order)
        if update_H:
            for i in range(start, stop):
                for p in range(indptr[i], indptr[i + 1]):
                    cross_H[indices[p]] += data[p] * W[i]
            gram_H += rows.T @ rows
    return violation, cross_H, gram_H
