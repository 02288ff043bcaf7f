from importlib.resources import files

import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from genexp.metrics.base import Metric

FILES = sorted(path.stem for path in files("genexp.conf").joinpath("metrics").glob("*.yaml"))


def metrics(name):
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return compose(overrides=[f"+metrics={name}"]).metrics


@pytest.mark.parametrize("name", [name for name in FILES if name != "auto"])
def test_each_file_is_one_metric_under_its_own_name(name, monkeypatch, tmp_path):
    monkeypatch.setenv("GENEXP_CACHE", str(tmp_path))
    node = metrics(name)
    assert list(node) == [name]
    metric = instantiate(node[name])
    assert isinstance(metric, Metric)
    assert getattr(metric, "cache_dir", tmp_path / "statistics") == tmp_path / "statistics"


def test_auto_merges_the_metrics_that_need_nothing_from_outside():
    node = metrics("auto")
    assert node.unfit == "skip" and list(node) == ["nll", "bound", "single_bound", "fidelity", "modes", "unfit"]
