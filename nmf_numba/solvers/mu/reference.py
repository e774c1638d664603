"""Multiplicative updates: every entry of W is multiplied by a ratio of two non-negative sums.

With H fixed, and everything but the matrix products taken entry by entry:

    W <- W * (numerator / (denominator + l1 + l2 W)) ^ gamma                                        (1)
    numerator = (X * (WH)^(beta-2)) H',     denominator = (WH)^(beta-1) H'                          (2)
    gamma = 1/(2-beta) for beta < 1,  1 for 1 <= beta <= 2,  1/(beta-1) for beta > 2                (3)

For two losses the denominator does not need WH: for beta = 2 it is W (H H'), and for beta = 1 the row sums of H. The
row pass updates W by (1) and, at once, adds up H's own numerator and denominator with the new W, so `update` updates H
too. Here Ht is H transposed, (n_features, n_components).

With penalties, (1) does not minimise its majoriser but another function above it, or none. The minimiser solves, for
r = new W / W of each entry,

    denominator r^a + l1 r^b + l2 W r^(b+1) = numerator,                                            (4)
    (a, b) = (2-beta, 2-beta) for beta < 1,  (1, 2-beta) for 1 <= beta <= 2,  (beta-1, 0) for beta > 2

Source: Fevotte and Idier (2011); for beta = 2 and 1, Lee and Seung (2001). Derivation: notes.md beside this file, where
(1) and (3) are (7), (2) is (6) and (4) is (9).
"""

from itertools import pairwise

import numpy as np

from nmf_numba.losses.reference import FLOOR, weights


def smallest(loss, dtype):
    """Return what an entry of W must reach, or it becomes 0: powers of a WH near 0 need it for beta < 1."""
    beta, floor = loss
    return 2.0**-52 * np.sqrt(2.0**23 * floor) if beta < 1 else np.finfo(dtype).tiny  # in the unit of W


def _root(numerator, denominator, l1, l2_W, beta):
    """Return the r >= 0 that solves (4) for each entry; 0 if there is none.

    In u = log r, the logarithm of the left side is convex and rises, so Newton's method converges from anywhere.
    """
    a, b = (2 - beta, 2 - beta) if beta < 1 else (1.0, 2 - beta) if beta <= 2 else (beta - 1, 0.0)
    if b == 0:  # l1 does not depend on r
        numerator, l1 = numerator - l1, 0.0
    u, goal = np.zeros(numerator.shape), np.log(np.where(numerator > 0, numerator, 1))
    for _ in range(100):
        terms = denominator * np.exp(a * u), l1 * np.exp(b * u), l2_W * np.exp((b + 1) * u)
        change = (np.log(sum(terms)) - goal) * sum(terms) / (a * terms[0] + b * terms[1] + (b + 1) * terms[2])
        u = u - change
        if np.abs(change).max() < 1e-9:  # what is left is the square of it
            break
    return np.where(numerator > 0, np.exp(u), 0)


def update(W, numerator, denominator, penalties, beta, least, observed=False):
    """Update W in place by (1).

    W : (n_rows, n_components), changed in place, non-negative
    numerator : (n_rows, n_components)
    denominator : (n_rows, n_components), or (1, n_components) for all rows; for beta = 2 it is H H', and W is to come
    penalties : l1 and l2; a third number is the exponent to use instead of (3), or 0 to solve (4)
    least : new entries below this become 0
    observed : whether only some entries of X count: then the denominator is complete for beta = 2 too
    """
    l1, l2, gamma = (*penalties, 1 / max(1, 2 - beta, beta - 1))[:3]  # (3)
    denominator = W @ denominator if beta == 2 and not observed else denominator
    if gamma == 0:
        W *= _root(numerator, np.where(denominator == 0, FLOOR, denominator), l1, l2 * W, beta)  # (4)
    else:
        denominator = denominator + l1 + l2 * W
        W *= (numerator / np.where(denominator == 0, FLOOR, denominator)) ** gamma  # (1)
    W[least > W] = 0


def row_pass_dense(W, X, Ht, denominator, loss, penalties, update_H, bounds):
    """Update W in place, chunk of rows by chunk of rows. Return H's numerator and denominator of each chunk, like H.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    denominator : for beta = 2 and 1 what `common` of gradient/reference.py returns; else it is not used
    loss : beta, and the floor of WH
    penalties : l1 and l2 of W
    update_H : False: H stays, and the sums are zero
    bounds : where the chunks of rows begin, and where the last one ends. Rows do not depend on each other: any split
        will do, and what H needs is the sum over all chunks.

    For beta = 2 the second result is W'W, as `update` takes it. For beta = 1 it has no columns: column sums of W do.
    """
    n_chunks, (n_features, k), beta = len(bounds) - 1, Ht.shape, loss[0]
    numerator_H = np.zeros((n_chunks, k, n_features), W.dtype)
    denominator_H = np.zeros((n_chunks, k, {2: k, 1: 0}.get(beta, n_features)), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        rows, X_rows = W[start:stop], X[start:stop]
        P, Q = weights(X_rows, rows @ Ht.T, *loss)
        shared = denominator if beta in (1, 2) else Q @ Ht
        update(rows, P @ Ht, shared, penalties, beta, smallest(loss, W.dtype))  # (2), (1)
        if update_H:
            P, Q = weights(X_rows, rows @ Ht.T, *loss)  # with the new rows
            numerator_H[c] = rows.T @ P  # (2), for H
            if beta != 1:
                denominator_H[c] = rows.T @ (rows if beta == 2 else Q)
    return numerator_H, denominator_H


def row_pass_csr(W, indptr, indices, data, Ht, denominator, loss, penalties, update_H, bounds):
    """The same row pass for an X in compressed sparse row format. Return H's numerator of each chunk, like Ht,
    and W'W for beta = 2.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]. Its other entries are zero and
    add nothing to a numerator. Denominators do not depend on X: here W's are given for all losses, in (n_rows, k) if
    beta is neither 2 nor 1.
    """
    n_chunks, k, beta = len(bounds) - 1, W.shape[1], loss[0]
    numerator_H = np.zeros((n_chunks, *Ht.shape), W.dtype)
    denominator_H = np.zeros((n_chunks, k, k if beta == 2 else 0), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
            row, own = W[i : i + 1], denominator if beta in (1, 2) else denominator[i : i + 1]
            P, _ = weights(x, row @ Ht[columns].T, *loss)
            update(row, P @ Ht[columns], own, penalties, beta, smallest(loss, W.dtype))  # (2), (1)
            if update_H:
                P, _ = weights(x, row @ Ht[columns].T, *loss)  # with the new row
                numerator_H[c, columns] += P.T @ row  # (2), for H
                if beta == 2:
                    denominator_H[c] += row.T @ row
    return numerator_H, denominator_H
