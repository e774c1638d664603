"""Every check, and the text of every error and warning.

An error names the argument, the value found, what is accepted and the way out. Nothing here changes what it is given.
"""

from __future__ import annotations

import difflib
import importlib.util
import math
import numbers
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from scipy import sparse

from nmf_numba import containers
from nmf_numba.problem import Float, Matrix

# The choices of public parameters, for the signatures: an editor then completes them.
Loss = Literal["frobenius", "kullback-leibler", "itakura-saito"]
Init = Literal["auto", "random", "nndsvd", "nndsvda", "nndsvdar", "custom"]
Engine = Literal["numba", "reference"]
Every = Literal["iteration", "half", "coordinate"]
Stopping = Literal["kkt", "scikit-learn"]
SolverName = Literal["cd", "mu", "ahals", "ehals", "mm", "mue", "ccd", "apg", "bpp"]
Same = Literal["same"]
Rank = Literal["auto"]

BETA: dict[str, float] = dict(zip(get_args(Loss), (2.0, 1.0, 0.0), strict=True))
INITS: tuple[str, ...] = get_args(Init)
ENGINES: tuple[str, ...] = get_args(Engine)
EVERY: tuple[str, ...] = get_args(Every)
STOPPINGS: tuple[str, ...] = get_args(Stopping)
OTHER_NAMES = {  # what people type, and what is meant, if that is among the choices
    "hals": "cd", "coordinate descent": "cd", "coordinate": "cd", "multiplicative": "mu",
    "multiplicative update": "mu", "kl": "kullback-leibler", "kld": "kullback-leibler", "poisson": "kullback-leibler",
    "is": "itakura-saito", "isd": "itakura-saito", "gamma": "itakura-saito", "fro": "frobenius", "l2": "frobenius",
    "euclidean": "frobenius", "gaussian": "frobenius", "squared": "frobenius", "ls": "frobenius", "mse": "frobenius",
    "svd": "nndsvda", "sklearn": "scikit-learn", "python": "reference", "numpy": "reference", "jit": "numba",
}  # fmt: skip


class ConvergenceWarning(UserWarning):
    """max_iter was reached before the stopping rule was met, or the rule was met far from a stationary point."""


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the first caller outside this package."""
    package, depth, frame = __name__.partition(".")[0], 2, sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == package:
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, category, stacklevel=depth)


# --- scalars -------------------------------------------------------------------------------------------------------


def check_number(name: str, value: object, *, low: float = -math.inf, high: float = math.inf, accepted: str) -> float:
    """Return value as a float if it is a real number in [low, high]."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be {accepted}. Found {value!r}, of type {type(value).__name__}.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (low <= number <= high and math.isfinite(number)):
        raise ValueError(f"{name} must be {accepted}. Found {value!r}.")
    return number


def check_integer(name: str, value: object, *, low: int, accepted: str) -> int:
    """Return value as an int if it is an integer >= low."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be {accepted}. Found {value!r}, of type {type(value).__name__}.")
    if value < low:
        raise ValueError(f"{name} must be {accepted}. Found {value!r}.")
    return int(value)


def check_flag(name: str, value: object) -> bool:
    """Return value if it is a bool."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False. Found {value!r}, of type {type(value).__name__}.")
    return bool(value)


def did_you_mean(value: str, choices: Iterable[str]) -> str:
    """Return the choice that a misspelt or other name stands for, as a question; else nothing."""
    choices, key = tuple(choices), value.strip().lower().replace("_", "-")
    known = OTHER_NAMES.get(key.replace("-", " "))
    close = [known] if known in choices else difflib.get_close_matches(key, choices, 1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(name: str, value: object, choices: Iterable[str], *, also: str = "") -> str:
    """Return value if it is one of the choices."""
    choices = tuple(choices)
    accepted = f"{name} must be one of {', '.join(map(repr, choices))}{also}. Found {value!r}."
    if not isinstance(value, str):
        raise TypeError(accepted)
    if value not in choices:
        raise ValueError(accepted + did_you_mean(value, choices))
    return value


def check_beta(value: object, name: str = "beta_loss") -> float:
    """Return beta of a loss given by name or number."""
    accepted = "'frobenius', 'kullback-leibler', 'itakura-saito' or a finite real number"
    if isinstance(value, str):
        if value not in BETA:
            raise ValueError(f"{name} must be {accepted}. Found {value!r}.{did_you_mean(value, BETA)}")
        return BETA[value]
    return check_number(name, value, accepted=accepted)


def check_alphas(alpha_W: object, alpha_H: object, l1_ratio: object) -> tuple[float, float, float]:
    """Return the strengths of the penalties on W and H, and l1_ratio."""
    alpha_W = check_number("alpha_W", alpha_W, low=0, accepted="a number >= 0")
    if isinstance(alpha_H, str):
        check_choice("alpha_H", alpha_H, ("same",), also=" or a number >= 0")
        alpha_H = alpha_W
    alpha_H = check_number("alpha_H", alpha_H, low=0, accepted="'same' or a number >= 0")
    return alpha_W, alpha_H, check_number("l1_ratio", l1_ratio, low=0, high=1, accepted="a number from 0 to 1")


def check_verbose(value: object) -> int:
    """Return the verbosity as an int."""
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return check_integer("verbose", value, low=0, accepted="True, False or an integer >= 0")


def check_max_time(value: object) -> float:
    """Return max_time in seconds; None is no limit."""
    return math.inf if value is None else check_number("max_time", value, low=0, accepted="a number >= 0, or None")


def check_trace(value: object) -> int:
    """Return how many iterations lie between two rows of a trace; 0: no trace."""
    accepted = "True, False or an integer >= 1, the iterations between two rows"
    if isinstance(value, (bool, np.bool_)):
        return int(value)
    return check_integer("trace", value, low=1, accepted=accepted)


def check_callback(value: object) -> Callable[[Any], object] | None:
    """Return a callback, or None."""
    if value is not None and not callable(value):
        raise TypeError(
            f"callback must be a function of a Step, or None. Found {value!r}, of type {type(value).__name__}."
        )
    return value


def check_n_threads(value: object, most: int) -> int:
    """Return a number of threads that Numba can launch."""
    n_threads = check_integer("n_threads", value, low=1, accepted="an integer >= 1, or None")
    if n_threads > most:
        raise ValueError(
            f"n_threads = {n_threads} is more than the {most} that Numba can launch here. Use fewer, or set the "
            "environment variable NUMBA_NUM_THREADS before Python starts."
        )
    return n_threads


def check_every(value: object, engine: str) -> Any:
    """Return what iterate yields a step for."""
    every = check_choice("every", value, EVERY)
    if every == "coordinate" and engine != "reference":
        raise ValueError(
            "every = 'coordinate' needs engine='reference', which updates one entry at a time. "
            f"Found engine={engine!r}."
        )
    return every


def check_installed(module: str, what: str) -> None:
    """Refuse what needs a package that is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"{what} needs scikit-learn, which is not installed: pip install scikit-learn. With this package: "
            'pip install "nmf-numba[sklearn]", or in a copy of its repository pip install -e ".[sklearn]".'
        )


def refuse_coordinates(solver: str) -> None:
    """Say that a solver does not update one entry at a time."""
    raise ValueError(
        f"every = 'coordinate' is not for solver {solver!r}, which does more than update one entry after the other. "
        "Use solver='cd', or every='half'."
    )


def refuse_engines_as_solvers(solvers: Iterable[object], engines: tuple[str, ...]) -> None:
    """Point who names an engine among solvers to the argument for engines."""
    for value in solvers:
        engine = OTHER_NAMES.get(value.lower(), value.lower()) if isinstance(value, str) else ""
        if engine in engines:
            raise ValueError(
                f"solvers has {value!r}, which is an engine: name it in engines=[..., {engine!r}] (on the command line "
                f"--engines ...,{engine}). Every solver runs with each engine."
            )


def check_init(value: object) -> Any:
    """Return init if it is None or a known name."""
    return None if value is None else check_choice("init", value, INITS, also=" or None")


def check_random_state(value: object) -> Any:
    """Return a generator of random numbers: fresh for an int, NumPy's own for None, else the one given."""
    if value is None:
        return np.random.mtrand._rand  # the stream that np.random.seed seeds
    if isinstance(value, (np.random.RandomState, np.random.Generator)):
        return value
    accepted = "an integer from 0 to 2**32 - 1, a numpy.random.RandomState or Generator, or None"
    seed = check_integer("random_state", value, low=0, accepted=accepted)
    if seed >= 2**32:
        raise ValueError(f"random_state must be {accepted}. Found {value!r}.")
    return np.random.RandomState(seed)


def check_n_components(value: object, n_features: int, *, given: Float | None) -> int:
    """Return the number of components; `given` is the H that was passed, if it is used."""
    accepted = "an integer >= 1, 'auto' or None"
    if isinstance(value, str) and value == "warn":
        if given is not None:
            return len(given)
        warn(
            f"n_components was not given, so all {n_features} features are kept: as many components as columns of X. "
            "Pass a number of components, or n_components=None to keep all features.",
            FutureWarning,
        )
        return n_features
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"n_components must be {accepted}. Found {value!r}.{did_you_mean(value, ('auto',))}")
        return n_features if given is None else len(given)
    return n_features if value is None else check_integer("n_components", value, low=1, accepted=accepted)


# --- arrays --------------------------------------------------------------------------------------------------------


def _kept(dtype: Any) -> Any:
    """float32 and float64 are kept, in this machine's byte order; everything else becomes float64."""
    return dtype.newbyteorder("=") if dtype.kind == "f" and dtype.itemsize in (4, 8) else np.dtype(np.float64)


def _as_csr(X: Any, name: str) -> Matrix:
    """X as a CSR of floats in canonical format, around X's own arrays if it is one."""
    try:  # SciPy's conversions trust the indices, so those are checked first
        if X.format == "coo":
            X = sparse.coo_array((X.data, (X.row, X.col)), shape=X.shape)
        elif X.format in ("csr", "csc", "bsr"):  # another object: what is set right below is not the caller's
            X = getattr(sparse, f"{X.format}_array")((X.data, X.indices, X.indptr), shape=X.shape)
            X.check_format(full_check=True)
        csr = sparse.csr_array(X.tocsr())
    except (ValueError, IndexError) as error:
        raise ValueError(f"{name} is not a valid {X.format.upper()} matrix: {containers.text_of(error)}.") from None
    if csr.dtype == bool and not csr.has_canonical_format:  # True and True is True
        csr = csr.copy()
        csr.sum_duplicates()
    with np.errstate(over="ignore", under="ignore"):
        data = csr.data.astype(_kept(csr.dtype), copy=False)
    csr = sparse.csr_array((data, csr.indices, csr.indptr), shape=csr.shape)
    if not csr.has_canonical_format:  # columns out of order or twice: an entry is the sum of what is stored for it
        csr = csr.copy()
        csr.sum_duplicates()
    if csr.indices.dtype != np.int32 and max(csr.nnz, *csr.shape) < 2**31:  # kernels are compiled for these once
        csr.indices, csr.indptr = csr.indices.astype(np.int32), csr.indptr.astype(np.int32)
    return csr


def _as_float(A: Any, name: str, dtype: Any = None) -> Float:
    """A as an ndarray of float32 or float64 (of dtype, if given), not copied if it is one."""
    if sparse.issparse(A):
        raise ValueError(f"{name} must be dense. Found a sparse matrix: use {name}.toarray().")
    if isinstance(A, np.ma.MaskedArray):
        raise ValueError(
            f"{name} is a masked array, and a mask has no meaning here: use {name}.filled(value), or "
            f"{name}.filled(nan) with missing='nan'."
        )
    containers.refuse_others(A, name)
    try:
        array = np.asarray(A)
    except ValueError as error:
        raise ValueError(
            f"{name} must be a 2-D array of numbers, but its rows are not alike: {containers.text_of(error)}."
        ) from None
    except (TypeError, RuntimeError, NotImplementedError) as error:  # an array of another library
        containers.refuse_unreadable(A, name, containers.text_of(error))
    if array.dtype.kind not in "biuf":
        _refuse_objects(array, name, containers.column_names(A))
    try:
        with np.errstate(over="ignore", under="ignore"):  # to infinity, which is refused with its place, and to zero
            return array.astype(dtype or _kept(array.dtype), copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold real numbers: {containers.text_of(error)}.") from None


def _refuse_objects(array: Any, name: str, columns: list[str] | None) -> None:
    """Refuse an array that is not of numbers, or of objects that are not all numbers."""
    if array.dtype.kind == "c":
        raise ValueError(
            f"{name} must hold real numbers. Found values of dtype {array.dtype}. Pass abs({name}), or {name}.real."
        )
    if array.dtype.kind in "US":
        raise ValueError(f"{name} must hold real numbers. Found text. If it is numbers, use {name}.astype(float).")
    if array.dtype.kind != "O":
        raise ValueError(f"{name} must hold real numbers. Found values of dtype {array.dtype}.")
    if array.ndim == 0 and array.item() is not None:
        containers.refuse_unreadable(array.item(), name, f"it is a {type(array.item()).__name__}")
    found = containers.first_that_is_no_number(array) if array.ndim == 2 else None
    if found is None:
        return
    row, column, value = found
    place = containers.place_of(row, column, name, columns)
    if containers.is_missing(value):
        _refuse_not_finite("NaN", f"{place} = {value!r}, which is a missing value", name)
    what = "text" if isinstance(value, (str, bytes)) else type(value).__name__
    way_out = " Leave out this column, or turn it into numbers first." if columns is not None else ""
    raise ValueError(f"{name} must hold real numbers. Found {what}: {place} = {value!r}.{way_out}")


AXES = {
    "X": ("samples", "features"),
    "W": ("samples", "components"),
    "H": ("components", "features"),
    "weights": ("samples", "features"),
}


def _check_shape(shape: tuple[int, ...], name: str) -> None:
    rows, columns = AXES[name]
    if len(shape) != 2:
        hint = (
            f" Use {name}.reshape(-1, 1) for one column, {name}.reshape(1, -1) for one row." if len(shape) == 1 else ""
        )
        raise ValueError(f"{name} must be 2-D, (n_{rows}, n_{columns}). Found {len(shape)}-D, of shape {shape}.{hint}")
    if shape[0] == 0:
        raise ValueError(f"{name} has no {rows}: its shape is {shape}. At least one row is needed.")
    if shape[1] == 0:
        raise ValueError(f"{name} has no {columns}: its shape is {shape}. At least one column is needed.")


def _refuse_not_finite(found: str, place: str, name: str, *, is_sparse: bool = False) -> NoReturn:
    """Say where an entry is not finite, and what to do about it."""
    leave_out = ""
    if (name, found) == ("X", "NaN"):
        leave_out = (
            " Or do not store it, and pass missing='not stored' if what X does not store is missing."
            if is_sparse
            else " Or pass missing='nan' to leave NaN out of the fit, as nmf_numba.fit and NMF do."
        )
    raise ValueError(
        f"{name} contains {found}: {place}. All entries must be finite: fill in what is missing first (impute), or "
        f"drop its row or column.{leave_out}"
    )


def _check_values(
    values: Float,
    name: str,
    place: Any,
    columns: list[str] | None = None,
    *,
    has_missing: bool = False,
    is_sparse: bool = False,
) -> float:
    """Check that all values are finite and non-negative without a copy of them; return the largest.

    place : gives the row and column of the value at a flat index, for the message
    columns : the names of the columns, for the message
    has_missing : NaN is a missing value
    """
    low, high = (values.min(), values.max()) if values.size else (0.0, 0.0)  # NaN spreads to both
    if has_missing and np.isnan(low):
        low, high = np.fmin.reduce(values, axis=None), np.fmax.reduce(values, axis=None)
        if np.isnan(low):
            raise ValueError(f"{name} has no entry that counts: all are missing.")
    if not (np.isfinite(low) and np.isfinite(high)):
        flat, size = values.reshape(-1), 1 << 20
        starts = range(0, len(flat), size)
        wrong = np.isinf if has_missing else lambda part: ~np.isfinite(part)
        places = (start + np.flatnonzero(wrong(flat[start : start + size])) for start in starts)
        at = int(next(found[0] for found in places if len(found)))
        row, column = place(at)
        found = "NaN" if np.isnan(low) else "infinity"
        where = f"{containers.place_of(row, column, name, columns)} = {flat[at]}"
        _refuse_not_finite(found, where, name, is_sparse=is_sparse)
    if low < 0:
        row, column = place(int((np.nanargmin if has_missing else np.argmin)(values)))
        raise ValueError(
            f"Negative values in data passed to NMF (input {name}): "
            f"{containers.place_of(row, column, name, columns)} = {low}. "
            f"Non-negative matrix factorization needs {name} >= 0."
        )
    return float(high)


def _read_only(array: Float) -> Float:
    """A view that can't be written: compiled code is then the same for arrays that may be written and that may not."""
    view = array.view()
    view.flags.writeable = False
    return view


def check_X(X: Any, name: str = "X", *, has_missing: bool = False) -> Matrix:
    """Return X as a read-only C-contiguous array or a canonical CSR, of float32 or float64, with finite entries >= 0.

    Nothing is copied if X is that already. has_missing: NaN may be among a dense X.
    """
    columns = None if sparse.issparse(X) else containers.column_names(X)
    X = containers.sparse_frame(X)
    if not sparse.issparse(X):
        dense = _as_float(containers.with_nan(X) if has_missing else X, name)
        _check_shape(dense.shape, name)
        dense = np.ascontiguousarray(dense)
        place_in = lambda flat: np.unravel_index(flat, dense.shape)  # noqa: E731
        _check_values(dense, name, place_in, columns, has_missing=has_missing)
        return _read_only(dense)

    _check_shape(X.shape, name)
    if X.dtype.kind not in "biuf":
        _refuse_objects(np.empty((0, 0), X.dtype), name, columns)
        raise ValueError(f"{name} must hold real numbers. Found values of dtype {X.dtype}.")
    csr = _as_csr(X, name)

    def place(flat: int) -> tuple[int, int]:
        return int(np.searchsorted(csr.indptr, flat, side="right")) - 1, int(csr.indices[flat])

    _check_values(csr.data, name, place, columns, is_sparse=True)
    csr.data, csr.indices, csr.indptr = _read_only(csr.data), _read_only(csr.indices), _read_only(csr.indptr)
    return csr


def check_container(X: Any, name: str = "X") -> None:
    """Refuse what is not a matrix, or has a mask, and say what to pass instead."""
    if isinstance(X, np.ma.MaskedArray):
        _as_float(X, name)
    containers.refuse_others(X, name)


def check_frame(X: Any, name: str = "X") -> None:
    """Refuse a frame with a column that is not of numbers."""
    if containers.is_frame(X) and not sparse.issparse(containers.sparse_frame(X)):
        _as_float(X, name)


def check_named_values(values: Matrix, X: Any, name: str = "X") -> None:
    """Check the values that were read from a frame X whose columns have names, so that a message can have them."""
    columns = containers.column_names(X)
    if columns is not None and not sparse.issparse(values):
        _check_values(values, name, lambda flat: np.unravel_index(flat, values.shape), columns)


def check_factor(A: Any, name: str, shape: tuple[int | None, int | None], dtype: Any) -> Float:
    """Return a given W or H, not copied if it is an array, after checks of its shape, dtype and values. None: any."""
    if hasattr(A, "dtype") and A.dtype.newbyteorder("=") != dtype:
        raise TypeError(
            f"{name} should have the same dtype as X, {dtype}. Found {A.dtype}. Use {name}.astype(X.dtype)."
        )
    array = _as_float(A, name, dtype)
    if array.ndim != 2:
        raise ValueError(
            f"Array passed to NMF (input {name}) must be 2-D. Found {array.ndim}-D, of shape {array.shape}."
        )
    if array.size == 0:
        _check_shape(array.shape, name)
    for which, expected, found in zip(("first", "second"), shape, array.shape, strict=True):
        if expected is not None and expected != found:
            raise ValueError(
                f"Array with wrong {which} dimension passed to NMF (input {name}). Expected {expected}, "
                f"but got {found}: the shape of {name} is {array.shape}."
            )
    array = array.astype(dtype, copy=False)
    columns = containers.column_names(A)
    if _check_values(array, name, lambda flat: np.unravel_index(flat, array.shape), columns) == 0:
        raise ValueError(f"Array passed to NMF (input {name}) is full of zeros, which no update can leave.")
    return array


def check_custom(X: Matrix, W: Any, H: Any, n_components: object, *, update_H: bool) -> tuple[Float | None, Float, int]:
    """Return the given W, copied, (None for update_H=False) and H, and the number of components."""
    n_samples, n_features = X.shape
    needed = {"W": W, "H": H} if update_H else {"H": H}
    for name, value in needed.items():
        if value is None:
            reason = "init='custom' needs both W and H" if update_H else "update_H=False needs H"
            raise ValueError(f"{reason}, but {name} is None. Pass {name}, or let `init` make a start.")
    if not update_H and W is not None:
        warn("When update_H=False, the provided initial W is not used.", RuntimeWarning)
    H = check_factor(H, "H", (None, n_features if update_H else None), X.dtype)
    if H.shape[1] != n_features:
        raise ValueError(
            f"X has {n_features} features, but H has {H.shape[1]}: the shape of X is {X.shape}, that of H {H.shape}. "
            "With update_H=False, X needs the features that H was found for, in the same order."
        )
    W = np.array(check_factor(W, "W", (n_samples, None), X.dtype), order="C") if update_H else None
    if W is not None and W.shape[1] != len(H):
        raise ValueError(
            f"Array with wrong second dimension passed to NMF (input W). Expected {len(H)}, but got {W.shape[1]}: W is "
            f"{W.shape}, (n_samples, n_components), and H is {H.shape}, (n_components, n_features)."
        )
    n_components = check_n_components(n_components, n_features, given=H)
    if len(H) != n_components:
        raise ValueError(
            f"Array with wrong first dimension passed to NMF (input H). Expected {n_components}, but got {len(H)}: "
            f"the shape of H is {H.shape}, and n_components is {n_components}. n_components='auto' takes it from H."
        )
    return W, H, n_components


def check_product(X: Matrix, W: Any, H: Any) -> tuple[Float, Float]:
    """Return W and H in float64 if they are non-negative and W @ H has the shape of X."""
    factors = []
    for name, A in (("W", W), ("H", H)):
        array = _as_float(A, name, np.float64)
        _check_shape(array.shape, name)
        _check_values(array, name, lambda flat, shape=array.shape: np.unravel_index(flat, shape))
        factors.append(array)
    W, H = factors
    if W.shape[1] != len(H) or (len(W), H.shape[1]) != X.shape:
        raise ValueError(
            f"W @ H must have the shape of X, {X.shape}. Found W of shape {W.shape}, H of shape {H.shape}."
        )
    return W, H


# --- what does not go together -------------------------------------------------------------------------------------


def check_zeros(X: Matrix, beta: float, name: str = "beta_loss", *, has_missing: bool = False) -> None:
    """Refuse zeros in X where the loss is infinite at them. has_missing: NaN, or what is not stored, is missing."""
    if beta > 0:
        return
    absent = sparse.issparse(X) and X.nnz < X.shape[0] * X.shape[1] and not has_missing
    values = X.data if sparse.issparse(X) else X
    least = (np.fmin.reduce(values, axis=None) if has_missing else values.min()) if values.size else 0
    if absent or least == 0:
        where = " (entries that are not stored are zeros)" if absent else ""
        raise ValueError(
            f"When {name} <= 0 and X contains zeros, the solver may diverge: the loss is infinite there. "
            f"Found {name} = {beta:g} and a zero in X{where}. Add a small value to X, or use a positive {name}."
        )


def check_scale(largest: float, what: str, dtype: Any, degree: float) -> None:
    """Refuse an X, or a WH to start from, whose entries leave X's dtype when a solver raises them to this degree."""
    limits = np.finfo(dtype)
    if largest > float(limits.max) ** (1 / degree):
        raise ValueError(
            f"X is too large: the largest entry of {what} is {largest:.3g}, and products of such numbers overflow "
            f"{dtype}. Divide X by a constant, for example X / X.max()."
        )
    if largest < float(limits.tiny) ** (1 / degree):
        raise ValueError(
            f"X is too small: the largest entry of {what} is {largest:.3g}, and products of such numbers underflow "
            f"{dtype}. Multiply X by a constant."
        )


def check_start(W: Float, H: Float, init: str | None, X: Matrix, largest: float) -> None:
    """Refuse an X from which no finite start can be made."""
    if not (math.isfinite(W.max()) and math.isfinite(H.max())):
        raise ValueError(
            f"X is too large: its largest entry is {largest:.3g}, and the start (init={init!r}) overflows {X.dtype}. "
            "Divide X by a constant, for example X / X.max()."
        )


def check_above_floor(largest: float, least: float, title: str) -> None:
    """Refuse an X that is everywhere below the floor that a solver puts under WH."""
    if largest < least:
        raise ValueError(
            f"X is too small: its largest entry is {largest:.3g}, and {title.lower()} for beta_loss < 2 keep WH "
            f"above {least:.3g}. Multiply X by a constant."
        )


def check_penalties(penalties: Iterable[float], dtype: Any) -> None:
    """Refuse penalties beyond X's dtype."""
    largest = max(penalties)
    if largest > float(np.finfo(dtype).max):
        raise ValueError(
            f"alpha_W or alpha_H is too large: multiplied by n_features or n_samples it overflowed {dtype}, at "
            f"{largest:.3g}. Use a smaller value."
        )


def check_finite(factors: Iterable[Float], n_iter: int) -> None:
    """Refuse factors that have overflowed."""
    for factor in factors:
        if math.isfinite(factor.max()):
            continue
        raise ValueError(
            f"The factors overflowed {factor.dtype} by iteration {n_iter}: X, the start or the penalties are too "
            "large. Divide X by a constant, for example X / X.max(), or use float64."
        )


def check_rank(n_components: int, shape: tuple[int, int], init: str | None) -> None:
    """Refuse an SVD start with more components than the matrix has singular values."""
    if init is not None and init.startswith("nndsvd") and n_components > min(shape):
        raise ValueError(
            f"init = '{init}' can only be used when n_components <= min(n_samples, n_features). Found n_components = "
            f"{n_components} for an X of shape {shape}. Use init='random' or fewer components."
        )


def refuse(solver: str, reason: str) -> None:
    """Say why a solver can't solve this problem."""
    start = "Invalid beta_loss parameter: " if reason.startswith("beta_loss") else ""
    raise ValueError(f"{start}solver {solver!r} does not handle {reason}")


def warn_ignored() -> None:
    """W or H were given but are not used."""
    warn(
        "When init!='custom', provided W or H are ignored. Set init='custom' to use them as initialization.",
        RuntimeWarning,
    )


def warn_zeros_stay(solver: str) -> None:
    """Start at nndsvd's zeros with a solver that can't leave them."""
    warn(
        f"init='nndsvd' has zeros, which solver={solver!r} can't update: they stay zero. "
        "Use init='nndsvda' or init='nndsvdar' for a start without zeros.",
        UserWarning,
    )


def warn_far_from_stationary(n_iter: int, kkt: float, category: type[Warning] = ConvergenceWarning) -> None:
    """A rule that compares with the start was met, but the factors are not near a stationary point."""
    warn(
        f"The stopping rule was met after {n_iter} iterations, but far from a stationary point: the relative KKT "
        f"residual is {kkt:.2g}. The rule compares with the first iteration, so a start that does not suit X ends it "
        "early. Use init='random', a smaller tol, or `nmf_numba.fit`, whose rule does not depend on the start.",
        category,
    )


def warn_not_converged(max_iter: int, tol: float, category: type[Warning] = ConvergenceWarning) -> None:
    """max_iter came before the stopping rule was met."""
    warn(
        f"Maximum number of iterations {max_iter} reached. Increase it to improve convergence, or raise tol ({tol:g}).",
        category,
    )
