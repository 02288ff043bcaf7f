"""How a run is spread over processes, precision, memory and compiled code. Nothing here changes what is learnt."""

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins import MixedPrecision
from pytorch_lightning.plugins.layer_sync import TorchSyncBatchNorm
from pytorch_lightning.strategies import ModelParallelStrategy, StrategyRegistry
from rich.console import Console
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.parametrize import is_parametrized
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from genexp.families.base import GenerativeModule
from genexp.networks.blocks.base import Block
from genexp.networks.blocks.normalisation import synchronised, unsynchronised
from genexp.record.checkpoint import AtomicCheckpointIO, verify
from genexp.record.errors import ConfigError, check_choice
from genexp.runs.devices import device_of
from genexp.runs.settings import PRECISIONS
from genexp.runs.train_config import Training

ALWAYS: dict[str, Any] = {
    "use_distributed_sampler": False,  # the data cut their batches themselves
    "num_sanity_val_steps": 0,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,  # a callback of ours does it
    "max_epochs": -1,  # the clock stops it
    "logger": False,  # a run that has begun sets its own
}
"""Settings of every trainer."""
DDP = ("ddp", "ddp_spawn", "ddp_fork", "ddp_notebook")


class CPUBatchNormSync(TorchSyncBatchNorm):
    """``trainer.sync_batchnorm`` on a CPU, which PyTorch's own layer refuses. Keys of the state are unchanged."""

    def apply(self, model: nn.Module) -> nn.Module:
        return synchronised(model)

    def revert(self, model: nn.Module) -> nn.Module:
        return unsynchronised(model)


class ScalerPerOptimizer(MixedPrecision):
    """float16 for a model that steps its optimizers itself: each has a gradient scaler of its own, so that an overflow in
    one player's gradient neither skips the other's step nor lowers its scale.

    Args:
        device: ``cuda`` or ``cpu``.
        optimizers: their number.
    """

    def __init__(self, device: str, optimizers: int) -> None:
        super().__init__("16-mixed", device)
        self.scalers = [torch.amp.GradScaler(device) for _ in range(optimizers)]

    def pre_backward(self, tensor: Tensor, module: GenerativeModule) -> Tensor:
        self.scaler = self.scalers[module.active_optimizer]
        return super().pre_backward(tensor, module)

    def optimizer_step(self, optimizer: Any, model: GenerativeModule, closure: Any, **kwargs: Any) -> Any:
        self.scaler = self.scalers[model.trainer.optimizers.index(optimizer)]
        return super().optimizer_step(optimizer, model=model, closure=closure, **kwargs)

    def state_dict(self) -> dict[str, Any]:
        return {str(i): scaler.state_dict() for i, scaler in enumerate(self.scalers)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for i, scaler in enumerate(self.scalers):
            scaler.load_state_dict(state_dict[str(i)])


class FullyShardedStrategy(ModelParallelStrategy):
    """FSDP2 over all processes: each keeps its share of the parameters, gradients and optimizer states. Checkpoints are
    whole, in one file, and load anywhere."""

    def __init__(self) -> None:
        super().__init__(tensor_parallel_size=1, save_distributed_checkpoint=False)

    def setup_environment(self) -> None:
        self._data_parallel_size = self.num_nodes * self.num_processes
        super().setup_environment()

    def load_checkpoint(self, checkpoint_path: Any, weights_only: bool | None = None) -> dict[str, Any]:
        verify(checkpoint_path)
        return super().load_checkpoint(checkpoint_path, weights_only=True)


def trainer_arguments(settings: Mapping[str, Any], training: Training, model: GenerativeModule) -> dict[str, Any]:
    """What Lightning's trainer is called with beside ``settings``.

    Args:
        settings: ``conf/trainer`` as composed.
        training: of the run.
        model: steps its optimizers itself, or does not.
    """
    plugins: list[Any] = [AtomicCheckpointIO()]
    arguments: dict[str, Any] = {
        **ALWAYS,
        "check_val_every_n_epoch": training.validate_every_epochs,
        "log_every_n_steps": training.log_every_steps,
        "plugins": plugins,
    }
    if model.automatic_optimization:
        arguments["accumulate_grad_batches"] = training.accumulate_batches
        arguments["gradient_clip_val"] = training.gradient_clip_norm
    else:
        if settings.get("strategy") in DDP:  # a player's backward pass leaves out the other's parameters
            arguments["strategy"] = f"{settings['strategy']}_find_unused_parameters_true"
        if settings.get("precision") == "16-mixed":
            arguments["precision"] = None
            plugins.append(ScalerPerOptimizer(device_of(settings["accelerator"]).type, len(model.players)))
    if settings.get("sync_batchnorm") and device_of(settings["accelerator"]).type == "cpu":
        plugins.append(CPUBatchNormSync())
    return arguments


def check_settings(settings: Mapping[str, Any], training: Training, model: GenerativeModule) -> None:
    """Refuse what cannot work, before the trainer is made.

    Args:
        settings: ``conf/trainer`` as composed.
        training: of the run.
        model: untrained.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    name = type(model).__name__
    check_clipping(training.gradient_clip_norm, model)
    check_length(training, model)
    check_choice("trainer.precision", settings.get("precision"), PRECISIONS)
    strategy = settings.get("strategy", "auto")
    if isinstance(strategy, str):
        check_choice("trainer.strategy", strategy, ["auto", *StrategyRegistry.available_strategies()])
    device = device_of(settings["accelerator"])
    if device.type == "cpu" and settings["precision"] == "16-mixed":
        raise ConfigError("trainer.precision=16-mixed needs a GPU; on a CPU use 32-true or bf16-mixed")
    if training.activation_checkpointing and not recomputable(model):
        raise ConfigError(
            f"training.activation_checkpointing=true: {name} has no part that could be recomputed (blocks or longer "
            "sequences of layers, without batch normalisation); set false"
        )
    if training.compile and model.differentiates_twice:
        raise ConfigError(
            f"training.compile=true: {name} differentiates its networks twice here (penalties on gradients), which "
            "torch.compile does not do; set false, or leave them out"
        )


def check_length(training: Training, model: GenerativeModule) -> None:
    """Refuse to train for longer, or to average weights, where there is no parameter to train; arguments and errors as of
    :func:`check_settings`."""
    if model.is_trained:
        return
    idle = {"max_epochs": 1} | dict.fromkeys(
        ("max_images", "max_steps", "patience", "ema_decay", "ema_half_life_images")
    )
    for key, right in idle.items():
        if (given := getattr(training, key)) != right:
            raise ConfigError(
                f"training.{key}={given}: {type(model).__name__} has no parameter to train here and is fitted before the first "
                f"step; choose training=closed_form, where it is {'null' if right is None else right}"
            )


def check_trainer(
    trainer: Trainer, settings: Mapping[str, Any], training: Training, model: GenerativeModule, console: Console
) -> None:
    """Refuse processes and precision that cannot work with this model; arguments as of :func:`check_settings`, and the trainer
    that they made.

    Raises:
        ConfigError: naming the key and what would be right.
    """
    if trainer.world_size > 1 and settings.get("strategy", "auto") == "auto":
        raise ConfigError(f"trainer.strategy: {trainer.world_size} processes need one; use trainer=ddp or trainer=fsdp")
    if trainer.world_size > 1 and not model.is_trained:
        raise ConfigError(
            f"trainer.devices: {type(model).__name__} has no parameter to train here, which takes one process; use trainer=cpu"
        )
    if isinstance(trainer.strategy, ModelParallelStrategy):
        # networks return views; nothing here changes an output in place, which is what the warning is about
        warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view")
        if not model.automatic_optimization:
            raise ConfigError(
                f"trainer.strategy: {type(model).__name__} steps two optimizers in turn, which FSDP does not do; use trainer=ddp"
            )
        if has_batch_norm(model):
            raise ConfigError("trainer.strategy: FSDP does not synchronise batch normalisation; use trainer=ddp")
        for key in ("ema_decay", "ema_half_life_images"):
            if getattr(training, key) is not None:
                raise ConfigError(f"training.{key}: FSDP does not average the weights; set null, or use trainer=ddp")
    is_slow = settings["precision"] == "bf16-mixed" and trainer.strategy.root_device.type == "cpu"
    if is_slow and not torch.cpu._is_avx512_bf16_supported():
        console.print("  bf16-mixed: this CPU has no bfloat16 arithmetic, 32-true is faster here", style="dim")


def tell_of_stand_in(
    trainer: Trainer, model: GenerativeModule, examples: int, batch_size: int, console: Console
) -> None:
    """Say where several processes do not learn quite what one would: an epoch's last batch has fewer examples than there are
    processes, and batch normalisation counts a stand-in too.

    Args:
        trainer: knows how many processes there are.
        model: to be trained.
        examples: of an epoch.
        batch_size: of each process.
        console: where to write.
    """
    rest = examples % (batch_size * trainer.world_size)
    if 0 < rest < trainer.world_size and has_batch_norm(model):
        left = f"{rest} example{'s' * (rest > 1)}"
        console.print(
            f"  the last batch of an epoch has {left} for {trainer.world_size} processes: batch normalisation counts one of "
            "them more than once there; another training.batch_size avoids it",
            style="dim",
        )


def check_clipping(norm: Any, model: GenerativeModule) -> None:
    """Refuse norms of gradients that are not positive, or of players that the family does not have."""
    norms = norm if isinstance(norm, dict) else {None: norm}
    if isinstance(norm, dict) and not model.players:
        name = type(model).__name__
        raise ConfigError(f"training.gradient_clip_norm={norm}: {name} has one optimizer; give one number")
    for player, value in norms.items():
        if player is not None:
            check_choice("training.gradient_clip_norm", player, model.players)
        if value is not None and not (isinstance(value, int | float) and value > 0):
            key = "training.gradient_clip_norm" if player is None else f"training.gradient_clip_norm.{player}"
            raise ConfigError(f"{key}={value}: must be a positive number, or null")


def apply(training: Training, model: GenerativeModule) -> None:
    """Set the model up as the settings say: steps of several batches, activation checkpointing, compilation."""
    model.accumulate_batches = training.accumulate_batches
    norm = training.gradient_clip_norm
    for player in model.players:
        model.gradient_clip_norms[player] = norm.get(player) if isinstance(norm, dict) else norm
    if training.activation_checkpointing:
        for module in recomputable(model):
            if isinstance(module, nn.Sequential):
                segments = round(len(module) ** 0.5)
                module.forward = partial(checkpoint_sequential, module, segments, use_reentrant=False)
            else:
                module.forward = partial(checkpoint, module.forward, use_reentrant=False)
    if training.compile:
        for network in model.networks():
            network.compile()


def has_batch_norm(module: nn.Module) -> bool:
    return any(isinstance(part, _BatchNorm) for part in module.modules())


def recomputable(model: nn.Module) -> list[nn.Module]:
    """What activation checkpointing recomputes: blocks, and sequences of at least four layers. Not those with batch or
    spectral normalisation, whose running statistics or singular vectors would be updated twice."""
    return [
        module
        for module in model.modules()
        if (isinstance(module, Block) or (isinstance(module, nn.Sequential) and len(module) >= 4))
        and not has_batch_norm(module)
        and not any(map(is_parametrized, module.modules()))
    ]
