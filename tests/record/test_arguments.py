"""Configs are checked against what constructors declare, read from their source and nothing imported."""

import subprocess
import sys

import pytest
from omegaconf import OmegaConf

from genexp.record.arguments import check_arguments, check_spelling, with_key
from genexp.record.errors import ConfigError, edits, nearest
from genexp.record.guards import refusal
from genexp.record.signatures import classes, signature
from genexp.record.sources import locate

ENCODER = {
    "_target_": "genexp.networks.mlp.MLPEncoder",
    "_partial_": True,
    "hidden": [3],
    "activation": {"_target_": "torch.nn.Tanh"},
    "initialisation": None,
}
ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1}


def refused(node, key="model"):
    with pytest.raises(ConfigError) as error:
        check_arguments(OmegaConf.create({key: node}), key)
    return str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden": "abc"}, "model.hidden=abc: must be a list of whole numbers"),
        ({"hidden": [0]}, "model.hidden=[0]: must be at least 1 each"),
        ({"hidden": [1.5]}, "model.hidden=[1.5]: must be a list of whole numbers"),
        ({"hidden": [True]}, "model.hidden=[true]: must be a list of whole numbers"),
        ({"hiden": [1]}, "Did you mean 'hidden'?"),
        ({"activation": None}, "model.activation=null: must be an object"),
        (
            {"activation": {"_target_": "torch.nn.ReLU", "inplace": "maybe"}},
            "model.activation.inplace=maybe: must be true",
        ),
        ({"activation": {"_target_": "torch.nn.ReLU", "inplac": True}}, "Did you mean 'inplace'?"),
        ({"_partial_": "yes"}, "model._partial_=yes: must be true or false"),
        ({"in_features": 3}, "model.in_features=3: MLPEncoder has no such argument"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named_with_its_rule(change, message):
    assert message in refused(ENCODER | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": -1}, "model.lr=-1: Invalid learning rate: -1"),  # PyTorch's own rule, read in its source
        ({"lr": "1e-3x"}, "model.lr=1e-3x: must be a number"),
        ({"lr": float("nan")}, "model.lr=nan: must be a number"),
        ({"betas": [0.5]}, "model.betas=[0.5]: must be [a number, a number]"),
        ({"betas": [0.5, 1.5]}, "model.betas=[0.5, 1.5]: Invalid beta parameter at index 1: 1.5"),
        ({"lrr": 1}, "Did you mean 'lr'?"),
    ],
    ids=str,
)
def test_arguments_of_pytorch(change, message):
    assert message in refused(ADAM | change)


def test_what_the_model_adds_is_neither_missing_nor_to_be_given():
    family = {
        "_target_": "genexp.families.autoregressive.Autoregressive",
        **{
            "shape": [4],
            "levels": 2,
            "num_classes": None,
            "conditional": False,
            "ensemble": 1,
            "validation_ensemble": 1,
        },
        "observation": {"_target_": "genexp.probability.observation.base.Bernoulli", "_partial_": True},
        "network": {
            "_target_": "genexp.networks.autoregressive.fvsbn.FVSBN",
            **{"_partial_": True, "random_order": False, "order_seed": 0},
        },
    }
    check_arguments(OmegaConf.create({"model": family}), "model")
    network = family["network"]
    assert refused(family | {"network": network | {"levels": 2}}).startswith(
        "model.network.levels=2: FVSBN is given levels"
    )
    del network["order_seed"]
    assert refused(family) == "model.network.order_seed is missing: FVSBN needs it"
    network |= {"order_seed": 0, "_partial_": False}
    assert refused(family).startswith("model.network._partial_=false: must be true, since the model adds shape")


def test_misspelt_targets_have_their_nearest_name():
    for target, near in {
        "genexp.networks.mpl.MLPEncoder": "mlp",
        "genexp.networks.mlp.MLPEncodr": "MLPEncoder",
        "torch.nn.Linaer": "Linear",
        "gnexp.networks.mlp.MLPEncoder": "genexp",
    }.items():
        with pytest.raises(ConfigError, match=rf"^model\.a\._target_={target}: .* Did you mean '{near}'\?$"):
            check_spelling({"a": {"_target_": target}}, "model")
    check_spelling({"a": {"_target_": "os.system"}})  # it is there; whether it may be named is another question


def test_a_module_of_the_user(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_parts.py").write_text(
        "from genexp.networks.mlp import MLPEncoder\nfrom genexp.ranges import inside\nMOST = 7\n\n\n"
        "def check(width):\n    if width > MOST:\n        raise ValueError(f'width={width}: at most {MOST}')\n\n\n"
        "class Mine(MLPEncoder):\n    def __init__(self, width: int, *, p: float = 0.5, **mlp):\n"
        "        check(width)\n        inside(0, 1, p=p)\n        super().__init__(**mlp)\n"
    )
    found = signature("my_parts.Mine")
    assert list(found.parameters)[:2] == ["width", "p"] and "hidden" in found.parameters and not found.takes_any
    assert str(refusal(found, {"width": 8})) == "width=8: at most 7" and refusal(found, {"width": 7}) is None
    assert (
        refused({"_target_": "my_parts.Mine", "_partial_": True, "width": 1, "p": 2}) == "model.p=2: must be in (0, 1)"
    )


def test_what_cannot_be_read_is_left_to_the_constructor():
    assert signature("fractions.Fraction").takes_any and signature("builtins.int") is None
    assert signature("torch.nn.Identity").takes_any
    assert refusal(signature("torch.optim.Adam"), {"lr": object()}) is None


def test_an_error_of_a_constructor_gets_the_full_key():
    node = {"a": {"width": 3}, "b": [{"p": 2.0}], "c": {"width": 4}}
    assert with_key("width=3: too small", "model", node) == "model.a.width=3: too small"
    assert with_key("p=2.0: too large", "model", node) == "model.b[0].p=2.0: too large"
    assert with_key("data.levels=2: must be 17", "model", node) == "data.levels=2: must be 17"
    assert with_key("it broke", "model", node) == "model: it broke"


def test_bases_are_read_in_pythons_order():
    order, is_whole = classes(locate("genexp.families.gan.GAN"))
    names = [one.node.name for one in order]
    assert names[:2] == ["GAN", "AdversarialModule"] and "AdversarialGame" in names and not is_whole


def test_nothing_is_imported_for_it():
    program = (
        "import sys\nfrom omegaconf import OmegaConf\nfrom genexp.record.arguments import check_arguments\n"
        f"check_arguments(OmegaConf.create({{'model': {ADAM!r}}}), 'model')\nassert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_nearest_name_takes_the_fewest_edits():
    assert [edits(a, b) for a, b in (("abc", "abc"), ("abc", "acb"), ("abc", "ab"), ("abc", "xabd"), ("", "ab"))] == [
        0,
        1,
        1,
        2,
        2,
    ]
    assert nearest("swep", ["seed", "sweep"]) == " Did you mean 'sweep'?"
    assert nearest("vea", ["vae", "made"]) == " Did you mean 'vae'?"
    assert nearest("zzzzzz", ["vae", "made"]) == ""
