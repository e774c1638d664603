"""The history of a fit, its clock, and what can end it."""

from __future__ import annotations

import dataclasses
import importlib
import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from nmf_numba import Objective, Step, fit, iterate, loop, objective
from nmf_numba.datasets import load_digits
from nmf_numba.losses.objective import evaluate
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.solver import Solver

PENALTY: dict[str, float] = {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.4}
DIGITS = load_digits().X[:200] + 0.0


def digits(layout: str, dtype: Any, beta: float) -> Any:
    X = DIGITS + (1.0 if beta <= 0 else 0.0)
    return X.astype(dtype) if layout == "dense" else sparse.csr_array(X.astype(dtype))


def cases() -> list[Any]:
    found = []
    for solver in SOLVERS.values():
        for beta in (2.0, 1.0, 0.0, 0.5, 1.5, 1.3, 3.0, -1.0):
            for layout in ("dense", "csr"):
                for dtype in (np.float64, np.float32):
                    if solver.supports(Problem(digits(layout, dtype, beta), beta)) is None:
                        found.append((solver.name, beta, layout, dtype))
    return found


@pytest.mark.parametrize(("solver", "beta", "layout", "dtype"), cases())
@pytest.mark.parametrize("penalty", [{}, PENALTY], ids=["plain", "penalised"])
def test_rows_are_the_objective(solver: str, beta: float, layout: str, dtype: Any, penalty: dict[str, float]) -> None:
    """Against a direct computation in float64, term by term, at every iteration."""
    X = digits(layout, dtype, beta)
    steps: list[Step] = []
    trace = fit(
        X, 4, solver=solver, beta_loss=beta, **penalty, init="random", random_state=0, tol=0, max_iter=12, trace=True,
        callback=steps.append,
    ).trace  # fmt: skip
    assert trace is not None
    np.testing.assert_array_equal(trace.iteration, np.arange(13))
    tolerance = 1e-9 if dtype == np.float64 else 1e-5
    for row, step in enumerate(steps, 1):
        direct = objective(X.astype(np.float64), step.W.astype(float), step.H.astype(float), beta_loss=beta, **penalty)
        for name, value in dataclasses.asdict(direct).items():
            assert getattr(trace, name)[row] == pytest.approx(value, rel=tolerance, abs=1e-300), name
        assert trace.objective[row] == pytest.approx(direct.total, rel=tolerance)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@pytest.mark.parametrize(("solver", "beta"), [("cd", 2.0), ("mu", 2.0), ("mu", 1.0), ("mu", 0.5), ("mu", 1.3)])
def test_near_exact_fits_keep_their_digits(solver: str, beta: float, layout: str, dtype: Any) -> None:
    rng = np.random.default_rng(0)
    X = (rng.uniform(0.5, 1.5, (60, 2)) @ rng.uniform(0.5, 1.5, (2, 40))).astype(dtype)
    steps: list[Step] = []
    trace = fit(
        sparse.csr_array(X) if layout == "csr" else X, 2, solver=solver, beta_loss=beta, init="random", random_state=1,
        tol=0, max_iter=400, trace=True, callback=steps.append,
    ).trace  # fmt: skip
    assert trace is not None
    assert np.isfinite(trace.objective).all()
    assert (trace.objective >= 0).all()
    tolerance = 1e-9 if dtype == np.float64 else 1e-5
    for step in steps[9::40]:
        direct = objective(X.astype(np.float64), step.W.astype(float), step.H.astype(float), beta_loss=beta).total
        assert trace.objective[step.n_iter] == pytest.approx(direct, rel=tolerance, abs=1e-12 * float(X.sum()))


@pytest.mark.parametrize("scale", [1e-70, 1e-40, 1e40, 1e70])
def test_itakura_saito_of_ratios_whose_product_is_beyond_float64(scale: float) -> None:
    """Ratios are multiplied before their logarithm is taken, several at a time."""
    X = np.random.default_rng(0).uniform(0.5, 2, (3, 50)) * scale
    W, H = np.ones((3, 1)), np.ones((1, 50))
    expected = (X - np.log(X) - 1).sum()
    assert objective(X, W, H, beta_loss=0).total == pytest.approx(expected, rel=1e-12)


def test_an_exact_fit_is_zero() -> None:
    trace = fit(np.ones((3, 2)), 1, solver="cd", init="random", random_state=0, tol=0, max_iter=3, trace=True).trace
    assert trace is not None
    assert 0 <= trace.objective[-1] < 1e-30


def test_without_update_of_H() -> None:
    H = np.random.default_rng(0).uniform(0.5, 1.5, (3, 64))
    result = fit(DIGITS, 3, H=H, update_H=False, tol=0, max_iter=4, trace=True)
    assert result.trace is not None
    assert result.trace.objective[-1] == pytest.approx(objective(DIGITS, result.W, result.H).total, rel=1e-9)


def test_no_trace_unless_asked() -> None:
    assert fit(DIGITS, 2, init="random", random_state=0, tol=0, max_iter=2).trace is None


def test_trace_changes_nothing() -> None:
    plain, traced = (fit(DIGITS, 4, random_state=0, tol=0, max_iter=20, trace=trace) for trace in (False, True))
    np.testing.assert_array_equal(plain.W, traced.W)
    np.testing.assert_array_equal(plain.H, traced.H)


def test_columns_and_table() -> None:
    trace = fit(DIGITS, 3, random_state=0, tol=0, max_iter=40, trace=True, alpha_W=1e-3).trace
    assert trace is not None
    columns = trace.to_dict()
    assert list(columns) == [
        "iteration", "seconds", "data_fit", "l1_W", "l1_H", "l2_W", "l2_H", "objective", "violation", "kkt",
    ]  # fmt: skip
    assert {len(column) for column in columns.values()} == {41} == {len(trace)}
    assert math.isnan(trace.violation[0])
    assert (np.diff(trace.seconds) >= 0).all()
    table = trace.table(5)
    assert list(table.header) == ["iteration", "seconds", "data_fit", "l2_W", "l2_H", "objective", "violation", "kkt"]
    assert [row[0] for row in table.rows] == ["0", "10", "20", "30", "40"]
    assert "<table>" in trace._repr_html_()
    assert str(table).splitlines()[2].startswith("        0")


def test_the_clock_stops_while_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the callback nor the evaluation of the objective counts, nor what happens between two steps."""

    def slow(*arguments: Any) -> Objective:
        time.sleep(0.05)
        return evaluate(*arguments)

    monkeypatch.setattr(importlib.import_module("nmf_numba.loop"), "evaluate", slow)
    trace = fit(
        DIGITS, 2, init="random", random_state=0, tol=0, max_iter=4, trace=True, solver="mu", beta_loss=1.5,
        callback=lambda step: time.sleep(0.05),
    ).trace  # fmt: skip
    assert trace is not None
    assert trace.seconds[-1] < 0.05
    seconds = 0.0
    for step in iterate(DIGITS, 2, init="random", random_state=0, tol=0, max_iter=3):
        time.sleep(0.05)
        seconds = step.seconds
    assert 0 < seconds < 0.05


def test_compilation_is_not_on_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    slept = []
    HALS = type(SOLVERS["cd"])
    row_pass = HALS.row_pass

    def compiles_first(self: Solver, *arguments: Any, **more: Any) -> Any:
        if not slept:
            slept.append(time.sleep(0.1))
        return row_pass(self, *arguments, **more)

    monkeypatch.setattr(loop, "_compiled", set())
    monkeypatch.setattr(HALS, "row_pass", compiles_first)
    trace = fit(DIGITS, 2, init="random", random_state=0, tol=0, max_iter=2, trace=True).trace
    assert slept
    assert trace is not None
    assert trace.seconds[-1] < 0.1


def test_callback_sees_every_iteration_and_ends_the_fit() -> None:
    seen: list[Step] = []
    result = fit(
        DIGITS, 2, init="random", random_state=0, tol=0, max_iter=9,
        callback=lambda step: seen.append(step) or step.n_iter == 3,
    )  # fmt: skip
    assert [step.n_iter for step in seen] == [1, 2, 3]
    assert (result.n_iter, result.stop_reason, result.converged) == (3, "callback", False)
    np.testing.assert_array_equal(seen[-1].W, result.W)
    assert not np.shares_memory(seen[-1].W, result.W)
    assert not np.array_equal(seen[0].W, seen[1].W)


def test_max_time_ends_the_fit() -> None:
    result = fit(DIGITS, 2, init="random", random_state=0, tol=0, max_iter=10**6, max_time=0.01)
    assert result.stop_reason == "max_time"
    assert 0 < result.n_iter < 10**6
    *_, last = iterate(DIGITS, 2, init="random", random_state=0, tol=0, max_time=0)
    assert (last.n_iter, last.stop_reason) == (1, "max_time")


def test_keyboard_interrupt_in_a_callback_ends_the_fit() -> None:
    def interrupt(step: Step) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(DIGITS, 2, init="random", random_state=0, callback=interrupt)


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_half_steps(solver: str, engine: str) -> None:
    options: dict[str, Any] = {"solver": solver, "init": "random", "random_state": 0, "tol": 0, "max_iter": 2}
    whole = list(iterate(DIGITS, 2, **options, engine=engine))
    halves = list(iterate(DIGITS, 2, **options, engine=engine, every="half"))
    if solver == "mue":  # it moves both factors before an iteration, so it has no halves
        assert [(step.n_iter, step.half) for step in halves] == [(0, None), (1, None), (2, None)]
        np.testing.assert_array_equal(halves[-1].H, whole[-1].H)
        return
    assert [(step.n_iter, step.half) for step in halves] == [(0, None), (1, "W"), (1, "H"), (2, "W"), (2, "H")]
    np.testing.assert_array_equal(halves[1].H, whole[0].H)
    np.testing.assert_array_equal(halves[1].W, whole[1].W)
    np.testing.assert_array_equal(halves[2].H, whole[1].H)
    assert [step.stop_reason for step in halves] == [None] * 4 + ["max_iter"]


@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_coordinates_are_exact_minimisers(layout: str) -> None:
    """Gradient and curvature by finite differences of the penalised objective, which no single entry raises."""
    X = digits(layout, np.float64, 2)[:6, 20:28]
    options: dict[str, Any] = {"init": "random", "random_state": 0, "tol": 0, "max_iter": 2, "engine": "reference"}
    steps = list(iterate(X, 2, **options, **PENALTY, every="coordinate"))
    whole = list(iterate(X, 2, solver="cd", **options, **PENALTY))
    assert len(steps) == 1 + 2 * ((6 + 8) * 2 + 1)
    for before, step in pairwise(steps):
        entry = step.coordinate
        if entry is None:
            continue
        W, H = before.W.copy(), before.H.copy()
        at, where = (W, (entry.row, entry.component)) if entry.factor == "W" else (H, (entry.component, entry.row))
        assert at[where] == entry.old
        values = []
        for shift in (-1e-3, 0.0, 1e-3):
            at[where] = entry.old + 1 + shift
            values.append(objective(X, W, H, **PENALTY).total)
        slope, bend = (values[2] - values[0]) / 2e-3, (values[2] - 2 * values[1] + values[0]) / 1e-6
        assert bend == pytest.approx(entry.curvature, rel=1e-3, abs=1e-3)
        assert slope - bend == pytest.approx(entry.gradient, rel=1e-3, abs=1e-2 * (1 + abs(slope)))
        assert entry.new == pytest.approx(max(0.0, entry.old - entry.gradient / entry.curvature))
        assert step.objective().total <= before.objective().total * (1 + 1e-12)
    last = [step for step in steps if step.coordinate is None]
    for mine, reference in zip(last, whole, strict=True):
        np.testing.assert_allclose(mine.W, reference.W, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mine.H, reference.H, rtol=1e-9, atol=1e-12)
    assert last[1].violation == pytest.approx(whole[1].violation)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"every": "row"}, "every"),
        ({"every": "coordinate"}, "every = 'coordinate' needs engine='reference'"),
        ({"every": "coordinate", "engine": "reference", "solver": "mu"}, "every = 'coordinate' is not for solver 'mu'"),
        ({"every": "coordinate", "engine": "reference", "solver": "ehals"}, "is not for solver 'ehals'"),
        ({"max_time": -1}, "max_time"),
        ({"n_threads": 0}, "n_threads"),
        ({"n_threads": 10**6}, "is more than the"),
    ],
)
def test_refusals(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        iterate(DIGITS, 2, **options)


def test_a_callback_must_be_callable() -> None:
    with pytest.raises(TypeError, match=r"callback must be a function of a Step, or None\. Found 3, of type int"):
        fit(DIGITS, 2, callback=3)  # type: ignore[arg-type]
