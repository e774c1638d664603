"""The command line: `nmf-numba fit`, `transform`, `compare`, `solvers`, `warmup` and `demo`.

What the user can put right is said in one line on standard error, with exit status 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

import nmf_numba
from nmf_numba import model, validation
from nmf_numba.datasets import DATASETS
from nmf_numba.files import check_output, free_path, write_file
from nmf_numba.inputs import READERS, is_number, load_input, read_factor
from nmf_numba.options import DEFAULT, check_solver
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.solver import Solver
from nmf_numba.table import Table

OK, ERROR, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141
FIGURES = (".png", ".svg", ".pdf")
SHARED = (  # parameters of every command that fits
    "n_components", "init", "beta_loss", "tol", "stopping", "max_iter", "max_time", "alpha_W", "alpha_H", "l1_ratio",
    "random_state", "shuffle", "n_threads",
)  # fmt: skip

# --- fit and transform ---------------------------------------------------------------------------------------------


def run_fit(arguments: argparse.Namespace) -> None:
    """Fit a matrix, print a summary and write the factors."""
    check_model_output(arguments)
    X, dtype = read_data(arguments)
    options = vars(arguments)
    parameters = {name: options[name] for name in (*SHARED, "update_H", "solver", "engine")}
    if parameters["random_state"] is None:  # draw it here, so that the fit can be done again
        parameters["random_state"] = int(np.random.default_rng().integers(2**32))
    start = {name: read_factor(options[name], name, dtype) for name in ("W", "H")}
    fit_and_report(arguments, X, parameters, start, {name: options[name] for name in start})


def run_transform(arguments: argparse.Namespace) -> None:
    """Find the W of a matrix for the H of a model that `fit` has written."""
    check_model_output(arguments)
    known = model.read(arguments.model)
    H, kept = known["H"], known["parameters"]
    X, dtype = read_data(arguments)
    parameters = {name: value for name, value in kept.items() if name not in ("W", "H")}
    parameters |= {"n_components": "auto", "init": None, "update_H": False}
    given = {name: getattr(arguments, name) for name in ("tol", "max_iter", "max_time", "n_threads")}
    parameters |= {name: value for name, value in given.items() if value is not None}
    start = {"W": None, "H": H.astype(dtype, copy=False)}
    fit_and_report(arguments, X, parameters, start, {"W": None, "H": arguments.model})


def read_data(arguments: argparse.Namespace) -> tuple[Any, Any]:
    """Return the input, and the dtype that it is fitted in."""
    X = load_input(arguments.input)
    return X, np.float32 if X.dtype.kind == "f" and X.dtype.itemsize == 4 else np.float64


def check_model_output(arguments: argparse.Namespace) -> None:
    """Refuse an --out that can't be written, before anything is computed for it."""
    if arguments.out is None:
        return
    out = Path(arguments.out)
    model.check_path(out, overwrite=arguments.overwrite)
    for name, source in (("input", arguments.input), ("model", getattr(arguments, "model", ""))):
        if source not in (*DATASETS, "") and out.exists() and Path(source).exists() and out.samefile(source):
            raise ValueError(f"--out is the {name}, {source}. Use another name.")


def fit_and_report(
    arguments: argparse.Namespace, X: Any, parameters: dict[str, Any], start: dict[str, Any], files: dict[str, Any]
) -> None:
    """Fit, write the model and print a summary. `files` says where W and H came from."""
    verbose = arguments.verbose or (not arguments.quiet and sys.stderr is not None and sys.stderr.isatty())
    before = time.perf_counter()
    result = nmf_numba.fit(X, **start, **parameters, verbose=verbose, trace=arguments.trace)
    seconds = time.perf_counter() - before
    loss = ("beta_loss", "alpha_W", "alpha_H", "l1_ratio", "engine")
    terms = nmf_numba.objective(X, result.W, result.H, **{name: parameters[name] for name in loss})

    if arguments.out is not None:
        made = {
            "W": result.W,
            "H": result.H,
            "n_iter": result.n_iter,
            "stop_reason": result.stop_reason,
            "objective": terms.total,
            **dataclasses.asdict(terms),
            "parameters": parameters | files,
            "input": arguments.input,
        }
        if result.trace is not None:
            made |= {f"trace_{name}": column for name, column in result.trace.to_dict().items()}
        model.write(arguments.out, made, overwrite=arguments.overwrite)
    if arguments.quiet:
        return
    layout = f"sparse, {X.nnz} entries stored" if sparse.issparse(X) else "dense"
    beta = validation.check_beta(parameters["beta_loss"])
    parts = [f"{name} {value:.6g}" for name, value in dataclasses.asdict(terms).items() if value or name == "data_fit"]
    reason = {
        "tol": "the stopping rule was met",
        "max_iter": "--max-iter was reached",
        "max_time": "--max-time was reached",
    }
    solver, engine = parameters["solver"], parameters["engine"]
    summary = {
        "input": f"{arguments.input}, {X.shape[0]} x {X.shape[1]}, {layout}, {result.W.dtype}",
        "solver": f"{solver} ({check_solver(solver).title}), engine {engine}",
        "loss": f"{loss_name(beta)}, beta = {beta:g}",
        "components": result.W.shape[1],
        "iterations": f"{result.n_iter}; {reason[result.stop_reason]}",
        "objective": f"{terms.total:.6g}" + (f" = {' + '.join(parts)}" if len(parts) > 1 else ""),
        "seconds": f"{seconds:.2f}, compilation included",
        "random state": parameters["random_state"],
    } | ({} if arguments.out is None else {"written to": arguments.out})
    for name, value in summary.items():
        print(f"{name:<12}  {value}")
    if result.trace is not None:
        print(f"\n{result.trace.table()}")


# --- solvers -------------------------------------------------------------------------------------------------------


def loss_name(beta: float) -> str:
    """Return the name of a loss."""
    return next((name for name, known in validation.BETA.items() if known == beta), "beta-divergence")


def print_solvers(arguments: argparse.Namespace) -> None:
    """Print what each solver supports, as it answers itself."""
    print("Descent is proven: no iteration raises the objective, with these penalties on W and H.\n")
    for number, solver in enumerate(SOLVERS.values()):
        print("" if number == 0 else "\n", end="")
        print(f"{solver.name}: {solver.title}\n")
        print(Table(["loss", "beta", "layouts", "descent is proven with"], list(losses(solver))))
        print("\nSources")
        for source in solver.sources:
            print(f"- {source}")


def losses(solver: Solver) -> Iterator[list[str]]:
    """Yield a row for each loss: what the solver says of tiny problems."""
    dense = np.ones((2, 2))
    matrices = {"dense": dense, "CSR": sparse.csr_array(dense)}
    penalties: dict[str, dict[str, Any]] = {
        "no penalty": {},
        "L1": {"l1_W": 1.0, "l1_H": 1.0},
        "L2": {"l2_W": 1.0, "l2_H": 1.0},
    }
    for beta in (2.0, 1.0, 0.0, 3.0, 1.5, 0.5, -1.0):
        answers = {layout: solver.supports(Problem(X, beta)) for layout, X in matrices.items()}
        layouts = [layout for layout, answer in answers.items() if answer is None]
        proven = [name for name, penalty in penalties.items() if solver.descends(Problem(dense, beta, **penalty))]
        refusal = next((answer for answer in answers.values() if answer is not None), "")
        row = [loss_name(beta), f"{beta:g}"]
        yield [*row, ", ".join(layouts), ", ".join(proven)] if layouts else [*row, f"does not handle {refusal}"]


# --- compare -------------------------------------------------------------------------------------------------------


def run_compare(arguments: argparse.Namespace) -> None:
    """Fit with several solvers, print a table and draw the objective."""
    figure = free_path(Path("compare.png")) if arguments.figure is None else Path(arguments.figure)
    if figure.suffix not in FIGURES:
        raise ValueError(f"--figure must end in {', '.join(FIGURES)}. Found {str(figure)!r}.")
    check_output(figure, overwrite=arguments.overwrite)
    X, dtype = read_data(arguments)
    start = {name: read_factor(getattr(arguments, name), name, dtype) for name in ("W", "H")}
    parameters = {name: getattr(arguments, name) for name in SHARED}
    comparison = nmf_numba.compare(
        X, **start, **parameters, solvers=arguments.solvers.split(","), engines=arguments.engines.split(",")
    )
    print(comparison.table())
    print("\nTo 10 %: until the objective is at most 1.1 times the best that any run has found. Seconds are those of")
    print("solver steps, without compilation and without evaluating the objective.")
    ax = comparison.plot(x=arguments.x, gap=arguments.gap)
    drawn: Any = ax.figure
    save = functools.partial(drawn.savefig, format=figure.suffix[1:], dpi=150)
    write_file(figure, save, overwrite=arguments.overwrite)
    print("Figure:", figure)


# --- warmup --------------------------------------------------------------------------------------------------------


def run_warmup(arguments: argparse.Namespace) -> None:
    """Compile every kernel, and say where the results are kept."""
    from tqdm import tqdm  # noqa: PLC0415  (takes its time)

    from nmf_numba.compiled.jit import cache_folder  # noqa: PLC0415  (imports Numba, which takes its time)
    from nmf_numba.compiled.threads import threads  # noqa: PLC0415  (likewise)
    from nmf_numba.warmup import tasks  # noqa: PLC0415  (likewise)

    folder = cache_folder()
    work = list(tasks())
    before = time.perf_counter()
    is_terminal = sys.stderr is not None and sys.stderr.isatty()
    if not is_terminal:
        print(f"Compiling {len(work)} sets of kernels takes some minutes, once.", flush=True)
    with threads(), np.errstate(all="ignore"), tqdm(work, unit="kernel", disable=not is_terminal) as bar:
        for name, task in bar:
            bar.set_postfix_str(name)
            task()
    print(f"{len(work)} sets of kernels are ready, after {time.perf_counter() - before:.1f} s.")
    if folder is None:
        print("No folder can be written, so each process compiles its own. Set NUMBA_CACHE_DIR to one that can.")
    else:
        print(f"They are kept in {folder} (NUMBA_CACHE_DIR can name another folder).")


# --- demo ----------------------------------------------------------------------------------------------------------


def run_demo(arguments: argparse.Namespace) -> None:
    """Fit two data sets, print a table and write figures."""
    from nmf_numba import demo  # noqa: PLC0415  (imports matplotlib, which takes its time)

    out_dir = demo.free_folder(Path("demo")) if arguments.out_dir is None else Path(arguments.out_dir)
    rows = demo.run(out_dir, max_iter=arguments.max_iter, overwrite=arguments.overwrite, say=say)
    print(Table(demo.HEADER, rows))
    print("\nOf several starts, the one with the lowest objective is shown. Seconds are those of its solver's steps,")
    print("without compilation and without evaluating the objective.")
    print("Figures:", ", ".join(str(out_dir / name) for name in demo.FIGURES))


# --- the parser ----------------------------------------------------------------------------------------------------


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Raise what `main` reports."""
        raise ValueError(f"{message}. See {self.prog} --help")


def text_or_number(text: str) -> str | float:
    """Return a number if text is one."""
    return float(text) if is_number(text) else text


def text_or_integer(text: str) -> str | int:
    """Return a whole number if text is one."""
    return int(text) if is_number(text) and float(text).is_integer() and text.lstrip("+-").isdigit() else text


def add_shared(parser: argparse.ArgumentParser, *, tol: float, max_iter: int) -> None:
    """Add the options of every command that fits."""
    add = parser.add_argument
    add("input", metavar="INPUT", help=f"a data set ({', '.join(DATASETS)}), or a file: {', '.join(READERS)}")
    default = "H's if --H is used, else as many as features"
    add(
        "-k",
        "--n-components",
        type=text_or_integer,
        default="auto",
        metavar="K",
        help=f"components; default: auto, {default}",
    )
    losses = ", ".join(validation.BETA)
    add(
        "--beta-loss",
        type=text_or_number,
        default="frobenius",
        metavar="LOSS",
        help=f"{losses} or a number; default: frobenius",
    )
    add("--init", default="auto", metavar="NAME", help=f"{', '.join(validation.INITS)}; default: auto")
    add("--W", metavar="FILE", help="where W starts, with --init custom")
    add("--H", metavar="FILE", help="where H starts, with --init custom; the H to keep, with --no-update-H")
    add("--tol", type=float, default=tol, metavar="T", help=f"tolerance of the stopping rule; default: {tol:g}")
    add("--stopping", default="kkt", metavar="RULE", help="kkt or scikit-learn: when to stop; default: kkt")
    add("--max-iter", type=int, default=max_iter, metavar="N", help=f"most iterations; default: {max_iter}")
    add("--max-time", type=float, metavar="S", help="seconds of solver steps, at most; default: no limit")
    add("--alpha-W", type=float, default=0.0, metavar="A", help="strength of the penalty on W; default: 0")
    add("--alpha-H", type=text_or_number, default="same", metavar="A", help="that on H; default: same, that on W")
    add("--l1-ratio", type=float, default=0.0, metavar="R", help="how much of the penalties is L1; default: 0")
    add("--random-state", type=int, metavar="SEED", help="default: drawn, and shown in the summary")
    add("--shuffle", action="store_true", help="renew components in random order")
    add("--n-threads", type=int, metavar="N", help="threads of the kernels; default: all")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of what a fit shows and writes."""
    add = parser.add_argument
    add(
        "--trace", type=int, nargs="?", const=True, default=False, metavar="N",
        help="record the objective of every iteration, or of every N: shown, and part of --out",
    )  # fmt: skip
    add("--out", metavar="FILE.npz", help="write W, H and how they were made: a model")
    add("--overwrite", action="store_true", help="replace an existing --out")
    progress = parser.add_mutually_exclusive_group()
    progress.add_argument("-v", "--verbose", action="store_true", help="show progress also if this is not a terminal")
    progress.add_argument("-q", "--quiet", action="store_true", help="show neither progress nor a summary")


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="nmf-numba", description=nmf_numba.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nmf-numba {nmf_numba.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="factorize a matrix, X = W H", allow_abbrev=False)
    fit.set_defaults(command=run_fit)
    add_shared(fit, tol=DEFAULT.tol, max_iter=DEFAULT.max_iter)
    add = fit.add_argument
    add("--solver", default="cd", metavar="NAME", help=f"{' or '.join(SOLVERS)}; default: cd")
    add("--no-update-H", dest="update_H", action="store_false", help="keep H and find W")
    add("--engine", default="numba", metavar="NAME", help=f"{' or '.join(validation.ENGINES)}; default: numba")
    add_output(fit)

    transform = commands.add_parser("transform", help="find the W of a matrix for a model's H", allow_abbrev=False)
    transform.set_defaults(command=run_transform)
    add = transform.add_argument
    add("model", metavar="MODEL", help="what fit --out has written; the loss, penalties and solver are the model's")
    add("input", metavar="INPUT", help="as for fit; it must have as many features as the model")
    add("--tol", type=float, metavar="T", help="tolerance of the stopping rule; default: the model's")
    add("--max-iter", type=int, metavar="N", help="most iterations; default: the model's")
    add("--max-time", type=float, metavar="S", help="seconds of solver steps, at most; default: the model's")
    add("--n-threads", type=int, metavar="N", help="threads of the kernels; default: the model's")
    add_output(transform)

    compare = commands.add_parser("compare", help="several solvers on one matrix, from one start", allow_abbrev=False)
    compare.set_defaults(command=run_compare)
    add_shared(compare, tol=0.0, max_iter=200)
    add = compare.add_argument
    names = ",".join(SOLVERS)
    add("--solvers", default=names, metavar="NAMES", help=f"separated by commas; default: {names}")
    add("--engines", default="numba", metavar="NAMES", help="numba, reference, scikit-learn; default: numba")
    add("--x", default="seconds", metavar="NAME", help="the figure's horizontal axis: seconds (default) or iteration")
    add("--gap", action="store_true", help="draw the gap to the best objective found, not the objective")
    add(
        "--figure", metavar="FILE", help=f"where to draw ({', '.join(FIGURES)}); default: compare.png, or compare-2.png"
    )
    add("--overwrite", action="store_true", help="replace an existing --figure")

    warmup = commands.add_parser("warmup", help="compile all kernels now, for all later fits", allow_abbrev=False)
    warmup.set_defaults(command=run_warmup)

    solvers = commands.add_parser("solvers", help="what each solver supports", allow_abbrev=False)
    solvers.set_defaults(command=print_solvers)

    demo = commands.add_parser("demo", help="factorize two data sets and draw figures", allow_abbrev=False)
    demo.set_defaults(command=run_demo)
    demo.add_argument(
        "--out-dir", metavar="FOLDER", help="where figures go; default: demo, or if that has them, demo-2"
    )
    demo.add_argument("--overwrite", action="store_true", help="replace existing figures")
    demo.add_argument("--max-iter", type=int, default=500, metavar="N", help="most iterations; default: 500")
    return parser


# --- main ----------------------------------------------------------------------------------------------------------


def say(message: str) -> None:
    """Print a line about progress or trouble."""
    print(message, file=sys.stderr, flush=True)


def show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    """Print a warning in one line, without the source it comes from."""
    say(f"nmf-numba: warning: {one_line(message)}")


def one_line(message: object) -> str:
    """Return a message without line breaks."""
    return " ".join(str(message).split())


def interrupted(error: BaseException | None) -> bool:
    """Return whether Ctrl-C is what an error comes from, directly or not."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None


def settle_output() -> None:
    """Write what is left, or drop it if nobody reads any more, so that Python does not complain at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status: 0, or 2 after an error, or 130 after Ctrl-C."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name may have characters that can't be shown
    try:
        with warnings.catch_warnings():
            warnings.showwarning = show_warning
            if not sys.warnoptions:
                for category in (UserWarning, RuntimeWarning, FutureWarning):
                    warnings.simplefilter("once", category)
            arguments = make_parser().parse_args(argv)
            arguments.command(arguments)
        print(end="", flush=True)
        status, problem = OK, ""
    except SystemExit as stop:  # --help and --version
        status, problem = int(stop.code or 0), ""
    except KeyboardInterrupt:
        status, problem = INTERRUPTED, "nmf-numba: interrupted"
    except SystemError as error:  # Ctrl-C in a compiled function
        if not interrupted(error):
            raise
        status, problem = INTERRUPTED, "nmf-numba: interrupted"
    except BrokenPipeError:
        status, problem = BROKEN_PIPE, ""
    except MemoryError as error:
        status, problem = ERROR, f"nmf-numba: error: not enough memory. {error}"
    except OSError as error:
        text = error.strerror or error
        status, problem = ERROR, f"nmf-numba: error: {f'{error.filename}: ' if error.filename else ''}{text}"
    except (ValueError, TypeError, ImportError, Warning) as error:
        status, problem = ERROR, f"nmf-numba: error: {error}"
    if problem:  # only now: the fit that failed is gone, and its progress bar closed
        say(one_line(problem))
    settle_output()
    return status


if __name__ == "__main__":
    sys.exit(main())
