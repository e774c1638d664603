"""The objective against seconds: every solver that supports a case, from one start, beside scikit-learn."""

import dataclasses
import functools
import math
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np
from scipy import sparse
from sklearn.decomposition import non_negative_factorization

from benchmarks.cases import make_X
from benchmarks.speed import Threads
from nmf_numba import initialize, iterate
from nmf_numba.datasets import load_digits, make_piano
from nmf_numba.plotting import line_styles
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.validation import check_X

TITLE = """Seconds of solver steps until the objective is within 1, 0.1 and 0.01 % of where the run ends: medians over
starts, which all solvers share; a dash where fewer than half of them get there. A run that has not come to rest when
its time is up (the objective fell by more than 0.01 % in the second half of it) counts until it is as near to the best
that any solver has found from the same start. above: by how many per cent a run ends above that best, which may be
another local minimum. gain: how many times sooner than scikit-learn to the gap in `goal`. scikit-learn's iterations are
those of cd for the Frobenius loss, else of mu; the time of one is measured. A run ends after its case's number of
iterations, or after LIMIT seconds, but the one that stands for scikit-learn too goes on to the former."""

COLUMNS = (
    ("case", "case", "<34"),
    ("solver", "solver", "<8"),
    ("reached", "starts", ">6"),
    ("iterations", "iterations", ">10.0f"),
    ("to_1", "1 %", ">8.3f"),
    ("to_01", "0.1 %", ">8.3f"),
    ("to_001", "0.01 %", ">8.3f"),
    ("above", "above", ">6.2f"),
    ("ms", "ms", ">8.2f"),
    ("gain", "gain", ">7.1f"),
    ("goal", "goal", "<5"),
)

GAPS = {"to_1": 0.01, "to_01": 0.001, "to_001": 0.0001}
AT_REST = 1e-4  # how much the objective of such a run falls in the second half of its time, as a share
POINTS = 60  # evaluations of the objective of a run, about
ALPHA = 1e-3  # of W and H, where a case has a penalty
LIMIT = 6.0  # seconds of a run
TABLE = tuple(column for column in COLUMNS if column[0] != "reached")  # for the documentation
CURVES: dict[str, dict[str, list]] = {}  # of each case and solver: a run for each start, its gap against seconds
SHOWN = 1e-4  # the smallest gap in a figure


@functools.cache
def topic_model(shrink=1):
    """Counts of words: each document has 100 words on average, from few of 20 topics, each of few words."""
    rng = np.random.default_rng(3)
    n_samples, n_features, k = 8000 // shrink, 5000 // shrink, 20
    common = 1 / np.arange(1, n_features + 1) ** 0.9
    topics = rng.gamma(0.1, 1, (k, n_features)) * common
    topics /= topics.sum(axis=1, keepdims=True)
    mixtures = rng.dirichlet(np.full(k, 0.1), n_samples)
    lengths = rng.poisson(100, n_samples)
    counts = rng.poisson(lengths[:, None] * (mixtures @ topics))
    return sparse.csr_array(counts.astype(np.float64))


DATA: dict[str, Callable] = {
    "dense": lambda shrink: make_X("dense", "float64", shrink),
    "csr": lambda shrink: make_X("csr", "float64", shrink),
    "topics": topic_model,
    "digits": lambda shrink: load_digits().X,
    "piano": lambda shrink: make_piano().X,
    "counts": lambda shrink: np.random.default_rng(4).poisson(make_X("dense", "float64", shrink)[::5]).astype(float),
}


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem: data, loss, rank, penalties; how many iterations each solver may take; which gap counts."""

    kind: str
    beta: float
    k: int
    max_iter: int
    penalty: str = ""  # or "L1", "L2": of both factors
    goal: str = "to_01"

    @property
    def theirs(self):
        """The faster of scikit-learn's solvers."""
        return "cd" if self.beta == 2 else "mu"

    @property
    def name(self):
        loss = {2.0: "Frobenius", 1.0: "KL", 0.0: "Itakura-Saito"}.get(self.beta, f"beta {self.beta:g}")
        return f"{self.kind} {loss} k={self.k} {self.penalty}".rstrip()

    @property
    def penalties(self):
        return {"alpha_W": ALPHA, "l1_ratio": float(self.penalty == "L1")} if self.penalty else {}


CASES = (
    Case("dense", 2.0, 20, 600),
    Case("digits", 2.0, 10, 2000),
    Case("csr", 2.0, 20, 600),
    Case("topics", 2.0, 20, 1000),
    Case("dense", 1.0, 20, 1000),
    Case("counts", 1.0, 20, 1500),
    Case("piano", 0.0, 7, 3000),
    Case("csr", 1.0, 20, 1500, goal="to_03"),
    Case("topics", 1.0, 20, 1500, goal="to_03"),
    Case("digits", 2.0, 10, 2000, "L1"),
    Case("digits", 1.0, 10, 3000, "L1"),
    Case("digits", 1.0, 10, 3000, "L2"),
    Case("piano", 0.0, 7, 3000, "L1"),
    Case("topics", 1.0, 20, 1500, "L1", goal="to_03"),
)
MORE_GAPS = GAPS | {"to_03": 0.003}


def run(solver, case, start, max_iter, n_threads):
    """Return iterations, seconds and objectives of a fit, evaluated at more and more distant iterations."""
    X, W, H = start
    rows, following = [], 0
    steps = iterate(
        X,
        case.k,
        W=W,
        H=H,
        init="custom",
        solver=solver,
        beta_loss=case.beta,
        tol=0,
        max_iter=max_iter,
        n_threads=n_threads,
        max_time=None if solver == case.theirs else LIMIT,
        **case.penalties,
    )
    for step in steps:
        if step.n_iter >= following or step.stop_reason is not None:
            rows.append((step.n_iter, step.seconds, step.objective().total))
            following = max(step.n_iter + 1, math.ceil(step.n_iter * (1 + 3 / POINTS)))
    return np.array(rows)


def reaches(rows, goal):
    """Return at which iteration and second a run is below a goal, between two evaluations by the logarithm."""
    at = np.flatnonzero(rows[:, 2] <= goal)
    if not len(at):
        return None
    if at[0] == 0:
        return rows[0, 0], rows[0, 1]
    before, after = rows[at[0] - 1], rows[at[0]]
    share = (before[2] - goal) / max(before[2] - after[2], 1e-300)
    return tuple(before[:2] + share * (after[:2] - before[:2]))


def sklearn_ms(case, start, solver, options):
    """Milliseconds of one of scikit-learn's iterations: two fits, so that checks and copies cancel."""
    X, W, H = start

    def fit(n_iter):
        time.sleep(options.settle)
        before = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            non_negative_factorization(
                X,
                W=W.copy(),
                H=H.copy(),
                n_components=case.k,
                init="custom",
                solver=solver,
                beta_loss=case.beta,
                tol=0,
                max_iter=n_iter,
                **case.penalties,
            )
        return time.perf_counter() - before

    short = fit(1)
    more = 2 if options.quick else int(np.clip(2 / max(fit(2) - short, 1e-4), 2, 200))
    ms = 1000 * statistics.median((fit(1 + more) - fit(1)) / more for _ in range(1 if options.quick else 3))
    return max(ms, 1e-3)  # of few iterations it may come out negative


def aim_of(rows, best):
    """Return what a run is measured to: its own end if it has come to rest, else the best objective of its start."""
    end = rows[:, 2].min()
    halfway = np.interp(rows[-1, 1] / 2, rows[:, 1], rows[:, 2])
    return end if halfway - end < AT_REST * end else best


def median(values, n_starts):
    """The median over starts, where those that are missing are later than all others."""
    values = sorted(value if value is not None else math.inf for value in values)
    middle = values[(n_starts - 1) // 2]
    return None if math.isinf(middle) else middle


def runs_of(case, options):
    """Return for each start and solver its run, and the starts."""
    X = DATA[case.kind](10 if options.quick and case.kind not in ("digits", "piano") else 1)
    checked = check_X(X)
    penalties = {"alpha_W": 0.0, "l1_ratio": 0.0} | case.penalties
    problem = Problem.scaled(checked, case.beta, penalties["alpha_W"], penalties["alpha_W"], penalties["l1_ratio"])
    able = [name for name, solver in SOLVERS.items() if solver.supports(problem) is None]
    able = ["auto", *(name for name in able if name == case.theirs or options.wants_solver(name))]
    max_iter = 10 if options.quick else case.max_iter
    found, starts = [], []
    for seed in range(options.rounds):
        start = (X, *initialize(X, case.k, init="random", random_state=seed))
        starts.append(start)
        found.append({name: run(name, case, start, max_iter, options.n_threads) for name in able})
    return found, starts, able


def rows(options):
    for case in CASES:
        if not options.wants(case.name):
            continue
        found, starts, able = runs_of(case, options)
        with Threads(options.n_threads):
            theirs_ms = sklearn_ms(case, starts[0], case.theirs, options)
        theirs = f"{case.theirs}, sk"
        for runs in found:  # our iterations, their milliseconds
            n_iter, _, objective = runs[case.theirs].T
            runs[theirs] = np.column_stack([n_iter, n_iter * theirs_ms / 1000, objective])
        lines = {name: line(case, name, found) for name in [*able, theirs]}
        CURVES[case.name] = {name: [] for name in lines}
        for runs in found:
            best = best_of(runs)
            for name, curves in CURVES[case.name].items():
                curves.append(np.column_stack([runs[name][:, 1], runs[name][:, 2] / best - 1]))
        baseline = lines[theirs]["to_goal"]
        for each in lines.values():
            own = each.pop("to_goal")
            yield each | {"gain": None if own is None or baseline is None else baseline / max(own, 1e-9)}


def best_of(runs):
    """The lowest objective that any solver has found from one start."""
    return min(rows[:, 2].min() for rows in runs.values())


def line(case, name, found):
    """Return a line of the table, but for the gain: medians over the starts."""
    runs = [each[name] for each in found]
    best = [best_of(each) for each in found]
    reached = {
        key: [reaches(rows, (1 + gap) * aim_of(rows, b)) for rows, b in zip(runs, best, strict=True)]
        for key, gap in MORE_GAPS.items()
    }
    seconds = {key: [at[1] if at else None for at in each] for key, each in reached.items()}
    return {
        "case": case.name,
        "solver": name,
        "reached": f"{sum(at is not None for at in reached[case.goal])}/{len(found)}",
        "iterations": median([at[0] if at else None for at in reached[case.goal]], len(found)),
        **{key: median(seconds[key], len(found)) for key in GAPS},
        "to_goal": median(seconds[case.goal], len(found)),
        "above": 100 * statistics.median(rows[:, 2].min() / b - 1 for rows, b in zip(runs, best, strict=True)),
        "ms": 1000 * statistics.median(rows[-1, 1] / rows[-1, 0] for rows in runs),
        "goal": f"{100 * MORE_GAPS[case.goal]:g} %",
    }


def figure(rows):
    """The gap against seconds: a panel for each case, the median of all starts with a band from least to greatest."""
    from matplotlib.figure import Figure  # noqa: PLC0415  (only if a figure is asked for)

    names = list(dict.fromkeys(row["case"] for row in rows))
    n_columns = min(3, len(names))
    n_lines = -(-len(names) // n_columns)
    drawn = Figure(figsize=(5.2 * n_columns, 3.6 * n_lines), layout="constrained")
    for place, (axes, name) in enumerate(
        zip(drawn.subplots(n_lines, n_columns, squeeze=False).flat, names, strict=False)
    ):
        latest = 0.0
        axes.set(xscale="log", yscale="log", title=name)
        for (solver, runs), style in zip(CURVES[name].items(), line_styles(CURVES[name]), strict=True):
            style |= {"marker": None, "lw": 1.8}
            if solver == "auto":  # lies on the line of the solver that it takes
                style |= {"color": "gold", "linestyle": "-", "lw": 5, "zorder": 1}
            times = np.geomspace(1e-4, max(run[-1, 0] for run in runs) + 2e-4, 200)
            gaps = np.array([np.exp(np.interp(times, run[:, 0], np.log(np.maximum(run[:, 1], 1e-7)))) for run in runs])
            middle = np.median(gaps, axis=0)
            axes.plot(times, middle, label=solver.replace("sk", "scikit-learn"), **style)
            axes.fill_between(times, gaps.min(axis=0), gaps.max(axis=0), color=style["color"], alpha=0.12, lw=0)
            latest = max(latest, times[np.argmax(middle <= SHOWN)] if (middle <= SHOWN).any() else times[-1])
        axes.set(xlim=(latest / 1e4, latest * 1.5), ylim=(SHOWN, 10))
        axes.set_xlabel("seconds")
        if place % n_columns == 0:
            axes.set_ylabel("objective above the best, as a share of it")
        axes.legend(fontsize=7, loc="lower left")
    for axes in drawn.axes[len(names) :]:
        axes.set_axis_off()
    return drawn
