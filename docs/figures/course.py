"""Draws the figures of the course's slides: `python docs/figures/course.py FOLDER`. One function, one slide."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nmf_numba import beta_divergence, compare, fit, initialize, objective
from nmf_numba.datasets import load_digits, make_low_rank
from nmf_numba.plotting import COLOURS, DASHES, MARKERS, plot_components

SIZE = (8.0, 4.5)  # inches: a slide is 16 to 9
GLASSES = np.array([[12, 3], [9, 5], [5, 4], [6, 7], [2, 6], [13, 6]], float)  # g of sugar, g of acid: tutorial 01


def new_figure() -> Figure:
    """Return an empty figure of a slide's size."""
    return Figure(figsize=SIZE, layout="constrained")


# --- lesson 1 ------------------------------------------------------------------------------------------------------


def parabola() -> Figure:
    """Draw the objective over one entry of W, and where the bound stops its update."""
    figure = new_figure()
    for ax, lowest, title in zip(
        figure.subplots(1, 2, sharey=True), (2.3, -0.6), ("inside", "at the bound"), strict=True
    ):
        values = np.linspace(-1.5, 4, 200)
        ax.plot(values, 1 + (values - lowest) ** 2, color=COLOURS[0])
        new = max(0.0, lowest)
        ax.plot(1, 1 + (1 - lowest) ** 2, "o", color=COLOURS[4], markersize=9, label="old")
        ax.plot(new, 1 + (new - lowest) ** 2, "s", color=COLOURS[1], markersize=9, label="new")
        ax.axvspan(-1.5, 0, color="0.88", label="not allowed")
        ax.set(xlabel="one entry of W", ylim=(0, 10), xlim=(-1.5, 4), title=f"The best value is {title}")
    figure.axes[0].set_ylabel("objective")
    figure.axes[1].legend(frameon=False, loc="upper center")
    return figure


def cones() -> Figure:
    """Draw two exact factorizations of six points in the plane as cones."""
    figure = new_figure()
    ax = figure.subplots()
    for number, (seed, label) in enumerate(((7, "one factorization"), (2, "another"))):
        H = fit(GLASSES, 2, solver="cd", init="random", random_state=seed, max_iter=2000, tol=0).H
        low, high = sorted(60 * H / H.sum(axis=1, keepdims=True), key=lambda juice: juice[1] / max(juice[0], 1e-12))
        style = {"edgecolor": COLOURS[number], "facecolor": COLOURS[number] + "28", "linestyle": DASHES[number]}
        ax.fill([0, low[0], high[0]], [0, low[1], high[1]], linewidth=2, label=label, **style)
    ax.plot(*GLASSES.T, "o", color=COLOURS[4], markersize=8, label="six glasses")
    ax.set(xlim=(-0.3, 15), ylim=(-0.3, 8.5), xlabel="sugar (g)", ylabel="acid (g)")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def parts() -> Figure:
    """Draw digits and their components."""
    figure, digits = new_figure(), load_digits()
    H = fit(digits.X, 16, solver="cd", init="random", random_state=0, max_iter=300, tol=0).H
    for ax, rows, title in zip(
        figure.subplots(1, 2), (digits.X[:16], H), ("16 of 1797 rows of X", "16 rows of H"), strict=True
    ):
        plot_components(rows, image_shape=digits.image_shape, ax=ax).set_title(title)
    return figure


# --- lesson 2 ------------------------------------------------------------------------------------------------------


def losses() -> Figure:
    """Draw the loss of one entry for four values of beta."""
    figure, approximations = new_figure(), np.linspace(0.05, 3, 200)
    ax = figure.subplots()
    for number, beta in enumerate((0, 1, 2, 3)):
        values = [beta_divergence(np.ones((1, 1)), np.array([[y]]), np.ones((1, 1)), beta) for y in approximations]
        ax.plot(approximations, values, color=COLOURS[number], linestyle=DASHES[number], label=rf"$\beta$ = {beta}")
    ax.set(xlabel="approximation y, where the data say 1", ylabel=r"loss $d_\beta(1 \mid y)$", ylim=(0, 2))
    ax.legend(frameon=False)
    return figure


def noise() -> Figure:
    """Draw how the variance grows with the mean for three kinds of noise."""
    figure, rng, means = new_figure(), np.random.default_rng(0), np.logspace(1, 3, 13)
    drawn = {
        r"Gaussian: $\beta$ = 2": rng.normal(means, 1, (4000, len(means))),
        r"Poisson: $\beta$ = 1": rng.poisson(means, (4000, len(means))),
        r"gamma: $\beta$ = 0": means * rng.gamma(100, 1 / 100, (4000, len(means))),
    }
    ax = figure.subplots()
    for number, (label, values) in enumerate(drawn.items()):
        style = {"color": COLOURS[number], "linestyle": DASHES[number], "marker": MARKERS[number]}
        ax.loglog(means, values.var(axis=0), label=label, **style)
    ax.set(xlabel="mean (unit of X)", ylabel="variance (unit of X, squared)")
    ax.legend(frameon=False)
    return figure


# --- lesson 3 ------------------------------------------------------------------------------------------------------


def majoriser() -> Figure:
    """Draw a function above the objective that touches it, and two steps of its minima."""
    figure, X, H = new_figure(), np.array([[5.0, 4.0]]), np.array([[1.0, 2.0], [2.0, 0.5]])
    other, values = 1.6, np.linspace(0.02, 4.2, 300)  # W = (w, other), and w varies
    ax = figure.subplots()

    def loss(w: float) -> float:
        return objective(X, np.array([[w, other]]), H).data_fit

    ax.plot(values, [loss(w) for w in values], color=COLOURS[4], label="objective")
    w = 0.4
    for number in range(2):
        approximation = w * H[0] + other * H[1]
        cross, curvature = float(H[0] @ X[0]), float(H[0] @ approximation) / w
        above = loss(w) + (curvature * w - cross) * (values - w) + curvature * (values - w) ** 2 / 2
        new = cross / curvature
        style = {"color": COLOURS[number], "linestyle": DASHES[number + 1]}
        ax.plot(values, above, label=f"majoriser at w = {w:.2f}", **style)
        ax.plot(w, loss(w), "o", color=COLOURS[number], markersize=9)
        w = new
    ax.plot(w, loss(w), "o", color=COLOURS[2], markersize=9)
    ax.set(xlabel="w, one entry of W", ylabel="objective", ylim=(0, 14))
    ax.legend(frameon=False)
    return figure


def convergence() -> Figure:
    """Draw the gap of two solvers from one start, on a logarithmic axis."""
    figure, X = new_figure(), load_digits().X
    W, H = initialize(X, 16, init="random", random_state=0)
    runs = compare(X, 16, solvers=("cd", "mu"), init="custom", W=W, H=H, max_iter=2000, tol=0)
    lowest = min(trace.objective.min() for trace in runs.traces.values())
    ax = figure.subplots()
    for number, (name, trace) in enumerate(runs.traces.items()):
        label = {"cd": "HALS (cd)", "mu": "multiplicative updates (mu)"}[name]
        gap = (trace.objective - lowest)[:201]
        ax.semilogy(trace.iteration[:201], gap, color=COLOURS[number], linestyle=DASHES[number], label=label)
    ax.set(xlabel="iteration", ylabel="objective - lowest in 2000 iterations (dots squared)")
    ax.legend(frameon=False)
    return figure


# --- lesson 4 ------------------------------------------------------------------------------------------------------


def number_of_components() -> Figure:
    """Draw the relative error against k for a matrix of rank 5 with noise of 10 %."""
    figure = new_figure()
    X, ks = make_low_rank(200, 60, 5, noise=0.1).X, range(1, 11)
    ax = figure.subplots()
    ax.plot(ks, [fit(X, k, random_state=0, max_iter=1000).relative_error for k in ks], "o-", color=COLOURS[0])
    ax.axhline(0.1, color="0.4", linestyle=":", label="standard deviation of the noise")
    ax.set(xlabel="number of components k", ylabel="relative error", ylim=(0, None), xticks=list(ks))
    ax.legend(frameon=False)
    return figure


def penalties() -> Figure:
    """Draw what L1 and L2 do to the digits as alpha grows."""
    figure, X = new_figure(), load_digits().X[:200] / 16
    alphas = np.geomspace(1e-4, 1, 13)
    left, right = figure.subplots(1, 2)
    for number, (name, l1_ratio) in enumerate((("L1", 1.0), ("L2", 0.0))):
        options = {"solver": "cd", "init": "random", "random_state": 0, "max_iter": 300, "tol": 0}
        fits = [fit(X, 8, alpha_W=alpha, l1_ratio=l1_ratio, **options) for alpha in alphas]
        style = {"color": COLOURS[number], "linestyle": DASHES[number], "marker": MARKERS[number], "label": name}
        zeros = [100 * np.mean(result.H == 0) if (result.W @ result.H).any() else np.nan for result in fits]
        left.semilogx(alphas, [result.relative_error for result in fits], **style)
        right.semilogx(alphas, zeros, **style)
    left.set(xlabel="alpha, for X from 0 to 1", ylabel="relative error")
    right.set(xlabel="alpha, for X from 0 to 1", ylabel="zeros in H (%), until WH is empty")
    left.legend(frameon=False)
    return figure


SLIDES: tuple[Callable[[], Figure], ...] = (
    parabola,
    cones,
    parts,
    losses,
    noise,
    majoriser,
    convergence,
    number_of_components,
    penalties,
)


def main(arguments: list[str] | None = None) -> int:
    """Write all figures as PNG files to a folder."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1:
        print("usage: python docs/figures/course.py FOLDER", file=sys.stderr)
        return 2
    folder = Path(given[0])
    folder.mkdir(parents=True, exist_ok=True)
    for number, draw in enumerate(SLIDES, 1):
        path = folder / f"{number:02d}_{draw.__name__}.png"
        draw().savefig(path, dpi=150)
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
