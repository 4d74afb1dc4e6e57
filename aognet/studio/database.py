"""The tables of the studio, in SQLite or Postgres, and how they are read and written."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

Row = Mapping[Any, Any]
"""A row of a table: values by the names of its columns."""
TABLES = sa.MetaData()
TABLES_LOCK = 3600180  # a number of our own among Postgres's advisory locks
_JSON = sa.JSON()

UPLOADS = sa.Table(
    "studio_uploads",
    TABLES,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("file", sa.String(64), nullable=False),
    sa.Column("width", sa.Integer, nullable=False),
    sa.Column("height", sa.Integer, nullable=False),
    sa.Column("exif_fov", sa.Float),
    sa.Column("is_panorama", sa.Boolean, nullable=False),
)
# What further uploads are known to be; a table of its own, since those of an earlier program stay as they are.
FINDINGS = sa.Table(
    "studio_upload_findings",
    TABLES,
    sa.Column("upload", sa.String(32), primary_key=True),
    sa.Column("is_light", sa.Boolean, nullable=False),
    sa.Column("area", _JSON),  # of a part of a panorama
)
PANORAMAS = sa.Table(
    "studio_panoramas",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), unique=True, nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("favourite", sa.Boolean, nullable=False),
    sa.Column("head", sa.String(32)),
    sa.Column("undone", _JSON, nullable=False),  # versions that redo brings back, the next one last
)
VERSIONS = sa.Table(
    "studio_versions",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), unique=True, nullable=False),
    sa.Column("panorama", sa.String(32), nullable=False, index=True),
    sa.Column("parent", sa.String(32)),
    sa.Column("job", sa.String(32), nullable=False),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("place", sa.Text, nullable=False),  # of its folder
    sa.Column("files", _JSON, nullable=False),
    sa.Column("about", _JSON, nullable=False),  # prompt, model, method, seed, height, views, encoding
)
JOBS = sa.Table(
    "studio_jobs",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), unique=True, nullable=False),
    sa.Column("owner", sa.String(64), nullable=False),
    sa.Column("key", sa.String(300)),  # Idempotency-Key
    sa.Column("digest", sa.String(64), nullable=False),  # of the request
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("state", sa.String(16), nullable=False, index=True),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("model", sa.String(100), nullable=False),
    sa.Column("body", _JSON, nullable=False),
    sa.Column("panorama", sa.String(32), nullable=False, index=True),
    sa.Column("parent", sa.String(32)),
    sa.Column("version", sa.String(32)),
    sa.Column("created", sa.Float, nullable=False),
    sa.Column("started", sa.Float),
    sa.Column("ended", sa.Float),
    sa.Column("error", sa.Text),
    sa.Column("stage", sa.String(32)),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("total", sa.Integer, nullable=False, default=0),
    sa.Column("seconds", sa.Float, nullable=False, default=0.0),  # of painting, in all attempts
    sa.Column("cancel", sa.Boolean, nullable=False, default=False),
    # Who paints it. A fence is a number of its own for each time that a worker takes the job: what an earlier holder
    # still writes has an earlier number, and counts for nothing.
    sa.Column("worker", sa.String(200)),
    sa.Column("lease", sa.Float, nullable=False, default=0.0),
    sa.Column("fence", sa.Integer, nullable=False, default=0),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),  # without a step forward
    sa.Column("steps", sa.Integer, nullable=False, default=0),  # that were told of
    sa.Column("place", sa.Text),  # of the folder of the latest fence that began
    sa.Column("workflow", sa.String(64)),
    sa.UniqueConstraint("owner", "key"),
)
EVENTS = sa.Table(
    "studio_events",
    TABLES,
    sa.Column("job", sa.String(32), primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("time", sa.Float, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("data", _JSON, nullable=False),
)
WORKERS = sa.Table(
    "studio_workers",
    TABLES,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("seen", sa.Float, nullable=False),
    sa.Column("device", sa.String(32), nullable=False),
    sa.Column("model", sa.String(100)),
)


IDLE_MILLISECONDS = 30_000


class Database:
    """The tables, for all threads of a process."""

    def __init__(self, url: str):
        """Connect when something is first asked. ``url``: of SQLAlchemy."""
        self.is_sqlite = url.startswith("sqlite")
        options: dict[str, Any] = {"pool_pre_ping": not self.is_sqlite, "pool_size": 20, "max_overflow": 40}
        if self.is_sqlite:  # transactions are begun here, see `_prepare`
            options["connect_args"] = {"timeout": 30, "check_same_thread": False, "isolation_level": None}
        self.engine = sa.create_engine(url, json_serializer=_to_json, **options)
        if self.is_sqlite:
            event.listen(self.engine, "connect", _prepare)
            event.listen(self.engine, "begin", _begin)
        else:
            event.listen(self.engine, "connect", _bound)

    def create(self) -> None:
        """Make the tables that are missing. Several processes may call it at once."""
        with self.write() as connection:
            if not self.is_sqlite:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(TABLES_LOCK)))
            TABLES.create_all(connection)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Yield a connection that sees one state of the tables."""
        with self.engine.connect() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Yield a connection whose changes are made all at once at the end, or not at all."""
        engine = self.engine.execution_options(writes=True)
        with engine.begin() as connection:
            yield connection

    def now(self) -> Any:
        """Return the time of the database, in seconds: clocks of machines differ."""
        return time.time() if self.is_sqlite else sa.func.extract("epoch", sa.func.clock_timestamp())

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=True)


def _prepare(connection: Any, record: Any) -> None:
    """Let readers go on beside a writer. What a transaction wrote survives a kill of the process."""
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _bound(connection: Any, record: Any) -> None:
    """Let no process that is put to sleep in the middle of a change keep others from the rows."""
    with connection.cursor() as cursor:
        cursor.execute(f"SET idle_in_transaction_session_timeout = {IDLE_MILLISECONDS}")
    connection.commit()


def _begin(connection: sa.Connection) -> None:
    """Take the right to write at the beginning: two readers that both want to write would refuse each other."""
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
