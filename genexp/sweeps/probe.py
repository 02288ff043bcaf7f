"""Measure how fast configs train, a few steps each: a process of its own, configs in and speeds out as JSON."""

import json
import logging
import sys
import tempfile
import time
import warnings
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pytorch_lightning import Callback, Trainer

from genexp.families.base import GenerativeModule
from genexp.record.instantiate import instantiate
from genexp.runs.assemble import make_trainer
from genexp.runs.train_config import Training

WARM_UP_STEPS = 3
MOST_STEPS = 30
MOST_S = 1.0


class Stopwatch(Callback):
    """Times training steps after the first ones, and stops training soon."""

    def __init__(self) -> None:
        self.steps = 0
        self.began = self.ended = 0.0
        self.first_images = self.last_images = 0

    def on_train_batch_end(self, trainer: Trainer, pl_module: GenerativeModule, *_: Any) -> None:
        self.steps += 1
        if self.steps == WARM_UP_STEPS:
            self.began, self.first_images = time.monotonic(), pl_module.images_seen
        self.ended, self.last_images = time.monotonic(), pl_module.images_seen
        timed = self.steps - WARM_UP_STEPS
        trainer.should_stop = timed >= MOST_STEPS or (timed > 0 and self.ended - self.began > MOST_S)


def speed(config: DictConfig, folder: str) -> dict[str, Any]:
    """Seconds of a training image and images of an epoch; or, as ``unknown``, why they were not measured."""
    if config.trainer.get("strategy", "auto") != "auto" or config.trainer.devices != 1:
        return {"unknown": "several processes are not measured"}
    extra = list(config.allow_targets)
    try:
        data, model = (instantiate(config, key, extra) for key in ("data", "model"))
        data.prepare_data()
        data.setup()
        watch = Stopwatch()
        training = Training.of(config)
        trainer = make_trainer(config, training, model, folder, limit_val_batches=0, callbacks=[watch])
        trainer.fit(model, datamodule=data)
    except Exception as error:  # the run itself tells of it, and better
        return {"unknown": f"its measurement failed: {' '.join(str(error).split())}"}
    images = watch.last_images - watch.first_images
    if not images:
        return {"unknown": f"an epoch has no more than {WARM_UP_STEPS} steps"}
    return {"image_s": (watch.ended - watch.began) / images, "epoch_images": data.size("train")}


def main() -> None:
    """Read a list of resolved configs, write what was measured of each, a line of JSON. The argument is the time at which this
    process was started."""
    start_s = time.time() - float(sys.argv[1])  # mostly imports
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        for config in json.load(sys.stdin):
            print(json.dumps({"start_s": start_s, **speed(OmegaConf.create(config), folder)}), flush=True)


if __name__ == "__main__":
    main()
