"""Which entries of X count, and how much: missing entries, weights, and entries of W and H that stay."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nmf_numba import containers, validation
from nmf_numba.names import refuse_other_names
from nmf_numba.problem import Float, Matrix, Problem

Missing = Literal["nan", "not stored"]
SHOWN = 5  # rows or columns that a warning names
MOST_SCALE = 2.0**60  # of rows that have weights


def observe(X: Any, missing: object, weights: Any) -> dict[str, Any]:
    """Return X, checked, and what `Problem` is to know of it: missing and weights."""
    if missing is not None:
        validation.check_choice("missing", missing, get_args(Missing), also=" or None")
    _check_layout(X, missing)
    refuse_other_names(X, "weights", weights, (0, 1))
    X = validation.check_X(X, has_missing=missing == "nan")
    if weights is None:
        return {"X": X, "missing": missing is not None, "weights": None}
    given = _check_weights(weights, X)
    if sparse.issparse(given):
        X, given = _on_stored(X, given, is_zero=missing is None)
    elif sparse.issparse(X) and missing is None:
        given = _of_rows(X, given)
        return {"X": _without_uncounted(X, given), "missing": False, "weights": None, "row_weights": given}
    elif sparse.issparse(X):
        X, given = _at_stored(X, given)
    return {
        "X": X,
        "missing": missing is not None or sparse.issparse(X),
        "weights": given,
        "largest_weight": float(given.max()),
    }


def _check_layout(X: Any, missing: object) -> None:
    is_sparse = sparse.issparse(X) or sparse.issparse(containers.sparse_frame(X))
    if missing == "nan" and is_sparse:
        raise ValueError(
            "missing = 'nan' is for a dense X. Found a sparse one: use missing='not stored' if what it does not store "
            "is missing, or X.toarray()."
        )
    if missing == "not stored" and is_sparse and getattr(X, "format", None) == "dia":
        raise ValueError(
            "missing = 'not stored' is not for a DIA matrix, which stores whole diagonals and does not say which of "
            "their zeros were measured. Pass a COO or CSR matrix that stores what is known."
        )
    if missing == "not stored" and not is_sparse:
        raise ValueError(
            "missing = 'not stored' is for a sparse X. Found a dense one: mark what is missing by NaN and use "
            "missing='nan', or pass scipy.sparse.csr_array(X) if zeros are missing."
        )


def _check_weights(weights: Any, X: Matrix) -> Any:
    """Return weights as a CSR, or as a dense array of X's shape or with one column."""
    shape = np.shape(weights)
    if sparse.issparse(weights) and weights.shape == (X.shape[0], 1):
        weights = weights.toarray()
    if not sparse.issparse(weights):
        values = np.asarray(weights)
        if values.ndim == 1:  # one weight a row
            weights = values.reshape(-1, 1)
    found = validation.check_X(weights, "weights")
    if found.shape not in ((X.shape,) if sparse.issparse(found) else (X.shape, (X.shape[0], 1))):
        raise ValueError(
            f"weights must have X's shape, {X.shape}, or one value for each of the {X.shape[0]} rows. "
            f"Found shape {shape}."
        )
    if found.max() == 0:
        raise ValueError("weights are all zero, so no entry of X counts. At least one must be positive.")
    return found.astype(X.dtype, copy=False)


def _of_rows(X: Any, weights: Float) -> Float:
    """Return one weight for each row of a sparse X whose zeros count."""
    if weights.shape[1] > 1:
        raise ValueError(
            "weights for a sparse X whose zeros count must be one for each row, or a sparse matrix of X's shape: what "
            "it does not store has the weight zero. Found a dense matrix. Pass scipy.sparse.csr_array(weights), "
            "missing='not stored' if what X does not store is missing, or X.toarray()."
        )
    return weights[:, 0]


def _without_uncounted(X: Matrix, weights: Float) -> Matrix:
    """Return X without what it stores in rows of weight zero, where nobody may look."""
    if (weights > 0).all():
        return X
    X = X.copy()
    X.data = X.data * np.repeat(weights > 0, np.diff(X.indptr))
    X.eliminate_zeros()
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    return X


def with_scaled_rows(problem: Problem) -> Problem:
    """Make weights of rows a part of a sparse X, or refuse them."""
    if problem.row_weights is None:
        return problem
    has_penalty = problem.l1_W > 0 or problem.l2_W > 0
    if problem.beta <= 0 or has_penalty:
        raise ValueError(
            "weights of rows, for a sparse X whose zeros count, need beta_loss > 0 and alpha_W = 0. Found "
            f"{'a penalty on W' if has_penalty else f'beta_loss = {problem.beta}'}. Pass X.toarray() for that."
        )
    scaled = problem.with_scaled_rows()
    scale = np.array(scaled.row_scale)
    scale = scale[scale > 0]
    if scale.min() < 1 / MOST_SCALE or scale.max() > MOST_SCALE:
        raise ValueError(
            "weights m of rows, for a sparse X whose zeros count, multiply its rows by m^(1/beta), which must be from "
            f"{1 / MOST_SCALE:.0e} to {MOST_SCALE:.0e}. Found {scale.min():.0e} to {scale.max():.0e}, for beta_loss = "
            f"{problem.beta:g}. Pass weights nearer to 1, or X.toarray()."
        )
    return scaled


def _at_stored(X: Any, weights: Float) -> tuple[Any, Float]:
    """Return X where dense weights are positive at what it stores, and these weights."""
    rows = np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))
    stored: Float = weights[rows, 0 if weights.shape[1] == 1 else X.indices]
    return (X, stored) if stored.all() else _kept(X, rows, X.indices, X.data, stored, stored > 0)


def _on_stored(X: Matrix, weights: Any, *, is_zero: bool) -> tuple[Any, Float]:
    """Return X where sparse weights are positive, as a CSR that stores these entries, zeros too; and the weights."""
    at = weights.tocoo()  # from a CSR: rows in order
    rows, columns, values = at.row, at.col, at.data
    if sparse.issparse(X):
        x = np.asarray(X[rows, columns]).reshape(-1)
        stores = sparse.csr_array((np.ones(X.nnz, np.int8), X.indices, X.indptr), shape=X.shape)
        counts = (values > 0) & (is_zero | (np.asarray(stores[rows, columns]).reshape(-1) > 0))
    else:
        x = X[rows, columns]
        counts = (values > 0) & ~np.isnan(x)
    return _kept(X, rows, columns, x, values, counts)


def _kept(X: Matrix, rows: Any, columns: Any, x: Float, weights: Float, counts: Any) -> tuple[Any, Float]:
    """Return a CSR that stores the entries that count, and their weights."""
    indptr = np.searchsorted(rows[counts], np.arange(X.shape[0] + 1)).astype(np.int32)
    kept = sparse.csr_array((x[counts].astype(X.dtype), columns[counts].astype(np.int32), indptr), shape=X.shape)
    for array in (kept.data, kept.indices, kept.indptr):
        array.flags.writeable = False
    return kept, weights[counts]


def check_entries(problem: Problem, names: list[str] | None = None) -> None:
    """Refuse an X without any entry that counts, and warn of rows and columns without one."""
    rows, columns = problem.without_entries
    if len(rows) == problem.X.shape[0]:
        raise ValueError("X has no entry that counts: all are missing, or have the weight zero.")
    _warn_without("row", "W", rows)
    _warn_without("column", "H", columns, names)


def _warn_without(what: str, factor: str, found: NDArray[np.intp], names: list[str] | None = None) -> None:
    """Warn of rows or columns of which no entry counts."""
    if len(found) > 0:
        shown = ", ".join(str(names[i]) if names else str(i) for i in found[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        many = "" if len(found) == 1 else "s"
        validation.warn(
            f"X has no entry that counts in {what}{many} {shown}{more}: there {factor} stays where it starts. "
            f"Leave the {what}{many} out, or do not use {factor} there.",
            UserWarning,
        )


def check_fixed(name: str, fixed: Any, shape: tuple[int, int], axis: int) -> NDArray[np.bool_] | None:
    """Return which entries of a factor stay, as a mask of its shape; fixed may name components, along an axis."""
    if fixed is None:
        return None
    accepted = f"{name} must be a mask of {name[-1]}'s shape, {shape}, or a list of components below {shape[axis]}"
    try:
        array = np.atleast_1d(np.asarray(fixed))
    except ValueError:
        raise ValueError(f"{accepted}. Found {fixed!r}.") from None
    if array.dtype == bool:
        if array.shape != shape:
            raise ValueError(f"{accepted}. Found a mask of shape {array.shape}.")
        return np.ascontiguousarray(array)
    mask = np.zeros(shape, np.bool_)
    if array.size == 0:
        return None
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise TypeError(f"{accepted}. Found {fixed!r}.")
    if array.min() < 0 or array.max() >= shape[axis]:
        raise ValueError(f"{accepted}. Found {fixed!r}.")
    mask[array if axis == 0 else (slice(None), array)] = True
    return mask


def check_given(name: str, given: Any, fixed: Any, shape: tuple[int, int], axis: int, dtype: Any) -> Float:
    """Return a factor of which something stays, in full; it may have nothing but the components that stay."""
    found = np.array(validation.check_X(given, name), dtype)
    components = np.atleast_1d(np.asarray(fixed))
    part = tuple(len(components) if at == axis else n for at, n in enumerate(shape))
    if found.shape != shape and found.shape == part and components.dtype != bool:
        whole = np.zeros(shape, dtype)
        whole[components if axis == 0 else (slice(None), components)] = found
        return whole
    if found.shape != shape:
        raise ValueError(
            f"{name} must have the shape {shape}, or {part} with a list in fixed_{name}. Found shape {found.shape}."
        )
    return found
