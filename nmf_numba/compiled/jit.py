"""How loops are compiled: the one place that chooses Numba's options.

    @kernel      a loop on one thread
    @parallel    a loop with prange, on several threads
    @inlined     a function of scalars, compiled into the loop that calls it, so that this loop can become vectors
    @part        a part of such a function

Everything compiled can be called from Python. With NUMBA_DISABLE_JIT=1 Python itself runs the loops, slowly.
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable
from typing import Any

import numba

from nmf_numba.compiled.threads import launcher, load_openmp

OPTIONS: dict[str, Any] = {
    "cache": True,  # compiled once on a machine, not once in a process
    "nogil": True,  # other Python threads go on while a kernel runs
    "error_model": "numpy",  # x / 0 is infinite, as in the reference; no branch for each division, so loops vectorise
    # Sums may be reordered and fused, so that they vectorise. NaN and infinity keep their meaning.
    "fastmath": {"reassoc", "contract", "arcp", "nsz"},
}

# Only prange is parallel. The other passes would make a parallel kernel of every array expression: slow to compile.
PRANGE_ONLY = {
    "prange": True,
    **dict.fromkeys(("comprehension", "numpy", "reduction", "inplace_binop", "setitem", "stencil", "fusion"), False),
}


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with these options and those of all kernels."""
    try:
        return _guarded(numba.njit(**(OPTIONS | options))(function))
    except RuntimeError:  # no folder for the cache can be written: compile in every process instead
        return numba.njit(**(OPTIONS | options | {"cache": False}))(function)


def _guarded(dispatcher: Any) -> Any:
    """Let no fault of the cache reach a fit: what can't be loaded is compiled, what can't be saved is not.

    Files may be damaged, or the disk full. And of two processes that save at once, one may leave its code under the
    other's types. Numba has no public hook for this: where `_cache` is gone, its own handling of errors is left.
    """
    cache = getattr(dispatcher, "_cache", None)
    load, save = getattr(cache, "load_overload", None), getattr(cache, "save_overload", None)
    if cache is None or load is None or save is None:
        return dispatcher

    def load_overload(signature: Any, context: Any) -> Any:
        try:
            found = load(signature, context)
        except Exception:  # whatever unpickling damaged bytes raises
            return None
        return found if found is not None and tuple(found.signature.args) == tuple(signature) else None

    def save_overload(signature: Any, code: Any) -> None:
        for flush_first in (False, True):  # a damaged index is emptied
            with contextlib.suppress(Exception):
                if flush_first:
                    cache.flush()
                save(signature, code)
                return

    cache.load_overload, cache.save_overload = load_overload, save_overload
    return dispatcher


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop that runs on one thread."""
    return compiled(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a function of scalars into its callers, whose sums are not reordered: it may rely on how they round."""
    return compiled(function, fastmath={"contract"}, forceinline=True)


def part(function: Callable[..., Any]) -> Any:
    """Compile a function of scalars only as a part of those that call it: the first fit takes half a second less."""
    return compiled(function, inline="always")


class parallel:  # noqa: N801  (a decorator)
    """Compile a loop with prange, and let fits from several Python threads and in forked children run it safely.

    In a forked child whose parent had started Numba's threads it runs on one thread: see threads.py.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__doc__, self.__name__, self.__module__ = function.__doc__, function.__name__, function.__module__
        self.__wrapped__ = function  # for inspect.signature
        self.on_threads = compiled(function, parallel=PRANGE_ONLY)
        # Numba's cache tells functions apart by name and line, not by options: a copy of another name.
        copy = types.FunctionType(function.__code__, function.__globals__, f"{function.__name__}_on_one_thread")
        copy.__qualname__, copy.__module__ = copy.__name__, function.__module__
        self.on_one_thread = compiled(copy)

    def __call__(self, *arguments: Any) -> Any:
        """Run the loop."""
        try:
            with launcher.lock:
                load_openmp()
                return (self.on_one_thread if launcher.threads_lost else self.on_threads)(*arguments)
        except SystemError as error:  # how Ctrl-C inside compiled code arrives, or as the cause of such a cause
            cause = error.__cause__
            while isinstance(cause, SystemError):
                cause = cause.__cause__
            if isinstance(cause, KeyboardInterrupt):
                raise KeyboardInterrupt from None
            raise


def cache_folder() -> str | None:
    """Return where compiled kernels are kept, or None if no folder can be written."""

    @kernel
    def probe() -> None: ...

    path = probe.stats.cache_path if hasattr(probe, "stats") else None
    return None if path is None else str(path)
