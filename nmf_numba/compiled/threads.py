"""Threads: how many a fit uses, how long they wait for work, and what happens after a fork."""

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

SPIN = "4000"  # GNU OpenMP: how often a thread looks for more work before it sleeps, some tens of microseconds


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


class Launcher:
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
        """Begin anew in a forked child."""
        self.lock = threading.Lock()  # another thread may have held it
        self.threads_lost = self.threads_lost or _layer_is_started()


launcher = Launcher()


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


def load_openmp() -> None:
    """Load Numba's OpenMP layer with a short spin, before Numba itself does.

    `omppool` is Numba's own name for it. If it has another one day, or is not there, as on macOS, then nothing happens
    here, and threads spin for as long as their library's default says.
    """
    if launcher.is_ready:
        return
    with _short_spin(), contextlib.suppress(ImportError):
        importlib.import_module("numba.np.ufunc.omppool")
    launcher.is_ready = True


# --- how many -----------------------------------------------------------------------------------------------------


_libraries: dict[bool, list[Any]] = {}  # of BLAS and OpenMP, looked for before and after OpenMP is loaded


def _pool_sizes() -> list[int]:
    """Return the numbers of threads of BLAS and OpenMP, which `threadpool_limits(1)` makes 1."""
    ready = launcher.is_ready
    if ready not in _libraries:
        _libraries[ready] = threadpoolctl.ThreadpoolController().lib_controllers
    return [library.get_num_threads() for library in _libraries[ready]]


def default_threads() -> int:
    """Return how many threads a fit uses if it is not told: Numba's, or fewer if the process is limited.

    NUMBA_NUM_THREADS counts if it is set. Else OMP_NUM_THREADS does, which job schedulers and Ray set, and so does a
    `threadpoolctl.threadpool_limits` around the fit. A limit on BLAS alone does not count once OpenMP is loaded.
    """
    sizes = _pool_sizes()  # of the caller's: Numba's own is loaded next, before Numba loads it without the short spin
    load_openmp()
    n_threads = int(numba.get_num_threads())
    if "NUMBA_NUM_THREADS" in os.environ or n_threads == 1:
        return n_threads
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    limits = [int(wanted)] if wanted.isdigit() and int(wanted) > 0 else []
    return min([n_threads, *limits, max(sizes, default=n_threads)])


@contextlib.contextmanager
def threads(n_threads: int | None = None) -> Iterator[None]:
    """Run loops on n_threads threads (None: see `default_threads`) inside the `with` block, in this Python thread."""
    if n_threads is None:
        n_threads = default_threads()
    load_openmp()
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(n_threads)
        yield
    finally:
        numba.set_num_threads(before)


def most_threads() -> int:
    """Return how many threads Numba can launch at most."""
    return int(numba.config.NUMBA_NUM_THREADS)
