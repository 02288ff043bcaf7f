"""Every argument of Lightning's trainer is either a setting of a run, or refused with the key to use."""

from inspect import signature

import pytest
from pytorch_lightning import Trainer

from genexp.record.errors import ConfigError
from genexp.runs.train_config import check
from genexp.runs.trainer import ALWAYS
from genexp.runs.trainer_arguments import FREE, REFUSED, check_arguments


def test_all_arguments_are_decided():
    assert {*FREE, *REFUSED} == set(signature(Trainer).parameters)
    assert not set(FREE) & set(REFUSED)


def test_what_every_run_sets_itself_is_refused():
    computed = {
        "check_val_every_n_epoch",
        "log_every_n_steps",
        "plugins",
        "accumulate_grad_batches",
        "gradient_clip_val",
    }
    assert {*ALWAYS, *computed, "default_root_dir"} <= set(REFUSED)


@pytest.mark.parametrize("argument", REFUSED)
def test_a_refused_argument_is_named_with_the_key_to_use(compose_train, argument):
    config = compose_train("model=fvsbn", "data=digits", f"+trainer.{argument}=1")
    with pytest.raises(ConfigError) as refused:
        check(config)
    assert str(refused.value).startswith(f"trainer.{argument}=1: ") and "\n" not in str(refused.value)
    for word in str(refused.value).split():
        group, _, key = word.strip(",;").partition(".")
        if group in ("training", "data") and key:
            assert key in config[group] or key == "limit"


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (
            {"limit_val_batch": 1},
            "trainer.limit_val_batch=1: Lightning's trainer has no such argument. Did you mean 'limit_val",
        ),
        ({"profiler": "simple"}, "trainer.profiler=simple: must say where it writes"),
    ],
)
def test_what_cannot_be_is_refused(settings, line):
    with pytest.raises(ConfigError) as refused:
        check_arguments(settings)
    assert str(refused.value).startswith(line)


def test_a_training_that_is_stopped_before_its_first_step_says_so(genexp, tiny):
    code, _, err = genexp(*tiny("made", "name=a", "callbacks=timer", "callbacks.timer.duration='00:00:00:00'"))
    assert code == 2 and "callbacks: training was stopped before its first step" in err and err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "setting",
    [
        "deterministic=true",
        "benchmark=true",
        "inference_mode=false",
        "detect_anomaly=true",
        "profiler={_target_: pytorch_lightning.profilers.SimpleProfiler, dirpath: ., filename: profile}",
    ],
)
def test_a_free_argument_leaves_a_whole_run(genexp, tiny, setting):
    code, _, err = genexp(*tiny("made", "name=a", "metrics=nll", f"+trainer.{setting}"))
    assert code == 0, err
    assert (genexp.folder / "outputs/a/checkpoints/best.ckpt").exists()
    assert not setting.startswith("profiler") or list(genexp.folder.glob("*profile*"))
