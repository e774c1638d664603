"""Models in files: what comes back, what is refused, and that no file is left half written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nmf_numba import model

ARRAYS: dict[str, Any] = {
    "W": np.arange(6.0).reshape(3, 2),
    "H": np.arange(8.0, dtype=np.float32).reshape(2, 4),
    "n_iter": 7,
    "stop_reason": "tol",
    "objective": 0.125,
    "data_fit": 0.125,
    "parameters": {"solver": "cd", "beta_loss": 2.0, "max_time": None, "init": "nndsvda", "shuffle": False},
    "row_names": ["ä", "", "a, b"],
    "column_names": ["w", "x", "y", "w"],
    "trace_iteration": np.arange(8),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_is_read() -> None:
    model.write("m.npz", ARRAYS)
    found = model.read("m.npz")
    assert found.keys() == ARRAYS.keys()
    for name, value in ARRAYS.items():
        if isinstance(value, np.ndarray):
            assert found[name].dtype == value.dtype
            np.testing.assert_array_equal(found[name], value)
        else:
            assert found[name] == value
            assert type(found[name]) is type(value)
    model.write("m.npz", found, overwrite=True)
    assert os.listdir() == ["m.npz"]


def test_names_may_be_missing_and_none_is_left_out() -> None:
    model.write(Path("m.npz"), {"W": ARRAYS["W"], "H": ARRAYS["H"], "row_names": None, "objective": None})
    found = model.read(Path("m.npz"))
    assert found["row_names"] is found["column_names"] is None
    assert found["parameters"] == {}
    assert "objective" not in found


def test_parameters_may_be_numpys() -> None:
    model.write("m.npz", ARRAYS | {"parameters": {"random_state": np.int64(3), "shuffle": np.bool_(True)}})
    assert model.read("m.npz")["parameters"] == {"random_state": 3, "shuffle": True}


def test_names_come_from_any_sequence() -> None:
    model.write(
        "m.npz", ARRAYS | {"row_names": np.array(["a", "b", "c"], object), "column_names": ("1", "2", "3", "4")}
    )
    assert model.read("m.npz")["row_names"] == ["a", "b", "c"]
    assert model.read("m.npz")["column_names"] == ["1", "2", "3", "4"]


def test_a_model_of_the_first_format_is_read() -> None:
    kept = {name: value for name, value in ARRAYS.items() if name not in ("row_names", "column_names", "parameters")}
    np.savez("old.npz", **kept, parameters='{"solver": "mu", "W": null, "H": "h.npy"}', version="0.1.0", model_format=1)
    found = model.read("old.npz")
    expected = {"solver": "mu", "stopping": "scikit-learn", "W_file": None, "H_file": "h.npy"}
    assert found["parameters"] == expected
    assert found["column_names"] is None


def test_a_newer_model_is_refused() -> None:
    model.write("m.npz", ARRAYS)
    with np.load("m.npz") as kept:
        np.savez("newer.npz", **{**kept, "model_format": model.FORMAT + 1, "version": "9.9"})
    with pytest.raises(ValueError, match=r"newer\.npz was written by nmf-numba 9\.9, which is newer"):
        model.read("newer.npz")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"H": np.ones((3, 4))}, ValueError, "W and H must have as many components"),
        ({"H": np.ones(4)}, ValueError, r"a model needs H as a 2-D array of floats. Found shape \(4,\)"),
        ({"W": np.ones((3, 2), int)}, ValueError, "a model needs W as a 2-D array of floats. .* dtype int64"),
        ({"row_names": ["a"]}, ValueError, r"row_names must be 3 texts. Found shape \(1,\)"),
        ({"input": object()}, TypeError, "a model holds numbers and text. Found input of dtype object"),
        ({"parameters": {"callback": print}}, TypeError, "the parameters of a model must be .* Found <built-in"),
    ],
)
def test_what_is_no_model_is_not_written(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        model.write("m.npz", ARRAYS | changes)
    assert os.listdir() == []


def test_a_file_that_is_there_is_kept_unless_told() -> None:
    Path("m.npz").write_text("precious")
    with pytest.raises(ValueError, match=r"m\.npz exists. .*overwrite=True"):
        model.write("m.npz", ARRAYS)
    with pytest.raises(ValueError, match=r"ends in \.npz. Found 'm\.npy'"):
        model.write("m.npy", ARRAYS)
    assert Path("m.npz").read_text() == "precious"
    model.write("m.npz", ARRAYS, overwrite=True)
    assert model.read("m.npz")["n_iter"] == 7


@pytest.mark.parametrize("failing", ["numpy.savez", "os.fsync", "os.replace"])
def test_a_failing_write_keeps_the_old_file(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    def fail(target: Any, *args: Any, **options: Any) -> None:
        raise OSError(28, "No space left on device")

    Path("m.npz").write_text("precious")
    monkeypatch.setattr(failing, fail)
    with pytest.raises(OSError, match="No space left on device"):
        model.write("m.npz", ARRAYS, overwrite=True)
    assert Path("m.npz").read_text() == "precious"
    assert os.listdir() == ["m.npz"]


def test_damage_is_found() -> None:
    model.write("m.npz", ARRAYS)
    whole = Path("m.npz").read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for trial in range(60):
        damaged = bytearray(whole)
        if trial % 2:
            damaged = damaged[: rng.integers(len(whole))]
        else:
            damaged[rng.integers(len(whole))] ^= 0xFF
        Path("damaged.npz").write_bytes(damaged)
        try:
            found = model.read("damaged.npz")
        except ValueError as error:
            refused += 1
            assert str(error).startswith("damaged.npz ")  # noqa: PT017  (some damage is to bytes without a meaning)
        else:
            np.testing.assert_array_equal(found["W"], ARRAYS["W"])
            assert found["column_names"] == ARRAYS["column_names"]
    assert refused > 40
