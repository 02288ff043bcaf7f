"""Keys of other frameworks are answered with the key that does it here; and no record lies about the batches."""

import pytest
from omegaconf import OmegaConf

from genexp.catalogue.composition import compose_verb, leaves
from genexp.catalogue.files import find
from genexp.record.folder import RunFolder
from genexp.runs.foreign_keys import OF_RUN, SAME, TOLD, answer

KEYS = [
    "seed",
    "name",
    "training.batch_size",
    "model.optimizer.lr",
    "model.latent_dim",
    "model.encoder.hidden",
    "data.root",
]
GAN = ["model.generator_optimizer.lr", "model.discriminator_optimizer"]


@pytest.mark.parametrize(
    ("name", "value", "keys", "text"),
    [
        ("batch_size", "4", KEYS, "batch_size is training.batch_size here: training.batch_size=4"),
        ("lr", "1e-3", KEYS, "lr is model.optimizer.lr here: model.optimizer.lr=1e-3"),
        (
            "learning_rate",
            "1",
            GAN,
            "learning_rate is model.generator_optimizer.lr here: model.generator_optimizer.lr=1",
        ),
        (
            "lr",
            None,
            ["model.a_optimizer.lr", "model.b_optimizer.lr"],
            "lr is model.a_optimizer.lr or model.b_optimizer.lr here",
        ),
        ("dataset", "mnist", KEYS, "dataset is data here: data=mnist"),
        ("hparams.lr", "1", KEYS, "hparams.lr is model.optimizer.lr here: model.optimizer.lr=1"),
        ("hidden", "[3]", KEYS, "hidden is model.encoder.hidden here: model.encoder.hidden=[3]"),
        (
            "optimized_metric",
            "val/loss",
            KEYS,
            "optimized_metric is hydra.sweeper.metric here: hydra.sweeper.metric=val/loss",
        ),
        ("z_dim", "3", ["seed"], "z_dim is model.latent_dim here, which there is not in what is chosen now"),
        ("lr", "3", ["seed"], "lr is model.optimizer.lr here, which there is not in what is chosen now"),
        ("model.lrr", "1", KEYS, None),
        ("nothing_like_it", "1", KEYS, None),
    ],
)
def test_answers(name, value, keys, text):
    assert answer(name, value, keys) == text


def test_answers_of_verbs_that_take_a_run():
    assert answer("n_samples", "4", [], "sample") == "n_samples is n here: n=4"
    assert answer("ckpt_path", "x", [], "evaluate") == "ckpt_path is run=outputs/x checkpoint=best here"
    assert answer("n", "4", ["n"], "sample") is None


def test_no_name_has_two_answers_and_what_is_named_exists():
    names = [name for table in (SAME, TOLD) for names in table for name in names.split()]
    assert len(names) == len(set(names))
    for names in OF_RUN.values():
        assert len(" ".join(names).split()) == len(set(" ".join(names).split()))
    there = {
        key
        for words in (["hydra/sweeper=optuna"], ["model=vae", "data=mnist"], ["data=image_folder"])
        for key, _ in leaves(compose_verb("train", words).root)
    }
    for target in SAME.values():
        if target.endswith("="):
            assert find("", "train") and target[:-1] in {slot[0] for slot in compose_verb("train", []).chosen}
        elif "\\" not in target:
            assert target in there, target


COMMANDS = {
    "+batch_size=4": "batch_size is training.batch_size here: training.batch_size=4",
    "++model.lr=3": "model.lr is model.optimizer.lr here",
    "model=dcgan lr=1e-4": "lr is model.generator_optimizer.lr here: model.generator_optimizer.lr=1e-4",
    "hparams_search=mnist_optuna": "sweep=tpe",
    "trainer.max_epochs=3": "training.max_epochs",
    "-m seed=0,1 data.batch_size=4": "must be training.batch_size=64; set that one, training.batch_size=4",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_are_answered(genexp, command):
    code, _, err = genexp("train", *command.split())
    assert code == 2 and COMMANDS[command] in err and err.count("\n") == 1, err


def test_a_recorded_run_with_batches_of_its_own_goes_on(finished, genexp):
    finished("made", "metrics=nll", "name=a")
    folder = RunFolder("outputs/a")
    config = folder.config()
    config.data.batch_size = 32
    (folder.path / ".hydra/config.yaml").write_text(OmegaConf.to_yaml(config))
    code, _, err = genexp("train", "run=outputs/a")
    assert code == 0, err
    code, _, err = genexp("repeat", "outputs/a", "data.batch_size=8", "name=b")
    assert code == 2 and "training.batch_size=8" in err
    code, _, err = genexp("train", "run=outputs/a", "lr=3")
    assert code == 2 and "lr is model.optimizer.lr here" in err
