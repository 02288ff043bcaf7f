"""Samples of sound as WAV files and as waveforms with their spectrograms."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genexp.probability.quantize import mu_law_waveform

ROWS = 8
"""Clips in a picture, at most."""
WINDOW, HOP = 256, 64
"""Samples of a Hann window of the spectrogram, and from one to the next."""
RANGE = 80.0
"""Decibels that the colours of the spectrogram span, down from the loudest point of all clips."""


def sounds(x: Tensor, y: Tensor | None, levels: int, sample_rate: int, path: Path) -> list[Path]:
    """Write ``<path>-<i>.wav`` for every clip, 16 bits mono, and ``<path>.png``: a row for each of the first 8 clips, its
    waveform and its spectrogram.

    Args:
        x: ``(N, T)`` mu-law codes.
        y: labels ``(N,)``, shown and in the names of the files, ``<path>-<i>-label<y>.wav``; None without any.
        levels: number of codes.
        sample_rate: in Hz.
        path: of the files, without suffix.

    Returns:
        The paths written, the picture first.

    Raises:
        ValueError: ``x`` is not ``(N, T)``.
    """
    if x.ndim != 2:
        raise ValueError(f"data.shape={list(x.shape[1:])}: sound has the shape [T]")
    from scipy.io import wavfile

    waveforms = mu_law_waveform(x.cpu(), levels)
    titles = [""] * len(x) if y is None else [f"label{label}" for label in y.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.png")]
    _picture(waveforms[:ROWS], titles, sample_rate, written[0])
    for i, (waveform, title) in enumerate(zip(waveforms, titles, strict=True)):
        written.append(path.with_name("-".join(part for part in (path.name, str(i), title) if part) + ".wav"))
        wavfile.write(written[-1], sample_rate, (waveform * (2**15 - 1)).round().to(torch.int16).numpy())
    return written


def decibels(waveform: Tensor) -> Tensor:
    """Power spectrogram in decibels: ``(T,)`` -> ``(129, 1 + T // 64)``, frequencies from 0 to half the sample rate."""
    window = torch.hann_window(WINDOW, dtype=waveform.dtype)
    spectrum = torch.stft(waveform, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    return 10 * torch.log10(spectrum.abs() ** 2 + 1e-10)


def _picture(waveforms: Tensor, titles: Sequence[str], sample_rate: int, path: Path) -> None:
    from matplotlib.figure import Figure

    n, seconds = len(waveforms), waveforms.shape[1] / sample_rate
    spectrograms = [decibels(waveform) for waveform in waveforms]
    loudest = max(spectrogram.max().item() for spectrogram in spectrograms)
    time = torch.arange(waveforms.shape[1]) / sample_rate
    figure = Figure(figsize=(10, 0.5 + 1.3 * n), dpi=100, layout="constrained")
    rows = figure.subplots(n, 2, sharex=True, squeeze=False)
    for waveform, spectrogram, title, (left, right) in zip(waveforms, spectrograms, titles, rows, strict=False):
        left.plot(time.numpy(), waveform.numpy(), linewidth=0.5)
        left.set_ylim(-1, 1)
        left.set_ylabel(title.replace("label", "label "), fontsize=8)
        right.imshow(
            spectrogram.numpy(),
            extent=(0, seconds, 0, sample_rate / 2000),
            vmin=loudest - RANGE,
            vmax=loudest,
            origin="lower",
            aspect="auto",
            cmap="magma",
        )
        right.set_ylabel("kHz", fontsize=8)
    rows[0][0].set_xlim(0, seconds)
    for axes in rows[-1]:
        axes.set_xlabel("seconds", fontsize=8)
    for axes in rows.flat:
        axes.tick_params(labelsize=7)
    figure.savefig(path)
