"""What other libraries hold a matrix in: which is taken, under which names, and what to pass instead of the others.

No library is imported for this. An object of a library that is not there can't come.
"""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

INSTEAD = {  # an attribute that only such objects have, what they are, and what to pass
    "collect_schema": ("a lazy frame, which holds no data yet", "{name}.collect()"),
    "obs_names": ("annotated data, a matrix with tables around it", "{name}.X, or a layer such as {name}.layers[...]"),
    "to_memory": ("data that is kept in a file", "{name}.to_memory()"),
    "data_vars": ("a set of several arrays", "one of them, such as {name}[...].values"),
}
AFTER_FAILURE = {  # these have a method that makes an array, if NumPy can't
    "detach": "{name}.detach().cpu().numpy()",
    "compute": "{name}.compute()",
    "todense": "{name}.todense()",
    "__cuda_array_interface__": "{name}.get()",
}


def is_frame(X: Any) -> bool:
    """Return whether X has columns that may have names: a data frame of pandas, polars or another library."""
    return hasattr(X, "shape") and hasattr(X, "columns")


def refuse_others(X: Any, name: str) -> None:
    """Refuse what is not a matrix, and say what to pass instead."""
    if isinstance(X, (str, bytes, os.PathLike)):
        raise ValueError(
            f"{name} must be a matrix of real numbers. Found {X!r}. If it is a file's name, read the file first, for "
            "example with numpy.load, numpy.loadtxt or pandas.read_csv; the command `nmf-numba fit` reads files."
        )
    if isinstance(X, (np.ndarray, list, tuple)) or is_frame(X):
        return
    for attribute, (found, instead) in INSTEAD.items():
        if hasattr(X, attribute):
            raise ValueError(
                f"{name} must be a matrix. Found {type(X).__name__}, {found}: pass {instead.format(name=name)}."
            )


def text_of(error: Exception) -> str:
    """Return the text of an error without its full stop, to be part of a sentence."""
    return str(error).strip().rstrip(".")


def refuse_unreadable(X: Any, name: str, reason: str) -> NoReturn:
    """Say that NumPy can't read an object, why, and which method of it helps."""
    hint = next((text.format(name=name) for method, text in AFTER_FAILURE.items() if hasattr(X, method)), None)
    way_out = f" Pass {hint}." if hint is not None else " Pass a NumPy array or a SciPy sparse matrix."
    raise ValueError(f"{name} can't be read as an array: {reason}.{way_out}") from None


def sparse_frame(X: Any) -> Any:
    """Return a pandas frame whose columns are all sparse, with 0 as what they do not store, as a COO; else X."""
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(X, pandas.DataFrame) or not len(X.columns):
        return X
    if not all(isinstance(dtype, pandas.SparseDtype) and dtype.fill_value == 0 for dtype in X.dtypes):
        return X
    return sparse.coo_array(X.sparse.to_coo())


def with_nan(X: Any) -> Any:
    """Return X with NaN for what a pandas frame, the mask of an array or None among objects marks as missing."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(X, pandas.DataFrame):
        try:
            return X.to_numpy(dtype=np.float64, na_value=np.nan) if X.isna().to_numpy().any() else X
        except (TypeError, ValueError):  # a column of text: refused later, by its name
            return X
    if isinstance(X, np.ma.MaskedArray):
        masked: Any = X.astype(X.dtype if X.dtype.kind == "f" else np.float64)
        return masked.filled(np.nan)
    if isinstance(X, (np.ndarray, list, tuple)):
        try:
            objects = np.asarray(X)
        except ValueError:  # rows of several lengths: refused later
            return X
        if objects.dtype == object:
            return np.where(np.frompyfunc(is_missing, 1, 1)(objects).astype(bool), np.nan, objects)
    return X


def column_names(X: Any) -> list[str] | None:
    """Return the names of a frame's columns, None if they are numbers or X has none."""
    names = list(X.columns) if is_frame(X) else []
    return [str(name) for name in names] if any(isinstance(name, str) for name in names) else None


def place_of(row: int, column: int, name: str, columns: list[str] | None) -> str:
    """Return an entry's place, with the name of its column if it has one."""
    named = f" (column {columns[column]!r})" if columns is not None else ""
    return f"{name}[{row}, {column}]{named}"


def is_missing(value: Any) -> bool:
    """Return whether an object stands for a missing value: None, and pandas' NA and NaT."""
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def first_that_is_no_number(objects: Any) -> tuple[int, int, Any] | None:
    """Return row, column and value of the first entry of a 2-D array of objects that is no real number."""
    for row, column in np.ndindex(objects.shape):
        value = objects[row, column]
        if isinstance(value, (str, bytes, complex, np.complexfloating)):
            return row, column, value
        try:
            float(value)
        except OverflowError:
            continue
        except (TypeError, ValueError):
            return row, column, value
    return None
