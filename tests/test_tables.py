"""Tables: what names rows and columns, what is refused, and that names reach the model and are matched by it."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nmf_numba import Factorization, frames
from nmf_numba.__main__ import main
from nmf_numba.frames import Options
from nmf_numba.inputs import load_input, read_factor

FIT = ("-k", "2", "--engine", "reference", "--random-state", "0", "--tol", "0", "--max-iter", "3")
GENES = ["TP53", "BRCA1", "MYC", "EGFR", "KRAS", "PTEN"]
SAMPLES = [f"S{number:02d}" for number in range(1, 9)]
COUNTS = pd.DataFrame(
    np.random.default_rng(0).poisson(5, (8, 6)), index=pd.Index(SAMPLES, name="sample"), columns=GENES
)
CUSTOMERS = pd.DataFrame({"CustomerID": [10023, 10007, 10311], "bread": [1, 0, 2], "milk": [3, 1, 0]})
YIELDS = pd.DataFrame({"year": [2019, 2020, 2020, 2021], "wheat": [0.5, 1, 2, 1], "rice": [1.0, 2, 2, 0]})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """What a command that must be refused says, which is one line."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    return err.removeprefix("nmf-numba: error: ").rstrip("\n")


# --- five tables -----------------------------------------------------------------------------------------------------


def otu_table() -> None:
    """A table as the BIOM tools write it: a comment, and a header that is one too."""
    COUNTS.to_csv("otu.tsv", sep="\t", index_label="#OTU ID")
    Path("otu.tsv").write_text("# Constructed from biom file\n" + Path("otu.tsv").read_text())


def excel_with_two_sheets() -> None:
    with pd.ExcelWriter("two.xlsx") as book:
        COUNTS.to_excel(book, sheet_name="counts")
        CUSTOMERS.to_excel(book, sheet_name="notes")


NAMED: dict[str, tuple[Callable[[], Any], Options]] = {
    "expression.csv": (lambda: COUNTS.to_csv("expression.csv"), Options()),
    "semicolons.csv": (lambda: COUNTS.to_csv("semicolons.csv", sep=";"), Options(sep=";")),
    "german.csv": (
        lambda: COUNTS.astype(float).to_csv("german.csv", sep=";", decimal=","),
        Options(sep=";", decimal=","),
    ),
    "quoted.csv": (
        lambda: COUNTS.astype(float).to_csv("quoted.csv", decimal=",", quoting=1),
        Options(sep=",", decimal=","),
    ),
    "otu.tsv": (otu_table, Options()),
    "counts.tsv.gz": (lambda: COUNTS.to_csv("counts.tsv.gz", sep="\t"), Options()),
    "tabs.txt": (lambda: COUNTS.to_csv("tabs.txt", sep="\t"), Options(sep="tab")),
    "spaces.txt": (lambda: Path("spaces.txt").write_text(COUNTS.to_string(index_names=False)), Options()),
    "expression.parquet": (lambda: COUNTS.to_parquet("expression.parquet"), Options()),
    "expression.xlsx": (lambda: COUNTS.to_excel("expression.xlsx"), Options()),
    "utf8.csv": (lambda: COUNTS.to_csv("utf8.csv", encoding="utf-8-sig"), Options()),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_table_with_ids_and_a_header_is_read_with_its_names(name: str) -> None:
    make, options = NAMED[name]
    make()
    found = load_input(name, options)
    np.testing.assert_array_equal(found.X, COUNTS.to_numpy())
    assert found.X.dtype == np.float64
    assert (found.row_names, found.column_names) == (SAMPLES, GENES)
    assert found.note.startswith("rows by column ")
    assert found.note.endswith(", columns by the header")


def test_other_sheets_are_pointed_out() -> None:
    excel_with_two_sheets()
    with pytest.warns(UserWarning, match=r"two\.xlsx: only the first sheet is read, 'counts'"):
        assert load_input("two.xlsx").column_names == GENES


def test_single_precision_is_kept() -> None:
    COUNTS.astype(np.float32).to_parquet("single.parquet")
    assert load_input("single.parquet").X.dtype == np.float32


def test_numbers_are_read_to_the_last_bit() -> None:
    X = np.random.default_rng(0).random((200, 5)) * 10.0 ** np.arange(-100, 150, 50)
    np.savetxt("x.csv", X, delimiter=",", fmt="%.17g")
    np.testing.assert_array_equal(load_input("x.csv").X, X)


def test_ids_stay_as_they_are_written() -> None:
    Path("x.csv").write_text("plate,a,b\n007,1,2\n010,3,4\n")
    assert load_input("x.csv", Options(index_col="plate")).row_names == ["007", "010"]
    assert load_input("x.csv", Options(index_col="1")).row_names == ["007", "010"]
    Path("na.csv").write_text("country,a\nNA,1\nDE,2\n")  # Namibia
    assert load_input("na.csv", Options(index_col="country")).row_names == ["NA", "DE"]


def test_a_header_of_R_lacks_the_name_of_the_ids() -> None:
    Path("x.txt").write_text('"a" "b"\n"r one" 1 2\n"r two" 3 4\n')
    found = load_input("x.txt")
    assert (found.row_names, found.column_names) == (["r one", "r two"], ["a", "b"])
    assert found.note == "rows by column 1, columns by the header"


def test_the_header_can_be_told() -> None:
    Path("x.csv").write_text("gene,2019,2020\nTP53,1,2\nMYC,3,4\n")
    found = load_input("x.csv", Options(header="yes"))
    assert (found.row_names, found.column_names) == (["TP53", "MYC"], ["2019", "2020"])
    found = load_input("x.csv", Options(header="no"))
    assert (found.row_names, found.column_names) == (["gene", "TP53", "MYC"], None)
    np.testing.assert_array_equal(found.X, [[2019, 2020], [1, 2], [3, 4]])


def test_a_table_that_pandas_wrote_without_thought_is_asked_about(capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame(np.ones((3, 3))).to_csv("x.csv")  # ",0,1,2"
    line = refusal(capsys, "fit", "x.csv", *FIT)
    assert "column 1 looks like an id" in line
    assert "Pass --index-col '' to take it as names of rows" in line
    assert load_input("x.csv", Options(index_col="")).column_names == ["0", "1", "2"]


# --- ids and years ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
@pytest.mark.parametrize(
    ("table", "column", "found"),
    [
        (CUSTOMERS, "CustomerID", "an id, which is no measurement: 10023, 10007, 10311, ..."),
        (YIELDS, "year", "years: 2019, 2020, 2020, ..."),
        (YIELDS.iloc[:, [1, 0, 2]], "year", "years: 2019, 2020, 2020, ..."),
        (CUSTOMERS.rename(columns={"CustomerID": "sample_id"}), "sample_id", "an id"),
        (CUSTOMERS.assign(CustomerID=[5, 6, 7]).rename(columns={"CustomerID": "a"}), "a", "an id"),
    ],
)
def test_an_id_or_a_year_is_not_factorized_without_a_word(
    capsys: pytest.CaptureFixture[str], table: pd.DataFrame, column: str, found: str, suffix: str
) -> None:
    name = f"x.{suffix}"
    {"csv": table.to_csv, "parquet": table.to_parquet, "xlsx": table.to_excel}[suffix](name, index=False)
    line = refusal(capsys, "fit", name, *FIT)
    assert f"column {column!r} looks like {found}" in line
    for option in (f"--index-col {column}", f"--drop {column}", "--index-col none"):
        assert option in line
    values = table[column].tolist()
    assert load_input(name, Options(index_col=column)).row_names == list(map(str, values))
    assert load_input(name, Options(drop=[column])).X.shape == (len(table), 2)
    kept = load_input(name, Options(index_col="none"))
    assert kept.row_names is None
    assert kept.X.shape == (len(table), 3)


def test_a_year_beside_the_ids_is_pointed_out() -> None:
    YIELDS.assign(field=["a", "b", "c", "d"]).to_csv("x.csv", index=False)
    with pytest.warns(UserWarning, match="column 'year' looks like years: .* factorized like the others; --drop"):
        assert load_input("x.csv", Options(index_col="field")).X.shape == (4, 3)


@pytest.mark.parametrize(
    "text", ["acid,b\n3,1\n5,2\n", "a,b\n3,1\n5,2\n", "id,b\n0.5,1\n0.25,2\n", "id,b\n2,1\n2,2\n", "1,5\n2,5\n"]
)
def test_measurements_are_not_taken_for_ids(text: str) -> None:
    Path("x.csv").write_text(text)
    assert load_input("x.csv").X.shape == (2, 2)


# --- what is no number -----------------------------------------------------------------------------------------------


def test_text_names_its_column_and_value(capsys: pytest.CaptureFixture[str]) -> None:
    table = COUNTS.astype(object)
    table.insert(2, "the region", ["1", *["south"] * 7])
    table.to_csv("x.csv")
    line = refusal(capsys, "fit", "x.csv", *FIT)
    assert "row 2 ('S02'), column 'the region', must be a number. Found 'south'." in line
    assert "--index-col 'the region'; --drop 'the region' leaves it out" in line
    assert main(["fit", "x.csv", *FIT, "--drop", "the region"]) == 0
    assert "x.csv, 8 x 6, dense" in capsys.readouterr().out


def test_a_first_column_of_text_and_numbers_is_not_taken_for_ids(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a,b\n1,2\nx,3\n")
    line = refusal(capsys, "fit", "x.csv", *FIT)
    assert "row 2, column 'a', must be a number. Found 'x'. If the column names the rows, pass --index-col a" in line
    assert load_input("x.csv", Options(index_col="a")).row_names == ["1", "x"]


def test_a_decimal_comma_is_recognised(capsys: pytest.CaptureFixture[str]) -> None:
    NAMED["german.csv"][0]()
    assert "Pass --sep ';' --decimal ','" in refusal(capsys, "fit", "german.csv", *FIT)
    assert "Pass --decimal ','" in refusal(capsys, "fit", "german.csv", *FIT, "--sep", ";")
    NAMED["quoted.csv"][0]()
    assert "Pass --sep ',' --decimal ','" in refusal(capsys, "fit", "quoted.csv", *FIT)
    Path("first.csv").write_text("a;b\n1,5;2\n2,5;3\n")
    assert "Pass --decimal ','" in refusal(capsys, "fit", "first.csv", *FIT, "--sep", ";")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
def test_a_missing_value_names_its_row_and_column(capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    table = COUNTS.astype(float)
    table.iloc[2, 3] = np.nan
    {"csv": table.to_csv, "parquet": table.to_parquet, "xlsx": table.to_excel}[suffix](f"x.{suffix}")
    line = refusal(capsys, "fit", f"x.{suffix}", *FIT)
    assert "row 3 ('S03'), column 'EGFR', has no value. Fill it in, or remove its row" in line


def test_dates_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    COUNTS.assign(day=pd.Timestamp("2024-05-01")).to_parquet("x.parquet")
    line = refusal(capsys, "fit", "x.parquet", *FIT)
    assert "row 1 ('S01'), column 'day', must be a number. Found '2024-05-01" in line


def test_a_file_that_is_not_utf8_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_bytes(b"\xe9,\xe8\n1,2\n")
    assert refusal(capsys, "fit", "x.csv", *FIT).endswith("Save it as UTF-8.")


def test_damaged_files_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    COUNTS.to_parquet("x.parquet")
    COUNTS.to_excel("x.xlsx")
    Path("x.csv.gz").write_bytes(gzip.compress(COUNTS.to_csv().encode()))
    rng = np.random.default_rng(0)
    for name in ("x.parquet", "x.xlsx", "x.csv.gz"):
        whole = Path(name).read_bytes()
        for trial in range(20):
            damaged = bytearray(whole)
            if trial % 2:
                damaged = damaged[: rng.integers(len(whole))]
            else:
                damaged[rng.integers(len(whole))] ^= 0xFF
            Path(name).write_bytes(damaged)
            status = main(["fit", name, *FIT])
            assert (status, capsys.readouterr().err.count("nmf-numba: error: ")) in ((0, 0), (2, 1))


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("x.csv --sep ab", "--sep must be one character such as ';', or 'tab' or 'space'. Found 'ab'."),
        ("x.csv --sep 5", "--sep must be one character"),
        ("x.csv --decimal ;", "--decimal must be '.' or ','. Found ';'."),
        ("x.csv --decimal ,", "fields and decimals can't both be marked by ','. Pass --sep too, such as --sep ';'."),
        ("x.csv --header maybe", "argument --header: invalid choice: 'maybe'"),
        ("x.csv --index-col none --drop z", "--drop must be one of 'a', 'b', or a number from 1 to 2. Found 'z'"),
        ("x.csv --index-col z", "--index-col must be one of 'a', 'b', or a number from 1 to 2. Found 'z'"),
        ("x.csv --index-col 3", "--index-col must be one of 'a', 'b', or a number from 1 to 2. Found '3'"),
        ("x.parquet --sep ;", "--sep and --decimal are for .csv, .tsv, .txt. Found 'x.parquet'."),
        ("x.parquet --header no", "--header is for .csv, .tsv, .txt, .xlsx, .xlsm. Found 'x.parquet'."),
        (
            "x.npy --index-col 1",
            "--index-col and --drop are for .csv, .tsv, .txt, .parquet, .xlsx, .xlsm. Found 'x.npy'",
        ),
        ("digits --drop 1", "--index-col and --drop are for"),
    ],
)
def test_options_are_checked(capsys: pytest.CaptureFixture[str], argv: str, message: str) -> None:
    Path("x.csv").write_text("a,b\n1,2\n")
    np.save("x.npy", np.ones((2, 2)))
    assert message in refusal(capsys, "fit", *argv.split(), *FIT)


@pytest.mark.parametrize(
    ("name", "missing", "said"),
    [("x.csv", "pandas", "pandas"), ("x.parquet", "pyarrow", "pyarrow"), ("x.xlsx", "openpyxl", "openpyxl")],
)
def test_what_is_not_installed_is_named(name: str, missing: str, said: str) -> None:
    Path(name).touch()
    program = f"import sys; sys.modules[{missing!r}] = None; from nmf_numba.__main__ import main; main()"
    command = [sys.executable, "-c", program, "fit", name, "-k", "2"]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert process.stderr == (
        f"nmf-numba: error: {name} can't be read: a table needs {said}, which is not installed. "
        'pip install "nmf-numba[tables]", or in a copy of the repository pip install ".[tables]"\n'
    )


def test_pandas_is_imported_for_tables_only() -> None:
    np.save("x.npy", np.ones((2, 2)))
    program = "import sys; from nmf_numba.__main__ import main; main(); assert 'pandas' not in sys.modules"
    command = [sys.executable, "-c", program, "fit", "x.npy", *FIT]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (process.returncode, process.stderr) == (0, "")


# --- the model knows names -------------------------------------------------------------------------------------------


def fit_model(capsys: pytest.CaptureFixture[str]) -> Factorization:
    """Fit the counts; the model is model.npz."""
    COUNTS.to_csv("counts.csv")
    assert main(["fit", "counts.csv", *FIT, "--out", "model.npz"]) == 0
    capsys.readouterr()
    return Factorization.load("model.npz")


def test_names_are_in_the_model_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    model = fit_model(capsys)
    assert (model.row_names, model.column_names) == (SAMPLES, GENES)
    main(["fit", "counts.csv", *FIT])
    out = capsys.readouterr().out
    assert "names         rows by column 'sample', columns by the header\n" in out
    assert "written to    nothing: --out FILE.npz writes a model, --out-csv PREFIX writes tables\n" in out


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
def test_transform_matches_columns_by_name(capsys: pytest.CaptureFixture[str], suffix: str) -> None:
    expected = fit_model(capsys).transform(COUNTS.astype(float).to_numpy())
    table = COUNTS.iloc[:, ::-1].copy()
    table.insert(1, "GAPDH", 7)
    table.insert(2, "region", "north")
    {"csv": table.to_csv, "parquet": table.to_parquet, "xlsx": table.to_excel}[suffix](f"new.{suffix}")
    assert main(["transform", "model.npz", f"new.{suffix}"]) == 0
    out, err = capsys.readouterr()
    assert "'GAPDH', 'region'" in err
    assert "written to    W: new-W.csv\n" in out
    found = pd.read_csv("new-W.csv", index_col=0)
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-12)
    assert (found.index.tolist(), found.columns.tolist()) == (SAMPLES, ["component 1", "component 2"])


def test_transform_refuses_a_table_that_lacks_columns(capsys: pytest.CaptureFixture[str]) -> None:
    fit_model(capsys)
    COUNTS.drop(columns=["MYC", "PTEN"]).to_csv("new.csv")
    assert "X lacks 2 of the 6 columns of the fit: 'MYC', 'PTEN'." in refusal(
        capsys, "transform", "model.npz", "new.csv"
    )
    np.save("new.npy", np.ones((2, 5)))
    assert refusal(capsys, "transform", "model.npz", "new.npy") == (
        "new.npy has 5 columns, but the model has 6 features."
    )


def test_an_array_is_matched_by_position_and_that_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    model = fit_model(capsys)
    X = COUNTS.to_numpy()[:3]
    np.save("new.npy", X)
    assert main(["transform", "model.npz", "new.npy"]) == 0
    out, err = capsys.readouterr()
    assert "new.npy has no names of columns: they are taken in the model's order" in err
    assert "written to    W: new-W.npy\n" in out
    np.testing.assert_allclose(np.load("new-W.npy"), model.transform(X), rtol=1e-12)
    assert main(["transform", "model.npz", "new.npy"]) == 0
    assert "written to    W: new-W-2.npy\n" in capsys.readouterr().out
    assert main(["transform", "model.npz", "new.npy", "--out", "w.csv"]) == 0
    np.testing.assert_allclose(pd.read_csv("w.csv").to_numpy(), np.load("new-W.npy"), rtol=1e-12)
    capsys.readouterr()
    assert "--out must end in .npy, .npz, .csv. Found 'w.txt'." in refusal(
        capsys, "transform", "model.npz", "new.npy", "--out", "w.txt"
    )


def test_the_first_column_that_the_model_does_not_know_names_the_rows(capsys: pytest.CaptureFixture[str]) -> None:
    CUSTOMERS.to_csv("x.csv", index=False)
    assert main(["fit", "x.csv", *FIT, "--index-col", "CustomerID", "--out", "model.npz"]) == 0
    assert main(["transform", "model.npz", "x.csv"]) == 0
    assert "rows by column 'CustomerID'" in capsys.readouterr().out


def test_factors_go_to_tables_and_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    model = fit_model(capsys)
    assert main(["fit", "counts.csv", *FIT, "--out-csv", "out"]) == 0
    assert "written to    out-W.csv, out-H.csv\n" in capsys.readouterr().out
    W, H = pd.read_csv("out-W.csv", index_col="row"), pd.read_csv("out-H.csv", index_col="component")
    assert (W.index.tolist(), W.columns.tolist()) == (SAMPLES, ["component 1", "component 2"])
    assert (H.index.tolist(), H.columns.tolist()) == (["component 1", "component 2"], GENES)
    for name, factor in (("W", model.W), ("H", model.H)):
        np.testing.assert_array_equal(read_factor(f"out-{name}.csv", name, np.float64), factor)
    assert "out-W.csv exists" in refusal(capsys, "fit", "counts.csv", *FIT, "--out-csv", "out")

    CUSTOMERS.to_csv("ids.csv", index=False)  # names that are numbers come back as names
    assert main(["fit", "ids.csv", *FIT, "--index-col", "1", "--out-csv", "ids"]) == 0
    assert read_factor("ids-W.csv", "W", np.float64).shape == (3, 2)

    np.save("x.npy", COUNTS.to_numpy())  # no names: none for rows, and numbers for features
    assert main(["fit", "x.npy", *FIT, "--out-csv", "plain"]) == 0
    assert Path("plain-W.csv").read_text().startswith("component 1,component 2\n")
    assert Path("plain-H.csv").read_text().startswith("component,feature 1,feature 2,")


def test_numbers_that_are_written_are_the_same_when_read() -> None:
    single = np.float32(np.random.default_rng(0).random((50, 3)))
    frames_of = {"double.csv": single.astype(np.float64) / 3, "single.csv": single}
    from nmf_numba.files import write_csv  # noqa: PLC0415

    for name, matrix in frames_of.items():
        write_csv(Path(name), matrix, ["a", "b", "c"], None, "row", overwrite=False)
        np.testing.assert_array_equal(load_input(name).X.astype(matrix.dtype), matrix)


def test_suffixes_are_told_without_gz() -> None:
    assert frames.ending("A.CSV.GZ") == ".csv"
    assert frames.ending("a.b.parquet") == ".parquet"


def test_weights_are_read_as_the_input_is(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    lines = ["id;a;b", "x;1,5;2", "y;3;1", "z;2,5;4"]
    for name, content in {
        "x.csv": lines,
        "w.csv": lines,
        "w2.csv": [lines[0], *lines[:0:-1]],
        "rows.csv": "123",
    }.items():
        (tmp_path / name).write_text("\n".join(content) + "\n")
    argv = ["fit", str(tmp_path / "x.csv"), "-k", "1", "--sep", ";", "--decimal", ",", "-q", "--weights"]
    for name in ("w.csv", "rows.csv"):
        assert main([*argv, str(tmp_path / name)]) == 0
    capsys.readouterr()
    message = refusal(capsys, *argv, str(tmp_path / "w2.csv"))
    assert "w2.csv is not named as" in message
    assert message.endswith("its row 1 is 'z', and 'x' there. Bring it into the same order.")
