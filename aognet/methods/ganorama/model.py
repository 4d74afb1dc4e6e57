"""Ganorama (2025): all views of a sphere are made at once by one BigGAN-deep, whose features are averaged after its
middle layers wherever two views see the same ray.

Its public form clips images of [-1, 1] to [0, 1], leaves the poles black, and shows one meridian twice; this one does
not. It also takes words and a photograph, for which classes and z are found (`aognet.methods.ganorama.finding`).
"""

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aognet.callbacks import UNHEARD, Listener
from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.additions import Additions
from aognet.diffusion.loading import DTYPES
from aognet.diffusion.sampling.moments import unfit
from aognet.diffusion.sampling.noise import named_seed, uniform
from aognet.diffusion.saved import NOTHING
from aognet.errors import UserError
from aognet.gan.biggan import BigGan, BigGanConfig
from aognet.gan.class_names import find_class
from aognet.gan.truncation import truncated_z
from aognet.gan.view_directions import DIRECTIONS, directed, knows_directions
from aognet.geometry.agreement import View
from aognet.geometry.camera import Camera
from aognet.geometry.surface import SPHERE
from aognet.geometry.tiles import TilesConfig, image_of, make_tiles
from aognet.geometry.view_sets import make_views, panorama_of
from aognet.methods.ganorama.finding import Found, Space, find, told
from aognet.methods.ganorama.judging import check_networks, load_networks
from aognet.methods.ganorama.settings import GanoramaSettings
from aognet.methods.ganorama.together import check_layers, made_together
from aognet.methods.ganorama.wanted import Classes, is_to_be_found, wanted
from aognet.methods.generative import Steps
from aognet.methods.recording import Recording
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component
from aognet.request import Request
from aognet.result import Result

CLASS, COMMON = 1, 2  # the streams of a seed that choose a class, and what z have in common; z has the first one
WITHOUT = ("negative",)
"""What of a request it does not take."""
WITHOUT_FLAT = ("photos", "panorama", "truth", "prompts_at")
"""What of a request flat images do not take, which look in no direction."""
FOUND = "found"
log = logging.getLogger(__name__)


class Ganorama(TrainedMethod):
    """A generator of images of classes, converted (`aognet.commands.convert_biggan`) or trained, as it makes spheres.

    It computes in float32 on a CPU, and in half precision elsewhere unless ``dtype`` says otherwise.
    """

    method = "ganorama"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The generator's sizes and the names of its classes."""

        generator: BigGanConfig

        def __post_init__(self) -> None:
            if self.generator.class_names == list(DIRECTIONS):
                raise UserError("must name the classes", key="generator.class_names", value=list(DIRECTIONS))

    def __init__(self, config: Config, dtype: str | None = None):
        super().__init__()
        self.config = config
        self.network = BigGan(config.generator)
        self.dtype = DTYPES[dtype or "float16"]

    def trainable_parts(self) -> dict[str, nn.Module]:
        return {"generator": self.network}

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        revision: str | None = None,
        dtype: str | None = None,
        variant: str | None = None,
        additions: Additions = NOTHING,
    ) -> Any:
        """Load what ``save_pretrained`` wrote. ``dtype``: in which it computes on a GPU, float16 if none is given.

        :raises UserError: naming file and key, and for additions: there is no backbone that they could be added to.
        """
        model = super().from_pretrained(folder, revision, dtype, variant, additions)
        model.dtype = DTYPES[dtype or "float16"]
        return model

    def components(self) -> dict[str, Component]:
        """Return its network, for placement."""
        return {"generator": Component(self.network, channels_last=True)}

    def check(self, request: Request, settings: GanoramaSettings) -> None:
        """Raise UserError for what it cannot do: inputs, an unknown class, one picture for all views, other layers."""
        for key in WITHOUT:
            if getattr(request, key):
                raise UserError(f"is not for the method {self.method}", key=key, value=getattr(request, key))
        check_layers(self.config.generator, settings)
        self._label(request)
        found = is_to_be_found(request)
        if settings.share_z and (found or self._one_class(request, settings)):
            said = "must be false where all views have one class: they would be the same picture"
            raise UserError(said, key="share_z", value=True)
        if found:
            check_networks(request, settings.finding, self.config.generator, self.network.start.weight.device)

    @torch.no_grad()
    def generate(self, request: Request, settings: GanoramaSettings, steps: Steps, listener: Listener) -> Result:
        """Make all views together, blend them on the sphere, and keep what the request's inputs show.

        A run that was stopped begins again, as it is short, but for what it has found for words and photographs.
        """
        if not is_to_be_found(request):
            z, classes = self.drawn(request, settings, self._cameras(settings))
            return Result(self.panorama(z, classes, request.rows, settings, listener))
        start = steps.start()
        found = self._found(request, settings, start, steps, listener)
        panorama = self.panorama(found.z, found.classes, request.rows, settings, listener, found.moved)
        if start.known.any():
            seen = MaskedView(start.image, start.known)
            panorama = join(panorama[None] * 2 - 1, seen, settings.feather, surface=SPHERE)[0].add(1).div(2).clamp(0, 1)
        return Result(panorama)

    def panorama(
        self,
        z: Float[Tensor, "views z_dim"],
        classes: Float[Tensor, "views classes"],
        height: int,
        settings: GanoramaSettings,
        listener: Listener = UNHEARD,
        moved: Float[Tensor, "views class_dim"] | None = None,
    ) -> Float[Tensor, "3 height width"]:
        """Return the panorama in [0, 1] of z and the weights of classes for each view of the settings' set.

        ``moved`` is added to the class vectors of these weights.
        """
        cameras = self._cameras(settings)
        shown = self._shown(z, classes, cameras, settings, listener, moved)
        return panorama_of(shown, cameras, height)[0].add(1).div(2).clamp(0, 1).cpu()

    def check_flat(self, request: Request, settings: GanoramaSettings, tiles: TilesConfig) -> None:
        """Raise UserError for a flat image that `flat` cannot make."""
        for key in WITHOUT_FLAT:
            if getattr(request, key):
                raise UserError("is not for flat images", key=key, value=getattr(request, key))
        self.check(request, settings)
        make_tiles(tiles, self.config.generator.size)
        if settings.way != "mean":
            raise UserError("must be mean for flat images", key="way", value=settings.way)

    @torch.no_grad()
    def flat(
        self, request: Request, settings: GanoramaSettings, tiles: TilesConfig, listener: Listener
    ) -> Float[Tensor, "3 height width"]:
        """Return a flat image in [0, 1], whose tiles are made together as the views of a sphere are."""
        made = make_tiles(tiles, self.config.generator.size)
        if is_to_be_found(request):
            found = find(self.space(request, settings, made), self.names, listener=listener)
            log.info("%s: %s", request.name, told(found.report))
            shown = self._shown(found.z, found.classes, made, settings, listener, found.moved)
        else:
            shown = self._shown(*self.drawn(request, settings, made), made, settings, listener)
        return image_of(shown, made)[0].add(1).div(2).clamp(0, 1).cpu()

    def drawn(self, request: Request, settings: GanoramaSettings, views: Sequence[View]) -> tuple[Tensor, Tensor]:
        """Return z [views, z_dim] and the class vectors [views, classes], all from the request's seed and name.

        A generator that knows directions is also told how far up or down each view looks.
        """
        one_class = self._one_class(request, settings)
        one_z = not one_class if settings.share_z is None else settings.share_z
        seeds = [named_seed(request.seed, request.name, number) for number in range(len(views))]
        numbers = self._numbers(request, settings, seeds)
        return self._z(seeds[:1] * len(views) if one_z else seeds, settings), self._weights(numbers, settings, views)

    def _numbers(self, request: Request, settings: GanoramaSettings, seeds: list[int]) -> Int64[Tensor, "views"]:
        """Return the class of each view: the request's, or one that is drawn."""
        label = self._label(request)
        if label is not None:
            return torch.full((len(seeds),), label)
        numbers = (uniform(torch.tensor(seeds), CLASS) * self.kinds).long().clamp(max=self.kinds - 1)
        return numbers[:1].expand(len(seeds)) if self._one_class(request, settings) else numbers

    def _z(self, seeds: list[int], settings: GanoramaSettings) -> Tensor:
        """Return z of seeds; with ``alike``, what they have in common comes from the first one."""
        how = self.config.generator.z_dim, settings.truncation, settings.z_mul
        own = truncated_z(seeds, *how)
        if not settings.alike:
            return own
        common = truncated_z(seeds[:1], *how, stream=COMMON)
        return settings.alike**0.5 * common + (1 - settings.alike) ** 0.5 * own

    def _weights(self, numbers: Tensor, settings: GanoramaSettings, views: Sequence[View]) -> Tensor:
        """Return the weights of classes for views of classes, and for the directions in which they look."""
        config = self.config.generator
        classes = nn.functional.one_hot(numbers, config.classes) * float(settings.class_mul)
        if not knows_directions(config.class_names):
            return classes
        pitch = [view.pitch_degrees if isinstance(view, Camera) else 0.0 for view in views]
        return directed(classes, torch.tensor(pitch))

    def _found(
        self, request: Request, settings: GanoramaSettings, start: Canvas, steps: Steps, listener: Listener
    ) -> Found:
        """Return what was found for a request, now or before the run was stopped. It is a recorded step."""
        recorded = steps.recorded()
        if recorded and FOUND in recorded[-1].note:
            tensors, report = steps.step(len(recorded) - 1), recorded[-1].note[FOUND]
            if not {"z", "classes"} <= set(tensors):
                raise unfit("it has no z and classes")
            return Found(tensors["z"], tensors["classes"], tensors.get("moved"), report)
        space = self.space(request, settings, self._cameras(settings), start)
        found = find(space, self.names, Recording(steps), listener)
        log.info("%s: %s", request.name, told(found.report))
        tensors = {"z": found.z, "classes": found.classes}
        tensors |= {} if found.moved is None else {"moved": found.moved}
        steps.record(tensors, {FOUND: found.report})
        return found

    def space(
        self, request: Request, settings: GanoramaSettings, views: Sequence[View], start: Canvas | None = None
    ) -> Space:
        """Return what views may become for a request, and what they are to show."""
        networks = load_networks(settings.finding, self.network.start.weight.device)
        classes = Classes(self.kinds, self.names, self._label(request))
        seed = named_seed(request.seed, request.name)
        groups, aims = wanted(request, views, start, classes, networks, seed)
        drawn = self._numbers(request, settings, [named_seed(request.seed, request.name, i) for i in range(len(views))])

        def begin(numbers: Sequence[int | None], draws: Sequence[int]) -> tuple[Tensor, Tensor]:
            seeds = [
                named_seed(request.seed, request.name, draw * len(views) + view) for view, draw in enumerate(draws)
            ]
            chosen = [int(drawn[view]) if number is None else number for view, number in enumerate(numbers)]
            return self._z(seeds, settings), self._weights(torch.tensor(chosen), settings, views)

        return Space(self.network, views, settings, groups, begin, aims)

    @property
    def names(self) -> list[str]:
        """The names of the classes to choose from; none if they have numbers alone."""
        return self.config.generator.class_names[: self.kinds]

    @property
    def kinds(self) -> int:
        """How many classes there are to choose from: all but those that say where a view looks."""
        config = self.config.generator
        return config.classes - (len(DIRECTIONS) if knows_directions(config.class_names) else 0)

    def _label(self, request: Request) -> int | None:
        """Return the class that a request names. Raises UserError for one that there is not, naming the nearest."""
        return None if request.label is None else find_class(request.label, self.names, self.kinds)

    def _one_class(self, request: Request, settings: GanoramaSettings) -> bool:
        return request.label is not None or settings.share_class or self.kinds == 1

    def _cameras(self, settings: GanoramaSettings) -> Sequence[Camera]:
        return make_views(settings.view_set(self.config.generator.size))

    def _shown(
        self,
        z: Tensor,
        classes: Tensor,
        views: Sequence[View],
        settings: GanoramaSettings,
        listener: Listener,
        moved: Tensor | None = None,
    ) -> Float[Tensor, "views 3 size size"]:
        device, progress = self.network.start.weight.device, listener.counting("layers")
        moved = None if moved is None else moved.to(device)
        with self._precision(device):
            shown = made_together(self.network, z.to(device), classes.to(device), views, settings, progress, moved)
        return shown.float()

    def _precision(self, device: torch.device) -> AbstractContextManager[Any]:
        half = device.type != "cpu" and self.dtype != torch.float32
        return torch.autocast(device.type, self.dtype if half else None, enabled=half)
