"""Random calls of the public function and the estimators, against an oracle: `python -m tests.fuzz --cases 20000`.

A case is drawn from its number alone, so a failure can be repeated: `python -m tests.fuzz --first 1234 --cases 1 -v`.
"""

from __future__ import annotations

import argparse
import collections
import sys
import time
import warnings
from typing import Any

import numpy as np
from scipy import sparse

from nmf_numba import non_negative_factorization, objective
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.validation import check_X

FORMATS = ("csr", "csc", "coo", "lil", "dok", "bsr", "dia")
HOSTILE = (np.nan, np.inf, -np.inf, -1.0, -0.0, 1e308, 1e-310, 5e-324, 1e38, 1e-45, 1e-12)
FLOORS = 1e-6  # below this the floors of multiplicative updates count, and descent is not proven


def draw_X(rng: np.random.Generator) -> Any:
    """A matrix of any shape, dtype and layout, sometimes with values that no fit can take."""
    kind = rng.choice(["plain", "plain", "plain", "low rank", "zeros", "constant", "scaled", "odd"])
    n, m = (int(rng.integers(0 if rng.random() < 0.05 else 1, 13)) for _ in range(2))
    X = rng.gamma(1.0, 1.0, (n, m))
    if kind == "low rank":
        X = rng.random((n, 2)) @ rng.random((2, m))
    elif kind == "zeros":
        X *= rng.random((n, m)) < rng.choice([0.0, 0.2, 0.6])
    elif kind == "constant":
        X[:] = rng.choice([0.0, 1.0, 3.0])
    elif kind == "scaled":
        with np.errstate(all="ignore"):
            X *= 10.0 ** rng.integers(-320, 309)
    elif kind == "odd" and n and m:
        X[rng.integers(n), rng.integers(m)] = rng.choice(HOSTILE)
    with np.errstate(all="ignore"):
        X = X.astype(rng.choice(["f8", "f8", "f8", "f4", "f4", "f2", "i4", "u1", "bool", ">f8", "c16", "O", "U8"]))
    layout = rng.choice(["c", "c", "fortran", "strided", "list", "read-only", "matrix", "sparse", "sparse", "vector"])
    if layout == "fortran":
        return np.asfortranarray(X)
    if layout == "strided":
        return np.repeat(np.repeat(X, 2, 0), 3, 1)[::2, ::3]
    if layout == "list":
        return X.tolist()
    if layout == "read-only":
        X.flags.writeable = False
    if layout == "vector" and rng.random() < 0.3:
        return X.ravel()
    if layout == "matrix":
        return np.asmatrix(X)
    if layout == "sparse" and X.dtype.kind in "fiub" and X.dtype.itemsize > 2 and X.dtype.isnative:
        S = sparse.coo_array(X).asformat(str(rng.choice(FORMATS)))
        if S.format == "csr" and S.nnz and rng.random() < 0.3:
            S.data[rng.integers(S.nnz)] = 0  # stored explicitly
            if rng.random() < 0.3:
                S.indices[rng.integers(S.nnz)] = int(rng.integers(-2, 2 * m + 2))  # often out of range or twice
            S = sparse.csr_array((S.data, S.indices.astype(rng.choice(["i4", "i8"])), S.indptr), shape=S.shape)
        return S
    return X


def draw_parameters(rng: np.random.Generator, X: Any) -> dict[str, Any]:
    """Parameters, most of them in range."""

    def pick(usual: list[Any], odd: list[Any]) -> Any:
        chosen = odd if rng.random() < 0.03 else usual
        return chosen[int(rng.integers(len(chosen)))]

    parameters = {
        "n_components": pick([1, 2, 3, 5, "auto", None], [0, -1, 2.5, "three", 40, np.nan]),
        "solver": pick(["cd", "mu", "mu"], ["als", None, 3]),
        "beta_loss": pick(
            [2, 2, 1, 0, 0.5, 1.5, 3, -1, "frobenius", "kullback-leibler"], ["l2", np.nan, None, 1e9, -300]
        ),
        "init": pick([None, "random", "nndsvd", "nndsvda", "nndsvdar"], ["svd", 1]),
        "tol": pick([0, 1e-4, 1e-2], [-1, np.nan, "small"]),
        "max_iter": pick([1, 2, 5, 11], [0, -3, 1.5, None]),
        "alpha_W": pick([0.0, 0.0, 1e-3, 0.1, 10.0], [-1.0, np.inf, "same", 1e300]),
        "alpha_H": pick(["same", "same", 0.0, 1e-2], [-1.0, np.nan, "other"]),
        "l1_ratio": pick([0.0, 0.5, 1.0], [-0.1, 1.1, None]),
        "random_state": pick([0, 1, np.random.RandomState(3)], ["seed", -1, 1.5]),
        "shuffle": pick([False, True], ["yes"]),
    }
    return {name: value for name, value in parameters.items() if rng.random() < 0.8}


def check_factors(X: Any, W: Any, H: Any, *, exactly: bool) -> None:
    """Finite, non-negative, of the right shape and dtype. scikit-learn's checks, before ours, take text for numbers."""
    shape = X.shape if hasattr(X, "shape") else np.shape(X)
    assert W.shape[0] == shape[0]
    assert H.shape[1] == shape[1]
    assert W.shape[1] == H.shape[0]
    for factor in (W, H):
        assert factor.dtype == (check_X(X).dtype if exactly else factor.dtype)
        assert np.isfinite(factor).all()
        assert (factor >= 0).all()
        assert factor.flags.c_contiguous


def check_descent(X: Any, parameters: dict[str, Any], W: Any, H: Any) -> None:
    """The objective is no worse after more iterations, where descent is proven and no floor is near."""
    options = {name: parameters[name] for name in ("beta_loss", "alpha_W", "alpha_H", "l1_ratio") if name in parameters}
    X = check_X(X)
    beta = {"frobenius": 2.0, "kullback-leibler": 1.0}.get(options.get("beta_loss", 2), options.get("beta_loss", 2))
    alpha_W = options.get("alpha_W", 0.0)
    alpha_H = options.get("alpha_H", "same")
    problem = Problem.scaled(
        X, float(beta), alpha_W, alpha_W if alpha_H == "same" else alpha_H, options.get("l1_ratio", 0.0)
    )
    solver = SOLVERS[parameters.get("solver", "cd")]
    product = np.asarray(W, float) @ np.asarray(H, float)
    if not solver.descends(problem) or X.dtype != np.float64 or min(product.min(), W.min(), H.min()) < FLOORS:
        return
    before = objective(X, W, H, **options).total
    more = {name: parameters[name] for name in ("solver", "shuffle") if name in parameters} | options
    W, H, _ = non_negative_factorization(X, W, H, W.shape[1], init="custom", tol=0, max_iter=3, **more)
    after = objective(X, W, H, **options).total
    with np.errstate(all="ignore"):
        rounding = 1e-9 * (abs(before) + float((product**beta).sum()))  # of the terms that cancel
    assert after <= before + rounding, f"{before} rose to {after}"


def copied(X: Any) -> Any:
    """A copy of what the caller passed, to see that it stays as it was."""
    return X.copy() if hasattr(X, "copy") else X


def same(A: Any, B: Any) -> bool:
    if sparse.issparse(A):
        if A.format != "csr":
            return (A != B).nnz == 0 or bool(np.isnan(A.sum()))
        return all(np.array_equal(getattr(A, n), getattr(B, n)) for n in ("indptr", "indices")) and np.array_equal(
            A.data, B.data, equal_nan=A.dtype.kind == "f"
        )
    A, B = np.asarray(A), np.asarray(B)
    if A.dtype == object:  # in which NaN is not NaN
        return str(A.tolist()) == str(B.tolist())
    return np.array_equal(A, B, equal_nan=A.dtype.kind in "fc")


def run_case(number: int, *, estimators: bool = True) -> str:
    """Run one case and return how it ended; an AssertionError or a foreign exception is a finding."""
    rng = np.random.default_rng(number)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # NumPy's, of matrix and of conversions
        X = draw_X(rng)
    parameters = draw_parameters(rng, X)
    target = rng.choice(["function", "function", "NMF", "MiniBatchNMF"]) if estimators else "function"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = copied(X)
        try:
            if target == "function":
                W, H, _ = non_negative_factorization(X, **{"n_components": "auto", **parameters})
            else:
                W, H = fit_estimator(str(target), X, dict(parameters), rng)
        except (ValueError, TypeError) as error:
            assert str(error).strip(), "an error without a word"  # noqa: PT017  (the oracle)
            ended = f"{target}: {type(error).__name__}"
        else:
            check_factors(X, W, H, exactly=target == "function")
            if target == "function":
                check_descent(X, parameters, W, H)
            ended = f"{target}: factors"
        assert same(X, kept), "the caller's X was changed"
    return ended


def fit_estimator(name: str, X: Any, parameters: dict[str, Any], rng: np.random.Generator) -> tuple[Any, Any]:
    """Fit, transform and transform back."""
    from nmf_numba import estimators  # noqa: PLC0415  (an extra)

    if name == "MiniBatchNMF":
        parameters.pop("solver", None)
        parameters.pop("shuffle", None)
        parameters["batch_size"] = int(rng.integers(1, 9))
    model = getattr(estimators, name)(**parameters)
    W = model.fit_transform(X)
    new = model.transform(X)
    assert np.isfinite(new).all()
    assert (new >= 0).all()
    assert np.isfinite(model.inverse_transform(W)).all()
    return np.ascontiguousarray(W), np.ascontiguousarray(model.components_)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--cases", type=int, default=500)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("-v", "--verbose", action="store_true")
    arguments = parser.parse_args(argv)
    ends: collections.Counter[str] = collections.Counter()
    findings = 0
    before = time.perf_counter()
    for number in range(arguments.first, arguments.first + arguments.cases):
        try:
            ended = run_case(number)
        except Exception as error:
            if arguments.verbose:
                raise
            ended = f"FINDING in case {number}: {type(error).__name__}: {error}"
            print(ended.splitlines()[0][:200], flush=True)
            findings += 1
        else:
            ends[ended] += 1
        if arguments.verbose:
            print(number, ended)
    for name, count in sorted(ends.items()):
        print(f"{count:7}  {name}")
    print(f"{arguments.cases} cases, {findings} findings, {time.perf_counter() - before:.0f} s")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
