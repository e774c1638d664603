"""The one place that chooses Numba's options and the number of threads, and holds BLAS to one thread."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numba
import threadpoolctl

from nmf_numba._cached import cached_property

# Sums may be reordered and fused, so that they vectorise. NaN and infinity keep their meaning: full fastmath drops it.
FASTMATH = {"reassoc", "contract", "arcp", "nsz"}

OPTIONS: dict[str, Any] = {
    "cache": True,  # compiled once per machine, not once per process
    "nogil": True,  # other Python threads go on while a kernel runs
    "error_model": "numpy",  # x / 0 is inf, as in the reference; no branch per division, so loops vectorise
    "fastmath": FASTMATH,
    "no_cfunc_wrapper": True,  # no C code calls kernels
}

# What only kernels call needs no entry for Python. Without it, compiling takes a fifth less time.
INNER: dict[str, Any] = {"no_cpython_wrapper": True}


def compiled(function: Callable[..., Any], **options: Any) -> Any:
    """Compile with these options and those of all kernels."""
    try:
        return _guarded(numba.njit(**(OPTIONS | options))(function))
    except RuntimeError:  # no folder for the cache can be written: compile in every process instead
        return numba.njit(**(OPTIONS | options | {"cache": False}))(function)


def _guarded(dispatcher: Any) -> Any:
    """Let no fault of the cache reach a fit: what can't be loaded is compiled, what can't be saved is not.

    Files may be damaged, the disk full. And of two processes that save different types at once, one may leave its code
    under the other's name: called, it would take the arguments for something else.
    """
    cache = dispatcher._cache
    load, save = cache.load_overload, cache.save_overload

    def load_overload(types: Any, context: Any) -> Any:
        try:
            found = load(types, context)
        except Exception:  # whatever unpickling damaged bytes raises
            return None
        return found if found is not None and tuple(found.signature.args) == tuple(types) else None

    def save_overload(types: Any, compiled: Any) -> None:
        for attempt in range(2):
            try:
                save(types, compiled)
                return
            except Exception:
                with contextlib.suppress(Exception):
                    if attempt == 0:
                        cache.flush()  # a damaged index: begin a new one

    cache.load_overload, cache.save_overload = load_overload, save_overload
    return dispatcher


def serial(function: Callable[..., Any]) -> Any:
    """Compile a function that runs on one thread."""
    return compiled(function)


def inner(function: Callable[..., Any]) -> Any:
    """Compile like `serial` what kernels and `for_each_chunk` call, and Python never: from there it would crash."""
    return compiled(function, **INNER)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile like `inner`, but within each of its callers."""
    return compiled(function, **INNER, inline="always")


def exact(function: Callable[..., Any]) -> Any:
    """Compile like `inner`, but compute what is written: for arithmetic that relies on how it rounds or overflows."""
    return compiled(function, fastmath={"contract"}, **INNER)


def scalar(function: Callable[..., Any]) -> Any:
    """Compile like `exact`, but always within the loop that calls it: only then can the loop become vectors."""
    return compiled(function, fastmath={"contract"}, forceinline=True, **INNER)


# A clock that kernels can read, where the C library has this one.
HAS_CLOCK = hasattr(time, "CLOCK_MONOTONIC")
_CLOCK = getattr(time, "CLOCK_MONOTONIC", 0)
_clock_gettime = numba.types.ExternalFunction("clock_gettime", numba.int32(numba.int32, numba.types.voidptr))


@serial
def nanoseconds(room: Any) -> Any:
    """Return the time since some moment. room : two int64, for the C library's answer."""
    _clock_gettime(_CLOCK, room.ctypes)
    return room[0] * 1_000_000_000 + room[1]


class _OneBlasThread:
    """BLAS held to one thread while anybody needs it: the first to enter sets it, the last to leave restores it.

    Two thread pools that spin against each other double the time of an iteration. Kernels have threads of their own and
    a matrix product of their own; what else calls BLAS meanwhile must not take the cores from them.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.own = threading.local()  # how often this thread is a user
        self.before: list[int] = []  # empty: nothing is to be restored
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        self.lock = threading.Lock()  # another thread may have held it
        self.users = getattr(self.own, "users", 0)  # the others are not here; what they changed, the next fit restores

    @cached_property
    def libraries(self) -> Any:
        import scipy.linalg  # noqa: F401, PLC0415  (its BLAS must be loaded to be found)

        return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers

    @staticmethod
    def set(library: Any, n_threads: int) -> None:
        # threadpoolctl 3.8 ignores all Python threads but the first that has set a limit. Users are counted here
        # instead: the setting belongs to the process, and whoever is last restores it.
        getattr(library, "_real_set_num_threads", library.set_num_threads)(n_threads)

    def enter(self) -> None:
        with self.lock:
            if self.users == 0:
                self.before = self.before or [library.get_num_threads() for library in self.libraries]
                for library in self.libraries:
                    self.set(library, 1)
            self.users += 1
            self.own.users = getattr(self.own, "users", 0) + 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            self.own.users -= 1
            if self.users == 0:
                for library, n_threads in zip(self.libraries, self.before, strict=True):
                    self.set(library, n_threads)
                self.before = []


_one_blas_thread = _OneBlasThread()


@contextlib.contextmanager
def threads(n_threads: int | None = None) -> Iterator[None]:
    """Inside the `with` block, launch kernels on n_threads threads (None: as many as Numba has) and hold BLAS to one.

    Several Python threads may be inside at once: Numba's setting is each thread's own, BLAS's is shared and counted.
    """
    before = numba.get_num_threads()
    _one_blas_thread.enter()
    try:
        if n_threads is not None:
            numba.set_num_threads(n_threads)
        yield
    finally:
        numba.set_num_threads(before)
        _one_blas_thread.leave()


def most_threads() -> int:
    """Return how many threads Numba can launch at most."""
    return int(numba.config.NUMBA_NUM_THREADS)


def cache_folder() -> str | None:
    """Return where compiled kernels are kept, or None if no folder can be written."""

    @serial
    def probe() -> None: ...

    path = probe._cache.cache_path
    return None if path is None else str(path)
