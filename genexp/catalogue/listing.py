"""``genexp list``: the options of each config group, with a line about each."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table

from genexp.catalogue.comments import Node, read
from genexp.catalogue.files import Option, find, folders, group_called, groups, options
from genexp.record.errors import Parser
from genexp.reports.tables import verdict


def main(arguments: list[str], console: Console) -> None:
    """The verb.

    Raises:
        ConfigError: there is no such group.
    """
    parser = Parser(
        prog="genexp list",
        description="The options of a config group, with a line about each; without one, the groups.",
        epilog="examples: genexp list     genexp list models     genexp list model/prior     genexp list experiments --json",
    )
    parser.add_argument(
        "group", nargs="*", help="models, data, metrics, experiments ... or any folder of conf/, as model/prior"
    )
    parser.add_argument("--json", action="store_true", help="as JSON, for a script")
    chosen = parser.parse_intermixed_args(arguments)
    tables = [group_called(word) for word in chosen.group]
    if chosen.json:
        found = [entry for group in tables for entry in map(_entry, options(group))] if tables else _groups()
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not tables:
        _show_groups(console)
    for group in tables:
        _show(group, console)


def described(option: Option) -> str:
    """A line about an option; of one without a comment, about its class."""
    file = read(option.path)
    if file.summary:
        return file.summary
    from genexp.catalogue.docstrings import explained

    target = (file.root.children or {}).get("_target_")
    return explained(target.text)[0] if target else ""


def about_groups() -> dict[str, str]:
    """A line about each group: the comment beside it in a defaults list."""
    texts: dict[str, str] = {}
    for folder in folders():
        for path in sorted(folder.rglob("*.yaml"), key=lambda path: (len(path.parts), str(path))):
            for group, comment in read(path).choices.items():
                here = path.parent.relative_to(folder).as_posix()
                name = group.strip("/") if group.startswith("/") or here == "." else f"{here}/{group}"
                texts[name] = texts.get(name) or comment
    return texts


def launchers_of_packages() -> dict[str, str]:
    """Launchers that come with optional packages, each with the extra of genexp that brings it."""
    from genexp.runs.hydra_errors import EXTRAS

    return {name.removeprefix("hydra/launcher/"): extra for name, extra in EXTRAS.items()}


def _groups() -> list[dict[str, Any]]:
    about = about_groups()
    return [
        {"group": group, "options": [option.name for option in options(group)], "description": about.get(group, "")}
        for group in groups()
    ]


def _show_groups(console: Console) -> None:
    table = _table("Config groups", "group", "options", "what is chosen")
    for entry in _groups():
        table.add_row(entry["group"], str(len(entry["options"])), entry["description"])
    console.print(table)
    console.print(
        "genexp list GROUP lists the options of a group; genexp info GROUP=OPTION explains one", soft_wrap=True
    )


def _show(group: str, console: Console) -> None:
    about = about_groups().get(group, "")
    table = _table(f"{group}= {about}".rstrip(), "name", "what it is")
    found = options(group)
    numbers = {option.name: number for option in found if (number := published_number(option))}
    if numbers:
        for column in ("published", "reproduced", "verdict"):
            table.add_column(column, overflow="fold")
    default = _default(group)
    for option in found:
        name = f"{option.name} (default)" if option.name in default else option.name
        row = numbers.get(option.name, ("", "", "")) if numbers else ()
        table.add_row(name, described(option), *row)
    console.print(table)
    if group == "hydra/launcher":
        extras = (f"{name} (pip install 'genexp[{extra}]')" for name, extra in launchers_of_packages().items())
        console.print(f"and Hydra's basic, {', '.join(extras)}", soft_wrap=True)
    if found:
        console.print(f"genexp info {found[0].word} explains one", soft_wrap=True)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, overflow="fold", justify="right" if name == "options" else "left")
    return table


def _default(group: str) -> list[str]:
    """What is chosen of a group where nobody chooses."""
    train = find("", "train")
    assert train is not None
    for entry in read(train.path).defaults:
        if isinstance(entry, dict) and next(iter(entry)).removeprefix("override ") == group:
            value = next(iter(entry.values()))
            return value if isinstance(value, list) else [str(value)]
    return []


def _entry(option: Option) -> dict[str, Any]:
    file = read(option.path)
    entry: dict[str, Any] = {
        "group": option.group,
        "name": option.name,
        "description": described(option),
        "papers": list(file.papers),
        "file": str(option.path),
    }
    if number := published_number(option):
        entry |= dict(zip(("published", "reproduced", "verdict"), number, strict=True))
    return entry


def published_number(option: Option) -> tuple[str, str, str] | None:
    """The published number of an experiment, what was reproduced of it, and the verdict; None where it has none."""
    root = read(option.path).root
    number, mine = ((root.children or {}).get(name) for name in ("published", "reproduced"))
    if number is None or not number.children:
        return None
    said = _texts(number)
    text = f"{said.get('metric', '')} {said.get('value', '')} {said.get('unit', '')}".strip()
    try:
        facts = {
            "value": float(said["value"]),
            "tolerance": float(said["tolerance"]),
            "verified": said["verified"] == "true",
        }
        value = float(_texts(mine)["value"]) if mine is not None and mine.children else None
    except (KeyError, ValueError):
        return text, "", ""
    return (text, "-", "not run") if value is None else (text, f"{value:g}", verdict(facts, value)[0])


def _texts(node: Node) -> dict[str, str]:
    return {name: child.text.strip("'\"") for name, child in (node.children or {}).items()}
