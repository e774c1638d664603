"""HALS: update one component at a time, exactly.

With H fixed, gram = H H' + l2 I and cross = X H', column t of W has a closed-form minimiser:

    W[:, t] <- max(0, W[:, t] - g / gram[t, t]),     g = W gram[:, t] - cross[:, t] + l1            (1)

Columns go one after the other: column t sees the columns already updated. A sweep over all of them is cheap beside
cross, which reads X, so it may be repeated. Then a row may go on beyond the sweeps, if the objective is lower there
than before them:

    W <- max(0, W + extrapolation * (W - W before the sweeps))                                      (2)

The row pass updates W by (1) and (2) and, at once, adds up what H needs: X'W and W'W. These are H's own cross and gram
(before the penalties), so `update` with them updates H too. Here Ht is H transposed, (n_features, n_components).

Sources: Cichocki and Phan (2009), Fast HALS; Gillis and Glineur (2012), several sweeps. Derivation: notes.md beside
this file, where (1) is (5), (2) is (9), and (3) is in "Missing entries".
"""

from itertools import pairwise

import numpy as np


def gram(Ht, l2):
    """Return Ht'Ht + l2 I, (n_components, n_components): the curvature of every row of W."""
    return Ht.T @ Ht + l2 * np.eye(Ht.shape[1], dtype=Ht.dtype)


def update(W, gram, cross, l1, order, sweeps=(1, 0.0)):
    """Update W in place by sweeps of (1), then (2), and return the violation of the optimality conditions.

    W : (n_rows, n_components), changed in place, non-negative
    gram, cross : (n_components, n_components) and (n_rows, n_components)
    order : components in the order in which they are updated; one that is not in it stays
    sweeps : (n_sweeps, extrapolation), how often (1) and how far beyond (2)
    """
    (n_sweeps, extrapolation), before, violation = sweeps, W.copy(), 0.0
    for number in range(n_sweeps):
        for t in order:
            gradient = W @ gram[:, t] - cross[:, t] + l1  # (n_rows,)
            if number == 0:
                at_bound = W[:, t] == 0  # there only a negative gradient can help
                violation += np.abs(np.where(at_bound, np.minimum(gradient, 0), gradient)).sum(dtype=np.float64)
            if gram[t, t] != 0:
                W[:, t] = np.maximum(W[:, t] - gradient / gram[t, t], 0)  # (1)
    if extrapolation > 0:
        further = np.maximum(W + W.dtype.type(extrapolation) * (W - before), 0)  # (2)
        gradient = (before + further) / 2 @ gram - cross + l1  # halfway: times the step it is the change, exactly
        kept = ((further - before) * gradient).sum(axis=1) < 0
        W[kept] = further[kept]
    return violation


def entries(W, gram, cross, l1, order):
    """Do the same entry by entry, to be watched; yield component, row, gradient, curvature and the old entry."""
    for t in order:
        for i in range(len(W)):
            gradient, old = W[i] @ gram[:, t] - cross[i, t] + l1, W[i, t]
            if gram[t, t] != 0:
                W[i, t] = max(old - gradient / gram[t, t], 0)  # (1)
            yield t, i, gradient, gram[t, t], old


def row_pass_dense(W, X, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
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
        violations.append(update(rows, gram, X_rows @ Ht, l1, order, sweeps))
        WtX.append(rows.T @ X_rows)  # with the new rows
        WtW.append(rows.T @ rows)
    return np.array(violations), np.array(WtX), np.array(WtW)


def row_pass_filled(W, X, shares, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
    """The same row pass where entries of X are missing, which NaN says, or count less than others.

        WH + shares * (X - WH)                                                                    (3)

    takes the place of X, with W as it was. shares, from 0 to 1, are weights divided by the largest one: of X's shape,
    or with one row or one column that serve all. The error of (3) is a majoriser of the weighted error: see notes.md.
    """
    WH = W @ Ht.T
    filled = WH + np.where(np.isnan(X), 0, shares * (X - WH)).astype(W.dtype)
    return row_pass_dense(W, filled, Ht, gram, l1, order, bounds, sweeps)


def row_pass_csr(W, indptr, indices, data, Ht, gram, l1, order, bounds, sweeps=(1, 0.0)):
    """The same row pass for an X in compressed sparse row format. Return violation, X'W and W'W of each chunk.

    Row i of X holds data[p] in column indices[p], for p from indptr[i] to indptr[i + 1]; its other entries are zero
    and add nothing to X Ht or to X'W.
    """
    violations, XtW, WtW = [], [], []
    for start, stop in pairwise(bounds):
        rows, cross = W[start:stop], np.zeros_like(W[start:stop])
        for i in range(start, stop):
            for p in range(indptr[i], indptr[i + 1]):
                cross[i - start] += data[p] * Ht[indices[p]]
        violations.append(update(rows, gram, cross, l1, order, sweeps))
        XtW.append(np.zeros_like(Ht))
        for i in range(start, stop):
            for p in range(indptr[i], indptr[i + 1]):
                XtW[-1][indices[p]] += data[p] * W[i]
        WtW.append(rows.T @ rows)
    return np.array(violations), np.array(XtW), np.array(WtW)
