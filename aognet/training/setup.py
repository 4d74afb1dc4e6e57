"""The settings of a training run, and what a run makes from them: accelerator, trained parameters, optimizers."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from aognet.diffusion.execution import keep_kernels
from aognet.errors import UserError
from aognet.training.phases import HasPhases
from aognet.training.trainable import Trainable

_COUNTS = (
    *("max_steps", "batch_size", "gradient_accumulation", "log_every", "image_samples", "threads"),
    *("warmup_steps", "checkpoint_every", "keep_checkpoints", "validate_every", "validation_samples"),
    *("images_every", "num_workers", "seed", "weight_decay", "max_grad_norm"),
)
_AT_LEAST_ONE = _COUNTS[:6]


@dataclass(frozen=True)
class OptimizerConfig:
    """The settings of one of several optimizers. Null takes the trainer's setting of the same name."""

    learning_rate: float | None = None
    lr_schedule: Literal["constant", "linear", "cosine"] | None = None
    warmup_steps: int | None = None
    betas: tuple[float, float] | None = None
    weight_decay: float | None = None
    max_grad_norm: float | None = None


@dataclass(frozen=True)
class TrainerConfig:
    """The settings of a training run. Intervals are in training steps; 0 means never."""

    max_steps: int = 100_000
    batch_size: int = 1
    """Samples per process and forward pass."""
    gradient_accumulation: int = 1
    """Forward passes per training step."""
    learning_rate: float = 1e-5
    lr_schedule: Literal["constant", "linear", "cosine"] = "constant"
    """After the warm-up the rate stays, or falls to 0 at ``max_steps``."""
    warmup_steps: int = 0
    optimizer: Literal["adamw", "adamw8bit"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    """Gradients with a larger norm are scaled down to this norm; 0 leaves them."""
    optimizers: dict[str, OptimizerConfig] = field(default_factory=dict)
    """Settings of single optimizers, by name, of a model that has several."""
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    gradient_checkpointing: bool = False
    channels_last: bool = False
    compile: bool = False
    ema_decay: float = 0.0
    """Decay of the moving average of the weights; 0 keeps none."""
    checkpoint_every: int = 1000
    keep_checkpoints: int = 3
    """How many of the newest checkpoints to keep; 0 keeps all."""
    validate_every: int = 0
    validation_samples: int = 16
    images_every: int = 0
    image_samples: int = 4
    log_every: int = 10
    tracker: Literal["none", "tensorboard", "wandb"] = "none"
    num_workers: int = 2
    """Processes that load data for each training process; 0 loads in the training process."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    """CPU threads per process; null leaves torch's choice."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _COUNTS:
            value, least = getattr(self, name), 1 if name in _AT_LEAST_ONE else 0
            if value is not None and not least <= value < math.inf:
                raise UserError(f"must be at least {least}", key=name, value=value)
        if not 0 < self.learning_rate < math.inf:
            raise UserError("must be more than 0", key="learning_rate", value=self.learning_rate)
        if not 0 <= self.ema_decay < 1:
            raise UserError("must lie in [0, 1)", key="ema_decay", value=self.ema_decay)
        if not all(0 <= beta < 1 for beta in self.betas):
            raise UserError("must lie in [0, 1)", key="betas", value=self.betas)
        for name in self.optimizers:
            self.of_optimizer(name)

    def of_optimizer(self, name: str) -> "TrainerConfig":
        """Return these settings, replaced by those that the optimizer ``name`` has of its own."""
        own = asdict(self.optimizers.get(name, OptimizerConfig()))
        try:
            return replace(self, optimizers={}, **{key: value for key, value in own.items() if value is not None})
        except UserError as error:
            raise error.at("", f"optimizers.{name}") from error


def learning_rate(config: TrainerConfig, step: int, first: int = 0) -> float:
    """Return the learning rate in training step ``step`` of an optimizer that starts in step ``first``, from 0 on.

    It depends on the step alone, so a checkpoint need not have it.
    """
    step, last = step - first, config.max_steps - first
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    done = min(1.0, max(0, step - config.warmup_steps) / max(1, last - config.warmup_steps))
    factor = {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[config.lr_schedule]
    return config.learning_rate * warmup * factor


def make_accelerator(config: TrainerConfig, model: Trainable) -> Any:
    """Return the accelerate object of this process. Under torchrun or ``accelerate launch`` it joins the others."""
    from accelerate import Accelerator, DistributedDataParallelKwargs
    from accelerate.utils import GradientAccumulationPlugin

    available = torch.accelerator.is_available()
    if config.device == "cuda" and not torch.cuda.is_available():
        raise UserError("trainer.device: cuda, but torch sees no CUDA device here")
    cpu = config.device == "cpu" or not available
    if cpu and config.mixed_precision == "fp16":
        raise UserError("trainer.mixed_precision: fp16 needs a GPU; use bf16 or no on the CPU")
    ddp = DistributedDataParallelKwargs(
        # Phases leave parameters unused as a rule: a gradient penalty does not depend on the last bias.
        find_unused_parameters=getattr(model, "find_unused_parameters", isinstance(model, HasPhases)),
        gradient_as_bucket_view=True,
    )
    accumulation = GradientAccumulationPlugin(num_steps=config.gradient_accumulation, sync_with_dataloader=False)
    return Accelerator(
        cpu=cpu,
        mixed_precision=config.mixed_precision,
        gradient_accumulation_plugin=accumulation,
        kwargs_handlers=[ddp],
    )


def prepare_parameters(config: TrainerConfig, model: Trainable, device: torch.device) -> dict[str, Tensor]:
    """Move the model to the device and freeze all but its trained parts.

    Returns the trained parameters by the name ``part.parameter``. Raises UserError if nothing is trained, or if weights
    in half precision are.
    """
    parts = model.trainable_parts()
    named: dict[int, tuple[str, Tensor]] = {}
    for part, module in parts.items():
        for name, parameter in module.named_parameters():
            named.setdefault(id(parameter), (f"{part}.{name}", parameter))
    for parameter in model.parameters():
        if id(parameter) not in named:
            parameter.requires_grad_(False)
    if config.gradient_checkpointing:
        model.enable_gradient_checkpointing()
    model.to(device)
    if config.channels_last:
        model.to(memory_format=torch.channels_last)
    if config.compile:
        keep_kernels()
        for module in parts.values() if hasattr(model, "training_step") else (model,):
            module.compile()
    trained = {name: parameter for name, parameter in named.values() if parameter.requires_grad}
    low = [name for name, parameter in trained.items() if parameter.dtype in (torch.float16, torch.bfloat16)]
    if low:
        kind = str(trained[low[0]].dtype).removeprefix("torch.")
        raise UserError(f"model.backbone.dtype must be float32, since {low[0]} is trained; got {kind}")
    if not trained:
        how = "; model.train says what learns" if hasattr(getattr(model, "config", None), "train") else ""
        raise UserError(f"{type(model).__name__} has nothing to train: all its parts are frozen{how}")
    return trained


def make_optimizer(
    config: TrainerConfig, parameters: Mapping[str, Tensor], decayed: frozenset[str] | None = None
) -> torch.optim.Optimizer:
    """Return the optimizer of the named parameters, in their order.

    ``decayed``: the names of those that have weight decay, which come first; None: all have it.
    """
    without = [] if decayed is None else [value for name, value in parameters.items() if name not in decayed]
    groups = [
        {"params": list(parameters.values())[: len(parameters) - len(without)]},
        {"params": without, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    options = {"lr": config.learning_rate, "betas": config.betas, "weight_decay": config.weight_decay}
    if config.optimizer == "adamw8bit":
        try:
            from bitsandbytes.optim import AdamW8bit
        except ImportError as error:
            raise UserError("trainer.optimizer: adamw8bit needs bitsandbytes: pip install bitsandbytes") from error
        return AdamW8bit(groups, **options)
    return torch.optim.AdamW(groups, fused=True, **options)
