"""The data sets: what their docstrings promise, and that a factorization finds the structure they are made for."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array, issparse
from sklearn.datasets import load_digits as sklearn_load_digits
from sklearn.decomposition import NMF
from threadpoolctl import threadpool_limits

from nmf_numba.datasets import (
    DATASETS,
    Dataset,
    docstrings,
    load_digits,
    load_docstrings,
    make_low_rank,
    make_swimmer,
)


@pytest.fixture(scope="module")
def loaded() -> dict[str, Dataset]:
    """Every data set, loaded once."""
    return {name: load() for name, load in DATASETS.items()}


# All data sets


@pytest.mark.parametrize("name", DATASETS)
def test_matrix_is_what_a_solver_accepts(loaded: dict[str, Dataset], name: str) -> None:
    X = loaded[name].X
    assert X.dtype == np.float64
    if issparse(X):
        assert isinstance(X, csr_array)
        assert X.has_canonical_format
        assert X.indices.dtype == X.indptr.dtype == np.int32
        assert np.all(X.data > 0)
        X.check_format(full_check=True)
    else:
        assert X.flags.c_contiguous
        assert X.flags.writeable
        assert X.min() >= 0
    assert np.isfinite(X.sum())


@pytest.mark.parametrize("name", DATASETS)
def test_names_fit_the_matrix(loaded: dict[str, Dataset], name: str) -> None:
    data = loaded[name]
    n_samples, n_features = data.X.shape
    assert data.row_names is None or len(data.row_names) == n_samples
    assert data.column_names is None or len(data.column_names) == n_features
    assert data.target is None or len(data.target) == n_samples
    assert data.image_shape is None or np.prod(data.image_shape) == n_features
    assert data.title
    for word in ("Rows", "olumns", "Unit of X", "Source", "Licence"):
        assert word in data.description
    assert f"{n_samples} x {n_features}" in repr(data)


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - {"docstrings"}))
def test_the_same_at_each_call(loaded: dict[str, Dataset], name: str) -> None:
    first, second = loaded[name], DATASETS[name]()
    assert first.X is not second.X
    assert abs(first.X - second.X).max() == 0
    assert first.row_names == second.row_names
    assert first.column_names == second.column_names


def test_a_dataset_is_frozen() -> None:
    with pytest.raises(AttributeError):
        make_swimmer().title = "Sinker"  # type: ignore[misc]


# Digits


def test_digits_equal_those_of_scikit_learn(loaded: dict[str, Dataset]) -> None:
    digits, expected = loaded["digits"], sklearn_load_digits()
    np.testing.assert_array_equal(digits.X, expected.data)
    np.testing.assert_array_equal(digits.target, expected.target)
    assert digits.image_shape == expected.images[0].shape
    assert digits.X.sum() == 561718


def test_digits_file_is_small_and_has_its_licence() -> None:
    folder = Path(docstrings.__file__).parent
    assert (folder / "digits.csv.gz").stat().st_size < 60_000
    assert "CC BY 4.0" in (folder / "LICENSE-digits.txt").read_text(encoding="utf-8")


def test_digits_file_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmf_numba.datasets.digits.FILE_NAME", "absent.csv.gz")
    with pytest.raises(RuntimeError, match=r"absent\.csv\.gz can't be read"):
        load_digits()


# Docstrings


def test_docstrings_have_no_empty_row_or_column(loaded: dict[str, Dataset]) -> None:
    X: Any = loaded["docstrings"].X
    assert 2000 < X.shape[0] < 8000
    assert 2000 < X.shape[1] < 8000
    assert np.diff(X.indptr).min() >= docstrings.MIN_WORDS
    assert np.bincount(X.indices, minlength=X.shape[1]).min() >= docstrings.MIN_DOCUMENTS
    assert np.all(X.data == np.round(X.data))


def test_docstrings_counts_are_right(loaded: dict[str, Dataset]) -> None:
    data = loaded["docstrings"]
    assert data.row_names is not None
    assert data.column_names is not None
    i = data.row_names.index("textwrap.dedent")
    assert textwrap.dedent.__doc__ is not None
    words = textwrap.dedent.__doc__.lower().split()
    for word in ("whitespace", "lines"):
        assert data.X[i, data.column_names.index(word)] == sum(word == w.strip('.,()"') for w in words) > 0
    assert data.target is not None
    assert data.target[i] == "textwrap"


def test_docstrings_names_and_words(loaded: dict[str, Dataset]) -> None:
    data = loaded["docstrings"]
    assert data.row_names is not None
    assert data.column_names is not None
    assert {"json.dumps", "random.Random.choices", "asyncio.queues.Queue.put"} <= set(data.row_names)
    assert {"socket", "decimal", "thread", "xml", "email"} <= set(data.column_names)
    assert docstrings.STOP_WORDS.isdisjoint(data.column_names)
    assert data.column_names == sorted(data.column_names)
    assert all(word.isalpha() and word.islower() and len(word) >= 3 for word in data.column_names)
    assert set(data.target) <= sys.stdlib_module_names - docstrings.SKIPPED  # type: ignore[arg-type]


def test_docstrings_topics_are_recognisable(loaded: dict[str, Dataset]) -> None:
    data = loaded["docstrings"]
    names = np.array(data.column_names)
    model = NMF(15, solver="mu", beta_loss="kullback-leibler", init="nndsvda", random_state=0, max_iter=40, tol=0)
    with threadpool_limits(1):
        model.fit(data.X)
    topics = [set(names[np.argsort(-row)[:12]]) for row in model.components_]
    for pair in ({"path", "directory"}, {"socket", "port"}, {"decimal", "operation"}):
        assert any(pair <= topic for topic in topics), pair


def checksum(data: Dataset) -> str:
    """Names, words and counts in one number, the same in every process."""
    X: Any = data.X
    text = repr((data.row_names, data.column_names)).encode()
    return sha256(text + X.data.tobytes() + X.indices.tobytes() + X.indptr.tobytes()).hexdigest()


def test_docstrings_import_nothing_and_never_change(loaded: dict[str, Dataset]) -> None:
    code = """
import sys
from hashlib import sha256
from nmf_numba.datasets import load_docstrings
before = set(sys.modules)
data = load_docstrings()
new = {name for name in set(sys.modules) - before if not name.startswith("_sysconfigdata")}
assert not new, new
assert sys.modules.keys().isdisjoint({"antigravity", "this", "turtle", "tkinter", "idlelib"})
text = repr((data.row_names, data.column_names)).encode()
print(sha256(text + data.X.data.tobytes() + data.X.indices.tobytes() + data.X.indptr.tobytes()).hexdigest())
"""
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}  # sets in another order
    command = [sys.executable, "-W", "error", "-c", code]
    output = subprocess.run(command, check=True, timeout=60, env=environment, capture_output=True, text=True).stdout
    assert output.strip() == checksum(loaded["docstrings"])


def write(folder: Path, files: dict[str, str | bytes]) -> None:
    """Write files by their paths below `folder`."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def test_docstrings_are_found_in_any_statement(tmp_path: Path) -> None:
    source = '''
"""Module."""
if True:
    def f():
        """Function."""
else:
    try:
        class A:
            """Class."""
            async def g(self):
                """Method."""
                def h():
                    """Inner."""
    except ImportError:
        def k():
            r"""Handler \\d."""
'''
    write(
        tmp_path,
        {
            "json/__init__.py": source,
            "json/tool.py": '"""Tool \\d."""',  # an invalid escape: a warning, but not ours
            "json/test/test_tool.py": '"""Test."""',
            "abc.py": "no docstring",
            "ast.py": "this is no Python(",
            "bdb.py": b"\xff\xfe\x00",
            "this.py": '"""Joke."""',
            "site-packages/numpy.py": '"""Installed."""',
            "numpy.py": '"""Not in the standard library."""',
        },
    )
    assert dict(docstrings.read_docstrings(tmp_path)) == {
        "json": "Module.",
        "json.f": "Function.",
        "json.A": "Class.",
        "json.A.g": "Method.",
        "json.A.g.h": "Inner.",
        "json.k": "Handler \\d.",
        "json.tool": "Tool \\d.",
    }


def test_docstrings_without_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "python311.zip"))
    with pytest.raises(RuntimeError, match=r"No docstrings found in .*source files"):
        load_docstrings()


def test_count_words() -> None:
    text = "The parser's Parser parses max_iter=200 items, isn't it? It does not. PARSER x y"
    assert docstrings.count_words(text) == {"parser": 3, "parses": 1, "max": 1, "iter": 1, "items": 1}


# Piano


def test_piano_is_positive_and_noise_has_power_one(loaded: dict[str, Dataset]) -> None:
    piano = loaded["piano"]
    assert piano.X.min() > 0  # Itakura-Saito takes logarithms
    silent = piano.details["times"] < 0.4
    assert silent.sum() >= 5
    assert piano.X[silent].mean() == pytest.approx(1, rel=0.1)
    assert 10 * np.log10(piano.X.max()) > 50  # dB above the noise


def test_piano_axes(loaded: dict[str, Dataset]) -> None:
    details = loaded["piano"].details
    n_frames, n_frequencies = loaded["piano"].X.shape
    assert details["times"].shape == (n_frames,)
    assert details["frequencies"].shape == (n_frequencies,)
    assert details["frequencies"][-1] == details["sample_rate"] / 2
    assert 0 < details["times"][0] < details["times"][-1] < len(details["signal"]) / details["sample_rate"]
    assert details["activations"].shape == (n_frames, 7)
    assert details["spectra"].shape == (7, n_frequencies)
    np.testing.assert_allclose(details["spectra"].sum(axis=1), 1)
    assert dict(zip(details["pitch_names"], details["pitches"], strict=True))["C4"] == pytest.approx(261.6256)
    assert np.abs(details["signal"]).max() < 1.5


def test_piano_notes_are_seen_where_they_are_played(loaded: dict[str, Dataset]) -> None:
    piano = loaded["piano"]
    times, frequencies = piano.details["times"], piano.details["frequencies"]
    assert len(piano.details["notes"]) == 23
    for note in piano.details["notes"]:
        j = np.abs(frequencies - note.pitch).argmin()
        frames = (times > note.onset + 0.06) & (times < note.onset + 0.2)
        assert frames.any()
        assert piano.X[frames, j].min() > 1e4, note  # 40 dB above the noise
        nearby = np.abs(frequencies - note.pitch) < 40
        spectrum = np.where(nearby, piano.X[frames].mean(axis=0), 0)
        assert spectrum[j - 1 : j + 2].max() == spectrum.max() or note.name in {"E4", "F4"}, note


def test_piano_silent_pitches_are_not_active(loaded: dict[str, Dataset]) -> None:
    details = loaded["piano"].details
    loudest = details["activations"].max(axis=0)
    for t, name in enumerate(details["pitch_names"]):
        sounding = np.zeros(len(details["times"]), dtype=bool)
        for note in details["notes"]:
            if note.name == name:
                sounding |= (details["times"] > note.onset - 0.05) & (
                    details["times"] < note.onset + note.duration + 0.2
                )
        assert details["activations"][~sounding, t].max() < 1e-3 * loudest[t]
        assert details["frequencies"][details["spectra"][t].argmax()] == pytest.approx(details["pitches"][t], abs=8)


def test_piano_pitches_are_recovered(loaded: dict[str, Dataset]) -> None:
    piano = loaded["piano"]
    best: Any = None
    for seed in range(5):  # many local minima: the best of several starts
        model = NMF(8, beta_loss="itakura-saito", solver="mu", init="random", random_state=seed, max_iter=300, tol=1e-9)
        with threadpool_limits(1), pytest.warns(match="Maximum number of iterations"):
            model.fit(piano.X)
        if best is None or model.reconstruction_err_ < best.reconstruction_err_:
            best = model
    found = piano.details["frequencies"][best.components_.argmax(axis=1)]
    for name, pitch in zip(piano.details["pitch_names"], piano.details["pitches"], strict=True):
        assert np.abs(found - pitch).min() < 8, name  # Hz; columns are 10.8 Hz apart


# Swimmer


def test_swimmer_is_a_sum_of_its_parts(loaded: dict[str, Dataset]) -> None:
    swimmer = loaded["swimmer"]
    parts, weights = swimmer.details["parts"], swimmer.details["weights"]
    assert swimmer.X.shape == (256, 1024)
    assert parts.shape == (17, 1024)
    np.testing.assert_array_equal(swimmer.X, weights @ parts)
    np.testing.assert_array_equal(np.unique(swimmer.X), [0, 1])
    assert parts.sum(axis=0).max() == 1  # no two overlap
    np.testing.assert_array_equal(parts.sum(axis=1), [24] + [6] * 16)
    np.testing.assert_array_equal(swimmer.X.sum(axis=1), 24 + 4 * 6)
    assert len(np.unique(swimmer.X, axis=0)) == 256
    assert len(swimmer.details["part_names"]) == 17


def test_swimmer_ranks(loaded: dict[str, Dataset]) -> None:
    swimmer = loaded["swimmer"]
    parts, weights = swimmer.details["parts"], swimmer.details["weights"]
    assert np.linalg.matrix_rank(swimmer.X) == 13
    with_torso = parts[1:].copy()
    with_torso[:4] += parts[0]  # the torso drawn into the four positions of the left arm
    np.testing.assert_array_equal(swimmer.X, weights[:, 1:] @ with_torso)


def test_swimmer_target_gives_the_positions(loaded: dict[str, Dataset]) -> None:
    swimmer = loaded["swimmer"]
    assert swimmer.target is not None
    assert swimmer.row_names is not None
    assert swimmer.row_names[27] == "0123"
    np.testing.assert_array_equal(swimmer.target[27], [0, 1, 2, 3])
    np.testing.assert_array_equal(np.flatnonzero(swimmer.details["weights"][27]), [0, 1, 6, 11, 16])


def test_swimmer_is_symmetric(loaded: dict[str, Dataset]) -> None:
    images = loaded["swimmer"].details["parts"].reshape(17, 32, 32)
    np.testing.assert_array_equal(images[1:5], images[5:9, :, ::-1])  # arms
    np.testing.assert_array_equal(images[9:13], images[13:17, :, ::-1])  # legs


# Low rank


def test_low_rank_without_noise_is_exact() -> None:
    data = make_low_rank(30, 20, 4, noise=0)
    np.testing.assert_array_equal(data.X, data.details["W"] @ data.details["H"])
    assert np.linalg.matrix_rank(data.X) == 4


def test_low_rank_noise_has_the_requested_size() -> None:
    data = make_low_rank(400, 300, 5, noise=0.3)
    ratio = data.X / (data.details["W"] @ data.details["H"])
    assert ratio.mean() == pytest.approx(1, rel=0.01)
    assert ratio.std() == pytest.approx(0.3, rel=0.02)
    assert data.X.min() > 0
    assert data.X.mean() == pytest.approx(1, rel=0.2)


@pytest.mark.parametrize("density", [0.01, 0.1, 0.5])
def test_low_rank_density(density: float) -> None:
    data = make_low_rank(1500, 400, 5, density=density)
    X = data.X
    assert isinstance(X, csr_array)
    assert X.nnz / np.prod(X.shape) == pytest.approx(density, rel=0.05)
    np.testing.assert_array_equal(X.data, np.round(X.data))
    assert X.data.min() == 1


def test_low_rank_counts_are_poisson_with_mean_wh() -> None:
    data = make_low_rank(2000, 50, 3, density=0.3)
    X: Any = data.X
    mean = data.details["W"] @ data.details["H"]
    error = (X.toarray() - mean) / np.sqrt(mean)
    assert X.sum() == pytest.approx(mean.sum(), rel=0.02)
    likely = mean > 0.5
    assert error[likely].mean() == pytest.approx(0, abs=0.03)
    assert error[likely].var() == pytest.approx(1, abs=0.05)


def test_low_rank_columns_fall_like_one_over_rank() -> None:
    frequency = make_low_rank(3000, 1000, 20, density=0.1).X.sum(axis=0)
    slope = np.polyfit(np.log(np.arange(1, 1001)), np.log(frequency + 1), 1)[0]
    assert slope == pytest.approx(-1, abs=0.1)


def test_low_rank_in_blocks_keeps_its_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nmf_numba.datasets.low_rank.WORDS_AT_ONCE", 500)
    data = make_low_rank(300, 80, 3, density=0.2)
    X: Any = data.X
    mean = data.details["W"] @ data.details["H"]
    assert X.shape == (300, 80)
    assert X.has_canonical_format
    np.testing.assert_allclose(X.sum(axis=1), mean.sum(axis=1), atol=6 * np.sqrt(mean.sum(axis=1).max()))
    assert X.sum() == pytest.approx(mean.sum(), rel=0.05)


def test_low_rank_never_forms_the_dense_matrix() -> None:
    X: Any = make_low_rank(200_000, 100_000, 3, density=2e-6).X  # dense: 160 GB
    assert X.shape == (200_000, 100_000)
    assert X.nnz == pytest.approx(40_000, rel=0.2)


@pytest.mark.parametrize("density", [None, 0.2])
def test_low_rank_single_precision_and_seeds(density: float | None) -> None:
    single = make_low_rank(20, 10, 2, density=density, dtype=np.float32)
    double = make_low_rank(20, 10, 2, density=density)
    other = make_low_rank(20, 10, 2, density=density, random_state=1)
    generator = make_low_rank(20, 10, 2, density=density, random_state=np.random.default_rng(0))
    assert single.X.dtype == single.details["W"].dtype == single.details["H"].dtype == np.float32
    assert abs(single.X - double.X).max() < 1e-5 * double.X.max()
    assert abs(other.X - double.X).max() > 0
    assert abs(generator.X - double.X).max() == 0


@pytest.mark.parametrize("density", [None, 0.5])
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 2), (5, 1, 2), (2, 2, 7)])
def test_low_rank_smallest(shape: tuple[int, int, int], density: float | None) -> None:
    for seed in range(20):
        assert make_low_rank(*shape, density=density, random_state=seed).X.shape == shape[:2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_samples": 0}, "n_samples is 0. It must be a whole number, at least 1"),
        ({"n_features": 2.5}, "n_features is 2.5. It must be a whole number"),
        ({"n_components": True}, "n_components is True. It must be a whole number"),
        ({"noise": -0.1}, "noise is -0.1. It must be a number from 1e-6 to 3"),
        ({"noise": float("nan")}, "noise is nan"),
        ({"noise": "loud"}, "noise is 'loud'"),
        ({"density": 0}, "density is 0. It must be above 0 and at most 0.5, or None"),
        ({"density": 0.6}, "density is 0.6. It must be above 0 and at most 0.5"),
        ({"density": float("nan")}, "density is nan"),
        ({"dtype": np.int64}, "dtype is .*int64.*It must be numpy.float32 or numpy.float64"),
        ({"dtype": None}, "dtype is None"),
        ({"dtype": "text"}, "dtype is 'text'"),
        ({"random_state": -1}, "random_state is -1. It must be a whole number, at least 0"),
        ({"random_state": "seed"}, "random_state is 'seed'"),
    ],
)
def test_low_rank_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_low_rank(**arguments)
