"""Faults from outside: a process that is killed, a disk that is full. Nothing is lost, and whoever stays goes on."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nmf_numba import fit

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")

X = np.random.default_rng(0).random((40, 30))
OLD = b"what was there before"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data, and a file that a fit would replace."""
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "model.npz").write_bytes(OLD)
    return tmp_path


FIT = ["fit", "x.npy", "-k", "4", "--engine", "reference", "--tol", "0", "--max-iter", "3", "--quiet"]
FIT += ["--out", "model.npz", "--overwrite"]

SAY_WHEN_IT_FITS = """
from nmf_numba.loop import Run
why_last = Run.why_last
Run.why_last = lambda *arguments: print("fits", flush=True) or why_last(*arguments)
"""
KILL = """
import os, signal
import numpy as np
process = os.getpid()
os.getpid = lambda: 7  # always: as in a container
die = lambda: os.kill(process, signal.SIGKILL)
"""
WHEN_IT_SAVES = {
    "half is written": "np.savez = lambda file, **_: (file.write(b'half'), file.flush(), die())",
    "all is written": "os.replace = lambda *_: die()",
}
FULL_DISK = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))
"""


def program(before: str, *options: str) -> list[str]:
    """A process that does something, then runs the command line."""
    run = f"from nmf_numba.__main__ import main\nraise SystemExit(main({[*FIT, *options]}))"
    return [sys.executable, "-c", f"{before}\n{run}"]


def test_killed_while_it_fits(folder: Path) -> None:
    command = program(SAY_WHEN_IT_FITS, "--max-iter", "1000000")
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"fits\n"
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert (folder / "model.npz").read_bytes() == OLD
    assert sorted(p.name for p in folder.iterdir()) == ["model.npz", "x.npy"]


@pytest.mark.parametrize("when", WHEN_IT_SAVES)
def test_killed_while_it_saves(folder: Path, when: str) -> None:
    """What is left is in no one's way, nor in that of a process with the same number."""
    for _ in range(2):
        process = subprocess.run(program(KILL + WHEN_IT_SAVES[when]), cwd=folder, capture_output=True, check=False)
        assert process.returncode == -signal.SIGKILL
        assert (folder / "model.npz").read_bytes() == OLD
    process = subprocess.run(program(""), cwd=folder, capture_output=True, check=False)
    assert (process.returncode, process.stderr) == (0, b"")
    with np.load(folder / "model.npz", allow_pickle=False) as made:
        assert made["W"].shape == (40, 4)


def test_a_disk_that_is_full(folder: Path) -> None:
    process = subprocess.run(program(FULL_DISK), cwd=folder, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert process.stderr.startswith("nmf-numba: error: ")
    assert process.stderr.count("\n") == 1
    assert "File too large" in process.stderr
    assert (folder / "model.npz").read_bytes() == OLD
    assert sorted(p.name for p in folder.iterdir()) == ["model.npz", "x.npy"]


def _fit_forever(fits) -> None:
    fit(X, 4, tol=0, max_iter=10**9, callback=lambda step: fits.set())


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_a_child_that_is_killed(method: str) -> None:
    expected = fit(X, 4, random_state=0, tol=0, max_iter=20)
    context = multiprocessing.get_context(method)
    fits = context.Event()
    child = context.Process(target=_fit_forever, args=(fits,))
    child.start()
    assert fits.wait(60)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    found = fit(X, 4, random_state=0, tol=0, max_iter=20)
    np.testing.assert_array_equal(found.W, expected.W)
    np.testing.assert_array_equal(found.H, expected.H)


NO_STREAMS = """
import sys
import numpy as np
sys.stdout = sys.stderr = None
from nmf_numba import compare, fit, iterate, non_negative_factorization
from nmf_numba.__main__ import main
from nmf_numba.estimators import NMF, MiniBatchNMF
X = np.load("x.npy")
common = {"random_state": 0, "tol": 0, "max_iter": 12}
for engine in ("numba", "reference"):
    fit(X, 2, verbose=1, engine=engine, **common)
fit(X, 2, solver="mu", verbose=True, **common)
non_negative_factorization(X, n_components=2, verbose=2, **common)
assert len(list(iterate(X, 2, verbose=1, **common))) == 13
NMF(2, verbose=1, **common).fit(X).transform(X)
model = MiniBatchNMF(2, verbose=1, **common).fit(X)
model.partial_fit(X).transform(X)
assert main(["fit", "x.npy", "-k", "2", "--verbose", "--out", "new.npz"]) == 0
assert main(["compare", "x.npy", "-k", "2", "--max-iter", "3", "--figure", "new.png"]) == 0
assert main(["solvers"]) == 0
assert main(["fit", "nowhere.npy"]) == 2
"""


@pytest.mark.filterwarnings("ignore")
def test_a_program_without_streams(folder: Path) -> None:
    """In a program without a console, as pythonw.exe starts it, Python has neither stdout nor stderr."""
    process = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", NO_STREAMS], cwd=folder, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    assert (folder / "new.npz").exists()
