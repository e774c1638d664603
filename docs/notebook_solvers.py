"""Two solvers in plain NumPy and SciPy, as in a notebook: the examples of "How to add a solver"."""

import dataclasses

import numpy as np
from scipy.optimize import nnls

from nmf_numba.losses.objective import evaluate
from nmf_numba.solvers.solver import AlternatingSolver, Solver, State

# --- a step length for all rows: a plain Solver ---------------------------------------------------------------------


@dataclasses.dataclass(eq=False)
class LineSearchState(State):
    """The next step length to try, beside the factors."""

    length: float = 1.0


@dataclasses.dataclass(frozen=True)
class LineSearch(Solver):
    """A gradient step of both factors at once, shortened until the objective falls."""

    shrink: float = 0.5  # an option

    name = "line-search"
    title = "Projected gradient with a line search"

    def supports(self, problem):
        if problem.beta != 2:
            return f"beta_loss = {problem.beta}, only 'frobenius'. Use solver='mu'."
        return super().supports(problem)

    def descends(self, problem):
        return problem.beta == 2  # a step that raises the objective is rejected

    def init(self, problem, W, Ht, rng=None):
        return LineSearchState(W, Ht, rng, length=1 / np.linalg.norm(Ht.T @ Ht))

    def step(self, problem, state):
        X, W, Ht, length = problem.X, state.W, state.Ht, state.length
        slope_W = W @ (Ht.T @ Ht) - X @ Ht + problem.l1_W + problem.l2_W * W
        slope_H = Ht @ (W.T @ W) - X.T @ W + problem.l1_H + problem.l2_H * Ht
        before = evaluate(problem, W, Ht).total
        for _ in range(30):
            new_W = np.maximum(W - length * slope_W, 0)
            new_Ht = np.maximum(Ht - length * slope_H, 0) if problem.update_H else Ht
            if evaluate(problem, new_W, new_Ht).total < before:
                return LineSearchState(new_W, new_Ht, state.rng, length=length / self.shrink)
            length *= self.shrink
        return LineSearchState(W, Ht, state.rng, length=length)  # rejected: go on from the old factors


# --- both halves one function: an AlternatingSolver -----------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class ActiveSet(AlternatingSolver):
    """Alternating non-negative least squares: every row of W is the exact minimiser for this H, then H for this W."""

    name = "anls"
    title = "Alternating non-negative least squares"

    def supports(self, problem):
        penalties = problem.l1_W, problem.l1_H, problem.l2_W, problem.l2_H
        if problem.beta == 2 and problem.layout == "dense" and not any(penalties):
            return super().supports(problem)
        return "a sparse X, penalties or a loss other than 'frobenius'. Use solver='cd' or 'mu'."

    def update(self, problem, W, Ht, state):
        for i in range(len(W)):
            W[i] = nnls(Ht, problem.X[i])[0]
        return np.nan  # it does not measure a violation
