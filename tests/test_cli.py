"""Every wrong input is one clear line with the nearest valid name, a non-zero exit, and leaves nothing behind."""

import subprocess
import sys

import pytest

WRONG = {
    "trian": ["'trian' is not a verb", "Did you mean 'train'?"],
    "train modle=made": ["modle", "Did you mean 'model'?"],
    "train model.latnt_dim=3 model=vae": ["model.latnt_dim", "latent_dim"],
    "train training.bach_size=3": ["training.bach_size", "training.batch_size"],
    "train model=pixlcnn": ["pixlcnn", "Did you mean 'pixelcnn'?"],
    "train data=uci_binary": ["uci_binary", "Did you mean", "uci_dna"],
    "train experiment=made_uci_dnaa": ["made_uci_dnaa", "Did you mean 'made_uci_dna'?"],
    "train metrics=fidelty": ["fidelty", "Did you mean 'fidelity'?"],
    "train data=digits model=dcgan metrics=nll": [
        "metrics=nll",
        "ExactLikelihood",
        "metrics that fit: duality_gap, fidelity",
    ],
    "train data=mnist data.root=nowhere": ["nowhere"],
    "train data.shape=[1,14,14]": ["data.shape", "[1, 14, 14]", "[1, 28, 28]"],
    "train data=digits data.levels=2": ["data.levels=2", "17"],
    "train data=mnist_binary model.conditional=true": ["model.conditional=true", "labels", "mnist_binary"],
    "train data=toy model/observation=categorical": ["Categorical", "model/observation=normal"],
    "train data=uci_dna model=gated_pixelcnn data.root=null": ["(C, H, W)", "180"],
    "train training.max_images=null": ["training never stops"],
    "train training.max_images=many": ["training.max_images=many", "whole number"],
    "train samples.every_images=0": ["samples.every_images=0"],
    "train samples.n=null": ["samples.n=null", "whole number"],
    "train training.batch_size=null": ["training.batch_size=null", "whole number"],
    "train seed=one": ["seed=one"],
    "train training.patience=0": ["training.patience=0"],
    "train +trainer.max_steps=5": ["trainer.max_steps", "training.max_steps"],
    "train training.monitor=val/los": ["training.monitor=val/los", "Did you mean 'val/loss'?"],
    "train evaluation.split=tset": ["evaluation.split=tset", "Did you mean 'test'?"],
    "train model.beta=-1 model=vae": ["beta=-1"],
    "train logger=wandb logger.wandb.mode=onlin": ["onlin", "Did you mean 'online'?"],
    "train +model._target_=os.system": ["os.system"],
    "train seed=[": ["seed=["],
    "train model=vq_prior": ["model.first_stage_run=null", "genexp train model=vq_vae"],
    "train model=vq_prior model.first_stage_run=outputs/nothing": ["model.first_stage_run", "outputs/nothing"],
    "evaluate run=outputs/nothing": ["outputs/nothing", "holds no run"],
    "evaluate": ["run"],
    "sample run=nothing": ["nothing", "holds no run"],
    "compare nothing": ["nothing", "not a folder"],
    "published --config-dir nothing": ["nothing"],
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_input(genexp, tmp_path, command):
    code, _, err = genexp(*command.split())
    assert code == 2
    assert err.startswith("genexp: error: ") and err.count("\n") == 1, err
    for part in WRONG[command]:
        assert part in err
    assert not list(tmp_path.glob("outputs/*")) and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_help(genexp):
    code, out, _ = genexp("--help")
    assert code == 0 and "genexp train -m model=" in out
    for verb in ("train", "evaluate", "sample"):
        code, out, _ = genexp(verb, "--help")
        assert code == 0 and f"genexp {verb}" in out and "metrics" in out + "metrics" * (verb == "sample")
    for verb in ("compare", "published"):
        code, out, _ = genexp(verb, "--help")
        assert code == 0 and f"genexp {verb}" in out


def test_published_lists_the_ledger(genexp):
    code, out, _ = genexp("published")
    assert code == 0 and "made_uci_dna" in out and "79.66" in out


def test_the_command_is_installed():
    out = subprocess.run([sys.executable, "-m", "genexp", "--version"], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "0.2.0"


def test_a_gpu_that_is_not_there(genexp, tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    code, _, err = genexp("train", "trainer=gpu")
    assert code == 2 and "no GPU is available" in err and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_reader_that_leaves_early_is_no_error():
    script = f"set -o pipefail; {sys.executable} -m genexp train --help | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 141) and done.stderr == "" and done.stdout.startswith("genexp train")


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "5"}, "5"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
    ids=str,
)
def test_threads_do_not_spin_unless_told_to(monkeypatch, given, expected):
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    program = "import sys, genexp, os; assert 'torch' not in sys.modules; print(os.environ.get('GOMP_SPINCOUNT'))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [expected]
