"""What `fit` returns: figures, transform, names, and the way to a file and back."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import nmf_numba
from nmf_numba import Factorization, fit, objective
from nmf_numba.datasets import load_digits
from nmf_numba.gradient.residual import kkt_residual
from nmf_numba.problem import Problem
from tests.conftest import LAYOUTS, make_X

PENALTIES = {"alpha_W": 1e-3, "alpha_H": 2e-3, "l1_ratio": 0.3}


def make_frame(X: Any) -> pd.DataFrame:
    return pd.DataFrame(X, [f"row {i}" for i in range(len(X))], [f"column {j}" for j in range(X.shape[1])])


@pytest.mark.parametrize("beta", [2, 1, 0.5])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_figures_are_those_of_the_fit(layout: str, beta: float) -> None:
    X = make_X(beta=beta, layout=layout)
    result = fit(X, 3, solver="mu", beta_loss=beta, random_state=0, tol=0, max_iter=20, **PENALTIES)
    assert result.objective == objective(X, result.W, result.H, beta_loss=beta, **PENALTIES)
    dense = make_X(beta=beta)
    assert result.relative_error == pytest.approx(np.linalg.norm(dense - result.W @ result.H) / np.linalg.norm(dense))
    scaled = Problem.scaled(nmf_numba.validation.check_X(X), beta, 1e-3, 2e-3, 0.3).in_its_unit()
    assert result.kkt == kkt_residual(scaled, result.W, result.H.T)
    assert 0 < result.kkt < 0.1


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_transform_is_a_fit_that_keeps_H(solver: str) -> None:
    X = make_X()
    result = fit(X, 3, solver=solver, random_state=0, tol=1e-2, **PENALTIES)
    new = make_X((7, 15), seed=9)
    expected = fit(new, H=result.H, update_H=False, init=None, solver=solver, tol=1e-2, **PENALTIES).W
    np.testing.assert_array_equal(result.transform(new), expected)
    np.testing.assert_array_equal(result.transform(new.astype(np.float32)).dtype, np.float32)
    with pytest.raises(ValueError, match=r"X must have the 15 features of the fit. Found shape \(7, 14\)"):
        result.transform(new[:, 1:])


def test_names_of_rows_and_columns() -> None:
    frame = make_frame(make_X())
    result = fit(frame, 3, random_state=0, tol=1e-2)
    assert result.row_names == list(frame.index)
    assert result.column_names == list(frame.columns)
    largest = result.top_features(2)
    assert len(largest) == 3
    assert largest[1][0] == (frame.columns[result.H[1].argmax()], result.H[1].max())
    plain = fit(frame.to_numpy(), 3, random_state=0, tol=1e-2)
    assert plain.row_names is plain.column_names is None
    assert plain.top_features(1)[1] == [(int(plain.H[1].argmax()), plain.H[1].max())]
    assert fit(pl.DataFrame(frame.to_numpy(), list(frame.columns)), 3, tol=1e-2).column_names == list(frame.columns)


@pytest.mark.parametrize("kind", [pd.DataFrame, lambda frame: pl.DataFrame({n: frame[n].to_numpy() for n in frame})])
def test_transform_matches_columns_by_name(kind: Any) -> None:
    frame = make_frame(make_X())
    result = fit(frame, 3, random_state=0, tol=1e-2)
    shuffled = frame[frame.columns[::-1]]
    np.testing.assert_array_equal(result.transform(kind(shuffled)), result.transform(frame))
    with pytest.warns(UserWarning, match="left out: 'more'"):
        W = result.transform(kind(shuffled.assign(more=1.0)))
    np.testing.assert_array_equal(W, result.transform(frame))
    with pytest.raises(ValueError, match="X lacks 1 of the 15 columns of the fit: 'column 3'"):
        result.transform(kind(shuffled.drop(columns="column 3")))
    with pytest.raises(ValueError, match="columns of the same name: 'column 3'"):
        result.transform(pd.concat([frame, frame[["column 3"]]], axis=1))


def test_numbers_are_names_where_they_are_not_counted() -> None:
    counted = pd.DataFrame(make_X())
    shuffled = counted.iloc[:, ::-1]
    for X, other in ((shuffled, counted), (counted, shuffled)):
        result = fit(X, 3, random_state=0, tol=1e-2)
        np.testing.assert_array_equal(result.transform(other), result.transform(X))
    assert fit(shuffled, 3, random_state=0, tol=1e-2).column_names == [str(number) for number in range(14, -1, -1)]
    named = make_frame(make_X())  # and beside names they are none
    result = fit(named, 3, random_state=0, tol=1e-2)
    np.testing.assert_array_equal(result.transform(counted), result.transform(named))


def test_complete_and_predict_go_by_name() -> None:
    X = make_X()
    X[2, 3] = X[5, 0] = np.nan
    frame = make_frame(X)
    result = fit(frame, 3, random_state=0, tol=1e-2, missing="nan")
    shuffled = frame.iloc[::-1, [*range(5, 15), *range(5)]]
    found = pd.DataFrame(result.complete(shuffled), shuffled.index, shuffled.columns)
    np.testing.assert_array_equal(found.loc[frame.index, frame.columns], result.complete(frame))
    assert found.loc["row 2", "column 3"] == result.predict("row 2", "column 3") == result.predict(2, 3)
    with pytest.raises(ValueError, match="X lacks 1 of the 40 rows of the fit: 'row 0'"):
        result.complete(frame.rename(index={"row 0": "another"}))
    assert result.predict([], []).shape == (0,)
    twice = fit(frame.rename(index={"row 1": "row 0"}), 3, random_state=0, tol=1e-2, missing="nan")
    with pytest.raises(ValueError, match=r"several rows called 'row 0'\. Pass their positions"):
        twice.predict("row 0", "column 1")


def test_frames_that_are_not_named_as_X_are_refused() -> None:
    frame = make_frame(make_X())
    backwards, weights = frame.iloc[:, ::-1], frame * 0 + 1
    H = pd.DataFrame(np.ones((3, 15)), columns=frame.columns)
    W = pd.DataFrame(np.ones((40, 3)), index=frame.index)
    for X, more, message in (
        (
            backwards,
            {"weights": weights},
            "weights is not named as X is: its column 0 is 'column 0', and 'column 14' in X",
        ),
        (frame, {"weights": weights["column 0"].iloc[::-1]}, "weights is not named as X is: its row 0 is 'row 39'"),
        (
            frame.reset_index(drop=True),
            {"weights": pd.Series(1.0, range(39, -1, -1))},
            "its row 0 is '39', and '0' in X",
        ),
        (backwards, {"H": H, "update_H": False}, "H is not named as X is: its column 0"),
        (frame.iloc[::-1], {"W": W, "H": H.to_numpy(), "init": "custom"}, "W is not named as X is: its row 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fit(X, 3, random_state=0, **more)
    with pytest.raises(ValueError, match="H is not named as X is"):
        objective(backwards, W.to_numpy(), H)
    fit(frame, 3, W=W, H=H, init="custom", weights=weights, max_iter=1, tol=0)
    fit(frame, 3, weights=np.ones(40), H=pd.DataFrame(np.ones((3, 15))), update_H=False, max_iter=1, tol=0)  # counted


@pytest.mark.parametrize("way", ["file", "pickle"])
def test_there_and_back(way: str, tmp_path: Path) -> None:
    frame = make_frame(make_X())
    result = fit(frame, 3, random_state=0, tol=1e-2, trace=True, **PENALTIES)
    if way == "file":
        result.save(tmp_path / "model.npz")
        back = Factorization.load(tmp_path / "model.npz")
    else:
        back = pickle.loads(pickle.dumps(result))
        assert len(pickle.dumps(result)) < 40_000  # without X
    for name in ("objective", "kkt", "relative_error", "n_iter", "stop_reason", "row_names", "column_names"):
        assert getattr(back, name) == getattr(result, name), name
    for name in ("W", "H"):
        np.testing.assert_array_equal(getattr(back, name), getattr(result, name))
    assert back.trace is not None
    np.testing.assert_array_equal(back.trace.objective, result.trace.objective)  # type: ignore[union-attr]
    np.testing.assert_array_equal(back.transform(frame), result.transform(frame))
    assert repr(back) == repr(result)
    with pytest.raises(ValueError, match="this result has no state"):
        fit(frame, 3, resume=back)
    if way == "file":
        with pytest.raises(ValueError, match="exists"):
            result.save(tmp_path / "model.npz")
        result.save(tmp_path / "model.npz", overwrite=True)


def test_what_is_shown() -> None:
    result = fit(make_X(), 3, random_state=0, tol=1e-2)
    text = f"relative error {result.relative_error:.4g}, {result.n_iter} iterations, the stopping rule was met"
    assert repr(result) == f"Factorization of 40 x 15 into 3 components: {text}"
    html = result._repr_html_()
    assert "<table>" in html
    assert f"<td>{result.relative_error:.4g}</td>" in html


# The start and the stopping rule have no unit


@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("init", ["auto", "random"])
def test_a_frobenius_fit_does_not_depend_on_the_unit(init: str, layout: str, solver: str) -> None:
    X = make_X(layout=layout)
    options: dict[str, Any] = {"init": init, "solver": solver, "random_state": 0, "tol": 1e-3}
    plain = fit(X, 3, **options)
    assert plain.converged
    for exponent in (-10, -3, 1, 10):
        scaled = fit(X * 4.0**exponent, 3, **options)
        assert scaled.n_iter == plain.n_iter
        assert scaled.relative_error == plain.relative_error
        assert scaled.kkt == plain.kkt
        np.testing.assert_array_equal(scaled.W, plain.W * 2.0**exponent)


@pytest.mark.parametrize("beta", [1, 0, 0.3, 0.5, 0.8, 3])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("scale", [1e-10, 1e-4, 1e3, 1e6])
def test_the_error_of_other_losses_does_not_depend_on_the_unit(scale: float, beta: float, layout: str) -> None:
    """Nor where X has zeros: the floor of WH is a share of the mean of X."""
    X = LAYOUTS[layout](load_digits().X[::18] + (beta <= 0))
    options: dict[str, Any] = {"solver": "mu", "beta_loss": beta, "random_state": 0, "tol": 0, "max_iter": 200}
    plain, scaled = fit(X, 3, **options), fit(X * scale, 3, **options)
    assert scaled.objective.total / scale**beta == pytest.approx(plain.objective.total, rel=1e-4)
    again = objective(X * scale, scaled.W, scaled.H, beta_loss=beta)
    assert again.total == pytest.approx(scaled.objective.total, rel=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.3, 0.5, 1, 2])
def test_the_rule_does_not_stop_far_from_the_end(beta: float) -> None:
    """Entries at zero have a P as large as the floor of WH lets it be: counted in full, a fit stopped 54 % above."""
    X = load_digits().X[::6]
    result = fit(X, 5, beta_loss=beta, random_state=0, max_iter=1000)
    end = fit(X, 5, beta_loss=beta, random_state=0, max_iter=1000, tol=0).objective.total
    assert result.converged
    assert result.objective.total < 1.005 * end


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_one_component_is_found_at_once(solver: str, engine: str) -> None:
    result = fit(np.random.default_rng(0).random((30, 20)), 1, solver=solver, engine=engine, random_state=0)
    assert result.converged
    assert result.n_iter == 1


@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("solver", ["ahals", "ehals"])
def test_one_component_needs_neither_sweeps_nor_extrapolation(solver: str, engine: str) -> None:
    """A sweep is exact there, and beyond the minimum it is worse: 40 iterations instead of 3."""
    X = np.random.default_rng(0).random((30, 20))
    options: dict[str, Any] = {"init": "random", "random_state": 0, "tol": 0, "max_iter": 5, "engine": engine}
    np.testing.assert_array_equal(fit(X, 1, solver=solver, **options).W, fit(X, 1, solver="cd", **options).W)


def test_the_residual_is_zero_at_a_stationary_point_alone() -> None:
    W, H = np.array([[1.0, 0], [0, 2], [3, 0]]), np.array([[1.0, 2, 0], [0, 0, 1]])
    problem = Problem(W @ H)
    assert kkt_residual(problem, W, H.T) == 0
    assert kkt_residual(problem, 1.1 * W, H.T) > 0.04
    away = W.copy()
    away[1] = 0  # an entry at zero that should grow
    assert kkt_residual(problem, away, H.T) > 0.01
    tiny = np.where(W == 0, 1e-12, W)  # on its way to zero: nothing is left to do
    assert kkt_residual(problem, tiny, H.T) < 1e-10


def test_the_drop_in_warns_where_it_ends_far_from_a_stationary_point() -> None:
    from nmf_numba.datasets import load_digits  # noqa: PLC0415
    from nmf_numba.estimators import NMF  # noqa: PLC0415

    X = load_digits().X * 1000
    with pytest.warns(nmf_numba.ConvergenceWarning, match="after 2 iterations, but far from a stationary point"):
        nmf_numba.non_negative_factorization(X, n_components=10, random_state=0)
    with pytest.warns(nmf_numba.ConvergenceWarning, match="after 2 iterations, but far from a stationary point"):
        NMF(10, random_state=0).fit(X)
    assert fit(X, 10, random_state=0).relative_error < 0.327


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_an_interrupted_fit_leaves_what_it_has_reached(solver: str) -> None:
    def stop(step: nmf_numba.Step) -> None:
        if step.n_iter == 4:
            raise KeyboardInterrupt

    X = make_X()
    options: dict[str, Any] = {"solver": solver, "init": "random", "random_state": 0, "tol": 0}
    with pytest.raises(nmf_numba.Interrupted, match="interrupted after 3 iterations") as caught:
        fit(X, 3, callback=stop, trace=True, **options)
    result = caught.value.result
    assert result.stop_reason == "interrupt"
    assert result.trace is not None
    assert len(result.trace) == 4
    assert result.objective.total <= result.trace.objective[-1]
    assert "it was interrupted" in repr(result)
    with pytest.raises(KeyboardInterrupt):  # who does not know Interrupted
        fit(X, 3, callback=stop, **options)
