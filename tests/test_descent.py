"""The objective falls wherever a solver says so, and it is what its formula says."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from conftest import LAYOUTS
from scipy.special import kl_div

from nmf_numba import beta_divergence, iterate, non_negative_factorization, objective
from nmf_numba.datasets import load_docstrings, make_piano
from nmf_numba.losses.reference import weights
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.ccd.solver import CyclicCoordinateDescent
from nmf_numba.solvers.mu.solver import MultiplicativeUpdates
from nmf_numba.validation import check_X

BETAS = [2, 1, 0, 0.5, 1.5, 3, -1]
PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "L1": {"alpha_W": 0.02, "l1_ratio": 1.0},
    "L2": {"alpha_W": 0.02},
    "mixed": {"alpha_W": 0.01, "alpha_H": 0.03, "l1_ratio": 0.3},
    "L2 on H": {"alpha_H": 0.02},
}
ROUNDING = 1e-12  # of a difference of two sums of a few hundred terms, relative to the sums


def positive(layout: str, beta: float, shape: tuple[int, int] = (14, 9)) -> Any:
    """Entries in [0.1, 10], so that WH stays far above the floors; a CSR has zeros where the loss allows them."""
    rng = np.random.default_rng(1)
    X = 10 ** rng.uniform(-1, 1, shape)
    if layout == "csr" and beta > 0:
        X[rng.random(shape) < 0.3] = 0
    return LAYOUTS[layout](X)


def make_problem(X: Any, beta: float, penalty: dict[str, float]) -> Problem:
    alpha_W = penalty.get("alpha_W", 0.0)
    return Problem.scaled(check_X(X), beta, alpha_W, penalty.get("alpha_H", alpha_W), penalty.get("l1_ratio", 0.0))


@pytest.mark.parametrize(("beta", "alpha", "l1_ratio"), [(0, 0.01, 1.0), (0, 0.01, 0.0), (1, 1.0, 0.0)])
def test_what_auto_takes_does_not_oscillate(beta: float, alpha: float, l1_ratio: float) -> None:
    """With exponent 1 the piano rose 132 times; with L2 added to the ratio, the docstrings ended above their start."""
    X = make_piano().X if beta == 0 else load_docstrings().X[::4].toarray()
    steps = iterate(
        X, 8, beta_loss=beta, alpha_W=alpha, l1_ratio=l1_ratio, init="random", random_state=0, tol=0, max_iter=150
    )
    objectives = [step.objective().total for step in steps if step.n_iter % 10 == 0]
    assert max(later / earlier for earlier, later in pairwise(objectives)) <= 1 + 1e-12


def test_exponent_1_with_l2_below_1_is_refused() -> None:
    solver = MultiplicativeUpdates(exponent=1)
    for beta, refused in ((0.0, True), (0.5, True), (1.0, False), (1.5, False)):
        problem = make_problem(positive("dense", beta), beta, PENALTIES["L2"])
        assert (solver.supports(problem) is not None) == refused
        assert solver.supports(make_problem(positive("dense", beta), beta, PENALTIES["L1"])) is None


def claims() -> list[Any]:
    """Every solver, loss, penalty and layout for which descent is claimed."""
    found = []
    for solver in SOLVERS.values():
        for beta in BETAS:
            for name, penalty in PENALTIES.items():
                for layout in LAYOUTS:
                    problem = make_problem(positive(layout, beta), beta, penalty)
                    if solver.supports(problem) is None and solver.descends(problem):
                        found.append(
                            pytest.param(solver.name, beta, penalty, layout, id=f"{solver.name}-{beta}-{name}-{layout}")
                        )
    return found


CLAIMS = claims()
each_claim = pytest.mark.parametrize(("solver", "beta", "penalty", "layout"), CLAIMS)


def totals(X: Any, max_iter: int, **kwargs: Any) -> list[float]:
    kwargs = {"n_components": 3, "init": "random", "random_state": 0, "tol": 0} | kwargs
    return [step.objective().total for step in iterate(X, max_iter=max_iter, **kwargs)]


def assert_descends(found: list[float]) -> None:
    assert np.all(np.isfinite(found))
    for n_iter, (before, after) in enumerate(pairwise(found), 1):
        assert after <= before * (1 + ROUNDING), f"iteration {n_iter}: {before!r} to {after!r}"
    assert found[-1] < found[0]


@each_claim
def test_falls_at_every_iteration(solver: str, beta: float, penalty: dict[str, float], layout: str) -> None:
    """After 1, 5, 50 and 500 iterations it lies below the start, and below every iteration before."""
    X = positive(layout, beta)
    found = totals(X, 500, solver=solver, beta_loss=beta, **penalty)
    assert_descends(found)
    assert found[0] > found[1] > found[5] > found[50]
    assert found[500] <= found[50] * (1 + ROUNDING)


@each_claim
def test_falls_with_H_kept(solver: str, beta: float, penalty: dict[str, float], layout: str) -> None:
    X = positive(layout, beta)
    H = 0.1 + np.random.default_rng(2).random((3, X.shape[1]))
    # W of "cd" starts at zero, and any penalty on H is a constant
    assert_descends(totals(X, 50, solver=solver, beta_loss=beta, update_H=False, H=H, **penalty))


@each_claim
def test_reference_falls(solver: str, beta: float, penalty: dict[str, float], layout: str) -> None:
    X = positive(layout, beta, (6, 5))
    assert_descends(totals(X, 5, solver=solver, beta_loss=beta, engine="reference", **penalty))
    H = np.full((3, 5), 0.5) + np.eye(3, 5)
    kwargs = {"solver": solver, "beta_loss": beta, "engine": "reference", **penalty}
    assert_descends(totals(X, 5, update_H=False, H=H, **kwargs))


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_falls_from_every_start(solver: str, init: str) -> None:
    X = positive("dense", 2)
    warns = SOLVERS[solver].keeps_zeros and init == "nndsvd"
    with pytest.warns(UserWarning, match="nndsvd") if warns else contextlib.nullcontext():
        found = totals(X, 50, solver=solver, init=init)
    if SOLVERS[solver].descends(make_problem(X, 2, {})) or solver == "mue":  # which has a safeguard instead of a proof
        assert_descends(found)
    assert found[-1] < found[0]


def test_shuffled_components_fall_too() -> None:
    for penalty in PENALTIES.values():
        assert_descends(totals(positive("dense", 2), 100, solver="cd", shuffle=True, **penalty))


@pytest.mark.parametrize("twin", ["reference", "kernels"])
@pytest.mark.parametrize("l1", [0.0, 0.3])
def test_no_row_rises_beyond_its_sweeps(twin: str, l1: float) -> None:
    """Extrapolation, cut at zero, would raise the objective of some rows; these stay where the sweeps have led."""
    update = importlib.import_module(f"nmf_numba.solvers.hals.{twin}").update
    rng = np.random.default_rng(0)
    Ht = rng.random((8, 6)) ** 3
    gram, cross = Ht.T @ Ht, rng.random((2000, 8)) @ Ht
    start = rng.random((2000, 6)) * (rng.random((2000, 6)) < 0.7)
    swept, further = start.copy(), start.copy()
    update(swept, gram, cross, l1, np.arange(6), (2, 0.0))
    update(further, gram, cross, l1, np.arange(6), (2, 1.0))

    def total(W: np.ndarray) -> np.ndarray:  # of each row, but for ||x||^2 / 2
        return ((0.5 * W @ gram - cross + l1) * W).sum(axis=1)

    assert np.all(total(swept) <= total(start) + 1e-12)
    assert np.all(total(further) <= total(start) + 1e-12)
    beyond = np.maximum(2 * swept - start, 0)
    stays, rises = (further == swept).all(axis=1), total(beyond) > total(start)
    assert 10 < rises.sum() < 1000
    assert np.all(stays[rises])
    np.testing.assert_allclose(further[~rises], beyond[~rises], rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("solver", "beta"),
    [
        (solver, beta)
        for solver in SOLVERS
        for beta in BETAS
        if SOLVERS[solver].supports(make_problem(positive("dense", beta), beta, {})) is None
    ],
)
def test_float32_falls_at_first(solver: str, beta: float) -> None:
    """Later its rounding, 6e-8 of the factors, is larger than a step."""
    X = positive("dense", beta).astype(np.float32)
    found = totals(X, 20, solver=solver, beta_loss=beta)
    if SOLVERS[solver].descends(make_problem(X, beta, {})) or solver == "mue":
        assert all(after <= before * (1 + 1e-6) for before, after in pairwise(found))
        assert found[20] < found[5] < found[1]
    assert found[20] < found[0]


def test_what_is_claimed() -> None:
    """Where it is proven, no more and no less."""
    X = positive("dense", 2)
    mu = SOLVERS["mu"]
    for penalty in PENALTIES.values():
        for name in ("cd", "ahals", "ehals"):
            assert SOLVERS[name].descends(make_problem(X, 2, penalty))
            assert not SOLVERS[name].descends(make_problem(X, 1.5, penalty))
        assert mu.descends(make_problem(X, 2, penalty))
        assert mu.descends(make_problem(X, 3, penalty))
    for beta in (0.01, 0.5, 1, 1.5, 1.99):
        assert mu.descends(make_problem(X, beta, PENALTIES["none"]))
        assert mu.descends(make_problem(X, beta, PENALTIES["L1"]))
        for name in ("L2", "mixed", "L2 on H"):
            assert not mu.descends(make_problem(X, beta, PENALTIES[name])), (beta, name)
    for penalty in PENALTIES.values():
        assert [beta for beta in BETAS if SOLVERS["ccd"].descends(make_problem(X, beta, penalty))] == [2, 1]
    for beta in (0, -1):
        assert mu.descends(make_problem(X, beta, PENALTIES["L1"]))


# Coordinate descent for Kullback-Leibler: steps that stop short of the minimum


def one_entry(seed: int) -> tuple[Any, ...]:
    """A row to visit in its second component alone: the first has a row sum of 0, so it only adds to y."""
    rng = np.random.default_rng(seed)
    n, scale = int(rng.integers(1, 7)), 10.0 ** rng.integers(-2, 3)
    x, H = 10 ** rng.uniform(-2, 2, n), 10 ** rng.uniform(-2, 1, (2, n))
    H[1, 1:] *= rng.random(n - 1) < 0.8
    w = np.array([10 ** rng.uniform(-3, 1), scale * 10 ** rng.uniform(-3, 1) * (rng.random() < 0.9)])
    sums = np.array([0.0, H[1].sum() * (1 if rng.random() < 0.5 else 1 + scale * rng.random())])
    return w, x, H, sums, tuple(rng.choice([0.0, 0.5, 20.0], 2))


def slope_in(w: float, old: Any, x: Any, H: Any, sums: Any, penalties: Any, order: int = 1) -> float:
    """The first or second derivative of the objective where the second component is w, written down independently."""
    y = old[0] * H[0] + w * H[1]
    if order == 2:
        return float(np.sum(x * H[1] ** 2 / y**2)) + penalties[1]
    return float(sums[1] + penalties[0] + penalties[1] * w - np.sum(x * H[1] / y))


def value_at(w: float, old: Any, x: Any, H: Any, sums: Any, penalties: Any) -> float:
    y = old[0] * H[0] + w * H[1]
    return float(sums[1] * w - np.sum(x * np.log(y)) + penalties[0] * w + penalties[1] * w**2 / 2)


def visited(twin: str, arguments: tuple[Any, ...]) -> tuple[float, float]:
    """The entry after one visit by a twin, and the violation."""
    w, x, H, sums, penalties = arguments
    module, new = importlib.import_module(f"nmf_numba.solvers.ccd.{twin}"), w.copy()
    scratch = (np.empty(len(x)),) if twin == "kernels" else ()
    visit = module.visit_row if twin == "kernels" else module.visit
    return (violation := visit(new, x, H, *scratch, sums, penalties, (1.0, 1, 2.0**-23)), float(new[1]))[1], violation


@pytest.mark.parametrize("twin", ["reference", "kernels"])
def test_a_step_of_ccd_does_not_pass_the_minimum(twin: str) -> None:
    """The slope keeps its sign, so the objective falls all the way; Newton's step would pass it in many cases."""
    passed, zeros = 0, 0
    for seed in range(1000):
        arguments = one_entry(seed)
        old = float(arguments[0][1])
        new, violation = visited(twin, arguments)
        before, after = (slope_in(w, *arguments) for w in (old, new))
        size = arguments[3][1] + arguments[4][0] + arguments[4][1] * max(old, new)
        assert violation == pytest.approx(abs(min(before, 0)) if old == 0 else abs(before), rel=1e-9, abs=1e-12 * size)
        if before < 0:
            assert new > old, seed
            assert after <= 1e-9 * size, seed
        else:
            assert new <= old, seed
            assert after >= -1e-9 * size, seed
        assert value_at(new, *arguments) <= value_at(old, *arguments) + 1e-12 * size, seed
        newton = max(0.0, old - before / slope_in(old, *arguments, 2))
        passed += slope_in(newton, *arguments) < -1e-9 * size and before > 0
        zeros += old > 0 and new == 0
    assert passed > 100
    assert zeros > 100


def test_steps_of_ccd_converge_quadratically() -> None:
    """Near the minimum a step is Newton's: what is left of the slope falls with its square, from either side."""
    for seed in range(200):
        w, *others = one_entry(seed)
        low, high = 0.0, 1e6
        for _ in range(200):
            low, high = (low, mid) if slope_in(mid := (low + high) / 2, w, *others) > 0 else (mid, high)
        if low > 1e-3:  # else the minimum is at zero
            for sign in (1, -1):
                left = []
                for distance in (1e-2, 1e-3):
                    w[1] = low * (1 + sign * distance)
                    left.append(abs(visited("kernels", (w, *others))[0] - low) / (low * distance**2))
                assert left[1] < 3 * left[0] + 1, seed
                assert left[0] < 10, seed


def test_slope_and_curvature_of_ccd_by_finite_differences() -> None:
    for seed in range(50):
        w, *others = one_entry(seed)
        at, step = float(w[1]) + 0.1, 1e-4
        values = [value_at(at + sign * step, w, *others) for sign in (-1, 0, 1)]
        slope, curvature = (slope_in(at, w, *others, order) for order in (1, 2))
        scale = abs(values[1]) + curvature
        assert (values[2] - values[0]) / (2 * step) == pytest.approx(slope, abs=1e-4 * scale)
        assert (values[2] - 2 * values[1] + values[0]) / step**2 == pytest.approx(curvature, rel=1e-3, abs=1e-5 * scale)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("beta", [1, 2])
def test_ccd_falls_from_bad_starts(seed: int, beta: float) -> None:
    """Starts of any scale, zeros in X and in the factors, small and large penalties, one to four sweeps."""
    rng = np.random.default_rng(seed)
    X = rng.poisson(10 ** rng.uniform(-0.5, 2), (15, 10)) * (rng.random((15, 10)) < 0.7) * 1.0
    X[0, 0] = 1
    scale = 10.0 ** rng.uniform(-2, 2)
    W, H = scale * 10 ** rng.uniform(-2, 1, (15, 4)), 10 ** rng.uniform(-2, 1, (4, 10)) / scale
    W[rng.random(W.shape) < 0.2], W[:, 0] = 0, 1
    alphas = {"alpha_W": float(rng.choice([0, 1e-3, 0.1])), "alpha_H": float(rng.choice([0, 1e-3, 0.1]))}
    solver = CyclicCoordinateDescent(sweeps=1 + seed % 4)
    for layout in LAYOUTS.values():
        found = totals(
            layout(X), 100, n_components=4, solver=solver, beta_loss=beta, init="custom", W=W, H=H, random_state=None,
            l1_ratio=float(rng.random()), **alphas,
        )  # fmt: skip
        assert_descends(found)


# The counterexample: an L2 penalty and beta = 1


@pytest.mark.parametrize("twin", ["reference", "kernels"])
def test_an_l2_penalty_can_raise_the_objective_in_one_update(twin: str) -> None:
    """X = [[1]], W = [[1]], H = [[0.01]], l2 = 10 on H: updating H once."""
    update = importlib.import_module(f"nmf_numba.solvers.mu.{twin}").update
    w, h, l2 = 1.0, 0.01, 10.0

    def total(h: float) -> float:
        return math.log(1 / (w * h)) - 1 + w * h + 0.5 * l2 * h**2

    H = np.array([[h]])
    update(H, np.array([[1 / h]]), np.array([[w]]), (0.0, l2, 1.0), 1.0, 2.0**-52)
    assert H[0, 0] == pytest.approx(h * (1 / h) / (w + l2 * h), rel=1e-12)
    assert total(h) == pytest.approx(3.616, abs=1e-3)
    assert total(H[0, 0]) == pytest.approx(4.137, abs=1e-3)


def test_an_l2_penalty_can_raise_the_objective_in_a_whole_iteration() -> None:
    X, W, H = [[1.0]], [[0.01]], [[0.001]]
    penalty = {"alpha_W": 0.1, "alpha_H": 0.1, "l1_ratio": 0}
    kwargs = {"n_components": 1, "init": "custom", "solver": "mu", "beta_loss": 1, "max_iter": 1, "tol": 0}
    found = non_negative_factorization(X, W=W, H=H, **kwargs, **penalty)
    before, after = (objective(X, *factors, beta_loss=1, **penalty).total for factors in ((W, H), found[:2]))
    assert before == pytest.approx(10.5129, abs=1e-4)
    assert after == pytest.approx(12500.0, rel=1e-4)
    assert not SOLVERS["mu"].descends(make_problem(np.array(X), 1, penalty))


@pytest.mark.parametrize("twin", ["reference", "kernels"])
@pytest.mark.parametrize("beta", [-1.0, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
def test_the_exact_majoriser_never_rises(beta: float, twin: str) -> None:
    """Random small problems, penalties up to 10, entries over six powers of ten, whatever the loss."""
    rng = np.random.default_rng(11)
    functions = importlib.import_module(f"nmf_numba.solvers.mu.{twin}")
    for _ in range(40):
        X, W, H = (10 ** rng.uniform(-3, 3, shape) for shape in ((4, 5), (4, 2), (2, 5)))
        l1, l2 = rng.choice([0.0, 0.1, 3.0]), rng.choice([0.0, 0.1, 10.0])
        P, Q = weights(X, W @ H, beta)
        denominator = H @ H.T if beta == 2 else Q @ H.T
        new = W.copy()
        functions.update(new, P @ H.T, denominator, (l1, l2, 0.0), beta, 0.0)
        before, after = (beta_divergence(X, w, H, beta) + l1 * w.sum() + l2 / 2 * (w**2).sum() for w in (W, new))
        assert after <= before * (1 + ROUNDING)
        r = new / W
        a, b = max(1.0, 2 - beta, beta - 1), max(0.0, 2 - beta)
        full = W @ denominator if beta == 2 else denominator
        solved = (full * r**a + l1 * r**b + l2 * W * r ** (b + 1) - P @ H.T) / (P @ H.T)
        assert (np.abs(solved[new > 0]) < 1e-9).all()  # (4)


def test_the_exact_majoriser_falls_where_the_ratio_rises() -> None:
    X, kwargs = [[1.0]], {"init": "custom", "W": [[0.01]], "H": [[0.001]], "beta_loss": 1, "alpha_W": 0.1}
    found = totals(X, 5, n_components=1, solver="mm", **kwargs)
    assert all(after <= before for before, after in pairwise(found))
    docs = load_docstrings().X[::4]
    options = {"n_components": 8, "beta_loss": 1, "alpha_W": 1.0}
    rises = [sum(b > a for a, b in pairwise(totals(docs, 60, solver=name, **options))) for name in ("mu", "mm")]
    assert rises[0] > 0
    assert rises[1] == 0


@pytest.mark.parametrize("beta", [0, 0.3, 0.7, 1])
@pytest.mark.parametrize("penalty", ["none", "L1"])
def test_an_exponent_of_one_falls_and_takes_larger_steps(penalty: str, beta: float) -> None:
    solver = MultiplicativeUpdates(exponent=1)
    X = positive("dense", beta)
    assert solver.descends(make_problem(X, beta, PENALTIES[penalty]))
    found = totals(X, 100, solver=solver, beta_loss=beta, **PENALTIES[penalty])
    assert_descends(found)
    if beta < 1:
        assert found[5] < totals(X, 5, solver="mu", beta_loss=beta, **PENALTIES[penalty])[5]
    with pytest.raises(ValueError, match="exponent must be 1 or None"):
        MultiplicativeUpdates(exponent=2)
    with pytest.raises(ValueError, match="only 0 <= beta <= 2"):
        totals(X, 5, solver=solver, beta_loss=3)


@pytest.mark.parametrize("beta", [0, 0.5, 1, 1.5, 2])
def test_extrapolation_needs_fewer_iterations(beta: float) -> None:
    X = positive("dense", beta, (60, 40))
    found = {name: totals(X, 200, n_components=5, solver=name, beta_loss=beta) for name in ("mu", "mue")}
    goal = found["mu"][200]
    assert next(n for n, total in enumerate(found["mue"]) if total <= goal) < 120


# The objective against formulas written down independently


def plain_divergence(X: np.ndarray, Y: np.ndarray, beta: float) -> float:
    """The definition as it stands: right where nothing cancels and Y > 0."""
    if beta == 2:
        return 0.5 * ((X - Y) ** 2).sum()
    if beta == 1:
        return kl_div(X, Y).sum()
    if beta == 0:
        return (X / Y - np.log(X / Y) - 1).sum()
    return ((X**beta + (beta - 1) * Y**beta - beta * X * Y ** (beta - 1)) / (beta * (beta - 1))).sum()


def make_factors(seed: int = 3, shape: tuple[int, int] = (14, 9), n_components: int = 3) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return 0.1 + rng.random((shape[0], n_components)), 0.1 + rng.random((n_components, shape[1]))


each_engine = pytest.mark.parametrize("engine", ["numba", "reference"])
MORE_BETAS = [*BETAS, 1.3, 0.2, 2.5, 4, -2.5]


@pytest.mark.parametrize("beta", MORE_BETAS)
@pytest.mark.parametrize("layout", LAYOUTS)
@each_engine
def test_divergence_is_its_formula(beta: float, layout: str, engine: str) -> None:
    X, (W, H) = positive(layout, beta), make_factors()
    dense = X.toarray() if layout == "csr" else X
    assert beta_divergence(X, W, H, beta, engine=engine) == pytest.approx(plain_divergence(dense, W @ H, beta), 1e-12)


@pytest.mark.parametrize("beta", [beta for beta in MORE_BETAS if beta > 0])
@each_engine
def test_zeros_in_X_and_in_WH(beta: float, engine: str) -> None:
    """0 log 0 = 0; where X > 0 = WH and beta <= 1 the divergence is infinite, and the floor makes it finite."""
    X, (W, H) = positive("csr", beta).toarray(), make_factors()
    W[2] = 0
    Y = W @ H
    if beta <= 1:
        Y[(X > 0) & (Y == 0)] = 2.0**-23 * (X.mean() if beta < 1 else min(1, X.mean()))
    expected = plain_divergence(X[X > 0], Y[X > 0], beta) + (Y[X == 0] ** beta / beta).sum()
    for layout in LAYOUTS.values():
        assert beta_divergence(layout(X), W, H, beta, engine=engine) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["frobenius", "kullback-leibler", "itakura-saito"])
def test_names_are_numbers(name: str) -> None:
    X, (W, H) = positive("dense", 0), make_factors()
    beta = {"frobenius": 2, "kullback-leibler": 1, "itakura-saito": 0}[name]
    assert beta_divergence(X, W, H, name) == beta_divergence(X, W, H, beta)
    assert objective(X, W, H, beta_loss=name).total == beta_divergence(X, W, H, beta)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
@pytest.mark.parametrize("beta", [2, 1])
@each_engine
def test_penalties_are_their_formulas(penalty: dict[str, float], beta: float, engine: str) -> None:
    X, (W, H) = positive("csr", beta), make_factors()
    n_samples, n_features = X.shape
    alpha_W = penalty.get("alpha_W", 0.0)
    alpha_H, l1_ratio = penalty.get("alpha_H", alpha_W), penalty.get("l1_ratio", 0.0)
    terms = objective(X, W, H, beta_loss=beta, engine=engine, **penalty)
    expected = {
        "l1_W": alpha_W * l1_ratio * n_features * np.abs(W).sum(),
        "l1_H": alpha_H * l1_ratio * n_samples * np.abs(H).sum(),
        "l2_W": 0.5 * alpha_W * (1 - l1_ratio) * n_features * np.linalg.norm(W) ** 2,
        "l2_H": 0.5 * alpha_H * (1 - l1_ratio) * n_samples * np.linalg.norm(H) ** 2,
    }
    for name, value in expected.items():
        assert getattr(terms, name) == pytest.approx(value, rel=1e-13), name
    total = plain_divergence(X.toarray(), W @ H, beta) + sum(expected.values())
    assert terms.total == pytest.approx(total, rel=1e-13)


@pytest.mark.parametrize("beta", MORE_BETAS)
@each_engine
def test_gradient(beta: float, engine: str) -> None:
    """d/dy d(x | y) = y^(beta-2) (y - x), by central differences in every entry of WH."""
    X, (W, H) = positive("dense", beta, (4, 5)), make_factors(shape=(4, 5))
    Y = W @ H
    identity, step = np.eye(5), 1e-5
    for place in np.ndindex(4, 5):
        change = np.zeros_like(Y)
        change[place] = step * Y[place]
        up, down = (beta_divergence(X, moved, identity, beta, engine=engine) for moved in (Y + change, Y - change))
        slope = (up - down) / (2 * step * Y[place])
        assert slope == pytest.approx(Y[place] ** (beta - 2) * (Y[place] - X[place]), rel=1e-5, abs=1e-6), place


@pytest.mark.parametrize("beta", MORE_BETAS)
def test_gradient_in_the_factors(beta: float) -> None:
    """The solvers' numerator and denominator are the two parts of the gradient in W and in H."""
    X, (W, H) = positive("dense", beta, (4, 5)), make_factors(shape=(4, 5))
    Y = W @ H
    slope_of_Y = Y ** (beta - 2) * (Y - X)
    for which, expected in ((0, slope_of_Y @ H.T), (1, W.T @ slope_of_Y)):
        factor = (W, H)[which]
        for place in np.ndindex(factor.shape):
            ends = []
            for sign in (1, -1):
                moved = factor.copy()
                moved[place] *= 1 + sign * 1e-5
                ends.append(beta_divergence(X, *((moved, H) if which == 0 else (W, moved)), beta))
            slope = (ends[0] - ends[1]) / (2e-5 * factor[place])
            assert slope == pytest.approx(expected[place], rel=1e-5, abs=1e-6 * np.abs(expected).max()), place


# Close fits


def exact_product(W: np.ndarray, H: np.ndarray) -> list[list[Fraction]]:
    rows, columns = ([[Fraction(x) for x in row] for row in A.tolist()] for A in (W, H.T))
    return [[sum(map(Fraction.__mul__, row, column), Fraction(0)) for column in columns] for row in rows]


def series_divergence(X: np.ndarray, Y: list[list[Fraction]], beta: float) -> float:
    """d(x | y) of a small exact z = (x - y)/y: y^beta (z^2/2 + (beta-2) z^3/6 + (beta-2)(beta-3) z^4/24 + ...).

    Its second derivative in x is x^(beta-2), so these are the terms of (1+z)^(beta-2), integrated twice.
    """
    total = 0.0
    for row, exact in zip(X.tolist(), Y, strict=True):
        for x, y in zip(row, exact, strict=True):
            z = float((Fraction(x) - y) / y)
            total += float(y) ** beta * z**2 * (0.5 + (beta - 2) * z / 6 + (beta - 2) * (beta - 3) * z**2 / 24)
    return total


@functools.cache
def close_fit(residual: float) -> tuple[Any, Any, Any, Any]:
    rng = np.random.default_rng(5)
    W, H = make_factors(5, (6, 5))
    X = (W @ H) * (1 + residual * rng.uniform(-1, 1, (6, 5)))
    return X, W, H, exact_product(W, H)


@pytest.mark.parametrize("beta", [*MORE_BETAS, 1e-9, -1e-9, 1 + 1e-9, 1 - 1e-9, 0.003, 1.003])
@pytest.mark.parametrize("residual", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("layout", LAYOUTS)
@each_engine
def test_close_fits_keep_their_digits(beta: float, residual: float, layout: str, engine: str) -> None:
    """WH is rounded to 1e-16, so a residual of 1e-9 has seven digits; the formula as it stands has none."""
    X, W, H, Y = close_fit(residual)
    found = beta_divergence(LAYOUTS[layout](X), W, H, beta, engine=engine)
    assert found == pytest.approx(series_divergence(X, Y, beta), rel=1e-9 + 1e-15 / residual, abs=0)


@pytest.mark.parametrize("beta", MORE_BETAS)
@each_engine
def test_an_exact_fit_is_zero(beta: float, engine: str) -> None:
    W, H = np.array([[1.0, 2.0], [0.5, 4.0]]), np.array([[1.0, 0.5], [2.0, 0.25]])
    for layout in LAYOUTS.values():
        assert beta_divergence(layout(W @ H), W, H, beta, engine=engine) == 0


@pytest.mark.parametrize("beta", MORE_BETAS)
def test_never_negative(beta: float) -> None:
    """Nor NaN, for fits as close as rounding lets them be and as far as a factor of 1e6."""
    rng = np.random.default_rng(6)
    for size in (1e-16, 1e-12, 1e-8, 1e-4, 1, 1e4):
        for seed in range(5):
            W, H = make_factors(seed, (8, 6))
            X = (W @ H) * np.exp((size * rng.standard_normal((8, 6))).clip(-14, 14))
            for layout in LAYOUTS.values():
                for engine in ("numba", "reference"):
                    assert beta_divergence(layout(X), W, H, beta, engine=engine) >= 0, size


# Dense and sparse, beta on either side


@pytest.mark.parametrize("beta", [beta for beta in MORE_BETAS if beta > 0])
@each_engine
def test_dense_is_csr(beta: float, engine: str) -> None:
    X, (W, H) = positive("csr", beta).toarray(), make_factors()
    X[4], X[:, 2] = 0, 0
    found = [beta_divergence(layout(X), W, H, beta, engine=engine) for layout in LAYOUTS.values()]
    assert found[1] == pytest.approx(found[0], rel=1e-12)


@pytest.mark.parametrize("beta", [2, 1])
@pytest.mark.parametrize("residual", [0, 1e-9, 1e-6, 1e-4, 1e-3, 1e-2, 0.1])
def test_dense_is_csr_for_close_fits(beta: float, residual: float) -> None:
    """Where the sums over stored entries cancel; the fewer digits they have, the sooner all entries are visited."""
    rng = np.random.default_rng(7)
    W, H = make_factors(7, (12, 10))
    W[:6, 0], W[6:, 1:], H[0, :5], H[1:, 5:] = 0, 0, 0, 0
    X = (W @ H) * (1 + residual * rng.uniform(-1, 1, (12, 10)))
    assert np.count_nonzero(X) < 0.6 * X.size
    found = [beta_divergence(layout(X), W, H, beta) for layout in LAYOUTS.values()]
    assert found[1] == pytest.approx(found[0], rel=1e-9, abs=1e-28)


@pytest.mark.parametrize("beta", [0, 1, 2])
@pytest.mark.parametrize("layout", LAYOUTS)
@each_engine
def test_continuous_in_beta(beta: float, layout: str, engine: str) -> None:
    """The three named losses are limits of their neighbours."""
    X, (W, H) = positive("dense", beta), make_factors()
    if layout == "csr":
        X = LAYOUTS[layout](np.where(X < 0.3, 0, X) if beta > 0 else X)
    at = beta_divergence(X, W, H, beta, engine=engine)
    for distance in (1e-9, 1e-12, 1e-15):
        for sign in (1, -1):
            near = beta_divergence(X, W, H, beta + sign * distance, engine=engine)
            assert near == pytest.approx(at, rel=20 * distance + 1e-13), (distance, sign)
