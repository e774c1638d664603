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


def _labels(A: Any, axis: int) -> list[str] | None:
    """Return what a frame or Series of pandas, or a frame of polars, calls its rows (axis 0) or columns, also if these
    are counted; None for anything else.
    """
    if _is_frame(A, "polars"):
        return list(A.columns) if axis == 1 else None
    pandas = sys.modules.get("pandas")
    if pandas is None or not isinstance(A, (pandas.DataFrame, pandas.Series)) or axis >= A.ndim:
        return None
    return [str(name) for name in A.axes[axis]]


def _counted(n: int) -> list[str]:
    return [str(number) for number in range(n)]


def names_of(X: Any) -> tuple[list[str] | None, list[str] | None]:
    """Return the names of rows and columns of a data frame of pandas or polars; None for anything else.

    Numbers that pandas counts from 0 are no names.
    """
    labels = [_labels(X, axis) for axis in (0, 1)]
    rows, columns = (None if names is not None and names == _counted(len(names)) else names for names in labels)
    return rows, columns


def _are_numbers(own: list[str], other: list[str]) -> bool:
    """Return whether one of these only counts, and the other has other names: then both go by position."""
    return (_counted(len(own)) == own or _counted(len(other)) == other) and not set(own) <= set(other)


def first_other(own: list[str] | None, names: list[str] | None) -> int | None:
    """Return where these names first differ; None: nowhere, or they are not to be compared.

    Those of another length are not: they are refused by their shape.
    """
    if own is None or names is None or len(own) != len(names) or _are_numbers(own, names):
        return None
    return next((number for number, pair in enumerate(zip(own, names, strict=True)) if pair[0] != pair[1]), None)


def refuse_other_names(X: Any, argument: str, other: Any, axes: tuple[int | None, int | None]) -> None:
    """Refuse a frame whose rows or columns are not called as those of X, in its order.

    axes : which axis of `other` is X's rows, and which its columns; None: none is
    """
    for axis_of_X, axis in enumerate(axes):
        names, own = _labels(X, axis_of_X), None if axis is None else _labels(other, axis)
        first = first_other(own, names)
        if own is not None and names is not None and first is not None:
            raise ValueError(
                f"{argument} is not named as X is: its {('row', 'column')[axis or 0]} {first} is {own[first]!r}, and "
                f"{names[first]!r} in X. Bring it into X's order, or pass {argument}.to_numpy() to go by position."
            )


def refuse_other_factors(X: Any, W: Any, H: Any) -> None:
    """Refuse a W whose rows, or an H whose columns, are not named as those of X."""
    refuse_other_names(X, "W", W, (0, None))
    refuse_other_names(X, "H", H, (None, 1))


def positions_of(known: list[str], own: list[str], what: str = "columns") -> list[int]:
    """Return where the fit's rows or columns are among those of another X; what is left out is named in a warning."""
    counts = Counter(own)
    missing = [name for name in known if name not in counts]
    if missing:
        raise ValueError(
            f"X lacks {len(missing)} of the {len(known)} {what} of the fit: {_listed(missing)}. They are matched by "
            "name; pass X as an array to match them by position."
        )
    doubled = sorted({name for name in known if counts[name] > 1})
    if doubled:
        raise ValueError(f"X has {what} of the same name: {_listed(doubled)}. Rename them.")
    of_fit, places = set(known), {name: at for at, name in enumerate(own)}
    more = [name for name in own if name not in of_fit]
    if more:
        left_out = f"X has {what} that the fit does not know, and they are left out: {_listed(more)}."
        validation.warn(left_out, UserWarning)
    return [places[name] for name in known]


def positions_in(X: Any, axis: int, known: list[str] | None, n_known: int) -> list[int] | None:
    """Return where the fit's rows (axis 0) or columns are in X, found by name; None: where they were in the fit.

    known : their names, None if they were counted
    """
    own, known = _labels(X, axis), _counted(n_known) if known is None else known
    if own is None or own == known or _are_numbers(known, own):
        return None
    return positions_of(known, own, ("rows", "columns")[axis])


def in_order_of(columns: list[str] | None, n_columns: int, X: Any) -> Any:
    """Return a data frame with the fit's columns in its order, found by name; anything else as it is."""
    positions = positions_in(X, 1, columns, n_columns)
    if positions is None:
        return X
    return X[:, positions] if _is_frame(X, "polars") else X.iloc[:, positions]


def positions(what: str, given: Any, names: list[str] | None) -> Any:
    """Return positions of rows or columns that are given by position or by name."""
    array = np.asarray(given)
    if array.dtype.kind in "iu" or array.size == 0:
        return array.astype(np.intp)
    if names is None:
        raise ValueError(f"{what} must be positions: the fit has no names of {what}. Found {given!r}.")
    counts, places = Counter(names), {name: at for at, name in enumerate(names)}
    asked = [str(name) for name in array.reshape(-1)]
    unknown = [name for name in asked if name not in places]
    if unknown:
        raise ValueError(f"The fit has no {what} {_listed(unknown)}.")
    doubled = sorted({name for name in asked if counts[name] > 1})
    if doubled:
        raise ValueError(f"The fit has several {what} called {_listed(doubled)}. Pass their positions.")
    return np.array([places[name] for name in asked], np.intp).reshape(array.shape)


def _listed(names: list[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
