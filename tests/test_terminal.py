import io
import subprocess
import sys

import pytest
from rich.table import Table

from genexp.terminal import LastingStream, Terminal, bold, harmless

HOSTILE = "a\x1b[2J\x1b]0;title\x07b\x9b31m\u202ec[/red][bold]:smile:\r"


def written(show, **settings):
    file = io.StringIO()
    show(Terminal(file=file, width=200, **settings))
    return file.getvalue()


def table(text):
    made = Table(title=text, caption=text)
    made.add_column(text)
    made.add_row(text)
    return made


@pytest.mark.parametrize(
    "show",
    [
        lambda console: console.print(HOSTILE),
        lambda console: console.print(bold(HOSTILE, HOSTILE)),
        lambda console: console.print(table(HOSTILE)),
        lambda console: console.print(table(bold(HOSTILE))),
    ],
    ids=["text", "bold", "table", "bold in a table"],
)
def test_text_of_others_is_shown_and_does_nothing(show):
    text = written(show)
    assert harmless(HOSTILE) in text and "[/red][bold]:smile:" in text
    assert not set(text) & {"\x1b", "\x07", "\x9b", "\u202e", "\r"}


def test_newlines_tabs_and_letters_of_all_languages_stay():
    text = "é 日本\n\tΩ ± ≤"
    assert harmless(text) == text


def test_characters_that_the_terminal_lacks_are_replaced():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    LastingStream(stream).write("3 ± 1 ≤ 5 é")
    stream.flush()
    assert stream.buffer.getvalue() == b"3 +- 1 <= 5 ?"


def test_a_reader_that_stops_ends_nothing():
    code = (
        "import sys\nfrom genexp.terminal import lasting_streams\n"
        "with lasting_streams():\n    for i in range(100_000):\n        print(i, flush=True)\n"
        "    print('at the end', file=sys.stderr)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr.read() == b"at the end\n" and process.wait() == 0


def test_the_streams_are_given_back():
    from genexp.terminal import lasting_streams

    before = sys.stdout, sys.stderr
    with pytest.raises(RuntimeError), lasting_streams():
        assert sys.stdout is not before[0] and sys.stdout.encoding == before[0].encoding
        raise RuntimeError
    assert (sys.stdout, sys.stderr) == before
