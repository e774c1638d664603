"""Names of rows and columns, where X is a data frame."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np

from nmf_numba import validation


def _is_frame(X: Any, package: str) -> bool:
    module = sys.modules.get(package)  # who has a data frame has imported its package
    return module is not None and isinstance(X, getattr(module, "DataFrame", ()))


def names_of(X: Any) -> tuple[list[str] | None, list[str] | None]:
    """Return the names of rows and columns of a data frame of pandas or polars; None for anything else.

    Numbers that pandas counts from 0 are no names.
    """
    if _is_frame(X, "polars"):
        return None, list(X.columns)
    if not _is_frame(X, "pandas"):
        return None, None
    counted = sys.modules["pandas"].RangeIndex
    named = [None if isinstance(axis, counted) else [str(name) for name in axis] for axis in (X.index, X.columns)]
    return named[0], named[1]


def positions_of(columns: list[str], own: list[str]) -> list[int]:
    """Return where the columns of the fit are among those of another X; what is left out is named in a warning."""
    counts = Counter(own)
    missing = [name for name in columns if name not in counts]
    if missing:
        raise ValueError(
            f"X lacks {len(missing)} of the {len(columns)} columns of the fit: {_listed(missing)}. Columns are matched "
            "by name; pass X as an array to match them by position."
        )
    doubled = sorted({name for name in columns if counts[name] > 1})
    if doubled:
        raise ValueError(f"X has columns of the same name: {_listed(doubled)}. Rename them.")
    known, places = set(columns), {name: at for at, name in enumerate(own)}
    more = [name for name in own if name not in known]
    if more:
        validation.warn(
            f"X has columns that the fit does not know, and they are left out: {_listed(more)}.", UserWarning
        )
    return [places[name] for name in columns]


def in_order_of(columns: list[str] | None, X: Any) -> Any:
    """Return a data frame with these columns in this order, found by name; anything else as it is."""
    _, own = names_of(X)
    if columns is None or own is None or own == columns:
        return X
    positions = positions_of(columns, own)
    return X[:, positions] if _is_frame(X, "polars") else X.iloc[:, positions]


def positions(what: str, given: Any, names: list[str] | None) -> Any:
    """Return positions of rows or columns that are given by position or by name."""
    array = np.asarray(given)
    if array.dtype.kind in "iu":
        return array
    if names is None:
        raise ValueError(f"{what} must be positions: the fit has no names of {what}. Found {given!r}.")
    places = {name: at for at, name in enumerate(names)}
    unknown = [name for name in map(str, array.reshape(-1)) if name not in places]
    if unknown:
        raise ValueError(f"The fit has no {what} {_listed(unknown)}.")
    return np.array([places[name] for name in map(str, array.reshape(-1))], np.intp).reshape(array.shape)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
