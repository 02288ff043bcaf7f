"""What every model in ``conf/model`` promises, on tiny data, as the configs make it: the checks of ``genexp.testing``."""

import re
from functools import partial
from importlib.resources import files

import pytest
from composing import compose_train

from genexp import testing
from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate, targets

NAMES = sorted(file.name[:-5] for file in (files("genexp.conf") / "model").iterdir() if file.is_file())
ANY_LEVELS = "mlp|made|masked_mlp|fvsbn|nade"


def digits(name):
    return f"model={name}", "data=digits", "training.batch_size=8"


FLOWS = {"genexp.families.flow.Flow", "genexp.families.continuous_flow.ContinuousFlow"}
REALS = [n for n in NAMES if compose_train(*digits(n)).model._target_ in FLOWS]
"""Densities of reals, which data with levels are not."""
UNLABELLED = ["gmm", "mfa"]
"""Those that have no form given labels."""


def named(rooms):
    """The models with a network from one of these modules, which sees the data: not a part of a part."""
    pattern = re.compile(rf"genexp\.networks\.(autoregressive\.)?({rooms})\.")
    found = {name: targets(compose_train(*digits(name)).model) for name in NAMES}
    return [n for n in NAMES if any(pattern.match(target) and key.count(".") == 1 for key, target in found[n])]


VECTORS = named(f"{ANY_LEVELS}|transformer|wavenet")
"""Models of data of any shape."""
VECTORS += [n for n in NAMES if any(".flow.stack." in target for _, target in targets(compose_train(*digits(n)).model))]
CONTINUOUS = named(ANY_LEVELS)
"""Models of data without levels, too."""
CASES = [f"{name}-{kind}" for name in NAMES if name not in REALS for kind in ("plain", "conditional")]
CASES += [f"{name}-continuous" for name in [*CONTINUOUS, *REALS]]
CASES += [f"{name}-continuous_conditional" for name in REALS if name not in UNLABELLED]
every_case = pytest.mark.parametrize("case", CASES)


def test_there_are_models():
    assert len(NAMES) > 0 and len(VECTORS) > 0


def config_of(case):
    name, kind = case.split("-")
    config = compose_train(*digits(name))
    if kind.startswith("continuous"):
        normal = ["model/observation=normal"] if "observation" in config.model else []
        config = compose_train(f"model={name}", "data=toy", "training.batch_size=8", *normal)
        config.data.update(shape=[3], num_classes=4)
    if kind.endswith("conditional"):
        config.model.conditional = True
    return config


@pytest.fixture
def make(case):
    return partial(instantiate, config_of(case), "model", [])


@every_case
@pytest.mark.parametrize("training", [True, False])
def test_losses_are_one_finite_number_for_each_example(make, training):
    testing.check_losses(make, training)


@every_case
def test_every_parameter_gets_a_gradient(make):
    testing.check_gradients(make)


@every_case
def test_samples_lie_in_the_data_space(make):
    testing.check_samples(make)


@every_case
def test_a_seed_repeats_a_sample_and_another_does_not(make):
    testing.check_seeds(make)


@every_case
def test_wrong_requests_are_refused(make):
    testing.check_refusals(make)


@pytest.mark.parametrize("case", [case for case in CASES if case.endswith("conditional")])
def test_labels_are_honoured(make):
    assert make().conditional
    testing.check_labels(make)


@every_case
def test_capabilities_keep_their_word(make):
    testing.check_capabilities(make)


@every_case
def test_save_and_load_give_the_same_model(make):
    testing.check_checkpoint(make)


@every_case
def test_two_steps_of_training(make):
    testing.check_training(make)


@pytest.mark.parametrize("name", NAMES)
def test_data_that_do_not_fit_are_refused_in_one_line(name):
    vectors, unlabelled, one_level = (compose_train(*digits(name)) for _ in range(3))
    if name in REALS:
        with pytest.raises(ConfigError, match=r"levels=17: .* density of reals"):
            instantiate(vectors, "model", [])
        unlabelled.data.levels = None
    elif name not in VECTORS:
        vectors.data.update(shape=[180], levels=2, num_classes=None)
        with pytest.raises(ConfigError, match=r"data\.shape"):
            instantiate(vectors, "model", [])
    unlabelled.data.num_classes, unlabelled.model.conditional = None, True
    with pytest.raises(ConfigError, match="needs data with labels"):
        instantiate(unlabelled, "model", [])
    one_level.data.levels = 1
    with pytest.raises(ConfigError, match="levels=1"):
        instantiate(one_level, "model", [])
