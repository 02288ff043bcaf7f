import gc

import pytest
from omegaconf import OmegaConf
from torture.names import scan

from genexp.record.errors import ConfigError, nearest
from genexp.record.instantiate import check_targets, instantiate

DANGEROUS = [
    "os.system",
    "builtins.open",
    "builtins.exec",
    "torch.load",
    "torch.hub.load",
    "numpy.load",
    "pathlib.Path.write_text",
    "joblib.load",
    # all below begin with a module that may be named
    "torch.nn.init.torch.load",
    "torch.nn.init.warnings.warn",
    "torch.nn.Module.load_state_dict",
    "torch.nn.modules.module.Module.__init__",
    "torch.optim.swa_utils.update_bn",
    "torch.nn.utils.parametrizations.torch.hub.load",
    "genexp.load",
    "genexp.cli.main",
    "genexp.data.files.download",
    "genexp.data.files.RemoteFile",
    "genexp.record.provenance.subprocess.run",
    "genexp.record.provenance.git_state",
    "genexp.record.provenance.write_atomically",
    "genexp.record.checkpoint.save",
    "genexp.record.git_state.subprocess.run",
    "genexp.record.folder.os.system",
    "genexp.record.folder.RunFolder",
    "genexp.record.folder.RunFolder.set_status",
    "genexp.record.folder.RunFolder.config_file.fget",
    "genexp.runs.from_folder.repeat",
    "genexp.runs.loading.load",
    "genexp.sweeps.launcher.RunningJob",
    "genexp.families.vae.VAE.load_from_checkpoint",
    "genexp.callbacks.history.History",
    "pytorch_lightning.cli.instantiate_class",
    "pytorch_lightning.trainer.trainer.os.system",
    "pytorch_lightning.LightningModule.load_from_checkpoint",
    "pytorch_lightning.core.saving.load_hparams_from_yaml",
    "pytorch_lightning.Trainer",
    "torchmetrics.image.fid.FrechetInceptionDistance",
    "torch.nn.init.normal",
]


@pytest.mark.parametrize("target", DANGEROUS)
@pytest.mark.parametrize("key", ["model", "data", "metrics"])
def test_dangerous_targets_are_refused_before_anything_happens(target, key, tmp_path):
    config = OmegaConf.create({key: {"a": [{"_target_": target, "_args_": [f"touch {tmp_path}/executed"]}]}})
    with pytest.raises(ConfigError, match=rf"{key}\.a\[0\]"):
        instantiate(config, key, [])
    assert not list(tmp_path.iterdir())


def test_nothing_is_called_before_all_is_checked(tmp_path):
    inner = {"_target_": "genexp.families.gan.GAN", "x": {"_target_": "pytorch_lightning.cli.instantiate_class"}}
    with pytest.raises(ConfigError, match=r"model\.x\._target_"):
        instantiate(OmegaConf.create({"model": inner}), "model", [])


def test_a_command_that_a_run_folder_would_like_to_run(tmp_path):
    """The path from a target within the list to a class outside it."""
    evil = {"class_path": "os.system", "init_args": {"command": f"touch {tmp_path}/executed"}}
    node = {"_target_": "pytorch_lightning.cli.instantiate_class", "args": [], "init": evil}
    for key in ("model", "data", "trainer"):
        with pytest.raises(ConfigError, match=rf"^{key}\._target_=pytorch_lightning\.cli\.instantiate_class"):
            instantiate(OmegaConf.create({key: node}), key, [])
    assert not list(tmp_path.iterdir())


def test_parts_and_partials_of_a_model():
    linear = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}
    config = OmegaConf.create({"model": {"network": linear}, "data": linear})
    assert instantiate(config, "model.network", []).out_features == 3
    with pytest.raises(ConfigError, match=r"data\._target_=torch\.nn\.Linear is not in a module"):
        instantiate(config, "data", [])
    with pytest.raises(ConfigError, match="must be a class: GenerativeModule"):
        instantiate(OmegaConf.create({"model": linear}), "model", [])
    config = OmegaConf.create({"model": {"a": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1}}})
    assert instantiate(config, "model.a", []).keywords == {"lr": 0.1}
    config = OmegaConf.create({"model": {"a": {"_target_": "torch.nn.init.normal_", "_partial_": True, "std": 0.1}}})
    assert instantiate(config, "model.a", []).keywords == {"std": 0.1}


def test_only_parts_of_a_run_are_built():
    with pytest.raises(ConfigError, match=r"^published\.x\._target_: nothing is built there"):
        check_targets(OmegaConf.create({"published": {"x": {"_target_": "torch.nn.ReLU"}}}), [])


def test_text_of_a_resolved_config_is_not_resolved_again(monkeypatch):
    monkeypatch.setenv("PRIVATE", "gone")
    node = {"_target_": "torch.nn.Identity", "_partial_": True, "x": r"\${oc.env:PRIVATE}"}
    made = instantiate(OmegaConf.create({"model": {"a": node}}), "model.a", [])
    assert made.keywords == {"x": "${oc.env:PRIVATE}"}


def test_user_modules_are_allowed_by_name(monkeypatch):
    config = OmegaConf.create({"model": {"a": {"_target_": "fractions.Fraction", "numerator": 1}}})
    with pytest.raises(ConfigError, match=r"allow_targets=\[fractions\]"):
        instantiate(config, "model.a", [])
    assert instantiate(config, "model.a", ["fractions"]) == 1
    monkeypatch.setenv("GENEXP_ALLOW_TARGETS", "fractions,other")
    assert instantiate(config, "model.a", []) == 1
    with pytest.raises(ConfigError, match=r"model\._target_=fractions\.Fraction: must be a GenerativeModule"):
        instantiate(OmegaConf.create({"model": {"_target_": "fractions.Fraction"}}), "model", [])
    with pytest.raises(
        ConfigError, match="must be a class: one of"
    ):  # imported there from a module that is not trusted
        instantiate(OmegaConf.create({"model": {"a": {"_target_": "fractions.Decimal"}}}), "model.a", [])


def test_the_cause_of_a_failed_construction_is_told():
    config = OmegaConf.create({"model": {"a": {"_target_": "torch.nn.Linear", "in_features": 2}}})
    with pytest.raises(ConfigError, match="out_features"):
        instantiate(config, "model.a", [])


@pytest.mark.parametrize(
    "target, right",
    [
        ("torch.nn.Linaer", "torch.nn has no Linaer. Did you mean 'Linear'?"),
        ("genexp.networks.mpl.MLPEncoder", "there is no module genexp.networks.mpl. Did you mean 'mlp'?"),
        ("genexp.networks.mlp.MLPEncodr", "Did you mean 'MLPEncoder'?"),
    ],
)
def test_a_misspelt_target_is_told_with_the_nearest_name(target, right):
    config = OmegaConf.create({"model": {"a": {"_target_": target}}})
    with pytest.raises(ConfigError) as found:
        instantiate(config, "model.a", [])
    assert str(found.value).startswith(f"model.a._target_={target}: ") and str(found.value).endswith(right)


def test_of_all_names_only_the_intended_kinds_are_accepted():
    found = scan()
    gc.collect()
    gc.freeze()  # the modules that it imported stay, and need not be gone through again and again
    assert found["tried"] > 10_000 and not found["outside"], found
    assert all(found["accepted"].values()) and found["accepted"]["model.part"] > 200, found


def test_the_nearest_name_is_found():
    assert nearest("pixlcnn", ["made", "pixelcnn"]) == " Did you mean 'pixelcnn'?"
    assert nearest("zzz", ["made", "pixelcnn"]) == ""
