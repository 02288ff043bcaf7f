"""What two equal runs must share."""

import csv
import json

import torch

from genexp.record import checkpoint


def outcome(folder):
    """All that two equal runs must share, without times and paths."""
    state = checkpoint.load(folder / "checkpoints/last.ckpt")
    kept = {key: state[key] for key in ("state_dict", "optimizer_states", "lr_schedulers", "images_seen", "steps")}
    best = checkpoint.load(folder / "checkpoints/best.ckpt")
    with open(folder / "metrics.csv") as file:
        rows = [[v for k, v in row.items() if k != "seconds"] for row in csv.DictReader(file)]
    metrics = json.loads((folder / "metrics.json").read_text())
    return {**kept, "ema": state.get("ema"), "best": best["state_dict"], "rows": rows, "metrics": metrics}


def assert_equal(a, b, path=""):
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_equal(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{path}[{i}]")
    else:
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, f"{path}: {a} != {b}"
