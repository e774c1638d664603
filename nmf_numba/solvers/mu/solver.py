"""Multiplicative updates as a solver: composes reference.py's or kernels.py's functions."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from nmf_numba.losses.objective import evaluate
from nmf_numba.problem import FLOOR, Float, Problem, sum_of_chunks, twin
from nmf_numba.solvers.solver import RowPassSolver, Solver, State, Sums, unchanged

EVALUATE_EVERY = 10  # iterations between two evaluations of the objective, with extrapolation

TINIEST = {np.dtype(kind).char: float(np.finfo(kind).tiny) for kind in (np.float32, np.float64)}  # normal numbers


@dataclasses.dataclass(eq=False)
class MultiplicativeState(State):
    """For an H that stays, what each iteration needs of X and H is computed once.

    Attributes
    ----------
    numerator : ndarray, shape (n_samples, n_components), or None
        X H', for the Frobenius loss.
    common : ndarray, or None
        What `common` of gradient/reference.py returns.
    before : tuple of ndarray, or None
        With extrapolation: W and Ht before the last iteration.
    momentum : float
        With extrapolation: Nesterov's t, 1 after a restart.
    n_steps : int
        With extrapolation: iterations done.
    last : float
        With extrapolation: the objective when it was last evaluated.
    """

    numerator: Float | None = None
    common: Float | None = None
    before: tuple[Float, Float] | None = None
    momentum: float = 1.0
    n_steps: int = 0
    last: float = math.inf


def _flush(problem: Problem) -> float:
    """Return what an entry of H must reach for beta <= 1, of W for beta < 1: float64's epsilon in the unit of WH."""
    return 2.0**-52 * math.sqrt(problem.floor / FLOOR)


def _gradient(problem: Problem) -> Any:
    return twin("nmf_numba.gradient", problem.engine)


@dataclasses.dataclass(frozen=True)
class MultiplicativeUpdates(RowPassSolver):
    """Majorise and minimise: every entry is multiplied by a ratio of non-negative sums, for every beta-divergence.

    Parameters
    ----------
    exponent : 1 or None, default None
        1: no root for 0 <= beta < 1, where steps then are larger and the objective still falls. None: gamma of
        equation (3) in reference.py.
    exact : bool, default False
        Minimise the majoriser with its penalties, equation (4), so that the objective falls with an L2 penalty too.
    extrapolation : bool, default False
        Update from where the last move points: W + a max(W - W_before, 0), with Nesterov's a, and H likewise. Every ten
        iterations the objective is evaluated, and if it has risen the momentum begins anew.
    """

    exponent: float | None = None
    exact: bool = False
    extrapolation: bool = False

    name = "mu"
    title = "Multiplicative updates"
    sources: ClassVar[tuple[str, ...]] = (
        "D. D. Lee and H. S. Seung (2001), Algorithms for non-negative matrix factorization, Advances in Neural "
        "Information Processing Systems 13.",
        "C. Fevotte and J. Idier (2011), Algorithms for nonnegative matrix factorization with the beta-divergence, "
        "Neural Computation 23(9), 2421-2456. doi:10.1162/NECO_a_00168",
    )
    stopping = "objective"
    keeps_zeros = True

    def __post_init__(self) -> None:
        if self.exponent not in (None, 1):
            raise ValueError(f"exponent must be 1 or None. Found {self.exponent!r}.")

    def supports(self, problem: Problem) -> str | None:
        """An exponent of 1 is for losses from 0 on, below 1 without L2 penalties."""
        if self.exponent is None or 1 <= problem.beta <= 2:
            return None
        if not 0 <= problem.beta <= 2:
            return f"beta_loss = {problem.beta} with exponent = 1, only 0 <= beta <= 2. Leave out exponent."
        if problem.l2_W > 0 or problem.l2_H > 0:
            return "an L2 penalty with exponent = 1 and beta_loss < 1: the objective can explode. Leave out exponent."
        return None

    def descends(self, problem: Problem) -> bool:
        """No L2 penalty, or beta <= 0, or beta >= 2, or exact; near zero the floors can break it."""
        if self.extrapolation:
            return False
        no_l2 = problem.l2_W == problem.l2_H == 0
        return no_l2 or self.exact or (not 0 < problem.beta < 2 and self.exponent is None)

    def _penalties(self, l1: float, l2: float, beta: float) -> tuple[float, float, float]:
        """Return what `update` of reference.py takes."""
        if self.exact and (l2 > 0 or (l1 > 0 and beta > 1)):  # with L1 alone and beta <= 1, (1) is exact
            return l1, l2, 0.0
        return l1, l2, self.exponent or 1 / max(1.0, 2 - beta, beta - 1)

    def degree(self, problem: Problem) -> float:
        """Of X WH^(beta-2) and WH^(beta-1)."""
        return max(2.0, abs(problem.beta - 2), abs(problem.beta - 1) + 0.5)

    def least_X(self, problem: Problem) -> float:
        """WH can't be smaller than its floor."""
        return problem.floor if problem.beta < 2 else 0.0

    def init(self, problem: Problem, W: Float, Ht: Float, rng: Any = None) -> MultiplicativeState:
        """For an H that stays, compute once what depends on X and H alone."""
        state = MultiplicativeState(W, Ht, rng)
        if not (problem.update_H or problem.observed):
            state.common = _gradient(problem).common(Ht, problem.beta)
            state.numerator = problem.times(Ht) if problem.beta == 2 else None
        return state

    def step(self, problem: Problem, state: State) -> State:
        """Do a row pass and an update, with extrapolation from where the last move points."""
        if not (self.extrapolation and isinstance(state, MultiplicativeState)):
            return super().step(problem, state)
        momentum = (1 + math.sqrt(1 + 4 * state.momentum**2)) / 2
        weight, state.momentum = state.W.dtype.type((state.momentum - 1) / momentum), momentum
        before = state.W.copy(), state.Ht.copy()
        if state.before is not None:
            factors = (state.W, state.Ht) if problem.update_H else (state.W,)
            for factor, old in zip(factors, state.before, strict=False):
                factor += weight * np.maximum(factor - old, 0)
        state.before, state.n_steps = before, state.n_steps + 1
        for _ in self._plain_halves(problem, state):
            pass
        if state.n_steps % EVALUATE_EVERY == 0:
            now = evaluate(problem, state.W, state.Ht).total
            if now > state.last:
                state.momentum, state.before = 1.0, None
            state.last = now
        return state

    def halves(self, problem: Problem, state: State) -> Iterator[tuple[str | None, State]]:
        """Yield after the row pass and after the update of H; with extrapolation, which moves both, at the end."""
        both_at_once = Solver.halves(self, problem, state)
        yield from both_at_once if self.extrapolation else self._plain_halves(problem, state)

    def _plain_halves(self, problem: Problem, state: State) -> Iterator[tuple[str | None, State]]:
        if problem.fixed_W is None or problem.observed:
            yield from super().halves(problem, state)
            return
        # What stays of W is put back before H's sums: a row pass would add these up before that.
        problems = (("W", problem, state.W, state.Ht), ("H", problem.transposed, state.Ht, state.W))
        for factor, half, W, Ht in problems[: 1 + problem.update_H]:
            with unchanged(W, half.fixed_W):
                self.row_pass(dataclasses.replace(half, update_H=False), State(W, Ht))
            yield factor, state

    def row_pass(self, problem: Problem, state: State) -> Sums:
        """Update W; the sums are H's numerator and denominator, as `update` of reference.py takes them."""
        if problem.observed:
            return self._observed_pass(problem, state)
        functions, beta = self.functions(problem), problem.beta
        penalties = self._penalties(problem.l1_W, problem.l2_W, beta)
        gradient = _gradient(problem)
        W, Ht, is_general = state.W, state.Ht, beta not in (1, 2)
        kept = state if isinstance(state, MultiplicativeState) else MultiplicativeState(W, Ht)
        if kept.numerator is not None:
            functions.update(W, kept.numerator, kept.common, penalties, beta, TINIEST[W.dtype.char])
            return Sums(math.nan, ())
        common = gradient.common(Ht, beta) if kept.common is None else kept.common
        more = problem.loss, penalties, problem.update_H, problem.bounds(W.shape[1])
        if problem.layout == "dense":
            found = functions.row_pass_dense(W, *problem.arrays, Ht, common, *more)
        else:
            given = gradient.denominators(W, Ht, problem.loss) if is_general else common
            found = functions.row_pass_csr(W, *problem.arrays, Ht, given, *more)
        if not problem.update_H:
            return Sums(math.nan, ())
        numerator, denominator = (sum_of_chunks(sums, problem.engine) for sums in found)
        if problem.layout == "dense":  # these lie like H
            numerator, denominator = numerator.T, denominator.T if is_general else denominator
        elif is_general:
            denominator = gradient.denominators(Ht, W, problem.loss)
        return Sums(math.nan, (numerator, gradient.common(W, beta) if beta == 1 else denominator))

    def _observed_pass(self, problem: Problem, state: State) -> Sums:
        """Update W from its gradient's parts, where only some entries of X count; then H's parts, with the new W."""
        (W, Ht), beta, gradient = (state.W, state.Ht), problem.beta, _gradient(problem)
        parts = gradient.parts_observed_dense if problem.layout == "dense" else gradient.parts_observed_csr
        bounds, penalties = problem.bounds(W.shape[1]), self._penalties(problem.l1_W, problem.l2_W, beta)
        (numerator, denominator), _ = parts(*problem.observed_arrays, W, Ht, problem.loss, False, bounds)
        least = _flush(problem) if beta < 1 else TINIEST[W.dtype.char]
        with unchanged(W, problem.fixed_W), unchanged(W, problem.without_entries[0]):
            self.functions(problem).update(W, numerator, denominator, penalties, beta, least, True)
        if not problem.update_H:
            return Sums(math.nan, ())
        _, chunks = parts(*problem.observed_arrays, W, Ht, problem.loss, True, bounds)
        return Sums(math.nan, tuple(sum_of_chunks(chunks, problem.engine)))

    def update(self, problem: Problem, state: State, sums: Sums) -> float:
        """Update Ht by the same function that updates W."""
        numerator, denominator = sums.arrays
        least = _flush(problem) if problem.beta <= 1 else TINIEST[state.Ht.dtype.char]
        more = self._penalties(problem.l1_H, problem.l2_H, problem.beta), problem.beta, least, problem.observed
        empty = problem.without_entries[1] if problem.observed else None
        with unchanged(state.Ht, problem.fixed_H), unchanged(state.Ht, empty):
            self.functions(problem).update(state.Ht, numerator, denominator, *more)
        return math.nan

    def update_with_past(
        self, problem: Problem, state: State, sums: Sums, past: tuple[Float, Float], weight: float
    ) -> None:
        """Update Ht from the sums of some rows and of all rows before them (Lefevre, Bach and Fevotte 2011).

        Sums that were made with different Ht do not add, but their majorisers (notes.md) do. In the new H, one is a
        function of numerator * Ht^(1/gamma) and denominator, and (1) of reference.py is where it is least. So with
        past = (A, B), changed in place, and the weight that is left to them::

            A <- weight A + numerator * Ht^(1/gamma),   B <- weight B + denominator + l1 + l2 Ht,   Ht <- (A/B)^gamma
        """
        (A, B), beta, Ht = past, problem.beta, state.Ht
        numerator, denominator = sums.arrays
        if beta == 2 and not problem.observed:
            denominator = Ht @ denominator
        elif beta == 1:  # where no row has a component: scikit-learn's
            denominator = np.where(denominator == 0, denominator.dtype.type(1), denominator)
        A *= weight
        A += numerator * Ht ** max(1.0, 2 - beta, beta - 1)  # 1/gamma
        B *= weight
        B += denominator + problem.l1_H + problem.l2_H * Ht
        gamma = 1 / max(1.0, 2 - beta, beta - 1)
        with np.errstate(all="ignore"):
            Ht[:] = (A / np.where(B == 0, B.dtype.type(FLOOR), B)) ** gamma
        Ht[Ht < (_flush(problem) if beta <= 1 else TINIEST[Ht.dtype.char])] = 0


@dataclasses.dataclass(frozen=True)
class ExactUpdates(MultiplicativeUpdates):
    """Multiplicative updates that minimise their majoriser with its penalties."""

    exact: bool = True

    name = "mm"
    title = "Multiplicative updates, penalties exactly"


@dataclasses.dataclass(frozen=True)
class ExtrapolatedUpdates(MultiplicativeUpdates):
    """Multiplicative updates from where the last move points (after Hien, Leplat and Gillis 2024).

    Penalties exactly: with L2 in the ratio, extrapolation can diverge.
    """

    exact: bool = True
    extrapolation: bool = True

    name = "mue"
    title = "Extrapolated multiplicative updates"
    sources = (
        *MultiplicativeUpdates.sources,
        "L. T. K. Hien, V. Leplat and N. Gillis (2024), Block majorization minimization with extrapolation and "
        "application to beta-NMF. arXiv:2401.06646",
    )
