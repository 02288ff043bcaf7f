"""What the source of a class says of itself and its arguments; nothing is imported."""

import ast
import re
from functools import cache

from genexp.record.signatures import classes
from genexp.record.sources import locate

PLACES = ("torch.", "pytorch_lightning.", "optuna.")
"""Packages whose sources are large, and not about this project."""

REFERENCE = re.compile(r"(?:see )?:\w+:`~?([\w.]+)`\.?")
"""An explanation that only says where there is one."""


@cache
def explained(target: str) -> tuple[str, dict[str, str]]:
    """The first line about a class or function, and a line for each argument that it, or a base of it, explains.

    Args:
        target: dotted name; both are empty where its source cannot be read.
    """
    found = None if target.startswith(PLACES) else locate(target)
    if found is None or not isinstance(found.node, ast.ClassDef | ast.FunctionDef):
        return "", {}
    order = classes(found)[0] if isinstance(found.node, ast.ClassDef) else [found]
    arguments: dict[str, str] = {}
    for one in reversed(order):
        for name, text in _arguments(ast.get_docstring(one.node) or "").items():
            said = _elsewhere(text, name, one.module.name)
            arguments[name] = said or arguments.get(name, "")
    return _plain((ast.get_docstring(found.node) or "").split("\n\n")[0]), arguments


def _elsewhere(text: str, name: str, module: str) -> str:
    """What is said of an argument; where that is only a reference to a class, what is said there."""
    reference = REFERENCE.fullmatch(text)
    if reference is None:
        return _plain(text)
    target = reference.group(1) if "." in reference.group(1).strip(".") else f"{module}.{reference.group(1)}"
    about, arguments = explained(target)
    return arguments.get(name) or ("" if text.startswith("see") else about)


def _arguments(text: str) -> dict[str, str]:
    section = re.search(r"^Args:\n((?: +.*\n?|\n)+)", text, re.MULTILINE)
    found: dict[str, str] = {}
    name = ""
    for line in section.group(1).splitlines() if section else ():
        if entry := re.match(r" {4}\*{0,2}([\w, ]+): (.*)", line):
            name = entry.group(1)
            found[name] = entry.group(2)
        elif name and line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
    return {one.strip(): text for names, text in found.items() for one in names.split(",")}


def _plain(text: str) -> str:
    """Without the marks of Sphinx and Markdown."""
    text = re.sub(r":\w+:`~?([^`]*)`", lambda match: match.group(1).rpartition(".")[2], " ".join(text.split()))
    return text.replace("``", "").rstrip(".")
