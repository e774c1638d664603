"""The compile cache: whatever happens to it, a fit goes on and gives the same factors."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nmf_numba

PROGRAM = """
import numpy as np
from nmf_numba import beta_divergence
from nmf_numba.compiled import jit

X = np.ones((4, 3)) + np.eye(4, 3)
print(beta_divergence(X, np.ones((4, 1)), np.ones((1, 3)), 2), jit.cache_folder())
"""


posix = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")


def run(folder: Path | None, before: str = "", **more: str) -> list[str]:
    """Evaluate a divergence in a process of its own; return its value and where the cache is."""
    environment = os.environ | more
    if folder is not None:
        environment["NUMBA_CACHE_DIR"] = str(folder)
    done = subprocess.run(
        [sys.executable, "-c", before + PROGRAM], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.split(maxsplit=1)


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.rglob(f"*.{suffix}"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A filled cache, which each test may spoil: what it spoils is compiled anew."""
    folder = tmp_path_factory.mktemp("cache")
    value, where = run(folder)
    assert value == "1.5"
    assert where.strip().startswith(str(folder))
    assert files(folder, "nbc")
    return folder


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_damaged_files_are_compiled_anew(cache: Path, suffix: str) -> None:
    for number, path in enumerate(files(cache, suffix)):
        path.write_bytes((b"", b"no cache", path.read_bytes()[:-20])[number % 3])
    assert run(cache)[0] == "1.5"


def test_code_under_the_wrong_types_is_not_called(cache: Path) -> None:
    """Two processes that save at once can leave one's code where the index has the other's: here they are swapped."""
    saved = files(cache, "nbc")
    path = next(path for path in saved if path.name.startswith("kernels.all_dense"))
    other = next(path for path in saved if path.name.startswith("kernels.line_divergence"))
    path.write_bytes(other.read_bytes())
    assert run(cache)[0] == "1.5"


def test_processes_share_a_new_cache(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)]
    assert [process.communicate()[0].split()[0] for process in started] == ["1.5"] * 3


def test_without_a_folder_that_can_be_written(tmp_path: Path) -> None:
    """The cache folder is a file, so that nothing can be written there, by root neither."""
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert run(tmp_path / "file")[0] == "1.5"


@posix
def test_a_read_only_home_and_package(tmp_path: Path) -> None:
    """Below a regular file nothing can be written: the package has one where its folders would have their caches."""
    package = Path(nmf_numba.__file__).parent
    copy = shutil.copytree(package, tmp_path / package.name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [copy, *(path for path in copy.rglob("*") if path.is_dir())]:
        (path / "__pycache__").touch()
    home = {"HOME": os.devnull, "XDG_CACHE_HOME": os.devnull, "NUMBA_CACHE_DIR": ""}
    before = "import nmf_numba\nassert nmf_numba.__file__.startswith(" + repr(str(tmp_path)) + ")\n"
    value, where = run(None, before, PYTHONSAFEPATH="1", PYTHONPATH=str(tmp_path), **home)
    assert (value, where.strip()) == ("1.5", "None")


@posix
def test_a_full_disk(tmp_path: Path) -> None:
    """No file can grow beyond 1000 bytes: an index is written, compiled code is not."""
    assert run(tmp_path, "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n")[0] == "1.5"
    assert all(path.stat().st_size <= 1000 for path in tmp_path.rglob("*.nb?"))
    assert run(tmp_path)[0] == "1.5"


WARMUP = """
import numpy as np
from nmf_numba import warmup
warmup.LAYOUTS, warmup.DTYPES, warmup.BETAS = ("dense",), (np.float64,), (2.0,)
for _, work in warmup.tasks():
    work()
"""
FITS = """
import numpy as np
from nmf_numba import fit
for shape in ((20, 6), (20000, 6), (20, 5000), (2000, 5000)):
    for solver in ("cd", "mu"):
        fit(np.ones(shape), 2, solver=solver, init="random", random_state=0, max_iter=1, tol=0)
"""


def test_warmup_leaves_nothing_to_compile(tmp_path: Path) -> None:
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", WARMUP], check=True, env=environment, capture_output=True)
    before = files(tmp_path, "nbc")
    subprocess.run([sys.executable, "-c", FITS], check=True, env=environment, capture_output=True)
    assert before
    compiled = {path.name.partition("-")[0] for path in files(tmp_path, "nbc") if path not in before}
    assert compiled <= {"chunks.empty_sums"}  # a loop of nothing, compiled for the start's layout in 0.1 s


LEFT = """
import sys
import numpy as np
from scipy import sparse
from nmf_numba import fit, loop
from nmf_numba.solvers import SOLVERS

def compiled():
    found = set()
    for name in ("nmf_numba.compiled.chunks", *(name for name in sys.modules if name.startswith("nmf_numba.solvers."))):
        for function in vars(sys.modules[name]).values():
            for one in (getattr(function, "on_threads", function), getattr(function, "on_one_thread", function)):
                for signature in getattr(one, "signatures", ()):
                    found.add((one.__module__, one.__name__, str(signature)))
    return found

def warm_up(run, original=loop.Run.warm_up):
    original(run)
    known.append(compiled())

loop.Run.warm_up, known = warm_up, []
X = np.random.default_rng(0).random((3000, 200))
for name, solver in SOLVERS.items():
    for beta in (2, 1):
        for layout in (np.asarray, sparse.csr_array):
            try:
                fit(layout(X), 8, solver=name, beta_loss=beta, init="random", random_state=0, max_iter=1, tol=0)
            except ValueError:
                continue
            print(*sorted(f"{name}, {beta}: {where}.{what}" for where, what, _ in compiled() - known[-1]), end="")
            if layout is np.asarray and name in ("mu", "ehals"):  # after a fit of all entries, whose kernels are others
                try:
                    fit(X, 8, solver=name, beta_loss=beta, missing="nan", max_iter=1, tol=0)
                except ValueError:
                    continue
                print(*sorted(f"{name}, nan: {where}.{what}" for where, what, _ in compiled() - known[-1]), end="")
"""


def test_the_first_iteration_compiles_nothing() -> None:
    """What an iteration needs is compiled before the clock starts, also for an X that is updated in chunks."""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LEFT], capture_output=True, text=True, check=True)
    assert done.stdout == ""
