"""``genexp completion``: what the verbs are, for the shells that complete commands."""

import io
import re
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout, suppress

from genexp.catalogue.candidates import COMPOSED
from genexp.catalogue.shells import flags_in
from genexp.catalogue.shells import main as answer


def main(arguments: list[str], verbs: Mapping[str, Callable[[list[str]], None]], help_text: str) -> None:
    """The verb.

    Args:
        arguments: see :func:`genexp.catalogue.shells.main`.
        verbs: what each does with the words after it.
        help_text: a line about each verb.
    """

    def flags(verb: str) -> list[str]:
        if verb in COMPOSED:
            from genexp.command_line import SWITCHES, WITH_OPTIONAL_VALUE, WITH_VALUE

            return [option for option in (*WITH_VALUE, *WITH_OPTIONAL_VALUE, *SWITCHES) if option.startswith("--")]
        text = io.StringIO()
        with redirect_stdout(text), suppress(SystemExit):
            verbs[verb](["--help"])
        return flags_in(text.getvalue())

    verb_lines, _, _ = help_text.partition("Examples")
    lines = dict(re.findall(r"^  genexp (\w+) (?:\.\.\.)? +(.*)$", verb_lines, re.MULTILINE))
    answer(arguments, {verb: lines.get(verb, "") for verb in verbs}, flags)
