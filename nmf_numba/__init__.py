"""Non-negative matrix factorization: fast kernels compiled by Numba, beside references that read like the equations."""

from typing import Any

from nmf_numba.comparison import Comparison, compare, table_of_starts
from nmf_numba.factorization import fit, non_negative_factorization
from nmf_numba.initialization import initialize
from nmf_numba.loop import Step, iterate
from nmf_numba.losses.objective import Objective, beta_divergence, objective
from nmf_numba.patching import Patch, patch
from nmf_numba.plotting import (
    animate,
    plot_activations,
    plot_comparison,
    plot_components,
    plot_convergence,
    plot_factorization,
    plot_terms,
)
from nmf_numba.result import Factorization, Interrupted
from nmf_numba.trace import Trace
from nmf_numba.validation import ConvergenceWarning
from nmf_numba.version import __version__ as __version__

__all__ = [
    "Comparison",
    "ConvergenceWarning",
    "Factorization",
    "Interrupted",
    "Objective",
    "Patch",
    "Step",
    "Trace",
    "animate",
    "beta_divergence",
    "compare",
    "fit",
    "initialize",
    "iterate",
    "non_negative_factorization",
    "objective",
    "patch",
    "plot_activations",
    "plot_comparison",
    "plot_components",
    "plot_convergence",
    "plot_factorization",
    "plot_terms",
    "table_of_starts",
]


def __getattr__(name: str) -> Any:
    """Import the estimators when they are first asked for: they need scikit-learn, an extra."""
    if name in ("NMF", "MiniBatchNMF"):
        from nmf_numba import estimators  # noqa: PLC0415

        return getattr(estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
