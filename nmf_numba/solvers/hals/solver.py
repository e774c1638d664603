"""HALS as three solvers with different options: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nmf_numba import validation
from nmf_numba.problem import Float, Problem, sum_of_chunks, twin
from nmf_numba.solvers.gram import GramState
from nmf_numba.solvers.solver import Coordinate, RowPassSolver, State, Sums, unchanged


@functools.cache
def _in_turn(n_components: int) -> NDArray[np.int64]:
    return np.arange(n_components, dtype=np.int64)


@contextlib.contextmanager
def _without(problem: Problem, state: State) -> Iterator[None]:
    """Set to zero, for a row pass, the rows of W and columns of H of which no entry of X counts: they add nothing."""
    if not problem.observed:
        yield
        return
    rows, columns = problem.without_entries
    with unchanged(state.W, rows), unchanged(state.Ht, columns):
        state.W[rows], state.Ht[columns] = 0, 0
        yield


@dataclasses.dataclass(frozen=True)
class HALS(RowPassSolver):
    """Hierarchical alternating least squares: exact coordinate descent for the Frobenius loss.

    Parameters
    ----------
    shuffle : bool, default False
        Update the components in a random order, a new one for each half of an iteration.
    sweeps : int >= 1, default 1
        How often all components of W are updated before H is, and those of H before W is. The violation is that of the
        first sweep.
    extrapolation : float from 0 to 1, default 0
        How far each half goes beyond its last sweep, in multiples of the change by its sweeps. A row goes there only
        if the objective is then lower than before the sweeps. If H stays, W does not go beyond its sweeps.

    Raises
    ------
    ValueError, TypeError
        An option is out of range, or has the wrong type.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.datasets import load_digits
    >>> from nmf_numba.solvers.hals.solver import HALS
    >>> options = {"init": "random", "random_state": 0, "max_iter": 30, "tol": 0, "trace": 30}
    >>> for solver in (HALS(), HALS(sweeps=4), HALS(sweeps=4, extrapolation=0.7)):
    ...     print(f"{fit(load_digits().X, 10, solver=solver, **options).trace.objective[-1]:.4g}")
    3.765e+05
    3.734e+05
    3.642e+05
    """

    shuffle: bool = False
    sweeps: int = 1
    extrapolation: float = 0.0

    name = "cd"
    title = "HALS, coordinate descent"
    sources: ClassVar[tuple[str, ...]] = (
        "A. Cichocki and A.-H. Phan (2009), Fast local algorithms for large scale nonnegative matrix and tensor "
        "factorizations, IEICE Transactions on Fundamentals E92-A(3), 708-721. doi:10.1587/transfun.E92.A.708",
        "N. Gillis and F. Glineur (2012), Accelerated multiplicative updates and hierarchical ALS algorithms for "
        "nonnegative matrix factorization, Neural Computation 24(4), 1085-1105. doi:10.1162/NECO_a_00256",
    )
    stopping = "violation"

    def __post_init__(self) -> None:
        validation.check_integer("sweeps", self.sweeps, low=1, accepted="an integer >= 1")
        accepted = "a number from 0 to 1"
        validation.check_number("extrapolation", self.extrapolation, low=0, high=1, accepted=accepted)

    def supports(self, problem: Problem) -> str | None:
        """Only the Frobenius loss is quadratic in one entry."""
        if problem.beta != 2:
            return f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."
        if problem.observed and problem.layout == "csr":
            return "a sparse X of which not all entries count. Use solver='ccd'."
        if any(fixed is not None and (fixed != fixed[:1]).any() for fixed in (problem.fixed_W, problem.fixed_H)):
            return "single entries that stay, only whole components. Use solver='mu'."
        return None

    def descends(self, problem: Problem) -> bool:
        """Every step is an exact minimisation; beyond it goes only what does not rise above where the sweeps began."""
        return self.supports(problem) is None

    def start_of_W(self, problem: Problem, n_components: int) -> float:
        """At zero every entry can still move."""
        return 0.0

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> GramState:
        """For an H that stays, multiply X with it once."""
        return GramState.start(problem, W, Ht, rng)

    def order(self, state: State, fixed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Return the components in the order of a sweep, without those that stay."""
        n_components = state.W.shape[1]
        order = np.asarray(state.rng.permutation(n_components), np.int64) if self.shuffle else _in_turn(n_components)
        return order if fixed is None else order[~fixed[0, order]]

    def _sweeps(self, problem: Problem, state: State) -> tuple[int, float]:
        """Return how often to sweep, and how far beyond: not at all for an H that stays, since W then has a minimum.

        One component is at its minimum after one sweep; iterations are then those of the power method.
        """
        if state.W.shape[1] == 1 and not problem.observed:
            return 1, 0.0
        return int(self.sweeps), float(self.extrapolation) if problem.update_H else 0.0

    def row_pass(self, problem: Problem, state: State) -> Sums:
        """Sweep W; the sums are H's cross X'W and gram W'W, without penalties."""
        functions, order = self.functions(problem), self.order(state, problem.fixed_W)
        sweeps = self._sweeps(problem, state)
        if isinstance(state, GramState) and state.cross is not None:
            return Sums(functions.update(state.W, state.gram, state.cross, problem.l1_W, order, sweeps), ())
        row_pass = functions.row_pass_dense if problem.layout == "dense" else functions.row_pass_csr
        arrays, largest = problem.arrays, problem.largest_weight  # by which the whole objective is divided
        if problem.observed:
            row_pass, arrays = functions.row_pass_filled, (*arrays, problem.shares)
        with _without(problem, state):
            gram, bounds = functions.gram(state.Ht, problem.l2_W / largest), problem.bounds(state.W.shape[1])
            more = gram, problem.l1_W / largest, order, bounds, sweeps
            violations, *chunks = row_pass(state.W, *arrays, state.Ht, *more)
        cross_H, gram_H = (sum_of_chunks(sums, problem.engine) for sums in chunks)
        return Sums(sum(violations.tolist()), (cross_H.T if problem.layout == "dense" else cross_H, gram_H))

    def update(self, problem: Problem, state: State, sums: Sums) -> float:
        """Sweep Ht by the same function that sweeps W."""
        cross, gram = sums.arrays
        largest = problem.largest_weight
        if problem.l2_H:
            gram = gram + np.diag(np.full(len(gram), problem.l2_H / largest, gram.dtype))
        more = problem.l1_H / largest, self.order(state, problem.fixed_H), self._sweeps(problem, state)
        with unchanged(state.Ht, problem.without_entries[1] if problem.observed else None):
            return float(self.functions(problem).update(state.Ht, gram, cross, *more))

    def by_coordinate(self) -> bool:
        """One sweep, and nothing beyond it."""
        return self.sweeps == 1 and self.extrapolation == 0

    def coordinates(self, problem: Problem, state: State) -> Iterator[Coordinate]:
        """(1) of reference.py, entry by entry: components outside, so in the order of its equations."""
        reference = twin(__package__, "reference")
        halves = (("W", problem, state.W, state.Ht), ("H", problem.transposed, state.Ht, state.W))
        for factor, half, W, Ht in halves[: 1 + problem.update_H]:
            gram, order = reference.gram(Ht, half.l2_W), self.order(state, half.fixed_W)
            for t, i, gradient, curvature, old in reference.entries(W, gram, half.times(Ht), half.l1_W, order):
                yield Coordinate(factor, int(t), i, float(gradient), float(curvature), float(old), float(W[i, t]))


@dataclasses.dataclass(frozen=True)
class AcceleratedHALS(HALS):
    """HALS with several sweeps of a factor before the other is updated (Gillis and Glineur 2012)."""

    sweeps: int = 5

    name = "ahals"
    title = "HALS with inner sweeps"


@dataclasses.dataclass(frozen=True)
class ExtrapolatedHALS(AcceleratedHALS):
    """HALS with inner sweeps, and extrapolation beyond them (after Ang and Gillis 2019)."""

    extrapolation: float = 0.8

    name = "ehals"
    title = "HALS with inner sweeps and extrapolation"
    sources = (
        *HALS.sources,
        "A. M. S. Ang and N. Gillis (2019), Accelerating nonnegative matrix factorization algorithms using "
        "extrapolation, Neural Computation 31(2), 417-439. doi:10.1162/neco_a_01157",
    )
