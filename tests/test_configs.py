"""Every config composes, every experiment makes its model, and all of them are in the wheel."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf

from genexp.families.base import GenerativeModule
from genexp.record.instantiate import instantiate, targets
from genexp.runs.train_config import check

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OPTIONS = sorted(path.relative_to(CONF).with_suffix("") for path in CONF.rglob("*.yaml") if path.parent != CONF)
PUBLISHED = {
    "paper",
    "table",
    "metric",
    "value",
    "spread",
    "spread_kind",
    "selection",
    "evidence",
    "verified",
}


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("GENEXP_DATA", raising=False)


def test_there_are_configs():
    assert len(EXPERIMENTS) > 0 and len(OPTIONS) > 20
    assert not list((CONF / "experiment").glob("*/")), "experiment=glob(*) passes over sub-folders"


def overrides_for(option):
    """How to choose an option: a nested group with an option of its parent that has this group."""
    group, name = option.parent.as_posix(), option.name
    chosen = [f"{group}={name}"]
    if "/" in group and not group.startswith("hydra/"):
        parent, child = group.rsplit("/", 1)
        owners = [p.stem for p in (CONF / parent).glob("*.yaml") if re.search(rf"^ *- {child}: ", p.read_text(), re.M)]
        assert owners, f"no option of {parent} has {child} in its defaults list"
        chosen.insert(0, f"{parent}={sorted(owners)[0]}")
    return chosen


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_composes(compose_train, option):
    config = compose_train(*overrides_for(option))
    OmegaConf.resolve(config)
    check(config)
    assert list(targets(config))


@pytest.mark.parametrize("verb", [path.stem for path in sorted(CONF.glob("*.yaml"))])
def test_every_verb_composes(verb):
    from hydra import compose, initialize_config_module

    with initialize_config_module("genexp.conf", version_base="1.3"):
        config = compose(verb, ["name=test"] if verb == "train" else ["run=outputs/x"])
    OmegaConf.resolve(config)
    assert config.allow_targets == []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_makes_its_model(compose_train, name, monkeypatch):
    monkeypatch.setattr(torch.nn.init, "orthogonal_", torch.nn.init.zeros_)  # half a minute for 8,000 units
    config = compose_train(f"experiment={name}")
    check(config)
    model = instantiate(config, "model", [])
    assert isinstance(model, GenerativeModule) and sum(p.numel() for p in model.parameters()) > 0
    data = instantiate(config, "data", [])  # constructed, not loaded
    assert (model.shape, model.levels) == (data.shape, data.levels)
    if config.published is not None:
        assert set(config.published) >= PUBLISHED
        assert config.published.metric.startswith(f"{config.evaluation.split}/")


# --- packaging ---------------------------------------------------------------------------------------


def packaging():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_the_package_list_is_that_of_the_folders():
    settings = packaging()
    folders = {".".join(p.parent.relative_to(ROOT).parts) for p in (ROOT / "genexp").rglob("*.py")}
    assert sorted(settings["packages"]) == sorted(folders | set(settings["package-dir"]))
    assert settings["package-dir"] == {"genexp.conf": "conf"}
    assert (CONF / "__init__.py").read_text() == ""


def test_yaml_is_the_only_kind_of_config():
    assert {p.suffix for p in CONF.rglob("*") if p.is_file() and "__pycache__" not in p.parts} == {
        ".yaml",
        ".py",
    }


def test_everything_is_in_the_wheel(tmp_path):
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("__pycache__")
    for folder in ("genexp", "conf"):
        shutil.copytree(ROOT / folder, source / folder, ignore=skip)
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy(file, source)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(tmp_path),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    inside = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {f"genexp/{p.relative_to(source)}" for p in (source / "conf").rglob("*.yaml")}
    assert expected
    expected |= {str(p.relative_to(source)) for p in (source / "genexp").rglob("*") if p.is_file()}
    assert inside == expected | {"genexp/conf/__init__.py"}
    assert any(name.endswith(".safetensors") for name in inside)
