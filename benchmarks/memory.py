"""What a fit holds in memory beyond X, W, H and the result, each case in a fresh process."""

import ctypes
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy import linalg, sparse

from benchmarks import child
from benchmarks.cases import loss_name, with_start

TITLE = """Memory (MB = 2**20 bytes) that a fit holds at its peak beyond X, W, H and the result.
allowed: dense, 5 % of X and 32 MB; CSR, 64 MB and twice the larger of W and H.
Kernels are loaded before, and BLAS (NumPy's and SciPy's) has the working memory that it takes once and keeps.
W and H to start from are there before too, unless a name ends with another start; mu evaluates the objective once.
missing: a third of X is NaN, or what a CSR does not store is missing."""

COLUMNS = (
    ("case", "case", "<62"),
    ("X_mb", "X", ">7.1f"),
    ("factors_mb", "W and H", ">7.1f"),
    ("extra_mb", "extra", ">7.1f"),
    ("allowed_mb", "allowed", ">7.1f"),
    ("met", "met", "<3"),
    ("sklearn_mb", "scikit-learn", ">12.1f"),
)

MB = 2**20
DENSITY = 0.01  # of a CSR

# layout, dtype, n_samples, n_features, solver, beta, k, init
CASES = (
    ("dense", "float64", 10000, 1000, "cd", 2.0, 20, "custom"),
    ("dense", "float64", 10000, 1000, "cd", 2.0, 100, "custom"),
    ("dense", "float64", 10000, 1000, "cd", 2.0, 100, "random"),
    ("dense", "float64", 10000, 1000, "cd", 2.0, 100, "nndsvda"),
    ("dense", "float64", 10000, 1000, "mu", 2.0, 100, "custom"),
    ("dense", "float64", 10000, 1000, "mu", 1.0, 20, "custom"),
    ("dense", "float64", 10000, 1000, "mu", 1.0, 100, "custom"),
    ("dense", "float64", 10000, 1000, "mu", 0.0, 20, "custom"),
    ("dense", "float64", 10000, 1000, "mu", 0.0, 100, "custom"),
    ("dense", "float64", 10000, 1000, "mu", 1.3, 100, "custom"),
    ("dense", "float32", 10000, 1000, "cd", 2.0, 100, "custom"),
    ("dense", "float32", 10000, 1000, "mu", 1.0, 100, "custom"),
    ("dense", "float32", 10000, 1000, "mu", 0.5, 100, "custom"),
    ("dense", "float64", 1000, 20000, "cd", 2.0, 100, "custom"),
    ("dense", "float64", 1000, 20000, "mu", 1.0, 100, "custom"),
    ("dense", "float64", 1000, 20000, "mu", 0.0, 100, "custom"),
    ("dense", "float64", 200000, 100, "cd", 2.0, 50, "custom"),
    ("dense", "float64", 200000, 100, "cd", 2.0, 50, "random"),
    ("dense", "float64", 200000, 100, "mu", 0.0, 50, "custom"),
    ("csr", "float64", 20000, 5000, "cd", 2.0, 20, "custom"),
    ("csr", "float64", 20000, 5000, "cd", 2.0, 100, "custom"),
    ("csr", "float64", 20000, 5000, "cd", 2.0, 100, "random"),
    ("csr", "float64", 20000, 5000, "cd", 2.0, 100, "nndsvda"),
    ("csr", "float64", 20000, 5000, "mu", 1.0, 20, "custom"),
    ("csr", "float64", 20000, 5000, "mu", 1.0, 100, "custom"),
    ("csr", "float64", 20000, 5000, "mu", 1.5, 100, "custom"),
    ("csr", "float32", 20000, 5000, "cd", 2.0, 100, "custom"),
    ("csr", "float32", 20000, 5000, "mu", 1.0, 100, "custom"),
    ("csr", "float32", 20000, 5000, "mu", 0.5, 100, "custom"),
    ("csr, int64 indices", "float64", 20000, 5000, "cd", 2.0, 20, "custom"),
    ("csr", "float64", 100000, 10000, "cd", 2.0, 20, "custom"),
    ("csr", "float64", 100000, 10000, "cd", 2.0, 20, "random"),
    ("csr", "float64", 2000, 100000, "cd", 2.0, 50, "custom"),
    ("csr", "float64", 2000, 100000, "mu", 1.0, 50, "custom"),
    ("csr", "float64", 2000, 100000, "mu", 0.5, 50, "custom"),
    ("dense, missing", "float64", 10000, 1000, "ehals", 2.0, 20, "custom"),
    ("dense, missing", "float64", 10000, 1000, "ehals", 2.0, 20, "nndsvda"),
    ("dense, missing", "float64", 10000, 1000, "mu", 1.0, 20, "custom"),
    ("dense, missing", "float32", 1000, 20000, "mu", 0.5, 50, "random"),
    ("csr, missing", "float64", 20000, 5000, "ccd", 2.0, 20, "custom"),
    ("csr, missing", "float64", 20000, 5000, "mu", 0.5, 20, "custom"),
)
QUICK = (
    ("dense", "float64", 1500, 1000, "cd", 2.0, 20, "custom"),
    ("csr", "float64", 2000, 3000, "mu", 1.0, 20, "random"),
)


def name_of(layout, dtype, n_samples, n_features, solver, beta, k, init):
    start = "" if init == "custom" else f" {init}"
    return f"{layout} {dtype} {n_samples} x {n_features} {solver} {loss_name(beta)} k={k}{start}"


def status(key):
    """A figure of /proc/self/status, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def can_measure():
    """Whether the peak of the resident memory can be read and reset."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def available_threads():
    import numba  # noqa: PLC0415

    return numba.get_num_threads()


def make_X(layout, dtype, n_samples, n_features, density=DENSITY):
    """Positive entries, or a CSR with as many in every row. Nothing larger than X is made on the way."""
    rng = np.random.default_rng(0)
    if layout.startswith("dense"):
        X = rng.random((n_samples, n_features), dtype=dtype)
        X += 0.5
        if "missing" in layout:
            X[:, ::3] = np.nan
        return X
    per_row = max(1, int(density * n_features))
    index_type = np.int64 if "int64" in layout else np.int32
    indptr = np.arange(n_samples + 1, dtype=index_type) * per_row
    step = n_features // per_row
    indices = np.arange(per_row, dtype=index_type) * step + rng.integers(
        step, size=(n_samples, per_row), dtype=index_type
    )
    data = rng.random(n_samples * per_row, dtype=dtype) + np.dtype(dtype).type(0.5)
    return sparse.csr_array((data, indices.ravel(), indptr), shape=(n_samples, n_features))


def measure(library, layout, dtype, n_samples, n_features, solver, beta, k, init):
    """In a fresh process: the peak of the resident memory during a fit, less what was there before and the result."""
    if library == "nmf_numba":
        from nmf_numba import non_negative_factorization  # noqa: PLC0415
    else:
        from sklearn.decomposition import non_negative_factorization  # noqa: PLC0415
    warnings.simplefilter("ignore")

    def factorize(X, W, H):
        options = {"solver": solver, "beta_loss": beta, "max_iter": 3, "random_state": 0}
        start = {"init": init} | ({"W": W, "H": H} if init == "custom" else {})
        if "missing" in layout:
            from nmf_numba import fit  # noqa: PLC0415

            missing = "nan" if layout.startswith("dense") else "not stored"
            result = fit(X, H.shape[0], missing=missing, **start, **options)
            return result.W, result.H
        return non_negative_factorization(X, n_components=H.shape[0], **start, **options)

    factorize(*with_start(make_X(layout, dtype, 4, 4, 0.5), 2))  # loads the kernels for one chunk
    factorize(*with_start(make_X(layout, dtype, 1100, 2100, 0.05), 16))  # and those for several
    linalg.qr(np.ones((8192, 1024), dtype) @ np.ones((1024, 128), dtype), mode="economic")  # BLAS's working memory
    X, W, H = with_start(make_X(layout, dtype, n_samples, n_features), k)
    if hasattr(ctypes.CDLL(None), "malloc_trim"):  # what is free already must not serve the fit unseen
        ctypes.CDLL(None).malloc_trim(0)
    if not can_measure():
        raise OSError("/proc/self/clear_refs can't be written")
    before = status("VmRSS")
    result = factorize(X, W, H)[:2]
    extra = status("VmHWM") - before - sum(factor.nbytes for factor in result)
    size = X.nbytes if layout.startswith("dense") else X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    return {"extra": extra, "X": size, "W": W.nbytes, "H": H.nbytes, "threads": available_threads()}


def rows(options):
    if not can_measure():
        print("Left out: the peak is read from Linux's /proc/self/status and reset in /proc/self/clear_refs.")
        return
    for case in QUICK if options.quick else CASES:
        if options.wants(name_of(*case)):
            names = ("layout", "dtype", "n_samples", "n_features", "solver", "beta", "k", "init")
            arguments = dict(zip(names, case, strict=True))
            mine = child.run("memory", library="nmf_numba", **arguments)
            theirs = not options.quick and "missing" not in case[0]
            yours = child.run("memory", library="sklearn", **arguments) if theirs else None
            is_dense, factor = case[0].startswith("dense"), max(mine["W"], mine["H"])
            allowed = 0.05 * mine["X"] + 32 * MB if is_dense else 64 * MB + 2 * factor
            yield {
                "case": name_of(*case),
                "threads": mine["threads"],
                "X_mb": mine["X"] / MB,
                "factors_mb": (mine["W"] + mine["H"]) / MB,
                "extra_mb": mine["extra"] / MB,
                "allowed_mb": allowed / MB,
                "met": "yes" if mine["extra"] <= allowed else "no",
                "sklearn_mb": None if yours is None else yours["extra"] / MB,
            }


if __name__ == "__main__":
    sys.exit(child.answer(measure))
