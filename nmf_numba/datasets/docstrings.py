"""Word counts of the docstrings of Python's standard library, read from the source files of the running interpreter.

Nothing is imported or executed: the files are parsed with `ast`. So `antigravity` opens no browser.
"""

from __future__ import annotations

import ast
import re
import sys
import sysconfig
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from nmf_numba.datasets.dataset import Dataset

MIN_WORDS = 7  # different words in a document
MIN_DOCUMENTS = 3  # documents with a word
WORD = re.compile(r"[a-z]+(?:'[a-z]+)?")

# Tests, applications, jokes and tables of codes. Directories and modules alike.
SKIPPED = frozenset(
    {
        *("test", "tests", "idle_test", "site-packages", "__pycache__"),
        *("idlelib", "turtledemo", "lib2to3", "ensurepip"),
        *("antigravity", "this", "__phello__", "encodings", "pydoc_data"),
    }
)

ENGLISH = """
about above after again all already also although always and another any anything are aren't around because been
before being below between both but can can't cannot could couldn't did didn't does doesn't doing don't done
during each either else etc even every everything false few for from further get gets give given gives goes had
has hasn't have haven't having her here him his how however if instead into isn't its itself just let like made
make makes making many may maybe might more most much must need needs neither never none nor not note nothing
now off often once one only onto other others otherwise our out over own per perhaps possible rather return
returned returning returns same see self several shall she should shouldn't simply since some something still
such than that that's the their them themselves then there there's therefore these they thing things this those
though through thus too true two under unless until upon use used uses using usually very via want was wasn't
way well were weren't what when where whether which while who whose why will with within without won't would
wouldn't yet you your
"""
STOP_WORDS = frozenset(ENGLISH.split())

DESCRIPTION = """\
Docstrings of Python's standard library.
Rows: documented modules, classes and functions. Columns: words.
Unit of X: how often the word occurs in the docstring.
Source: the source files of the running interpreter, so the numbers differ from one version of Python to another.
Licence: Python Software Foundation License."""


def find_sources(stdlib: Path) -> Iterator[tuple[str, Path]]:
    """Yield (module name, source file) of the standard library's modules, in sorted order."""
    for name in sorted(sys.stdlib_module_names - SKIPPED):
        if (stdlib / f"{name}.py").is_file():
            yield name, stdlib / f"{name}.py"
        for path in sorted((stdlib / name).rglob("*.py")):  # none if there is no such directory
            parts = path.relative_to(stdlib).with_suffix("").parts
            if SKIPPED.isdisjoint(parts):
                yield ".".join(parts).removesuffix(".__init__"), path


def find_docstrings(name: str, node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (qualified name, docstring) of `node`, called `name`, and of all that it defines, in source order."""
    if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        docstring = ast.get_docstring(node, clean=False)
        if docstring is not None:
            yield name, docstring
    for block in ("body", "orelse", "handlers", "finalbody", "cases"):  # a definition can stand inside if, try, with
        for child in getattr(node, block, ()):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                yield from find_docstrings(f"{name}.{child.name}", child)
            else:
                yield from find_docstrings(name, child)


def read_docstrings(stdlib: Path) -> Iterator[tuple[str, str]]:
    """Yield (qualified name, docstring) for all sources. A file that can't be parsed is left out."""
    for name, path in find_sources(stdlib):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a source may hold an invalid escape such as "\d"
                module = ast.parse(path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        yield from find_docstrings(name, module)


def count_words(docstring: str) -> Counter[str]:
    """Return how often each word occurs: letters only, in lower case, at least 3, and no stop word."""
    words = WORD.findall(docstring.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'"))
    words = [word.removesuffix("'s") for word in words if word not in STOP_WORDS]
    return Counter(word for word in words if len(word) >= 3 and "'" not in word and word not in STOP_WORDS)


def select(counts: list[Counter[str]]) -> tuple[list[int], list[str]]:
    """Return which documents and words to keep.

    To drop a rare word may leave a document with few words, and the other way round, so both are repeated until nothing
    changes. Then no row and no column of the matrix is empty.
    """
    documents = list(range(len(counts)))
    words: set[str] = set()
    while True:
        frequency = Counter(word for i in documents for word in counts[i])
        kept_words = {word for word, n_documents in frequency.items() if n_documents >= MIN_DOCUMENTS}
        kept_documents = [i for i in documents if len(kept_words & counts[i].keys()) >= MIN_WORDS]
        if kept_documents == documents and kept_words == words:
            return documents, sorted(words)
        documents, words = kept_documents, kept_words


def load_docstrings() -> Dataset:
    """Return word counts of the docstrings of Python's standard library, as a CSR matrix.

    The docstrings are read from the source files of the running interpreter. No module is imported. Installed
    packages are not read. The result is the same at each call, but differs between versions of Python, since their
    docstrings differ.

    Returns
    -------
    Dataset
        X : csr_array of float64, about (3800, 3500)
            X[i, j]: how often word j occurs in docstring i. No row and no column is empty.
        row_names : list of str
            Qualified names of the documented objects, such as "asyncio.queues.Queue.get". A name can occur twice: an
            object may be defined twice, once for each platform.
        column_names : list of str
            The words, sorted.
        target : ndarray of str, shape (n_samples,)
            The top-level module or package of each docstring, such as "asyncio".

    Raises
    ------
    RuntimeError
        If the interpreter has no source files to read, as when its library is one zip file or compiled files only.

    Notes
    -----
    A document is the docstring of one module, class or function. A word is a run of at least 3 letters, in lower
    case, and no stop word. Tests, IDLE and demonstrations are left out, as are docstrings that repeat the words of an
    earlier one. A word is kept if it occurs in at least 3 documents, a document if it has at least 7 different words.
    Takes about 2 seconds, most of it to parse 450 files.

    References
    ----------
    The Python Standard Library, https://docs.python.org/3/library/. Python Software Foundation License.

    Examples
    --------
    >>> from nmf_numba.datasets import load_docstrings
    >>> docs = load_docstrings()
    >>> "json.dumps" in docs.row_names, "json" in docs.column_names
    (True, True)
    >>> bool(docs.X.min() >= 0)
    True
    """
    stdlib = Path(sysconfig.get_path("stdlib"))
    names: list[str] = []
    counts: list[Counter[str]] = []
    seen: set[tuple[tuple[str, int], ...]] = set()
    for name, docstring in read_docstrings(stdlib):
        words = count_words(docstring)
        key = tuple(sorted(words.items()))
        if key not in seen:
            seen.add(key)
            names.append(name)
            counts.append(words)

    documents, vocabulary = select(counts)
    if not documents:
        raise RuntimeError(
            f"No docstrings found in {stdlib}. load_docstrings reads the source files (.py) of Python's standard "
            "library, and this interpreter has none there: its library may be a zip file or compiled files only. "
            "Use a Python with source files, or another data set."
        )
    column = {word: j for j, word in enumerate(vocabulary)}
    entries = [sorted((column[word], n) for word, n in counts[i].items() if word in column) for i in documents]
    indptr = np.cumsum([0, *map(len, entries)], dtype=np.int32)
    indices = np.array([j for row in entries for j, _ in row], dtype=np.int32)
    data = np.array([n for row in entries for _, n in row], dtype=np.float64)
    row_names = [names[i] for i in documents]
    return Dataset(
        X=csr_array((data, indices, indptr), shape=(len(documents), len(vocabulary))),
        title=f"Docstrings of Python {sys.version_info.major}.{sys.version_info.minor}",
        description=DESCRIPTION,
        row_names=row_names,
        column_names=vocabulary,
        target=np.array([name.partition(".")[0] for name in row_names]),
    )
