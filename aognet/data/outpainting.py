"""Random painting steps: the samples that AOG-Net trains on (sec. 3 of the paper)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

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
from aognet.geometry.cubemap import face_cameras
from aognet.geometry.plans import MAX_SIZE, Plan, PlanConfig, known_before, known_by, make_plan, overlap_of
from aognet.system.transfer import to_device


@dataclass(frozen=True)
class OutpaintingBatch:
    """One painting step in each row: the whole view, the mask of its known pixels, and the faces of the unfinished
    panorama.

    Images are in [-1, 1], unknown pixels of faces are 0. Cameras are relative to the panorama that is painted.
    """

    view: Float[Tensor, "batch 3 size size"]
    known: Bool[Tensor, "batch 1 size size"]
    cameras: list[Camera]
    faces: Float[Tensor, "batch 6 3 face face"]
    faces_known: Bool[Tensor, "batch 6 1 face face"]
    prompts: list[str]
    seeds: Int[Tensor, "batch"]

    def to(self, device: torch.device) -> "OutpaintingBatch":
        """Return the batch with its tensors on a device. The seeds stay on the CPU, where random numbers are drawn."""
        tensors = ("view", "known", "faces", "faces_known")
        return replace(self, **{name: to_device(getattr(self, name), device) for name in tensors})


@dataclass(frozen=True)
class OutpaintingSample:
    """One row of an ``OutpaintingBatch``."""

    view: Float[Tensor, "3 size size"]
    known: Bool[Tensor, "1 size size"]
    camera: Camera
    faces: Float[Tensor, "6 3 face face"]
    faces_known: Bool[Tensor, "6 1 face face"]
    prompt: str
    seed: int


@dataclass(frozen=True)
class Situation:
    """What all samples of one step of one plan share, whatever the panorama's yaw: the camera and the masks."""

    camera: Camera
    known: Bool[Tensor, "1 size size"]
    faces_known: Bool[Tensor, "6 1 face face"]


class OutpaintingSamples(PanoramaSamples[OutpaintingSample]):
    """Infinite samples: ``self[n]`` depends only on the configuration and ``n``.

    A random panorama is turned by a random whole number of columns (the cameras move, not the pixels). A photo of a
    random field of view and pitch is known straight ahead. A random step of its plan is the view to paint. Painting
    gives positions in the photo's frame, so the photo's yaw is 0 there as well.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(PanoramaConfig):
        """The views, the known photo and the faces.

        ``plan`` describes the views. ``input_fov_degrees`` and ``input_pitch_degrees`` describe the known photo; one
        value of each is drawn for a sample. ``face_size`` is the size of the square faces in pixels. ``least_unknown``:
        steps whose view has a smaller unknown share are left out, since little can be learned from them.
        ``first_steps``: only so many steps of a plan are learned (0: all); the published code leaves out the last three
        of its 21. ``directed``: how often the augmented caption of the direction nearest to the view's stands before
        the caption, if there is one, as when painting with such prompts.
        """

        plan: PlanConfig = field(default_factory=PlanConfig)
        input_fov_degrees: tuple[float, ...] = (90.0,)
        input_pitch_degrees: tuple[float, ...] = (0.0,)
        face_size: int = 512
        least_unknown: float = 0.0
        first_steps: int = 0
        directed: float = 0.0

        def __post_init__(self) -> None:
            super().__post_init__()
            check_fovs(self.input_fov_degrees)
            check_pitches(self.input_pitch_degrees)
            check_share("directed", self.directed)
            if self.first_steps < 0:
                raise UserError("must not be negative", key="first_steps", value=self.first_steps)
            if not 8 <= self.face_size <= MAX_SIZE or self.face_size % 8:
                raise UserError(f"must be a multiple of 8 in [8, {MAX_SIZE}]", key="face_size", value=self.face_size)

    config: Config

    def __init__(self, config: Config):
        super().__init__(config)
        size = config.plan.size
        self.inputs = [
            Camera(pitch_degrees=pitch, fov_degrees=fov, width=size, height=size)
            for pitch in config.input_pitch_degrees
            for fov in config.input_fov_degrees
        ]
        self.plans = [make_plan(config.plan, known_by([camera], config.height)) for camera in self.inputs]
        self.steps = [self._worth_painting(which) for which in range(len(self.plans))]
        self._situations: dict[tuple[int, int], Situation] = {}

    def draw(self, panorama: CaptionedPanorama, number: int) -> OutpaintingSample:
        config, rng = self.config, np.random.default_rng([self.config.seed, number])
        which = int(rng.integers(len(self.plans)))
        situation = self._situation(which, self.steps[which][rng.integers(len(self.steps[which]))])
        columns = self.draw_turn(rng)
        mirror = config.augment.mirror and rng.random() < 0.5
        prompt = self._prompt(panorama, situation.camera.yaw_degrees + columns / config.height * 180, mirror, rng)
        curves = light_curves(config.augment, rng)
        faces = view_all(panorama.pixels, face_cameras(config.face_size), columns, mirror, curves)
        return OutpaintingSample(
            view_all(panorama.pixels, [situation.camera], columns, mirror, curves)[0],
            situation.known,
            situation.camera,
            faces * situation.faces_known,
            situation.faces_known,
            prompt,
            int(rng.integers(2**62)),
        )

    def _prompt(self, panorama: CaptionedPanorama, yaw_degrees: float, mirror: bool, rng: np.random.Generator) -> str:
        config = self.config
        prompt = draw_prompt(config.augment, panorama.captions, panorama.augmented, mirror, rng)
        if not config.directed or rng.random() >= config.directed:
            return prompt
        nearest = directed_captions(panorama, yaw_degrees, mirror)
        first = draw_prompt(AugmentConfig(), nearest, (), mirror, rng).rstrip(".")
        return f"{first}, {prompt}" if first and prompt else first or prompt

    def _worth_painting(self, which: int) -> list[int]:
        """Return the steps of a plan that leave enough to paint; all steps if none does."""
        steps = self.plans[which].steps[: self.config.first_steps or None]
        if self.config.least_unknown == 0:
            return list(range(len(steps)))
        known = known_by([self.inputs[which]], self.config.height)
        shares = [overlap_of(step.camera, known_before(self.plans[which], known, i)) for i, step in enumerate(steps)]
        enough = [i for i, share in enumerate(shares) if 1 - share >= self.config.least_unknown]
        return enough or list(range(len(steps)))

    def _situation(self, which: int, step: int) -> Situation:
        # A plain dictionary and not lru_cache: worker processes may receive the dataset as a copy.
        if (which, step) not in self._situations:
            self._situations[which, step] = self._make_situation(which, step)
        return self._situations[which, step]

    def _make_situation(self, which: int, step: int) -> Situation:
        plan: Plan = self.plans[which]
        height = self.config.height
        known = known_before(plan, known_by([self.inputs[which]], height), step)[None, None]
        canvas = Canvas.of(torch.zeros(1, 3, height, 2 * height), known)
        camera = plan.steps[step].camera
        return Situation(camera, canvas.look(camera).known[0], canvas.faces(self.config.face_size).known[0])

    def collate(self, samples: Sequence[OutpaintingSample]) -> OutpaintingBatch:
        """Return samples as a batch."""
        stacked = {
            name: torch.stack([getattr(sample, name) for sample in samples])
            for name in ("view", "known", "faces", "faces_known")
        }
        return OutpaintingBatch(
            **stacked,
            cameras=[sample.camera for sample in samples],
            prompts=[sample.prompt for sample in samples],
            seeds=torch.tensor([sample.seed for sample in samples]),
        )
