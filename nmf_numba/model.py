"""Models: a factorization and how it was made, in one .npz file that needs no pickle."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nmf_numba.files import UNREADABLE, check_output, write_file
from nmf_numba.version import __version__

FORMAT = 2  # 1 had no names of rows and columns
NAMES = {"row_names": ("W", 0), "column_names": ("H", 1)}  # the factor and the axis whose length they have


def check_path(path: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """Return where a model is to be written, or refuse: before a fit, so that no work is lost.

    Parameters
    ----------
    path : str or path-like
        Must end in .npz.
    overwrite : bool
        Whether a file that is there may be replaced.

    Raises
    ------
    ValueError
        The path ends otherwise, exists and must not be replaced, or can't be written.
    """
    if Path(path).suffix != ".npz":
        raise ValueError(f"a model is written to a file that ends in .npz. Found {os.fspath(path)!r}.")
    check_output(Path(path), overwrite=overwrite)
    return Path(path)


def write(path: str | os.PathLike[str], arrays: Mapping[str, Any], *, overwrite: bool = False) -> None:
    """Write a model as a whole or not at all: aside first, then under its name.

    Parameters
    ----------
    path : str or path-like
        Must end in .npz.
    arrays : mapping of str to array-like, number, str or None
        `W`, `H`, `parameters` (a dictionary that JSON can hold), `row_names` and `column_names` (sequences of str, or
        None) and whatever else is known: `n_iter`, `stop_reason`, the terms of the objective, the columns of a trace.
        An entry that is None is left out.
    overwrite : bool, default False
        Replace a file that is there.

    Raises
    ------
    ValueError
        The path does not end in .npz, exists and must not be replaced, or can't be written; names are not as many as
        rows or columns; W and H do not fit each other.
    TypeError
        An entry is neither numbers nor text, or JSON can't hold the parameters.
    OSError
        Writing failed. A file that was there is as it was.

    Notes
    -----
    `numpy.load(path)` reads the file too. `parameters` is JSON there, and a 0-dimensional array of text.
    """
    target = check_path(path, overwrite=overwrite)
    kept = {name: value for name, value in arrays.items() if value is not None}
    kept["parameters"] = json.dumps(kept.get("parameters", {}), default=plain)
    stored = {name: np.asarray(value, dtype=str if name in NAMES else None) for name, value in kept.items()}
    for name, array in stored.items():
        if array.dtype.kind not in "biufU":
            raise TypeError(f"a model holds numbers and text. Found {name} of dtype {array.dtype}.")
    reason = mismatch(stored)
    if reason:
        raise ValueError(f"{reason}.")
    stored |= {"version": np.asarray(__version__), "model_format": np.asarray(FORMAT)}
    write_file(target, functools.partial(np.savez, **stored), overwrite=overwrite)  # type: ignore[arg-type]


def read(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return what `write` was given: arrays, numbers and text, `parameters` as a dictionary, names as lists or None.

    Parameters
    ----------
    path : str or path-like
        A file that `write` has written, with this version of the package or an earlier one.

    Raises
    ------
    ValueError
        The file can't be read, is damaged, is no model, or comes from a later version of the package.
    """
    refusal = ValueError(
        f"{path} is not a model: it is damaged, or neither `nmf-numba fit --out` nor `Factorization.save` wrote it."
    )
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            stored = dict(arrays)  # reads all of it, so that checksums tell what is damaged
        model_format, version = int(stored.pop("model_format")), str(stored.pop("version"))
        kept = {name: array.item() if array.ndim == 0 else array for name, array in stored.items()}
        parameters = json.loads(kept["parameters"])
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}.") from error
    except (*UNREADABLE, AttributeError, IndexError) as error:
        raise refusal from error
    if model_format > FORMAT:
        raise ValueError(f"{path} was written by nmf-numba {version}, which is newer than this one. Upgrade.")
    if not isinstance(parameters, dict) or mismatch(stored):
        raise refusal
    if model_format == 1:  # W and H were names of files
        files = {f"{name}_file": parameters.pop(name) for name in ("W", "H") if name in parameters}
        parameters = {"stopping": "scikit-learn"} | parameters | files
    names = {name: kept[name].tolist() if name in kept else None for name in NAMES}
    return kept | names | {"parameters": parameters}


def plain(value: object) -> Any:
    """Return a NumPy number as Python's, for JSON, or refuse a parameter that a file can't hold."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"the parameters of a model must be numbers, text, True, False or None. Found {value!r}, of type "
        f"{type(value).__name__}."
    )


def mismatch(stored: Mapping[str, np.ndarray[Any, Any]]) -> str:
    """Return what does not fit together in a model, or nothing."""
    factors = {name: stored.get(name, np.empty(0)) for name in ("W", "H")}
    for name, factor in factors.items():
        if factor.ndim != 2 or factor.dtype.kind != "f":
            return f"a model needs {name} as a 2-D array of floats. Found shape {factor.shape}, dtype {factor.dtype}"
    W, H = factors["W"], factors["H"]
    if W.shape[1] != len(H):
        return f"W and H must have as many components. Found W of shape {W.shape}, H of shape {H.shape}"
    for name, (factor_name, axis) in NAMES.items():
        expected = (factors[factor_name].shape[axis],)
        if name in stored and (stored[name].shape != expected or stored[name].dtype.kind != "U"):
            return f"{name} must be {expected[0]} texts. Found shape {stored[name].shape}"
    return ""
