"""The regularised objective: the beta-divergence and the four penalties."""

from __future__ import annotations

import contextlib
import dataclasses
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from nmf_numba import validation
from nmf_numba.names import refuse_other_factors
from nmf_numba.observations import Missing, observe, with_scaled_rows
from nmf_numba.problem import Float, Problem, twin
from nmf_numba.validation import Engine, Loss, Same


@dataclasses.dataclass(frozen=True, repr=False)
class Objective:
    """The five terms of the objective, in the unit of X to the power beta. Printed are their sum and those above zero.

    Attributes
    ----------
    data_fit : float
        D_beta(X, WH), the beta-divergence.
    l1_W, l1_H : float
        The L1 penalties, alpha_W * l1_ratio * n_features * sum(W) and alpha_H * l1_ratio * n_samples * sum(H).
    l2_W, l2_H : float
        The L2 penalties, alpha_W * (1 - l1_ratio) * n_features / 2 * ||W||_F^2, and H's likewise with n_samples.
    """

    data_fit: float
    l1_W: float
    l1_H: float
    l2_W: float
    l2_H: float

    @property
    def total(self) -> float:
        """The sum of the five terms, which a fit minimises."""
        return self.data_fit + self.l1_W + self.l1_H + self.l2_W + self.l2_H

    def __repr__(self) -> str:
        terms = [
            f"{name}={value:.6g}" for name, value in dataclasses.asdict(self).items() if value or name == "data_fit"
        ]
        return f"Objective({', '.join([f'total={self.total:.6g}', *terms])})"


def evaluate(problem: Problem, W: Float, Ht: Float) -> Objective:
    """Return the objective of W and Ht (H transposed), in float64: a pass over X."""
    from nmf_numba.compiled.threads import threads  # noqa: PLC0415  (imports Numba, which takes its time)

    W, Ht = (np.ascontiguousarray(factor, dtype=np.float64) for factor in (W, Ht))
    functions = twin(__package__, problem.engine)
    name = f"divergence_{'observed_' if problem.observed else ''}{problem.layout}"
    divergence, arrays = getattr(functions, name), problem.observed_arrays if problem.observed else problem.arrays
    bounds = problem.bounds(W.shape[1])
    with np.errstate(all="ignore"):  # beyond float64 it is infinity
        with threads() if problem.engine == "numba" and len(bounds) > 2 else contextlib.nullcontext():
            data_fit = divergence(*arrays, W, Ht, problem.loss, bounds)
        return Objective(
            float(data_fit),
            l1_W=problem.l1_W * float(W.sum()) if problem.l1_W else 0.0,
            l1_H=problem.l1_H * float(Ht.sum()) if problem.l1_H else 0.0,
            l2_W=0.5 * problem.l2_W * float(np.einsum("it,it->", W, W)) if problem.l2_W else 0.0,
            l2_H=0.5 * problem.l2_H * float(np.einsum("it,it->", Ht, Ht)) if problem.l2_H else 0.0,
        )


def _checked(
    X: Any, W: Any, H: Any, beta: float, name: str, alphas: tuple[float, float, float], engine: str, counted: Any
) -> Objective:
    """Evaluate the objective of what a user passed: `name` is beta's there, `counted` are missing and weights."""
    validation.check_choice("engine", engine, validation.ENGINES)
    refuse_other_factors(X, W, H)
    observed = observe(X, *counted)
    X = observed.pop("X")
    validation.check_zeros(X, beta, name, has_missing=observed["missing"])
    W, H = validation.check_product(X, W, H)
    problem = with_scaled_rows(Problem.scaled(X, beta, *alphas, engine=engine, **observed).in_its_unit())
    return evaluate(problem, problem.inside(W), H.T)


def objective(
    X: Any,
    W: ArrayLike,
    H: ArrayLike,
    *,
    beta_loss: Loss | float = "frobenius",
    alpha_W: float = 0.0,
    alpha_H: Same | float = "same",
    l1_ratio: float = 0.0,
    engine: Engine = "numba",
    missing: Missing | None = None,
    weights: Any = None,
) -> Objective:
    """Return the regularised objective of a factorization, term by term.

    The objective is::

        L(W, H) = D_beta(X, WH)
                + alpha_W * l1_ratio * n_features * sum(W)  +  alpha_H * l1_ratio * n_samples * sum(H)
                + alpha_W * (1 - l1_ratio) * n_features / 2 * ||W||_F^2
                + alpha_H * (1 - l1_ratio) * n_samples / 2 * ||H||_F^2

    Parameters
    ----------
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        The matrix that WH is to approximate, finite and non-negative.
    W : array-like, shape (n_samples, n_components)
        Finite and non-negative.
    H : array-like, shape (n_components, n_features)
        Finite and non-negative.
    beta_loss : {'frobenius', 'kullback-leibler', 'itakura-saito'} or float, default 'frobenius'
        The divergence D_beta: beta is 2, 1, 0, or the number given.
    alpha_W : float >= 0, default 0
        Strength of the penalty on W. If X has unit u, D_beta has unit u^beta, so alpha does not mean the same across
        losses.
    alpha_H : float >= 0 or 'same', default 'same'
        Strength of the penalty on H; 'same' is alpha_W.
    l1_ratio : float from 0 to 1, default 0
        How much of the penalty is L1; the rest is L2.
    engine : {'numba', 'reference'}, default 'numba'
        Compiled kernels, or plain Python.
    missing : {'nan', 'not stored'} or None, default None
    weights : array-like or SciPy sparse, or None, default None
        Which entries of X count, and how much: as for `fit`. D_beta is the weighted sum over them.

    Returns
    -------
    Objective
        The five terms and their sum, `total`. All are >= 0; the divergence is computed in float64 so that it keeps its
        digits for close fits. Where it has a logarithm or a negative power of WH, WH is raised to 2**-23 (1.2e-7)
        times the mean of X, or times 1 if that is less and not 0 < beta < 1.

    Raises
    ------
    ValueError, TypeError
        X, W or H have NaN, infinity, a negative entry or shapes that do not match; a parameter is out of range; X has a
        zero and beta <= 0.

    Notes
    -----
    Costs n_samples * n_features * n_components multiply-adds for a dense X. A CSR X is visited at its stored entries
    only for beta = 2 and 1. WH is never formed as a whole.

    References
    ----------
    C. Fevotte and J. Idier (2011), Algorithms for nonnegative matrix factorization with the beta-divergence, Neural
    Computation 23(9). doi:10.1162/NECO_a_00168

    Examples
    --------
    >>> from nmf_numba import objective
    >>> terms = objective([[1.0, 2.0]], W=[[1.0]], H=[[1.0, 1.0]], alpha_W=0.1)
    >>> terms
    Objective(total=0.7, data_fit=0.5, l2_W=0.1, l2_H=0.1)
    >>> terms.data_fit, terms.l2_W, terms.l2_H, round(terms.total, 12)
    (0.5, 0.1, 0.1, 0.7)
    """
    alphas = validation.check_alphas(alpha_W, alpha_H, l1_ratio)
    return _checked(X, W, H, validation.check_beta(beta_loss), "beta_loss", alphas, engine, (missing, weights))


def beta_divergence(
    X: Any,
    W: ArrayLike,
    H: ArrayLike,
    beta: Loss | float,
    *,
    engine: Engine = "numba",
    missing: Missing | None = None,
    weights: Any = None,
) -> float:
    """Return D_beta(X, WH), the beta-divergence summed over all entries.

    beta = 2 is half the squared Frobenius norm of X - WH; beta = 1 the generalised Kullback-Leibler divergence, the sum
    of X log(X/WH) - X + WH; beta = 0 the Itakura-Saito divergence, the sum of X/WH - log(X/WH) - 1; any other beta the
    sum of (X^beta + (beta-1) WH^beta - beta X WH^(beta-1)) / (beta (beta-1)).

    Parameters
    ----------
    X : array-like or SciPy sparse, shape (n_samples, n_features)
        Finite and non-negative; positive for beta <= 0.
    W : array-like, shape (n_samples, n_components)
        Finite and non-negative.
    H : array-like, shape (n_components, n_features)
        Finite and non-negative.
    beta : float or {'frobenius', 'kullback-leibler', 'itakura-saito'}
        Any finite real number, or the name of a loss.
    engine : {'numba', 'reference'}, default 'numba'
        Compiled kernels, or plain Python.
    missing, weights
        As for `objective`.

    Returns
    -------
    float
        At least 0, in the unit of X to the power beta.

    Raises
    ------
    ValueError, TypeError
        As for `objective`, which gives notes and references too.

    Examples
    --------
    >>> from nmf_numba import beta_divergence
    >>> beta_divergence([[1.0, 2.0]], W=[[1.0]], H=[[1.0, 1.0]], beta=2)
    0.5
    """
    counted = missing, weights
    return _checked(X, W, H, validation.check_beta(beta, "beta"), "beta", (0.0, 0.0, 0.0), engine, counted).data_fit
