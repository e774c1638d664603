"""What a trace costs, and whether its clock counts the solver's steps alone: fits with and without it, in turns."""

import statistics
import time

from benchmarks.cases import CASES
from benchmarks.speed import SHRINK, Threads
from nmf_numba import fit

TITLE = """Milliseconds per iteration without and with trace=True, medians over turns.
cost: what a trace adds, in percent: a pass over X for every iteration, off its clock.
clock: milliseconds per iteration by the trace's own clock."""

COLUMNS = (
    ("case", "case", "<40"),
    ("without_ms", "without", ">8.2f"),
    ("with_ms", "with", ">8.2f"),
    ("cost", "cost", ">5.0f"),
    ("cost_low", "from", ">5.0f"),
    ("cost_high", "to", ">5.0f"),
    ("clock_ms", "clock", ">8.2f"),
)

FIRST = 2  # iterations that are not timed


def run(case, start, n_iter, trace):
    """Seconds of a fit, and its result."""
    X, W, H = start
    options = {"init": "custom", "solver": case.solver, "beta_loss": case.beta, "tol": 0, "trace": trace}
    before = time.perf_counter()
    result = fit(X, case.k, W=W, H=H, max_iter=FIRST + n_iter, **options)
    return time.perf_counter() - before, result


def rows(options):
    for case in CASES[-2:] if options.quick else CASES:
        if not options.wants(case.name):
            continue
        start = case.make(SHRINK if options.quick else 1)
        n_iter = 500 if case.kind == "digits" else 20
        turns = []
        with Threads(options.n_threads):
            for turn in range(options.rounds + 1):
                time.sleep(options.settle)
                seconds = {}
                for trace in (False, True):
                    short, _ = run(case, start, 0, trace)
                    long, result = run(case, start, n_iter, trace)
                    seconds[trace] = long - short
                clock = result.trace.seconds[-1] - result.trace.seconds[FIRST]
                if turn > 0:  # the first compiles
                    turns.append([1000 * each / n_iter for each in (seconds[False], seconds[True], clock)])
        costs = [100 * (traced / plain - 1) for plain, traced, _ in turns]
        cost = statistics.median(costs)
        without, traced, clock = (statistics.median(times) for times in zip(*turns, strict=True))
        yield {
            "case": case.name,
            "threads": options.n_threads,
            "without_ms": without,
            "with_ms": traced,
            "cost": cost,
            "cost_low": min(costs),
            "cost_high": max(costs),
            "clock_ms": clock,
        }
