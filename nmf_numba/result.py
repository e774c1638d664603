"""What a fit returns."""

from __future__ import annotations

import dataclasses
import math
import numbers
import os
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
from scipy import sparse

from nmf_numba import validation
from nmf_numba.gradient.residual import kkt_residual
from nmf_numba.loop import Run, Step, prepare
from nmf_numba.losses.objective import Objective, evaluate
from nmf_numba.model import read, write
from nmf_numba.names import in_order_of, names_of, positions, positions_in
from nmf_numba.options import Options
from nmf_numba.problem import Float, Problem
from nmf_numba.solvers.solver import Solver, State
from nmf_numba.trace import Trace

KEPT = ("beta_loss", "alpha_W", "alpha_H", "l1_ratio", "tol", "max_iter", "stopping", "shuffle", "engine", "missing")
REASONS = {
    "tol": "the stopping rule was met",
    "max_iter": "max_iter was reached",
    "max_time": "max_time was reached",
    "callback": "the callback ended it",
    "interrupt": "it was interrupted",
}


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during `fit`. Not caught, it ends the program like any other.

    Attributes
    ----------
    result : Factorization
        What the fit has reached, with `stop_reason` 'interrupt'. Some rows of W and H may be those of the iteration
        that was under way.

    Examples
    --------
    >>> from nmf_numba import Interrupted, fit
    >>> def stop(step):
    ...     if step.n_iter == 3:
    ...         raise KeyboardInterrupt  # as Ctrl-C does
    >>> try:
    ...     result = fit([[1.0, 2.0], [3.0, 5.0]], 1, init="random", random_state=0, tol=0, callback=stop)
    ... except Interrupted as interrupted:
    ...     result = interrupted.result
    >>> result.n_iter, result.stop_reason
    (2, 'interrupt')
    """

    def __init__(self, result: Factorization) -> None:
        super().__init__(f"the fit was interrupted after {result.n_iter} iterations; `result` has what it has reached")
        self.result = result


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Factorization:
    """The result of `fit`: X is approximately W @ H.

    Attributes
    ----------
    W : ndarray, shape (n_samples, n_components)
    H : ndarray, shape (n_components, n_features)
        C-contiguous, non-negative, of X's dtype; they share no memory with anything that was passed.
    n_iter : int
        Iterations done.
    stop_reason : {'tol', 'max_iter', 'max_time', 'callback', 'interrupt'}
        Why the fit ended: its stopping rule was met, or something else came first.
    trace : Trace or None
        The objective and its terms, the violation, the KKT residual and the time, if the fit was asked for them.
    parameters : dict
        How it was made: the solver's name, the loss, the penalties, the stopping rule.
    row_names, column_names : list of str, or None
        Those of X, if it was a data frame of pandas or polars. Row numbers are no names.

    Notes
    -----
    `objective`, `kkt` and `relative_error` are computed when first asked for, each by a pass over the X that was
    passed, which must not have been changed since. A copy in another process, or a file, has their values instead of X.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.datasets import load_digits
    >>> X = load_digits().X
    >>> result = fit(X[:1000], 10, init="random", random_state=0)
    >>> result
    Factorization of 1000 x 64 into 10 components: relative error 0.3241, 40 iterations, the stopping rule was met
    >>> W_new = result.transform(X[1000:])
    >>> W_new.shape
    (797, 10)
    """

    W: Float
    H: Float
    n_iter: int
    stop_reason: str
    trace: Trace | None = None
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    row_names: list[str] | None = None
    column_names: list[str] | None = None
    _figures: dict[str, Any] = dataclasses.field(default_factory=dict)  # what has been computed, by name
    _problem: Problem | None = None
    _solver: Solver | None = None
    _state: State | None = None

    @classmethod
    def of(cls, run: Run, step: Step, X: Any) -> Factorization:
        """Return the result of a run that has ended with a step; X is what the user passed, with its names."""
        parameters = {"solver": run.solver.name} | {name: getattr(run.options, name) for name in KEPT}
        trace = None if run.rows is None else Trace.of(run.rows)
        H, reason = np.ascontiguousarray(step.H), str(step.stop_reason or "interrupt")
        row_names, column_names = names_of(X)
        figures = {"objective": step._objective, "kkt": step._kkt}
        return cls(
            step.W,
            H,
            step.n_iter,
            reason,
            trace,
            parameters,
            row_names,
            column_names,
            _figures={name: value for name, value in figures.items() if value is not None},
            _problem=run.problem,
            _solver=run.solver,
            _state=run.state,
        )

    @property
    def converged(self) -> bool:
        """Whether the stopping rule was met."""
        return self.stop_reason == "tol"

    @property
    def objective(self) -> Objective:
        """The regularised objective, term by term: see `nmf_numba.objective`."""
        return self._figure("objective")  # type: ignore[no-any-return]

    @property
    def kkt(self) -> float:
        """The relative KKT residual, from 0, a stationary point, to 1: see `Step.kkt`."""
        return float(self._figure("kkt"))

    @property
    def relative_error(self) -> float:
        """Frobenius norm of X - WH divided by that of X, whatever the loss; 0 for an X of zeros."""
        return float(self._figure("relative_error"))

    def _figure(self, name: str) -> Any:
        if name not in self._figures:
            if self._problem is None:
                raise ValueError(f"{name} needs X, which this result does not have: use nmf_numba.objective(X, W, H).")
            compute = {"objective": evaluate, "kkt": kkt_residual, "relative_error": _relative_error}[name]
            self._figures[name] = compute(self._problem, self._problem.inside(self.W), self.H.T)
        return self._figures[name]

    def transform(
        self,
        X: Any,
        *,
        tol: float | None = None,
        max_iter: int | None = None,
        n_threads: int | None = None,
        weights: Any = None,
    ) -> Float:
        """Return the W of other samples for this H, with the solver, loss and penalties of the fit.

        Parameters
        ----------
        X : array-like or SciPy sparse, shape (n_samples, n_features)
            Finite and non-negative. If it and the X of the fit are data frames, columns are matched by name.
        tol : float >= 0, or None, default None
        max_iter : int >= 1, or None, default None
            As for `fit`; None: as in the fit.
        n_threads : int >= 1, or None, default None
        weights : array-like or SciPy sparse, or None, default None
            As for `fit`. What is missing is as in the fit.

        Returns
        -------
        W : ndarray, shape (n_samples, n_components)

        Raises
        ------
        ValueError, TypeError
            As for `fit`; X has another number of features, or lacks columns by name.

        Warns
        -----
        ConvergenceWarning
            max_iter was reached before the stopping rule was met, and tol > 0.
        UserWarning
            X has more columns than the fit knows; they are left out.
        """
        X = in_order_of(self.column_names, self.H.shape[1], X)
        changed = {"tol": tol, "max_iter": max_iter, "n_threads": n_threads}
        parameters = self.parameters | {name: value for name, value in changed.items() if value is not None}
        if self._solver is not None:
            parameters["solver"] = self._solver
        checked = validation.check_X(X, has_missing=self.parameters.get("missing") == "nan")
        with np.errstate(over="ignore", under="ignore"):
            H = self.H.astype(checked.dtype, copy=False)
        if checked.shape[1] != H.shape[1]:
            raise ValueError(f"X must have the {H.shape[1]} features of the fit. Found shape {checked.shape}.")
        options = Options.of(parameters, H=H, update_H=False, init=None, n_components="auto", weights=weights)
        return prepare(checked, options).last().W

    def predict(self, rows: Any, columns: Any) -> Float:
        """Return WH at some entries: what the fit says of them, whether X has them or not.

        Parameters
        ----------
        rows, columns : array-like of int or of str
            Positions, or names where the fit has them; broadcast against each other.

        Returns
        -------
        ndarray

        Raises
        ------
        ValueError, IndexError
            A name is not known, or a position is out of range.

        Examples
        --------
        >>> import numpy as np
        >>> from nmf_numba import fit
        >>> X = np.array([[1.0, 2.0, 3.0], [2.0, 4.0, np.nan], [3.0, 6.0, 9.0]])
        >>> result = fit(X, 1, missing="nan", random_state=0, tol=1e-9)
        >>> round(float(result.predict(1, 2)), 3)
        6.0
        """
        i, j = positions("rows", rows, self.row_names), positions("columns", columns, self.column_names)
        predicted: Float = np.einsum("...t,...t->...", self.W[i], self.H.T[j])[()]
        return predicted

    def complete(self, X: Any) -> Float:
        """Return a copy of X with WH in the place of NaN.

        Parameters
        ----------
        X : array-like, shape (n_samples, n_features)
            What was fitted, with missing='nan'. If it and the X of the fit are data frames, rows and columns may be in
            another order: they are matched by name.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
            In the order of X.

        Raises
        ------
        ValueError
            X is sparse, has another shape or lacks names of the fit, or is refused as by `fit`.
        """
        if sparse.issparse(X):
            raise ValueError("X must be dense. Of a sparse X use predict(rows, columns), or W @ H for all entries.")
        filled = np.array(validation.check_X(X, has_missing=True))
        if filled.shape != (len(self.W), self.H.shape[1]):
            raise ValueError(f"X must have the shape of the fit, {len(self.W), self.H.shape[1]}. Found {filled.shape}.")
        of_fit = []  # for each row and each column of X, which one of the fit it is
        for axis, known in enumerate((self.row_names, self.column_names)):
            found = positions_in(X, axis, known, filled.shape[axis])
            of_fit.append(np.arange(filled.shape[axis]) if found is None else np.argsort(found))
        rows, columns = np.nonzero(np.isnan(filled))
        filled[rows, columns] = self.predict(of_fit[0][rows], of_fit[1][columns])
        return filled

    def top_features(self, n: int = 10) -> list[list[tuple[Any, float]]]:
        """Return for each component its n largest entries of H, as pairs of a name and a value, largest first.

        Parameters
        ----------
        n : int >= 1, default 10

        Returns
        -------
        list of list of (str or int, float)
            Names are `column_names`, or the numbers of columns where there are none.

        Examples
        --------
        >>> import pandas as pd
        >>> from nmf_numba import fit
        >>> table = pd.DataFrame({"bread": [3.0, 0, 6], "milk": [1.0, 0, 2], "nails": [0, 5.0, 0]})
        >>> result = fit(table, 2, random_state=0)
        >>> [[name for name, _ in features] for features in result.top_features(2)]
        [['bread', 'milk'], ['nails', 'bread']]
        """
        n = validation.check_integer("n", n, low=1, accepted="an integer >= 1")
        names = self.column_names if self.column_names is not None else range(self.H.shape[1])
        order = np.argsort(-self.H, axis=1, kind="stable")[:, :n]
        return [[(names[j], float(row[j])) for j in best] for row, best in zip(self.H, order, strict=True)]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the result to a file, the same that `nmf-numba fit --out` writes.

        Parameters
        ----------
        path : str or path-like
            Must end in .npz.
        overwrite : bool, default False
            Replace a file that is there.

        Raises
        ------
        ValueError
            The path does not end in .npz, exists and must not be replaced, or can't be written.
        OSError
            Writing failed. A file that was there is as it was.

        Notes
        -----
        The file holds no code: `numpy.load` reads it, and so does `nmf-numba transform`. What a solver keeps from one
        iteration to the next is not in it, so a result that was loaded can't be resumed.
        """
        figures: dict[str, Any] = {name: self._figure(name) for name in ("objective", "kkt", "relative_error")}
        terms = figures.pop("objective")
        trace = {} if self.trace is None else {f"trace_{name}": c for name, c in self.trace.to_dict().items()}
        names = {"row_names": self.row_names, "column_names": self.column_names}
        known = {"n_iter": self.n_iter, "stop_reason": self.stop_reason, "parameters": self.parameters}
        values = figures | {"objective": terms.total} | dataclasses.asdict(terms)
        write(path, {"W": self.W, "H": self.H} | known | names | values | trace, overwrite=overwrite)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Factorization:
        """Return a result that `save`, or `nmf-numba fit --out`, has written.

        Parameters
        ----------
        path : str or path-like

        Raises
        ------
        ValueError
            The file can't be read, is damaged, is no model, or comes from a later version of the package.
        """
        kept = read(path)
        columns = [field.name for field in dataclasses.fields(Trace)]
        has_trace = all(f"trace_{name}" in kept for name in columns)
        trace = Trace(**{name: kept[f"trace_{name}"] for name in columns}) if has_trace else None
        figures: dict[str, Any] = {name: kept[name] for name in ("kkt", "relative_error") if name in kept}
        figures["objective"] = Objective(**{f.name: kept[f.name] for f in dataclasses.fields(Objective)})
        fields = ("W", "H", "n_iter", "stop_reason", "parameters", "row_names", "column_names")
        return cls(**{name: kept[name] for name in fields}, trace=trace, _figures=figures)

    def state_for(self, problem: Problem, solver: Solver, options: Options) -> State:
        """Return a copy of the state in which the solver has left off, for a fit that goes on from there."""
        X = problem.X
        if self._state is None or self._solver is None:
            raise ValueError("resume must be what `fit` has returned in this process: this result has no state.")
        if solver != self._solver:
            raise ValueError(f"resume comes from a fit with solver={self._solver!r}. Found solver={solver!r}.")
        if options.W is not None or options.H is not None or options.init not in (None, "auto"):
            raise ValueError("resume goes on from the factors of a result: leave out W, H and init.")
        shape = len(self.W), self.H.shape[1]
        if X.shape != shape or X.dtype != self.W.dtype:
            raise ValueError(
                f"resume comes from a fit of an X of shape {shape}, {self.W.dtype}. Found {X.shape}, {X.dtype}."
            )
        if isinstance(options.n_components, numbers.Integral) and options.n_components != len(self.H):
            raise ValueError(
                f"resume comes from a fit with n_components={len(self.H)}. Found n_components={options.n_components}."
            )
        for name in ("fixed_W", "fixed_H"):
            before, now = (getattr(of, name) for of in (self._problem, problem))
            if (before is None) != (now is None) or (now is not None and (before != now).any()):
                raise ValueError(f"resume comes from a fit with another {name}. Pass the same one again.")
        state = self._state.copy()
        if (problem.outside(state.W, self.W) != self.W).any():  # somebody has changed it
            state.W[:] = problem.inside(self.W)
        state.Ht[:] = self.H.T
        return state

    def __getstate__(self) -> dict[str, Any]:
        """Leave X behind, and what is resumed in one process only; keep what is computed from X."""
        if self._problem is not None:
            for name in ("objective", "kkt", "relative_error"):
                self._figure(name)
        return vars(self) | {"_problem": None, "_state": None}

    def _summary(self) -> Mapping[str, str]:
        rows, columns = len(self.W), self.H.shape[1]
        known = self._problem is not None or "relative_error" in self._figures
        error = {"relative error": f"{self.relative_error:.4g}"} if known else {}
        return (
            {"X": f"{rows} x {columns}", "components": str(len(self.H))}
            | error
            | {
                "iterations": f"{self.n_iter}",
                "ended because": REASONS.get(self.stop_reason, self.stop_reason),
            }
        )

    def __repr__(self) -> str:
        shown = dict(self._summary())
        text = f"Factorization of {shown['X']} into {shown['components']} components: "
        error = f"relative error {shown['relative error']}, " if "relative error" in shown else ""
        return f"{text}{error}{shown['iterations']} iterations, {shown['ended because']}"

    def _repr_html_(self) -> str:
        made = {"solver": str(self.parameters.get("solver", "")), "loss": str(self.parameters.get("beta_loss", ""))}
        cells = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
            for name, value in (dict(self._summary()) | made).items()
        )
        return f"<table>{cells}</table>"


def _relative_error(problem: Problem, W: Float, Ht: Float) -> float:
    X, size = problem.X, 0.0
    if problem.row_scale is not None:  # m^(1/beta): entries are to count m times for this loss too
        a = problem.row_scale
        roots = np.divide(a ** (problem.beta / 2), a, out=np.zeros_like(a), where=a > 0)
        X, W = sparse.diags_array(roots) @ X, W * roots[:, None]
    plain = Problem(X, engine=problem.engine, missing=problem.missing, weights=problem.weights)
    for x, m in plain.blocks():
        part = x.reshape(-1).astype(np.float64)  # einsum, not a BLAS product: its threads would spin on
        size += float(np.einsum("i,i,i->", m.reshape(-1).astype(np.float64), part, part))
    return math.sqrt(2 * evaluate(plain, W, Ht).data_fit / size) if size > 0 else 0.0
