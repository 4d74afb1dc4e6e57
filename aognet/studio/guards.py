"""Who may ask: the addresses by which the service may be reached, and tokens.

A page of another site may send requests to this machine, and by DNS may even give this machine's address its own name
(DNS rebinding). So only known names are answered, and what changes anything must come from a page of the service.
"""

import hashlib
import hmac
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from aognet.studio.config import LOOPBACK, StudioConfig
from aognet.studio.problems import problem

COOKIE = "studio_token"
OPEN_PATHS = ("/api/v1/health", "/api/v1/session")
SAFE = ("GET", "HEAD", "OPTIONS")
HEADERS = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"x-frame-options": b"SAMEORIGIN",
}


class Guard:
    """Middleware that answers strangers with a problem."""

    def __init__(self, app: ASGIApp, config: StudioConfig):
        """``config``: the names and tokens that are known."""
        self.app, self.config = app, config
        self._most = most_bytes(config)
        self._hosts = {host.lower() for host in (config.host, *config.hosts, *LOOPBACK)}
        self._secrets = [(name, secret.encode()) for name, secret in config.tokens.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                told = {name.lower() for name, _ in message["headers"]}
                more = [(name, value) for name, value in HEADERS.items() if name not in told]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self.app(scope, receive, guarded)

    def _refused(self, scope: Scope) -> Response | None:
        """Return the answer to a request that is refused; for others, note whose it is."""
        headers = Headers(scope=scope)
        host = _name(f"//{headers.get('host', '')}")
        if host not in self._hosts:
            return problem(421, "this host name is not known here; the setting hosts has further ones")
        if headers.get("content-length", "0").isdigit() and int(headers.get("content-length", "0")) > self._most:
            return problem(413, f"a request has at most {self._most} bytes")
        origin = headers.get("origin")
        if scope["method"] not in SAFE and origin is not None and not self._is_own(origin, headers.get("host", "")):
            return problem(403, "a page of another site may not ask for changes")
        owner = self._owner(headers)
        scope.setdefault("state", {})["owner"] = owner or ""
        is_api = scope["path"].startswith("/api/")
        if self._secrets and owner is None and is_api and scope["path"] not in OPEN_PATHS:
            return problem(401, "a token is needed", headers={"WWW-Authenticate": "Bearer"})
        return None

    def _is_own(self, origin: str, host: str) -> bool:
        """Return whether an origin is a page of this service: the same name and port."""
        try:
            parts = urlsplit(origin)
        except ValueError:
            return False
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower()

    def _owner(self, headers: Headers) -> str | None:
        """Return the name of the token that a request has; None without a known one."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        token = given if scheme.lower() == "bearer" else _cookie(headers.get("cookie", ""))
        return owner_of_token(self._secrets, token)


def owner_of_token(secrets: list[tuple[str, bytes]], token: str) -> str | None:
    """Return the name of a token. All are compared, in a time that tells nothing of them."""
    digest = hashlib.sha256(token.encode(errors="replace")).digest()
    found = None
    for name, secret in secrets:
        if hmac.compare_digest(hashlib.sha256(secret).digest(), digest):
            found = name
    return found


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except Exception:  # noqa: BLE001 - whatever a stranger calls a cookie
        return ""
    return "" if found is None else found.value


def _name(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def most_bytes(config: StudioConfig) -> int:
    """Return how long a request may be: a job with all of its images."""
    return config.limits.upload_bytes * 2 + 2**20
