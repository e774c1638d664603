"""Compile every kernel once, so that no later fit waits for it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from nmf_numba.problem import Problem, twin
from nmf_numba.solvers import SOLVERS
from nmf_numba.validation import check_X

N_FEATURES = 2048  # so many that the renewal of H is split into chunks too
LAYOUTS = ("dense", "csr", "csr, 64-bit indices")
DTYPES = (np.float32, np.float64)
BETAS = (2.0, 3.0)  # kernels are compiled without powers and with them


def make_problem(layout: str, dtype: Any, n_features: int) -> Problem:
    """Return a tiny problem of these types."""
    X: Any = np.ones((2, n_features), dtype)
    if layout != "dense":
        X = sparse.csr_array(X)
        if layout != "csr":
            X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    return Problem(check_X(X))


def tasks() -> Iterator[tuple[str, Any]]:
    """Yield the name of each piece of work, and the function that does it."""
    functions = twin("nmf_numba.objective", "numba")
    for layout, dtype, n_chunks in itertools.product(LAYOUTS, DTYPES, (1, 2)):
        problem = make_problem(layout, dtype, 1 if n_chunks == 1 else N_FEATURES)
        W, Ht = np.ones((2, 1), dtype), np.ones((problem.X.shape[1], 1), dtype)
        bounds = np.linspace(0, 2, n_chunks + 1).astype(np.intp)
        what = f"{layout}, {np.dtype(dtype)}, {'one chunk' if n_chunks == 1 else 'several chunks'}"
        for solver, beta in itertools.product(SOLVERS, BETAS):
            of_beta = dataclasses.replace(problem, beta=beta)
            if solver.supports(of_beta) is not None:
                continue
            kernels = twin(solver.__module__.rpartition(".")[0], "numba")
            instance = solver(of_beta, 1, kernels, shuffle=False, rng=None)
            instance.bounds = bounds
            name = f"{solver.name}, beta = {beta:g}: {what}"
            yield name, lambda s=instance, W=W, Ht=Ht: s.warm_up(W, Ht, update_H=True)

        def evaluate(problem: Problem = problem, W: Any = W, Ht: Any = Ht, bounds: Any = bounds) -> None:
            for kind in {W.dtype, np.dtype(np.float64)}:
                divergence = getattr(functions, f"divergence_{problem.layout}")
                for beta in BETAS:
                    divergence(*problem.arrays, W.astype(kind), Ht.astype(kind), beta, bounds)
                functions.penalties(W.astype(kind), 1.0, 1.0)

        yield f"objective: {what}", evaluate
