"""Images of strangers: only what a process with limits decoded and wrote anew is kept."""

import json
import subprocess
from pathlib import Path

from aognet.studio.children import command_of, environment
from aognet.studio.database import Row
from aognet.studio.ids import new_id
from aognet.studio.problems import ProblemError
from aognet.studio.service import Service

SECONDS = 120


def take_in(service: Service, content: bytes, owner: str) -> Row:
    """Keep an image. Return its row.

    :raises ProblemError: for what is no image, and for one that is too large.
    """
    limits = service.config.limits
    if len(content) > limits.upload_bytes:
        raise ProblemError(413, f"an image has at most {limits.upload_bytes} bytes")
    upload = new_id()
    file = f"{upload}.png"
    with service.storage.desk() as desk:
        source, target = desk.inputs / "image", desk.inputs / "image.png"
        source.write_bytes(content)
        found = _reencoded(source, target, limits.upload_pixels)
        service.storage.put(target, f"uploads/{file}")
    return service.records.add_upload({"id": upload, "owner": owner, "file": file, **found})


def _reencoded(source: Path, target: Path, pixels: int) -> dict:
    command = command_of("aognet.studio.reencode", str(source), str(target), str(pixels))
    try:
        ran = subprocess.run(command, capture_output=True, timeout=SECONDS, env=environment())
    except subprocess.TimeoutExpired:
        raise ProblemError(415, "the image takes too long to decode") from None
    try:
        found = json.loads(ran.stdout)
    except ValueError:
        raise ProblemError(415, "the image cannot be decoded within its limits") from None
    if "error" in found:
        raise ProblemError(415, found["error"])
    return found
