"""The rows of uploads, panoramas and versions."""

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from aognet.studio.database import EVENTS, FINDINGS, JOBS, PANORAMAS, UPLOADS, VERSIONS, Database, Row


class Records:
    """Reads and changes the rows of uploads, panoramas and versions."""

    def __init__(self, database: Database):
        self.database = database

    def _first(self, query: sa.Select) -> Row | None:
        with self.database.read() as connection:
            return connection.execute(query).mappings().first()

    def _all(self, query: sa.Select) -> list[Row]:
        with self.database.read() as connection:
            return list(connection.execute(query).mappings())

    def add_upload(self, values: Mapping[str, Any], is_light: bool, area: Mapping[str, float] | None) -> Row:
        """Write an upload's row, and return it with what else is known of it."""
        with self.database.write() as connection:
            connection.execute(sa.insert(UPLOADS).values({"created": time.time(), **values}))
            if is_light or area is not None:
                found = {"upload": values["id"], "is_light": is_light, "area": area}
                connection.execute(sa.insert(FINDINGS).values(found))
            return connection.execute(_found_upload(values["id"])).mappings().one()

    def upload(self, upload: str) -> Row | None:
        """Return an upload's row, with ``is_light`` and ``area``, which are null where nothing is known."""
        return self._first(_found_upload(upload))

    def panorama(self, panorama: str) -> Row | None:
        """Return a panorama's row."""
        return self._first(sa.select(PANORAMAS).where(PANORAMAS.c.id == panorama))

    def panoramas(self, words: str, favourite: bool | None, limit: int, before: tuple[float, int] | None) -> list[Row]:
        """Return panoramas that have a version, the most recently changed first. ``before``: only those that were
        changed before, or at the same time and have a lower number.
        """
        wanted = sa.select(PANORAMAS).where(PANORAMAS.c.head.is_not(None))
        if words:
            wanted = wanted.where(PANORAMAS.c.title.icontains(words, autoescape=True))
        if favourite is not None:
            wanted = wanted.where(PANORAMAS.c.favourite == favourite)
        if before is not None:
            earlier = sa.tuple_(PANORAMAS.c.updated, PANORAMAS.c.number) < sa.tuple_(*map(sa.literal, before))
            wanted = wanted.where(earlier)
        order = (PANORAMAS.c.updated.desc(), PANORAMAS.c.number.desc())
        return self._all(wanted.order_by(*order).limit(limit))

    def change_panorama(self, panorama: str, values: Mapping[str, Any]) -> None:
        """Change a panorama's row."""
        with self.database.write() as connection:
            more = {"updated": time.time(), **values}
            connection.execute(sa.update(PANORAMAS).where(PANORAMAS.c.id == panorama).values(**more))

    def move_head(self, panorama: str, back: bool) -> bool:
        """Undo or redo. Return False where there is nothing to undo or to redo."""
        with self.database.write() as connection:
            query = sa.select(PANORAMAS).where(PANORAMAS.c.id == panorama).with_for_update()
            row = connection.execute(query).mappings().one()
            head, undone = row["head"], list(row["undone"])
            if back:
                parent = connection.execute(sa.select(VERSIONS.c.parent).where(VERSIONS.c.id == head)).scalar()
                undone, head = [*undone, head], parent
            elif undone:
                head = undone.pop()
            else:
                head = None
            if head is None:
                return False
            values = {"head": head, "undone": undone, "updated": time.time()}
            connection.execute(sa.update(PANORAMAS).where(PANORAMAS.c.id == panorama).values(**values))
            return True

    def version(self, version: str) -> Row | None:
        """Return a version's row."""
        return self._first(sa.select(VERSIONS).where(VERSIONS.c.id == version))

    def versions(self, panorama: str) -> list[Row]:
        """Return the versions of a panorama, the oldest first."""
        return self._all(sa.select(VERSIONS).where(VERSIONS.c.panorama == panorama).order_by(VERSIONS.c.number))

    def versions_of(self, ids: list[str]) -> dict[str, Row]:
        """Return versions by their ids."""
        return {row["id"]: row for row in self._all(sa.select(VERSIONS).where(VERSIONS.c.id.in_(ids)))}

    def delete_panorama(self, panorama: str) -> list[str] | None:
        """Delete the rows of a panorama, its versions and its jobs. Return the jobs' ids; None if one has not ended."""
        with self.database.write() as connection:
            jobs = connection.execute(sa.select(JOBS.c.id, JOBS.c.state).where(JOBS.c.panorama == panorama)).all()
            if any(state in ("queued", "running") for _, state in jobs):
                return None
            of_versions = sa.select(VERSIONS.c.job).where(VERSIONS.c.panorama == panorama)
            ids = {job for job, _ in jobs} | set(connection.execute(of_versions).scalars())
            connection.execute(sa.delete(EVENTS).where(EVENTS.c.job.in_(ids)))
            for table, column in (
                (JOBS, JOBS.c.panorama),
                (VERSIONS, VERSIONS.c.panorama),
                (PANORAMAS, PANORAMAS.c.id),
            ):
                connection.execute(sa.delete(table).where(column == panorama))
            return sorted(ids)


def _found_upload(upload: str) -> sa.Select:
    known = sa.select(UPLOADS, FINDINGS.c.is_light, FINDINGS.c.area)
    return known.outerjoin(FINDINGS, FINDINGS.c.upload == UPLOADS.c.id).where(UPLOADS.c.id == upload)
