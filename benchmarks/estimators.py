"""Whole calls of the estimators beside scikit-learn's, in turns in one process: fits, and what follows a fit."""

import statistics
import time
import warnings

import numpy as np
from sklearn import decomposition as theirs

from benchmarks.cases import Case
from benchmarks.speed import SHRINK, Threads
from nmf_numba import estimators as ours

TITLE = """Milliseconds of a whole call, medians over turns; both sides return the same factors.
A short call is repeated for 50 ms: the first one after a rest may wait 10 ms for the second thread to wake up.
ratio: times faster than scikit-learn, with the least and the greatest of all turns."""

COLUMNS = (
    ("call", "call", "<34"),
    ("case", "case", "<36"),
    ("ours_ms", "ms", ">8.2f"),
    ("sklearn_ms", "scikit-learn", ">12.2f"),
    ("ratio", "ratio", ">6.2f"),
    ("ratio_low", "from", ">6.2f"),
    ("ratio_high", "to", ">6.2f"),
)

N_ITER = 10
BATCH = 1000
LONG = 50.0  # milliseconds for which a call is repeated
FEW = 10  # rows, as a server gets them

CASES = tuple(
    Case(kind, "float64", solver, beta, 10 if kind == "digits" else 20)
    for kind in ("dense", "csr", "digits")
    for solver, beta in (("cd", 2.0), ("mu", 2.0), ("mu", 1.0))
)


def nmf(module, case, **more):
    options = {"init": "custom", "max_iter": N_ITER, "tol": 0} | more
    return module.NMF(case.k, solver=case.solver, beta_loss=case.beta, random_state=0, **options)


def mini_batch(module, case):
    options = {"init": "custom", "max_iter": 3, "tol": 0, "max_no_improvement": None}
    return module.MiniBatchNMF(case.k, beta_loss=case.beta, batch_size=BATCH, random_state=0, **options)


def fit_transform(model, X, W, H):
    return lambda: model.fit_transform(X, W=W.copy(), H=H.copy())


def transform(model, X, W, H):
    model.fit(X, W=W.copy(), H=H.copy())
    return lambda: model.transform(X)


def transform_few(model, X, W, H):
    model.fit(X, W=W.copy(), H=H.copy())
    model.set_params(max_iter=200, tol=1e-4)
    return lambda: model.transform(X[:FEW])


def partial_fit(model, X, W, H):
    def run():
        for start in range(0, X.shape[0], BATCH):
            rows = slice(start, start + BATCH)
            more = {"W": W[rows].copy(), "H": H.copy()} if start == 0 else {}
            model.partial_fit(X[rows], **more)
        return model.components_

    return run


CALLS = {
    f"NMF.fit_transform, {N_ITER} iterations": (nmf, fit_transform),
    f"NMF.transform, {N_ITER} iterations": (nmf, transform),
    f"NMF.transform, {FEW} rows": (nmf, transform_few),
    "MiniBatchNMF.fit_transform": (mini_batch, fit_transform),
    "MiniBatchNMF.partial_fit, one pass": (mini_batch, partial_fit),
    "MiniBatchNMF.transform": (mini_batch, transform),
}


def timed(make, work, module, case, start, options):
    """The result of the first call, and milliseconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = work(make(module, case), *start)
        time.sleep(options.settle)
        results, milliseconds = [], []
        while not results or sum(milliseconds) < (0 if options.quick else LONG):
            before = time.perf_counter()
            result = run()
            milliseconds.append(1000 * (time.perf_counter() - before))
            results.append(result.copy())  # scikit-learn's next partial_fit changes it
        return results[0], statistics.median(milliseconds)


def rows(options):
    cases = CASES[-1:] if options.quick else CASES
    for call, (make, work) in CALLS.items():
        for case in cases:
            if not options.wants(f"{call} {case.name}") or (make is mini_batch and case.solver == "cd"):
                continue
            start = case.make(SHRINK if options.quick else 1)
            with Threads(options.n_threads):
                mine, yours = (timed(make, work, module, case, start, options)[0] for module in (ours, theirs))
                difference = float(np.abs(mine - yours).max() / np.abs(yours).max())
                if difference > 1e-6:
                    raise AssertionError(f"{call}, {case.name}: the results differ by {difference:.2g}")
                turns = [
                    [timed(make, work, module, case, start, options)[1] for module in (ours, theirs)]
                    for _ in range(options.rounds)
                ]
            ratios = [y / m for m, y in turns]
            yield {
                "call": call,
                "case": case.name,
                "threads": options.n_threads,
                "ours_ms": statistics.median(m for m, _ in turns),
                "sklearn_ms": statistics.median(y for _, y in turns),
                "ratio": statistics.median(ratios),
                "ratio_low": min(ratios),
                "ratio_high": max(ratios),
                "difference": difference,
            }
