"""compare: one start, one clock, refusals with their reasons."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from nmf_numba import Factorization, Objective, Trace, compare, fit
from nmf_numba.comparison import Comparison, table_of_starts
from nmf_numba.datasets import load_digits
from nmf_numba.solvers.hals.solver import HALS

X = load_digits().X[:120] + 0.0


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    engines = ("numba", "reference", "scikit-learn")
    return compare(X, 4, solvers=("cd", "mu"), engines=engines, max_iter=20, random_state=0, init="random")


def test_runs_share_the_start(comparison: Comparison) -> None:
    assert list(comparison.traces) == [
        f"{solver}, {engine}" for solver in ("cd", "mu") for engine in ("numba", "reference", "scikit-learn")
    ]
    starts = [trace.objective[0] for trace in comparison.traces.values()]
    np.testing.assert_allclose(starts, starts[0], rtol=1e-14)


def test_engines_agree(comparison: Comparison) -> None:
    for solver in ("cd", "mu"):
        ours = comparison.traces[f"{solver}, numba"].objective
        np.testing.assert_allclose(comparison.traces[f"{solver}, reference"].objective, ours, rtol=1e-9)
        theirs = comparison.traces[f"{solver}, scikit-learn"]
        np.testing.assert_array_equal(theirs.iteration, [0, 1, 2, 3, 5, 8, 13, 20])
        np.testing.assert_allclose(theirs.objective, ours[theirs.iteration], rtol=1e-9)


def test_a_run_is_what_fit_does(comparison: Comparison) -> None:
    alone = fit(X, 4, solver="cd", init="random", random_state=0, tol=0, max_iter=20)
    np.testing.assert_array_equal(comparison.results["cd, numba"].W, alone.W)


def test_table(comparison: Comparison) -> None:
    table = comparison.table()
    assert len(set(table.header)) == len(table.header)  # as columns of a data frame
    assert list(table.header[:6]) == ["run", "iterations", "seconds", "objective", "KKT residual", "stopped by"]
    for row in table.rows:
        trace = comparison.traces[row[0]]
        near = [n for n, value in zip(trace.iteration, trace.objective, strict=True) if value <= 1.1 * comparison.best]
        assert row[6] == (str(near[0]) if near else "-")
    assert "<table>" in comparison._repr_html_()
    assert str(table) == repr(comparison)


def test_table_of_starts() -> None:
    def run(name: str, *objective: float) -> Factorization:
        rows = enumerate(Objective(value, 0.0, 0.0, 0.0, 0.0) for value in objective)
        trace = Trace.of((i, i / 8, np.nan, terms, np.nan) for i, terms in rows)
        return Factorization(np.ones((1, 1)), np.ones((1, 1)), len(trace) - 1, "max_iter", trace, {"solver": name})

    first = Comparison({"cd": run("cd", 200, 150, 100), "mu": run("mu", 200, 101, 101)}, {})
    second = Comparison({"cd": run("cd", 200, 100, 100), "mu": run("mu", 200, 150, 140)}, {"bpp": "not today"})
    assert first.reached("mu", 0.01) == (1, 0.125)
    assert first.reached("cd", 0.5) == (1, 0.125)
    assert first.reached("mu", 0.001) is None
    with pytest.raises(ValueError, match=r"name must be one of 'cd', 'mu'. Found 'bpp'"):
        second.reached("bpp", 0.1)
    table = table_of_starts({"two": [first, second], "one": [first]}, [0.01, 0.6])
    assert table.header == ["case", "near", "most starts, then first", "cd", "mu"]
    assert table.rows == [
        ["two", "1 %", "cd", "188 ms (2)", "125 ms (1)"],  # from both starts, though mu is sooner where it arrives
        ["two", "60 %", "cd", "125 ms (2)", "125 ms (2)"],
        ["one", "1 %", "mu", "250 ms (1)", "125 ms (1)"],
        ["one", "60 %", "cd", "125 ms (1)", "125 ms (1)"],
    ]


def test_the_start_is_not_changed_by_a_run() -> None:
    rng = np.random.default_rng(0)
    W, H = rng.uniform(0.5, 1.5, (120, 3)), rng.uniform(0.5, 1.5, (3, 64))
    kept = W.copy(), H.copy()
    compare(X, 3, W=W, H=H, init="custom", engines=("scikit-learn", "numba"), max_iter=2)
    np.testing.assert_array_equal(W, kept[0])
    np.testing.assert_array_equal(H, kept[1])


def test_a_refusal_has_its_reason() -> None:
    solvers = ("cd", "mu")
    found = compare(X, 3, solvers=solvers, beta_loss="kullback-leibler", max_iter=3, random_state=0)
    assert found.refusals == {"cd": "beta_loss = 1.0, only 'frobenius'. Use solver='mu'."}
    assert "refused: beta_loss = 1.0" in str(found.table())


def test_penalties_reach_every_engine() -> None:
    found = compare(
        X,
        3,
        solvers=("cd", "mu"),
        engines=("numba", "scikit-learn"),
        alpha_W=1e-3,
        l1_ratio=0.5,
        max_iter=5,
        random_state=0,
        init="random",
    )
    for solver in ("cd", "mu"):
        ours, theirs = (found.traces[f"{solver}, {engine}"] for engine in ("numba", "scikit-learn"))
        assert theirs.l1_W[-1] > 0
        assert theirs.objective[-1] == pytest.approx(ours.objective[-1], rel=1e-9)


def test_max_time_ends_every_run() -> None:
    found = compare(X, 3, engines=("numba", "scikit-learn"), max_time=0.02, max_iter=10**6, random_state=0)
    assert {result.stop_reason for result in found.results.values()} == {"max_time"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"solvers": ["als"]}, "solver"),
        ({"engines": ["cuda"]}, "engines"),
        ({"solvers": []}, "solvers is empty"),
        ({"solvers": ["cd"], "beta_loss": 1}, "No solver can do this: cd: beta_loss = 1.0"),
    ],
)
def test_refused(options: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        compare(X, 2, **options)  # type: ignore[arg-type]


def test_instances_with_one_name_are_both_compared() -> None:
    """And one that scikit-learn does not have is refused, not run as another."""
    solvers: list[Any] = ["cd", HALS(shuffle=True), "cd"]
    comparison = compare(X, 2, solvers=solvers, max_iter=3, init="random", random_state=0)
    assert list(comparison.results) == ["cd", repr(HALS(shuffle=True))]
    own = dataclasses.make_dataclass("Own", [], bases=(HALS,), namespace={"name": "own"}, frozen=True)()
    engines = ["reference", "scikit-learn"]
    comparison = compare(X, 2, solvers=["cd", own], engines=engines, max_iter=2, init="random", random_state=0)
    assert list(comparison.results) == ["cd, reference", "cd, scikit-learn", "own, reference"]
    assert comparison.refusals == {"own, scikit-learn": "scikit-learn has no solver 'own'."}


def test_a_callback_does_not_feel_the_loop() -> None:
    """What NumPy does about overflow is the caller's while a callback runs."""
    seen: list[Any] = []
    with np.errstate(over="raise", divide="raise"):
        fit(X, 2, max_iter=2, tol=0, random_state=0, callback=lambda step: seen.append(np.geterr()["over"]))
    assert seen == ["raise", "raise"]


RANDOM_STATES: dict[str, Any] = {
    "int": lambda: 3,
    "NumPy's int": lambda: np.uint32(3),
    "RandomState": lambda: np.random.RandomState(3),
    "Generator": lambda: np.random.default_rng(3),
    "another Generator": lambda: np.random.Generator(np.random.MT19937(3)),
    "None": lambda: None,
}


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("make", RANDOM_STATES.values(), ids=RANDOM_STATES)
def test_every_random_state_goes_to_every_engine(make: Any, shuffle: bool) -> None:
    engines: Any = ["numba", "reference", "scikit-learn"]
    found = compare(X, 3, solvers=["cd"], engines=engines, random_state=make(), shuffle=shuffle, max_iter=8)
    ours, slow, theirs = found.traces.values()
    np.testing.assert_allclose(slow.objective, ours.objective, rtol=1e-9)
    assert theirs.objective[0] == pytest.approx(ours.objective[0], rel=1e-14)
    assert (np.diff(theirs.objective) < 0).all()
    if not (shuffle and isinstance(make(), np.random.Generator)):  # whose permutations scikit-learn can't draw
        np.testing.assert_allclose(theirs.objective, ours.objective[theirs.iteration], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "engine"), [("sklearn", "scikit-learn"), ("scikit-learn", "scikit-learn"), ("reference",) * 2]
)
def test_an_engine_among_the_solvers(name: Any, engine: str) -> None:
    with pytest.raises(ValueError, match=f"solvers has {name!r}, which is an engine.*engines=.*{engine}.*--engines"):
        compare(X, 2, solvers=["cd", name])


def test_an_engine_that_is_misspelt() -> None:
    engines: Any = ["numba", "sklearn"]
    with pytest.raises(ValueError, match=r"Found 'sklearn'\. Did you mean 'scikit-learn'\?"):
        compare(X, 2, engines=engines)
