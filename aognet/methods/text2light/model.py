"""Text2Light (Chen et al. 2022, arXiv 2209.09898): what CLIP says of a text becomes the codes of a small panorama, and
these the codes of a large one, each written by a transformer.

The published model decodes the small panorama and encodes it again with an autoencoder that comes with the large one,
and its large panorama has a seam. What is trained here passes the codes on, and wraps around.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from aognet.callbacks import Listener
from aognet.canvas import Canvas, MaskedView, join
from aognet.diffusion.sampling.noise import named_seed
from aognet.errors import UserError
from aognet.geometry.surface import SPHERE
from aognet.methods.generative import Steps
from aognet.methods.text2light.conditioning import ClipConditions, ImageIndex
from aognet.methods.text2light.joining import check_join, joined_by_views, load_backbone
from aognet.methods.text2light.photographed_view import photographed
from aognet.methods.text2light.settings import Text2LightSettings
from aognet.methods.trained_method import TrainedMethod
from aognet.nn.component import Component
from aognet.perception.network import NetworkConfig
from aognet.request import Request
from aognet.result import Result
from aognet.vq.autoencoder import VqAutoencoder, VqAutoencoderConfig
from aognet.vq.code_sampler import CodeSampler
from aognet.vq.drawing import Drawing, cell_numbers
from aognet.vq.global_sampler import GlobalSampler, GlobalSamplerConfig
from aognet.vq.sphere_sampler import SphereSampler, SphereSamplerConfig
from aognet.vq.window_sampler import WindowSampler, WindowSamplerConfig

GIVEN, CODES = "given", "codes"
"""Tensors of a recorded step: the codes of the small panorama, and the rows that are written of the large one's."""
PANORAMA, CANVAS, JOINED = "panorama", "canvas", "waves"
"""Of a step that joins: the panorama that was decoded, the canvas that is painted, and how much of it is."""
SMALL, LARGE = 1, 2  # streams of the seed


class Unfit(UserError):
    """Two parts do not fit together."""

    def __init__(self, part: str, other: str, *problem: str, key: str, value: Any) -> None:
        super().__init__(*problem, key=key, value=value)
        self.parts = part, other


class Text2Light(TrainedMethod):
    """Two autoencoders and two samplers, and the images among which those like a text are found.

    It makes display values; their light is another network's work (`aognet.hdr.sritmo`).
    """

    method = "text2light"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """The sizes of all networks.

        One of ``windows`` (the published layout) and ``sphere`` (our own) describes the local sampler.
        ``holistic_autoencoder``: encodes the small panorama again for it, as published; without one its codes are
        passed on. ``images``: how many images' embeddings there are to find neighbours of a text in.
        """

        clip: NetworkConfig
        global_autoencoder: VqAutoencoderConfig
        global_sampler: GlobalSamplerConfig
        local_autoencoder: VqAutoencoderConfig
        windows: WindowSamplerConfig | None = None
        sphere: SphereSamplerConfig | None = None
        holistic_autoencoder: VqAutoencoderConfig | None = None
        images: int = 0

        def __post_init__(self) -> None:
            if (self.windows is None) == (self.sphere is None):
                raise UserError("needs one of windows and sphere, the layouts of local samplers", key="windows")
            if (self.global_sampler.condition == "neighbours") != (self.images > 0):
                said = "must be more than 0 for" if self.images <= 0 else "is only for"
                raise UserError(f"{said} global_sampler.condition: neighbours", key="images", value=self.images)
            if self.grid[1] != 2 * self.grid[0]:
                raise UserError("must have twice as many columns of codes as rows", key=self.layout, value=self.grid)
            self._check_fit()

        def _check_fit(self) -> None:
            sizes, small, layout = self.global_sampler, self.global_autoencoder, self.layout
            local: Any = self.windows or self.sphere
            again = "global_autoencoder" if self.holistic_autoencoder is None else "holistic_autoencoder"
            given = getattr(local, "given_vocabulary", local.vocabulary)
            for part, key, found, other in (
                ("global_sampler", "global_sampler.vocabulary", sizes.vocabulary, "global_autoencoder"),
                ("local_sampler", f"{layout}.vocabulary", local.vocabulary, "local_autoencoder"),
                ("local_sampler", f"{layout}.given_vocabulary", given, again),
            ):
                if found != (wanted := getattr(self, other).quantizer.size):
                    said = f"must be {wanted}, the number of the codes of its autoencoder"
                    raise Unfit(part, other, said, key=key, value=found)
            for name, codes in (("given_rows", sizes.rows), ("given_columns", sizes.columns)):
                found, wanted = getattr(local, name), codes * small.stride // self.given_by.stride
                if found != wanted:
                    said = f"must be {wanted}, as the global sampler writes codes"
                    raise Unfit("local_sampler", "global_sampler", said, key=f"{layout}.{name}", value=found)

        @property
        def layout(self) -> str:
            """The key of the local sampler's configuration."""
            return "windows" if self.windows else "sphere"

        @property
        def given_by(self) -> VqAutoencoderConfig:
            """The autoencoder whose codes the local sampler is given."""
            return self.holistic_autoencoder or self.global_autoencoder

        @property
        def grid(self) -> tuple[int, int]:
            """Rows and columns of the large panorama's codes."""
            sized: Any = self.windows.windows if self.windows else self.sphere
            return sized.rows, sized.columns

        @property
        def height(self) -> int:
            """Rows of the panoramas that it makes."""
            return self.grid[0] * self.local_autoencoder.stride

    def __init__(self, config: Config, conditions: ClipConditions | None = None):
        """Build the networks, and load the CLIP that ``config`` names unless it is given."""
        super().__init__()
        self.config = config
        self.conditions = conditions or ClipConditions(config.clip)
        sizes = config.global_sampler
        if self.conditions.dim != sizes.embedding:
            said = f"gives {self.conditions.dim} numbers, the global sampler takes {sizes.embedding}"
            raise UserError(said, key="clip.model", value=config.clip.model)
        self.global_autoencoder = VqAutoencoder(config.global_autoencoder).kept_for("decoding")
        self.global_sampler = GlobalSampler(sizes)
        self.local_autoencoder = VqAutoencoder(config.local_autoencoder).kept_for("decoding")
        self.local_sampler: CodeSampler = (
            WindowSampler(config.windows) if config.windows else SphereSampler(_there(config.sphere))
        )
        again = config.holistic_autoencoder
        self.holistic_autoencoder = None if again is None else VqAutoencoder(again).kept_for("encoding")
        self.index = ImageIndex(torch.zeros(config.images, sizes.embedding)) if config.images else None
        self.requires_grad_(False).eval()

    def trainable_parts(self) -> dict[str, nn.Module]:
        """Return all that its folder holds: the networks, each of which has a training of its own, and the index."""
        parts = ("global_autoencoder", "global_sampler", "local_autoencoder", "local_sampler")
        optional = [name for name in ("holistic_autoencoder", "index") if getattr(self, name) is not None]
        return {name: getattr(self, name) for name in (*parts, *optional)}

    def components(self) -> dict[str, Component]:
        """Return its networks, for placement."""
        networks = {name: part for name, part in self.trainable_parts().items() if name != "index"}
        return {name: Component(part, waits="sampler" not in name) for name, part in networks.items()}

    def check(self, request: Request, settings: Text2LightSettings) -> None:
        """Raise UserError for another size than its own, or a description that there is not."""
        if request.rows != self.config.height:
            said = f"must be {self.config.height}, what its autoencoder makes; upscaling makes more of it"
            raise UserError(said, key="height", value=request.rows)
        if request.negative:
            raise UserError("is not for the method text2light, which has no guidance", key="negative")
        seen = bool(request.photos or request.panorama or request.truth)
        if settings.condition == "image" and not seen:
            raise UserError("must be text without a photograph", key="condition", value="image")
        if not self.by_image(request, settings) and not request.prompt:
            raise UserError("is missing: this method is told by words, or by a photograph", key="prompt")
        if settings.join == "views" and seen:
            check_join(settings, request.rows, self.device)

    @property
    def device(self) -> torch.device:
        """Where its networks run."""
        return next(self.local_autoencoder.parameters()).device

    @staticmethod
    def by_image(request: Request, settings: Text2LightSettings) -> bool:
        """Return whether a panorama is described by what its inputs show."""
        seen = bool(request.photos or request.panorama or request.truth)
        return settings.condition == "image" or (settings.condition == "auto" and seen and not request.prompt)

    @torch.no_grad()
    def generate(self, request: Request, settings: Text2LightSettings, steps: Steps, listener: Listener) -> Result:
        """Write the codes of the small and of the large panorama, decode the latter, and keep what the inputs show.

        The small panorama's codes are a recorded step, each row of the large one's, and what joins it to the inputs.
        """
        start, recorded = steps.start(), len(steps.recorded())
        made = steps.step(recorded - 1) if recorded else {}
        panorama = made.get(PANORAMA)
        if panorama is None:
            codes = self.written(request, settings, self._condition(request, settings, start), steps, listener)
            panorama = self.local_autoencoder.decode(codes).float().clamp(-1, 1).cpu()
        if start.known.any():
            if settings.join == "views":
                panorama = self._joined(request, settings, panorama, start, steps, listener)
            else:
                panorama = join(panorama, MaskedView(start.image, start.known), settings.feather, surface=SPHERE)
        return Result(panorama[0].add(1).div(2).clamp(0, 1))

    def _joined(
        self,
        request: Request,
        settings: Text2LightSettings,
        panorama: Tensor,
        start: Canvas,
        steps: Steps,
        listener: Listener,
    ) -> Tensor:
        """Return the panorama with what is known in its place and a ring around it painted again.

        Each wave of views is a recorded step. Raises UserError if another backbone began.
        """
        latest, weights = steps.recorded()[-1].note, load_backbone(str(settings.backbone), self.device)[1]
        done = None
        if JOINED in latest:
            if latest["backbone"] != weights:
                raise UserError("has other weights than when it began to join", key="backbone", value=settings.backbone)
            done = Canvas(steps.step(len(steps.recorded()) - 1)[CANVAS]), latest[JOINED]

        def record(canvas: Canvas, waves: int) -> None:
            tensors = {PANORAMA: panorama, CANVAS: canvas.pixels}
            steps.record(tensors, {JOINED: waves, "backbone": weights}, passing=True)

        return joined_by_views(request, settings, panorama, start, listener, self.device, done, record)

    def _condition(
        self, request: Request, settings: Text2LightSettings, start: Canvas
    ) -> Float[Tensor, "1 given embedding"]:
        """Return what the global sampler is told: an embedding, or those of images that are nearest to it."""
        if self.by_image(request, settings):
            wanted = self.conditions.images(photographed(start))
        else:
            wanted = self.conditions.texts([request.prompt])
        return wanted[:, None] if self.index is None else self.index.nearest(wanted, self.config.global_sampler.tokens)

    def written(
        self, request: Request, settings: Text2LightSettings, condition: Tensor, steps: Steps, listener: Listener
    ) -> Int64[Tensor, "1 rows columns"]:
        """Return the codes of the large panorama, going on from what is recorded."""
        sizes, (rows, columns) = self.config.global_sampler, self.config.grid
        seeds = [named_seed(request.seed, request.name)]
        drawing = Drawing(settings.top_k, settings.temperature)
        recorded = len(steps.recorded())
        made = steps.step(recorded - 1) if recorded else {}
        if GIVEN not in made:
            numbers = cell_numbers(seeds, SMALL, sizes.rows, sizes.columns)
            small = self.global_sampler.sample(
                condition, numbers, drawing, progress=listener.counting("codes of the small panorama")
            )
            made = {GIVEN: self._given(small)}
            steps.record(made)
        given, kept = made[GIVEN], made.get(CODES)

        def on_row(row: int, codes: Tensor) -> None:
            nonlocal kept
            kept = codes[:, None] if kept is None else torch.cat([kept, codes[:, None].to(kept)], dim=1)
            steps.record({GIVEN: given, CODES: kept}, {"rows": row + 1}, passing=True)

        numbers, progress = cell_numbers(seeds, LARGE, rows, columns), listener.counting("codes")
        return self.local_sampler.sample(
            given, numbers, drawing, kept, on_row, progress, cache_gigabytes=settings.cache_gigabytes
        )

    def _given(self, small: Int64[Tensor, "1 rows columns"]) -> Int64[Tensor, "1 rows columns"]:
        """Return the codes that the local sampler is given. Published: of the decoded panorama, encoded again."""
        if self.holistic_autoencoder is None:
            return small
        return self.holistic_autoencoder.encode(self.global_autoencoder.decode(small))


def _there(config: Any) -> Any:
    assert config is not None, "Config has one of both layouts"
    return config
