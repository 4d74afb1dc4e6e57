"""The light of versions, in a form that browsers can read: their pictures hold display values alone."""

from pathlib import Path
from tempfile import TemporaryDirectory

from fastapi import APIRouter
from fastapi.responses import Response

from aognet.studio.problems import not_found
from aognet.studio.routes.common import PROBLEMS, Id
from aognet.studio.service import Serving

router = APIRouter(tags=["panoramas"], responses=PROBLEMS)
ROWS = 2048  # as many as most screens can show of a sphere


@router.get("/versions/{version_id}/light", response_class=Response)
def read_light(service: Serving, version_id: Id) -> Response:
    """Return the light of a version as a Radiance file of at most 2048 rows; 404 for one that has none."""
    from aognet.io.panorama_files import read_panorama, write_light

    row = service.records.version(version_id)
    if row is None or "result.exr" not in row["files"]:
        raise not_found("light")
    with service.storage.desk() as desk:
        path = desk.path(f"{row['place']}/result.exr")
        light, _ = read_panorama(path, min(row["about"]["height"], ROWS))
    with TemporaryDirectory() as folder:
        write_light(light, Path(folder) / "light.hdr")
        content = (Path(folder) / "light.hdr").read_bytes()
    headers = {"Cache-Control": "private, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
    return Response(content, media_type="image/vnd.radiance", headers=headers)
