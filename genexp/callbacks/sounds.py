"""Samples of sound as WAV files and as waveforms with their spectrograms."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from genexp.callbacks.pictures import label_names
from genexp.plot_style import COLOUR_MAP, DOT, new_figure, style
from genexp.probability.quantize import mu_law_waveform

ROWS = 8
"""Clips in a picture, at most."""
WINDOW, HOP = 256, 64
"""Samples of a Hann window of the spectrogram, and from one to the next."""
RANGE = 80.0
"""Decibels that the colours of the spectrogram span, down from the loudest point of all clips."""


def sounds(
    x: Tensor,
    y: Tensor | None,
    levels: int,
    sample_rate: int,
    path: Path,
    *,
    title: str,
    names: Sequence[str] | None = None,
    rows: Sequence[str] | None = None,
) -> list[Path]:
    """Write ``<path>-<i>.wav`` for every clip, 16 bits mono, and ``<path>.png``: a row for each of the first 8 clips, its
    waveform and its spectrogram.

    Args:
        x: ``(N, T)`` mu-law codes.
        y: labels ``(N,)``, shown and in the names of the files, ``<path>-<i>-label<y>.wav``; None without any.
        levels: number of codes.
        sample_rate: in Hz.
        path: of the files, without suffix.
        title: of the picture.
        names: of the classes, for the picture; None where they have none.
        rows: names of the clips in the picture; None for those of their labels.

    Returns:
        The paths written, the picture first.

    Raises:
        ValueError: ``x`` is not ``(N, T)``.
    """
    if x.ndim != 2:
        raise ValueError(f"data.shape={list(x.shape[1:])}: sound has the shape [T]")
    waveforms = mu_law_waveform(x.cpu(), levels)
    marks = [""] * len(x) if y is None else [f"label{label}" for label in y.tolist()]
    path.parent.mkdir(parents=True, exist_ok=True)
    written = [path.with_name(f"{path.name}.png")]
    heads = rows or label_names(y, names) or [""] * len(x)
    if len(x) > ROWS:
        title = f"{title}{DOT}the first {ROWS} of {len(x):,}"
    _picture(waveforms[:ROWS], heads, sample_rate, title, written[0])
    for i, (waveform, mark) in enumerate(zip(waveforms, marks, strict=True)):
        written.append(path.with_name("-".join(part for part in (path.name, str(i), mark) if part) + ".wav"))
        write_wav(waveform, sample_rate, written[-1])
    return written


def write_wav(waveform: Tensor, sample_rate: int, path: Path) -> None:
    """Write a waveform ``(T,)`` in [-1, 1] as a WAV file of 16 bits, mono."""
    from scipy.io import wavfile

    wavfile.write(path, sample_rate, (waveform * (2**15 - 1)).round().to(torch.int16).numpy())


def decibels(waveform: Tensor) -> Tensor:
    """Power spectrogram in decibels: ``(T,)`` -> ``(129, 1 + T // 64)``, frequencies from 0 to half the sample rate."""
    window = torch.hann_window(WINDOW, dtype=waveform.dtype)
    spectrum = torch.stft(waveform, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    return 10 * torch.log10(spectrum.abs() ** 2 + 1e-10)


def _picture(waveforms: Tensor, heads: Sequence[str], sample_rate: int, title: str, path: Path) -> None:
    n, seconds = len(waveforms), waveforms.shape[1] / sample_rate
    spectrograms = [decibels(waveform) for waveform in waveforms]
    loudest = max(spectrogram.max().item() for spectrogram in spectrograms)
    time = torch.arange(waveforms.shape[1]) / sample_rate
    with style():
        figure = new_figure(10, 0.9 + 1.3 * n, title)
        rows = figure.subplots(n, 2, sharex=True, squeeze=False)
        for waveform, spectrogram, head, (left, right) in zip(waveforms, spectrograms, heads, rows, strict=False):
            left.plot(time.numpy(), waveform.numpy(), linewidth=0.5)
            left.set_ylim(-1, 1)
            left.set_ylabel(head, fontsize="small")
            image = right.imshow(
                spectrogram.numpy() - loudest,
                extent=(0, seconds, 0, sample_rate / 2000),
                vmin=-RANGE,
                vmax=0,
                origin="lower",
                aspect="auto",
                cmap=COLOUR_MAP,
            )
            right.grid(False)
            right.set_ylabel("kHz", fontsize="small")
        rows[0][0].set(xlim=(0, seconds), title="waveform")
        rows[0][1].set(title="spectrogram")
        figure.colorbar(image, ax=rows[:, 1], label="dB below the loudest point")
        for axes in rows[-1]:
            axes.set_xlabel("seconds", fontsize="small")
        for axes in rows.flat:
            axes.tick_params(labelsize="x-small")
        figure.savefig(path)
