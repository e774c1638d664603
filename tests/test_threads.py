"""Threads change nothing: not the bits of a result, not what other threads or a forked child can do, not BLAS."""

import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import pytest
import threadpoolctl
from conftest import make_X

from nmf_numba import fit
from nmf_numba.problem import Problem
from nmf_numba.validation import check_X

X = {layout: make_X((8000, 300), layout=layout) for layout in ("dense", "csr")}  # made once: by BLAS
KINDS = [
    pytest.param("cd", 2.0, id="cd"),
    pytest.param("apg", 2.0, id="apg"),
    pytest.param("bpp", 2.0, id="bpp"),
    pytest.param("mu", 2.0, id="mu-2"),
    pytest.param("mu", 1.0, id="mu-1"),
    pytest.param("mu", 1.3, id="mu-1.3"),
]


def digest(solver, beta, layout, **options):
    """The bits of a short fit."""
    start = {"init": "random", "random_state": 0}
    result = fit(X[layout], 20, solver=solver, beta_loss=beta, tol=0, max_iter=4, **start, **options)
    return hashlib.sha256(result.W.tobytes() + result.H.tobytes()).hexdigest()


def all_digests():
    return [digest(*kind.values, layout) for kind in KINDS for layout in ("dense", "csr")]


def test_the_problem_is_split():
    """Otherwise nothing below runs in parallel."""
    for layout in ("dense", "csr"):
        assert len(Problem(check_X(X[layout])).bounds(20)) > 3


def run(script, **environment):
    """What a new process prints."""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=os.path.dirname(__file__),
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_same_bits_for_any_number_of_threads():
    script = (
        "import numba, test_threads\n"
        "for n in (1, 2, 4):\n"
        "    numba.set_num_threads(n)\n"
        "    print(*test_threads.all_digests())\n"
    )
    one, two, four = run(script, NUMBA_NUM_THREADS="4").splitlines()
    assert one == two == four
    assert one.split() == all_digests()


@pytest.mark.parametrize("layer", ["omp", "workqueue"])
def test_fits_from_several_threads_and_after_a_fork(layer):
    """Unguarded, either layer would end the process: workqueue in the first part, omp in the second."""
    if layer == "omp" and sys.platform != "linux":
        layer = "default"
    script = "import numba, test_threads\ntest_threads.in_threads_and_children()\nprint(numba.threading_layer())\n"
    *outcomes, used = run(script, NUMBA_THREADING_LAYER=layer).split()
    assert outcomes == ["same", "same"]
    assert used == layer or layer == "default"


def in_threads_and_children():
    expected = digest("cd", 2.0, "dense"), digest("mu", 1.0, "csr")
    found = [None] * 8

    def work(i):
        found[i] = digest("cd", 2.0, "dense") if i % 2 == 0 else digest("mu", 1.0, "csr")

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("same" if found == list(expected) * 4 else "different")

    if "fork" in multiprocessing.get_all_start_methods():
        with multiprocessing.get_context("fork").Pool(2) as pool:
            children = pool.starmap(digest, [("cd", 2.0, "dense"), ("mu", 1.0, "csr")] * 2)
        print("same" if children == list(expected) * 2 else "different", flush=True)
    else:
        print("same")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_another_thread_fits():
    """The child has the locks and settings of a thread that it does not have."""
    assert run("import test_threads\ntest_threads.fork_while_a_fit_goes_on()\n").split() == ["0"]


def fork_while_a_fit_goes_on():
    expected = digest("cd", 2.0, "dense")
    inside, go_on = threading.Event(), threading.Event()

    def wait(step):
        inside.set()
        go_on.wait()

    thread = threading.Thread(target=digest, args=("cd", 2.0, "dense"), kwargs={"callback": wait})
    thread.start()
    inside.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if digest("cd", 2.0, "dense") == expected else 1)
    go_on.set()
    thread.join()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
@pytest.mark.parametrize("n_threads", ["1", "2"])
def test_control_c_in_compiled_code(n_threads):
    """It raises KeyboardInterrupt, not the SystemError that compiled code makes of it, and the next fit is right."""
    script = "import test_threads\ntest_threads.interrupt_fits()\n"
    assert run(script, NUMBA_NUM_THREADS=n_threads).split() == ["same"] * 8


def interrupt_fits():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # this process may have been started without
    for solver, beta in (("cd", 2.0), ("mu", 1.0)):
        expected = digest(solver, beta, "dense")
        for delay in (0.05, 0.1, 0.15, 0.2):  # s
            threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                fit(X["dense"], 20, solver=solver, beta_loss=beta, init="random", tol=0, max_iter=10**9, random_state=0)
            except KeyboardInterrupt:
                print("same" if digest(solver, beta, "dense") == expected else "different")


def blas_threads():
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"]


def test_blas_is_left_alone():
    """Kernels do not call it, so whatever the caller has set stays, during a fit and after."""
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before, seen = blas_threads(), []
        fit(make_X((200, 300)), 3, max_iter=2, tol=0, callback=lambda step: seen.append(blas_threads()))
        assert seen == [before, before]
        assert blas_threads() == before


# Whoever starts Numba's threads, and whatever limits a process


def test_a_fork_after_another_library_has_started_threads():
    """The child imports this package first, or its parent did; it fits, on one thread, and gives the same factors."""
    if "fork" not in multiprocessing.get_all_start_methods():
        return
    for first in ("import nmf_numba", ""):
        script = f"""
import multiprocessing, numba, numpy as np
{first}
@numba.njit(parallel=True)
def other(x):
    total = 0.0
    for i in numba.prange(len(x)):
        total += x[i]
    return total

def task(seed):
    import test_threads
    return test_threads.digest("cd", 2.0, "dense")

other(np.ones(1000))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(*set(pool.map_async(task, range(4)).get(timeout=200)))
"""
        assert run(script).split() == [digest("cd", 2.0, "dense")]


LIMITS = """
import os, numba, threadpoolctl, nmf_numba
from nmf_numba.compiled.threads import threads

def used(n_threads=None):
    with threads(n_threads):
        return numba.get_num_threads()

print(used(), used(2), end=" ")
with threadpoolctl.threadpool_limits(1):
    print(used(), used(2), end=" ")
with threadpoolctl.threadpool_limits(1, user_api="blas"):
    print(used(), end=" ")
print(used(), "GOMP_SPINCOUNT" in os.environ)
"""


@pytest.mark.skipif(os.cpu_count() != 2, reason="counts two threads")
@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "2 2 1 2 2 2 False"),
        ({"OMP_NUM_THREADS": "1"}, "1 2 1 2 1 1 False"),
        ({"OMP_NUM_THREADS": "1,4"}, "1 2 1 2 1 1 False"),
        ({"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}, "2 2 2 2 2 2 False"),
    ],
)
def test_limits_of_the_process_are_kept(environment, expected):
    """n_threads counts first, then NUMBA_NUM_THREADS, then OMP_NUM_THREADS and threadpool_limits; nothing leaks."""
    assert run(LIMITS, **environment).strip() == expected


FEW_CHUNKS = """
import numba, numpy as np
from nmf_numba import fit
from nmf_numba.solvers import SOLVERS

def used(solver, n_threads, n_rows, n_columns=64):
    seen = set()
    class Watched(type(SOLVERS[solver])):
        def step(self, problem, state):
            seen.add(numba.get_num_threads())
            return super().step(problem, state)
    X = np.random.default_rng(0).random((n_rows, n_columns))
    fit(X, 10, solver=Watched(), init="random", tol=0, max_iter=2, n_threads=n_threads)
    return seen.pop() if len(seen) == 1 else seen

for solver in ("cd", "ccd"):
    print(*(used(solver, n_threads, n_rows) for n_rows in (500, 1797, 8000) for n_threads in (None, 3)))
print(used("cd", None, 600, 30000))
"""


def test_a_small_problem_takes_one_thread_unless_told():
    """500 rows are one chunk, 1797 are two, 8000 are more; ccd does more with a chunk. A wide X has few, but large."""
    one, other, wide = run(FEW_CHUNKS, NUMBA_NUM_THREADS="4").splitlines()
    assert wide == "4"
    assert one == "1 1 1 3 4 3"
    assert other == "1 1 4 3 4 3"


def test_without_compilation():
    """NUMBA_DISABLE_JIT=1: the reference as ever, and the kernels run by Python."""
    script = """
import numpy as np, scipy.sparse
from nmf_numba import fit
X = np.random.default_rng(0).random((12, 8))
for layout in (X, scipy.sparse.csr_array(X)):
    for solver, beta in (("cd", 2), ("mu", 2), ("mu", 1), ("mu", 1.3)):
        kwargs = dict(solver=solver, beta_loss=beta, init="random", random_state=0, tol=0, max_iter=3, trace=True)
        a, b = (fit(layout, 2, engine=engine, **kwargs) for engine in ("numba", "reference"))
        assert np.allclose(a.W, b.W, rtol=1e-9) and np.allclose(a.trace.objective, b.trace.objective, rtol=1e-9)
print("same")
"""
    assert run(script, NUMBA_DISABLE_JIT="1").strip() == "same"
