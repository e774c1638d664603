"""Figures of components, activations, convergence and factors.

Each function that has `ax` draws on one Axes and returns it. Nothing here uses pyplot or needs a display. Matplotlib is
imported when the first figure is drawn.
"""

from nmf_numba.plotting.animation import Animation, animate
from nmf_numba.plotting.components import plot_activations, plot_components
from nmf_numba.plotting.convergence import plot_comparison, plot_convergence, plot_terms
from nmf_numba.plotting.factorization import plot_factorization
from nmf_numba.plotting.styles import COLOURS, DASHES, MARKERS, line_styles

__all__ = [
    "COLOURS",
    "DASHES",
    "MARKERS",
    "Animation",
    "animate",
    "line_styles",
    "plot_activations",
    "plot_comparison",
    "plot_components",
    "plot_convergence",
    "plot_factorization",
    "plot_terms",
]
