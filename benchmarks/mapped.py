"""A memory-mapped X that is larger than the memory a process may have."""

import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from benchmarks import child
from benchmarks.cases import loss_name
from benchmarks.memory import MB, can_measure, status

TITLE = """A fit of X = np.load(file, mmap_mode="r") in a process that may have the file's address space and 1 GB more.
copy: what happens there to np.array(X). own: peak of its own (anonymous) memory, which can't be read again from a file;
the pages of the file that are in memory too belong to the system, which takes them back when it needs them.
address space: its peak, without the file. Two threads."""

COLUMNS = (
    ("case", "case", "<36"),
    ("file_mb", "file (MB)", ">9.0f"),
    ("copy", "copy", "<7"),
    ("before_mb", "own before (MB)", ">15.0f"),
    ("own_mb", "own (MB)", ">8.0f"),
    ("space_mb", "address space (MB)", ">18.0f"),
    ("limit_mb", "limit (MB)", ">10.0f"),
    ("seconds", "s per iteration", ">15.2f"),
)

LIMIT = 1 << 30
N_FEATURES, DTYPE, K = 2048, np.float32, 20
TWO_THREADS = {"NUMBA_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
FITS = (("cd", 2.0, "random"), ("cd", 2.0, "nndsvda"), ("mu", 1.0, "random"), ("mu", 0.0, "random"))


def write_X(path, n_samples):
    """Write positive numbers, a block of rows at a time."""
    rng = np.random.default_rng(0)
    with path.open("wb") as file:
        entry = np.lib.format.dtype_to_descr(np.dtype(DTYPE))
        described = {"descr": entry, "fortran_order": False, "shape": (n_samples, N_FEATURES)}
        np.lib.format.write_array_header_1_0(file, described)
        for start in range(0, n_samples, 4096):
            block = rng.random((min(4096, n_samples - start), N_FEATURES), dtype=DTYPE)
            block += 0.5
            file.write(block)


class Peak(threading.Thread):
    """Looks at this process's own memory every two milliseconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.largest, self.stopped = 0, threading.Event()

    def run(self):
        while not self.stopped.wait(0.002):
            self.largest = max(self.largest, status("RssAnon"))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()
        self.largest = max(self.largest, status("RssAnon"))


def measure(path, solver, beta, init, max_iter):
    """In a fresh process: limit the address space, map X and fit it."""
    import resource  # noqa: PLC0415  (not on Windows)

    from nmf_numba import fit  # noqa: PLC0415

    size = Path(path).stat().st_size
    resource.setrlimit(resource.RLIMIT_AS, (size + LIMIT, size + LIMIT))
    warnings.simplefilter("ignore")
    X = np.load(path, mmap_mode="r")
    try:
        copy = np.array(X)
        outcome = "fits"
        del copy
    except MemoryError:
        outcome = "refused"
    options = {"solver": solver, "beta_loss": beta, "init": init, "random_state": 0}
    fit(X[:1100], 16, max_iter=1, **options)  # loads the kernels
    before = status("RssAnon")
    with Peak() as peak:
        start = time.perf_counter()
        result = fit(X, K, max_iter=max_iter, **options)
        seconds = time.perf_counter() - start
    return {
        "copy": outcome,
        "before": before,
        "own": peak.largest,
        "space": status("VmPeak") - size,
        "seconds": seconds / result.n_iter,
    }


def rows(options):
    if not can_measure():
        print("Left out: memory is read from Linux's /proc/self/status.")
        return
    n_samples = 2000 if options.quick else (3 << 30) // (N_FEATURES * np.dtype(DTYPE).itemsize)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "X.npy")
        write_X(path, n_samples)
        for solver, beta, init in FITS[:1] if options.quick else FITS:
            name = f"{solver} {loss_name(beta)} k={K} {init}"
            if options.wants(name):
                made = child.run("mapped", TWO_THREADS, path=str(path), solver=solver, beta=beta, init=init, max_iter=3)
                yield {
                    "case": name,
                    "file_mb": path.stat().st_size / MB,
                    "copy": made["copy"],
                    "before_mb": made["before"] / MB,
                    "own_mb": made["own"] / MB,
                    "space_mb": made["space"] / MB,
                    "limit_mb": LIMIT / MB,
                    "seconds": made["seconds"],
                }


if __name__ == "__main__":
    sys.exit(child.answer(measure))
