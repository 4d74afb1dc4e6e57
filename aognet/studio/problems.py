"""Errors as answers (RFC 9457), none of which tells a path of this machine."""

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from aognet.errors import UserError
from aognet.studio.storage import StorageError

log = logging.getLogger(__name__)
MEDIA_TYPE = "application/problem+json"
TITLES = {
    400: "Bad request",
    401: "A token is needed",
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    409: "Not in this state",
    413: "Too large",
    415: "Not a readable image",
    421: "Another host",
    422: "Not valid",
    429: "Too many",
    500: "A fault of the service",
    503: "Not available",
}


class ProblemError(Exception):
    """An answer that is an error. ``key``: the field that is wrong."""

    def __init__(self, status: int, detail: str, key: str | None = None, headers: Mapping[str, str] | None = None):
        super().__init__(detail)
        self.status, self.detail, self.key, self.headers = status, detail, key, dict(headers or {})


def problem(status: int, detail: str, key: str | None = None, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return an error as an answer."""
    content = {"type": "about:blank", "title": TITLES.get(status, "Error"), "status": status, "detail": detail}
    content |= {} if key is None else {"key": key}
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def not_found(what: str) -> ProblemError:
    """Return the error for something that is not there."""
    return ProblemError(404, f"there is no such {what}")


def install(app: FastAPI) -> None:
    """Make every error of the application a problem."""

    @app.exception_handler(ProblemError)
    async def of_ours(request: Request, error: ProblemError) -> JSONResponse:
        return problem(error.status, error.detail, error.key, error.headers)

    @app.exception_handler(UserError)
    async def of_users(request: Request, error: UserError) -> JSONResponse:
        error = request.app.state.service.without_paths(error)
        return problem(422, str(error), error.key or None)

    @app.exception_handler(StorageError)
    async def of_storage(request: Request, error: StorageError) -> JSONResponse:
        log.warning("%s %s: %s", request.method, request.url.path, error)
        return problem(503, "the storage does not answer; ask again later", headers={"Retry-After": "10"})

    @app.exception_handler(RequestValidationError)
    async def of_schemas(request: Request, error: RequestValidationError) -> JSONResponse:
        first: Any = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"][1:])
        return problem(422, f"{key or 'the body'}: {first['msg']}", key or None)

    @app.exception_handler(HTTPException)
    async def of_starlette(request: Request, error: HTTPException) -> JSONResponse:
        return problem(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(Exception)
    async def of_faults(request: Request, error: Exception) -> JSONResponse:
        log.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "the service made a mistake; its log has more")
