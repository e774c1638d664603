"""Milliseconds per iteration, in turns with scikit-learn in one process, and the bare products as a floor."""

import statistics
import time
import warnings

import numba
import numpy as np
import threadpoolctl
from sklearn.decomposition import non_negative_factorization as theirs

from benchmarks.cases import is_sparse
from nmf_numba import non_negative_factorization as ours

SETTLE = 0.2  # seconds: threads of the library that ran before spin for a while, on the cores that are timed
LEAST = 8  # iterations: over fewer, the difference of two fits is mostly that of their starts


def run(function, case, X, W, H, n_iter):
    """Fit from the given start and return the result and the seconds it took."""
    time.sleep(SETTLE)
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = function(
            X,
            W=W.copy(),
            H=H.copy(),
            n_components=case.k,
            init="custom",
            solver=case.solver,
            beta_loss=case.beta,
            tol=0,
            max_iter=n_iter,
        )
    return result, time.perf_counter() - start


def per_iteration(function, case, X, W, H, n_iter):
    """Milliseconds of one more iteration: a long fit less a short one, so that checks and copies cancel."""
    _, short = run(function, case, X, W, H, 2)
    _, long = run(function, case, X, W, H, 2 + n_iter)
    return 1000 * (long - short) / n_iter


def same_factors(case, X, W, H):
    """The largest difference of the factors after three iterations, relative to their largest entry."""
    mine, _ = run(ours, case, X, W, H, 3)
    yours, _ = run(theirs, case, X, W, H, 3)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(mine[:2], yours[:2], strict=True))


def floor(case, X, W, H, repeats):
    """Milliseconds of the bare products of an iteration, in turn; for a CSR, of two passes over what is stored."""
    Ht = np.ascontiguousarray(H.T)
    if is_sparse(X):
        tasks = [(lambda: (X.data.sum(), X.indices.sum()), 2)]
    else:
        n_wh = 2 if case.n_products() > 2 else 0
        n_rest = (case.n_products() - n_wh) // 2
        tasks = [(lambda: X @ Ht, n_rest), (lambda: X.T @ W, n_rest), (lambda: W @ H, n_wh)]
    total = 0.0
    for task, times in tasks:
        if times:
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                task()
                seconds.append(time.perf_counter() - start)
            total += times * statistics.median(seconds)
    return 1000 * total


def measure(case, *, n_threads, shrink=1, rounds=5, seconds=1.0):
    """One row of the table. Ours and theirs take turns; the medians and the ratio of each turn count."""
    X, W, H = case.make(shrink)
    numba.set_num_threads(n_threads)
    with threadpoolctl.threadpool_limits(n_threads, user_api="blas"):
        difference = same_factors(case, X, W, H)
        tolerance = 1e-9 if case.dtype == "float64" else 1e-3
        if difference > tolerance:
            raise AssertionError(f"{case.name}: the factors differ by {difference:.2g}")
        guess = max(per_iteration(function, case, X, W, H, LEAST) for function in (ours, theirs)) / 1000
        n_iter = int(min(300, max(LEAST, seconds / max(guess, 1e-5))))
        mine, yours = [], []
        for _ in range(rounds):
            mine.append(per_iteration(ours, case, X, W, H, n_iter))
            yours.append(per_iteration(theirs, case, X, W, H, n_iter))
        bare = floor(case, X, W, H, rounds)
    numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)
    mine_ms, yours_ms = statistics.median(mine), statistics.median(yours)
    return {
        "case": case.name,
        "threads": n_threads,
        "ours_ms": mine_ms,
        "sklearn_ms": yours_ms,
        "ratio": statistics.median(y / m for m, y in zip(mine, yours, strict=True)),
        "bar": case.bar,
        "floor_ms": bare,
        "of_floor": mine_ms / bare,
        "difference": difference,
    }
