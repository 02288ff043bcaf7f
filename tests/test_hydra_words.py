"""What users of Hydra type: it works, or is answered in one line."""

import pytest

from genexp.hydra_words import as_meant
from genexp.record.errors import ConfigError

SWEEP = ["-m"]


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("~logger seed=1", "logger=none seed=1"),
        ("logger=null", "logger=none"),
        ("~monitors callbacks=null", "monitors=none callbacks=none"),
        ("metrics=null", "metrics=[]"),
        ("~metrics", "metrics=[]"),
        ("experiment=made_uci_dna experiment=null", "~experiment"),
        ("sweep=null", "~sweep"),
        ("+experiment=made_uci_dna", "experiment=made_uci_dna"),
        ("++model=vae", "model=vae"),
        ("model=r3gan model/penalties=null", "model=r3gan model/penalties=[]"),
        ("model=dcgan model/augmentation=null", "model=dcgan ~model/augmentation"),
        ("logger=null,wandb", "logger=none,wandb"),
        (
            "training.patience=null +knobs.x=1 ~training.patience",
            "training.patience=null +knobs.x=1 ~training.patience",
        ),
        ("seed=0 model=made", "seed=0 model=made"),
    ],
)
def test_nothing_and_additions_are_understood(words, meant):
    assert as_meant("train", [], words.split()) == meant.split()


def test_values_of_hydras_sweeper_are_those_of_the_sweep():
    for word in ("hydra.sweeper.params.seed=0,1", "+hydra.sweeper.params.seed='0,1'"):
        assert as_meant("train", SWEEP, [word]) == ["seed=0,1"]
        assert as_meant("train", [], ["sweep=seeds", word]) == ["sweep=seeds", "seed=0,1"]
    assert as_meant("train", SWEEP, ["hydra.sweeper.params=null"]) == ["hydra.sweeper.params=null"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("hydra.sweeper.params.seed=0,1", "has no effect without a sweep: -m seed=0,1"),
        ("hydra/sweeper=basic", "use hydra/sweeper=grid"),
        ("~model", "~model: one is needed: "),
        ("trainer=null", "trainer=null: one is needed: auto, cpu"),
        ("data=null", "one is needed"),
    ],
)
def test_what_cannot_be_is_told(words, message):
    with pytest.raises(ConfigError) as error:
        as_meant("train", [], words.split())
    assert message in str(error.value)


COMPOSED = {
    "~logger metrics=null monitors=null +experiment=made_uci_dna --cfg job": "Adadelta",
    "-cn train model=vae --cfg job -p model data=digits": "genexp.families.vae.VAE",
    "-m hydra.sweeper.params.seed=0,1 dry_run=true hydra.sweeper.probe=false": "seed_1",
}


@pytest.mark.parametrize("command", COMPOSED)
def test_commands_are_composed(genexp, command):
    code, out, err = genexp("train", *command.split())
    assert code == 0 and COMPOSED[command] in out, err


REFUSED = {
    "hydra/launcher=basic": "hydra/launcher=basic: has no effect without a sweep: add -m",
    "-p model": "-p says what --cfg prints",
    "--resolve": "--resolve says what --cfg prints",
    "-cn other": "experiment=other",
    "--config-name=evaluate": "genexp evaluate is a verb",
    "--config-path /tmp": "--config-dir /tmp",
}


@pytest.mark.parametrize("command", REFUSED)
def test_what_would_have_no_effect_is_refused(genexp, command):
    code, _, err = genexp("train", *command.split())
    assert code == 2 and REFUSED[command] in err and err.count("\n") == 1, err
    assert not (genexp.folder / "outputs").exists()


def test_a_run_goes_on_without_what_it_had(finished, genexp):
    finished("made", "metrics=nll", "name=a")
    code, _, err = genexp("train", "run=outputs/a", "logger=null", "~monitors", "metrics=null")
    assert code == 0, err
