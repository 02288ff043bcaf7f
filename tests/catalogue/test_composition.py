"""What is read from the text of the configs is what Hydra composes."""

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf._utils import get_yaml_loader

from genexp.catalogue.composition import compose_verb
from genexp.catalogue.files import groups, options

ALL = [option.word for group in groups() if not group.startswith("hydra/") for option in options(group)]
FEW = [
    "model=vae",
    "model=r3gan",
    "model=vq_prior",
    "experiment=vae_mnist_binary_altosaar_iaf",
    "sweep=tpe",
    "monitors=fidelity",
]
ABOVE = {"data/density": ["data=toy"], "model/penalties": ["model=dcgan"], "model/prior": ["model=vae"]}
NOT_EVERY = ("model/",)
"""Parts that some models take only."""


def plain(node):
    """The values of a node, as Hydra reads them."""
    if node.children is not None:
        return {name: plain(child) for name, child in node.children.items()}
    return yaml.load(node.text, Loader=get_yaml_loader())


def assert_equal(compose_train, words):
    expected = OmegaConf.to_container(compose_train(*words), resolve=False)
    found = plain(compose_verb("train", words).root)
    assert found.keys() - {"hydra"} == expected.keys()
    for name in expected:
        assert name == "name" or found[name] == expected[name], name


@pytest.mark.parametrize("word", FEW)
def test_the_text_says_what_hydra_composes(compose_train, word):
    assert_equal(compose_train, [word])


def test_parts_and_lists_are_chosen(compose_train):
    assert_equal(compose_train, ["model=vae", "model/prior=vamp", "metrics=[nll,bound]"])
    assert_equal(compose_train, ["model=dcgan", "model/penalties=[r1,r2]", "data=toy", "data/density=ring"])


@pytest.mark.slow
@pytest.mark.parametrize("word", [word for word in ALL if not word.startswith(NOT_EVERY)])
def test_the_text_says_what_hydra_composes_of_every_option(compose_train, word):
    assert_equal(compose_train, [*ABOVE.get(word.partition("=")[0], []), word])
