"""Block principal pivoting in compiled loops. The equations are in reference.py; this file says how the loops differ.

Each row is solved by a Cholesky factor of its passive set, in float64 also for float32. The factor is kept until the
passive set is another one, so neighbouring rows with the same set share it. Chunks of rows run in parallel.
"""

import numpy as np
from numba import prange

from nmf_numba.compiled.chunks import bounds_of, total_of
from nmf_numba.compiled.jit import kernel, parallel

RIDGE = 8  # times the rounding of W's dtype and the trace of gram
EXCHANGES = 10  # times n_components + 1, at most: rounding can break the rule that ends


@kernel
def ridge(gram, W):
    """In float64."""
    r = np.empty(len(gram))
    for t in range(len(gram)):
        r[t] = RIDGE * (2.0**-52 if W.itemsize == 8 else 2.0**-23) * len(gram) * gram[t, t]
    return r


@kernel
def factorize(lower, members, passive, gram):
    """Set the first rows of lower to the Cholesky factor of the passive set, members to its components; count them."""
    n = 0
    for t in range(len(passive)):
        if passive[t]:
            members[n] = t
            n += 1
    for p in range(n):
        for q in range(p + 1):
            total = gram[members[p], members[q]]
            for s in range(q):
                total -= lower[p, s] * lower[q, s]
            lower[p, q] = total / lower[q, q] if q < p else np.sqrt(total)
    return n


@kernel
def solve_passive(w, target, lower, members, n):
    """Set w to the solution for the passive set, and to zero elsewhere."""
    for t in range(len(w)):
        w[t] = 0
    for p in range(n):
        total = target[members[p]]
        for q in range(p):
            total -= lower[p, q] * w[members[q]]
        w[members[p]] = total / lower[p, p]
    for p in range(n - 1, -1, -1):
        total = w[members[p]]
        for q in range(p + 1, n):
            total -= lower[q, p] * w[members[q]]
        w[members[p]] = total / lower[p, p]


@kernel
def find_wrong(wrong, passive, w, target, gram, members, n):
    """Mark the components that break (1), and count them."""
    n_wrong = 0
    for t in range(len(w)):
        value = w[t]
        if not passive[t]:
            value = -target[t]
            for q in range(n):
                value += gram[t, members[q]] * w[members[q]]
        wrong[t] = value < 0
        n_wrong += wrong[t]
    return n_wrong


@kernel
def pivot(w, passive, target, gram, lower, members, factored):
    """`solve` of reference.py: set w to the solution from this passive set, which changes.

    factored is the set that lower belongs to.
    """
    k, fewest, chances, n = len(w), len(w) + 1, 3, 0
    wrong = np.empty(k, np.bool_)
    for t in range(k):
        n += factored[t]
    for _ in range(EXCHANGES * (k + 1)):
        same = True
        for t in range(k):
            same = same and factored[t] == passive[t]
        if not same:
            n = factorize(lower, members, passive, gram)
            for t in range(k):
                factored[t] = passive[t]
        solve_passive(w, target, lower, members, n)
        n_wrong = find_wrong(wrong, passive, w, target, gram, members, n)
        if n_wrong == 0:
            break
        single = False
        if n_wrong < fewest:
            fewest, chances = n_wrong, 3
        elif chances > 0:
            chances -= 1
        else:
            single = True
        for t in range(k - 1, -1, -1):
            if wrong[t]:
                passive[t] = not passive[t]
                if single:
                    break
    for t in range(k):
        w[t] = max(w[t], 0.0)


@kernel
def solve_rows(W, gram, cross, l1, used, r):
    """`update` of reference.py on some rows. Return the violation before; gram is of the components that are used."""
    k, zero, violation = len(used), 0.0, 0.0
    ridged, lower, members = gram.copy(), np.empty((k, k)), np.empty(k, np.int64)
    passive, factored = np.zeros(k, np.bool_), np.zeros(k, np.bool_)
    old, new, target, proximal = np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    for t in range(k):
        ridged[t, t] += r[used[t]]
    for i in range(len(W)):
        for t in range(k):
            old[t], target[t] = W[i, used[t]], cross[i, used[t]] - l1
            passive[t], proximal[t] = old[t] > 0, target[t] + r[used[t]] * old[t]
        for t in range(k):
            slope = -target[t]
            for u in range(k):
                slope += gram[t, u] * old[u]
            violation += abs(min(slope, zero) if old[t] == 0 else slope)
        pivot(new, passive, proximal, ridged, lower, members, factored)
        change = 0.0  # twice that of the objective
        for t in range(k):
            slopes = -2 * target[t]
            for u in range(k):
                slopes += gram[t, u] * (new[u] + old[u])
            change += (new[t] - old[t]) * slopes
        if change <= 0:
            for t in range(k):
                W[i, used[t]] = new[t]
    return violation


@parallel
def update(W, gram, cross, l1):
    """Chunks of rows in parallel, each with a violation of its own."""
    bounds, r, used = bounds_of(W), ridge(gram, W), np.empty(len(gram), np.int64)
    n_used, violations = 0, np.empty(len(bounds) - 1)
    for t in range(len(gram)):
        if gram[t, t] > 0:
            used[n_used] = t
            n_used += 1
    used, exact = used[:n_used], np.empty((n_used, n_used))
    for t in range(n_used):
        for u in range(n_used):
            exact[t, u] = gram[used[t], used[u]]
    for c in prange(len(bounds) - 1):
        start, stop = bounds[c], bounds[c + 1]
        violations[c] = solve_rows(W[start:stop], exact, cross[start:stop], np.float64(l1), used, r)
        for t in range(len(gram)):  # unused components have the slope l1
            if gram[t, t] == 0:
                for i in range(start, stop):
                    slope = l1 - cross[i, t]
                    violations[c] += abs(min(slope, 0.0) if W[i, t] == 0 else slope)
    return total_of(violations)
