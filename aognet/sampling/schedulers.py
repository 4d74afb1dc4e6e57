"""Schedulers by short name, on the noise schedule of the backbone."""

from collections.abc import Mapping
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


def make_scheduler(name: str, config: Mapping[str, Any]) -> "SchedulerMixin":
    """A new scheduler that keeps the betas, prediction type and timestep spacing of ``config``.

    ``config`` is the scheduler config of the backbone (`Backbone.scheduler.config`). Raises UserError for an unknown
    name. A scheduler remembers where it is: make one per run of `denoise` that is in flight.
    """
    import diffusers

    if name not in SCHEDULERS:
        raise UserError(f"scheduler: unknown value {name!r}, known are {', '.join(SCHEDULERS)}")
    class_name, options = SCHEDULERS[name]
    return getattr(diffusers, class_name).from_config(config, **options)
