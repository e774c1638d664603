"""The matrix product of the kernels, for thin matrices: factors have few columns, and blocks of X few rows.

BLAS is made for large square matrices. In the products of a factorization one side is n_components long, and there it
reaches a third to a half of what a core can do. This product keeps ROWS x COLUMNS sums in registers while it runs along
the depth:

    sums[r, :] += A[i + r, l] B[l, j : j + COLUMNS]        for l = 0, 1, ...

so an entry of A or B is loaded once for many multiply-adds. Where fewer columns are left than fill a register, it takes
several steps of the depth at once. A row of a CSR times a matrix likewise: sums of as many components as half of the
registers hold, while it runs along what is stored.

This is the one place where a kernel is not a loop that the compiler turns into vectors, but vectors themselves, written
in the compiler's intermediate language (LLVM IR). The compiler's own loops do what is left beyond the last full vector,
4 of 20 components, number by number.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, type_callable

from nmf_numba._jit import inner


def _has_avx512() -> bool:
    """Of the processor that Numba compiles for: this one, unless its settings name another."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return "+avx512f" in (config.CPU_FEATURES or "")
    try:
        return bool(llvm.get_host_cpu_features().get("avx512f"))
    except RuntimeError:  # not known for every processor
        return False


_WIDE = _has_avx512()

FLOOR = 2.0**-23  # as in mu/reference.py

# The tile of C that is held in registers: 20 of 32 with AVX-512, 10 of 16 with AVX2, where a register holds 32 bytes.
# Factors often have 10, 20 or 100 components: a tile of a whole number of fifths leaves nothing over.
ROWS, COLUMNS_BYTES = (10, 128) if _WIDE else (5, 64)
REGISTER_BYTES = COLUMNS_BYTES // 2
SUMS_BYTES = 1024 if _WIDE else 256  # of a row of a CSR times a matrix: half of the registers

_INDEX, _BYTE = ir.IntType(64), ir.IntType(8)


class _Array:
    """An array in the compiler's terms: where it begins, its shape and its strides in bytes."""

    def __init__(self, context: Any, builder: Any, array_type: Any, value: Any) -> None:
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.number = context.get_value_type(array_type.dtype)
        self.item = context.get_abi_sizeof(self.number)
        self.data = builder.bitcast(array.data, _BYTE.as_pointer())
        self.shape = cgutils.unpack_tuple(builder, array.shape, array_type.ndim)
        self.strides = cgutils.unpack_tuple(builder, array.strides, array_type.ndim)

    def at(self, indices: tuple[Any, ...], what: Any) -> Any:
        """Where an entry is, as a pointer to what begins there: a number or a vector."""
        place = self.data
        for index, stride in zip(indices, self.strides, strict=True):
            place = self.builder.gep(place, [self.builder.mul(index, stride)])
        return self.builder.bitcast(place, what.as_pointer())

    def load(self, *indices: Any, vector: Any = None) -> Any:
        """A number, or a vector that begins at an entry."""
        return self.builder.load(self.at(indices, vector or self.number), align=self.item)

    def store(self, value: Any, *indices: Any) -> None:
        """Store a number or a vector from an entry on."""
        self.builder.store(value, self.at(indices, value.type), align=self.item)


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


def _added_product(builder: Any, total: Any, a: Any, b: Any) -> Any:
    """Add a * b to total, in one instruction. b is a vector, a may be a number."""
    contract = {"flags": ("contract",)}
    a = a if a.type == b.type else _repeated(builder, a, b.type)
    return builder.fadd(total, builder.fmul(a, b, **contract), **contract)


def _rooms(builder: Any, vector: Any, n: int) -> list[Any]:
    """Room for sums, which the compiler keeps in registers: zeros at first."""
    rooms = [cgutils.alloca_once(builder, vector) for _ in range(n)]
    for room in rooms:
        builder.store(ir.Constant(vector, None), room)
    return rooms


def _column_tiles(builder: Any, n_columns: Any, array: _Array, n_bytes: int) -> Iterator[tuple[Any, Any]]:
    """Yield where a tile begins, and its vector: full ones, then the rest in tiles of half the width, a quarter, ..."""
    start, width = _INDEX(0), n_bytes // array.item
    while width:
        stop = builder.and_(n_columns, _INDEX(-width))
        with cgutils.for_range_slice(builder, start, stop, _INDEX(width)) as (j, _):
            yield j, ir.VectorType(array.number, width)
        start, width = stop, width // 2


def _lowered(generate: Any, *kinds: Any) -> Any:
    """What an intrinsic returns: nothing, made by generate(builder, *arrays and numbers)."""

    def lower(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = [
            _Array(context, builder, kind, argument) if isinstance(kind, types.Array) else argument
            for kind, argument in zip(kinds, arguments, strict=True)
        ]
        generate(builder, *values)
        return context.get_dummy_value()

    return types.void(*kinds), lower


def _chosen(builder: Any, a: Any, b: Any, places: Any) -> Any:
    """A vector of entries of a, or of b where a place is beyond the end of a."""
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), len(places)), list(places)))


def _with_zeros(builder: Any, x: Any, n: int) -> Any:
    """A vector of n entries that begins with x."""
    return _chosen(builder, x, ir.Constant(x.type, None), [min(place, x.type.count) for place in range(n)])


def _folded(builder: Any, x: Any, n: int) -> Any:
    """Add halves of a vector until n entries are left."""
    while x.type.count > n:
        half = x.type.count // 2
        x = builder.fadd(_chosen(builder, x, x, range(half)), _chosen(builder, x, x, range(half, 2 * half)))
    return x


def _add_several_depths(builder: Any, sums: list[Any], A: _Array, B: _Array, rows: list[Any], j: Any, tile: Any) -> Any:
    """Add to the sums of a tile narrower than a register as many depths at once as fill it; return how many are done.

    For two: (a0 a0 a1 a1) * (b00 b01 b10 b11). Entries of A must lie side by side along the depth.
    """
    width, n = tile.count, REGISTER_BYTES // (tile.count * A.item)
    stop = builder.and_(A.shape[1], _INDEX(-n))
    stop = builder.select(builder.icmp_signed("==", A.strides[1], _INDEX(A.item)), stop, _INDEX(0))
    parts = _rooms(builder, ir.VectorType(A.number, n * width), len(rows))
    with cgutils.for_range_slice(builder, _INDEX(0), stop, _INDEX(n)) as (depth, _):
        lines = [B.load(builder.add(depth, _INDEX(u)), j, vector=tile) for u in range(n)]
        while len(lines) > 1:
            pairs = zip(lines[::2], lines[1::2], strict=True)
            lines = [_chosen(builder, a, b, range(2 * a.type.count)) for a, b in pairs]
        for part, i in zip(parts, rows, strict=True):
            a = A.load(i, depth, vector=ir.VectorType(A.number, n))
            a = _chosen(builder, a, a, [u // width for u in range(n * width)])
            builder.store(_added_product(builder, builder.load(part), a, lines[0]), part)
    for total, part in zip(sums, parts, strict=True):
        x = _folded(builder, builder.load(part), width)
        builder.store(builder.fadd(builder.load(total), x), total)
    return stop


def _tiles(finish: Any, builder: Any, C: _Array, A: _Array, B: _Array, X: _Array, add: Any) -> None:
    """C <- finish(A B), or finish(C + A B) if add is true, tile by tile."""
    n_rows, n_columns = C.shape
    thin = finish is _itself
    last = builder.sub(n_rows, _INDEX(1))
    with cgutils.for_range_slice(builder, _INDEX(0), n_rows, _INDEX(ROWS)) as (first, _):
        rows = []  # beyond the last comes the last again: it is computed more than once, with the same result
        for r in range(ROWS):
            i = builder.add(first, _INDEX(r))
            rows.append(builder.select(builder.icmp_signed("<", i, last), i, last))
        for j, vector in _column_tiles(builder, n_columns, C, COLUMNS_BYTES):
            sums = _rooms(builder, vector, ROWS)
            with builder.if_then(add):
                for total, i in zip(sums, rows, strict=True):
                    builder.store(C.load(i, j, vector=vector), total)
            start = _INDEX(0)  # not for a single column of float32, whose 16 depths are much code
            if thin and REGISTER_BYTES // 8 <= vector.count * A.item < REGISTER_BYTES:
                start = _add_several_depths(builder, sums, A, B, rows, j, vector)
            with cgutils.for_range_slice(builder, start, A.shape[1], _INDEX(1)) as (depth, _):
                b = B.load(depth, j, vector=vector)
                for total, i in zip(sums, rows, strict=True):
                    a = A.load(i, depth)
                    builder.store(_added_product(builder, builder.load(total), a, b), total)
            for total, i in zip(sums, rows, strict=True):
                C.store(finish(builder, builder.load(total), X.load(i, j, vector=vector)), i, j)


def _each(builder: Any, columns: _Array, step: int) -> Iterator[list[tuple[Any, Any]]]:
    """Yield places in columns and the columns there: step at a time, then what is left one by one."""
    start, n = _INDEX(0), columns.shape[0]
    for width in (step, 1):
        stop = builder.sub(n, builder.srem(n, _INDEX(width)))
        with cgutils.for_range_slice(builder, start, stop, _INDEX(width)) as (q, _):
            places = [builder.add(q, _INDEX(u)) for u in range(width)]
            yield [(place, builder.sext(columns.load(place), _INDEX)) for place in places]
        start = stop


def _gather(builder: Any, row: _Array, columns: _Array, x: _Array, Ht: _Array) -> None:
    for t, vector in _column_tiles(builder, row.shape[0], row, SUMS_BYTES // 2):
        n_sums = min(4, SUMS_BYTES // (vector.count * row.item))  # sums that do not wait for each other
        sums = _rooms(builder, vector, n_sums)
        for entries in _each(builder, columns, n_sums):
            for (q, j), total in zip(entries, sums, strict=False):
                h = Ht.load(j, t, vector=vector)
                builder.store(_added_product(builder, builder.load(total), x.load(q), h), total)
        result = row.load(t, vector=vector)
        for total in sums:
            result = builder.fadd(result, builder.load(total))
        row.store(result, t)


def _scatter(builder: Any, sums: _Array, columns: _Array, x: _Array, w: _Array) -> None:
    for t, vector in _column_tiles(builder, w.shape[0], w, SUMS_BYTES // 2):
        w_t = w.load(t, vector=vector)
        for entries in _each(builder, columns, 2):
            for q, j in entries:
                sums.store(_added_product(builder, sums.load(j, t, vector=vector), x.load(q), w_t), j, t)


def _sums_of_neighbours(builder: Any, x: Any, y: Any) -> Any:
    """x0 + x1, x2 + x3, ..., y0 + y1, ..."""
    n = 2 * x.type.count
    return builder.fadd(_chosen(builder, x, y, range(0, n, 2)), _chosen(builder, x, y, range(1, n, 2)))


def _products(builder: Any, w: _Array, columns: _Array, Ht: _Array, wh: _Array) -> None:
    n = REGISTER_BYTES // w.item
    for entries in _each(builder, columns, min(8, n)):
        totals = _rooms(builder, ir.VectorType(w.number, n), len(entries))
        for t, vector in _column_tiles(builder, w.shape[0], w, REGISTER_BYTES):
            w_t = _with_zeros(builder, w.load(t, vector=vector), n)
            for (_, j), total in zip(entries, totals, strict=True):
                h = _with_zeros(builder, Ht.load(j, t, vector=vector), n)
                builder.store(_added_product(builder, builder.load(total), w_t, h), total)
        sums = [_folded(builder, builder.load(total), len(entries)) for total in totals]
        while len(sums) > 1:  # the sum within each vector, all at once
            sums = [_sums_of_neighbours(builder, x, y) for x, y in zip(sums[::2], sums[1::2], strict=True)]
        wh.store(sums[0], entries[0][0])


@intrinsic
def _products_intrinsic(typing_context: Any, w: Any, columns: Any, Ht: Any, wh: Any) -> Any:
    return _lowered(_products, w, columns, Ht, wh)


@intrinsic
def _gather_intrinsic(typing_context: Any, row: Any, columns: Any, x: Any, Ht: Any) -> Any:
    return _lowered(_gather, row, columns, x, Ht)


@intrinsic
def _scatter_intrinsic(typing_context: Any, sums: Any, columns: Any, x: Any, w: Any) -> Any:
    return _lowered(_scatter, sums, columns, x, w)


@intrinsic
def _sums(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lowered(partial(_tiles, _itself), C, A, B, X, add)


@intrinsic
def _roots(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lowered(partial(_tiles, _root), C, A, B, X, add)


@intrinsic
def _ratios(typing_context: Any, C: Any, A: Any, B: Any, X: Any, add: Any) -> Any:
    return _lowered(partial(_tiles, _ratio), C, A, B, X, add)


def product(C: Any, A: Any, B: Any, add: Any) -> None:
    """C <- A B, or C += A B if add is true. A row's entries lie side by side in B and C; A may be a transposed view."""
    C[:] = C + A @ B if add else A @ B


def root_of_product(C: Any, A: Any, B: Any) -> None:
    """C <- sqrt(A B). What is done to a tile while it is in registers costs half of what a loop of its own does."""
    C[:] = np.sqrt(A @ B)


def ratio_to_product(C: Any, A: Any, B: Any, X: Any) -> None:
    """C <- X / max(A B, FLOOR)."""
    C[:] = X / np.maximum(A @ B, C.dtype.type(FLOOR))


def products(w: Any, columns: Any, Ht: Any, wh: Any) -> None:
    """Set wh <- w'H at these columns, one after the other: wh may be longer."""
    wh[: len(columns)] = Ht[columns] @ w


def gather(row: Any, columns: Any, x: Any, Ht: Any) -> None:
    """Row += x Ht[columns]."""
    row += x @ Ht[columns]


def scatter(sums: Any, columns: Any, x: Any, w: Any) -> None:
    """Do sums[columns] += x w, row by row. No column comes twice."""
    sums[columns] += np.outer(x, w)


def _define(function: Any, typer: Any, inside: Any) -> None:
    """Let kernels call `inside` by the function's name. It is compiled once for all layouts of arrays."""
    inside = inner(inside)
    type_callable(function)(lambda context: typer)

    @lower_builtin(function, types.VarArg(types.Any))
    def _(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds = [types.Array(k.dtype, k.ndim, "A") if isinstance(k, types.Array) else k for k in signature.args]
        dispatcher = types.Dispatcher(inside)
        call = dispatcher.get_call_type(context.typing_context, kinds, {})
        compiled = context.get_function(dispatcher, call)
        context.add_linking_libs(compiled.libs)
        return compiled(builder, arguments)


def _product(C: Any, A: Any, B: Any, add: Any) -> None:
    _sums(C, A, B, C, add)


def _root_of_product(C: Any, A: Any, B: Any) -> None:
    _roots(C, A, B, C, False)


def _ratio_to_product(C: Any, A: Any, B: Any, X: Any) -> None:
    _ratios(C, A, B, X, False)


def _products_there(w: Any, columns: Any, Ht: Any, wh: Any) -> None:
    _products_intrinsic(w, columns, Ht, wh)


def _gathered(row: Any, columns: Any, x: Any, Ht: Any) -> None:
    _gather_intrinsic(row, columns, x, Ht)


def _scattered(sums: Any, columns: Any, x: Any, w: Any) -> None:
    _scatter_intrinsic(sums, columns, x, w)


# types.none alone could be called with anything; Numba wants to know with how many arguments
_define(product, lambda C, A, B, add: types.none(C, A, B, types.boolean), _product)
_define(root_of_product, lambda C, A, B: types.none(C, A, B), _root_of_product)  # noqa: PLW0108
_define(ratio_to_product, lambda C, A, B, X: types.none(C, A, B, X), _ratio_to_product)  # noqa: PLW0108
_define(products, lambda w, columns, Ht, wh: types.none(w, columns, Ht, wh), _products_there)  # noqa: PLW0108
_define(gather, lambda row, columns, x, Ht: types.none(row, columns, x, Ht), _gathered)  # noqa: PLW0108
_define(scatter, lambda sums, columns, x, w: types.none(sums, columns, x, w), _scattered)  # noqa: PLW0108
