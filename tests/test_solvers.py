"""What every solver in SOLVERS must do; a new one is tested here without a line of its own.

Agreement with its reference is in test_agreement.py, descent in test_descent.py.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from conftest import LAYOUTS, make_X

from nmf_numba import Factorization, fit, iterate, objective
from nmf_numba.estimators import NMF
from nmf_numba.problem import Float, Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.hals.solver import HALS
from nmf_numba.solvers.solver import AlternatingSolver, RowPassSolver, Solver, State
from nmf_numba.validation import check_X

BETAS = (2.0, 1.0, 0.0, 1.5, 0.5, 3.0)
PENALTY: dict[str, Any] = {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.4}
START: dict[str, Any] = {"init": "random", "random_state": 0}


def supported(layout: str, beta: float) -> list[str]:
    """The solvers that do not refuse this problem."""
    problem = Problem(check_X(make_X(beta=beta, layout=layout)), beta)
    return [name for name, solver in SOLVERS.items() if solver.supports(problem) is None]


CASES = [
    pytest.param(name, beta, layout, id=f"{name}-{beta:g}-{layout}")
    for layout, beta in itertools.product(("dense", "csr"), BETAS)
    for name in supported(layout, beta)
]
each_case = pytest.mark.parametrize(("solver", "beta", "layout"), CASES)
each_solver = pytest.mark.parametrize("solver", SOLVERS)


def options(solver: str, beta: float, **more: Any) -> dict[str, Any]:
    return {"solver": solver, "beta_loss": beta, "tol": 0, "max_iter": 20, **more}


def same(a: Factorization, b: Factorization) -> bool:
    """Whether two results are equal to the last bit."""
    return bool(np.array_equal(a.W, b.W) and np.array_equal(a.H, b.H))


def beta_of(solver: str) -> float:
    """A loss that a solver supports."""
    return next(beta for beta in BETAS if solver in supported("dense", beta))


def test_names_are_keys() -> None:
    for name, solver in SOLVERS.items():
        assert solver.name == name
        assert solver.title
        assert dataclasses.is_dataclass(solver)
        assert solver.__dataclass_params__.frozen  # type: ignore[attr-defined]  # its state is not on the solver


@each_case
def test_fifty_and_fifty_are_a_hundred(solver: str, beta: float, layout: str) -> None:
    """A result holds all that its solver keeps, and going on from it leaves it as it was."""
    X, kwargs = make_X(beta=beta, layout=layout), options(solver, beta, **PENALTY)
    whole = fit(X, 3, **(kwargs | {"max_iter": 100}), **START)
    half = fit(X, 3, **(kwargs | {"max_iter": 50}), **START)
    before = half.W.copy(), half.H.copy()
    for _ in range(2):
        assert same(fit(X, 3, **(kwargs | {"max_iter": 50}), resume=half), whole)
        assert np.array_equal(half.W, before[0])
        assert np.array_equal(half.H, before[1])


@each_solver
def test_state_belongs_to_one_fit(solver: str) -> None:
    """Two fits with one instance, step by step in turn, are each what they are alone."""
    beta, instance = beta_of(solver), SOLVERS[solver]
    matrices = [make_X(beta=beta, seed=seed) for seed in (8, 9)]
    alone = [[step.W for step in iterate(X, 3, **options(solver, beta), **START)] for X in matrices]
    runs = [iterate(X, 3, **options(solver, beta) | {"solver": instance}, **START) for X in matrices]
    in_turn = list(zip(*runs, strict=True))
    for which, expected in enumerate(alone):
        for pair, W in zip(in_turn, expected, strict=True):
            assert np.array_equal(pair[which].W, W)


@each_case
def test_dense_is_csr(solver: str, beta: float, layout: str) -> None:
    """To rounding: over few iterations, since an exact zero on one side and 1e-17 on the other part ways later."""
    kwargs = options(solver, beta, max_iter=3, **PENALTY)
    dense, csr = (fit(make_X(beta=beta, layout=each), 3, **kwargs, **START) for each in ("dense", "csr"))
    np.testing.assert_allclose(csr.W, dense.W, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(csr.H, dense.H, rtol=1e-8, atol=1e-10)


@each_case
def test_any_number_of_threads(solver: str, beta: float, layout: str) -> None:
    X = make_X((3000, 300), beta=beta, layout=layout)
    one, two = (fit(X, 12, **options(solver, beta, max_iter=3, n_threads=n), **START) for n in (1, None))
    assert same(one, two)


@each_case
def test_inputs_stay_as_they_were(solver: str, beta: float, layout: str) -> None:
    X, rng = make_X(beta=beta, layout=layout), np.random.default_rng(0)
    W, H = rng.random((40, 3)) + 0.1, rng.random((3, 15)) + 0.1
    arrays = [W, H, X] if layout == "dense" else [W, H, X.data, X.indices, X.indptr]
    before = [array.copy() for array in arrays]
    for more in ({"W": W, "H": H, "init": "custom"}, {"H": H, "update_H": False}):
        result = fit(X, 3, **options(solver, beta, max_iter=2), **more)
        for array, copy in zip(arrays, before, strict=True):
            assert np.array_equal(array, copy)
            assert not np.shares_memory(array, result.W)
            assert not np.shares_memory(array, result.H)


@each_case
def test_hostile_values(solver: str, beta: float, layout: str) -> None:
    """Zero rows and columns, one component, more components than features, float32: finite and non-negative."""
    X = make_X(beta=beta)
    if beta > 0:
        X[3], X[:, 5] = 0, 0
    as_layout = (lambda A: A) if layout == "dense" else type(make_X(layout="csr"))
    for A, k in ((X, 1), (X, 20), (X[:1], 2), (X[:, :1], 2), (X.astype(np.float32), 3), (1e6 * X, 3)):
        with np.errstate(all="raise", under="ignore"):
            result = fit(as_layout(A), k, **options(solver, beta, max_iter=5), **START)
        assert result.W.dtype == result.H.dtype == A.dtype
        for factor in (result.W, result.H):
            assert np.isfinite(factor).all()
            assert (factor >= 0).all()


@each_case
def test_the_engines_agree(solver: str, beta: float, layout: str) -> None:
    X = make_X(beta=beta, layout=layout)
    kwargs = options(solver, beta, max_iter=3, **PENALTY)
    numba, reference = (fit(X, 3, engine=engine, **kwargs, **START) for engine in ("numba", "reference"))
    np.testing.assert_allclose(numba.W, reference.W, rtol=1e-8, atol=1e-10)


@each_case
def test_H_kept(solver: str, beta: float, layout: str) -> None:
    """H is what was passed, and W comes near the best for it."""
    X, H = make_X(beta=beta, layout=layout), np.random.default_rng(0).random((3, 15)) + 0.1
    results = [fit(X, 3, H=H, update_H=False, **options(solver, beta, max_iter=n)) for n in (5, 300)]
    losses = [objective(X, result.W, result.H, beta_loss=beta).total for result in results]
    assert np.array_equal(results[0].H, H)
    assert losses[1] <= losses[0] * (1 + 1e-9)


@each_solver
def test_a_known_factorization_is_recovered(solver: str) -> None:
    """Each component has a row and a column of its own, so the factorization is unique but for order and scale."""
    rng, beta = np.random.default_rng(0), beta_of(solver)
    W = np.vstack([np.eye(3), np.eye(3), rng.random((20, 3)) * (rng.random((20, 3)) < 0.5)])
    H = np.hstack([np.eye(3), np.eye(3), rng.random((3, 15)) * (rng.random((3, 15)) < 0.5)])
    X = W @ H
    best = min(
        (fit(X, 3, **options(solver, beta, max_iter=3000), init="random", random_state=seed) for seed in range(5)),
        key=lambda result: objective(X, result.W, result.H, beta_loss=beta).total,
    )
    found = best.H / best.H.max(axis=1, keepdims=True)
    truth = H / H.max(axis=1, keepdims=True)
    distance = np.abs(found[:, np.newaxis] - truth).max(axis=2)
    assert sorted(distance.argmin(axis=1)) == [0, 1, 2]
    assert distance.min(axis=1).max() < 0.02


@each_solver
def test_sums_add(solver: str) -> None:
    """A row pass over two parts of the rows gives sums that add up to those of the whole, and the same W."""
    instance, beta = SOLVERS[solver], beta_of(solver)
    if not isinstance(instance, RowPassSolver):
        return
    problem, rng = Problem(check_X(make_X(beta=beta)), beta), np.random.default_rng(0)
    W, Ht = rng.random((40, 3)) + 0.1, rng.random((15, 3)) + 0.1
    whole, parts = W.copy(), W.copy()
    expected = instance.row_pass(problem, instance.init(problem, whole, Ht.copy()))
    sums = [
        instance.row_pass(rows, instance.init(rows, parts[start:stop], Ht.copy()))
        for start, stop in ((0, 13), (13, 40))
        for rows in [problem.rows(start, stop)]
    ]
    added = sums[0] + sums[1]
    np.testing.assert_allclose(parts, whole, rtol=1e-12)
    for a, b in zip(added.arrays, expected.arrays, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10)


# Solvers of one's own, as in a notebook cell. The first two are right, and the tests above would pass for them.


@dataclasses.dataclass(frozen=True)
class ProjectedGradient(Solver):
    """A Solver in NumPy only."""

    name, title = "pg", "Projected gradient"
    shrink: float = 1.0

    def step(self, problem: Problem, state: State) -> State:
        for _ in range(2):
            gram = state.Ht.T @ state.Ht
            X = problem.X if state.W.shape[0] == problem.X.shape[0] else problem.X.T
            gradient = state.W @ gram - X @ state.Ht
            state.W[:] = np.maximum(state.W - self.shrink * gradient / gram.sum(axis=1).max(), 0)
            state.W, state.Ht = state.Ht, state.W
        return state


@dataclasses.dataclass(frozen=True)
class LeastSquares(AlternatingSolver):
    """Both halves are one function: the least-squares solution, cut at zero."""

    name, title = "als", "Alternating least squares"

    def update(self, problem: Problem, W: Float, Ht: Float, state: State) -> float:
        W[:] = np.maximum(np.linalg.lstsq(Ht, problem.X.T, rcond=None)[0].T, 0)
        return float("nan")


@dataclasses.dataclass(eq=False)
class Counting(State):
    n_steps: int = 0


@dataclasses.dataclass(frozen=True)
class Steps(ProjectedGradient):
    """Keeps something: how many steps it has done. `forgets`: like a solver that does not carry it on."""

    forgets: bool = False

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> Counting:
        return Counting(W, Ht, rng)

    def step(self, problem: Problem, state: Any) -> State:
        state = super().step(problem, state)
        state.W *= 1 + 0.5 ** (2 + state.n_steps)  # any use of what is kept
        if not self.forgets:
            state.n_steps += 1
        return state


@pytest.mark.parametrize("solver", [ProjectedGradient(shrink=0.9), LeastSquares(), Steps()])
def test_an_instance_of_ones_own(solver: Solver) -> None:
    X = make_X()
    result = fit(X, 3, solver=solver, max_iter=30, tol=0, trace=10, **START)
    assert result.trace is not None
    assert list(result.trace.iteration[:2]) == [0, 10]
    assert result.trace.objective[-1] < result.trace.objective[0]
    first, rest = (fit(X, 3, solver=solver, max_iter=n, tol=0, **START) for n in (4, 9))
    assert same(fit(X, 3, solver=solver, max_iter=5, tol=0, resume=first), rest)


def test_halves_of_an_alternating_solver() -> None:
    steps = list(iterate(make_X(), 3, solver=LeastSquares(), max_iter=2, tol=0, every="half", **START))
    assert [(step.n_iter, step.half) for step in steps] == [(0, None), (1, "W"), (1, "H"), (2, "W"), (2, "H")]
    whole = list(iterate(make_X(), 3, solver=ProjectedGradient(), max_iter=2, tol=0, every="half", **START))
    assert [(step.n_iter, step.half) for step in whole] == [(0, None), (1, None), (2, None)]


def test_a_solver_that_forgets_its_state_is_found() -> None:
    """The resuming test compares with what a right solver does: one that keeps its count apart from the state fails."""

    counts: dict[int, int] = {}

    @dataclasses.dataclass(frozen=True)
    class OnTheSide(Steps):
        def step(self, problem: Problem, state: Any) -> State:
            state.n_steps = counts[id(state)] = counts.get(id(state), -1) + 1
            return super().step(problem, state)

    X = make_X()
    for solver, holds in ((Steps(), True), (OnTheSide(forgets=True), False)):
        first, whole = (fit(X, 3, solver=solver, max_iter=n, tol=0, **START) for n in (4, 8))
        assert same(fit(X, 3, solver=solver, max_iter=4, tol=0, resume=first), whole) is holds


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"solver": "mu"}, "resume comes from a fit with solver="),
        ({"init": "random"}, "leave out W, H and init"),
        ({"X": make_X((39, 15))}, "resume comes from a fit of an X of shape"),
    ],
)
def test_resume_refuses_what_does_not_fit(change: dict[str, Any], text: str) -> None:
    result = fit(make_X(), 3, max_iter=2, tol=0, **START)
    with pytest.raises(ValueError, match=text):
        fit(**({"X": make_X(), "n_components": 3, "max_iter": 2, "tol": 0, "resume": result} | change))


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"sweeps": 0}, ValueError, "sweeps must be an integer >= 1. Found 0."),
        ({"sweeps": 2.0}, TypeError, "sweeps must be an integer >= 1. Found 2.0"),
        ({"extrapolation": 1.5}, ValueError, "extrapolation must be a number from 0 to 1. Found 1.5."),
    ],
)
def test_options_of_hals_are_checked(change: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        HALS(**change)


def test_hals_with_other_options() -> None:
    """Names are options: the same numbers. A given H is not passed by."""
    X = make_X((40, 60))
    for name, option in (("ahals", HALS(sweeps=5)), ("ehals", HALS(sweeps=5, extrapolation=0.8))):
        assert same(*(fit(X, 3, solver=each, max_iter=20, tol=0, **START) for each in (name, option)))
    H = np.random.default_rng(0).random((3, 60))
    kept = [fit(X, 3, solver=name, H=H, update_H=False, max_iter=5, tol=0) for name in ("ahals", "ehals")]
    assert same(*kept)


def test_a_class_is_not_an_instance() -> None:
    with pytest.raises(TypeError, match=r"write ProjectedGradient\(\)"):
        fit(make_X(), 3, solver=ProjectedGradient)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("share", "of_zeros", "of_gaps"),
    [(0.0, "mue", "ehals"), (0.3, "mue", "ehals"), (0.6, "ccd", "ehals"), (0.95, "ccd", "ccd")],
)
def test_auto_looks_at_what_is_zero_or_missing(share: float, of_zeros: str, of_gaps: str) -> None:
    """Coordinate descent visits the other entries only."""
    rng = np.random.default_rng(0)
    X = rng.random((2000, 200)) + 0.1
    at = rng.random(X.shape) < share
    options: dict[str, Any] = {"random_state": 0, "max_iter": 1, "tol": 0}
    assert fit(np.where(at, 0, X), 2, beta_loss=1, **options).parameters["solver"] == of_zeros
    assert fit(np.where(at, np.nan, X), 2, missing="nan", **options).parameters["solver"] == of_gaps


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("beta", [2, 1, 0, 0.5, 1.5, 3, -1])
@pytest.mark.parametrize("alpha", [0.0, 0.01])
def test_auto_chooses_what_supports_the_problem(alpha: float, beta: float, layout: str) -> None:
    """And says which; NMF takes it too; with an L2 penalty it is one that does not trust the ratio."""
    X = make_X(beta=beta, layout=layout)
    options: dict[str, Any] = {"solver": "auto", "beta_loss": beta, "random_state": 0, "alpha_W": alpha, "tol": 0}
    result = fit(X, 3, max_iter=40, **options)
    assert result.parameters["solver"] in SOLVERS
    start = fit(X, 3, max_iter=1, **options).objective.total
    plain = fit(X, 3, max_iter=40, **(options | {"solver": "mu"})).objective.total
    assert result.objective.total < min(start, 1.02 * plain)
    model = NMF(3, solver="auto", beta_loss=beta, random_state=0, max_iter=5, tol=0).fit(X)
    assert model.components_.shape == (3, 15)
