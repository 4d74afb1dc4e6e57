"""What the API takes and answers, as JSON."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["paint", "repaint", "fork", "seams", "style"]
State = Literal["queued", "running", "done", "failed", "cancelled"]
Id = Field(pattern=r"^[0-9a-z]{1,32}$")
MAX_TEXT = 4000
MAX_STROKES, MAX_POINTS = 1000, 20000


Degrees = Annotated[float, Field(ge=-36000, le=36000)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Point = tuple[Degrees, Latitude]


class Body(BaseModel):
    """What a client sends. Unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class PromptAt(Body):
    """Words for a direction, in degrees."""

    yaw: Degrees
    pitch: Latitude
    text: str = Field(max_length=MAX_TEXT)


class PhotoAt(Body):
    """An uploaded photograph and its pose in degrees. ``fov`` null: what its EXIF data says, or 90; a part of a
    panorama is then placed by its own metadata.
    """

    upload: str = Id
    yaw: Degrees = 0.0
    pitch: Latitude = 0.0
    roll: Degrees = 0.0
    fov: float | None = Field(None, gt=0, lt=180)


class UploadRef(Body):
    """An uploaded image."""

    upload: str = Id


class Stroke(Body):
    """The directions within a radius of a path over the sphere: ``points`` are [yaw, pitch] in degrees."""

    radius_degrees: float = Field(gt=0, le=180)
    points: list[Point] = Field(min_length=1, max_length=MAX_POINTS)
    erase: bool = False


class Mask(Body):
    """What is to be painted: strokes, in order, or an uploaded image that is white there."""

    strokes: list[Stroke] | None = Field(None, max_length=MAX_STROKES)
    upload: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")


class At(Body):
    """A cap of the sphere, in degrees."""

    yaw: Degrees
    pitch: Latitude
    radius_degrees: float = Field(30.0, gt=0, le=180)


class Asking(Body):
    """What all jobs may say. ``webhook``: an address that is told the end."""

    prompt: str = Field("", max_length=MAX_TEXT)
    negative: str = Field("", max_length=MAX_TEXT)
    prompts_at: list[PromptAt] = Field([], max_length=100)
    seed: int = Field(0, ge=0, lt=2**63)
    settings: dict[str, Any] = {}
    title: str = Field("", max_length=300)
    webhook: str | None = Field(None, max_length=2000)


class StyleOf(Body):
    """The photograph (an upload) whose colours a panorama takes. ``strength``: from 0, the panorama itself, to 1.
    ``segments``: how many soft segments are matched. ``transport``: by mean and covariance, or all colours.
    """

    photo: str = Id
    strength: float = Field(1.0, ge=0, le=1)
    segments: int = Field(4, ge=1, le=8)
    transport: Literal["linear", "sliced"] = "linear"


class JobBody(Asking):
    """A job: what is painted, from what, by which model. Of jobs of the kind ``seams``: ``base`` is the model of the
    first panorama, ``seams`` how many edges of the cube are drawn anew, ``seam_degrees`` how wide. Of the kind
    ``style``: the ``style``.
    """

    kind: Kind = "paint"
    model: str | None = Field(None, max_length=100)
    method: str | None = Field(None, max_length=100)
    photos: list[PhotoAt] = []
    panorama: UploadRef | None = None
    mask: Mask | None = None
    at: At | None = None
    height: int | None = Field(None, ge=32, le=8192)
    panorama_id: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")
    version_id: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")
    view: int | None = Field(None, ge=0, le=10000)
    base: str | None = Field(None, max_length=100)
    seams: int = Field(4, ge=1, le=12)
    seam_degrees: float = Field(12.0, ge=1, le=60)
    style: StyleOf | None = None


class RepaintBody(Asking):
    """Words for a part of a panorama's version, by default its head."""

    at: At | None = None
    mask: Mask | None = None
    version_id: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")
    model: str | None = Field(None, max_length=100)


class StyleBody(Body):
    """The style of a photograph for a panorama's version, by default its head."""

    style: StyleOf
    version_id: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")
    webhook: str | None = Field(None, max_length=2000)


class ForkBody(Asking):
    """Other words from a view on."""

    version_id: str | None = Field(None, pattern=r"^[0-9a-z]{1,32}$")
    view: int = Field(ge=0, le=10000)


class Change(Body):
    """What of a panorama can be changed."""

    title: str | None = Field(None, max_length=300)
    favourite: bool | None = None


class Area(BaseModel):
    """The part of a panorama that an image shows, as its GPano metadata says: in shares of the panorama's width and
    height from the top left, and how far the panorama's centre lies above the horizon, and is turned.
    """

    left: float
    top: float
    width: float
    height: float
    pitch_degrees: float
    roll_degrees: float


class Upload(BaseModel):
    """An image that was taken in. ``exif_fov``: its horizontal field of view, where its EXIF data tells it.
    ``is_light``: it is linear light, and its picture is tone-mapped. ``area``: it is a part of a panorama.
    """

    id: str
    width: int
    height: int
    exif_fov: float | None
    is_panorama: bool
    is_light: bool
    area: Area | None
    url: str


class Progress(BaseModel):
    """How far a job is: ``done`` of ``total`` of a ``stage`` (views, steps)."""

    stage: str | None
    done: int
    total: int


class Job(BaseModel):
    """A job. ``version_id``: what it made."""

    id: str
    kind: Kind
    state: State
    title: str
    model: str
    prompt: str
    seed: int
    created: float
    started: float | None
    ended: float | None
    error: str | None
    progress: Progress
    attempts: int
    panorama_id: str
    parent_id: str | None
    version_id: str | None
    waiting: int | None = None
    body: dict[str, Any]


class Version(BaseModel):
    """A finished run. ``files``: names of its files and their addresses."""

    id: str
    panorama_id: str
    parent_id: str | None
    job_id: str
    created: float
    about: dict[str, Any]
    files: dict[str, str]


class PanoramaDocument(BaseModel):
    """A document: versions, of which one is the head."""

    id: str
    title: str
    favourite: bool
    created: float
    updated: float
    head: Version | None
    can_undo: bool
    can_redo: bool


class Page(BaseModel):
    """One page of a list. ``cursor``: what asks for the next one, null at the end."""

    cursor: str | None


class JobPage(Page):
    """Jobs, the newest first."""

    jobs: list[Job]


class PanoramaPage(Page):
    """Panoramas, the most recently changed first."""

    panoramas: list[PanoramaDocument]


class VersionList(BaseModel):
    """All versions of a panorama, the oldest first."""

    versions: list[Version]


class Cost(BaseModel):
    """What a job would take. ``views``: to paint, null for methods that paint none. ``seconds_estimate``: from earlier
    jobs of the model, null without any.
    """

    views: int | None
    seconds_estimate: float | None


class Caption(BaseModel):
    """Words for an image."""

    text: str


class CaptionBody(Body):
    """The upload that is described."""

    upload: str = Id


class Problem(BaseModel):
    """An error (RFC 9457). ``key``: the setting or field that is wrong."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    key: str | None = None
