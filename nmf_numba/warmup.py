"""Compile every kernel once, so that no later fit waits for it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse

from nmf_numba.gradient.residual import kkt_residual
from nmf_numba.loop import Run
from nmf_numba.losses.objective import evaluate
from nmf_numba.options import DEFAULT
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.validation import check_X

N_FEATURES = 4096  # so many that H is updated in chunks too
LAYOUTS = ("dense", "csr")
DTYPES = (np.float32, np.float64)
BETAS = (2.0, 1.0, 1.3)


def tasks() -> Iterator[tuple[str, Any]]:
    """Yield the name of each piece of work, and the function that does it."""
    for layout, dtype in itertools.product(LAYOUTS, DTYPES):
        X: Any = np.ones((4, N_FEATURES), dtype)
        problem = Problem(check_X(sparse.csr_array(X) if layout == "csr" else X))
        problem.set_bounds(2, [0, 2, 4])  # several chunks
        W, Ht = np.ones((4, 2), dtype), np.ones((N_FEATURES, 2), dtype)  # one column would be C- and F-contiguous
        for solver, beta, update_H in itertools.product(SOLVERS.values(), BETAS, (True, False)):
            of_beta = dataclasses.replace(problem, beta=beta, update_H=update_H)
            of_beta.set_bounds(2, [0, 2, 4])
            if solver.supports(of_beta) is None:
                run = Run(of_beta, solver, W, Ht, None, DEFAULT)
                name = f"{solver.name}, beta = {beta:g}{'' if update_H else ', H kept'}: {layout}, {np.dtype(dtype)}"
                yield name, run.warm_up
        for beta in BETAS:
            of_beta = dataclasses.replace(problem, beta=beta)
            yield (
                f"KKT residual, beta = {beta:g}: {layout}, {np.dtype(dtype)}",
                lambda p=of_beta, W=W, Ht=Ht: kkt_residual(p, W, Ht),
            )
            yield (
                f"objective, beta = {beta:g}: {layout}, {np.dtype(dtype)}",
                lambda p=of_beta, W=W, Ht=Ht: evaluate(p, W, Ht),
            )
