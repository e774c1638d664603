"""Reading matrices from files."""

from __future__ import annotations

import csv
import gzip
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from scipy import sparse

from nmf_numba.datasets import DATASETS
from nmf_numba.files import UNREADABLE
from nmf_numba.problem import Float, Matrix


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
    """Read a Matrix Market file, compressed or not.

    SciPy's reader (1.17) crashes on some files that are cut off.
    """
    opener: Callable[..., IO[str]] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        found = file.readline().lower().split()
        if len(found) != 5 or found[:2] != ["%%matrixmarket", "matrix"]:
            raise ValueError("its first line must be '%%MatrixMarket matrix' and three more words")
        layout, kind, symmetry = found[2:]
        for word, accepted in (
            (layout, ("coordinate", "array")),
            (kind, ("real", "integer", "pattern")),
            (symmetry, ("general", "symmetric")),
        ):
            if word not in accepted:
                raise ValueError(f"its first line must say {' or '.join(accepted)}. Found {word}")
        sizes = [int(text) for text in next((line for line in file if line.strip() and line[0] != "%"), "").split()]
        if len(sizes) != (3 if layout == "coordinate" else 2) or min(sizes) < 0:
            raise ValueError("the line before the entries must be their numbers: rows, columns, and entries if sparse")
        shape = n_rows, n_columns = sizes[0], sizes[1]
        if symmetry == "symmetric" and n_rows != n_columns:
            raise ValueError(f"a symmetric matrix must be square. Found {n_rows} x {n_columns}")

        width = 1 if layout == "array" else 2 if kind == "pattern" else 3
        on_file = n_rows * (n_rows + 1) // 2 if symmetry == "symmetric" else n_rows * n_columns
        expected = (on_file if layout == "array" else sizes[2], width)
        entries = load_numbers(file, comments="%") if expected[0] else np.empty(expected)
    if entries.shape != expected:
        found_shape = " x ".join(map(str, entries.shape))
        raise ValueError(f"{expected[0]} x {width} numbers are announced. Found {found_shape}")
    if layout == "array" and symmetry == "general":
        return entries.reshape(shape, order="F")
    if layout == "array":  # the lower triangle, column by column
        columns, rows = np.triu_indices(n_rows)
    else:
        rows, columns = entries[:, :2].T.astype(np.int64) - 1
        for what, index, size in (("row", rows, n_rows), ("column", columns, n_columns)):
            if len(index) and not (index.min() >= 0 and index.max() < size):
                raise ValueError(f"a {what} must be from 1 to {size}. Found {index.min() + 1} to {index.max() + 1}")
    values = np.ones(len(entries)) if kind == "pattern" else entries[:, -1]
    if symmetry == "symmetric":
        mirrored = rows != columns
        rows, columns = np.append(rows, columns[mirrored]), np.append(columns, rows[mirrored])
        values = np.append(values, values[mirrored])
    matrix = sparse.coo_array((values, (rows, columns)), shape=shape)
    return matrix if layout == "coordinate" else matrix.toarray()


def read_csv(path: Path, name: str) -> Matrix:
    """Read numbers with commas between them. A first line without any number is a header."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = numbered_lines(file)
        number, first = next(lines, (0, []))
        header = bool(first) and not any(map(is_number, first))
        if header and "" in first:
            raise ValueError(
                f"line {number} looks like a header, but a name is missing. If a column has row labels, remove it"
            )
        if len(first) > 2 and first == [str(column) for column in range(len(first))]:
            warnings.warn(
                f"{path}: line {number}, {first[0]},{first[1]},..., is read as numbers. If it is a header, remove it.",
                stacklevel=1,
            )
    if not header and not first:
        raise ValueError("it is empty")
    with path.open(encoding="utf-8-sig") as file:
        try:
            rows = (line for at, line in enumerate(file, start=1) if at > number or not header)
            numbers = load_numbers(rows, delimiter=",", quotechar='"')
        except ValueError:
            explain_csv(path, header)
            raise
    if header and numbers.size and numbers.shape[1] != len(first):
        raise ValueError(f"the header, line {number}, has {len(first)} fields, but the lines have {numbers.shape[1]}")
    return numbers


def load_numbers(lines: Any, **options: Any) -> Float:
    """Return a 2-D array of the numbers in lines, also if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # there are none; fit refuses an X without rows
        return np.loadtxt(lines, ndmin=2, **options)


def numbered_lines(file: IO[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each line, from 1, and its fields, but neither empty lines nor comments."""
    for number, line in enumerate(file, start=1):
        text = line.partition("#")[0].strip()
        if text:
            yield number, [field.strip() for field in next(csv.reader([text]))]


def is_number(text: str) -> bool:
    """Return whether text is a number, also NaN or infinity."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def explain_csv(path: Path, header: bool) -> None:
    """Say where a file of numbers has something else."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines, width = numbered_lines(file), None
        if header:
            next(lines)
        for number, fields in lines:
            for column, field in enumerate(fields, start=1):
                if not is_number(field):
                    found = repr(field) if field else "nothing"
                    hint = (
                        ". Fields must be separated by commas"
                        if len(fields) == 1 and (";" in field or "\t" in field or " " in field)
                        else ". If the column has row labels, remove it"
                        if column == 1
                        else ""
                    )
                    raise ValueError(f"line {number}, field {column} must be a number. Found {found}{hint}")
            if width is not None and len(fields) != width:
                raise ValueError(f"line {number} has {len(fields)} fields, but the lines before have {width}")
            width = len(fields)


READERS: dict[str, Callable[[Path, str], Matrix]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
    ".csv": read_csv,
}


def read_matrix(path: str, name: str) -> Matrix:
    """Read the matrix called `name` from a file; its format is told by the end of its name."""
    reader = next((READERS[suffix] for suffix in READERS if path.lower().endswith(suffix)), None)
    if reader is None:
        known = "" if name != "X" else f"a bundled data set ({', '.join(DATASETS)}) or "
        raise ValueError(f"{name} must be {known}a file that ends in {', '.join(READERS)}. Found {path!r}.")
    try:
        return reader(Path(path), name)
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}.") from error
    except UNREADABLE as error:
        raise ValueError(f"{path} can't be read: {str(error).rstrip('.') or type(error).__name__}.") from error


def read_factor(path: str | None, name: str, dtype: Any) -> Any:
    """Read W or H in the data type of X."""
    if path is None:
        return None
    factor = read_matrix(path, name)
    factor = factor.toarray() if sparse.issparse(factor) else factor
    return factor.astype(dtype, copy=False) if factor.dtype.kind in "biuf" else factor  # fit refuses the others


def load_input(name: str) -> Matrix:
    """Return a bundled data set's X, or read it from a file."""
    if name not in DATASETS:
        return read_matrix(name, "X")
    try:
        return DATASETS[name]().X
    except RuntimeError as error:  # its source is not there
        raise ValueError(str(error)) from error
