"""``genexp info``: what an option is, the keys that it sets with what they mean, the parts it takes, and what fits it."""

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from genexp.catalogue.comments import Node, read
from genexp.catalogue.composition import Composition, compose, leaves
from genexp.catalogue.docstrings import explained
from genexp.catalogue.files import Option, find, option_called, options
from genexp.catalogue.listing import described, published_number
from genexp.record.errors import Parser

BLOCKS = ("published", "reproduced")
"""Entries of an experiment that record a number, and set nothing."""
SILENT = ("_target_", "_partial_", "_recursive_")
"""Keys that say how an object is made; the class stands beside its own key."""


def main(arguments: list[str], console: Console) -> None:
    """The verb.

    Raises:
        ConfigError: there is no such option, or several.
    """
    parser = Parser(
        prog="genexp info",
        description="What an option is: its keys with values and what they mean, the parts it takes, the metrics or models "
        "that fit it, the paper. ${...} is the value of another key.",
        epilog="examples: genexp info model=vae     genexp info metrics=fidelity     genexp info experiment=made_uci_dna",
    )
    parser.add_argument("option", nargs="+", help="group=option, as model=vae; or option, where only one group has it")
    chosen = parser.parse_intermixed_args(arguments)
    for option in [option_called(word) for word in chosen.option]:
        _explain(option, console)


def _explain(option: Option, console: Console) -> None:
    file = read(option.path)
    package = "" if file.is_global else option.group.replace("/", ".")
    composed = compose(option, package)
    node = file.root if file.is_global else composed.at(package) or Node("", children={})
    console.print(f"{option.word}    {_short(option.path)}", style="bold", soft_wrap=True)
    console.print(file.header or described(option), soft_wrap=True)
    facts = _facts()
    if (target := (node.children or {}).get("_target_")) is not None:
        facts.add_row("class", f"{target.text}: {_about(node)[0]}".rstrip(": "))
    for paper in file.papers:
        facts.add_row("paper", paper)
    for row in (*_choices(composed, option), *_fits(option, node), *_number(file.root, option)):
        facts.add_row(*row)
    facts.add_row("example", _example(option))
    console.print(facts)
    whole = composed if not file.is_global else compose(_train(), "", {(option.group, option.group): [option.name]})
    _show_keys(node, "" if file.is_global else package, whole, console)


def _facts() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    return table


def _short(path: Path) -> str:
    """A path from the working folder, where it lies below."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def _choices(composed: Composition, option: Option) -> Iterator[tuple[str, str]]:
    """The parts that an option takes, with what else could be chosen; and what it chooses of groups outside."""
    for (group, place), names in composed.chosen.items():
        others = [other.name for other in options(group) if other.name not in names]
        yield "part", f"{_slot(group, place)}={_names(names)}" + (f"    or {', '.join(others)}" if others else "")
    chosen = {slot: names for slot, names in composed.overridden.items() if slot not in composed.chosen}
    if chosen:
        yield "chooses", " ".join(f"{_slot(*slot)}={_names(names)}" for slot, names in chosen.items())


def _slot(group: str, place: str) -> str:
    return group if place == group.replace("/", ".") else f"{group}@{place}"


def _names(names: list[str]) -> str:
    return {0: "null", 1: "".join(names)}.get(len(names), f"[{','.join(names)}]")


def _number(root: Node, option: Option) -> Iterator[tuple[str, str]]:
    """The published number of an experiment, and what was reproduced of it."""
    if (number := published_number(option)) is None:
        return
    said, mine = (
        {key: value for key, value in leaves((root.children or {}).get(block) or Node(""))} for block in BLOCKS
    )
    yield "published", f"{_with_comment(said, 'value', number[0])}, tolerance {said['tolerance'].text}"
    yield "in", f"{said['paper'].text}, {said['table'].text}"
    for name in ("selection", "evidence"):
        yield name, said[name].text
    yield "reproduced", f"{_with_comment(mine, 'value', number[1])}: {number[2]}" if mine else "not run"
    if mine:
        yield "how", ", ".join(f"{name} {value.text}" for name, value in mine.items() if name != "value")


def _with_comment(said: dict[str, Node], name: str, text: str) -> str:
    return f"{text} ({said[name].comment})" if name in said and said[name].comment else text


def _train() -> Option:
    found = find("", "train")
    assert found is not None
    return found


def _fits(option: Option, node: Node) -> Iterator[tuple[str, str]]:
    """The metrics that fit a model, or the models that fit a metric."""
    from genexp.runs.fitting import lacking
    from genexp.runs.metric_options import metric_options

    target = (node.children or {}).get("_target_")
    if option.group == "model" and target is not None:
        reasons = {
            name: lacking({"_target_": target.text}, metric) for name, metric in sorted(metric_options().items())
        }
        yield (
            "metrics",
            f"{', '.join(name for name, reason in reasons.items() if reason is None)} (some only certain data)",
        )
        if unfit := [name for name, reason in reasons.items() if reason is not None]:
            yield "not", f"{', '.join(unfit)}"
    if option.group in ("metrics", "monitors"):
        metrics = [
            {"_target_": one.text} for key, one in leaves(node) if key.count(".") == 1 and key.endswith("._target_")
        ]
        fit, unfit = [], []
        for model in options("model"):
            root = compose(model, "model").at("model._target_")
            missing = [lacking({"_target_": root.text}, metric) for metric in metrics] if root is not None else [None]
            (unfit if missing and all(missing) else fit).append(model.name)
        yield "models", f"{', '.join(fit)}{' (some only certain data)' if fit else 'none'}"
        if unfit:
            yield "not", ", ".join(unfit)
    if "/" in option.group and not option.group.startswith("hydra/"):
        if users := _users(option.group):
            yield "of", ", ".join(user.word for user in users)


def _users(group: str) -> list[Option]:
    """The options of the group above that take a part of this group."""
    above = group.rpartition("/")[0]
    place = group.replace("/", ".")
    return [one for one in options(above) if (group, place) in compose(one, above.replace("/", ".")).chosen]


def _example(option: Option) -> str:
    if option.group == "metrics":
        return f"genexp evaluate run=outputs/x {option.word}"
    if option.group.startswith("hydra/"):
        return f"genexp train -m seed=0,1 {option.word}"
    users = _users(option.group) if "/" in option.group else []
    plainest = sorted(users, key=lambda user: len(user.name))[:1]
    choice = f"{option.group}=[{option.name}]" if option.group == "model/penalties" else option.word
    return " ".join(["genexp train", *[user.word for user in plainest], choice])


def _show_keys(node: Node, prefix: str, whole: Composition, console: Console) -> None:
    """Keys as a command writes them, each with what it means; of an object its class stands in place of the value."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold", max_width=console.width * 3 // 5)
    table.add_column(overflow="fold", style="dim")
    for key, value, comment in _explained(node, prefix, whole):
        table.add_row(f"{key}{value}", comment)
    if table.row_count:
        console.print("\nkeys", style="bold")
        console.print(table)


def _explained(node: Node, prefix: str, whole: Composition) -> Iterator[tuple[str, str, str]]:
    """Every key, what stands behind it, and a comment: that in the file or in one that it inherits or is merged with, else what
    the class says of its argument."""
    composed = whole.at(prefix) or node
    arguments = _about(composed)[1]
    for name, child in (node.children or {}).items():
        key = f"{prefix}.{name}" if prefix else name
        if (not prefix and name in BLOCKS) or name in SILENT:
            continue
        there = (composed.children or {}).get(name) or child
        comment = child.comment or there.comment
        if not child.children:
            yield key, f"={child.word}", comment or arguments.get(name, "")
            continue
        target = child.children.get("_target_")
        if target is not None:
            yield key, f": {target.text.rpartition('.')[2]}", comment or _about(child)[0] or arguments.get(name, "")
        elif comment or name in arguments:
            yield key, ":", comment or arguments[name]
        yield from _explained(child, key, whole)


def _about(node: Node) -> tuple[str, dict[str, str]]:
    """What the class of a node says of itself and of its arguments."""
    target = (node.children or {}).get("_target_")
    return explained(target.text) if target is not None else ("", {})
