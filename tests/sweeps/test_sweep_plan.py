"""What a sweep is about to do: names, points, identities, refusals. Nothing is trained."""

import re
from pathlib import Path

import pytest

from genexp.record.identity import identity
from genexp.sweeps.estimate import shape
from genexp.sweeps.job import LONGEST, job_name
from genexp.sweeps.process import quoted
from genexp.sweeps.random import uniform

FOLDER = Path(__file__).parents[2] / "conf" / "sweep"
SWEEPS = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem != "tpe")  # a search plans as it goes
DRY = ["dry_run=true", "hydra.sweeper.probe=false"]


def plan(genexp, *arguments):
    """``{name: what will be done}`` of a dry run."""
    code, out, err = genexp("train", *arguments, *DRY)
    assert code == 0, err
    assert not [path for path in genexp.folder.rglob("*") if path.is_file()]
    return dict(re.findall(r"^ +\d+  (\S+) +(.*)$", out, re.MULTILINE))


def test_a_job_is_named_after_what_varies():
    assert job_name(["model=made", "seed=0"]) == "model_made-seed_0"
    assert job_name(["model/observation=bernoulli", "+x=1"]) == "model.observation_bernoulli-x_1"
    replaced = {job_name([f"a={value}"]) for value in ("[1,2]", "[1 2]", "'1/2'", "[1,2,]")}
    assert len(replaced) == 4
    long = [job_name([f"a={'x' * 200}{i}"]) for i in range(3)]
    for name in (*replaced, *long):
        assert re.fullmatch(r"[\w.+-]+", name) and len(name) <= LONGEST
    assert len(set(long)) == 3


@pytest.mark.parametrize("text", ["plain", "it's", "a b", "back\\slash", "5", "x,y"])
def test_a_quoted_value_is_read_as_it_was(text):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    assert OverridesParser.create().parse_override(f"key={quoted(text)}").value() == text


def test_a_dry_run_prints_the_plan_and_writes_nothing(genexp, monkeypatch):
    jobs = plan(genexp, "-m", "model=made,vae", "seed=0,1", "name=s", "training.max_images=100")
    assert jobs == {f"model_{model}-seed_{seed}": "run" for model in ("made", "vae") for seed in (0, 1)}
    monkeypatch.setattr("genexp.sweeps.estimate.measure", lambda configs, environment: ["not now"] * len(configs))
    assert list(plan(genexp, "model=vae", "name=single").values()) == ["run"]


def test_a_point_that_is_named_twice_runs_once(genexp):
    code, out, _ = genexp("train", "-m", "seed=0,1,0", "name=s", *DRY)
    assert code == 0 and out.count("seed_0  run\n") == 1 and "the same run as seed_0" in out and "2 jobs to run" in out


def test_an_invalid_point_is_seen_before_the_start(genexp):
    jobs = plan(genexp, "-m", "seed=0,one", "name=s")
    assert jobs["seed_0"] == "run" and "whole number" in jobs["seed_one"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "modle=made,vae"], "Did you mean 'model'?"),
        (["-m", "model=gan,dcgan", "model.generator_optimizer.lr=1e-3"], "++model.generator_optimizer.lr=..."),
        (["-m", "seed=one,two"], "seed=one: must be a whole number"),
        (["-m", "name=a,b"], "name belongs to the sweep"),
        (["-m", "seed=interval(0,1)"], "hydra/sweeper=random"),
        (["sweep=sedes"], "Did you mean 'seeds'?"),
        (["sweep=seeds,beta"], "one sweep at a time"),
        (["sweep=seeds", "hydra.launcher.n_jobs=0"], "hydra.launcher.n_jobs=0"),
        (["sweep=seeds", "hydra/sweeper=random", "hydra.sweeper.n=0"], "hydra.sweeper.n=0"),
        (["-m", "hydra/sweeper=random", "model.optimizer.lr=tag(log,interval(0,1))"], "0 < low < high"),
    ],
    ids=str,
)
def test_wrong_sweeps_are_told_in_one_line(genexp, arguments, expected):
    code, _, err = genexp("train", *arguments)
    assert code == 2 and err.startswith("genexp: error: ") and err.count("\n") == 1 and expected in err, err
    assert not [path for path in genexp.folder.rglob("*") if path.is_file()]


def test_more_gpus_than_there_are(genexp, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    code, _, err = genexp("train", "sweep=seeds", "hydra.launcher.gpus_per_job=1", "hydra.launcher.n_jobs=2")
    assert code == 2 and "need 2 GPUs, and 1 are visible" in err


def test_random_points_depend_on_the_seed_and_their_number_only(genexp):
    common = ["-m", "hydra/sweeper=random", "name=s", "model.optimizer.lr=tag(log,interval(1e-4,1e-2))"]
    few = list(plan(genexp, *common, "hydra.sweeper.n=3"))
    more = list(plan(genexp, *common, "hydra.sweeper.n=6"))
    assert more[:3] == few and len(set(more)) == 6
    assert not set(plan(genexp, *common, "hydra.sweeper.n=3", "hydra.sweeper.seed=1")) & set(more)
    with_seed = list(plan(genexp, *common, "seed=range(0,100)", "hydra.sweeper.n=3"))
    assert [name.rpartition("-seed_")[0] for name in with_seed] == few
    rates = [float(name.rpartition("_")[2]) for name in plan(genexp, *common, "hydra.sweeper.n=40")]
    assert all(1e-4 <= rate <= 1e-2 for rate in rates) and 10 < sum(rate < 1e-3 for rate in rates) < 30


def test_uniform_numbers_are_the_same_on_every_machine():
    assert uniform(0, 0, "a") == pytest.approx(0.5203731041, abs=1e-9)
    assert len({uniform(s, i, k) for s in (0, 1) for i in (0, 1) for k in "ab"}) == 8


@pytest.mark.parametrize("name", SWEEPS)
def test_every_sweep_composes(genexp, name):
    jobs = plan(genexp, f"sweep={name}", "name=s", "data=digits", "training.max_images=50")
    assert len(jobs) > 1 and set(jobs.values()) == {"run"}


def test_books_do_not_make_another_run_and_numbers_do():
    a = {"name": "a", "seed": 0, "tags": ["x"], "logger": {"wandb": None}, "data": {"root": "/r", "name": "d"}}
    b = {"name": "b", "seed": 0, "tags": [], "logger": {"wandb": {"mode": "x"}}, "data": {"root": None, "name": "d"}}
    assert identity(a) == identity(b) != identity({**b, "seed": 1})


def test_the_speed_of_a_run_does_not_depend_on_rates_and_seeds():
    a = {
        "seed": "0",
        "model.optimizer.lr": "0.001",
        "model.optimizer.total": "5",
        "model.beta": "1.0",
        "model.width": "8",
    }
    b = {
        "seed": "1",
        "model.optimizer.lr": "1e-05",
        "model.optimizer.total": "7",
        "model.beta": "0.5",
        "model.width": "8",
    }
    assert shape(a) == shape(b) != shape({**b, "model.width": "16"})
