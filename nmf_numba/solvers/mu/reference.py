"""Multiplicative updates: every entry of W is multiplied by a ratio of two non-negative sums.

With H fixed, and everything but the matrix products taken entry by entry:

    W <- W * (numerator / (denominator + l1 + l2 W)) ^ gamma                                        (1)
    numerator = (X * (WH)^(beta-2)) H',     denominator = (WH)^(beta-1) H'                          (2)
    gamma = 1/(2-beta) for beta < 1,  1 for 1 <= beta <= 2,  1/(beta-1) for beta > 2                (3)

The row pass renews W by (1) and, at once, adds up H's own numerator and denominator with the new W, so `update` renews
H too. Here Ht is H transposed, (n_features, n_components).

Source: Fevotte and Idier (2011); for beta = 2 and 1, Lee and Seung (2001). Derivation: notes.md beside this file.
"""

from itertools import pairwise

import numpy as np

from nmf_numba.objective.reference import divergence_csr, divergence_dense

FLOOR = 2.0**-23  # float32's epsilon, for both dtypes: what WH is raised to where it has a negative power


def power(WH, exponent):
    """Return WH^exponent, with WH raised to FLOOR where that is a negative power."""
    return (np.maximum(WH, FLOOR) if exponent < 0 else WH) ** exponent


def update(W, numerator, denominator, l1, l2, beta, flush):
    """Renew W in place by (1).

    W : (n_rows, n_components), changed in place, non-negative
    numerator, denominator : (n_rows, n_components), of (2)
    flush : new entries below this become 0
    """
    gamma = 1 / (2 - beta) if beta < 1 else 1 / (beta - 1) if beta > 2 else 1.0  # (3)
    denominator = denominator + l1 + l2 * W
    W *= (numerator / np.where(denominator == 0, FLOOR, denominator)) ** gamma  # (1)
    W[flush > W] = 0


def row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, bounds):
    """Renew W in place, block of rows by block of rows, and return H's numerator and denominator.

    W : (n_rows, n_components), changed in place, non-negative
    X : (n_rows, n_features)
    Ht : (n_features, n_components)
    flush : new entries of W below this become 0
    update_H : False: H stays, so nothing is added up and the sums are zero
    bounds : where the blocks of rows begin, and the last one ends. Rows do not depend on each other: any split will do.
    """
    numerator_H, denominator_H = np.zeros_like(Ht), np.zeros_like(Ht)
    for start, stop in pairwise(bounds):
        rows, X_rows = W[start:stop], X[start:stop]
        WH = rows @ Ht.T
        numerator = (X_rows * power(WH, beta - 2)) @ Ht  # (2)
        denominator = power(WH, beta - 1) @ Ht
        update(rows, numerator, denominator, l1, l2, beta, flush)
        if update_H:
            WH = rows @ Ht.T  # with the new W
            numerator_H += (X_rows * power(WH, beta - 2)).T @ rows  # (2), transposed
            denominator_H += power(WH, beta - 1).T @ rows
    return numerator_H, denominator_H


def row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, bounds):
    """The same row pass for an X in compressed sparse row format, where blocks are single rows.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]. Its other entries are zero:
    they add nothing to the numerator, but their WH counts in the denominator.
    """
    numerator_H, denominator_H = np.zeros_like(Ht), np.zeros_like(Ht)
    for i in range(bounds[0], bounds[-1]):
        stored, row = slice(indptr[i], indptr[i + 1]), W[i : i + 1]
        columns, x = indices[stored], data[stored]
        WH = row @ Ht.T  # (1, n_features)
        numerator = (x * power(WH[:, columns], beta - 2)) @ Ht[columns]  # (2)
        denominator = power(WH, beta - 1) @ Ht
        update(row, numerator, denominator, l1, l2, beta, flush)
        if update_H:
            WH = row @ Ht.T  # with the new row
            numerator_H[columns] += (x * power(WH[:, columns], beta - 2)).T @ row  # (2), transposed
            denominator_H += power(WH, beta - 1).T @ row
    return numerator_H, denominator_H


def measured_row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, of_X, measured, bounds):
    """`row_pass_dense`, and as a third result the divergence before it.

    of_X : (n_rows,), NaN at first: where the kernels keep the sum of each row's X^beta
    measured : (n_blocks, 5), where the kernels leave what they found for each block
    """
    divergence = divergence_dense(X, W, Ht, beta, bounds)
    return *row_pass_dense(W, X, Ht, beta, l1, l2, flush, update_H, bounds), divergence


def measured_row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, of_X, measured, bounds):
    """The same for `row_pass_csr`."""
    divergence = divergence_csr(indptr, indices, data, W, Ht, beta, bounds)
    return *row_pass_csr(W, indptr, indices, data, Ht, beta, l1, l2, flush, update_H, bounds), divergence
