"""The inputs of a configuration (lists of photographs, panoramas and words) as requests."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aognet.config import check_text
from aognet.errors import Setting, UserError
from aognet.generate.names import safe_name, unique_names
from aognet.io.captions import a_few, check_captions, load_captions
from aognet.io.depth_maps import DEPTH_SUFFIXES, DepthKind
from aognet.io.files import is_file, is_folder
from aognet.io.formats import KINDS
from aognet.io.listing import find_images
from aognet.io.matching import match
from aognet.io.text_files import read_text
from aognet.request import AUTO, Control, DirectedPrompt, Photo, Pose, Request

log = logging.getLogger(__name__)
MOST_OF_EACH = 100_000
MOST_BYTES = 2**24  # of a file of prompts
Start = tuple[Path, str, dict[str, Any]]
"""The file that a panorama starts from, its name in its folder, and what its request says of it."""


@dataclass(frozen=True)
class InputsConfig:
    """What panoramas are painted from. Every photo file, panorama and prompt becomes one.

    ``photos``: files and folders of photographs, each a panorama of its own, at ``pose``. ``together``: photographs
    with poses that belong to one panorama. ``panoramas``: files and folders of whole panoramas; the model gets only the
    view at ``pose`` (90 degrees without a fov), and the rest is the ground truth. ``partial``: a panorama to complete
    where it is transparent, where its GPano metadata places nothing, and where its ``mask`` is white. ``captions``:
    JSONL files with prompts by file name; ``prompt`` is for the others; ``auto``: a caption of the image. ``prompts``:
    a text file, each line of which becomes a panorama of these words alone. ``negative``: what not to paint.
    ``prompts_at``: ``"yaw,pitch: text"``. ``depth``: a depth map (`aognet.request.Request`) for all panoramas,
    ``auto``, or a folder with one for each, found by the name of the photograph or panorama; where there is
    none of these, each depth map becomes a panorama. ``controls``: images for further ControlNets. ``limit``: at most
    so many panoramas (0: all). ``count``: how many are made of each of these, each with random numbers of its own;
    null: one. ``labels``: names of classes, taken in turn; they make as many panoramas if nothing says how many.
    """

    photos: list[str] = field(default_factory=list)
    together: list[Photo] = field(default_factory=list)
    panoramas: list[str] = field(default_factory=list)
    partial: str | None = None
    mask: str | None = None
    pose: Pose = field(default_factory=Pose)
    captions: list[str] = field(default_factory=list)
    prompt: str = ""
    prompts: str | None = None
    negative: str = ""
    prompts_at: list[str] = field(default_factory=list)
    depth: str | None = None
    depth_kind: DepthKind = "auto"
    controls: list[Control] = field(default_factory=list)
    name: str | None = None
    limit: int = 0
    count: int | None = None
    labels: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.partial is None and self.mask is not None:
            raise UserError("is of a partial panorama, and partial names none", key="mask", value=self.mask)
        if self.prompts is not None:
            for key in ("photos", "together", "panoramas", "partial", "prompt"):
                if given := getattr(self, key):
                    said = "is not for panoramas of words alone, which prompts names; leave one of both out"
                    raise UserError(said, key=key, value=given)
        if self.name is not None and safe_name(self.name) != self.name:
            raise UserError(
                f"must be a plain folder name, such as {safe_name(self.name)!r}", key="name", value=self.name
            )
        if self.limit < 0:
            raise UserError("must not be negative", key="limit", value=self.limit)
        if self.count is not None and not 1 <= self.count <= MOST_OF_EACH:
            raise UserError(f"must lie in [1, {MOST_OF_EACH}]", key="count", value=self.count)
        for label in self.labels:
            check_text(label, "labels")
            if not label.strip():
                raise UserError("must be names of classes", key="labels", value=self.labels)
        check_text(self.prompt, "prompt")
        check_text(self.negative, "negative")
        for text in self.prompts_at:
            DirectedPrompt.parse(text, "prompts_at")


def list_requests(config: InputsConfig, common: Request, bare: str | None = None) -> list[Request]:
    """Return the panoramas to make. Each is like ``common`` except for its inputs, words, class and name.

    ``bare``: what one is called that starts from nothing, not even a prompt; None: the method needs something.

    :raises UserError: for a folder that does not exist or has no image.
    """
    directed = [DirectedPrompt.parse(text, "prompts_at") for text in config.prompts_at]
    shown = {key: getattr(config, key) for key in ("depth_kind", "controls")}
    common = replace(common, prompts_at=directed, negative=config.negative or common.negative, **shown)
    photos, panoramas = (_images(getattr(config, key), key) for key in ("photos", "panoramas"))
    pose = vars(config.pose)
    starts: list[Start] = [(path, name, {"photos": [Photo(**pose, image=str(path))]}) for path, name in photos]
    if config.together:
        path = Path(config.together[0].image)
        starts.append((path, path.name, {"photos": config.together}))
    starts += [(path, name, {"truth": str(path), "pose": config.pose}) for path, name in panoramas]
    if config.partial is not None:
        path = Path(config.partial)
        starts.append((path, path.name, {"panorama": config.partial, "mask": config.mask}))
    if config.prompts is not None:
        lines = _lines(Path(config.prompts))
        return _named([replace(common, name=text, prompt=text, depth=config.depth) for text in lines], config)
    starts = _with_depth(config.depth, starts)
    prompts = _prompts(config, [name for _, name, _ in starts], [path for path, _, _ in starts])
    requests = [
        replace(common, name=path.stem, prompt=prompt, **parts)
        for (path, _, parts), prompt in zip(starts, prompts, strict=True)
    ]
    if not requests and not config.prompt and bare is None:
        raise UserError(
            "has nothing to paint from: give photos, panoramas, a partial panorama or a prompt", key="inputs"
        )
    sightless = not any(key in parts for _, _, parts in starts for key in ("photos", "truth", "panorama"))
    if sightless and config.prompt == AUTO:
        said = f"{AUTO} describes an image, and there is none: give "
        raise UserError(said, Setting("photos"), ", or say what to paint", key="prompt")
    if not requests:
        name = "text" if config.prompt or bare is None else bare
        requests = [replace(common, name=name, prompt=config.prompt, depth=config.depth)]
    return _named(requests, config)


def _named(requests: Sequence[Request], config: InputsConfig) -> list[Request]:
    """Return as many of the requests as the configuration says, each as often and with classes and a name of its
    own.
    """
    requests = _of_classes(requests[: config.limit or None], config)
    names = [one.name for one in requests]
    if config.name is not None:
        names = [config.name] if len(names) == 1 else [f"{config.name}-{name}" for name in names]
    return [replace(one, name=name) for one, name in zip(requests, unique_names(names), strict=True)]


def _of_classes(requests: Sequence[Request], config: InputsConfig) -> list[Request]:
    """Return each request as often as the configuration says, with its classes in turn.

    Panoramas of words alone, or of nothing, are called by their classes.
    """
    labels = config.labels
    count = config.count if config.count is not None else math.ceil(len(labels) / len(requests)) if labels else 1
    repeated = [request for request in requests for _ in range(count)]
    if len(labels) > len(repeated):
        said = f"are more classes than the {len(repeated)} panoramas that "
        raise UserError(said, Setting("count"), " makes", key="labels", value=labels)
    if not labels:
        return repeated
    turns = [replace(one, label=labels[number % len(labels)].strip()) for number, one in enumerate(repeated)]
    return [one if one.files else replace(one, name=safe_name(str(one.label))) for one in turns]


def _with_depth(depth: str | None, starts: list[Start]) -> list[Start]:
    """Return what panoramas start from, each with its own depth map where ``depth`` is a folder.

    Without any start, each depth map is one.
    """
    if depth is None:
        return starts
    place = Path(depth)
    if depth == AUTO or not is_folder(place):
        alone = [] if depth == AUTO else [(place, place.name, {})]
        return [(path, name, {**parts, "depth": depth}) for path, name, parts in starts or alone]
    found = {path.relative_to(place).as_posix(): path for path in find_images(place, "inputs.depth", DEPTH_SUFFIXES)}
    if not found:
        raise UserError(f"{place}: no depth map (PNG, EXR or NPY) in it", key="inputs.depth")
    if not starts:
        return [(path, name, {"depth": str(path)}) for name, path in found.items()]
    # Names mean the same without their suffixes, if these are of images.
    keys = {f"{name[:-4]}.png" if name.lower().endswith(".npy") else name: str(path) for name, path in found.items()}
    matches = match(keys, [name for _, name, _ in starts], [path for path, _, _ in starts])
    given = []
    for number, ((path, name, parts), key) in enumerate(zip(starts, matches.keys, strict=True)):
        if key is None:
            could = f"; it may be {' or '.join(matches.unclear[number])}" if number in matches.unclear else ""
            raise UserError(f"{place}: has no depth map for {name}{could}", key="inputs.depth")
        given.append((path, name, {**parts, "depth": keys[key]}))
    return given


def _lines(path: Path) -> list[str]:
    """Return the prompts of a file, one a line. Raises UserError naming the file, and the line."""
    lines = [line.strip() for line in read_text(path, "file of prompts", MOST_BYTES).split("\n")]
    if AUTO in lines:
        raise UserError(f"{path}: line {lines.index(AUTO) + 1}: {AUTO} describes an image, and there is none")
    prompts = [line for line in lines if line]
    if not prompts:
        raise UserError(f"{path}: has no prompt, one a line")
    return prompts


def _prompts(config: InputsConfig, names: Sequence[str], paths: Sequence[Path]) -> list[str]:
    """Return the caption of each image that a panorama starts from, or ``config.prompt``. What has neither is named."""
    captions: dict[str, list[str]] = {}
    for file in config.captions:
        captions |= load_captions(Path(file))
    if not config.captions:
        return [config.prompt] * len(names)
    keys = check_captions(captions, names, ", ".join(config.captions), paths=paths)
    own = [() if key is None else captions[key] for key in keys]
    texts = [next((text for text in found if text.strip()), config.prompt) for found in own]
    if empty := [name for name, text in zip(names, texts, strict=True) if not text.strip()]:
        log.warning(
            "%d of %d panoramas have no caption, nor inputs.prompt, and are painted with an empty prompt (%s)",
            *(len(empty), len(names), a_few(empty)),
        )
    return texts


def _images(places: Sequence[str], key: str) -> list[tuple[Path, str]]:
    """Return images and their names, relative to the folder in which they were found."""
    images: list[tuple[Path, str]] = []
    for place in map(Path, places):
        if is_folder(place):
            found = find_images(place, f"inputs.{key}")
            if not found:
                raise UserError(f"{place}: no image ({KINDS}) in it", key=f"inputs.{key}")
            images += [(path, path.relative_to(place).as_posix()) for path in found]
        elif is_file(place):
            images.append((place, place.name))
        else:
            raise UserError(f"{place}: no such file or folder", key=f"inputs.{key}")
    return images
