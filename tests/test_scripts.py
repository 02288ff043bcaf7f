"""The scripts still stand on the package: no figure is tested, only that they can be made."""

import runpy
from pathlib import Path

import pytest
import torch

SCRIPTS = Path(__file__).parents[1] / "scripts"


@torch.no_grad()
@pytest.mark.parametrize("model", ["made", "nade"])
def test_the_benchmark_measures_a_sampler(model):
    measure = runpy.run_path(str(SCRIPTS / "benchmark"), run_name="benchmark")["measure"]
    ticks = []
    overrides = [f"model={model}", "data=digits"]
    found = measure(overrides, 2, lambda: ticks.append(1))
    assert found["steps"] == 64 and len(ticks) == 2 and all(len(times) == 2 for times in found["seconds"].values())
    assert found["largest_difference"] < 1e-4 * found["largest_parameter"] and found["times_naive"] > 0


def test_the_script_of_the_extractor_is_importable():
    assert callable(runpy.run_path(str(SCRIPTS / "train_extractor"), run_name="train_extractor")["main"])
