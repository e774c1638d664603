"""Puts this package's functions and estimators in the place of scikit-learn's, for programs that cannot be edited."""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from nmf_numba.validation import check_installed

USAGE = """\
usage: python -m nmf_numba.patch PROGRAM [ARGUMENT ...]
       python -m nmf_numba.patch -m MODULE [ARGUMENT ...]

Run a Python program, a file or a module, with nmf_numba's NMF, MiniBatchNMF and non_negative_factorization in the place
of those in sklearn.decomposition. The program is not changed."""


def patch() -> Patch:
    """Put nmf_numba's NMF, MiniBatchNMF and non_negative_factorization in the place of scikit-learn's.

    They are replaced in `sklearn.decomposition` and in every module that has imported them by name, before or after.
    To run a whole program that way, use ``python -m nmf_numba.patch PROGRAM``.

    Returns
    -------
    Patch
        Its method `undo` puts everything back. In a `with` statement, that happens at the end of the block.

    Raises
    ------
    ImportError
        scikit-learn is not installed.

    Notes
    -----
    Names are found by what they refer to, so `from sklearn.decomposition import NMF as Model` is replaced too. What is
    not in a module stays scikit-learn's: a class that was stored in a list, a default argument, a subclass or an
    instance, if that was done before. The classes in scikit-learn's private module `sklearn.decomposition._nmf` stay,
    since its own functions and pickles of its instances look them up there. Under a patch, instances of scikit-learn's
    classes are no instances of `sklearn.decomposition.NMF`.

    A second patch inside of a first finds nothing to replace; undoing it changes nothing. A module that was imported
    while the patch was active keeps what it imported.

    It costs one look at every name of every imported module: some milliseconds.

    Examples
    --------
    >>> import sklearn.decomposition
    >>> import nmf_numba
    >>> with nmf_numba.patch():
    ...     sklearn.decomposition.NMF.__module__
    'nmf_numba.estimators.nmf'
    >>> sklearn.decomposition.NMF.__module__
    'sklearn.decomposition._nmf'
    """
    check_installed("sklearn", "nmf_numba.patch")
    import sklearn.decomposition as theirs  # noqa: PLC0415  (an extra)

    from nmf_numba import estimators, factorization  # noqa: PLC0415  (estimators need scikit-learn)

    ours = (estimators.NMF, estimators.MiniBatchNMF, factorization.non_negative_factorization)
    pairs = [(getattr(theirs, new.__name__), new) for new in ours]
    return Patch([(old, new) for old, new in pairs if old is not new])


class Patch:
    """What `patch` returns: the names that were replaced, until `undo`, or until the `with` statement ends.

    Parameters
    ----------
    pairs : list of (object, object)
        What is replaced wherever a module has it, and by what.

    Examples
    --------
    >>> import nmf_numba
    >>> active = nmf_numba.patch()
    >>> active.undo()
    """

    def __init__(self, pairs: Sequence[tuple[Any, Any]]) -> None:
        self._replaced: list[tuple[dict[str, Any], str, Any, Any]] = []
        for module, names in list(_namespaces()):
            for name, value in list(names.items()):
                for old, new in pairs:
                    if value is old and not (isinstance(old, type) and module == old.__module__):
                        names[name] = new
                        self._replaced.append((names, name, old, new))

    def undo(self) -> None:
        """Put scikit-learn's objects back where they were. A name that has been assigned anew since then stays."""
        for names, name, old, new in self._replaced:
            if names.get(name) is new:
                names[name] = old
        self._replaced.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.undo()


def _namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the dictionary of every imported module but this package's."""
    for name, module in list(sys.modules.items()):
        try:
            names = object.__getattribute__(module, "__dict__")  # vars() would load a module that is lazily imported
        except AttributeError:
            continue
        if isinstance(names, dict) and name.partition(".")[0] != "nmf_numba":
            yield name, names


def run(arguments: Sequence[str]) -> None:
    """Run a program, given as a file or as `-m module`, with its own arguments, under a patch."""
    as_module = arguments[:1] == ["-m"]
    program = list(arguments[1:] if as_module else arguments)
    if not program or (not as_module and program[0].startswith("-")):
        print(USAGE)
        sys.exit(0 if program[:1] in (["-h"], ["--help"]) else 2)
    found = importlib.util.find_spec(program[0]) is not None if as_module else Path(program[0]).exists()
    if not found:
        sys.exit(f"nmf_numba.patch: there is no {'module' if as_module else 'file'} {program[0]!r}.")
    try:
        patch()
    except ImportError as error:
        sys.exit(str(error))
    sys.argv = program
    if as_module:
        runpy.run_module(program[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(program[0]).resolve().parent)  # as Python does for a script
        runpy.run_path(program[0], run_name="__main__")
