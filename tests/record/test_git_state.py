"""What is recorded of the code, and that a repository's own configuration runs nothing."""

import hashlib
import subprocess

import pytest

from genexp.record.git_state import git_state


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit; ``git`` runs a command in it."""
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))

    def git(*arguments):
        subprocess.run(
            ["git", "-c", "user.name=x", "-c", "user.email=x@x", *arguments], cwd=root, check=True, capture_output=True
        )

    git("init")
    (root / "model.py").write_text("width = 1\n")
    (root / "pixels.dat").write_text("0\n")
    git("add", ".")
    git("commit", "-m", "x")
    return root, git


def test_tracked_changes_are_a_patch_and_other_files_names(repository):
    root, _ = repository
    assert git_state(root, []).about["dirty"] is False
    (root / "model.py").write_text("width = 2\n")
    (root / "secrets.yaml").write_text("password: 12345\n")
    (root / "mine.py").write_text("own = 1\n")
    (root / "other.py").write_text("other = 1\n")
    (root / "package").mkdir()
    (root / "package/part.py").write_text("part = 1\n")
    (root / "new\nline.sh").write_text("x")
    state = git_state(root, ["mine", "package"])
    assert state.about["dirty"] and "+width = 2" in state.patch
    assert "+own = 1" in state.patch and "+part = 1" in state.patch and "other = 1" not in state.patch
    assert "12345" not in state.patch + state.untracked
    digest = hashlib.sha256(b"password: 12345\n").hexdigest()
    assert f"{digest}  'secrets.yaml'\n" in state.untracked and state.untracked.count("\n") == 5
    assert git_state(root.parent, []).about == {} and git_state(root / "package", []).about == {}


def test_a_secret_in_a_tracked_file_is_masked(repository):
    root, _ = repository
    (root / "model.py").write_text("width = 2\nAPI_KEY = 'abcdef123'\nurl = 'https://me:pass12@host/x'\n")
    patch = git_state(root, []).patch
    assert "abcdef123" not in patch and "pass12" not in patch and "+width = 2" in patch


@pytest.mark.parametrize(
    "config",
    [
        ("core.fsmonitor", "touch {0}; false"),
        ("core.hooksPath", "hooks"),
        ("diff.external", "touch {0}"),
        ("filter.evil.clean", "touch {0}; cat"),
        ("filter.a=b.clean", "touch {0}; cat"),
        ("filter.evil.process", "touch {0}"),
        ("diff.evil.textconv", "touch {0}; cat"),
        ("diff.evil.command", "touch {0}"),
        ("core.pager", "touch {0}"),
        ("core.sshCommand", "touch {0}"),
    ],
    ids=lambda pair: pair[0],
)
def test_a_repository_runs_nothing(repository, tmp_path, config):
    root, git = repository
    name, command = config
    git("config", name, command.format(tmp_path / "executed"))
    driver = "a=b" if "a=b" in name else "evil"
    (root / ".gitattributes").write_text(
        f"*.dat diff=evil\n*.dat filter={driver}\n" if driver == "evil" else "*.dat filter=a=b\n"
    )
    (root / "hooks").mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman"):
        (root / "hooks" / hook).write_text(f"#!/bin/sh\ntouch {tmp_path / 'executed'}\n")
        (root / "hooks" / hook).chmod(0o755)
    (root / "pixels.dat").write_text("1\n")
    (root / "model.py").write_text("width = 3\n")
    assert "width = 3" in git_state(root, []).patch
    assert not (tmp_path / "executed").exists()
