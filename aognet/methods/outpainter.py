"""The interface of methods that paint a panorama view by view, and their settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from aognet.canvas import MaskedView
from aognet.diffusion.inpaint import ViewToPaint, look
from aognet.diffusion.sampling.sampler import SamplerConfig
from aognet.errors import UserError
from aognet.geometry.plans import PlanConfig
from aognet.nn.srvgg import SrvggCompact, larger_views


@dataclass(frozen=True)
class OutpaintSettings:
    """How a panorama is painted view by view. ``plan``: which views. ``sampler``: how each of them is sampled.

    ``feather``: how far generated pixels are adjusted to the known ones that they meet, as a share of the view's height
    (0: they are pasted as they are). ``views_per_batch``: how many views of a wave are denoised together.
    ``enlarge_views``: views are painted smaller and then made larger by the model's upscaler.
    """

    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    feather: float = 0.1
    views_per_batch: int = 4
    enlarge_views: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.feather <= 1:
            raise UserError("must lie in [0, 1]", key="feather", value=self.feather)
        if self.views_per_batch < 1:
            raise UserError("must be at least 1", key="views_per_batch", value=self.views_per_batch)


@runtime_checkable
class Outpainter(Protocol):
    """A method that continues views of canvases (`aognet.methods.aognet.model.AOGNet` is one).

    ``joint_waves``: the views of a panorama's wave belong together, whatever ``views_per_batch`` says.
    """

    joint_waves: bool

    @property
    def upscaler(self) -> SrvggCompact | None:
        """What can make its views larger (`paint_views`), if it has something."""

    def joined(self, words: str, prompt: str, settings: OutpaintSettings) -> str:
        """Return the words of a direction and the common prompt as one; neither gets lost where both are long."""

    def check(self, settings: OutpaintSettings) -> None:
        """Raise UserError for settings that `outpaint` cannot paint with."""

    def outpaint(
        self,
        views: Sequence[ViewToPaint],
        seen: MaskedView,
        settings: OutpaintSettings,
        progress: Callable[[int, int], None] | None = None,
    ) -> Float[Tensor, "views 3 size size"]:
        """Return the views, in the method's encoding; row i depends on ``views[i]`` and not on its batch.

        ``seen``: what the views show before they are painted. ``progress``: is told ``(done, total)`` steps.
        """


Settings = TypeVar("Settings", bound=OutpaintSettings)


def painted_settings(model: Outpainter, settings: Settings) -> Settings:
    """Return the settings with which a model paints: its views are smaller if they are made larger afterwards.

    :raises UserError: without an upscaler, and if a view cannot be so many times smaller.
    """
    if not settings.enlarge_views:
        return settings
    if model.upscaler is None:
        raise UserError("needs a model with an upscaler; this one has none", key="enlarge_views", value=True)
    scale, size = model.upscaler.scale, settings.plan.size
    if size % scale:
        said = f"must be a multiple of {scale}: this model paints smaller views and makes them larger"
        raise UserError(said, key="plan.size", value=size)
    return replace(settings, plan=replace(settings.plan, size=size // scale))


def paint_views(
    model: Outpainter,
    views: Sequence[ViewToPaint],
    seen: MaskedView,
    settings: OutpaintSettings,
    progress: Callable[[int, int], None] | None = None,
) -> Float[Tensor, "views 3 size size"]:
    """Return what `Outpainter.outpaint` paints, as large as the views are.

    If they are made larger, the model sees and paints views that are smaller by the upscaler's scale.
    """
    if not settings.enlarge_views or model.upscaler is None:
        return model.outpaint(views, seen, settings, progress)
    side = settings.plan.size // model.upscaler.scale
    small = [replace(view, camera=view.camera.sized(side, side)) for view in views]
    painted = model.outpaint(small, look(small), painted_settings(model, settings), progress)
    return larger_views(model.upscaler, painted)
