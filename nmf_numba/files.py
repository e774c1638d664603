"""Writing files as a whole or not at all, and what reading a damaged one raises."""

from __future__ import annotations

import csv
import io
import os
import secrets
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

# What NumPy, SciPy and zipfile raise for a file that is cut off or damaged.
UNREADABLE = (
    ValueError,
    TypeError,
    KeyError,
    EOFError,
    RuntimeError,
    NotImplementedError,
    OverflowError,
    SyntaxError,
    tokenize.TokenError,
    csv.Error,
    zipfile.BadZipFile,
    zlib.error,
)


def free_path(path: Path, taken: Callable[[Path], bool] = Path.exists) -> Path:
    """Return path, or the first of path-2, path-3, ... that is not taken yet."""
    free, number = path, 1
    while taken(free):
        number += 1
        free = path.with_stem(f"{path.stem}-{number}")
    return free


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse a file that can't be written, or that must not be."""
    if not path.parent.is_dir():
        raise ValueError(f"{path} can't be written: the folder {path.parent} does not exist.")
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} can't be written: it is not a regular file.")
    if path.exists() and not overwrite:
        raise ValueError(f"{path} exists. Use another name, or --overwrite (in Python overwrite=True).")
    if not os.access(path.parent, os.W_OK):
        raise ValueError(f"{path} can't be written: the folder {path.parent} is read-only.")


def write_file(path: Path, write: Callable[[IO[bytes]], Any], *, overwrite: bool) -> None:
    """Write a file as a whole or not at all: to a temporary one beside it, which then takes its name."""
    target = path.resolve()  # what a symbolic link points to
    # Not the number of the process: in a container each may have the same, and one that was killed has left its file.
    temporary = target.with_name(f".nmf-numba-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        check_output(target, overwrite=overwrite)  # again: fitting took its time
        os.replace(temporary, target)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # a failing write does not know its file
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(
    path: Path, matrix: Any, columns: Sequence[str], rows: Sequence[str] | None, corner: str, *, overwrite: bool
) -> None:
    """Write a matrix as a table, in as many digits as it takes to read the same numbers again.

    columns : the names of columns
    rows : the names of rows, or None
    corner : what is above the names of rows
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns if rows is None else [corner, *columns])
    for number, values in enumerate(matrix):
        writer.writerow([*([] if rows is None else [rows[number]]), *map(str, values)])
    write_file(path, lambda file: file.write(text.getvalue().encode()), overwrite=overwrite)
