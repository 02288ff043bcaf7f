"""The trial of an Optuna study that a run is. Imported where Optuna is used."""

from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from omegaconf import OmegaConf
from optuna.exceptions import OptunaError
from optuna.samplers import RandomSampler
from optuna.trial import Trial
from sqlalchemy.exc import SQLAlchemyError

from genexp.record.errors import ConfigError
from genexp.record.instantiate import instantiate

WAIT_S = 60
"""How long a process waits for another one that writes to a SQLite file."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


def connect(url: str) -> optuna.storages.RDBStorage:
    """The database behind a URL.

    Raises:
        ConfigError: there is none, or it cannot be used.
    """
    options = {"connect_args": {"timeout": WAIT_S}} if url.startswith("sqlite") else {}
    try:
        return optuna.storages.RDBStorage(url, engine_kwargs=options)
    except (SQLAlchemyError, OptunaError, ImportError, RuntimeError) as error:
        text = str(error).strip().splitlines()[0]
        raise ConfigError(f"hydra.sweeper.storage={url}: {text}; a URL such as sqlite:///study.db is right") from error


def make(name: str, node: Mapping[str, Any], extra: Sequence[str] = (), **arguments: Any) -> Any:
    """The sampler or pruner that ``hydra.sweeper.<name>`` describes.

    Raises:
        ConfigError: it cannot be made, or is not among the modules that are trusted.
    """
    config = OmegaConf.create({"hydra": {"sweeper": {name: dict(node)}}})
    return instantiate(config, f"hydra.sweeper.{name}", extra, **arguments)


def open_trial(where: Mapping[str, Any]) -> tuple[Trial, set[int]]:
    """The trial that a run is, in the run's own process, and the steps that it has values of.

    Args:
        where: ``storage``, ``study`` and ``number``; and ``allow_targets``, the modules that the user trusts, for a database may
            come from anybody.
    """
    study = optuna.load_study(study_name=where["study"], storage=connect(where["storage"]), sampler=RandomSampler())
    if (node := study.user_attrs["pruner"]) is not None:
        study.pruner = make("pruner", node, where["allow_targets"])
    else:
        study.pruner = optuna.pruners.NopPruner()
    frozen = study.get_trials(deepcopy=False)[where["number"]]
    return Trial(study, frozen._trial_id), set(frozen.intermediate_values)
