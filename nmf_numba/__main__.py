"""The command line: `nmf-numba fit`, `transform`, `compare`, `solvers`, `warmup` and `demo`.

What the user can put right is said in one line on standard error, with exit status 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from scipy import sparse

import nmf_numba
from nmf_numba import frames, model, validation
from nmf_numba.comparison import SKLEARN
from nmf_numba.datasets import DATASETS
from nmf_numba.files import check_output, free_path, write_csv, write_file
from nmf_numba.frames import Input
from nmf_numba.inputs import SUFFIXES, check_input, load_input, read_factor, read_input
from nmf_numba.names import first_other
from nmf_numba.options import AUTO, DEFAULT, Options
from nmf_numba.plotting.convergence import X_LABELS, Y_AXES
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS
from nmf_numba.solvers.solver import Solver
from nmf_numba.table import Table, is_number

OK, ERROR, INTERRUPTED, BROKEN_PIPE = 0, 2, 130, 141
FIGURES = (".png", ".svg", ".pdf")
SHARED = (  # parameters of every command that fits
    "n_components", "init", "beta_loss", "tol", "stopping", "max_iter", "max_time", "alpha_W", "alpha_H", "l1_ratio",
    "random_state", "shuffle", "n_threads", "missing",
)  # fmt: skip

# --- what is checked before any work -------------------------------------------------------------------------------


def check_options(arguments: argparse.Namespace, **known: Any) -> None:
    """Refuse parameters out of range and files that can't be read, before anything is read."""
    options = vars(arguments) | known
    Options.of(options).checked()
    if options["n_components"] != "warn":
        validation.check_n_components(options["n_components"], 1, given=None)
    check_input(arguments.input, "X", table_options(arguments))
    update_H = options.get("update_H", True)
    needed = ("W", "H") if update_H and options["init"] == "custom" else () if update_H else ("H",)
    for name in needed:
        if name in options and options[name] is None:
            raise ValueError(f"--{name} is missing: --init custom needs --W and --H, and --no-update-H needs --H.")
    for name in ("W", "H"):
        if options.get(name) is not None:
            check_input(options[name], name)
    if options.get("weights") is not None:
        check_input(options["weights"], "weights")


def check_output_path(arguments: argparse.Namespace, path: str | None, option: str, suffixes: Sequence[str]) -> None:
    """Refuse an output that can't be written, must not be, or is what is read."""
    if path is None:
        return
    out = Path(path)
    if out.suffix not in suffixes:
        raise ValueError(f"{option} must end in {', '.join(suffixes)}. Found {path!r}.")
    check_output(out, overwrite=arguments.overwrite)
    for name, source in (("input", arguments.input), ("model", getattr(arguments, "model", ""))):
        if source not in (*DATASETS, "") and out.exists() and Path(source).exists() and out.samefile(source):
            raise ValueError(f"{option} is the {name}, {source}. Use another name.")


def table_options(arguments: argparse.Namespace) -> frames.Options:
    """Return how a table is to be read."""
    has_missing = arguments.missing == "nan"
    known = arguments.index_col, arguments.sep, arguments.decimal, arguments.header, arguments.drop
    return frames.Options(*known, has_missing)


# --- fit and transform ---------------------------------------------------------------------------------------------


def run_fit(arguments: argparse.Namespace) -> None:
    """Fit a matrix, print a summary and write the factors."""
    check_options(arguments)
    check_output_path(arguments, arguments.out, "--out", [".npz"])
    written = {} if arguments.out is None else {"W, H and how they were made": arguments.out}
    if arguments.out_csv is not None:
        written |= {name: f"{arguments.out_csv}-{name}.csv" for name in ("W", "H")}
        for name in ("W", "H"):
            check_output_path(arguments, written[name], "--out-csv", [".csv"])
    data, dtype = read_data(arguments)
    options = vars(arguments)
    parameters = {name: options[name] for name in (*SHARED, "update_H", "solver", "engine")}
    if parameters["random_state"] is None:  # draw it here, so that the fit can be done again
        parameters["random_state"] = int(np.random.default_rng().integers(2**32))
    start = {name: read_factor(options[name], name, dtype) for name in ("W", "H")}
    files = {f"{name}_file": options[name] for name in start}
    start["weights"] = read_weights(arguments, data)
    result = fit(arguments, data, parameters, start, files)
    if arguments.out is not None:
        result.save(arguments.out, overwrite=arguments.overwrite)
    if arguments.out_csv is not None:
        write_factors(result, written, overwrite=arguments.overwrite)
    nothing = "nothing: --out FILE.npz writes a model, --out-csv PREFIX writes tables"
    report(arguments, data, result, ", ".join(written.values()) or nothing)


def run_transform(arguments: argparse.Namespace) -> None:
    """Find the W of a matrix for the H of a model, and write it."""
    known = model.read(arguments.model)
    parameters = {
        name: known["parameters"][name] for name in (*SHARED, "solver", "engine") if name in known["parameters"]
    }
    parameters |= {"n_components": "auto", "init": None, "update_H": False}
    given = {name: getattr(arguments, name) for name in ("tol", "max_iter", "max_time", "n_threads")}
    parameters |= {name: value for name, value in given.items() if value is not None}
    arguments.missing = parameters.get("missing")
    check_options(arguments, **parameters)
    suffixes = [".npy", ".npz", ".csv"]
    if arguments.out is None:
        is_table = frames.ending(arguments.input) in frames.SUFFIXES
        stem = Path(re.sub(r"\.gz$", "", Path(arguments.input).name)).stem
        arguments.out = str(free_path(Path(f"{stem}-W.{'csv' if is_table else 'npy'}")))
    check_output_path(arguments, arguments.out, "--out", suffixes)
    H, names = known["H"], known["column_names"]
    data, dtype = read_data(arguments, names)
    if data.X.ndim == 2 and data.X.shape[1] != H.shape[1]:
        raise ValueError(f"{arguments.input} has {data.X.shape[1]} columns, but the model has {H.shape[1]} features.")
    if names is not None and data.column_names is None:
        say_warning(f"{arguments.input} has no names of columns: they are taken in the model's order.")
    start = {"W": None, "H": H.astype(dtype, copy=False), "weights": read_weights(arguments, data)}
    result = fit(arguments, data, parameters, start, {"H_file": arguments.model})
    out = Path(arguments.out)
    if out.suffix == ".npz":
        result.save(out, overwrite=arguments.overwrite)
    elif out.suffix == ".csv":
        write_factors(result, {"W": arguments.out}, overwrite=arguments.overwrite)
    else:
        write_file(out, functools.partial(np.save, arr=result.W), overwrite=arguments.overwrite)
    what = "" if out.suffix == ".npz" else "W: "
    report(arguments, data, result, f"{what}{arguments.out}")


def read_data(arguments: argparse.Namespace, wanted: list[str] | None = None) -> tuple[Input, Any]:
    """Return the input, and the dtype that it is fitted in."""
    data = load_input(arguments.input, table_options(arguments), wanted)
    return data, np.float32 if data.X.dtype.kind == "f" and data.X.dtype.itemsize == 4 else np.float64


def fit(
    arguments: argparse.Namespace, data: Input, parameters: dict[str, Any], start: dict[str, Any], files: dict[str, Any]
) -> nmf_numba.Factorization:
    """Return a fit with the names of its input, how it was made, and how long it took."""
    verbose = arguments.verbose or (not arguments.quiet and sys.stderr is not None and sys.stderr.isatty())
    before = time.perf_counter()
    result = nmf_numba.fit(data.X, **start, **parameters, verbose=verbose, trace=arguments.trace)
    made = {"input": arguments.input, "seconds": time.perf_counter() - before} | files
    made |= {"n_components": len(result.H), "solver": result.parameters["solver"]}
    return dataclasses.replace(
        result,
        parameters=result.parameters | parameters | made,
        row_names=data.row_names,
        column_names=data.column_names,
    )


def read_weights(arguments: argparse.Namespace, data: Input) -> Any:
    """Return the matrix of --weights, dense or sparse, or None; a table is read as the input is."""
    if arguments.weights is None:
        return None
    is_table = frames.ending(arguments.weights) in frames.SUFFIXES
    options = dataclasses.replace(table_options(arguments), has_missing=False) if is_table else None
    weights = read_input(arguments.weights, "weights", options)
    for what in ("row", "column"):
        names, own = (getattr(of, f"{what}_names") for of in (data, weights))
        first = first_other(own, names)
        if first is not None:
            raise ValueError(
                f"{arguments.weights} is not named as {arguments.input} is: its {what} {first + 1} is {own[first]!r}, "
                f"and {names[first]!r} there. Bring it into the same order."
            )
    return weights.X


def write_factors(result: nmf_numba.Factorization, paths: dict[str, str], *, overwrite: bool) -> None:
    """Write W, H or both as tables, with names."""
    numbers = range(1, len(result.H) + 1)
    labels = [f"component {number}" for number in numbers]
    features = result.column_names or [f"feature {number}" for number in range(1, result.H.shape[1] + 1)]
    if "W" in paths:
        write_csv(Path(paths["W"]), result.W, labels, result.row_names, "row", overwrite=overwrite)
    if "H" in paths:
        write_csv(Path(paths["H"]), result.H, features, labels, "component", overwrite=overwrite)


def report(arguments: argparse.Namespace, data: Input, result: nmf_numba.Factorization, written: str) -> None:
    """Print a summary of a fit."""
    if arguments.quiet:
        return
    X, parameters, terms = data.X, result.parameters, result.objective
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
        "names": data.note,
        "solver": f"{solver} ({SOLVERS[solver].title}), engine {engine}",
        "loss": f"{loss_name(beta)}, beta = {beta:g}",
        "components": result.W.shape[1],
        "iterations": f"{result.n_iter}; {reason[result.stop_reason]}",
        "objective": f"{terms.total:.6g}" + (f" = {' + '.join(parts)}" if len(parts) > 1 else ""),
        "rel. error": f"{result.relative_error:.4g}, Frobenius norm of X - WH divided by that of X",
        "seconds": f"{parameters['seconds']:.2f}, compilation included",
        "random state": parameters.get("random_state"),
        "written to": written,
    }
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
    check_options(arguments)
    solvers, engines = arguments.solvers.split(","), arguments.engines.split(",")
    for solver in solvers:
        if solver in ("sklearn", SKLEARN):
            raise ValueError(f"scikit-learn is no solver of its own. Pass --engines {SKLEARN}, which runs cd and mu.")
        validation.check_choice("--solvers", solver, SOLVERS)
    for engine in engines:
        validation.check_choice("--engines", engine, (*validation.ENGINES, SKLEARN))
    if SKLEARN in engines:
        validation.check_installed("sklearn", f"--engines {SKLEARN}")
    figure = free_path(Path("compare.png")) if arguments.figure is None else Path(arguments.figure)
    check_output_path(arguments, str(figure), "--figure", FIGURES)
    data, dtype = read_data(arguments)
    start = {name: read_factor(getattr(arguments, name), name, dtype) for name in ("W", "H")}
    start["weights"] = read_weights(arguments, data)
    parameters = {name: getattr(arguments, name) for name in SHARED}
    comparison = nmf_numba.compare(data.X, **start, **parameters, solvers=solvers, engines=engines)
    print(comparison.table())
    print("\nTo 10 %: until the objective is at most 1.1 times the best that any run has found. Seconds are those of")
    print("solver steps, without compilation and without evaluating the objective.")
    if data.note != "none":
        print("Names:", data.note)
    ax = comparison.plot(x=arguments.x, y=arguments.y)
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
    print(f"Compiling {len(work)} sets of kernels takes some minutes, once.", flush=True)
    with threads(), np.errstate(all="ignore"), tqdm(work, unit="kernel", disable=not is_terminal) as bar:
        for number, (name, task) in enumerate(bar, start=1):
            bar.set_postfix_str(name)
            if not is_terminal:
                print(f"{number}/{len(work)}  {name}", flush=True)
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
    """Says what is wrong in one line, and what may have been meant."""

    commands: Mapping[str, argparse.ArgumentParser] = {}  # of the parser of all commands
    given: Sequence[str] = ()  # what it is to parse

    def error(self, message: str) -> NoReturn:
        """Raise what `main` reports."""
        command = next((self.commands[word] for word in self.given if word in self.commands), self)
        known = [*self.commands, *re.findall(r"--[\w-]+", command.format_help())]
        wrong = re.search(r"unrecognized arguments: (--[\w-]+)|invalid choice: '(\w+)'", message)
        hint = validation.did_you_mean(wrong[1] or wrong[2], known) if wrong else ""
        raise ValueError(f"{message}.{hint} See {self.prog} --help")


def text_or_number(text: str) -> str | float:
    """Return a number if text is one."""
    return float(text) if is_number(text) else text


def text_or_integer(text: str) -> str | int:
    """Return a whole number if text is one."""
    return int(text) if is_number(text) and float(text).is_integer() and text.lstrip("+-").isdigit() else text


def add_shared(parser: argparse.ArgumentParser, *, tol: float, max_iter: int) -> None:
    """Add the options of every command that fits."""
    add = parser.add_argument
    add("input", metavar="INPUT", help=f"a data set ({', '.join(DATASETS)}), or a file: {', '.join(SUFFIXES)}")
    default = "H's if --H is used, else as many as features, with a warning"
    add(
        "-k",
        "--n-components",
        type=text_or_integer,
        default="warn",
        metavar="K",
        help=f"components; default: {default}",
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
    add("--shuffle", action="store_true", help="update components in random order")
    add("--n-threads", type=int, metavar="N", help="threads of the kernels; default: all, or one if the input is small")
    add(
        "--missing",
        type=lambda text: text.replace("-", " "),
        metavar="WHAT",
        help="nan, or not-stored of a sparse matrix: what does not count; default: NaN is an error, not stored is zero",
    )
    add("--weights", metavar="FILE", help="how much each entry of the input counts, or each row; default: all alike")


def add_table(parser: argparse.ArgumentParser) -> None:
    """Add the options of how a table is read."""
    table = parser.add_argument_group(
        "tables", f"How {', '.join(frames.SUFFIXES)} are read. A column is given by its name, or its number from 1."
    )
    add = table.add_argument
    add(
        "--index-col", metavar="COLUMN", help="the column that names the rows, or none; default: a first column of text"
    )
    add("--sep", metavar="C", help="between fields: one character, tab or space; default: by the end of the name")
    add("--decimal", default=".", metavar="C", help="decimal point or comma; default: .")
    add("--header", choices=("yes", "no"), help="whether the first line has names of columns; default: if it is text")
    add("--drop", action="append", default=[], metavar="COLUMN", help="leave a column out; may be given several times")


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the options of what a fit shows and writes."""
    add = parser.add_argument
    add(
        "--trace", type=int, nargs="?", const=True, default=False, metavar="N",
        help="record the objective of every iteration, or of every N: shown, and part of --out",
    )  # fmt: skip
    add("--overwrite", action="store_true", help="replace files that exist")
    progress = parser.add_mutually_exclusive_group()
    progress.add_argument("-v", "--verbose", action="store_true", help="show progress also if this is not a terminal")
    progress.add_argument("-q", "--quiet", action="store_true", help="show neither progress nor a summary")


def make_parser() -> Parser:
    """Return the parser of all commands."""
    parser = Parser(prog="nmf-numba", description=nmf_numba.__doc__, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"nmf-numba {nmf_numba.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    parser.commands = commands.choices

    fit = commands.add_parser("fit", help="factorize a matrix, X = W H", allow_abbrev=False)
    fit.set_defaults(command=run_fit)
    add_shared(fit, tol=DEFAULT.tol, max_iter=DEFAULT.max_iter)
    add = fit.add_argument
    add("--solver", default=AUTO, metavar="NAME", help=f"{', '.join((AUTO, *SOLVERS))}; default: {AUTO}")
    add("--no-update-H", dest="update_H", action="store_false", help="keep H and find W")
    add("--engine", default="numba", metavar="NAME", help=f"{' or '.join(validation.ENGINES)}; default: numba")
    add("--out", metavar="FILE.npz", help="write W, H and how they were made: a model")
    add("--out-csv", metavar="PREFIX", help="write tables with names: PREFIX-W.csv and PREFIX-H.csv")
    add_output(fit)
    add_table(fit)

    transform = commands.add_parser("transform", help="find the W of a matrix for a model's H", allow_abbrev=False)
    transform.set_defaults(command=run_transform)
    add = transform.add_argument
    add("model", metavar="MODEL", help="what fit --out has written; the loss, penalties and solver are the model's")
    add("input", metavar="INPUT", help="as for fit; columns with names are matched to the model's")
    add("--tol", type=float, metavar="T", help="tolerance of the stopping rule; default: the model's")
    add("--max-iter", type=int, metavar="N", help="most iterations; default: the model's")
    add("--max-time", type=float, metavar="S", help="seconds of solver steps, at most; default: the model's")
    add("--n-threads", type=int, metavar="N", help="threads of the kernels; default: the model's")
    add("--weights", metavar="FILE", help="how much each entry of the input counts, or each row; default: all alike")
    add(
        "--out", metavar="FILE",
        help="W alone (.npy, .csv), or with H and how it was made (.npz); default: INPUT-W.npy, or for a table .csv",
    )  # fmt: skip
    add_output(transform)
    add_table(transform)

    compare = commands.add_parser("compare", help="several solvers on one matrix, from one start", allow_abbrev=False)
    compare.set_defaults(command=run_compare)
    add_shared(compare, tol=0.0, max_iter=200)
    add = compare.add_argument
    names = ",".join(SOLVERS)
    add("--solvers", default=names, metavar="NAMES", help=f"separated by commas; default: {names}")
    add("--engines", default="numba", metavar="NAMES", help="numba, reference, scikit-learn; default: numba")
    add("--x", default="seconds", choices=X_LABELS, help="the figure's horizontal axis; default: seconds")
    add("--y", default="objective", choices=Y_AXES, help="what it shows; default: objective")
    add(
        "--figure", metavar="FILE", help=f"where to draw ({', '.join(FIGURES)}); default: compare.png, or compare-2.png"
    )
    add("--overwrite", action="store_true", help="replace an existing --figure")
    add_table(compare)

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
    """Print a line about progress or trouble, if there is where to."""
    if sys.stderr is not None:
        print(message, file=sys.stderr, flush=True)


def say_warning(message: str) -> None:
    """Warn of what the user may not have meant."""
    warnings.warn(message, UserWarning, stacklevel=2)


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
            parser = make_parser()
            parser.given = sys.argv[1:] if argv is None else argv
            arguments = parser.parse_args(argv)
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
