"""How soon: the import, the first fit ever, and the first fit of a process, each in fresh processes."""

import statistics
import subprocess
import sys
import tempfile
import time
import warnings

from benchmarks import child
from benchmarks.cases import loss_name

TITLE = """Seconds, in fresh processes. import: beside scikit-learn's decomposition module, in turns, medians.
first fit ever: with an empty compile cache. first fit: of a process, with a full one; both include Numba's import.
Two iterations from a random start, 1100 x 2100 entries: the kernels for several threads, for mu the objective's too."""

COLUMNS = (
    ("what", "what", "<52"),
    ("seconds", "seconds", ">7.2f"),
    ("allowed", "allowed", ">7.2f"),
    ("met", "met", "<3"),
)

COLD, WARM = 8.0, 0.5  # seconds that are allowed
LOSSES = (("cd", 2.0), ("mu", 2.0), ("mu", 1.0), ("mu", 1.3))
LAYOUTS = ("dense", "csr")
DTYPES = ("float64", "float32")


def import_seconds(module):
    code = f"import time; start = time.perf_counter(); import {module}; print(time.perf_counter() - start)"
    done = subprocess.run([sys.executable, "-c", code], cwd=child.ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def measure(layout, dtype, solver, beta):
    """In a fresh process: the seconds of the first fit."""
    from benchmarks.memory import make_X  # noqa: PLC0415
    from nmf_numba import fit  # noqa: PLC0415

    warnings.simplefilter("ignore")
    X = make_X(layout, dtype, 1100, 2100, 0.05)
    start = time.perf_counter()
    fit(X, 16, solver=solver, beta_loss=beta, init="random", max_iter=2, random_state=0)
    return {"seconds": time.perf_counter() - start}


def row(what, seconds, allowed):
    low, high = min(seconds), max(seconds)
    middle = statistics.median(seconds)
    met = "yes" if middle <= allowed else "no"
    return {"what": what, "seconds": middle, "low": low, "high": high, "allowed": allowed, "met": met}


def rows(options):
    turns = [[import_seconds(m) for m in ("nmf_numba", "sklearn.decomposition")] for _ in range(options.rounds)]
    mine, yours = zip(*turns, strict=True)
    yield row("import nmf_numba (allowed: sklearn.decomposition)", mine, statistics.median(yours))
    for layout in LAYOUTS[:1] if options.quick else LAYOUTS:
        for dtype in DTYPES[:1] if options.quick else DTYPES:
            for solver, beta in LOSSES[:1] if options.quick else LOSSES:
                name = f"{layout} {dtype} {solver} {loss_name(beta)}"
                if not options.wants(name):
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    seconds = [
                        child.run(
                            "startup", {"NUMBA_CACHE_DIR": folder}, layout=layout, dtype=dtype, solver=solver, beta=beta
                        )["seconds"]
                        for _ in range(1 + min(options.rounds, 3))
                    ]
                yield row(f"first fit ever, {name}", seconds[:1], COLD)
                yield row(f"first fit, {name}", seconds[1:], WARM)


if __name__ == "__main__":
    sys.exit(child.answer(measure))
