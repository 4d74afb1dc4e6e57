"""The six faces of panoramas around a photograph: the samples that CubeDiff trains on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aognet.canvas import Canvas
from aognet.data.augment import AugmentConfig, check_fovs, check_pitches, check_share, draw_prompt, light_curves
from aognet.data.captioned_panorama import CaptionedPanorama
from aognet.data.panoramas import PanoramaConfig, PanoramaSamples
from aognet.data.random_views import directed_captions
from aognet.data.viewing import view_all
from aognet.errors import UserError
from aognet.geometry.camera import Camera
from aognet.geometry.cubemap import LATERAL, face_cameras
from aognet.geometry.plans import MAX_SIZE, known_by
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class CubeBatch:
    """Faces in [-1, 1], the mask of their known pixels, and a prompt for each face. Row ``6 i + j`` is face ``j`` of
    sample ``i``.
    """

    faces: Float[Tensor, "rows 3 size size"]
    known: Bool[Tensor, "rows 1 size size"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "CubeBatch":
        """Return the batch with its tensors on a device. The seeds stay on the CPU, where random numbers are drawn."""
        return replace(self, **{name: to_device(getattr(self, name), device) for name in ("faces", "known")})


@dataclass(frozen=True)
class CubeSample:
    """One panorama of a ``CubeBatch``."""

    faces: Float[Tensor, "6 3 size size"]
    known: Bool[Tensor, "6 1 size size"]
    prompts: tuple[str, ...]
    seed: int


class CubeSamples(PanoramaSamples[CubeSample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``.

    A random panorama is turned by a random whole number of columns (the cameras move, not the pixels). A photograph in
    the middle of the front face is known.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PanoramaConfig):
        """The faces and the known photograph.

        ``size`` and ``fov_degrees`` describe the faces. ``input_fov_degrees`` and ``input_pitch_degrees`` describe the
        known photo; one value of each is drawn for a sample. ``whole_face``: instead, the whole front face is known and
        nothing else, as in the paper. ``directed``: how often each lateral face has, before the caption, the augmented
        caption of the direction nearest to its own, if there is one.
        """

        size: int = 512
        fov_degrees: float = 95.0
        input_fov_degrees: tuple[float, ...] = (90.0,)
        input_pitch_degrees: tuple[float, ...] = (0.0,)
        whole_face: bool = False
        directed: float = 0.0

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 8 <= self.size <= MAX_SIZE or self.size % 8:
                raise UserError(f"must be a multiple of 8 in [8, {MAX_SIZE}]", key="size", value=self.size)
            if not 90 <= self.fov_degrees <= 120:
                raise UserError("must lie in [90, 120]", key="fov_degrees", value=self.fov_degrees)
            check_fovs(self.input_fov_degrees)
            check_pitches(self.input_pitch_degrees)
            check_share("directed", self.directed)

    config: Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.cameras = face_cameras(config.size, config.fov_degrees)
        self._known: dict[tuple[float, float], Bool[Tensor, "6 1 size size"]] = {}

    def draw(self, panorama: CaptionedPanorama, number: int) -> CubeSample:
        config, rng = self.config, np.random.default_rng([self.config.seed, number])
        columns = self.draw_turn(rng)
        mirror = config.augment.mirror and rng.random() < 0.5
        photo = float(rng.choice(config.input_fov_degrees)), float(rng.choice(config.input_pitch_degrees))
        prompts = self._prompts(panorama, columns / config.height * 180, mirror, rng)
        curves = light_curves(config.augment, rng)
        faces = view_all(panorama.pixels, self.cameras, columns, mirror, curves)
        known = self._front_face() if config.whole_face else self._known_by(*photo)
        return CubeSample(faces, known, prompts, int(rng.integers(2**62)))

    def _prompts(
        self, panorama: CaptionedPanorama, turn: float, mirror: bool, rng: np.random.Generator
    ) -> tuple[str, ...]:
        caption = draw_prompt(self.config.augment, panorama.captions, panorama.augmented, mirror, rng)
        if not self.config.directed or rng.random() >= self.config.directed:
            return (caption,) * len(self.cameras)
        prompts = []
        for number, camera in enumerate(self.cameras):
            nearest = directed_captions(panorama, camera.yaw_degrees + turn, mirror) if number < len(LATERAL) else ()
            first = draw_prompt(AugmentConfig(), nearest, (), mirror, rng).rstrip(".")
            prompts.append(f"{first}, {caption}" if first and caption else first or caption)
        return tuple(prompts)

    def _front_face(self) -> Bool[Tensor, "6 1 size size"]:
        known = torch.zeros(len(self.cameras), 1, self.config.size, self.config.size, dtype=torch.bool)
        known[0] = True
        return known

    def _known_by(self, fov: float, pitch: float) -> Bool[Tensor, "6 1 size size"]:
        if (fov, pitch) not in self._known:
            height = max(self.config.height, 2 * self.config.size)
            photo = Camera(pitch_degrees=pitch, fov_degrees=fov, width=self.config.size, height=self.config.size)
            canvas = Canvas.of(torch.zeros(1, 3, height, 2 * height), known_by([photo], height)[None, None])
            self._known[fov, pitch] = torch.cat([canvas.look(camera).known for camera in self.cameras])
        return self._known[fov, pitch]

    def collate(self, samples: Sequence[CubeSample]) -> CubeBatch:
        """Return samples as a batch."""
        return CubeBatch(
            torch.cat([sample.faces for sample in samples]),
            torch.cat([sample.known for sample in samples]),
            [prompt for sample in samples for prompt in sample.prompts],
            torch.tensor([sample.seed for sample in samples]),
        )
