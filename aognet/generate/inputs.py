"""What a panorama starts from: photographs with poses, a partly known panorama, or words alone."""

import logging
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from aognet.canvas import Canvas
from aognet.config import check_text
from aognet.errors import UserError
from aognet.generate.names import safe_name, unique_names
from aognet.generate.photos import PhotoConfig, Pose, read_photo
from aognet.generate.spheres import read_panorama, read_partial
from aognet.geometry.camera import Camera
from aognet.geometry.perspective import look
from aognet.io.captions import a_few, check_captions, load_captions
from aognet.io.files import is_file, is_folder
from aognet.io.formats import KINDS
from aognet.io.images import from_uint8, to_pil, to_uint8
from aognet.io.listing import find_images

log = logging.getLogger(__name__)

AUTO = "auto"
ROWS = 32


@dataclass(frozen=True)
class DirectedPrompt:
    """What to paint in a direction (degrees)."""

    yaw: float
    pitch: float
    text: str

    @classmethod
    def parse(cls, text: str, key: str) -> "DirectedPrompt":
        """Reads ``"90,0: a red barn"``."""
        check_text(text, key)
        match = re.fullmatch(r"\s*([-+]?[\d.]+)\s*,\s*([-+]?[\d.]+)\s*:\s*(\S.*)", text, re.DOTALL)
        try:
            yaw, pitch = float(match[1]), float(match[2])
            Camera(yaw, pitch)
        except (TypeError, ValueError) as error:
            raise UserError(
                'expects "yaw,pitch: text" in degrees, such as "90,0: a red barn"', key=key, value=text
            ) from error
        return cls(yaw, pitch, match[3].strip())


@dataclass(frozen=True)
class InputsConfig:
    """What to paint panoramas from; every photo file, panorama and prompt becomes one.

    ``photos``: files and folders of photographs, each a panorama of its own, at ``pose``. ``together``: photographs
    with poses that belong to one panorama. ``panoramas``: files and folders of whole panoramas of which only the view
    at ``pose`` (90 degrees without a fov) is given to the model; the rest is the ground truth. ``partial``: a
    panorama to complete where it is transparent, where its GPano metadata places nothing, and where its ``mask`` is
    white. ``captions``: JSONL files with prompts by file name;
    ``prompt`` is for the others; ``auto``: a caption of the image. ``prompts_at``: ``"yaw,pitch: text"``. ``limit``: at
    most so many (0: all).
    """

    photos: list[str] = field(default_factory=list)
    together: list[PhotoConfig] = field(default_factory=list)
    panoramas: list[str] = field(default_factory=list)
    partial: str | None = None
    mask: str | None = None
    pose: Pose = field(default_factory=Pose)
    captions: list[str] = field(default_factory=list)
    prompt: str = ""
    prompts_at: list[str] = field(default_factory=list)
    name: str | None = None
    limit: int = 0

    def __post_init__(self) -> None:
        if self.partial is None and self.mask is not None:
            raise UserError("is of a partial panorama, and partial names none", key="mask", value=self.mask)
        if self.name is not None and safe_name(self.name) != self.name:
            raise UserError(
                f"must be a plain folder name, such as {safe_name(self.name)!r}", key="name", value=self.name
            )
        if self.limit < 0:
            raise UserError("must not be negative", key="limit", value=self.limit)
        check_text(self.prompt, "prompt")
        for text in self.prompts_at:
            DirectedPrompt.parse(text, "prompts_at")


@dataclass(frozen=True)
class Job:
    """One panorama to paint: its name, what it starts from (files are read later) and its prompts.

    ``captioned``: whether the prompt is a caption of what it starts from.
    """

    name: str
    prompt: str
    directed: tuple[DirectedPrompt, ...]
    photos: tuple[PhotoConfig, ...] = ()
    truth: Path | None = None
    pose: Pose = field(default_factory=Pose)
    partial: Path | None = None
    mask: Path | None = None
    captioned: bool = False

    @property
    def files(self) -> list[Path]:
        """The files it starts from."""
        named = [Path(photo.image) for photo in self.photos] + [self.truth, self.partial, self.mask]
        return [path for path in named if path is not None]


@dataclass(frozen=True)
class Start:
    """What is known at the beginning, the ground truth where there is one, and the first photograph's camera."""

    canvas: Canvas
    truth: Canvas | None = None
    camera: Camera | None = None


def list_jobs(config: InputsConfig) -> list[Job]:
    """The panoramas to paint. Raises UserError for a folder that is not there or has no image."""
    directed = tuple(DirectedPrompt.parse(text, "prompts_at") for text in config.prompts_at)
    photos, panoramas = (_images(getattr(config, key), key) for key in ("photos", "panoramas"))
    pose = vars(config.pose)
    starts = [(path, name, {"photos": (PhotoConfig(**pose, image=str(path)),)}) for path, name in photos]
    if config.together:
        path = Path(config.together[0].image)
        starts.append((path, path.name, {"photos": tuple(config.together)}))
    starts += [(path, name, {"truth": path, "pose": config.pose}) for path, name in panoramas]
    if config.partial is not None:
        path = Path(config.partial)
        starts.append((path, path.name, {"partial": path, "mask": None if config.mask is None else Path(config.mask)}))
    prompts = _prompts(config, [name for _, name, _ in starts], [path for path, _, _ in starts])
    jobs = [Job(path.stem, prompt, directed, **parts) for (path, _, parts), prompt in zip(starts, prompts, strict=True)]
    if not jobs and not config.prompt:
        raise UserError("inputs: nothing to paint from: give photos, panoramas, a partial panorama or a prompt")
    if not jobs and config.prompt == AUTO:
        raise UserError("--prompt auto describes an image, and there is none: give --image, or say what to paint")
    jobs = jobs or [Job("text", config.prompt, directed)]
    jobs = jobs[: config.limit or None]
    if config.name is not None:
        jobs = [replace(job, name=config.name if len(jobs) == 1 else f"{config.name}-{job.name}") for job in jobs]
    return [replace(job, name=name) for job, name in zip(jobs, unique_names(job.name for job in jobs), strict=True)]


def _prompts(config: InputsConfig, names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """The caption of each image that a panorama starts from, or ``config.prompt``; what has neither is named."""
    captions: dict[str, list[str]] = {}
    for file in config.captions:
        captions |= load_captions(Path(file))
    if not config.captions:
        return [config.prompt] * len(names)
    keys = check_captions(captions, names, ", ".join(config.captions), paths=paths)
    texts = [next((text for text in captions.get(key, ()) if text.strip()), config.prompt) for key in keys]
    if empty := [name for name, text in zip(names, texts, strict=True) if not text.strip()]:
        log.warning(
            "%d of %d panoramas have no caption, nor inputs.prompt, and are painted with an empty prompt (%s)",
            *(len(empty), len(names), a_few(empty)),
        )
    return texts


def _images(places: Sequence[str], key: str) -> list[tuple[Path, str]]:
    """Images and their names, relative to the folder that they were found in."""
    images: list[tuple[Path, str]] = []
    for place in map(Path, places):
        if is_folder(place):
            found = find_images(place, f"inputs.{key}")
            if not found:
                raise UserError(f"inputs.{key}: no image ({KINDS}) in {place}")
            images += [(path, path.relative_to(place).as_posix()) for path in found]
        elif is_file(place):
            images.append((place, place.name))
        else:
            raise UserError(f"inputs.{key}: no such file or folder: {place}")
    return images


def read_start(job: Job, height: int) -> Start:
    """Reads a job's files onto a canvas of ``height`` rows, in the 256 levels of a file that `stored` is written to.

    Raises UserError naming the file.
    """
    start = _read_start(job, height)
    # A few rows at a time: fresh memory for whole panoramas takes longer than the arithmetic.
    for colours, known in zip(*(part.split(ROWS, -2) for part in start.canvas.pixels.split([3, 1], 1)), strict=True):
        colours.copy_(from_uint8(to_uint8(colours)).mul_(known))
    return start


def _read_start(job: Job, height: int) -> Start:
    if job.truth is not None:
        truth = read_panorama(job.truth, height)
        camera = job.pose.camera(height // 2, height // 2, 90.0)
        canvas = Canvas.empty(height).paint(look(truth.image, camera), camera)
        return Start(Canvas.of(truth.image, canvas.known & truth.known), truth, camera)
    if job.partial is not None:
        return Start(read_partial(job.partial, job.mask, height))
    canvas, first = Canvas.empty(height), None
    for photo in job.photos:
        image, camera, opacity = read_photo(photo, height)
        if not canvas.paint_(image, camera, opacity).known.any():
            raise UserError(f"{photo.image}: with fov {camera.fov_degrees:g} it covers no pixel of {height} rows")
        first = first or camera
    return Start(canvas, camera=first)


def plainly(words: str, prompt: str) -> str:
    """The words of a direction, followed by the common prompt."""
    return f"{words}, {prompt}"


def prompt_for(
    camera: Camera,
    prompt: str,
    directed: Sequence[DirectedPrompt],
    join: Callable[[str, str], str] = plainly,
    reach_degrees: float = 45.0,
) -> str:
    """The prompt of a view: that of the nearest direction within reach, joined with the common one."""
    near = [(float(camera.forward @ Camera(at.yaw, at.pitch).forward), at) for at in directed]
    near = [(cosine, at) for cosine, at in near if cosine >= math.cos(math.radians(reach_degrees)) - 1e-9]
    if not near:
        return prompt
    text = max(near, key=lambda pair: pair[0])[1].text
    return join(text, prompt) if prompt else text


def as_canvas(rgba: Float[Tensor, "4 height width"]) -> Canvas:
    """A canvas from a stored input: colours and, in the fourth channel, 1 where known."""
    return Canvas.of(rgba[None, :3], rgba[None, 3:] > 0)


def stored(canvas: Canvas) -> Image.Image:
    """Colours and mask of a canvas of one panorama as an RGBA image."""
    image = to_pil(canvas.image[0])
    image.putalpha(Image.fromarray(canvas.known[0, 0].cpu().to(torch.uint8).mul_(255).numpy()))
    return image
