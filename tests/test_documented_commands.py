"""The commands of the README and its pages run as they are written, only shorter: fewer images, smaller networks."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / ".readme").glob("*.md"))]
SHORT = {
    "training.max_images": 200,
    "training.batch_size": 20,
    "training.validate_every_epochs": 1_000_000,
    "data.limit": 200,
    "samples.n": 4,
    "trainer.accelerator": "cpu",
}
"""What a training has where the command does not say it; the images stay below the number that it says, in its proportion."""
IMAGES_OF_ONE = 1_000
"""Images of a command, for one image here."""
SMALL_METRICS = {"metrics.fidelity.n": 40, "metrics.fidelity.kid_subset_size": 20, "metrics.fidelity.is_splits": 2}
"""Where the command does not choose metrics."""
LATER = {
    "trainer=fsdp": "needs several processes that do not fork; tried with the distributed runs",
    "trainer=ddp": "the same",
    "training.compile=true": "takes a minute to compile; tried with the runs at scale",
    "submitit_slurm": "needs Slurm",
    "ray_subprocess": "needs Ray",
    "cats": "are pictures of the reader's",
    "data=table": "is a file of the reader's",
    "CometLogger": "needs Comet",
    "exec ": "is a line of a batch script",
}
"""Parts of commands that are not run here, and why."""


def commands(path):
    """The words of each command ``genexp ...`` in the blocks of a page, in their order."""
    for block in re.findall(r"^```bash\n(.*?)^```", path.read_text(), re.MULTILINE | re.DOTALL):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            for part in re.split(r"\s[;&]+\s|;\s", re.sub(r"(^|\s)#.*", "", line)):
                if part.strip().startswith("genexp ") and not any(text in part for text in LATER):
                    yield shlex.split(part)[1:]


def shortened(words):
    """The words of a command with what makes it short."""
    verb, *rest = words
    given = {word.lstrip("+").partition("=")[0] for word in rest}
    if verb != "train" or {"--help", "--cfg"} & given:
        return words
    rest = [re.sub(r"(?<=max_images=)[\d_]+", lambda m: str(int(m[0]) // IMAGES_OF_ONE * 10), word) for word in rest]
    if "run" in given:
        return [verb, *rest]
    rest = [re.sub(r"(?<=sweeper\.n=)\d+", "2", word) for word in rest]
    if {"sweep=tpe", "hydra/sweeper=optuna"} & set(rest):
        rest.append("hydra.sweeper.n_trials=2")
    if {"sweep", "-m"} & given:
        rest.append("hydra.sweeper.probe=false")
    small = dict(SHORT) | ({} if {"metrics", "sweep", "experiment"} & given else SMALL_METRICS)
    return [verb, *rest, *(f"{key}={value}" for key, value in small.items() if key not in given)]


@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_run_as_written(path, genexp, monkeypatch):
    """In one folder for each page, one after another, as a reader would type them."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    if path.name == "own_parts.md":
        pytest.skip("tests/runs/test_readme_example.py does, with its files")
    failed = []
    for words in commands(path):
        code, out, err = genexp(*shortened(words))
        if code:
            failed.append(f"genexp {shlex.join(words)}\n{out[-500:]}{err}")
    assert not failed, "\n\n".join(failed)
