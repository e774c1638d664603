"""Every solver on the data that `python -m benchmarks convergence` measures, made small, with and without penalties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from benchmarks.convergence import CASES, DATA, Case
from nmf_numba import fit, initialize
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS, choose
from nmf_numba.validation import check_X

ROWS = 60


def small(case: Case) -> Any:
    """Some rows of the data; columns that are empty then stay."""
    X = DATA[case.kind](1 if case.kind in ("digits", "piano") else 40)
    return X[:: max(1, X.shape[0] // ROWS)]


def make_problem(case: Case, X: Any) -> Problem:
    penalties: dict[str, float] = {"alpha_W": 0.0, "l1_ratio": 0.0} | case.penalties
    alpha, l1_ratio = penalties["alpha_W"], penalties["l1_ratio"]
    return Problem.scaled(check_X(X), case.beta, alpha, alpha, l1_ratio)


KINDS = {case.name: case for case in CASES}
for kind, beta in {(case.kind, case.beta) for case in CASES}:
    for penalty in ("L1", "L2"):
        case = Case(kind, beta, 5, 10, penalty)
        KINDS[case.name] = case


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_solver_agrees_and_descends(name: str) -> None:
    case = KINDS[name]
    X = small(case)
    problem = make_problem(case, X)
    W, H = initialize(X, 5, init="random", random_state=0)
    options: dict[str, Any] = {"beta_loss": case.beta, "tol": 0, "init": "custom", "W": W, "H": H}
    options |= case.penalties
    for solver in [*SOLVERS.values(), choose(problem)]:
        if solver.supports(problem) is not None:
            continue
        compiled, equation = (
            fit(X, 5, solver=solver, engine=engine, max_iter=2, **options) for engine in ("numba", "reference")
        )
        np.testing.assert_allclose(compiled.W @ compiled.H, equation.W @ equation.H, rtol=1e-6, atol=1e-8 * X.max())
        trace = fit(X, 5, solver=solver, max_iter=30, trace=True, **options).trace
        assert trace is not None
        if solver.descends(problem):
            assert np.diff(trace.objective).max() <= 1e-10 * trace.objective[0], solver.name
        assert trace.objective[-1] < trace.objective[0]


def test_layouts_are_those_of_the_cases() -> None:
    assert {case.kind for case in CASES if sparse.issparse(small(case))} == {"csr", "topics"}
