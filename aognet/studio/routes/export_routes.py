"""Versions in the forms that other programs take."""

import io
import tempfile
import zipfile
from pathlib import Path
from threading import Semaphore
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response

from aognet.generate.names import safe_name
from aognet.io.panorama_files import read_panorama
from aognet.io.presets import PRESETS, PresetOptions, export_preset, preset_named
from aognet.studio.jobs.asking import version_result
from aognet.studio.problems import not_found
from aognet.studio.routes.common import PROBLEMS, Id
from aognet.studio.service import Json, Serving

router = APIRouter(tags=["exports"], responses=PROBLEMS)
_TURNS = Semaphore(2)  # whole panoramas in floats are large
FaceSize = Annotated[int | None, Query(ge=1, le=4096)]


@router.get("/presets")
def list_presets() -> list[Json]:
    """List the export presets, with their layouts and formats."""
    return [
        {
            "name": name,
            "title": preset.title,
            "description": preset.description,
            "formats": [suffix.removeprefix(".") for suffix in preset.suffixes],
            "layouts": [layout for layout in preset.layouts if layout],
            "sized": [layout for layout, what in preset.layouts.items() if what.sized],
        }
        for name, preset in PRESETS.items()
    ]


@router.get("/versions/{version_id}/export", response_class=Response)
def export_version(
    service: Serving,
    version_id: Id,
    preset: Annotated[str, Query(max_length=100)],
    layout: Annotated[str, Query(max_length=100)] = "",
    format: Annotated[str, Query(max_length=10)] = "",  # noqa: A002 - what the client calls it
    face_size: FaceSize = None,
    tile_size: FaceSize = None,
) -> Response:
    """Return a version as a zip archive for a program."""
    row = service.records.version(version_id)
    if row is None:
        raise not_found("version")
    preset_named(preset)
    options = PresetOptions(layout, format, face_size, tile_size, description=row["about"]["prompt"])
    with _TURNS, tempfile.TemporaryDirectory(prefix="export-") as place, service.storage.desk() as desk:
        image, encoding = read_panorama(version_result(row, desk))
        folder = Path(place) / preset
        files = export_preset(image, encoding, preset, folder, options)
        content = _zipped(folder, files)
    name = f"{safe_name(row['about']['prompt'][:40] or 'panorama')}-{preset}.zip".encode("ascii", "replace").decode()
    disposition = f'attachment; filename="{name.replace("?", "_")}"'
    return Response(content, media_type="application/zip", headers={"Content-Disposition": disposition})


def _zipped(folder: Path, files: tuple[Path, ...]) -> bytes:
    """Return files in one archive; pictures are compressed already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for file in files:
            archive.write(file, f"{folder.name}/{file.relative_to(folder.absolute()).as_posix()}")
    return buffer.getvalue()
