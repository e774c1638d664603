"""Products of thin matrices, written in vectors: the same functions as the plain loops of linear_algebra.py.

BLAS is made for large square matrices. Where one side is n_components long, it reaches a third to a half of what a core
can do. This product keeps a tile of sums in registers, so that each loaded entry of A or B serves many multiply-adds:

    sums[r, :] += A[i + r, l] B[l, j : j + width]        for l = 0, 1, ...

This is the one file that uses Numba's and llvmlite's internals for arithmetic, since Numba's own loops vectorise these
products for one row at a time only, at a third of the speed. Without these internals linear_algebra.py runs its plain
loops, with the same results to rounding: `tests/test_linear_algebra.py` compares both.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, lower_builtin, type_callable

from nmf_numba.compiled import linear_algebra


def _has_avx512() -> bool:
    """Whether the processor that Numba compiles for has it: this one, unless Numba's settings name another."""
    if config.CPU_NAME or config.CPU_FEATURES:
        return "+avx512f" in (config.CPU_FEATURES or "")
    try:
        return bool(llvm.get_host_cpu_features().get("avx512f"))
    except RuntimeError:  # not known for every processor
        return False


_WIDE = _has_avx512()

# The tile of C in registers: 20 of the 32 of AVX-512, or 10 of the 16 of AVX2. Factors often have 10, 20 or 100
# components, so rows come in fifths, which leave no remainder.
ROWS, TILE_BYTES = (10, 128) if _WIDE else (5, 64)
REGISTER_BYTES = TILE_BYTES // 2
SUMS_BYTES = 1024 if _WIDE else 256  # sums of one row of a CSR times a matrix: half of the registers

_INDEX, _INT32, _BYTE = ir.IntType(64), ir.IntType(32), ir.IntType(8)


class _Array:
    """An array as the compiler sees it: a pointer to its data, its shape and its strides in bytes."""

    def __init__(self, context: Any, builder: Any, array_type: Any, value: Any) -> None:
        array = context.make_array(array_type)(context, builder, value)
        self.builder = builder
        self.scalar = context.get_value_type(array_type.dtype)
        self.item = context.get_abi_sizeof(self.scalar)
        self.data = builder.bitcast(array.data, _BYTE.as_pointer())
        self.shape = cgutils.unpack_tuple(builder, array.shape, array_type.ndim)
        self.strides = cgutils.unpack_tuple(builder, array.strides, array_type.ndim)

    def pointer(self, indices: tuple[Any, ...], what: Any) -> Any:
        """Return a pointer to a scalar or a vector (`what`) that begins at an entry."""
        pointer = self.data
        for index, stride in zip(indices, self.strides, strict=True):
            pointer = self.builder.gep(pointer, [self.builder.mul(index, stride)], source_etype=_BYTE)
        return self.builder.bitcast(pointer, what.as_pointer())

    def load(self, *indices: Any, vector: Any = None) -> Any:
        """Load a scalar, or a vector that begins at an entry."""
        what = vector or self.scalar
        return self.builder.load(self.pointer(indices, what), align=self.item, typ=what)

    def store(self, value: Any, *indices: Any) -> None:
        """Store a scalar or a vector from an entry on."""
        self.builder.store(value, self.pointer(indices, value.type), align=self.item)


class _Sum:
    """A sum that the compiler keeps in a register: zero at first."""

    def __init__(self, builder: Any, vector: Any) -> None:
        self.builder, self.vector = builder, vector
        self.slot = cgutils.alloca_once(builder, vector)
        self.set(ir.Constant(vector, None))

    def get(self) -> Any:
        return self.builder.load(self.slot, typ=self.vector)

    def set(self, value: Any) -> None:
        self.builder.store(value, self.slot)

    def add_product(self, a: Any, b: Any) -> None:
        """Add a * b in one instruction. b is a vector, a may be a scalar."""
        builder, contract = self.builder, {"flags": ("contract",)}
        if a.type != b.type:
            undefined = ir.Constant(b.type, ir.Undefined)
            a = builder.insert_element(undefined, a, _INDEX(0))
            a = builder.shuffle_vector(a, undefined, ir.Constant(ir.VectorType(_INT32, b.type.count), None))
        self.set(builder.fadd(self.get(), builder.fmul(a, b, **contract), **contract))


def _shuffle(builder: Any, a: Any, b: Any, positions: Any) -> Any:
    """Return a vector of entries of a, or of b for positions beyond the end of a."""
    positions = list(positions)
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(positions)), positions))


def _halved(builder: Any, x: Any, n: int) -> Any:
    """Add the halves of a vector until n entries are left."""
    while x.type.count > n:
        half = x.type.count // 2
        x = builder.fadd(_shuffle(builder, x, x, range(half)), _shuffle(builder, x, x, range(half, 2 * half)))
    return x


def _tiles(builder: Any, n_columns: Any, array: _Array, n_bytes: int) -> Iterator[tuple[Any, Any]]:
    """Yield the first column of each tile and its vector type: full tiles, then halves, quarters, ... of one."""
    start, width = _INDEX(0), n_bytes // array.item
    while width:
        stop = builder.and_(n_columns, _INDEX(-width))
        with cgutils.for_range_slice(builder, start, stop, _INDEX(width)) as (j, _):
            yield j, ir.VectorType(array.scalar, width)
        start, width = stop, width // 2


def _narrow_tile(builder: Any, sums: list[_Sum], A: _Array, B: _Array, rows: list[Any], j: Any) -> Any:
    """Take several depths at once where a tile is narrower than a register; return the first depth not taken.

    For two depths: (a0 a0 a1 a1) * (b00 b01 b10 b11). A's entries must be contiguous along the depth.
    """
    tile = sums[0].vector
    width, n = tile.count, REGISTER_BYTES // (tile.count * A.item)
    stop = builder.and_(A.shape[1], _INDEX(-n))
    stop = builder.select(builder.icmp_signed("==", A.strides[1], _INDEX(A.item)), stop, _INDEX(0))
    parts = [_Sum(builder, ir.VectorType(A.scalar, n * width)) for _ in rows]
    with cgutils.for_range_slice(builder, _INDEX(0), stop, _INDEX(n)) as (depth, _):
        b = [B.load(builder.add(depth, _INDEX(u)), j, vector=tile) for u in range(n)]
        while len(b) > 1:
            b = [_shuffle(builder, x, y, range(2 * x.type.count)) for x, y in zip(b[::2], b[1::2], strict=True)]
        for part, i in zip(parts, rows, strict=True):
            a = A.load(i, depth, vector=ir.VectorType(A.scalar, n))
            part.add_product(_shuffle(builder, a, a, [u // width for u in range(n * width)]), b[0])
    for total, part in zip(sums, parts, strict=True):
        total.set(builder.fadd(total.get(), _halved(builder, part.get(), width)))
    return stop


def _product(builder: Any, C: _Array, A: _Array, B: _Array, add: Any) -> None:
    n_rows, n_columns = C.shape
    last = builder.sub(n_rows, _INDEX(1))
    with cgutils.for_range_slice(builder, _INDEX(0), n_rows, _INDEX(ROWS)) as (first, _):
        rows = []  # beyond the last row comes the last again: it is computed more than once, with the same result
        for r in range(ROWS):
            i = builder.add(first, _INDEX(r))
            rows.append(builder.select(builder.icmp_signed("<", i, last), i, last))
        for j, vector in _tiles(builder, n_columns, C, TILE_BYTES):
            sums = [_Sum(builder, vector) for _ in rows]
            with builder.if_then(add):
                for total, i in zip(sums, rows, strict=True):
                    total.set(C.load(i, j, vector=vector))
            start = _INDEX(0)  # not for one column of float32: 16 depths at once would be much to compile
            if REGISTER_BYTES // 8 <= vector.count * A.item < REGISTER_BYTES:
                start = _narrow_tile(builder, sums, A, B, rows, j)
            with cgutils.for_range_slice(builder, start, A.shape[1], _INDEX(1)) as (depth, _):
                b = B.load(depth, j, vector=vector)
                for total, i in zip(sums, rows, strict=True):
                    total.add_product(A.load(i, depth), b)
            for total, i in zip(sums, rows, strict=True):
                C.store(total.get(), i, j)


def _groups(builder: Any, columns: _Array, size: int) -> Iterator[list[tuple[Any, Any]]]:
    """Yield positions in columns and the columns there: `size` at a time, then the remainder one by one."""
    start, n = _INDEX(0), columns.shape[0]
    for width in (size, 1):
        stop = builder.sub(n, builder.srem(n, _INDEX(width)))
        with cgutils.for_range_slice(builder, start, stop, _INDEX(width)) as (q, _):
            positions = [builder.add(q, _INDEX(u)) for u in range(width)]
            yield [(position, builder.sext(columns.load(position), _INDEX)) for position in positions]
        start = stop


def _gather(builder: Any, row: _Array, columns: _Array, x: _Array, Ht: _Array) -> None:
    for t, vector in _tiles(builder, row.shape[0], row, SUMS_BYTES // 2):
        n_sums = min(4, SUMS_BYTES // (vector.count * row.item))  # independent chains of additions
        sums = [_Sum(builder, vector) for _ in range(n_sums)]
        for entries in _groups(builder, columns, n_sums):
            for (q, j), total in zip(entries, sums, strict=False):
                total.add_product(x.load(q), Ht.load(j, t, vector=vector))
        result = row.load(t, vector=vector)
        for total in sums:
            result = builder.fadd(result, total.get())
        row.store(result, t)


def _scatter(builder: Any, sums: _Array, columns: _Array, x: _Array, w: _Array) -> None:
    for t, vector in _tiles(builder, w.shape[0], w, SUMS_BYTES // 2):
        w_t, total = w.load(t, vector=vector), _Sum(builder, vector)
        for entries in _groups(builder, columns, 2):
            for q, j in entries:
                total.set(sums.load(j, t, vector=vector))
                total.add_product(x.load(q), w_t)
                sums.store(total.get(), j, t)


def _products(builder: Any, w: _Array, columns: _Array, Ht: _Array, wh: _Array) -> None:
    n = REGISTER_BYTES // w.item
    for entries in _groups(builder, columns, min(8, n)):
        sums = [_Sum(builder, ir.VectorType(w.scalar, n)) for _ in entries]
        for t, vector in _tiles(builder, w.shape[0], w, REGISTER_BYTES):
            widened = [min(p, vector.count) for p in range(n)]  # zeros behind what is narrower than a register
            zeros, w_t = ir.Constant(vector, None), w.load(t, vector=vector)
            for (_, j), total in zip(entries, sums, strict=True):
                h = Ht.load(j, t, vector=vector)
                total.add_product(*(_shuffle(builder, x, zeros, widened) for x in (w_t, h)))
        x = [_halved(builder, total.get(), len(entries)) for total in sums]
        while len(x) > 1:  # the horizontal sums of all vectors at once: add neighbours, pair by pair
            both = range(0, 2 * x[0].type.count, 2), range(1, 2 * x[0].type.count, 2)
            pairs = list(zip(x[::2], x[1::2], strict=True))
            x = [builder.fadd(*(_shuffle(builder, a, b, half) for half in both)) for a, b in pairs]
        wh.store(x[0], entries[0][0])


def _define(function: Any, generate: Any) -> None:
    """Let compiled code that calls this plain loop of four arguments get what `generate` writes instead.

    That is a function of its own, compiled once for all layouts of arrays: a first fit takes half the time.
    """

    @intrinsic
    def code(typing_context: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
        def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            kinds = zip(signature.args, values, strict=True)
            generate(builder, *(_Array(context, builder, k, v) if isinstance(k, types.Array) else v for k, v in kinds))
            return context.get_dummy_value()

        return types.none(a, b, c, d), lower

    def body(a: Any, b: Any, c: Any, d: Any) -> None:
        code(a, b, c, d)

    type_callable(function)(lambda context: lambda a, b, c, d: types.none(a, b, c, d))  # noqa: PLW0108

    @lower_builtin(function, types.VarArg(types.Any))
    def lower(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        kinds = [types.Array(k.dtype, k.ndim, "A") if isinstance(k, types.Array) else k for k in signature.args]
        return context.compile_internal(builder, body, types.none(*kinds), values)


for generate in (_product, _gather, _scatter, _products):
    _define(getattr(linear_algebra, generate.__name__[1:]), generate)
