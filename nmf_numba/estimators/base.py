"""What both estimators share: scikit-learn's checks and tags, and the way from parameters to a run."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn import exceptions
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from nmf_numba import containers, validation
from nmf_numba.loop import Run, prepare
from nmf_numba.observations import Missing
from nmf_numba.options import SKLEARN, Options
from nmf_numba.problem import Float

try:
    from sklearn.utils.validation import validate_data

    UNCHECKED = {"ensure_all_finite": False}  # validation.check_X says where it is not
except ImportError:  # before scikit-learn 1.6
    UNCHECKED = {"force_all_finite": False}

    def validate_data(estimator: Any, X: Any, **options: Any) -> Any:
        """Check X as scikit-learn does, and its feature names."""
        return estimator._validate_data(X, **options)


DTYPES = [np.float64, np.float32]


class ConvergenceWarning(validation.ConvergenceWarning, exceptions.ConvergenceWarning):
    """A fit has not converged, or far from a stationary point: this package's warning, and scikit-learn's."""


class Factorizer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What both estimators share."""

    components_: Float
    missing: Missing | None

    def _checked(self, X: Any, *, reset: bool) -> Any:
        """Return X as an array or sparse, after scikit-learn's checks; reset: remember number and names of features."""
        if self.missing == "nan":
            named, X = X, containers.with_nan(X)
            if X is not named and containers.is_frame(named):  # scikit-learn takes the names of features from a frame
                X = type(named)(X, index=named.index, columns=named.columns)
        validation.check_container(X)  # scikit-learn would drop a mask
        try:
            checked = validate_data(self, X, reset=reset, accept_sparse=True, dtype=DTYPES, **UNCHECKED)
        except (ValueError, TypeError):
            validation.check_frame(X)  # which names the column
            raise
        if self.missing is None:
            validation.check_named_values(checked, X)
        return checked

    def _prepare(self, X: Any, W: Any = None, H: Any = None, **changes: Any) -> Run:
        """Check the parameters and make a run of them; changes replace some."""
        parameters = vars(self) | {"W": W, "H": H, "solver": getattr(self, "solver", "mu")}
        if self.n_components == "auto":  # the default: as for `fit`, whoever keeps all features is told
            parameters["n_components"] = "warn"
        return prepare(X, Options.of(parameters, **{"trace": False, "stopping": SKLEARN.stopping} | changes))

    def _prepare_transform(self, X: Any, weights: Any = None) -> Run:
        """Make a run that keeps H."""
        with np.errstate(over="ignore", under="ignore"):
            H = self.components_.astype(X.dtype, copy=False)
        rng = self.random_state if getattr(self, "shuffle", False) else None  # a seed takes as long as ten iterations
        return self._prepare(
            X, H=H, update_H=False, n_components="auto", random_state=rng, callback=None, weights=weights
        )

    @staticmethod
    def _weights(sample_weight: Any) -> Any:
        """Return the weights of samples, after a check that they are not those of entries."""
        if sample_weight is None:
            return None
        weights = np.asarray(sample_weight)
        if weights.ndim != 1:
            raise ValueError(
                f"sample_weight must be 1-D, a number for each sample. Found shape {weights.shape}. For a weight for "
                "each entry of X use nmf_numba.fit(X, ..., weights=...)."
            )
        return weights

    def _fit(self, X: Any, W: Any, H: Any, weights: Any) -> Float:
        raise NotImplementedError

    def fit(self, X: Any, y: Any = None, W: Any = None, H: Any = None, sample_weight: Any = None) -> Any:
        """Find the components of X and return the estimator itself.

        Parameters
        ----------
        X : array-like or SciPy sparse, shape (n_samples, n_features)
            Finite and non-negative.
        y : ignored
        W : array-like, shape (n_samples, n_components), or None, default None
        H : array-like, shape (n_components, n_features), or None, default None
            With init='custom', where W and H start. They are not changed.
        sample_weight : array-like, shape (n_samples,), or None, default None
            How much each sample counts. With a sparse X whose zeros count, alpha_W must be 0. `nmf_numba.fit` has
            weights for each entry.

        Returns
        -------
        The estimator itself.
        """
        self._fit(X, W, H, self._weights(sample_weight))
        return self

    def fit_transform(self, X: Any, y: Any = None, W: Any = None, H: Any = None, sample_weight: Any = None) -> Float:
        """Find the components of X and return W, at no more cost than `fit`.

        Parameters
        ----------
        X, y, W, H, sample_weight
            As for `fit`.

        Returns
        -------
        W : ndarray, shape (n_samples, n_components)
        """
        return self._fit(X, W, H, self._weights(sample_weight))

    def _transform(self, run: Run) -> Float:
        raise NotImplementedError

    def transform(self, X: Any) -> Float:
        """Return W for the components found.

        Parameters
        ----------
        X : array-like or SciPy sparse, shape (n_samples, n_features)
            Finite and non-negative.

        Returns
        -------
        W : ndarray, shape (n_samples, n_components)
            Of X's dtype, if that is float32 or float64. `NMF` solves for it as `fit` does with update_H=False;
            `MiniBatchNMF` updates it until that moves it by at most tol times its norm.
        """
        check_is_fitted(self)
        return self._transform(self._prepare_transform(self._checked(X, reset=False)))

    def inverse_transform(self, X: Any) -> Float:
        """Return W @ components_.

        Parameters
        ----------
        X : array-like or SciPy sparse, shape (n_samples, n_components)
            W, as `transform` returns it.

        Returns
        -------
        ndarray, shape (n_samples, n_features)
        """
        check_is_fitted(self)
        W = check_array(X, accept_sparse=True, dtype=DTYPES)
        if W.shape[1] != len(self.components_):
            raise ValueError(
                f"X must have a column for each of the {len(self.components_)} components. Found shape {W.shape}."
            )
        with np.errstate(under="ignore"):
            return np.asarray(W @ self.components_)

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = [np.dtype(dtype).name for dtype in DTYPES]
        return tags

    def _more_tags(self) -> dict[str, Any]:  # before scikit-learn 1.6
        return {"requires_positive_X": True, "preserves_dtype": DTYPES}
