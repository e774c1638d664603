"""Chunks of rows on several threads: the one parallel loop, and what all solvers do with it.

Each chunk has sums of its own, which are added in order. So the result does not depend on the number of threads.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba import types
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


def _generate_call(context: Any, builder: Any, address: Any, kinds: tuple[Any, ...], values: list[Any]) -> Any:
    """Call the compiled function at this address, which returns nothing, with values of these types."""
    convention = context.call_conv
    function = convention.get_function_type(types.none, kinds).as_pointer()
    status, _ = convention.call_function(builder, builder.inttoptr(address, function), types.none, kinds, values)
    with cgutils.if_unlikely(builder, status.is_error):
        convention.return_status_propagate(builder, status)
    return context.get_dummy_value()


@intrinsic  # type: ignore[untyped-decorator]
def _call(typing_context: Any, address: Any, c: Any, place: Any) -> Any:
    """Do work(c, place), where address is that of the work's code."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return _generate_call(context, builder, values[0], signature.args[1:], values[1:])

    return types.none(address, c, place), generate


def _borrowed(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """An array that is not counted: else each slice of it counts references in memory that all threads share."""
    if not isinstance(kind, types.Array):
        return value
    array = context.make_array(kind)(context, builder, value)
    array.meminfo = cgutils.get_null_value(array.meminfo.type)
    return array._getvalue()


@intrinsic  # type: ignore[untyped-decorator]
def _hand_over(typing_context: Any, loop: Any, n_chunks: Any, address: Any, arguments: Any) -> Any:
    """Do loop(unpack, n_chunks, place): unpack(c, place) finds work's address and arguments there, and calls it."""

    def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        loop_address, n, *what = values
        place = cgutils.alloca_once_value(builder, cgutils.pack_struct(builder, what))

        convention, numbers = context.call_conv, (types.int64, types.int64)
        function = convention.get_function_type(types.none, numbers)
        unpack = ir.Function(builder.module, function, f"{builder.function.name}.unpack")
        unpack.linkage = "internal"
        inside = ir.IRBuilder(unpack.append_basic_block())
        c, there = convention.get_arguments(unpack)
        work, packed = cgutils.unpack_tuple(inside, inside.load(inside.inttoptr(there, place.type)))
        items = zip(arguments.types, cgutils.unpack_tuple(inside, packed), strict=True)
        values = [c, *(_borrowed(context, inside, kind, item) for kind, item in items)]
        result = _generate_call(context, inside, work, (types.int64, *arguments.types), values)
        convention.return_value(inside, result)

        as_number = [builder.ptrtoint(pointer, values[0].type) for pointer in (unpack, place)]
        kinds = (types.int64,) * 3
        return _generate_call(context, builder, loop_address, kinds, [as_number[0], n, as_number[1]])

    return types.none(loop, n_chunks, address, arguments), generate


def _in_turn(address: Any, n_chunks: Any, place: Any) -> None:
    for c in range(n_chunks):
        _call(address, numba.int64(c), place)


def _in_parallel(address: Any, n_chunks: Any, place: Any) -> None:
    for c in numba.prange(n_chunks):
        _call(address, numba.int64(c), place)


def _launch(loop: Any, n_chunks: Any, address: Any, arguments: Any) -> None:
    _hand_over(loop, n_chunks, address, arguments)


_in_turn, _in_parallel = compiled(_in_turn), compiled(_in_parallel, parallel=PRANGE_ONLY)
_launch = compiled(_launch)

_known: dict[tuple[Any, ...], Any] = {}  # addresses of loops, and of works and entries for arguments of these types


def _code(function: Any, *kinds: Any) -> Any:
    """Return what Numba knows of a function that is compiled for these types."""
    function.compile(kinds)
    return function.overloads[kinds]


def _address(function: Any, *kinds: Any) -> int:
    """Return where the code of a function is, compiled for these types."""
    code = _code(function, *kinds)
    return int(code.library.get_pointer_to_function(code.fndesc.llvm_func_name))


def for_each_chunk(work: Any, n_chunks: int, *arguments: Any) -> None:
    """Do work(c, *arguments) for c = 0, ..., n_chunks - 1, on Numba's threads.

    This is the one parallel loop. A parallel function that contained the work would have it compiled four times over;
    so it is given the address of the work's code instead. Nor does it see the arguments, but where they are: so it is
    compiled once, and only what unpacks them is compiled for their types, in a moment.

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
    loop = _known.get((is_serial,))
    if loop is None:
        loop = _known[is_serial,] = _address(_in_turn if is_serial else _in_parallel, *(numba.int64,) * 3)
    # arrays of one key have one type for Numba
    kinds = [(a.dtype, a.ndim, a.flags.num) if isinstance(a, np.ndarray) else type(a) for a in arguments]
    known = _known.get((work, *kinds))
    if known is None:
        types_of = [numba.typeof(argument) for argument in arguments]
        # its entry is what Python calls: Numba 0.60 itself now and then takes a tuple for one of other types
        launch = _code(_launch, *(numba.int64,) * 3, numba.typeof(arguments)).entry_point
        known = _known[work, *kinds] = _address(work, numba.int64, *types_of), launch
    address, launch = known
    try:
        if is_serial:
            launch(loop, n_chunks, address, arguments)
            return
        with _launcher.lock:
            launch(loop, n_chunks, address, arguments)
    except SystemError as error:  # how Ctrl-C inside compiled code arrives, or as the cause of such a cause
        cause = error.__cause__
        while isinstance(cause, SystemError):
            cause = cause.__cause__
        if isinstance(cause, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise


@inner
def _add_strip(strip: Any, parts: Any) -> None:
    """The first part <- the sum of all, in order, in one strip of rows."""
    n_rows, n_columns = parts.shape[1:]
    start, stop = strip * STRIP // n_columns, (strip + 1) * STRIP // n_columns
    for c in range(1, len(parts)):
        for i in range(start, min(stop, n_rows)):
            for j in range(n_columns):
                parts[0, i, j] += parts[c, i, j]


def sum_of_parts(parts: Any) -> Any:
    """The sum of the chunks' parts, in order, in the first: so it does not depend on the number of threads."""
    if len(parts) > 1:
        for_each_chunk(_add_strip, parts[0].size // STRIP + 1, parts)
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
