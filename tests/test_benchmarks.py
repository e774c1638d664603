"""The benchmarks run, and both sides reach the same factors. No times are asserted."""

import csv

from benchmarks.__main__ import main
from benchmarks.cases import CASES


def test_quick_mode(tmp_path, capsys):
    assert main(["--quick", "digits", "small csr", "--csv", str(tmp_path / "speed.csv")]) == 0
    with (tmp_path / "speed.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == [c.name for c in CASES if "digits" in c.name or "small csr" in c.name]
    assert all(float(row["difference"]) < 1e-9 for row in rows)
    assert len(capsys.readouterr().out.splitlines()) == 3 + len(rows)
