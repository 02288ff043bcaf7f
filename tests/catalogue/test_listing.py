"""genexp list and genexp info: every option has a line, the keys are those of the config, and nothing heavy is imported."""

import json
import subprocess
import sys

import pytest

from genexp.catalogue.comments import read
from genexp.catalogue.files import groups, option_called, options
from genexp.catalogue.listing import about_groups, described
from genexp.record.errors import ConfigError

OPTIONS = [option for group in groups() for option in options(group)]


def test_every_option_and_group_has_a_line():
    assert [option.word for option in OPTIONS if len(described(option)) < 5] == []
    about = about_groups()
    assert [group for group in groups() if not about.get(group)] == []


def test_every_model_names_its_paper():
    for option in options("model"):
        assert read(option.path).papers, f"{option.path}: has no line '# Paper: ...'"


@pytest.mark.parametrize(
    ("word", "group"),
    [
        ("models", "model"),
        ("datasets", "data"),
        ("prior", "model/prior"),
        ("experiments", "experiment"),
        ("metric", "metrics"),
    ],
)
def test_groups_are_found_by_what_people_call_them(genexp, word, group):
    code, out, err = genexp("list", word, "--json")
    assert code == 0 and {entry["group"] for entry in json.loads(out)} == {group}, err


def test_list_shows_groups_options_and_verdicts(genexp):
    code, out, _ = genexp("list")
    assert code == 0 and "model/prior" in out and "experiment" in out
    code, out, _ = genexp("list", "experiments")
    assert code == 0 and "made_uci_dna" in out and "79.66" in out and "PASS" in out
    code, out, _ = genexp("list", "models")
    assert code == 0 and "made (default)" in out and "Kingma & Welling 2014" in out


def test_info_of_a_model(genexp):
    code, out, _ = genexp("info", "model=vae")
    assert code == 0
    for part in (
        "arXiv:1312.6114",
        "model.latent_dim",
        "draws of z in training",
        "model/prior=standard_normal",
        "bound",
        "vamp",
    ):
        assert part in out
    assert "weight of the KL term" in out  # which only the docstring of a base class explains
    unfit = next(line for line in out.splitlines() if line.startswith("not")).split()[1:]
    assert {"duality_gap,", "nll,"} <= set(unfit) and "bound," not in unfit


def test_info_of_others(genexp):
    code, out, _ = genexp("info", "metrics=nll", "experiment=made_uci_dna", "prior=vamp", "sweep=beta", "ddp")
    assert code == 0
    for part in (
        "made,",
        "dcgan",
        "79.66",
        "79.49 (standard error 0.34): PASS",
        "model=vae",
        "metrics=[bound,latents]",
        "sync_batchnorm",
    ):
        assert part in out


def test_own_configs_are_listed(genexp):
    folder = genexp.folder / "mine/model"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("# My own VAE: with: colons.\ndefaults: [vae, _self_]\nlatent_dim: 3 # small\n")
    code, out, err = genexp("list", "models", "--config-dir", "mine")
    assert code == 0 and "My own VAE: with: colons" in out, err
    code, out, err = genexp("info", "own", "--config-dir=mine")
    assert code == 0 and "small" in out and "model/posterior=diagonal_gaussian" in out, err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("list modles", "Did you mean 'model'?"),
        ("info model=vea", "Did you mean 'vae'?"),
        ("info fidelity", "say which: metrics=fidelity or monitors=fidelity"),
        ("info vea", "Did you mean 'vae'?"),
        ("info", "option"),
        ("list --jsn", "Did you mean '--json'?"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(genexp, words, message):
    code, _, err = genexp(*words.split())
    assert code == 2 and message in err and err.count("\n") == 1


def test_a_broken_file_is_named(genexp):
    folder = genexp.folder / "mine/model"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("a: [1\n")
    code, _, err = genexp("list", "models", "--config-dir", "mine")
    assert code == 2 and "own.yaml" in err and err.count("\n") == 1
    (folder / "own.yaml").write_text("a: &a [1]\n" + "".join(f"x{i}: &x{i} [*a, *a]\n" for i in range(3)))
    assert genexp("info", "own", "--config-dir", "mine")[0] == 0


def test_every_option_can_be_explained(genexp):
    for group in groups():
        code, _, err = genexp("info", *(option.word for option in options(group)))
        assert code == 0, err


def test_a_name_of_one_group_only_is_enough():
    assert option_called("vamp").word == "model/prior=vamp"
    with pytest.raises(ConfigError, match="say which"):
        option_called("none")


def test_nothing_heavy_is_imported():
    program = (
        "import sys\nfrom genexp.cli import main\n"
        "for words in (['list'], ['info', 'model=vae'], ['completion', '--answer', 'bash', 'genexp train training.ba']):\n"
        "    sys.argv = ['genexp', *words]\n    main()\n"
        "assert not {'torch', 'hydra', 'pytorch_lightning'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("training.batch_size=\n"), done.stderr
