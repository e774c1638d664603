"""Every error and warning: its type, and that it names the argument, what was found and what is accepted."""

from __future__ import annotations

import inspect
import pathlib
import re
import typing
import warnings
from collections.abc import Callable
from fractions import Fraction
from typing import Any, get_args

import numpy as np
import pandas
import polars
import pytest
import sklearn.decomposition
from scipy import sparse

import nmf_numba
from nmf_numba import (
    ConvergenceWarning,
    beta_divergence,
    compare,
    fit,
    initialize,
    iterate,
    non_negative_factorization,
    objective,
    validation,
)
from nmf_numba.solvers import SOLVERS

X = np.random.default_rng(0).random((6, 4)) + 0.5
W, H = np.ones((6, 2)), np.ones((2, 4))


def call_function(X: Any = X, **kwargs: Any) -> Any:
    return non_negative_factorization(X, **({"n_components": 2, "tol": 0, "max_iter": 2} | kwargs))


def call_fit(X: Any = X, **kwargs: Any) -> Any:
    return fit(X, **({"n_components": 2, "tol": 0, "max_iter": 2} | kwargs))


def call_iterate(X: Any = X, **kwargs: Any) -> Any:
    """Not consumed: errors and warnings come when it is called."""
    return iterate(X, **({"n_components": 2, "tol": 0, "max_iter": 2} | kwargs))


FITS = [call_function, call_fit, call_iterate]
each_fit = pytest.mark.parametrize("call", FITS, ids=["non_negative_factorization", "fit", "iterate"])


def has(*parts: str) -> str:
    """A pattern that finds all of these texts, in any order."""
    return "(?s)" + "".join(f"(?=.*{re.escape(part)})" for part in parts)


def replaced(value: float, place: tuple[int, int] = (3, 2)) -> np.ndarray:
    changed = X.copy()
    changed[place] = value
    return changed


# The public surface


def test_signature_to_the_letter() -> None:
    signature = inspect.signature(non_negative_factorization)
    found = [(p.name, p.default, p.kind) for p in signature.parameters.values()]
    either, keyword, empty = (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
        inspect.Parameter.empty,
    )
    assert found == [
        ("X", empty, either),
        ("W", None, either),
        ("H", None, either),
        ("n_components", "warn", either),
        ("init", None, keyword),
        ("update_H", True, keyword),
        ("solver", "cd", keyword),
        ("beta_loss", "frobenius", keyword),
        ("tol", 1e-4, keyword),
        ("max_iter", 200, keyword),
        ("alpha_W", 0.0, keyword),
        ("alpha_H", "same", keyword),
        ("l1_ratio", 0.0, keyword),
        ("random_state", None, keyword),
        ("verbose", 0, keyword),
        ("shuffle", False, keyword),
    ]
    for name, default, _ in found:
        if isinstance(default, (bool, int, float)):
            assert type(signature.parameters[name].default) is type(default), name


@pytest.mark.parametrize("function", [fit, iterate])
def test_fit_and_iterate_take_the_same_parameters(function: Callable[..., Any]) -> None:
    shared = inspect.signature(non_negative_factorization).parameters
    own = inspect.signature(function).parameters
    assert set(shared) <= set(own)
    for name, parameter in shared.items():
        if name not in ("n_components", "init", "max_iter", "solver"):  # scikit-learn's start depends on the unit of X
            assert own[name].default == parameter.default, name


def test_public_names_exist() -> None:
    assert len(set(nmf_numba.__all__)) == len(nmf_numba.__all__)
    for name in nmf_numba.__all__:
        assert getattr(nmf_numba, name).__doc__, name
    assert issubclass(ConvergenceWarning, UserWarning)


CHOICES = {
    "solver": (validation.SolverName, tuple(SOLVERS)),
    "init": (validation.Init, validation.INITS),
    "engine": (validation.Engine, validation.ENGINES),
    "beta_loss": (validation.Loss, tuple(validation.BETA)),
    "every": (validation.Every, validation.EVERY),
    "stopping": (validation.Stopping, validation.STOPPINGS),
}


@pytest.mark.parametrize("name", CHOICES)
def test_choices_are_in_the_signatures(name: str) -> None:
    """Editors complete what the type of a parameter lists: all that is accepted, and nothing else."""
    alias, accepted = CHOICES[name]
    assert get_args(alias) == accepted
    functions = [fit, iterate, non_negative_factorization, initialize, objective, beta_divergence, compare]
    found = [typing.get_type_hints(f)[name] for f in functions if name in inspect.signature(f).parameters]
    assert found
    for annotation in found:
        assert alias in (annotation, *get_args(annotation))


# n_components


@pytest.mark.filterwarnings("ignore::nmf_numba.ConvergenceWarning")
def test_n_components_left_out() -> None:
    with pytest.warns(FutureWarning, match=has("n_components", "4 features", "n_components=None")):
        found = non_negative_factorization(X, max_iter=1)
    assert found[0].shape == (6, 4)
    with pytest.warns(FutureWarning, match=has("n_components", "4 features", "n_components=None")):
        assert fit(X, max_iter=1).W.shape == (6, 4)
    with pytest.warns(FutureWarning, match=has("n_components", "4 features", "n_components=None")):
        assert next(iterate(X, max_iter=1)).W.shape == (6, 4)
    with pytest.warns(FutureWarning, match=has("n_components", "4 features", "n_components=None")):
        assert len(compare(X, max_iter=1).results["cd"].H) == 4


@pytest.mark.parametrize("solver", ["cd", "mu"])
@pytest.mark.parametrize("engine", ["numba", "reference"])
@pytest.mark.parametrize("given", [{}, {"n_components": "auto"}, {"n_components": 2}], ids=str)
def test_H_gives_the_rank(given: dict[str, Any], solver: Any, engine: Any) -> None:
    """As in scikit-learn from 1.6 on; nothing was forgotten, so nothing is said."""
    for kwargs in ({"H": H, "update_H": False}, {"W": W, "H": H, "init": "custom"}):
        common = kwargs | given | {"solver": solver, "tol": 0, "max_iter": 3}
        for found in (fit(X, engine=engine, **common).W, list(iterate(X, engine=engine, **common))[-1].W):
            assert found.shape == (6, 2)
        ours = non_negative_factorization(X, **common)
        copies = {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in common.items()}
        theirs = sklearn.decomposition.non_negative_factorization(X, **({"n_components": "auto"} | copies))
        for A, B in zip(ours[:2], theirs[:2], strict=True):
            assert A.shape == B.shape
            np.testing.assert_allclose(A, B, rtol=1e-9)


@pytest.mark.parametrize(("n_components", "expected"), [(None, 4), ("auto", 4), (3, 3), (np.int64(1), 1), (9, 9)])
@each_fit
def test_n_components_accepted(call: Callable[..., Any], n_components: Any, expected: int) -> None:
    result = call(n_components=n_components)
    found = result[0] if call is call_function else result.W if call is call_fit else next(result).W
    assert found.shape == (6, expected)


@pytest.mark.parametrize("kwargs", [{"init": "custom", "W": W, "H": H}, {"update_H": False, "H": H}])
@each_fit
def test_n_components_auto_is_from_H(call: Callable[..., Any], kwargs: dict[str, Any]) -> None:
    result = call(n_components="auto", **kwargs)
    found = result[0] if call is call_function else result.W if call is call_fit else next(result).W
    assert found.shape == (6, 2)


@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (-1, ValueError), ("all", ValueError), (2.0, TypeError), (True, TypeError)]
)
@each_fit
def test_n_components_refused(call: Callable[..., Any], value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=has("n_components", "integer >= 1", "'auto'", "None", repr(value))):
        call(n_components=value)


@each_fit
def test_different_ranks_name_both_shapes(call: Callable[..., Any]) -> None:
    for n_components in (2, 3, "auto"):
        with pytest.raises(ValueError, match=has("W", "H", "(6, 2)", "(3, 4)")):
            call(init="custom", W=W, H=np.ones((3, 4)), n_components=n_components)


# Names that are nearly right

MEANT = [
    ("solver", "hals", "cd"),
    ("solver", "HALS", "cd"),
    ("solver", "CD", "cd"),
    ("solver", "MU", "mu"),
    ("solver", "multiplicative_update", "mu"),
    ("beta_loss", "kl", "kullback-leibler"),
    ("beta_loss", "KL", "kullback-leibler"),
    ("beta_loss", "kullback_leibler", "kullback-leibler"),
    ("beta_loss", "is", "itakura-saito"),
    ("beta_loss", "itakura-saitoh", "itakura-saito"),
    ("beta_loss", "Frobenius", "frobenius"),
    ("beta_loss", "euclidean", "frobenius"),
    ("init", "nndsvd_a", "nndsvda"),
    ("init", "Random", "random"),
    ("init", "svd", "nndsvda"),
    ("engine", "refrence", "reference"),
    ("engine", "python", "reference"),
    ("engine", "Numba", "numba"),
    ("stopping", "sklearn", "scikit-learn"),
    ("stopping", "KKT", "kkt"),
    ("n_components", "Auto", "auto"),
    ("alpha_H", "Same", "same"),
]


@pytest.mark.parametrize(("name", "value", "meant"), MEANT)
def test_did_you_mean(name: str, value: str, meant: str) -> None:
    for call in FITS[1:]:
        with pytest.raises(ValueError, match=has(name, f"Found {value!r}. Did you mean {meant!r}?")):
            call(**{name: value})


@pytest.mark.parametrize("name", ["solver", "beta_loss", "init", "engine"])
def test_nothing_is_guessed(name: str) -> None:
    with pytest.raises(ValueError, match=r"Found 'quite another'\.$"):
        call_fit(**{name: "quite another"})
    with pytest.raises(ValueError, match=r"Found 'scikit-learn'\.$"):  # right, but somewhere else
        call_fit(**{name: "scikit-learn"})


# Parameters

PARAMETERS = [
    ("tol", -1e-9, ValueError, ">= 0"),
    ("tol", np.nan, ValueError, ">= 0"),
    ("tol", "small", TypeError, ">= 0"),
    ("tol", None, TypeError, ">= 0"),
    ("tol", 1j, TypeError, ">= 0"),
    ("tol", True, TypeError, ">= 0"),
    ("max_iter", 0, ValueError, ">= 1"),
    ("max_iter", -3, ValueError, ">= 1"),
    ("max_iter", 10.0, TypeError, ">= 1"),
    ("max_iter", None, TypeError, ">= 1"),
    ("max_iter", True, TypeError, ">= 1"),
    ("alpha_W", -0.5, ValueError, ">= 0"),
    ("alpha_W", np.inf, ValueError, ">= 0"),
    ("alpha_W", "same", TypeError, ">= 0"),
    ("alpha_W", None, TypeError, ">= 0"),
    ("alpha_H", -0.5, ValueError, ">= 0"),
    ("alpha_H", np.nan, ValueError, "'same'"),
    ("alpha_H", "sane", ValueError, "'same'"),
    ("alpha_H", None, TypeError, "'same'"),
    ("l1_ratio", -0.1, ValueError, "0 to 1"),
    ("l1_ratio", 1.1, ValueError, "0 to 1"),
    ("l1_ratio", np.nan, ValueError, "0 to 1"),
    ("l1_ratio", "all", TypeError, "0 to 1"),
    ("beta_loss", "euclid", ValueError, "'kullback-leibler'"),
    ("beta_loss", np.nan, ValueError, "'itakura-saito'"),
    ("beta_loss", np.inf, ValueError, "finite real number"),
    ("beta_loss", None, TypeError, "'frobenius'"),
    ("beta_loss", True, TypeError, "'frobenius'"),
    ("beta_loss", 1 + 0j, TypeError, "'frobenius'"),
    ("solver", "hals", ValueError, "'cd', 'mu'"),
    ("solver", None, TypeError, "'cd', 'mu'"),
    ("solver", ["cd"], TypeError, "'cd', 'mu'"),
    ("init", "svd", ValueError, "'nndsvdar', 'custom' or None"),
    ("init", 0, TypeError, "'random'"),
    ("random_state", -1, ValueError, "2**32 - 1"),
    ("random_state", 2**32, ValueError, "2**32 - 1"),
    ("random_state", 1.5, TypeError, "RandomState"),
    ("random_state", "seed", TypeError, "None"),
    ("random_state", True, TypeError, "Generator"),
    ("verbose", -1, ValueError, ">= 0"),
    ("verbose", 1.0, TypeError, "True, False"),
    ("verbose", "yes", TypeError, "True, False"),
    ("update_H", 1, TypeError, "True or False"),
    ("update_H", None, TypeError, "True or False"),
    ("update_H", "no", TypeError, "True or False"),
    ("shuffle", 0, TypeError, "True or False"),
    ("shuffle", "False", TypeError, "True or False"),
]


@pytest.mark.parametrize(("name", "value", "error", "accepted"), PARAMETERS)
@each_fit
def test_parameter_refused(
    call: Callable[..., Any], name: str, value: object, error: type[Exception], accepted: str
) -> None:
    with pytest.raises(error, match=has(name, accepted, "Found", repr(value))):
        call(**{name: value})


@pytest.mark.parametrize("call", FITS[1:], ids=["fit", "iterate"])
def test_engine_refused(call: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=has("engine", "'numba', 'reference'", "Found 'cython'")):
        call(engine="cython")
    with pytest.raises(TypeError, match=has("engine", "'numba', 'reference'", "Found None")):
        call(engine=None)


@pytest.mark.parametrize("name", ["tol", "alpha_W", "alpha_H", "beta_loss"])
def test_an_integer_beyond_floats(name: str) -> None:
    with pytest.raises(ValueError, match=has(name, "Found")):
        call_fit(**{"solver": "mu", name: 10**400})


@pytest.mark.parametrize(
    "kwargs",
    [
        {"tol": 0},
        {"tol": np.float32(0.1)},
        {"tol": Fraction(1, 10)},
        {"max_iter": np.uint8(1)},
        {"alpha_W": 1, "alpha_H": "same", "l1_ratio": 1},
        {"alpha_W": np.float64(0), "alpha_H": 2, "l1_ratio": np.int64(0)},
        {"beta_loss": 2, "solver": "cd"},
        {"beta_loss": np.float32(2), "solver": "cd"},
        {"beta_loss": "kullback-leibler", "solver": "mu"},
        {"beta_loss": "itakura-saito", "solver": "mu"},
        {"beta_loss": Fraction(-1, 3), "solver": "mu"},
        {"random_state": 0},
        {"random_state": 2**32 - 1},
        {"random_state": np.random.RandomState(0)},
        {"random_state": np.random.default_rng(0)},
        {"shuffle": np.True_, "update_H": np.True_},
        {"verbose": False},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::nmf_numba.ConvergenceWarning")
def test_parameters_accepted(kwargs: dict[str, Any]) -> None:
    found = call_function(**kwargs)
    assert found[0].shape == (6, 2)


def test_a_generator_shuffles_too() -> None:
    first, second = (call_fit(random_state=np.random.default_rng(3), shuffle=True, init="random") for _ in range(2))
    np.testing.assert_array_equal(first.W, second.W)


# X

ARRAYS = {
    "NaN": (replaced(np.nan), has("X[3, 2]", "NaN")),
    "infinity": (replaced(np.inf), has("X[3, 2]", "inf")),
    "minus infinity": (replaced(-np.inf), has("X[3, 2]", "inf")),
    "negative": (replaced(-0.25), has("Negative", "X[3, 2] = -0.25", "X >= 0")),
    "complex": (X.astype(complex), has("X", "real", "complex128")),
    "strings": (X.astype(str), has("X", "real numbers", "text")),
    "list of strings": ([["a", "b"]], has("X", "real numbers", "text")),
    "a string among objects": (np.array([["1", 2]], dtype=object), has("X", "real numbers", "text")),
    "None among objects": (np.array([[None, 1.0]], dtype=object), has("X[0, 0]", "NaN")),
    "dates": (np.array([["2020-01-01"]], dtype="datetime64[D]"), has("X", "real numbers", "datetime64")),
    "1-D": (X[0], has("X", "2-D", "1-D", "(4,)", "reshape(-1, 1)", "reshape(1, -1)")),
    "3-D": (X[:, :, np.newaxis], has("X", "2-D", "3-D", "(6, 4, 1)")),
    "scalar": (np.float64(3), has("X", "2-D", "0-D")),
    "None": (None, has("X")),
    "ragged": ([[1.0, 2.0], [3.0]], has("X", "2-D", "rows")),
    "no samples": (np.empty((0, 4)), has("X", "no samples", "(0, 4)", "At least one row")),
    "no features": (np.empty((6, 0)), has("X", "no features", "(6, 0)", "At least one column")),
    "sparse, no samples": (sparse.csr_array((0, 4)), has("X", "no samples", "(0, 4)")),
    "sparse, no features": (sparse.csr_array((6, 0)), has("X", "no features", "(6, 0)")),
    "sparse NaN": (sparse.csr_array(replaced(np.nan)), has("X[3, 2]", "NaN")),
    "sparse infinity": (sparse.csr_array(replaced(np.inf)), has("X[3, 2]", "inf")),
    "sparse negative": (sparse.csc_matrix(replaced(-0.25)), has("Negative", "X[3, 2] = -0.25", "X >= 0")),
    "sparse complex": (sparse.csr_array(X.astype(complex)), has("X", "real", "complex128")),
}


@pytest.mark.parametrize(("X", "pattern"), ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize(
    "call",
    [
        *FITS,
        lambda X: initialize(X, 1),
        lambda X: objective(X, W, H),
        lambda X: beta_divergence(X, W, H, 1),
    ],
    ids=["non_negative_factorization", "fit", "iterate", "initialize", "objective", "beta_divergence"],
)
def test_X_refused(call: Callable[..., Any], X: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call(X)


class Pretends:
    """An object of a library that is not installed: it has the attributes by which the library's are known."""

    def __init__(self, *names: str, fails: str | None = None) -> None:
        self.fails = fails
        for name in names:
            setattr(self, name, None)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise RuntimeError(self.fails or "should not be asked for an array")


OTHERS = {
    "a path as text": ("counts.csv", has("X", "'counts.csv'", "read the file first", "numpy.load")),
    "a path": (pathlib.Path("counts.npz"), has("X", "counts.npz", "read the file first")),
    "bytes": (b"counts", has("X", "counts")),
    "polars LazyFrame": (polars.LazyFrame({"a": [1.0]}), has("LazyFrame", "pass X.collect()")),
    "AnnData": (Pretends("obs_names", "X"), has("annotated data", "pass X.X")),
    "backed": (Pretends("to_memory", "shape"), has("kept in a file", "pass X.to_memory()")),
    "xarray Dataset": (Pretends("data_vars"), has("several arrays", "X[...]")),
    "torch with gradient": (
        Pretends("detach", fails="Can't call numpy() on Tensor that requires grad."),
        has("X can't be read as an array: Can't call numpy() on Tensor", "grad. Pass X.detach().cpu().numpy()."),
    ),
    "dask": (Pretends("compute", fails="not now"), has("not now", "Pass X.compute().")),
    "pydata sparse": (Pretends("todense", fails="use todense"), has("Pass X.todense().")),
    "cupy": (Pretends("__cuda_array_interface__", fails="use .get()"), has("Pass X.get().")),
    "another": (Pretends(fails="no"), has("can't be read as an array: no.", "Pass a NumPy array or a SciPy sparse")),
    "dict": ({"a": [1.0]}, has("it is a dict", "Pass a NumPy array")),
    "complex": (X + 0j, has("complex128", "abs(X)", "X.real")),
    "sparse complex": (sparse.csr_array(X + 0j), has("complex128", "abs(X)", "X.real")),
    "numbers as text": (X.astype(str), has("text", "X.astype(float)")),
    "pandas, text": (pandas.DataFrame({"id": ["a", "b"], "x": [1.0, 2.0]}), has("X[0, 0] (column 'id') = 'a'")),
    "pandas, text late": (
        pandas.DataFrame({"x": [1.0, 2.0], "y": [1.0, "?"]}),
        has("text", "X[1, 1] (column 'y') = '?'", "Leave out this column"),
    ),
    "pandas, categories": (pandas.DataFrame({"x": [1.0], "kind": pandas.Categorical(["a"])}), has("column 'kind'")),
    "pandas, dates": (pandas.DataFrame({"x": [1.0], "day": [pandas.Timestamp(2020, 1, 1)]}), has("column 'day'")),
    "pandas, NA": (
        pandas.DataFrame({"x": [1.0, 2.0], "y": pandas.array([3, None], dtype="Int64")}),
        has("NaN: X[1, 1] (column 'y')", "impute", "drop"),
    ),
    "pandas, NaN": (pandas.DataFrame({"x": [1.0], "y": [np.nan]}), has("NaN: X[0, 1] (column 'y')", "impute", "drop")),
    "pandas, sparse, NaN": (
        pandas.DataFrame.sparse.from_spmatrix(sparse.csr_array(replaced(np.nan)), columns=list("abcd")),
        has("NaN: X[3, 2] (column 'c')"),
    ),
    "pandas, negative": (pandas.DataFrame({"x": [1.0], "y": [-1.0]}), has("X[0, 1] (column 'y') = -1.0")),
    "pandas, numbered": (pandas.DataFrame([[1.0, np.nan]]), has("NaN: X[0, 1] = nan")),
    "polars, text": (polars.DataFrame({"x": [1.0], "y": ["a"]}), has("X[0, 1] (column 'y') = 'a'")),
    "polars, null": (polars.DataFrame({"x": [1.0], "y": [None]}), has("NaN: X[0, 1] (column 'y')")),
}


@pytest.mark.parametrize(("X", "pattern"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize(
    "call",
    [*FITS, lambda X: initialize(X, 1), lambda X: objective(X, W, H), lambda X: compare(X, 1)],
    ids=["non_negative_factorization", "fit", "iterate", "initialize", "objective", "compare"],
)
def test_what_to_pass_instead(call: Callable[..., Any], X: Any, pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        call(X)


def test_no_message_ends_in_two_full_stops() -> None:
    broken = sparse.csr_array(X)
    broken.indices[0] = 9
    for bad in ([[1.0, 2.0], [3.0]], [[[1.0], 2.0]], [[1.0, [2.0, 3.0]]], np.array([[1.0, [2.0]]], object), broken):
        with pytest.raises(ValueError, match=r"[^.]\.$"):
            call_fit(bad)


def test_the_input_is_what_has_the_wrong_number_of_features() -> None:
    """H was found before, and is right."""
    for bad in (np.ones((2, 5)), np.ones((2, 3)), np.ones((2, 5)).tolist()):
        for call in FITS:
            n = len(bad[0])
            with pytest.raises(ValueError, match=has(f"X has 4 features, but H has {n}", "(6, 4)", f"(2, {n})")):
                call(update_H=False, H=bad)


def test_factors_without_components() -> None:
    for call in FITS:
        with pytest.raises(ValueError, match=has("H has no components", "(0, 4)", "At least one row")):
            call(update_H=False, H=np.ones((0, 4)))
        with pytest.raises(ValueError, match=has("H has no components", "(0, 4)")):
            call(init="custom", H=np.ones((0, 4)), W=np.ones((6, 0)))
        with pytest.raises(ValueError, match=has("W has no components", "(6, 0)")):
            call(init="custom", H=H, W=np.ones((6, 0)))


def test_a_factor_from_a_frame() -> None:
    frame = pandas.DataFrame({"a": [1.0, 1.0], "b": [1.0, np.nan], "c": [1.0, 1.0], "d": [1.0, 1.0]})
    with pytest.raises(ValueError, match=has("H[1, 1] (column 'b') = nan")):
        call_fit(update_H=False, H=frame)


def test_an_objective_shows_its_total() -> None:
    terms = objective(X, W, H, alpha_W=0.5)
    assert str(terms) == repr(terms)
    assert repr(terms).startswith(f"Objective(total={terms.total:.6g}, data_fit={terms.data_fit:.6g}, l2_W=")
    assert "l1_W" not in repr(terms)


def test_negative_X_is_refused_with_custom_factors_too() -> None:
    for kwargs in ({"init": "custom", "W": W, "H": H}, {"update_H": False, "H": H}):
        with pytest.raises(ValueError, match="Negative values"):
            call_function(replaced(-1e-300), **kwargs)


def test_an_integer_beyond_floats_in_X() -> None:
    with pytest.raises(ValueError, match="X"):
        call_fit([[10**400, 1]], n_components=1)


# What does not go together


@pytest.mark.parametrize("beta", ["kullback-leibler", 0, 1.5, 2.000001])
@each_fit
def test_cd_needs_frobenius(call: Callable[..., Any], beta: Any) -> None:
    with pytest.raises(ValueError, match=has("beta_loss", "'cd'", "'frobenius'", "solver='mu'")):
        call(solver="cd", beta_loss=beta)


@pytest.mark.parametrize("beta", [0, "itakura-saito", -1.5])
@pytest.mark.parametrize("layout", ["dense", "absent", "stored"])
def test_zeros_need_a_positive_beta(beta: Any, layout: str) -> None:
    dense = replaced(0)
    if layout == "dense":
        X: Any = dense
    else:
        X = sparse.csr_array(dense)
        if layout == "stored":
            columns, starts = np.tile(np.arange(4, dtype=np.int32), 6), np.arange(0, 25, 4, dtype=np.int32)
            X = sparse.csr_array((dense.ravel(), columns, starts), shape=(6, 4))
            assert X.nnz == 24
    pattern = has("beta_loss <= 0", "X contains zeros", "small value", "positive beta_loss")
    for call in FITS:
        with pytest.raises(ValueError, match=pattern):
            call(X, solver="mu", beta_loss=beta)
    with pytest.raises(ValueError, match=pattern):
        objective(X, W, H, beta_loss=beta)
    with pytest.raises(ValueError, match=has("X", "zero", "small value", "positive beta")):
        beta_divergence(X, W, H, beta)
    call_fit(X, solver="mu", beta_loss=0.1)


def test_nndsvd_with_mu() -> None:
    for call in FITS:
        with pytest.warns(UserWarning, match=has("'nndsvd'", "'mu'", "zero", "'nndsvda'", "'nndsvdar'")) as found:
            call(init="nndsvd", solver="mu")
        assert [warning.category for warning in found] == [UserWarning]


@pytest.mark.parametrize("init", [None, "random", "nndsvda", "nndsvdar"])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_other_starts_do_not_warn(init: str | None, solver: str) -> None:
    call_function(init=init, solver=solver)  # a warning would be an error


def test_nndsvd_with_cd_does_not_warn() -> None:
    call_function(init="nndsvd", solver="cd")


@pytest.mark.parametrize("init", ["nndsvd", "nndsvda", "nndsvdar"])
def test_nndsvd_with_too_many_components(init: str) -> None:
    pattern = has(f"'{init}'", "n_components <= min(n_samples, n_features)", "n_components = 5", "(6, 4)", "'random'")
    for call in [*FITS, lambda init, n_components: initialize(X, n_components, init=init)]:
        with pytest.raises(ValueError, match=pattern):
            call(init=init, n_components=5)


def test_init_none_with_too_many_components_is_random() -> None:
    for A, B in zip(initialize(X, 5, random_state=0), initialize(X, 5, init="random", random_state=0), strict=True):
        np.testing.assert_array_equal(A, B)


# max_iter reached


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_not_converged(solver: str) -> None:
    for call in FITS[:2]:
        with pytest.warns(ConvergenceWarning, match=has("Maximum number of iterations 3", "Increase it", "1e-09")):
            call(solver=solver, init="random", random_state=0, tol=1e-9, max_iter=3)
    *_, last = iterate(X, 2, solver=solver, init="random", random_state=0, tol=1e-9, max_iter=3)
    assert (last.n_iter, last.stop_reason) == (3, "max_iter")


@pytest.mark.parametrize("stopping", ["scikit-learn", "kkt"])
@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_no_warning_if_the_rule_is_met_in_the_last_iteration(solver: str, stopping: str) -> None:
    kwargs = {"solver": solver, "init": "random", "random_state": 0, "tol": 1e-3}
    if stopping == "kkt":
        kwargs["tol"] = 1e-2
    kwargs["stopping"] = stopping
    n_iter = fit(X, 2, max_iter=1000, **kwargs).n_iter
    result = fit(X, 2, max_iter=n_iter, **kwargs)
    assert (result.n_iter, result.converged, result.stop_reason) == (n_iter, True, "tol")
    if stopping == "scikit-learn":
        del kwargs["stopping"]
        assert call_function(max_iter=n_iter, **kwargs)[2] == n_iter
        kwargs["stopping"] = stopping
    if n_iter > 1:
        with pytest.warns(ConvergenceWarning):
            result = fit(X, 2, max_iter=n_iter - 1, **kwargs)
        assert (result.n_iter, result.converged, result.stop_reason) == (n_iter - 1, False, "max_iter")


@pytest.mark.parametrize("solver", ["cd", "mu"])
def test_tol_zero_never_warns(solver: str) -> None:
    result = call_fit(solver=solver, init="random", random_state=0, tol=0, max_iter=3)
    assert (result.n_iter, result.converged) == (3, False)


# W and H


@each_fit
def test_custom_needs_both(call: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=has("init='custom'", "H is None")):
        call(init="custom", W=W)
    with pytest.raises(ValueError, match=has("init='custom'", "W is None")):
        call(init="custom", H=H)
    with pytest.raises(ValueError, match=has("update_H=False", "H is None")):
        call(update_H=False)


FACTORS = [
    ({"W": np.ones((5, 2))}, ValueError, has("wrong first dimension", "input W", "Expected 6", "got 5", "(5, 2)")),
    ({"H": np.ones((2, 5))}, ValueError, has("wrong second dimension", "input H", "Expected 4", "got 5", "(2, 5)")),
    ({"W": np.ones(6)}, ValueError, has("W", "2-D", "1-D", "(6,)")),
    ({"H": np.ones((1, 2, 4))}, ValueError, has("H", "2-D", "3-D", "(1, 2, 4)")),
    ({"W": np.where(W == 1, np.nan, W)}, ValueError, has("W[0, 0]", "NaN")),
    ({"H": np.where(H == 1, np.inf, H)}, ValueError, has("H[0, 0]", "inf")),
    ({"W": -W}, ValueError, has("Negative", "input W", "W[0, 0] = -1.0", "W >= 0")),
    ({"H": -H}, ValueError, has("Negative", "input H", "H[0, 0] = -1.0", "H >= 0")),
    ({"W": 0 * W}, ValueError, has("input W", "full of zeros")),
    ({"H": 0 * H}, ValueError, has("input H", "full of zeros")),
    ({"W": W.astype("float32")}, TypeError, has("W should have the same dtype as X", "float64", "float32")),
    ({"H": H.astype(int)}, TypeError, has("H should have the same dtype as X", "float64", "int64")),
    ({"W": [["a", "b"]] * 6}, ValueError, has("W", "real numbers")),
    ({"H": sparse.csr_array(H)}, (TypeError, ValueError), has("H")),
]


@pytest.mark.parametrize(("given", "error", "pattern"), FACTORS)
@each_fit
def test_factor_refused(call: Callable[..., Any], given: dict[str, Any], error: Any, pattern: str) -> None:
    with pytest.raises(error, match=pattern):
        call(init="custom", **({"W": W, "H": H} | given))
    if "H" in given and np.shape(given["H"]) != (2, 5):  # that speaks of X: see below
        with pytest.raises(error, match=pattern):
            call(update_H=False, **given)


def test_float32_X_needs_float32_factors() -> None:
    with pytest.raises(TypeError, match=has("dtype", "float32", "float64")):
        call_fit(X.astype("float32"), init="custom", W=W, H=H)


def test_lists_have_no_dtype_to_differ() -> None:
    for dtype in ("float32", "float64"):
        result = call_fit(X.astype(dtype), init="custom", W=W.tolist(), H=H.tolist())
        assert result.W.dtype == result.H.dtype == dtype


@pytest.mark.parametrize("given", [{"W": W}, {"H": H}, {"W": W, "H": H}], ids=["W", "H", "both"])
@pytest.mark.parametrize("init", [None, "random"])
def test_ignored_factors(given: dict[str, Any], init: str | None) -> None:
    for call in FITS:
        with pytest.warns(RuntimeWarning, match=has("init!='custom'", "W or H", "ignored", "init='custom'")):
            call(init=init, **given)


def test_unused_W() -> None:
    for call in FITS:
        with pytest.warns(RuntimeWarning, match=has("update_H=False", "W", "not used")):
            call(update_H=False, W=W, H=H)


def test_H_alone_does_not_warn() -> None:
    for solver in ("cd", "mu"):
        assert np.array_equal(call_fit(update_H=False, H=H, solver=solver).H, H)


# Where a warning points

WARNINGS: list[tuple[type[Warning], dict[str, Any]]] = [
    (FutureWarning, {"n_components": "warn"}),
    (RuntimeWarning, {"W": W}),
    (RuntimeWarning, {"update_H": False, "W": W, "H": H}),
    (UserWarning, {"init": "nndsvd", "solver": "mu"}),
    (ConvergenceWarning, {"tol": 1e-12, "init": "random", "random_state": 0}),
]


@pytest.mark.parametrize(("category", "kwargs"), WARNINGS)
@pytest.mark.parametrize("function", [non_negative_factorization, fit, iterate])
def test_warnings_point_at_the_callers_line(
    category: type[Warning], kwargs: dict[str, Any], function: Callable[..., Any]
) -> None:
    if category is ConvergenceWarning and function is iterate:
        return
    kwargs = {"n_components": 2, "tol": 0, "max_iter": 2} | kwargs
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        line = inspect.currentframe().f_lineno + 1
        function(X, **kwargs)
    assert [(warning.category, warning.filename, warning.lineno) for warning in found] == [(category, __file__, line)]


# objective, beta_divergence, initialize


PRODUCTS = [
    ({"W": np.ones((6, 3))}, has("X", "(6, 4)", "W", "(6, 3)", "H", "(2, 4)")),
    ({"H": np.ones((2, 5))}, has("X", "(6, 4)", "W", "(6, 2)", "H", "(2, 5)")),
    ({"W": np.ones((5, 2))}, has("X", "(6, 4)", "W", "(5, 2)", "H", "(2, 4)")),
    ({"W": np.ones(6)}, has("W", "2-D", "1-D")),
    ({"W": -W}, has("Negative", "W[0, 0] = -1.0")),
    ({"H": np.full((2, 4), np.nan)}, has("H[0, 0]", "NaN")),
    ({"H": H.astype(complex)}, has("H", "real", "complex128")),
    ({"W": np.full((6, 2), "a")}, has("W", "real", "text")),
]


@pytest.mark.parametrize(("given", "pattern"), PRODUCTS)
def test_product_refused(given: dict[str, Any], pattern: str) -> None:
    with pytest.raises(ValueError, match=pattern):
        objective(X, **({"W": W, "H": H} | given))
    with pytest.raises(ValueError, match=pattern):
        beta_divergence(X, **({"W": W, "H": H} | given), beta=2)


OBJECTIVE_PARAMETERS = [case for case in PARAMETERS if case[0] in ("alpha_W", "alpha_H", "l1_ratio", "beta_loss")]


@pytest.mark.parametrize(("name", "value", "error", "accepted"), OBJECTIVE_PARAMETERS)
def test_objective_parameter_refused(name: str, value: object, error: type[Exception], accepted: str) -> None:
    with pytest.raises(error, match=has(name, accepted, "Found", repr(value))):
        objective(X, W, H, **{name: value})


@pytest.mark.parametrize(
    ("beta", "error"), [("euclid", ValueError), (np.nan, ValueError), (-np.inf, ValueError), (None, TypeError)]
)
def test_beta_refused(beta: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=has("beta must", "'frobenius'", "finite real number", repr(beta))):
        beta_divergence(X, W, H, beta)


def test_objective_engine_refused() -> None:
    for call in (
        lambda: objective(X, W, H, engine="cython"),
        lambda: beta_divergence(X, W, H, 2, engine="cython"),
    ):
        with pytest.raises(ValueError, match=has("engine", "'numba', 'reference'", "Found 'cython'")):
            call()


@pytest.mark.parametrize(("value", "error"), [(0, ValueError), (2.0, TypeError), (None, TypeError), (True, TypeError)])
def test_initialize_n_components_refused(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match=has("n_components", "integer >= 1", "Found", repr(value))):
        initialize(X, value)


def test_initialize_refused() -> None:
    with pytest.raises(ValueError, match=has("init='custom'", "W and H")):
        initialize(X, 2, init="custom")
    with pytest.raises(ValueError, match=has("init must be one of", "'nndsvd'", "Found 'svd'")):
        initialize(X, 2, init="svd")
    with pytest.raises(TypeError, match=has("init must be one of", "Found 3")):
        initialize(X, 2, init=3)
    with pytest.raises(ValueError, match=has("random_state", "2**32 - 1", "Found -1")):
        initialize(X, 2, random_state=-1)
