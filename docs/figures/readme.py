"""Draws readme.png, the figure of the README: `python docs/figures/readme.py`."""

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nmf_numba import fit, initialize
from nmf_numba.datasets import load_digits
from nmf_numba.plotting import plot_components, plot_convergence

K = 16
digits = load_digits()
W, H = initialize(digits.X, K, init="random", random_state=0)
results = {
    title: fit(digits.X, K, W=W, H=H, init="custom", solver=solver, tol=0, max_iter=200, trace=True)
    for solver, title in (("cd", "HALS"), ("mu", "multiplicative updates"))
}

figure = Figure(figsize=(12, 3.9))
figure.subplots_adjust(left=0.01, right=0.985, bottom=0.14, top=0.84, wspace=0.12)
left, middle, right = figure.subplots(1, 3, width_ratios=[1, 1, 1.45])
plot_components(digits.X[np.arange(16)], image_shape=digits.image_shape, ax=left)
left.set_title("X: 16 of 1797 digits, one per row")
plot_components(results["HALS"].H, image_shape=digits.image_shape, ax=middle)
middle.set_title("H: 16 components, from HALS")
plot_convergence({title: result.trace for title, result in results.items()}, ax=right)
right.set_ylabel("objective, 0.5 ||X - WH||$^2$ (dots squared)")
right.set_title("The same start, two solvers")
box = right.get_position()
right.set_position([box.x0 + 0.04, box.y0, box.width - 0.04, box.height])
figure.savefig(Path(__file__).with_name("readme.png"), dpi=110)
