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
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from genexp.families.base import GenerativeModule
from genexp.record.instantiate import instantiate, targets
from genexp.runs.train_config import check

ROOT = Path(__file__).parents[1]
CONF = ROOT / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
PARTS = sorted(path.stem for path in (CONF / "parts").glob("*.yaml"))
"""What several options inherit, and nobody chooses."""
OPTIONS = sorted(
    path.relative_to(CONF).with_suffix("") for path in CONF.rglob("*.yaml") if path.parent not in (CONF, CONF / "parts")
)
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
    assert len(EXPERIMENTS) > 0 and len(OPTIONS) > 20 and len(PARTS) > 0
    assert not list((CONF / "experiment").glob("*/")), "experiment=glob(*) passes over sub-folders"


def groups(path):
    """The config groups in the defaults list of a file, and in those of the files that it inherits."""
    here, found = path.parent.relative_to(CONF).as_posix(), set()
    for entry in OmegaConf.load(path).get("defaults", []):
        if not isinstance(entry, str):
            group = next(iter(entry)).partition("@")[0]
            found.add(group[1:] if group[0] == "/" else f"{here}/{group}")
        elif entry != "_self_" and ("@" not in entry or entry.endswith("@_here_")):
            base = entry.removesuffix("@_here_")
            found |= groups(CONF / f"{base[1:] if base[0] == '/' else f'{here}/{base}'}.yaml")
    return found


def overrides_for(option):
    """How to choose an option: a nested group with an option of its parent that has this group."""
    group, name = option.parent.as_posix(), option.name
    chosen = [f"{group}={name}"]
    if "/" in group and not group.startswith("hydra/"):
        parent = group.rpartition("/")[0]
        owners = sorted(path.stem for path in (CONF / parent).glob("*.yaml") if group in groups(path))
        assert owners, f"no option of {parent} has {group} in its defaults list"
        chosen.insert(0, f"{parent}={owners[0]}")
    if group in ("metrics", "monitors"):  # whether the default model can do what it needs is another question
        chosen.append(f"++{group}.unfit=skip")
    return chosen


@pytest.mark.parametrize("option", OPTIONS, ids=str)
def test_every_option_composes(compose_train, option):
    config = compose_train(*overrides_for(option))
    OmegaConf.resolve(config)
    check(config)
    assert list(targets(config))


@pytest.mark.parametrize("part", PARTS)
def test_every_part_is_inherited(part):
    users = [p for p in CONF.rglob("*.yaml") if re.search(rf"/parts/{part}@_here_\b", p.read_text())]
    users += [
        p for p in (CONF / "parts").glob("*.yaml") if re.search(rf"^( *- |defaults: \[){part}\b", p.read_text(), re.M)
    ]
    assert len(users) > 1


def test_parts_are_never_offered(genexp):
    code, _, err = genexp("train", "model=generativ")
    assert code == 2 and "Available: " in err and " dcgan," in err and "generative" not in err
    code, _, err = genexp("train", "parts=vae")
    assert code == 2 and "parts is not in the config" in err


@pytest.mark.parametrize("name", ["dcgan", "wgan_gp", "pacgan"])
def test_both_players_follow_one_override(compose_train, name):
    model = compose_train(f"model={name}", "model.generator_optimizer.lr=7").model
    assert model.discriminator_optimizer == model.generator_optimizer and model.discriminator_optimizer.lr == 7


@pytest.mark.parametrize("verb", [path.stem for path in sorted(CONF.glob("*.yaml"))])
def test_every_verb_composes(verb):
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
    assert isinstance(model, GenerativeModule) and sum(value.numel() for value in model.state_dict().values()) > 0
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
