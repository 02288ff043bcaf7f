"""The README and its pages: what they link to exists, and what their commands name can be chosen."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / ".readme").glob("*.md"))]
GROUPS = ("model", "data", "experiment", "metrics", "sweep", "trainer", "logger", "monitors")
CHOICE = re.compile(rf"(?<![\w./+])((?:{'|'.join(GROUPS)})(?:/\w+)?)=(\[[\w,]*\]|\w[\w,]*)")
"""A choice of one or several options of a group: ``model=made,vae``, ``model/penalties=[r1,r2]``."""
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def anchors(path):
    """What a link may name after ``#``: the headings, as GitHub turns them into identifiers."""
    prose = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code(text):
    """The blocks of code and the spans between single backticks."""
    blocks = re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [*blocks, *re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))]


def unknown_choices(text, own=()):
    """Choices in the code of ``text`` that no file of ``conf/`` answers, nor one of ``own``."""
    for part in code(text):
        for group, names in CHOICE.findall(part):
            for name in filter(None, names.strip("[]").split(",")):
                option = f"{group}/{name}"
                if name != "null" and option not in own and not (CONF / f"{option}.yaml").is_file():
                    yield f"{group}={name}"


@page
def test_links_and_pictures_exist(path):
    for target in re.findall(r"\]\(([^)]+)\)", path.read_text()):
        file, _, anchor = target.partition("#")
        if not re.match(r"\w+:", target):
            to = path.parent / file if file else path
            assert to.is_file(), target
            assert not anchor or anchor in anchors(to), target


@page
def test_commands_name_options_that_exist(path):
    if path.name != "changes.md":  # it names what is gone
        own = re.findall(r"mine/([\w/]+)\.yaml", path.read_text())
        assert not sorted(set(unknown_choices(path.read_text(), own)))


def test_every_page_and_picture_is_used():
    linked = {
        target.partition("#")[0].split("/")[-1] for p in PAGES for target in re.findall(r"\]\(([^)]+)\)", p.read_text())
    }
    assert not {file.name for file in (ROOT / ".readme").iterdir()} - linked


def test_the_readme_is_a_way_in():
    assert len(README.read_text().splitlines()) <= 320


def test_the_test_of_commands_would_notice():
    block = "genexp train model=made,nothing data=digits metrics=[nll,other] model/penalties=[r1]"
    text = f"```bash\n{block}\n```\n`sweep=no` model=prose"
    assert list(unknown_choices(text)) == ["model=nothing", "metrics=other", "sweep=no"]
