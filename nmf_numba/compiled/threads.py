"""Threads: how many a fit uses, what happens after a fork, and BLAS held to one thread meanwhile."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import threadpoolctl

# --- launching, and forks -----------------------------------------------------------------------------------------

SPIN = "10000"  # GNU OpenMP: how often a thread looks for more work before it sleeps, some tens of microseconds


def _layer_is_started() -> bool:
    try:
        numba.threading_layer()
    except ValueError:
        return False
    return True


def _is_forked() -> bool:
    """Whether this process is a fork of another Python: it began after the logging module was loaded."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        began = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, ValueError, IndexError, AttributeError):  # not Linux
        return False
    return age < logging.makeLogRecord({}).relativeCreated / 1000


class _Launcher:
    """Python threads that launch parallel loops queue here, and a forked child learns that it has no threads.

    Of Numba's threading layers, workqueue aborts the process when two Python threads launch at once, and omp (GNU
    OpenMP) kills a child that was forked after anybody in the parent had started it. So such a child runs every loop on
    one thread. Numba does not say who started its layer, nor when: if it is started already when this module is
    imported, and this process is a fork, then its threads are taken for lost.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.is_ready = False
        self.threads_lost = _layer_is_started() and _is_forked()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.in_child)

    def in_child(self) -> None:
        self.lock = threading.Lock()  # another thread may have held it
        self.threads_lost = self.threads_lost or _layer_is_started()


_launcher = _Launcher()


@contextlib.contextmanager
def _short_spin() -> Iterator[None]:
    """Let GNU OpenMP, which reads its settings when it is loaded, spin only for a short time after each loop.

    By default its threads spin for milliseconds, and two processes on the same cores then take three times as long as
    one after the other. The environment is as before afterwards, so child processes do not inherit this.
    """
    if "GOMP_SPINCOUNT" in os.environ or "OMP_WAIT_POLICY" in os.environ:
        yield
        return
    os.environ["GOMP_SPINCOUNT"] = SPIN
    try:
        yield
    finally:
        del os.environ["GOMP_SPINCOUNT"]


def _load_openmp() -> None:
    """Load Numba's OpenMP layer with a short spin, before Numba itself does.

    `omppool` is Numba's own name for it. If it has another one day, or is not there, as on macOS, then nothing happens
    here, and threads spin for as long as their library's default says.
    """
    if not _launcher.is_ready:
        with _short_spin(), contextlib.suppress(ImportError):
            importlib.import_module("numba.np.ufunc.omppool")
        _launcher.is_ready = True
        _pools.found = {}  # look again: there is one library more


class launching:  # noqa: N801  (a context manager)
    """Hold the queue of launches, and say whether loops may run on several threads."""

    def __enter__(self) -> bool:
        _launcher.lock.acquire()
        return not _launcher.threads_lost

    def __exit__(self, *_: object) -> None:
        _launcher.lock.release()


# --- how many -----------------------------------------------------------------------------------------------------


class _Pools:
    """The thread pools of BLAS and OpenMP: their limits are read, and BLAS is held to one thread during a fit.

    Two thread pools that spin against each other double the time of an iteration. Kernels have threads and matrix
    products of their own; whatever else calls BLAS meanwhile must not take the cores from them. Fits of several Python
    threads are counted: the first sets BLAS to one thread, the last restores it.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.own = threading.local()  # how often this Python thread is a user
        self.before: list[int] = []  # empty: nothing is to be restored
        self.found: dict[str, list[Any]] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.in_child)

    def in_child(self) -> None:
        self.lock = threading.Lock()
        self.users = getattr(self.own, "users", 0)  # the others are not here; what they set, the next fit restores

    def libraries(self, api: str) -> list[Any]:
        """Return the libraries of "blas" or "openmp" that are loaded; they are looked for once."""
        if not self.found:
            importlib.import_module("scipy.linalg")  # its BLAS must be loaded to be found
            controller = threadpoolctl.ThreadpoolController()
            self.found = {each: controller.select(user_api=each).lib_controllers for each in ("blas", "openmp")}
        return self.found[api]

    def limit(self) -> int | None:
        """Return the largest number of threads of all pools, which `threadpool_limits(1)` makes 1."""
        sizes = [library.get_num_threads() for api in ("blas", "openmp") for library in self.libraries(api)]
        return max(sizes, default=None)

    def set_blas(self, n_threads: list[int]) -> None:
        """Set the number of threads of each BLAS.

        threadpoolctl 3.8 wraps the setter so that it ignores all Python threads but the first that has set a limit;
        the setting belongs to the process, so the setter below the wrapper is called where there is one.
        """
        for library, n in zip(self.libraries("blas"), n_threads, strict=True):
            getattr(library, "_real_set_num_threads", library.set_num_threads)(n)

    def enter(self) -> None:
        with self.lock:
            if self.users == 0:
                self.before = self.before or [library.get_num_threads() for library in self.libraries("blas")]
                self.set_blas([1] * len(self.before))
            self.users += 1
            self.own.users = getattr(self.own, "users", 0) + 1

    def leave(self) -> None:
        with self.lock:
            self.users -= 1
            self.own.users -= 1
            if self.users == 0:
                self.set_blas(self.before)
                self.before = []


_pools = _Pools()


def default_threads() -> int:
    """Return how many threads a fit uses if it is not told: Numba's, or fewer if the process is limited.

    NUMBA_NUM_THREADS counts if it is set. Else OMP_NUM_THREADS does, which job schedulers and Ray set, and so does a
    `threadpoolctl.threadpool_limits` around the fit. A limit on BLAS alone does not count once OpenMP is loaded.
    """
    n_threads = int(numba.get_num_threads())
    if "NUMBA_NUM_THREADS" in os.environ or n_threads == 1:
        return n_threads
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limits = [int(wanted)] if wanted.isdigit() and int(wanted) > 0 else []
    with _pools.lock:
        pools = _pools.limit() if _pools.users == 0 else None  # a fit that runs has set BLAS itself
    return min([n_threads, *limits, *([pools] if pools else [])])


@contextlib.contextmanager
def threads(n_threads: int | None = None) -> Iterator[None]:
    """Run loops on n_threads threads (None: see `default_threads`) and hold BLAS to one, inside the `with` block.

    Several Python threads may be inside at once: Numba's setting is each thread's own, BLAS's is shared and counted.
    """
    before, n_threads = numba.get_num_threads(), n_threads or default_threads()
    _load_openmp()
    _pools.enter()
    try:
        numba.set_num_threads(n_threads)
        yield
    finally:
        numba.set_num_threads(before)
        _pools.leave()


def most_threads() -> int:
    """Return how many threads Numba can launch at most."""
    return int(numba.config.NUMBA_NUM_THREADS)
