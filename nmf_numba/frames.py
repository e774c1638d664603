"""Tables, read by pandas: which line is the header, which column names the rows, and what is no number."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import importlib.util
import itertools
import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from nmf_numba.names import positions_of
from nmf_numba.table import is_number
from nmf_numba.validation import warn

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": r"\s+"}
WORDS = {"tab": "\t", "\\t": "\t", "space": r"\s+"}  # what is hard to type
EXCEL = (".xlsx", ".xlsm")
PEEKED = 20  # lines, from which the header and the separator are told
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NULL", "null", "None", "none")  # no value
ID = re.compile(r"(?:.*[\W_])?(?:id|idx|index|key|uid|row|date)|unnamed: \d+|", re.IGNORECASE)
YEAR = re.compile(r"(?:.*[\W_])?(?:year|yr)", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class Options:
    """How a table is to be read. None: told by the file.

    Attributes
    ----------
    index_col : str or None
        The column that names the rows, by name or by number from 1; 'none': no column does.
    sep : str or None
        Between the fields of a line; 'tab' and 'space' may be written out.
    decimal : {'.', ','}
    header : {'yes', 'no'} or None
        Whether the first line has the names of columns.
    drop : sequence of str
        Columns to leave out.
    has_missing : bool
        Whether a value may be missing; it is NaN then.
    """

    index_col: str | None = None
    sep: str | None = None
    decimal: str = "."
    header: str | None = None
    drop: Sequence[str] = ()
    has_missing: bool = False

    def check(self, path: str) -> None:
        """Refuse what can't be, before the file is opened."""
        suffix = ending(path)
        if suffix not in SEPARATORS and (self.sep is not None or self.decimal != "."):
            raise ValueError(f"--sep and --decimal are for {', '.join(SEPARATORS)}. Found {path!r}.")
        if suffix not in (*SEPARATORS, *EXCEL) and self.header is not None:
            raise ValueError(f"--header is for {', '.join((*SEPARATORS, *EXCEL))}. Found {path!r}.")
        if suffix not in SUFFIXES and (self.index_col is not None or self.drop):
            raise ValueError(f"--index-col and --drop are for {', '.join(SUFFIXES)}. Found {path!r}.")
        if self.decimal not in (".", ","):
            raise ValueError(f"--decimal must be '.' or ','. Found {self.decimal!r}.")
        sep = self.sep_of(suffix) if suffix in SEPARATORS else "\t"
        if sep != r"\s+" and (len(sep) != 1 or sep.isalnum() or sep in "\"'+-.\n"):
            raise ValueError(f"--sep must be one character such as ';', or 'tab' or 'space'. Found {self.sep!r}.")
        if sep == self.decimal and self.sep is None:
            raise ValueError(f"fields and decimals can't both be marked by {sep!r}. Pass --sep too, such as --sep ';'.")

    def sep_of(self, suffix: str) -> str:
        """Return what is between fields, as pandas takes it."""
        return SEPARATORS[suffix] if self.sep is None else WORDS.get(self.sep, self.sep)


@dataclasses.dataclass(frozen=True)
class Input:
    """A matrix, and the names of its rows and columns: lists, or None."""

    X: Any
    row_names: list[str] | None = None
    column_names: list[str] | None = None
    note: str = "none"  # what the names are


# --- from a file to a frame whose columns are numbered -------------------------------------------------------------


def ending(path: str) -> str:
    """Return the end of a table's name that tells its format, without .gz."""
    return Path(re.sub(r"\.gz$", "", path.lower())).suffix


def import_pandas(path: Path) -> Any:
    """Return pandas, or say how to install what reads this file."""
    engine = {".parquet": "pyarrow", **dict.fromkeys(EXCEL, "openpyxl")}.get(ending(str(path)))
    for module in ("pandas", engine):
        if module is not None and importlib.util.find_spec(module) is None:
            raise ImportError(
                f"{path} can't be read: a table needs {module}, which is not installed. "
                'pip install "nmf-numba[tables]", or in a copy of the repository pip install ".[tables]"'
            )
    import pandas  # noqa: PLC0415  (an extra, and it takes its time)

    return pandas


def read_parquet(path: Path, options: Options, wanted: list[str] | None) -> tuple[Any, list[str] | None]:
    """Return the columns and their names; the index, if it says something, comes first."""
    frame = import_pandas(path).read_parquet(path)
    if frame.index.name is not None or frame.index.dtype.kind not in "iu":
        frame = frame.reset_index()
    return frame, list(map(str, frame.columns))


def read_excel(path: Path, options: Options, wanted: list[str] | None) -> tuple[Any, list[str] | None]:
    """Return the columns of the first sheet and their names."""
    pandas = import_pandas(path)
    with pandas.ExcelFile(path) as book:
        if len(book.sheet_names) > 1:
            warn(f"{path}: only the first sheet is read, {book.sheet_names[0]!r}.", UserWarning)
        first = pandas.read_excel(book, header=None, nrows=PEEKED, dtype=str, keep_default_na=False)
        rows = [list(map(str, row)) for row in first.to_numpy()]
        labels = header_of(rows, options)
        names = names_as_text(rows, labels, options, wanted)
        return pandas.read_excel(book, header=None, skiprows=int(labels is not None), **names), labels


def read_text(path: Path, options: Options, wanted: list[str] | None) -> tuple[Any, list[str] | None]:
    """Return the columns of a file of lines and their names."""
    pandas, sep = import_pandas(path), options.sep_of(ending(str(path)))
    opener: Callable[..., IO[str]] = gzip.open if path.suffix.lower() == ".gz" else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        lines = list(itertools.islice(file, PEEKED))
    start = next((at for at, line in enumerate(lines) if line.strip() and line[0] != "#"), len(lines))
    rows = split(lines[start:], sep)
    commented = split([line.strip("# \t\r\n") for line in lines[max(start - 1, 0) : start]], sep)
    if commented and rows and 1 < len(commented[0]) == len(rows[0]):  # "# a, b, c" above the numbers
        rows, start = commented + rows, start - 1
    if not rows:
        raise ValueError("it is empty")
    check_separator(lines[start:], sep, options.decimal)
    labels = header_of(rows, options)
    skipped = start + (0 if labels is None else 1 + next(at for at, line in enumerate(lines[start:]) if line.strip()))
    version = tuple(map(int, pandas.__version__.split(".")[:2]))
    exact = {"float_precision": "round_trip"} if version < (3, 1) else {}  # from 3.1 on every number is read exactly
    try:
        frame = pandas.read_csv(
            path, sep=sep, decimal=options.decimal, header=None, skiprows=skipped, skipinitialspace=True,
            encoding="utf-8-sig", **exact, **names_as_text(rows, labels, options, wanted),
        )  # fmt: skip
    except pandas.errors.EmptyDataError:
        frame = pandas.DataFrame(np.empty((0, len(labels or []))))
    return frame, labels


def split(lines: Sequence[str], sep: str) -> list[list[str]]:
    """Return the fields of each line, but not of empty ones."""
    if sep == r"\s+":
        lines, sep = [re.sub(r"\s+", " ", line.strip()) for line in lines], " "
    rows = csv.reader([line for line in lines if line.strip()], delimiter=sep, skipinitialspace=True)
    return [[field.strip() for field in row] for row in rows]


def check_separator(lines: Sequence[str], sep: str, decimal: str) -> None:
    """Refuse lines that are no numbers as they are read, but would be with another separator or decimal."""

    def fits(sep: str, decimal: str) -> bool:
        rows = split(lines, sep)
        rows = rows[1:] or rows  # without the header
        cells = [cell for row in rows for cell in row[1:]]
        cells += [row[0] for row in rows if len(row) == 1 or re.fullmatch(r"[-+]?[\d.,]+", row[0])]  # not names
        return len({len(row) for row in rows}) == 1 and all(is_number_or_missing(cell, decimal) for cell in cells)

    if fits(sep, decimal):
        return
    words = {"\t": "tab", r"\s+": "space", ";": "';'", "|": "'|'", ",": "','"}
    for other_decimal, other in itertools.product((".", ","), (";", "\t", ",", "|", r"\s+")):
        apart = other != other_decimal or any('"' in line for line in lines)
        if apart and len(split(lines, other)[-1]) > 1 and fits(other, other_decimal):
            hints = [f"--sep {words[other]}"] if other != sep or other == other_decimal else []
            hints += [f"--decimal '{other_decimal}'"] if other_decimal != decimal else []
            example = [line.strip() for line in lines if line.strip()][-1]
            raise ValueError(f"its lines look like {example[:60]!r}. Pass {' '.join(hints)}")


def is_number_or_missing(text: str, decimal: str) -> bool:
    """Return whether text can stand in a column of numbers."""
    if decimal == ",":
        text = text.replace(".", "_x").replace(",", ".")
    return text in MISSING or is_number(text)


def header_of(rows: Sequence[Sequence[str]], options: Options) -> list[str] | None:
    """Return the names of columns, if the first of the rows has them."""
    first = list(rows[0]) if rows else []
    width = len(rows[1]) if len(rows) > 1 else len(first)
    numbers = [is_number(field.replace(options.decimal, ".")) for field in first]
    others = [number or field == "" for field, number in zip(first[1:], numbers[1:], strict=True)]
    asks = "may be names of columns, or data. Pass --header yes or --header no"
    if options.header is not None or not first:
        header = options.header == "yes" and bool(first)
    elif numbers[0] and all(others):  # 0, 1, 2 and 2019, 2020, 2021 are no data
        values = np.array([float(field.replace(options.decimal, ".")) for field in first if field])
        if len(rows) > 1 and len(first) > 2 and (np.diff(values) == 1).all():
            raise ValueError(f"its first line, {','.join(first[:3])},..., {asks}")
        header = False
    elif len(first) > 1 and all(others) and not ID.fullmatch(first[0]):
        raise ValueError(f"its first line, {','.join(first[:3])},..., {asks}")
    elif numbers[0]:
        raise ValueError(f"its first line has numbers, but also {first[1 + others.index(False)]!r}. It {asks}")
    else:
        header = True
    if not header:
        return None
    if len(first) == width - 1:  # as R writes it: the names of rows have no name
        first.insert(0, "")
    if len(first) != width:
        raise ValueError(f"its header has {len(first)} fields, but the line after it has {width}")
    return first


def names_as_text(
    rows: Sequence[Sequence[str]], labels: list[str] | None, options: Options, wanted: list[str] | None
) -> dict[str, Any]:
    """Return what makes pandas keep the names of rows as they are written: 007 is not 7, and NA is a country."""
    width = len(labels or (rows[0] if rows else []))
    cells = [row[0] for row in rows[labels is not None :] if row]
    if options.index_col == "none" or width == 0:
        at = None
    elif options.index_col is not None:
        at = position(options.index_col, labels, width, "--index-col")
    elif labels is not None and wanted is not None:
        at = None if labels[0] in wanted else 0
    else:
        at = None if any(is_number_or_missing(cell, options.decimal) for cell in cells) else 0
    converters = {} if at is None else {at: as_name}
    return {"converters": converters, "na_values": MISSING, "keep_default_na": False}


def as_name(value: object) -> tuple[str]:
    """Return what a row is called: in a tuple, since pandas would take a text such as NA for a missing value."""
    return (str(value).strip(),)


def position(name: str, labels: list[str] | None, width: int, option: str) -> int:
    """Return where a column is, which is given by its name or by its number, from 1."""
    if labels is not None and name in labels:
        return labels.index(name)
    if name.isdigit() and 1 <= int(name) <= width:
        return int(name) - 1
    known = f"one of {', '.join(map(repr, labels[:20]))}{', ...' * (len(labels) > 20)}, or " if labels else ""
    raise ValueError(f"{option} must be {known}a number from 1 to {width}. Found {name!r}")


# --- from a frame to a matrix --------------------------------------------------------------------------------------

READERS = {**dict.fromkeys(SEPARATORS, read_text), ".parquet": read_parquet, **dict.fromkeys(EXCEL, read_excel)}
SUFFIXES = tuple(READERS)


def read_table(path: Path, options: Options, wanted: list[str] | None = None, *, factor: bool = False) -> Input:
    """Return the numbers of a table and its names.

    Parameters
    ----------
    path : Path
        Ends in one of SUFFIXES; files of lines may be compressed, .gz.
    options : Options
    wanted : sequence of str or None
        Columns to return, in this order, if the file names its columns. None: all.
    factor : bool
        Whether it is W or H: whole numbers in a first column are then no cause for doubt.

    Raises
    ------
    ValueError
        A column has text, a value is missing, a column looks like an id, a wanted column is missing.
    ImportError
        pandas, or what it reads such a file with, is not installed.
    """
    frame, labels = READERS[ending(str(path))](path, options, wanted)
    frame.columns = range(frame.shape[1])
    width = frame.shape[1]
    if labels is not None and len(labels) != width:
        raise ValueError(f"its header has {len(labels)} fields, but its lines have {width}")
    index = index_of(frame, labels, options, wanted, factor=factor)
    left_out = {position(name, labels, width, "--drop") for name in options.drop} | {index}
    kept = [column for column in frame.columns if column not in left_out]
    names = None if index is None else names_of(frame[index])
    if wanted is not None and labels is not None:
        kept = [kept[at] for at in positions_of(wanted, [labels[column] for column in kept])]
    elif not factor and options.index_col != "none":
        for column in kept:
            check_id(frame, column, labels, index, refuse=options.index_col is None)
    kinds = [dtype.kind for dtype in frame.dtypes]
    for column in kept:
        if kinds[column] not in "biuf":
            frame[column] = as_numbers(frame[column], column, labels, names, options)
    single = bool(kept) and all(frame[column].dtype == np.float32 for column in kept)
    X = frame[kept].to_numpy(dtype=np.float32 if single else np.float64, na_value=np.nan)
    for row, column in np.argwhere(np.isnan(X))[: not options.has_missing]:
        raise ValueError(
            f"{place(row, kept[column], labels, names)} has no value. Fill it in, or remove its row; or pass "
            "--missing nan, which leaves out what is missing"
        )
    by = [] if index is None else [f"rows by {called(index, labels)}"]
    by += [] if labels is None else ["columns by the header"]
    return Input(X, names, None if labels is None else [labels[at] for at in kept], ", ".join(by) or "none")


def names_of(values: Any) -> list[str]:
    """Return the names of rows; what is missing has an empty one."""
    names = [value[0] if isinstance(value, tuple) else value for value in values]
    return ["" if missing else str(name) for name, missing in zip(names, values.isna(), strict=True)]


def index_of(
    frame: Any, labels: list[str] | None, options: Options, wanted: list[str] | None, *, factor: bool
) -> int | None:
    """Return the column that names the rows: the one that is given, or a first column of text."""
    if options.index_col == "none" or frame.shape[1] == 0:
        return None
    if options.index_col is not None:
        return position(options.index_col, labels, frame.shape[1], "--index-col")
    if wanted is not None and labels is not None:
        return None if labels[0] in wanted else 0
    if factor and labels is not None and ID.fullmatch(labels[0]):
        return 0
    is_text = frame[0].dtype.kind not in "biuf" and len(frame) > 0
    return 0 if is_text and not any(is_number(name) for name in names_of(frame[0])) else None


def check_id(frame: Any, column: int, labels: list[str] | None, index: int | None, *, refuse: bool) -> None:
    """Refuse, or point out, whole numbers that look like an id or a year."""
    name = "" if labels is None else labels[column]
    called_id = labels is not None and bool(ID.fullmatch(name) or re.search(r"[a-z]I[Dd]$", name))
    called_year = labels is not None and bool(YEAR.fullmatch(name))
    first = index is None and column == 0 and frame.shape[1] > 1
    values = frame[column] if called_id or called_year or first else None
    if values is None or values.dtype.kind not in "iu" or len(values) < 2:
        return
    is_id = called_id and values.is_unique
    is_year = called_year and bool(values.between(1000, 2999).all())
    if not (is_id or is_year or (first and len(values) > 2 and (values.diff()[1:] == 1).all())):
        return
    what = "years" if is_year else "an id, which is no measurement"
    found = f"{called(column, labels)} looks like {what}: {', '.join(map(str, values[:3]))}, ..."
    if not refuse:
        warn(f"{found} It is factorized like the others; --drop leaves it out.", UserWarning)
        return
    option = shlex.quote(str(column + 1) if labels is None else name)
    raise ValueError(
        f"{found} Pass --index-col {option} to take it as names of rows, --drop {option} to leave it out, or "
        "--index-col none to keep it as data"
    )


def as_numbers(values: Any, column: int, labels: list[str] | None, names: list[str] | None, options: Options) -> Any:
    """Return a column of other objects as numbers, or refuse it: its first value that is none."""
    texts, missing = values.astype(str), values.isna()
    wrong = [not (gone or is_number(text)) for text, gone in zip(texts, missing, strict=True)]
    if True not in wrong and values.dtype.kind == "O":  # such as decimal.Decimal
        return texts.where(~missing).astype(np.float64)
    row = wrong.index(True) if True in wrong else 0
    text, option = texts.iloc[row], shlex.quote(str(column + 1) if labels is None else labels[column])
    hint = ". If its comma is a decimal comma, pass --decimal ','" if re.fullmatch(r"-?\d+,\d+", text) else ""
    raise ValueError(
        f"{place(row, column, labels, names)} must be a number. Found {text!r}{hint}. If the column names the rows, "
        f"pass --index-col {option}; --drop {option} leaves it out"
    )


def called(column: int, labels: list[str] | None) -> str:
    """Return what to call a column."""
    return f"column {labels[column]!r}" if labels and labels[column] else f"column {column + 1}"


def place(row: int, column: int, labels: list[str] | None, names: list[str] | None) -> str:
    """Return what to call an entry. Rows are counted from 1, without the header."""
    return f"row {row + 1}{f' ({names[row]!r})' if names else ''}, {called(column, labels)},"
