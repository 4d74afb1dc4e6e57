"""A job from what a client sent to the queue: checked, written down, submitted once."""

import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from aognet.errors import UserError
from aognet.request import Request
from aognet.studio.database import Row
from aognet.studio.ids import new_id
from aognet.studio.jobs.asking import request_of, resolved
from aognet.studio.jobs.restyle import style_config
from aognet.studio.jobs.seams import base_model, base_request
from aognet.studio.problems import ProblemError, not_found
from aognet.studio.schemas import JobBody
from aognet.studio.service import Service
from aognet.studio.storage import Desk
from aognet.studio.webhooks import check_webhook

MAX_TITLE, DAY_SECONDS = 100, 24 * 3600


def submit(service: Service, body: JobBody, owner: str, key: str | None) -> Row:
    """Return the row of a new job, or of the one that the same key made.

    :raises ProblemError: for what is too much, and for another body under the same key.
    :raises UserError: for what cannot be painted.
    """
    digest = hashlib.sha256(json.dumps(body.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()
    if key is not None and (before := _same(service, owner, key, digest)):
        return before
    _check_limits(service, body, owner)
    values, panorama = _values(service, body)
    values |= {"owner": owner, "key": key, "digest": digest}
    try:
        row = service.jobs.add(values, panorama)
    except IntegrityError:  # the same key, at the same time
        before = _same(service, owner, key or "", digest)
        if before is None:
            raise
        return before
    service.submitter.submit(row["workflow"], row["id"], row["number"])
    return row


def _same(service: Service, owner: str, key: str, digest: str) -> Row | None:
    row = service.jobs.with_key(owner, key)
    if row is not None and row["digest"] != digest:
        raise ProblemError(422, "this key was used for another request", "Idempotency-Key")
    return row


def _check_limits(service: Service, body: JobBody, owner: str) -> None:
    limits = service.config.limits
    if len(body.photos) > limits.photos:
        raise ProblemError(422, f"at most {limits.photos} photographs, got {len(body.photos)}", "photos")
    if body.height is not None and body.height > limits.height:
        raise ProblemError(422, f"at most {limits.height} rows, got {body.height}", "height")
    if limits.day_seconds and service.jobs.seconds_of(owner, time.time() - DAY_SECONDS) >= limits.day_seconds:
        said = f"jobs were painted for {limits.day_seconds:g} s in the last 24 hours"
        raise ProblemError(429, said, headers={"Retry-After": "3600"})
    if body.webhook is not None:
        if not service.config.webhook_secret:
            raise ProblemError(422, "webhooks need the setting webhook_secret", "webhook")
        check_webhook(body.webhook)
    if service.jobs.open_of(owner) >= limits.queued:
        raise ProblemError(429, f"{limits.queued} jobs are waiting already", headers={"Retry-After": "60"})


def _values(service: Service, body: JobBody) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """Return the row of a job, and of its panorama if that is a new one. Raises UserError for what is wrong."""
    parent = parent_of(service, body)
    panorama_id = body.panorama_id if parent is None else parent["panorama"]
    if panorama_id is not None and service.records.panorama(panorama_id) is None:
        raise not_found("panorama")
    model = model_of(service, body, parent)
    job = new_id()
    with service.storage.desk() as desk:
        check(service, body, job, parent, model, desk)
    title = body.title or body.prompt[:MAX_TITLE] or "Untitled"
    panorama = {"id": new_id(), "title": title, "head": None} if panorama_id is None else None
    values = {
        "id": job,
        "kind": body.kind,
        "title": title,
        "model": model,
        "body": body.model_dump(mode="json"),
        "panorama": panorama_id or (panorama or {})["id"],
        "parent": None if parent is None else parent["id"],
    }
    return values, panorama


def model_of(service: Service, body: JobBody, parent: Row | None) -> str:
    """Return the model of a job: the named one, the one that painted what it starts from, or the first."""
    before = None if parent is None else parent["about"]["model"]
    if body.model is None and body.method is None and before in service.models.entries:
        return before
    return service.models.named(body.model, body.method)


def parent_of(service: Service, body: JobBody) -> Row | None:
    """Return the version that a job starts from: the named one, or the head of the named panorama."""
    version_id = body.version_id
    if version_id is None and body.panorama_id is not None:
        panorama = service.records.panorama(body.panorama_id)
        version_id = None if panorama is None else panorama["head"]
    if version_id is None:
        return None
    version = service.records.version(version_id)
    if version is None or body.panorama_id not in (None, version["panorama"]):
        raise not_found("version")
    return version


def check(service: Service, body: JobBody, job: str, parent: Row | None, model: str, desk: Desk) -> None:
    """Raise UserError for what a model cannot paint."""
    if body.kind == "style":
        style_config(body, parent, desk, service.records)
        return
    if body.style is not None:
        raise UserError("is of jobs of the kind style", key="style")
    generator = service.models.generator(model)
    if body.kind == "seams":
        base = service.models.generator(base_model(body, service.models))
        base.resolved(base_request(body, desk, service.records))
        generator.resolved(Request(prompt=body.prompt, negative=body.negative, settings=dict(body.settings)))
        return
    if body.kind == "fork" and parent is not None and not 0 <= (body.view or 0) < (parent["about"]["views"] or 0):
        raise UserError(f"must lie in [0, {(parent['about']['views'] or 0) - 1}]", key="view", value=body.view)
    request = resolved(generator, request_of(body, job, parent, desk, service.records))
    if request.rows > service.config.limits.height:
        raise UserError(f"must be at most {service.config.limits.height}", key="height", value=request.rows)
