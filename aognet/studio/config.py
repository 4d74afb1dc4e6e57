"""The settings of the studio, which ``studio.py`` reads from YAML."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from aognet.config import LoadedConfig, build_config, load_config
from aognet.errors import UserError
from aognet.installed import CONFIGS, known_config

DEFAULT_CONFIG = CONFIGS / "studio.yaml"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ModelEntry:
    """A model on offer: an inference YAML with changes (``settings``: ``key.sub=value``). ``title``: for people."""

    config: str
    title: str = ""
    settings: list[str] = field(default_factory=list)

    def loaded(self, more: Sequence[str] = ()) -> LoadedConfig:
        """Return the inference configuration with ``more`` changes. Raises UserError naming the file and the key."""
        return load_config([known_config(Path(self.config))], [*self.settings, *more])


@dataclass(frozen=True)
class WorkersConfig:
    """``count``: how many workers ``studio.py`` starts beside the web process. ``name``: of a worker, which is told
    apart by it from all others (empty: the machine's name and a number). ``device``: auto, cpu or cuda.
    ``side_by_side``: how many jobs of like settings it paints at once. ``lease_seconds``: how long a job stays with a
    worker that is not heard of. ``attempts``: how often a job may fail without a step forward.
    """

    count: int = 1
    name: str = ""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    side_by_side: int = 1
    lease_seconds: float = 30.0
    attempts: int = 3

    def __post_init__(self) -> None:
        for key, least in (("count", 0), ("side_by_side", 1), ("lease_seconds", 1), ("attempts", 1)):
            if getattr(self, key) < least:
                raise UserError(f"must be at least {least}", key=key, value=getattr(self, key))


@dataclass(frozen=True)
class LimitsConfig:
    """What one token may ask for. ``upload_bytes``, ``upload_pixels``: of one image. ``photos``: of one job.
    ``height``: rows of a panorama. ``queued``: jobs of a token that wait or run. ``job_seconds``: how long one job may
    paint. ``day_seconds``: how long all jobs of a token may paint in 24 hours (0: any).
    """

    upload_bytes: int = 64 * 2**20
    upload_pixels: int = 2**27
    photos: int = 16
    height: int = 4096
    queued: int = 2000
    job_seconds: float = 24 * 3600.0
    day_seconds: float = 0.0

    def __post_init__(self) -> None:
        for key in ("upload_bytes", "upload_pixels", "photos", "height", "queued", "job_seconds"):
            if getattr(self, key) <= 0:
                raise UserError("must be more than 0", key=key, value=getattr(self, key))
        if self.day_seconds < 0:
            raise UserError("must be at least 0", key="day_seconds", value=self.day_seconds)


@dataclass(frozen=True)
class StudioConfig:
    """Everything that ``studio.py`` reads.

    ``host``, ``port``: where the web process listens. ``hosts``: further names by which browsers may reach it.
    ``tokens``: name to secret; without any, only this machine is served. ``folder``: where jobs, uploads and results
    lie. ``storage``: an fsspec URL where they lie instead, for machines that share no folder; each paints in its own
    ``folder`` then. ``database``: a Postgres URL for several machines; empty: SQLite in the ``folder``.
    ``webhook_secret``: signs what is told to addresses of clients; empty: none are told. ``models``: what is on offer;
    the first is taken where a job names none.
    """

    host: str = "127.0.0.1"
    port: int = 7860
    hosts: list[str] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)
    folder: str = "studio"
    storage: str = ""
    database: str = ""
    webhook_secret: str = ""
    models: dict[str, ModelEntry] = field(default_factory=dict)
    workers: WorkersConfig = field(default_factory=WorkersConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise UserError("must lie in [0, 65535]", key="port", value=self.port)
        if not self.models:
            raise UserError("must name at least one", key="models", value=self.models)
        for name, token in self.tokens.items():
            if len(token) < 16:
                raise UserError("must have at least 16 characters", key=f"tokens.{name}")
        if self.host not in LOOPBACK and not self.tokens:
            said = "is not this machine alone, so give a token (tokens.NAME=SECRET)"
            raise UserError(said, key="host", value=self.host)
        if self.database and not self.database.startswith("postgresql"):
            raise UserError("must be a postgresql:// URL, or empty", key="database")
        if self.storage and "://" not in self.storage:
            said = "must be a URL, such as s3://bucket/studio or file:///mnt/share/studio, or empty"
            raise UserError(said, key="storage", value=self.storage)

    @property
    def root(self) -> Path:
        """The folder of the studio, absolute."""
        return Path(self.folder).absolute()

    @property
    def database_url(self) -> str:
        """The URL of the studio's own tables, for SQLAlchemy."""
        return self._postgres or f"sqlite:///{self.root / 'studio.db'}"

    @property
    def queue_url(self) -> str:
        """The URL of the queue's tables, which DBOS keeps."""
        return self._postgres or f"sqlite:///{self.root / 'queue.db'}"

    @property
    def _postgres(self) -> str:
        scheme, colon, rest = self.database.partition("://")
        return f"postgresql+psycopg{colon}{rest}" if scheme else ""


def read_studio(loaded: LoadedConfig) -> StudioConfig:
    """Return the checked configuration. Raises UserError naming file, key and value."""
    return build_config(loaded, StudioConfig)
