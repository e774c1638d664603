"""The command line, end to end: what it reads, prints, writes and refuses, and how it ends."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from scipy import sparse
from scipy.io import mmwrite

import nmf_numba
from nmf_numba import __main__ as command_line
from nmf_numba import demo
from nmf_numba.__main__ import main
from nmf_numba.datasets import DATASETS, load_digits
from nmf_numba.demo import FIGURES
from nmf_numba.inputs import SUFFIXES, load_input
from nmf_numba.problem import Problem
from nmf_numba.solvers import SOLVERS

REFERENCE = ("--engine", "reference", "--random-state", "0")  # nothing to compile
X = np.random.default_rng(0).uniform(0.5, 1.5, (7, 4))
S = sparse.csr_array(X * (X > 0.9))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a folder of its own, which holds x.npy."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    return tmp_path


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line on standard error of a command that must be refused, without what all have in common."""
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert err.startswith("nmf-numba: error: ")
    return err.removeprefix("nmf-numba: error: ").rstrip("\n")


def run(*argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    command = [sys.executable, "-m", "nmf_numba", *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


# --- what is read --------------------------------------------------------------------------------------------------


def write_inputs() -> dict[str, Any]:
    """Write a file of each kind; return what each must be read as."""
    expected: dict[str, Any] = {"x.npy": X}

    np.save("single.npy", X.astype(np.float32))
    np.save("counts.npy", np.arange(1, 13).reshape(3, 4))
    expected |= {"single.npy": X.astype(np.float32), "counts.npy": np.arange(1, 13).reshape(3, 4)}

    np.savez("one.npz", anything=X)
    np.savez_compressed("several.npz", X=X, other=np.ones(3))
    expected |= {"one.npz": X, "several.npz": X}
    for layout in ("csr", "csc", "coo", "bsr", "dia"):
        sparse.save_npz(f"{layout}.npz", S.asformat(layout))
        expected[f"{layout}.npz"] = S
    sparse.save_npz("old.npz", sparse.csr_matrix(S))
    expected["old.npz"] = S

    symmetric = sparse.coo_array(S[:4, :4] + S[:4, :4].T)
    pattern = sparse.coo_array((S != 0).astype(float))
    for name, matrix, options in (
        ("sparse.mtx", S, {}),
        ("dense.mtx", X, {}),
        ("integers.mtx", sparse.coo_array(np.eye(3, dtype=int)), {}),
        ("pattern.mtx", pattern, {"field": "pattern"}),
        ("symmetric.mtx", symmetric, {"symmetry": "symmetric"}),
        ("symmetric_dense.mtx", symmetric.toarray(), {"symmetry": "symmetric"}),
    ):
        mmwrite(name, matrix, comment="a comment", precision=17, **options)
        Path(name + ".gz").write_bytes(gzip.compress(Path(name).read_bytes()))
        expected |= {name: matrix, name + ".gz": matrix}

    np.savetxt("numbers.csv", X, delimiter=",", fmt="%.17g")
    text = Path("numbers.csv").read_text()
    Path("header.csv").write_text("a,b,c,d\n" + text)
    Path("quoted.csv").write_text(
        '"a","b","c, or so","d"\n' + "".join(f'"{line}"\n'.replace(",", '","') for line in text.splitlines())
    )
    Path("comments.csv").write_text("# made by hand\n# a, b, c, d\n\n" + text + "\n\n")
    Path("commented_header.csv").write_text("# made by hand\na,b,c,d\n" + text)
    Path("windows.csv").write_bytes(b"\xef\xbb\xbfa,b,c,d\r\n" + text.replace("\n", "\r\n").encode())
    Path("SPACES.CSV").write_text(" a , b , c , d \n" + text.replace(",", " , "))
    expected |= dict.fromkeys(
        (
            "numbers.csv",
            "header.csv",
            "quoted.csv",
            "comments.csv",
            "commented_header.csv",
            "windows.csv",
            "SPACES.CSV",
        ),
        X,
    )
    Path("column.csv").write_bytes(b"\xef\xbb\xbf1\n2\n3\n")
    Path("row.csv").write_text("1,2,3")
    return expected | {"column.csv": np.array([[1.0], [2], [3]]), "row.csv": np.array([[1.0, 2, 3]])}


def test_every_format_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    for name, expected in write_inputs().items():
        found = load_input(name).X
        assert sparse.issparse(found) == sparse.issparse(expected), name
        dense, right = (A.toarray() if sparse.issparse(A) else A for A in (found, expected))
        assert dense.dtype == right.dtype or right.dtype.kind == "i", name
        np.testing.assert_array_equal(dense, right, err_msg=name)
        assert main(["fit", name, "-k", "1", "--max-iter", "1", "--tol", "0", *REFERENCE]) == 0, name
        out, err = capsys.readouterr()
        assert f"{name}, {right.shape[0]} x {right.shape[1]}, " in out
        assert err == ""


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_read(name: str) -> None:
    assert load_input(name).X.ndim == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is empty"),
        ("# nothing\n\n", "it is empty"),
        ("1,2\n3,x\n", "row 2, column 2, must be a number. Found 'x'"),
        ("a,b\n\n3,4\n5,\n", "row 2, column 'b', has no value. Fill it in, or remove its row"),
        ("1,2\n3,4,5\n", "Expected 2 fields in line 2, saw 3"),
        ("1,2,4\n4,5\n", "row 2, column 3, has no value"),
        ("a,b,c\n1,2\n", "its header has 3 fields, but the line after it has 2"),
        ("a,1\n2,3\n", "its first line, a,1,..., may be names of columns, or data. Pass --header yes or --header no"),
        ("1,a\n2,3\n", "its first line has numbers, but also 'a'. It may be names of columns, or data. Pass --header"),
        ("0,1,2\n5,6,7\n", "its first line, 0,1,2,..., may be names of columns, or data. Pass --header yes or"),
        ("2019,2020,2021\n5,6,7\n", "its first line, 2019,2020,2021,..., may be names of columns, or data"),
        ("1;2\n3;4\n", "its lines look like '3;4'. Pass --sep ';'"),
        ("1\t2\n3\t4\n", "its lines look like '3\\t4'. Pass --sep tab"),
        ("1 2\n3 4\n", "its lines look like '3 4'. Pass --sep space"),
        ("1,5;2\n3,5;4\n", "its lines look like '3,5;4'. Pass --sep ';' --decimal ','"),
    ],
)
def test_a_csv_that_is_not_a_table_of_numbers_is_refused(
    capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    Path("x.csv").write_text(text)
    line = refusal(capsys, "fit", "x.csv", "-k", "1")
    assert line.startswith("x.csv can't be read: ")
    assert message in line


def test_a_header_alone_has_no_samples(capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text("a,b\n")
    assert "X has no " in refusal(capsys, "fit", "x.csv", "-k", "1")


BANNER = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Not a Matrix Market file. Missing banner"),
        ("1 2 3\n", "Not a Matrix Market file. Missing banner"),
        (BANNER.replace("real", "complex"), "Premature EOF"),
        (BANNER.replace("real", "complex") + "1 1 1\n1 1 1 1\n", "must say real, integer or pattern. Found complex"),
        (BANNER.replace("general", "hermitian") + "1 1 0\n", "must say general or symmetric. Found hermitian"),
        (BANNER, "Premature EOF"),
        (BANNER + "2 2\n", "Invalid integer value"),
        (BANNER + "2 2 two\n", "Invalid integer value"),
        (BANNER.replace("general", "symmetric") + "2 3 1\n1 1 1\n", "a symmetric matrix must be square. Found 2 x 3"),
        (BANNER + "2 2 2\n1 1 0.5\n", "Truncated file. Expected another 1 lines"),
        (BANNER + "2 2 1\n", "Truncated file"),
        (BANNER + "2 2 1\n1 1 0.5E-", "line 3 must be two whole numbers and a number. Found '1 1 0.5E-'"),
        (BANNER + "2 2 1\n1 1.9 0.5\n", "line 3 must be two whole numbers and a number. Found '1 1.9 0.5'"),
        (BANNER + "%\n\n2 2 2\n1 1 1\n1.9 1 0.5\n", "line 6 must be two whole numbers and a number. Found '1.9 1 0.5'"),
        (BANNER.replace("real", "integer") + "2 2 1\n1 1 1.9\n", "two whole numbers and an integer. Found '1 1 1.9'"),
        (BANNER.replace("real", "pattern") + "2 2 1\n1 1.9\n", "line 3 must be two whole numbers. Found '1 1.9'"),
        (BANNER.replace("coordinate", "array") + "1 1\n1 2\n", "line 3 must be a number. Found '1 2'"),
        (BANNER + "2 2 1\n3 1 0.5\n", "Row index out of bounds"),
        (BANNER + "2 2 1\n1 0 0.5\n", "Column index out of bounds"),
    ],
)
def test_a_damaged_matrix_market_file_is_refused(capsys: pytest.CaptureFixture[str], text: str, message: str) -> None:
    Path("x.mtx").write_text(text)
    line = refusal(capsys, "fit", "x.mtx", "-k", "1")
    assert line.startswith("x.mtx can't be read: ")
    assert message in line


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("none.npy", {}, "none.npy can't be read: No such file or directory."),
        ("empty.npy", {"content": b""}, "empty.npy can't be read: "),
        ("text.npy", {"content": b"hello, world"}, "text.npy can't be read: the magic string is not correct"),
        ("text.npz", {"content": b"hello, world"}, "text.npz can't be read: "),
        ("text.mtx.gz", {"content": b"hello, world"}, "text.mtx.gz can't be read: Not a gzipped file"),
        ("latin.csv", {"content": b"\xe9,\xe8\n1,2\n"}, "latin.csv can't be read: 'utf-8' codec can't decode"),
        ("cut.npy", {"content": b"\x93NUMPY\x01\x00\x11\x00{'shape': (4, 3,\n"}, "cut.npy can't be read: "),
        ("objects.npy", {"array": np.array([[1, "a"]], object)}, "Object arrays cannot be loaded"),
        ("two.npz", {"arrays": {"a": X, "b": X}}, "it must hold one array, or one called X. Found a, b."),
        ("none.npz", {"arrays": {}}, "it must hold one array, or one called X. Found no array."),
        ("vector.npy", {"array": np.ones(3)}, "X must be 2-D, (n_samples, n_features). Found 1-D, of shape (3,)."),
        ("empty_array.npy", {"array": np.ones((0, 3))}, "X has no samples"),
        ("text_array.npy", {"array": np.array([["a"]])}, "X must hold real numbers. Found text."),
        ("complex.npy", {"array": np.array([[1j]])}, "X must hold real numbers. Found values of dtype complex128."),
        ("negative.npy", {"array": np.array([[1.0, -0.25]])}, "X[0, 1] = -0.25"),
        ("nan.npy", {"array": np.array([[1.0], [np.nan]])}, "X contains NaN: X[1, 0] = nan."),
        ("infinite.npy", {"array": np.array([[np.inf]])}, "X contains infinity"),
        ("x.dat", {"content": b"1,2"}, "Found 'x.dat'."),
        ("folder.csv", {"folder": True}, "folder.csv can't be read: "),
    ],
)
def test_what_is_no_matrix_is_refused(
    capsys: pytest.CaptureFixture[str], name: str, options: dict[str, Any], message: str
) -> None:
    if "content" in options:
        Path(name).write_bytes(options["content"])
    if "array" in options:
        np.save(name, options["array"])
    if "arrays" in options:
        np.savez(name, **options["arrays"])
    if "folder" in options:
        Path(name).mkdir()
    assert message in refusal(capsys, "fit", name, "-k", "1")


def test_files_that_are_cut_off_or_damaged_never_show_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    write_inputs()
    for name in ("x.npy", "several.npz", "csr.npz", "sparse.mtx", "sparse.mtx.gz", "numbers.csv"):
        whole = Path(name).read_bytes()
        suffix = name[name.index(".") :]
        for trial in range(60):
            damaged = bytearray(whole)
            if trial % 2:
                damaged = damaged[: rng.integers(len(whole))]
            else:
                damaged[rng.integers(len(whole))] = rng.integers(256)
            Path(f"damaged{suffix}").write_bytes(damaged)
            status = main(["fit", f"damaged{suffix}", "-k", "1", "--max-iter", "1", "--tol", "0", *REFERENCE])
            err = capsys.readouterr().err
            assert (status, err.count("nmf-numba: error: ")) in ((0, 0), (2, 1))


def test_an_unknown_name_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "fit", "digit", "-k", "1")
    assert all(name in line for name in (*DATASETS, *SUFFIXES, "'digit'"))


# --- fit: parameters, summary, output ------------------------------------------------------------------------------


def load(path: str) -> dict[str, Any]:
    """What --out wrote; no pickle is needed."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def test_the_output_is_what_fit_returns_and_says_how_it_was_made(capsys: pytest.CaptureFixture[str]) -> None:
    argv = "fit x.npy -k 2 --solver mu --beta-loss kullback-leibler --init random --tol 1e-3 --max-iter 77"
    argv += " --alpha-W 0.01 --alpha-H 0.02 --l1-ratio 0.5 --random-state 3 --engine reference --out out.npz"
    assert main(argv.split()) == 0
    out, err = capsys.readouterr()
    assert err == ""
    parameters: dict[str, Any] = {
        "n_components": 2,
        "solver": "mu",
        "beta_loss": "kullback-leibler",
        "init": "random",
        "tol": 1e-3,
        "max_iter": 77,
        "alpha_W": 0.01,
        "alpha_H": 0.02,
        "l1_ratio": 0.5,
        "random_state": 3,
        "engine": "reference",
        "update_H": True,
        "shuffle": False,
        "stopping": "kkt",
    }
    result = nmf_numba.fit(X, **parameters)
    found = load("out.npz")
    np.testing.assert_array_equal(found["W"], result.W)
    np.testing.assert_array_equal(found["H"], result.H)
    assert found["n_iter"] == result.n_iter
    assert found["stop_reason"] == result.stop_reason == "tol"
    assert found["version"] == nmf_numba.__version__
    kept = json.loads(str(found["parameters"]))
    assert kept["input"] == "x.npy"
    assert kept["seconds"] > 0
    expected = parameters | dict.fromkeys(("W_file", "H_file", "max_time", "n_threads"))
    assert {name: kept[name] for name in expected} == expected
    penalties = {name: parameters[name] for name in ("beta_loss", "alpha_W", "alpha_H", "l1_ratio")}
    terms = nmf_numba.objective(X, result.W, result.H, **penalties, engine="reference")
    assert found["objective"] == terms.total
    for name in ("data_fit", "l1_W", "l1_H", "l2_W", "l2_H"):
        assert found[name] == getattr(terms, name)

    for part in (
        "x.npy, 7 x 4, dense, float64",
        "mu (Multiplicative updates), engine reference",
        "kullback-leibler, beta = 1",
        f"{result.n_iter}; the stopping rule was met",
        f"{terms.total:.6g} = data_fit {terms.data_fit:.6g} + l1_W",
        "seconds",
        "out.npz",
    ):
        assert part in out


@pytest.mark.parametrize("command", ["fit", "compare"])
def test_components_left_out(capsys: pytest.CaptureFixture[str], command: str) -> None:
    more = ["--out", "out.npz"] if command == "fit" else ["--figure", "out.png"]
    assert main([command, "x.npy", "--max-iter", "2", *more]) == 0
    assert f"warning: n_components was not given, so all {X.shape[1]} features are kept" in capsys.readouterr().err
    assert main([command, "x.npy", "-k", "auto", "--max-iter", "2", "--tol", "0", *more, "--overwrite"]) == 0
    assert "n_components" not in capsys.readouterr().err  # old Matplotlib has warnings of its own


@pytest.mark.filterwarnings("ignore:n_components was not given:FutureWarning")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_components": 3, "shuffle": True, "max_iter": 500},
        {"n_components": 2, "solver": "mu", "beta_loss": 1.5, "alpha_W": 0.1},
        {"n_components": 2, "solver": "mu", "beta_loss": -0.5, "init": "nndsvdar", "tol": 1e-2},
    ],
)
def test_defaults_and_options_are_those_of_fit(options: dict[str, Any]) -> None:
    argv = ["fit", "x.npy", "--quiet", "--out", "out.npz", *REFERENCE]
    for name, value in options.items():
        argv += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    assert main(argv) == 0
    result = nmf_numba.fit(X, **options, random_state=0, engine="reference")
    found = load("out.npz")
    np.testing.assert_array_equal(found["W"], result.W)
    np.testing.assert_array_equal(found["H"], result.H)


def test_compiled_and_sparse() -> None:
    sparse.save_npz("s.npz", S)
    assert main(["fit", "s.npz", "-k", "2", "--random-state", "0", "--quiet", "--out", "out.npz"]) == 0
    result = nmf_numba.fit(S, 2, random_state=0)
    np.testing.assert_array_equal(load("out.npz")["W"], result.W)


def test_without_a_seed_one_is_drawn_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", "x.npy", "-k", "2", "--init", "random", "--engine", "reference", "--max-iter", "500"]
    assert main([*argv, "--out", "first.npz"]) == 0
    first = load("first.npz")
    seed = json.loads(str(first["parameters"]))["random_state"]
    assert str(seed) in capsys.readouterr().out
    assert main([*argv, "--out", "second.npz", "--random-state", str(seed)]) == 0
    np.testing.assert_array_equal(load("second.npz")["W"], first["W"])


def test_factors_come_from_files() -> None:
    rng = np.random.default_rng(1)
    W, H = rng.random((7, 2)), rng.random((2, 4))
    np.savetxt("w.csv", W, delimiter=",", fmt="%.17g")
    np.savez("both.npz", W=W, H=H, n_iter=3)  # as --out writes them
    sparse.save_npz("sparse.npz", sparse.csr_array(H))
    argv = ["fit", "x.npy", "--quiet", "--tol", "0", "--max-iter", "3", "--overwrite", "--out", "out.npz", *REFERENCE]

    result = nmf_numba.fit(X, init="custom", W=W, H=H, tol=0, max_iter=3, engine="reference")
    for w, h in (("w.csv", "both.npz"), ("both.npz", "sparse.npz")):
        assert main([*argv, "--init", "custom", "--W", w, "--H", h]) == 0
        np.testing.assert_array_equal(load("out.npz")["W"], result.W)
        assert json.loads(str(load("out.npz")["parameters"]))["H_file"] == h

    result = nmf_numba.fit(X, H=H, update_H=False, tol=0, max_iter=3, engine="reference")
    assert main([*argv, "--no-update-H", "--H", "both.npz"]) == 0
    np.testing.assert_array_equal(load("out.npz")["W"], result.W)
    np.testing.assert_array_equal(load("out.npz")["H"], H)


def test_factors_take_the_data_type_of_the_input() -> None:
    np.save("single.npy", X.astype(">f4"))
    np.save("h.npy", np.ones((2, 4), int))
    argv = ["fit", "single.npy", "--no-update-H", "--H", "h.npy", "--tol", "0", "--out", "out.npz", *REFERENCE]
    assert main(argv) == 0
    assert load("out.npz")["W"].dtype == load("out.npz")["H"].dtype == np.float32


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("-k 0", "n_components must be an integer >= 1, 'auto' or None. Found 0."),
        ("-k two", "n_components must be an integer >= 1, 'auto' or None. Found 'two'."),
        ("-k 1.5", "n_components must be an integer >= 1, 'auto' or None. Found '1.5'."),
        ("--solver hals", "solver must be one of 'cd', 'mu', "),
        ("--beta-loss kl", "beta_loss must be 'frobenius', 'kullback-leibler', 'itakura-saito' or a finite real"),
        ("--beta-loss nan", "beta_loss must be"),
        ("--beta-loss 1 --solver cd", "solver 'cd' does not handle beta_loss = 1.0"),
        ("--init svd", "init must be one of"),
        ("--init custom", "--W is missing: --init custom needs --W and --H"),
        ("--init custom --W x.npy", "--H is missing: --init custom needs --W and --H"),
        ("--init custom --W x.npy --H x.npy", "Array with wrong second dimension passed to NMF (input W). Expected"),
        ("--init custom --W digits --H x.npy", "W must be a file that ends in .npy, .npz, .mtx, .mtx.gz, .csv"),
        ("--no-update-H", "--H is missing: --init custom needs --W and --H, and --no-update-H needs --H."),
        ("--no-update-H --H none.npy", "none.npy can't be read: No such file or directory."),
        ("--tol -1", "tol must be a number >= 0. Found -1.0."),
        ("--tol small", "argument --tol: invalid float value: 'small'. See nmf-numba fit --help"),
        ("--max-iter 0", "max_iter must be an integer >= 1. Found 0."),
        ("--max-iter 1.5", "argument --max-iter: invalid int value: '1.5'. See nmf-numba fit --help"),
        ("--alpha-W -1", "alpha_W must be a number >= 0. Found -1.0."),
        ("--alpha-H some", "alpha_H must be one of 'same' or a number >= 0. Found 'some'."),
        ("--l1-ratio 2", "l1_ratio must be a number from 0 to 1. Found 2.0."),
        ("--random-state -1", "random_state must be an integer from 0"),
        ("--engine cython", "engine must be one of 'numba', 'reference'. Found 'cython'."),
        ("--max 3", "unrecognized arguments: --max 3"),
        ("--quiet --verbose", "not allowed with argument"),
        ("--out out.csv", "--out must end in .npz. Found 'out.csv'."),
        ("--out none/out.npz", "can't be written: the folder none does not exist."),
    ],
)
def test_parameters_out_of_range_are_refused(capsys: pytest.CaptureFixture[str], argv: str, message: str) -> None:
    assert message in refusal(capsys, "fit", "x.npy", "-k", "2", *argv.split())


@pytest.mark.parametrize("argv", [[], ["fit"], ["refit"], ["fit", "x.npy", "y.npy"], ["--fit"]])
def test_usage_errors_are_one_line(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    assert "--help" in refusal(capsys, *argv)


def test_zeros_are_refused_where_the_loss_is_infinite(capsys: pytest.CaptureFixture[str]) -> None:
    line = refusal(capsys, "fit", "digits", "-k", "2", "--solver", "mu", "--beta-loss", "itakura-saito")
    assert "X contains zeros" in line


def test_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", "x.npy", "-k", "2", "--solver", "mu", "--init", "nndsvd", "--W", "x.npy", "--tol", "1e-9"]
    assert main([*argv, "--max-iter", "10", *REFERENCE]) == 0
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("nmf-numba: warning: ") for line in lines)
    assert "provided W or H are ignored" in lines[0]
    assert "init='nndsvd' has zeros" in lines[1]
    assert "Maximum number of iterations 10 reached." in lines[2]
    assert "10; --max-iter was reached" in out


def test_warnings_can_be_made_errors() -> None:
    argv = ["fit", "x.npy", "-k", "2", "--max-iter", "1", *REFERENCE]
    command = [sys.executable, "-W", "error::UserWarning", "-m", "nmf_numba", *argv]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert process.returncode == 2
    assert process.stderr.startswith("nmf-numba: error: Maximum number of iterations 1 reached.")
    assert process.stderr.count("\n") == 1


def test_quiet_and_verbose(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", "x.npy", "-k", "2", "--max-iter", "20", "--tol", "0", *REFERENCE]
    assert main([*argv, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert main([*argv, "-v"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[1] for line in out.splitlines()[:3]] == ["0", "10", "20"]
    assert err == ""


def test_a_terminal_shows_progress(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    argv = ["fit", "x.npy", "-k", "2", "--max-iter", "20", "--tol", "0", *REFERENCE]
    assert main(argv) == 0
    assert "20/20" in capsys.readouterr().err
    assert main([*argv, "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_every_option_is_checked_before_anything_is_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> None:
        raise AssertionError("the input was read")

    assert main(["fit", "x.npy", "-k", "2", "--out", "model.npz", "-q", *REFERENCE]) == 0
    monkeypatch.setattr(command_line, "load_input", load)
    wrong = {
        "-k": "0", "--init": "svd", "--beta-loss": "kl", "--tol": "-1", "--max-iter": "0", "--max-time": "-1",
        "--alpha-W": "-1", "--alpha-H": "x", "--l1-ratio": "2", "--random-state": "-1", "--n-threads": "0",
        "--stopping": "never", "--W": "none.npy", "--H": "none.npy", "--sep": ";", "--decimal": ",", "--header": "yes",
        "--index-col": "1", "--drop": "1",
    }  # fmt: skip
    of_fit = {"--solver": "als", "--engine": "cython", "--trace": "0", "--out": "w.csv", "--out-csv": "none/out"}
    of_compare = {"--solvers": "cd,als", "--engines": "numba,cython", "--x": "foo", "--y": "foo", "--figure": "f.txt"}
    of_transform = {name: wrong[name] for name in ("--tol", "--max-iter", "--max-time", "--n-threads", "--sep")}
    of_transform |= {"--trace": "0", "--out": "w.txt"}
    for command, options in (
        (["fit", "x.npy"], wrong | of_fit),
        (["compare", "x.npy"], wrong | of_compare),
        (["transform", "model.npz", "x.npy"], of_transform),
    ):
        for option, value in options.items():
            said = refusal(capsys, *command, option, value)
            assert option.lstrip("-").replace("-", "_") in said.replace("-", "_") or value in said, (command, option)
    assert "--engines scikit-learn" in refusal(capsys, "compare", "x.npy", "--solvers", "sklearn")
    assert sorted(os.listdir()) == ["model.npz", "x.npy"]


# --- files that exist ----------------------------------------------------------------------------------------------


def test_an_existing_output_is_kept_unless_told(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.npz").write_text("precious")
    argv = ["fit", "x.npy", "-k", "1", "--out", "out.npz", *REFERENCE]
    assert refusal(capsys, *argv) == "out.npz exists. Use another name, or --overwrite (in Python overwrite=True)."
    assert Path("out.npz").read_text() == "precious"
    assert main([*argv, "--overwrite"]) == 0
    assert load("out.npz")["W"].shape == (7, 1)
    assert sorted(os.listdir()) == ["out.npz", "x.npy"]


def test_an_output_that_appears_while_fitting_is_kept(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fit(*args: Any, **options: Any) -> nmf_numba.Factorization:
        Path("out.npz").write_text("precious")
        return original(*args, **options)

    original = nmf_numba.fit
    monkeypatch.setattr(nmf_numba, "fit", fit)
    assert "out.npz exists" in refusal(capsys, "fit", "x.npy", "-k", "1", "--out", "out.npz", *REFERENCE)
    assert Path("out.npz").read_text() == "precious"
    assert sorted(os.listdir()) == ["out.npz", "x.npy"]


@pytest.mark.parametrize("failing", ["numpy.savez", "os.fsync", "os.replace"])
def test_a_failing_write_keeps_the_old_file(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    def fail(target: Any, *args: Any, **options: Any) -> None:
        if hasattr(target, "write"):
            target.write(b"half a file")
        raise OSError(28, "No space left on device")

    Path("out.npz").write_text("precious")
    monkeypatch.setattr(failing, fail)
    argv = ["fit", "x.npy", "-k", "1", "--overwrite", "--out", "out.npz", *REFERENCE]
    assert refusal(capsys, *argv) == "out.npz: No space left on device"
    assert Path("out.npz").read_text() == "precious"
    assert sorted(os.listdir()) == ["out.npz", "x.npy"]


def test_the_input_is_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("x.npz", X=X)
    before = Path("x.npz").read_bytes()
    argv = ["fit", "x.npz", "-k", "1", "--overwrite", "--out", "./x.npz", *REFERENCE]
    assert refusal(capsys, *argv) == "--out is the input, x.npz. Use another name."
    assert Path("x.npz").read_bytes() == before


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need rights on Windows")
def test_a_link_stays_a_link() -> None:
    Path("folder").mkdir()
    Path("folder/real.npz").touch()
    Path("link.npz").symlink_to("folder/real.npz")
    assert main(["fit", "x.npy", "-k", "1", "--overwrite", "-q", "--out", "link.npz", *REFERENCE]) == 0
    assert Path("link.npz").is_symlink()
    assert load("folder/real.npz")["W"].shape == (7, 1)


def test_a_folder_is_no_output(capsys: pytest.CaptureFixture[str]) -> None:
    Path("out.npz").mkdir()
    line = refusal(capsys, "fit", "x.npy", "-k", "1", "--overwrite", "--out", "out.npz")
    assert line == "out.npz can't be written: it is not a regular file."


# --- how it ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compiled", [False, True])
def test_control_c(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    def fit(*_: Any, **__: Any) -> None:
        if compiled:  # what Python raises when the signal arrives in a compiled function
            try:
                raise SystemError("returned a result with an exception set") from KeyboardInterrupt()
            except SystemError as error:
                raise SystemError("and once more, one call further out") from error
        raise KeyboardInterrupt

    monkeypatch.setattr(nmf_numba, "fit", fit)
    assert main(["fit", "x.npy", "-k", "1"]) == 130
    assert capsys.readouterr() == ("", "nmf-numba: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send")
@pytest.mark.skipif(signal.getsignal(signal.SIGINT) is signal.SIG_IGN, reason="this process tree ignores Ctrl-C")
def test_control_c_in_a_process_of_its_own() -> None:
    np.save("large.npy", np.random.default_rng(0).random((400, 300)))
    argv = ["fit", "large.npy", "-k", "9", "-v", "--max-iter", "1000000", "--tol", "0", *REFERENCE]
    command = [sys.executable, "-u", "-m", "nmf_numba", *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("iteration    0")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "nmf-numba: interrupted\n")


def test_other_system_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise SystemError("a defect")

    monkeypatch.setattr(nmf_numba, "fit", fit)
    with pytest.raises(SystemError, match="a defect"):
        main(["fit", "x.npy", "-k", "1"])


def test_too_little_memory(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(nmf_numba, "fit", fit)
    assert refusal(capsys, "fit", "x.npy", "-k", "2") == "not enough memory. Unable to allocate 7 TiB"


@pytest.fixture(params=[True, False])
def buffered(request: pytest.FixtureRequest) -> dict[str, str]:
    """An environment in which standard output is buffered, or not: then a write fails late, or at once."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return environment if request.param else environment | {"PYTHONUNBUFFERED": "1"}


@pytest.mark.skipif(os.name == "nt", reason="POSIX pipes")
def test_a_broken_pipe_is_quiet(buffered: dict[str, str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "nmf_numba", "solvers"]
    process = subprocess.run(
        command, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=buffered
    )
    os.close(writer)
    assert (process.returncode, process.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(buffered: dict[str, str]) -> None:
    command = [sys.executable, "-m", "nmf_numba", "solvers"]
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=60, env=buffered
        )
    assert (process.returncode, process.stderr) == (2, "nmf-numba: error: No space left on device\n")


def test_a_process_of_its_own() -> None:
    process = run("fit", "x.npy", "-k", "2", "--tol", "0", "--max-iter", "3", *REFERENCE, "--out", "out.npz")
    assert (process.returncode, process.stderr) == (0, "")
    assert "x.npy, 7 x 4, dense, float64" in process.stdout
    assert load("out.npz")["W"].shape == (7, 2)
    process = run("fit", "x.npy", "-k", "-2")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "nmf-numba: error: n_components must be an integer >= 1, 'auto' or None. Found -2.\n"


@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (["fit", "x.npy", "--max-iter", "2", *REFERENCE], 0),
        (["compare", "x.npy", "-k", "2", "--max-iter", "2", "--engines", "reference"], 0),
        (["fit", "none.npy"], 2),
        (["fit", "x.npy", "--tol", "small"], 2),
        (["--help"], 0),
    ],
)
def test_standard_error_may_be_missing(argv: list[str], status: int) -> None:
    program = "import sys; sys.stderr = None; from nmf_numba.__main__ import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, *argv]
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (process.returncode, process.stderr) == (status, "")
    assert "nmf-numba: " not in process.stdout


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--help"], ["fit", "--help"], ["solvers", "--help"], ["demo", "--help"]):
        assert main(argv) == 0
        assert capsys.readouterr().out.startswith("usage: nmf-numba")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"nmf-numba {nmf_numba.__version__}\n"


def test_help_names_every_parameter_of_fit(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fit", "--help"])
    out = capsys.readouterr().out
    for name in set(nmf_numba.fit.__kwdefaults__ or {}) - {"callback", "resume", "fixed_W", "fixed_H"}:
        option = "--no-update-H" if name == "update_H" else f"--{name.replace('_', '-')}"
        assert option in out
    for solver in SOLVERS.values():
        assert solver.name in out


def test_trace_is_shown_and_written(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["fit", "x.npy", "-k", "2", *REFERENCE, "--tol", "0", "--max-iter", "3", "--trace", "--out", "out.npz"]
    assert main(argv) == 0
    with np.load("out.npz", allow_pickle=False) as made:
        np.testing.assert_array_equal(made["trace_iteration"], [0, 1, 2, 3])
        assert made["trace_objective"][-1] == pytest.approx(made["objective"])
    assert "violation" in capsys.readouterr().out


def test_transform_finds_W_for_a_models_H(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--solver", "mu", "--beta-loss", "1", "--alpha-W", "0.01", "--max-iter", "9", "--tol", "0"]
    assert main(["fit", "x.npy", "-k", "2", *REFERENCE, *options, "--out", "model.npz"]) == 0
    np.save("new.npy", X[:3] * 2)
    assert main(["transform", "model.npz", "new.npy", "--trace", "--out", "new.npz"]) == 0
    with np.load("model.npz") as model, np.load("new.npz") as made:
        expected = nmf_numba.fit(
            X[:3] * 2, H=model["H"], update_H=False, solver="mu", beta_loss=1, alpha_W=0.01, max_iter=9, tol=0,
            engine="reference",
        )  # fmt: skip
        np.testing.assert_array_equal(made["W"], expected.W)
        np.testing.assert_array_equal(made["H"], model["H"])
        assert json.loads(str(made["parameters"]))["H_file"] == "model.npz"
        assert len(made["trace_objective"]) == 10
    assert main(["transform", "model.npz", "new.npy", "--max-iter", "4"]) == 0
    assert "iterations    4;" in capsys.readouterr().out


def test_transform_refuses_what_is_not_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "x.npy", "-k", "2", *REFERENCE, "--out", "model.npz", "-q"]) == 0
    capsys.readouterr()
    whole = Path("model.npz").read_bytes()
    Path("cut.npz").write_bytes(whole[: len(whole) // 2])
    with np.load("model.npz") as kept:
        at = whole.index(kept["W"].tobytes())
    Path("flipped.npz").write_bytes(whole[:at] + b"damaged!" + whole[at + 8 :])
    Path("text.npz").write_text("no model", encoding="utf-8")
    np.savez("foreign.npz", H=X)
    for name in ("cut.npz", "flipped.npz", "text.npz", "foreign.npz", "x.npy"):
        said = refusal(capsys, "transform", name, "x.npy")
        assert said.startswith(f"{name} is not a model: it is damaged, or neither `nmf-numba fit --out` nor ")
    assert refusal(capsys, "transform", "no.npz", "x.npy") == "no.npz can't be read: No such file or directory."
    with np.load("model.npz") as kept:
        np.savez("newer.npz", **{**kept, "model_format": 99, "version": "9.9"})
    assert "written by nmf-numba 9.9, which is newer" in refusal(capsys, "transform", "newer.npz", "x.npy")
    assert "--out is the model" in refusal(
        capsys, "transform", "model.npz", "x.npy", "--out", "model.npz", "--overwrite"
    )


def test_compare_prints_a_table_and_draws(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["compare", "x.npy", "-k", "2", "--max-iter", "3", "--random-state", "0", "--engines", "reference"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    first = [line.split()[0] for line in out.splitlines()[:4]]
    assert (first[0], set(first[1]), *first[2:]) == ("run", {"-"}, "cd", "mu")
    assert out.endswith("Figure: compare.png\n")
    assert Path("compare.png").read_bytes().startswith(b"\x89PNG")
    assert main([*argv, "--beta-loss", "1", "--x", "iteration", "--y", "gap"]) == 0
    out = capsys.readouterr().out
    assert "refused: beta_loss = 1.0, only 'frobenius'. Use solver='mu'." in out
    assert out.endswith("Figure: compare-2.png\n")


def test_compare_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "compare", "x.npy", "--figure", "f.txt").startswith("--figure must end in .png, .svg, .pdf")
    assert "--x" not in refusal(capsys, "compare", "x.npy", "--solvers", "als")
    Path("f.png").write_text("mine", encoding="utf-8")
    assert "f.png" in refusal(capsys, "compare", "x.npy", "--figure", "f.png")
    assert Path("f.png").read_text(encoding="utf-8") == "mine"


def test_warmup_says_where_the_cache_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmf_numba.warmup.LAYOUTS", ("dense",))
    monkeypatch.setattr("nmf_numba.warmup.DTYPES", (np.float64,))
    assert main(["warmup"]) == 0
    out = capsys.readouterr().out
    number = len(list(nmf_numba.warmup.tasks()))
    assert f"{number} sets of kernels are ready" in out
    assert "They are kept in " in out


def test_help_and_solvers_load_nothing_heavy() -> None:
    program = """
import sys
from nmf_numba.__main__ import main
assert main(sys.argv[1:]) == 0
assert not {"numba", "matplotlib"} & set(sys.modules)
"""
    for argv in (["--help"], ["solvers"]):
        process = subprocess.run(
            [sys.executable, "-c", program, *argv], capture_output=True, text=True, check=False, timeout=60
        )
        assert (process.returncode, process.stderr) == (0, "")


# --- solvers and demo ----------------------------------------------------------------------------------------------


def test_solvers_answer_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["solvers"]) == 0
    out = capsys.readouterr().out
    for solver in SOLVERS.values():
        assert f"{solver.name}: {solver.title}\n" in out
        for source in solver.sources:
            assert f"- {source}\n" in out
        for row in command_line.losses(solver):
            name, beta, *answers = row
            problem = Problem(np.ones((2, 2)), float(beta))
            refused = solver.supports(problem)
            assert answers == [f"does not handle {refused}"] if refused else answers[0] == "dense, CSR"
            assert refused or ("no penalty" in answers[1]) == solver.descends(problem)
            assert any(line.split()[:2] == [name, beta] for line in out.splitlines())
    lines = [line.split(maxsplit=2) for line in out.splitlines()]
    assert ["kullback-leibler", "1", "dense, CSR  no penalty, L1"] in lines  # with L2 there is a counterexample
    assert ["frobenius", "2", "dense, CSR  no penalty, L1, L2"] in lines


def test_demo_writes_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    piano = DATASETS["piano"]().X
    threads = numba.get_num_threads()
    assert main(["demo", "--out-dir", "new/demo", "--max-iter", "12"]) == 0
    assert numba.get_num_threads() == threads
    out, _ = capsys.readouterr()
    assert sorted(os.listdir("new/demo")) == sorted(FIGURES)
    for name in FIGURES:
        assert (Path("new/demo") / name).read_bytes().startswith(b"\x89PNG")
        assert str(Path("new/demo") / name) in out
    rows = [line.split() for line in out.splitlines()]
    by_fit = {tuple(row[:3]): row[3:] for row in rows if len(row) > 3}
    for solver in ("cd", "mu"):
        starts, n_iter, _, _, start, end = by_fit["digits", "frobenius", solver]
        assert (starts, n_iter) == ("1", "12")
        steps = list(nmf_numba.iterate(load_digits().X, 16, solver=solver, init="random", random_state=0, max_iter=12))
        assert float(start) == pytest.approx(steps[0].objective().total, rel=1e-5)
        assert float(end) == pytest.approx(steps[-1].objective().total, rel=1e-5)
    assert "not done" not in out  # every row is a fit
    starts, _, _, _, _, end = by_fit["piano", "itakura-saito", "mu"]
    ends = [
        [*nmf_numba.iterate(piano, 8, solver="mu", beta_loss=0, init="random", random_state=seed, max_iter=12)][-1]
        for seed in range(int(starts))
    ]
    assert float(end) == pytest.approx(min(step.objective().total for step in ends), rel=1e-5)

    written = (Path("new/demo") / FIGURES[0]).stat().st_mtime_ns
    assert "exists. Use another name, or --overwrite (in Python overwrite=True)." in refusal(
        capsys, "demo", "--out-dir", "new/demo"
    )
    assert (Path("new/demo") / FIGURES[0]).stat().st_mtime_ns == written


def test_demo_refuses_no_iterations(capsys: pytest.CaptureFixture[str]) -> None:
    assert refusal(capsys, "demo", "--max-iter", "0") == "--max-iter must be an integer >= 1. Found 0."
    assert not Path("demo").exists()


def test_demo_refuses_a_file_as_its_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert "x.npy" in refusal(capsys, "demo", "--out-dir", "x.npy")


def test_notes_are_named_by_their_spectra() -> None:
    details = DATASETS["piano"]().details
    order = [3, 0, 6, 1, 5, 2, 4]
    H = np.vstack([details["spectra"][order], np.ones(513)])
    components, labels = demo.name_notes(H, details)
    assert components == [*np.argsort(order), 7]
    assert labels[:2] == ["G2, 98 Hz", "C3, 131 Hz"]
    assert labels[-1] == "no single note"
    H[0] = H[1]  # one note twice, another not at all
    assert demo.name_notes(H, details)[1].count("no single note") == 2


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["fit", "digits", "--alhpa-W", "1"], "--alpha-W"),
        (["fit", "digits", "--n_components", "3"], "--n-components"),
        (["compare", "digits", "--enginse", "numba"], "--engines"),
        (["ft", "digits"], "fit"),
        (["transfrom", "digits"], "transform"),
    ],
)
def test_a_misspelt_option_or_command_is_told_what_is_close(
    arguments: list[str], meant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert f"Did you mean {meant!r}?" in capsys.readouterr().err
