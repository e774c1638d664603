"""scikit-learn's own tests of NMF, from the scikit-learn that is installed, with our names in the place of its three.

The file is run, not copied. What is left out, and why, is in LEFT_OUT.
"""

from __future__ import annotations

import importlib.util
from unittest import mock

import pytest
import sklearn.decomposition

import nmf_numba
from nmf_numba import estimators

PRIVATE = "tests a private function of scikit-learn, and nothing of ours"
LEFT_OUT = {
    "test_initialize_nn_output": PRIVATE,
    "test_initialize_close": PRIVATE,
    "test_initialize_variants": PRIVATE,
    "test_beta_divergence": PRIVATE,
    "test_special_sparse_dot": PRIVATE,
    "test_nmf_underflow": PRIVATE,
    "test_nmf_n_components_auto": "looks at the private attribute _n_components; test_estimators.py at n_components_",
    "test_minibatch_nmf_partial_fit": (
        "compares two estimators that share the H they were given, which scikit-learn changes in place: it would pass "
        "whatever they did. Ours leave H as it is. test_estimators.py has the equivalence with H of their own"
    ),
    # Deprecated and by now removed:
    "test_NMF_inverse_transform_W_deprecation": "scikit-learn 1.4: another name of inverse_transform's argument",
    "test_NMF_inverse_transform_Xt_deprecation": "scikit-learn 1.5 and 1.6: likewise",
    "test_nmf_n_components_default_value_warning": "scikit-learn 1.4 and 1.5: warn that the default will be 'auto'",
}

pytestmark = [
    pytest.mark.filterwarnings("ignore::UserWarning"),  # max_iter reached, and nndsvd with mu
    pytest.mark.filterwarnings("ignore:n_components was not given:FutureWarning"),  # see docs/differences.md
]


def with_our_names() -> dict[str, object]:
    """Run the file while sklearn.decomposition holds our names; return the tests in it."""
    found = importlib.util.find_spec("sklearn.decomposition.tests.test_nmf")
    if found is None or found.origin is None:
        pytest.skip("this scikit-learn comes without its tests", allow_module_level=True)
    spec = importlib.util.spec_from_file_location("sklearn_test_nmf", found.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    names = {"NMF": estimators.NMF, "MiniBatchNMF": estimators.MiniBatchNMF}
    names["non_negative_factorization"] = nmf_numba.non_negative_factorization
    with mock.patch.multiple(sklearn.decomposition, **names):
        spec.loader.exec_module(module)
    assert all(getattr(module, name) is ours for name, ours in names.items())
    return {name: test for name, test in vars(module).items() if name.startswith("test_")}


TESTS = with_our_names()
globals().update({name: test for name, test in TESTS.items() if name not in LEFT_OUT})


def test_little_is_left_out() -> None:
    assert len(set(TESTS) - set(LEFT_OUT)) >= 25
