"""The history of a fit: what was measured at the start and after every iteration."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nmf_numba.losses.objective import Objective
from nmf_numba.table import Table

Column = NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What a fit measured, a row for the start and for every iteration; each attribute is one column.

    Attributes
    ----------
    iteration : ndarray of int, shape (n_rows,)
        Iterations done; 0 is the start.
    seconds : ndarray, shape (n_rows,)
        Wall clock of the solver's steps so far, in seconds, without compilation and evaluation.
    data_fit, l1_W, l1_H, l2_W, l2_H : ndarray, shape (n_rows,)
        The five terms of the objective, see `Objective`. If X has unit u, their unit is u^beta.
    objective : ndarray, shape (n_rows,)
        Their sum, which the fit minimises.
    violation : ndarray, shape (n_rows,)
        Of the optimality conditions, as the solver measured it while it updated; NaN at the start, and for solvers that
        do not.
    kkt : ndarray, shape (n_rows,)
        The relative KKT residual, from 0, a stationary point, to 1: see `Step.kkt`. NaN where it was not evaluated.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> trace = fit(X, 1, init="random", random_state=0, tol=0, max_iter=3, trace=True).trace
    >>> len(trace) == len(trace.objective)
    True
    >>> bool((trace.objective[1:] <= trace.objective[:-1]).all())
    True
    """

    iteration: Column
    seconds: Column
    data_fit: Column
    l1_W: Column
    l1_H: Column
    l2_W: Column
    l2_H: Column
    objective: Column
    violation: Column
    kkt: Column

    @classmethod
    def of(cls, rows: Iterable[tuple[int, float, float, Objective, float]]) -> Trace:
        """Make a Trace of (iteration, seconds, violation, objective, kkt) for each row."""
        iteration, seconds, violation, terms, kkt = zip(*rows, strict=True)
        names = [field.name for field in dataclasses.fields(Objective)]
        columns = {name: np.array([getattr(each, name) for each in terms]) for name in names}
        total = np.array([each.total for each in terms])
        measured = {"objective": total, "violation": np.array(violation), "kkt": np.array(kkt)}
        return cls(np.array(iteration), np.array(seconds), **columns, **measured)

    def to_dict(self) -> dict[str, Column]:
        """Return the columns by name, as `pandas.DataFrame` takes them."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def table(self, n_rows: int = 20) -> Table:
        """Return at most n_rows of the rows as a table: the first, the last, and some evenly between.

        Terms that are zero throughout are left out.
        """
        columns = {name: column for name, column in self.to_dict().items() if np.nan_to_num(column).any()}
        shown = np.unique(np.linspace(0, len(self) - 1, min(n_rows, len(self))).round().astype(int))
        rows = [["" if np.isnan(c[at]) else f"{c[at]:.6g}" for c in columns.values()] for at in shown]
        return Table(list(columns), rows)

    def __len__(self) -> int:
        return len(self.iteration)

    def __repr__(self) -> str:
        return str(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()
