"""An iteration's time beside scikit-learn's, in turns in one process, with bars and floors."""

import statistics
import time
import warnings

import numba
import numpy as np
import threadpoolctl
from sklearn.decomposition import non_negative_factorization as theirs

from benchmarks import torch_peer
from benchmarks.cases import CASES, is_sparse
from benchmarks.report import COLOURS
from nmf_numba import non_negative_factorization as ours

TITLE = """Milliseconds per iteration, medians over turns.
ratio: times faster than scikit-learn, with the least and the greatest of all turns; bar: what it must be at least.
floor: the bare products of an iteration in BLAS, one after the other; for a CSR, two passes over its entries."""

COLUMNS = (
    ("case", "case", "<40"),
    ("threads", "threads", ">7"),
    ("ours_ms", "ms", ">8.2f"),
    ("sklearn_ms", "scikit-learn", ">12.2f"),
    ("ratio", "ratio", ">6.2f"),
    ("ratio_low", "from", ">6.2f"),
    ("ratio_high", "to", ">6.2f"),
    ("bar", "bar", ">5.1f"),
    ("met", "met", "<3"),
    ("floor_ms", "floor", ">8.2f"),
    ("of_floor", "of floor", ">8.2f"),
    ("torchnmf_ms", "torchnmf", ">8.2f"),
)

TABLE = (  # for the documentation
    ("case", "case", "<40"),
    ("threads", "threads", ">7"),
    ("ours_ms", "ms per iteration", ">16.2f"),
    ("sklearn_ms", "scikit-learn, ms", ">16.2f"),
    ("ratio", "times faster", ">12.2f"),
    ("ratio_low", "from", ">6.2f"),
    ("ratio_high", "to", ">6.2f"),
)

BARS_THREADS = 2  # the bars are for two threads
SECONDS = 1.0  # that a timed fit takes, about
LEAST = 8  # iterations: over fewer, the difference of two fits is mostly that of their starts
SHRINK = 10  # of both sides of X, in quick mode


def run(function, case, X, W, H, n_iter, settle):
    """Fit from the given start and return the result and the seconds it took."""
    time.sleep(settle)
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


def per_iteration(function, case, start, n_iter, settle, first=2):
    """Milliseconds of one of n_iter iterations after the first ones: two fits, so that checks and copies cancel."""
    _, short = run(function, case, *start, first, settle)
    _, long = run(function, case, *start, first + n_iter, settle)
    return 1000 * (long - short) / n_iter


def check_same_factors(case, start, other=theirs, tolerance=None):
    """Return the largest difference of the factors after three iterations, relative to their largest entry."""
    mine, _ = run(ours, case, *start, 3, 0)
    yours, _ = run(other, case, *start, 3, 0)
    difference = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(mine[:2], yours[:2], strict=True))
    if difference > (tolerance or (1e-9 if case.dtype == "float64" else 1e-3)):
        raise AssertionError(f"{case.name}: the factors differ by {difference:.2g}")
    return difference


def take_turns(case, start, options, functions=(ours, theirs)):
    """Milliseconds per iteration of each function, a list each with an entry for each turn."""
    if options.quick:
        return [[per_iteration(function, case, start, 2, 0)] for function in functions]
    guess = max(per_iteration(function, case, start, LEAST, options.settle) for function in functions) / 1000
    n_iter = int(min(300, max(LEAST, SECONDS / max(guess, 1e-5))))
    turns = [[per_iteration(f, case, start, n_iter, options.settle) for f in functions] for _ in range(options.rounds)]
    return [list(times) for times in zip(*turns, strict=True)]


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


class Threads:
    """Numba and BLAS with that many threads inside the `with` block."""

    def __init__(self, n_threads):
        self.n_threads = n_threads

    def __enter__(self):
        self.before = numba.get_num_threads()
        numba.set_num_threads(self.n_threads)
        self.blas = threadpoolctl.threadpool_limits(self.n_threads, user_api="blas")

    def __exit__(self, *_):
        self.blas.restore_original_limits()
        numba.set_num_threads(self.before)


def measure(case, n_threads, options):
    """One row of the table."""
    start = case.make(SHRINK if options.quick else 1)
    with Threads(n_threads):
        difference = check_same_factors(case, start)
        mine, yours = take_turns(case, start, options)
        bare = floor(case, *start, options.rounds)
        torch_ms = None
        if torch_peer.supports(case):
            torch_peer.set_threads(n_threads)
            check_same_factors(case, start, torch_peer.factorize, 1e-3)
            torch_ms = statistics.median(take_turns(case, start, options, (torch_peer.factorize,))[0])
    ratios = [y / m for m, y in zip(mine, yours, strict=True)]
    ratio, bar = statistics.median(ratios), case.bar if n_threads == BARS_THREADS and not options.quick else None
    return {
        "case": case.name,
        "threads": n_threads,
        "ours_ms": statistics.median(mine),
        "ours_low": min(mine),
        "ours_high": max(mine),
        "sklearn_ms": statistics.median(yours),
        "sklearn_low": min(yours),
        "sklearn_high": max(yours),
        "ratio": ratio,
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "bar": bar,
        "met": None if bar is None else "yes" if ratio >= bar else "no",
        "floor_ms": bare,
        "of_floor": statistics.median(mine) / bare,
        "torchnmf_ms": torch_ms,
        "difference": difference,
    }


def rows(options):
    for case in CASES:
        if options.wants(case.name):
            for n_threads in options.threads:
                yield measure(case, n_threads, options)


def figure(rows):
    """Bars of the ratio, with the range over turns, and a mark where it must be at least."""
    from matplotlib.figure import Figure  # noqa: PLC0415

    most = max(row["threads"] for row in rows)
    rows = [row for row in rows if row["threads"] == most][::-1]
    figure = Figure(figsize=(9, 1.2 + 0.3 * len(rows)), layout="constrained")
    ax = figure.subplots()
    places = range(len(rows))
    ratios = [row["ratio"] for row in rows]
    spread = [[row["ratio"] - row["ratio_low"] for row in rows], [row["ratio_high"] - row["ratio"] for row in rows]]
    ax.barh(places, [ratio - 1 for ratio in ratios], left=1, color=COLOURS[0], height=0.6, label="median")
    ax.errorbar(ratios, places, xerr=spread, fmt="none", ecolor="black", elinewidth=1, capsize=2, label="all turns")
    bars = [(row["bar"], place) for place, row in zip(places, rows, strict=True) if row["bar"] is not None]
    if bars:
        ax.plot(*zip(*bars, strict=True), "|", color=COLOURS[1], markersize=13, markeredgewidth=2.5, label="the bar")
    ax.axvline(1, color="black", linewidth=1, linestyle=":")
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_yticks(places, [row["case"] for row in rows])
    ax.set_xlabel(f"times faster than scikit-learn, per iteration (no unit, log scale, {most} threads)")
    ax.legend(loc="lower right")
    return figure
