"""Completion: what stands at the end of a command line, and what real shells make of it."""

import shutil
import subprocess
import sys

import pytest

from genexp.catalogue.shells import SCRIPTS, split

BREAKS = " \t\n\"'><=;|&(:"


@pytest.fixture
def runs(genexp):
    for name in ("outputs/a", "outputs/b", "outputs/sweep/seed_0"):
        (genexp.folder / name / "checkpoints").mkdir(parents=True)
        (genexp.folder / name / "status.json").write_text("{}")
    (genexp.folder / "outputs/a/checkpoints/best.ckpt").touch()


ANSWERS = {
    "genexp tra": ["train "],
    "genexp train model=ga": ["gan ", "gated_pixelcnn ", "gaussian "],
    "genexp model=vae_c": ["vae_conv "],
    "genexp train metrics=[nll,fi": ["[nll,fidelity ", "[nll,fidelity_inception "],
    "genexp train 'metrics=[nll,bo": ["metrics=[nll,bound"],
    "genexp train -m model=made,vae_c": ["made,vae_conv "],
    "genexp train training.ba": ["training.batch_size="],
    "genexp train model=vae model.latent": ["model.latent_dim="],
    "genexp train model=made model.latent": [],
    "genexp train model=vae model/prior=v": ["vamp "],
    "genexp train data=toy data/density=ri": ["ring "],
    "genexp train +experiment=made_u": ["made_uci_dna "],
    "genexp train model=vae model.doubly_reparameterised=": ["true ", "false "],
    "genexp train hydra/sweeper=o": ["optuna "],
    "genexp train hydra/sweeper=optuna hydra.sweeper.n_t": ["hydra.sweeper.n_trials="],
    "genexp train --cfg ": ["job ", "hydra ", "all "],
    "genexp train --multi": ["--multirun "],
    "genexp train --config-dir ": [],
    "genexp evaluate run=outputs/": ["outputs/a ", "outputs/b ", "outputs/sweep/"],
    "genexp evaluate run=outputs/a checkpoint=": ["best "],
    "genexp evaluate run=[outputs/a,outputs/b": ["[outputs/a,outputs/b "],
    "genexp compare outputs/sw": ["outputs/sweep/"],
    "genexp compare --cs": ["--csv "],
    "genexp wandb exp": ["export "],
    "genexp sample latent=t": ["traverse "],
    "genexp list monit": ["monitors "],
    "genexp info trainer=dd": ["ddp "],
    "genexp completion z": ["zsh "],
    "genexp repeat outputs/a see": ["seed="],
}


def answers(genexp, line, shell="bash"):
    code, out, err = genexp("completion", "--answer", shell, line, BREAKS)
    assert code == 0 and err == ""
    return out.splitlines()


def test_what_may_stand_there(genexp, runs):
    assert {line: answers(genexp, line) for line in ANSWERS} == ANSWERS


def test_other_shells_get_whole_words_with_what_they_are(genexp):
    assert answers(genexp, "genexp train model=vae_c", "fish") == [
        "model=vae_conv\tVAE with a convolutional encoder and decoder, for square images of 8 to 64 pixels"
    ]
    assert "train\ttrain a model" in "\n".join(answers(genexp, "genexp tr", "zsh"))


def test_own_configs_are_completed(genexp):
    folder = genexp.folder / "mine/model"
    folder.mkdir(parents=True)
    (folder / "own.yaml").write_text("# Mine.\ndefaults: [vae, _self_]\nextra: 1\n")
    assert answers(genexp, "genexp train --config-dir mine model=ow") == ["own "]
    assert answers(genexp, "genexp train --config-dir mine model=own model.ex") == ["model.extra="]
    (folder / "broken.yaml").write_text("a: [1\n")
    assert answers(genexp, "genexp train --config-dir mine model=broken model.ex") == []


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("genexp train ", (["genexp", "train"], "", "")),
        ("genexp 'a b' c\\ d", (["genexp", "a b"], "c d", "")),
        ('genexp "x=[1', (["genexp"], "x=[1", '"')),
        ("genexp '' x", (["genexp", ""], "x", "")),
    ],
)
def test_a_line_is_taken_apart_as_a_shell_does(line, expected):
    assert split(line) == expected


def test_the_verb_prints_a_script(genexp):
    for shell in SCRIPTS:
        code, out, _ = genexp("completion", shell)
        assert code == 0 and "--answer" in out
        if shutil.which(shell):
            subprocess.run([shell, "-n"], input=out, text=True, check=True)
    assert genexp("completion", "tcsh")[0] == 2
    assert "fish" in genexp("completion")[1]


def test_bash_completes(tmp_path):
    """The script, in a real shell, of a command that is there under its name."""
    program = tmp_path / "genexp"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m genexp "$@"\n')
    program.chmod(0o755)
    line = "genexp train metrics=[nll,fi"
    script = SCRIPTS["bash"] + (
        f"COMP_LINE='{line}' COMP_POINT={len(line)} COMP_WORDBREAKS=$' \\t\\n\"\\'><=;|&(:'\n"
        f"_genexp {program}\nprintf '<%s>' \"${{COMPREPLY[@]}}\"\n"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "<[nll,fidelity ><[nll,fidelity_inception >", done.stderr
