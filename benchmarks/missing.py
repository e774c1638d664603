"""Missing entries: solvers that leave them out beside filling them in for scikit-learn, and ratings."""

import functools
import statistics
import time
import warnings

import numpy as np
from scipy import sparse
from sklearn.decomposition import non_negative_factorization

from benchmarks.convergence import aim_of, median, reaches
from benchmarks.speed import Threads
from nmf_numba import fit, initialize, iterate, objective

TITLE = """Seconds of solver steps until the squared error of the observed entries is within 0.1 % of where the run
ends, or of the best that any solver has found from the same start if it is still falling: medians over starts, which
all share. filling: what people do without such solvers, that is, fill the gaps with WH, do one iteration of
scikit-learn's cd, fill again. gain: how many times sooner than filling.
Ratings are a CSR whose missing entries are not stored: ms is of one iteration, gain is the time of ccd's
Kullback-Leibler iteration on the same matrix, all entries observed, over it."""

COLUMNS = (
    ("case", "case", "<40"),
    ("solver", "solver", "<10"),
    ("iterations", "iterations", ">10.0f"),
    ("seconds", "seconds", ">8.3f"),
    ("above", "above (%)", ">9.2f"),
    ("ms", "ms", ">8.2f"),
    ("gain", "gain", ">7.2f"),
)

GOAL = 1.001
LIMIT = 6.0  # seconds of a run
FILLING_LIMIT = 60.0
K = 10
SOLVERS = ("auto", "cd", "ehals", "ccd", "mu", "mue")
CASES = tuple((share, noise) for share in (0.3, 0.9) for noise in (0.05, 0.3))


@functools.cache
def with_gaps(share, noise, quick):
    """A gamma matrix of rank K, 2000 x 500, with relative noise; a share of its entries is NaN."""
    rng = np.random.default_rng(0)
    shape = (400, 150) if quick else (2000, 500)
    X = rng.gamma(2, 1, (shape[0], K)) @ rng.gamma(2, 1, (K, shape[1]))
    X *= np.maximum(1 + noise * rng.standard_normal(shape), 0)
    X[rng.random(shape) < share] = np.nan
    return X


@functools.cache
def ratings(quick):
    """From 1 to 5, of one entry in a hundred."""
    rng = np.random.default_rng(0)
    shape = (2000, 500) if quick else (20000, 5000)
    X = sparse.csr_array(sparse.random_array(shape, density=0.1 if quick else 0.01, format="csr", rng=rng))
    X.data = rng.integers(1, 6, X.nnz).astype(float)
    return X


def run(X, solver, start, most):
    """Iterations, seconds and objectives of a fit."""
    W, H = start
    custom = {"W": W, "H": H, "init": "custom", "missing": "nan"}
    rows = []
    for step in iterate(X, K, solver=solver, tol=0, max_iter=most, max_time=LIMIT, **custom):
        if step.n_iter < 50 or step.n_iter % 10 == 0 or step.stop_reason is not None:
            rows.append((step.n_iter, step.seconds, step.objective().total))
    return np.array(rows)


def filling(X, start, goal, most):
    """Iterations and seconds until the objective is at the goal, or None."""
    W, H = (factor.copy() for factor in start)
    missing, seconds = np.isnan(X), 0.0
    for n_iter in range(1, most + 1):
        before = time.perf_counter()
        filled = np.where(missing, W @ H, X)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            W, H, _ = non_negative_factorization(
                filled, W=W, H=H, n_components=K, init="custom", solver="cd", tol=0, max_iter=1
            )
        seconds += time.perf_counter() - before
        if objective(X, W, H, missing="nan").total <= goal:
            return n_iter, seconds
        if seconds > FILLING_LIMIT:
            return None
    return None


def rows(options):
    for share, noise in CASES:
        name = f"2000 x 500, {share:.0%} NaN, noise {noise:g}"
        if options.wants(name):
            yield from rows_of_gaps(name, with_gaps(share, noise, options.quick), options)
    if options.wants("ratings 20000 x 5000, 1 % stored"):
        yield from rows_of_ratings(ratings(options.quick), options)


def rows_of_gaps(name, X, options):
    most = 10 if options.quick else 3000
    names = [solver for solver in SOLVERS if solver == "auto" or options.wants_solver(solver)]
    found = {solver: [] for solver in names}
    theirs, above = [], {solver: [] for solver in names}
    with Threads(options.n_threads):
        for seed in range(options.rounds):
            start = initialize(X, K, init="random", random_state=seed, missing="nan")
            runs = {solver: run(X, solver, start, most) for solver in names}
            best = min(points[:, 2].min() for points in runs.values())
            for solver, points in runs.items():
                at = reaches(points, GOAL * aim_of(points, best))
                found[solver].append((at, 1000 * points[-1, 1] / points[-1, 0]))
                above[solver].append(100 * (points[:, 2].min() / best - 1))
            theirs.append(filling(X, start, GOAL * best, most))
    baseline = median([at[1] if at else None for at in theirs], options.rounds)
    for solver in names:
        own = median([at[1] if at else None for at, _ in found[solver]], options.rounds)
        yield {
            "case": name,
            "solver": solver,
            "iterations": median([at[0] if at else None for at, _ in found[solver]], options.rounds),
            "seconds": own,
            "above": statistics.median(above[solver]),
            "ms": statistics.median(ms for _, ms in found[solver]),
            "gain": None if own is None or baseline is None else baseline / max(own, 1e-9),
        }
    yield {
        "case": name,
        "solver": "filling",
        "iterations": median([at[0] if at else None for at in theirs], options.rounds),
        "seconds": baseline,
        "above": None,
        "ms": statistics.median([1000 * at[1] / at[0] for at in theirs if at] or [0.0]),
        "gain": None if baseline is None else 1.0,
    }


def rows_of_ratings(X, options):
    n_iter = 2 if options.quick else 15
    calls = {
        "ccd, KL, all observed": {"solver": "ccd", "beta_loss": 1},
        "ccd, KL": {"solver": "ccd", "beta_loss": 1, "missing": "not stored"},
        "ccd": {"solver": "ccd", "missing": "not stored"},
        "mu": {"solver": "mu", "missing": "not stored"},
    }
    times = {name: [] for name in calls}
    with Threads(options.n_threads):
        for _ in range(options.rounds):
            for name, call in calls.items():
                more = {"init": "random", "random_state": 0, "tol": 0, "max_iter": n_iter, "trace": n_iter}
                times[name].append(1000 * fit(X, 20, **more, **call).trace.seconds[-1] / n_iter)
    ms = {name: statistics.median(values) for name, values in times.items()}
    for name in calls:
        yield {
            "case": "ratings 20000 x 5000, 1 % stored",
            "solver": name,
            "iterations": n_iter,
            "seconds": None,
            "above": None,
            "ms": ms[name],
            "gain": ms["ccd, KL, all observed"] / ms[name],
        }
