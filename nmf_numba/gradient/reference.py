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


def denominators(W, Ht, beta):
    """Return the denominators of (1), (n_rows, n_components). For H call denominators(Ht, W, beta)."""
    return weights(0, W @ Ht.T, beta)[1] @ Ht


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


def numerators_dense(X, W, Ht, beta, bounds):
    """Return the numerators of (1) for W, (n_rows, n_components), and of each chunk of rows for H, like H.

    X : (n_rows, n_features)
    W : (n_rows, n_components)
    Ht : (n_features, n_components)
    bounds : where chunks of rows begin, and where the last one ends. What H needs is the sum over all chunks.
    """
    P, _ = weights(X, W @ Ht.T, beta)
    return P @ Ht, np.array([W[start:stop].T @ P[start:stop] for start, stop in pairwise(bounds)])


def numerators_csr(indptr, indices, data, W, Ht, beta, bounds):
    """The same for an X in compressed sparse row format: only stored entries add to numerators. H's lie like Ht.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1].
    """
    numerator_W, numerator_H = np.zeros_like(W), np.zeros((len(bounds) - 1, *Ht.shape), W.dtype)
    for c, (start, stop) in enumerate(pairwise(bounds)):
        for i in range(start, stop):
            columns, x = indices[indptr[i] : indptr[i + 1]], data[indptr[i] : indptr[i + 1]]
            P, _ = weights(x, W[i : i + 1] @ Ht[columns].T, beta)
            numerator_W[i] = (P @ Ht[columns])[0]
            numerator_H[c, columns] += P.T @ W[i : i + 1]
    return numerator_W, numerator_H
