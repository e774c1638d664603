"""Figures of traces: the objective, its terms, the gap, the KKT residual."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nmf_numba import validation
from nmf_numba.plotting.styles import COLOURS, axes_or_new, line_styles

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nmf_numba.trace import Trace

X_LABELS = {"iteration": "iteration", "seconds": "time of solver steps (s)"}
Y_AXES = ("objective", "gap", "kkt")
SMALLEST_GAP = 1e-5  # of all runs beside each other: below it a run is compared with itself
UNIT = "(unit of X to the power beta)"
TERMS = {"data_fit": "data fit", "l1_W": "L1 of W", "l1_H": "L1 of H", "l2_W": "L2 of W", "l2_H": "L2 of H"}
HATCHES = ("", "///", "\\\\\\", "...", "xx")


def plot_convergence(
    traces: Trace | Mapping[str, Trace],
    x: str = "iteration",
    *,
    y: str = "objective",
    within: float = 10.0,
    ax: Axes | None = None,
) -> Axes:
    """Return an Axes with the regularised objective of each run, its gap or its residual, on a logarithmic scale.

    A run whose name begins with that of a solver, such as 'cd' or 'mu, CSR', is drawn in the solver's colour: see
    `line_styles`.

    Parameters
    ----------
    traces : Trace, or mapping of str to Trace
        One run, or several with their names. Whatever has the columns as attributes will do, a pandas.DataFrame also.
    x : {'iteration', 'seconds'}, default 'iteration'
        Against what: iterations, or the wall clock of the solver's steps.
    y : {'objective', 'gap', 'kkt'}, default 'objective'
        What: the regularised objective L; how far it is above the best that any of the runs found, relative to it,
        (L - best) / best, or L itself if the best is 0; or the relative KKT residual.
    within : float, default 10
        For the objective: the axis ends at most this many times above the highest end of a run, since a start far above
        it would flatten the rest. numpy.inf shows all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError, TypeError
        There is no run, a run has not the columns of a Trace, or these differ in length.

    Notes
    -----
    A logarithmic scale has no zero, so points at zero are left out; of a gap these are the best ones. If no point
    is above zero, the scale is linear.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.plotting import plot_convergence
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> def run(solver):
    ...     return fit(X, 1, solver=solver, init="random", random_state=0, trace=True).trace
    >>> ax = plot_convergence({"HALS": run("cd"), "multiplicative updates": run("mu")}, x="seconds")
    >>> ax.get_xlabel(), ax.get_yscale()
    ('time of solver steps (s)', 'log')
    """
    validation.check_choice("x", x, X_LABELS)
    validation.check_choice("y", y, Y_AXES)
    _check_within(within)
    column = "kkt" if y == "kkt" else "objective"
    if isinstance(traces, Mapping):
        if not traces:
            raise ValueError(
                "traces is empty: there is nothing to plot. Pass a Trace, or a mapping of names to Traces."
            )
        runs = [_columns(f"traces[{name!r}]", trace, x, column) for name, trace in traces.items()]
        labels = list(traces)
    else:
        runs, labels = [_columns("traces", traces, x, column)], []
    best = min((value for _, values in runs for value in values[np.isfinite(values)]), default=0.0)
    if y == "gap":
        runs = [[at, (values - best) / (best or 1)] for at, values in runs]
    logarithmic = any((values[np.isfinite(values)] > 0).any() for _, values in runs)

    ax = axes_or_new(ax, 6, 4)
    styles = line_styles(labels or [""])
    for number, (label, (at, values)) in enumerate(itertools.zip_longest(labels, runs)):
        shown = np.isfinite(values) & (values > 0) if logarithmic else np.isfinite(values)
        ax.plot(
            at[shown],
            values[shown],
            label=label,
            **styles[number],
            markevery=(0.03 * number, 0.2) if shown.sum() > 10 else None,  # a share of the diagonal: markers stay apart
        )
    ax.set_yscale("log" if logarithmic else "linear")
    highest_end = max((values[np.isfinite(values)][-1] for _, values in runs if np.isfinite(values).any()), default=0.0)
    if y == "objective" and 0 < within * highest_end < ax.get_ylim()[1]:
        ax.set_ylim(0.9 * best if best > 0 else None, within * highest_end)
    ax.locator_params(axis="x", integer=x == "iteration")
    ax.set_xlabel(X_LABELS[x])
    ax.locator_params(axis="x", nbins=6)  # seconds have long labels
    gap_unit = "(relative to it, no unit)" if best else UNIT
    ax.set_ylabel(
        {
            "objective": f"objective\n{UNIT}",
            "gap": f"gap to the best objective found\n{gap_unit}",
            "kkt": "KKT residual\n(relative, no unit)",
        }[y]
    )
    ax.grid(which="both", color="0.9")
    ax.set_axisbelow(True)
    if labels:
        ax.legend(frameon=False)
    return ax


def plot_comparison(traces: Mapping[str, Trace], *, terms_of: str | None = None, title: str = "") -> Figure:
    """Return a Figure with four panels: the terms of one run; of each run the gap, twice, and the KKT residual.

    The gap is drawn against iterations and against seconds, both axes of the latter logarithmic. A gap that stays above
    the others has stopped falling, or is in another local minimum; the KKT residual tells which, see `Trace.kkt`.

    Parameters
    ----------
    traces : mapping of str to Trace
        At least one run, by its name, all of one problem, as in `Comparison.traces`.
    terms_of : str, optional
        Whose terms are drawn; default: those of the run with the lowest objective.
    title : str, default ''
        What the problem is: before the title of each panel.

    Returns
    -------
    matplotlib.figure.Figure
        Its `axes` are the panels, line by line.

    Raises
    ------
    ValueError, TypeError
        There is no run, none is called terms_of, or as for `plot_convergence`.

    Examples
    --------
    >>> from nmf_numba import compare, plot_comparison
    >>> comparison = compare([[1.0, 2.0, 3.0], [2.0, 4.0, 7.0]], 1, solvers=["cd", "mu"], alpha_W=0.1, random_state=0)
    >>> figure = plot_comparison(comparison.traces, title="L2")
    >>> [ax.get_title() for ax in figure.axes]
    ['L2: terms of cd', 'L2: gap', 'L2: gap', 'L2: KKT residual']
    """
    if not isinstance(traces, Mapping) or not traces:
        found = "an empty one" if isinstance(traces, Mapping) else type(traces).__name__
        raise ValueError(f"traces must be a mapping of names to Traces with at least one. Found {found}.")
    if terms_of is None:
        terms_of = min(traces, key=lambda name: _columns(f"traces[{name!r}]", traces[name], "objective")[0].min())
    validation.check_choice("terms_of", terms_of, traces)
    from matplotlib.figure import Figure  # noqa: PLC0415  (takes its time)

    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    terms, *panels = figure.subplots(2, 2).flat
    prefix = f"{title}: " if title else ""
    plot_terms(traces[terms_of], ax=terms).set_title(f"{prefix}terms of {terms_of}")
    for ax, x, y in zip(panels, ("iteration", "seconds", "iteration"), ("gap", "gap", "kkt"), strict=True):
        plot_convergence(traces, x, y=y, ax=ax).set_title(prefix + {"gap": "gap", "kkt": "KKT residual"}[y])
        ax.get_legend().remove()
        if y == "gap":
            ax.set_ylim(bottom=max(SMALLEST_GAP, ax.get_ylim()[0]))
    columns = (_columns("", trace, "iteration", "seconds") for trace in traces.values())
    earliest = min((at for n, seconds in columns for at in seconds[(n > 0) & (seconds > 0)]), default=None)
    if earliest is not None:  # the start itself, at zero or nearly so, is left out
        panels[1].set(xscale="log", xlim=(earliest / 2, None))
    lines, names = panels[0].get_legend_handles_labels()
    figure.legend(lines, names, loc="outside upper center", ncols=min(9, len(names)), frameon=False)
    return figure


def plot_terms(trace: Trace, x: str = "iteration", *, within: float = 2.0, ax: Axes | None = None) -> Axes:
    """Return an Axes with the five terms of the objective on top of each other: the upper edge is the objective.

    Parameters
    ----------
    trace : Trace
        Whatever has its columns as attributes will do.
    x : {'iteration', 'seconds'}, default 'iteration'
        Against what: iterations, or the wall clock of the solver's steps.
    within : float, default 2
        The axes begin where the objective is at most this many times its end: a start far above would flatten the rest.
        numpy.inf shows all.
    ax : matplotlib.axes.Axes, optional
        Where to draw; default: a new figure.

    Returns
    -------
    matplotlib.axes.Axes
        Terms that are zero throughout are left out.

    Raises
    ------
    ValueError, TypeError
        trace has not the columns of a Trace, or these differ in length.

    Examples
    --------
    >>> from nmf_numba import fit
    >>> from nmf_numba.plotting import plot_terms
    >>> X = [[1.0, 2.0, 3.0], [2.0, 4.0, 7.0], [1.0, 0.0, 1.0]]
    >>> ax = plot_terms(fit(X, 1, init="random", random_state=0, alpha_W=0.1, trace=True).trace)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['L2 of H', 'L2 of W', 'data fit']
    """
    validation.check_choice("x", x, X_LABELS)
    _check_within(within)
    at, *values = _columns("trace", trace, x, *TERMS)
    ax = axes_or_new(ax, 6, 4)
    floor = np.zeros_like(at)
    for term, colour, hatch, column in zip(TERMS, COLOURS, HATCHES, values, strict=False):
        if not column.any():
            continue
        top = floor + column
        ax.fill_between(
            at, floor, top, label=TERMS[term], facecolor=colour, alpha=0.6, hatch=hatch, edgecolor="0.15", linewidth=0.5
        )
        floor = top
    ax.margins(x=0)
    ax.set_ylim(bottom=0)
    ax.locator_params(axis="x", integer=x == "iteration")
    ax.set_xlabel(X_LABELS[x])
    # floor is the objective now. Rows from the first one that is low enough are shown.
    first = int(np.argmax(floor <= within * floor[-1]))
    if 0 < first < len(at) - 1 and np.isfinite(floor[first:]).all():
        ax.set_xlim(at[first], at[-1])
        ax.set_ylim(0, 1.05 * floor[first:].max())
        ax.set_xlabel(f"{X_LABELS[x]}\n(from {within:g} times the last objective on)")
    ax.set_ylabel(f"terms of the objective\n{UNIT}")
    if ax.collections:
        ax.legend(frameon=False, reverse=True)  # as they lie on each other
    return ax


def _check_within(within: float) -> None:
    if not within > 1:
        raise ValueError(f"within must be above 1: a multiple of the objective's end. Found {within!r}.")


def _columns(name: str, trace: Any, *columns: str) -> list[NDArray[np.float64]]:
    """Return columns of a Trace, or of what has them as attributes."""
    if not all(hasattr(trace, column) for column in columns):
        raise TypeError(
            f"{name} must be a Trace, or have its columns {', '.join(columns)}. Found {type(trace).__name__}. "
            "Use fit(..., trace=True).trace."
        )
    arrays = [np.asarray(getattr(trace, column), np.float64) for column in columns]
    if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 1 or arrays[0].size == 0:
        found = ", ".join(f"{column} {array.shape}" for column, array in zip(columns, arrays, strict=True))
        raise ValueError(f"The columns of {name} must be 1-D, not empty and of one length. Found the shapes {found}.")
    return arrays
