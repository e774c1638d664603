"""The rules that end a fit. A solver names the one that suits it."""

from __future__ import annotations

import math
from typing import Protocol

from nmf_numba.losses.objective import Objective

TEST_EVERY = 10  # iterations between two tests of a rule


class Progress(Protocol):
    """What a rule sees of a step."""

    n_iter: int
    violation: float

    def objective(self) -> Objective:
        """Return the regularised objective, a pass over X."""

    def kkt(self) -> float:
        """Return the relative KKT residual, a pass over X."""


class ViolationRule:
    """Stop when the violation has fallen to tol times that of the first iteration, or was zero there."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.first = math.nan

    def met(self, step: Progress) -> bool:
        """Take note of a step, in order from the start on, and say whether it is the last."""
        if step.n_iter == 1:
            self.first = step.violation
        return step.n_iter > 0 and (self.first == 0 or step.violation / self.first <= self.tol)


class ObjectiveRule:
    """Every ten iterations, stop if sqrt(2 L) has fallen by less than tol times its start. L: the whole objective."""

    def __init__(self, tol: float) -> None:
        self.tol = tol
        self.start = self.previous = math.nan

    def met(self, step: Progress) -> bool:
        """Take note of a step, in order from the start on, and say whether it is the last."""
        if self.tol == 0 or step.n_iter % TEST_EVERY:
            return False
        now = math.sqrt(2 * step.objective().total)
        if step.n_iter == 0:
            self.start = self.previous = now
            return False
        fall, self.previous = self.previous - now, now
        return self.start == 0 or fall / self.start < self.tol


class ResidualRule:
    """After the first iteration, and then every ten, stop if the relative KKT residual is at most tol.

    It compares with neither the start nor the first iteration, and has no unit.
    """

    def __init__(self, tol: float) -> None:
        self.tol = tol

    def met(self, step: Progress) -> bool:
        """Say whether a step is the last."""
        if self.tol == 0 or step.n_iter == 0 or (step.n_iter > 1 and step.n_iter % TEST_EVERY):
            return False
        return step.kkt() <= self.tol


STOPPING: dict[str, type[ViolationRule] | type[ObjectiveRule] | type[ResidualRule]] = {
    "violation": ViolationRule,
    "objective": ObjectiveRule,
    "kkt": ResidualRule,
}
FAR = 0.01  # a relative KKT residual above this, where a rule that compares with the start is met, deserves a warning
