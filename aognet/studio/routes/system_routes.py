"""What there is: models, methods, and whether all is well."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse, Response

from aognet import __version__
from aognet.studio.describing import described
from aognet.studio.metrics import CONTENT_TYPE
from aognet.studio.routes.common import PROBLEMS
from aognet.studio.schemas import Caption, CaptionBody
from aognet.studio.service import Json, Serving

router = APIRouter(tags=["system"], responses=PROBLEMS)


@router.get("/models")
def list_models(service: Serving) -> list[Json]:
    """List the models: method, height, what they take, and the JSON schema of their settings."""
    return service.models.described


@router.get("/methods")
def list_methods(service: Serving) -> list[Json]:
    """List the methods, each with the settings of its first model."""
    found: dict[str, Json] = {}
    for model in service.models.described:
        told = {"name": model["method"], "title": model["method"], "model": model["name"]}
        found.setdefault(told["name"], {**told, "takes": model["takes"], "settings": model["settings"]})
    return list(found.values())


@router.post("/captions")
def caption(service: Serving, body: CaptionBody) -> Caption:
    """Describe an uploaded image in words."""
    return Caption(text=described(service, body.upload))


@router.get("/metrics", response_class=PlainTextResponse)
def read_metrics(service: Serving) -> Response:
    """Return what is counted, as Prometheus reads it."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/health")
def read_health(service: Serving) -> Json:
    """Return whether the service answers, and its version."""
    return {"status": "ok", "version": __version__, "workers": service.workers()}
