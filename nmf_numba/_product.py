"""The matrix product of the kernels, for thin matrices: factors have few columns, and blocks of X few rows.

BLAS is made for large square matrices. In the products of a factorization one side is n_components long, and there it
reaches a third to a half of what a core can do. This product keeps ROWS x COLUMNS sums in registers while it runs along
the depth:

    sums[r, :] += A[i + r, l] B[l, j : j + COLUMNS]        for l = 0, 1, ...

so an entry of A or B is loaded once for many multiply-adds. It is the one place where a kernel is not a loop that the
compiler turns into vectors, but vectors themselves, written in the compiler's intermediate language (LLVM IR).
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, type_callable

from nmf_numba._jit import inner

try:
    _WIDE = bool(llvm.get_host_cpu_features().get("avx512f"))
except RuntimeError:  # not known for every processor
    _WIDE = False

FLOOR = 2.0**-23  # as in mu/reference.py

# The tile of C that is held in registers: 16 of 32 with AVX-512, 12 of 16 with AVX2, where a register holds 32 bytes.
ROWS, COLUMNS_BYTES = (8, 128) if _WIDE else (6, 64)

_INDEX, _BYTE = ir.IntType(64), ir.IntType(8)


class _Matrix:
    """An array in the compiler's terms: where it begins, its shape and its strides in bytes."""

    def __init__(self, context: Any, builder: Any, array_type: Any, value: Any) -> None:
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.item = context.get_abi_sizeof(context.get_value_type(array_type.dtype))
        self.data = builder.bitcast(array.data, _BYTE.as_pointer())
        self.shape = cgutils.unpack_tuple(builder, array.shape, 2)
        self.strides = cgutils.unpack_tuple(builder, array.strides, 2)

    def at(self, i: Any, j: Any, what: Any) -> Any:
        """Where entry (i, j) is, as a pointer to what begins there: a number or a vector."""
        offset = self.builder.add(self.builder.mul(i, self.strides[0]), self.builder.mul(j, self.strides[1]))
        return self.builder.bitcast(self.builder.gep(self.data, [offset]), what.as_pointer())


def _repeated(builder: Any, number: Any, vector: Any) -> Any:
    """A vector that holds a number in every place."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, number, _INDEX(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None))


def _itself(builder: Any, total: Any, X: Any) -> Any:
    return total


def _root(builder: Any, total: Any, X: Any) -> Any:
    """sqrt(total)."""
    name = f"llvm.sqrt.v{total.type.count}{total.type.element.intrinsic_name}"
    return builder.call(
        cgutils.get_or_insert_function(builder.module, ir.FunctionType(X.type, [X.type]), name), [total]
    )


def _ratio(builder: Any, total: Any, X: Any) -> Any:
    """X / max(total, FLOOR)."""
    floor = ir.Constant(total.type, [FLOOR] * total.type.count)
    return builder.fdiv(X, builder.select(builder.fcmp_ordered(">", total, floor), total, floor))


def _tile(builder: Any, finish: Any, matrices: list[_Matrix], add: Any, rows: list[Any], j: Any, vector: Any) -> None:
    """C[rows, j : j + the vector's length] <- finish(A[rows] B[:, the same columns]), C added before if add is true."""
    C, A, B, X = matrices
    contract = {"flags": ("contract",)}  # a multiplication and an addition become one instruction
    sums = [cgutils.alloca_once(builder, vector) for _ in rows]
    for total in sums:
        builder.store(ir.Constant(vector, None), total)
    align = B.item  # of a number: rows begin anywhere
    with builder.if_then(add):
        for total, i in zip(sums, rows, strict=True):
            builder.store(builder.load(C.at(i, j, vector), align=align), total)
    with cgutils.for_range(builder, A.shape[1]) as depth:
        b = builder.load(B.at(depth.index, j, vector), align=align)
        for total, i in zip(sums, rows, strict=True):
            a = _repeated(builder, builder.load(A.at(i, depth.index, vector.element)), vector)
            builder.store(builder.fadd(builder.load(total), builder.fmul(a, b, **contract), **contract), total)
    for total, i in zip(sums, rows, strict=True):
        x = builder.load(X.at(i, j, vector), align=align)
        builder.store(finish(builder, builder.load(total), x), C.at(i, j, vector), align=align)


def _lower_tiles(finish: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    """C <- finish(A B), or finish(C + A B), tile by tile."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        number = context.get_value_type(C.dtype)
        matrices = [_Matrix(context, builder, t, v) for t, v in zip((C, A, B, X), arguments, strict=False)]
        c = matrices[0]
        n_rows, n_columns = c.shape
        last = builder.sub(n_rows, _INDEX(1))
        with cgutils.for_range_slice(builder, _INDEX(0), n_rows, _INDEX(ROWS)) as (first, _):
            rows = []  # beyond the last comes the last again: it is computed more than once, with the same result
            for r in range(ROWS):
                i = builder.add(first, _INDEX(r))
                rows.append(builder.select(builder.icmp_signed("<", i, last), i, last))
            start, width = _INDEX(0), COLUMNS_BYTES // c.item
            while width:  # full tiles, then the rest in tiles of half the width, a quarter, ... one column
                stop = builder.and_(n_columns, _INDEX(-width))
                with cgutils.for_range_slice(builder, start, stop, _INDEX(width)) as (j, _):
                    _tile(builder, finish, matrices, arguments[4], rows, j, ir.VectorType(number, width))
                start, width = stop, width // 2
        return context.get_dummy_value()

    return types.void(C, A, B, X, types.boolean), generate


@intrinsic
def _sums(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lower_tiles(_itself, C, A, B, X, add)


@intrinsic
def _roots(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lower_tiles(_root, C, A, B, X, add)


@intrinsic
def _ratios(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lower_tiles(_ratio, C, A, B, X, add)


@inner
def _product(C: Any, A: Any, B: Any, X: Any, add: Any) -> None:
    _sums(C, A, B, X, add)


@inner
def _root_of_product(C: Any, A: Any, B: Any, X: Any, add: Any) -> None:
    _roots(C, A, B, X, add)


@inner
def _ratio_to_product(C: Any, A: Any, B: Any, X: Any, add: Any) -> None:
    _ratios(C, A, B, X, add)


def product(C: Any, A: Any, B: Any, add: Any) -> None:
    """C <- A B, or C += A B if add is true. A row's entries lie side by side in B and C; A may be a transposed view."""
    C[:] = C + A @ B if add else A @ B


def root_of_product(C: Any, A: Any, B: Any) -> None:
    """C <- sqrt(A B). What is done to a tile while it is in registers costs half of what a loop of its own does."""
    C[:] = np.sqrt(A @ B)


def ratio_to_product(C: Any, A: Any, B: Any, X: Any) -> None:
    """C <- X / max(A B, FLOOR)."""
    C[:] = X / np.maximum(A @ B, C.dtype.type(FLOOR))


def _define(function: Any, inside: Any, typer: Any, more: Any = ()) -> None:
    """Let kernels call `inside` by the function's name. It is compiled once for all layouts of matrices."""
    type_callable(function)(lambda context: typer)

    @lower_builtin(function, types.Array, types.Array, types.Array, *more)
    def _(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        X, add = arguments[0], cgutils.false_bit
        if more == (types.Array,):
            X = arguments[3]
        elif more:
            add = arguments[3]
        kinds = [types.Array(matrix.dtype, 2, "A") for matrix in signature.args[:3]]
        dispatcher = types.Dispatcher(inside)
        call = dispatcher.get_call_type(context.typing_context, (*kinds, kinds[0], types.boolean), {})
        compiled = context.get_function(dispatcher, call)
        context.add_linking_libs(compiled.libs)
        return compiled(builder, [*arguments[:3], X, add])


# types.none is typed as a function of anything; Numba wants to know how many arguments
_define(product, _product, lambda C, A, B, add: types.none(C, A, B, types.boolean), (types.Boolean,))
_define(root_of_product, _root_of_product, lambda C, A, B: types.none(C, A, B))  # noqa: PLW0108
_define(ratio_to_product, _ratio_to_product, lambda C, A, B, X: types.none(C, A, B, X), (types.Array,))  # noqa: PLW0108
