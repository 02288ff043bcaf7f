"""What an optimizer or a schedule refuses is found before a run begins, with its key."""

import pytest
import torch

from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate
from genexp.runs.optimizers import check_optimizers

COSINE = "model.scheduler={_target_: torch.optim.lr_scheduler.CosineAnnealingLR, _partial_: true, T_max: %s}"
PLATEAU = "model.scheduler={_target_: torch.optim.lr_scheduler.ReduceLROnPlateau, _partial_: true}"


def model_of(compose_train, name, *overrides):
    return instantiate(compose_train(f"model={name}", "data=digits", *overrides), "model", [])


@pytest.mark.parametrize(
    ("model", "overrides", "line"),
    [
        ("fvsbn", ["model.optimizer.lr=-1"], "model.optimizer.lr=-1: invalid learning rate"),
        ("fvsbn", ["model.optimizer.lr=nan"], "model.optimizer.lr=nan: "),
        ("fvsbn", ["+model.optimizer.betas=[1.5,0.9]"], "model.optimizer.betas=[1.5, 0.9]: invalid beta parameter"),
        ("fvsbn", ["+model.optimizer.rate=3"], "model.optimizer.rate=3: Adam"),
        ("fvsbn", ["model.optimizer=null"], "model.optimizer=null: Autoregressive is trained by one"),
        ("fvsbn", [COSINE % 0], "model.scheduler.T_max=0: integer modulo by zero"),
        ("fvsbn", [PLATEAU], "model.scheduler: ReduceLROnPlateau.step() missing"),
        ("gan", ["model.generator_optimizer.lr=-1"], "model.generator_optimizer.lr=-1: invalid learning rate"),
        ("gan", ["+model.generator_optimizer.eps=-2"], "model.generator_optimizer.eps=-2: invalid epsilon"),
        ("fvsbn", ["model.optimizer.lr=much"], "model.optimizer.lr=much: must be a number"),
    ],
)
def test_a_setting_that_is_refused_is_named(compose_train, model, overrides, line):
    """Some when the config becomes objects, and the others when these are tried."""
    with pytest.raises(ConfigError) as refused:
        check_optimizers(model_of(compose_train, model, *overrides))
    assert str(refused.value).lower().startswith(line.lower()), refused.value


def test_looking_changes_nothing(compose_train):
    model = model_of(compose_train, "vae", COSINE % 25)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    check_optimizers(model)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    optimizer = model.configure_optimizers()["optimizer"]
    assert optimizer.param_groups[0]["lr"] == model.optimizer_factory.keywords["lr"]


def test_no_folder_is_left(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "model.optimizer.lr=-1"))
    assert code == 2 and "model.optimizer.lr=-1: invalid learning rate" in err.lower() and err.count("\n") == 1
    assert not (genexp.folder / "outputs/a").exists()


CARELESS = """
from pytorch_lightning import Callback

class Careless(Callback):
    def on_train_start(self, trainer, module):
        raise RuntimeError("the first cause")

    def on_exception(self, trainer, module, exception):
        raise FileNotFoundError("the second")
"""


def test_a_callback_that_fails_while_it_cleans_up_does_not_hide_the_cause(genexp, tiny):
    (genexp.folder / "careless.py").write_text(CARELESS)
    careless = "+callbacks.careless={_target_: careless.Careless}"
    code, _, err = genexp(*tiny("made", "name=a", careless, "allow_targets=[careless]"))
    assert code == 1 and err == "genexp: error: RuntimeError: the first cause\n"
    assert genexp.json("outputs/a/status.json")["error"] == "RuntimeError: the first cause"
