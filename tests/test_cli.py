"""Every wrong input is one clear line with the nearest valid name, a non-zero exit, and leaves nothing behind."""

import signal
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
    "train metrics=[nll,boundd]": ["there is no config 'metrics/boundd'. Did you mean 'bound'?"],
    "train model={a:1}": ["model: a config is chosen here by its name: ", "made"],
    "train model=vq_prior": ["model.first_stage_run=null", "genexp train model=vq_vae"],
    "train model=vq_prior model.first_stage_run=outputs/nothing": ["model.first_stage_run", "outputs/nothing"],
    "evaluate run=outputs/nothing": ["outputs/nothing", "holds no run"],
    "evaluate": ["run"],
    "sample run=nothing": ["nothing", "holds no run"],
    "compare nothing": ["nothing", "not a folder"],
    "published --config-dir nothing": ["nothing"],
    "train name=": ["name must not be empty"],
    "train name=../../x": ["name=../../x", "one folder in outputs/"],
    "train run=": ["run must not be empty"],
    "train data.num_workers=abc": ["data.num_workers=abc", "whole number"],
    "train trial=abc": ["trial=abc"],
    "train allow_targets=abc": ["allow_targets=abc", "list"],
    "train model.conditional=maybe": ["model.conditional=maybe", "true or false"],
    "train model.network.hidden=[0]": ["model.network.hidden=[0]", "at least 1"],
    "train model.observation.components=-1": ["model.observation.components=-1", "at least 1"],
    "train model.optimizer.lr=-1": ["model.optimizer.lr=-1", "Invalid learning rate"],
    "train model.shape=[3]": ["model.shape=[3]", "data.shape=[1, 28, 28]"],
    "train +foo=1": ["foo", "no such setting"],
    "train model=null": ["model=null"],
    "train swep=seeds": ["Did you mean 'sweep'?"],
    "model vae": ["'model' is not a verb", "genexp list model"],
    "train model vae": ["model: overrides are key=value"],
    "--batch-size 3": ["--batch-size: there is no such option", "training.batch_size=3"],
    "train --seed 3": ["Keys are written without dashes: seed=3"],
    "train trainer.deterministic=true": ["+trainer.deterministic=true"],
    "train callbacks=early_stopping": ["training.patience"],
    "train hydra.job.chdir=true": ["paths count from where the command starts"],
    "train -m seed=0,1 training.batch_size=abc": ["training.batch_size=abc"],
    "train --multirn": ["Did you mean '--multirun'?"],
    "train model=dcgan metrics=bound": [
        "metrics=bound",
        "ImportanceBound",
        "GAN",
        "metrics that fit: duality_gap, fidelity",
    ],
    "evaluate run=[]": ["run=[]"],
    "sample": ["run=... is needed"],
    "sample run=": ["run must not be empty"],
    "train debug=true": ["debug=true", "fast"],
    "compare --csvv x y": ["Did you mean '--csv'?"],
    "wandb exprt x": ["Did you mean 'export'?"],
}


@pytest.mark.parametrize("command", WRONG)
def test_wrong_input(genexp, tmp_path, command):
    code, _, err = genexp(*command.split())
    assert code == 2
    assert err.startswith("genexp: error: ") and err.count("\n") == 1, err
    for part in WRONG[command]:
        assert part in err
    assert not (tmp_path / "outputs").exists() and not [path for path in tmp_path.rglob("*") if path.is_file()]


WITHOUT_TORCH = (
    "evaluate run=nosuch",
    "sample run=nosuch",
    "train data.num_workers=abc",
    "train model=dcgan metrics=bound",
    "train model._target_=genexp.families.vea.VAE",
    "train model.optimizer.lr=-1",
)


def test_common_refusals_do_not_import_torch():
    """They are answered in a second, and not in eight."""
    program = (
        "import sys, contextlib\nfrom genexp.cli import main\n"
        f"for command in {WITHOUT_TORCH}:\n"
        "    sys.argv = ['genexp', *command.split()]\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert end.code == 2, (command, end.code)\n"
        "    assert 'torch' not in sys.modules, command\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("genexp: error: ") == len(WITHOUT_TORCH), done.stderr


def test_an_interrupted_start_is_told_in_one_line(genexp, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("genexp.sweeps.process.die_with_parent", interrupted)
    before = signal.getsignal(signal.SIGINT)
    try:
        assert genexp("train") == (130, "", "genexp: error: interrupted\n")
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # a second one changes nothing
    finally:
        signal.signal(signal.SIGINT, before)


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
    assert out.stdout.strip() == "0.4.0"


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
