"""How far W and H are from a stationary point: the relative KKT residual."""

from __future__ import annotations

import contextlib

import numpy as np

from nmf_numba.problem import Float, Problem, sum_of_chunks, twin

ROWS = 4096  # of a factor at a time: what is computed of them stays small


def kkt_residual(problem: Problem, W: Float, Ht: Float) -> float:
    """Return the relative KKT residual of W and Ht (H transposed), from 0, a stationary point, to 1: a pass over X.

    The gradient of the objective in W is P - N, both parts non-negative: P = denominator + l1 + l2 W and N = numerator,
    as in (1) of reference.py. An entry of it counts as it is where it is negative, so W should grow; where it is
    positive, in proportion to W, up to the mean of its column: at zero nothing is left to do. That is (3) of notes.md.
    The residual is the sum of these over W and H, divided by the sum of P + N over both (over W alone if H stays). It
    has no unit: it is the same for X in grams and in kilograms.
    """
    from nmf_numba.compiled.threads import threads  # noqa: PLC0415  (imports Numba, which takes its time)

    functions, beta = twin(__package__, problem.engine), problem.beta
    W, Ht = (np.ascontiguousarray(factor, dtype=problem.X.dtype) for factor in (W, Ht))
    bounds = problem.bounds(W.shape[1])
    several = problem.engine == "numba" and max(len(bounds) - 2, len(W) // ROWS, len(Ht) // ROWS) > 0
    with np.errstate(all="ignore"), threads() if several else contextlib.nullcontext():
        if beta == 2:
            products = functions.products_dense if problem.layout == "dense" else functions.products_csr
            numerator_W, sums = products(*problem.arrays, W, Ht, bounds)
        else:
            numerators = functions.numerators_dense if problem.layout == "dense" else functions.numerators_csr
            numerator_W, sums = numerators(*problem.arrays, W, Ht, beta, bounds)
        denominator = functions.denominators(W, Ht, beta) if beta not in (1, 2) else functions.common(Ht, beta)
        residual, size = _balance(W, numerator_W, denominator, problem.l1_W, problem.l2_W, beta)
        if problem.update_H:
            numerator_H = sum_of_chunks(sums, problem.engine)
            numerator_H = numerator_H.T if problem.layout == "dense" else numerator_H
            denominator = functions.denominators(Ht, W, beta) if beta not in (1, 2) else functions.common(W, beta)
            more = _balance(Ht, numerator_H, denominator, problem.l1_H, problem.l2_H, beta)
            residual, size = residual + more[0], size + more[1]
    return residual / size if size > 0 else 0.0


def _balance(W: Float, numerator: Float, denominator: Float, l1: float, l2: float, beta: float) -> tuple[float, float]:
    """Return the two sums of (3) in notes.md over the entries of W, in float64."""
    residual = size = 0.0
    means = np.maximum(W.mean(axis=0, dtype=np.float64), np.finfo(np.float64).tiny)
    for start in range(0, len(W), ROWS):
        rows = slice(start, start + ROWS)
        w = W[rows].astype(np.float64)
        if beta == 2:  # einsum: a product by BLAS would wake its threads, which then spin against those of kernels
            P = np.einsum("is,st->it", w, denominator.astype(np.float64))
        else:
            P = np.broadcast_to(denominator if len(denominator) == 1 else denominator[rows], w.shape).astype(np.float64)
        P += l1 + l2 * w
        N = numerator[rows].astype(np.float64)
        gradient = P - N
        residual += float(np.where(gradient > 0, gradient * np.minimum(1, w / means), -gradient).sum())
        size += float(P.sum() + N.sum())
    return residual, size
