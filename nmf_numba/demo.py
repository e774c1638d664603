"""The demo: fits the digits and the piano, returns a table and draws figures."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from nmf_numba import validation
from nmf_numba.datasets import DATASETS, Dataset
from nmf_numba.files import check_output, free_path, write_file
from nmf_numba.loop import iterate
from nmf_numba.plotting import plot_activations, plot_components, plot_convergence
from nmf_numba.problem import Float
from nmf_numba.trace import Trace
from nmf_numba.validation import Loss, SolverName

FIGURES = ("digits-components.png", "piano-components.png", "convergence.png")
N_COMPONENTS = {"digits": 16, "piano": 8}
PLAN: tuple[tuple[str, Loss, SolverName, int], ...] = (  # data, loss, solver, starts
    ("digits", "frobenius", "cd", 1),
    ("digits", "frobenius", "mu", 1),
    ("digits", "kullback-leibler", "mu", 1),
    ("piano", "itakura-saito", "mu", 5),
)
ALIKE = 0.8  # cosine of the angle between a learnt spectrum and a note's, from which they are called the same


@dataclasses.dataclass(frozen=True)
class Curve:
    """One fit of the demo: its factors, and what was measured at each iteration from the start on."""

    W: Float
    H: Float
    trace: Trace
    stop_reason: str
    seed: int


Curves = dict[tuple[str, str, str], list[Curve]]  # by data, loss and solver


HEADER = ["data", "loss", "solver", "starts", "iterations", "stopped by", "seconds", "objective at start", "at end"]


def free_folder(path: Path) -> Path:
    """Return path, or the first of path-2, path-3, ... that has none of the demo's figures yet."""
    return free_path(path, lambda folder: any((folder / figure).exists() for figure in FIGURES))


def run(out_dir: Path, *, max_iter: int, overwrite: bool, say: Callable[[str], None]) -> list[list[str]]:
    """Fit the digits and the piano, draw the figures and return the rows of the table.

    Parameters
    ----------
    out_dir : Path
        Where FIGURES are written; made if it is not there.
    max_iter : int
        Most iterations of each fit.
    overwrite : bool
        Replace figures that are there.
    say : callable
        Is told what is done next.

    Raises
    ------
    ValueError
        max_iter is out of range, or a figure can't be written or must not be replaced.
    """
    validation.check_integer("--max-iter", max_iter, low=1, accepted="an integer >= 1")
    out_dir.mkdir(parents=True, exist_ok=True)
    for figure in FIGURES:
        check_output(out_dir / figure, overwrite=overwrite)

    data = {name: DATASETS[name]() for name in N_COMPONENTS}
    curves: Curves = {}
    rows = []
    for name, loss, solver, starts in PLAN:
        X = data[name].X
        say(f"{name}, {loss}, {solver}")
        before = time.perf_counter()
        trace_fit(X, N_COMPONENTS[name], loss, solver, 0, 1)
        if time.perf_counter() - before > 1:
            say(f"  compiled in {time.perf_counter() - before:.1f} s")
        runs = [trace_fit(X, N_COMPONENTS[name], loss, solver, seed, max_iter) for seed in range(starts)]
        runs.sort(key=lambda curve: float(curve.trace.objective[-1]))
        curves[name, loss, solver] = runs
        best = runs[0].trace
        numbers = [f"{best.seconds[-1]:.2f}", f"{best.objective[0]:.6g}", f"{best.objective[-1]:.6g}"]
        rows.append([name, loss, solver, str(starts), str(best.iteration[-1]), runs[0].stop_reason, *numbers])

    say("figures")
    for name, draw in zip(FIGURES, (draw_digits, draw_piano, draw_convergence), strict=True):
        save = functools.partial(draw(data, curves).savefig, format="png", dpi=150)
        write_file(out_dir / name, save, overwrite=overwrite)
    return rows


def trace_fit(X: Float, n_components: int, loss: Loss, solver: SolverName, seed: int, max_iter: int) -> Curve:
    """Fit from a random start and keep what each iteration measures."""
    rows = []
    steps = iterate(X, n_components, solver=solver, beta_loss=loss, init="random", random_state=seed, max_iter=max_iter)
    for step in steps:
        rows.append((step.n_iter, step.seconds, step.violation, step.objective(), step.kkt()))
    return Curve(step.W, step.H, Trace.of(rows), str(step.stop_reason), seed)


def draw_digits(data: dict[str, Dataset], curves: Curves) -> Figure:
    """Return a figure of the digits' components, as images."""
    shown = {key: runs[0] for key, runs in curves.items() if key[0] == "digits"}
    figure = Figure(figsize=(4.4 * len(shown), 4.9))
    figure.subplots_adjust(left=0.02, right=0.98, bottom=0.03, top=0.84, wspace=0.12)
    for ax, ((_, loss, solver), curve) in zip(figure.subplots(1, len(shown)), shown.items(), strict=True):
        plot_components(curve.H, image_shape=data["digits"].image_shape, ax=ax)
        ax.set_title(f"{loss}, {solver}")
    figure.suptitle("Handwritten digits: components, 8 x 8 pixels. White is 0, black each component's maximum")
    return figure


def draw_piano(data: dict[str, Dataset], curves: Curves) -> Figure:
    """Return a figure of the piano's components as spectra, with the notes' names, and when they sound."""
    details = data["piano"].details
    curve = curves["piano", "itakura-saito", "mu"][0]
    order, labels = name_notes(curve.H, details)
    sums = curve.H.sum(axis=1)
    W, H = (curve.W * sums)[:, order], (curve.H / sums[:, None])[order]
    shown = details["frequencies"] <= 2000  # Hz
    figure = Figure(figsize=(13, 7.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_components(H[:, shown], frequencies=details["frequencies"][shown], labels=labels, ax=left)
    plot_activations(
        W,
        details["times"],
        labels=labels,
        xlabel="time (s)",
        title="Activations: power, relative to the loudest",
        decibels=True,
        ax=right,
    )
    figure.suptitle("Piano, the Ode to Joy: Itakura-Saito, multiplicative updates")
    return figure


def name_notes(H: Float, details: Any) -> tuple[list[int], list[str]]:
    """Return an order of the components, from low to high, and the name of the note that each sounds like."""
    from scipy.optimize import linear_sum_assignment  # noqa: PLC0415

    learnt, true = (spectra / np.linalg.norm(spectra, axis=1, keepdims=True) for spectra in (H, details["spectra"]))
    cosine = true @ learnt.T
    found = {
        int(t): f"{details['pitch_names'][note]}, {details['pitches'][note]:.0f} Hz"
        for note, t in zip(*linear_sum_assignment(-cosine), strict=True)
        if cosine[note, t] >= ALIKE
    }
    others = [t for t in range(len(H)) if t not in found]
    return [*found, *others], [*found.values(), *("no single note" for _ in others)]


def draw_convergence(data: dict[str, Dataset], curves: Curves) -> Figure:
    """Return a figure of the objectives against iterations."""
    figure = Figure(figsize=(14, 4.5), layout="constrained")
    panels = (
        ("digits", "frobenius", "objective (dots squared)"),
        ("digits", "kullback-leibler", "objective (dots)"),
        ("piano", "itakura-saito", "objective (no unit)"),
    )
    for ax, (name, loss, y_label) in zip(figure.subplots(1, 3), panels, strict=True):
        runs = {}
        for (*of, solver), starts in curves.items():
            if of == [name, loss]:
                for curve in sorted(starts, key=lambda curve: curve.seed):
                    best = " (best)" if curve is starts[0] else ""
                    runs[solver if len(starts) == 1 else f"{solver}, seed {curve.seed}{best}"] = curve.trace
        plot_convergence(runs, ax=ax).set_ylabel(y_label)
        ax.set_title(f"{name}, {loss}")
    return figure
