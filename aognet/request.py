"""A request: one panorama, described so that it can be written down, sent, and made again."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aognet.config import LoadedConfig, build_config, check_text
from aognet.errors import Setting, UserError
from aognet.geometry.camera import Camera
from aognet.io.depth_maps import DepthKind

VERSION = 1
MIN_HEIGHT, MAX_HEIGHT = 32, 8192
AUTO = "auto"
"""The prompt that stands for a caption of the inputs, and the depth that stands for an estimate from them."""
MAX_SCALE = 10.0


@dataclass(frozen=True)
class Pose:
    """Where a photograph looks, in degrees. ``fov`` null: from the EXIF focal length, or 90 without one."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    fov: float | None = None

    def __post_init__(self) -> None:
        try:
            self.camera(1, 1, 90.0)
        except UserError as error:
            raise _shorter(error) from error

    def camera(self, width: int, height: int, default_fov: float) -> Camera:
        """Return the camera of a photograph of ``width`` x ``height`` pixels."""
        fov = default_fov if self.fov is None else self.fov
        return Camera(self.yaw, self.pitch, self.roll, fov, width, height)


@dataclass(frozen=True)
class Photo(Pose):
    """A photograph's file and its pose."""

    image: str = field(kw_only=True)


@dataclass(frozen=True)
class DirectedPrompt:
    """What to paint in a direction (degrees)."""

    yaw: float
    pitch: float
    text: str

    def __post_init__(self) -> None:
        check_text(self.text, "text")
        try:
            Camera(self.yaw, self.pitch)
        except UserError as error:
            raise _shorter(error) from error

    @classmethod
    def parse(cls, text: str, key: str) -> "DirectedPrompt":
        """Read ``"90,0: a red barn"``. Raises UserError naming the ``key`` that the text was given for."""
        check_text(text, key)
        match = re.fullmatch(r"\s*([-+]?[\d.]+)\s*,\s*([-+]?[\d.]+)\s*:\s*(\S.*)", text, re.DOTALL)
        yaw, pitch, words = match.groups() if match else ("", "", "")
        try:
            return cls(float(yaw), float(pitch), words.strip())
        except ValueError as error:
            raise UserError(
                'expects "yaw,pitch: text" in degrees, such as "90,0: a red barn"', key=key, value=text
            ) from error


@dataclass(frozen=True)
class Control:
    """The image of a ControlNet, a panorama, and its weight (0: none)."""

    image: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        check_scale(self.scale, "scale")


@dataclass(frozen=True)
class Request:
    """One panorama to make: the words, the inputs, the size, and how the method works.

    ``prompt``: what to paint; ``auto``: a caption of the inputs. ``negative``: what not to paint, for methods with
    guidance. ``prompts_at``: words for single directions. ``seed``: decides all random numbers, together with ``name``,
    so that two panoramas with one seed differ. ``height``: rows, a panorama is twice as wide; None: the model's.

    Inputs are files, and at most one kind is given. ``photos`` have poses. ``panorama`` is partly known: it is
    completed where it is transparent, where its GPano metadata places nothing and where its ``mask`` is white.
    ``truth`` is a whole panorama of which the method gets only the view at ``pose``.

    ``depth``, ``controls`` and ``label`` (the name of a class) are for methods that take them. ``depth`` is a depth map
    of the panorama to make (`aognet.io.depth_maps.load_depth`, which explains ``depth_kind``), or ``auto``: estimated
    from the inputs. It is shown to the model's first ControlNet, and ``controls`` to the others, in their order.

    ``method``: how it is made; None: as the loaded model does. ``settings``: how the method's settings differ from the
    loaded model's, as nested mappings.

    Raises UserError naming key and value for what cannot be asked for.
    """

    prompt: str = ""
    negative: str = ""
    prompts_at: list[DirectedPrompt] = field(default_factory=list)
    seed: int = 0
    height: int | None = None
    photos: list[Photo] = field(default_factory=list)
    panorama: str | None = None
    mask: str | None = None
    truth: str | None = None
    pose: Pose = field(default_factory=Pose)
    depth: str | None = None
    depth_kind: DepthKind = "auto"
    controls: list[Control] = field(default_factory=list)
    label: str | None = None
    name: str = "panorama"
    method: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in ("prompt", "negative"):
            check_text(getattr(self, key), key)
        if self.height is not None:
            check_height(self.height)
        given = [key for key in ("photos", "panorama", "truth") if getattr(self, key)]
        if len(given) > 1:
            raise UserError(f"and {given[1]} exclude each other", key=given[0], value=getattr(self, given[0]))
        if self.mask is not None and self.panorama is None:
            raise UserError("is of a partly known panorama, and panorama names none", key="mask", value=self.mask)
        if self.depth == AUTO and not given:
            said = "is estimated from a photograph or a panorama, and there is none: give "
            raise UserError(said, Setting("photos"), ", or a depth map", key="depth", value=AUTO)

    @property
    def rows(self) -> int:
        """The height of a request that was resolved: what it left to the model is filled in."""
        assert self.height is not None, "only resolved requests are painted"
        return self.height

    @property
    def files(self) -> list[Path]:
        """The files it starts from."""
        named = [*(one.image for one in (*self.photos, *self.controls)), self.truth, self.panorama, self.mask]
        named.append(None if self.depth == AUTO else self.depth)
        return [Path(path) for path in named if path is not None]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with a version."""
        return {"version": VERSION, **json.loads(json.dumps(asdict(self)))}

    def to_json(self) -> str:
        """Return the request as JSON; `from_json` reads it."""
        return json.dumps(self.to_dict(), indent=2)

    @classmethod
    def from_dict(cls, values: Any, source: str = "request") -> "Request":
        """Read what `to_dict` returned; what is left out has its default.

        :raises UserError: naming ``source``, key and value: for an unknown key, a wrong type, another version.
        """
        if not isinstance(values, Mapping):
            raise UserError("a request must hold keys and values", value=values, where=source)
        version = values.get("version", VERSION)
        if version != VERSION:
            raise UserError(f"must be {VERSION}", key="version", value=version, where=source)
        values = {key: value for key, value in values.items() if key != "version"}
        return build_config(LoadedConfig(values, {"": source}), cls)

    @classmethod
    def from_json(cls, text: str, source: str = "request") -> "Request":
        """Read what `to_json` returned. Raises UserError as `from_dict`, and for text that is no JSON."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise UserError(f"is not JSON ({error})", where=source) from error
        return cls.from_dict(values, source)


def check_height(height: int) -> None:
    """Raise UserError for a number of rows that no panorama here has."""
    if not MIN_HEIGHT <= height <= MAX_HEIGHT:
        raise UserError(f"must lie in [{MIN_HEIGHT}, {MAX_HEIGHT}]", key="height", value=height)


def check_scale(scale: float, key: str) -> None:
    """Raise UserError for a weight that no ControlNet has."""
    if not 0 <= scale <= MAX_SCALE:
        raise UserError(f"must lie in [0, {MAX_SCALE:g}]", key=key, value=scale)


def _shorter(error: UserError) -> UserError:
    """Return the error of a camera with the shorter keys that are used here."""
    return UserError(*error.args, key=error.key.removesuffix("_degrees"), value=error.value)
