"""What a person sees: text of others shown harmlessly, in terminals that lack characters, and to readers that stop reading."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

HIDDEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
"""Characters that move a terminal's cursor, colour it, or turn the direction of text: all controls but newline and tab."""
PLAIN = str.maketrans({"±": "+-", "≤": "<=", "≥": ">=", "…": "...", "→": "->", "↓": "v", "↑": "^"})
"""What stands for characters that an ASCII terminal lacks."""


def harmless(text: str) -> str:
    r"""Text in which control characters are written out, as ``\x1b``."""
    return HIDDEN.sub(lambda match: match.group().encode("unicode_escape").decode(), text)


class Terminal(Console):
    """Rich output that takes every text literally: names in a config or a file are no markup, and control no terminal."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | settings)

    def render_str(self, text: str, **settings: Any) -> Text:  # type: ignore[override]
        """Called by rich for every string that it prints, those in tables included."""
        return super().render_str(harmless(text), **settings)


def bold(text: str, rest: str = "") -> Text:
    """``text`` in bold, then the rest."""
    return Text.assemble((harmless(text), "bold"), harmless(rest))


class LastingStream:
    """A stream that does not end a run: what its encoding lacks is replaced, and once nobody reads, nothing is written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_read = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            self._try(self._stream.write, text)
        except UnicodeEncodeError:
            encoding = self._stream.encoding or "ascii"
            plain = text.translate(PLAIN).encode(encoding, "replace").decode(encoding)
            self._try(self._stream.write, plain)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[..., object], *arguments: str) -> None:
        if not self._is_read:
            return
        try:
            action(*arguments)
        except BrokenPipeError:  # as under `| head`
            self._is_read = False
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), self._stream.fileno()
            )  # also for what children and libraries write


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Inside the block a :class:`LastingStream` stands before stdout and stderr."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(LastingStream, before)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stdout, sys.stderr = before
