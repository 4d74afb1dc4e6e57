"""A token as a cookie, for pages: events and pictures cannot be asked for with a header."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from aognet.studio.guards import COOKIE, owner_of_token
from aognet.studio.problems import ProblemError
from aognet.studio.routes.common import PROBLEMS
from aognet.studio.schemas import Body
from aognet.studio.service import Json, Owner, Serving

router = APIRouter(tags=["session"], responses=PROBLEMS)
DAY_SECONDS = 24 * 3600


class Session(Body):
    """A token."""

    token: str = Field(max_length=1000)


@router.get("/session")
def read_session(service: Serving, owner: Owner) -> Json:
    """Return whether a token is needed, and whose the present one is."""
    return {"needed": bool(service.config.tokens), "owner": owner or None}


@router.post("/session")
def begin_session(service: Serving, request: Request, response: Response, body: Session) -> Json:
    """Keep a token as a cookie that no script can read."""
    secrets = [(name, secret.encode()) for name, secret in service.config.tokens.items()]
    owner = owner_of_token(secrets, body.token)
    if secrets and owner is None:
        raise ProblemError(401, "this token is not known", "token")
    secure = request.url.scheme == "https"
    if owner is not None:
        response.set_cookie(
            COOKIE, body.token, max_age=30 * DAY_SECONDS, httponly=True, samesite="strict", secure=secure, path="/"
        )
    return {"needed": bool(secrets), "owner": owner}


@router.delete("/session", status_code=204)
def end_session(response: Response) -> None:
    """Forget the cookie."""
    response.delete_cookie(COOKIE, path="/")
