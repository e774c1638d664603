"""The gradient of the divergence, as a difference of two non-negative parts.

With everything but the matrix products taken entry by entry, the gradient of D_beta(X, WH) in W is

    denominator - numerator,
    numerator = (X * (WH)^(beta-2)) H',     denominator = (WH)^(beta-1) H'                          (1)

and in H the same with X, W and H transposed. For two losses the denominator does not need WH: for beta = 2 it is
W (H H'), and for beta = 1 the row sums of H. Here Ht is H transposed, (n_features, n_components).

Source: Fevotte and Idier (2011). Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np

from nmf_numba.losses.reference import weights


def common(Ht, beta):
    """Return what the denominators of all rows of W share: H H' for beta = 2, H's row sums, (1, k), for beta = 1."""
    return Ht.T @ Ht if beta == 2 else Ht.sum(axis=0, keepdims=True)


def denominators(W, Ht, loss):
    """Return the denominators of (1), (n_rows, n_components). For H call denominators(Ht, W, loss)."""
    return weights(0, W @ Ht.T, *loss)[1] @ Ht


def products_dense(X, W, Ht, bounds):
    """Return the numerators of (1) for beta = 2, where the weights are X: X H', and W'X of each chunk of rows."""
    return X @ Ht, np.array([W[start:stop].T @ X[start:stop] for start, stop in pairwise(bounds)])


def products_csr(indptr, indices, data, W, Ht, bounds):
    """The same for an X in compressed sparse row format, with X'W, which lies like Ht, in the place of W'X."""
    XHt, XtW = np.zeros_like(W), np.zeros((len(bounds) - 1, *Ht.shape), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
            XHt[i] = x @ Ht[columns]
            XtW[c, columns] += np.outer(x, W[i])
    return XHt, XtW


def numerators_dense(X, W, Ht, loss, bounds):
    """Return the numerators of (1) for W, (n_rows, n_components), and of each chunk of rows for H, like H.

    X : (n_rows, n_features)
    W : (n_rows, n_components)
    Ht : (n_features, n_components)
    loss : beta, and the floor of WH
    bounds : where chunks of rows begin, and where the last one ends. What H needs is the sum over all chunks.
    """
    P, _ = weights(X, W @ Ht.T, *loss)
    return P @ Ht, np.array([W[start:stop].T @ P[start:stop] for start, stop in pairwise(bounds)])


def numerators_csr(indptr, indices, data, W, Ht, loss, bounds):
    """The same for an X in compressed sparse row format: only stored entries add to numerators. H's lie like Ht.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1].
    """
    numerator_W, numerator_H = np.zeros_like(W), np.zeros((len(bounds) - 1, *Ht.shape), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
            P, _ = weights(x, W[i : i + 1] @ Ht[columns].T, *loss)
            numerator_W[i] = (P @ Ht[columns])[0]
            numerator_H[c, columns] += P.T @ W[i : i + 1]
    return numerator_W, numerator_H


def parts_observed_dense(X, entry_weights, W, Ht, loss, of_H, bounds):
    """Return numerators and denominators where only some entries of X count, each with a weight m.

        numerator = (m * X * (WH)^(beta-2)) H',     denominator = (m * (WH)^(beta-1)) H'                  (2)

    X : (n_rows, n_features); NaN is missing
    entry_weights : m, of X's shape, or with one row or one column that serve all. An entry of weight 0 is missing.
    of_H : False: both for W, (2, n_rows, n_components). True: both for H, of each chunk of rows, (n_chunks, 2,
        n_features, n_components). The other result is empty.
    """
    n_chunks, k = len(bounds) - 1, W.shape[1]
    m = np.where(np.isnan(X), 0, entry_weights).astype(W.dtype)
    P, Q = (m * part for part in weights(np.where(m > 0, X, 0), W @ Ht.T, *loss))
    if not of_H:
        return np.array([P @ Ht, Q @ Ht]), np.zeros((n_chunks, 2, 0, k), W.dtype)
    chunks = [slice(start, stop) for start, stop in pairwise(bounds)]
    return np.zeros((2, 0, k), W.dtype), np.array([[A[rows].T @ W[rows] for A in (P, Q)] for rows in chunks])


def parts_observed_csr(indptr, indices, data, entry_weights, W, Ht, loss, of_H, bounds):
    """The same for an X in compressed sparse row format, whose entries that are not stored are missing.

    entry_weights : m of each stored entry, or nothing: then all are 1
    """
    n_chunks, k = len(bounds) - 1, W.shape[1]
    parts_W = np.zeros((2, 0 if of_H else len(W), k), W.dtype)
    parts_H = np.zeros((n_chunks, 2, len(Ht) if of_H else 0, k), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            stored = slice(indptr[i], indptr[i + 1])
            columns, m = indices[stored], entry_weights[stored] if len(entry_weights) else 1
            for which, part in enumerate(weights(data[stored], W[i] @ Ht[columns].T, *loss)):
                if of_H:
                    parts_H[c, which, columns] += np.outer(m * part, W[i])
                else:
                    parts_W[which, i] = (m * part) @ Ht[columns]
    return parts_W, parts_H
