"""Malformed commands, made from every leaf of the composed configs of three models: a wrong type, a value out of range, one edit in
the name of a key, of an option, a verb or a switch. Each says which key the refusal must name, and for a typo the true name.

What may be wrong with a leaf follows from what the leaf *is*, which :data:`KINDS` says; values that are right are left out there
for that reason, and never because genexp took them.

``python tests/torture/malformed.py [seconds]`` runs all of them in one process, and a share of them as commands of their own.
"""

import contextlib
import io
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_module
from omegaconf import DictConfig

MODELS = ("made", "vae", "dcgan")
BASE = ("data=digits", "logger=wandb")
HUGE = 10**30
OPTIONS = (
    "model",
    "data",
    "training",
    "trainer",
    "logger",
    "metrics",
    "monitors",
    "experiment",
    "sweep",
    "hydra/sweeper",
)
VERBS = ("train", "repeat", "evaluate", "sample", "compare", "wandb", "published")
SWITCHES = ("--multirun", "--config-dir", "--cfg", "--info", "--help")

WRONG: dict[str, tuple[str, ...]] = {
    # a whole number of at least 1
    "count": ("null", "abc", "-1", "0", "1.5", "[]", "{}", str(HUGE), "nan", "inf", "''", "true"),
    # a whole number of at least 0
    "natural": ("null", "abc", "-1", "1.5", "[]", "{}", str(HUGE), "nan", "''", "true"),
    # any whole number: seeds
    "whole": ("null", "abc", "1.5", "[]", "{}", str(HUGE), "nan", "''", "true"),
    # a number of at least 0; 0 and 10**30 are right
    "weight": ("null", "abc", "-1", "[]", "{}", "nan", "inf", "''", "true"),
    # a number above 0
    "positive": ("null", "abc", "-1", "0", "[]", "{}", "nan", "inf", "''", "true"),
    "number": ("null", "abc", "[]", "{}", "nan", "inf", "''", "true"),
    # between 0 and 1, both left out
    "share": ("abc", "-1", "0", "1.5", "[]", "{}", "nan", "inf", "''", "true"),
    "switch": ("null", "abc", "maybe", "0", "1.5", "[]", "{}", "''"),
    "text": ("null", "1.5", "7", "[]", "{}", "true"),
    "choice": ("null", "abc", "0", "1.5", "[]", "{}", "''"),
    # counts, at least one of them
    "counts": ("null", "abc", "7", "-1", "[0]", "[-1]", "[1.5]", "[abc]", "[null]", "{}", f"[{HUGE}]", "''"),
    "interval": ("abc", "7", "[]", "[1]", "[a,b]", "{}", "''"),
    "texts": ("null", "abc", "7", "[7]", "{}", "''"),
    # whatever a command line says is text: a name
    "word": ("null", "[]", "{}"),
    "words": ("null", "abc", "{}"),
    "mapping": ("abc", "7", "[]", "''", "1.5"),
    # an object, from a node with _target_
    "object": ("null", "abc", "7", "[]", "''", "true"),
    "target": ("null", "abc", "0", "[]", "{}", "''", "nosuch.module.Class"),
}
"""Values that are wrong for a leaf of a kind."""
KINDS: dict[str, str] = {
    "seed": "whole",
    "group": "word?",
    "name": "name",
    "resume": "switch",
    "dry_run": "switch",
    "tags": "words",
    "job_type": "word",
    "trial": "mapping?",
    "allow_targets": "texts",
    "published": "mapping?",
    "reproduced": "mapping?",
    "evaluation.split": "choice",
    "evaluation.monitor_every_images": "count",
    "samples.n": "count",
    "samples.every_images": "count?",
    "training.batch_size": "count",
    "training.accumulate_batches": "count",
    "training.max_images": "count?",
    "training.max_steps": "count?",
    "training.max_epochs": "count?",
    "training.monitor": "text?",
    "training.patience": "count?",
    "training.collapse": "mapping?",
    "training.collapse.images": "count",
    "training.collapse.below.*": "number?",
    "training.gradient_clip_norm": "clipping",
    "training.compile": "switch",
    "training.activation_checkpointing": "switch",
    "training.validate_every_epochs": "count",
    "training.log_every_steps": "count",
    "training.checkpoint_every_minutes": "weight",
    "training.ema_decay": "share",
    "training.ema_half_life_images": "positive?",
    "trainer.accelerator": "choice",
    "trainer.devices": "devices",
    "trainer.precision": "choice",
    "data.name": "text",
    "data.shape": "counts",
    "data.levels": "count?",
    "data.num_classes": "count?",
    "data.batch_size": "count",
    "data.evaluation_batch_size": "count",
    "data.limit": "count?",
    "data.num_workers": "natural",
    "data.seed": "whole",
    "data.split_seed": "natural",
    "data.splits.*": "count",
    "model.shape": "counts",
    "model.levels": "count?",
    "model.num_classes": "count?",
    "model.conditional": "switch",
    "model.ensemble": "count",
    "model.validation_ensemble": "count",
    "model.scheduler": "object?",
    "model.latent_dim": "count",
    "model.beta": "weight",
    "model.k": "count",
    "model.kl_warmup_images": "natural",
    "model.free_bits": "weight",
    "model.doubly_reparameterised": "switch",
    "model.temperature": "weight",
    "model.chunk": "count",
    "model.packing": "count",
    "model.discriminator_steps": "count",
    "model.generator_batches": "count",
    "model.simultaneous": "switch",
    "model.weight_clip": "positive?",
    "model.penalties": "mapping",
    "model.augmentation": "object?",
    "model.auxiliary": "object?",
    "model.discriminator_optimizer": "object",
    "model.observation.components": "count",
    "model.observation.max_log_scale": "number?",
    "model.observation.min_log_std": "number",
    "model.posterior.log_std_range": "interval",
    "*.hidden": "counts",
    "*.dense": "counts0",
    "*.channels": "count",
    "*.random_order": "switch",
    "*.direct": "switch",
    "*.num_masks": "count?",
    "*.mask_seed": "whole",
    "*.initialisation": "object?",
    "*.initialisation.std": "number",
    "*.batch_norm": "switch",
    "*.conditional_batch_norm": "switch",
    "*.projection": "switch",
    "*.spectral_norm": "switch",
    "*.slope": "weight",
    "*.inplace": "switch",
    "*optimizer.lr": "weight",
    "*optimizer.betas": "betas",
    "*._target_": "target",
    "*._partial_": "switch",
    "metrics.unfit": "left out: any word but skip lets metrics be refused",
    "monitors": "left out: it chooses an option",
    "metrics.bound.ks": "counts",
    "metrics.*.limit": "count?",
    "metrics.bound.repeats": "count",
    "metrics.*.n": "count",
    "metrics.*.knobs": "mapping",
    "metrics.*.batch_size": "count",
    "metrics.modes.radius": "positive",
    "metrics.fidelity.reference": "choice?",
    "metrics.fidelity.kid_subset_size": "count",
    "metrics.fidelity.kid_subsets": "count",
    "metrics.fidelity.is_splits": "count",
    "metrics.fidelity.*_neighborhood": "count",
    "metrics.fidelity.cache_dir": "text?",
    "logger.wandb.project": "text",
    "logger.wandb.entity": "text?",
    "logger.wandb.name": "text",
    "logger.wandb.group": "text?",
    "logger.wandb.job_type": "text",
    "logger.wandb.tags": "texts",
    "logger.wandb.mode": "choice",
    "logger.wandb.watch": "choice?",
    "logger.wandb.settings.*": "number",
    "logger.wandb.settings.x_*": "number?",
    "logger.wandb.settings.finish_timeout_raises": "switch",
}
"""What a leaf is, by its key, where ``*`` stands for anything; a ``?`` says that null is right too. The last that fits counts."""
SPECIAL: dict[str, tuple[str, ...]] = {
    "name": ("''", "a/b", "..", "../../x", "-x", "x" * 300),
    "clipping": ("abc", "-1", "0", "[]", "nan", "inf", "''", "true"),
    "devices": ("abc", "-1", "0", "1.5", "[]", "{}", "''", "true", str(HUGE)),
    "counts0": ("null", "abc", "7", "[0]", "[-1]", "[1.5]", "[abc]", "{}", "''"),
    "betas": ("null", "abc", "0.5", "[]", "[0.5]", "[a,b]", "[-1,0.9]", "[0.5,1.5]", "{}", "''"),
}


@dataclass(frozen=True)
class Case:
    """A malformed command.

    Attributes:
        words: after ``genexp``.
        key: that the refusal must name.
        true: the nearest name that it must offer, for a typo; else empty.
        kind: value, key, option, verb or switch.
    """

    words: tuple[str, ...]
    key: str
    true: str = ""
    kind: str = "value"


def kind_of(key: str) -> str:
    """What a leaf is.

    Raises:
        LookupError: :data:`KINDS` does not say.
    """
    found = [kind for pattern, kind in KINDS.items() if re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), key)]
    if not found:
        raise LookupError(f"{key}: tests/torture/malformed.py does not say what it is")
    return found[-1]


def leaves(node: DictConfig, path: str = "") -> Iterator[str]:
    """Dotted keys of what a command line sets: numbers, texts, lists, null, and empty mappings."""
    for name in node:
        key, child = f"{path}.{name}" if path else str(name), node._get_node(name)
        if isinstance(child, DictConfig) and len(child):
            yield from leaves(child, key)
        else:
            yield key


def composed(model: str) -> DictConfig:
    with initialize_config_module("genexp.conf", version_base="1.3"):
        return compose("train", ["name=test", f"model={model}", *BASE])


def one_edit(name: str, draws: random.Random) -> str:
    """A name with one character put in, left out, changed, or swapped with its neighbour."""
    place, letter = draws.randrange(len(name)), draws.choice("abcdefghijklmnopqrstuvwxyz_")
    if name[place] in ".-/":
        return one_edit(name, draws)
    edits = [name[:place] + letter + name[place:], name[:place] + letter + name[place + 1 :]]
    if len(name) > 3:
        edits.append(name[:place] + name[place + 1 :])
    if place + 1 < len(name) and name[place + 1] not in ".-/":
        edits.append(name[:place] + name[place + 1] + name[place] + name[place + 2 :])
    edited = draws.choice(edits)
    return one_edit(name, draws) if edited == name else edited


def cases(seed: int = 0) -> list[Case]:
    """All malformed commands, each once, in an order that the seed shuffles."""
    draws = random.Random(seed)
    shared = set(leaves(composed(MODELS[0])))
    found: dict[tuple[str, ...], Case] = {}
    for model in MODELS:
        config = composed(model)
        keys = list(leaves(config))
        begin = ("train", f"model={model}", *BASE)
        for key in keys:
            kind = kind_of(key)
            values = SPECIAL.get(kind) or WRONG.get(kind.rstrip("?"), ())
            for value in values:
                if value == "null" and kind.endswith("?"):
                    continue
                if value == "''" and key.startswith("training.monitor"):
                    continue
                base = model if key.startswith("model") or key not in shared else MODELS[0]
                words = ("train", f"model={base}", *BASE, f"{key}={value}")
                found[words] = Case(words, key)
            typo = one_edit(key, draws)
            if typo in keys or any(other.startswith(f"{typo}.") for other in keys) or typo.count(".") != key.count("."):
                continue
            words = (*begin, f"{typo}=1")
            found[words] = Case(words, typo, key, "key")
    for case in [*_options(draws), *_words(draws)]:
        found[case.words] = case
    shuffled = list(found.values())
    draws.shuffle(shuffled)
    return shuffled


def _options(draws: random.Random) -> Iterator[Case]:
    root = Path(__file__).parents[2] / "conf"
    for group in OPTIONS:
        names = sorted(path.stem for path in (root / group).glob("*.yaml"))
        for name in names:
            typo = one_edit(name, draws)
            if typo not in names:
                yield Case(("train", f"{group}={typo}"), typo, name, "option")
        typo = one_edit(group, draws)
        if typo not in OPTIONS:
            yield Case(("train", f"{typo}={names[0]}"), typo, group, "key")


def _words(draws: random.Random) -> Iterator[Case]:
    for verb in VERBS:
        typo = one_edit(verb, draws)
        yield Case((typo,), typo, verb, "verb")
    for switch in SWITCHES:
        typo = f"--{one_edit(switch[2:], draws)}"
        if not switch.startswith(typo):  # Hydra takes a beginning for the whole
            yield Case(("train", typo), typo, switch, "switch")


@dataclass
class Outcome:
    """How a malformed command ended."""

    case: Case
    code: object
    error: str
    folder_left: bool
    seconds: float

    @property
    def one_line(self) -> bool:
        return self.error.startswith("genexp: error: ") and self.error.count("\n") == 1

    @property
    def key_named(self) -> bool:
        return self.case.key in self.error

    @property
    def nearest_right(self) -> bool:
        return not self.case.true or f"'{self.case.true}'" in self.error


def attempt(case: Case, limit_s: float = 15.0) -> Outcome:
    """Run a command in this process, in the present folder. One that begins to train is ended after so many seconds."""
    import signal

    from genexp.cli import main

    before = set(Path().rglob("*"))
    out, err = io.StringIO(), io.StringIO()
    argv, path, started = sys.argv, list(sys.path), time.process_time()
    sys.argv = ["genexp", *case.words]
    code: object = 0

    def late(*_: object) -> None:
        raise RuntimeError("it was not refused")

    handler = signal.signal(signal.SIGALRM, late)
    signal.alarm(int(limit_s))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code or 0
    except Exception as error:
        code = f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, handler)
        sys.argv, sys.path[:] = argv, path
    return Outcome(case, code, err.getvalue(), set(Path().rglob("*")) != before, time.process_time() - started)


def as_process(case: Case) -> tuple[float, bool]:
    """Processor seconds of a command of its own, and whether it imported PyTorch."""
    program = (
        "import sys, time, atexit\n"
        f"sys.argv = ['genexp', *{list(case.words)!r}]\n"
        "atexit.register(lambda: print(time.process_time(), 'torch' in sys.modules))\n"
        "from genexp.cli import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    seconds, with_torch = done.stdout.split()[-2:]
    return float(seconds), with_torch == "True"


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts, and the commands that were not refused as they should be."""
    typos = [outcome for outcome in outcomes if outcome.case.true]
    bad = [o for o in outcomes if not (o.code == 2 and o.one_line and o.key_named and not o.folder_left)]
    return {
        "tried": len(outcomes),
        "exit2": sum(o.code == 2 for o in outcomes),
        "one_line": sum(o.one_line for o in outcomes),
        "key_named": sum(o.key_named for o in outcomes),
        "typos": len(typos),
        "nearest_right": sum(o.nearest_right for o in typos),
        "folder_left": sum(o.folder_left for o in outcomes),
        "accepted": [" ".join(o.case.words) for o in outcomes if o.code == 0],
        "bad": [(" ".join(o.case.words), str(o.code), o.error[:300]) for o in bad],
        "far": [(" ".join(o.case.words), o.case.true, o.error[:300]) for o in typos if not o.nearest_right],
        "median_s": round(statistics.median(o.seconds for o in outcomes), 3),
    }


def main() -> None:
    """Run everything, or what begins within so many seconds, and print the figures."""
    limit_s = float(sys.argv[1]) if len(sys.argv) > 1 else 1e9
    os.environ["OMP_NUM_THREADS"] = "1"
    started, outcomes = time.monotonic(), []
    everything = cases()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for case in everything:
            if time.monotonic() - started > limit_s:
                break
            outcomes.append(attempt(case))
        figures = summary(outcomes) | {"of": len(everything)}
        times = [as_process(case) for case in everything[:: max(1, len(everything) // 12)]]
    for name, wanted in (("without", False), ("with", True)):
        seconds = [s for s, with_torch in times if with_torch is wanted]
        figures[f"process_median_s_{name}_torch"] = round(statistics.median(seconds), 2) if seconds else None
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
