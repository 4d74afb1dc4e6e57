"""Schedulers by short name, on the noise schedule of the backbone."""

from collections.abc import Mapping
from inspect import signature
from typing import TYPE_CHECKING, Any

from aognet.errors import UserError

if TYPE_CHECKING:
    from diffusers import SchedulerMixin

# A latent is not an image: nothing may clip it to [-1, 1].
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "ddim": ("DDIMScheduler", {"clip_sample": False}),
    "dpm-solver++": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "lcm": ("LCMScheduler", {"clip_sample": False}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
}


# Of a backbone's scheduler config: what makes its noise schedule. Whoever does not read one of them changes the noise.
NOISE_KEYS = (
    *("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "prediction_type"),
    "rescale_betas_zero_snr",
)


def make_scheduler(name: str, config: Mapping[str, Any]) -> "SchedulerMixin":
    """Return a new scheduler that keeps the noise schedule, prediction type and timestep spacing of ``config``.

    ``config`` is the scheduler config of the backbone (`Backbone.scheduler.config`). A scheduler remembers its
    position: make one for each run of `denoise`.

    :raises UserError: for an unknown name, and for a scheduler that cannot follow the noise schedule.
    """
    import diffusers

    if name not in SCHEDULERS:
        raise UserError(f"scheduler: unknown value {name!r}, known are {', '.join(SCHEDULERS)}")
    class_name, options = SCHEDULERS[name]
    scheduler = getattr(diffusers, class_name)
    if ignored := ignored_noise(scheduler, config):
        able = [other for other, (kind, _) in SCHEDULERS.items() if not ignored_noise(getattr(diffusers, kind), config)]
        raise UserError(
            f"scheduler: {name} cannot follow the noise schedule of this model ({', '.join(ignored)}); "
            f"these can: {', '.join(able)}"
        )
    try:
        return scheduler.from_config(config, **options)
    except NotImplementedError as error:
        raise UserError(f"scheduler: {name} cannot follow the noise schedule of this model ({error})") from error


def ignored_noise(scheduler: type, config: Mapping[str, Any]) -> list[str]:
    """Return what ``config`` says about its noise schedule that a scheduler class would silently ignore."""
    read = signature(scheduler.__init__).parameters
    return [f"{key} {config[key]}" for key in NOISE_KEYS if config.get(key) and key not in read]
