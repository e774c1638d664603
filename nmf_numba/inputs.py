"""What the command line reads: bundled data sets, and matrices from files."""

from __future__ import annotations

import gzip
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import io, sparse

from nmf_numba import frames
from nmf_numba.datasets import DATASETS
from nmf_numba.files import UNREADABLE
from nmf_numba.frames import Input
from nmf_numba.names import positions_of
from nmf_numba.problem import Matrix

NUMBER = rb"[-+]?(?:(?:\d++\.?+\d*+|\.\d++)(?:[eE][-+]?\d++)?+|(?i:nan|infinity|inf))"
BLOCK = 1 << 24  # bytes of lines that are checked at once


def read_npy(path: Path, name: str) -> Matrix:
    """Read an array that numpy.save wrote."""
    with path.open("rb") as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def read_npz(path: Path, name: str) -> Matrix:
    """Read a sparse matrix that scipy.sparse.save_npz wrote, or an array that numpy.savez wrote: the one, or `name`."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        if {"format", "shape", "data"} <= set(arrays.files):
            file.seek(0)
            return sparse.load_npz(file)
        wanted = name if name in arrays.files or len(arrays.files) != 1 else arrays.files[0]
        if wanted not in arrays.files:
            found = ", ".join(arrays.files) or "no array"
            raise ValueError(f"it must hold one array, or one called {name}. Found {found}")
        return arrays[wanted]


def read_mtx(path: Path, name: str) -> Matrix:
    """Read a Matrix Market file, compressed or not, with SciPy after a check of its lines."""
    n_rows, n_columns, _, layout, field, symmetry = io.mminfo(str(path))
    if field not in ("real", "double", "integer", "unsigned-integer", "pattern"):
        raise ValueError(f"its first line must say real, integer or pattern. Found {field}")
    if symmetry not in ("general", "symmetric"):
        raise ValueError(f"its first line must say general or symmetric. Found {symmetry}")
    if symmetry == "symmetric" and n_rows != n_columns:
        raise ValueError(f"a symmetric matrix must be square. Found {n_rows} x {n_columns}")
    check_mtx_lines(path, layout, field)
    found = io.mmread(str(path))
    return sparse.coo_array(found) if sparse.issparse(found) else found


def check_mtx_lines(path: Path, layout: str, field: str) -> None:
    """Refuse a line that is not whole indices and a number.

    SciPy 1.17 reads column 1 and the value 0.9 from "1 1.9 0.5", and crashes where the last line ends in "0.5E-".
    """
    index = rb"\d++[ \t]++\d++" if layout == "coordinate" else b""
    value = {"pattern": b"", "integer": rb"[-+]?\d++", "unsigned-integer": rb"\d++"}.get(field, NUMBER)
    entry = rb"[ \t]++".join(part for part in (index, value) if part)
    right = re.compile(rb"(?:[ \t]*+(?:%b)?+[ \t\r]*+\n)*+" % entry)  # possessive: nothing is tried twice
    opener: Callable[..., Any] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rb") as file:
        head = itertools.takewhile(lambda line: line.startswith(b"%") or not line.strip(), file)
        n_lines = sum(1 for _ in head) + 1  # that of the sizes too, which mminfo has read
        while lines := file.readlines(BLOCK):
            block = b"".join(lines) + (b"" if lines[-1].endswith(b"\n") else b"\n")
            found = right.match(block)
            if found is None or found.end() < len(block):
                start = 0 if found is None else found.end()
                at = n_lines + block.count(b"\n", 0, start) + 1
                text = block[start : block.index(b"\n", start)].decode(errors="backslashreplace").strip()
                numbers = {"pattern": "", "integer": "an integer", "unsigned-integer": "an integer"}
                parts = ["two whole numbers"] if index else []
                parts += [numbers.get(field, "a number")] if value else []
                raise ValueError(f"line {at} must be {' and '.join(parts)}. Found {text[:60]!r}")
            n_lines += len(lines)


READERS: dict[str, Callable[[Path, str], Matrix]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
}
SUFFIXES = (*READERS, *frames.SUFFIXES)


def check_input(path: str, name: str = "X", options: frames.Options | None = None) -> None:
    """Refuse a name that is neither a data set nor a file that can be read, and options that it has no use for."""
    if options is not None:
        options.check(path)
    if name == "X" and path in DATASETS:
        return
    if not path.lower().endswith(SUFFIXES) and frames.ending(path) not in frames.SEPARATORS:
        known = "" if name != "X" else f"a bundled data set ({', '.join(DATASETS)}) or "
        raise ValueError(f"{name} must be {known}a file that ends in {', '.join(SUFFIXES)}. Found {path!r}.")
    try:
        Path(path).open("rb").close()
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}.") from error


def read_input(
    path: str, name: str = "X", options: frames.Options | None = None, wanted: list[str] | None = None
) -> Input:
    """Read the matrix called `name` from a file; its format is told by the end of its name."""
    check_input(path, name, options)
    reader = next((READERS[suffix] for suffix in READERS if path.lower().endswith(suffix)), None)
    try:
        if reader is not None:
            return Input(reader(Path(path), name))
        return frames.read_table(Path(path), options or frames.Options(), wanted, factor=name != "X")
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} can't be read: {error}. Save it as UTF-8.") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} can't be read: {str(error).rstrip('.') or type(error).__name__}.") from error


def load_input(name: str, options: frames.Options | None = None, wanted: list[str] | None = None) -> Input:
    """Return X and the names of its rows and columns, from a bundled data set or a file.

    Parameters
    ----------
    name : str
        A key of DATASETS, or a path that ends in one of SUFFIXES.
    options : frames.Options or None
        How a table is to be read.
    wanted : list of str or None
        Columns to return, in this order, if the file names its columns.

    Raises
    ------
    ValueError
        There is no such file, it can't be read, or it is not a matrix of numbers.
    ImportError
        It is a table, and what reads it is not installed.
    """
    if name not in DATASETS:
        return read_input(name, "X", options, wanted)
    check_input(name, "X", options)
    try:
        known = DATASETS[name]()
    except RuntimeError as error:  # its source is not there
        raise ValueError(str(error)) from error
    X, columns = known.X, known.column_names
    if wanted is not None and columns is not None and wanted != columns:
        X, columns = X[:, positions_of(wanted, columns)], wanted
    named = [what for what, names in (("rows", known.row_names), ("columns", columns)) if names is not None]
    note = f"{' and '.join(named)} by the data set" if named else "none"
    return Input(X, known.row_names, columns, note)


def read_factor(path: str | None, name: str, dtype: Any) -> Any:
    """Read W or H in the data type of X."""
    if path is None:
        return None
    factor = read_input(path, name).X
    factor = factor.toarray() if sparse.issparse(factor) else factor
    return factor.astype(dtype, copy=False) if factor.dtype.kind in "biuf" else factor  # fit refuses the others
