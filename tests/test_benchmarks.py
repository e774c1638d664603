"""The benchmarks run, and both sides reach the same factors. No times are asserted."""

import csv
import sys

import pytest

from benchmarks.__main__ import PARTS, main
from benchmarks.cases import CASES


def read(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("part", PARTS)
def test_quick_mode(part, tmp_path, capsys):
    assert main([part, "--quick", "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    if "Left out" in out:
        assert sys.platform != "linux"
        return
    rows = read(tmp_path / f"{part}.csv")
    assert len([line for line in out.splitlines() if line.startswith("|")]) == 2 + len(rows)
    assert all(float(row["difference"]) < 1e-3 for row in rows if "difference" in row)
    assert {path.name for path in tmp_path.iterdir()} <= {f"{part}.csv", f"{part}.png"}
    assert (tmp_path / f"{part}.png").exists() == hasattr(PARTS[part], "figure")


def test_cases_are_chosen_by_name(tmp_path):
    assert main(["speed", "--quick", "--only", "digits", "small csr", "--threads", "1", "--out", str(tmp_path)]) == 0
    chosen = [case.name for case in CASES if "digits" in case.name or "small csr" in case.name]
    assert [row["case"] for row in read(tmp_path / "speed.csv")] == chosen


def test_unknown_part(capsys):
    with pytest.raises(SystemExit):
        main(["sped"])
    assert "Found 'sped'" in capsys.readouterr().err
