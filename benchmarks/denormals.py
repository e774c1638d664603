"""Whether long fits slow down as entries decay towards zero: iterations 451 to 500 beside 1 to 50, on the digits."""

import statistics

import numpy as np

from benchmarks.cases import Case, make_X, with_start
from benchmarks.speed import Threads, check_same_factors, per_iteration, theirs
from nmf_numba import iterate

TITLE = """Milliseconds per iteration on the digits (1797 x 64, k = 10), medians over turns, early and late.
growth: late over early. denormal: entries of W and H between zero and the dtype's smallest normal number."""

COLUMNS = (
    ("case", "case", "<34"),
    ("early_ms", "1 to 50", ">8.3f"),
    ("late_ms", "451 to 500", ">10.3f"),
    ("growth", "growth", ">6.2f"),
    ("zeros", "zeros", ">7.1%"),
    ("denormal", "denormal", ">8"),
    ("sklearn_growth", "scikit-learn's growth", ">21.2f"),
)

CASES = tuple(
    Case("digits", dtype, solver, beta, 10)
    for solver, beta in (("cd", 2.0), ("mu", 2.0), ("mu", 1.0), ("mu", 0.5), ("mu", 1.5), ("mu", 3.0))
    for dtype in ("float64", "float32")
)
SPAN = 50


def ours(case, X, W, H, last):
    """Milliseconds per iteration early and late, and the factors at the end."""
    seconds = []
    for step in iterate(
        X, case.k, W=W, H=H, init="custom", solver=case.solver, beta_loss=case.beta, tol=0, max_iter=last
    ):
        seconds.append(step.seconds)
    early, late = seconds[SPAN] - seconds[0], seconds[-1] - seconds[-1 - SPAN]
    return 1000 * early / SPAN, 1000 * late / SPAN, step


def rows(options):
    last = 2 * SPAN if options.quick else 500
    for case in CASES[2:4] if options.quick else CASES:
        if not options.wants(case.name):
            continue
        start = with_start(make_X("digits", case.dtype), case.k)
        with Threads(options.n_threads):
            difference = check_same_factors(case, start)
            turns, growths = [], []
            for _ in range(options.rounds):
                *times, step = ours(case, *start, last)
                turns.append(times)
                early = per_iteration(theirs, case, start, SPAN - 1, options.settle, first=1)
                growths.append(per_iteration(theirs, case, start, SPAN, options.settle, first=last - SPAN) / early)
        early, late = (statistics.median(times) for times in zip(*turns, strict=True))
        entries = np.concatenate([step.W.ravel(), step.H.ravel()])
        yield {
            "case": case.name,
            "threads": options.n_threads,
            "early_ms": early,
            "late_ms": late,
            "growth": statistics.median(b / a for a, b in turns),
            "zeros": float((entries == 0).mean()),
            "denormal": int(((entries > 0) & (entries < np.finfo(entries.dtype).tiny)).sum()),
            "sklearn_growth": statistics.median(growths),
            "difference": difference,
        }
