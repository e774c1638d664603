"""`python -m benchmarks`: speed, memory, start-up and growth, beside scikit-learn. Without a part: all of them."""

import argparse
import sys
from pathlib import Path

from benchmarks import convergence, denormals, estimators, growth, mapped, memory, missing, speed, startup, trace
from benchmarks.options import make_options
from benchmarks.report import header, line, write_csv, write_figure, write_table

PARTS = {
    "speed": speed,
    "convergence": convergence,
    "missing": missing,
    "estimators": estimators,
    "trace": trace,
    "memory": memory,
    "mapped": mapped,
    "startup": startup,
    "growth": growth,
    "denormals": denormals,
}


def run(name, options, out):
    """Print a part's table as it comes, and write it and its figure."""
    part, rows = PARTS[name], []
    print(f"\n{name}: {part.TITLE}\n")
    for row in part.rows(options):
        if not rows:
            print(header(part.COLUMNS))
        rows.append(row)
        print(line(row, part.COLUMNS), flush=True)
    if out is not None and rows:
        write_csv(out / f"{name}.csv", rows)
        if hasattr(part, "figure"):
            write_figure(out / f"{name}.png", part.figure(rows))
    return rows


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; default: all")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEXT", help="only cases whose name contains one")
    parser.add_argument(
        "--solvers", nargs="+", default=[], metavar="NAME", help="convergence, missing: only these, and auto"
    )
    parser.add_argument("--quick", action="store_true", help="small data, one turn: shows that it runs, not how fast")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="turns; medians are shown (5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], metavar="N", help="numbers of threads (1 2)")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="write the table of the last part as Markdown")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="write tables (CSV) and figures (PNG) there")
    arguments = parser.parse_args(argv)
    for name in arguments.parts:
        if name not in PARTS:
            parser.error(f"PART must be one of {', '.join(PARTS)}. Found {name!r}.")

    options = make_options(
        quick=arguments.quick,
        rounds=arguments.rounds,
        threads=arguments.threads,
        only=arguments.only,
        solvers=arguments.solvers,
    )
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    if options.quick:
        print("Quick: small data and one turn. The times say nothing.")
    for name in arguments.parts or PARTS:
        rows = run(name, options, arguments.out)
        if arguments.write is not None and rows:
            given = " ".join(["python -m benchmarks", *(sys.argv[1:] if argv is None else argv)])
            command = given.replace(f" --out {arguments.out}", "")  # a folder of this machine
            write_table(arguments.write, rows, getattr(PARTS[name], "TABLE", PARTS[name].COLUMNS), command)
    return 0


if __name__ == "__main__":
    sys.exit(main())
