"""A piano phrase, synthesised here, and its power spectrogram."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nmf_numba.datasets.dataset import Dataset

SAMPLE_RATE = 11025  # Hz
WINDOW = 1024  # samples, 93 ms
HOP = 512  # samples, 46 ms
BEAT = 0.5  # s
LEAD = 0.5  # s before the first note and after the last
NOISE = 3e-3  # standard deviation of the noise floor; the loudest partial has amplitude 0.3

# Names, onsets and durations, both in beats. Beethoven, Symphony No. 9 (1824), the theme of the finale, in C major.
MELODY = ["E4", "E4", "F4", "G4", "G4", "F4", "E4", "D4", "C4", "C4", "D4", "E4", "E4", "D4", "D4"]
MELODY_BEATS = [1.0] * 12 + [1.5, 0.5, 2.0]
BASS = [
    ("C3", 0, 1),
    ("G2", 2, 1),
    ("C3", 4, 1),
    ("G2", 6, 1),
    ("C3", 8, 1),
    ("G2", 10, 1),
    ("C3", 12, 1),
    ("G2", 14, 1),
]
SEMITONES = {"C": -9, "D": -7, "E": -5, "F": -4, "G": -2, "A": 0, "B": 2}  # from A of the same octave

DESCRIPTION = """\
A piano phrase: the first four bars of the Ode to Joy, with two pitches in the bass.
Rows: time frames of 93 ms, one each 46 ms. Columns: frequencies from 0 to 5512.5 Hz.
Unit of X: power relative to the noise floor (where there is only noise, X is 1 on average).
So a row of H is the spectrum of a note, and a column of W is its loudness over time.
Source: synthesised here. The melody is by L. van Beethoven, Symphony No. 9 (1824), and in the public domain.
Licence: that of this package."""


class Note(NamedTuple):
    """One note as played: name, onset and duration in s, pitch (frequency of its first partial) in Hz."""

    name: str
    onset: float
    duration: float
    pitch: float


def pitch_of(name: str) -> float:
    """Return the frequency in Hz of a note such as "C4", equal temperament, A4 = 440 Hz."""
    octave = int(name[1:]) - 4
    return float(440.0 * 2.0 ** (octave + SEMITONES[name[0]] / 12))


def write_notes() -> list[Note]:
    """Return all notes, by onset and then by pitch."""
    onsets = np.cumsum([0.0, *MELODY_BEATS[:-1]])
    played = [*zip(MELODY, onsets.tolist(), MELODY_BEATS, strict=True), *BASS]
    notes = [Note(name, LEAD + BEAT * onset, BEAT * beats, pitch_of(name)) for name, onset, beats in played]
    return sorted(notes, key=lambda note: (note.onset, note.pitch))


def play(note: Note) -> NDArray[np.float64]:
    """Return the sound of one note from its onset to LEAD s after its end: a sum of decaying partials.

    Partial n has frequency n pitch sqrt(1 + B n^2): a stiff string, so partials lie a little above the multiples of the
    pitch. High partials are weaker and decay faster. The damper falls at the end of the note.
    """
    t = np.arange(round((note.duration + LEAD) * SAMPLE_RATE)) / SAMPLE_RATE
    sound = np.zeros_like(t)
    stiffness = 3e-4  # B
    for n in range(1, 21):
        frequency = n * note.pitch * np.sqrt(1 + stiffness * n**2)
        if frequency < 0.45 * SAMPLE_RATE:
            sound += 0.3 * n**-1.3 * np.exp(-(1.0 + 0.05 * n) * t) * np.sin(2 * np.pi * frequency * t)
    attack = np.sin(np.pi / 2 * np.clip(t / 0.03, 0, 1)) ** 2
    damper = np.exp(-np.maximum(t - note.duration, 0) / 0.04)
    return np.asarray(sound * attack * damper)


def power_spectrogram(signal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the power of each frame and frequency relative to the noise floor, shape (n_frames, WINDOW // 2 + 1)."""
    window = np.hanning(WINDOW + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    spectrum = np.fft.rfft(frames * window, axis=1)
    return (spectrum.real**2 + spectrum.imag**2) / (NOISE**2 * np.sum(window**2))


def make_piano() -> Dataset:
    """Return the power spectrogram of a short piano phrase with 7 known pitches.

    The first four bars of the Ode to Joy, 9 s: a melody of five pitches, and under it two bass pitches in turn.

    Returns
    -------
    Dataset
        X : ndarray of shape (192, 513)
            X[i, j]: power in time frame i at frequency j, relative to the noise floor. Positive everywhere, so the
            Itakura-Saito divergence accepts it. A row of H is a spectrum, a column of W its loudness over time.
        row_names : list of str
            Middle of the frames, such as "0.05 s".
        column_names : list of str
            Frequencies, such as "258 Hz".
        details : dict
            signal : ndarray of shape (n_samples,)
                The sound; the loudest partial has amplitude 0.3.
            sample_rate : int
                In Hz.
            times : ndarray of shape (192,)
                Middle of the frames in s.
            frequencies : ndarray of shape (513,)
                In Hz.
            notes : list of Note
                What is played: `name`, `onset` (s), `duration` (s), `pitch` (Hz).
            pitch_names : list of 7 str
                The distinct pitches, from low to high.
            pitches : ndarray of shape (7,)
                Their frequencies in Hz.
            activations : ndarray of shape (192, 7)
                The true W: power of each pitch in each frame when it sounds alone and without noise.
            spectra : ndarray of shape (7, 513)
                The true H: the mean spectrum of each pitch. Each row sums to 1.

    Notes
    -----
    ``activations @ spectra`` is near the part of X above the noise, but not equal: high partials decay faster than
    low ones, and notes that sound together interfere. One more component than pitches lets one of them take the
    noise.

    The spectrogram has a Hann window of 1024 samples and a hop of 512, at 11025 Hz. Frequencies are 10.8 Hz apart. In
    decibels: ``10 * np.log10(X)``. The noise has a fixed seed.

    The Itakura-Saito divergence has many local minima here. With 8 components and random starts, the runs with the
    lowest objective find all 7 pitches, others do not: start several times and keep the best.

    References
    ----------
    C. Févotte, N. Bertin and J.-L. Durrieu (2009), Nonnegative matrix factorization with the Itakura-Saito
    divergence: with application to music analysis, Neural Computation 21(3), 793-830. Their piano, too, plays a few
    notes alone and together.

    Examples
    --------
    >>> from nmf_numba.datasets import make_piano
    >>> piano = make_piano()
    >>> piano.X.shape, bool((piano.X > 0).all())
    ((192, 513), True)
    >>> piano.details["pitch_names"]
    ['G2', 'C3', 'C4', 'D4', 'E4', 'F4', 'G4']
    >>> piano.details["notes"][1]
    Note(name='E4', onset=0.5, duration=0.5, pitch=329.6275569128699)
    """
    notes = write_notes()
    n_samples = round((max(note.onset + note.duration for note in notes) + LEAD) * SAMPLE_RATE) + 1  # 1: for rounding
    names = sorted({note.name for note in notes}, key=pitch_of)
    sounds = {name: np.zeros(n_samples) for name in names}  # each pitch alone
    for note in notes:
        sound = play(note)
        start = round(note.onset * SAMPLE_RATE)
        sounds[note.name][start : start + len(sound)] += sound
    signal = sum(sounds.values(), NOISE * np.random.default_rng(0).standard_normal(n_samples))

    alone = np.array([power_spectrogram(sound) for sound in sounds.values()])  # (n_pitches, n_frames, n_frequencies)
    totals = alone.sum(axis=1)
    X = power_spectrogram(signal)
    times = (np.arange(len(X)) * HOP + WINDOW / 2) / SAMPLE_RATE
    frequencies = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    return Dataset(
        X=X,
        title="Piano: Ode to Joy",
        description=DESCRIPTION,
        row_names=[f"{time:.2f} s" for time in times],
        column_names=[f"{frequency:.0f} Hz" for frequency in frequencies],
        details={
            "signal": signal,
            "sample_rate": SAMPLE_RATE,
            "times": times,
            "frequencies": frequencies,
            "notes": notes,
            "pitch_names": names,
            "pitches": np.array([pitch_of(name) for name in names]),
            "activations": np.ascontiguousarray(alone.sum(axis=2).T),
            "spectra": totals / totals.sum(axis=1, keepdims=True),
        },
    )
