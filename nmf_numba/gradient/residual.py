"""How far W and H are from a stationary point: the relative KKT residual."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np

from nmf_numba.problem import Float, Problem, sum_of_chunks, twin

Parts = tuple[Float, Float]  # numerator and denominator

ROWS = 4096  # of a factor at a time: what is computed of them stays small


def kkt_residual(problem: Problem, W: Float, Ht: Float) -> float:
    """Return the relative KKT residual of W and Ht (H transposed), from 0, a stationary point, to 1: a pass over X.

    The gradient of the objective in W is P - N, both parts non-negative: P = denominator + l1 + l2 W and N = numerator,
    as in (1) of reference.py. An entry of it counts as it is where it is negative, so W should grow; where it is
    positive, in proportion to W, up to the mean of its column: at zero nothing is left to do. That is (3) of notes.md.
    The residual is the sum of these over W and H (over W alone if H stays), divided by that of P + N, which counts for
    each entry as much as its gradient. It has no unit: it is the same for X in grams and in kilograms.
    """
    from nmf_numba.compiled.threads import threads  # noqa: PLC0415  (imports Numba, which takes its time)

    functions, beta = twin(__package__, problem.engine), problem.beta
    W, Ht = (np.ascontiguousarray(factor, dtype=problem.X.dtype) for factor in (W, Ht))
    bounds = problem.bounds(W.shape[1])
    several = problem.engine == "numba" and max(len(bounds) - 2, len(W) // ROWS, len(Ht) // ROWS) > 0
    with np.errstate(all="ignore"), threads() if several else contextlib.nullcontext():
        parts_W, parts_H = _parts(problem, functions, W, Ht, bounds)
        by_gram = beta == 2 and not problem.observed
        penalties = problem.l1_W, problem.l2_W
        residual, size = _balance(W, *parts_W, by_gram, penalties, problem.fixed_W, problem.row_scale)
        if parts_H is not None:
            more = _balance(Ht, *parts_H, by_gram, (problem.l1_H, problem.l2_H), problem.fixed_H)
            residual, size = residual + more[0], size + more[1]
    return residual / size if size > 0 else 0.0


def _parts(problem: Problem, functions: Any, W: Float, Ht: Float, bounds: Any) -> tuple[Parts, Parts | None]:
    """Return numerator and denominator of W, and of H unless it stays; for beta = 2 denominators are Ht'Ht and W'W."""
    beta, is_dense = problem.beta, problem.layout == "dense"
    if problem.observed:
        of_layout = functions.parts_observed_dense if is_dense else functions.parts_observed_csr
        parts_W, _ = of_layout(*problem.observed_arrays, W, Ht, problem.loss, False, bounds)
        if not problem.update_H:
            return parts_W, None
        _, sums = of_layout(*problem.observed_arrays, W, Ht, problem.loss, True, bounds)
        numerator_H, denominator_H = sum_of_chunks(sums, problem.engine)
        return parts_W, (numerator_H, denominator_H)
    if beta == 2:
        of_layout = functions.products_dense if is_dense else functions.products_csr
        numerator_W, sums = of_layout(*problem.arrays, W, Ht, bounds)
    else:
        of_layout = functions.numerators_dense if is_dense else functions.numerators_csr
        numerator_W, sums = of_layout(*problem.arrays, W, Ht, problem.loss, bounds)

    def denominator(A: Float, B: Float) -> Float:
        result: Float = functions.common(B, beta) if beta in (1, 2) else functions.denominators(A, B, problem.loss)
        return result

    parts_W = numerator_W, denominator(W, Ht)
    if not problem.update_H:
        return parts_W, None
    numerator_H = sum_of_chunks(sums, problem.engine)
    return parts_W, (numerator_H.T if is_dense else numerator_H, denominator(Ht, W))


def _balance(
    W: Float,
    numerator: Float,
    denominator: Float,
    by_gram: bool,
    penalties: tuple[float, float],
    fixed: Any,
    scale: Any = None,
) -> tuple[float, float]:
    """Return the two sums of (3) in notes.md over the entries of W that may change, in float64.

    scale: what rows of W have been multiplied by, and the gradient in them divided by; 0 where a row does not count
    """
    residual, size, (l1, l2), outside = 0.0, 0.0, penalties, W
    if scale is not None:
        outside = np.divide(W, scale[:, None], out=np.zeros_like(W), where=scale[:, None] > 0)
    means = np.maximum(outside.mean(axis=0, dtype=np.float64), np.finfo(np.float64).tiny)
    for start in range(0, len(W), ROWS):
        rows = slice(start, start + ROWS)
        w = W[rows].astype(np.float64)
        if by_gram:  # einsum: a product by BLAS would wake its threads, which then spin against those of kernels
            P = np.einsum("is,st->it", w, denominator.astype(np.float64))
        else:
            P = np.broadcast_to(denominator if len(denominator) == 1 else denominator[rows], w.shape).astype(np.float64)
        P += l1 + l2 * w
        N = numerator[rows].astype(np.float64)
        free = (denominator[rows] if len(denominator) == len(W) else 1) + N > 0  # else no entry of X counts there
        free = free if fixed is None else free & ~fixed[rows]
        if scale is not None:
            P, N = P * scale[rows, None], N * scale[rows, None]
        counts = np.where(P > N, np.minimum(1, outside[rows] / means), 1)
        residual += float((counts * np.abs(P - N)).sum(where=free))
        size += float((counts * (P + N)).sum(where=free))
    return residual, size
