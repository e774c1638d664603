"""NMF and MiniBatchNMF: scikit-learn's estimators of these names, with this package's solvers inside."""

from nmf_numba.validation import check_installed

check_installed("sklearn", "nmf_numba.estimators")

from nmf_numba.estimators.base import ConvergenceWarning  # noqa: E402
from nmf_numba.estimators.minibatch import MiniBatchNMF  # noqa: E402
from nmf_numba.estimators.nmf import NMF  # noqa: E402

__all__ = ["NMF", "ConvergenceWarning", "MiniBatchNMF"]
