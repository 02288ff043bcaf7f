"""Commands in this process, and what they print."""

import io
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout

import genexp
from genexp.cli import main
from genexp.record.errors import ConfigError


def call(*arguments: str) -> tuple[int, str, str]:
    """``genexp <arguments>``, or ``genexp.load(run)`` for the words ``load`` and a run: exit code, standard output and standard
    error. What a command lets through is its traceback, with code 1."""
    before, path = sys.argv, list(sys.path)
    out, err = io.StringIO(), io.StringIO()
    sys.argv = ["genexp", *arguments]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err):
            try:
                _load(arguments[1]) if arguments[0] == "load" else main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
            except Exception:
                traceback.print_exc(file=err)
                code = 1
    finally:
        sys.argv, sys.path[:] = before, path
    return code, out.getvalue(), err.getvalue()


def _load(run: str) -> None:
    try:
        genexp.load(run)
    except ConfigError as error:
        print(f"genexp: error: {error}", file=sys.stderr)
        raise SystemExit(2) from error


def is_refusal(code: int, err: str, names: Sequence[str] = ()) -> bool:
    """Whether a command ended with exit code 2 and one line that has all of ``names``."""
    lines = [line for line in err.splitlines() if line.strip()]
    return (
        code == 2 and len(lines) == 1 and lines[0].startswith("genexp: error: ") and all(n in lines[0] for n in names)
    )
