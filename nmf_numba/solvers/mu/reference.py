"""Multiplicative updates: every entry of W is multiplied by a ratio of two non-negative sums.

With H fixed, and everything but the matrix products taken entry by entry:

    W <- W * (numerator / (denominator + l1 + l2 W)) ^ gamma                                        (1)
    numerator = (X * (WH)^(beta-2)) H',     denominator = (WH)^(beta-1) H'                          (2)
    gamma = 1/(2-beta) for beta < 1,  1 for 1 <= beta <= 2,  1/(beta-1) for beta > 2                (3)

For two losses WH is not needed in the denominator: for beta = 2 it is W (H H'), and for beta = 1 the row sums of H. The
row pass updates W by (1) and, at once, adds up H's own numerator and denominator with the new W, so `update` updates H
too. Here Ht is H transposed, (n_features, n_components).

Source: Fevotte and Idier (2011); for beta = 2 and 1, Lee and Seung (2001). Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np

from nmf_numba.losses.reference import FLOOR, weights


def smallest(beta, dtype):
    """Return what an entry of W must reach, or it becomes 0: powers of a WH near 0 need it for beta < 1."""
    return 2.0**-52 if beta < 1 else np.finfo(dtype).tiny


def common(Ht, beta):
    """Return what the denominators of all rows of W share: H H' for beta = 2, H's row sums, (1, k), for beta = 1."""
    return Ht.T @ Ht if beta == 2 else Ht.sum(axis=0, keepdims=True)


def update(W, numerator, denominator, penalties, beta, least):
    """Update W in place by (1).

    W : (n_rows, n_components), changed in place, non-negative
    numerator : (n_rows, n_components)
    denominator : (n_rows, n_components), or (1, n_components) for all rows; for beta = 2 instead H H', without W
    penalties : l1 and l2
    least : new entries below this become 0
    """
    l1, l2 = penalties
    gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0  # (3)
    denominator = (W @ denominator if beta == 2 else denominator) + l1 + l2 * W
    W *= (numerator / np.where(denominator == 0, FLOOR, denominator)) ** gamma  # (1)
    W[least > W] = 0


def row_pass_dense(W, X, Ht, common, beta, penalties, update_H, bounds):
    """Update W in place, chunk of rows by chunk of rows. Return of each chunk what it adds to H's sums.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    common : for beta = 2 and 1, what `common` returns
    penalties : l1 and l2 of W
    update_H : False: H stays, and the sums are zero
    bounds : where the chunks of rows begin, and where the last one ends. Rows do not depend on each other: any split
        will do, and what H needs is the sum over all chunks.

    The first sum is H's numerator, (n_components, n_features). The second is what `update` takes as denominator for
    beta = 2 and 1, and else H's denominator, (n_components, n_features).
    """
    k, n_features = W.shape[1], len(Ht)
    shape = (k, k) if beta == 2 else (1, k) if beta == 1 else (k, n_features)
    numerator_H = np.zeros((len(bounds) - 1, k, n_features), W.dtype)
    denominator_H = np.zeros((len(bounds) - 1, *shape), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        rows, X_rows = W[start:stop], X[start:stop]
        P, Q = weights(X_rows, rows @ Ht.T, beta)
        update(rows, P @ Ht, common if beta in (1, 2) else Q @ Ht, penalties, beta, smallest(beta, W.dtype))  # (2), (1)
        if update_H:
            P, Q = weights(X_rows, rows @ Ht.T, beta)  # with the new rows
            numerator_H[c] = rows.T @ P  # (2), for H
            denominator_H[c] = rows.T @ rows if beta == 2 else rows.sum(axis=0) if beta == 1 else rows.T @ Q
    return numerator_H, denominator_H


def row_pass_csr(W, indptr, indices, data, Ht, common, beta, penalties, update_H, bounds):
    """The same row pass for an X in compressed sparse row format. Its numerators for H lie like Ht.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]. Its other entries are zero:
    they add nothing to the numerator, but their WH counts in the denominator.
    """
    k, n_features = W.shape[1], len(Ht)
    shape = (k, k) if beta == 2 else (1, k) if beta == 1 else (k, n_features)
    numerator_H = np.zeros((len(bounds) - 1, n_features, k), W.dtype)
    denominator_H = np.zeros((len(bounds) - 1, *shape), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
            row = W[i : i + 1]
            P, _ = weights(x, row @ Ht[columns].T, beta)  # at stored entries
            _, Q = weights(0, row @ Ht.T, beta)  # at all entries
            denominator = common if beta in (1, 2) else Q @ Ht
            update(row, P @ Ht[columns], denominator, penalties, beta, smallest(beta, W.dtype))  # (2), (1)
            if update_H:
                P, _ = weights(x, row @ Ht[columns].T, beta)  # with the new row
                _, Q = weights(0, row @ Ht.T, beta)
                numerator_H[c, columns] += P.T @ row  # (2), for H
                denominator_H[c] += row.T @ row if beta == 2 else row if beta == 1 else row.T @ Q
    return numerator_H, denominator_H
