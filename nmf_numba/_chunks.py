"""Chunks of rows on several threads: the one parallel loop, and what all solvers do with it.

Each chunk has sums of its own, which are added in order. So the result does not depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numba
import numpy as np
from numba.core import cgutils
from numba.extending import intrinsic

from nmf_numba._jit import compiled, inner
from nmf_numba._product import product

# Only prange is parallel. Left on, the other passes make a parallel kernel of every array expression: slow to compile.
PRANGE_ONLY = {
    "comprehension": False,
    "prange": True,
    "numpy": False,
    "reduction": False,
    "inplace_binop": False,
    "setitem": False,
    "stencil": False,
    "fusion": False,
}

CHUNK = 1024  # rows of a factor in a chunk
STRIP = 4096  # entries of the chunks' sums that are added up together


class _Launcher:
    """Threads that launch parallel kernels queue here; a forked child runs without threads.

    Of Numba's threading layers, workqueue aborts the process when two Python threads launch at once, and omp kills a
    child forked after the parent's first launch. Neither may reach a user.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.threads_lost = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._in_child)

    def _in_child(self) -> None:
        self.lock = threading.Lock()
        try:
            numba.threading_layer()
        except ValueError:  # no layer was started before the fork, so the child may start its own
            return
        self.threads_lost = True


_launcher = _Launcher()


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing_context: Any, address: Any, c: Any, arguments: Any) -> Any:
    """Call the compiled function at this address with c and the arguments. It returns nothing."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds, convention = (c, *arguments.types), context.call_conv
        function = convention.get_function_type(numba.types.none, kinds).as_pointer()
        status, _ = convention.call_function(
            builder,
            builder.inttoptr(values[0], function),
            numba.types.none,
            kinds,
            [values[1], *cgutils.unpack_tuple(builder, values[2])],
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return numba.types.none(address, c, arguments), generate


def _in_turn(address: Any, n_chunks: Any, arguments: Any) -> None:
    for c in range(n_chunks):
        _call(address, numba.int64(c), arguments)


def _in_parallel(address: Any, n_chunks: Any, arguments: Any) -> None:
    for c in numba.prange(n_chunks):
        _call(address, numba.int64(c), arguments)


_in_turn, _in_parallel = compiled(_in_turn), compiled(_in_parallel, parallel=PRANGE_ONLY)

_known: dict[tuple[Any, ...], Any] = {}  # addresses and entries for arguments of these types


def _code(function: Any, kinds: tuple[Any, ...]) -> Any:
    """Return what Numba knows of a function that is compiled for these types."""
    function.compile(kinds)
    return function.overloads[kinds]


def _address(work: Any, arguments: tuple[Any, ...]) -> int:
    """Return where the code of an `inner` function is, compiled for (c, *arguments)."""
    code = _code(work, (numba.int64, *map(numba.typeof, arguments)))
    return int(code.library.get_pointer_to_function(code.fndesc.llvm_func_name))


def _entry(loop: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what Python calls to run a loop: Numba 0.60 itself now and then takes a tuple for one of other types."""
    return _code(loop, (numba.int64, numba.int64, numba.typeof(arguments))).entry_point


def for_each_chunk(work: Any, n_chunks: int, *arguments: Any) -> None:
    """Do work(c, *arguments) for c = 0, ..., n_chunks - 1, on Numba's threads.

    This is the one parallel loop. A parallel function that contained the work would have it compiled four times over;
    so it is given the address of the work's code instead, and is compiled in a moment.

    Parameters
    ----------
    work : callable
        An `inner` function that returns nothing. Each c must write to places of its own.
    n_chunks : int
        One chunk, one thread or a forked child: a plain loop, without the cost of a launch.
    *arguments
        Arrays, numbers and None.
    """
    is_serial = n_chunks <= 1 or numba.get_num_threads() == 1 or _launcher.threads_lost
    # arrays of one key have one type for Numba
    kinds = [(a.dtype, a.ndim, a.flags.num) if isinstance(a, np.ndarray) else type(a) for a in arguments]
    known = _known.get((work, is_serial, *kinds))
    if known is None:
        known = _address(work, arguments), _entry(_in_turn if is_serial else _in_parallel, arguments)
        _known[work, is_serial, *kinds] = known
    address, loop = known
    try:
        if is_serial:
            loop(address, n_chunks, arguments)
            return
        with _launcher.lock:
            loop(address, n_chunks, arguments)
    except SystemError as error:  # how Ctrl-C inside compiled code arrives, or as the cause of such a cause
        cause = error.__cause__
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


@inner
def _add_strip(strip: Any, parts: Any) -> None:
    """The first part <- the sum of all, in order, in one strip."""
    start, stop = strip * STRIP, min((strip + 1) * STRIP, parts.shape[1])
    for c in range(1, len(parts)):
        for j in range(start, stop):
            parts[0, j] += parts[c, j]


def sum_of_parts(parts: Any) -> Any:
    """The sum of the chunks' parts, in order, in the first: so it does not depend on the number of threads."""
    if len(parts) > 1:
        for_each_chunk(_add_strip, parts[0].size // STRIP + 1, parts.reshape(len(parts), -1))
    return parts[0]


@inner
def _gram_of_rows(c: Any, A: Any, parts: Any) -> None:
    rows = A[c * len(A) // len(parts) : (c + 1) * len(A) // len(parts)]
    product(parts[c], rows.T, rows, False)


@inner
def _rows_of_product(c: Any, n_chunks: Any, C: Any, A: Any, B: Any) -> None:
    start, stop = c * len(A) // n_chunks, (c + 1) * len(A) // n_chunks
    product(C[start:stop], A[start:stop], B, False)


def n_chunks_of(A: Any) -> int:
    """Into how many chunks of rows a factor is divided where X is not seen."""
    return max(1, len(A) // CHUNK)


def gram_matrix(A: Any) -> Any:
    """A'A, in chunks of rows of A."""
    parts = np.empty((n_chunks_of(A), A.shape[1], A.shape[1]), A.dtype)
    for_each_chunk(_gram_of_rows, len(parts), A, parts)
    return sum_of_parts(parts)


def times(A: Any, B: Any) -> Any:
    """A B, in chunks of rows of A."""
    C = np.empty((len(A), B.shape[1]), A.dtype)
    for_each_chunk(_rows_of_product, n_chunks_of(A), n_chunks_of(A), C, A, B)
    return C
