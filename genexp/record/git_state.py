"""The code that a run was made with: commit, changes, and what the repository does not know. Nothing of a repository's own
configuration is executed."""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genexp.record.secrets import mask

TIMEOUT_S = 20
LARGEST = 1 << 26
"""Bytes of an untracked file up to which it is hashed; of a larger one the size is recorded."""
MOST = 10_000
"""Untracked files that are listed."""
HARDENED = (
    "--no-optional-locks",
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
)
"""Options with which git runs no program that a repository's configuration names; the filters of attributes are switched off
by :func:`_without_filters`, and further objects are not fetched (``ENVIRONMENT``)."""
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "LC_ALL": "C",
}
DIFF = ("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")


@dataclass(frozen=True)
class GitState:
    """Of the repository that a folder is in.

    Attributes:
        about: its folder, commit and whether it was changed since; empty outside a repository.
        patch: the change of tracked files, and new Python sources of the modules that were asked for; secrets masked.
        untracked: a line ``<sha256>  <name>`` for each file that the repository neither knows nor ignores.
    """

    about: dict[str, Any]
    patch: str = ""
    untracked: str = ""


def git_state(where: Path, modules: Sequence[str]) -> GitState:
    """What ``git`` tells of ``where``; nothing where there is no repository, or where git does not answer in time.

    Args:
        where: a folder.
        modules: top-level modules whose new Python sources belong into the patch, for a run may have used them. They lie
            at ``where`` or at the top of the repository.
    """
    try:
        root = Path(_git(where, {}, "rev-parse", "--show-toplevel").strip())
        if not _git(where, {}, "ls-files", ".").strip():
            return GitState({})  # a folder that the repository knows nothing of, such as a virtual environment
        calm = _without_filters(where)
        patch = _git(root, calm, *DIFF, "HEAD")
        names = _git(root, calm, "ls-files", "--others", "--exclude-standard", "-z").split("\0")[:-1]
        places = {place / module for place in (root, where.resolve()) for module in modules}
        for name in names:
            if name.endswith(".py") and _belongs(root / name, places):
                patch += _git(root, calm, *DIFF, "--no-index", "--", os.devnull, name, codes=(0, 1))
        commit = _git(where, {}, "rev-parse", "HEAD").strip()
    except (OSError, subprocess.SubprocessError):
        return GitState({})
    lines = [f"{_hashed(root / name)}  {name!a}\n" for name in names[:MOST]]
    more = [f"and {len(names) - MOST:,} more\n"] if len(names) > MOST else []
    about = {"root": str(root), "commit": commit, "dirty": bool(patch)}
    return GitState(about, mask(patch), "".join(lines + more))


def _git(where: Path, config: dict[str, str], *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    """What git prints, given further entries of its configuration."""
    given = {"GIT_CONFIG_COUNT": str(len(config))}
    for i, (key, value) in enumerate(config.items()):
        given |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    done = subprocess.run(
        ["git", *HARDENED, *arguments],
        cwd=where,
        env={k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | ENVIRONMENT | given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=TIMEOUT_S,
    )
    if done.returncode not in codes:
        raise OSError(done.stderr)
    return done.stdout


def _without_filters(where: Path) -> dict[str, str]:
    """Configuration that switches off the filters which that of a repository names: ``git diff`` would run them."""
    asked = r"^filter\..*\.(clean|smudge|process|required)$"
    names = _git(where, {}, "config", "--name-only", "-z", "--get-regexp", asked, codes=(0, 1)).split("\0")[:-1]
    return {name: "false" if name.endswith(".required") else "" for name in names}


def _belongs(path: Path, places: set[Path]) -> bool:
    """Whether a source is that of a module, or within a package."""
    return path.with_suffix("") in places or any(parent in places for parent in path.parents)


def _hashed(path: Path) -> str:
    """The SHA-256 of a regular file; of another, or a very large one, what it is, in as many characters."""
    try:
        if path.is_symlink() or not path.is_file():
            return f"{'no regular file':64}"
        if (size := path.stat().st_size) > LARGEST:
            return f"{f'{size:,} bytes':64}"
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return f"{'unreadable':64}"
