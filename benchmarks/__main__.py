"""`python -m benchmarks`: an iteration's time beside scikit-learn's, in turns in one process, with bars and floors."""

import argparse
import csv
import sys
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.speed import measure

COLUMNS = (
    ("case", "case", "{:<40}"),
    ("threads", "threads", "{:>7}"),
    ("ours_ms", "ms", "{:>8.2f}"),
    ("sklearn_ms", "sklearn", "{:>8.2f}"),
    ("ratio", "ratio", "{:>6.2f}"),
    ("bar", "bar", "{:>5.1f}"),
    ("floor_ms", "floor", "{:>8.2f}"),
    ("of_floor", "of floor", "{:>8.2f}"),
)


def line(values, formats):
    return "  ".join(form.format(value) for form, value in zip(formats, values, strict=True))


def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("cases", nargs="*", help="only cases whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="small data, one round: shows that it runs, not how fast")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each side; the medians are shown (5)")
    parser.add_argument("--threads", type=int, nargs="+", default=[2], help="numbers of threads (2)")
    parser.add_argument("--csv", type=Path, help="write the table here too")
    arguments = parser.parse_args(argv)

    options = {"shrink": 10, "rounds": 1, "seconds": 0.05} if arguments.quick else {"rounds": arguments.rounds}
    headers = [form.split(".")[0].rstrip("f}") + "}" if "." in form else form for *_, form in COLUMNS]
    print("Milliseconds per iteration. ratio: times faster than scikit-learn; bar: what it must be at least.")
    print(
        "floor: the bare products of an iteration in BLAS, one after the other; for a CSR, two passes over its entries."
    )
    print(line([title for _, title, _ in COLUMNS], headers))
    rows = []
    for case in CASES:
        if arguments.cases and not any(part in case.name for part in arguments.cases):
            continue
        for n_threads in arguments.threads:
            row = measure(case, n_threads=n_threads, **options)
            rows.append(row)
            print(line([row[key] for key, *_ in COLUMNS], [form for *_, form in COLUMNS]), flush=True)
    if arguments.csv is not None:
        with arguments.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
