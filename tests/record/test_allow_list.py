import pytest
from omegaconf import OmegaConf

from genexp.record.errors import ConfigError, nearest
from genexp.record.instantiate import instantiate

DANGEROUS = [
    "os.system",
    "builtins.open",
    "builtins.exec",
    "torch.load",
    "torch.hub.load",
    "numpy.load",
    "pathlib.Path.write_text",
    "joblib.load",
    "torch.nn.init.torch.load",  # begins with an allowed prefix
    "torch.nn.init.warnings.warn",
    "genexp.record.git_state.subprocess.run",
    "genexp.record.folder.os.system",
    "pytorch_lightning.trainer.trainer.os.system",
]


@pytest.mark.parametrize("target", DANGEROUS)
def test_dangerous_targets_are_refused_before_anything_happens(target, tmp_path):
    config = OmegaConf.create({"model": {"a": [{"_target_": target, "_args_": [f"touch {tmp_path}/executed"]}]}})
    with pytest.raises(ConfigError, match=r"model\.a\[0\]"):
        instantiate(config, "model", [])
    assert not list(tmp_path.iterdir())


def test_allowed_targets_and_partials():
    config = OmegaConf.create({"a": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}})
    assert instantiate(config, "a", []).out_features == 3
    config = OmegaConf.create({"a": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1}})
    assert instantiate(config, "a", []).keywords == {"lr": 0.1}


def test_user_modules_are_allowed_by_name(monkeypatch):
    config = OmegaConf.create({"a": {"_target_": "fractions.Fraction", "numerator": 1}})
    with pytest.raises(ConfigError, match=r"allow_targets=\[fractions\]"):
        instantiate(config, "a", [])
    assert instantiate(config, "a", ["fractions"]) == 1
    monkeypatch.setenv("GENEXP_ALLOW_TARGETS", "fractions,other")
    assert instantiate(config, "a", []) == 1


def test_the_cause_of_a_failed_construction_is_told():
    config = OmegaConf.create({"a": {"_target_": "torch.nn.Linear", "in_features": 2}})
    with pytest.raises(ConfigError, match="out_features"):
        instantiate(config, "a", [])
    config = OmegaConf.create({"a": {"_target_": "torch.nn.Linaer"}})
    with pytest.raises(ConfigError, match="Linaer"):
        instantiate(config, "a", [])


def test_the_nearest_name_is_found():
    assert nearest("pixlcnn", ["made", "pixelcnn"]) == " Did you mean 'pixelcnn'?"
    assert nearest("zzz", ["made", "pixelcnn"]) == ""
