"""Block principal pivoting: the exact non-negative least squares of a row.

With H fixed, gram = H H' + l2 I and cross = X H'. A row w >= 0 is the best one if, with its slope w gram - cross + l1,

    w = 0 and slope >= 0 for some components,   slope = 0 and w >= 0 for the others, the passive set    (1)

Guess the passive set; solve slope = 0 for it; exchange the components that break (1); repeat. All of them are exchanged
while their number falls, and three times more when it does not; then only the last one, which is certain to end.

To the diagonal of gram a ridge r is added, and r times the old row to cross: no gram is singular, and the objective
still never rises.
Source: Kim and Park (2011), algorithm 1. Derivation: notes.md beside this file.
"""

import numpy as np

RIDGE = 8  # times the rounding of W's dtype, the number of components and the diagonal of gram
EXCHANGES = 10  # times n_components + 1, at most: rounding can break the rule that ends


def ridge(gram, W):
    """Return r, (n_components,), small enough to be a matter of rounding for each component, whatever its scale."""
    return RIDGE * float(np.finfo(W.dtype).eps) * len(gram) * np.diag(gram).astype(np.float64)


def solve(passive, gram, target):
    """Return w of (1) for w gram = target, starting from this passive set, a boolean array that is changed."""
    k, fewest, chances = len(target), len(target) + 1, 3
    for _ in range(EXCHANGES * (k + 1)):
        w = np.zeros(k)
        w[passive] = np.linalg.solve(gram[np.ix_(passive, passive)], target[passive])
        wrong = np.flatnonzero(np.where(passive, w, gram @ w - target) < 0)
        if len(wrong) == 0:
            break
        if len(wrong) < fewest:
            fewest, chances = len(wrong), 3
        elif chances > 0:
            chances -= 1
        else:
            wrong = wrong[-1:]
        passive[wrong] = ~passive[wrong]
    return np.maximum(w, 0)


def update(W, gram, cross, l1):
    """Set every row of W to its best in place, and return the violation of the optimality conditions before.

    W : (n_rows, n_components), changed in place, non-negative: where it is positive is the first passive set
    gram : (n_components, n_components). A component whose diagonal entry is zero is left as it is.
    cross : (n_rows, n_components)
    """
    slope = W @ gram - cross + l1
    violation = np.abs(np.where(W == 0, np.minimum(slope, 0), slope)).sum(dtype=np.float64)
    r, used = ridge(gram, W), np.flatnonzero(np.diag(gram) > 0)
    r, exact = r[used], gram[np.ix_(used, used)].astype(np.float64)
    ridged = exact + np.diag(r)
    for w, x in zip(W, cross, strict=True):
        old, target = w[used].astype(np.float64), x[used].astype(np.float64) - l1
        new = solve(old > 0, ridged, target + r * old)
        if (new - old) @ (exact @ (new + old) - 2 * target) <= 0:  # twice the change of the objective
            w[used] = new
    return violation
